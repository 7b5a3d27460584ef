"""How many photos a second the service embeds, beside the endpoint that one would write first.

    python tests/benchmarks/service_throughput.py --out bench
    python tests/benchmarks/service_throughput.py --out bench --encoder "timm:…" --weights FILE

POST /v1/embeddings with a photo of some 500 pixels as base64, from 32 clients at once that each wait for
their answer. Three servers in processes of their own, over the same model:

- ours: decoding in sandboxed processes, one model thread that takes what has queued as a batch;
- naive async: an ``async def`` route that decodes, preprocesses and embeds one photo and returns JSON;
- naive thread: the same as ``def``, in the thread pool of the framework.

All three must give equal vectors first. A round is a block of each in some order and then in the reverse
order, so that a drift of the machine meets all alike; the ratio is that of a round, its interval of a
bootstrap over rounds. The control is ours against ours: its first block of a round against its last.
"""

import argparse
import base64
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from http_load import (
    SERVE,
    Server,
    ask_all,
    load,
    machine,
    photos,
    post_json,
    ratio,
    served,
    service_environment,
    write,
)
from rich.console import Console
from rich.table import Table

OURS, ASYNC, THREAD = "ours", "naive async", "naive thread"
PATH = "/v1/embeddings"
TARGET = 1.5


def serve_naive(encoder_name: str, weights: Path | None, *, is_async: bool) -> None:
    """The endpoint that one would write first."""
    import socket

    import uvicorn
    from fastapi import FastAPI

    from placeprint.encoders.catalog import load_encoder

    encoder = load_encoder(encoder_name, weights=weights)
    app = FastAPI()

    def embed(asked: dict[str, Any]) -> dict[str, Any]:
        pixels, _ = encoder.preprocessing.read(base64.b64decode(asked["input"]["image"]))
        return {"data": [{"index": 0, "embedding": encoder.embed_pixels(pixels[None])[0].tolist()}]}

    async def embed_async(asked: dict[str, Any]) -> dict[str, Any]:
        return embed(asked)

    app.post(PATH)(embed_async if is_async else embed)
    sock = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[sock])


def check_equal(servers: dict[str, Server], requests: list[bytes]) -> float:
    """The least cosine between our embedding of a photo and theirs."""
    found = {}
    for name, server in servers.items():
        answers = ask_all(server.port, requests)
        if wrong := [one for one in answers if one.status != 200]:
            raise SystemExit(f"{name}: {wrong[0].status} {wrong[0].body[:300]!r}")
        vectors = np.array([one.json()["data"][0]["embedding"] for one in answers])
        found[name] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return min(float((found[OURS] * found[name]).sum(axis=1).min()) for name in (ASYNC, THREAD))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="Folder for service_throughput.json.")
    parser.add_argument("--home", type=Path, help="Of galleries to serve beside; by default there are none.")
    parser.add_argument("--encoder", default="demonstration")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="Of a block.")
    parser.add_argument("--photos", type=int, default=96)
    parser.add_argument("--serve", choices=[ASYNC, THREAD], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve is not None:
        return serve_naive(asked.encoder, asked.weights, is_async=asked.serve == ASYNC)
    if asked.out is None:
        parser.error("--out is needed")
    console, results = Console(), {"encoder": asked.encoder, "clients": asked.clients, "before": machine()}
    contents = photos(asked.photos)
    model = {"encoding_format": "float"}
    requests = [
        post_json(PATH, {"input": {"image": base64.b64encode(one).decode()}, **model}) for one in contents
    ]
    naive = [sys.executable, __file__, "--encoder", asked.encoder]
    naive += ["--weights", str(asked.weights)] if asked.weights else []
    home = asked.home or asked.out / "no_galleries"
    home.mkdir(parents=True, exist_ok=True)
    models = json.dumps({asked.encoder: str(asked.weights or "")})
    with ExitStack() as stack:
        servers = {
            OURS: stack.enter_context(served(SERVE, service_environment(home, models=models))),
            ASYNC: stack.enter_context(served([*naive, "--serve", ASYNC])),
            THREAD: stack.enter_context(served([*naive, "--serve", THREAD])),
        }
        results["least_cosine"] = check_equal(servers, requests[:32])
        if results["least_cosine"] < 0.9999:
            raise SystemExit(f"the vectors differ: cosine {results['least_cosine']:.6f}")

        def block(name: str, seed: int) -> dict[str, float]:
            """Photos a second, what each costs the server, and what asking costs."""

            def next_request(rng: np.random.Generator) -> tuple[str, int, bytes]:
                number = int(rng.integers(len(requests)))
                return name, number, requests[number]

            server = servers[name]
            cpu_s = server.cpu_s
            found = load(server.port, next_request, clients=asked.clients, seconds=asked.seconds, seed=seed)
            if not all(answer.status in (200, 503) for _, _, answer in found.answers):
                raise SystemExit(f"{name}: an answer that is neither 200 nor 503")
            n_refused = sum(answer.status == 503 for _, _, answer in found.answers)
            return {
                "per_second": found.per_second,
                "p50_ms": float(np.median(found.ms(name))),
                "p99_ms": float(np.quantile(found.ms(name), 0.99)),
                "n_refused": n_refused,
                "server_cpu_ms": 1e3 * (server.cpu_s - cpu_s) / found.n_served,
                "client_cores": found.cpu_s / asked.seconds,
            }

        rounds: list[dict[str, list[dict[str, float]]]] = []
        for number in range(-1, asked.rounds):  # the first warms up
            order = [OURS, ASYNC, THREAD] if number % 2 == 0 else [OURS, THREAD, ASYNC]
            told: dict[str, list[dict[str, float]]] = {name: [] for name in order}
            for place, name in enumerate([*order, *reversed(order)]):
                told[name].append(block(name, seed=10 * number + place + 100))
            if number >= 0:
                rounds.append(told)
                rates = {name: [round(one["per_second"]) for one in told[name]] for name in order}
                console.print(f"round {number + 1}: {rates} photos/s", highlight=False)

    def rate(name: str, which: slice = slice(None)) -> list[float]:
        return [float(np.mean([one["per_second"] for one in told[name][which]])) for told in rounds]

    def cost(name: str) -> list[float]:
        return [float(np.mean([one["server_cpu_ms"] for one in told[name]])) for told in rounds]

    results |= {
        "rounds": rounds,
        "ours_over_async": ratio(rate(OURS), rate(ASYNC)),
        "ours_over_thread": ratio(rate(OURS), rate(THREAD)),
        "cpu_async_over_ours": ratio(cost(ASYNC), cost(OURS)),
        "cpu_thread_over_ours": ratio(cost(THREAD), cost(OURS)),
        "control_ours_over_ours": ratio(rate(OURS, slice(0, 1)), rate(OURS, slice(1, 2))),
        "after": machine(),
    }
    write(asked.out, "service_throughput", results)
    table = Table(title=f"{asked.encoder}, {asked.clients} clients, photos of 500 px as base64")
    for column in ("", "photos/s", "p50 ms", "p99 ms", "CPU ms a photo", "client cores", "ours is × (95 %)"):
        table.add_column(column, justify="left" if not column else "right")
    for name, key in (
        (OURS, "control_ours_over_ours"),
        (ASYNC, "ours_over_async"),
        (THREAD, "ours_over_thread"),
    ):
        blocks = [one for told in rounds for one in told[name]]
        mean = {field: float(np.mean([one[field] for one in blocks])) for field in blocks[0]}
        middle, low, high = results[key]
        table.add_row(
            name, f"{mean['per_second']:.1f}", f"{mean['p50_ms']:.0f}", f"{mean['p99_ms']:.0f}",
            f"{mean['server_cpu_ms']:.1f}", f"{mean['client_cores']:.2f}",
            f"{middle:.2f} ({low:.2f}–{high:.2f})",
        )  # fmt: skip
    console.print(table)
    console.print(
        f"least cosine {results['least_cosine']:.6f}; the row of ours is its control, 1 at best; "
        f"target against naive: {TARGET} ×. By CPU time a photo, which a busy machine disturbs less: "
        f"{results['cpu_async_over_ours'][0]:.2f} × async, {results['cpu_thread_over_ours'][0]:.2f} × thread",
        highlight=False,
    )


if __name__ == "__main__":
    main()
