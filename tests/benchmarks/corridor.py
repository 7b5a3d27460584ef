"""One corridor walked twice: what each part of place recognition adds, beside what was published.

    python tests/benchmarks/corridor.py DATA/vpr/corridor --encoder NAME --weights FILE --out corridor.json

DATA/vpr/corridor holds the folders query and ref of 111 frames each, and ground_truth.csv (Milford 2013, in
VPR-Bench). The backbone is frozen and nothing is trained. Rows:

- pooled: the encoder's own embedding;
- flattened: its last map at 288 × 288 pixels, kept place by place (`pooling.FlatMap`);
- + second look: the first 20 put into the order of local features (`matching.nearest`), of the layer that
  `LocalReader` reads by default, at 288 × 288; of all queries, and only where the retriever is unsure, by
  a threshold cross-fitted over 5 stretches of the walk;
- + sequence: windows of 9 frames, centered (4 frames are of the future), or all of the past; with local
  contrast, each difference against those of 20 references around it;
- all pairs: the same local features for every pair, and sequences over them.

Chosen having seen recall on these very frames: the score `nearest`, the layer, 288 pixels, windows of 9.
Settled before: 20 answers, the speeds, all of `LocalReader` and of the signs of doubt. `--grid` shows how
much each choice matters. Frames beside one another are nearly the same picture, so that Wilson's intervals
are too narrow; those by stretch resample 5 frames at a time, and know no doubt where nothing failed.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.image import ImageEncoder
from placeprint.encoders.matching import nearest
from placeprint.encoders.place_recognition.pooling import FlatMap
from placeprint.encoders.reranking import Score, match_scores
from placeprint.indexer.place_matcher import LocalReader
from placeprint.indexer.place_published import CORRIDOR
from placeprint.indexer.place_recall import RECALL_AT, interval_of, judge
from placeprint.indexer.place_report import figures_of
from placeprint.indexer.place_search import EmbeddedSet, embed_place_set, first_of
from placeprint.indexer.place_sets import read_place_set
from placeprint.indexer.place_trial import Answers, PlaceTrial
from placeprint.indexer.place_truth import WithinFrames, read_list
from placeprint.indexer.place_uncertainty import least_area
from placeprint.indexer.sequences import local_contrast, sequence_differences

SIZE, K, LENGTH = 288, 20, 9
SIZES = (224, 256, 288, 320)
LAYERS: dict[int, tuple[Score, ...]] = {3: get_args(Score), 4: ("nearest", "mutual")}
LENGTHS = (3, 5, 7, 9, 11, 15)
TOLERANCES = (0, 1, 2, 3, 5, 10)
STRETCH = 5


class Walks:
    """Both walks, read by one encoder in several ways."""

    def __init__(self, folder: Path, encoder: ImageEncoder) -> None:
        self.encoder = encoder
        self.queries, self.gallery = read_place_set(folder / "query"), read_place_set(folder / "ref")
        self.truth = read_list(folder / "ground_truth.csv")

    def trial(self, queries: EmbeddedSet, gallery: EmbeddedSet) -> PlaceTrial:
        """The question to any two embedded sets of these walks."""
        return PlaceTrial(queries, gallery, self.truth)

    def pooled(self) -> PlaceTrial:
        """By the encoder's own embedding."""
        return self.trial(
            embed_place_set(self.queries, self.encoder), embed_place_set(self.gallery, self.encoder)
        )

    def flattened(self, size: int, layer: int) -> PlaceTrial:
        """By the map of a layer, all of it."""
        reader = LocalReader(self.encoder, layer=layer, size=size)
        flat = FlatMap(reader.features.channels, grid=reader.features.grid)
        sets = []
        for photos in (self.queries, self.gallery):
            began = time.perf_counter()
            maps = torch.from_numpy(np.concatenate([reader.map_of(item) for item in photos.items]))
            seconds = (time.perf_counter() - began) / len(photos)
            sets.append(EmbeddedSet(photos, flat(maps).numpy(), seconds, []))
        return self.trial(*sets)


class Kept:
    """Local features of both walks, made once; scores of any kind between them."""

    def __init__(self, walks: Walks, size: int, layer: int | None = None, score: Score = "nearest") -> None:
        reader = LocalReader(walks.encoder, layer=layer, size=size)
        self.grid, self.score = reader.features.grid, score
        self.queries, self.gallery = (
            torch.stack([reader.read(item) for item in photos.items])
            for photos in (walks.queries, walks.gallery)
        )

    def __call__(self, query: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """As `rerank` asks."""
        return match_scores(self.queries[query], self.gallery[torch.from_numpy(rows)], self.grid, self.score)

    def all_pairs(self) -> NDArray[np.float64]:
        """Differences of all pairs by `nearest`, (Q, N)."""
        rows: list[Tensor] = [nearest(query, self.gallery) for query in self.queries]
        return 1.0 - torch.stack(rows).double().numpy()


def answers_by(name: str, difference: NDArray[np.float64], seconds: float) -> Answers:
    """The order of a matrix of differences."""
    return Answers(name, first_of(difference, max(RECALL_AT))[0], {}, seconds)


def contrasted(trial: PlaceTrial, name: str) -> Answers:
    """Sequences over differences whose local contrast was enhanced, as SeqSLAM has it."""
    began = time.perf_counter()
    difference = 1.0 - trial.queries.embeddings.astype(np.float64) @ trial.gallery.embeddings.T
    lines = sequence_differences(local_contrast(difference), LENGTH)
    return answers_by(f"{name} + contrast + sequence", lines, (time.perf_counter() - began) / len(lines))


def run(walks: Walks) -> tuple[list[tuple[PlaceTrial, Answers]], list[list[float]]]:
    """All rows, and the cross-fitted thresholds."""
    pooled, flattened = walks.pooled(), walks.flattened(SIZE, -1)
    local = Kept(walks, SIZE)
    first_pooled, first = pooled.retrieve("pooled"), flattened.retrieve("flattened")
    again = flattened.look_again(first, local, k=K, name="flattened + second look")
    unsure = [flattened.cross_fitted(first, again, sign=sign) for sign in ("ratio", "spread")]
    pooled_again = pooled.look_again(first_pooled, local, k=K, name="pooled + second look")
    began = time.perf_counter()
    pairs = local.all_pairs()
    seconds = (time.perf_counter() - began) / len(pairs)
    lines = sequence_differences(pairs, LENGTH)
    past = sequence_differences(pairs, LENGTH, window="past")
    rows = [
        (pooled, first_pooled),
        (flattened, first),
        (pooled, pooled_again),
        (flattened, again),
        *((flattened, one) for one, _ in unsure),
        (pooled, pooled.follow(LENGTH, name="pooled + sequence")),
        (flattened, flattened.follow(LENGTH, name="flattened + sequence")),
        (flattened, flattened.follow(LENGTH, window="past", name="flattened + sequence, past")),
        *((trial, contrasted(trial, name)) for trial, name in ((pooled, "pooled"), (flattened, "flattened"))),
        (flattened, answers_by("all pairs", pairs, seconds)),
        (flattened, answers_by("all pairs + sequence", lines, seconds)),
        (flattened, answers_by("all pairs + sequence, past", past, seconds)),
    ]
    return rows, [thresholds for _, thresholds in unsure]


def recall_at_1(trial: PlaceTrial, neighbors: NDArray[np.int64]) -> float:
    """In percent."""
    return 100.0 * judge(neighbors, trial.positives).recalls((1,))[0].value


def by_tolerance(trial: PlaceTrial, answers: Answers) -> list[float]:
    """recall@1 in percent when so many frames aside still count."""
    queries, gallery = trial.queries.photos, trial.gallery.photos
    return [
        100.0
        * judge(answers.neighbors, WithinFrames(frames).positives(queries, gallery)).recalls((1,))[0].value
        for frames in TOLERANCES
    ]


def grid(walks: Walks, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """recall@1 under other choices of each kind, told as they come."""
    found: list[dict[str, Any]] = []

    def note(trial: PlaceTrial, answers: Answers, **choice: object) -> None:
        found.append({**choice, "recall_at_1": recall_at_1(trial, answers.neighbors)})
        tell(", ".join(f"{key} {value}" for key, value in found[-1].items()))

    for size in SIZES:
        trial = walks.flattened(size, -1)
        first = trial.retrieve()
        note(trial, first, size=size, layer=-1, way="flattened")
        for layer, scores in LAYERS.items():
            local = Kept(walks, size, layer)
            for score in scores:
                local.score = score
                note(trial, trial.look_again(first, local, k=K), size=size, layer=layer, score=score)
        for length, window in product(LENGTHS, ("centered", "past")):
            note(trial, trial.follow(length, window=window), size=size, sequence=length, window=window)
    return found


def recall_table(rows: list[tuple[PlaceTrial, Answers]]) -> Table:
    """Recall with its intervals, beside what was published."""
    table = Table(title="corridor: recall in %, 111 queries; 95 % intervals of @1 by frame, and by stretch")
    for column in ("", "@1", "Wilson", f"by {STRETCH} frames", *(f"@{n}" for n in RECALL_AT[1:]), "ms"):
        table.add_column(column, justify="right" if column else "left")
    for name, shares in CORRIDOR.items():
        cells = [f"{one:.1f}" for one in shares]
        table.add_row(f"{name}, published", cells[0], "", "", *cells[1:], "", style="dim")
    for trial, answers in rows:
        first, *others = figures_of(trial, answers).recalls
        low, high = by_stretch(trial, answers)
        table.add_row(
            answers.name, f"{100 * first.value:.1f}", f"{100 * first.low:.1f}–{100 * first.high:.1f}",
            f"{100 * low:.1f}–{100 * high:.1f}", *(f"{100 * one.value:.1f}" for one in others),
            f"{1000 * answers.seconds:.1f}",
        )  # fmt: skip
    chance = [f"{100 * one.chance:.1f}" for one in figures_of(*rows[0]).recalls]
    table.add_row("chance", chance[0], "", "", *chance[1:], "", style="dim")
    return table


def by_stretch(trial: PlaceTrial, answers: Answers) -> tuple[float, float]:
    """Interval of recall@1 by a bootstrap over stretches of the walk, whose frames share their luck."""
    hit = trial.right_first(answers).astype(np.float64)
    return interval_of(hit, np.arange(len(hit)) // STRETCH)


def tolerance_table(rows: list[tuple[PlaceTrial, Answers]]) -> Table:
    """recall@1 when so many frames aside still count; the benchmark's own truth is ±2."""
    table = Table("", *(f"±{frames}" for frames in TOLERANCES), title="recall@1 in % by frame tolerance")
    for trial, answers in rows:
        table.add_row(answers.name, *(f"{one:.1f}" for one in by_tolerance(trial, answers)))
    return table


def risk_table(rows: list[tuple[PlaceTrial, Answers]]) -> Table:
    """Areas under risk of each sign of doubt."""
    columns = ("", "error rate", "distance", "ratio", "spread", "least")
    table = Table(*columns, title="area under risk (AURC), 95 % intervals")
    for trial, answers in rows:
        if answers.doubt:
            told = figures_of(trial, answers)
            areas = [(one.area, *one.interval) for one in told.risk.values()]
            cells = ("{:.3f} [{:.3f}, {:.3f}]".format(*one) for one in areas)
            least = least_area(told.n_wrong, told.n_counted)
            table.add_row(answers.name, f"{told.n_wrong / told.n_counted:.3f}", *cells, f"{least:.3f}")
    return table


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--grid", action="store_true", help="other sizes, layers, scores and lengths too")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    console = Console(width=120)
    walks = Walks(arguments.folder, load_encoder(arguments.encoder, weights=arguments.weights))
    rows, thresholds = run(walks)
    for table in (recall_table(rows), tolerance_table(rows), risk_table(rows)):
        console.print(table)
    for _, answers in rows:
        if answers.looked_at is not None:
            console.print(f"{answers.name}: {answers.looked_at:.0%} of the queries were looked at again")
    result: dict[str, Any] = {
        "encoder": arguments.encoder, "machine": platform.machine(), "threads": torch.get_num_threads(),
        "size": SIZE, "k": K, "sequence": LENGTH, "published_percent": CORRIDOR,
        "thresholds": [[str(one) for one in some] for some in thresholds],
        "rows": [
            figures_of(trial, answers).to_dict()
            | {"by_tolerance": by_tolerance(trial, answers), "by_stretch": by_stretch(trial, answers)}
            for trial, answers in rows
        ],
    }  # fmt: skip
    if arguments.grid:
        result["grid"] = grid(walks, console.print)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
