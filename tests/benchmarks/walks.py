"""Is a walk recognized where its last photo alone is not? A corridor walked twice, photo by photo.

    python tests/benchmarks/walks.py --data DATA --weights FILE --out bench

Every query of the second walk (Milford 2013, by VPR-Bench) is asked of a gallery of the first, with the
photos before it: alone, by the mean of their embeddings, by a vote of their nearest photos' frames, and laid
along the walk (`recognize_walk`). Embeddings are those of a frozen image network, pooled. Right is what the
set's table of references says; intervals are Wilson's, 95 %. Nothing is fitted.
"""

import argparse
import csv
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.image import embed_images
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.place_recall import wilson
from placeprint.indexer.recognize_walk import WalkedGallery, recognize_walk
from placeprint.indexer.record import Record
from placeprint.indexer.settings import Settings

BACKBONE = "timm:mobilenetv2_100?pad_type=same&mean=0.5&std=0.5&crop=1"
LENGTHS = (3, 5, 9, 15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    asked = parser.parse_args()
    folder = asked.data / "vpr" / "corridor"
    encoder = load_encoder(BACKBONE, weights=asked.weights)
    queries, references = (sorted((folder / name).glob("*.jpg")) for name in ("query", "ref"))
    with (folder / "ground_truth.csv").open(newline="") as file:
        right = {row["query"]: set(row["references"].split()) for row in csv.DictReader(file)}
    q, r = embed_images(encoder, queries), embed_images(encoder, references)
    names = [path.name for path in references]

    def share(answers: list[str]) -> tuple[float, float, float]:
        hits = sum(answer in right[query.name] for answer, query in zip(answers, queries, strict=True))
        low, high = wilson(hits, len(queries))
        return hits / len(queries), float(low), float(high)

    def before(row: int, length: int) -> NDArray[np.float32]:
        found: NDArray[np.float32] = q[max(0, row - length + 1) : row + 1]
        return found

    rows = {"the photo alone": share([names[one] for one in (q @ r.T).argmax(axis=1)])}
    seconds = {}
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), qdrant_url=None)
        with Gallery.create("walk", encoder.fingerprint, encoder=BACKBONE, settings=settings) as gallery:
            gallery.add([
                Record(key=name, status="embedded", sha256=name, embedding=one, group="first walk")
                for name, one in zip(names, r, strict=True)
            ])  # fmt: skip
            walked = WalkedGallery.of(gallery)
            for length in LENGTHS:
                means = np.stack([before(row, length).mean(axis=0) for row in range(len(q))])
                rows[f"mean of {length}"] = share([names[one] for one in (means @ r.T).argmax(axis=1)])
                voted = []
                for row in range(len(q)):
                    last = before(row, length)
                    frames = (last @ r.T).argmax(axis=1) + np.arange(len(last))[::-1]
                    voted.append(names[min(int(np.median(frames)), len(names) - 1)])
                rows[f"median frame of {length}"] = share(voted)
                start, found = time.perf_counter(), []
                for row in range(len(q)):
                    last = before(row, length)
                    if len(last) < 2:
                        found.append(gallery.nearest(last[0], 1)[0].photo.image)
                    else:
                        found.append(recognize_walk(walked, last, k=1).found[0].photo.image)
                seconds[length] = (time.perf_counter() - start) / len(q)
                rows[f"walk of {length}"] = share(found)
    table = Table("", "recall@1", "95 %", box=None, pad_edge=False)
    for name, (recall, low, high) in rows.items():
        table.add_row(name, f"{recall:.1%}", f"[{100 * low:.0f}, {100 * high:.0f}]")
    Console().print(table)
    asked.out.mkdir(parents=True, exist_ok=True)
    told = {"machine": platform.machine(), "encoder": BACKBONE, "rows": rows, "seconds_a_query": seconds}
    (asked.out / "walks.json").write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
