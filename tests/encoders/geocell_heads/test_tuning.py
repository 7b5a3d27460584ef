"""Claims: training begins at the frozen fit, ends at the best epoch that pays, and steps as it is told."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import tuning_fakes
from tuning_fakes import encoder_in, pairs_of_pictures, pictures, two_places

from placeprint.encoders.errors import InvalidOption, PlaceprintError
from placeprint.encoders.geocell_heads.fitting import least_nll, log_kernel_at
from placeprint.encoders.geocell_heads.settings import HeadRun, TuneRun
from placeprint.encoders.geocell_heads.splitting import SplitEncoder
from placeprint.encoders.geocell_heads.tail_inputs import TailInputs
from placeprint.encoders.geocell_heads.training import Material, fit_one
from placeprint.encoders.geocell_heads.tuning import Tuner, sure_gain

N = 200
RUN = HeadRun(weight_decays=(1e-2,), rounds=12, offset_weight=0.0)
TUNE = TuneRun(blocks=2, epochs=3, rate=3e-3, head_rate=2e-3, batch_size=32)


@dataclass
class Scene:
    """What a tuner is made of."""

    folder: Path

    def tuner(self, *, is_told: bool = True, run: HeadRun = RUN, tune: TuneRun = TUNE) -> Tuner:
        lonlat, which, cells = two_places(N)
        encoder = encoder_in(self.folder)
        shown = pictures(which, is_told=is_told)
        split = SplitEncoder(encoder, tune.blocks)
        inputs = TailInputs(split.trunk(shown).astype(np.float16))
        material = Material.of(pairs_of_pictures(encoder, shown, lonlat), cells, run)
        (decay,) = run.weight_decays or (0.0,)
        head, _ = fit_one(material, run, decay)
        return Tuner(material, inputs, np.arange(N), split, head, run, tune, weight_decay=decay)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("encoder"))


def test_it_begins_at_the_frozen_fit(scene: Scene) -> None:
    tuner = scene.tuner()
    validation = tuner.material.examples(1)
    kernel = log_kernel_at(tuner.head, validation.lonlat)
    assert tuner.frozen_nll == pytest.approx(least_nll(tuner.head, validation, kernel), abs=1e-3)
    assert tuner.progress.best_epoch == 0 and tuner.progress.best_score == tuner.frozen_nll


def test_the_head_has_no_reason_of_its_own_to_move(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the penalty it was fitted with, its gradient is next to nothing; without, it is not."""
    monkeypatch.setattr(tuning_fakes, "CONTRAST", 12)  # so plain that the fit goes on to its end
    run = replace(RUN, rounds=60, patience=60)
    size = {}
    for has_penalty in (True, False):
        tuner = scene.tuner(run=run, tune=replace(TUNE, batch_size=N, epochs=1, clip_norm=1e9))
        assert tuner._penalty == 1e-2
        tuner._penalty *= has_penalty
        tuner.step(np.arange(len(tuner.objective.examples)))
        size[has_penalty] = float(tuner.head.cells.weight.grad.norm())
    assert size[True] < 0.15 * size[False]


def test_both_rates_rise_and_fall_and_only_the_tail_and_the_head_move(scene: Scene) -> None:
    tuner = scene.tuner(tune=replace(TUNE, blocks=1, clip_norm=0.01))
    before = {name: one.clone() for name, one in tuner.split.model.state_dict().items()}
    head_before = tuner.head.cells.weight.detach().clone()
    rates = []
    for _ in range(tuner.n_steps):
        tuner.step(np.arange(16))
        rates.append([group["lr"] for group in tuner.optimizer.param_groups])
        gradients = [one.grad for one in tuner.learned.parameters() if one.grad is not None]
        assert torch.cat([one.flatten() for one in gradients]).norm() <= 0.01 + 1e-6
    ratio = [some[-1] / some[0] for some in rates]
    assert ratio == pytest.approx([TUNE.head_rate / TUNE.rate] * len(rates))
    assert rates[0][0] == pytest.approx(TUNE.rate) and rates[-1][0] < 0.1 * TUNE.rate
    model = tuner.split.model.state_dict()
    moved = {name for name, one in model.items() if not torch.equal(one, before[name])}
    assert moved and moved <= set(tuner.split.weights)
    assert not torch.equal(tuner.head.cells.weight, head_before)


def test_looks_that_no_line_parts_are_learned(scene: Scene) -> None:
    tuner = scene.tuner(tune=replace(TUNE, epochs=12, patience=12))
    for _ in range(12):
        tuner.epoch()
    tuner.finish()
    right = tuner.head.log_probabilities(tuner.embed(tuner.material.rows(2))).argmax(axis=1)
    truth = tuner.material.cell[tuner.material.rows(2)]
    frozen = scene.tuner()
    at_first = frozen.head.log_probabilities(frozen.embed(frozen.material.rows(2))).argmax(axis=1)
    assert (at_first == truth).mean() < 0.85 < 0.95 < (right == truth).mean()
    assert tuner.progress.best_score < tuner.frozen_nll - 0.05
    log = tuner.progress.log
    assert tuner.progress.best_score == log[tuner.progress.best_epoch - 1]["validation_nll"]
    assert float(tuner.validation_nll().mean()) == tuner.progress.best_score  # the best epoch's weights


def test_looks_that_say_nothing_change_nothing(scene: Scene) -> None:
    tuner = scene.tuner(is_told=False, tune=replace(TUNE, epochs=6, patience=2))
    model = {name: one.clone() for name, one in tuner.split.model.state_dict().items()}
    head = {name: one.clone() for name, one in tuner.head.state_dict().items()}
    tuner.epoch()
    assert tuner.progress.epoch == 1
    tuner.epoch()
    assert tuner.progress.epoch == 6 and len(tuner.progress.log) == 2  # enough is enough
    tuner.finish()
    assert tuner.progress.best_epoch == 0
    for module, before in ((tuner.split.model, model), (tuner.head, head)):
        assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())


def test_a_gain_within_the_luck_of_a_few_groups_does_not_count(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = scene.tuner(tune=replace(TUNE, rate=1e-9, head_rate=1e-9))
    groups = tuner.material.pairs.groups[tuner.material.rows(1)]
    for one_group, pays in ((True, False), (False, True)):
        gain = np.where(groups == groups[0], 1.0, 0.0) if one_group else np.full(len(groups), 0.05)
        monkeypatch.setattr(tuner, "validation_nll", lambda gain=gain: tuner._frozen - gain)
        tuner.epoch()
        assert bool(tuner.best) == pays and tuner.progress.best_epoch == 2 * pays


def test_the_sure_gain_is_over_groups() -> None:
    gains = np.random.default_rng(0).normal(0.5, 1.0, size=400)
    alone = np.arange(400).astype(str)
    bound = gains.mean() - 1.6486 * gains.std(ddof=1) / 20.0  # Student's t, 399 degrees of freedom
    assert sure_gain(gains, alone) == pytest.approx(bound, abs=1e-5)
    assert sure_gain(np.repeat(gains, 4), np.repeat(alone, 4)) == pytest.approx(bound, abs=1e-5)
    assert sure_gain(gains, np.full(400, "one")) == -np.inf


def test_the_dropout_of_an_mlp_is_drawn_by_step(scene: Scene) -> None:
    run = HeadRun(head="mlp", hidden=16, weight_decays=(0.1,), rounds=3)
    one, two = scene.tuner(run=run), scene.tuner(run=run)
    one.head.train()
    two.head.train()
    torch.rand(7)  # whatever was drawn before
    assert [one.step(np.arange(9)), one.step(np.arange(9))] == [
        two.step(np.arange(9)),
        two.step(np.arange(9)),
    ]
    assert one._penalty == 0.0 and 0.1 in {group["weight_decay"] for group in one.optimizer.param_groups}


def test_a_loss_that_is_no_number_ends_the_run(scene: Scene) -> None:
    tuner = scene.tuner()
    with torch.no_grad():
        tuner.head.cells.bias.fill_(float("nan"))
    with pytest.raises(PlaceprintError, match=r"lower --tune-rate than 0\.003"):
        tuner.step(np.arange(4))


def test_settings() -> None:
    shares = [TUNE.rate_share(step, 100) for step in range(100)]
    assert max(shares) == shares[10] == 1.0 and shares[0] == 0.1 and shares[99] < 0.01
    assert shares[:10] == sorted(shares[:10]) and shares[10:] == sorted(shares[10:], reverse=True)
    assert TuneRun().to_dict()["tune_rate"] == 2e-5
    for name, value in (("blocks", 0), ("rate", 0.0), ("weight_decay", -1.0), ("warm_up_share", 1.0)):
        with pytest.raises(InvalidOption, match=rf"tune_{name}="):
            replace(TUNE, **{name: value})
