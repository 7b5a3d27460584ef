"""Settings of pre-training: presets, refusals, and the encoding that fits the photos' spread."""

import json

import pytest

from placeprint.encoders.csp_settings import PRESETS, CspRun
from placeprint.encoders.errors import InvalidOption, UnknownEncoder


def test_the_papers_constants() -> None:
    paper, scripts = CspRun.preset("csp-paper"), CspRun.preset("csp-scripts")
    assert (paper.temperature, paper.location_temperature, paper.dropout_temperature) == (1.0, 1.0, 1.0)
    assert (scripts.temperature, scripts.location_temperature, scripts.dropout_temperature) == (
        20.0,
        1.0,
        1.0,
    )
    assert paper.positional_options == {"scales": 32, "r_min": 0.01, "r_max": 360.0}
    assert scripts.positional_options == {"scales": 32, "r_min": 0.1, "r_max": 360.0}
    for run in (paper, scripts):
        assert (run.location_weight, run.dropout_weight, run.n_random) == (1.0, 1.0, 1)
        assert (run.positional, run.dimension, run.batch_size) == ("grid", 256, 1024)
        assert not run.is_symmetric and run.learned_temperatures == "" and run.same_place_km is None


def test_ours_is_the_default() -> None:
    assert PRESETS["ours"] == CspRun()
    assert CspRun.preset("ours", epochs=3) == CspRun(epochs=3)


def test_settings_survive_json() -> None:
    for run in PRESETS.values():
        assert CspRun.from_dict(json.loads(json.dumps(run.to_dict()))) == run


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("objective", "moco"), ("parts", "LD"), ("negatives", "square"), ("schedule", "step"),
        ("temperature", 0.0), ("location_temperature", -1.0), ("learning_rate", 0.0), ("epochs", 0),
        ("n_random", 0), ("batch_size", 1), ("dimension", 0), ("image_dropout", 1.0), ("block_deg", 0.0),
        ("seed", -1), ("validation_share", 0.0), ("validation_share", 0.6), ("jitter_km", -1.0),
        ("location_weight", float("nan")), ("learned_temperatures", "BX"), ("image_components", 0),
        ("same_place_km", -1.0),
    ],
)  # fmt: skip
def test_a_setting_without_meaning_is_named(setting: str, value: object) -> None:
    with pytest.raises(InvalidOption, match=f"^{setting}={value!r}: must be "):
        CspRun(**{setting: value})


def test_what_is_unknown_is_named() -> None:
    with pytest.raises(UnknownEncoder, match="csp-paper"):
        CspRun.preset("paper")
    with pytest.raises(InvalidOption, match="color"):
        CspRun.from_dict({"color": 1})


@pytest.mark.parametrize(("block_deg", "scales"), [(10.0, 2), (5.0, 2), (1.0, 4), (0.01, 10)])
def test_the_encoding_is_as_fine_as_the_photos_are_dense(block_deg: float, scales: int) -> None:
    assert CspRun().fitted(block_deg).positional_options == {"scales": scales}


def test_what_was_chosen_is_not_fitted() -> None:
    chosen = CspRun(positional_options={"scales": 5})
    assert chosen.fitted(0.01) == chosen
    assert CspRun(positional="xyz").fitted(1.0).positional_options == {}
