"""``placeprint embed``: embeddings for the rows of a table, or for one place."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..encoders.errors import InvalidCoordinate
from .exits import PARTLY_FAILED
from .options import AsJson

if TYPE_CHECKING:  # they load torch, which `--help` must not
    from ..encoders.location import LocationEmbedder
    from ..indexer.embed_table import Report

SECONDS_BETWEEN_LINES = 10.0
ROWS_COUNT = "rows count from 1, the line of column names aside"
LONG, TOO_LONG = 4096, 20_000  # numbers a row: from there on warned about, and refused for tables


def embed(
    table: Annotated[
        str | None,
        typer.Argument(help="A .csv, .parquet, .gpkg, .geojson, … table, or - for CSV from stdin."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write .parquet, .csv or .npy.")] = None,
    encoder: Annotated[
        str,
        typer.Option(help="Name, FILE.safetensors, geoclip:FILE, satclip:FILE, sinr:FILE, sincos, sh-20, …"),
    ] = "placeprint-location-v1",
    lon: Annotated[str | None, typer.Option(help="Column of longitudes; without a table, degrees.")] = None,
    lat: Annotated[str | None, typer.Option(help="Column of latitudes; without a table, degrees.")] = None,
    layer: Annotated[str | None, typer.Option(help="Of a file that holds several.")] = None,
    keep: Annotated[
        str | None, typer.Option(metavar="A,B", help="Keep these columns only; all by default.")
    ] = None,
    columns: Annotated[
        bool, typer.Option("--columns", help="Columns e000, e001, … instead of one of lists; CSV always.")
    ] = False,
    on_error: Annotated[
        str, typer.Option(metavar="stop|null|skip", help="What a row without a place on Earth does.")
    ] = "stop",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Embed the places of a table of any size, or one place. Ends with 3 if rows had no place.

    Rows count from 1 in all messages, the line of column names aside.

    Examples:
      placeprint embed places.csv -o out.parquet
      placeprint embed places.gpkg -o out.npy --on-error null
      placeprint embed --lon 139.7 --lat 35.6
    """
    if table is None:
        if out is not None or lon is None or lat is None:
            raise typer.BadParameter("give a table and --out FILE, or --lon and --lat in degrees")
        typer.echo(json.dumps(_one_place(encoder, _degrees("--lon", lon), _degrees("--lat", lat))))
        return
    if out is None:
        raise typer.BadParameter("say with --out FILE where to write: .parquet, .csv or .npy")
    if out.suffix.lower() not in (".parquet", ".csv", ".npy"):
        raise typer.BadParameter(f"--out {out}: write .parquet, .csv or .npy")
    from ..encoders.location_catalog import load_location_encoder
    from ..indexer.embed_table import embed_table

    names = None if keep is None else [name.strip() for name in keep.split(",") if name.strip()]
    loaded = load_location_encoder(encoder)
    _check_length(loaded)
    with _progress(as_json=as_json) as progress, _told_what_to_do(table, out):
        report = embed_table(
            table, out, loaded, lon=lon, lat=lat, layer=layer, keep=names, is_wide=columns,
            on_error=on_error, is_resumed=resume, is_overwritten=overwrite, progress=progress,
        )  # fmt: skip
    _show(report, out, loaded, on_error, as_json=as_json)
    if report.n_bad:
        raise typer.Exit(PARTLY_FAILED)


def _check_length(encoder: "LocationEmbedder") -> None:
    """Say what rows of an unusual length come to, before a disk is full of them."""
    from . import console

    told = (
        f"{encoder.name} gives {encoder.dimension:,} numbers a row,"
        f" {encoder.dimension * 4 / 1e6:,.2g} MB of float32"
    )
    if encoder.dimension > TOO_LONG:
        raise typer.BadParameter(f"--encoder {told}; tables take {TOO_LONG:,} numbers a row at most")
    if encoder.dimension > LONG:
        console.err.print(f"{told}: mind the room", soft_wrap=True)


def _one_place(encoder: str, lon: float, lat: float) -> dict[str, object]:
    from ..encoders.location_catalog import load_location_encoder
    from ..indexer.embed_table import facts_of

    loaded = load_location_encoder(encoder)
    embedding = loaded.encode([[lon, lat]])[0]
    # The shortest digits that give the same float32 back, not those of the float64 it would become.
    digits = [float(str(number)) for number in embedding]
    return {"lon": lon, "lat": lat, **facts_of(loaded), "embedding": digits}


def _degrees(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(
            f"{option} {text}: without a table, this is a number of degrees, as in {option} 35.6"
        ) from None


@contextmanager
def _told_what_to_do(table: str, out: Path) -> Iterator[None]:
    try:
        yield
    except InvalidCoordinate as error:
        # Whoever sends arrays to the package counts from 0; here somebody looks at a spreadsheet.
        names_a_row = re.search(r"\brow \d", str(error))
        raise InvalidCoordinate(f"{error} ({ROWS_COUNT})" if names_a_row else str(error)) from None
    except KeyboardInterrupt:
        is_kept = out.with_name(f"{out.name}.partial").exists() and table != "-"
        hint = "; what is done is kept, and the same command with --resume goes on" if is_kept else ""
        raise KeyboardInterrupt(f"interrupted{hint}") from None


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Callable[["Report", int | None], None]]:
    """A bar on the terminal; elsewhere a line now and then on standard error."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from . import console

    if not as_json and console.err.is_terminal:
        told = TextColumn("{task.fields[told]}")
        with Progress(
            TextColumn("embedding"), BarColumn(), told, TimeRemainingColumn(),
            console=console.err, transient=True,
        ) as bar:  # fmt: skip
            task = bar.add_task("", total=None, told="")
            yield lambda report, total: bar.update(
                task, completed=report.n_rows, total=total, told=_how_far(report, total)
            )
        return
    last = time.monotonic()

    def tell(report: "Report", total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last < SECONDS_BETWEEN_LINES:
            return
        last = time.monotonic()
        if as_json:
            console.say("progress", is_answer=False, rows=report.n_rows, total=total, failed=report.n_bad)
        else:
            console.err.print(f"embedding: {_how_far(report, total)}", soft_wrap=True)

    yield tell


def _how_far(report: "Report", total: int | None) -> str:
    of = f" of {total:,}" if total else ""
    return f"{report.n_rows:,}{of} rows, {_rate(report)}"


def _rate(report: "Report") -> str:
    n = report.n_rows - report.n_resumed
    return f"{n / report.seconds:,.0f} rows/s" if report.seconds > 0 else "0 rows/s"


def _show(report: "Report", out: Path, encoder: "LocationEmbedder", on_error: str, *, as_json: bool) -> None:
    from . import console

    if as_json:
        console.say(
            "report", out=str(out), rows=report.n_rows, embedded=report.n_embedded, failed=report.n_bad,
            first_failed=[{"row": row, "reason": why} for row, why in report.bad],
            resumed_at=report.n_resumed, seconds=round(report.seconds, 3), encoder=encoder.name,
            fingerprint=encoder.fingerprint, dimension=encoder.dimension,
        )  # fmt: skip
        return
    for row, why in report.bad:
        console.err.print(f"row {row}: {why}", markup=False, soft_wrap=True)
    if report.bad:
        console.err.print(f"({ROWS_COUNT})")
    if report.n_bad > len(report.bad):
        console.err.print(f"… and {report.n_bad - len(report.bad):,} more rows without a place")
    fate = "left out" if on_error == "skip" else "without an embedding"
    bad = f", {report.n_bad:,} {fate}" if report.n_bad else ""
    resumed = f" ({report.n_resumed:,} of them before)" if report.n_resumed else ""
    console.out.print(f"{report.n_rows:,} rows: {report.n_embedded:,} embedded{bad}{resumed}", soft_wrap=True)
    console.out.print(f"{report.seconds:.1f} s, {_rate(report)}")
    made = f"{encoder.dimension} numbers a row by {encoder.name} ({encoder.fingerprint})"
    console.out.print(f"{out}: {made}", markup=False, soft_wrap=True)
