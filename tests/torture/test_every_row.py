"""Each row of the reliability table is tortured, and each torture is itself tried with a fault.

These checks are quick and part of the default suite; the torture is not.
"""

import ast
import re
from pathlib import Path

import pytest
from torture_faults import FAULTS
from torture_rows import CLAIMS, OUT, Record, planted_in, row_of
from torture_runs import ROOT

HERE = Path(__file__).parent


def functions() -> dict[str, tuple[Path, str]]:
    """Torture tests by name, with the file and the text of each."""
    found = {}
    for path in sorted(HERE.glob("test_*.py")):
        text = path.read_text()
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef) and row_of(node.name):
                found[node.name] = path, ast.get_source_segment(text, node) or ""
    return found


def test_every_row_has_one_torture_test() -> None:
    rows = [row_of(name) for name in functions()]
    assert sorted(rows, key=lambda row: int((row or "R0")[1:])) == list(CLAIMS)
    assert list(CLAIMS)[:32] == [f"R{number}" for number in range(1, 33)]


@pytest.mark.parametrize("row", CLAIMS)
def test_every_row_plants_a_fault_and_asks_that_it_is_caught(row: str) -> None:
    assert planted_in(row), f"{row} would pass whatever is broken"
    name = next(name for name in functions() if row_of(name) == row)
    path, text = functions()[name]
    assert "record.caught(" in text or "plant_all(record" in text
    assert "record.figure(" in text, f"{row} keeps no figure"
    for fault in CLAIMS[row].planted:
        assert fault in path.read_text(), f"{path.name} plants no {fault!r}"
    if row in FAULTS:
        assert "FAULTS[" in path.read_text()


@pytest.mark.parametrize("row", FAULTS)
def test_faults_can_still_be_planted(row: str) -> None:
    for name, fault in FAULTS[row].items():
        text = (ROOT / fault.file).read_text()
        assert text.count(fault.before) == 1, (
            f"{row}, {name!r}: {fault.file} says {fault.before!r} otherwise now"
        )
        assert fault.before != fault.after
        for test in fault.tests[:1]:
            path, _, named = test.partition("::")
            assert named or fault.tests[1:2] == ("-k",), "tests of a fault are named: a file takes too long"
            told, expression = (ROOT / path).read_text(), " ".join((named, *fault.tests[2:]))
            words = set(re.findall(r"[a-z]+_\w+", expression))
            assert all(word in told for word in words), (path, words)


def test_a_record_keeps_what_failed_and_forgets_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OUT, str(tmp_path))
    record = Record("R1")
    record.figure("kills", 3)
    with pytest.raises(AssertionError, match="caught 0 of 3"):
        record.caught("a vector of zeros is stored", 0, 3)
    with pytest.raises(AssertionError, match="names no fault"):
        record.caught("something else", 1, 1)
    assert record.missing() == {"photos acknowledged before the commit"}
    path = record.write(failure="one was lost")
    assert path == tmp_path / "rows" / "R1.json"
    assert '"verdict": "short"' in path.read_text() and "one was lost" in path.read_text()
    assert '"verdict": "not measured"' in record.write(skipped="no root").read_text()
    assert '"verdict": "reached"' in record.write().read_text()
