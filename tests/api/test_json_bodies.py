"""Long JSON is read beside the event loop, and refused when it holds more than any question does."""

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import pydantic_core
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from served import is_problem

from placeprint.api.routes import json_bodies
from placeprint.api.routes.json_bodies import (
    AT_ONCE_BYTES,
    DECODED_AT_ONCE,
    MOST_NAMES,
    MOST_OUTSIDE,
    MOST_SLOW,
    MOST_VALUES,
    JsonRoute,
    check_count,
    photo_of_base64,
)
from placeprint.api.schemas.base import Request
from placeprint.api.serving.problems import add_problem_handlers
from placeprint.api.serving.refusals import InvalidQuestion

JSON = {"Content-Type": "application/json"}


class Words(Request):
    words: list[str | int]


@pytest.fixture
def client() -> Iterator[TestClient]:
    app, routes = FastAPI(), APIRouter(route_class=JsonRoute)
    add_problem_handlers(app)

    @routes.post("/words")
    async def words(asked: Words) -> dict[str, Any]:
        return {"n": len(asked.words), "last": str(asked.words[-1])[-20:]}

    app.include_router(routes)
    with TestClient(app) as client:
        yield client


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the threads that read long bodies."""
    seen, read = [], pydantic_core.from_json

    def noted(body: bytes) -> Any:
        seen.append(threading.current_thread().name)
        return read(body)

    monkeypatch.setattr(json_bodies.pydantic_core, "from_json", noted)
    return seen


def test_a_long_body_is_read_in_a_thread_of_its_own(client: TestClient, readers: list[str]) -> None:
    said = {"words": ["x" * AT_ONCE_BYTES, 'a "quoted", [listed]: word']}
    assert client.post("/words", json=said).json() == {"n": 2, "last": said["words"][-1][-20:]}
    assert len(readers) == 1 and readers[0].startswith("bodies")


def test_a_short_body_is_read_at_once(client: TestClient, readers: list[str]) -> None:
    assert client.post("/words", json={"words": ["a"]}).json() == {"n": 1, "last": "a"}
    assert readers == []


@pytest.mark.parametrize("end", [b"", b'"', b"]", b'"]}x', b"\xff"])
def test_a_long_body_that_is_no_json_is_refused(client: TestClient, end: bytes) -> None:
    answer = client.post("/words", content=b'{"words": ["' + b"x" * AT_ONCE_BYTES + end, headers=JSON)
    assert is_problem(answer, 422) and "JSON" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [b"[" + b"1," * MOST_VALUES + b"1]", b"[" * (MOST_VALUES + 1), b'"",' * (MOST_VALUES + 1),
     b"{" + b'"a_long_name":1,' * (MOST_NAMES + 1) + b"}", b" " * (MOST_OUTSIDE + 1),
     b'["' + b"\\n" * (MOST_SLOW + 1) + b'"]', b'["' + "é".encode() * MOST_SLOW + b'"]'],
    ids=["numbers", "lists", "texts", "names", "spaces", "escapes", "letters"],
)  # fmt: skip
def test_more_than_a_question_holds_is_refused_unread(
    client: TestClient, readers: list[str], body: bytes
) -> None:
    answer = client.post("/words", content=body, headers=JSON)
    assert is_problem(answer, 422) and "several requests" in answer.json()["detail"]
    assert readers == []


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(alphabet='a",[]{}:\\\\é', max_size=12), max_size=60),
    st.integers(1, 7),
)
def test_what_stands_in_texts_does_not_count(texts: list[str], slice_bytes: int) -> None:
    """However the slices fall: in an escape, at a quote, between two backslashes."""
    body = json.dumps(texts).encode()
    marks = 1 + max(0, len(texts) - 1)  # the bracket, and a comma between two
    before = json_bodies.SLICE, json_bodies.MOST_VALUES
    try:
        json_bodies.SLICE, json_bodies.MOST_VALUES = slice_bytes, marks
        check_count(body)
        json_bodies.MOST_VALUES = marks - 1
        with pytest.raises(InvalidQuestion):
            check_count(body)
    finally:
        json_bodies.SLICE, json_bodies.MOST_VALUES = before


@pytest.mark.parametrize("n_bytes", [1, 2, 3, DECODED_AT_ONCE // 4 * 3 - 1, DECODED_AT_ONCE // 4 * 3,
                                     DECODED_AT_ONCE // 4 * 3 + 1, DECODED_AT_ONCE * 2])  # fmt: skip
def test_base64_in_slices_is_base64(n_bytes: int, rng: Any) -> None:
    content = rng.bytes(n_bytes)
    text = base64.b64encode(content).decode()
    assert photo_of_base64(text) == photo_of_base64("data:image/png;base64," + text) == content


def test_base64_that_ends_in_its_midst_is_refused() -> None:
    first = base64.b64encode(bytes(DECODED_AT_ONCE // 4 * 3 - 1)).decode()  # one slice, which ends with =
    assert len(first) == DECODED_AT_ONCE and first.endswith("=")
    for text in (first + "AAAA", "A" * DECODED_AT_ONCE + "A", "not base64"):
        with pytest.raises(InvalidQuestion, match="base64"):
            photo_of_base64(text)
