"""Settings: presets, refusals that name the setting, and a learning rate that is a function of the step."""

from itertools import pairwise
from typing import Any

import pytest

from placeprint.encoders.captioning.settings import CaptionRun, learning_rate
from placeprint.encoders.errors import InvalidOption, UnknownEncoder


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"tune": "some"}, "tune='some': must be one of projection, last-layer, lora, all"),
     ({"style": "poem"}, "street, photo"), ({"batch_size": 1}, "no negatives"), ({"epochs": 0}, "epochs=0"),
     ({"learning_rate": 0.0}, "learning_rate"), ({"learning_rate": float("nan")}, "learning_rate"),
     ({"crop_share": 0.0}, "crop_share"), ({"validation_share": 0.4, "test_share": 0.2}, "up to 0.5"),
     ({"seed": -1}, "seed=-1"), ({"lora_rank": 0}, "lora_rank"), ({"same_place_km": -1.0}, "same_place_km"),
     ({"warm_up_share": 1.0}, "warm_up_share"), ({"block_deg": 0.0}, "block_deg"), ({"wings": 2}, "wings")],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        CaptionRun.preset("ours", **changes)


def test_presets() -> None:
    pigeon = CaptionRun.preset("pigeon")
    assert (pigeon.batch_size, pigeon.highest_rate, pigeon.weight_decay, pigeon.epochs) == (
        1024,
        1e-6,
        1e-3,
        20,
    )
    assert (
        CaptionRun.preset("pigeotto").style == "photo" and CaptionRun.preset("pigeotto").highest_rate == 5e-7
    )
    assert CaptionRun(tune="lora").highest_rate == 1e-4
    with pytest.raises(UnknownEncoder, match="ours, pigeon, pigeotto"):
        CaptionRun.preset("theirs")


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_learning_rate_rises_and_falls_to_nothing(schedule: Any) -> None:
    run = CaptionRun(learning_rate=1.0, schedule=schedule, warm_up_share=0.1)
    rates = [learning_rate(run, step, 200) for step in range(200)]
    assert rates[0] == pytest.approx(0.05) and rates[19] == rates[20] == 1.0
    assert all(a > b for a, b in pairwise(rates[20:])) and 0.0 < rates[-1] < 0.006
    assert rates[110] == pytest.approx(0.5)
    assert learning_rate(run, 0, 1) == 1.0
