"""What training reads of every photo again and again, made once: local features, or pixels.

The cache is one array on disk, in the folder of the run, mapped and not loaded: local features as
float16 where the backbone is frozen, whose 11 bits are finer than what JPEG leaves; else bytes of pixels.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import PlaceprintError, UnwritableFile
from ..processes import ALONE, World
from .encoder import PlaceEncoder
from .looks import look

BATCH = 32

Count = Callable[[int, int], None]


class CachedPhotos:
    """Photos of a run as the input of its trained part: local features, or standardized pixels.

    Args:
        encoder: whose backbone reads them.
        files: N photos.
        path: of the cache; what is there already is read and not made again.
        is_frozen: the backbone is not trained, so that its local features can be kept.
        n_looks: of each photo, see `looks`; the first is the whole photo.
        least_area: of the other looks.
        seed: of the other looks.
        count: called with how many photos are read, and N.
        world: the processes that each read some of them; the first writes.

    Raises:
        UnreadableImage: a photo that cannot be decoded.
        UnwritableFile: no room for the cache.
    """

    def __init__(
        self,
        encoder: PlaceEncoder,
        files: Sequence[Path],
        path: Path,
        *,
        is_frozen: bool,
        n_looks: int = 1,
        least_area: float = 1.0,
        seed: int = 0,
        count: Count = lambda done, total: None,
        world: World = ALONE,
    ) -> None:
        self.encoder, self.is_frozen, self.path = encoder, is_frozen, path
        self.n_looks, self.least_area, self.seed = n_looks, least_area, seed
        size, features = encoder.features.size, encoder.features
        shape = (features.channels, *features.grid) if is_frozen else (size, size, 3)
        dtype: type[Any] = np.float16 if is_frozen else np.uint8
        self.n_places = features.grid[0] * features.grid[1]
        if not world.first(path.exists):
            self._make(files, (len(files), n_looks, *shape), dtype, count, world)
        self._array: NDArray[Any] = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return len(self._array)

    def features(self, rows: NDArray[np.intp], looks: NDArray[np.intp] | None = None) -> Tensor:
        """Local features of photos, with a gradient where the backbone is trained.

        Args:
            rows: of the photos, (B,).
            looks: which look at each, (B,); None for the whole photos.

        Returns:
            (B, D, H, W) float32 on the device of the network.
        """
        network = self.encoder.features
        device = next(network.parameters()).device
        found = np.ascontiguousarray(self._array[rows, 0 if looks is None else looks])
        if self.is_frozen:
            return torch.from_numpy(found).float().to(device)
        features: Tensor = network(network.standardize(found).to(device))
        return features

    @torch.no_grad()
    def embed(
        self,
        rows: NDArray[np.intp],
        aggregator: Callable[[Tensor], Tensor],
        looks: NDArray[np.intp] | None = None,
    ) -> NDArray[np.float32]:
        """Aggregate photos, a batch at a time: rows and looks as for `features` -> (n, M)."""
        parts = []
        for start in range(0, len(rows), BATCH):
            block = slice(start, start + BATCH)
            features = self.features(rows[block], None if looks is None else looks[block])
            parts.append(aggregator(features).float().cpu().numpy())
        return np.concatenate(parts)

    def remove(self) -> None:
        """Delete the file; the run is done with it."""
        del self._array
        self.path.unlink(missing_ok=True)

    def _make(
        self, files: Sequence[Path], shape: tuple[int, ...], dtype: type[Any], count: Count, world: World
    ) -> None:
        """Read all photos into a file that gets its name when it is whole."""
        begun = self.path.with_name(f".{self.path.name}.begun")
        try:
            array = (
                np.lib.format.open_memmap(begun, mode="w+", dtype=dtype, shape=shape)
                if world.is_first
                else None
            )
            for start in range(0, len(files), world.size):
                some = range(len(files))[start : start + world.size]
                found = world.divided(partial(self._read, files, some), len(some)).numpy()
                if array is not None:
                    array[some.start : some.stop] = found
                    count(some.stop, len(files))
            if array is not None:
                array.flush()
                del array
            world.first(lambda: begun.replace(self.path))
        except OSError as error:
            raise UnwritableFile(f"{begun}: cannot be written ({error.strerror or error})") from None
        finally:
            if world.is_first:
                begun.unlink(missing_ok=True)

    def _read(self, files: Sequence[Path], rows: range, part: slice) -> Tensor:
        """All looks at some photos: (part, looks, ...)."""
        found = []
        for row in rows[part]:
            seen = [
                look(
                    files[row], self.encoder.preprocessing, number,
                    least_area=self.least_area, seed=self.seed, row=row,
                )
                for number in range(self.n_looks)
            ]  # fmt: skip
            found.append(self._content(np.stack(seen)))
        return torch.from_numpy(np.stack(found))

    def _content(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        if not self.is_frozen:
            return pixels
        found = self.encoder.local_features(pixels)
        if not (np.abs(found).max(initial=0.0) < np.finfo(np.float16).max):  # NaN is not, either
            raise PlaceprintError(
                f"layer {self.encoder.features.layer} of {self.encoder.features.name} gives numbers of up to "
                f"{np.abs(found).max():.3g}, too large to keep; take another layer"
            )
        return found.astype(np.float16)
