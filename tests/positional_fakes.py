"""Positional encodings, small ones of every kind, and places to try them at."""

import numpy as np
import torch

from placeprint.encoders.positional import positional_encoding
from placeprint.encoders.sphere import uniform_on_sphere

S = 5
RADII = {"scales": S, "r_min": 0.01, "r_max": 1.0}
OPTIONS = {
    "xyz": {},
    "wrap": {},
    "wrap-aliased": {},
    "grid": {"scales": S, "r_min": 0.5, "r_max": 360.0},
    "theory": {"scales": S, "r_min": 0.5, "r_max": 360.0},
    "sphere-c": RADII,
    "sphere-c+": RADII,
    "sphere-m": RADII,
    "sphere-m+": RADII,
    "dfs": RADII,
    "nerf": {"scales": S},
    "rff": {"features": 24, "length_scale": 0.1, "seed": 3},
    "rff-equal-earth": {"sigmas": [1.0, 8.0], "frequencies": 10, "seed": 3},
    "sh": {"degrees": 6},
    "rbf": {"anchors": [[0.0, 0.0], [179.0, -16.0], [30.0, 90.0]], "scale_km": 3000.0},
    "rbf-degrees": {"anchors": [[0.0, 0.0], [179.0, -16.0], [30.0, 80.0]], "scale_deg": 40.0},
    "tile": {"cell_deg": 7.0, "width": 3},
}
DIMENSIONS = {
    "xyz": 3,
    "wrap": 4,
    "wrap-aliased": 4,
    "grid": 4 * S,
    "theory": 6 * S,
    "sphere-c": 3 * S,
    "sphere-c+": 6 * S,
    "sphere-m": 5 * S,
    "sphere-m+": 8 * S,
    "dfs": 4 * S + 4 * S * S,
    "nerf": 6 * S,
    "rff": 24,
    "rff-equal-earth": 40,
    "sh": 36,
    "rbf": 3,
    "rbf-degrees": 3,
    "tile": 3,
}
PERIODIC = {"xyz", "wrap", "wrap-aliased", "nerf", "sh", "rbf", "tile"}
STEPS = {"tile"}
EDGES = [[0, 0], [0, 90], [77, 90], [0, -90], [-180, 0], [179.9, -16.8], [-0.1, 51.5], [179.0, -16.0]]


def make(name, **changes):
    return positional_encoding(name, **{**OPTIONS[name], **changes})


def edges_and_others(rng):
    """Places where maps end, and forty others: (48, 2), degrees."""
    return torch.from_numpy(np.concatenate([np.array(EDGES, dtype=float), uniform_on_sphere(40, rng)]))
