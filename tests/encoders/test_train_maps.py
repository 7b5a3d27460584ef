"""A map run: it learns, is deterministic, resumes to the bit, and says when it collapses.

The map is made up (`map_fakes.Country`). Claims: losses fall and held-out prices are told; a run that
was killed, also without warning, ends with the same bytes as one that was not; gradients do not reach
the teacher; collapse is refused, or flagged within 500 steps; the folder's files are what they say.
"""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from map_fakes import Country, places_of

from placeprint.encoders.errors import (
    AnotherRun,
    DamagedCheckpoint,
    InvalidCoordinate,
    InvalidOption,
    PlaceprintError,
    TooFewPairs,
)
from placeprint.encoders.map_learning import monitor
from placeprint.encoders.map_learning.encoder import MapEncoder
from placeprint.encoders.map_learning.geo_targets import PlaceLabels
from placeprint.encoders.map_learning.model import is_of_several_classes
from placeprint.encoders.map_learning.monitor import MESSAGES
from placeprint.encoders.map_learning.settings import MapRun
from placeprint.encoders.map_learning.trainer import MapTrainer
from placeprint.encoders.train_maps import class_colors, run_maps

RUN = MapRun(
    global_px=16, local_px=16, n_local=1, dimension=16, n_out=16, head_hidden=32, bottleneck=16,
    n_prototypes=8, cluster_width=8, n_geocells=4, ground_m=500.0, epochs=4, batch_size=16, seed=3,
    learning_rate=1e-3, surroundings_zoom=1.5,
)  # fmt: skip
FILES = ("checkpoint.safetensors", "log.jsonl", "map-encoder.safetensors", "card.md")


def country(n: int = 120) -> tuple[Country, np.ndarray, PlaceLabels]:
    """A map, places, and the prices of half of them."""
    source, lonlat = Country(), places_of(n)
    price = source.prices(lonlat)
    price[::2] = np.nan
    return source, lonlat, PlaceLabels(price, np.full(n, np.nan))


def run_it(out: Path, run: MapRun = RUN, n: int = 120, **options: Any) -> dict[str, Any]:
    source, lonlat, labels = country(n)
    return run_maps(source, lonlat, run, out, labels=labels, **options)


def trainer_of(run: MapRun = RUN, n: int = 120, *, is_checked: bool = True) -> MapTrainer:
    source, lonlat, labels = country(n)
    return MapTrainer(source, lonlat, labels, run, colors=class_colors(), is_checked=is_checked)


class Killed(Exception):
    """Stands for the end of the process."""


def kill_after(epoch: int) -> Any:
    def show(record: dict[str, Any], epochs: int) -> None:
        if record["epoch"] == epoch:
            raise Killed

    return show


def log_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().split("\n")[:-1]]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, run_it(out, facts={"mosaics": ["country.tif"], "attribution": "nobody"})


# --- learning -------------------------------------------------------------------------------------


def test_losses_fall_and_held_out_prices_are_told(tmp_path: Path) -> None:
    run = replace(RUN, epochs=12, batch_size=32, held_out_share=0.2, learning_rate=3e-3)
    report = run_it(tmp_path / "run", run, 500)
    first, *_, last = log_of(tmp_path / "run")
    for part in ("price", "reconstruction"):
        assert last[part] < 0.9 * first[part], part
    assert last["messages"] == []
    assert last["kl"] < first["kl"]
    held = report["held_out"]
    assert held["price"]["places"] > 10 and held["price"]["r2_log"] > 0.5
    assert held["price"]["mae_log"] < 0.8 * held["price"]["constant_mae_log"]
    assert held["position"]["median_km"] < 30.0


PARTS = (
    "koleo_weight", "geo_weight", "reconstruction_weight", "clustering_weight", "surroundings_weight",
    "distillation_weight",
)  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_left_out(part: str) -> None:
    trainer = trainer_of(replace(RUN, **{part: 0.0}))
    losses = trainer.model.losses(trainer.cut(0)[1], _labels(trainer), 0.04)
    trainer.close()
    name = {"geo_weight": "price", "distillation_weight": ""}.get(part, part.removesuffix("_weight"))
    assert name not in losses.parts
    assert torch.isfinite(losses.total.detach())


def _labels(trainer: MapTrainer) -> Any:
    from placeprint.encoders.map_learning.geo_heads import GeoBatch

    rows = trainer.rows_of(0)
    return GeoBatch.of(trainer.labels.take(rows), trainer.lonlat[trainer.split.train[rows]])


def test_the_total_is_the_weighted_sum_of_its_parts() -> None:
    run = replace(RUN, weighting="equal", geo_weight=0.5, reconstruction_weight=0.25, clustering_weight=2.0)
    trainer = trainer_of(run)
    found = trainer.model.losses(trainer.cut(0)[1], _labels(trainer), 0.04)
    parts = {name: float(loss) for name, loss in found.parts.items()}
    geo = (parts["price"] + parts["position"] + parts["geocell"]) / 3
    wanted = parts["distillation"] + 0.02 * parts["koleo"] + 0.5 * geo
    wanted += 0.25 * parts["reconstruction"] + 2.0 * parts["clustering"] + parts["surroundings"]
    assert float(found.total.detach()) == pytest.approx(wanted, rel=1e-5)


def test_equal_crops_of_the_sea_are_not_driven_apart() -> None:
    trainer = trainer_of(replace(RUN, channel_dropout=0.0))
    views = trainer.cut(0)[1]
    before = float(trainer.model.losses(views, _labels(trainer), 0.04).parts["koleo"])
    views.global_ids[:, 1::2] = 1
    after = float(trainer.model.losses(views, _labels(trainer), 0.04).parts["koleo"])
    assert is_of_several_classes(views.global_ids[0])[1::2].sum() == 0
    assert after < before + 1.0  # equal crops would cost 18 nats each
    views.global_ids[:] = 1
    assert float(trainer.model.losses(views, _labels(trainer), 0.04).parts["koleo"]) == 0.0


@pytest.mark.parametrize(
    "changes",
    [
        {"variant": "paper", "koleo_weight": 0.0},
        {"weighting": "log-variance", "density_loss": "soft-bins"},
        {"is_bf16": True, "is_channels_last": True},
        {"n_local": 0, "is_flipped": True},
        {"head_is_batch_normed": False, "clip": 0.0},
        pytest.param({"network": "resnet50", "global_px": 32, "local_px": 32}, marks=pytest.mark.slow),
    ],
)
def test_every_way_of_training_takes_steps(changes: dict[str, Any]) -> None:
    trainer = trainer_of(replace(RUN, **changes))
    with torch.random.fork_rng(devices=[]):
        trainer.model.train()
        for _ in range(2):
            losses = trainer.step()
    trainer.close()
    assert torch.isfinite(losses.total.detach()) and trainer.progress.step == 2


def test_a_batch_without_labels_trains_on() -> None:
    source, lonlat, _ = country()
    price = np.full(len(lonlat), np.nan)
    price[0] = 100.0
    labels = PlaceLabels(price, np.full(len(lonlat), np.nan))
    run = replace(RUN, held_out_share=0.0, keep_floor=1.0)
    trainer = MapTrainer(source, lonlat, labels, run, colors=class_colors())
    record = trainer.epoch()
    trainer.close()
    assert np.isfinite(record["loss"]) and np.isfinite(record["price"])


def test_gradients_do_not_reach_the_teacher_and_the_frozen_layer_waits() -> None:
    trainer = trainer_of(replace(RUN, frozen_epochs=1))
    student = trainer.model.student
    before = {name: one.detach().clone() for name, one in student.named_parameters()}
    teacher = {name: one.detach().clone() for name, one in trainer.model.teacher.named_parameters()}
    with torch.random.fork_rng(devices=[]):
        trainer.model.train()
        trainer.step()
        assert all(one.grad is None for one in trainer.model.teacher.parameters())
        assert torch.equal(student.head.directions, before["head.directions"])
        for name, one in trainer.model.teacher.named_parameters():
            wanted = teacher[name] + (1.0 - 0.99) * (dict(student.named_parameters())[name] - teacher[name])
            torch.testing.assert_close(one.detach(), wanted.detach(), rtol=1e-4, atol=1e-6)
        for _ in range(trainer.epoch_steps):
            trainer.step()
        assert not torch.equal(student.head.directions, before["head.directions"])
    trainer.close()


def seen_by(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, list[Any]]:
    """What decoder, heads and branches are given in one step."""
    trainer = trainer_of(replace(RUN, channel_dropout=0.9, **changes))
    model, seen = trainer.model, {"student": [], "teacher": [], "decoder": [], "heads": []}
    see, decode, geo = model._see, model.decoder.forward, model.geo.forward

    def seeing(branch: Any, views: Any, **how: Any) -> Any:
        found = see(branch, views, **how)
        seen["student" if branch is model.student else "teacher"].append((how["dropout"], found.embedding))
        return found

    def decoding(ids: Any, mask: Any, embedding: Any) -> Any:
        seen["decoder"].append((ids, embedding))
        return decode(ids, mask, embedding)

    def judging(embedding: Any, batch: Any) -> Any:
        seen["heads"].append(embedding)
        return geo(embedding, batch)

    monkeypatch.setattr(model, "_see", seeing)
    monkeypatch.setattr(model.decoder, "forward", decoding)
    monkeypatch.setattr(model.geo, "forward", judging)
    with torch.random.fork_rng(devices=[]):
        model.train()
        seen["views"] = [trainer.cut(0)[1]]
        trainer.step()
    trainer.close()
    return seen


def test_what_is_masked_is_told_by_the_other_view_and_heads_judge_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = seen_by(monkeypatch)
    ((_, embedding),) = seen["student"]
    ((ids, told),) = seen["decoder"]
    assert torch.equal(ids, seen["views"][0].global_ids[0])
    assert torch.equal(told, embedding[1]) and not torch.equal(told, embedding[0])
    assert [torch.equal(one, own) for one, own in zip(seen["heads"], embedding[:2], strict=True)] == [
        True
    ] * 2


def test_the_teacher_sees_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = seen_by(monkeypatch)
    assert [dropout for dropout, _ in seen["teacher"]] == [0.0]
    assert [dropout for dropout, _ in seen["student"]] == [0.9]


def test_the_decay_of_weights_rises() -> None:
    trainer = trainer_of(replace(RUN, weight_decay=0.01, final_weight_decay=0.5))

    def decays() -> set[float]:
        return {group["weight_decay"] for group in trainer.optimizer.param_groups}

    with torch.random.fork_rng(devices=[]):
        trainer.model.train()
        trainer.step()
        first = max(decays())
        while trainer.progress.step < trainer.n_steps:
            trainer.step()
    trainer.close()
    assert first == pytest.approx(0.01) and max(decays()) > 0.4 and min(decays()) == 0.0


# --- the same again -------------------------------------------------------------------------------


@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_killed_run_ends_with_the_same_bytes(
    done: tuple[Path, dict[str, Any]], tmp_path: Path, killed_after: int
) -> None:
    whole, report = done
    out, facts = tmp_path / "killed", report["source"]
    with pytest.raises(Killed):
        run_it(out, checkpoint_s=0.0, show=kill_after(killed_after), facts=facts)
    assert not (out / "map-encoder.safetensors").exists()
    torch.manual_seed(killed_after)  # the state of the caller's generator is of no account
    again = run_it(out, is_resumed=True, facts=facts)
    assert {**again, "timing": None} == {**report, "timing": None}
    for name in FILES:
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
def test_a_process_killed_without_warning_ends_with_the_same_bytes(tmp_path: Path) -> None:
    run = replace(RUN, epochs=30)
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]; from pathlib import Path; import test_train_maps as t; "
        "t.run_it(Path(sys.argv[3]), t.replace(t.RUN, epochs=30), checkpoint_s=0.0)"
    )
    out, here = tmp_path / "killed", Path(__file__).parent
    process = subprocess.Popen([sys.executable, "-c", code, str(here), str(here.parent), str(out)])
    while process.poll() is None and (not (out / "log.jsonl").exists() or len(log_of(out)) < 3):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -9 and len(log_of(out)) < 30
    run_it(out, run, is_resumed=True)
    run_it(tmp_path / "whole", run)
    for name in FILES:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_training_leaves_the_callers_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    run_it(tmp_path / "run", replace(RUN, epochs=1))
    assert torch.equal(torch.rand(3), wanted)


def test_another_run_in_the_folder_is_named(done: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    out, _ = done
    with pytest.raises(AnotherRun, match="--resume"):
        run_it(out)
    with pytest.raises(AnotherRun, match="epochs was 4, now 5"):
        run_it(out, replace(RUN, epochs=5), is_resumed=True)
    with pytest.raises(AnotherRun, match="other photos or places"):
        run_it(out, n=130, is_resumed=True)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run_it(tmp_path / "run", checkpoint_s=0.0, show=kill_after(1))
    file = tmp_path / "run" / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DamagedCheckpoint, match="delete it"):
        run_it(tmp_path / "run", is_resumed=True)


# --- collapse -------------------------------------------------------------------------------------


def test_a_teacher_hotter_than_the_student_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="sharper"):
        run_it(tmp_path / "run", replace(RUN, teacher_temperature=0.3))
    assert not (tmp_path / "run").exists()


def test_a_run_forced_to_collapse_is_flagged_within_500_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    # How long each sign may last is tested with the monitor; here, that a real collapse shows them.
    monkeypatch.setitem(monitor._SIGNS, "teacher-uniform", 30)
    run = replace(
        RUN, teacher_temperature=0.5, teacher_temperature_start=0.5, n_local=0, epochs=60, n_out=32,
        koleo_weight=0.0, geo_weight=0.0, reconstruction_weight=0.0, clustering_weight=0.0, warm_up=0.05,
        frozen_epochs=0, learning_rate=3e-3, weight_decay=0.0, head_is_batch_normed=False,
    )  # fmt: skip
    trainer = trainer_of(run, is_checked=False)
    messages: list[str] = []
    with torch.random.fork_rng(devices=[]):
        while not messages and trainer.progress.step < 500 and trainer.progress.epoch < run.epochs:
            messages = [one for one in trainer.epoch()["messages"] if one != MESSAGES["low-rank"]]
    trainer.close()
    assert MESSAGES["teacher-uniform"] in messages
    assert trainer.progress.step <= 500


def test_the_monitor_goes_on_counting_after_a_resume() -> None:
    trainer = trainer_of()
    with torch.random.fork_rng(devices=[]):
        trainer.epoch()
    trainer.close()
    trainer.progress.log[-1]["streaks"] = {"student-uniform": 400, "teacher-uniform": 0, "one-output": 0}
    assert trainer._monitor().streaks["student-uniform"] == 400


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    trainer = trainer_of()
    with torch.no_grad():
        next(trainer.model.student.parameters()).fill_(float("nan"))
    with pytest.raises(PlaceprintError, match="diverged"), torch.random.fork_rng(devices=[]):
        trainer.epoch()
    trainer.close()


# --- what it leaves -------------------------------------------------------------------------------


def test_the_folder_holds_what_it_says(done: tuple[Path, dict[str, Any]]) -> None:
    out, report = done
    encoder = MapEncoder.load(out / "map-encoder.safetensors")
    assert encoder.fingerprint.id == report["fingerprint"]
    assert (encoder.config.ground_m, encoder.config.px, encoder.dimension) == (500.0, 16, 16)
    assert encoder.card["source"]["attribution"] == "nobody"
    assert encoder.card["settings"]["seed"] == 3
    records = log_of(out)
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    for key in (
        "loss_over_ln_n_out",
        "teacher_entropy",
        "kl",
        "batch_entropy",
        "outputs_used",
        "rank_me",
        "probe",
    ):
        assert all(np.isfinite(record[key]) for record in records), key
    assert all(
        record["distillation"] == pytest.approx(record["teacher_entropy"] + record["kl"])
        for record in records
    )
    assert not any("step_s" in record for record in records)  # times would differ from run to run
    assert report["timing"]["timed_steps"] == records[-1]["step"] - 1
    assert 0.0 <= report["timing"]["data_wait_share"] < 1.0
    text = (out / "card.md").read_text()
    assert "country.tif" in text and "nobody" in text
    assert json.loads((out / "report.json").read_text()) == report
    assert (out / "map-encoder.safetensors").stat().st_size < 10e6


def test_the_encoder_is_the_teacher(done: tuple[Path, dict[str, Any]]) -> None:
    encoder = MapEncoder.load(done[0] / "map-encoder.safetensors")
    trainer = trainer_of()
    from placeprint.encoders.csp_checkpoint import read_checkpoint

    read_checkpoint(done[0] / "checkpoint.safetensors", trainer.model, trainer.optimizer)
    crops = Country().crops(places_of(5), ground_m=500.0, px=16)
    wanted = torch.nn.functional.normalize(trainer.embed_crops(crops), dim=-1).numpy()
    np.testing.assert_allclose(encoder.embed(crops), wanted, rtol=1e-5, atol=1e-6)


def test_what_is_wrong_with_the_places_is_said() -> None:
    source = Country()
    with pytest.raises(TooFewPairs, match="batch of 16"):
        MapTrainer(source, places_of(5), PlaceLabels.none(5), RUN, colors=class_colors())
    with pytest.raises(InvalidCoordinate, match="lon, lat"):
        MapTrainer(source, np.array([[35.68, 139.77]] * 20), PlaceLabels.none(20), RUN, colors=class_colors())
