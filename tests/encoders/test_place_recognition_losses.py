"""The losses against plain loops and closed forms, the margin of squared distances, and what is mined."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from place_recognition_fakes import walk

from placeprint.encoders.place_recognition.losses import multi_similarity_loss, weak_triplet_loss
from placeprint.encoders.place_recognition.mining import mine, order_of, views_of
from placeprint.encoders.place_recognition.photos import PlacePhotos
from placeprint.encoders.place_recognition.relations import Relations
from placeprint.encoders.place_recognition.settings import PlaceRun
from placeprint.encoders.sphere import destination


def at_distance(distance: float) -> torch.Tensor:
    """A unit vector so far from (1, 0)."""
    angle = 2.0 * np.arcsin(distance / 2.0)
    return torch.tensor([np.cos(angle), np.sin(angle)])


@pytest.mark.parametrize(("distance", "is_active"), [(1.04, True), (1.05, False), (1.3, False)])
def test_the_margin_is_of_squared_distances(distance: float, is_active: bool) -> None:
    # Of plain distances with a margin of √0.1, negatives would give a gradient up to 1.316.
    query, negative = torch.tensor([1.0, 0.0], dtype=torch.float64), at_distance(distance).requires_grad_()
    loss = weak_triplet_loss(query, at_distance(1.0)[None], negative[None], margin=0.1)
    loss.backward()
    assert negative.grad is not None
    assert bool(negative.grad.any()) is is_active
    assert loss.item() == pytest.approx(max(0.0, 1.1 - distance**2), abs=1e-9)


def test_the_positive_is_the_nearest_embedding_and_negatives_are_summed() -> None:
    query = torch.tensor([1.0, 0.0], dtype=torch.float64)
    positives = torch.stack([at_distance(1.2), at_distance(0.5)])
    negatives = torch.stack([at_distance(0.4), at_distance(0.55), at_distance(1.5)])
    expected = (0.25 + 0.1 - 0.16) + (0.25 + 0.1 - 0.3025)
    assert float(weak_triplet_loss(query, positives, negatives)) == pytest.approx(expected, abs=1e-9)
    assert float(weak_triplet_loss(query, positives, negatives[:0])) == 0.0


def similarity_by_loop(x: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    """The formulas of the paper with α = 2, β = 40, λ = 0.4, ε = 0.1, one pair at a time."""
    s, losses = x @ x.T, []
    for i in range(len(x)):
        p = [k for k in range(len(x)) if positive[i, k]]
        n = [k for k in range(len(x)) if negative[i, k]]
        if not p or not n:
            continue
        hard_p = [k for k in p if s[i, k] < max(s[i, j] for j in n) + 0.1]
        hard_n = [k for k in n if s[i, k] > min(s[i, j] for j in p) - 0.1]
        pull = np.log(1 + sum(np.exp(-2.0 * (s[i, k] - 0.4)) for k in hard_p)) / 2.0
        push = np.log(1 + sum(np.exp(40.0 * (s[i, k] - 0.4)) for k in hard_n)) / 40.0
        losses.append(pull + push)
    return float(np.mean(losses))


def test_multi_similarity_is_the_loop(rng: np.random.Generator) -> None:
    for _ in range(8):  # so that some pairs lie within the margin of the mining
        x = F.normalize(torch.from_numpy(rng.normal(size=(12, 4)) + 0.5), dim=1)
        place = rng.integers(0, 4, 12)
        positive = (place[:, None] == place) & ~np.eye(12, dtype=bool)
        negative = (place[:, None] != place) & (rng.uniform(size=(12, 12)) < 0.8)  # some pairs say nothing
        masks = torch.from_numpy(positive), torch.from_numpy(negative)
        found = multi_similarity_loss(x, *masks, alpha=2.0, beta=40.0, base=0.4, margin=0.1)
        assert float(found) == pytest.approx(similarity_by_loop(x.numpy(), positive, negative), rel=1e-9)


def test_places_far_apart_cost_nothing_and_pairs_without_a_word_neither() -> None:
    x = torch.eye(4)[[0, 0, 1, 1]]
    same = (torch.tensor([0, 0, 1, 1])[:, None] == torch.tensor([0, 0, 1, 1])) & ~torch.eye(
        4, dtype=torch.bool
    )
    apart = ~same & ~torch.eye(4, dtype=torch.bool)
    assert float(multi_similarity_loss(x, same, apart)) == 0.0
    none = torch.zeros(4, 4, dtype=torch.bool)
    assert float(multi_similarity_loss(x, same, none)) == float(multi_similarity_loss(x, none, apart)) == 0.0


def test_a_gradient_pulls_places_together_and_pushes_others_away() -> None:
    x = F.normalize(torch.tensor([[1.0, 0.2], [1.0, -0.2], [0.9, 0.5]]), dim=1).requires_grad_()
    positive = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    negative = torch.tensor([[0, 0, 1], [0, 0, 1], [1, 1, 0]], dtype=torch.bool)
    multi_similarity_loss(x, positive, negative).backward()
    assert x.grad is not None and bool(torch.isfinite(x.grad).all())
    assert float(x.grad[2] @ x[0].detach()) > 0.0  # away from the others


# --- mining --------------------------------------------------------------------------------------------


@pytest.fixture
def relations() -> Relations:
    """Sixty places, each seen twice, 5 m apart: rows i and 60 + i."""
    lonlat = np.concatenate([walk(60), destination(walk(60), 0.0, np.full(60, 0.005))])
    return Relations(PlacePhotos.of([f"{row}" for row in range(120)], lonlat), PlaceRun().nearness)


@pytest.fixture
def embeddings(rng: np.random.Generator) -> np.ndarray:
    x = rng.normal(size=(120, 6))
    found: np.ndarray = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return found


NOTHING = np.full(10, -1, np.intp)


def test_negatives_are_the_hardest_that_violate_the_margin(
    relations: Relations, embeddings: np.ndarray
) -> None:
    run = PlaceRun(n_random=1000, n_negatives=4, n_remembered=10)
    found, memory = mine(7, embeddings, relations, NOTHING, run, epoch=0)
    assert found is not None and (found.query, found.positive) == (7, 67)
    d2 = ((embeddings - embeddings[7]) ** 2).sum(axis=1)
    others = [row for row in np.argsort(d2, kind="stable") if row not in (7, 67)]
    assert found.negatives.tolist() == others[:4] and memory.tolist() == others[:10]
    assert (d2[found.negatives] < d2[67] + 0.1).all()


def test_a_query_that_nothing_violates_is_skipped_and_still_remembers(
    relations: Relations, embeddings: np.ndarray
) -> None:
    embeddings[67] = embeddings[7]
    d2 = ((embeddings - embeddings[7]) ** 2).sum(axis=1)
    margin = 0.5 * float(np.sort(d2)[2])
    found, memory = mine(7, embeddings, relations, NOTHING, PlaceRun(triplet_margin=margin), epoch=0)
    assert found is None and (memory >= 0).all()


def test_the_positive_is_the_best_by_embedding_not_by_way(rng: np.random.Generator) -> None:
    lonlat = np.concatenate(
        [walk(1), destination(walk(1), 0.0, 0.002), destination(walk(1), 0.0, 0.009), walk(3)[1:]]
    )
    relations = Relations(PlacePhotos.of(list("abcde"), lonlat), PlaceRun().nearness)
    embeddings = np.array([[1, 0], [0, 1], [0.8, 0.6], [0.6, 0.8], [0, -1]], np.float32)
    found, _ = mine(0, embeddings, relations, NOTHING, PlaceRun(triplet_margin=1.0), epoch=0)
    assert found is not None and found.positive == 2  # 9 m away, not the one at 2 m


def test_remembered_negatives_come_back_and_near_photos_never(
    relations: Relations, embeddings: np.ndarray
) -> None:
    run = PlaceRun(n_random=1, triplet_margin=10.0)
    remembered = np.array([30, 31, *[-1] * 8])
    seen: set[int] = set()
    for epoch in range(40):
        found, _ = mine(7, embeddings, relations, remembered, run, epoch=epoch)
        assert found is not None and {30, 31} <= set(found.negatives.tolist())
        seen |= set(found.negatives.tolist())
        assert len(found.negatives) <= 3 and not {7, 67} & set(found.negatives.tolist())
    assert len(seen) > 15  # the random one changes with the epoch


def test_a_batch_is_places_and_views_of_them(relations: Relations) -> None:
    anchors = np.array([3, 40, 99])
    rows = views_of(anchors, relations, 3, seed=0, step=5)
    assert rows.tolist() == [3, 39, 40, 63, 99, 100]
    assert views_of(np.array([3, 63]), relations, 2, seed=0, step=5).tolist() == [3, 63]


def test_every_query_comes_once_an_epoch_and_the_order_is_the_seeds() -> None:
    queries = np.arange(10, 60)
    first = order_of(queries, seed=0, epoch=0)
    assert sorted(first) == queries.tolist()
    assert first.tolist() == order_of(queries, seed=0, epoch=0).tolist()
    assert first.tolist() != order_of(queries, seed=0, epoch=1).tolist()
    assert first.tolist() != order_of(queries, seed=1, epoch=0).tolist()
