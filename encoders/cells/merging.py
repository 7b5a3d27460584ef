"""Merge units until each cell has enough points: never across a country, rarely across an admin-1.

The order is that of PIGEON (Haas et al. 2024, arXiv:2307.05845): a cell with too few points joins
the largest neighbor of the first kind that there is: a small one in its admin-1, any one in its
admin-1, a small one of its country, any one of its country. Ours: the smallest cell comes first, ties
go by number, and nothing is drawn; units without a point join a cell beforehand, along the shortest
way through their admin-1 or else their country; an island takes the nearest cell, and nothing is
left out. Letters: U units, G groups.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .units import Units

Admin1Policy: TypeAlias = Literal["prefer", "strict"]
_Numbers = NDArray[np.intp]
_Key: TypeAlias = tuple[str, ...]


def merge_units(
    units: Units,
    n_points: _Numbers,
    *,
    min_points: int,
    admin1_policy: Admin1Policy = "prefer",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> _Numbers:
    """The group of each unit, numbered in the order of their first units: (U,).

    Args:
        units: what to merge.
        n_points: training points in each, (U,).
        min_points: a cell with fewer wants a neighbor.
        admin1_policy: ``strict`` keeps every cell in its admin-1, however small it stays.
        progress: told how many of the cells that are too small have been dealt with.
    """
    first = _with_empty_units(units, n_points, admin1_policy)
    merger = _Merger(units, n_points, first, min_points, admin1_policy)
    merger.run(progress)
    _, group = np.unique([merger.find(int(unit)) for unit in first], return_inverse=True)
    # Groups are named by their first unit, whatever the order of merging was.
    _, order = np.unique(group, return_index=True)
    rank = np.empty(len(order), dtype=np.intp)
    rank[np.argsort(order)] = np.arange(len(order))
    return rank[group]


def _with_empty_units(units: Units, n_points: _Numbers, policy: Admin1Policy) -> _Numbers:
    """For each unit one with points to which it belongs; for those of a scope without any its first."""
    home = np.where(n_points > 0, np.arange(len(units)), -1)
    scopes: list[list[_Key]] = [_keys(units, by_admin1=True)]
    scopes += [_keys(units, by_admin1=False)] if policy == "prefer" else []
    for scope in scopes:
        _spread(units, home, scope)
        _join_nearest(units, home, scope)
    firsts: dict[_Key, int] = {}
    for unit in np.flatnonzero(home < 0):
        home[unit] = firsts.setdefault(scopes[-1][unit], int(unit))
    return home


def _keys(units: Units, *, by_admin1: bool) -> list[_Key]:
    if by_admin1:
        return list(zip(units.country, units.admin1, strict=True))
    return [(country,) for country in units.country]


def _spread(units: Units, home: _Numbers, scope: list[_Key]) -> None:
    """Dijkstra from all units with a home to the others of their scope, through neighbors."""
    neighbors = defaultdict(list)
    chord = np.linalg.norm(units.center[units.adjacent[:, 0]] - units.center[units.adjacent[:, 1]], axis=1)
    for (a, b), length in zip(units.adjacent.tolist(), chord.tolist(), strict=True):
        if scope[a] == scope[b]:
            neighbors[a].append((b, length))
            neighbors[b].append((a, length))
    done = home >= 0
    heap = [
        (length, int(home[unit]), other)
        for unit in np.flatnonzero(done).tolist()
        for other, length in neighbors[unit]
        if not done[other]
    ]
    heapq.heapify(heap)
    while heap:
        way, origin, unit = heapq.heappop(heap)
        if done[unit]:
            continue
        home[unit], done[unit] = origin, True
        for other, length in neighbors[unit]:
            if not done[other]:
                heapq.heappush(heap, (way + length, origin, other))


def _join_nearest(units: Units, home: _Numbers, scope: list[_Key]) -> None:
    """Units that no way leads to, islands of their scope, take the nearest one with a home."""
    placed = defaultdict(list)
    for unit in np.flatnonzero(home >= 0).tolist():
        placed[scope[unit]].append(unit)
    for unit in np.flatnonzero(home < 0).tolist():
        if candidates := placed.get(scope[unit]):
            chord = np.linalg.norm(units.center[candidates] - units.center[unit], axis=1)
            home[unit] = home[candidates[int(np.argmin(chord))]]


class _Merger:
    """Cells while they grow. A cell is called by the lowest of its units."""

    def __init__(
        self, units: Units, n_points: _Numbers, home: _Numbers, min_points: int, policy: Admin1Policy
    ) -> None:
        cells = np.unique(home).tolist()
        self._units, self._min, self._policy = units, min_points, policy
        self._into = {cell: cell for cell in cells}
        self._n = {cell: int(n_points[cell]) for cell in cells}
        self._sum = {cell: units.center[cell] * max(1, int(n_points[cell])) for cell in cells}
        self._shares = {cell: Counter({units.admin1[cell]: int(n_points[cell])}) for cell in cells}
        self._main = {cell: units.admin1[cell] for cell in cells}
        self._of_country = defaultdict(set)
        for cell in cells:
            self._of_country[units.country[cell]].add(cell)
        self._neighbors: dict[int, set[int]] = {cell: set() for cell in cells}
        for a, b in home[units.adjacent].tolist():
            if a != b and self._may_share(a, b):
                self._neighbors[a].add(b)
                self._neighbors[b].add(a)

    def find(self, cell: int) -> int:
        """What a cell has become."""
        while self._into[cell] != cell:
            self._into[cell] = self._into[self._into[cell]]
            cell = self._into[cell]
        return cell

    def run(self, progress: Callable[[int, int], None]) -> None:
        """Merge the smallest cell, until none is too small or may be merged."""
        waiting = [(n, cell) for cell, n in self._n.items() if n < self._min]
        heapq.heapify(waiting)
        total = len(waiting)
        while waiting:
            n, cell = heapq.heappop(waiting)
            if self._into[cell] != cell or self._n[cell] != n:
                continue  # merged or grown since
            partner = self._partner(cell)
            if partner is not None:
                merged = self._merge(cell, partner)
                if self._n[merged] < self._min:
                    heapq.heappush(waiting, (self._n[merged], merged))
            progress(total - len(waiting), total)

    def _may_share(self, a: int, b: int) -> bool:
        """Whether two cells may become one under the policy."""
        units = self._units
        is_one_country = units.country[a] == units.country[b]
        return bool(is_one_country and (self._policy == "prefer" or units.admin1[a] == units.admin1[b]))

    def _partner(self, cell: int) -> int | None:
        neighbors = self._neighbors[cell]
        if not neighbors:
            return self._nearest(cell)
        admin1 = self._main[cell]

        def preference(other: int) -> tuple[bool, bool, int, int]:
            n = self._n[other]
            return self._main[other] != admin1, n >= self._min, -n, other

        chosen: int = min(neighbors, key=preference)
        return chosen

    def _nearest(self, cell: int) -> int | None:
        """The nearest cell of an island's admin-1, else of its country, else none."""
        others = [
            other
            for other in sorted(self._of_country[self._units.country[cell]])
            if other != cell and self._may_share(cell, other)
        ]
        admin1 = self._main[cell]
        others = [other for other in others if self._main[other] == admin1] or others
        if not others:
            return None
        middle = np.array([self._sum[other] / np.linalg.norm(self._sum[other]) for other in others])
        mine = self._sum[cell] / np.linalg.norm(self._sum[cell])
        nearest: int = others[int(np.argmin(np.linalg.norm(middle - mine, axis=1)))]
        return nearest

    def _merge(self, a: int, b: int) -> int:
        kept, gone = min(a, b), max(a, b)
        self._into[gone] = kept
        self._n[kept] += self._n.pop(gone)
        self._sum[kept] = self._sum[kept] + self._sum.pop(gone)
        self._shares[kept].update(self._shares.pop(gone))
        self._main[kept] = _main_of(self._shares[kept])
        del self._main[gone]
        self._of_country[self._units.country[kept]].discard(gone)
        for other in self._neighbors.pop(gone):
            self._neighbors[other].discard(gone)
            if other != kept:
                self._neighbors[other].add(kept)
                self._neighbors[kept].add(other)
        return kept


def _main_of(shares: Counter[str]) -> str:
    """The admin-1 with most points; of equal ones the first by name."""
    return min(shares, key=lambda name: (-shares[name], name))
