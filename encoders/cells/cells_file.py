"""Cells as one GeoParquet file: records, centers as geometry, the rule of membership, provenance.

A row is a cell. What belongs to a group of cells (its sites or polygons, its cuts) stands in the row
of its first cell. Coordinates of sites and cuts are whole steps of 1e-7 degrees. The metadata hold,
under the key ``placeprint:cells``, the version of the format, the provenance, the `cells_id` (hash
of all columns) and a checksum of it all, so that a file that was edited by hand is not taken for
what it says it is. Written twice, it is the same bytes.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from ..errors import InvalidCells, UnwritableFile
from .cuts import CutForest
from .polygon_rule import PolygonRule
from .sites import SiteRule
from .units import E7, Rule

if TYPE_CHECKING:
    from ..geocells import Geocells

KEY = b"placeprint:cells"
VERSION = 1
TEXTS = ("cell_id", "country", "admin1", "name")
NUMBERS = ("n_train", "rms_km", "p95_km", "area_km2")
POINTS = (("center_lonlat", "lon", "lat"), ("median_lonlat", "median_lon", "median_lat"))
CUT_COLUMNS = ("cut_parent", "cut_child", "cut_lon", "cut_lat")
RULES: dict[str, type[SiteRule] | type[PolygonRule]] = {"places": SiteRule, "polygons": PolygonRule}
_LISTS = {
    "site_lon": pa.int32(), "site_lat": pa.int32(), "polygon": pa.binary(), "polygon_rank": pa.int32(),
    "cut_parent": pa.int32(), "cut_child": pa.int32(), "cut_lon": pa.int32(), "cut_lat": pa.int32(),
}  # fmt: skip


def cells_id_of(cells: "Geocells") -> str:
    """Hash of everything about the cells but their provenance: 16 hexadecimal digits."""
    return _hash_of(_table_of(cells))


def write_cells(cells: "Geocells", path: Path) -> None:
    """Write the file; see `Geocells.save`."""
    table = _table_of(cells)
    told = {"version": VERSION, "cells_id": cells.cells_id, "provenance": dict(cells.provenance)}
    told["checksum"] = _checksum(told)
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Point"]}},
    }
    metadata = {
        KEY: json.dumps(told, sort_keys=True).encode(),
        b"geo": json.dumps(geo, sort_keys=True).encode(),
    }
    delta = {f"{name}.list.element": "DELTA_BINARY_PACKED" for name, kind in _LISTS.items()
             if kind == pa.int32() and name in table.column_names}  # fmt: skip
    temporary = path.with_name(f"{path.name}.partial")
    try:
        pq.write_table(
            table.replace_schema_metadata(metadata), temporary, compression="zstd", compression_level=19,
            use_dictionary=["country", "admin1"], column_encoding=delta, write_statistics=False,
        )  # fmt: skip
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        reason = error.strerror or error
        raise UnwritableFile(f"{path}: cannot be written ({reason}); choose a folder that is there") from None


def read_cells(path: Path) -> "Geocells":
    """Read the file; see `Geocells.load`."""
    if not path.is_file():
        raise InvalidCells(f"{path}: no such file; make one with `placeprint cells build`")
    try:
        table = pq.read_table(path)
        told = json.loads((table.schema.metadata or {})[KEY])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise InvalidCells(f"{path}: no file of geocells, or a damaged one ({error})") from None
    if told.get("version") != VERSION:
        raise InvalidCells(f"{path}: cells of format {told.get('version')}, this Placeprint reads {VERSION}")
    if told.get("checksum") != _checksum(told) or told.get("cells_id") != _hash_of(table):
        raise InvalidCells(
            f"{path}: the table is not the one whose checksum it carries; it was damaged or edited. Build "
            "the cells again, or fetch the file again"
        )
    return _cells_of(table, told)


def _table_of(cells: "Geocells") -> pa.Table:
    columns: dict[str, Any] = {name: pa.array(getattr(cells, name), pa.string()) for name in TEXTS}
    for attribute, lon, lat in POINTS:
        places = getattr(cells, attribute)
        columns |= {lon: pa.array(places[:, 0]), lat: pa.array(places[:, 1])}
    columns |= {name: pa.array(getattr(cells, name)) for name in NUMBERS}
    columns["flags"] = pa.array([list(flags) for flags in cells.flags], pa.list_(pa.string()))
    share = pa.struct([("name", pa.string()), ("share", pa.float64())])
    shares = [[{"name": name, "share": value} for name, value in one.items()] for one in cells.admin1_shares]
    columns["admin1_shares"] = pa.array(shares, pa.list_(share))
    columns["admin2"] = pa.array([list(names) for names in cells.admin2], pa.list_(pa.string()))
    columns["geometry"] = pa.array(shapely.to_wkb(shapely.points(cells.center_lonlat)), pa.binary())
    group = _group_of_row(cells.cuts)
    columns["group"] = pa.array(group.astype(np.int32))
    _, first = np.unique(group, return_index=True)
    for name, parts in {**cells.rule.columns(len(first)), **_cut_columns(cells.cuts)}.items():
        rows: list[Any] = [None] * len(cells)
        for row, part in zip(first, parts, strict=True):
            rows[row] = part
        columns[name] = pa.array(rows, pa.list_(_LISTS[name]))
    return pa.table(columns)


def _group_of_row(cuts: CutForest) -> NDArray[np.intp]:
    """The group of each cell, (C,): the root of its node."""
    root = _roots_of(cuts)
    leaves = np.flatnonzero(cuts.cell >= 0)
    group = np.empty(len(leaves), dtype=np.intp)
    group[cuts.cell[leaves]] = root[leaves]
    return group


def _roots_of(cuts: CutForest) -> NDArray[np.intp]:
    """The group of each node, (N,)."""
    root = np.arange(len(cuts.cell))
    root[cuts.child] = cuts.parent  # a parent's number is always lower than its children's
    for node in range(len(root)):
        root[node] = root[root[node]]
    return root


def _cut_columns(cuts: CutForest) -> dict[str, list[Any]]:
    root = _roots_of(cuts)
    n_groups = int((root == np.arange(len(root))).sum())
    steps = np.round(cuts.lonlat * E7).astype(np.int32)
    values = (cuts.parent.astype(np.int32), cuts.child.astype(np.int32), steps[:, 0], steps[:, 1])
    parts: dict[str, list[Any]] = {name: [None] * n_groups for name in CUT_COLUMNS}
    owner = root[cuts.parent]
    for group in np.unique(owner):
        rows = owner == group
        for name, value in zip(CUT_COLUMNS, values, strict=True):
            parts[name][group] = value[rows]
    return parts


def _hash_of(table: pa.Table) -> str:
    digest = hashlib.sha256()
    for name in sorted(table.column_names):
        column = table.column(name)
        digest.update(f"{name}:{len(column)}:".encode())
        _update(digest, column)
    return digest.hexdigest()[:16]


def _update(digest: Any, column: Any) -> None:
    """Bytes of numbers, JSON of everything else; the same wherever the table was made."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        digest.update(np.ascontiguousarray(column.to_numpy()).astype("<f8").tobytes())
        return
    values = [value.hex() if isinstance(value, bytes) else value for value in column.to_pylist()]
    digest.update(json.dumps(values, ensure_ascii=False, default=bytes.hex).encode())


def _checksum(told: dict[str, Any]) -> str:
    kept = {name: value for name, value in told.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _cells_of(table: pa.Table, told: dict[str, Any]) -> "Geocells":
    from ..geocells import Geocells

    values: dict[str, Any] = {name: np.array(table[name].to_pylist(), dtype=object) for name in TEXTS}
    values |= {name: table[name].to_numpy() for name in NUMBERS}
    for attribute, lon, lat in POINTS:
        values[attribute] = np.stack([table[lon].to_numpy(), table[lat].to_numpy()], axis=1)
    return Geocells(
        **values,
        flags=[tuple(flags) for flags in table["flags"].to_pylist()],
        admin1_shares=[
            {one["name"]: one["share"] for one in shares} for shares in table["admin1_shares"].to_pylist()
        ],
        admin2=[tuple(names) for names in table["admin2"].to_pylist()],
        provenance=told["provenance"],
        rule=_rule_of(table, told["provenance"]["hierarchy"]["kind"]),
        cuts=_cuts_of(table),
    )


def _rule_of(table: pa.Table, kind: str) -> Rule:
    _, first = np.unique(table["group"].to_numpy(), return_index=True)
    names = [name for name in _LISTS if name in table.column_names and name not in CUT_COLUMNS]
    columns = {name: [_list_at(table[name], int(row)) for row in first] for name in names}
    return RULES[kind].from_columns(columns)


def _list_at(column: Any, row: int) -> Any:
    """One cell of a column of lists; an empty array for what is missing."""
    values = column[row].values
    return pa.array([], column.type.value_type) if values is None else values


def _cuts_of(table: pa.Table) -> CutForest:
    group = table["group"].to_numpy()
    parent, child, lon, lat = (
        table[name].combine_chunks().flatten().to_numpy().astype(np.int64) for name in CUT_COLUMNS
    )
    order = np.argsort(parent, kind="stable")
    parent, child = parent[order].astype(np.intp), child[order].astype(np.intp)
    lonlat = np.stack([lon[order], lat[order]], axis=1) / E7
    n_groups = int(group.max()) + 1
    n_nodes = max(n_groups, int(child.max(initial=-1)) + 1)
    children: dict[int, list[int]] = {}
    for node, number in zip(parent.tolist(), child.tolist(), strict=True):
        if number not in children.setdefault(node, []):
            children[node].append(number)
    from .building import cells_by_group

    return CutForest(parent, child, lonlat, cells_by_group(n_groups, n_nodes, children))
