"""``placeprint train geocells``: which geocell was a photo taken in, learned from a gallery."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson, GalleryName, WeightsFile, encoder_of

if TYPE_CHECKING:
    from ..encoders.geocell_targets import Tau

_SHOWN = (
    ("≤ 1 km", "within_1_km", "{:.1%}"), ("≤ 25", "within_25_km", "{:.1%}"),
    ("≤ 200", "within_200_km", "{:.1%}"), ("≤ 750", "within_750_km", "{:.1%}"),
    ("≤ 2500", "within_2500_km", "{:.1%}"), ("median km", "median_km", "{:,.0f}"),
    ("mean km", "mean_km", "{:,.0f}"), ("GeoScore", "geoscore", "{:,.0f}"), ("bits", "bits", "{:+.2f}"),
    ("NLL", "nll", "{:.2f}"), ("ECE", "ece", "{:.3f}"),
)  # fmt: skip
_OF_TARGETS = (("entropy", "entropy", "{:.2f}"), ("top mass", "top_cell_mass", "{:.2f}"))


def geocells(
    gallery: GalleryName,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; made if it is not there.")],
    cells: Annotated[
        Path | None, typer.Option(help="File of cells; by default those that ship with Placeprint.")
    ] = None,
    head: Annotated[str, typer.Option(help="linear, or mlp with one hidden layer.")] = "linear",
    tau: Annotated[str, typer.Option(help="Smoothing of the targets: km, 0 for hard labels, auto.")] = "auto",
    sweep_tau: Annotated[
        bool, typer.Option("--sweep-tau", help="Try ten smoothings with three seeds each, and compare them.")
    ] = False,
    tasks: Annotated[
        str | None,
        typer.Option(help="Side tasks of an mlp: climate,elevation,population,driving-side,month."),
    ] = None,
    prototypes: Annotated[
        str, typer.Option(help="Their kind: mean, medoid, multi, trimmed_mean, members.")
    ] = "mean",
    state_weight: Annotated[float, typer.Option(help="Of the state's cross-entropy.")] = 0.0,
    country_weight: Annotated[float, typer.Option(help="Of the country's cross-entropy.")] = 0.0,
    rounds: Annotated[int | None, typer.Option(help="Epochs, or 3 steps of L-BFGS each; at most.")] = None,
    block_deg: Annotated[
        float, typer.Option(help="Hold out whole blocks of this side; 0: whole groups.")
    ] = 0.0,
    tune: Annotated[
        int, typer.Option(help="Train the last so many blocks of the encoder too; 0: the head alone.")
    ] = 0,
    tune_epochs: Annotated[int | None, typer.Option(help="Of --tune, at most.")] = None,
    tune_rate: Annotated[float | None, typer.Option(help="Learning rate of the encoder's blocks.")] = None,
    weights: WeightsFile = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Learn to tell geocells apart from a gallery's photos of known place, and what is in each.

    Leaves the head in OUT/geocell-head.safetensors and the places within cells in
    OUT/prototypes.safetensors. Whole groups of photos are held out to choose, and others to report.
    With --tune the encoder learns too: OUT/encoder.safetensors are its new weights, for a new gallery.

    Examples:
      placeprint train geocells --gallery trips --out runs/cells
      placeprint train geocells -g trips -o runs/mlp --head mlp --tasks climate,elevation
      placeprint train geocells -g trips -o runs/tau --sweep-tau
      placeprint train geocells -g trips -o runs/tuned --tune 1
    """
    from ..encoders.geocell_heads.settings import HeadRun

    names = tuple(name.strip() for name in (tasks or "").split(",") if name.strip())
    changes: dict[str, Any] = {"head": head, "tasks": names} | ({} if rounds is None else {"rounds": rounds})
    run = HeadRun(
        tau=_tau_of(tau), state_weight=state_weight, country_weight=country_weight, block_deg=block_deg,
        seed=seed, **changes,
    )  # fmt: skip

    import numpy as np

    from ..encoders.errors import InvalidOption
    from ..encoders.geocell_heads.settings import TuneRun
    from ..encoders.geocell_tasks import task_named
    from ..encoders.geocells import Geocells, default_geocells
    from ..encoders.processes import require_one_process
    from ..encoders.prototypes import KINDS
    from ..encoders.run_folder import require_free
    from ..encoders.train_geocells import run_geocells
    from ..indexer.gallery import Gallery
    from ..indexer.pairs import pairs_of, photos_of_pairs
    from . import console

    for name in names:
        task_named(name)
    if prototypes not in KINDS:
        raise InvalidOption(f"prototypes={prototypes!r}: one of {', '.join(KINDS)}")
    asked = {"epochs": tune_epochs, "rate": tune_rate}
    of_tuning: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    if not tune and (of_tuning or weights is not None):
        raise InvalidOption("--tune-epochs, --tune-rate and --weights belong to --tune N")
    if tune and sweep_tau:
        raise InvalidOption("--sweep-tau compares heads of one encoder; choose τ first, then --tune with it")
    tuning = TuneRun(blocks=tune, **of_tuning) if tune else None
    require_one_process("the training of geocell heads")
    as_json = as_json or not console.out.is_terminal
    if not sweep_tau:
        require_free(out, is_resumed=resume)
    partition = default_geocells() if cells is None else Geocells.load(cells)
    with Gallery.open(gallery) as opened:
        pairs, source = pairs_of(opened)
        # In the order of the pairs.
        month = np.array([one.captured_at.month if one.captured_at else 0 for one in opened.placed()[0]])
        if tuning is not None:
            encoder, photos = encoder_of(opened, weights), photos_of_pairs(opened)
            encoder_name = opened.encoder
    if sweep_tau:
        _sweep(pairs, partition, run, out, as_json=as_json)
        return
    if tuning is not None:
        from .tune_geocells import train_tuned

        train_tuned(
            pairs, photos, encoder, partition, run, tuning, out,
            as_json=as_json, encoder_name=encoder_name,
            month=month, kind=prototypes, is_resumed=resume, source=source,
        )  # fmt: skip
        return
    with _rounds(as_json=as_json) as show:
        report = run_geocells(
            pairs, partition, run, out,
            month=month, kind=prototypes, is_resumed=resume, source=source, show=show,
        )  # fmt: skip
    _show(report, out, as_json=as_json)


def _tau_of(text: str) -> "Tau":
    from ..encoders.errors import InvalidOption

    if text in ("auto", "per-cell"):
        return text  # type: ignore[return-value]  # one of its words
    try:
        value = float(text.removesuffix("km").strip())
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise InvalidOption(f"--tau {text}: kilometers, 0 for hard labels, auto, or per-cell")
    return value


def _sweep(pairs: Any, partition: Any, run: Any, out: Path, *, as_json: bool) -> None:
    from rich.progress import Progress

    from ..encoders.geocell_heads.sweep import sweep_tau
    from . import console

    with Progress(console=console.err, transient=True, disable=as_json) as bar:
        task = bar.add_task("sweeping τ", total=None)

        def show(record: dict[str, Any], total: int) -> None:
            bar.update(task, advance=1, total=total)
            if as_json:
                console.say("fit", of=total, **record)

        report = sweep_tau(pairs, partition, run, out, show=show)
    if as_json:
        console.say("sweep", out=str(out), **report)
        return
    rows = {
        name: {key: value["mean"] for key, value in row.items() if isinstance(value, dict)}
        for name, row in report["rows"].items()
    }
    _print_table(f"τ, means of {len(report['seeds'])} seeds", rows, (*_SHOWN, *_OF_TARGETS))
    console.out.print(f"figures and their spread: {out / 'sweep.json'}, {out / 'sweep.png'}", soft_wrap=True)


@contextmanager
def _rounds(*, as_json: bool) -> Iterator[Callable[[dict[str, Any], int], None]]:
    """Progress over the rounds of each fit: a bar on the terminal, or lines of JSON."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from . import console

    if as_json:
        yield lambda record, total: console.say("round", rounds=total, **record)
        return
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("", total=None, figures="")

        def show(record: dict[str, Any], total: int) -> None:
            figures = (
                f"weight decay {record['weight_decay']:g}, validation {record['validation_nll']:.3f} nats"
            )
            bar.update(task, completed=record["round"], total=total, figures=figures)

        yield show


def _show(report: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """The last word: figures on the held-out photos beside baselines."""
    from . import console

    if as_json:
        console.say("report", out=str(out), **report)
        return
    _print_table(f"{report['photos']['test']} photos of held-out groups", report["rows"], _SHOWN)
    targets = report["targets"]
    console.out.print(
        f"{report['cells']} cells, {report['cells_with_photos']} with training photos; "
        f"weight decay {report['weight_decay']:g}, temperature {report['temperature']:.2f}; "
        f"τ {report['tau_km']:.0f} km, targets of {targets['entropy']:.2f} nats, "
        f"{targets['top_cell_mass']:.0%} on one cell",
        soft_wrap=True,
    )
    console.out.print(f"head: {out / 'geocell-head.safetensors'}", soft_wrap=True)


def _print_table(
    title: str, rows: dict[str, dict[str, float]], columns: tuple[tuple[str, str, str], ...]
) -> None:
    from rich.table import Table

    from . import console

    # A column for each answer, since there are more figures than a terminal is wide.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for name in rows:
        table.add_column(name, justify="right", overflow="fold")
    for head, key, form in columns:
        table.add_row(head, *(form.format(row[key]) if key in row else "" for row in rows.values()))
    console.out.print(title)
    console.out.print(table)
