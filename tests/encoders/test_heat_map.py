"""Heat maps: a design that mixes nothing up, hidden parts that are hidden, a box that fits the photo.

Claims: effects of cells are told apart from one another, from pairs and from a constant; what an encoder
reads is where the map is warm; a score that does not change, and a photo without details, have an empty
map; the box that is seen is that of the encoder's pixels for photos of any shape; the same photo has the
same map, however its file is turned.
"""

import io

import numpy as np
import pytest
from fakes import fingerprint_of
from PIL import Image

from placeprint.encoders.errors import UnreadableImage
from placeprint.encoders.heat_map import HeatMap, heat_map
from placeprint.encoders.occlusion import (
    N_SIDE,
    Box,
    blurred,
    design,
    effects,
    embed_hidden,
    hidden_shares,
    seen_box,
    spread,
)
from placeprint.encoders.preprocessing import Preprocessing

SIZE = 60
CELLS = N_SIDE**2


class DetailEncoder:
    """Embeds how much detail each quarter shows: upper left, upper right, lower left, lower right."""

    def __init__(self) -> None:
        self.preprocessing = Preprocessing(size=SIZE)
        self.fingerprint = fingerprint_of(5)
        self.batches: list[int] = []

    def embed_pixels(self, pixels: np.ndarray) -> np.ndarray:
        self.batches.append(len(pixels))
        steps = np.abs(np.diff(pixels.astype(float).mean(axis=3), axis=2))  # (B, S, S - 1)
        half = SIZE // 2
        quarters = [
            steps[:, rows, columns].mean(axis=(1, 2)) / 255.0
            for rows in (slice(half), slice(half, None))
            for columns in (slice(half), slice(half, None))
        ]
        raw = np.stack([*quarters, np.ones(len(pixels))], axis=1)
        return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def upper_left(embeddings: np.ndarray) -> np.ndarray:
    return np.asarray(embeddings[:, 0] / embeddings[:, 4], dtype=np.float64)


def noise_photo(width: int = SIZE, height: int = SIZE) -> Image.Image:
    rng = np.random.default_rng(5)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_every_cell_is_seen_as_often_with_any_other_as_without_it():
    seen = design().astype(int)
    np.testing.assert_array_equal(seen.T @ seen, 96 * np.eye(48, dtype=int))
    pairs = seen[:, :CELLS, None] * seen[:, None, :CELLS]
    assert not np.einsum("ni,njk->ijk", seen[:, :CELLS], pairs).any()  # the foldover
    assert (seen[0] == 1).all() and (seen[48] == -1).all()


def test_effects_are_told_apart_from_pairs_and_from_a_constant(rng):
    added = rng.normal(size=CELLS)
    seen = (design()[:, :CELLS] + 1) / 2
    cells, chance = effects(7.0 + seen @ added)
    np.testing.assert_allclose(cells.ravel(), added, atol=1e-12)
    assert chance < 1e-12
    signs = design().astype(float)
    cells, chance = effects(seen @ added + 5.0 * signs[:, 3] * signs[:, 17])
    np.testing.assert_allclose(cells.ravel(), added, atol=1e-12)


def test_chance_alone_seldom_stands_out(rng):
    found = 0
    for _ in range(60):
        cells, chance = effects(rng.normal(size=96))
        assert 0.1 < chance < 0.35  # 2 / √96 = 0.20
        found += HeatMap(cells, chance, Box(0, 0, 1, 1), 0.0, 0.0, 96).strongest().any()
    assert found <= 8


def test_spreading_keeps_the_sum_and_the_order():
    cells = np.arange(float(CELLS)).reshape(N_SIDE, N_SIDE)
    wide = spread(cells, 66)
    assert wide.sum() * CELLS / 66**2 == pytest.approx(cells.sum())
    np.testing.assert_allclose(wide[5::11, 5::11], cells, atol=1e-9)  # the middles of cells 11 pixels wide
    np.testing.assert_allclose(spread(np.ones((6, 6)), 61), 1.0)


def test_hidden_is_blurred_and_seen_is_untouched():
    pixels = np.asarray(noise_photo())
    shown = []

    class Keeps(DetailEncoder):
        def embed_pixels(self, pixels):
            shown.extend(pixels)
            return super().embed_pixels(pixels)

    half = np.zeros((SIZE, SIZE), np.float32)
    half[:, 30:] = 1.0
    embed_hidden(Keeps(), pixels, [half])
    np.testing.assert_array_equal(shown[0][:, :30], pixels[:, :30])
    np.testing.assert_array_equal(shown[0][:, 30:], blurred(pixels)[:, 30:])
    assert blurred(pixels).std() < 0.1 * pixels.std()
    assert abs(blurred(pixels).mean() - pixels.mean()) < 2.0


def test_the_first_picture_hides_nothing_and_the_middle_one_everything():
    shares = list(hidden_shares(30))
    assert len(shares) == 96
    assert not shares[0].any() and (shares[48] == 1.0).all()
    assert all(0.0 <= share.min() and share.max() <= 1.0 for share in shares)


@pytest.mark.parametrize("quarter, rows, columns", [(0, 0, 0), (1, 0, 1), (2, 1, 0), (3, 1, 1)])
def test_the_map_is_warm_where_the_encoder_reads(quarter, rows, columns):
    heat = heat_map(DetailEncoder(), noise_photo(), lambda e: np.float64(e[:, quarter] / e[:, 4]))
    quarters = heat.values.reshape(2, 30, 2, 30).clip(0).sum(axis=(1, 3))
    assert quarters[rows, columns] > 0.8 * quarters.sum()  # soft edges reach over the border
    part = heat.strongest()
    assert part.reshape(2, 30, 2, 30).sum(axis=(1, 3))[rows, columns] > 0.9 * part.sum() > 0
    assert heat.worth(part) > 0.5 * heat.everything > 0.0
    assert not heat.strongest(-1).any()


def test_what_weakens_the_answer_is_negative():
    heat = heat_map(DetailEncoder(), noise_photo(), lambda e: -upper_left(e))
    assert heat.values[:30, :30].mean() < 0.0
    assert heat.strongest(-1)[:30, :30].any() and not heat.strongest().any()
    assert heat.worth(heat.strongest(-1)) < 0.0


def test_of_two_parts_the_one_that_adds_more_is_the_strongest():
    cells = np.zeros((N_SIDE, N_SIDE))
    cells[0, 0] = 1.0
    cells[3:, 3:] = 0.8
    heat = HeatMap(spread(cells, SIZE), 0.1, Box(0, 0, 1, 1), 0.0, 0.0, 96)
    part = heat.strongest()
    assert part[40, 40] and not part[:20, :20].any()
    assert 0.7 * 7.2 < heat.worth(part) < 7.3


def test_a_score_that_never_changes_has_an_empty_map():
    heat = heat_map(DetailEncoder(), noise_photo(), lambda e: np.full(len(e), 3.0))
    assert not heat.values.any() and not heat.strongest().any() and not heat.strongest(-1).any()
    assert (heat.score, heat.everything) == (3.0, 0.0)


def test_a_photo_without_details_has_an_empty_map():
    heat = heat_map(DetailEncoder(), Image.new("RGB", (80, 60), "teal"), upper_left)
    assert not heat.values.any()


def test_96_pictures_are_embedded_in_batches_and_counted():
    encoder, told = DetailEncoder(), []
    heat = heat_map(encoder, noise_photo(), upper_left, progress=lambda *counts: told.append(counts))
    assert heat.n_passes == sum(encoder.batches) == 96
    assert max(encoder.batches) <= 16
    assert told[-1] == (96, 96) and told == sorted(told)
    pixels = np.asarray(noise_photo())
    whole, nothing = upper_left(encoder.embed_pixels(np.stack([pixels, blurred(pixels)])))
    assert heat.score == pytest.approx(whole)
    assert heat.everything == pytest.approx(whole - nothing)


def test_the_same_photo_has_the_same_map_however_its_file_is_turned():
    photo, exif = noise_photo(90, 60), Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    files = []
    for picture, tags in ((photo, None), (photo.transpose(Image.Transpose.ROTATE_90), exif)):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", exif=tags)
        files.append(buffer.getvalue())
    straight, turned = (heat_map(DetailEncoder(), file, upper_left) for file in files)
    np.testing.assert_array_equal(straight.values, turned.values)
    assert straight.seen == turned.seen == Box(1 / 6, 0.0, 5 / 6, 1.0)


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (20000, 10)])
def test_photos_of_any_shape_have_a_map(size):
    heat = heat_map(DetailEncoder(), noise_photo(*size), upper_left)
    assert heat.values.shape == (SIZE, SIZE) and np.isfinite(heat.values).all()
    box = heat.seen
    assert 0.0 <= box.left < box.right <= 1.0 and 0.0 <= box.top < box.bottom <= 1.0


@pytest.mark.parametrize("size", [(640, 480), (480, 641), (301, 300), (2000, 333), (250, 1777), (64, 64)])
@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(size=64, interpolation="bilinear"),
        Preprocessing(size=64, crop_share=0.875),
        Preprocessing(size=64, resize="squash"),
    ],
    ids=["all", "crop", "squash"],
)
def test_the_box_that_is_seen_is_that_of_the_pixels(size, preprocessing):
    width, height = size
    box = seen_box(preprocessing, size)
    for axis, length in enumerate(size):
        place = (np.arange(length) + 0.5) / length
        ramp = np.broadcast_to(place if axis == 0 else place[:, None], (height, width))
        # Two channels, coarse and fine, hold a place more finely than one byte does.
        picture = Image.fromarray(np.repeat((255 * ramp)[..., None], 3, axis=2).round().astype(np.uint8))
        pixels = preprocessing.pixels(picture)[..., 0] / 255.0
        line = pixels[32] if axis == 0 else pixels[:, 32]
        start, end = (box.left, box.right) if axis == 0 else (box.top, box.bottom)
        expected = start + (np.arange(64) + 0.5) / 64 * (end - start)
        # Rounded to bytes twice; at the edge of a photo the filter sees only half of what it averages. One
        # pixel of 64 would be 4 bytes.
        assert np.abs(line - expected)[4:-4].max() < 1.05 / 255
        assert abs((line - expected)[8:-8].mean()) < 0.25 / 255 + 0.0005


def test_scores_of_the_wrong_number_or_without_end_are_refused():
    for wrong in (lambda e: np.zeros(3), lambda e: np.full(len(e), -np.inf)):
        with pytest.raises(ValueError, match="96 pictures"):
            heat_map(DetailEncoder(), noise_photo(), wrong)


def test_what_is_no_photo_is_named():
    with pytest.raises(UnreadableImage, match="not a picture"):
        heat_map(DetailEncoder(), b"no picture", upper_left)


@pytest.mark.real
def test_a_map_of_a_real_photo_loses_more_than_chance(photos_folder):
    """Hiding the warm third of a photo moves a real encoder's embedding further than the cold third."""
    weights = photos_folder.parents[1] / "weights" / "mobilenetv2_100.imagenet.safetensors"
    if not weights.is_file():
        pytest.skip("the weights are not here")
    from placeprint.encoders.catalog import load_encoder

    encoder = load_encoder("timm:mobilenetv2_100?pad_type=same&mean=0.5&std=0.5&crop=1", weights=weights)
    photos = sorted((photos_folder / "travel" / "images").glob("*.jpg"))[:40:20]
    further = 0
    for photo in photos:
        pixels, _ = encoder.preprocessing.read(photo)
        whole = encoder.embed_pixels(pixels[None])[0]
        heat = heat_map(encoder, photo, lambda e, whole=whole: np.float64(e @ whole))
        order = np.argsort(-heat.values.ravel())
        third = len(order) // 3
        hidden = np.zeros((2, order.size), np.float32)
        hidden[0, order[:third]] = 1.0
        hidden[1, order[-third:]] = 1.0
        warm, cold = embed_hidden(encoder, pixels, hidden.reshape(2, *heat.values.shape)) @ whole
        further += warm < cold
    assert further == len(photos)
