"""R30: nobody waits for what is not needed yet."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from served import make_gallery
from torture_faults import FAULTS
from torture_rows import Record
from torture_runs import ROOT, Copy
from torture_scale import scaled

pytestmark = pytest.mark.slow

IMPORT = "import placeprint, sys; print('torch' in sys.modules)"
HELP = "import sys; sys.argv = ['placeprint', '--help']; from placeprint.api.cli import main; main()"
READY = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
started = time.perf_counter()
from placeprint.api.app import create_app
from placeprint.api.serving.service import Service
from fakes import ColorEncoder
from served import settings_at
settings = settings_at(Path({home!r}))
encoder = ColorEncoder()
service = Service(settings, {{"color": encoder, encoder.fingerprint.name: encoder}})
app = create_app(settings, service)
print(time.perf_counter() - started)
late = {{"timm", "sklearn", "pandas", "rasterio"}} & set(sys.modules)
assert not late, f"{{late}} imported, which takes seconds, and nobody has asked for it yet"
"""
LIBRARIES = """
import time
started = time.perf_counter()
import torch, fastapi, uvicorn
print(time.perf_counter() - started)
"""


def took(code: str, n: int, *, tree: Path | None = None) -> tuple[float, str]:
    """The least of several fresh processes, less what a bare interpreter takes; and what was printed."""
    environment = dict(os.environ)
    if tree is not None:
        environment["PYTHONPATH"] = str(tree.parent)
    best, bare, said = 1e9, 1e9, ""
    for _ in range(n):
        for words in (code, "pass"):
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", words], capture_output=True, text=True, timeout=120, env=environment
            )
            seconds = time.perf_counter() - started
            assert done.returncode == 0, done.stderr
            if words == code:
                best, said = min(best, seconds), done.stdout
            else:
                bare = min(bare, seconds)
    return best - bare, said


def told(code: str, n: int) -> float:
    """The least of what several runs say that they took, seconds."""
    return min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(n)
    )


def test_r30_it_starts_at_once(record: Record, copy: Copy, tmp_path: Path) -> None:
    n = scaled(2, 7, 15)
    imported_s, said = took(IMPORT, n)
    help_s, _ = took(HELP, n)
    home = make_gallery(tmp_path / "home")
    ready_s = told(READY.format(tests=str(ROOT / "tests"), home=str(home)), scaled(3, 5, 7))
    libraries_s = told(LIBRARIES, scaled(3, 5, 7))
    record.figure("import placeprint", round(imported_s, 3), "s")
    record.figure("placeprint --help", round(help_s, 3), "s")
    record.figure(
        "a service opened", round(ready_s, 3), "s", peer="its libraries alone", theirs=round(libraries_s, 3)
    )
    record.note(
        "less a bare interpreter; the least of several fresh processes; a fake encoder, so without weights"
    )
    for name, fault in FAULTS["R30"].items():
        with copy.with_fault(fault) as tree:
            record.caught(name, int(took(IMPORT, 1, tree=tree)[1].strip() == "True"), 1)
    assert said.strip() == "False", "torch is imported with the package"
    assert imported_s <= 0.3 and help_s <= 0.5
    assert ready_s - libraries_s <= 2.0
