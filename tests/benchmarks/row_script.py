"""What the scripts of the scoreboard's rows share: options, how a row is shown and kept, absent peers."""

import argparse
import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).resolve().parents[1]))  # a script sees its own folder only

from scoreboard_rows import Row, write_row
from turns import BLOCKS, pin_threads

_STARTED = time.monotonic()


def arguments(description: str | None, *, blocks: int = BLOCKS) -> argparse.ArgumentParser:
    """The options that every script has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder of the scoreboard")
    parser.add_argument("--blocks", type=int, default=blocks, help="blocks of turns")
    parser.add_argument("--threads", type=int, default=1)
    return parser


def begin(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the options and pin the threads."""
    asked = parser.parse_args()
    pin_threads(asked.threads)
    return asked


def command() -> str:
    """How this script was called, with paths that hold on another machine."""
    words = [os.path.relpath(sys.argv[0]), *sys.argv[1:]]
    return "python " + " ".join(word if not os.path.isabs(word) else Path(word).name for word in words)


def finish(row: Row, out: Path) -> None:
    """Show a row and keep it."""
    row.seconds = round(time.monotonic() - _STARTED, 1)
    table = Table("", "ours", "peer", "", "ratio", "95 %", "minima", "CPU", "control", title=row.title)
    for one in row.figures:
        interval = "" if one.low is None else f"{one.low:.3g}–{one.high:.3g}"
        table.add_row(
            one.name, _short(one.ours, one.unit), _short(one.theirs, one.unit), one.peer, _short(one.ratio),
            interval, _short(one.ratio_of_minima), _short(one.cpu_ratio), _short(one.control),
        )  # fmt: skip
    console = Console(width=150)
    console.print(table)
    console.print(f"{row.row}, {row.target}: [bold]{row.verdict}[/bold]. {row.why}", highlight=False)
    write_row(out, row)


def peer_or_none(name: str) -> Any | None:
    """A module that is not among the project's dependencies; None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def missing(*packages: str) -> str:
    """What a row says of peers that are not there."""
    return f"not installed: {', '.join(packages)} (see the extra `bench`)" if packages else ""


def sentences(*parts: str) -> str:
    """Joined reasons; empty ones are left out."""
    return "; ".join(part for part in parts if part)


def _short(number: float | None, unit: str = "") -> str:
    return "" if number is None else f"{number:,.4g} {unit}".rstrip()
