"""What a caption training run leaves: the encoder, figures before and after, a card, curves.

The figures are those of the test part, whole regions that neither trained the weights nor chose them.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing

from ..location_files import write_atomically
from .figures import means, prior_scores
from .trainer import MAX_TEST, CaptionTrainer

ROWS = {
    "photo_to_caption_at_1": "photo finds its caption first",
    "photo_to_caption_at_5": "… among the first five",
    "caption_to_photo_at_1": "caption finds its photo first",
    "caption_to_photo_at_5": "… among the first five",
    "rank_share": "share of captions ranked above the own (0.5 is chance)",
    "country_at_1": "country by text alone",
    "country_at_5": "… among the first five",
    "climate_at_1": "main climate by text alone, of five",
}


def write_report(trainer: CaptionTrainer, out: Path, source: dict[str, Any]) -> dict[str, Any]:
    """Measure the finished run and write its results into its folder.

    Args:
        trainer: after `CaptionTrainer.finish`; its adapters are added in.
        out: folder of the run.
        source: what the photos are, JSON facts.

    Returns:
        The report, as written to ``report.json``.

    Raises:
        UnwritableFile: the folder is full or not ours to write to.
    """
    test = trainer.some_of(trainer.rows(2), MAX_TEST)
    prior = means(
        prior_scores(trainer.facts.take(trainer.train_rows), trainer.facts.take(test)), trainer.region[test]
    )
    log = trainer.progress.log
    report = {
        "photos": photo_counts(trainer),
        "photos_left_out": len(trainer.photos.left_out),
        "test_photos_asked": len(test),
        "regions": int(trainer.region.max()) + 1,
        "block_deg": trainer.block_deg,
        "countries": len(trainer.country_codes),
        "rounds": trainer.n_rounds,
        "best_round": trainer.progress.best_epoch,
        "steps": trainer.n_steps,
        "trained_numbers": sum(one.numel() for one in trainer.weights.values()),
        "temperature": log[-1]["temperature"],
        "before": log[0]["before"],
        "after": {name: asdict(figure) for name, figure in trainer.test_figures().items()},
        "most common": {name: asdict(figure) for name, figure in prior.items()},
        "encoder": trainer.model.card_name,
        "source": source,
    }
    report["use"] = use_of(trainer, out)
    trainer.model.save(
        out / "encoder.safetensors", {"title": "Image–text model trained on captions", **report}
    )
    if trainer.photos.left_out:
        lines = [f"{key}\t{reason}" for key, reason in trainer.photos.left_out.items()]
        text = "\n".join([*lines, ""]).encode("utf-8", "backslashreplace")
        write_atomically(out / "left-out.tsv", text)
    write_atomically(out / "report.json", json.dumps(report, indent=1).encode())
    write_atomically(out / "card.md", card(trainer, report).encode())
    draw_curves(trainer, report, out / "curves.png")
    return report


def photo_counts(trainer: CaptionTrainer) -> dict[str, int]:
    """Numbers of photos of the three parts."""
    return {name: len(trainer.rows(part)) for part, name in enumerate(("training", "validation", "test"))}


def use_of(trainer: CaptionTrainer, out: Path) -> str:
    """The words that take the trained encoder into use."""
    weights = out / "encoder.safetensors"
    return f"placeprint index PHOTOS --gallery NAME --encoder {trainer.model.card_name} --weights {weights}"


def card(trainer: CaptionTrainer, report: dict[str, Any]) -> str:
    """The card of the encoder, Markdown: what it learned from, how, and how good it is."""
    lon, lat = trainer.photos.lonlat.T
    lines = [
        f"# {trainer.model.card_name}, trained on captions of places",
        "",
        f"Training data: {report['photos']['training']} photos and where, when and which way they were "
        f"taken, as captions of style {trainer.run.style!r}; data {trainer.photos.digest[:16]}. Tuned: "
        f"{trainer.run.tune}, {report['trained_numbers']:,} numbers.",
        "",
        "Licence: that of the model it began from, and what the licences of these photos ask for; state both "
        "before you share it. Captions hold names of GeoNames (CC BY 4.0).",
        "",
        f"Places seen: lon {lon.min():.2f} to {lon.max():.2f}, lat {lat.min():.2f} to {lat.max():.2f}, in "
        f"{report['regions']} regions of {report['block_deg']:g}° blocks, {report['countries']} countries.",
        "",
        f"Held-out regions, {report['test_photos_asked']} photos (95 % intervals over regions):",
        "",
        "| | before | after | most common answer |",
        "|---|---|---|---|",
    ]
    for name, title in ROWS.items():
        cells = [_cell(report[column].get(name)) for column in ("before", "after", "most common")]
        if any(cells):
            lines.append(f"| {title} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Round {report['best_round']} of {report['rounds']}. Use: `{report['use']}`",
        "",
        "Settings:",
        "",
        "```json",
        json.dumps(trainer.run.to_dict(), indent=1),
        "```",
        "",
        "What it says of a photo is a guess, and says more of regions that it saw many photos of.",
        "",
    ]
    return "\n".join(lines)


def draw_curves(trainer: CaptionTrainer, report: dict[str, Any], path: Path) -> None:
    """Draw loss, ranks and zero-shot shares over epochs, as PNG."""
    log = trainer.progress.log
    drawing = Drawing(figsize=(15.0, 4.4), layout="constrained")
    FigureCanvasAgg(drawing)
    loss, rank, shares = drawing.subplots(1, 3)
    epochs = [record["epoch"] for record in log]
    loss.plot(epochs, [record["loss"] for record in log], color="black", label="loss")
    loss.set(xlabel="epoch", ylabel="training loss, nats", title="Loss")
    warm = loss.twinx()
    warm.plot(epochs, [record["temperature"] for record in log], color="tab:orange", linewidth=1)
    warm.set_ylabel("temperature", color="tab:orange")
    rank.plot(epochs, [record["rank_share"] for record in log], color="black", label="validation")
    for moment, style in (("before", ":"), ("after", "--")):
        value = report[moment]["rank_share"]["value"]
        rank.axhline(value, color="0.55", linestyle=style, linewidth=1, label=f"test, {moment}")
    rank.set(xlabel="epoch", title="Captions ranked above the own", ylim=(0.0, 0.55))
    for color, name, title in (("C0", "country_at_1", "country"), ("C2", "climate_at_1", "main climate")):
        if name in report["after"]:
            shares.plot(
                epochs, [record.get(name) for record in log], color=color, label=f"{title}, validation"
            )
            common = report["most common"][name]["value"]
            shares.axhline(
                common, color=color, linestyle=":", linewidth=1, label=f"{title}, most common, test"
            )
            shares.plot(
                epochs[-1:], [report["after"][name]["value"]], "o", color=color, label=f"{title}, test"
            )
    shares.set(xlabel="epoch", title="Told by text alone", ylim=(0.0, 1.0))
    for axes in (loss, rank, shares):
        axes.spines[["top", "right"]].set_visible(False)
        if axes is not loss and axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize="small")
    drawing.savefig(path, dpi=150)


def _cell(figure: dict[str, float] | None) -> str:
    if figure is None:
        return ""
    return "{value:.3f} [{low:.3f}, {high:.3f}]".format(**figure)
