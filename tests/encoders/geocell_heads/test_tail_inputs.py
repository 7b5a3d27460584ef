"""Claims: each photo is seen by the trunk once, in its row, also after a kill; a full disk says so first."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from tuning_fakes import Photo, encoder_in, photo_of, pictures

from placeprint.encoders.errors import AnotherRun, InvalidOption, UnwritableFile
from placeprint.encoders.geocell_heads.splitting import SplitEncoder
from placeprint.encoders.geocell_heads.tail_inputs import INPUTS_FILE, STATE_FILE, forget_inputs, read_inputs
from placeprint.encoders.location_files import write_atomically

N = 75
SHOWN = pictures(np.arange(N) % 2, is_told=True)


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    """Two of them cannot be read, one has changed."""
    photos = [photo_of(one, f"{row:02}.png") for row, one in enumerate(SHOWN)]
    photos[3].content = None
    photos[40].content = b"damaged"
    photos[74].problem = "changed since it was indexed; index it again"
    return photos


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> SplitEncoder:
    return SplitEncoder(encoder_in(tmp_path_factory.mktemp("encoder")), 1)


def test_rows_are_those_of_the_photos_and_what_cannot_be_read_is_named(
    photos: list[Photo], split: SplitEncoder, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    inputs = read_inputs(
        split, photos, tmp_path, workers=1, show=lambda done, total: told.append((done, total))
    )
    assert sorted(inputs.left_out) == [3, 40, 74] and told[0] == (0, N) and told[-1] == (N, N)
    assert "No such file" in inputs.left_out[3] and "changed" in inputs.left_out[74]
    good = np.array([row for row in range(N) if row not in inputs.left_out])
    np.testing.assert_array_equal(inputs.rows[good], split.trunk(SHOWN[good]).astype(np.float16))
    assert inputs.rows.dtype == np.float16 and (tmp_path / INPUTS_FILE).stat().st_size == inputs.rows.nbytes
    embedded = inputs.embed(split, good, batch_size=16)
    assert (embedded * split.whole(SHOWN[good])).sum(axis=1).min() > 0.99999
    forget_inputs(tmp_path)
    assert not list(tmp_path.iterdir())


def test_it_goes_on_where_it_was_killed(
    photos: list[Photo], split: SplitEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "placeprint.encoders.geocell_heads.tail_inputs"
    monkeypatch.setattr(f"{module}._BATCH", 10)
    monkeypatch.setattr(f"{module}._NOTED_EVERY", 2)
    whole = np.array(read_inputs(split, photos, _made(tmp_path / "a"), workers=1).rows)

    def killed(after: int) -> Callable[[int, int], None]:
        def show(done: int, _: int) -> None:
            if done >= after:
                raise KeyboardInterrupt

        return show

    with pytest.raises(KeyboardInterrupt):
        read_inputs(split, photos, _made(tmp_path / "b"), workers=1, show=killed(50))
    told: list[int] = []
    again = read_inputs(split, photos, tmp_path / "b", workers=1, show=lambda done, _: told.append(done))
    assert told[:2] == [50, 60]
    np.testing.assert_array_equal(again.rows, whole)
    assert sorted(again.left_out) == [3, 40, 74]
    with pytest.raises(AnotherRun, match="other photos"):
        write_atomically(tmp_path / "b" / STATE_FILE, b'{"shape": [75, 9], "done": 3, "left_out": {}}')
        read_inputs(split, photos, tmp_path / "b", workers=1)


def test_what_was_not_noted_when_the_power_went_is_done_again(
    photos: list[Photo], split: SplitEncoder, tmp_path: Path
) -> None:
    whole = np.array(read_inputs(split, photos, tmp_path, workers=1).rows)
    state = json.loads((tmp_path / STATE_FILE).read_text())
    write_atomically(tmp_path / STATE_FILE, json.dumps({**state, "done": 64}).encode())
    damaged = np.memmap(tmp_path / INPUTS_FILE, np.float16, "r+", shape=whole.shape)
    damaged[64:] = 7.0
    damaged.flush()
    np.testing.assert_array_equal(read_inputs(split, photos, tmp_path, workers=1).rows, whole)
    (tmp_path / INPUTS_FILE).write_bytes(b"cut off")  # then it is made anew
    np.testing.assert_array_equal(read_inputs(split, photos, tmp_path, workers=1).rows, whole)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_too_small_says_so_before_any_photo_is_read(
    photos: list[Photo], split: SplitEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 1000))
    with pytest.raises(UnwritableFile, match=r"last 1 blocks take 0.00 GB of it \(75 photos of 5 × 32 num"):
        read_inputs(split, photos, tmp_path, workers=1)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_is_no_crash(
    photos: list[Photo], split: SplitEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(UnwritableFile, match="No space left"):
        read_inputs(split, photos, tmp_path, workers=1)


def test_numbers_beyond_half_precision_are_refused(
    photos: list[Photo], split: SplitEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = split.trunk
    monkeypatch.setattr(split, "trunk", lambda pixels: whole(pixels) * 1e6)
    with pytest.raises(InvalidOption, match="65504"):
        read_inputs(split, photos[:2], tmp_path, workers=1)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
