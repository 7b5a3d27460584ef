"""What each part of map learning is worth: one part off in turn, the published forms, the entropy filter.

    python tests/benchmarks/map_ablation.py --mosaic liechtenstein.tif --out bench

Every variant trains on the same places with the same views. The encoder then embeds the places of
held-out blocks, none of whose crops touches one of training, and of the training blocks, and three
things are read off its embeddings by a ridge regression or 5 nearest neighbors of training:

- ``shares``: the shares of the classes in the crop itself, R², classes weighing as they vary;
- ``around``: the share of built-up pixels in a crop three times as wide, of which eight ninths were
  never seen, R²;
- ``land use``: the commonest class in the middle of the crop, balanced accuracy;
- ``price``: the logarithm of the price there, where ``--price`` gives any, R².

``turned`` is the mean cosine between one place's crop and the same turned by 90 degrees; ``1 km`` that
between places that far apart. The histogram of the crop and an untrained encoder stand beside.
Each seed has its own network, places and blocks, which differ more than variants do: what a variant changes
is read off the differences from the default of the same seed.
"""

import argparse
import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import RidgeCV
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from placeprint.encoders.map_learning.crop_source import CropSource, places_in
from placeprint.encoders.map_learning.geo_targets import PlaceLabels
from placeprint.encoders.map_learning.labels import PRICE_COLUMNS, labels_for, read_points
from placeprint.encoders.map_learning.monitor import main_class
from placeprint.encoders.map_learning.settings import MapRun
from placeprint.encoders.map_learning.trainer import MapTrainer
from placeprint.encoders.mosaics.entropy import class_shares
from placeprint.encoders.mosaics.legend import IDS, N_CLASSES
from placeprint.encoders.mosaics.mosaic import Mosaic
from placeprint.encoders.sphere import destination
from placeprint.encoders.train_maps import class_colors

NOTHING = 1e-12
"""Counts for nothing, but leaves the same places held out: how far learning looks decides on these."""

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "no distillation": {"distillation_weight": 0.0},
    "no KoLeo": {"koleo_weight": 0.0},
    "no geo heads": {"geo_weight": 0.0},
    "no price head": {"uses_price": False},
    "no position heads": {"uses_position": False},
    "no reconstruction": {"reconstruction_weight": 0.0},
    "no clustering": {"clustering_weight": 0.0},
    "no surroundings": {"surroundings_weight": NOTHING},
    "KoLeo 0.1": {"koleo_weight": 0.1},
    "distillation alone": {
        "koleo_weight": 0.0, "geo_weight": 0.0, "reconstruction_weight": 0.0, "clustering_weight": 0.0,
        "surroundings_weight": NOTHING,
    },
    "position reaches the network": {"position_stop_gradient": False},
    "learned variances": {"weighting": "log-variance"},
    "no channel dropout": {"channel_dropout": 0.0},
    "no entropy filter": {"keep_floor": 1.0},
    "no batch norm in the head": {"head_is_batch_normed": False},
    "published forms": {
        "variant": "paper", "koleo_weight": 0.0, "channel_dropout": 0.0, "surroundings_weight": NOTHING,
    },
}  # fmt: skip
BUILT = [IDS[name] for name in ("residential", "industrial", "building", "street")]
COLUMNS = ("shares", "around", "land use", "price", "turned", "1 km", "RankMe", "step s", "wait %")
console = Console()
_Floats = NDArray[np.float64]


def measure(trainer: MapTrainer, embed: Any) -> dict[str, float]:
    """Figures of one way to embed crops, (N, px, px) -> (N, D), on the trainer's split."""
    run, source = trainer.run, trainer.source
    parts = {"train": trainer.split.train[:2000], "test": trainer.split.held_out[:2000]}
    crops = {
        name: source.crops(trainer.lonlat[rows], ground_m=run.ground_m, px=run.global_px)
        for name, rows in parts.items()
    }
    wide = {
        name: source.crops(trainer.lonlat[rows], ground_m=3 * run.ground_m, px=run.global_px)
        for name, rows in parts.items()
    }
    x = {name: np.asarray(embed(one), np.float64) for name, one in crops.items()}
    scaler = StandardScaler().fit(x["train"])
    z = {name: scaler.transform(one) for name, one in x.items()}
    shares = {name: class_shares(one) for name, one in crops.items()}
    occurring = shares["train"].std(axis=0) > 0.01
    around = {name: class_shares(one)[:, BUILT].sum(axis=1, keepdims=True) for name, one in wide.items()}
    use = {name: main_class(one, N_CLASSES) for name, one in crops.items()}
    knn = KNeighborsClassifier(5, metric="cosine").fit(x["train"], use["train"])
    known = np.isin(use["test"], use["train"])
    turned = source.crops(
        trainer.lonlat[parts["test"]], ground_m=run.ground_m, angle_rad=np.pi / 2, px=run.global_px
    )
    moved = source.crops(
        destination(trainer.lonlat[parts["test"]], 90.0, 1.0), ground_m=run.ground_m, px=run.global_px
    )
    found = {
        "shares": _ridge(z, {name: one[:, occurring] for name, one in shares.items()}),
        "around": _ridge(z, around),
        "land use": float(balanced_accuracy_score(use["test"][known], knn.predict(x["test"][known]))),
        "turned": _cosine(x["test"], np.asarray(embed(turned), np.float64)),
        "1 km": _cosine(x["test"], np.asarray(embed(moved), np.float64)),
    }
    price = {name: np.log1p(trainer.all_labels.price[rows]) for name, rows in parts.items()}
    has = {name: np.isfinite(one) for name, one in price.items()}
    if min(int(one.sum()) for one in has.values()) >= 50:
        known_z = {name: one[has[name]] for name, one in z.items()}
        found["price"] = _ridge(known_z, {name: one[has[name], None] for name, one in price.items()})
    return found


def _ridge(x: dict[str, _Floats], y: dict[str, _Floats]) -> float:
    fit = RidgeCV(np.logspace(-2, 4, 13)).fit(x["train"], y["train"])
    return float(r2_score(y["test"], fit.predict(x["test"]), multioutput="variance_weighted"))


def _cosine(a: _Floats, b: _Floats) -> float:
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / length.clip(1e-12)).mean())


def one_unit(source: CropSource, lonlat: _Floats, labels: PlaceLabels, run: MapRun) -> dict[str, float]:
    """Train one variant and measure it."""
    trainer = MapTrainer(source, lonlat, labels, run, colors=class_colors())
    try:
        with torch.random.fork_rng(devices=[]):
            while trainer.progress.epoch < run.epochs:
                trainer.epoch()
        found = measure(trainer, trainer.embed_crops)
    finally:
        trainer.close()
    timing = trainer.timing.figures
    return found | {
        "RankMe": trainer.progress.log[-1]["rank_me"],
        "step s": timing["step_s"],
        "wait %": 100.0 * timing["data_wait_share"],
        "steps": trainer.progress.step,
        "teacher entropy": trainer.progress.log[-1]["teacher_entropy"],
        "kl": trainer.progress.log[-1]["kl"],
        "messages": len(trainer.progress.log[-1]["messages"]),
    }


def baselines(source: CropSource, lonlat: _Floats, labels: PlaceLabels, run: MapRun) -> dict[str, Any]:
    """The histogram of the crop, and the encoder before its first step."""
    trainer = MapTrainer(source, lonlat, labels, run, colors=class_colors())
    return {
        "histogram of the crop": measure(trainer, class_shares),
        "untrained encoder": measure(trainer, trainer.embed_crops),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mosaic", type=Path, required=True)
    parser.add_argument("--price", type=Path, help="Prices of points, for places beside these.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--places", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--ground-m", type=float, default=500.0)
    parser.add_argument("--global-px", type=int, default=64)
    parser.add_argument("--local-px", type=int, default=32)
    parser.add_argument("--n-local", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    asked = parser.parse_args()
    source = Mosaic.open(asked.mosaic)
    units: list[dict[str, Any]] = []
    asked.out.mkdir(parents=True, exist_ok=True)
    for seed in range(asked.seeds):
        base = MapRun(
            ground_m=asked.ground_m, global_px=asked.global_px, local_px=asked.local_px,
            n_local=asked.n_local, epochs=asked.epochs, held_out_share=0.25, seed=seed,
        )  # fmt: skip
        lonlat = _places(source, asked, seed)
        labels = labels_for(lonlat, price=asked.price, radius_km=asked.ground_m / 2000.0)
        for name, row in baselines(source, lonlat, labels, base).items():
            units.append({"variant": name, "seed": seed, **row})
        for name in asked.only:
            row = one_unit(source, lonlat, labels, replace(base, **VARIANTS[name]))
            units.append({"variant": name, "seed": seed, **row})
            console.print(f"{seed} {name}: {json.dumps(row)}", markup=False, soft_wrap=True)
            about = {"machine": platform.machine(), "torch": torch.__version__, "settings": base.to_dict()}
            (asked.out / "map_ablation.json").write_text(json.dumps({**about, "units": units}, indent=1))
    show(units)


def _places(source: Mosaic, asked: argparse.Namespace, seed: int) -> _Floats:
    """Places evenly by area; where there are prices half of them at these."""
    if asked.price is None:
        return places_in(source, source.bounds, asked.places, ground_m=asked.ground_m, seed=seed)
    priced, _, _ = read_points(asked.price, None, PRICE_COLUMNS)
    rng = np.random.default_rng(seed)
    near = priced[rng.permutation(len(priced))[: asked.places // 2]]
    even = places_in(source, source.bounds, asked.places // 2, ground_m=asked.ground_m, seed=seed)
    return np.concatenate([near, even])


def show(units: list[dict[str, Any]]) -> None:
    """The table: means over seeds, with the standard error where there are several."""
    table = Table("variant", *COLUMNS, box=None, pad_edge=False)
    for name in dict.fromkeys(unit["variant"] for unit in units):
        cells = []
        for column in COLUMNS:
            values = [unit[column] for unit in units if unit["variant"] == name and column in unit]
            error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
            spread = f" ±{error:.3f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.3f}{spread}" if values else "")
        table.add_row(name, *cells)
    console.print(table)
    show_differences(units)


def show_differences(units: list[dict[str, Any]]) -> None:
    """What variants change: the default's row subtracted seed by seed, mean and standard error."""
    default = {unit["seed"]: unit for unit in units if unit["variant"] == "default"}
    columns = [name for name in COLUMNS if all(name in unit for unit in default.values())]
    table = Table("less the default", *columns, box=None, pad_edge=False)
    for name in dict.fromkeys(unit["variant"] for unit in units):
        cells = []
        for column in columns:
            found = [
                unit[column] - default[unit["seed"]][column]
                for unit in units
                if unit["variant"] == name and column in unit and unit["seed"] in default
            ]
            error = np.std(found, ddof=1) / len(found) ** 0.5 if len(found) > 1 else 0.0
            cells.append(f"{np.mean(found):+.3f} ±{error:.3f}" if found else "")
        table.add_row(name, *cells)
    console.print(table)


if __name__ == "__main__":
    main()
