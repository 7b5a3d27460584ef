"""Photos from strangers: whatever they are, the answer is a picture or a refusal with its reason.

Claims: damaged and malicious files cost only themselves; what a header announces is refused before
memory is taken for it; formats that are not taken reach no parser; a stall and a memory bomb each cost
one photo; the sandbox changes no answer.
"""

import csv
import json
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import damaged_photos as damaged
import numpy as np
import psutil
import pytest
from PIL import Image
from upload_fakes import GOOD, LIMITS, LONGEST_S, SMALL, outcome, scripted_pool

from placeprint.encoders.decoding import DecodePool
from placeprint.encoders.errors import InvalidOption, TooManyPixels, UnreadableImage, UnsupportedFormat
from placeprint.encoders.photo import open_photo
from placeprint.encoders.photo_formats import FORMATS, load_parsers
from placeprint.encoders.upload_limits import UploadLimits


def check_many(pool: DecodePool, n: int, seed: int) -> None:
    expected, longest, n_decoded = SMALL.read(GOOD)[0], 0.0, 0
    for number, (name, content) in enumerate(damaged.damaged_photos(n, seed)):
        started = time.monotonic()
        told = outcome(pool, content)
        longest = max(longest, time.monotonic() - started)
        assert isinstance(told, bytes) or "Traceback" not in told, name
        n_decoded += isinstance(told, bytes)
        if number % 10 == 0:
            np.testing.assert_array_equal(pool.decode(GOOD)[0], expected, err_msg=f"after {name}")
    assert 0.05 * n < n_decoded < 0.5 * n  # or the files are not what they are meant to be
    assert longest <= LONGEST_S


def test_a_thousand_damaged_photos_cost_only_themselves(pool: DecodePool) -> None:
    n_crashed = pool.n_crashed
    check_many(pool, 1_000, seed=1)
    assert pool.n_crashed == n_crashed


@pytest.mark.slow
def test_ten_thousand_damaged_photos_cost_only_themselves(pool: DecodePool) -> None:
    check_many(pool, 10_000, seed=2)


def test_the_same_seed_gives_the_same_files() -> None:
    first, again, other = (list(damaged.damaged_photos(60, seed)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_the_sandbox_changes_no_answer(pool: DecodePool) -> None:
    for name, content in damaged.damaged_photos(150, seed=5):
        try:
            here: str | bytes = SMALL.read(content, limits=LIMITS)[0].tobytes()
        except UnreadableImage as error:
            here = f"{type(error).__name__}: {str(error).removeprefix('image: ')}"
        assert outcome(pool, content) == here, name


@pytest.mark.real
def test_the_sandbox_changes_no_answer_for_real_files_of_every_format(damaged_folder: Path) -> None:
    with (damaged_folder / "manifest.csv").open() as file:
        names = [row["file"] for row in csv.DictReader(file)]
    with DecodePool(SMALL, workers=1) as own:
        for name in names:
            content = (damaged_folder / name).read_bytes()
            try:
                pixels, facts = SMALL.read(content)
            except UnreadableImage as error:
                with pytest.raises(UnreadableImage) as refused:
                    own.decode(content)
                assert str(refused.value) == str(error).removeprefix("image: ")[:500], name
            else:
                told, told_facts = own.decode(content)
                np.testing.assert_array_equal(told, pixels, err_msg=name)
                assert told_facts == facts, name
        assert own.n_crashed == 0


@pytest.mark.real
def test_real_damaged_files_as_uploads(damaged_folder: Path, pool: DecodePool) -> None:
    for path in sorted(damaged_folder.iterdir()):
        if path.is_file():
            outcome(pool, path.read_bytes())
            assert pool.decode(GOOD)[0].shape == (32, 32, 3)


@pytest.mark.parametrize("name", damaged.header_bombs())
def test_a_bomb_is_refused_by_its_header(pool: DecodePool, name: str) -> None:
    pool.decode(GOOD)
    process = psutil.Process(next(iter(pool._processes)).pid)
    before = process.memory_info().rss
    with pytest.raises(TooManyPixels, match="more than 50,000,000 pixels; send it smaller"):
        pool.decode(damaged.header_bombs()[name])
    assert process.memory_info().rss - before < 32e6


def test_a_long_edge_is_refused(pool: DecodePool) -> None:
    strip = damaged.encoded(Image.new("1", (20_001, 1)), "PNG")
    with pytest.raises(TooManyPixels, match="edge above 20,000 pixels"):
        pool.decode(strip)
    assert pool.decode(damaged.encoded(Image.new("1", (20_000, 1)), "PNG"))[1].width == 20_000


@pytest.mark.parametrize("format", FORMATS)
def test_the_limits_hold_in_every_format(format: str) -> None:
    taken = UploadLimits(formats=(format,), max_pixels=20_000)
    load_parsers(FORMATS)  # so that HEIF can be written
    picture = damaged.encoded(Image.new("RGB", (200, 100)), format)
    assert open_photo(picture, limits=taken)[0].size == (200, 100)
    with pytest.raises(TooManyPixels, match="200 × 100 is more than 19,999 pixels"):
        open_photo(picture, limits=replace(taken, max_pixels=19_999))
    with pytest.raises(TooManyPixels, match="edge above 199"):
        open_photo(picture, limits=replace(taken, max_edge_px=199))


@pytest.mark.parametrize("name", damaged.foreign_formats())
def test_a_format_that_is_not_taken_reaches_no_parser(
    name: str, pool: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = damaged.foreign_formats()[name]
    with pytest.raises(UnsupportedFormat, match="JPEG, PNG, WEBP"):
        pool.decode(content)
    monkeypatch.setattr(Image, "open", pytest.fail)
    monkeypatch.setattr(subprocess, "Popen", pytest.fail)
    with pytest.raises(UnsupportedFormat):
        open_photo(content, limits=LIMITS)


@pytest.mark.parametrize("formats, is_loaded", [(("JPEG", "WEBP"), False), (("JPEG", "HEIF", "AVIF"), True)])
def test_parsers_that_nobody_asked_for_are_not_loaded(formats: tuple[str, ...], is_loaded: bool) -> None:
    code = (
        "import sys\n"
        "from placeprint.encoders import decode_worker, sandbox\n"
        "sandbox.confine = lambda **_: sys.stderr.write(' '.join(sys.modules))\n"
        "decode_worker.main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, json.dumps({"formats": formats})],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    loaded = set(done.stderr.split())
    assert "PIL.JpegImagePlugin" in loaded
    assert ("pillow_heif" in loaded, "PIL.AvifImagePlugin" in loaded) == (is_loaded, is_loaded)
    assert loaded.isdisjoint({"PIL.EpsImagePlugin", "PIL.PsdImagePlugin", "torch"})


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_heif_and_avif_are_taken_only_on_request(format: str, pool: DecodePool) -> None:
    load_parsers(FORMATS)  # so that HEIF can be written
    content = damaged.encoded(Image.new("RGB", (64, 48), "teal"), format)
    with pytest.raises(UnsupportedFormat):
        pool.decode(content)
    with DecodePool(SMALL, workers=1, limits=UploadLimits(formats=("JPEG", format))) as opted:
        assert opted.decode(content)[1].width == 64
        with pytest.raises(UnsupportedFormat, match=f"formats JPEG, {format}"):
            opted.decode(damaged.encoded(Image.new("RGB", (8, 8)), "PNG"))


@pytest.mark.parametrize("options", [{"formats": ("JPEG", "EPS")}, {"formats": ()}, {"cpu_s": 0}])
def test_limits_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidOption):
        UploadLimits(**options)  # type: ignore[arg-type]


def test_a_jpeg_of_many_scans_is_refused_and_one_of_some_is_not(pool: DecodePool) -> None:
    assert pool.decode(damaged.many_scans(20))[1].width == 320
    for n in (80, 3_000):
        with pytest.raises(UnreadableImage, match="more than 64 scans"):
            pool.decode(damaged.many_scans(n))


def test_scans_cannot_be_hidden_behind_other_markers(pool: DecodePool) -> None:
    content = damaged.many_scans(80)
    start = content.index(b"\xff\xda")
    second = content.index(b"\xff\xda", start + 2)
    for hiding in (b"\xff\xfe\x00\x04\xff\xd9", b"\xff\x01", b"\xff\xff"):
        with pytest.raises(UnreadableImage, match="more than 64 scans"):
            pool.decode(content[:second] + hiding + content[second:])


def test_what_takes_too_much_time_is_given_up() -> None:
    with scripted_pool("while b'EVIL' in content: pass") as pool:
        pool.limits = UploadLimits(cpu_s=1.0)
        with pytest.raises(UnreadableImage, match="after 1 s of processor time: damaged or malicious"):
            pool.decode(GOOD + b"EVIL")
        assert pool.decode(GOOD)[0].shape == (32, 32, 3)
        assert pool.n_crashed == 1


def test_a_metadata_block_of_overlapping_values_costs_little_or_only_itself(pool: DecodePool) -> None:
    # 5,000 lists of 7,000 fractions each, all read from the same 60 KB.
    n = 5_000
    entries = b"".join(struct.pack("<HHII", 1_000 + tag, 5, 7_000, 8) for tag in range(n))
    gps = struct.pack("<H", n) + entries + bytes(4)
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8825, 4, 1, 26, 0) + gps
    told = outcome(pool, damaged._with_segments(GOOD, 0xE1, [block]))
    assert isinstance(told, bytes) or "processor time" in told
    assert pool.decode(GOOD)[0].shape == (32, 32, 3)


def test_time_is_counted_anew_for_every_photo() -> None:
    script = "import time; end = time.process_time() + 0.7\n    while time.process_time() < end: pass"
    with scripted_pool(script) as pool:
        pool.limits = UploadLimits(cpu_s=1.0)
        for _ in range(3):
            pool.decode(GOOD)
        assert pool.n_crashed == 0


def test_what_does_not_fit_into_memory_is_refused() -> None:
    large = damaged.encoded(Image.new("RGB", (6_000, 5_000)), "PNG")
    with DecodePool(SMALL, workers=1, limits=UploadLimits(memory_bytes=230_000_000)) as pool:
        assert pool.decode(GOOD)[0].shape == (32, 32, 3)
        with pytest.raises(UnreadableImage, match=r"does not fit into memory|crashed"):
            pool.decode(large)
        assert pool.decode(GOOD)[0].shape == (32, 32, 3)
