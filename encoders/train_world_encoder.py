"""Make `placeprint-location-v1` from open data: python -m placeprint.encoders.train_world_encoder --data DIR.

There are no labels of a downstream task in it, and no gradient: the tables are read, the kernels drawn, and
the projection is a principal component analysis of the kernel features at reference places. Deterministic.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.spatial import cKDTree

from .sphere import unit_vectors
from .world.encoder import KernelFeatures, KernelSettings, WorldEncoder, card_of, digest_of
from .world.fields import WorldFields
from .world.grids import cell_values
from .world.sources import read_sources
from .world.tables import WorldTables

N_INHABITED, N_LAND, N_SEA = 20_000, 12_000, 3_000
LOCAL_KM = 100.0
_Matrix = NDArray[np.float32]


def train(tables: WorldTables, settings: KernelSettings, path: Path) -> None:
    """Fit everything that is fitted and write the file."""
    fields = WorldFields(tables)
    lonlat = reference_places(tables, settings.seed)
    reading = fields(lonlat)
    values = reading.values
    scale = field_scale(values[:N_INHABITED], lonlat[:N_INHABITED], values, settings.seed)
    n_states = int(tables.place_state.max()) + 1
    kernels = KernelFeatures.draw(settings, values, scale, len(tables.country_facts), n_states)
    features = kernels(reading, unit_vectors(lonlat))
    projection, offset = fit_projection(features, kernels.block_sizes, settings)
    tensors: dict[str, NDArray[Any]] = {f"tables.{name}": table for name, table in tables.pack().items()}
    tensors |= {f"kernels.{name}": table for name, table in kernels.tensors.items()}
    tensors |= {"projection": projection, "offset": offset}
    card = card_of(
        settings,
        sources=tables.__doc__,
        licence="Apache-2.0; places (c) GeoNames, CC BY 4.0",
        command="python -m placeprint.encoders.train_world_encoder --data DIR",
        fields=fields.names,
    )
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    temporary = path.with_suffix(".partial")
    save_file(tensors, temporary, metadata={"card": card, "digest": digest_of(tensors)})
    temporary.chmod(0o644)  # the library writes for its owner alone
    temporary.replace(path)


def reference_places(tables: WorldTables, seed: int) -> NDArray[np.float64]:
    """Inhabited places (a few kilometers off their centers), then land, then sea: degrees (n, 2)."""
    random = np.random.default_rng(seed)
    inhabited = tables.places[random.choice(len(tables.places), N_INHABITED, replace=False)]
    inhabited = inhabited + random.normal(scale=0.03, size=inhabited.shape)
    n = 6 * (N_LAND + N_SEA)
    lat = np.degrees(np.arcsin(random.uniform(-1, 1, n)))
    anywhere = np.stack([random.uniform(-180, 180, n), lat], axis=1)
    is_land = cell_values(tables.cover, anywhere) & 1 > 0
    return np.concatenate([inhabited, anywhere[is_land][:N_LAND], anywhere[~is_land][:N_SEA]])


def field_scale(near: _Matrix, near_lonlat: NDArray[np.float64], everywhere: _Matrix, seed: int) -> _Matrix:
    """How much each field varies: geometric mean of its spread on Earth and within `LOCAL_KM`.

    With the spread on Earth alone, what differs between two parts of one city would count for nothing.
    """
    pairs = cKDTree(unit_vectors(near_lonlat)).query_pairs(LOCAL_KM / 6371.0088, output_type="ndarray")
    pairs = pairs[np.random.default_rng(seed).choice(len(pairs), min(40_000, len(pairs)), replace=False)]
    local = np.sqrt(((near[pairs[:, 0]] - near[pairs[:, 1]]) ** 2).mean(axis=0) / 2)
    spread = np.maximum(everywhere.std(axis=0), 0.02)
    return np.asarray(np.sqrt(spread * np.maximum(local, 0.01)), np.float32)


def fit_projection(
    features: _Matrix, block_sizes: dict[str, int], settings: KernelSettings
) -> tuple[NDArray[np.float16], _Matrix]:
    """Weigh the blocks, keep the principal directions, turn them: (R, D) and the offset (D,)."""
    weight = np.ones(features.shape[1])
    sizes = [
        block_sizes["field_mean"], settings.n_small, settings.n_large, settings.n_regional,
        settings.n_local, settings.n_country, settings.n_state,
    ]  # fmt: skip
    start = 0
    for size, share in zip(sizes, settings.weights, strict=True):
        block = features[:, start : start + size]
        weight[start : start + size] = share / np.sqrt(block.var(axis=0, dtype=np.float64).sum())
        start += size
    centered = (features - features.mean(axis=0, dtype=np.float64)) * weight
    _, directions = np.linalg.eigh(centered.T @ centered)
    kept = directions[:, ::-1][:, : settings.dimension]
    turn, _ = np.linalg.qr(np.random.default_rng(settings.seed).normal(size=(kept.shape[1],) * 2))
    # Numbers of about 1 suit the half precision in which the matrix is kept.
    unit = np.sqrt(settings.dimension / centered.var(axis=0).sum())
    projection = (weight[:, None] * kept @ turn * unit).astype(np.float16)
    offset = features.mean(axis=0, dtype=np.float64) @ projection.astype(np.float64)
    return projection, offset.astype(np.float32)


def main() -> None:
    """Read the sources, or the tables of an encoder that exists, train, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="Folder with the published files.")
    source.add_argument("--tables-of", type=Path, help="An encoder's file whose tables are used again.")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "placeprint-location-v1.safetensors"
    )
    arguments = parser.parse_args()
    if arguments.data:
        tables = read_sources(arguments.data)
    else:
        tables = WorldEncoder(arguments.tables_of).tables
    train(tables, KernelSettings(), arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
