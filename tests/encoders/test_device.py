"""Where image encoders compute.

Claims: without a GPU everything runs on the processor, and asking for one is told what is missing; with
several, the right one is taken. That it gives the same is asked in `test_image`.
"""

from pathlib import Path

import pytest
import torch
from program import run_program

from placeprint.encoders.device import compute_device
from placeprint.encoders.errors import InvalidOption


def with_gpus(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n)


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 0)
    assert str(compute_device()) == str(compute_device("cpu")) == "cpu"
    with_gpus(monkeypatch, 2)
    assert str(compute_device()) == "cuda"
    assert [str(compute_device(name)) for name in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda:1"]


@pytest.mark.parametrize(
    ("name", "n", "told"),
    [("cuda", 0, "no GPU here"), ("cuda:2", 2, "2 GPUs here"), ("cuda:1", 1, "1 GPU here")],
)
def test_a_gpu_that_is_not_there_is_refused(
    name: str, n: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(monkeypatch, n)
    with pytest.raises(InvalidOption, match=told):
        compute_device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "", "CPU", "tpu"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidOption, match="auto, cpu or cuda"):
        compute_device(name)


@pytest.mark.parametrize("how", ["option", "setting"])
def test_the_command_says_that_there_is_no_gpu(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(monkeypatch, 0)
    words = ["index", str(scene(tmp_path)), "--gallery", "x", "--encoder", "demonstration"]
    if how == "option":
        words += ["--device", "cuda"]
    else:
        monkeypatch.setenv("PLACEPRINT_DEVICE", "cuda")
    answer = run_program(tmp_path, *words)
    assert answer.returncode == 2
    assert "no GPU here" in answer.stderr and "Traceback" not in answer.stderr


def scene(folder: Path) -> Path:
    from PIL import Image

    photos = folder / "photos"
    photos.mkdir()
    Image.new("RGB", (40, 30), "green").save(photos / "a.png")
    return photos
