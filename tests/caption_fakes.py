"""A very small image–text model of open_clip's own making, and photos whose colors tell their place."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import open_clip
import safetensors.torch
import torch
from numpy.typing import NDArray

from placeprint.encoders.captioning.model import CaptionModel
from placeprint.encoders.captioning.photos import CaptionPhotos
from placeprint.encoders.places import load_places
from placeprint.encoders.sphere import unit_vectors
from placeprint.encoders.weights import _untrained

CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 48, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
NAME = "open_clip:placeprint-tiny"


def tiny_weights(folder: Path, *, seed: int = 0) -> Path:
    """Make the model known to open_clip, and first weights for it: their file."""
    path = folder / f"tiny-{seed}.safetensors"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "placeprint-tiny.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = {
            name: value.clone() for name, value in _untrained("placeprint-tiny", {}).state_dict().items()
        }
    safetensors.torch.save_file(state, path)
    return path


def tiny_model(folder: Path, *, seed: int = 0) -> CaptionModel:
    return CaptionModel(NAME, tiny_weights(folder, seed=seed))


def towns(n: int, *, seed: int = 0) -> NDArray[np.float64]:
    """Some large towns all over the world, (n, 2)."""
    places = load_places()
    large = np.flatnonzero(places.population > 100_000)
    lonlat: NDArray[np.float64] = places.lonlat[np.random.default_rng(seed).permutation(large)[:n]]
    return lonlat


def colored(lonlat: NDArray[np.float64], *, size: int = 32, seed: int = 1) -> NDArray[np.uint8]:
    """Pictures of one color, which is where on the globe, and noise: (n, size, size, 3)."""
    rng = np.random.default_rng(seed)
    base = 127.0 + 100.0 * unit_vectors(lonlat)[:, None, None, :]
    noisy = base + rng.normal(0.0, 12.0, (len(lonlat), size, size, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def made_up_photos(n: int = 240, *, seed: int = 0) -> CaptionPhotos:
    lonlat = towns(n, seed=seed)
    rng = np.random.default_rng(seed)
    return CaptionPhotos.of(
        [f"photo-{row}" for row in range(n)],
        colored(lonlat),
        lonlat,
        taken_at=[datetime(2024, int(month), 15, tzinfo=UTC) for month in rng.integers(1, 13, n)],
        heading_deg=rng.uniform(0, 360, n).tolist(),
    )
