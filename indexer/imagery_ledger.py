"""What has been fetched into a folder: a line for each picture and each view, on the disk before the next.

``ledger.jsonl`` begins with what the folder is for, and grows by one line at a time. A line that a
power cut has torn is cut off. ``manifest.csv`` is made of it, for `placeprint index`: a row for
each picture, with its place, heading, moment, author and licence.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

import filelock

from ..encoders.errors import AnotherRun, DamagedLedger, UnwritableFile
from .durable import sync_folder, write_atomically
from .imagery_providers.provider import Found
from .imagery_views import told_table

FORMAT = 1
PICTURES = "pictures"
MANIFEST = "manifest.csv"
KEPT, PLACEHOLDER, DAMAGED = "kept", "placeholder", "damaged"
COLUMNS = (
    "image", "lon", "lat", "captured_at", "captured_month", "heading_deg", "sequence", "region", "sub_area",
    "provider", "provider_id", "attribution", "licence", "page_url", "is_panorama", "view", "distance_m",
)  # fmt: skip

Record = dict[str, Any]


class ImageryLedger:
    """The ledger of one folder; use it as a context, which nobody else can hold meanwhile.

    Args:
        folder: made if needed.
        job: what is fetched into it, JSON values; who goes on must ask for the same.

    Attributes:
        pictures: by the provider's id, what became of each that was downloaded. Those whose file is
            gone, and those that came damaged in an earlier run, are missing: they are to be had again.
        views: by id, the picture that each view has, or None where there is nothing to have.
        n_downloads: all there ever were, also those that were dropped.
        n_bytes: of all these.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any]) -> None:
        self.folder, self._job = folder, dict(job)
        self.path = folder / "ledger.jsonl"
        self._lock = filelock.FileLock(folder / "ledger.lock", timeout=0)
        self.pictures: dict[str, Record] = {}
        self.views: dict[str, str | None] = {}
        self.n_downloads = self.n_bytes = 0

    def __enter__(self) -> "ImageryLedger":
        """Take hold of the folder.

        Raises:
            UnwritableFile: it cannot be made or written to, or another process fetches into it.
            AnotherRun: something else was fetched into it.
            DamagedLedger: its ledger was edited.
        """
        try:
            (self.folder / PICTURES).mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except filelock.Timeout:
            raise UnwritableFile(f"{self.folder}: another process is fetching into it") from None
        except OSError as error:
            raise UnwritableFile(f"{self.folder}: cannot be written to ({error.strerror or error})") from None
        with ExitStack() as undone:
            undone.callback(self._lock.release)
            self._file: BinaryIO = undone.enter_context(self.path.open("a+b"))
            self._read()
            undone.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            # When the disk is full, the first error says so already; what counts is on it.
            with suppress(OSError) if kind is not None else nullcontext():
                self._file.close()
                self.write_manifest()
        finally:
            self._lock.release()

    @property
    def kept(self) -> list[Record]:
        """The pictures that are in the folder, in the order in which they came."""
        return [record for record in self.pictures.values() if record["fate"] == KEPT]

    def hashes(self) -> set[str]:
        """The hashes of the files that are in the folder."""
        return {record["sha256"] for record in self.kept}

    def keep(self, found: Found, content: bytes, suffix: str, facts: Mapping[str, Any]) -> None:
        """Store a picture: its file first, whole, and then its line."""
        name = f"{PICTURES}/{file_stem(found.id)}{suffix}"
        write_atomically(self.folder / name, content)
        told = {
            "image": name, "lon": found.lon, "lat": found.lat, "captured": found.captured,
            "heading_deg": found.heading_deg, "sequence": found.sequence, "attribution": found.attribution,
            "licence": found.licence, "page_url": found.page_url, "is_panorama": found.is_panorama,
        }  # fmt: skip
        digest = hashlib.sha256(content).hexdigest()
        self._append_picture(found.id, KEPT, len(content), {**told, **facts, "sha256": digest})

    def drop(self, found: Found, fate: str, reason: str, n_bytes: int) -> None:
        """Note that a picture was downloaded and not kept.

        Args:
            found: the picture.
            fate: `PLACEHOLDER`, for good, or `DAMAGED`, until the next run.
            reason: in words.
            n_bytes: that were downloaded.
        """
        self._append_picture(found.id, fate, n_bytes, {"reason": reason})

    def settle(self, view: str, picture: str | None) -> None:
        """Note which picture a view has; None where there is nothing to have."""
        self._append({"view": view, "picture": picture})
        self.views[view] = picture

    def write_manifest(self) -> None:
        """Write ``manifest.csv``: a row for each picture in the folder."""
        rows = []
        for id, record in self.pictures.items():
            if record["fate"] != KEPT:
                continue
            captured = str(record["captured"])
            row = {**record, "provider": self._job["provider"], "provider_id": id}
            rows.append(
                row | {"captured_at": captured if "T" in captured else "", "captured_month": captured[:7]}
            )
        write_atomically(self.folder / MANIFEST, told_table(rows, COLUMNS))

    def _append_picture(self, id: str, fate: str, n_bytes: int, told: Mapping[str, Any]) -> None:
        record = {"id": id, "fate": fate, "bytes": n_bytes, **told}
        self._append(record)
        self._take(record)

    def _take(self, record: Record) -> None:
        self.pictures[record["id"]] = record
        self.n_downloads += 1
        self.n_bytes += int(record["bytes"])

    def _append(self, record: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UnwritableFile(f"{self.path}: cannot be written to ({error.strerror or error})") from None

    def _read(self) -> None:
        """Read the lines there are, cut off a torn one, and begin a ledger that has none."""
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._file.truncate(len(whole))
        try:
            head, *records = [json.loads(line) for line in whole.splitlines()] or [None]
            if head is not None:
                self._require_same(head)
            for record in records:
                if "view" in record and "fate" not in record:
                    self.views[record["view"]] = record["picture"]
                else:
                    self._take(record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedLedger(
                f"{self.path}: was edited or damaged ({error}); fetch into another folder"
            ) from None
        if head is None:
            self._append({"format": FORMAT, **self._job})
            sync_folder(self.folder)
        self._forget_lost()

    def _require_same(self, head: Record) -> None:
        asked = {"format": FORMAT, **self._job}
        differing = [key for key in {**asked, **head} if head.get(key) != asked.get(key)]
        if differing:
            told = ", ".join(f"{key} was {head.get(key)!r}, now {asked.get(key)!r}" for key in differing)
            raise AnotherRun(f"{self.folder}: fetched with something else ({told}); choose another --out")

    def _forget_lost(self) -> None:
        """Leave out what is to be had again: damaged pictures, files that are gone, and their views."""
        self.pictures = {
            id: record
            for id, record in self.pictures.items()
            if record["fate"] == PLACEHOLDER
            or (record["fate"] == KEPT and (self.folder / record["image"]).is_file())
        }
        self.views = {
            view: picture
            for view, picture in self.views.items()
            if picture is None or picture in self.pictures
        }


def file_stem(id: str) -> str:
    """A file name for a provider's id: safe on every disk, also on those that ignore case."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", id)[:40].strip("-")
    return f"{readable}-{hashlib.sha256(id.encode()).hexdigest()[:10]}"
