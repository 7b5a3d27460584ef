"""What is drawn with which class: rules for OpenStreetMap's tags and for Natural Earth's layers.

A rule asks one key for one of some values; the first rule that fits a feature has it. Rules are
tables to be read and argued with; their keys and values are those of the OpenStreetMap wiki ("Map
features") and of Natural Earth's `featurecla`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .legend import CLASSES, IDS, NODATA

Words = NDArray[np.object_]
TOWN_LEVEL = 8
"""Boundaries of this `admin_level` and lower ones are drawn: municipalities, and all above them."""


@dataclass(frozen=True)
class Rule:
    """Features whose `key` has one of the `values` (any but "no" when empty) are of a class.

    `line_m` and `min_zoom` overrule the legend's for them.
    """

    key: str
    values: frozenset[str]
    name: str
    line_m: float = np.nan
    min_zoom: int | None = None


@dataclass(frozen=True)
class Drawn:
    """How features are drawn, one row each: class, width of lines in meters, coarsest zoom."""

    class_id: NDArray[np.uint8]
    line_m: NDArray[np.float64]
    min_zoom: NDArray[np.uint8]


def _rule(name: str, tag: str, line_m: float = np.nan, min_zoom: int | None = None) -> Rule:
    key, _, values = tag.partition("=")
    # Natural Earth's values have spaces in them, and are divided by bars.
    words = values.split("|") if key in ("featurecla", "type") else values.split()
    return Rule(key, frozenset(words), name, line_m, min_zoom)


OSM_AREAS = (
    _rule("building", "building"),
    _rule("water", "natural=water bay strait"),
    _rule("water", "waterway=riverbank dock canal"),
    _rule("water", "landuse=reservoir basin"),
    _rule("water", "leisure=swimming_pool"),
    _rule("path", "highway=pedestrian footway path"),
    _rule("green", "natural=wood scrub heath grassland wetland fell tree_row"),
    _rule("green", "landuse=forest grass cemetery recreation_ground village_green greenfield flowerbed"),
    _rule("green", "leisure=park garden pitch golf_course playground dog_park track common"),
    _rule("farmland", "landuse=farmland meadow orchard vineyard farmyard allotments plant_nursery"),
    _rule("farmland", "landuse=greenhouse_horticulture"),
    _rule("industrial", "landuse=industrial commercial retail construction quarry landfill port railway"),
    _rule("industrial", "landuse=garages brownfield depot military"),
    _rule("industrial", "aeroway=aerodrome apron runway taxiway terminal helipad"),
    _rule("industrial", "amenity=parking"),
    _rule("residential", "landuse=residential"),
    _rule("boundary", "boundary=administrative"),
)
OSM_LINES = (
    _rule("motorway", "highway=motorway trunk"),
    _rule("motorway", "highway=motorway_link trunk_link", 8.0),
    _rule("road", "highway=primary secondary"),
    _rule("road", "highway=primary_link secondary_link", 7.0),
    _rule("street", "highway=tertiary tertiary_link residential unclassified living_street road pedestrian"),
    _rule("street", "highway=service", 4.0, 13),
    _rule("path", "highway=footway cycleway path steps track bridleway"),
    _rule("rail", "railway=rail light_rail subway tram narrow_gauge funicular monorail preserved"),
    _rule("industrial", "aeroway=runway", 45.0),
    _rule("industrial", "aeroway=taxiway", 20.0),
    _rule("water", "waterway=river"),
    _rule("water", "waterway=canal", 12.0),
    _rule("water", "waterway=stream ditch drain brook", 3.0, 13),
    _rule("sea", "natural=coastline"),
    _rule("boundary", "boundary=administrative"),
)
OSM_POINTS = (
    _rule("place", "place=city town village hamlet suburb neighbourhood quarter isolated_dwelling"),
    _rule("place", "railway=station halt tram_stop", min_zoom=14),
    _rule("place", "shop", min_zoom=15),
    _rule("place", "tourism=hotel hostel guest_house museum attraction gallery zoo", min_zoom=15),
    _rule("place", "office", min_zoom=15),
    _rule("place", "amenity=restaurant cafe fast_food bar pub bank pharmacy clinic doctors", min_zoom=15),
    _rule("place", "amenity=school kindergarten university college library hospital townhall", min_zoom=15),
    _rule(
        "place", "amenity=theatre cinema place_of_worship fuel police post_office marketplace", min_zoom=15
    ),
)
OSM_KEYS = frozenset(rule.key for rule in (*OSM_AREAS, *OSM_LINES, *OSM_POINTS))

NATURAL_EARTH = (
    _rule("land", "featurecla=land|glaciated areas|island|minor island|antarctic ice shelves"),
    _rule("water", "featurecla=lake|reservoir|alkaline lake|river|lake centerline|canal|playa"),
    _rule("residential", "featurecla=urban area"),
    _rule("rail", "featurecla=railroad"),
    _rule("motorway", "type=major highway|beltway|bypass"),
    _rule("road", "type=secondary highway"),
    _rule("street", "type=road|unknown", min_zoom=9),
    _rule("boundary", "featurecla=admin-0 country|admin-1 scale rank|admin-1 boundary|admin-0 boundary"),
    _rule("boundary", "featurecla=international boundary (verify)|line of control (please verify)"),
    _rule("boundary", "featurecla=disputed (please verify)|indefinite (please verify)"),
    _rule("place", "featurecla=populated place|admin-0 capital|admin-1 capital|admin-1 region capital"),
    _rule("place", "featurecla=admin-0 region capital|admin-0 capital alt"),
)


def classify(rules: Iterable[Rule], tags: Mapping[str, Words], n: int) -> Drawn:
    """Give each feature the class of the first rule that fits it; `NODATA` where none does.

    Args:
        rules: in the order of their right.
        tags: the features' values by key, each (n,); None or "" where a feature has no such key.
        n: how many features.
    """
    class_id = np.full(n, NODATA, np.uint8)
    line_m, min_zoom = np.full(n, np.nan), np.zeros(n, np.uint8)
    for rule in rules:
        if rule.key not in tags:
            continue
        fits = _fits(tags[rule.key], rule.values) & (class_id == NODATA)
        class_id[fits] = IDS[rule.name]
        line_m[fits] = rule.line_m
        legend = CLASSES[IDS[rule.name]].min_zoom
        min_zoom[fits] = legend if rule.min_zoom is None else rule.min_zoom
    return Drawn(class_id, line_m, min_zoom)


def as_class(name_id: int, n: int) -> Drawn:
    """All features as one class."""
    return Drawn(
        np.full(n, name_id, np.uint8), np.full(n, np.nan), np.full(n, CLASSES[name_id].min_zoom, np.uint8)
    )


def is_drawn_on_the_ground(tags: Mapping[str, Words], n: int) -> NDArray[np.bool_]:
    """False for tunnels, and for boundaries below those of towns, (n,)."""
    shown = np.ones(n, bool)
    if "tunnel" in tags:
        shown &= ~_fits(tags["tunnel"], frozenset()) | _fits(tags["tunnel"], frozenset(["building_passage"]))
    if "boundary" in tags and "admin_level" in tags:
        higher = frozenset(str(level) for level in range(1, TOWN_LEVEL + 1))
        is_boundary = _fits(tags["boundary"], frozenset(["administrative"]))
        shown &= ~is_boundary | _fits(tags["admin_level"], higher)
    return shown


def _fits(values: Words, wanted: frozenset[str]) -> NDArray[np.bool_]:
    if wanted:
        return np.fromiter((value in wanted for value in values), bool, len(values))
    return np.fromiter((isinstance(v, str) and v not in ("", "no") for v in values), bool, len(values))
