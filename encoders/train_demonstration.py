"""Train the demonstration encoder on drawn scenes: ``python -m placeprint.encoders.train_demonstration``.

The shipped weights come from ``python -m placeprint.encoders.train_demonstration --out
encoders/demonstration.safetensors --scenes 10000 --epochs 10 --seed 0``, 440 s on one thread of a
shared CPU (torch 2.15, numpy 2.4, Pillow 13.0). On 1,500 held-out scenes, drawn at other places than
the 10,000 of training, which serve as the gallery:

=====================  ========  =========  =========  ==========  ============
place taken from       ≤ 25 km   ≤ 200 km   ≤ 750 km   ≤ 2500 km   median error
=====================  ========  =========  =========  ==========  ============
nearest scene          0.5 %     5.3 %      26.4 %     59.6 %      1,860 km
vote of 20 scenes      0.5 %     6.9 %      31.1 %     64.7 %      1,511 km
random gallery place   0.0 %     0.1 %      1.9 %      10.9 %      8,136 km
best constant place    0.0 %     0.0 %      0.3 %      6.5 %       5,523 km
=====================  ========  =========  =========  ==========  ============

The first of 1,500 captions (one to five cues each) is true of a picture for 89.9 %, the first
picture fits a caption for 65.7 %; 13.3 % of all pairs are true. Other places may lie near those of
training: towns are held out, not regions.

Letters: B scenes of a batch, A anchors, C cues, D embedding, Q held-out scenes, N gallery scenes.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from .demonstration import EMBEDDING_DIM, INPUT_SIZE, DemonstrationNet, words_of
from .places import load_places
from .preprocessing import Preprocessing
from .scenes.painting import draw
from .scenes.scene import PHRASES, Scene, cues_of, describe, sample_places
from .sphere import great_circle_km

CUES = tuple(PHRASES)
RADII_KM = (25, 200, 750, 2500)
_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DemonstrationRun:
    """One training run; written into the metadata of its weights."""

    scenes: int = 10_000
    held_out: int = 1_500  # scenes at other places, drawn for the figures alone
    epochs: int = 10
    batch: int = 64
    learning_rate: float = 3e-3  # at its height; a short warm-up, then a cosine to zero
    anchors: int = 256  # places all over the world that scenes are compared with
    near_km: float = 300.0  # an anchor this much farther away is wanted e times less
    cue_weight: float = 4.0  # of the loss on single cues beside the loss on captions
    place_weight: float = 1.0  # of the geographic loss
    seed: int = 0


@dataclass(frozen=True)
class DrawnScenes:
    """Scenes as the encoder sees them."""

    scenes: list[Scene]
    pixels: Tensor  # (N, 3, H, W) bytes
    lonlat: _Floats  # (N, 2) degrees
    cues: Tensor  # (N, C) booleans

    def __len__(self) -> int:
        return len(self.scenes)


def draw_scenes(n: int, rng: np.random.Generator) -> DrawnScenes:
    """Draw one scene at each of n different places."""
    places = load_places()
    chosen = sample_places(n, rng, lonlat=places.lonlat, population=places.population)
    prepare = Preprocessing(size=INPUT_SIZE)
    scenes, pixels = [], np.empty((n, 3, INPUT_SIZE, INPUT_SIZE), np.uint8)
    for row, place in enumerate(chosen.tolist()):
        lon, lat = places.lonlat[place].tolist()
        scenes.append(cues_of(lon, lat, places.country_code[place], int(places.population[place]), rng))
        pixels[row] = prepare.pixels(draw(scenes[-1])).transpose(2, 0, 1)
    cues = torch.tensor([[cue in scene.cues for cue in CUES] for scene in scenes])
    return DrawnScenes(scenes, torch.from_numpy(pixels), places.lonlat[chosen], cues)


def split(drawn: DrawnScenes, n_first: int) -> tuple[DrawnScenes, DrawnScenes]:
    """Take the first scenes, and the others."""
    parts = (slice(None, n_first), slice(n_first, None))
    first, second = (
        DrawnScenes(drawn.scenes[part], drawn.pixels[part], drawn.lonlat[part], drawn.cues[part])
        for part in parts
    )
    return first, second


def vocabulary() -> list[str]:
    """Every word of every phrase and of the openings of captions, sorted."""
    phrases = [phrase for wordings in PHRASES.values() for phrase in wordings]
    return sorted({word for phrase in (*phrases, "drawing", "street") for word in words_of(phrase)})


def some_captions(seen: Tensor, rng: np.random.Generator) -> tuple[list[str], Tensor]:
    """Say a few cues of each scene: captions, and which cues they say, (B, C) booleans."""
    said, captions = torch.zeros_like(seen), []
    for row in range(len(seen)):
        chosen = rng.permutation(torch.nonzero(seen[row]).view(-1).numpy())[: rng.integers(1, 6)]
        said[row, torch.from_numpy(chosen)] = True
        captions.append(describe([CUES[cue] for cue in chosen], rng))
    return captions, said


def caption_loss(images: Tensor, texts: Tensor, logit_scale: Tensor, is_true: Tensor) -> Tensor:
    """Symmetric cross-entropy between pictures and captions in which every true pair is wanted.

    With few cues a caption is true of many pictures of a batch; plain InfoNCE (Radford et al. 2021,
    CLIP, arXiv:2103.00020) would push those away.

    Args:
        images: unit embeddings, (B, D).
        texts: unit embeddings, (B, D).
        logit_scale: natural logarithm of 1 / temperature.
        is_true: whether caption i is true of picture j, (B, B), with a true diagonal.
    """
    logits = logit_scale.clamp(max=4.0).exp() * texts @ images.T
    wanted = is_true.float()
    return 0.5 * (_soft_cross_entropy(logits, wanted) + _soft_cross_entropy(logits.T, wanted.T))


class Heads(nn.Module):
    """What training needs beside the network and does not ship.

    Args:
        anchors: places, (A, 2) degrees; each has a direction in the embedding space.
        near_km: see `DemonstrationRun`.
    """

    def __init__(self, anchors: _Floats, near_km: float) -> None:
        super().__init__()
        self.anchors, self.near_km = anchors, near_km
        self.directions = nn.Parameter(torch.randn(len(anchors), EMBEDDING_DIM))
        self.anchor_bias = nn.Parameter(torch.zeros(len(anchors)))
        self.cue_bias = nn.Parameter(torch.full((len(CUES),), -2.0))

    def cue_loss(self, images: Tensor, cue_texts: Tensor, seen: Tensor) -> Tensor:
        """Is each cue seen? Images (B, D), texts of single cues (C, D), seen (B, C) booleans."""
        logits = 12.0 * images @ cue_texts.T + self.cue_bias
        return F.binary_cross_entropy_with_logits(logits, seen.float())

    def place_loss(self, images: Tensor, lonlat: _Floats) -> Tensor:
        """Which anchors are near? Cross-entropy against exp(-distance / near_km) over the anchors.

        So pictures of near places, which want the same anchors, come to lie near each other.

        Args:
            images: unit embeddings, (B, D).
            lonlat: where they were drawn, (B, 2) degrees.
        """
        distance = great_circle_km(lonlat[:, None], self.anchors[None])
        wanted = torch.softmax(torch.from_numpy(-distance / self.near_km).float(), dim=1)  # (B, A)
        logits = 16.0 * images @ F.normalize(self.directions, dim=-1).T + self.anchor_bias
        return _soft_cross_entropy(logits, wanted)


def _soft_cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    return -(wanted / wanted.sum(1, keepdim=True) * F.log_softmax(logits, dim=1)).sum(1).mean()


def train(net: DemonstrationNet, drawn: DrawnScenes, run: DemonstrationRun, rng: np.random.Generator) -> None:
    """Fit the network in place, one line an epoch."""
    # Scenes come in random order, so that the first ones cover the world.
    heads = Heads(drawn.lonlat[: run.anchors], run.near_km)
    parameters = [*net.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=run.learning_rate, weight_decay=0.02)
    steps = run.epochs * (len(drawn) // run.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, run.learning_rate, total_steps=steps, pct_start=0.15, cycle_momentum=False
    )
    weights = torch.tensor([1.0, run.cue_weight, run.place_weight])
    started = time.monotonic()
    for epoch in range(run.epochs):
        losses = []
        for rows in _batches(len(drawn), run.batch, rng):
            parts = _losses(net, heads, drawn, rows, rng)
            optimizer.zero_grad()
            torch.autograd.backward(weights @ parts)
            optimizer.step()
            schedule.step()
            losses.append(parts.detach())
        captions, cues, places = torch.stack(losses).mean(0).tolist()
        print(
            f"epoch {epoch + 1}: captions {captions:.3f}, cues {cues:.3f}, places {places:.3f},"
            f" {time.monotonic() - started:.0f} s",
            flush=True,
        )


def _losses(
    net: DemonstrationNet, heads: Heads, drawn: DrawnScenes, rows: NDArray[np.int64], rng: np.random.Generator
) -> Tensor:
    """Losses on captions, on single cues and on places, of one batch: (3,)."""
    seen = drawn.cues[rows]
    captions, said = some_captions(seen, rng)
    images = net.embed_images(_varied(drawn.pixels[rows], rng))
    texts = net.embed_texts([*captions, *(describe([cue], rng) for cue in CUES)])
    by_caption = caption_loss(images, texts[: len(rows)], net.logit_scale, _is_true(said, seen))
    by_cue = heads.cue_loss(images, texts[len(rows) :], seen)
    return torch.stack([by_caption, by_cue, heads.place_loss(images, drawn.lonlat[rows])])


def _is_true(said: Tensor, seen: Tensor) -> Tensor:
    """Whether nothing a caption says is missing from a picture: (captions, C), (B, C) -> (captions, B)."""
    missing: Tensor = said.float() @ (~seen).float().T
    return missing == 0


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    order = rng.permutation(n)
    for start in range(0, n - size + 1, size):
        yield order[start : start + size]


def _varied(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Bytes to floats in [0, 1], moved a few pixels, lighter or darker; never mirrored."""
    padded = F.pad(pixels.float() / 255, (5, 5, 5, 5), mode="replicate")
    top, left = rng.integers(0, 11, 2).tolist()
    moved = padded[:, :, top : top + INPUT_SIZE, left : left + INPUT_SIZE]
    gain = torch.from_numpy(rng.uniform(0.85, 1.15, (len(pixels), 1, 1, 1))).float()
    return (moved * gain).clamp(0, 1).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def embed(net: DemonstrationNet, pixels: Tensor) -> Tensor:
    """Embed bytes (N, 3, H, W) in small batches: (N, D), unit length."""
    return torch.cat([net.embed_images(part.float() / 255) for part in torch.split(pixels, 256)])


@torch.inference_mode()
def retrieval(net: DemonstrationNet, drawn: DrawnScenes, rng: np.random.Generator) -> dict[str, float]:
    """How often a picture's most similar caption is true of it, of one caption a scene; and by chance."""
    captions, said = some_captions(drawn.cues, rng)
    is_true = _is_true(said, drawn.cues)
    similarity = net.embed_texts(captions) @ embed(net, drawn.pixels).T
    return {
        "image_to_caption_precision_at_1": float(
            is_true[similarity.argmax(0), range(len(drawn))].float().mean()
        ),
        "caption_to_image_precision_at_1": float(
            is_true[range(len(drawn)), similarity.argmax(1)].float().mean()
        ),
        "chance": float(is_true.float().mean()),
    }


def geolocation(
    net: DemonstrationNet, gallery: DrawnScenes, queries: DrawnScenes, seed: int
) -> dict[str, dict[str, float]]:
    """Errors of places read from the gallery's nearest scenes, beside what needs no picture.

    Returns:
        Method -> figure -> value: shares within `RADII_KM` in [0, 1], and the median error, km.
    """
    similarity = (embed(net, queries.pixels) @ embed(net, gallery.pixels).T).double()  # (Q, N)
    top, rows = (part.numpy() for part in similarity.topk(20, dim=1))
    candidates = gallery.lonlat[rows]  # (Q, 20, 2)
    apart = great_circle_km(candidates[:, :, None], candidates[:, None])
    votes = (np.exp(-apart / 500) * np.exp(top / 0.05)[:, None]).sum(2)
    voted = np.take_along_axis(candidates, votes.argmax(1)[:, None, None], axis=1)[:, 0]
    rng = np.random.default_rng(seed)
    # The constant is chosen on the gallery, by the median error that it would have there.
    some = gallery.lonlat[rng.permutation(len(gallery))[:1500]]
    constant = some[np.median(great_circle_km(some[:, None], some[None]), axis=1).argmin()]
    answers = {
        "nearest": candidates[:, 0],
        "vote of 20": voted,
        "random place": gallery.lonlat[rng.integers(0, len(gallery), len(queries))],
        "best constant place": np.broadcast_to(constant, voted.shape),
    }
    return {name: _shares(great_circle_km(answer, queries.lonlat)) for name, answer in answers.items()}


def _shares(error_km: _Floats) -> dict[str, float]:
    shares = {f"within_{radius}_km": float((error_km <= radius).mean()) for radius in RADII_KM}
    return {**shares, "median_km": float(np.median(error_km))}


def save(net: DemonstrationNet, path: Path, run: DemonstrationRun, figures: dict[str, object]) -> None:
    """Write the weights in half precision, with what they are and how they were made."""
    metadata = {
        "title": "Placeprint demonstration encoder",
        "licence": "Apache-2.0",
        "training_data": "scenes drawn by placeprint.encoders.scenes.scene; no photograph",
        "vocabulary": json.dumps(net.vocabulary),
        "run": json.dumps(asdict(run)),
        "held_out": json.dumps(figures),
    }
    halves = {key: value.detach().half().contiguous() for key, value in net.state_dict().items()}
    safetensors.torch.save_file(halves, path, metadata)


def main(
    out: Annotated[Path, typer.Option(help="safetensors file to write")],
    scenes: Annotated[int, typer.Option(help="scenes to train on")] = DemonstrationRun.scenes,
    epochs: Annotated[int, typer.Option(help="passes over them")] = DemonstrationRun.epochs,
    seed: Annotated[int, typer.Option(help="of scenes, weights and order")] = DemonstrationRun.seed,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 1,
) -> None:
    """Draw scenes, train, print held-out figures, write the weights."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    run = DemonstrationRun(scenes=scenes, epochs=epochs, seed=seed)
    rng = np.random.default_rng(seed)
    started = time.monotonic()
    drawn, held_out = split(draw_scenes(run.scenes + run.held_out, rng), run.scenes)
    print(f"drew {run.scenes} + {run.held_out} scenes in {time.monotonic() - started:.0f} s", flush=True)
    net = DemonstrationNet(vocabulary()).to(memory_format=torch.channels_last)
    train(net, drawn, run, rng)
    # The figures are those of the rounded weights that are shipped.
    net.load_state_dict({key: value.half().float() for key, value in net.state_dict().items()})
    net.eval()
    figures = {
        "retrieval": retrieval(net, held_out, rng),
        "geolocation": geolocation(net, drawn, held_out, seed),
    }
    print(json.dumps(figures, indent=2))
    save(net, out, run, figures)
    print(f"wrote {out}: {out.stat().st_size / 1e6:.2f} MB, {time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    typer.run(main)
