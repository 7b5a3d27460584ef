"""R31: what is installed is what was pinned, all of it is listed, and the wheel is what the source says."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from torture_rows import Record
from torture_runs import ROOT, run_tests
from torture_scale import scaled

pytestmark = pytest.mark.slow


def unhashed(constraints: str) -> list[str]:
    """Pins without a hash."""
    pins = re.split(r"\n(?=[A-Za-z0-9])", constraints)
    return [
        pin.splitlines()[0] for pin in pins if re.match(r"[\w.-]+==", pin) and "--hash=sha256:" not in pin
    ]


def wheel(folder: Path, source: Path, *, epoch: str = "1700000000") -> bytes:
    """Build a wheel of a copy of the source, as an installer would."""
    target = folder / "source"
    shutil.copytree(
        source, target, symlinks=True,
        ignore=shutil.ignore_patterns(
            ".git", ".venv", "build", "dist", "node_modules", "__pycache__", "*.egg-info", "tests"
        ),
    )  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder / "out"),
        str(target),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env={**os.environ, "SOURCE_DATE_EPOCH": epoch}
    )
    if done.returncode != 0 and "Missing dependencies" in done.stdout + done.stderr:
        pytest.skip("setuptools is not installed, and a wheel cannot be built without the network")
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    (found,) = (folder / "out").glob("*.whl")
    return found.read_bytes()


def test_r31_the_supply_chain(record: Record, tmp_path: Path) -> None:
    bare = unhashed((ROOT / "constraints.txt").read_text())
    record.figure("pins without a hash", len(bare))
    lock = ROOT / "api" / "web" / "package-lock.json"
    if lock.exists():
        packages = json.loads(lock.read_text())["packages"].items()
        loose = [name for name, one in packages if "resolved" in one and "integrity" not in one]
        record.figure("packages of the page without a hash", len(loose))
        bare += loose
    listed = run_tests("tests/deploy/test_audit.py", "-m", "not slow")
    listed.require_passed()
    record.figure("tests of licences and of the list", listed.passed)
    is_asked = scaled(False, False, True)  # for advisories, over the network
    audit = [str(ROOT / ".ci" / "audit"), *(() if is_asked else ("--offline",)), str(tmp_path / "audit")]
    environment = {**os.environ, "PYTHON": sys.executable, "AUDIT_TOOLS": str(tmp_path / "tools")}
    done = subprocess.run(audit, capture_output=True, text=True, timeout=900, env=environment)
    if "could not be installed" in done.stderr:
        record.note("the list of all that is installed was not made: its tools could not be fetched")
    else:
        record.figure("exit code of .ci/audit", done.returncode)
        assert done.returncode == 0, done.stderr[-2000:]
    if not is_asked:
        record.note(
            "advisories are asked for over the network by `.ci/audit` once a week, and in the full size"
        )
    first, second = wheel(tmp_path / "one", ROOT), wheel(tmp_path / "two", ROOT)
    record.figure("bytes of the wheel", len(first))
    record.figure(
        "wheels that differ", int(hashlib.sha256(first).digest() != hashlib.sha256(second).digest())
    )
    later = wheel(tmp_path / "three", ROOT, epoch="1800000000")
    record.caught("a wheel that holds the time it was built", int(later != first), 1)
    assert bare == [] and first == second
