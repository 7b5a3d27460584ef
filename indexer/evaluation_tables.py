"""An evaluation as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .breakdown import SHOWN_KM, Figure, Part
from .geolocate import RADII_KM
from .published import CAVEAT, Published

if TYPE_CHECKING:
    from .evaluation_report import Evaluation

N_COUNTRIES = 10

_Form = Callable[[float], str]


def methods_table(evaluation: Evaluation) -> Table:
    """A column for each method, with the main intervals."""
    sign = radius_sign(evaluation)
    shown: list[tuple[str, str, _Form]] = [
        *((f"{sign} {radius:g} km", f"within_{radius:g}_km", _percent) for radius in RADII_KM),
        ("country", "country", _percent),
        ("state", "state", _percent),
        ("median km", "median_km", "{:,.0f}".format),
        ("mean km", "mean_km", "{:,.0f}".format),
        ("GeoScore", "geoscore", "{:,.0f}".format),
        ("bits", "bits", "{:.2f}".format),
    ]
    coverage = ", ".join(
        "{:.0%} regions hold {:.1%} [{:.1%}, {:.1%}]".format(level, *evaluation.interval(hit.astype(float)))
        for level, hit in evaluation.covered.items()
    )
    table = _table(f"bits: information over the prior. {coverage}. 95 % intervals over groups.")
    table.add_column(f"{len(evaluation.group):,} photos", no_wrap=True)
    figures = [evaluation.figures(row) for row in evaluation.rows]
    for row in evaluation.rows:
        table.add_column(row.name, justify="right", min_width=9, no_wrap=" " not in row.name)
    for title, key, form in shown:
        table.add_row(title, *(_cell(one[key], form) for one in figures))
        if key in ("geoscore", "bits"):
            plain = "{:.0f}".format if key == "geoscore" else form  # a comma more would be too wide
            table.add_row("", *(_interval_cell(one[key], plain) for one in figures), style="dim")
    return table


def comparison_table(evaluation: Evaluation, published: Sequence[Published] = ()) -> Table:
    """Ours, what would be the best, and what others have published, by share within each radius."""
    besides = "".join(f" {one.method}: {one.besides}." for one in published if one.besides)
    oracles = (
        "oracles always answer with the nearest photo that is not hidden, or with the truth's own geocell"
    )
    if evaluation.exclude_similarity is not None:
        oracles += ", and see copies too"
    caption = f"{oracles}; {CAVEAT}.{besides}" if published else f"{oracles}."
    table = _table(caption)
    table.add_column(f"%, errors {radius_sign(evaluation)} km", no_wrap=True)
    for radius in RADII_KM:
        table.add_column(f"{radius:,.0f}", justify="right", min_width=6, no_wrap=True)
    table.add_column("median", justify="right", min_width=8, no_wrap=True)
    for row in (evaluation.rows[-1], *evaluation.ceilings):
        figures = evaluation.figures(row)
        shares = (f"{100.0 * figures[f'within_{radius:g}_km'][0]:.1f}" for radius in RADII_KM)
        table.add_row(row.name, *shares, f"{figures['median_km'][0]:,.1f}")
    for other in published:
        shown = ("–" if one is None else f"{one:.1f}" for one in other.percent)
        table.add_row(other.method, *shown, "–", style="dim")
    return table


def parts_table(parts: Sequence[Part], kind: str, *, at_most: int | None = None, sign: str = "≤") -> Table:
    """A row for each part of the world, with the intervals below."""
    shown = parts[:at_most]
    levels = [name for name in shown[0].figures if name.startswith("coverage_")] if shown else []
    rest = f" {len(parts) - len(shown)} more in the JSON." if len(shown) < len(parts) else ""
    table = _table(
        "our answers: shares in %, errors in km, and how many truths the regions of 50 and 90 % hold. "
        f"95 % intervals over groups, none where there are too few.{rest}"
    )
    table.add_column(kind)
    table.add_column("photos", justify="right", min_width=7, no_wrap=True)
    for radius in SHOWN_KM:
        table.add_column(f"{sign} {radius:g}", justify="right", min_width=6, no_wrap=True)
    table.add_column("GeoScore", justify="right", min_width=10, no_wrap=True)
    for level in levels:
        title = f"in {level.removeprefix('coverage_')} %"
        table.add_column(title, justify="right", min_width=8, no_wrap=True)
    for part in shown:
        figures = part.figures
        table.add_row(
            part.name, f"{part.n_photos:,}",
            *(f"{100.0 * figures[f'within_{radius:g}_km'][0]:.1f}" for radius in SHOWN_KM),
            f"{figures['geoscore'][0]:,.0f}", *(f"{100.0 * figures[level][0]:.1f}" for level in levels),
        )  # fmt: skip
        spreads = [
            _interval_cell(figures["geoscore"], "{:.0f}".format),
            *(_interval_cell(figures[level], lambda share: f"{100.0 * share:.0f}") for level in levels),
        ]
        if any(spreads):
            table.add_row("", "", *[""] * len(SHOWN_KM), *spreads, style="dim")
    return table


def radius_sign(evaluation: Evaluation) -> str:
    """How errors are held against radii: ≤, or < where the radius itself does not count."""
    return "≤" if evaluation.is_inclusive else "<"


def _table(caption: str) -> Table:
    return Table(box=SIMPLE_HEAD, pad_edge=False, padding=0, caption_justify="left", caption=caption)


def _percent(value: float) -> str:
    return f"{100.0 * value:.1f} %"


def _cell(figure: Figure, form: _Form) -> str:
    return "–" if np.isnan(figure[0]) else form(figure[0])


def _interval_cell(figure: Figure, form: _Form) -> str:
    return "" if np.isnan(figure[1]) else f"{form(figure[1])}–{form(figure[2])}"
