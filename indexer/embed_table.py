"""Embeddings for a table of any size, a part at a time.

Each part is read, embedded and appended durably before the next (`growing_file`), so that memory is
bounded by one part, and a killed run goes on where it stopped. Parts are cut by their number of
rows alone: a run that was resumed writes the same bytes as one that was not.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..encoders.coordinate_columns import Coordinates
from ..encoders.errors import AnotherRun, InvalidCoordinate, InvalidOption, UnreadableSource, UnwritableFile
from .growing_file import GrowingFile
from .table_columns import KeptColumns, kept_names
from .table_formats import TableFormat, format_for
from .table_source import TableSource, open_table

if TYPE_CHECKING:  # it loads torch
    from ..encoders.location import LocationEmbedder

ON_ERROR = ("stop", "null", "skip")
PART_BYTES = 1 << 24  # of embeddings; a row group in Parquet
ROWS_OF_A_PART = (1024, 65_536)
N_NAMED = 5
"""So many bad rows are named; the rest are counted."""


@dataclass(kw_only=True)
class Report:
    """What a run has come to."""

    n_rows: int = 0  # read, also by the run that was resumed
    n_bad: int = 0  # without a place on Earth
    bad: list[tuple[int, str]] = field(default_factory=list)  # the first few: row, counted from 1; why
    n_resumed: int = 0  # rows that were there already
    seconds: float = 0.0

    @property
    def n_embedded(self) -> int:
        """Rows with an embedding."""
        return self.n_rows - self.n_bad


def embed_table(
    source: str,
    target: str | Path,
    encoder: "LocationEmbedder",
    *,
    lon: str | None = None,
    lat: str | None = None,
    layer: str | None = None,
    keep: Sequence[str] | None = None,
    is_wide: bool = False,
    on_error: str = "stop",
    is_resumed: bool = False,
    is_overwritten: bool = False,
    progress: Callable[[Report, int | None], None] = lambda report, total: None,
) -> Report:
    """Write a table again, with the embedding of each row's place.

    Parquet gets a column ``embedding``, lists of D float32 (or columns e000, e001, …), CSV always
    columns, ``.npy`` the array (n, D) alone. What made them stands in Parquet's metadata under the
    key ``placeprint``, else in a file ``TARGET.json``. Columns of CSV become numbers in Parquet
    where every filled cell is one; from stdin, which cannot be read twice, they stay texts.

    Args:
        source: CSV, Parquet, GeoParquet, GeoPackage, GeoJSON, … (`table_source`); ``-`` is stdin.
        target: ends in .parquet, .csv or .npy; appears when it is complete.
        encoder: makes the embeddings.
        lon: column of longitudes; when neither is named, geometry goes before columns.
        lat: column of latitudes.
        layer: of a source that has several.
        keep: columns to keep; all when left out.
        is_wide: D columns of numbers instead of one of lists.
        on_error: what a row without a place on Earth does: ``"stop"`` the run, stay with a
            missing embedding (``"null"``; NaN in .npy), or be left out (``"skip"``).
        is_resumed: go on with what an interrupted run has left.
        is_overwritten: replace what is there.
        progress: called after each part with the report so far and the number of rows, if known.

    Raises:
        UnreadableSource: the source cannot be read, or a column not be written.
        UnknownColumns: it is not plain where the coordinates are, or a column to keep is missing.
        InvalidCoordinate: a row without a place, with ``on_error="stop"``; or nearly all rows have
            lon and lat exchanged.
        InvalidOption: options that make no sense, or not together.
        UnwritableFile: the target cannot be written, or is there already.
        AnotherRun: what is to be resumed was begun with another source, encoder or options.
    """
    target = Path(target).expanduser().absolute()
    ending = target.suffix.lower()
    table = open_table(source, layer=layer)
    _check_options(table, ending, keep, on_error, is_resumed=is_resumed)
    if table.is_repeatable and target.exists() and target.samefile(Path(source).expanduser()):
        raise UnwritableFile(f"{target}: this is the table itself; write to another file")
    locate = table.find_coordinates(lon, lat)
    names = kept_names(table, keep)
    facts = facts_of(encoder)
    job = {
        **facts, **_identity(source), "lon": lon, "lat": lat, "layer": layer, "keep": names, "wide": is_wide,
    }  # fmt: skip
    with GrowingFile(target, job, is_resumed=is_resumed, is_overwritten=is_overwritten) as file:
        kept, total = KeptColumns.of(table, names, ending)
        form = format_for(ending, kept.schema, facts, encoder.dimension, is_wide=is_wide)
        run = _Run(encoder, form, locate, kept, on_error, source)
        run.resume(file.notes)
        progress(run.report, total)
        file.begin(form.head())
        for part in table.rows(_rows_of_a_part(encoder.dimension), skip=run.report.n_rows):
            file.append(run.part(part), run.notes)
            progress(run.report, total)
        n_written = run.report.n_rows - (run.report.n_bad if on_error == "skip" else 0)
        beside = None if form.has_room_for_facts else json.dumps(facts, indent=1, sort_keys=True) + "\n"
        file.finish(lambda opened, ends: form.close(opened, ends, n_written), beside)
    return run.report


def facts_of(encoder: "LocationEmbedder") -> dict[str, Any]:
    """What must be known of embeddings to use them, as JSON values."""
    return {
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint,
        "dimension": encoder.dimension,
        "axis_order": "lon, lat",
        "coordinates": "WGS84 degrees",
    }


@dataclass
class _Run:
    """One run: makes parts, and keeps the report."""

    encoder: "LocationEmbedder"
    form: TableFormat
    locate: Callable[[pa.Table], Coordinates]
    kept: KeptColumns
    on_error: str
    source: str
    report: Report = field(default_factory=Report)
    started: float = field(default_factory=time.monotonic)

    def part(self, part: pa.Table) -> bytes:
        """Embed rows of the table, and make them bytes of the target."""
        coordinates = self.locate(part)
        if self.report.n_rows == 0:
            coordinates.refuse_exchanged()
        self._note(coordinates)
        placed, kept = coordinates.is_placed, self.kept.take(part)
        embeddings = np.full((len(part), self.encoder.dimension), np.nan, dtype=np.float32)
        if placed.any():
            embeddings[placed] = self.encoder.encode(coordinates.lonlat[placed])
        if self.on_error == "skip":
            kept, embeddings = kept.filter(pa.array(placed)), embeddings[placed]
        self.report.n_rows += len(part)
        self.report.seconds = time.monotonic() - self.started
        return self.form.part(kept, embeddings)

    def _note(self, coordinates: Coordinates) -> None:
        rows: NDArray[np.intp] = coordinates.rows_without_place
        if len(rows) and self.on_error == "stop":
            raise InvalidCoordinate(
                f"{self.source}: row {self.report.n_rows + int(rows[0]) + 1}: "
                f"{coordinates.complaint(int(rows[0]))}; --on-error null keeps such rows without an "
                "embedding, --on-error skip leaves them out"
            )
        for row in rows[: max(0, N_NAMED - len(self.report.bad))].tolist():
            self.report.bad.append((self.report.n_rows + row + 1, coordinates.complaint(row)))
        self.report.n_bad += len(rows)

    @property
    def notes(self) -> dict[str, Any]:
        """What a run that resumes this one must know."""
        told = {"n_rows": self.report.n_rows, "n_bad": self.report.n_bad, "bad": self.report.bad}
        return {**told, "on_error": self.on_error}

    def resume(self, notes: dict[str, Any]) -> None:
        """Go on from such notes; empty ones are a beginning."""
        if not notes:
            return
        # As long as no row was bad, what is to be done with such rows may still be decided.
        if notes["n_bad"] and notes["on_error"] != self.on_error:
            raise AnotherRun(
                f"{notes['n_bad']} rows were treated by --on-error {notes['on_error']}; ask for it"
            )
        self.report.n_rows = self.report.n_resumed = notes["n_rows"]
        self.report.n_bad = notes["n_bad"]
        self.report.bad = [(row, why) for row, why in notes["bad"]]


def _check_options(
    table: TableSource, ending: str, keep: Sequence[str] | None, on_error: str, *, is_resumed: bool
) -> None:
    if on_error not in ON_ERROR:
        raise InvalidOption(f"--on-error {on_error}: choose one of {', '.join(ON_ERROR)}")
    if not table.is_repeatable and is_resumed:
        raise InvalidOption("--resume reads the table once more, and stdin cannot be; give a file")
    if ending == ".npy" and on_error == "skip":
        raise InvalidOption(
            "--on-error skip: rows of an .npy file are known by their number alone, which would shift; "
            "use --on-error null, or write .parquet or .csv"
        )
    if ending == ".npy" and keep:
        raise InvalidOption("--keep: an .npy file has no columns; write .parquet or .csv")


def _identity(source: str) -> dict[str, Any]:
    """What tells whether a source is still the same."""
    if source == "-":
        return {"source": "stdin"}
    path = Path(source).expanduser().absolute()
    try:
        status = os.stat(path)
    except OSError as error:
        raise UnreadableSource(f"{source}: {error.strerror}") from None
    return {"source": str(path), "size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def _rows_of_a_part(dimension: int) -> int:
    least, most = ROWS_OF_A_PART
    return max(least, min(most, PART_BYTES // (4 * dimension)))
