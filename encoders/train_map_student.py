"""Training a student of a map encoder from its folder: embed, fit, report.

``run_student`` looks at every place's map once and keeps the embeddings in ``embeddings.safetensors``,
so that an interrupted run goes on without looking again; the student itself is fitted in minutes. It
leaves ``map-student.safetensors`` (see `location.LocationEncoder`), ``report.json``, ``card.md`` and
``errors.png``: how far off it is, by distance from the places that it learned.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from .location import LocationEncoder
from .location_files import read_tensors, write_atomically
from .map_learning.crop_source import CropSource
from .map_learning.distill import DistillRun, distill
from .map_learning.encoder import MapEncoder
from .processes import World, joined
from .run_folder import claim
from .sphere import as_lonlat

_BATCH = 512
ROWS = {"student": "student", "nearest_place": "map of the nearest place", "mean": "mean of all places"}
"""Answers of a report, and what to call them."""


def run_student(
    encoder: MapEncoder,
    source: CropSource,
    lonlat: NDArray[np.float64],
    run: DistillRun,
    out: Path,
    *,
    name: str = "map-student",
    facts: Mapping[str, Any] | None = None,
    is_resumed: bool = False,
    looked: Callable[[int, int], None] = lambda done, total: None,
    show: Callable[[dict[str, Any], int], None] = lambda record, epochs: None,
) -> dict[str, Any]:
    """Teach coordinates what a map encoder says, and write everything the head of this file names.

    Processes that `torchrun` started look and train together; the first writes.

    Args:
        encoder: the teacher.
        source: of its crops.
        lonlat: places to learn, degrees, longitude first, (N, 2).
        run: the settings.
        out: folder of the run, made if needed.
        name: of the student.
        facts: what the map is, JSON for the card: ``mosaics``, ``attribution``, ...
        is_resumed: go on with the run in the folder.
        looked: called with the number of places looked at, and of all.
        show: called with the record of each epoch, and the number of epochs.

    Returns:
        The report, as in ``report.json``.

    Raises:
        InvalidCoordinate: a place that is not on Earth.
        TooFewPairs: too few places, or too few separate blocks to hold some out.
        AnotherRun: the folder holds a run, and `is_resumed` is False or that run is another.
        UnwritableFile: the folder is missing, full or not ours to write to.
    """
    places = as_lonlat(lonlat).reshape(-1, 2)
    digest = hashlib.sha256(np.ascontiguousarray(places).tobytes())
    some = places[:: max(1, len(places) // 64)]
    # Embeddings of an interrupted run are gone on with: they must be of this map.
    digest.update(source.crops(some, ground_m=encoder.config.ground_m, px=32).tobytes())
    data = digest.hexdigest()
    identity = {"settings": asdict(run), "data": data, "model": encoder.fingerprint.id}
    about = {
        "ground_m": encoder.config.ground_m,
        "teacher": encoder.fingerprint.id,
        "teacher_name": encoder.name,
        "source": dict(facts or {}),
    }
    with joined() as world:
        claim(out, identity, {"places": len(places)}, is_resumed=is_resumed, world=world)
        embeddings = _looked_at(encoder, source, places, out / "embeddings.safetensors", looked, world)
        student, figures = distill(
            places, embeddings, run,
            ground_m=encoder.config.ground_m, name=name, card=about, show=show, world=world,
        )  # fmt: skip
        report = {**about, **figures, "fingerprint": student.fingerprint}
        return world.first(lambda: _write(student, report, places, run, out))


def _write(
    student: LocationEncoder,
    report: dict[str, Any],
    lonlat: NDArray[np.float64],
    run: DistillRun,
    out: Path,
) -> dict[str, Any]:
    student.save(out / "map-student.safetensors")
    write_atomically(out / "report.json", json.dumps(report, indent=1).encode())
    write_atomically(out / "card.md", card(report, lonlat, run).encode())
    draw_errors(report["rings"], out / "errors.png")
    return report


def _looked_at(
    encoder: MapEncoder,
    source: CropSource,
    lonlat: NDArray[np.float64],
    path: Path,
    looked: Callable[[int, int], None],
    world: World,
) -> NDArray[np.float32]:
    """Embeddings of all places, (N, D); what an earlier run has of them is taken from its file."""
    known: NDArray[np.float32] = np.empty((0, encoder.dimension), np.float32)
    if path.exists():
        known = read_tensors(path)["embeddings"].numpy()[: len(lonlat)]
    world.require_same(len(known), "file of embeddings")
    looked = looked if world.is_first else lambda done, total: None
    parts = [known]
    for start in range(len(known), len(lonlat), _BATCH):
        looked(start, len(lonlat))
        parts.append(_embedded(encoder, source, lonlat[start : start + _BATCH], world))
        if world.is_first:
            write_atomically(path, safetensors.numpy.save({"embeddings": np.concatenate(parts)}))
    looked(len(lonlat), len(lonlat))
    return np.concatenate(parts)


def _embedded(
    encoder: MapEncoder, source: CropSource, lonlat: NDArray[np.float64], world: World
) -> NDArray[np.float32]:
    """Embeddings of some places, (n, D), each process its part of them."""

    def compute(part: slice) -> Tensor:
        return torch.from_numpy(encoder.embed_places(source, lonlat[part]))

    found: NDArray[np.float32] = world.divided(compute, len(lonlat)).numpy()
    return found


def card(report: Mapping[str, Any], lonlat: NDArray[np.float64], run: DistillRun) -> str:
    """The card of a student, Markdown: what it learned from, and how far off it is where."""
    lon, lat = lonlat.T
    source, all_held_out = report["source"], report["held_out"]
    lines = [
        "# Student of a map encoder",
        "",
        "Method: a location encoder that points where the map encoder points, loss 1 - cosine. It needs no "
        "map when it is asked, and has not seen the map of a place that it was not taught.",
        "",
        f"Teacher: {report['teacher_name']} ({report['teacher']}), which looks at crops "
        f"{report['ground_m']:g} m wide.",
        "",
        f"Training data: its embeddings at {report['places']['training']:,} places, lon {lon.min():.2f} to "
        f"{lon.max():.2f}, lat {lat.min():.2f} to {lat.max():.2f}; {report['places']['held_out']:,} more in "
        f"held-out blocks {report['block_km']:g} km wide. Elsewhere it extrapolates.",
        "",
        f"Map: {', '.join(source.get('mosaics', [])) or 'not told'}. Attribution: "
        f"{source.get('attribution') or 'not told'}. Licence: that of the map's data; state it before you "
        "share the weights.",
        "",
        "1 - cosine to what the map encoder says, at held-out places, by distance to the nearest place "
        "learned:",
        "",
        "| km | places | " + " | ".join(ROWS.values()) + " |",
        "|---|---|---|---|---|",
        *(_row(kilometers(ring), ring) for ring in report["rings"]),
        _row("all", all_held_out),
        "",
        "Settings:",
        "",
        "```json",
        json.dumps(asdict(run), indent=1),
        "```",
        "",
    ]
    return "\n".join(lines)


def _row(title: str, figures: Mapping[str, Any]) -> str:
    return f"| {title} | {figures['places']:,} | {' | '.join(f'{figures[key]:.3f}' for key in ROWS)} |"


def kilometers(ring: Mapping[str, Any]) -> str:
    """A ring's distances in words, such as ``20 to 40``."""
    near, far = ring["from_m"] / 1000.0, ring["to_m"]
    return f"from {near:g}" if far is None else f"{near:g} to {far / 1000.0:g}"


def draw_errors(rings: list[dict[str, Any]], path: Path) -> None:
    """Draw errors over the distance to the nearest place learned, as PNG."""
    drawing = Figure(figsize=(7.0, 4.4), layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots()
    middle = range(len(rings))
    for key, title in ROWS.items():
        axes.plot(middle, [ring[key] for ring in rings], marker="o", label=title)
    axes.set_xticks(list(middle), [f"{kilometers(ring)}\nn = {ring['places']:,}" for ring in rings])
    axes.set(xlabel="km to the nearest place learned", ylabel="1 - cosine, held-out places", ylim=(0.0, None))
    axes.legend(frameon=False)
    drawing.savefig(path, dpi=110)
