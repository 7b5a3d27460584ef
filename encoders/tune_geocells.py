"""One run that trains the last blocks of an image encoder with a geocell head, from photos of a gallery.

First the head alone is fitted on the gallery's embeddings, as `train_geocells` does. Then the photos are
read once more, what the frozen part of the encoder makes of them is kept on disk (`tail_inputs`), and the
last blocks and the head learn together (`tuning`). The best epoch of the validation groups is kept; epoch 0,
the frozen encoder, is one of them.

The folder of a run holds what `train_geocells` leaves, for the tuned encoder, and ``encoder.safetensors``,
weights for ``--encoder NAME --weights FILE``: photos must be indexed with it into a new gallery, since its
embeddings are others. Where no epoch was better than the frozen encoder there is no such file, and head
and prototypes are of the encoder as it was. ``report.json`` has both under the same photos. While it trains
there are ``log.jsonl``, ``checkpoint.safetensors`` and ``tail-inputs.f16``; the last is deleted at the end.

A run that was killed goes on where it was and ends with the same bytes as one that was not, on the same
machine with the same number of threads.
"""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from .captioning.photos import PhotoSource
from .catalog import load_encoder
from .csp_checkpoint import write_checkpoint
from .csp_sampling import Pairs
from .demonstration import DemonstrationNet
from .errors import PlaceprintError
from .geocell_head import unit_rows
from .geocell_heads.partition import Partition
from .geocell_heads.settings import HeadRun, TuneRun
from .geocell_heads.splitting import SplitEncoder
from .geocell_heads.tail_inputs import TailInputs, forget_inputs, read_inputs
from .geocell_heads.training import Material
from .geocell_heads.tuning import Tuner
from .geocell_heads.tuning_report import compared, photo_scores, verdict
from .image import ImageEncoder
from .location_files import write_atomically
from .prototypes import Kind
from .run_folder import CHECKPOINT, Show, claim, resumed, train_rounds
from .train_geocells import answered, best_fit, counts_of, report_of, write_results

ENCODER_FILE = "encoder.safetensors"
_SAME_PHOTO = 0.999  # cosine of a photo's embedding now and when it was indexed; decoders differ a little


def run_tuned_geocells(
    pairs: Pairs,
    photos: Sequence[PhotoSource],
    encoder: ImageEncoder,
    cells: Partition,
    run: HeadRun,
    tune: TuneRun,
    out: Path,
    *,
    encoder_name: str,
    month: NDArray[np.int64] | None = None,
    kind: Kind = "mean",
    is_resumed: bool = False,
    source: Mapping[str, Any] | None = None,
    workers: int | None = None,
    checkpoint_s: float = 60.0,
    show_reading: Callable[[int, int], None] = lambda done, total: None,
    show_fit: Show = lambda record, rounds: None,
    show_epoch: Show = lambda record, epochs: None,
) -> dict[str, Any]:
    """Fit a head, train the last blocks with it, and write everything the head of this file names.

    Args:
        pairs: embeddings and places of photos.
        photos: where to read these photos, in the same order.
        encoder: that made the embeddings; changed in place.
        cells: the partition to answer in.
        run: settings of the head.
        tune: settings of the tuning.
        out: folder of the run, made if needed.
        encoder_name: as `load_encoder` takes it.
        month: of the photos, 1 to 12, 0 unknown, (N,).
        kind: of prototypes.
        is_resumed: go on with the folder's run, or begin where there is none.
        source: what the photos are, JSON facts for the cards.
        workers: processes that decode; all cores by default.
        checkpoint_s: seconds between checkpoints, at least; one is written at the end, too.
        show_reading: called with the number of photos read and of all.
        show_fit: called with the record of each round of a fit, and the most rounds there can be.
        show_epoch: called with the record of each epoch, and the most epochs there can be.

    Returns:
        The report, as in ``report.json``: that of `run_geocells`, and ``tuning``.

    Raises:
        TooFewPairs: fewer than 50 photos that can be read, or too few groups to hold some out.
        InvalidOption: an encoder that cannot be split there, a setting without
            meaning, or several processes of `torchrun`.
        AnotherRun: the folder holds a run, and `is_resumed` is False or that run is another.
        DamagedCheckpoint: it cannot be gone on from.
        UnwritableFile: the folder is full or not ours to write to.
    """
    split = SplitEncoder(encoder, tune.blocks)
    material = Material.of(pairs, cells, run, month=month)  # before the folder: errors leave nothing
    identity = {
        "settings": run.to_dict() | tune.to_dict(),
        "data": material.digest,
        "model": {"cells_id": cells.cells_id, "encoder": pairs.encoder},
    }
    claim(out, identity, {"photos": counts_of(material), "cells": len(cells)}, is_resumed=is_resumed)
    if is_resumed and (out / "report.json").exists():
        done: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
        return done
    inputs = read_inputs(split, photos, out, workers=workers, show=show_reading)
    left_out = _left_out(split, inputs, pairs)
    _write_left_out(out, {photos[row].key: reason for row, reason in left_out.items()})
    at = np.array([row for row in range(len(pairs)) if row not in left_out], dtype=np.intp)
    if left_out:
        material = Material.of(pairs.take(at), cells, run, month=None if month is None else month[at])

    head, decay = best_fit(material, run, out, show_fit)
    tuner = Tuner(material, inputs, at, split, head, run, tune, weight_decay=decay)
    prototypes = answered(material, head, kind)
    report = report_of(material, head, prototypes, run, weight_decay=decay, source=source)
    frozen = photo_scores(material, head, prototypes)
    head.temperature.fill_(1.0)  # as it was fitted
    _train(tuner, out, identity, is_resumed=is_resumed, checkpoint_s=checkpoint_s, show=show_epoch)

    facts = _facts(tuner, encoder_name, left_out)
    differences = None
    if tuner.progress.best_epoch:
        card = {"title": "Image encoder, its last blocks trained to tell places", **facts}
        save_encoder(split, out / ENCODER_FILE, card | {"source": dict(source or {})})
        tuned = _tuned_material(tuner, load_encoder(encoder_name, weights=out / ENCODER_FILE))
        head.encoder = tuned.pairs.encoder
        prototypes = answered(tuned, head, kind)
        facts["frozen_rows"] = report["rows"]
        report = report_of(tuned, head, prototypes, run, weight_decay=decay, source=source)
        groups = material.pairs.groups[material.rows(2)]
        differences = compared(frozen, photo_scores(tuned, head, prototypes), groups)
        facts |= {"differences": differences, "use": _use(encoder_name, out, source or {})}
    else:
        prototypes = answered(material, head, kind)
    facts["verdict"] = verdict(tuner.progress.best_epoch, differences)
    report |= {"tuning": facts, "settings": identity["settings"]}
    write_results(out, head, prototypes, report)
    forget_inputs(out)
    return report


def save_encoder(split: SplitEncoder, path: Path, card: Mapping[str, Any]) -> None:
    """Write the weights of a whole encoder as `load_encoder` takes them, a card in the file's header.

    Raises:
        UnwritableFile: the folder is missing, full or not ours to write to.
    """
    # Copies: tensors that share memory, as tied weights do, are refused by safetensors.
    state = {
        name: value.detach().cpu().contiguous().clone() for name, value in split.model.state_dict().items()
    }
    described = {"placeprint": json.dumps(dict(card), sort_keys=True)}
    if isinstance(split.model, DemonstrationNet):
        described["vocabulary"] = json.dumps(split.model.vocabulary)
    write_atomically(path, safetensors.torch.save(state, described))


def _train(
    tuner: Tuner, out: Path, identity: dict[str, Any], *, is_resumed: bool, checkpoint_s: float, show: Show
) -> None:
    """Train to the end, from the checkpoint where there is one; encoder and head end as they were best."""
    if is_resumed and (found := resumed(out, tuner.learned, tuner.optimizer, identity)):
        tuner.progress, tuner.best = found

    def save() -> None:
        write_checkpoint(
            out / CHECKPOINT, tuner.learned, tuner.optimizer, tuner.best, tuner.progress, identity=identity
        )

    # Whoever calls keeps the state of the generator.
    with torch.random.fork_rng(devices=[]):
        train_rounds(
            out, tuner.progress, tuner.tune.epochs, tuner.epoch, save, checkpoint_s=checkpoint_s, show=show
        )
    tuner.finish()


def _left_out(split: SplitEncoder, inputs: TailInputs, pairs: Pairs) -> dict[int, str]:
    """Photos that could not be read, or that are not what they were, by row."""
    readable = np.array([row for row in range(len(pairs)) if row not in inputs.left_out], dtype=np.intp)
    known = unit_rows(pairs.images, pairs.images.shape[1])[readable]
    cosine = (inputs.embed(split, readable) * known).sum(axis=1)
    why = "does not give the embedding any more that the gallery has of it; index it again"
    return inputs.left_out | {int(row): why for row in readable[cosine < _SAME_PHOTO]}


def _write_left_out(out: Path, left_out: Mapping[str, str]) -> None:
    if left_out:
        lines = [f"{key}\t{reason}" for key, reason in left_out.items()]
        text = "\n".join([*lines, ""]).encode("utf-8", "backslashreplace")
        write_atomically(out / "left-out.tsv", text)


def _facts(tuner: Tuner, encoder_name: str, left_out: Mapping[int, str]) -> dict[str, Any]:
    """What the report says of the tuning whatever came of it."""
    progress = tuner.progress
    return {
        "encoder": encoder_name,
        "base": tuner.material.pairs.encoder,
        "blocks": tuner.split.n_blocks,
        "all_blocks": tuner.split.n_all_blocks,
        "trained_numbers": sum(one.numel() for one in tuner.split.weights.values()),
        "epochs": len(progress.log),
        "best_epoch": progress.best_epoch,
        "validation_nll": {"frozen": tuner.frozen_nll, "tuned": progress.best_score},
        "photos_left_out": len(left_out),
        "licence": (
            "that of the model it began from, and what the licences of these photos ask for; state both "
            "before you share it"
        ),
    }


def _tuned_material(tuner: Tuner, encoder: ImageEncoder) -> Material:
    """The same photos, embedded by the tuned encoder; it is asked whether its file gives the same.

    Raises:
        PlaceprintError: it does not.
    """
    size = encoder.preprocessing.size
    pixels = np.random.default_rng(1).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    if not np.allclose(encoder.embed_pixels(pixels), tuner.split.whole(pixels), rtol=0.0, atol=1e-4):
        raise PlaceprintError(
            "the tuned encoder, read from its file, does not embed as it did in memory; report this"
        )
    old = tuner.material.pairs
    images = tuner.embed(np.arange(len(old)))
    return replace(tuner.material, pairs=Pairs(images, old.lonlat, old.groups, encoder.fingerprint.id))


def _use(encoder_name: str, out: Path, source: Mapping[str, Any]) -> str:
    """The words that take the tuned encoder into use."""
    sources = list(source.get("sources", {}))
    photos = shlex.quote(sources[0]) if len(sources) == 1 else "PHOTOS"
    return (
        f"placeprint index {photos} --gallery NEW --encoder {shlex.quote(encoder_name)} "
        f"--weights {shlex.quote(str(out / ENCODER_FILE))}"
    )
