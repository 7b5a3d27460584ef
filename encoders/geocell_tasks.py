"""Side tasks of a geocell head: what else a photo tells of its place, learned through a shared hidden layer.

PIGEON (Haas et al. 2024, arXiv:2307.05845) trains climate, month, elevation and population density beside
its cells; whether that helps is doubted, so each task is off until asked for. A linear head shares
nothing with them and takes none. Labels are read from the shipped atlas at the photo's place, and are
missing where it says nothing; a missing label is left out of its task's average, and of nothing else.

A new task is one entry of `TASKS`. Letters: n photos, K classes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .captioning.climates import climate_classes
from .captioning.driving import driving_side
from .errors import InvalidOption
from .places import load_places
from .sphere import as_lonlat
from .world.encoder import shipped_encoder
from .world.tables import CLIMATES

_Floats = NDArray[np.float64]
Months = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """One side task.

    Attributes:
        labels: places (n, 2) and months (n,), 1 to 12, 0 unknown -> (n,): class numbers or a number; NaN
            is missing.
        n_classes: K, or 0 for a number, which is standardized over the training photos.
        weight: of its error beside the cells' cross-entropy.
        shows: what a class or a number means.
    """

    labels: Callable[[_Floats, Months], _Floats]
    n_classes: int
    weight: float
    shows: str

    @property
    def n_outputs(self) -> int:
        """Of its layer: a logit for each class, or one number."""
        return max(self.n_classes, 1)


def task_labels(
    names: Iterable[str], lonlat: ArrayLike, month: ArrayLike | None = None
) -> Mapping[str, _Floats]:
    """Labels of some tasks at places, each (n,), NaN where missing.

    Args:
        names: of `TASKS`.
        lonlat: degrees, (n, 2).
        month: of the photos, 1 to 12, 0 unknown, (n,); all unknown by default.

    Raises:
        InvalidOption: no such task, or months that do not match.
        InvalidCoordinate: a point is not on Earth.
        WeightsUnavailable: the shipped atlas is missing or damaged.
    """
    points = as_lonlat(lonlat).reshape(-1, 2)
    months = np.zeros(len(points), np.int64) if month is None else np.asarray(month, dtype=np.int64)
    if months.shape != (len(points),) or ((months < 0) | (months > 12)).any():
        raise InvalidOption(f"months {months.shape} for {len(points)} photos: one each, 1 to 12, or 0")
    return {name: task_named(name).labels(points, months) for name in names}


def task_named(name: str) -> Task:
    """A task of the registry.

    Raises:
        InvalidOption: no such task.
    """
    if name not in TASKS:
        raise InvalidOption(f"no side task {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]


def _climate(lonlat: _Floats, month: Months) -> _Floats:
    number = {name: float(row) for row, name in enumerate(CLIMATES)}
    return np.array([number.get(str(one), np.nan) for one in climate_classes(lonlat)])


def _field(name: str) -> Callable[[_Floats, Months], _Floats]:
    def read(lonlat: _Floats, month: Months) -> _Floats:
        reading = shipped_encoder().fields(lonlat)
        return reading.values[:, reading.names.index(name)].astype(np.float64)

    return read


def _driving_side(lonlat: _Floats, month: Months) -> _Floats:
    places = load_places()
    nearest = places.nearest(lonlat)
    is_left = [driving_side(str(code)) == "left" for code in places.country_code[nearest.index]]
    return np.where(nearest.is_remote, np.nan, np.array(is_left, dtype=np.float64))


def _month(lonlat: _Floats, month: Months) -> _Floats:
    # Seasons, not calendars, can be seen: south of the equator the year is turned by half.
    turned = np.where(lonlat[:, 1] < 0.0, month + 6, month)
    return np.where(month > 0, (turned - 1) % 12, np.nan).astype(np.float64)


TASKS: Mapping[str, Task] = {
    "climate": Task(
        _climate, len(CLIMATES), 0.25, "Köppen-Geiger class, by its row in `world.tables.CLIMATES`"
    ),
    "elevation": Task(_field("elevation, compressed"), 0, 0.25, "arcsinh of meters above the sea / 100"),
    "population": Task(_field("log people per km2, 28 km"), 0, 0.25, "log(1 + people per km²) around"),
    "driving-side": Task(_driving_side, 2, 0.25, "0 right, 1 left"),
    "month": Task(_month, 12, 0.25, "month of capture from 0, turned by six south of the equator"),
}
