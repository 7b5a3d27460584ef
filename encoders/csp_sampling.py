"""What contrastive pre-training draws: batches, random places, and a hold-out of whole regions.

Everything random is a function of a seed and of where in the run it is drawn, `(seed, epoch)` or
`(seed, step)`: a run that is resumed draws what an undisturbed one would, and no state of a
generator has to be kept.

Labels play no part. (The released code of CSP samples its "unsupervised" stage evenly by class,
which lets labels in.) Nor do squares of longitude and latitude pass for random places: a third of
such draws lie beyond 60 degrees of latitude, where the sphere has 13 %.

Letters: N pairs, B a batch, C random places. `lonlat` is (..., 2) degrees, longitude first, checked
by `sphere.as_lonlat` before.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .errors import PlaceprintError, TooFewPairs
from .sphere import as_lonlat, chord_of_km, destination, uniform_on_sphere, unit_vectors

_Floats = NDArray[np.float64]
Negatives = Literal["sphere", "data"]

BLOCKS_DEG = (10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Sides of blocks to choose from; 0.01 degrees are 1.1 km of latitude."""

# Streams of one seed that must not meet.
_ORDER, _PLACES, _JITTER, _REGIONS, _DROPOUT = 1, 2, 3, 4, 5


@dataclass(frozen=True, eq=False)
class Pairs:
    """Photos, as embeddings of a frozen image encoder, and where they were taken.

    Attributes:
        images: (N, F) float32.
        lonlat: (N, 2) degrees.
        groups: what belongs together and must not be torn apart by a split, N labels.
        encoder: fingerprint of the image encoder; "" if unknown.
    """

    images: NDArray[np.float32]
    lonlat: _Floats
    groups: NDArray[np.str_]
    encoder: str = ""

    def __post_init__(self) -> None:
        """Check the arrays against each other.

        Raises:
            PlaceprintError: lengths differ, or an embedding is not finite.
            InvalidCoordinate: a place that is not on Earth; NaN is none.
        """
        if self.images.ndim != 2 or not len(self.images) == len(self.lonlat) == len(self.groups):
            raise PlaceprintError(
                f"pairs need one embedding, one place and one group each; got embeddings "
                f"{self.images.shape}, places {self.lonlat.shape}, {len(self.groups)} groups"
            )
        if not np.isfinite(self.images).all():
            row = int(np.flatnonzero(~np.isfinite(self.images).all(axis=1))[0])
            raise PlaceprintError(f"the embedding of pair {row} is not finite; index that photo again")
        object.__setattr__(self, "lonlat", as_lonlat(self.lonlat))

    def __len__(self) -> int:
        return len(self.lonlat)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "Pairs":
        """Some of the pairs, by index or by mask."""
        return replace(self, images=self.images[rows], lonlat=self.lonlat[rows], groups=self.groups[rows])


def epoch_batches(n: int, batch_size: int, *, seed: int, epoch: int) -> Iterator[NDArray[np.intp]]:
    """Rows of each batch of one epoch; every pair comes exactly once.

    The remainder is spread over all batches, whose sizes differ by at most one: a short last batch
    would have fewer negatives, and an easier task.

    Args:
        n: number of pairs.
        batch_size: largest size of a batch.
        seed: of the run.
        epoch: from 0.
    """
    order = np.random.default_rng([seed, _ORDER, epoch]).permutation(n)
    return iter(np.array_split(order, n_batches(n, batch_size)))


def n_batches(n: int, batch_size: int) -> int:
    """Batches, and so steps, of an epoch over n pairs."""
    return max(1, -(-n // batch_size))


def random_places(
    shape: tuple[int, ...], *, kind: Negatives, known: _Floats, seed: int, step: int
) -> _Floats:
    """Random locations for part L: (*shape, 2) degrees.

    Args:
        shape: (B, C), or (C,) for a batch that shares them.
        kind: ``sphere``, uniform by area over the whole Earth; or ``data``, places of the training
            pairs, which are as dense as the photos and harder to tell apart.
        known: places of the training pairs, (N, 2).
        seed: of the run.
        step: of the run, from 0.
    """
    rng = np.random.default_rng([seed, _PLACES, step])
    n = math.prod(shape)
    places = uniform_on_sphere(n, rng) if kind == "sphere" else known[rng.integers(0, len(known), n)]
    return places.reshape(*shape, 2)


def jittered(lonlat: _Floats, radius_km: float, *, seed: int, step: int) -> _Floats:
    """Move each place at random within a circle, uniform by area: (N, 2) -> (N, 2).

    Photos do not show a point but its surroundings. SatCLIP adds 0 to 0.01 degrees to both
    coordinates, which drifts to the northeast and shrinks toward the poles; ours goes in all
    directions and keeps its length at every latitude.
    """
    if radius_km <= 0.0:
        return lonlat
    rng = np.random.default_rng([seed, _JITTER, step])
    bearing_deg = rng.uniform(0.0, 360.0, len(lonlat))
    return destination(lonlat, bearing_deg, radius_km * np.sqrt(rng.uniform(0.0, 1.0, len(lonlat))))


def torch_seed(seed: int, step: int) -> int:
    """Seed of torch's generator for the dropout masks of one step, 64 bits."""
    return int(np.random.SeedSequence([seed, _DROPOUT, step]).generate_state(1, np.uint64)[0])


def same_place(a: _Floats, b: _Floats, radius_km: float) -> NDArray[np.bool_]:
    """Which points lie within a distance of each other, for masks of `csp_objectives`.

    Args:
        a: (..., A, 2) degrees.
        b: (..., B, 2) degrees.
        radius_km: at most this far apart. Below 0.2 m the answer is that for 0.2 m.

    Returns:
        (..., A, B) booleans.
    """
    cosine = unit_vectors(a) @ np.swapaxes(unit_vectors(b), -1, -2)
    # Rounding takes up to 4e-16 off the cosine of equal points, as much as 0.2 m between them.
    near: NDArray[np.bool_] = cosine >= 1.0 - np.maximum(chord_of_km(radius_km) ** 2 / 2.0, 4.5e-16)
    return near


def regions(lonlat: _Floats, groups: Sequence[str] | NDArray[np.str_], block_deg: float) -> NDArray[np.intp]:
    """Cut the pairs into regions that a split may part: blocks of the Earth, joined by groups.

    Blocks that share a group (a place, a walk) are one region. Neighbors on the two sides of an
    edge may still be parted, as with any blocks.

    Args:
        lonlat: (N, 2).
        groups: N labels.
        block_deg: side of a block in degrees of longitude and latitude; at a pole blocks are
            slices, and the antimeridian is an edge.

    Returns:
        Number of each pair's region, (N,), 0 and up.
    """
    cells = np.floor((lonlat + np.array([180.0, 90.0])) / block_deg).astype(np.int64)
    blocks = np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)
    group = np.unique(groups, return_inverse=True)[1].reshape(-1)
    n_blocks = int(blocks.max()) + 1
    n = n_blocks + int(group.max()) + 1
    graph = coo_array((np.ones(len(blocks)), (blocks, n_blocks + group)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    return np.unique(component[blocks], return_inverse=True)[1].reshape(-1)


def hold_out(region: NDArray[np.intp], shares: Sequence[float], *, seed: int) -> NDArray[np.intp]:
    """Deal whole regions out to parts, so that no part has seen another's places.

    In random order, each region goes to the part that is then least full for its size.

    Args:
        region: of each pair, from `regions`, (N,).
        shares: wanted share of pairs of each part but the first, which takes the rest.
        seed: of the deal.

    Returns:
        Part of each pair, (N,): 0 for the rest, i for ``shares[i - 1]``.

    Raises:
        TooFewPairs: a part would come out empty.
    """
    size = np.bincount(region)
    wanted = np.array([1.0 - sum(shares), *shares]) * len(region)
    part_of = np.zeros(len(size), dtype=np.intp)
    have = np.zeros(len(wanted))
    for one in np.random.default_rng([seed, _REGIONS]).permutation(len(size)):
        # Half of the region counts, so that a large one goes where it overfills least.
        part_of[one] = int(np.argmin((have + size[one] / 2) / wanted))
        have[part_of[one]] += size[one]
    if not have.all():
        raise TooFewPairs(
            f"{len(region)} pairs in {len(size)} separate region(s) cannot be dealt out to {len(wanted)} "
            f"parts; choose smaller blocks, or index photos of more places"
        )
    return part_of[region]


def choose_block_deg(lonlat: _Floats, groups: Sequence[str] | NDArray[np.str_]) -> float:
    """The largest usual block that leaves regions enough to deal out: 30, none above a fifth.

    Args:
        lonlat: (N, 2).
        groups: N labels.

    Raises:
        TooFewPairs: even the smallest blocks leave too few regions.
    """
    for block_deg in BLOCKS_DEG:
        size = np.bincount(regions(lonlat, groups, block_deg))
        if len(size) >= 30 and size.max() <= len(lonlat) / 5:
            return block_deg
    raise TooFewPairs(
        f"{len(lonlat)} pairs make {len(size)} separate region(s) of {BLOCKS_DEG[-1]:g}°, too few to hold "
        "some out: at least 30 are needed, none with over a fifth of the photos. Index photos of more places"
    )
