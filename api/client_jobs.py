"""Long work of a service, watched from afar."""

import time
from collections.abc import Callable

from ..encoders.errors import PlaceprintError
from .client_transport import Transport
from .schemas.jobs import JobOut


class JobFailed(PlaceprintError):
    """A job that was waited for has failed, or was called off; the message is the service's word on why.

    `state` is the job at its end.
    """

    def __init__(self, state: JobOut) -> None:
        super().__init__(f"the job to {state.kind} gallery {state.gallery!r} {state.status}: {state.detail}")
        self.state = state


class Job:
    """Long work of the service.

    Attributes:
        state: how far it was when last asked.
    """

    def __init__(self, state: JobOut, transport: Transport) -> None:
        self.state, self._transport = state, transport

    def __repr__(self) -> str:
        return f"<job {self.state.kind} {self.state.gallery}: {self.state.status}>"

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state.status in ("done", "failed", "canceled")

    def refresh(self) -> JobOut:
        """Ask how far it is."""
        self.state = self._transport.ask(JobOut, "GET", f"/v1/jobs/{self.state.id}")
        return self.state

    def cancel(self) -> JobOut:
        """Call it off. What it has done so far stays."""
        self.state = self._transport.ask(JobOut, "DELETE", f"/v1/jobs/{self.state.id}")
        return self.state

    def wait(
        self,
        *,
        progress: Callable[[JobOut], None] = lambda state: None,
        every_s: float = 1.0,
        within_s: float | None = None,
    ) -> JobOut:
        """Wait until it is over.

        Args:
            progress: told how far it is each time it was asked.
            every_s: seconds between asking; the first times come sooner.
            within_s: seconds to wait at most.

        Returns:
            The job, done.

        Raises:
            JobFailed: it failed, or was called off.
            TimeoutError: it is not over in time. It goes on.
        """
        end = None if within_s is None else time.monotonic() + within_s
        pause_s = min(0.1, every_s)
        while True:
            progress(self.refresh())
            if self.state.status == "done":
                return self.state
            if self.is_over:
                raise JobFailed(self.state)
            if end is not None and time.monotonic() + pause_s > end:
                raise TimeoutError(f"the job is still {self.state.status} after {within_s:g} s; it goes on")
            time.sleep(pause_s)
            pause_s = min(2.0 * pause_s, every_s)
