"""Claims: a run leaves a head, prototypes and a report; it goes on where it was killed; sweeps resume too."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geocell_fakes import NearestCells, cells_at, photos_at

from placeprint.encoders import train_geocells
from placeprint.encoders.csp_sampling import Pairs
from placeprint.encoders.errors import AnotherRun
from placeprint.encoders.geocell_head import GeocellHead
from placeprint.encoders.geocell_heads import sweep
from placeprint.encoders.geocell_heads.settings import HeadRun
from placeprint.encoders.prototypes import Prototypes
from placeprint.encoders.sphere import uniform_on_sphere
from placeprint.encoders.train_geocells import run_geocells

RUN = HeadRun(weight_decays=(1e-3, 1.0), rounds=4)


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    lonlat = uniform_on_sphere(300, np.random.default_rng(5))
    return Pairs(photos_at(lonlat), lonlat, np.array([f"g{row // 2}" for row in range(300)]), "e1")


@pytest.fixture(scope="module")
def cells() -> NearestCells:
    return cells_at(uniform_on_sphere(20, np.random.default_rng(4)), radius_km=2500.0)


@pytest.fixture(scope="module")
def done(
    pairs: Pairs, cells: NearestCells, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("run") / "a"
    return out, run_geocells(pairs, cells, RUN, out, source={"gallery": "trips"})


def test_the_report_beats_its_baselines_and_stays_below_the_oracle(done: tuple[Path, dict[str, Any]]) -> None:
    out, report = done
    rows = report["rows"]
    assert list(rows)[:2] == ["prior", "nearest image"] and list(rows)[-1] == "oracle: right cell"
    score = {name: row["geoscore"] for name, row in rows.items()}
    assert score["prior"] < score["head, likeliest cell"] <= score["oracle: right cell"]
    assert score["head, best expected score"] > score["prior"]
    assert rows["prior"]["bits"] == 0.0 < rows["head, likeliest cell"]["bits"]
    assert rows["head, likeliest cell"]["nll"] < rows["prior"]["nll"]
    assert report == json.loads((out / "report.json").read_text())
    assert report["source"] == {"gallery": "trips"} and sum(report["photos"].values()) == 300
    assert report["weight_decay"] == 1e-3 and 0.0 < report["targets"]["top_cell_mass"] < 1.0


def test_what_it_leaves_can_be_asked(done: tuple[Path, dict[str, Any]], pairs: Pairs) -> None:
    out, report = done
    head = GeocellHead.load(out / "geocell-head.safetensors", cells_id="cells-of-a-test", encoder="e1")
    assert head.card["rows"] == report["rows"] and float(head.temperature) == report["temperature"]
    assert head.log_probabilities(pairs.images[:3]).shape == (3, 20)
    prototypes = Prototypes.load(out / "prototypes.safetensors", cells_id=head.cells_id)
    assert prototypes.n.sum() == report["photos"]["training"] and prototypes.card["temperature"] > 0.0


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    done: tuple[Path, dict[str, Any]],
    pairs: Pairs,
    cells: NearestCells,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = train_geocells.fit_one
    calls: list[float] = []

    def killed(material: Any, run: HeadRun, decay: float, **options: Any) -> Any:
        calls.append(decay)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(material, run, decay, **options)

    monkeypatch.setattr(train_geocells, "fit_one", killed)
    with pytest.raises(KeyboardInterrupt):
        run_geocells(pairs, cells, RUN, tmp_path / "b")
    assert not (tmp_path / "b" / "report.json").exists()
    run_geocells(pairs, cells, RUN, tmp_path / "b", is_resumed=True, source={"gallery": "trips"})
    assert calls == [1e-3, 1.0, 1.0]  # the first was not trained again
    for name in ("geocell-head.safetensors", "prototypes.safetensors", "report.json"):
        assert (tmp_path / "b" / name).read_bytes() == (done[0] / name).read_bytes()


def test_another_run_in_the_folder_is_refused(
    done: tuple[Path, dict[str, Any]], pairs: Pairs, cells: NearestCells
) -> None:
    with pytest.raises(AnotherRun, match="--resume"):
        run_geocells(pairs, cells, RUN, done[0])
    with pytest.raises(AnotherRun, match="rounds was 4, now 5"):
        run_geocells(pairs, cells, replace(RUN, rounds=5), done[0], is_resumed=True)
    other = replace(cells, cells_id="other")
    with pytest.raises(AnotherRun, match="'cells_id': 'cells-of-a-test'"):
        run_geocells(pairs, other, RUN, done[0], is_resumed=True)


def test_rounds_are_shown(pairs: Pairs, cells: NearestCells, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    run_geocells(
        pairs, cells, RUN, tmp_path / "a", show=lambda record, total: seen.append({**record, "of": total})
    )
    assert [record["round"] for record in seen] == [1, 2, 3, 4, 1, 2, 3, 4] and seen[0]["of"] == 4
    assert {record["weight_decay"] for record in seen} == {1e-3, 1.0}


def test_a_sweep_compares_taus_and_trains_nothing_twice(
    pairs: Pairs, cells: NearestCells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, taus = replace(RUN, weight_decays=(1e-2,), rounds=2), (0.0, 500.0, "auto")
    report = sweep.sweep_tau(pairs, cells, run, tmp_path, taus=taus, seeds=(0, 1))
    assert list(report["rows"]) == ["hard", "500 km", "auto"]
    hard, wide = report["rows"]["hard"], report["rows"]["500 km"]
    assert hard["entropy"]["mean"] == 0.0 and hard["top_cell_mass"]["mean"] == 1.0 and hard["tau_km"] == 0.0
    assert wide["entropy"]["mean"] > 0.0 and set(sweep.COLUMNS) < set(wide)
    first = json.loads((tmp_path / "sweep" / "tau-hard-seed-0.json").read_text())["figures"]
    second = json.loads((tmp_path / "sweep" / "tau-hard-seed-1.json").read_text())["figures"]
    assert hard["nll"]["mean"] == pytest.approx((first["nll"] + second["nll"]) / 2)
    assert hard["nll"]["sd"] == pytest.approx(abs(first["nll"] - second["nll"]) / np.sqrt(2))
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(sweep, "train_head", lambda *_: pytest.fail("trained again"))
    assert sweep.sweep_tau(pairs, cells, run, tmp_path, taus=taus, seeds=(0, 1)) == report
    with pytest.raises(AnotherRun, match="a sweep with other photos"):
        sweep.sweep_tau(pairs, cells, replace(run, rounds=3), tmp_path, taus=taus, seeds=(0, 1))


def test_the_sweep_is_that_of_the_question() -> None:
    assert [sweep.name_of(tau) for tau in sweep.TAUS] == [
        "hard", "15 km", "25 km", "40 km", "65 km", "75 km", "100 km", "150 km", "250 km", "auto",
    ]  # fmt: skip
    assert len(sweep.SEEDS) == 3
