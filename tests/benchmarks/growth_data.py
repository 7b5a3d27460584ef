"""Photos of `growth`: made up on the spot, the first ten thousand the same whatever the size.

Embeddings lie on a curved surface of 24 dimensions in 512, as those of networks do; four photos of five
are taken around 300 towns, whose photos resemble one another a little.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from placeprint.encoders.areas import Circle
from placeprint.encoders.sphere import destination, great_circle_km, uniform_on_sphere

DIMENSION, K = 512, 10
SELECTIVITIES = (0.1, 0.01, 0.001, 0.00001)
"""Shares of the photos that pass a filter, at least one photo."""

PART = 50_000
_N_TOWNS, _N_LATENT = 300, 24
Vectors = NDArray[np.float32]
Places = NDArray[np.float64]


class Questions(NamedTuple):
    """Queries with their right answers, rows of the photos."""

    vectors: Vectors  # (Q, D), photos with a little noise
    best: NDArray[np.int64]  # (Q, K)
    circles: list[list[Circle]]  # for each selectivity
    best_within: list[list[NDArray[np.int64]]]  # for each selectivity and circle, up to K


def make_photos(n: int, seed: int) -> Iterator[tuple[Vectors, Places]]:
    """Unit embeddings (m, D) and places (m, 2), `PART` photos at a time."""
    rng = np.random.default_rng(seed)
    towns, looks = uniform_on_sphere(_N_TOWNS, rng), 0.5 * rng.normal(size=(_N_TOWNS, _N_LATENT))
    first = rng.normal(size=(_N_LATENT, 128)) / 5.0
    second = (rng.normal(size=(128, DIMENSION)) / 11.0).astype(np.float32)
    for number, start in enumerate(range(0, n, PART)):
        rng = np.random.default_rng([seed, number])
        town = rng.integers(0, _N_TOWNS, PART)
        lonlat = destination(towns[town], rng.uniform(0, 360, PART), rng.exponential(30.0, PART))
        anywhere = rng.random(PART) < 0.2
        lonlat[anywhere] = uniform_on_sphere(int(anywhere.sum()), rng)
        latent = rng.normal(size=(PART, _N_LATENT)) + looks[town]
        raw = np.tanh(latent @ first).astype(np.float32) @ second
        unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        yield unit[: n - start], lonlat[: n - start]


def keep_photos(n: int, seed: int, folder: Path) -> tuple[Vectors, Places]:
    """The same in two files of a folder, opened where they are."""
    path = folder / "vectors.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        making = folder / "making.npy"
        kept = np.lib.format.open_memmap(making, mode="w+", dtype=np.float32, shape=(n, DIMENSION))
        lonlat = np.empty((n, 2))
        for number, (vectors, places) in enumerate(make_photos(n, seed)):
            rows = slice(number * PART, number * PART + len(vectors))
            kept[rows], lonlat[rows] = vectors, places
        kept.flush()
        np.save(folder / "lonlat.npy", lonlat)
        making.rename(path)
    return np.load(path, mmap_mode="r"), np.load(folder / "lonlat.npy")


def make_questions(vectors: Vectors, lonlat: Places, *, n: int, n_within: int, seed: int) -> Questions:
    """Queries and circles, answered by a scan of everything.

    Args:
        vectors: of the photos, (N, D).
        lonlat: of the photos, (N, 2).
        n: queries.
        n_within: circles of each selectivity, around photos; the first queries ask within them.
        seed: of the draw.
    """
    rng = np.random.default_rng([seed, 1])
    chosen = np.sort(rng.choice(len(vectors), n, replace=False))
    noisy = vectors[chosen] + 0.02 * rng.normal(size=(n, DIMENSION)).astype(np.float32)
    asked = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    rng.shuffle(asked)
    similarity = np.concatenate(
        [vectors[start : start + PART] @ asked.T for start in range(0, len(vectors), PART)]
    )
    best = np.argsort(-similarity, axis=0)[:K].T if len(vectors) < PART else _top(similarity)
    centers = lonlat[rng.choice(len(lonlat), n_within, replace=False)]
    circles: list[list[Circle]] = [[] for _ in SELECTIVITIES]
    within: list[list[NDArray[np.int64]]] = [[] for _ in SELECTIVITIES]
    for number, center in enumerate(centers):
        km = great_circle_km(lonlat, center)
        for level, share in enumerate(SELECTIVITIES):
            wanted = max(1, round(share * len(lonlat)))
            radius_km = float(np.partition(km, wanted - 1)[wanted - 1]) + 1e-6
            inside = np.flatnonzero(km <= radius_km)
            order = np.argsort(-similarity[inside, number])[:K]
            circles[level].append(Circle(float(center[0]), float(center[1]), radius_km))
            within[level].append(inside[order])
    return Questions(asked, best, circles, within)


def _top(similarity: NDArray[np.float32]) -> NDArray[np.int64]:
    some = np.argpartition(-similarity, K, axis=0)[:K]
    order = np.argsort(-np.take_along_axis(similarity, some, axis=0), axis=0)
    return np.take_along_axis(some, order, axis=0).T.astype(np.int64)
