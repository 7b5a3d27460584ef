"""``placeprint bench location``: what it prints, what it leaves in a folder, how it fails."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from program import Answer, run_program

from placeprint.api.bench_plot import _dot, _legend
from placeprint.encoders.probes import bench as probe_bench
from placeprint.encoders.probes.bench import Bench, Figures, Scored, run_bench
from placeprint.encoders.probes.folds import Split
from placeprint.encoders.probes.probe import ProbeScore
from placeprint.encoders.probes.rows import Row
from placeprint.encoders.probes.tasks import own_task

QUICK = ("--rows", "knn5,sincos,neighbors", "--splits", "random,block2")


@pytest.fixture
def labels(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Rents around a city on the antimeridian, and the ward of each."""
    lon, lat = 180 + rng.uniform(-4, 4, 150), rng.uniform(-20, -12, 150)
    rent = np.exp(5 + 0.3 * np.sin(lon) + 0.3 * np.cos(lat) + 0.1 * rng.normal(size=150))
    ward = np.where(lat > -16, "NA", "south")
    lines = [f"{x:.4f},{y:.4f},{v:.3f},{w}" for x, y, v, w in zip(lon, lat, rent, ward, strict=True)]
    path = tmp_path / "rents.csv"
    path.write_text("\n".join(["lon,lat,rent,ward", *lines]) + "\n")
    return path


def bench(folder: Path, *words: str) -> Answer:
    return run_program(folder, "bench", "location", *words)


def test_ones_own_labels_are_scored_and_reported(labels: Path, tmp_path: Path) -> None:
    words = ("--labels", "rents.csv", "--target", "rent", "--log", *QUICK, "--out", "report")
    answer = bench(tmp_path, *words, "--encoder", "sh-10")
    assert answer.returncode == 0, answer.stderr
    assert "rent of rents.csv" in answer.stdout
    assert "sh-10+neighbors" in answer.stdout
    report = json.loads((tmp_path / "report" / "location.json").read_text())
    assert [board["split"] for board in report["boards"]] == ["random", "block2"]
    rows = {row["row"]: row for row in report["boards"][0]["rows"]}
    assert set(rows) == {"knn5", "sincos", "neighbors", "sh-10", "sh-10+neighbors"}
    low, high = rows["knn5"]["bootstrap_95"]
    assert low < rows["knn5"]["score"] < high
    assert rows["sh-10"]["dimension"] == 100
    assert sum(report["boards"][1]["fold_sizes"]) == report["boards"][1]["n"] == 150
    text = (tmp_path / "report" / "location.md").read_text()
    assert "| knn5 |" in text
    assert f"{rows['knn5']['score']:.3f}" in text
    with Image.open(tmp_path / "report" / "location.png") as picture:
        assert picture.width > 500


def test_where_few_blocks_are_there_is_no_interval(labels: Path, tmp_path: Path) -> None:
    words = ("--labels", "rents.csv", "--target", "rent", "--rows", "knn5,sincos,sh-5", "--out", "report")
    answer = bench(tmp_path, *words, "--splits", "random,block4")
    assert answer.returncode == 0, answer.stderr
    report = json.loads((tmp_path / "report" / "location.json").read_text())
    random, blocks = report["boards"]
    assert all(row["bootstrap_95"] and row["gain_95"] for row in random["rows"])
    assert all(row["bootstrap_95"] is None and row["gain_95"] is None for row in blocks["rows"])
    for text in (answer.stdout, (tmp_path / "report" / "location.md").read_text()):
        assert "[–] no interval, since a fold holds fewer than 5 blocks" in " ".join(text.split())
        knn = next(line for line in text.splitlines() if line.strip("| ").startswith("knn5"))
        assert knn.count("[") == 2 and knn.count("[–]") == 1


def test_a_table_as_embed_takes_it(labels: Path, tmp_path: Path) -> None:
    lines = labels.read_text().replace(",", ";").replace("lon;lat", "Longitude;LAT", 1).splitlines()
    lines[3] = ";" + lines[3].partition(";")[2]
    labels.write_text("\n".join(lines) + "\n")
    words = ("--labels", "rents.csv", "--target", "rent", "--rows", "knn5", "--splits", "random")
    answer = bench(tmp_path, *words)
    assert answer.returncode == 0, answer.stderr
    assert "149 labels" in answer.stdout
    told = "1 of 150 rows without a place left out, the first of them row 3: lon is missing"
    assert told in answer.stderr


def test_few_labels_end_with_a_clear_word(labels: Path, tmp_path: Path) -> None:
    labels.write_text("\n".join(labels.read_text().splitlines()[:13]) + "\n")
    for more in (("--target", "rent"), ("--target", "ward", "--classification")):
        answer = bench(tmp_path, "--labels", "rents.csv", "--rows", "knn5,sincos,sincos+knn5", *more)
        assert answer.returncode == 1
        assert "12 labels are too few to measure anything; at least 50 are needed" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_the_picture_explains_what_it_draws_and_nothing_else(labels: Path, tmp_path: Path) -> None:
    def legend(bench: Bench) -> list[str]:
        figures = {board: board.figures() for board in bench.boards}
        colors = {board.split.title: "k" for board in figures}
        return [str(one.get_label()) for one in _legend(figures, colors)]

    task = own_task(labels, "rent", log=True)
    plain, blocks = Bench(), Bench()
    run_bench(plain, [task], tmp_path, [Row.named("knn5")], splits=[Split()])
    assert legend(plain) == ["random"]
    run_bench(blocks, [task], tmp_path, [Row.named("sincos")], splits=[Split(4.0)])
    blocks.boards[0].rows[0].score.per_fold[:] = -2.0
    object.__setattr__(blocks.boards[0].rows[0].score, "mean", -2.0)
    assert legend(blocks) == ["4° blocks", "goes on below", "no line: fewer than 5 blocks in a fold"]


def test_an_interval_that_is_cut_ends_in_an_arrow(labels: Path) -> None:
    def marks(low: float, mean: float) -> list[str]:
        axes = Figure().add_subplot()
        score = ProbeScore(mean, np.array([mean]), 1.0, np.empty((0, 1)), np.zeros(1))
        one = Scored(Row.named("knn5"), score, "unseen", 0, 0.0)
        _dot(axes, Figures(one, (low, 0.3), (low, 0.3), None, None), 0.0, "k")
        return [str(line.get_marker()) for line in axes.lines if line.get_marker() != "None"]

    assert marks(0.1, 0.2) == ["o"]
    assert marks(-0.5, 0.2) == ["<", "o"]
    assert marks(-0.5, -0.4) == ["<"]


def test_classes_with_the_country_code_na(labels: Path, tmp_path: Path) -> None:
    answer = bench(tmp_path, "--labels", "rents.csv", "--target", "ward", "--classification", *QUICK)
    assert answer.returncode == 0, answer.stderr
    assert "accuracy" in answer.stdout


def test_a_quick_look_says_so(labels: Path, tmp_path: Path) -> None:
    words = ("--labels", "rents.csv", "--target", "rent", "--rows", "knn5", "--splits", "random")
    answer = bench(tmp_path, *words, "--max-rows", "60", "--out", "report")
    assert "at most 60 labels" in " ".join(answer.stdout.split())
    assert "at most 60 labels" in (tmp_path / "report" / "location.md").read_text()


def test_without_labels_it_says_where_they_are_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACEPRINT_BENCH_DATA", raising=False)
    answer = bench(tmp_path, "--tasks", "japan")
    assert answer.returncode == 1
    assert "https://nlftp.mlit.go.jp" in answer.stderr
    assert "--data DIR" in answer.stderr
    missing = bench(tmp_path, "--tasks", "japan", "--data", ".", "--rows", "knn5")
    assert missing.returncode == 1
    assert "japan_land_price_2023.csv is not there" in missing.stderr
    assert "Traceback" not in missing.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tasks", "paris", "--data", "."), "there are california"),
        (("--splits", "block0", "--data", "."), "no split 'block0'"),
        (("--rows", "+neighbors", "--data", "."), "no row"),
        (("--labels", "rents.csv"), "--target"),
        (("--labels", "rents.csv", "--target", "ward", "--log", "--classification"), "--log is for"),
    ],
)
def test_wrong_words_end_with_2(labels: Path, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    answer = bench(tmp_path, *words)
    assert answer.returncode == 2
    assert message in " ".join(answer.stderr.replace("│", " ").split())


def test_a_wrong_column_or_encoder_is_named(labels: Path, tmp_path: Path) -> None:
    words = ("--labels", "rents.csv", "--rows", "knn5")
    answer = bench(tmp_path, *words, "--target", "price")
    assert answer.returncode == 1
    assert "no column 'price'; there are lon, lat, rent, ward" in answer.stderr
    answer = bench(tmp_path, *words, "--target", "rent", "--encoder", "nothing")
    assert answer.returncode == 2
    assert "no location encoder 'nothing'" in answer.stderr


def test_an_interruption_leaves_the_tables(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(probe_bench, "stacked_scores", stop)
    answer = bench(tmp_path, "--labels", "rents.csv", "--target", "rent", *QUICK, "--out", "report")
    assert answer.returncode == 130
    assert "knn5" in answer.stdout
    report = json.loads((tmp_path / "report" / "location.json").read_text())
    assert [row["row"] for row in report["boards"][0]["rows"]] == ["knn5", "sincos"]


@pytest.mark.real
def test_california_stands_beside_what_was_published(tmp_path: Path) -> None:
    data = Path(__file__).resolve().parents[3] / "shared" / "data"
    if not (data / "prices").is_dir():
        pytest.skip("the labels are not here")
    words = (
        "--data",
        str(data),
        "--tasks",
        "california",
        "--rows",
        "sincos,knn5",
        "--splits",
        "random,block10",
    )
    answer = bench(tmp_path, *words)
    assert answer.returncode == 0, answer.stderr
    lines = {line.split("  ")[0].strip(): line for line in answer.stdout.splitlines()}
    assert "0.243" in lines["sincos"]
    assert "-1.219" in lines["sincos"]
    assert "0.702" in lines["published: GeoCLIP"]
