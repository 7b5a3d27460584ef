"""The verbs of ``placeprint bench``: measure location embeddings against plain baselines."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..encoders.errors import InvalidProbe, MissingLabels

if TYPE_CHECKING:  # they load scipy and torch, which `--help` must not
    from ..encoders.probes.bench import Bench, Board, Progress, Scored
    from ..encoders.probes.folds import Split
    from ..encoders.probes.rows import Row
    from ..encoders.probes.tasks import Task

bench_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Measure embeddings against plain baselines."
)


@bench_app.callback()
def _bench() -> None:
    """Keep `location` a verb of its own, though it is the only one."""


@bench_app.command()
def location(
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="PLACEPRINT_BENCH_DATA",
            help="Folder of labels; they are not part of the package, and what is missing is named.",
        ),
    ] = None,
    encoder: Annotated[
        list[str] | None, typer.Option(help="One more encoder: FILE.safetensors, sh-40, geoclip:FILE …")
    ] = None,
    tasks: Annotated[str, typer.Option(help="Some tasks, with commas: california,japan …; else all.")] = "",
    splits: Annotated[str, typer.Option(help="random, block1, block10 …; else each task's own.")] = "",
    rows: Annotated[str, typer.Option(help="Some rows: knn5,sh-20,sh-20+neighbors …; else all.")] = "",
    labels: Annotated[
        Path | None, typer.Option(help="Your own labels, .csv or .parquet, instead of the tasks.")
    ] = None,
    target: Annotated[str, typer.Option(help="Column of your labels.")] = "",
    log: Annotated[bool, typer.Option("--log", help="Take logarithms of your labels.")] = False,
    classification: Annotated[
        bool, typer.Option("--classification", help="Your labels are names of classes.")
    ] = False,
    lon: Annotated[
        str, typer.Option(help="Column of longitudes in your labels; lng, longitude … will do.")
    ] = "lon",
    lat: Annotated[str, typer.Option(help="Column of latitudes.")] = "lat",
    max_rows: Annotated[
        int | None, typer.Option(min=50, help="Draw so many labels of each task, for a quick look.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write location.json, location.md and location.png to.")
    ] = None,
) -> None:
    """Measure what location embeddings know: prices, climate, countries … read by linear probes.

    The protocol is CoordBench's. Beside the embedding stand what four numbers of the coordinates, the
    nearest labels, kriging and untrained encodings reach; no claim without them, nor without blocks.

    Example: placeprint bench location --data labels --tasks california --out report
    """
    from ..encoders.probes.bench import Bench, run_bench

    chosen = _tasks(tasks, labels, target, log=log, classification=classification, lon=lon, lat=lat)
    if data is None and (labels is None or len(chosen) > 1):
        raise MissingLabels(_where_labels_are(chosen))
    wanted = _rows(rows, encoder or [])
    how = [_split(name) for name in _listed(splits)] or None
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    bench = Bench(max_rows=max_rows)
    try:
        with _progress() as (progress, done):
            run_bench(bench, chosen, data or Path(), wanted, splits=how, progress=progress, done=done)
    except KeyboardInterrupt:
        _finish(bench, out)
        raise KeyboardInterrupt("interrupted; the tables show what was scored until then") from None
    _finish(bench, out)
    if not bench.boards:
        raise MissingLabels("no task could be scored; the lines above say why")


def _finish(bench: "Bench", out: Path | None) -> None:
    """Show what was scored, and write it."""
    from .bench_report import show_bench, write_bench

    show_bench(bench)
    if out is not None and bench.boards:
        for path in write_bench(bench, out):
            print(f"written: {path}", file=sys.stderr)


def _tasks(
    names: str, labels: Path | None, target: str, *, log: bool, classification: bool, lon: str, lat: str
) -> "list[Task]":
    from ..encoders.probes.tasks import TASKS, own_task

    unknown = [name for name in _listed(names) if name not in TASKS]
    if unknown:
        raise typer.BadParameter(f"--tasks {unknown[0]}: there are {', '.join(TASKS)}")
    chosen = [TASKS[name] for name in _listed(names)]
    if labels is None:
        return chosen or list(TASKS.values())
    if not target:
        raise typer.BadParameter(f"--labels {labels}: say which column holds them, with --target COLUMN")
    if log and classification:
        raise typer.BadParameter("--log is for quantities, --classification for names of classes")
    mine = own_task(labels.resolve(), target, lon=lon, lat=lat, log=log, classification=classification)
    return [*chosen, mine]


def _rows(names: str, encoders: list[str]) -> "list[Row]":
    from ..encoders.probes.rows import Row, default_rows

    if not names:
        return default_rows(encoders)
    try:
        listed = [Row.named(name) for name in _listed(names)]
    except InvalidProbe as error:
        raise typer.BadParameter(f"--rows {names}: {error}") from error
    more = [row for row in default_rows(encoders) if row.encoder in encoders]
    return list(dict.fromkeys([*listed, *more]))


def _split(name: str) -> "Split":
    from ..encoders.probes.folds import Split

    try:
        return Split.named(name)
    except InvalidProbe as error:
        raise typer.BadParameter(f"--splits: {error}") from error


def _listed(text: str) -> list[str]:
    """What stands between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _where_labels_are(tasks: "list[Task]") -> str:
    """What to say to someone who has no labels yet."""
    lines = [f"  {task.file}: {task.origin}, {task.url} ({task.licence})" for task in tasks]
    return "\n".join(
        [
            "the labels are no part of Placeprint. Say where they are with --data DIR, or bring your own with"
            " --labels FILE --target COLUMN. The folder holds, as far as you have them:",
            *dict.fromkeys(lines),
        ]
    )


@contextmanager
def _progress() -> "Iterator[tuple[Progress, Callable[[Board, Scored], None]]]":
    """What is being scored: a bar on the terminal, and elsewhere a line for each score."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from . import console

    def tell(board: "Board", one: "Scored") -> None:
        where = f"{board.task.name}  {board.split.name}  {one.row.name}"
        print(f"{where}  {one.score.mean:.4f}  {one.seconds:.1f} s", file=sys.stderr, flush=True)

    if not console.err.is_terminal:
        yield (lambda what, done, total: None), tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield (
            lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
            lambda board, one: None,
        )
