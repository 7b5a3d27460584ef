"""Long work: indexing, optimizing, switching to another model."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from .base import Answer, Request
from .galleries import GalleryNameIn


class IndexJobIn(Request):
    """Index a source that lies on the server."""

    kind: Literal["index"] = "index"
    gallery: GalleryNameIn
    source: Annotated[str, Field(min_length=1, max_length=4096)]
    """A folder, table or archive below one of the operator's source folders."""
    prune: bool = False
    retry_failed: bool = False


class OptimizeJobIn(Request):
    """Build a gallery's search index."""

    kind: Literal["optimize"] = "optimize"
    gallery: GalleryNameIn


class SwitchJobIn(Request):
    """Embed a gallery's photos with another model, and switch to it when all are done."""

    kind: Literal["switch"] = "switch"
    gallery: GalleryNameIn
    model: Annotated[str, Field(min_length=1, max_length=200)]
    leave_out_missing: bool = False
    """Go on without photos whose file cannot be read any more; otherwise the switch is called off."""


AnyJobIn: TypeAlias = Annotated[IndexJobIn | OptimizeJobIn | SwitchJobIn, Field(discriminator="kind")]


class JobOut(Answer):
    """A job and how far it is."""

    id: str
    kind: Literal["index", "optimize", "switch", "calibrate"]
    gallery: str
    status: Literal["waiting", "running", "done", "failed", "canceled"]
    n_done: int = 0
    n_total: int | None = None
    stage: str = ""
    detail: str = ""
    """Why it failed, or what came of it."""
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds_left: float | None = None
    """At the rate so far."""


class JobsOut(Answer):
    """Jobs, newest first. They are forgotten when the service ends; what they did is not."""

    jobs: list[JobOut]
