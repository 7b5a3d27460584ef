"""``placeprint train geocells --tune N``: what it shows while it trains, and what came of it."""

from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..encoders.tune_geocells import run_tuned_geocells
from . import console

_COLUMNS = (
    ("within 1 km", "within_1_km", 100.0, "{:.1f} %"), ("25", "within_25_km", 100.0, "{:.1f} %"),
    ("200", "within_200_km", 100.0, "{:.1f} %"), ("750", "within_750_km", 100.0, "{:.1f} %"),
    ("2500", "within_2500_km", 100.0, "{:.1f} %"), ("median km", "median_km", 1.0, "{:,.0f}"),
    ("mean km", "mean_km", 1.0, "{:,.0f}"), ("GeoScore", "geoscore", 1.0, "{:,.0f}"),
    ("bits", "bits", 1.0, "{:.2f}"), ("NLL, nats", "nll", 1.0, "{:.2f}"),
)  # fmt: skip


def train_tuned(*material: Any, as_json: bool, **options: Any) -> None:
    """Run `run_tuned_geocells` with its arguments, show how far it is, and what came of it."""
    out: Path = material[-1]
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console.err, transient=True, disable=as_json) as bar:
        tasks = {
            name: bar.add_task(name, total=None, figures="", start=False, visible=False)
            for name in ("reading photos", "fitting the head", "training")
        }

        def tell(name: str, event: str, record: dict[str, Any], done: int, total: int, figures: str) -> None:
            if as_json:
                console.say(event, **record)
                return
            task = tasks[name]
            if not bar.tasks[task].visible:
                bar.start_task(task)
            bar.update(task, completed=done, total=total, figures=figures, visible=True)

        def show_reading(done: int, total: int) -> None:
            tell("reading photos", "reading", {"done": done, "total": total}, done, total, "")

        def show_fit(record: dict[str, Any], rounds: int) -> None:
            figures = f"weight decay {record['weight_decay']:g}, validation {_nats(record)}"
            told = {**record, "rounds": rounds}
            tell("fitting the head", "round", told, int(record["round"]), rounds, figures)

        def show_epoch(record: dict[str, Any], epochs: int) -> None:
            figures = f"validation {_nats(record)}, best epoch {record['best_epoch']}"
            tell("training", "epoch", {**record, "epochs": epochs}, int(record["epoch"]), epochs, figures)

        try:
            report = run_tuned_geocells(
                *material, **options, show_reading=show_reading, show_fit=show_fit, show_epoch=show_epoch
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted; the same command with --resume goes on from what is in {out}"
            ) from None
    _show(report, out, as_json=as_json)


def _show(report: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """The last word: frozen beside tuned, the verdict, and what to type next."""
    if as_json:
        console.say("report", out=str(out), **report)
        return
    tuning = report["tuning"]
    say = console.out.print
    if tuning["photos_left_out"]:
        key, reason = (out / "left-out.tsv").read_text(encoding="utf-8").splitlines()[0].split("\t")
        n = tuning["photos_left_out"]
        say(f"{n} photos left out ({out / 'left-out.tsv'}), the first {key}: {reason}", soft_wrap=True)
    if "differences" in tuning:
        say(f"{report['photos']['test']} photos of held-out groups, 95 % intervals over groups")
        say(_table(tuning["differences"]))
    nats = tuning["validation_nll"]
    say(
        f"{tuning['blocks']} of {tuning['all_blocks']} blocks, {tuning['trained_numbers']:,} numbers; best "
        f"epoch {tuning['best_epoch']} of {tuning['epochs']}; validation {nats['frozen']:.3f} nats frozen, "
        f"{nats['tuned']:.3f} tuned",
        soft_wrap=True,
    )
    say(tuning["verdict"], soft_wrap=True)
    say(f"head: {out / 'geocell-head.safetensors'}", soft_wrap=True)
    if "use" in tuning:
        say("its embeddings are others than the gallery's; index the photos anew to use it:", soft_wrap=True)
        say(f"  {tuning['use']}", soft_wrap=True, markup=False, highlight=False)


def _table(differences: dict[str, dict[str, float]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for title in ("frozen", "tuned", "tuned − frozen"):
        table.add_column(title, justify="right", no_wrap=True)
    for title, name, factor, form in _COLUMNS:
        row = differences[name]
        frozen, tuned = (form.format(row[side] * factor) for side in ("frozen", "tuned"))
        signed = form.replace("{:", "{:+").replace(" %", "")
        gain, low, high = (signed.format(row[one] * factor) for one in ("difference", "low", "high"))
        table.add_row(title, frozen, tuned, rf"{gain} \[{low}, {high}]")
    return table


def _nats(record: dict[str, Any]) -> str:
    return f"{record['validation_nll']:.3f} nats"
