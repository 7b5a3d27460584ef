"""One method on one fold: it says what it can of the photos asked, and that is read as a density.

Whatever a method answers with (cells, photos, places), it names candidates and gives each a logit. The
density of a photo is then

    p(x) = (1 - g) Σ_b a_b Σ_i softmax(logit_i / T) vMF(x; candidate_i, σ_b)  +  g prior(x)

over the bandwidths σ_b of `indexer.surface`, with T, a and g of greatest likelihood on training photos
that the method has not seen. No published method has this step: they get here what calibration can give.

Letters: n photos, M candidates, B bandwidths, D embedding. Coordinates are lon, lat, degrees.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax

from placeprint.encoders.sphere import EARTH_RADIUS_KM, lonlat_of, unit_vectors
from placeprint.indexer.fitted import group_folds
from placeprint.indexer.geolocate import geoscore_optimum
from placeprint.indexer.prior import Prior
from placeprint.indexer.surface import BANDWIDTHS_KM, Floats, Mixture, kappa_of_km, log_kernel

N_SAMPLES = 512
NEAR_KM = 750.0
INNER_FOLDS = 3
_LEAST_WEIGHT = 1e-6
_START = np.array([0.0, -2.0, -2.0, -1.5, 0.0, 0.5, -0.5, 0.0])  # log 1/T, logits of a and of g
_STIFFNESS = np.array([0.1, *np.ones(len(BANDWIDTHS_KM)), 0.1])  # pseudo photos, as in `calibrate`


@dataclass(frozen=True, eq=False)
class Photos:
    """Embeddings of unit length (n, D), places (n, 2), and groups (n,), which are never parted."""

    embedding: NDArray[np.float32]
    lonlat: Floats
    group: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.lonlat)

    def take(self, rows: NDArray[Any]) -> "Photos":
        """Some of them, by index or by mask."""
        return Photos(self.embedding[rows], self.lonlat[rows], self.group[rows])

    def prior(self) -> Prior:
        """Density of their places."""
        return Prior.from_lonlat(self.lonlat, groups=self.group)


class Said(NamedTuple):
    """What a method says of n photos.

    `lonlat` of the candidates, (n, M, 2), or (1, M, 2) where they are the same for all; `logit`, (n, M);
    `point`, the answer that the method itself gives, (n, 2).
    """

    lonlat: Floats
    logit: Floats
    point: Floats


class Request(NamedTuple):
    """What a method is given: photos it may know, photos asked about, settings to try, and a seed."""

    known: Photos
    asked: NDArray[np.float32]
    settings: Sequence[Any]
    seed: int


Answer = Callable[[Request], list[Said]]


class Method(NamedTuple):
    """A row of the table: `answer` gives one `Said` for each setting it is asked to try."""

    name: str
    answer: Answer
    settings: Sequence[Any] = (None,)
    is_ours: bool = False


@dataclass(frozen=True, eq=False)
class Blur:
    """The parameters of p(x) above: T, a (B,) and g."""

    temperature: float
    shares: Floats
    gate: float

    @classmethod
    def fit(cls, parts: Sequence["Judged"]) -> tuple["Blur", float]:
        """Maximize the likelihood of photos that were held out; also gives its mean log."""
        spread = max(float(np.mean([part.said.logit.std(axis=1).mean() for part in parts])), 1e-9)
        terms = [_Terms.of(part, spread) for part in parts]
        n = sum(len(part.truth) for part in parts)

        def loss(theta: Floats) -> tuple[float, Floats]:
            away = theta - _START
            value, slope = float(_STIFFNESS @ away**2), 2.0 * _STIFFNESS * away
            for term in terms:
                log_likelihood, gradient = term(theta)
                value, slope = value - log_likelihood, slope - gradient
            return value / n, slope / n

        bounds = [(-6.0, 6.0), *[(-12.0, 12.0)] * len(BANDWIDTHS_KM), (-12.0, 12.0)]
        options = {"maxiter": 80}
        best = minimize(loss, _START, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
        blur = cls(spread / float(np.exp(best[0])), softmax(best[1:-1]), float(expit(best[-1])))
        return blur, float(np.concatenate([blur.log_density(*part) for part in parts]).mean())

    def log_density(self, said: Said, truth: Floats, log_prior: Floats) -> Floats:
        """Natural log of p at the truth, per km²: (n, 2) and (n,) -> (n,)."""
        log_weight = log_softmax(said.logit / self.temperature, axis=1)
        each = log_weight[:, :, None] + np.log(self.shares) + _log_kernels(said, truth)
        odds = np.log(self.gate / (1.0 - self.gate))
        result: Floats = np.logaddexp(
            log_expit(-odds) + logsumexp(each, axis=(1, 2)), log_expit(odds) + log_prior
        )
        return result

    def mixture(self, said: Said, row: int, prior: Prior) -> Mixture:
        """The density of one photo; candidates of next to no weight are left out."""
        weight = softmax(said.logit[row] / self.temperature)
        kept = weight > _LEAST_WEIGHT
        centers = unit_vectors(said.lonlat[row % len(said.lonlat)][kept])
        near = Mixture.of_weights(centers, BANDWIDTHS_KM, weight[kept, None] * self.shares)
        return Mixture.blend([(1.0 - self.gate, near), (self.gate, prior.mixture)])


class Judged(NamedTuple):
    """What was said of photos that are not known, their places (n, 2), and the prior there, log (n,)."""

    said: Said
    truth: Floats
    log_prior: Floats


class _Terms(NamedTuple):
    """What the likelihood of a part needs, computed once; all photos' densities scaled by their peaks."""

    logit: Floats  # (n, M), in units of the spread
    kernel: Floats  # (n, M, B)
    prior: Floats  # (n,)
    log_scale: float

    @classmethod
    def of(cls, part: Judged, spread: float) -> "_Terms":
        kernel = _log_kernels(part.said, part.truth)
        peak = kernel.max(axis=(1, 2))
        logit = (part.said.logit - part.said.logit.max(axis=1, keepdims=True)) / spread
        scaled = np.exp(kernel - peak[:, None, None])
        return cls(logit, scaled, np.exp(part.log_prior - peak), float(peak.sum()))

    def __call__(self, theta: Floats) -> tuple[float, Floats]:
        """Log-likelihood and its gradient by log 1/T and the logits of a and of g."""
        heat, shares, gate = np.exp(theta[0]), softmax(theta[1:-1]), expit(theta[-1])
        weight = softmax(heat * self.logit, axis=1)
        by_width = np.einsum("nm,nmb->nb", weight, self.kernel)
        surplus = weight * (self.logit - (weight * self.logit).sum(axis=1, keepdims=True))
        near = by_width @ shares
        density = (1.0 - gate) * near + gate * self.prior
        outer = (1.0 - gate) / density
        by_heat = heat * (outer @ (np.einsum("nm,nmb->nb", surplus, self.kernel) @ shares))
        by_share = shares * (outer @ (by_width - near[:, None]))
        by_gate = (gate * (1.0 - gate) * (self.prior - near) / density).sum()
        return float(np.log(density).sum()) + self.log_scale, np.array([by_heat, *by_share, by_gate])


def _log_kernels(said: Said, truth: Floats) -> Floats:
    """Of each candidate and bandwidth at the truth, (n, M, B)."""
    center, at = unit_vectors(said.lonlat), unit_vectors(truth)
    cosine = at @ center[0].T if len(center) == 1 else np.einsum("nmd,nd->nm", center, at)
    return log_kernel(cosine[:, :, None], kappa_of_km(BANDWIDTHS_KM))


def inner_folds(photos: Photos, seed: int) -> NDArray[np.intp]:
    """Fold of each training photo, to choose and to calibrate by; whole groups, (n,)."""
    return group_folds(photos.group, INNER_FOLDS, seed=seed + 1)


def try_method(method: Method, known: Photos, asked: Photos, prior: Prior, seed: int) -> dict[str, Any]:
    """Choose the setting and fit the blur on training photos held out, then ask about the fold once.

    Every training photo is held out in turn, as in `indexer.fitted`: ten travel places more or less in
    one inner fold are worth a tenth of a bit.

    Returns:
        Of each photo `log_density` at its place, `point` and `p_within` (`Reading`), and `own_point`, the
        method's answer as published; the `setting` chosen, and `blur`: T, a and g.
    """
    folds = inner_folds(known, seed)
    judged: list[list[Judged]] = [[] for _ in method.settings]
    for fold in range(INNER_FOLDS):
        inner, judges = known.take(folds != fold), known.take(folds == fold)
        log_prior = inner.prior().log_density(judges.lonlat)
        tried = method.answer(Request(inner, judges.embedding, method.settings, seed))
        for parts, said in zip(judged, tried, strict=True):
            parts.append(Judged(said, judges.lonlat, log_prior))
    fitted = [Blur.fit(parts) for parts in judged]
    best = int(np.argmax([value for _, value in fitted]))
    blur, setting = fitted[best][0], method.settings[best]
    (said,) = method.answer(Request(known, asked.embedding, [setting], seed))
    read = [read_density(blur.mixture(said, row, prior), seed) for row in range(len(asked))]
    return {
        "log_density": blur.log_density(said, asked.lonlat, prior.log_density(asked.lonlat)),
        "point": np.array([one.point for one in read]),
        "p_within": np.array([one.p_within for one in read]),
        "own_point": said.point,
        "setting": str(setting),
        "blur": [blur.temperature, *blur.shares.tolist(), blur.gate],
    }


class Reading(NamedTuple):
    """Of a density: samples (N_SAMPLES, 3), the point of the best expected GeoScore, (2,) degrees, and the
    probability that it errs by `NEAR_KM` or less."""

    samples: Floats
    point: Floats
    p_within: float


def read_density(density: Mixture, seed: int) -> Reading:
    """As `indexer.geolocate.locate` reads it, with fewer samples."""
    samples = density.sample_vectors(N_SAMPLES, seed=seed)
    best = geoscore_optimum(samples)
    is_near = samples @ best >= np.cos(NEAR_KM / EARTH_RADIUS_KM)
    return Reading(samples, lonlat_of(best), float(is_near.mean()))
