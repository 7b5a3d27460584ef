"""The same views by torch: levels stay on a device, and a batch is cut there in one gather.

Every pixel equals `Mosaic.crops`: both backends add the same integers (`cut`). No float reaches the device,
whose `grid_sample` could not even address a wide level in half precision.
"""

from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from .cut import BITS, Cut
from .legend import NODATA
from .mercator import world_px
from .mosaic import Level, Mosaic


class TorchMosaic:
    """A mosaic whose pixels lie on a device, one byte each.

    Args:
        mosaic: as opened.
        device: where views are cut and stay.
    """

    def __init__(self, mosaic: Mosaic, device: str | torch.device = "cpu") -> None:
        self.mosaic = mosaic
        self.device = torch.device(device)
        # A copy: the mosaic's own pixels are read-only, which torch cannot promise.
        self._flat = [torch.tensor(level.pixels, device=self.device).reshape(-1) for level in mosaic.levels]

    def crops(self, lonlat: ArrayLike, *, px: int = 224, **how: Any) -> Tensor:
        """Cut views as `Mosaic.crops` does: (B, px, px) uint8 on the device."""
        cuts = self.mosaic.cuts(lonlat, px=px, **how)
        n = sum(len(rows) for _, rows, _ in cuts)
        out = torch.empty((n, px, px), dtype=torch.uint8, device=self.device)
        for number, rows, cut in cuts:
            level = self.mosaic.levels[number]
            out[torch.from_numpy(rows).to(self.device)] = self._take(level, self._flat[number], cut, px)
        return out

    def _take(self, level: Level, flat: Tensor, cut: Cut, px: int) -> Tensor:
        """The views of one cut, (B, px, px)."""
        on = {name: torch.from_numpy(value).to(self.device) for name, value in vars(cut).items()}
        at = torch.arange(px, device=self.device)
        on = {name: value[:, None, None] for name, value in on.items()}
        row = (on["y"] + on["y_down"] * at[:, None] + on["y_right"] * at) >> BITS
        column = (on["x"] + on["x_down"] * at[:, None] + on["x_right"] * at) >> BITS
        column = torch.where(
            (column < 0) | (column >= level.window.width), column.remainder(world_px(level.zoom)), column
        )
        known = (row >= 0) & (row < level.window.height) & (column < level.window.width)
        known &= on["is_known"]
        index = torch.where(known, row * level.window.width + column, 0)
        return torch.where(known, flat[index], NODATA)
