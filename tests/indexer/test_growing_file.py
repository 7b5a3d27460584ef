"""A growing file keeps what is done, whatever happens, and shows itself only when it is whole."""

import errno
import json
import os
from pathlib import Path

import pytest

from placeprint.encoders.errors import AnotherRun, UnwritableFile
from placeprint.indexer.growing_file import GrowingFile

JOB = {"source": "places.csv", "keep": ["a", "b"]}


class Crash(Exception):
    """Something that no one catches."""


def grow(target: Path, parts: list[bytes], *, crash: bool = False, **options: object) -> GrowingFile:
    with GrowingFile(target, JOB, **options) as file:  # type: ignore[arg-type]
        file.begin(b"HEAD")
        for part in parts:
            file.append(part, {"n": len(file.ends) + 1})
        if crash:
            raise Crash
        file.finish(lambda opened, ends: opened.write(b"TAIL"))
    return file


def crashed(target: Path, parts: list[bytes], **options: object) -> None:
    with pytest.raises(Crash):
        grow(target, parts, crash=True, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    grow(tmp_path / "out", [b"one", b"two"])
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out").read_bytes() == b"HEADonetwoTAIL"


def test_until_then_it_is_not_there(tmp_path: Path) -> None:
    with GrowingFile(tmp_path / "out", JOB) as file:
        file.begin(b"HEAD")
        file.append(b"one", {})
        assert not (tmp_path / "out").exists()
        file.finish(lambda opened, ends: None)


def test_what_was_done_is_kept_and_gone_on_with(tmp_path: Path) -> None:
    target = tmp_path / "out"
    crashed(target, [b"one", b"two"])
    assert names(tmp_path) == ["out.partial", "out.partial.json"]
    with GrowingFile(target, JOB, is_resumed=True) as file:
        assert (file.notes, file.ends) == ({"n": 2}, [7, 10])
        file.begin(b"HEAD")
        file.append(b"three", {"n": 3})
        file.finish(lambda opened, ends: opened.write(b"TAIL"))
    assert target.read_bytes() == b"HEADonetwothreeTAIL"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("torn", [b"", b"thr", b"threeTAIL" * 9])
def test_what_the_journal_does_not_know_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    target = tmp_path / "out"
    crashed(target, [b"one", b"two"])
    with (tmp_path / "out.partial").open("ab") as file:
        file.write(torn)
    grow(target, [b"three"], is_resumed=True)
    assert target.read_bytes() == b"HEADonetwothreeTAIL"


def test_a_part_is_on_the_disk_before_the_journal_tells_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(handle: int) -> None:
        events.append(f"sync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        fsync(handle)

    def noted_replace(path: Path, other: Path) -> Path:
        events.append(f"{path.name} -> {other.name}")
        return replace(path, other)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    grow(tmp_path / "out", [b"one"])
    folder = f"sync {tmp_path.name}"
    journal = ["sync out.partial.json.tmp", "out.partial.json.tmp -> out.partial.json", folder]
    assert events == ["sync out.partial", *journal, "sync out.partial", "out.partial -> out", folder]


def test_an_error_before_the_first_part_leaves_nothing(tmp_path: Path) -> None:
    crashed(tmp_path / "out", [])
    assert names(tmp_path) == []


def test_a_file_that_exists_is_not_replaced_unasked(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"precious")
    with pytest.raises(UnwritableFile, match="exists already; --overwrite replaces it"):
        grow(target, [b"one"])
    crashed(target, [b"one"], is_overwritten=True)
    assert target.read_bytes() == b"precious"
    grow(target, [b"one"], is_overwritten=True)
    assert target.read_bytes() == b"HEADoneTAIL"


def test_an_interrupted_run_is_not_thrown_away_unasked(tmp_path: Path) -> None:
    target = tmp_path / "out"
    crashed(target, [b"one"])
    with pytest.raises(UnwritableFile, match="--resume goes on with it, --overwrite begins anew"):
        grow(target, [b"two"])
    assert (tmp_path / "out.partial").read_bytes() == b"HEADone"
    grow(target, [b"two"], is_overwritten=True)
    assert target.read_bytes() == b"HEADtwoTAIL"


def test_nothing_to_resume_is_a_beginning(tmp_path: Path) -> None:
    grow(tmp_path / "out", [b"one"], is_resumed=True)
    assert (tmp_path / "out").read_bytes() == b"HEADoneTAIL"


def test_another_job_is_not_resumed(tmp_path: Path) -> None:
    target = tmp_path / "out"
    crashed(target, [b"one"])
    with (
        pytest.raises(AnotherRun, match=r"keep was \['a', 'b'\].*begin anew with --overwrite"),
        GrowingFile(target, {**JOB, "keep": ["a"]}, is_resumed=True),
    ):
        pass
    assert (tmp_path / "out.partial").read_bytes() == b"HEADone"


@pytest.mark.parametrize(
    "journal", ["", "[]", '{"format": 99, "ends": [], "job": {}, "head": 0, "notes": {}}']
)
def test_a_damaged_journal_is_named(tmp_path: Path, journal: str) -> None:
    target = tmp_path / "out"
    crashed(target, [b"one"])
    (tmp_path / "out.partial.json").write_text(journal)
    with pytest.raises(AnotherRun, match=r"out.partial.json: damaged"):
        grow(target, [], is_resumed=True)
    grow(target, [b"two"], is_overwritten=True)


def test_a_partial_file_shorter_than_its_journal_is_damaged(tmp_path: Path) -> None:
    target = tmp_path / "out"
    crashed(target, [b"one"])
    (tmp_path / "out.partial").write_bytes(b"HEA")
    with pytest.raises(AnotherRun, match="damaged"):
        grow(target, [], is_resumed=True)


@pytest.mark.parametrize("left", ["out.partial", "out.partial.json"])
def test_half_of_what_a_kill_leaves_is_a_beginning(tmp_path: Path, left: str) -> None:
    crashed(tmp_path / "out", [b"one"])
    for name in names(tmp_path):
        if name != left:
            (tmp_path / name).unlink()
    grow(tmp_path / "out", [b"two"])
    assert (tmp_path / "out").read_bytes() == b"HEADtwoTAIL"
    assert names(tmp_path) == ["out"]


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    with GrowingFile(tmp_path / "out", JOB) as file:
        with pytest.raises(UnwritableFile, match="another process is writing it"):
            grow(tmp_path / "out", [b"one"], is_overwritten=True)
        file.begin(b"HEAD")
        file.append(b"one", {})
        file.finish(lambda opened, ends: None)
    assert (tmp_path / "out").read_bytes() == b"HEADone"


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, fsync, n_calls = tmp_path / "out", os.fsync, 0

    def full(handle: int) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 4:  # three for the first part: file, journal, folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        UnwritableFile, match=r"No space left on device; what was done is kept in out.partial: .*--resume"
    ):
        grow(target, [b"one", b"two"])
    monkeypatch.undo()
    grow(target, [b"two"], is_resumed=True)
    assert target.read_bytes() == b"HEADonetwoTAIL"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_device_that_is_really_full(tmp_path: Path) -> None:
    (tmp_path / "out.partial").symlink_to("/dev/full")
    with pytest.raises(UnwritableFile, match="No space left on device"):
        grow(tmp_path / "out", [b"one" * 100_000])


def test_a_folder_that_is_missing_or_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnwritableFile, match="there is no folder"):
        grow(tmp_path / "none" / "out", [])
    (tmp_path / "out").mkdir()
    with pytest.raises(UnwritableFile, match="this is a folder"):
        grow(tmp_path / "out", [])


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_others_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UnwritableFile, match="Permission denied"):
        grow(tmp_path / "out", [b"one"])


def test_a_text_may_go_beside_it(tmp_path: Path) -> None:
    with GrowingFile(tmp_path / "out.csv", JOB) as file:
        file.begin(b"")
        file.finish(lambda opened, ends: None, json.dumps({"encoder": "globe"}))
    assert names(tmp_path) == ["out.csv", "out.csv.json"]
    assert json.loads((tmp_path / "out.csv.json").read_text()) == {"encoder": "globe"}
