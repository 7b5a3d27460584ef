"""Figures by part of the world, since photos of one do not say how well another is located.

Sets of photos are anything but evenly spread: Street View knows little of China, and Flickr's users
travel. A mean over photos is then a mean over the places that were photographed most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ..encoders.continents import CONTINENTS, continent_at
from ..encoders.places import load_places
from .rows import is_within
from .surface import Floats

if TYPE_CHECKING:
    from .evaluation_report import Evaluation

SHOWN_KM: Final = (25.0, 200.0, 750.0)
MIN_GROUPS: Final = 5
"""Fewer groups have no interval worth the name."""

Figure = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """The photos of one continent or country.

    Attributes:
        code: two letters.
        name: in English.
        n_photos: how many were taken there; so is `n_groups`.
        figures: of our answers, each with its 95 % interval, NaN with fewer than `MIN_GROUPS` groups:
            `within_25_km` and so on, `geoscore`, `coverage_50` and so on.
    """

    code: str
    name: str
    n_photos: int
    n_groups: int
    figures: dict[str, Figure]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; None for what is not known."""
        plain = {
            name: [None if np.isnan(one) else one for one in figure] for name, figure in self.figures.items()
        }
        return {"name": self.name, "n_photos": self.n_photos, "n_groups": self.n_groups} | plain


def continents_of(lonlat: Floats) -> NDArray[np.str_]:
    """Continent of each photo, (Q, 2) -> (Q,)."""
    return continent_at(lonlat)


def countries_of(lonlat: Floats) -> NDArray[np.str_]:
    """Country of each photo, by the nearest inhabited place, (Q, 2) -> (Q,)."""
    places = load_places()
    return places.country_code[places.nearest(lonlat).index].astype(str)


def parts_of(evaluation: Evaluation, kind: str) -> list[Part]:
    """The figures of each part, that with the most photos first.

    Args:
        evaluation: that knows its photos' continents and countries.
        kind: "continent" or "country".
    """
    label = evaluation.parts.get(kind)
    if label is None:
        return []
    names = dict(CONTINENTS) if kind == "continent" else _country_names()
    codes, counts = np.unique(label, return_counts=True)
    order = np.lexsort([codes, -counts])
    return [_part(evaluation, label == codes[row], str(codes[row]), names) for row in order]


def _part(evaluation: Evaluation, rows: NDArray[np.bool_], code: str, names: dict[str, str]) -> Part:
    ours = evaluation.rows[-1]
    values = {
        f"within_{radius:g}_km": is_within(ours.error_km, radius, is_inclusive=evaluation.is_inclusive)
        for radius in SHOWN_KM
    } | {"geoscore": ours.geoscore}
    values |= {f"coverage_{100 * level:g}": held for level, held in evaluation.covered.items()}
    n_groups = len(np.unique(evaluation.group[rows]))
    figures = {name: _figure(evaluation, one, rows, n_groups) for name, one in values.items()}
    if n_groups < MIN_GROUPS:
        figures = {name: (figure[0], np.nan, np.nan) for name, figure in figures.items()}
    return Part(code, names.get(code, code), int(rows.sum()), n_groups, figures)


def _figure(evaluation: Evaluation, values: NDArray[Any], rows: NDArray[np.bool_], n_groups: int) -> Figure:
    """Mean and interval; of a share that is 0 or 1 by what so many groups exclude (Clopper, Pearson 1934)."""
    value, low, high = evaluation.interval(values.astype(float), rows)
    excluded = 1.0 - 0.025 ** (1.0 / n_groups)
    if values.dtype == np.bool_ and value in (0.0, 1.0):  # resampled, it would seem to be certain
        return (value, 0.0, excluded) if value == 0.0 else (value, 1.0 - excluded, 1.0)
    return value, low, high


def _country_names() -> dict[str, str]:
    places = load_places()
    return dict(zip(places.country_code.tolist(), places.country.tolist(), strict=True))
