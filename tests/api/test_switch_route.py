"""A gallery changes its model while it is asked and written: no question fails, nothing is lost."""

import io
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import ColorEncoder
from PIL import Image
from served import JPEG, settings_at

from placeprint.api.app import create_app
from placeprint.api.serving.locate_process import tell_here
from placeprint.api.serving.service import Service
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.sources import list_source

pytestmark = pytest.mark.filterwarnings("error")
N = 60


class SixColors(ColorEncoder):
    """Embeds the mean color and its negative: another dimension, the same neighbors."""

    def __init__(self) -> None:
        super().__init__("six")
        self.fingerprint = type(self.fingerprint)(
            name="six", weights_sha256="six", preprocessing=self.preprocessing.canonical, dimension=8
        )

    def _unit(self, colors: np.ndarray) -> np.ndarray:
        four = super()._unit(colors)
        return np.concatenate([four, -four], axis=1).astype("f4") / np.sqrt(2.0, dtype="f4")


def shade(i: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (4 * i % 256, 255 - 4 * i % 256, 17 * i % 256)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(N):
        (photos / f"{i}.png").write_bytes(shade(i))
    rows = [f"{i}.png,{i},{i - 30}" for i in range(N)]
    (photos / "t.csv").write_text("\n".join(["image,lon,lat", *rows]))
    encoder = ColorEncoder()
    with Gallery.create(
        "trips", encoder.fingerprint, encoder="color", settings=settings_at(tmp_path)
    ) as made:
        index(list_source(photos / "t.csv"), made, encoder, workers=1)
    return tmp_path


def client_of(home: Path, **encoders: ColorEncoder) -> Any:
    from fastapi.testclient import TestClient

    settings = settings_at(home, precision="exact", models={"six": ""}, max_inside=64)
    service = Service(settings, {"color": ColorEncoder(), "six": SixColors(), **encoders}, tell_here)
    return TestClient(
        create_app(settings, service), base_url="http://127.0.0.1", raise_server_exceptions=False
    )


def finished(client: Any, job: Any) -> dict[str, Any]:
    assert job.status_code == 202, job.text
    end = time.monotonic() + 90
    while (told := client.get(f"/v1/jobs/{job.json()['id']}").json())["status"] in ("waiting", "running"):
        assert time.monotonic() < end
        time.sleep(0.02)
    return dict(told)


def test_no_question_fails_and_nothing_is_lost_while_the_model_changes(home: Path) -> None:
    failures: list[str] = []
    n_asked, seen = 0, set()
    is_over = threading.Event()
    with client_of(home) as client:

        def ask(number: int) -> None:
            nonlocal n_asked
            while not is_over.is_set():
                i = int(time.monotonic_ns() // 1000) % N
                found = client.post(
                    "/v1/galleries/trips/search/image?limit=1", content=shade(i), headers=JPEG
                )
                if found.status_code != 200:
                    failures.append(found.text)
                elif found.json()["neighbors"][0]["similarity"] < 0.9999:
                    failures.append(f"a wrong neighbor of {i}")
                seen.add(client.get("/v1/galleries/trips").json()["model"]["name"])
                n_asked += 1

        askers = [threading.Thread(target=ask, args=(n,)) for n in range(2)]
        for asker in askers:
            asker.start()
        job = client.post("/v1/jobs", json={"kind": "switch", "gallery": "trips", "model": "six"})
        added, end = [], time.monotonic() + 90
        while client.get("/v1/galleries/trips").json()["switching_to"] != "six":
            assert time.monotonic() < end  # what is sent before has no file to look at again
        while client.get(f"/v1/jobs/{job.json()['id']}").json()["status"] in ("waiting", "running"):
            assert time.monotonic() < end
            answer = client.post(
                "/v1/galleries/trips/photos",
                params={"lon": 1, "lat": 1},
                content=shade(100 + len(added)),
                headers=JPEG,
            )
            assert answer.status_code in (200, 503), answer.text  # 503: switched in between, ask again
            added += answer.json()["ids"] if answer.status_code == 200 else []
        told = finished(client, job)
        time.sleep(0.2)
        is_over.set()
        for asker in askers:
            asker.join()
        assert told["status"] == "done", told["detail"]
        assert failures == [] and n_asked > 10 and seen == {"color", "six"}
        assert client.get("/v1/galleries/trips").json()["n_photos"] == N + len(set(added))
        assert client.get("/v1/galleries/trips").json()["model"]["dimension"] == 8
        for id in added:
            assert client.get(f"/v1/galleries/trips/photos/{id}").status_code == 200
        more = client.post("/v1/galleries/trips/photos", content=shade(999), headers=JPEG)
        assert more.json()["n_embedded"] == 1
    with Gallery.open("trips", settings=settings_at(home)) as gallery:
        assert gallery.encoder == "six" and len(gallery) == N + len(set(added)) + 1
    assert list((home / "switching" / "galleries").iterdir()) == []


def test_a_switch_that_cannot_be_finished_leaves_the_gallery_as_it_was(home: Path) -> None:
    (home / "photos" / "7.png").unlink()
    with client_of(home) as client:
        asked = {"kind": "switch", "gallery": "trips", "model": "six"}
        told = finished(client, client.post("/v1/jobs", json=asked))
        assert told["status"] == "failed" and "1 photos" in told["detail"]
        assert client.get("/v1/galleries/trips").json()["model"]["name"] == "color"
        assert client.get("/v1/galleries/trips").json()["switching_to"] is None
        told = finished(client, client.post("/v1/jobs", json={**asked, "leave_out_missing": True}))
        assert told["status"] == "done" and "1 left out" in told["detail"]
        assert client.get("/v1/galleries/trips").json()["n_photos"] == N - 1


def test_a_model_that_the_gallery_has_or_nobody_knows_is_refused(home: Path) -> None:
    with client_of(home) as client:
        for model, word in (("color", "already"), ("/etc/passwd", "is served here")):
            asked = {"kind": "switch", "gallery": "trips", "model": model}
            told = finished(client, client.post("/v1/jobs", json=asked))
            assert told["status"] == "failed" and word in told["detail"]


def test_a_switch_that_is_cut_off_after_it_was_decided_goes_forward(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(name: str, settings: Any) -> Any:
        raise RuntimeError("killed here")

    monkeypatch.setattr("placeprint.api.serving.changeover.exchange", cut_off)
    with client_of(home) as client:
        asked = {"kind": "switch", "gallery": "trips", "model": "six"}
        assert finished(client, client.post("/v1/jobs", json=asked))["status"] == "failed"
    monkeypatch.undo()
    with client_of(home) as client:
        told = client.get("/v1/galleries/trips").json()
        assert (told["model"]["name"], told["n_photos"]) == ("six", N)
    assert list((home / "switching" / "galleries").iterdir()) == []
