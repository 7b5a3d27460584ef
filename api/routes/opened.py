"""What every route asks for: the service, and the gallery that its path names."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Path, Request

from ..schemas.base import UUID
from ..schemas.galleries import GALLERY_NAME
from ..serving.looks import Looks
from ..serving.served_gallery import ServedGallery
from ..serving.service import Service


async def service_of(request: Request) -> Service:
    """The service, opened when the server started."""
    service: Service = request.app.state.service
    return service


Opened = Annotated[Service, Depends(service_of)]


async def gallery_of(
    service: Opened,
    gallery: Annotated[str, Path(pattern=GALLERY_NAME, description="Name of a gallery", examples=["trips"])],
) -> AsyncIterator[ServedGallery]:
    """The gallery of the path; it stays open until the answer is there."""
    served = service.gallery(gallery)
    with served.in_use():
        yield served


# Let go when the route has its answer, not when the last byte has gone out: a reader may be slow.
OfGallery = Annotated[ServedGallery, Depends(gallery_of, scope="function")]
"""For routes that tell nothing of its content."""


async def told_gallery(gallery: OfGallery) -> ServedGallery:
    """The gallery of the path, where the operator lets its content be told."""
    gallery.check_told()
    return gallery


async def _looking(request: Request) -> AsyncIterator[None]:
    """One of those who look at photos, of whom only so many may at a time; until the answer is there."""
    looks: Looks = request.app.state.looks
    async with looks.admitted():
        yield


looking = Depends(_looking, scope="function")
InGallery = Annotated[ServedGallery, Depends(told_gallery, scope="function")]
PhotoId = Annotated[
    str,
    Path(
        pattern=UUID,
        description="Id of a photo, a UUID",
        examples=["5e2bd0a4-5d9a-5a34-9a4a-6a2a2b3a6d7c"],
    ),
]
