"""Geolocation by what was fitted to a gallery, without the gallery: it can be sent to another process."""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .evidence import Heard
from .fitted import Fitted
from .geolocate import Location, locate
from .prior import Prior
from .reference import PriorName, tilts
from .support import Support
from .surface import Floats


class FittedLocator:
    """Says where a photo was taken, from its embedding and neighbors that are at hand.

    Args:
        fitted: what the answers rest on.
    """

    def __init__(self, fitted: Fitted) -> None:
        self.fitted = fitted
        self._tilts: dict[PriorName, NDArray[np.float64]] = {}

    @property
    def prior(self) -> Prior:
        """Density of the gallery's photos."""
        return self.fitted.prior

    def locate(
        self,
        similarity: Floats,
        lonlat: Floats,
        embedding: ArrayLike,
        *,
        prior: PriorName = "gallery",
        **names: Any,
    ) -> Location:
        """Locate one photo; of several photos of one place pass the mean of their embeddings.

        Args:
            similarity: to its neighbors, (K,).
            lonlat: their places, (K, 2).
            embedding: (D,), by the gallery's encoder.
            prior: what counts before the photo is looked at.
            names: polygons to name countries and states by, see `geolocate.locate`.
        """
        heard = self.fitted.heard(np.asarray(embedding, dtype=np.float32))
        if prior != "gallery":
            heard = heard or self._silent
            heard = replace(heard, tilt=self._tilt(prior))
        return locate(similarity, lonlat, self.prior, self.fitted.model, heard=heard, **names)

    @cached_property
    def _silent(self) -> Heard:
        """A support without evidence, of a gallery too small for any."""
        support = Support.of_prior(self.prior)
        return Heard(support, np.zeros((0, len(support)), np.float32), support.log_weights())

    def _tilt(self, prior: PriorName) -> NDArray[np.float64]:
        if prior not in self._tilts:
            evidence = self.fitted.evidence
            support = evidence.support if evidence is not None else self._silent.support
            self._tilts[prior] = tilts(support, prior)
        return self._tilts[prior]
