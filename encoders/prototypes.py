"""Prototypes: what the places inside a geocell look like, to find a photo's place within likely cells.

PIGEON (Haas et al. 2024, arXiv:2307.05845) clusters the photos of each cell, drops what is in no cluster,
stands a mean embedding for each cluster, and lets one cluster win. Here photos in no cluster stay, with
less weight; the stand-in may be of several kinds; and the answer is the whole mixture of the likely
cells' clusters (`mixture_weights`), of which the single winner is kept as a baseline (`single_winner`).

A component is a place and a look: where it is, how far it spreads, how many photos it stands for, in
which cell, and an embedding. Kinds:

- ``mean``: of the cluster's embeddings, brought to unit length;
- ``medoid``: the photo with the largest mean cosine to the others;
- ``multi``: up to four looks of one place, by spherical k-means, each a component with its share;
- ``trimmed_mean``: the mean without the tenth that is least like it;
- ``members``: every photo is a component, at its own place.

Letters: N photos, D embedding, C cells, P components. Coordinates are lon, lat, degrees.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import safetensors.torch
import torch
from numpy.typing import ArrayLike, NDArray

from .errors import InvalidOption, WeightsUnavailable
from .geocell_head import cells_of, unit_rows
from .geocell_heads.clusters import clusters_in
from .geocell_heads.looks import look_of
from .geocell_heads.mixtures import Mixture as Mixture
from .geocell_heads.mixtures import fit_temperature as fit_temperature
from .geocell_heads.mixtures import log_density as log_density
from .geocell_heads.mixtures import mixture_weights as mixture_weights
from .geocell_heads.mixtures import nearest_member as nearest_member
from .geocell_heads.mixtures import single_winner as single_winner
from .geocell_heads.partition import Partition, require_cells
from .geocell_targets import nearest_center_km
from .location_files import read_description, read_tensors, write_atomically
from .sphere import as_lonlat, great_circle_km, lonlat_of, unit_vectors

_Floats = NDArray[np.float64]
_Numbers = NDArray[np.int64]
Kind = Literal["mean", "medoid", "multi", "trimmed_mean", "members"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FORMAT, VERSION = "placeprint-prototypes", 1

LEAST_SIGMA_KM = 0.5
NOISE_WEIGHT = 0.25
"""Of a photo in no cluster, beside a cluster of any size. Our choice."""


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Components by row, ordered by cell; every cell has at least one.

    Attributes:
        lonlat: direction of the mean unit vector of the photos, (P, 2).
        sigma_km: spread of the place, `LEAST_SIGMA_KM` or more, (P,).
        n: photos it stands for, (P,); 0 of a cell without photos, which has one component.
        cell: row of its cell, (P,), ascending.
        embedding: unit rows, (P, D); zero where n is 0.
        weight: beside other components of equal similarity, above 0, (P,).
        member: rows of the photos of all components, one component after the other.
        member_start: where each component's begin, (P + 1,).
        center_lonlat: of the cells, (C, 2).
        cell_sigma_km: of the cells, (C,), for cells that are not looked into.
        kind: how the embeddings were made.
        cells_id: of the partition.
        encoder: fingerprint of the image encoder; "" if unknown.
        card: JSON facts.
    """

    lonlat: _Floats
    sigma_km: _Floats
    n: _Numbers
    cell: _Numbers
    embedding: NDArray[np.float32]
    weight: _Floats
    member: _Numbers
    member_start: _Numbers
    center_lonlat: _Floats
    cell_sigma_km: _Floats
    kind: Kind
    cells_id: str = ""
    encoder: str = ""
    card: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.cell)

    @cached_property
    def start(self) -> _Numbers:
        """Where each cell's components begin, (C + 1,)."""
        return np.searchsorted(self.cell, np.arange(len(self.center_lonlat) + 1))

    def members_of(self, component: int) -> _Numbers:
        """Rows of the photos that a component stands for."""
        return self.member[self.member_start[component] : self.member_start[component + 1]]

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; the same prototypes are the same bytes.

        Raises:
            UnwritableFile: there is no such folder, or no right to write.
        """
        arrays = {name: torch.from_numpy(np.ascontiguousarray(getattr(self, name))) for name in _ARRAYS}
        text = json.dumps(
            {
                "format": FORMAT, "version": VERSION, "axis_order": "lonlat", "kind": self.kind,
                "cells_id": self.cells_id, "encoder": self.encoder, "card": self.card,
            },
            sort_keys=True,
        )  # fmt: skip
        write_atomically(Path(path), safetensors.torch.save(arrays, {"placeprint": text}))

    @classmethod
    def load(cls, path: str | Path, *, cells_id: str | None = None) -> "Prototypes":
        """Read what `save` wrote.

        Args:
            path: the file.
            cells_id: of the partition at hand, if that is to be checked.

        Raises:
            WeightsUnavailable: no such file, damaged, or of another kind.
            InvalidCells: it was made for another partition.
        """
        told = read_description(Path(path), FORMAT, VERSION, "prototypes")
        tensors = read_tensors(Path(path))
        try:
            arrays: dict[str, Any] = {name: tensors[name].numpy() for name in _ARRAYS}
            facts = {name: told[name] for name in ("kind", "cells_id", "encoder", "card")}
        except KeyError as error:
            raise WeightsUnavailable(f"{path}: {error} is missing; copy it again") from None
        if cells_id is not None:
            require_cells(facts["cells_id"], cells_id, "the file of prototypes")
        return cls(**arrays, **facts)


_ARRAYS = (
    "lonlat", "sigma_km", "n", "cell", "embedding", "weight", "member", "member_start", "center_lonlat",
    "cell_sigma_km",
)  # fmt: skip


def prototypes_of(
    embeddings: ArrayLike,
    lonlat: ArrayLike,
    cells: Partition,
    *,
    kind: Kind = "mean",
    min_samples: int = 3,
    xi: float = 0.15,
    noise_weight: float = NOISE_WEIGHT,
    encoder: str = "",
) -> Prototypes:
    """Cluster the photos of each cell and make stand-ins of the clusters. Nothing is drawn at random.

    A component's spread is that of its photos, drawn on a logarithmic scale towards the cell's by as much
    as one photo counts: two photos on one square do not promise that the next is there.

    Args:
        embeddings: of the training photos, (N, D); brought to unit length.
        lonlat: their places, (N, 2).
        cells: the partition.
        kind: of stand-ins, see the head of this file.
        min_samples: photos that make a place dense.
        xi: how steep its edge is, see `clusters.clusters_in`.
        noise_weight: of photos in no cluster, above 0, at most 1.
        encoder: fingerprint of the image encoder.

    Raises:
        InvalidOption: no such kind, limits without meaning, or an embedding that is zero or not finite.
        InvalidCoordinate: a point is not on Earth.
    """
    if kind not in KINDS:
        raise InvalidOption(f"kind={kind!r}: one of {', '.join(KINDS)}")
    if not (min_samples >= 2 and 0.0 < xi < 1.0 and 0.0 < noise_weight <= 1.0):
        raise InvalidOption(
            f"min_samples={min_samples}, xi={xi}, noise_weight={noise_weight}: must be 2 or more, between 0 "
            "and 1, above 0 and at most 1"
        )
    points = as_lonlat(lonlat).reshape(-1, 2)
    dimension = np.shape(embeddings)[1] if np.ndim(embeddings) == 2 else 0
    unit = unit_rows(embeddings, dimension)
    if len(unit) != len(points):
        raise InvalidOption(f"{len(unit)} embeddings for {len(points)} places; give one to each")
    cell = cells_of(points, cells)
    sigma = cell_sigma_km(cells)
    found = _Components()
    order = np.argsort(cell, kind="stable")
    bounds = np.searchsorted(cell[order], np.arange(len(cells) + 1))
    for row in range(len(cells)):
        rows = order[bounds[row] : bounds[row + 1]]
        if not len(rows):
            found.add(row, cells.center_lonlat[row], sigma[row], np.zeros(dimension, np.float32), rows, 1.0)
            continue
        label, is_noise = clusters_in(points[rows], min_samples=min_samples, xi=xi)
        for number in range(int(label.max()) + 1):
            members = rows[label == number]
            weight = noise_weight if is_noise[label == number].all() else 1.0
            _add_cluster(found, row, members, unit, points, sigma[row], weight, kind)
    card = {"photos": len(points), "min_samples": min_samples, "xi": xi, "noise_weight": noise_weight}
    return found.stacked(cells, sigma, kind, encoder, card)


def cell_sigma_km(cells: Partition) -> _Floats:
    """Spread of each cell, (C,): that of its points, or half the way to the next center if it has none."""
    half = nearest_center_km(cells.center_lonlat) / 2.0
    sigma = np.where(cells.rms_km > 0.0, cells.rms_km, half)
    return np.maximum(sigma, LEAST_SIGMA_KM)


class _Components:
    """Collects components row by row."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, _Floats, float, int, float]] = []
        self.embedding: list[NDArray[np.float32]] = []
        self.members: list[NDArray[np.intp]] = []

    def add(
        self,
        cell: int,
        lonlat: _Floats,
        sigma_km: float,
        embedding: NDArray[np.float32],
        members: NDArray[np.intp],
        weight: float,
    ) -> None:
        self.rows.append((cell, lonlat, float(sigma_km), len(members), weight))
        self.embedding.append(embedding)
        self.members.append(members)

    def stacked(
        self, cells: Partition, sigma: _Floats, kind: Kind, encoder: str, card: dict[str, Any]
    ) -> Prototypes:
        cell, lonlat, sigma_km, n, weight = zip(*self.rows, strict=True)
        starts = np.cumsum([0, *n])
        return Prototypes(
            lonlat=np.array(lonlat),
            sigma_km=np.array(sigma_km),
            n=np.array(n, dtype=np.int64),
            cell=np.array(cell, dtype=np.int64),
            embedding=np.array(self.embedding, dtype=np.float32),
            weight=np.array(weight),
            member=np.concatenate(self.members).astype(np.int64),
            member_start=starts.astype(np.int64),
            center_lonlat=cells.center_lonlat,
            cell_sigma_km=sigma,
            kind=kind,
            cells_id=cells.cells_id,
            encoder=encoder,
            card={**card, "components": len(n)},
        )


def _add_cluster(
    found: _Components,
    cell: int,
    members: NDArray[np.intp],
    unit: NDArray[np.float32],
    points: _Floats,
    cell_sigma: float,
    weight: float,
    kind: Kind,
) -> None:
    """One place: one component, or one for each look or each photo."""
    middle = _middle(points[members])
    spread = float(np.sqrt((great_circle_km(middle, points[members]) ** 2).mean()))
    n = len(members)
    pooled = (n * np.log(max(spread, LEAST_SIGMA_KM)) + np.log(max(cell_sigma, LEAST_SIGMA_KM))) / (n + 1)
    sigma_km = float(np.exp(pooled))
    if kind == "members":
        # Scott's (1992) rule for the width of n kernels in the plane.
        width = max(sigma_km * n ** (-1.0 / 6.0), LEAST_SIGMA_KM)
        for one in members:
            found.add(cell, points[one], width, unit[one], np.array([one]), weight / n)
        return
    for embedding, rows in look_of(unit[members], kind):
        found.add(cell, middle, sigma_km, embedding, members[rows], weight * len(rows) / n)


def _middle(points: _Floats) -> _Floats:
    """Direction of the mean unit vector; the first point where they balance out."""
    total = unit_vectors(points).sum(axis=0)
    return lonlat_of(total) if np.linalg.norm(total) > 1e-9 else points[0]
