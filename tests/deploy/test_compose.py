"""One machine: containers that can do little, a Qdrant with its doors shut, secrets in files."""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from placeprint.api.serving.service_settings import read_settings

Tool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def compose(deploy: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((deploy / "compose.yaml").read_text())
    return found


def test_every_container_can_do_little(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["restart"] == "unless-stopped", name
        assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys(), name
        assert not {"privileged", "network_mode", "pid", "ipc"} & service.keys(), name
        assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else []), name


def test_images_are_pinned(compose: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in compose["services"].items()}
    assert images.pop("placeprint").startswith("placeprint:")
    assert images["qdrant"] == "qdrant/qdrant:v1.19.0-unprivileged"
    assert all(re.search(r":v?\d+\.\d+\.\d+", image) for image in images.values())


def test_only_the_proxy_is_reached_from_elsewhere(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            assert name == "caddy" or port.startswith("127.0.0.1:"), (name, port)


def test_qdrant_is_reached_by_the_service_alone(compose: dict[str, Any]) -> None:
    qdrant = compose["services"]["qdrant"]
    assert "ports" not in qdrant
    assert qdrant["networks"] == ["inside"]
    assert compose["networks"]["inside"]["internal"] is True
    assert "inside" not in compose["services"]["caddy"]["networks"]


def test_qdrant_has_the_safe_defaults(deploy: Path) -> None:
    config = yaml.safe_load((deploy / "qdrant.yaml").read_text())
    service = config["service"]
    assert config["telemetry_disabled"] is True
    assert service["enable_cors"] is False
    assert service["enable_snapshot_url_recovery"] is False
    assert service["grpc_port"] is None
    assert not {"api_key", "read_only_api_key"} & service.keys()
    strict = config["storage"]["collection"]["strict_mode"]
    assert strict["enabled"] and strict["search_allow_exact"] and not strict["unindexed_filtering_retrieve"]


def test_secrets_are_files_and_no_variables(compose: dict[str, Any]) -> None:
    used = {
        (secret if isinstance(secret, str) else secret["source"])
        for service in compose["services"].values()
        for secret in service.get("secrets", [])
    }
    assert used == compose["secrets"].keys()
    assert all(one["file"].startswith("./secrets/") for one in compose["secrets"].values())
    for service in compose["services"].values():
        for name in service.get("environment", {}):
            assert not re.search(r"PASSWORD|SECRET|KEY|TOKEN", name) or name.endswith(("__FILE", "_DIR")), (
                name
            )


def test_variables_are_settings(compose: dict[str, Any], unknown_settings: Callable[[str], set[str]]) -> None:
    environment = compose["services"]["placeprint"]["environment"]
    assert unknown_settings(" ".join(environment)) == set()


def test_files_that_are_mounted_are_there(compose: dict[str, Any], deploy: Path) -> None:
    sources = [
        volume["source"]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if isinstance(volume, dict)
    ]
    files = [source for source in sources if source.startswith("./")]
    assert len(files) >= 6
    assert all((deploy / source).is_file() for source in files)


def test_the_schema_of_compose_is_kept(tool: Tool, deploy: Path) -> None:
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", deploy / "compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_docker_itself_reads_it(tool: Tool, deploy: Path) -> None:
    if tool("docker", "compose", "version").returncode:
        pytest.skip("docker has no compose here")
    done = tool("docker", "compose", "-f", deploy / "compose.yaml", "--profile", "*", "config", "--quiet")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def secrets(deploy: Path, tmp_path: Path) -> Path:
    shutil.copy(deploy / "make_secrets.sh", tmp_path)
    subprocess.run(["sh", tmp_path / "make_secrets.sh"], check=True, capture_output=True, cwd="/")
    return tmp_path / "secrets"


def test_secrets_are_made_once_and_kept_from_others(
    secrets: Path, compose: dict[str, Any], tmp_path: Path
) -> None:
    assert {path.name for path in secrets.iterdir()} == {
        one["file"].removeprefix("./secrets/") for one in compose["secrets"].values()
    }
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    keys = yaml.safe_load((secrets / "qdrant.yaml").read_text())["service"]
    assert re.fullmatch(r"[0-9a-f]{64}", keys["api_key"])
    assert keys["api_key"] != keys["read_only_api_key"]
    assert (secrets / "placeprint_qdrant_api_key").read_text() == keys["api_key"]
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    subprocess.run(["sh", tmp_path / "make_secrets.sh"], check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before


def test_the_service_finds_its_key_and_names(
    secrets: Path, compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PLACEPRINT_")]:
        monkeypatch.delenv(name)
    for name, value in compose["services"]["placeprint"]["environment"].items():
        plain = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        monkeypatch.setenv(name, str(secrets) if name == "PLACEPRINT_SECRETS_DIR" else plain)
    monkeypatch.setenv("PLACEPRINT_HOST", "0.0.0.0")
    settings = read_settings()
    assert settings.qdrant_api_key is not None
    assert settings.qdrant_api_key.get_secret_value() == (secrets / "placeprint_qdrant_api_key").read_text()
    assert settings.hostnames == ["localhost", "placeprint"]
    assert not settings.may_geolocate
    assert settings.qdrant_url == "http://qdrant:6333"


def test_caddy_reads_its_file(tool: Tool, deploy: Path, tmp_path: Path) -> None:
    environment = os.environ | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    done = tool(
        "caddy", "validate", "--adapter", "caddyfile", "--config", deploy / "Caddyfile", env=environment
    )
    assert done.returncode == 0, done.stderr
