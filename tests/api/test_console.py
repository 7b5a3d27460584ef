"""What the command line shows: the last word of `index`, and the progress of what takes long."""

import json
from pathlib import Path

import pytest

from placeprint.api import console
from placeprint.indexer.ingest import Report


def shown(report: Report, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    console.show_report(report, "trips", 7, Path("failures.csv"), as_json=False)
    said = capsys.readouterr()
    return said.out, said.err


def test_the_report_says_what_was_passed_over_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(n_listed=9, n_unchanged=4, elsewhere={"/a.csv": 2, "/[b].csv": 1}, n_deleted=2)
    out, err = shown(report, capsys)
    assert "9 photos listed: 0 embedded, 4 unchanged, 2 belong to /a.csv (--claim takes them over)" in out
    assert "1 belong to /[b].csv" in out
    assert "2 deleted before (--undelete brings them back)" in out
    assert (out.splitlines()[-1], err) == ("gallery trips: 7 photos", "")


def test_failures_are_named_the_first_twenty(capsys: pytest.CaptureFixture[str]) -> None:
    failures = {f"{i:02d} [x].jpg": "an empty file" for i in range(23)}
    out, err = shown(Report(n_listed=23, failures=failures, n_failed=23), capsys)
    assert err.splitlines()[0] == "failed: 00 [x].jpg: an empty file"
    assert err.splitlines()[-1] == "… and 3 more"
    assert "all failures with reasons: failures.csv" in out


def test_the_same_report_as_lines_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(n_listed=1, failures={"a.jpg": "an empty file"}, n_failed=1)
    console.show_report(report, "trips", 7, Path("failures.csv"), as_json=True)
    failed, last = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert failed == {"event": "failed", "image": "a.jpg", "reason": "an empty file"}
    assert (last["event"], last["failed"], last["photos"]) == ("report", 1, 7)


@pytest.mark.parametrize("is_answer", [False, True])
def test_progress_off_a_terminal_is_its_start_and_its_end(
    capsys: pytest.CaptureFixture[str], is_answer: bool
) -> None:
    with console.counting_progress("calibrating", as_json=True, is_answer=is_answer) as count:
        for done in (1, 2, 3):
            count(done, 3)
    said = capsys.readouterr()
    first, last = (json.loads(line) for line in (said.out if is_answer else said.err).splitlines())
    assert first == {"event": "calibrating", "state": "begun", "total": 3}
    assert (last["state"], last["total"]) == ("done", 3)
    assert (said.err if is_answer else said.out) == ""


def test_where_nothing_had_to_be_done_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with console.counting_progress("calibrating"):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_failure_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_failure("a.jpg", "a.jpg: no such file", as_json=False)
    console.show_failure("a.jpg", "no such file", as_json=False)
    assert capsys.readouterr().err == "failed: a.jpg: no such file\n" * 2
