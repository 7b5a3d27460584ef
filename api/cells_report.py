"""What `cells inspect` tells of a partition."""

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..encoders.geocells import Geocells

N_SHOWN = 5
N_COUNTRIES = 12
EDGES_KM = (5, 10, 25, 50, 100, 200, 500)


def summary(cells: "Geocells") -> dict[str, Any]:
    """Counts, as JSON values."""
    flags = Counter(flag for told in cells.flags for flag in told)
    return {
        "cells_id": cells.cells_id,
        "cells": len(cells),
        "countries": len(set(cells.country)),
        "points": int(cells.n_train.sum()),
        "flags": dict(sorted(flags.items())),
        "median_rms_km": round(float(np.median(cells.rms_km)), 1),
        "hierarchy": cells.provenance["hierarchy"]["kind"],
    }


def show(cells: "Geocells", *, as_json: bool) -> None:
    """Print tables: sizes, countries, the largest and smallest cells."""
    from . import console

    told = summary(cells)
    if as_json:
        console.say("cells", **told, cells_of_country=dict(Counter(cells.country).most_common()))
        return
    names = {"places": "by GeoNames places", "polygons": "by polygons"}
    console.out.print(
        f"{told['cells']:,} cells {names[told['hierarchy']]} ({cells.cells_id}), {told['points']:,} points, "
        f"{told['countries']} countries",
        soft_wrap=True,
    )
    flags = ", ".join(f"{n:,} {flag}" for flag, n in told["flags"].items()) or "none"
    console.out.print(f"flags: {flags}", soft_wrap=True)
    _table({"rms km": _ranges(), "cells": _counts(cells), "points": _points(cells)})
    many = Counter(cells.country).most_common(N_COUNTRIES)
    rest = told["countries"] - len(many)
    console.out.print(
        "countries: "
        + ", ".join(f"{code} {n:,}" for code, n in many)
        + (f" and {rest} more" if rest > 0 else ""),
        soft_wrap=True,
    )
    by_area = np.argsort(cells.area_km2, kind="stable")
    by_area = by_area[np.isfinite(cells.area_km2[by_area])]
    for title, rows in (("largest", by_area[::-1][:N_SHOWN]), ("smallest", by_area[:N_SHOWN])):
        _table(
            {
                title: [cells.cell_id[row] for row in rows],
                "name": [str(cells.name[row]) for row in rows],
                "km²": [f"{cells.area_km2[row]:,.0f}" for row in rows],
                "points": [f"{cells.n_train[row]:,}" for row in rows],
                "rms km": [f"{cells.rms_km[row]:,.1f}" for row in rows],
            }
        )


def _ranges() -> list[str]:
    bounds = (0, *EDGES_KM)
    return [f"{low}-{high}" for low, high in pairwise(bounds)] + [f"{bounds[-1]} up"]


def _class(cells: "Geocells") -> Any:
    return np.searchsorted(EDGES_KM, cells.rms_km, side="right")


def _counts(cells: "Geocells") -> list[str]:
    return [f"{n:,}" for n in np.bincount(_class(cells), minlength=len(EDGES_KM) + 1)]


def _points(cells: "Geocells") -> list[str]:
    return [f"{int(n):,}" for n in np.bincount(_class(cells), cells.n_train, len(EDGES_KM) + 1)]


def _table(columns: dict[str, list[str]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from . import console

    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(escape, row))
    for column in table.columns[1:]:
        column.justify = "left" if column.header == "name" else "right"
    console.show_table(table)
