"""An image encoder in two parts: a trunk that stays as it is, and a tail that may learn.

The tail is the last blocks of the encoder and all that follows them: norms, the last convolution, the
projection. Blocks are what the model itself lists: those of a transformer, the stages of a ResNet, a
MobileNet, an EfficientNet or a ConvNeXt. Which parameters belong to the tail is asked of the model: those
that its answer depends on when the input of the first block of the tail is given.

Every part runs in evaluation mode, also while it learns. Norms over batches keep the statistics they came
with (their scale and shift learn, those of the tail): statistics of small batches would be noise, and the
answer for a photo would depend on the photos beside it.

The tail runs through the model's own forward pass: a single blank picture is sent in, the blocks before
the tail hand on what they get, and the first block of the tail is given the true inputs instead. So
nothing of any architecture is written anew here. That both parts together give what the whole gives is
checked when an encoder is split.

Letters: B photos, D embedding.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InvalidOption
from ..image import DemonstrationEncoder, ImageEncoder, OpenClipEncoder, TimmEncoder

_STACKS = ("resblocks", "blocks", "stages", "layers", "layer", "features", "image_tower")
_NUMBERED = re.compile(r"^(layer|stage|block)s?_?(\d+)$")
_AGREES = 1e-4  # of unit embeddings: rounding of another order of the same sums


class SplitEncoder:
    """An encoder, its last blocks free to learn.

    Args:
        encoder: of open_clip, timm or our own; its model is changed by whoever changes `weights`.
        n_blocks: how many of its last blocks belong to the tail, 1 or more.

    Attributes:
        encoder: as given.
        model: all of it, with the text tower where there is one.
        weights: the parameters of the tail, by their names in `model`.
        n_blocks: of the tail.
        n_all_blocks: of the encoder.

    Raises:
        InvalidOption: an encoder without a list of blocks, with fewer, or one whose parts do not run alone.
    """

    def __init__(self, encoder: ImageEncoder, n_blocks: int) -> None:
        self.encoder, self.n_blocks = encoder, n_blocks
        self.model, visual, self._embed = _parts_of(encoder)
        blocks = blocks_of(visual)
        chosen = [block for block in blocks if _has_weights(block)]
        self.n_all_blocks = len(chosen)
        if not chosen:
            raise InvalidOption(
                f"--tune {n_blocks}: no list of blocks in the {type(visual).__name__} of the encoder "
                f"{encoder.fingerprint.name}; train the head alone, without --tune"
            )
        if not 1 <= n_blocks <= len(chosen):
            raise InvalidOption(
                f"--tune {n_blocks}: the encoder {encoder.fingerprint.name} has {len(chosen)} blocks; "
                f"1 to {len(chosen)} of them can be trained"
            )
        self._first = chosen[-n_blocks]
        self._before = blocks[: next(row for row, one in enumerate(blocks) if one is self._first)]
        self.model.eval().requires_grad_(False)
        size = encoder.preprocessing.size
        self._blank = np.zeros((1, size, size, 3), np.uint8)
        self.weights = self._checked()

    def standardized(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Preprocessed photos as the model takes them: (B, H, W, 3) bytes -> (B, 3, H, W)."""
        images: Tensor = self.encoder._standardize(pixels)  # type: ignore[attr-defined]  # all of ours have it
        return images

    @torch.inference_mode()
    def trunk(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the tail is given for photos: (B, H, W, 3) bytes -> (B, ...)."""
        caught: list[Tensor] = []

        def catch(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            caught.append(inputs[0])
            raise _Caught

        hook = self._first.register_forward_pre_hook(catch)
        try:
            self._embed(self.standardized(pixels))
        except _Caught:
            pass
        finally:
            hook.remove()
        found: NDArray[np.float32] = caught[0].float().contiguous().numpy()
        return found

    def tail(self, inputs: NDArray[np.floating]) -> Tensor:
        """Embeddings with a graph of `weights`: (B, ...) as `trunk` gives them -> (B, D), unit length."""
        given = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))
        if given.ndim == 4:
            given = given.contiguous(memory_format=torch.channels_last)
        hook = self._first.register_forward_pre_hook(lambda _, rest: (given, *rest[1:]))
        try:
            with _handing_on(self._before):
                return F.normalize(self._embed(self.standardized(self._blank)).float(), dim=-1)
        finally:
            hook.remove()

    def whole(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the encoder gives, as it now is: (B, H, W, 3) bytes -> (B, D), unit length."""
        return self.encoder.embed_pixels(pixels)

    def _checked(self) -> dict[str, nn.Parameter]:
        """The parameters that the tail depends on, which learn from now on."""
        size = self.encoder.preprocessing.size
        pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
        named = dict(self.model.named_parameters())
        try:
            inputs = self.trunk(pixels)
            for parameter in named.values():
                parameter.requires_grad_(parameter.is_floating_point())
            answer = self.tail(inputs)
            towards = torch.randn(answer.shape, generator=torch.Generator().manual_seed(0))
            gradients = torch.autograd.grad((answer * towards).sum(), list(named.values()), allow_unused=True)
            is_same = len(inputs) == 3 and np.allclose(
                answer.detach().numpy(), self.whole(pixels), rtol=0.0, atol=_AGREES
            )
        except (RuntimeError, IndexError, TypeError, ValueError):
            is_same = False
        if not is_same:
            raise InvalidOption(
                f"--tune {self.n_blocks}: the last blocks of the encoder {self.encoder.fingerprint.name} do "
                "not run apart from the rest; train the head alone, without --tune"
            )
        self.model.requires_grad_(False)
        weights = {
            name: parameter
            for (name, parameter), gradient in zip(named.items(), gradients, strict=True)
            if gradient is not None
        }
        for parameter in weights.values():
            parameter.requires_grad_(True)
        return weights


def blocks_of(visual: nn.Module) -> list[nn.Module]:
    """The blocks of an image tower in order, those without weights between them too; none, if none are known.

    Of several lists that of most weights, and of nested ones the outermost: stages rather than what is in
    them.
    """
    found: dict[str, list[nn.Module]] = {}
    for name, module in visual.named_modules():
        if any(name.startswith(f"{outer}.") or outer == "" for outer in found):
            continue
        is_list = isinstance(module, nn.ModuleList | nn.Sequential)
        if is_list and name.rpartition(".")[2] in _STACKS and len(list(module.children())):
            found[name] = list(module.children())
            continue
        numbered = [one for key, one in module.named_children() if _NUMBERED.match(key)]
        if len(numbered) > 1:
            found[name] = numbered
    return max(found.values(), key=lambda some: sum(map(_n_weights, some)), default=[])


class _Caught(Exception):
    """The input of the tail is at hand; what follows need not be computed."""


@contextmanager
def _handing_on(blocks: list[nn.Module]) -> Iterator[None]:
    """Blocks give back what they are given, for a while."""
    for block in blocks:
        block.forward = _given
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _given(first: Tensor, *_: Any, **__: Any) -> Tensor:
    return first


def _parts_of(encoder: ImageEncoder) -> tuple[nn.Module, nn.Module, Callable[[Tensor], Tensor]]:
    """The whole model, its image tower, and what embeds standardized photos.

    Raises:
        InvalidOption: an encoder of none of our backends.
    """
    if isinstance(encoder, OpenClipEncoder):
        return encoder._model, encoder._model.visual, encoder._model.encode_image
    if isinstance(encoder, TimmEncoder):
        return encoder._model, encoder._model, encoder._model
    if isinstance(encoder, DemonstrationEncoder):
        return encoder._net, encoder._net, encoder._net.embed_images
    raise InvalidOption(
        f"the encoder {encoder.fingerprint.name} has no weights that could be trained; encoders of open_clip "
        "and timm have"
    )


def _has_weights(module: nn.Module) -> bool:
    return _n_weights(module) > 0


def _n_weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
