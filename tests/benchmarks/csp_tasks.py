"""The photos, places and labels that `csp` is measured on. Embeddings are kept in a cache folder.

``world_heritage``: one photo of each UNESCO site (rights reserved: figures only). ``naip_california``:
aerial tiles of four cities, each spot in three years, CC BY 4.0, urban-tree-detection-data. The
``texas_pairs``: tiles before and after a hurricane, non-commercial: figures only. ``scenes``: pictures
drawn by Placeprint at 3,000 towns. Climate classes: Köppen-Geiger raster, MIT.
"""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.csp_sampling import Pairs
from placeprint.encoders.image import embed_images
from placeprint.encoders.train_demonstration import CUES, draw_scenes

ENCODER = "timm:mobilenetv2_100?pad_type=same&mean=0.5&std=0.5&crop=1"
TREES = ("palm", "broadleaf", "bare", "autumn", "conifer", "cactus", "shrub", "treeless")
N_SCENES = 3000
_Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Collection:
    """Pairs and what is asked of them.

    Attributes:
        pairs: photos and places.
        block_deg: side of the blocks that splits deal out.
        labels: task -> class of each photo, 0..Q-1.
        main: the task of the ablation.
    """

    name: str
    pairs: Pairs
    block_deg: float
    labels: dict[str, _Labels]
    main: str


def load(name: str, data: Path, weights: Path, cache: Path) -> Collection:
    """One of `COLLECTIONS`."""
    return COLLECTIONS[name](data, weights, cache)


def _world_heritage(data: Path, weights: Path, cache: Path) -> Collection:
    rows, pairs = photos(data / "photos" / "world_heritage", weights, cache)
    labels = {
        "category": _numbered([row["category"] for row in rows]),
        "climate": _numbered(_climates(pairs.lonlat, data / "labels")),
        "country": _numbered([row["country"] for row in rows]),
    }
    return Collection("world_heritage", pairs, 2.0, labels, "climate")


def _naip(data: Path, weights: Path, cache: Path) -> Collection:
    rows, pairs = photos(data / "aerial" / "naip_california", weights, cache)
    trees = np.array([int(row["n_trees"]) for row in rows])
    quarters = np.digitize(trees, np.quantile(trees, [0.25, 0.5, 0.75])).astype(np.int64)
    labels = {"city": _numbered([row["city"] for row in rows]), "tree density": quarters}
    # The official split parts the years of one spot; blocks keep them together.
    return Collection("naip_california", pairs, 0.01, labels, "tree density")


def _texas(data: Path, weights: Path, cache: Path) -> Collection:
    rows, pairs = photos(data / "aerial" / "texas_pairs", weights, cache)
    return Collection(
        "texas_pairs", pairs, 0.02, {"damage": _numbered([row["label"] for row in rows])}, "damage"
    )


def _scenes(data: Path, weights: Path, cache: Path) -> Collection:
    path = cache / "scenes.npz"
    if not path.exists():
        drawn = draw_scenes(N_SCENES, np.random.default_rng(20_26))
        encoder = load_encoder("demonstration")
        pixels = drawn.pixels.permute(0, 2, 3, 1).numpy()
        parts = [encoder.embed_pixels(part) for part in np.array_split(pixels, len(pixels) // 100)]
        countries = np.array([scene.country_code for scene in drawn.scenes])
        cues = drawn.cues.numpy()[:, [CUES.index(tree) for tree in TREES]]
        np.savez(
            path, images=np.concatenate(parts), lonlat=drawn.lonlat, country=countries, trees=cues.argmax(1)
        )
    found = np.load(path)
    pairs = Pairs(
        found["images"], found["lonlat"], np.arange(len(found["lonlat"])).astype(str), "demonstration"
    )
    labels = {"country": _numbered(found["country"].tolist()), "vegetation": found["trees"].astype(np.int64)}
    return Collection("scenes", pairs, 2.0, labels, "country")


COLLECTIONS: dict[str, Callable[[Path, Path, Path], Collection]] = {
    "world_heritage": _world_heritage,
    "naip_california": _naip,
    "texas_pairs": _texas,
    "scenes": _scenes,
}


def photos(folder: Path, weights: Path, cache: Path) -> tuple[list[dict[str, str]], Pairs]:
    """Rows of a folder's index and pairs in their order; photos of one spot are one group."""
    with (folder / "index.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    path = cache / f"{folder.name}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        encoder: Any = load_encoder(ENCODER, weights=weights)
        np.save(path, embed_images(encoder, [folder / row["image"] for row in rows]))
    lonlat = np.array([[float(row["lon"]), float(row["lat"])] for row in rows])
    groups = np.array([f"{lon:.5f} {lat:.5f}" for lon, lat in lonlat])
    return rows, Pairs(np.load(path), lonlat, groups, ENCODER)


def _climates(lonlat: NDArray[np.float64], folder: Path) -> list[str]:
    """Main climate class of each place, A to E; at sea that of the nearest land within 20 km."""
    raster = np.load(folder / "koppen_fine_6480x12960_uint8.npz")["kmz"]
    legend = json.loads((folder / "koppen_legend.json").read_text())
    height, width = raster.shape
    rows = np.clip(((90.0 - lonlat[:, 1]) / 180.0 * height).astype(int), 0, height - 1)
    columns = ((lonlat[:, 0] + 180.0) / 360.0 * width).astype(int) % width
    found = []
    for row, column in zip(rows, columns, strict=True):
        for reach in range(8):
            window = raster[max(row - reach, 0) : row + reach + 1].take(
                range(column - reach, column + reach + 1), axis=1, mode="wrap"
            )
            land = window[(window != 32) & (window != 0)]
            if land.size:
                break
        found.append(legend[str(np.bincount(land).argmax())][0] if land.size else "none")
    return found


def _numbered(labels: list[str]) -> _Labels:
    return np.unique(np.array(labels), return_inverse=True)[1].astype(np.int64)
