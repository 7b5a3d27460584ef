"""Encoders that workers of a Ray cluster make for themselves, one of which is killed on the way."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from fakes import ColorEncoder
from numpy.typing import NDArray


class KilledOnce(ColorEncoder):
    """Its process is killed in the middle of the third batch of whichever worker gets there first."""

    def __init__(self, mark: Path) -> None:
        super().__init__()
        self._mark = mark
        self._n_batches = 0

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._n_batches += 1
        time.sleep(0.02)
        if self._n_batches == 3 and not self._mark.exists():
            self._mark.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed_pixels(pixels)


class KilledAlways(ColorEncoder):
    """No worker survives its first batch."""

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().embed_pixels(pixels)
