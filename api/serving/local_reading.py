"""Local features of photos as a second look asks for them, through the model thread.

Each photo is an input of its own, compared as soon as it is read: a search waits for one of them, not for all
twenty, and no more than a batch of grids is held at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...encoders.image import ImageEncoder
from ...encoders.match_map import MatchMap, match_map
from ...encoders.preprocessing import Preprocessing
from ...encoders.reranking import match_scores
from ...indexer.place_matcher import LocalReader
from .model_worker import Embed

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Look:
    """What a second look at a photo of the gallery found.

    Attributes:
        score: how much of the query's local features is found in it.
        features: its local features, (P, D), where somebody wants them.
    """

    score: float
    features: Tensor | None


@dataclass(frozen=True, eq=False)
class ServedReader:
    """Reads and compares local features; every function is for `ModelWorker.submit` and takes a list.

    Attributes:
        preprocessing: how photos are decoded for it.
        read: pixels (H, W, 3) -> local features (P, D), unit rows.
        look: (pixels, features of the query) -> `Look`.
        explain: (features of the query, of its answer, of the other answers (R, P, D)) -> `MatchMap`.
    """

    preprocessing: Preprocessing
    read: Embed
    look: Embed
    explain: Embed

    @classmethod
    def of(cls, encoder: ImageEncoder) -> "ServedReader":
        """Make ready, in the model thread.

        Raises:
            InvalidOption: the encoder's layers cannot be read.
        """
        reader = LocalReader(encoder)
        grid = reader.features.grid

        def read(batch: Sequence[Pixels]) -> list[Tensor]:
            return list(reader.of_pixels(np.stack(batch)))

        def look(batch: Sequence[tuple[Pixels, Tensor]]) -> list[Look]:
            found = read([pixels for pixels, _ in batch])
            scores = [
                float(match_scores(asked, there[None], grid)[0])
                for (_, asked), there in zip(batch, found, strict=True)
            ]
            return [Look(score, there) for score, there in zip(scores, found, strict=True)]

        def explain(batch: Sequence[tuple[Tensor, Tensor, Tensor]]) -> list[MatchMap]:
            return [match_map(*one, grid) for one in batch]

        functions: list[Any] = [read, look, explain]  # their results are no rows of an array
        return cls(reader.preprocessing, *functions)
