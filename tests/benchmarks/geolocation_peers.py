"""Published ways to say where a photo was taken, on frozen embeddings, as rows of `geolocation`.

Each is re-implemented from its description, at the size that some 1,400 training photos call for:

- kNN-KDE: Vo et al. 2017 (Revisiting IM2GPS), which renews Hays and Efros 2008;
- quadtree cells, hard labels, a linear layer: as OSV-5M (Astruc et al. 2024), after PlaNet's S2 cells;
- PIGEON (Haas et al. 2024, arXiv:2307.05845): semantic cells, haversine smoothing without
  normalization, a linear layer, OPTICS prototypes of which one wins;
- GeoCLIP (Vivanco Cepeda et al. 2023, arXiv:2309.16020): images against coordinates (`geolocation_geoclip`).

What of them is mended is said where it is done, and it is in their favor. Letters: n photos, N known
photos, D embedding, C cells, M candidates, S settings. Coordinates are lon, lat, degrees.
"""

from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from geolocation_geoclip import GEOCLIP_STEPS, geoclip
from geolocation_trial import Method, Photos, Request, Said
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import log_softmax, logsumexp
from torch import nn
from torch.nn import functional as F

from placeprint.encoders.geocell_targets import hard_targets, pigeon_targets, tau_km_of
from placeprint.encoders.geocells import Geocells, build_geocells
from placeprint.encoders.prototypes import Prototypes, prototypes_of
from placeprint.encoders.sphere import as_lonlat, great_circle_km, lonlat_of, unit_vectors

_Floats = NDArray[np.float64]

N_NEIGHBORS = 100  # of the kernel density
POWER = 10.0  # of one over the distance, their weight
KDE_DEG, SNAP_KM = 4.0, 100.0
LEAST_CELL, MOST_CELL = 5, 15  # photos of a cell; 30 to 60 of PIGEON's 100,000 places
QUADTREE_DEPTH = 10
TOP_CELLS, MOVE_KM = 5, 1000.0  # PIGEON's refinement, Street View
DECAYS = (0.1, 0.3)


def random_photo(request: Request) -> list[Said]:
    """The place of any training photo."""
    rows = np.random.default_rng(request.seed).integers(len(request.known), size=len(request.asked))
    place = request.known.lonlat[rows]
    return [Said(place[:, None], np.zeros((len(rows), 1)), place)] * len(request.settings)


def nearest_photo(request: Request) -> list[Said]:
    """The place of the most similar photo (Hays and Efros 2008)."""
    place = request.known.lonlat[(request.asked @ request.known.embedding.T).argmax(axis=1)]
    return [Said(place[:, None], np.zeros((len(place), 1)), place)] * len(request.settings)


def kernel_density(request: Request) -> list[Said]:
    """Kernel density of the places of the 100 most similar photos, weights one over distance to the tenth."""
    similarity = (request.asked @ request.known.embedding.T).astype(np.float64)
    near = np.argsort(-similarity, axis=1, kind="stable")[:, :N_NEIGHBORS]
    squared = 2.0 - 2.0 * np.take_along_axis(similarity, near, axis=1)
    logit = -POWER / 2.0 * np.log(np.maximum(squared, 1e-6))
    place = request.known.lonlat[near]
    weight = np.exp(logit - logit.max(axis=1, keepdims=True))
    point = np.array([kde_point(one, each) for one, each in zip(place, weight, strict=True)])
    return [Said(place, logit, point)] * len(request.settings)


def kde_point(lonlat: _Floats, weight: _Floats) -> _Floats:
    """Their answer from neighbors (K, 2) and weights (K,): mode of a density in degrees, then a neighbor.

    Gaussians of 4 degrees on a grid of 1 degree, whose best cell is looked into by one of 0.1 degrees,
    20 degrees each way; then the heaviest neighbor within 100 km, if there is one. Mended: longitudes
    wrap, so that Fiji is one place.
    """
    coarse = np.arange(-179.5, 180.0), np.arange(-89.5, 90.0)
    lon, lat = _densest(lonlat, weight, *coarse)
    fine = np.arange(-20.0, 20.05, 0.1)
    lon, lat = _densest(lonlat, weight, lon + fine, np.clip(lat + fine, -90.0, 90.0))
    mode = as_lonlat([(lon + 180.0) % 360.0 - 180.0, lat])
    is_close = great_circle_km(mode, lonlat) <= SNAP_KM
    return lonlat[np.where(is_close, weight, 0.0).argmax()] if is_close.any() else mode


def _densest(lonlat: _Floats, weight: _Floats, lon: _Floats, lat: _Floats) -> tuple[float, float]:
    """Where on a grid the sum of Gaussians is greatest; they part into factors of longitude and latitude."""
    east = (lon[:, None] - lonlat[:, 0] + 180.0) % 360.0 - 180.0
    by_lon = np.exp(-0.5 * (east / KDE_DEG) ** 2)
    by_lat = np.exp(-0.5 * ((lat[:, None] - lonlat[:, 1]) / KDE_DEG) ** 2)
    row, column = np.unravel_index(np.argmax((by_lat * weight) @ by_lon.T), (len(lat), len(lon)))
    return float(lon[column]), float(lat[row])


class Cells(NamedTuple):
    """Cell of each training photo, (N,), and the cells' centers, (C, 2)."""

    cell: NDArray[np.intp]
    center_lonlat: _Floats


def quadtree(lonlat: _Floats, most: int, depth: int = QUADTREE_DEPTH) -> Cells:
    """Quarter a cell of the lon-lat plane while it holds more than so many photos; centers are their means.

    Cells without photos are left out: no label asks for them.
    """
    cell = np.empty(len(lonlat), dtype=np.intp)
    pending = [(np.arange(len(lonlat)), -180.0, -90.0, 360.0, 180.0, depth)]
    n_cells = 0
    while pending:
        rows, west, south, width, height, left = pending.pop()
        if len(rows) <= most or left == 0:
            cell[rows] = n_cells
            n_cells += 1
            continue
        quarter = 2 * (lonlat[rows, 1] >= south + height / 2) + (lonlat[rows, 0] >= west + width / 2)
        for number in np.unique(quarter).tolist():
            corner = west + width / 2 * (number % 2), south + height / 2 * (number // 2)
            pending.append((rows[quarter == number], *corner, width / 2, height / 2, left - 1))
    sums = np.zeros((n_cells, 3))
    np.add.at(sums, cell, unit_vectors(lonlat))
    return Cells(cell, lonlat_of(sums))


def quadtree_classes(request: Request) -> list[Said]:
    """The center of the likeliest quadtree cell. A setting is a weight decay."""
    known = request.known
    cells = quadtree(known.lonlat, MOST_CELL)
    targets = hard_targets(cells.cell, len(cells.center_lonlat))
    answers = []
    for decay in request.settings:
        log_p = linear_head(known, targets, decay)(request.asked)
        answers.append(Said(cells.center_lonlat[None], log_p, cells.center_lonlat[log_p.argmax(axis=1)]))
    return answers


class LinearHead:
    """A linear layer over standardized embeddings: (n, D) -> log-probabilities (n, C)."""

    def __init__(self, mean: torch.Tensor, scale: torch.Tensor, layer: nn.Linear) -> None:
        self.mean, self.scale, self.layer = mean, scale, layer

    def __call__(self, embedding: NDArray[np.float32]) -> _Floats:
        with torch.inference_mode():
            logits = self.layer((torch.from_numpy(embedding) - self.mean) / self.scale)
        log_p: _Floats = log_softmax(logits.numpy().astype(np.float64), axis=1)
        return log_p


def linear_head(known: Photos, targets: csr_array, decay: float, *, n_steps: int = 40) -> LinearHead:
    """Minimize the mean cross-entropy against targets (N, C), with decay · |W|² / 2, by L-BFGS.

    Targets whose rows do not sum to 1 stay as they are: a photo then counts for its sum.
    """
    rows = torch.from_numpy(known.embedding)
    mean, wanted = rows.mean(dim=0), torch.from_numpy(targets.toarray().astype(np.float32))
    scale = (rows - mean).square().mean().sqrt().clamp_min(1e-12)
    hidden = (rows - mean) / scale
    layer = nn.Linear(rows.shape[1], targets.shape[1])
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_((wanted.sum(dim=0) / wanted.sum() + 1e-6).log())
    solver = torch.optim.LBFGS(layer.parameters(), max_iter=n_steps, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        solver.zero_grad()
        loss = F.cross_entropy(layer(hidden), wanted) + decay / 2.0 * layer.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    return LinearHead(mean, scale, layer)


def semantic_cells(known: Photos) -> Geocells:
    """Geocells of training photos; the last few are kept."""
    return _semantic_cells(np.ascontiguousarray(known.lonlat).tobytes())


@lru_cache(maxsize=8)
def _semantic_cells(lonlat: bytes) -> Geocells:
    places = np.frombuffer(lonlat).reshape(-1, 2)
    ids = [f"{row:06d}" for row in range(len(places))]
    return build_geocells(places, ids=ids, min_points=LEAST_CELL, max_points=MOST_CELL, with_areas=False)


def pigeon(request: Request) -> list[Said]:
    """PIGEON. A setting is τ in km ("auto": from the cells' spacing), a weight decay, T of the refinement."""
    known, cells = request.known, semantic_cells(request.known)
    prototypes = prototypes_of(known.embedding, known.lonlat, cells)
    log_ps: dict[tuple[object, float], _Floats] = {}
    answers = []
    for tau, decay, temperature in request.settings:
        if (tau, decay) not in log_ps:
            tau_km = float(tau_km_of("auto", cells)[0]) if tau == "auto" else tau
            targets = pigeon_targets(known.lonlat, cells, tau_km, reference="nearest")
            log_ps[tau, decay] = linear_head(known, targets, decay)(request.asked)
        answers.append(refined(prototypes, log_ps[tau, decay], request.asked, known, temperature))
    return answers


def refined(
    prototypes: Prototypes,
    log_p: _Floats,
    asked: NDArray[np.float32],
    known: Photos,
    temperature: float,
    *,
    k: int = TOP_CELLS,
    cap_km: float = MOVE_KM,
) -> Said:
    """In each of the k likeliest cells the nearest prototype; cell times prototype; one photo answers.

    The photo is the winning cluster's nearest, as the paper has it (their code takes the farthest). In
    their favor the density keeps the other cells, and the k cells the probability they had.
    """
    top = np.argsort(-log_p, axis=1, kind="stable")[:, :k]
    nearest, distance = _nearest_prototypes(prototypes, top, asked)
    each = np.take_along_axis(log_p, top, axis=1) - distance / temperature
    winner = each.argmax(axis=1)
    rows = np.arange(len(asked))
    first, best = nearest[:, 0], nearest[rows, winner]
    too_far = great_circle_km(prototypes.lonlat[first], prototypes.lonlat[best]) > cap_km
    best = np.where(too_far, first, best)
    mass = logsumexp(np.take_along_axis(log_p, top, axis=1), axis=1, keepdims=True)
    logit, place = log_p.copy(), np.repeat(prototypes.center_lonlat[None], len(asked), axis=0)
    np.put_along_axis(logit, top, log_softmax(each, axis=1) + mass, axis=1)
    place[rows[:, None], top] = prototypes.lonlat[nearest]
    point = prototypes.lonlat[best].copy()
    for row, one in enumerate(best.tolist()):
        members = prototypes.members_of(one)
        if len(members):
            point[row] = known.lonlat[members[np.argmax(known.embedding[members] @ asked[row])]]
    return Said(place, logit, point)


def _nearest_prototypes(
    prototypes: Prototypes, cell: NDArray[np.intp], asked: NDArray[np.float32]
) -> tuple[NDArray[np.intp], _Floats]:
    """The most similar prototype in each of some cells, (n, k), and its Euclidean distance.

    Photos in no cluster are dropped, as PIGEON drops them, where their cell has a cluster.
    """
    nearest, distance = np.empty(cell.shape, dtype=np.intp), np.empty(cell.shape)
    for row, column in np.ndindex(*cell.shape):
        one = cell[row, column]
        inside = np.arange(prototypes.start[one], prototypes.start[one + 1])
        clusters = inside[prototypes.weight[inside] == prototypes.weight[inside].max()]
        apart = np.linalg.norm(prototypes.embedding[clusters] - asked[row], axis=1)
        # A cell without photos has no look: as far as unrelated directions are.
        apart = np.where(prototypes.n[clusters] > 0, apart, np.sqrt(2.0))
        nearest[row, column], distance[row, column] = clusters[apart.argmin()], apart.min()
    return nearest, distance


PEERS = (
    Method("random photo", random_photo),
    Method("nearest photo", nearest_photo),
    Method("kNN density (Im2GPS)", kernel_density),
    Method("quadtree classes (OSV-5M)", quadtree_classes, DECAYS),
    Method("PIGEON", pigeon, tuple(product((75.0, "auto"), (0.1,), (0.4, 1.6)))),
    Method("GeoCLIP", geoclip, GEOCLIP_STEPS),
)
