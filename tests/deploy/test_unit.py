"""The systemd unit and the runbook say what is."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command

from placeprint.api.cli import app

Tool = Callable[..., "subprocess.CompletedProcess[str]"]


def test_variables_are_settings(deploy: Path, unknown_settings: Callable[[str], set[str]]) -> None:
    assert unknown_settings((deploy / "placeprint.service").read_text()) == set()


def test_systemd_finds_little_that_is_open(tool: Tool, deploy: Path) -> None:
    done = tool("systemd-analyze", "security", "--offline=true", "--no-pager", deploy / "placeprint.service")
    if done.returncode and "nrecognized" in done.stderr:
        pytest.skip("systemd is too old to look at a file")
    exposure = re.search(r"Overall exposure level for \S+ ([0-9.]+)", done.stdout)
    assert exposure is not None, done.stderr
    assert float(exposure[1]) <= 2.0


def test_systemd_reads_it(tool: Tool, deploy: Path) -> None:
    done = tool("systemd-analyze", "verify", "--man=no", deploy / "placeprint.service")
    said = [line for line in done.stderr.splitlines() if "/opt/placeprint" not in line and line.strip()]
    assert said == []


def test_the_runbook_names_verbs_that_there_are(deploy: Path) -> None:
    verbs = set(get_command(app).commands)  # type: ignore[attr-defined]
    if not {"backup", "restore", "keys"} <= verbs:
        pytest.skip("the command line is not complete")
    text = (deploy / "RUNBOOK.md").read_text() + (deploy / "compose.yaml").read_text()
    named = set(re.findall(r"(?:placeprint|--rm|-T) (?:placeprint )?(?<!exec )([a-z]+) ", text))
    spoken = set(re.findall(r"`placeprint ([a-z]+)", text))
    assert spoken <= verbs
    assert {"index", "keys", "backup", "restore"} <= named


def test_the_runbook_names_settings_that_there_are(
    deploy: Path, unknown_settings: Callable[[str], set[str]]
) -> None:
    of_compose = set(re.findall(r"\$\{PLACEPRINT_(\w+)", (deploy / "compose.yaml").read_text()))
    assert unknown_settings((deploy / "RUNBOOK.md").read_text()) <= of_compose
