"""Photos to be captioned: their pixels, where, when and which way they were taken.

Every photo is read once before training begins: that fills the memory that training reads from, finds
what its EXIF says, and sorts out files that cannot be read. What a table says counts more than EXIF.
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import PlaceprintError, TooFewPairs, UnreadableImage
from ..photo import PhotoFacts
from ..preprocessing import Preprocessing
from ..sphere import as_lonlat

HEADINGS = ("heading_deg", "heading", "compass_angle", "bearing")
"""Columns that may say where the camera looked, degrees clockwise from north."""

CACHE_BYTES = 1 << 31
"""Pixels kept in memory; photos beyond that are decoded again each time."""


class PhotoSource(Protocol):
    """A photo as a folder or a table lists it."""

    @property
    def key(self) -> str:
        """What it is known by: its path."""

    @property
    def lon(self) -> float | None:
        """Degrees, if the source says so; so are `lat`, `captured_at`, `group` and `payload`."""

    @property
    def lat(self) -> float | None: ...  # noqa: D102

    @property
    def captured_at(self) -> datetime | None: ...  # noqa: D102

    @property
    def group(self) -> str | None: ...  # noqa: D102

    @property
    def payload(self) -> Mapping[str, Any]: ...  # noqa: D102

    @property
    def problem(self) -> str | None: ...  # noqa: D102

    def read(self) -> bytes:
        """The bytes of its file."""


class PixelRows(Protocol):
    """Preprocessed photos by row: an array (N, H, W, 3) of bytes, or what acts like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class CaptionPhotos:
    """N photos of known place.

    Attributes:
        ids: what they are known by, all different.
        pixels: `pixels[rows]` is (len(rows), H, W, 3) of bytes, as the model's preprocessing makes them.
        lonlat: degrees, (N, 2).
        taken_at: UTC moments; None if unknown.
        heading_deg: where the cameras looked, clockwise from north; None if unknown.
        groups: what belongs together and must not be torn apart by a split.
        checksums: of each photo's pixels, (N,).
        left_out: photos that were listed and cannot be used, with the reason.
    """

    ids: Sequence[str]
    pixels: PixelRows
    lonlat: NDArray[np.float64]
    taken_at: Sequence[datetime | None]
    heading_deg: Sequence[float | None]
    groups: NDArray[np.str_]
    checksums: Sequence[int]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the columns against each other.

        Raises:
            PlaceprintError: lengths differ, or an id comes twice.
            InvalidCoordinate: a place that is not on Earth.
        """
        columns = (
            self.pixels, self.lonlat, self.taken_at, self.heading_deg, self.groups, self.checksums
        )  # fmt: skip
        lengths = [len(self.ids), *map(len, columns)]
        if len(set(lengths)) > 1 or len(set(self.ids)) < len(self.ids):
            raise PlaceprintError(f"photos need one id each, all different, and equal columns; got {lengths}")
        object.__setattr__(self, "lonlat", as_lonlat(self.lonlat).reshape(-1, 2))

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        pixels: NDArray[np.uint8],
        lonlat: NDArray[np.float64],
        *,
        taken_at: Sequence[datetime | None] | None = None,
        heading_deg: Sequence[float | None] | None = None,
        groups: Sequence[str] | None = None,
    ) -> "CaptionPhotos":
        """Photos whose pixels are all in memory, (N, H, W, 3); each is its own group unless told."""
        return cls(
            ids=ids,
            pixels=pixels,
            lonlat=lonlat,
            taken_at=[None] * len(ids) if taken_at is None else taken_at,
            heading_deg=[None] * len(ids) if heading_deg is None else heading_deg,
            groups=np.array(ids if groups is None else groups, dtype=str),
            checksums=[zlib.crc32(one.tobytes()) for one in pixels],
        )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def digest(self) -> str:
        """Hash of all that training sees of them, in order."""
        digest = hashlib.sha256(np.ascontiguousarray(self.lonlat).tobytes())
        rows = zip(self.ids, self.taken_at, self.heading_deg, self.groups, self.checksums, strict=True)
        for row in rows:
            digest.update(f"{row}\0".encode("utf-8", "backslashreplace"))
        return digest.hexdigest()


class PhotoReader:
    """Photos decoded when they are asked for, the first of them kept in memory.

    Args:
        sources: what to read.
        preprocessing: of the model.
        cache_bytes: how much to keep.
    """

    def __init__(
        self, sources: Sequence[PhotoSource], preprocessing: Preprocessing, *, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self._sources = sources
        self._preprocessing = preprocessing
        self._room = cache_bytes // (3 * preprocessing.size**2)
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._threads = ThreadPoolExecutor(thread_name_prefix="captions")

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Pixels of some photos: (B,) rows -> (B, H, W, 3).

        Raises:
            UnreadableImage: a file that could be read before cannot be read now.
        """
        return np.stack(list(self._threads.map(lambda row: self.read(row)[0], np.asarray(rows).tolist())))

    def read(self, row: int) -> tuple[NDArray[np.uint8], PhotoFacts | None]:
        """Pixels of one photo, and its EXIF where it is decoded anew.

        Raises:
            UnreadableImage: the file is gone or damaged.
        """
        if row in self._kept:
            return self._kept[row], None
        source = self._sources[row]
        try:
            pixels, facts = self._preprocessing.read(source.read())
        except OSError as error:
            raise UnreadableImage(f"{source.key}: cannot be read ({error.strerror or error})") from None
        except UnreadableImage as error:
            raise UnreadableImage(f"{source.key}: {error}") from None
        if len(self._kept) < self._room:
            self._kept[row] = pixels
        return pixels, facts

    def only(self, rows: Sequence[int]) -> "PhotoReader":
        """The same photos without some, numbered anew; what is kept stays kept."""
        chosen = PhotoReader([self._sources[row] for row in rows], self._preprocessing)
        chosen._room = self._room
        chosen._kept = {new: self._kept[old] for new, old in enumerate(rows) if old in self._kept}
        self._threads.shutdown(wait=False)
        return chosen


def read_photos(
    sources: Sequence[PhotoSource],
    preprocessing: Preprocessing,
    *,
    cache_bytes: int = CACHE_BYTES,
    show: Callable[[int, int], None] = lambda done, total: None,
) -> CaptionPhotos:
    """Read photos once and keep those of known place.

    Args:
        sources: as listed, keys all different.
        preprocessing: of the model.
        cache_bytes: of pixels to keep in memory.
        show: called with the number of photos read and of all.

    Raises:
        TooFewPairs: none of them can be used; the message says why.
    """
    reader = PhotoReader(sources, preprocessing, cache_bytes=cache_bytes)
    facts: list[_Facts] = []
    rows: list[int] = []
    left_out: dict[str, str] = {}
    outcomes = reader._threads.map(lambda row: _facts_of(reader, row, sources[row]), range(len(sources)))
    for row, outcome in enumerate(outcomes):
        if isinstance(outcome, str):
            left_out[sources[row].key] = outcome
        else:
            rows.append(row)
            facts.append(outcome)
        show(row + 1, len(sources))
    if not rows:
        first = f"; the first: {next(iter(left_out.items()))[1]}" if left_out else ""
        raise TooFewPairs(
            f"none of {len(sources)} photos can be read and has a place{first}. Captions are made of places: "
            "use photos with coordinates in their EXIF, or a table with lon and lat columns"
        )
    return CaptionPhotos(
        ids=[sources[row].key for row in rows],
        pixels=reader.only(rows),
        lonlat=np.array([one.lonlat for one in facts]),
        taken_at=[one.taken_at for one in facts],
        heading_deg=[one.heading_deg for one in facts],
        groups=np.array([sources[row].group or sources[row].key for row in rows], dtype=str),
        checksums=[one.checksum for one in facts],
        left_out=left_out,
    )


@dataclass(frozen=True)
class _Facts:
    lonlat: tuple[float, float]
    taken_at: datetime | None
    heading_deg: float | None
    checksum: int


def _facts_of(reader: PhotoReader, row: int, source: PhotoSource) -> _Facts | str:
    """What is known of a photo, or why it cannot be used."""
    if source.problem is not None:
        return source.problem
    try:
        pixels, exif = reader.read(row)
    except UnreadableImage as error:
        return str(error)
    assert exif is not None  # nothing is read twice here
    lon, lat = source.lon, source.lat
    if lon is None or lat is None:
        lon, lat = exif.lon, exif.lat
    if lon is None or lat is None:
        return "no place, neither told nor in its EXIF"
    heading = next((source.payload[name] for name in HEADINGS if name in source.payload), exif.heading_deg)
    return _Facts(
        (lon, lat), source.captured_at or exif.captured_at, _finite(heading), zlib.crc32(pixels.tobytes())
    )


def _finite(heading: Any) -> float | None:
    """A heading as a number; None for anything else, as tables hold all sorts."""
    try:
        number = float(heading)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
