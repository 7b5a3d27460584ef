"""NetVLAD: the einsum is the loop, both forms start as the authors' do, and nothing runs unfitted.

The traps of released code that are tested here: indices taken for distances when α is fitted, a bias
of -α‖c‖ for -α‖c‖², a shadowed channel count, training from centers that were never fitted.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from placeprint.encoders.errors import InvalidOption, TooFewPairs, UninitializedVocabulary
from placeprint.encoders.netvlad import (
    N_DESCRIPTORS,
    PER_IMAGE,
    Form,
    NetVLAD,
    images_to_sample,
    sample_descriptors,
)

FORMS: tuple[Form, ...] = ("v1", "v2")


def unit_descriptors(n: int, channels: int, seed: int = 0) -> NDArray[np.float32]:
    """Around eight directions, so that there is something to cluster."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(8, channels))[rng.integers(0, 8, n)] + 0.3 * rng.normal(size=(n, channels))
    unit: NDArray[np.float32] = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return unit


def fitted(form: Form, channels: int = 12, n_centers: int = 5) -> tuple[NetVLAD, float, NDArray[np.float32]]:
    layer, descriptors = NetVLAD(channels, n_centers, form=form), unit_descriptors(600, channels)
    return layer, layer.fit(descriptors, seed=3), descriptors


def by_loop(layer: NetVLAD, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """The definition, one residual at a time, in float64."""
    w, b, c = (one.detach().numpy().astype(np.float64) for one in (layer.weight, layer.bias, layer.centers))
    n_photos, channels, height, width = features.shape
    found = np.zeros((n_photos, len(c) * channels))
    for photo in range(n_photos):
        rows = np.zeros((len(c), channels))
        for y in range(height):
            for x in range(width):
                one = features[photo, :, y, x].astype(np.float64)
                one /= np.sqrt(sum(value**2 for value in one))
                scores = np.array([sum(w[k] * one) + b[k] for k in range(len(c))])
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                for k in range(len(c)):
                    for d in range(channels):
                        rows[k, d] += weights[k] * (one[d] - c[k, d])
        for k in range(len(c)):
            rows[k] /= np.sqrt((rows[k] ** 2).sum())
        whole = rows.reshape(-1)  # K-major: row by row
        found[photo] = whole / np.sqrt((whole**2).sum())
    return found


@pytest.mark.parametrize("form", FORMS)
def test_the_einsum_is_the_loop(form: Form, rng: np.random.Generator) -> None:
    layer, _, _ = fitted(form)
    with torch.no_grad():  # w, b and c apart, as after training
        for one in (layer.weight, layer.bias, layer.centers):
            one += 0.05 * torch.from_numpy(rng.normal(size=one.shape))
    features = (3.0 * rng.normal(size=(3, 12, 4, 3))).astype(np.float32)
    found = layer(torch.from_numpy(features)).detach().numpy()
    np.testing.assert_allclose(found, by_loop(layer, features), atol=2e-6)


def test_an_embedding_is_k_major_and_of_unit_length(rng: np.random.Generator) -> None:
    layer, _, _ = fitted("v1")
    found = layer(torch.from_numpy(rng.normal(size=(2, 12, 3, 3)).astype(np.float32))).detach()
    assert found.shape == (2, layer.dimension) == (2, 60)
    np.testing.assert_allclose(found.norm(dim=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(found.reshape(2, 5, 12).norm(dim=2), 5**-0.5, atol=1e-6)  # each row alike


@pytest.mark.parametrize("form", FORMS)
def test_at_the_start_the_nearest_center_weighs_a_hundred_times_the_second(form: Form) -> None:
    layer, _, descriptors = fitted(form)
    with torch.no_grad():
        weights = layer.double().assign(torch.from_numpy(descriptors.T[None]).double())[0]
    second, first = np.partition(weights.numpy(), -2, axis=0)[-2:]
    assert np.exp(np.mean(np.log(first / second))) == pytest.approx(100.0, rel=1e-4)


def test_v2_assigns_by_squared_distance() -> None:
    layer, alpha, descriptors = fitted("v2")
    x = torch.from_numpy(descriptors).double()
    layer = layer.double()
    with torch.no_grad():
        found = layer.assign(x.T[None])[0].T
        expected = F.softmax(-alpha * torch.cdist(x, layer.centers) ** 2, dim=1)
        np.testing.assert_allclose(layer.bias, -alpha * (layer.centers**2).sum(dim=1), rtol=1e-5)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_v1_assigns_by_the_angle_alone() -> None:
    layer, alpha, _ = fitted("v1")
    with torch.no_grad():
        np.testing.assert_array_equal(layer.bias, 0.0)
        np.testing.assert_allclose(layer.weight, alpha * F.normalize(layer.centers, dim=1), rtol=1e-5)
    assert not layer.bias.requires_grad
    assert NetVLAD(3, form="v2").bias.requires_grad


def test_w_b_and_c_learn_apart() -> None:
    layer, _, _ = fitted("v2")
    layer(torch.randn(2, 12, 3, 3, generator=torch.Generator().manual_seed(1)))[:, 0].sum().backward()
    for parameter in (layer.weight, layer.bias, layer.centers):
        assert parameter.grad is not None and bool(parameter.grad.any())


def test_features_of_any_length_and_order_of_places_give_one_embedding(rng: np.random.Generator) -> None:
    layer, _, _ = fitted("v1")
    features = torch.from_numpy(rng.normal(size=(1, 12, 4, 4)).astype(np.float32))
    length = torch.from_numpy(rng.uniform(0.5, 9.0, (1, 1, 4, 4)).astype(np.float32))
    with torch.no_grad():
        found = layer(features)
        np.testing.assert_allclose(layer(length * features), found, atol=1e-6)
        np.testing.assert_allclose(layer(features.flip(3)), found, atol=1e-6)


def test_a_batch_embeds_as_its_photos_do(rng: np.random.Generator) -> None:
    layer, _, _ = fitted("v2")
    features = torch.from_numpy(rng.normal(size=(5, 12, 4, 4)).astype(np.float32))
    with torch.no_grad():
        alone = torch.cat([layer(one[None]) for one in features])
        np.testing.assert_allclose(layer(features), alone, atol=1e-6)


def test_a_photo_of_nothing_has_finite_numbers() -> None:
    layer, _, _ = fitted("v1")
    assert bool(torch.isfinite(layer(torch.zeros(1, 12, 2, 2))).all())


@pytest.mark.parametrize("form", FORMS)
def test_it_refuses_to_run_before_it_is_fitted(form: Form) -> None:
    with pytest.raises(UninitializedVocabulary, match="fit"):
        NetVLAD(4, 3, form=form)(torch.ones(1, 4, 2, 2))


def test_a_fitted_state_is_fitted_elsewhere_too() -> None:
    layer, _, _ = fitted("v2")
    other = NetVLAD(12, 5, form="v2")
    other.load_state_dict(layer.state_dict())
    features = torch.ones(1, 12, 2, 2)
    with torch.no_grad():
        np.testing.assert_array_equal(other(features), layer(features))


def test_equal_seeds_give_equal_vocabularies() -> None:
    first, _, _ = fitted("v1")
    again, _, _ = fitted("v1")
    np.testing.assert_array_equal(first.centers.detach(), again.centers.detach())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: NetVLAD(4, 1), "n_centers=1"),
        (lambda: NetVLAD(4, 4, form="v3"), "v1 and v2"),  # type: ignore[arg-type]
        (lambda: NetVLAD(4, 4).fit(np.ones((50, 5), np.float32)), r"must be \(n, 4\)"),
    ],
)
def test_what_cannot_be_is_refused(make: object, says: str) -> None:
    with pytest.raises(InvalidOption, match=says):
        make()  # type: ignore[operator]


def test_photos_that_all_look_alike_have_no_vocabulary() -> None:
    with pytest.raises(TooFewPairs, match="1 descriptors that differ, for 4 centers"):
        NetVLAD(4, 4).fit(np.full((50, 4), 0.5, np.float32))


def test_a_vocabulary_is_fitted_to_random_photos_not_to_the_first() -> None:
    rows = images_to_sample(5000, 196, seed=0)
    assert len(rows) == N_DESCRIPTORS // PER_IMAGE == len(np.unique(rows))
    assert rows.mean() == pytest.approx(2500, abs=5 * 5000 / np.sqrt(12 * len(rows)))
    assert not np.array_equal(rows, images_to_sample(5000, 196, seed=1))
    assert len(images_to_sample(5000, 49, seed=0)) == 1021  # of 49 places each
    assert len(images_to_sample(30, 196, seed=0)) == 30


def test_descriptors_are_places_of_photos_of_unit_length(rng: np.random.Generator) -> None:
    features = rng.normal(size=(3, 5, 12, 12)).astype(np.float32)
    features[0, :, :, :] = 0.0  # a photo of nothing has no directions
    found = sample_descriptors(features, seed=0)
    assert found.shape == (2 * PER_IMAGE, 5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)
    place = features[1].reshape(5, -1).T
    place = place / np.linalg.norm(place, axis=1, keepdims=True)
    assert np.abs(place @ found[0] - 1.0).min() < 1e-6
    assert len(np.unique(found, axis=0)) == len(found)  # each place once at most
