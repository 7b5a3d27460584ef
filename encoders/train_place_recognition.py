"""One run of learning to recognize places, from photos with coordinates to a place encoder.

The folder of a run holds ``run.json`` (settings, data, backbone), ``log.jsonl`` (a line each round),
``checkpoint.safetensors``, and at the end ``place-encoder.safetensors`` (for
``load_encoder("place:…")``), ``report.json`` and ``card.md``. While it trains, ``cache.npy`` holds
what the frozen backbone says of every photo.

A round is 1000 queries by default, and checkpoints are written between rounds: a run that was killed goes
on from the last one, repeats what it had lost, and ends with the same encoder and the same log as one that
was not, bit for bit, on the same CPU with the same number of threads. A checkpoint each step would hold the
cached embeddings of the whole gallery. On a GPU the last bits may differ.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from .csp_checkpoint import write_checkpoint
from .errors import PlaceprintError
from .location_files import write_atomically
from .place_recognition.linter import Finding, lint
from .place_recognition.local_features import HasBackbone
from .place_recognition.photos import PlacePhotos
from .place_recognition.report import card, figures
from .place_recognition.settings import PlaceRun
from .place_recognition.trainer import PlaceTrainer
from .processes import joined
from .run_folder import CHECKPOINT, claim, require_free, resumed, train_rounds

Show = Callable[[dict[str, Any], int], None]


def run_place_recognition(
    photos: PlacePhotos,
    backbone: HasBackbone,
    run: PlaceRun,
    out: Path,
    *,
    name: str = "place-encoder",
    facts: Mapping[str, Any] | None = None,
    is_resumed: bool = False,
    device: str = "cpu",
    checkpoint_s: float = 5.0,
    show: Show = lambda record, rounds: None,
    tell: Callable[[str], None] = lambda message: None,
    count: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Train a place encoder and write everything the head of this file names.

    Processes that `torchrun` started read and train together, each its part of every batch; the first writes.

    With `run.epochs` 0 nothing is trained: NetVLAD gets a vocabulary of these photos, and the whitening is
    fitted to them.

    Args:
        photos: with their places.
        backbone: the image encoder whose layers are read.
        run: the settings.
        out: folder of the run, made if needed.
        name: of the encoder.
        facts: what the photos are, JSON for the card: ``source``, ``licence``, …
        is_resumed: go on from the folder's checkpoint, or from the start where there is none.
        device: where to train; ``cuda`` is a device of its own for each process.
        checkpoint_s: seconds between checkpoints, at least; one is written at the end, too.
        show: called with the record of each round and the number of rounds.
        tell: called with what the linter finds, before anything is read.
        count: called with how many photos are read, and of how many.

    Returns:
        The report, as in ``report.json``.

    Raises:
        PlaceprintError: the linter found something from which nothing can be learned.
        InvalidOption: settings that cannot work.
        TooFewPairs: nothing to learn from.
        AnotherRun: the folder holds a run, and `is_resumed` is False or that run is another.
        DamagedCheckpoint: it cannot be gone on from.
        UnreadableImage: a photo that cannot be decoded.
        UnwritableFile: the folder is missing, full or not ours to write to.
    """
    require_free(out, is_resumed=is_resumed)
    findings = lint(photos, run.nearness)
    _heed(findings, run, tell)
    identity = {
        "settings": run.to_dict(),
        "data": photos.digest,
        "model": f"{backbone.fingerprint.name} {backbone.fingerprint.id}",
    }
    with joined() as world, torch.random.fork_rng(devices=[]):
        # Before the folder is touched: settings that cannot work leave nothing.
        trainer = PlaceTrainer(photos, backbone, run, name=name, device=world.device(device), world=world)
        claim(out, identity, {"photos": len(photos)}, is_resumed=is_resumed, world=world)
        trainer.prepare(out / "cache.npy", count)
        if is_resumed and (found := resumed(out, trainer.model, trainer.optimizer, identity)):
            trainer.progress, trainer.best = found
        train_rounds(
            out,
            trainer.progress,
            trainer.n_rounds,
            trainer.round,
            lambda: write_checkpoint(
                out / CHECKPOINT,
                trainer.model,
                trainer.optimizer,
                trainer.best,
                trainer.progress,
                identity=identity,
            ),
            checkpoint_s=checkpoint_s,
            show=show,
            world=world,
        )
        return world.first(lambda: _write(trainer, out, findings, dict(facts or {})))


def _heed(findings: list[Finding], run: PlaceRun, tell: Callable[[str], None]) -> None:
    """Tell what is wrong with the photos, and stop where nothing can come of them."""
    for finding in findings:
        is_in_the_way = finding.is_fatal and (run.epochs > 0 or finding.kind == "missing files")
        if is_in_the_way:
            raise PlaceprintError(f"{finding.kind}: {finding.message}")
        tell(f"{finding.kind}: {finding.message}")


def _write(
    trainer: PlaceTrainer, out: Path, findings: list[Finding], source: dict[str, Any]
) -> dict[str, Any]:
    """Write the encoder, the report and the card, and remove the cache."""
    facts = figures(trainer) | {
        "findings": [f"{one.kind}: {one.message}" for one in findings],
        "source": source,
    }
    trainer.encoder.card = facts | {"settings": trainer.run.to_dict()}
    trainer.encoder.save(out / "place-encoder.safetensors")
    report = facts | {"fingerprint": trainer.encoder.fingerprint.id}
    write_atomically(out / "report.json", json.dumps(report, indent=1).encode())
    write_atomically(out / "card.md", card(trainer, facts).encode())
    trainer.cache.remove()
    return report
