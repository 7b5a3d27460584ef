"""Does contrastive pre-training help? Its parts one by one, and few labels with and without it.

    python tests/benchmarks/csp.py --data DIR --weights FILE.safetensors --cache DIR --out bench

For each collection and seed the regions are dealt out anew: 60 % training, 20 % validation, 20 %
test. Pre-training sees the training pairs and no label; the validation chooses its epoch, the
strength of the image probe and the weight of the place; the test part is scored once. Intervals are
95 % of Student's t over seeds, of which each has its own regions, labels and starting weights;
differences are paired by seed.

Results of single runs are kept under OUT/units, so that a run that was stopped goes on.
"""

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import csp_tasks
import numpy as np
import torch
from csp_figures import write_results
from csp_tasks import Collection
from numpy.typing import NDArray
from rich.console import Console
from scipy.spatial import cKDTree

from placeprint.encoders import csp_retrieval as retrieval
from placeprint.encoders.csp_sampling import hold_out, regions
from placeprint.encoders.csp_settings import PRESETS, CspRun
from placeprint.encoders.csp_trainer import Split, Trainer
from placeprint.encoders.few_labels import SHARES, Subsets, class_shares, fuse
from placeprint.encoders.few_labels_training import ImageProbe, PlacePrior, PriorRun
from placeprint.encoders.location import LocationEncoder
from placeprint.encoders.sphere import great_circle_km, unit_vectors


def _theirs(preset: str) -> CspRun:
    """Their objective, temperatures and encoder with our optimization.

    Their learning rates are made for hundreds of thousands of pairs, and would hardly move here.
    """
    ours = PRESETS["ours"]
    return replace(
        PRESETS[preset],
        epochs=ours.epochs,
        batch_size=ours.batch_size,
        learning_rate=ours.learning_rate,
        schedule=ours.schedule,
        takes_best=True,
    )


ABLATION = {
    **{f"ours {parts}": replace(PRESETS["ours"], parts=parts) for parts in ("B", "BL", "BD", "BLD")},
    "ours, NCE": replace(PRESETS["ours"], objective="nce"),
    "csp-paper*": _theirs("csp-paper"),
    "csp-scripts*": _theirs("csp-scripts"),
}
STRENGTHS = (1.0, 10.0, 100.0)
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)
PRIOR = PriorRun(epochs=40, batch_size=256)
PAPER_PRIOR = replace(PRIOR, loss="presence", learning_rate=1e-3, encoder_learning_rate=1e-3)
_Floats = NDArray[np.float64]
SAFE = str.maketrans(" ", "-", ",*")
console = Console()


def split_of(collection: Collection, seed: int) -> Split:
    """Whole regions: 0 training, 1 validation, 2 test."""
    pairs = collection.pairs
    region = regions(pairs.lonlat, pairs.groups, collection.block_deg)
    return Split(pairs, hold_out(region, (0.2, 0.2), seed=seed), region, collection.block_deg)


def pretrained(split: Split, run: CspRun) -> Trainer:
    """A finished run, in memory."""
    trainer = Trainer(split, run)
    with torch.random.fork_rng(devices=[]):
        while trainer.progress.epoch < run.epochs:
            trainer.epoch()
    trainer.finish()
    return trainer


def untrained(trainer: Trainer) -> LocationEncoder:
    """The same encoder with other first weights and no pre-training."""
    return LocationEncoder(**trainer.model.location.config, seed=trainer.run.seed)


def retrieval_unit(trainer: Trainer) -> dict[str, float]:
    """Median error and rank of the test photos among places, beside what needs no training."""
    split, test = trainer.split, trainer.split.rows(2)
    lonlat, train = split.pairs.lonlat[test], trainer.train
    nearest = retrieval.best_candidates(split.pairs.images[test], train.images)
    return {
        "median_km": float(np.median(trainer.errors_km(test))),
        "rank_share": float(np.mean(trainer.rank_shares(test))),
        "best_epoch": trainer.progress.best_epoch,
        "floor_km": float(np.median(retrieval.nearest_known_km(lonlat, train.lonlat))),
        "nearest_image_km": float(np.median(great_circle_km(lonlat, train.lonlat[nearest]))),
        "constant_km": float(np.median(great_circle_km(lonlat, retrieval.best_constant(train.lonlat)))),
        "random_km": float(np.median(retrieval.random_errors_km(lonlat, train.lonlat))),
    }


def prior_accuracy(location: LocationEncoder, collection: Collection, split: Split, seed: int) -> float:
    """Accuracy of places alone on the main task with a fifth of the labels."""
    labels, train, test = collection.labels[collection.main], split.rows(0), split.rows(2)
    rows = train[Subsets.choose(labels[train], shares=(0.2,), seeds=(seed,)).rows[0.2][seed]]
    n_classes = int(labels.max()) + 1
    lonlat = collection.pairs.lonlat
    prior = PlacePrior.fit(location, lonlat[rows], labels[rows], n_classes, replace(PRIOR, seed=seed))
    return accuracy(prior.probabilities(lonlat[test]), labels[test])


def ablation_unit(collection: Collection, name: str, seed: int) -> dict[str, Any]:
    """One run of the ablation."""
    split = split_of(collection, seed)
    trainer = pretrained(split, replace(ABLATION[name], seed=seed))
    unit: dict[str, Any] = retrieval_unit(trainer)
    unit["accuracy"] = prior_accuracy(trainer.model.location, collection, split, seed)
    if name == "ours B":  # the first row; the encoder is the same for all of ours
        unit["accuracy_untrained"] = prior_accuracy(untrained(trainer), collection, split, seed)
    return unit


def labels_unit(collection: Collection, seed: int, folder: Path) -> dict[str, Any]:
    """All tasks, shares and methods for one split: accuracy on the test part."""
    split = split_of(collection, seed)
    trainer = pretrained(split, replace(PRESETS["ours"], seed=seed))
    starts = {"supervised": untrained(trainer), "CSP": trainer.model.location}
    unit: dict[str, Any] = {}
    for task, labels in collection.labels.items():
        train = split.rows(0)
        subsets = Subsets.choose(labels[train], seeds=(seed,))
        subsets.write(folder / f"{collection.name}-{task.replace(' ', '-')}-{seed}.json")
        for share in SHARES:
            rows = train[subsets.rows[share][seed]]
            unit[f"{task}|{share:g}"] = few_labels(collection, split, labels, rows, starts, seed)
    return unit


def few_labels(
    collection: Collection,
    split: Split,
    labels: NDArray[np.int64],
    rows: NDArray[np.intp],
    starts: dict[str, LocationEncoder],
    seed: int,
) -> dict[str, float]:
    """Every method on one subset of labels."""
    images, lonlat = collection.pairs.images, collection.pairs.lonlat
    validation, test = split.rows(1), split.rows(2)
    n_classes = int(labels.max()) + 1
    probes = [ImageProbe(images[rows], labels[rows], n_classes, strength=strength) for strength in STRENGTHS]
    probe = min(probes, key=lambda one: log_loss(one.probabilities(images[validation]), labels[validation]))
    seen, asked = probe.probabilities(images[validation]), probe.probabilities(images[test])
    shares = class_shares(labels[rows], n_classes)
    told: dict[str, float] = {
        "labels": len(rows),
        "majority": float((labels[test] == shares.argmax()).mean()),
        "image": accuracy(asked, labels[test]),
    }

    def add(name: str, of: Callable[[_Floats], _Floats]) -> None:
        """A prior by itself, and with the image at the weight that the validation likes best."""
        on_validation, on_test = of(lonlat[validation]), of(lonlat[test])
        told[f"place, {name}"] = accuracy(on_test, labels[test])
        weight = max(
            WEIGHTS, key=lambda one: accuracy(fused(seen, on_validation, shares, one), labels[validation])
        )
        told[f"image × {name}"] = accuracy(fused(asked, on_test, shares, weight), labels[test])
        told[f"weight, {name}"] = weight

    add("5 nearest labels", lambda places: nearest_labels(lonlat[rows], labels[rows], places, n_classes))
    for name, start in starts.items():
        prior = PlacePrior.fit(start, lonlat[rows], labels[rows], n_classes, replace(PRIOR, seed=seed))
        add(name, prior.probabilities)
        paper = PlacePrior.fit(start, lonlat[rows], labels[rows], n_classes, replace(PAPER_PRIOR, seed=seed))
        raw = paper.probabilities(lonlat[test], is_raw=True)
        product = fuse(asked, raw, np.ones(len(test), dtype=bool)).probabilities
        told[f"image × {name}, paper's head and product"] = accuracy(product, labels[test])
    return told


def fused(image: _Floats, place: _Floats, shares: _Floats, weight: float) -> _Floats:
    """Bayes' rule with the place raised to a power."""
    known = np.ones(len(image), dtype=bool)
    return fuse(image, place, known, class_share=shares, place_weight=weight).probabilities


def nearest_labels(
    known: _Floats, labels: NDArray[np.int64], places: _Floats, n_classes: int, k: int = 5
) -> _Floats:
    """Class shares among the k nearest labelled places, and half a vote for what is frequent."""
    k = min(k, len(known))
    near = cKDTree(unit_vectors(known)).query(unit_vectors(places), k=k)[1].reshape(len(places), k)
    votes = (labels[near][:, :, None] == np.arange(n_classes)).sum(axis=1)
    total: _Floats = votes + 0.5 * class_shares(labels, n_classes)
    return total / total.sum(axis=1, keepdims=True)


def accuracy(probabilities: _Floats, labels: NDArray[np.int64]) -> float:
    """Share of right answers."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def log_loss(probabilities: _Floats, labels: NDArray[np.int64]) -> float:
    """Mean -log of the true class; a class that no label showed costs as 1e-3."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-3)).mean())


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A unit from its file, or made and written."""
    if not path.exists():
        unit = make()
        path.write_text(json.dumps(unit))
        console.print(f"{path.stem}: done")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def main() -> None:
    """Run what is missing, then write tables and pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("bench/cache"))
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--collections", default=",".join(csp_tasks.COLLECTIONS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    units, subsets = asked.out / "units", asked.out / "subsets"
    for folder in (units, subsets, asked.cache):
        folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "ablation": {},
        "labels": {},
        "machine": platform.platform(),
        "seeds": asked.seeds,
    }
    for name in asked.collections.split(","):
        collection = csp_tasks.load(name, asked.data, asked.weights, asked.cache)
        results["ablation"][name], results["labels"][name] = {}, {}
        for seed in range(asked.seeds):
            path = units / f"labels-{name}-{seed}.json"
            unit = kept(path, lambda c=collection, s=seed: labels_unit(c, s, subsets))  # type: ignore[misc]
            for key, figures in unit.items():
                results["labels"][name].setdefault(key, []).append(figures)
            for row in ABLATION:
                path = units / f"ablation-{name}-{row.translate(SAFE)}-{seed}.json"
                one = kept(path, lambda c=collection, r=row, s=seed: ablation_unit(c, r, s))  # type: ignore[misc]
                results["ablation"][name].setdefault(row, []).append(one)
    write_results(results, asked.out, console)


if __name__ == "__main__":
    main()
