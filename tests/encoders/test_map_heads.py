"""Geographic heads: each published loss and each of ours against values worked out by hand, with masks.

Claims: rows without a label change nothing, and a batch without any gives 0 with no gradient that is
not a number; scales come from training labels alone; 1 - cosine holds across the antimeridian, at the
poles and for neighbors a meter apart; the weights bring losses to one scale and stay when a task is absent.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from placeprint.encoders.errors import MissingLabels
from placeprint.encoders.map_learning import geo_losses as losses
from placeprint.encoders.map_learning.geo_heads import GeoBatch, GeoHeads
from placeprint.encoders.map_learning.geo_targets import GeoScales, PlaceLabels
from placeprint.encoders.map_learning.settings import MapRun
from placeprint.encoders.map_learning.task_weights import MOMENTUM, TaskWeights
from placeprint.encoders.sphere import EARTH_RADIUS_KM, unit_vectors

NAN = math.nan
HAS = torch.tensor([True, True, False])


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


# --- losses by hand -------------------------------------------------------------------------------


def test_price_squared_is_the_published_form() -> None:
    found = losses.price_squared(torch.tensor([1.0, 5.0, 9.0]), torch.tensor([3.0, 2.0, NAN]), HAS)
    assert float(found) == pytest.approx((4.0 + 9.0) / 2)


def test_price_huber_is_quadratic_within_one_and_linear_beyond() -> None:
    found = losses.price_huber(torch.tensor([0.5, 4.0, 9.0]), torch.tensor([0.0, 1.0, NAN]), HAS)
    assert float(found) == pytest.approx((0.5 * 0.25 + (3.0 - 0.5)) / 2)


def test_density_cross_entropy_is_the_published_form() -> None:
    logits = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [9.0, 9.0, 0.0]])
    wanted = [math.log(math.e + 2) - 1.0, math.log(math.exp(2) + 2)]
    found = losses.class_cross_entropy(logits, torch.tensor([0, 2, 0]), HAS)
    assert float(found) == pytest.approx(sum(wanted) / 2)


def test_coral_asks_of_each_threshold_whether_the_density_is_above() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.5], [9.0, 9.0]])
    first = (-math.log(sigmoid(2.0)) - math.log(sigmoid(1.0))) / 2  # bin 1: above the first only
    second = (-math.log(1 - sigmoid(0.5)) * 2) / 2  # bin 0: above none
    found = losses.density_coral(logits, torch.tensor([1, 0, 2]), HAS)
    assert float(found) == pytest.approx((first + second) / 2)


def test_coral_punishes_a_far_bin_more_than_a_near_one_and_cross_entropy_does_not() -> None:
    sure_of_0 = torch.full((1, 3), -3.0)
    near, far = (
        float(losses.density_coral(sure_of_0, torch.tensor([one]), torch.tensor([True]))) for one in (1, 3)
    )
    assert far > 2 * near
    flat = torch.tensor([[9.0, 0.0, 0.0, 0.0]])
    one, three = (
        float(losses.class_cross_entropy(flat, torch.tensor([n]), torch.tensor([True]))) for n in (1, 3)
    )
    assert one == three


def test_soft_bins_share_a_density_between_its_neighbors() -> None:
    shares = losses.soft_bins(torch.tensor([1.5]), torch.tensor([1.0, 2.0, 3.0]), 1.0)[0]
    raw = np.exp(-0.5 * np.array([0.25, 0.25, 2.25]))
    assert shares.tolist() == pytest.approx((raw / raw.sum()).tolist())
    logits = torch.tensor([[0.1, 0.2, 0.3], [0.0, 0.0, 0.0], [7.0, 7.0, 7.0]])
    found = losses.density_soft_bins(
        logits, torch.tensor([1.5, 2.0, NAN]), torch.tensor([1.0, 2.0, 3.0]), 1.0, HAS
    )
    log_p = torch.log_softmax(logits[0], 0).numpy()
    first = float(-(raw / raw.sum() * log_p).sum())
    assert float(found) == pytest.approx((first + math.log(3.0)) / 2, rel=1e-5)


def test_position_in_degrees_is_the_published_form_with_its_seam() -> None:
    found = losses.position_degrees(
        torch.tensor([[1.0, 2.0], [179.0, 0.0], [0.0, 0.0]]),
        torch.tensor([[2.0, 4.0], [-179.0, 0.0], [NAN, NAN]]),
        HAS,
    )
    assert float(found) == pytest.approx((5.0 + 358.0**2) / 2)


@pytest.mark.parametrize(
    ("a", "b", "km"),
    [
        ([179.9, 0.0], [-179.9, 0.0], math.radians(0.2) * EARTH_RADIUS_KM),
        ([0.0, 89.9], [180.0, 89.9], math.radians(0.2) * EARTH_RADIUS_KM),
        ([9.5, 47.1], [9.5, 47.1 + 1e-4], math.radians(1e-4) * EARTH_RADIUS_KM),  # 11 m
        ([0.0, 0.0], [180.0, 0.0], math.pi * EARTH_RADIUS_KM),
    ],
)
def test_position_on_the_sphere_is_one_minus_cosine_everywhere(
    a: list[float], b: list[float], km: float
) -> None:
    one, other = (torch.from_numpy(unit_vectors(np.array([x]))) for x in (a, b))
    found = float(losses.position_sphere(one, other, torch.tensor([True])))
    assert found == pytest.approx(2 * math.sin(km / EARTH_RADIUS_KM / 2) ** 2, rel=1e-6)


def test_float32_still_tells_places_apart_that_one_minus_cosine_cannot() -> None:
    a, b = (torch.from_numpy(unit_vectors(np.array([[9.5, lat]]))).float() for lat in (47.1, 47.101))
    assert float(1.0 - (a * b).sum()) in (0.0, pytest.approx(0.0, abs=2e-7))
    found = float(losses.position_sphere(a, b, torch.tensor([True])))
    assert found == pytest.approx(0.5 * math.radians(0.001) ** 2, rel=0.02)


NO_LABELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": lambda x, has: losses.price_squared(x[:, 0], torch.full((3,), NAN), has),
    "huber": lambda x, has: losses.price_huber(x[:, 0], torch.full((3,), NAN), has),
    "cross-entropy": lambda x, has: losses.class_cross_entropy(x, torch.full((3,), -1), has),
    "coral": lambda x, has: losses.density_coral(x, torch.full((3,), -1), has),
    "soft": lambda x, has: losses.density_soft_bins(x, torch.full((3,), NAN), torch.arange(4.0), 1.0, has),
    "degrees": lambda x, has: losses.position_degrees(x[:, :2], torch.full((3, 2), NAN), has),
    "sphere": lambda x, has: losses.position_sphere(x[:, :3], torch.full((3, 3), NAN), has),
}


@pytest.mark.parametrize("name", NO_LABELS)
def test_a_batch_without_any_label_gives_zero_and_zero_gradients(name: str) -> None:
    x = torch.randn(3, 4, requires_grad=True)
    loss = NO_LABELS[name](x, torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert x.grad is not None and float(x.grad.abs().max()) == 0.0


# --- scales ---------------------------------------------------------------------------------------


def scales_of(lonlat: np.ndarray, labels: PlaceLabels, **options: int) -> GeoScales:
    asked = {"n_density_bins": 4, "n_geocells": 3, "seed": 0} | options
    return GeoScales.fit(lonlat, labels, **asked)


def test_prices_are_standardized_on_the_labels_that_are_there() -> None:
    price = np.array([np.e - 1, np.e**3 - 1, NAN])
    scales = scales_of(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), PlaceLabels(price, np.full(3, NAN)))
    assert scales.price_mean == pytest.approx(2.0) and scales.price_scale == pytest.approx(1.0)


def test_bins_hold_about_as_many_places_each(rng: np.random.Generator) -> None:
    density = rng.lognormal(4.0, 2.0, 1000)
    scales = scales_of(rng.uniform(0, 1, (1000, 2)), PlaceLabels(np.full(1000, NAN), density))
    counts = np.bincount(np.searchsorted(scales.density_edges, np.log1p(density)), minlength=4)
    assert (np.abs(counts - 250) <= 1).all()
    assert (np.diff(scales.density_edges) > 0).all() and (np.diff(scales.density_centers) > 0).all()


def test_equal_densities_do_not_put_edges_on_top_of_each_other() -> None:
    scales = scales_of(np.eye(2).repeat(5, 0), PlaceLabels(np.full(10, NAN), np.zeros(10)))
    assert (np.diff(scales.density_edges) > 0).all() and np.isfinite(scales.density_centers).all()


def test_labels_that_are_negative_or_infinite_are_refused() -> None:
    for bad in (-1.0, math.inf):
        with pytest.raises(MissingLabels, match="place 1"):
            PlaceLabels(np.array([1.0, bad]), np.full(2, NAN))


# --- heads ----------------------------------------------------------------------------------------

RUN = MapRun(dimension=8, n_density_bins=4, n_geocells=3).resolved


def heads_of(run: MapRun, lonlat: np.ndarray, labels: PlaceLabels) -> GeoHeads:
    torch.manual_seed(0)
    return GeoHeads(run, scales_of(lonlat, labels), labels)


def some(rng: np.random.Generator, n: int = 20) -> tuple[np.ndarray, PlaceLabels]:
    labels = PlaceLabels(rng.lognormal(5, 1, n), rng.lognormal(4, 2, n))
    labels.price[::2] = NAN
    return np.array([9.5, 47.1]) + rng.uniform(0, 0.1, (n, 2)), labels


@pytest.mark.parametrize("variant", ["ours", "paper"])
@pytest.mark.parametrize("density_loss", [None, "soft-bins"])
def test_rows_without_a_label_do_not_change_the_loss(
    variant: str, density_loss: str | None, rng: np.random.Generator
) -> None:
    lonlat, labels = some(rng)
    run = MapRun(variant=variant, density_loss=density_loss, dimension=8, n_density_bins=4).resolved
    heads = heads_of(run, lonlat, labels)
    embedding = torch.randn(20, 8)
    whole, present = heads(embedding, GeoBatch.of(labels, lonlat))
    assert all(present.values()) and all(math.isfinite(float(one.detach())) for one in whole.values())
    priced = np.flatnonzero(~np.isnan(labels.price))
    part, _ = heads(embedding[priced], GeoBatch.of(labels.take(priced), lonlat[priced]))
    assert float(part["price"].detach()) == pytest.approx(float(whole["price"].detach()), rel=1e-5)
    assert set(whole) == {"price", "density", "position"} | ({"geocell"} if variant == "ours" else set())


def test_a_task_without_labels_in_training_is_left_out(rng: np.random.Generator) -> None:
    lonlat, _ = some(rng)
    assert heads_of(RUN, lonlat, PlaceLabels.none(20)).tasks == ("position", "geocell")


@pytest.mark.parametrize("is_fixed", [True, False])
def test_the_position_head_leaves_the_network_alone_where_it_should(
    is_fixed: bool, rng: np.random.Generator
) -> None:
    lonlat, labels = some(rng)
    run = MapRun(dimension=8, position_stop_gradient=is_fixed).resolved
    heads = heads_of(run, lonlat, labels)
    embedding = torch.randn(20, 8, requires_grad=True)
    found, _ = heads(embedding, GeoBatch.of(labels, lonlat))
    (found["position"] + found["geocell"]).backward()
    assert heads.position.weight.grad is not None and float(heads.position.weight.grad.abs().sum()) > 0
    assert (embedding.grad is None) == is_fixed


def test_an_ignorant_position_head_costs_one(rng: np.random.Generator) -> None:
    for extent in (0.01, 30.0):  # a town and a continent
        lonlat = np.array([170.0, 40.0]) + rng.uniform(0, extent, (50, 2))
        labels = PlaceLabels.none(50)
        heads = heads_of(RUN, lonlat, labels)
        found, _ = heads(torch.randn(50, 8), GeoBatch.of(labels, lonlat))
        assert float(found["position"].detach()) == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("variant", ["ours", "paper"])
def test_predictions_come_in_the_units_of_the_labels(variant: str, rng: np.random.Generator) -> None:
    lonlat, labels = some(rng)
    heads = heads_of(MapRun(variant=variant, dimension=8, n_density_bins=4).resolved, lonlat, labels)
    said = heads.predict(torch.randn(20, 8))
    assert said["price"].shape == said["density"].shape == (20,) and said["lonlat"].shape == (20, 2)
    assert (said["price"] >= 0).all()
    if variant == "ours":  # within the bins' centers
        centers = np.expm1(heads.scales.density_centers)
        assert (said["density"] >= centers[0] - 1e-3).all() and (said["density"] <= centers[-1] * 1.001).all()


def test_heads_learn_price_density_and_position(rng: np.random.Generator) -> None:
    n = 200
    x = rng.normal(size=(n, 8)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    lonlat = np.array([179.95, -16.8]) + 0.1 * x[:, :2]  # across the antimeridian
    lonlat[:, 0] = (lonlat[:, 0] + 180.0) % 360.0 - 180.0
    labels = PlaceLabels(np.exp(5 + 2 * x[:, 2]), np.exp(4 + 3 * x[:, 3]))
    heads = heads_of(RUN, lonlat, labels)
    optimizer = torch.optim.Adam(heads.parameters(), lr=0.05)
    batch, embedding = GeoBatch.of(labels, lonlat), torch.from_numpy(x)
    for _ in range(150):
        found, _ = heads(embedding, batch)
        optimizer.zero_grad()
        sum(found.values()).backward()
        optimizer.step()
    said = heads.predict(embedding)
    assert np.corrcoef(np.log(said["price"]), np.log(labels.price))[0, 1] > 0.99
    assert np.corrcoef(np.log1p(said["density"]), np.log(labels.density))[0, 1] > 0.9
    error = np.abs((said["lonlat"] - lonlat + 180.0) % 360.0 - 180.0)
    assert np.median(error) < 0.005


# --- weights --------------------------------------------------------------------------------------


def yes() -> Tensor:
    return torch.tensor(True)


def test_equal_weights_leave_losses_as_they_are() -> None:
    found = TaskWeights(["a"], "equal")({"a": torch.tensor(7.0)}, {"a": yes()})
    assert float(found["a"]) == 7.0


def test_running_means_bring_losses_to_one_scale() -> None:
    weights = TaskWeights(["yen", "nats"], "running-mean")
    first = weights({"yen": torch.tensor(1e9), "nats": torch.tensor(2.0)}, {"yen": yes(), "nats": yes()})
    assert float(first["yen"]) == pytest.approx(1.0) and float(first["nats"]) == pytest.approx(1.0)
    second = weights({"yen": torch.tensor(0.5e9), "nats": torch.tensor(2.0)}, {"yen": yes(), "nats": yes()})
    assert float(second["yen"]) == pytest.approx(0.5 / (MOMENTUM + (1 - MOMENTUM) * 0.5))
    weights.eval()
    before = weights.means.clone()
    weights({"yen": torch.tensor(5.0)}, {"yen": yes()})
    assert torch.equal(weights.means, before)


def test_log_variance_is_exp_minus_s_times_the_loss_plus_s() -> None:
    weights = TaskWeights(["a", "b"], "log-variance")
    with torch.no_grad():
        weights.log_variance.copy_(torch.tensor([0.5, 9.0]))
    found = weights({"a": torch.tensor(3.0), "b": torch.tensor(3.0)}, {"a": yes(), "b": yes()})
    assert float(found["a"].detach()) == pytest.approx(math.exp(-0.5) * 3.0 + 0.5)
    assert float(found["b"].detach()) == pytest.approx(math.exp(-4.0) * 3.0 + 4.0)  # no task is given up


def test_a_log_variance_at_its_bound_comes_back() -> None:
    weights = TaskWeights(["a"], "log-variance")
    with torch.no_grad():
        weights.log_variance.fill_(-4.01)
    weights({"a": torch.tensor(50.0)}, {"a": torch.tensor(True)})["a"].backward()
    assert weights.log_variance.grad is not None and float(weights.log_variance.grad[0]) < -1.0


@pytest.mark.parametrize("kind", ["equal", "running-mean", "log-variance"])
def test_a_task_without_labels_in_the_batch_adds_nothing_and_stays(kind: str) -> None:
    weights = TaskWeights(["a"], kind)
    weights({"a": torch.tensor(4.0)}, {"a": yes()})
    state = {name: value.clone() for name, value in weights.state_dict().items()}
    loss = torch.tensor(0.0, requires_grad=True)
    found = weights({"a": loss}, {"a": torch.tensor(False)})["a"]
    assert float(found.detach()) == 0.0
    found.backward()
    if kind == "log-variance":
        assert float(weights.log_variance.grad.abs().sum()) == 0.0
    assert all(torch.equal(value, state[name]) for name, value in weights.state_dict().items())


def test_equal_densities_fall_into_one_bin_with_those_they_were_fitted_with() -> None:
    """Edges lie on top of one another where many are equal; in float32 a value may jump over all."""
    rng = np.random.default_rng(0)
    for value in rng.uniform(0.5, 5000.0, 200):
        density = np.concatenate([np.full(60, value), rng.uniform(0.0, 5000.0, 40)])
        labels = PlaceLabels(np.full(100, np.nan), density)
        lonlat = rng.uniform([9.0, 47.0], [9.5, 47.5], (100, 2))
        scales = GeoScales.fit(lonlat, labels, n_density_bins=8, n_geocells=2, seed=0)
        wanted = np.searchsorted(scales.density_edges, np.log1p(density), side="left")
        heads = GeoHeads(MapRun(dimension=4).resolved, scales, labels)
        found = heads.density_bins(GeoBatch.of(labels, lonlat).density)[0].numpy()
        assert np.array_equal(found, wanted)


def test_equal_prices_have_no_scale_of_rounding() -> None:
    lonlat = np.array([[9.0, 47.0], [9.1, 47.0], [9.2, 47.1]])
    for price in (2167.67, 3.3, 1e7 / 3.0):
        labels = PlaceLabels(np.full(3, price), np.full(3, np.nan))
        scales = GeoScales.fit(lonlat, labels, n_density_bins=2, n_geocells=2, seed=0)
        assert scales.price_scale == 1.0


def test_the_spread_is_the_loss_of_the_mean_place() -> None:
    """Over half of the sphere too, where the mean vector lies far within."""
    rng = np.random.default_rng(1)
    lonlat = np.column_stack(
        [rng.uniform(-90.0, 90.0, 4000), np.rad2deg(np.arcsin(rng.uniform(-1, 1, 4000)))]
    )
    scales = GeoScales.fit(lonlat, PlaceLabels.none(4000), n_density_bins=2, n_geocells=2, seed=0)
    vectors = torch.from_numpy(unit_vectors(lonlat))
    mean = torch.from_numpy(scales.center / np.linalg.norm(scales.center)).expand(4000, 3)
    loss = losses.position_sphere(mean, vectors, torch.ones(4000, dtype=torch.bool), scales.spread)
    assert float(loss) == pytest.approx(1.0)
