"""The service over HTTP: right answers, limits, problems, and nothing that should stay inside."""

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import ColorEncoder, record
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from placeprint.api import app as service_app
from placeprint.api import service as service_module
from placeprint.api.app import create_app, run_server
from placeprint.api.problems import STATUS
from placeprint.api.service import Service
from placeprint.api.service_settings import InvalidSettings, ServiceSettings, read_settings
from placeprint.encoders.errors import FingerprintMismatch, GalleryLocked, PlaceprintError, UnknownGallery
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.record import encode_payload
from placeprint.indexer.settings import Settings

PLACES = {"red": (139.77, 35.68), "green": (2.35, 48.86), "blue": (-43.2, -22.9)}
COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
JPEG = {"Content-Type": "image/jpeg"}
MB = 1_000_000

Serve = Callable[..., TestClient]


def picture(color: str, size: int = 64) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), COLORS[color]).save(file, "PNG")
    return file.getvalue()


def ids(answer: Any) -> list[str]:
    return [neighbor["id"] for neighbor in answer.json()["neighbors"]]


def make_gallery(home: Path) -> Path:
    """A gallery of three places in three colors; its payload says where files lie and streets are."""
    encoder, records = ColorEncoder(), []
    for color, (lon, lat) in PLACES.items():
        for i in range(4):
            shade = (np.array(COLORS[color]) * (1.0 - 0.1 * i)).astype(np.uint8)
            embedding = encoder.embed_pixels(np.tile(shade, (1, 16, 16, 1)))[0]
            payload = {"city": color, "street": f"{color} street", "note": f"from holiday-{color}-{i}.jpg"}
            facts = {"lon": lon + 0.1 * i, "lat": lat, "payload": encode_payload(payload)}
            records.append(record(f"/secret/holiday-{color}-{i}.jpg", embedding, **facts))
    with Gallery.create("trips", encoder.fingerprint, settings=Settings(home=home, qdrant_url=None)) as made:
        made.add(records)
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("served"))


@pytest.fixture
def serve(home: Path) -> Iterator[Serve]:
    """A function that starts the service with some settings and gives a client of it."""
    with ExitStack() as stack:

        def start(encoder: ColorEncoder | None = None, **given: Any) -> TestClient:
            settings = ServiceSettings(home=home, qdrant_url=None, lock_timeout_s=0.2, **given)
            app = create_app(settings, Service(settings, encoder or ColorEncoder()))
            client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
            return stack.enter_context(client)

        yield start


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of a service that tells everything and is shared by tests that change nothing."""
    home = make_gallery(tmp_path_factory.mktemp("exact"))
    settings = ServiceSettings(home=home, qdrant_url=None, precision="exact")
    app = create_app(settings, Service(settings, ColorEncoder()))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def is_problem(answer: Any, status: int) -> bool:
    kind = answer.headers["content-type"]
    return (answer.status_code, kind, answer.json()["status"]) == (status, "application/problem+json", status)


# --- answers ---------------------------------------------------------------------------------------


def test_red_finds_red_by_photo_and_by_text(exact: TestClient) -> None:
    for answer in (
        exact.post("/v1/search", params={"k": 4}, content=picture("red"), headers=JPEG),
        exact.post("/v1/search", params={"k": 4, "text": "red"}),
    ):
        assert [one["payload"]["city"] for one in answer.json()["neighbors"]] == ["red"] * 4
        similarity = [one["similarity"] for one in answer.json()["neighbors"]]
        assert similarity == sorted(similarity, reverse=True) and similarity[0] == pytest.approx(1.0)


def test_photo_and_text_together_ask_for_what_lies_between(exact: TestClient) -> None:
    asked = exact.post("/v1/search", params={"text": "blue", "k": 8}, content=picture("red"), headers=JPEG)
    assert {one["payload"]["city"] for one in asked.json()["neighbors"]} == {"red", "blue"}


def test_a_red_photo_is_located_where_red_photos_are(exact: TestClient) -> None:
    answer = exact.post("/v1/locate", content=picture("red"), headers=JPEG).json()
    assert answer["countries"][0]["code"] == "JP"
    assert (answer["lon"], answer["lat"]) == pytest.approx(PLACES["red"], abs=1.0)
    assert answer["regions"]


@pytest.mark.parametrize("precision", ["25km", "exact"])
def test_a_search_keeps_to_its_circle(serve: Serve, precision: str) -> None:
    where = {"near": "2.35,48.86", "radius_km": 200, "text": "red"}
    found = serve(precision=precision).post("/v1/search", params=where).json()["neighbors"]
    assert len(found) == 4
    assert all(one["lon"] == pytest.approx(2.5, abs=0.6) for one in found)


def test_a_condition_on_payload_is_kept_where_it_is_allowed(exact: TestClient) -> None:
    asked = {"text": "red", "where": "city=blue"}
    found = exact.post("/v1/search", params=asked).json()["neighbors"]
    assert [one["payload"]["city"] for one in found] == ["blue"] * 4


def test_the_gallery_is_described(serve: Serve) -> None:
    answer = serve().get("/v1/gallery").json()
    assert (answer["name"], answer["photos"], answer["placed"]) == ("trips", 12, 12)
    assert answer["encoder"] == {"name": "color", "id": ColorEncoder().fingerprint.id, "dimension": 4}
    assert answer["precision"] == "region"


def test_a_gallery_without_places_searches_and_says_why_it_cannot_locate(tmp_path: Path) -> None:
    encoder, settings = ColorEncoder(), ServiceSettings(home=tmp_path, qdrant_url=None)
    with Gallery.create("flat", encoder.fingerprint, settings=settings) as made:
        made.add([record("a.jpg", encoder.embed_texts(["red"])[0])])
    with TestClient(create_app(settings, Service(settings, encoder)), base_url="http://localhost") as client:
        assert len(ids(client.post("/v1/search", params={"text": "red"}))) == 1
        answer = client.post("/v1/locate", content=picture("red"), headers=JPEG)
        assert is_problem(answer, 409)
        assert "has a place" in answer.json()["detail"]


# --- the cap ---------------------------------------------------------------------------------------


def keys_of(value: Any) -> set[str]:
    """All keys of a JSON document, however deep."""
    if isinstance(value, list):
        return {key for item in value for key in keys_of(item)}
    if isinstance(value, dict):
        return {str(key) for key in value} | {key for item in value.values() for key in keys_of(item)}
    return set()


def questions(client: TestClient) -> list[Any]:
    """Answers to every kind of question, the refused ones with them."""
    photo: dict[str, Any] = {"content": picture("red"), "headers": JPEG}
    asked = [
        {}, {"k": "100"}, {"near": "139.77,35.68"}, {"near": "139.77,35.68", "radius_km": "20000"},
        {"where": "city=red"}, {"where": "year=2018"}, {"where": "_place.lon=139.77"}, {"where": "nothing"},
        {"precision": "exact"}, {"text": "yellow"}, {"near": "0,91"}, {"k": "0"},
    ]  # fmt: skip
    return [
        *(client.post("/v1/search", params=parameters, **photo) for parameters in asked),
        client.post("/v1/locate", **photo),
        client.post("/v1/locate", params={"precision": "exact"}, **photo),
        client.post("/v1/locate", content=picture("red")[:60], headers=JPEG),
        client.get("/v1/gallery"),
        client.get("/readyz"),
        client.get("/secret/holiday-red-0.jpeg"),
    ]


@pytest.mark.parametrize("precision", ["country", "region"])
def test_no_question_gets_a_place_out_of_a_coarse_service(serve: Serve, precision: str) -> None:
    answers = questions(serve(precision=precision))
    assert [answer.status_code for answer in answers].count(200) >= 6
    told = {key for answer in answers for key in keys_of(answer.json())}
    places = {"lon", "lat", "coordinates", "geojson", "area_km2", "mode", "regions", "payload", "group"}
    assert told & places == set()
    assert ("states" in told) == (precision == "region")
    assert "street" not in "".join(answer.text for answer in answers)


def test_the_cap_comes_from_the_operator_and_is_coarse_without_a_word(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACEPRINT_PRECISION", raising=False)
    assert read_settings().precision == "region"
    monkeypatch.setenv("PLACEPRINT_PRECISION", "street")
    with pytest.raises(InvalidSettings, match=r"PLACEPRINT_PRECISION: .*'25km' or 'exact'"):
        read_settings()


@pytest.mark.parametrize("parameters", [{"near": "139.77,35.68"}, {"where": "city=red"}])
def test_a_condition_that_would_tell_a_place_is_refused(serve: Serve, parameters: dict[str, str]) -> None:
    answer = serve().post("/v1/search", params={"text": "red", **parameters})
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
        "type": "http", "method": "POST", "path": "/v1/locate", "raw_path": b"/v1/locate", "root_path": "",
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
    assert is_problem(client.post("/v1/locate", content=picture("red"), headers=headers), 413)
    fits = client.post("/v1/locate", content=picture("red") + bytes(MB // 2), headers=JPEG)
    assert fits.status_code == 200


@pytest.mark.parametrize("content", [b"", b"no picture", picture("red")[:60], b"GIF89a"])
def test_a_damaged_photo_is_a_problem_and_the_next_one_is_none(exact: TestClient, content: bytes) -> None:
    damaged = exact.post("/v1/locate", content=content, headers=JPEG)
    assert is_problem(damaged, 422)
    assert damaged.json()["type"] == "urn:placeprint:UnreadableImage"
    assert exact.post("/v1/locate", content=picture("red"), headers=JPEG).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/v1/search", 405), ("POST", "/v1/search", 422)],
)
def test_every_refusal_is_a_problem(exact: TestClient, method: str, path: str, status: int) -> None:
    answer = exact.request(method, path)
    assert is_problem(answer, status)
    assert answer.json()["instance"] == path


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"k": "0"}, "k:"),
        ({"k": "101"}, "k:"),
        ({"text": ""}, "text:"),
        ({"near": "139.77"}, "lon,lat"),
        ({"near": "35.68,139.77"}, "lon, lat"),
        ({"near": "nan,0"}, "not on Earth"),
        ({"near": "0,0", "radius_km": "nan"}, "radius_km:"),
        ({"where": "year"}, "where year: expected name=value"),
        ({"where": "_image=/secret"}, "underscore"),
        ({"where": f"year=1,{10**20}"}, "where year: a number"),
        ({"where": "year=nan"}, "where year: a number"),
        ({"where": 'a"b=1'}, "letters, digits"),
        ({"text": "yellow"}, "red, green and blue"),
    ],
)
def test_a_meaningless_question_says_what_was_expected(
    exact: TestClient, parameters: dict[str, str], word: str
) -> None:
    answer = exact.post("/v1/search", params={"text": "red", **parameters})
    assert is_problem(answer, 422)
    assert word in answer.json()["detail"]


def test_every_error_of_ours_has_a_status_or_is_a_fault_of_the_service() -> None:
    def below(kind: type[PlaceprintError]) -> set[type[PlaceprintError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    faults = {kind.__name__ for kind in below(PlaceprintError) - STATUS.keys()}
    assert faults <= {
        "AnotherRun", "DamagedCheckpoint", "DamagedGallery", "DamagedLedger", "DecoderUnavailable",
        "GalleryLocked", "InvalidCells", "InvalidGalleryName", "InvalidOption", "InvalidProbe",
        "InvalidSettings",
        "MissingLabels", "PlaceprintError", "ReadOnlyGallery", "StoreUnavailable",
        "TilesUnavailable", "TooFewPairs", "UnknownColumns", "UnknownCountry", "UnknownEncoder",
        "UnknownGallery", "UnknownProtocol", "UnreadableSource", "UnwritableFile", "WeightsUnavailable",
        "WrongPhotoSet",
    }  # fmt: skip


def test_a_body_of_another_kind_is_refused(exact: TestClient) -> None:
    answer = exact.post("/v1/search", json={"text": "red"})
    assert is_problem(answer, 415)


class BrokenEncoder(ColorEncoder):
    """Fails with a message that quotes the question."""

    def embed_texts(self, texts: Any) -> NDArray[np.float32]:
        raise RuntimeError(f"tokens of {texts}")


def test_a_fault_of_ours_tells_and_logs_nothing_of_the_question(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "placeprint"):
        answer = serve(BrokenEncoder()).post("/v1/search", params={"text": "my own street"})
    assert is_problem(answer, 500)
    assert answer.json().keys() == {"type", "title", "status", "instance"}
    assert "RuntimeError" in caplog.text and "embed_texts" in caplog.text
    assert "street" not in caplog.text


def test_the_log_has_routes_and_no_questions(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = serve()
    with caplog.at_level(logging.INFO, "placeprint"):
        client.post("/v1/search", params={"text": "red"})
        client.get("/my/own/street")
    lines = [line for name, _, line in caplog.record_tuples if name == "placeprint.service"]
    assert [line.rsplit(" ", 2)[0] for line in lines] == ["POST /v1/search 200", "GET - 404"]


def test_a_foreign_host_name_is_refused(exact: TestClient) -> None:
    assert is_problem(exact.get("/v1/gallery", headers={"Host": "rebound.example:8000"}), 421)
    for host in ("localhost:8000", "[::1]:8000"):
        assert exact.get("/v1/gallery", headers={"Host": host}).status_code == 200


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
    monkeypatch.setattr(service_app, "READY_WITHIN_S", 0.1)
    monkeypatch.setattr(service_module, "MAX_INSIDE", 1)
    client, answers = serve(), []
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    owner, name = (service.encoder, "embed_pixels") if slow == "model" else (service._decoders, "decode")
    gate = Gate(getattr(owner, name))
    monkeypatch.setattr(owner, name, gate)

    def ask() -> None:
        answers.append(client.post("/v1/locate", content=picture("red"), headers=JPEG).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    assert gate.reached.wait(20)
    try:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == (503 if slow == "model" else 200)
        busy = client.post("/v1/search", params={"text": "red"})
        assert is_problem(busy, 503) and busy.headers["retry-after"] == "1"
        assert answers == []
    finally:
        gate.is_open.set()
        asking.join()
    assert answers == [200]
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.post("/v1/search", params={"text": "red"}).status_code == 200


def test_a_service_whose_model_fails_is_alive_but_not_ready(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ColorEncoder()
    client = serve(encoder)
    monkeypatch.setattr(encoder, "embed_pixels", BrokenEncoder().embed_texts)
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert is_problem(answer, 503)
    assert "tokens" not in answer.text


def test_the_gallery_is_held_while_it_is_served_and_let_go_after(home: Path) -> None:
    settings = ServiceSettings(home=home, qdrant_url=None, lock_timeout_s=0.1)
    with TestClient(create_app(settings, Service(settings, ColorEncoder())), base_url="http://localhost"):
        with pytest.raises(GalleryLocked):
            Gallery.open("trips", settings=settings)
    Gallery.open("trips", settings=settings).close()


def test_another_encoder_than_the_gallery_was_built_by_is_refused(home: Path) -> None:
    settings = ServiceSettings(home=home, qdrant_url=None, lock_timeout_s=0.1)
    with pytest.raises(FingerprintMismatch):
        Service(settings, ColorEncoder("another"))
    Gallery.open("trips", settings=settings).close()


def test_the_lifespan_opens_the_gallery_by_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "load_encoder", lambda name, weights: ColorEncoder(name))
    settings = ServiceSettings(home=home, qdrant_url=None, gallery="trips")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "127.0.0.1.example.org", ""])
def test_another_host_than_this_machine_is_refused(host: str) -> None:
    with pytest.raises(InvalidSettings, match=r"PLACEPRINT_HOST: .*no keys yet"):
        run_server("trips", host, 8000)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_this_machine_is_allowed(host: str) -> None:
    assert read_settings(host=host).host == host


def test_without_a_name_the_only_gallery_is_served(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownGallery, match="There are 0"):
        Service(ServiceSettings(home=tmp_path, qdrant_url=None), ColorEncoder())
    service = Service(ServiceSettings(home=home, qdrant_url=None), ColorEncoder())
    assert service.gallery.name == "trips"
    service.close()


def test_the_openapi_document_tells_of_photos_and_problems(exact: TestClient) -> None:
    paths = json.loads(exact.get("/openapi.json").text)["paths"]
    search = paths["/v1/search"]["post"]
    assert "image/*" in search["requestBody"]["content"]
    assert search["responses"].keys() == {"200", "default"}
    assert {"/healthz", "/readyz", "/v1/gallery", "/v1/locate"} <= paths.keys()
