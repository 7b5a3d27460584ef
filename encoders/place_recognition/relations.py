"""Which photos may show one place, and which surely do not: geography's weak labels.

Coordinates hold no viewing direction, so that two photos a few meters apart may look opposite ways:
they are *potential* positives. Photos further than the negative distance are *definite* negatives, and
those between the two are neither (Arandjelović et al. 2016). The very same spot counts as no positive:
it is often the same photo again; where several visits are registered to one spot, let it count with
`positive_from_m` = 0, and ask for another time. N photos, row numbers throughout.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..sphere import chord_of_km, great_circle_km, unit_vectors
from .photos import PlacePhotos
from .settings import Nearness

_Rows = NDArray[np.intp]


class Relations:
    """The potential positives of each photo, and what is too near to be a negative.

    Args:
        photos: N of them.
        nearness: distances and conditions.

    Attributes:
        positives: rows of the potential positives of each photo, ascending, N arrays.
        near: rows of photos at the negative distance or nearer, the photo itself among them, N arrays.
    """

    def __init__(self, photos: PlacePhotos, nearness: Nearness) -> None:
        self.n_photos = len(photos)
        self.positives: list[_Rows] = []
        self.near: list[_Rows] = []
        for row, (rows, distance_m) in enumerate(_neighbors(photos.lonlat, nearness.negative_from_m)):
            self.near.append(rows)
            is_positive = (distance_m <= nearness.positive_to_m) & (rows != row)
            if nearness.positive_from_m > 0.0:
                is_positive &= distance_m > nearness.positive_from_m
            self.positives.append(rows[is_positive & _may_show_the_same(photos, row, rows, nearness)])

    @property
    def queries(self) -> _Rows:
        """Photos that have a potential positive: the ones that something can be learned from."""
        return np.flatnonzero([len(rows) > 0 for rows in self.positives])

    def masks(self, rows: _Rows) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Potential positives and definite negatives within a batch: (B,) rows -> two (B, B).

        A photo that is twice in a batch is neither to itself.
        """
        is_positive = np.stack([np.isin(rows, self.positives[row]) for row in rows])
        is_negative = np.stack([~np.isin(rows, self.near[row]) for row in rows])
        return is_positive, is_negative


def _neighbors(lonlat: NDArray[np.float64], radius_m: float) -> Iterator[tuple[_Rows, NDArray[np.float64]]]:
    """For each place the rows within a distance, ascending, and how far they are, meters."""
    vectors = unit_vectors(lonlat)
    # A little more than asked for, as chords round; the exact distance decides.
    reach = float(chord_of_km(radius_m / 1000.0)) * (1.0 + 1e-9) + 1e-12
    for row, found in enumerate(cKDTree(vectors).query_ball_point(vectors, reach)):
        rows = np.sort(np.asarray(found, dtype=np.intp))
        distance_m = 1000.0 * great_circle_km(lonlat[row], lonlat[rows])
        is_near = distance_m <= radius_m
        yield rows[is_near], distance_m[is_near]


def _may_show_the_same(photos: PlacePhotos, row: int, rows: _Rows, nearness: Nearness) -> NDArray[np.bool_]:
    """Which rows fulfill the conditions besides distance; what is not known fulfills none but headings."""
    may = np.ones(len(rows), np.bool_)
    for is_asked, column in (
        (nearness.other_sequence, photos.sequences),
        (nearness.other_time, photos.captured_at),
    ):
        if is_asked:
            may &= (column[rows] != column[row]) & (column[rows] != "") & (column[row] != "")
    if nearness.heading_to_deg is not None:
        turn = np.abs((photos.heading_deg[rows] - photos.heading_deg[row] + 180.0) % 360.0 - 180.0)
        may &= ~(turn > nearness.heading_to_deg)  # an unknown heading is NaN, and refuses nothing
    return may
