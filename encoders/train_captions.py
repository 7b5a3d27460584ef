"""One caption training run, from photos of known place to an image encoder that knows regional looks.

Photos are paired with `captions` of where, when and which way they were taken, drawn anew each epoch, and
an image–text model of open_clip learns which belong together.

The folder of a run holds ``run.json`` (settings, data, model), ``log.jsonl`` (a line each round),
``checkpoint.safetensors``, and at the end ``encoder.safetensors`` (weights for
``--encoder MODEL --weights FILE``), ``report.json``, ``card.md``, ``curves.png``, and ``left-out.tsv`` if
photos could not be used.

A run that was killed goes on from its checkpoint and ends with the same bytes as one that was not,
on the same machine with the same number of threads: every draw is a function of seed and step.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .captioning.model import CaptionModel
from .captioning.photos import CaptionPhotos
from .captioning.report import photo_counts, write_report
from .captioning.settings import CaptionRun
from .captioning.trainer import CaptionTrainer
from .csp_checkpoint import write_checkpoint
from .processes import joined
from .run_folder import CHECKPOINT, Show, claim, resumed, train_rounds


def run_captions(
    photos: CaptionPhotos,
    model: CaptionModel,
    run: CaptionRun,
    out: Path,
    *,
    is_resumed: bool = False,
    source: Mapping[str, Any] | None = None,
    checkpoint_s: float = 120.0,
    show: Show = lambda record, rounds: None,
) -> dict[str, Any]:
    """Train a model on captions and write everything the head of this file names.

    Processes that `torchrun` started train together, each on its part of every batch; the first writes.

    Args:
        photos: made with the model's preprocessing.
        model: as it was made; changed in place.
        run: the settings.
        out: folder of the run, made if needed.
        is_resumed: go on from the folder's checkpoint, or from the start where there is none.
        source: what the photos are, JSON facts for the card.
        checkpoint_s: seconds between checkpoints, at least; one is written at the end, too.
        show: called with the record of each round and the number of rounds.

    Returns:
        The report, as in ``report.json``.

    Raises:
        TooFewPairs: fewer than 100 photos, or too few separate regions.
        InvalidOption: the model has nothing of what is to be tuned.
        AnotherRun: the folder holds a run, and `is_resumed` is False or that run is another.
        DamagedCheckpoint: it cannot be gone on from.
        UnwritableFile: the folder is missing, full or not ours to write to.
        UnreadableImage: a photo went away during the run; `is_resumed` goes on once it is back.
    """
    identity = {
        "settings": run.to_dict(),
        "data": photos.digest,
        "model": {"name": model.card_name, "fingerprint": model.base},
    }
    # Whoever calls keeps the state of the generator.
    with joined() as world, torch.random.fork_rng(devices=[]):
        # Before the folder is touched, so that errors leave nothing.
        trainer = CaptionTrainer(photos, run, model, world)
        counts = photo_counts(trainer)
        facts = {"block_deg": trainer.block_deg, "regions": int(trainer.region.max()) + 1, "photos": counts}
        claim(out, identity, facts, is_resumed=is_resumed, world=world)
        if is_resumed and (found := resumed(out, trainer.weights, trainer.optimizer, identity)):
            trainer.progress, trainer.best = found

        def save() -> None:
            write_checkpoint(
                out / CHECKPOINT,
                trainer.weights,
                trainer.optimizer,
                trainer.best,
                trainer.progress,
                identity=identity,
            )

        train_rounds(
            out, trainer.progress, trainer.n_rounds, trainer.round, save,
            checkpoint_s=checkpoint_s, show=show, world=world,
        )  # fmt: skip
        trainer.finish()
        return world.first(lambda: write_report(trainer, out, dict(source or {})))
