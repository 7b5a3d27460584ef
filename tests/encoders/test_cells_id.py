"""Whatever was made for one partition of the Earth refuses another (trap 17).

Claims: a head, prototypes, a run to go on with and a sweep name the cells they were made for and those at
hand; a file of cells that was edited is no partition at all; nothing else keeps an id of cells unchecked.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from geocell_fakes import cells_at, photos_at

from placeprint.encoders.csp_sampling import Pairs
from placeprint.encoders.errors import AnotherRun, InvalidCells
from placeprint.encoders.geocell_head import GeocellHead
from placeprint.encoders.geocell_heads.settings import HeadRun
from placeprint.encoders.geocell_heads.sweep import sweep_tau
from placeprint.encoders.geocells import Geocells, default_geocells
from placeprint.encoders.prototypes import Prototypes
from placeprint.encoders.sphere import uniform_on_sphere
from placeprint.encoders.train_geocells import run_geocells

ROOT = Path(__file__).resolve().parents[2]
RUN = HeadRun(weight_decays=(1e-3,), rounds=1)
KEEPERS = {
    "encoders/geocell_heads/head_file.py", "encoders/prototypes.py", "encoders/train_geocells.py",
    "encoders/tune_geocells.py", "encoders/geocell_heads/sweep.py", "encoders/cells/cells_file.py",
}  # fmt: skip
TELLERS = {"encoders/cells/export.py", "api/cells_report.py"}
"""What they write is for people and maps, and is not read again."""


@pytest.fixture(scope="module")
def pairs():
    lonlat = uniform_on_sphere(200, np.random.default_rng(5))
    return Pairs(photos_at(lonlat), lonlat, np.array([f"g{row // 2}" for row in range(200)]), "e1")


@pytest.fixture(scope="module")
def cells():
    return cells_at(uniform_on_sphere(12, np.random.default_rng(4)), radius_km=2500.0, cells_id="these")


@pytest.fixture(scope="module")
def out(pairs, cells, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "a"
    run_geocells(pairs, cells, RUN, folder)
    return folder


@pytest.mark.parametrize(
    ("load", "name"), [(GeocellHead.load, "geocell-head"), (Prototypes.load, "prototypes")]
)
def test_a_file_names_its_cells_and_refuses_others(load, name, out):
    assert load(out / f"{name}.safetensors", cells_id="these").cells_id == "these"
    with pytest.raises(InvalidCells, match=r"made for the cells these, not for the cells at hand, those"):
        load(out / f"{name}.safetensors", cells_id="those")


def test_a_run_is_not_gone_on_with_in_other_cells(out, pairs, cells):
    with pytest.raises(AnotherRun, match=r"began from {'cells_id': 'these'.*'cells_id': 'those'"):
        run_geocells(pairs, replace(cells, cells_id="those"), RUN, out, is_resumed=True)


def test_a_sweep_is_not_gone_on_with_in_other_cells(pairs, cells, tmp_path):
    first = sweep_tau(pairs, cells, RUN, tmp_path, taus=[0.0], seeds=[0])
    assert first["cells_id"] == "these"
    with pytest.raises(AnotherRun, match="cells"):
        sweep_tau(pairs, replace(cells, cells_id="those"), RUN, tmp_path, taus=[0.0], seeds=[0])


def test_the_id_follows_from_the_cells_and_every_load_gives_it_again(tmp_path):
    cells = default_geocells()
    cells.save(tmp_path / "cells.parquet")
    assert Geocells.load(tmp_path / "cells.parquet").cells_id == cells.cells_id
    moved = replace(cells, center_lonlat=np.round(cells.center_lonlat, 1))
    assert moved.cells_id != cells.cells_id


def test_nothing_else_keeps_an_id_of_cells():
    """A new keeper must be added here, with a test that it refuses other cells."""
    keeps = re.compile(r'"cells_id":')
    found = {
        str(file.relative_to(ROOT))
        for layer in ("encoders", "indexer", "api")
        for file in (ROOT / layer).rglob("*.py")
        if keeps.search(file.read_text())
    }
    assert found == KEEPERS | TELLERS
