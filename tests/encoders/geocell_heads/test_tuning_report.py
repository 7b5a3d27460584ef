"""Claims: differences are of the same photos, intervals over groups, and the verdict says what they say."""

import numpy as np
import pytest
from geocell_fakes import cells_at, photos_at

from placeprint.encoders.csp_sampling import Pairs
from placeprint.encoders.geocell_heads.settings import HeadRun
from placeprint.encoders.geocell_heads.training import Material
from placeprint.encoders.geocell_heads.tuning_report import compared, photo_scores, verdict
from placeprint.encoders.sphere import uniform_on_sphere
from placeprint.encoders.train_geocells import answered, best_fit, rows_of


def scores(error_km: np.ndarray) -> dict[str, np.ndarray]:
    names = ("within_1_km", "within_25_km", "within_200_km", "within_750_km", "within_2500_km")
    rest = ("geoscore", "bits", "nll")
    return {"mean_km": error_km} | {name: (error_km < 50.0).astype(float) for name in names + rest}


def test_photo_scores_average_to_the_rows_of_the_report(tmp_path_factory: pytest.TempPathFactory) -> None:
    lonlat = uniform_on_sphere(200, np.random.default_rng(5))
    pairs = Pairs(photos_at(lonlat), lonlat, np.arange(200).astype(str), "e1")
    run = HeadRun(weight_decays=(1e-2,), rounds=3)
    material = Material.of(pairs, cells_at(uniform_on_sphere(20, np.random.default_rng(4))), run)
    head, _ = best_fit(material, run, tmp_path_factory.mktemp("run"), lambda record, rounds: None)
    prototypes = answered(material, head, "mean")
    row = rows_of(material, head, prototypes, 1.0)["head, best expected score"]
    found = photo_scores(material, head, prototypes)
    assert {len(one) for one in found.values()} == {len(material.rows(2))}
    for name, one in found.items():
        assert one.mean() == pytest.approx(row[name]), name
    assert np.median(found["mean_km"]) == pytest.approx(row["median_km"])


def test_an_equal_encoder_gains_nothing_for_sure() -> None:
    error = np.random.default_rng(0).uniform(0.0, 100.0, 60)
    rows = compared(scores(error), scores(error), np.repeat(np.arange(20), 3).astype(str))
    assert all(row["difference"] == row["low"] == row["high"] == 0.0 for row in rows.values())
    assert list(rows)[5:] == ["median_km", "mean_km", "geoscore", "bits", "nll"]


def test_the_same_gain_everywhere_has_no_spread_and_of_one_group_it_has() -> None:
    error = np.random.default_rng(0).uniform(0.0, 100.0, 60)
    groups = np.repeat(np.arange(20), 3).astype(str)
    row = compared(scores(error), scores(error - 7.0), groups)
    for name in ("median_km", "mean_km"):
        assert row[name]["tuned"] == pytest.approx(row[name]["frozen"] - 7.0)
        assert [row[name][key] for key in ("difference", "low", "high")] == pytest.approx([-7.0] * 3)
    lucky = compared(scores(error), scores(error - 140.0 * (groups == "3")), groups)["mean_km"]
    assert lucky["difference"] == pytest.approx(-7.0) and lucky["low"] < -14.0 and lucky["high"] == 0.0


@pytest.mark.parametrize(
    ("bits", "geoscore", "said"),
    [
        ((0.1, 0.3), (-5.0, 90.0), "Tuning paid"),
        ((-0.1, 0.3), (5.0, 90.0), "Tuning paid"),
        ((-0.3, -0.1), (-90.0, 5.0), "did not pay: on the test groups"),
        ((-0.3, 0.1), (-90.0, -5.0), "Keep the frozen one"),
        ((-0.1, 0.1), (-5.0, 5.0), "may be chance"),
        ((0.1, 0.3), (-90.0, -5.0), "may be chance"),
    ],
)
def test_the_verdict(bits: tuple[float, float], geoscore: tuple[float, float], said: str) -> None:
    rows = {
        name: {"difference": sum(ends) / 2.0, "low": ends[0], "high": ends[1]}
        for name, ends in (("bits", bits), ("geoscore", geoscore))
    }
    told = verdict(3, rows)
    assert said in told and f"{bits[0]:+.2f}, {bits[1]:+.2f}] " not in told and f"[{bits[0]:+.2f}" in told
    assert "beyond chance" in verdict(0, None)
