"""`placeprint embed`: what it prints, what it leaves, how it ends."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from place_fakes import table_of_places
from program import Answer, run_program

from placeprint.encoders.location_catalog import load_location_encoder
from placeprint.indexer import embed_table as module

ENCODER = ("--encoder", "sincos")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table_of_places(100).to_csv(tmp_path / "places.csv", index=False)
    bad = table_of_places(10).astype({"lat": object})
    bad.loc[[2, 5, 6, 7, 8, 9], "lat"] = ["", "x", "95", "95", "95", "95"]
    bad.loc[6:, "lon"] = 139.0
    bad.to_csv(tmp_path / "bad.csv", index=False)
    return tmp_path


def run(folder: Path, *words: str) -> Answer:
    return run_program(folder, "embed", *words, *ENCODER)


def test_a_table_gets_embeddings_and_a_report(folder: Path) -> None:
    answer = run(folder, "places.csv", "-o", "out.parquet")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0] == "100 rows: 100 embedded"
    assert lines[1].endswith("rows/s")
    fingerprint = load_location_encoder("sincos").fingerprint
    assert lines[2] == f"out.parquet: 4 numbers a row by sincos ({fingerprint})"
    table = pq.read_table(folder / "out.parquet")
    wanted = load_location_encoder("sincos").encode(table_of_places(100)[["lon", "lat"]].to_numpy())
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist(), np.float32), wanted)


def test_the_report_as_json(folder: Path) -> None:
    answer = run(folder, "places.csv", "-o", "out.npy", "--json")
    report = json.loads(answer.stdout)
    assert (report["event"], report["rows"], report["embedded"], report["failed"]) == ("report", 100, 100, 0)
    assert (report["out"], report["encoder"], report["dimension"]) == ("out.npy", "sincos", 4)
    assert answer.stderr == ""


def test_one_place_is_printed_as_json() -> None:
    answer = run(Path.cwd(), "--lon", "-0.1276", "--lat", "51.5072")
    told = json.loads(answer.stdout)
    wanted = load_location_encoder("sincos").encode([[-0.1276, 51.5072]])[0]
    assert np.array(told["embedding"], dtype=np.float32).tolist() == wanted.tolist()
    assert len(answer.stdout) < 300  # the shortest digits of float32, not those of float64
    assert (told["lon"], told["lat"], told["axis_order"]) == (-0.1276, 51.5072, "lon, lat")


def test_columns_and_their_names(folder: Path) -> None:
    (folder / "odd.csv").write_text("a;x;y\nNA;139.77;35.68\n")
    words = ("--lon", "x", "--lat", "y", "--keep", "a", "--columns")
    assert run(folder, "odd.csv", "-o", "out.parquet", *words).returncode == 0
    assert pq.read_schema(folder / "out.parquet").names == ["a", "e000", "e001", "e002", "e003"]
    assert pq.read_table(folder / "out.parquet")["a"].to_pylist() == ["NA"]


def test_stdin_is_a_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO((folder / "places.csv").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(raw)))  # type: ignore[arg-type]
    answer = run(folder, "-", "-o", "out.csv")
    assert (answer.returncode, answer.stdout.splitlines()[0]) == (0, "100 rows: 100 embedded")
    assert len((folder / "out.csv").read_text().splitlines()) == 101


def test_a_bad_row_ends_the_run_with_1_and_the_remedy(folder: Path) -> None:
    answer = run(folder, "bad.csv", "-o", "out.csv")
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: bad.csv: row 3: lat is missing (NaN or empty); --on-error null")
    assert answer.stderr.rstrip().endswith("(rows count from 1, the line of column names aside)")
    assert not (folder / "out.csv").exists()


@pytest.mark.parametrize(
    ("choice", "fate", "n_rows"), [("null", "without an embedding", 10), ("skip", "left out", 4)]
)
def test_bad_rows_end_with_3_and_are_counted_and_named(
    folder: Path, choice: str, fate: str, n_rows: int
) -> None:
    answer = run(folder, "bad.csv", "-o", "out.csv", "--on-error", choice)
    assert answer.returncode == 3
    assert answer.stdout.splitlines()[0] == f"10 rows: 4 embedded, 6 {fate}"
    told = answer.stderr.splitlines()
    assert told[0] == "row 3: lat is missing (NaN or empty)"
    assert told[1] == "row 6: lat 'x' is not a number"
    assert told[2].startswith("row 7: lon 139.0, lat 95.0 is not on Earth")
    assert told[5:] == [
        "(rows count from 1, the line of column names aside)",
        "… and 1 more rows without a place",
    ]
    assert len((folder / "out.csv").read_text().splitlines()) == n_rows + 1


def test_what_is_there_is_not_replaced_unasked(folder: Path) -> None:
    (folder / "out.csv").write_text("precious")
    answer = run(folder, "places.csv", "-o", "out.csv")
    assert answer.returncode == 1
    assert "exists already; --overwrite replaces it" in answer.stderr
    assert (folder / "out.csv").read_text() == "precious"
    assert run(folder, "places.csv", "-o", "out.csv", "--overwrite").returncode == 0


def test_an_interrupted_run_says_how_to_go_on_and_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_OF_A_PART", (40, 40))
    part, n_calls = module._Run.part, 0

    def interrupted(self: module._Run, table: object) -> bytes:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            raise KeyboardInterrupt
        return part(self, table)

    monkeypatch.setattr(module._Run, "part", interrupted)
    answer = run(folder, "places.csv", "-o", "out.parquet")
    assert answer.returncode == 130
    assert "what is done is kept, and the same command with --resume goes on" in answer.stderr
    assert "--resume goes on with it" in run(folder, "places.csv", "-o", "out.parquet").stderr
    answer = run(folder, "places.csv", "-o", "out.parquet", "--resume")
    assert answer.stdout.splitlines()[0] == "100 rows: 100 embedded (40 of them before)"
    assert pq.read_metadata(folder / "out.parquet").num_rows == 100


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give a table and --out FILE, or --lon and --lat"),
        (("--lon", "1"), "give a table and --out FILE, or --lon and --lat"),
        (("--lon", "lng", "--lat", "1"), "--lon lng: without a table, this is a number"),
        (("places.csv",), "say with --out FILE where to write"),
        (("places.csv", "-o", "out.xlsx"), "--out out.xlsx: write .parquet, .csv or .npy"),
        (("places.csv", "-o", "out.csv", "--on-error", "ignore"), "choose one of stop, null, skip"),
        (("places.csv", "-o", "out.npy", "--keep", "id"), "an .npy file has no columns"),
        (("places.csv", "-o", "out.csv", "--encoder", "atlantis"), "no location encoder 'atlantis'"),
    ],
)
def test_wrong_usage_ends_with_2(folder: Path, words: tuple[str, ...], message: str) -> None:
    answer = run_program(folder, "embed", *ENCODER, *words)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none.csv", "-o", "out.csv"), "none.csv: no such file; embed takes a table"),
        (("places.csv", "-o", "none/out.csv"), "there is no folder"),
        (("places.csv", "-o", "out.csv", "--lon", "x"), "no column 'x' for the longitude; there are 'id'"),
        (("places.csv", "-o", "out.csv", "--keep", "x"), "--keep: no column 'x'"),
        (("places.csv", "-o", "places.csv", "--overwrite"), "this is the table itself"),
        (("--lon", "139.7", "--lat", "95"), "lat 95.0 is not on Earth"),
    ],
)
def test_what_cannot_be_done_ends_with_1(folder: Path, words: tuple[str, ...], message: str) -> None:
    answer = run(folder, *words)
    assert (answer.returncode, message in answer.stderr) == (1, True), answer.stderr
    assert answer.stderr.startswith("error: ")


def test_long_work_tells_of_itself_now_and_then(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placeprint.api.embed.SECONDS_BETWEEN_LINES", 0.0)
    answer = run(folder, "places.csv", "-o", "out.parquet")
    assert answer.stderr.splitlines()[-1].startswith("embedding: 100 of 100 rows, ")
    told = run(folder, "places.csv", "-o", "out.parquet", "--json", "--overwrite").stderr.splitlines()
    assert json.loads(told[-1]) == {"event": "progress", "rows": 100, "total": 100, "failed": 0}


def test_rows_of_unusual_length_are_told(folder: Path) -> None:
    words = ("embed", "places.csv", "-o", "out.npy", "--encoder")
    answer = run_program(folder, *words, "sh-70")
    assert answer.returncode == 0
    assert "sh-70 gives 4,900 numbers a row, 0.02 MB of float32" in answer.stderr
    refused = run_program(folder, "embed", "places.csv", "-o", "more.npy", "--encoder", "sh-150")
    assert refused.returncode == 2
    text = " ".join(refused.stderr.replace("│", " ").split())
    assert "sh-150 gives 22,500 numbers a row, 0.09 MB" in text
    assert not (folder / "more.npy").exists()


def test_the_help_names_all_kinds_of_published_weights(folder: Path) -> None:
    assert "sinr:FILE" in run_program(folder, "embed", "--help").stdout
