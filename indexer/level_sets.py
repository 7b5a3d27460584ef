"""Where a density exceeds a threshold, as polygons.

The Earth is cut into boxes of lon and lat, each halved along its longer side on the ground until
the density varies little within it. Halves of halves nest exactly, unlike h3's hexagons, and their
sides are exact binary fractions of 180 degrees: the union has no slivers, its area is the sum of
the boxes', no box crosses the antimeridian, and those at a pole reach it. Letters: n boxes,
M kernels, T thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..encoders.sphere import EARTH_RADIUS_KM, unit_vectors
from .surface import Floats, Mixture, log_kernel

_WEST = (-180.0, -90.0, 0.0, 90.0)
_TOLERANCE = 0.15  # a density that varies less within a box is judged at its center
_FINE_BOXES = 200  # boxes looked at before the tolerance grows
_BLOCK = 32  # boxes at a time


@dataclass(frozen=True)
class LevelSet:
    """All places at which a density reaches a threshold.

    Attributes:
        geometry: GeoJSON Polygon or MultiPolygon (RFC 7946), lon, lat degrees.
        area_km2: its area on the sphere.
    """

    geometry: dict[str, Any]
    area_km2: float


def level_sets(mixture: Mixture, log_thresholds: Floats) -> list[LevelSet]:
    """The set for each threshold, natural log of a density per km², (T,)."""
    boxes, inside = _boxes_above(mixture, np.asarray(log_thresholds, dtype=np.float64))
    return [_union(boxes[inside[:, column]]) for column in range(inside.shape[1])]


def _boxes_above(mixture: Mixture, log_thresholds: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Boxes (n, 4) as west, south, east, north, and whether each belongs to each set, (n, T)."""
    boxes = np.array([[west, south, west + 90.0, south + 90.0] for west in _WEST for south in (-90.0, 0.0)])
    kept, members, n_seen = [], [], 0
    while len(boxes):
        n_seen += len(boxes)
        low, middle, high = _bounds(mixture, boxes, log_thresholds.min())
        undecided = ((low[:, None] < log_thresholds) & (high[:, None] >= log_thresholds)).any(axis=1)
        # Edges get coarser as boxes run out; a narrow peak, which varies by many nats, stays in view.
        split = undecided & (high - low > _TOLERANCE * max(1.0, n_seen / _FINE_BOXES))
        inside = middle[:, None] >= log_thresholds
        final = ~split & inside.any(axis=1)
        kept.append(boxes[final])
        members.append(inside[final])
        boxes = _halves(boxes[split])
    return np.concatenate(kept), np.concatenate(members)


def _bounds(mixture: Mixture, boxes: Floats, log_threshold: float) -> tuple[Floats, Floats, Floats]:
    """Log density of each box: at least, at the center, at most; (n,) each.

    No kernel is farther from a place in the box than from the center plus the radius of the box,
    nor nearer than that minus the radius. Boxes that stand together lie together, so that each
    block can do without the kernels that do not reach it: together those left out come to less
    than a thousandth of the threshold.
    """
    center = unit_vectors((boxes[:, :2] + boxes[:, 2:]) / 2.0)
    corners = np.stack([unit_vectors(boxes[:, [i, j]]) for i in (0, 2) for j in (1, 3)])
    radius = np.arccos(np.clip(np.einsum("cnd,nd->cn", corners, center).min(axis=0), -1.0, 1.0))
    constant = log_kernel(np.ones(()), mixture.kappa) + mixture.log_weight
    negligible = log_threshold - np.log(1000.0 * len(constant))
    result = np.empty((3, len(boxes)))
    for start in range(0, len(boxes), _BLOCK):
        part = slice(start, start + _BLOCK)
        middle = center[part].sum(axis=0)
        middle /= max(float(np.linalg.norm(middle)), 1e-9)
        reach = float((np.arccos(np.clip(center[part] @ middle, -1.0, 1.0)) + radius[part]).max())
        near = constant + mixture.kappa * (_nearer(mixture.centers @ middle, reach) - 1.0) >= negligible
        near[np.argmax(constant)] = True  # at least one
        kappa, offset = mixture.kappa[near], constant[near] - mixture.kappa[near]
        cosine, turn = center[part] @ mixture.centers[near].T, radius[part, None]
        high = _log_sum(offset + kappa * _nearer(cosine, turn))
        result[:, part] = high
        alive = high >= log_threshold  # the others need no closer look
        rows = start + np.flatnonzero(alive)
        result[1, rows] = _log_sum(offset + kappa * cosine[alive])
        result[0, rows] = _log_sum(offset - kappa * _nearer(-cosine[alive], turn[alive]))
    return result[0], result[1], result[2]


def _nearer(cosine: Floats, turn: Floats | float) -> Floats:
    """Cosines of angles made smaller by `turn` radians, though not below 0.

    With the signs of argument and result changed, angles are made larger, though not above π.
    """
    cos_turn, sin_turn = np.cos(np.minimum(turn, np.pi)), np.sin(np.minimum(turn, np.pi))
    sine = np.sqrt(np.maximum(0.0, 1.0 - cosine**2))
    result: Floats = np.where(cosine >= cos_turn, 1.0, cosine * cos_turn + sine * sin_turn)
    return result


def _log_sum(exponent: Floats) -> Floats:
    """Log of the sum of exponentials along the last axis; changes its argument."""
    peak = exponent.max(axis=1, keepdims=True)
    np.maximum(np.subtract(exponent, peak, out=exponent), -700.0, out=exponent)  # see Mixture.log_density_at
    result: Floats = peak[:, 0] + np.log(np.exp(exponent, out=exponent).sum(axis=1))
    return result


def _halves(boxes: Floats) -> Floats:
    """Each box as two, side by side, cut across its longer side on the ground."""
    west, south, east, north = boxes.T
    widest = np.cos(np.deg2rad(np.where(south * north < 0.0, 0.0, np.minimum(abs(south), abs(north)))))
    is_wide = (east - west) * widest >= north - south
    first, second = boxes.copy(), boxes.copy()
    first[is_wide, 2] = second[is_wide, 0] = ((west + east) / 2.0)[is_wide]
    first[~is_wide, 3] = second[~is_wide, 1] = ((south + north) / 2.0)[~is_wide]
    return np.stack([first, second], axis=1).reshape(-1, 4)


def _union(boxes: Floats) -> LevelSet:
    """The boxes as one geometry, with their total area."""
    west, south, east, north = boxes.T
    height = np.sin(np.deg2rad(north)) - np.sin(np.deg2rad(south))
    area = EARTH_RADIUS_KM**2 * float((np.deg2rad(east - west) * height).sum())
    merged = shapely.union_all(shapely.box(west, south, east, north))
    if merged.is_empty:  # not the GeometryCollection that shapely makes of nothing
        merged = shapely.MultiPolygon()
    # RFC 7946 wants outer rings counterclockwise.
    return LevelSet(shapely.geometry.mapping(shapely.orient_polygons(merged)), area)
