"""Where a photo was taken: from its neighbors in the gallery to a point, regions and names.

Everything in a `Location` is read from one density over the Earth (`surface_model`), by way of
samples with a fixed seed: the same photo gets the same answer. Points are (lon, lat), degrees.

The point answered by default is the one with the best expected GeoScore, 5000 e^{−d/1492.7 km};
the mode, and the spherical median, which is best for the mean error, are at hand as well. Measured
on 1,700 photos with weak features, the mode is more often within 200 km, the GeoScore point within
750 km and beyond, and in the mean. With strong evidence they coincide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..encoders.continents import continent_at
from ..encoders.places import load_places
from ..encoders.sphere import EARTH_RADIUS_KM, lonlat_of
from .evidence import Heard
from .fusion import fused_surface
from .level_sets import level_sets
from .prior import Prior
from .regions import Regions
from .surface import Floats, Mixture
from .surface_model import SurfaceModel

RADII_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)
"""Street, city, region, country, continent: the radii of the published comparisons."""

GEOSCORE_KM = 1492.7
REMOTE = "remote or at sea"

_N_SAMPLES = 1024
_N_BITS_SAMPLES = 512  # two densities of very many kernels are asked there
_N_CLIMBERS = 8
_N_CANDIDATES = 512  # of the search for the GeoScore point, before it moves uphill


class NamedShare(NamedTuple):
    """The probability that the photo was taken in a country or state.

    `code` is ISO 3166-1 alpha-2, of the country also for a state; "" for what is remote.
    """

    name: str
    code: str
    probability: float


@dataclass(frozen=True)
class CredibleRegion:
    """The smallest region that holds the place at a stated level.

    Attributes:
        level: share of photos whose region of this kind holds their place.
        area_km2: area on the sphere.
        geojson: Polygon or MultiPolygon (RFC 7946).
    """

    level: float
    area_km2: float
    geojson: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Location:
    """What is known of the place of one photo.

    Attributes:
        lon: of the best point; so is `lat`.
        mode: where the density is highest, (lon, lat).
        geoscore_point: where the expected GeoScore is highest, (lon, lat).
        median_point: where the expected distance is least, (lon, lat).
        p_within_km: probability that the best point errs by so much or less.
        countries: most probable first; they add up to 1.
        states: likewise, first-level divisions.
        information_bits: expected information over the prior, the Kullback–Leibler divergence.
        prior_share: how much of the density is the prior's, in [0, 1].
        abstain_reason: why no answer should be shown; "" when one may be.
        is_calibrated: whether the model was fitted on this gallery, and its prior was kept.
        surface: the density itself.
        region_thresholds: for each level, the log density per km² of `surface.smoothed()` on the
            edge of its region.
    """

    lon: float
    lat: float
    mode: tuple[float, float]
    geoscore_point: tuple[float, float]
    median_point: tuple[float, float]
    p_within_km: dict[float, float]
    countries: list[NamedShare]
    states: list[NamedShare]
    information_bits: float
    prior_share: float
    abstain_reason: str
    is_calibrated: bool
    surface: Mixture
    region_thresholds: dict[float, float]

    @property
    def abstain(self) -> bool:
        """Whether the photo says too little about its place for an answer to be shown."""
        return bool(self.abstain_reason)

    @cached_property
    def regions(self) -> list[CredibleRegion]:
        """Credible regions, smallest level first; drawn when first asked for."""
        levels = sorted(self.region_thresholds)
        sets = level_sets(
            self.surface.smoothed(), np.array([self.region_thresholds[level] for level in levels])
        )
        return [
            CredibleRegion(level, one.area_km2, one.geometry) for level, one in zip(levels, sets, strict=True)
        ]

    def is_covered(self, lonlat: Floats, level: float) -> bool:
        """Whether the region of a level holds a point, (2,) degrees; exact, unlike its polygon."""
        log_density = self.surface.smoothed().log_density(np.asarray(lonlat)[None])[0]
        return bool(log_density >= self.region_thresholds[level])

    def to_dict(self) -> dict[str, Any]:
        """The whole answer as plain JSON types, with regions and without the surface."""
        return {
            "lon": self.lon,
            "lat": self.lat,
            "mode": {"lon": self.mode[0], "lat": self.mode[1]},
            "geoscore_point": {"lon": self.geoscore_point[0], "lat": self.geoscore_point[1]},
            "median_point": {"lon": self.median_point[0], "lat": self.median_point[1]},
            "p_within_km": {f"{radius:g}": p for radius, p in self.p_within_km.items()},
            "countries": [share._asdict() for share in self.countries],
            "states": [share._asdict() for share in self.states],
            "regions": [vars(region) for region in self.regions],
            "information_bits": self.information_bits,
            "prior_share": self.prior_share,
            "abstain": self.abstain,
            "abstain_reason": self.abstain_reason,
            "is_calibrated": self.is_calibrated,
        }


def locate(
    similarity: Floats,
    neighbor_lonlat: Floats,
    prior: Prior,
    model: SurfaceModel,
    *,
    heard: Heard | None = None,
    seed: int = 0,
    countries: Any = None,
    states: Any = None,
) -> Location:
    """Say where a photo was taken.

    Args:
        similarity: cosine similarity to the nearest gallery photos, (K,), in any order; -inf is
            padding. With none at all the answer is the prior's.
        neighbor_lonlat: their places, (K, 2).
        prior: density of the gallery.
        model: fitted on the gallery, or the default one.
        heard: what the photo itself says of places (`Fitted.heard`).
        seed: of the samples from which probabilities are counted.
        countries: polygons to name countries by: `Regions`, or a GeoDataFrame in lon, lat with
            columns `name` and, if known, `code`; the nearest GeoNames place when left out.
        states: likewise for first-level divisions.
    """
    similarity = np.asarray(similarity, dtype=np.float64)
    neighbor_lonlat = np.asarray(neighbor_lonlat, dtype=np.float64).reshape(-1, 2)
    share = model.prior_share(similarity, neighbor_lonlat)
    if heard is None:
        surface = model.surface(similarity, neighbor_lonlat, prior)
    else:
        surface = fused_surface(model, similarity, neighbor_lonlat, heard)
    samples = surface.sample_vectors(_N_SAMPLES, seed=seed)
    bits = _information_bits(surface, prior.mixture, samples[:: _N_SAMPLES // _N_BITS_SAMPLES])
    smoothed = surface.smoothed()
    log_density = smoothed.log_density_at(samples)
    best = geoscore_optimum(samples)
    lon, lat = lonlat_of(best).tolist()
    peaks = smoothed.climb(samples[np.argsort(-log_density)[:_N_CLIMBERS]])
    mode_lon, mode_lat = lonlat_of(peaks[np.argmax(smoothed.log_density_at(peaks))]).tolist()
    median_lon, median_lat = lonlat_of(spherical_median(samples)).tolist()
    distance_km = EARTH_RADIUS_KM * _angles(samples, best)
    by_country, by_state = name_shares(lonlat_of(samples), countries=countries, states=states)
    return Location(
        lon=lon,
        lat=lat,
        mode=(mode_lon, mode_lat),
        geoscore_point=(lon, lat),
        median_point=(median_lon, median_lat),
        p_within_km={radius: float(np.mean(distance_km <= radius)) for radius in RADII_KM},
        countries=by_country,
        states=by_state,
        information_bits=bits,
        prior_share=share,
        abstain_reason=_abstain_reason(share if heard is None else 0.0, bits, model),
        is_calibrated=model.is_calibrated and (heard is None or heard.tilt is None),
        surface=surface,
        region_thresholds=region_thresholds(log_density, model.levels_on(str(continent_at((lon, lat))))),
    )


def region_thresholds(log_density: Floats, levels: Sequence[tuple[float, float]]) -> dict[float, float]:
    """Density on the edge of each highest-density region, from the densities at samples, (n,)."""
    return {
        nominal: float(np.quantile(log_density, 1.0 - adjusted, method="lower"))
        for nominal, adjusted in levels
    }


def geoscore_optimum(samples: Floats) -> Floats:
    """The point with the highest mean of e^{−d/1492.7 km} over samples, (n, 3) -> (3,).

    The best of some of the samples, then moved uphill: at an optimum the pulls along the great
    circles to the samples balance.
    """
    candidates = samples[:: max(1, len(samples) // _N_CANDIDATES)]
    best: Floats = candidates[np.argmax(np.exp(_scaled_angles(candidates, samples)).sum(axis=1))]
    score = np.exp(_scaled_angles(best[None], samples)).sum()
    for _ in range(20):
        cosine = np.clip(samples @ best, -1.0, 1.0)
        # Near a sample the pull has no direction; 1e-3 is 6 km.
        pull = np.exp(_scaled_angles(best[None], samples)[0]) / np.maximum(np.sqrt(1.0 - cosine**2), 1e-3)
        moved = best + (pull @ (samples - cosine[:, None] * best)) / pull.sum()
        moved /= np.linalg.norm(moved)
        improved = np.exp(_scaled_angles(moved[None], samples)).sum()
        if improved <= score:
            break
        best, score = moved, improved
    return best


def spherical_median(samples: Floats) -> Floats:
    """The point with the least mean great-circle distance to samples, (n, 3) -> (3,).

    The best of some of the samples, then Weiszfeld's steps (1937) on the sphere, at each of which the
    samples pull with equal force along the great circles; a step that does not pay is the last.
    """
    candidates = samples[:: max(1, len(samples) // _N_CANDIDATES)]
    best: Floats = candidates[np.argmax(_scaled_angles(candidates, samples).sum(axis=1))]
    total = _scaled_angles(best[None], samples).sum()
    for _ in range(20):
        cosine = samples @ best
        sine = np.maximum(np.sqrt(np.maximum(1.0 - cosine**2, 0.0)), 1e-3)  # near a sample: 6 km
        angle = np.maximum(np.arccos(np.clip(cosine, -1.0, 1.0)), 1e-3)
        pull = (samples - cosine[:, None] * best) / sine[:, None]
        step = pull.sum(axis=0) / (1.0 / angle).sum()
        length = float(np.linalg.norm(step))
        if length < 1e-9:
            break
        moved = np.cos(length) * best + np.sin(length) * step / length
        improved = _scaled_angles(moved[None], samples).sum()
        if improved <= total:
            break
        best, total = moved, improved
    return best


def name_shares(
    lonlat: Floats, *, countries: Any = None, states: Any = None
) -> tuple[list[NamedShare], list[NamedShare]]:
    """Shares of points, (n, 2), in each country and in each state, largest first."""
    places = load_places()
    near = places.nearest(lonlat)
    code = np.where(near.is_remote, "", places.country_code[near.index])
    by_country = np.where(near.is_remote, REMOTE, places.country[near.index])
    by_state = np.where(near.is_remote, REMOTE, places.state[near.index])
    return (
        _counted(*(_named_by_polygons(lonlat, countries) if countries is not None else (by_country, code))),
        _counted(*(_named_by_polygons(lonlat, states) if states is not None else (by_state, code))),
    )


def _named_by_polygons(lonlat: Floats, polygons: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Name and code of the polygon of each point."""
    regions = polygons if isinstance(polygons, Regions) else Regions.from_frame(polygons)
    row = regions.find(lonlat)
    return np.where(row < 0, REMOTE, regions.name[row]), np.where(row < 0, "", regions.code[row])


def _counted(names: NDArray[Any], codes: NDArray[Any]) -> list[NamedShare]:
    """Share of each pair of name and code, largest first."""
    pairs = list(zip(names.tolist(), codes.tolist(), strict=True))
    counts = {pair: 0 for pair in sorted(pairs)}
    for pair in pairs:
        counts[pair] += 1
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return [NamedShare(name, code, count / len(pairs)) for (name, code), count in ranked]


def _information_bits(surface: Mixture, prior: Mixture, samples: Floats) -> float:
    """Kullback–Leibler divergence from the prior, bits, over samples (n, 3) of the surface."""
    gain = surface.log_density_at(samples) - prior.log_density_at(samples)
    return max(0.0, float(gain.mean()) / float(np.log(2.0)))


def _abstain_reason(prior_share: float, bits: float, model: SurfaceModel) -> str:
    if prior_share == 1.0:
        return "no similar photo has a place"
    if bits < model.min_information_bits:
        return f"the photo says little about its place: {bits:.2f} bits over where the gallery's photos lie"
    return ""


def _angles(vectors: Floats, center: Floats) -> Floats:
    """Angles to one direction, radians: (n, 3), (3,) -> (n,); exact at both ends."""
    result: Floats = np.arctan2(np.linalg.norm(np.cross(vectors, center), axis=1), vectors @ center)
    return result


def _scaled_angles(a: Floats, b: Floats) -> Floats:
    """Minus the great-circle distance in units of the GeoScore's scale: (n, 3), (m, 3) -> (n, m)."""
    cosine = np.einsum("nd,dm->nm", a, b.T.copy())  # unlike a @ b.T never shared among threads
    result: Floats = -EARTH_RADIUS_KM / GEOSCORE_KM * np.arccos(np.clip(cosine, -1.0, 1.0))
    return result
