"""Maps from tile servers, by contextily: for a preview, from a provider the user names, never in bulk.

contextily asks for one tile at a time, under our own name (its own is random in each process, and blocked
by OpenStreetMap since August 2026), with a time limit, and without its cache, which ends with the process.
Around it stand what it has not: a cache on disk that lasts and is a folder of pictures, a pause between
requests, and growing pauses before a request is repeated.

**OpenStreetMap's own tiles are no source of training data**: its tile policy forbids to fetch them in bulk
or to keep them for later use. Data for training are its extracts (`layers`), which cost its servers nothing.
"""

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import platformdirs
from numpy.typing import NDArray
from PIL import Image

from ... import __version__
from ..areas import Box
from ..errors import InvalidCoordinate, InvalidOption, NoMapTiles, UnwritableFile
from ..location_files import write_atomically
from ..sphere import as_lonlat
from .build import window_of
from .mercator import EQUATOR_M_PER_PX, MAX_LAT, ground_m_per_px, to_lonlat, to_world, world_px
from .scanlines import Window
from .styles import png_of

AGENT = f"placeprint/{__version__} (map previews, one tile at a time)"
TILE_PX = 256
OSM_HOSTS = ("tile.openstreetmap.org", "tile.osm.org")
OSM_TILES = 64
"""So many of OpenStreetMap's own tiles a source fetches in its life: a preview or two."""
ANY_TILES = 4096
"""So many tiles make a picture of a gigabyte; what needs more is no preview."""
NOT_REPEATED = re.compile(r"\b(401|403|404|410) error", re.IGNORECASE)
"""Answers that do not change by asking again, in contextily's words."""


@dataclass(frozen=True)
class TilePicture:
    """Tiles put together.

    Attributes:
        pixels: (H, W, 4) RGBA, north up.
        extent_m: left, right, bottom, top in meters of Web Mercator.
        credit: whom to name beside it.
    """

    pixels: NDArray[np.uint8]
    extent_m: tuple[float, float, float, float]
    credit: str


class TileSource:
    """A tile server and the tiles had from it.

    Args:
        source: a name of xyzservices (``CartoDB.Positron``), or a URL with {x}, {y} and {z}.
        cache: folder for tiles, kept for good; by default that of the user.
        agent: the name given to the server; it should say who asks.
        pause_s: between two requests, seconds.
        retries: how often a failed request is repeated, each time after twice the pause.
        retry_s: the first such pause, seconds.
        timeout_s: how long to wait for an answer, seconds.

    Raises:
        InvalidOption: no such provider, or one that needs a key.
    """

    def __init__(
        self,
        source: str,
        *,
        cache: Path | None = None,
        agent: str = AGENT,
        pause_s: float = 0.2,
        retries: int = 3,
        retry_s: float = 1.0,
        timeout_s: float = 20.0,
    ) -> None:
        self.provider = _provider(source)
        url = str(self.provider["url"])
        name = hashlib.sha256(self.provider.build_url(x="X", y="Y", z="Z").encode()).hexdigest()[:16]
        host = urlsplit(url.replace("{s}", "a")).hostname or ""
        self.is_osm = any(host == own or host.endswith(f".{own}") for own in OSM_HOSTS)
        self.folder = (cache or Path(platformdirs.user_cache_dir("placeprint")) / "tiles") / name
        self.n_fetched = 0
        self._agent, self._timeout_s = agent, timeout_s
        self._pause_s, self._retries, self._retry_s = pause_s, retries, retry_s
        self._last = -np.inf

    def picture(self, box: Box, zoom: int) -> TilePicture:
        """The tiles that a box touches, at a zoom.

        Raises:
            NoMapTiles: too many tiles for a preview, or the server does not give one.
            UnwritableFile: the cache folder is full or not ours to write to.
        """
        pixels, left, top = self._tiles_of(window_of(box, zoom), zoom)
        size_m = EQUATOR_M_PER_PX / 2.0**zoom
        half = world_px(zoom) / 2.0
        west, east = ((x - half) * size_m for x in (left, left + pixels.shape[1]))
        north, south = ((half - y) * size_m for y in (top, top + pixels.shape[0]))
        return TilePicture(pixels, (west, east, south, north), self.credit)

    def around(self, lon: float, lat: float, *, ground_m: float, px: int) -> NDArray[np.uint8]:
        """A square around a place, north up, at the first zoom that has a pixel for each of its own.

        Args:
            lon: of its center, degrees.
            lat: of its center, degrees.
            ground_m: width on the ground, meters.
            px: pixels along a side.

        Returns:
            RGB, (px, px, 3).

        Raises:
            NoMapTiles: too many tiles for a preview, or the server does not give one.
            InvalidCoordinate: a place that is not on Earth, or beyond the end of the projection.
            UnwritableFile: the cache folder is full or not ours to write to.
        """
        here = as_lonlat([lon, lat])
        if abs(lat) > MAX_LAT:
            raise InvalidCoordinate(f"lat {lat:g}: the projection of web maps ends at {MAX_LAT:.4f} degrees")
        zooms = np.arange(int(self.provider.get("min_zoom", 0)), int(self.provider.get("max_zoom", 19)) + 1)
        zoom = int(zooms[min(int((ground_m_per_px(lat, zooms) > ground_m / px).sum()), len(zooms) - 1)])
        side = ground_m / float(ground_m_per_px(lat, zoom))
        x, y = (to_world(here, zoom) - side / 2.0).tolist()
        window = Window(int(np.floor(x)), int(np.floor(y)), int(np.ceil(side)) + 1, int(np.ceil(side)) + 1)
        pixels, left, top = self._tiles_of(window, zoom)
        box = (x - left, y - top, x - left + side, y - top + side)
        shown = Image.fromarray(pixels).convert("RGB").resize((px, px), Image.Resampling.BICUBIC, box=box)
        return np.asarray(shown)

    @property
    def credit(self) -> str:
        """Whom to name beside a picture; empty where only a URL is known."""
        return str(self.provider.get("attribution", ""))

    def _tiles_of(self, window: Window, zoom: int) -> tuple[NDArray[np.uint8], int, int]:
        """The tiles that a window touches, (H, W, 4), and the world pixel of their first: x, y."""
        left, top = window.x // TILE_PX, window.y // TILE_PX
        right, bottom = (window.x + window.width - 1) // TILE_PX, (window.y + window.height - 1) // TILE_PX
        is_there = range(1 << zoom)  # beyond the end of the projection there are none
        tiles = [(x, y) for y in range(top, bottom + 1) if y in is_there for x in range(left, right + 1)]
        self._require_few(tiles, zoom)
        shape = ((bottom - top + 1) * TILE_PX, (right - left + 1) * TILE_PX, 4)
        pixels = np.zeros(shape, np.uint8)
        for x, y in tiles:
            at = (y - top) * TILE_PX, (x - left) * TILE_PX
            pixels[at[0] : at[0] + TILE_PX, at[1] : at[1] + TILE_PX] = self._tile(x % (1 << zoom), y, zoom)
        return pixels, left * TILE_PX, top * TILE_PX

    def _require_few(self, tiles: list[tuple[int, int]], zoom: int) -> None:
        if len(tiles) > ANY_TILES:
            raise NoMapTiles(
                f"{len(tiles):,} tiles in one picture; take a smaller box or a zoom below {zoom}"
            )
        if not self.is_osm:
            return
        new = sum(not self._path(x % (1 << zoom), y, zoom).exists() for x, y in tiles)
        if self.n_fetched + new > OSM_TILES:
            raise NoMapTiles(
                f"{self.n_fetched + new} of OpenStreetMap's own tiles: its tile policy forbids bulk download "
                "(https://operations.osmfoundation.org/policies/tiles/). Draw the map from an extract "
                "(`placeprint mosaic build region.osm.pbf`), or name a provider whose terms allow it"
            )

    def _path(self, x: int, y: int, zoom: int) -> Path:
        return self.folder / str(zoom) / str(x) / f"{y}.png"

    def _tile(self, x: int, y: int, zoom: int) -> NDArray[np.uint8]:
        """One tile, (256, 256, 4), from the cache or the server."""
        path = self._path(x, y, zoom)
        with suppress(OSError):  # none, or damaged, which is fetched again
            with Image.open(path) as kept:
                return _sized(np.asarray(kept.convert("RGBA")))
        pixels = self._fetched(x, y, zoom)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnwritableFile(
                f"{path.parent}: cannot be a folder for tiles ({error.strerror}); name another cache"
            ) from None
        write_atomically(path, png_of(Image.fromarray(pixels)))
        return pixels

    def _fetched(self, x: int, y: int, zoom: int) -> NDArray[np.uint8]:
        import contextily  # it makes a folder when it is imported, for those alone who want tiles
        import requests

        lon, lat = to_lonlat(np.array([x + 0.5, y + 0.5]) * TILE_PX, zoom).tolist()
        said = ""
        for wait_s in self._waits():
            time.sleep(wait_s)
            self._last = time.monotonic()
            self.n_fetched += 1
            try:
                found, _ = contextily.bounds2img(
                    lon, lat, lon, lat, zoom=zoom, source=self.provider, ll=True, use_cache=False,
                    max_retries=0, timeout=self._timeout_s, headers={"user-agent": self._agent},
                )  # fmt: skip
                return _sized(np.asarray(found))
            except (requests.RequestException, OSError, ValueError) as error:
                said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                if NOT_REPEATED.search(said):
                    break
        raise NoMapTiles(
            f"no tile {zoom}/{x}/{y} from {self.provider.get('name', 'the server')} ({said}). See whether "
            "the server is up and lets you in, or draw the map offline with `placeprint mosaic build`"
        )

    def _waits(self) -> Iterator[float]:
        """Seconds to wait before each attempt: the pause that is left, then growing ones."""
        yield max(0.0, self._last + self._pause_s - time.monotonic())
        for attempt in range(self._retries):
            yield max(self._pause_s, self._retry_s * 2.0**attempt)


def _provider(source: str) -> Any:
    import xyzservices

    if "{" in source:
        missing = [part for part in ("{x}", "{y}", "{z}") if part not in source]
        if missing:
            raise InvalidOption(f"the tile URL {source} has no {' and '.join(missing)}")
        return xyzservices.TileProvider(name=urlsplit(source).hostname, url=source, attribution="")
    try:
        provider = xyzservices.providers.query_name(source)
    except ValueError:
        raise InvalidOption(
            f"no tile provider {source!r}; name one of xyzservices (CartoDB.Positron), or give a URL with "
            "{x}, {y} and {z}"
        ) from None
    if provider.requires_token():
        raise InvalidOption(f"{source} needs a key; give its URL with the key in it")
    return provider


def _sized(found: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A tile as 256 px: some servers send 512 for the same ground."""
    image = Image.fromarray(found).convert("RGBA")
    return np.asarray(image if image.size == (TILE_PX, TILE_PX) else image.resize((TILE_PX, TILE_PX)))
