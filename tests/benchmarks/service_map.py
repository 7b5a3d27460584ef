"""The map of a million made-up photos: how long counts by cell and vector tiles take over HTTP.

    python tests/benchmarks/service_map.py --cache DIR --out bench [--photos 1000000]

The gallery has 8-d embeddings and the places of `locate.make` (3,000 towns, each with its photos around
it); it is made once under DIR, within some minutes. Asked are views of the whole Earth, of continents,
countries and towns, as cells (GET h3) and as tiles at several zooms; towns are those of photos. Rounds
go through all questions in a new order each time; a figure is the median over places and rounds, with the
99th percentile. The control is the first half of the rounds against the second. Target: 100 ms.
"""

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from http_load import ask_all, machine, median, request, served, write
from locate import NAME, filled, make
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from placeprint.encoders.fingerprint import Fingerprint
from placeprint.encoders.preprocessing import Preprocessing

DIMENSION = 8
WIDTHS_DEG = {"whole Earth": 360.0, "continent": 60.0, "country": 10.0, "town": 1.0, "street": 0.05}
ZOOMS = (0, 2, 4, 6, 8, 10, 12, 14)
N_PLACES = 8
TARGET_MS = 100.0


class MadeUpEncoder:
    """Embeds nothing of meaning: the map does not ask for it."""

    preprocessing = Preprocessing(size=16)

    def __init__(self, dimension: int) -> None:
        self.fingerprint = Fingerprint(
            name="made-up", weights_sha256="0", preprocessing="none", dimension=dimension
        )

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.tile(np.eye(1, self.fingerprint.dimension, dtype=np.float32), (len(pixels), 1))

    def embed_texts(self, texts: Any) -> NDArray[np.float32]:
        return self.embed_pixels(np.zeros((len(texts), 1), np.uint8))


def serve(home: Path) -> None:
    """Serve the made-up gallery."""
    import socket

    import uvicorn

    from placeprint.api.app import create_app
    from placeprint.api.serving import work
    from placeprint.api.serving.locate_process import tell_here
    from placeprint.api.serving.service import Service
    from placeprint.api.serving.service_settings import ServiceSettings

    settings = ServiceSettings(home=home, qdrant_url=None, precision="exact", rate_per_minute=0)
    # The map asks for no geolocation, and fitting it to so many photos takes minutes.
    work.calibrating = lambda service, name: lambda job: "left out"
    app = create_app(settings, Service(settings, {"made-up": MadeUpEncoder(DIMENSION)}, tell_here))
    sock = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[sock])


def questions(places: NDArray[np.float64]) -> dict[str, list[bytes]]:
    """Requests by what they ask, each for several places."""
    path = f"/v1/galleries/{NAME}"
    asked: dict[str, list[bytes]] = {}
    for name, width in WIDTHS_DEG.items():
        boxes = []
        for lon, lat in places:
            if width == 360.0:
                boxes = ["-180,-90,180,90"]
                break
            south, north = max(lat - width / 4, -90.0), min(lat + width / 4, 90.0)
            boxes.append(f"{lon - width / 2},{south},{lon + width / 2},{north}")
        asked[f"h3, {name}"] = [request("GET", f"{path}/h3?bbox={box}") for box in boxes]
    for z in ZOOMS:
        tiles = {tile_of(lon, lat, z) for lon, lat in places}
        asked[f"tile, zoom {z}"] = [request("GET", f"{path}/tiles/{z}/{x}/{y}.mvt") for x, y in sorted(tiles)]
    return asked


def tile_of(lon: float, lat: float, z: int) -> tuple[int, int]:
    """Column and row of the tile that holds a place."""
    n = 2**z
    row = (1.0 - math.asinh(math.tan(math.radians(min(max(lat, -85.0), 85.0)))) / math.pi) / 2.0 * n
    return min(int((lon + 180.0) / 360.0 * n), n - 1), min(max(int(row), 0), n - 1)


def wait_for_jobs(port: int) -> None:
    """Return when the service has nothing else to do."""
    while True:
        (answer,) = ask_all(port, [request("GET", "/v1/jobs")])
        if all(job["status"] not in ("waiting", "running") for job in answer.json()["jobs"]):
            return
        time.sleep(1.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, required=True, help="Keeps the gallery.")
    parser.add_argument("--out", type=Path, help="Folder for service_map.json.")
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        return serve(asked.cache)
    if asked.out is None:
        parser.error("--out is needed")
    console, rng = Console(), np.random.default_rng(0)
    n_photos, made = asked.photos, asked.cache / "map_photos.txt"
    if not made.exists() or int(made.read_text()) != n_photos:
        with filled(asked.cache, n_photos, DIMENSION, console):
            made.write_text(str(n_photos))
    places = make(N_PLACES, DIMENSION, seed=1)[1]
    results: dict[str, Any] = {"photos": n_photos, "before": machine()}
    sent = questions(places)
    rows = [(name, one) for name, several in sent.items() for one in several]
    times: dict[str, list[list[float]]] = {name: [] for name in sent}
    sizes: dict[str, float] = {}
    with served([sys.executable, __file__, "--serve", "--cache", str(asked.cache)]) as server:
        wait_for_jobs(server.port)
        for number in range(-1, asked.rounds):  # the first warms up
            order = rng.permutation(len(rows)).tolist()
            answers = ask_all(server.port, [rows[i][1] for i in order])
            if wrong := [one for one in answers if one.status != 200]:
                raise SystemExit(f"{wrong[0].status} {wrong[0].body[:300]!r}")
            for name in sent:
                mine = [one for i, one in zip(order, answers, strict=True) if rows[i][0] == name]
                if number >= 0:
                    times[name].append([1e3 * one.seconds for one in mine])
                sizes[name] = float(np.mean([len(one.body) for one in mine]))
            if number == 0:
                whole = answers[order.index(0)].json()
                if whole["n_photos"] != n_photos:
                    raise SystemExit(f"the map counts {whole['n_photos']:,} of {n_photos:,} photos")
    half = asked.rounds // 2
    results["rows"] = {
        name: {
            "p50_ms": median(np.ravel(ms)), "p99_ms": float(np.quantile(np.ravel(ms), 0.99)),
            "control": float(np.median(ms[:half]) / np.median(ms[half:])), "bytes": sizes[name],
        }
        for name, ms in times.items()
    }  # fmt: skip
    results["after"] = machine()
    write(asked.out, "service_map", results)
    table = Table(title=f"{n_photos:,} photos, over HTTP; target {TARGET_MS:g} ms")
    for column in ("", "median ms", "99 % ms", "control", "kB"):
        table.add_column(column, justify="left" if not column else "right")
    for name, row in results["rows"].items():
        table.add_row(
            name, f"{row['p50_ms'][0]:.0f}", f"{row['p99_ms']:.0f}", f"{row['control']:.2f}",
            f"{row['bytes'] / 1e3:.1f}",
        )  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    main()
