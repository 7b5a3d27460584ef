"""The benchmark of location embeddings: tasks by splits by rows, scored one after the other.

What is scored is kept as it comes, so that an interrupted run still has all that was done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidProbe, MissingLabels
from ..location_catalog import load_location_encoder
from .folds import Folds, Split, block_cells
from .intervals import MIN_GROUPS, Interval, groups_in_folds, over_folds, resampled
from .probe import ProbeScore, knn_accuracy, ridge_scores
from .rows import Row, nearest_labels
from .stack import stacked_scores
from .tasks import Labels, Task

MIN_ROWS = 50
"""Labels of a task at least: from ten in a fold something can be told."""
MIN_IN_FOLD = 5
MAX_DIMENSION = 10_000
"""Of an embedding: a probe holds matrices of its square, 0.8 GB each at this size."""

Progress = Callable[[str, int, int], None]
Seen = Literal["unseen", "related", "seen"]


@dataclass(frozen=True, eq=False)
class Scored:
    """A row's score on one task and split.

    Attributes:
        row: what was scored.
        score: the score.
        seen: whether its encoder was trained on what the task asks, or on something closely related.
        dimension: of the embedding; 0 without.
        seconds: that it took; rows of one stack share theirs.
    """

    row: Row
    score: ProbeScore
    seen: Seen
    dimension: int
    seconds: float


@dataclass(eq=False)
class Board:
    """All rows of one task and split.

    Attributes:
        task: what was asked.
        split: how folds were made.
        labels: the labels that were kept.
        folds: label of each row's fold, (N,).
        rows: the scores, in the order of the table once all are there.
    """

    task: Task
    split: Split
    labels: Labels
    folds: Folds
    rows: list[Scored] = field(default_factory=list)

    @property
    def best_baseline(self) -> int | None:
        """Place of the best row in which nothing was trained but on the task itself."""
        places = [place for place, one in enumerate(self.rows) if one.row.is_baseline]
        return max(places, key=lambda place: self.rows[place].score.mean, default=None)

    @property
    def groups(self) -> NDArray[np.intp]:
        """What is held out together: number of each row, or of its block, (N,)."""
        if self.split.degrees is None:
            return np.arange(len(self.labels))
        return np.asarray(block_cells(self.labels.lonlat, self.split.degrees), dtype=np.intp)

    @property
    def has_intervals(self) -> bool:
        """Whether every fold holds blocks enough to draw among: of one block all resamples are the same."""
        return bool(groups_in_folds(self.folds, self.groups).min() >= MIN_GROUPS)

    def figures(self) -> list[Figures]:
        """Scores with intervals, where these mean something, and gains, in the order of the rows."""
        if not self.rows:
            return []
        groups = self.groups
        y = self.labels.y
        truth = np.unique(y, return_inverse=True)[1] if self.task.is_class else np.asarray(y, dtype=float)
        predictions = np.stack([one.score.predictions for one in self.rows])
        draws = resampled(predictions, truth, self.folds, groups, is_class=self.task.is_class)
        best, is_drawn = self.best_baseline, self.has_intervals
        return [
            Figures(
                scored=one,
                bootstrap=draws.interval(place) if is_drawn else None,
                folds=over_folds(one.score.per_fold),
                gain=None if best is None else one.score.mean - self.rows[best].score.mean,
                gain_interval=draws.gain(place, best) if is_drawn and best is not None else None,
            )
            for place, one in enumerate(self.rows)
        ]


@dataclass(frozen=True, eq=False)
class Figures:
    """A score with its 95 % intervals, and its gain over the best baseline.

    There is no bootstrap interval where a fold holds fewer blocks than `intervals.MIN_GROUPS`.
    """

    scored: Scored
    bootstrap: Interval | None
    folds: Interval
    gain: float | None
    gain_interval: Interval | None


@dataclass(eq=False)
class Bench:
    """A run of the benchmark.

    Attributes:
        boards: what was scored, in order.
        notes: what was skipped, and why; a line each.
        max_rows: labels at most for each task; None for all.
        encoders: facts of the encoders that were loaded, by name.
    """

    boards: list[Board] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    max_rows: int | None = None
    encoders: dict[str, dict[str, Any]] = field(default_factory=dict)


def run_bench(
    bench: Bench,
    tasks: Sequence[Task],
    folder: Path,
    rows: Sequence[Row],
    *,
    splits: Sequence[Split] | None = None,
    progress: Progress = lambda what, done, total: None,
    done: Callable[[Board, Scored], None] = lambda board, scored: None,
) -> None:
    """Score all rows on all tasks and splits, into `bench`.

    Args:
        bench: takes the scores as they come.
        tasks: what to ask.
        folder: of the labels.
        rows: what to score; those that do not suit a task are left out there.
        splits: how to make folds; each task's own when left out.
        progress: called with what is being done, how much of it, and of how much.
        done: called with each score.

    Raises:
        UnknownEncoder, WeightsUnavailable: an encoder that cannot be had; before anything is scored.
        InvalidProbe: one whose embedding is too long to be probed; or labels that cannot be read.
    """
    encoders = {name: load_location_encoder(name) for name in _names(rows)}
    for name, encoder in encoders.items():
        if encoder.dimension > MAX_DIMENSION:
            raise InvalidProbe(
                f"{name} gives {encoder.dimension:,} numbers a row; a probe takes {MAX_DIMENSION:,} at most,"
                " since it holds matrices of the square of that"
            )
        bench.encoders[name] = {
            "dimension": encoder.dimension,
            "fingerprint": encoder.fingerprint,
            "trained_on": sorted(getattr(encoder, "trained_on", frozenset())),
        }
    for task in tasks:
        try:
            labels = task.labels(folder).first(bench.max_rows)
        except MissingLabels as error:
            bench.notes.append(f"skipped: {error}")
            continue
        bench.notes += labels.notes
        if len(labels) < MIN_ROWS:
            bench.notes.append(
                f"skipped: task {task.name}: {len(labels)} labels are too few to measure anything;"
                f" at least {MIN_ROWS} are needed"
            )
            continue
        suited = [row for row in rows if row.suits(is_class=task.is_class)]
        progress(f"{task.name}: embedding", 0, 1)
        embeddings = {name: encoders[name].encode(labels.lonlat) for name in _names(suited)}
        for split in splits if splits is not None else map(Split.named, task.splits):
            board = Board(task, split, labels, split.folds(labels.lonlat))
            if fault := _fault(board):
                bench.notes.append(f"skipped: task {task.name}, {split.title}: {fault}")
                continue
            bench.boards.append(board)
            try:
                _score(board, suited, embeddings, bench, progress, done)
            finally:
                order = {row: place for place, row in enumerate(suited)}
                board.rows.sort(key=lambda one: order[one.row])


def _fault(board: Board) -> str:
    """Why nothing can be measured on these folds; empty if it can."""
    sizes = np.bincount(board.folds)
    if (sizes > 0).sum() < 2:
        return "all labels fall into one fold"
    if (least := int(sizes[sizes > 0].min())) < MIN_IN_FOLD:
        return f"a fold holds {least} label{'' if least == 1 else 's'} only; take blocks of another size"
    y = board.labels.y
    if not board.task.is_class and any(
        np.ptp(y[board.folds == fold]) == 0.0 for fold in np.flatnonzero(sizes)
    ):
        return "all labels of a fold are the same, so that R² has nothing to explain"
    return ""


def _score(
    board: Board,
    rows: Sequence[Row],
    embeddings: dict[str, NDArray[np.float32]],
    bench: Bench,
    progress: Progress,
    done: Callable[[Board, Scored], None],
) -> None:
    """Score all rows of a board: the quick ones first, then the stacks, which share their neighbors."""
    where = f"{board.task.name}, {board.split.title}"

    def keep(row: Row, score: ProbeScore, start: float) -> None:
        known = set() if row.encoder is None else set(bench.encoders[row.encoder]["trained_on"])
        seen: Seen = "seen" if board.task.variables & known else "unseen"
        if seen == "unseen" and board.task.related & known:
            seen = "related"
        width = 0 if row.encoder is None else embeddings[row.encoder].shape[1]
        board.rows.append(Scored(row, score, seen, width, perf_counter() - start))
        done(board, board.rows[-1])

    quick = [row for row in rows if row.method not in ("neighbors", "boosting")]
    for place, row in enumerate(quick):
        progress(f"{where}: {row.name}", place, len(quick))
        start = perf_counter()
        keep(row, _quick_score(board, row, embeddings), start)
    stacks = {row.name: row for row in rows if row.method in ("neighbors", "boosting")}
    if not stacks:
        return
    start = perf_counter()
    sources = dict.fromkeys(row.encoder for row in stacks.values())
    boosted = {row.encoder for row in stacks.values() if row.method == "boosting"}
    try:
        scores = stacked_scores(
            {name: None if name is None else embeddings[name] for name in sources},
            board.labels.y,
            board.labels.lonlat,
            board.split,
            classification=board.task.is_class,
            boosted=boosted,
            progress=lambda part, total: progress(f"{where}: stacks", part, total),
        )
    except InvalidProbe as error:
        bench.notes.append(f"skipped: task {board.task.name}, {board.split.title}, stacks: {error}")
        return
    for row in stacks.values():
        keep(row, scores[row.encoder, row.method == "boosting"], start)


def _quick_score(board: Board, row: Row, embeddings: dict[str, NDArray[np.float32]]) -> ProbeScore:
    y, lonlat, folds, is_class = board.labels.y, board.labels.lonlat, board.folds, board.task.is_class
    if row.encoder is None:
        k, is_weighted = (10, True) if row.method == "idw10" else (5, False)
        return nearest_labels(y, lonlat, folds, k=k, is_weighted=is_weighted, is_class=is_class)
    if row.method == "knn5":
        return knn_accuracy(embeddings[row.encoder], y, folds)
    return ridge_scores(embeddings[row.encoder], y, folds, classification=is_class)


def _names(rows: Sequence[Row]) -> list[str]:
    """Encoders that the rows need, each once."""
    return list(dict.fromkeys(row.encoder for row in rows if row.encoder is not None))
