"""The features of each positional encoding equal a second derivation in numpy, point by point."""

import math

import numpy as np
import pytest
import torch
from positional_fakes import DIMENSIONS, OPTIONS, edges_and_others, make

from placeprint.encoders.positional import POSITIONAL
from placeprint.encoders.sphere import great_circle_km


@pytest.fixture
def lonlat(rng):
    return edges_and_others(rng)


# --- The second derivation: numpy, one point at a time, from the formulas


def radii(scales, r_min, r_max):
    return [math.exp(math.log(r_min) + s * math.log(r_max / r_min) / (scales - 1)) for s in range(scales)]


def grid(lon, lat, module, options):
    return [f(x / r) for r in radii(**options) for f in (math.sin, math.cos) for x in (lon, lat)]


def theory(lon, lat, module, options):
    out = []
    for r in radii(**options):
        along = [lon * math.cos(t) + lat * math.sin(t) for t in np.deg2rad([0, 120, 240])]
        out += [math.sin(x / r) for x in along] + [math.cos(x / r) for x in along]
    return out


def sphere2vec(variant):
    def reference(lon, lat, module, options):
        (l, p), out = np.deg2rad([lon, lat]), []  # noqa: E741
        for r in radii(**options):
            if variant[0] == "c":
                vector = [
                    math.sin(p / r),
                    math.cos(p / r) * math.cos(l / r),
                    math.cos(p / r) * math.sin(l / r),
                ]
            else:
                vector = [math.sin(p / r), math.cos(p / r) * math.cos(l), math.cos(p) * math.cos(l / r)]
                vector += [math.cos(p / r) * math.sin(l), math.cos(p) * math.sin(l / r)]
            plus = [math.cos(p / r), math.sin(l / r), math.cos(l / r)]
            out += vector + (plus if variant.endswith("+") else [])
        return out

    return reference


def dfs(lon, lat, module, options):
    (l, p), r = np.deg2rad([lon, lat]), radii(**options)  # noqa: E741
    a = [math.sin(p / x) for x in r] + [math.cos(p / x) for x in r]
    b = [math.sin(l / x) for x in r] + [math.cos(l / x) for x in r]
    return a + b + [x * y for x in a for y in b]


def xyz(lon, lat):
    l, p = np.deg2rad([lon, lat])  # noqa: E741
    return [math.cos(p) * math.cos(l), math.cos(p) * math.sin(l), math.sin(p)]


def nerf(lon, lat, module, options):
    octaves = [2.0**k * math.pi for k in range(options["scales"])]
    return [f(o * v) for o in octaves for f in (math.sin, math.cos) for v in xyz(lon, lat)]


def rff(lon, lat, module, options):
    rows = zip(module.frequencies.tolist(), module.phases.tolist(), strict=True)
    scale = math.sqrt(2 / options["features"])
    return [scale * math.cos(w[0] * lon / 180 + w[1] * lat / 90 + b) for w, b in rows]


def rff_equal_earth(lon, lat, module, options):
    l, p = np.deg2rad([lon, lat])  # noqa: E741
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    t = math.asin(math.sqrt(3) / 2 * math.sin(p))
    x = 2 * math.sqrt(3) * l * math.cos(t) / (3 * (9 * a4 * t**8 + 7 * a3 * t**6 + 3 * a2 * t**2 + a1))
    y = a4 * t**9 + a3 * t**7 + a2 * t**3 + a1 * t
    v = np.array([x, y]) * 66.50336 / 180
    out = []
    for block in module.frequencies.double().numpy().reshape(len(options["sigmas"]), -1, 2):
        phase = 2 * np.pi * block @ v
        out += [*np.cos(phase), *np.sin(phase)]
    return out


def harmonics(lon, lat, module, options):
    from scipy.special import lpmv

    (l, p), out = np.deg2rad([lon, lat]), []  # noqa: E741
    for n in range(options["degrees"]):
        for m in range(-n, n + 1):
            k = abs(m)
            norm = math.sqrt((2 * n + 1) / (4 * math.pi) * math.factorial(n - k) / math.factorial(n + k))
            legendre = (-1) ** k * norm * lpmv(k, n, math.sin(p))  # scipy has the Condon-Shortley sign
            turn = 1.0 if m == 0 else math.sqrt(2) * (math.cos(m * l) if m > 0 else math.sin(k * l))
            out.append(legendre * turn)
    return out


def rbf(lon, lat, module, options):
    km = great_circle_km(np.array([lon, lat]), np.array(options["anchors"]))
    return np.exp(-(km**2) / (2 * options["scale_km"] ** 2))


def rbf_degrees(lon, lat, module, options):
    offset = np.array(options["anchors"]) - [lon, lat]
    return np.exp(-(offset**2).sum(-1) / (2 * options["scale_deg"] ** 2))


def tile(lon, lat, module, options):
    cell = options["cell_deg"]
    row = min(int((lat + 90) // cell), math.ceil(180 / cell) - 1)
    return module.table.weight[row * math.ceil(360 / cell) + int((lon + 180) // cell)].tolist()


REFERENCES = {
    "xyz": lambda lon, lat, module, options: xyz(lon, lat),
    "wrap": lambda lon, lat, module, options: [
        f(x) for x in np.deg2rad([lon, lat]) for f in (math.sin, math.cos)
    ],
    "wrap-aliased": lambda lon, lat, module, options: [
        f(math.pi * x) for f in (math.sin, math.cos) for x in (lon / 180, lat / 90)
    ],
    "grid": grid,
    "theory": theory,
    "sphere-c": sphere2vec("c"),
    "sphere-c+": sphere2vec("c+"),
    "sphere-m": sphere2vec("m"),
    "sphere-m+": sphere2vec("m+"),
    "dfs": dfs,
    "nerf": nerf,
    "rff": rff,
    "rff-equal-earth": rff_equal_earth,
    "sh": harmonics,
    "rbf": rbf,
    "rbf-degrees": rbf_degrees,
    "tile": tile,
}


def test_every_encoding_is_tested():
    assert set(POSITIONAL) == set(OPTIONS) == set(REFERENCES) == set(DIMENSIONS)


@pytest.mark.parametrize("name", POSITIONAL)
def test_features_equal_a_second_derivation(name, lonlat):
    module = make(name).double()
    with torch.no_grad():
        found = module(lonlat).numpy()
    wanted = np.array([REFERENCES[name](lon, lat, module, OPTIONS[name]) for lon, lat in lonlat.tolist()])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-12)
