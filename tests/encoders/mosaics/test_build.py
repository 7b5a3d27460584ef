"""Building: windows, order, background, coverage, antimeridian, projection's end, and the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import shapely

from placeprint.encoders.areas import Box, Polygon
from placeprint.encoders.errors import InvalidOption, UnreadableSource, UnwritableFile
from placeprint.encoders.mosaics import build
from placeprint.encoders.mosaics.build import build_mosaic, window_of
from placeprint.encoders.mosaics.coastline import land_of
from placeprint.encoders.mosaics.layers import Layer, layer_of, read_layer
from placeprint.encoders.mosaics.legend import IDS, NODATA
from placeprint.encoders.mosaics.mercator import ground_m_per_px
from placeprint.encoders.mosaics.mosaic import Mosaic
from placeprint.encoders.mosaics.storage import page_writer, read_pages
from placeprint.encoders.mosaics.synthetic_city import synthetic_city


def of(name: str, *shapes: shapely.Geometry, **how: object) -> Layer:
    return layer_of(np.array([*shapes, None], dtype=object)[:-1], name, **how)  # type: ignore[arg-type]


def everywhere(layer: Layer) -> Layer:
    """A layer that knows about the whole world."""
    return Layer(**{**vars(layer), "coverage": (-180.0, -85.0, 180.0, 85.0)})


def pixels(path: Path) -> np.ndarray:
    return Mosaic.open(path).levels[-1].pixels


@pytest.mark.parametrize("center", [(9.5, 47.1), (180.0, -17.0), (25.0, 79.9)])
def test_small_windows_give_what_one_gives(tmp_path: Path, center: tuple[float, float]) -> None:
    size_m = 1500.0 * np.cos(np.deg2rad(center[1]))  # so that all are 600 px and more wide
    city = synthetic_city(*center, size_m=size_m)
    for name, side in (("small", (256, 256)), ("odd", (768, 512)), ("one", (8192, 8192))):
        build_mosaic([city], tmp_path / f"{name}.tif", zooms=[15, 16], window_px=side, date="2026-01-01")
    small, odd, one = (Mosaic.open(tmp_path / f"{name}.tif") for name in ("small", "odd", "one"))
    assert small.zooms == (15, 16)
    for *others, whole in zip(small.levels, odd.levels, one.levels, strict=True):
        assert all(np.array_equal(other.pixels, whole.pixels) for other in others)
        assert len(np.unique(whole.pixels)) >= 12


def test_the_order_of_layers_does_not_matter(tmp_path: Path) -> None:
    layers = [
        of("green", shapely.box(9.0, 47.0, 9.01, 47.01)),
        of("motorway", shapely.LineString([[9.0, 47.0], [9.01, 47.01]])),
        of("water", shapely.box(9.005, 47.0, 9.008, 47.01)),
    ]
    build_mosaic(layers, tmp_path / "a.tif", zooms=[14])
    build_mosaic(layers[::-1], tmp_path / "b.tif", zooms=[14])
    found = pixels(tmp_path / "a.tif")
    assert np.array_equal(found, pixels(tmp_path / "b.tif"))
    assert set(np.unique(found)) <= {NODATA, IDS["green"], IDS["water"], IDS["motorway"]}


def test_around_land_is_sea_and_otherwise_land(tmp_path: Path) -> None:
    box = Box(0.0, 0.0, 4.0, 4.0)
    world = shapely.box(-180, -80, 180, 80)
    coverage = {"coverage": (-180.0, -80.0, 180.0, 80.0)}
    island = of("land", shapely.box(1.0, 1.0, 2.0, 2.0))
    build_mosaic([Layer(**{**vars(island), **coverage})], tmp_path / "i.tif", zooms=[6], box=box)
    found = pixels(tmp_path / "i.tif")
    assert set(np.unique(found)) == {IDS["sea"], IDS["land"]}
    assert (found == IDS["land"]).mean() == pytest.approx(1 / 16, rel=0.1)
    build_mosaic([of("green", world)], tmp_path / "g.tif", zooms=[6], box=box)
    assert (pixels(tmp_path / "g.tif") == IDS["green"]).all()
    lake = of("water", shapely.box(1.0, 1.0, 2.0, 2.0))
    build_mosaic([Layer(**{**vars(lake), **coverage})], tmp_path / "l.tif", zooms=[6], box=box)
    assert set(np.unique(pixels(tmp_path / "l.tif"))) == {IDS["land"], IDS["water"]}


def test_land_use_ends_at_the_coast(tmp_path: Path) -> None:
    land, town = of("land", shapely.box(0, 0, 2, 2)), of("residential", shapely.box(1, 1, 3, 2))
    ship = of("building", shapely.box(2.5, 0.2, 3, 0.8))
    build_mosaic([land, town, ship], tmp_path / "a.tif", zooms=[13], box=Box(1.9, 0.4, 2.6, 1.2))
    found = pixels(tmp_path / "a.tif")
    at_sea, on_land = found[: len(found) // 8, -200:-100], found[: len(found) // 8, 10:100]
    assert (at_sea[10:] == IDS["sea"]).all()
    assert (on_land[10:] == IDS["residential"]).all()
    assert (found[-50:-10, -50:-10] == IDS["building"]).all()


def test_outside_of_coverage_and_of_the_polygon_nothing_is_known(tmp_path: Path) -> None:
    green = of("green", shapely.box(10.0, 50.0, 10.5, 50.5))
    build_mosaic([green], tmp_path / "a.tif", zooms=[10], box=Box(10.0, 50.0, 11.0, 50.5))
    found = pixels(tmp_path / "a.tif")
    half = found.shape[1] // 2
    assert (found[1:-1, 1 : half - 1] == IDS["green"]).all()
    assert (found[:, half + 1 :] == NODATA).all()
    triangle = Polygon.from_geojson(
        {"type": "Polygon", "coordinates": [[[10.0, 50.0], [10.5, 50.0], [10.0, 50.5], [10.0, 50.0]]]}
    )
    build_mosaic([green], tmp_path / "t.tif", zooms=[10], within=triangle)
    assert (pixels(tmp_path / "t.tif") == NODATA).mean() == pytest.approx(0.5, abs=0.02)


def test_a_box_across_the_antimeridian_is_one_picture(tmp_path: Path) -> None:
    west, east = shapely.box(179.0, -1.0, 180.0, 1.0), shapely.box(-180.0, -1.0, -179.0, 1.0)
    road = shapely.LineString([[179.2, 0.0], [-179.2, 0.0]])
    layers = [of("green", west, east), of("motorway", road)]
    about = build_mosaic(layers, tmp_path / "a.tif", zooms=[8])
    assert about.box == (179.0, -1.0, -179.0, 1.0)
    found = pixels(tmp_path / "a.tif")
    assert found.shape[1] == window_of(about.area, 8).width == pytest.approx(2 / 360 * 65536, abs=2)
    assert NODATA not in found[2:-2, 2:-2]
    row = found[found.shape[0] // 2]
    drawn = np.flatnonzero(row == IDS["motorway"])
    assert (np.diff(drawn) == 1).all()  # not torn at 180
    assert len(drawn) == pytest.approx(1.6 / 360 * 65536, abs=4)


def test_the_whole_world_to_the_end_of_the_projection(tmp_path: Path) -> None:
    world = of("land", shapely.box(-180.0, -90.0, 180.0, 90.0))
    build_mosaic([world], tmp_path / "w.tif", zooms=[0, 2], box=Box(-180.0, -90.0, 180.0, 90.0))
    mosaic = Mosaic.open(tmp_path / "w.tif")
    assert [level.pixels.shape for level in mosaic.levels] == [(256, 256), (1024, 1024)]
    assert (mosaic.levels[1].pixels == IDS["land"]).all()


def test_lines_have_their_width_on_the_ground_and_never_less_than_a_pixel(tmp_path: Path) -> None:
    lat = 60.0
    road = of("road", shapely.LineString([[9.0, lat - 0.05], [9.0, lat + 0.05]]))  # 11 m wide
    box = Box(8.999, lat - 0.001, 9.001, lat + 0.001)
    for zoom in (10, 18):
        build_mosaic([everywhere(road)], tmp_path / "r.tif", zooms=[zoom], box=box)
        drawn = (Mosaic.open(tmp_path / "r.tif").levels[0].pixels == IDS["road"]).sum(axis=1)
        width_px = max(11.0 / ground_m_per_px(lat, zoom), 1.5)
        assert np.median(drawn) == pytest.approx(width_px, abs=0.6)


def test_boundaries_of_areas_are_lines(tmp_path: Path) -> None:
    around = everywhere(of("boundary", shapely.box(0, 0, 2, 2)))
    build_mosaic([around], tmp_path / "b.tif", zooms=[8], box=Box(-0.1, -0.1, 2.1, 2.1))
    found = pixels(tmp_path / "b.tif")
    assert found[len(found) // 2, found.shape[1] // 2] == IDS["land"]
    assert 0.005 < (found == IDS["boundary"]).mean() < 0.03


def test_details_are_left_out_of_coarse_levels(tmp_path: Path) -> None:
    build_mosaic([synthetic_city(9.5, 47.1)], tmp_path / "c.tif", zooms=[12, 14])
    coarse, fine = (set(np.unique(level.pixels)) for level in Mosaic.open(tmp_path / "c.tif").levels)
    assert fine - coarse == {IDS["building"], IDS["path"]}


def test_places_are_discs_by_population(tmp_path: Path) -> None:
    people = np.array([0.0, 3e5, 1e9])
    towns = of("place", *(shapely.Point(lon, 0.0) for lon in (1.0, 3.0, 5.0)), population=people)
    build_mosaic([everywhere(towns)], tmp_path / "p.tif", zooms=[8], box=Box(0.0, -1.0, 6.0, 1.0))
    drawn = (pixels(tmp_path / "p.tif") == IDS["place"]).sum(axis=0)
    parts = np.split(drawn, [len(drawn) // 3, 2 * len(drawn) // 3])
    wide = 2 * 4.0 * np.sqrt(3e5) / ground_m_per_px(0.0, 8)
    assert [int((part > 0).sum()) for part in parts] == pytest.approx([2, wide, 12], abs=1)


def test_coastlines_have_land_on_their_left() -> None:
    box = (0.0, 0.0, 2.0, 2.0)
    northward = np.array([shapely.LineString([[1.0, -1.0], [1.2, 1.0], [1.0, 3.0]])], dtype=object)
    assert shapely.bounds(land_of(northward, box)[0]).tolist() == [0.0, 0.0, 1.2, 2.0]
    southward = shapely.reverse(northward)
    assert shapely.bounds(land_of(southward, box)[0]).tolist() == [1.1, 0.0, 2.0, 2.0]
    island = shapely.LinearRing([[0.5, 0.5], [1.5, 0.5], [1.5, 1.5], [0.5, 1.5]])  # counterclockwise
    lines = np.array([shapely.LineString(island)], dtype=object)
    assert shapely.area(land_of(lines, box)).sum() == pytest.approx(1.0)
    assert shapely.area(land_of(shapely.reverse(lines), box)).sum() == pytest.approx(3.0)
    assert shapely.area(land_of(np.empty(0, object), box)).sum() == pytest.approx(4.0)


def test_a_coast_that_ends_within_the_box_is_led_on() -> None:
    cut_off = np.array([shapely.LineString([[1.0, 0.1], [1.0, 1.8]])], dtype=object)
    assert shapely.area(land_of(cut_off, (0.0, 0.0, 2.0, 2.0))).sum() == pytest.approx(2.0)


def test_a_coast_across_the_antimeridian() -> None:
    coast = np.array(
        [shapely.LineString([[-179.5, -3.0], [-179.5, 3.0]])], dtype=object
    )  # in a box that counts on from 179 to 181
    land = land_of(coast, (179.0, -1.0, 181.0, 1.0))
    assert shapely.bounds(land[0]).tolist() == [179.0, -1.0, 180.5, 1.0]


def test_the_file_is_a_geotiff_that_says_what_it_is(tmp_path: Path) -> None:
    city = synthetic_city(9.5, 47.1, size_m=600.0)
    build_mosaic([city], tmp_path / "c.tif", zooms=[16, 14], credit=["me"], date="2026-01-01")
    about, pages = read_pages(tmp_path / "c.tif")
    assert (about.sources, about.credit, about.date) == (("synthetic city",), ("me",), "2026-01-01")
    assert [page.zoom for page in pages] == [14, 16]
    with rasterio.open(tmp_path / "c.tif") as raster:
        assert (raster.crs.to_epsg(), raster.nodata) == (3857, 0)
    with rasterio.open(pages[1].name) as raster:
        assert (raster.profile["tiled"], raster.profile["compress"]) == (True, "deflate")
        from rasterio.warp import transform_bounds

        assert transform_bounds(3857, 4326, *raster.bounds) == pytest.approx(about.box, abs=3e-5)


def test_progress_counts_windows(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    city = synthetic_city(9.5, 47.1, size_m=1500.0)
    build_mosaic(
        [city], tmp_path / "c.tif", zooms=[16], window_px=(512, 512), progress=lambda *it: told.append(it)
    )
    assert [done for _, done, _ in told] == list(range(1, told[-1][2] + 1))
    assert told[0][0] == "zoom 16"


@pytest.mark.parametrize(
    "how, says",
    [
        ({"zooms": [23]}, "zooms are whole numbers from 0 to 22"),
        ({"zooms": []}, "one at least"),
        ({"zooms": [4], "window_px": (256, 100)}, "a multiple of 256"),
        ({"zooms": [20], "box": Box(0.0, 0.0, 90.0, 60.0)}, "choose a smaller zoom or box"),
        ({"zooms": [4], "box": Box(0.0, 86.0, 1.0, 88.0)}, "web maps ends at 85.0511"),
        ({"zooms": [4], "box": Box(0.0, -88.0, 1.0, -86.0)}, "web maps ends at 85.0511"),
    ],
)
def test_what_cannot_be_built_is_refused(tmp_path: Path, how: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidOption, match=says):
        build_mosaic([of("green", shapely.box(0, 0, 1, 1))], tmp_path / "a.tif", **how)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_no_layers_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="one layer at least"):
        build_mosaic([], tmp_path / "a.tif", zooms=[3])
    green = of("green", shapely.box(0, 0, 1, 1))
    with pytest.raises(UnwritableFile, match="cannot be written"):
        build_mosaic([green], tmp_path / "no" / "a.tif", zooms=[3])


def test_a_build_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    green = of("green", shapely.box(0, 0, 1, 1))
    build_mosaic([green], tmp_path / "a.tif", zooms=[6])
    before = (tmp_path / "a.tif").read_bytes()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_mosaic([green], tmp_path / "a.tif", zooms=[7], progress=stop)
    assert (tmp_path / "a.tif").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("lost", ["a part of a page", "a page"])
def test_what_did_not_reach_the_disk_does_not_replace_the_old_file(
    tmp_path: Path, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL writes the last blocks when it closes a file, and says nothing of a full disk then."""
    green = of("green", shapely.box(0, 0, 1, 1))
    build_mosaic([green], tmp_path / "a.tif", zooms=[6])
    before = (tmp_path / "a.tif").read_bytes()

    @contextmanager
    def forgetful(path: Path, zoom: int, *rest: object, is_first: bool) -> Iterator[object]:
        if lost == "a page" and not is_first:
            yield SimpleNamespace(write=lambda *_, **__: None)
            return
        with page_writer(path, zoom, *rest, is_first=is_first) as page:  # type: ignore[arg-type]
            yield SimpleNamespace(write=lambda *_, **__: None) if lost != "a page" else page

    monkeypatch.setattr(build, "page_writer", forgetful)
    with pytest.raises(UnwritableFile, match="is it full"):
        build_mosaic([green], tmp_path / "a.tif", zooms=[6, 7])
    assert (tmp_path / "a.tif").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_a_single_point_has_no_box(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("lon,lat,population\n9.5,47.1,5000\n")
    with pytest.raises(InvalidOption, match="--bbox"):
        build_mosaic([read_layer(tmp_path / "one.csv")], tmp_path / "a.tif", zooms=[6])


def test_files_that_are_no_mosaic_of_this_legend(tmp_path: Path) -> None:
    green = of("green", shapely.box(0, 0, 1, 1))
    build_mosaic([green], tmp_path / "a.tif", zooms=[6])
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "old.tif").write_bytes(whole.replace(b"legend&amp;quot;: 1", b"legend&amp;quot;: 7"))
    with pytest.raises(UnreadableSource, match=r"old\.tif: drawn with version 7 .* mosaic build"):
        Mosaic.open(tmp_path / "old.tif")
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableSource, match=r"cut\.tif"):
        Mosaic.open(tmp_path / "cut.tif")
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(UnreadableSource, match=r"text\.tif: cannot be read as a map mosaic"):
        Mosaic.open(tmp_path / "text.tif")
    with rasterio.open(tmp_path / "o.tif", "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8",
                       crs="EPSG:3857", transform=rasterio.Affine(2, 0, 9, 0, -2, 0)) as other:  # fmt: skip
        other.write(np.ones((8, 8), np.uint8), 1)
    with pytest.raises(UnreadableSource, match=r"o\.tif: a raster, but no map mosaic"):
        Mosaic.open(tmp_path / "o.tif")
    with pytest.raises(UnreadableSource, match="no such file"):
        Mosaic.open(tmp_path / "none.tif")
    with pytest.raises(InvalidOption, match="has the zooms 6; asked for"):
        Mosaic.open(tmp_path / "a.tif", zooms=[7])
