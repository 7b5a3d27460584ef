"""``placeprint cells``: make geocells, look at them, write them for other programs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson, writable_target

if TYPE_CHECKING:  # they load scipy and pandas, which `--help` must not
    from ..encoders.geocells import Geocells

cells_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Divide the Earth into named cells for a classifier."
)
SECONDS_BETWEEN_LINES = 10.0
CellsFile = Annotated[
    Path | None, typer.Argument(help="A cells.parquet; without it the partition that is shipped.")
]
Source = Annotated[
    str | None,
    typer.Option(
        "--boundaries", metavar="NAME,RELEASE,LICENCE,URL", help="Which boundaries these are, for the record."
    ),
]


@cells_app.command()
def build(
    table: Annotated[
        str | None, typer.Argument(help="A .csv, .parquet, … of training points: lon, lat, id, split.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Write cells to this .parquet.")] = Path(
        "cells.parquet"
    ),
    min_points: Annotated[int, typer.Option("--min", help="Points of a cell at least.")] = 30,
    max_points: Annotated[int, typer.Option("--max", help="Points of a cell at most.")] = 60,
    lon: Annotated[str | None, typer.Option(help="Column of longitudes.")] = None,
    lat: Annotated[str | None, typer.Option(help="Column of latitudes.")] = None,
    strict: Annotated[bool, typer.Option("--strict-admin1", help="No cell in two admin-1.")] = False,
    force_split: Annotated[
        bool, typer.Option("--force-split", help="Split large cells without gaps as well.")
    ] = False,
    hierarchy: Annotated[
        str, typer.Option(metavar="places|polygons", help="Where units come from.")
    ] = "places",
    country_layer: Annotated[
        str | None, typer.Option(metavar="FILE:CODE[:NAME]", help="Boundaries of countries, and columns.")
    ] = None,
    admin1_layer: Annotated[str | None, typer.Option(metavar="FILE:CODE[:NAME]")] = None,
    admin2_layer: Annotated[str | None, typer.Option(metavar="FILE:CODE[:NAME]")] = None,
    boundaries: Source = None,
    default: Annotated[bool, typer.Option("--default", help="Make the shipped partition again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make cells of training points: a row of the table each; of a column `split` only `train` counts.

    Examples:
      placeprint cells build photos.csv -o cells.parquet --min 30 --max 60 --force-split
      placeprint cells build --default -o cells.parquet
      placeprint cells build photos.csv --hierarchy polygons --country-layer adm0.geojson:iso_a2:name
        --boundaries "geoBoundaries CGAZ,6.0.0,CC BY 4.0,https://www.geoboundaries.org"
    """
    writable_target(out, "--out", (".parquet",))
    if default == (table is not None):
        raise typer.BadParameter("give a table of training points, or --default without one")
    if hierarchy not in ("places", "polygons"):
        raise typer.BadParameter(f"--hierarchy {hierarchy}: places or polygons")
    layers = {"country": country_layer, "admin1": admin1_layer, "admin2": admin2_layer}
    if (hierarchy == "polygons") != (country_layer is not None):
        raise typer.BadParameter("--hierarchy polygons and --country-layer FILE:CODE go together")

    from ..encoders.cells.world import build_world_cells
    from ..encoders.geocells import build_geocells

    started = time.monotonic()
    with _progress(as_json=as_json) as progress:
        if default:
            cells = build_world_cells(progress)
        else:
            points, ids = _training_points(str(table), lon, lat)
            units = None
            if hierarchy == "polygons":
                from ..encoders.cells.polygon_units import polygon_hierarchy

                progress("reading boundaries", 0, 1)
                units = polygon_hierarchy(_boundary_files(layers, boundaries))
                progress("reading boundaries", 1, 1)
            cells = build_geocells(
                points, ids=ids, min_points=min_points, max_points=max_points, hierarchy=units,
                admin1_policy="strict" if strict else "prefer", force_split=force_split, progress=progress,
            )  # fmt: skip
    cells.save(out)
    _show_built(cells, out, time.monotonic() - started, as_json=as_json)


@cells_app.command()
def inspect(
    cells_file: CellsFile = None,
    image: Annotated[Path | None, typer.Option("--map", help="Draw a map of the world, a .png.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how many cells there are, how large, where, and what is remarkable about them.

    Example: placeprint cells inspect cells.parquet --map cells.png
    """
    writable_target(image, "--map", (".png",))
    from . import cells_report

    cells = _loaded(cells_file)
    cells_report.show(cells, as_json=as_json)
    if image is not None:
        from .cells_map import draw_cells

        with _progress(as_json=as_json) as progress:
            draw_cells(cells, image, lambda done, total: progress("drawing", done, total))


@cells_app.command()
def export(
    cells_file: CellsFile = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Write .geojson, .parquet (GeoParquet) or .csv.")
    ] = Path("cells.geojson"),
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="geojson|geoparquet|csv", help="By default by the ending."),
    ] = None,
) -> None:
    """Write the cells with their polygons, cut at the antimeridian; CSV has centers alone.

    Example: placeprint cells export cells.parquet -o cells.geojson
    """
    forms = {".geojson": "geojson", ".json": "geojson", ".parquet": "geoparquet", ".csv": "csv"}
    chosen = form or forms.get(out.suffix.lower())
    if chosen not in ("geojson", "geoparquet", "csv"):
        raise typer.BadParameter(f"--format {form or out.suffix}: geojson, geoparquet or csv")
    writable_target(out, "--out", ())
    from ..encoders.cells.export import export_cells
    from . import console

    cells = _loaded(cells_file)
    with _progress(as_json=False) as progress:
        export_cells(cells, out, chosen, lambda done, total: progress("polygons", done, total))
    console.out.print(f"{out}: {len(cells):,} cells ({cells.cells_id})", markup=False, soft_wrap=True)


def _loaded(path: Path | None) -> "Geocells":
    from ..encoders.geocells import Geocells, default_geocells

    return default_geocells() if path is None else Geocells.load(path)


def _training_points(table: str, lon: str | None, lat: str | None) -> tuple[Any, list[str] | None]:
    """Coordinates (n, 2) and ids of the training rows of a table."""
    import numpy as np

    from ..encoders.errors import InvalidCells, InvalidCoordinate
    from ..indexer.table_source import open_table

    source = open_table(table)
    take = source.find_coordinates(lon, lat)
    places, ids, bad, n_rows = [], [], [], 0
    for part in source.parts():
        coordinates = take(part)
        coordinates.refuse_exchanged()
        is_train = np.ones(len(part), dtype=bool)
        if "split" in part.column_names:
            is_train = np.array([str(value) == "train" for value in part["split"].to_pylist()], dtype=bool)
        at_fault = np.flatnonzero(is_train & ~coordinates.is_placed)
        bad += [(n_rows + int(row), coordinates.complaint(int(row))) for row in at_fault]
        places.append(coordinates.lonlat[is_train])
        if "id" in part.column_names:
            ids += [str(value) for value, kept in zip(part["id"].to_pylist(), is_train, strict=True) if kept]
        n_rows += len(part)
    if bad:
        named = "; ".join(f"row {row}: {why}" for row, why in bad[:5])
        more = f"; {len(bad):,} such rows" if len(bad) > 5 else ""
        raise InvalidCoordinate(
            f"{table}: {named}{more}. Mend or remove them: every training row needs a place"
        )
    if not sum(map(len, places)):
        raise InvalidCells(f"{table}: no training rows (of {n_rows:,}); a column `split` must say train")
    return np.concatenate(places), ids if "id" in source.schema.names else None


def _boundary_files(layers: dict[str, str | None], boundaries: str | None) -> list[Any]:
    from ..encoders.cells.boundaries import LEVELS, BoundaryFile

    told = [word.strip() for word in (boundaries or "").split(",")]
    if len(told) != 4:
        raise typer.BadParameter(
            '--boundaries "NAME,RELEASE,LICENCE,URL" must say which boundaries these are, or nobody can make '
            "the cells again"
        )
    name, release, licence, url = told
    files = []
    for level in LEVELS:
        words = layers[level]
        if words is None:
            continue
        path, *columns = words.split(":")
        if not 1 <= len(columns) <= 2:
            raise typer.BadParameter(f"--{level}-layer {words}: write FILE:CODE or FILE:CODE:NAME")
        identity = {"name": name, "release": release, "licence": licence, "url": url}
        files.append(
            BoundaryFile(level=level, path=Path(path), code=columns[0], label=columns[-1], **identity)
        )
    return files


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage on the terminal; elsewhere a line now and then on standard error."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from . import console

    if not as_json and console.err.is_terminal:
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(),
            console=console.err, transient=True,
        ) as bar:  # fmt: skip
            task = bar.add_task("", total=None)
            yield lambda stage, done, total: bar.update(task, description=stage, completed=done, total=total)
        return
    last = time.monotonic()

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last < SECONDS_BETWEEN_LINES:
            return
        last = time.monotonic()
        if as_json:
            console.say("progress", is_answer=False, stage=stage, done=done, total=total)
        else:
            console.err.print(f"{stage}: {done:,} of {total:,}", soft_wrap=True)

    yield tell


def _show_built(cells: "Geocells", out: Path, seconds: float, *, as_json: bool) -> None:
    from . import cells_report, console

    if as_json:
        console.say("report", out=str(out), seconds=round(seconds, 3), **cells_report.summary(cells))
        return
    told = cells_report.summary(cells)
    flags = ", ".join(f"{n:,} {flag}" for flag, n in told["flags"].items()) or "no flags"
    console.out.print(
        f"{told['points']:,} points: {told['cells']:,} cells in {told['countries']} countries; {flags}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    for layer in cells.provenance["hierarchy"].get("layers", []):
        repaired = f"{len(layer['repairs'])} repaired, {len(layer['without_area'])} without area"
        console.out.print(f"{layer['file']}: {layer['n_polygons']:,} polygons, {repaired}", markup=False)
    console.out.print(f"{out}: {cells.cells_id}, {seconds:.1f} s", markup=False, soft_wrap=True)
