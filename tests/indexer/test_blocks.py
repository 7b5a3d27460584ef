"""Blocks of the map, and evaluation by them.

Claims: a block's area holds the block and no more, at the antimeridian and the poles too; neighbors are of
other blocks, other groups, and beyond the distance asked for; nothing that judges a photo was fitted
on its block: not its photos, not its places in the prior, not its photos as neighbors of others.
"""

import numpy as np
import pytest
from fakes import exact_neighbors, fingerprint_of, record, unit_rows
from hypothesis import given
from hypothesis import strategies as st

from placeprint.encoders.errors import InvalidProbe, NothingToLocateWith
from placeprint.encoders.sphere import uniform_on_sphere, unit_vectors
from placeprint.indexer.blocks import block_box, block_of, held_out_by_block, without_blocks
from placeprint.indexer.evaluate import Trial, evaluate, evaluate_gallery
from placeprint.indexer.gallery import Gallery

SIZES = [1.0, 7.0, 10.0, 30.0, 90.0]


@pytest.mark.parametrize("degrees", SIZES)
def test_the_area_of_a_block_holds_the_block_and_no_other_point(degrees, rng):
    points = np.concatenate([
        uniform_on_sphere(3000, rng),
        [(0.0, 90.0), (77.0, 89.9), (0.0, -90.0), (-180.0, 0.5), (179.99, 0.5), (179.99, 83.99),
         (-179.5, 0.6), (5.0, -83.99)],
    ])  # fmt: skip
    blocks = block_of(points, degrees)
    for lon, lat in [*points[:40].tolist(), *points[-8:].tolist()]:
        own = block_of([[lon, lat]], degrees)[0]
        inside = block_box(lon, lat, degrees).contains(points)
        assert inside[blocks == own].all()
        # Areas have their edges; of these points only one lies on any.
        assert {tuple(point) for point in points[inside & (blocks != own)].tolist()} <= {(-180.0, 0.5)}


def test_a_pole_is_one_place_whatever_its_longitude():
    caps = [[(0.0, 90.0), (120.0, 90.0), (-77.0, 85.0)], [(0.0, -90.0), (90.0, -84.0), (-180.0, -88.0)]]
    north, south = (set(block_of(points, 10.0).tolist()) for points in caps)
    assert len(north) == len(south) == 1
    assert north != south
    assert block_of([(5.0, 83.9)], 10.0)[0] not in north


def test_the_antimeridian_is_an_edge_like_any_other():
    west, east, same = block_of([(-179.5, -16.8), (179.5, -16.8), (180.0, -16.8)], 10.0)
    assert west != east
    assert west == same
    assert (block_box(179.5, -16.8, 10.0).west, block_box(-179.5, -16.8, 10.0).west) == (170.0, -180.0)


@given(st.floats(-180.0, 180.0), st.floats(-90.0, 90.0), st.floats(0.5, 90.0))
def test_every_point_lies_in_its_own_block(lon, lat, degrees):
    box = block_box(lon, lat, degrees)
    assert box.contains(np.array([lon, lat]))
    assert box.east - box.west <= degrees + 1e-9 or abs(lat) >= 84.0


@pytest.mark.parametrize("degrees", [0.0, -10.0, 91.0, float("nan")])
def test_blocks_of_no_size_are_refused(degrees):
    with pytest.raises(InvalidProbe, match="at most 90"):
        block_of([(0.0, 0.0)], degrees)


@pytest.fixture
def fiji(any_gallery, rng):
    """Photos on either side of the antimeridian and of the edge of a block, all alike."""
    places = [(-179.9, -16.8), (-178.0, -15.0), (179.9, -16.8), (171.0, -12.0), (-169.0, -15.0)]
    like = unit_rows(rng, 1)
    embeddings = np.repeat(like, len(places), axis=0) + 0.01 * unit_rows(rng, len(places))
    groups = ["a", "b", "c", "d", "b"]
    any_gallery.add([
        record(f"{i}.jpg", embeddings[i], lon=lon, lat=lat, group=group)
        for i, ((lon, lat), group) in enumerate(zip(places, groups, strict=True))
    ])  # fmt: skip
    return any_gallery, like


def seen(held):
    return {tuple(place) for place in held.neighbor_lonlat[0, np.isfinite(held.similarity[0])].tolist()}


def test_neighbors_are_of_other_blocks_and_other_groups(fiji):
    gallery, like = fiji
    held = held_out_by_block(gallery, like, np.array([[-178.0, -15.0]]), ["b"], 10.0, k=5)
    assert seen(held) == {(179.9, -16.8), (171.0, -12.0)}  # -169 is of group b
    assert held.group.tolist() == [str(block_of([(-178.0, -15.0)], 10.0)[0])]


def test_a_distance_reaches_over_the_edge_of_the_block(fiji):
    gallery, like = fiji
    held = held_out_by_block(gallery, like, np.array([[-179.9, -16.8]]), ["x"], 10.0, exclude_km=100.0, k=5)
    assert seen(held) == {(171.0, -12.0), (-169.0, -15.0)}


def spread_photos(n_places=60):
    rng = np.random.default_rng(3)
    lonlat = uniform_on_sphere(n_places, rng)
    embeddings = unit_vectors(lonlat) + rng.normal(0.0, 0.1, (n_places, 3))
    return exact_neighbors(embeddings, lonlat, block_of(lonlat, 30.0).tolist(), k=30)


def test_photos_of_hidden_blocks_are_no_neighbors_of_others():
    photos = spread_photos()
    known = block_of(photos.lonlat[:30], 30.0)
    part = without_blocks(photos, 30.0, known)
    kept = np.isfinite(part.similarity)
    assert np.isin(block_of(part.neighbor_lonlat[kept], 30.0), known).all()
    assert (np.diff(np.where(kept, part.similarity, -2.0), axis=1) <= 0.0).all()
    before = np.isfinite(photos.similarity)
    lost = before.sum() - kept.sum()
    assert lost == (~np.isin(block_of(photos.neighbor_lonlat[before], 30.0), known)).sum() > 0


def test_nothing_that_judges_a_photo_was_fitted_on_its_block(monkeypatch):
    photos = spread_photos()
    trial = Trial(photos, photos, photos.lonlat, photos.group, n_folds=3, block_deg=30.0)
    calls = []

    def spy(part, lonlat, groups, places, *, prior, **options):
        calls.append((part, np.asarray(lonlat), prior))
        return real(part, lonlat, groups, places, prior=prior, levels=(), **options)

    from placeprint.indexer import trial as module

    real = module.fit_geolocation
    monkeypatch.setattr(module, "fit_geolocation", spy)
    asked = [photos.lonlat[rows] for rows, _ in trial.models()]
    assert sum(map(len, asked)) == len(photos)
    for hidden, (part, lonlat, prior) in zip(asked, calls, strict=True):
        own = block_of(hidden, 30.0)
        for places in (part.lonlat, lonlat, part.neighbor_lonlat[np.isfinite(part.similarity)]):
            assert len(places)
            assert not np.isin(block_of(places, 30.0), own).any()
        assert prior.counts.sum() == len(lonlat)


def test_the_prior_of_a_photo_is_that_of_the_other_folds():
    photos = spread_photos()
    trial = Trial(photos, photos, photos.lonlat, photos.group, n_folds=3, block_deg=30.0)
    for asked, _, known in trial.folds():
        for row in np.flatnonzero(asked):
            assert trial.prior_of(row).counts.sum() == known.sum() < len(photos)
    rows = np.concatenate([rows for rows, _ in trial.by_prior()])
    assert sorted(rows.tolist()) == list(range(len(photos)))


def test_an_evaluation_by_blocks_says_so():
    photos = spread_photos(40)
    trial = Trial(photos, photos, photos.lonlat, photos.group, n_folds=2, block_deg=30.0)
    evaluation = evaluate(trial, n_resamples=10)
    assert evaluation.to_dict()["block_deg"] == 30.0
    assert "blocks of 30°" in evaluation.summary()


def test_a_gallery_within_one_block_cannot_judge_itself(settings, rng):
    with Gallery.create("town", fingerprint_of(8), settings=settings) as town:
        town.add([
            record(f"{i}.jpg", row, lon=12.0 + 0.1 * i, lat=42.0, group=str(i))
            for i, row in enumerate(unit_rows(rng, 12))
        ])  # fmt: skip
        with pytest.raises(NothingToLocateWith, match="within one block of 10 degrees"):
            evaluate_gallery(town, block_deg=10.0)
        figures = evaluate_gallery(town, block_deg=0.5)
    assert len(figures.group) == 12
    assert len(np.unique(figures.group)) == 3  # from 12.0, from 12.5, from 13.0
