"""Training in two processes, real ones, gives what one process gives, in every trainer that can.

Claims: after all steps of a tiny run the weights of two processes are those of one, to rounding, with noise
drawn (dropout, crops, looks, masks) and statistics of the batch (norms, centers, Sinkhorn) of all rows; the
figures are the same in both processes, and one of them wrote; a run that one process began two go on with.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from process_fakes import (
    CAPTIONS,
    CSP,
    MAPS,
    PLACES,
    captions,
    csp,
    drawn_places,
    farthest,
    maps,
    places,
    resumed_csp,
    together,
)
from process_fakes import student as map_student

CLOSE = 1e-4
"""Of the weights after a run. Measured are 2e-7 for pairs, 4e-8 for place recognition, 4e-5 for maps."""


def both(work: Any, folder: Path, *args: Any, **options: Any) -> tuple[Path, Path]:
    """One run in this process, one in two: their folders."""
    one, two = folder / "one", folder / "two"
    report = work(one, *args, **options)
    told = together(work, two, *args)
    assert [type(answer) for answer in told] == [dict, dict], told
    assert told[0] == told[1]
    assert told[0].keys() == report.keys()
    return one, two


def logs(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def require_equal(one: Path, two: Path) -> None:
    """Weights, log and names of files."""
    assert farthest(one / "checkpoint.safetensors", two / "checkpoint.safetensors") < CLOSE
    alone, shared = logs(one), logs(two)
    assert len(alone) == len(shared)
    for before, after in zip(alone, shared, strict=True):
        assert before.keys() == after.keys()
        for name, value in before.items():
            if isinstance(value, float):
                assert after[name] == pytest.approx(value, rel=1e-3, abs=1e-4), name
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in two.iterdir())


@pytest.mark.parametrize(
    "run",
    [
        CSP,
        replace(CSP, objective="nce", shares_random=False, n_random=5, jitter_km=10.0, epochs=2),
        replace(CSP, network="residual", network_options={"dropout": 0.3}, parts="BD", epochs=2),
    ],
    ids=["mc", "nce", "residual"],
)
def test_csp(tmp_path: Path, run: Any) -> None:
    require_equal(*both(csp, tmp_path, run))


def test_captions(tmp_path: Path) -> None:
    """Batches of 41 photos, in parts of 20: one process has one part of them, the other two."""
    require_equal(*both(captions, tmp_path, tmp_path / "models", replace(CAPTIONS, part_size=20)))


@pytest.mark.parametrize(
    "run",
    [
        MAPS,
        replace(MAPS, variant="paper", n_local=2),
    ],
    ids=["ours", "paper"],
)
def test_maps(tmp_path: Path, run: Any) -> None:
    require_equal(*both(maps, tmp_path, run))


def test_map_students(tmp_path: Path) -> None:
    maps(tmp_path / "teacher", replace(MAPS, epochs=1))
    one, two = both(map_student, tmp_path, tmp_path / "teacher" / "map-encoder.safetensors")
    for name in ("embeddings.safetensors", "map-student.safetensors"):
        assert farthest(one / name, two / name) < CLOSE
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in two.iterdir())


@pytest.mark.parametrize(
    "run",
    [PLACES, replace(PLACES, loss="triplet", n_tuples=3), replace(PLACES, n_blocks=1, epochs=1)],
    ids=["multi-similarity", "triplet", "blocks"],
)
def test_place_recognition(tmp_path: Path, run: Any) -> None:
    drawn_places(tmp_path)
    require_equal(*both(places, tmp_path, tmp_path, run))


def test_two_processes_go_on_with_what_one_began(tmp_path: Path) -> None:
    whole, cut = csp(tmp_path / "whole"), tmp_path / "cut"

    def kill(record: dict[str, Any], epochs: int) -> None:
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        csp(cut, checkpoint_s=0.0, show=kill)
    first, second = together(resumed_csp, cut)
    assert first == second and first["best_epoch"] == whole["best_epoch"]
    require_equal(tmp_path / "whole", cut)
