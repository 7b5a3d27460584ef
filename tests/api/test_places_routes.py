"""A gallery of places over HTTP: likes, maps, caps; and that it breaks nothing else of the service."""

import importlib
import io
import pkgutil
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import ColorEncoder, record
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from map_gallery_fakes import CENTER, GROUND_M, make_maps, make_place_gallery
from PIL import Image
from served import JPEG, Carried, is_problem, make_gallery, picture, serving

from placeprint.api import routes
from placeprint.api.client import Client
from placeprint.api.routes.opened import told_gallery
from placeprint.encoders.areas import Box
from placeprint.encoders.errors import InvalidCoordinate
from placeprint.encoders.sphere import great_circle_km
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.place_list import place_id
from placeprint.indexer.place_opening import open_or_make
from placeprint.indexer.places import look_around_photos
from placeprint.indexer.settings import Settings

CITY = "/v1/galleries/city"
LIKE = f"{CITY}/places/like"
HERE = {"lon": CENTER[0], "lat": CENTER[1]}

Start = Callable[..., TestClient]


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_maps(tmp_path_factory.mktemp("maps"))


@pytest.fixture(scope="module")
def made(maps: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_gallery(tmp_path_factory.mktemp("made"))
    make_place_gallery(made, maps)
    return made


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """Galleries that no other service of these tests holds."""
    return Path(shutil.copytree(made, tmp_path / "home"))


@pytest.fixture(scope="module")
def client(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving() as start:
        copy = Path(shutil.copytree(made, tmp_path_factory.mktemp("served") / "home"))
        yield start(copy, precision="exact")


def lonlat_of(answer: Any) -> np.ndarray[Any, Any]:
    return np.array([(one["lon"], one["lat"]) for one in answer.json()["neighbors"]])


def test_places_like_a_place(client: TestClient) -> None:
    answer = client.post(LIKE, json={"like": [HERE], "limit": 6})
    told = answer.json()
    assert answer.status_code == 200, told
    (asked,) = told["asked"]
    assert (asked["embedded_by"], asked["is_like"]) == ("map", True)
    assert (asked["lon"], asked["lat"]) == CENTER
    found = lonlat_of(answer)
    km = great_circle_km(np.array(CENTER), found)
    assert [one["distance_km"] for one in told["neighbors"]] == pytest.approx(km)
    assert km.min() >= GROUND_M / 1000.0 == told["apart_m"] / 1000.0
    similarity = [one["similarity"] for one in told["neighbors"]]
    assert similarity == sorted(similarity, reverse=True) and similarity[0] > 0.8
    assert all(one["z_score"] is not None for one in told["neighbors"])
    assert told["attribution"] == "a drawn city" and told["ground_m"] == GROUND_M


def test_unlike_overlap_distance_and_area_are_told_apart(client: TestClient) -> None:
    first = lonlat_of(client.post(LIKE, json={"like": [HERE], "limit": 5}))
    other = {"lon": first[0, 0], "lat": first[0, 1]}
    away = client.post(LIKE, json={"like": [HERE], "unlike": [other], "unlike_weight": 1.0, "limit": 5})
    assert not np.array_equal(lonlat_of(away), first)
    assert [one["is_like"] for one in away.json()["asked"]] == [True, False]
    assert away.json()["asked"][1]["embedded_by"] == "gallery"
    dense = lonlat_of(client.post(LIKE, json={"like": [HERE], "limit": 40, "may_overlap": True}))
    km = great_circle_km(dense[:, None], dense)
    assert km[~np.eye(len(km), dtype=bool)].min() < GROUND_M / 1000.0
    near = client.post(LIKE, json={"like": [other], "limit": 1, "apart_m": 0})
    assert lonlat_of(near)[0] == pytest.approx(first[0])
    assert near.json()["neighbors"][0]["similarity"] == pytest.approx(1.0, abs=1e-4)
    box = {"kind": "box", "west": 9.0, "south": 47.0, "east": 10.0, "north": CENTER[1]}
    south = client.post(LIKE, json={"like": [HERE], "within": box})
    assert (lonlat_of(south)[:, 1] <= CENTER[1]).all() and len(lonlat_of(south)) > 3


def test_a_map_of_a_place_is_a_picture(client: TestClient) -> None:
    told = client.post(LIKE, json={"like": [HERE], "limit": 1}).json()
    for path in (told["neighbors"][0]["thumbnail"], told["asked"][0]["thumbnail"]):
        answer = client.get(path + "&side_px=64")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.size == (64, 64) and len(image.convert("RGB").getcolors() or []) > 2
    dark = client.get(f"{CITY}/places/map?lon=9.5&lat=47.1&style=dark&ground_m=1000")
    assert dark.status_code == 200 and dark.content != answer.content


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("lon=9.5&lat=47.1&side_px=2000", 422),
        ("lon=9.5&lat=47.1&ground_m=1e9", 422),
        ("lon=9.5&lat=91", 422),
        ("lon=9.5&lat=47.1&style=../../x", 422),
        ("lon=nan&lat=47.1", 422),
        ("lon=100&lat=0", 404),
        ("lat=47.1", 422),
    ],
)
def test_a_picture_that_cannot_be(client: TestClient, asked: str, status: int) -> None:
    assert is_problem(client.get(f"{CITY}/places/map?{asked}"), status)


@pytest.mark.parametrize(
    "body",
    [
        {"like": []},
        {"like": [HERE] * 9},
        {"like": [{"lon": 9.5, "lat": 95.0}]},
        {"like": [HERE], "limit": 0},
        {"like": [HERE], "unlike": [HERE], "unlike_weight": 1.0},
        {"like": [HERE], "apart_m": -1},
        {"like": [HERE], "mode": "x"},
        {"like": [{"lon": 3.0, "lat": 3.0}]},
    ],
)
def test_a_question_without_an_answer(client: TestClient, body: dict[str, Any]) -> None:
    assert is_problem(client.post(LIKE, json=body), 422)


def test_a_place_beyond_the_map_is_told_how_far_it_reaches(client: TestClient) -> None:
    detail = client.post(LIKE, json={"like": [{"lon": 3.0, "lat": 3.0}]}).json()["detail"]
    assert "lon 3.000000, lat 3.000000" in detail and "9.4" in detail and "/" not in detail


def test_a_student_answers_where_there_is_no_map(maps: Path, tmp_path: Path) -> None:
    make_place_gallery(tmp_path, maps, student=maps / "student.safetensors")
    with serving() as start:
        answer = start(tmp_path, precision="exact").post(LIKE, json={"like": [{"lon": 3.0, "lat": 3.0}]})
        assert answer.json()["asked"][0]["embedded_by"] == "student"
        assert "student" in answer.json()["notes"][0] and len(answer.json()["neighbors"]) == 12


# --- the rest of the service ------------------------------------------------------------------------


def test_photos_and_texts_are_refused_in_words(client: TestClient) -> None:
    red = picture("red")
    asked = [
        client.post(f"{CITY}/search/image", content=red, headers=JPEG),
        client.post(f"{CITY}/recognize", content=red, headers=JPEG),
        client.post(f"{CITY}/search", json={"queries": [{"text": "red"}]}),
        client.post(f"{CITY}/geolocate", content=red, headers=JPEG),
        client.post(f"{CITY}/photos", content=red, headers=JPEG),
        client.post("/v1/jobs", json={"kind": "switch", "gallery": "city", "model": "color"}),
    ]
    for answer in asked:
        assert is_problem(answer, 422), answer.json()
        assert (
            "places of a map" in answer.json()["detail"] or "by what a map shows" in answer.json()["detail"]
        )


def test_photos_have_no_likes_and_no_maps(client: TestClient) -> None:
    for answer in (
        client.post("/v1/galleries/trips/places/like", json={"like": [HERE]}),
        client.get("/v1/galleries/trips/places/map?lon=9.5&lat=47.1"),
    ):
        assert is_problem(answer, 422) and "holds photos" in answer.json()["detail"]


def test_the_service_is_ready_and_serves_its_other_models(client: TestClient) -> None:
    assert client.get("/readyz").status_code == 200
    assert [one["takes"] for one in client.get("/v1/models").json()["data"]] == [
        ["image", "text"],
        ["location"],
    ]
    embedded = client.post("/v1/embed/images", content=picture("red"), headers=JPEG)
    assert embedded.json()["model"] == "color"
    named = client.post("/v1/embed/images?model=city", content=picture("red"), headers=JPEG)
    assert is_problem(named, 404)


def test_a_service_of_places_alone_is_ready(home: Path) -> None:
    with serving() as start:
        client = start(home, galleries=["city"])
        assert client.get("/readyz").status_code == 200
        assert is_problem(client.post("/v1/embed/images", content=picture("red"), headers=JPEG), 404)


def test_galleries_say_what_they_hold(client: TestClient) -> None:
    told = {one["name"]: one for one in client.get("/v1/galleries").json()["galleries"]}
    assert told["trips"]["places"] is None
    assert told["city"]["places"] == {"ground_m": GROUND_M, "attribution": "a drawn city", "has_map": True}
    assert told["city"]["can_locate"] is False and told["city"]["model"]["takes_text"] is False


def test_lists_cells_and_searches_by_place_go_on(client: TestClient) -> None:
    (first, *_) = client.get(f"{CITY}/photos").json()["photos"]
    assert "/places/map?" in first["thumbnail"]
    assert client.get(f"{CITY}/photos/{first['id']}").json() == first
    assert is_problem(client.get(f"{CITY}/photos/{first['id']}/thumbnail"), 404)
    assert client.get(f"{CITY}/h3").json()["n_photos"] > 300
    near = client.post(f"{CITY}/search", json={"queries": [{"location": HERE}]})
    assert near.json()["neighbors"][0]["distance_km"] < 0.2
    alike = client.post(f"{CITY}/search", json={"queries": [{"photo": first["id"]}]})
    assert alike.json()["neighbors"][0]["id"] == first["id"]
    assert not [job for job in client.get("/v1/jobs").json()["jobs"] if job["gallery"] == "city"]


# --- photos by the map around them ------------------------------------------------------------------


@pytest.fixture
def walked(home: Path, maps: Path) -> Path:
    """A home in which photos were taken in the drawn city, and the map was looked at around them."""
    settings = Settings(home=home, qdrant_url=None)
    encoder = ColorEncoder()
    embedding = encoder.embed_pixels(np.full((1, 16, 16, 3), 200, np.uint8))[0]
    with Gallery.create("walk", encoder.fingerprint, encoder="color", settings=settings) as walk:
        walk.add([record(f"{i}.jpg", embedding, lon=CENTER[0] + 0.001 * i, lat=CENTER[1]) for i in range(9)])
    opened, embedder = open_or_make(
        "walk", mosaics=[maps / "city.tif"], encoder=maps / "encoder.safetensors", settings=settings
    )
    with opened:
        assert look_around_photos(opened, embedder).n_embedded == 9
    return home


def test_photos_are_found_by_the_map_around_them(walked: Path) -> None:
    with serving() as start:
        client = start(walked, precision="exact", galleries=["walk"])
        told = client.get("/v1/galleries/walk").json()
        assert told["vectors"] == ["map"] and told["places"] is None
        asked = {"like": [HERE], "apart_m": 0, "may_overlap": True, "limit": 5}
        answer = client.post("/v1/galleries/walk/places/like", json=asked).json()
        assert len(answer["neighbors"]) == 5 and answer["asked"][0]["embedded_by"] == "map"
        first = answer["neighbors"][0]
        assert first["similarity"] == pytest.approx(1.0, abs=1e-5) and first["distance_km"] < 0.01
        assert "/photos/" in first["thumbnail"] and "/places/map" in answer["asked"][0]["thumbnail"]
        by_photo = {"queries": [{"photo": first["id"]}], "limit": 3}
        assert len(client.post("/v1/galleries/walk/search", json=by_photo).json()["neighbors"]) == 3
        by_map = client.post("/v1/galleries/walk/recognize?using=map", content=picture("red"), headers=JPEG)
        assert is_problem(by_map, 422) and "no vectors 'map' of photos" in by_map.json()["detail"]


@pytest.mark.parametrize("precision", ["country", "region", "25km"])
def test_what_would_tell_places_is_refused_for_photos_too(walked: Path, precision: str) -> None:
    with serving() as start:
        client = start(walked, precision=precision, galleries=["walk"])
        refused = client.post("/v1/galleries/walk/places/like", json={"like": [HERE]})
        assert is_problem(refused, 403) and "PLACEPRINT_PRECISION=exact" in refused.json()["detail"]
        assert client.get("/v1/galleries/walk/photos").status_code == 200


def test_photos_are_served_when_their_map_is_gone(walked: Path, maps: Path, tmp_path: Path) -> None:
    card = walked / "galleries" / "walk" / "vectors" / "map" / "vector.json"
    card.write_text(card.read_text().replace("city.tif", "gone.tif"))
    with serving() as start:
        client = start(walked, precision="exact", galleries=["walk"])
        assert client.get("/v1/galleries/walk").json()["vectors"] == []
        answer = client.post("/v1/galleries/walk/places/like", json={"like": [HERE]})
        assert is_problem(answer, 422) and "holds photos" in answer.json()["detail"]


# --- caps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["country", "region", "25km"])
def test_unless_places_are_told_exactly_nothing_of_them_is(home: Path, precision: str) -> None:
    """An id is the hash of its place, and 60 likenesses found one to 20 m from cells 25 km wide."""
    with serving() as start:
        client = start(home, precision=precision)
        vector, id = [1.0] + [0.0] * 15, place_id(*CENTER)
        for refused in (
            client.post(LIKE, json={"like": [HERE]}),
            client.post(f"{CITY}/search", json={"queries": [{"vector": vector}]}),
            client.post(f"{CITY}/search", json={"queries": [{"photo": id}]}),
            client.get(f"{CITY}/photos"),
            client.get(f"{CITY}/photos/{id}"),
            client.get(f"{CITY}/h3"),
        ):
            assert is_problem(refused, 403) and "PLACEPRINT_PRECISION=exact" in refused.json()["detail"]
        assert client.get(CITY).json()["n_photos"] > 300
        map = client.get(f"{CITY}/places/map", params={**HERE, "side_px": 32})
        assert map.headers["content-type"] == "image/png"


def test_every_route_that_tells_of_a_gallery_asks_whether_it_may() -> None:
    tells_nothing = {
        ("GET", "/v1/galleries/{gallery}"),
        ("DELETE", "/v1/galleries/{gallery}"),
        ("GET", "/v1/galleries/{gallery}/places/map"),
    }

    def calls(dependant: Dependant) -> set[object]:
        return {dependant.call}.union(*map(calls, dependant.dependencies))

    def declared(name: str) -> list[APIRoute]:
        router = getattr(importlib.import_module(f"{routes.__name__}.{name}"), "routes", None)
        return [] if router is None else [one for one in router.routes if isinstance(one, APIRoute)]

    asked = {
        (method, route.path): told_gallery in calls(route.dependant)
        for module in pkgutil.iter_modules(routes.__path__)
        for route in declared(module.name)
        for method in route.methods
        if "{gallery}" in route.path
    }
    assert len(asked) > 12
    assert {route for route, is_asked in asked.items() if not is_asked} == tells_nothing


def test_places_in_a_sensitive_area_never_answer(home: Path, tmp_path: Path) -> None:
    ring = [[9.0, CENTER[1]], [10.0, CENTER[1]], [10.0, 48.0], [9.0, 48.0], [9.0, CENTER[1]]]
    area = tmp_path / "area.geojson"
    area.write_text('{"type": "Polygon", "coordinates": [' + str(ring) + "]}")
    with serving() as start:
        client = start(home, precision="exact", sensitive_areas=area)
        inside = {"lon": CENTER[0], "lat": CENTER[1] + 0.005}
        found = client.post(LIKE, json={"like": [inside], "limit": 50})
        assert (lonlat_of(found)[:, 1] < CENTER[1]).all()
        assert found.json()["asked"][0]["embedded_by"] == "map"
        vector = [1.0] + [0.0] * 15
        by_vector = client.post(f"{CITY}/search", json={"queries": [{"vector": vector}], "limit": 500})
        assert all(one["lat"] is not None for one in by_vector.json()["neighbors"])


# --- the client -------------------------------------------------------------------------------------


def test_the_client_asks_for_likes(client: TestClient) -> None:
    with Client("http://127.0.0.1", transport=Carried(client)) as remote:
        city = remote.gallery("city")
        answer = city.places_like(CENTER, limit=3)
        assert [one.embedded_by for one in answer.asked] == ["map"] and len(answer.neighbors) == 3
        again = city.places_like([CENTER, answer.neighbors[0]], unlike=answer.neighbors[1], limit=3)
        assert [one.is_like for one in again.asked] == [True, True, False]
        south = city.places_like(
            CENTER, within=Box(9.0, 47.0, 10.0, CENTER[1]), may_overlap=True, apart_m=0.0
        )
        assert all(one.lat is not None and one.lat <= CENTER[1] for one in south.neighbors)
        assert city.place_map(*CENTER, side_px=32).startswith(b"\x89PNG")
        facts = city.about().places
        assert facts is not None and facts.has_map
        with pytest.raises(InvalidCoordinate):
            city.places_like((9.5, 95.0))
