"""From likely cells and prototypes to a mixture of places; beside it the single winner of PIGEON.

Letters: n photos, D embedding, C cells, k likely cells, M components of a photo, P of all. Distances
between embeddings are Euclidean, between unit vectors: ‖e - p‖² = 2 - 2 cos.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, softmax

from ..errors import InvalidOption
from ..sphere import EARTH_RADIUS_KM, great_circle_km, unit_vectors

if TYPE_CHECKING:
    from ..prototypes import Prototypes

_Floats = NDArray[np.float64]
_Numbers = NDArray[np.intp]
Normalize = Literal["top-k", "cell"]
TEMPERATURES = (0.02, 0.04, 0.07, 0.1, 0.15, 0.25, 0.5, 1.0, 4.0)
_CHUNK_NUMBERS = 1 << 23


@dataclass(frozen=True, eq=False)
class Mixture:
    """Weights of components, photo by photo.

    Attributes:
        component: rows of the prototypes, (n, M); -1 where a photo has fewer.
        weight: theirs, (n, M), 0 where there is none; a row sums to the mass of the likely cells.
        cell: the likely cells, likeliest first, (n, k).
    """

    component: _Numbers
    weight: _Floats
    cell: _Numbers

    def best(self, prototypes: "Prototypes") -> _Floats:
        """Place of the heaviest component, (n, 2) degrees."""
        chosen = self.component[np.arange(len(self.weight)), self.weight.argmax(axis=1)]
        place: _Floats = prototypes.lonlat[chosen]
        return place


def mixture_weights(
    prototypes: "Prototypes",
    log_p: ArrayLike,
    embeddings: ArrayLike,
    *,
    k: int = 5,
    temperature: float = 0.1,
    normalize: Normalize = "top-k",
    cap_km: float | None = None,
) -> Mixture:
    """Weights w ∝ P_c · v_j · softmax_j(-‖e - p_j‖ / T) over all components of the k likeliest cells.

    v is the component's own weight. A component without photos takes the mean of the similarities
    exp(-‖e - p‖ / T) of the others: nothing speaks for or against it.

    Args:
        prototypes: of the partition.
        log_p: log-probabilities of the cells, (n, C).
        embeddings: of the photos, unit rows, (n, D).
        k: likely cells to look into.
        temperature: T, above 0; the larger, the less likeness counts. `fit_temperature` fits it.
        normalize: ``top-k``, as the formula: a cell gains by components that look like the photo;
            ``cell``: each cell keeps its probability, and likeness decides within it only.
        cap_km: leave out components farther than this from the likeliest cell's nearest prototype.

    Returns:
        The mixture; what the k cells do not hold of the probability is not in it.

    Raises:
        InvalidOption: arrays that do not match, or options without meaning.
    """
    if normalize not in ("top-k", "cell"):
        raise InvalidOption(f"normalize={normalize!r}: top-k or cell")
    logs, unit = _checked(prototypes, log_p, embeddings, k, temperature, cap_km)
    parts = [
        _weigh(prototypes, logs[rows], unit[rows], k, temperature, normalize, cap_km)
        for rows in _chunks(len(logs), len(prototypes))
    ]
    width = max((part.component.shape[1] for part in parts), default=0)
    return Mixture(
        np.concatenate(
            [np.empty((0, width), np.intp), *(_padded(part.component, width, -1) for part in parts)]
        ),
        np.concatenate([np.empty((0, width)), *(_padded(part.weight, width, 0.0) for part in parts)]),
        np.concatenate([np.empty((0, min(k, logs.shape[1])), np.intp), *(part.cell for part in parts)]),
    )


def single_winner(
    prototypes: "Prototypes",
    log_p: ArrayLike,
    embeddings: ArrayLike,
    *,
    k: int = 5,
    temperature: float = 0.1,
    cap_km: float | None = None,
) -> _Numbers:
    """PIGEON's refinement: one component decides, the baseline of `mixture_weights`; -> rows (n,).

    Of each likely cell the nearest prototype, softmax of -distance / T over these, times the cell's
    probability, argmax. If that moves more than `cap_km` from the likeliest cell's prototype, that stays.

    Raises:
        InvalidOption: as `mixture_weights`.
    """
    logs, unit = _checked(prototypes, log_p, embeddings, k, temperature, cap_km)
    winners = [np.empty(0, dtype=np.intp)]
    for rows in _chunks(len(logs), len(prototypes)):
        cell = _likeliest(logs[rows], k)
        component, place = _components(prototypes, cell)
        distance = _distances(prototypes, unit[rows], component)
        nearest, score = [], []
        for column in range(cell.shape[1]):
            inside = np.where(place == column, distance, np.inf)
            row = inside.argmin(axis=1)
            nearest.append(np.take_along_axis(component, row[:, None], axis=1)[:, 0])
            log_cell = np.take_along_axis(logs[rows], cell[:, column, None], axis=1)[:, 0]
            score.append(log_cell - inside.min(axis=1) / temperature)
        found = np.stack(nearest, axis=1)
        best = found[np.arange(len(found)), np.stack(score, axis=1).argmax(axis=1)]
        if cap_km is not None:
            moved_km = great_circle_km(prototypes.lonlat[best], prototypes.lonlat[found[:, 0]])
            best = np.where(moved_km <= cap_km, best, found[:, 0])
        winners.append(best)
    return np.concatenate(winners)


def nearest_member(
    prototypes: "Prototypes", component: _Numbers, embeddings: ArrayLike, members: ArrayLike
) -> _Numbers:
    """The photo of a component that is most like the one asked about; -1 where it has none; -> (n,).

    PIGEON's released code takes the farthest.

    Args:
        prototypes: of the partition.
        component: of each photo asked about, (n,).
        embeddings: of the photos asked about, unit rows, (n, D).
        members: of all training photos, in the order that made the prototypes, unit rows, (N, D).
    """
    asked, known = np.asarray(embeddings), np.asarray(members)
    chosen = np.full(len(component), -1, dtype=np.intp)
    for row, one in enumerate(component):
        rows = prototypes.members_of(int(one))
        if len(rows):
            chosen[row] = rows[np.argmax(known[rows] @ asked[row])]
    return chosen


def log_density(
    prototypes: "Prototypes", mixture: Mixture | None, log_p: ArrayLike, lonlat: _Floats
) -> _Floats:
    """Log-density per km² at one place for each photo, (n,), nats.

    The components of the mixture, and each cell that is not in it at its center, as von Mises-Fisher
    densities with κ = (R / σ)². Without a mixture all cells at their centers.
    """
    logs = np.asarray(log_p, dtype=np.float64)
    p = np.exp(logs - logs.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    truth = unit_vectors(lonlat)
    if mixture is not None:
        np.put_along_axis(p, mixture.cell, 0.0, axis=1)
    each = _von_mises_fisher(prototypes.center_lonlat[None], prototypes.cell_sigma_km[None], truth)
    total = (p * each).sum(axis=1)
    if mixture is not None:
        rows = np.maximum(mixture.component, 0)
        each = _von_mises_fisher(prototypes.lonlat[rows], prototypes.sigma_km[rows], truth)
        total = total + (mixture.weight * each).sum(axis=1)
    log_total: _Floats = np.log(np.maximum(total, 1e-300))
    return log_total


def fit_temperature(
    prototypes: "Prototypes",
    log_p: ArrayLike,
    embeddings: ArrayLike,
    lonlat: _Floats,
    *,
    k: int = 5,
    normalize: Normalize = "top-k",
    temperatures: Sequence[float] = TEMPERATURES,
) -> float:
    """The temperature that makes the places of photos not trained on likeliest."""

    def mean_log(temperature: float) -> float:
        mixture = mixture_weights(
            prototypes, log_p, embeddings, k=k, temperature=temperature, normalize=normalize
        )
        return float(log_density(prototypes, mixture, log_p, lonlat).mean())

    return max(temperatures, key=mean_log)


def _checked(
    prototypes: "Prototypes",
    log_p: ArrayLike,
    embeddings: ArrayLike,
    k: int,
    heat: float,
    cap_km: float | None,
) -> tuple[_Floats, NDArray[np.float32]]:
    logs, unit = np.asarray(log_p, dtype=np.float64), np.asarray(embeddings, dtype=np.float32)
    wanted = (len(unit), len(prototypes.center_lonlat)), (len(logs), prototypes.embedding.shape[1])
    if (logs.shape, unit.shape) != wanted:
        raise InvalidOption(
            f"log-probabilities {logs.shape} and embeddings {unit.shape} for prototypes of {wanted[0][1]} "
            f"cells and {wanted[1][1]} numbers: they must be of the same photos, cells and encoder"
        )
    if k < 1 or not heat > 0.0 or (cap_km is not None and not cap_km >= 0.0):
        raise InvalidOption(
            f"k={k}, temperature={heat}, cap_km={cap_km}: 1 or more, above 0, and 0 or more or none"
        )
    return logs, unit


def _weigh(
    prototypes: "Prototypes",
    logs: _Floats,
    unit: NDArray[np.float32],
    k: int,
    temperature: float,
    normalize: Normalize,
    cap_km: float | None,
) -> Mixture:
    cell = _likeliest(logs, k)
    component, place = _components(prototypes, cell)
    distance = _distances(prototypes, unit, component)
    rows = np.maximum(component, 0)
    has_photos = (component >= 0) & (prototypes.n[rows] > 0)
    # Logarithms: at a low temperature the most alike may lie in a cell of next to no probability.
    log_likeness = np.where(has_photos, -distance / temperature, -np.inf)
    n_known = has_photos.sum(axis=1, keepdims=True)
    neutral = logsumexp(log_likeness, axis=1, keepdims=True) - np.log(np.maximum(n_known, 1))
    neutral = np.where(n_known > 0, neutral, 0.0)
    log_likeness = np.where(has_photos, log_likeness, neutral) + np.log(prototypes.weight[rows])
    is_in = component >= 0
    if cap_km is not None:
        first = np.where(place == 0, distance, np.inf).argmin(axis=1)
        guess = prototypes.lonlat[component[np.arange(len(cell)), first]]
        is_in &= great_circle_km(prototypes.lonlat[rows], guess[:, None]) <= cap_km
    log_likeness = np.where(is_in, log_likeness, -np.inf)
    if normalize == "cell":
        for column in range(cell.shape[1]):
            inside = is_in & (place == column)
            total = logsumexp(np.where(inside, log_likeness, -np.inf), axis=1, keepdims=True)
            log_likeness = np.where(inside, log_likeness - total, log_likeness)
    log_cell = np.take_along_axis(logs, cell, axis=1)
    mass = np.exp(log_cell - logsumexp(logs, axis=1, keepdims=True)).sum(axis=1, keepdims=True)
    log_weight = np.take_along_axis(log_cell, np.maximum(place, 0), axis=1) + log_likeness
    return Mixture(component, softmax(log_weight, axis=1) * mass, cell)


def _likeliest(logs: _Floats, k: int) -> _Numbers:
    """The k likeliest cells, likeliest first, the lower row first of equals, (n, k)."""
    return np.argsort(-logs, axis=1, kind="stable")[:, :k]


def _components(prototypes: "Prototypes", cell: _Numbers) -> tuple[_Numbers, _Numbers]:
    """Components of some cells (n, k), and which of the k each is of; both (n, M), -1 where there is none."""
    size = np.diff(prototypes.start)[cell]
    end = np.cumsum(size, axis=1)
    slot = np.arange(int(end[:, -1].max(initial=0)))[None]
    place = (slot[:, :, None] >= end[:, None, :]).sum(axis=2)
    is_one = place < cell.shape[1]
    column = np.minimum(place, cell.shape[1] - 1)
    first = np.take_along_axis(prototypes.start[cell] - (end - size), column, axis=1)
    return np.where(is_one, first + slot, -1), np.where(is_one, place, -1)


def _distances(prototypes: "Prototypes", unit: NDArray[np.float32], component: _Numbers) -> _Floats:
    """Euclidean, (n, M); of a component without photos √2, as of unrelated directions."""
    rows = np.maximum(component, 0)
    cosine = np.take_along_axis((unit @ prototypes.embedding.T).astype(np.float64), rows, axis=1)
    return np.asarray(np.sqrt(np.maximum(2.0 - 2.0 * cosine, 0.0)))


def _von_mises_fisher(lonlat: _Floats, sigma_km: _Floats, truth: _Floats) -> _Floats:
    """Density per km² at (n, 3) unit vectors of components (n or 1, M, 2), (n, M)."""
    kappa = (EARTH_RADIUS_KM / sigma_km) ** 2
    squared = ((unit_vectors(lonlat) - truth[:, None]) ** 2).sum(axis=-1)
    constant = kappa / (2.0 * np.pi * -np.expm1(-2.0 * kappa)) / EARTH_RADIUS_KM**2
    return np.asarray(constant * np.exp(-kappa * squared / 2.0))


def _padded(values: NDArray[np.generic], width: int, fill: float) -> NDArray[np.generic]:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=fill)


def _chunks(n: int, n_components: int) -> Iterator[slice]:
    step = max(1, _CHUNK_NUMBERS // max(n_components, 1))
    return (slice(start, start + step) for start in range(0, n, step))
