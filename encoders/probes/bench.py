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
from .intervals import Interval, over_folds, resampled
from .probe import ProbeScore, knn_accuracy, ridge_scores
from .rows import Row, nearest_labels
from .stack import stacked_scores
from .tasks import Labels, Task

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

    def figures(self) -> list[Figures]:
        """Scores with intervals and gains, in the order of the rows."""
        if not self.rows:
            return []
        groups = np.arange(len(self.labels))
        if self.split.degrees is not None:
            groups = block_cells(self.labels.lonlat, self.split.degrees)
        y = self.labels.y
        truth = np.unique(y, return_inverse=True)[1] if self.task.is_class else np.asarray(y, dtype=float)
        predictions = np.stack([one.score.predictions for one in self.rows])
        draws = resampled(predictions, truth, self.folds, groups, is_class=self.task.is_class)
        best = self.best_baseline
        return [
            Figures(
                scored=one,
                bootstrap=draws.interval(place),
                folds=over_folds(one.score.per_fold),
                gain=None if best is None else one.score.mean - self.rows[best].score.mean,
                gain_interval=None if best is None else draws.gain(place, best),
            )
            for place, one in enumerate(self.rows)
        ]


@dataclass(frozen=True, eq=False)
class Figures:
    """A score with its 95 % intervals, and its gain over the best baseline."""

    scored: Scored
    bootstrap: Interval
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
    """
    encoders = {name: load_location_encoder(name) for name in _names(rows)}
    for name, encoder in encoders.items():
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
        suited = [row for row in rows if row.suits(is_class=task.is_class)]
        progress(f"{task.name}: embedding", 0, 1)
        embeddings = {name: encoders[name].encode(labels.lonlat) for name in _names(suited)}
        for split in splits if splits is not None else map(Split.named, task.splits):
            board = Board(task, split, labels, split.folds(labels.lonlat))
            if len(np.unique(board.folds)) < 2:
                bench.notes.append(f"skipped: task {task.name}, {split.title}: all labels fall into one fold")
                continue
            bench.boards.append(board)
            try:
                _score(board, suited, embeddings, bench, progress, done)
            finally:
                order = {row: place for place, row in enumerate(suited)}
                board.rows.sort(key=lambda one: order[one.row])


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
