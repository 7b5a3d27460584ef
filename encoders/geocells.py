"""Semantic geocells: a partition of the Earth into named cells with about equally many photos.

A classifier of photos answers with a cell, so cells should be small where there are many photos, and
follow the borders that people draw: countries never share a cell. The five ideas are those of PIGEON
(Haas et al. 2024, arXiv:2307.05845), whose cells and boundaries were not published: begin with
admin-2 units, merge them to a least number of points, split them by OPTICS, divide by nearest
centers, and place a cell where its points are. Ours works on the sphere throughout, draws nothing at
random, leaves nothing out, and needs no file of boundaries, though it takes one (`cells`).

`assign` is a function of the position alone: first the unit (by the nearest place, or by polygons),
then its group, then the nearest center where the group is cut. Polygons are derived from it for
maps and exports, not the other way round.

Letters: C cells, n points. Coordinates are lon, lat, degrees.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .cells.cuts import CutForest
from .cells.units import Hierarchy, Names, Rule
from .errors import InvalidCells
from .sphere import as_lonlat, unit_vectors

if TYPE_CHECKING:
    from .cells.merging import Admin1Policy

SHIPPED = Path(__file__).parent / "placeprint-cells-v1.parquet"
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Geocells:
    """A partition of the Earth. Everything stands by row, one row for each cell.

    Attributes:
        cell_id: stable within the partition, as ``JP-0012``, (C,).
        country: ISO 3166-1 alpha-2, as the hierarchy has it, (C,); a cell has one.
        admin1: the admin-1 of most of its points, (C,); "" where it has no name.
        name: readable, as ``Kamakura, Kanagawa, Japan``, (C,).
        center_lonlat: direction of the mean unit vector of its training points, or of its places
            where it has none, (C, 2).
        median_lonlat: the place with the least sum of distances to them, (C, 2).
        n_train: training points, (C,).
        rms_km: root of the mean squared distance of the points from the center, (C,).
        p95_km: distance within which 95 % of them lie, (C,).
        area_km2: of what `assign` gives to the cell, (C,); NaN where it was not asked for.
        flags: what is remarkable (`cells.records.FLAGS`), C tuples.
        admin1_shares: share of the points in each admin-1, largest first, C mappings.
        admin2: names of the admin-2 units of the points, C tuples.
        provenance: how it was made; JSON values.
    """

    cell_id: Names
    country: Names
    admin1: Names
    name: Names
    center_lonlat: _Floats
    median_lonlat: _Floats
    n_train: NDArray[np.int64]
    rms_km: _Floats
    p95_km: _Floats
    area_km2: _Floats
    flags: Sequence[tuple[str, ...]]
    admin1_shares: Sequence[Mapping[str, float]]
    admin2: Sequence[tuple[str, ...]]
    provenance: Mapping[str, Any]
    rule: Rule = field(repr=False)
    cuts: CutForest = field(repr=False)
    cells_id: str = ""

    def __post_init__(self) -> None:
        from .cells.cells_file import cells_id_of

        object.__setattr__(self, "cells_id", cells_id_of(self))

    def __len__(self) -> int:
        return len(self.n_train)

    def assign(self, lonlat: ArrayLike) -> NDArray[np.intp]:
        """The row of the cell that each point lies in, (n, 2) degrees -> (n,).

        Every point on Earth has one. The answer depends on the point and the partition alone.

        Raises:
            InvalidCoordinate: a point is not on Earth.
        """
        points = as_lonlat(lonlat).reshape(-1, 2)
        group = self.rule.number_of(points)
        cell = self.cuts.cell[group]
        cut = np.flatnonzero(cell < 0)
        if cut.size:
            cell[cut] = self.cuts.cells_of(group[cut], unit_vectors(points[cut]))
        return np.asarray(cell, dtype=np.intp)

    def save(self, path: str | Path) -> None:
        """Write a GeoParquet file: a row and a center for each cell, the rule, the provenance.

        The same partition is the same bytes.

        Raises:
            UnwritableFile: there is no such folder, or no right to write.
        """
        from .cells.cells_file import write_cells

        write_cells(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "Geocells":
        """Read what `save` wrote.

        Raises:
            InvalidCells: there is no such file, it is no file of cells, of a version to come, or
                was damaged or edited.
        """
        from .cells.cells_file import read_cells

        return read_cells(Path(path))


def build_geocells(
    lonlat: ArrayLike,
    *,
    ids: Sequence[str] | NDArray[Any] | None = None,
    min_points: int = 30,
    max_points: int = 60,
    hierarchy: Hierarchy | None = None,
    admin1_policy: "Admin1Policy" = "prefer",
    force_split: bool = False,
    with_areas: bool = True,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Geocells:
    """Make cells of training points.

    The order of the points does not matter: they are sorted by id.

    Args:
        lonlat: the training points, (n, 2).
        ids: of the points, all different, (n,); by default their coordinates take this part.
        min_points: a cell with fewer is merged with a neighbor of its country.
        max_points: a cell with more is split where there are gaps.
        hierarchy: units to begin with; by default counties by the nearest place.
        admin1_policy: ``prefer`` merges across an admin-1 where nothing else is left and lists the
            crossings; ``strict`` never does.
        force_split: split cells without gaps too.
        with_areas: measure the cells, which takes polygons of all of them.
        progress: told the stage, how much of it is done and of how much.

    Raises:
        InvalidCells: no points, ids that occur twice, or limits that cannot be met.
        InvalidCoordinate: a point is not on Earth.
    """
    from .cells.building import build

    points = as_lonlat(lonlat).reshape(-1, 2)
    _check_limits(min_points, max_points, admin1_policy)
    order = _order_of(points, ids)
    if hierarchy is None:
        from .cells.place_units import place_hierarchy

        progress("reading places", 0, 1)
        hierarchy = place_hierarchy()
        progress("reading places", 1, 1)
    libraries = ("numpy", "scipy", "scikit-learn", "shapely")
    return build(
        points[order],
        hierarchy,
        min_points=min_points,
        max_points=max_points,
        admin1_policy=admin1_policy,
        force_split=force_split,
        with_areas=with_areas,
        ids=[str(ids[row]) for row in order] if ids is not None else None,
        versions={"python": platform.python_version(), **{name: version(name) for name in libraries}},
        progress=progress,
    )


@cache
def default_geocells() -> Geocells:
    """The shipped partition of the world, read once per process (`cells.world` says how it is made)."""
    return Geocells.load(SHIPPED)


def _check_limits(min_points: int, max_points: int, admin1_policy: str) -> None:
    if not 1 <= min_points:
        raise InvalidCells(f"a cell needs at least 1 point, not {min_points}: choose a larger minimum")
    if max_points < 2 * min_points:
        raise InvalidCells(
            f"at least {min_points} and at most {max_points} points: a cell that is split makes two, so the "
            f"maximum must be twice the minimum or more, {2 * min_points}"
        )
    if admin1_policy not in ("prefer", "strict"):
        raise InvalidCells(f"the admin-1 policy is prefer or strict, not {admin1_policy!r}")


def _order_of(points: _Floats, ids: Sequence[str] | NDArray[Any] | None) -> NDArray[np.intp]:
    """The rows in the order of their ids, which must tell them apart."""
    if not len(points):
        raise InvalidCells("cells are made of training points, and there are none")
    if ids is None:
        return np.lexsort((points[:, 1], points[:, 0])).astype(np.intp)
    if len(ids) != len(points):
        raise InvalidCells(f"{len(ids)} ids for {len(points)} points; give one to each")
    texts = np.array([str(key) for key in ids], dtype=object)
    order = np.argsort(texts, kind="stable").astype(np.intp)
    same = np.flatnonzero(texts[order[1:]] == texts[order[:-1]])
    if same.size:
        raise InvalidCells(
            f"the id {texts[order[same[0]]]!r} occurs twice ({same.size + 1} rows are concerned); give every "
            "point an id of its own"
        )
    return order
