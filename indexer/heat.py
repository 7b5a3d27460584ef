"""How much a photo speaks for a place, as a number that a heat map can take apart.

The number is the density of the answer at one point, log2 per km²: differences of it are bits. For each
embedding the gallery is asked anew, so that what is measured is all of the answer: neighbors, prior and
what the photo itself says. Left out is what needs samples of the density (names, radii, regions), so that
one costs milliseconds, where `Locator.locate` takes a good part of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .evidence import Heard
from .filters import Filter
from .held_out import K
from .locator import Locator
from .reference import PriorName, tilts
from .support import Support
from .surface import Floats


def density_score(
    locator: Locator,
    point: ArrayLike,
    *,
    filter: Filter | None = None,
    prior: PriorName = "gallery",
    k: int = K,
    others: NDArray[np.floating] | None = None,
) -> Callable[[NDArray[np.float32]], Floats]:
    """The score of embeddings: log2 density per km² at a point.

    Args:
        locator: of the gallery.
        point: (lon, lat) degrees, such as the best point of the whole photo's answer.
        filter: which photos of the gallery may speak, as for the answer.
        prior: what counts before the photo is looked at, as for the answer.
        k: how many neighbors to weigh, as for the answer.
        others: sum of the embeddings of the other photos of the same place, (D,); they stay whole.

    Returns:
        A function from embeddings (n, D) to scores (n,), bits.
    """
    at = np.asarray(point, dtype=np.float64).reshape(1, 2)
    fitted = locator.fitted
    silent, tilt = None, None
    if prior != "gallery":
        support = fitted.evidence.support if fitted.evidence is not None else Support.of_prior(fitted.prior)
        silent = Heard(support, np.zeros((0, len(support)), np.float32), support.log_weights())
        tilt = tilts(support, prior)

    def score(embedding: NDArray[np.float32]) -> float:
        asked = embedding if others is None else embedding + others
        near = locator.gallery.locate_neighbors(asked, k, filter=filter)
        heard = fitted.heard(np.asarray(asked, dtype=np.float32)) or silent
        if heard is not None and tilt is not None:
            heard = replace(heard, tilt=tilt)
        surface = fitted.surface(near.similarity, near.lonlat, fitted.prior, heard)
        return float(surface.log_density(at)[0]) / float(np.log(2.0))

    return lambda embeddings: np.array([score(embedding) for embedding in embeddings])
