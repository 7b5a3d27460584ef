"""``torchrun … placeprint train``: two processes train as one does, one speaks, the rest is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from fakes import fingerprint_of, record

from placeprint.encoders.sphere import uniform_on_sphere, unit_vectors
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings

pytestmark = pytest.mark.slow
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
QUICK = ("--epochs", "3", "--batch-size", "129", "--dimension", "16", "--block-deg", "20")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of 300 placed photos."""
    folder = tmp_path_factory.mktemp("torchrun")
    rng = np.random.default_rng(0)
    lonlat = uniform_on_sphere(300, rng)
    shown = np.concatenate(
        [unit_vectors(lonlat) @ rng.normal(size=(3, 5)), rng.normal(size=(300, 3))], axis=1
    )
    unit = (shown / np.linalg.norm(shown, axis=1, keepdims=True)).astype(np.float32)
    settings = Settings(home=folder / "home", qdrant_url=None)
    with Gallery.create("world", fingerprint_of(8), settings=settings) as gallery:
        places = enumerate(lonlat.tolist())
        gallery.add([record(f"photo-{row}", unit[row], lon=lon, lat=lat) for row, (lon, lat) in places])
    return folder


def train(folder: Path, *words: str, launcher: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PLACEPRINT_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *launcher, "-m", "placeprint.api.cli", "train", *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip


def test_two_processes_train_what_one_does_and_one_of_them_speaks(folder: Path) -> None:
    words = ("csp", "--gallery", "world", *QUICK)
    alone = train(folder, *words, "--out", "one")
    assert alone.returncode == 0, alone.stderr
    shared = train(folder, *words, "--out", "two", launcher=TORCHRUN)
    assert shared.returncode == 0, shared.stderr
    before, after = ([json.loads(line) for line in one.stdout.splitlines()] for one in (alone, shared))
    assert [event["event"] for event in after] == [event["event"] for event in before]
    assert after[-1]["rank_share"] == pytest.approx(before[-1]["rank_share"], rel=1e-4)
    weights = [safetensors.torch.load_file(folder / out / "location.safetensors") for out in ("one", "two")]
    for name, value in weights[0].items():
        assert float((value - weights[1][name]).norm()) <= 1e-4 * float(value.norm()), name
    again = train(folder, *words, "--out", "two", launcher=TORCHRUN)
    assert again.returncode == 1 and "--resume" in again.stderr


def test_what_one_process_trains_is_refused(folder: Path) -> None:
    answer = train(folder, "geocells", "--gallery", "world", "--out", "cells", launcher=TORCHRUN)
    assert answer.returncode != 0 and "use the same command without torchrun" in answer.stderr
    assert not (folder / "cells").exists()
