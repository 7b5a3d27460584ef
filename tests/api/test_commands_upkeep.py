"""Shares of a source on several machines, brought together; damaged files found and mended: as typed."""

import json
import re
import sys
from pathlib import Path

import pytest
from program import Answer, run_program

from placeprint.api.demo import draw_scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 scenes indexed in two shares, and brought together."""
    folder = tmp_path_factory.mktemp("scenes")
    draw_scenes(60, folder, seed=1)
    (folder / "home").mkdir()
    for share in (1, 2):
        answer = run(
            folder, "index", "photos", "--gallery", f"trips-{share}", "--encoder", "demonstration",
            "--shard", f"{share}/2", "--no-calibrate",
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
    return folder


def run(folder: Path, *words: str) -> Answer:
    return run_program(folder, *words)


def events(answer: Answer) -> list[dict[str, object]]:
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_shares_come_together_and_nothing_is_embedded_again(scenes: Path) -> None:
    answer = run(scenes, "merge", "trips", "trips-1", "trips-2")
    assert answer.returncode == 0 and answer.stdout.splitlines()[-1].endswith("trips: 60 photos")
    taken = [int(n) for n in re.findall(r"(\d+) paths taken over", answer.stdout)]
    assert sum(taken) == 60 and min(taken) > 15
    report = events(run(scenes, "index", "photos", "--gallery", "trips", "--no-calibrate"))[-1]
    assert (report["n_unchanged"], report["n_embedded"]) == (60, 0)
    assert "1 found" not in run(scenes, "doctor", "trips").stdout


def test_what_is_damaged_is_named_and_mended(scenes: Path) -> None:
    assert run(scenes, "backup", "trips-1", "one.tar").returncode == 0
    (shard,) = (scenes / "home" / "galleries" / "trips-1" / "ledger").glob("*.parquet")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:1000])
    found = run(scenes, "doctor", "trips-1")
    assert found.returncode == 1
    assert "--repair --from BACKUP" in found.stderr and "photos to index again" in found.stdout
    mended = run(scenes, "doctor", "trips-1", "--repair", "--from", "one.tar")
    assert mended.returncode == 0 and "brought back from one.tar" in mended.stderr
    assert shard.read_bytes() == whole
    well = run(scenes, "doctor", "trips-1", "--json")
    assert well.returncode == 0 and events(well)[-1]["is_well"] is True


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["index", "photos", "--gallery", "x", "--shard", "3/2"], "I/N, as 3/8"),
        (["index", "photos", "--gallery", "x", "--shard", "half"], "I/N, as 3/8"),
        (["index", "photos", "--gallery", "x", "--shard", "1/2", "--prune"], "nothing can be pruned"),
        (["index", "photos", "--gallery", "x", "--executor", "spark"], "local or ray"),
        (["doctor", "trips-1", "--from", "one.tar"], "give both"),
        (["merge", "trips-1", "trips-1"], "cannot be merged into itself"),
    ],
)
def test_words_that_make_no_sense_are_refused(scenes: Path, words: list[str], says: str) -> None:
    answer = run(scenes, *words)
    assert answer.returncode == 2
    assert says in " ".join(answer.stderr.replace("│", " ").split())


def test_without_ray_the_remedy_is_said(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    answer = run(scenes, "index", "photos", "--gallery", "trips-1", "--executor", "ray")
    assert answer.returncode == 2 and "pip install 'placeprint[ray]'" in answer.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_makes_the_same_gallery(scenes: Path) -> None:
    pytest.importorskip("ray")
    words = ["index", "photos", "--encoder", "demonstration", "--no-calibrate", "--gallery"]
    assert run(scenes, *words, "alone").returncode == 0
    answer = run(scenes, *words, "many", "--executor", "ray", "--ray-actors", "2")
    assert answer.returncode == 0, answer.stderr
    galleries = scenes / "home" / "galleries"
    alone, many = (sorted((galleries / name / "ledger").glob("*.parquet")) for name in ("alone", "many"))
    assert [path.read_bytes() for path in alone] == [path.read_bytes() for path in many]
