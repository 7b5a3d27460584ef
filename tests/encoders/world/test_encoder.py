"""The shipped location encoder: its atlas says true things, and its embeddings are well behaved."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from placeprint.encoders.errors import InvalidCoordinate, WeightsUnavailable
from placeprint.encoders.location_catalog import load_location_encoder
from placeprint.encoders.sphere import unit_vectors
from placeprint.encoders.world.encoder import NAME, WorldEncoder
from placeprint.encoders.world.tables import CLIMATES, LINES, WorldTables

TOKYO, LA_PAZ, SAHARA, PACIFIC = [139.76, 35.68], [-68.15, -16.5], [5.0, 25.0], [-140.0, 0.0]


@pytest.fixture(scope="module")
def encoder():
    return WorldEncoder()


@pytest.fixture(scope="module")
def field(encoder):
    """Reads one named field at some points."""
    names = encoder._fields.names

    def read(name, *points):
        values = encoder._fields(np.array(points, float)).values[:, names.index(name)]
        return values if len(points) > 1 else float(values[0])

    return read


def shipped_file():
    import placeprint.encoders as package

    return f"{next(iter(package.__path__))}/{NAME}.safetensors"


def test_the_catalog_knows_it(encoder):
    loaded = load_location_encoder()
    assert (loaded.name, loaded.dimension) == (NAME, encoder.dimension)
    assert loaded.fingerprint == encoder.fingerprint
    assert load_location_encoder() is loaded  # seconds and 100 MB, once for a process


def test_the_file_keeps_its_promises():
    assert Path(shipped_file()).stat().st_size <= 10_000_000
    with safe_open(shipped_file(), "numpy") as file:
        assert '"axis_order": "lonlat"' in file.metadata()["card"]


def test_embeddings_are_finite_float32_everywhere(encoder):
    corners = [[lon, lat] for lon in (-180, -90, 0, 179.999, 180) for lat in (-90, -45.5, 0, 45.5, 90)]
    embeddings = encoder.encode(corners)
    assert embeddings.shape == (25, encoder.dimension)
    assert embeddings.dtype == np.float32
    assert np.isfinite(embeddings).all()


def test_a_turn_around_the_earth_changes_nothing(encoder):
    assert np.array_equal(encoder.encode([[190.0, 10.0]]), encoder.encode([[-170.0, 10.0]]))


@pytest.mark.parametrize("lat", [90.0, -90.0])
def test_a_pole_is_one_place_by_whatever_longitude(encoder, lat):
    pole = encoder.encode([[lon, lat] for lon in range(-180, 180, 30)])
    assert np.ptp(pole, axis=0).max() < 1e-3
    around = encoder.encode([[lon, lat * 0.999999] for lon in range(-180, 180, 30)])  # 10 m away
    assert np.linalg.norm(around - pole, axis=1).max() < 0.01


def test_the_poles_differ(encoder):
    north, south = encoder.encode([[0, 90], [0, -90]])
    assert np.linalg.norm(north - south) > 0.7 * np.linalg.norm(north)


def test_no_climate_of_the_tropics_lies_far_from_them(encoder):
    """The color key in the corner of the source's picture is no land."""
    rows = encoder.tables.climate.shape[0] // 4  # to 45 degrees
    tropical = [number for number, name in enumerate(CLIMATES, start=1) if name.startswith("A")]
    assert not np.isin(encoder.tables.climate[:rows], tropical).any()
    assert not np.isin(encoder.tables.climate[-rows:], tropical).any()


PINNED = [
    ([139.76, 35.68], [0.57, -0.62, -2.22], 28.5),
    ([-68.15, -16.5], [-0.25, 0.35, 0.83], 30.7),
    ([5.0, 25.0], [-0.17, 1.28, 1.55], 30.6),
    ([-140.0, 0.0], [-0.90, -0.56, 1.35], 35.2),
    ([179.99, -16.5], [-0.86, -0.36, 0.70], 32.5),
    ([0.0, 90.0], [0.09, -1.70, 1.26], 34.2),
    ([151.2, -33.9], [-0.90, 1.09, -0.66], 28.0),
    ([37.6, 55.75], [0.94, -0.40, -0.95], 30.1),
]


@pytest.mark.parametrize("place, first, length", PINNED)
def test_embeddings_are_those_of_this_version(encoder, place, first, length):
    """Where they change on purpose, FIELDS_VERSION counts up and tables of embeddings are made anew."""
    (embedding,) = encoder.encode([place])
    assert embedding[:3] == pytest.approx(first, abs=0.02)
    assert np.linalg.norm(embedding) == pytest.approx(length, abs=0.2)


def test_embeddings_do_not_depend_on_the_batch(encoder):
    points = np.random.default_rng(0).uniform([-180, -90], [180, 90], (50, 2))
    assert encoder.encode(points, batch_size=7) == pytest.approx(encoder.encode(points), abs=1e-3)


def test_no_points_give_no_embeddings(encoder):
    assert encoder.encode(np.empty((0, 2))).shape == (0, encoder.dimension)


def test_near_is_alike_and_far_is_not(encoder):
    here, street, town, far = encoder.encode([TOKYO, [139.765, 35.683], [140.1, 35.6], LA_PAZ])
    away = [float(np.linalg.norm(here - other)) for other in (street, town, far)]
    assert away[0] < 0.7 * away[1] < 0.7 * away[2]


def test_the_callers_array_stays_as_it_is(encoder):
    points = np.array([[200.0, 10.0]])
    encoder.encode(points)
    assert points.tolist() == [[200.0, 10.0]]


def test_a_place_not_on_earth_is_refused(encoder):
    with pytest.raises(InvalidCoordinate, match="95"):
        encoder.encode([[10.0, 95.0]])


def test_the_atlas_knows_heights_and_depths(field):
    assert field("elevation", LA_PAZ) == pytest.approx(3900, abs=500)
    assert field("elevation", PACIFIC) < -3000
    assert field("elevation", TOKYO) == pytest.approx(30, abs=150)


def test_the_atlas_knows_the_sea(field):
    assert field("on land", TOKYO, SAHARA, PACIFIC).tolist() == [1, 1, 0]
    sahara, tokyo = field("coast: log distance", SAHARA, TOKYO)
    assert np.exp(sahara) == pytest.approx(1100, rel=0.25)
    assert np.exp(tokyo) < 8


def test_the_antimeridian_of_land_is_no_shore(field):
    """Chukotka is cut there in the source; the sea is some 200 km away."""
    assert np.exp(field("coast: log distance", [180.0, 67.6])) > 60
    assert np.exp(field("coast: log distance", [-179.99, -82.5])) > 60  # inland of the Ross Sea


def test_the_atlas_knows_climates(field):
    assert field("climate BWh", SAHARA) == 1
    assert field("climate Cfa", TOKYO) == 1
    assert field("share of desert, 2 degrees", SAHARA) > 0.95
    assert sum(field(f"climate {name}", PACIFIC) for name in CLIMATES) == 0


def test_coastal_waters_have_the_climate_of_their_shore(field):
    """A pier in Santa Monica bay, off the polygons of the land."""
    assert sum(field(f"climate {name}", [-118.52, 33.99]) for name in CLIMATES) == 1


def test_the_atlas_knows_people(field):
    tokyo, sahara = field("log people, tails 20 km", TOKYO, SAHARA)
    assert np.exp(tokyo) > 2e5
    assert np.exp(sahara) < 1e4
    assert field("log people per km2, 69 km", TOKYO) > 5
    assert field("log distance of city 4000000", TOKYO) < np.log(15)


def test_the_atlas_knows_countries(encoder):
    munich, berlin, vienna, sea = (
        int(encoder._fields(np.array([p])).country[0])
        for p in ([11.6, 48.1], [13.4, 52.5], [16.4, 48.2], PACIFIC)
    )
    assert munich == berlin != vienna
    assert sea == 0


@pytest.mark.slow
def test_tables_survive_packing(encoder):
    packed = encoder.tables.pack()
    again = WorldTables.unpack(packed)
    assert np.array_equal(again.climate, encoder.tables.climate)
    assert np.array_equal(again.elevation_m, encoder.tables.elevation_m)
    for line in LINES:
        assert np.array_equal(getattr(again, line), getattr(encoder.tables, line))
    assert np.array_equal(again.place_population, encoder.tables.place_population)


def test_lines_are_kept_within_a_kilometer():
    from placeprint.encoders.world.tables import _points_from, _points_to

    points = np.random.default_rng(0).uniform([-180, -90], [180, 90], (1000, 2))
    kept = _points_from(_points_to(points))
    gap = np.linalg.norm(unit_vectors(points)[:, None] - unit_vectors(kept)[None], axis=2).min(axis=1)
    assert gap.max() * 6371 < 0.8


@pytest.mark.parametrize("damage", ["cut", "table", "foreign"])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "encoder.safetensors"
    if damage == "foreign":
        save_file({"weights": np.zeros(3, np.float32)}, path)
    else:
        content = bytearray(Path(shipped_file()).read_bytes())
        if damage == "cut":
            content = content[: len(content) // 2]
        else:
            header = int.from_bytes(content[:8], "little")
            content[8 + header : 8 + header + 4000] = bytes(4000)
        path.write_bytes(content)
    with pytest.raises(WeightsUnavailable, match=r"encoder\.safetensors"):
        WorldEncoder(path)
