"""A pre-training run: it learns, is deterministic, resumes to the bit, and refuses what it must.

The pairs are made up: an image shows a smooth function of its place, and noise. Claims: a run finds
held-out places better than chance and than the most similar photo; two runs of one seed are equal, a
killed and resumed one too; labels, held-out pairs and the caller's generator play no part; the
folder's files are what they say; damage and foreign runs are named.
"""

import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from placeprint.encoders.csp_sampling import Pairs
from placeprint.encoders.csp_settings import CspRun
from placeprint.encoders.csp_trainer import Split, Trainer, learning_rate
from placeprint.encoders.errors import (
    AnotherRun,
    DamagedCheckpoint,
    PlaceprintError,
    TooFewPairs,
    UnwritableFile,
)
from placeprint.encoders.location import LocationEncoder
from placeprint.encoders.location_catalog import load_location_encoder
from placeprint.encoders.sphere import uniform_on_sphere, unit_vectors
from placeprint.encoders.train_csp import run_csp

RUN = CspRun(
    positional="xyz",
    network_options={"hidden": 32, "dropout": 0.1},
    dimension=16,
    n_random=32,
    image_components=8,
    epochs=6,
    batch_size=128,
    evaluate_every=2,
    block_deg=20.0,
    seed=3,
)


def made_up_pairs(n: int = 400, *, noise: float = 0.3, seed: int = 0) -> Pairs:
    """Photos whose embeddings are a smooth map of their places, plus noise, all positive."""
    rng = np.random.default_rng(seed)
    lonlat = uniform_on_sphere(n, rng)
    seen = np.tanh(unit_vectors(lonlat) @ rng.normal(size=(3, 6)) * 1.5)
    images = np.exp(np.concatenate([seen, rng.normal(size=(n, 6))], axis=1) @ rng.normal(size=(12, 24)) * 0.3)
    images += noise * rng.normal(size=images.shape)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    return Pairs(images.astype(np.float32), lonlat, np.arange(n).astype(str), "made-up")


class Killed(Exception):
    """Stands for the end of the process."""


def kill_after(epoch: int) -> Any:
    def show(record: dict[str, Any], epochs: int) -> None:
        if record["epoch"] == epoch:
            raise Killed

    return show


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, run_csp(made_up_pairs(), RUN, out, source={"gallery": "made-up", "encoder": "tanh"})


@pytest.fixture(autouse=True)
def without_curves(done: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing costs more than all the rest of a small run; `done` has drawn once."""
    monkeypatch.setattr("placeprint.encoders.csp_report.draw_curves", lambda *_: None)


def log_of(out: Path) -> list[dict[str, Any]]:
    lines = (out / "log.jsonl").read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]  # what follows the last line's end is half written


# --- learning -------------------------------------------------------------------------------------


def test_a_run_finds_held_out_places(tmp_path: Path) -> None:
    report = run_csp(made_up_pairs(800), replace(RUN, epochs=40, learning_rate=5e-3), tmp_path / "run")
    median = {name: row["median_km"]["value"] for name, row in report["rows"].items()}
    assert report["rank_share"]["high"] < 0.15  # chance is 0.5
    assert median["floor"] < median["csp"] < 0.4 * median["random"]
    assert median["csp"] < median["nearest image"]
    losses = [record["loss"] for record in log_of(tmp_path / "run")]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("preset", ["ours", "csp-paper", "csp-scripts"])
def test_every_preset_runs_and_its_loss_falls(preset: str) -> None:
    # The scripts' temperature leaves a thirtieth of a nat to win, which is the point of ours.
    run = CspRun.preset(preset, epochs=8, batch_size=128, seed=0, block_deg=20.0, learning_rate=2e-3)
    trainer = Trainer(Split.of(made_up_pairs(), run), run)
    batch = [trainer.epoch()["loss_batch"] for _ in range(8)]
    assert batch[-1] < batch[0]
    spread = max(batch) - min(batch)
    assert spread < 0.2 if preset == "csp-scripts" else spread > 0.05


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "nce"},
        {"negatives": "data"},
        {"jitter_km": 50.0},
        {"shares_random": False, "n_random": 2},
    ],
)
def test_every_way_of_drawing_learns(changes: dict[str, Any]) -> None:
    run = replace(RUN, **changes)
    trainer = Trainer(Split.of(made_up_pairs(), run), run)
    before = float(np.mean(trainer.rank_shares(trainer.split.rows(1))))
    for _ in range(6):
        trainer.epoch()
    assert trainer.progress.best_score < before - 0.05


def test_the_learning_rate_is_a_function_of_the_step() -> None:
    cosine = [learning_rate(CspRun(learning_rate=1.0), step, 200) for step in range(200)]
    assert cosine[0] == pytest.approx(0.1) and max(cosine) == cosine[9] == 1.0
    assert cosine[10] == pytest.approx(1.0) and cosine[-1] < 1e-3
    assert all(a >= b for a, b in pairwise(cosine[9:]))
    paper = CspRun(learning_rate=1.0, schedule="exponential", epochs=30)
    assert [learning_rate(paper, step, 90) for step in (0, 2, 3, 89)] == pytest.approx([1, 1, 0.98, 0.98**29])


# --- the same again -------------------------------------------------------------------------------


@pytest.mark.parametrize("killed_after", [1, 4])
def test_a_killed_run_ends_with_the_same_bytes(
    done: tuple[Path, dict[str, Any]], tmp_path: Path, killed_after: int
) -> None:
    whole, report = done
    out, source = tmp_path / "killed", report["source"]
    with pytest.raises(Killed):
        run_csp(made_up_pairs(), RUN, out, source=source, checkpoint_s=0.0, show=kill_after(killed_after))
    assert not (out / "location.safetensors").exists()
    torch.manual_seed(killed_after)  # the state of the caller's generator is of no account
    assert run_csp(made_up_pairs(), RUN, out, is_resumed=True, source=source) == report
    for name in (
        "location.safetensors",
        "projection.safetensors",
        "checkpoint.safetensors",
        "log.jsonl",
        "card.md",
    ):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
def test_a_process_killed_without_warning_ends_with_the_same_bytes(tmp_path: Path) -> None:
    run = replace(RUN, epochs=150, evaluate_every=10)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import test_train_csp as t; "
        "run = t.replace(t.RUN, epochs=150, evaluate_every=10); "
        "t.run_csp(t.made_up_pairs(), run, Path(sys.argv[2]), checkpoint_s=0.0)"
    )
    out = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", code, str(Path(__file__).parent), str(out)])
    while process.poll() is None and (not (out / "log.jsonl").exists() or len(log_of(out)) < 20):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -9 and len(log_of(out)) < 150
    run_csp(made_up_pairs(), run, out, is_resumed=True)
    run_csp(made_up_pairs(), run, tmp_path / "whole")
    for name in ("location.safetensors", "checkpoint.safetensors", "log.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_run_killed_before_any_checkpoint_begins_anew(
    done: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    whole, report = done
    with pytest.raises(Killed):
        run_csp(made_up_pairs(), RUN, tmp_path / "run", checkpoint_s=1e9, show=kill_after(2))
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()
    run_csp(made_up_pairs(), RUN, tmp_path / "run", is_resumed=True, source=report["source"])
    assert (tmp_path / "run" / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()


def test_a_finished_run_that_is_resumed_reports_again(done: tuple[Path, dict[str, Any]]) -> None:
    out, report = done
    before = (out / "location.safetensors").read_bytes()
    assert run_csp(made_up_pairs(), RUN, out, is_resumed=True, source=report["source"]) == report
    assert (out / "location.safetensors").read_bytes() == before


def test_seeds_differ_and_the_callers_generator_is_left_alone(
    done: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    run_csp(made_up_pairs(), replace(RUN, seed=4), tmp_path / "other")
    assert torch.equal(torch.rand(1), expected)
    assert log_of(tmp_path / "other")[0]["loss"] != log_of(done[0])[0]["loss"]


def test_held_out_pairs_do_not_touch_the_weights() -> None:
    pairs = made_up_pairs()
    split = Split.of(pairs, RUN)
    spoiled = pairs.images.copy()
    spoiled[split.part != 0] = 7.0
    trained = []
    for images in (pairs.images, spoiled):
        trainer = Trainer(replace(split, pairs=replace(pairs, images=images)), RUN)
        for _ in range(2):
            trainer.epoch()
        trained.append(trainer.model.projection.weight.detach())
    assert torch.equal(*trained)


def test_the_best_epoch_on_the_validation_is_kept() -> None:
    trainer = Trainer(
        Split.of(made_up_pairs(noise=1.0), RUN), replace(RUN, evaluate_every=1, epochs=12, learning_rate=0.02)
    )
    while trainer.progress.epoch < 12:
        trainer.epoch()
    shares = [record["rank_share"] for record in trainer.progress.log]
    trainer.finish()
    assert trainer.progress.best_epoch == int(np.argmin(shares)) + 1
    assert float(np.mean(trainer.rank_shares(trainer.split.rows(1)))) == pytest.approx(min(shares))


def test_a_large_gallery_is_validated_on_a_part_that_stays_the_same() -> None:
    trainer = Trainer(Split.of(made_up_pairs(), RUN), RUN)
    asked = trainer.split.rows(1)
    few = trainer.errors_km(asked, n_most=20)
    assert np.array_equal(few, trainer.errors_km(asked, n_most=20))
    assert not np.array_equal(few, trainer.errors_km(asked))
    assert trainer.rank_shares(asked, n_most=20).shape == asked.shape


# --- what is left ---------------------------------------------------------------------------------


def test_the_encoder_loads_by_its_path_and_says_what_it_learned_from(
    done: tuple[Path, dict[str, Any]],
) -> None:
    out, _ = done
    encoder = load_location_encoder(str(out / "location.safetensors"))
    assert encoder.encode([[180.0, 10.0], [-180.0, 10.0]]).shape == (2, 16)
    card = LocationEncoder.load(out / "location.safetensors").card
    assert "photos of gallery 'made-up'" in card["training_data"] and "no labels" in card["training_data"]
    assert card["settings"]["epochs"] == 6 and card["pairs"]["training"] > 250
    text = (out / "card.md").read_text()
    assert "Held-out regions" in text and "Licence" in text and "best single place" in text


def test_the_two_files_rank_places_as_the_report_says(done: tuple[Path, dict[str, Any]]) -> None:
    out, report = done
    pairs = made_up_pairs()
    split = Split.of(pairs, RUN)
    side = safetensors.torch.load_file(out / "projection.safetensors")
    images = F.normalize(torch.from_numpy(pairs.images) @ side["weight"].T + side["bias"], dim=-1)
    places = F.normalize(
        torch.from_numpy(LocationEncoder.load(out / "location.safetensors").encode(pairs.lonlat)), dim=-1
    )
    train, test = split.rows(0), split.rows(2)
    best = train[(images[test] @ places[train].T).argmax(1).numpy()]
    from placeprint.encoders.sphere import great_circle_km

    errors = great_circle_km(pairs.lonlat[test], pairs.lonlat[best])
    assert float(np.median(errors)) == pytest.approx(report["rows"]["csp"]["median_km"]["value"], rel=1e-6)


def test_the_folder_holds_log_report_and_curves(done: tuple[Path, dict[str, Any]]) -> None:
    out, report = done
    log = log_of(out)
    assert [record["epoch"] for record in log] == [1, 2, 3, 4, 5, 6]
    assert {"loss", "loss_batch", "loss_location", "loss_dropout", "temperature_batch"} <= set(log[0])
    assert [("median_km" in record) for record in log] == [True, False, True, False, True, True]
    assert json.loads((out / "report.json").read_text()) == report
    assert set(report["rows"]) == {"floor", "csp", "nearest image", "constant", "random"}
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads((out / "run.json").read_text())
    assert told["settings"] == json.loads(json.dumps(RUN.to_dict())) and sum(told["pairs"].values()) == 400


# --- refusals -------------------------------------------------------------------------------------


def test_too_few_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TooFewPairs, match="99 photos of known place are too few"):
        run_csp(made_up_pairs(99), RUN, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_run_is_not_overwritten(done: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(AnotherRun, match="--resume"):
        run_csp(made_up_pairs(), RUN, done[0])


def test_a_run_with_other_settings_or_data_is_not_gone_on_with(done: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(AnotherRun, match="epochs was 6, now 7"):
        run_csp(made_up_pairs(), replace(RUN, epochs=7), done[0], is_resumed=True)
    with pytest.raises(AnotherRun, match="other photos or places"):
        run_csp(made_up_pairs(seed=1), RUN, done[0], is_resumed=True)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Killed):
        run_csp(made_up_pairs(), RUN, out, checkpoint_s=0.0, show=kill_after(2))
    path = out / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DamagedCheckpoint, match="delete it"):
        run_csp(made_up_pairs(), RUN, out, is_resumed=True)
    path.unlink()
    run_csp(made_up_pairs(), RUN, out, is_resumed=True)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"

    def fill(record: dict[str, Any], epochs: int) -> None:
        if record["epoch"] == 3:
            monkeypatch.setattr(
                "os.fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device"))
            )

    with pytest.raises(UnwritableFile, match="No space left"):
        run_csp(made_up_pairs(), RUN, out, checkpoint_s=0.0, show=fill)
    monkeypatch.undo()
    assert [path.name for path in out.glob(".*")] == []  # nothing half written
    run_csp(made_up_pairs(), RUN, out, is_resumed=True)
    assert len(log_of(out)) == 6


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(PlaceprintError, match="lower --learning-rate"):
        run_csp(made_up_pairs(), replace(RUN, learning_rate=1e30), tmp_path / "run")


@pytest.mark.parametrize("learning_rate", [100.0, 1e4, 1e9])
def test_a_run_that_diverges_quietly_says_so(tmp_path: Path, learning_rate: float) -> None:
    """Temperatures that learn grow until all similarities count as equal: the loss stays finite."""
    with pytest.raises(PlaceprintError, match=r"the run has diverged.*lower --learning-rate"):
        run_csp(made_up_pairs(), replace(RUN, learning_rate=learning_rate), tmp_path / "run")
    assert not (tmp_path / "run" / "location.safetensors").exists()
