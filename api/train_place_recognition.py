"""``placeprint train place-recognition``: an encoder of places from one's own photos with coordinates."""

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..encoders.errors import InvalidOption, UnknownColumns
from .exits import resumable
from .options import AsJson, EncoderName, WeightsFile

if TYPE_CHECKING:  # it loads numpy and scipy, which `--help` must not
    from ..encoders.place_recognition.photos import PlacePhotos

Count = Callable[[int, int], None]
Show = Callable[[dict[str, Any], int], None]

IMAGE_COLUMNS = ("image", "file", "path")


def place_recognition(
    manifest: Annotated[
        Path,
        typer.Option(help="Table of photos: image, lon, lat; sequence, heading_deg, captured_at if known."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; made if it is not there.")],
    encoder: EncoderName = None,
    weights: WeightsFile = None,
    layer: Annotated[int, typer.Option(help="Of the encoder's backbone; -1 is its last.")] = -1,
    size: Annotated[int | None, typer.Option(min=1, help="Side of the input, pixels.")] = None,
    aggregation: Annotated[
        Literal["netvlad", "gem", "mean", "transport"], typer.Option(help="Of local features.")
    ] = "netvlad",
    centers: Annotated[int, typer.Option(min=2, help="Of NetVLAD.")] = 64,
    dimension: Annotated[
        int | None, typer.Option(min=1, help="After whitening; 512, or what the photos give.")
    ] = None,
    epochs: Annotated[
        int, typer.Option(min=0, help="0: no training, only a vocabulary and whitening of these photos.")
    ] = 10,
    positive_from_m: Annotated[
        float, typer.Option(min=0.0, help="Nearer is the same photo again; 0: one spot counts, too.")
    ] = 1.0,
    positive_to_m: Annotated[float, typer.Option(help="Up to here photos may show one place.")] = 10.0,
    negative_from_m: Annotated[float, typer.Option(help="From here on they do not.")] = 25.0,
    other_time: Annotated[
        bool, typer.Option("--other-time", help="One place counts if taken at another time only.")
    ] = False,
    time_column: Annotated[str, typer.Option(help="Texts that differ are other times.")] = "captured_at",
    other_sequence: Annotated[
        bool, typer.Option("--other-sequence", help="… if taken on another walk only (column sequence).")
    ] = False,
    held_out_share: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Of the photos, by regions; chooses the epoch.")
    ] = 0.15,
    settings: Annotated[
        Path | None, typer.Option(help="JSON of further settings: loss, n_blocks, n_looks, learning_rate, …")
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the photos, for the card.")] = "",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run, with the same options.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn to recognize places: which photos show one place again, from coordinates alone.

    Leaves OUT/place-encoder.safetensors, an encoder for everything that takes --encoder, and OUT/card.md.
    With --epochs 0 it makes a vocabulary (VLAD without training, for any backbone) and the whitening.
    Settings that hardly anybody changes are in run.json of every run, and come from a file with --settings.

    Examples:
      placeprint train place-recognition --manifest photos.csv --encoder clip-b16 --out runs/town
      placeprint train place-recognition --manifest photos.csv --encoder clip-b16 --epochs 0 --out runs/vlad
      placeprint index photos/ --gallery town --encoder place:runs/town/place-encoder.safetensors
    """
    from ..encoders.place_recognition.settings import Nearness, PlaceRun

    asked = {
        "layer": layer, "size": size, "aggregation": aggregation, "n_centers": centers,
        "dimension": dimension, "epochs": epochs, "held_out_share": held_out_share, "seed": seed,
        "nearness": Nearness(
            positive_from_m=positive_from_m, positive_to_m=positive_to_m, negative_from_m=negative_from_m,
            other_time=other_time, other_sequence=other_sequence,
        ),
    }  # fmt: skip
    further = {} if settings is None else read_settings(settings, without=asked.keys())
    try:
        run = PlaceRun.from_dict(asked | further)
    except TypeError as error:
        raise InvalidOption(f"--settings {settings}: a value of another kind ({error})") from None

    from ..encoders.catalog import DEFAULT, load_encoder
    from ..encoders.image import OpenClipEncoder, TimmEncoder
    from ..encoders.run_folder import require_free
    from ..encoders.train_place_recognition import run_place_recognition
    from . import console
    from .train_maps import require_device

    require_free(out, is_resumed=resume)
    require_device(device)
    as_json = as_json or not console.out.is_terminal
    photos = read_photos(manifest, time_column=time_column)
    backbone = load_encoder(encoder or DEFAULT, weights=weights)
    if not isinstance(backbone, OpenClipEncoder | TimmEncoder):
        raise InvalidOption(f"--encoder {encoder}: its layers cannot be read; take open_clip:… or timm:…")
    with _progress(as_json=as_json) as (count, show), resumable(out):
        report = run_place_recognition(
            photos, backbone, run, out, facts={"source": manifest.name, "licence": licence},
            is_resumed=resume, device=device, show=show, count=count,
            tell=lambda message: console.warn(message, as_json=as_json),
        )  # fmt: skip
    _show(report, out, as_json=as_json)


def read_settings(path: Path, *, without: Collection[str]) -> dict[str, Any]:
    """Further settings of a run, from a file of JSON.

    Args:
        path: of the file.
        without: settings that have an option of their own.

    Raises:
        InvalidOption: no such file, no JSON object, or a setting that is an option.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidOption(f"--settings {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InvalidOption(f"--settings {path}: no JSON ({error})") from None
    if not isinstance(told, dict):
        raise InvalidOption(f'--settings {path}: give an object, such as {{"n_looks": 1}}')
    if own := sorted(told.keys() & set(without)):
        raise InvalidOption(f"--settings {path}: {', '.join(own)} has an option of its own; give that")
    return told


def read_photos(manifest: Path, *, time_column: str = "captured_at") -> "PlacePhotos":
    """The photos of a table; paths are relative to its folder.

    Raises:
        UnreadableSource: no such table, or a damaged one.
        UnknownColumns: no column of images, or none of the coordinates.
        InvalidCoordinate: a photo without a place, or lon and lat exchanged.
    """
    import numpy as np

    from ..encoders.coordinate_columns import check_columns
    from ..encoders.place_recognition.photos import PlacePhotos
    from ..indexer.table_source import open_table

    source = open_table(str(manifest))
    names = source.schema.names
    image = next((name for name in IMAGE_COLUMNS if name in names), None)
    if image is None:
        raise UnknownColumns(
            f"{manifest}: no column {' or '.join(IMAGE_COLUMNS)}; there are {', '.join(names)}"
        )
    if time_column not in names and time_column != "captured_at":
        raise UnknownColumns(
            f"{manifest}: no column {time_column!r} for the time; there are {', '.join(names)}"
        )
    find = source.find_coordinates(None, None)
    parts = list(source.parts())
    found = [find(part) for part in parts]
    told = check_columns(
        *(
            np.concatenate([np.asarray(one.told[axis]) for one in found]) if found else np.zeros(0)
            for axis in (0, 1)
        )
    )
    told.refuse_exchanged()

    def texts(name: str) -> list[str] | None:
        if name not in names:
            return None
        values = [value for part in parts for value in part.column(name).to_pylist()]
        return ["" if value is None else str(value) for value in values]

    headings = texts("heading_deg")
    return PlacePhotos.of(
        [manifest.parent / file for file in texts(image) or ()],
        told.require_all(),
        sequences=texts("sequence"),
        heading_deg=None if headings is None else [float(one or "nan") for one in headings],
        captured_at=texts(time_column),
    )


@contextmanager
def _progress(*, as_json: bool) -> Iterator[tuple[Count, Show]]:
    """Progress of reading and then of training: one display with two bars, or lines of JSON."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from . import console

    if as_json:
        with console.counting_progress("reading photos", as_json=True) as count:
            yield count, lambda record, total: console.say("round", rounds=total, **record)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"), TimeRemainingColumn(),
    )  # fmt: skip
    held_out = ""
    with Progress(*columns, console=console.err, transient=True) as bar:
        reading = bar.add_task("reading photos", total=None, figures="")
        training = bar.add_task("training", total=None, figures="", visible=False)

        def show(record: dict[str, Any], total: int) -> None:
            nonlocal held_out
            if "recall_at_1" in record:
                held_out = f", held-out recall@1 {record['recall_at_1']:.1%}"
            figures = f"loss {record['loss']:.3f}{held_out}"
            bar.update(training, completed=record["round"], total=total, figures=figures, visible=True)

        yield lambda done, total: bar.update(reading, completed=done, total=total), show


def _show(report: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """The last word: recall on held-out photos beside what it has to beat."""
    from rich.table import Table

    from . import console

    if as_json:
        console.say("report", out=str(out), **report)
        return
    photos, held_out = report["photos"], report["held_out"]
    console.out.print(
        f"{photos['training']:,} photos, {report['queries']:,} of them with another of their place; "
        f"{report['dimension']} dimensions"
    )
    rows = {name: row for name, row in held_out.items() if isinstance(row, dict)}
    if rows:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(f"{held_out['queries']:,} held-out queries, chance {held_out['chance']:.1%}")
        for name in rows["best_epoch"]:
            table.add_column(name.replace("_", " "), justify="right")
        for name, row in rows.items():
            table.add_row(name.replace("_", " "), *(f"{value:.1%}" for value in row.values()))
        console.show_table(table)
    console.out.print(f"encoder: {out / 'place-encoder.safetensors'}", soft_wrap=True)
