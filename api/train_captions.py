"""``placeprint train captions``: an image–text model learns regional looks from captions of places."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import resumable
from .options import AsJson, WeightsFile

if TYPE_CHECKING:  # they load torch, which `--help` must not
    from ..encoders.captioning.photos import CaptionPhotos, PhotoSource
    from ..encoders.preprocessing import Preprocessing


def captions(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; made if it is not there.")],
    gallery: Annotated[str | None, typer.Option("--gallery", "-g", help="Photos of this gallery.")] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Or photos of a folder, a table (image, lon, lat, …) or an archive.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="To begin from: a name from `placeprint models`, open_clip:MODEL/WEIGHTS."),
    ] = None,
    weights: WeightsFile = None,
    preset: Annotated[str, typer.Option(help="ours, pigeon or pigeotto.")] = "ours",
    tune: Annotated[str | None, typer.Option(help="projection, last-layer, lora or all.")] = None,
    style: Annotated[str | None, typer.Option(help="Of captions: street or photo.")] = None,
    lora_rank: Annotated[int | None, typer.Option(help="Rank of the adapters of lora.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training photos.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Photos of a batch at most.")] = None,
    part_size: Annotated[int | None, typer.Option(help="Of these in memory at a time.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its height.")] = None,
    block_deg: Annotated[
        float | None, typer.Option(help="Side of the blocks that are held out; by the photos' spread.")
    ] = None,
    group_column: Annotated[
        str | None, typer.Option(help="Column of --photos: what belongs together.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, or what torch calls your accelerator.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Teach an image–text model what places look like, by captions made of coordinates and time.

    Leaves weights in OUT/encoder.safetensors, for --encoder MODEL --weights FILE. Whole regions are held
    out to choose the weights, and others to report.

    Examples:
      placeprint train captions --gallery trips --out runs/trips
      placeprint train captions --photos photos.csv --tune lora --out runs/lora
      placeprint train captions --gallery trips --out runs/trips --resume
      placeprint index photos --gallery new --encoder clip-b32-256 --weights runs/trips/encoder.safetensors
    """
    if (gallery is None) == (photos is None):
        raise typer.BadParameter("say which photos: --gallery NAME, or --photos PATH, one of the two")
    from ..encoders.captioning.settings import CaptionRun

    asked = {
        "tune": tune, "style": style, "lora_rank": lora_rank, "epochs": epochs, "batch_size": batch_size,
        "part_size": part_size, "learning_rate": learning_rate, "block_deg": block_deg,
    }  # fmt: skip
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    run = CaptionRun.preset(preset, seed=seed, **changes)

    from ..encoders.captioning.model import CaptionModel
    from ..encoders.catalog import DEFAULT
    from ..encoders.processes import joined
    from ..encoders.run_folder import require_free
    from ..encoders.train_captions import run_captions
    from . import console

    as_json = as_json or not console.out.is_terminal
    require_free(out, is_resumed=resume)
    with joined() as world, resumable(out):
        begun = CaptionModel(model or DEFAULT, weights, device=world.device(device))
        sources, facts = world.in_turn(lambda: _sources(gallery, photos, group_column))
        read = _read(sources, begun.preprocessing, as_json=as_json)
        with _rounds(as_json=as_json) as show:
            report = run_captions(read, begun, run, out, is_resumed=resume, source=facts, show=show)
    _show(report, out, as_json=as_json)


def _sources(
    gallery: str | None, photos: Path | None, group_column: str | None
) -> tuple[list["PhotoSource"], dict[str, Any]]:
    from ..indexer.caption_photos import sources_of_gallery, sources_of_path
    from ..indexer.gallery import Gallery

    if gallery is None:
        assert photos is not None
        return sources_of_path(photos, group_column=group_column)
    with Gallery.open(gallery) as opened:
        found, facts = sources_of_gallery(opened)
    return list(found), facts


def _read(sources: list["PhotoSource"], preprocessing: "Preprocessing", *, as_json: bool) -> "CaptionPhotos":
    """Read all photos once, with a bar on the terminal."""
    from rich.progress import Progress

    from ..encoders.captioning.photos import read_photos
    from . import console

    with Progress(console=console.err, transient=True, disable=as_json) as bar:
        task = bar.add_task("reading photos", total=len(sources))
        read = read_photos(sources, preprocessing, show=lambda done, _: bar.update(task, completed=done))
    if as_json:
        console.say("photos", listed=len(sources), used=len(read), left_out=len(read.left_out))
    elif read.left_out:
        key, reason = next(iter(read.left_out.items()))
        console.err.print(
            f"{len(read.left_out)} of {len(sources)} photos left out, the first {key}: {reason}",
            soft_wrap=True,
        )
    return read


@contextmanager
def _rounds(*, as_json: bool) -> Iterator[Callable[[dict[str, Any], int], None]]:
    """Progress over rounds: a bar on the terminal, or lines of JSON."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from . import console

    if as_json:
        yield lambda record, total: console.say(
            "round", rounds=total, **{name: value for name, value in record.items() if name != "before"}
        )
        return
    columns = (
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("", total=None, figures="")

        def show(record: dict[str, Any], total: int) -> None:
            figures = f"loss {record['loss']:.3f}, rank {record['rank_share']:.3f}"
            if "country_at_1" in record:
                figures += f", country {record['country_at_1']:.0%}"
            bar.update(task, completed=record["round"], total=total, figures=figures)

        yield show


def _show(report: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """The last word: figures on the test regions before and after."""
    from rich.table import Table

    from ..encoders.captioning.report import ROWS
    from . import console

    if as_json:
        console.say("report", out=str(out), **report)
        return
    columns = ("before", "after", "most common")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(f"{report['test_photos_asked']} photos of held-out regions", no_wrap=True)
    for title in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for name, title in ROWS.items():
        cells = [report[column].get(name) for column in columns]
        if any(cells):
            table.add_row(title, *("" if cell is None else f"{cell['value']:.1%}" for cell in cells))
    console.out.print(table)
    console.out.print(f"round {report['best_round']} of {report['rounds']}", soft_wrap=True)
    console.out.print(f"use: {report['use']}", soft_wrap=True)
