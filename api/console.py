"""What the command line shows: progress, tables, reports, errors.

On a terminal there are bars and tables; where the output goes to a file or a pipe, `index` writes
one line of JSON an event instead, and nothing is folded to the width of a screen.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..encoders.sphere import great_circle_km
from ..indexer.geolocate import Location
from ..indexer.ingest import Report
from ..indexer.neighbors import Neighbor
from ..indexer.overview import Overview
from .exits import forget_output

if TYPE_CHECKING:  # it loads torch
    from ..indexer.recognize import Recognition


class _Console(Console):
    """A console that leaves it to the command how to end when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


out = _Console(highlight=False)
err = _Console(stderr=True, highlight=False)
WITHOUT_END = 100_000  # columns, where there is no screen to fold for


def say(event: str, *, is_answer: bool = True, **details: Any) -> None:
    """Write one event as a line of JSON; what is no part of the answer goes to standard error."""
    line = json.dumps({"event": event, **details}, default=str)
    print(line, flush=True, file=sys.stdout if is_answer else sys.stderr)


def warn(message: str, *, as_json: bool) -> None:
    """Write what the user should know, though nothing failed."""
    if as_json:
        say("warning", message=message)
    else:
        err.print(f"warning: {message}", markup=False, soft_wrap=True)


def show_failure(what: str, reason: str, *, as_json: bool) -> None:
    """Name one of several things that failed."""
    if as_json:
        say("failed", image=what, reason=reason)
    else:
        said = reason if reason.startswith(what) else f"{what}: {reason}"
        err.print(f"failed: {said}", markup=False, soft_wrap=True)


@contextmanager
def indexing_progress(*, as_json: bool) -> Iterator[Callable[[Report, int], None]]:
    """Progress of `index`: a bar on the terminal, or lines of JSON."""
    if as_json:
        yield _say_progress
        return
    columns = (
        TextColumn("indexing"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TextColumn("[red]{task.fields[failed]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=None, rate="", failed="")

        def show(report: Report, total: int) -> None:
            rate = f"{report.n_done / report.seconds:.0f} photos/s" if report.seconds > 0 else ""
            failed = f"{len(report.failures)} failed" if report.failures else ""
            bar.update(task, completed=report.n_done, total=total, rate=rate, failed=failed)

        yield show


def _say_progress(report: Report, total: int) -> None:
    details: dict[str, Any] = {"done": report.n_done, "total": total, "failed": len(report.failures)}
    try:
        say("progress", **details, seconds=round(report.seconds, 1))
    except BrokenPipeError:  # indexing is not done for those who watch it
        forget_output()


@contextmanager
def counting_progress(
    title: str, *, as_json: bool = False, is_answer: bool = False
) -> Iterator[Callable[[int, int], None]]:
    """Progress of work that counts to a total, if there is any: a bar, or a line at its start and end.

    Args:
        title: what is being done.
        as_json: lines of JSON.
        is_answer: they belong to the answer, as all that `index` says does.
    """
    if as_json or not err.is_terminal:
        yield from _start_and_end(title, as_json=as_json, is_answer=is_answer)
        return
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def telling(title: str, *, as_json: bool = False, is_answer: bool = False) -> Callable[[str], None]:
    """Says what long work has come to: a line on the error output, or a line of JSON (`say`)."""

    def tell(what: str) -> None:
        if as_json:
            say(title, is_answer=is_answer, state=what)
        else:
            err.print(f"{title}: {what}", soft_wrap=True, highlight=False)

    return tell


def _start_and_end(title: str, *, as_json: bool, is_answer: bool) -> Iterator[Callable[[int, int], None]]:
    started, counted = time.monotonic(), 0

    def tell(text: str, **details: Any) -> None:
        if as_json:
            say(title, is_answer=is_answer, **details)
        else:
            print(f"{title}: {text}", file=sys.stderr, flush=True)

    def count(done: int, total: int) -> None:
        nonlocal counted
        if not counted:
            tell(f"{total:,} photos", state="begun", total=total)
        counted = total

    yield count
    if counted:
        seconds = time.monotonic() - started
        tell(f"done in {seconds:.1f} s", state="done", total=counted, seconds=round(seconds, 1))


def show_report(report: Report, gallery: str, n_photos: int, failures: Path, *, as_json: bool) -> None:
    """The last word of `index`: what was done, and what failed and why."""
    if as_json:
        for key, reason in report.failures.items():
            say("failed", image=key, reason=reason)
        counts = {key: value for key, value in asdict(report).items() if key not in ("failures", "n_failed")}
        say("report", gallery=gallery, photos=n_photos, failed=len(report.failures), **counts)
        return
    for key, reason in list(report.failures.items())[:20]:
        show_failure(key, reason, as_json=False)
    if len(report.failures) > 20:
        err.print(f"… and {len(report.failures) - 20} more")
    rate = report.n_done / report.seconds if report.seconds > 0 else 0.0
    parts = [
        f"{report.n_embedded} embedded",
        f"{report.n_known} known already (moved, doubled or described anew)" if report.n_known else "",
        f"{report.n_unchanged} unchanged" if report.n_unchanged else "",
        *(f"{n} belong to {source} (--claim takes them over)" for source, n in report.elsewhere.items()),
        f"{report.n_deleted} deleted before (--undelete brings them back)" if report.n_deleted else "",
        f"{report.n_removed} removed" if report.n_removed else "",
        f"{report.n_without_place} of these without a place" if report.n_without_place else "",
        f"{len(report.failures)} failed" if report.failures else "",
        f"{report.n_failed_before} failed before (--retry-failed tries them again)"
        if report.n_failed_before
        else "",
    ]
    done = ", ".join(part for part in parts if part)
    out.print(f"{report.n_listed} photos listed: {done}", markup=False, soft_wrap=True)
    if report.n_done:
        out.print(f"{report.seconds:.1f} s, {rate:.1f} photos/s")
    if report.is_partly_failed:
        out.print(f"all failures with reasons: {failures}", markup=False, soft_wrap=True)
    out.print(f"gallery {gallery}: {n_photos} photos")


def show_gallery(gallery: Overview, *, as_json: bool) -> None:
    """One line on a gallery."""
    if as_json:
        say("gallery", **asdict(gallery))
        return
    counts = f"{gallery.photos:,} photos, {gallery.placed:,} with a place"
    where = "" if gallery.store == "folder" else f", at {gallery.store}"
    out.print(f"{gallery.name:<20} {counts:<36} {gallery.encoder}{where}", markup=False, soft_wrap=True)


def show_neighbors(neighbors: Sequence[Neighbor], *, near: tuple[float, float] | None, as_json: bool) -> None:
    """The answers of a search, most similar first."""
    if as_json:
        for neighbor in neighbors:
            say("neighbor", similarity=round(neighbor.similarity, 6), **asdict(neighbor.photo))
        return
    if not neighbors:
        out.print("no photo matches")
        return
    photos = [neighbor.photo for neighbor in neighbors]
    columns = {
        "": [str(rank) for rank in range(1, len(neighbors) + 1)],
        "similarity": [f"{n.similarity:.3f}" if n.similarity else "" for n in neighbors],
        "lon, lat": [f"{p.lon:.4f}, {p.lat:.4f}" if p.lon is not None else "no place" for p in photos],
        "km": [_distance(near, photo.lon, photo.lat) for photo in photos],
        "date": [photo.captured_at.date().isoformat() if photo.captured_at else "" for photo in photos],
        "photo": [_short(photo.image) for photo in photos],
    }
    _show_photos(columns)


def show_recognition(found: "Recognition", *, as_json: bool) -> None:
    """Photos of the very place of another, best first, and how sure that is."""
    if as_json:
        for one in found.found:
            score = None if one.score is None else round(one.score, 6)
            say("neighbor", similarity=round(one.similarity, 6), score=score, **asdict(one.photo))
        say(
            "recognition", doubt=round(found.doubt, 6), looked_again=found.looked_again, missing=found.missing
        )
        return
    if not found.found:
        out.print("no photo matches")
        return
    photos = [one.photo for one in found.found]
    columns = {
        "": [str(rank) for rank in range(1, len(photos) + 1)],
        "similarity": [f"{one.similarity:.3f}" for one in found.found],
        "match": ["" if one.score is None else f"{one.score:.3f}" for one in found.found],
        "lon, lat": [f"{p.lon:.5f}, {p.lat:.5f}" if p.lon is not None else "no place" for p in photos],
        "photo": [_short(photo.image) for photo in photos],
    }
    _show_photos(columns)
    looked = "looked at again" if found.looked_again else "no second look"
    out.print(f"doubt {found.doubt:.2f}: {looked}", soft_wrap=True)


def _show_photos(columns: dict[str, list[str]]) -> None:
    """A table of photos, their paths last, without columns that say nothing."""
    told = {title: cells for title, cells in columns.items() if any(cells)}
    table = Table(*told, box=None, pad_edge=False, padding=(0, 1))
    for row in zip(*told.values(), strict=True):
        table.add_row(*row[:-1], escape(row[-1]))
    table.columns[-1].overflow = "fold"
    show_table(table)


def show_table(table: Table) -> None:
    """Print a table; off a terminal as wide as it is."""
    if out.is_terminal:
        out.print(table)
    else:
        _Console(highlight=False, width=WITHOUT_END).print(table)


def _short(image: str) -> str:
    """A path as seen from here, where that is shorter."""
    try:
        return str(Path(image).relative_to(Path.cwd()))
    except ValueError:
        return image


def _distance(near: tuple[float, float] | None, lon: float | None, lat: float | None) -> str:
    if near is None or lon is None or lat is None:
        return ""
    return f"{float(great_circle_km(np.array(near), np.array([lon, lat]))):.1f}"


def show_location(location: Location, photo: str, *, n_names: int = 3) -> None:
    """Where a photo was taken, in a few lines."""
    out.print(f"[bold]{escape(photo)}[/bold]", soft_wrap=True)
    if location.abstain:
        out.print(f"  no answer: {location.abstain_reason}", soft_wrap=True)
        return
    radii = ", ".join(f"{radius:g} km {p:.0%}" for radius, p in location.p_within_km.items())
    out.print(f"  lon, lat    {location.lon:.4f}, {location.lat:.4f}")
    out.print(f"  within      {radii}", soft_wrap=True)
    for title, shares in (("country", location.countries), ("state", location.states)):
        names = ", ".join(f"{share.name} {share.probability:.0%}" for share in shares[:n_names])
        out.print(f"  {title:<11} {names}", markup=False, soft_wrap=True)
    regions = ", ".join(f"{region.level:.0%}: {region.area_km2:,.0f} km²" for region in location.regions)
    out.print(f"  regions     {regions}", soft_wrap=True)
    out.print(
        f"  information {location.information_bits:.1f} bits over where the gallery's photos lie",
        soft_wrap=True,
    )
    if not location.is_calibrated:
        out.print("  [yellow]uncalibrated: too few placed photos to fit the probabilities[/yellow]")
