"""What the command line shows: progress, tables, reports, errors.

On a terminal there are bars and tables; where the output goes to a file or a pipe, `index` and
other long work write one line of JSON an event instead.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..encoders.sphere import great_circle_km
from ..indexer.gallery import Neighbor
from ..indexer.geolocate import Location
from ..indexer.ingest import Report

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say(event: str, **details: Any) -> None:
    """Write one event as a line of JSON."""
    print(json.dumps({"event": event, **details}, default=str), flush=True)


@contextmanager
def indexing_progress(*, as_json: bool) -> Iterator[Callable[[Report, int], None]]:
    """Progress of `index`: a bar on the terminal, or lines of JSON."""
    if as_json:
        yield lambda report, total: say(
            "progress", done=report.n_done, total=total, failed=len(report.failures),
            seconds=round(report.seconds, 1),
        )  # fmt: skip
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


@contextmanager
def counting_progress(title: str, *, as_json: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Progress of work that counts to a total: a bar on the terminal, nothing elsewhere."""
    if as_json or not err.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show_report(report: Report, gallery: str, n_photos: int, failures: Path, *, as_json: bool) -> None:
    """The last word of `index`: what was done, and what failed and why."""
    if as_json:
        for key, reason in report.failures.items():
            say("failed", image=key, reason=reason)
        counts = {key: value for key, value in asdict(report).items() if key != "failures"}
        say("report", gallery=gallery, photos=n_photos, failed=len(report.failures), **counts)
        return
    for key, reason in list(report.failures.items())[:20]:
        err.print(f"failed: {key}: {reason}", markup=False, soft_wrap=True)
    if len(report.failures) > 20:
        err.print(f"… and {len(report.failures) - 20} more")
    rate = report.n_done / report.seconds if report.seconds > 0 else 0.0
    parts = [
        f"{report.n_embedded} embedded",
        f"{report.n_known} known already (moved, doubled or described anew)" if report.n_known else "",
        f"{report.n_unchanged} unchanged" if report.n_unchanged else "",
        f"{report.n_removed} removed" if report.n_removed else "",
        f"{report.n_without_place} of these without a place" if report.n_without_place else "",
        f"{len(report.failures)} failed" if report.failures else "",
        f"{report.n_failed_before} failed before (--retry-failed tries them again)"
        if report.n_failed_before
        else "",
    ]
    out.print(f"{report.n_listed} photos listed: {', '.join(part for part in parts if part)}", soft_wrap=True)
    if report.n_done:
        out.print(f"{report.seconds:.1f} s, {rate:.1f} photos/s")
    if report.is_partly_failed:
        out.print(f"all failures with reasons: {failures}", soft_wrap=True)
    out.print(f"gallery {gallery}: {n_photos} photos")


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
    told = {title: cells for title, cells in columns.items() if any(cells)}
    table = Table(*told, box=None, pad_edge=False, padding=(0, 1))
    for row in zip(*told.values(), strict=True):
        table.add_row(*row)
    table.columns[-1].overflow = "fold"
    out.print(table)


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
    out.print(f"[bold]{photo}[/bold]")
    if location.abstain:
        out.print(f"  no answer: {location.abstain_reason}")
        return
    radii = ", ".join(f"{radius:g} km {p:.0%}" for radius, p in location.p_within_km.items())
    out.print(f"  lon, lat    {location.lon:.4f}, {location.lat:.4f}")
    out.print(f"  within      {radii}")
    for title, shares in (("country", location.countries), ("state", location.states)):
        names = ", ".join(f"{share.name} {share.probability:.0%}" for share in shares[:n_names])
        out.print(f"  {title:<11} {names}")
    regions = ", ".join(f"{region.level:.0%}: {region.area_km2:,.0f} km²" for region in location.regions)
    out.print(f"  regions     {regions}")
    out.print(f"  information {location.information_bits:.1f} bits over where the gallery's photos lie")
    if not location.is_calibrated:
        out.print("  [yellow]uncalibrated: too few placed photos to fit the probabilities[/yellow]")


def fail(message: str, code: int = 1) -> None:
    """Write an error for the user and end the program."""
    err.print(f"error: {message}", markup=False, soft_wrap=True)
    sys.exit(code)
