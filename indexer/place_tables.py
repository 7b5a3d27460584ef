"""An evaluation of place recognition as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .place_recall import RECALL_AT, THRESHOLDS_M, Recall
from .place_report import PlaceEvaluation, PlaceFigures
from .place_uncertainty import least_area


def recall_table(evaluation: PlaceEvaluation, published: Mapping[str, Sequence[float]]) -> Table:
    """A row for each way, what was published on these photos, and what a random ranking has.

    Args:
        evaluation: the figures.
        published: recall in % at `RECALL_AT`, by method; {} for none.
    """
    table = _table("recall@N in %, 95 % intervals of @1; ms: per query, beside reading and embedding it")
    for title in ("", "@1", "95 %", *(f"@{n}" for n in RECALL_AT[1:]), "looked again", "ms"):
        table.add_column(title, justify="right" if title else "left")
    for name, shares in published.items():
        table.add_row(f"{name}, published", _one(shares[0]), "", *map(_one, shares[1:]), style="dim")
    for row in evaluation.rows:
        again = "" if row.looked_at is None else f"{100 * row.looked_at:.0f} %"
        table.add_row(row.name, *_recall_cells(row.recalls), again, f"{1000.0 * row.seconds:.1f}")
    first = evaluation.rows[0]
    for row in evaluation.rows if first.otherwise else ():
        how = "each photo an answer" if evaluation.trial.collapses else "one answer for each group"
        table.add_row(f"{row.name}, {how}", *_recall_cells(row.otherwise), style="dim")
    chance = [_percent(one.chance) for one in first.recalls]
    table.add_row("chance", chance[0], "", *chance[1:], style="dim")
    return table


def meters_table(evaluation: PlaceEvaluation) -> Table | None:
    """recall@1 by meters with its chance level, and the error of the first answer; None without places."""
    if not evaluation.rows[0].within_m:
        return None
    table = _table(
        "recall@1 in % by great-circle meters, where every query counts; error of the first answer, and the "
        "area under its curve up to 100 m"
    )
    for title in ("", *(f"≤ {meters:g} m" for meters in THRESHOLDS_M), "median m", "mean m", "area"):
        table.add_column(title, justify="right" if title else "left")
    for row in evaluation.rows:
        shares = (_percent(row.within_m[meters][0].value) for meters in THRESHOLDS_M)
        told = row.to_dict()
        middle = ("–" if told[key] is None else f"{told[key]:,.1f}" for key in ("median_m", "mean_m"))
        table.add_row(row.name, *shares, *middle, f"{told['error_area']:.3f}")
    chance = (_percent(evaluation.rows[0].within_m[meters][0].chance) for meters in THRESHOLDS_M)
    table.add_row("chance", *chance, style="dim")
    return table


def risk_table(evaluation: PlaceEvaluation) -> Table:
    """Area under the risk–coverage curve of each sign of doubt, the error rate, and the least there is."""
    signs = list(evaluation.rows[0].risk)
    table = _table(
        "area under the risk–coverage curve (AURC) of each sign of doubt, lower is better, 95 % intervals; "
        "a random order has the error rate, the best order the least"
    )
    for title in ("", "error rate", *signs, "least"):
        table.add_column(title, justify="right" if title else "left")
    for row in evaluation.rows:
        areas = (
            f"{one.area:.3f} [{one.interval[0]:.3f}, {one.interval[1]:.3f}]" for one in row.risk.values()
        )
        table.add_row(
            row.name, f"{row.n_wrong / row.n_counted:.3f}", *areas,
            f"{least_area(row.n_wrong, row.n_counted):.3f}",
        )  # fmt: skip
    return table


def parts_table(row: PlaceFigures, part: str) -> Table:
    """recall@1 of one way by year, or by light."""
    table = _table(f"{row.name}: recall@1 in % by {part}, 95 % intervals")
    for title in (part, "queries", "@1", "95 %"):
        table.add_column(title, justify="left" if title == part else "right")
    for value, (n, share, low, high) in row.parts[part].items():
        table.add_row(value, f"{n:,}", _percent(share), f"{_percent(low)}–{_percent(high)}")
    return table


def _recall_cells(recalls: Sequence[Recall]) -> list[str]:
    first = recalls[0]
    spread = f"{_percent(first.low)}–{_percent(first.high)}"
    return [_percent(first.value), spread, *(_percent(one.value) for one in recalls[1:])]


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else _one(100.0 * share)


def _one(percent: float) -> str:
    return f"{percent:.1f}"


def _table(caption: str) -> Table:
    return Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), caption_justify="left", caption=caption)
