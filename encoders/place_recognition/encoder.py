"""An image encoder for recognizing places: a backbone's local features, aggregated and whitened.

It implements `encoders.image.ImageEncoder`, so that whatever takes an image encoder takes it; loaded by
the name ``place:FILE.safetensors`` with the backbone's weights. One file holds the aggregation, the
whitening, the blocks of the backbone that were trained, where there are any, and in the header's JSON
everything else: which backbone, which layer, which input size. The backbone's own weights are not in
it, but their SHA-256 is.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..catalog import load_encoder
from ..device import compute_device
from ..errors import FingerprintMismatch, InvalidOption, NoTextTower, WeightsUnavailable
from ..fingerprint import Fingerprint
from ..image import Embeddings
from ..location_files import read_description, read_tensors, write_described
from ..preprocessing import Preprocessing
from .local_features import HasBackbone, LocalFeatures
from .pooling import Aggregator, Kind, make_aggregator
from .whitening import Whitening

FORMAT = "placeprint-place-encoder"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class PlaceConfig:
    """What a place encoder is made of, apart from numbers that were fitted or learned.

    Attributes:
        layer: of the backbone, see `LocalFeatures`; -1 is its last.
        size: height and width of the input, pixels; None for the backbone's own.
        resize: ``squash`` shows all of a photo, distorted to a square; ``shortest`` its middle, as it is.
        aggregation: how local features become one embedding.
        options: of the aggregation, JSON.
    """

    layer: int = -1
    size: int | None = None
    resize: Literal["squash", "shortest"] = "squash"
    aggregation: Kind = "netvlad"
    options: dict[str, Any] = field(default_factory=dict)


class PlaceEncoder:
    """The whole: pixels in, an embedding of unit length out.

    Args:
        config: what it is made of.
        backbone: the image encoder whose layers are read; it stays as it is.
        name: what to call it.
        card: free facts, JSON: training data, licence, figures.

    Attributes:
        features: the backbone up to the layer, a copy.
        aggregator: a NetVLAD layer has to be fitted before anything is embedded.
        whitening: None for none.
        tuned: beginnings of the names of the backbone's parameters that were trained.

    Raises:
        InvalidOption: no such layer, size, aggregation or option.
    """

    def __init__(
        self,
        config: PlaceConfig,
        backbone: HasBackbone,
        *,
        name: str = "place-encoder",
        card: Mapping[str, Any] | None = None,
    ) -> None:
        self.config, self.name = config, name
        self.card: dict[str, Any] = dict(card or {})
        self.features = LocalFeatures(backbone, layer=config.layer, size=config.size)
        self.aggregator = make_aggregator(config.aggregation, self.features.channels, config.options)
        self.whitening: Whitening | None = None
        self.tuned: tuple[str, ...] = ()
        self.device = torch.device("cpu")
        self._loaded: Fingerprint | None = None
        self.backbone_fingerprint = backbone.fingerprint
        seen = asdict(backbone.preprocessing)
        self.preprocessing = Preprocessing(
            **{**seen, "size": self.features.size, "resize": config.resize, "crop_share": 1.0}
        )

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return self.aggregator.dimension if self.whitening is None else self.whitening.dimension

    @property
    def fingerprint(self) -> Fingerprint:
        """What makes an embedding: changes with the backbone, its layer, and all that was fitted."""
        # Asked for with every batch; the tensors of an encoder that was loaded stay as they are.
        return self._loaded or self._fingerprint()

    def _fingerprint(self) -> Fingerprint:
        config = {**asdict(self.config), "layer": self.features.layer, "size": self.features.size}
        digest = hashlib.sha256(self.backbone_fingerprint.weights_sha256.encode())
        for key, tensor in sorted(self._tensors().items()):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.numpy().tobytes())
        return Fingerprint(
            name=self.name,
            weights_sha256=digest.hexdigest(),
            preprocessing=self.preprocessing.canonical,
            dimension=self.dimension,
            architecture=f"{self.backbone_fingerprint.architecture} {json.dumps(config, sort_keys=True)}",
        )

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Embed preprocessed photos: (B, H, W, 3) bytes -> (B, D), unit length.

        A convolutional backbone takes other heights and widths than the square of `preprocessing`, too,
        such as photos that keep their proportions.

        Raises:
            UninitializedVocabulary: a NetVLAD layer that has not been fitted.
        """
        with torch.inference_mode():
            return self.aggregate(torch.from_numpy(self.local_features(pixels)))

    def local_features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The local features that are aggregated: (B, H, W, 3) bytes -> (B, D, h, w), not of unit length."""
        return self.features.of_pixels(pixels)

    @torch.inference_mode()
    def aggregate(self, features: Tensor) -> Embeddings:
        """Embed local features: (B, D, h, w) -> (B, D), whitened where there is a whitening."""
        aggregated = self.aggregator(features.to(_device_of(self.aggregator, features)))
        whitened = aggregated if self.whitening is None else self.whitening(aggregated)
        found: Embeddings = whitened.float().cpu().numpy()
        return found

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Refuse: local features of pictures have no text tower."""
        raise NoTextTower(
            f"{self.name} knows pictures only; to search by text, index with an open_clip encoder"
        )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all.

        Raises:
            UnwritableFile: the folder is missing, full or not ours to write to.
            InvalidOption: a card that is no JSON.
        """
        description = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "config": asdict(self.config),
            "backbone": {
                "name": self.backbone_fingerprint.name,
                "weights_sha256": self.backbone_fingerprint.weights_sha256,
                "tuned": list(self.tuned),
            },
            "whitening": None if self.whitening is None else self.whitening.checksum,
            "card": self.card,
        }
        write_described(Path(path), self._tensors(), description, name=self.name)

    @classmethod
    def load(
        cls, path: str | Path, *, weights: Path | None = None, name: str | None = None, device: str = "cpu"
    ) -> Self:
        """Read a file that `save` wrote, and its backbone from where that is.

        Args:
            path: the file.
            weights: of the backbone, a local safetensors file; None for the network's or the cache's.
            name: what to call it; None for the name in the file.
            device: where it computes, see `encoders.device.compute_device`.

        Raises:
            InvalidOption: no such device.
            WeightsUnavailable: no such file, damaged, of another kind or version, or no weights of the
                backbone.
            FingerprintMismatch: weights of the backbone that it was not made with.
        """
        path = Path(path)
        about = read_description(path, FORMAT, VERSION, "a place encoder")
        backbone: Any = load_encoder(about["backbone"]["name"], weights=weights)
        found, made_with = backbone.fingerprint.weights_sha256, about["backbone"]["weights_sha256"]
        if found != made_with:
            raise FingerprintMismatch(
                f"{path}: made with weights of {about['backbone']['name']} whose tensors have the SHA-256 "
                f"{made_with[:16]}…; those at hand ({weights or 'downloaded'}) have {found[:16]}…, and would "
                "give other embeddings. Pass the file of then as --weights FILE"
            )
        tensors = read_tensors(path)
        try:
            encoder = cls(PlaceConfig(**about["config"]), backbone, name=name or about["name"])
            encoder.card = about["card"]
            encoder.aggregator.load_state_dict(_part(tensors, "aggregator."))
            encoder.tuned = tuple(about["backbone"]["tuned"])
            state = _part(tensors, "backbone.")
            unknown = encoder.features.network.load_state_dict(state, strict=False).unexpected_keys
            if unknown:
                raise WeightsUnavailable(f"{path}: {unknown[0]} is no part of the backbone")
            if about["whitening"] is not None:
                encoder.whitening = Whitening.of_tensors(_part(tensors, "whitening."), about["whitening"])
        except (InvalidOption, KeyError, TypeError, RuntimeError) as error:
            raise WeightsUnavailable(f"{path}: its tensors do not fit its description: {error}") from None
        encoder._loaded = encoder._fingerprint()
        encoder.device = compute_device(device)
        encoder.features.to(encoder.device)
        encoder.aggregator.to(encoder.device)
        return encoder

    def _tensors(self) -> dict[str, Tensor]:
        """What the file holds, on the CPU."""
        found = {f"aggregator.{key}": value for key, value in self.aggregator.state_dict().items()}
        if self.whitening is not None:
            found |= {f"whitening.{key}": value for key, value in self.whitening.tensors.items()}
        for key, value in self.features.network.named_parameters():
            if key.startswith(self.tuned):
                found[f"backbone.{key}"] = value
        return {key: value.detach().cpu().contiguous() for key, value in found.items()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _device_of(module: Aggregator, otherwise: Tensor) -> torch.device:
    """Where a module's parameters are; some aggregations have none."""
    return next((one.device for one in module.parameters()), otherwise.device)
