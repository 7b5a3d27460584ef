"""The model thread: batches what has queued, isolates poison, keeps its bounds, and says when it is dead."""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from placeprint.api.serving import model_worker
from placeprint.api.serving.model_worker import ModelWorker
from placeprint.api.serving.refusals import Busy, DeadlinePassed, NotReady


class Model:
    """Embeds numbers as themselves; waits for `go`; fails for what is poison."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Event()

    def __call__(self, batch: Sequence[Any]) -> np.ndarray:
        self.entered.set()
        assert self.go.wait(10)
        self.batches.append(list(batch))
        if "poison" in batch:
            raise ValueError("poison")
        return np.array([[float(one)] for one in batch], np.float32)


@pytest.fixture
def worker() -> Iterator[ModelWorker]:
    made = ModelWorker(max_waiting=64, max_batch=8)
    yield made
    made.close()


def held(worker: ModelWorker, model: Model) -> Any:
    """A question that keeps the model busy until `model.go` is set."""
    model.go.clear()
    model.entered.clear()
    first = worker.submit(model, 0, within_s=10)
    assert model.entered.wait(10)
    return first


def test_what_queues_while_the_model_is_busy_goes_together_and_in_order(worker: ModelWorker) -> None:
    model = Model()
    first = held(worker, model)
    futures = [worker.submit(model, i, within_s=10) for i in range(1, 20)]
    model.go.set()
    assert [float(future.result(10)[0]) for future in [first, *futures]] == [float(i) for i in range(20)]
    assert [len(batch) for batch in model.batches] == [1, 8, 8, 3]


def test_only_inputs_of_one_model_go_together(worker: ModelWorker) -> None:
    one, other = Model(), Model()
    first = held(worker, one)
    futures = [worker.submit((one, other)[i % 2], i, within_s=10) for i in range(6)]
    one.go.set()
    first.result(10)
    assert [float(future.result(10)[0]) for future in futures] == [0, 1, 2, 3, 4, 5]
    assert one.batches == [[0], [0, 2, 4]] and other.batches == [[1, 3, 5]]


@pytest.mark.parametrize("poisoned", [{3}, {0, 7}, set(range(8)), set()])
def test_poison_costs_itself_alone(worker: ModelWorker, poisoned: set[int]) -> None:
    model = Model()
    held(worker, model)
    futures = [worker.submit(model, "poison" if i in poisoned else i, within_s=10) for i in range(8)]
    model.go.set()
    for i, future in enumerate(futures):
        if i in poisoned:
            with pytest.raises(ValueError, match="poison"):
                future.result(10)
        else:
            assert float(future.result(10)[0]) == i
    assert worker.is_alive


def test_a_full_queue_refuses_at_once(worker: ModelWorker) -> None:
    model = Model()
    held(worker, model)
    futures = [worker.submit(model, i, within_s=10) for i in range(64)]
    with pytest.raises(Busy, match="64 questions wait"):
        worker.submit(model, 65, within_s=10)
    model.go.set()
    assert len([future.result(10) for future in futures]) == 64


def test_what_has_waited_too_long_or_is_not_wanted_any_more_is_dropped(worker: ModelWorker) -> None:
    model = Model()
    first = held(worker, model)
    late = worker.submit(model, 1, within_s=0.01)
    unwanted = worker.submit(model, 2, within_s=10)
    wanted = worker.submit(model, 3, within_s=10)
    unwanted.cancel()
    time.sleep(0.05)
    model.go.set()
    with pytest.raises(DeadlinePassed):
        late.result(10)
    assert float(wanted.result(10)[0]) == 3 and first.done()
    assert model.batches == [[0], [3]]


def test_everyone_who_waits_is_told_when_the_thread_ends(worker: ModelWorker) -> None:
    def die(batch: Any) -> Any:
        raise KeyboardInterrupt

    model = Model()
    held(worker, model)
    dying = worker.submit(die, 1, within_s=10)
    waiting = [worker.submit(model, i, within_s=10) for i in range(3)]
    told = []

    def work() -> None:
        with pytest.raises(NotReady):
            worker.embed_in_background(model, [1])
        told.append(True)

    behind = threading.Thread(target=work)
    behind.start()
    time.sleep(0.05)
    model.go.set()
    for future in (dying, *waiting):
        if future is dying or future.exception(10) is not None:
            with pytest.raises(NotReady):
                future.result(10)
    behind.join(10)
    assert told and not worker.is_alive
    with pytest.raises(NotReady):
        worker.submit(model, 1, within_s=10)


def test_a_thread_stuck_in_a_batch_is_not_alive(worker: ModelWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model()
    held(worker, model)
    assert worker.is_alive
    monkeypatch.setattr(model_worker, "STUCK_AFTER_S", 0.0)
    assert not worker.is_alive
    model.go.set()


def test_questions_go_before_long_work_but_not_forever(
    worker: ModelWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, done = Model(), []
    held(worker, model)
    work = threading.Thread(
        target=lambda: done.append(worker.embed_in_background(model, list(range(100, 110))))
    )
    work.start()
    while len(worker._background) < 10:
        time.sleep(0.001)
    question = worker.submit(model, 1, within_s=10)
    model.go.set()
    work.join(10)
    assert float(question.result(10)[0]) == 1
    assert model.batches[:2] == [[0], [1]] and [len(batch) for batch in model.batches[2:]] == [4, 4, 2]
    assert done[0].ravel().tolist() == [float(i) for i in range(100, 110)]
    monkeypatch.setattr(model_worker, "PATIENCE_S", 0.0)
    held(worker, model)
    work = threading.Thread(target=lambda: worker.embed_in_background(model, [7]))
    work.start()
    while not worker._background:
        time.sleep(0.001)
    worker.submit(model, 8, within_s=10)
    model.go.set()
    work.join(10)
    assert model.batches[-2:] in ([[7], [8]], [[0], [7]])


def test_something_else_can_run_in_the_model_thread(worker: ModelWorker) -> None:
    assert worker.run(lambda: threading.current_thread().name).result(10) == "model"
    with pytest.raises(ZeroDivisionError):
        worker.run(lambda: 1 / 0).result(10)
