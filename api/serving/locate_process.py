"""The parent's end of the process that works out locations, see `locate_worker`.

In the service's own interpreter a location would hold up every search for tenths of a second.
"""

import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any, TypeAlias, cast

from .locate_worker import LENGTH
from .refusals import DeadlinePassed, NotReady
from .told_location import LocationQuestion, LocationTeller

log = logging.getLogger("placeprint.service")

Tell: TypeAlias = Callable[[LocationTeller, LocationQuestion], dict[str, Any]]
"""Has a question answered, wherever."""

MODULE = "placeprint.api.serving.locate_worker"
MAX_TELLERS = 8
"""So many galleries' fits are held in the process; the one not asked for longest gives way."""

START_S = 60.0


def tell_here(teller: LocationTeller, asked: LocationQuestion) -> dict[str, Any]:
    """Answer a question in the calling thread."""
    return teller.tell(asked)


class LocateProcess:
    """A process that answers one question after the other; started by the first, and again when lost.

    Args:
        timeout_s: longest time for one question before the process is ended.
    """

    def __init__(self, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self._asking = threading.Lock()
        self._popen: subprocess.Popen[bytes] | None = None
        self._tellers: OrderedDict[LocationTeller, int] = OrderedDict()
        self._n_kept = 0
        self._is_closed = False

    def __call__(self, teller: LocationTeller, asked: LocationQuestion) -> dict[str, Any]:
        """Answer a question.

        Raises:
            DeadlinePassed: it takes too long.
            NotReady: the process does not start, or was lost twice.
        """
        with self._asking:
            for is_last in (False, True):
                self._start()
                try:
                    return self._asked(teller, asked)
                except (OSError, EOFError):
                    log.error("the process that locates was lost%s", "" if is_last else "; starting another")
                    self._end()
        raise NotReady("the process that locates does not stay up; the service's log says more")

    def start(self) -> None:
        """Start the process before the first question.

        Raises:
            NotReady: it does not start.
        """
        with self._asking:
            self._start()

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._popen is None else self._popen.pid

    def close(self) -> None:
        """End the process, also in the middle of a question."""
        self._is_closed = True
        if (popen := self._popen) is not None:
            popen.kill()
        with self._asking:
            self._end()

    def _asked(self, teller: LocationTeller, asked: LocationQuestion) -> dict[str, Any]:
        timer = threading.Timer(self._timeout_s, self._popen.kill if self._popen else lambda: None)
        timer.start()
        try:
            self._send("tell", self._number_of(teller), asked)
            line = cast(IO[bytes], cast(Any, self._popen).stdout).readline()
            if not line.endswith(b"\n"):
                if not timer.is_alive() and not self._is_closed:
                    self._end()
                    raise DeadlinePassed(f"this location takes longer than {self._timeout_s:g} s")
                raise EOFError
        finally:
            timer.cancel()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            log.error("%s at\n%s", answer["error"], "".join(answer["stack"]))
            raise RuntimeError("a location could not be worked out")
        return cast(dict[str, Any], answer["told"])

    def _number_of(self, teller: LocationTeller) -> int:
        """Under which number the process holds a teller; it is sent when it does not."""
        if teller not in self._tellers:
            self._n_kept += 1
            self._send("keep", self._n_kept, teller)
            self._tellers[teller] = self._n_kept
            if len(self._tellers) > MAX_TELLERS:
                self._send("forget", self._tellers.popitem(last=False)[1], None)
        self._tellers.move_to_end(teller)
        return self._tellers[teller]

    def _send(self, what: str, number: int, content: Any) -> None:
        order = pickle.dumps((what, number, content), protocol=pickle.HIGHEST_PROTOCOL)
        pipe = cast(IO[bytes], cast(Any, self._popen).stdin)
        pipe.write(LENGTH.pack(len(order)) + order)
        pipe.flush()

    def _start(self) -> None:
        if self._popen is not None and self._popen.poll() is None:
            return
        if self._is_closed:
            raise NotReady("the service is ending")
        self._end()
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # One location is one thread's work: more would take the searches' cores.
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        timer = threading.Timer(START_S, self._popen.kill)
        timer.start()
        try:
            is_ready = cast(IO[bytes], self._popen.stdout).readline() == b"ready\n"
        finally:
            timer.cancel()
        if not is_ready:
            self._end()
            if not self._is_closed:  # said at once: a service starts it where nobody waits for it
                log.error("the process that locates does not start; what it printed stands above")
            raise NotReady("the process that locates does not start; the service's log says more")

    def _end(self) -> None:
        popen, self._popen = self._popen, None
        self._tellers.clear()
        if popen is None:
            return
        popen.kill()
        popen.wait()
        for pipe in (popen.stdin, popen.stdout):
            try:
                cast(IO[bytes], pipe).close()
            except BrokenPipeError:
                pass
