"""A walk over HTTP: the answer of the library, told only where places are told exactly."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import ColorEncoder, record
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image
from served import JPEG, Carried, Serve, is_problem, make_gallery, picture, serving

from placeprint.api.client import Client
from placeprint.api.serving import recognizing
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.recognize_walk import WalkedGallery, recognize_walk
from placeprint.indexer.settings import Settings

WALK = "/v1/galleries/walks/recognize/walk"
N = 40


def colors(walk: int) -> NDArray[np.uint8]:
    """What the frames of a walk show, which comes again and again."""
    shown = np.array([(220, 40, 40), (40, 200, 40), (40, 60, 220), (200, 200, 40)])
    return shown[np.random.default_rng(walk).integers(0, 4, N)].astype(np.uint8)


def frame(color: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), tuple(color.tolist())).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = make_gallery(tmp_path_factory.mktemp("home"))
    encoder, settings = ColorEncoder(), Settings(home=home, qdrant_url=None)
    with Gallery.create("walks", encoder.fingerprint, encoder="color", settings=settings) as gallery:
        for walk in range(2):
            pixels = np.broadcast_to(colors(walk)[:, None, None], (N, 16, 16, 3))
            gallery.add([
                record(f"w{walk}/{row}", one, lon=10.0 + walk, lat=0.01 * row, group=f"walk {walk}")
                for row, one in enumerate(encoder.embed_pixels(pixels))
            ])  # fmt: skip
    return home


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


@pytest.fixture(scope="module")
def client(serve: Serve, home: Path) -> TestClient:
    return serve(home, precision="exact")


QUERY = [frame(color) for color in colors(1)[20:30]]


def sent(contents: list[bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("images", (f"{i}.png", content, "image/png")) for i, content in enumerate(contents)]


def test_the_service_finds_where_a_walk_has_come_to(client: TestClient, home: Path) -> None:
    answer = client.post(f"{WALK}?limit=3", files=sent(QUERY)).json()
    first = answer["neighbors"][0]
    assert (first["lon"], first["lat"]) == (11.0, pytest.approx(0.29))
    assert len(answer["neighbors"]) == 3 and not answer["looked_again"] and answer["using"] == "image"
    service = client.app.state.service  # type: ignore[attr-defined]
    gallery = service.gallery("walks").gallery
    pixels = np.broadcast_to(colors(1)[20:30, None, None], (10, 16, 16, 3))
    expected = recognize_walk(WalkedGallery.of(gallery), ColorEncoder().embed_pixels(pixels), k=3)
    assert [one["id"] for one in answer["neighbors"]] == [one.photo.id for one in expected.found]
    assert answer["doubt"] == pytest.approx(expected.doubt, abs=1e-3)
    noted = json.loads((home / "audit.jsonl").read_text().splitlines()[-1])
    assert noted["event"] == "recognize" and len(noted["sha256"]) == 10


def test_the_store_is_asked_piece_by_piece(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = client.post(WALK, files=sent(QUERY)).json()
    asked: list[int] = []
    real = Gallery.embeddings

    def counted(gallery: Gallery, ids: list[str], **options: str) -> NDArray[np.float32]:
        asked.append(len(ids))
        return real(gallery, ids, **options)

    monkeypatch.setattr(recognizing, "PIECE", 7)
    monkeypatch.setattr(Gallery, "embeddings", counted)
    assert client.post(WALK, files=sent(QUERY)).json() == whole and max(asked) == 7
    assert sorted(asked) == [5, 5, *[7] * 10]  # two walks of 40


def test_the_client_asks_the_same(client: TestClient) -> None:
    with Client("http://127.0.0.1", transport=Carried(client)) as ours:
        found = ours.gallery("walks").recognize_walk(QUERY, limit=1)
        assert found.neighbors[0].lat == pytest.approx(0.29) and len(found.neighbors) == 1


def test_what_is_no_walk_is_a_problem(client: TestClient) -> None:
    for answer in (
        client.post(WALK, files=sent(QUERY[:1])),
        client.post(WALK, content=picture("red"), headers=JPEG),
        client.post(WALK, files=sent(QUERY * 7)),
        client.post(f"{WALK}?using=none", files=sent(QUERY)),
    ):
        assert is_problem(answer, 422), answer.text
    assert is_problem(client.post(WALK, files=sent([QUERY[0], b"no photo"])), 415)
    without = client.post("/v1/galleries/trips/recognize/walk", files=sent(QUERY[:3]))
    assert is_problem(without, 422) and "--group-column" in without.json()["detail"]


@pytest.mark.parametrize("given", [{"precision": "25km"}, {"precision": "exact", "geolocation": False}])
def test_where_places_are_not_told_exactly_no_walk_is(
    home: Path, tmp_path: Path, given: dict[str, object]
) -> None:
    import shutil

    shutil.copytree(home / "galleries", tmp_path / "galleries")
    with serving() as start:
        answer = start(tmp_path, **given).post(WALK, files=sent(QUERY))
        assert is_problem(answer, 403) and not (tmp_path / "audit.jsonl").exists()


def test_nothing_of_a_walk_in_a_sensitive_area_answers(home: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(home / "galleries", tmp_path / "galleries")
    ring = [[10.5, -1.0], [11.5, -1.0], [11.5, 1.0], [10.5, 1.0], [10.5, -1.0]]
    area = tmp_path / "hidden.geojson"
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    with serving() as start:
        client = start(tmp_path, precision="exact", sensitive_areas=area)
        answer = client.post(WALK, files=sent(QUERY)).json()
        assert answer["neighbors"] and {one["lon"] for one in answer["neighbors"]} == {10.0}
