"""Telling which region a photo was taken in: a linear classifier on frozen embeddings, with a temperature.

A region is anything with a name: a ward, a city, a country. What it says rests on the look of a photo alone;
it knows its regions and no others, so that a photo from elsewhere is given to one of them, too. Regions count
equally: the training weighs them so, whatever number of photos each had.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from .errors import FingerprintMismatch, WeightsUnavailable
from .geocell_head import unit_rows
from .location_files import read_description, read_tensors, write_atomically

FORMAT = "placeprint-region-head"
VERSION = 1
_Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class RegionHead:
    """R regions by embeddings of D numbers.

    Attributes:
        names: of the regions, R.
        weight: (R, D) float32, for embeddings of unit length.
        bias: (R,) float32.
        temperature: that logits are divided by, so that probabilities can be believed.
        encoder: id of the fingerprint of the encoder whose embeddings it reads.
        card: JSON facts: data, settings, figures on held-out photos.
    """

    names: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float
    encoder: str
    card: Mapping[str, Any] = field(default_factory=dict)

    def log_probabilities(self, embeddings: ArrayLike) -> _Floats:
        """Calibrated log-probabilities of the regions, (n, D) -> (n, R); rows of exp sum to 1.

        Raises:
            FingerprintMismatch: the embeddings have another length.
            InvalidOption: an embedding is zero or not finite.
        """
        rows = unit_rows(embeddings, self.weight.shape[1])
        logits = (rows @ self.weight.T + self.bias).astype(np.float64)
        found: _Floats = log_softmax(logits / self.temperature, axis=1)
        return found

    def log_odds(self, embeddings: ArrayLike, region: int) -> _Floats:
        """How much more a photo looks like one region than like all others together, in nats, (n, D) -> (n,).

        The number that maps of what mattered are drawn of: unlike a probability it does not saturate.
        """
        log_p = self.log_probabilities(embeddings)
        others = np.delete(log_p, region, axis=1)
        return np.asarray(log_p[:, region] - np.logaddexp.reduce(others, axis=1))

    def require(self, encoder: str) -> None:
        """See that it fits the embeddings at hand.

        Raises:
            FingerprintMismatch: it was trained on another encoder's.
        """
        if self.encoder != encoder:
            raise FingerprintMismatch(
                f"the region classifier was trained on embeddings of the image encoder {self.encoder!r}, "
                f"these are of {encoder!r}: use the encoder it was trained with, or train one for this one"
            )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all; the same head is the same bytes.

        Raises:
            UnwritableFile: there is no such folder, or no right to write.
        """
        description = {
            "format": FORMAT,
            "version": VERSION,
            "names": list(self.names),
            "temperature": self.temperature,
            "encoder": self.encoder,
            "card": dict(self.card),
        }
        tensors = {"weight": torch.from_numpy(self.weight), "bias": torch.from_numpy(self.bias)}
        text = json.dumps(description, sort_keys=True)
        write_atomically(Path(path), safetensors.torch.save(tensors, {"placeprint": text}))

    @classmethod
    def load(cls, path: str | Path) -> "RegionHead":
        """Read what `save` wrote.

        Raises:
            WeightsUnavailable: no such file, damaged, or of another kind; the message says which.
        """
        path = Path(path)
        description = read_description(path, FORMAT, VERSION, "a region classifier")
        tensors = read_tensors(path)
        try:
            names = tuple(str(name) for name in description["names"])
            head = cls(
                names=names,
                weight=tensors["weight"].numpy(),
                bias=tensors["bias"].numpy(),
                temperature=float(description["temperature"]),
                encoder=str(description["encoder"]),
                card=description["card"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsUnavailable(f"{path}: lacks {error}; copy it again") from None
        if head.bias.shape != (len(names),) or head.weight.shape[:1] != head.bias.shape:
            raise WeightsUnavailable(f"{path}: its parts do not fit each other; copy it again")
        return head
