"""Run the rows of the scoreboard and make one table, one page and one picture of them.

    python tests/benchmarks/scoreboard.py --run all --out bench
    python tests/benchmarks/scoreboard.py --run P13,P15 --out bench
    python tests/benchmarks/scoreboard.py --run none --out bench --readme     # from the rows that are there

Each script is a process of its own with a time limit; one that fails is told at the end, and the rest go on.
Rows that other scripts and tests left in OUT/rows are taken in. Written are OUT/scoreboard.json, .md and
.png; with --readme also tests/benchmarks/scoreboard.json, and the table in README between its markers.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).resolve().parents[1]))  # a script sees its own folder only

from row_titles import TITLES, order_of
from scoreboard_pages import deciding_figure, number, page_of, ratio_text, write_readme
from scoreboard_picture import draw
from scoreboard_rows import Row, machine, read_rows

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COMMITTED = HERE / "scoreboard.json"


@dataclass(frozen=True)
class Script:
    """A script, what it measures, and how long it may take."""

    name: str
    rows: tuple[str, ...]
    limit_s: float = 300.0
    arguments: tuple[str, ...] = ()


SCRIPTS = (
    Script("image_speed.py", ("P1",), 1200.0),
    Script("gpu_rows.py", ("P2", "P5", "P11"), 60.0),
    Script("bench_ingest.py", ("P3", "P4"), 900.0),
    Script("jpeg_speed.py", ("P6",), 120.0),
    Script("resume.py", ("P7",), 900.0),
    Script("service_overhead.py", ("P12",), 300.0),
    Script("location_speed.py", ("P13", "P14"), 600.0),
    Script("geocell_speed.py", ("P15",), 300.0),
    Script("nearest_places.py", ("P16",), 120.0),
    Script("distances.py", ("P17",), 120.0),
    Script("radius_counts.py", ("P18",), 180.0),
    Script("map_tiles.py", ("P19", "P20"), 240.0),
    Script("start.py", ("P22",), 900.0),
)


def chosen_scripts(run: str) -> list[Script]:
    """The scripts for ``all``, ``none`` or ``P13,P15``.

    Raises:
        SystemExit: there is no script for a row that is named.
    """
    if run in ("all", "none"):
        return list(SCRIPTS) if run == "all" else []
    wanted = {word.strip().upper() for word in run.split(",")}
    known = {row for script in SCRIPTS for row in script.rows}
    if unknown := sorted(wanted - known):
        there = ", ".join(sorted(known, key=order_of))
        raise SystemExit(f"no script here measures {', '.join(unknown)}; there are {there}")
    return [script for script in SCRIPTS if wanted & set(script.rows)]


def run_script(script: Script, out: Path, more: tuple[str, ...] = ()) -> str:
    """Run one; why it failed, or "" where it did not. What an earlier run left of its rows is removed."""
    for row in script.rows:
        (out / "rows" / f"{row}.json").unlink(missing_ok=True)
    command = [sys.executable, str(HERE / script.name), "--out", str(out), *script.arguments, *more]
    # A group of its own: what it started ends with it.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "COLUMNS": "150"},
    )  # fmt: skip
    try:
        told, _ = process.communicate(timeout=script.limit_s)
    except subprocess.TimeoutExpired:
        _end_group(process)
        return f"took longer than {script.limit_s:g} s"
    print(told, end="")
    if process.returncode:
        last = [line for line in told.splitlines() if line.strip()][-1:] or ["no word"]
        return f"ended with {process.returncode}: {last[0].strip()[:200]}"
    missing = [row for row in script.rows if not (out / "rows" / f"{row}.json").is_file()]
    return f"left no row {', '.join(missing)}" if missing else ""


def board_of(out: Path, failures: dict[str, str]) -> dict[str, Any]:
    """All rows, those that were not run among them."""
    rows = {row["row"]: row for row in read_rows(out)}
    for name, title in TITLES.items():
        if name not in rows:
            why = failures.get(name, "not run")
            rows[name] = asdict(Row(name, title, "", "not measured", "", why))
    ordered = [rows[name] for name in sorted(rows, key=order_of)]
    dates = sorted({row["measured_at"] for row in ordered if "measured_at" in row})
    told = " to ".join(dict.fromkeys([*dates[:1], *dates[-1:]])) or time.strftime("%Y-%m-%d")
    return {"machine": machine(), "measured_at": told, "rows": ordered}


def write_board(board: dict[str, Any], out: Path) -> None:
    """The three files."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "scoreboard.json").write_text(as_json(board), encoding="utf-8")
    (out / "scoreboard.md").write_text(page_of(board), encoding="utf-8")
    draw(board, out / "scoreboard.png")


def as_json(board: dict[str, Any]) -> str:
    return json.dumps(board, indent=1, ensure_ascii=False) + "\n"


def show(board: dict[str, Any], console: Console) -> None:
    """The short table on the screen."""
    table = Table("", "", "ours", "ratio [95 %]", "target", "verdict")
    for row in board["rows"]:
        one = deciding_figure(row)
        figure = ("–", "–") if one is None else (number(one["ours"], one["unit"]), ratio_text(one))
        table.add_row(row["row"], row["title"], *figure, row["target"], row["verdict"])
    console.print(table)


def _end_group(process: "subprocess.Popen[str]") -> None:
    import signal

    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="none", help="all, none, or rows: P13,P15")
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--readme", action="store_true", help="renew README's table and the committed JSON")
    parser.add_argument("--readme-file", type=Path, default=ROOT / "README.md", help=argparse.SUPPRESS)
    parser.add_argument("--committed", type=Path, default=COMMITTED, help=argparse.SUPPRESS)
    parser.add_argument("--geoclip-path", help="a site-packages folder that holds geoclip, for P14")
    parser.add_argument("--photos", type=Path, help="photos to index, for P3 and P4; drawn by default")
    asked = parser.parse_args()
    console, failures = Console(width=150), dict[str, str]()
    more = {
        "location_speed.py": ("--geoclip-path", asked.geoclip_path) if asked.geoclip_path else (),
        "bench_ingest.py": (str(asked.photos),) if asked.photos else (),
    }
    scripts = chosen_scripts(asked.run)
    for place, script in enumerate(scripts, start=1):
        console.rule(f"{place} of {len(scripts)}: {script.name} ({', '.join(script.rows)})")
        began = time.monotonic()
        why = run_script(script, asked.out, more.get(script.name, ()))
        failures |= {row: why for row in script.rows if why}
        console.print(f"{script.name}: {why or 'done'}, {time.monotonic() - began:.0f} s", highlight=False)
    board = board_of(asked.out, failures)
    write_board(board, asked.out)
    show(board, console)
    if asked.readme:
        write_readme(asked.readme_file, board)
        asked.committed.write_text(as_json(board), encoding="utf-8")
    for row, why in failures.items():
        console.print(f"[red]{row}: {why}[/red]", highlight=False)
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
