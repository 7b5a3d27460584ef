"""The cells that decided are those whose probability rose."""

from dataclasses import replace

import numpy as np
import pytest

from placeprint.encoders.geocells import default_geocells
from placeprint.encoders.sphere import uniform_on_sphere
from placeprint.indexer.explanation import decisive_cells
from placeprint.indexer.geolocate import locate
from placeprint.indexer.prior import Prior
from placeprint.indexer.surface_model import default_surface_model

SAPPORO, NADI = (141.35, 43.06), (177.44, -17.78)
SURE = replace(default_surface_model(), gate_bias=-6.0, bandwidth_logits=(-9.0, 3.0, -9.0, -9.0, -9.0, -9.0))


@pytest.fixture(scope="module")
def prior() -> Prior:
    return Prior.from_lonlat(np.vstack([uniform_on_sphere(200, np.random.default_rng(0)), [SAPPORO, NADI]]))


@pytest.mark.parametrize(("place", "country"), [(SAPPORO, "JP"), (NADI, "FJ")])
def test_the_cell_of_a_sure_answer_comes_first(prior, place, country):
    answer = locate(np.array([0.9]), np.array([place]), prior, SURE)
    cells = default_geocells()
    first, *others = decisive_cells(answer, prior)
    assert first.cell_id == cells.cell_id[cells.assign(np.array([place]))[0]]
    assert first.cell_id.startswith(country)
    assert first.probability > 0.3 > first.prior_probability
    assert first.bits == pytest.approx(
        first.probability * np.log2(first.probability / max(first.prior_probability, 0.5 / 2048)), rel=1e-6
    )
    assert all(first.bits >= one.bits > 0.0 for one in others)


def test_an_answer_that_is_the_prior_has_no_decisive_cells(prior):
    answer = locate(np.full(3, -np.inf), np.zeros((3, 2)), prior, SURE)
    assert sum(one.bits for one in decisive_cells(answer, prior)) < 0.05


def test_no_more_cells_than_asked_for(prior):
    answer = locate(np.array([0.9, 0.9]), np.array([SAPPORO, NADI]), prior, SURE)
    assert len(decisive_cells(answer, prior, n=2)) == 2


def test_a_cell_that_was_likely_before_decides_less():
    prior = Prior.from_lonlat(np.vstack([np.tile(SAPPORO, (200, 1)), [NADI]]), bandwidth_km=10.0)
    answer = locate(np.array([0.9, 0.89]), np.array([SAPPORO, NADI]), prior, SURE)
    cells = default_geocells()
    ids = [cells.cell_id[row] for row in cells.assign(np.array([SAPPORO, NADI]))]
    found = {one.cell_id: one for one in decisive_cells(answer, prior)}
    assert next(iter(found)) == ids[1]
    assert ids[0] not in found or found[ids[0]].probability > found[ids[1]].probability
    assert (
        answer.surface.log_density(np.array([SAPPORO]))[0] > answer.surface.log_density(np.array([NADI]))[0]
    )
