"""The interface is what the committed document says, and keeps its word whatever is asked (schemathesis)."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi import checks
from served import make_gallery, open_service, settings_at

from placeprint.api.app import create_app
from placeprint.api.openapi import openapi_text
from placeprint.api.serving.service_settings import ServiceSettings

COMMITTED = Path(__file__).parents[2] / "api" / "openapi.json"
N_EXAMPLES = int(os.environ.get("PLACEPRINT_TEST_EXAMPLES", "12"))
CHECKS: list[CheckFunction] = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


def test_the_committed_document_is_the_one_that_is_served() -> None:
    assert COMMITTED.read_text() == openapi_text(), "the interface has changed; run: make openapi"


def test_every_field_and_parameter_is_described_or_speaks_for_itself() -> None:
    document = json.loads(openapi_text())
    assert document["info"]["description"].count("longitude first") == 1
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            assert operation["description"], (verb, path)
            assert operation["tags"], (verb, path)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serving(tmp_path_factory.mktemp("fuzzed")) as app:
        yield app


@contextmanager
def serving(folder: Path) -> Iterator[Any]:
    """The application over a gallery of its own."""
    home = make_gallery(folder)
    given = settings_at(home, precision="exact", deadline_s=60.0)
    service = open_service(given)
    app = create_app(given, service)
    app.state.service = service

    async def without_lifespan(scope: Any, receive: Any, send: Any) -> None:
        """The application, which is not opened and closed anew for every question."""
        if scope["type"] != "lifespan":
            return await app(scope, receive, send)
        for answer in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
            await receive()
            await send({"type": answer})

    yield without_lifespan
    service.close()


def operations() -> list[tuple[str, str]]:
    document = create_app(ServiceSettings()).openapi()
    return [(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs]


def fuzz(app: Any, verb: str, path: str, n_examples: int) -> None:
    """Ask an operation much that is allowed and much that is not."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "127.0.0.1"})
    operation, n_asked = schema[path][verb], 0
    for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

        @settings(
            max_examples=n_examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            nonlocal n_asked
            if "gallery" in (case.path_parameters or {}) and n_asked % 4:
                case.path_parameters["gallery"] = "trips"  # else hardly any question would reach one
            if (case.query or {}).get("confirm") == "trips":
                return
            n_asked += 1
            case.call_and_validate(headers={"Host": "127.0.0.1"}, checks=CHECKS)

        with suppress(Unsatisfiable):  # nothing can be asked wrongly where nothing is asked
            ask()
    assert n_asked >= 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("verb", "path"), operations())
def test_an_operation_answers_as_it_is_documented(app: Any, verb: str, path: str) -> None:
    fuzz(app, verb, path, N_EXAMPLES)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("verb", "path"), operations())
def test_an_operation_answers_as_it_is_documented_a_thousand_times(app: Any, verb: str, path: str) -> None:
    fuzz(app, verb, path, 500)


# --- one after the other -----------------------------------------------------------------------------


def linked() -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Of each link: where it is, where it leads, its parameters, and the schema of the answer it reads."""
    document = json.loads(COMMITTED.read_text())
    found = []
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            for answer in operation["responses"].values():
                schema = next(iter(answer.get("content", {}).values()), {}).get("schema", {})
                for link in answer.get("links", {}).values():
                    found.append((f"{verb} {path}", link["operationId"], link["parameters"], schema))
    return found


def leads_to(schema: dict[str, Any], pointer: str) -> dict[str, Any]:
    """The schema of a part of what a schema describes."""
    components = json.loads(COMMITTED.read_text())["components"]["schemas"]
    for part in pointer.split("/")[1:]:
        schema = components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        schema = schema["items"] if part.isdigit() else schema["properties"][part]
    return schema


def test_links_read_what_answers_have_and_lead_where_it_is_asked() -> None:
    document = json.loads(COMMITTED.read_text())
    paths = {one["operationId"]: path for path, verbs in document["paths"].items() for one in verbs.values()}
    for where, operation, parameters, schema in linked():
        assert set(re.findall(r"{(\w+)}", paths[operation])) == set(parameters), (where, operation)
        for name, words in parameters.items():
            if words.startswith("$response.body#"):
                found = leads_to(schema, words.partition("#")[2])
                assert "string" in [one["type"] for one in found.get("anyOf", [found])], (where, words)
            else:
                assert words == f"$request.path.{name}" and f"{{{name}}}" in where
    reached = {paths[operation] for _, operation, _, _ in linked()}
    assert {path for path in paths.values() if "{" in path} - reached == {
        "/v1/galleries/{gallery}/facets/{key}",
        "/v1/galleries/{gallery}/tiles/{z}/{x}/{y}.mvt",
    }


Step = tuple[str, str]  # verb and path


def links_of(document: dict[str, Any]) -> dict[Step, list[tuple[Step, dict[str, str]]]]:
    """Where each operation's answer leads, with the parameters that it has for that."""
    steps = {
        one["operationId"]: (verb.upper(), path)
        for path, verbs in document["paths"].items()
        for verb, one in verbs.items()
    }
    found: dict[Step, list[tuple[Step, dict[str, str]]]] = {}
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            for answer in operation["responses"].values():
                for link in answer.get("links", {}).values():
                    where = steps[link["operationId"]], link["parameters"]
                    found.setdefault((verb.upper(), path), []).append(where)
    return found


def told_by(parameters: dict[str, str], case: Any, response: Any) -> dict[str, str]:
    """The values of a link's parameters, as far as this question and its answer have them."""
    found = {}
    for name, words in parameters.items():
        value: Any = case.path_parameters if words.startswith("$request") else response.json()
        try:
            for part in words.split("/")[1:] if "#" in words else [name]:
                value = value[int(part) if part.isdigit() else part]
        except (KeyError, IndexError):
            continue
        if isinstance(value, str):
            found[name] = value
    return found


def ask_in_sequence(app: Any, n_sequences: int) -> Counter[tuple[Step, int]]:
    """Ask operations one after the other, as links lead, and count their answers.

    What is drawn does not depend on the answers: they change with every photo that was added or deleted.
    """
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "127.0.0.1"})
    links, answers = links_of(json.loads(COMMITTED.read_text())), Counter[tuple[Step, int]]()
    job = {"kind": "optimize", "gallery": "trips"}  # or there might be none to lead to
    assert TestClient(app, base_url="http://127.0.0.1").post("/v1/jobs", json=job).status_code == 202

    @settings(
        max_examples=n_sequences, deadline=None, derandomize=True, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=st.data())
    def walk(data: st.DataObject) -> None:
        step, known = data.draw(st.sampled_from(sorted(links))), {"gallery": "trips"}
        for _ in range(6):
            case = data.draw(schema[step[1]][step[0]].as_strategy())
            case.path_parameters = {
                name: known.get(name, value) for name, value in case.path_parameters.items()
            }
            if (case.query or {}).get("confirm") == "trips":
                return
            response = case.call_and_validate(headers={"Host": "127.0.0.1"}, checks=CHECKS)
            answers[step, response.status_code] += 1
            if step not in links:
                return
            step, parameters = data.draw(st.sampled_from(links[step]))
            if response.status_code < 300:
                known = told_by(parameters, case, response)

    walk()
    return answers


@pytest.mark.filterwarnings("ignore")
def test_operations_keep_their_word_one_after_the_other(tmp_path: Path) -> None:
    with serving(tmp_path) as app:
        answers = ask_in_sequence(app, max(60, 4 * N_EXAMPLES))
    led = {step for step, status in answers if "{id}" in step[1] and status < 300}
    assert ("GET", "/v1/galleries/{gallery}/photos/{id}") in led


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_operations_keep_their_word_one_after_the_other_a_thousand_times(tmp_path: Path) -> None:
    with serving(tmp_path) as app:
        answers = ask_in_sequence(app, 1000)
    led = {step for step, status in answers if "{id}" in step[1] and status < 300}
    assert {("GET", "/v1/jobs/{id}"), ("GET", "/v1/galleries/{gallery}/photos/{id}")} <= led
