"""One contrastive pre-training run, from pairs of photos and places to a location encoder.

The folder of a run holds ``run.json`` (settings, data, split), ``log.jsonl`` (a line each epoch),
``checkpoint.safetensors``, and at the end ``location.safetensors`` (the encoder, for
`load_location_encoder`), ``projection.safetensors`` (the image side), ``report.json``, ``card.md``
and ``curves.png``.

A run that was killed goes on from its checkpoint and ends with the same bytes as one that was not,
on the same machine with the same number of threads: every draw is a function of seed and step.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from .csp_checkpoint import read_checkpoint, write_checkpoint
from .csp_report import write_report
from .csp_sampling import Pairs
from .csp_settings import CspRun
from .csp_trainer import Split, Trainer
from .errors import AnotherRun
from .location_files import write_atomically

Show = Callable[[dict[str, Any], int], None]


def run_csp(
    pairs: Pairs,
    run: CspRun,
    out: Path,
    *,
    is_resumed: bool = False,
    source: Mapping[str, Any] | None = None,
    checkpoint_s: float = 30.0,
    show: Show = lambda record, epochs: None,
) -> dict[str, Any]:
    """Pre-train a location encoder and write everything the head of this file names.

    Args:
        pairs: photos and places.
        run: the settings.
        out: folder of the run, made if needed.
        is_resumed: go on from the folder's checkpoint, or from the start where there is none.
        source: what the pairs are, JSON facts for the card.
        checkpoint_s: seconds between checkpoints, at least; one is written at the end, too.
        show: called with the record of each epoch and the number of epochs.

    Returns:
        The report, as in ``report.json``.

    Raises:
        TooFewPairs: see `Split.of`.
        AnotherRun: the folder holds a run, and `is_resumed` is False or that run is another.
        DamagedCheckpoint: it cannot be gone on from.
        UnwritableFile: the folder is missing, full or not ours to write to.
    """
    split = Split.of(pairs, run)
    identity = {"settings": run.to_dict(), "data": split.digest}
    trainer = Trainer(split, run)  # before the folder is touched: settings that cannot work leave nothing
    _claim(out, identity, split, is_resumed=is_resumed)
    # The seeds of the steps are ours; whoever calls keeps the state of the generator.
    with torch.random.fork_rng(devices=[]):
        checkpoint = out / "checkpoint.safetensors"
        if is_resumed and checkpoint.exists():
            trainer.progress, trainer.best, found = read_checkpoint(
                checkpoint, trainer.model, trainer.optimizer
            )
            _require_same(out, found, identity)
        _train(trainer, out, identity, checkpoint_s, show)
        trainer.finish()
        return write_report(trainer, out, dict(source or {}))


def _train(trainer: Trainer, out: Path, identity: dict[str, Any], checkpoint_s: float, show: Show) -> None:
    lines = "".join(json.dumps(record) + "\n" for record in trainer.progress.log)
    write_atomically(out / "log.jsonl", lines.encode())
    saved_at, n_saved = time.monotonic(), trainer.progress.epoch
    with (out / "log.jsonl").open("a", encoding="utf-8") as log:
        while trainer.progress.epoch < trainer.run.epochs:
            record = trainer.epoch()
            log.write(json.dumps(record) + "\n")
            log.flush()
            is_last = trainer.progress.epoch == trainer.run.epochs
            if is_last or time.monotonic() - saved_at >= checkpoint_s:
                _save(trainer, out, identity)
                saved_at, n_saved = time.monotonic(), trainer.progress.epoch
            show(record, trainer.run.epochs)
    if n_saved == 0:
        _save(trainer, out, identity)


def _save(trainer: Trainer, out: Path, identity: dict[str, Any]) -> None:
    write_checkpoint(
        out / "checkpoint.safetensors",
        trainer.model,
        trainer.optimizer,
        trainer.best,
        trainer.progress,
        identity=identity,
    )


def _claim(out: Path, identity: dict[str, Any], split: Split, *, is_resumed: bool) -> None:
    """See that the folder is free for this run, or holds this very run."""
    path = out / "run.json"
    if path.exists():
        if not is_resumed:
            raise AnotherRun(
                f"{out} holds a run already; add --resume to go on with it, or choose another --out"
            )
        try:
            _require_same(out, json.loads(path.read_text(encoding="utf-8")), identity)
        except ValueError as error:
            raise AnotherRun(f"{path}: cannot be read ({error}); choose another --out") from None
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AnotherRun(f"{out}: cannot be a folder for a run ({error.strerror})") from None
    counts = {name: len(split.rows(part)) for part, name in enumerate(("training", "validation", "test"))}
    record = {
        **identity,
        "block_deg": split.block_deg,
        "regions": int(split.region.max()) + 1,
        "pairs": counts,
    }
    write_atomically(path, json.dumps(record, indent=1).encode())


def _require_same(out: Path, found: dict[str, Any], identity: dict[str, Any]) -> None:
    """Name what differs between the run in the folder and the one asked for."""
    if found.get("data") != identity["data"]:
        raise AnotherRun(
            f"{out} holds a run on other photos or places; the gallery has changed since. "
            "Choose another --out, or go back to the gallery as it was"
        )
    was, now = found.get("settings", {}), json.loads(json.dumps(identity["settings"]))
    differing = [
        f"{name} was {was.get(name)!r}, now {now[name]!r}" for name in now if was.get(name) != now[name]
    ]
    if differing:
        raise AnotherRun(
            f"{out} holds a run with other settings: {'; '.join(differing)}. Choose another --out"
        )
