"""A run of the benchmark.

Claims: rows are scored on each split in the order asked; what an encoder has seen, or something close to
it, is marked; what cannot be scored is noted, not silent; an interruption leaves what was done; gains
are over the best row that was not trained.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from placeprint.encoders.errors import InvalidProbe, UnknownEncoder
from placeprint.encoders.probes import bench
from placeprint.encoders.probes.bench import Bench, Board, Scored, run_bench
from placeprint.encoders.probes.folds import Split
from placeprint.encoders.probes.rows import Row
from placeprint.encoders.probes.tasks import Labels, Task
from placeprint.encoders.sphere import as_lonlat, unit_vectors


class Waves:
    """A stand-in for an encoder: knows where the task's field comes from."""

    name, dimension, fingerprint = "waves", 6, "0123"
    trained_on = frozenset({"heat"})

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, lonlat: ArrayLike, *, batch_size: int = 8192) -> NDArray[np.float32]:
        self.calls += 1
        xyz = unit_vectors(as_lonlat(lonlat))
        return np.concatenate([np.cos(30 * xyz), np.sin(30 * xyz)], axis=1).astype(np.float32)


@pytest.fixture
def waves(monkeypatch: pytest.MonkeyPatch) -> Waves:
    encoder = Waves()

    def load(name: str) -> Waves:
        if name in ("waves", "sincos"):
            return encoder
        raise UnknownEncoder(f"no location encoder {name!r}")

    monkeypatch.setattr(bench, "load_location_encoder", load)
    return encoder


def task(name: str, variable: str, *, is_class: bool = False, related: str = "", east: float = 190.0) -> Task:
    def load(path: Path) -> Labels:
        rng = np.random.default_rng(5)
        lonlat = rng.uniform([170.0, -10.0], [east, 10.0], (160, 2))
        lonlat[:, 0] = np.where(lonlat[:, 0] >= 180, lonlat[:, 0] - 360, lonlat[:, 0])
        y = np.sin(30 * unit_vectors(lonlat)[:, 2]) + 0.05 * rng.normal(size=160)
        return Labels(lonlat, np.where(y > 0, "up", "down") if is_class else y)

    return Task(
        name=name, title=name, unit="K", is_class=is_class, variables=frozenset({variable}),
        related=frozenset({related}), file="there", origin="nowhere", url="https://example.org",
        licence="none", load=load,
    )  # fmt: skip


def rows(*names: str) -> list[Row]:
    return [Row.named(name) for name in names]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "there").touch()
    return tmp_path


def test_rows_are_scored_in_the_order_asked(waves: Waves, folder: Path) -> None:
    bench = Bench()
    names = ("waves+neighbors", "knn5", "waves", "idw10", "neighbors")
    run_bench(bench, [task("a", "x")], folder, rows(*names), splits=[Split(), Split(4.0)])
    assert [board.split.name for board in bench.boards] == ["random", "block4"]
    for board in bench.boards:
        assert [one.row.name for one in board.rows] == list(names)
        assert {one.row.name: one.dimension for one in board.rows}["waves"] == 6
    assert waves.calls == 1
    scores = {one.row.name: one.score.mean for one in bench.boards[1].rows}
    assert scores["waves"] > 0.95 > scores["knn5"]
    assert scores["waves+neighbors"] > 0.95


def test_gains_are_over_the_best_row_that_was_not_trained(waves: Waves, folder: Path) -> None:
    bench = Bench()
    run_bench(bench, [task("a", "x")], folder, rows("waves", "knn5", "idw10"), splits=[Split(4.0)])
    board = bench.boards[0]
    figures = {one.scored.row.name: one for one in board.figures()}
    best = max(("knn5", "idw10"), key=lambda name: figures[name].scored.score.mean)
    assert board.best_baseline is not None
    assert board.rows[board.best_baseline].row.name == best
    assert figures[best].gain == 0.0
    gain = figures["waves"].scored.score.mean - figures[best].scored.score.mean
    assert figures["waves"].gain == pytest.approx(gain)
    low, high = figures["waves"].gain_interval or (0, 0)
    assert 0 < low < gain < high


def test_what_was_seen_is_marked(waves: Waves, folder: Path) -> None:
    bench = Bench()
    tasks = [task("a", "x"), task("b", "heat"), task("c", "snow", related="heat")]
    run_bench(bench, tasks, folder, rows("knn5", "waves"), splits=[Split()])
    assert [[one.seen for one in board.rows] for board in bench.boards] == [
        ["unseen", "unseen"], ["unseen", "seen"], ["unseen", "related"],
    ]  # fmt: skip


def test_rows_that_do_not_suit_a_task_are_left_out(waves: Waves, folder: Path) -> None:
    bench = Bench()
    asked = rows("knn5", "boosting", "waves+knn5")
    run_bench(bench, [task("a", "x"), task("b", "x", is_class=True)], folder, asked, splits=[Split()])
    assert [[one.row.name for one in board.rows] for board in bench.boards] == [
        ["knn5", "boosting"], ["knn5", "waves+knn5"],
    ]  # fmt: skip


def test_what_cannot_be_scored_is_noted(waves: Waves, tmp_path: Path, folder: Path) -> None:
    bench = Bench(max_rows=100)
    run_bench(bench, [task("a", "x")], tmp_path / "empty", rows("knn5"))
    assert "https://example.org" in bench.notes[0]
    narrow = task("a", "x", east=179.0)
    run_bench(bench, [narrow], folder, rows("knn5", "neighbors"), splits=[Split(80.0)])
    assert [one.row.name for one in bench.boards[0].rows] == ["knn5"]
    assert "smaller blocks" in bench.notes[-1]


def test_a_split_with_one_fold_is_noted(waves: Waves, folder: Path) -> None:
    bench = Bench()
    north = replace(task("a", "x"), load=lambda path: Labels(np.full((60, 2), 5.0), np.arange(60.0)))
    run_bench(bench, [north], folder, rows("knn5"), splits=[Split(10.0), Split()])
    assert [board.split.name for board in bench.boards] == ["random"]
    assert "one fold" in bench.notes[0]


def test_an_unknown_encoder_is_told_before_anything_is_scored(waves: Waves, folder: Path) -> None:
    bench = Bench()
    with pytest.raises(UnknownEncoder):
        run_bench(bench, [task("a", "x")], folder, rows("knn5", "nothing"))
    assert bench.boards == []


def test_an_interruption_leaves_what_was_done(waves: Waves, folder: Path) -> None:
    bench = Bench()

    def stop(board: Board, one: Scored) -> None:
        if one.row.name == "idw10":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_bench(bench, [task("a", "x")], folder, rows("knn5", "idw10", "waves"), done=stop)
    assert [one.row.name for one in bench.boards[0].rows] == ["knn5", "idw10"]
    assert len(bench.boards[0].figures()) == 2


def few(task: Task, n: int, y: float | None = None) -> Task:
    def load(path: Path) -> Labels:
        labels = task.load(path)
        return Labels(labels.lonlat[:n], labels.y[:n] if y is None else np.full(n, y), ("2 rows left out",))

    return replace(task, load=load)


def test_few_labels_are_refused_and_what_was_left_out_is_noted(waves: Waves, folder: Path) -> None:
    bench = Bench()
    run_bench(bench, [few(task("a", "x"), 49)], folder, rows("knn5"), splits=[Split()])
    assert bench.boards == []
    assert bench.notes[0] == "2 rows left out"
    assert "49 labels are too few to measure anything; at least 50" in bench.notes[1]
    run_bench(bench, [few(task("a", "x"), 50)], folder, rows("knn5"), splits=[Split()])
    assert len(bench.boards) == 1


def test_folds_without_rows_or_spread_are_skipped(waves: Waves, folder: Path) -> None:
    bench = Bench()
    run_bench(bench, [few(task("a", "x"), 60, 3.0)], folder, rows("knn5"), splits=[Split()])
    assert "all labels of a fold are the same" in bench.notes[-1]
    lonlat = np.concatenate([np.full((58, 2), 5.0), [[50.0, 50.0], [120.0, 50.0]]])
    lonely = replace(task("a", "x"), load=lambda path: Labels(lonlat, np.arange(60.0)))
    run_bench(bench, [lonely], folder, rows("knn5"), splits=[Split(10.0)])
    assert "a fold holds 1 label only" in bench.notes[-1]
    assert bench.boards == []


def test_an_interval_needs_blocks_to_draw_among(waves: Waves, folder: Path) -> None:
    bench = Bench()
    run_bench(
        bench, [task("a", "x")], folder, rows("knn5", "waves"), splits=[Split(10.0), Split(2.0), Split()]
    )
    wide, narrow, single = bench.boards
    assert not wide.has_intervals  # four blocks
    assert [(one.bootstrap, one.gain_interval) for one in wide.figures()] == [(None, None)] * 2
    assert wide.figures()[1].gain is not None
    for board in (narrow, single):
        assert board.has_intervals
        assert all(one.bootstrap and one.bootstrap[0] < one.bootstrap[1] for one in board.figures())


def test_embeddings_too_long_to_be_probed_are_refused(waves: Waves, folder: Path) -> None:
    waves.dimension = 810_000
    with pytest.raises(InvalidProbe, match="waves gives 810,000 numbers a row; a probe takes 10,000"):
        run_bench(Bench(), [task("a", "x")], folder, rows("waves"))
    assert waves.calls == 0
