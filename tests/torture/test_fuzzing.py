"""R19: what is read from strangers and from disks is fuzzed; a refusal is an answer, anything else is a bug.

Each harness takes bytes and may end in two ways: with a value, or with an error that the program has a
sentence for. Inputs are changed at random from a few good ones, for some seconds each; those that were
answered in a new way are kept and changed further.
"""

import io
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import damaged_photos as damaged
import numpy as np
import pytest
from fakes import fingerprint_of, record, unit_rows
from PIL import Image
from pydantic import ValidationError
from torture_rows import Record
from torture_scale import scaled

from placeprint.api.schemas.search import FilterIn, SearchRequest
from placeprint.encoders.areas import Box, Circle, Polygon
from placeprint.encoders.errors import PlaceprintError
from placeprint.encoders.photo import open_photo
from placeprint.encoders.upload_limits import UploadLimits
from placeprint.indexer.gallery_files import gallery_folder
from placeprint.indexer.ledger import Ledger
from placeprint.indexer.settings import Settings

pytestmark = pytest.mark.slow

Harness = Callable[[bytes], Any]
FINE = (PlaceprintError, ValidationError)
LIMIT_S = 1.0


class TooLong(BaseException):
    """An input that took longer than a second."""


@contextmanager
def within_a_second() -> Iterator[None]:
    """A limit of time for one input, inside that of the whole test."""
    left = signal.getitimer(signal.ITIMER_REAL)[0]
    before = signal.getsignal(signal.SIGALRM)

    def end(number: int, frame: FrameType | None) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    started = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, max(0.01, left - (time.monotonic() - started)) if left else 0.0)
        signal.signal(signal.SIGALRM, before)


TOKENS = (
    b"[", b"]", b"{", b"}", b"null", b"NaN", b"1e999", b"-0", b'"', b"\\u0000", b"\\ud800", b"[[[[", b"true",
    b"999999999999999999999", b"Polygon", b"coordinates", b"\0", b"\xff", b"\xff\xfe", b"", b"..",
    b"/", b"0.1", b"-180",
)  # fmt: skip


VALUES: tuple[Any, ...] = (
    None, True, "", "x", [], {}, [[]], 0, -1, 1e308, 10**30, [None],
    {"type": "Polygon"}, "Polygon", [[0, 0]], 181, -0.0,
)  # fmt: skip


def changed_json(rng: np.random.Generator, told: Any) -> Any:
    """JSON in which one value is another, left out, or there twice."""
    if isinstance(told, dict | list) and told and rng.random() < 0.85:
        keys = list(told) if isinstance(told, dict) else list(range(len(told)))
        key = keys[rng.integers(len(keys))]
        changed = told.copy()
        what = rng.random()
        if what < 0.1:
            del changed[key]
        elif what < 0.2 and isinstance(changed, list):
            changed.insert(key, told[key])
        else:
            changed[key] = changed_json(rng, told[key])
        return changed
    return VALUES[rng.integers(len(VALUES))]


def changed(rng: np.random.Generator, corpus: list[bytes]) -> bytes:
    """An input of the corpus with a few random changes: flips, cuts, repeats, tokens, parts of another."""
    content = bytearray(corpus[rng.integers(len(corpus))])
    if rng.random() < 0.5 and content[:1] in (b"{", b"["):
        try:
            told = json.loads(bytes(content))
            for _ in range(int(rng.integers(1, 4))):
                told = changed_json(rng, told)
            return json.dumps(told).encode()
        except (ValueError, RecursionError):
            pass
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(len(content) + 1))
        what = rng.integers(6)
        if what == 0 and content:
            content[at % len(content)] ^= 1 << int(rng.integers(8))
        elif what == 1:
            del content[at : at + int(rng.integers(1, 20))]
        elif what == 2:
            content[at:at] = TOKENS[rng.integers(len(TOKENS))]
        elif what == 3:
            content[at:at] = content[at : at + int(rng.integers(1, 50))] * int(rng.integers(1, 20))
        elif what == 4:
            other = corpus[rng.integers(len(corpus))]
            content[at:] = other[int(rng.integers(len(other) + 1)) :]
        elif content:
            content[at % len(content)] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF]))
    return bytes(content[:200_000])


def fuzzed(
    harness: Harness, seeds: list[bytes], seconds: float, seed: int = 0
) -> tuple[int, dict[str, bytes], int]:
    """Inputs tried, the first input of each kind of crash, and how many took too long."""
    rng, corpus, seen = np.random.default_rng(seed), list(seeds), set[str]()
    crashes, n_tried, n_slow = dict[str, bytes](), 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        content = seeds[n_tried] if n_tried < len(seeds) else changed(rng, corpus)
        n_tried += 1
        try:
            with within_a_second():
                outcome = type(harness(content)).__name__
        except FINE as error:
            outcome = f"{type(error).__name__} {str(error)[-40:]}"
        except TooLong:
            n_slow += 1
            continue
        except Exception as error:
            crashes.setdefault(f"{type(error).__name__}: {str(error)[:120]}", content)
            continue
        if outcome not in seen and len(corpus) < 500:
            seen.add(outcome)
            corpus.append(content)
    return n_tried, crashes, n_slow


def read_request(content: bytes) -> Any:
    return SearchRequest.model_validate_json(content)


def read_filter(content: bytes) -> Any:
    return FilterIn.model_validate_json(content)


def read_area(content: bytes) -> Any:
    try:
        told = json.loads(content, parse_int=float)
    except (ValueError, RecursionError):
        return None
    if isinstance(told, list) and all(isinstance(one, float) for one in told):
        return (Circle(*told) if len(told) == 3 else Box(*told)) if len(told) in (3, 4) else None
    return Polygon.from_geojson(told).contains(np.zeros((1, 2)))


def read_exif(content: bytes) -> Any:
    block = b"Exif\0\0" + content[:60_000]
    return open_photo(damaged._with_segments(PLAIN, 0xE1, [block]), limits=UploadLimits())[1]


def read_name(content: bytes) -> Any:
    folder = gallery_folder(content.decode("utf-8", "surrogateescape"), Settings(home=Path("/nowhere")))
    assert folder.parent == Path("/nowhere/galleries") and folder.name not in (".", "..")
    return folder


PLAIN = damaged.encoded(Image.new("RGB", (8, 8)), "JPEG")
POLYGON = {
    "type": "Polygon",
    "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 0]], [[2, 1], [3, 1], [3, 2], [2, 1]]],
}
AREAS = [
    POLYGON, {"type": "Feature", "geometry": POLYGON, "properties": {}},
    {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": POLYGON}]},
    {"type": "MultiPolygon", "coordinates": [POLYGON["coordinates"]]}, [0, 0, 100], [170, -5, -170, 5],
    {"type": "Polygon", "coordinates": [[[-180, -90], [180, -90], [180, -60], [-180, -60], [-180, -90]]]},
]  # fmt: skip
SEARCHES = [
    {"queries": [{"text": "red"}], "limit": 3},
    {"queries": [{"photo": "0" * 8 + "-0000-0000-0000-" + "0" * 12}]},
    {"queries": [{"vector": [0.1, 0.2]}, {"location": {"lon": 1, "lat": 2}}], "filter": {"within": POLYGON}},
    {"queries": [{"image": "AAAA" * 8, "weight": -1}], "filter": {"where": {"city": ["a", "b"]}}},
]  # fmt: skip


def shard_reader(folder: Path) -> tuple[Harness, list[bytes]]:
    """Reads a shard of a ledger from bytes; and a good one."""
    ledger = Ledger(folder, fingerprint=fingerprint_of(8).id, dimension=8)
    rows = unit_rows(np.random.default_rng(0), 3)
    ledger.append([record(f"photo-{i}", row, lon=1.0, lat=2.0) for i, row in enumerate(rows)])
    good = ledger.path(1).read_bytes()
    expected = [
        (row.key, None if row.embedding is None else row.embedding.tobytes()) for row in ledger.records(1)
    ]

    (folder / "checksums").unlink(missing_ok=True)  # of early versions there are none

    def read(content: bytes) -> Any:
        ledger.path(1).write_bytes(content)
        rows = ledger.records(1)
        if content == good:
            assert [(r.key, None if r.embedding is None else r.embedding.tobytes()) for r in rows] == expected
        return rows

    return read, [good]


def test_r19_whatever_is_read(record: Record, tmp_path: Path) -> None:
    seconds = scaled(2.0, 10.0, 600.0)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    exif.get_ifd(0x8825).update({1: "N", 2: (41.0, 7.0, 24.4), 3: "E", 4: (19.0, 39.0, 15.5)})
    file = io.BytesIO(exif.tobytes())
    harnesses: dict[str, tuple[Harness, list[bytes]]] = {
        "request bodies": (read_request, [json.dumps(one).encode() for one in SEARCHES]),
        "filters": (read_filter, [json.dumps(one.get("filter", {})).encode() for one in SEARCHES]),
        "areas and GeoJSON": (read_area, [json.dumps(one).encode() for one in AREAS]),
        "EXIF and GPS": (read_exif, [file.getvalue().removeprefix(b"Exif\0\0")]),
        "names": (read_name, [b"trips", b"a_b-9", b"../x", "ü".encode()]),
        "shards": shard_reader(tmp_path / "ledger"),
    }
    total, slow, crashes = 0, 0, dict[str, bytes]()
    for what, (harness, seeds) in harnesses.items():
        n, found, n_slow = fuzzed(harness, seeds, seconds)
        record.figure(f"inputs, {what}", n)
        total, slow = total + n, slow + n_slow
        crashes |= {f"{what}: {kind}": content for kind, content in found.items()}
    record.figure("crashes", len(crashes))
    record.figure("inputs that took longer than a second", slow)
    for kind, content in crashes.items():
        record.note(f"{kind} on {content[:60]!r}")

    seeds = [json.dumps(one).encode() for one in AREAS]
    planted = [bool(fuzzed(tripping, seeds, scaled(2.0, 5.0, 20.0), seed)[1]) for seed in range(3)]
    record.caught("a parser that takes a first point without looking", sum(planted), len(planted))
    record.note("by random changes of good inputs, without the help of coverage (atheris)")
    assert crashes == {} and slow == 0, list(crashes)


def tripping(content: bytes) -> Any:
    """The fault: a parser of GeoJSON that takes the first point without looking whether there is one."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if isinstance(told, dict) and isinstance(rings := told.get("coordinates"), list):
        return rings[0][0][0]
    return None
