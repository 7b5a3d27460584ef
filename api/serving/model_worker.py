"""The model thread: every call of an encoder, in batches of what has queued meanwhile.

A question waits only while the model is busy; when it is free again, all that has come in for the
same encoder goes through it together. A lone question is not kept waiting for company.

- Where a batch fails, it is halved until the culprit is alone: the others get their embeddings.
- The queue is bounded: what does not fit is refused at once. What has waited past its deadline, or
  whose asker has gone, is dropped.
- When the thread itself ends, whatever the reason, everyone who waits is told, and `is_alive` is
  false from then on.
- Those who asked for embeddings alone are patient: a search goes first.
- Long work of the service itself (`embed_in_background`) is taken up while nobody asks, and every
  `PATIENCE_S` even so.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import metrics
from .problems import log_fault
from .refusals import Busy, DeadlinePassed, NotReady

MAX_BATCH = 8  # on a CPU no model gains by more, and the next question need not wait so long
BACKGROUND_BATCH = 4  # photos, so that a question waits no longer than these take
PATIENCE_S = 2.0
STUCK_AFTER_S = 60.0

Embedding = NDArray[np.float32]
Embed = Callable[[Sequence[Any]], NDArray[np.float32]]


@dataclass(eq=False)
class _Job:
    """One input, for one function of an encoder."""

    embed: Embed  # the same object for all inputs that may go together
    input: Any
    deadline: float  # of time.monotonic
    queued: float = field(default_factory=time.monotonic)
    future: "Future[Embedding]" = field(default_factory=Future)


class ModelWorker:
    """One thread that embeds.

    Args:
        max_waiting: questions in the queue; more are refused.
        max_batch: inputs that go through a model together.
    """

    def __init__(self, *, max_waiting: int = 256, max_batch: int = MAX_BATCH) -> None:
        self._max_waiting, self._max_batch = max_waiting, max_batch
        self._questions: deque[_Job] = deque()
        self._patient: deque[_Job] = deque()
        self._background: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._busy_since: float | None = None
        self.last_success = -np.inf  # time.monotonic of the last batch that went through
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether questions are answered: the thread runs, and is not stuck in a batch."""
        busy_since = self._busy_since
        is_stuck = busy_since is not None and time.monotonic() - busy_since > STUCK_AFTER_S
        return self._thread.is_alive() and not self._is_closed and not is_stuck

    @property
    def n_waiting(self) -> int:
        """Questions in the queue."""
        return len(self._questions) + len(self._patient)

    def submit(
        self, embed: Embed, input: Any, *, within_s: float, is_patient: bool = False
    ) -> "Future[Embedding]":
        """Queue one input.

        Args:
            embed: n inputs -> (n, D). Inputs that are queued with the same function go together.
            input: as the function takes it.
            within_s: seconds after which nobody waits any more.
            is_patient: whether others may go first.

        Returns:
            What will be its embedding, (D,). It may raise what `embed` raises for this input,
            `DeadlinePassed`, or `NotReady` when the thread has ended.

        Raises:
            Busy: the queue is full.
            NotReady: the thread has ended.
        """
        job = _Job(embed, input, time.monotonic() + within_s)
        self._queue(self._patient if is_patient else self._questions, [job], limit=self._max_waiting)
        return job.future

    def embed_in_background(self, embed: Embed, inputs: Sequence[Any]) -> NDArray[np.float32]:
        """Embed inputs whenever no question waits; returns when all are done: (n, D)."""
        jobs = [_Job(embed, input, np.inf) for input in inputs]
        self._queue(self._background, jobs, limit=None)
        return np.stack([job.future.result() for job in jobs])

    def run(self, function: Callable[[], Any]) -> "Future[Any]":
        """Run something else in the model thread, such as loading a model, when no question waits."""
        job = _Job(lambda _: [function()], None, np.inf)  # type: ignore[arg-type,return-value]
        self._queue(self._background, [job], limit=None)
        return job.future

    def close(self) -> None:
        """End the thread once its batch is through; everyone who waits is told."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=STUCK_AFTER_S)
        self._fail_all()

    def _queue(self, queue: "deque[_Job]", jobs: Sequence[_Job], *, limit: int | None) -> None:
        with self._changed:
            if not self.is_alive:
                raise NotReady("the model does not answer; the operator must restart the service")
            if limit is not None and len(queue) + len(jobs) > limit:
                raise Busy(f"{len(queue)} questions wait for the model; ask again in a moment")
            queue.extend(jobs)
            metrics.QUEUE_DEPTH.set(self.n_waiting)
            self._changed.notify()

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                if batch:
                    self._busy_since = time.monotonic()
                    self._embed(batch)
                    self._busy_since = None
        finally:
            self._is_closed = True
            self._fail_all()

    def _next_batch(self) -> list[_Job] | None:
        """Jobs that go together, perhaps none that is still wanted; None at the end."""
        with self._changed:
            while not (self._questions or self._patient or self._background or self._is_closed):
                self._changed.wait()
            if self._is_closed:
                return None
            queue = self._next_queue()
            batch = _take(queue, BACKGROUND_BATCH if queue is self._background else self._max_batch)
            metrics.QUEUE_DEPTH.set(self.n_waiting)
        now = time.monotonic()
        for job in batch:
            if job.deadline < now and job.future.set_running_or_notify_cancel():
                job.future.set_exception(
                    DeadlinePassed("the model was too busy to look at this in time; ask again in a moment")
                )
        return [job for job in batch if job.deadline >= now and job.future.set_running_or_notify_cancel()]

    def _next_queue(self) -> "deque[_Job]":
        """Whose turn it is: searches, then the patient, then long work; but nobody waits forever."""
        now = time.monotonic()
        for queue in (self._background, self._patient):
            if queue and now - queue[0].queued > PATIENCE_S:
                return queue
        return self._questions or self._patient or self._background

    def _embed(self, batch: list[_Job]) -> None:
        """Embed a batch; one that fails is halved until the culprit is alone."""
        started = time.monotonic()
        try:
            embeddings = batch[0].embed([job.input for job in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
            else:
                self._embed(batch[: len(batch) // 2])
                self._embed(batch[len(batch) // 2 :])
            return
        except BaseException as error:  # the thread ends by it; these have left the queue already
            log_fault(error)
            self._is_closed = True
            for job in batch:
                job.future.set_exception(NotReady("the model has stopped"))
            return
        self.last_success = ended = time.monotonic()
        metrics.BATCH_SIZE.observe(len(batch))
        metrics.INFERENCE_SECONDS.observe(ended - started)
        for job, embedding in zip(batch, embeddings, strict=True):
            metrics.QUEUE_SECONDS.observe(started - job.queued)
            job.future.set_result(embedding)

    def _fail_all(self) -> None:
        with self._changed:
            queues = (self._questions, self._patient, self._background)
            waiting = [job for queue in queues for job in queue]
            for queue in queues:
                queue.clear()
        for job in waiting:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(NotReady("the model has stopped"))


def _take(queue: "deque[_Job]", limit: int) -> list[_Job]:
    """The first job of a queue and those that go with it, in order; the others stay, in order."""
    first = queue[0]
    taken: list[_Job] = []
    left: list[_Job] = []
    for job in queue:
        goes = job.embed is first.embed and len(taken) < limit
        (taken if goes else left).append(job)
    queue.clear()
    queue.extend(left)
    return taken
