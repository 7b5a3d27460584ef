"""Layers of a map: files of points, lines and polygons, each part with its class.

Read are GeoJSON (also .gz), GeoParquet, GeoPackage, Shapefile, OpenStreetMap's .osm.pbf, whatever else
GDAL reads, and tables of places (.csv, .csv.gz). What a file shows is found by its columns: tags of
OpenStreetMap, Natural Earth's `featurecla`, codes of the Japanese N03 boundaries, populations. A file
that tells nothing of the kind needs to be told: ``roads.gpkg:street``.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..areas import Box
from ..errors import InvalidCoordinate, UnreadableSource
from .geometry import LINE, POINT, POLYGON, RING, Geometries, bounds_of, parts_of
from .legend import CLASSES, IDS, NODATA, class_id
from .rules import (
    NATURAL_EARTH,
    OSM_AREAS,
    OSM_KEYS,
    OSM_LINES,
    OSM_POINTS,
    Drawn,
    Words,
    as_class,
    classify,
    is_drawn_on_the_ground,
)
from .vector_files import header_box, layer_names, read_frame, read_places, tags_of

Bounds = tuple[float, float, float, float]
POPULATION = ("population", "pop_max", "pop")
OSM_CREDIT = "© OpenStreetMap contributors, ODbL"
RIM_DEG = 0.2  # lines and discs are wider than their geometry: what lies just outside still shows
OSM_LAYERS = ("points", "lines", "multilinestrings", "multipolygons")
MIN_ZOOM = np.array([one.min_zoom for one in CLASSES], np.uint8)
OSM_RULES = {POINT: OSM_POINTS, LINE: OSM_LINES, RING: OSM_LINES, POLYGON: OSM_AREAS}


@dataclass(frozen=True)
class Layer:
    """Parts to draw, row by row.

    Attributes:
        name: of the file.
        geometry: points, lines and valid polygons in lon, lat degrees, (n,). A line of class sea is
            a coastline: land on its left, sea on its right.
        class_id: of the legend, (n,) uint8.
        line_m: ground width of lines, meters, NaN where the legend says it, (n,).
        min_zoom: coarsest zoom at which the part is drawn, (n,) uint8.
        population: of places, NaN where unknown, (n,).
        coverage: the box the source knows about: west, south, east (may pass 180), north.
        credit: whom to name beside a picture; "" where nobody is known.
    """

    name: str
    geometry: Geometries
    class_id: NDArray[np.uint8]
    line_m: NDArray[np.float64]
    min_zoom: NDArray[np.uint8]
    population: NDArray[np.float64]
    coverage: Bounds
    credit: str = field(default="")

    def __len__(self) -> int:
        return len(self.geometry)


def read_layer(path: str | Path, name: str | None = None, *, box: Box | None = None) -> Layer:
    """Read a file as a layer.

    Args:
        path: a vector file in any coordinate system, or a table of places with lon and lat.
        name: draw everything as this class of the legend, instead of what the columns say.
        box: leave out what lies elsewhere.

    Raises:
        UnreadableSource: no such file, no vector file, or it does not tell what it shows.
        InvalidOption: no class of that name.
        InvalidCoordinate: a vertex lies nowhere on Earth.
    """
    path = Path(path)
    drawn_as = None if name is None else class_id(name)
    if not path.is_file():
        raise UnreadableSource(f"{path}: no such file")
    suffixes = "".join(path.suffixes).lower()
    if suffixes.endswith((".osm.pbf", ".osm", ".pbf")):
        frames = [read_frame(path, layer) for layer in OSM_LAYERS]
        tables = [(frame, tags_of(frame, from_osm=True)) for frame in frames]
        coverage = header_box(path)
    elif suffixes.endswith((".csv", ".csv.gz")):
        frame = read_places(path)
        tables, coverage = [(frame, tags_of(frame))], None
    else:
        frames = [read_frame(path, layer) for layer in layer_names(path)]
        tables, coverage = [(frame, tags_of(frame)) for frame in frames], None
    layers = [_layer_of(path, frame, tags, drawn_as, coverage) for frame, tags in tables if len(frame)]
    return _limited(_joined(path, layers), box)


def layer_of(
    geometry: Geometries,
    name: str | NDArray[np.uint8],
    *,
    title: str = "drawn",
    population: NDArray[np.float64] | None = None,
    credit: str = "",
) -> Layer:
    """A layer of geometries in lon, lat degrees, (n,), all of one class or of the class ids given, (n,)."""
    geometry = np.asarray(geometry, dtype=object)
    parts, rows = parts_of(geometry)
    if isinstance(name, str):
        drawn = as_class(class_id(name), len(parts))
    else:
        ids = np.asarray(name, np.uint8)[rows]
        drawn = Drawn(ids, np.full(len(ids), np.nan), MIN_ZOOM[ids])
    people = np.full(len(parts), np.nan) if population is None else population[rows]
    return Layer(title, parts, drawn.class_id, drawn.line_m, drawn.min_zoom, people, bounds_of(parts), credit)


def _layer_of(
    path: Path, frame: Any, tags: dict[str, Any], drawn_as: int | None, coverage: Bounds | None
) -> Layer | None:
    """One table as a layer; None when nothing in it is drawn."""
    frame = frame.to_crs(4326) if frame.crs is not None else frame.set_crs(4326)
    try:
        parts, rows = parts_of(np.asarray(frame.geometry.values, dtype=object))
    except InvalidCoordinate as error:
        raise InvalidCoordinate(f"{path}: {error}") from None
    if not len(parts):
        return None
    told = {key: values[rows] for key, values in tags.items()}
    drawn, credit = _drawn(parts, told, drawn_as)
    people = np.full(len(parts), np.nan)
    for column in POPULATION:
        if column in told:
            people = _numbers(told[column])
            break
    shown = drawn.class_id != NODATA
    box = coverage or bounds_of(parts)
    return Layer(
        path.name, parts[shown], drawn.class_id[shown], drawn.line_m[shown], drawn.min_zoom[shown],
        people[shown], box, credit,
    )  # fmt: skip


def _drawn(parts: Geometries, tags: dict[str, Any], drawn_as: int | None) -> tuple[Drawn, str]:
    """What the columns say that parts are, and whom they say to credit."""
    n, kind = len(parts), shapely.get_type_id(parts)
    japanese = any(key.startswith("n03_") for key in tags)
    if "featurecla" in tags:
        tags = {
            **tags,
            "featurecla": _lower(tags["featurecla"]),
            "type": _lower(tags.get("type", np.full(n, "", object))),
        }
        drawn, credit = classify(NATURAL_EARTH, tags, n), "Made with Natural Earth"
    elif OSM_KEYS & tags.keys():
        drawn, credit = _by_kind(kind, tags, n), OSM_CREDIT
    elif japanese:
        drawn, credit = as_class(IDS["boundary"], n), "国土数値情報（行政区域データ）（国土交通省）"
    elif (kind == POINT).all() and set(POPULATION) & tags.keys():
        drawn, credit = as_class(IDS["place"], n), ""
    else:
        drawn, credit = as_class(NODATA, n), OSM_CREDIT if "osm_id" in tags else ""
    return (drawn if drawn_as is None else as_class(drawn_as, n)), credit


def _by_kind(kind: NDArray[np.int32], tags: dict[str, Any], n: int) -> Drawn:
    found = as_class(NODATA, n)
    shown = is_drawn_on_the_ground(tags, n)
    for one in np.unique(kind):
        rows = np.flatnonzero((kind == one) & shown)
        part = classify(OSM_RULES[int(one)], {key: words[rows] for key, words in tags.items()}, len(rows))
        found.class_id[rows], found.line_m[rows], found.min_zoom[rows] = (
            part.class_id, part.line_m, part.min_zoom,
        )  # fmt: skip
    return found


def _joined(path: Path, layers: list[Layer | None]) -> Layer:
    some = [layer for layer in layers if layer is not None]
    if not sum(len(layer) for layer in some):
        raise UnreadableSource(
            f"{path}: nothing in it tells what it shows. Say it behind a colon, as {path.name}:CLASS, "
            f"where CLASS is one of {', '.join(name for name in IDS if name != 'nodata')}"
        )
    if len(some) == 1:
        return some[0]
    box = bounds_of(np.array([shapely.box(*layer.coverage) for layer in some], dtype=object))
    columns = ("geometry", "class_id", "line_m", "min_zoom", "population")
    joined = {name: np.concatenate([getattr(layer, name) for layer in some]) for name in columns}
    return Layer(path.name, **joined, coverage=box, credit=some[0].credit)


def _limited(layer: Layer, box: Box | None) -> Layer:
    if box is None:
        return layer
    west, south, east, north = shapely.bounds(layer.geometry).T
    near = np.zeros(len(layer), bool)
    for left, right in box.spans:
        for turn in (-360.0, 0.0, 360.0):
            near |= (west + turn <= right + RIM_DEG) & (east + turn >= left - RIM_DEG)
    near &= (south <= box.north + RIM_DEG) & (north >= box.south - RIM_DEG)
    columns = ("geometry", "class_id", "line_m", "min_zoom", "population")
    kept = {name: getattr(layer, name)[near] for name in columns}
    return Layer(layer.name, **kept, coverage=layer.coverage, credit=layer.credit)


def _lower(words: Words) -> Words:
    return np.array([str(word).lower() for word in words], dtype=object)


def _numbers(words: Words) -> NDArray[np.float64]:
    """What is written as a number, and NaN for all else: people write "1,200" and "unknown" too."""
    found = np.full(len(words), np.nan)
    for row, word in enumerate(words):
        try:
            found[row] = float(str(word).replace(",", ""))
        except ValueError:
            continue
    return found
