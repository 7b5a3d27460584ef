"""The peers of the geolocation benchmark are what their papers say, and calibrated on what they never saw."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from geocell_fakes import cells_at

from placeprint.encoders.geocell_targets import hard_targets
from placeprint.encoders.prototypes import prototypes_of, single_winner
from placeprint.encoders.sphere import great_circle_km, uniform_on_sphere, unit_vectors
from placeprint.indexer.prior import Prior
from placeprint.indexer.surface import Mixture

sys.path.append(str(Path(__file__).resolve().parent / "benchmarks"))
peers = importlib.import_module("geolocation_peers")
geoclip = importlib.import_module("geolocation_geoclip")
trial = importlib.import_module("geolocation_trial")
figures = importlib.import_module("geolocation_figures")


def photos_of(n: int = 120, d: int = 8, *, seed: int = 0):
    """Photos of twelve places whose look tells the place, with noise; each place is two groups."""
    rng, world = np.random.default_rng(seed), np.random.default_rng(5)
    looks, places = world.normal(size=(12, d)), world.uniform((-170, -60), (170, 60), (12, 2))
    at = np.arange(n) % 12
    embedding = looks[at] + 0.1 * rng.normal(size=(n, d))
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    lonlat = places[at] + rng.normal(0.0, 0.05, (n, 2))
    return trial.Photos(embedding.astype(np.float32), lonlat, np.array([f"{row % 24}" for row in range(n)]))


def test_the_kernel_density_answers_with_the_heavier_crowd_not_with_the_nearest_photo():
    crowd = [[10.0, 50.0], [11.0, 50.0], [10.5, 50.5]]
    place = np.array([[-100.0, 40.0], *crowd])
    assert peers.kde_point(place, np.array([1.0, 0.5, 0.5, 0.6])).tolist() == [10.5, 50.5]
    assert peers.kde_point(place, np.array([9.0, 0.5, 0.5, 0.6])).tolist() == [-100.0, 40.0]


def test_the_kernel_density_sees_fiji_as_one_place():
    place = np.array([[30.0, 0.0], [179.5, -17.0], [-179.5, -17.0]])
    assert abs(peers.kde_point(place, np.array([1.0, 0.7, 0.6]))[0]) == 179.5


def test_a_mode_with_no_neighbor_within_100_km_stays_where_it_is():
    place = np.array([[-3.0, 0.0], [3.0, 0.0]])
    assert great_circle_km(peers.kde_point(place, np.ones(2)), np.zeros(2)) < 10.0


def test_weights_of_the_kernel_density_fall_with_the_tenth_power_of_the_distance():
    known = trial.Photos(
        np.array([[1, 0], [0, 1]], np.float32), np.array([[0.0, 0.0], [50.0, 0.0]]), np.array(["a", "b"])
    )
    angle = 0.5
    asked = np.array([[np.cos(angle), np.sin(angle)]], np.float32)
    (said,) = peers.kernel_density(trial.Request(known, asked, [None], 0))
    near, far = np.linalg.norm(known.embedding - asked, axis=1)
    assert said.logit[0, 0] - said.logit[0, 1] == pytest.approx(10.0 * np.log(far / near), rel=1e-4)


def test_no_quadtree_cell_holds_more_than_it_may_and_its_center_is_the_mean():
    lonlat = uniform_on_sphere(300, np.random.default_rng(0))
    cells = peers.quadtree(lonlat, 15)
    sizes = np.bincount(cells.cell)
    assert 0 < sizes.min() and sizes.max() <= 15
    inside = unit_vectors(lonlat[cells.cell == 3]).mean(axis=0)
    assert unit_vectors(cells.center_lonlat[3]) == pytest.approx(inside / np.linalg.norm(inside))


def test_the_quadtree_stops_at_its_depth_for_photos_of_one_spot():
    assert len(peers.quadtree(np.tile([[7.0, 46.0]], (40, 1)), 15).center_lonlat) == 1


def test_without_decay_the_linear_head_answers_photos_alike_with_their_shares():
    known = trial.Photos(np.ones((4, 3), np.float32), np.zeros((4, 2)), np.arange(4).astype(str))
    log_p = peers.linear_head(known, hard_targets(np.array([0, 0, 0, 1]), 2), 0.0)(known.embedding[:1])
    assert np.exp(log_p[0]) == pytest.approx([0.75, 0.25], abs=1e-3)


def test_the_refinement_picks_the_winner_of_the_paper_and_the_clusters_nearest_photo():
    known = photos_of()
    cells = cells_at(known.lonlat[:12])
    prototypes = prototypes_of(known.embedding, known.lonlat, cells, noise_weight=1.0)
    asked = photos_of(12, seed=9).embedding
    log_p = np.log(np.random.default_rng(1).dirichlet(np.ones(len(cells)), 12))
    said = peers.refined(prototypes, log_p, asked, known, 0.3, cap_km=1000.0)
    winner = single_winner(prototypes, log_p, asked, k=5, temperature=0.3, cap_km=1000.0)
    for row, one in enumerate(winner):
        members = prototypes.members_of(one)
        if len(members):
            nearest = members[np.linalg.norm(known.embedding[members] - asked[row], axis=1).argmin()]
            assert said.point[row] == pytest.approx(known.lonlat[nearest])
    assert np.exp(said.logit).sum(axis=1) == pytest.approx(1.0)


def test_the_contrastive_loss_is_the_cross_entropy_of_its_own_place_and_leaves_out_the_same_place():
    image, place = torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    none = torch.zeros(2, 3, dtype=torch.bool)
    e = float(np.e)
    expected = -0.5 * (np.log(e / (2 * e + 1)) + np.log(e / (e + 2)))
    assert float(geoclip.geoclip_loss(image, place, torch.tensor(1.0), none)) == pytest.approx(expected)
    none[0, 2] = True
    expected = -0.5 * (np.log(e / (e + 1)) + np.log(e / (e + 2)))
    assert float(geoclip.geoclip_loss(image, place, torch.tensor(1.0), none)) == pytest.approx(expected)


def said_of(n: int, m: int, *, seed: int = 0):
    rng = np.random.default_rng(seed)
    return trial.Said(uniform_on_sphere(m, rng)[None], rng.normal(size=(n, m)), np.zeros((n, 2)))


def test_the_density_of_a_method_adds_up_to_one():
    said, prior = said_of(1, 7), Prior.from_lonlat(np.array([[0.0, 0.0], [90.0, 10.0]]))
    blur = trial.Blur(0.7, np.array([1e-9, 1e-9, 1e-9, 1e-9, 0.5, 0.5]), 0.3)
    even = Mixture.uniform().sample(50_000)
    place = np.exp(
        blur.log_density(
            said._replace(logit=np.repeat(said.logit, len(even), 0)), even, prior.log_density(even)
        )
    )
    assert place.mean() * 4.0 * np.pi * 6371.0088**2 == pytest.approx(1.0, rel=0.02)
    one = blur.mixture(said, 0, prior).log_density(even[:50])
    assert one == pytest.approx(np.log(place[:50]), abs=1e-3)


def test_no_step_away_from_the_fit_makes_the_photos_likelier():
    rng, said = np.random.default_rng(2), said_of(200, 30)
    truth = said.lonlat[0][(said.logit + rng.gumbel(size=said.logit.shape)).argmax(axis=1)]
    truth = np.clip(truth + rng.normal(0.0, 1.0, truth.shape), (-180.0, -89.0), (179.9, 89.0))
    log_prior = np.full(200, -np.log(4.0 * np.pi * 6371.0088**2))
    blur, value = trial.Blur.fit([trial.Judged(said, truth, log_prior)])
    assert blur.temperature == pytest.approx(1.0, rel=0.3)
    assert blur.shares.argmax() == 3  # 100 km, as 1 degree is
    for temperature, gate in ((2.0, 1.0), (0.5, 1.0), (1.0, 3.0)):
        other = trial.Blur(
            blur.temperature * temperature, blur.shares, min(blur.gate * gate + 0.2 * (gate > 1), 0.9)
        )
        assert other.log_density(said, truth, log_prior).mean() < value


def test_an_answer_that_knows_nothing_is_left_to_the_prior():
    said = said_of(300, 1)
    truth = uniform_on_sphere(300, np.random.default_rng(4))
    blur, _ = trial.Blur.fit([trial.Judged(said, truth, np.full(300, -np.log(4.0 * np.pi * 6371.0088**2)))])
    assert blur.gate > 0.9


def test_the_inner_folds_keep_groups_whole():
    photos = photos_of()
    fold = trial.inner_folds(photos, 0)
    assert set(fold) == set(range(trial.INNER_FOLDS))
    assert all(len(set(fold[photos.group == group])) == 1 for group in photos.group)


def test_a_method_is_never_shown_the_photos_that_calibrate_it_nor_those_asked():
    known, asked = photos_of(), photos_of(24, seed=3)
    seen = []

    def spy(request):
        seen.append(request)
        return peers.nearest_photo(request)

    answered = trial.try_method(trial.Method("spy", spy), known, asked, known.prior(), 0)
    *inner, last = seen
    for request in inner:
        shown = {row.tobytes() for row in request.known.embedding}
        assert not shown & {row.tobytes() for row in request.asked}
        assert len(request.known) + len(request.asked) == len(known)
    assert sum(len(request.asked) for request in inner) == len(last.known) == len(known)
    assert np.array_equal(last.asked, asked.embedding)
    gain = answered["log_density"] - known.prior().log_density(asked.lonlat)
    assert gain.mean() > 0.5  # the look tells the place, log 12 at best


def test_intervals_come_from_whole_groups():
    value = np.repeat([0.0, 1.0, 0.0, 1.0], 50)
    each = figures.Bootstrap(np.arange(200).astype(str)).mean(value)
    whole = figures.Bootstrap(np.repeat(list("abcd"), 50)).mean(value)
    assert each[0] == whole[0] == 0.5
    assert whole[2] - whole[1] > 4.0 * (each[2] - each[1])
    median = figures.Bootstrap(np.tile(list("abcd"), 50)).median(np.tile([3.0, 1.0, 2.0, 0.0], 50))
    assert median == (1.5, 0.0, 3.0)
