"""Region classifiers over HTTP: who may ask what, and that the answer is the classifier's."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import ColorEncoder
from fastapi.testclient import TestClient
from served import COLORS, JPEG, Carried, Serve, is_problem, make_gallery, picture, serving, settings_at

from placeprint.api.client import Client, ServiceProblem
from placeprint.api.serving.service import Service
from placeprint.encoders.errors import PlaceprintError
from placeprint.encoders.region_head import RegionHead

LANDS = "/v1/regions/lands"


def write_head(path: Path, *, radius_km: float | None = 10.0, encoder: str | None = None) -> Path:
    """Red is Edo, green Lutetia, blue Guanabara."""
    colors = np.array([COLORS[name] for name in ("red", "green", "blue")]) / 255.0
    card = {
        "regions": [] if radius_km is None else [{"radius_km": r} for r in (1.0, radius_km, 1000.0)],
        "rows": {"areas": {"classifier": {"macro_recall": 0.5}}},
        "source": {"encoder": "timm:other"},
    }
    RegionHead(
        names=("Edo", "Lutetia", "Guanabara"),
        weight=np.concatenate([2.0 * colors, np.zeros((3, 1))], axis=1).astype(np.float32),
        bias=np.zeros(3, np.float32),
        temperature=0.5,
        encoder=encoder or ColorEncoder().fingerprint.id,
        card=card,
    ).save(path)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_gallery(tmp_path)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


@pytest.fixture
def client(serve: Serve, home: Path, tmp_path: Path) -> TestClient:
    file = write_head(tmp_path / "lands.safetensors")
    return serve(home, precision="exact", regions={"lands": str(file)})


def test_the_answer_is_the_classifiers(client: TestClient, tmp_path: Path) -> None:
    answer = client.post(LANDS, content=picture("green"), headers=JPEG).json()
    head = RegionHead.load(tmp_path / "lands.safetensors")
    green = np.broadcast_to(np.uint8(COLORS["green"]), (1, 16, 16, 3))
    p = np.exp(head.log_probabilities(ColorEncoder().embed_pixels(green)))[0]
    assert answer["regions"][0]["region"] == "Lutetia"
    told = {one["region"]: one["probability"] for one in answer["regions"]}
    assert told == pytest.approx(dict(zip(head.names, p, strict=True)), abs=0.02)
    assert (answer["classifier"], answer["n_regions"], answer["n_photos"]) == ("lands", 3, 1)
    one = client.post(f"{LANDS}?limit=1", content=picture("red"), headers=JPEG).json()
    assert [one["region"] for one in one["regions"]] == ["Edo"]


def test_several_photos_are_of_one_place(client: TestClient) -> None:
    files = [("images", ("a.jpg", picture(color), "image/jpeg")) for color in ("red", "blue", "blue")]
    answer = client.post(LANDS, files=files).json()
    assert answer["n_photos"] == 3 and answer["regions"][0]["region"] == "Guanabara"
    alone = client.post(LANDS, content=picture("blue"), headers=JPEG).json()
    assert answer["regions"][0]["probability"] < alone["regions"][0]["probability"]


def test_classifiers_are_listed_with_what_they_know(client: TestClient) -> None:
    (one,) = client.get("/v1/regions").json()["classifiers"]
    assert one == {
        "name": "lands", "regions": ["Edo", "Lutetia", "Guanabara"], "mean_recall": 0.5, "model": "color",
    }  # fmt: skip


def test_what_is_asked_is_in_the_audit_log(client: TestClient, home: Path) -> None:
    client.post(LANDS, content=picture("red"), headers=JPEG)
    (line,) = (home / "audit.jsonl").read_text().splitlines()
    noted = json.loads(line)
    assert noted["event"] == "predict-region" and len(noted["sha256"]) == 1
    assert noted["gallery"] == "regions lands" and noted["precision"] == "exact"


def test_a_classifier_that_is_not_there_and_a_body_that_is_no_photo(client: TestClient) -> None:
    found = client.post("/v1/regions/none", content=picture("red"), headers=JPEG)
    assert is_problem(found, 404) and "there are: lands" in found.json()["detail"]
    assert is_problem(client.post(LANDS, content=b"no photo", headers=JPEG), 415)
    assert is_problem(client.post(LANDS, json={}), 415)
    assert is_problem(client.post(f"{LANDS}?limit=0", content=picture("red"), headers=JPEG), 422)


@pytest.mark.parametrize(
    ("precision", "radius_km", "may"),
    [
        ("exact", None, True),
        ("exact", 0.1, True),
        ("25km", None, False),
        ("25km", 24.0, False),
        ("25km", 25.0, True),
        ("region", 74.0, False),
        ("region", 75.0, True),
        ("country", 199.0, False),
        ("country", 200.0, True),
    ],
)
def test_no_region_is_told_that_is_finer_than_places_are(
    serve: Serve, home: Path, tmp_path: Path, precision: str, radius_km: float | None, may: bool
) -> None:
    """By the median region: one small region among large ones is no reason."""
    file = write_head(tmp_path / "lands.safetensors", radius_km=radius_km)
    client = serve(home, precision=precision, regions={"lands": str(file)})
    answer = client.post(LANDS, content=picture("red"), headers=JPEG)
    listed = client.get("/v1/regions").json()["classifiers"]
    if may:
        assert answer.status_code == 200 and len(listed) == 1
    else:
        assert is_problem(answer, 403) and "PLACEPRINT_PRECISION" in answer.json()["detail"] and not listed
        assert not (home / "audit.jsonl").exists()


def test_where_photos_are_not_geolocated_no_region_is_told(serve: Serve, home: Path, tmp_path: Path) -> None:
    file = write_head(tmp_path / "lands.safetensors")
    client = serve(home, precision="exact", regions={"lands": str(file)}, geolocation=False)
    answer = client.post(LANDS, content=picture("red"), headers=JPEG)
    assert is_problem(answer, 403) and "PLACEPRINT_GEOLOCATION" in answer.json()["detail"]
    assert client.get("/v1/regions").json() == {"classifiers": []}


def test_without_classifiers_the_operator_is_told_how(serve: Serve, home: Path) -> None:
    client = serve(home, precision="exact")
    answer = client.post(LANDS, content=picture("red"), headers=JPEG)
    assert is_problem(answer, 404) and "PLACEPRINT_REGIONS" in answer.json()["detail"]


def test_a_classifier_whose_encoder_is_not_served_ends_the_start(home: Path, tmp_path: Path) -> None:
    file = write_head(tmp_path / "lands.safetensors", encoder="another")
    with pytest.raises(PlaceprintError, match=r"timm:other.*PLACEPRINT_MODELS"):
        Service(settings_at(home, regions={"lands": str(file)}), {"color": ColorEncoder()})
    with pytest.raises(PlaceprintError, match=r"nothing\.safetensors"):
        Service(settings_at(home, regions={"lands": "nothing.safetensors"}), {"color": ColorEncoder()})


def test_the_client_asks_the_same(client: TestClient) -> None:
    with Client("http://127.0.0.1", transport=Carried(client)) as ours:
        assert [one.name for one in ours.regions()] == ["lands"]
        assert ours.predict_region(picture("red"), "lands", limit=2).regions[0].region == "Edo"
        both = ours.predict_region([picture("red"), picture("red")], "lands")
        assert both.n_photos == 2
        with pytest.raises(ServiceProblem, match="no region classifier"):
            ours.predict_region(picture("red"), "ab")
