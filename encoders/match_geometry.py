"""Do matched places of two pictures move together? RANSAC, and a cheaper vote.

`ransac` (Fischler and Bolles 1981) draws the smallest sets of matches that fix a transform, all at once, and
counts the matches that it brings within a tolerance; the best is fitted again to all its inliers. `votes`
lets every match vote for its displacement, once, and counts the fullest spot (spatial Hough voting).

Places are (x, y), any unit, (M, 2) float32; T trials of m matches each. Homogeneous coordinates, row
vectors: (x', y', w) = (x, y, 1) A with A (3, 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from .errors import InvalidOption

Model = Literal["similarity", "affine", "homography"]
LEAST: dict[Model, int] = {"similarity": 2, "affine": 3, "homography": 4}
"""How many matches fix a transform of each kind."""
LEAST_AREA = 0.01
"""A transform that shrinks areas below this share is refused."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """The transform that most matches agree with.

    Attributes:
        transform: (3, 3), or None where there were too few matches to fix one.
        inliers: which matches agree, (M,).
    """

    transform: Tensor | None
    inliers: Tensor

    @property
    def n_inliers(self) -> int:
        """How many agree."""
        return int(self.inliers.sum())


def ransac(
    source: Tensor,
    target: Tensor,
    *,
    model: Model = "affine",
    tolerance: float = 1.5,
    n_trials: int = 256,
    seed: int = 0,
) -> Agreement:
    """Find the transform from source to target that the most matches agree with.

    Args:
        source: places in one picture, (M, 2).
        target: places matched to them, (M, 2).
        model: similarity (4 numbers), affine (6) or homography (8).
        tolerance: distance from where a match is sent to where it is, in the places' unit.
        n_trials: T.
        seed: of the draws; the same gives the same answer.

    Raises:
        InvalidOption: an unknown model, or a tolerance or a number of trials that is not above 0.
    """
    if model not in get_args(Model) or tolerance <= 0.0 or n_trials < 1:
        raise InvalidOption(
            f"model {model!r}, tolerance {tolerance}, {n_trials} trials: models are {', '.join(LEAST)}, and "
            "the numbers must be above 0"
        )
    n, m = len(source), LEAST[model]
    if n < m:
        return Agreement(None, torch.zeros(n, dtype=torch.bool))
    source, target = source.double(), target.double()
    generator = torch.Generator().manual_seed(seed)
    # The first m of a random order are m different ones.
    drawn = torch.rand(n_trials, n, generator=generator).argsort(dim=1)[:, :m]
    transforms = fit(source[drawn], target[drawn], model)
    agree = residuals(transforms, source, target) <= tolerance  # (T, M)
    # A collapsed transform brings all matches to one spot, and pictures are not mirrored.
    agree &= (torch.linalg.det(transforms) > LEAST_AREA)[:, None]
    best = int(agree.sum(dim=1).argmax())
    first = Agreement(transforms[best], agree[best])
    if first.n_inliers <= m:
        return first
    refitted = fit(source[None, first.inliers], target[None, first.inliers], model)
    again = Agreement(refitted[0], residuals(refitted, source, target)[0] <= tolerance)
    return again if again.n_inliers >= first.n_inliers else first


def fit(source: Tensor, target: Tensor, model: Model) -> Tensor:
    """Least-squares transforms of sets of matches: (T, m, 2) and (T, m, 2) float64 -> (T, 3, 3).

    Homographies minimize the algebraic error of the direct linear transform with h33 = 1, about the
    middle of each set. Sets that fix no transform give one that agrees with little.
    """
    center_s, center_t = source.mean(dim=1, keepdim=True), target.mean(dim=1, keepdim=True)
    x, y = (source - center_s).unbind(dim=2)
    u, v = (target - center_t).unbind(dim=2)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    if model == "similarity":
        # u = a x - b y + c, v = b x + a y + d
        rows = [torch.stack([x, -y, one, zero], dim=2), torch.stack([y, x, zero, one], dim=2)]
        a, b, c, d = _solve(rows, u, v).unbind(dim=1)
        cells = (a, b, zero[:, 0], -b, a, zero[:, 0], c, d, one[:, 0])
    elif model == "affine":
        rows = [
            torch.stack([x, y, one, zero, zero, zero], dim=2),
            torch.stack([zero, zero, zero, x, y, one], dim=2),
        ]
        a, b, c, d, e, f = _solve(rows, u, v).unbind(dim=1)
        cells = (a, d, zero[:, 0], b, e, zero[:, 0], c, f, one[:, 0])
    else:
        rows = [
            torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=2),
            torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=2),
        ]
        a, b, c, d, e, f, g, h = _solve(rows, u, v).unbind(dim=1)
        cells = (a, d, g, b, e, h, c, f, one[:, 0])
    about_middle = torch.stack(cells, dim=1).reshape(-1, 3, 3)
    return _shift(-center_s) @ about_middle @ _shift(center_t)


def _solve(rows: list[Tensor], u: Tensor, v: Tensor) -> Tensor:
    """Least squares by the normal equations, with a ridge that keeps degenerate sets solvable."""
    design = torch.cat(rows, dim=1)
    wanted = torch.cat([u, v], dim=1)[..., None]
    square = design.transpose(1, 2) @ design
    ridge = 1e-9 * torch.eye(square.shape[-1], dtype=square.dtype)
    solved: Tensor = torch.linalg.solve(square + ridge, design.transpose(1, 2) @ wanted)
    return solved[..., 0]


def _shift(by: Tensor) -> Tensor:
    """Translations, (T, 1, 2) -> (T, 3, 3)."""
    moves = torch.eye(3, dtype=by.dtype).repeat(len(by), 1, 1)
    moves[:, 2, :2] = by[:, 0]
    return moves


def residuals(transforms: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Distance from where each match is sent to where it is: (T, 3, 3), (M, 2), (M, 2) -> (T, M)."""
    extended = torch.cat([source, torch.ones_like(source[:, :1])], dim=1)
    sent = extended @ transforms  # (T, M, 3)
    depth = sent[..., 2:]
    # A point behind the picture plane is nowhere in it.
    there = sent[..., :2] / depth.clamp(min=1e-9)
    away = (there - target).norm(dim=2)
    return torch.where(depth[..., 0] > 1e-9, away, torch.inf)


def votes(source: Tensor, target: Tensor, *, width: float = 1.5, weights: Tensor | None = None) -> float:
    """Weight of the matches whose displacements lie around the most popular one.

    Every match's displacement is a candidate, and counts the others by a Gaussian kernel: no bins, whose
    edges would cut a crowd in two.

    Args:
        source: (M, 2).
        target: (M, 2).
        width: standard deviation of the kernel, in the places' unit.
        weights: of the matches, (M,); one each by default.
    """
    if not len(source):
        return 0.0
    displacement = (target - source).float()
    weights = torch.ones(len(source)) if weights is None else weights.float()
    kernel = torch.exp(-torch.cdist(displacement, displacement).square() / (2.0 * width * width))
    return float((kernel @ weights).max())
