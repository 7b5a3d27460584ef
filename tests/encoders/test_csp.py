"""The dual encoder: image components, losses by part, temperatures, the folded projection.

Claims: components are centered, of unit variance, and fitted on training alone; each part of the
objective is added with its weight; the dropout part needs two masks; temperatures that are learned
stop at 0.01, fixed ones move nowhere; the two files of a run give the model's own similarities.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from placeprint.encoders import csp_objectives as objectives
from placeprint.encoders.csp import Batch, CspModel, ImageBasis
from placeprint.encoders.csp_settings import CspRun

RUN = CspRun(
    positional="xyz", positional_options={}, network_options={"hidden": 16, "dropout": 0.5}, dimension=8
)


@pytest.fixture(autouse=True)
def no_gradients(request: pytest.FixtureRequest) -> Iterator[None]:
    """Off, so that losses are plain numbers; on where a test asks for gradients."""
    with torch.set_grad_enabled("gradient" in request.node.name):
        yield


def a_batch(n: int = 12, c: int = 5) -> Batch:
    torch.manual_seed(0)
    return Batch(torch.randn(n, 6), torch.randn(n, 3), torch.randn(c, 3))


def model(run: CspRun) -> CspModel:
    torch.manual_seed(1)
    return CspModel(run, 6)


# --- images ---------------------------------------------------------------------------------------


def test_components_are_centered_of_unit_variance_and_uncorrelated(rng: np.random.Generator) -> None:
    images = (rng.normal(size=(500, 4)) @ rng.normal(size=(4, 20)) + 3.0).astype(np.float32)
    basis = ImageBasis.fit(images, 10)
    assert basis.dimension == 4  # the images span no more
    found = basis.apply(images).numpy()
    assert found.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-3)
    assert np.cov(found.T) == pytest.approx(np.eye(4), abs=1e-3)


def test_the_first_components_are_those_that_vary_most(rng: np.random.Generator) -> None:
    images = (rng.normal(size=(400, 3)) * [1.0, 5.0, 0.1]).astype(np.float32)
    basis = ImageBasis.fit(images, 1)
    assert np.abs(basis.basis[:, 0]).argmax() == 1


def test_without_components_images_stay_as_they_are(rng: np.random.Generator) -> None:
    images = rng.normal(size=(7, 5)).astype(np.float32)
    assert np.array_equal(ImageBasis.fit(images, None).apply(images).numpy(), images)


# --- losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["mc", "nce"])
@pytest.mark.parametrize("parts", ["B", "BL", "BD", "BLD"])
def test_the_total_is_the_weighted_sum_of_the_parts_asked_for(objective: str, parts: str) -> None:
    run = replace(RUN, objective=objective, parts=parts, location_weight=2.0, dropout_weight=0.5)
    losses = model(run).train().losses(a_batch())
    total = losses.batch + 2.0 * losses.location + 0.5 * losses.dropout
    assert float(losses.total) == pytest.approx(float(total))
    assert (float(losses.location) != 0.0) == ("L" in parts)
    assert (float(losses.dropout) != 0.0) == ("D" in parts)


def test_losses_are_the_objectives_of_unit_embeddings_at_the_temperatures_of_the_parts() -> None:
    run = replace(RUN, temperature=0.5, location_temperature=0.25, dropout_temperature=2.0)
    one, batch = model(run).eval(), a_batch()
    places = F.normalize(one.location.network(batch.features), dim=-1)
    images = F.normalize(one.projection(batch.images), dim=-1)
    assert batch.random_features is not None
    random = F.normalize(one.location.network(batch.random_features), dim=-1)
    losses = one.losses(batch)
    assert torch.allclose(losses.batch, objectives.mc_in_batch(places, images, 2.0))
    assert torch.allclose(losses.location, objectives.mc_random_locations(places, images, random, 4.0))
    assert torch.allclose(losses.dropout, objectives.mc_dropout(places, places, 0.5))


def test_one_direction_asks_for_the_photo_of_a_place() -> None:
    one, batch = model(replace(RUN, parts="B", is_symmetric=False)).eval(), a_batch()
    places = one.embed_features(batch.features)
    images = one.embed_images(batch.images)
    logits = places @ images.T / 0.07
    assert float(one.losses(batch).total) == pytest.approx(
        float(F.cross_entropy(logits, torch.arange(len(logits)))), rel=1e-5
    )


def test_the_dropout_part_compares_two_masks() -> None:
    one, batch = model(replace(RUN, parts="BD")), a_batch()
    assert float(one.train().losses(batch).dropout) > float(one.eval().losses(batch).dropout.detach())


def test_places_known_as_one_are_passed_on() -> None:
    batch = a_batch()
    near = torch.zeros(12, 12, dtype=torch.bool)
    near[0, 1] = near[1, 0] = True
    random_near = torch.zeros(12, 5, dtype=torch.bool)
    random_near[0, 0] = True
    one = model(RUN).eval()
    all_negative, fewer = one.losses(batch), one.losses(replace(batch, near=near, random_near=random_near))
    assert float(fewer.batch) < float(all_negative.batch) - 1e-4
    assert float(fewer.location) < float(all_negative.location) - 1e-4
    assert float(fewer.dropout) <= float(all_negative.dropout)
    twins = replace(batch, features=batch.features[[0, 0, *range(2, 12)]])
    one_place = replace(twins, near=near)
    assert float(one.losses(one_place).dropout) < float(one.losses(twins).dropout) - 0.05


# --- temperatures ---------------------------------------------------------------------------------


def test_learned_temperatures_start_at_0_07_and_stop_at_0_01() -> None:
    one = model(RUN)
    assert one.scales().tolist() == pytest.approx([1 / 0.07] * 3)
    assert one.logit_scales.tolist() == pytest.approx([math.log(1 / 0.07)] * 3)
    with torch.no_grad():
        one.logit_scales.fill_(50.0)
    assert one.scales().tolist() == pytest.approx([100.0] * 3)


def test_fixed_temperatures_get_no_gradient_and_are_not_cut() -> None:
    one = model(replace(RUN, learned_temperatures="", temperature=0.001))
    one.losses(a_batch()).total.backward()
    assert one.logit_scales.grad is None
    assert float(one.scales()[0].detach()) == pytest.approx(1000.0, rel=1e-4)


def test_gradients_go_to_the_temperatures_that_learn_alone() -> None:
    one = model(replace(RUN, learned_temperatures="L"))
    one.losses(a_batch()).total.backward()
    assert one.logit_scales.grad is not None
    assert [bool(gradient) for gradient in one.logit_scales.grad] == [False, True, False]


def test_the_bias_of_nce_learns_and_that_of_mc_does_not() -> None:
    assert model(replace(RUN, objective="nce")).logit_biases.requires_grad
    assert not model(RUN).logit_biases.requires_grad


# --- files ----------------------------------------------------------------------------------------


def test_the_folded_projection_gives_the_models_own_embeddings(rng: np.random.Generator) -> None:
    images = (rng.normal(size=(50, 20)) + 1.0).astype(np.float32)
    basis = ImageBasis.fit(images, 6)
    one = model(RUN).eval()
    weight, bias = one.folded_projection(basis)
    assert weight.shape == (8, 20) and bias.shape == (8,)
    folded = F.normalize(torch.from_numpy(images) @ weight.T + bias, dim=-1)
    assert torch.allclose(folded, one.embed_images(basis.apply(images)), atol=1e-5)
