"""Networks on map crops: class ids become one-hot planes, planes become features.

Every network gives two things: the embedding, (B, D), not yet of unit length, and the pooled features
of a middle layer, (B, M), which intermediate clustering looks at. Crops may have any size that
`STRIDE` divides, so that global and local views go through the same weights. Letters: B crops, C
classes of the legend, D embedding, M middle.
"""

from typing import Any, NamedTuple

import timm
import torch
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from ..errors import InvalidOption

STRIDE = 16
"""Pixels that one cell of the last layer spans; sides of crops are multiples of it."""

CONV = {"tiny": (24, 32, 64, 128), "small": (48, 96, 192, 384)}
"""Widths of the stem and the three stages of our own networks."""

TIMM = {"vit-small": "vit_small_patch16_224", "vit-base": "vit_base_patch16_224", "resnet50": "resnet50"}
"""Larger ones, for a GPU."""

NETWORKS = (*CONV, *TIMM)


class Features(NamedTuple):
    """What a network says of crops."""

    embedding: Tensor  # (B, D)
    middle: Tensor  # (B, M)


def planes(ids: Tensor, n_classes: int, keep: Tensor | None = None) -> Tensor:
    """One-hot planes of class ids, float32.

    Args:
        ids: (B, px, px) uint8.
        n_classes: C.
        keep: which planes a crop keeps, (B, C) booleans; None for all. A plane left out is zero
            everywhere, as if the map had never drawn that class (channel dropout, as in Loc2Vec).

    Returns:
        (B, C, px, px).
    """
    classes = torch.arange(n_classes, device=ids.device, dtype=ids.dtype)
    found = (ids[:, None] == classes[:, None, None]).float()
    return found if keep is None else found * keep[:, :, None, None]


def draw_kept(n: int, n_classes: int, dropout: float) -> Tensor:
    """Which planes each of n crops keeps, (n, C) booleans, from torch's CPU generator."""
    return torch.rand(n, n_classes) >= dropout


class _Block(nn.Module):
    """Two 3x3 convolutions with a skip.

    Each cell is normalized over its channels: a crop's embedding must depend neither on other crops, as
    with BatchNorm, nor on the sum over its own cells, as with GroupNorm, which takes away how much there
    is of a thing. Untrained, GroupNorm read off 0.386 of the land use around, this 0.430.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(LayerNorm2d(width), nn.GELU(), nn.Conv2d(width, width, 3, padding=1))
        self.second = nn.Sequential(LayerNorm2d(width), nn.GELU(), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, cells: Tensor) -> Tensor:
        found: Tensor = cells + self.second(self.first(cells))
        return found


class ConvMapNet(nn.Module):
    """A small residual network: strides 2, 4, 8 and 16, then mean and maximum over the crop.

    The mean says how much of the crop a thing covers, the maximum whether it is there at all. Beside
    them stand the roots of the classes' shares, which the network need not find again: a road covers
    little of a crop, and its share is still told from none.
    """

    def __init__(self, n_classes: int, dimension: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        stem, low, mid, high = widths
        self.n_classes, self.middle_width = n_classes, mid
        self.stem = nn.Conv2d(n_classes, stem, 3, stride=2, padding=1)
        self.low = nn.Sequential(nn.GELU(), nn.Conv2d(stem, low, 3, stride=2, padding=1), _Block(low))
        self.mid = nn.Sequential(nn.Conv2d(low, mid, 3, stride=2, padding=1), _Block(mid))
        self.high = nn.Sequential(nn.Conv2d(mid, high, 3, stride=2, padding=1), _Block(high))
        self.norm = nn.LayerNorm(2 * high)
        self.output = nn.Linear(2 * high + n_classes, dimension)

    def forward(self, ids: Tensor, keep: Tensor | None = None) -> Features:
        """Crops (B, px, px) uint8, and the planes they keep (B, C) -> features."""
        seen = planes(ids, self.n_classes, keep)
        middle = self.mid(self.low(self.stem(seen)))
        high = self.high(middle)
        pooled = torch.cat([high.mean(dim=(2, 3)), high.amax(dim=(2, 3))], dim=1)
        # Their squares add up to 1; times the root of C they are as large as the normalized rest.
        share = self.n_classes**0.5 * seen.mean(dim=(2, 3)).sqrt()
        return Features(self.output(torch.cat([self.norm(pooled), share], dim=1)), middle.mean(dim=(2, 3)))


class TimmMapNet(nn.Module):
    """A network of timm on one-hot planes, without pre-trained weights."""

    def __init__(self, n_classes: int, dimension: int, model: str) -> None:
        super().__init__()
        self.n_classes, self.is_vit = n_classes, model.startswith("vit")
        options: dict[str, Any] = {"dynamic_img_size": True} if self.is_vit else {}
        body: Any = timm.create_model(model, pretrained=False, in_chans=n_classes, num_classes=0, **options)
        self.body = body
        self.index = len(body.blocks) // 2 if self.is_vit else 3
        self.middle_width = int(body.feature_info[self.index]["num_chs"])
        self.output = nn.Linear(int(body.num_features), dimension)

    def forward(self, ids: Tensor, keep: Tensor | None = None) -> Features:
        """Crops (B, px, px) uint8, and the planes they keep (B, C) -> features."""
        body: Any = self.body
        last, (middle,) = body.forward_intermediates(
            planes(ids, self.n_classes, keep), indices=[self.index], output_fmt="NCHW"
        )
        pooled = body.forward_head(last, pre_logits=True)
        return Features(self.output(pooled), middle.mean(dim=(2, 3)))


def map_network(name: str, n_classes: int, dimension: int) -> ConvMapNet | TimmMapNet:
    """Make a network by its name, untrained.

    Raises:
        InvalidOption: no network of that name.
    """
    if name in CONV:
        return ConvMapNet(n_classes, dimension, CONV[name])
    if name in TIMM:
        return TimmMapNet(n_classes, dimension, TIMM[name])
    raise InvalidOption(f"no map network {name!r}; there are {', '.join(NETWORKS)}")
