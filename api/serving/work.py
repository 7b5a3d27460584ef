"""What jobs do."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...encoders.errors import UnreadableSource
from ...indexer import ingest
from ...indexer import switching as switching_to
from ...indexer.sources import list_source
from . import metrics
from .changeover import change_over
from .jobs import Job, Work
from .models import BackgroundEncoder
from .refusals import Conflict, NotOffered

if TYPE_CHECKING:
    from .service import Service


def checked_source(source: str, folders: Sequence[Path]) -> Path:
    """The path of a source that may be indexed over HTTP.

    Raises:
        NotOffered: it lies in none of the operator's folders.
    """
    if not folders:
        raise NotOffered(
            "no sources are indexed over HTTP here; the operator may name folders with "
            "PLACEPRINT_SOURCE_FOLDERS, or index with: placeprint index FOLDER --gallery NAME"
        )
    try:
        path = Path(source).resolve()
    except (OSError, ValueError, RuntimeError):
        raise UnreadableSource("source: no path of a file or folder") from None
    if not any(path.is_relative_to(folder.resolve()) for folder in folders):
        raise NotOffered(
            "source: it lies in none of the folders that may be indexed (PLACEPRINT_SOURCE_FOLDERS)"
        )
    if not path.exists():
        raise UnreadableSource(f"source: there is nothing at {source}")
    return path


def indexing(service: "Service", name: str, source: Path, *, prune: bool, retry_failed: bool) -> Work:
    """Bring a gallery up to date with a source."""

    def work(job: Job) -> str:
        job.tell(0, stage="listing")
        items = list_source(source)
        served = service.gallery(name)

        def progress(report: ingest.Report, n_total: int) -> None:
            job.tell(report.n_done, n_total, "embedding")

        encoder = BackgroundEncoder(served.model, service.worker)
        report = ingest.index(
            items, served.gallery, encoder, prune=prune, retry_failed=retry_failed,
            workers=service.settings.decoders, progress=progress,
        )  # fmt: skip
        for _ in report.failures:
            metrics.INGEST_FAILURES.labels("UnreadableImage").inc()
        if report.n_embedded or report.n_removed:
            _refresh(job, service, name)
        return (
            f"{report.n_embedded} embedded, {report.n_known} known, {report.n_unchanged} unchanged, "
            f"{report.n_removed} removed, {len(report.failures)} failed"
        )

    return work


def calibrating(service: "Service", name: str) -> Work:
    """Fit the geolocation to a gallery's photos."""

    def work(job: Job) -> str:
        _refresh(job, service, name)
        return "the geolocation is fitted"

    return work


def _refresh(job: Job, service: "Service", name: str) -> None:
    service.gallery(name).refresh(
        progress=lambda n_done, n_total: job.tell(n_done, n_total, "calibrating"),
        stage=lambda what: job.tell(0, None, what),
    )


def optimizing(service: "Service", name: str) -> Work:
    """Build a gallery's search index in a process of its own."""

    def work(job: Job) -> str:
        job.tell(0, stage="building the index")
        service.gallery(name).gallery.optimize()
        return "the index is built"

    return work


def switching(service: "Service", name: str, model: str, *, leave_out_missing: bool) -> Work:
    """Embed a gallery's photos with another model, and switch to it when all are done."""

    def work(job: Job) -> str:
        job.tell(0, stage="loading the model")
        served, chosen = service.gallery(name), service.models.by_name(model)
        if chosen.fingerprint.id == served.model.fingerprint.id:
            raise Conflict(f"gallery {name!r} has the model {chosen.name} already")
        twin = switching_to.open_twin(
            name, chosen.fingerprint, encoder=chosen.name, weights=chosen.weights, settings=service.settings
        )
        switching_to.carry_vectors(served.gallery, twin)  # before it is served: it must know their names
        following = service.served_by(twin, chosen)
        served.following = following  # what is added from now on goes to both
        try:
            filled = switching_to.fill(
                served.gallery,
                twin,
                BackgroundEncoder(chosen, service.worker),
                leave_out_missing=leave_out_missing,
                workers=service.settings.decoders,
                progress=lambda n_done, n_total: job.tell(n_done, n_total, "embedding"),
            )
            following.refresh(
                progress=lambda n_done, n_total: job.tell(n_done, n_total, "calibrating"),
                stage=lambda what: job.tell(0, None, what),
            )
            job.tell(0, None, "switching")
            change_over(service, served, following, may_miss=set(filled.missing))
        except BaseException:
            if served.following is following:
                served.following = None
                following.close()
            raise
        left_out = f", {len(filled.missing)} left out" if filled.missing else ""
        return f"{filled.n_embedded} embedded by {chosen.name}{left_out}; the gallery has switched to it"

    return work
