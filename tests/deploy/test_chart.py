"""The chart makes what Kubernetes takes: pods that can do little, names that the service answers to.

Rendered by Helm, or by its engine where there is Go (tests/deploy/render_chart.go); without either only
the values, their schema and what the templates ask of them are looked at.
"""

import copy
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from placeprint.api.serving.service_settings import ServiceSettings

Tool = Callable[..., "subprocess.CompletedProcess[str]"]
Render = Callable[[dict[str, Any]], dict[str, str]]

REPLICAS: dict[str, Any] = {
    "mode": "replicas", "galleries": ["trips", "walks"], "home": {"existingClaim": "home"},
    "qdrant": {"enabled": True}, "autoscaling": {"enabled": True}, "hostnames": ["maps.example.org"],
    "ingress": {"enabled": True, "host": "photos.example.org", "tlsSecret": "tls", "className": "nginx"},
    "serviceMonitor": {"enabled": True, "keySecret": "key"},
    "prometheusRule": {"enabled": True, "labels": {"a": "b"}}, "models": {"existingClaim": "models"},
    "photos": {"existingClaim": "photos"}, "audit": {"existingClaim": "audit"},
    "settings": {"max_body_mb": 40, "cors_origins": ["https://maps.example.org"], "attribution": "Ours"},
    "nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "gpu"}], "podAnnotations": {"a": "b"},
    "networkPolicy": {
        "from": [{"podSelector": {}}], "monitoringFrom": [{"podSelector": {}}], "allowDownloads": True
    },
    "image": {"digest": "sha256:" + "0" * 64}, "imagePullSecrets": [{"name": "registry"}],
}  # fmt: skip
BACKUP = {"galleries": ["trips", "walks"], "backup": {"enabled": True, "existingClaim": "backups"}}
OUTSIDE = {"qdrant": {"externalUrl": "https://vectors.example.org:6333"}}
PLAIN: dict[str, Any] = {}
WAYS = pytest.mark.parametrize(
    "values", [PLAIN, REPLICAS, BACKUP, OUTSIDE], ids=["plain", "replicas", "backup", "outside"]
)


@pytest.fixture
def chart(deploy: Path) -> Path:
    return deploy / "helm" / "placeprint"


@pytest.fixture
def given(chart: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((chart / "values.yaml").read_text())
    return found


@pytest.fixture
def schema(chart: Path) -> Any:
    return jsonschema_rs.validator_for(json.loads((chart / "values.schema.json").read_text()))


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in ("resources",):
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def objects(rendered: dict[str, str]) -> list[dict[str, Any]]:
    return [
        one
        for name, text in rendered.items()
        if name.endswith(".yaml")
        for one in yaml.safe_load_all(text)
        if one
    ]


def pods(rendered: dict[str, str]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for one in objects(rendered):
        spec = one.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            yield one, template["spec"]


# --- values and schema ------------------------------------------------------------------------------


def test_values_keep_their_schema(given: dict[str, Any], schema: Any) -> None:
    schema.validate(given)


def test_values_that_cannot_work_are_refused(given: dict[str, Any], schema: Any) -> None:
    wrong: list[dict[str, Any]] = [
        {"mode": "replicas"},
        {"mode": "replicas", "galleries": ["trips"]},
        {"mode": "many"},
        {"precison": "exact"},
        {"galleries": ["../trips"]},
        {"precision": "street"},
        {"backup": {"enabled": True, "existingClaim": "b"}},
        {"ingress": {"enabled": True, "host": ""}},
        {"serviceMonitor": {"enabled": True, "keySecret": ""}},
        {"image": {"repository": "p", "digest": "latest"}},
    ]
    for values in wrong:
        assert not schema.is_valid({**copy.deepcopy(given), **values}), values


def test_every_value_is_asked_for_and_every_question_has_one(chart: Path, given: dict[str, Any]) -> None:
    text = "\n".join(path.read_text() for path in (chart / "templates").iterdir())
    asked = set(re.findall(r"\.Values\.([A-Za-z0-9_.]+)", text))
    there = set(leaves(given))
    parents = {path.rsplit(".", n)[0] for path in there for n in range(1, path.count(".") + 1)}
    assert asked - there - parents == set()
    assert {
        path for path in there if not any(path == one or path.startswith(f"{one}.") for one in asked)
    } == set()


def test_templates_end_what_they_begin(chart: Path) -> None:
    defined, included = set(), set()
    for path in (chart / "templates").iterdir():
        text = re.sub(r"\{\{-?\s*/\*.*?\*/\s*-?\}\}", "", path.read_text(), flags=re.DOTALL)
        words = re.findall(r"\{\{-?\s*(if|with|range|define|end|else)\b", text)
        assert sum(word in ("if", "with", "range", "define") for word in words) == words.count("end"), path
        defined |= set(re.findall(r'define "([\w.]+)"', text))
        included |= set(re.findall(r'include "([\w.]+)"', text))
    assert included == defined


# --- what is made -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_kubernetes_takes_it(render: Render, tool: Tool, tmp_path: Path) -> None:
    made = [one for values in (PLAIN, REPLICAS, BACKUP, OUTSIDE) for one in objects(render(values))]
    ours = [one for one in made if not one["apiVersion"].startswith("monitoring.coreos.com")]
    assert len(ours) > 20
    (tmp_path / "right.yaml").write_text(yaml.safe_dump_all(ours))
    done = tool("kubernetes-validate", "--strict", tmp_path / "right.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    ours[0]["spec"]["replcas"] = 1
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump_all(ours[:1]))
    assert tool("kubernetes-validate", "--strict", tmp_path / "wrong.yaml").returncode != 0


@WAYS
def test_pods_can_do_little(render: Render, values: dict[str, Any]) -> None:
    found = list(pods(render(values)))
    assert found
    for one, spec in found:
        told = one["metadata"]["name"]
        assert spec["securityContext"]["runAsNonRoot"] is True, told
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, told
        assert spec["automountServiceAccountToken"] is False, told
        assert spec["enableServiceLinks"] is False, told
        for container in spec["containers"]:
            own = container["securityContext"]
            assert own["capabilities"] == {"drop": ["ALL"]}, told
            assert own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"], told
            assert {"requests", "limits"} <= container["resources"].keys(), told
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            claims = {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
            assert mounted == {volume["name"] for volume in spec["volumes"]} | claims, told


@WAYS
def test_selectors_find_their_pods(render: Render, values: dict[str, Any]) -> None:
    made = objects(render(values))
    labels = [
        one["spec"]["template"]["metadata"]["labels"]
        for one in made
        if one["kind"] in ("Deployment", "StatefulSet")
    ]
    for one in made:
        spec = one.get("spec", {})
        match one["kind"]:
            case "Service":
                wanted = spec["selector"]
            case "NetworkPolicy":
                wanted = spec["podSelector"]["matchLabels"]
            case "PodDisruptionBudget" | "Deployment" | "StatefulSet":
                wanted = spec["selector"]["matchLabels"]
            case _:
                continue
        assert sum(wanted.items() <= own.items() for own in labels) == 1, (
            one["kind"],
            one["metadata"]["name"],
        )


@WAYS
def test_variables_are_settings_and_can_be_read(
    render: Render, values: dict[str, Any], unknown_settings: Callable[[str], set[str]]
) -> None:
    (api,) = [spec for one, spec in pods(render(values)) if one["kind"] == "Deployment"]
    environment = {one["name"]: one.get("value", "") for one in api["containers"][0]["env"]}
    assert unknown_settings(" ".join(environment)) == set()
    names = json.loads(environment["PLACEPRINT_HOSTNAMES"].replace("$(POD_IP)", "10.1.2.3"))
    assert {"10.1.2.3", "photos-placeprint", "photos-placeprint.maps.svc"} <= set(names)
    assert {"photos.example.org", "maps.example.org"} <= set(names) or "ingress" not in values
    given = {
        name.removeprefix("PLACEPRINT_").lower(): value
        for name, value in environment.items()
        if name.startswith("PLACEPRINT_") and name != "PLACEPRINT_SECRETS_DIR"
    }
    complex_ones = {"hostnames", "galleries", "source_folders", "cors_origins"}
    read = {key: json.loads(value) if key in complex_ones else value for key, value in given.items()}
    settings = ServiceSettings(host="0.0.0.0", **{**read, "hostnames": names})
    assert settings.galleries == values.get("galleries", [])
    assert settings.may_geolocate is False
    assert settings.max_body_mb == values.get("settings", {}).get("max_body_mb", 20.0)


def test_one_pod_writes_and_many_only_read(render: Render) -> None:
    single, many = (
        next((one, spec) for one, spec in pods(render(values)) if one["kind"] == "Deployment")
        for values in ({}, REPLICAS)
    )
    assert single[0]["spec"]["replicas"] == 1
    assert single[0]["spec"]["strategy"] == {"type": "Recreate"}
    assert many[0]["spec"]["strategy"]["type"] == "RollingUpdate"
    for (_, spec), is_read_only in ((single, False), (many, True)):
        (home,) = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "home"]
        assert home["readOnly"] is is_read_only
    kinds = [one["kind"] for one in objects(render({}))]
    assert "HorizontalPodAutoscaler" not in kinds and "PodDisruptionBudget" not in kinds


def test_qdrant_is_a_cluster_with_its_doors_shut(render: Render) -> None:
    made = {(one["kind"], one["metadata"]["name"]): one for one in objects(render(REPLICAS))}
    cluster = made["StatefulSet", "photos-placeprint-qdrant"]["spec"]
    assert cluster["replicas"] == 3
    environment = {
        one["name"]: one.get("value") for one in cluster["template"]["spec"]["containers"][0]["env"]
    }
    peers = made["Service", cluster["serviceName"]]["spec"]
    assert peers["clusterIP"] == "None" and peers["publishNotReadyAddresses"] is True
    assert (
        environment["QDRANT_BOOTSTRAP"]
        == "http://photos-placeprint-qdrant-0.photos-placeprint-qdrant-peers:6335"
    )
    assert environment["QDRANT_URI"] == "http://$(POD_NAME).photos-placeprint-qdrant-peers:6335"
    config = yaml.safe_load(made["ConfigMap", "photos-placeprint-qdrant"]["data"]["production.yaml"])
    assert config["cluster"]["enabled"] is True
    assert config["storage"]["collection"]["replication_factor"] == 2
    assert config["storage"]["collection"]["write_consistency_factor"] == 2
    assert config["service"]["enable_snapshot_url_recovery"] is False and config["telemetry_disabled"] is True
    assert config["service"]["enable_cors"] is False
    policy = made["NetworkPolicy", "photos-placeprint-qdrant"]["spec"]
    assert {"port": 6335} in policy["ingress"][1]["ports"]


def test_its_qdrant_is_that_of_compose(render: Render, deploy: Path) -> None:
    alone = yaml.safe_load((deploy / "qdrant.yaml").read_text())
    (config,) = [one for one in objects(render(REPLICAS)) if one["kind"] == "ConfigMap"]
    many = yaml.safe_load(config["data"]["production.yaml"])
    del many["cluster"], many["storage"]["collection"]["replication_factor"]
    del many["storage"]["collection"]["write_consistency_factor"]
    assert many == alone


def test_alerts_go_along_as_they_are(render: Render, chart: Path) -> None:
    (rule,) = [one for one in objects(render(REPLICAS)) if one["kind"] == "PrometheusRule"]
    assert rule["spec"] == yaml.safe_load((chart / "alerts.yml").read_text())


def test_backups_are_made_and_read_back(render: Render) -> None:
    (job,) = [spec for one, spec in pods(render(BACKUP)) if one["kind"] == "CronJob"]
    container = job["containers"][0]
    script, *words = container["args"]
    assert words == ["backup", "trips", "walks"]
    assert "restore" in script and "--verify" in script
    assert {mount["name"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}[
        "home"
    ] is True


def test_its_script_does_what_it_says(render: Render, tmp_path: Path) -> None:
    (job,) = [spec for one, spec in pods(render(BACKUP)) if one["kind"] == "CronJob"]
    container = job["containers"][0]
    said, backups = tmp_path / "said", tmp_path / "backups"
    backups.mkdir()
    program = tmp_path / "placeprint"
    program.write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    program.chmod(0o755)
    script, *words = container["args"]
    command = [*container["command"], script.replace("/backups", str(backups)), *words]
    subprocess.run(command, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    lines = said.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["backup", "restore", "backup", "restore"]
    assert re.fullmatch(rf"backup trips {backups}/trips-\d{{4}}-\d\d-\d\d\.tar --overwrite", lines[0])
    program.write_text("#!/bin/sh\nexit 1\n")
    assert subprocess.run(command, check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}).returncode != 0
