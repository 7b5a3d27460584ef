"""Which region a photo was taken in, by classifiers of the operator's."""

import asyncio
import hashlib
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Path, Query, Request

from ..schemas.regions import RegionClassifierOut, RegionClassifiersOut, RegionShareOut, RegionsOut
from ..serving import metrics, precision
from ..serving.callers import reader
from ..serving.problems import ALWAYS, responses
from ..serving.refusals import NotOffered, TooPrecise
from ..serving.served_regions import served_classifier
from .bodies import photo_body, photos
from .geolocate import MAX_PHOTOS
from .json_bodies import in_turn
from .opened import Opened

routes = APIRouter(
    prefix="/v1/regions",
    tags=["geolocation"],
    dependencies=[Depends(reader)],
    responses=responses(*ALWAYS),
)


@routes.get("", response_model=RegionClassifiersOut)
async def classifiers(service: Opened) -> Any:
    """The classifiers that may be asked here, none where places are told more coarsely than their regions."""
    settings = service.settings

    def may(radius_km: float) -> bool:
        try:
            precision.check_regions("", radius_km, settings.precision)
        except TooPrecise:
            return False
        return settings.may_geolocate

    return RegionClassifiersOut(
        classifiers=[
            RegionClassifierOut(
                name=one.name,
                regions=list(one.head.names),
                mean_recall=one.mean_recall,
                model=one.model.name,
            )
            for one in service.regions.values()
            if may(one.radius_km)
        ]
    )


@routes.post(
    "/{classifier}",
    response_model=RegionsOut,
    openapi_extra=photo_body(several=True),
    responses=responses(404, 415),
)
async def predict_region(
    request: Request,
    service: Opened,
    classifier: Annotated[str, Path(max_length=200, description="A classifier of GET /v1/regions")],
    limit: Annotated[int, Query(ge=1, le=1000, description="Regions to name")] = 10,
) -> Any:
    """Which region the photo in the body was taken in, by its look alone.

    Several photos, in multipart parts named ``images``, are taken to show one place. To the classifier all
    of its regions are equally likely beforehand, and there are no others. Nothing of a photo is kept; the
    audit log has its hash.
    """
    if not service.settings.may_geolocate:
        metrics.REFUSED.labels("precision").inc()
        raise NotOffered(
            "regions of photos are not told here; the operator may allow it with PLACEPRINT_GEOLOCATION=true"
        )
    asked = served_classifier(service.regions, classifier)
    precision.check_regions(classifier, asked.radius_km, service.settings.precision)
    sent = await photos(request, most=MAX_PHOTOS)
    async with service.admitted("locate"):
        embeddings = await asyncio.gather(
            *(service.embed_photo(content, asked.model) for content in sent.contents)
        )
        hashes = await in_turn(lambda: [hashlib.sha256(content).hexdigest() for content in sent.contents])
        told = asked.ask(np.stack(embeddings), limit)
        await service.in_files(
            lambda: service.audit.note(
                event="predict-region",
                caller=request.state.caller,
                gallery=f"regions {classifier}",
                sha256=hashes,
                precision=service.settings.precision,
            )
        )
    return RegionsOut(
        classifier=classifier,
        regions=[RegionShareOut(region=region, probability=p) for region, p in told],
        n_regions=len(asked.head.names),
        n_photos=len(sent.contents),
    )
