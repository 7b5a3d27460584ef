"""``placeprint train maps``: what it prints, leaves, resumes, and how it fails. The map is made up."""

import json
from pathlib import Path

import numpy as np
import pytest
from map_fakes import Country, CountryMosaic, places_of
from program import Answer, run_program

from placeprint.encoders.areas import Box
from placeprint.encoders.map_learning.encoder import MapEncoder
from placeprint.encoders.map_learning.settings import PRESETS, MapRun
from placeprint.encoders.mosaics.mosaic import Mosaic


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mosaic, "open", classmethod(lambda cls, path: CountryMosaic()))
    small = MapRun(
        global_px=16, local_px=16, n_local=1, dimension=16, n_out=16, head_hidden=32, bottleneck=16,
        n_prototypes=8, cluster_width=8, n_geocells=4, ground_m=500.0, epochs=2, batch_size=16,
    )  # fmt: skip
    monkeypatch.setitem(PRESETS, "small-data", small)


def train(folder: Path, *words: str) -> Answer:
    return run_program(folder, "train", "maps", "--mosaic", "country.tif", "--out", "run", *words)


def test_lines_of_json_end_in_a_report_and_the_encoder_is_there(tmp_path: Path) -> None:
    prices = places_of(60, seed=1)
    rows = [
        f"{lon},{lat},{p}" for (lon, lat), p in zip(prices.tolist(), Country().prices(prices), strict=True)
    ]
    (tmp_path / "prices.csv").write_text("\n".join(["lon,lat,price", *rows]))
    answer = train(tmp_path, "--places", "80", "--price", "prices.csv", "--label-radius-km", "4")
    assert answer.returncode == 0, answer.stderr
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [line["epoch"] for line in lines if line["event"] == "epoch"] == [1, 2]
    assert all("data_wait_share" in line for line in lines if line["event"] == "epoch")
    report = lines[-1]
    assert report["event"] == "report" and report["labels"]["price"]["labeled"] > 40
    assert report["source"] == {"mosaics": ["country.tif"], "sources": ["country"], "attribution": "© nobody"}
    assert "places have a price" in " ".join(report["notes"])
    encoder = MapEncoder.load(tmp_path / "run" / "map-encoder.safetensors")
    assert encoder.fingerprint.id == report["fingerprint"]
    again = train(tmp_path, "--places", "80")
    assert again.returncode != 0 and "--resume" in again.stderr
    resumed = train(tmp_path, "--places", "80", "--price", "prices.csv", "--label-radius-km", "4", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout.splitlines()[-1])["fingerprint"] == report["fingerprint"]


def test_on_a_terminal_it_speaks_in_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from placeprint.api import console

    monkeypatch.setattr(console.out, "_force_terminal", True)
    answer = train(tmp_path, "--places", "60", "--area", "9.4,47.0,9.6,47.2", "--epochs", "1")
    assert answer.returncode == 0, answer.stderr
    assert "distillation" in answer.stdout and "encoder: run/map-encoder.safetensors" in answer.stdout
    assert "waiting for data" in answer.stdout


def test_places_come_from_a_file_or_several_maps(tmp_path: Path) -> None:
    lonlat = places_of(40)
    (tmp_path / "points.csv").write_text(
        "lon,lat\n" + "\n".join(f"{lon},{lat}" for lon, lat in lonlat.tolist())
    )
    answer = train(tmp_path, "--points", "points.csv", "--mosaic", "second.tif", "--epochs", "1")
    assert answer.returncode == 0, answer.stderr
    report = json.loads(answer.stdout.splitlines()[-1])
    assert report["places"]["given"] == 40 and report["source"]["mosaics"] == ["country.tif", "second.tif"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--preset", "huge"], "small-data"),
        (["--learning-rate", "0.5"], "too high"),
        (["--n-out", "4096", "--places", "50"], "4096 outputs"),
        (["--area", "1,2,3"], "west,south,east,north"),
        (["--area", "9.4,47,9.6,47.2", "--points", "x.csv"], "one of them"),
        (["--points", "x.csv"], "no such file"),
        (["--price", "x.csv", "--places", "30"], "no such file"),
        (["--device", "cuda"], "--device cpu"),
        (["--device", "tpu"], "cpu or cuda"),
        (["--label-radius-km", "0"], "above 0"),
        (["--places", "5"], "batch of 16"),
    ],
)
def test_what_cannot_be_is_said_without_a_traceback(tmp_path: Path, words: list[str], said: str) -> None:
    import torch

    if words == ["--device", "cuda"] and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    answer = train(tmp_path, *words)
    assert answer.returncode != 0 and "Traceback" not in answer.stderr
    assert said in " ".join(answer.stderr.split())
    assert not (tmp_path / "run").exists()


def test_of_maps_of_one_box_no_place_comes_twice() -> None:
    from placeprint.api.map_places import opened_maps, places_of

    source, box, _ = opened_maps([Path("a.tif"), Path("b.tif")])
    found = places_of(source, box, None, None, n=200, ground_m=500.0, seed=0)
    assert len(np.unique(found, axis=0)) == len(found) == 100  # all of the first, which hides the second


def test_drawn_places_lie_in_the_area() -> None:
    from placeprint.api.map_places import opened_maps, places_of

    source, box, _ = opened_maps([Path("a.tif")])
    found = places_of(source, box, "9.4,47.0,9.5,47.1", None, n=20, ground_m=500.0, seed=0)
    assert Box(9.4, 47.0, 9.5, 47.1).contains(found).all() and np.unique(found, axis=0).shape == (20, 2)
