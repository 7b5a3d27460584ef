"""The legend of a map mosaic: which class each byte stands for, and in what order classes are drawn.

**The id is the drawing order**: where two classes meet on a pixel, the larger id shows (but there is no
land use, 3 to 6, at sea). So a mosaic is the same whatever order the files came in and however the work
was cut into windows. Water runs over fields, streets over water (bridges), motorways over streets.

One legend serves street maps (OpenStreetMap) and regional ones (Natural Earth, administrative
boundaries, GeoNames places), so that one encoder can read both. Ids fit in four bits.

`LEGEND_VERSION` is stored in each mosaic and checked when it is opened. It must grow whenever the
meaning of an id changes: an encoder trained on one legend reads nonsense in another.
"""

from dataclasses import dataclass

from ..errors import InvalidOption

LEGEND_VERSION = 1
N_CLASSES = 16
"""Number of class ids, `NODATA` included; every id is smaller."""
NODATA = 0
"""Outside of what the sources cover. It is not sea, and not land either: nothing is known."""


@dataclass(frozen=True)
class MapClass:
    """One class of the legend.

    Attributes:
        id: the byte in the mosaic, and the place in the drawing order.
        name: one word, as in ``roads.gpkg:street``.
        meaning: what is drawn with it.
        line_m: ground width of its lines, meters, where a rule says nothing else.
        line_px: its lines are at least so wide. From 1 on a line has no gaps.
        min_zoom: left out of coarser levels.
    """

    id: int
    name: str
    meaning: str
    line_m: float = 0.0
    line_px: float = 1.0
    min_zoom: int = 0


CLASSES = (
    MapClass(0, "nodata", "not covered by the sources"),
    MapClass(1, "sea", "the sea: right of a coastline, or around the land"),
    MapClass(2, "land", "land of no other class: rock, sand, ice, and where nothing was mapped"),
    MapClass(3, "farmland", "fields, meadows, orchards, vineyards, allotments"),
    MapClass(4, "residential", "where people live; urban areas on regional maps"),
    MapClass(5, "industrial", "industry, commerce, retail, ports, airports, quarries, car parks"),
    MapClass(6, "green", "forest, scrub, grass, parks, pitches, cemeteries"),
    MapClass(7, "water", "lakes, rivers, canals, streams, pools", line_m=20.0),
    MapClass(8, "building", "footprints of buildings", min_zoom=13),
    MapClass(9, "boundary", "administrative boundaries", line_m=6.0),
    MapClass(10, "path", "footways, cycleways, steps, tracks", line_m=2.5, min_zoom=14),
    MapClass(11, "rail", "railways, trams, funiculars", line_m=5.0),
    MapClass(12, "street", "residential streets, service roads, tertiary roads", line_m=7.0, min_zoom=11),
    MapClass(13, "road", "primary and secondary roads", line_m=11.0, line_px=1.5),
    MapClass(14, "motorway", "motorways, trunk roads, highways", line_m=16.0, line_px=2.0),
    MapClass(15, "place", "a point with a name: settlements by population, shops, stops", line_m=6.0),
)
IDS = {one.name: one.id for one in CLASSES}
"""Class ids by name."""


def class_id(name: str) -> int:
    """The id of a class.

    Raises:
        InvalidOption: no class has that name.
    """
    if name not in IDS:
        raise InvalidOption(f"no map class {name!r}; there are {', '.join(IDS)}")
    return IDS[name]
