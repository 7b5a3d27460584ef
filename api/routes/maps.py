"""A gallery on the map: counts by cells of the H3 grid, and vector tiles."""

from datetime import datetime
from typing import Annotated, Any

import h3
from fastapi import APIRouter, Depends, Path, Query, Response

from ...encoders.areas import Box
from ...indexer.filters import Filter
from ..schemas.galleries import PhotoOut
from ..schemas.maps import H3Cell, H3Out
from ..serving import maps, precision
from ..serving.callers import reader
from ..serving.problems import ALWAYS, responses
from ..serving.refusals import InvalidQuestion, UnknownPhoto
from .opened import InGallery, Opened, looking
from .search import as_utc, conditions

routes = APIRouter(
    prefix="/v1/galleries/{gallery}",
    tags=["map"],
    dependencies=[Depends(reader), looking],
    responses=responses(*ALWAYS, 404),
)
MAX_ZOOM = 22


@routes.get("/h3", response_model=H3Out)
async def count_by_cell(
    service: Opened,
    gallery: InGallery,
    bbox: Annotated[
        str | None,
        Query(
            max_length=200,
            description="west,south,east,north in degrees; west > east crosses the antimeridian",
        ),
    ] = None,
    resolution: Annotated[
        int | None, Query(ge=0, le=7, description="Of the H3 grid; by default as the view is wide")
    ] = None,
    captured_from: datetime | None = None,
    captured_until: datetime | None = None,
    where: Annotated[list[str] | None, Query(description="name=value")] = None,
) -> Any:
    """Photos of a view counted by cell, the fullest first; the photos too, where they are few."""
    box = _box(bbox)
    filter = Filter(
        captured_from=as_utc(captured_from),
        captured_until=as_utc(captured_until),
        where=conditions(where or []),
    )
    if filter != Filter():
        # With the time of one photo as a condition, the count would be that photo's cell.
        precision.check_place("the cells of some photos", gallery.cap)
    precision.check_filter(filter, gallery.cap)

    def count() -> H3Out:
        fine, cells = gallery.cells(box, resolution, filter)
        photos = gallery.photos_in(box, filter) if box is not None and maps.may_be_few(cells) else None
        return H3Out(
            resolution=fine,
            cells=[_cell(cell) for cell in cells[: maps.MAX_CELLS]],
            n_photos=sum(cell.n_photos for cell in cells),
            photos=None if photos is None else [PhotoOut(**gallery.shown_photo(photo)) for photo in photos],
            is_truncated=len(cells) > maps.MAX_CELLS,
        )

    return await service.in_store(count)


@routes.get("/tiles/{z}/{x}/{y}.mvt", response_class=Response, responses={
    200: {
        "description": "A Mapbox vector tile with the layers cells (cell, n_photos) and photos (id)",
        "content": {"application/vnd.mapbox-vector-tile": {"schema": {"type": "string", "format": "binary"}}},
    }
})  # fmt: skip
async def vector_tile(
    service: Opened,
    gallery: InGallery,
    z: Annotated[int, Path(ge=0, le=MAX_ZOOM)],
    x: Annotated[int, Path(ge=0)],
    y: Annotated[int, Path(ge=0)],
) -> Response:
    """A vector tile of the Web Mercator scheme, for MapLibre, QGIS and others."""
    if x >= 2**z or y >= 2**z:
        raise UnknownPhoto(f"there is no tile {z}/{x}/{y}; at zoom {z}, x and y go to {2**z - 1}")
    tile = await service.in_store(gallery.tile, z, x, y)
    return Response(tile, media_type="application/vnd.mapbox-vector-tile")


def _cell(cell: maps.Cell) -> H3Cell:
    lat, lon = h3.cell_to_latlng(cell.cell)
    return H3Cell(cell=cell.cell, lon=lon, lat=lat, n_photos=cell.n_photos)


def _box(text: str | None) -> Box | None:
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise InvalidQuestion(
            "bbox: expected west,south,east,north in degrees, such as bbox=5.9,45.8,10.5,47.8"
        ) from None
    return Box(west, south, east, north)
