"""A Python client of the HTTP service: its nouns, and the verbs that they take.

    from pathlib import Path
    from placeprint import Circle, Client

    with Client("http://127.0.0.1:8000") as client:
        trips = client.gallery("trips")
        for photo in trips.search("a beach", within=Circle(139.77, 35.68, radius_km=50)).neighbors:
            print(photo.id, photo.similarity)
        print(trips.locate("photo.jpg").countries[0])

Answers are the types in `schemas`, embeddings numpy arrays. Fields that a newer service adds are passed
over. No encoder is loaded here: importing the client takes no torch.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..encoders.errors import InvalidGalleryName
from ..encoders.sphere import as_lonlat
from .client_gallery import RemoteGallery, is_unreadable
from .client_images import PhotoLike, as_part, batches, content_of, name_of, photos_body
from .client_jobs import Job, JobFailed
from .client_transport import ServiceProblem, ServiceUnreachable, Transport
from .schemas.embeddings import EmbeddingsOut, OpenAIModel, OpenAIModels
from .schemas.galleries import GALLERY_NAME, GalleriesOut, GalleryOut
from .schemas.jobs import JobOut, JobsOut
from .schemas.operations import About
from .schemas.regions import RegionClassifierOut, RegionClassifiersOut, RegionsOut

__all__ = ["Client", "Job", "JobFailed", "RemoteGallery", "ServiceProblem", "ServiceUnreachable"]

Embeddings = NDArray[np.float32]

TEXTS_AT_ONCE = 64
LOCATIONS_AT_ONCE = 1000
_BODY_SHARE = 0.9


class Client:
    """A service, asked over HTTP. It may be shared by threads, and closed or used as a context.

    Every method may raise `ServiceProblem`, when the service refuses, and `ServiceUnreachable`. Where
    the service is busy, the client comes again when it is told to.

    Args:
        url: of the service.
        key: of the operator's, where one is needed; by default what PLACEPRINT_KEY holds.
        timeout_s: longest silence of the service.
        retries: how often a request is made again.
        transport: what carries the requests, for tests.

    Raises:
        InvalidOption: an address or a key that cannot be one.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeout_s: float = 60.0,
        retries: int = 4,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(url, key=key, timeout_s=timeout_s, retries=retries, transport=transport)
        self._known_max_bytes: int | None = None

    def __repr__(self) -> str:
        return f"Client({self._transport.url!r})"

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    # --- the service --------------------------------------------------------------------------

    def about(self) -> About:
        """What the service is and allows. It needs no key."""
        return self._transport.ask(About, "GET", "/v1/about")

    def models(self) -> list[OpenAIModel]:
        """The encoders that are served: those of photos, and that of places."""
        return self._transport.ask(OpenAIModels, "GET", "/v1/models").data

    # --- regions ------------------------------------------------------------------------------

    def regions(self) -> list[RegionClassifierOut]:
        """The region classifiers that may be asked."""
        return self._transport.ask(RegionClassifiersOut, "GET", "/v1/regions").classifiers

    def predict_region(
        self, photo: PhotoLike | Sequence[PhotoLike], classifier: str, *, limit: int = 10
    ) -> RegionsOut:
        """Which region a photo was taken in, by its look alone.

        Args:
            photo: one, or a list of up to 16 that show one place.
            classifier: one of `regions`, by its name.
            limit: so many regions.
        """
        path = f"/v1/regions/{quote(classifier, safe='')}"
        return self._transport.ask(RegionsOut, "POST", path, params={"limit": limit}, **photos_body(photo))

    # --- embeddings ---------------------------------------------------------------------------

    def embed_images(
        self,
        photos: Iterable[PhotoLike],
        *,
        model: str | None = None,
        progress: Callable[[int], None] = lambda n_done: None,
    ) -> Embeddings:
        """Embed photos; they are read and sent as they are wanted, 16 in a request.

        Args:
            photos: paths, bytes, or pictures of Pillow's.
            model: an image encoder that is served; the first by default.
            progress: told how many are done.

        Returns:
            Embeddings in their order, (n, D), unit length.

        Raises:
            ServiceProblem: of the type ``urn:placeprint:UnreadableImage`` or a kind of it where a photo
                cannot be read; the message says which.
        """
        named = ((name_of(photo, i), content_of(photo)) for i, photo in enumerate(photos))
        found: list[Embeddings] = []
        for batch in batches(named, self._max_bytes()):
            found.append(self._embed_batch(batch, model))
            progress(sum(map(len, found)))
        return np.concatenate(found) if found else self._no_embeddings(model, "image")

    def embed_texts(self, texts: Sequence[str], *, model: str | None = None) -> Embeddings:
        """Embed texts into the space of a model's photos: n texts -> (n, D), unit length."""
        found = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            body: dict[str, Any] = {"texts": list(texts[start : start + TEXTS_AT_ONCE])}
            if model is not None:
                body["model"] = model
            found.append(_array(self._transport.ask(EmbeddingsOut, "POST", "/v1/embed/texts", body=body)))
        return np.concatenate(found) if found else self._no_embeddings(model, "text")

    def embed_locations(self, lonlat: ArrayLike) -> Embeddings:
        """Embed places, for classifiers of your own.

        Args:
            lonlat: longitudes and latitudes, (n, 2), degrees.

        Returns:
            Their embeddings, (n, D).

        Raises:
            InvalidCoordinate: a place that is nowhere on Earth.
        """
        places = as_lonlat(lonlat).reshape(-1, 2).tolist()
        found = []
        for start in range(0, len(places), LOCATIONS_AT_ONCE):
            body = {
                "locations": [
                    {"lon": lon, "lat": lat} for lon, lat in places[start : start + LOCATIONS_AT_ONCE]
                ]
            }
            found.append(_array(self._transport.ask(EmbeddingsOut, "POST", "/v1/embed/locations", body=body)))
        return np.concatenate(found) if found else self._no_embeddings(None, "location")

    # --- galleries ----------------------------------------------------------------------------

    def galleries(self) -> list[GalleryOut]:
        """The galleries that are served."""
        return self._transport.ask(GalleriesOut, "GET", "/v1/galleries").galleries

    def gallery(self, name: str) -> RemoteGallery:
        """A gallery by its name. Nothing is asked yet.

        Raises:
            InvalidGalleryName: no gallery can have it.
        """
        if not re.fullmatch(GALLERY_NAME, name):
            raise InvalidGalleryName(f"{name!r} cannot name a gallery: a-z, 0-9, - and _, at most 63 of them")
        return RemoteGallery(name, self._transport, self._max_bytes)

    def create_gallery(self, name: str, model: str) -> RemoteGallery:
        """Make an empty gallery for the photos of one model; needs a key for admin.

        Raises:
            InvalidGalleryName: no gallery can have that name.
        """
        made = self.gallery(name)
        body = {"name": name, "model": model}
        self._transport.ask(GalleryOut, "POST", "/v1/galleries", body=body, may_repeat=False)
        return made

    def delete_gallery(self, name: str) -> None:
        """Delete a gallery with all that is known of its photos; needs a key for admin."""
        path = f"/v1/galleries/{self.gallery(name).name}"
        self._transport.send("DELETE", path, params={"confirm": name}, may_repeat=False)

    # --- jobs ---------------------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        """Long work, newest first; needs a key for admin, as all that follows."""
        return [Job(state, self._transport) for state in self._transport.ask(JobsOut, "GET", "/v1/jobs").jobs]

    def job(self, id: str) -> Job:
        """A job by its id."""
        return Job(self._transport.ask(JobOut, "GET", f"/v1/jobs/{id}"), self._transport)

    def index(self, gallery: str, source: str, *, prune: bool = False, retry_failed: bool = False) -> Job:
        """Begin to index a source that lies on the server.

        Args:
            gallery: to bring up to date.
            source: a folder, table or archive below one of the operator's source folders.
            prune: take out photos that the source no longer has.
            retry_failed: try those again that could not be read before.
        """
        told = {"prune": prune, "retry_failed": retry_failed}
        return self._start(kind="index", gallery=gallery, source=str(source), **told)

    def optimize(self, gallery: str) -> Job:
        """Begin to build a gallery's search index."""
        return self._start(kind="optimize", gallery=gallery)

    def switch(self, gallery: str, model: str, *, leave_out_missing: bool = False) -> Job:
        """Begin to embed a gallery's photos with another model, and to switch to it.

        Args:
            gallery: to switch.
            model: to switch to.
            leave_out_missing: go on without photos whose file cannot be read any more.
        """
        return self._start(kind="switch", gallery=gallery, model=model, leave_out_missing=leave_out_missing)

    # --- within -------------------------------------------------------------------------------

    def _start(self, **asked: Any) -> Job:
        state = self._transport.ask(JobOut, "POST", "/v1/jobs", body=asked, may_repeat=False)
        return Job(state, self._transport)

    def _max_bytes(self) -> int:
        """Bytes of photos that fit into one request."""
        if self._known_max_bytes is None:
            self._known_max_bytes = int(_BODY_SHARE * 1e6 * self.about().max_body_mb)
        return self._known_max_bytes

    def _embed_batch(self, batch: list[tuple[str, bytes]], model: str | None) -> Embeddings:
        parts = [as_part(content) for _, content in batch]
        try:
            told = self._transport.ask(
                EmbeddingsOut, "POST", "/v1/embed/images", params={"model": model}, files=parts
            )
        except ServiceProblem as problem:  # one alone that cannot be read is refused as a whole
            if len(batch) == 1 and is_unreadable(problem):
                raise _unreadable(batch[0][0], problem.detail, problem) from None
            raise
        for failure in told.failures:
            raise _unreadable(batch[failure.index][0], failure.reason)
        return _array(told)

    def _no_embeddings(self, model: str | None, input: str) -> Embeddings:
        for one in self.models():
            if input in one.takes and model in (None, one.id, one.fingerprint):
                return np.empty((0, one.dimension), np.float32)
        return np.empty((0, 0), np.float32)


def _array(told: EmbeddingsOut) -> Embeddings:
    return np.array(told.embeddings, np.float32).reshape(-1, told.dimension)


def _unreadable(name: str, reason: str, problem: ServiceProblem | None = None) -> ServiceProblem:
    return ServiceProblem(
        problem.status if problem else 422,
        type=problem.type if problem else "urn:placeprint:UnreadableImage",
        title=problem.title if problem else "Unprocessable Content",
        detail=f"{name}: {reason}",
    )
