"""The operator's cap holds: every field that is not named stays inside, and no detour leads around it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h3
import numpy as np
import pytest
import shapely
from fakes import ColorEncoder, record
from served import open_service, settings_at

from placeprint.api.serving.precision import (
    MARGIN_KM,
    Precision,
    check_filter,
    check_place,
    coarse_location,
    coarse_lonlat,
    coarse_photo,
    is_coarsely_within,
    widened,
)
from placeprint.api.serving.refusals import TooPrecise
from placeprint.encoders.areas import Area, Box, Circle, Polygon
from placeprint.encoders.sphere import great_circle_km
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.neighbors import Neighbor
from placeprint.indexer.photos import Photo
from placeprint.indexer.ranking import Wish
from placeprint.indexer.settings import Settings

TOKYO = {"lon": 139.7671, "lat": 35.6812}
FIJI = {"lon": 179.99, "lat": -16.8}


def located(place: dict[str, float] = TOKYO, radius_km: float = 3.0) -> dict[str, Any]:
    """A `Location.to_dict` with one field that nobody has thought of."""
    circle = Circle(place["lon"], place["lat"], radius_km)
    share = {"name": "Japan", "code": "JP", "probability": 1.0, "outline": [TOKYO]}
    return {
        **place, "mode": dict(place), "geoscore_point": dict(place), "median_point": dict(place),
        "p_within_km": {"1": 0.1, "25": 0.5, "200": 0.8, "750": 0.9, "2500": 1.0},
        "countries": [share], "states": [share],
        "regions": [{"level": 0.5, "area_km2": circle.area_km2, "geojson": circle.to_geojson()}],
        "information_bits": 9.0, "prior_share": 0.1, "abstain": False, "abstain_reason": "",
        "is_calibrated": True, "street": "1 Chome Marunouchi",
    }  # fmt: skip


def found(place: dict[str, float] = TOKYO) -> Neighbor:
    photo = Photo(
        id="id-1", image="/home/me/p.jpg", **place, captured_at=datetime(2018, 4, 1, tzinfo=UTC), group="g",
        payload={"street": "1 Chome Marunouchi", "year": 2018, "original": "p.jpg"},
    )  # fmt: skip
    return Neighbor(photo=photo, similarity=0.9)


CERTAINTY = {"information_bits", "prior_share", "abstain", "abstain_reason", "is_calibrated"}


@pytest.mark.parametrize(
    ("precision", "fields"),
    [
        ("country", CERTAINTY | {"countries"}),
        ("region", CERTAINTY | {"countries", "states", "p_within_km"}),
        ("25km", located().keys() - {"street"}),
        ("exact", located().keys()),
    ],
)
def test_a_location_has_the_named_fields_and_no_others(precision: Precision, fields: set[str]) -> None:
    shown = coarse_location(located(), precision)
    assert shown.keys() == fields
    if precision != "exact":
        assert shown["countries"][0].keys() == {"name", "code", "probability"}


@pytest.mark.parametrize(
    ("precision", "radii"),
    [
        ("region", {"200", "750", "2500"}),
        ("25km", {"25", "200", "750", "2500"}),
        ("exact", {"1", "25", "200", "750", "2500"}),
    ],
)
def test_certainty_is_told_down_to_the_cap(precision: Precision, radii: set[str]) -> None:
    assert coarse_location(located(), precision)["p_within_km"].keys() == radii


@pytest.mark.parametrize(
    ("precision", "fields"),
    [
        ("country", set()),
        ("region", set()),
        ("25km", {"lon", "lat"}),
        ("exact", {"lon", "lat", "payload", "group"}),
    ],
)
def test_a_photo_has_the_named_fields_and_no_others(precision: Precision, fields: set[str]) -> None:
    told = {name for name, value in coarse_photo(found().photo, precision).items() if value is not None}
    assert told == {"id", "captured_at"} | fields


def test_a_payload_that_repeats_the_file_name_is_left_out() -> None:
    assert coarse_photo(found().photo, "exact")["payload"].keys() == {"street", "year"}


@pytest.mark.parametrize("place", [TOKYO, FIJI, {"lon": 10.0, "lat": 89.9}, {"lon": 0.0, "lat": 0.0}])
def test_at_25_km_every_point_is_the_center_of_its_cell(place: dict[str, float]) -> None:
    lat, lon = h3.cell_to_latlng(h3.cell_to_parent(h3.latlng_to_cell(place["lat"], place["lon"], 5), 4))
    center = {"lon": lon, "lat": lat}
    location, neighbor = coarse_location(located(place), "25km"), coarse_photo(found(place).photo, "25km")
    points = [location, location["mode"], location["geoscore_point"], location["median_point"], neighbor]
    assert [{"lon": point["lon"], "lat": point["lat"]} for point in points] == [center] * 5


@pytest.mark.parametrize("place", [TOKYO, FIJI, {"lon": 10.0, "lat": 70.0}])
@pytest.mark.parametrize("radius_km", [1.0, 60.0, 400.0])
def test_at_25_km_a_region_is_made_of_whole_cells_and_holds_the_exact_one(
    place: dict[str, float], radius_km: float
) -> None:
    exact = located(place, radius_km)["regions"][0]
    coarse = coarse_location(located(place, radius_km), "25km")["regions"][0]
    shape, inner = shapely.geometry.shape(coarse["geojson"]), shapely.geometry.shape(exact["geojson"])
    assert shape.buffer(1e-6).contains(inner)
    cell = h3.latlng_to_cell(place["lat"], place["lon"], 4)
    assert coarse["area_km2"] >= 0.99 * h3.cell_area(cell)
    lon, lat = shapely.get_coordinates(shape).T
    inside = np.abs(lon) < 179.9  # vertices on the antimeridian are the cut's
    corners = {
        np.round(corner[::-1], 6).tobytes()
        for cell in h3.grid_disk(cell, 25)
        for corner in h3.cell_to_boundary(cell)
    }
    vertices = np.round(np.column_stack([lon, lat])[inside], 6)
    assert all(vertex.tobytes() in corners for vertex in vertices)


def test_no_place_lies_farther_from_the_center_of_its_cell_than_the_margin(rng: np.random.Generator) -> None:
    lat = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, 5000)))
    lonlat = np.column_stack([rng.uniform(-180.0, 180.0, 5000), lat])
    assert 20.0 < great_circle_km(lonlat, coarse_lonlat(lonlat, "25km")).max() < MARGIN_KM


def test_a_circle_at_25_km_takes_cells_whole() -> None:
    lat, lon = h3.cell_to_latlng(h3.latlng_to_cell(TOKYO["lat"], TOKYO["lon"], 4))
    beside = Circle(TOKYO["lon"], TOKYO["lat"], 0.001)  # the photo is in it, the center of its cell is not
    assert not is_coarsely_within(found().photo, beside)
    assert is_coarsely_within(found({"lon": lon + 0.1, "lat": lat}).photo, Circle(lon, lat, 0.001))


@pytest.mark.parametrize("precision", ["country", "region"])
def test_a_search_by_place_is_refused_where_places_are_not_told(precision: Precision) -> None:
    with pytest.raises(TooPrecise, match="PLACEPRINT_PRECISION=25km"):
        check_filter(Filter(within=Circle(139.8, 35.7, 1000.0)), precision)
    with pytest.raises(TooPrecise, match="PLACEPRINT_PRECISION=25km"):
        check_place("location", precision)
    check_filter(Filter(within=Circle(139.8, 35.7, 1.0)), "25km")
    check_place("location", "25km")


def test_to_leave_an_area_out_is_refused_where_it_would_tell_places_to_the_meter() -> None:
    with pytest.raises(TooPrecise, match="exclude_within"):
        check_filter(Filter(exclude_within=Circle(139.8, 35.7, 1.0)), "25km")
    check_filter(Filter(exclude_within=Circle(139.8, 35.7, 1.0)), "exact")


@pytest.mark.parametrize(
    "area",
    [
        Circle(139.8, 35.7, 40.0), Box(179.0, -17.0, -179.0, -16.0), Box(0.0, 80.0, 20.0, 89.9),
        Box(10, 45, 11, 46),
        Polygon.from_geojson(Circle(-179.9, 60.0, 80.0).to_geojson()),
    ],
)  # fmt: skip
def test_a_widened_area_holds_every_photo_whose_cell_has_its_center_within(
    area: Area, rng: np.random.Generator
) -> None:
    wide = widened(area).to_geojson()
    west, south, east, north = shapely.geometry.shape(wide).bounds
    lonlat = np.column_stack([rng.uniform(west, east, 20_000), rng.uniform(south, north, 20_000)])
    lonlat = np.concatenate([lonlat, lonlat + rng.uniform(-1, 1, lonlat.shape)])
    lonlat = lonlat[(np.abs(lonlat[:, 0]) < 180) & (np.abs(lonlat[:, 1]) < 90)]
    inside = area.contains(coarse_lonlat(lonlat, "25km"))
    assert inside.any()
    assert widened(area).contains(lonlat[inside]).all()


@pytest.mark.parametrize("precision", ["country", "region", "25km"])
def test_a_condition_on_payload_is_refused_where_payload_is_not_told(precision: Precision) -> None:
    with pytest.raises(TooPrecise, match="where street"):
        check_filter(Filter(where={"street": "Marunouchi", "year": 2018}), precision)
    check_filter(Filter(where={"year": 2018, "month": 4}), precision)
    check_filter(Filter(where={"street": "Marunouchi"}), "exact")


def answers(home: Path, lonlat: np.ndarray) -> str:
    """All that a service under 25km tells of twelve photos: of places, and of circles around them."""
    encoder, settings = ColorEncoder(), Settings(home=home, qdrant_url=None)
    shades = [np.full((1, 16, 16, 3), (20 * i, 255 - 20 * i, 90), np.uint8) for i in range(len(lonlat))]
    with Gallery.create("trips", encoder.fingerprint, settings=settings) as gallery:
        gallery.add(
            [
                record(f"{i}.jpg", encoder.embed_pixels(shade)[0], group=str(i), lon=lon, lat=lat)
                for i, (shade, (lon, lat)) in enumerate(zip(shades, lonlat.tolist(), strict=True))
            ]
        )
    service = open_service(settings_at(home, precision="25km"), encoder)
    gallery = service.gallery("trips")
    told: list[Any] = [gallery.describe()]

    def ask(embedding: Any, filter: Filter, wish: Wish | None = None) -> None:
        asked = [] if embedding is None else [(1.0, embedding)]
        found, _ = gallery.search.best(asked, filter=filter, wish=wish, by_rankings=False, k=12, offset=0)
        told.append(gallery.shown(found, asked_place=True))
        told.append(gallery.search.n_matches(filter))

    try:
        embeddings = [encoder.embed_pixels(shade)[0] for shade in shades]
        kwargs: dict[str, Any] = {
            "prior": "gallery",
            "exclude_ids": frozenset(),
            "with_surface": True,
            "n_evidence": 5,
        }
        told += [gallery.locate(embedding, **kwargs) for embedding in embeddings[:3]]
        places = np.round(lonlat).tolist()
        for radius_km in (10.0, 30.0, 50.0, 80.0, 120.0, 200.0, 1000.0):
            for lon, lat in places:
                ask(embeddings[0], Filter(within=Circle(lon, lat, radius_km)))
                ask(embeddings[0], Filter(), Wish(lon, lat, radius_km, 0.5))
        for lon, lat in places:
            box = Filter(within=Box(lon - 0.4, lat - 0.3, lon + 0.7, lat + 0.9))
            ask(embeddings[0], box)
            ask(None, box)
            ask((lon + 1.0, lat), box)
            ask(embeddings[0], box, Wish(lon, lat, 50.0, 0.5))
            ask((lon, lat), Filter())
        told += [
            gallery.cells(Box(lon - 0.5, lat - 0.5, lon + 0.5, lat + 0.5), None, Filter())
            for lon, lat in places
        ]
        told += [gallery.tile(z, 2 ** (z - 1), 2 ** (z - 1)).hex() for z in range(1, 9)]
    finally:
        service.close()
    return json.dumps(told)


def test_at_25_km_photos_that_move_within_their_cells_change_no_answer(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    centers = coarse_lonlat(np.column_stack([rng.uniform(130, 142, 12), rng.uniform(32, 42, 12)]), "25km")
    moved = centers + rng.uniform(-0.1, 0.1, centers.shape)
    assert (coarse_lonlat(moved, "25km") == centers).all()
    assert answers(tmp_path / "centers", centers) == answers(tmp_path / "moved", moved)
