"""Sets of photos without files, for tests of what is made of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from placeprint.indexer.listing import Item
from placeprint.indexer.place_sets import PlaceSet


def place_set(
    lonlat: ArrayLike | None = None,
    *,
    frames: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    parts: dict[str, Sequence[str]] | None = None,
    source: str = "made up",
) -> PlaceSet:
    """A set of as many photos as are told of."""
    n = len(next(told for told in (lonlat, frames, names) if told is not None))  # type: ignore[arg-type]
    return PlaceSet(
        source=source,
        names=list(names or (f"{row}.jpg" for row in range(n))),
        items=[
            Item(key=f"{row}.jpg", source=source, path=None, size_bytes=0, mtime_ns=0)  # type: ignore[arg-type]
            for row in range(n)
        ],
        lonlat=np.full((n, 2), np.nan) if lonlat is None else np.array(lonlat, float),
        frame=np.array(frames if frames is not None else [-1] * n, np.int64),
        group=np.array(groups if groups is not None else [f"\0{row}" for row in range(n)]),
        parts={name: np.array(values) for name, values in (parts or {}).items()},
    )
