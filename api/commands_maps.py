"""The verbs for maps: `map` draws one from a mosaic, `mosaic` builds a mosaic or shows what is in it."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..encoders.errors import InvalidOption
from .cells import _progress
from .options import AsJson, writable_target

if TYPE_CHECKING:  # they load geopandas and rasterio, which `--help` must not
    from ..encoders.areas import Box
    from ..encoders.maps import Layer

mosaic_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Draw map files once, as a mosaic to cut views from."
)


def map(
    point: Annotated[str, typer.Argument(metavar="LON,LAT", help="Center of the map, degrees.")],
    mosaic: Annotated[
        Path | None, typer.Option("--mosaic", "-m", help="A mosaic from `placeprint mosaic build`.")
    ] = None,
    tiles: Annotated[
        str | None,
        typer.Option(
            metavar="PROVIDER|URL",
            help="Ask a tile server instead: CartoDB.Positron, or a URL with {x}, {y} and {z}.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Write this .png.")] = Path("map.png"),
    ground: Annotated[str, typer.Option(help="Width on the ground: 800m, 1.5km.")] = "1km",
    turn: Annotated[float, typer.Option(help="Degrees the view is turned counterclockwise.")] = 0.0,
    px: Annotated[int, typer.Option(min=16, max=4096, help="Width of the picture, pixels.")] = 768,
    style: Annotated[str, typer.Option(help="plain, dark or contrast.")] = "plain",
    as_json: AsJson = False,
) -> None:
    """Draw the map around a place: what the encoder of maps sees, in colors. No network is used.

    With --tiles a server is asked for a preview of some tiles, which are kept; encoders do not see it.
    A point west of Greenwich begins with a dash: write -- before it.

    Examples:
      placeprint map 9.5215,47.1410 --mosaic li.tif -o vaduz.png
      placeprint map --mosaic ca.tif --ground 80km --style dark -- -122.42,37.77
      placeprint map 9.5215,47.1410 --tiles CartoDB.Positron
    """
    if (mosaic is None) == (tiles is None):
        raise typer.BadParameter("say what to draw from: --mosaic FILE, or --tiles PROVIDER")
    if tiles is not None and turn:
        raise typer.BadParameter("--turn: pictures of a tile server are not turned; draw from a --mosaic")
    writable_target(out, "--out", (".png",))
    center = _numbers(point, 2, "LON,LAT")
    meters = length_m(ground)
    if tiles is not None:
        _preview(tiles, center, meters, px, out, as_json=as_json)
        return
    assert mosaic is not None

    import numpy as np

    from ..encoders.location_files import write_atomically
    from ..encoders.maps import CLASSES, NODATA, Mosaic, entropy_bits, map_png
    from ..encoders.mosaics.styles import style_named
    from . import console

    style_named(style)
    opened = Mosaic.open(mosaic)
    view = opened.crops([center], ground_m=meters, angle_rad=np.deg2rad(turn), px=px)
    write_atomically(out, map_png(view[0], style))
    shares = np.bincount(view.ravel(), minlength=len(CLASSES)) / view.size
    classes = {CLASSES[one].name: round(float(shares[one]), 4) for one in np.argsort(-shares) if shares[one]}
    bits, credit = float(entropy_bits(view)[0]), "; ".join(opened.about.credit)
    if as_json:
        console.say(
            "map", file=str(out), lon=center[0], lat=center[1], ground_m=meters, px=px, bits=round(bits, 3),
            classes=classes, credit=credit,
        )  # fmt: skip
        return
    if shares[NODATA] == 1.0:
        console.warn(f"{mosaic} has no data there: the picture is empty", as_json=False)
    told = ", ".join(f"{name} {share:.0%}" for name, share in list(classes.items())[:6])
    console.out.print(f"{out}: {meters:,.0f} m across, {bits:.2f} bits: {told}", markup=False, soft_wrap=True)
    if credit:
        console.out.print(f"credit: {credit}", markup=False, soft_wrap=True)


def _preview(source: str, center: list[float], ground_m: float, px: int, out: Path, *, as_json: bool) -> None:
    """Write what a tile server shows around a place."""
    from PIL import Image

    from ..encoders.location_files import write_atomically
    from ..encoders.mosaics.styles import png_of
    from ..encoders.mosaics.tile_source import TileSource
    from . import console

    server = TileSource(source)
    picture = server.around(center[0], center[1], ground_m=ground_m, px=px)
    write_atomically(out, png_of(Image.fromarray(picture)))
    if as_json:
        console.say(
            "map", file=str(out), lon=center[0], lat=center[1], ground_m=ground_m, px=px,
            n_fetched=server.n_fetched, credit=server.credit,
        )  # fmt: skip
        return
    fetched = f"{server.n_fetched} tiles fetched into {server.folder}"
    console.out.print(f"{out}: {ground_m:,.0f} m across; {fetched}", markup=False, soft_wrap=True)
    if server.credit:
        console.out.print(f"credit: {server.credit}", markup=False, soft_wrap=True)


@mosaic_app.command()
def build(
    layers: Annotated[
        list[str],
        typer.Argument(metavar="FILE[:CLASS]…", help="Map files; a class where a file does not tell it."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Write this .tif.")],
    zoom: Annotated[list[int], typer.Option(help="Level to draw; may be repeated.")],
    bbox: Annotated[str | None, typer.Option("--bbox", metavar="W,S,E,N", help="Draw this box only.")] = None,
    within: Annotated[
        Path | None, typer.Option(help="Polygons the files are complete in; nothing is known outside.")
    ] = None,
    credit: Annotated[list[str] | None, typer.Option(help="Whom to name beside a picture.")] = None,
    date: Annotated[str | None, typer.Option(help="Of the data; by default today.")] = None,
    as_json: AsJson = False,
) -> None:
    """Draw map files as a mosaic of class ids, one level for each zoom.

    Files are GeoJSON, GeoParquet, GeoPackage, Shapefile, .osm.pbf, or .csv of places. Tags of
    OpenStreetMap and Natural Earth's classes are understood. Zoom 16 shows streets (2.4 m a pixel at
    the equator), zoom 9 regions (306 m).

    Examples:
      placeprint mosaic build liechtenstein.osm.pbf -o li.tif --zoom 14 --zoom 16
      placeprint mosaic build ne_10m_land.geojson N03.geojson:boundary cities.csv -o jp.tif
        --zoom 9 --bbox 122,24,149,46
    """
    writable_target(out, "--out", (".tif", ".tiff"))
    box = _box(bbox)
    from ..encoders.areas import load_area
    from ..encoders.maps import build_mosaic

    started = time.monotonic()
    area = None if within is None else load_area(within)
    with _progress(as_json=as_json) as progress:
        read: list[Layer] = []
        for number, words in enumerate(layers):
            progress("reading", number, len(layers))
            read.append(_layer(words, box))
        about = build_mosaic(
            read, out, zooms=zoom, box=box, within=area, credit=credit or (), date=date, progress=progress
        )
    seconds, n_parts = time.monotonic() - started, sum(len(layer) for layer in read)
    from . import console

    if as_json:
        console.say("mosaic", file=str(out), parts=n_parts, seconds=round(seconds, 2), **_told(about))
        return
    console.out.print(
        f"{out}: {n_parts:,} parts of {len(read)} {'file' if len(read) == 1 else 'files'}, "
        f"{out.stat().st_size / 1e6:.1f} MB, {seconds:.1f} s", markup=False, soft_wrap=True,
    )  # fmt: skip
    if about.credit:
        console.out.print(f"credit: {'; '.join(about.credit)}", markup=False, soft_wrap=True)


@mosaic_app.command()
def info(
    mosaic: Annotated[Path, typer.Argument(help="A mosaic from `placeprint mosaic build`.")],
    as_json: AsJson = False,
) -> None:
    """Show what a mosaic is made of: levels, box, sources, whom to credit.

    Example: placeprint mosaic info li.tif
    """
    from ..encoders.mosaics.mercator import ground_m_per_px
    from ..encoders.mosaics.storage import read_pages
    from . import console

    about, pages = read_pages(mosaic)
    middle = (about.box[1] + about.box[3]) / 2.0
    levels = [
        {
            "zoom": page.zoom, "width_px": page.window.width, "height_px": page.window.height,
            "m_per_px": round(float(ground_m_per_px(middle, page.zoom)), 3),
        }
        for page in pages
    ]  # fmt: skip
    if as_json:
        console.say("mosaic", file=str(mosaic), levels=levels, **_told(about))
        return
    west, south, east, north = about.box
    lines = [
        f"{mosaic}: {west:.4f},{south:.4f},{east:.4f},{north:.4f} (west, south, east, north)",
        *(
            f"  zoom {level['zoom']}: {level['width_px']:,} × {level['height_px']:,} px, "
            f"{level['m_per_px']:g} m a pixel"
            for level in levels
        ),
        f"  sources: {', '.join(about.sources)}",
        f"  credit: {'; '.join(about.credit) or 'nobody is known'}",
        f"  drawn {about.date} with version {about.legend} of the legend",
    ]
    for line in lines:
        console.out.print(line, markup=False, soft_wrap=True)


def length_m(words: str) -> float:
    """A length as people write it, in meters: 800m, 1.5km, 2 km.

    Raises:
        InvalidOption: no number, no unit, or not positive.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(m|km)\s*", words)
    meters = float(found[1]) * (1000.0 if found[2] == "km" else 1.0) if found else 0.0
    if not 0.0 < meters <= 40_000_000.0:
        raise InvalidOption(
            f"{words!r} is no length on Earth; write a number and m or km, such as 800m or 1.5km"
        )
    return meters


def _layer(words: str, box: "Box | None") -> "Layer":
    """A file, with the class behind its last colon if that is no part of its name."""
    from ..encoders.maps import read_layer

    path, colon, name = words.rpartition(":")
    if colon and path and not Path(words).exists() and re.fullmatch(r"[a-z]+", name):
        return read_layer(path, name, box=box)
    return read_layer(words, box=box)


def _box(bbox: str | None) -> "Box | None":
    from ..encoders.areas import Box

    return None if bbox is None else Box(*_numbers(bbox, 4, "--bbox W,S,E,N"))


def _numbers(words: str, n: int, form: str) -> list[float]:
    try:
        numbers = [float(part) for part in words.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != n:
        raise InvalidOption(f"{words!r}: write {form} as {n} numbers in degrees, with commas and no spaces")
    return numbers


def _told(about: Any) -> dict[str, Any]:
    return {
        "box": list(about.box), "sources": list(about.sources), "credit": list(about.credit),
        "date": about.date, "legend": about.legend,
    }  # fmt: skip
