"""``placeprint train map-student``: what it leaves, how it goes on, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from map_fakes import Country, CountryMosaic, places_of
from program import Answer, run_program

from placeprint.encoders.location import LocationEncoder
from placeprint.encoders.map_catalog import ground_m_of
from placeprint.encoders.map_learning.encoder import MapEncoder, MapEncoderConfig
from placeprint.encoders.mosaics.mosaic import Mosaic

CONFIG = MapEncoderConfig(network="tiny", dimension=8, ground_m=700.0, px=16)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a teacher, and a made-up map wherever a mosaic is opened."""
    monkeypatch.setattr(Mosaic, "open", classmethod(lambda cls, path: CountryMosaic()))
    torch.manual_seed(0)
    MapEncoder(CONFIG, name="teacher").save(tmp_path / "teacher.safetensors")
    return tmp_path


def train(folder: Path, *words: str) -> Answer:
    given = ("--encoder", "teacher.safetensors", "--mosaic", "country.tif", "--out", "run", "--places", "300")
    return run_program(folder, "train", "map-student", *given, "--epochs", "3", "--hidden", "16", *words)


def test_it_leaves_a_student_that_knows_its_teacher(folder: Path) -> None:
    answer = train(folder)
    assert answer.returncode == 0, answer.stderr
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [line["places"] for line in lines if line["event"] == "looked"] == [0, 300]
    assert [line["epoch"] for line in lines if line["event"] == "epoch"] == [1, 2, 3]
    student = LocationEncoder.load(folder / "run" / "map-student.safetensors")
    teacher = MapEncoder.load(folder / "teacher.safetensors")
    assert student.card["teacher"] == teacher.fingerprint.id and student.card["teacher_name"] == "teacher"
    assert ground_m_of(student) == 700.0
    assert student.card["source"]["attribution"] == "© nobody"
    said = student.encode(places_of(4))
    assert said.shape == (4, 8) and np.isfinite(said).all()
    card = (folder / "run" / "card.md").read_text(encoding="utf-8")
    assert teacher.fingerprint.id in card and "| all |" in card and "© nobody" in card
    assert (folder / "run" / "errors.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((folder / "run" / "report.json").read_text())
    assert sum(ring["places"] for ring in report["rings"]) == report["held_out"]["places"] > 0


def test_an_interrupted_run_goes_on_without_looking_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(folder)
    bits = (folder / "run" / "map-student.safetensors").read_bytes()
    kept = folder / "run" / "embeddings.safetensors"
    embeddings = safetensors.numpy.load_file(kept)["embeddings"]
    assert whole.returncode == 0 and embeddings.shape == (300, 8)

    again = train(folder)
    assert again.returncode == 1 and "--resume" in again.stderr and "Traceback" not in again.stderr

    kept.write_bytes(safetensors.numpy.save({"embeddings": embeddings[:120]}))  # killed after these
    (folder / "run" / "map-student.safetensors").unlink()
    looked: list[int] = []
    embed_places = MapEncoder.embed_places

    def counting(self: MapEncoder, source: Country, lonlat: np.ndarray) -> np.ndarray:
        looked.append(len(lonlat))
        return embed_places(self, source, lonlat)

    monkeypatch.setattr(MapEncoder, "embed_places", counting)
    resumed = train(folder, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert looked == [180]
    assert (folder / "run" / "map-student.safetensors").read_bytes() == bits


def test_another_teacher_is_no_resumption(folder: Path) -> None:
    assert train(folder).returncode == 0
    torch.manual_seed(1)
    MapEncoder(CONFIG, name="teacher").save(folder / "teacher.safetensors")
    other = train(folder, "--resume")
    assert other.returncode == 1 and "began from" in other.stderr


def test_a_map_drawn_anew_is_no_resumption(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(folder).returncode == 0

    class Redrawn(CountryMosaic):
        def crops(self, *args: Any, **how: Any) -> np.ndarray:
            return super().crops(*args, **how)[:, ::-1]

    monkeypatch.setattr(Mosaic, "open", classmethod(lambda cls, path: Redrawn()))
    other = train(folder, "--resume")
    assert other.returncode == 1 and "Choose another --out" in other.stderr


def test_on_a_terminal_it_ends_with_a_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from placeprint.api import console

    monkeypatch.setattr(console.out, "_force_terminal", True)
    answer = train(folder)
    assert answer.returncode == 0, answer.stderr
    assert "mean of all" in answer.stdout and "student: run/map-student.safetensors" in answer.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--points", "p.csv", "--area", "9,47,10,48"), "give one of them"),
        (("--places", "1"), "too few"),
        (("--finest", "0"), "finest"),
        (("--finest", "inf"), "finite"),
        (("--seed", "-1"), "seed"),
        (("--encoder", "nobody"), "no map encoder 'nobody'"),
    ],
)
def test_what_cannot_work_is_said_before_any_work(folder: Path, words: tuple[str, ...], said: str) -> None:
    answer = train(folder, *words)
    assert answer.returncode in (1, 2) and said in answer.stderr and "Traceback" not in answer.stderr
