"""``placeprint train csp``: what it prints, what it leaves, how it fails.

The gallery is made up: what an embedding shows is a smooth function of its place, and noise.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import fingerprint_of, record
from program import Answer, run_program

from placeprint.encoders.location_catalog import load_location_encoder
from placeprint.encoders.sphere import uniform_on_sphere, unit_vectors
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings

QUICK = ("--epochs", "3", "--batch-size", "128", "--dimension", "16", "--block-deg", "20")


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placeprint.encoders.csp_report.draw_curves", lambda *_: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Galleries `world`, of 300 placed photos, and `few`, of 20."""
    folder = tmp_path_factory.mktemp("train")
    settings = Settings(home=folder / "home", qdrant_url=None)
    rng = np.random.default_rng(0)
    for name, n in (("world", 300), ("few", 20)):
        lonlat = uniform_on_sphere(n, rng)
        shown = np.concatenate(
            [unit_vectors(lonlat) @ rng.normal(size=(3, 5)), rng.normal(size=(n, 3))], axis=1
        )
        unit = (shown / np.linalg.norm(shown, axis=1, keepdims=True)).astype(np.float32)
        with Gallery.create(name, fingerprint_of(8), settings=settings) as gallery:
            gallery.add(
                [
                    record(f"{name}-{row}", unit[row], lon=lon, lat=lat)
                    for row, (lon, lat) in enumerate(lonlat.tolist())
                ]
            )
    return folder


def train(folder: Path, out: str, *words: str, gallery: str = "world") -> Answer:
    return run_program(folder, "train", "csp", "--gallery", gallery, "--out", out, *words)


def events(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.stdout.splitlines()]


@pytest.fixture(scope="module")
def trained(folder: Path) -> tuple[Path, Answer]:
    answer = train(folder, "runs/a", *QUICK)
    assert answer.returncode == 0, answer.stderr
    return folder / "runs" / "a", answer


def test_the_last_line_is_the_report_beside_baselines(trained: tuple[Path, Answer]) -> None:
    out, answer = trained
    report = events(answer)[-1]
    assert report["event"] == "report" and report["out"] == "runs/a"
    assert set(report["rows"]) == {"floor", "csp", "nearest image", "constant", "random"}
    assert report["source"]["gallery"] == "world" and sum(report["pairs"].values()) == 300
    assert [event["epoch"] for event in events(answer)[:-1]] == [1, 3]
    assert json.loads((out / "report.json").read_text())["rows"] == report["rows"]


def test_what_it_leaves_embeds_places(trained: tuple[Path, Answer]) -> None:
    out, _ = trained
    assert load_location_encoder(str(out / "location.safetensors")).encode([[0.0, 90.0]]).shape == (1, 16)


def test_the_same_command_again_says_how_to_go_on(folder: Path, trained: tuple[Path, Answer]) -> None:
    again = train(folder, "runs/a", *QUICK)
    assert again.returncode == 1 and "--resume" in again.stderr and "Traceback" not in again.stderr
    resumed = train(folder, "runs/a", *QUICK, "--resume")
    assert resumed.returncode == 0 and events(resumed)[-1] == events(trained[1])[-1]


def test_an_interruption_says_how_to_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("placeprint.encoders.train_csp.run_csp", interrupted)
    answer = train(folder, "runs/b", *QUICK)
    assert answer.returncode == 130 and "--resume goes on from the last checkpoint in runs/b" in answer.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--preset", "theirs"), 2, "csp-paper"),
        (("--parts", "BX"), 2, "parts='BX'"),
        (("--epochs", "0"), 2, "epochs=0"),
        (("--positional", "square"), 2, "no positional encoding 'square'"),
        (("--network", "maze"), 2, "no network 'maze'"),
    ],
)
def test_what_cannot_work_is_named(folder: Path, words: tuple[str, ...], code: int, said: str) -> None:
    answer = train(folder, "runs/wrong", *words)
    assert answer.returncode == code and said in answer.stderr and "Traceback" not in answer.stderr
    assert not (folder / "runs" / "wrong").exists()


def test_parts_of_a_preset_can_be_replaced(folder: Path) -> None:
    answer = train(
        folder,
        "runs/c",
        *QUICK,
        "--preset",
        "csp-paper",
        "--positional",
        "sh",
        "--network",
        "siren",
        "--epochs",
        "1",
    )
    assert answer.returncode == 0, answer.stderr
    settings = json.loads((folder / "runs" / "c" / "run.json").read_text())["settings"]
    assert (settings["positional"], settings["network"], settings["temperature"]) == ("sh", "siren", 1.0)


def test_too_few_photos_and_no_gallery_are_named(folder: Path) -> None:
    few = train(folder, "runs/few", gallery="few")
    assert few.returncode == 1 and "20 photos of known place are too few" in few.stderr
    none = train(folder, "runs/none", gallery="none")
    assert none.returncode == 1 and "no gallery 'none'" in none.stderr
    assert not (folder / "runs" / "few").exists()


def test_an_out_that_is_a_file_is_named(folder: Path) -> None:
    (folder / "file").write_text("")
    answer = train(folder, "file", *QUICK)
    assert answer.returncode == 1 and "file" in answer.stderr and "Traceback" not in answer.stderr


def test_the_help_says_that_more_epochs_are_another_run(folder: Path) -> None:
    text = " ".join(run_program(folder, "train", "csp", "--help").stdout.replace("│", " ").split())
    assert "more --epochs are another run" in text
