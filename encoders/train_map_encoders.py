"""Make the shipped map encoders: python -m placeprint.encoders.train_map_encoders --data DIR --out DIR.

Draws the maps, trains ``placeprint-streets-v1`` and ``placeprint-regions-v1`` by self-distillation, and
teaches coordinates what the second says: ``placeprint-regions-location-v1``. Run again, it goes on where
it was interrupted. Three hours on one core; files are left in ``OUT``.

Harrisburg's extract is left out of the streets, so that the encoder can be asked about a town it has not
seen. No price is learned from. Of places near prices only where they lie is known: there the regional
maps are looked at more closely, with municipalities and counties.
"""

import argparse
import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .areas import Box
from .map_catalog import REGIONS, STREETS, STUDENT
from .map_learning.crop_source import Patchwork, places_in
from .map_learning.distill import DistillRun
from .map_learning.encoder import MapEncoder
from .map_learning.labels import labels_for
from .map_learning.settings import MapRun
from .mosaics.build import build_mosaic
from .mosaics.entropy import class_shares
from .mosaics.layers import read_layer
from .mosaics.mosaic import Mosaic
from .train_map_student import run_student
from .train_maps import Show, run_maps

_Floats = NDArray[np.float64]
EXTRACTS = {"liechtenstein": 5000, "monaco": 500, "helsinki": 250, "baltimore": 1800, "paris_bss": 250}
"""Extracts of OpenStreetMap, and how many places are drawn in each."""

STREET_ZOOMS = {"liechtenstein": (13, 14, 15, 16), "monaco": (14, 15, 16, 17)}
JAPAN, CALIFORNIA = (122.0, 24.0, 149.0, 46.0), (-125.0, 32.0, -113.5, 42.5)
WORLD = (-180.0, -60.0, 180.0, 75.0)
GEONAMES = "GeoNames, CC BY 4.0"
COUNTIES = "county boundaries: OpenStreetMap contributors, ODbL; Wikidata, CC0; US Census"
NATURAL_EARTH = (
    "ne_10m_land", "ne_10m_lakes", "ne_10m_rivers_lake_centerlines", "ne_50m_urban_areas",
    "ne_50m_admin_0_boundary_lines_land",
)  # fmt: skip
STREETS_RUN = MapRun(ground_m=500.0, epochs=30)
# Five rounds: prices of Japan are read off best after few, and worse than off an untrained one after 14.
REGIONS_RUN = MapRun(
    ground_m=40_000.0, epochs=5, koleo_weight=0.1, global_zoom=(0.7, 1.4), channel_dropout=0.1
)
STUDENT_RUN, STUDENT_TIMES = DistillRun(), 3
COMMAND = "python -m placeprint.encoders.train_map_encoders --data DIR --out DIR"


@dataclass(frozen=True)
class RegionalMap:
    """One regional map: a box, its zooms, and what is drawn besides Natural Earth and places."""

    name: str
    box: tuple[float, float, float, float]
    zooms: tuple[int, ...]
    boundaries: tuple[str, str | None] | None = None  # file, and the class to draw it as
    credit: tuple[str, ...] = (GEONAMES,)


REGIONAL = (
    RegionalMap("japan", JAPAN, (8, 9, 10), ("N03-21_municipalities_s0010.geojson.gz", None)),
    RegionalMap(
        "california", CALIFORNIA, (8, 9, 10), ("fips_medium.geojson.gz", "boundary"), (GEONAMES, COUNTIES)
    ),
    RegionalMap("world", WORLD, (6, 8)),
)


def street_maps(data: Path, out: Path) -> list[Mosaic]:
    """Mosaics of the extracts, drawn where they are not there yet."""
    found = []
    for name in EXTRACTS:
        path = out / f"{name}.tif"
        if not path.exists():
            layer = read_layer(data / "osm" / f"{name}.osm.pbf")
            build_mosaic([layer], path, zooms=STREET_ZOOMS.get(name, (14, 15, 16)))
        found.append(Mosaic.open(path))
    return found


def street_places(maps: Sequence[Mosaic]) -> _Floats:
    """Places evenly by area, whose crops the maps cover: (N, 2)."""
    drawn = [
        places_in(one, one.bounds, n, ground_m=STREETS_RUN.ground_m, seed=7, least_known=0.9)
        for one, n in zip(maps, EXTRACTS.values(), strict=True)
    ]
    return np.asarray(np.round(np.concatenate(drawn), 6), np.float64)


def regional_maps(data: Path, out: Path) -> list[Mosaic]:
    """Mosaics of Japan, California and the world, drawn where they are not there yet."""
    found = []
    for one in REGIONAL:
        path = out / f"{one.name}.tif"
        if not path.exists():
            box = Box(*one.box)
            files = [data / "natural_earth" / f"{name}.geojson.gz" for name in NATURAL_EARTH]
            layers = [read_layer(file, box=box) for file in [*files, data / "places" / "cities.csv.gz"]]
            if one.boundaries is not None:
                name, drawn_as = one.boundaries
                layers.append(read_layer(data / "boundaries" / name, drawn_as, box=box))
            build_mosaic(layers, path, zooms=one.zooms, box=box, credit=one.credit)
        found.append(Mosaic.open(path))
    return found


def regional_places(data: Path, world: Mosaic, *, times: int = 1) -> _Floats:
    """Places around towns and prices of Japan and California, around towns, and on land: (N, 2).

    Args:
        data: folder of the data.
        world: the map of the world.
        times: how many times as many of the world as the encoder learns from; a student, which sees
            no map between them, needs more.
    """
    cities = _columns(data / "places" / "cities.csv.gz", "longitude", "latitude", "population")
    japan = _columns(data / "prices" / "japan_land_price_2023.csv", "lon", "lat")
    california = _columns(data / "prices" / "california_housing.csv", "longitude", "latitude")
    rng = np.random.default_rng(0)
    near = [
        _some(lonlat, n, 0.08, rng)
        for lonlat, n in (
            (japan, 2500),
            (california, 2500),
            (_within(cities[:, :2], (122.5, 24.5, 148.5, 45.5)), 1500),
            (_within(cities[:, :2], (-124.5, 32.5, -114.0, 42.0)), 800),
        )
    ]
    rng = np.random.default_rng(3)
    detailed = np.round(np.concatenate(near), 5)
    detailed = detailed[rng.permutation(len(detailed))[:4500]]
    towns = cities[(cities[:, 1] > -58.0) & (cities[:, 1] < 73.0)][:, :2]
    # Seldom towns weigh more: cells of 2 degrees with a thousand of them would fill half of the places.
    _, cell, count = np.unique(
        np.floor(towns / 2.0).astype(int), axis=0, return_inverse=True, return_counts=True
    )
    weight = 1.0 / count[cell.ravel()] ** 0.7
    chosen = towns[rng.choice(len(towns), 6000 * times, replace=False, p=weight / weight.sum())]
    chosen = chosen + rng.normal(0.0, 0.1, chosen.shape)
    width = REGIONS_RUN.ground_m
    land = places_in(world, Box(-180.0, -58.0, 180.0, 73.0), 12_000 * times, ground_m=width, seed=3)
    is_plain = class_shares(world.crops(land, ground_m=width, px=32)).max(axis=1) > 0.995
    places = np.concatenate(
        [detailed, chosen, land[~is_plain][: 3500 * times], land[is_plain][: 400 * times]]
    )
    places[:, 0] = (places[:, 0] + 180.0) % 360.0 - 180.0
    return np.asarray(np.round(places, 5), np.float64)


def _columns(path: Path, *names: str) -> _Floats:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return np.array([[float(row[name] or 0.0) for name in names] for row in csv.DictReader(file)])


def _within(lonlat: _Floats, box: tuple[float, float, float, float]) -> _Floats:
    west, south, east, north = box
    inside = (lonlat > (west, south)) & (lonlat < (east, north))
    return lonlat[inside.all(axis=1)]


def _some(lonlat: _Floats, n: int, spread_deg: float, rng: np.random.Generator) -> _Floats:
    """Up to n of them, each moved a little: the surroundings are learned, and not the place of a label."""
    chosen = lonlat[rng.permutation(len(lonlat))[:n]]
    return chosen + rng.normal(0.0, spread_deg, chosen.shape)


def ship(run: Path, name: str, facts: dict[str, Any], out: Path) -> MapEncoder:
    """Name a trained encoder, add to its card whom to credit, and write it as it ships."""
    encoder = MapEncoder.load(run / "map-encoder.safetensors")
    card = {**encoder.card, **facts, "command": COMMAND}
    encoder = MapEncoder(encoder.config, name=name, card=card, network=encoder.network)
    encoder.save(out / f"{name}.safetensors")
    return encoder


def facts_of(maps: Sequence[Mosaic]) -> dict[str, Any]:
    """What maps are drawn from and whom to credit, for a card."""
    return {
        "sources": sorted({source for one in maps for source in one.about.sources}),
        "attribution": "; ".join(dict.fromkeys(credit for one in maps for credit in one.about.credit)),
        "licence": "Apache-2.0; learned from the maps of the sources, whom to credit with every use",
    }


def patches(maps: Sequence[Mosaic]) -> Patchwork:
    """Several maps as one."""
    return Patchwork([(one.bounds, one) for one in maps])


def make_streets(data: Path, out: Path, show: Show) -> None:
    """``placeprint-streets-v1``, in folders of its own below ``out``."""
    maps = street_maps(data, out)
    facts = facts_of(maps)
    run_maps(
        patches(maps), street_places(maps), STREETS_RUN, out / "streets",
        facts=facts, is_resumed=True, show=show,
    )  # fmt: skip
    ship(out / "streets", STREETS, facts, out)


def make_regions(data: Path, out: Path, show: Show) -> None:
    """``placeprint-regions-v1``, and the student that learns from it."""
    maps = regional_maps(data, out)
    source, facts, places = patches(maps), facts_of(maps), regional_places(data, maps[-1])
    labels = labels_for(
        places, population=data / "places" / "cities.csv.gz", population_column="population",
        radius_km=REGIONS_RUN.ground_m / 2000.0,
    )  # fmt: skip
    run_maps(
        source, places, REGIONS_RUN, out / "regions", labels=labels, facts=facts, is_resumed=True, show=show
    )
    teacher = ship(out / "regions", REGIONS, facts, out)
    run_student(
        teacher, source, regional_places(data, maps[-1], times=STUDENT_TIMES), STUDENT_RUN,
        out / "student", name=STUDENT, facts=facts, is_resumed=True, show=show,
    )  # fmt: skip
    (out / f"{STUDENT}.safetensors").write_bytes((out / "student" / "map-student.safetensors").read_bytes())


MAKERS = {"streets": make_streets, "regions": make_regions}


def main() -> None:
    """Make them from a folder of data."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="Folder with osm, natural_earth, places, …")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=MAKERS, help="One of them; two commands can run side by side.")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in [asked.only] if asked.only else MAKERS:

        def show(record: dict[str, Any], n: int, name: str = name) -> None:
            print(f"{name}: epoch {record['epoch']} of {n}, loss {record['loss']:.3f}", flush=True)

        MAKERS[name](asked.data, asked.out, show)


if __name__ == "__main__":
    main()
