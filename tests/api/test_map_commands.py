"""`placeprint mosaic` and `placeprint map`: from a file to a picture, and how they fail."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from PIL import Image
from program import Answer, run_program

from placeprint.api.commands_maps import length_m
from placeprint.encoders.errors import InvalidOption
from placeprint.encoders.maps import CLASSES, Mosaic, class_id, synthetic_city


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A town in files of one class each, and its mosaic, built by the command."""
    folder = tmp_path_factory.mktemp("maps")
    city = synthetic_city(9.5, 47.1, size_m=1500.0)
    for name in ("green", "building", "street", "water"):
        shapes = city.geometry[city.class_id == class_id(name)]
        gpd.GeoDataFrame({"n": range(len(shapes))}, geometry=list(shapes), crs=4326).to_file(
            folder / f"{name}.gpkg"
        )
    words = [f"{name}.gpkg:{name}" for name in ("green", "building", "street", "water")]
    answer = run(folder, "mosaic", "build", *words, "-o", "town.tif", "--zoom", "14", "--zoom", "16",
                 "--credit", "drawn", "--date", "2026-01-01")  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "town.tif: " in answer.stdout and "4 files" in answer.stdout
    assert "credit: drawn" in answer.stdout
    return folder


def run(folder: Path, *words: str) -> Answer:
    return run_program(folder, *words)


def test_a_map_around_a_place(folder: Path) -> None:
    words = ("map", "9.5,47.1", "-m", "town.tif", "--ground", "0.5km", "--px", "200")
    answer = run(folder, *words, "-o", "a.png")
    assert answer.returncode == 0, answer.stderr
    assert "a.png: 500 m across" in answer.stdout and "credit: drawn" in answer.stdout
    view = Mosaic.open(folder / "town.tif").crops([[9.5, 47.1]], ground_m=500.0, px=200)[0]
    with Image.open(folder / "a.png") as picture:
        assert np.array_equal(np.asarray(picture), view)


def test_a_turned_map_in_json(folder: Path) -> None:
    words = ("map", "9.5,47.1", "-m", "town.tif", "--ground", "300m", "--turn", "90", "--style", "dark")
    told = json.loads(run(folder, *words, "--json", "-o", "b.png").stdout)
    assert told["file"] == "b.png" and told["ground_m"] == 300.0 and 0.5 < told["bits"] < 4.0
    assert sum(told["classes"].values()) == pytest.approx(1.0, abs=0.01)
    assert set(told["classes"]) <= {one.name for one in CLASSES}
    straight = Mosaic.open(folder / "town.tif").crops([[9.5, 47.1]], ground_m=300.0, px=768)[0]
    with Image.open(folder / "b.png") as picture:
        assert np.array_equal(np.asarray(picture), np.rot90(straight, -1))


def test_a_place_without_data_is_told(folder: Path) -> None:
    answer = run(folder, "map", "-m", "town.tif", "-o", "c.png", "--", "-122.42,37.77")
    assert answer.returncode == 0
    assert "no data there" in answer.stderr


def test_what_is_in_a_mosaic(folder: Path) -> None:
    answer = run(folder, "mosaic", "info", "town.tif")
    assert "zoom 16: " in answer.stdout and "1.626 m a pixel" in answer.stdout
    assert "drawn 2026-01-01 with version 1 of the legend" in answer.stdout
    told = json.loads(run(folder, "mosaic", "info", "town.tif", "--json").stdout)
    assert [level["zoom"] for level in told["levels"]] == [14, 16]
    assert told["sources"] == ["green.gpkg", "building.gpkg", "street.gpkg", "water.gpkg"]


def test_only_a_box_and_only_within_a_polygon(folder: Path) -> None:
    polygon = shapely.geometry.mapping(shapely.box(9.498, 47.099, 9.5, 47.101))
    (folder / "part.geojson").write_text(json.dumps(polygon))
    words = ("mosaic", "build", "water.gpkg:water", "--zoom", "15", "--json")
    boxed = json.loads(run(folder, *words, "-o", "d.tif", "--bbox", "9.499,47.099,9.501,47.101").stdout)
    assert boxed["box"] == [9.499, 47.099, 9.501, 47.101]
    inside = json.loads(run(folder, *words, "-o", "e.tif", "--within", "part.geojson").stdout)
    assert inside["box"] == pytest.approx([9.498, 47.099, 9.5, 47.101])


@pytest.mark.parametrize(
    "words, code, says",
    [
        (("map", "9.5", "-m", "town.tif"), 2, "write LON,LAT as 2 numbers"),
        (("map", "9.5,47.1", "-m", "town.tif", "--ground", "1"), 2, "write a number and m or km"),
        (("map", "9.5,47.1", "-m", "town.tif", "--style", "pink"), 2, "no style 'pink'"),
        (("map", "9.5,97.1", "-m", "town.tif"), 1, "not on Earth"),
        (("map", "9.5,47.1", "-m", "none.tif"), 1, "none.tif: no such file"),
        (("map", "9.5,47.1", "-m", "green.gpkg"), 1, "green.gpkg: "),
        (("map", "9.5,47.1", "-m", "town.tif", "-o", "a.jpg"), 2, "write .png"),
        (("mosaic", "build", "green.gpkg", "-o", "x.tif", "--zoom", "9"), 1, "green.gpkg:CLASS"),
        (("mosaic", "build", "green.gpkg:lawn", "-o", "x.tif", "--zoom", "9"), 2, "no map class 'lawn'"),
        (("mosaic", "build", "green.gpkg:green", "-o", "x.tif", "--zoom", "99"), 2, "from 0 to 22"),
        (("mosaic", "build", "no.gpkg", "-o", "x.tif", "--zoom", "9"), 1, "no.gpkg: no such file"),
        (("mosaic", "build", "green.gpkg", "-o", "x.tif", "--zoom", "9", "--bbox", "1,2"), 2, "4 numbers"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(
    folder: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    answer = run(folder, *words)
    assert answer.returncode == code, answer.stderr
    assert says in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (folder / "x.tif").exists()


def test_lengths_as_people_write_them() -> None:
    assert [length_m(words) for words in ("800m", "1.5km", "2 km", ".5km")] == [800.0, 1500.0, 2000.0, 500.0]
    for words in ("", "km", "0m", "-3km", "3mi", "1e9km", "50000km"):
        with pytest.raises(InvalidOption, match="no length on Earth"):
            length_m(words)
