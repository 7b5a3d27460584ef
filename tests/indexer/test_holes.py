"""A copy has the same bytes and the same holes."""

from pathlib import Path

import pytest

from placeprint.indexer import holes
from placeprint.indexer.holes import copy_written

MB = 1 << 20


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """64 MB with data at the start, in the middle and before a hole at the end."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(b"start")
        file.seek(20 * MB)
        file.write(b"middle" * MB)  # more than is read at one time
        file.truncate(64 * MB)
    return path


def test_the_bytes_are_the_same_and_holes_take_no_room(sparse: Path, tmp_path: Path) -> None:
    copy_written(sparse, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == sparse.read_bytes()
    assert (tmp_path / "copy").stat().st_blocks <= sparse.stat().st_blocks + 16


@pytest.mark.parametrize("n_bytes", [0, 1, 5000])
def test_small_files_and_files_that_are_one_hole(tmp_path: Path, n_bytes: int) -> None:
    (tmp_path / "full").write_bytes(b"x" * n_bytes)
    with (tmp_path / "empty").open("wb") as file:
        file.truncate(n_bytes)
    for name in ("full", "empty"):
        copy_written(tmp_path / name, tmp_path / f"{name} copy")
        assert (tmp_path / f"{name} copy").read_bytes() == (tmp_path / name).read_bytes()


def test_where_holes_are_not_known_everything_is_copied(
    sparse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(holes.os, "SEEK_DATA")
    copy_written(sparse, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == sparse.read_bytes()


def test_a_file_that_is_there_is_left_alone(sparse: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        copy_written(sparse, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"mine"
