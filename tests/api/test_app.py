"""The service over HTTP: right answers, limits, problems, and nothing that should stay inside."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import ColorEncoder, record
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from served import (
    JPEG,
    PLACES,
    TRIPS,
    Serve,
    ids,
    is_problem,
    make_gallery,
    open_service,
    picture,
    serving,
    settings_at,
)

from placeprint.api.app import create_app, run_server
from placeprint.api.serving import service as service_module
from placeprint.api.serving.problems import STATUS
from placeprint.api.serving.service import Service
from placeprint.api.serving.service_settings import InvalidSettings, read_settings
from placeprint.encoders.errors import FingerprintMismatch, GalleryLocked, PlaceprintError, UnknownGallery
from placeprint.indexer.gallery import Gallery

MB = 1_000_000
LOCATE, SEARCH, SEARCH_IMAGE = f"{TRIPS}/geolocate", f"{TRIPS}/search", f"{TRIPS}/search/image"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("served"))


@pytest.fixture
def serve(home: Path) -> Iterator[Serve]:
    """A function that starts the service with some settings and gives a client of it."""
    with serving() as start:
        yield lambda encoder=None, **given: start(home, encoder, **given)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of a service that tells everything and is shared by tests that change nothing."""
    with serving() as start:
        yield start(make_gallery(tmp_path_factory.mktemp("exact")), precision="exact")


def by_text(client: TestClient, text: str, **asked: Any) -> Any:
    return client.post(SEARCH, json={"queries": [{"text": text}], **asked})


# --- answers ---------------------------------------------------------------------------------------


def test_red_finds_red_by_photo_and_by_text(exact: TestClient) -> None:
    for answer in (
        exact.post(SEARCH_IMAGE, params={"limit": 4}, content=picture("red"), headers=JPEG),
        by_text(exact, "red", limit=4),
    ):
        assert [one["payload"]["city"] for one in answer.json()["neighbors"]] == ["red"] * 4
        similarity = [one["similarity"] for one in answer.json()["neighbors"]]
        assert similarity == sorted(similarity, reverse=True) and similarity[0] == pytest.approx(1.0)


def test_photo_and_text_together_ask_for_what_lies_between(exact: TestClient) -> None:
    parameters = {"text": "blue", "limit": 8}
    asked = exact.post(SEARCH_IMAGE, params=parameters, content=picture("red"), headers=JPEG)
    assert {one["payload"]["city"] for one in asked.json()["neighbors"]} == {"red", "blue"}


def test_a_red_photo_is_located_where_red_photos_are(exact: TestClient) -> None:
    answer = exact.post(LOCATE, content=picture("red"), headers=JPEG).json()
    assert answer["countries"][0]["code"] == "JP"
    assert (answer["lon"], answer["lat"]) == pytest.approx(PLACES["red"], abs=1.0)
    assert answer["regions"] and answer["precision"] == "exact"
    assert answer["evidence"][0]["payload"]["city"] == "red"
    assert sum(cell["probability"] for cell in answer["surface"]) == pytest.approx(0.95, abs=0.06)


@pytest.mark.parametrize("precision", ["25km", "exact"])
def test_a_search_keeps_to_its_circle(serve: Serve, precision: str) -> None:
    circle = {"kind": "circle", "lon": 2.35, "lat": 48.86, "radius_km": 200}
    found = by_text(serve(precision=precision), "red", filter={"within": circle}).json()["neighbors"]
    assert len(found) == 4
    assert all(one["lon"] == pytest.approx(2.5, abs=0.6) for one in found)


def test_a_condition_on_payload_is_kept_where_it_is_allowed(exact: TestClient) -> None:
    found = by_text(exact, "red", filter={"where": {"city": "blue"}}).json()["neighbors"]
    assert [one["payload"]["city"] for one in found] == ["blue"] * 4


def test_the_gallery_is_described(serve: Serve) -> None:
    answer = serve().get(TRIPS).json()
    assert (answer["name"], answer["n_photos"], answer["n_placed"]) == ("trips", 12, 12)
    model = {"name": "color", "id": ColorEncoder().fingerprint.id, "dimension": 4, "takes_text": True}
    assert answer["model"] == model
    assert answer["precision"] == "region" and not answer["can_search_areas"]


def test_a_gallery_without_places_searches_and_says_why_it_cannot_locate(tmp_path: Path) -> None:
    encoder = ColorEncoder()
    with Gallery.create("trips", encoder.fingerprint, settings=settings_at(tmp_path)) as made:
        made.add([record("a.jpg", encoder.embed_texts(["red"])[0])])
    with serving() as start:
        client = start(tmp_path)
        assert len(ids(by_text(client, "red"))) == 1
        answer = client.post(LOCATE, content=picture("red"), headers=JPEG)
        assert is_problem(answer, 409)
        assert "has a place" in answer.json()["detail"]
        assert client.get(TRIPS).json()["can_locate"] is False


# --- the cap ---------------------------------------------------------------------------------------


def keys_of(value: Any) -> set[str]:
    """All keys of a JSON document, however deep."""
    if isinstance(value, list):
        return {key for item in value for key in keys_of(item)}
    if isinstance(value, dict):
        return {str(key) for key in value} | {key for item in value.values() for key in keys_of(item)}
    return set()


def values_of(value: Any, names: set[str]) -> list[Any]:
    """All values but null under some keys of a JSON document, however deep."""
    if isinstance(value, list):
        return [one for item in value for one in values_of(item, names)]
    if isinstance(value, dict):
        own = [one for key, one in value.items() if key in names and one is not None]
        return own + [one for item in value.values() for one in values_of(item, names)]
    return []


def questions(client: TestClient) -> list[Any]:
    """Answers to every kind of question, the refused ones with them."""
    photo: dict[str, Any] = {"content": picture("red"), "headers": JPEG}
    asked = [
        {}, {"limit": "100"}, {"near": "139.77,35.68"}, {"near": "139.77,35.68", "radius_km": "20000"},
        {"where": "city=red"}, {"where": "year=2018"}, {"where": "_place.lon=139.77"}, {"where": "nothing"},
        {"precision": "exact"}, {"text": "yellow"}, {"near": "0,91"}, {"limit": "0"},
    ]  # fmt: skip
    place = {"lon": 139.77, "lat": 35.68}
    bodies: list[dict[str, Any]] = [
        {}, {"queries": [{"location": place}]}, {"queries": [{"text": "red"}], "prefer_near": place},
        {"filter": {"within": {"kind": "box", "west": 139, "south": 35, "east": 140, "north": 36}}},
        {"filter": {"exclude_within": {"kind": "circle", **place, "radius_km": 5}}},
        {"filter": {"where": {"street": "red street"}}}, {"filter": {"is_placed": True}},
    ]  # fmt: skip
    known = ids(by_text(client, "red"))[0]
    return [
        *(client.post(SEARCH_IMAGE, params=parameters, **photo) for parameters in asked),
        *(client.post(SEARCH, json=body) for body in bodies),
        client.post(LOCATE, **photo),
        client.post(LOCATE, params={"precision": "exact"}, **photo),
        client.post(LOCATE, content=picture("red")[:60], headers=JPEG),
        *(client.get(f"{TRIPS}{path}") for path in (
            "", "/photos", f"/photos/{known}", f"/photos/{known}/thumbnail", "/facets/year", "/facets/city",
        )),
        client.get("/v1/galleries"),
        client.get("/v1/about"),
        client.get("/readyz"),
        client.get("/secret/holiday-red-0.jpeg"),
    ]  # fmt: skip


@pytest.mark.parametrize("precision", ["country", "region"])
def test_no_question_gets_a_place_out_of_a_coarse_service(serve: Serve, precision: str) -> None:
    answers = questions(serve(precision=precision))
    assert [answer.status_code for answer in answers].count(200) >= 6
    told = {key for answer in answers for key in keys_of(answer.json())}
    assert told & {"coordinates", "geojson", "area_km2", "mode", "regions", "surface"} == set()
    names = {"lon", "lat", "payload", "group", "distance_km"}
    assert [value for answer in answers for value in values_of(answer.json(), names)] == []
    assert ("states" in told) == (precision == "region")
    assert "red street" not in "".join(answer.text for answer in answers)


def test_the_cap_comes_from_the_operator_and_is_coarse_without_a_word(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACEPRINT_PRECISION", raising=False)
    assert read_settings().precision == "region"
    monkeypatch.setenv("PLACEPRINT_PRECISION", "street")
    with pytest.raises(InvalidSettings, match=r"PLACEPRINT_PRECISION: .*'25km' or 'exact'"):
        read_settings()


@pytest.mark.parametrize(
    "filter",
    [
        {"within": {"kind": "circle", "lon": 139.77, "lat": 35.68, "radius_km": 1}},
        {"exclude_within": {"kind": "circle", "lon": 139.77, "lat": 35.68, "radius_km": 1}},
        {"where": {"city": "red"}},
    ],
)
def test_a_condition_that_would_tell_a_place_is_refused(serve: Serve, filter: dict[str, Any]) -> None:
    answer = by_text(serve(), "red", filter=filter)
    assert is_problem(answer, 403)
    assert "PLACEPRINT_PRECISION" in answer.json()["detail"]


@pytest.mark.parametrize("precision", ["region", "exact"])
def test_no_answer_names_a_file_of_the_gallery(serve: Serve, home: Path, precision: str) -> None:
    text = "".join(answer.text for answer in questions(serve(precision=precision)))
    asked_for = "/secret/holiday-red-0.jpeg"  # that path is the caller's own
    for secret in ("secret", "holiday", str(home)):
        assert secret not in text.replace(asked_for, "")


# --- limits and problems ---------------------------------------------------------------------------


def test_a_body_is_counted_while_it_comes_in(serve: Serve) -> None:
    client, n_sent, sent = serve(max_body_mb=1.0), 0, []

    async def receive() -> dict[str, Any]:
        nonlocal n_sent
        n_sent += 1
        return {"type": "http.request", "body": bytes(100_000), "more_body": True}  # without end

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"image/jpeg")]
    scope = {
        "type": "http", "method": "POST", "path": LOCATE, "raw_path": LOCATE.encode(), "root_path": "",
        "query_string": b"", "headers": headers, "scheme": "http", "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1), "http_version": "1.1", "state": {},
    }  # fmt: skip
    assert client.portal is not None
    client.portal.call(client.app, scope, receive, send)
    assert (sent[0]["status"], n_sent) == (413, 11)
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_body_declared_too_large_is_refused_unread(serve: Serve) -> None:
    client = serve(max_body_mb=1.0)
    headers = {**JPEG, "Content-Length": str(2 * MB)}
    assert is_problem(client.post(LOCATE, content=picture("red"), headers=headers), 413)
    fits = client.post(LOCATE, content=picture("red") + bytes(MB // 2), headers=JPEG)
    assert fits.status_code == 200


@pytest.mark.parametrize("content", [b"no picture", picture("red")[:60], b"\xff\xd8\xff"])
def test_a_damaged_photo_is_a_problem_and_the_next_one_is_none(exact: TestClient, content: bytes) -> None:
    damaged = exact.post(LOCATE, content=content, headers=JPEG)
    assert is_problem(damaged, 415) or is_problem(damaged, 422)
    assert damaged.json()["type"] in ("urn:placeprint:UnreadableImage", "urn:placeprint:UnsupportedFormat")
    assert exact.post(LOCATE, content=picture("red"), headers=JPEG).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", SEARCH, 405),
        ("POST", SEARCH, 422),
        ("POST", LOCATE, 422),
        ("GET", "/v1/galleries/none", 404),
        ("GET", "/v1/galleries/%2e%2e", 422),
        ("GET", "/v1/galleries/Trips", 422),
        ("GET", f"{TRIPS}/tiles/0/1/0.mvt", 404),
    ],
)
def test_every_refusal_is_a_problem(exact: TestClient, method: str, path: str, status: int) -> None:
    answer = exact.request(method, path)
    assert is_problem(answer, status)
    assert answer.json()["instance"] == path.replace("%2e", ".")


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"limit": "0"}, "limit:"),
        ({"limit": "501"}, "limit:"),
        ({"text": ""}, "text:"),
        ({"near": "139.77"}, "lon,lat"),
        ({"near": "35.68,139.77"}, "lon, lat"),
        ({"near": "nan,0"}, "not on Earth"),
        ({"near": "0,0", "radius_km": "nan"}, "radius_km:"),
        ({"where": "year"}, "where year: expected name=value"),
        ({"where": "_image=/secret"}, "without _"),
        ({"where": f"year=1,{10**20}"}, "where year: a number"),
        ({"where": "year=nan"}, "where year: a number"),
        ({"where": 'a"b=1'}, "letters, digits"),
        ({"text": "yellow"}, "red, green and blue"),
    ],
)
def test_a_meaningless_question_says_what_was_expected(
    exact: TestClient, parameters: dict[str, str], word: str
) -> None:
    answer = exact.post(SEARCH_IMAGE, params=parameters, content=picture("red"), headers=JPEG)
    assert is_problem(answer, 422)
    assert word in answer.json()["detail"]


def test_every_error_of_ours_has_a_status_or_is_a_fault_of_the_service() -> None:
    def below(kind: type[PlaceprintError]) -> set[type[PlaceprintError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    faults = {kind.__name__ for kind in below(PlaceprintError) - STATUS.keys()}
    assert faults <= {
        "AnotherRun", "DamagedArchive", "DamagedCheckpoint", "DamagedGallery", "DamagedLedger",
        "DecoderUnavailable", "ImageryRefused", "InvalidCells", "InvalidGalleryName", "InvalidKeys",
        "InvalidOption",
        "InvalidProbe", "InvalidSettings", "JobFailed",
        "MissingLabels", "MissingOriginals", "NoImagery", "NoMapTiles",
        "PictureTooLarge", "PlaceprintError",
        "ServiceProblem", "ServiceUnreachable", "StoreUnavailable",
        "TilesUnavailable", "TooFewPairs", "UnknownColumns", "UnknownCountry", "UnknownProtocol",
        "UninitializedVocabulary", "UnknownVector", "UnwritableFile", "WrongPhotoSet",
    }  # fmt: skip


def test_a_body_of_another_kind_is_refused(exact: TestClient) -> None:
    assert is_problem(exact.post(LOCATE, json={"text": "red"}), 415)
    assert is_problem(exact.post(SEARCH, content=picture("red"), headers=JPEG), 422)


class BrokenEncoder(ColorEncoder):
    """Fails with a message that quotes the question."""

    def embed_texts(self, texts: Any) -> NDArray[np.float32]:
        raise RuntimeError(f"tokens of {texts}")


def test_a_fault_of_ours_tells_and_logs_nothing_of_the_question(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "placeprint"):
        answer = by_text(serve(BrokenEncoder()), "my own street")
    assert is_problem(answer, 500)
    assert answer.json().keys() == {"type", "title", "status", "instance"}
    assert "RuntimeError" in caplog.text and "embed_texts" in caplog.text
    assert "street" not in caplog.text


def test_the_log_has_routes_and_no_questions(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = serve()
    with caplog.at_level(logging.INFO, "placeprint"):
        by_text(client, "red")
        client.get("/my/own/street")
    lines = [line for name, _, line in caplog.record_tuples if name == "placeprint.service"]
    assert [line.rsplit(" ", 2)[0] for line in lines] == [
        "POST /v1/galleries/{gallery}/search 200",
        "GET - 404",
    ]


def test_a_foreign_host_name_is_refused(exact: TestClient) -> None:
    assert is_problem(exact.get(TRIPS, headers={"Host": "rebound.example:8000"}), 421)
    for host in ("localhost:8000", "[::1]:8000"):
        assert exact.get(TRIPS, headers={"Host": host}).status_code == 200


# --- life ------------------------------------------------------------------------------------------


class Gate:
    """Lets a call through once it is opened."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.reached, self.is_open = function, threading.Event(), threading.Event()

    def __call__(self, *args: Any) -> Any:
        self.reached.set()
        assert self.is_open.wait(20)
        return self.function(*args)


@pytest.mark.parametrize("slow", ["model", "decoder"])
def test_the_process_answers_while_a_photo_is_at_work(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    monkeypatch.setattr(service_module, "READY_WITHIN_S", 0.1)
    monkeypatch.setattr(service_module, "CANARY_AFTER_S", 0.0)
    encoder = ColorEncoder()
    client, answers = serve(encoder, max_locating=1), []
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    owner, name = (encoder, "embed_pixels") if slow == "model" else (service.decoders.pools[0], "decode")
    gate = Gate(getattr(owner, name))
    monkeypatch.setattr(owner, name, gate)

    def ask() -> None:
        answers.append(client.post(LOCATE, content=picture("red"), headers=JPEG).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    assert gate.reached.wait(20)
    try:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == (503 if slow == "model" else 200)
        busy = client.post(LOCATE, content=picture("red"), headers=JPEG)
        assert is_problem(busy, 503) and busy.headers["retry-after"] == "1"
        assert answers == []
    finally:
        gate.is_open.set()
        asking.join()
    assert answers == [200]
    assert by_text(client, "red").status_code == 200


def test_readiness_is_false_within_a_second_of_a_dead_model_thread(serve: Serve) -> None:
    client = serve()
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    assert client.get("/readyz").json() == {"status": "ready"}

    def die(batch: Any) -> Any:
        raise SystemExit

    service.worker.submit(die, None, within_s=5.0)
    end = time.monotonic() + 1.0
    while client.get("/readyz").status_code == 200:
        assert time.monotonic() < end
    assert is_problem(client.get("/readyz"), 503)
    assert is_problem(by_text(client, "red"), 503)
    assert client.get("/healthz").status_code == 200


def test_a_service_whose_model_fails_is_alive_but_not_ready(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "CANARY_AFTER_S", 0.0)
    encoder = ColorEncoder()
    client = serve(encoder)
    monkeypatch.setattr(encoder, "embed_pixels", BrokenEncoder().embed_texts)
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert is_problem(answer, 503)
    assert "tokens" not in answer.text


def test_the_gallery_is_held_while_it_is_served_and_let_go_after(home: Path) -> None:
    settings = settings_at(home)
    with serving() as start:
        start(home)
        with pytest.raises(GalleryLocked):
            Gallery.open("trips", settings=settings)
    Gallery.open("trips", settings=settings).close()


def test_another_encoder_than_the_gallery_was_built_by_is_refused(home: Path) -> None:
    with pytest.raises(FingerprintMismatch):
        open_service(settings_at(home), ColorEncoder("another"))
    Gallery.open("trips", settings=settings_at(home)).close()


def test_the_lifespan_opens_the_gallery_by_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "load_encoder", lambda name, weights, device: ColorEncoder(name))
    with TestClient(
        create_app(settings_at(home, galleries=["trips"])), base_url="http://localhost"
    ) as client:
        assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("host", ["192.168.1.5", "10.0.0.1"])
def test_beyond_this_machine_a_key_is_needed(home: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACEPRINT_HOME", str(home))
    with pytest.raises(InvalidSettings, match=r"PLACEPRINT_HOST: .*placeprint keys create"):
        run_server(galleries=["trips"], host=host, port=0)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "photos.example.org", "127.0.0.1.example.org"])
def test_a_host_that_is_not_one_address_needs_the_names_of_the_service(host: str) -> None:
    with pytest.raises(InvalidSettings, match="PLACEPRINT_HOSTNAMES"):
        read_settings(host=host)
    assert not read_settings(host=host, hostnames=["photos.example.org"]).is_local


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_this_machine_is_allowed(host: str) -> None:
    assert read_settings(host=host).host == host


def test_all_galleries_are_served_or_those_that_are_named(tmp_path: Path) -> None:
    make_gallery(tmp_path)
    make_gallery(tmp_path, "more")
    with serving() as start:
        names = [one["name"] for one in start(tmp_path).get("/v1/galleries").json()["galleries"]]
    assert names == ["more", "trips"]
    with serving() as start:
        client = start(tmp_path, galleries=["more"])
        assert client.get(TRIPS).status_code == 404 and client.get("/v1/galleries/more").status_code == 200
    with pytest.raises(UnknownGallery, match="no gallery 'none'"):
        open_service(settings_at(tmp_path, galleries=["none"]))


def test_a_broken_gallery_does_not_keep_the_others_from_being_served(tmp_path: Path) -> None:
    for name in ("trips", "broken", "more"):
        make_gallery(tmp_path, name)
    (tmp_path / "galleries" / "broken" / "gallery.json").write_text("{")
    with serving() as start:
        answer = start(tmp_path).get("/v1/galleries").json()
    assert [one["name"] for one in answer["galleries"]] == ["more", "trips"]
    assert answer["n_unavailable"] == 1


def test_the_openapi_document_tells_of_photos_and_problems(exact: TestClient) -> None:
    paths = json.loads(exact.get("/openapi.json").text)["paths"]
    locate = paths["/v1/galleries/{gallery}/geolocate"]["post"]
    assert {"image/jpeg", "multipart/form-data"} <= locate["requestBody"]["content"].keys()
    assert {"200", "401", "413", "415", "422", "503"} <= locate["responses"].keys()
    assert "application/problem+json" in locate["responses"]["422"]["content"]
    for path, operations in paths.items():
        for verb, operation in operations.items():
            assert operation.get("description") or operation.get("summary"), (verb, path)
