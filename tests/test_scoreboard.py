"""The scoreboard: README shows the committed figures, and what is not measured is not claimed."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from scoreboard_rows import Figure, Row, read_rows, write_row

sys.path.append(str(Path(__file__).resolve().parent / "benchmarks"))

import scoreboard
from row_titles import TITLES
from scoreboard_pages import BEGIN, END, deciding_figure, is_slower, page_of, readme_part, with_readme_part

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    """The figures that are part of the repository."""
    read: dict[str, Any] = json.loads(scoreboard.COMMITTED.read_text(encoding="utf-8"))
    return read


def test_readme_shows_the_committed_figures(committed: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_readme_part(readme, readme_part(committed)) == readme, "run `make bench-table`"


def test_every_row_is_named(committed: dict[str, Any]) -> None:
    wanted = [f"P{n}" for n in range(1, 23)] + [f"R{n}" for n in range(1, 34)]
    assert list(TITLES) == wanted
    assert [row["row"] for row in committed["rows"]] == wanted
    assert all(f"| {row} |" in readme_part(committed) for row in wanted)


def test_no_verdict_stands_without_a_figure(
    committed: dict[str, Any],
) -> None:
    for row in committed["rows"]:
        numbers = [one["ours"] for one in row["figures"] if one["ours"] is not None]
        assert row["verdict"] in ("reached", "short", "not measured"), row["row"]
        assert numbers or row["verdict"] == "not measured", row["row"]
        assert row["why"] or row["verdict"] != "not measured", row["row"]


def test_what_reaches_its_target_has_a_ratio_that_does(committed: dict[str, Any]) -> None:
    for row in committed["rows"]:
        if row["verdict"] == "reached":
            for one in row["figures"]:
                if one.get("target") is not None and one["ratio"] is not None:
                    assert one["ratio"] >= one["target"], (row["row"], one["name"])


# --- how it is made


def row(name: str, *figures: Figure, verdict: str = "reached", **more: Any) -> Row:
    return Row(name, TITLES[name], "a target", verdict, "a command", figures=list(figures), **more)  # type: ignore[arg-type]


FASTER = Figure("speed", 1234.5, "photos/s", "a peer", 617.2, 2.0, 1.9, 2.1, 2.05, target=1.5)
SLOWER = Figure("pace", 3.0, "ms", "another", 1.5, 0.5, 0.4, 0.6, 0.5, target=0.7)


@pytest.fixture
def board(tmp_path: Path) -> dict[str, Any]:
    """A board of three rows that were measured, and all others."""
    write_row(tmp_path, row("P13", FASTER))
    write_row(tmp_path, row("P2", FASTER, SLOWER, verdict="short"))
    write_row(tmp_path, row("R1", Figure("lost", 0.0), planted={"early answer": "12 of 100 kills"}))
    return scoreboard.board_of(tmp_path, {"P4": "took longer than 3 s"})


def test_rows_stand_in_their_order_and_missing_ones_say_why(board: dict[str, Any]) -> None:
    by_name = {one["row"]: one for one in board["rows"]}
    assert list(by_name) == list(TITLES)
    assert by_name["P13"]["verdict"] == "reached"
    assert (by_name["P4"]["verdict"], by_name["P4"]["why"]) == ("not measured", "took longer than 3 s")
    assert by_name["P5"]["why"] == "not run"


def test_the_short_table_shows_the_figure_farthest_from_its_target(board: dict[str, Any]) -> None:
    lines = {line.split(" | ")[0]: line for line in readme_part(board).splitlines()}
    assert lines["| P13"] == (
        "| P13 | Spherical harmonics and SatCLIP's network | 1,234 photos/s | a peer: 617 photos/s | "
        "2× [1.9, 2.1] | a target | reached |"
    )
    assert "pace: 3 ms | another: 1.5 ms | 0.5× [0.4, 0.6] | a target | short" in lines["| P2"]
    assert lines["| R1"].endswith("| 0 | – | – | a target | reached |")
    assert lines["| P4"].endswith("| – | – | – | – | not measured |")
    chosen = deciding_figure({"figures": [vars(FASTER), vars(SLOWER)]})
    assert chosen is not None and chosen["name"] == "pace"


def test_where_a_peer_is_faster_is_listed(board: dict[str, Any]) -> None:
    part = readme_part(board)
    assert "Where a peer is faster:\n\n- P2, pace: 0.5× [0.4, 0.6] of another\n" in part
    assert part.count("\n- ") == 1
    assert f"2 reached, 1 short, {len(TITLES) - 3} not measured" in part
    assert not is_slower(vars(Figure("even", 1.0, "s", "a peer", 0.98, 0.98, 0.9, 1.1)))
    board["rows"] = [one for one in board["rows"] if one["row"] != "P2"]
    assert "No peer that was measured is faster." in readme_part(board)


def test_the_page_has_every_figure_and_every_planted_fault(board: dict[str, Any]) -> None:
    page = page_of(board)
    assert "| speed | 1,234 photos/s | 617 photos/s | a peer | 2× [1.9, 2.1] | 2.05 |" in page
    assert "- planted: early answer: 12 of 100 kills" in page
    assert "took longer than 3 s" in page


def test_only_what_is_between_the_markers_changes() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_readme_part(text, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    for wrong in ("no markers", f"{END}\n{BEGIN}", f"{BEGIN} {BEGIN} {END}"):
        with pytest.raises(ValueError, match="once each"):
            with_readme_part(wrong, "new\n")


def test_the_picture_has_a_line_for_each_ratio(board: dict[str, Any], tmp_path: Path) -> None:
    scoreboard.write_board(board, tmp_path)
    assert scoreboard.draw(board, tmp_path / "again.png") == 3
    with Image.open(tmp_path / "scoreboard.png") as picture:
        assert picture.width > 800
    assert json.loads((tmp_path / "scoreboard.json").read_text()) == board


# --- how scripts are run

WRITES = """
import argparse, pathlib, sys
sys.path.append({tests!r})
from scoreboard_rows import Figure, Row, write_row
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
write_row(out, Row("P16", "t", "t", "reached", "c", figures=[Figure("n", 1.0)]))
"""


@pytest.mark.parametrize(
    "source, says",
    [
        (WRITES, ""),
        ("raise SystemExit('no such peer')", "ended with 1: no such peer"),
        ("import time; time.sleep(60)", "took longer than 1"),
        ("print('nothing to say')", "left no row P16"),
    ],
)
def test_a_script_that_fails_says_so_and_leaves_no_old_row(
    source: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoreboard, "HERE", tmp_path)
    (tmp_path / "one.py").write_text(source.format(tests=str(Path(__file__).parent)))
    write_row(tmp_path / "out", row("P16", FASTER))
    limit_s = 1.0 if "sleep" in source else 60.0
    found = scoreboard.run_script(scoreboard.Script("one.py", ("P16",), limit_s), tmp_path / "out")
    assert found.startswith(says) and bool(found) == bool(says)
    left = read_rows(tmp_path / "out")
    assert [one["figures"][0]["name"] for one in left] == ([] if says else ["n"])


def test_rows_are_chosen_by_name() -> None:
    assert scoreboard.chosen_scripts("none") == []
    assert scoreboard.chosen_scripts("all") == list(scoreboard.SCRIPTS)
    assert [one.name for one in scoreboard.chosen_scripts("p14, P17")] == [
        "location_speed.py",
        "distances.py",
    ]
    with pytest.raises(SystemExit, match=r"P99; there are P1, P2, P3"):
        scoreboard.chosen_scripts("P99")


def test_every_script_is_there() -> None:
    for script in scoreboard.SCRIPTS:
        assert (scoreboard.HERE / script.name).is_file(), script.name
