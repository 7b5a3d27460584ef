"""Small untrained backbones, and photos of places that never existed, seen on several days."""

from pathlib import Path

import numpy as np
import safetensors.torch
import timm
import torch
from numpy.typing import NDArray
from PIL import Image

from placeprint.encoders import weights as weights_module
from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.image import OpenClipEncoder, TimmEncoder
from placeprint.encoders.sphere import destination

CONV = "timm:test_resnet?mean=0.5&std=0.5&crop=1"
VIT = "timm:test_vit?mean=0.5&std=0.5&crop=1"
CLIP = "open_clip:ViT-S-32-alt"


def write_weights(name: str, folder: Path, *, seed: int = 1) -> Path:
    """Untrained weights of a backbone, as a local file."""
    backend, _, model = name.partition(":")
    model = model.partition("?")[0]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = (
            timm.create_model(model, pretrained=False)
            if backend == "timm"
            else weights_module._untrained(model, {})
        )
    path = folder / f"{model}-{seed}.safetensors"
    safetensors.torch.save_file(made.state_dict(), path)
    return path


def load_backbone(name: str, weights: Path) -> TimmEncoder | OpenClipEncoder:
    found = load_encoder(name, weights=weights)
    assert isinstance(found, TimmEncoder | OpenClipEncoder)
    return found


def walk(
    n_places: int, *, apart_m: float = 60.0, start: tuple[float, float] = (9.5003, 47.1007)
) -> NDArray[np.float64]:
    """Places along a way due east, (n, 2) degrees."""
    first = np.broadcast_to(np.array(start), (n_places, 2))
    return destination(first, 90.0, np.arange(n_places) * apart_m / 1000.0)


def look(place: int, day: int, *, px: int = 64) -> NDArray[np.uint8]:
    """A photo of a place: its own pattern, in the light of a day, from a little aside, (px, px, 3)."""
    own = np.random.default_rng([place, 1])
    that_day = np.random.default_rng([place, day, 2])
    coarse = own.integers(0, 256, (6, 6, 3)).astype(np.uint8)
    picture = np.asarray(
        Image.fromarray(coarse).resize((px + 8, px + 8), Image.Resampling.BICUBIC), np.float64
    )
    left, top = that_day.integers(0, 8, 2)
    light = that_day.uniform(0.6, 1.0)
    noise = that_day.normal(0.0, 6.0, (px, px, 3))
    seen: NDArray[np.uint8] = np.clip(
        light * picture[top : top + px, left : left + px] + noise, 0, 255
    ).astype(np.uint8)
    return seen


def write_walks(
    folder: Path, n_places: int, n_days: int
) -> tuple[list[Path], NDArray[np.float64], list[str]]:
    """Photos of a way walked on several days, up to 8 m apart: files, places, the day of each."""
    files, lonlat, days = [], [], []
    for day in range(n_days):
        at = destination(walk(n_places), 15.0 * day, np.full(n_places, 0.004 * day))
        for place in range(n_places):
            path = folder / f"{place:03}-{day}.png"
            Image.fromarray(look(place, day)).save(path)
            files.append(path)
            lonlat.append(at[place])
            days.append(f"day-{day}")
    return files, np.array(lonlat), days
