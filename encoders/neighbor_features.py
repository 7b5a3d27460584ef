"""Labels of the nearest training rows as features of a scikit-learn model.

What a place is worth is told best by its neighbors, as long as there are any: on random splits the
plain mean of near labels beats most embeddings of coordinates. `NeighborFeatures` gives a model
those means together with the distances that say how far to trust them; joined with
`LocationFeatures` the model may lean on either.

The trap is the training rows. A row must not see its own label, nor that of a row at the same
place (another flat in the same house): `fit_transform`, which a pipeline calls for training rows,
hides both, while `transform` shows new rows everything. `exclude_km` and `cv` hide more, for models
that will be asked about regions without labels: neighbors should be as far away in training as
they will be in use.
"""

from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any, Self, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import check_cv
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from .errors import InvalidOption
from .estimator_input import check_choice, output_names, read_places
from .place_tree import PlaceTree
from .sphere import EARTH_RADIUS_KM

TASKS = ("regression", "classification")
FARTHEST_KM = float(np.pi * EARTH_RADIUS_KM)
"""Distance told where there is no neighbor at all: half the circumference."""
ROWS_PER_NEIGHBOR = 10
"""One neighbor at most is averaged for so many training rows."""
ENTRIES_AT_A_TIME = 4_000_000  # neighbors times label columns, 32 MB

_Floats = NDArray[np.float64]


class NeighborFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """Means of the labels around each row, and the distances they come from: -> (n, F), float64.

    For each k: the mean label of the k nearest training rows, and the kilometers to the k-th. For
    each width h in `kernel_km` the neighbors have weights w = exp(-(d² - d₁²) / 2h²), d₁ being the
    distance of the nearest, whose weight is 1 however far it is. Their sum is S. Two features come
    of them: the mean label, shrunk toward that of all rows as by one more row of weight 1; and the
    logarithm of the spacing of labels, Σ w log(1 + km) / S - log(S) / 2. Where labels lie closer
    than h it is half the logarithm of the area that each has; where they do not, log(1 + d₁).
    With classes, a mean is the share of each class; of two classes that of the second alone.

    The plain sum of exp(-d² / 2h²) would be zero, but for rounding, in all training rows of sparse
    labels: a linear model behind a `StandardScaler`, which blows that rounding up, would answer
    1e15 for the first new row that has a label near. The spacing tells as much and varies slowly.

    A mean of all rows but one would tell that one's label to the model exactly, and a mean of many
    out of few still tells some of it: where a row's own label is high, those left are low. Therefore
    no more than a tenth of the training rows are ever averaged (but one at least), whatever is
    asked; and the mean toward which kernels shrink is that of all training rows, the same for
    every row. Of labels that are noise, the mean of so many still has a correlation with a row's own
    of -0.07 among 40 rows, -0.06 among 100, -0.03 among 300 (400 draws): it fades with n, and nothing
    can be predicted from it.

    Args:
        k: numbers of neighbors, such as ``(5,)``.
        kernel_km: widths of kernels, kilometers, such as ``(10.0,)``.
        task: what the labels are, ``"regression"`` or ``"classification"``. It is not guessed:
            prices in whole dollars look like classes.
        exclude_km: in training, rows at this distance or nearer are hidden from each other.
        cv: in training, rows see labels of the other folds only: a number of folds or a splitter,
            such as `BlockKFold`, which fits models that are judged by blocks; None hides by
            distance alone.
        is_log: log(1 + km) instead of km, which linear models take better.
        max_neighbors: kernels end at so many neighbors, whatever their width.
        lon: column of a data frame that holds longitudes, see `LocationFeatures`.
        lat: column that holds latitudes.
        on_missing: ``"error"``, or ``"nan"``: rows without a place have NaN for features, and are
            nobody's neighbors.

    Attributes:
        classes_: the classes in the order of their shares; None in regression.
        label_mean_: mean label, or shares of the classes, (C,).
        n_features_in_: how many columns the table had.
        feature_names_in_: their names, of a data frame.
    """

    def __init__(
        self,
        *,
        k: Sequence[int] = (1, 5, 20),
        kernel_km: Sequence[float] = (1.0, 10.0, 100.0),
        task: str = "regression",
        exclude_km: float = 0.0,
        cv: Any = None,
        is_log: bool = False,
        max_neighbors: int = 100,
        lon: Any = "lon",
        lat: Any = "lat",
        on_missing: str = "error",
    ) -> None:
        self.k = k
        self.kernel_km = kernel_km
        self.task = task
        self.exclude_km = exclude_km
        self.cv = cv
        self.is_log = is_log
        self.max_neighbors = max_neighbors
        self.lon = lon
        self.lat = lat
        self.on_missing = on_missing

    def fit(self, X: Any, y: Any = None) -> Self:
        """Keep the places and labels of the training rows.

        Args:
            X: a table with coordinates, see `LocationFeatures.fit`.
            y: labels, (n,): numbers, or classes of any kind.

        Raises:
            UnknownColumns, InvalidCoordinate: as `LocationFeatures.fit`.
            InvalidOption: a parameter that has no meaning.
            ValueError: labels that are missing, not finite, or not as many as rows.
        """
        self._learn(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> _Floats:
        """Features of the training rows, each from labels other than its own: -> (n, F).

        Args:
            X: a table with coordinates.
            y: labels, (n,).
            groups: what belongs together, (n,), for a `cv` that asks for it.

        Raises:
            InvalidOption: `cv` leaves rows out, besides the errors of `fit`.
        """
        lonlat, is_placed = self._learn(X, y)
        features = np.full((len(lonlat), len(self._names())), np.nan)
        rows = np.flatnonzero(is_placed)
        if self.cv is None:
            features[rows] = self._features(self._tree, self._labels, lonlat[rows], self.exclude_km)
            return features
        position = np.full(len(lonlat), -1)  # of each row among those with a place
        position[rows] = np.arange(len(rows))
        is_open = is_placed.copy()
        for others, fold in self._folds(lonlat, y, groups):
            others, fold = (np.asarray(rows)[is_placed[rows]] for rows in (others, fold))
            tree, labels = PlaceTree(lonlat[others]), self._labels[position[others]]
            features[fold] = self._features(tree, labels, lonlat[fold], self.exclude_km)
            is_open[fold] = False
        if is_open.any():
            raise InvalidOption(f"cv={self.cv!r} puts {is_open.sum()} rows into no fold")
        return features

    def transform(self, X: Any) -> _Floats:
        """Features of new rows from all training rows: -> (n, F). Training rows would see themselves.

        Raises:
            NotFittedError: before `fit`.
            ValueError: other columns than at `fit`.
            UnknownColumns, InvalidCoordinate: as `fit`.
        """
        check_is_fitted(self, "label_mean_")
        coordinates = read_places(self, X, is_fitting=False)
        features = np.full((len(coordinates), len(self._names())), np.nan)
        lonlat = coordinates.lonlat[coordinates.is_placed]
        features[coordinates.is_placed] = self._features(self._tree, self._labels, lonlat, None)
        return features

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """``neighbors_5_mean``, ``neighbors_5_km``, ``kernel_10km_mean``, ``kernel_10km_log_spacing``."""
        check_is_fitted(self, "label_mean_")
        return output_names(self, self._names(), input_features)

    def _folds(self, lonlat: _Floats, y: Any, groups: Any) -> Iterator[tuple[Any, Any]]:
        splitter = check_cv(self.cv, y, classifier=self.task == "classification")
        # Rows without a place are in no block; they go wherever, and are not looked at again.
        return cast(Iterator[tuple[Any, Any]], splitter.split(np.nan_to_num(lonlat), y, groups))

    def _names(self) -> list[str]:
        means, km = ["mean"], "log_km" if self.is_log else "km"
        if self.classes_ is not None:
            told = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
            means = [f"share_of_{one}" for one in told]
        near = [[*(f"neighbors_{k}_{mean}" for mean in means), f"neighbors_{k}_{km}"] for k in self.k]
        kernels = [
            [*(f"kernel_{width:g}km_{mean}" for mean in means), f"kernel_{width:g}km_log_spacing"]
            for width in self.kernel_km
        ]
        return [name for names in (*near, *kernels) for name in names]

    def _learn(self, X: Any, y: Any) -> tuple[_Floats, NDArray[np.bool_]]:
        self._check_parameters()
        if y is None:
            raise ValueError("NeighborFeatures requires y to be passed, but the target y is None")
        coordinates = read_places(self, X, is_fitting=True)
        labels = self._as_columns(y, len(coordinates))
        is_placed = coordinates.is_placed.copy()
        if not is_placed.any():
            raise ValueError("no row has a place, so that there are no neighbors to learn from")
        self._tree, self._labels = PlaceTree(coordinates.lonlat[is_placed]), labels[is_placed]
        self.label_mean_ = self._labels.mean(axis=0)
        return coordinates.lonlat, is_placed

    def _check_parameters(self) -> None:
        check_choice("task", self.task, TASKS)
        check_choice("on_missing", self.on_missing, ("error", "nan"))
        for name in ("k", "kernel_km"):
            if not isinstance(value := getattr(self, name), Sequence | np.ndarray) or isinstance(value, str):
                raise InvalidOption(f"{name}={value!r}: a row of numbers, also of one: {name}=({value},)")
        if not len(self.k) + len(self.kernel_km):
            raise InvalidOption("k=() and kernel_km=(): nothing is asked of the neighbors")
        for name, value in (*(("k", number) for number in self.k), ("max_neighbors", self.max_neighbors)):
            if not _is_number(value) or value < 1 or value != np.floor(value):
                raise InvalidOption(f"{name}={getattr(self, name)!r}: whole numbers from 1")
        if not all(_is_number(width) and 0.0 < width < np.inf for width in self.kernel_km):
            raise InvalidOption(f"kernel_km={self.kernel_km!r}: widths in kilometers, above 0")
        if not _is_number(self.exclude_km) or not 0.0 <= self.exclude_km < FARTHEST_KM:
            raise InvalidOption(
                f"exclude_km={self.exclude_km!r}: a number of kilometers, from 0 to {FARTHEST_KM:.0f}"
            )

    def _as_columns(self, y: Any, n_rows: int) -> _Floats:
        """Labels as (n, C): the number itself, or one column for each class."""
        labels = column_or_1d(y, warn=True)
        check_consistent_length(labels, np.empty((n_rows, 0)))
        numbers: _Floats | None = labels.astype(np.float64) if self.task == "regression" else None
        is_good = ~pd.isna(labels) if numbers is None else np.isfinite(numbers)
        if not is_good.all():
            row = int(np.flatnonzero(~is_good)[0])
            raise ValueError(
                f"the label of row {row} (counted from 0) is {labels[row]}: labels may be neither NaN nor inf"
            )
        if numbers is not None:
            self.classes_ = None
            return numbers[:, None]
        self.classes_, codes = np.unique(labels, return_inverse=True)
        columns: _Floats = np.eye(len(self.classes_))[codes]
        return columns[:, 1:] if len(self.classes_) == 2 else columns

    def _features(
        self, tree: PlaceTree, labels: _Floats, lonlat: _Floats, beyond_km: float | None
    ) -> _Floats:
        """Features of places (n, 2) from neighbors beyond a distance, a part at a time -> (n, F)."""
        n_wanted = max([*self.k, self.max_neighbors if len(self.kernel_km) else 1])
        n_wanted = min(n_wanted, max(1, len(self._tree) // ROWS_PER_NEIGHBOR))
        step = max(1, ENTRIES_AT_A_TIME // (n_wanted * labels.shape[1]))
        parts = [np.empty((0, len(self._names())))]
        for start in range(0, len(lonlat), step):
            km, number = tree.nearest(lonlat[start : start + step], n_wanted, beyond_km=beyond_km)
            near = labels[number] if len(labels) else np.zeros((*number.shape, labels.shape[1]))
            parts.append(self._summary(km, near))
        return np.concatenate(parts)

    def _summary(self, km: _Floats, labels: _Floats) -> _Floats:
        """Means and distances of neighbors, nearest first, (n, K) and (n, K, C) -> (n, F)."""
        is_there = np.isfinite(km)
        labels = np.where(is_there[..., None], labels, 0.0)
        nobody = ~is_there[:, 0]  # then the mean of all labels stands half the Earth away
        labels[nobody, 0], is_there[nobody, 0] = self.label_mean_, True
        km = np.where(is_there, np.minimum(km, FARTHEST_KM), 0.0)
        columns = []
        for k in self.k:
            n_there = is_there[:, :k].sum(axis=1)
            last = km[np.arange(len(km)), n_there - 1, None]
            columns += [labels[:, :k].sum(axis=1) / n_there[:, None], np.log1p(last) if self.is_log else last]
        km, is_there, labels = (array[:, : self.max_neighbors] for array in (km, is_there, labels))
        beyond = (km - km[:, :1]) * (km + km[:, :1])
        for width in self.kernel_km:
            weights = np.where(is_there, np.exp(-0.5 * beyond / width**2), 0.0)
            total = weights.sum(axis=1, keepdims=True)
            log_km = (weights * np.log1p(km)).sum(axis=1, keepdims=True) / total
            weighted = np.einsum("nk,nkc->nc", weights, labels)
            columns += [(weighted + self.label_mean_) / (total + 1.0), log_km - 0.5 * np.log(total)]
        return np.concatenate(columns, axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.on_missing != "error"
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)
