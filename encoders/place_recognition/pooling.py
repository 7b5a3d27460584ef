"""Aggregations of local features into one embedding: mean, GeM, the flattened map, optimal transport.

Every aggregation takes (B, D, H, W) and gives (B, M) of unit length; NetVLAD has a module of its own.

- Mean: Σ x / N.
- GeM (Radenović et al. 2018, arXiv:1711.02512): (Σ max(x, ε)^p / N)^(1/p), p learned; p = 1 is the mean of
  what is positive, p -> ∞ the maximum.
- Flattened map: every place of the grid kept apart; two walks along one way are compared place by
  place. It knows nothing of shifted viewpoints.
- Optimal transport: Σ_i P_ki f(x_i), with P the assignment of places to clusters that has the wanted
  masses, found by Sinkhorn's iterations, after Izquierdo and Civera 2024 (arXiv:2311.15937), written
  anew from the formulas. A dustbin takes the places that tell nothing.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InvalidOption
from ..netvlad import NetVLAD

Kind = Literal["netvlad", "gem", "mean", "flat", "transport"]


class Aggregator(Protocol):
    """Local features into one embedding; a module of torch."""

    @property
    def dimension(self) -> int:
        """Length M of an embedding."""

    def __call__(self, features: Tensor) -> Tensor:
        """Aggregate: (B, D, H, W) -> (B, M), unit length."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """What can be trained."""

    def to(self, device: torch.device) -> object:
        """Move it to a device."""

    def state_dict(self) -> dict[str, Tensor]:
        """What a file has to hold."""

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> object:
        """Take what a file held."""


class Mean(nn.Module):
    """The mean over the grid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dimension = channels

    def forward(self, features: Tensor) -> Tensor:
        """Aggregate: (B, D, H, W) -> (B, D), unit length."""
        return F.normalize(features.mean(dim=(2, 3)), dim=1)


class GeM(nn.Module):
    """The generalized mean over the grid; negative features count as none.

    Args:
        channels: D.
        p: the power at the start.
    """

    FLOOR = 1e-6

    def __init__(self, channels: int, *, p: float = 3.0) -> None:
        super().__init__()
        if not 0.0 < p < math.inf:
            raise InvalidOption(f"p={p}: the power of GeM must be above 0, and finite")
        self.dimension = channels
        self.p = nn.Parameter(torch.tensor(float(p)))

    def forward(self, features: Tensor) -> Tensor:
        """Aggregate: (B, D, H, W) -> (B, D), unit length."""
        powers = features.clamp(min=self.FLOOR) ** self.p
        return F.normalize(powers.mean(dim=(2, 3)) ** (1.0 / self.p), dim=1)


class FlatMap(nn.Module):
    """The grid itself, each place of unit length; layout D-major: entry d H' W' + place.

    Args:
        channels: D.
        grid: H' and W', to which the grid is averaged.
    """

    def __init__(self, channels: int, *, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = (int(grid[0]), int(grid[1]))
        if min(self.grid) < 1:
            raise InvalidOption(f"grid={grid}: two numbers of places, 1 or more each")
        self.dimension = channels * self.grid[0] * self.grid[1]

    def forward(self, features: Tensor) -> Tensor:
        """Aggregate: (B, D, H, W) -> (B, D H' W'), unit length."""
        places = F.normalize(F.adaptive_avg_pool2d(features, self.grid), dim=1)
        return F.normalize(places.flatten(1), dim=1)


class OptimalTransport(nn.Module):
    """Assign places to clusters so that each gets a fair share, and sum what they say.

    Places weigh one each; a cluster may take one, the dustbin the other N - K (or one, where there are
    fewer places than clusters). Its score is a constant, and not a learned one: scaling the rows of a plan
    takes every constant of a row away. Beside the clusters stands what the mean feature says of the whole.

    Args:
        channels: D.
        n_clusters: K.
        width: L, of what a place says to its cluster.
        token_width: of what the whole says.
        hidden: of the three small networks.
        n_iterations: of Sinkhorn.
    """

    def __init__(
        self,
        channels: int,
        *,
        n_clusters: int = 64,
        width: int = 128,
        token_width: int = 256,
        hidden: int = 512,
        n_iterations: int = 3,
    ) -> None:
        super().__init__()
        if min(channels, n_clusters, width, token_width, hidden, n_iterations) < 1:
            raise InvalidOption("optimal transport needs 1 or more of everything that it counts")
        self.score = _two_layers(channels, hidden, n_clusters)
        self.say = _two_layers(channels, hidden, width)
        self.token = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, token_width))
        self.n_iterations = n_iterations
        self.dimension = token_width + n_clusters * width

    def forward(self, features: Tensor) -> Tensor:
        """Aggregate: (B, D, H, W) -> (B, token_width + K L), unit length, the token first, then K-major."""
        scores = self.score(features).flatten(2)  # (B, K, N)
        plan = transport_plan(F.pad(scores, (0, 0, 0, 1)), self.n_iterations)[:, :-1]
        said = torch.einsum("bkn,bln->bkl", plan, self.say(features).flatten(2))
        token = F.normalize(self.token(features.mean(dim=(2, 3))), dim=1)
        return F.normalize(torch.cat([token, F.normalize(said, dim=2).flatten(1)], dim=1), dim=1)


def transport_plan(scores: Tensor, n_iterations: int) -> Tensor:
    """Sinkhorn's iterations in the logarithm (Cuturi 2013): rows and columns scaled in turn.

    Args:
        scores: how well each of N places fits each of K clusters and the dustbin, (B, K + 1, N).
        n_iterations: pairs of scalings; the columns come last, so that each place gives just one.

    Returns:
        Masses, (B, K + 1, N).
    """
    n_rows, n_places = scores.shape[1:]
    wanted = scores.new_zeros(n_rows)
    wanted[-1] = math.log(max(1, n_places - (n_rows - 1)))
    log_plan = scores
    for _ in range(n_iterations):
        log_plan = log_plan - log_plan.logsumexp(dim=2, keepdim=True) + wanted[:, None]
        log_plan = log_plan - log_plan.logsumexp(dim=1, keepdim=True)
    return log_plan.exp()


def _two_layers(channels: int, hidden: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, out, 1))


KINDS: dict[Kind, Callable[..., Aggregator]] = {
    "netvlad": NetVLAD,
    "gem": GeM,
    "mean": Mean,
    "flat": FlatMap,
    "transport": OptimalTransport,
}


def make_aggregator(kind: Kind, channels: int, options: Mapping[str, Any]) -> Aggregator:
    """The aggregation that a file or a setting names.

    Args:
        kind: which one.
        channels: D.
        options: its keyword arguments, JSON.

    Raises:
        InvalidOption: no such aggregation, or an option that it does not have.
    """
    if kind not in KINDS:
        raise InvalidOption(f"no aggregation {kind!r}; there are {', '.join(KINDS)}")
    try:
        return KINDS[kind](channels, **options)
    except TypeError as error:
        raise InvalidOption(f"the aggregation {kind}: {error}") from None
