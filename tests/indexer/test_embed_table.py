"""Tables of any size become tables with embeddings: every row, in order, within bounded memory."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from place_fakes import GlobeEncoder, table_of_places

from placeprint.encoders.errors import (
    AnotherRun,
    InvalidCoordinate,
    InvalidOption,
    UnknownColumns,
    UnreadableSource,
    UnwritableFile,
)
from placeprint.encoders.sphere import as_lonlat, unit_vectors
from placeprint.indexer import embed_table as module
from placeprint.indexer.embed_table import Report, embed_table

TESTS = Path(__file__).resolve().parents[1]


class Crash(Exception):
    """Something that no one catches."""


class FragileEncoder(GlobeEncoder):
    """Crashes at its n-th call."""

    def __init__(self, n_calls: int) -> None:
        super().__init__()
        self.n_calls = n_calls

    def encode(self, lonlat, *, batch_size: int = 8192):  # type: ignore[no-untyped-def]
        self.n_calls -= 1
        if self.n_calls < 0:
            raise Crash
        return super().encode(lonlat, batch_size=batch_size)


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 40 rows, so that small tables have several."""
    monkeypatch.setattr(module, "ROWS_OF_A_PART", (40, 40))


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    table_of_places(100).to_csv(tmp_path / "places.csv", index=False)
    return tmp_path / "places.csv"


def spoil(path: Path, **cells: object) -> Path:
    """Write bad coordinates: column_row=value."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    for where, value in cells.items():
        column, row = where.split("_")
        table.loc[int(row), column] = value
    table.to_csv(path, index=False)
    return path


def embeddings_in(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".csv":
        return pd.read_csv(path)[["e000", "e001", "e002"]].to_numpy(np.float32)
    lists = pq.read_table(path)["embedding"].to_pylist()
    return np.array([row or [np.nan] * 3 for row in lists], dtype=np.float32)


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("ending", [".parquet", ".csv", ".npy"])
def test_every_row_gets_the_embedding_of_its_place(csv: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"out{ending}"
    report = embed_table(str(csv), out, GlobeEncoder())
    wanted = unit_vectors(as_lonlat(table_of_places(100)[["lon", "lat"]]))
    np.testing.assert_allclose(embeddings_in(out), wanted, atol=1e-7)
    assert (report.n_rows, report.n_embedded, report.n_bad, report.n_resumed) == (100, 100, 0, 0)


@pytest.mark.usefixtures("short_parts")
def test_all_columns_are_kept_and_na_is_namibia(csv: Path, tmp_path: Path) -> None:
    embed_table(str(csv), tmp_path / "out.parquet", GlobeEncoder())
    found = pq.read_table(tmp_path / "out.parquet").drop_columns(["embedding"]).to_pandas()
    pd.testing.assert_frame_equal(found, table_of_places(100), check_dtype=False)
    assert "NA" in set(found.country)
    assert found.id[7] == "0000007"
    embed_table(str(csv), tmp_path / "out.csv", GlobeEncoder())
    lines, wanted = ((tmp_path / name).read_text().splitlines() for name in ("out.csv", "places.csv"))
    assert all(line.startswith(f"{told},") for line, told in zip(lines, wanted, strict=True))


def test_some_columns_are_kept(csv: Path, tmp_path: Path) -> None:
    embed_table(str(csv), tmp_path / "out.parquet", GlobeEncoder(), keep=["country", "id"], is_wide=True)
    assert pq.read_schema(tmp_path / "out.parquet").names == ["country", "id", "e000", "e001", "e002"]
    with pytest.raises(UnknownColumns, match="--keep: no column 'name'"):
        embed_table(str(csv), tmp_path / "other.parquet", GlobeEncoder(), keep=["name"])


def test_the_file_tells_what_made_it(csv: Path, tmp_path: Path) -> None:
    facts = {
        "encoder": "globe", "fingerprint": GlobeEncoder().fingerprint, "dimension": 3,
        "axis_order": "lon, lat", "coordinates": "WGS84 degrees",
    }  # fmt: skip
    embed_table(str(csv), tmp_path / "out.parquet", GlobeEncoder())
    assert json.loads(pq.read_schema(tmp_path / "out.parquet").metadata[b"placeprint"]) == facts
    for name in ("out.csv", "out.npy"):
        embed_table(str(csv), tmp_path / name, GlobeEncoder())
        assert json.loads((tmp_path / f"{name}.json").read_text()) == facts


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("ending", [".parquet", ".csv", ".npy"])
@pytest.mark.parametrize("n_calls", [0, 1, 2])
def test_a_resumed_run_writes_the_same_bytes(csv: Path, tmp_path: Path, ending: str, n_calls: int) -> None:
    spoil(csv, lat_3="", lon_50="x", lat_51="95", lat_99="-91")
    whole, out = tmp_path / f"whole{ending}", tmp_path / f"out{ending}"
    undisturbed = embed_table(str(csv), whole, GlobeEncoder(), on_error="null")
    with pytest.raises(Crash):
        embed_table(str(csv), out, FragileEncoder(n_calls), on_error="null")
    encoder = GlobeEncoder()
    report = embed_table(str(csv), out, encoder, on_error="null", is_resumed=True)
    assert out.read_bytes() == whole.read_bytes()
    assert report.n_resumed == 40 * n_calls
    assert encoder.n_rows == 96 - [0, 39, 77][n_calls]
    assert (report.n_rows, report.n_bad, report.bad) == (100, 4, undisturbed.bad)


@pytest.mark.usefixtures("short_parts")
def test_rows_left_out_stay_left_out_after_a_resume(csv: Path, tmp_path: Path) -> None:
    spoil(csv, lat_3="", lon_50="x", lat_99="-91")
    with pytest.raises(Crash):
        embed_table(str(csv), tmp_path / "out.csv", FragileEncoder(1), on_error="skip")
    report = embed_table(str(csv), tmp_path / "out.csv", GlobeEncoder(), on_error="skip", is_resumed=True)
    found = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert found.id.tolist() == [row for row in range(100) if row not in (3, 50, 99)]
    assert (report.n_rows, report.n_bad) == (100, 3)


@pytest.mark.usefixtures("short_parts")
def test_a_changed_source_or_encoder_is_not_resumed(csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    with pytest.raises(Crash):
        embed_table(str(csv), out, FragileEncoder(1))
    with pytest.raises(AnotherRun, match="fingerprint was"):
        embed_table(str(csv), out, GlobeEncoder(2.0), is_resumed=True)
    with pytest.raises(AnotherRun, match="keep was"):
        embed_table(str(csv), out, GlobeEncoder(), keep=["id"], is_resumed=True)
    spoil(csv, lat_99="1.25")
    with pytest.raises(AnotherRun, match="mtime_ns was"):
        embed_table(str(csv), out, GlobeEncoder(), is_resumed=True)


@pytest.mark.usefixtures("short_parts")
def test_after_a_stop_the_bad_rows_may_be_treated_otherwise(csv: Path, tmp_path: Path) -> None:
    spoil(csv, lat_90="")
    out = tmp_path / "out.parquet"
    with pytest.raises(InvalidCoordinate, match=r"places.csv: row 91: lat is missing"):
        embed_table(str(csv), out, GlobeEncoder())
    report = embed_table(str(csv), out, GlobeEncoder(), on_error="null", is_resumed=True)
    assert (report.n_resumed, report.n_bad) == (80, 1)


@pytest.mark.usefixtures("short_parts")
def test_bad_rows_are_not_treated_in_two_ways(csv: Path, tmp_path: Path) -> None:
    spoil(csv, lat_3="")
    with pytest.raises(Crash):
        embed_table(str(csv), tmp_path / "out.parquet", FragileEncoder(1), on_error="null")
    with pytest.raises(AnotherRun, match="1 rows were treated by --on-error null"):
        embed_table(str(csv), tmp_path / "out.parquet", GlobeEncoder(), on_error="skip", is_resumed=True)


def test_a_bad_row_stops_the_run_and_is_named_with_the_remedy(csv: Path, tmp_path: Path) -> None:
    spoil(csv, lat_7="95", lon_7="100")
    with pytest.raises(InvalidCoordinate, match=r"row 8: .*lat 95.0 is not on Earth.*--on-error null keeps"):
        embed_table(str(csv), tmp_path / "out.parquet", GlobeEncoder())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["places.csv"]


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("ending", [".parquet", ".csv", ".npy"])
def test_bad_rows_stay_without_an_embedding(csv: Path, tmp_path: Path, ending: str) -> None:
    bad = dict.fromkeys([0, 39, 40, 80, 81, 99], "x")
    spoil(csv, **{f"lon_{row}": value for row, value in bad.items()})
    report = embed_table(str(csv), tmp_path / f"out{ending}", GlobeEncoder(), on_error="null")
    found = embeddings_in(tmp_path / f"out{ending}")
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == list(bad)
    assert report.n_bad == 6
    assert report.bad == [(row + 1, "lon 'x' is not a number") for row in list(bad)[:5]]


def test_lat_before_lon_is_refused_whatever_becomes_of_bad_rows(tmp_path: Path) -> None:
    table = table_of_places(100).rename(columns={"lon": "lat", "lat": "lon"})
    table.to_csv(tmp_path / "places.csv", index=False)
    with pytest.raises(InvalidCoordinate, match="exchange the columns"):
        embed_table(str(tmp_path / "places.csv"), tmp_path / "out.csv", GlobeEncoder(), on_error="null")
    embed_table(str(tmp_path / "places.csv"), tmp_path / "out.csv", GlobeEncoder(), lon="lat", lat="lon")


@pytest.mark.usefixtures("short_parts")
def test_a_last_part_of_bad_rows_is_not_taken_for_exchanged_columns(csv: Path, tmp_path: Path) -> None:
    spoil(csv, **{f"{column}_{row}": value for row in range(80, 100) for column, value in
                  (("lon", "35.7"), ("lat", "139.7"))})  # fmt: skip
    report = embed_table(str(csv), tmp_path / "out.csv", GlobeEncoder(), on_error="null")
    assert report.n_bad == 20


def test_geometry_of_any_system_goes_along(tmp_path: Path) -> None:
    table = table_of_places(30)
    points = geopandas.points_from_xy(table.lon, table.lat)
    frame = geopandas.GeoDataFrame(table[["id"]], geometry=points, crs=4326).to_crs(8857)
    frame.to_file(tmp_path / "places.gpkg")
    embed_table(str(tmp_path / "places.gpkg"), tmp_path / "out.parquet", GlobeEncoder())
    found = geopandas.read_parquet(tmp_path / "out.parquet")
    assert found.crs == frame.crs
    assert found.geometry.geom_equals_exact(frame.geometry, 1e-6).all()
    wanted = unit_vectors(as_lonlat(table[["lon", "lat"]]))
    np.testing.assert_allclose(np.stack(found.embedding), wanted, atol=1e-6)
    embed_table(str(tmp_path / "places.gpkg"), tmp_path / "out.csv", GlobeEncoder())
    assert pd.read_csv(tmp_path / "out.csv")["geom"].str.match(r"POINT \(").all()


def test_stdin_is_read_once(monkeypatch: pytest.MonkeyPatch, csv: Path, tmp_path: Path) -> None:
    def stdin() -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BufferedReader(io.BytesIO(csv.read_bytes())))  # type: ignore[arg-type]

    monkeypatch.setattr(sys, "stdin", stdin())
    report = embed_table("-", tmp_path / "out.parquet", GlobeEncoder())
    assert report.n_rows == 100
    assert pq.read_table(tmp_path / "out.parquet")["rooms"].to_pylist()[0] in set("12345678")
    monkeypatch.setattr(sys, "stdin", stdin())
    with pytest.raises(InvalidOption, match="--resume reads the table once more, and stdin cannot be"):
        embed_table("-", tmp_path / "other.parquet", GlobeEncoder(), is_resumed=True)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".npy"])
def test_a_table_without_rows_becomes_one(tmp_path: Path, ending: str) -> None:
    (tmp_path / "places.csv").write_text("id,lon,lat\n")
    report = embed_table(str(tmp_path / "places.csv"), tmp_path / f"out{ending}", GlobeEncoder())
    assert report.n_rows == 0
    assert len(embeddings_in(tmp_path / f"out{ending}")) == 0


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("out.npy", {"on_error": "skip"}, InvalidOption, "--on-error skip: rows of an .npy file"),
        ("out.npy", {"keep": ["id"]}, InvalidOption, "--keep: an .npy file has no columns"),
        (
            "out.csv",
            {"on_error": "ignore"},
            InvalidOption,
            "--on-error ignore: choose one of stop, null, skip",
        ),
        ("out.xlsx", {}, UnwritableFile, "write .parquet, .csv or .npy"),
        ("none/out.csv", {}, UnwritableFile, "there is no folder"),
        ("places.csv", {"is_overwritten": True}, UnwritableFile, "the table itself"),
    ],
)
def test_what_makes_no_sense_is_refused(
    csv: Path, tmp_path: Path, name: str, options: dict, error: type[Exception], message: str
) -> None:
    before = csv.read_bytes()
    with pytest.raises(error, match=message):
        embed_table(str(csv), tmp_path / name, GlobeEncoder(), **options)
    assert csv.read_bytes() == before


def test_a_table_that_breaks_off_is_told(tmp_path: Path) -> None:
    (tmp_path / "places.csv").write_text("id,lon,lat\n" + "a,1,2\n" * 50 + "b,1\n")
    with pytest.raises(UnreadableSource, match="Row #51: Expected 3 columns, got 2"):
        embed_table(str(tmp_path / "places.csv"), tmp_path / "out.csv", GlobeEncoder())


@pytest.mark.usefixtures("short_parts")
def test_progress_tells_rows_and_total(csv: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []

    def tell(report: Report, total: int | None) -> None:
        told.append((report.n_rows, total))

    embed_table(str(csv), tmp_path / "out.parquet", GlobeEncoder(), progress=tell)
    assert told == [(0, 100), (40, 100), (80, 100), (100, 100)]


CHILD = """
import sys, time
sys.path.insert(0, {tests!r})
from place_fakes import GlobeEncoder
from placeprint.indexer import embed_table as module

module.ROWS_OF_A_PART = (40, 40)

class SlowEncoder(GlobeEncoder):
    def encode(self, lonlat, *, batch_size=8192):
        time.sleep(0.2)
        return super().encode(lonlat)

def tell(report, total):
    print(report.n_rows, flush=True)

module.embed_table({source!r}, {target!r}, SlowEncoder(), progress=tell)
"""


@pytest.mark.usefixtures("short_parts")
def test_a_killed_process_is_gone_on_with(tmp_path: Path) -> None:
    table_of_places(400).to_csv(tmp_path / "places.csv", index=False)
    source, target = str(tmp_path / "places.csv"), tmp_path / "out.parquet"
    code = CHILD.format(tests=str(TESTS), source=source, target=str(target))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while int(child.stdout.readline()) < 120:
            pass
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert not target.exists()
    report = embed_table(source, target, GlobeEncoder(), is_resumed=True)
    assert 120 <= report.n_resumed < 400
    embed_table(source, tmp_path / "whole.parquet", GlobeEncoder())
    assert target.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


MEASURED = """
import sys
sys.path.insert(0, {tests!r})
from place_fakes import GlobeEncoder
from placeprint.indexer.embed_table import embed_table

embed_table({source!r}, {target!r}, GlobeEncoder(repeats=64))
status = open("/proc/self/status").read()
print(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "names", [("places.csv", "out.parquet"), ("places.parquet", "out.npy"), ("places.gpkg", "out.csv")]
)
def test_memory_does_not_grow_with_the_table(tmp_path: Path, names: tuple[str, str]) -> None:
    """300,000 rows of 192 numbers are 230 MB; ten times fewer rows must take nearly as much memory."""
    peak_mb = []
    for n in (30_000, 300_000):
        table, source = table_of_places(n), tmp_path / f"{n}-{names[0]}"
        if source.suffix == ".csv":
            table.to_csv(source, index=False)
        elif source.suffix == ".parquet":
            table.to_parquet(source)
        else:
            points = geopandas.points_from_xy(table.lon, table.lat)
            geopandas.GeoDataFrame(table[["id"]], geometry=points, crs=4326).to_file(source)
        target = tmp_path / f"{n}-{names[1]}"
        code = MEASURED.format(tests=str(TESTS), source=str(source), target=str(target))
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        peak_mb.append(int(run.stdout) / 1024)
    assert peak_mb[1] - peak_mb[0] < 60.0, peak_mb


def test_seconds_are_those_of_this_run(csv: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    report = embed_table(str(csv), tmp_path / "out.csv", GlobeEncoder())
    assert 0.0 < report.seconds <= time.monotonic() - started
