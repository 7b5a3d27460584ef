"""Coordinates alone: a location encoder that learns what a map encoder says of places.

It needs no map when it is asked, only the numbers, and loads like every other location encoder. What
it can know is what nearby training places told; how far that carries is measured on held-out blocks,
by distance to the nearest training place, beside two answers that need no learning: the embedding of
that nearest place, and the mean of all.

Letters: N places, D embedding.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from ..csp_sampling import epoch_batches, hold_out, n_batches, regions, torch_seed
from ..errors import InvalidOption, TooFewPairs
from ..location import LocationEncoder
from ..multiscale import MAX_NERF_SCALES
from ..processes import ALONE, World
from ..sphere import EARTH_RADIUS_KM, as_lonlat, km_of_chord, unit_vectors

RINGS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Edges of the distances that errors are reported by, in widths of a crop."""

_Floats = NDArray[np.float64]
_Embeddings = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class DistillRun:
    """One distillation.

    Shorter waves learn more by heart than they carry over: on a street map of one country, crops 500 m
    wide, held-out errors were 0.247, 0.235 and 0.214 with shortest waves of 2, 4 and 8 crops, and 0.291
    for the embedding of the nearest place.
    """

    network: Literal["feed-forward", "siren", "residual"] = "feed-forward"
    finest: float = 8.0  # shortest wave of the positional encoding, in widths of a crop
    hidden: int = 512
    layers: int = 2
    epochs: int = 60
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    held_out_share: float = 0.2
    block: float = 3.0  # side of the held-out blocks, in widths of a crop
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("finest", "hidden", "layers", "epochs", "batch_size", "block"):
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidOption(f"{name}={getattr(self, name)!r}: must be above 0, and finite")
        if self.seed < 0:
            raise InvalidOption(f"seed={self.seed}: must be 0 or more")
        if not 0.0 < self.held_out_share <= 0.5:
            raise InvalidOption(f"held_out_share={self.held_out_share}: must be in (0, 0.5]")


def distill(
    lonlat: _Floats,
    embeddings: _Embeddings,
    run: DistillRun,
    *,
    ground_m: float,
    name: str = "map-student",
    card: dict[str, Any] | None = None,
    show: Callable[[dict[str, Any], int], None] = lambda record, epochs: None,
    world: World = ALONE,
) -> tuple[LocationEncoder, dict[str, Any]]:
    """Train a location encoder to point where the map encoder points: loss 1 - cosine.

    Args:
        lonlat: places, degrees, longitude first, (N, 2).
        embeddings: of the map encoder at these places, unit length, (N, D).
        run: the settings.
        ground_m: ground width of the map encoder's crops, meters: sets waves, blocks and rings.
        name: of the student.
        card: facts to keep with it, JSON.
        show: called with the record of each epoch, ``epoch`` and ``loss``, and the number of epochs.
        world: the processes that train together, each on some places of a batch.

    Returns:
        The student, in evaluation mode, and figures on the held-out blocks, which are in its card too.

    Raises:
        InvalidCoordinate: a place that is not on Earth.
        TooFewPairs: too few places, or too few separate blocks to hold some out.
        InvalidOption: embeddings and places that do not belong together, or more processes than a
            batch has places.
    """
    places = as_lonlat(lonlat).reshape(-1, 2)
    if embeddings.ndim != 2 or len(embeddings) != len(places):
        raise InvalidOption(f"embeddings {embeddings.shape} for {len(places)} places: must be (N, D)")
    block_deg = math.degrees(run.block * ground_m / 1000.0 / EARTH_RADIUS_KM)
    if len(places) < 2:
        raise TooFewPairs(f"{len(places)} place(s) are too few to learn from")
    region = regions(places, np.arange(len(places)).astype(str), block_deg)
    part = hold_out(region, (run.held_out_share,), seed=run.seed)
    train = np.flatnonzero(part == 0)
    student = student_for(embeddings.shape[1], run, ground_m=ground_m, name=name)
    final = _fit(student, places[train], embeddings[train], run, show, world)
    report = {
        "places": {"training": len(train), "held_out": int((part == 1).sum())},
        "training_loss": final,
        "block_km": run.block * ground_m / 1000.0,
        **errors_by_distance(student, places, embeddings, part, ground_m=ground_m),
    }
    student.card = {
        **(card or {}),
        "method": "distilled from a map encoder, loss 1 - cosine",
        "settings": asdict(run),
        **report,
    }
    return student.eval(), report


def student_for(
    dimension: int, run: DistillRun, *, ground_m: float, name: str = "map-student"
) -> LocationEncoder:
    """An untrained student: NeRF's octaves of the point on the sphere, down to waves of `run.finest` crops.

    The point on the sphere has no seam at the antimeridian and none at a pole. The 16th octave, the
    last there is, has waves of 390 m.
    """
    finest = run.finest * ground_m / 1000.0 / EARTH_RADIUS_KM
    octaves = 1 + round(math.log2(2.0 / finest))
    options: dict[str, dict[str, Any]] = {
        "feed-forward": {"hidden": run.hidden, "layers": run.layers, "dropout": 0.0, "act": "gelu"},
        "siren": {"hidden": run.hidden, "layers": run.layers},
        "residual": {"blocks": run.layers, "dropout": 0.0},
    }
    return LocationEncoder(
        positional="nerf",
        positional_options={"scales": min(max(octaves, 1), MAX_NERF_SCALES)},
        network=run.network,
        network_options=options[run.network],
        dimension=dimension,
        name=name,
        seed=run.seed,
    )


def _fit(
    student: LocationEncoder,
    lonlat: _Floats,
    wanted: _Embeddings,
    run: DistillRun,
    show: Callable[[dict[str, Any], int], None],
    world: World,
) -> float:
    """Train in place; the mean loss of the last epoch."""
    optimizer = torch.optim.AdamW(
        student.network.parameters(), lr=run.learning_rate, weight_decay=run.weight_decay
    )
    steps = n_batches(len(lonlat), run.batch_size)
    n_steps = run.epochs * steps
    world.require_rows(len(lonlat) // steps)
    world.share_noise(student)
    places = torch.from_numpy(lonlat)
    targets = F.normalize(torch.from_numpy(wanted), dim=-1)
    step = 0
    losses: list[float] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(run.seed, 0))
        student.train()
        for epoch in range(run.epochs):
            losses = []
            for rows in epoch_batches(len(lonlat), run.batch_size, seed=run.seed, epoch=epoch):
                for group in optimizer.param_groups:
                    group["lr"] = run.learning_rate * 0.5 * (1.0 + math.cos(math.pi * step / n_steps))
                some = torch.from_numpy(rows)
                said = world.divided(partial(_said, student, places[some]), len(some))
                loss = (1.0 - F.cosine_similarity(said, targets[some])).mean()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                world.average_gradients(optimizer)
                optimizer.step()
                step += 1
                losses.append(float(loss.detach()))
            if world.is_first:
                show({"epoch": epoch + 1, "loss": float(np.mean(losses))}, run.epochs)
    return float(np.mean(losses))


def _said(student: LocationEncoder, places: Tensor, part: slice) -> Tensor:
    found: Tensor = student(places[part]).float()
    return found


def errors_by_distance(
    student: LocationEncoder,
    lonlat: _Floats,
    wanted: _Embeddings,
    part: NDArray[np.intp],
    *,
    ground_m: float,
) -> dict[str, Any]:
    """Mean 1 - cosine at held-out places, in rings around the training places.

    Args:
        student: trained.
        lonlat: all places, (N, 2).
        wanted: embeddings of the map encoder, unit length, (N, D).
        part: 0 training, 1 held out, (N,).
        ground_m: width of a crop; rings are `RINGS` of it.

    Returns:
        ``held_out``: one row for all, and ``rings``: one for each ring that has places, with their
        number, the student's error, and those of the nearest training place and of the mean.
    """
    train, held = np.flatnonzero(part == 0), np.flatnonzero(part == 1)
    chord, nearest = cKDTree(unit_vectors(lonlat[train])).query(unit_vectors(lonlat[held]))
    distance_m = 1000.0 * km_of_chord(chord)
    mean = wanted[train].mean(axis=0)
    errors = {
        "student": _error(student.encode(lonlat[held]), wanted[held]),
        "nearest_place": _error(wanted[train][nearest], wanted[held]),
        "mean": _error(np.broadcast_to(mean, (len(held), len(mean))), wanted[held]),
    }
    ring = np.digitize(distance_m, np.array(RINGS) * ground_m)
    rows = []
    for number in range(len(RINGS) + 1):
        if (inside := ring == number).any():
            rows.append(
                {
                    "from_m": 0.0 if number == 0 else RINGS[number - 1] * ground_m,
                    "to_m": RINGS[number] * ground_m if number < len(RINGS) else None,
                    "places": int(inside.sum()),
                    **{name: float(error[inside].mean()) for name, error in errors.items()},
                }
            )
    return {
        "held_out": {"places": len(held), **{name: float(error.mean()) for name, error in errors.items()}},
        "rings": rows,
    }


def _error(said: NDArray[Any], wanted: _Embeddings) -> _Floats:
    """1 - cosine, (N, D) and (N, D) -> (N,)."""
    length = np.linalg.norm(said, axis=1) * np.linalg.norm(wanted, axis=1)
    error: _Floats = 1.0 - (said * wanted).sum(axis=1).astype(np.float64) / length.clip(1e-12)
    return error
