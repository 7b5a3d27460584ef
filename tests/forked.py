"""A process that has imported what its cases need, and forks for each of them: to be killed, a hundred times.

To import the store, Parquet and the rest takes a second; to fork, a thousandth of one. No store is opened and
no thread begun before the fork.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

LOOP = """
import json, os, sys, traceback

def begin():
    print("begin", os.getpid(), flush=True)

for line in sys.stdin:
    if (child := os.fork()) == 0:
        os.setsid()
        try:
            case(*json.loads(line))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forked:
    """Runs cases of one function, each in a fresh process.

    Args:
        code: defines ``case(...)``, which takes what JSON can say and calls ``begin()`` once what may be
            killed begins.
    """

    def __init__(self, code: str) -> None:
        path = f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        command = [sys.executable, "-c", path + code + LOOP]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "Forked":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)  # it ends with its input

    def run(self, *words: Any, kill_after_s: float | None = None) -> int:
        """Run one case, or kill it with all that it started, some time after it began; how it ended."""
        assert self._process.stdin is not None
        print(json.dumps(words), file=self._process.stdin, flush=True)
        said, number = self._answer()
        if said == "begin":
            if kill_after_s is not None:
                time.sleep(kill_after_s)
                try:
                    os.killpg(number, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it was done already
            said, number = self._answer()
        assert said == "ended"
        return number

    def _answer(self) -> tuple[str, int]:
        assert self._process.stdout is not None
        said, number = self._process.stdout.readline().split()
        return said, int(number)
