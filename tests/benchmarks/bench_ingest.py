"""Files to ledger beside the loop that one would write by hand, in turns A B B A.

    python tests/benchmarks/bench_ingest.py PHOTOS --encoder NAME --weights FILE --out bench

Ours reads, hashes, decodes, embeds and commits to a fresh gallery on disk (ledger and vector
store). The loop opens each file with Pillow, applies the model's own transform, embeds batches of
32 with the same weights and saves one array. Both see the same files in the same order, and their
embeddings are compared before anything is timed. Without PHOTOS, scenes are drawn.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table
from torchvision.transforms import v2

from placeprint.encoders.catalog import load_encoder
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import Item, list_source


class Loop:
    """The peer: Pillow, torchvision and the same network, one after the other."""

    def __init__(self, name: str, weights: Path | None) -> None:
        self.encoder: Any = load_encoder(name, weights=weights)
        p = self.encoder.preprocessing
        self.transform = v2.Compose(
            [
                v2.Resize(round(p.size / p.crop_share), v2.InterpolationMode.BICUBIC),
                v2.CenterCrop(p.size),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(p.mean, p.std),
            ]
        )
        if hasattr(self.encoder, "_model") and hasattr(self.encoder._model, "encode_image"):
            self.network = self.encoder._model.encode_image
        elif hasattr(self.encoder, "_model"):
            self.network = self.encoder._model.to(memory_format=torch.contiguous_format)
        else:
            self.network = self.encoder._net.embed_images

    @torch.inference_mode()
    def run(self, items: list[Item], folder: Path) -> NDArray[np.float32]:
        embeddings = []
        for start in range(0, len(items), 32):
            images = [
                self.transform(ImageOps.exif_transpose(Image.open(item.path)).convert("RGB"))
                for item in items[start : start + 32]
            ]
            embedded = self.network(torch.stack(images))
            embeddings.append(torch.nn.functional.normalize(embedded, dim=-1).numpy())
        folder.mkdir(parents=True)
        np.save(folder / "embeddings.npy", np.concatenate(embeddings))
        return np.concatenate(embeddings)


def ours(encoder: Any, items: list[Item], folder: Path) -> NDArray[np.float32]:
    """Index into a fresh gallery; the embeddings come back in the order of the items."""
    settings = Settings(home=folder, qdrant_url=None)
    with Gallery.create("bench", encoder.fingerprint, settings=settings) as gallery:
        index(items, gallery, encoder)
        entries = gallery.state.entries
        return gallery.embeddings([entries[item.key].id for item in items])


def measure(items: list[Item], name: str, weights: Path | None, blocks: int) -> dict[str, Any]:
    """Times of both in turns, and their ratio block by block."""
    encoder, loop = load_encoder(name, weights=weights), Loop(name, weights)
    folder = Path(tempfile.mkdtemp())
    try:
        first, second = ours(encoder, items, folder / "a"), loop.run(items, folder / "b")
        agreement = float((first * second).sum(axis=1).min())
        times: dict[str, list[float]] = {"ours": [], "loop": []}
        for block in range(blocks):
            for turn, who in enumerate(("ours", "loop", "loop", "ours")):
                place = folder / f"{block}-{turn}"
                started = time.perf_counter()
                if who == "ours":
                    ours(encoder, items, place)
                else:
                    loop.run(items, place)
                times[who].append(time.perf_counter() - started)
                shutil.rmtree(place)
    finally:
        shutil.rmtree(folder)
    pairs = [
        sum(times["loop"][2 * block : 2 * block + 2]) / sum(times["ours"][2 * block : 2 * block + 2])
        for block in range(blocks)
    ]
    return {
        "encoder": name, "photos": len(items), "blocks": blocks, "smallest cosine between the two": agreement,
        "ours_photos_per_s": len(items) / float(np.median(times["ours"])),
        "loop_photos_per_s": len(items) / float(np.median(times["loop"])),
        "ratio_median": float(np.median(pairs)), "ratio_min": min(pairs), "ratio_max": max(pairs),
        "ratio_of_minima": min(times["loop"]) / min(times["ours"]), "times_s": times,
    }  # fmt: skip


def table_of(result: dict[str, Any]) -> Table:
    """The figures side by side."""
    table = Table("", "photos/s", title=f"{result['photos']} photos, {result['encoder']}")
    table.add_row("ours, to ledger and store", f"{result['ours_photos_per_s']:.1f}")
    table.add_row("plain loop", f"{result['loop_photos_per_s']:.1f}")
    spread = f"[{result['ratio_min']:.2f}, {result['ratio_max']:.2f}]"
    table.add_row("ratio, median of blocks", f"{result['ratio_median']:.2f} {spread}", end_section=True)
    table.add_row("ratio of minima", f"{result['ratio_of_minima']:.2f}")
    table.add_row("smallest cosine", f"{result['smallest cosine between the two']:.5f}")
    return table


def drawn_photos(n: int, folder: Path) -> Path:
    """Drawn scenes, where no photos are given."""
    from placeprint.api.demo import draw_scenes

    draw_scenes(n, folder, seed=0)
    return folder / "photos"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--encoder", default="demonstration")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--limit", type=int, default=256)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as drawn:
        source = asked.photos or drawn_photos(asked.limit, Path(drawn))
        listed = list_source(source)[: asked.limit]
        measured = measure(listed, asked.encoder, asked.weights, asked.blocks)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "ingest.json").write_text(json.dumps(measured, indent=1))
    Console().print(table_of(measured))
