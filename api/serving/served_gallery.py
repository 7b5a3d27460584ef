"""One gallery as it is served: its store, its model, what locates by it, and what may be told of it."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...encoders.areas import Box
from ...encoders.errors import NotFitted, NothingToLocateWith, UnreadableImage
from ...indexer.background import Background
from ...indexer.filters import Filter
from ...indexer.fitted import Fitted
from ...indexer.gallery import Gallery
from ...indexer.held_out import K
from ...indexer.locator import Locator
from ...indexer.originals import read_original
from ...indexer.photos import Photo, group_or_itself
from ...indexer.place_card import MAP, NotOfPlaces, vectors_of_places
from ...indexer.prior import Prior
from ...indexer.ranking import Ranked
from ...indexer.recognize import StandingFor, itself
from ...indexer.record import Record, photo_id
from ...indexer.reference import PriorName
from . import maps, metrics, precision
from .gallery_search import GallerySearch
from .locate_process import Tell, tell_here
from .models import AnyModel, ServedModel
from .place_search import PlaceSearch
from .precision import Precision
from .refusals import Busy, NotForPhotos, TooPrecise, UnknownPhoto
from .sensitive import SensitiveAreas
from .served_map import ServedMap
from .told_location import LocationQuestion, LocationTeller

_FRESH_S = 5.0

Embedding = NDArray[np.float32]
Progress = Callable[[int, int], None]
Stage = Callable[[str], None]


class ServedGallery:
    """A gallery with its model, under the operator's cap.

    Calls come from several threads; those that change it come one after the other.

    Args:
        gallery: opened.
        model: that built it.
        cap: how precisely places are told.
        sensitive: areas of which nothing is told.
        tell: has locations worked out; by default in the calling thread.
        map: what looked at the map around its photos; None where nothing did, or it is not at hand.
        beside: what made its other vectors of photos, by their names, as far as it is at hand.
    """

    def __init__(
        self,
        gallery: Gallery,
        model: AnyModel,
        cap: Precision,
        sensitive: SensitiveAreas,
        tell: Tell = tell_here,
        map: ServedMap | None = None,
        beside: Mapping[str, ServedModel] = MappingProxyType({}),
    ) -> None:
        self.gallery, self.model, self.cap, self._sensitive = gallery, model, cap, sensitive
        self._tell, self.beside = tell, beside
        self.map = model if isinstance(model, ServedMap) else map
        self.writing = threading.RLock()
        self.following: ServedGallery | None = None  # the same photos by another model, while switching
        self.n_users = 0
        self.n_added = 0  # since the last refresh
        self._background: Background | None = None
        self._map_background: Background | None = None
        self._teller: LocationTeller | None = None
        self.needs_fitting = False
        self._counted: tuple[float, dict[str, Any]] | None = None
        self._cells: dict[int, tuple[float, Mapping[str, int]]] = {}
        self.refresh(may_fit=False)

    @property
    def name(self) -> str:
        """The gallery's name."""
        return self.gallery.name

    def refresh(
        self,
        *,
        may_fit: bool = True,
        progress: Progress = lambda done, total: None,
        stage: Stage = lambda what: None,
    ) -> None:
        """Bring up to date what is known of the gallery as a whole.

        Args:
            may_fit: fit the geolocation where it does not hold any more, which may take minutes.
            progress: told the photos done and their number while fitting.
            stage: told what comes after the photos.
        """
        self.n_added = 0
        self._background = Background.of(self.gallery)
        if self.map is not None:
            self._map_background = Background.of(self.gallery, using=vectors_of_places(self.gallery))
        if isinstance(self.model, ServedMap):  # places of a map say nothing of where a photo was taken
            self._teller, self.needs_fitting = None, False
            self._forget_counts()
            metrics.PHOTOS.labels(self.name).set(len(self.gallery))
            return
        try:
            self._teller = self._told_by(self._opened_locator(may_fit, progress, stage))
            self.needs_fitting = False
        except NothingToLocateWith:
            self._teller, self.needs_fitting = None, False
        except NotFitted:  # an older one, if there is any, does meanwhile
            self.needs_fitting = True
        self._forget_counts()
        metrics.PHOTOS.labels(self.name).set(len(self.gallery))

    def close(self) -> None:
        """Let go of the gallery."""
        self.gallery.close()
        if self.following is not None:
            self.following.close()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the gallery open while a question is being answered; for the event loop's thread."""
        self.n_users += 1
        try:
            yield
        finally:
            self.n_users -= 1

    @property
    def switching_to(self) -> str | None:
        """The model that a running switch leads to."""
        return self.following.model.name if self.following is not None else None

    @property
    def is_behind(self) -> bool:
        """Whether so much has come in that what is known of the gallery as a whole is out of date."""
        return self.needs_fitting or self.n_added > max(20, 0.1 * len(self.gallery))

    def move_to(self, gallery: Gallery) -> None:
        """Go on with the same gallery opened elsewhere, while nobody asks."""
        self.gallery = gallery

    # --- what there is ------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Numbers of photos and where they lie, counted anew every few seconds."""
        if self._counted is None or time.monotonic() - self._counted[0] > _FRESH_S:
            n_photos = len(self.gallery)
            n_placed = self.gallery.count(self._sensitive.hidden(Filter(is_placed=True)))
            cells = maps.count_cells(
                self._cell_counts, None, 2, filter=self._sensitive.hidden(Filter()), precision=self.cap
            )
            bounds = maps.bounds_of(cells, min(2, maps.FINEST[self.cap]))
            self._counted = time.monotonic(), {
                "n_photos": n_photos, "n_placed": n_placed, "bbox": None if bounds is None else list(bounds)
            }  # fmt: skip
            metrics.PHOTOS.labels(self.name).set(n_photos)
        return self._counted[1]

    @property
    def can_locate(self) -> bool:
        """Whether any photo has a place, and the geolocation is fitted."""
        return self._teller is not None

    def photos(self, limit: int, after: str | None) -> list[Photo]:
        """A page of photos in the order of their ids."""
        return list(self.gallery.find(limit=limit, after=after))

    def photo(self, id: str) -> Photo:
        """A photo by its id.

        Raises:
            UnknownPhoto: there is none.
        """
        found = self.gallery.get([id])
        if not found:
            raise UnknownPhoto(f"gallery {self.name!r} has no photo {id}")
        return found[0]

    def original(self, id: str) -> bytes:
        """The bytes of a photo's file.

        Raises:
            UnknownPhoto: there is no such photo, or its file is not at hand.
        """
        self.photo(id)
        try:
            return read_original(id, list(self.gallery.state.keys.get(id, ())))
        except UnreadableImage:
            raise UnknownPhoto(
                "the file of this photo is not at hand, so there is no picture of it"
            ) from None

    def embedding_of(self, id: str) -> Embedding:
        """The embedding of a photo in the gallery.

        Raises:
            UnknownPhoto: there is none.
        """
        self.photo(id)
        return self.gallery.embeddings([id])[0]  # type: ignore[no-any-return]

    # --- searching ----------------------------------------------------------------------------

    @property
    def search(self) -> GallerySearch:
        """Finds and counts its photos."""
        is_of_places = isinstance(self.model, ServedMap)
        return GallerySearch(self.gallery, self.cap, self._sensitive, is_of_places)

    @property
    def vectors(self) -> list[str]:
        """Names of the vectors by other encoders that can be asked by here."""
        has_map = self.map is not None and self.map is not self.model
        return [*([MAP] if has_map else []), *sorted(self.beside)]

    @property
    def place_search(self) -> PlaceSearch:
        """Finds places like others, by what a map shows.

        Raises:
            TooPrecise: places are not told exactly, and likenesses would tell them.
        """
        if self.cap != "exact":
            raise TooPrecise(_told_by_likeness(self.name, self.cap))
        return PlaceSearch(self.gallery, self._sensitive)

    def check_told(self) -> None:
        """See that the content of a gallery of places may be told at all.

        An id is made of the place, and likenesses to maps of known places tell where one lies: both find
        it to some meters, under any rounding.

        Raises:
            TooPrecise: it holds places, and they are not told exactly.
        """
        if isinstance(self.model, ServedMap) and self.cap != "exact":
            raise TooPrecise(_told_by_likeness(self.name, self.cap))

    def require_places(self) -> ServedMap:
        """What embedded its places, or looked at the map around its photos.

        Raises:
            NotOfPlaces: a gallery of photos of which no map was looked at.
        """
        if self.map is None:
            raise NotOfPlaces(
                f"gallery {self.name!r} holds photos, and no map was looked at around them; "
                "GET /v1/galleries tells which galleries have `places`"
            )
        return self.map

    def require_photos(self) -> None:
        """See that it is a gallery of photos.

        Raises:
            NotForPhotos: it is one of places.
        """
        if isinstance(self.model, ServedMap):
            raise NotForPhotos(
                f"gallery {self.name!r} holds places of a map: no photos go into it, and it changes to no "
                "model of photos. The operator fills it with: placeprint places build"
            )

    def facet(self, key: str, limit: int) -> dict[Any, int]:
        """Numbers of photos by the value of a payload field."""
        filter = Filter() if key in ("year", "month") else self._sensitive.hidden(Filter())
        return self.gallery.facet(key, filter=filter, limit=limit)

    # --- the map ------------------------------------------------------------------------------

    def cells(self, box: Box | None, resolution: int | None, filter: Filter) -> tuple[int, list[maps.Cell]]:
        """Photos by cells of a view, and the resolution of these."""
        fine = (
            maps.resolution_for(box or Box(-180.0, -90.0, 180.0, 90.0), self.cap)
            if resolution is None
            else resolution
        )
        fine = min(fine, maps.FINEST[self.cap])
        told = self._sensitive.hidden(filter)
        return fine, maps.count_cells(self._cell_counts, box, fine, filter=told, precision=self.cap)

    def photos_in(self, box: Box, filter: Filter) -> list[Photo] | None:
        """The photos of a view; None where they are many, or their places are not told."""
        if self.cap != "exact":
            return None
        inside = self._sensitive.hidden(replace(filter, within=box))
        if self.gallery.count(inside) > maps.MAX_POINTS:
            return None
        return list(self.gallery.find(inside))

    def tile(self, z: int, x: int, y: int) -> bytes:
        """A vector tile."""
        told = self._sensitive.hidden(Filter())
        return maps.tile(self.gallery, z, x, y, counts=self._cell_counts, filter=told, precision=self.cap)

    def _cell_counts(self, stored: int, filter: Filter) -> Mapping[str, int]:
        """Photos by cell. Those of the whole gallery are kept for some seconds: every view asks for them."""
        if filter != self._sensitive.hidden(Filter()):
            return maps.counts_of(self.gallery)(stored, filter)
        kept = self._cells.get(stored)
        if kept is None or time.monotonic() - kept[0] > _FRESH_S:
            kept = self._cells[stored] = time.monotonic(), maps.counts_of(self.gallery)(stored, filter)
        return kept[1]

    # --- geolocation --------------------------------------------------------------------------

    def locate(
        self,
        embedding: Embedding,
        *,
        prior: PriorName,
        exclude_ids: frozenset[str],
        with_surface: bool,
        n_evidence: int,
    ) -> dict[str, Any]:
        """Where a photo was taken, as it may be told.

        Args:
            embedding: of the photo; of several of one place their sum.
            prior: what counts before the photo is looked at.
            exclude_ids: photos that must not speak, such as the one asked about.
            with_surface: also tell the density, by cells.
            n_evidence: so many of the photos that the answer rests on.

        Raises:
            NothingToLocateWith: no photo of the gallery has a place.
            NotFitted: the geolocation is not fitted to its photos yet.
        """
        with metrics.LOCATE_SECONDS.time():
            teller = self._teller or self._told_by(
                self._opened_locator(False, lambda done, total: None, lambda what: None)
            )
            others = self._sensitive.hidden(Filter(exclude_ids=exclude_ids))
            near = self.gallery.locate_neighbors(embedding, K, filter=others)
            lonlat = precision.coarse_lonlat(near.lonlat, self.cap)
            told = self._tell(
                teller, LocationQuestion(near.similarity, lonlat, embedding, prior, with_surface)
            )
            evidence = [
                Ranked(photo, similarity, similarity)
                for photo, similarity in zip(near.photos, near.similarity.tolist(), strict=True)
            ][:n_evidence]
            is_sensitive = told["precision"] != self.cap
            told["evidence"] = [] if is_sensitive else self.shown(evidence, embedding)
        return told

    def _told_by(self, locator: Locator) -> LocationTeller:
        return LocationTeller(locator.alone, self.cap, self._sensitive)

    def _opened_locator(self, may_fit: bool, progress: Progress, stage: Stage) -> Locator:
        locator = Locator(self.gallery, may_fit=may_fit, progress=progress, stage=stage)
        if self.cap == "25km":
            photos, lonlat = self.gallery.placed()
            groups = [photo.group or photo.id for photo in photos]
            prior = Prior.from_lonlat(precision.coarse_lonlat(lonlat, "25km"), groups=groups)
            # The evidence was fitted on exact places and would tell of them.
            model = replace(locator.model, evidence_weights=(), evidence_gate=0.0)
            locator.fitted = Fitted(prior, model)
        return locator

    # --- telling ------------------------------------------------------------------------------

    def shown(
        self, found: Sequence[Ranked], embedding: Embedding | None = None, *, asked_place: bool = False
    ) -> list[dict[str, Any]]:
        """Photos found, as they may be shown, with their standing.

        Args:
            found: the photos.
            embedding: that their similarities are to.
            asked_place: whether distances belong to the answer.
        """
        return self._shown(found, embedding, self._background, asked_place=asked_place)

    def shown_places(self, found: Sequence[Ranked], embedding: Embedding) -> list[dict[str, Any]]:
        """What `place_search` found, as it may be shown, with its standing."""
        return self._shown(found, embedding, self._map_background, asked_place=True)

    def _shown(
        self,
        found: Sequence[Ranked],
        embedding: Embedding | None,
        background: Background | None,
        *,
        asked_place: bool,
    ) -> list[dict[str, Any]]:
        told = []
        for one, z_score in zip(found, _z_scores(embedding, found, background), strict=True):
            shown = self.shown_photo(one.photo)
            shown |= {"score": one.score, "similarity": one.similarity, "z_score": z_score}
            if asked_place and shown["lon"] is not None:
                shown["distance_km"] = one.distance_km
            told.append(shown)
        return told

    def shown_photo(self, photo: Photo) -> dict[str, Any]:
        """A photo, as it may be shown."""
        is_sensitive = self._sensitive.holds(photo.lon, photo.lat)
        shown = precision.coarse_photo(photo, "country" if is_sensitive else self.cap)
        shown["thumbnail"] = f"/v1/galleries/{self.name}/photos/{photo.id}/thumbnail"
        if isinstance(self.model, ServedMap):
            shown["thumbnail"] = self.map_path(shown["lon"], shown["lat"])
        return shown

    @property
    def standing_for(self) -> StandingFor:
        """What must be different of two photos that both answer, see `precision.tells_groups`."""
        if not precision.tells_groups(self.cap):
            return itself
        hides = self._sensitive.holds
        return lambda photo: photo.id if hides(photo.lon, photo.lat) else group_or_itself(photo)

    def map_path(self, lon: float | None, lat: float | None) -> str | None:
        """Path of a picture of the map around a place; None where there is no map, or no place is told."""
        has_map = self.map is not None and self.map.embedder.maps is not None
        if not has_map or lon is None or lat is None:
            return None
        return f"/v1/galleries/{self.name}/places/map?lon={lon:.6f}&lat={lat:.6f}"

    # --- writing ------------------------------------------------------------------------------

    def add(self, records: Sequence[Record]) -> None:
        """Add photos, also to the gallery of the model that a switch leads to."""
        with self.writing:
            new = {record.sha256 for record in records if record.status == "embedded"}
            if any(
                one.status == "seen" and not (one.sha256 in new or self.knows(one.sha256)) for one in records
            ):
                raise Busy("a photo was erased just now that had been there before; send it again")
            self.gallery.add(records)
            self.n_added += len(records)
            self._forget_counts()

    def delete(self, ids: Sequence[str], *, is_erased: bool) -> int:
        """Take photos out, everywhere; nobody finds them any more. What is erased needs `finish_erasing`."""
        with self.writing:
            n_deleted = _delete(self.gallery, ids, is_erased=is_erased)
            if self.following is not None:
                _delete(self.following.gallery, ids, is_erased=is_erased)
            if is_erased:  # what was fitted knew them too
                self._teller = None
                self.refresh(may_fit=False)
            self._forget_counts()
        return n_deleted

    def finish_erasing(self) -> None:
        """Take what was erased out of the store's files too. It takes a while; all else goes on meanwhile."""
        self.gallery.finish_erasing()
        if (following := self.following) is not None:
            following.gallery.finish_erasing()

    def _forget_counts(self) -> None:
        self._counted = None
        self._cells = {}

    def knows(self, sha256: str) -> bool:
        """Whether a photo of these bytes has an embedding."""
        return self.gallery.state.is_known(sha256)

    def is_deleted(self, sha256: str) -> bool:
        """Whether a photo of these bytes was taken out and is not wanted back."""
        return photo_id(sha256) in self.gallery.state.deleted


def _z_scores(
    embedding: Embedding | None, found: Sequence[Ranked], background: Background | None
) -> list[float | None]:
    """How far each photo stands above random ones, see `Background`."""
    nothing: list[float | None] = [None] * len(found)
    if embedding is None or background is None or any(one.similarity is None for one in found):
        return nothing
    z_scores = background.z_scores(embedding, [one.similarity or 0.0 for one in found])
    return nothing if z_scores is None else [float(z) for z in z_scores]


def _told_by_likeness(name: str, cap: Precision) -> str:
    return (
        f"gallery {name!r} holds places of a map, whose ids and likenesses tell them to the meter, and "
        f"places are told to the {cap} here. The operator may serve it with PLACEPRINT_PRECISION=exact"
    )


def _delete(gallery: Gallery, ids: Sequence[str], *, is_erased: bool) -> int:
    return gallery.begin_erasing(ids) if is_erased else gallery.delete(ids)
