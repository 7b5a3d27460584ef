"""Other tests run in a process of their own, on this checkout or on a copy with a fault in it.

A fault is a piece of text in one file and what takes its place. Copies go where they are told, hold the
Python files and links to the rest, and are found before the installed package by every process that a
test starts.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from torture_faults import Fault

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "bench", "demo", "node_modules", "__pycache__", "*.egg-info", ".*_cache"
)


@dataclass(frozen=True)
class Ran:
    """How some tests ended."""

    code: int
    passed: int
    failed: int
    skipped: int
    seconds: float
    output: str

    def require_passed(self) -> None:
        """See that there were some, and all passed.

        Raises:
            AssertionError: with the end of what pytest said.
        """
        assert self.code == 0 and self.passed, self.output[-3000:]


def run_tests(
    *words: str, tree: Path = ROOT, within_s: float = 900.0, environment: Mapping[str, str] | None = None
) -> Ran:
    """Run tests in a process of their own.

    Args:
        words: node ids and options for pytest.
        tree: the checkout, or a copy of it.
        within_s: after which they are ended, which is a failure.
        environment: variables beside those of this process.
    """
    told = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    if tree != ROOT:
        told["PYTHONPATH"] = str(tree.parent)
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", *words]
    with subprocess.Popen(
        command, cwd=tree, env=told, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as child:  # fmt: skip
        try:
            output, _ = child.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            child.kill()
            output = f"{child.communicate()[0]}\nended after {within_s:g} s"
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error|skipped)", output[-400:])}
    took = re.search(r" in ([\d.]+)s", output[-400:])
    return Ran(
        child.returncode, counts.get("passed", 0), counts.get("failed", 0) + counts.get("error", 0),
        counts.get("skipped", 0), float(took[1]) if took else within_s, output,
    )  # fmt: skip


def load_tests(path: str) -> ModuleType:
    """A module of the default suite, whose helpers and fixtures are used here."""
    name = "placeprint_tests_" + path.replace("/", "_").removesuffix(".py")
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


class Copy:
    """A copy of the checkout, into which faults are put one at a time.

    Args:
        folder: to make it in.
    """

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "placeprint"
        shutil.copytree(ROOT, self.tree, ignore=LEFT_OUT, copy_function=_copied)
        self._n_changes = 0

    @contextmanager
    def with_fault(self, fault: Fault) -> Iterator[Path]:
        """The copy with a fault in it.

        Raises:
            AssertionError: the text that it takes the place of is not there exactly once.
        """
        path = self.tree / fault.file
        before = path.read_text()
        assert before.count(fault.before) == 1, f"{fault.file} has changed: {fault.before!r} cannot be found"
        try:
            self._write(path, before.replace(fault.before, fault.after))
            yield self.tree
        finally:
            self._write(path, before)

    def _write(self, path: Path, text: str) -> None:
        """Write a module with a time of its own, or Python would take the compiled one of the same second."""
        path.write_text(text)
        self._n_changes += 1
        moment = path.stat().st_mtime + 10.0 * self._n_changes
        os.utime(path, (moment, moment))

    def is_caught(self, fault: Fault, **options: float) -> bool:
        """Whether the tests that a fault names fail with it. That they pass without it is not asked here."""
        with self.with_fault(fault) as tree:
            ran = run_tests(*fault.tests, tree=tree, **options)
        assert ran.code in (0, 1), ran.output[-3000:]  # else they could not be run at all
        return ran.code == 1


def _copied(source: str, target: str) -> str:
    if source.endswith((".py", ".toml")):
        return str(shutil.copy2(source, target))
    os.symlink(os.path.abspath(source), target)
    return target
