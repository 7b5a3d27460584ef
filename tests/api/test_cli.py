"""The commands a user types, on drawn scenes: what they print, what they leave, how they fail."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from program import Answer, run_program

from placeprint.api.demo import draw_scenes
from placeprint.encoders.places import load_places

CLI = [sys.executable, "-m", "placeprint.api.cli"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 scenes, of which 24 are held out, and a home for galleries."""
    folder = tmp_path_factory.mktemp("scenes")
    draw_scenes(120, folder, seed=1)
    (folder / "photos" / "bad.jpg").write_bytes(b"no picture")
    (folder / "home").mkdir()
    return folder


def run(scenes: Path, *words: str) -> Answer:
    return run_program(scenes, *words)


def events(run: Answer) -> list[dict[str, object]]:
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.fixture(scope="module")
def indexed(scenes: Path) -> Path:
    answer = run(scenes, "index", "gallery.csv", "--gallery", "trips", "--encoder", "demonstration")
    assert answer.returncode == 0, answer.stderr
    report = events(answer)[-1]
    assert (report["event"], report["n_embedded"], report["photos"]) == ("report", 96, 96)
    return scenes


def test_indexing_again_does_nothing(indexed: Path) -> None:
    report = events(run(indexed, "index", "gallery.csv", "--gallery", "trips"))[-1]
    assert (report["n_unchanged"], report["n_embedded"]) == (96, 0)


def test_a_partly_failed_run_ends_with_3_and_names_the_photo(scenes: Path) -> None:
    answer = run(scenes, "index", "photos", "--gallery", "folder", "--encoder", "demonstration")
    assert answer.returncode == 3
    failed = [event for event in events(answer) if event["event"] == "failed"]
    assert [(Path(str(f["image"])).name, "not a picture" in str(f["reason"])) for f in failed] == [
        ("bad.jpg", True)
    ]


def test_a_photo_finds_itself_first(indexed: Path) -> None:
    answer = run(indexed, "search", "photos/00030.jpg", "--gallery", "trips", "--json", "-k", "3")
    neighbors = events(answer)
    assert Path(str(neighbors[0]["image"])).name == "00030.jpg"
    assert neighbors[0]["similarity"] == pytest.approx(1.0, abs=1e-4)
    assert len(neighbors) == 3


def test_text_finds_what_it_says(indexed: Path) -> None:
    answer = run(indexed, "search", "--text", "palm trees", "--gallery", "trips", "--json", "-k", "5")
    captions = [str(event["payload"]["caption"]) for event in events(answer)]  # type: ignore[index]
    assert sum("palm" in caption for caption in captions) >= 3


def test_near_answers_by_distance(indexed: Path) -> None:
    answer = run(indexed, "search", "--near", "10,50", "--radius-km", "2000", "--gallery", "trips")
    assert answer.returncode == 0
    lines = [line.split() for line in answer.stdout.splitlines()[1:]]
    distances = [float(line[3]) for line in lines]
    assert distances == sorted(distances)
    assert 0 < max(distances) <= 2000


def test_filters_work_together(indexed: Path) -> None:
    world = {
        "type": "Polygon",
        "coordinates": [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]],
    }
    (indexed / "world.geojson").write_text(json.dumps(world))
    where = run(
        indexed, "search", "photos/00030.jpg", "--within", "world.geojson", "--where", "month=7",
        "--gallery", "trips", "--json", "-k", "96",
    )  # fmt: skip
    months = {event["payload"]["month"] for event in events(where)}  # type: ignore[index]
    assert months == {7}


def test_locate_writes_a_map_and_a_page(indexed: Path) -> None:
    picture = run(indexed, "locate", "photos/00001.jpg", "--gallery", "trips", "--map", "map.png")
    assert picture.returncode == 0, picture.stderr
    assert (indexed / "map.png").read_bytes().startswith(b"\x89PNG")
    page = run(indexed, "locate", "photos/00001.jpg", "--gallery", "trips", "--map", "map.html", "--json")
    answer = events(page)[0]
    assert -90 <= float(str(answer["lat"])) <= 90
    assert "00001.jpg" in (indexed / "map.html").read_text()


def test_an_indexed_photo_does_not_answer_for_itself(indexed: Path) -> None:
    run(indexed, "locate", "photos/00030.jpg", "--gallery", "trips", "--map", "self.html")
    assert (indexed / "self.html").read_text().count("00030.jpg") < 4  # its name, not its evidence
    found = events(run(indexed, "locate", "photos/00030.jpg", "--gallery", "trips", "--json"))
    assert float(str(found[0]["p_within_km"]["1"])) < 0.2  # type: ignore[index]


def test_evaluate_prints_the_baselines_beside_ours(indexed: Path) -> None:
    answer = run(
        indexed, "evaluate", "queries.csv", "--gallery", "trips", "--out", "e.json", "--plot", "e.png"
    )
    assert answer.returncode == 0, answer.stderr
    figures = json.loads((indexed / "e.json").read_text())
    assert {"prior", "random photo", "nearest photo"} < set(figures["rows"])
    assert figures["n_photos"] == 24
    assert all(name in answer.stdout for name in ("prior", "nearest photo", "GeoScore"))
    assert (indexed / "e.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "words, code, says",
    [
        (["search", "photos/00001.jpg", "--gallery", "tirps"], 1, "no gallery 'tirps'"),
        (["search", "--gallery", "trips"], 2, "give a photo"),
        (["search", "--near", "139.76", "--gallery", "trips"], 2, "LON,LAT"),
        (["search", "--near", "35.67,139.76", "--gallery", "trips"], 1, "lon, lat"),
        (["search", "--where", "year", "--gallery", "trips"], 1, "name=value"),
        (["search", "--within", "nowhere.geojson", "--gallery", "trips"], 1, "nowhere.geojson"),
        (["search", "photos/bad.jpg", "--gallery", "trips"], 1, "bad.jpg: not a picture"),
        (["search", "--text", "quantum chromodynamics", "--gallery", "trips"], 1, "palm"),
        (["index", "nowhere", "--gallery", "trips"], 1, "no such file or folder"),
        (["index", "photos", "--gallery", "No Name"], 1, "cannot name a gallery"),
        (["index", "photos", "--gallery", "x", "--encoder", "none"], 1, "no encoder 'none'"),
        (["locate", "photos/bad.jpg", "--gallery", "trips"], 1, "bad.jpg: not a picture"),
        (["locate", "photos/00001.jpg", "--gallery", "trips", "--map", "map.gif"], 2, ".png or .html"),
    ],
)
def test_an_error_says_what_is_wrong_without_a_traceback(
    indexed: Path, words: list[str], code: int, says: str
) -> None:
    answer = run(indexed, *words)
    assert answer.returncode == code
    assert says in " ".join(answer.stderr.replace("│", " ").split())
    assert "Traceback" not in answer.stderr


def test_a_gallery_without_places_says_why_it_cannot_locate(scenes: Path) -> None:
    run(scenes, "index", "photos", "--gallery", "folder", "--encoder", "demonstration")
    answer = run(scenes, "locate", "photos/00001.jpg", "--gallery", "folder")
    assert answer.returncode == 1
    assert "has a place" in answer.stderr


def test_photos_can_be_taken_out(indexed: Path, scenes: Path) -> None:
    table = scenes / "few.csv"
    table.write_text("image,lon,lat\nphotos/00001.jpg,1,2\nphotos/00002.jpg,3,4\n")
    run(scenes, "index", "few.csv", "--gallery", "few", "--encoder", "demonstration")
    found = events(run(scenes, "search", "photos/00001.jpg", "--gallery", "few", "--json", "-k", "1"))
    answer = run(scenes, "delete", "--gallery", "few", str(found[0]["id"]))
    assert "1 photos taken out" in answer.stdout
    assert "few: 1 photos" in run(scenes, "rebuild", "--gallery", "few").stdout


def test_the_cards_are_shown() -> None:
    answer = subprocess.run([*CLI, "models"], capture_output=True, text=True, check=True)
    assert "clip-b32-256" in answer.stdout
    assert "known failures" in answer.stdout


def test_every_command_has_help_with_its_meaning() -> None:
    answer = subprocess.run([*CLI, "--help"], capture_output=True, text=True, check=True)
    for verb in ("index", "search", "locate", "evaluate", "demo", "optimize", "rebuild", "delete"):
        assert f"\n  {verb} " in answer.stdout


def test_drawn_scenes_lie_where_they_say(scenes: Path) -> None:
    rows = [line.split(",") for line in (scenes / "gallery.csv").read_text().splitlines()[1:]]
    assert len(rows) == 96
    assert {row[5] for row in rows} <= set(load_places().country_code)
