"""One map run, from crops of a map around places to a map encoder.

The folder of a run holds ``run.json`` (settings, data), ``log.jsonl`` (a line each epoch),
``checkpoint.safetensors``, and at the end ``map-encoder.safetensors`` (for
`map_learning.encoder.MapEncoder`), ``report.json`` and ``card.md``.

A run that was killed goes on from its checkpoint and ends with the same weights and the same log as
one that was not, bit for bit, on the same CPU with the same number of threads: every draw is a
function of seed and step. Times stand in the report alone. On a GPU the last bits may differ.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .csp_checkpoint import write_checkpoint
from .map_learning.crop_source import CropSource
from .map_learning.geo_targets import PlaceLabels
from .map_learning.report import write_report
from .map_learning.settings import MapRun
from .map_learning.trainer import MapTrainer
from .mosaics.styles import style_named
from .processes import joined
from .run_folder import CHECKPOINT, claim, require_free, resumed, train_rounds

Show = Callable[[dict[str, Any], int], None]


def run_maps(
    source: CropSource,
    lonlat: NDArray[np.float64],
    run: MapRun,
    out: Path,
    *,
    labels: PlaceLabels | None = None,
    name: str = "map-encoder",
    facts: Mapping[str, Any] | None = None,
    is_resumed: bool = False,
    device: str = "cpu",
    checkpoint_s: float = 30.0,
    show: Show = lambda record, epochs: None,
    tell: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Train a map encoder and write everything the head of this file names.

    Processes that `torchrun` started train together, each on some places of every batch; the first writes.

    Args:
        source: of the crops, such as a mosaic.
        lonlat: places to learn from, degrees, longitude first, (N, 2).
        run: the settings.
        out: folder of the run, made if needed.
        labels: of the places; None for none.
        name: of the encoder.
        facts: what the map is, JSON for the card: ``mosaics``, ``attribution``, ...
        is_resumed: go on from the folder's checkpoint, or from the start where there is none.
        device: where to train; ``cuda`` is a device of its own for each process.
        checkpoint_s: seconds between checkpoints, at least; one is written at the end, too.
        show: called with the record of each epoch, with its timing, and the number of epochs.
        tell: called with each warning before training starts.

    Returns:
        The report, as in ``report.json``.

    Raises:
        InvalidCoordinate: a place that is not on Earth.
        InvalidOption: settings that cannot work.
        TooFewPairs: fewer places than a batch.
        AnotherRun: the folder holds a run, and `is_resumed` is False or that run is another.
        DamagedCheckpoint: it cannot be gone on from.
        UnwritableFile: the folder is missing, full or not ours to write to.
    """
    require_free(out, is_resumed=is_resumed)  # before the maps are looked at, which may take minutes
    labels = PlaceLabels.none(len(lonlat)) if labels is None else labels
    # The seeds of the steps are ours; whoever calls keeps the state of the generator.
    with joined() as world, torch.random.fork_rng(devices=[]):
        device = world.device(device)
        trainer = MapTrainer(source, lonlat, labels, run, colors=class_colors(), device=device, world=world)
        for warning in trainer.warnings if world.is_first else ():
            tell(warning)
        identity = {"settings": trainer.run.to_dict(), "data": trainer.digest}
        counts = {"training": len(trainer.split.train), "held_out": len(trainer.split.held_out)}
        claim(out, identity, {"places": counts, "steps": trainer.n_steps}, is_resumed=is_resumed, world=world)
        try:
            if is_resumed and (found := resumed(out, trainer.model, trainer.optimizer, identity)):
                trainer.progress, _ = found
            train_rounds(
                out,
                trainer.progress,
                trainer.run.epochs,
                trainer.epoch,
                lambda: _save(trainer, out, identity),
                checkpoint_s=checkpoint_s,
                show=lambda record, epochs: show(record | trainer.timing.figures, epochs),
                world=world,
            )
            timing = trainer.timing.figures
            return world.first(
                lambda: write_report(trainer, out, name=name, source=dict(facts or {}), timing=timing)
            )
        finally:
            trainer.close()


def _save(trainer: MapTrainer, out: Path, identity: dict[str, Any]) -> None:
    write_checkpoint(
        out / CHECKPOINT, trainer.model, trainer.optimizer, {}, trainer.progress, identity=identity
    )


def class_colors() -> torch.Tensor:
    """Colors of the legend's classes in the style ``plain``, in [0, 1], (C, 3).

    Only the published form of reconstruction uses them: what color a class has is a mere name.
    """
    return torch.from_numpy(style_named("plain").astype(np.float32) / 255.0)
