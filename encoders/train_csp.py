"""One contrastive pre-training run, from pairs of photos and places to a location encoder.

The folder of a run holds ``run.json`` (settings, data, split), ``log.jsonl`` (a line each epoch),
``checkpoint.safetensors``, and at the end ``location.safetensors`` (the encoder, for
`load_location_encoder`), ``projection.safetensors`` (the image side), ``report.json``, ``card.md``
and ``curves.png``.

A run that was killed goes on from its checkpoint and ends with the same bytes as one that was not,
on the same machine with the same number of threads: every draw is a function of seed and step.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .csp_checkpoint import write_checkpoint
from .csp_report import write_report
from .csp_sampling import Pairs
from .csp_settings import CspRun
from .csp_trainer import Split, Trainer
from .processes import joined
from .run_folder import CHECKPOINT, Show, claim, resumed, train_rounds


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

    Processes that `torchrun` started train together, each on its part of every batch; the first writes.

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
        InvalidOption: more processes than a batch has pairs.
        AnotherRun: the folder holds a run, and `is_resumed` is False or that run is another.
        DamagedCheckpoint: it cannot be gone on from.
        UnwritableFile: the folder is missing, full or not ours to write to.
    """
    # The seeds of the steps are ours; whoever calls keeps the state of the generator.
    with joined() as world, torch.random.fork_rng(devices=[]):
        split = Split.of(pairs, run)
        identity = {"settings": run.to_dict(), "data": split.digest}
        trainer = Trainer(split, run, world)  # before the folder is touched: what cannot work leaves nothing
        counts = {name: len(split.rows(part)) for part, name in enumerate(("training", "validation", "test"))}
        facts = {"block_deg": split.block_deg, "regions": int(split.region.max()) + 1, "pairs": counts}
        claim(out, identity, facts, is_resumed=is_resumed, world=world)
        if is_resumed and (found := resumed(out, trainer.model, trainer.optimizer, identity)):
            trainer.progress, trainer.best = found
        train_rounds(
            out,
            trainer.progress,
            run.epochs,
            trainer.epoch,
            lambda: _save(trainer, out, identity),
            checkpoint_s=checkpoint_s,
            show=show,
            world=world,
        )
        return world.first(lambda: _report(trainer, out, dict(source or {})))


def _save(trainer: Trainer, out: Path, identity: dict[str, Any]) -> None:
    write_checkpoint(
        out / CHECKPOINT,
        trainer.model,
        trainer.optimizer,
        trainer.best,
        trainer.progress,
        identity=identity,
    )


def _report(trainer: Trainer, out: Path, source: dict[str, Any]) -> dict[str, Any]:
    trainer.finish()
    return write_report(trainer, out, source)
