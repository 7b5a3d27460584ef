"""Keys: hashed, scoped, revoked at once; and every route behind the scope that the table says."""

import json
import logging
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from program import run_program
from served import JPEG, is_problem, make_gallery, picture, serving

from placeprint.api.app import create_app
from placeprint.api.serving.keys import InvalidKeys, KeyRing
from placeprint.api.serving.service_settings import ServiceSettings

SCOPE_OF = {
    "GET /healthz": None,
    "GET /readyz": None,
    "GET /v1/about": None,
    "GET /metrics": "read",
    "GET /v1/models": "read",
    "POST /v1/embed/images": "read",
    "POST /v1/embed/texts": "read",
    "POST /v1/embed/locations": "read",
    "POST /v1/embeddings": "read",
    "GET /v1/galleries": "read",
    "POST /v1/galleries": "admin",
    "GET /v1/galleries/{gallery}": "read",
    "DELETE /v1/galleries/{gallery}": "admin",
    "GET /v1/galleries/{gallery}/facets/{key}": "read",
    "GET /v1/galleries/{gallery}/photos": "read",
    "POST /v1/galleries/{gallery}/photos": "write",
    "GET /v1/galleries/{gallery}/photos/{id}": "read",
    "DELETE /v1/galleries/{gallery}/photos/{id}": "write",
    "GET /v1/galleries/{gallery}/photos/{id}/thumbnail": "read",
    "POST /v1/galleries/{gallery}/search": "read",
    "POST /v1/galleries/{gallery}/search/image": "read",
    "GET /v1/regions": "read",
    "POST /v1/regions/{classifier}": "read",
    "POST /v1/galleries/{gallery}/recognize": "read",
    "POST /v1/galleries/{gallery}/recognize/match-map": "read",
    "POST /v1/galleries/{gallery}/recognize/walk": "read",
    "POST /v1/galleries/{gallery}/geolocate": "read",
    "POST /v1/galleries/{gallery}/places/like": "read",
    "GET /v1/galleries/{gallery}/places/map": "read",
    "GET /v1/galleries/{gallery}/h3": "read",
    "GET /v1/galleries/{gallery}/tiles/{z}/{x}/{y}.mvt": "read",
    "POST /v1/jobs": "admin",
    "GET /v1/jobs": "admin",
    "GET /v1/jobs/{id}": "admin",
    "DELETE /v1/jobs/{id}": "admin",
}
"""What each route asks for. A new route must be added here, so that none can be left open by mistake."""

ORDER = ["none", "bad", "read", "write", "admin"]


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys.json")


def test_a_key_is_found_by_its_hash_alone(ring: KeyRing, tmp_path: Path) -> None:
    made = ring.create("museum", "read")
    assert re.fullmatch(r"pp_[\w-]{43}", made)
    text = (tmp_path / "keys.json").read_text()
    assert made not in text and made.removeprefix("pp_") not in text
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    found = KeyRing(tmp_path / "keys.json").find(made)
    assert found is not None and (found.name, found.scope) == ("museum", "read")
    for wrong in ("", "pp_", made[:-1], made + "x", made.upper(), text):
        assert ring.find(wrong) is None


def test_a_scope_covers_those_before_it(ring: KeyRing) -> None:
    keys = {scope: ring.find(ring.create(scope, scope)) for scope in ("read", "write", "admin")}
    may = {
        name: [scope for scope in ("read", "write", "admin") if key.may(scope)] for name, key in keys.items()
    }
    assert may == {"read": ["read"], "write": ["read", "write"], "admin": ["read", "write", "admin"]}


def test_a_revoked_key_is_not_known_to_others_who_have_read_it(ring: KeyRing, tmp_path: Path) -> None:
    made, other = ring.create("museum", "read"), KeyRing(tmp_path / "keys.json")
    assert other.find(made) is not None
    ring.revoke("museum")
    assert other.find(made) is None
    with pytest.raises(InvalidKeys, match="no key 'museum'; there are: none"):
        ring.revoke("museum")


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 64, "-a", "ü"])
def test_a_name_that_a_key_cannot_have(ring: KeyRing, name: str) -> None:
    with pytest.raises(InvalidKeys, match="cannot name a key"):
        ring.create(name, "read")


def test_a_name_is_taken_once(ring: KeyRing) -> None:
    ring.create("museum", "read")
    with pytest.raises(InvalidKeys, match="already"):
        ring.create("museum", "admin")


GOD = {"name": "a", "scope": "god", "sha256": "0" * 64, "created_at": ""}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": [{}]}', json.dumps({"keys": [GOD]})])
def test_a_damaged_file_of_keys_lets_nobody_in(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(InvalidKeys, match="damaged"):
        KeyRing(tmp_path / "keys.json").find("pp_x")


def test_the_command_line_makes_lists_and_revokes(tmp_path: Path) -> None:
    def run(*words: str) -> Any:
        return run_program(tmp_path, "keys", *words, home=tmp_path)

    made = run("create", "museum", "--scope", "write")
    assert made.returncode == 0 and made.stdout.startswith("pp_") and "copy it now" in made.stderr
    assert KeyRing(tmp_path / "keys.json").find(made.stdout.strip()) is not None
    assert "museum: write" in run("list").stdout
    again = run("create", "museum")
    assert again.returncode == 1 and "already" in again.stderr and "Traceback" not in again.stderr
    assert run("revoke", "museum").returncode == 0
    assert KeyRing(tmp_path / "keys.json").keys == []


# --- over HTTP -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, dict[str, str]]]:
    home = make_gallery(tmp_path_factory.mktemp("locked"))
    ring = KeyRing(home / "keys.json")
    keys = {scope: ring.create(scope, scope) for scope in ("read", "write", "admin")}
    with serving() as start:
        yield start(home), {"none": "", "bad": "pp_" + "x" * 43, **keys}


def operations() -> list[str]:
    document = create_app(ServiceSettings()).openapi()
    return [f"{verb.upper()} {path}" for path, verbs in document["paths"].items() for verb in verbs]


def test_the_table_has_every_route() -> None:
    assert sorted(operations()) == sorted(SCOPE_OF)


@pytest.mark.parametrize("shown", ORDER)
@pytest.mark.parametrize("operation", SCOPE_OF)
def test_each_route_lets_in_whom_the_table_says(
    locked: tuple[TestClient, dict[str, str]], operation: str, shown: str
) -> None:
    client, keys = locked
    verb, path = operation.split(" ")
    id = "0" * 32 if "jobs" in path else "00000000-0000-0000-0000-000000000000"
    filled = path.format(gallery="none", classifier="none", id=id, key="year", z=0, x=0, y=0)
    headers = {"Authorization": f"Bearer {keys[shown]}"} if keys[shown] else {}
    answer = client.request(verb, filled, headers=headers)
    scope = SCOPE_OF[operation]
    if scope is None or ORDER.index(shown) >= ORDER.index(scope):
        assert answer.status_code not in (401, 403)
    elif shown in ("none", "bad"):
        assert is_problem(answer, 401) and answer.headers["www-authenticate"] == "Bearer"
    else:
        assert is_problem(answer, 403) and f"needs one for {scope}" in answer.json()["detail"]


def test_no_key_stands_in_a_log_or_an_answer(
    locked: tuple[TestClient, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    client, keys = locked
    with caplog.at_level(logging.DEBUG):
        for shown in keys.values():
            headers = {"Authorization": f"Bearer {shown}", **JPEG}
            texts = [
                client.get("/v1/galleries", headers=headers).text,
                client.get("/v1/about", headers=headers).text,
                client.get("/metrics", headers=headers).text,
                client.post("/v1/galleries/trips/geolocate", content=picture("red"), headers=headers).text,
                client.post("/v1/jobs", headers=headers, json={"kind": "x"}).text,
            ]
            assert not shown or not any(shown in text for text in texts)
    assert not any(shown and shown in caplog.text for shown in keys.values())


def test_a_revoked_key_is_refused_at_once(tmp_path: Path) -> None:
    ring = KeyRing(make_gallery(tmp_path) / "keys.json")
    headers = {"Authorization": f"Bearer {ring.create('museum', 'read')}"}
    ring.create("other", "read")
    with serving() as start:
        client = start(tmp_path)
        assert client.get("/v1/galleries", headers=headers).status_code == 200
        ring.revoke("museum")
        assert is_problem(client.get("/v1/galleries", headers=headers), 401)


def test_a_rate_is_counted_for_each_key_and_says_when_to_come_again(tmp_path: Path) -> None:
    ring = KeyRing(make_gallery(tmp_path) / "keys.json")
    one, other = ({"Authorization": f"Bearer {ring.create(name, 'read')}"} for name in ("one", "other"))
    with serving() as start:
        client = start(tmp_path, rate_per_minute=3)
        codes = [client.get("/v1/galleries", headers=one).status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        refused = client.get("/v1/galleries", headers=one)
        assert is_problem(refused, 429) and 1 <= int(refused.headers["retry-after"]) <= 61
        assert client.get("/v1/galleries", headers=other).status_code == 200
        assert client.get("/healthz").status_code == 200
        guesses = [
            client.get("/v1/galleries", headers={"Authorization": f"Bearer {i}"}).status_code
            for i in range(5)
        ]
        assert guesses == [401, 401, 401, 429, 429]


def test_the_openapi_document_says_where_a_key_is_needed() -> None:
    document: Any = create_app(ServiceSettings()).openapi()
    for operation, scope in SCOPE_OF.items():
        verb, path = operation.split(" ")
        assert ("security" in document["paths"][path][verb.lower()]) == (scope is not None), operation
    assert json.dumps(document["components"]["securitySchemes"]).count("bearer") == 1
