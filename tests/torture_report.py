"""Print the rows that the torture tests have left.

python tests/torture_report.py
"""

import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from scoreboard_rows import read_rows
from torture_rows import OUT


def figure_text(figure: dict[str, Any]) -> str:
    """A figure in a few words, with its peer's beside it."""
    text = f"{figure['name']}: {figure['ours']:.10g} {figure['unit']}".rstrip()
    return text if figure["theirs"] is None else f"{text} ({figure['peer']}: {figure['theirs']:.10g})"


def table_of(rows: list[dict[str, Any]]) -> Table:
    """One line a row: verdict, figures, faults."""
    table = Table(title="what must never go wrong", show_lines=True)
    for column in ("row", "what", "verdict", "figures", "planted", "s"):
        table.add_column(column, justify="right" if column == "s" else "left")
    for row in rows:
        faults = [f"{name}: {found}" for name, found in row["planted"].items()]
        told = [figure_text(figure) for figure in row["figures"]]
        verdict = row["verdict"] if not row["why"] else f"{row['verdict']}: {row['why']}"
        table.add_row(
            row["row"], row["title"], verdict, "\n".join(told), "\n".join(faults), f"{row['seconds']:.0f}"
        )
    return table


def main() -> None:
    rows = [row for row in read_rows(Path(os.environ.get(OUT, "bench"))) if row["row"].startswith("R")]
    Console().print(table_of(rows))
    verdicts = [row["verdict"] for row in rows]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts)))
    print(f"{len(rows)} rows: {counts or 'none measured yet'}")


if __name__ == "__main__":
    main()
