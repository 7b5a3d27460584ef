"""Galleries of places: places like others, and pictures of the map around a place."""

import asyncio
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Response

from ...indexer.place_embedder import By, PlaceUnknown
from ...indexer.place_list import rounded
from ..schemas.places import Lat, Lon, Place
from ..schemas.places_like import AskedPlace, PlacesLikeAnswer, PlacesLikeRequest
from ..schemas.search import Neighbor
from ..serving.callers import reader
from ..serving.place_search import Embedding, Places, PlaceSearch
from ..serving.problems import ALWAYS, responses
from ..serving.served_gallery import ServedGallery
from ..serving.served_map import ServedMap
from ..serving.service import Service
from .json_bodies import JsonRoute
from .opened import InGallery, OfGallery, Opened, looking

routes = APIRouter(
    prefix="/v1/galleries/{gallery}/places",
    tags=["places"],
    dependencies=[Depends(reader)],
    responses=responses(*ALWAYS, 404),
    route_class=JsonRoute,
)

GUESSED = "of a place that was asked about there is no map; a student of the map encoder guessed it"


@routes.post("/like", response_model=PlacesLikeAnswer, responses=responses(415))
async def places_like(asked: PlacesLikeRequest, service: Opened, gallery: InGallery) -> Any:
    """Places whose map is like that of some places, or photos taken there, most alike first.

    Answers lie away from the places asked about, and from each other, by the width of the map that is
    looked at, unless something else is asked for.
    """
    map = gallery.require_places()
    within = None if asked.within is None else await service.in_files(asked.within.area)
    search = gallery.place_search
    apart_m = map.ground_m if asked.apart_m is None else asked.apart_m
    async with service.admitted("search"):
        like, liked_by = await _embedded(service, gallery, map, search, asked.like)
        unlike, unlike_by = await _embedded(service, gallery, map, search, asked.unlike)

        def ask() -> list[Neighbor]:
            found, embedding = search.likest(
                like,
                unlike,
                unlike_weight=asked.unlike_weight,
                k=asked.limit,
                within=within,
                apart_m=apart_m,
                is_thinned=not asked.may_overlap,
            )
            return [Neighbor(**one) for one in gallery.shown_places(found, embedding)]

        neighbors = await service.in_store(ask)
    told = [
        AskedPlace(lon=lon, lat=lat, is_like=is_like, embedded_by=by, thumbnail=gallery.map_path(lon, lat))
        for is_like, places, sources in ((True, like[0], liked_by), (False, unlike[0], unlike_by))
        for (lon, lat), by in zip(places.tolist(), sources, strict=True)
    ]
    return PlacesLikeAnswer(
        asked=told,
        neighbors=neighbors,
        ground_m=map.ground_m,
        apart_m=apart_m,
        attribution=map.attribution,
        notes=[GUESSED] if "student" in (*liked_by, *unlike_by) else [],
    )


@routes.get("/map", response_class=Response, dependencies=[looking], responses={
    200: {
        "description": "The map around a place, north up; transparent where there is no data",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    },
})  # fmt: skip
async def map_of_place(
    service: Opened,
    gallery: OfGallery,
    lon: Annotated[Lon, Query()],
    lat: Annotated[Lat, Query()],
    ground_m: Annotated[
        float | None,
        Query(ge=10.0, le=100_000.0, description="Width on the ground, meters; by default what is looked at"),
    ] = None,
    style: Annotated[Literal["plain", "dark", "contrast"], Query()] = "plain",
    side_px: Annotated[int, Query(ge=16, le=1024, description="Of the square picture, pixels")] = 256,
) -> Response:
    """The map around any place, as the gallery's encoder sees it, in colors.

    It shows the map and nothing of the gallery. Whom to name beside it: `attribution` of the gallery.
    """
    map = gallery.require_places()
    picture = await service.in_files(
        lambda: map.picture(lon, lat, ground_m=ground_m, side_px=side_px, style=style)
    )
    return Response(picture, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


async def _embedded(
    service: Service, gallery: ServedGallery, map: ServedMap, search: PlaceSearch, places: list[Place]
) -> tuple[tuple[Places, Embedding], list[By]]:
    """Places, their embeddings (n, D), and where these come from."""
    if not places:
        return (np.empty((0, 2)), np.empty((0, map.fingerprint.dimension), np.float32)), []
    lonlat = rounded(np.array([(one.lon, one.lat) for one in places]))
    own = await service.in_store(search.own, lonlat)
    can_look = await service.in_files(map.embedder.can_look, lonlat)

    async def embedding(row: int) -> tuple[Embedding, By]:
        lon, lat = lonlat[row].tolist()
        found = own[row]
        if found is not None:
            return found, "gallery"
        if can_look[row]:
            return await service.embed(map.look, (lon, lat)), "map"
        if map.embedder.student is None:
            raise PlaceUnknown(_unknown(map, lon, lat))
        return await service.embed(map.guess, (lon, lat)), "student"

    embedded = await asyncio.gather(*(embedding(row) for row in range(len(lonlat))))
    return (lonlat, np.stack([one for one, _ in embedded])), [by for _, by in embedded]


def _unknown(map: ServedMap, lon: float, lat: float) -> str:
    maps = map.embedder.maps
    boxes = () if maps is None else maps.boxes
    reach = "; ".join(f"{one.west:.3f},{one.south:.3f},{one.east:.3f},{one.north:.3f}" for one in boxes)
    return (
        f"the maps of this gallery know nothing of lon {lon:.6f}, lat {lat:.6f}; ask for a place within "
        f"{reach or 'the gallery, for no map is at hand'} (west,south,east,north)"
    )
