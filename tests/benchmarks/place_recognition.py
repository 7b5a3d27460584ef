"""Are places recognized? A corridor walked twice, towns from the air in three years, and after a storm.

    python tests/benchmarks/place_recognition.py --data DATA --weights FILE --out bench [--part corridor]

All parts read layers of one frozen image network, and compare ways to make one embedding of its local
features; ``own`` is the network's own embedding. NetVLAD has 64 centers.

- corridor: 111 queries of the second walk, 111 references of the first (Milford 2013, by VPR-Bench), a
  table of correct ones, published figures beside. Nothing is fitted to queries: vocabularies are of the
  references. Layers and input sizes are all printed; which one to quote is a choice made on these figures.
- naip: one spot in 2016, 2018 and 2020 in four cities. Vocabulary, whitening and training are of two
  cities, queries of one year and the gallery of another of the two others, all six ways to halve the four,
  all six pairs of years; hit within 25 m. ``part`` asks with a random part of the photo, 40 to 100 % of its
  area and in another light; the gallery is whole.
- texas: before a hurricane against after it, the same way, half of the regions to learn from. Its data are
  non-commercial: the figures may be told, nothing learned from it is kept.

Intervals are 95 % bootstrap intervals over places (corridor: queries). Chance is a random answer.
"""

import argparse
import csv
import itertools
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.csp_sampling import hold_out, regions
from placeprint.encoders.image import TimmEncoder, embed_images
from placeprint.encoders.netvlad import NetVLAD
from placeprint.encoders.place_recognition.cached_photos import CachedPhotos
from placeprint.encoders.place_recognition.encoder import PlaceConfig, PlaceEncoder
from placeprint.encoders.place_recognition.photos import PlacePhotos
from placeprint.encoders.place_recognition.pooling import Aggregator, FlatMap, GeM, Mean
from placeprint.encoders.place_recognition.settings import Loss, Nearness, PlaceRun
from placeprint.encoders.place_recognition.trainer import PlaceTrainer
from placeprint.encoders.place_recognition.vocabulary import fit_vocabulary
from placeprint.encoders.place_recognition.whitening import Whitening
from placeprint.encoders.sphere import great_circle_km

BACKBONE = "timm:mobilenetv2_100?pad_type=same&mean=0.5&std=0.5&crop=1"
KS = (1, 5, 10, 20)
PUBLISHED = {  # recall in %, recomputed from the similarity matrices of VPR-Bench
    "HybridNet": (90.1, 99.1, 100.0, 100.0), "AMOSNet": (84.7, 99.1, 100.0, 100.0),
    "denseVLAD": (70.3, 95.5, 98.2, 100.0), "AlexNet": (68.5, 90.1, 94.6, 95.5),
    "NetVLAD": (67.6, 93.7, 99.1, 100.0), "CoHOG": (62.2, 89.2, 93.7, 98.2),
    "AP-GeM": (53.2, 81.1, 85.6, 92.8), "HOG": (47.7, 72.1, 82.9, 89.2),
    "RegionVLAD": (43.2, 71.2, 82.0, 92.8), "CALC": (32.4, 48.6, 60.4, 79.3),
}  # fmt: skip
WITHIN_KM = 0.025

_Rows = NDArray[np.intp]
_Embeddings = NDArray[np.float32]


# --- hits and intervals --------------------------------------------------------------------------------


def first_hits(queries: _Embeddings, gallery: _Embeddings, truth: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rank of the first true neighbor of each query, from 0: (Q, D), (N, D), (Q, N) -> (Q,); N for none."""
    order = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")
    hits = np.take_along_axis(truth, order, axis=1)
    return np.where(hits.any(axis=1), hits.argmax(axis=1), truth.shape[1])


def with_interval(scores: NDArray[np.float64], *, n_resamples: int = 2000) -> dict[str, float]:
    """Mean in % and its bootstrap interval; `scores` has one entry for each place."""
    rng = np.random.default_rng(0)
    means = scores[rng.integers(0, len(scores), (n_resamples, len(scores)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "value": round(100 * float(scores.mean()), 2),
        "low": round(100 * float(low), 2),
        "high": round(100 * float(high), 2),
    }


def frozen_aggregations(channels: int, grid: tuple[int, int]) -> dict[str, Aggregator]:
    """Everything that needs no training, but for vocabularies."""
    return {
        "mean": Mean(channels),
        "GeM": GeM(channels),
        f"flattened map {grid[0]}×{grid[1]}": FlatMap(channels, grid=grid),
        "NetVLAD v1": NetVLAD(channels, form="v1"),
        "NetVLAD v2": NetVLAD(channels, form="v2"),
    }


# --- the corridor ----------------------------------------------------------------------------------------


def corridor(encoder: TimmEncoder, data: Path, cache: Path) -> dict[str, Any]:
    """Recall on the corridor by layer and input size."""
    folder = data / "vpr" / "corridor"
    with (folder / "ground_truth.csv").open(newline="") as file:
        correct = {row["query"]: set(row["references"].split()) for row in csv.DictReader(file)}
    references = sorted((folder / "ref").glob("*.jpg"))
    queries = sorted((folder / "query").glob("*.jpg"))
    truth = np.array([[one.name in correct[query.name] for one in references] for query in queries])
    frames_apart = np.abs(np.arange(len(queries))[:, None] - np.arange(len(references)))
    rows, tolerance = [], {}
    own = embed_images(encoder, [str(file) for file in (*queries, *references)])
    rows.append(_row("own", None, encoder.preprocessing.size, own.shape[1], own, truth))
    for size, layer in itertools.product((224, 320), (-1, -2, -3)):
        place = PlaceEncoder(PlaceConfig(layer=layer, size=size, aggregation="mean"), encoder)
        path = cache / f"corridor_{size}_{layer}.npy"
        photos = CachedPhotos(place, [*queries, *references], path, is_frozen=True)
        everything, first_walk = np.arange(len(photos)), np.arange(len(queries), len(photos))
        grid = (min(7, place.features.grid[0]),) * 2
        for name, aggregator in frozen_aggregations(place.features.channels, grid).items():
            fit_vocabulary(aggregator, photos, first_walk, seed=0)
            found = photos.embed(everything, aggregator)
            rows.append(_row(name, layer, size, aggregator.dimension, found, truth))
            if name == "NetVLAD v1":
                tolerance[f"layer {layer}, {size} px"] = {
                    frames: round(100 * float((_ranks(found, frames_apart <= frames) < 1).mean()), 1)
                    for frames in (0, 1, 2, 3, 5, 10)
                }
    chance = float(truth.mean())
    return {"chance": chance, "rows": rows, "published": PUBLISHED, "recall_at_1_by_frames": tolerance}


def _ranks(found: _Embeddings, truth: NDArray[np.bool_]) -> NDArray[np.intp]:
    return first_hits(found[: len(truth)], found[len(truth) :], truth)


def _row(
    name: str, layer: int | None, size: int, dimension: int, found: _Embeddings, truth: NDArray[np.bool_]
) -> dict[str, Any]:
    ranks = _ranks(found, truth)
    recall = {f"recall_at_{k}": with_interval((ranks < k).astype(np.float64)) for k in KS}
    return {"name": name, "layer": layer, "size": size, "dimension": dimension, **recall}


# --- from the air ----------------------------------------------------------------------------------------


def naip_views(data: Path) -> tuple[PlacePhotos, Iterator[tuple[str, _Rows, list[tuple[_Rows, _Rows]]]]]:
    """The tiles; and for each half of the cities: its name, training rows, pairs of queries and gallery."""
    folder = data / "aerial" / "naip_california"
    table = _table(folder)
    city = np.array([row["city"] for row in table])
    photos = _photos(folder, table, [row["year"] for row in table])
    years = np.unique(photos.captured_at)

    def halves() -> Iterator[tuple[str, _Rows, list[tuple[_Rows, _Rows]]]]:
        every = list(itertools.combinations(np.unique(city).tolist(), 2))
        # Each half beside its complement, so that every two of them ask about all cities.
        for half in (every[number] for number in (0, 5, 1, 4, 2, 3)):
            is_train = np.isin(city, half)
            by_year = {year: np.flatnonzero(~is_train & (photos.captured_at == year)) for year in years}
            pairs = [(by_year[one], by_year[other]) for one, other in itertools.permutations(years, 2)]
            yield " and ".join(half), np.flatnonzero(is_train), pairs

    return photos, halves()


def texas_views(data: Path) -> tuple[PlacePhotos, Iterator[tuple[str, _Rows, list[tuple[_Rows, _Rows]]]]]:
    """The tiles; and for each half of the regions: its name, training rows, before and after."""
    folder = data / "aerial" / "texas_pairs"
    table = _table(folder)
    photos = _photos(folder, table, [row["label"] for row in table])
    alone = np.arange(len(photos)).astype(np.str_)
    part = hold_out(regions(photos.lonlat, alone, 0.05), [0.5], seed=0)

    def halves() -> Iterator[tuple[str, _Rows, list[tuple[_Rows, _Rows]]]]:
        for number in (0, 1):
            is_test = part == 1 - number
            before = np.flatnonzero(is_test & (photos.captured_at == "no_damage"))
            after = np.flatnonzero(is_test & (photos.captured_at == "damage"))
            near = great_circle_km(photos.lonlat[before][:, None], photos.lonlat[after]) <= WITHIN_KM
            yield f"half {number + 1}", np.flatnonzero(~is_test), [(before[near.any(axis=1)], after)]

    return photos, halves()


def _table(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _photos(folder: Path, table: list[dict[str, str]], times: list[str]) -> PlacePhotos:
    files = [folder / row["image"] for row in table]
    return PlacePhotos.of(files, [(row["lon"], row["lat"]) for row in table], captured_at=times)


def from_the_air(
    encoder: TimmEncoder,
    photos: PlacePhotos,
    halves: Iterator[tuple[str, _Rows, list[tuple[_Rows, _Rows]]]],
    run: PlaceRun,
    cache: Path,
    losses: list[Loss],
    own: _Embeddings | None = None,
) -> Iterator[dict[str, Any]]:
    """Recall of every aggregation, whitened and not, whole and in parts: all figures after each half."""
    config = PlaceConfig(layer=run.layer, size=run.size, aggregation="mean")
    place = PlaceEncoder(config, encoder)
    looks = CachedPhotos(
        place, photos.files, cache.with_suffix(".npy"), is_frozen=True, n_looks=run.n_looks,
        least_area=run.least_area, seed=run.seed,
    )  # fmt: skip
    hits: dict[tuple[str, str], dict[int, list[bool]]] = {}
    chances: list[float] = []
    seconds: list[float] = []
    names: list[str] = []
    for name, train, pairs in halves:
        print(f"learning from {name}", flush=True)
        if own is not None:
            _ask(hits, "own", pairs, photos, whole=own, part=None)
        for key, aggregator in _aggregations(encoder, photos, looks, train, run, cache, losses, seconds):
            whole, part = (_embedded(looks, aggregator, number) for number in (0, 1))
            _ask(hits, key, pairs, photos, whole=whole, part=part)
            more = [looks.embed(train, aggregator, np.full(len(train), n)) for n in range(2, run.n_looks)]
            whitening = Whitening.fit(np.concatenate([whole[train], part[train], *more]))
            whitening = whitening.prefix(min(512, whitening.dimension))
            white, white_part = (whitening(torch.from_numpy(one)).numpy() for one in (whole, part))
            whitened = f"{key}, whitened to {whitening.dimension}"
            _ask(hits, whitened, pairs, photos, whole=white, part=white_part)
        for queries, gallery in pairs:
            near = great_circle_km(photos.lonlat[queries][:, None], photos.lonlat[gallery]) <= WITHIN_KM
            chances.append(float(near.mean()))
        names.append(name)
        yield {
            "chance": float(np.mean(chances)),
            "places": len(next(iter(hits.values()))),
            "learned_from": names,
            "layer": run.layer,
            "size": run.size,
            "looks": run.n_looks,
            "epochs": run.epochs,
            "rows": _rows(hits),
            "training_s": seconds,
        }


def _rows(hits: dict[tuple[str, str], dict[int, list[bool]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for (key, how), by_place in hits.items():
        scores = np.array([np.mean(one) for one in by_place.values()])
        found.setdefault(key, {})[how] = with_interval(scores)
    return found


def _aggregations(
    encoder: TimmEncoder,
    photos: PlacePhotos,
    looks: CachedPhotos,
    train: _Rows,
    run: PlaceRun,
    cache: Path,
    losses: list[Loss],
    seconds: list[float],
) -> Iterator[tuple[str, Aggregator]]:
    """The frozen ones with vocabularies of the training photos, then NetVLAD trained on them."""
    for key, aggregator in frozen_aggregations(looks.encoder.features.channels, (4, 4)).items():
        fit_vocabulary(aggregator, looks, train, seed=run.seed)
        yield key, aggregator
    for loss in losses:
        begun = time.monotonic()
        own_cache = cache.with_name(f"{cache.name}_training.npy")
        np.save(own_cache, np.load(looks.path, mmap_mode="r")[train])
        trainer = PlaceTrainer(photos.take(train), encoder, replace(run, loss=loss))
        trainer.prepare(own_cache)
        while trainer.progress.epoch < trainer.n_rounds:
            trainer.round()
        trainer.model.load_state_dict(trainer.best)
        trainer.cache.remove()
        seconds.append(round(time.monotonic() - begun, 1))
        yield f"NetVLAD v1 trained, {loss}", trainer.encoder.aggregator


def _embedded(looks: CachedPhotos, aggregator: Aggregator, number: int) -> _Embeddings:
    rows = np.arange(len(looks))
    return looks.embed(rows, aggregator, np.full(len(rows), number))


def _ask(
    hits: dict[tuple[str, str], dict[int, list[bool]]],
    key: str,
    pairs: list[tuple[_Rows, _Rows]],
    photos: PlacePhotos,
    *,
    whole: _Embeddings,
    part: _Embeddings | None,
) -> None:
    """Note hits at 1 of every query under its place, which is named by its coordinates."""
    place = np.unique(photos.lonlat, axis=0, return_inverse=True)[1].reshape(-1)
    for how, asked in (("whole", whole), ("part", part)):
        if asked is None:
            continue
        by_place = hits.setdefault((key, how), {})
        for queries, gallery in pairs:
            near = great_circle_km(photos.lonlat[queries][:, None], photos.lonlat[gallery]) <= WITHIN_KM
            ranks = first_hits(asked[queries], whole[gallery], near)
            for row, rank in zip(place[queries].tolist(), ranks.tolist(), strict=True):
                by_place.setdefault(row, []).append(rank == 0)


# --- tables ----------------------------------------------------------------------------------------------


def show(title: str, found: dict[str, Any]) -> None:
    """Print the tables of one part."""
    console = Console(width=160)
    table = Table(title=f"{title}, chance {found['chance']:.1%}")
    if isinstance(found["rows"], list):
        for column in ("", "layer", "pixels", "dimension", *(f"recall@{k}" for k in KS)):
            table.add_column(column)
        for name, figures in PUBLISHED.items():
            table.add_row(f"{name} (published)", "", "", "", *(f"{value:.1f}" for value in figures))
        for row in found["rows"]:
            cells = [row[key] for key in ("name", "layer", "size", "dimension")]
            table.add_row(*map(str, cells), *(_cell(row[f"recall_at_{k}"]) for k in KS))
    else:
        for column in (f"recall@1, {found['places']} places", "whole", "part"):
            table.add_column(column)
        for name, row in found["rows"].items():
            table.add_row(name, *(_cell(row[how]) if how in row else "" for how in ("whole", "part")))
    console.print(table)


def _cell(figure: dict[str, float]) -> str:
    return f"{figure['value']:.1f} [{figure['low']:.1f}, {figure['high']:.1f}]"


def main() -> None:
    """Run the parts and write their figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--part", action="append", choices=["corridor", "naip", "texas"])
    parser.add_argument("--loss", action="append", choices=["multi-similarity", "triplet"])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--looks", type=int, default=4)
    parser.add_argument("--halves", type=int, help="only so many; two ask about every place once")
    words = parser.parse_args()
    torch.set_num_threads(1)
    words.out.mkdir(parents=True, exist_ok=True)
    cache = words.out / "cache"
    cache.mkdir(exist_ok=True)
    encoder = load_encoder(BACKBONE, weights=words.weights)
    assert isinstance(encoder, TimmEncoder)
    losses: list[Loss] = words.loss or ["multi-similarity"]
    for part in words.part or ["corridor", "naip", "texas"]:
        begun = time.monotonic()
        if part == "corridor":
            found = iter([corridor(encoder, words.data, cache)])
        else:
            photos, halves = (naip_views if part == "naip" else texas_views)(words.data)
            run = PlaceRun(
                layer=-2, size=256 if part == "naip" else 128, held_out_share=0.0, epochs=words.epochs,
                n_looks=words.looks, nearness=Nearness(positive_from_m=0.0, other_time=True),
            )  # fmt: skip
            files = [str(file) for file in photos.files]
            own = embed_images(encoder, files) if part == "naip" else None
            some = itertools.islice(halves, words.halves)
            found = from_the_air(encoder, photos, some, run, cache / part, losses, own)
        for figures in found:
            show(part, figures)
            facts = {
                "date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": platform.processor(),
                "seconds": round(time.monotonic() - begun, 1), "torch": torch.__version__,
                "backbone": BACKBONE, "weights_sha256": encoder.fingerprint.weights_sha256,
            }  # fmt: skip
            path = words.out / f"place_recognition_{part}.json"
            path.write_text(json.dumps({**facts, **figures}, indent=1))


if __name__ == "__main__":
    main()
