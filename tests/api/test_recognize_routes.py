"""The very place over HTTP: the answers of the command line, bodies, caps, heavy work, and refusals."""

import asyncio
import base64
import hashlib
import io
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image
from place_recognition_fakes import CONV, load_backbone, look, walk, write_weights
from served import TRIPS, Carried, is_problem, make_gallery, picture, serving

from placeprint.api.client import Client, ServiceProblem
from placeprint.api.serving import recognizing
from placeprint.api.serving.model_worker import ModelWorker
from placeprint.api.serving.models import Models
from placeprint.api.serving.service import Service
from placeprint.encoders.errors import InvalidFilter, UnreadableImage
from placeprint.encoders.image import embed_images
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.named_vectors import VectorCard
from placeprint.indexer.recognize import recognize
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

N_PLACES = 6
WALKS = "/v1/galleries/walks"
WHERE, MATCH = f"{WALKS}/recognize", f"{WALKS}/recognize/match-map"
PNG = {"Content-Type": "image/png"}

Start = Callable[..., TestClient]


def as_png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


ASKED = as_png(look(4, 9))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of three encoders: the gallery's own, and those of the vectors ``place`` and ``second``."""
    folder = tmp_path_factory.mktemp("weights")
    return [write_weights(CONV, folder, seed=seed) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def made(weights: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six places, each in three frames of a walk of its own, looked at by three encoders."""
    home = tmp_path_factory.mktemp("made")
    (home / "photos").mkdir()
    lines = ["image,lon,lat,walk,place"]
    for place, (lon, lat) in enumerate(walk(N_PLACES, apart_m=90_000.0).tolist()):
        for day in range(3):
            (home / "photos" / f"secret-{place}-{day}.png").write_bytes(as_png(look(place, day)))
            lines.append(f"secret-{place}-{day}.png,{lon},{lat},walk {place},{place}")
    (home / "photos" / "photos.csv").write_text("\n".join(lines))
    settings = Settings(home=home, qdrant_url=None)
    own, *others = [load_backbone(CONV, file) for file in weights]
    source = list_source(home / "photos" / "photos.csv", group_column="walk")
    with Gallery.create(
        "walks", own.fingerprint, encoder=CONV, weights=weights[0], settings=settings
    ) as gallery:
        index(source, gallery, own, workers=1)
        sha256s = [entry.sha256 for entry in gallery.state.entries.values()]
        photos = [Path(key) for key in gallery.state.entries]
        for name, other, file in zip(("place", "second"), others, weights[1:], strict=True):
            card = VectorCard(name=name, fingerprint=other.fingerprint, encoder=CONV, weights=str(file))
            gallery.vectors.begin(card)
            gallery.vectors.add(name, sha256s, embed_images(other, photos))
    make_gallery(home)
    return home


@pytest.fixture(scope="module")
def start(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """A function that serves a copy of the galleries, for one gallery is served by one service."""
    with serving() as begin:

        def copied(**given: Any) -> TestClient:
            home = tmp_path_factory.mktemp("served") / "home"
            shutil.copytree(made / "galleries", home / "galleries")
            return begin(home, decoders=1, **given)

        yield copied


@pytest.fixture(scope="module")
def exact(start: Start) -> TestClient:
    return start(precision="exact")


def ask(client: TestClient, path: str = WHERE, content: bytes = ASKED, **options: Any) -> Any:
    return client.post(path, params=options, content=content, headers=PNG)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["neighbors"]]


def service_of(client: TestClient) -> Service:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


# --- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"look_again": 0}, {"unsure": 0.0, "look_again": 4}])
def test_the_service_answers_as_the_command_line_does(
    exact: TestClient, weights: list[Path], options: dict[str, Any]
) -> None:
    gallery = service_of(exact).gallery("walks").gallery
    looked_at = {"looked_at": options["look_again"], "unsure": options.get("unsure", 0.97)}
    encoder = load_backbone(CONV, weights[1])
    expected = recognize(gallery, encoder, ASKED, using="place", k=5, **looked_at)
    answer = ask(exact, limit=5, **options)
    assert ids(answer) == [one.photo.id for one in expected.found]
    told = answer.json()
    for name in ("score", "similarity"):
        found = [getattr(one, name) for one in expected.found]
        assert [one[name] for one in told["neighbors"]] == [
            None if one is None else pytest.approx(one, abs=1e-5) for one in found
        ]
    assert told["doubt"] == pytest.approx(expected.doubt, abs=1e-3)
    assert (told["looked_again"], told["missing"], told["notes"]) == (expected.looked_again, [], [])
    assert told["n_looked_at"] == (4 if expected.looked_again else 0)


def test_one_frame_of_each_walk_answers_and_the_very_place_comes_first(exact: TestClient) -> None:
    told = ask(exact, limit=10, unsure=0.0).json()
    places = [one["payload"]["place"] for one in told["neighbors"]]
    assert places[0] == 4 and sorted(places) == list(range(N_PLACES))
    first = told["neighbors"][0]
    assert first["lon"] == pytest.approx(walk(N_PLACES, apart_m=90_000.0)[4, 0])
    assert exact.get(first["thumbnail"]).headers["content-type"] == "image/jpeg"


def test_a_second_look_is_taken_where_unsure_alone(exact: TestClient) -> None:
    doubt = ask(exact, look_again=0).json()["doubt"]
    assert 0.0 < doubt < 1.0
    assert not ask(exact, unsure=min(1.0, doubt + 0.01)).json()["looked_again"]
    unsure = ask(exact, unsure=doubt - 0.01).json()
    assert unsure["looked_again"] and unsure["n_looked_at"] == N_PLACES  # there are no more walks


def test_photos_whose_files_are_gone_are_named_and_come_after_the_others(
    exact: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = ids(ask(exact, look_again=0))[0]
    real = recognizing.read_original

    def without(id: str, keys: Any) -> bytes:
        return real(id, () if id == gone else keys)

    monkeypatch.setattr(recognizing, "read_original", without)
    told = ask(exact, unsure=0.0, look_again=4, limit=5).json()
    assert told["missing"] == [gone] and told["n_looked_at"] == 3
    assert [one["score"] is None for one in told["neighbors"]] == [False] * 3 + [True] * 2
    assert told["neighbors"][3]["id"] == gone


def test_a_damaged_original_is_as_one_that_is_gone(
    exact: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognizing, "read_original", lambda id, keys: b"\x89PNG no picture")
    told = ask(exact, unsure=0.0, look_again=3, limit=3).json()
    assert told["n_looked_at"] == 0 and [one["id"] for one in told["neighbors"]] == told["missing"]


# --- bodies ----------------------------------------------------------------------------------------


def test_a_photo_alone_in_a_form_and_in_json_are_one_question(exact: TestClient) -> None:
    options = {"limit": 3, "look_again": 2, "unsure": 0.0, "using": "image"}
    alone = ask(exact, **options)
    form = exact.post(WHERE, params=options, files={"images": ("a.png", ASKED, "image/png")})
    image = "data:image/png;base64," + base64.b64encode(ASKED).decode()
    in_json = exact.post(WHERE, json={"image": image, **options})
    assert ids(alone) == ids(form) == ids(in_json)
    assert alone.json()["using"] == "image" and alone.json()["n_looked_at"] == 2


def test_filters_are_those_of_a_search(exact: TestClient) -> None:
    lon, lat = walk(N_PLACES, apart_m=90_000.0)[1].tolist()
    near = ask(exact, near=f"{lon},{lat}", radius_km=10.0, look_again=0)
    circle = {"kind": "circle", "lon": lon, "lat": lat, "radius_km": 10.0}
    image = base64.b64encode(ASKED).decode()
    within = exact.post(WHERE, json={"image": image, "look_again": 0, "filter": {"within": circle}})
    where = ask(exact, where="place=1", look_again=0)
    assert ids(near) == ids(within) == ids(where) and len(ids(near)) == 1
    assert where.json()["neighbors"][0]["payload"]["place"] == 1
    nothing = ask(exact, where="place=99")
    assert ids(nothing) == [] and nothing.json()["doubt"] == 1.0


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"json": {"image": "AAAAAAAA"}, "params": {"limit": 3}}, 422, "none in the address"),
        ({"json": {"image": "AAAAAAAA", "limits": 3}}, 422, "limits"),
        ({"json": {"limit": 3}}, 422, "image"),
        ({"json": {"image": "not base64!"}}, 422, "base64"),
        ({"json": {"image": "AAAAAAAA", "unsure": 2}}, 422, "unsure"),
        ({"json": {"image": "AAAAAAAA", "limit": 101}}, 422, "limit"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 422, "JSON"),
        ({"content": b"\xff\xfe", "headers": {"Content-Type": "application/json"}}, 422, "JSON"),
        ({"content": b"[" * 70_000, "headers": {"Content-Type": "application/json"}}, 422, "JSON"),
        ({"content": b"," * 200_000, "headers": {"Content-Type": "application/json"}}, 422, "no question"),
        ({"content": ASKED, "headers": {"Content-Type": "text/plain"}}, 415, "image/"),
        ({"content": b"", "headers": PNG}, 422, "empty"),
        ({"content": b"no picture at all", "headers": PNG}, 415, "formats"),
        ({"content": ASKED[:200], "headers": PNG}, 422, "damaged"),
        ({"files": [("images", ("a", ASKED)), ("images", ("b", ASKED))]}, 422, "at most 1 photo"),
    ],
)
@pytest.mark.parametrize("path", [WHERE, MATCH])
def test_what_cannot_be_asked_is_refused_with_a_word_on_why(
    exact: TestClient, path: str, sent: dict[str, Any], status: int, said: str
) -> None:
    answer = exact.post(path, **sent)
    assert is_problem(answer, status), answer.text
    assert said in answer.json()["detail"]


# --- encoders --------------------------------------------------------------------------------------


def test_vectors_are_those_named_place_unless_others_are_asked_for(exact: TestClient) -> None:
    assert ask(exact).json()["using"] == "place"
    own, place = (ask(exact, using=using, look_again=0).json() for using in ("image", "place"))
    assert own["doubt"] != place["doubt"]
    assert own["neighbors"][0]["z_score"] is not None and place["neighbors"][0]["z_score"] is None
    assert exact.get(WALKS).json()["vectors"] == ["place"]


def test_vectors_whose_encoder_is_not_loaded_are_refused_with_the_remedy(exact: TestClient) -> None:
    answer = ask(exact, using="second")
    remedy = """PLACEPRINT_VECTORS='["place", "second"]'"""
    assert is_problem(answer, 409) and remedy in answer.json()["detail"]
    answer = ask(exact, using="third")
    assert is_problem(answer, 422) and "there are image, place, second" in answer.json()["detail"]


def test_the_operator_says_which_encoders_are_loaded(start: Start) -> None:
    client = start(precision="exact", vectors=["second"])
    assert ask(client, using="second").json()["using"] == "second"
    answer = ask(client)  # those named `place` are compared by default, and are not at hand
    assert is_problem(answer, 409) and "using=image" in answer.json()["detail"]
    assert client.get(WALKS).json()["vectors"] == ["second"]


def test_no_caller_can_name_the_encoder_of_named_vectors(exact: TestClient) -> None:
    served = service_of(exact).gallery("walks")
    named = {model.fingerprint.id for model in service_of(exact).models}  # as /v1/models tells
    assert served.model.fingerprint.id in named and served.beside["place"].fingerprint.id not in named


@pytest.mark.parametrize(("are_others", "said"), [(False, "no such file"), (True, "vectors build place")])
def test_a_gallery_is_served_without_an_encoder_whose_weights_are_gone_or_others(
    exact: TestClient, weights: list[Path], caplog: pytest.LogCaptureFixture, are_others: bool, said: str
) -> None:
    kept = weights[1].read_bytes()
    weights[1].unlink()
    if are_others:
        weights[1].write_bytes(weights[2].read_bytes())
    worker = ModelWorker()
    try:
        assert Models(worker).beside(service_of(exact).gallery("walks").gallery, ["place"]) == {}
    finally:
        worker.close()
        weights[1].write_bytes(kept)
    assert "nothing is recognized by place" in caplog.text and said in caplog.text


def test_an_encoder_without_layers_to_read_takes_no_second_look(exact: TestClient) -> None:
    path = f"{TRIPS}/recognize"
    told = ask(exact, path, picture("red"), unsure=0.0).json()
    assert not told["looked_again"] and told["neighbors"][0]["payload"]["city"] == "red"
    assert not told["may_look_again"] and ask(exact, look_again=0).json()["may_look_again"]
    for refused in (
        ask(exact, path, picture("red"), look_again=5),
        ask(exact, f"{path}/match-map", picture("red")),
    ):
        assert is_problem(refused, 422) and "cannot be read" in refused.json()["detail"]


# --- what may be told ------------------------------------------------------------------------------


@pytest.mark.parametrize("cap", ["region", "25km"])
def test_under_a_cap_no_group_decides_who_answers(start: Start, cap: str) -> None:
    client = start(precision=cap)
    told = ask(client, limit=18, look_again=0).json()
    assert len(told["neighbors"]) == 18 and "each answer for themselves" in told["notes"][0]
    assert all(one["payload"] is None for one in told["neighbors"])
    exactly = walk(N_PLACES, apart_m=90_000.0)
    for one in told["neighbors"]:
        if cap == "25km":
            assert abs(exactly - (one["lon"], one["lat"])).max(axis=1).min() > 1e-3
        else:
            assert one["lon"] is None and one["lat"] is None
    assert is_problem(ask(client, where="place=4"), 403)
    lon, lat = exactly[4].tolist()
    near = ask(client, near=f"{lon},{lat}", radius_km=40.0, look_again=0)
    assert len(ids(near)) == 3 if cap == "25km" else is_problem(near, 403)


def test_a_photo_in_a_sensitive_area_stands_for_itself_and_has_no_place(start: Start, tmp_path: Path) -> None:
    lon, lat = walk(N_PLACES, apart_m=90_000.0)[4].tolist()
    ring = [[lon - 0.1, lat - 0.1], [lon + 0.1, lat - 0.1], [lon + 0.1, lat + 0.1], [lon - 0.1, lat - 0.1]]
    ring[-1:] = [[lon - 0.1, lat + 0.1], ring[0]]
    (tmp_path / "areas.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    client = start(precision="exact", sensitive_areas=tmp_path / "areas.geojson")
    told = ask(client, limit=18, look_again=0).json()["neighbors"]
    hidden = [one for one in told if one["lon"] is None]
    assert len(hidden) == 3 and len(told) == 3 + N_PLACES - 1
    assert all(one["payload"] is None for one in hidden)
    near = ask(client, near=f"{lon},{lat}", radius_km=10.0, look_again=0)
    assert ids(near) == []


def test_where_photos_are_not_geolocated_none_is_recognized(
    exact: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_of(exact).settings, "geolocation", False)
    for path in (WHERE, MATCH):
        answer = exact.post(path, content=b"", headers=PNG)  # before the body is looked at
        assert is_problem(answer, 403) and "PLACEPRINT_GEOLOCATION" in answer.json()["detail"]
    assert not exact.get(WALKS).json()["can_recognize"]


def test_the_audit_log_has_a_line_for_each_question(exact: TestClient) -> None:
    path = service_of(exact).settings.audit_path
    before = len(path.read_text().splitlines()) if path.is_file() else 0
    ask(exact, look_again=0)
    ask(exact, MATCH, look_again=2)
    noted = [json.loads(line) for line in path.read_text().splitlines()[before:]]
    assert [(one["event"], one["gallery"]) for one in noted] == [("recognize", "walks")] * 2
    assert noted[0]["sha256"] == noted[1]["sha256"] == [hashlib.sha256(ASKED).hexdigest()]


# --- heavy work ------------------------------------------------------------------------------------


def test_the_operator_bounds_second_looks(exact: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_of(exact).settings, "max_look_again", 2)
    assert ask(exact, unsure=0.0).json()["n_looked_at"] == 2
    answer = ask(exact, look_again=3)
    assert is_problem(answer, 422) and "PLACEPRINT_MAX_LOOK_AGAIN" in answer.json()["detail"]
    assert exact.get(WALKS).json()["max_look_again"] == 2


def test_without_second_looks_there_is_no_picture_of_a_match(
    exact: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_of(exact).settings, "max_look_again", 0)
    told = ask(exact, unsure=0.0).json()
    assert not told["looked_again"] and not told["may_look_again"]
    assert is_problem(ask(exact, MATCH), 403)


def test_more_recognitions_than_fit_are_sent_away_and_searches_are_not(
    exact: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_of(exact)
    monkeypatch.setitem(service._n_inside, "recognize", service.settings.max_recognizing)
    assert is_problem(ask(exact, content=b""), 503)  # before the body is read
    assert ask(exact, f"{WALKS}/search/image").status_code == 200


def test_a_second_look_that_takes_too_long_is_given_up(
    exact: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_of(exact).settings, "deadline_s", 0.3)
    held = threading.Event()

    def slow(id: str, keys: Any) -> bytes:
        held.wait(1.0)
        raise UnreadableImage("late")

    monkeypatch.setattr(recognizing, "read_original", slow)
    answer = ask(exact, unsure=0.0)
    held.set()
    assert is_problem(answer, 503) and "longer than 0.3 s" in answer.json()["detail"]


@pytest.mark.parametrize(("is_searched", "most"), [(True, 1), (False, 2)])
def test_a_second_look_lets_searches_go_first(
    exact: TestClient, monkeypatch: pytest.MonkeyPatch, is_searched: bool, most: int
) -> None:
    service = service_of(exact)
    monkeypatch.setattr(service.patience, "_is_rushed", lambda: is_searched)
    inside: list[int] = []
    n_inside = 0
    real, submit = service.in_files, service.worker.submit
    patient: list[bool] = []

    async def counted(function: Any, *args: Any) -> Any:
        nonlocal n_inside
        if function is not recognizing._decoded:
            return await real(function, *args)
        n_inside += 1
        inside.append(n_inside)
        try:
            await asyncio.sleep(0.005)
            return await real(function, *args)
        finally:
            n_inside -= 1

    def noted(function: Any, input: Any, *, is_patient: bool = False, **more: Any) -> Any:
        patient.append(is_patient)
        return submit(function, input, is_patient=is_patient, **more)

    monkeypatch.setattr(service, "in_files", counted)
    monkeypatch.setattr(service.worker, "submit", noted)
    assert ask(exact, unsure=0.0).json()["n_looked_at"] == N_PLACES
    assert len(inside) == N_PLACES and max(inside) == most
    assert patient == [False] + [True] * (N_PLACES + 1)  # the first look is a search's


def test_the_store_is_not_asked_deeper_than_a_search_asks_it(
    exact: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognizing, "DEEPEST", 7)
    asked: list[int] = []
    gallery = service_of(exact).gallery("walks").gallery
    real = gallery.nearest

    def nearest(embedding: Any, k: int, **more: Any) -> Any:
        asked.append(k)
        return real(embedding, k, **more)

    monkeypatch.setattr(gallery, "nearest", nearest)
    assert 0 < len(ids(ask(exact, look_again=0))) <= 7 and asked == [7]


# --- the picture -----------------------------------------------------------------------------------


def test_the_picture_shows_both_photos_and_tells_nothing_of_their_files(exact: TestClient) -> None:
    answer = ask(exact, MATCH, unsure=0.0, look_again=4)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    with Image.open(io.BytesIO(answer.content)) as shown:
        assert shown.size == (1080, 534) and shown.info == {} and not shown.getexif()
        pixels = np.asarray(shown.convert("RGB")).astype(int)
    assert b"secret" not in answer.content
    left, right = pixels[:, :534], pixels[:, 546:]
    for side in (left, right):
        assert np.ptp(side.reshape(-1, 3), axis=0).min() > 50
    first = ids(ask(exact, unsure=0.0, look_again=4))[0]
    content = exact.get(f"{WALKS}/photos/{first}/thumbnail").content
    for side, photo in ((left, look(4, 9)), (right, np.asarray(Image.open(io.BytesIO(content))))):
        gray = np.asarray(Image.fromarray(photo).convert("L").resize((534, 534)), float)
        assert np.corrcoef(gray.ravel(), side.mean(axis=2).ravel())[0, 1] > 0.5


def test_the_picture_is_had_where_nobody_had_to_look_again(exact: TestClient) -> None:
    assert ask(exact, MATCH, unsure=1.0).status_code == 200
    assert ask(exact, MATCH, look_again=0).status_code == 200


def test_no_picture_without_an_answer_or_its_file(exact: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ask(exact, MATCH, where="place=99")
    assert is_problem(answer, 404) and "no photo answers" in answer.json()["detail"]

    def gone(id: str, keys: Any) -> bytes:
        raise UnreadableImage("gone")

    monkeypatch.setattr(recognizing, "read_original", gone)
    answer = ask(exact, MATCH)
    assert is_problem(answer, 404) and "not at hand" in answer.json()["detail"]


def test_a_strip_makes_no_tall_picture(exact: TestClient) -> None:
    strip = as_png(np.tile(look(4, 9)[:, :2], (60, 1, 1)))
    answer = ask(exact, MATCH, strip)
    with Image.open(io.BytesIO(answer.content)) as shown:
        assert shown.height == 4 * 534


# --- the client ------------------------------------------------------------------------------------


def test_the_client_recognizes(exact: TestClient) -> None:
    with Client("http://127.0.0.1", transport=Carried(exact)) as remote:
        walks = remote.gallery("walks")
        found = walks.recognize(
            ASKED, limit=4, look_again=3, unsure=0.0, using="image", where={"place": [1, 4]}
        )
        assert [one.payload["place"] for one in found.neighbors if one.payload] == [4, 1]
        assert (found.using, found.looked_again, found.n_looked_at) == ("image", True, 2)
        assert found.neighbors[0].score is not None
        assert walks.match_map(Image.fromarray(look(4, 9)), look_again=2).startswith(b"\x89PNG")
        alike = walks.search(found.neighbors[0], limit=1)  # what was found is a question again
        assert alike.neighbors[0].id == found.neighbors[0].id
        with pytest.raises(ServiceProblem, match="PLACEPRINT_VECTORS"):
            walks.recognize(ASKED, using="second")
        with pytest.raises(InvalidFilter, match="no condition 'fusion'"):
            walks.recognize(ASKED, fusion="rankings")  # type: ignore[call-arg]
