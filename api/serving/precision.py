"""How precisely the service tells places: the operator's cap, applied to everything that goes out.

| cap | a photo's location | a neighbor in a search | conditions of a search |
|---|---|---|---|
| country | shares of countries | no place, no payload | year, month |
| region | and of states; certainty from 200 km | no place, no payload | year, month |
| 25km | and points, regions; certainty from 25 km | place, no payload | place; year, month |
| exact | everything | place and payload | all |

Under ``25km`` every place is the center of an H3 cell of resolution 4, which lies up to 30 km away.
Places are made coarse **before** anything is computed from them. To round only the answer would not
do: many answers average to the exact place, and a circle that is moved until a photo drops out of
it finds that photo to the meter. For the same reason searches by place are refused below ``25km``,
and those by payload below ``exact``: a payload may say where a photo was taken, and a condition on
it asks for that word by word.

What may be shown is listed here field by field, so that a new field stays inside until it is added.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import h3
import numpy as np
from numpy.typing import NDArray

from ...encoders.areas import Area, Box, Circle, Polygon
from ...encoders.sphere import great_circle_km
from ...indexer.filters import Filter
from ...indexer.photos import Photo
from .refusals import TooPrecise

Precision: TypeAlias = Literal["country", "region", "25km", "exact"]

MARGIN_KM = 35.0
"""More than any place lies from the center of its cell: 28.4 km at most, of 200,000 random ones."""

_RESOLUTION = 4
_CERTAINTY = ("information_bits", "prior_share", "abstain", "abstain_reason", "is_calibrated")
_SHARES = {"country": ("countries",), "region": ("countries", "states"), "25km": ("countries", "states")}
_POINTS = ("mode", "geoscore_point", "median_point")
_SMALLEST_RADIUS_KM = {"country": np.inf, "region": 200.0, "25km": 25.0}
_COARSE_CONDITIONS = {"year", "month"}  # as much as `captured_at` tells anyway


def coarse_lonlat(lonlat: NDArray[np.float64], precision: Precision) -> NDArray[np.float64]:
    """Places of photos as the geolocation may see them: (n, 2) degrees -> (n, 2).

    Under ``country`` and ``region`` they stay as they are: only shares of areas are told of them.
    """
    if precision != "25km":
        return lonlat
    return np.array([_cell_center(lon, lat) for lon, lat in lonlat.tolist()]).reshape(-1, 2)


def coarse_location(location: Mapping[str, Any], precision: Precision) -> dict[str, Any]:
    """The part of a `Location.to_dict` that may be shown.

    Args:
        location: under ``25km``, computed from places that went through `coarse_lonlat`.
        precision: the cap.
    """
    if precision == "exact":
        return dict(location)
    shown = {name: location[name] for name in _CERTAINTY}
    for name in _SHARES[precision]:
        shown[name] = [
            {key: share[key] for key in ("name", "code", "probability")} for share in location[name]
        ]
    smallest = _SMALLEST_RADIUS_KM[precision]
    if within := {km: p for km, p in location["p_within_km"].items() if float(km) >= smallest}:
        shown["p_within_km"] = within
    if precision == "25km":
        shown |= _coarse_point(location)
        shown |= {name: _coarse_point(location[name]) for name in _POINTS}
        shown["regions"] = [_coarse_region(region) for region in location["regions"]]
    return shown


def coarse_photo(photo: Photo, precision: Precision) -> dict[str, Any]:
    """A photo, as it may be shown. Where its file lies is never told."""
    shown: dict[str, Any] = {
        "id": photo.id,
        "captured_at": photo.captured_at.isoformat() if photo.captured_at else None,
        "lon": None,
        "lat": None,
    }
    if precision in ("25km", "exact"):
        shown |= {"lon": photo.lon, "lat": photo.lat}
    if precision == "25km" and photo.is_placed:
        shown |= _coarse_point(shown)
    if precision == "exact":
        file_name = photo.image.replace("\\", "/").rsplit("/", 1)[-1]
        shown["payload"] = {key: value for key, value in photo.payload.items() if file_name not in str(value)}
        shown["group"] = None if file_name in str(photo.group) else photo.group
    return shown


def tells_groups(precision: Precision) -> bool:
    """Whether a photo may stand for its group, as the most similar frame of a walk does.

    A group may be named after a street, and which photos vanish behind which would tell it: also to one
    who adds a photo to a group whose name he guesses. So it may where groups are told.
    """
    return precision == "exact"


def coarse_distance_km(photo: Photo, lon: float, lat: float) -> float:
    """From a place to the center of the cell in which a photo was taken; infinite where it has no place."""
    if photo.lon is None or photo.lat is None:
        return float("inf")
    center = np.array(_cell_center(photo.lon, photo.lat))
    return float(great_circle_km(np.array([lon, lat]), center))


def check_filter(filter: Filter, precision: Precision) -> None:
    """See that the conditions of a search tell no more than its answer may.

    Raises:
        TooPrecise: they do.
    """
    if filter.within is not None or filter.exclude_within is not None:
        check_place("an area", precision)
        if precision == "25km" and filter.exclude_within is not None:
            raise TooPrecise(
                "exclude_within: places are told to 25 km here, and to leave an area out would tell them to "
                "the meter. The operator may allow it with PLACEPRINT_PRECISION=exact"
            )
    if precision != "exact" and (refused := sorted(filter.where.keys() - _COARSE_CONDITIONS)):
        raise TooPrecise(
            f"where {', '.join(refused)}: conditions other than on year and month could tell where a photo "
            "was taken. The operator may allow them with PLACEPRINT_PRECISION=exact"
        )


def check_place(what: str, precision: Precision) -> None:
    """See that photos may be asked for by place.

    Raises:
        TooPrecise: they may not.
    """
    if precision in ("country", "region"):
        raise TooPrecise(
            f"places are told to the {precision} here, and a search by {what} would tell them to the "
            "meter. The operator may allow it with PLACEPRINT_PRECISION=25km or exact"
        )


def check_exact(what: str, precision: Precision) -> None:
    """See that places are told exactly.

    Raises:
        TooPrecise: they are not.
    """
    if precision != "exact":
        raise TooPrecise(
            f"places are told to the {precision} here, and a search by {what} would tell them to the meter. "
            "The operator may allow it with PLACEPRINT_PRECISION=exact"
        )


_LEAST_RADIUS_KM = {"country": 200.0, "region": 75.0, "25km": 25.0, "exact": 0.0}


def check_regions(name: str, radius_km: float, precision: Precision) -> None:
    """See that the regions of a classifier are no finer than places may be told.

    Args:
        name: of the classifier.
        radius_km: median over its regions of how far half of a region's photos lie from their middle.
        precision: the cap.

    Raises:
        TooPrecise: they are.
    """
    if radius_km < _LEAST_RADIUS_KM[precision]:
        raise TooPrecise(
            f"places are told to the {precision} here, and the regions of {name} are finer: half of one's "
            f"photos lie within {radius_km:.0f} km. The operator may allow it with PLACEPRINT_PRECISION=exact"
        )


def is_coarsely_within(photo: Photo, area: Area) -> bool:
    """Whether the center of a photo's cell lies in an area. Ask among all within `widened(area)`."""
    if photo.lon is None or photo.lat is None:
        return False
    return bool(area.contains(np.array(_cell_center(photo.lon, photo.lat))))


def widened(area: Area) -> Circle | Box:
    """An area that holds every place within `MARGIN_KM` of another, and more."""
    if isinstance(area, Circle):
        return Circle(area.lon, area.lat, area.radius_km + MARGIN_KM)
    if isinstance(area, Box):
        south, north, spans = area.south, area.north, area.spans
    else:
        bounds = np.array([piece.bounds for piece in area.pieces])
        south, north = float(bounds[:, 1].min()), float(bounds[:, 3].max())
        spans = ((float(bounds[:, 0].min()), float(bounds[:, 2].max())),)
    pad = MARGIN_KM / 111.0
    south, north = max(-90.0, south - pad), min(90.0, north + pad)
    pad_lon = pad / max(np.cos(np.radians(max(abs(south), abs(north)))), 1e-3)
    width = sum(east - west for west, east in spans) + 2.0 * pad_lon
    if width >= 360.0 or max(abs(south), abs(north)) == 90.0:
        return Box(-180.0, south, 180.0, north)
    west = spans[0][0] - pad_lon
    return Box(west, south, west + width, north)


def coarse_cell(lon: float, lat: float) -> str:
    """The cell of resolution 4 that stands for a place: the parent of its cell of resolution 5.

    Next to a border that may be the neighbor of the cell which holds the place, for the cells of H3
    do not lie wholly in their parents. The map counts by parents; with one definition in two places,
    whoever compares them would find the photos next to borders.
    """
    return str(h3.cell_to_parent(h3.latlng_to_cell(lat, lon, _RESOLUTION + 1), _RESOLUTION))


def _cell_center(lon: float, lat: float) -> tuple[float, float]:
    center_lat, center_lon = h3.cell_to_latlng(coarse_cell(lon, lat))
    return center_lon, center_lat


def _coarse_point(place: Mapping[str, Any]) -> dict[str, float]:
    lon, lat = _cell_center(place["lon"], place["lat"])
    return {"lon": lon, "lat": lat}


def _coarse_region(region: Mapping[str, Any]) -> dict[str, Any]:
    """A region with all of every cell that it touches: it holds the place at least as surely."""
    geojson = region["geojson"]
    parts = geojson["coordinates"] if geojson["type"] == "MultiPolygon" else [geojson["coordinates"]]
    cells = {
        cell
        for rings in parts
        for cell in h3.h3shape_to_cells_experimental(
            h3.geo_to_h3shape({"type": "Polygon", "coordinates": rings}), _RESOLUTION, contain="overlap"
        )
    }
    covered = Polygon.from_geojson(h3.cells_to_geo(cells))
    return {"level": region["level"], "area_km2": covered.area_km2, "geojson": covered.to_geojson()}
