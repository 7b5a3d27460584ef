"""How long the event loop stands still while a body of 20 MB comes in: ``python json_bodies.py OUT.json``.

Each body is sent in pieces of 64 kB to an application in this process; a task beside it asks for a turn
every half millisecond, and the longest it had to wait is told, the least of three repetitions, by
FastAPI's own routes and by ours.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from placeprint.api.routes.json_bodies import JsonRoute
from placeprint.api.schemas.embeddings import LocationsIn, OpenAIRequest
from placeprint.api.serving.problems import add_problem_handlers

N_BYTES = 20_000_000
BODIES = {
    "one photo": ("/inputs", b'{"input": ["' + b"A" * N_BYTES + b'"]}'),
    "ten photos": (
        "/inputs",
        b'{"input": [' + b",".join([b'"' + b"A" * (N_BYTES // 10) + b'"'] * 10) + b"]}",
    ),
    "numbers": ("/places", b'{"locations": [' + b"1," * (N_BYTES // 2) + b"1]}"),
    "empty texts": ("/inputs", b'{"input": [' + b'"",' * (N_BYTES // 3) + b'""]}'),
    "lists in lists": ("/places", b"[" * N_BYTES),
    "escapes": ("/inputs", b'{"input": ["' + b"\\n" * (N_BYTES // 2) + b'"]}'),
    "letters": ("/inputs", b'{"input": ["' + "é".encode() * (N_BYTES // 2) + b'"]}'),
    "spaces": ("/places", b" " * N_BYTES),
    "unknown names": ("/places", b"{" + b"".join(b'"a%d":1,' % i for i in range(50_000)) + b'"b":1}'),
}


def application(route_class: type[APIRoute]) -> FastAPI:
    """Two routes that take JSON."""
    app, routes = FastAPI(), APIRouter(route_class=route_class)
    add_problem_handlers(app)

    @routes.post("/places")
    async def places(asked: LocationsIn) -> dict[str, int]:
        return {"n": len(asked.locations)}

    @routes.post("/inputs")
    async def inputs(asked: OpenAIRequest) -> dict[str, int]:
        return {"n": len(asked.input)}  # type: ignore[arg-type]

    app.include_router(routes)
    return app


async def longest_stop_ms(client: httpx.AsyncClient, path: str, body: bytes) -> tuple[float, int]:
    """The longest that a turn was waited for while a body came in, and the status of the answer."""
    longest, is_over = 0.0, False

    async def turns() -> None:
        nonlocal longest
        while not is_over:
            began = time.perf_counter()
            await asyncio.sleep(0.0005)
            longest = max(longest, time.perf_counter() - began)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]
            await asyncio.sleep(0)

    watch = asyncio.create_task(turns())
    await asyncio.sleep(0.01)
    longest = 0.0
    answer = await client.post(path, content=pieces(), headers={"Content-Type": "application/json"})
    is_over = True
    await watch
    return 1e3 * longest, answer.status_code


async def measure() -> list[dict[str, object]]:
    """A row for each kind of route and body."""
    rows: list[dict[str, object]] = []
    for route_class in (APIRoute, JsonRoute):
        transport = httpx.ASGITransport(application(route_class))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await client.post("/places", json={"locations": [{"lon": 1.0, "lat": 2.0}]})
            for name, (path, body) in BODIES.items():
                found = [await longest_stop_ms(client, path, body) for _ in range(3)]
                stopped_ms, status = min(found)
                rows.append({"route": route_class.__name__, "body": name, "status": status,
                             "stopped_ms": round(stopped_ms, 1)})  # fmt: skip
                print(f"{route_class.__name__:>10} {name:>15} {status} {stopped_ms:8.1f} ms", flush=True)
    return rows


if __name__ == "__main__":
    sys.setswitchinterval(0.001)  # as the service sets it
    Path(sys.argv[1]).write_text(json.dumps({"n_bytes": N_BYTES, "rows": asyncio.run(measure())}, indent=1))
