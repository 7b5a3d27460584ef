"""What the scikit-learn transformers of this package have in common: reading their input.

scikit-learn's own bookkeeping (`n_features_in_`, `feature_names_in_`, the same columns at
`transform` as at `fit`) is kept; which columns hold the coordinates is `coordinate_columns`' matter.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from .coordinate_columns import Coordinates, coordinates_of
from .errors import InvalidCoordinate, InvalidOption


def read_places(estimator: Any, table: Any, *, is_fitting: bool) -> Coordinates:
    """The coordinates in what a caller sends to `fit` or `transform`.

    Args:
        estimator: with parameters `lon`, `lat` and `on_missing`; at `fit` it notes the columns.
        table: an array (n, 2) of lon, lat, a data frame, or a geopandas frame or series.
        is_fitting: whether the columns are noted, or compared with those noted.

    Returns:
        The places; all rows have one where `on_missing` is ``"error"``.

    Raises:
        ValueError: no table, or other columns than at `fit`.
        InvalidCoordinate: rows without a place that may not be, or a table the wrong way round.
        UnknownColumns: it is not plain where the coordinates are.
    """
    if isinstance(table, pd.Series) and table.dtype.name == "geometry":
        table = table.to_frame("geometry")
    if isinstance(table, pd.DataFrame):
        validate_data(estimator, table, reset=is_fitting, skip_check_array=True)
        if is_fitting and table.empty:
            raise ValueError("a table of 0 sample(s): at least one row is needed to fit")
    else:
        table = validate_data(
            estimator, table, reset=is_fitting, dtype=np.float64, ensure_all_finite=False,
            ensure_min_samples=int(is_fitting),
        )  # fmt: skip
    coordinates = coordinates_of(table, estimator.lon, estimator.lat)
    if is_fitting:
        coordinates.refuse_exchanged()
    if estimator.on_missing == "error":
        try:
            coordinates.require_all()
        except InvalidCoordinate as error:
            raise InvalidCoordinate(
                f"{error}; rows count from 0, and on_missing='nan' lets such rows pass"
            ) from None
    elif coordinates.n_swapped:
        warnings.warn(
            f"{coordinates.n_swapped} of {len(coordinates)} rows lie on Earth only with lon and lat "
            "exchanged; they count as missing. Look whether the columns are in the right order",
            UserWarning,
            stacklevel=3,
        )
    return coordinates


def check_choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Refuse a parameter that is none of the values it may have.

    Raises:
        InvalidOption: naming them.
    """
    if value not in allowed:
        raise InvalidOption(f"{name}={value!r}: expected one of {', '.join(map(repr, allowed))}")


def output_names(estimator: Any, names: Sequence[str], input_features: Any) -> NDArray[np.object_]:
    """Names of the columns that a fitted transformer makes, as scikit-learn asks for them.

    Raises:
        ValueError: `input_features` are not those of `fit`.
    """
    check_is_fitted(estimator, "n_features_in_")
    if input_features is not None:
        told, known = list(input_features), getattr(estimator, "feature_names_in_", None)
        if known is not None and told != list(known):
            raise ValueError(
                f"input_features is not equal to feature_names_in_, {', '.join(map(str, known))}"
            )
        if len(told) != estimator.n_features_in_:
            n = estimator.n_features_in_
            raise ValueError(f"input_features should have length equal to number of features ({n})")
    return np.array(names, dtype=object)
