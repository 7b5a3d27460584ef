"""The rows of the reliability table: what each claims, its planted faults, and how its figures are kept.

A torture test is called ``test_r01_…`` after its row and takes a `Record`. What it measures goes into the
record, and with it into ``rows/R1.json`` of the folder for the scoreboard, also when the test fails. Each
fault that a row names must be planted in every run, and be caught.
"""

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from scoreboard_rows import Figure, Row, Verdict, write_row
from torture_faults import FAULTS
from torture_scale import VARIABLE, size

OUT = "PLACEPRINT_BENCH_OUT"


@dataclass(frozen=True)
class Claim:
    """A row of the table.

    Attributes:
        title: what is tortured.
        target: what must hold.
        planted: names of the faults that its test puts in by itself; others are in `FAULTS`.
    """

    title: str
    target: str
    planted: tuple[str, ...] = ()


CLAIMS = {
    "R1": Claim(
        "indexing is killed (SIGKILL) at random and at named points",
        "0 acknowledged photos lost, 0 doubled, 0 phantoms, 0 vectors of zeros or NaN",
        ("photos acknowledged before the commit", "a vector of zeros is stored"),
    ),
    "R2": Claim(
        "the process of the store is killed during adding, searching and deleting",
        "0 confirmed points lost after opening again; opened within 30 s",
        ("a point of each upsert is dropped", "deletions do not reach the store"),
    ),
    "R3": Claim(
        "the power goes at any moment of an ingest of 50 batches and an erasure",
        "at every cut point: 0 acknowledged photos lost, 0 galleries that cannot be opened",
        ("shards are not synced", "folders are not synced"),
    ),
    "R4": Claim(
        "stored files are truncated, flipped, deleted, exchanged and left half written",
        "100 % found out, the shard named, 0 wrong answers; repair makes only it anew",
        ("checksums are not looked at",),
    ),
    "R5": Claim(
        "indexing goes on after a kill half way",
        "at most one commit embedded again; first new photo within 2 s",
        ("what is done is not remembered",),
    ),
    "R6": Claim(
        "the disk is full, or fails at the k-th call for every k",
        "a clear end, 0 damage, and all is well once there is room",
        ("an error of the disk is passed over",),
    ),
    "R7": Claim(
        "back up, wipe, restore: idle, during an ingest, from an earlier format",
        "every id, vector and payload identical in all three cases",
    ),
    "R8": Claim(
        "the index is deleted and rebuilt from the ledger",
        "ids and payloads identical; recall@10 apart by at most 0.005",
        ("vectors exchanged between photos", "a payload left out"),
    ),
    "R9": Claim(
        "batches with k bad files, k = 1..n, shuffled, each vector beside that of its file alone",
        "exactly n - k embeddings, ids aligned, cosine at least 0.9999",
        ("vectors move up into the place of a bad file",),
    ),
    "R10": Claim(
        "eight EXIF orientations in JPEG, PNG, WebP and HEIF",
        "cosine at least 0.999 to the upright file",
        ("the orientation is not looked at",),
    ),
    "R11": Claim(
        "corrupted uploads to a running server, with good requests all the while",
        "0 deaths, 0 answers 5xx, all 4xx or valid within 5 s; p99 of good requests at most doubled",
    ),
    "R12": Claim(
        "headers that announce enormous pictures",
        "refused within 50 ms, at most 32 MB more in server and decoder",
    ),
    "R13": Claim(
        "formats that are not taken, named as photos",
        "all refused 415; no program ever started",
    ),
    "R14": Claim(
        "the decoder crashes, is killed, or tries to get out of its sandbox",
        "one answer for that photo alone, a new decoder within 1 s, every way out closed",
    ),
    "R15": Claim(
        "bodies without end, a million parts, long headers, bytes that trickle",
        "413, 400 or 408; at most 64 MB more; p99 of /healthz at most 100 ms",
    ),
    "R16": Claim(
        "mixed load of 16 clients, and a burst of ten times as many",
        "0 wrong answers, 0 answers 5xx but 503 with Retry-After; memory grows by at most 1 MB a minute",
        ("answers of a batch are exchanged",),
    ),
    "R17": Claim(
        "/healthz while the queue of the model is full",
        "p99 at most 100 ms, 0 failures",
        ("the model computes on the loop that answers",),
    ),
    "R18": Claim(
        "every operation asked what is allowed and what is not (schemathesis)",
        "0 answers 5xx, 0 that the interface does not document",
    ),
    "R19": Claim(
        "fuzzing of request bodies, EXIF, areas, GeoJSON, names and shards",
        "0 crashes, 0 inputs that take longer than 1 s",
        ("a parser that takes a first point without looking",),
    ),
    "R20": Claim(
        "addresses that lead elsewhere, where photos may be fetched, and where not",
        "0 connections to addresses that are not public, 0 at all without a list of hosts",
    ),
    "R21": Claim(
        "names and ids that are paths",
        "all 4xx; no file outside the folder of data opened",
        ("a file is opened by the name that is asked for",),
    ),
    "R22": Claim(
        "every route with no key, a bad one, and one of each scope",
        "0 deviations from the table; no key in a log or an answer",
    ),
    "R23": Claim(
        "pickles in the place of every file that is loaded",
        "none is run",
        ("a loader that unpickles",),
    ),
    "R24": Claim(
        "what photos say of their owner, looked for in all that comes out",
        "0 found",
    ),
    "R25": Claim(
        "photos are erased, and the gallery rebuilt and restored",
        "in no file within 60 s, nor after rebuild and restore",
        ("rows of the ledger are kept",),
    ),
    "R26": Claim(
        "geometry: wrapping, poles, symmetry, detours, antipodes, places that are none",
        "0 deviations; at most 1e-9 from float64 vectors and 0.6 % from the WGS84 geodesic; no NaN",
        ("a distance in the plane", "an arc cosine that is not clamped"),
    ),
    "R27": Claim(
        "embeddings of locations across the antimeridian and around the poles; latitude first",
        "apart by at most 1e-5; latitudes above 90 refused",
        ("an encoder of the plane",),
    ),
    "R28": Claim(
        "writers of the same ids, threads and processes, with searches between",
        "0 reads of what was deleted, 0 lost updates",
        ("writes reach the store later",),
    ),
    "R29": Claim(
        "memory of indexing a hundred times as many photos",
        "peak at most 1.05 times, and at most 2 GB",
        ("every picture is kept",),
    ),
    "R30": Claim(
        "the time to import, to print the help, and to serve",
        "import 0.3 s without torch, --help 0.5 s, ready 2 s",
    ),
    "R31": Claim(
        "the supply chain: hashes, list of all that is installed, licences, the wheel built twice",
        "every pin hashed, everything listed, both wheels the same byte for byte",
        ("a wheel that holds the time it was built",),
    ),
    "R32": Claim(
        "processes that are left after the suite; a limit of time for every test",
        "0 orphans; what hangs is ended",
        ("a process that nobody waits for", "a test that hangs"),
    ),
    "R33": Claim(
        "the clock goes back and forth: rates, locks, readiness, keys, indexing",
        "nobody is locked out, nothing is read or embedded again",
        ("rates counted by the clock on the wall",),
    ),
}
"""R1 to R32 as they are commonly asked of such a service; R33 is an addition."""


def planted_in(row: str) -> set[str]:
    """Names of all faults that a row plants."""
    return {*CLAIMS[row].planted, *FAULTS.get(row, {})}


def row_of(test: str) -> str | None:
    """The row of a test by its name: "R1" of ``test_r01_…``."""
    found = re.match(r"test_r(\d\d)_", test)
    return f"R{int(found[1])}" if found else None


@dataclass
class Record:
    """What a torture test has measured so far."""

    row: str
    figures: list[Figure] = field(default_factory=list)
    planted: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def figure(
        self, name: str, ours: float, unit: str = "", *, peer: str = "", theirs: float | None = None
    ) -> float:
        """Keep a number, of ours beside a peer's; gives it back to be compared with the target."""
        ratio = None if theirs is None or not ours else theirs / ours
        self.figures.append(Figure(name=name, ours=ours, unit=unit, peer=peer, theirs=theirs, ratio=ratio))
        return ours

    def note(self, what: str) -> None:
        """Keep what the figures leave out."""
        self.notes.append(what)

    def caught(self, fault: str, n_caught: int, n_planted: int, *, at_least: int = 1) -> None:
        """Keep how often a planted fault was found.

        Raises:
            AssertionError: not often enough, or the row's claim does not name the fault.
        """
        assert fault in planted_in(self.row), f"{self.row} names no fault {fault!r}"
        self.planted[fault] = f"caught {n_caught} of {n_planted}"
        assert n_caught >= at_least, f"planted: {fault}: caught {n_caught} of {n_planted}"

    def missing(self) -> set[str]:
        """Faults that were to be planted and were not."""
        return planted_in(self.row) - self.planted.keys()

    def write(self, *, failure: str | None = None, skipped: str | None = None) -> Path:
        """Write the row, with a verdict that follows from how the test ended."""
        claim = CLAIMS[self.row]
        verdict: Verdict = "not measured" if skipped else "short" if failure else "reached"
        why = "; ".join(one for one in (skipped, failure, *self.notes) if one)
        number = int(self.row[1:])
        row = Row(
            row=self.row, title=claim.title, target=claim.target, verdict=verdict, why=why,
            command=f"{VARIABLE}={size()} make torture ROWS=r{number:02d}", figures=self.figures,
            planted=self.planted, seconds=round(time.monotonic() - self.started, 1),
        )  # fmt: skip
        return write_row(Path(os.environ.get(OUT, "bench")), row)
