"""Fitting region classifiers: multinomial logistic regression along a path of weight decays.

The embeddings are centered and brought to one common scale first, so that the same weight decays serve any
encoder; what is fitted is put back into weights for embeddings as they come. Each fit starts from the one
with the next stronger decay, which is near, so that a path costs little more than its last fit.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

_Floats = NDArray[np.float64]
_Embeddings = NDArray[np.float32]

MOST_STEPS = 300
TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True, eq=False)
class Linear:
    """Logits of regions: weight (R, D) float32 and bias (R,) float32."""

    weight: _Embeddings
    bias: _Embeddings

    def logits(self, embeddings: _Embeddings) -> _Floats:
        """(n, D) -> (n, R)."""
        return np.asarray(embeddings @ self.weight.T + self.bias, dtype=np.float64)


def fit_path(
    embeddings: _Embeddings,
    region: NDArray[np.intp],
    weights: _Floats,
    n_regions: int,
    decays: tuple[float, ...],
) -> list[Linear]:
    """One fit for each weight decay.

    Minimized is Σ wᵢ · −log p(regionᵢ) + decay/2 · |W|² with Σ wᵢ = 1; the bias is not held back. The solver
    is scikit-learn's L-BFGS.

    Args:
        embeddings: of unit length, (n, D).
        region: of each, (n,); not every region need have one.
        weights: of each, (n,).
        n_regions: R; a region without photos gets a bias of -inf's place, a logit far below all others.
        decays: strongest first.

    Returns:
        A fit for each decay, in their order.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    share = weights / weights.sum()
    center = (share @ embeddings).astype(np.float32)
    scale = float(np.sqrt(share @ np.square(embeddings - center).mean(axis=1))) or 1.0
    standard = (embeddings - center) / np.float32(scale)
    there = np.unique(region)
    model: Any = LogisticRegression(max_iter=MOST_STEPS, tol=1e-4, warm_start=True)
    found = []
    for decay in decays:
        model.C = 1.0 / decay
        with warnings.catch_warnings():
            # A fit that is weakly held back need not end: what comes next starts from it, and the choice
            # of the decay is made by photos that it has not seen.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(standard, region, sample_weight=share)
        weight, bias = _of_all(model, there, n_regions)
        weight /= np.float32(scale)
        found.append(Linear(weight, bias - weight @ center))
    return found


def _of_all(model: Any, there: NDArray[np.intp], n_regions: int) -> tuple[_Embeddings, _Embeddings]:
    """Weights and biases of all regions; of two, scikit-learn gives those of the second alone."""
    coefficients, intercepts = model.coef_, model.intercept_
    if len(there) == 2:
        coefficients, intercepts = (
            np.concatenate([-coefficients, coefficients]) / 2.0,
            np.concatenate([-intercepts, intercepts]) / 2.0,
        )
    weight = np.zeros((n_regions, coefficients.shape[1]), np.float32)
    bias = np.full(n_regions, intercepts.min() - 30.0, np.float32)
    weight[there], bias[there] = coefficients, intercepts
    return weight, bias


def nll(logits: _Floats, region: NDArray[np.intp], weights: _Floats, temperature: float = 1.0) -> float:
    """Weighted mean of −log p(region), nats."""
    log_p = log_softmax(logits / temperature, axis=1)[np.arange(len(region)), region]
    return -float(weights @ log_p / weights.sum())


def fit_temperature(logits: _Floats, region: NDArray[np.intp], weights: _Floats) -> float:
    """The temperature with the least NLL (Guo et al., ICML 2017)."""
    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(
        lambda log_t: nll(logits, region, weights, float(np.exp(log_t))), bounds=(low, high), method="bounded"
    )
    return float(np.exp(found.x))
