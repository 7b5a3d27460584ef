"""What a photo itself says about the places of a support, beside its neighbors.

A source gives each place a number, the logarithm of how much likelier the photo is there than the
prior would have it, up to a term of the photo alone. So sources can be weighed and added: a
logarithmic opinion pool (Genest and Zidek 1986). Letters: A centers of the support, n photos,
D image numbers, p axes of the location head, C geocells.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..encoders.location_head import Axes, LocationHead
from .prior import Prior
from .support import Support
from .surface import Floats

FORMAT = "placeprint-evidence-2"

_PARTS = ("image_mean", "image_basis", "weight", "keys")

_Matrix = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PlaceSource:
    """A location head with the places of a support; it needs no location encoder any more.

    Attributes:
        name: what the places were described by.
        image: axes of the image embeddings.
        weight: of the head, (k, p).
        keys: the support's centers on the head's axes, (A, p).
    """

    name: str
    image: Axes
    weight: _Matrix
    keys: _Matrix

    @classmethod
    def of(cls, name: str, head: LocationHead, place_embeddings: _Matrix) -> PlaceSource:
        """Bind a head to places, (A, E)."""
        return cls(name, head.image, head.weight, head.keys(place_embeddings))

    def log_ratios(self, embeddings: _Matrix) -> _Matrix:
        """At the centers, (n, D) -> (n, A)."""
        queries = np.matmul(self.image(embeddings), self.weight, dtype=np.float32)
        result: _Matrix = np.matmul(queries, self.keys.T, dtype=np.float32)
        return result


@dataclass(frozen=True, eq=False)
class Evidence:
    """A support and the sources that speak about it.

    Attributes:
        support: the places.
        sources: each says how much a photo speaks for each place; in the order of the model's weights.
    """

    support: Support
    sources: tuple[PlaceSource, ...]

    def log_ratios(self, embeddings: _Matrix) -> NDArray[np.float32]:
        """Of each source at each center: (n, D) -> (S, n, A)."""
        rows = np.atleast_2d(np.asarray(embeddings, dtype=np.float32))
        return np.stack([source.log_ratios(rows) for source in self.sources])

    def to_bytes(self, *, made_for: str) -> bytes:
        """Everything but the prior, which is kept with the model under the same `made_for`."""
        tensors: dict[str, NDArray[Any]] = {"drawn": self.support.drawn, "drawn_km": self.support.drawn_km}
        for number, source in enumerate(self.sources):
            parts = (source.image.mean, source.image.basis, source.weight, source.keys)
            tensors |= {f"{number}.{name}": part for name, part in zip(_PARTS, parts, strict=True)}
        names = json.dumps([source.name for source in self.sources])
        return save(
            {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()},
            metadata={"format": FORMAT, "made_for": made_for, "sources": names},
        )

    @classmethod
    def load(cls, path: Path, prior: Prior, *, made_for: str) -> Evidence | None:
        """Read a file of what `to_bytes` gave; None if there is none, or it was made for another model."""
        try:
            with safe_open(path, "numpy") as file:
                facts = file.metadata() or {}
                if (facts["format"], facts["made_for"]) != (FORMAT, made_for):
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            support = Support(prior, tensors["drawn"], tensors["drawn_km"])
            sources = []
            for number, name in enumerate(json.loads(facts["sources"])):
                mean, basis, weight, keys = (tensors[f"{number}.{part}"] for part in _PARTS)
                sources.append(PlaceSource(name, Axes(mean, basis), weight, keys))
        except (OSError, SafetensorError, KeyError, ValueError):  # none, or a damaged one
            return None
        if any(len(source.keys) != len(support) for source in sources):
            return None
        return cls(support, tuple(sources))


@dataclass(frozen=True, eq=False)
class Heard:
    """What the evidence says of one photo, ready to be joined with its neighbors.

    Attributes:
        support: the places.
        log_ratios: of each source at each center, (S, A).
        log_weight: of the centers, (A,): those of the prior, perhaps without the photo's own group.
        tilt: added to the weighed log ratios, (A,): another prior in place of the gallery's, or None.
    """

    support: Support
    log_ratios: _Matrix
    log_weight: Floats
    tilt: Floats | None = None

    def score(self, weights: Sequence[float]) -> Floats:
        """Log of how much heavier evidence of these weights, (S,), makes each center, (A,)."""
        score: Floats = np.asarray(weights, dtype=np.float64) @ self.log_ratios.reshape(-1, len(self.support))
        return score if self.tilt is None else score + self.tilt
