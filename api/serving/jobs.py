"""Long work in the background, one piece after the other, with progress and a way to call it off."""

import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from ...encoders.errors import PlaceprintError
from . import metrics
from .problems import log_fault
from .refusals import Conflict, UnknownJob

log = logging.getLogger("placeprint.service")

Status = Literal["waiting", "running", "done", "failed", "canceled"]
KEPT = 200
"""Jobs that are remembered after their end."""

MAX_WAITING = 20


class Canceled(Exception):  # no error: somebody wished it
    """The job was called off. Raised where it says how far it is."""


@dataclass
class Job:
    """A piece of work and how far it is. Only its own thread writes, but for `cancel`."""

    kind: str
    gallery: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: Status = "waiting"
    n_done: int = 0
    n_total: int | None = None
    stage: str = ""
    detail: str = ""
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    ended_at: datetime | None = None
    _canceled: threading.Event = field(default_factory=threading.Event)
    _stage_began: tuple[float, int] = (0.0, 0)

    def tell(self, n_done: int, n_total: int | None = None, stage: str | None = None) -> None:
        """Say how far it is.

        Raises:
            Canceled: it was called off.
        """
        if self._canceled.is_set():
            raise Canceled
        if stage is not None and stage != self.stage:
            self.stage, self._stage_began = stage, (time.monotonic(), n_done)
        self.n_done, self.n_total = n_done, n_total

    def cancel(self) -> None:
        """Ask it to stop where it next says how far it is."""
        self._canceled.set()

    @property
    def is_canceled(self) -> bool:
        """Whether it was called off."""
        return self._canceled.is_set()

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in ("done", "failed", "canceled")

    def to_dict(self) -> dict[str, Any]:
        """As it is told."""
        told = {
            name: getattr(self, name)
            for name in (
                "id", "kind", "gallery", "status", "n_done", "n_total", "stage", "detail",
                "created_at", "started_at", "ended_at",
            )
        }  # fmt: skip
        return told | {"seconds_left": self._seconds_left()}

    def _seconds_left(self) -> float | None:
        began, n_before = self._stage_began
        n_since = self.n_done - n_before
        if self.status != "running" or self.n_total is None or n_since <= 0:
            return None
        return round((time.monotonic() - began) / n_since * (self.n_total - self.n_done), 1)


Work = Callable[[Job], str]  # tells how far it is through the job; what it returns is the job's detail


class Jobs:
    """A queue of jobs and one thread that works on them."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        self._jobs: dict[str, Job] = {}

    def __iter__(self) -> "Any":
        return iter(sorted(self._jobs.values(), key=lambda job: job.created_at, reverse=True))

    def get(self, id: str) -> Job:
        """A job by its id.

        Raises:
            UnknownJob: there is none, or it was forgotten.
        """
        try:
            return self._jobs[id]
        except KeyError:
            raise UnknownJob(f"no job {id[:64]!r}; jobs are forgotten when the service ends") from None

    def start(self, kind: str, gallery: str, work: Work) -> Job:
        """Queue a job.

        Raises:
            Conflict: the same is queued already, or too much is.
        """
        waiting = [job for job in self._jobs.values() if not job.is_over]
        if any((job.kind, job.gallery) == (kind, gallery) for job in waiting):
            raise Conflict(f"a job to {kind} gallery {gallery!r} is under way; wait for it, or cancel it")
        if len(waiting) >= MAX_WAITING:
            raise Conflict(f"{MAX_WAITING} jobs wait already; come again when some are done")
        over = [job.id for job in self if job.is_over]
        for id in over[KEPT:]:
            del self._jobs[id]
        job = Job(kind, gallery)
        self._jobs[job.id] = job
        self._thread.submit(self._run, job, work)
        self._count()
        return job

    def cancel(self, id: str) -> Job:
        """Call a job off; what it has done so far stays."""
        job = self.get(id)
        job.cancel()
        if job.status == "waiting":
            job.status, job.ended_at = "canceled", datetime.now(UTC)
        return job

    def close(self) -> None:
        """Call off all jobs, and wait for the one that is running."""
        for job in self._jobs.values():
            job.cancel()
        self._thread.shutdown(cancel_futures=True)

    def _run(self, job: Job, work: Work) -> None:
        if job.is_over:
            return
        job.status, job.started_at = "running", datetime.now(UTC)
        self._count()
        try:
            job.detail = work(job)
            job.status = "done"
        except Canceled:
            job.status, job.detail = "canceled", "called off; what was done until then is kept"
        except PlaceprintError as error:
            job.status, job.detail = "failed", str(error)
        except Exception as error:
            log_fault(error)
            job.status, job.detail = "failed", "a fault of the service; its log says where"
        finally:
            job.ended_at = datetime.now(UTC)
            self._count()
            log.info("job %s of %s: %s", job.kind, job.gallery, job.status)

    def _count(self) -> None:
        counts = Counter(job.status for job in self._jobs.values())
        for status in ("waiting", "running", "done", "failed", "canceled"):
            metrics.JOBS.labels(status).set(counts[status])
