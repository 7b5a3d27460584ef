"""Few labels: subsets that stay the same, the loss, the fusion.

Claims: every class is there and small subsets lie in larger ones; rows are kept in a file that knows
its labels; the loss is the paper's sum; fusion is Bayes' rule by hand, and falls back to the image
where a place is missing, and counts.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from placeprint.encoders.errors import PlaceprintError
from placeprint.encoders.few_labels import (
    Subsets,
    class_balanced_batches,
    class_shares,
    fuse,
    presence_absence_loss,
    stratified_subset,
)

LABELS = np.repeat(["oak", "beech", "yew", "lone"], [100, 37, 4, 1])


# --- subsets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "counts"), [(0.05, [5, 2, 1, 1]), (0.1, [10, 4, 1, 1]), (1.0, [100, 37, 4, 1])]
)
def test_a_subset_has_its_share_of_every_class_and_one_at_least(share: float, counts: list[int]) -> None:
    chosen = LABELS[stratified_subset(LABELS, share, seed=0)]
    assert [int((chosen == label).sum()) for label in ("oak", "beech", "yew", "lone")] == counts


def test_small_subsets_lie_in_larger_ones_and_seeds_differ() -> None:
    by_share = [set(stratified_subset(LABELS, share, seed=1).tolist()) for share in (0.05, 0.1, 0.2, 1.0)]
    assert by_share[0] < by_share[1] < by_share[2] < by_share[3]
    assert by_share[0] != set(stratified_subset(LABELS, 0.05, seed=2).tolist())


def test_a_share_of_nothing_is_refused() -> None:
    for share in (0.0, 1.1, float("nan")):
        with pytest.raises(PlaceprintError, match="share of labels"):
            stratified_subset(LABELS, share, seed=0)


def test_subsets_come_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "subsets.json"
    subsets = Subsets.choose(LABELS, seeds=(0, 7))
    subsets.write(path)
    found = Subsets.read(path, LABELS)
    assert (found.n, set(found.rows), set(found.rows[0.05])) == (142, {0.05, 0.1, 0.2, 1.0}, {0, 7})
    assert np.array_equal(found.rows[0.1][7], stratified_subset(LABELS, 0.1, seed=7))


def test_subsets_of_other_labels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "subsets.json"
    Subsets.choose(LABELS).write(path)
    with pytest.raises(PlaceprintError, match="142 samples of other labels or in another order"):
        Subsets.read(path, LABELS[::-1])


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"format": 1, "n": 1, "labels_sha256": "", "rows": 3}']
)
def test_a_file_of_something_else_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "subsets.json"
    path.write_text(content)
    with pytest.raises(PlaceprintError, match="no file of few-label subsets"):
        Subsets.read(path, LABELS)
    with pytest.raises(PlaceprintError, match="no file of few-label subsets"):
        Subsets.read(tmp_path / "absent.json", LABELS)
    path.write_text(json.dumps({"format": 99}))
    with pytest.raises(PlaceprintError, match="newer Placeprint"):
        Subsets.read(path, LABELS)


def test_balanced_batches_take_at_most_so_many_of_a_class_anew_every_epoch() -> None:
    def epoch(number: int) -> np.ndarray:
        return np.concatenate(list(class_balanced_batches(LABELS, 16, per_class=10, seed=0, epoch=number)))

    rows = epoch(0)
    assert sorted(np.unique(LABELS[rows], return_counts=True)[1].tolist()) == [1, 4, 10, 10]
    assert len(set(rows.tolist())) == len(rows) == 25
    assert set(rows.tolist()) != set(epoch(1).tolist())
    assert np.array_equal(rows, epoch(0))


# --- the loss -------------------------------------------------------------------------------------


def test_the_loss_is_the_papers_sum() -> None:
    torch.manual_seed(0)
    logits, labels, random = (
        torch.randn(5, 3).double(),
        torch.tensor([0, 2, 1, 1, 0]),
        torch.randn(4, 3).double(),
    )
    sigma = lambda s: 1 / (1 + math.exp(-float(s)))  # noqa: E731
    present = sum(
        -3.0 * math.log(sigma(logits[i, y])) if y == labels[i] else -math.log(1 - sigma(logits[i, y]))
        for i in range(5)
        for y in range(3)
    )
    absent = sum(-math.log(1 - sigma(random[i, y])) for i in range(4) for y in range(3))
    assert float(presence_absence_loss(logits, labels)) == pytest.approx(present / 15)
    whole = presence_absence_loss(logits, labels, random, random_weight=0.5)
    assert float(whole) == pytest.approx(present / 15 + 0.5 * absent / 12)


def test_the_weight_of_the_true_class_balances_the_others() -> None:
    # One p for all Q classes costs Q log 1/p + (Q - 1) log 1/(1 - p), least at Q / (2Q - 1).
    n = 10
    p = torch.linspace(0.01, 0.99, 9801, dtype=torch.float64)
    logits = torch.logit(p)[:, None].expand(-1, n)
    costs = torch.stack([presence_absence_loss(one[None], torch.tensor([0])) for one in logits[::20]])
    assert float(p[::20][costs.argmin()]) == pytest.approx(n / (2 * n - 1), abs=0.003)


# --- fusion ---------------------------------------------------------------------------------------


def test_fusion_multiplies_and_renormalizes() -> None:
    fused = fuse([[0.6, 0.4]], [[0.2, 0.8]], [True])
    assert fused.probabilities[0] == pytest.approx([0.12 / 0.44, 0.32 / 0.44])
    assert fused.n_without_place == 0


def test_the_share_of_classes_is_not_counted_twice() -> None:
    # An image and a place that only know how frequent the classes are say no more together.
    share = [0.9, 0.1]
    assert fuse([share], [share], [True], class_share=share).probabilities[0] == pytest.approx(share)
    assert fuse([share], [share], [True]).probabilities[0] == pytest.approx([0.81 / 0.82, 0.01 / 0.82])


def test_fusion_is_bayes_rule_where_image_and_place_are_independent(rng: np.random.Generator) -> None:
    share, image_given, place_given = (
        rng.dirichlet(np.ones(3)),
        rng.dirichlet(np.ones(4), 3),
        rng.dirichlet(np.ones(5), 3),
    )
    of_image = (share[:, None] * image_given)[:, 2]
    of_place = (share[:, None] * place_given)[:, 4]
    both = share * image_given[:, 2] * place_given[:, 4]
    fused = fuse([of_image / of_image.sum()], [of_place / of_place.sum()], [True], class_share=share)
    assert fused.probabilities[0] == pytest.approx(both / both.sum())


def test_a_missing_place_leaves_the_image_alone_and_is_counted() -> None:
    image = np.array([[0.7, 0.3], [0.7, 0.3], [0.7, 0.3]])
    place = np.array([[0.1, 0.9], [np.nan, np.nan], [0.1, 0.9]])
    fused = fuse(image, place, [False, True, True], class_share=[0.5, 0.5])
    assert fused.probabilities[:2] == pytest.approx(image[:2])
    assert fused.probabilities[2, 1] > 0.5
    assert fused.n_without_place == 2


def test_places_that_rule_everything_out_leave_the_image_alone() -> None:
    fused = fuse([[0.7, 0.3], [1.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]], [True, True])
    assert fused.probabilities == pytest.approx(np.array([[0.7, 0.3], [1.0, 0.0]]))
    assert fused.n_without_place == 2


def test_the_weight_says_how_far_to_trust_the_place() -> None:
    image, place = [[0.6, 0.4]], [[0.2, 0.8]]
    assert fuse(image, place, [True], place_weight=0.0).probabilities[0] == pytest.approx([0.6, 0.4])
    half = fuse(image, place, [True], place_weight=0.5).probabilities[0]
    assert half[1] / half[0] == pytest.approx(0.4 / 0.6 * 2.0)


def test_presence_scores_too_small_to_multiply_still_count() -> None:
    fused = fuse([[0.5, 0.5]], [[1e-300, 1e-310]], [True], place_weight=2.0)
    assert fused.probabilities[0, 0] == pytest.approx(1.0)


def test_class_shares_leave_no_class_impossible() -> None:
    assert class_shares([0, 0, 2], 3) == pytest.approx([3 / 6, 1 / 6, 2 / 6])
