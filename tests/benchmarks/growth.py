"""The growth curve: a gallery of 10,000, 100,000 and a million photos, and how it keeps its vectors.

    python tests/benchmarks/growth.py --out bench --sizes 10000 100000 1000000

For each size: adding, building the search index, then, once for each way of keeping vectors, search times
alone, in batches of 64 and within circles of four sizes, recall@10 against an exact scan, memory after
reopening and at the peak, and the disk. Beside it plain calls of Qdrant Edge, USearch and FAISS (where they
are installed: ``pip install usearch faiss-cpu``) and a scan with numpy. Every step runs in a process of its
own and is kept; the same command goes on where it was.
"""

import argparse
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # a script sees its own folder only

from growth_data import PART, SELECTIVITIES, Questions, keep_photos, make_questions
from growth_report import draw, show, write_rows
from growth_stores import NAME, PEERS, Bare, Ours, Scan, fill, recall, settings_of, widened
from turns import take_turns

from placeprint.indexer.gallery import Gallery
from placeprint.indexer.storage import Storage

STORAGES = {
    "int8": Storage("int8"),
    "int8, originals on disk": Storage("int8", "disk"),
    "binary, originals on disk": Storage("binary", "disk"),
    "none": Storage("none"),
}
SIZES = (10_000, 100_000, 1_000_000)
ALONE, BATCH = 32, 64  # queries in one turn, one by one and at once
LARGE = 1_000_000
"""From so many photos on all of `STORAGES` are measured; below, the two that keep originals in memory."""


class Work:
    """The folder of one size: photos, questions, gallery, the peers' indexes."""

    def __init__(self, folder: Path, n: int, seed: int) -> None:
        self.folder, self.n, self.seed = folder / str(n), n, seed

    def photos(self) -> tuple[Any, Any]:
        return keep_photos(self.n, self.seed, self.folder)

    def questions(self) -> Questions:
        path = self.folder / "questions.pickle"  # of our own making, a moment ago
        if not path.exists():
            vectors, lonlat = self.photos()
            made = make_questions(vectors, lonlat, n=256, n_within=40, seed=self.seed)
            path.write_bytes(pickle.dumps(tuple(made)))
        return Questions(*pickle.loads(path.read_bytes()))

    # --- steps, each in a process of its own ---------------------------------------------------

    def draw(self) -> dict[str, Any]:
        began = time.perf_counter()
        self.photos(), self.questions()
        return {"draw_s": time.perf_counter() - began}

    def add(self) -> dict[str, Any]:
        shutil.rmtree(self.folder / "home", ignore_errors=True)
        vectors, lonlat = self.photos()
        add_s = fill(self.folder, vectors, lonlat)
        return {"add_s": add_s, "add_per_s": self.n / add_s}

    def optimize(self, name: str) -> dict[str, Any]:
        with Gallery.open(NAME, settings=settings_of(self.folder)) as gallery:
            began = time.perf_counter()
            gallery.optimize(STORAGES[name])
            spent = time.perf_counter() - began
        child = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "optimize_s": spent, "optimize_cpu_s": child.ru_utime + child.ru_stime,
            "optimize_peak_bytes": child.ru_maxrss * 1024,
        }  # fmt: skip

    def build(self, name: str) -> dict[str, Any]:
        vectors, _ = self.photos()
        path = self.folder / name
        path.unlink(missing_ok=True)
        peer, began = PEERS[name](path), time.perf_counter()
        for start in range(0, self.n, PART):
            some = np.array(vectors[start : start + PART])
            peer.add(np.arange(start, start + len(some)), some)
        spent = time.perf_counter() - began
        peer.save(path)
        return {"build_s": spent, "disk_bytes": path.stat().st_size, **memory("after")}

    def measure(self, name: str) -> dict[str, Any]:
        asked = self.questions()
        told: dict[str, Any] = {"storage": asdict(STORAGES[name]), **memory("before")}
        began = time.perf_counter()
        gallery = Gallery.open(NAME, settings=settings_of(self.folder))
        told["reopen_s"] = time.perf_counter() - began
        ours = Ours(gallery)
        told |= memory("opened")
        alone = _timed([lambda v=v: ours.search(v) for v in asked.vectors])
        told |= memory("searched")
        told["alone"] = alone.pop("figures") | {"recall": recall(alone["answers"], asked.best)}
        told["within"] = {}
        for share, circles, best in zip(SELECTIVITIES, asked.circles, asked.best_within, strict=True):
            calls = [
                lambda v=v, c=c: ours.search_within(v, c)
                for v, c in zip(asked.vectors, circles, strict=False)
            ]
            within = _timed(calls)
            told["within"][str(share)] = within["figures"] | {"recall": recall(within["answers"], best)}
        told["disk_bytes"] = disk_bytes(gallery._index._generations.current)
        told["ledger_bytes"] = disk_bytes(gallery.folder / "ledger")
        told["peers"] = self._duel(gallery, ours, asked, told["alone"]["recall"])
        gallery.close()
        return told

    def _duel(self, gallery: Gallery, ours: Ours, asked: Questions, wanted: float) -> dict[str, Any]:
        """Ours beside the others, in turns."""
        bare = Bare(gallery)
        same = [bare.search(v) == ours.search(v) for v in asked.vectors[:ALONE]]
        peers: dict[str, Any] = {bare.title: bare}
        told: dict[str, Any] = {bare.title: {"same_answers": float(np.mean(same)), "recall": wanted}}
        for name, kind in PEERS.items():
            if (self.folder / name).exists():
                peers[name] = kind(self.folder / name)
                ef, found = widened(peers[name], asked.vectors, asked.best, min(wanted, 0.99))
                told[name] = {"ef": ef, "recall": found}
        some = asked.vectors[:BATCH]
        one_by_one = {
            name: lambda peer=peer: [peer.search(v) for v in some[:ALONE]] for name, peer in peers.items()
        }
        turns = take_turns(lambda: [ours.search(v) for v in some[:ALONE]], one_by_one)
        at_once = {name: lambda peer=peer: peer.search_many(some) for name, peer in peers.items()}
        batches = take_turns(lambda: ours.search_many(some), at_once)
        for name in peers:
            told[name] |= {"alone": asdict(turns.compare(name)), "batch": asdict(batches.compare(name))}
        told["batch_recall"] = recall(ours.search_many(asked.vectors), asked.best)
        return told

    def scan(self) -> dict[str, Any]:
        asked = self.questions()
        scan = Scan(self.photos()[0])
        alone = _timed([lambda v=v: scan.search(v) for v in asked.vectors[:40]])
        batch = _timed([lambda: scan.search_many(asked.vectors[:BATCH])] * 3)
        return {
            "alone": alone["figures"] | {"recall": recall(alone["answers"], asked.best[:40])},
            "batch_per_s": 1000.0 * BATCH / batch["figures"]["p50_ms"],
            **memory("after"),
        }


def memory(when: str) -> dict[str, int]:
    """Resident bytes of this process, and the part that no file stands behind."""
    told = {
        line.split(":")[0]: int(line.split()[1]) * 1024
        for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    }
    return {f"{when}_rss_bytes": told["Rss"], f"{when}_anonymous_bytes": told["Anonymous"]}


def disk_bytes(folder: Path) -> int:
    """Bytes that a folder's files occupy."""
    return sum(512 * path.stat().st_blocks for path in folder.rglob("*") if path.is_file())


def _timed(calls: list[Callable[[], Any]]) -> dict[str, Any]:
    times, answers = [], []
    calls[0]()
    for call in calls:
        began = time.perf_counter()
        answers.append(call())
        times.append(1000.0 * (time.perf_counter() - began))
    p50, p99 = np.quantile(times, [0.5, 0.99])
    return {"figures": {"p50_ms": float(p50), "p99_ms": float(p99)}, "answers": answers}


def steps_of(n: int, *, with_peers: bool) -> list[tuple[str, str]]:
    """What is to be done for a size, in order: a method of `Work` and its argument."""
    storages = [name for name in STORAGES if n >= LARGE or STORAGES[name].vectors == "memory"]
    measured = [(verb, name) for name in storages for verb in ("optimize", "measure")]
    peers = [("build", name) for name in PEERS] if with_peers else []
    return [("draw", ""), ("scan", ""), *peers, ("add", ""), *measured]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Every step that was not done yet; those that fail are told, and tried again the next time."""
    kept = options.out / "growth.json"
    told: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for n in options.sizes:
        for verb, name in steps_of(n, with_peers=n <= options.peers_up_to):
            done = told.setdefault(str(n), {})
            title = f"{verb} {name}".strip()
            if title in done:
                continue
            print(f"{time.strftime('%H:%M:%S')} {n:,}: {title}", flush=True)
            step = [sys.executable, __file__, "--work", options.work, "--seed", options.seed, "--step"]
            child = subprocess.run([*map(str, step), str(n), verb, name], capture_output=True, text=True)
            if child.returncode:
                print(child.stderr.strip().splitlines()[-1:], flush=True)
                continue
            done[title] = json.loads(child.stdout.splitlines()[-1])
            kept.write_text(json.dumps(told, indent=1))
    return told


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument(
        "--peers-up-to", type=int, default=SIZES[-1], help="photos; above, no USearch and FAISS"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--work", type=Path, help="where galleries are made; out/growth by default")
    parser.add_argument("--step", nargs=3, metavar=("N", "VERB", "NAME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.work = options.work or options.out / "growth"
    if options.step:
        n, verb, name = options.step
        work = Work(options.work, int(n), options.seed)
        print(json.dumps(getattr(work, verb)(*[name] if name else [])))
        os._exit(0)  # libraries with threads of their own need not end in order
    options.out.mkdir(parents=True, exist_ok=True)
    told = run(options)
    show(told)
    draw(told, options.out / "growth.png")
    write_rows(told, options.out)
