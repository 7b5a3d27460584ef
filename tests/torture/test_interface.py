"""R18, R21 and R22: every operation keeps its word, no name leads elsewhere, no door stands open."""

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from served import make_gallery, open_service, settings_at
from torture_faults import FAULTS
from torture_rows import Record
from torture_runs import Copy, run_tests
from torture_scale import scaled

from placeprint.api.app import create_app

pytestmark = pytest.mark.slow


def plant_all(record: Record, copy: Copy) -> None:
    """Put the row's faults into the copy, one at a time, and see that each is caught."""
    for name, fault in FAULTS[record.row].items():
        record.caught(name, int(copy.is_caught(fault)), 1)


def test_r18_every_operation_keeps_its_word(record: Record, copy: Copy) -> None:
    n = scaled(4, 50, 500)  # of allowed questions, and as many of others
    ran = run_tests(
        "tests/api/test_openapi.py", "-k", "not thousand", within_s=scaled(300, 800, 7000), tree=copy.tree,
        environment={"PLACEPRINT_TEST_EXAMPLES": str(n)},
    )  # fmt: skip
    record.figure("operations and documents", ran.passed + ran.failed)
    record.figure("of these that did not keep their word", ran.failed)
    record.figure("examples of an operation", 2 * n)
    record.figure("time", ran.seconds, "s")
    record.note("also one after the other, as the document's links lead")
    ran.require_passed()
    plant_all(record, copy)


# --- R21 ---------------------------------------------------------------------------------------------

NAMES = [
    "..", ".", "...", "../..", "../../etc/passwd", "..\\..", "/etc/passwd", "//etc/passwd", "~", "~root",
    "\0", "a\0b", "\x1f", "a\nb", "a" * 300, "a" * 5000, "ü", "\u202e", "ａ", "trips\u200b", "CON", "NUL",
    "aux.json", "trips.", "trips ", " trips", "TRIPS", "trips/..", "trips/../trips", "./trips",
    "trips%2f..", "%2e%2e", "%2e%2e%2f", "%252e%252e", "..%c0%af", "..;/", "*", "?", "$HOME", "`id`",
    "{trips}", "'", '"', "<a>", "|", ":", "-", "_", "-trips",
    "galleries", "lock", "gallery.json", ".hidden", "trips/ledger", "null", "undefined", "-1", "1e9",
]  # fmt: skip

_watched: list[str] | None = None


def _hook(event: str, words: tuple[Any, ...]) -> None:
    if _watched is not None and event in (
        "open",
        "os.listdir",
        "os.scandir",
        "os.mkdir",
        "os.remove",
        "os.rename",
    ):
        if words and isinstance(words[0], str | bytes):
            _watched.append(os.fsdecode(words[0]))


async def asked(app: Any, verb: str, path: str) -> int:
    """The status that an application answers with to a path as it is, dots and all."""
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": verb, "scheme": "http",
        "path": unquote(path), "raw_path": path.encode("utf-8", "surrogateescape"), "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    await app(scope, receive, send)
    return status


def paths_of(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Verb, path with one bad name in it, and the name, for each parameter of each path."""
    good = {
        "gallery": "trips",
        "classifier": "none",
        "id": "0" * 32,
        "key": "city",
        "z": "0",
        "x": "0",
        "y": "0",
    }
    found = []
    for path, verbs in document["paths"].items():
        parameters = [part[1:-1] for part in path.replace(".mvt", "").split("/") if part.startswith("{")]
        for verb in verbs:
            for parameter in parameters:
                for name in NAMES:
                    for written in {name, quote(name, safe="")}:
                        filled = path
                        for other in parameters:
                            filled = filled.replace(
                                f"{{{other}}}", written if other == parameter else good[other]
                            )
                        found.append((verb.upper(), filled, name))
    return found


def ask_all(app: Any, asked_for: list[tuple[str, str, str]]) -> tuple[Counter[int], list[str]]:
    """Statuses, and the paths that were opened meanwhile."""
    global _watched
    statuses = Counter[int]()

    async def ask() -> None:
        for verb, path, _ in asked_for:
            statuses[await asked(app, verb, path)] += 1

    _watched = []
    try:
        asyncio.run(ask())
        return statuses, _watched
    finally:
        _watched = None


def outside(opened: list[str], home: Path) -> set[str]:
    """What was opened that is neither in the folder of data nor code of this installation."""
    ours = (
        str(home.resolve()),
        *map(os.path.realpath, filter(None, sys.path)),
        os.path.realpath(sys.base_prefix),
    )
    harmless = (
        "/proc/",
        "/dev/",
        "/sys/",
        "/usr/lib",
        "/usr/share/zoneinfo",
        "/etc/mime.types",
        "/tmp/placeprint-",
    )
    return {
        path for path in opened
        if not os.path.realpath(path.replace("\0", "")).startswith(ours) and not path.startswith(harmless)
    }  # fmt: skip


def test_r21_no_name_leads_elsewhere(record: Record, tmp_path: Path) -> None:
    sys.addaudithook(_hook)  # for good; it notes nothing between questions
    home = make_gallery(tmp_path / "home")
    settings = settings_at(home)
    service = open_service(settings)
    app = create_app(settings, service)
    app.state.service = service
    try:
        asked_for = paths_of(app.openapi())
        ask_all(app, asked_for[:200])  # what is imported on first use
        statuses, opened = ask_all(app, asked_for)
        away = outside(opened, home)
        record.figure("questions", len(asked_for))
        record.figure("answers 2xx", sum(n for status, n in statuses.items() if status < 400))
        record.figure("answers 5xx", sum(n for status, n in statuses.items() if status >= 500))
        record.figure("files opened", len(opened))
        record.figure("of these outside the folder of data", len(away))
        planted = create_app(settings, service)
        planted.state.service = service

        def opened_by_name(gallery: str, id: str) -> str:
            return (home / "galleries" / gallery / id).read_text()

        planted.add_api_route("/v1/galleries/{gallery}/raw/{id:path}", opened_by_name)
        leading = [one for one in paths_of(planted.openapi()) if "/raw/" in one[1]]
        _, seen = ask_all(planted, leading)
        record.caught(
            "a file is opened by the name that is asked for", len(outside(seen, home)), len(leading)
        )
    finally:
        service.close()
    assert away == set()
    assert all(400 <= status < 500 for status in statuses), statuses


def test_r22_no_door_stands_open(record: Record, copy: Copy) -> None:
    ran = run_tests("tests/api/test_keys.py", "tests/api/test_callers.py", tree=copy.tree)
    record.figure("tests of routes, scopes and keys", ran.passed)
    record.figure("of these failed", ran.failed)
    ran.require_passed()
    each = run_tests("tests/api/test_keys.py", "-k", "each_route", tree=copy.tree)
    record.figure("cells of the table (routes times keys)", each.passed)
    record.figure("deviations", each.failed)
    plant_all(record, copy)
