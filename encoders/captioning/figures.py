"""How well a model joins photos of held-out regions with captions, names of countries and climates.

Letters: Q photos, M captions or names, D embedding.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..captions import RECIPES, Style, climate_part, location_part
from ..csp_retrieval import Figure, rank_shares
from .climates import GROUPS
from .facts import Facts, Known
from .zero_shot import NamedPlaces

Scores = Mapping[str, NDArray[np.float64]]


def full_caption(known: Known, style: Style) -> str:
    """All that is sure of a place: town, region, country, climate; the same for all photos of it."""
    location = location_part(known, RECIPES[style].opening, says_town=True, says_region=True)
    return f"{location} {climate_part(known.climate, by_name=False)}" if known.climate else location


def retrieval_scores(
    images: NDArray[np.float32], texts: NDArray[np.float32], own: NDArray[np.intp]
) -> dict[str, NDArray[np.float64]]:
    """Whether photos find their own caption among those of the others, and captions their photo.

    Args:
        images: unit embeddings, (Q, D).
        texts: unit embeddings of different captions, (M, D), M at least 2.
        own: row of each photo's caption, (Q,).

    Returns:
        A score for each photo, (Q,), under the names of `FIGURES`.
    """
    similarity = images @ texts.T
    mine = similarity[np.arange(len(own)), own]
    # Ties count against: a model that says the same of everything finds nothing.
    rank = (similarity >= mine[:, None]).sum(axis=1) - 1
    of_caption = similarity[:, own].T  # (Q, Q): caption of photo i beside photo j
    is_other = own[:, None] != own
    rank_of_photo = ((of_caption >= mine[:, None]) & is_other).sum(axis=1)
    return {
        "rank_share": rank_shares(images, texts, own),
        "photo_to_caption_at_1": (rank < 1).astype(float),
        "photo_to_caption_at_5": (rank < 5).astype(float),
        "caption_to_photo_at_1": (rank_of_photo < 1).astype(float),
        "caption_to_photo_at_5": (rank_of_photo < 5).astype(float),
    }


def country_scores(
    similarity: NDArray[np.float64], codes: NDArray[np.object_], truth: NDArray[np.object_]
) -> dict[str, NDArray[np.float64]]:
    """Whether a photo's country is first, or among the first five, of some: NaN where it has none.

    Args:
        similarity: to the names of countries, (Q, M).
        codes: of these countries, (M,).
        truth: codes of the photos' countries, "" for none, (Q,).
    """
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :5]
    is_true = codes[order] == truth[:, None]
    scores = {"country_at_1": is_true[:, 0].astype(float), "country_at_5": is_true.any(axis=1).astype(float)}
    return {name: np.where(truth == "", np.nan, score) for name, score in scores.items()}


def climate_scores(
    similarity: NDArray[np.float64], climate: NDArray[np.str_]
) -> dict[str, NDArray[np.float64]]:
    """Whether the main climate is the first of the five: NaN on the open sea.

    Args:
        similarity: to the main climates in the order of `GROUPS`, (Q, 5).
        climate: Köppen–Geiger classes, (Q,).
    """
    letters = list(GROUPS)
    truth = np.array([letters.index(one[0]) if one else -1 for one in climate])
    score = (similarity.argmax(axis=1) == truth).astype(float)
    return {"climate_at_1": np.where(truth < 0, np.nan, score)}


def prior_scores(train: Facts, test: Facts) -> dict[str, NDArray[np.float64]]:
    """The same figures of answering with what is most common in the training part."""
    codes, counts = np.unique(train.country_code[train.country_code != ""].astype(str), return_counts=True)
    similarity = np.broadcast_to(counts.astype(float), (len(test), len(codes)))
    letters = np.array([one[:1] for one in train.climate])
    common = np.array([(letters == letter).sum() for letter in GROUPS], dtype=float)
    return {
        **country_scores(similarity, codes.astype(object), test.country_code),
        **climate_scores(np.broadcast_to(common, (len(test), len(GROUPS))), test.climate),
    }


def zero_shot_scores(
    images: NDArray[np.float32],
    facts: Facts,
    countries: NamedPlaces,
    codes: NDArray[np.object_],
    climates: NamedPlaces,
) -> dict[str, NDArray[np.float64]]:
    """Countries and climates told by text alone, of photos (Q, D) and what is known of them."""
    return {
        **country_scores(countries.similarity(images), codes, facts.country_code),
        **climate_scores(climates.similarity(images), facts.climate),
    }


def means(scores: Scores, region: NDArray[np.intp], *, n_resamples: int = 1000) -> dict[str, Figure]:
    """Means with 95 % bootstrap intervals over regions, whose photos share their luck.

    Args:
        scores: by name, (Q,) each; NaN is left out.
        region: of each photo, (Q,).
        n_resamples: of the bootstrap; its seed is fixed.
    """
    number = np.unique(region, return_inverse=True)[1].reshape(-1)
    n = int(number.max()) + 1
    drawn = np.random.default_rng(0).integers(0, n, (n_resamples, n))
    figures = {}
    for name, score in scores.items():
        is_known = np.isfinite(score)
        sums = np.bincount(number, np.where(is_known, score, 0.0), n)
        counts = np.bincount(number, is_known, n)
        if not counts.sum():
            continue
        total = counts[drawn].sum(axis=1)
        shares = (sums[drawn].sum(axis=1) / np.maximum(total, 1))[total > 0]
        low, high = np.percentile(shares, [2.5, 97.5]).tolist()
        figures[name] = Figure(float(sums.sum() / counts.sum()), low, high)
    return figures
