"""Galleries: list, make, describe, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from ..schemas.galleries import (
    FacetCount,
    FacetOut,
    GalleriesOut,
    GalleryIn,
    GalleryOut,
    ModelOut,
    PlacesFacts,
)
from ..serving import facets
from ..serving.callers import admin, reader
from ..serving.problems import ALWAYS, responses
from ..serving.refusals import InvalidQuestion, TooPrecise
from ..serving.served_gallery import ServedGallery
from ..serving.served_map import ServedMap
from ..serving.service import Service
from .json_bodies import JsonRoute
from .opened import InGallery, OfGallery, Opened, looking

routes = APIRouter(
    prefix="/v1/galleries",
    tags=["galleries"],
    responses=responses(*ALWAYS, 404, 409),
    route_class=JsonRoute,
)


@routes.get("", response_model=GalleriesOut, dependencies=[Depends(reader), looking])
async def list_galleries(service: Opened) -> Any:
    """The galleries that are served."""
    found = [await _described(service, served) for served in list(service.galleries.values())]
    return GalleriesOut(galleries=found, n_unavailable=service.n_unavailable)


@routes.post("", response_model=GalleryOut, status_code=201, dependencies=[Depends(admin)],
             responses=responses(415, 507))  # fmt: skip
async def create_gallery(asked: GalleryIn, service: Opened) -> Any:
    """Make an empty gallery for the photos of one model."""
    return await _described(service, await service.in_writer(service.create_gallery, asked.name, asked.model))


@routes.get("/{gallery}", response_model=GalleryOut, dependencies=[Depends(reader), looking])
async def describe_gallery(service: Opened, gallery: OfGallery) -> Any:
    """A gallery."""
    return await _described(service, gallery)


@routes.delete("/{gallery}", status_code=204, response_class=Response, dependencies=[Depends(admin)])
async def delete_gallery(
    service: Opened,
    gallery: OfGallery,
    confirm: Annotated[str, Query(max_length=63, description="The gallery's name once more")] = "",
) -> Response:
    """Delete a gallery with all that is known of its photos. The photos' own files stay."""
    if confirm != gallery.name:
        raise InvalidQuestion(f"to delete the gallery, say so twice: ?confirm={gallery.name}")
    await service.delete_gallery(gallery)
    return Response(status_code=204)


@routes.get("/{gallery}/facets/{key}", response_model=FacetOut, dependencies=[Depends(reader), looking])
async def facet(
    service: Opened,
    gallery: InGallery,
    key: str,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Any:
    """How many photos have which value of a field of their payload, or of ``year`` and ``month``.

    A field of which nearly each photo has a value of its own, such as the name of its file, names single
    photos and is not counted, unless the operator says so.
    """
    if not key.isidentifier() or key.startswith("_"):
        raise InvalidQuestion("key: a field's name has letters, digits and _ only, and does not begin with _")
    if gallery.cap != "exact" and key not in ("year", "month"):
        raise TooPrecise(
            f"{key}: fields other than year and month could tell where photos were taken. The operator may "
            "allow them with PLACEPRINT_PRECISION=exact"
        )
    allowed = service.settings.facet_fields
    counts = await service.in_store(lambda: facets.counted(gallery.facet, key, limit, allowed=allowed))
    return FacetOut(key=key, counts=[FacetCount(value=value, n_photos=n) for value, n in counts.items()])


def _places(served: ServedGallery) -> PlacesFacts | None:
    model = served.model
    if not isinstance(model, ServedMap):
        return None
    has_map = model.embedder.maps is not None
    return PlacesFacts(ground_m=model.ground_m, attribution=model.attribution, has_map=has_map)


async def _described(service: Service, served: ServedGallery) -> GalleryOut:
    numbers = await service.in_store(served.describe)
    model = served.model
    return GalleryOut(
        name=served.name,
        model=ModelOut(
            name=model.name,
            id=model.fingerprint.id,
            dimension=model.fingerprint.dimension,
            takes_text=model.takes_text,
        ),
        precision=served.cap,
        can_locate=served.can_locate and service.settings.may_geolocate,
        can_search_areas=served.cap in ("25km", "exact"),
        is_read_only=served.gallery.is_read_only,
        switching_to=served.switching_to,
        places=_places(served),
        vectors=served.vectors,
        can_recognize=service.settings.may_geolocate and not isinstance(model, ServedMap),
        max_look_again=service.settings.max_look_again,
        **numbers,
    )
