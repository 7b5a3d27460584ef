"""`placeprint vectors`: photos embedded by a second encoder, searched by it, listed, forgotten."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from program import Answer, run_program

SECOND = ("--encoder", "timm:test_vit", "--weights", "second.safetensors")


def run(folder: Path, *words: str) -> Answer:
    return run_program(folder, *words)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import safetensors.torch
    import timm
    import torch

    folder = tmp_path_factory.mktemp("vectors")
    torch.manual_seed(0)
    model = timm.create_model("test_vit", pretrained=False, num_classes=0)
    safetensors.torch.save_file(model.state_dict(), folder / "second.safetensors")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        pixels = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST).save(
            folder / "photos" / f"{i}.png"
        )
    answer = run(folder, "index", "photos", "-g", "trips", "--encoder", "demonstration", "--no-calibrate")
    assert answer.returncode == 0, answer.stderr
    return folder


def test_from_building_to_forgetting(folder: Path) -> None:
    answer = run(folder, "vectors", "build", "second", "-g", "trips")
    assert answer.returncode == 2 and "say by which --encoder" in answer.stderr
    answer = run(folder, "vectors", "build", "second", "-g", "trips", *SECOND, "--int8", "--json")
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout.splitlines()[-1])
    assert (told["n_embedded"], told["n_there"], told["n_photos"]) == (8, 0, 8)
    (folder / "photos" / "7.png").unlink()
    answer = run(
        folder, "vectors", "build", "second", "-g", "trips", "--json"
    )  # encoder and weights are known
    assert json.loads(answer.stdout.splitlines()[-1])["n_there"] == 8
    listed = [
        json.loads(line)
        for line in run(folder, "vectors", "list", "-g", "trips", "--json").stdout.splitlines()
    ]
    assert [(one["name"], one["n_photos"], one["is_int8"]) for one in listed] == [
        ("image", 8, False), ("second", 8, True),
    ]  # fmt: skip
    found = {}
    for using in ("image", "second"):
        answer = run(folder, "search", "photos/3.png", "-g", "trips", "--using", using, "-k", "8", "--json")
        assert answer.returncode == 0, answer.stderr
        found[using] = [json.loads(line) for line in answer.stdout.splitlines()]
        assert found[using][0]["image"].endswith("3.png")
        assert found[using][0]["similarity"] == pytest.approx(1.0, abs=1e-3)
    assert [one["similarity"] for one in found["image"]] != [one["similarity"] for one in found["second"]]
    how = ("--mode", "place", "--using", "second", "-g", "trips", "-k", "3")
    answer = run(folder, "search", "photos/3.png", *how, "--unsure", "0", "--look-again", "2", "--json")
    assert answer.returncode == 0, answer.stderr
    *photos, told = [json.loads(line) for line in answer.stdout.splitlines()]
    assert told["looked_again"] and told["missing"] == [] and 0.0 <= told["doubt"] < 0.1
    assert photos[0]["image"].endswith("3.png") and photos[0]["score"] == pytest.approx(1.0, abs=1e-3)
    assert [one["score"] is None for one in photos] == [False, False, True]
    answer = run(folder, "search", "photos/3.png", *how, "--match-map", "match.png")
    with Image.open(folder / "match.png") as picture:
        assert picture.width == 1080 and not picture.getexif()
        assert np.ptp(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0).min() > 50
    assert "doubt 0.0" in answer.stdout and "no second look" in answer.stdout
    # The demonstration's encoder has no layers to read, and needs none where nobody looks again.
    asked = ("search", "photos/3.png", "-g", "trips", "--mode", "place", "--using", "image")
    assert run(folder, *asked, "--look-again", "0").returncode == 0
    answer = run(folder, *asked)
    assert answer.returncode == 2 and "layers cannot be read" in answer.stderr
    for words, said in (
        (("--text", "a town", "--mode", "place"), "give one"),
        (("--unsure", "0.5"), "go with"),
    ):
        answer = run(folder, "search", *words, "-g", "trips")
        assert answer.returncode == 2 and said in answer.stderr
    answer = run(folder, "search", "photos/3.png", "-g", "trips", "--using", "third")
    assert answer.returncode == 1 and "there are image, second" in answer.stderr
    assert run(folder, "vectors", "remove", "second", "-g", "trips").returncode == 0
    answer = run(folder, "vectors", "remove", "second", "-g", "trips")
    assert answer.returncode == 1 and "no vectors 'second'" in answer.stderr


def test_a_photo_whose_file_is_gone_is_named(folder: Path) -> None:
    image = folder / "photos" / "6.png"
    content = image.read_bytes()
    image.unlink()
    answer = run(folder, "vectors", "build", "later", "-g", "trips", *SECOND)
    image.write_bytes(content)
    assert answer.returncode == 3 and "6.png" in answer.stdout + answer.stderr
    answer = run(folder, "vectors", "build", "later", "-g", "trips", "--weights", "gone.safetensors")
    assert answer.returncode == 1 and "gone.safetensors: no such file" in answer.stderr
