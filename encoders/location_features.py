"""Embeddings of places as features of a scikit-learn model.

    make_column_transformer(
        (LocationFeatures(), ["lon", "lat"]),
        remainder="passthrough",
    )

`LocationFeatures` is a transformer like any other: it works in pipelines, column transformers and
searches over parameters, keeps to `set_output`, and can be copied and pickled.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .coordinate_columns import Coordinates
from .errors import FingerprintMismatch, InvalidOption
from .estimator_input import check_choice, output_names, read_places

if TYPE_CHECKING:  # it loads torch, which a pickle on its way through needs not
    from .location import LocationEmbedder

DEFAULT_ENCODER = "placeprint-location-v1"
ON_MISSING = ("error", "nan", "mean")


class LocationFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """Replaces the coordinates of each row by the embedding of its place: -> (n, D), float32.

    Nothing is learned from the rows but, with ``on_missing="mean"``, their mean embedding.

    Args:
        encoder: a name that `load_location_encoder` understands, or an encoder itself.
        lon: column of a data frame that holds longitudes, degrees; while left at its default,
            longitude, lng and long will do as well. A number names a column by its position.
        lat: column that holds latitudes, degrees.
        on_missing: what becomes of rows whose coordinates are missing, not numbers or not on
            Earth: ``"error"`` names the first, ``"nan"`` makes all their features NaN, ``"mean"``
            gives them the mean embedding of the rows seen by `fit`.
        batch_size: how many places are embedded at a time.

    Attributes:
        encoder_name_: what the encoder calls itself.
        fingerprint_: its fingerprint. A pickle holds this and the name of an encoder that came by
            name, not its weights; what loads later must have the same fingerprint.
        dimension_: D.
        mean_: mean embedding (D,) of the rows seen by `fit`; with ``on_missing="mean"`` only.
        n_features_in_: how many columns the table had.
        feature_names_in_: their names, of a data frame.
    """

    def __init__(
        self,
        encoder: "str | Path | LocationEmbedder" = DEFAULT_ENCODER,
        *,
        lon: Any = "lon",
        lat: Any = "lat",
        on_missing: str = "error",
        batch_size: int = 8192,
    ) -> None:
        self.encoder = encoder
        self.lon = lon
        self.lat = lat
        self.on_missing = on_missing
        self.batch_size = batch_size

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the coordinates, load the encoder, and note its fingerprint.

        Args:
            X: an array of lon, lat, shape (n, 2), or of any width when `lon` and `lat` are column
                numbers; a data frame, of which only the two columns are used; or a geopandas
                frame in any coordinate system.
            y: not used.

        Raises:
            UnknownColumns: it is not plain which columns hold the coordinates.
            InvalidCoordinate: a row without a place (with ``on_missing="error"``), a geometry
                without a coordinate system, or a table with lon and lat exchanged.
            UnknownEncoder: no encoder of that name.
            InvalidOption: a parameter that has no meaning.
        """
        check_choice("on_missing", self.on_missing, ON_MISSING)
        if not isinstance(self.batch_size, int | np.integer) or self.batch_size < 1:
            raise InvalidOption(f"batch_size={self.batch_size!r}: how many places at a time, at least 1")
        coordinates = read_places(self, X, is_fitting=True)
        embedder = load_embedder(self.encoder)
        self._embedder = embedder
        self.encoder_name_ = embedder.name
        self.fingerprint_ = embedder.fingerprint
        self.dimension_ = embedder.dimension
        if self.on_missing == "mean":
            self.mean_ = self._mean(coordinates)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Embed the places of a table's rows: -> (n, D).

        Raises:
            FingerprintMismatch: what the encoder's name stands for has changed since `fit`.
            NotFittedError: before `fit`.
            ValueError: other columns than at `fit`.
            UnknownColumns, InvalidCoordinate: as `fit`.
        """
        check_is_fitted(self, "fingerprint_")
        coordinates = read_places(self, X, is_fitting=False)
        features = np.full((len(coordinates), self.dimension_), np.nan, dtype=np.float32)
        if self.on_missing == "mean":
            features[~coordinates.is_placed] = self.mean_
        placed = np.flatnonzero(coordinates.is_placed)
        for rows, embeddings in zip(
            self._batches(placed), self._embed(coordinates.lonlat[placed]), strict=True
        ):
            features[rows] = embeddings
        return features

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """``location_000``, ``location_001``, … in the order of the embedding."""
        check_is_fitted(self, "fingerprint_")
        digits = max(3, len(str(self.dimension_ - 1)))
        names = [f"location_{number:0{digits}d}" for number in range(self.dimension_)]
        return output_names(self, names, input_features)

    def _batches(self, rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
        return (rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size))

    def _embed(self, lonlat: NDArray[np.float64]) -> Iterator[NDArray[np.float32]]:
        """Embeddings batch by batch, so that no second copy of them all is held."""
        embedder = self._checked_embedder()
        for batch in self._batches(lonlat):
            yield embedder.encode(batch, batch_size=self.batch_size)

    def _mean(self, coordinates: Coordinates) -> NDArray[np.float32]:
        lonlat = coordinates.lonlat[coordinates.is_placed]
        if not len(lonlat):
            raise ValueError("no row has a place, so that there is no mean embedding to give the others")
        total = np.zeros(self.dimension_)
        for embeddings in self._embed(lonlat):
            total += embeddings.sum(axis=0, dtype=np.float64)
        return (total / len(lonlat)).astype(np.float32)

    def _checked_embedder(self) -> "LocationEmbedder":
        """The encoder of `fit`; after unpickling it is loaded again, and must be the same."""
        if not hasattr(self, "_embedder"):
            embedder = load_embedder(self.encoder)
            if embedder.fingerprint != self.fingerprint_:
                raise FingerprintMismatch(
                    f"these features were fitted with encoder {self.encoder_name_!r} "
                    f"({self.fingerprint_}); what loads as {str(self.encoder)!r} now has fingerprint "
                    f"{embedder.fingerprint}: restore that encoder, or fit again"
                )
            self._embedder = embedder
        return self._embedder

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_embedder", None)
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.on_missing != "error"
        tags.transformer_tags.preserves_dtype = []  # embeddings are float32, whatever comes in
        return tags


def load_embedder(encoder: "str | Path | LocationEmbedder") -> "LocationEmbedder":
    """An encoder as it is, or by its name, loaded once in a process as long as its file is the same.

    Raises:
        UnknownEncoder: no encoder of that name.
        WeightsUnavailable: a file that is missing or damaged.
        InvalidOption: neither a name nor an encoder.
    """
    if isinstance(encoder, str | Path):
        return _loaded(str(encoder), _stamp(str(encoder)))
    if not all(hasattr(encoder, part) for part in ("encode", "dimension", "fingerprint", "name")):
        raise InvalidOption(f"encoder={encoder!r}: expected a name or an encoder of places")
    return encoder


@lru_cache(maxsize=4)
def _loaded(name: str, stamp: tuple[int, int] | None) -> "LocationEmbedder":
    # A search over parameters fits dozens of copies; each would read the weights anew.
    from .location_catalog import load_location_encoder

    return load_location_encoder(name)


def _stamp(name: str) -> tuple[int, int] | None:
    """Size and time of the file in a name like PATH or kind:PATH; None where there is none."""
    for path in (Path(name), Path(name.partition(":")[2])):
        if path.is_file():
            status = path.stat()
            return status.st_size, status.st_mtime_ns
    return None
