"""Cross-validation that leaves out whole blocks of the map.

Random folds ask whether a model can fill gaps between its rows, which a plain mean of neighbors does
well. Whoever asks about places without rows around must hold out such places: scores fall, and are
honest.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from .coordinate_columns import coordinates_of
from .errors import InvalidOption


class BlockKFold:
    """A splitter of scikit-learn: folds of whole blocks, equal in longitude and latitude.

    The blocks of a fold are drawn at random, so that folds hold about as many rows.

        cross_val_score(model, table, price, cv=BlockKFold(1.0))

    Args:
        degrees: length of a block's sides; 1° are 111 km from south to north.
        n_splits: number of folds.
        seed: of the draw.
        lon: column of a data frame that holds longitudes, see `LocationFeatures`.
        lat: column that holds latitudes.
    """

    def __init__(
        self, degrees: float = 1.0, *, n_splits: int = 5, seed: int = 0, lon: Any = "lon", lat: Any = "lat"
    ) -> None:
        if not 0.0 < degrees <= 180.0:
            raise InvalidOption(f"degrees={degrees}: the sides of a block, above 0, at most 180")
        self.degrees = degrees
        self.n_splits = n_splits
        self.seed = seed
        self.lon = lon
        self.lat = lat

    def blocks(self, X: Any) -> NDArray[np.intp]:
        """The number of each row's block, (n,), for all that takes groups.

        Raises:
            UnknownColumns, InvalidCoordinate: as `LocationFeatures.fit`.
        """
        lonlat = coordinates_of(X, self.lon, self.lat).require_all()
        cells = np.floor(lonlat / self.degrees).astype(np.int64)
        return np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Numbers of the training rows and of the test rows of each fold.

        Args:
            X: a table with coordinates, in which every row has a place.
            y: not used.
            groups: not used; the blocks are the groups.

        Raises:
            InvalidOption: there are fewer blocks than folds.
            UnknownColumns, InvalidCoordinate: as `LocationFeatures.fit`.
        """
        blocks = self.blocks(X)
        if (n_blocks := int(blocks.max(initial=-1)) + 1) < self.n_splits:
            raise InvalidOption(
                f"{n_blocks} blocks of {self.degrees:g}° for {self.n_splits} folds: choose smaller blocks"
            )
        folds = GroupKFold(self.n_splits, shuffle=True, random_state=self.seed)
        yield from folds.split(np.zeros((len(blocks), 1)), groups=blocks)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """The number of folds."""
        return self.n_splits
