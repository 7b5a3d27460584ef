"""What is wrong with a set of photos before anything is learned or measured on it, said in words.

Errors in the data look like a brilliant model: where every photo of the gallery is near every query,
recall is 1 whatever is done.
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sphere import great_circle_km, lonlat_of, unit_vectors
from .photos import PlacePhotos
from .relations import Relations
from .settings import Nearness

FAR_KM = 500.0
"""A photo further from the middle of all may have its coordinates exchanged."""

_Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: a word for programs.
        count: how many photos it concerns.
        message: what it is and what to do, a sentence.
        is_fatal: nothing can be learned or measured from this.
    """

    kind: str
    count: int
    message: str
    is_fatal: bool = False


def lint(
    photos: PlacePhotos,
    nearness: Nearness,
    *,
    is_query: NDArray[np.bool_] | None = None,
    reads_files: bool = True,
) -> list[Finding]:
    """Look at photos before they are used.

    Args:
        photos: N of them.
        nearness: what is a positive and what a negative.
        is_query: which photos are queries, the others being the gallery, (N,); None where every photo
            is both, as in training.
        reads_files: compare the bytes of files that are of equal size.

    Returns:
        What was found; nothing is good.
    """
    found = [*_missing(photos), *_twice(photos, is_query)]
    if reads_files:
        found += _copies(photos, is_query)
    found += _exchanged(photos)
    found += _answers(photos, nearness, is_query)
    return found


def _missing(photos: PlacePhotos) -> list[Finding]:
    missing = [file for file in photos.files if not file.is_file()]
    if not missing:
        return []
    return [
        Finding(
            "missing files",
            len(missing),
            f"{len(missing)} of {len(photos)} files are not there, first {missing[0]}; are the paths "
            "relative to the table's folder?",
            is_fatal=True,
        )
    ]


def _twice(photos: PlacePhotos, is_query: NDArray[np.bool_] | None) -> list[Finding]:
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, file in enumerate(photos.files):
        rows_of[str(file)].append(row)
    return _same(list(rows_of.values()), photos, is_query, "paths", "stand more than once in the table")


def _copies(photos: PlacePhotos, is_query: NDArray[np.bool_] | None) -> list[Finding]:
    """Files of equal bytes under several paths; only files that are of equal size are read."""
    by_size: dict[int, list[int]] = defaultdict(list)
    first_row = {str(file): row for row, file in reversed(list(enumerate(photos.files)))}
    for row in sorted(first_row.values()):
        if photos.files[row].is_file():
            by_size[photos.files[row].stat().st_size].append(row)
    by_bytes: dict[str, list[int]] = defaultdict(list)
    for rows in by_size.values():
        for row in rows if len(rows) > 1 else ():
            by_bytes[hashlib.sha256(photos.files[row].read_bytes()).hexdigest()].append(row)
    return _same(list(by_bytes.values()), photos, is_query, "files", "are the same bytes as another")


def _same(
    groups: list[list[int]], photos: PlacePhotos, is_query: NDArray[np.bool_] | None, what: str, words: str
) -> list[Finding]:
    """Photos that are one and the same: a nuisance, and a leak where one is a query of the other."""
    groups = [rows for rows in groups if len(rows) > 1]
    found = []
    if is_query is not None:
        leaks = [row for rows in groups for row in rows if is_query[row] and not is_query[rows].all()]
        if leaks:
            found.append(
                Finding(
                    "query in gallery",
                    len(leaks),
                    f"{len(leaks)} queries are in the gallery, too (the same {what}), first "
                    f"{photos.files[leaks[0]]}: they find themselves; take them out of one of the two",
                    is_fatal=True,
                )
            )
    n_more = sum(len(rows) - 1 for rows in groups)
    if n_more:
        first = photos.files[groups[0][1]]
        found.append(Finding(f"duplicate {what}", n_more, f"{n_more} {what} {words}, first {first}"))
    return found


def _exchanged(photos: PlacePhotos) -> list[Finding]:
    """Photos far from all others that would be among them with longitude and latitude exchanged."""
    if len(photos) < 3:
        return []
    middle = lonlat_of(np.median(unit_vectors(photos.lonlat), axis=0) + 1e-12)
    swapped = photos.lonlat[:, ::-1]
    can_be = np.abs(swapped[:, 1]) <= 90.0
    km, km_swapped = great_circle_km(photos.lonlat, middle), great_circle_km(swapped, middle)
    rows = np.flatnonzero(can_be & (km > FAR_KM) & (km_swapped < 0.1 * km))
    if not len(rows):
        return []
    lon, lat = photos.lonlat[rows[0]]
    return [
        Finding(
            "exchanged coordinates",
            len(rows),
            f"{len(rows)} photos lie over {FAR_KM:g} km from the others, and would be among them with lon "
            f"and lat exchanged, first {photos.files[rows[0]]} at lon {lon:g}, lat {lat:g}",
        )
    ]


def _answers(photos: PlacePhotos, nearness: Nearness, is_query: NDArray[np.bool_] | None) -> list[Finding]:
    relations = Relations(photos, nearness)
    gallery = np.ones(len(photos), np.bool_) if is_query is None else ~is_query
    queries = np.arange(len(photos)) if is_query is None else np.flatnonzero(is_query)
    n_lonely = sum(not gallery[relations.positives[row]].any() for row in queries)
    found = []
    if n_lonely:
        found.append(
            Finding(
                "queries without positives",
                n_lonely,
                f"{n_lonely} of {len(queries)} queries have no potential positive between "
                f"{nearness.positive_from_m:g} and {nearness.positive_to_m:g} m{nearness.conditions}"
                + (", from them nothing is learned" if is_query is None else ", nothing can answer them"),
                is_fatal=n_lonely == len(queries),
            )
        )
    n_gallery = int(gallery.sum())
    all_near = len(queries) > 0 and all(gallery[relations.near[row]].sum() == n_gallery for row in queries)
    if all_near:
        found.append(
            Finding(
                "everything is near",
                len(queries),
                f"all {n_gallery} photos of the gallery lie within {nearness.negative_from_m:g} m of every "
                "query: there are no negatives, and recall would be 1 whatever is done; are all coordinates "
                "one default?",
                is_fatal=True,
            )
        )
    return found
