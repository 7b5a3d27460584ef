"""Stand-ins for the embeddings of one cluster of photos. Rows are of unit length, (n, D)."""

import numpy as np
from numpy.typing import NDArray

_Rows = NDArray[np.float32]
_Numbers = NDArray[np.intp]
MOST_LOOKS = 4
PHOTOS_PER_LOOK = 3
TRIMMED = 0.1
_STEPS = 20


def look_of(unit: _Rows, kind: str) -> list[tuple[_Rows, _Numbers]]:
    """Embeddings that stand for a cluster, each with the rows it stands for.

    Args:
        unit: the cluster's embeddings, (n, D).
        kind: mean, medoid, multi or trimmed_mean, see `prototypes`.
    """
    rows = np.arange(len(unit))
    if kind == "multi":
        look = spherical_k_means(unit, min(MOST_LOOKS, max(1, len(unit) // PHOTOS_PER_LOOK)))
        return [(mean_of(unit[look == one]), rows[look == one]) for one in np.unique(look)]
    if kind == "medoid":
        return [(unit[medoid_of(unit)], rows)]
    if kind == "trimmed_mean":
        n_dropped = int(TRIMMED * len(unit))
        kept = np.argsort(-(unit @ mean_of(unit)), kind="stable")[: len(unit) - n_dropped]
        return [(mean_of(unit[np.sort(kept)]), rows)]
    return [(mean_of(unit), rows)]


def mean_of(unit: _Rows) -> _Rows:
    """Direction of the mean, (D,); the first row where the rows cancel out."""
    total = unit.sum(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(total))
    direction: _Rows = (total / length).astype(np.float32) if length > 1e-6 else unit[0]
    return direction


def medoid_of(unit: _Rows) -> int:
    """Row with the largest mean cosine to the others; the first of equals."""
    return int(np.argmax(unit @ unit.sum(axis=0) - (unit * unit).sum(axis=1)))


def spherical_k_means(unit: _Rows, m: int) -> _Numbers:
    """Cluster of each row by cosine (Dhillon and Modha 2001), (n,).

    Begins with the medoid, then each time with the row least like all chosen, so that nothing is random.
    """
    chosen = [medoid_of(unit)]
    for _ in range(1, m):
        chosen.append(int(np.argmin((unit @ unit[chosen].T).max(axis=1))))
    centers, label = unit[chosen], np.full(len(unit), -1)
    for _ in range(_STEPS):
        nearest = np.argmax(unit @ centers.T, axis=1)
        if np.array_equal(nearest, label):
            break
        label = nearest
        centers = np.stack(
            [mean_of(unit[label == one]) if (label == one).any() else centers[one] for one in range(m)]
        )
    return label.astype(np.intp)
