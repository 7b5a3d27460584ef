"""The report of ``placeprint bench``: tables on the terminal, and JSON, Markdown and a picture in a folder.

Scores stand with 95 % bootstrap intervals over what was held out together: rows, or whole blocks.
Gains are over the best row in which nothing was trained but on the task itself, and paired.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from .. import __version__
from ..encoders.probes.anchors import SOURCE, Anchor, anchors
from ..encoders.probes.bench import Bench, Board, Figures
from ..encoders.probes.intervals import MIN_GROUPS, Interval
from ..encoders.probes.tasks import Task
from . import console

PROTOCOL = (
    "CoordBench's protocol: five folds, drawn at random in file order or from blocks of the map (seed 0);"
    " features z-scored on the training rows; ridge with a penalized intercept, its penalty the best of 21"
    " on the reported folds; the score is the mean over folds of R², or of accuracy. Rows with +neighbors"
    " and +boosting choose all that is chosen on training rows alone."
)
INTERVALS = (
    "Intervals are 95 % bootstrap intervals over the test rows, or over whole blocks where the folds are"
    f" blocks; the models stay as they are. There are none where a fold holds fewer than {MIN_GROUPS} blocks,"
    " of which too few different draws can be made. Gains are over the best row in which nothing was"
    " trained but on the task itself (marked *), and paired."
)
MARKS = {"seen": "†", "related": "‡", "unseen": ""}
MEANINGS = {
    "†": "the encoder's training saw what the task asks",
    "‡": "its training saw something that tells much of the answer",
    "*": "the best row in which nothing was trained but on the task itself",
    "[–]": f"no interval, since a fold holds fewer than {MIN_GROUPS} blocks",
}


def show_bench(bench: Bench) -> None:
    """Print a table for each task, what was gained, and what was skipped."""
    out = console.out if console.out.is_terminal else Console(width=160, highlight=False)
    for task, boards in _by_task(bench):
        figures = [board.figures() for board in boards]
        out.print(_table(task, boards, figures, bench.max_rows))
        for line in _gains(boards, figures):
            out.print(f"  {line}", soft_wrap=True, markup=False)
        out.print()
    if bench.boards:
        out.print("; ".join(f"{mark} {meaning}" for mark, meaning in _marks(bench).items()), soft_wrap=True)
    for note in bench.notes:
        console.err.print(note, markup=False, soft_wrap=True)


def write_bench(bench: Bench, folder: Path) -> list[Path]:
    """Write `location.json`, `location.md` and `location.png` into a folder; return their paths."""
    from .bench_plot import plot_bench  # loads matplotlib

    paths = [folder / f"location.{suffix}" for suffix in ("json", "md", "png")]
    report = bench_dict(bench)
    paths[0].write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    paths[1].write_text(markdown(bench), encoding="utf-8")
    plot_bench(bench, paths[2])
    return paths


def bench_dict(bench: Bench) -> dict[str, Any]:
    """All figures as plain JSON types."""
    return {
        "placeprint": __version__,
        "protocol": PROTOCOL,
        "intervals": INTERVALS,
        "published": SOURCE,
        "max_rows": bench.max_rows,
        "encoders": bench.encoders,
        "notes": bench.notes,
        "boards": [_board_dict(board) for board in bench.boards],
    }


def _board_dict(board: Board) -> dict[str, Any]:
    task, best = board.task, board.best_baseline
    return {
        "task": task.name,
        "title": task.title,
        "unit": task.unit,
        "score": task.score_name,
        "split": board.split.name,
        "n": len(board.labels),
        "has_intervals": board.has_intervals,
        "fold_sizes": np.bincount(board.folds).tolist(),
        "source": {"origin": task.origin, "url": task.url, "licence": task.licence, "note": task.note},
        "best_baseline": None if best is None else board.rows[best].row.name,
        "rows": [
            {
                "row": one.scored.row.name,
                "score": one.scored.score.mean,
                "bootstrap_95": one.bootstrap,
                "folds_95": one.folds,
                "per_fold": one.scored.score.per_fold.tolist(),
                "alpha": None if np.isnan(one.scored.score.alpha) else one.scored.score.alpha,
                "gain": one.gain,
                "gain_95": one.gain_interval,
                "seen": one.scored.seen,
                "dimension": one.scored.dimension,
                "seconds": round(one.scored.seconds, 2),
            }
            for one in board.figures()
        ],
        "published": [vars(anchor) for anchor in anchors(task.name, board.split.name)],
    }


def markdown(bench: Bench) -> str:
    """The report as Markdown."""
    lines = ["# What location embeddings know", "", PROTOCOL, "", INTERVALS, ""]
    if bench.max_rows is not None:
        lines += [f"**A quick look: at most {bench.max_rows:,} labels of each task.**", ""]
    for task, boards in _by_task(bench):
        figures = [board.figures() for board in boards]
        lines += [f"## {task.title}", "", _about(task, boards), ""]
        head = [f"{task.score_name}, {board.split.title}" for board in boards]
        lines += ["| row | " + " | ".join(head) + " |", "|---|" + "---:|" * len(head)]
        for name, cells in _lines(boards, figures):
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines += ["", *(f"- {line}" for line in _gains(boards, figures)), ""]
    lines += [f"{mark} {meaning}.  " for mark, meaning in _marks(bench).items()] + [""]
    if any(anchors(board.task.name, board.split.name) for board in bench.boards):
        lines += [f"Published scores: {SOURCE}; (other rows) were measured on points of their own.", ""]
    lines += [f"- {note}" for note in bench.notes]
    return "\n".join(lines).rstrip() + "\n"


def _table(task: Task, boards: list[Board], figures: list[list[Figures]], max_rows: int | None) -> Table:
    quick = "" if max_rows is None else f" A quick look: at most {max_rows:,} labels."
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), title_justify="left", caption_justify="left",
        title=f"{task.title}: {task.score_name}", caption=f"{_about(task, boards)}{quick}",
    )  # fmt: skip
    table.add_column("", no_wrap=True)
    for board in boards:
        table.add_column(board.split.title, justify="right", no_wrap=True)
    for name, cells in _lines(boards, figures):
        style = "dim" if name.startswith("published") else "bold" if "placeprint" in name else ""
        table.add_row(name, *cells, style=style)
    return table


def _about(task: Task, boards: list[Board]) -> str:
    note = f" {task.note}" if task.note else ""
    kind = "classes" if task.is_class else task.unit
    n_labels = len(boards[0].labels)
    return f"{n_labels:,} labels, {kind}. {task.origin} ({task.licence}).{note}"


def _lines(boards: list[Board], figures: list[list[Figures]]) -> Iterator[tuple[str, list[str]]]:
    """A name and a cell for each split, row by row; published scores last."""
    names = list(dict.fromkeys(one.scored.row.name for part in figures for one in part))
    for name in names:
        cells = []
        for board, part in zip(boards, figures, strict=True):
            best = board.best_baseline
            found = next((one for one in part if one.scored.row.name == name), None)
            is_best = best is not None and board.rows[best].row.name == name
            cells.append("" if found is None else _cell(found, is_best=is_best))
        yield name, cells
    published = [anchors(board.task.name, board.split.name) for board in boards]
    for model, method, same in dict.fromkeys(_key(anchor) for part in published for anchor in part):
        matching = [[one for one in part if _key(one) == (model, method, same)] for part in published]
        where = "" if same else " (other rows)"
        label = f"published: {model}{'+knn5' if method == 'knn5' else ''}{where}"
        yield label, [f"{part[0].score:.3f}" if part else "" for part in matching]


def _marks(bench: Bench) -> dict[str, str]:
    """The marks that stand in the tables, with their meanings."""
    used = {MARKS[one.seen] for board in bench.boards for one in board.rows} | {"*"}
    used |= {"[–]"} if any(board.rows and not board.has_intervals for board in bench.boards) else set()
    return {mark: meaning for mark, meaning in MEANINGS.items() if mark in used}


def _key(anchor: Anchor) -> tuple[str, str, bool]:
    return anchor.model, anchor.method, anchor.has_same_rows


def _cell(figures: Figures, *, is_best: bool) -> str:
    marks = MARKS[figures.scored.seen] + ("*" if is_best else "")
    return f"{figures.scored.score.mean:.3f}{marks} {_interval(figures.bootstrap, '.3f')}"


def _interval(interval: Interval | None, form: str) -> str:
    """Both ends in brackets, or a dash."""
    return "[–]" if interval is None else f"[{', '.join(format(end, form) for end in interval)}]"


def _gains(boards: list[Board], figures: list[list[Figures]]) -> Iterator[str]:
    """A line for each trained row: what it gains over the best baseline of each split."""
    trained = [one.scored.row for part in figures for one in part if not one.scored.row.is_baseline]
    for row in dict.fromkeys(trained):
        parts = []
        for board, part in zip(boards, figures, strict=True):
            found = next((one for one in part if one.scored.row == row), None)
            if found is None or found.gain is None:
                continue
            best = board.rows[board.best_baseline or 0].row.name
            told = f"{found.gain:+.3f} {_interval(found.gain_interval, '+.3f')}"
            parts.append(f"{board.split.title} {told} over {best}")
        if parts:
            yield f"{row.name}: {'; '.join(parts)}"


def _by_task(bench: Bench) -> Iterator[tuple[Task, list[Board]]]:
    scored = (board for board in bench.boards if board.rows)
    for _, boards in groupby(scored, key=lambda board: board.task.name):
        listed = list(boards)
        yield listed[0].task, listed
