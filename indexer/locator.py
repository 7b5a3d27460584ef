"""Geolocation with a gallery: its prior and its fitted model, kept beside it.

The fit is made once for a gallery, and again when a tenth of its placed photos came or went, or when
photos were told another place or group: then it was fitted on what was not true.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import ArrayLike

from ..encoders.errors import NotFitted, NothingToLocateWith
from .evidence import Evidence
from .filters import Filter
from .fitted import Fitted, fit_geolocation
from .fitted_locator import FittedLocator
from .gallery import Gallery
from .gallery_files import CALIBRATION, EVIDENCE
from .geolocate import Location
from .held_out import K, held_out_from
from .neighbors import Neighborhood
from .prior import Prior
from .reference import PriorName
from .sketch import Sketch
from .surface_model import SurfaceModel, default_surface_model

if TYPE_CHECKING:  # it loads torch
    from ..encoders.location import LocationEmbedder

FORMAT = 5
MAX_CHANGED = 0.1  # share of photos that may come or go before it is fitted again
MIN_PHOTOS = 30  # below, a fit would follow single photos, and the default model is used


class Locator:
    """Says where photos were taken, by one gallery.

    Args:
        gallery: with photos of known place.
        is_refitted: fit anew, whatever is stored.
        may_fit: fit what is not stored, which takes minutes for thousands of photos.
        places: loads the location encoder through which photos speak of places; ours by default.
        progress: called with the photos done and their number while fitting.
        stage: told what comes after the photos, while fitting.

    Attributes:
        alone: what was fitted, without the gallery.

    Raises:
        NothingToLocateWith: no photo of the gallery has a place.
        NotFitted: nothing that holds is stored, and nothing may be fitted.
    """

    def __init__(
        self,
        gallery: Gallery,
        *,
        is_refitted: bool = False,
        may_fit: bool = True,
        places: "Callable[[], LocationEmbedder] | None" = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
        stage: Callable[[str], None] = lambda what: None,
    ) -> None:
        self.gallery = gallery
        n_placed = gallery.count(Filter(is_placed=True))
        if n_placed == 0:
            raise NothingToLocateWith(
                f"no photo in gallery {gallery.name!r} has a place, so none can be located by it. Index "
                "photos with GPS in their EXIF, or a table with columns image, lon, lat"
            )
        stored = None if is_refitted else self._stored(n_placed)
        if stored is None and not may_fit and n_placed >= MIN_PHOTOS:
            raise NotFitted(f"the geolocation of gallery {gallery.name!r} is not fitted to its photos yet")
        self.alone = FittedLocator(
            stored or self._fitted(n_placed, places or _location_encoder, progress, stage)
        )

    @property
    def fitted(self) -> Fitted:
        """What the answers rest on."""
        return self.alone.fitted

    @fitted.setter
    def fitted(self, fitted: Fitted) -> None:
        self.alone = FittedLocator(fitted)

    @property
    def prior(self) -> Prior:
        """Density of the gallery's photos."""
        return self.fitted.prior

    @property
    def model(self) -> SurfaceModel:
        """What neighbors and evidence are worth."""
        return self.fitted.model

    def locate(
        self,
        embedding: ArrayLike,
        *,
        k: int = K,
        filter: Filter | None = None,
        prior: PriorName = "gallery",
        **names: Any,
    ) -> tuple[Location, Neighborhood]:
        """Locate one photo; of several photos of one place pass the mean of their embeddings.

        Args:
            embedding: (D,), by the gallery's encoder.
            k: how many neighbors to weigh.
            filter: which photos of the gallery may speak.
            prior: what counts before the photo is looked at: where the gallery's photos lie, every
                square kilometer alike, or every inhabitant alike.
            names: polygons to name countries and states by, see `geolocate.locate`.

        Returns:
            The answer, and the neighbors it rests on.
        """
        near = self.gallery.locate_neighbors(embedding, k, filter=filter)
        return self.alone.locate(near.similarity, near.lonlat, embedding, prior=prior, **names), near

    def _stored(self, n_placed: int) -> Fitted | None:
        """What was fitted before, if it still holds."""
        path = self.gallery.folder / CALIBRATION
        try:
            stored = json.loads(path.read_text())
            if stored["format"] != FORMAT:
                return None
            known = Sketch(int(stored["n_placed"]), stored["sketch"])
            prior, model = Prior.from_dict(stored["prior"]), SurfaceModel.from_dict(stored["model"])
        except (OSError, ValueError, TypeError, KeyError):  # none, or a damaged one
            return None
        evidence = None
        if model.evidence_weights:
            evidence = Evidence.load(self.gallery.folder / EVIDENCE, prior, made_for=stored["evidence"])
            if evidence is None:
                return None
        fitted = Fitted(prior, model, evidence)
        if stored["ledger"] == self.gallery.ledger.version:  # nothing has happened since
            return fitted
        now = Sketch.of(self.gallery.find(Filter(is_placed=True)))
        is_late = n_placed >= MIN_PHOTOS > known.n_photos
        if is_late or known.n_told_anew(now) or known.share_changed(now) > MAX_CHANGED:
            return None
        self.gallery.keep(CALIBRATION, json.dumps(stored | {"ledger": self.gallery.ledger.version}))
        return fitted

    def _fitted(
        self,
        n_placed: int,
        places: "Callable[[], LocationEmbedder]",
        progress: Callable[[int, int], None],
        stage: Callable[[str], None],
    ) -> Fitted:
        version = self.gallery.ledger.version
        photos, lonlat = self.gallery.placed()
        groups = [photo.group or photo.id for photo in photos]
        fitted = Fitted(Prior.from_lonlat(lonlat, groups=np.array(groups)), default_surface_model())
        if n_placed >= MIN_PHOTOS:
            sample = held_out_from(self.gallery, progress=progress)
            fitted = fit_geolocation(sample, lonlat, groups, places, prior=fitted.prior, stage=stage)
        made_for = uuid4().hex
        if fitted.evidence is not None:
            self.gallery.keep(EVIDENCE, fitted.evidence.to_bytes(made_for=made_for))
        sketch = Sketch.of(photos)
        stored = {
            "format": FORMAT, "ledger": version, "n_placed": sketch.n_photos, "sketch": sketch.facts,
            "prior": fitted.prior.to_dict(), "model": fitted.model.to_dict(), "evidence": made_for,
        }  # fmt: skip
        self.gallery.keep(CALIBRATION, json.dumps(stored))
        return fitted


def _location_encoder() -> "LocationEmbedder":
    from ..encoders.location_catalog import load_location_encoder  # it loads torch

    return load_location_encoder()
