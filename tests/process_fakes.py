"""Two processes that train together: started as torchrun would, forked from one that has imported torch.

To import torch takes seconds, to fork a thousandth of one. What the processes do stands in this file, where
they find it.
"""

import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import safetensors.torch
import torch
import torch.nn.functional as F
from caption_fakes import NAME, made_up_photos, tiny_weights
from map_fakes import Country, places_of
from place_recognition_fakes import CONV, load_backbone, write_walks, write_weights
from torch import nn

from placeprint.encoders.captioning.model import CaptionModel
from placeprint.encoders.captioning.settings import CaptionRun
from placeprint.encoders.csp_sampling import Pairs
from placeprint.encoders.csp_settings import CspRun
from placeprint.encoders.csp_trainer import Trainer
from placeprint.encoders.errors import PlaceprintError
from placeprint.encoders.map_learning.distill import DistillRun
from placeprint.encoders.map_learning.encoder import MapEncoder
from placeprint.encoders.map_learning.geo_targets import PlaceLabels
from placeprint.encoders.map_learning.settings import MapRun
from placeprint.encoders.place_recognition.photos import PlacePhotos
from placeprint.encoders.place_recognition.settings import PlaceRun
from placeprint.encoders.processes import World, joined
from placeprint.encoders.run_folder import claim
from placeprint.encoders.sphere import uniform_on_sphere, unit_vectors
from placeprint.encoders.train_captions import run_captions
from placeprint.encoders.train_csp import run_csp
from placeprint.encoders.train_map_student import run_student
from placeprint.encoders.train_maps import run_maps
from placeprint.encoders.train_place_recognition import run_place_recognition

_SERVER = multiprocessing.get_context("forkserver")


def together(work: Callable[..., Any], *args: Any, n: int = 2, limit_s: float = 240.0) -> list[Any]:
    """Run `work` in n processes that can meet; what each returned, or the error it ended with.

    A process that is not done in time is killed, and its answer is a `TimeoutError`.
    """
    trainers = ("csp", "maps", "map_student", "place_recognition", "captions")
    _SERVER.set_forkserver_preload([f"placeprint.encoders.train_{name}" for name in trainers])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for rank in range(n):
        mine, theirs = _SERVER.Pipe(duplex=False)
        process = _SERVER.Process(target=_one, args=(theirs, rank, n, port, work, args))
        process.start()
        theirs.close()
        running.append((process, mine))
    answers: list[Any] = []
    for process, mine in running:
        try:
            answers.append(mine.recv() if mine.poll(limit_s) else TimeoutError(f"not done in {limit_s:g} s"))
        except EOFError:
            answers.append(ProcessLookupError("it ended without a word"))
        process.join(0.0 if isinstance(answers[-1], TimeoutError) else 10.0)
        process.kill()
        process.join()
    return answers


def _one(answer: Connection, rank: int, n: int, port: int, work: Callable[..., Any], args: Any) -> None:
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in told.items()} | {"MASTER_ADDR": "127.0.0.1"})
    torch.set_num_threads(1)
    try:
        answer.send(work(*args))
    except Exception as error:
        answer.send(error)


# --- tiny runs ------------------------------------------------------------------------------------

CSP = CspRun(
    positional="xyz", network_options={"hidden": 32, "dropout": 0.2}, dimension=16, n_random=31,
    image_components=8, image_dropout=0.1, epochs=4, batch_size=101, evaluate_every=2, block_deg=20.0,
    learning_rate=1e-2, seed=3,
)  # fmt: skip
MAPS = MapRun(
    global_px=16, local_px=16, n_local=1, dimension=16, n_out=16, head_hidden=32, bottleneck=16,
    n_prototypes=8, cluster_width=8, n_geocells=4, ground_m=500.0, epochs=2, batch_size=15, seed=3,
    learning_rate=1e-3, surroundings_zoom=1.5, channel_dropout=0.2,
)  # fmt: skip
STUDENT = DistillRun(hidden=16, layers=1, epochs=3, batch_size=31)
PLACES = PlaceRun(
    layer=1, size=64, n_centers=4, n_places=5, n_views=2, refresh=15, epochs=2, n_looks=2, dimension=16,
    n_random=20, n_remembered=3, n_negatives=3, held_out_share=0.25,
)  # fmt: skip
CAPTIONS = CaptionRun(
    tune="all", learning_rate=2e-3, epochs=2, batch_size=41, part_size=41, block_deg=10.0, seed=3
)


def csp(out: Path, run: CspRun = CSP, **options: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    lonlat = uniform_on_sphere(401, rng)
    images = np.tanh(unit_vectors(lonlat) @ rng.normal(size=(3, 24))) + 0.3 * rng.normal(size=(401, 24))
    pairs = Pairs(images.astype(np.float32), lonlat, np.arange(401).astype(str), "made-up")
    return run_csp(pairs, run, out, **options)


def resumed_csp(out: Path) -> dict[str, Any]:
    return csp(out, is_resumed=True)


def maps(out: Path, run: MapRun = MAPS, **options: Any) -> dict[str, Any]:
    source, lonlat = Country(), places_of(90)
    price = source.prices(lonlat)
    price[::2] = np.nan
    labels = PlaceLabels(price, np.full(len(lonlat), np.nan))
    return run_maps(source, lonlat, run, out, labels=labels, **options)


def student(out: Path, teacher: Path, **options: Any) -> dict[str, Any]:
    return run_student(MapEncoder.load(teacher), Country(), places_of(120), STUDENT, out, **options)


def places(out: Path, folder: Path, run: PlaceRun = PLACES, **options: Any) -> dict[str, Any]:
    """Train on photos that `drawn_places` left in the folder."""
    told = json.loads((folder / "photos.json").read_text())
    photos = PlacePhotos.of(
        [Path(file) for file in told["files"]], np.array(told["lonlat"]), captured_at=told["days"]
    )
    backbone = load_backbone(CONV, Path(told["weights"]))
    return run_place_recognition(photos, backbone, run, out, **options)


def drawn_places(folder: Path) -> Path:
    """Draw photos of places, and weights of a backbone."""
    files, lonlat, days = write_walks(folder, 24, 2)
    weights = write_weights(CONV, folder)
    told = {"files": [str(file) for file in files], "lonlat": lonlat.tolist(), "days": days}
    (folder / "photos.json").write_text(json.dumps(told | {"weights": str(weights)}))
    return folder


def captions(out: Path, models: Path, run: CaptionRun = CAPTIONS, **options: Any) -> dict[str, Any]:
    weights = tiny_weights(models)
    open_clip.add_model_config(models)  # where another process has written it, this one does not know it
    return run_captions(made_up_photos(150), CaptionModel(NAME, weights), run, out, **options)


BEFORE_NORMS = {
    f"model.{branch}.head.projection.{layer}.bias" for branch in ("student", "teacher") for layer in (0, 3)
}


# --- what becomes of a run -------------------------------------------------------------------------


def farthest(one: Path, other: Path) -> float:
    """Largest difference of the weights in two files, tensor by tensor, as a share of their length."""
    mine, theirs = safetensors.torch.load_file(one), safetensors.torch.load_file(other)
    assert mine.keys() == theirs.keys()
    differences = []
    for name, weights in mine.items():
        # Moments of the optimizer are no weights. A bias before a norm of the batch has no effect, its
        # gradient is rounding, and Adam makes steps of a full rate of it.
        if name.startswith("optimizer.") or name in BEFORE_NORMS:
            continue
        a, b = weights.double(), theirs[name].double()
        if name.endswith("in_proj_bias"):  # of attention: the keys' third, alike
            a, b = (torch.cat(one.chunk(3)[::2]) for one in (a, b))
        differences.append(float((a - b).norm() / a.norm().clamp(min=1e-6)))
    return max(differences)


# --- what two processes do -------------------------------------------------------------------------


def chain_of_embeddings() -> dict[str, list[float]]:
    """Gradients of a contrastive loss over 7 rows, by weights used in different ways."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(7, 4, generator=generator)
    divided, shared = (nn.Parameter(torch.randn(4, 4, generator=generator)) for _ in range(2))
    scale, both_ways = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.ones(4))
    with joined() as world:
        embedded = world.divided(lambda part: torch.tanh(rows[part] @ divided) * both_ways, len(rows))
        normed = (embedded - embedded.mean(dim=0)) / embedded.std(dim=0)  # as a norm of the batch does
        logits = scale * (normed @ shared) @ (embedded * both_ways).T
        F.cross_entropy(logits, torch.arange(len(rows))).backward()
        optimizer = torch.optim.SGD([divided, shared, scale, both_ways], lr=1.0)
        world.average_gradients(optimizer)
    names = ("divided", "shared", "scale", "both_ways")
    learned = (divided, shared, scale, both_ways)
    return {name: one.grad.numpy() for name, one in zip(names, learned, strict=True)}


def gathered_rows() -> dict[str, Any]:
    with joined() as world:
        mine = torch.arange(5)[world.part(5)]
        unknown = torch.where(mine % 2 == 0, torch.nan, mine.float())
        return {
            "floats": world.gathered(mine.float(), 5).tolist(),
            "halves": world.gathered(mine.half(), 5).tolist(),
            "bytes": world.gathered(mine.byte(), 5).tolist(),
            "unknown": world.gathered(unknown, 5).tolist(),
            "fewer rows than processes": world.divided(lambda part: torch.tensor([7.0])[part], 1).tolist(),
            "total": float(world.total(torch.tensor(1.0 + world.rank))),
        }


def noise_of_parts() -> dict[str, Any]:
    model = nn.Sequential(nn.Dropout(0.5)).train()
    rows = torch.ones(7, 3, 5)
    torch.manual_seed(4)
    with joined() as world:
        world.share_noise(model)
        dropped = world.divided(lambda part: model(rows[part]), 7)
    return {"dropped": dropped.numpy(), "next": float(torch.rand(()))}


def first_fails() -> dict[str, Any]:
    def work(world: World) -> dict[str, Any]:
        # Nobody else is here to have a part of it.
        rows = world.divided(lambda part: torch.arange(3.0)[part], 3)
        return {"rank": world.rank, "rows": rows.tolist()}

    def fail() -> None:
        raise PlaceprintError("no room")

    with joined() as world:
        answer = world.first(lambda: work(world))
        try:
            world.first(fail)
        except PlaceprintError as error:
            return {"answer": answer, "error": str(error)}
    return {"answer": answer, "error": None}


def in_turns(log: Path) -> None:
    def work(rank: int) -> None:
        for word in ("begin", "end"):
            with log.open("a") as file:
                file.write(f"{word} {rank}\n")
            time.sleep(0.05)

    with joined() as world:
        world.in_turn(lambda: work(world.rank))


def different_identities(out: Path) -> None:
    with joined() as world:
        identity = {"settings": {}, "data": f"of process {world.rank}"}
        claim(out, identity, {}, is_resumed=False, world=world)
        world.total(torch.zeros(()))


def killed_in_a_step(out: Path, step: int) -> dict[str, Any]:
    """Train, but the second process ends itself without a word when it comes to a step."""
    before = Trainer.batch

    def batch(trainer: Trainer, rows: Any) -> Any:
        if trainer.world.rank == 1 and trainer.progress.step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return before(trainer, rows)

    Trainer.batch = batch  # type: ignore[method-assign]  # this process ends with it
    return csp(out, checkpoint_s=0.0)
