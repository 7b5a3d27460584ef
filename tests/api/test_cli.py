"""The commands a user types, on drawn scenes: what they print, what they leave, how they fail."""

import html
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from program import Answer, run_program

from placeprint.api.demo import draw_scenes
from placeprint.encoders.demonstration import WEIGHTS
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
    text = (indexed / "map.html").read_text()
    assert "00001.jpg" in text
    first = answer["cells"][0]  # type: ignore[index]
    assert first["probability"] > first["prior_probability"]
    assert html.escape(first["name"]) in text


def test_an_indexed_photo_does_not_answer_for_itself(indexed: Path) -> None:
    run(indexed, "locate", "photos/00030.jpg", "--gallery", "trips", "--map", "self.html")
    assert (indexed / "self.html").read_text().count("00030.jpg") < 4  # its name, not its evidence
    found = events(run(indexed, "locate", "photos/00030.jpg", "--gallery", "trips", "--json"))
    assert float(str(found[0]["p_within_km"]["1"])) < 0.2  # type: ignore[index]


def test_locate_draws_what_in_the_photo_mattered(indexed: Path) -> None:
    asked = ("locate", "photos/00001.jpg", "--gallery", "trips", "--heat-map", "heat.png")
    answer = run(indexed, *asked)
    assert answer.returncode == 0, answer.stderr
    picture = (indexed / "heat.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert "  photo       " in answer.stdout
    first, last = answer.stderr.splitlines()
    assert "heat map" in first and "96 photos" in first and "done" in last
    told = events(run(indexed, *asked, "--map", "heat.html", "--json"))
    assert [event["event"] for event in told] == ["location", "heat_map"]
    assert str(told[1]["says"]) in answer.stdout
    assert (indexed / "heat.png").read_bytes() == picture  # the same photo, the same map
    page = (indexed / "heat.html").read_text()
    assert f'alt="The same with what mattered marked. {told[1]["says"]}"' in page


def test_several_photos_of_one_place_share_a_heat_map(indexed: Path) -> None:
    photos = ("photos/00001.jpg", "photos/00002.jpg")
    answer = run(indexed, "locate", *photos, "--same-place", "-g", "trips", "--heat-map", "two.png")
    assert answer.returncode == 0, answer.stderr
    assert "192 photos" in answer.stderr
    assert "00001.jpg: " in answer.stdout and "00002.jpg: " in answer.stdout
    assert (indexed / "two.png").read_bytes().startswith(b"\x89PNG")


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


def test_evaluate_lists_its_benchmarks_without_a_gallery(scenes: Path) -> None:
    answer = run(scenes, "evaluate", "--list-protocols")
    assert answer.returncode == 0, answer.stderr
    for says in ("im2gps3k: IM2GPS3k, 2,997 photos, errors ≤", "osv5m: OSV-5M, 210,122 photos, errors <"):
        assert says in answer.stdout
    assert "gws15k is not here: its 14,955 photos were never released" in answer.stdout


def test_evaluate_hides_whole_blocks(indexed: Path) -> None:
    answer = run(indexed, "evaluate", "--gallery", "trips", "--block-deg", "30", "--json")
    assert answer.returncode == 0, answer.stderr
    (figures,) = events(answer)
    assert figures["block_deg"] == 30.0
    assert figures["n_groups"] < figures["n_photos"] == 96  # type: ignore[operator]
    assert set(figures["ceilings"]) == {"gallery oracle", "geocell oracle"}  # type: ignore[call-overload]


def test_evaluate_leaves_out_photos_with_text_and_hides_copies(indexed: Path) -> None:
    folder = indexed / "dashcam"
    folder.mkdir()
    lines = (indexed / "queries.csv").read_text().splitlines()
    image = lines[0].split(",").index("image")
    for number, line in enumerate(lines[1:]):
        name = line.split(",")[image]
        with Image.open(indexed / name) as opened:
            photo = opened.convert("RGB").resize((640, 640))
        if number == 2:
            draw = ImageDraw.Draw(photo)
            draw.rectangle((0, 605, 640, 640), fill="black")
            draw.text((10, 610), "N35.6812 E139.7671 2021/05/03 62km/h", fill="white", font_size=22)
        photo.save(folder / f"{number:02}.jpg")
        lines[number + 1] = line.replace(name, f"{number:02}.jpg")
    (folder / "queries.csv").write_text("\n".join(lines))
    hidden = ("--exclude-similarity", "0.2", "--without-burned-in")
    answer = run(indexed, "evaluate", "dashcam/queries.csv", "--gallery", "trips", *hidden, "--json")
    assert answer.returncode == 0, answer.stderr
    (figures,) = events(answer)
    assert (figures["n_photos"], figures["exclude_similarity"], figures["burned_in"]) == (23, 0.2, [])
    assert "1 photos were left out" in answer.stderr
    assert "02.jpg: it may show text burned in" in answer.stderr
    audit = figures["audit"]
    assert audit["neighbors above similarity 0.2, hidden as copies"] > 0  # type: ignore[index]
    flagged = run(indexed, "evaluate", "dashcam/queries.csv", "--gallery", "trips")
    told = "".join(flagged.stdout.split())  # a long path is broken anywhere
    assert "lookat:1photos,mayshowtextburnedin,thefirst:" in told and "dashcam/02.jpg" in told
    assert "24photos" in told and "hiddenascopies" not in told


def test_evaluate_prints_published_figures_beside_a_part_of_a_benchmark(indexed: Path) -> None:
    folder = indexed / "osv"
    folder.mkdir()
    lines = (indexed / "queries.csv").read_text().splitlines()
    columns = lines[0].split(",")
    rows = [dict(zip(columns, line.split(","), strict=False)) for line in lines[1:13]]
    table = ["id,longitude,latitude,sequence"]
    for number, row in enumerate(rows, start=10_000_000_000):
        shutil.copy(indexed / row["image"], folder / f"{number}.jpg")
        table.append(f"{number},{row['lon']},{row['lat']},drive-{number % 3}")
    (folder / "test.csv").write_text("\n".join(table))
    asked = ("evaluate", "osv/test.csv", "--gallery", "trips", "--protocol", "osv5m")
    refused = run(indexed, *asked)
    assert (refused.returncode, "12 photos, but OSV-5M has 210,122" in refused.stderr) == (1, True)
    answer = run(indexed, *asked, "--partial", "--out", "osv.json")
    assert answer.returncode == 0, answer.stderr
    assert "these are 12 of the 210,122 photos" in answer.stderr
    assert "none of these photos' groups is one of gallery" in answer.stderr
    assert all(says in answer.stdout for says in ("< 25 km", "GaGA", "geocell oracle", "orientation only"))
    figures = json.loads((indexed / "osv.json").read_text())
    assert figures["protocol"] == {"name": "osv5m", "n_photos": [210_122], "is_whole": False}
    assert figures["is_inclusive"] is False
    assert figures["n_groups"] == 3
    assert len(figures["published"]["methods"]) == 4


@pytest.mark.parametrize(
    "words, code, says",
    [
        (["search", "photos/00001.jpg", "--gallery", "tirps"], 1, "no gallery 'tirps'"),
        (["search", "--gallery", "trips"], 2, "give a photo"),
        (["search", "--near", "139.76", "--gallery", "trips"], 2, "LON,LAT"),
        (["search", "--near", "35.67,139.76", "--gallery", "trips"], 2, "lon, lat"),
        (["search", "--near", "1,2", "--radius-km", "-5", "--gallery", "trips"], 2, "--radius-km -5"),
        (["search", "--radius-km", "5", "--gallery", "trips"], 2, "goes with --near"),
        (["search", "--box", "1,2,3", "--gallery", "trips"], 2, "--box 139.5,35.5,140.0,35.9"),
        (["search", "--box", "1,2,3,2", "--gallery", "trips"], 2, "south < north"),
        (["search", "--where", "year", "--gallery", "trips"], 2, "name=value"),
        (["search", "--where", "_x=1", "--gallery", "trips"], 2, "underscore"),
        (["search", "--from", "yesterday", "--gallery", "trips"], 2, "no day or time"),
        (["search", "--within", "bad.geojson", "--gallery", "trips"], 1, "bad.geojson: there is no polygon"),
        (["search", "--within", "nowhere.geojson", "--gallery", "trips"], 1, "nowhere.geojson"),
        (["search", "photos/bad.jpg", "--gallery", "trips"], 1, "bad.jpg: not a picture"),
        (["search", "--text", "quantum chromodynamics", "--gallery", "trips"], 1, "palm"),
        (["index", "nowhere", "--gallery", "trips"], 1, "no such file or folder"),
        (["index", "photos", "--gallery", "No Name"], 2, "cannot name a gallery"),
        (["index", "photos", "--gallery", "x", "--encoder", "none"], 2, "no encoder 'none'"),
        (["locate", "photos/bad.jpg", "--gallery", "trips"], 1, "bad.jpg: not a picture"),
        (["locate", "photos", "--gallery", "trips"], 1, "photos: a folder"),
        (["locate", "photos/00001.jpg", "--gallery", "trips", "--map", "map.gif"], 2, ".png or .html"),
        (["locate", "photos/00001.jpg", "--gallery", "trips", "--map", "no/map.png"], 2, "no folder no"),
        (["locate", "photos/00001.jpg", "--gallery", "trips", "--heat-map", "h.jpg"], 2, "h.jpg: write .png"),
        (["locate", "photos/00001.jpg", "--gallery", "trips", "--heat-map", "no/h.png"], 2, "no folder no"),
        (
            ["locate", "photos/00001.jpg", "photos/00002.jpg", "-g", "trips", "--heat-map", "h.png"],
            2,
            "--heat-map takes one photo, or several with --same-place",
        ),
        (
            ["locate", "photos/00001.jpg", "-g", "trips", "--map", "h.png", "--heat-map", "./h.png"],
            2,
            "give them two files",
        ),
        (["evaluate", "--gallery", "trips", "--plot", "x.foo"], 2, ".png or .svg or .pdf"),
        (["evaluate", "--gallery", "trips", "--out", "photos"], 2, "that is a folder"),
        (["evaluate", "--gallery", "trips", "--protocol", "gws15k"], 2, "never released"),
        (["evaluate", "--gallery", "trips", "--protocol", "mine"], 2, "there are im2gps, im2gps3k"),
        (["evaluate", "--gallery", "trips", "--protocol", "yfcc4k"], 2, "goes with the benchmark's photos"),
        (["evaluate", "--gallery", "trips", "--partial"], 2, "name it with --protocol"),
        (["evaluate", "--gallery", "trips", "--block-deg", "0"], 2, "at most 90"),
        (["evaluate", "--gallery", "trips", "--exclude-similarity", "1.5"], 2, "--exclude-similarity"),
        (["evaluate", "--gallery", "trips", "--without-burned-in"], 2, "photos given as files"),
        (
            ["evaluate", "photos", "--gallery", "trips", "--protocol", "im2gps"],
            1,
            "named as photos of IM2GPS",
        ),
        (
            ["evaluate", "queries.csv", "--gallery", "trips", "--protocol", "osv5m"],
            1,
            "not as those of OSV-5M",
        ),
        (["delete", "--gallery", "trips", "nonsense"], 1, "nonsense: no photo of this id"),
        (["serve", "--gallery", "trips", "--host", "0.0.0.0"], 2, "this machine only"),
    ],
)
def test_an_error_says_what_is_wrong_without_a_traceback(
    indexed: Path, words: list[str], code: int, says: str
) -> None:
    (indexed / "bad.geojson").write_text('{"type": "FeatureCollection", "features": []}')
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


def test_a_deleted_photo_stays_out_until_it_is_asked_for(scenes: Path) -> None:
    table = scenes / "two.csv"
    table.write_text("image,lon,lat\nphotos/00003.jpg,1,2\nphotos/00004.jpg,3,4\n")
    index = ("index", "two.csv", "--gallery", "two", "--no-calibrate")
    run(scenes, *index, "--encoder", "demonstration")
    id = str(events(run(scenes, "search", "--near", "1,2", "--gallery", "two", "--json"))[0]["id"])
    answer = run(scenes, "delete", "--gallery", "two", "--erase", id, "unknown")
    assert (answer.returncode, "1 photos erased from two" in answer.stdout) == (3, True)
    assert events(run(scenes, *index))[-1]["n_deleted"] == 1
    assert events(run(scenes, *index, "--undelete"))[-1]["photos"] == 2


def test_a_source_that_became_empty_is_pruned_when_that_is_said(scenes: Path) -> None:
    (scenes / "few").mkdir()
    shutil.copy(scenes / "photos" / "00005.jpg", scenes / "few")
    index = ("index", "few", "--gallery", "empty", "--encoder", "demonstration")
    run(scenes, *index)
    (scenes / "few" / "00005.jpg").unlink()
    refused = run(scenes, *index, "--prune")
    assert (refused.returncode, "--prune-everything" in refused.stderr) == (1, True)
    report = events(run(scenes, *index, "--prune", "--prune-everything"))[-1]
    assert (report["n_removed"], report["photos"]) == (1, 0)


def test_a_path_given_twice_is_warned_of(scenes: Path) -> None:
    (scenes / "twice.csv").write_text("image,lon,lat\n" + "photos/00006.jpg,1,2\n" * 3)
    answer = run(scenes, "index", "twice.csv", "--gallery", "twice", "--encoder", "demonstration")
    warning = events(answer)[0]
    assert warning["event"] == "warning"
    assert "photos/00006.jpg (3 times)" in str(warning["message"])


def test_weights_that_were_moved_are_named_and_can_be_told(scenes: Path) -> None:
    first, second = scenes / "first.safetensors", scenes / "second.safetensors"
    shutil.copy(WEIGHTS, first)
    table = scenes / "weighed.csv"
    table.write_text((scenes / "gallery.csv").read_text())
    index = ("index", "weighed.csv", "--gallery", "weighed")
    run(scenes, *index, "--encoder", "demonstration", "--weights", str(first))
    first.rename(second)
    asked = ("photos/00030.jpg", "--gallery", "weighed")
    for words in (("search", *asked), ("locate", *asked), ("evaluate", "queries.csv", *asked[1:]), index):
        answer = run(scenes, *words)
        assert (answer.returncode, "--weights FILE" in answer.stderr) == (1, True)
    for words in (("search", *asked), ("locate", *asked), ("evaluate", "queries.csv", *asked[1:])):
        assert run(scenes, *words, "--weights", str(second)).returncode == 0
    assert run(scenes, "search", *asked).returncode == 1  # a question changes nothing
    assert run(scenes, *index, "--weights", str(second)).returncode == 0
    assert run(scenes, "search", *asked).returncode == 0


def test_of_several_photos_one_bad_one_costs_only_itself(indexed: Path) -> None:
    photos = ("photos/00001.jpg", "photos/bad.jpg", "nowhere.jpg", "photos/00002.jpg")
    answer = run(indexed, "locate", *photos, "--gallery", "trips", "--json")
    assert answer.returncode == 3
    assert [(event["event"], event["image"]) for event in events(answer)] == [
        ("location", photos[0]), ("failed", photos[1]), ("failed", photos[2]), ("location", photos[3]),
    ]  # fmt: skip
    alone = run(indexed, "locate", photos[3], "--gallery", "trips", "--json")
    assert events(alone)[0] == events(answer)[3]
    said = run(indexed, "locate", *photos[1:3], "--gallery", "trips")
    assert (said.returncode, said.stdout, said.stderr.count("failed: ")) == (1, "", 2)


def test_photos_of_one_place_are_all_on_the_page(indexed: Path) -> None:
    photos = [f"photos/0000{i}.jpg" for i in range(4)]
    page = ("--gallery", "trips", "--map", "place.html")
    answer = run(indexed, "locate", *photos, "nowhere.jpg", "--same-place", *page)
    assert (answer.returncode, answer.stdout.splitlines()[0]) == (3, "4 photos of one place")
    text = (indexed / "place.html").read_text()
    assert [text.count(f'alt="Photo {i} of the 4 that were asked about"') for i in (1, 2, 3, 4, 5)] == [
        1
    ] * 4 + [0]
    run(indexed, "locate", photos[0], *page)
    assert "that were asked about" not in (indexed / "place.html").read_text()


def test_off_a_terminal_no_path_is_folded(scenes: Path) -> None:
    deep = scenes / ("a very long name of a folder " * 4) / "[bold] and more of the same"
    deep.mkdir(parents=True)
    shutil.copy(scenes / "photos" / "00007.jpg", deep / "photo.jpg")
    run(scenes, "index", str(scenes / deep.parts[-2]), "--gallery", "deep", "--encoder", "demonstration")
    answer = run_program(scenes, "search", "--no-place", "--gallery", "deep", columns=40)
    assert str(deep / "photo.jpg") in answer.stdout or str(deep.relative_to(scenes)) in answer.stdout


def test_calibration_says_when_it_begins_and_ends_apart_from_the_answer(scenes: Path) -> None:
    run(scenes, "index", "gallery.csv", "-g", "fresh", "--encoder", "demonstration", "--no-calibrate")
    calibration = scenes / "home" / "galleries" / "fresh" / "calibration.json"
    for words, begun in ((("--json",), '"state": "begun", "total": 96'), ((), "calibrating: 96 photos")):
        calibration.unlink(missing_ok=True)
        answer = run(scenes, "locate", "photos/00001.jpg", "-g", "fresh", *words)
        first, last = answer.stderr.splitlines()
        assert begun in first
        assert "done" in last
        assert "calibrating" not in answer.stdout
    assert run(scenes, "locate", "photos/00001.jpg", "-g", "fresh").stderr == ""


def test_the_gallerys_prior_can_be_taken_out(indexed: Path) -> None:
    answers = {
        prior: events(run(indexed, "locate", "photos/00001.jpg", "-g", "trips", "--json", "--prior", prior))[
            -1
        ]
        for prior in ("gallery", "uniform", "population")
    }
    assert [answers[prior]["is_calibrated"] for prior in answers] == [True, False, False]
    assert answers["gallery"]["countries"] != answers["uniform"]["countries"]
    assert answers["uniform"]["countries"] != answers["population"]["countries"]
    assert run(indexed, "locate", "photos/00001.jpg", "-g", "trips", "--prior", "mine").returncode == 2


def test_galleries_are_listed_with_their_numbers(indexed: Path) -> None:
    listed = {str(event["name"]): event for event in events(run(indexed, "galleries", "--json"))}
    trips = {key: listed["trips"][key] for key in ("photos", "placed", "encoder", "store")}
    assert trips == {"photos": 96, "placed": 96, "encoder": "demonstration", "store": "folder"}
    damaged = indexed / "home" / "galleries" / "damaged"
    damaged.mkdir()
    (damaged / "gallery.json").write_text("")
    answer = run(indexed, "galleries")
    (line,) = [line for line in answer.stdout.splitlines() if line.startswith("trips ")]
    assert line.split() == "trips 96 photos, 96 with a place demonstration".split()
    assert (answer.returncode, "gallery.json: damaged" in answer.stderr) == (3, True)
    assert run(indexed, "search", "--text", "x", "-g", "damaged").stderr.startswith("error: ")
    shutil.rmtree(damaged)


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


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(scenes: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = run(scenes, "serve", "--port", str(port))
    assert answer.returncode == 1
    assert answer.stderr.strip() == (
        f"error: port {port} is taken by another program; choose one with --port N, or --port 0"
    )
