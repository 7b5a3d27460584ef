"""The way from training points to cells: units, groups, cuts, records."""

import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..places import Places
from ..sphere import unit_vectors
from .cuts import CutForest, runs
from .merging import Admin1Policy, merge_units
from .records import admin_of, flags_of, names_of, spread_of
from .splitting import find_cut
from .units import Hierarchy, Names, Rule

if TYPE_CHECKING:
    from ..geocells import Geocells

_Floats = NDArray[np.float64]
_Numbers = NDArray[np.intp]
Progress = Callable[[str, int, int], None]


def build(
    points: _Floats,
    hierarchy: Hierarchy,
    *,
    min_points: int,
    max_points: int,
    admin1_policy: Admin1Policy,
    force_split: bool,
    with_areas: bool,
    ids: Sequence[str] | None,
    versions: Mapping[str, str],
    progress: Progress,
) -> "Geocells":
    """Make cells of points (n, 2) in their final order; the arguments are those of `build_geocells`."""
    units = hierarchy.units
    unit = hierarchy.rule.number_of(points)
    group_of_unit = merge_units(
        units,
        np.bincount(unit, minlength=len(units)).astype(np.intp),
        min_points=min_points,
        admin1_policy=admin1_policy,
        progress=lambda done, total: progress("merging", done, total),
    )
    rule = hierarchy.rule.regrouped(group_of_unit)
    vectors = unit_vectors(points)
    forest = cut_groups(
        vectors,
        rule.number_of(points),  # of the rule that is kept, should rounding ever tell the two apart
        int(group_of_unit.max()) + 1,
        min_points=min_points,
        max_points=max_points,
        force_split=force_split,
        progress=lambda done, total: progress("splitting", done, total),
    )
    parameters = {
        "min_points": min_points, "max_points": max_points, "admin1_policy": admin1_policy,
        "force_split": force_split, "n_points": len(points), "points_sha256": _digest(points, ids),
    }  # fmt: skip
    provenance = {**parameters, "hierarchy": hierarchy.provenance(), "versions": dict(versions)}
    progress("measuring", 0, 1)
    cells = _described(
        points, vectors, unit, hierarchy, rule, forest, group_of_unit, provenance, with_areas=with_areas
    )
    progress("measuring", 1, 1)
    return cells


def cut_groups(
    vectors: _Floats,
    group: _Numbers,
    n_groups: int,
    *,
    min_points: int,
    max_points: int,
    force_split: bool,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CutForest:
    """Cut groups until none has too many points or none can be cut.

    Args:
        vectors: the points, (n, 3).
        group: of each point, (n,).
        n_groups: G; some may have no point.
        min_points: least number in a part.
        max_points: a group or part with more is cut.
        force_split: even where there is no gap.
        progress: told how many points have been dealt with, and how many there are.
    """
    order = np.argsort(group, kind="stable")
    waiting = deque((int(group[rows[0]]), rows) for rows in runs(order, group[order]))
    n_nodes, done = n_groups, 0
    children: dict[int, list[int]] = {}
    parent, child, lonlat = [], [], []
    while waiting:
        node, rows = waiting.popleft()
        large = len(rows) > max_points
        cut = find_cut(vectors[rows], min_points=min_points, force_split=force_split) if large else None
        if cut is None:
            done += len(rows)
            progress(done, len(vectors))
            continue
        children[node] = [n_nodes + number for number in range(cut.n_children)]
        n_nodes += cut.n_children
        parent += [node] * len(cut.child)
        child += [children[node][number] for number in cut.child]
        lonlat += cut.lonlat.tolist()
        side = cut.child_of(vectors[rows])
        waiting += [(number, rows[side == index]) for index, number in enumerate(children[node])]
    return CutForest(
        np.array(parent, dtype=np.intp),
        np.array(child, dtype=np.intp),
        np.array(lonlat, dtype=np.float64).reshape(-1, 2),
        cells_by_group(n_groups, n_nodes, children),
    )


def cells_by_group(n_groups: int, n_nodes: int, children: dict[int, list[int]]) -> _Numbers:
    """Number the leaves group by group, so that rows of a country stand together."""
    cell = np.full(n_nodes, -1, dtype=np.intp)
    waiting, n_cells = list(range(n_groups))[::-1], 0
    while waiting:
        node = waiting.pop()
        if node in children:
            waiting += children[node][::-1]
        else:
            cell[node], n_cells = n_cells, n_cells + 1
    return cell


def _described(
    points: _Floats,
    vectors: _Floats,
    unit: _Numbers,
    hierarchy: Hierarchy,
    rule: Rule,
    forest: CutForest,
    group_of_unit: _Numbers,
    provenance: dict[str, Any],
    *,
    with_areas: bool,
) -> "Geocells":
    from ..geocells import Geocells

    n_cells = forest.n_cells
    cell = forest.cells_of(rule.number_of(points), vectors)
    n_train = np.bincount(cell, minlength=n_cells)
    # Cells without a point are described by their places, or else by their units.
    places = hierarchy.places
    place_vectors = unit_vectors(places.lonlat)
    place_cell = forest.cells_of(rule.number_of(places.lonlat), place_vectors)
    stand_in, stand_in_cell, stand_in_unit = _stand_ins(
        n_train, place_cell, place_vectors, hierarchy, group_of_unit, forest
    )
    all_cells = np.concatenate([cell, stand_in_cell])
    all_vectors = np.concatenate([vectors, stand_in])
    spread = spread_of(all_vectors, all_cells, n_cells)
    shares, admin2, country = admin_of(
        hierarchy.units, np.concatenate([unit, stand_in_unit]), all_cells, n_cells
    )
    limits = {name: int(provenance[f"{name}_points"]) for name in ("min", "max")}
    can_be_cut = np.zeros(n_cells, dtype=bool)
    for row in np.flatnonzero(n_train > limits["max"]):
        found = find_cut(vectors[cell == row], min_points=limits["min"], force_split=True)
        can_be_cut[row] = found is not None
    cells = Geocells(
        cell_id=_ids(country),
        country=country,
        admin1=np.array([next(iter(share)) for share in shares], dtype=object),
        name=names_of(spread.center_lonlat, place_cell, _labels(places), place_vectors),
        center_lonlat=spread.center_lonlat,
        median_lonlat=spread.median_lonlat,
        n_train=n_train.astype(np.int64),
        rms_km=spread.rms_km,
        p95_km=spread.p95_km,
        area_km2=np.full(n_cells, np.nan),
        flags=flags_of(n_train, shares, can_be_cut, min_points=limits["min"], max_points=limits["max"]),
        admin1_shares=shares,
        admin2=admin2,
        provenance=provenance,
        rule=rule,
        cuts=forest,
    )
    if with_areas:
        from dataclasses import replace

        from .shapes import areas_km2

        cells = replace(cells, area_km2=np.round(areas_km2(cells), 3))
    return cells


def _stand_ins(
    n_train: _Numbers,
    place_cell: _Numbers,
    place_vectors: _Floats,
    hierarchy: Hierarchy,
    group_of_unit: _Numbers,
    forest: CutForest,
) -> tuple[_Floats, _Numbers, _Numbers]:
    """Vectors, cells and units that stand in for the points of cells without any."""
    chosen = np.flatnonzero(n_train[place_cell] == 0)
    places = hierarchy.places
    unit = hierarchy.rule.number_of(places.lonlat[chosen])
    has_place = np.bincount(place_cell, minlength=len(n_train)) > 0
    # Only groups that are not cut can be without a point.
    of_unit = forest.cell[group_of_unit]
    bare = np.flatnonzero((of_unit >= 0) & (n_train[of_unit] == 0) & ~has_place[of_unit])
    return (
        np.concatenate([place_vectors[chosen], hierarchy.units.center[bare]]),
        np.concatenate([place_cell[chosen], of_unit[bare]]),
        np.concatenate([unit, bare]),
    )


def _ids(country: Names) -> Names:
    """JP-0001, JP-0002, … by row."""
    seen: dict[str, int] = {}
    names = []
    for code in country:
        seen[code] = seen.get(code, 0) + 1
        names.append(f"{code}-{seen[code]:04d}")
    return np.array(names, dtype=object)


def _labels(places: Places) -> Names:
    rows = zip(places.city, places.state, places.country, strict=True)
    return np.array([", ".join(part for part in row if part) for row in rows], dtype=object)


def _digest(points: _Floats, ids: Sequence[str] | None) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(points.astype("<f8")).tobytes())
    digest.update("\n".join(ids or []).encode())
    return digest.hexdigest()
