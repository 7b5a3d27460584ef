"""Folds of cross-validation: a label for each row, drawn from the rows' order or from blocks of the map.

Rows keep the order of their file: the same rows shuffled fall into other random folds. Points near
each other know each other's answer, so random folds tell how well gaps between labels are filled, and
blocks how well a place is read that has no labels around it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidProbe
from ..sphere import as_lonlat

N_FOLDS = 5

Folds = NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """A way to make folds: at random, or by cells of some degrees."""

    degrees: float | None = None

    @classmethod
    def named(cls, name: str) -> Split:
        """Read "random", "block1", "block10", "block2.5".

        Raises:
            InvalidProbe: for any other name.
        """
        match = re.fullmatch(r"block(\d+(?:\.\d+)?)", name)
        if name == "random":
            return cls()
        if match is None or not 0.0 < float(match[1]) <= 90.0:
            raise InvalidProbe(
                f"no split {name!r}: there are random, and block1 to block90 (cells of so many degrees)"
            )
        return cls(float(match[1]))

    @property
    def name(self) -> str:
        """As `named` reads it."""
        return "random" if self.degrees is None else f"block{self.degrees:g}"

    @property
    def title(self) -> str:
        """For tables."""
        return "random" if self.degrees is None else f"{self.degrees:g}° blocks"

    def folds(self, lonlat: ArrayLike, *, seed: int = 0) -> Folds:
        """Fold of each row, (N, 2) -> (N,)."""
        if self.degrees is None:
            return random_folds(len(np.asarray(lonlat)), seed=seed)
        return block_folds(lonlat, self.degrees, seed=seed)


def random_folds(n: int, *, n_folds: int = N_FOLDS, seed: int = 0) -> Folds:
    """Fold of each of n rows: fold i takes every n_folds-th of a permutation, from its i-th on."""
    folds = np.empty(n, dtype=np.intp)
    folds[np.random.default_rng(seed).permutation(n)] = np.arange(n) % n_folds
    return folds


def block_folds(lonlat: ArrayLike, degrees: float = 10.0, *, n_folds: int = N_FOLDS, seed: int = 0) -> Folds:
    """Fold of each row such that a cell of `degrees` by `degrees` is never divided: (N, 2) -> (N,).

    Cells get their folds by a permutation, whatever they hold, so that folds differ in size, and a
    small region may leave some of them empty: California has three at 10 degrees.
    """
    cells = block_cells(lonlat, degrees)
    known, inverse = np.unique(cells, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(known))
    return np.asarray(order % n_folds, dtype=np.intp)[inverse]


def block_cells(lonlat: ArrayLike, degrees: float) -> NDArray[np.int64]:
    """Number of the cell that holds each point, as CoordBench counts them: (N, 2) -> (N,)."""
    places = as_lonlat(lonlat)
    rows, columns = (np.floor(places[:, axis] / degrees).astype(np.int64) for axis in (1, 0))
    return rows * 100_003 + columns
