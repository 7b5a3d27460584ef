"""What a run of place recognition leaves in words and figures."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .pooling import Mean

if TYPE_CHECKING:  # only its type is named here
    from .trainer import PlaceTrainer


def figures(trainer: "PlaceTrainer") -> dict[str, Any]:
    """Finish a run, and say how it went on the held-out photos: JSON.

    Recall of the trained embedding stands beside that before training, that of the mean of the same local
    features, that after whitening, and chance.
    """
    split, truth = trainer.split, trainer.truth
    whole = trainer.finish()
    held_out: dict[str, Any] = {"queries": len(truth.queries), "photos": len(split.held_out)}
    if len(truth.queries):
        embeddings = trainer.embed(split.held_out)
        mean = trainer.cache.embed(split.held_out, Mean(trainer.encoder.features.channels))
        held_out |= {
            "chance": truth.chance,
            "mean_of_local_features": truth.recall(mean),
            "before_training": trainer.initial,
            "best_epoch": truth.recall(embeddings),
        }
        if (whitening := trainer.encoder.whitening) is not None:
            whitened = whitening(torch.from_numpy(embeddings)).numpy()
            held_out["whitened"] = truth.recall(np.asarray(whitened, np.float32))
    log = trainer.progress.log
    return {
        "photos": {
            "given": len(trainer.photos),
            "training": len(split.train),
            "held_out": len(split.held_out),
        },
        "queries": len(trainer.queries),
        "block_deg": split.block_deg,
        "dimension": trainer.encoder.dimension,
        "aggregated_dimension": trainer.encoder.aggregator.dimension,
        "whitening_rank": None if whole is None else whole.dimension,
        "alpha": trainer.alpha,
        "tuned_blocks": list(trainer.encoder.tuned),
        "epochs": trainer.run.epochs,
        "best_epoch": trainer.progress.best_epoch,
        "steps": trainer.progress.step,
        "last_loss": log[-1]["loss"] if log else None,
        "held_out": held_out,
        "backbone": {
            "name": trainer.encoder.backbone_fingerprint.name,
            "weights_sha256": trainer.encoder.backbone_fingerprint.weights_sha256,
            "layer": trainer.encoder.features.layer,
            "size": trainer.encoder.features.size,
        },
    }


def card(trainer: "PlaceTrainer", facts: dict[str, Any]) -> str:
    """The card of the encoder, Markdown."""
    run, photos, backbone, held_out = trainer.run, facts["photos"], facts["backbone"], facts["held_out"]
    source, (lon, lat) = facts["source"], trainer.photos.lonlat.T
    how = (
        f"{run.loss} loss, {run.epochs} epochs, the best of them {facts['best_epoch']}"
        if run.epochs
        else "nothing was trained; vocabulary and whitening are of these photos"
    )
    lines = [
        "# Place encoder",
        "",
        f"Backbone: {backbone['name']}, layer {backbone['layer']}, input {backbone['size']} × "
        f"{backbone['size']} pixels; its weights are not in the file. SHA-256 of their tensors: "
        f"{backbone['weights_sha256']}.",
        "",
        f"Aggregation: {run.aggregation}, {facts['aggregated_dimension']} dimensions; whitened to "
        f"{facts['dimension']}."
        if run.whiten
        else f"Aggregation: {run.aggregation}, not whitened.",
        "",
        f"Training: {how}.",
        "",
        f"Training data: {photos['training']:,} photos, lon {lon.min():.2f} to {lon.max():.2f}, lat "
        f"{lat.min():.2f} to {lat.max():.2f}; {photos['held_out']:,} more in held-out regions. Source: "
        f"{source.get('source') or 'not told'}. Licence: "
        f"{source.get('licence') or 'not told; state it before you share the weights'}.",
        "",
        *_held_out_lines(held_out),
        *(f"- {finding}" for finding in facts["findings"]),
        "",
        "Known failures: places that look alike elsewhere, views from the other side, night where no "
        "training photo was taken at night. A photo of nowhere near is given its most similar places all "
        "the same.",
        "",
        "Settings:",
        "",
        *(f"    {name}: {json.dumps(value)}" for name, value in run.to_dict().items()),
        "",
    ]
    return "\n".join(lines)


def _held_out_lines(held_out: dict[str, Any]) -> list[str]:
    if not held_out["queries"]:
        return ["Held-out figures: none; no photo was held out that had an answer.", ""]
    names = ("mean_of_local_features", "before_training", "best_epoch", "whitened")
    rows = [
        f"| {name.replace('_', ' ')} | "
        + " | ".join(f"{value:.1%}" for value in held_out[name].values())
        + " |"
        for name in names
        if name in held_out
    ]
    first = held_out["before_training"]
    return [
        f"On {held_out['queries']:,} held-out queries among {held_out['photos']:,} photos (chance "
        f"{held_out['chance']:.1%}):",
        "",
        "| | " + " | ".join(name.replace("_", " ") for name in first) + " |",
        "|---|" + "---|" * len(first),
        *rows,
        "",
    ]
