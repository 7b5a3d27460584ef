"""The audit says that nothing is known only where it was asked, and its list has everything."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Tool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def audit(deploy: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit_report", deploy / "audit_report.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("licence", "binds"),
    [
        ("MIT", False),
        ("Apache-2.0 AND BSD-3-Clause", False),
        ("GNU Library or Lesser General Public License (LGPL)", False),
        ("LGPL-3.0-or-later", False),
        ("MPL-2.0", False),
        ("GPL-2.0-only OR MIT", False),
        ("GPL-3.0-or-later", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0-only AND MIT", True),
        ("GNU Affero General Public License v3", True),
        ("SSPL-1.0", True),
        ("CC-BY-NC-4.0", True),
    ],
)
def test_licences_that_bind_are_told_from_others(audit: ModuleType, licence: str, binds: bool) -> None:
    assert audit.is_binding(licence) is binds


def test_no_installed_distribution_binds_us(audit: ModuleType) -> None:
    everything = [{"name": one.metadata["Name"]} for one in importlib.metadata.distributions()]
    table, faults = audit.report(everything)
    assert faults == []
    assert "| numpy |" in table


def test_what_is_missing_from_the_list_is_seen(audit: ModuleType) -> None:
    everything = [{"name": one.metadata["Name"]} for one in importlib.metadata.distributions()]
    without = [one for one in everything if one["name"] != "numpy"]
    assert audit.report(without)[1] == ["numpy is installed and not in the list"]


def test_silence_is_no_answer(audit: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    constraints = tmp_path / "constraints.txt"
    hashed = " \\\n    --hash=sha256:0\n"
    constraints.write_text(f"a==1{hashed}B_c==2{hashed}d==3 ; sys_platform == 'win32'{hashed}e==4{hashed}")
    answers = tmp_path / "pip-audit.json"
    known = {"name": "a", "version": "1", "vulns": []}
    answers.write_text(json.dumps({"dependencies": [known, {"name": "b-c", "skip_reason": "not found"}]}))
    assert audit.main(["asked", str(answers), str(constraints)]) == 1
    assert "2 distributions it is not known whether they have holes: b-c, e\n" in capsys.readouterr().err
    more = [{"name": name, "version": "2", "vulns": []} for name in ("b-c", "e")]
    answers.write_text(json.dumps({"dependencies": [known, *more]}))
    assert audit.main(["asked", str(answers), str(constraints)]) == 0


@pytest.mark.slow
def test_the_list_has_everything_that_is_installed(tool: Tool, audit: ModuleType, tmp_path: Path) -> None:
    sbom = tmp_path / "sbom.json"
    done = tool(
        "cyclonedx-py", "environment", sys.executable, "--output-format", "JSON", "--output-file", sbom
    )
    assert done.returncode == 0, done.stderr
    assert audit.main(["installed", str(sbom), "--out", str(tmp_path / "licences.md")]) == 0


def test_the_script_can_be_read(deploy: Path) -> None:
    script = deploy.parent / ".ci" / "audit"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)
