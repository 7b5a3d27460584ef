"""The client against a real server: every verb; and against a made-up one: patience, problems, secrets."""

import io
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import mapbox_vector_tile
import numpy as np
import pytest
import uvicorn
from fakes import ColorEncoder
from PIL import Image
from served import COLORS, PLACES, make_gallery, open_service, picture, settings_at

from placeprint.api import client_transport
from placeprint.api.app import create_app
from placeprint.api.client import Client, JobFailed, ServiceProblem, ServiceUnreachable
from placeprint.api.client_gallery import RemoteGallery
from placeprint.api.client_transport import MAX_WAIT_S
from placeprint.api.schemas.search import LocationQuery
from placeprint.api.serving.keys import KeyRing
from placeprint.encoders.areas import Box, Circle, Polygon
from placeprint.encoders.errors import InvalidCoordinate, InvalidFilter, InvalidOption, UnreadableImage
from placeprint.encoders.image import embed_images

KEY = "pp_secret-key-of-mine"
TOKYO = PLACES["red"]
SQUARE = [[139.0, 35.0], [140.5, 35.0], [140.5, 36.5], [139.0, 36.5], [139.0, 35.0]]


class Counted(httpx.HTTPTransport):
    """Carries requests, and remembers them."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return super().handle_request(request)


@pytest.fixture(scope="module")
def listen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """A function that serves a home on a free port, by a thread, and gives the address."""
    with ExitStack() as stack:

        def start(home: Path, **given: Any) -> str:
            settings = settings_at(home, precision="exact", decoders=1, **given)
            app = create_app(settings, open_service(settings))
            server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none"))
            thread = threading.Thread(target=server.run)
            thread.start()

            def end() -> None:
                server.should_exit = True
                thread.join()

            stack.callback(end)
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

        yield start


@pytest.fixture(scope="module")
def url(listen: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A service whose gallery no test changes."""
    return listen(make_gallery(tmp_path_factory.mktemp("asked")))


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


@pytest.fixture(scope="module")
def trips(client: Client) -> RemoteGallery:
    return client.gallery("trips")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three photos."""
    folder = tmp_path_factory.mktemp("source")
    for color in COLORS:
        (folder / f"{color}.png").write_bytes(picture(color))
    return folder


@pytest.fixture(scope="module")
def changed(listen: Callable[..., str], tmp_path_factory: pytest.TempPathFactory, sources: Path) -> str:
    """A service that is written to."""
    return listen(
        make_gallery(tmp_path_factory.mktemp("changed")), source_folders=[sources], max_body_mb=0.02
    )


def cities(answer: Any) -> list[str]:
    return [one.payload["city"] for one in answer.neighbors]


# --- what there is ---------------------------------------------------------------------------------


def test_the_service_tells_what_it_is(client: Client, url: str) -> None:
    assert client.about().precision == "exact" and not client.about().needs_key
    assert [(one.name, one.n_photos) for one in client.galleries()] == [("trips", 12)]
    assert [one.takes for one in client.models()] == [["image", "text"], ["location"]]
    assert client.gallery("trips").about().model.dimension == 4
    assert (
        repr(client) == f"Client('{url}')" and repr(client.gallery("trips")) == f"<gallery 'trips' at {url}>"
    )


def test_an_unknown_gallery_is_a_problem_in_the_words_of_the_service(client: Client) -> None:
    with pytest.raises(ServiceProblem, match=r"no gallery 'none' is served here") as caught:
        client.gallery("none").about()
    problem = caught.value
    assert (problem.status, problem.title) == (404, "Not Found")
    assert problem.type == "urn:placeprint:UnknownGallery" and str(problem) == problem.detail
    with pytest.raises(InvalidOption, match="key"):
        Client("http://me:secret@127.0.0.1:8000")
    with pytest.raises(LookupError, match="cannot name a gallery"):
        client.gallery("../about")


# --- embeddings ------------------------------------------------------------------------------------


def test_photos_embed_as_they_do_in_the_process_however_they_are_given(client: Client, sources: Path) -> None:
    photos = [
        sources / "red.png",
        str(sources / "green.png"),
        picture("blue"),
        Image.new("RGB", (40, 30), "red"),
    ]
    assert client.embed_images(photos) == pytest.approx(embed_images(ColorEncoder(), photos), abs=1e-6)


def test_many_photos_go_in_several_requests_and_keep_their_order(url: str) -> None:
    counted, told = Counted(), []
    photos = [picture(color) for color in ["red", "green", "blue", "blue"] * 9]
    with Client(url, transport=counted) as client:
        found = client.embed_images(photos, progress=told.append)
    assert [one.url.path for one in counted.requests] == ["/v1/about", *["/v1/embed/images"] * 3]
    assert told == [16, 32, 36]
    assert found.dtype == np.float32 and found.argmax(axis=1).tolist() == [0, 1, 2, 2] * 9


def test_what_is_larger_than_a_body_may_be_goes_in_several(changed: str) -> None:
    counted = Counted()
    noise = np.random.default_rng(0).integers(0, 256, (8, 40, 40, 3), np.uint8)  # some 5 kB each
    with Client(changed, transport=counted) as client:
        assert client.embed_images([Image.fromarray(one) for one in noise]).shape == (8, 4)
    sizes = [int(one.headers["content-length"]) for one in counted.requests[1:]]
    assert len(sizes) == 3 and max(sizes) < 20_000


@pytest.mark.parametrize("before", [0, 3])
def test_an_unreadable_photo_is_named(client: Client, tmp_path: Path, before: int) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    with pytest.raises(ServiceProblem, match=r"broken\.jpg: ") as caught:
        client.embed_images([*[picture("red")] * before, tmp_path / "broken.jpg"])
    assert caught.value.type in ("urn:placeprint:UnreadableImage", "urn:placeprint:UnsupportedFormat")
    with pytest.raises(UnreadableImage, match=r"gone\.jpg: No such file"):
        client.embed_images([tmp_path / "gone.jpg"])


def test_texts_and_places_embed(client: Client) -> None:
    texts = ["red", "green", "blue"] * 50
    assert client.embed_texts(texts) == pytest.approx(ColorEncoder().embed_texts(texts), abs=1e-6)
    places = np.array([[179.9, -16.8], [-179.9, -16.8], [0.0, 90.0]])
    fiji, across, pole = client.embed_locations(np.tile(places, (400, 1)))[-3:]
    assert np.linalg.norm(fiji - across) < 0.3 * np.linalg.norm(fiji - pole)
    assert client.embed_locations(TOKYO).shape == (1, len(fiji))
    with pytest.raises(InvalidCoordinate, match="lon, lat"):
        client.embed_locations([35.68, 139.77])


def test_nothing_embeds_to_nothing(client: Client) -> None:
    assert client.embed_images([]).shape == client.embed_texts([]).shape == (0, 4)
    assert len(client.embed_locations(np.empty((0, 2)))) == 0


# --- searching -------------------------------------------------------------------------------------


def test_one_question_in_many_shapes(client: Client, trips: RemoteGallery, sources: Path) -> None:
    first = trips.search("red", limit=1).neighbors[0]
    shapes: list[Any] = [
        "red", sources / "red.png", picture("red"), Image.open(io.BytesIO(picture("red"))), first,
        trips.get(first.id), client.embed_texts(["red"])[0], {"text": "red"},
        LocationQuery.model_validate({"location": {"lon": TOKYO[0], "lat": TOKYO[1]}}),
    ]  # fmt: skip
    for shape in shapes:
        assert cities(trips.search(shape, limit=4)) == ["red"] * 4, shape


def test_several_questions_with_weights(trips: RemoteGallery) -> None:
    assert set(cities(trips.search(["red", picture("blue")], limit=8))) == {"red", "blue"}
    assert cities(trips.search([("red", 0.1), ("blue", 1.0)], limit=4)) == ["blue"] * 4
    away = trips.search([("red", 1.0), ("blue", -0.9)], limit=12, fusion="rankings")
    assert cities(away)[-4:] == ["blue"] * 4
    assert len(trips.search(("red", 2.0), limit=3).neighbors) == 3
    assert len(trips.search(limit=12).neighbors) == 12


@pytest.mark.parametrize(
    "area",
    [
        Circle(*TOKYO, radius_km=100),
        Box(139, 35, 141, 37),
        Polygon.from_geojson({"type": "Polygon", "coordinates": [SQUARE]}),
        {"type": "Polygon", "coordinates": [SQUARE]},
        {"kind": "circle", "lon": TOKYO[0], "lat": TOKYO[1], "radius_km": 100},
    ],
    ids=["circle", "box", "polygon", "geojson", "json"],
)
def test_areas_of_every_kind(trips: RemoteGallery, area: Any) -> None:
    assert cities(trips.search("blue", within=area)) == ["red"] * 4
    assert "red" not in cities(trips.search("red", exclude_within=area))


def test_conditions_on_what_is_said_of_photos(trips: RemoteGallery) -> None:
    assert set(cities(trips.search("red", where={"city": ["blue", "green"]}))) == {"blue", "green"}
    ids = [one.id for one in trips.search("red", limit=3).neighbors]
    assert ids[0] not in {one.id for one in trips.search("red", exclude_ids=ids[:1]).neighbors}
    assert trips.search("red", captured_from=datetime(2020, 1, 1, tzinfo=UTC)).neighbors == []
    assert trips.search("red", is_placed=False).neighbors == []
    near = trips.search("red", prefer_near=TOKYO, limit=1, min_z_score=-50.0).neighbors[0]
    assert near.score > near.similarity
    with pytest.raises(InvalidFilter, match="no condition 'year'"):
        trips.search("red", year=2018)  # type: ignore[call-arg]
    with pytest.raises(ServiceProblem, match="limit") as caught:
        trips.search("red", limit=501)
    assert caught.value.errors[0]["loc"] == ["body", "limit"]
    with pytest.raises(InvalidOption, match="cannot be sent"):
        trips.search(np.array([np.nan] * 4))


def test_all_pages_hold_each_photo_once_and_the_photo_is_sent_once(url: str) -> None:
    counted = Counted()
    with Client(url, transport=counted) as client:
        trips = client.gallery("trips")
        paged = [one.id for one in trips.search_all([picture("red"), ("blue", 0.5)], page=5)]
        whole = [one.id for one in trips.search([picture("red"), ("blue", 0.5)], limit=12).neighbors]
    assert paged == whole and len(set(paged)) == 12
    assert ["image" in one.content.decode() for one in counted.requests[1:-1]] == [True, False, False, False]


def test_locating_one_photo_and_several_of_a_place(trips: RemoteGallery, sources: Path) -> None:
    alone = trips.locate(str(sources / "red.png"), n_evidence=2)
    assert alone.countries[0].code == "JP" and (alone.n_photos, len(alone.evidence)) == (1, 2)
    together = trips.locate([sources / "red.png", picture("red", 32)], surface=False)
    assert (together.n_photos, together.surface) == (2, None) and alone.surface
    assert (together.lon, together.lat) == pytest.approx(TOKYO, abs=1.0)
    assert trips.locate(picture("red"), prior="uniform").information_bits != alone.information_bits


def test_the_map(trips: RemoteGallery) -> None:
    assert trips.cells(Box(139, 35, 141, 37), 3).n_photos == 4
    assert trips.cells(where={"city": "red", "street": "red street"}).n_photos == 4
    assert trips.cells(where={"city": ["red", "blue"]}).n_photos == 8
    assert trips.cells(captured_from="2020-01-01").n_photos == 0
    assert "cells" in mapbox_vector_tile.decode(trips.tile(0, 0, 0))
    assert {one.value: one.n_photos for one in trips.facet("city").counts} == dict.fromkeys(COLORS, 4)
    with pytest.raises(InvalidFilter, match="one value at a time"):
        trips.cells(where={"city": ["red, green", "blue"]})


# --- writing ---------------------------------------------------------------------------------------


def test_a_photo_comes_and_goes(changed: str) -> None:
    with Client(changed) as client:
        trips = client.gallery("trips")
        facts = {"captured_at": datetime(2020, 2, 3, tzinfo=UTC), "payload": {"city": "Bern"}}
        added = trips.add(Image.new("RGB", (8, 8), "white"), lon=7.45, lat=46.95, group="walk", **facts)
        (id,) = [one for one in added.ids if one]
        assert added.n_embedded == 1
        photo = trips.get(id)
        assert (photo.lon, photo.lat, photo.captured_at) == (7.45, 46.95, facts["captured_at"])
        assert photo.payload is not None and photo.payload["city"] == "Bern"
        assert id in [one.id for one in trips.photos(page=5)]
        assert trips.delete(id, erase=True).n_deleted == 1
        with pytest.raises(ServiceProblem, match="has no photo"):
            trips.get(id)
        assert len(list(trips.photos(page=5))) == 12
        with pytest.raises(InvalidOption, match="payload"):
            trips.add(picture("red"), city="Bern")  # type: ignore[call-arg]


def test_many_photos_are_added_and_those_that_cannot_be_are_named(changed: str, tmp_path: Path) -> None:
    with Client(changed) as client:
        made = client.create_gallery("many", client.models()[0].id)
        shades = [Image.new("RGB", (8, 8), (7 * i, 0, 0)) for i in range(33)]
        paths = [tmp_path / f"{i}.png" for i in range(33)]
        for path, shade in zip(paths, shades, strict=True):
            shade.save(path)
        paths[20].write_bytes(b"\x89PNG")
        paths[32].write_bytes(b"\x89PNG")  # alone in its request
        told: list[int] = []
        added = made.add_all(((path, {"lon": float(i), "lat": 0.0}) for i, path in enumerate(paths)),
                             progress=told.append)  # fmt: skip
        assert [i for i, id in enumerate(added.ids) if id is None] == [20, 32]
        assert [failure.name for failure in added.failures] == [str(paths[20]), str(paths[32])]
        assert (added.n_embedded, added.n_known, told) == (31, 0, [16, 32, 33])
        assert made.get(added.ids[17] or "").lon == 17.0
        assert made.add_all(paths[:3]).n_known == 3
        client.delete_gallery("many")
        assert [one.name for one in client.galleries()] == ["trips"]


def test_a_folder_of_the_server_is_indexed_and_its_photos_are_seen(changed: str, sources: Path) -> None:
    with Client(changed) as client:
        made = client.create_gallery("indexed", client.models()[0].id)
        job, told = client.index("indexed", str(sources)), []
        assert job.wait(progress=told.append, within_s=30.0).detail.startswith("3 embedded")
        assert told[-1] is job.state and job.is_over and "index indexed: done" in repr(job)
        assert client.job(job.state.id).state == job.state
        assert job.state.id in [one.state.id for one in client.jobs()]
        red = made.search("red", limit=1).neighbors[0]
        with Image.open(io.BytesIO(made.thumbnail(red.id, side_px=16))) as small:
            assert small.format == "JPEG" and max(small.size) == 16
        assert client.optimize("indexed").wait(within_s=30.0).status == "done"


def test_a_key_opens_what_it_covers(
    listen: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = KeyRing(tmp_path / "keys.json").create("reader", "read")
    url = listen(make_gallery(tmp_path))
    with Client(url) as client:
        assert client.about().needs_key
        with pytest.raises(ServiceProblem, match="a key is needed"):
            client.galleries()
    monkeypatch.setenv("PLACEPRINT_KEY", key)
    with Client(url) as client:
        assert len(client.galleries()) == 1
        with pytest.raises(ServiceProblem, match="this needs one for write") as caught:
            client.gallery("trips").add(picture("red"))
        assert caught.value.status == 403


# --- a made-up service: patience -------------------------------------------------------------------

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client wanted to sleep."""
    slept: list[float] = []
    monkeypatch.setattr(client_transport.time, "sleep", slept.append)
    return slept


def asking(*answers: httpx.Response | Exception, **given: Any) -> tuple[Client, list[httpx.Request]]:
    """A client of a service that gives these answers, the last for ever."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        found = answers[min(len(requests), len(answers)) - 1]
        if isinstance(found, Exception):
            raise found
        return found

    return Client("http://photos.example.org", transport=httpx.MockTransport(answer), **given), requests


def problem(status: int, retry_after: str | None = None, **more: Any) -> httpx.Response:
    headers = {"Content-Type": "application/problem+json"}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    told = {"type": "urn:placeprint:Busy", "title": "Service Unavailable", "status": status, **more}
    return httpx.Response(status, json=told, headers=headers)


GALLERIES = httpx.Response(200, json={"galleries": [], "something_newer": {"deep": [1]}})


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_no_sooner_than_it_says(waits: list[float], status: int) -> None:
    client, requests = asking(problem(status, "7"), problem(status, "2"), GALLERIES)
    assert client.galleries() == [] and len(requests) == 3
    assert 7.0 <= waits[0] <= 10.6 and 2.0 <= waits[1] <= 3.1


def test_those_who_were_sent_away_together_do_not_come_back_together(waits: list[float]) -> None:
    for _ in range(20):
        asking(problem(503, "4"), GALLERIES)[0].galleries()
    assert max(waits) - min(waits) > 0.5


def test_retry_after_may_be_a_date_and_may_be_nonsense(waits: list[float]) -> None:
    asking(problem(503, "Sun, 06 Nov 1994 08:49:37 GMT"), problem(503, "soon"), GALLERIES)[0].galleries()
    assert len(waits) == 2 and max(waits) < 1.0


def test_patience_ends(waits: list[float]) -> None:
    client, requests = asking(problem(503, "1", detail="32 questions are being answered"), retries=2)
    with pytest.raises(ServiceProblem, match="32 questions") as caught:
        client.galleries()
    assert (len(requests), len(waits), caught.value.retry_after_s) == (3, 2, 1.0)
    client, requests = asking(problem(429, f"{MAX_WAIT_S + 1:.0f}"))
    with pytest.raises(ServiceProblem):
        client.galleries()
    assert len(requests) == 1
    client, requests = asking(problem(500, "1"))
    with pytest.raises(ServiceProblem, match="500"):
        client.galleries()
    assert len(requests) == 1


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadError("gone")])
def test_a_lost_connection_is_tried_anew_with_longer_and_longer_waits(
    waits: list[float], error: Exception
) -> None:
    client, requests = asking(error, error, error, GALLERIES)
    assert client.galleries() == [] and len(requests) == 4
    assert all(0.125 * 2**i <= wait <= 0.25 * 2**i for i, wait in enumerate(waits))


def test_what_must_not_happen_twice_is_asked_once(waits: list[float]) -> None:
    client, requests = asking(httpx.ReadError("gone"))
    with pytest.raises(ServiceUnreachable, match="was lost"):
        client.create_gallery("trips", "color")
    assert len(requests) == 1
    made = {"kind": "index", "gallery": "trips", "id": "0" * 32, "created_at": "2026-01-01T00:00:00Z"}
    client, requests = asking(
        httpx.ConnectError("refused"), httpx.Response(202, json={**made, "status": "running"})
    )
    assert client.index("trips", "/photos").state.status == "running"
    assert len(requests) == 2  # nothing had been sent the first time


def test_who_cannot_be_reached_is_named_with_a_remedy(waits: list[float]) -> None:
    with pytest.raises(ServiceUnreachable, match=r"http://photos\.example\.org.*placeprint serve"):
        asking(httpx.ConnectError("refused"), retries=0)[0].about()
    client, requests = asking(httpx.ReadTimeout("slow"), timeout_s=9.0)
    with pytest.raises(ServiceUnreachable, match=r"within 9 s.*timeout_s"):
        client.about()
    assert len(requests) == 1
    with pytest.raises(ServiceUnreachable, match="not as Placeprint does"):
        asking(httpx.Response(200, text="<html>"))[0].about()
    with pytest.raises(ServiceProblem, match="answered 502 Bad Gateway"):
        asking(httpx.Response(502, text="<html>"))[0].about()
    for url in ("photos.example.org", "ftp://photos.example.org", "", "http://"):
        with pytest.raises(InvalidOption, match="http://127"):
            Client(url)


def test_a_job_that_fails_says_why_and_one_that_goes_on_is_left(waits: list[float]) -> None:
    job = {"id": "0" * 32, "kind": "index", "gallery": "trips", "created_at": "2026-01-01T00:00:00Z"}
    running = httpx.Response(200, json={**job, "status": "running"})
    failed = httpx.Response(200, json={**job, "status": "failed", "detail": "the disk is full"})
    client, requests = asking(running, running, running, failed)
    with pytest.raises(JobFailed, match=r"trips.* failed: the disk is full"):
        client.job("0" * 32).wait()
    assert waits == [pytest.approx(0.1), pytest.approx(0.2)]
    client, requests = asking(running, httpx.Response(200, json={**job, "status": "canceled"}))
    assert client.job("0" * 32).cancel().status == "canceled" and requests[-1].method == "DELETE"
    with pytest.raises(TimeoutError, match="it goes on"):
        asking(running)[0].job("0" * 32).wait(within_s=0.0)


# --- secrets ---------------------------------------------------------------------------------------


def test_the_key_goes_to_the_service_and_nowhere_else(
    waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        client, requests = asking(GALLERIES, problem(401, detail="this key is not known"), key=KEY)
        client.galleries()
        with pytest.raises(ServiceProblem) as caught:
            client.galleries()
    assert requests[0].headers["authorization"] == f"Bearer {KEY}"
    shown = [repr(client), repr(client.gallery("trips")), repr(vars(client)), repr(vars(client._transport))]
    shown += [repr(vars(client._transport._http)), repr(requests), repr(caught.value), caplog.text]
    assert not [text for text in shown if KEY in text]


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}é", f"two {KEY}", f"{KEY}\x00"])
def test_a_key_that_cannot_be_one_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(InvalidOption, match="copy it again") as caught:
        Client(key=key)
    assert KEY not in repr(caught.value) and caught.value.__context__ is None


def test_no_key_is_shown_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLACEPRINT_KEY", raising=False)
    client, requests = asking(GALLERIES)
    client.galleries()
    assert "authorization" not in requests[0].headers


def test_a_redirect_is_not_followed_with_the_key() -> None:
    client, requests = asking(
        httpx.Response(307, headers={"Location": "http://elsewhere.example.org"}), key=KEY
    )
    with pytest.raises(ServiceProblem, match="307"):
        client.about()
    assert len(requests) == 1


def test_importing_the_client_loads_no_model_and_no_store() -> None:
    code = (
        "import sys, placeprint.api.client;"
        "print(sorted({'torch', 'timm', 'open_clip', 'qdrant_client', 'fastapi'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
