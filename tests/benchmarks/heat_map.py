"""Do heat maps name the parts of a photo that its place is read from?

    python tests/benchmarks/heat_map.py QUERIES.csv --gallery NAME --n 40 --out heat.json

Parts of each photo are hidden one after another, those first that a map puts first, and the answer is
measured all along (deletion); and they are shown one after another, beginning with nothing (insertion;
both after Petsiuk et al., BMVC 2018). A figure is the mean over the shares hidden or shown: bits that
the answer has lost. A good map loses much in deletion and little in insertion; `gap` is the one less the
other. Maps: ours, the middle of the photo first, and any order (the mean of three). Parts are 12 × 12
blocks with hard edges, which no map is made of; what is hidden is blurred, as for the maps, or with
`--hide mean` becomes the photo's mean color, which no map is made with either.

Intervals of 95 % are of a bootstrap over the photos; `over random` is paired. The queries are a table
with the columns image, lon and lat, of photos that are not in the gallery.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from placeprint.api.heat_picture import strongest_share
from placeprint.api.options import encoder_of
from placeprint.encoders.heat_map import heat_map
from placeprint.encoders.image import ImageEncoder
from placeprint.encoders.occlusion import blurred
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.heat import density_score
from placeprint.indexer.locator import Locator
from placeprint.indexer.sources import list_source

BLOCKS = 12
SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85)
N_RANDOM, N_DRAWS = 3, 2000
MAPS = ("ours", "middle first", "random")

Floats = NDArray[np.float64]


def losses(
    encoder: ImageEncoder, pixels: Any, instead: Any, score: Callable[[Any], Floats], order: Any
) -> Floats:
    """Mean loss while blocks are hidden in an order, and while they are shown in it, bits, (2,)."""
    block = np.arange(len(pixels)) * BLOCKS // len(pixels)
    pictures = [pixels, instead]
    for first_value in (1.0, 0.0):
        for share in SHARES:
            hidden = np.full(BLOCKS**2, 1.0 - first_value, np.float32)
            hidden[order[: round(share * BLOCKS**2)]] = first_value
            shown = hidden.reshape(BLOCKS, BLOCKS)[np.ix_(block, block)] == 0.0
            pictures.append(np.where(shown[..., None], pixels, instead))
    scores = score(encoder.embed_pixels(np.stack(pictures)))
    total, lost = scores[0] - scores[1], (scores[0] - scores[2:]).reshape(2, -1)
    at = np.array([0.0, *SHARES, 1.0])
    return np.array([np.trapezoid([0.0, *lost[0], total], at), np.trapezoid([total, *lost[1], 0.0], at)])


def block_means(values: Floats) -> Floats:
    """Mean of a map over each block, (BLOCKS²,)."""
    block = np.arange(len(values)) * BLOCKS // len(values)
    number = block[:, None] * BLOCKS + block
    return np.bincount(number.ravel(), values.ravel()) / np.bincount(number.ravel())


def measure(
    image: str, encoder: ImageEncoder, locator: Locator, rng: np.random.Generator, hide: str
) -> dict[str, Any]:
    """All figures of one photo."""
    pixels, _ = encoder.preprocessing.read(image)
    location, _ = locator.locate(encoder.embed_pixels(pixels[None])[0])
    score = density_score(locator, (location.lon, location.lat))
    began = time.perf_counter()
    heat = heat_map(encoder, image, score)
    seconds = time.perf_counter() - began
    middle = np.arange(BLOCKS) - (BLOCKS - 1) / 2.0
    orders = {
        "ours": [np.argsort(-block_means(heat.values), kind="stable")],
        "middle first": [np.argsort(np.hypot(middle[:, None], middle).ravel(), kind="stable")],
        "random": [rng.permutation(BLOCKS**2) for _ in range(N_RANDOM)],
    }
    mean = np.broadcast_to(np.rint(pixels.mean(axis=(0, 1))).astype(np.uint8), pixels.shape)
    instead = blurred(pixels) if hide == "blur" else mean
    found = {
        name: np.mean([losses(encoder, pixels, instead, score, order) for order in some], axis=0).tolist()
        for name, some in orders.items()
    }
    return {
        "image": Path(image).name,
        "losses": found,
        "everything": heat.everything,
        "noise": heat.noise,
        "information_bits": location.information_bits,
        "stands_out": strongest_share(heat) is not None,
        "seconds": seconds,
    }


def with_interval(values: Floats) -> str:
    """Mean and bootstrap interval."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(N_DRAWS, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def table_of(photos: list[dict[str, Any]], title: str) -> Table:
    """A row for each map."""
    table = Table("map", "deletion ↑", "insertion ↓", "gap ↑", "over random ↑", title=title)
    figures = {name: np.array([photo["losses"][name] for photo in photos]) for name in MAPS}
    gaps = {name: both[:, 0] - both[:, 1] for name, both in figures.items()}
    for name, both in figures.items():
        over = with_interval(gaps[name] - gaps["random"]) if name != "random" else ""
        cells = [with_interval(both[:, 0]), with_interval(both[:, 1]), with_interval(gaps[name]), over]
        table.add_row(name, *cells)
    return table


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("queries", type=Path)
    parser.add_argument("--gallery", required=True)
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--hide", choices=("blur", "mean"), default="blur", help="by what")
    parser.add_argument("--out", type=Path, default=Path("heat.json"))
    asked = parser.parse_args()
    images = [str(item.path) for item in list_source(asked.queries)]
    chosen = np.unique(np.linspace(0, len(images) - 1, min(asked.n, len(images))).astype(int))
    rng, photos = np.random.default_rng(0), []
    with Gallery.open(asked.gallery) as gallery:
        encoder, locator = encoder_of(gallery), Locator(gallery)
        facts = {"encoder": gallery.encoder, "gallery_photos": len(gallery), "hidden_by": asked.hide}
        for row in chosen:
            photos.append(measure(images[row], encoder, locator, rng, asked.hide))
            asked.out.write_text(json.dumps(facts | {"photos": photos}, indent=1))
    console = Console(width=110)
    console.print(table_of(photos, f"{len(photos)} photos, hidden by {asked.hide}"))
    some = [photo for photo in photos if photo["everything"] >= 1.0]
    if some:
        console.print(table_of(some, f"the {len(some)} whose details together are worth 1 bit or more"))
    seconds = np.median([photo["seconds"] for photo in photos])
    n_found = sum(photo["stands_out"] for photo in photos)
    console.print(
        f"{n_found} of {len(photos)} have a part that stands out; {seconds:.1f} s a map in the median"
    )


if __name__ == "__main__":
    main()
