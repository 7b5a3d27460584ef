"""What the tests of deploy/ share: the folder, tools where they are, the chart rendered."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from placeprint.api.serving.service_settings import ServiceSettings

ROOT = Path(__file__).resolve().parents[2]
BESIDE_SETTINGS = {"SECRETS_DIR", "CONFIG", "TRACEBACK"}
"""Variables that say where settings are, or how errors are shown."""


@pytest.fixture
def deploy() -> Path:
    return ROOT / "deploy"


@pytest.fixture
def tool() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a tool that not every machine has: from the path, or from the environment of the tests."""

    def run(name: str, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
        if found is None:
            pytest.skip(f"{name} is not here")
        return subprocess.run([found, *words], capture_output=True, text=True, check=False, **options)

    return run


@pytest.fixture
def unknown_settings() -> Callable[[str], set[str]]:
    """The variables PLACEPRINT_… in a text of which the service knows nothing."""
    known = {name.upper() for name in ServiceSettings.model_fields} | BESIDE_SETTINGS

    def unknown(text: str) -> set[str]:
        return set(re.findall(r"\bPLACEPRINT_([A-Z][A-Z0-9_]*[A-Z0-9])", text)) - known

    return unknown


Render = Callable[[dict[str, Any]], dict[str, str]]


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Renders the chart with values over its own: by Helm, or by its engine where there is Go."""
    chart = ROOT / "deploy" / "helm" / "placeprint"
    if helm := shutil.which("helm"):
        return lambda values: _by_helm(helm, chart, values)
    go = shutil.which("go") or shutil.which("go", path=str(Path(sys.executable).parent))
    if go is None:
        pytest.skip("neither helm nor go is here")
    program = tmp_path_factory.mktemp("go") / "render_chart"
    subprocess.run([go, "build", "-o", program, Path(__file__).parent / "render_chart.go"], check=True)
    return lambda values: _by_go(program, chart, values)


def _by_helm(helm: str, chart: Path, values: dict[str, Any]) -> dict[str, str]:
    command = [helm, "template", "photos", str(chart), "--namespace", "maps", "--values", "-"]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    parts: dict[str, str] = {}
    for part in re.split(r"^---$", done.stdout, flags=re.MULTILINE):
        if source := re.search(r"^# Source: .*/(.+)$", part, flags=re.MULTILINE):
            parts[source[1]] = parts.get(source[1], "") + "\n---\n" + part
    return parts


def _by_go(program: Path, chart: Path, values: dict[str, Any]) -> dict[str, str]:
    facts = yaml.safe_load((chart / "Chart.yaml").read_text())
    given = {
        "values": merged(yaml.safe_load((chart / "values.yaml").read_text()), values),
        "chart": {name[0].upper() + name[1:]: value for name, value in facts.items()},
        "release": {"Name": "photos", "Namespace": "maps", "Service": "Helm"},
    }
    done = subprocess.run(
        [program, chart], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rendered: dict[str, str] = json.loads(done.stdout)
    return rendered


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Values as Helm lays them over one another: tables are merged, the rest is replaced."""
    both = {
        key: merged(below[key], above[key])
        for key in below.keys() & above.keys()
        if isinstance(above[key], dict)
    }
    return {**below, **above, **both}
