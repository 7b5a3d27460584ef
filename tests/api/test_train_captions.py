"""``placeprint train captions``: what it prints, what it leaves, how it fails."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caption_fakes import NAME, colored, tiny_weights, towns
from PIL import Image
from program import Answer, run_program

from placeprint.encoders.catalog import load_encoder

QUICK = (
    "--tune",
    "all",
    "--epochs",
    "2",
    "--batch-size",
    "64",
    "--learning-rate",
    "1e-3",
    "--block-deg",
    "10",
)


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placeprint.encoders.captioning.report.draw_curves", lambda *_: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 130 photos, one of them damaged and one without a place; weights of a tiny model."""
    folder = tmp_path_factory.mktemp("captions")
    lonlat = towns(130)
    lines = ["image,lon,lat"]
    (folder / "photos").mkdir()
    for row, (picture, (lon, lat)) in enumerate(zip(colored(lonlat), lonlat.tolist(), strict=True)):
        Image.fromarray(picture).save(folder / "photos" / f"{row:03}.png")
        lines.append(f"photos/{row:03}.png,{lon},{lat}" if row != 5 else "photos/005.png,,")
    (folder / "photos" / "007.png").write_bytes(b"damaged")
    (folder / "photos.csv").write_text("\n".join(lines))
    tiny_weights(folder).rename(folder / "tiny.safetensors")
    return folder


def train(folder: Path, out: str, *words: str) -> Answer:
    model = () if "--model" in words else ("--model", NAME, "--weights", "tiny.safetensors")
    return run_program(folder, "train", "captions", "--out", out, *model, *words)


def events(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.stdout.splitlines()]


@pytest.fixture(scope="module")
def trained(folder: Path) -> tuple[Path, Answer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("placeprint.encoders.captioning.report.draw_curves", lambda *_: None)
        answer = train(folder, "runs/a", "--photos", "photos.csv", *QUICK)
    assert answer.returncode == 0, answer.stderr
    return folder / "runs" / "a", answer


def test_what_it_says_and_leaves(trained: tuple[Path, Answer]) -> None:
    out, answer = trained
    told = events(answer)
    assert [one["event"] for one in told] == ["photos", "round", "round", "report"]
    assert (told[0]["listed"], told[0]["used"], told[0]["left_out"]) == (130, 128, 2)
    assert told[-1]["after"] == json.loads((out / "report.json").read_text())["after"]
    left_out = (out / "left-out.tsv").read_text()
    assert "005.png\tno place" in left_out and "007.png" in left_out
    assert set(told[-1]["source"]["sources"]) == {str(out.parents[1] / "photos.csv")}


def test_the_encoder_indexes_photos_and_trains_again_from_the_gallery(
    folder: Path, trained: tuple[Path, Answer]
) -> None:
    indexed = run_program(
        folder, "index", "photos.csv", "--gallery", "towns", "--encoder", NAME,
        "--weights", "runs/a/encoder.safetensors",
    )  # fmt: skip
    assert indexed.returncode in (0, 3), indexed.stderr  # 3: the damaged one
    answer = train(folder, "runs/again", "--gallery", "towns", *QUICK, "--style", "photo")
    assert answer.returncode == 0, answer.stderr
    assert events(answer)[-1]["source"]["gallery"] == "towns" and events(answer)[0]["used"] == 128
    texts = load_encoder(NAME, weights=folder / "runs/again/encoder.safetensors").embed_texts(
        ["Picture in Peru."]
    )
    assert texts.shape == (1, 32) and np.isfinite(texts).all()


def test_the_same_command_again_says_how_to_go_on(folder: Path, trained: tuple[Path, Answer]) -> None:
    again = train(folder, "runs/a", "--photos", "photos.csv", *QUICK)
    assert again.returncode == 1 and "--resume" in again.stderr and again.stdout == ""
    resumed = train(folder, "runs/a", "--photos", "photos.csv", *QUICK, "--resume")
    assert resumed.returncode == 0 and events(resumed)[-1] == events(trained[1])[-1]
    other = train(folder, "runs/a", "--photos", "photos.csv", *QUICK, "--seed", "4", "--resume")
    assert other.returncode == 1 and "seed was 0, now 4" in other.stderr


def test_an_interruption_says_how_to_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("placeprint.encoders.train_captions.run_captions", interrupted)
    answer = train(folder, "runs/b", "--photos", "photos.csv", *QUICK)
    assert answer.returncode == 130 and "--resume" in answer.stderr and "runs/b" in answer.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--photos", "photos.csv", "--tune", "most"), 2, "projection, last-layer, lora, all"),
        (("--photos", "photos.csv", "--style", "poem"), 2, "street, photo"),
        (("--photos", "photos.csv", "--preset", "theirs"), 2, "ours, pigeon, pigeotto"),
        (("--photos", "photos.csv", "--epochs", "0"), 2, "epochs=0"),
        (("--photos", "photos.csv", "--device", "cuda:99"), 2, "try cpu"),
        (("--photos", "photos.csv", "--model", "demonstration"), 2, "can learn no other"),
        (("--photos", "photos.csv", "--model", "timm:resnet18"), 1, "pictures only"),
        (("--photos", "photos.csv", "--model", "open_clip:ViT-Z"), 2, "no model 'ViT-Z'"),
        (("--photos", "nothing.csv"), 1, "no such file"),
        (("--gallery", "none"), 1, "no gallery 'none'"),
        ((), 2, "--gallery NAME, or --photos PATH"),
        (("--photos", "photos.csv", "--gallery", "towns"), 2, "one of the two"),
        (("--photos", "photos/000.png"), 1, "no place"),
    ],
)
def test_what_cannot_work_is_named(folder: Path, words: tuple[str, ...], code: int, said: str) -> None:
    answer = train(folder, "runs/wrong", *words)
    assert (answer.returncode, said in answer.stderr) == (code, True), answer.stderr
    assert "Traceback" not in answer.stderr and not (folder / "runs" / "wrong").exists()


def test_damage_a_full_disk_and_a_file_for_a_folder_are_named(
    folder: Path, trained: tuple[Path, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = trained[0] / "checkpoint.safetensors"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:500])
    damaged = train(folder, "runs/a", "--photos", "photos.csv", *QUICK, "--resume")
    checkpoint.write_bytes(whole)
    assert damaged.returncode == 1 and "delete it" in damaged.stderr
    (folder / "file").write_text("")
    file = train(folder, "file", "--photos", "photos.csv", *QUICK)
    assert file.returncode == 1 and "cannot be a folder" in file.stderr

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    disk = train(folder, "runs/full", "--photos", "photos.csv", *QUICK)
    assert disk.returncode == 1 and "No space left" in disk.stderr and "Traceback" not in disk.stderr
