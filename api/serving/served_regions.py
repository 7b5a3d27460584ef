"""Region classifiers that are served: which region a photo was taken in, by its look alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...encoders.errors import PlaceprintError
from ...encoders.region_head import RegionHead
from .models import ServedModel
from .refusals import UnknownClassifier


@dataclass(frozen=True, eq=False)
class ServedRegions:
    """A classifier and the model whose embeddings it reads.

    Attributes:
        name: as callers call it.
        head: the classifier.
        model: that is served anyway.
        radius_km: see `precision.check_regions`; 0 where the file does not tell.
    """

    name: str
    head: RegionHead
    model: ServedModel
    radius_km: float

    @property
    def mean_recall(self) -> float | None:
        """Of held-out sub-areas, in [0, 1]; None where the file does not tell."""
        try:
            return float(self.head.card["rows"]["areas"]["classifier"]["macro_recall"])
        except (KeyError, TypeError, ValueError):
            return None

    def ask(self, embeddings: NDArray[np.float32], k: int) -> list[tuple[str, float]]:
        """The likeliest regions of photos that show one place, (n, D), and how probable they are.

        The photos are asked about together: their mean embedding is.
        """
        log_p = self.head.log_probabilities(embeddings.mean(axis=0, keepdims=True))[0]
        order = np.argsort(-log_p, kind="stable")[:k]
        return [(self.head.names[row], float(np.exp(log_p[row]))) for row in order]


def serve_regions(files: Mapping[str, str], models: Iterable[ServedModel]) -> dict[str, ServedRegions]:
    """Open the classifiers that an operator names, by name.

    Raises:
        PlaceprintError: one cannot be read, or no model is served whose embeddings it reads.
    """
    by_id = {model.fingerprint.id: model for model in models}
    found = {}
    for name, path in files.items():
        head = RegionHead.load(Path(path))
        model = by_id.get(head.encoder)
        if model is None:
            source = head.card.get("source", {}).get("encoder", head.encoder)
            raise PlaceprintError(
                f"the region classifier {name!r} reads embeddings of {source}, which is not served here: "
                "serve a gallery built with it, or add it to PLACEPRINT_MODELS"
            )
        radii = [one["radius_km"] for one in head.card.get("regions", []) if "radius_km" in one]
        found[name] = ServedRegions(name, head, model, float(np.median(radii)) if radii else 0.0)
    return found


def served_classifier(served: Mapping[str, ServedRegions], name: str) -> ServedRegions:
    """A classifier by name.

    Raises:
        UnknownClassifier: there is none.
    """
    if name not in served:
        there = ", ".join(sorted(served)) or "none; the operator names them in PLACEPRINT_REGIONS"
        raise UnknownClassifier(f"no region classifier {name!r} is served here; there are: {there}")
    return served[name]
