"""The folder of a run: free, claimed, of another run; rounds logged and saved."""

import json
from pathlib import Path
from typing import Any

import pytest

from placeprint.encoders.csp_checkpoint import Progress
from placeprint.encoders.errors import AnotherRun
from placeprint.encoders.run_folder import claim, require_free, train_rounds

IDENTITY = {"settings": {"epochs": 3}, "data": "abc", "model": "m"}


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    require_free(out, is_resumed=False)
    claim(out, IDENTITY, {"photos": 7}, is_resumed=False)
    assert json.loads((out / "run.json").read_text()) == {**IDENTITY, "photos": 7}
    with pytest.raises(AnotherRun, match="--resume"):
        claim(out, IDENTITY, {}, is_resumed=False)
    with pytest.raises(AnotherRun, match="--resume"):
        require_free(out, is_resumed=False)
    claim(out, IDENTITY, {}, is_resumed=True)
    assert json.loads((out / "run.json").read_text())["photos"] == 7


@pytest.mark.parametrize(
    ("change", "said"),
    [({"data": "xyz"}, "other photos"), ({"model": "n"}, "began from m, this one from n"),
     ({"settings": {"epochs": 4}}, "epochs was 3, now 4")],
)  # fmt: skip
def test_another_run_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    claim(tmp_path, IDENTITY, {}, is_resumed=False)
    with pytest.raises(AnotherRun, match=said):
        claim(tmp_path, {**IDENTITY, **change}, {}, is_resumed=True)


def test_a_file_and_a_damaged_description_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnotherRun, match="cannot be a folder"):
        claim(tmp_path / "file", IDENTITY, {}, is_resumed=False)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(AnotherRun, match="cannot be read"):
        claim(tmp_path, IDENTITY, {}, is_resumed=True)


@pytest.mark.parametrize(("checkpoint_s", "n_saved"), [(0.0, 4), (1e9, 1)])
def test_rounds_are_logged_saved_and_shown(tmp_path: Path, checkpoint_s: float, n_saved: int) -> None:
    progress, saved, shown = Progress(epoch=1, log=[{"round": 1}]), [], []

    def one_round() -> dict[str, Any]:
        progress.epoch += 1
        progress.log.append({"round": progress.epoch})
        return progress.log[-1]

    train_rounds(
        tmp_path, progress, 5, one_round, lambda: saved.append(progress.epoch), checkpoint_s=checkpoint_s,
        show=lambda record, total: shown.append((record["round"], total)),
    )  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == [1, 2, 3, 4, 5]
    assert len(saved) == n_saved and saved[-1] == 5
    assert shown == [(2, 5), (3, 5), (4, 5), (5, 5)]
