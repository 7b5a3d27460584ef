"""What a classifier says of photos that it has not learned from, and what others chose for saying it.

Every photo is asked once, by a classifier that saw none of its fold and nothing near. Which weight decay and
which temperature it is then given is decided on the photos of the other folds.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from ..array_files import read_arrays, write_arrays
from ..geocell_heads.figures import nearest_image
from .fitting import fit_path, fit_temperature, nll
from .folds import near
from .material import RegionPhotos
from .settings import RegionRun

_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]

NEIGHBORS = 10
BASELINES = ("most photographed region", "nearest photo", f"{NEIGHBORS} nearest photos", "nearest mean")


@dataclass(frozen=True, eq=False, kw_only=True)
class Fold:
    """One fold: who is asked, and what they are answered before any choice.

    Attributes:
        asked: rows of the photos, (m,).
        logits: of each weight decay, (L, m, R).
        baselines: the region that each of `BASELINES` says, (4, m).
        n_learned: photos learned from.
        n_near: photos not learned from because they lie too near, beside those asked.
    """

    asked: _Rows
    logits: NDArray[np.float32]
    baselines: _Rows
    n_learned: int
    n_near: int

    def save(self, path: Path) -> None:
        """Write a file that `read` reads."""
        counts = [self.n_learned, self.n_near]
        write_arrays(path, asked=self.asked, logits=self.logits, baselines=self.baselines, counts=counts)

    @classmethod
    def read(cls, path: Path) -> "Fold | None":
        """Read what `save` wrote; None where there is none or it is damaged, so that it is answered again."""
        try:
            found = read_arrays(path)
            n_learned, n_near = found.pop("counts").tolist()
            return cls(**found, n_learned=n_learned, n_near=n_near)
        except (OSError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, eq=False, kw_only=True)
class HeldOut:
    """What all photos were answered, N of them, R regions.

    Attributes:
        fold: that each photo was held out in, (N,).
        log_p: calibrated log-probabilities, (N, R).
        raw: the same before a temperature, (N, R).
        baselines: the region that each of `BASELINES` says, (4, N).
        decay: chosen for all photos together, which the shipped classifier takes.
        temperature: likewise.
        decays: chosen for each fold by the others.
        temperatures: likewise.
        n_near: photos left out of learning for being near, mean over folds.
    """

    fold: _Rows
    log_p: _Floats
    raw: _Floats
    baselines: _Rows
    decay: float
    temperature: float
    decays: list[float]
    temperatures: list[float]
    n_near: float


def answer_fold(
    photos: RegionPhotos,
    parts: NDArray[np.float32] | None,
    fold: _Rows,
    number: int,
    run: RegionRun,
    *,
    buffer_km: float,
) -> Fold:
    """Learn from the other folds and answer one.

    Args:
        photos: all.
        parts: embeddings of parts of each photo, of unit length, (N, K, D); NaN where there are none.
        fold: of each photo, (N,).
        number: of the fold to answer.
        run: the settings.
        buffer_km: how near is too near.
    """
    asked = fold == number
    left_out = near(photos, asked, buffer_km)
    rows, asked_rows = np.flatnonzero(~left_out), np.flatnonzero(asked)
    learned = photos.take(rows)
    region = photos.region[rows]  # in the numbers of all regions
    weights = learned.weights()
    embeddings, of = with_parts(photos.embeddings, parts, rows)
    fits = fit_path(embeddings, photos.region[of], shared(weights, rows, of), len(photos.names), run.decays)
    questions = photos.embeddings[asked_rows]
    return Fold(
        asked=asked_rows,
        logits=np.stack([one.logits(questions) for one in fits]).astype(np.float32),
        baselines=_baselines(questions, photos.embeddings[rows], region, weights),
        n_learned=len(rows),
        n_near=int(left_out.sum() - asked.sum()),
    )


def gather(photos: RegionPhotos, fold: _Rows, answers: list[Fold], run: RegionRun) -> HeldOut:
    """Choose weight decays and temperatures, each by photos it is not used for; put all answers together."""
    n, weights = len(photos), photos.weights()
    logits = np.empty((len(run.decays), n, len(photos.names)))
    baselines = np.empty((len(BASELINES), n), dtype=np.intp)
    for one in answers:
        logits[:, one.asked], baselines[:, one.asked] = one.logits, one.baselines
    raw, log_p = np.empty(logits.shape[1:]), np.empty(logits.shape[1:])
    chosen = []
    for one in answers:
        others = np.ones(n, dtype=np.bool_)
        others[one.asked] = False
        row, temperature = _choose(logits[:, others], photos.region[others], weights[others])
        chosen.append((run.decays[row], temperature))
        raw[one.asked] = log_softmax(logits[row, one.asked], axis=1)
        log_p[one.asked] = log_softmax(logits[row, one.asked] / temperature, axis=1)
    row, temperature = _choose(logits, photos.region, weights)
    return HeldOut(
        fold=fold,
        log_p=log_p,
        raw=raw,
        baselines=baselines,
        decay=run.decays[row],
        temperature=temperature,
        decays=[decay for decay, _ in chosen],
        temperatures=[temperature for _, temperature in chosen],
        n_near=float(np.mean([one.n_near for one in answers])),
    )


def with_parts(
    embeddings: NDArray[np.float32], parts: NDArray[np.float32] | None, rows: _Rows
) -> tuple[NDArray[np.float32], _Rows]:
    """Embeddings of photos and of their parts, (m, D), and the row of the photo of each, (m,)."""
    if parts is None or not parts.shape[1]:
        return embeddings[rows], rows
    of = np.concatenate([rows, np.repeat(rows, parts.shape[1])])
    found = np.concatenate([embeddings[rows], parts[rows].reshape(-1, parts.shape[2])])
    there = np.isfinite(found).all(axis=1)
    return found[there], of[there]


def shared(weights: _Floats, rows: _Rows, of: _Rows) -> _Floats:
    """The weight of each photo, (n,), divided among it and its parts, (m,).

    Args:
        weights: of the photos in `rows`.
        rows: of the photos, (n,).
        of: the photo's row of each embedding, as `with_parts` gives it, (m,).
    """
    whole = np.zeros(rows.max() + 1)
    whole[rows] = weights
    return np.asarray((whole / np.maximum(np.bincount(of, minlength=len(whole)), 1))[of])


def _choose(logits: _Floats, region: _Rows, weights: _Floats) -> tuple[int, float]:
    """The weight decay, by its row, and the temperature with the least NLL, (L, n, R) -> row, temperature."""
    fitted = [fit_temperature(one, region, weights) for one in logits]
    losses = [nll(one, region, weights, t) for one, t in zip(logits, fitted, strict=True)]
    best = int(np.argmin(losses))
    return best, fitted[best]


def _baselines(
    questions: NDArray[np.float32], known: NDArray[np.float32], region: _Rows, weights: _Floats
) -> _Rows:
    """What `BASELINES` say, (4, m)."""
    n_regions = int(region.max()) + 1
    most = np.bincount(region).argmax()
    similarity = questions @ known.T
    k = min(NEIGHBORS, len(known))
    nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    votes = np.zeros((len(questions), n_regions))
    held = np.maximum(np.take_along_axis(similarity, nearest, axis=1), 0.0)
    np.add.at(votes, (np.arange(len(questions))[:, None], region[nearest]), held)
    means = np.zeros((n_regions, known.shape[1]))
    np.add.at(means, region, known * weights[:, None])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return np.stack([
        np.full(len(questions), most),
        region[nearest_image(questions, known)],
        votes.argmax(axis=1),
        (questions @ means.T.astype(np.float32)).argmax(axis=1),
    ]).astype(np.intp)  # fmt: skip
