"""The image holds what a service needs and nothing to build with, and tells whether it is ready.

No container is built here. What is checked is what can be without one: that the requirements are those of
the package, each with a hash; that what is copied is there and gets in; who it runs as; and that the
very commands of its entry point and health check do what they should.
"""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted|registry\.npmjs|download\.pytorch|proxy\.golang|ghcr\.io|quay\.io"
)


@pytest.fixture(scope="module")
def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's stages: each a list of instructions and what they say, in one line."""
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    instructions = [tuple(line.split(None, 1)) for line in whole.splitlines() if line.strip()]
    found: list[list[tuple[str, str]]] = [[]]
    for name, words in instructions:
        if name == "FROM":
            found.append([])
        found[-1].append((name, words))
    return found[1:]


@pytest.fixture(scope="module")
def last(stages: list[list[tuple[str, str]]]) -> dict[str, str]:
    return dict(stages[-1])


@pytest.fixture(scope="module")
def requirements() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "runtime_requirements", ROOT / "deploy/runtime_requirements.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needed_here() -> set[str]:
    """Names of all distributions that the installed package needs, by what they say of themselves."""
    asked: set[tuple[str, str]] = set()
    waiting = [("placeprint", "")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in asked:
            continue
        asked.add((name, extra))
        for text in importlib.metadata.requires(name) or []:
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                waiting += [(one.name, ""), *((one.name, more) for more in one.extras)]
    return {re.sub(r"[-_.]+", "-", name).lower() for name, _ in asked} - {"placeprint"}


def test_the_requirements_are_those_of_the_package(requirements: ModuleType) -> None:
    found = requirements.runtime(
        (ROOT / "constraints.txt").read_text(), (ROOT / "pyproject.toml").read_text()
    )
    assert needed_here() <= found.keys()
    assert not found.keys() & {
        "pytest",
        "mypy",
        "ruff",
        "hypothesis",
        "schemathesis",
        "build",
        "pandas-stubs",
    }
    assert all("==" in text and "--hash=sha256:" in text for texts in found.values() for text in texts)


def test_without_torch_there_is_no_cuda(requirements: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    requirements.main(["--without-torch"])
    names = set(re.findall(r"^([a-z0-9-]+)==", capsys.readouterr().out, flags=re.MULTILINE))
    assert {"numpy", "sympy", "open-clip-torch"} <= names
    assert not {name for name in names if name.startswith(("nvidia", "cuda", "torch", "triton"))}
    requirements.main(["--torch"])
    assert re.fullmatch(r"torch==\S+ torchvision==\S+\n", capsys.readouterr().out)


def test_a_dependency_that_is_not_pinned_is_an_error(requirements: ModuleType) -> None:
    with pytest.raises(SystemExit, match="make lock"):
        requirements.runtime("a==1 \\\n    --hash=sha256:0\n", '[project]\ndependencies = ["b>=1"]\n')


def test_what_is_copied_is_there_and_gets_in(stages: list[list[tuple[str, str]]]) -> None:
    allowed = [
        line
        for line in (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = [
        source
        for stage in stages
        for name, words in stage
        if name == "COPY" and "--from" not in words
        for source in words.split()[:-1]
    ]
    assert len(copied) > 10
    for source in copied:
        assert any(f"!{source.rstrip('/')}".startswith(one) for one in allowed), source
        if not source.startswith("api/web"):
            assert (ROOT / source).exists(), source


def test_no_layer_of_the_package_is_forgotten(stages: list[list[tuple[str, str]]]) -> None:
    copied = " ".join(words for name, words in stages[1] if name == "COPY")
    for layer in (
        "encoders",
        "indexer",
        "api",
        "__init__.py",
        "py.typed",
        "pyproject.toml",
        "LICENSE",
        "README.md",
    ):
        assert layer in copied


def test_it_runs_as_nobody_in_particular(last: dict[str, str]) -> None:
    user, group = last["USER"].split(":")
    assert int(user) >= 10_000 and int(group) >= 10_000
    assert json.loads(last["ENTRYPOINT"]) == ["tini", "--", "placeprint"]
    assert json.loads(last["CMD"]) == ["serve"]
    assert "apt-get install" not in last["RUN"] or "rm -rf /var/lib/apt/lists" in last["RUN"]
    assert not re.search(r"gcc|build-essential|-dev\b|git\b", last["RUN"])


def test_its_variables_are_settings(unknown_settings: Callable[[str], set[str]]) -> None:
    assert unknown_settings((ROOT / "deploy/Dockerfile").read_text()) == set()
    assert unknown_settings("PLACEPRINT_HOME PLACEPRINT_HOEM") == {"HOEM"}


def test_no_registry_is_named() -> None:
    for path in (ROOT / "deploy").rglob("*"):
        if path.is_file() and "secrets" not in path.parts:
            assert not REGISTRIES.search(path.read_text()), path


def test_its_command_is_there() -> None:
    command = [sys.executable, "-m", "placeprint.api.cli", "serve", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that is ready or not, and its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "is_healthy"), [(200, True), (503, False)])
def test_its_health_check_tells_ready_from_not(last: dict[str, str], status: int, is_healthy: bool) -> None:
    command = json.loads(last["HEALTHCHECK"].split(" CMD ", 1)[1])
    assert command[0] == "python"
    with answering(status) as port:
        environment = os.environ | {"PLACEPRINT_PORT": str(port)}
        done = subprocess.run(
            [sys.executable, *command[1:]], env=environment, capture_output=True, check=False
        )
    assert (done.returncode == 0) == is_healthy


def test_hadolint_has_nothing_to_say(
    tool: Callable[..., subprocess.CompletedProcess[str]], deploy: Path
) -> None:
    done = tool("hadolint", "--no-color", deploy / "Dockerfile")
    assert done.returncode == 0, done.stdout
