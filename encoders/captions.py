"""Captions of photos made of nothing but where, when and which way they were taken.

They pre-train image–text models to see regional looks (PIGEON, Haas et al. 2024, arXiv:2307.05845): a
caption is a random choice of true statements about the place, so that no model can get by on one of
them. The structure follows PIGEON's two recipes, ``street`` for street-level pictures and ``photo`` for
photos of travelers; the words are ours.

=============  ============================================  ======================  =================
part           words                                         ``street``              ``photo``
=============  ============================================  ======================  =================
location       Street-level picture near T, R, C. /          R 0.6, T 0.4            T, R always
               Picture in R, C.
               left out, where a climate part stands         0.3                     0.2
climate        The climate here is ... / This place has ...  0.4                     0.45
driving side   Traffic keeps to the left.                    0.3, if no climate      0.2, if no climate
compass        The camera looks northeast.                   0.3                     never
month          Taken in July. / Taken in July, in winter.    0.3                     never
=============  ============================================  ======================  =================

The location comes first, the others in random order. Of a place remote from every town (`places.REMOTE_KM`)
no name and no side of the road is said, on the open sea no climate.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from .captioning.climates import PHRASES
from .captioning.facts import Facts, Known
from .captioning.seasons import MONTHS, month_at, season_at
from .errors import InvalidOption

Style = Literal["street", "photo"]

DIRECTIONS = ("north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Probabilities of the parts, each in [0, 1]; a part whose fact is unknown is never said."""

    opening: str
    region: float
    town: float
    location_dropped: float  # where a climate part stands
    climate: float
    side: float  # where no climate part stands
    compass: float
    month: float
    n_directions: Literal[4, 8] = 8


RECIPES: dict[Style, Recipe] = {
    "street": Recipe(
        opening="Street-level picture", region=0.6, town=0.4, location_dropped=0.3, climate=0.4, side=0.3,
        compass=0.3, month=0.3,
    ),
    "photo": Recipe(
        opening="Picture", region=1.0, town=1.0, location_dropped=0.2, climate=0.45, side=0.2, compass=0.0,
        month=0.0,
    ),
}  # fmt: skip


def caption(
    lonlat: ArrayLike,
    *,
    taken_at: date | None = None,
    heading_deg: float | None = None,
    rng: np.random.Generator | None = None,
    sample_id: str | int | None = None,
    style: Style = "street",
) -> str:
    """Say something true about where, and perhaps when and which way, a photo was taken.

    Args:
        lonlat: degrees, longitude first, (2,).
        taken_at: a UTC moment (datetime) or a local date; None if unknown.
        heading_deg: where the camera looks, clockwise from north, any turn; None if unknown.
        rng: the source of chance; or
        sample_id: what the photo is known by: equal ids and facts give equal captions.
        style: ``street`` or ``photo``, see the head of this module.

    Raises:
        InvalidCoordinate: not one point on Earth.
        InvalidOption: an unknown style, a heading that is no number, or not exactly one of `rng` and
            `sample_id`.
    """
    if (rng is None) == (sample_id is None):
        raise InvalidOption("a caption is drawn with rng or with sample_id: give one of the two")
    recipe = recipe_of(style)
    facts = Facts.of(np.asarray(lonlat)[None])
    if len(facts) != 1:
        raise InvalidOption(f"caption takes one place, lonlat of shape (2,); got {len(facts)}: see captions")
    rng = rng if sample_id is None else generator_of(sample_id)
    assert rng is not None
    return compose(facts[0], recipe, rng, taken_at=taken_at, heading_deg=heading_deg)


def captions(
    lonlat: ArrayLike | Facts,
    *,
    sample_ids: Sequence[str | int],
    taken_at: Sequence[date | None] | None = None,
    heading_deg: Sequence[float | None] | None = None,
    style: Style = "street",
    draw: int = 0,
) -> list[str]:
    """Captions of many photos; each is what `caption` says of it, whatever the others are.

    Args:
        lonlat: degrees, (n, 2), or the facts looked up before.
        sample_ids: of the photos, n.
        taken_at: moments, n; None, or None for a photo, if unknown.
        heading_deg: headings, n; likewise.
        style: ``street`` or ``photo``.
        draw: another number gives other captions of the same photos, such as the epoch.

    Raises:
        InvalidCoordinate: a point is not on Earth.
        InvalidOption: as `caption`, or lengths differ.
    """
    recipe = recipe_of(style)
    facts = lonlat if isinstance(lonlat, Facts) else Facts.of(lonlat)
    moments = [None] * len(facts) if taken_at is None else taken_at
    headings = [None] * len(facts) if heading_deg is None else heading_deg
    if not len(facts) == len(sample_ids) == len(moments) == len(headings):
        raise InvalidOption(
            f"captions need one id, moment and heading for each of {len(facts)} places; got "
            f"{len(sample_ids)}, {len(moments)} and {len(headings)}"
        )
    return [
        compose(facts[row], recipe, generator_of(sample_ids[row], draw), taken_at=moment, heading_deg=heading)
        for row, (moment, heading) in enumerate(zip(moments, headings, strict=True))
    ]


def recipe_of(style: str) -> Recipe:
    """The recipe of a style.

    Raises:
        InvalidOption: there is none of that name.
    """
    for known in get_args(Style):
        if style == known:
            return RECIPES[known]
    raise InvalidOption(f"no style {style!r} of captions; there are {', '.join(RECIPES)}")


def generator_of(sample_id: str | int, draw: int = 0) -> np.random.Generator:
    """The source of chance of one photo's caption: of its id and the number of the draw alone."""
    digest = hashlib.sha256(f"{draw}:{sample_id}".encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def compose(
    known: Known,
    recipe: Recipe,
    rng: np.random.Generator,
    *,
    taken_at: date | None = None,
    heading_deg: float | None = None,
) -> str:
    """Draw the parts of one caption and join them; arguments as in `caption`."""
    # All chances are drawn, whatever is known, so that one fact more leaves the other parts alone.
    chance: dict[str, float] = dict(zip(_CHANCES, rng.random(len(_CHANCES)).tolist(), strict=True))
    has_climate = bool(known.climate) and chance["climate"] < recipe.climate
    parts = []
    if has_climate:
        parts.append(climate_part(known.climate, by_name=chance["climate form"] < 0.5))
    elif known.side and chance["side"] < recipe.side:
        parts.append(f"Traffic keeps to the {known.side}.")
    if heading_deg is not None and chance["compass"] < recipe.compass:
        parts.append(f"The camera looks {direction(heading_deg, recipe.n_directions)}.")
    if taken_at is not None and chance["month"] < recipe.month:
        parts.append(_when(known, taken_at, says_season=chance["month form"] < 0.5))
    order = rng.permutation(len(parts))
    parts = [parts[one] for one in order]
    if not (has_climate and chance["dropped"] < recipe.location_dropped):
        says_town, says_region = chance["town"] < recipe.town, chance["region"] < recipe.region
        parts.insert(0, location_part(known, recipe.opening, says_town=says_town, says_region=says_region))
    return " ".join(parts)


def location_part(known: Known, opening: str, *, says_town: bool, says_region: bool) -> str:
    """The first sentence of a caption, as far as town, region and country are known."""
    if not known.country:
        return f"{opening} of a remote place{'' if known.climate else ', out at sea'}."
    town = known.town if says_town else ""
    names = [known.region if says_region and known.region != town else "", known.country]
    said = ", ".join(name for name in names if name)
    return f"{opening} near {town}, {said}." if town else f"{opening} in {said}."


def climate_part(climate: str, *, by_name: bool) -> str:
    """A class of climate as a sentence, by its common name or by its zone."""
    name, zone = PHRASES[climate]
    return f"This place has {name}." if by_name else f"The climate here is {zone}."


def direction(heading_deg: float, n_directions: int = 8) -> str:
    """The nearest of 4 or 8 directions in words.

    Raises:
        InvalidOption: the heading is not finite.
    """
    if not np.isfinite(heading_deg):
        raise InvalidOption(f"heading {heading_deg} is no direction; leave an unknown one None")
    step = 8 // n_directions
    return DIRECTIONS[round(heading_deg % 360.0 * n_directions / 360.0) % n_directions * step]


def _when(known: Known, taken_at: date, *, says_season: bool) -> str:
    month = month_at(taken_at, known.lon)
    season = season_at(month, known.lat, known.climate) if says_season else ""
    return f"Taken in {MONTHS[month - 1]}{f', in {season}' if season else ''}."


_CHANCES: tuple[str, ...] = (
    "climate", "climate form", "side", "compass", "month", "month form", "dropped", "town", "region",
)  # fmt: skip
