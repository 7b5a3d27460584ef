"""One gallery as it is served: its store, its model, what locates by it, and what may be told of it."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...encoders.areas import Box, Circle
from ...encoders.errors import NotFitted, NothingToLocateWith, UnreadableImage
from ...encoders.places import describe
from ...indexer.background import Background
from ...indexer.explanation import cell_shares, decisive_cells
from ...indexer.filters import Filter
from ...indexer.fitted import Fitted
from ...indexer.gallery import Gallery
from ...indexer.geolocate import Location
from ...indexer.held_out import K
from ...indexer.locator import Locator
from ...indexer.originals import read_original
from ...indexer.photos import Photo
from ...indexer.prior import Prior
from ...indexer.ranking import (
    FARTHEST_KM,
    Ranked,
    Wish,
    by_similarity,
    fused,
    nearest_and_near,
    nearest_to_place,
)
from ...indexer.record import Record, photo_id
from ...indexer.reference import PriorName
from . import maps, metrics, precision
from .models import ServedModel
from .precision import Precision
from .problems import Busy, InvalidQuestion, TooPrecise, UnknownPhoto
from .sensitive import SensitiveAreas
from .surface_cells import surface_cells

FUSED_DEPTH = 1000
"""So many of each ranking are fused."""

PAGE = 200  # photos looked at in one go where places are compared coarsely
_FRESH_S = 5.0

Embedding = NDArray[np.float32]
Progress = Callable[[int, int], None]
Stage = Callable[[str], None]
Keep = Callable[[Photo], bool]


class ServedGallery:
    """A gallery with its model, under the operator's cap.

    Calls come from several threads; those that change it come one after the other.

    Args:
        gallery: opened.
        model: that built it.
        cap: how precisely places are told.
        sensitive: areas of which nothing is told.
    """

    def __init__(
        self, gallery: Gallery, model: ServedModel, cap: Precision, sensitive: SensitiveAreas
    ) -> None:
        self.gallery, self.model, self.cap, self._sensitive = gallery, model, cap, sensitive
        self.writing = threading.RLock()
        self.following: ServedGallery | None = None  # the same photos by another model, while switching
        self.n_users = 0
        self.n_added = 0  # since the last refresh
        self._background: Background | None = None
        self._locator: Locator | None = None
        self.needs_fitting = False
        self._prior_shares: tuple[Prior, NDArray[np.float64]] | None = None
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
        try:
            self._locator = self._opened_locator(may_fit, progress, stage)
            self.needs_fitting = False
        except NothingToLocateWith:
            self._locator, self.needs_fitting = None, False
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
        if self._locator is not None:
            self._locator.gallery = gallery

    # --- what there is ------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Numbers of photos and where they lie, counted anew every few seconds."""
        if self._counted is None or time.monotonic() - self._counted[0] > _FRESH_S:
            n_photos = len(self.gallery)
            n_placed = self.gallery.count(self._told_places(Filter(is_placed=True)))
            cells = maps.count_cells(
                self._cell_counts, None, 2, filter=self._told_places(Filter()), precision=self.cap
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
        return self._locator is not None

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

    def search(
        self,
        asked: Sequence[tuple[float, "Embedding | tuple[float, float]"]],
        *,
        filter: Filter,
        wish: Wish | None,
        by_rankings: bool,
        k: int,
        offset: int,
    ) -> tuple[list[Ranked], Embedding | None]:
        """Photos that answer one or several questions, best first.

        Args:
            asked: questions with their weights: embeddings (D,), or places (lon, lat).
            filter: which photos may answer.
            wish: for photos near a place.
            by_rankings: fuse rankings, not embeddings.
            k: how many.
            offset: how many of the best to leave out.

        Returns:
            The photos, and the embedding that similarities are to, where there is one.
        """
        kind = "area" if filter.within or wish else "payload" if filter.where else "none"
        with metrics.SEARCH_SECONDS.labels(kind).time():
            filter = self._visible(filter)
            keep: Keep = lambda photo: True  # noqa: E731
            if self.cap == "25km" and filter.within is not None:
                # No exact edge of an area reaches the store: moved about, it would find each photo.
                area, filter = filter.within, replace(filter, within=precision.widened(filter.within))
                keep = lambda photo: precision.is_coarsely_within(photo, area)  # noqa: E731
            if not asked:
                passing = (photo for photo in self.gallery.find(filter) if keep(photo))
                return [Ranked(photo, 0.0) for photo in itertools.islice(passing, offset, offset + k)], None
            vectors = [(weight, one) for weight, one in asked if not isinstance(one, tuple)]
            if len(asked) == 1 and not vectors:
                ((lon, lat),) = (one for _, one in asked)
                return self._nearest_to(float(lon), float(lat), k, filter, offset, keep), None
            if by_rankings or len(vectors) < len(asked):
                rankings = [(weight, self._ranking(one, filter, wish, keep)) for weight, one in asked]
                return fused(rankings, k, offset=offset), _combined(vectors) if vectors else None
            together = _combined(vectors)
            return self._alike(together, k, filter, wish, offset, keep), together

    def z_scores(self, embedding: Embedding | None, found: Sequence[Ranked]) -> list[float | None]:
        """How far each photo stands above random ones, see `Background`."""
        nothing: list[float | None] = [None] * len(found)
        if embedding is None or self._background is None or any(one.similarity is None for one in found):
            return nothing
        similarity = [one.similarity or 0.0 for one in found]
        z_scores = self._background.z_scores(embedding, similarity)
        return nothing if z_scores is None else [float(z) for z in z_scores]

    def _ranking(
        self, one: "Embedding | tuple[float, float]", filter: Filter, wish: Wish | None, keep: "Keep"
    ) -> list[Ranked]:
        if isinstance(one, tuple):
            return self._nearest_to(one[0], one[1], FUSED_DEPTH, filter, 0, keep)
        return self._alike(one, FUSED_DEPTH, filter, wish, 0, keep)

    def _alike(
        self, embedding: Embedding, k: int, filter: Filter, wish: Wish | None, offset: int, keep: "Keep"
    ) -> list[Ranked]:
        if wish is not None:
            filter = self._sensitive.hidden(filter)
            if self.cap != "exact":
                return self._coarsely_near(embedding, wish, k, filter, offset, keep)
            return nearest_and_near(self.gallery, embedding, wish, k, filter=filter, offset=offset)
        if self.cap == "25km" and filter.within is not None:
            return self._coarsely_within(embedding, k, filter, offset, keep)
        return by_similarity(self.gallery.nearest(embedding, k, filter=filter, offset=offset))

    def _nearest_to(
        self, lon: float, lat: float, k: int, filter: Filter, offset: int, keep: "Keep"
    ) -> list[Ranked]:
        filter = self._sensitive.hidden(replace(filter, is_placed=True))
        if self.cap == "exact":
            return nearest_to_place(self.gallery, lon, lat, k, filter=filter, offset=offset)
        # By the centers of cells, and among all photos that may be among the first by these: what is
        # told depends on centers alone.
        wanted = offset + k
        deep = nearest_to_place(self.gallery, lon, lat, wanted, filter=filter)
        if len(deep) == wanted:
            radius_km = (deep[-1].distance_km or 0.0) + 2.0 * precision.MARGIN_KM
            filter = replace(filter, near=Circle(lon, lat, min(radius_km, FARTHEST_KM)))
        coarse = sorted(
            (precision.coarse_distance_km(photo, lon, lat), photo.id, photo)
            for photo in self.gallery.find(filter)
            if keep(photo)
        )
        return [Ranked(photo, -km, None, km) for km, _, photo in coarse[offset:wanted]]

    def _coarsely_near(
        self, embedding: Embedding, wish: Wish, k: int, filter: Filter, offset: int, keep: "Keep"
    ) -> list[Ranked]:
        """As `nearest_and_near`, by the centers of cells, among the most similar photos."""
        ranked = []
        for one in self.gallery.nearest(embedding, FUSED_DEPTH, filter=filter):
            if keep(one.photo):
                km = precision.coarse_distance_km(one.photo, wish.lon, wish.lat)
                ranked.append(Ranked(one.photo, one.similarity + wish.bonus(km), one.similarity, km))
        return sorted(ranked, key=lambda one: (-one.score, one.photo.id))[offset : offset + k]

    def _coarsely_within(
        self, embedding: Embedding, k: int, filter: Filter, offset: int, keep: "Keep"
    ) -> list[Ranked]:
        depth = PAGE
        while True:
            page = self.gallery.nearest(embedding, depth, filter=filter)
            found = [one for one in page if keep(one.photo)]
            if len(found) >= offset + k or len(page) < depth:
                return by_similarity(found[offset : offset + k])
            depth *= 4

    def _visible(self, filter: Filter) -> Filter:
        """A filter that tells nothing of photos in sensitive areas.

        Raises:
            TooPrecise: it asks which photos have a place, and the answer would tell which lie there.
        """
        if filter.is_placed is not None and self._sensitive.area is not None:
            raise TooPrecise(
                "is_placed: there are areas here of which no place is told, and this would tell which photos "
                "lie in one"
            )
        is_by_place = filter.within is not None or filter.exclude_within is not None
        return self._told_places(filter) if is_by_place or filter.where.keys() - {"year", "month"} else filter

    def _told_places(self, filter: Filter) -> Filter:
        return self._sensitive.hidden(filter)

    def count(self, filter: Filter) -> int:
        """How many photos pass a filter, those in sensitive areas left out where it speaks of places."""
        return self.gallery.count(self._visible(filter))

    def n_matches(self, filter: Filter) -> int | None:
        """The same as it may be told: moved about, a count by exact places would find each photo."""
        is_by_place = filter.within is not None or filter.exclude_within is not None
        return None if is_by_place and self.cap != "exact" else self.count(filter)

    def facet(self, key: str, limit: int) -> dict[Any, int]:
        """Numbers of photos by the value of a payload field."""
        filter = Filter() if key in ("year", "month") else self._told_places(Filter())
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
        told = self._told_places(filter)
        return fine, maps.count_cells(self._cell_counts, box, fine, filter=told, precision=self.cap)

    def photos_in(self, box: Box, filter: Filter) -> list[Photo] | None:
        """The photos of a view; None where they are many, or their places are not told."""
        if self.cap != "exact":
            return None
        inside = self._told_places(replace(filter, within=box))
        if self.gallery.count(inside) > maps.MAX_POINTS:
            return None
        return list(self.gallery.find(inside))

    def tile(self, z: int, x: int, y: int) -> bytes:
        """A vector tile."""
        told = self._told_places(Filter())
        return maps.tile(self.gallery, z, x, y, counts=self._cell_counts, filter=told, precision=self.cap)

    def _cell_counts(self, stored: int, filter: Filter) -> Mapping[str, int]:
        """Photos by cell. Those of the whole gallery are kept for some seconds: every view asks for them."""
        if filter != self._told_places(Filter()):
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
        """
        with metrics.LOCATE_SECONDS.time():
            locator = self._locator or self._opened_locator(
                False, lambda done, total: None, lambda what: None
            )
            others = self._sensitive.hidden(Filter(exclude_ids=exclude_ids))
            near = self.gallery.locate_neighbors(embedding, K, filter=others)
            coarse = replace(near, lonlat=precision.coarse_lonlat(near.lonlat, self.cap))
            location = locator.locate_among(coarse, embedding, prior=prior)
            cap: Precision = "country" if self._sensitive.is_led_to(location) else self.cap
            told = precision.coarse_location(
                location.to_dict() if cap in ("25km", "exact") else _bare(location), cap
            )
            told["precision"] = cap
            if cap != self.cap:
                told["notes"] = ["this leads into an area of which places are told by country alone here"]
            if cap in ("25km", "exact"):
                place = describe([told["lon"], told["lat"]])[0]
                told["near"] = None if place.is_remote else place.full_name
                told["cells"] = self._decisive_cells(location, locator)
                if with_surface:
                    told["surface_resolution"], told["surface"] = surface_cells(location, cap)
            evidence = [
                Ranked(photo, similarity, similarity)
                for photo, similarity in zip(near.photos, near.similarity.tolist(), strict=True)
            ][:n_evidence]
            told["evidence"] = [] if cap != self.cap else self.shown(evidence, embedding)
        return told

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

    def _decisive_cells(self, location: Location, locator: Locator) -> list[dict[str, Any]]:
        if self._prior_shares is None or self._prior_shares[0] is not locator.prior:
            self._prior_shares = locator.prior, cell_shares(locator.prior.mixture)
        found = decisive_cells(location, locator.prior, before=self._prior_shares[1])
        return [cell._asdict() for cell in found]

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
        told = []
        for one, z_score in zip(found, self.z_scores(embedding, found), strict=True):
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
        return shown

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
        """Take photos out, everywhere."""
        with self.writing:
            n_deleted = self.gallery.delete(ids, is_erased=is_erased)
            if self.following is not None:
                self.following.gallery.delete(ids, is_erased=is_erased)
            if is_erased:  # what was fitted knew them too
                self._locator = None
                self.refresh(may_fit=False)
            self._forget_counts()
        return n_deleted

    def _forget_counts(self) -> None:
        self._counted = None
        self._cells = {}

    def knows(self, sha256: str) -> bool:
        """Whether a photo of these bytes has an embedding."""
        return self.gallery.state.is_known(sha256)

    def is_deleted(self, sha256: str) -> bool:
        """Whether a photo of these bytes was taken out and is not wanted back."""
        return photo_id(sha256) in self.gallery.state.deleted


def _bare(location: Location) -> dict[str, Any]:
    """An answer without regions, which take time to draw and may not be told."""
    return {
        "countries": [share._asdict() for share in location.countries],
        "states": [share._asdict() for share in location.states],
        "p_within_km": {f"{radius:g}": p for radius, p in location.p_within_km.items()},
        "information_bits": location.information_bits,
        "prior_share": location.prior_share,
        "abstain": location.abstain,
        "abstain_reason": location.abstain_reason,
        "is_calibrated": location.is_calibrated,
    }


def _combined(vectors: Sequence[tuple[float, Any]]) -> Embedding:
    """The direction of a weighted sum of embeddings."""
    total = np.sum([weight * np.asarray(vector, np.float64) for weight, vector in vectors], axis=0)
    length = float(np.linalg.norm(total))
    if length < 1e-9:
        raise InvalidQuestion("these queries cancel each other out; change their weights")
    return np.asarray(total / length, np.float32)
