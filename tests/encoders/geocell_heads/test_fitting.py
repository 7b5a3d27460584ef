"""Claims: heads learn, alike every time; the validation decides; what is not asked for is not trained."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from geocell_fakes import NearestCells, cells_at, photos_at

from placeprint.encoders.csp_sampling import Pairs
from placeprint.encoders.errors import InvalidOption, TooFewPairs
from placeprint.encoders.geocell_head import GeocellHead
from placeprint.encoders.geocell_heads.figures import place_figures
from placeprint.encoders.geocell_heads.fitting import calibrate, least_nll, log_kernel_at, place_nll
from placeprint.encoders.geocell_heads.settings import HeadRun
from placeprint.encoders.geocell_heads.training import Material, begin, fit_one, part_of, train_head
from placeprint.encoders.sphere import EARTH_RADIUS_KM, destination, great_circle_km, uniform_on_sphere

QUICK = HeadRun(weight_decays=(1e-3,), rounds=8, patience=3, hidden=32, batch_size=64)


def pairs_of(n: int = 400, *, noise: float = 0.1) -> Pairs:
    lonlat = uniform_on_sphere(n, np.random.default_rng(5))
    groups = np.array([f"g{row // 2}" for row in range(n)])
    return Pairs(photos_at(lonlat, noise=noise), lonlat, groups, "e1")


@pytest.fixture(scope="module")
def cells() -> NearestCells:
    return cells_at(uniform_on_sphere(20, np.random.default_rng(4)), radius_km=2500.0)


def replace_groups(pairs: Pairs) -> Pairs:
    """Every photo in a group of its own."""
    return Pairs(
        pairs.images, pairs.lonlat, np.array([f"p{row}" for row in range(len(pairs))]), pairs.encoder
    )


def same(a: GeocellHead, b: GeocellHead) -> bool:
    return all(
        torch.equal(one, two)
        for one, two in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    "run",
    [
        QUICK,
        replace(QUICK, solver="adamw", learning_rate=3e-2),
        replace(QUICK, head="mlp", rounds=15, learning_rate=1e-2),
    ],
)
def test_every_kind_of_head_learns_and_comes_out_the_same_again(cells: NearestCells, run: HeadRun) -> None:
    material = Material.of(pairs_of(), cells, run)
    head, fit = fit_one(material, run, 1e-3)
    before = place_nll(begin(material, run), material.examples(1))
    kernel = log_kernel_at(head, material.examples(1).lonlat)
    assert fit.nll < before - 0.5 and fit.nll == pytest.approx(least_nll(head, material.examples(1), kernel))
    torch.manual_seed(17)
    assert same(head, fit_one(material, run, 1e-3)[0])


def test_it_ends_as_it_was_at_the_best_round(cells: NearestCells) -> None:
    run = replace(QUICK, rounds=30, patience=4)
    _, fit = fit_one(Material.of(pairs_of(noise=1.5), cells, run), run, 0.0)
    seen = [record["validation_nll"] for record in fit.log]
    assert fit.nll == pytest.approx(min(seen)) and seen[fit.best_round - 1] == min(seen)
    assert len(seen) == min(fit.best_round + 4, 30) and fit.best_round < 30


def test_what_teaches_nothing_leaves_the_prior(cells: NearestCells) -> None:
    pairs = pairs_of()
    noise = np.random.default_rng(3).normal(size=pairs.images.shape).astype(np.float32)
    run = replace(QUICK, head="mlp", learning_rate=1.0, rounds=4)
    material = Material.of(Pairs(noise, pairs.lonlat, pairs.groups), cells, run)
    head, fit = fit_one(material, run, 0.0)
    assert fit.best_round == 0 and same(head, begin(material, run).eval())


def test_the_kernels_of_the_validation_are_densities(cells: NearestCells) -> None:
    head = begin(Material.of(pairs_of(), cells, QUICK), QUICK)
    distance = np.concatenate([[0.0], np.geomspace(0.01, np.pi * EARTH_RADIUS_KM, 20_000)])
    along = destination(np.tile(cells.center_lonlat[3], (len(distance), 1)), 77.0, distance)
    density = np.exp(log_kernel_at(head, along)[:, 3])
    circle_km = 2.0 * np.pi * EARTH_RADIUS_KM * np.sin(distance / EARTH_RADIUS_KM)
    assert np.trapezoid(density * circle_km, distance) == pytest.approx(1.0, abs=1e-4)


def test_a_guess_next_door_counts_though_the_right_cell_is_unlikely(cells: NearestCells) -> None:
    material = Material.of(pairs_of(), cells, QUICK)
    head, some = begin(material, QUICK), material.examples(1)
    kernel = log_kernel_at(head, some.lonlat)
    order = np.argsort(-kernel, axis=1)
    rows = np.arange(len(some))

    def nll(column: int) -> float:
        log_p = np.full(kernel.shape, -30.0)
        log_p[rows, order[:, column]] = 0.0
        head.log_probabilities = lambda embeddings, **options: log_p  # type: ignore[method-assign]
        return place_nll(head, some, kernel)

    assert nll(0) < nll(1) < nll(3) < nll(10) < nll(19)


def test_more_decay_is_smaller_weights(cells: NearestCells) -> None:
    material = Material.of(pairs_of(), cells, QUICK)
    sizes = [
        float(fit_one(material, QUICK, decay)[0].cells.weight.detach().norm()) for decay in (1e-4, 1e-1, 10.0)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_the_validation_chooses_the_decay(cells: NearestCells) -> None:
    run = replace(QUICK, weight_decays=(1e3, 1e-2))
    material = Material.of(pairs_of(), cells, run)
    chosen, better = train_head(material, run), fit_one(material, run, 1e-2)[0]
    assert torch.equal(chosen.cells.weight, better.cells.weight)


def test_places_within_cells_are_learned(cells: NearestCells) -> None:
    material = Material.of(pairs_of(1200), cells, replace(QUICK, rounds=25))
    head, _ = fit_one(material, replace(QUICK, rounds=25), 1e-4)
    test = material.rows(2)
    cell = material.cell[test]
    truth = material.pairs.lonlat[test]
    points = head.points(material.pairs.images[test], cell[:, None])[:, 0]
    within, center = place_figures(points, truth), place_figures(cells.center_lonlat[cell], truth)
    assert within["median_km"] < 0.85 * center["median_km"]
    without, _ = fit_one(material, replace(QUICK, offset_weight=0.0), 1e-4)
    np.testing.assert_array_equal(
        without.points(material.pairs.images[test], cell[:, None])[:, 0], cells.center_lonlat[cell]
    )


def test_country_terms_make_countries_likelier(cells: NearestCells) -> None:
    run = replace(QUICK, rounds=3)
    material = Material.of(pairs_of(noise=1.0), cells, run)
    from placeprint.encoders.geocell_heads.levels import level_of

    level = level_of(cells, "country")
    truth = np.array([list(level.labels).index(code) for code in cells.country])[
        material.cell[material.rows(0)]
    ]

    def nll(one: HeadRun) -> float:
        head, _ = fit_one(material, one, 1e-2)
        log_p = level.log_probabilities(head.log_probabilities(material.pairs.images[material.rows(0)]))
        return -float(log_p[np.arange(len(truth)), truth].mean())

    assert nll(replace(run, country_weight=5.0)) < nll(run)


def test_side_tasks_shape_the_hidden_layer_and_missing_labels_do_not_stop_them(cells: NearestCells) -> None:
    plain, run = replace(QUICK, head="mlp", rounds=2), replace(QUICK, head="mlp", rounds=2, tasks=("month",))
    month = np.arange(400) % 13  # 0 is unknown
    with_task = Material.of(pairs_of(), cells, run, month=month)
    head, _ = fit_one(with_task, run, 0.0)
    assert head.tasks["month"].out_features == 12
    assert not torch.equal(head.trunk[0].weight, fit_one(with_task, plain, 0.0)[0].trunk[0].weight)
    nothing_known = Material.of(pairs_of(), cells, run)
    assert np.isfinite(fit_one(nothing_known, run, 0.0)[1].nll)


def test_calibration_undoes_overconfidence(cells: NearestCells) -> None:
    material = Material.of(pairs_of(noise=0.5), cells, QUICK)
    head, _ = fit_one(material, QUICK, 1e-3)
    first = calibrate(head, material.examples(1))
    least = place_nll(head, material.examples(1))
    with torch.no_grad():
        head.cells.weight.mul_(3.0)
        head.cells.bias.mul_(3.0)
    assert calibrate(head, material.examples(1)) == pytest.approx(3.0 * first, rel=0.01)
    assert place_nll(head, material.examples(1)) == pytest.approx(least, abs=1e-4)


def test_groups_are_never_parted_nor_blocks(cells: NearestCells) -> None:
    pairs = pairs_of()
    part = part_of(pairs, QUICK)
    assert {0, 1, 2} == set(part) and all(len(set(part[pairs.groups == g])) == 1 for g in set(pairs.groups))
    blocks = np.floor(pairs.lonlat / 30.0).astype(int)
    alone = replace_groups(pairs)
    by_block = part_of(alone, replace(QUICK, block_deg=30.0))
    assert all(len(set(by_block[(blocks == one).all(axis=1)])) == 1 for one in np.unique(blocks, axis=0))


def test_validation_and_test_photos_do_not_move_what_is_averaged(cells: NearestCells) -> None:
    material = Material.of(pairs_of(), cells, QUICK)
    other = pairs_of()
    other.images[material.part > 0] = other.images[material.part > 0][::-1]
    head, again = begin(material, QUICK), begin(Material.of(other, cells, QUICK), QUICK)
    assert same(head, again)


def test_pigeons_weights_and_ours_train_different_heads(cells: NearestCells) -> None:
    ours, theirs = replace(QUICK, tau=2000.0), replace(QUICK, tau=2000.0, weights="pigeon")
    heads = [fit_one(Material.of(pairs_of(), cells, run), run, 1e-3)[0] for run in (ours, theirs)]
    assert not same(*heads)
    total = Material.of(pairs_of(), cells, theirs).targets.sum(axis=1)
    assert np.ptp(total) > 0.5


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"head": "tree"}, "linear, mlp"),
        ({"tasks": ("month",)}, "choose mlp"),
        ({"head": "mlp", "solver": "lbfgs"}, "adamw for an mlp"),
        ({"weights": "pigeon"}, "kilometers above 0"),
        ({"weight_decays": ()}, "one or more"),
        ({"validation_share": 0.5}, "up to 0.6"),
        ({"rounds": 0}, "1 or more"),
        ({"dropout": 1.0}, r"in \[0, 1\)"),
    ],
)
def test_settings_without_meaning_are_named(changes: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidOption, match=named):
        HeadRun(**changes)  # type: ignore[arg-type]


def test_settings_round_trip() -> None:
    run = replace(QUICK, head="mlp", tasks=("climate", "month"), tau="per-cell")
    assert HeadRun.from_dict(run.to_dict()) == run
    with pytest.raises(InvalidOption, match="no setting depth"):
        HeadRun.from_dict({"depth": 3})


def test_a_handful_of_photos_is_refused(cells: NearestCells) -> None:
    with pytest.raises(TooFewPairs, match="49 photos"):
        Material.of(pairs_of(49), cells, QUICK)


def test_embeddings_show_places_in_this_test() -> None:
    pairs = pairs_of(300, noise=0.0)
    nearest = np.argsort(-(pairs.images @ pairs.images.T), axis=1)[:, 1]
    assert np.median(great_circle_km(pairs.lonlat, pairs.lonlat[nearest])) < 1500.0
