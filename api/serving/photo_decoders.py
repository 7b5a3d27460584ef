"""Photos that were sent, decoded by sandboxed processes; and small pictures of those in galleries."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...encoders.decoding import DecodePool
from ...encoders.errors import UnreadableImage
from ...encoders.photo import PhotoFacts
from ...encoders.photo_formats import FORMATS
from ...encoders.preprocessing import Preprocessing
from ...encoders.upload_limits import UploadLimits
from . import metrics
from .service_settings import ServiceSettings

PATIENT_NICENESS = 5
"""Of the processes that decode for those who only want embeddings: searches go first."""

OWN_TIMEOUT_S = 20.0

Pixels = NDArray[np.uint8]
Answer = TypeVar("Answer")


class PhotoDecoders:
    """Processes that decode, each asked by a thread of its own; started by the first photo.

    Args:
        settings: of the operator.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        limits = UploadLimits(formats=tuple(settings.formats), max_pixels=int(settings.max_pixels_mp * 1e6))
        self.pools = tuple(
            DecodePool(
                Preprocessing(size=224),
                workers=settings.decoders,
                timeout_s=settings.deadline_s,
                limits=limits,
                niceness=niceness,
            )
            for niceness in (0, PATIENT_NICENESS)
        )
        # Files of galleries may be of any format, for the operator has put them there.
        self._own = DecodePool(
            Preprocessing(size=224), workers=1, timeout_s=OWN_TIMEOUT_S, limits=UploadLimits(formats=FORMATS)
        )
        self._threads = tuple(
            ThreadPoolExecutor(settings.decoders, thread_name_prefix=name)
            for name in ("decode", "decode-patiently")
        )
        self._n_crashes_seen = 0

    async def decode(
        self, content: bytes, preprocessing: Preprocessing, *, is_patient: bool = False
    ) -> tuple[Pixels, PhotoFacts]:
        """A photo as a model sees it, and what its file says of itself.

        Args:
            content: the file.
            preprocessing: of the model.
            is_patient: whether others may go first.

        Raises:
            UnreadableImage: it cannot be decoded, or is of a format that is not taken.
        """
        pool, threads = self.pools[is_patient], self._threads[is_patient]
        started = time.perf_counter()
        try:
            return await asyncio.get_running_loop().run_in_executor(
                threads, pool.decode, content, preprocessing
            )
        except UnreadableImage as error:
            metrics.DECODE_FAILURES.labels(type(error).__name__).inc()
            raise
        finally:
            metrics.DECODE_SECONDS.observe(time.perf_counter() - started)

    def decode_own(self, content: bytes, preprocessing: Preprocessing) -> tuple[Pixels, PhotoFacts]:
        """A photo of a gallery as a model sees it, for threads that work on files."""
        return self._own.decode(content, preprocessing)

    def thumbnail(self, content: bytes, side_px: int) -> bytes:
        """A small JPEG of a photo of a gallery, made of its pixels alone; takes as long as decoding."""
        return self._own.thumbnail(content, side_px)

    def count_crashes(self) -> None:
        """Count the processes that photos have ended since the last time."""
        n_crashed = sum(pool.n_crashed for pool in self.pools)
        metrics.DECODER_CRASHES.inc(n_crashed - self._n_crashes_seen)
        self._n_crashes_seen = n_crashed

    def close(self) -> None:
        """End threads and processes."""
        for threads in self._threads:
            threads.shutdown(cancel_futures=True)
        for pool in (*self.pools, self._own):
            pool.close()
