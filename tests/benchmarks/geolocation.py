"""Where was a photo taken? Placeprint beside published methods, on the same embeddings and the same folds.

    python tests/benchmarks/geolocation.py --data DIR --weights FILE --cache DIR --out bench
    python tests/benchmarks/geolocation.py --features FILE.npz --tables group block --out bench

Three tables, five folds each. ``group`` and ``block`` are of 1,188 world heritage sites, one photo each,
and of 512 travel photos: folds of whole groups (a site, a travel place), or of blocks of 10 degrees.
``naip`` has aerial tiles of four cities of California, folds of blocks of 0.01 degrees within each. What
is never parted (group or block) is also what a method's inner split keeps whole, what a photo's own
neighbors are hidden by, and what the bootstrap draws.

Four folds are all that a method knows: its gallery, cells, prior and settings. The fifth is asked once.
`geolocation_trial` says how answers become densities. ``FILE.npz`` holds ``embedding`` (n, D), ``lonlat``
(n, 2) and ``group`` (n,). Finished folds are kept under OUT/units, and a run that was stopped goes on;
two runs may share the work by ``--tables`` or ``--folds``.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from csp_tasks import photos as embedded
from geolocation_figures import Column, write_results
from geolocation_ours import LOCATED, PARTS, located
from geolocation_peers import PEERS
from geolocation_trial import NEAR_KM, Photos, read_density, try_method
from numpy.typing import NDArray
from rich.console import Console

from placeprint.encoders.probes.folds import block_cells
from placeprint.encoders.sphere import great_circle_km
from placeprint.indexer.fitted import group_folds

N_FOLDS = 5
BLOCK_DEG, CITY_BLOCK_DEG = 10.0, 0.01
PRIOR = "prior"
METHODS = {method.name: method for method in (*PEERS, *PARTS)}
ROWS = (PRIOR, *METHODS, *LOCATED)


@dataclass(frozen=True, eq=False)
class Task:
    """Photos with their folds, (n,), and the city of each where that is asked."""

    name: str
    photos: Photos
    fold: NDArray[np.intp]
    city: NDArray[np.str_] | None = None

    @property
    def digest(self) -> str:
        """Changes with the photos and the folds."""
        parts = (self.photos.embedding, self.photos.lonlat, self.fold)
        data = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        return hashlib.sha256(data + "\n".join(self.photos.group.tolist()).encode()).hexdigest()[:8]


def world(asked: argparse.Namespace) -> Photos:
    """World heritage sites, each a group of its own, and travel photos in groups of one place."""
    if asked.features:
        found = np.load(asked.features)
        return Photos(found["embedding"], found["lonlat"], found["group"].astype(str))
    parts = []
    for folder in ("world_heritage", "travel"):
        rows, pairs = embedded(asked.data / "photos" / folder, asked.weights, asked.cache)
        names = [f"wh:{n}" if folder == "world_heritage" else row["place"] for n, row in enumerate(rows)]
        parts.append((pairs.images, pairs.lonlat, np.array(names)))
    images, lonlat, group = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Photos(images, lonlat, group)


def tasks(asked: argparse.Namespace) -> Iterator[Task]:
    """The tables asked for."""
    if {"group", "block"} & set(asked.tables):
        photos = world(asked)
        block = block_cells(photos.lonlat, BLOCK_DEG).astype(str)
        if "group" in asked.tables:
            yield Task("group", photos, group_folds(photos.group, N_FOLDS))
        if "block" in asked.tables:
            by_block = Photos(photos.embedding, photos.lonlat, block)
            yield Task("block", by_block, group_folds(block, N_FOLDS))
    if "naip" in asked.tables:
        rows, pairs = embedded(asked.data / "aerial" / "naip_california", asked.weights, asked.cache)
        city = np.array([row["city"] for row in rows])
        block = block_cells(pairs.lonlat, CITY_BLOCK_DEG).astype(str)
        fold = np.empty(len(city), dtype=np.intp)
        for one in np.unique(city):
            fold[city == one] = group_folds(block[city == one], N_FOLDS)
        yield Task("naip", Photos(pairs.images, pairs.lonlat, block), fold, city)


def unit(task: Task, row: str, fold: int, out: Path) -> dict[str, Any]:
    """One row on one fold, from OUT/units if it is there."""
    slug = "".join(letter if letter.isalnum() else "_" for letter in row)
    path = out / "units" / f"{task.digest}-{task.name}-{fold}-{slug}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        answered = ask(task, row, fold)
        plain = {
            key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in answered.items()
        }
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(plain))
        partial.replace(path)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def ask(task: Task, row: str, fold: int) -> dict[str, Any]:
    """What a row says of the photos of a fold, knowing the others."""
    known, asked = task.photos.take(task.fold != fold), task.photos.take(task.fold == fold)
    prior = known.prior()
    log_prior = prior.log_density(asked.lonlat)
    if row == PRIOR:
        read = read_density(prior.mixture, fold)
        points = np.tile(read.point, (len(asked), 1))
        answered = {
            "log_density": log_prior, "point": points, "own_point": points, "setting": "", "blur": [],
            "p_within": np.full(len(asked), read.p_within),
        }  # fmt: skip
    elif row in LOCATED:
        answered = located(known, asked, prior, fold, LOCATED[row])
    else:
        answered = try_method(METHODS[row], known, asked, prior, fold)
    return {**answered, "log_prior": log_prior}


def column(task: Task, units: list[dict[str, Any]]) -> Column:
    """The folds of a row put together, photo by photo."""
    order = np.concatenate([np.flatnonzero(task.fold == fold) for fold in range(N_FOLDS)])

    def joined(key: str) -> NDArray[Any]:
        values = np.concatenate([np.array(one[key]) for one in units])
        result = np.empty_like(values)
        result[order] = values
        return result

    point, own = joined("point"), joined("own_point")
    city = None
    if task.city is not None:
        apart = great_circle_km(point[:, None], task.photos.lonlat[None])
        city = task.city[apart.argmin(axis=1)] == task.city
    return Column(
        bits=(joined("log_density") - joined("log_prior")) / np.log(2.0),
        error_km=great_circle_km(point, task.photos.lonlat),
        own_error_km=great_circle_km(own, task.photos.lonlat),
        p_within=joined("p_within"),
        covered=joined("covered") if "covered" in units[0] else None,
        is_right_city=city,
        settings=[one["setting"] for one in units],
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="Folder for units, tables and pictures.")
    parser.add_argument("--features", type=Path, help="Embeddings of the photos at hand.")
    parser.add_argument("--data", type=Path, help="Folder with photos/ and aerial/.")
    parser.add_argument("--weights", type=Path, help="Weights of the image encoder.")
    parser.add_argument("--cache", type=Path, help="Folder that keeps embeddings.")
    parser.add_argument(
        "--tables", nargs="+", choices=("group", "block", "naip"), default=["group", "block", "naip"]
    )
    parser.add_argument("--folds", nargs="+", type=int, default=list(range(N_FOLDS)), help="To work on.")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="To work on.")
    asked = parser.parse_args()
    needs_images = asked.features is None or "naip" in asked.tables
    if needs_images and None in (asked.data, asked.weights, asked.cache):
        parser.error("photos are to be embedded: give --data, --weights and --cache")
    console = Console(width=180)
    for task in tasks(asked):
        for fold in asked.folds:
            for row in asked.rows:
                found = unit(task, row, fold, asked.out)
                bits = np.mean(np.array(found["log_density"]) - np.array(found["log_prior"])) / np.log(2.0)
                console.print(
                    f"{task.name} {fold} {row}: {bits:.2f} bits {found['setting']}", highlight=False
                )
        if set(asked.folds) != set(range(N_FOLDS)):
            continue
        columns = {
            row: column(task, [unit(task, row, fold, asked.out) for fold in range(N_FOLDS)])
            for row in asked.rows
        }
        write_results(task.name, columns, task.photos.group, NEAR_KM, asked.out, console)


if __name__ == "__main__":
    main()
