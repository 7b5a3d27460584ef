"""What map embeddings know of places, beside plain answers: prices, population, land use.

    python tests/benchmarks/map_probes.py --encoder map-encoder.safetensors --shared ../shared \\
        --regional japan.tif=land.geojson,municipalities.geojson.gz,cities.csv.gz \\
        --street li.tif=liechtenstein.osm.pbf --out bench

A map is given with the files that it was drawn from, for the tag counts.

An encoder learns to say what lies around a crop on the maps that it is trained on, without labels; what it
says of a town that it never saw is another probe.

Regional maps (Natural Earth, boundaries, GeoNames places) are probed with land prices of Japan, house
values of California, and population where labels lie on them; street maps (OpenStreetMap) with what is
built around: the share of each land use in the ring around a crop that the encoder never saw.

Every row is a ridge regression of frozen features, its penalty chosen inside the training folds:

- ``raw coordinates, kNN``: the k nearest labeled places on the sphere, k chosen likewise;
- ``tag counts``: how many features of each class lie in the same window (what hex2vec starts from);
- ``class shares``: how much of the crop each class covers;
- ``ImageNet``: a MobileNetV2 looks at the same crop, painted;
- ``untrained``: the same network with random weights, the mean of ``--seeds`` of them;
- ``map encoder``, and its coordinate-only ``student`` where one is given.

Random folds and spatial blocks stand side by side. Blocks are wider than a crop, and training rows whose
crop touches one of the test fold's are dropped. Intervals resample blocks, 95 %.
"""

import argparse
import csv
import gzip
import json
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.spatial import cKDTree

from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.location import LocationEncoder
from placeprint.encoders.map_learning.crop_source import places_in
from placeprint.encoders.map_learning.encoder import MapEncoder
from placeprint.encoders.mosaics.entropy import class_shares
from placeprint.encoders.mosaics.layers import OSM_LAYERS
from placeprint.encoders.mosaics.legend import IDS
from placeprint.encoders.mosaics.mosaic import Mosaic
from placeprint.encoders.mosaics.styles import paint
from placeprint.encoders.mosaics.vector_files import layer_names, read_frame, tags_of
from placeprint.encoders.sphere import EARTH_RADIUS_KM, unit_vectors

IMAGENET = "timm:mobilenetv2_100?pad_type=same&mean=0.5&std=0.5&crop=1"
ALPHAS = 10.0 ** np.arange(-2, 7)
NEIGHBORS = (1, 2, 4, 8, 16, 32)
N_FOLDS = 5
N_RESAMPLES = 1000
MIN_LABELS = 100
MAX_TAGS = 200
USES = ("farmland", "residential", "industrial", "green", "water", "building")
Floats = NDArray[np.float64]
console = Console()


@dataclass(frozen=True, eq=False)
class Probe:
    """One label at places of one map."""

    name: str
    mosaic: Mosaic
    files: Sequence[Path]  # that it was drawn from
    lonlat: Floats  # (N, 2)
    y: Floats  # (N, T): the score is the mean over the T targets
    block_km: float


def thinned(n_rows: int, n: int, seed: int) -> NDArray[np.intp]:
    """Up to n rows, drawn."""
    return np.sort(np.random.default_rng(seed).permutation(n_rows)[:n])


def read_labels(path: Path, lon: str, lat: str, label: str) -> tuple[Floats, Floats]:
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
    with opened as file:
        rows = list(csv.DictReader(file))
    table = np.array([[float(row[name] or "nan") for name in (lon, lat, label)] for row in rows])
    table = table[np.isfinite(table).all(axis=1)]
    return table[:, :2], table[:, 2]


def on_map(mosaic: Mosaic, lonlat: Floats, ground_m: float) -> NDArray[np.bool_]:
    """Places whose crop is covered wholly."""
    crops = mosaic.crops(lonlat, ground_m=ground_m, px=32)
    return np.asarray((crops > 0).all(axis=(1, 2)))


LABELS: tuple[tuple[str, str, tuple[str, str, str], Callable[[Floats], Floats]], ...] = (
    ("land price", "prices/japan_land_price_2023.csv", ("lon", "lat", "yen"), np.log1p),
    (
        "house value", "prices/california_housing.csv",
        ("longitude", "latitude", "median_house_value"), np.log1p,
    ),
    ("population density", "labels/population.csv.gz", ("lon", "lat", "log_population"), np.asarray),
)  # fmt: skip


def regional_probes(
    mosaic: Mosaic, map_name: str, files: Sequence[Path], shared: Path, ground_m: float, n: int, seed: int
) -> list[Probe]:
    """The labels that lie on a map."""
    found = []
    for name, file, columns, transform in LABELS:
        lonlat, value = read_labels(shared / file, *columns)
        inside = mosaic.bounds.contains(lonlat)
        rows = np.flatnonzero(inside)[thinned(int(inside.sum()), n, seed)]
        rows = rows[on_map(mosaic, lonlat[rows], ground_m)]
        if len(rows) >= MIN_LABELS:
            y = transform(value[rows])[:, None]
            found.append(Probe(f"{name} ({map_name})", mosaic, files, lonlat[rows], y, block_km=100.0))
    return found


def street_probe(mosaic: Mosaic, files: Sequence[Path], ground_m: float, n: int, seed: int) -> Probe:
    """Shares of land uses in the ring around a crop, which nobody saw."""
    lonlat = places_in(mosaic, mosaic.bounds, n, ground_m=3.0 * ground_m, seed=seed)
    whole = class_shares(mosaic.crops(lonlat, ground_m=3.0 * ground_m, px=192))
    middle = class_shares(mosaic.crops(lonlat, ground_m=ground_m, px=64))
    ring = (9.0 * whole - middle) / 8.0
    uses = [IDS[use] for use in USES if ring[:, IDS[use]].std() > 0.01]
    y = np.asarray(ring[:, uses], float)
    return Probe(f"land use around, {files[0].name}", mosaic, files, lonlat, y, block_km=3e-3 * ground_m)


def tag_counts(probe: Probe, ground_m: float) -> Floats:
    """How many features with each tag meet the window: log1p, (N, the commonest tags)."""
    lon, lat = probe.lonlat.T
    half_lat = np.degrees(0.5e-3 * ground_m / EARTH_RADIUS_KM)
    half_lon = half_lat / np.cos(np.radians(lat))
    windows = shapely.box(lon - half_lon, lat - half_lat, lon + half_lon, lat + half_lat)
    counts: dict[str, Floats] = {}
    for file in probe.files:
        for tag, geometry in tagged(file):
            counts.setdefault(tag, np.zeros(len(windows)))
            row, _ = shapely.STRtree(geometry).query(windows, predicate="intersects")
            counts[tag] += np.bincount(row, minlength=len(windows))
    common = sorted(counts, key=lambda tag: -(counts[tag] > 0).sum())[:MAX_TAGS]
    return np.log1p(np.stack([counts[tag] for tag in common], axis=1))


def tagged(file: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """The features of a file by tag; those of a map without tags are all of one kind."""
    if ".csv" in file.suffixes:
        lonlat, population = read_labels(file, "longitude", "latitude", "population")
        size = np.floor(np.log10(np.maximum(population, 1.0))).astype(int)
        for one in np.unique(size):
            yield f"{file.name} of 1e{one}", shapely.points(lonlat[size == one])
        return
    is_osm = ".pbf" in file.suffixes
    for layer in OSM_LAYERS if is_osm else layer_names(file):
        frame = read_frame(file, layer)
        geometry = frame.geometry.to_crs(4326).to_numpy()
        is_there = ~(shapely.is_missing(geometry) | shapely.is_empty(geometry))
        if not is_osm:
            yield file.name, geometry[is_there]
            continue
        for key, values in tags_of(frame, from_osm=True).items():
            if key in ("osm_id", "osm_way_id", "name", "other_tags", "ref", "address", "man_made_name"):
                continue
            for value, n in Counter(one for one in values if isinstance(one, str)).items():
                if n >= 20:
                    yield f"{key}={value}", geometry[is_there & (values == value)]


def imagenet(weights: Path, mosaic: Mosaic, lonlat: Floats, ground_m: float) -> Floats:
    encoder = load_encoder(IMAGENET, weights=weights)
    size = encoder.preprocessing.size
    parts = []
    for start in range(0, len(lonlat), 64):
        crops = mosaic.crops(lonlat[start : start + 64], ground_m=ground_m, px=size)
        parts.append(encoder.embed_pixels(paint(crops)))
    return np.concatenate(parts).astype(float)


def folds_of(lonlat: Floats, block_km: float | None, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Fold and block of each row; without a size each row is a block of its own."""
    rng = np.random.default_rng(seed)
    if block_km is None:
        blocks = np.arange(len(lonlat))
    else:
        step = np.degrees(block_km / EARTH_RADIUS_KM)
        row = np.floor(lonlat[:, 1] / step).astype(int)
        column = np.floor(lonlat[:, 0] * np.cos(np.radians(row * step)) / step).astype(int)
        blocks = np.unique(np.stack([row, column]), axis=1, return_inverse=True)[1].ravel()
    order = rng.permutation(blocks.max() + 1)
    # Blocks in a random order, cut where a fifth of the rows is full: folds of about one size.
    weight = np.bincount(blocks)[np.argsort(order)]
    fold_of_rank = np.minimum((np.cumsum(weight) - 1) * N_FOLDS // len(lonlat), N_FOLDS - 1)
    return fold_of_rank[order][blocks], blocks


class Ridge:
    """Penalty by cross-validation over the groups of the training rows."""

    def __init__(self, x: Floats) -> None:
        self.x = x

    def predict(
        self, train: NDArray[np.intp], test: NDArray[np.intp], y: Floats, inner: NDArray[np.intp]
    ) -> Floats:
        def solve(rows: NDArray[np.intp], of: NDArray[np.intp]) -> list[Floats]:
            mean, scale = self.x[rows].mean(0), self.x[rows].std(0) + 1e-9
            a, b = (self.x[rows] - mean) / scale, (self.x[of] - mean) / scale
            center = y[rows].mean(0)
            values, vectors = np.linalg.eigh(a.T @ a)
            right = vectors.T @ (a.T @ (y[rows] - center))
            return [b @ (vectors @ (right / (values + alpha)[:, None])) + center for alpha in ALPHAS]

        error = np.zeros(len(ALPHAS))
        for one in np.unique(inner):
            guesses = solve(train[inner != one], train[inner == one])
            error += [((guess - y[train[inner == one]]) ** 2).sum() for guess in guesses]
        return solve(train, test)[int(error.argmin())]


class Neighbors:
    """Mean label of the k nearest labeled places on the sphere."""

    def __init__(self, lonlat: Floats) -> None:
        self.xyz = unit_vectors(lonlat)

    def predict(
        self, train: NDArray[np.intp], test: NDArray[np.intp], y: Floats, inner: NDArray[np.intp]
    ) -> Floats:
        def guesses(rows: NDArray[np.intp], of: NDArray[np.intp]) -> list[Floats]:
            near = cKDTree(self.xyz[rows]).query(self.xyz[of], k=min(max(NEIGHBORS), len(rows)))[1]
            return [y[rows][near[:, :k]].mean(axis=1) for k in NEIGHBORS]

        error = np.zeros(len(NEIGHBORS))
        for one in np.unique(inner):
            found = guesses(train[inner != one], train[inner == one])
            error += [((guess - y[train[inner == one]]) ** 2).sum() for guess in found]
        return guesses(train, test)[int(error.argmin())]


def predictions(
    model: Any, probe: Probe, folds: NDArray[np.intp], blocks: NDArray[np.intp], buffer_km: float
) -> Floats:
    """Of each row by the other folds, without rows nearer than the buffer: (N, T)."""
    xyz = unit_vectors(probe.lonlat)
    guessed = np.full_like(probe.y, np.nan)
    for fold in range(N_FOLDS):
        test = np.flatnonzero(folds == fold)
        train = np.flatnonzero(folds != fold)
        if buffer_km > 0.0:
            distance = cKDTree(xyz[test]).query(xyz[train])[0] * EARTH_RADIUS_KM
            train = train[distance > buffer_km]
        inner = np.unique(blocks[train], return_inverse=True)[1] % 4
        guessed[test] = model.predict(train, test, probe.y, inner)
    return guessed


def r2(y: Floats, guessed: Floats, weight: Floats) -> float:
    """Mean over targets of R², rows weighted: one minus the squared error over that of the mean."""
    total = weight.sum()
    mean = (weight[:, None] * y).sum(0) / total
    error = (weight[:, None] * (y - guessed) ** 2).sum(0)
    return float(np.mean(1.0 - error / (weight[:, None] * (y - mean) ** 2).sum(0)))


def with_interval(
    y: Floats, guessed: Floats, blocks: NDArray[np.intp], draws: NDArray[np.intp]
) -> list[float]:
    n = blocks.max() + 1
    sampled = []
    for draw in draws:
        weight = np.bincount(draw, minlength=n)[blocks].astype(float)
        sampled.append(r2(y, guessed, weight))
    low, high = np.percentile(sampled, [2.5, 97.5])
    return [r2(y, guessed, np.ones(len(y))), float(low), float(high), *map(float, sampled)]


def run(
    probe: Probe, encoder: MapEncoder, student: Any, weights: Path | None, seed: int, n_untrained: int
) -> dict[str, Any]:
    ground_m = encoder.config.ground_m
    lonlat, mosaic = probe.lonlat, probe.mosaic
    crop = mosaic.crops(lonlat, ground_m=ground_m, px=encoder.config.px)
    models: dict[str, Any] = {
        "raw coordinates, kNN": Neighbors(lonlat),
        "tag counts": Ridge(tag_counts(probe, ground_m)),
        "class shares": Ridge(np.asarray(class_shares(crop), float)),
    }
    if weights is not None:
        models["ImageNet"] = Ridge(imagenet(weights, mosaic, lonlat, ground_m))
    for number in range(n_untrained):
        torch.manual_seed(seed + number)
        untrained = MapEncoder(encoder.config)
        models[f"untrained {number}"] = Ridge(untrained.embed_places(mosaic, lonlat).astype(float))
    if student is not None:
        models["student"] = Ridge(student.encode(lonlat).astype(float))
    models["map encoder"] = Ridge(encoder.embed_places(mosaic, lonlat).astype(float))
    found: dict[str, Any] = {
        "n": len(lonlat),
        "targets": probe.y.shape[1],
        "block_km": probe.block_km,
        "rows": {},
    }
    for split, block_km in (("random", None), ("blocks", probe.block_km)):
        folds, blocks = folds_of(lonlat, block_km, seed)
        buffer_km = 0.0 if block_km is None else 1e-3 * ground_m * 2**0.5
        draws = np.random.default_rng(seed).integers(0, blocks.max() + 1, (N_RESAMPLES, blocks.max() + 1))
        scored = {
            name: with_interval(probe.y, predictions(model, probe, folds, blocks, buffer_km), blocks, draws)
            for name, model in models.items()
        }
        drawn = [scored.pop(f"untrained {number}") for number in range(n_untrained)]
        values, samples = np.array([one[0] for one in drawn]), np.mean([one[3:] for one in drawn], axis=0)
        low, high = np.percentile(samples, [2.5, 97.5]).tolist()
        scored["untrained"] = [float(values.mean()), low, high, *samples.tolist()]
        found.setdefault("untrained_by_seed", {})[split] = values.tolist()
        ours = np.array(scored["map encoder"][3:])
        for name, (value, low, high, *sampled) in scored.items():
            gain = np.percentile(ours - np.array(sampled), [2.5, 97.5]).tolist()
            found["rows"].setdefault(name, {})[split] = {"r2": [value, low, high], "ours_minus_this": gain}
        found[f"n_{split}"] = int(blocks.max() + 1)
    return found


def show(name: str, found: dict[str, Any]) -> None:
    table = Table(
        title=f"{name}: R² of {found['n']:,} places; {found['n_blocks']} blocks of {found['block_km']:g} km"
    )
    for column in ("", "random folds", "blocks", "ours - this, blocks"):
        table.add_column(column, justify="left" if not column else "right")
    for row, splits in found["rows"].items():
        cells = ["{:.3f} [{:.3f}, {:.3f}]".format(*splits[split]["r2"]) for split in ("random", "blocks")]
        gain = (
            "[{:+.3f}, {:+.3f}]".format(*splits["blocks"]["ours_minus_this"]) if row != "map encoder" else ""
        )
        table.add_row(row, *cells, gain)
    console.print(table)


def map_of(text: str) -> tuple[Mosaic, list[Path]]:
    """A mosaic and the files that it was drawn from: ``map.tif=file,file``."""
    mosaic, _, files = text.partition("=")
    return Mosaic.open(mosaic), [Path(file) for file in files.split(",") if file]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--street-encoder", type=Path, help="For the street maps, where it is another one.")
    parser.add_argument("--student", type=Path)
    parser.add_argument("--shared", type=Path, required=True, help="Folder with prices and labels.")
    parser.add_argument("--weights", type=Path, help="Of MobileNetV2, for the row ImageNet.")
    parser.add_argument("--regional", action="append", default=[], help="map.tif=file,file")
    parser.add_argument("--street", action="append", default=[], help="map.tif=file")
    parser.add_argument("--n", type=int, default=4000, help="Places of a probe, at most.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5, help="Of untrained networks, whose mean is shown.")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    encoder = MapEncoder.load(asked.encoder)
    street = MapEncoder.load(asked.street_encoder) if asked.street_encoder else encoder
    student = LocationEncoder.load(asked.student) if asked.student else None
    probes = []
    for text in asked.regional:
        mosaic, files = map_of(text)
        ground_m = encoder.config.ground_m
        name = Path(text.partition("=")[0]).stem
        found = regional_probes(mosaic, name, files, asked.shared, ground_m, asked.n, asked.seed)
        probes += [(encoder, probe) for probe in found]
    for text in asked.street:
        mosaic, files = map_of(text)
        probes.append((street, street_probe(mosaic, files, street.config.ground_m, asked.n, asked.seed)))
    results: dict[str, Any] = {
        "encoder": str(asked.encoder.name), "seed": asked.seed, "machine": platform.processor(), "probes": {},
    }  # fmt: skip
    for chosen, probe in probes:
        results["probes"][probe.name] = found = run(
            probe, chosen, student if chosen is encoder else None, asked.weights, asked.seed, asked.seeds
        )
        show(probe.name, found)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "map_probes.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
