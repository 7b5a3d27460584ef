"""Scenes become files: all of them, whole, once, and by processes that import little."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from placeprint.encoders.scenes import drawing
from placeprint.encoders.scenes.painting import draw
from placeprint.encoders.scenes.scene import Scene, cues_of


@pytest.fixture
def scene() -> Scene:
    return cues_of(2.35, 48.86, "FR", 2_000_000, np.random.default_rng(1))


def test_each_scene_is_its_file_and_what_is_there_stays(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_bytes(b"here already")
    drawing.draw_files([(scene, tmp_path / f"{i}.jpg") for i in range(30)])
    assert {path.name for path in tmp_path.iterdir()} == {f"{i}.jpg" for i in range(30)}
    assert (tmp_path / "0.jpg").read_bytes() == b"here already"
    picture, wanted = (np.asarray(one, float) for one in (Image.open(tmp_path / "29.jpg"), draw(scene)))
    assert picture.shape == wanted.shape
    assert np.abs(picture - wanted).mean() < 8  # JPEG


def test_an_error_of_a_process_is_an_error_here(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        drawing.draw_files([(scene, tmp_path / "nowhere" / "0.jpg")])


def test_its_processes_do_not_wait_for_torch() -> None:
    code = f"import sys, {drawing.__name__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
