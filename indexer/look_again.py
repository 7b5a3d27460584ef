"""The photos of a gallery looked at by another encoder, whose embeddings are kept beside: a named vector.

Each photo is read again from where it was indexed. What is embedded is committed batch by batch, so that the
same call goes on after an interruption, and later takes in what has come.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..encoders.decoding import DecodePool
from ..encoders.errors import UnreadableImage
from .gallery import Gallery
from .interrupt import uninterrupted
from .originals import read_original

if TYPE_CHECKING:  # it loads torch
    from ..encoders.image import ImageEncoder

BATCH = 64
COMMIT = 1024  # at most so many are embedded again after a kill

Progress = Callable[[int, int], None]


class LookedAgain(NamedTuple):
    """What became of looking again."""

    n_embedded: int
    n_there: int  # looked at before
    missing: list[str]  # ids of photos whose file is not at hand, or cannot be read


def look_again(
    gallery: Gallery,
    name: str,
    encoder: "ImageEncoder",
    *,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
) -> LookedAgain:
    """Give the photos of a gallery the vectors of a name that they lack.

    Args:
        gallery: of photos.
        name: of the vectors, begun with `Gallery.vectors.begin`.
        encoder: of these vectors.
        workers: processes that decode; all cores by default.
        progress: called with the photos done and their number.

    Raises:
        UnknownVector: there are no vectors of that name.
        FingerprintMismatch: they are by another encoder.
        KeyboardInterrupt: once what was embedded until then is committed.
    """
    gallery.check(encoder.fingerprint, using=name)
    due = gallery.vectors.lacking(name)
    n_there, n_done, missing = len(gallery) - len(due), 0, list[str]()
    waiting: list[tuple[str, NDArray[np.float32]]] = []

    def commit() -> None:
        with uninterrupted():
            gallery.vectors.add(name, [one for one, _ in waiting], np.array([one for _, one in waiting]))
            waiting.clear()

    with DecodePool(encoder.preprocessing, workers=workers) as pool:

        def read(id: str) -> tuple[str, NDArray[np.uint8] | None]:
            try:
                content = read_original(id, gallery.state.keys.get(id, ()))
                return id, pool.decode(content)[0]
            except UnreadableImage:
                return id, None

        try:
            for start in range(0, len(due), BATCH):
                batch = list(pool.map(read, due[start : start + BATCH]))
                found = [(id, pixels) for id, pixels in batch if pixels is not None]
                missing += [id for id, pixels in batch if pixels is None]
                if found:
                    embeddings = encoder.embed_pixels(np.stack([pixels for _, pixels in found]))
                    sha256s = [_sha256(gallery, id) for id, _ in found]
                    waiting += zip(sha256s, embeddings, strict=True)
                if len(waiting) >= COMMIT:
                    commit()
                n_done += len(batch)
                progress(n_done, len(due))
        finally:
            commit()
    return LookedAgain(n_done - len(missing), n_there, missing)


def _sha256(gallery: Gallery, id: str) -> str:
    return gallery.state.entries[gallery.state.keys[id][0]].sha256
