"""The trained map encoder: crops or places in, embeddings of unit length out; saved with its card.

A place is embedded by the mean over several rotations of its crop, so that which way is up counts
little. One file holds the weights and, in the header's JSON, everything that embedding needs: the
legend's version, the ground width, the pixels, the rotations.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import nn

from ..errors import InvalidOption, WeightsUnavailable
from ..fingerprint import Fingerprint
from ..location import evaluating
from ..location_files import read_description, read_tensors, write_described
from ..mosaics.legend import LEGEND_VERSION, N_CLASSES
from ..sphere import as_lonlat
from .crop_source import CropSource
from .network import STRIDE, map_network

FORMAT = "placeprint-map-encoder"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class MapEncoderConfig:
    """What a map encoder is made of and how it looks at a place.

    Attributes:
        network: a name of `network.NETWORKS`.
        dimension: D.
        ground_m: ground width of a crop, meters.
        px: its pixels along a side.
        n_rotations: crops of one place that are averaged, evenly turned.
        n_classes: of the legend.
        legend_version: of the mosaics it was trained on.
    """

    network: str = "tiny"
    dimension: int = 128
    ground_m: float = 800.0
    px: int = 64
    n_rotations: int = 4
    n_classes: int = N_CLASSES
    legend_version: int = LEGEND_VERSION

    def __post_init__(self) -> None:
        if self.px < STRIDE or self.px % STRIDE:
            raise InvalidOption(f"px={self.px}: must be a multiple of {STRIDE}")
        if not (self.ground_m > 0.0 and self.n_rotations >= 1 and self.dimension >= 1):
            raise InvalidOption(
                f"ground_m={self.ground_m}, n_rotations={self.n_rotations}, dimension={self.dimension}: "
                "all must be positive"
            )


class MapEncoder:
    """A map network with its weights, for use.

    Args:
        config: what it is made of.
        name: what to call it.
        card: free facts, JSON: training data, sources, licence, figures.
        network: the weights; None starts untrained, from torch's generator.
    """

    def __init__(
        self,
        config: MapEncoderConfig,
        *,
        name: str = "map-encoder",
        card: Mapping[str, Any] | None = None,
        network: nn.Module | None = None,
    ) -> None:
        self.config, self.name = config, name
        self.card: dict[str, Any] = dict(card or {})
        self.network = (
            map_network(config.network, config.n_classes, config.dimension) if network is None else network
        ).eval()

    @property
    def dimension(self) -> int:
        """Length D of an embedding."""
        return self.config.dimension

    @property
    def fingerprint(self) -> Fingerprint:
        """What made an embedding; changes with the weights and with the way of looking."""
        config = asdict(self.config)
        seen = {key: config.pop(key) for key in ("ground_m", "px", "n_rotations", "legend_version")}
        return Fingerprint(
            name=self.name,
            weights_sha256=_digest(self.network),
            preprocessing=f"map crops {json.dumps(seen, sort_keys=True)}",
            dimension=self.dimension,
            architecture=json.dumps(config, sort_keys=True),
        )

    def embed(self, crops: NDArray[np.uint8], *, batch_size: int = 256) -> NDArray[np.float32]:
        """Embed crops of class ids.

        Args:
            crops: (B, px, px) uint8, of `config.ground_m`; other sizes that 16 divides are taken, and
                were not trained on.
            batch_size: crops at a time.

        Returns:
            (B, D), unit length.

        Raises:
            InvalidOption: another shape or type, or a class that the legend has not.
        """
        self._check(crops)
        device = next(self.network.parameters()).device
        found = np.empty((len(crops), self.dimension), np.float32)
        with evaluating(self.network), torch.inference_mode():
            for start in range(0, len(crops), batch_size):
                block = np.ascontiguousarray(crops[start : start + batch_size])
                features = self.network(torch.from_numpy(block).to(device))
                found[start : start + len(block)] = F.normalize(features.embedding.float(), dim=-1).cpu()
        return found

    def embed_places(
        self, source: CropSource, lonlat: ArrayLike, *, n_rotations: int | None = None, batch_size: int = 256
    ) -> NDArray[np.float32]:
        """Embed places of a map: the mean over evenly turned crops, again of unit length.

        Args:
            source: of the crops.
            lonlat: degrees, longitude first, (B, 2).
            n_rotations: None for the encoder's own; the fingerprint speaks of those.
            batch_size: places at a time.

        Returns:
            (B, D), unit length.

        Raises:
            InvalidCoordinate: a place that is not on Earth.
        """
        places = as_lonlat(lonlat).reshape(-1, 2)
        n = n_rotations or self.config.n_rotations
        found = np.empty((len(places), self.dimension), np.float32)
        for start in range(0, len(places), batch_size):
            block = places[start : start + batch_size]
            turned = [
                self.embed(
                    source.crops(
                        block,
                        ground_m=self.config.ground_m,
                        angle_rad=2.0 * math.pi * k / n,
                        px=self.config.px,
                    )
                )
                for k in range(n)
            ]
            mean = np.mean(turned, axis=0, dtype=np.float64)
            length = np.linalg.norm(mean, axis=1, keepdims=True)
            # Turned crops that point apart and cancel leave no direction; the first crop has one.
            found[start : start + len(block)] = np.where(length > 1e-6, mean / length.clip(1e-6), turned[0])
        return found

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with everything that `load` needs, whole or not at all.

        Raises:
            UnwritableFile: the folder is missing, full or not ours to write to.
            InvalidOption: a card that is no JSON.
        """
        description = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "config": asdict(self.config),
            "card": self.card,
        }
        write_described(Path(path), self.network.state_dict(), description, name=self.name)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            WeightsUnavailable: no such file, damaged, of another kind, of another legend, or its
                tensors do not fit.
        """
        path = Path(path)
        description = read_description(path, FORMAT, VERSION, "a map encoder")
        try:
            config = MapEncoderConfig(**description["config"])
            encoder = cls(config, name=description["name"], card=description["card"])
        except (InvalidOption, KeyError, TypeError) as error:
            raise WeightsUnavailable(f"{path}: made by another version of Placeprint? {error}") from None
        if config.legend_version != LEGEND_VERSION:
            raise WeightsUnavailable(
                f"{path}: trained on version {config.legend_version} of the map legend, mosaics are of "
                f"version {LEGEND_VERSION} here; train it anew, or use the Placeprint that made it"
            )
        try:
            encoder.network.load_state_dict(read_tensors(path))
        except RuntimeError as error:
            raise WeightsUnavailable(f"{path}: its tensors do not fit its description: {error}") from None
        return encoder

    def _check(self, crops: NDArray[np.uint8]) -> None:
        if crops.ndim != 3 or crops.shape[1] != crops.shape[2] or crops.dtype != np.uint8:
            raise InvalidOption(
                f"crops of shape {crops.shape} and type {crops.dtype}: must be class ids (B, px, px) uint8"
            )
        if crops.shape[1] % STRIDE or not crops.shape[1]:
            raise InvalidOption(f"crops of {crops.shape[1]} pixels a side: must be a multiple of {STRIDE}")
        if crops.size and (highest := int(crops.max())) >= self.config.n_classes:
            raise InvalidOption(
                f"class {highest} in a crop, but the legend has {self.config.n_classes}: are these colors?"
            )


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for key, tensor in sorted(network.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
