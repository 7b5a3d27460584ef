"""Placeprint's own rows of `geolocation`: its parts by themselves, and all of it.

The classifier and the location head name candidates and are calibrated as the peers are. The neighbors
alone and the fused density are fitted by `indexer.fitted` on all training photos, which holds groups
out by itself. Letters: n photos, N known photos, C cells, M candidates, K neighbors.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from geolocation_peers import semantic_cells
from geolocation_trial import Method, Photos, Request, Said, read_density

from placeprint.encoders.continents import continent_at
from placeprint.encoders.geocell_head import GeocellHead, HeadConfig
from placeprint.encoders.geocell_heads.fitting import Examples, Objective, fit
from placeprint.encoders.geocell_heads.offsets import offsets_km
from placeprint.encoders.geocell_heads.settings import HeadRun
from placeprint.encoders.geocell_targets import smoothed_targets
from placeprint.encoders.location import LocationEmbedder
from placeprint.encoders.location_catalog import load_location_encoder
from placeprint.encoders.location_head import fit_location_head
from placeprint.encoders.sphere import lonlat_of
from placeprint.indexer.fitted import fit_geolocation
from placeprint.indexer.geolocate import region_thresholds
from placeprint.indexer.held_out import HeldOut, K
from placeprint.indexer.prior import Prior

LEVELS = (0.5, 0.9)
DECAYS = (0.03, 0.1)
PENALTIES = (1e-3, 3e-4, 1e-4)
N_DRAWN = 2000
_ROUNDS = 8  # of five L-BFGS steps, as many as the peers' linear layers get


@cache
def location_encoder() -> LocationEmbedder:
    """The shipped one."""
    return load_location_encoder()


def classifier(request: Request) -> list[Said]:
    """Geocells as PIGEON's; targets that sum to 1, and a place within each cell. A setting is a decay."""
    known, cells = request.known, semantic_cells(request.known)
    cell = cells.assign(known.lonlat)
    run = HeadRun(solver="lbfgs", rounds=_ROUNDS, seed=request.seed)
    examples = Examples(
        known.embedding, known.lonlat, cell, smoothed_targets(known.lonlat, cells, run.tau),
        offsets_km(cells.center_lonlat[cell], known.lonlat),
    )  # fmt: skip
    config = HeadConfig(
        dimension=known.embedding.shape[1], n_cells=len(cells), offset_rank=run.offset_rank
    )  # fmt: skip
    every = np.tile(np.arange(len(cells)), (len(request.asked), 1))
    answers = []
    for decay in request.settings:
        head = GeocellHead.begun(config, cells, known.embedding, cell, seed=request.seed)
        # The inner split chooses the decay; here the training photos only see that it ran its rounds.
        fit(head, Objective(examples, run, {}, {}), examples, run, weight_decay=decay)
        log_p = head.log_probabilities(request.asked)
        place = head.points(request.asked, every)
        best = log_p.argmax(axis=1)[:, None]
        answers.append(Said(place, log_p, head.points(request.asked, best)[:, 0]))
    return answers


def location_head(request: Request) -> list[Said]:
    """The bilinear head over training places and places drawn from their prior. A setting is a penalty."""
    known, places = request.known, location_encoder()
    drawn = [
        lonlat_of(known.prior().mixture.sample_vectors(N_DRAWN, seed=seed))
        for seed in (request.seed, request.seed + 1)
    ]
    own, contrast = places.encode(known.lonlat), places.encode(drawn[0])
    candidate = np.concatenate([known.lonlat, drawn[1]])
    keys = np.concatenate([own, places.encode(drawn[1])])
    answers = []
    for penalty in request.settings:
        head = fit_location_head(known.embedding, own, contrast, penalty=penalty)
        logit = head.scores(request.asked, keys).astype(np.float64)
        answers.append(Said(candidate[None], logit, candidate[logit.argmax(axis=1)]))
    return answers


def neighbors(asked: Photos, known: Photos) -> HeldOut:
    """The most similar known photos of other groups, exactly."""
    similarity = (asked.embedding @ known.embedding.T).astype(np.float64)
    similarity[asked.group[:, None] == known.group] = -np.inf
    near = np.argsort(-similarity, axis=1, kind="stable")[:, :K]
    return HeldOut(
        asked.lonlat, asked.group, np.take_along_axis(similarity, near, axis=1), known.lonlat[near],
        asked.embedding,
    )  # fmt: skip


def located(
    known: Photos, asked: Photos, prior: Prior, seed: int, places: Callable[[], LocationEmbedder] | None
) -> dict[str, Any]:
    """Fit on the known photos, then ask: by neighbors alone without `places`.

    Returns:
        What `try_method` does, and whether the regions of `LEVELS` hold the photos' places.
    """
    fitted = fit_geolocation(
        neighbors(known, known), known.lonlat, known.group.tolist(), places, levels=LEVELS, prior=prior
    )
    queries, rows = neighbors(asked, known), []
    for row in range(len(asked)):
        heard = fitted.heard(asked.embedding[row])
        density = fitted.surface(queries.similarity[row], queries.neighbor_lonlat[row], prior, heard)
        read = read_density(density, seed)
        smooth = density.smoothed()
        levels = fitted.model.levels_on(str(continent_at(read.point)))
        edges = region_thresholds(smooth.log_density_at(read.samples), levels)
        own = smooth.log_density(asked.lonlat[row : row + 1])[0]
        covered = [own >= edges[level] for level in LEVELS]
        rows.append((density.log_density(asked.lonlat[row : row + 1])[0], read.point, read.p_within, covered))
    log_density, point, p_within, covers = (np.array(column) for column in zip(*rows, strict=True))
    return {
        "log_density": log_density, "point": point, "p_within": p_within, "own_point": point,
        "covered": covers, "setting": str(fitted.model.evidence_weights), "blur": [],
    }  # fmt: skip


PARTS = (
    Method("ours: classifier alone", classifier, DECAYS, is_ours=True),
    Method("ours: location head alone", location_head, PENALTIES, is_ours=True),
)
LOCATED: dict[str, Callable[[], LocationEmbedder] | None] = {
    "ours: neighbors alone": None,
    "ours": location_encoder,
}
