"""R4: files that were cut, flipped, exchanged or left half written are found out, named and made good."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from copies import copy_folder
from fakes import fingerprint_of, record, unit_rows
from torture_rows import Record
from torture_scale import scaled

from placeprint.encoders.errors import PlaceprintError
from placeprint.indexer.backup import back_up
from placeprint.indexer.checksums import Checksums
from placeprint.indexer.doctor import examine
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ledger import Ledger
from placeprint.indexer.settings import Settings

pytestmark = pytest.mark.slow

N_SHARDS = 5


def make(settings: Settings) -> None:
    rng = np.random.default_rng(8)
    with Gallery.create("trips", fingerprint_of(8), settings=settings) as gallery:
        for shard in range(N_SHARDS):
            vectors = unit_rows(rng, 12)
            gallery.add(
                [
                    record(
                        f"photo-{shard}-{i}", vectors[i], lon=float(i), lat=float(shard),
                        payload=json.dumps({"n": i}),
                    )
                    for i in range(12)
                ]
            )  # fmt: skip


def contents(home: Path) -> dict[str, Any]:
    """All that the ledger tells of each photo, from the ledger alone.

    Raises:
        PlaceprintError: it cannot be read.
    """
    folder = home / "galleries" / "trips" / "ledger"
    ledger = Ledger(folder, fingerprint=fingerprint_of(8).id, dimension=8, is_read_only=True)
    rows = [row for number in ledger.numbers() for row in ledger.records(number)]
    return {
        row.key: (
            row.id, row.lon, row.lat, row.payload,
            None if row.embedding is None else row.embedding.tobytes(),
        )
        for row in rows
    }  # fmt: skip


Damage = Callable[[Path], list[str]]
"""Damages a ledger's folder, and names the shards that are touched."""


def truncated(share: float) -> Damage:
    def damage(folder: Path) -> list[str]:
        shard = folder / "00000003.parquet"
        content = shard.read_bytes()
        shard.write_bytes(content[: min(len(content) - 1, int(share * len(content)))])
        return [shard.name]

    return damage


def flipped(n_bytes: int, seed: int) -> Damage:
    def damage(folder: Path) -> list[str]:
        rng = np.random.default_rng(seed)
        shard = folder / f"{1 + seed % N_SHARDS:08d}.parquet"
        content = bytearray(shard.read_bytes())
        for place in rng.choice(len(content), min(n_bytes, len(content)), replace=False):
            content[place] ^= 1 << int(rng.integers(8))
        shard.write_bytes(content)
        return [shard.name]

    return damage


def deleted(number: int) -> Damage:
    def damage(folder: Path) -> list[str]:
        (folder / f"{number:08d}.parquet").unlink()
        return [f"{number:08d}.parquet"]

    return damage


def exchanged(one: int, other: int) -> Damage:
    def damage(folder: Path) -> list[str]:
        names = [f"{number:08d}.parquet" for number in (one, other)]
        first, second = ((folder / name).read_bytes() for name in names)
        (folder / names[0]).write_bytes(second)
        (folder / names[1]).write_bytes(first)
        return names

    return damage


def damages() -> Iterator[tuple[str, Damage]]:
    for i in range(scaled(10, 100, 100)):
        yield "truncated", truncated(i / 100)
    for seed in range(scaled(30, 1000, 1000)):
        yield "flipped", flipped(1 + seed % 64, seed)
    for number in range(1, N_SHARDS + 1):
        yield "deleted", deleted(number)
    for one in range(1, N_SHARDS):
        yield "exchanged", exchanged(one, one + 1)


def answered(home: Path, expected: dict[str, Any]) -> tuple[str, str]:
    """What reading a ledger comes to: "right", "wrong", or "error", with what was said."""
    try:
        return ("right" if contents(home) == expected else "wrong"), ""
    except PlaceprintError as error:
        return "error", str(error)


def is_repaired(settings: Settings, names: list[str], whole: Path, expected: dict[str, Any]) -> bool:
    """Whether the doctor mends a gallery, so that photos of its damaged shards alone are indexed anew."""
    folder = settings.home / "galleries" / "trips" / "ledger"
    kept = {path.name: path.read_bytes() for path in folder.glob("*.parquet") if path.name not in names}
    if not examine("trips", settings=settings, is_mended=True).is_well:
        return False
    with Gallery.open("trips", settings=settings) as gallery:
        missing = [row for row in rows_of(whole) if not gallery.knows(row.id)]
        gallery.add(missing)
        found = {photo.image for photo in gallery.find()}
    is_untouched = all((folder / name).read_bytes() == content for name, content in kept.items())
    is_whole = contents(settings.home) == expected and found == expected.keys()
    return is_untouched and is_whole and len(missing) == 12 * len(names)


def is_brought_back(settings: Settings, backup: Path, expected: dict[str, Any]) -> bool:
    """Whether the doctor brings damaged shards back from a backup, so that nothing is missing."""
    diagnosis = examine("trips", settings=settings, is_mended=True, backup=backup)
    with Gallery.open("trips", settings=settings) as gallery:
        found = {photo.image for photo in gallery.find()}
    return diagnosis.is_well and contents(settings.home) == expected and found == expected.keys()


def rows_of(folder: Path) -> list[Any]:
    ledger = Ledger(folder, fingerprint=fingerprint_of(8).id, dimension=8, is_read_only=True)
    return [row for number in ledger.numbers() for row in ledger.records(number)]


def test_r04_damaged_files_are_found_out(
    record: Record, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(settings)
    expected = contents(settings.home)
    folder = settings.home / "galleries" / "trips" / "ledger"
    whole = copy_folder(folder, tmp_path / "whole")

    def renew() -> None:
        shutil.rmtree(folder)
        copy_folder(whole, folder)

    backup = tmp_path / "trips.tar"
    back_up("trips", backup, settings=settings)
    of, silent, wrong, unnamed, undiagnosed = (Counter[str]() for _ in range(5))
    n_repairs, n_repaired, n_brought_back = 0, 0, 0
    for i, (kind, damage) in enumerate(damages()):
        renew()
        names = damage(folder)
        end, said = answered(settings.home, expected)
        of[kind] += 1
        silent[kind] += end != "error"
        wrong[kind] += end == "wrong"
        unnamed[kind] += end == "error" and not any(name in said for name in names)
        told = {finding.file.name for finding in examine("trips", settings=settings).findings}
        undiagnosed[kind] += not told.issuperset(names)
        if i % scaled(20, 50, 20) == 0 or kind in ("deleted", "exchanged"):
            n_repairs += 1
            n_repaired += is_repaired(settings, names, whole, expected)
            renew()
            damage(folder)
            n_brought_back += is_brought_back(settings, backup, expected)
    renew()
    stale = folder / "00000009.tmp"
    stale.write_bytes(b"half a shard")
    (settings.home / "galleries" / "trips" / "gallery.json.tmp").write_bytes(b"{")
    with Gallery.open("trips", settings=settings) as gallery:
        assert len(gallery) == 12 * N_SHARDS and not stale.exists()
    for kind, n in of.items():
        record.figure(f"{kind}: ledgers", n)
        record.figure(f"{kind}: read without an error", silent[kind])
        record.figure(f"{kind}: wrong answers", wrong[kind])
        record.figure(f"{kind}: errors that name no shard", unnamed[kind])
        record.figure(f"{kind}: not found by the doctor", undiagnosed[kind])
    record.figure("repairs from the photos", n_repairs)
    record.figure("of these not whole, or not of the damaged shard alone", n_repairs - n_repaired)
    record.figure("repairs from a backup", n_repairs)
    record.figure("of these not whole", n_repairs - n_brought_back)
    record.note("that a shard is missing is told by the doctor, and not on reading: one may be taken away")

    n_trials, n_missed = scaled(40, 200, 500), 0
    with monkeypatch.context() as patch:
        patch.setattr(Checksums, "is_right", lambda sums, name, content: True)
        read_table = pq.read_table
        patch.setattr(pq, "read_table", lambda *words, **given: read_table(*words, **without_checks(given)))
        for seed in range(n_trials):
            renew()
            flipped(1, seed)(folder)
            try:
                n_missed += answered(settings.home, expected)[0] != "error"
            except ValueError:  # text that is none
                continue
    record.caught("checksums are not looked at", n_missed, n_trials)
    damaged = [kind for kind in of if kind != "deleted"]
    assert not any(wrong[kind] + silent[kind] + unnamed[kind] for kind in damaged), (wrong, silent, unnamed)
    assert not any(undiagnosed.values()), undiagnosed
    assert n_repaired == n_brought_back == n_repairs


def without_checks(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "page_checksum_verification"}
