"""Image encoders: photos, and texts where the model knows any, to unit vectors.

`ImageEncoder` says what an encoder offers; three small classes offer it. All embeddings are
float32 of unit length, so that the dot product of two is their cosine similarity, and nearer is
higher. open_clip and timm bring torchvision with them and take five seconds to import: an encoder
of theirs imports them when it is made, and nobody else waits for them.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from . import demonstration
from .device import compute_device
from .errors import InvalidOption, NoTextTower, UnknownEncoder, WeightsUnavailable
from .fingerprint import Fingerprint
from .photo import ImageLike
from .photo_dtype import photo_dtype
from .preprocessing import Preprocessing
from .weights import load_safetensors, open_clip_model

Embeddings = NDArray[np.float32]
CPU = torch.device("cpu")

TIMM_OPTIONS = frozenset({"act_layer", "global_pool", "norm_layer", "pad_type"})
"""What a name may set of a timm model: how it computes. Others name files and addresses to load from."""


class ImageEncoder(Protocol):
    """What the indexer and the service ask of an encoder."""

    @property
    def fingerprint(self) -> Fingerprint:
        """The identity of this encoder's embeddings."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How pixels must be made for `embed_pixels`."""

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Embed preprocessed photos: (B, H, W, 3) bytes -> (B, D), unit length."""

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Embed texts into the photos' space: n texts -> (n, D), unit length.

        Raises:
            NoTextTower: the encoder knows pictures only.
        """


@dataclass(frozen=True)
class Backbone:
    """The network of an encoder that sees, for those who read its layers; it is the encoder's own."""

    module: torch.nn.Module
    standardize: Callable[[NDArray[np.uint8]], Tensor]  # bytes (B, H, W, 3) -> floats (B, 3, H, W)


def embed_images(encoder: ImageEncoder, images: Iterable[ImageLike], *, batch_size: int = 32) -> Embeddings:
    """Embed photos given as paths, bytes, PIL images or arrays.

    Returns:
        Embeddings in the order of the images, shape (n, D).

    Raises:
        UnreadableImage: one of them cannot be decoded.
    """
    batches = [
        encoder.embed_pixels(np.stack([encoder.preprocessing.read(image)[0] for image in batch]))
        for batch in _batched(images, batch_size)
    ]
    return np.concatenate([np.empty((0, encoder.fingerprint.dimension), np.float32), *batches])


class OpenClipEncoder:
    """Any model of open_clip, with both towers.

    Args:
        name: of its fingerprint.
        model: as in `open_clip.list_models()`.
        pretrained: its weights, as open_clip names them.
        weights: a local file of them.
        precision: ``bf16`` computes photos in bfloat16: twice as many a second where the processor has
            instructions for it, at a cosine of 0.9999 to ``fp32``. Texts are computed in float32.
        device: where, see `device.compute_device`. The fingerprint is the same wherever that is.

    Raises:
        InvalidOption: another precision, one that this processor would take many times longer for, or
            no such device.
    """

    def __init__(
        self,
        name: str,
        model: str,
        pretrained: str,
        weights: Path | None = None,
        *,
        precision: str = "fp32",
        device: str = "cpu",
    ) -> None:
        import open_clip

        self.device = compute_device(device)
        dtype = photo_dtype(name, precision, self.device)

        if model not in open_clip.list_models():
            raise UnknownEncoder(f"open_clip has no model {model!r}; open_clip.list_models() names them")
        self._model: Any = open_clip_model(model, pretrained, weights).eval().to(self.device)
        self._model_name = model
        self._tokenizer: Any = None
        config = open_clip.get_model_preprocess_cfg(self._model)
        size = config["size"]
        self.preprocessing = Preprocessing(
            size=size[0] if isinstance(size, tuple | list) else size,
            resize="squash" if config.get("resize_mode") == "squash" else "shortest",
            interpolation="bilinear" if config.get("interpolation") == "bilinear" else "bicubic",
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
        )
        self._standardize = _Standardize(self.preprocessing, dtype, self.device)
        is_quick = (open_clip.get_pretrained_cfg(model, pretrained) or {}).get("quick_gelu", False)
        architecture = f"open_clip:{model}{' quick_gelu' if is_quick else ''}"
        if dtype is torch.bfloat16:
            architecture += " bf16"
            self._model.visual.to(dtype)
        blank = np.zeros((1, self.preprocessing.size, self.preprocessing.size, 3), np.uint8)
        self.fingerprint = _fingerprint(
            name,
            self._model,
            self.preprocessing,
            self.embed_pixels(blank).shape[1],
            architecture,
        )

    @property
    def backbone(self) -> Backbone:
        """The image tower."""
        return Backbone(self._model.visual, self._standardize)

    @torch.inference_mode()
    def embed_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Embed preprocessed photos: (B, H, W, 3) bytes -> (B, D), unit length."""
        return _unit(self._model.encode_image(self._standardize(pixels)))

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Embed texts: n texts -> (n, D), unit length."""
        if self._tokenizer is None:
            import open_clip

            self._tokenizer = open_clip.get_tokenizer(self._model_name)
        return _unit(self._model.encode_text(self._tokenizer(list(texts)).to(self.device)))


class TimmEncoder:
    """Any model of timm with its classifier taken off; pictures only.

    The name may carry options of the model (`TIMM_OPTIONS`) and of its preprocessing, as in a web
    address: ``mobilenetv2_100?pad_type=same&mean=0.5&std=0.5&crop=1``.
    """

    def __init__(self, name: str, model: str, weights: Path | None = None, *, device: str = "cpu") -> None:
        import timm

        self.device = compute_device(device)
        model, _, query = model.partition("?")
        options: dict[str, Any] = dict(parse_qsl(query))
        if not timm.is_model(model):
            raise UnknownEncoder(f"timm has no model {model!r}; timm.list_models() names them")
        if weights is None:
            raise WeightsUnavailable(
                f"{name}: timm models are used with local weights; pass --weights FILE.safetensors"
            )
        preprocess = {
            key: _number(key, options.pop(key)) for key in ("mean", "std", "crop") if key in options
        }
        self._model: Any = _timm_model(model, options).eval()
        load_safetensors(self._model, weights, drop=_classifier_prefixes(model))
        config = timm.data.resolve_model_data_config(self._model)  # type: ignore[attr-defined,no-untyped-call]
        self.preprocessing = Preprocessing(
            size=config["input_size"][-1],
            crop_share=preprocess.get("crop", float(config["crop_pct"])),
            interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
            mean=(preprocess["mean"],) * 3 if "mean" in preprocess else tuple(config["mean"]),
            std=(preprocess["std"],) * 3 if "std" in preprocess else tuple(config["std"]),
        )
        self._standardize = _Standardize(self.preprocessing, device=self.device)
        architecture = f"timm:{model} {sorted(options.items())}"
        dimension = int(cast(Any, self._model).num_features)
        self.fingerprint = _fingerprint(name, self._model, self.preprocessing, dimension, architecture)
        # MobileNetV2 on two cores: 16 ms a photo so, 31 ms without, and the same answer to rounding.
        self._model = self._model.to(self.device, memory_format=torch.channels_last)

    @property
    def backbone(self) -> Backbone:
        """The whole model; its classifier is off."""
        return Backbone(self._model, self._standardize)

    @torch.inference_mode()
    def embed_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Embed preprocessed photos: (B, H, W, 3) bytes -> (B, D), unit length."""
        return _unit(self._model(self._standardize(pixels)))

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Refuse: a timm model has no text tower."""
        raise NoTextTower(_no_text(self.fingerprint.name))


class DemonstrationEncoder:
    """Our own small network, trained on drawn scenes: for trying things out."""

    def __init__(self, name: str, weights: Path | None = None) -> None:
        self._net = demonstration.load(weights)
        self.preprocessing = Preprocessing(size=demonstration.INPUT_SIZE)
        self._standardize = _Standardize(self.preprocessing)
        self.fingerprint = _fingerprint(
            name, self._net, self.preprocessing, demonstration.EMBEDDING_DIM, "demonstration"
        )

    @torch.inference_mode()
    def embed_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Embed preprocessed photos: (B, H, W, 3) bytes -> (B, D), unit length."""
        return _unit(self._net.embed_images(self._standardize(pixels)))

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Embed texts of known words: n texts -> (n, D), unit length."""
        return _unit(self._net.embed_texts(list(texts)))


class _Standardize:
    """Bytes (B, H, W, 3) -> standardized floats (B, 3, H, W) on a device, channels last in memory."""

    def __init__(
        self,
        preprocessing: Preprocessing,
        dtype: torch.dtype = torch.float32,
        device: torch.device = CPU,
    ) -> None:
        self._dtype = dtype
        self._device = device
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        self._scale = (1.0 / (255.0 * std)).view(1, 3, 1, 1).to(device)
        self._shift = (-mean / std).view(1, 3, 1, 1).to(device)

    def __call__(self, pixels: NDArray[np.uint8]) -> Tensor:
        photos = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
        if self._device.type == "cuda":  # as bytes, a quarter of the floats, and out of pinned memory
            photos = photos.pin_memory().to(self._device, non_blocking=True)
        return torch.addcmul(self._shift, photos.permute(0, 3, 1, 2).float(), self._scale).to(self._dtype)


def _unit(embeddings: Tensor) -> Embeddings:
    unit: Embeddings = F.normalize(embeddings.float(), dim=-1).cpu().numpy()
    return unit


def _batched(images: Iterable[ImageLike], size: int) -> Iterator[tuple[ImageLike, ...]]:
    iterator = iter(images)
    while batch := tuple(islice(iterator, size)):
        yield batch


def _no_text(name: str) -> str:
    return f"{name} knows pictures only; to search by text, index with an open_clip encoder"


def _fingerprint(
    name: str, model: torch.nn.Module, preprocessing: Preprocessing, dimension: int, architecture: str
) -> Fingerprint:
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return Fingerprint(
        name=name,
        weights_sha256=digest.hexdigest(),
        preprocessing=preprocessing.canonical,
        dimension=dimension,
        architecture=architecture,
    )


def _timm_model(model: str, options: dict[str, Any]) -> Any:
    """A model of timm without weights and classifier.

    Raises:
        InvalidOption: one that could name a file, an address or code, or a value that timm refuses.
    """
    import timm

    if wrong := sorted(options.keys() - TIMM_OPTIONS):
        raise InvalidOption(
            f"timm:{model}: the option {wrong[0]} is not taken; there are {', '.join(sorted(TIMM_OPTIONS))}, "
            "and for the preprocessing mean, std, crop"
        )
    try:
        return timm.create_model(model, pretrained=False, num_classes=0, **options)
    except Exception as error:  # every model refuses what it does not know in its own way
        raise InvalidOption(f"timm:{model}: {options} is refused ({type(error).__name__}: {error})") from None


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0.0 <= number <= 1.0 or (number == 0.0 and name != "mean"):
        raise InvalidOption(f"the option {name}={text} is no number in [0, 1], or it is a zero that divides")
    return number


def _classifier_prefixes(model: str) -> tuple[str, ...]:
    import timm

    classifier = timm.models.get_pretrained_cfg_value(model, "classifier") or ()
    names = [classifier] if isinstance(classifier, str) else list(classifier)
    return tuple(f"{name}." for name in names)
