"""What embeddings of places add to a model of prices and of climates, beside plainer ways.

    python tests/benchmarks/location_features.py --data DIR --out bench

Tasks: prices of California's census blocks (1990; attributes of the houses and the places), prices
of residential land in Japan (2023; places alone), Köppen-Geiger classes of land cells (places
alone; what a map of species would be like). Rows of models: what is known without the place, with
raw lon and lat, with `LocationFeatures`, with `NeighborFeatures`, with both. Each once linear
(ridge; its penalty is chosen on inner folds of the same kind) and once boosted, on 32 principal
components of the embedding.

Splits: five random folds, rows at one coordinate always together; and five folds of whole blocks of
1° (California, Japan) or 10° (Köppen), for places with no label around. For these `NeighborFeatures`
hides whole blocks in training too. Nothing was tuned on the scores, with one exception: penalties
were at first chosen row by row, which block folds showed to be wrong (`GroupedRidge`).

Scores are of the predictions of all folds together: R², or the share of right classes. Intervals of
95 % are of a bootstrap that draws what was held out together: coordinates, or blocks. `gain` is the
difference to the row with raw lon and lat, in the same draws. The title says when an encoder was
made from the variable that is asked for: its row is then no news.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from placeprint.encoders.block_kfold import BlockKFold
from placeprint.encoders.location_features import DEFAULT_ENCODER, LocationFeatures, load_embedder
from placeprint.encoders.neighbor_features import NeighborFeatures
from placeprint.encoders.sphere import as_lonlat

PLACE = ["lon", "lat"]
SETS = ("without place", "lon, lat", "embedding", "neighbors", "embedding + neighbors")
BASELINE = "lon, lat"
N_COMPONENTS, N_DRAWS = 32, 1000
ATTRIBUTION = {
    "california": "1990 US census, public",
    "japan": "国土数値情報 地価公示 2023",
    "koppen": "Köppen-Geiger classes, MIT",
}


@dataclass(frozen=True)
class Task:
    """Rows with `lon`, `lat`, attributes and a label."""

    name: str
    rows: pd.DataFrame
    label: NDArray[Any]
    attributes: list[str]
    block_degrees: float
    variable: str  # a name that an encoder's `trained_on` may list
    unit: str  # of the label

    @property
    def is_classes(self) -> bool:
        return self.label.dtype.kind in "OUT"


class Remembered:
    """An encoder that embeds the rows of a task once, and not for every fold again."""

    def __init__(self, name: str, lonlat: NDArray[np.float64]) -> None:
        encoder = load_embedder(name)
        self.name, self.dimension, self.fingerprint = encoder.name, encoder.dimension, encoder.fingerprint
        self._row = {tuple(place): row for row, place in enumerate(as_lonlat(lonlat).tolist())}
        self._embeddings = encoder.encode(lonlat)

    def encode(self, lonlat: Any, *, batch_size: int = 8192) -> NDArray[np.float32]:
        """Look places up: (n, 2) -> (n, D)."""
        return self._embeddings[[self._row[tuple(place)] for place in as_lonlat(lonlat).tolist()]]

    def __deepcopy__(self, memory: Any) -> "Remembered":
        return self  # copies of a model share what it never changes


def california(data: Path) -> Task:
    """Median house value, in units of 100,000 dollars."""
    table = pd.read_csv(data / "prices" / "california_housing.csv", keep_default_na=False, na_values=[""])
    rows = pd.DataFrame(
        {
            "lon": table.longitude,
            "lat": table.latitude,
            "median_income": table.median_income,
            "house_age": table.housing_median_age,
            "rooms": table.total_rooms / table.households,
            "bedrooms": table.total_bedrooms / table.households,
            "household": table.population / table.households,
            "population": table.population,
        }
    )
    label = table.median_house_value.to_numpy(np.float64) / 1e5
    return Task("california", rows, label, list(rows.columns[2:]), 1.0, "house-price", "100,000 $")


def japan(data: Path) -> Task:
    """Logarithm of the price of land, yen per m²."""
    table = pd.read_csv(data / "prices" / "japan_land_price_2023.csv")
    return Task(
        "japan", table[PLACE], np.log(table.yen.to_numpy(np.float64)), [], 1.0, "land-price", "log yen/m²"
    )


def koppen(data: Path, n: int = 12_000, seed: int = 0) -> Task:
    """Class of the climate at a sample of land cells of half a degree, Antarctica left out."""
    table = pd.read_csv(data / "labels" / "koppen_0p5deg.csv.gz", keep_default_na=False)
    table = table[table.lat > -60.0]
    table = table[table.koppen.map(table.koppen.value_counts()) >= 200]
    table = table.sample(n, random_state=seed, weights=np.cos(np.deg2rad(table.lat)))
    return Task(
        "koppen", table[PLACE].reset_index(drop=True), table.koppen.to_numpy(str), [], 10.0, 200.0, ""
    )


TASKS: dict[str, Callable[[Path], Task]] = {"california": california, "japan": japan, "koppen": koppen}


def columns_for(
    features: str, task: Task, encoder: Remembered, cv: BlockKFold | None, *, is_boosted: bool
) -> ColumnTransformer:
    """The columns that a model sees: -> a transformer of `task.rows`."""
    location = LocationFeatures(encoder)
    neighbors = NeighborFeatures(
        task="classification" if task.is_classes else "regression",
        cv=cv,
        is_log=True,
        kernel_km=(10.0, 50.0) if task.block_degrees < 5.0 else (100.0, 500.0),
    )
    if is_boosted:
        n_components = min(N_COMPONENTS, encoder.dimension)
        location = make_pipeline(location, StandardScaler(), PCA(n_components, random_state=0))
    parts: list[tuple[str, Any, list[str]]] = [("attributes", "passthrough", task.attributes)]
    if features == "lon, lat" or (is_boosted and features != "without place"):
        parts.append(("raw", "passthrough", PLACE))
    if "embedding" in features:
        parts.append(("location", location, PLACE))
    if "neighbors" in features:
        parts.append(("neighbors", neighbors, PLACE))
    return ColumnTransformer(parts)


def model_for(columns: ColumnTransformer, *, is_classes: bool, is_boosted: bool) -> Any:
    """A pipeline from rows to predictions."""
    if is_boosted and is_classes:
        return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=60, random_state=0))
    if is_boosted:
        return make_pipeline(columns, HistGradientBoostingRegressor(max_iter=300, random_state=0))
    return make_pipeline(columns, SimpleImputer(strategy="median"), StandardScaler(), GroupedRidge())


class GroupedRidge(BaseEstimator):  # type: ignore[misc]
    """Ridge regression, one-hot for classes, whose penalty is chosen on folds of whole groups.

    A penalty chosen row by row, as `RidgeCV` does, is right for rows with neighbors, and far too
    small for places without.
    """

    def fit(self, X: NDArray[Any], y: NDArray[Any], groups: NDArray[np.intp]) -> "GroupedRidge":
        """Choose among 15 penalties by four folds, then fit all rows."""
        self.classes_ = np.unique(y) if y.dtype.kind in "OUT" else None
        target = y[:, None] if self.classes_ is None else (y[:, None] == self.classes_).astype(np.float64)
        penalties = np.logspace(-1, 6, 15)
        errors = np.zeros(len(penalties))
        for train, test in GroupKFold(4).split(X, groups=groups):
            predict = self._path(X[train], target[train], X[test])
            errors += [((predict(penalty) - target[test]) ** 2).sum() for penalty in penalties]
        self.penalty_ = penalties[errors.argmin()]
        self._known = X, target
        return self

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """Numbers or classes, (n,)."""
        values = self._path(*self._known, X)(self.penalty_)
        return values[:, 0] if self.classes_ is None else self.classes_[values.argmax(axis=1)]

    def _path(
        self, X: NDArray[Any], target: NDArray[Any], asked: NDArray[Any]
    ) -> Callable[[float], NDArray[np.float64]]:
        """Predictions by penalty, from one decomposition."""
        mean, level = X.mean(axis=0), target.mean(axis=0)
        centered = X - mean
        size, directions = np.linalg.eigh(centered.T @ centered)
        products = directions.T @ (centered.T @ (target - level))
        turned = (asked - mean) @ directions
        return lambda penalty: turned @ (products / (size + penalty)[:, None]) + level


def splits_of(task: Task) -> Iterator[tuple[str, NDArray[np.intp], BlockKFold | None]]:
    """Name, the group of each row, and how labels are hidden in training."""
    lonlat = task.rows[PLACE].to_numpy(np.float64)
    _, place = np.unique(lonlat, axis=0, return_inverse=True)
    yield "random", place.reshape(-1), None
    blocks = BlockKFold(task.block_degrees)
    yield f"{task.block_degrees:g}° blocks", blocks.blocks(task.rows), blocks


def out_of_fold(model: Any, task: Task, group: NDArray[np.intp], seed: int) -> NDArray[Any]:
    """Predictions for every row by a model that saw no row of its group, (n,)."""
    predictions = np.empty(len(task.label), dtype=task.label.dtype)
    for train, test in GroupKFold(5, shuffle=True, random_state=seed).split(task.rows, groups=group):
        grouped = {"groupedridge__groups": group[train]} if "groupedridge" in model.named_steps else {}
        fitted = model.fit(task.rows.iloc[train], task.label[train], **grouped)
        predictions[test] = fitted.predict(task.rows.iloc[test])
    return predictions


def score_draws(
    task: Task, predictions: NDArray[Any], group: NDArray[np.intp], seed: int
) -> NDArray[np.float64]:
    """The score of all rows, then those of draws of groups with replacement, (1 + N_DRAWS,)."""
    n_groups = int(group.max()) + 1
    draws = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), N_DRAWS)
    weights = np.concatenate([np.ones((1, n_groups)), draws])  # (1 + N_DRAWS, groups)

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return weights @ np.bincount(group, values, n_groups)

    n = total(np.ones(len(group)))
    if task.is_classes:
        return total((predictions == task.label).astype(np.float64)) / n
    label = task.label - task.label.mean()
    spread = total(label**2) - total(label) ** 2 / n
    return 1.0 - total((predictions - task.label) ** 2) / spread


def told(draws: NDArray[np.float64]) -> dict[str, float | list[float]]:
    """A score and its interval of 95 %."""
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return {"value": float(draws[0]), "interval": [float(low), float(high)]}


def measure(task: Task, encoder: Remembered, seed: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """All rows of the table of one task."""
    found: list[dict[str, Any]] = []
    kinds = (False,) if task.is_classes and len(set(task.label)) > 10 else (False, True)
    for split, group, cv in splits_of(task):
        for is_boosted in kinds:
            draws: dict[str, NDArray[np.float64]] = {}
            for features in SETS[0 if task.attributes else 1 :]:
                started = time.perf_counter()
                columns = columns_for(features, task, encoder, cv, is_boosted=is_boosted)
                model = model_for(columns, is_classes=task.is_classes, is_boosted=is_boosted)
                predictions = out_of_fold(model, task, group, seed)
                draws[features] = score_draws(task, predictions, group, seed)
                row = {
                    "task": task.name, "split": split, "model": "boosted" if is_boosted else "linear",
                    "features": features, "score": told(draws[features]),
                    "seconds": round(time.perf_counter() - started, 1),
                }  # fmt: skip
                found.append(row)
                say(f"{task.name}, {split}, {row['model']}, {features}: {draws[features][0]:.3f}")
            for row in found[-len(draws) :]:
                row["gain"] = told(draws[row["features"]] - draws[BASELINE])
    return found


def table_of(rows: list[dict[str, Any]], title: str) -> Table:
    """The figures as people read them."""
    table = Table("split", "model", "features", "score", "95 %", "gain", "95 %", title=title)
    for row in rows:
        cells = [row["split"], row["model"], row["features"]]
        for figure, sign in ((row["score"], ""), (row["gain"], "+")):
            low, high = figure["interval"]
            cells += [f"{figure['value']:{sign}.3f}", f"{low:{sign}.3f} … {high:{sign}.3f}"]
        table.add_row(*(cells if row["features"] != BASELINE else [*cells[:5], "", ""]))
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="folder with prices/ and labels/")
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--max-rows", type=int, help="a sample of each task, for a quick look")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    chosen = parser.parse_args()
    console = Console()
    loaded = load_embedder(chosen.encoder)
    result: dict[str, Any] = {
        "encoder": {"name": loaded.name, "fingerprint": loaded.fingerprint, "dimension": loaded.dimension},
        "machine": {"python": platform.python_version(), "processor": platform.machine()},
        "sklearn": sklearn.__version__, "seed": chosen.seed, "max_rows": chosen.max_rows, "rows": [],
    }  # fmt: skip
    for name in chosen.tasks.split(","):
        task = TASKS[name](chosen.data)
        if chosen.max_rows is not None and chosen.max_rows < len(task.rows):
            some = np.random.default_rng(chosen.seed).permutation(len(task.rows))[: chosen.max_rows]
            rows = task.rows.iloc[some].reset_index(drop=True)
            task = Task(**{**vars(task), "rows": rows, "label": task.label[some]})
        remembered = Remembered(chosen.encoder, task.rows[PLACE].to_numpy(np.float64))
        measured = measure(task, remembered, chosen.seed, lambda text: console.print(text, style="dim"))
        is_seen = task.variable in getattr(loaded, "trained_on", ())
        result["rows"] += [row | {"is_seen": is_seen} for row in measured]
        score = "accuracy" if task.is_classes else "R²"
        made = f"{len(task.rows):,} rows, {loaded.name} ({loaded.dimension}-d)"
        made += ", which has seen this variable" if is_seen else ""
        title = f"{name}: {score}, {made}; {ATTRIBUTION[name]}"
        console.print(table_of(measured, title))
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "location_features.json").write_text(json.dumps(result, indent=1, ensure_ascii=False))
