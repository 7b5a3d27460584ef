"""A Qdrant server that speaks HTTP, as far as the store speaks to one.

Bodies are read with the client's own models, which refuse what the interface does not know. Points are kept
and searched by the client's store in memory, so that answers are right; what that one has no notion of
(shards, replicas, indexes, strict mode) is written down for the test to look at. It can be told to fail.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import pydantic
from qdrant_client import QdrantClient, models
from qdrant_client.http.models import models as wire


class Request(NamedTuple):
    """What was asked."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any  # of the client's models; None without one


@dataclass
class FakeQdrant:
    """The server's state.

    Attributes:
        url: where it listens.
        requests: all that was asked, in order; also what was answered with a fault.
        faults: what becomes of the next requests that match: a status, or 0 for a line cut before the
            answer, and with `is_late` only after the request has done its work.
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    faults: list["Fault"] = field(default_factory=list)
    client: QdrantClient = field(default_factory=lambda: QdrantClient(":memory:"))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self, method: str, pattern: str) -> list[Request]:
        """Requests by method and a pattern of the whole path."""
        return [r for r in self.requests if r.method == method and re.fullmatch(pattern, r.path)]

    @property
    def collections(self) -> set[str]:
        """Names of all collections."""
        return {one.name for one in self.client.get_collections().collections}

    @property
    def aliases(self) -> dict[str, str]:
        """Collections by alias."""
        return {one.alias_name: one.collection_name for one in self.client.get_aliases().aliases}


@dataclass
class Fault:
    """Something that goes wrong, so many times, with requests of one method and path."""

    status: int
    method: str = ".*"
    path: str = ".*"
    times: int = 1
    is_late: bool = False
    said: str = "out of order"


@contextmanager
def fake_qdrant() -> Iterator[FakeQdrant]:
    """A server that listens on a free port of this machine."""
    fake = FakeQdrant()
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One request: read, validated, noted, done."""

    fake: FakeQdrant
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), {key: value[0] for key, value in parse_qs(parts.query).items()}
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(raw) if raw else None
        try:
            route, names = _route(self.command, path)
            kind = route[2]
            read = pydantic.TypeAdapter(kind).validate_python(body) if kind is not None else None
        except (pydantic.ValidationError, LookupError) as error:
            self.fake.requests.append(Request(self.command, path, query, dict(self.headers), body))
            return self._answer(400, str(error))
        with self.fake.lock:
            self.fake.requests.append(Request(self.command, path, query, dict(self.headers), read))
            fault = self._fault(path)
            if fault is not None and not fault.is_late:
                return self._fail(fault)
            try:
                result = route[3](self.fake.client, *names, read)
            except ValueError as error:  # as of a collection that is not there
                return self._answer(404, str(error))
        if fault is not None:
            return self._fail(fault)
        return self._answer(200, _plain(result))

    def _fault(self, path: str) -> Fault | None:
        for fault in self.fake.faults:
            fits = re.fullmatch(fault.method, self.command) and re.fullmatch(fault.path, path)
            if fits and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _fail(self, fault: Fault) -> None:
        if fault.status:
            return self._answer(fault.status, fault.said)
        self.close_connection = True
        self.connection.close()
        return None

    def _answer(self, status: int, result: Any) -> None:
        told = {"status": "ok" if status == 200 else {"error": result}, "time": 0.0}
        content = json.dumps(told | ({"result": result} if status == 200 else {})).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve


def _plain(result: Any) -> Any:
    if isinstance(result, pydantic.BaseModel):
        return result.model_dump(mode="json", exclude_none=True)
    return [_plain(one) for one in result] if isinstance(result, list | tuple) else result


def _create(client: QdrantClient, name: str, body: wire.CreateCollection) -> bool:
    return client.create_collection(name, vectors_config=body.vectors)


def _nothing(*asked: Any) -> bool:
    return True


def _done(*asked: Any) -> Any:
    return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)


def _upsert(client: QdrantClient, name: str, body: wire.PointsList) -> Any:
    client.upsert(name, body.points)
    return _done()


def _update_vectors(client: QdrantClient, name: str, body: wire.UpdateVectors) -> Any:
    client.update_vectors(name, body.points)
    return _done()


def _delete_vectors(client: QdrantClient, name: str, body: wire.DeleteVectors) -> Any:
    client.delete_vectors(name, body.vector, body.points)
    return _done()


def _delete(client: QdrantClient, name: str, body: wire.PointIdsList) -> Any:
    client.delete(name, body)
    return _done()


def _query(client: QdrantClient, name: str, body: wire.QueryRequest) -> Any:
    return client.query_points(
        name, query=body.query, using=body.using, query_filter=body.filter, limit=body.limit,
        offset=body.offset, with_payload=body.with_payload,
    )  # fmt: skip


def _scroll(client: QdrantClient, name: str, body: wire.ScrollRequest) -> Any:
    points, offset = client.scroll(name, body.filter, limit=body.limit, offset=body.offset)
    return wire.ScrollResult(points=points, next_page_offset=offset)


def _facet(client: QdrantClient, name: str, body: wire.FacetRequest) -> Any:
    return client.facet(name, body.key, facet_filter=body.filter, limit=body.limit, exact=bool(body.exact))


def _retrieve(client: QdrantClient, name: str, body: wire.PointRequest) -> Any:
    return client.retrieve(name, body.ids, with_payload=True, with_vectors=bool(body.with_vector))


def _count(client: QdrantClient, name: str, body: wire.CountRequest) -> Any:
    return client.count(name, body.filter, exact=True)


def _aliases(client: QdrantClient, body: wire.ChangeAliasesOperation) -> bool:
    return client.update_collection_aliases(body.actions)


def _batch(client: QdrantClient, name: str, body: wire.QueryRequestBatch) -> Any:
    return [_query(client, name, one) for one in body.searches]


NAME = r"/collections/([^/]+)"
ROUTES: list[tuple[str, str, Any, Any]] = [
    ("GET", "/collections", None, lambda client, body: client.get_collections()),
    ("GET", "/aliases", None, lambda client, body: client.get_aliases()),
    ("POST", "/collections/aliases", wire.ChangeAliasesOperation, _aliases),
    ("GET", NAME, None, lambda client, name, body: client.get_collection(name)),
    (
        "GET", f"{NAME}/exists", None,
        lambda client, name, body: wire.CollectionExistence(exists=client.collection_exists(name)),
    ),
    ("PUT", NAME, wire.CreateCollection, _create),
    ("PATCH", NAME, wire.UpdateCollection, _nothing),
    ("DELETE", NAME, None, lambda client, name, body: client.delete_collection(name)),
    ("PUT", f"{NAME}/index", wire.CreateFieldIndex, _done),
    ("PUT", f"{NAME}/points", wire.PointsList, _upsert),
    ("PUT", f"{NAME}/points/vectors", wire.UpdateVectors, _update_vectors),
    ("POST", f"{NAME}/points/vectors/delete", wire.DeleteVectors, _delete_vectors),
    ("POST", f"{NAME}/points/delete", wire.PointIdsList, _delete),
    ("POST", f"{NAME}/points", wire.PointRequest, _retrieve),
    ("POST", f"{NAME}/points/scroll", wire.ScrollRequest, _scroll),
    ("POST", f"{NAME}/points/count", wire.CountRequest, _count),
    ("POST", f"{NAME}/points/query", wire.QueryRequest, _query),
    ("POST", f"{NAME}/points/query/batch", wire.QueryRequestBatch, _batch),
    ("POST", f"{NAME}/facet", wire.FacetRequest, _facet),
]  # fmt: skip


def _route(method: str, path: str) -> tuple[tuple[str, str, Any, Any], tuple[str, ...]]:
    for route in ROUTES:
        found = re.fullmatch(route[1], path)
        if route[0] == method and found:
            return route, found.groups()
    raise LookupError(f"{method} {path}: the stand-in knows no such request")
