"""Labels read off maps.

Claims: the draw of points is fixed and uniform by area; a raster is read with north up and west left, to
its edges; borders give one country; files that are no maps are named.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from placeprint.encoders.errors import InvalidProbe
from placeprint.encoders.probes import maps
from placeprint.encoders.probes.maps import CLIMATES, climate_classes, countries_on_land, drawn_points


def test_the_draw_is_fixed_and_uniform_by_area() -> None:
    lonlat = drawn_points(20_000)
    rng = np.random.default_rng(0)
    assert lonlat[0, 1] == pytest.approx(np.rad2deg(np.arcsin(rng.uniform(-1, 1, 20_000)[0])))
    assert lonlat[0, 0] == rng.uniform(-180, 180)
    assert (np.abs(lonlat[:, 1]) > 60).mean() == pytest.approx(0.134, abs=0.01)


def raster(path: Path) -> Path:
    """Climate 1 in the northwest, 2 northeast, 3 southwest, ocean southeast."""
    cells = np.repeat(np.repeat(np.array([[1, 2], [3, 32]], dtype=np.uint8), 9, axis=0), 18, axis=1)
    np.savez_compressed(path, kmz=cells)
    return path


def test_a_raster_has_north_up_and_west_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corners = np.array([[-180.0, 90.0], [179.999, 90.0], [-180.0, -90.0], [179.999, -90.0], [-1.0, 1.0]])
    monkeypatch.setattr(maps, "drawn_points", lambda: corners)
    lonlat, names = climate_classes(raster(tmp_path / "map.npz"))
    assert names.tolist() == [CLIMATES[0], CLIMATES[1], CLIMATES[2], CLIMATES[0]]
    np.testing.assert_array_equal(lonlat, corners[[0, 1, 2, 4]])


def square(code: str, west: float, east: float) -> dict[str, object]:
    ring = [[west, -20.0], [east, -20.0], [east, 20.0], [west, 20.0], [west, -20.0]]
    return {"properties": {"ADM0_A3": code}, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def test_countries_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.array([[1.0, 0.0], [12.0, 5.0], [60.0, 0.0], [-179.0, 0.0], [15.0, 3.0]])
    monkeypatch.setattr(maps, "drawn_points", lambda: points)
    path = tmp_path / "countries.geojson"
    shapes = [square("NAM", 0, 20), square("BWA", 10, 30), square("FJI", -180, -170)]
    path.write_text(json.dumps({"features": shapes}))
    lonlat, codes = countries_on_land(path)
    assert len(lonlat) == len(codes) == 4
    assert codes[0] == "NAM"
    assert codes[2] == "FJI"
    assert set(codes.tolist()) <= {"NAM", "BWA", "FJI"}


def test_files_that_are_no_maps_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    for text in ("no json", '{"features": []}', '{"features": [{"properties": {}, "geometry": null}]}'):
        bad.write_text(text)
        with pytest.raises(InvalidProbe, match=r"bad\.json"):
            countries_on_land(bad)
    with pytest.raises(InvalidProbe, match="climate raster"):
        climate_classes(bad)
    np.savez(tmp_path / "other.npz", cells=np.zeros(3))
    with pytest.raises(InvalidProbe, match="climate raster"):
        climate_classes(tmp_path / "other.npz")
