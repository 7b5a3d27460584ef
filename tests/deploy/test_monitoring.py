"""What is watched is what the service measures, and each alert comes when it should and says what to do."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from placeprint.api.serving import metrics

Tool = Callable[..., "subprocess.CompletedProcess[str]"]
OF_OTHERS = re.compile(r"up|(node_filesystem|kubelet_volume_stats|process)_\w+")
WORD = re.compile(r"[a-z_][a-z0-9_]*(?=\s*[{\[)<>=]|\s|$)")


@pytest.fixture
def board(deploy: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((deploy / "grafana" / "placeprint.json").read_text())
    return found


@pytest.fixture
def alerts(deploy: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((deploy / "helm" / "placeprint" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def questions(board: dict[str, Any]) -> Iterator[str]:
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))


def measured() -> dict[str, tuple[str, ...]]:
    """Names of the series of the service, and the labels each may have."""
    assert metrics.REQUESTS is not None
    found: dict[str, tuple[str, ...]] = {}
    for one in vars(metrics).values():
        if isinstance(one, MetricWrapperBase):
            extra = ("le",) if one._type == "histogram" else ()
            for name in REGISTRY._get_names(one):
                found[name] = (*one._labelnames, *extra, "instance", "job")
    return found


def test_boards_and_alerts_ask_for_what_is_measured(
    board: dict[str, Any], alerts: list[dict[str, Any]]
) -> None:
    known = measured()
    asked = [*questions(board), *(rule["expr"] for rule in alerts)]
    names = {
        name for text in asked for name in re.findall(r"\b(?:placeprint|process|node|kubelet)_\w+", text)
    }
    assert len(names) > 15
    assert {name for name in names if name not in known and not OF_OTHERS.fullmatch(name)} == set()


def test_labels_that_are_asked_for_exist(board: dict[str, Any], alerts: list[dict[str, Any]]) -> None:
    known = measured()
    for text in [*questions(board), *(rule["expr"] for rule in alerts)]:
        for name, labels in re.findall(r"\b(placeprint_\w+)\{([^}]*)\}", text):
            for label in re.findall(r"(\w+)\s*[=!]~?", labels):
                assert label in known[name], (name, label)


def test_everything_that_is_measured_is_shown(board: dict[str, Any]) -> None:
    shown = " ".join(questions(board))
    families = {
        name for one in vars(metrics).values() if isinstance(one, MetricWrapperBase) for name in [one._name]
    }
    assert len(families) >= 12
    assert {name for name in families if name not in shown} == set()


def test_panels_have_places_of_their_own(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken and all(x < 24 for x, _ in cells), panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_each_alert_has_its_page_in_the_runbook(alerts: list[dict[str, Any]], deploy: Path) -> None:
    runbook = (deploy / "RUNBOOK.md").read_text()
    for rule in alerts:
        anchor = rule["annotations"]["runbook"].removeprefix("RUNBOOK.md#")
        assert f'<a id="{anchor}"></a>**{rule["alert"]}.**' in runbook
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_each_alert_is_tried(alerts: list[dict[str, Any]]) -> None:
    tried = (Path(__file__).parent / "alerts_test.yml").read_text()
    untried = {rule["alert"] for rule in alerts if f"alertname: {rule['alert']}" not in tried}
    assert untried == {"PlaceprintIngestFailing"}


def test_alerts_come_when_they_should(tool: Tool, deploy: Path, tmp_path: Path) -> None:
    shutil.copy(deploy / "helm" / "placeprint" / "alerts.yml", tmp_path)
    shutil.copy(Path(__file__).parent / "alerts_test.yml", tmp_path)
    done = tool("promtool", "test", "rules", tmp_path / "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_reads_its_file(tool: Tool, deploy: Path, tmp_path: Path) -> None:
    done = tool("promtool", "check", "config", "--syntax-only", deploy / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
