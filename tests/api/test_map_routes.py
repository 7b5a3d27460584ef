"""A gallery on the map: counts by cell are those of a scan, and under a cap they are whole cells."""

from collections import Counter
from pathlib import Path
from typing import Any

import h3
import mapbox_vector_tile
import numpy as np
import pytest
from fakes import ColorEncoder, record
from fastapi.testclient import TestClient
from served import is_problem, serving, settings_at

from placeprint.api.serving import maps
from placeprint.api.serving.maps import FINEST, Cell, bounds_of, resolution_for, tile_box
from placeprint.encoders.areas import Box
from placeprint.indexer.gallery import Gallery

SOUTH_SEA = [(179.9, -16.8), (-179.9, -16.8), (179.99, -16.81), (-178.0, -17.5)]
POLES = [(0.0, 89.9), (120.0, 89.95), (-60.0, -89.9)]


def places() -> np.ndarray:
    rng = np.random.default_rng(4)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, 400)))
    everywhere = np.column_stack([rng.uniform(-180, 180, 400), lat])
    tokyo = rng.normal([139.77, 35.68], 0.05, (150, 2))
    return np.concatenate([everywhere, tokyo, SOUTH_SEA, POLES])


def make_world(home: Path) -> Path:
    encoder = ColorEncoder()
    vector = encoder.embed_texts(["red"])[0]
    with Gallery.create("world", encoder.fingerprint, settings=settings_at(home)) as gallery:
        rows = [
            record(f"{i}.jpg", vector, lon=lon, lat=lat, payload=f'{{"year": {2000 + i % 3}}}')
            for i, (lon, lat) in enumerate(places().tolist())
        ]
        gallery.add([*rows, record("nowhere.jpg", vector)])
    return home


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with serving() as start:
        yield start(make_world(tmp_path_factory.mktemp("map")), precision="exact")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("coarse"))


def cells_of(client: TestClient, **asked: Any) -> dict[str, int]:
    answer = client.get("/v1/galleries/world/h3", params=asked).json()
    return {cell["cell"]: cell["n_photos"] for cell in answer["cells"]}


def scan(resolution: int, keep: Any = lambda lon, lat: True, cap: Any = "exact") -> Counter[str]:
    stored = {"25km": 5, "exact": min(one for one in (3, 5, 7) if one >= resolution)}.get(cap, 3)
    fine = [h3.latlng_to_cell(lat, lon, stored) for lon, lat in places().tolist() if keep(lon, lat)]
    return Counter(h3.cell_to_parent(cell, resolution) for cell in fine)


@pytest.mark.parametrize("resolution", range(8))
def test_the_whole_earth_is_counted_as_by_a_scan(exact: TestClient, resolution: int) -> None:
    assert cells_of(exact, resolution=resolution) == scan(resolution)


@pytest.mark.parametrize(
    "view",
    ["139,35,141,37", "170,-30,-170,-5", "-180,80,180,90", "-180,-90,180,-80", "139.7,35.6,139.8,35.7"],
)
@pytest.mark.parametrize("resolution", [0, 2, 3, 5, 7])
def test_a_view_has_all_cells_that_touch_it_whole(exact: TestClient, view: str, resolution: int) -> None:
    found = cells_of(exact, bbox=view, resolution=resolution)
    west, south, east, north = (float(part) for part in view.split(","))
    box, whole = Box(west, south, east, north), scan(resolution)
    inside = scan(resolution, lambda lon, lat: bool(box.contains(np.array([lon, lat]))))
    assert inside.keys() <= found.keys()
    assert all(found[cell] == whole[cell] for cell in found)


def test_conditions_count(exact: TestClient) -> None:
    assert sum(cells_of(exact, resolution=0, where="year=2001").values()) == len(places()[1::3])


def test_photos_come_along_where_they_are_few_and_places_may_be_told(home: Path, exact: TestClient) -> None:
    answer = exact.get("/v1/galleries/world/h3", params={"bbox": "170,-30,-170,-5"}).json()
    lons = {round(photo["lon"], 2) for photo in answer["photos"]}
    assert {179.9, -179.9, 179.99, -178.0} <= lons
    assert exact.get("/v1/galleries/world/h3").json()["photos"] is None
    with serving() as start:
        client = start(home, precision="25km")
        assert (
            client.get("/v1/galleries/world/h3", params={"bbox": "170,-30,-170,-5"}).json()["photos"] is None
        )


@pytest.mark.parametrize("cap", ["country", "region", "25km"])
def test_under_a_cap_cells_are_coarse_and_whole_however_the_view_is_cut(home: Path, cap: Any) -> None:
    with serving() as start:
        client, resolution = start(home, precision=cap), FINEST[cap]
        whole = scan(resolution, cap=cap)
        for view in ("139.70,35.6,139.75,35.65", "139.7,35.6,139.8,35.7", "139.77,35.6,139.78,35.9"):
            answer = client.get("/v1/galleries/world/h3", params={"bbox": view, "resolution": 7}).json()
            assert answer["resolution"] == resolution
            assert all(whole[cell["cell"]] == cell["n_photos"] for cell in answer["cells"])
            here = h3.cell_to_parent(h3.latlng_to_cell(35.65, 139.75, 5), resolution)
            assert here in {cell["cell"] for cell in answer["cells"]}
        decoded = mapbox_vector_tile.decode(client.get("/v1/galleries/world/tiles/12/3637/1612.mvt").content)
        assert decoded.keys() <= {"cells"}
        cells = {one["properties"]["cell"] for one in decoded["cells"]["features"]}
        assert {h3.get_resolution(cell) for cell in cells} == {resolution}


def test_a_tile_has_the_cells_and_photos_of_its_view(exact: TestClient) -> None:
    decoded = mapbox_vector_tile.decode(exact.get("/v1/galleries/world/tiles/0/0/0.mvt").content)
    counts = {
        one["properties"]["cell"]: one["properties"]["n_photos"] for one in decoded["cells"]["features"]
    }
    assert counts == scan(0)
    z, x, y = 8, int((139.77 + 180) / 360 * 256), 100
    decoded = mapbox_vector_tile.decode(exact.get(f"/v1/galleries/world/tiles/{z}/{x}/{y}.mvt").content)
    inside = [p for p in places().tolist() if tile_box(z, x, y).contains(np.array(p))]
    assert len(decoded["photos"]["features"]) == len(inside) > 50
    for feature in decoded["photos"]["features"]:
        px, py = feature["geometry"]["coordinates"]
        assert 0 <= px <= 4096 and 0 <= py <= 4096


@pytest.mark.parametrize("x", [0, 31])
def test_cells_on_the_antimeridian_are_drawn_on_this_side_of_it(exact: TestClient, x: int) -> None:
    decoded = mapbox_vector_tile.decode(exact.get(f"/v1/galleries/world/tiles/5/{x}/17.mvt").content)
    corners = [
        corner for feature in decoded["cells"]["features"] for corner in feature["geometry"]["coordinates"][0]
    ]
    assert corners and all(-4096 * 2 <= px <= 4096 * 3 for px, _ in corners)
    assert max(px for px, _ in corners) - min(px for px, _ in corners) < 4096 * 3


def test_an_empty_tile_is_an_empty_tile(exact: TestClient) -> None:
    answer = exact.get("/v1/galleries/world/tiles/14/8000/8000.mvt")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "bbox", ["1,2,3", "a,b,c,d", "0,0,0,0", "0,10,10,0", "nan,0,1,1", "0,-91,1,1", "0,0,1,inf"]
)
def test_a_view_that_is_none_says_what_was_expected(exact: TestClient, bbox: str) -> None:
    assert is_problem(exact.get("/v1/galleries/world/h3", params={"bbox": bbox}), 422)


def test_tiles_cover_the_earth_once() -> None:
    for z in range(4):
        boxes = [tile_box(z, x, y) for x in range(2**z) for y in range(2**z)]
        assert sum(box.area_km2 for box in boxes) == pytest.approx(4 * np.pi * 6371.0088**2)


def test_the_view_decides_how_fine_the_cells_are() -> None:
    world, city = Box(-180, -90, 180, 90), Box(139.6, 35.5, 139.9, 35.8)
    assert resolution_for(world, "exact") <= 1 and resolution_for(city, "exact") == 6
    assert [resolution_for(city, cap) for cap in ("country", "region", "25km")] == [1, 2, 4]


@pytest.mark.parametrize(
    ("lonlat", "crosses"),
    [
        ([(179.0, 0.0), (-179.0, 0.0)], True),
        ([(10.0, 50.0), (12.0, 51.0)], False),
        ([(-100.0, 0), (20.0, 0), (100.0, 0)], False),
    ],
)
def test_the_bounds_are_the_smallest_around_all(lonlat: Any, crosses: bool) -> None:
    cells = [Cell(h3.latlng_to_cell(lat, lon, 3), 1) for lon, lat in lonlat]
    west, south, east, north = bounds_of(cells, 3)  # type: ignore[misc]
    box = Box(west, south, east, north)
    assert all(box.contains(np.array(place)) for place in lonlat)
    assert (west > east) == crosses
    assert bounds_of([], 3) is None


def test_cells_are_counted_without_the_photos_that_have_no_place(exact: TestClient) -> None:
    assert sum(cells_of(exact, resolution=0).values()) == len(places())


def test_too_many_cells_are_cut_and_said_so(exact: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "MAX_CELLS", 5)
    answer = exact.get("/v1/galleries/world/h3", params={"resolution": 3}).json()
    assert len(answer["cells"]) == 5 and answer["is_truncated"]
    assert answer["n_photos"] == len(places())
