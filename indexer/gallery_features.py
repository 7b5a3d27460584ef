"""What the photos around a place look like, as features of a scikit-learn model.

For each row of a table: how far the nearest photos of a gallery are, how many lie within given
radii, and the mean embedding of the nearest, in a few principal components or as it is. The photos
say what coordinates cannot: how built-up, how green, how visited a place is.

The gallery is read once, by `fit`; afterwards the features, copies and pickles of them need neither
the gallery nor its lock. They hold the places of its photos: keep such a pickle as you keep those.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..encoders.errors import InvalidOption, NothingToLocateWith
from ..encoders.estimator_input import check_choice, output_names, read_places
from ..encoders.place_tree import PlaceTree
from .filters import Filter
from .gallery import Gallery
from .settings import Settings

ROWS_AT_A_TIME = 4096

_Floats = NDArray[np.float64]


class GalleryFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """Distances, numbers and looks of a gallery's photos around each row: -> (n, F), float32.

    Args:
        gallery: its name.
        k: the kilometers to the k-th nearest photo, for each of these; the looks are those of the
            `max(k)` nearest.
        radii_km: numbers of photos within these distances, edges included.
        components: how many principal components of all the gallery's embeddings tell the looks;
            None takes the embedding as it is, 0 leaves the looks out.
        exclude_km: photos at this distance or nearer are hidden, in training and afterwards: 0
            hides those at a row's own place, which rows that are in the gallery themselves need
            when later rows will not be; None hides none.
        filter: which photos count; all of known place by default.
        settings: where galleries live; from the environment by default.
        lon: column of a data frame that holds longitudes, see `LocationFeatures`.
        lat: column that holds latitudes.
        on_missing: ``"error"``, or ``"nan"`` for rows without a place.

    Attributes:
        n_photos_: how many photos of known place were read.
        fingerprint_: of the encoder that embedded them.
        looks_: their embeddings, whole or in components, float32.
        n_features_in_: how many columns the table had.
        feature_names_in_: their names, of a data frame.
    """

    def __init__(
        self,
        gallery: str,
        *,
        k: Sequence[int] = (1, 5, 20),
        radii_km: Sequence[float] = (1.0, 10.0, 100.0),
        components: int | None = 16,
        exclude_km: float | None = None,
        filter: Filter | None = None,
        settings: Settings | None = None,
        lon: Any = "lon",
        lat: Any = "lat",
        on_missing: str = "error",
    ) -> None:
        self.gallery = gallery
        self.k = k
        self.radii_km = radii_km
        self.components = components
        self.exclude_km = exclude_km
        self.filter = filter
        self.settings = settings
        self.lon = lon
        self.lat = lat
        self.on_missing = on_missing

    def fit(self, X: Any, y: Any = None) -> Self:
        """Read the gallery. Of the rows nothing is learned but where their coordinates are.

        Raises:
            UnknownGallery, GalleryLocked, DamagedLedger: the gallery cannot be read.
            NothingToLocateWith: it has no photo of known place that passes the filter.
            UnknownColumns, InvalidCoordinate, InvalidOption: as `LocationFeatures.fit`.
        """
        self._check_parameters()
        read_places(self, X, is_fitting=True)
        with Gallery.open(self.gallery, settings=self.settings) as gallery:
            self.fingerprint_ = gallery.fingerprint.id
            placed = {photo.id: photo for photo in gallery.find(self._placed)}
            if not placed:
                raise NothingToLocateWith(
                    f"gallery {self.gallery!r} has no photo of known place"
                    + ("" if self.filter is None else " that passes the filter")
                )
            # In the order of the ledger, so that each of its shards is read once.
            ids = sorted(placed, key=gallery.state.embedded_at.__getitem__)
            lonlat = np.array([[placed[id].lon, placed[id].lat] for id in ids], dtype=np.float64)
            self.looks_ = _read_looks(gallery, ids, self.components)
        self.n_photos_ = len(ids)
        self._tree = PlaceTree(lonlat)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Features of rows: -> (n, F). Where fewer photos are left than asked for, km are NaN.

        Raises:
            NotFittedError: before `fit`.
            ValueError: other columns than at `fit`.
            UnknownColumns, InvalidCoordinate: as `fit`.
        """
        check_is_fitted(self, "n_photos_")
        coordinates = read_places(self, X, is_fitting=False)
        features = np.full((len(coordinates), len(self._names())), np.nan, dtype=np.float32)
        rows = np.flatnonzero(coordinates.is_placed)
        for start in range(0, len(rows), ROWS_AT_A_TIME):
            part = rows[start : start + ROWS_AT_A_TIME]
            features[part] = self._around(coordinates.lonlat[part])
        return features

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """``photos_5_km``, ``photos_within_10km``, ``photos_look_00`` and so on."""
        check_is_fitted(self, "n_photos_")
        return output_names(self, self._names(), input_features)

    @property
    def _placed(self) -> Filter:
        return replace(self.filter or Filter(), is_placed=True)

    def _names(self) -> list[str]:
        dimension = self.looks_.shape[1]
        digits = max(2, len(str(dimension - 1)))
        return [
            *(f"photos_{k}_km" for k in self.k),
            *(f"photos_within_{radius:g}km" for radius in self.radii_km),
            *(f"photos_look_{number:0{digits}d}" for number in range(dimension)),
        ]

    def _check_parameters(self) -> None:
        check_choice("on_missing", self.on_missing, ("error", "nan"))
        if not len(self.k) or any(number < 1 or number != int(number) for number in self.k):
            raise InvalidOption(f"k={self.k}: whole numbers from 1, at least one")
        if not all(np.isfinite(radius) and radius >= 0.0 for radius in self.radii_km):
            raise InvalidOption(f"radii_km={self.radii_km}: kilometers, from 0")
        if self.components is not None and self.components < 0:
            raise InvalidOption(f"components={self.components}: how many, from 0, or None for all")

    def _around(self, lonlat: _Floats) -> _Floats:
        """Features of checked places: (n, 2) -> (n, F)."""
        km, number = self._tree.nearest(lonlat, max(self.k), beyond_km=self.exclude_km)
        is_there = np.isfinite(km)
        km = np.where(is_there, km, np.nan)
        hidden = 0 if self.exclude_km is None else self._tree.count_within(lonlat, self.exclude_km)
        counts = [np.maximum(self._tree.count_within(lonlat, r) - hidden, 0) for r in self.radii_km]
        looks = np.zeros((len(lonlat), self.looks_.shape[1]))
        for rank in range(number.shape[1]):  # one neighbor at a time: (n, k, D) would be large
            looks += np.where(is_there[:, rank, None], self.looks_[number[:, rank]], 0.0)
        n_there = is_there.sum(axis=1, keepdims=True)
        looks = np.where(n_there > 0, looks / np.maximum(n_there, 1), np.nan)
        return np.column_stack([km[:, np.array(self.k, dtype=np.intp) - 1], *counts, looks])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.on_missing != "error"
        tags.transformer_tags.preserves_dtype = []
        return tags


@dataclass(frozen=True)
class Components:
    """The directions in which embeddings differ most: mean (D,) and directions (D, c)."""

    mean: _Floats
    directions: _Floats

    @classmethod
    def of(cls, parts: Iterator[NDArray[np.float32]], dimension: int, n_components: int) -> Self:
        """Find them in one pass over parts of an array (N, D), holding D × D numbers only."""
        n, total, products = 0, np.zeros(dimension), np.zeros((dimension, dimension))
        for part in parts:
            rows = part.astype(np.float64)
            n, total, products = n + len(rows), total + rows.sum(axis=0), products + rows.T @ rows
        mean = total / n
        _, directions = np.linalg.eigh(products / n - np.outer(mean, mean))
        directions = directions[:, ::-1][:, :n_components]  # eigh has the largest last
        # A direction and its opposite are equally good; the largest entry decides, so that the
        # features of one gallery are the same wherever they are computed.
        largest = np.abs(directions).argmax(axis=0)
        return cls(mean, directions * np.sign(directions[largest, np.arange(directions.shape[1])]))


def _read_looks(gallery: Gallery, ids: Sequence[str], components: int | None) -> NDArray[np.float32]:
    """Embeddings of photos, whole or in components: (N, D) or (N, c), read a part at a time."""
    dimension = gallery.fingerprint.dimension
    if components == 0:
        return np.empty((len(ids), 0), dtype=np.float32)
    if components is None:
        looks = np.empty((len(ids), dimension), dtype=np.float32)
        for start, part in _parts(gallery, ids):
            looks[start : start + len(part)] = part
        return looks
    found = Components.of((part for _, part in _parts(gallery, ids)), dimension, components)
    looks = np.empty((len(ids), found.directions.shape[1]), dtype=np.float32)
    for start, part in _parts(gallery, ids):
        looks[start : start + len(part)] = (part - found.mean) @ found.directions
    return looks


def _parts(gallery: Gallery, ids: Sequence[str]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for start in range(0, len(ids), ROWS_AT_A_TIME):
        yield start, gallery.embeddings(ids[start : start + ROWS_AT_A_TIME])
