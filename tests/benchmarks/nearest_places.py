"""P16: the nearest of a million places, beside scikit-learn's BallTree with haversine.

    python tests/benchmarks/nearest_places.py --out bench

Both answer the same questions with the same tree from one run to the next; building is timed once, each in
turn. Places that are equally far to the last digits may change ranks: identical is a neighborhood whose
distances agree to a micrometer rank by rank.
"""

import time

import numpy as np
from row_script import arguments, begin, command, finish, sentences
from scoreboard_rows import Figure, Row
from sklearn.neighbors import BallTree
from turns import take_turns, verdict_of

from placeprint.encoders.place_tree import PlaceTree
from placeprint.encoders.sphere import EARTH_RADIUS_KM, great_circle_km, uniform_on_sphere

TARGET = 4.0
MICROMETER_KM = 1e-9


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--n", type=int, default=1_000_000, help="places in the tree")
    parser.add_argument("--asked", type=int, default=2_000, help="places asked about")
    parser.add_argument("--k", type=int, default=10)
    asked = begin(parser)
    rng = np.random.default_rng(0)
    places, queries = uniform_on_sphere(asked.n, rng), uniform_on_sphere(asked.asked, rng)
    began = time.perf_counter()
    tree = PlaceTree(places)
    ours_build_s = time.perf_counter() - began
    began = time.perf_counter()
    ball = BallTree(np.deg2rad(places[:, ::-1]), metric="haversine")
    peer_build_s = time.perf_counter() - began
    in_radians = np.deg2rad(queries[:, ::-1])
    km, number = tree.nearest(queries, asked.k)
    peer_angle, peer_number = ball.query(in_radians, asked.k)
    same = float((number == peer_number).all(axis=1).mean())
    apart_km = np.abs(km - peer_angle * EARTH_RADIUS_KM).max()
    ours_km, theirs_km = (great_circle_km(queries[:, None], places[found]) for found in (number, peer_number))
    ties_km = np.abs(ours_km - theirs_km).max()
    is_same = same == 1.0 or ties_km <= MICROMETER_KM
    turns = take_turns(
        lambda: tree.nearest(queries, asked.k), {"BallTree": lambda: ball.query(in_radians, asked.k)},
        blocks=asked.blocks,
    )  # fmt: skip
    found = turns.compare("BallTree")
    figures = [
        found.figure(f"{asked.k} nearest", "BallTree, haversine", n=asked.asked / 1e3, unit="k places/s"),
        Figure("identical neighborhoods", 100.0 * same, "%"),
        Figure("farthest apart of two of one rank", 1e6 * ties_km, "mm"),
        Figure("difference of the distances told", 1e6 * apart_km, "mm"),
        Figure("building, once", ours_build_s, "s", "BallTree", peer_build_s, peer_build_s / ours_build_s),
    ]
    figures[0].target = TARGET
    row = Row(
        "P16", f"The {asked.k} nearest of {asked.n:,} places",
        f">= {TARGET:g}x on one thread, identical neighbors",
        verdict_of(found.reaches(TARGET), is_same), command(), sentences(found.doubt), figures,
    )  # fmt: skip
    finish(row, asked.out)


if __name__ == "__main__":
    main()
