"""A gallery of a service: searching it, and its photos; `client_where` has what locates by it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, Unpack
from urllib.parse import quote

from ..encoders.areas import Box
from .client_facts import PhotoFacts, facts_json
from .client_images import PhotoLike, as_part, batches, content_of, name_of, photo_body
from .client_places import PlaceLike, places_json
from .client_search import (
    AreaLike,
    Conditions,
    QueryLike,
    area_json,
    condition_text,
    moment,
    queries_of,
    search_of,
)
from .client_transport import ServiceProblem, Transport
from .client_where import AsksWhere
from .schemas.embeddings import OpenAIAnswer
from .schemas.galleries import (
    DeletedOut,
    FacetOut,
    GalleryOut,
    PhotoFailure,
    PhotoOut,
    PhotosOut,
    UpsertOut,
)
from .schemas.maps import H3Out
from .schemas.places_like import PlacesLikeAnswer
from .schemas.search import MAX_DEPTH, Neighbor, SearchAnswer, Value


class RemoteGallery(AsksWhere):
    """A gallery that a service serves; `Client.gallery` gives it.

    Every method may raise `ServiceProblem` and `ServiceUnreachable`.

    Attributes:
        name: of the gallery.
    """

    def __init__(self, name: str, transport: Transport, max_bytes: Callable[[], int]) -> None:
        super().__init__(transport, f"/v1/galleries/{quote(name, safe='')}")
        self.name = name
        self._max_bytes = max_bytes

    def __repr__(self) -> str:
        return f"<gallery {self.name!r} at {self._transport.url}>"

    def about(self) -> GalleryOut:
        """Its model, numbers of photos, and what may be asked of it."""
        return self._transport.ask(GalleryOut, "GET", self._path)

    # --- asking -------------------------------------------------------------------------------

    def search(
        self,
        query: QueryLike | Sequence[QueryLike | tuple[QueryLike, float]] | None = None,
        *,
        limit: int = 10,
        offset: int = 0,
        **conditions: Unpack[Conditions],
    ) -> SearchAnswer:
        """Photos that answer one or several queries together, best first.

            trips.search("a beach")
            trips.search(Path("photo.jpg"), within=Circle(139.77, 35.68, radius_km=50))
            trips.search([("a beach", 1.0), ("people", -0.5)], where={"year": [2017, 2018]})

        Args:
            query: see `QueryLike`; a path must be a `Path`, for a str is a text. Several in a list, each
                with its weight where that is not 1. None: the photos that pass the conditions.
            limit: how many photos, 500 at most.
            offset: how many of the best to leave out.
            conditions: see `Conditions`.
        """
        request = {"queries": queries_of(query), "limit": limit, "offset": offset, **search_of(conditions)}
        return self._transport.ask(SearchAnswer, "POST", f"{self._path}/search", body=request)

    def search_all(
        self,
        query: QueryLike | Sequence[QueryLike | tuple[QueryLike, float]] | None = None,
        *,
        page: int = 100,
        **conditions: Unpack[Conditions],
    ) -> Iterator[Neighbor]:
        """All photos that answer, best first, fetched page by page as they are wanted; 10,000 at most.

        A photo among the queries is sent and embedded once, not for each page.

        Args:
            query: as in `search`.
            page: photos in one request.
            conditions: see `Conditions`.
        """
        queries, told = self._embedded(queries_of(query)), search_of(conditions)
        offset: int | None = 0
        while offset is not None and offset < MAX_DEPTH:
            request = {"queries": queries, "limit": min(page, MAX_DEPTH - offset), "offset": offset, **told}
            answer = self._transport.ask(SearchAnswer, "POST", f"{self._path}/search", body=request)
            yield from answer.neighbors
            offset = answer.next_offset

    # --- places -------------------------------------------------------------------------------

    def places_like(
        self,
        like: PlaceLike | Sequence[PlaceLike],
        *,
        unlike: PlaceLike | Sequence[PlaceLike] = (),
        unlike_weight: float = 0.5,
        within: AreaLike | None = None,
        limit: int = 12,
        apart_m: float | None = None,
        may_overlap: bool = False,
    ) -> PlacesLikeAnswer:
        """Places of a gallery of places whose map is like that of one or several places.

            cities.places_like((9.5215, 47.1410))
            cities.places_like([(9.52, 47.14), (9.51, 47.17)], unlike=(9.53, 47.22), limit=20)

        Args:
            like: (lon, lat) degrees, or something with ``lon`` and ``lat``; several in a list.
            unlike: the same, of places that answers should not be like.
            unlike_weight: how much these count.
            within: area that answers must lie in.
            limit: how many, 100 at most.
            apart_m: how far answers lie from what was asked, meters; by default a map's width.
            may_overlap: whether they may lie nearer than that to each other.

        Raises:
            InvalidCoordinate: a place that is not on Earth.
        """
        asked: dict[str, Any] = {
            "like": places_json(like), "unlike": places_json(unlike), "unlike_weight": unlike_weight,
            "limit": limit, "apart_m": apart_m, "may_overlap": may_overlap,
        }  # fmt: skip
        if within is not None:
            asked["within"] = area_json(within)
        return self._transport.ask(PlacesLikeAnswer, "POST", f"{self._path}/places/like", body=asked)

    def place_map(
        self,
        lon: float,
        lat: float,
        *,
        ground_m: float | None = None,
        style: Literal["plain", "dark", "contrast"] = "plain",
        side_px: int = 256,
    ) -> bytes:
        """The map around a place as a PNG. Whom to name beside it: ``about().places.attribution``.

        Args:
            lon: degrees.
            lat: degrees.
            ground_m: width on the ground; by default what the gallery's encoder looks at.
            style: of the map.
            side_px: of the picture, at most 1024.
        """
        params = {"lon": lon, "lat": lat, "ground_m": ground_m, "style": style, "side_px": side_px}
        return self._transport.send("GET", f"{self._path}/places/map", params=params).content

    # --- the map ------------------------------------------------------------------------------

    def cells(
        self,
        box: Box | None = None,
        resolution: int | None = None,
        *,
        captured_from: datetime | date | str | None = None,
        captured_until: datetime | date | str | None = None,
        where: Mapping[str, Value | list[Value]] | None = None,
    ) -> H3Out:
        """Photos counted by cells of the H3 grid.

        Args:
            box: the view; the whole Earth by default.
            resolution: of the cells, 0 to 7; by default as the view is wide.
            captured_from: first moment that is in.
            captured_until: first moment that is out.
            where: fields of the photos' payload.
        """
        params = {
            "bbox": None if box is None else f"{box.west},{box.south},{box.east},{box.north}",
            "resolution": resolution,
            "captured_from": None if captured_from is None else moment(captured_from),
            "captured_until": None if captured_until is None else moment(captured_until),
            "where": [condition_text(name, value) for name, value in (where or {}).items()] or None,
        }
        return self._transport.ask(H3Out, "GET", f"{self._path}/h3", params=params)

    def tile(self, z: int, x: int, y: int) -> bytes:
        """A Mapbox vector tile with the layers ``cells`` and, where they are few, ``photos``."""
        return self._transport.send("GET", f"{self._path}/tiles/{z:d}/{x:d}/{y:d}.mvt").content

    def facet(self, key: str, limit: int = 50) -> FacetOut:
        """How many photos have which value of a field, the most frequent first."""
        params = {"limit": limit}
        return self._transport.ask(
            FacetOut, "GET", f"{self._path}/facets/{quote(key, safe='')}", params=params
        )

    # --- photos -------------------------------------------------------------------------------

    def photos(self, *, page: int = 1000) -> Iterator[PhotoOut]:
        """All photos in the order of their ids, fetched page by page as they are wanted."""
        after: str | None = None
        while True:
            params = {"limit": page, "after": after}
            told = self._transport.ask(PhotosOut, "GET", f"{self._path}/photos", params=params)
            yield from told.photos
            if (after := told.next_after) is None:
                return

    def get(self, id: str) -> PhotoOut:
        """What is known of a photo, as far as it may be told."""
        return self._transport.ask(PhotoOut, "GET", self._photo(id))

    def thumbnail(self, id: str, *, side_px: int = 256) -> bytes:
        """A small JPEG of a photo, where its file is at the service's hand."""
        return self._transport.send(
            "GET", f"{self._photo(id)}/thumbnail", params={"side_px": side_px}
        ).content

    def add(self, photo: PhotoLike, **facts: Unpack[PhotoFacts]) -> UpsertOut:
        """Add a photo, or bring what is said of it up to date.

            trips.add("beach.jpg", lon=-43.18, lat=-22.97, group="Rio")

        The gallery keeps its embedding and what is said of it; the picture itself is kept nowhere.
        """
        told: dict[str, Any] = facts_json(facts)
        if "payload" in told:
            told["payload"] = json.dumps(told["payload"])
        return self._transport.ask(
            UpsertOut, "POST", f"{self._path}/photos", params=told, **photo_body(content_of(photo))
        )

    def add_all(
        self,
        photos: Iterable[PhotoLike | tuple[PhotoLike, PhotoFacts]],
        *,
        progress: Callable[[int], None] = lambda n_done: None,
    ) -> UpsertOut:
        """Add any number of photos, 16 in a request; files are read as they are wanted.

        Args:
            photos: each alone, or with what is said of it.
            progress: told how many are done.

        Returns:
            The ids of all in their order. A photo that could not be read has None, and is among the
            failures under its path, or as ``photo 3``, counted from 0.
        """
        total = UpsertOut(ids=[], n_embedded=0, n_known=0)
        pairs = (one if isinstance(one, tuple) else (one, PhotoFacts()) for one in photos)
        named = (
            ((name_of(photo, number), facts), content_of(photo))
            for number, (photo, facts) in enumerate(pairs)
        )
        for batch in batches(named, self._max_bytes()):
            names = [name for (name, _), _ in batch]
            added = self._add_batch([facts for (_, facts), _ in batch], [content for _, content in batch])
            total.ids += added.ids
            total.n_embedded += added.n_embedded
            total.n_known += added.n_known
            for failure in added.failures:
                number = int(failure.name) if failure.name.isdigit() else -1
                name = names[number] if 0 <= number < len(names) else failure.name
                total.failures.append(PhotoFailure(name=name, reason=failure.reason))
            progress(len(total.ids))
        return total

    def delete(self, id: str, *, erase: bool = False) -> DeletedOut:
        """Take a photo out. With `erase`, its embedding, place and payload are wiped from all files."""
        return self._transport.ask(DeletedOut, "DELETE", self._photo(id), params={"erase": json.dumps(erase)})

    def _add_batch(self, facts: list[PhotoFacts], contents: list[bytes]) -> UpsertOut:
        files = [as_part(content, str(number)) for number, content in enumerate(contents)]
        sent = {"data": {"facts": json.dumps([facts_json(one) for one in facts])}, "files": files}
        try:
            return self._transport.ask(UpsertOut, "POST", f"{self._path}/photos", **sent)
        except ServiceProblem as problem:
            if len(contents) > 1 or not is_unreadable(problem):
                raise
            return UpsertOut(
                ids=[None], n_embedded=0, n_known=0, failures=[PhotoFailure(name="0", reason=str(problem))]
            )

    def _embedded(self, queries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Queries with the embeddings of photos in place of the photos."""
        if not any("image" in query for query in queries):
            return queries
        model = self.about().model.id
        embedded = []
        for query in queries:
            if "image" in query:
                body = {"input": {"image": query.pop("image")}, "model": model}
                told = self._transport.ask(OpenAIAnswer, "POST", "/v1/embeddings", body=body)
                query = {**query, "vector": told.data[0].embedding}
            embedded.append(query)
        return embedded

    def _photo(self, id: str) -> str:
        return f"{self._path}/photos/{quote(id, safe='')}"


def is_unreadable(problem: ServiceProblem) -> bool:
    """Whether a problem is that of a photo which nobody can read."""
    return problem.type.rpartition(":")[2] in ("UnreadableImage", "UnsupportedFormat", "TooManyPixels")
