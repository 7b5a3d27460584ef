"""A grid of local features of a photo, from a middle layer of an image encoder's backbone.

Place recognition compares what stands where, which an encoder's one embedding has averaged away. Any
timm model and any image tower of open_clip will do, convolutional or a transformer, at the input size
that its user chooses: positional embeddings are resampled to it.

Letters: B photos, D channels, H W the grid. Features are as the layer gives them, not of unit length.
"""

import copy
import re
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InvalidOption
from ..fingerprint import Fingerprint
from ..image import Backbone
from ..preprocessing import Preprocessing

_BLOCK = re.compile(r"(?:.*?\b(?:blocks|resblocks|stages|layers)\.\d+|(?:.*\.)?layer\d+)\.")


class HasBackbone(Protocol):
    """An image encoder whose layers can be read; those of timm and open_clip are."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Whose weights these are."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How the encoder itself sees photos."""

    @property
    def backbone(self) -> Backbone:
        """The network that sees."""


class LocalFeatures(nn.Module):
    """The layers of a backbone up to one of them. A copy: the encoder stays as it is.

    Args:
        encoder: whose backbone to take.
        layer: number of the layer, counted from the end where negative: a block of a transformer, a
            stage of a convolutional network. The last one of a transformer comes after its final
            norm, as its own head sees it.
        size: height and width of the input, pixels; None for the encoder's own. A convolutional
            network takes pictures of any other height and width as well, a transformer does not.

    Attributes:
        channels: D.
        grid: H and W at `size`.
        n_layers: how many layers there are to choose from.
        takes_any_size: pictures of any height and width will do; of transformers only `size` does.

    Raises:
        InvalidOption: the encoder has no layers to read, no such layer, or does not take the size.
    """

    def __init__(self, encoder: HasBackbone, *, layer: int = -1, size: int | None = None) -> None:
        super().__init__()
        self.name = encoder.fingerprint.name
        backbone: Backbone | None = getattr(encoder, "backbone", None)
        if backbone is None or not hasattr(backbone.module, "forward_intermediates"):
            raise InvalidOption(
                f"{self.name}: its layers cannot be read; take a timm model or an open_clip one"
            )
        self.size = encoder.preprocessing.size if size is None else size
        self.standardize = backbone.standardize
        self.network: nn.Module = copy.deepcopy(backbone.module).eval().requires_grad_(False)
        self._fit_size()
        self.n_layers = len(self._layers(torch.zeros(1, 3, self.size, self.size), None))
        if not -self.n_layers <= layer < self.n_layers:
            raise InvalidOption(
                f"layer={layer}: {self.name} has {self.n_layers} layers, 0 to {self.n_layers - 1}, or "
                f"-{self.n_layers} to -1 from the end"
            )
        self.layer = layer % self.n_layers
        with torch.inference_mode():
            _, self.channels, *grid = self(torch.zeros(1, 3, self.size, self.size)).shape
        self.grid = (int(grid[0]), int(grid[1]))

    def forward(self, images: Tensor) -> Tensor:
        """Read the layer: standardized photos (B, 3, height, width) -> (B, D, H, W) float32."""
        return self._layers(images, self.layer)[-1].float()

    @torch.inference_mode()
    def of_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Read the layer: bytes (B, height, width, 3) -> (B, D, H, W).

        Raises:
            InvalidOption: pictures of another size than `size`, for a transformer.
        """
        if not self.takes_any_size and pixels.shape[1:3] != (self.size, self.size):
            raise InvalidOption(
                f"pictures of {pixels.shape[2]} × {pixels.shape[1]} pixels: {self.name} was set to "
                f"{self.size} × {self.size}; a convolutional backbone takes any"
            )
        device = next(self.network.parameters()).device
        found: NDArray[np.float32] = self(self.standardize(pixels).to(device)).cpu().numpy()
        return found

    def train(self, mode: bool = True) -> "LocalFeatures":
        """Stay in evaluation mode: running statistics of another data set are no part of training here."""
        return super().train(False)

    def block_names(self) -> list[str]:
        """Beginnings of the names of parameters of each block that the layer comes from, first to last.

        Blocks are told by how backbones name them: ``blocks.3.``, ``stages.3.``, ``layer4.`` and the like;
        the stem before them is none.
        """
        with torch.enable_grad():
            probe = copy.deepcopy(self).requires_grad_(True)
            probe(torch.zeros(1, 3, self.size, self.size)).square().sum().backward()
        used = [name for name, one in probe.network.named_parameters() if one.grad is not None]
        return list(dict.fromkeys(found[0] for name in used if (found := _BLOCK.match(name))))

    def _layers(self, images: Tensor, layer: int | None) -> list[Tensor]:
        is_last = layer is not None and layer == getattr(self, "n_layers", 0) - 1
        norm = "norm" if self._is_timm else "normalize_intermediates"
        options: dict[str, Any] = {"intermediates_only": True, "output_fmt": "NCHW", norm: is_last}
        if layer is not None:
            options |= {"indices": [layer], "stop_early": True}
        found = self.network.forward_intermediates(images, **options)  # type: ignore[operator]
        return list(found if isinstance(found, list) else found["image_intermediates"])

    @property
    def _is_timm(self) -> bool:
        return not type(self.network).__module__.startswith("open_clip")

    def _fit_size(self) -> None:
        """Make the network take pictures of our size.

        Raises:
            InvalidOption: it does not.
        """
        network: Any = self.network
        self.takes_any_size = False
        if isinstance(getattr(network, "positional_embedding", None), nn.Parameter):
            patch = network.patch_size
            if self.size % patch[0] or self.size % patch[1]:
                raise InvalidOption(
                    f"size={self.size}: {self.name} cuts pictures into patches of {patch[0]} × {patch[1]} "
                    f"pixels; take a multiple, such as {patch[0] * max(1, round(self.size / patch[0]))}"
                )
            grid = (self.size // patch[0], self.size // patch[1])
            positions = resampled_positions(network.positional_embedding.data, network.grid_size, grid)
            network.positional_embedding = nn.Parameter(positions, requires_grad=False)
            network.grid_size = grid
            return
        try:
            if hasattr(getattr(network, "trunk", network), "set_input_size"):
                network.set_input_size((self.size, self.size))
            else:  # convolutional networks have no such method
                self.takes_any_size = True
            self._layers(torch.zeros(1, 3, self.size, self.size), None)
        except Exception as error:  # each model refuses in its own way
            raise InvalidOption(f"size={self.size}: {self.name} does not take it ({error})") from None


def resampled_positions(positions: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Positional embeddings of another grid, bicubic; those of leading tokens are kept.

    Args:
        positions: (n_tokens + H W, D), row by row.
        old: H and W.
        new: H and W wanted.

    Returns:
        (n_tokens + H' W', D); the very same where the grid is.
    """
    if tuple(old) == tuple(new):
        return positions
    n_tokens = len(positions) - old[0] * old[1]
    grid = positions[n_tokens:].float().reshape(1, *old, -1).permute(0, 3, 1, 2)
    moved = F.interpolate(grid, size=new, mode="bicubic", antialias=True, align_corners=False)
    moved = moved.permute(0, 2, 3, 1).reshape(new[0] * new[1], -1).to(positions.dtype)
    return torch.cat([positions[:n_tokens], moved])
