"""`placeprint-location-v1`: the location encoder that ships with Placeprint.

A place is embedded in three steps:

1. `WorldFields` reads some 200 numbers about it from an atlas of open facts, as retrieval-augmented
   encoders read their table (RANGE, CVPR 2025), at scales from 2 km to a continent.
2. `KernelFeatures` turns them into some 1,400 features whose products approximate a sum of kernels: one
   linear in the fields, two of small groups of fields (random Fourier features, Rahimi and Recht 2007),
   two of position alone, and one each for "same country" and "same region".
3. One projection keeps their principal directions and turns these at random. Every number of the embedding
   is then a mixture of everything, so that a linear probe, which standardizes its inputs, weighs the kernels
   as they were weighed here, in every data set, and no rare indicator gets out of hand.
"""

import hashlib
import json
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open

from ..errors import WeightsUnavailable
from ..sphere import as_lonlat, unit_vectors
from .fields import Reading, WorldFields
from .tables import WorldTables

NAME = "placeprint-location-v1"
FIELDS_VERSION = 2
"""Counts up when `fields` or `grids` read the atlas in another way: embeddings change, the file does not."""
TRAINED_ON = frozenset(
    {"elevation", "climate-class", "population", "country", "land-cover", "built-up", "wealth"}
)
"""Variables that its atlas holds, so that a benchmark can say which tasks are not news to it."""

_Matrix = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class KernelSettings:
    """The kernels whose sum the embedding approximates.

    Attributes:
        weights: share of each kernel's block in the length of an embedding: fields, pairs, groups,
            regional, local, country, state.
        n_small, small, small_scale: features that mix `small` fields each, and how fast they vary.
        n_large, large, large_scale: likewise of larger groups.
        n_regional, regional, n_local, local: features of position alone, with wave numbers (per radian
            on the unit sphere) spread evenly in their logarithm between two bounds.
        n_country, n_state: lengths of the random codes of a country and of a first-level region.
        dimension: of the embedding.
        seed: of every draw.
    """

    weights: tuple[float, ...] = (1.0, 0.4, 0.6, 0.05, 0.02, 0.3, 0.03)
    n_small: int = 450
    small: int = 3
    small_scale: float = 1.0
    n_large: int = 450
    large: int = 8
    large_scale: float = 0.5
    n_regional: int = 120
    regional: tuple[float, float] = (1.0, 60.0)
    n_local: int = 80
    local: tuple[float, float] = (60.0, 2000.0)
    n_country: int = 96
    n_state: int = 32
    dimension: int = 768
    seed: int = 0


class KernelFeatures:
    """Fields, position, country and state of places -> features, block by block.

    The random draws are part of the weights: generators change between versions of numpy.

    Attributes:
        tensors: field_mean, field_scale (F,); mixing (F, n_small + n_large); phases; waves (3, n); their
            phases; country_codes (countries, n); state_codes (states, n); block_mean and block_scale of
            the features (R,).
    """

    FIELD_LIMIT = 10.0
    """Standardized fields are cut here: what is far outside of everything seen says nothing more."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        self.tensors = dict(tensors)

    @classmethod
    def draw(
        cls,
        settings: KernelSettings,
        fields: _Matrix,
        field_scale: _Matrix,
        n_countries: int,
        n_states: int,
    ) -> "KernelFeatures":
        """Draw the random parts for these fields, (n, F) at the reference places."""
        random = np.random.default_rng(settings.seed)
        n_fields = fields.shape[1]
        groups = [(settings.small, settings.small_scale)] * settings.n_small
        groups += [(settings.large, settings.large_scale)] * settings.n_large
        mixing = np.zeros((n_fields, len(groups)), np.float32)
        for column, (size, scale) in enumerate(groups):
            chosen = random.choice(n_fields, size, replace=False)
            mixing[chosen, column] = random.normal(size=size) * scale / np.sqrt(size)
        waves = []
        for n, (low, high) in (
            (settings.n_regional, settings.regional),
            (settings.n_local, settings.local),
        ):
            number = np.exp(random.uniform(np.log(low), np.log(high), n))
            waves.append(random.normal(size=(3, n)) * number)
        return cls(
            {
                "field_mean": fields.mean(axis=0),
                "field_scale": field_scale,
                "mixing": mixing.astype(np.float16),
                "mixing_phases": random.uniform(0, 2 * np.pi, len(groups)).astype(np.float32),
                "waves": np.concatenate(waves, axis=1).astype(np.float32),
                "wave_phases": random.uniform(0, 2 * np.pi, sum(w.shape[1] for w in waves)).astype(
                    np.float32
                ),
                "country_codes": random.normal(size=(n_countries, settings.n_country)).astype(np.float16),
                "state_codes": random.normal(size=(n_states, settings.n_state)).astype(np.float16),
            }
        )

    @property
    def block_sizes(self) -> dict[str, int]:
        """Columns of the fields, mixtures, waves, country and state blocks, in order."""
        names = ("field_mean", "mixing", "waves", "country_codes", "state_codes")
        return {name: self.tensors[name].shape[-1] for name in names}

    def dense(self, fields: _Matrix, xyz: NDArray[np.float64]) -> Iterator[_Matrix]:
        """Compute the blocks that are no codes: fields (n, F), unit vectors (n, 3) -> (n, ...) each."""
        known = self.tensors
        standard = (fields - known["field_mean"]) / known["field_scale"]
        yield np.clip(standard, -self.FIELD_LIMIT, self.FIELD_LIMIT, out=standard)
        mixed = standard @ self._mixing
        mixed += known["mixing_phases"]
        yield np.cos(mixed, out=mixed)
        # In 64 bits until whole turns are gone: a wave of 20 km turns 2,000 times on its way round.
        turns = (xyz @ known["waves"].astype(np.float64) + known["wave_phases"]) / (2 * np.pi)
        turns -= np.rint(turns)
        yield np.cos(turns.astype(np.float32) * np.float32(2 * np.pi))

    def codes(self) -> tuple[_Matrix, _Matrix]:
        """The codes of all countries and all states, the last two blocks."""
        country, state = self.tensors["country_codes"], self.tensors["state_codes"]
        return country.astype(np.float32), state.astype(np.float32)

    def __call__(self, reading: Reading, xyz: NDArray[np.float64]) -> _Matrix:
        """Compute all features of n places -> (n, R)."""
        country, state = self.codes()
        blocks = [*self.dense(reading.values, xyz), country[reading.country], state[reading.state]]
        return np.concatenate(blocks, axis=1)

    @cached_property
    def _mixing(self) -> _Matrix:
        return self.tensors["mixing"].astype(np.float32)


class WorldEncoder:
    """The encoder, read from its file; a `LocationEmbedder`.

    Args:
        path: a file of `train_world_encoder`; the shipped one by default.

    Raises:
        WeightsUnavailable: the file is missing, damaged or of another kind.

    Attributes:
        card: what it was made from and how.
        trained_on: names of the variables its tables hold.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        if path is None:
            with as_file(files("placeprint.encoders") / f"{NAME}.safetensors") as shipped:
                self._load(Path(shipped))
        else:
            self._load(Path(path))

    def _load(self, path: Path) -> None:
        try:
            with safe_open(path, "numpy") as file:
                metadata = file.metadata() or {}
                self.card: dict[str, Any] = json.loads(metadata["card"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            if digest_of(tensors) != metadata["digest"]:
                raise ValueError("its bytes are not those that were written")
            tables = WorldTables.unpack(_part(tensors, "tables."))
            self._features = KernelFeatures(_part(tensors, "kernels."))
            self._projection = tensors["projection"].astype(np.float32)
            country, state = self._features.codes()
            codes = self._projection[-country.shape[1] - state.shape[1] :]
            self._of_country = country @ codes[: country.shape[1]] - tensors["offset"]
            self._of_state = state @ codes[country.shape[1] :]
        except (OSError, SafetensorError, KeyError, ValueError, lzma.LZMAError) as error:
            raise WeightsUnavailable(
                f"{path} is not a whole file of {NAME} ({type(error).__name__}: {error}); "
                "install placeprint again, or train it with python -m placeprint.encoders.train_world_encoder"
            ) from error
        told = f"{metadata['digest']}, fields {FIELDS_VERSION}"
        self._fingerprint = hashlib.sha256(told.encode()).hexdigest()[:16]
        self._fields = WorldFields(tables)

    @property
    def fields(self) -> WorldFields:
        """What the atlas tells of places."""
        return self._fields

    @property
    def tables(self) -> WorldTables:
        """The atlas."""
        return self._fields.tables

    @property
    def name(self) -> str:
        """placeprint-location-v1."""
        return NAME

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return int(self._projection.shape[1])

    @property
    def fingerprint(self) -> str:
        """Digest of the tables, the weights and the way they are read."""
        return self._fingerprint

    @property
    def trained_on(self) -> frozenset[str]:
        """Variables that its tables hold."""
        return frozenset(self.card["trained_on"])

    def encode(self, lonlat: ArrayLike, *, batch_size: int = 8192) -> NDArray[np.float32]:
        """Embed places.

        Args:
            lonlat: degrees, longitude first, (n, 2).
            batch_size: places at a time; memory grows by about 20 kB for each.

        Returns:
            (n, D) float32, not of unit length; the mean over inhabited places is about 0.

        Raises:
            InvalidCoordinate: a point is not on Earth.
        """
        points = as_lonlat(lonlat).reshape(-1, 2)
        embeddings = np.empty((len(points), self.dimension), np.float32)
        # Places near one another read the same pages of the tables and branches of the trees.
        order = np.lexsort((points[:, 0], np.floor(points[:, 1] / 2.0)))
        for start in range(0, len(points), batch_size):
            part = order[start : start + batch_size]
            embeddings[part] = self._encode(points[part])
        return embeddings

    def _encode(self, lonlat: NDArray[np.float64]) -> _Matrix:
        """Project block by block; those of countries and states are projected beforehand."""
        reading = self._fields(lonlat)
        out: _Matrix = self._of_country[reading.country]  # a copy
        out += self._of_state[reading.state]
        start = 0
        for block in self._features.dense(reading.values, unit_vectors(lonlat)):
            out += block @ self._projection[start : start + block.shape[1]]
            start += block.shape[1]
        return out


@cache
def shipped_encoder() -> WorldEncoder:
    """The encoder that is shipped, which all share: it is only read, and takes seconds to load."""
    return WorldEncoder()


def card_of(settings: KernelSettings, **facts: Any) -> str:
    """The card as it is kept in the file's metadata, JSON."""
    return json.dumps(
        {
            "name": NAME,
            "axis_order": "lonlat",
            "units": "degrees, WGS84",
            "dimension": settings.dimension,
            "trained_on": sorted(TRAINED_ON),
            "settings": asdict(settings),
            **facts,
        }
    )


def digest_of(tensors: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of names and contents, kept in the file and checked when it is read."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def _part(tensors: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}
