"""`placeprint places`: from a mosaic to a gallery, from a place to others and a sheet; and how they fail."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from map_gallery_fakes import CENTER, GROUND_M, make_maps
from PIL import Image
from program import Answer, run_program
from served import make_gallery

from placeprint.encoders.sphere import great_circle_km
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings

HERE = f"{CENTER[0]},{CENTER[1]}"
MAPS = ("-m", "city.tif", "--encoder", "encoder.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps, and a gallery of them built by the command."""
    folder = make_maps(tmp_path_factory.mktemp("maps"))
    answer = run(folder, "places", "build", "-g", "city", *MAPS, "--spacing", "150m", "--json")
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert told["n_embedded"] == told["places"] > 300
    return folder


def run(folder: Path, *words: str) -> Answer:
    return run_program(folder, *words)


def opened(folder: Path, name: str) -> Gallery:
    return Gallery.open(name, settings=Settings(home=folder / "home", qdrant_url=None))


def test_likes_come_as_lines_with_similarity_distance_and_credit(folder: Path) -> None:
    answer = run(folder, "places", "like", HERE, "-g", "city", "-k", "5")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert [line.split(".")[0].strip() for line in lines[:5]] == ["1", "2", "3", "4", "5"]
    assert lines[5] == "credit: a drawn city"


def test_likes_as_json_and_as_a_sheet(folder: Path) -> None:
    other = f"{CENTER[0] + 0.01},{CENTER[1]}"
    words = ("places", "like", HERE, "--and", other, "--unlike", "9.4850,47.0880", "-g", "city", "-k", "6")
    answer = run(folder, *words, "--sheet", "like.png", "--json")
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert [(one["is_like"], one["embedded_by"]) for one in told["asked"]] == [
        (True, "map"), (True, "map"), (False, "map")
    ]  # fmt: skip
    places = np.array([(one["lon"], one["lat"]) for one in told["neighbors"]])
    assert great_circle_km(np.array(CENTER), places).min() >= GROUND_M / 1000.0
    with Image.open(folder / "like.png") as sheet:
        # One row of those asked about, two of answers.
        assert sheet.width > 900 and sheet.height > 3 * 224
        middle = np.asarray(sheet.convert("RGB"))[12:236, 12:236]
    assert len(np.unique(middle.reshape(-1, 3), axis=0)) > 3


def test_a_list_in_a_box_and_photos_beyond_the_map(folder: Path) -> None:
    (folder / "list.csv").write_text(f"name,lon,lat\nhere,{CENTER[0]},{CENTER[1]}\nfar,0,0\nnone,,\n")
    answer = run(folder, "places", "build", "-g", "list", *MAPS, "--list", "list.csv", "--json")
    told = json.loads(answer.stdout)
    assert (told["n_embedded"], told["n_without_data"], told["n_without_place"]) == (1, 1, 1)
    named = run(folder, "places", "like", f"{CENTER[0] + 0.01},{CENTER[1]}", "-g", "list")
    assert named.stdout.splitlines()[0].endswith("here")
    make_gallery(folder / "home")
    answer = run(folder, "places", "build", "-g", "trips", *MAPS, "--json")
    assert json.loads(answer.stdout)["n_without_data"] == 12  # no photo was taken in the drawn city
    box = f"{CENTER[0]},{CENTER[1]},{CENTER[0] + 0.005},{CENTER[1] + 0.005}"
    answer = run(folder, "places", "build", "-g", "box", *MAPS, "--box", box, "--spacing", "0.1km", "--json")
    assert 10 < json.loads(answer.stdout)["places"] < 40


def test_photos_are_found_by_the_map_around_them(tmp_path: Path) -> None:
    from fakes import ColorEncoder, record

    make_maps(tmp_path)
    encoder = ColorEncoder()
    embedding = encoder.embed_pixels(np.full((1, 16, 16, 3), 200, np.uint8))[0]
    settings = Settings(home=tmp_path / "home", qdrant_url=None)
    with Gallery.create("walk", encoder.fingerprint, settings=settings) as walk:
        walk.add([record(f"{i}.jpg", embedding, lon=CENTER[0] + 0.001 * i, lat=CENTER[1]) for i in range(4)])
        walk.add([record("nowhere.jpg", embedding)])
    asked = ("places", "like", f"{CENTER[0]},{CENTER[1]}", "-g", "walk", "--apart", "0", "--json")
    answer = run(tmp_path, *asked)
    assert answer.returncode == 1 and "no map was looked at" in answer.stderr
    words = ("places", "build", "-g", "walk", *MAPS)
    told = json.loads(run(tmp_path, *words, "--json").stdout)
    assert (told["n_embedded"], told["n_without_place"], told["places"]) == (4, 1, 5)
    answer = run(tmp_path, *asked)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)["neighbors"]
    with opened(tmp_path, "walk") as walk:  # a photo is told another place, one comes in, one loses its place
        ids = {photo.id for photo in walk.find() if photo.is_placed}
        assert {one["id"] for one in found} == ids
        walk.add([record("1.jpg", embedding, lon=CENTER[0], lat=CENTER[1] + 0.002)])
        walk.add([record("new.jpg", embedding, lon=CENTER[0], lat=CENTER[1] - 0.002)])
        walk.add([record("2.jpg", embedding)])
    told = json.loads(run(tmp_path, *words, "--json").stdout)
    assert (told["n_embedded"], told["n_unchanged"], told["n_without_place"]) == (2, 2, 2)
    with opened(tmp_path, "walk") as walk:
        assert len(walk.vectors.marks("map")) == 4 and len(walk.vectors.lacking("map")) == 2
    answer = run(tmp_path, *words, "--box", "1,2,3,4", "--json")
    assert answer.returncode == 2 and "holds photos" in answer.stderr


def test_beyond_the_map_a_student_guesses_and_says_so(folder: Path) -> None:
    answer = run(folder, "places", "like", "3,3", "-g", "city")
    assert answer.returncode == 1 and "know nothing of 3.000000,3.000000" in answer.stderr
    answer = run(folder, "places", "like", "3,3", "-g", "city", "--student", "student.safetensors")
    assert answer.returncode == 0 and "a student guessed" in answer.stderr
    assert run(folder, "places", "like", "3,3", "-g", "city").returncode == 0  # remembered


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("like", "9.5", "-g", "city"), 2, "LON,LAT"),
        (("like", "9.5,95", "-g", "city"), 2, "lat"),
        (("like", HERE, "-g", "nothing"), 1, "no gallery 'nothing'"),
        (("like", HERE, "-g", "city", "--apart", "5 miles"), 2, "no length"),
        (("like", HERE, "-g", "city", "--sheet", "x.jpg"), 2, "write .png"),
        (("like", HERE, "-g", "city", "--style", "neon", "--sheet", "x.png"), 2, "no style"),
        (("like", HERE, "-g", "city", "--unlike-weight", "0", "--unlike", "9.49,47.09"), 2, "weight 0"),
        (("build", "-g", "new"), 2, "--mosaic FILE"),
        (("build", "-g", "new", "-m", "no.tif", "--encoder", "encoder.safetensors"), 1, "no such file"),
        (("build", "-g", "new", "-m", "city.tif", "--encoder", "no.safetensors"), 1, "no.safetensors"),
        (("build", "-g", "new", "-m", "city.tif", "--encoder", "mine"), 2, "placeprint-streets-v1"),
        (("build", "-g", "new", *MAPS, "--box", "1,2,3"), 2, "W,S,E,N"),
        (("build", "-g", "new", *MAPS, "--box", "1,2,3,4", "--list", "list.csv"), 2, "give one of them"),
        (("build", "-g", "new", "--student", "student.safetensors"), 2, "which places"),
        (("build", "-g", "new", *MAPS, "--box", "9.5001,47.1001,9.5002,47.1002"), 2, "finer --spacing"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    folder: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    answer = run(folder, "places", *words)
    assert (answer.returncode, said in answer.stderr) == (code, True), answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (folder / "home" / "galleries" / "new").exists()  # nothing empty is left behind


def test_photos_are_not_looked_for_among_places(folder: Path) -> None:
    answer = run(folder, "search", "--text", "red", "-g", "city")
    assert answer.returncode == 2 and "placeprint places like" in answer.stderr
    near = run(folder, "search", "--near", HERE, "--radius-km", "0.3", "-g", "city", "--json")
    assert near.returncode == 0 and near.stdout


def test_a_full_disk_leaves_the_old_sheet(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from placeprint.encoders import location_files

    (folder / "kept.png").write_bytes(b"the old one")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(location_files.os, "fsync", full)
    answer = run(folder, "places", "like", HERE, "-g", "city", "--sheet", "kept.png")
    assert answer.returncode == 1 and "kept.png" in answer.stderr and "Traceback" not in answer.stderr
    assert (folder / "kept.png").read_bytes() == b"the old one"
