"""Countries and states of cells: their probabilities are sums over cells.

A cell has one country, so that the country's probability is exact. It may lie in several states, in
known shares, and its probability is divided by these. Letters: C cells, L labels, n photos.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .partition import Partition

_Floats = NDArray[np.float64]
LevelName = Literal["state", "country"]
LEVELS: tuple[LevelName, ...] = ("state", "country")


@dataclass(frozen=True, eq=False)
class Level:
    """One level of the hierarchy.

    Attributes:
        labels: country codes, or ``country/state``, (L,).
        shares: of each cell in each label, rows sum to 1, sparse (C, L).
    """

    labels: NDArray[np.object_]
    shares: csr_array

    def log_probabilities(self, log_p: _Floats) -> _Floats:
        """Of the labels, from those of the cells: (n, C) -> (n, L)."""
        peak = log_p.max(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.exp(log_p - peak) @ self.shares) + peak)


def level_of(cells: Partition, name: LevelName) -> Level:
    """Countries, or states, of a partition. States of two countries never mix, whatever their names."""
    entries: list[tuple[int, str, float]] = []
    for row, (country, main) in enumerate(zip(cells.country, cells.admin1, strict=True)):
        if name == "country":
            entries.append((row, str(country), 1.0))
            continue
        shares = cells.admin1_shares[row] or {str(main): 1.0}
        total = sum(shares.values())  # stored shares are rounded
        entries += [(row, f"{country}/{state}", share / total) for state, share in shares.items()]
    rows, names, values = zip(*entries, strict=True)
    labels, columns = np.unique(np.array(names), return_inverse=True)
    matrix = csr_array((np.array(values), (rows, columns)), shape=(len(cells), len(labels)))
    return Level(labels.astype(object), matrix)
