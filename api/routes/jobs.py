"""Long work: indexing sources, optimizing, switching a gallery to another model."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path

from ..schemas.jobs import AnyJobIn, IndexJobIn, JobOut, JobsOut, OptimizeJobIn, SwitchJobIn
from ..serving import work
from ..serving.callers import admin
from ..serving.problems import ALWAYS, responses
from .json_bodies import JsonRoute
from .opened import Opened

routes = APIRouter(
    prefix="/v1/jobs",
    tags=["jobs"],
    dependencies=[Depends(admin)],
    responses=responses(*ALWAYS, 404, 409),
    route_class=JsonRoute,
)
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Id of a job")]


@routes.post("", response_model=JobOut, status_code=202)
async def start_job(asked: AnyJobIn, service: Opened) -> Any:
    """Queue a job. It goes on after the answer; ask for it by its id."""
    gallery = service.gallery(asked.gallery)
    match asked:
        case IndexJobIn():
            gallery.require_photos()
            source = work.checked_source(asked.source, service.settings.source_folders)
            does = work.indexing(
                service, gallery.name, source, prune=asked.prune, retry_failed=asked.retry_failed
            )
        case OptimizeJobIn():
            does = work.optimizing(service, gallery.name)
        case SwitchJobIn():
            gallery.require_photos()
            does = work.switching(
                service, gallery.name, asked.model, leave_out_missing=asked.leave_out_missing
            )
    return JobOut(**service.jobs.start(asked.kind, gallery.name, does).to_dict())


@routes.get("", response_model=JobsOut)
async def list_jobs(service: Opened) -> Any:
    """Jobs, newest first."""
    return JobsOut(jobs=[JobOut(**job.to_dict()) for job in service.jobs])


@routes.get("/{id}", response_model=JobOut)
async def job(service: Opened, id: JobId) -> Any:
    """A job and how far it is."""
    return JobOut(**service.jobs.get(id).to_dict())


@routes.delete("/{id}", response_model=JobOut)
async def cancel_job(service: Opened, id: JobId) -> Any:
    """Call a job off. What it has done so far stays."""
    return JobOut(**service.jobs.cancel(id).to_dict())
