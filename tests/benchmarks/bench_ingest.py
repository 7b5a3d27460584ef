"""P3 and P4: files to a gallery beside the loop that one would write by hand.

    python tests/benchmarks/bench_ingest.py [PHOTOS] --out bench [--encoder NAME --weights FILE]

Ours reads, hashes, decodes, embeds and commits to a fresh gallery on disk (ledger and vector store). The loop
opens each file with Pillow, applies the model's own transform, embeds batches of 32 with the same weights and
saves one array. Both see the same files in the same order, and their embeddings are compared before anything
is timed. P3 has photos of 500 px, P4 the same enlarged to 12 megapixels, with the noise of a sensor; of P4
the decoding is timed by itself too. Without PHOTOS they are those of `http_load.photos`; without an encoder
it is MobileNetV2 with random weights, of which embeddings mean nothing and take as long as any.
"""

import argparse
import io
import shutil
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import timm
import torch
from http_load import photos
from numpy.typing import NDArray
from PIL import Image, ImageOps
from row_script import arguments, begin, command, finish, sentences
from scoreboard_rows import Figure, Row
from torchvision.transforms import v2
from turns import doubts_of, take_turns, verdict_of

from placeprint.encoders.catalog import load_encoder
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.listing import Item
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

MOBILENET = "timm:mobilenetv2_100?pad_type=same&mean=0.5&std=0.5&crop=1"
LARGE_PX = (4032, 3024)
SMALL_LOOP, SMALL_ENCODE = 1.8, 0.9
LARGE_DECODE, LARGE_LOOP, LARGE_COSINE = 2.5, 1.2, 0.995


class Loop:
    """The peer: Pillow, torchvision and the same network, one after the other."""

    def __init__(self, name: str, weights: Path | None) -> None:
        self.encoder: Any = load_encoder(name, weights=weights)
        p = self.encoder.preprocessing
        self.transform = v2.Compose(
            [
                v2.Resize(round(p.size / p.crop_share), v2.InterpolationMode.BICUBIC),
                v2.CenterCrop(p.size),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(p.mean, p.std),
            ]
        )
        if hasattr(self.encoder, "_model") and hasattr(self.encoder._model, "encode_image"):
            self.network = self.encoder._model.encode_image
        elif hasattr(self.encoder, "_model"):
            self.network = self.encoder._model.to(memory_format=torch.contiguous_format)
        else:
            self.network = self.encoder._net.embed_images

    @torch.inference_mode()
    def run(self, items: list[Item], folder: Path) -> NDArray[np.float32]:
        embeddings = []
        for start in range(0, len(items), 32):
            images = [
                self.transform(ImageOps.exif_transpose(Image.open(item.path)).convert("RGB"))
                for item in items[start : start + 32]
            ]
            embedded = self.network(torch.stack(images))
            embeddings.append(torch.nn.functional.normalize(embedded, dim=-1).numpy())
        folder.mkdir(parents=True)
        np.save(folder / "embeddings.npy", np.concatenate(embeddings))
        return np.concatenate(embeddings)


def ours(encoder: Any, items: list[Item], folder: Path) -> NDArray[np.float32]:
    """Index into a fresh gallery; the embeddings come back in the order of the items."""
    settings = Settings(home=folder, qdrant_url=None)
    with Gallery.create("bench", encoder.fingerprint, settings=settings) as gallery:
        index(items, gallery, encoder)
        entries = gallery.state.entries
        return gallery.embeddings([entries[item.key].id for item in items])


def enlarged(content: bytes, rng: np.random.Generator) -> bytes:
    """A JPEG as one of 12 megapixels, with the noise that makes such files as large as they are."""
    picture = Image.open(io.BytesIO(content)).convert("RGB").resize(LARGE_PX, Image.Resampling.BICUBIC)
    noisy = np.asarray(picture, np.float32) + rng.normal(0.0, 5.0, (*LARGE_PX[::-1], 1)).astype(np.float32)
    file = io.BytesIO()
    Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)).save(file, "JPEG", quality=88)
    return file.getvalue()


def written(contents: list[bytes], folder: Path) -> list[Item]:
    """Files of photos, listed as `placeprint index` lists them."""
    folder.mkdir(parents=True)
    for number, content in enumerate(contents):
        (folder / f"{number:05d}.jpg").write_bytes(content)
    return list_source(folder)


class Bench:
    """The two ways over some files, each call with a folder of its own."""

    def __init__(self, items: list[Item], encoder: Any, loop: Loop, folder: Path) -> None:
        self.items, self.encoder, self.loop = items, encoder, loop
        self._folder, self._numbers = folder, count()
        contents = [item.path.read_bytes() for item in items]
        self.pixels = np.stack([encoder.preprocessing.read(content)[0] for content in contents])
        self.n_bytes = sum(map(len, contents))

    def ours(self) -> NDArray[np.float32]:
        """Files to a gallery."""
        return self._in_a_folder(lambda folder: ours(self.encoder, self.items, folder))

    def plain(self) -> NDArray[np.float32]:
        """Files to an array."""
        return self._in_a_folder(lambda folder: self.loop.run(self.items, folder))

    def encode_only(self) -> None:
        """Ready pixels to embeddings."""
        for start in range(0, len(self.pixels), 32):
            self.encoder.embed_pixels(self.pixels[start : start + 32])

    def decode(self) -> None:
        """Files to pixels, one after the other in this process."""
        for item in self.items:
            self.encoder.preprocessing.read(item.path)

    def plain_decode(self) -> None:
        """The same, each decoded whole by Pillow and resized by the model's transform."""
        for item in self.items:
            self.loop.transform(ImageOps.exif_transpose(Image.open(item.path)).convert("RGB"))

    def smallest_cosine(self) -> float:
        """Of the embeddings of both."""
        return float((self.ours() * self.plain()).sum(axis=1).min())

    def _in_a_folder(self, call: Callable[[Path], NDArray[np.float32]]) -> NDArray[np.float32]:
        folder = self._folder / str(next(self._numbers))
        try:
            return call(folder)
        finally:
            shutil.rmtree(folder)


def small_row(bench: Bench, blocks: int) -> Row:
    """P3."""
    n, cosine = len(bench.items), bench.smallest_cosine()
    turns = take_turns(bench.ours, {"loop": bench.plain, "encode": bench.encode_only}, blocks=blocks)
    found = {"loop": turns.compare("loop"), "encode": turns.compare("encode")}
    figures = [
        found["loop"].figure("files to a gallery", "Pillow and network, plain loop", n=n, unit="photos/s"),
        found["encode"].figure("beside embedding alone", "ready pixels", n=n, unit="photos/s"),
        Figure("smallest cosine of the two", cosine),
    ]
    figures[0].target, figures[1].target = SMALL_LOOP, SMALL_ENCODE
    return Row(
        "P3", f"{n} files of 500 px to vectors in a gallery",
        f">= {SMALL_LOOP:g}x of a plain loop, >= {SMALL_ENCODE:g} of embedding alone",
        verdict_of(found["loop"].reaches(SMALL_LOOP), found["encode"].reaches(SMALL_ENCODE)), command(),
        sentences(
            "clip-retrieval is left out: its pinned packages do not install beside ours",
            "the start of the processes that decode counts",
            doubts_of(found),
        ),
        figures,
    )  # fmt: skip


def large_row(bench: Bench, blocks: int) -> Row:
    """P4."""
    n, cosine = len(bench.items), bench.smallest_cosine()
    whole = take_turns(bench.ours, {"loop": bench.plain}, blocks=blocks).compare("loop")
    decode = take_turns(bench.decode, {"loop": bench.plain_decode}, blocks=blocks).compare("loop")
    figures = [
        decode.figure("decode and resize", "Pillow, whole, and the model's transform", n=n, unit="photos/s"),
        whole.figure("files to a gallery", "Pillow and network, plain loop", n=n, unit="photos/s"),
        Figure("smallest cosine of the two", cosine),
        Figure("mean size of a file", bench.n_bytes / n / 1e6, "MB"),
    ]
    figures[0].target, figures[1].target = LARGE_DECODE, LARGE_LOOP
    reached = decode.reaches(LARGE_DECODE), whole.reaches(LARGE_LOOP), cosine >= LARGE_COSINE
    return Row(
        "P4", f"{n} files of 12 megapixels to vectors in a gallery",
        f">= {LARGE_DECODE:g}x decoding, >= {LARGE_LOOP:g}x end to end, cosine >= {LARGE_COSINE:g}",
        verdict_of(*reached), command(),
        sentences(
            "photos are enlarged, with noise; the start of the processes that decode counts",
            doubts_of({"decoding": decode, "end to end": whole}),
        ),
        figures,
    )  # fmt: skip


def random_mobilenet(folder: Path) -> Path:
    """Weights of MobileNetV2 as it starts."""
    torch.manual_seed(0)
    path = folder / "mobilenet.safetensors"
    model = timm.create_model("mobilenetv2_100", pretrained=False, pad_type="same")
    safetensors.torch.save_file(model.state_dict(), path)
    return path


def main() -> None:
    parser = arguments(__doc__, blocks=3)
    parser.set_defaults(threads=2)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--encoder", default=MOBILENET)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--n", type=int, default=192, help="photos of 500 px")
    parser.add_argument("--n-large", type=int, default=16, help="photos of 12 megapixels")
    asked: argparse.Namespace = begin(parser)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = asked.weights or (random_mobilenet(folder) if asked.encoder == MOBILENET else None)
        encoder, loop = load_encoder(asked.encoder, weights=weights), Loop(asked.encoder, weights)
        contents = photos(max(asked.n, asked.n_large))
        small = list_source(asked.photos)[: asked.n] if asked.photos else written(contents, folder / "small")
        finish(small_row(Bench(small, encoder, loop, folder), asked.blocks), asked.out)
        rng = np.random.default_rng(0)
        large = written(
            [enlarged(item.path.read_bytes(), rng) for item in small[: asked.n_large]], folder / "large"
        )
        finish(large_row(Bench(large, encoder, loop, folder), asked.blocks), asked.out)


if __name__ == "__main__":
    main()
