"""A caption training run: it learns, resumes to the bit, leaves an encoder, and refuses what it must.

The photos are made up: the color of a picture tells where on the globe it is. Claims: a run finds the
captions of held-out regions better than before; a killed and resumed run equals one that was not; held-out
photos and the caller's generator play no part; parts of a batch give what the batch gives.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from caption_fakes import NAME, made_up_photos, tiny_model

from placeprint.encoders.captioning.photos import CaptionPhotos
from placeprint.encoders.captioning.settings import CaptionRun
from placeprint.encoders.captioning.trainer import CaptionTrainer, cropped
from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.errors import (
    AnotherRun,
    DamagedCheckpoint,
    PlaceprintError,
    TooFewPairs,
    UnwritableFile,
)
from placeprint.encoders.image import ImageEncoder
from placeprint.encoders.train_captions import run_captions

RUN = CaptionRun(
    tune="all", learning_rate=2e-3, epochs=3, batch_size=64, part_size=64, block_deg=10.0, evaluate_every=2,
    seed=3,
)  # fmt: skip
QUICK = replace(RUN, epochs=2, evaluate_every=3)


class Killed(Exception):
    """Stands for the end of the process."""


def kill_after(number: int) -> Any:
    def show(record: dict[str, Any], rounds: int) -> None:
        if record["round"] == number:
            raise Killed

    return show


@pytest.fixture(scope="module")
def photos() -> CaptionPhotos:
    return made_up_photos(150)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def done(
    photos: CaptionPhotos, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, run_captions(photos, tiny_model(models), RUN, out, source={"photos": "made up"})


@pytest.fixture(autouse=True)
def without_curves(done: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing costs more than all the rest of a small run; `done` has drawn once."""
    monkeypatch.setattr("placeprint.encoders.captioning.report.draw_curves", lambda *_: None)


# --- learning -------------------------------------------------------------------------------------


def test_a_run_learns_to_find_captions_of_held_out_regions(models: Path, tmp_path: Path) -> None:
    run = replace(RUN, style="photo", epochs=12, test_share=0.25, evaluate_every=24)
    report = run_captions(made_up_photos(300), tiny_model(models), run, tmp_path / "run")
    before, after = (report[moment]["rank_share"] for moment in ("before", "after"))
    assert after["value"] < 0.35 and after["high"] < 0.42 < before["value"]  # 0.5 is chance
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0] - 0.3


@pytest.mark.parametrize(
    "tune",
    [
        pytest.param("projection", marks=pytest.mark.slow),
        pytest.param("last-layer", marks=pytest.mark.slow),
        "lora",
    ],
)
def test_every_kind_of_tuning_lowers_the_loss_and_leaves_the_rest_alone(
    photos: CaptionPhotos, models: Path, tmp_path: Path, tune: Any
) -> None:
    model = tiny_model(models)
    run = replace(RUN, tune=tune, learning_rate=5e-3, epochs=5, evaluate_every=5)
    first = {name: value.clone() for name, value in model.network.state_dict().items()}
    run_captions(photos, model, run, tmp_path / "run")
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert records[-1]["loss"] < records[0]["loss"] - 0.02
    last = safetensors.torch.load_file(tmp_path / "run" / "encoder.safetensors")
    assert set(last) == set(first)
    moved = {name for name in first if not torch.equal(first[name], last[name])}
    assert "visual.proj" in moved and "token_embedding.weight" not in moved
    in_first_block = [name for name in moved if "resblocks.0." in name]
    assert bool(in_first_block) == (tune == "lora")


def test_parts_of_a_batch_give_what_the_batch_gives(photos: CaptionPhotos, models: Path) -> None:
    losses, weights = [], []
    for part_size in (64, 7):
        trainer = CaptionTrainer(photos, replace(RUN, part_size=part_size), tiny_model(models))
        losses.append([trainer.step() for _ in range(3)])
        weights.append(trainer.model.network.visual.proj.detach().clone())
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    torch.testing.assert_close(weights[0], weights[1], atol=2e-4, rtol=1e-3)


def test_captions_change_with_the_epoch_and_not_with_the_batch(photos: CaptionPhotos, models: Path) -> None:
    trainer = CaptionTrainer(photos, RUN, tiny_model(models))
    rows = np.arange(20)
    first = trainer.captions_of(rows, draw=0)
    assert trainer.captions_of(rows[::-1], draw=0) == first[::-1]
    assert sum(a != b for a, b in zip(first, trainer.captions_of(rows, draw=1), strict=True)) > 10


def test_held_out_photos_play_no_part(photos: CaptionPhotos, models: Path) -> None:
    trainer = CaptionTrainer(photos, RUN, tiny_model(models))
    seen = {int(row) for step in range(trainer.n_steps) for row in trainer.batch_rows(step)}
    assert seen == set(trainer.rows(0).tolist())
    regions = [set(trainer.region[trainer.rows(part)].tolist()) for part in range(3)]
    assert all(regions) and not (
        regions[0] & regions[1] or regions[0] & regions[2] or regions[1] & regions[2]
    )


def test_a_crop_is_a_square_of_the_picture_and_never_mirrored() -> None:
    ramp = torch.linspace(0, 1, 32).expand(50, 3, 32, 32)  # dark left, light right
    cut = cropped(ramp, 0.8, np.random.default_rng(0))
    assert cut.shape == ramp.shape and float(cut.min()) >= 0.0 and float(cut.max()) <= 1.0
    spread = (cut[:, 0, 16, -1] - cut[:, 0, 16, 0]).numpy()
    assert spread.min() > 0.75 and spread.max() < 1.01 and spread.std() > 0.03
    assert cropped(ramp, 1.0, np.random.default_rng(0)) is ramp
    again = cropped(ramp, 0.8, np.random.default_rng(0))
    assert torch.equal(cut, again)


# --- the same again -------------------------------------------------------------------------------


def test_a_killed_run_ends_with_the_same_bytes(
    photos: CaptionPhotos, models: Path, done: tuple[Path, Any], tmp_path: Path
) -> None:
    whole, report = done
    out = tmp_path / "killed"
    with pytest.raises(Killed):
        run_captions(photos, tiny_model(models), RUN, out, checkpoint_s=0.0, show=kill_after(2))
    assert not (out / "encoder.safetensors").exists()
    torch.manual_seed(77)  # the state of the caller's generator is of no account
    resumed = run_captions(
        photos, tiny_model(models), RUN, out, is_resumed=True, source={"photos": "made up"}
    )
    assert {**resumed, "use": ""} == {**report, "use": ""}
    for name in ("checkpoint.safetensors", "log.jsonl"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    one, other = (safetensors.torch.load_file(folder / "encoder.safetensors") for folder in (out, whole))
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.slow
def test_a_killed_run_of_adapters_ends_with_the_same_weights(
    photos: CaptionPhotos, models: Path, tmp_path: Path
) -> None:
    run = replace(QUICK, tune="lora")
    run_captions(photos, tiny_model(models), run, tmp_path / "whole")
    with pytest.raises(Killed):
        run_captions(photos, tiny_model(models), run, tmp_path / "cut", checkpoint_s=0.0, show=kill_after(1))
    run_captions(photos, tiny_model(models), run, tmp_path / "cut", is_resumed=True)
    one, other = (
        safetensors.torch.load_file(tmp_path / name / "encoder.safetensors") for name in ("whole", "cut")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_callers_generator_is_left_alone(photos: CaptionPhotos, models: Path, tmp_path: Path) -> None:
    model = tiny_model(models)
    torch.manual_seed(5)
    expected = torch.random.get_rng_state()
    run_captions(photos, model, replace(QUICK, epochs=1), tmp_path / "run")
    assert torch.equal(torch.random.get_rng_state(), expected)


# --- what it leaves -------------------------------------------------------------------------------


def test_the_encoder_is_one_of_the_catalog(done: tuple[Path, dict[str, Any]], photos: CaptionPhotos) -> None:
    out, _ = done
    encoder: ImageEncoder = load_encoder(NAME, weights=out / "encoder.safetensors")
    assert encoder.embed_pixels(photos.pixels[np.arange(3)]).shape == (3, 32)
    assert encoder.embed_texts(["Picture in Fiji."]).shape == (1, 32)


def test_the_report_the_card_and_the_curves(done: tuple[Path, dict[str, Any]]) -> None:
    out, report = done
    assert json.loads((out / "report.json").read_text()) == report
    assert sum(report["photos"].values()) == 150 and report["rounds"] == 3
    assert {"rank_share", "country_at_1", "climate_at_1"} <= set(report["before"]) & set(report["after"])
    assert report["use"].endswith(f"--encoder {NAME} --weights {out / 'encoder.safetensors'}")
    card = (out / "card.md").read_text()
    assert "before | after | most common" in card and "GeoNames" in card and "'street'" in card
    assert (out / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert not (out / "left-out.tsv").exists()


def test_the_best_weights_are_kept(photos: CaptionPhotos, models: Path) -> None:
    trainer = CaptionTrainer(photos, replace(RUN, evaluate_every=1), tiny_model(models))
    ranks, kept = [], []
    for _ in range(4):
        ranks.append(trainer.round()["rank_share"])
        kept.append(trainer.model.network.visual.proj.detach().clone())
    trainer.finish()
    best = int(np.argmin(ranks))
    assert trainer.progress.best_epoch == best + 1
    assert torch.equal(trainer.model.network.visual.proj, kept[best])


# --- refusals -------------------------------------------------------------------------------------


def test_another_run_in_the_folder_is_named(
    done: tuple[Path, Any], photos: CaptionPhotos, models: Path
) -> None:
    out, _ = done
    with pytest.raises(AnotherRun, match="--resume"):
        run_captions(photos, tiny_model(models), RUN, out)
    with pytest.raises(AnotherRun, match="epochs was 3, now 4"):
        run_captions(photos, tiny_model(models), replace(RUN, epochs=4), out, is_resumed=True)
    with pytest.raises(AnotherRun, match="other photos"):
        run_captions(made_up_photos(149), tiny_model(models), RUN, out, is_resumed=True)
    with pytest.raises(AnotherRun, match="same model and weights"):
        run_captions(photos, tiny_model(models, seed=9), RUN, out, is_resumed=True)


def test_too_few_photos_leave_no_folder(models: Path, tmp_path: Path) -> None:
    with pytest.raises(TooFewPairs, match="99 photos"):
        run_captions(made_up_photos(99), tiny_model(models), RUN, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint_is_named(photos: CaptionPhotos, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Killed):
        run_captions(photos, tiny_model(models), QUICK, out, checkpoint_s=0.0, show=kill_after(1))
    path = out / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DamagedCheckpoint, match="delete it"):
        run_captions(photos, tiny_model(models), QUICK, out, is_resumed=True)


def test_a_full_disk_is_named_and_leaves_nothing_half_written(
    photos: CaptionPhotos, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    def fill(record: dict[str, Any], rounds: int) -> None:
        monkeypatch.setattr("os.fsync", full)

    with pytest.raises(UnwritableFile, match="No space left"):
        run_captions(photos, tiny_model(models), QUICK, tmp_path / "run", checkpoint_s=0.0, show=fill)
    assert list((tmp_path / "run").glob(".*")) == []


def test_a_loss_that_is_no_number_ends_the_run(photos: CaptionPhotos, models: Path) -> None:
    trainer = CaptionTrainer(photos, RUN, tiny_model(models))
    with torch.no_grad():
        trainer.model.network.visual.proj.fill_(torch.nan)
    with pytest.raises(PlaceprintError, match="lower --learning-rate"):
        trainer.step()
