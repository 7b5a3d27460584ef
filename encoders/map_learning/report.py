"""What a map run leaves: the encoder with its card, figures on held-out places, the monitor's verdict."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import r2_score

from ..location_files import write_atomically
from ..mosaics.legend import LEGEND_VERSION, N_CLASSES
from ..sphere import great_circle_km
from .encoder import MapEncoder, MapEncoderConfig
from .trainer import MapTrainer

MAX_HELD_OUT = 5000


def held_out_figures(trainer: MapTrainer) -> dict[str, Any]:
    """What the heads say of places in held-out blocks, beside the best constant answer of training.

    The heads read the student, which they learned with. R² is that of log(1 + label).
    """
    rows = trainer.split.held_out[:MAX_HELD_OUT]
    if not len(rows) or trainer.run.geo_weight == 0.0 or not trainer.model.geo.tasks:
        return {}
    run, labels = trainer.run, trainer.all_labels.take(rows)
    crops = trainer.source.crops(trainer.lonlat[rows], ground_m=run.ground_m, px=run.global_px)
    embedding = trainer.embed_crops(crops, of="student").to(trainer.device)
    said = trainer.model.geo.predict(embedding)
    found: dict[str, Any] = {"places": len(rows)}
    for name, known, train in (
        ("price", labels.price, trainer.labels.price),
        ("density", labels.density, trainer.labels.density),
    ):
        has = ~np.isnan(known)
        if name in said and has.sum() >= 2:
            found[name] = _log_figures(said[name][has], known[has], float(np.nanmean(np.log1p(train))))
    if "lonlat" in said:
        error_km = great_circle_km(_on_earth(said["lonlat"]), trainer.lonlat[rows])
        found["position"] = {"median_km": float(np.median(error_km)), "mean_km": float(error_km.mean())}
    return found


def write_report(
    trainer: MapTrainer, out: Path, *, name: str, source: dict[str, Any], timing: dict[str, Any]
) -> dict[str, Any]:
    """Write ``map-encoder.safetensors``, ``report.json`` and ``card.md`` of a finished run.

    Args:
        trainer: after its last epoch.
        out: folder of the run.
        name: of the encoder.
        source: what the map is, JSON: files, attribution, licence.
        timing: of this process; it goes into the report and not into the encoder.

    Returns:
        The report, as written.

    Raises:
        UnwritableFile: the folder is full or not ours to write to.
    """
    run, last = trainer.run, trainer.progress.log[-1]
    facts: dict[str, Any] = {
        "places": {
            "training": len(trainer.split.train),
            "held_out": len(trainer.split.held_out),
            "given": len(trainer.lonlat),
        },
        "sampling": trainer.weights.report(),
        "labels": trainer.labels.coverage,
        "notes": list(trainer.labels.notes),
        "epochs": run.epochs,
        "steps": trainer.progress.step,
        "last_epoch": {
            key: value for key, value in last.items() if key not in ("streaks", "messages", "epoch", "step")
        },
        "messages": last["messages"],
        "warnings": trainer.warnings,
        "held_out": held_out_figures(trainer),
        "source": source,
    }
    encoder = MapEncoder(
        MapEncoderConfig(
            network=run.network,
            dimension=run.dimension,
            ground_m=run.ground_m,
            px=run.global_px,
            n_classes=N_CLASSES,
            legend_version=LEGEND_VERSION,
        ),
        name=name,
        card={**facts, "settings": run.to_dict(), "method": _METHOD},
        network=trainer.model.teacher.network,
    )
    encoder.save(out / "map-encoder.safetensors")
    report = {**facts, "fingerprint": encoder.fingerprint.id, "timing": timing}
    write_atomically(out / "report.json", json.dumps(report, indent=1).encode())
    write_atomically(out / "card.md", card(trainer, facts).encode())
    return report


_METHOD = (
    "self-distillation of map crops (DINO, Caron et al. 2021, arXiv:2104.14294) with geographic heads, "
    "masked reconstruction and intermediate clustering after Bougie et al. 2023 (PMLR 222:185-200)"
)


def card(trainer: MapTrainer, facts: dict[str, Any]) -> str:
    """The card of the encoder, Markdown."""
    run, (lon, lat) = trainer.run, trainer.lonlat.T
    places, last = facts["places"], facts["last_epoch"]
    source = facts["source"]
    lines = [
        "# Map encoder",
        "",
        f"Method: {_METHOD}.",
        "",
        f"Training data: crops {run.ground_m:g} m wide around {places['training']:,} places, lon "
        f"{lon.min():.2f} to {lon.max():.2f}, lat {lat.min():.2f} to {lat.max():.2f}; "
        f"{places['held_out']:,} more in held-out blocks. Elsewhere, and on maps drawn by other "
        "rules, it extrapolates.",
        "",
        f"Map: {', '.join(source.get('mosaics', [])) or 'not told'}; legend version {LEGEND_VERSION}.",
        "",
        f"Attribution: {source.get('attribution') or 'not told'}. Licence: that of the map's data; state it "
        "before you share the weights.",
        "",
        f"Last epoch: distillation {last['distillation']:.3f} nats "
        f"({last['loss_over_ln_n_out']:.2f} of ln n_out), "
        f"RankMe {last['rank_me']:.1f} of {run.dimension}, outputs used {last['outputs_used']:.0%}.",
        "",
        *(f"- {message}" for message in (*facts["messages"], *facts["warnings"])),
        "",
        "Settings:",
        "",
        "```json",
        json.dumps(run.to_dict(), indent=1),
        "```",
        "",
    ]
    return "\n".join(lines)


def _log_figures(said: NDArray[np.float64], known: NDArray[np.float64], constant: float) -> dict[str, float]:
    said_log, known_log = np.log1p(np.maximum(said, 0.0)), np.log1p(known)
    return {
        "places": len(known),
        "r2_log": float(r2_score(known_log, said_log)),
        "mae_log": float(np.abs(known_log - said_log).mean()),
        "constant_mae_log": float(np.abs(known_log - constant).mean()),
    }


def _on_earth(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """The published head may answer with a place beyond a pole; it then means the pole."""
    wrapped = (lonlat[:, 0] + 180.0) % 360.0 - 180.0
    return np.stack([wrapped, np.clip(lonlat[:, 1], -90.0, 90.0)], axis=1)
