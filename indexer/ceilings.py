"""The best that an answer of a kind could do: what no method that answers so can exceed.

The `gallery oracle` answers with the place of that photo of the gallery, among those not hidden from the
query, that was taken nearest to it: what remains of its error no retrieval can mend, only more
photos. The `geocell oracle` answers with the center of the cell that holds the truth, in the
partition that ships: what a classifier of cells could do. An answer between photos or within a cell
can be better than either.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..encoders.geocells import default_geocells
from ..encoders.sphere import great_circle_km, unit_vectors
from .rows import Row, row_of
from .surface import Floats
from .trial import Trial

GALLERY = "gallery oracle"
CELL = "geocell oracle"


def ceilings(trial: Trial, otherwise: Floats) -> list[Row]:
    """Both rows; they state no density.

    Args:
        trial: the photos and the gallery.
        otherwise: what is answered where the whole gallery is hidden, (Q, 2).
    """
    truth = trial.queries.lonlat
    unknown = np.full(len(truth), np.nan)
    cells = default_geocells()
    return [
        row_of(GALLERY, truth, nearest_allowed(trial, otherwise), unknown),
        row_of(CELL, truth, cells.center_lonlat[cells.assign(truth)], unknown),
    ]


def nearest_allowed(trial: Trial, otherwise: Floats) -> Floats:
    """Place of the gallery's photo nearest to each query that may answer it, (Q, 2).

    Hidden are the query's group, its site, and what lies within `exclude_km`, as they are from its
    neighbors.
    """
    vectors, truth = unit_vectors(trial.lonlat), trial.queries.lonlat
    pairs = [(trial.queries.group, trial.group), *([trial.sites] if trial.sites is not None else [])]
    numbered = [_numbered(*pair) for pair in pairs]
    points = otherwise.copy()
    for row, place in enumerate(truth):
        is_hidden = np.zeros(len(vectors), bool)
        for own, others in numbered:
            is_hidden |= others == own[row]
        if trial.exclude_km > 0.0:
            is_hidden |= great_circle_km(trial.lonlat, place) <= trial.exclude_km
        # Squares of chords: cosines cannot tell places apart that lie within 100 m.
        apart = ((vectors - unit_vectors(place)) ** 2).sum(axis=1)
        apart[is_hidden] = np.inf
        nearest = int(np.argmin(apart))
        if not is_hidden[nearest]:
            points[row] = trial.lonlat[nearest]
    return points


def _numbered(
    queries: NDArray[np.str_], gallery: NDArray[np.str_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Labels as numbers, which are compared a hundred times faster: (Q,), (N,) -> (Q,), (N,)."""
    _, number = np.unique(np.concatenate([queries, gallery]), return_inverse=True)
    return number[: len(queries)], number[len(queries) :]
