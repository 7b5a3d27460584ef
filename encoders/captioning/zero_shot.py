"""Zero-shot geolocation by text: which of many named places does a photo look like?

Each name is said in several sentences; the mean of their embeddings stands for it (Radford et al. 2021,
CLIP, arXiv:2103.00020), and a softmax over similarities makes a posterior, times a prior if one is known.
It works with any encoder that knows texts, and with any names: countries are at hand in `countries`.

Give a prior where names are not equally common. Contrastive training sets a similarity to how much more
often name and picture come together than by chance, not to how often they do, so that text alone favors
rare names: in ``tests/benchmarks/captions.py`` it is right about 6.5 % of countries without and 25.2 % with.

Letters: Q photos, M names, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from ..errors import InvalidOption
from ..places import load_places
from ..sphere import as_lonlat, great_circle_km, spherical_mean
from .climates import GROUPS, PHRASES
from .countries import spoken_country

TEMPLATES = ("Picture in {}.", "Street-level picture in {}.", "A photo taken in {}.", "A street in {}.")
TEMPERATURES = (1e-3, 10.0)

_Floats = NDArray[np.float64]


class TextEncoder(Protocol):
    """What is asked of an encoder here."""

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts: n texts -> (n, D), unit length."""


@dataclass(frozen=True, eq=False)
class NamedPlaces:
    """Names as directions in the space of an encoder.

    Attributes:
        names: M.
        embeddings: unit vectors, (M, D).
        lonlat: a place for each name, (M, 2) degrees, or None.
    """

    names: tuple[str, ...]
    embeddings: NDArray[np.float32]
    lonlat: _Floats | None = None

    @classmethod
    def of(
        cls,
        encoder: TextEncoder,
        names: Sequence[str],
        lonlat: ArrayLike | None = None,
        *,
        templates: Sequence[str] = TEMPLATES,
    ) -> "NamedPlaces":
        """Embed names.

        Args:
            encoder: with a text tower.
            names: as they are said in a sentence, "the Netherlands".
            lonlat: a place for each, (M, 2) degrees.
            templates: sentences with one ``{}`` each for the name.

        Raises:
            NoTextTower: the encoder knows pictures only.
            UnknownWords: the demonstration encoder, of which no word of a sentence is known.
            InvalidOption: no names, a template without ``{}``, or not one place for each name.
            InvalidCoordinate: a place that is not on Earth.
        """
        if not names or not templates or any(one.count("{}") != 1 for one in templates):
            raise InvalidOption(
                f"{len(names)} names, templates {list(templates)}: there must be some names, and templates "
                "with one {} each"
            )
        points = None if lonlat is None else as_lonlat(lonlat)
        if points is not None and points.shape != (len(names), 2):
            raise InvalidOption(f"{len(names)} names need one place each; got places of shape {points.shape}")
        return cls(
            tuple(names), _mean_embeddings(encoder, [[t.format(n) for t in templates] for n in names]), points
        )

    def similarity(self, images: NDArray[np.float32]) -> _Floats:
        """Cosine of photos and names: (Q, D) unit rows -> (Q, M)."""
        return np.asarray(images @ self.embeddings.T, dtype=np.float64)

    def posterior(
        self, images: NDArray[np.float32], *, temperature: float, prior: ArrayLike | None = None
    ) -> _Floats:
        """Probability of each name for each photo: (Q, D) unit rows -> (Q, M), rows add up to 1.

        Args:
            images: embeddings of the encoder that the names were embedded with.
            temperature: divides the similarities; see `fit_temperature`. A model's own is usually near 0.01.
            prior: how common each name is, (M,), not negative; it need not add up to 1. None: all alike.

        Raises:
            InvalidOption: a temperature that is not above 0, or a prior that is none.
        """
        if not temperature > 0.0:
            raise InvalidOption(f"temperature {temperature}: must be above 0")
        return _softmax(self.similarity(images) / temperature + _log_prior(prior, len(self.names)))

    def best_places(self, posterior: _Floats) -> _Floats:
        """The listed place from which the truth is expected to be nearest: (Q, M) -> (Q, 2) degrees.

        Each name stands for its one place here, so a country's is a coarse answer.

        Raises:
            InvalidOption: the names have no places.
        """
        if self.lonlat is None:
            raise InvalidOption("these names have no places: give lonlat to NamedPlaces.of")
        expected_km = posterior @ great_circle_km(self.lonlat[:, None], self.lonlat[None])
        best: _Floats = self.lonlat[expected_km.argmin(axis=1)]
        return best


def fit_temperature(similarity: _Floats, truth: NDArray[np.intp], prior: ArrayLike | None = None) -> float:
    """The temperature under which known answers are most probable.

    Args:
        similarity: of photos that are asked about nowhere else, (Q, M).
        truth: row of each one's true name, (Q,).
        prior: as in `NamedPlaces.posterior`; a name of the truth must not have prior 0.

    Returns:
        Within `TEMPERATURES`.

    Raises:
        InvalidOption: no photos, or a prior that is none.
    """
    if not len(truth):
        raise InvalidOption("a temperature is fitted on photos of known names; there are none")
    log_prior = _log_prior(prior, similarity.shape[1])

    def loss(log_temperature: float) -> float:
        probability = _softmax(similarity / np.exp(log_temperature) + log_prior)
        return -float(np.log(probability[np.arange(len(truth)), truth] + 1e-300).mean())

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


class Countries(NamedTuple):
    """All countries that have a town.

    Attributes:
        codes: ISO 3166-1 alpha-2.
        names: as they are said, with article.
        lonlat: the town nearest to where a country's people live on average, (M, 2) degrees.
    """

    codes: tuple[str, ...]
    names: tuple[str, ...]
    lonlat: _Floats


@cache
def countries() -> Countries:
    """Countries by code; read from the table of places once."""
    places = load_places()
    codes, first, inverse = np.unique(places.country_code.astype(str), return_index=True, return_inverse=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    members = np.split(order, np.cumsum(np.bincount(inverse.reshape(-1)))[:-1])
    middles = []
    for rows in members:
        towns = places.lonlat[rows]
        middle = spherical_mean(towns, 1.0 + places.population[rows].astype(np.float64))
        middles.append(towns[great_circle_km(towns, middle).argmin()])
    names = tuple(
        spoken_country(str(code), places.country[row]) for code, row in zip(codes, first, strict=True)
    )
    return Countries(tuple(codes.tolist()), names, np.array(middles))


def country_texts(
    encoder: TextEncoder, codes: Sequence[str] | None = None, *, templates: Sequence[str] = TEMPLATES
) -> NamedPlaces:
    """Countries as directions, all or those of some codes, in their order.

    Raises:
        InvalidOption: an unknown code; otherwise as `NamedPlaces.of`.
    """
    known = countries()
    row_of = {code: row for row, code in enumerate(known.codes)}
    codes = known.codes if codes is None else codes
    if unknown := [code for code in codes if code not in row_of]:
        raise InvalidOption(f"no country {unknown[0]!r} with a town; codes are those of ISO 3166-1 alpha-2")
    rows = [row_of[code] for code in codes]
    return NamedPlaces.of(
        encoder, [known.names[row] for row in rows], known.lonlat[rows], templates=templates
    )


def climate_texts(encoder: TextEncoder) -> NamedPlaces:
    """The five main climates as directions, each the mean of its classes' sentences, in order A to E."""
    sentences = [
        [
            sentence
            for climate, (name, zone) in PHRASES.items()
            if climate[0] == letter
            for sentence in (f"This place has {name}.", f"The climate here is {zone}.")
        ]
        for letter in GROUPS
    ]
    return NamedPlaces(tuple(GROUPS.values()), _mean_embeddings(encoder, sentences))


def _mean_embeddings(encoder: TextEncoder, sentences: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """Direction of the mean of each list of sentences: M lists -> (M, D)."""
    embedded = encoder.embed_texts([sentence for several in sentences for sentence in several])
    ends = np.cumsum([len(several) for several in sentences])[:-1]
    means = np.array([part.mean(axis=0) for part in np.split(embedded, ends)])
    unit: NDArray[np.float32] = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _softmax(logits: _Floats) -> _Floats:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    share: _Floats = odds / odds.sum(axis=1, keepdims=True)
    return share


def _log_prior(prior: ArrayLike | None, n: int) -> _Floats:
    if prior is None:
        return np.zeros(n)
    share = np.asarray(prior, dtype=np.float64)
    if share.shape != (n,) or not np.isfinite(share).all() or share.min() < 0.0 or share.sum() <= 0.0:
        raise InvalidOption(f"a prior of {n} names is as many numbers, not negative and not all 0")
    with np.errstate(divide="ignore"):
        log: _Floats = np.log(share / share.sum())
    return log
