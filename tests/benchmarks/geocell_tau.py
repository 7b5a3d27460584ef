"""How wide to smooth, which head, which prototypes, and is any of it better than the neighbors?

    python tests/benchmarks/geocell_tau.py --features features.npz --out bench

`features.npz` holds ``embedding`` (n, D), ``lonlat`` (n, 2), and ``group`` (n,). Five folds, by group and by
blocks of 10 degrees joined by groups: one is asked about, the next chooses, three train. Cells are built
from the three and the one, with at least 8 and at most 16 photos each, unless ``--cells`` names a file.

``bits`` is log2 of the density at the truth over that of the prior of `indexer.prior`, whose places are
the training photos'; the same reference for every row. Intervals are 95 % of Student's t over folds.

Results of single fits are kept under OUT/units, so that a run that was stopped goes on.
"""

import argparse
import json
import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import stats

from placeprint.encoders.cells.place_units import place_hierarchy
from placeprint.encoders.csp_sampling import Pairs, hold_out, regions
from placeprint.encoders.geocell_heads import figures as figures_of
from placeprint.encoders.geocell_heads.settings import HeadRun
from placeprint.encoders.geocell_heads.sweep import TAUS, name_of
from placeprint.encoders.geocell_heads.training import Material, train_head
from placeprint.encoders.geocell_tasks import TASKS
from placeprint.encoders.geocells import Geocells, build_geocells
from placeprint.encoders.prototypes import (
    KINDS,
    fit_temperature,
    log_density,
    mixture_weights,
    prototypes_of,
    single_winner,
)
from placeprint.encoders.sphere import lonlat_of
from placeprint.encoders.train_geocells import target_figures
from placeprint.indexer.calibrate import fit_surface_model
from placeprint.indexer.geolocate import geoscore_optimum
from placeprint.indexer.prior import Prior

FOLDS = 5
DECAY = {"linear": (0.1,), "mlp": (0.1,)}
"""One each, so that rows differ by what they are named for."""
BASE = HeadRun(weight_decays=DECAY["linear"], rounds=20, patience=5)
MLP = replace(BASE, head="mlp", weight_decays=DECAY["mlp"], rounds=60)
COLUMNS = (
    "within_1_km", "within_25_km", "within_200_km", "within_750_km", "within_2500_km", "median_km", "mean_km",
    "geoscore", "expected_geoscore", "bits", "nll", "ece", "entropy", "top_cell_mass",
)  # fmt: skip
_Floats = NDArray[np.float64]
console = Console(width=200)


@dataclass(frozen=True)
class Fold:
    """Cells, and photos dealt out."""

    material: Material
    prior: Prior
    reference: _Floats  # log-density of the prior at the test photos

    def dealt(self, run: HeadRun) -> Material:
        """The same deal with the targets of another run."""
        other = Material.of(self.material.pairs, self.material.cells, run)
        return replace(other, part=self.material.part, labels=self.material.labels | other.labels)


def runs(*, with_tasks: bool, is_full: bool) -> dict[str, HeadRun]:
    """Heads to compare, by name."""
    named = {f"τ {name_of(tau)}": replace(BASE, tau=tau) for tau in TAUS}
    if not is_full:
        named = {name: named[name] for name in ("τ hard", "τ 75 km", "τ auto")}
    named["τ per-cell"] = replace(BASE, tau="per-cell")
    named["τ 75 km, PIGEON's weights"] = replace(BASE, tau=75.0, weights="pigeon")
    named["with countries"] = replace(BASE, country_weight=0.5)
    named["with states and countries"] = replace(BASE, country_weight=0.5, state_weight=0.5)
    named["mlp"] = MLP
    for task in ("climate", "elevation", "population", "driving-side") if with_tasks else ():
        assert task in TASKS
        named[f"mlp, {task}"] = replace(MLP, tasks=(task,))
    return named


def make_fold(
    pairs: Pairs, region: NDArray[np.intp], number: int, cells: Geocells | None, hierarchy: Any
) -> Fold:
    """Deal out, build the cells of what is not asked about."""
    shares = [1.0 / FOLDS] * (FOLDS - 1)
    fold = hold_out(region, shares, seed=0)
    part = np.where(fold == number, 2, np.where(fold == (number + 1) % FOLDS, 1, 0))
    known = part < 2
    if cells is None:
        ids = [f"{row:06d}" for row in np.flatnonzero(known)]
        cells = build_geocells(
            pairs.lonlat[known], ids=ids, min_points=8, max_points=16, hierarchy=hierarchy, with_areas=False
        )
    material = replace(Material.of(pairs, cells, BASE), part=part)
    training = material.rows(0)
    _, label = np.unique(pairs.groups[training], return_inverse=True)
    prior = Prior.from_lonlat(pairs.lonlat[training], groups=label.reshape(-1))
    return Fold(material, prior, prior.log_density(pairs.lonlat[material.rows(2)]))


def head_figures(fold: Fold, run: HeadRun, *, with_prototypes: bool) -> dict[str, dict[str, float]]:
    """Rows of one head on one fold."""
    material = fold.dealt(run)
    head = train_head(material, run)
    pairs, cells = material.pairs, material.cells
    training, validation, test = (material.rows(part) for part in range(3))
    asked, truth = pairs.images[test], pairs.lonlat[test]
    log_p = head.log_probabilities(asked)
    spreads = prototypes_of(pairs.images[training], pairs.lonlat[training], cells)
    rows = {"": _answers(fold, log_p, truth, log_density(spreads, None, log_p, truth))}
    rows[""] |= target_figures(material) | {"temperature": float(head.temperature)}
    within = head.points(asked, log_p.argmax(axis=1)[:, None])[:, 0]
    rows[", place within the cell"] = figures_of.place_figures(within, truth)
    adjusted = head.log_probabilities(asked, prior_weight=1.0)
    rows[", prior taken away"] = _answers(fold, adjusted, truth, log_density(spreads, None, adjusted, truth))
    if not with_prototypes:
        return rows
    known, log_known = pairs.images[validation], head.log_probabilities(pairs.images[validation])
    for kind in KINDS:
        prototypes = prototypes_of(pairs.images[training], pairs.lonlat[training], cells, kind=kind)
        for normalize in ("top-k", "cell"):
            for k in (5, 40):
                heat = fit_temperature(
                    prototypes, log_known, known, pairs.lonlat[validation], k=k, normalize=normalize
                )
                mixture = mixture_weights(
                    prototypes, log_p, asked, k=k, temperature=heat, normalize=normalize
                )
                gain = log_density(prototypes, mixture, log_p, truth) - fold.reference
                rows[f", {kind}, {normalize}, k {k}"] = figures_of.place_figures(
                    mixture.best(prototypes), truth
                ) | {"bits": float(gain.mean() / np.log(2.0)), "temperature": heat}
        won = single_winner(prototypes, log_p, asked, temperature=0.6)
        rows[f", {kind}, single winner"] = figures_of.place_figures(prototypes.lonlat[won], truth)
    return rows


def baselines(fold: Fold) -> dict[str, dict[str, float]]:
    """Prior, nearest photo, and kernels around the neighbors, fitted on the validation photos."""
    material = fold.material
    pairs = material.pairs
    training, validation, test = (material.rows(part) for part in range(3))
    truth, centers = pairs.lonlat[test], material.cells.center_lonlat
    count = np.bincount(material.cell[training], minlength=len(centers)) + 1.0
    log_prior = np.broadcast_to(np.log(count / count.sum()), (len(test), len(centers)))
    spreads = prototypes_of(pairs.images[training], pairs.lonlat[training], material.cells)
    prior = _answers(fold, log_prior, truth, log_density(spreads, None, log_prior, truth))
    prior |= figures_of.place_figures(figures_of.best_expected(log_prior, centers), truth)
    nearest = figures_of.nearest_image(pairs.images[test], pairs.images[training])
    similarity, place = _neighbors(pairs, validation, training)
    labels = np.unique(pairs.groups, return_inverse=True)[1].reshape(-1)
    model = fit_surface_model(
        similarity, place, pairs.lonlat[validation], pairs.lonlat[training],
        groups=labels[validation].tolist(), gallery_groups=labels[training].tolist(), levels=(),
    )  # fmt: skip
    similarity, place = _neighbors(pairs, test, training)
    answers, gains = [], []
    for row in range(len(test)):
        surface = model.surface(similarity[row], place[row], fold.prior).smoothed()
        answers.append(geoscore_optimum(surface.sample_vectors(256)))
        gains.append(surface.log_density(truth[row][None])[0] - fold.reference[row])
    best = lonlat_of(np.array(answers))
    return {
        "prior": prior,
        "nearest photo": figures_of.place_figures(pairs.lonlat[training][nearest], truth),
        "kernels around neighbors": figures_of.place_figures(best, truth)
        | {"bits": float(np.mean(gains) / np.log(2.0))},
        "oracle: right cell": figures_of.place_figures(centers[material.cell[test]], truth),
    }


def main() -> None:
    """Run what is asked for, write JSON and tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--cells", type=Path, help="file of cells, instead of building them for each fold")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--splits", default="group,block")
    parser.add_argument("--folds", type=int, default=FOLDS, help="the first so many")
    parser.add_argument("--only", default="", help="names of heads, by semicolons; all by default")
    arguments = parser.parse_args()
    file = np.load(arguments.features)
    pairs = Pairs(file["embedding"], file["lonlat"], file["group"].astype(str))
    cells = Geocells.load(arguments.cells) if arguments.cells else None
    units = arguments.out / "units"
    units.mkdir(parents=True, exist_ok=True)
    hierarchy = None if cells else place_hierarchy()
    results: dict[str, Any] = {"machine": platform.platform(), "base": asdict(BASE), "splits": {}}
    for split in arguments.splits.split(","):
        is_group = split == "group"
        region = (
            np.unique(pairs.groups, return_inverse=True)[1].reshape(-1)
            if is_group
            else regions(pairs.lonlat, pairs.groups, 10.0)
        )
        found: dict[str, list[dict[str, float]]] = {}
        for number in range(arguments.folds):
            fold = None
            named: dict[str, HeadRun | None] = {"baselines": None}
            named |= runs(with_tasks=is_group, is_full=is_group)
            wanted = set(arguments.only.split(";")) if arguments.only else set(named)
            named = {name: run for name, run in named.items() if name in wanted | {"baselines"}}
            for name, run in named.items():
                path = units / f"{split}-{number}-{name.replace(' ', '-')}.json"
                if not path.exists():
                    fold = fold or make_fold(pairs, region, number, cells, hierarchy)
                    if run is None:
                        rows = baselines(fold)
                    else:
                        with_prototypes = name == "τ auto"
                        rows = head_figures(fold, run, with_prototypes=with_prototypes)
                        rows = {f"{name}{suffix}": row for suffix, row in rows.items()}
                    path.write_text(json.dumps(rows))
                    console.print(f"{path.name} done")
                for row_name, row in json.loads(path.read_text()).items():
                    found.setdefault(row_name, []).append(row)
        results["splits"][split] = {name: _summary(rows) for name, rows in found.items()}
        _show(split, results["splits"][split])
    (arguments.out / "geocell_tau.json").write_text(json.dumps(results, indent=1, default=str))


def _answers(fold: Fold, log_p: _Floats, truth: _Floats, log_density_at: _Floats) -> dict[str, float]:
    centers = fold.material.cells.center_lonlat
    cell = fold.material.cell[fold.material.rows(2)]
    expected = figures_of.place_figures(figures_of.best_expected(log_p, centers), truth)
    return {
        **figures_of.place_figures(figures_of.top_cells(log_p, centers), truth),
        "expected_geoscore": expected["geoscore"],
        "expected_median_km": expected["median_km"],
        "bits": float((log_density_at - fold.reference).mean() / np.log(2.0)),
        **figures_of.cell_figures(log_p, cell),
    }


def _neighbors(pairs: Pairs, asked: NDArray[np.intp], known: NDArray[np.intp]) -> tuple[_Floats, _Floats]:
    similarity = (pairs.images[asked] @ pairs.images[known].T).astype(np.float64)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :50]
    return np.take_along_axis(similarity, order, axis=1), pairs.lonlat[known][order]


def _summary(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    summary = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        half = 0.0
        if len(values) > 1:
            half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
        summary[name] = {"mean": float(values.mean()), "half": half}
    return summary


def _show(split: str, rows: dict[str, dict[str, dict[str, float]]]) -> None:
    table = Table(title=f"held out by {split}", box=None)
    table.add_column("")
    for name in COLUMNS:
        table.add_column(name.replace("within_", "≤ ").replace("_", " "), justify="right")
    for name, row in rows.items():
        cells = []
        for column in COLUMNS:
            figure = row.get(column)
            form = "{:.1f} %" if column.startswith("within") else "{:.2f}" if column in _SMALL else "{:.0f}"
            factor = 100.0 if column.startswith("within") else 1.0
            text = "" if figure is None else form.format(factor * figure["mean"])
            if figure is not None and column in ("geoscore", "bits"):
                text += " ± " + form.format(figure["half"])
            cells.append(text)
        table.add_row(name, *cells)
    console.print(table)


_SMALL = ("bits", "nll", "ece", "entropy", "top_cell_mass")

if __name__ == "__main__":
    main()
