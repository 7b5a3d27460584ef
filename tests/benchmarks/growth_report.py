"""What `growth` measured, as a table, a picture and rows of the scoreboard."""

import os
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture
from rich.console import Console
from rich.table import Table
from scoreboard_rows import Figure, Row, write_row
from turns import verdict_of

COMMAND = "python tests/benchmarks/growth.py --out bench"
RAW_BYTES = 512 * 4 * 1.5
"""A vector of 512 numbers of 4 bytes, by Qdrant's rule of thumb for memory."""

PEERS = ("qdrant-edge", "usearch", "faiss")
OF_BARE, OF_BARE_BATCH, OF_USEARCH, OF_RAW, LOST = 0.9, 0.95, 0.8, 0.35, 0.01


def measured(told: dict[str, Any]) -> list[tuple[int, str, dict[str, Any]]]:
    """Size, storage and figures of everything measured, small sizes first."""
    return [
        (int(n), title.removeprefix("measure "), figures)
        for n, steps in sorted(told.items(), key=lambda item: int(item[0]))
        for title, figures in steps.items()
        if title.startswith("measure ")
    ]


def show(told: dict[str, Any]) -> None:
    """The figures, a line for each size and storage."""
    columns = (
        "photos", "storage", "index s", "alone p50 / p99 ms", "recall", "batch of 64, /s",
        "10 % … 0.001 % ms", "reopen s", "RSS / anonymous GB", "peak GB", "disk GB",
        *(f"of {name}" for name in PEERS),
    )  # fmt: skip
    table = Table(*columns, title="a gallery that grows")
    for n, storage, figures in measured(told):
        build, alone, peers = told[str(n)].get(f"optimize {storage}", {}), figures["alone"], figures["peers"]
        ours_s = peers["qdrant-edge"]["batch"]["ours_s"]
        ratios = [
            f"{peers[name]['alone']['ratio']:.2f}" if name in peers else ""
            for name in ("qdrant-edge", "usearch", "faiss")
        ]
        table.add_row(
            f"{n:,}", storage, f"{build.get('optimize_s', float('nan')):.0f}",
            f"{alone['p50_ms']:.2f} / {alone['p99_ms']:.1f}", f"{alone['recall']:.4f}",
            f"{64 / ours_s:,.0f}",
            " ".join(f"{one['p50_ms']:.1f}" for one in figures["within"].values()),
            f"{figures['reopen_s']:.1f}",
            f"{figures['searched_rss_bytes'] / 1e9:.2f} / {figures['searched_anonymous_bytes'] / 1e9:.2f}",
            f"{build.get('optimize_peak_bytes', 0) / 1e9:.1f}", f"{figures['disk_bytes'] / 1e9:.2f}", *ratios,
        )  # fmt: skip
    Console(width=200).print(table)


def draw(told: dict[str, Any], path: Path) -> None:
    """Times and memory against the number of photos, both axes by powers of ten."""
    points = measured(told)
    if not points:
        return
    picture = Picture(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(picture)
    times, memory = picture.subplots(1, 2)
    for storage in dict.fromkeys(storage for _, storage, _ in points):
        of = [(n, figures) for n, name, figures in points if name == storage]
        sizes = [n for n, _ in of]
        times.loglog(sizes, [figures["alone"]["p50_ms"] for _, figures in of], "o-", label=storage)
        memory.loglog(sizes, [figures["searched_rss_bytes"] / 1e9 for _, figures in of], "o-", label=storage)
    scans = [(int(n), steps["scan"]["alone"]["p50_ms"]) for n, steps in told.items() if "scan" in steps]
    times.loglog(*zip(*sorted(scans), strict=True), "k--", label="numpy scan")
    sizes = sorted({n for n, _, _ in points})
    memory.loglog(sizes, [n * RAW_BYTES / 1e9 for n in sizes], "k--", label="vectors × 1.5")
    times.set(xlabel="photos", ylabel="ms, median of a search alone")
    memory.set(xlabel="photos", ylabel="GB in memory after searching")
    for axes in (times, memory):
        axes.grid(which="both", alpha=0.3)
        axes.legend()
    picture.savefig(path, dpi=120)


def write_rows(told: dict[str, Any], out: Path) -> None:
    """P9 and P21 of the largest size measured; P8 where there is no server to measure it on."""
    points = measured(told)
    if points:
        largest = max(n for n, _, _ in points)
        of = {storage: figures for n, storage, figures in points if n == largest}
        write_row(out, _search_row(largest, of))
        write_row(out, _memory_row(largest, of))
    if not os.environ.get("QDRANT_URL"):
        write_row(
            out,
            Row(
                "P8", "ready vectors into a Qdrant server",
                "at least as fast as the client's upload, 1.5 times with tuned batches and streams",
                "not measured",
                "QDRANT_URL=http://… python tests/benchmarks/upload_speed.py --out bench",
                why="there is no Qdrant server here, and none can be had from PyPI or Debian",
            ),
        )  # fmt: skip


def _search_row(n: int, of: dict[str, dict[str, Any]]) -> Row:
    figures, reached, why = [], [], []
    for storage, told in of.items():
        alone = told["alone"]
        figures += [
            Figure(f"{storage}, alone, median", alone["p50_ms"], "ms"),
            Figure(f"{storage}, alone, 99 of 100", alone["p99_ms"], "ms"),
            Figure(f"{storage}, recall@10", alone["recall"]),
        ]
        for share, within in told["within"].items():
            figures.append(Figure(f"{storage}, within {float(share):.3%}", within["p50_ms"], "ms"))
            figures.append(Figure(f"{storage}, within {float(share):.3%}, recall@10", within["recall"]))
        for name, peer in ((name, peer) for name, peer in told["peers"].items() if name != "batch_recall"):
            target = {"qdrant-edge": OF_BARE, "usearch": OF_USEARCH}.get(name)
            for title, many in (("alone", 32), ("batch", 64)):
                one, is_batch = peer[title], (name, title) == ("qdrant-edge", "batch")
                wanted = OF_BARE_BATCH if is_batch else target
                figures.append(
                    Figure(
                        f"{storage}, {title}, recall {peer['recall']:.3f}",
                        many / one["ours_s"], "searches/s", name, many / one["theirs_s"],
                        one["ratio"], one["low"], one["high"],
                        one["ratio_of_minima"], one["cpu_ratio"], one["control"], wanted,
                    )
                )  # fmt: skip
                if wanted is not None:
                    reached.append(one["ratio"] >= wanted)
                    if not reached[-1]:
                        why.append(f"{storage}, {title}: {one['ratio']:.2f} of {name}, not {wanted}")
                if abs(one["control"] - 1.0) > 0.03:
                    why.append(f"{storage}, {title} beside {name}: the control is {one['control']:.3f}")
        reached.append(alone["recall"] >= 0.95)
    return Row(
        "P9", f"searches among {n:,} photos of 512 numbers",
        f"recall@10 at least 0.95; {OF_BARE} of Qdrant Edge alone, {OF_BARE_BATCH} in batches; "
        f"{OF_USEARCH} of USearch",
        verdict_of(*reached), COMMAND, "; ".join(why), figures,
    )  # fmt: skip


def _memory_row(n: int, of: dict[str, dict[str, Any]]) -> Row:
    figures, shares, plain = [], {}, of.get("none")
    for storage, told in of.items():
        own = told["searched_rss_bytes"] - told["before_rss_bytes"]
        shares[storage] = own / (n * RAW_BYTES)
        figures += [
            Figure(
                f"{storage}, in memory for the store", own / 1e9, "GB", "vectors × 1.5", n * RAW_BYTES / 1e9,
                1.0 / shares[storage],
            ),
            Figure(f"{storage}, the whole process", told["searched_rss_bytes"] / 1e9, "GB"),
            Figure(f"{storage}, without a file behind it", told["searched_anonymous_bytes"] / 1e9, "GB"),
            Figure(f"{storage}, on disk", told["disk_bytes"] / 1e9, "GB"),
            Figure(f"{storage}, recall@10", told["alone"]["recall"]),
        ]  # fmt: skip
    best = 1.0 if plain is None else plain["alone"]["recall"]
    small = [
        name for name, share in shares.items()
        if share <= OF_RAW and best - of[name]["alone"]["recall"] <= LOST
    ]  # fmt: skip
    held = {
        name: (told["searched_anonymous_bytes"] - told["before_anonymous_bytes"]) / (n * RAW_BYTES)
        for name, told in of.items()
    }
    all_of_it, without = (
        ", ".join(f"{name} {share:.2f}" for name, share in some.items()) for some in (shares, held)
    )
    against = "an exact scan" if plain is None else "vectors as they are"
    return Row(
        "P21", f"memory for {n:,} photos of 512 numbers",
        f"at most {OF_RAW} of the vectors' bytes × 1.5, at most {LOST} of recall lost",
        verdict_of(bool(small)), COMMAND,
        f"with mapped files, which the system may drop: {all_of_it}; without: {without}; recall lost against "
        f"{against}",
        figures,
    )  # fmt: skip
