"""``placeprint train map-student``: a location encoder that says what a map encoder would, without a map."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .exits import resumable
from .map_places import DrawnIn, Maps, Points, RunFolder, opened_maps, places_of
from .options import AsJson

N_PLACES = 20_000


def map_student(
    encoder: Annotated[str, typer.Option(help="Map encoder: a name, or a .safetensors of `train maps`.")],
    mosaic: Maps,
    out: RunFolder,
    area: DrawnIn = None,
    places: Annotated[int, typer.Option(min=1, help="How many places to draw.")] = N_PLACES,
    points: Points = None,
    network: Annotated[
        Literal["feed-forward", "siren", "residual"], typer.Option(help="Of the student.")
    ] = "feed-forward",
    finest: Annotated[
        float, typer.Option(help="Shortest wave it can tell, in widths of a crop; shorter learns by heart.")
    ] = 8.0,
    hidden: Annotated[int, typer.Option(min=1, help="Width of its layers.")] = 512,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the places.")] = 60,
    name: Annotated[str, typer.Option(help="Of the student, for its card.")] = "map-student",
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run, with the same options.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Teach coordinates what a map encoder says of places, so that a place needs no map.

    Leaves the student in OUT/map-student.safetensors, OUT/card.md, and OUT/errors.png: how far off it is
    by distance from the places it learned, beside the map of the nearest of them.

    Examples:
      placeprint train map-student --encoder runs/maps/map-encoder.safetensors --mosaic li.tif --out runs/li
      placeprint places build --gallery anywhere --student runs/li/map-student.safetensors --list towns.csv
    """
    from ..encoders.map_catalog import load_map_encoder
    from ..encoders.map_learning.distill import DistillRun
    from ..encoders.run_folder import require_free
    from ..encoders.train_map_student import run_student
    from . import console

    run = DistillRun(network=network, finest=finest, hidden=hidden, epochs=epochs, seed=seed)
    require_free(out, is_resumed=resume)
    as_json = as_json or not console.out.is_terminal
    teacher = load_map_encoder(encoder)
    source, box, facts = opened_maps(mosaic)
    lonlat = places_of(source, box, area, points, n=places, ground_m=teacher.config.ground_m, seed=seed)
    with _progress(as_json=as_json) as (looked, show), resumable(out):
        report = run_student(
            teacher, source, lonlat, run, out, name=name, facts=facts, is_resumed=resume, looked=looked,
            show=show,
        )  # fmt: skip
    _show(report, out, as_json=as_json)


@contextmanager
def _progress(
    *, as_json: bool
) -> Iterator[tuple[Callable[[int, int], None], Callable[[dict[str, Any], int], None]]]:
    """Progress over the places looked at, then over epochs."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from . import console

    if as_json:
        yield (
            lambda done, total: console.say("looked", places=done, of=total),
            lambda record, total: console.say("epoch", epochs=total, **record),
        )
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("", total=None)

        def looked(done: int, total: int) -> None:
            bar.update(task, description="looking at maps", completed=done, total=total)

        def show(record: dict[str, Any], total: int) -> None:
            words = f"learning, loss {record['loss']:.3f}"
            bar.update(task, description=words, completed=record["epoch"], total=total)

        yield looked, show


def _show(report: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """The last word: how far off the student is where it has not learned."""
    from rich.table import Table

    from ..encoders.train_map_student import ROWS, kilometers
    from . import console

    if as_json:
        console.say("report", out=str(out), **report)
        return
    table = Table(title="1 - cosine to what the map encoder says, held-out places", title_justify="left")
    for column in ("km to the nearest place learned", "places", *ROWS.values()):
        table.add_column(column, justify="right")
    for title, row in (
        *((kilometers(ring), ring) for ring in report["rings"]),
        ("all", report["held_out"]),
    ):
        table.add_row(title, f"{row['places']:,}", *(f"{row[key]:.3f}" for key in ROWS))
    console.out.print(table)
    console.out.print(f"student: {out / 'map-student.safetensors'}", markup=False, soft_wrap=True)
