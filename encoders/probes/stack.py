"""The strongest honest reading of labels: an embedding's ridge prediction and labeled neighbors, stacked.

Level 1 makes predictions for the training rows, each held out the way the test rows are: means of labeled
neighbors, kriging of the labels, by place and by place and embedding together, a ridge probe of the
embedding, and the same with what it leaves over kriged. Level 2 is a ridge regression on these predictions,
and on their products with the distance to the neighbors, so that it learns how far neighbors are to be
trusted. All of it, down to penalties, ranges and nuggets, is fitted on training rows alone; the test rows
are scored once.

Classes share the weights of level 2: the frequency of a class among neighbors means the same whatever the
class, and a few candidates are weighed for each row.

Letters: N rows, n training rows, Q rows asked about, T target columns (1, or the candidates), M
predictions, K neighbors, C context columns, P columns of level 2, A penalties, F inner folds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .boost import Table, boosted_correction
from .folds import Folds, Split
from .level1 import Fold, Labeled, Predictions, neighbor_predictions
from .probe import ProbeScore, scored
from .residuals import with_embedding
from .ridge import ALPHAS, Floats, Moments, RidgePath, center_and_scale, chunk_moments, chunks, total_of

CHUNK = 2048  # rows whose columns of level 2 are held at one time


def stacked_scores(
    embeddings: Mapping[str | None, NDArray[np.float32] | None],
    y: ArrayLike,
    lonlat: Floats,
    split: Split,
    *,
    classification: bool = False,
    boosted: Collection[str | None] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[tuple[str | None, bool], ProbeScore]:
    """Score the stack of labeled neighbors and an embedding, for one or several of these.

    Args:
        embeddings: features of each by name, (N, D); None for neighbors alone. They share the neighbors.
        y: values or labels of classes, (N,).
        lonlat: places, (N, 2).
        split: how folds are made; the inner ones are made the same way within the training rows.
        classification: labels are classes.
        boosted: names that get boosted trees on top of the stack, besides; for quantities only.
        progress: called with the fits done and their number.

    Returns:
        Scores by name and whether they are boosted.

    Raises:
        InvalidProbe: if there are too few rows, or too few blocks, for folds within folds.
    """
    labeled = Labeled.of(lonlat, y, classification)
    folds = split.folds(lonlat)
    used = np.unique(folds)
    kind = np.intp if classification else np.float64
    predictions = {(name, False): np.zeros(len(lonlat), dtype=kind) for name in embeddings}
    predictions |= {(name, True): np.zeros(len(lonlat), dtype=kind) for name in boosted}
    n_fits = len(used) * len(embeddings)
    for done, number in enumerate(used):
        fold = Fold.of(labeled, folds, int(number), split)
        held_out, asked = neighbor_predictions(fold)
        for place, (name, features) in enumerate(embeddings.items()):
            progress(done * len(embeddings) + place, n_fits)
            seen, told = held_out, asked
            if features is not None:
                seen, told = with_embedding(fold, features, held_out, asked)
            stack = fit_level_2(labeled, seen, fold.train, fold.inner)
            predictions[name, False][fold.test] = stack.predict(told, classification)
            if name in boosted:
                table = Table.of(fold, seen, told, features)
                more = boosted_correction(fold, table, stack.held_out)
                predictions[name, True][fold.test] = predictions[name, False][fold.test] + more
    progress(n_fits, n_fits)
    return {key: scored(said, y, folds, classification) for key, said in predictions.items()}


@dataclass(frozen=True, eq=False)
class Stack:
    """Level 2: ridge weights on some of the columns of level 1, at one penalty.

    Attributes:
        columns: which ones.
        path: the weights.
        held_out: values of the training rows by weights fitted without their inner fold, (n,); of
            classes none, (0,).
    """

    columns: NDArray[np.intp]
    path: RidgePath
    held_out: Floats

    def predict(self, level_1: Predictions, is_class: bool) -> NDArray[np.float64] | NDArray[np.intp]:
        """Values, or codes of the largest class, (Q,)."""
        values, candidates = _values(level_1, self.columns, self.path, np.arange(len(level_1)))
        if not is_class:
            return values[:, 0]
        return np.take_along_axis(candidates, values.argmax(axis=1)[:, None], axis=1)[:, 0]


def fit_level_2(labeled: Labeled, held_out: Predictions, train: NDArray[np.intp], inner: Folds) -> Stack:
    """Fit level 2 on held-out predictions; design and penalty are chosen across the inner folds."""
    moments = _moments(labeled, held_out, train, inner)
    designs = held_out.designs()
    design, penalty = _simplest(np.stack([_errors(moments, columns) for columns in designs]))
    columns, best = designs[design], ALPHAS[[penalty]]

    def solved(hidden: int | None) -> RidgePath:
        rest = total_of(one for name, one in moments.items() if name != hidden)
        return rest.take(columns).ridge(best, penalized_intercept=False)

    values = np.zeros(0 if labeled.is_class else len(train))
    for name in moments if len(values) else ():
        rows = np.flatnonzero(inner == name)
        values[rows] = _values(held_out, columns, solved(name), rows)[0][:, 0]
    return Stack(columns, solved(None), values)


def _values(
    level_1: Predictions, columns: NDArray[np.intp], path: RidgePath, rows: NDArray[np.intp]
) -> tuple[Floats, NDArray[np.intp]]:
    """What level 2 predicts of the candidates for some rows, and which these are, (q, T) each."""
    values, classes = [], []
    for part in chunks(rows, CHUNK):
        candidates = level_1.candidates(part)
        design = level_1.design(part, candidates)  # (q, T, P)
        flat = path.predict(design.reshape(-1, design.shape[2])[:, columns])[:, 0, 0]
        values.append(flat.reshape(design.shape[:2]))
        classes.append(candidates)
    return np.concatenate(values), np.concatenate(classes)


def _moments(
    labeled: Labeled, held_out: Predictions, train: NDArray[np.intp], inner: Folds
) -> dict[int, Moments]:
    """Moments of the columns of level 2 for each inner fold; a row for each row and candidate."""
    some = np.random.default_rng(0).permutation(len(train))[:CHUNK]
    sample = held_out.design(some, held_out.candidates(some))
    shift, scale = center_and_scale(sample.reshape(-1, sample.shape[2]))
    moments: dict[int, Moments] = {}
    for fold in np.unique(inner):
        for part in chunks(np.flatnonzero(inner == fold), CHUNK):
            candidates = held_out.candidates(part)
            design = held_out.design(part, candidates)
            truth = labeled.truth(train[part], candidates).reshape(-1, 1)
            chunk = chunk_moments(design.reshape(-1, design.shape[2]), truth, shift, scale)
            moments[int(fold)] = moments[int(fold)] + chunk if int(fold) in moments else chunk
    return moments


def _errors(moments: dict[int, Moments], columns: NDArray[np.intp]) -> Floats:
    """Squared error of each penalty in each inner fold, by weights of the others, (A, F)."""
    some = {fold: one.take(columns) for fold, one in moments.items()}
    errors = []
    for fold, one in some.items():
        rest = total_of(other for name, other in some.items() if name != fold)
        errors.append(one.squared_error(rest.ridge(ALPHAS, penalized_intercept=False)))
    return np.stack(errors, axis=1)


def _simplest(errors: Floats) -> tuple[int, int]:
    """The simplest design, and its largest penalty, hardly worse than the best: by half a standard error.

    Neighbors are mutual: a row's label is among the predictions for its neighbors in other folds. So
    chance likeness of neighbors is seen on both sides of an inner split, and the least error is not to
    be taken at its word. The standard error is that of the paired differences over the inner folds.

    Args:
        errors: of designs, simplest first, penalties, smallest first, and inner folds: (designs, A, F).
    """
    total = errors.sum(axis=2)
    best = np.unravel_index(int(total.argmin()), total.shape)
    more = errors - errors[best]
    n_folds = errors.shape[2]
    allowed = more.sum(axis=2) <= 0.5 * np.sqrt(n_folds) * more.std(axis=2, ddof=1)
    allowed[best] = True
    design = int(np.flatnonzero(allowed.any(axis=1))[0])
    return design, int(np.flatnonzero(allowed[design])[-1])
