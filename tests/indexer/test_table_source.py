"""Tables are read as they are, whatever wrote them, a part at a time; and errors name the remedy."""

import gzip
import io
import sys
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely

from placeprint.encoders.errors import InvalidCoordinate, UnknownColumns, UnreadableSource
from placeprint.indexer.table_source import open_table

TOKYO, LIMA = (139.7671, 35.6812), (-77.0428, -12.0464)
AWKWARD = 'id,country,lon,lat,"note, long\nname"\r\n007,NA,17.08,-22.56,"a ""b"",\n"\r\n,,,,\r\n'


def rows_of(path: Path | str, n: int = 100) -> list[dict[str, object]]:
    return [row for part in open_table(str(path)).rows(n) for row in part.to_pylist()]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def points() -> geopandas.GeoDataFrame:
    geometry = geopandas.points_from_xy(*zip(TOKYO, LIMA, strict=True))
    return geopandas.GeoDataFrame({"id": ["a", "b"]}, geometry=geometry, crs=4326)


def test_every_cell_of_csv_is_its_text(tmp_path: Path) -> None:
    named = dict.fromkeys(["id", "country", "lon", "lat", "note, long\nname"], "")
    wanted = [{**named, "id": "007", "country": "NA", "lon": "17.08", "lat": "-22.56"}, named]
    wanted[0]["note, long\nname"] = 'a "b",\n'
    assert rows_of(write(tmp_path / "x.csv", AWKWARD)) == wanted
    assert rows_of(write(tmp_path / "bom.csv", b"\xef\xbb\xbf" + AWKWARD.encode())) == wanted
    assert rows_of(write(tmp_path / "x.csv.gz", gzip.compress(AWKWARD.encode()))) == wanted


@pytest.mark.parametrize(("name", "delimiter"), [("x.tsv", "\t"), ("x.csv", ";"), ("x.csv", ",")])
def test_the_delimiter_is_read_from_the_header(tmp_path: Path, name: str, delimiter: str) -> None:
    path = write(tmp_path / name, f"lon{delimiter}lat\n1.5{delimiter}2.5\n")
    assert rows_of(path) == [{"lon": "1.5", "lat": "2.5"}]


def test_stdin_is_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"lon,lat\n1,2\n")))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert rows_of("-") == [{"lon": "1", "lat": "2"}]


def test_parts_have_the_length_asked_whatever_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("placeprint.indexer.table_source.BLOCK_BYTES", 64)
    path = write(tmp_path / "x.csv", "n,lon,lat\n" + "".join(f"{n},1,2\n" for n in range(100)))
    lengths = [len(part) for part in open_table(str(path)).rows(30)]
    assert lengths == [30, 30, 30, 10]
    assert [row["n"] for row in rows_of(path, 7)] == [str(n) for n in range(100)]


def test_a_line_may_end_inside_a_cell_wherever_a_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("placeprint.indexer.table_source.BLOCK_BYTES", 100)
    path = write(tmp_path / "x.csv", "note,lon,lat\n" + '"one\ntwo\nthree",1,2\n' * 50)
    assert rows_of(path) == [{"note": "one\ntwo\nthree", "lon": "1", "lat": "2"}] * 50


@pytest.mark.parametrize("skip", [0, 1, 29, 30, 99, 100])
def test_rows_may_be_left_out_at_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skip: int
) -> None:
    monkeypatch.setattr("placeprint.indexer.table_source.ROWS_AT_A_TIME", 10)
    table = pd.DataFrame({"n": range(100), "lon": 0.0, "lat": 0.0})
    table.to_parquet(tmp_path / "x.parquet", row_group_size=30)
    found = [
        row
        for part in open_table(str(tmp_path / "x.parquet")).rows(16, skip=skip)
        for row in part["n"].to_pylist()
    ]
    assert found == list(range(skip, 100))


def test_a_table_can_be_read_again(tmp_path: Path) -> None:
    source = open_table(str(write(tmp_path / "x.csv", "lon,lat\n1,2\n")))
    assert [len(part) for part in source.rows(5)] == [len(part) for part in source.rows(5)] == [1]


def test_no_rows_are_no_parts(tmp_path: Path) -> None:
    for text in ("lon,lat\n", "lon,lat"):
        source = open_table(str(write(tmp_path / "x.csv", text)))
        assert (source.schema.names, list(source.rows(5))) == (["lon", "lat"], [])


@pytest.mark.parametrize("name", ["x.gpkg", "x.geojson", "x.fgb", "x.parquet", "x.shp"])
def test_geometry_gives_the_places(tmp_path: Path, points: geopandas.GeoDataFrame, name: str) -> None:
    path = tmp_path / name
    points.to_parquet(path) if name == "x.parquet" else points.to_file(path)
    source = open_table(str(path))
    locate = source.find_coordinates(None, None)
    found = {part["id"][0].as_py(): locate(part).lonlat[0] for part in source.rows(1)}
    np.testing.assert_allclose([found["a"], found["b"]], [TOKYO, LIMA], rtol=1e-12)
    assert source.n_rows == 2


@pytest.mark.parametrize("name", ["x.gpkg", "x.parquet"])
def test_projected_geometry_becomes_degrees(
    tmp_path: Path, points: geopandas.GeoDataFrame, name: str
) -> None:
    projected, path = points.to_crs(3857), tmp_path / name
    projected.to_parquet(path) if name == "x.parquet" else projected.to_file(path)
    source = open_table(str(path))
    (part,) = source.rows(9)
    np.testing.assert_allclose(source.find_coordinates(None, None)(part).lonlat, [TOKYO, LIMA], atol=1e-9)


def test_columns_named_go_before_geometry(tmp_path: Path, points: geopandas.GeoDataFrame) -> None:
    points.assign(x=[1.0, 2.0], y=[3.0, 4.0]).to_file(tmp_path / "x.gpkg")
    source = open_table(str(tmp_path / "x.gpkg"))
    (part,) = source.rows(9)
    np.testing.assert_array_equal(source.find_coordinates("x", "y")(part).lonlat, [[1, 3], [2, 4]])


def test_geometry_in_no_known_system_is_refused(tmp_path: Path, points: geopandas.GeoDataFrame) -> None:
    points.set_crs(None, allow_override=True).to_parquet(tmp_path / "x.parquet")
    source = open_table(str(tmp_path / "x.parquet"))
    (part,) = source.rows(9)
    with pytest.raises(InvalidCoordinate, match="coordinate system"):
        source.find_coordinates(None, None)(part)


def test_layers_are_chosen_by_name(tmp_path: Path, points: geopandas.GeoDataFrame) -> None:
    path = tmp_path / "x.gpkg"
    points.to_file(path, layer="first")
    points.iloc[:1].to_file(path, layer="second")
    with pytest.raises(UnreadableSource, match="2 layers; choose with --layer: first, second"):
        open_table(str(path))
    with pytest.raises(UnreadableSource, match="no layer 'third'"):
        open_table(str(path), layer="third")
    assert len(next(open_table(str(path), layer="second").rows(9))) == 1


def test_decimals_and_nulls_of_parquet_are_coordinates(tmp_path: Path) -> None:
    import decimal

    table = pd.DataFrame({"lon": [decimal.Decimal("1.5"), None], "lat": [2, 3]})
    table.to_parquet(tmp_path / "x.parquet")
    source = open_table(str(tmp_path / "x.parquet"))
    (part,) = source.rows(9)
    coordinates = source.find_coordinates(None, None)(part)
    assert coordinates.lonlat[0].tolist() == [1.5, 2.0]
    assert coordinates.complaint(1) == "lon is missing (NaN or empty)"


def test_the_remedy_for_unclear_columns_is_an_option(tmp_path: Path) -> None:
    source = open_table(str(write(tmp_path / "x.csv", "lng,longitude,lat\n")))
    with pytest.raises(UnknownColumns, match="'lng' or 'longitude'; name it with --lon"):
        source.find_coordinates(None, None)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.csv", b"", "empty; the first line must name the columns"),
        ("x.csv", b"lon,lat\n1,2\n1,2,3\n", r"Row #2: Expected 2 columns, got 3"),
        ("x.csv", b"lon,lat,a\n1,2,\xff\n", "save it as UTF-8"),
        ("x.csv", "lon,lat\n1,2\n".encode("utf-16"), "must be CSV in UTF-8"),
        ("x.csv", b"lon,lat,lon\n1,2,3\n", "two columns are called 'lon'"),
        ("x.csv.gz", b"lon,lat\n", "cannot be read"),
        ("x.parquet", b"PAR1 but no more", "cannot be read"),
        ("x.gpkg", b"no database", "cannot be read"),
        ("x.xlsx", b"", "not a table known here; embed takes"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, text: bytes, message: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(UnreadableSource, match=rf"{name}: .*{message}"):
        rows_of(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSource, match=r"none\.csv: no such file; embed takes a table"):
        open_table(str(tmp_path / "none.csv"))


def test_geometry_in_another_encoding_is_refused(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame(geometry=[shapely.Point(TOKYO)], crs=4326)
    frame.to_parquet(tmp_path / "x.parquet", geometry_encoding="geoarrow", schema_version="1.1.0")
    assert b"point" in (pq.read_schema(tmp_path / "x.parquet").metadata or {})[b"geo"]
    with pytest.raises(UnreadableSource, match="geometry as point; write it as WKB"):
        open_table(str(tmp_path / "x.parquet"))
