"""Areas of the Earth that a search can be limited to: circle, box and polygon.

Each area answers three questions: which points it `contains`, its `area_km2`, and what it looks
like on a map, `to_geojson`: an RFC 7946 geometry, lon, lat degrees, cut at the antimeridian.

- Edges belong to the area. At lon ±180 both names of the meridian, at a pole all its longitudes,
  mean the same place.
- The edges of boxes and polygons are straight in lon, lat, as GeoJSON says, not great circles.
- An edge of a polygon goes the short way round: 179 to -179 crosses the antimeridian. For an edge
  of more than 180 degrees take a `Box`, or add a vertex; exactly 360 is the full width.
- The winding of rings is ignored, because files disagree about it: a ring that goes around a pole
  holds the smaller side.

The cut is our own: unwrap the longitudes, repair the polygon in the plane, clip it to each turn of
the globe. The package `antimeridian` (0.4.9) cuts first: of simple rings with vertices on ±180 it got
1 in 100 wrong, by up to half the map, and 1 in 4 of rings that cross themselves.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import translate

from .errors import InvalidCoordinate, PlaceprintError
from .sphere import EARTH_RADIUS_KM, as_lonlat, cap_area_km2, cap_outline, great_circle_km, sine_integral

GeoJson: TypeAlias = dict[str, Any]
_Floats = NDArray[np.float64]
_Bools = NDArray[np.bool_]
_WORLD = shapely.box(-180.0, -90.0, 180.0, 90.0)
_MEMBERS = {
    "FeatureCollection": "features",
    "GeometryCollection": "geometries",
    "MultiPolygon": "coordinates",
}


@dataclass(frozen=True)
class Circle:
    """All places within `radius_km` of a center, along great circles."""

    lon: float
    lat: float
    radius_km: float

    def __post_init__(self) -> None:
        center = as_lonlat([self.lon, self.lat])
        if not (np.isfinite(self.radius_km) and self.radius_km > 0.0):
            raise InvalidCoordinate(f"a circle's radius must be positive kilometers, got {self.radius_km}")
        object.__setattr__(self, "lon", float(center[0]))
        object.__setattr__(self, "lat", float(center[1]))

    def contains(self, lonlat: _Floats) -> _Bools:
        """Whether each point lies in the area: (..., 2) degrees -> (...) bool."""
        return great_circle_km(np.array([self.lon, self.lat]), lonlat) <= self.radius_km

    @property
    def area_km2(self) -> float:
        """Area on the sphere, km²."""
        return float(cap_area_km2(self.radius_km))

    def to_geojson(self) -> GeoJson:
        """A polygon with its vertices on the circle, cut at the antimeridian."""
        left_out_km = np.pi * EARTH_RADIUS_KM - self.radius_km
        if left_out_km <= 0.0:
            return _geometry(_WORLD)
        if self.radius_km <= left_out_km:
            center = np.array([self.lon, self.lat])
            return _geometry(_cut(shapely.Polygon(cap_outline(center, self.radius_km))))
        antipode = np.array([self.lon + 180.0, -self.lat])
        return _geometry(_WORLD.difference(_cut(shapely.Polygon(cap_outline(antipode, left_out_km)))))


@dataclass(frozen=True)
class Box:
    """All places from `west` eastward to `east`, and from `south` up to `north`, degrees.

    The box crosses the antimeridian when west > east. A width of 360 degrees is the full circle.
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        (west, _), (east, _) = as_lonlat([[self.west, self.south], [self.east, self.north]])
        if not self.south < self.north:
            raise InvalidCoordinate(f"a box needs south < north, got {self.south} and {self.north}")
        if self.east - self.west >= 360.0:
            west, east = -180.0, 180.0
        elif west == east:
            raise InvalidCoordinate(f"the box has no width: west {self.west}, east {self.east}")
        object.__setattr__(self, "west", float(west))
        object.__setattr__(self, "east", 180.0 if east == -180.0 else float(east))

    @property
    def spans(self) -> tuple[tuple[float, float], ...]:
        """The longitudes from west to east, cut at the antimeridian into one or two intervals."""
        if self.west < self.east:
            return ((self.west, self.east),)
        return (self.west, 180.0), (-180.0, self.east)

    def contains(self, lonlat: _Floats) -> _Bools:
        """Whether each point lies in the area: (..., 2) degrees -> (...) bool."""
        lon, lat = lonlat[..., 0], lonlat[..., 1]
        in_lon = np.abs(lat) == 90.0
        for west, east in self.spans:
            in_lon = in_lon | (lon >= west) & (lon <= east)
            if west == -180.0 or east == 180.0:
                in_lon = in_lon | (np.abs(lon) == 180.0)
        inside: _Bools = in_lon & (lat >= self.south) & (lat <= self.north)
        return inside

    @property
    def area_km2(self) -> float:
        """Area on the sphere, km²."""
        width_deg = sum(east - west for west, east in self.spans)
        middle, half = (self.north + self.south) / 2.0, (self.north - self.south) / 2.0
        # 2 cos(middle) sin(half) is sin(north) - sin(south), also where the two are close.
        sines = 2.0 * np.cos(np.deg2rad(middle)) * np.sin(np.deg2rad(half))
        return float(EARTH_RADIUS_KM**2 * np.deg2rad(width_deg) * sines)

    def to_geojson(self) -> GeoJson:
        """A rectangle, or the two on either side of the antimeridian."""
        rectangles = [shapely.box(west, self.south, east, self.north) for west, east in self.spans]
        return _geometry(shapely.MultiPolygon(rectangles))


@dataclass(frozen=True)
class Polygon:
    """Polygons with their holes, made by `from_geojson` or `load_area`.

    The `pieces` are disjoint, valid, and each within lon [-180, 180].
    """

    pieces: tuple[shapely.Polygon, ...]

    @classmethod
    def from_geojson(cls, obj: GeoJson) -> "Polygon":
        """Read a parsed GeoJSON object: polygons, however wrapped in features and collections.

        Self-crossing rings are repaired (a bow-tie becomes its two lobes), overlapping polygons
        are united, altitudes are dropped.

        Raises:
            InvalidCoordinate: if it is no GeoJSON, has a coordinate reference system other than
                WGS84, coordinates that are nowhere on Earth, or encloses no area.
        """
        regions = [_region_of_rings(rings) for rings in _polygons_in(obj)]
        pieces = _polygonal_parts(shapely.union_all(regions) if len(regions) > 1 else regions)
        if not pieces:
            raise InvalidCoordinate("there is no polygon with an area in this GeoJSON")
        return cls(pieces)

    @cached_property
    def _whole(self) -> shapely.MultiPolygon:
        whole = shapely.MultiPolygon(self.pieces)
        shapely.prepare(whole)  # makes containment of many points fast
        return whole

    def contains(self, lonlat: _Floats) -> _Bools:
        """Whether each point lies in the area: (..., 2) degrees -> (...) bool."""
        lon, lat = lonlat[..., 0], lonlat[..., 1]
        inside: _Bools = shapely.intersects_xy(self._whole, lon, lat)
        on_antimeridian = np.abs(lon) == 180.0
        if on_antimeridian.any():
            inside = inside | (on_antimeridian & shapely.intersects_xy(self._whole, -lon, lat))
        _, south, _, north = self._whole.bounds
        at_pole: _Bools = (np.abs(lat) == 90.0) & (lat >= south) & (lat <= north)
        return inside | at_pole

    @property
    def area_km2(self) -> float:
        """Area on the sphere between edges that are straight in lon, lat, km²."""
        # Holes run the other way round than outlines, so that their areas are subtracted.
        rings = [ring for piece in self.pieces for ring in (piece.exterior, *piece.interiors)]
        return -(EARTH_RADIUS_KM**2) * sum(sine_integral(shapely.get_coordinates(ring)) for ring in rings)

    def to_geojson(self) -> GeoJson:
        """The pieces, exterior rings counterclockwise."""
        return _geometry(self._whole)


Area: TypeAlias = Circle | Box | Polygon


def load_area(path: str | Path) -> Polygon:
    """Read the polygons of a .geojson file.

    Raises:
        PlaceprintError: if the file is missing, cannot be read, or is not JSON.
        InvalidCoordinate: as in `Polygon.from_geojson`; the message begins with the path.
    """
    try:
        obj = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PlaceprintError(f"cannot read the area file {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PlaceprintError(f"the area file {path} is not JSON: {error}") from error
    try:
        return Polygon.from_geojson(obj)
    except InvalidCoordinate as error:
        raise InvalidCoordinate(f"{path}: {error}") from error


def _polygons_in(obj: Any) -> Iterator[Any]:
    """The coordinates (rings) of every polygon in a GeoJSON object, however it is wrapped."""
    waiting = [obj]
    while waiting:
        item = waiting.pop()
        if not isinstance(item, dict):
            raise InvalidCoordinate(f"not a GeoJSON object: {str(item)[:60]!r}")
        _refuse_other_crs(item.get("crs"))
        kind = str(item.get("type"))
        members = item.get(_MEMBERS.get(kind, ""))
        if kind == "Polygon":
            yield item.get("coordinates")
        elif kind == "Feature":
            waiting += [item["geometry"]] if item.get("geometry") is not None else []
        elif kind not in _MEMBERS:
            raise InvalidCoordinate(f"an area is made of polygons; got the GeoJSON type {kind}")
        elif not isinstance(members, list | tuple):
            raise InvalidCoordinate(f"the GeoJSON {kind} has no list of {_MEMBERS[kind]}")
        elif kind == "MultiPolygon":
            yield from members
        else:
            waiting += members


def _refuse_other_crs(crs: Any) -> None:
    """GeoJSON of 2008 could name a reference system; RFC 7946 knows only WGS84, lon, lat."""
    if crs is not None and not re.search(r"(CRS84h?|EPSG:[:/0-9.]*4326|EPSG/0/4326)\W*$", json.dumps(crs)):
        raise InvalidCoordinate(f"the area's reference system is {crs}; convert it to WGS84 (EPSG:4326)")


def _region_of_rings(rings: Any) -> shapely.Geometry:
    """A polygon's rings, the first its outline and the others holes, as a geometry in [-180, 180]."""
    if not isinstance(rings, list | tuple) or not rings:
        raise InvalidCoordinate("a GeoJSON polygon without a list of rings")
    shell, *holes = [_region_of_ring(_checked_ring(ring)) for ring in rings]
    return shell.difference(shapely.union_all(holes)) if holes else shell


def _checked_ring(ring: Any) -> _Floats:
    """A ring as given, (n, 2), closed, after the check that it lies on Earth."""
    try:
        lonlat = np.array(ring, dtype=np.float64)[:, :2]  # a third number would be an altitude
    except (TypeError, ValueError, IndexError) as error:
        raise InvalidCoordinate(f"a polygon's ring must be a list of [lon, lat]: {error}") from error
    if lonlat.ndim != 2:
        raise InvalidCoordinate("a polygon's ring must be a list of [lon, lat]; this one holds lists of them")
    as_lonlat(lonlat)
    if len(lonlat) < 3:
        raise InvalidCoordinate(f"a polygon's ring needs 3 positions and the first again; got {len(lonlat)}")
    return lonlat if np.array_equal(lonlat[0], lonlat[-1]) else np.vstack([lonlat, lonlat[:1]])


def _region_of_ring(ring: _Floats) -> shapely.MultiPolygon:
    """What a closed ring (n, 2) encloses, valid and cut at the antimeridian."""
    lon, lat = ring.T
    level = np.diff(lat) == 0.0
    turns = np.round(np.diff(lon) / 360.0)
    full_width = level & (np.abs(np.diff(lon)) == 360.0)
    if turns[~full_width].sum() == 0.0:  # else two names of one vertex on the antimeridian
        turns[full_width] = 0.0
    winding = turns.sum()  # not 0 when a pole is inside
    along_pole = np.flatnonzero(level & (np.abs(lat[1:]) == 90.0))
    if winding and along_pole.size:
        turns[along_pole[0]] -= winding  # an edge along a pole has no length, so no short way
    unwrapped = np.column_stack([lon - 360.0 * np.concatenate([[0.0], np.cumsum(turns)]), lat])
    if winding and not along_pole.size:  # lead the ring back along the pole of its smaller side
        start, end = unwrapped[[0, -1], 0]
        pole = np.copysign(90.0, sine_integral(unwrapped) / (end - start))
        unwrapped = np.vstack([unwrapped, [end, pole], [start, pole]])
    return _cut(shapely.make_valid(shapely.Polygon(unwrapped)))


def _cut(region: shapely.Geometry) -> shapely.MultiPolygon:
    """Clip a valid geometry of any longitudes to each turn of the globe, and unite the clips."""
    west, _, east, _ = region.bounds
    turns = np.arange(np.floor((west + 180.0) / 360.0), np.ceil((east - 180.0) / 360.0) + 1.0)
    region = shapely.MultiPolygon(_polygonal_parts(region))
    if turns.any():
        clips = [translate(region, xoff=-360.0 * turn) & _WORLD for turn in turns]
        region = shapely.MultiPolygon(_polygonal_parts(shapely.union_all(clips)))
    return region


def _polygonal_parts(regions: Any) -> tuple[shapely.Polygon, ...]:
    """All polygons in geometries and collections, without the lines and points of a repair."""
    parts = shapely.get_parts(shapely.get_parts(regions))
    return tuple(shapely.geometry.polygon.orient(part) for part in parts if part.area > 0.0)


def _geometry(region: shapely.Geometry) -> GeoJson:
    """RFC 7946 geometry, exterior rings counterclockwise."""
    # Long edges are divided, so that no reader takes one for the short way round.
    parts = _polygonal_parts(shapely.segmentize(region, 120.0))
    geometry: GeoJson = shapely.geometry.mapping(parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts))
    return geometry
