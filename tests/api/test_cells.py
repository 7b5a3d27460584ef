"""`placeprint cells`: what it prints, what it leaves, how it ends.

The table of places is replaced by a small one, so that building takes a moment.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from program import Answer, run_program

from placeprint.encoders.cells import place_units
from placeprint.encoders.geocells import Geocells
from placeprint.encoders.places import Places
from placeprint.encoders.sphere import uniform_on_sphere


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(5)
    rows = [
        {
            "city": f"city {row}", "county": f"county {row // 5}", "state": f"state {lon > 90}",
            "country_code": "NA" if lon > 0 else "FJ", "population": 1000 + row,
            "longitude": round(float(lon), 4), "latitude": round(float(lat), 4),
        }
        for row, (lon, lat) in enumerate(uniform_on_sphere(120, rng))
    ]  # fmt: skip
    small = place_units.PlaceHierarchy(Places(rows, {"NA": "Namibia", "FJ": "Fiji"}))
    monkeypatch.setattr(place_units, "place_hierarchy", lambda: small)
    points = uniform_on_sphere(200, rng).round(4)
    with (tmp_path / "photos.csv").open("w") as file:
        file.write("id,lon,lat,split\n")
        for row, (lon, lat) in enumerate(points):
            file.write(f"p{row},{lon},{lat},{'test' if row % 10 == 0 else 'train'}\n")
    return tmp_path


def run(folder: Path, *words: str) -> Answer:
    return run_program(folder, "cells", *words)


@pytest.fixture
def built(folder: Path) -> Path:
    answer = run(folder, "build", "photos.csv", "-o", "cells.parquet", "--min", "20", "--max", "200")
    assert answer.returncode == 0, answer.stderr
    return folder


def test_a_table_becomes_cells_of_its_training_rows(folder: Path) -> None:
    answer = run(folder, "build", "photos.csv", "-o", "cells.parquet", "--min", "20", "--max", "200")
    assert answer.returncode == 0, answer.stderr
    cells = Geocells.load(folder / "cells.parquet")
    assert answer.stdout.startswith(f"180 points: {len(cells)} cells in 2 countries; ")
    assert cells.n_train.sum() == 180 and set(cells.country) == {"NA", "FJ"}
    assert cells.cells_id in answer.stdout


def test_the_report_as_json(folder: Path) -> None:
    answer = run(folder, "build", "photos.csv", "-o", "c.parquet", "--min", "20", "--max", "200", "--json")
    told = json.loads(answer.stdout.splitlines()[-1])
    assert (told["event"], told["points"], told["countries"]) == ("report", 180, 2)


def test_inspect_tells_sizes_and_draws_a_map(built: Path) -> None:
    answer = run(built, "inspect", "cells.parquet", "--map", "map.png")
    assert answer.returncode == 0, answer.stderr
    assert "cells by GeoNames places" in answer.stdout and "180 points, 2 countries" in answer.stdout
    assert "largest" in answer.stdout and "smallest" in answer.stdout
    assert (built / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["cells.geojson", "out.parquet", "cells.csv"])
def test_export_writes_every_cell(built: Path, name: str) -> None:
    answer = run(built, "export", "cells.parquet", "-o", name)
    assert answer.returncode == 0, answer.stderr
    cells = Geocells.load(built / "cells.parquet")
    if name.endswith(".csv"):
        rows = list(csv.DictReader((built / name).read_text().splitlines()))
        assert [row["cell_id"] for row in rows] == list(cells.cell_id)
        return
    import geopandas
    import shapely

    path = built / name
    frame = geopandas.read_parquet(path) if name.endswith(".parquet") else geopandas.read_file(path)
    assert list(frame["cell_id"]) == list(cells.cell_id) and frame.geometry.is_valid.all()
    assert shapely.area(frame.geometry.to_numpy()).sum() == pytest.approx(360 * 180, rel=1e-5)
    points = uniform_on_sphere(500, np.random.default_rng(1))
    inside = shapely.intersects_xy(
        frame.geometry.to_numpy()[cells.assign(points)], points[:, 0], points[:, 1]
    )
    assert inside.mean() > 0.99


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("build",), "give a table of training points, or --default"),
        (("build", "photos.csv", "--default"), "give a table of training points, or --default"),
        (("build", "none.csv"), "no such file"),
        (("build", "photos.csv", "--lon", "x"), "no column 'x'"),
        (("build", "photos.csv", "--min", "30", "--max", "40"), "twice the minimum"),
        (("build", "photos.csv", "-o", "nowhere/cells.parquet"), "there is no folder nowhere"),
        (("build", "photos.csv", "-o", "cells.csv"), "write .parquet"),
        (("build", "photos.csv", "--hierarchy", "h3"), "places or polygons"),
        (("build", "photos.csv", "--hierarchy", "polygons"), "go together"),
        (("build", "photos.csv", "--hierarchy", "polygons", "--country-layer", "a.geojson:iso"), "say which"),
        (("inspect", "none.parquet"), "no such file"),
        (("inspect", "photos.csv"), "no file of geocells"),
        (("export", "-o", "cells.txt"), "geojson, geoparquet or csv"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_said_in_a_line(folder: Path, words: tuple[str, ...], said: str) -> None:
    answer = run(folder, *words)
    assert answer.returncode in (1, 2)
    assert said in " ".join(answer.stderr.replace("│", " ").split()) and "Traceback" not in answer.stderr


def test_rows_without_a_place_are_named(folder: Path) -> None:
    (folder / "bad.csv").write_text("id,lon,lat\na,1,2\nb,,3\nc,10,95\n")
    answer = run(folder, "build", "bad.csv")
    assert answer.returncode == 1
    assert "row 1: lon is missing" in answer.stderr and "row 2:" in answer.stderr


def test_ids_that_occur_twice_are_named(folder: Path) -> None:
    (folder / "twice.csv").write_text("id,lon,lat\na,1,2\na,2,3\n")
    assert "'a' occurs twice" in run(folder, "build", "twice.csv").stderr


def test_a_table_without_training_rows_is_refused(folder: Path) -> None:
    (folder / "none.csv").write_text("lon,lat,split\n1,2,test\n")
    assert "no training rows" in run(folder, "build", "none.csv").stderr
