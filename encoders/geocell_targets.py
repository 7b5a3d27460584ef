"""What a classifier of geocells should answer for a photo: the right cell, and something for its neighbors.

A hard label calls the cell next door as wrong as one beyond the sea. Haversine label smoothing (Haas et
al. 2024, arXiv:2307.05845) gives cell i the weight

    y_i = exp(-(H(g_i, x) - H(g_x, x)) / τ)

with H the great-circle distance, x the photo's place, g_i the cells' centers and g_x that of the cell
that holds x. Ours is the softmax of -H(g_i, x) / τ: each row sums to 1, and the distance to g_x cancels.
Without that a photo counts for the sum of its weights, some 10 to 60 times more where cells are dense
than where they are sparse; those who want to weigh photos should do so by name. `pigeon_targets` keeps
the original form for comparisons.

Targets are sparse: of each row the smallest set of cells that holds 0.999 of the mass is kept, and
brought back to a sum of 1.

Letters: C cells, n photos. Coordinates are lon, lat, degrees; τ is in kilometers.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, vstack
from scipy.spatial import cKDTree

from .errors import InvalidOption
from .geocell_heads.partition import Partition
from .sphere import as_lonlat, great_circle_km, km_of_chord, unit_vectors

_Floats = NDArray[np.float64]
Tau = float | Literal["auto", "per-cell"]

AUTO_FACTOR = 0.5
"""τ over the distance between neighboring centers: the cell next door then has e⁻² of the own one's weight.
Our choice, see tests/benchmarks/geocell_tau.py."""
LEAST_TAU_KM = 1.0
"""Of "auto" and "per-cell", for centers that fall together."""
KEPT = 0.999
_CHUNK_NUMBERS = 1 << 22  # distances at a time, 32 MiB


def smoothed_targets(
    lonlat: ArrayLike, cells: Partition, tau: Tau = "auto", *, kept: float = KEPT
) -> csr_array:
    """Distance-aware targets: softmax over cells of -H(g_i, x) / τ, (n, C), each row sums to 1.

    Args:
        lonlat: places of the photos, (n, 2).
        cells: the partition.
        tau: kilometers; 0 for hard labels, the cell that holds the photo; ``auto`` and ``per-cell`` as
            `tau_km_of`. With ``per-cell`` all weights of a row share the τ of the cell that holds the
            photo: were it that of the cell that receives, a wide cell far away would get more than a
            small one close by.
        kept: share of the mass that is kept, in (0, 1].

    Raises:
        InvalidOption: τ or the share has no meaning.
        InvalidCoordinate: a point is not on Earth.
    """
    if not 0.0 < kept <= 1.0:
        raise InvalidOption(f"kept={kept}: the share of the mass that targets keep, above 0, at most 1")
    tau_km = tau_km_of(tau, cells)
    points, inverse = _distinct(lonlat)
    holder = cells.assign(points)
    if not tau_km.any():
        return hard_targets(holder, len(cells))[inverse]
    parts = [hard_targets(holder[:0], len(cells))]
    for rows in _chunks(len(points), len(cells)):
        distance = great_circle_km(points[rows, None], cells.center_lonlat[None])
        nearest = distance.min(axis=1, keepdims=True)
        weight = np.exp(-(distance - nearest) / tau_km[holder[rows]][:, None])
        weight /= weight.sum(axis=1, keepdims=True)
        weight[~_is_kept(weight, kept)] = 0.0
        parts.append(csr_array(weight / weight.sum(axis=1, keepdims=True)))
    return vstack(parts, format="csr")[inverse]


def pigeon_targets(
    lonlat: ArrayLike,
    cells: Partition,
    tau_km: float,
    *,
    reference: Literal["containing", "nearest"] = "containing",
) -> csr_array:
    """PIGEON's weights, which do not sum to 1: exp(-(H(g_i, x) - H(g, x)) / τ), (n, C).

    For comparisons with the original. Weights below 1e-6 are left out.

    Args:
        lonlat: places of the photos, (n, 2).
        cells: the partition.
        tau_km: τ, above 0.
        reference: g is the center of the cell that holds x, as in the paper, where a nearer center gets
            a weight above 1, without bound where cells are wide; or the nearest center, as in their code.

    Raises:
        InvalidOption: τ or the reference has no meaning.
        InvalidCoordinate: a point is not on Earth.
    """
    if not 0.0 < tau_km < np.inf:
        raise InvalidOption(f"tau_km={tau_km}: kilometers above 0")
    if reference not in ("containing", "nearest"):
        raise InvalidOption(f"reference={reference!r}: containing (their paper) or nearest (their code)")
    points, inverse = _distinct(lonlat)
    holder = cells.assign(points)
    parts = [hard_targets(holder[:0], len(cells))]
    for rows in _chunks(len(points), len(cells)):
        distance = great_circle_km(points[rows, None], cells.center_lonlat[None])
        if reference == "nearest":
            least = distance.min(axis=1)
        else:
            least = np.take_along_axis(distance, holder[rows, None], axis=1)[:, 0]
        weight = np.exp(-(distance - least[:, None]) / tau_km)
        weight[weight < 1e-6] = 0.0
        parts.append(csr_array(weight))
    return vstack(parts, format="csr")[inverse]


def hard_targets(cell: NDArray[np.intp], n_cells: int) -> csr_array:
    """One cell each: rows (n,) -> (n, C)."""
    starts = np.arange(len(cell) + 1)
    return csr_array(
        (np.ones(len(cell)), np.asarray(cell, dtype=np.int64), starts), shape=(len(cell), n_cells)
    )


def tau_km_of(tau: Tau, cells: Partition) -> _Floats:
    """τ of each cell in kilometers, (C,).

    ``auto`` is `AUTO_FACTOR` times the median distance from a center to the nearest other, the same for
    all; ``per-cell`` that factor times each cell's own distance. Cells differ by orders of magnitude
    between data sets: 75 km, good for 2,203 cells, spreads one of 11,399 over some 70.

    Raises:
        InvalidOption: neither such a word nor kilometers, 0 or more.
    """
    if tau in ("auto", "per-cell"):
        spacing = nearest_center_km(cells.center_lonlat)
        if tau == "auto":
            spacing = np.full(len(cells), np.median(spacing))
        return np.maximum(AUTO_FACTOR * spacing, LEAST_TAU_KM)
    if isinstance(tau, str) or not 0.0 <= tau < np.inf:
        raise InvalidOption(f"tau={tau!r}: kilometers, 0 for hard labels, auto, or per-cell")
    return np.full(len(cells), float(tau))


def nearest_center_km(center_lonlat: _Floats) -> _Floats:
    """Distance from each center to the nearest other one, (C, 2) degrees -> (C,); 0 if there is none."""
    if len(center_lonlat) < 2:
        return np.zeros(len(center_lonlat))
    vectors = unit_vectors(center_lonlat)
    return km_of_chord(cKDTree(vectors).query(vectors, k=2)[0][:, 1])


def target_entropy(targets: csr_array) -> _Floats:
    """Entropy of each row in nats, (n, C) -> (n,): 0 of a hard label, log m of m equal shares."""
    parts = csr_array((-targets.data * np.log(targets.data), targets.indices, targets.indptr), targets.shape)
    return np.asarray(parts.sum(axis=1), dtype=np.float64)


def top_cell_mass(targets: csr_array) -> _Floats:
    """Largest share of each row, (n, C) -> (n,)."""
    return np.maximum.reduceat(targets.data, targets.indptr[:-1]).astype(np.float64)


def _distinct(lonlat: ArrayLike) -> tuple[_Floats, NDArray[np.intp]]:
    """Places without repetition, since many photos share one, and the row of each photo among them."""
    points, inverse = np.unique(as_lonlat(lonlat).reshape(-1, 2), axis=0, return_inverse=True)
    return points, inverse.reshape(-1)


def _chunks(n: int, n_cells: int) -> list[slice]:
    step = max(1, _CHUNK_NUMBERS // max(n_cells, 1))
    return [slice(start, start + step) for start in range(0, n, step)]


def _is_kept(weight: _Floats, kept: float) -> NDArray[np.bool_]:
    """The smallest set of each row (n, C) that holds `kept` of its mass, which is 1."""
    order = np.argsort(-weight, axis=1, kind="stable")
    mass = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    first_beyond = mass - np.take_along_axis(weight, order, axis=1) < kept - 1e-12
    is_kept = np.zeros(weight.shape, dtype=np.bool_)
    np.put_along_axis(is_kept, order, first_beyond, axis=1)
    return is_kept & (weight > 0.0)
