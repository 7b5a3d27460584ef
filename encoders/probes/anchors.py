"""Published scores to compare with: those of CoordBench's own result file, to three digits.

Source: `torchgeo/torchgeo-bench`, `results/coordbench-results.csv`; SatCLIP there is ViT16-L40. The
protocol is that of `probe`: ridge, and for classes also a vote of five neighbors in the embedding. For
California and air temperature the rows are the same as ours, file order included, so scores compare
digit by digit; the other tasks have points of their own there, and scores compare in size alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SOURCE = "CoordBench (torchgeo/torchgeo-bench, results/coordbench-results.csv)"
MODELS = ("sincos", "SatCLIP", "GeoCLIP", "SINR", "Climplicit", "MIND")


@dataclass(frozen=True)
class Anchor:
    """A published score.

    Attributes:
        model: whose embedding.
        score: R² or accuracy.
        method: "ridge", or "knn5" for a vote of five neighbors in the embedding.
        has_same_rows: whether it was measured on the rows that we measure on.
    """

    model: str
    score: float
    method: Literal["ridge", "knn5"]
    has_same_rows: bool


_PUBLISHED: dict[tuple[str, str], tuple[bool, dict[Literal["ridge", "knn5"], tuple[float, ...]]]] = {
    ("temperature", "random"): (True, {"ridge": (0.852, 0.834, 0.922, 0.951, 0.982, 0.945)}),
    ("temperature", "block10"): (True, {"ridge": (0.842, 0.760, 0.909, 0.922, 0.976, 0.943)}),
    ("california", "random"): (True, {"ridge": (0.243, 0.474, 0.702, 0.490, 0.582, 0.472)}),
    ("california", "block10"): (True, {"ridge": (-1.22, -4.37, -2.78, -571.0, -1.09, -0.69)}),
    ("country", "random"): (
        False,
        {
            "ridge": (0.533, 0.819, 0.869, 0.897, 0.936, 0.805),
            "knn5": (0.968, 0.965, 0.965, 0.961, 0.966, 0.961),
        },
    ),
    ("country", "block10"): (
        False,
        {
            "ridge": (0.529, 0.660, 0.778, 0.804, 0.757, 0.759),
            "knn5": (0.870, 0.828, 0.844, 0.856, 0.799, 0.852),
        },
    ),
    ("population", "random"): (False, {"ridge": (0.332, 0.684, 0.695, 0.729, 0.737, 0.738)}),
    ("population", "block10"): (False, {"ridge": (0.290, 0.577, 0.621, 0.634, 0.553, 0.701)}),
    ("elevation", "random"): (False, {"ridge": (0.086, 0.668, 0.606, 0.684, 0.896, 0.796)}),
    ("elevation", "block10"): (False, {"ridge": (0.041, 0.508, 0.452, 0.516, 0.793, 0.753)}),
}


BIOME: dict[str, tuple[float, ...]] = {
    "random": (0.585, 0.853, 0.826, 0.868, 0.899, 0.843),
    "block10": (0.556, 0.784, 0.765, 0.824, 0.811, 0.816),
}
"""Ridge accuracies of the models for biomes, for reference: we have no task of that name."""


def anchors(task: str, split: str) -> list[Anchor]:
    """Published scores of a task and split, in the order of the source; none where there are none."""
    has_same_rows, methods = _PUBLISHED.get((task, split), (False, {}))
    return [
        Anchor(model, score, method, has_same_rows)
        for method, scores in methods.items()
        for model, score in zip(MODELS, scores, strict=True)
    ]
