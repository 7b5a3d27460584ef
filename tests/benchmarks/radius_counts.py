"""P18: how much of an answer's candidates lies within a radius of each, beside pairwise haversine.

    python tests/benchmarks/radius_counts.py --out bench

Candidates are what a search and a classifier hand over: k places in a few towns, with weights. Two ways of
adding them up are measured: the number within a radius, by `PlaceTree`, and the density of the kernels of six
widths that the geolocation itself reads (`SurfaceModel.neighbor_mixture`), each from coordinates to answers.
The peer computes all k x k distances with numpy. Answers are compared first.
"""

import numpy as np
from numpy.typing import NDArray
from row_script import arguments, begin, command, finish, sentences
from scipy.special import logsumexp
from scoreboard_rows import Row
from turns import Comparison, doubts_of, take_turns, verdict_of

from placeprint.encoders.place_tree import PlaceTree
from placeprint.encoders.sphere import EARTH_RADIUS_KM, destination, uniform_on_sphere
from placeprint.indexer.surface import log_kernel
from placeprint.indexer.surface_model import SurfaceModel

_Floats = NDArray[np.float64]
SIZES = (50, 200, 1000)
RADIUS_KM = 25.0
LEAST, MOST_MS, MOST_MS_AT = 10.0, 1.0, 200


def candidates(k: int, seed: int = 0) -> tuple[_Floats, _Floats]:
    """Places of k candidates, (k, 2), and their similarities, (k,)."""
    rng = np.random.default_rng(seed)
    towns = uniform_on_sphere(10, rng)[rng.integers(0, 10, k)]
    away_km, bearing_deg = rng.exponential(80.0, k), rng.uniform(0.0, 360.0, k)
    return destination(towns, bearing_deg, away_km), np.sort(rng.uniform(0.3, 0.8, k))[::-1].copy()


def pairwise_km(lonlat: _Floats) -> _Floats:
    """All distances, as they are usually written, (k, k)."""
    lon, lat = np.deg2rad(lonlat).T
    h = np.sin((lat[:, None] - lat) / 2.0) ** 2
    h += np.cos(lat[:, None]) * np.cos(lat) * np.sin((lon[:, None] - lon) / 2.0) ** 2
    return 2.0 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(h, 1.0)))


def counts(lonlat: _Floats) -> NDArray[np.intp]:
    return PlaceTree(lonlat).count_within(lonlat, RADIUS_KM)


def pairwise_counts(lonlat: _Floats) -> NDArray[np.intp]:
    return np.asarray((pairwise_km(lonlat) <= RADIUS_KM).sum(axis=1))


def log_densities(model: SurfaceModel, lonlat: _Floats, similarity: _Floats) -> _Floats:
    return model.neighbor_mixture(similarity, lonlat).log_density(lonlat)


def pairwise_log_densities(model: SurfaceModel, lonlat: _Floats, similarity: _Floats) -> _Floats:
    cosine = np.cos(pairwise_km(lonlat) / EARTH_RADIUS_KM)
    each = log_kernel(cosine[:, :, None], model.kappas)
    return np.asarray(logsumexp(each, axis=(1, 2), b=model.neighbor_weights(similarity)))


def main() -> None:
    asked = begin(arguments(__doc__))
    model, figures, reached = SurfaceModel(), [], []
    found: dict[str, Comparison] = {}
    for k in SIZES:
        lonlat, similarity = candidates(k)
        if not (counts(lonlat) == pairwise_counts(lonlat)).all():
            raise SystemExit("the two ways count differently")
        ours = log_densities(model, lonlat, similarity)
        if not np.allclose(ours, pairwise_log_densities(model, lonlat, similarity), atol=2e-3):
            raise SystemExit("the two ways tell different densities")
        turns = take_turns(
            lambda lonlat=lonlat: counts(lonlat), {"pairwise": lambda lonlat=lonlat: pairwise_counts(lonlat)},
            blocks=asked.blocks,
        )  # fmt: skip
        name = f"counts within {RADIUS_KM:g} km, k = {k}"
        found[name] = one = turns.compare("pairwise")
        figures.append(one.time_figure(name, "pairwise haversine"))
        figures[-1].target = LEAST
        reached.append(one.reaches(LEAST))
        if k == MOST_MS_AT:
            reached.append(1e3 * one.ours_s <= MOST_MS)
        turns = take_turns(
            lambda lonlat=lonlat, similarity=similarity: log_densities(model, lonlat, similarity),
            {
                "pairwise": lambda lonlat=lonlat, similarity=similarity: pairwise_log_densities(
                    model, lonlat, similarity
                )
            },
            blocks=asked.blocks,
        )
        name = f"density of six widths, k = {k}"
        found[name] = one = turns.compare("pairwise")
        figures.append(one.time_figure(name, "pairwise haversine"))
    row = Row(
        "P18", "Candidates of an answer added up by distance",
        f">= {LEAST:g}x of pairwise haversine at every k, <= {MOST_MS:g} ms for k = {MOST_MS_AT}",
        verdict_of(*reached), command(),
        sentences(
            "the peer is vectorized, no loop over pairs; the target is of counts, and densities, which the "
            "geolocation reads, are told beside them",
            doubts_of(found),
        ),
        figures,
    )  # fmt: skip
    finish(row, asked.out)


if __name__ == "__main__":
    main()
