"""An image–text model that can be trained: a model of open_clip, its tokens and its pixels.

Throughout it stays in evaluation mode: no dropout, and norms of batches keep their statistics. So one
input has one embedding, whatever else is in the batch, in training as later in use.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import safetensors.torch
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..catalog import CARDS
from ..errors import InvalidOption, NoTextTower, UnknownEncoder
from ..image import OpenClipEncoder
from ..location_files import write_atomically
from .low_rank import merge_adapters


class CaptionModel(OpenClipEncoder):
    """A model of open_clip whose weights may change.

    Args:
        name: a card of the catalog, or ``open_clip:MODEL/PRETRAINED``; the latter part may be empty
            with local weights.
        weights: a local safetensors file to start from instead of the published weights.
        device: where it is trained, as torch names it.

    Raises:
        UnknownEncoder: no model of that name.
        NoTextTower: an encoder that knows pictures only.
        InvalidOption: an encoder whose texts cannot learn new words; no such device.
        WeightsUnavailable: no network and no local file, or a file that does not fit.
    """

    def __init__(self, name: str, weights: Path | None = None, *, device: str = "cpu") -> None:
        self.card_name = name
        model, pretrained = _open_clip_names(name)
        self.device = _device(device)
        super().__init__(name, model, pretrained, weights)
        self.base = self.fingerprint.id
        self._tokenizer = _tokenizer(model)
        self._model.to(self.device)

    @property
    def network(self) -> Any:
        """The model itself, to choose weights of and train."""
        return self._model

    def to_input(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Preprocessed photos as the model takes them: (B, H, W, 3) bytes -> (B, 3, H, W)."""
        return self._standardize(pixels).to(self.device)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Texts as numbers of their parts: n texts -> (n, longest), cut at what the model can read."""
        tokens: Tensor = self._tokenizer(list(texts)).to(self.device)
        return tokens

    def embed_input(self, images: Tensor) -> Tensor:
        """Embed photos with a graph: (B, 3, H, W) -> (B, D), unit length."""
        return F.normalize(self._model.encode_image(images).float(), dim=-1)

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Embed texts with a graph: (n, longest) -> (n, D), unit length."""
        return F.normalize(self._model.encode_text(tokens).float(), dim=-1)

    def embed_all_pixels(self, pixels: NDArray[np.uint8], *, batch_size: int = 128) -> NDArray[np.float32]:
        """Embed preprocessed photos a batch at a time: (n, H, W, 3) bytes -> (n, D), unit length."""
        starts = range(0, len(pixels), batch_size)
        with torch.no_grad():
            parts = [
                self.embed_input(self.to_input(pixels[start : start + batch_size])).cpu().numpy()
                for start in starts
            ]
        return np.concatenate(parts)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts a batch at a time: n texts -> (n, D), unit length."""
        with torch.no_grad():
            parts = [
                self.embed_tokens(self.tokens(texts[start : start + 256])).cpu().numpy()
                for start in range(0, len(texts), 256)
            ]
        return np.concatenate(parts)

    def save(self, path: Path, card: dict[str, Any]) -> None:
        """Write all weights, adapters added in, under open_clip's names.

        Args:
            path: replaced if it exists; `load_encoder` takes it with this model's name as `weights`.
            card: JSON facts to keep in the file's header.

        Raises:
            UnwritableFile: the folder is missing, full or not ours to write to.
        """
        merge_adapters(self._model)
        # Copies: tensors that share memory, as tied weights do, are refused by safetensors.
        state = {
            name: value.detach().cpu().contiguous().clone()
            for name, value in self._model.state_dict().items()
        }
        write_atomically(path, safetensors.torch.save(state, {"placeprint": json.dumps(card)}))


@cache
def _tokenizer(model: str) -> Any:
    """What cuts texts for a model; reading its vocabulary takes half a second."""
    return open_clip.get_tokenizer(model)


def _open_clip_names(name: str) -> tuple[str, str]:
    """Model and weights as open_clip calls them."""
    card = CARDS.get(name)
    if card is not None and card.backend == "open_clip":
        return card.model, card.pretrained
    backend, _, rest = name.partition(":")
    if card is not None and card.backend == "demonstration":
        raise InvalidOption(
            f"{name} knows a few dozen words and can learn no other; train an open_clip model, such as "
            f"{next(iter(CARDS))}"
        )
    if backend == "timm":
        raise NoTextTower(
            f"{name} knows pictures only; captions train open_clip models, such as {next(iter(CARDS))}"
        )
    model, _, pretrained = rest.partition("/")
    if backend != "open_clip" or not model:
        raise UnknownEncoder(
            f"no model {name!r}; captions train {', '.join(_trainable())}, and open_clip:MODEL/PRETRAINED"
        )
    return model, pretrained


def _trainable() -> list[str]:
    return [card.name for card in CARDS.values() if card.backend == "open_clip"]


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidOption(
            f"--device {name}: not to be had here ({str(error).splitlines()[0]}); try cpu"
        ) from None
    return device
