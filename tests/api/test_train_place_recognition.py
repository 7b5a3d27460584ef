"""``placeprint train place-recognition``: tables in, an encoder out, sentences for what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from place_recognition_fakes import CONV, write_walks, write_weights
from program import Answer, run_program

from placeprint.api.train_place_recognition import read_photos
from placeprint.encoders.errors import InvalidCoordinate, UnknownColumns

SMALL = (
    "--layer", "1", "--size", "64", "--centers", "4", "--epochs", "1", "--dimension", "12",
    "--settings", "quick.json",
)  # fmt: skip


SETTINGS = {
    "quick.json": '{"n_looks": 1, "n_views": 2}', "odd.json": '{"n_wheels": 3}', "list.json": "[1]",
    "own.json": '{"epochs": 3}', "words.json": '{"n_looks": "many"}', "torn.json": '{"n_looks":',
}  # fmt: skip


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``photos.csv``, its photos, and weights for a backbone."""
    folder = tmp_path_factory.mktemp("town")
    (folder / "photos").mkdir()
    files, lonlat, days = write_walks(folder / "photos", 30, 2)
    rows = [
        f"photos/{file.name},{lat},{lon},{day}"
        for file, (lon, lat), day in zip(files, lonlat.tolist(), days, strict=True)
    ]
    (folder / "photos.csv").write_text("\n".join(["image,lat,lon,day", *rows]))
    write_weights(CONV, folder)
    for name, told in SETTINGS.items():
        (folder / name).write_text(told)
    return folder


def train(town: Path, out: Path, *words: str, manifest: str = "photos.csv") -> Answer:
    return run_program(
        town, "train", "place-recognition", "--manifest", manifest, "--encoder", CONV, "--weights",
        "test_resnet-1.safetensors", "--out", str(out), *SMALL, *words,
    )  # fmt: skip


def test_lines_of_json_end_in_a_report_and_the_encoder_indexes(town: Path, tmp_path: Path) -> None:
    answer = train(town, tmp_path / "run", "--licence", "CC0")
    assert answer.returncode == 0, answer.stderr
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [line["round"] for line in lines if line["event"] == "round"] == [1]
    report = lines[-1]
    assert report["event"] == "report" and report["dimension"] == 12
    assert report["source"] == {"source": "photos.csv", "licence": "CC0"}
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert (settings["n_looks"], settings["n_views"], settings["n_centers"]) == (1, 2, 4)
    encoder = tmp_path / "run" / "place-encoder.safetensors"
    indexed = run_program(
        town, "index", "photos", "--gallery", "town", "--encoder", f"place:{encoder}", "--weights",
        "test_resnet-1.safetensors", home=tmp_path / "home",
    )  # fmt: skip
    assert indexed.returncode == 0, indexed.stderr
    found = run_program(
        town, "search", "photos/007-1.png", "--gallery", "town", "-k", "2", "--json", home=tmp_path / "home"
    )
    assert found.returncode == 0, found.stderr
    assert {Path(json.loads(line)["image"]).name[:3] for line in found.stdout.splitlines()} == {"007"}


def test_a_run_is_resumed_by_the_same_words(town: Path, tmp_path: Path) -> None:
    first = train(town, tmp_path / "run")
    again = train(town, tmp_path / "run")
    assert again.returncode != 0 and "--resume" in again.stderr
    resumed = train(town, tmp_path / "run", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    reports = [json.loads(one.stdout.splitlines()[-1]) for one in (first, resumed)]
    assert reports[0] == reports[1]


def test_on_a_terminal_it_speaks_in_sentences(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from placeprint.api import console

    monkeypatch.setattr(console.out, "_force_terminal", True)
    answer = train(town, tmp_path / "run", "--other-time", "--time-column", "day")
    assert answer.returncode == 0, answer.stderr
    assert "with another of their place; 12 dimensions" in answer.stdout
    assert "best epoch" in answer.stdout and "encoder: " in answer.stdout


@pytest.mark.parametrize(("words", "said"), [
    (["--layer", "9"], "0 to 4"), (["--dimension", "5000"], "at most"),
    (["--positive-to-m", "30"], "negatives from"),
    (["--other-sequence"], "of another sequence"), (["--aggregation", "mean"], "nothing to learn"),
    (["--time-column", "hour"], "no column 'hour'"), (["--device", "tpu"], "cpu or cuda"),
    (["--encoder", "demonstration"], "open_clip:… or timm:…"), (["--weights", "none"], "no such file"),
    (["--manifest", "none.csv"], "no such file"), (["--settings", "none.json"], "No such file"),
    (["--settings", "odd.json"], "no setting n_wheels"), (["--settings", "list.json"], "give an object"),
    (["--settings", "own.json"], "epochs has an option of its own"),
    (["--settings", "words.json"], "a value of another kind"), (["--settings", "torn.json"], "no JSON"),
])  # fmt: skip
def test_what_cannot_be_is_said_without_a_traceback(
    town: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    if words[0] == "--encoder":
        words = [
            *words,
            "--weights",
            str(Path(__file__).parents[2] / "encoders" / "demonstration.safetensors"),
        ]
    answer = train(town, tmp_path / "run", *words)
    assert answer.returncode != 0 and "Traceback" not in answer.stderr
    assert said in " ".join(answer.stderr.split())
    assert not (tmp_path / "run").exists()


def test_a_table_gives_photos_beside_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "path,longitude,latitude,sequence,heading_deg,year\na/1.jpg,9.5,47.1,x,350.5,2016\n2.jpg,9.6,47.2,,,2018\n"
    )
    photos = read_photos(tmp_path / "t.csv", time_column="year")
    assert photos.files == (tmp_path / "a" / "1.jpg", tmp_path / "2.jpg")
    assert photos.lonlat.tolist() == [[9.5, 47.1], [9.6, 47.2]]
    assert photos.sequences.tolist() == ["x", ""] and photos.captured_at.tolist() == ["2016", "2018"]
    np.testing.assert_array_equal(photos.heading_deg, [350.5, np.nan])


@pytest.mark.parametrize(("table", "error", "says"), [
    ("photo,lon,lat\n1.jpg,9,47\n", UnknownColumns, "no column image or file or path"),
    ("image,x,y\n1.jpg,9,47\n", UnknownColumns, "longitude"),
    ("image,lon,lat\n1.jpg,,47\n", InvalidCoordinate, "lon is missing"),
    ("image,lon,lat\n1.jpg,35.6,139.7\n2.jpg,35.7,139.8\n3.jpg,35.7,139.8\n", InvalidCoordinate, "exchange"),
])  # fmt: skip
def test_a_table_that_does_not_say_is_refused(
    tmp_path: Path, table: str, error: type[Exception], says: str
) -> None:
    (tmp_path / "t.csv").write_text(table)
    with pytest.raises(error, match=says):
        read_photos(tmp_path / "t.csv")
