"""Claims about clusters, stand-ins, the mixture, its baselines, and the file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from geocell_fakes import NearestCells, cells_at, photos_at

from placeprint.encoders.errors import InvalidCells, InvalidOption, WeightsUnavailable
from placeprint.encoders.geocell_heads.clusters import clusters_in
from placeprint.encoders.geocell_heads.looks import look_of, medoid_of, spherical_k_means
from placeprint.encoders.prototypes import (
    KINDS,
    Prototypes,
    fit_temperature,
    log_density,
    mixture_weights,
    nearest_member,
    prototypes_of,
    single_winner,
)
from placeprint.encoders.sphere import EARTH_AREA_KM2, destination, great_circle_km, uniform_on_sphere

Floats = np.ndarray


def around(lon: float, lat: float, n: int, radius_km: float, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    start = np.tile([lon, lat], (n, 1))
    return destination(start, rng.uniform(0, 360, n), radius_km * np.sqrt(rng.uniform(0, 1, n)))


def unit(*rows: list[float]) -> np.ndarray:
    made = np.array(rows, dtype=np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def photos() -> tuple[np.ndarray, Floats]:
    """Two towns and a lone photo in the first cell, three photos in the second, none in the third."""
    lonlat = np.vstack(
        [around(0, 0, 12, 2.0), around(2, 0, 8, 2.0, 1), [[1.0, 1.5]], around(60, 0, 3, 1.0, 2)]
    )
    return photos_at(lonlat, seed=1), lonlat


@pytest.fixture
def cells() -> NearestCells:
    made = cells_at([[1.0, 0.0], [60.0, 0.0], [120.0, 0.0]])
    made.rms_km[2] = 0.0
    return made


# --- clusters -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lon", [0.0, 179.999])
@pytest.mark.parametrize("lat", [0.0, 60.0, 89.99])
def test_two_towns_are_two_clusters_wherever_they_are(lon: float, lat: float) -> None:
    start = np.array([[lon, lat]])
    other = destination(start, 200.0, 150.0)[0]
    points = np.vstack([around(lon, lat, 15, 1.0), around(other[0], other[1], 15, 1.0, 1)])
    label, is_noise = clusters_in(points)
    assert len(set(label[~is_noise])) >= 2
    assert not set(label[:15][~is_noise[:15]]) & set(label[15:][~is_noise[15:]])


def test_a_lone_photo_is_noise_of_its_own(photos: tuple[np.ndarray, Floats]) -> None:
    label, is_noise = clusters_in(photos[1][:21])
    assert is_noise[20] and (label == label[20]).sum() == 1


def test_photos_at_one_coordinate_are_one_cluster_and_no_noise() -> None:
    label, is_noise = clusters_in(np.tile([139.7, 35.7], (9, 1)))
    assert set(label) == {0} and not is_noise.any()
    label, is_noise = clusters_in(np.vstack([np.tile([139.7, 35.7], (9, 1)), around(130, 33, 9, 300.0)]))
    assert len(set(label[:9])) == 1 and not is_noise[:9].any()


def test_fewer_than_the_least_are_one_cluster_and_order_does_not_matter(rng: np.random.Generator) -> None:
    assert set(clusters_in(around(0, 0, 2, 500.0))[0]) == {0}
    points = np.vstack([around(0, 0, 20, 5.0), around(1, 0, 20, 5.0, 1)])
    order = rng.permutation(40)
    np.testing.assert_array_equal(clusters_in(points)[0][order], clusters_in(points[order])[0])


def test_a_crowded_cell_is_compared_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placeprint.encoders.geocell_heads.clusters.POSITIONS", 20)
    points = np.vstack([around(0, 0, 40, 1.0), around(3, 0, 40, 1.0, 1)])
    label, _ = clusters_in(points)
    assert len(label) == 80 and not set(label[:40]) & set(label[40:])


# --- looks --------------------------------------------------------------------------------------------


def test_the_medoid_is_a_photo_and_the_mean_is_none() -> None:
    rows = unit([1, 0.1, 0], [1, -0.1, 0], [1, 0.0, 0.05], [0, 0, 1])
    assert medoid_of(rows) == 2
    ((embedding, members),) = look_of(rows, "medoid")
    np.testing.assert_array_equal(embedding, rows[2])
    np.testing.assert_array_equal(members, range(4))
    ((mean, _),) = look_of(rows, "mean")
    np.testing.assert_allclose(mean, rows.sum(axis=0) / np.linalg.norm(rows.sum(axis=0)), rtol=1e-5)


def test_the_trimmed_mean_forgets_the_odd_one_out() -> None:
    rows = unit(*[[1.0, 0.01 * row, 0.0] for row in range(9)], [0.0, 0.0, 1.0])
    ((trimmed, members),) = look_of(rows, "trimmed_mean")
    assert trimmed[2] == 0.0 and len(members) == 10
    assert look_of(rows, "mean")[0][0][2] > 0.05


def test_two_looks_of_one_place_are_told_apart() -> None:
    day, night = (
        unit(*[[1, 0.02 * row, 0] for row in range(5)]),
        unit(*[[0, 0.02 * row, 1] for row in range(4)]),
    )
    found = look_of(np.vstack([day, night]), "multi")
    groups = sorted(sorted(rows.tolist()) for _, rows in found)
    assert [0, 1, 2, 3, 4] in groups or len(found) == 3
    assert all(len({row < 5 for row in rows}) == 1 for rows in groups)
    assert len(look_of(day[:2], "multi")) == 1
    assert len(set(spherical_k_means(np.vstack([day, night]), 2))) == 2


# --- components ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_photo_stands_in_one_component_of_its_cell(
    photos: tuple[np.ndarray, Floats], cells: NearestCells, kind: str
) -> None:
    made = prototypes_of(*photos, cells, kind=kind)  # type: ignore[arg-type]
    assert sorted(made.member.tolist()) == list(range(24)) and made.n.sum() == 24
    cell = cells.assign(photos[1])
    for one in range(len(made)):
        assert set(cell[made.members_of(one)]) <= {made.cell[one]}
    assert (np.diff(made.cell) >= 0).all() and set(made.cell) == {0, 1, 2}
    assert (made.sigma_km >= 0.5).all()
    length = np.linalg.norm(made.embedding, axis=1)
    np.testing.assert_allclose(length, made.n > 0, atol=1e-5)


def test_a_cell_without_photos_falls_back_on_its_center_and_width(
    photos: tuple[np.ndarray, Floats], cells: NearestCells
) -> None:
    made = prototypes_of(*photos, cells)
    (empty,) = np.flatnonzero(made.n == 0)
    np.testing.assert_array_equal(made.lonlat[empty], cells.center_lonlat[2])
    half_km = great_circle_km(cells.center_lonlat[1], cells.center_lonlat[2]) / 2.0
    assert made.sigma_km[empty] == pytest.approx(half_km)
    cells.rms_km[2] = 77.0
    again = prototypes_of(*photos, cells)
    assert again.sigma_km[again.n == 0] == pytest.approx(77.0)


def test_lone_photos_weigh_less_and_spread_wider(
    photos: tuple[np.ndarray, Floats], cells: NearestCells
) -> None:
    made = prototypes_of(*photos, cells, noise_weight=0.1)
    (lone,) = [one for one in range(len(made)) if made.members_of(one).tolist() == [20]]
    town = int(made.n.argmax())
    assert made.weight[lone] == 0.1 and made.weight[town] == 1.0
    assert made.sigma_km[lone] > 5.0 > made.sigma_km[town]


def test_shares_of_looks_and_members_sum_to_their_cluster(
    photos: tuple[np.ndarray, Floats], cells: NearestCells
) -> None:
    totals = {
        kind: prototypes_of(*photos, cells, kind=kind).weight.sum() for kind in ("mean", "multi", "members")
    }
    assert totals["multi"] == pytest.approx(totals["mean"]) and totals["members"] == pytest.approx(
        totals["mean"]
    )


def test_a_cluster_across_the_antimeridian_is_where_it_is() -> None:
    lonlat = np.array([[179.99, 0.0], [-179.99, 0.0]])
    made = prototypes_of(photos_at(lonlat), lonlat, cells_at([[180.0, 1.0]]))
    assert len(made) == 1 and great_circle_km(made.lonlat[0], np.array([180.0, 0.0])) < 1e-6


def test_files_round_trip_and_foreign_cells_are_refused(
    photos: tuple[np.ndarray, Floats], cells: NearestCells, tmp_path: Path
) -> None:
    made = prototypes_of(*photos, cells, kind="multi", encoder="e1")
    made.save(tmp_path / "a")
    back = Prototypes.load(tmp_path / "a", cells_id="cells-of-a-test")
    back.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (back.kind, back.encoder, back.card) == ("multi", "e1", made.card)
    np.testing.assert_array_equal(back.embedding, made.embedding)
    with pytest.raises(InvalidCells, match="the file of prototypes was made for the cells cells-of-a-test"):
        Prototypes.load(tmp_path / "a", cells_id="other")
    (tmp_path / "c").write_bytes(b"nothing")
    with pytest.raises(WeightsUnavailable, match="damaged"):
        Prototypes.load(tmp_path / "c")


def test_options_without_meaning_are_refused(photos: tuple[np.ndarray, Floats], cells: NearestCells) -> None:
    with pytest.raises(InvalidOption, match="one of mean, medoid"):
        prototypes_of(*photos, cells, kind="median")  # type: ignore[arg-type]
    for options in ({"min_samples": 1}, {"xi": 0.0}, {"noise_weight": 0.0}):
        with pytest.raises(InvalidOption, match="must be 2 or more"):
            prototypes_of(*photos, cells, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="24 embeddings for 23 places"):
        prototypes_of(photos[0], photos[1][1:], cells)


# --- the mixture --------------------------------------------------------------------------------------


def components(*rows: tuple[int, float, float, list[float], int]) -> Prototypes:
    """Prototypes from (cell, lon, lat, embedding, n); cells lie at multiples of 10 degrees."""
    cell, lon, lat, embedding, n = zip(*rows, strict=True)
    n_cells = max(cell) + 1
    looks = np.array(embedding, dtype=np.float32)
    return Prototypes(
        lonlat=np.array([lon, lat]).T,
        sigma_km=np.full(len(cell), 5.0),
        n=np.array(n),
        cell=np.array(cell),
        embedding=looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-9),
        weight=np.ones(len(cell)),
        member=np.arange(sum(n)),
        member_start=np.cumsum([0, *n]),
        center_lonlat=np.array([[10.0 * row, 0.0] for row in range(n_cells)]),
        cell_sigma_km=np.full(n_cells, 100.0),
        kind="mean",
    )


WORLD = components(
    (0, 0.0, 0.0, [1, 0, 0], 2), (0, 1.0, 0.0, [0, 1, 0], 3),
    (1, 10.0, 0.0, [0, 0, 1], 2), (2, 20.0, 0.0, [0, 0, 0], 0), (3, 30.0, 0.0, [1, 1, 0], 1),
)  # fmt: skip
LOG_P = np.log([[0.4, 0.3, 0.2, 0.1]])


def plain_weights(log_p: Floats, e: Floats, k: int, temperature: float) -> Floats:
    """The formula by a loop, over the components with photos."""
    likely = np.argsort(-log_p)[:k]
    score = np.zeros(len(WORLD))
    for one in range(len(WORLD)):
        if WORLD.cell[one] in likely and WORLD.n[one]:
            distance = np.linalg.norm(e - WORLD.embedding[one])
            score[one] = np.exp(log_p[WORLD.cell[one]]) * np.exp(-distance / temperature)
    return score * np.exp(log_p[likely]).sum() / score.sum()


def spread(log_p: Floats, e: np.ndarray, **options: object) -> Floats:
    """Weights over all components, (n, P)."""
    mixture = mixture_weights(WORLD, log_p, e, **options)  # type: ignore[arg-type]
    dense = np.zeros((len(e), len(WORLD)))
    for row in range(len(e)):
        held = mixture.component[row] >= 0
        np.add.at(dense[row], mixture.component[row][held], mixture.weight[row][held])
        assert (mixture.weight[row][~held] == 0.0).all()
    return dense


@pytest.mark.parametrize("k", [1, 2])
def test_the_weights_are_the_formula(k: int) -> None:
    e = unit([1.0, 0.3, 0.2])
    np.testing.assert_allclose(
        spread(LOG_P, e, k=k, temperature=0.4)[0], plain_weights(LOG_P[0], e[0], k, 0.4), rtol=1e-5
    )


@pytest.mark.parametrize("normalize", ["top-k", "cell"])
@pytest.mark.parametrize("k", [1, 3, 4, 99])
def test_a_row_holds_the_mass_of_the_likely_cells(k: int, normalize: str) -> None:
    weights = spread(LOG_P, unit([1.0, 0.3, 0.2]), k=k, normalize=normalize)
    assert weights.sum() == pytest.approx(np.sort(np.exp(LOG_P[0]))[::-1][:k].sum())
    assert weights.min() >= 0.0


def test_normalized_by_cell_each_cell_keeps_its_probability() -> None:
    weights = spread(LOG_P, unit([1.0, 0.3, 0.2]), k=3, normalize="cell", temperature=0.05)[0]
    np.testing.assert_allclose([weights[:2].sum(), weights[2], weights[3]], [0.4, 0.3, 0.2], rtol=1e-9)


def test_a_component_without_photos_is_neither_drawn_nor_pushed() -> None:
    weights = spread(LOG_P, unit([1.0, 0.3, 0.2]), k=3, temperature=0.4)[0]
    known = plain_weights(LOG_P[0], unit([1.0, 0.3, 0.2])[0], 2, 0.4)[:3] / [0.4, 0.4, 0.3]
    assert weights[3] / weights[0] == pytest.approx(0.2 * known.mean() / (0.4 * known[0]), rel=1e-5)
    only_empty = np.log([[1e-9, 1e-9, 1.0, 1e-9]])
    assert spread(only_empty, unit([1.0, 0.0, 0.0]), k=1)[0, 3] == pytest.approx(1.0, abs=1e-6)


def test_likeness_beats_a_slightly_likelier_cell_and_fades_with_the_temperature() -> None:
    e = unit([0.0, 0.0, 1.0])
    assert spread(LOG_P, e, temperature=0.05).argmax() == 2
    np.testing.assert_allclose(
        spread(LOG_P, e, k=2, temperature=1e6)[0, :3] / 0.7, [4 / 11, 4 / 11, 3 / 11], rtol=1e-4
    )


def test_many_photos_at_once_are_each_as_alone(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    e = unit(*rng.normal(size=(30, 3)).tolist())
    log_p = np.log(rng.dirichlet(np.ones(4), size=30))
    whole = spread(log_p, e, k=3)
    monkeypatch.setattr("placeprint.encoders.geocell_heads.mixtures._CHUNK_NUMBERS", 7 * len(WORLD))
    np.testing.assert_allclose(spread(log_p, e, k=3), whole, rtol=1e-6)
    for row in range(30):
        np.testing.assert_allclose(
            spread(log_p[row : row + 1], e[row : row + 1], k=3)[0], whole[row], rtol=1e-5
        )
    assert mixture_weights(WORLD, log_p[:0], e[:0]).weight.shape[0] == 0


def test_tiny_temperatures_and_probabilities_do_not_fail() -> None:
    log_p = np.array([[-900.0, 0.0, -2000.0, -5000.0]])
    for temperature in (1e-6, 1e6):
        weights = spread(log_p, unit([1.0, 0.0, 0.0]), k=4, temperature=temperature)
        assert np.isfinite(weights).all() and weights.sum() == pytest.approx(1.0)


def test_the_cap_leaves_out_what_is_far_from_the_first_guess() -> None:
    e = unit([0.0, 0.0, 1.0])
    near = spread(LOG_P, e, k=2, temperature=0.05, cap_km=500.0)[0]
    assert near[2] == 0.0 and near[:2].sum() == pytest.approx(0.7)


def test_what_does_not_match_is_refused() -> None:
    e = unit([1.0, 0.0, 0.0])
    for log_p, asked in ((LOG_P[:, :3], e), (LOG_P, e[:, :2]), (np.tile(LOG_P, (2, 1)), e)):
        with pytest.raises(InvalidOption, match="same photos, cells and encoder"):
            mixture_weights(WORLD, log_p, asked)
    for options in ({"k": 0}, {"temperature": 0.0}, {"cap_km": -1.0}, {"normalize": "row"}):
        with pytest.raises(InvalidOption):
            mixture_weights(WORLD, LOG_P, e, **options)  # type: ignore[arg-type]


# --- baselines, members, density ----------------------------------------------------------------------


def test_the_single_winner_is_the_product_of_cell_and_likeness() -> None:
    assert single_winner(WORLD, LOG_P, unit([0.0, 1.0, 0.1]), temperature=0.5).tolist() == [1]
    assert single_winner(WORLD, LOG_P, unit([0.0, 0.0, 1.0]), temperature=0.05).tolist() == [2]
    # Likeness alone would say cell 1; at this temperature 0.4 beats 0.3.
    assert single_winner(WORLD, LOG_P, unit([1.0, 0.0, 1.05]), temperature=1.0).tolist() == [0]


def test_beyond_the_cap_the_first_guess_stays() -> None:
    e = unit([0.0, 0.1, 1.0])
    assert single_winner(WORLD, LOG_P, e, temperature=0.05, cap_km=1000.0).tolist() == [1]
    assert single_winner(WORLD, LOG_P, e, temperature=0.05, cap_km=1200.0).tolist() == [2]


def test_the_member_is_the_nearest_where_the_farthest_would_be_another() -> None:
    made = replace(WORLD, member=np.array([7, 3, 5, 0, 1, 2, 4, 6]))
    members = np.zeros((8, 3), dtype=np.float32)
    members[[7, 3]] = unit([1.0, 0.0, 0.0], [-1.0, 0.1, 0.0])
    members[[5, 0, 1]] = unit([0.0, -1.0, 0.0], [0.1, 1.0, 0.0], [1.0, 0.0, 0.0])
    asked = unit([1.0, 0.2, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0])
    assert nearest_member(made, np.array([0, 1, 3]), asked, members).tolist() == [7, 0, -1]


def test_the_density_integrates_to_one(rng: np.random.Generator) -> None:
    made = replace(WORLD, sigma_km=np.full(5, 900.0), cell_sigma_km=np.full(4, 1500.0))
    points = uniform_on_sphere(40_000, rng)
    log_p, e = np.tile(LOG_P, (len(points), 1)), np.tile(unit([1.0, 0.3, 0.2]), (len(points), 1))
    for mixture in (None, mixture_weights(made, log_p, e, k=2)):
        mean = np.exp(log_density(made, mixture, log_p, points)).mean()
        assert mean * EARTH_AREA_KM2 == pytest.approx(1.0, abs=0.05)


def test_the_density_of_one_narrow_cell_is_that_of_a_plane_normal() -> None:
    log_p = np.array([[0.0, -np.inf, -np.inf, -np.inf]])
    center, away = WORLD.center_lonlat[:1], destination(WORLD.center_lonlat[:1], 30.0, 100.0)
    assert log_density(WORLD, None, log_p, center)[0] == pytest.approx(
        -np.log(2 * np.pi * 100.0**2), abs=1e-3
    )
    assert log_density(WORLD, None, log_p, away)[0] == pytest.approx(
        -np.log(2 * np.pi * 100.0**2) - 0.5, abs=1e-3
    )


def test_the_fitted_temperature_is_cold_where_likeness_tells_and_hot_where_it_lies() -> None:
    e = np.tile(unit([1.0, 0.05, 0.0]), (5, 1))
    log_p = np.tile(LOG_P, (5, 1))
    right, wrong = np.tile([[0.0, 0.0]], (5, 1)), np.tile([[1.0, 0.0]], (5, 1))
    assert fit_temperature(WORLD, log_p, e, right) == pytest.approx(0.02)
    assert fit_temperature(WORLD, log_p, e, wrong) == pytest.approx(4.0)
