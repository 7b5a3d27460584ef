"""What the routes answer: fused searches, photos added and taken out, embeddings, jobs, sensitive areas."""

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copies import read_written
from fakes import ColorEncoder
from fastapi.testclient import TestClient
from PIL import Image
from served import COLORS, JPEG, PLACES, TRIPS, Serve, ids, is_problem, make_gallery, picture, serving

from placeprint.api.serving import sensitive
from placeprint.api.serving.model_worker import ModelWorker
from placeprint.encoders.sphere import great_circle_km
from placeprint.indexer.record import photo_id_of

SEARCH = f"{TRIPS}/search"
TOKYO = {"lon": PLACES["red"][0], "lat": PLACES["red"][1]}
PARIS = {"lon": PLACES["green"][0], "lat": PLACES["green"][1]}


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving() as start:
        yield start(make_gallery(tmp_path_factory.mktemp("exact")), precision="exact")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A function that starts a service over a fresh home, telling everything."""
    with serving() as start:
        yield lambda **given: start(make_gallery(tmp_path), **{"precision": "exact", **given})


def cities(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["payload"]["city"] for one in answer.json()["neighbors"]]


def search(client: TestClient, *queries: dict[str, Any], **asked: Any) -> Any:
    return client.post(SEARCH, json={"queries": queries, **asked})


def polygon(geojson: Any) -> dict[str, Any]:
    return {"kind": "polygon", "geojson": geojson}


def encoded(color: str) -> str:
    return base64.b64encode(picture(color)).decode()


# --- searching -------------------------------------------------------------------------------------


def test_each_kind_of_query_finds_red(exact: TestClient) -> None:
    red = ids(search(exact, {"text": "red"}, limit=1))[0]
    vector = ColorEncoder().embed_texts(["red"])[0].tolist()
    for query in (
        {"text": "red"}, {"image": encoded("red")}, {"image": f"data:image/png;base64,{encoded('red')}"},
        {"photo": red}, {"vector": vector}, {"vector": [7 * x for x in vector]}, {"location": TOKYO},
    ):  # fmt: skip
        assert cities(search(exact, query, limit=4)) == ["red"] * 4, query


def test_the_nearest_photos_come_first_with_their_distance(exact: TestClient) -> None:
    found = search(exact, {"location": PARIS}, limit=12).json()["neighbors"]
    km = [great_circle_km(np.array([2.35, 48.86]), np.array([one["lon"], one["lat"]])) for one in found]
    assert [one["distance_km"] for one in found] == pytest.approx(km) == sorted(km)
    assert [one["score"] for one in found] == pytest.approx([-one for one in km])
    assert found[0]["similarity"] is None


def test_a_negative_query_leads_away(exact: TestClient) -> None:
    both = [{"text": "red"}, {"text": "green"}]
    assert set(cities(search(exact, *both, limit=8))) == {"red", "green"}
    away = [{"text": "red", "weight": 0.5}, {"text": "green", "weight": -1.0}]
    assert "green" not in cities(search(exact, *away, limit=8))
    fused = search(exact, {"text": "red"}, {"text": "red", "weight": -2.0}, fusion="rankings", limit=12)
    assert cities(fused)[0] != "red"


def test_a_place_beside_a_text_is_fused_by_rankings(exact: TestClient) -> None:
    found = search(exact, {"text": "red"}, {"location": PARIS, "weight": 3.0}, limit=12)
    assert cities(found)[0] == "green"
    assert all(
        one["similarity"] is not None and one["distance_km"] is not None for one in found.json()["neighbors"]
    )


def test_a_wish_for_nearness_is_weighed_against_similarity(exact: TestClient) -> None:
    for weight, city in ((0.05, "red"), (2.0, "green")):
        near = {**PARIS, "half_km": 100, "weight": weight}
        assert cities(search(exact, {"text": "red"}, prefer_near=near, limit=1)) == [city]


def test_pages_join_to_the_whole(exact: TestClient) -> None:
    whole = ids(search(exact, {"text": "red"}, limit=12))
    for more in ({}, {"prefer_near": PARIS}, {"fusion": "rankings"}):
        whole = ids(search(exact, {"text": "red"}, limit=12, **more))
        found, offset = [], 0
        while offset is not None:
            page = search(exact, {"text": "red"}, limit=5, offset=offset, **more)
            found += ids(page)
            offset = page.json()["next_offset"]
        assert found == whole and len(set(found)) == 12


def test_areas_and_times_and_payload_limit_who_answers(exact: TestClient) -> None:
    box = {"kind": "box", "west": 139, "south": 35, "east": 141, "north": 36}
    ring = [[2, 48], [3, 48], [3, 50], [2, 50], [2, 48]]
    polygon = {"kind": "polygon", "geojson": {"type": "Polygon", "coordinates": [ring]}}
    for within, city in ((box, "red"), (polygon, "green")):
        answer = search(exact, {"text": "blue"}, filter={"within": within}, limit=12)
        assert cities(answer) == [city] * 4 and answer.json()["n_matches"] == 4
    assert len(ids(search(exact, {"text": "blue"}, filter={"exclude_within": box}, limit=12))) == 8
    assert (
        len(ids(search(exact, {"text": "blue"}, filter={"where": {"city": ["red", "blue"]}}, limit=12))) == 8
    )
    assert ids(search(exact, {"text": "red"}, filter={"captured_from": "2018-01-01T00:00:00Z"})) == []
    assert ids(search(exact, {"text": "red"}, filter={"is_placed": False})) == []
    first = ids(search(exact, {"text": "red"}, limit=1))
    assert first[0] not in ids(search(exact, {"text": "red"}, filter={"exclude_ids": first}, limit=12))


def test_without_a_query_the_photos_that_pass_come_in_the_order_of_their_ids(exact: TestClient) -> None:
    found = ids(search(exact, filter={"where": {"city": "red"}}, limit=12))
    assert len(found) == 4 and found == sorted(found)


def test_a_cut_off_by_standing(exact: TestClient) -> None:
    found = search(exact, {"text": "red"}, limit=12).json()["neighbors"]
    z_scores = [one["z_score"] for one in found]
    assert z_scores == sorted(z_scores, reverse=True) and np.mean(z_scores) == pytest.approx(0.0, abs=1e-4)
    kept = search(exact, {"text": "red"}, limit=12, min_z_score=z_scores[3] - 1e-6)
    assert ids(kept) == [one["id"] for one in found[:4]] and kept.json()["next_offset"] is None


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"queries": [{"text": "red", "weight": -1}]}, "at least one must have a weight above 0"),
        ({"queries": [{"text": "red", "weight": 0}]}, "weight of 0"),
        ({"queries": [{"text": "red"}, {"text": "red", "weight": -1}]}, "cancel each other out"),
        ({"queries": [{"text": "red"}] * 9}, "queries"),
        ({"queries": [{"location": TOKYO}] * 3}, "at most 2 locations"),
        ({"queries": [{"text": "red", "image": "xxxxxxxx"}]}, "queries"),
        ({"queries": [{"image": "not base64!"}]}, "not base64"),
        ({"queries": [{"vector": [1, 2]}]}, "2 numbers; the gallery's model gives 4"),
        ({"queries": [{"vector": [0, 0, 0, 0]}]}, "not all of them zero"),
        ({"queries": [{"location": {"lon": 35.68, "lat": 139.77}}]}, "lat"),
        ({"queries": [{"location": TOKYO}], "prefer_near": TOKYO}, "prefer_near"),
        ({"limit": 0}, "limit"),
        ({"limit": 500, "offset": 9_900}, "10,000"),
        ({"offset": -1}, "offset"),
        ({"unknown": 1}, "unknown"),
        ({"filter": {"within": {"kind": "circle", **TOKYO, "radius_km": -1}}}, "radius_km"),
        ({"filter": {"within": {"kind": "box", "west": 1, "south": 2, "east": 1, "north": 3}}}, "no width"),
        ({"filter": {"within": polygon({"type": "Point", "coordinates": [1, 2]})}}, "polygons"),
        ({"filter": {"within": polygon({})}}, "GeoJSON"),
        ({"filter": {"within": polygon({"type": "Polygon", "coordinates": 5})}}, "rings"),
        ({"filter": {"where": {"a b": 1}}}, "letters, digits"),
        ({"filter": {"exclude_ids": ["x"]}}, "no photo's id"),
        ({"filter": {"captured_from": "2018-01-02", "captured_until": "2018-01-01"}}, "before"),
    ],
)  # fmt: skip
def test_a_search_without_a_meaning_says_why(exact: TestClient, asked: dict[str, Any], word: str) -> None:
    answer = exact.post(SEARCH, json=asked)
    assert is_problem(answer, 422)
    assert word in answer.json()["detail"]


def test_a_polygon_of_too_many_corners_is_refused(exact: TestClient) -> None:
    ring = [[np.cos(t), np.sin(t)] for t in np.linspace(0, 6.28, 5_001)]
    polygon = {"kind": "polygon", "geojson": {"type": "Polygon", "coordinates": [ring]}}
    assert "5,000 vertices" in exact.post(SEARCH, json={"filter": {"within": polygon}}).json()["detail"]


def test_json_that_is_none_or_without_end_is_refused(exact: TestClient) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (b"{", b"\xff", b'{"limit": NaN}', b"[" * 100_000, b'{"filter": ' * 5000, b"null", b"[]"):
        assert 400 <= exact.post(SEARCH, content=body, headers=headers).status_code < 500, body[:20]


# --- embeddings ------------------------------------------------------------------------------------


def test_embeddings_of_photos_texts_and_places(exact: TestClient) -> None:
    encoder = ColorEncoder()
    pixels = encoder.preprocessing.read(picture("red"))[0]
    red = encoder.embed_pixels(pixels[None])[0]
    one = exact.post("/v1/embed/images", content=picture("red"), headers=JPEG).json()
    assert one["embeddings"][0] == pytest.approx(red.tolist()) and one["dimension"] == 4
    files = [
        ("images", (f"{i}.jpg", content))
        for i, content in enumerate([picture("red"), b"none", picture("blue")])
    ]
    several = exact.post("/v1/embed/images", files=files).json()
    assert several["embeddings"][0] == pytest.approx(red.tolist()) and several["embeddings"][1] is None
    assert several["failures"][0]["index"] == 1 and len(several["embeddings"]) == 3
    texts = exact.post("/v1/embed/texts", json={"texts": ["red", "blue"]}).json()["embeddings"]
    assert np.allclose(texts, encoder.embed_texts(["red", "blue"]))
    places = exact.post("/v1/embed/locations", json={"locations": [TOKYO, PARIS]}).json()
    assert np.shape(places["embeddings"]) == (2, places["dimension"])
    names = [model["id"] for model in exact.get("/v1/models").json()["data"]]
    assert names == ["color", places["model"]]


def test_the_shape_of_openai(exact: TestClient) -> None:
    texts = exact.post(
        "/v1/embeddings", json={"input": ["red", f"data:image/png;base64,{encoded('red')}"]}
    ).json()
    assert [one["index"] for one in texts["data"]] == [0, 1] and texts["object"] == "list"
    assert np.allclose(texts["data"][0]["embedding"], ColorEncoder().embed_texts(["red"])[0])
    packed = exact.post(
        "/v1/embeddings",
        json={"input": {"image": encoded("red")}, "encoding_format": "base64", "model": "color"},
    ).json()["data"][0]["embedding"]
    unpacked = np.frombuffer(base64.b64decode(packed), "<f4")
    assert np.allclose(unpacked, texts["data"][1]["embedding"], atol=1e-6)
    assert is_problem(exact.post("/v1/embeddings", json={"input": "red", "model": "none"}), 404)
    assert is_problem(exact.post("/v1/embeddings", json={"input": "red", "dimensions": 5}), 422)
    assert is_problem(exact.post("/v1/embeddings", json={"input": [1, 2, 3]}), 422)


@pytest.mark.parametrize("parts", [65, 0])
def test_a_multipart_body_has_one_to_64_photos(exact: TestClient, parts: int) -> None:
    files = [("images", (f"{i}.jpg", picture("red"))) for i in range(parts)] or [("other", ("x.jpg", b"x"))]
    answer = exact.post("/v1/embed/images", files=files)
    assert is_problem(answer, 422) and "images" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body", [b"", b"--x", b"--x\r\n\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\n", b"\0" * 100]
)
def test_a_multipart_body_that_is_none_is_refused(exact: TestClient, body: bytes) -> None:
    for kind in ("multipart/form-data; boundary=x", "multipart/form-data"):
        answer = exact.post("/v1/embed/images", content=body, headers={"Content-Type": kind})
        assert is_problem(answer, 422)


# --- photos ----------------------------------------------------------------------------------------


def gray(level: int, exif: Any = None) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (level, level, 255 - level)).save(
        file, "JPEG", **({"exif": exif} if exif else {})
    )
    return file.getvalue()


def test_a_photo_is_added_found_and_taken_out(serve: Serve) -> None:
    client = serve()
    params = {"lon": 10.5, "lat": 50.5, "captured_at": "2020-05-01T12:00:00Z", "payload": '{"city": "gray"}'}
    made = client.post(f"{TRIPS}/photos", params=params, content=gray(100), headers=JPEG).json()
    assert made == {"ids": [photo_id_of(gray(100))], "n_embedded": 1, "n_known": 0, "failures": []}
    id = made["ids"][0]
    found = client.post(f"{SEARCH}/image", params={"limit": 1}, content=gray(100), headers=JPEG).json()[
        "neighbors"
    ][0]
    assert (found["id"], found["lon"], found["payload"]["city"]) == (id, 10.5, "gray")
    assert found["similarity"] == pytest.approx(1.0, abs=1e-5)
    shown = client.get(f"{TRIPS}/photos/{id}").json()
    assert shown["captured_at"].startswith("2020-05-01T12:00:00") and shown["payload"]["year"] == 2020
    assert client.get(TRIPS).json()["n_photos"] == 13
    again = client.post(
        f"{TRIPS}/photos", params={**params, "lon": 11.5}, content=gray(100), headers=JPEG
    ).json()
    assert (again["n_embedded"], again["n_known"]) == (0, 1)
    assert client.get(f"{TRIPS}/photos/{id}").json()["lon"] == 11.5
    assert client.delete(f"{TRIPS}/photos/{id}").json() == {"n_deleted": 1}
    assert is_problem(client.get(f"{TRIPS}/photos/{id}"), 404)
    assert client.delete(f"{TRIPS}/photos/{id}").json() == {"n_deleted": 0}


def test_many_photos_with_their_facts_some_of_them_damaged(serve: Serve) -> None:
    client = serve()
    contents = [gray(10), b"none", gray(20)]
    files = [("images", (f"{i}.jpg", content)) for i, content in enumerate(contents)]
    facts = [{"lon": 1, "lat": 2, "name": "a"}, {}, {"name": "b", "group": "walk"}]
    answer = client.post(f"{TRIPS}/photos", files=files, data={"facts": json.dumps(facts)}).json()
    assert answer["ids"] == [photo_id_of(gray(10)), None, photo_id_of(gray(20))]
    assert answer["n_embedded"] == 2 and answer["failures"][0]["name"] == "1.jpg"
    replaced = client.post(f"{TRIPS}/photos", params={"name": "a"}, content=gray(30), headers=JPEG).json()
    assert is_problem(
        client.get(f"{TRIPS}/photos/{photo_id_of(gray(10))}"), 404
    )  # the name has another photo now
    assert client.get(f"{TRIPS}/photos/{replaced['ids'][0]}").status_code == 200


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"lon": 1}, "together"), ({"lon": 1, "lat": 95}, "lat"), ({"lon": "nan", "lat": 1}, "lon"),
        ({"payload": "["}, "not JSON"), ({"payload": "[1]"}, "an object"),
        ({"payload": '{"a": [1]}'}, "payload"),
        ({"captured_at": "yesterday"}, "captured_at"),
    ],
)  # fmt: skip
def test_facts_without_a_meaning_add_nothing(serve: Serve, params: dict[str, Any], word: str) -> None:
    client = serve()
    answer = client.post(f"{TRIPS}/photos", params=params, content=gray(1), headers=JPEG)
    assert is_problem(answer, 422) and word in answer.json()["detail"]
    assert client.get(TRIPS).json()["n_photos"] == 12


def test_what_was_sent_is_kept_nowhere(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spool))
    client, content = serve(), gray(77) + b"CANARY" + bytes(3_000_000)
    files = [("images", (f"{i}.jpg", content)) for i in range(3)]
    assert client.post(f"{TRIPS}/photos", files=files).json()["n_embedded"] == 1
    assert client.post(f"{TRIPS}/geolocate", files=files).status_code == 200
    assert client.post(f"{SEARCH}/image", content=content, headers=JPEG).status_code == 200
    assert client.get(f"{TRIPS}/photos/{photo_id_of(content)}/thumbnail").status_code == 404
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and b"CANARY" in read_written(path)]
    assert holding == [] and list(spool.iterdir()) == []


def test_an_erased_photo_is_in_no_file_of_the_gallery(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    client.post(f"{TRIPS}/photos", params={"payload": '{"secret": "CANARY1"}'}, content=gray(9), headers=JPEG)
    id = photo_id_of(gray(9))
    assert client.delete(f"{TRIPS}/photos/{id}", params={"erase": True}).json() == {"n_deleted": 1}
    assert client.get(TRIPS).json()["n_photos"] == 12
    files = [path for path in (tmp_path / "galleries").rglob("*") if path.is_file()]
    assert files and not any(b"CANARY1" in read_written(path) for path in files)


def test_photos_are_listed_page_by_page(exact: TestClient) -> None:
    found, after = [], None
    while True:
        page = exact.get(f"{TRIPS}/photos", params={"limit": 5, **({"after": after} if after else {})}).json()
        found += [photo["id"] for photo in page["photos"]]
        if (after := page["next_after"]) is None:
            break
    assert len(found) == len(set(found)) == 12 and found == sorted(found)


def test_values_are_counted(exact: TestClient) -> None:
    counts = exact.get(f"{TRIPS}/facets/city").json()["counts"]
    assert {one["value"]: one["n_photos"] for one in counts} == {"red": 4, "green": 4, "blue": 4}
    for key in ("nothing", "_image", "a b"):
        assert is_problem(exact.get(f"{TRIPS}/facets/{key}"), 422)


# --- galleries and jobs ----------------------------------------------------------------------------


def test_a_gallery_is_made_filled_and_deleted(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    made = client.post("/v1/galleries", json={"name": "new", "model": "color"})
    assert made.status_code == 201 and made.json()["n_photos"] == 0 and made.json()["bbox"] is None
    assert is_problem(client.post("/v1/galleries", json={"name": "new", "model": "color"}), 409)
    assert is_problem(client.post("/v1/galleries", json={"name": "other", "model": "/etc/passwd"}), 404)
    for name in ("..", "A", "a/b", "", "x" * 64, "con."):
        assert is_problem(client.post("/v1/galleries", json={"name": name, "model": "color"}), 422)
    assert client.post("/v1/galleries/new/photos", content=gray(1), headers=JPEG).json()["n_embedded"] == 1
    assert is_problem(client.delete("/v1/galleries/new"), 422)
    assert client.delete("/v1/galleries/new", params={"confirm": "new"}).status_code == 204
    assert is_problem(client.get("/v1/galleries/new"), 404)
    assert [path.name for path in (tmp_path / "galleries").iterdir()] == ["trips"]


def wait_for(client: TestClient, job: Any, *, timeout_s: float = 60.0) -> dict[str, Any]:
    assert job.status_code == 202, job.text
    end, told = time.monotonic() + timeout_s, job.json()
    while told["status"] in ("waiting", "running"):
        assert time.monotonic() < end
        time.sleep(0.05)
        told = client.get(f"/v1/jobs/{told['id']}").json()
    return dict(told)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of colored photos with places."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for color in PLACES:
        for i in range(3):
            shade = tuple(int(c * (1 - 0.1 * i)) for c in COLORS[color])
            Image.new("RGB", (64, 48), shade).save(folder / f"{color}{i}.png")
    rows = [f"{c}{i}.png,{PLACES[c][0]},{PLACES[c][1]}" for c in PLACES for i in range(3)]
    (folder / "table.csv").write_text("\n".join(["image,lon,lat", *rows, "none.png,1,1"]))
    return folder


def test_a_source_is_indexed_by_a_job_with_progress(serve: Serve, folder: Path) -> None:
    client = serve(source_folders=[folder])
    client.post("/v1/galleries", json={"name": "new", "model": "color"})
    asked = {"kind": "index", "gallery": "new", "source": str(folder / "table.csv")}
    done = wait_for(client, client.post("/v1/jobs", json=asked))
    assert (
        done["status"] == "done" and done["detail"].startswith("9 embedded") and "1 failed" in done["detail"]
    )
    assert client.get("/v1/galleries/new").json()["n_placed"] == 9
    found = client.post("/v1/galleries/new/search", json={"queries": [{"text": "red"}], "limit": 1}).json()
    path = found["neighbors"][0]["thumbnail"]
    small = client.get(path, params={"side_px": 32})
    assert (
        Image.open(io.BytesIO(small.content)).size == (32, 24)
        and small.headers["content-type"] == "image/jpeg"
    )
    assert [job["id"] for job in client.get("/v1/jobs").json()["jobs"]] == [done["id"]]


@pytest.mark.parametrize(
    "source", ["/etc", "{folder}/../secret", "{folder}\0", "{folder}x", "~", "https://x/"]
)
def test_a_source_outside_of_the_folders_is_refused(serve: Serve, folder: Path, source: str) -> None:
    client = serve(source_folders=[folder])
    asked = {"kind": "index", "gallery": "trips", "source": source.format(folder=folder)}
    assert client.post("/v1/jobs", json=asked).status_code in (403, 422)
    link = folder / "link"
    link.symlink_to("/etc")
    asked = {"kind": "index", "gallery": "trips", "source": str(link)}
    assert is_problem(client.post("/v1/jobs", json=asked), 403)


def test_without_folders_no_source_is_indexed(serve: Serve, folder: Path) -> None:
    asked = {"kind": "index", "gallery": "trips", "source": str(folder)}
    assert is_problem(serve().post("/v1/jobs", json=asked), 403)


def test_a_job_is_called_off(serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(self: ModelWorker, embed: Any, inputs: Any) -> Any:
        time.sleep(0.3)
        return original(self, embed, inputs)

    original = ModelWorker.embed_in_background
    monkeypatch.setattr(ModelWorker, "embed_in_background", slow)
    client = serve(source_folders=[folder])
    asked = {"kind": "index", "gallery": "trips", "source": str(folder / "table.csv")}
    job = client.post("/v1/jobs", json=asked)
    assert is_problem(client.post("/v1/jobs", json=asked), 409)
    waiting = client.post("/v1/jobs", json={"kind": "optimize", "gallery": "trips"})
    for one in (waiting, job):
        client.delete(f"/v1/jobs/{one.json()['id']}")
    assert wait_for(client, waiting)["status"] == "canceled"
    assert wait_for(client, job)["status"] == "canceled"
    assert is_problem(client.get(f"/v1/jobs/{'0' * 32}"), 404)


def test_an_index_is_built_by_a_job(serve: Serve) -> None:
    client = serve()
    assert (
        wait_for(client, client.post("/v1/jobs", json={"kind": "optimize", "gallery": "trips"}))["status"]
        == "done"
    )
    assert len(ids(search(client, {"text": "red"}, limit=12))) == 12


# --- sensitive areas -------------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[TestClient]:
    """A service that does not speak of the surroundings of Tokyo."""
    ring = [[139, 35], [141, 35], [141, 36.5], [139, 36.5], [139, 35]]
    (tmp_path / "areas.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    with serving() as start:
        yield start(make_gallery(tmp_path), precision="exact", sensitive_areas=tmp_path / "areas.geojson")


def test_nothing_leads_to_a_place_in_a_sensitive_area(guarded: TestClient) -> None:
    found = search(guarded, {"text": "red"}, limit=12).json()["neighbors"]
    assert len(found) == 12  # they are found, but not where they are
    red = found[:4]
    assert all(one["lon"] is None and one["payload"] is None for one in red)
    circle = {"kind": "circle", **TOKYO, "radius_km": 500}
    for asked in (
        {"filter": {"within": circle}}, {"filter": {"where": {"city": "red"}}},
    ):  # fmt: skip
        answer = search(guarded, {"text": "red"}, limit=12, **asked).json()
        assert answer["neighbors"] == [] and answer["n_matches"] == 0
    assert is_problem(search(guarded, {"text": "red"}, filter={"is_placed": True}), 403)
    assert guarded.get(TRIPS).json()["n_placed"] == 8
    far = {"kind": "circle", "lon": -43.2, "lat": -22.9, "radius_km": 500}
    left = search(guarded, {"text": "red"}, limit=12, filter={"exclude_within": far}).json()["neighbors"]
    assert {one["payload"]["city"] for one in left} == {"green"}
    nearest = search(guarded, {"location": TOKYO}, limit=12).json()["neighbors"]
    assert len(nearest) == 8 and all(one["lon"] < 100 for one in nearest)
    wished = search(guarded, {"text": "red"}, prefer_near={**TOKYO, "weight": 2.0}, limit=12).json()[
        "neighbors"
    ]
    assert len(wished) == 8
    cells = guarded.get(f"{TRIPS}/h3", params={"resolution": 1}).json()
    assert cells["n_photos"] == 8
    assert {one["value"] for one in guarded.get(f"{TRIPS}/facets/city").json()["counts"]} == {"green", "blue"}
    bbox = guarded.get(TRIPS).json()["bbox"]
    assert bbox[2] < 100
    photos = guarded.get(f"{TRIPS}/photos").json()["photos"]
    assert sum(photo["lon"] is not None for photo in photos) == 8


def test_an_answer_that_leads_into_a_sensitive_area_is_told_by_country_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensitive, "MOST_SHARE", 0.4)  # in so small a gallery much is left to the prior
    ring = [[2, 48], [3, 48], [3, 49.5], [2, 49.5], [2, 48]]
    (tmp_path / "areas.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    make_gallery(tmp_path)
    with serving() as start:
        client = start(tmp_path, precision="exact", sensitive_areas=tmp_path / "areas.geojson")
        gallery = client.app.state.service.gallery("trips")  # type: ignore[attr-defined]
        gallery._sensitive.hidden = lambda filter: filter  # as if its photos spoke after all
        answer = client.post(f"{TRIPS}/geolocate", content=picture("green"), headers=JPEG).json()
        assert answer["precision"] == "country" and "country alone" in answer["notes"][0]
        assert {"lon", "regions", "surface", "cells", "states"} & answer.keys() == set()
        assert answer["evidence"] == []
        other = client.post(f"{TRIPS}/geolocate", content=picture("blue"), headers=JPEG).json()
        assert other["precision"] == "exact" and other["lon"] == pytest.approx(-43.0, abs=0.5)


# --- geolocation -----------------------------------------------------------------------------------


def test_a_photo_of_the_gallery_does_not_answer_for_itself(serve: Serve) -> None:
    client = serve()
    client.post(f"{TRIPS}/photos", params=TOKYO, content=gray(50), headers=JPEG)
    answer = client.post(f"{TRIPS}/geolocate", content=gray(50), headers=JPEG).json()
    assert photo_id_of(gray(50)) not in {one["id"] for one in answer["evidence"]}


def test_several_photos_are_taken_to_show_one_place(exact: TestClient) -> None:
    files = [("images", (color, picture(color))) for color in ("red", "red", "blue")]
    answer = exact.post(f"{TRIPS}/geolocate", files=files, params={"n_evidence": 2, "surface": False}).json()
    assert answer["n_photos"] == 3 and len(answer["evidence"]) == 2 and "surface" not in answer
    assert answer["countries"][0]["code"] == "JP"


def test_each_geolocation_is_noted_without_the_photo(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    client.post(f"{TRIPS}/geolocate", content=picture("red"), headers=JPEG)
    client.post(f"{TRIPS}/geolocate", content=b"none", headers=JPEG)
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert len(lines) == 1
    assert lines[0].keys() == {"at", "event", "caller", "gallery", "sha256", "precision"}
    assert (lines[0]["gallery"], lines[0]["caller"], lines[0]["precision"]) == ("trips", "", "exact")


def test_what_cannot_be_noted_is_not_told(serve: Serve, tmp_path: Path) -> None:
    client = serve(audit_log=tmp_path / "photos" / "x" / "audit.jsonl")
    (tmp_path / "photos").write_text("a file where a folder should be")
    answer = client.post(f"{TRIPS}/geolocate", content=picture("red"), headers=JPEG)
    assert is_problem(answer, 503) and "audit log" in answer.json()["detail"]


def test_geolocation_is_off_beyond_this_machine_unless_the_operator_says_so(serve: Serve) -> None:
    client = serve(geolocation=False)
    assert is_problem(client.post(f"{TRIPS}/geolocate", content=picture("red"), headers=JPEG), 403)
    assert client.get(TRIPS).json()["can_locate"] is False
    assert client.get("/v1/about").json()["geolocation"] is False
    from placeprint.api.serving.service_settings import ServiceSettings

    assert ServiceSettings().may_geolocate
    assert not ServiceSettings(host="192.168.1.5").may_geolocate
    assert ServiceSettings(host="192.168.1.5", geolocation=True).may_geolocate


def test_a_photo_that_is_no_id_is_refused_and_one_that_is_not_there_is_not_found(exact: TestClient) -> None:
    for photo, status in (("é" * 36, 422), ("x" * 36, 422), ("00000000-0000-0000-0000-000000000000", 404)):
        assert is_problem(exact.post(SEARCH, json={"queries": [{"photo": photo}]}), status)
