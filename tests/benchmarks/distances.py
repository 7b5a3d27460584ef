"""P17: distances from one place to many, beside the `haversine` package and plain numpy.

    python tests/benchmarks/distances.py --out bench

The places are drawn evenly, and among them are the one asked about, its antipode and places near both. Before
anything is timed, all are compared with 50 digits at a sample: relative errors, and the largest anywhere.
"""

import mpmath
import numpy as np
from numpy.typing import NDArray
from row_script import arguments, begin, command, finish, missing, peer_or_none, sentences
from scoreboard_rows import Figure, Row
from turns import doubts_of, take_turns, verdict_of

from placeprint.encoders.sphere import EARTH_RADIUS_KM, destination, great_circle_km, uniform_on_sphere

_Floats = NDArray[np.float64]
N_EXACT = 500
LEAST_CHECKED, LEAST_UNCHECKED, MOST_ERROR = 10.0, 2.0, 1e-9


def plain_km(lonlat: _Floats, places: _Floats) -> _Floats:
    """The haversine formula as it is usually written."""
    lon, lat = np.deg2rad(places[:, 0]), np.deg2rad(places[:, 1])
    lon_0, lat_0 = np.deg2rad(lonlat)
    h = np.sin((lat - lat_0) / 2.0) ** 2
    h += np.cos(lat_0) * np.cos(lat) * np.sin((lon - lon_0) / 2.0) ** 2
    return 2.0 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(h, 1.0)))


def exact_km(a: _Floats, b: _Floats) -> mpmath.mpf:
    """With 50 digits."""
    with mpmath.workdps(50):
        lon_a, lat_a, lon_b, lat_b = (mpmath.radians(mpmath.mpf(float(one))) for one in (*a, *b))
        h = mpmath.sin((lat_a - lat_b) / 2) ** 2
        h += mpmath.cos(lat_a) * mpmath.cos(lat_b) * mpmath.sin((lon_a - lon_b) / 2) ** 2
        return 2 * mpmath.mpf(EARTH_RADIUS_KM) * mpmath.asin(mpmath.sqrt(h))


def places_of(n: int, seed: int = 0) -> tuple[_Floats, _Floats]:
    """A place and n others; the first 300 at it, at its antipode, and up to a kilometer from both."""
    rng = np.random.default_rng(seed)
    lonlat, places = uniform_on_sphere(1, rng)[0], uniform_on_sphere(n, rng)
    antipode = np.array([lonlat[0] - np.copysign(180.0, lonlat[0]), -lonlat[1]])
    near_km = 10.0 ** rng.uniform(-9.0, 0.0, 100)
    bearing_deg = rng.uniform(0.0, 360.0, 100)
    places[0:50], places[50:100] = lonlat, antipode
    places[100:200] = destination(lonlat, bearing_deg, near_km)
    places[200:300] = destination(antipode, bearing_deg, near_km)
    return lonlat, places


def largest_error(found: _Floats, lonlat: _Floats, places: _Floats) -> float:
    """Largest relative error at a sample of places; of a distance of 0, kilometers."""
    errors = []
    for row in range(min(N_EXACT, len(places))):
        exact = exact_km(lonlat, places[row])
        errors.append(abs(found[row] - exact) / (exact or 1))
    return float(max(errors))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--n", type=int, default=1_000_000, help="places")
    asked = begin(parser)
    lonlat, places = places_of(asked.n)
    lat_lon, lat_lon_all = tuple(lonlat[::-1].tolist()), np.ascontiguousarray(places[:, ::-1])
    contenders = {"numpy": lambda: plain_km(lonlat, places)}
    package = peer_or_none("haversine")
    if package is not None:

        def of_package(check: bool) -> _Floats:
            found = package.haversine_vector(lat_lon, lat_lon_all, comb=True, check=check)
            return np.asarray(found)[:, 0]

        contenders["haversine, check=False"] = lambda: of_package(False)
        contenders["haversine, as it comes"] = lambda: of_package(True)
    errors = {
        name: largest_error(call(), lonlat, places)
        for name, call in {"ours": lambda: great_circle_km(lonlat, places), **contenders}.items()
    }
    if not np.allclose(great_circle_km(lonlat, places), plain_km(lonlat, places), rtol=1e-7, atol=1e-3):
        raise SystemExit("ours and plain numpy disagree by more than antipodes explain")
    targets = {
        "numpy": None,
        "haversine, check=False": LEAST_UNCHECKED,
        "haversine, as it comes": LEAST_CHECKED,
    }
    turns = take_turns(lambda: great_circle_km(lonlat, places), contenders, blocks=asked.blocks)
    found = {name: turns.compare(name) for name in contenders}
    figures, reached = [], [errors["ours"] <= MOST_ERROR]
    for name, one in found.items():
        figures.append(one.figure("distances", name, n=asked.n / 1e6, unit="M distances/s"))
        figures[-1].target = target = targets[name]
        if target is not None:
            reached.append(one.reaches(target))
    figures += [
        Figure("largest relative error", errors["ours"], "", name, errors[name]) for name in contenders
    ]
    row = Row(
        "P17", "Distances from one place to a million",
        f">= {LEAST_CHECKED:g}x of haversine_vector as it comes, >= {LEAST_UNCHECKED:g}x with check=False, "
        f"error <= {MOST_ERROR:g}",
        verdict_of(*reached) if package is not None else "not measured", command(),
        sentences(
            missing("haversine") if package is None else "",
            "errors are against 50 digits, antipodes and coincident places included",
            "its check of coordinates costs little by now, which the target of 10x did not expect",
            doubts_of(found),
        ),
        figures,
    )  # fmt: skip
    finish(row, asked.out)


if __name__ == "__main__":
    main()
