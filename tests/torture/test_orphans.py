"""R32: nothing that the suite started is left, and whatever hangs is ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torture_rows import Record
from torture_runs import run_tests
from torture_session import left_over

pytestmark = pytest.mark.slow

SLEEP = "import time; time.sleep(600)"
ORPHAN = f"""
import subprocess, sys
quiet = {{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}}
print(subprocess.Popen([sys.executable, "-c", {SLEEP!r}], **quiet).pid)
"""
HANGING = "import time\ndef test_hangs():\n    time.sleep(600)\n"


def test_r32_nothing_is_left(record: Record, tmp_path: Path) -> None:
    for _ in range(50):  # servers and pools may need a moment to end
        if not (found := left_over()):
            break
        time.sleep(0.2)
    record.figure("processes left by the tests before", len(found))
    told = [f"{process.pid} {' '.join(process.cmdline())[:200]}" for process in found if process.is_running()]

    done = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, text=True, check=True)
    number = int(done.stdout)
    caught = number in {process.pid for process in left_over()}
    os.kill(number, signal.SIGKILL)
    record.caught("a process that nobody waits for", int(caught), 1)

    test = tmp_path / "test_hanging.py"
    test.write_text(HANGING)
    started = time.monotonic()
    ran = run_tests(str(test), "--confcutdir", str(test.parent), within_s=15)
    ended_s = time.monotonic() - started
    record.figure("time until a test that hangs is ended", round(ended_s, 1), "s")
    record.caught("a test that hangs", int(ran.code != 0 and "ended after" in ran.output), 1)
    assert told == []
