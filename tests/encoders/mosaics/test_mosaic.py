"""Views: golden pixels, turns, batches, backends, widths on the ground, rims, the antimeridian."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from placeprint.encoders.areas import Box
from placeprint.encoders.errors import InvalidCoordinate, InvalidOption
from placeprint.encoders.mosaics import mosaic as mosaic_module
from placeprint.encoders.mosaics import resident
from placeprint.encoders.mosaics.build import build_mosaic
from placeprint.encoders.mosaics.legend import NODATA
from placeprint.encoders.mosaics.mercator import EQUATOR_M_PER_PX, to_lonlat, to_world
from placeprint.encoders.mosaics.mosaic import Level, Mosaic
from placeprint.encoders.mosaics.scanlines import Window
from placeprint.encoders.mosaics.storage import About, read_pages
from placeprint.encoders.mosaics.synthetic_city import synthetic_city
from placeprint.encoders.mosaics.torch_views import TorchMosaic

CENTER = np.array([[9.5, 47.1]])
GOLDEN = Path(__file__).with_name("golden_city.png")


@pytest.fixture(scope="module")
def city_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("city") / "city.tif"
    build_mosaic([synthetic_city(9.5, 47.1, size_m=2500.0)], path, zooms=[14, 15, 16], date="2026-01-01")
    return path


@pytest.fixture(scope="module")
def city(city_file: Path) -> Mosaic:
    return Mosaic.open(city_file)


def noise(zoom: int, window: Window) -> Mosaic:
    """A mosaic in which each pixel tells where it is."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(1, 16, (window.height, window.width), dtype=np.uint8)
    about = About(("noise",), (), "2026-01-01", (-180.0, -85.0, 180.0, 85.0))
    return Mosaic([Level(zoom, window, pixels)], about)


def around(mosaic: Mosaic, n: int, rng: np.random.Generator) -> np.ndarray:
    box = mosaic.bounds
    return np.stack([rng.uniform(box.west, box.east, n), rng.uniform(box.south, box.north, n)], axis=1)


def plain_view(
    mosaic: Mosaic, lon: float, lat: float, step: float, angle: float, px: int
) -> tuple[np.ndarray, np.ndarray]:
    """One view by the formula of the module, pixel by pixel, and where no rounding can change it."""
    level = mosaic.levels[0]
    cx, cy = to_world(np.array([lon, lat]), level.zoom) - [level.window.x, level.window.y]
    view, is_sure = np.zeros((px, px), np.uint8), np.zeros((px, px), np.bool_)
    rounding = px * 2.0**-16
    for i in range(px):
        for j in range(px):
            gy, gx = i - (px - 1) / 2.0, j - (px - 1) / 2.0
            y = cy + step * (gy * np.cos(angle) - gx * np.sin(angle))
            x = cx + step * (gy * np.sin(angle) + gx * np.cos(angle))
            row, column = int(np.floor(y)), int(np.floor(x))
            if 0 <= row < level.window.height and 0 <= column < level.window.width:
                view[i, j] = level.pixels[row, column]
            is_sure[i, j] = min(y % 1.0, 1.0 - y % 1.0, x % 1.0, 1.0 - x % 1.0) > rounding
    return view, is_sure


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.1, np.pi / 2.0])
@pytest.mark.parametrize("step", [0.5, 1.0, 1.37])
def test_views_follow_the_formula(angle: float, step: float) -> None:
    mosaic = noise(12, Window(500_000, 400_000, 300, 280))
    lon, lat = to_lonlat(np.array([500_140.3183, 400_150.8271]), 12)
    found = mosaic.crops([[lon, lat]], zoom=12 - np.log2(step), angle_rad=angle, px=63)
    wanted, is_sure = plain_view(mosaic, lon, lat, step, angle, 63)
    assert np.array_equal(found[0][is_sure], wanted[is_sure]) and is_sure.mean() > 0.99
    assert len(np.unique(found)) == 15


def test_golden_views_of_noise() -> None:
    mosaic = noise(12, Window(500_000, 400_000, 3000, 3000))
    points = to_lonlat(
        np.array([[501_500.0, 401_500.0], [500_700.5, 402_000.25], [502_990.0, 400_010.0]]), 12
    )
    views = mosaic.crops(points, ground_m=[4000.0, 9000.0, 30000.0], angle_rad=[0.0, 0.5, 2.0], px=96)
    assert hashlib.sha256(views.tobytes()).hexdigest()[:16] == "5ff526ddf05ee492"


def test_golden_views_of_the_drawn_city(city: Mosaic) -> None:
    points = [[9.5, 47.1], [9.49, 47.095], [9.512, 47.108]]
    views = city.crops(points, ground_m=[400.0, 900.0, 3000.0], angle_rad=[0.0, 0.5, 2.0], px=96)
    with Image.open(GOLDEN) as picture:
        golden = np.asarray(picture).reshape(3, 96, 96)
    # Another version of GEOS rounds the ends of lines otherwise: a pixel in a thousand may differ.
    assert (views == golden).mean() > 0.999


def test_a_quarter_turn_is_the_straight_view_turned(city: Mosaic, rng: np.random.Generator) -> None:
    for px in (64, 65):
        points = around(city, 10, rng)
        straight = city.crops(points, ground_m=300.0, px=px)
        for quarters in (1, 2, 3, 4, -1):
            turned = city.crops(points, ground_m=300.0, angle_rad=quarters * np.pi / 2.0, px=px)
            assert np.array_equal(turned, np.rot90(straight, -quarters, axes=(1, 2)))


def test_a_quarter_turn_where_every_sample_is_a_tie() -> None:
    mosaic = noise(10, Window(130_000, 131_000, 200, 200))
    middle = to_lonlat(np.array([130_100.5, 131_100.5]), 10)
    corner = to_lonlat(np.array([130_100.0, 131_100.0]), 10)
    for point in (middle, corner):
        for px in (32, 33):
            straight = mosaic.crops([point], zoom=10.0, px=px)
            turned = mosaic.crops([point], zoom=10.0, px=px, angle_rad=np.pi / 2.0)
            assert np.array_equal(turned[0], np.rot90(straight[0], -1))


def test_a_view_is_the_same_alone_in_a_batch_and_in_any_order(city: Mosaic, rng: np.random.Generator) -> None:
    points, width = around(city, 40, rng), rng.uniform(100.0, 3000.0, 40)
    angle = rng.uniform(-7.0, 7.0, 40)
    together = city.crops(points, ground_m=width, angle_rad=angle, px=48)
    order = rng.permutation(40)
    shuffled = city.crops(points[order], ground_m=width[order], angle_rad=angle[order], px=48)
    assert np.array_equal(shuffled, together[order])
    for row in range(40):
        alone = city.crops(points[row], ground_m=width[row], angle_rad=angle[row], px=48)
        assert np.array_equal(alone[0], together[row])


def test_a_view_looked_up_pixel_by_pixel_is_the_same(
    city: Mosaic, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    points, width = around(city, 60, rng), rng.uniform(50.0, 6000.0, 60)  # many reach over the rim
    angle = np.append(rng.uniform(-7.0, 7.0, 50), np.arange(10) * np.pi / 2.0)
    for px in (48, 57):
        fast = city.crops(points, ground_m=width, angle_rad=angle, px=px)
        with monkeypatch.context() as patch:
            patch.setattr(mosaic_module, "_MAX_BLOCK", 0)
            assert np.array_equal(city.crops(points, ground_m=width, angle_rad=angle, px=px), fast)


def test_torch_takes_the_same_pixels(city: Mosaic, rng: np.random.Generator) -> None:
    points, width = around(city, 60, rng), rng.uniform(50.0, 6000.0, 60)  # many reach over the rim
    points[0] = [0.0, 88.0]
    angle = rng.uniform(-7.0, 7.0, 60)
    ours = city.crops(points, ground_m=width, angle_rad=angle, px=56)
    theirs = TorchMosaic(city).crops(points, ground_m=width, angle_rad=angle, px=56)
    assert theirs.dtype == torch.uint8
    assert np.array_equal(theirs.numpy(), ours)
    assert (ours == NODATA).any() and (ours != NODATA).mean() > 0.5


def test_torch_goes_around_the_globe_as_well() -> None:
    mosaic = noise(2, Window(0, 0, 1024, 1024))
    points = [[180.0, 0.0], [-179.0, 60.0], [0.0, -84.0]]
    ours = mosaic.crops(points, zoom=2.3, angle_rad=0.4, px=64)
    assert np.array_equal(TorchMosaic(mosaic).crops(points, zoom=2.3, angle_rad=0.4, px=64).numpy(), ours)


def test_the_width_is_that_on_the_ground() -> None:
    """At 60 degrees north a pixel covers half the ground: the view takes twice as many."""
    step = []
    for lat in (0.0, 60.0):
        mosaic = noise(10, Window(0, 0, 262144, 1))
        ((_, _, cut),) = mosaic.cuts([[0.0, lat]], ground_m=1000.0, px=100)
        step.append(cut.x_right[0] / 2.0**16)
    assert step[0] == pytest.approx(10.0 / (EQUATOR_M_PER_PX / 1024.0), abs=2.0**-16)
    assert step[1] / step[0] == pytest.approx(2.0, rel=1e-3)


def test_the_level_nearest_in_resolution_is_taken(city: Mosaic) -> None:
    zooms = [16.4, 15.6, 15.4, 14.6, 14.4, 12.0, 20.0]
    taken = {}
    for level, rows, _ in city.cuts(np.repeat(CENTER, len(zooms), axis=0), zoom=zooms):
        taken |= {zooms[row]: city.zooms[level] for row in rows}
    assert taken == {16.4: 16, 15.6: 16, 15.4: 15, 14.6: 15, 14.4: 14, 12.0: 14, 20.0: 16}


def test_outside_of_the_mosaic_is_nodata(city: Mosaic) -> None:
    far = city.crops([[-70.0, -30.0], [9.5, 89.0], [9.5, -90.0]], ground_m=500.0, px=32)
    assert (far == NODATA).all()
    corner = city.crops([[city.bounds.west, city.bounds.north]], ground_m=500.0, px=32)[0]
    assert (corner[:15] == NODATA).all() and (corner[:, :15] == NODATA).all()
    assert (corner[17:, 17:] != NODATA).all()


def test_views_go_on_across_the_antimeridian() -> None:
    world = noise(3, Window(0, 0, 2048, 2048))
    view = world.crops([[180.0, 0.0]], zoom=3.0, px=64)[0]
    pixels = world.levels[0].pixels
    assert np.array_equal(view[:, :32], pixels[992:1056, -32:])
    assert np.array_equal(view[:, 32:], pixels[992:1056, :32])
    assert np.array_equal(world.crops([[-180.0, 0.0]], zoom=3.0, px=64)[0], view)


def test_beyond_the_end_of_the_projection_nothing_is_known() -> None:
    world = noise(2, Window(0, 0, 1024, 1024))
    assert (world.crops([[0.0, 85.06], [0.0, -90.0]], zoom=2.0, px=16) == NODATA).all()
    assert (TorchMosaic(world).crops([[0.0, 85.06]], zoom=2.0, px=16) == NODATA).all()
    assert (world.crops([[0.0, 84.5]], zoom=2.0, px=16) != NODATA).any()


def test_a_mosaic_across_the_antimeridian_is_asked_from_both_sides(tmp_path: Path) -> None:
    fiji = synthetic_city(180.0, -17.0, size_m=1500.0)
    build_mosaic([fiji], tmp_path / "fiji.tif", zooms=[16])
    mosaic = Mosaic.open(tmp_path / "fiji.tif")
    assert mosaic.bounds.west > 179.0 and mosaic.bounds.east < -179.0
    same = mosaic.crops([[180.0, -17.0], [-180.0, -17.0], [179.999, -17.0]], ground_m=800.0, px=64)
    assert np.array_equal(same[0], same[1])
    assert NODATA not in same


def test_a_level_too_large_for_memory_is_mapped(city_file: Path, city: Mosaic, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(resident, "IN_MEMORY_BYTES", 1000)
    page = read_pages(city_file)[1][-1]
    for _ in range(2):  # the second time from the copy
        mapped = resident.load_pixels(city_file, page, cache=tmp_path)
        assert isinstance(mapped, np.memmap)
        assert np.array_equal(mapped, city.levels[-1].pixels)
    assert len(list(tmp_path.iterdir())) == 1
    level = Level(page.zoom, page.window, mapped)
    how = {"ground_m": 300.0, "angle_rad": 0.3}
    expected = Mosaic([city.levels[-1]], city.about).crops(CENTER, **how)
    assert np.array_equal(Mosaic([level], city.about).crops(CENTER, **how), expected)


def test_pixels_cannot_be_changed_by_accident(city: Mosaic) -> None:
    with pytest.raises(ValueError, match="read-only"):
        city.levels[0].pixels[0, 0] = 3


def test_no_points_give_no_views(city: Mosaic) -> None:
    assert city.crops(np.empty((0, 2)), ground_m=100.0, px=10).shape == (0, 10, 10)
    assert city.bounds == Box(*city.about.box)


@pytest.mark.parametrize(
    "how, says",
    [
        ({}, "either as ground_m, in meters, or as zoom"),
        ({"ground_m": 10.0, "zoom": 3.0}, "either as ground_m"),
        ({"ground_m": -1.0}, "ground_m must be positive meters, got -1"),
        ({"ground_m": np.nan}, "ground_m must be finite"),
        ({"ground_m": [1.0, 2.0]}, r"ground_m has shape \(2,\); give one number, or one for each of 1"),
        ({"ground_m": 10.0, "angle_rad": np.inf}, "angle_rad must be finite"),
        ({"ground_m": 10.0, "px": 0}, "a view is 1 to 4096 px wide; got 0"),
        ({"zoom": -5.0}, "make it smaller, or build the mosaic with a zoom coarser than 14"),
    ],
)
def test_what_cannot_be_cut_is_refused(city: Mosaic, how: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidOption, match=says):
        city.crops(CENTER, **how)  # type: ignore[arg-type]


def test_latitude_first_is_refused(city: Mosaic) -> None:
    with pytest.raises(InvalidCoordinate):
        city.crops([[35.68, 139.77]], ground_m=100.0)
