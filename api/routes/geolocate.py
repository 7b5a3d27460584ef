"""Where a photo was taken."""

import asyncio
import hashlib
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Request

from ...indexer.record import photo_id
from ..schemas.locations import LocationOut
from ..serving import metrics
from ..serving.callers import reader
from ..serving.problems import ALWAYS, responses
from ..serving.refusals import NotOffered
from .bodies import photo_body, photos
from .json_bodies import in_turn
from .opened import InGallery, Opened

MAX_PHOTOS = 16

routes = APIRouter(
    prefix="/v1/galleries/{gallery}",
    tags=["geolocation"],
    dependencies=[Depends(reader)],
    responses=responses(*ALWAYS, 404, 409, 415),
)


@routes.post("/geolocate", response_model=LocationOut, response_model_exclude_none=True,
             openapi_extra=photo_body(several=True))  # fmt: skip
async def geolocate(
    request: Request,
    service: Opened,
    gallery: InGallery,
    prior: Annotated[
        Literal["gallery", "uniform", "population"],
        Query(description="What counts before the photo is looked at: the gallery's places, area, people"),
    ] = "gallery",
    surface: Annotated[bool, Query(description="Also tell how probable which cells are")] = True,
    n_evidence: Annotated[int, Query(ge=0, le=100, description="Photos that the answer rests on")] = 8,
) -> Any:
    """Where the photo in the body was taken, how sure that is, and whether to believe it at all.

    Several photos, in multipart parts named ``images``, are taken to show one place. A photo that is
    in the gallery does not answer for itself. Nothing of a photo is kept; the audit log has its hash.
    """
    if not service.settings.may_geolocate:
        metrics.REFUSED.labels("precision").inc()
        raise NotOffered(
            "photos are not geolocated here; the operator may allow it with PLACEPRINT_GEOLOCATION=true"
        )
    sent = await photos(request, most=MAX_PHOTOS)
    async with service.admitted("locate"):
        embeddings = await asyncio.gather(
            *(service.embed_photo(content, gallery.model) for content in sent.contents)
        )
        together = np.asarray(np.sum(embeddings, axis=0), np.float32)
        hashes = await in_turn(lambda: [hashlib.sha256(content).hexdigest() for content in sent.contents])
        own = frozenset(photo_id(one) for one in hashes)
        told = await service.in_locator(
            lambda: gallery.locate(
                together, prior=prior, exclude_ids=own, with_surface=surface, n_evidence=n_evidence
            )
        )
        await service.in_files(
            lambda: service.audit.note(
                event="geolocate",
                caller=request.state.caller,
                gallery=gallery.name,
                sha256=hashes,
                precision=told["precision"],
            )
        )
    return LocationOut(**told, n_photos=len(sent.contents))
