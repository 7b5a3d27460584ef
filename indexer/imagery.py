"""Fetch a picture for each view of a plan: near, in its direction, once, politely and within limits.

Whatever ends a run, the next one with the same plan, provider and reach goes on: a picture is on the
disk, whole, before its line in the ledger, and its line before the next request. A kill costs at most
the picture under way. What failed is tried again by the next run; placeholders are not.

Files keep what is in them, EXIF and all: they are the operator's. Nothing of them is served from here.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..encoders.errors import ImageryRefused, NoImagery, PictureTooLarge, UnreadableImage, UnwritableFile
from .imagery_choice import Choice, Reach, choices
from .imagery_ledger import DAMAGED, KEPT, PLACEHOLDER, ImageryLedger
from .imagery_placeholders import checked_picture
from .imagery_providers.provider import Found, Provider
from .imagery_views import View, by_point, in_turn
from .interrupt import uninterrupted

PICTURE_BYTES = 64 << 20  # more is no picture of a street
TRIES = 3  # pictures for a view, when the best ones are placeholders or damaged
FAILURES_IN_A_ROW = 10  # after which a provider counts as gone

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most that a folder may ever take, all runs together; None: no limit."""

    max_pictures: int | None = None
    max_bytes: int | None = None
    max_cost: float | None = None  # US dollars


@dataclass
class FetchReport:
    """What a run did, and what the folder holds after it."""

    n_views: int
    n_found: int = 0  # pictures that searches of this run told of
    n_downloaded: int = 0  # of this run, and kept
    n_placeholders: int = 0  # of this run, dropped
    n_settled_before: int = 0  # views that an earlier run was through with
    n_with_picture: int = 0  # views, all runs together
    n_nothing_near: int = 0  # views, all runs together
    n_pictures: int = 0  # in the folder
    n_bytes: int = 0  # downloaded, all runs together
    cost: float = 0.0  # US dollars, all runs together
    per_area: dict[tuple[str, str], int] = field(default_factory=dict)  # pictures of region, sub-area
    stopped_by: str = ""  # the limit that ended the run, if one did
    failures: dict[str, str] = field(default_factory=dict)  # views, with the reason

    @property
    def n_left(self) -> int:
        """Views that were not asked about, because the run stopped before."""
        return self.n_views - self.n_with_picture - self.n_nothing_near - len(self.failures)


class _BudgetSpent(Exception):
    """A limit is reached; the message says which."""


def fetch(
    views: Sequence[View],
    provider: Provider,
    folder: Path,
    *,
    reach: Reach,
    budget: Budget,
    progress: Progress | None = None,
) -> FetchReport:
    """Fetch pictures into a folder, or go on with it.

    Sub-areas take turns, point by point, so that a limit cuts all of them short alike.

    Args:
        views: the plan.
        provider: of the pictures.
        folder: gets ``pictures/``, ``ledger.jsonl`` and ``manifest.csv``.
        reach: how far a picture may be from a view.
        budget: where to stop.
        progress: called with how many views are settled, and all there are.

    Raises:
        ImageryRefused: the provider lets nobody go on, or `FAILURES_IN_A_ROW` places failed.
        UnwritableFile: the folder is full, not ours, or another process fetches into it.
        AnotherRun: something else was fetched into the folder.
        DamagedLedger: its ledger was edited.
    """
    job = {
        "plan": plan_hash(views), "provider": provider.name, "radius_m": reach.radius_m,
        "max_turn_deg": reach.max_turn_deg, "panoramas": reach.with_panoramas,
    }  # fmt: skip
    with ImageryLedger(folder, job) as ledger:
        per_area = {(view.region, view.sub_area): 0 for view in views}
        report = FetchReport(len(views), n_settled_before=len(ledger.views), per_area=per_area)
        run = _Run(provider, ledger, reach, budget, report)
        try:
            for point in in_turn(by_point(views)):
                run.serve(point)
                if progress is not None:
                    progress(len(ledger.views) + len(run.report.failures), len(views))
        except _BudgetSpent as spent:
            run.report.stopped_by = str(spent)
        return run.finished()


def plan_hash(views: Sequence[View]) -> str:
    """What tells one plan from another, however its table was written."""
    told = "\n".join(repr(view) for view in views)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


class _Run:
    """One run over the points of a plan."""

    def __init__(
        self, provider: Provider, ledger: ImageryLedger, reach: Reach, budget: Budget, report: FetchReport
    ) -> None:
        self.report = report
        self._provider, self._ledger, self._reach, self._budget = provider, ledger, reach, budget
        self._hashes = ledger.hashes()
        self._n_kept = len(ledger.kept)
        self._in_a_row = 0

    def serve(self, point: Sequence[View]) -> None:
        """Find pictures around a point, and one for each of its views."""
        open_views = [view for view in point if view.id not in self._ledger.views]
        if not open_views:
            return
        self._check_budget()
        try:
            found = self._provider.find((point[0].lon, point[0].lat), self._reach.radius_m)
        except ImageryRefused:
            raise
        except NoImagery as error:
            self._failed(open_views, str(error))
            return
        self.report.n_found += len(found)
        for view in open_views:
            try:
                self._settle(view, found)
                self._in_a_row = 0
            except ImageryRefused:
                raise
            except NoImagery as error:
                self._failed([view], str(error))

    def finished(self) -> FetchReport:
        """The report, with what the folder holds now."""
        pictures = self._ledger.views.values()
        self.report.n_with_picture = sum(picture is not None for picture in pictures)
        self.report.n_nothing_near = sum(picture is None for picture in pictures)
        self.report.n_pictures, self.report.n_bytes = self._n_kept, self._ledger.n_bytes
        self.report.cost = self._provider.cost(self._ledger.n_downloads)
        for record in self._ledger.kept:
            self.report.per_area[record["region"], record["sub_area"]] += 1
        return self.report

    def _settle(self, view: View, found: Sequence[Found]) -> None:
        """Give a view the best picture that can be had.

        Raises:
            NoImagery: there should be one, and it could not be had now.
        """
        damaged = ""
        for choice in choices(view, found, self._reach)[:TRIES]:
            record = self._ledger.pictures.get(choice.found.id) or self._download(choice, view)
            if record["fate"] == KEPT:
                self._ledger.settle(view.id, choice.found.id)
                return
            damaged = damaged or (record["reason"] if record["fate"] == DAMAGED else "")
        if damaged:
            raise NoImagery(damaged)
        self._ledger.settle(view.id, None)

    def _download(self, choice: Choice, view: View) -> Mapping[str, Any]:
        """Download a picture and keep or drop it; its record."""
        found = choice.found
        content, reason, fate, suffix = b"", "", DAMAGED, ""
        limit = self._check_budget()
        try:
            content = self._provider.download(found, limit)
            suffix, reason = checked_picture(content)
            fate = PLACEHOLDER if reason else KEPT
        except PictureTooLarge as error:
            if limit < PICTURE_BYTES:
                raise _BudgetSpent("--max-bytes") from None
            reason = str(error)
        except UnreadableImage as error:
            reason = f"what came is no picture, or a damaged one ({error})"
        if fate == KEPT and hashlib.sha256(content).hexdigest() in self._hashes:
            fate, reason = PLACEHOLDER, "byte for byte another picture"
        with uninterrupted():
            self._store(choice, view, content, fate, reason, suffix)
        return self._ledger.pictures[found.id]

    def _store(self, choice: Choice, view: View, content: bytes, fate: str, reason: str, suffix: str) -> None:
        if fate != KEPT:
            self._ledger.drop(choice.found, fate, reason, len(content))
            self.report.n_placeholders += fate == PLACEHOLDER
            return
        facts = {
            "view": view.id, "region": view.region, "sub_area": view.sub_area,
            "distance_m": round(choice.distance_m, 1),
        }  # fmt: skip
        try:
            self._ledger.keep(choice.found, content, suffix, facts)
        except OSError as error:
            raise UnwritableFile(
                f"{self._ledger.folder}: a picture cannot be written ({error.strerror or error}); those "
                "before are kept: mend this, and type the same command again"
            ) from None
        self._hashes.add(hashlib.sha256(content).hexdigest())
        self._n_kept += 1
        self.report.n_downloaded += 1

    def _check_budget(self) -> int:
        """The largest picture that there is room for, bytes.

        Raises:
            _BudgetSpent: there is none.
        """
        budget, n_bytes = self._budget, self._ledger.n_bytes
        if budget.max_pictures is not None and self._n_kept >= budget.max_pictures:
            raise _BudgetSpent("--max-pictures")
        if (
            budget.max_cost is not None
            and self._provider.cost(self._ledger.n_downloads + 1) > budget.max_cost
        ):
            raise _BudgetSpent("--max-cost")
        if budget.max_bytes is None:
            return PICTURE_BYTES
        if n_bytes >= budget.max_bytes:
            raise _BudgetSpent("--max-bytes")
        return min(PICTURE_BYTES, budget.max_bytes - n_bytes)

    def _failed(self, views: Sequence[View], reason: str) -> None:
        self.report.failures |= {view.id: reason for view in views}
        self._in_a_row += 1
        if self._in_a_row >= FAILURES_IN_A_ROW:
            raise ImageryRefused(
                f"{self._in_a_row} times in a row nothing came; the last time: {reason}. What was fetched is "
                "kept; when it works again, type the same command again"
            )
