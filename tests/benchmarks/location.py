"""The speed of location encoders, ours beside the published way of computing them.

    python tests/benchmarks/location.py --out bench
    python tests/benchmarks/location.py --geoclip-path FOLDER   # with the geoclip package from there

Each comparison runs ours (A) and the peer (B) in one process in the order A B B A, some rounds, on the
same points with the same number of threads. A round gives one ratio, B's time over A's; the table shows
their median and range, by the clock and by CPU time, which other work on the machine disturbs less.
Peers get blocks of points too, because whole arrays would leave the CPU's cache and slow them down.

Rows: (a) spherical harmonics, L = 40, against the evaluation order by order, each with its own Legendre
recurrence and factorials, as in SatCLIP's closed form; (b) whole encoders against a network of SatCLIP's
size on those harmonics in float64, which is how it is released, and against geoclip's own package with
random weights; (c) many points through `encode` in pieces, with the peak of memory (`--n-stream 1000000`
for a million). Rows whose encoder or package is not there are left out and said so.
"""

import argparse
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from placeprint.encoders.errors import PlaceprintError
from placeprint.encoders.harmonics import SphericalHarmonics
from placeprint.encoders.location import LocationEmbedder, LocationEncoder
from placeprint.encoders.location_catalog import DEFAULT, load_location_encoder
from placeprint.encoders.location_presets import PRESETS
from placeprint.encoders.sphere import uniform_on_sphere
from placeprint.encoders.third_party_locations import satclip_factors

BLOCK = 1024  # rows of a peer at a time
FALLBACK = "satclip-l10"  # a preset to stream where the shipped encoder is not there
Points = NDArray[np.float64]


def harmonics_one_by_one(lonlat: Tensor, degrees: int) -> Tensor:
    """Each Y_lm on its own: Legendre from P_mm up to P_lm, factorials for its norm. (n, 2) -> (n, L²)."""
    phi, theta = torch.deg2rad(lonlat[:, 0] + 180.0), torch.deg2rad(lonlat[:, 1] + 90.0)
    columns = []
    for degree in range(degrees):
        for order in range(-degree, degree + 1):
            m, x = abs(order), torch.cos(theta)
            y = _legendre(degree, m, x) * math.sqrt(
                (2 * degree + 1) * math.factorial(degree - m) / (4 * math.pi * math.factorial(degree + m))
            )
            if order:
                turn = torch.cos(m * phi) if order > 0 else torch.sin(m * phi)
                y = math.sqrt(2.0) * turn * y
            columns.append(y)
    return torch.stack(columns, dim=-1)


def _legendre(degree: int, order: int, x: Tensor) -> Tensor:
    """P_lm(x) with the Condon-Shortley sign: (n,) -> (n,)."""
    before = torch.ones_like(x)
    root = torch.sqrt((1.0 - x) * (1.0 + x))
    for k in range(order):
        before = before * -(2.0 * k + 1.0) * root
    if degree == order:
        return before
    found = x * (2.0 * order + 1.0) * before
    for k in range(order + 2, degree + 1):
        before, found = found, ((2.0 * k - 1.0) * x * found - (k + order - 1.0) * before) / (k - order)
    return found


class PublishedSatClip(nn.Module):
    """Harmonics one by one, then a SIREN: float64, the size of the released ones."""

    def __init__(self, degrees: int, hidden: int = 256, dimension: int = 256) -> None:
        super().__init__()
        self.degrees = degrees
        widths = [degrees**2, hidden, hidden]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.last_layer = nn.Linear(hidden, dimension)
        self.double().eval()

    def forward(self, lonlat: Tensor) -> Tensor:
        """Degrees (n, 2) -> (n, D)."""
        x = harmonics_one_by_one(lonlat, self.degrees)
        for index, layer in enumerate(self.layers):
            x = torch.sin((30.0 if index == 0 else 1.0) * layer(x))
        embedding: Tensor = self.last_layer(x)
        return embedding


@dataclass(frozen=True)
class Contender:
    """Something that embeds points; its answer is thrown away."""

    name: str
    run: Callable[[Points], None]


def in_blocks(name: str, module: Callable[[Tensor], Tensor], *, flip: bool = False) -> Contender:
    """A peer, fed in blocks; `flip` for those that take lat, lon in float32."""

    def run(points: Points) -> None:
        with torch.inference_mode():
            for start in range(0, len(points), BLOCK):
                block = torch.from_numpy(points[start : start + BLOCK])
                module(block.flip(1).float() if flip else block)

    return Contender(name, run)


def through_encode(encoder: LocationEmbedder, name: str) -> Contender:
    """Ours, through the function that users call: checks, blocks, float32 numpy out."""
    return Contender(name, lambda points: void(encoder.encode(points)))


def void(_: object) -> None:
    """Throw an answer away."""


def compare(title: str, ours: Contender, peer: Contender, points: Points, rounds: int) -> dict[str, Any]:
    """A B B A, `rounds` times: microseconds a point of both, and B over A, by clock and by CPU."""
    few = points[: min(len(points), 2 * BLOCK)]
    ours.run(few)
    peer.run(few)
    clock: list[tuple[float, float]] = []
    cpu: list[tuple[float, float]] = []
    for _ in range(rounds):
        spent = [_spend(one, points) for one in (ours, peer, peer, ours)]
        clock.append((spent[0][0] + spent[3][0], spent[1][0] + spent[2][0]))
        cpu.append((spent[0][1] + spent[3][1], spent[1][1] + spent[2][1]))
    scale = 1e6 / (2 * len(points))
    return {
        "comparison": title,
        "ours": ours.name,
        "peer": peer.name,
        "n": len(points),
        "ours_us": scale * float(np.median([a for a, _ in clock])),
        "peer_us": scale * float(np.median([b for _, b in clock])),
        "ours_cpu_us": scale * float(np.median([a for a, _ in cpu])),
        "peer_cpu_us": scale * float(np.median([b for _, b in cpu])),
        "ratio": _spread([b / a for a, b in clock]),
        "cpu_ratio": _spread([b / a for a, b in cpu]),
    }


def _spend(contender: Contender, points: Points) -> tuple[float, float]:
    clock, cpu = time.perf_counter(), time.process_time()
    contender.run(points)
    return time.perf_counter() - clock, time.process_time() - cpu


def _spread(ratios: list[float]) -> dict[str, float]:
    return {"median": float(np.median(ratios)), "min": min(ratios), "max": max(ratios)}


def disagreement(points: Points) -> float:
    """The largest difference between the two ways of computing harmonics, signs aligned; both in float64."""
    lonlat = torch.from_numpy(points)
    factors = satclip_factors(40, "closed-form")
    ours = SphericalHarmonics(degrees=40).double()(lonlat) * factors
    return float((ours - harmonics_one_by_one(lonlat, 40)).abs().max())


def comparisons(n: int, rounds: int, geoclip_path: str | None) -> tuple[list[dict[str, Any]], list[str]]:
    """All pairs that can be run here, and what had to be left out."""
    points, skipped = uniform_on_sphere(n, np.random.default_rng(0)), []
    torch.manual_seed(0)
    one_by_one = in_blocks("one by one, f64", lambda block: harmonics_one_by_one(block, 40))
    rows = []
    for dtype in (torch.float32, torch.float64):
        module = SphericalHarmonics(degrees=40).to(dtype)
        ours = in_blocks(f"recurrence, {str(dtype)[6:]} out", module)
        rows.append(compare("harmonics L=40", ours, one_by_one, points, rounds))
    peers: dict[str, Contender] = {}
    for degrees in (10, 40):
        encoder = LocationEncoder.preset(f"satclip-l{degrees}", seed=0)
        peer = in_blocks(f"SatCLIP's way L={degrees}, f64", PublishedSatClip(degrees))
        peers[peer.name] = peer
        ours = through_encode(encoder, f"sh + siren L={degrees}, f32")
        rows.append(compare("equal size", ours, peer, points, rounds))
    theirs = _geoclip(geoclip_path)
    if theirs is None:
        skipped.append("geoclip: the package cannot be imported; give its folder with --geoclip-path")
    else:
        peers["geoclip's package"] = in_blocks("geoclip's package, f32", theirs, flip=True)
        same = through_encode(LocationEncoder.preset("geoclip", seed=0), "geoclip preset, f32")
        rows.append(compare("equal size", same, peers["geoclip's package"], points, rounds))
    if (shipped := _shipped()) is None:
        skipped.append(f"{DEFAULT}: not there")
    else:
        for peer in peers.values():
            rows.append(compare("ours", through_encode(shipped, shipped.name), peer, points, rounds))
    return rows, skipped


def _geoclip(folder: str | None) -> nn.Module | None:
    if folder:
        sys.path.append(folder)  # last: it must not shadow what is installed here
    try:
        from geoclip import LocationEncoder as GeoClip
    except Exception:  # it imports a training stack; anything of that may be missing
        return None
    model: nn.Module = GeoClip(from_pretrained=False)
    return model.eval()


def _shipped() -> LocationEmbedder | None:
    try:
        return load_location_encoder(DEFAULT)
    except (ImportError, PlaceprintError):
        return None


def stream(name: str | None, n: int, piece: int) -> dict[str, Any]:
    """Embed n points in pieces: seconds, and the peak of memory before and after, MiB."""
    preset = name if name in PRESETS else None if name or _shipped() else FALLBACK
    encoder: LocationEmbedder
    if preset:
        encoder = LocationEncoder.preset(preset, seed=0)
    else:
        encoder = load_location_encoder(name or DEFAULT)
    rng = np.random.default_rng(0)
    encoder.encode(uniform_on_sphere(piece, rng))
    before, checksum, started = _peak_mib(), 0.0, time.perf_counter()
    for start in range(0, n, piece):
        checksum += float(encoder.encode(uniform_on_sphere(min(piece, n - start), rng))[:, 0].sum())
    seconds = time.perf_counter() - started
    return {
        "encoder": encoder.name,
        "n": n,
        "piece": piece,
        "dimension": encoder.dimension,
        "seconds": seconds,
        "points_per_s": n / seconds,
        "peak_mib_after_one_piece": before,
        "peak_mib": _peak_mib(),
        "embeddings_mib": n * encoder.dimension * 4 / 2**20,
        "checksum": checksum,
    }


def _peak_mib() -> float:
    """The most memory this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # elsewhere the peak may be that of the process which started this one
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 2**10
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_kib / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes


def table_of(rows: list[dict[str, Any]]) -> Table:
    """Microseconds a point, and how many times ours is faster."""
    table = Table("", "ours", "peer", "ours µs", "peer µs", "× by the clock", "× by CPU time")
    for row in rows:
        ratios = ["{median:.1f} ({min:.1f}-{max:.1f})".format(**row[key]) for key in ("ratio", "cpu_ratio")]
        times = [f"{row['ours_us']:.2f}", f"{row['peer_us']:.2f}"]
        table.add_row(row["comparison"], row["ours"], row["peer"], *times, *ratios)
    return table


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n-points", type=int, default=4096, help="points of each timing")
    parser.add_argument("--rounds", type=int, default=5, help="A B B A so many times")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n-stream", type=int, default=200_000, help="points of the stream")
    parser.add_argument("--stream-encoder", help="its encoder, a name or a preset; else the shipped one")
    parser.add_argument("--piece", type=int, default=65_536, help="points of a piece of the stream")
    parser.add_argument("--geoclip-path", help="a site-packages folder that holds geoclip")
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--only-stream", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    threadpool_limits(chosen.threads)  # numpy's
    if chosen.only_stream:
        print(json.dumps(stream(chosen.stream_encoder, chosen.n_stream, chosen.piece)))
        return
    rows, skipped = comparisons(chosen.n_points, chosen.rounds, chosen.geoclip_path)
    result: dict[str, Any] = {
        "comparisons": rows,
        "skipped": skipped,
        "largest_difference_of_harmonics": disagreement(uniform_on_sphere(256, np.random.default_rng(1))),
        "threads": chosen.threads,
        "rounds": chosen.rounds,
        "machine": {"python": platform.python_version(), "torch": torch.__version__, "cpus": os.cpu_count()},
    }
    console = Console(width=130)
    console.print(table_of(rows))
    console.print(
        f"the two ways of computing harmonics agree to {result['largest_difference_of_harmonics']:.0e}"
    )
    for line in skipped:
        console.print(f"left out: {line}")
    _write(chosen.out, result)
    result["stream"] = _stream_alone(chosen)
    _write(chosen.out, result)
    console.print(
        "{encoder}: {n:,} points in {seconds:.1f} s, {points_per_s:,.0f} a second; peak {peak_mib:.0f} MiB, "
        "after one piece {peak_mib_after_one_piece:.0f}, all embeddings {embeddings_mib:.0f}".format(
            **result["stream"]
        )
    )


def _write(folder: Path, result: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "location.json").write_text(json.dumps(result, indent=1))


def _stream_alone(chosen: argparse.Namespace) -> dict[str, Any]:
    """The stream in a process of its own, whose peak of memory is nobody else's."""
    options = [f"--n-stream={chosen.n_stream}", f"--piece={chosen.piece}", f"--threads={chosen.threads}"]
    if chosen.stream_encoder:
        options.append(f"--stream-encoder={chosen.stream_encoder}")
    command = [sys.executable, __file__, "--only-stream", *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


if __name__ == "__main__":
    main()
