"""Maps: the window is right wherever the answer lies, and nothing is fetched unasked.

Claims: windows span the antimeridian and hold the poles; projections are inverse to their
inverses, and Equal Earth is equal-area; the shading equals the density; a PNG comes out, with color
where the answer is; abstaining shows no point; no socket is opened, and failed tiles say so.
"""

import dataclasses
import io
import socket

import numpy as np
import pytest
from PIL import Image

from placeprint.api import map_layers
from placeprint.api.map_surface import log_density_image
from placeprint.api.map_tiles import TilesUnavailable
from placeprint.api.map_views import View, view_of, world_view
from placeprint.api.maps import draw_gallery, draw_location, in_words
from placeprint.encoders.sphere import EARTH_AREA_KM2, destination, great_circle_km, uniform_on_sphere
from placeprint.indexer.geolocate import Location, locate
from placeprint.indexer.neighbors import Neighborhood
from placeprint.indexer.photos import Photo
from placeprint.indexer.prior import Prior
from placeprint.indexer.surface_model import SurfaceModel

FIJI, ROME = np.array([179.9, -17.0]), np.array([12.5, 41.9])
GALLERY = np.array([[12.5, 41.9], [179.0, -17.5], [-179.5, -16.5], [2.35, 48.85], [-74.0, 40.7]])
SURE = SurfaceModel(bandwidth_logits=(-9.0, -9.0, -9.0, 0.0, -9.0, -9.0), gate_bias=-9.0)


def neighbors_around(center, n=12):
    lonlat = destination(center, np.linspace(0.0, 330.0, n), 60.0)
    photos = [Photo(id=str(i), image=f"{i}.jpg", lon=p[0], lat=p[1]) for i, p in enumerate(lonlat.tolist())]
    return Neighborhood(np.linspace(0.9, 0.6, n), lonlat, photos)


def located_at(center, model=SURE):
    near = neighbors_around(center)
    return locate(near.similarity, near.lonlat, Prior.from_lonlat(GALLERY), model), near


def drawn(center, **options):
    location, near = located_at(center)
    return draw_location(location, None, gallery_lonlat=GALLERY, neighbors=near, **options)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


VIEWS = [
    world_view(),
    world_view(178.0),
    View("azimuthal", 30.0, -85.0, 1.0, 1.0),
    View("azimuthal", 0.0, 90.0, 1.0, 1.0),
    View("plate carrée", 170.0, -17.0, 1.0, 1.0),
]


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_every_projection_leads_back_to_the_point(view, rng):
    lonlat = uniform_on_sphere(500, rng)
    assert great_circle_km(lonlat, view.to_lonlat(view.to_xy(lonlat))).max() < 1e-6


def test_equal_earth_keeps_areas(rng):
    xy = rng.uniform(-1.0, 1.0, (200_000, 2)) * (160.0, 80.0)
    view = world_view()
    back = view.to_lonlat(xy)
    is_earth = np.abs(view.to_xy(back) - xy).max(axis=1) < 1e-6
    for lat in (0.0, 30.0, 60.0):
        share = np.mean(back[is_earth, 1] > lat)
        assert share == pytest.approx((1.0 - np.sin(np.deg2rad(lat))) / 2.0, abs=0.004)


def test_fiji_is_shown_across_the_antimeridian():
    view = view_of(np.array([[178.0, -18.0], [-178.5, -16.0]]))
    assert view.projection == "plate carrée"
    assert view.lon == pytest.approx(179.75)
    assert view.half_width < 5.0


def test_a_map_of_one_place_is_centered_there_and_some_kilometers_wide():
    view = view_of(np.array([[-0.1276, 51.5072]]))
    assert (view.lon, view.lat) == pytest.approx((-0.1276, 51.5072))
    assert 2.0 * view.half_height * view.km_per_unit == pytest.approx(5.0, rel=0.01)


@pytest.mark.parametrize("lat", [-89.0, 88.0])
def test_around_a_pole_the_map_is_azimuthal(lat):
    around = np.array([[lon, lat] for lon in (-120.0, 0.0, 120.0)])
    view = view_of(around)
    assert view.projection == "azimuthal"
    assert view.is_inside(view.to_xy(np.vstack([around, [0.0, np.copysign(90.0, lat)]]))).all()


def test_points_all_over_are_shown_on_the_whole_earth():
    assert view_of(np.array([[0.0, 0.0], [120.0, 40.0], [-120.0, -30.0]])).projection == "equal earth"


@pytest.mark.parametrize("center", [ROME, FIJI, np.array([100.0, -89.5])], ids=["Rome", "Fiji", "South Pole"])
def test_the_window_holds_the_points_it_was_made_for(center):
    points = destination(center, np.arange(0.0, 360.0, 30.0), 300.0)
    view = view_of(points)
    assert view.is_inside(view.to_xy(points)).all()


@pytest.mark.parametrize("center", [ROME, FIJI], ids=["Rome", "Fiji"])
def test_the_shading_is_the_density(center):
    location, near = located_at(center)
    view = view_of(near.lonlat)
    image = log_density_image(location.surface, view, 100)
    exact = location.surface.log_density(view.to_lonlat(view.grid(100, len(image))).reshape(-1, 2))
    assert np.abs(image.ravel() - exact).max() < 0.1


def test_over_the_whole_earth_the_shading_adds_up_to_one():
    location, _ = located_at(ROME)
    view = world_view()
    image = np.exp(log_density_image(location.surface, view, 600))
    assert np.nansum(image) * EARTH_AREA_KM2 / np.isfinite(image).sum() == pytest.approx(1.0, abs=0.03)


def test_the_map_is_a_picture_and_is_written_to_its_path(tmp_path, no_network):
    location, near = located_at(ROME)
    data = draw_location(location, tmp_path / "map.png", gallery_lonlat=GALLERY, neighbors=near)
    assert (tmp_path / "map.png").read_bytes() == data
    picture = Image.open(io.BytesIO(data))
    picture.load()
    assert (picture.format, picture.width) == ("PNG", 1200)
    assert 1000 < picture.height < 1100


def test_color_lies_where_the_answer_is():
    places = np.array([[12.5, 41.9], [-60.0, -10.0]])
    pictures = [np.asarray(Image.open(io.BytesIO(drawn(place, view="world")))) for place in places]
    view, (height, width, _) = world_view(), pictures[0].shape
    assert height < 800  # the whole Earth, not the near map
    x, y = (view.to_xy(places) / (view.half_width, view.half_height)).T
    columns = (width * (1.0 + x) / 2.0).astype(int)
    rows = (0.62 * 150 + (height - 1.12 * 150) * (1.0 - y) / 2.0).astype(int)
    warm = np.empty((2, 2))
    for shown, picture in enumerate(pictures):
        for place, (row, column) in enumerate(zip(rows, columns, strict=True)):
            near = picture[row - 12 : row + 12, column - 12 : column + 12].astype(int)
            warm[shown, place] = (near[..., 0] - near[..., 2] > 25).mean()
    assert np.diag(warm).min() > 0.1
    assert warm[0, 1] == warm[1, 0] == 0.0


def test_abstaining_shows_no_point(monkeypatch):
    shown = []
    monkeypatch.setattr(map_layers, "point", lambda *args, label, **style: shown.append(label))
    location, near = located_at(ROME)
    draw_location(location, None, gallery_lonlat=GALLERY, neighbors=near, truth=(12.0, 43.0))
    assert shown == ["best point", "truth"]
    shown.clear()
    silent = dataclasses.replace(location, abstain_reason="the photo shows a wall")
    draw_location(silent, None, gallery_lonlat=GALLERY, neighbors=near)
    assert shown == []
    assert in_words(silent) == "No answer for this photo"


def test_the_answer_is_put_into_words():
    location, _ = located_at(ROME)
    fixed: Location = dataclasses.replace(
        location,
        countries=[location.countries[0]._replace(name="Italy", probability=0.62)],
        p_within_km={1.0: 0.0, 25.0: 0.1, 200.0: 0.35, 750.0: 0.9},
    )
    assert in_words(fixed) == "Italy 62 %, within 200 km 35 %"


def test_without_neighbors_and_gallery_there_is_still_a_map(no_network):
    location = locate(np.empty(0), np.empty((0, 2)), Prior.from_lonlat(np.empty((0, 2))), SurfaceModel())
    assert draw_location(location, None, gallery_lonlat=np.empty((0, 2)), neighbors=None)


def test_a_gallery_is_drawn_with_its_marks(tmp_path, no_network):
    plain = draw_gallery(GALLERY, tmp_path / "gallery.png", title="A $gallery$ of 5")
    assert (tmp_path / "gallery.png").exists()
    assert draw_gallery(GALLERY, title="A $gallery$ of 5", highlight=GALLERY[:2]) != plain


@pytest.mark.parametrize("tiles", ["OpenStreetMap.Mapnik", "No.SuchProvider"])
def test_failed_tiles_name_the_provider_and_the_way_out(tiles, no_network):
    with pytest.raises(TilesUnavailable, match=rf"{tiles}.*--tiles is left out"):
        drawn(ROME, tiles=tiles)


def test_tiles_are_asked_for_under_our_name_and_on_both_sides_of_the_antimeridian(monkeypatch):
    import contextily

    asked = []

    def tile(west, south, east, north, **options):
        asked.append((west, east, options["headers"]["user-agent"]))
        return np.full((64, 64, 4), 200, np.uint8), (-2e7, 2e7, -2e7, 2e7)

    monkeypatch.setattr(contextily, "bounds2img", tile)
    drawn(FIJI, tiles="OpenStreetMap.Mapnik")
    assert len(asked) == 2
    assert all(east - west < 20.0 and agent.startswith("placeprint/") for west, east, agent in asked)
