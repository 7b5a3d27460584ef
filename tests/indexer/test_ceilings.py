"""Ceilings: no answer of their kind does better (trap 11), and they see no more than the query does."""

import numpy as np
import pytest
from fakes import exact_neighbors

from placeprint.encoders.geocells import default_geocells
from placeprint.encoders.sphere import great_circle_km, uniform_on_sphere, unit_vectors
from placeprint.indexer.blocks import block_of
from placeprint.indexer.ceilings import ceilings, nearest_allowed
from placeprint.indexer.trial import Trial

NOWHERE = np.zeros((80, 2))


def photos_of(rng, *, exclude_km=0.0, groups=None):
    """Clustered photos with embeddings that say nothing."""
    centers = uniform_on_sphere(20, rng)
    lonlat = np.repeat(centers, 4, axis=0) + rng.normal(0.0, 0.5, (80, 2)) * [1.0, 0.2]
    lonlat[:, 1] = np.clip(lonlat[:, 1], -89.0, 89.0)
    lonlat[:, 0] = (lonlat[:, 0] + 180.0) % 360.0 - 180.0
    names = groups(lonlat) if groups else np.arange(80) // 2
    return exact_neighbors(rng.normal(size=(80, 4)), lonlat, names.tolist(), k=80, exclude_km=exclude_km)


@pytest.mark.parametrize("exclude_km", [0.0, 30.0, 300.0])
def test_the_gallery_oracle_is_as_near_as_any_neighbor(rng, exclude_km):
    photos = photos_of(rng, exclude_km=exclude_km)
    trial = Trial(photos, photos, photos.lonlat, photos.group, exclude_km=exclude_km)
    best = great_circle_km(nearest_allowed(trial, NOWHERE), photos.lonlat)
    found = np.where(np.isfinite(photos.similarity), 0.0, np.inf)
    neighbors = great_circle_km(photos.neighbor_lonlat, photos.lonlat[:, None]) + found
    assert (best[:, None] <= neighbors + 1e-6).all()
    assert best == pytest.approx(neighbors.min(axis=1), abs=1e-6)  # all are seen, and no others
    if exclude_km:
        assert best.min() > exclude_km


def test_the_gallery_oracle_leaves_out_blocks_and_sites_too(rng):
    photos = photos_of(rng, groups=lambda lonlat: block_of(lonlat, 10.0))
    sites = np.array([str(i % 3) for i in range(80)])
    trial = Trial(photos, photos, photos.lonlat, photos.group, block_deg=10.0, sites=(sites, sites))
    for place, at, site in zip(nearest_allowed(trial, NOWHERE), photos.lonlat, sites, strict=True):
        own = (photos.lonlat == place).all(axis=1)
        assert sites[own] != site
        assert block_of(place[None], 10.0) != block_of(at[None], 10.0)


def test_where_all_is_hidden_the_answer_is_what_is_answered_then(rng):
    photos = photos_of(rng)
    trial = Trial(photos, photos, photos.lonlat, photos.group, exclude_km=20_100.0)
    assert (nearest_allowed(trial, NOWHERE) == 0.0).all()


def test_the_nearest_is_found_over_the_antimeridian():
    lonlat = np.array([[179.9, 0.0], [-179.9, 0.0], [178.0, 0.0]])
    photos = exact_neighbors(unit_vectors(lonlat), lonlat, k=2)
    trial = Trial(photos, photos, lonlat, photos.group)
    assert nearest_allowed(trial, NOWHERE[:3])[0].tolist() == [-179.9, 0.0]


def test_of_photos_meters_apart_the_nearer_is_taken():
    lonlat = np.array([[10.0, 50.0], [10.0, 50.0003], [10.0, 50.0001], [10.0, 50.0002]])
    photos = exact_neighbors(unit_vectors(lonlat), lonlat, k=3)
    found = nearest_allowed(Trial(photos, photos, lonlat, photos.group), NOWHERE[:4])
    assert found[0].tolist() == [10.0, 50.0001]
    assert found[1].tolist() == [10.0, 50.0002]


def test_no_answer_by_cells_is_nearer_than_the_center_of_the_right_one(rng):
    photos = photos_of(rng)
    trial = Trial(photos, photos, photos.lonlat, photos.group)
    _, cell = ceilings(trial, NOWHERE)
    cells = default_geocells()
    at = great_circle_km(cells.center_lonlat[cells.assign(photos.lonlat)], photos.lonlat)
    assert cell.error_km == pytest.approx(at)
    wrong = great_circle_km(cells.center_lonlat[cells.assign(uniform_on_sphere(80, rng))], photos.lonlat)
    assert cell.error_km.mean() < wrong.mean() / 10.0
    assert np.isnan(cell.bits).all()
