"""Photos decoded in worker processes: the same pixels, in order, and no file stops the others.

The preprocessing must agree with the models' own transforms, or embeddings would quietly differ
from those the models were judged by.
"""

import io
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import open_clip
import pytest
from PIL import ExifTags, Image

from placeprint.encoders.decoding import DecodePool
from placeprint.encoders.errors import DecoderUnavailable, InvalidOption, UnreadableImage
from placeprint.encoders.preprocessing import Preprocessing

SMALL = Preprocessing(size=32)


def jpeg(rng: np.random.Generator, size: tuple[int, int] = (90, 60)) -> bytes:
    coarse = rng.integers(0, 255, (6, 9, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def test_a_worker_decodes_as_this_process_does(rng: np.random.Generator) -> None:
    content = jpeg(rng)
    with DecodePool(SMALL, workers=1) as pool:
        pixels, facts = pool.decode(content)
    expected, expected_facts = SMALL.read(content)
    np.testing.assert_array_equal(pixels, expected)
    assert facts == expected_facts


def test_answers_come_in_the_order_of_the_jobs(rng: np.random.Generator) -> None:
    contents = [jpeg(rng, (60 + i, 50)) for i in range(60)]
    with DecodePool(SMALL, workers=2) as pool:
        widths = [facts.width for _, facts in pool.map(pool.decode, contents)]
    assert widths == list(range(60, 120))


def test_few_jobs_are_taken_ahead(rng: np.random.Generator) -> None:
    content, taken = jpeg(rng), 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield content

    with DecodePool(SMALL, workers=2) as pool:
        answers = pool.map(pool.decode, endless())
        next(answers)
        assert taken <= 8 * 2 + 2
        answers.close()


def test_a_damaged_file_is_named_and_the_next_one_decoded(rng: np.random.Generator) -> None:
    with DecodePool(SMALL, workers=1) as pool:
        with pytest.raises(UnreadableImage, match="not a picture"):
            pool.decode(b"no picture")
        assert pool.decode(jpeg(rng))[0].shape == (32, 32, 3)


def test_a_file_that_kills_the_decoder_costs_only_itself(rng: np.random.Generator) -> None:
    with DecodePool(SMALL, workers=1) as pool:
        pool.decode(jpeg(rng))
        process = next(iter(pool._processes))
        os.kill(process.pid, signal.SIGSTOP)  # then it cannot answer before it dies
        killer = threading.Timer(0.2, os.kill, (process.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(UnreadableImage, match="crashed"):
            pool.decode(jpeg(rng))
        assert pool.n_processes == 1  # there again, so that the next photo does not wait for it
        assert pool.decode(jpeg(rng))[0].shape == (32, 32, 3)
        assert (pool.n_crashed, pool.n_processes, pool.is_alive) == (1, 1, True)


def test_a_process_that_died_between_two_photos_costs_none(rng: np.random.Generator) -> None:
    with DecodePool(SMALL, workers=1) as pool:
        pool.decode(jpeg(rng))
        process = next(iter(pool._processes))
        os.kill(process.pid, signal.SIGKILL)
        process._popen.wait()
        assert pool.decode(jpeg(rng))[0].shape == (32, 32, 3)
        assert pool.n_crashed == 1


def test_a_file_that_stalls_the_decoder_is_given_up(rng: np.random.Generator) -> None:
    with DecodePool(SMALL, workers=1, timeout_s=0.3) as pool:
        pool.decode(jpeg(rng))
        os.kill(next(iter(pool._processes)).pid, signal.SIGSTOP)
        with pytest.raises(UnreadableImage, match=r"still decoding after 0\.3 s"):
            pool.decode(jpeg(rng))
        assert pool.n_crashed == 1


def test_no_process_is_left_behind(rng: np.random.Generator) -> None:
    with DecodePool(SMALL, workers=2) as pool:
        list(pool.map(pool.decode, [jpeg(rng)] * 6))
        processes = list(pool._processes)
    assert processes
    assert not any(process.is_running for process in processes)
    assert not pool.is_alive
    with pytest.raises(DecoderUnavailable, match="closed"):
        pool.decode(jpeg(rng))
    assert pool.n_processes == 0


def test_one_pool_serves_several_encoders(rng: np.random.Generator) -> None:
    content = jpeg(rng)
    wide = Preprocessing(size=48, resize="squash")
    with DecodePool(SMALL, workers=1) as pool:
        for preprocessing in (wide, SMALL, wide):
            pixels, _ = pool.decode(content, preprocessing)
            np.testing.assert_array_equal(pixels, preprocessing.read(content)[0])
        np.testing.assert_array_equal(pool.decode(content)[0], SMALL.read(content)[0])


def test_each_thread_has_its_process_and_gets_its_own_answers(rng: np.random.Generator) -> None:
    contents = [jpeg(rng, (60 + i, 50)) for i in range(40)]
    with DecodePool(SMALL, workers=1) as pool, ThreadPoolExecutor(3) as threads:
        widths = [facts.width for _, facts in threads.map(pool.decode, contents)]
        assert 1 <= pool.n_processes <= 3
    assert widths == list(range(60, 100))


@pytest.mark.parametrize("shape", [(90, 60), (60, 90), (20, 10), (300, 4)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_thumbnail_is_small_upright_and_never_enlarged(
    rng: np.random.Generator, shape: tuple[int, int], format: str
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    lying = Image.new("RGB", shape, "red")
    lying.paste("blue", (0, 0, shape[0] // 2, shape[1]))
    file = io.BytesIO()
    lying.save(file, "JPEG", exif=exif.tobytes(), quality=95)
    with DecodePool(SMALL, workers=1) as pool:
        thumbnail = Image.open(io.BytesIO(pool.thumbnail(file.getvalue(), 30, format=format)))
    assert thumbnail.format == format
    assert max(thumbnail.size) == min(30, max(shape))
    assert (thumbnail.width < thumbnail.height) == (shape[0] > shape[1])  # turned by a quarter
    pixels = np.asarray(thumbnail.convert("RGB")).astype(int)
    assert (pixels[0, :, 2] > 200).all()  # the left half of the lying picture is the top of the upright one
    assert (pixels[-1, :, 0] > 200).all()


@pytest.mark.parametrize("side_px, format", [(0, "JPEG"), (100_000, "JPEG"), (64, "TIFF")])
def test_a_thumbnail_that_cannot_be_is_refused(side_px: int, format: str) -> None:
    with DecodePool(SMALL, workers=1) as pool, pytest.raises(InvalidOption, match="choose"):
        pool.thumbnail(b"", side_px, format=format)


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (333, 333), (224, 500), (225, 224), (100, 80)])
@pytest.mark.parametrize("resize", ["shortest", "squash"])
def test_preprocessing_is_that_of_open_clip(
    rng: np.random.Generator, size: tuple[int, int], resize: str
) -> None:
    image = Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
    reference = open_clip.image_transform(
        224, is_train=False, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0),
        resize_mode=resize, interpolation="bicubic",
    )  # fmt: skip
    expected = (reference(image).permute(1, 2, 0).numpy() * 255.0).round()
    ours = Preprocessing(size=224, resize=resize).pixels(image)  # type: ignore[arg-type]
    np.testing.assert_array_equal(ours, expected)


def test_a_long_strip_gives_its_middle_at_no_great_cost() -> None:
    strip = Image.new("RGB", (30_000, 10), "red")
    strip.paste("blue", (14_950, 0, 15_050, 10))
    pixels = SMALL.pixels(strip)
    assert pixels.shape == (32, 32, 3)
    assert pixels.mean(axis=(0, 1))[2] > 200


@pytest.mark.real
def test_decoding_small_hardly_changes_the_pixels(damaged_folder: Path) -> None:
    large = damaged_folder / "mex_jpg_gps_DSCN0010.jpg"
    path = large if large.exists() else next(damaged_folder.glob("exifsamples_jpg_gps*"))
    small, _ = SMALL.read(path)
    with Image.open(path) as image:
        full = SMALL.pixels(image.convert("RGB"))
    assert np.abs(small.astype(float) - full).mean() < 2.0


def test_unless_told_otherwise_every_core_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placeprint.encoders.decoding.all_cores", lambda: 3)
    with DecodePool(SMALL) as pool:
        assert pool.workers == 3
