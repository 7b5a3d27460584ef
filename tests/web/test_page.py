"""The page is served under a strict policy, and walks in a real browser."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from served import is_problem, make_gallery, serving

from placeprint.api.routes import page
from placeprint.api.routes.page import content_security_policy
from placeprint.api.serving.service_settings import ServiceSettings

WEB = Path(__file__).parents[2] / "api" / "web"
CHROMIUM = "/usr/bin/chromium"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose page is a line of text."""
    dist = tmp_path / "package" / "web" / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<!doctype html>the page")
    (dist / "assets" / "main-abc123.js").write_text("let page")
    monkeypatch.setattr(page.resources, "files", lambda name: tmp_path / "package")
    return dist


@pytest.fixture
def client(built: Path, tmp_path: Path) -> Iterator[TestClient]:
    with serving() as start:
        yield start(make_gallery(tmp_path))


def test_the_page_is_served_with_a_policy_that_lets_nothing_else_in(client: TestClient) -> None:
    answer = client.get("/")
    assert (answer.text, answer.headers["cache-control"]) == ("<!doctype html>the page", "no-cache")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    script = client.get("/assets/main-abc123.js")
    assert script.text == "let page" and "immutable" in script.headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["../index.html", "..%2f..%2f..%2fkeys.json", "%2e%2e/%2e%2e/x", "x", "/etc/passwd", "%00"]
)
def test_no_path_leads_out_of_the_pages_files(client: TestClient, path: str) -> None:
    answer = client.get(f"/assets/{path}")
    assert answer.status_code == 404 or answer.text == "<!doctype html>the page"


def test_a_service_without_a_built_page_says_so(client: TestClient, built: Path) -> None:
    (built / "index.html").unlink()
    answer = client.get("/")
    assert answer.status_code == 200 and "make web" in answer.text


def test_only_a_tile_provider_that_the_operator_named_may_be_asked() -> None:
    given = ServiceSettings(basemap="https://tiles.example.org/{z}/{x}/{y}.png?key=1")
    policy = content_security_policy(given)
    assert policy.count("https://") == 2 and "connect-src 'self' https://tiles.example.org;" in policy
    assert "https" not in content_security_policy(ServiceSettings(basemap="/maps/world.pmtiles"))


def test_a_basemap_of_the_operators_is_served_in_parts(built: Path, tmp_path: Path) -> None:
    (tmp_path / "world.pmtiles").write_bytes(bytes(range(200)))
    with serving() as start:
        client = start(make_gallery(tmp_path), basemap=str(tmp_path / "world.pmtiles"))
        part = client.get("/basemap.pmtiles", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
        assert client.get("/v1/about").json()["basemap"] == "/basemap.pmtiles"


def test_without_a_basemap_there_is_none(client: TestClient) -> None:
    assert is_problem(client.get("/basemap.pmtiles"), 404)


def run(*words: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, cwd=WEB, capture_output=True, text=True, check=False, **more)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not here")
def test_the_page_builds_and_its_pure_parts_hold() -> None:
    for words in (("npm", "ci", "--no-audit", "--no-fund"), ("npm", "run", "build"), ("npm", "run", "check")):
        done = run(*words, timeout=600)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    lock = (WEB / "package-lock.json").read_text()
    assert '"resolved"' not in lock


@pytest.mark.slow
@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not here")
@pytest.mark.skipif(not (WEB / "dist" / "index.html").exists(), reason="the page is not built; run: make web")
def test_every_view_walks_in_a_browser(tmp_path: Path) -> None:
    done = run("npm", "run", "e2e", "--", "--out", str(tmp_path), timeout=900)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "all as it should be" in done.stdout
    assert all(picture.stat().st_size < 200_000 for picture in tmp_path.glob("*.jpg"))
