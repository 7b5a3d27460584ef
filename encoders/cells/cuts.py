"""Cuts: how a group of units that holds too many points is divided into cells.

A cut has a few centers, each of a child; a point goes to the child of the nearest center. Children
may be cut again, so that the cuts of all groups are a forest whose leaves are the cells. Membership
is a function of the position: no polygon is needed to know it. Several centers may be of one child:
six around a seventh leave a hexagon to it, and what surrounds the hexagon is one child too.

Letters: N nodes (first the G groups, then all children), K centers, C cells, n points.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sphere import unit_vectors

_Floats = NDArray[np.float64]
_Numbers = NDArray[np.intp]


@dataclass(frozen=True)
class Cut:
    """One division.

    Attributes:
        lonlat: the centers, (k, 2) degrees, in steps of 1e-7.
        child: which child each is of, 0, 1, …, (k,).
    """

    lonlat: _Floats
    child: _Numbers

    @property
    def n_children(self) -> int:
        """How many parts there are."""
        return int(self.child.max()) + 1

    def child_of(self, vectors: _Floats) -> _Numbers:
        """The child of each point, unit vectors (n, 3) -> (n,); of equally near centers the first."""
        child: _Numbers = self.child[nearest_center(vectors, self.lonlat)]
        return child


def nearest_center(vectors: _Floats, centers: _Floats) -> _Numbers:
    """The nearest of a few centers (k, 2) to each point (n, 3); the first of equally near ones."""
    # Differences keep what a scalar product of nearly equal vectors would round away.
    squares = np.stack([((vectors - center) ** 2).sum(axis=1) for center in unit_vectors(centers)], axis=1)
    nearest: _Numbers = np.argmin(squares, axis=1).astype(np.intp)
    return nearest


@dataclass(frozen=True)
class CutForest:
    """All cuts, as columns.

    Attributes:
        parent: node that a center belongs to, (K,), ascending.
        child: node that its points go to, (K,).
        lonlat: the centers, (K, 2) degrees.
        cell: row of the cell that a node is, or -1 where it is cut, (N,).
    """

    parent: _Numbers
    child: _Numbers
    lonlat: _Floats
    cell: _Numbers

    @property
    def n_cells(self) -> int:
        """How many leaves there are, C."""
        return int(self.cell.max()) + 1

    def cut_of(self, node: int) -> Cut:
        """The cut of a node; its children are numbered from 0 in the order of `children_of`."""
        rows = self._rows(node)
        _, child = np.unique(self.child[rows], return_inverse=True)
        return Cut(self.lonlat[rows], child.astype(np.intp))

    def children_of(self, node: int) -> _Numbers:
        """The children of a node, ascending; none where it is a cell."""
        return np.unique(self.child[self._rows(node)])

    def _rows(self, node: int) -> slice:
        return slice(*np.searchsorted(self.parent, [node, node + 1]))

    def cells_of(self, node: _Numbers, vectors: _Floats) -> _Numbers:
        """Rows of the cells of points.

        Args:
            node: the group that each point is in, (n,). Not changed.
            vectors: the points, (n, 3).
        """
        node = node.copy()
        waiting = np.flatnonzero(self.cell[node] < 0)
        while waiting.size:
            waiting = waiting[np.argsort(node[waiting], kind="stable")]
            for rows in runs(waiting, node[waiting]):
                here = int(node[rows[0]])
                node[rows] = self.children_of(here)[self.cut_of(here).child_of(vectors[rows])]
            waiting = waiting[self.cell[node[waiting]] < 0]
        return self.cell[node]


def runs(rows: _Numbers, key: _Numbers) -> Iterator[_Numbers]:
    """The rows of each value of a sorted key, one after the other."""
    if rows.size:
        yield from np.split(rows, np.flatnonzero(np.diff(key)) + 1)
