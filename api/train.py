"""``placeprint train``: train encoders on photos of one's own. One command for each way of training.

Of several processes that `torchrun` started the first speaks for all, but for errors.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import forget_output, resumable
from .options import AsJson, GalleryName
from .train_captions import captions
from .train_geocells import geocells
from .train_map_student import map_student
from .train_maps import maps
from .train_place_recognition import place_recognition
from .train_regions import regions

if TYPE_CHECKING:  # it loads torch, which `--help` must not
    from ..encoders.csp_sampling import Pairs

train_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Train encoders on your own photos and places."
)


@train_app.callback()
def _speak_once() -> None:
    if int(os.environ.get("WORLD_SIZE") or 1) == 1 or os.environ.get("RANK") == "0":
        return
    from . import console

    forget_output()
    console.err.quiet = True


train_app.command()(captions)
train_app.command()(geocells)
train_app.command()(maps)
train_app.command("map-student")(map_student)
train_app.command("place-recognition")(place_recognition)
train_app.command()(regions)


@train_app.command()
def csp(
    gallery: GalleryName,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; made if it is not there.")],
    preset: Annotated[str, typer.Option(help="ours, csp-paper or csp-scripts.")] = "ours",
    parts: Annotated[str | None, typer.Option(help="Of the objective: B, BL, BD or BLD.")] = None,
    objective: Annotated[str | None, typer.Option(help="mc (InfoNCE) or nce.")] = None,
    positional: Annotated[
        str | None, typer.Option(help="Positional encoding: nerf, sh, grid, sphere-c, rff-equal-earth, …")
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="Network after it: feed-forward, siren, residual, linear.")
    ] = None,
    dimension: Annotated[int | None, typer.Option(help="Length of the embedding.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training photos.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs of a batch at most.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its height.")] = None,
    block_deg: Annotated[
        float | None, typer.Option(help="Side of the blocks that are held out; by the photos' spread.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with an interrupted run, with the same options: more --epochs are another run.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn what photos of a place look like: contrastive spatial pre-training, no labels needed.

    Leaves a location encoder in OUT/location.safetensors, for every --encoder that takes places.
    Whole regions are held out to choose the epoch, and others to report.

    Examples:
      placeprint train csp --gallery trips --out runs/trips
      placeprint train csp --gallery trips --out runs/trips --resume
      placeprint embed places.csv --encoder runs/trips/location.safetensors --out places.parquet
    """
    from ..encoders.csp_settings import CspRun

    asked = {
        "parts": parts, "objective": objective, "positional": positional, "network": network,
        "dimension": dimension, "epochs": epochs, "batch_size": batch_size,
        "learning_rate": learning_rate, "block_deg": block_deg,
    }  # fmt: skip
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    # The options of the preset are for its own parts.
    changes |= {"positional_options": None} if positional is not None else {}
    changes |= {"network_options": {}} if network is not None else {}
    run = CspRun.preset(preset, seed=seed, **changes)

    from ..encoders.processes import joined
    from ..encoders.train_csp import run_csp
    from . import console

    as_json = as_json or not console.out.is_terminal
    with joined() as world:
        pairs, source = world.in_turn(lambda: _pairs(gallery))
        with _epochs(as_json=as_json) as show, resumable(out):
            report = run_csp(pairs, run, out, is_resumed=resume, source=source, show=show)
    _show(report, out, as_json=as_json)


def _pairs(gallery: str) -> tuple["Pairs", dict[str, Any]]:
    from ..indexer.gallery import Gallery
    from ..indexer.pairs import pairs_of

    with Gallery.open(gallery) as opened:
        return pairs_of(opened)


@contextmanager
def _epochs(*, as_json: bool) -> Iterator[Callable[[dict[str, Any], int], None]]:
    """Progress over epochs: a bar on the terminal, or lines of JSON where there are new figures."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from . import console

    if as_json:
        yield (
            lambda record, total: (
                console.say("epoch", epochs=total, **record) if "median_km" in record else None
            )
        )
        return
    columns = (
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("", total=None, figures="")
        held_out = ""

        def show(record: dict[str, Any], total: int) -> None:
            nonlocal held_out
            if "median_km" in record:
                held_out = f", held out {record['median_km']:,.0f} km"
            bar.update(
                task, completed=record["epoch"], total=total, figures=f"loss {record['loss']:.3f}{held_out}"
            )

        yield show


def _show(report: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """The last word: figures on the test regions beside baselines."""
    from rich.table import Table

    from . import console

    if as_json:
        console.say("report", out=str(out), **report)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in (
        f"{report['test_photos_asked']} photos of held-out regions",
        "median km",
        "≤ 200 km",
        "≤ 2500 km",
    ):
        table.add_column(title, justify="left" if title[0].isdigit() else "right", no_wrap=True)
    for name, row in report["rows"].items():
        median = "{value:,.0f} [{low:,.0f}, {high:,.0f}]".format(**row["median_km"])
        table.add_row(
            name, median, *(f"{100 * row[f'within_{radius}_km']['value']:.1f} %" for radius in (200, 2500))
        )
    console.out.print(table)
    rank = report["rank_share"]
    console.out.print(
        f"known places ranked above the true one: {rank['value']:.1%} [{rank['low']:.1%}, "
        f"{rank['high']:.1%}], chance 50 %; epoch {report['best_epoch']} of {report['epochs']}",
        soft_wrap=True,
    )
    console.out.print(f"encoder: {out / 'location.safetensors'}", soft_wrap=True)
