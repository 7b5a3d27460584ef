"""The trainable half of a location encoder: features of a place (n, F) -> embedding (n, D).

Each network takes `(in_features, out_features)` and JSON options, and ends linear. A `dropout` of
0 is the default where we follow a network of sines: SatCLIP's code drops half of them unasked.
"""

import math
from collections.abc import Sequence
from inspect import signature
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from .errors import InvalidOption, UnknownEncoder

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


def activation(name: str) -> nn.Module:
    """A pointwise activation by name; ``leaky-relu`` has slope 0.2, as in CSP.

    Raises:
        InvalidOption: an unknown name.
    """
    if name == "leaky-relu":
        return nn.LeakyReLU(0.2)
    if name not in ACTIVATIONS:
        raise InvalidOption(f"no activation {name!r}; there are leaky-relu, {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


class FeedForward(nn.Module):
    """The network of Space2Vec and CSP: hidden layers with skips and layer norms, then a linear one.

    Each hidden layer is Linear -> activation -> dropout -> plus its input where the widths agree ->
    LayerNorm. Weights start Xavier-uniform, biases at 0.

    Their released code puts activation and dropout on the output too, against its docstring; an
    embedding that cannot be negative wastes half of every axis. `legacy_output_act` brings that
    back, only to load such weights.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        hidden: int = 512,
        layers: int = 1,
        dropout: float = 0.5,
        act: str = "leaky-relu",
        skip: bool = True,
        layer_norm: bool = True,
        legacy_output_act: bool = False,
    ) -> None:
        super().__init__()
        widths = [in_features, *[hidden] * layers]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(
            nn.LayerNorm(hidden) if layer_norm else nn.Identity() for _ in range(layers)
        )
        self.output = nn.Linear(widths[-1], out_features)
        self.act = activation(act)
        self.dropout = nn.Dropout(dropout)
        self.skip = skip
        self.legacy_output_act = legacy_output_act
        for linear in [*self.hidden, self.output]:
            assert isinstance(linear, nn.Linear)  # for the type checker
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features (..., F) -> (..., D)."""
        for linear, norm in zip(self.hidden, self.norms, strict=True):
            found = self.dropout(self.act(linear(features)))
            features = norm(found + features if self.skip and found.shape == features.shape else found)
        embedding: Tensor = self.output(features)
        return self.dropout(self.act(embedding)) if self.legacy_output_act else embedding


class Siren(nn.Module):
    """SIREN (Sitzmann et al. 2020, arXiv 2006.09661): layers sin(w0 (W x + b)), the last one linear.

    With `residual` it is ReSIREN (Climplicit, Dollinger et al. 2025, arXiv 2504.05089): the
    pre-activations of consecutive layers of one width are averaged, h'_j = (h_j + h'_{j-1}) / 2.
    With `h_siren` the first layer is sin(w0 sinh(2 h)).

    Uniform starts: within 1 / F in the first layer, sqrt(6 / width) / w0 after; biases likewise.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        hidden: int = 256,
        layers: int = 2,
        w0: float = 1.0,
        w0_first: float = 30.0,
        residual: bool = False,
        h_siren: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise InvalidOption(f"layers={layers}: a SIREN has at least one layer of sines")
        widths = [in_features, *[hidden] * layers]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.output = nn.Linear(hidden, out_features)
        self.w0, self.w0_first = w0, w0_first
        self.residual, self.h_siren = residual, h_siren
        self.dropout = nn.Dropout(dropout)
        for index, linear in enumerate([*self.layers, self.output]):
            assert isinstance(linear, nn.Linear)  # for the type checker
            bound = 1.0 / in_features if index == 0 else math.sqrt(6.0 / hidden) / w0
            nn.init.uniform_(linear.weight, -bound, bound)
            nn.init.uniform_(linear.bias, -bound, bound)

    def forward(self, features: Tensor) -> Tensor:
        """Features (..., F) -> (..., D)."""
        before: Tensor | None = None
        for index, linear in enumerate(self.layers):
            inner = self.dropout(linear(features))
            if self.residual and before is not None:
                inner = (inner + before) / 2.0
            before = inner
            first = index == 0
            phase = torch.sinh(2.0 * inner) if first and self.h_siren else inner
            w0 = self.w0_first if first else self.w0
            if torch.is_inference_mode_enabled() and not self.residual:
                # In their place: fresh memory takes as long as the sines.
                features = (phase if w0 == 1.0 else phase.mul_(w0)).sin_()
            else:
                features = torch.sin(phase if w0 == 1.0 else w0 * phase)
        embedding: Tensor = self.output(features)
        return embedding


class ResidualNet(nn.Module):
    """The network of geo_prior (Mac Aodha et al. 2019) and SINR (Cole et al. 2023).

    Linear -> ReLU, then blocks x + ReLU(W2 dropout(ReLU(W1 x))), all `out_features` wide. It ends
    in the last block: classes are read off by a `ClassHead`. (No linear layer follows, as there.)
    """

    def __init__(self, in_features: int, out_features: int, *, blocks: int = 4, dropout: float = 0.5) -> None:
        super().__init__()
        self.input = nn.Linear(in_features, out_features)
        self.first = nn.ModuleList(nn.Linear(out_features, out_features) for _ in range(blocks))
        self.second = nn.ModuleList(nn.Linear(out_features, out_features) for _ in range(blocks))
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Features (..., F) -> (..., D), non-negative."""
        embedding = torch.relu(self.input(features))
        for first, second in zip(self.first, self.second, strict=True):
            embedding = embedding + torch.relu(second(self.dropout(torch.relu(first(embedding)))))
        return embedding


class BranchSum(nn.Module):
    """GeoCLIP's network (Vivanco Cepeda et al. 2023, arXiv 2309.16020): one MLP a scale, summed.

    The features are cut into `branches` equal blocks of columns, one for each bandwidth of the
    random Fourier features; each goes through Linear and ReLU over `hidden`, then a last Linear.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        branches: int = 3,
        hidden: Sequence[int] = (1024, 1024, 1024),
    ) -> None:
        super().__init__()
        if branches < 1 or in_features % branches:
            raise InvalidOption(f"branches={branches}: {in_features} features do not divide into them")
        self.n_branches = branches
        self.branches = nn.ModuleList(
            _mlp([in_features // branches, *hidden, out_features]) for _ in range(branches)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (..., F) -> (..., D), the sum over branches."""
        total: Tensor | None = None
        for branch, block in zip(self.branches, features.chunk(self.n_branches, dim=-1), strict=True):
            part = branch(block)
            total = part if total is None else total + part
        assert total is not None  # there is at least one branch
        return total


class ClassHead(nn.Module):
    """Classes of a place: logits e(x) · T_y, no bias; P(y | x) is their sigmoid."""

    def __init__(self, in_features: int, classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(in_features, classes, bias=False)

    def forward(self, embedding: Tensor) -> Tensor:
        """Logits: embeddings (..., D) -> (..., classes)."""
        logits: Tensor = self.output(embedding)
        return logits


def _mlp(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


class Identity(nn.Module):
    """No network: the features are the embedding, so `out_features` is `in_features`."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        if in_features != out_features:
            raise InvalidOption(f"without a network the {in_features} features stay {in_features}")

    def forward(self, features: Tensor) -> Tensor:
        """The features (..., F) as they are."""
        return features


class Linear(nn.Linear):
    """One linear layer, a probe of the features; torch's own first weights."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)


NETWORKS: dict[str, type[nn.Module]] = {
    "none": Identity,
    "linear": Linear,
    "feed-forward": FeedForward,
    "siren": Siren,
    "residual": ResidualNet,
    "branches": BranchSum,
}
"""By name; every class takes (in_features, out_features) and keyword options."""


def location_network(
    name: str, in_features: int, out_features: int, **options: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """Make a network.

    Args:
        name: a key of `NETWORKS`.
        in_features: F, the dimension of the positional encoding.
        out_features: D, the dimension of the embedding.
        options: keyword arguments of its class; the rest keep their defaults.

    Returns:
        The network, and all its options with the defaults filled in, JSON values: what is saved must
        not depend on the defaults of the version that reads it.

    Raises:
        UnknownEncoder: no network of that name.
        InvalidOption: an option it does not know, or a value without meaning.
    """
    if name not in NETWORKS:
        raise UnknownEncoder(f"no network {name!r}; there are {', '.join(NETWORKS)}")
    try:
        arguments = signature(NETWORKS[name]).bind(in_features, out_features, **options)
        made = NETWORKS[name](in_features, out_features, **options)
    except (TypeError, RuntimeError) as error:  # torch refuses sizes below zero with the latter
        raise InvalidOption(f"{name}: {error}") from None
    arguments.apply_defaults()
    filled = {
        key: list(value) if isinstance(value, tuple) else value for key, value in arguments.kwargs.items()
    }
    return made, filled
