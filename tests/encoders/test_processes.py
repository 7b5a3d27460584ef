"""Processes that train together: their parts make the whole, they wait for one another, and none hangs.

Every exchange is between real processes over gloo.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from process_fakes import (
    CSP,
    MAPS,
    chain_of_embeddings,
    csp,
    different_identities,
    first_fails,
    gathered_rows,
    in_turns,
    killed_in_a_step,
    maps,
    noise_of_parts,
    together,
)
from torch import nn

from placeprint.encoders.errors import InvalidOption, PlaceprintError
from placeprint.encoders.processes import ALONE, World, joined, require_one_process
from placeprint.encoders.run_folder import claim

# --- one process ----------------------------------------------------------------------------------


def test_alone_nothing_is_exchanged_and_nothing_copied() -> None:
    with joined() as world:
        assert world is ALONE and world.is_first
        rows = torch.arange(5.0)
        assert world.gathered(rows, 5) is rows and world.total(rows) is rows
        assert world.divided(lambda part: rows[part], 5).data_ptr() == rows.data_ptr()
        assert world.first(lambda: 3) == world.in_turn(lambda: 3) == 3
        model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(2))
        world.share_noise(model)
        assert type(model[0]) is nn.Dropout
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("n", [1, 2, 5, 7, 12])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_parts_are_all_rows_in_order_and_alike_in_length(n: int, size: int) -> None:
    parts = [np.arange(n)[World(rank, size).part(n)] for rank in range(size)]
    assert np.concatenate(parts).tolist() == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_each_process_has_a_gpu_of_its_own_where_only_cuda_is_asked_for() -> None:
    world = World(rank=5, size=8, local_rank=1)
    assert [world.device(name) for name in ("cpu", "cuda", "cuda:0")] == ["cpu", "cuda:1", "cuda:0"]
    assert ALONE.device("cuda") == "cuda"


# --- several ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3])
def test_rows_and_gradients_are_those_of_one_process(n: int) -> None:
    """Through weights that rows go through, weights that all use, and both."""
    wanted = chain_of_embeddings()
    for found in together(chain_of_embeddings, n=n):
        assert found.keys() == wanted.keys() and len(wanted) == 4
        for name, gradient in wanted.items():
            np.testing.assert_allclose(found[name], gradient, rtol=1e-5, atol=1e-7, err_msg=name)


def test_rows_are_gathered_whatever_their_kind() -> None:
    for found in together(gathered_rows):
        assert found["floats"] == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0])
        assert found["halves"] == found["bytes"] == [0, 1, 2, 3, 4]
        assert np.isnan(found["unknown"]).tolist() == [True, False, True, False, True]
        assert found["fewer rows than processes"] == [7.0]
        assert found["total"] == 1.0 + 2.0


def test_dropout_draws_what_one_process_draws() -> None:
    """Other rows of one mask in each process, and the generators stand alike after it."""
    wanted = noise_of_parts()
    assert 0.2 < float((wanted["dropped"] == 0.0).mean()) < 0.8
    for found in together(noise_of_parts):
        assert np.array_equal(found["dropped"], wanted["dropped"])
        assert found["next"] == wanted["next"]


def test_the_first_works_alone_and_all_learn_what_came_of_it() -> None:
    first, second = together(first_fails)
    assert first["answer"] == second["answer"] == {"rank": 0, "rows": [0.0, 1.0, 2.0]}
    assert first["error"] == "no room" and second["error"] == "the first process ended: no room"


def test_one_after_the_other(tmp_path: Path) -> None:
    together(in_turns, tmp_path / "log", n=3)
    wanted = [word for rank in "012" for word in ("begin", rank, "end", rank)]
    assert (tmp_path / "log").read_text().split() == wanted


def test_processes_that_would_train_on_different_data_are_told_so(tmp_path: Path) -> None:
    _, second = together(different_identities, tmp_path / "run")
    assert isinstance(second, PlaceprintError) and "another data or settings" in str(second)
    assert not (tmp_path / "run" / "log.jsonl").exists()


# --- what ends a run ----------------------------------------------------------------------------------


def test_a_process_that_dies_ends_the_run_and_one_goes_on_with_it(tmp_path: Path) -> None:
    """Killed without warning in the second epoch; the other does not wait for it."""
    began = time.monotonic()
    first, second = together(killed_in_a_step, tmp_path / "run", 6)
    assert time.monotonic() - began < 200.0  # sooner than a process is given up
    assert isinstance(second, ProcessLookupError)
    assert isinstance(first, PlaceprintError) and "--resume" in str(first) and "has ended" in str(first)
    whole = csp(tmp_path / "whole")
    assert csp(tmp_path / "run", is_resumed=True)["best_epoch"] == whole["best_epoch"]


def test_more_processes_than_rows_of_a_batch_are_refused(tmp_path: Path) -> None:
    for answer in together(csp, tmp_path / "run", replace(CSP, batch_size=2, epochs=1), n=3):
        assert isinstance(answer, InvalidOption)
        assert "start at most 2" in str(answer) and "larger batch" in str(answer)
    assert not (tmp_path / "run").exists()


def test_networks_that_normalize_over_the_batch_are_refused(tmp_path: Path) -> None:
    for answer in together(
        maps, tmp_path / "run", replace(MAPS, network="resnet50", global_px=32, local_px=32)
    ):
        assert isinstance(answer, InvalidOption) and "BatchNorm2d" in str(answer)
    assert not (tmp_path / "run").exists()


def test_trainings_of_one_process_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InvalidOption, match="without torchrun"):
        require_one_process("this")
    with pytest.raises(InvalidOption, match="torchrun started 2"):
        claim(tmp_path / "run", {"settings": {}, "data": ""}, {}, is_resumed=False)
    assert not (tmp_path / "run").exists()


def test_half_an_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PlaceprintError, match=r"RANK, .*MASTER_PORT is not set"), joined():
        pass
