"""What a pre-training run leaves: the encoder, the image side, figures beside baselines, curves.

The figures are those of the test part, whole regions that neither trained the weights nor chose the
epoch. All methods answer with a place of the training part, so the distance to the nearest of them
is the floor.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from . import csp_retrieval as retrieval
from .csp_retrieval import Figure
from .csp_trainer import Trainer
from .location_files import write_atomically
from .sphere import great_circle_km

MAX_TEST = 5000  # photos; more narrow no interval that anyone would read

ROWS = {
    "floor": "nearest training place (no method can pass it)",
    "csp": "best training place by photo-place similarity",
    "nearest image": "place of the most similar training photo",
    "constant": "best single place",
    "random": "random training place",
}


def write_report(trainer: Trainer, out: Path, source: dict[str, Any]) -> dict[str, Any]:
    """Measure the finished run and write its results into its folder.

    Args:
        trainer: after `Trainer.finish`.
        out: folder of the run.
        source: what the pairs are, JSON facts.

    Returns:
        The report, as written to ``report.json``.

    Raises:
        UnwritableFile: the folder is full or not ours to write to.
    """
    rows = compare(trainer)
    report = {
        "pairs": {
            name: len(trainer.split.rows(part))
            for part, name in enumerate(("training", "validation", "test"))
        },
        "test_photos_asked": len(asked(trainer)),
        "regions": int(trainer.split.region.max()) + 1,
        "block_deg": trainer.split.block_deg,
        "epochs": trainer.run.epochs,
        "best_epoch": trainer.progress.best_epoch,
        "rank_share": asdict(rank_share(trainer)),
        "rows": {name: {key: asdict(figure) for key, figure in row.items()} for name, row in rows.items()},
        "temperature": [1.0 / scale for scale in trainer.model.scales().tolist()],
        "source": source,
    }
    _write_weights(trainer, out, report)
    write_atomically(out / "report.json", json.dumps(report, indent=1).encode())
    write_atomically(out / "card.md", card(trainer, report).encode())
    draw_curves(trainer, rows, out / "curves.png")
    return report


def asked(trainer: Trainer) -> NDArray[np.intp]:
    """Rows of the test part, at most `MAX_TEST` of them, spread evenly."""
    test = trainer.split.rows(2)
    return test[:: -(-len(test) // MAX_TEST)]


def compare(trainer: Trainer) -> dict[str, dict[str, Figure]]:
    """Errors on the test part: floor, ours, and baselines, by the keys of `ROWS`."""
    test, pairs = asked(trainer), trainer.split.pairs
    lonlat, train = pairs.lonlat[test], trainer.train
    nearest = retrieval.best_candidates(pairs.images[test], train.images)
    constant = retrieval.best_constant(train.lonlat)
    errors = {
        "floor": retrieval.nearest_known_km(lonlat, train.lonlat),
        "csp": trainer.errors_km(test),
        "nearest image": great_circle_km(lonlat, train.lonlat[nearest]),
        "constant": great_circle_km(lonlat, constant),
        "random": retrieval.random_errors_km(lonlat, train.lonlat),
    }
    region = trainer.split.region[test]
    return {name: retrieval.figures(error, region) for name, error in errors.items()}


def rank_share(trainer: Trainer) -> Figure:
    """Mean share of known places that rank above the true one, with a bootstrap interval over regions."""
    test = asked(trainer)
    share, region = trainer.rank_shares(test), trainer.split.region[test]
    sums, counts = np.bincount(region, share), np.bincount(region)
    held = np.flatnonzero(counts)
    drawn = held[np.random.default_rng(0).integers(0, len(held), (1000, len(held)))]
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5]).tolist()
    return Figure(float(share.mean()), low, high)


def card(trainer: Trainer, report: dict[str, Any]) -> str:
    """The card of the encoder, Markdown: what it learned from, how, and how good it is."""
    run, split, source = trainer.run, trainer.split, report["source"]
    lon, lat = split.pairs.lonlat.T
    lines = [
        "# Location encoder, contrastive spatial pre-training",
        "",
        f"Training data: {training_data(trainer, source)}",
        "",
        "Licence: the weights owe what the licences of these photos ask for; state it before you share them.",
        "",
        f"Places seen: lon {lon.min():.2f} to {lon.max():.2f}, lat {lat.min():.2f} to {lat.max():.2f}, in "
        f"{report['regions']} regions of {split.block_deg:g}° blocks. Elsewhere it extrapolates.",
        "",
        f"Held-out regions, {report['test_photos_asked']} photos (95 % intervals over regions):",
        "",
        "| method | median error, km | within 200 km | within 2,500 km |",
        "|---|---|---|---|",
    ]
    for name, row in report["rows"].items():
        cells = [_cell(row["median_km"], "{:,.0f}", 1.0)]
        cells += [_cell(row[f"within_{radius}_km"], "{:.1f} %", 100.0) for radius in ("200", "2500")]
        lines.append(f"| {ROWS[name]} | {' | '.join(cells)} |")
    rank = report["rank_share"]
    lines += [
        "",
        f"Share of known places that rank above the true one: {rank['value']:.3f} "
        f"[{rank['low']:.3f}, {rank['high']:.3f}]; 0.5 is chance.",
        "",
        f"Epoch {report['best_epoch']} of {report['epochs']}. Settings:",
        "",
        "```json",
        json.dumps(run.to_dict(), indent=1),
        "```",
        "",
        "A photo's most similar place is a guess. Where a place is known to few photos, it may be told from "
        "the place of a single one: treat the encoder as you treat those photos.",
        "",
    ]
    return "\n".join(lines)


def training_data(trainer: Trainer, source: dict[str, Any]) -> str:
    """One sentence: how many photos of where, through which image encoder."""
    where = f" of gallery {source['gallery']!r}" if "gallery" in source else ""
    encoder = trainer.split.pairs.encoder or "an unnamed encoder"
    return (
        f"{len(trainer.train)} photos{where} with their coordinates, and no labels, as embeddings of "
        f"{source.get('encoder', 'the image encoder')} ({encoder}); data {trainer.split.digest[:16]}"
    )


def draw_curves(trainer: Trainer, rows: dict[str, dict[str, Figure]], path: Path) -> None:
    """Draw losses, temperatures, and the validation's retrieval over epochs, as PNG."""
    log = trainer.progress.log
    drawing = Drawing(figsize=(15.0, 4.4), layout="constrained")
    FigureCanvasAgg(drawing)
    losses, temperatures, retrieved = drawing.subplots(1, 3)
    epochs = [record["epoch"] for record in log]
    used = {"batch": "B", "location": "L", "dropout": "D"}
    for name, letter in used.items():
        if letter in trainer.run.parts:
            losses.plot(epochs, [record[f"loss_{name}"] for record in log], label=f"part {letter}")
            temperatures.plot(
                epochs, [record[f"temperature_{name}"] for record in log], label=f"part {letter}"
            )
    losses.set(xlabel="epoch", ylabel="training loss, nats", title="Loss")
    temperatures.set(xlabel="epoch", ylabel="temperature", title="Temperature", ylim=(0.0, None))
    checked = [record for record in log if "median_km" in record]
    x = [record["epoch"] for record in checked]
    (line,) = retrieved.plot(x, [record["median_km"] for record in checked], label="median error, validation")
    styles = (("nearest image", "--"), ("constant", ":"), ("floor", "-."))
    for name, style in styles:
        value = rows[name]["median_km"].value
        retrieved.axhline(value, color="0.55", linestyle=style, linewidth=1, label=f"{name}, test")
    retrieved.plot(
        [trainer.progress.best_epoch],
        [rows["csp"]["median_km"].value],
        "o",
        color=line.get_color(),
        label="csp, test",
    )
    retrieved.set(xlabel="epoch", ylabel="km", title="Photo to place, held-out regions", ylim=(0, None))
    ranks = retrieved.twinx()
    ranks.plot(x, [record["rank_share"] for record in checked], color="tab:orange", linewidth=1)
    ranks.set_ylabel("share ranked above the truth, validation", color="tab:orange")
    ranks.set_ylim(0.0, 0.5)
    for axes in (losses, temperatures, retrieved):
        axes.legend(fontsize="small")
        axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path, dpi=150)


def _write_weights(trainer: Trainer, out: Path, report: dict[str, Any]) -> None:
    figures = {name: row["median_km"] for name, row in report["rows"].items()}
    location = trainer.model.location
    location.name = "csp"
    location.card = {
        "training_data": training_data(trainer, report["source"]),
        "method": "contrastive spatial pre-training, Mai et al. 2023, arXiv:2305.01118",
        "settings": trainer.run.to_dict(),
        "image_encoder": trainer.split.pairs.encoder,
        "pairs": report["pairs"],
        "held_out_median_km": figures,
        "source": report["source"],
    }
    location.save(out / "location.safetensors")
    weight, bias = trainer.model.folded_projection(trainer.basis)
    facts = {
        "format": "placeprint-csp-projection",
        "version": 1,
        "image_encoder": trainer.split.pairs.encoder,
        "location_encoder": location.fingerprint,
        "use": "normalize(weight · embedding + bias) · normalize(location) is the similarity",
        "temperature": report["temperature"][0],
    }
    tensors = {"weight": weight.contiguous(), "bias": bias.contiguous()}
    write_atomically(
        out / "projection.safetensors", safetensors.torch.save(tensors, {"placeprint": json.dumps(facts)})
    )


def _cell(figure: dict[str, float], form: str, factor: float) -> str:
    value, low, high = (form.format(factor * figure[key]) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
