"""The file of a mosaic: a tiled GeoTIFF of class ids, one page for each zoom.

Each page is a level of its own, drawn for its zoom and not shrunk from another: a street keeps its width
in pixels. GIS programs open the file as it is, with the colors of the first style. What a mosaic needs to
be read rightly stands in the tags of each page: legend version, zoom, first world pixel, sources, whom to
credit, date.
"""

import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from ..areas import Box
from ..errors import UnreadableSource, UnwritableFile
from .legend import LEGEND_VERSION, NODATA
from .mercator import EQUATOR_M_PER_PX, world_px
from .scanlines import Window
from .styles import STYLES

TAG = "PLACEPRINT_MOSAIC"
TILE = 256
_REMEDY = "Build it again with `placeprint mosaic build`"


@dataclass(frozen=True)
class About:
    """What a mosaic is made of.

    Attributes:
        sources: names of the files.
        credit: whom to name wherever a picture of it is shown.
        date: of the build or of the data, ISO 8601.
        box: west, south, east, north degrees; west > east when it crosses the antimeridian.
        legend: version of the legend its bytes are to be read with.
    """

    sources: tuple[str, ...]
    credit: tuple[str, ...]
    date: str
    box: tuple[float, float, float, float]
    legend: int = LEGEND_VERSION

    @property
    def area(self) -> Box:
        """The box as an area."""
        return Box(*self.box)


@dataclass(frozen=True)
class Page:
    """One level of a mosaic file: its zoom, its rectangle of world pixels, where GDAL finds it."""

    zoom: int
    window: Window
    name: str


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file to write that takes its place when all went well; otherwise nothing has changed.

    Raises:
        UnwritableFile: the folder is missing, full or not ours to write to.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tif")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # temporary files are private, results are not
        temporary.replace(path)
    except (OSError, RasterioError) as error:  # rasterio's own are no OSErrors when the disk is full
        reason = getattr(error, "strerror", None) or error
        raise UnwritableFile(f"{path}: cannot be written ({reason})") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def page_writer(path: Path, zoom: int, window: Window, about: About, *, is_first: bool) -> Iterator[Any]:
    """A page to be filled window by window: a rasterio dataset."""
    size_m = EQUATOR_M_PER_PX / 2.0**zoom
    half_m = size_m * world_px(zoom) / 2.0
    transform = Affine(size_m, 0.0, window.x * size_m - half_m, 0.0, -size_m, half_m - window.y * size_m)
    told = {**asdict(about), "zoom": zoom, "window": list(window)}
    with rasterio.open(
        path, "w", driver="GTiff", width=window.width, height=window.height, count=1, dtype="uint8",
        nodata=NODATA, crs="EPSG:3857", transform=transform, tiled=True, blockxsize=TILE, blockysize=TILE,
        compress="deflate", bigtiff="if_safer", append_subdataset=not is_first,
    ) as page:  # fmt: skip
        colors = {row: tuple(color) for row, color in enumerate(STYLES["plain"].tolist())}
        page.write_colormap(1, {row: (*color, 0 if row == NODATA else 255) for row, color in colors.items()})
        page.update_tags(**{TAG: json.dumps(told, ensure_ascii=False)})
        yield page


def read_pages(path: Path) -> tuple[About, list[Page]]:
    """What a mosaic file holds, without its pixels.

    Raises:
        UnreadableSource: no such file, no mosaic, a damaged one, or one of another legend.
    """
    if not path.is_file():
        raise UnreadableSource(f"{path}: no such file")
    pages: list[Page] = []
    about: About | None = None
    try:
        with _quiet(), rasterio.open(path) as first:
            names = first.subdatasets or [f"GTIFF_DIR:1:{path}"]
        for name in names:
            with _quiet(), rasterio.open(name) as page:
                tag, shape = page.tags().get(TAG), page.shape
                is_bytes = page.count == 1 and page.dtypes[0] == "uint8"
            if tag is None or not is_bytes:
                raise UnreadableSource(f"{path}: a raster, but no map mosaic of ours. {_REMEDY}")
            told = json.loads(tag)
            if told["legend"] != LEGEND_VERSION:
                raise UnreadableSource(
                    f"{path}: drawn with version {told['legend']} of the legend; this program reads version "
                    f"{LEGEND_VERSION}. {_REMEDY}"
                )
            window = Window(*told.pop("window"))
            if shape != (window.height, window.width):
                raise UnreadableSource(f"{path}: a page of {shape} says it is {window}. {_REMEDY}")
            pages.append(Page(int(told.pop("zoom")), window, name))
            about = About(
                tuple(told["sources"]),
                tuple(told["credit"]),
                told["date"],
                tuple(told["box"]),
                told["legend"],
            )
    except (RasterioError, KeyError, TypeError, ValueError) as error:
        raise UnreadableSource(f"{path}: cannot be read as a map mosaic ({error}). {_REMEDY}") from None
    if about is None:
        raise UnreadableSource(f"{path}: no page in it. {_REMEDY}")
    return about, sorted(pages, key=lambda page: page.zoom)


def read_pixels(page: Page, out: NDArray[np.uint8]) -> None:
    """Read a page into an array of its shape, some rows at a time.

    Raises:
        UnreadableSource: the file is damaged.
    """
    try:
        with _quiet(), rasterio.open(page.name) as source:
            for top in range(0, page.window.height, 16 * TILE):
                rows = min(16 * TILE, page.window.height - top)
                part = ((top, top + rows), (0, page.window.width))
                source.read(1, window=part, out=out[top : top + rows])
    except RasterioError as error:
        raise UnreadableSource(f"{page.name}: cannot be read ({error}). {_REMEDY}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warning that a raster has no place on Earth: that is said by our own error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield
