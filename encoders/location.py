"""A location encoder: a positional encoding, then a network. Places in, embeddings out.

`LocationEmbedder` is what the rest of Placeprint asks of anything that embeds places;
`LocationEncoder` is the one that can be put together from parts, trained and saved. Coordinates are
`lonlat`, WGS84 degrees, longitude first. Embeddings come as the network makes them, not scaled to
unit length.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from .errors import InvalidOption, UnknownEncoder, WeightsUnavailable
from .fingerprint import Fingerprint
from .location_files import read_card, read_tensors, write_encoder
from .location_networks import Identity, location_network
from .location_presets import PRESETS
from .positional import positional_encoding
from .sphere import as_lonlat

CACHE_ENTRIES = 1 << 20
"""Numbers that a block of rows may take in `encode`, so that its features stay in the CPU's cache."""
NETWORK_ROWS = 256
"""Rows that a network gets at a time on a CPU at least: as many as its widest layer has, so that what a layer
makes takes no more memory than its weights. For larger blocks memory is got anew every time."""


class LocationEmbedder(Protocol):
    """Anything that turns places into embeddings."""

    @property
    def name(self) -> str:
        """What it is called in messages, cards and files."""
        ...

    @property
    def dimension(self) -> int:
        """Length D of an embedding."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digits that change with its parts, options and weights."""
        ...

    def encode(self, lonlat: ArrayLike, *, batch_size: int = 8192) -> NDArray[np.float32]:
        """Embed places: degrees, longitude first, (n, 2) -> (n, D)."""
        ...


class LocationEncoder(nn.Module):
    """A positional encoding and a network, made by their names, e.g. ``grid`` and ``feed-forward``.

    Args:
        positional: a key of `positional.POSITIONAL`.
        network: a key of `location_networks.NETWORKS`, or ``none`` for the encoding as it is.
        dimension: length of the embedding; with the network ``none`` it is the encoding's own.
        positional_options: keyword arguments of the encoding, JSON values.
        network_options: keyword arguments of the network, JSON values.
        name: what to call it.
        card: free facts to keep with it, JSON values: training data, licence, command, ...
        seed: makes the network's first weights reproducible; None draws from torch's generator.

    Raises:
        UnknownEncoder: no encoding or network of that name.
        InvalidOption: an option without meaning.
    """

    def __init__(
        self,
        positional: str = "grid",
        network: str = "feed-forward",
        *,
        dimension: int = 256,
        positional_options: Mapping[str, Any] | None = None,
        network_options: Mapping[str, Any] | None = None,
        name: str = "location-encoder",
        card: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.card: dict[str, Any] = dict(card or {})
        with _seeded(seed):
            self.positional = positional_encoding(positional, **dict(positional_options or {}))
            features = self.positional.dimension
            self.dimension = features if network == "none" else dimension
            self.network, filled_options = location_network(
                network, features, self.dimension, **dict(network_options or {})
            )
        self.config: dict[str, Any] = {
            "positional": positional,
            "positional_options": dict(self.positional.options),
            "network": network,
            "network_options": filled_options,
            "dimension": self.dimension,
        }

    @classmethod
    def preset(cls, preset: str, **changes: Any) -> Self:
        """Make one of `PRESETS`, untrained.

        Args:
            preset: its name.
            changes: arguments of the class that replace the preset's.

        Raises:
            UnknownEncoder: no preset of that name.
        """
        if preset not in PRESETS:
            raise UnknownEncoder(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
        return cls(**{"name": preset, **PRESETS[preset], **changes})

    def forward(self, lonlat: Tensor) -> Tensor:
        """Embed places: degrees (..., 2), longitude first -> (..., D); trusts its argument."""
        embedding: Tensor = self.network(self.positional(lonlat))
        return embedding

    def encode(self, lonlat: ArrayLike, *, batch_size: int = 8192) -> NDArray[np.float32]:
        """Embed places, in evaluation mode and without gradients; the training mode is restored.

        Args:
            lonlat: degrees, longitude first, (n, 2); anything `sphere.as_lonlat` understands.
            batch_size: rows at a time at most; on a CPU fewer, where that is faster.

        Returns:
            A new array (n, D).

        Raises:
            InvalidCoordinate: a row that lies nowhere on Earth.
            InvalidOption: batch_size below 1.
        """
        places = as_lonlat(lonlat)
        if batch_size < 1:
            raise InvalidOption(f"batch_size={batch_size}: must be at least 1")
        rows = places.reshape(-1, 2)
        step, part = (min(batch_size, most) for most in self._rows_at_a_time())
        embeddings = torch.empty(len(rows), self.dimension)
        with evaluating(self), torch.inference_mode():
            for start in range(0, len(rows), step):
                features = self.positional(torch.from_numpy(rows[start : start + step]))
                for at in range(0, len(features), part):
                    block = self.network(features[at : at + part]).float()
                    # Torch's copy is the fast one if transposed.
                    embeddings[start + at : start + at + len(block)] = block
        found: NDArray[np.float32] = embeddings.numpy()
        return found.reshape(*places.shape[:-1], self.dimension)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits over the parts, their options and all weights; not the name."""
        digest = hashlib.sha256()
        for key, tensor in sorted(self.state_dict().items()):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return Fingerprint(
            name=self.name,
            weights_sha256=digest.hexdigest(),
            preprocessing="lonlat degrees WGS84",
            dimension=self.dimension,
            normalization="none",
            architecture=json.dumps(self.config, sort_keys=True),
        ).id

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, with what is needed to build the encoder again; atomically.

        Raises:
            UnwritableFile: the folder is missing, full or not ours to write to.
        """
        write_encoder(
            Path(path),
            self.state_dict(),
            name=self.name,
            config=self.config,
            dtype=str(self.positional.dtype).removeprefix("torch."),
            card=self.card,
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote; the encoder is in evaluation mode.

        Raises:
            WeightsUnavailable: no such file, damaged, of another kind, or its tensors do not fit.
        """
        path = Path(path)
        card = read_card(path)
        try:
            encoder = cls(**card.config, name=card.name, card=card.card).to(getattr(torch, card.dtype))
        except (InvalidOption, UnknownEncoder, TypeError) as error:
            raise WeightsUnavailable(f"{path}: made by another version of Placeprint? {error}") from None
        try:
            encoder.load_state_dict(read_tensors(path))
        except RuntimeError as error:
            raise WeightsUnavailable(f"{path}: its tensors do not fit its description: {error}") from None
        return encoder.eval()

    def _rows_at_a_time(self) -> tuple[int, int]:
        """Rows of features that fit a CPU's cache, and of a network's layers; a GPU takes whole batches."""
        if self.positional.device.type != "cpu":
            return 1 << 30, 1 << 30
        rows = max(64, CACHE_ENTRIES // max(self.positional.dimension, self.dimension))
        if isinstance(self.network, Identity):
            return rows, rows
        return rows, max([NETWORK_ROWS, *(len(weights) for weights in self.network.parameters())])


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; afterwards every part is in the mode it was in."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Torch's generator at a seed for a while; None leaves it running."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
