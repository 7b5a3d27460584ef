"""What is to be embedded: places of a table, of photos, and what a place is called."""

from pathlib import Path

import numpy as np
import pytest

from placeprint.encoders.errors import (
    InvalidCoordinate,
    UnknownColumns,
    UnreadableSource,
)
from placeprint.indexer.place_list import listed, place_id, place_key, rounded
from placeprint.indexer.place_list_file import read_place_list


def test_a_place_has_one_name() -> None:
    same = [[180.0, -17.0], [-180.0, -17.0], [179.99999999, -17.00000001]]
    assert {place_id(lon, lat) for lon, lat in same} == {place_id(-180.0, -17.0)}
    assert place_id(12.0, 90.0) == place_id(-77.0, 90.0)
    assert place_id(0.0, 0.0) == place_id(-0.0, -1e-9)
    assert place_id(9.5, 47.1) != place_id(9.500001, 47.1)
    assert place_key(*rounded([-0.0000001, 5.0]).tolist()) == "place 0.000000,5.000000"


def test_a_grid_has_each_place_once() -> None:
    found = listed(np.array([[1.0, 2.0], [1.0000000001, 2.0], [3.0, 4.0]]), "grid")
    assert (len(found), found.n_doubled) == (2, 1)
    row = found.record(1)
    assert (row.lon, row.lat, row.key, row.status) == (3.0, 4.0, "place 3.000000,4.000000", "embedded")


def test_columns_of_a_table_go_along(tmp_path: Path) -> None:
    table = tmp_path / "stations.csv"
    table.write_text(
        "name,lat,lon,tracks,note\nVaduz,47.14,9.52,,x\nnowhere,,,1,\nVaduz,47.14,9.52,3,\nSargans,47.05,9.44,5,\n"
    )
    found = read_place_list(table)
    assert found.lonlat.tolist() == [[9.52, 47.14], [9.44, 47.05]]
    assert (found.n_without_place, found.n_doubled) == (1, 1)
    assert found.payloads == ['{"name": "Vaduz", "note": "x"}', '{"name": "Sargans", "tracks": 5}']


def test_points_of_a_vector_file(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"name": "Suva"},'
        ' "geometry": {"type": "Point", "coordinates": [178.44, -18.14]}}]}'
    )
    found = read_place_list(tmp_path / "a.geojson")
    assert found.lonlat.tolist() == [[178.44, -18.14]] and found.payloads == ['{"name": "Suva"}']


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("lon,lat\n", UnreadableSource),
        ("a,b\n1,2\n", UnknownColumns),
        ("lon,lat\n47.1,139.5\n47.2,139.6\n47.3,139.6\n", InvalidCoordinate),
    ],
)
def test_a_table_that_is_no_list(tmp_path: Path, text: str, error: type[Exception]) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(error):
        read_place_list(tmp_path / "a.csv")
    with pytest.raises(UnreadableSource, match="no such file"):
        read_place_list(tmp_path / "b.csv")
