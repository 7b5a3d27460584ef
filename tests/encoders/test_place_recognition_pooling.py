"""Aggregations: each against its formula by hand, unit length, and refusals."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from placeprint.encoders.errors import InvalidOption
from placeprint.encoders.netvlad import NetVLAD
from placeprint.encoders.place_recognition.pooling import (
    KINDS,
    FlatMap,
    GeM,
    Kind,
    Mean,
    OptimalTransport,
    make_aggregator,
    transport_plan,
)

OPTIONS: dict[Kind, dict[str, object]] = {
    "netvlad": {"n_centers": 4}, "gem": {}, "mean": {}, "flat": {"grid": [2, 3]},
    "transport": {"n_clusters": 4, "width": 5, "token_width": 6, "hidden": 7},
}  # fmt: skip


@pytest.fixture
def features(rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(3, 8, 4, 6)).astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_every_aggregation_gives_unit_length_and_the_same_alone_and_in_a_batch(
    kind: Kind, features: torch.Tensor, rng: np.random.Generator
) -> None:
    torch.manual_seed(0)
    aggregator = make_aggregator(kind, 8, json.loads(json.dumps(OPTIONS[kind])))
    if isinstance(aggregator, NetVLAD):
        aggregator.fit(rng.normal(size=(200, 8)).astype(np.float32))
    with torch.no_grad():
        found = aggregator(features)
        alone = torch.cat([aggregator(one[None]) for one in features])
    assert found.shape == (3, aggregator.dimension)
    np.testing.assert_allclose(found.norm(dim=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(found, alone, atol=1e-6)


def test_the_mean_is_the_mean(features: torch.Tensor) -> None:
    expected = features.numpy().mean(axis=(2, 3))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(Mean(8)(features), expected, atol=1e-6)


def test_gem_is_the_mean_of_powers() -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 5.0]]]])
    powers = np.array([(1 + 8 + 27 + 64) / 4, 125 / 4]) ** (1 / 3)
    found = GeM(2)(features).detach()[0]
    np.testing.assert_allclose(found, powers / np.linalg.norm(powers), atol=1e-5)


def test_gem_goes_from_the_mean_to_the_maximum(features: torch.Tensor) -> None:
    positive = features.abs()
    with torch.no_grad():
        np.testing.assert_allclose(GeM(8, p=1.0)(positive), Mean(8)(positive), atol=1e-5)
        most = F.normalize(positive.amax(dim=(2, 3)), dim=1)
        np.testing.assert_allclose(GeM(8, p=60.0)(positive), most, atol=0.03)


def test_the_power_of_gem_learns(features: torch.Tensor) -> None:
    gem = GeM(8)
    gem(features)[:, 0].sum().backward()
    assert gem.p.grad is not None and float(gem.p.grad) != 0.0


def test_the_flattened_map_keeps_places_apart(features: torch.Tensor) -> None:
    flat = FlatMap(8, grid=(4, 6))
    moved = features.roll(1, dims=3)
    assert float((Mean(8)(features) * Mean(8)(moved)).sum(dim=1).min()) == pytest.approx(1.0, abs=1e-6)
    assert float((flat(features) * flat(moved)).sum(dim=1).max()) < 0.6
    # Each of 24 places has unit length: the whole is their mean similarity.
    cosine = F.cosine_similarity(features[:1], features[1:2]).mean()
    assert float(flat(features)[0] @ flat(features)[1]) == pytest.approx(float(cosine), abs=1e-5)


def test_the_plan_of_transport_gives_every_place_once_and_clusters_their_share(
    features: torch.Tensor,
) -> None:
    scores = 0.3 * features.flatten(2)  # seven clusters and a dustbin, 24 places
    plan = transport_plan(scores, 50)
    np.testing.assert_allclose(plan.sum(dim=1), 1.0, atol=1e-5)
    mass = plan.sum(dim=2)
    np.testing.assert_allclose(mass[:, :-1], 1.0, atol=1e-3)
    np.testing.assert_allclose(mass[:, -1], 24 - 7, atol=1e-3)


def test_the_plan_is_a_scaling_of_rows_and_columns(features: torch.Tensor) -> None:
    scores = features.flatten(2).double()
    ratio = (transport_plan(scores, 20).log() - scores)[0]  # must be u_k + v_n: of rank one about its means
    left = ratio - ratio.mean(dim=0) - ratio.mean(dim=1, keepdim=True) + ratio.mean()
    np.testing.assert_allclose(left, 0.0, atol=1e-9)


def test_more_clusters_than_places_leave_the_dustbin_its_share() -> None:
    plan = transport_plan(torch.zeros(1, 6, 3), 3)
    assert bool(torch.isfinite(plan).all())
    np.testing.assert_allclose(plan.sum(dim=1), 1.0, atol=1e-6)


def test_the_token_comes_first_and_clusters_after_it(features: torch.Tensor) -> None:
    torch.manual_seed(0)
    head = OptimalTransport(8, n_clusters=4, width=5, token_width=6, hidden=7)
    with torch.no_grad():
        found = head(features)
        token = F.normalize(head.token(features.mean(dim=(2, 3))), dim=1) / 5**0.5
    np.testing.assert_allclose(found[:, :6], token, atol=1e-6)
    np.testing.assert_allclose(found[:, 6:].reshape(3, 4, 5).norm(dim=2), 5**-0.5, atol=1e-5)


def test_a_constant_of_a_cluster_changes_no_plan(features: torch.Tensor) -> None:
    scores = features.flatten(2)
    raised = scores + torch.arange(8.0)[:, None]
    np.testing.assert_allclose(transport_plan(raised, 3), transport_plan(scores, 3), atol=1e-5)


def test_places_that_fit_no_cluster_go_to_the_dustbin() -> None:
    scores = torch.zeros(1, 3, 6)
    scores[0, :2, 0], scores[0, :2, 1] = 4.0, 4.0
    dustbin = transport_plan(scores, 20)[0, -1]
    assert float(dustbin[2:].min()) > 0.9 > 0.5 > float(dustbin[:2].max())


@pytest.mark.parametrize(("kind", "options", "says"), [
    ("sum", {}, "there are netvlad, gem"), ("gem", {"q": 3}, "gem: .*'q'"), ("gem", {"p": 0.0}, "above 0"),
    ("flat", {"grid": [0, 2]}, "1 or more each"), ("transport", {"width": 0}, "1 or more"),
])  # fmt: skip
def test_what_cannot_be_is_refused(kind: Kind, options: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidOption, match=says):
        make_aggregator(kind, 8, options)
