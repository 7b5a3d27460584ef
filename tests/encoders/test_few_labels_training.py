"""Priors of places and probes of images, fitted on few labels.

Claims: a prior learns where classes are, across the antimeridian; the weight of the presence loss is
taken out of its answers; what is not to be trained is not; a pre-trained encoder is left as it was;
photos without a place get no answer; classes without a sample get no probability.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from placeprint.encoders.errors import InvalidCoordinate, PlaceprintError
from placeprint.encoders.few_labels_training import ImageProbe, PlacePrior, PriorRun
from placeprint.encoders.location import LocationEncoder
from placeprint.encoders.sphere import uniform_on_sphere

RUN = PriorRun(epochs=60, learning_rate=0.02, encoder_learning_rate=0.005, batch_size=128)


def encoder(seed: int = 0) -> LocationEncoder:
    return LocationEncoder("xyz", dimension=16, network_options={"hidden": 32, "dropout": 0.0}, seed=seed)


def sides(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The half of the Earth around the antimeridian is class 1, the other class 0."""
    lonlat = uniform_on_sphere(n, np.random.default_rng(seed))
    return lonlat, (np.abs(lonlat[:, 0]) > 90).astype(int)


@pytest.mark.parametrize("loss", ["softmax", "presence"])
def test_a_prior_learns_where_classes_are(loss: str) -> None:
    prior = PlacePrior.fit(encoder(), *sides(300), 2, replace(RUN, loss=loss))
    lonlat, labels = sides(500, seed=1)
    assert (prior.probabilities(lonlat).argmax(axis=1) == labels).mean() > 0.93
    both = prior.probabilities([[179.99, 5.0], [-179.99, 5.0]])
    assert both[0] == pytest.approx(both[1], abs=0.01)
    assert both[0, 1] > 20 * both[0, 0]  # presence is half there: as many random places as photos


def test_presence_scores_are_shares_once_the_weight_is_taken_out() -> None:
    # One place, classes of 3 : 1; without absence at random places the optimum is the share itself.
    lonlat, labels = np.tile([10.0, 20.0], (400, 1)), np.repeat([0, 1], [300, 100])
    run = replace(RUN, loss="presence", random_weight=0.0, epochs=300, batch_size=400)
    prior = PlacePrior.fit(encoder(), lonlat, labels, 2, run)
    assert prior.probabilities(lonlat[:1])[0] == pytest.approx([0.75, 0.25], abs=0.02)
    raw = prior.probabilities(lonlat[:1], is_raw=True)[0]
    assert raw == pytest.approx([1.5 / 1.75, 0.5 / 1.25], abs=0.02)  # 2q / (2q + 1 - q)


def test_fits_are_deterministic_and_leave_encoder_and_generator_as_they_were() -> None:
    start = encoder()
    before = {name: value.clone() for name, value in start.state_dict().items()}
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    first, second = (PlacePrior.fit(start, *sides(50), 2, replace(RUN, epochs=3)) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())
    points = sides(20, seed=2)[0]
    assert np.array_equal(first.probabilities(points), second.probabilities(points))


def test_a_frozen_encoder_stays_while_its_head_learns() -> None:
    start = encoder()
    prior = PlacePrior.fit(start, *sides(100), 2, replace(RUN, trains_encoder=False))
    points = sides(20, seed=2)[0]
    assert np.array_equal(prior.location.encode(points), start.encode(points))
    moved = PlacePrior.fit(start, *sides(100), 2, replace(RUN, epochs=3))
    assert not np.array_equal(moved.location.encode(points), start.encode(points))


def test_balanced_sampling_lets_a_rare_class_speak() -> None:
    lonlat, labels = np.tile([10.0, 20.0], (220, 1)), np.repeat([0, 1], [200, 20])
    run = replace(RUN, loss="softmax", is_balanced=True, per_class=20, epochs=200)
    rare = PlacePrior.fit(encoder(), lonlat, labels, 2, run).probabilities(lonlat[:1])[0, 1]
    assert rare == pytest.approx(0.5, abs=0.05)


def test_a_photo_without_a_place_gets_no_answer() -> None:
    prior = PlacePrior.fit(encoder(), *sides(50), 2, replace(RUN, epochs=2))
    answers = prior.probabilities([[np.nan, np.nan], [10.0, 20.0], [np.nan, 3.0]])
    assert np.isnan(answers[[0, 2]]).all() and np.isfinite(answers[1]).all()
    with pytest.raises(InvalidCoordinate):
        prior.probabilities([[10.0, 95.0]])


def test_labels_and_places_are_checked() -> None:
    lonlat, labels = sides(10)
    with pytest.raises(PlaceprintError, match=r"0\.\.1"):
        PlacePrior.fit(encoder(), lonlat, labels + 5, 2, RUN)
    with pytest.raises(PlaceprintError, match="row of integers"):
        PlacePrior.fit(encoder(), lonlat, labels.astype(str), 2, RUN)
    with pytest.raises(PlaceprintError, match="9 places and 10 labels"):
        PlacePrior.fit(encoder(), lonlat[:9], labels, 2, RUN)
    with pytest.raises(InvalidCoordinate):
        PlacePrior.fit(encoder(), np.full((10, 2), np.nan), labels, 2, RUN)


def test_a_probe_gives_probabilities_to_the_classes_it_has_seen(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 200) * 2  # of three classes, 0 and 2
    images = (rng.normal(size=(200, 5)) * 0.3 + labels[:, None]).astype(np.float32)
    answers = ImageProbe(images, labels, 3).probabilities(images)
    assert answers.shape == (200, 3) and answers.sum(axis=1) == pytest.approx(np.ones(200))
    assert (answers[:, 1] == 0).all() and (answers.argmax(axis=1) == labels).mean() > 0.95


def test_a_probe_of_one_class_says_that_class() -> None:
    answers = ImageProbe(np.ones((3, 2), np.float32), [1, 1, 1], 2).probabilities(
        np.zeros((4, 2), np.float32)
    )
    assert np.array_equal(answers, np.tile([0.0, 1.0], (4, 1)))


def test_a_probe_takes_a_single_label_of_every_class(rng: np.random.Generator) -> None:
    images = np.eye(8, dtype=np.float32)[:6]
    assert (ImageProbe(images, np.arange(6), 6).probabilities(images).argmax(axis=1) == np.arange(6)).all()
