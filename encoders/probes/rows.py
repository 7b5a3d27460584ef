"""The rows of the benchmark: what reads the labels, from four numbers of the coordinates to ours.

A row is named METHOD, ENCODER or ENCODER+METHOD:

- ``knn5``: mean (or vote) of the five nearest labeled rows; ``idw10``: of ten, by inverse distance;
- ``neighbors``: the stack of labeled neighbors alone; ``boosting``: with boosted trees on top;
- ``ENCODER``: ridge probe of its embedding, the published protocol;
- ``ENCODER+knn5``: vote of the five nearest in the embedding, for classes;
- ``ENCODER+neighbors``, ``ENCODER+boosting``: embedding and labeled neighbors stacked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ..errors import InvalidProbe
from ..sphere import unit_vectors
from .folds import Folds
from .probe import ProbeScore, scored

Method = Literal["ridge", "knn5", "idw10", "neighbors", "boosting"]

OURS = "placeprint-location-v1"
UNTRAINED = ("sincos", "rff-equal-earth", "sh-10", "sh-20")
PLAIN: tuple[Method, ...] = ("knn5", "idw10", "neighbors", "boosting")


@dataclass(frozen=True)
class Row:
    """One way to read labels: a method, and the encoder whose embedding it sees, if any."""

    method: Method
    encoder: str | None = None

    @classmethod
    def named(cls, name: str) -> Row:
        """Read a row's name.

        Raises:
            InvalidProbe: if it has no encoder, nor a method that needs none.
        """
        for method in PLAIN:
            if name == method:
                return cls(method)
            if name.endswith(f"+{method}"):
                if method == "idw10" or not (encoder := name.removesuffix(f"+{method}")):
                    raise InvalidProbe(f"no row {name!r}: write ENCODER+knn5, ENCODER+neighbors, idw10, …")
                return cls(method, encoder)
        if not name:
            raise InvalidProbe(f"a row has no name; there are {', '.join(PLAIN)} and names of encoders")
        return cls("ridge", name)

    @property
    def name(self) -> str:
        """As `named` reads it."""
        if self.encoder is None:
            return self.method
        return self.encoder if self.method == "ridge" else f"{self.encoder}+{self.method}"

    @property
    def is_baseline(self) -> bool:
        """Whether nothing in it was ever trained but on the task's own training rows."""
        return self.encoder is None or self.encoder in UNTRAINED

    def suits(self, *, is_class: bool) -> bool:
        """Whether the row is for this kind of label: trees are for quantities, votes for classes."""
        if self.method == "boosting":
            return not is_class
        return is_class or self.method != "knn5" or self.encoder is None


def default_rows(encoders: Iterable[str] = ()) -> list[Row]:
    """All baselines and ours, and two or three rows for each encoder more."""
    names = ["knn5", "idw10", "neighbors", "boosting", "sincos", "sincos+knn5", *UNTRAINED[1:]]
    for encoder in dict.fromkeys((OURS, *encoders)):
        names += [encoder, f"{encoder}+knn5", f"{encoder}+neighbors"]
    return [Row.named(name) for name in [*names, f"{OURS}+boosting"]]


def nearest_labels(
    y: ArrayLike, lonlat: NDArray[np.float64], folds: Folds, *, k: int, is_weighted: bool, is_class: bool
) -> ProbeScore:
    """Score the mean, or the vote, of the k nearest training rows.

    Args:
        y: values or labels of classes, (N,).
        lonlat: places, (N, 2).
        folds: label of each row's fold, (N,).
        k: neighbors.
        is_weighted: by 1 / (d + 1e-6), d being the straight distance on the unit sphere; else equally.
        is_class: labels are classes; a tie goes to the one that sorts first.
    """
    names, codes = np.unique(np.asarray(y), return_inverse=True) if is_class else (None, None)
    xyz = unit_vectors(lonlat)
    predictions = np.zeros(len(lonlat), dtype=np.intp if is_class else np.float64)
    for fold in np.unique(folds):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        apart, near = cKDTree(xyz[train]).query(xyz[test], k=np.arange(1, min(k, len(train)) + 1))
        weights = 1.0 / (apart + 1e-6) if is_weighted else np.ones_like(apart)
        if names is None or codes is None:
            values = np.asarray(y, dtype=np.float64)[train[near]]
            predictions[test] = (weights * values).sum(axis=1) / weights.sum(axis=1)
        else:
            votes = np.zeros((len(test), len(names)))
            np.add.at(votes, (np.arange(len(test))[:, None], codes[train[near]]), weights)
            predictions[test] = votes.argmax(axis=1)
    return scored(predictions, y, folds, is_class)
