"""``placeprint train geocells``: what it prints, leaves, and how it fails. Cells are made up and quick."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from caption_fakes import tiny_weights
from fakes import fingerprint_of, record
from geocell_fakes import cells_at, photos_at
from PIL import Image
from program import Answer, run_program
from tuning_fakes import CENTERS, NAME, pictures, two_places

from placeprint.encoders.geocell_head import GeocellHead
from placeprint.encoders.geocell_heads.settings import TuneRun
from placeprint.encoders.sphere import uniform_on_sphere
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings

CELLS = cells_at(uniform_on_sphere(12, np.random.default_rng(4)), radius_km=2500.0)


@pytest.fixture(autouse=True)
def quick_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placeprint.encoders.geocells.default_geocells", lambda: CELLS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Galleries `world`, of 200 placed photos with dates, and `few`, of 20."""
    folder = tmp_path_factory.mktemp("train")
    settings = Settings(home=folder / "home", qdrant_url=None)
    for name, n in (("world", 200), ("few", 20)):
        lonlat = uniform_on_sphere(n, np.random.default_rng(n))
        unit = photos_at(lonlat, dimension=8)
        with Gallery.create(name, fingerprint_of(8), settings=settings) as gallery:
            gallery.add(
                [
                    record(
                        f"{name}-{row}",
                        unit[row],
                        lon=lon,
                        lat=lat,
                        captured_at=datetime(2020, 1 + row % 12, 3, tzinfo=UTC),
                    )
                    for row, (lon, lat) in enumerate(lonlat.tolist())
                ]
            )
    return folder


def train(folder: Path, out: str, *words: str, gallery: str = "world") -> Answer:
    return run_program(
        folder, "train", "geocells", "--gallery", gallery, "--out", out, "--rounds", "2", *words
    )


@pytest.fixture(scope="module")
def trained(folder: Path) -> tuple[Path, Answer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("placeprint.encoders.geocells.default_geocells", lambda: CELLS)
        answer = train(folder, "runs/a", "--tau", "500")
    assert answer.returncode == 0, answer.stderr
    return folder / "runs" / "a", answer


def test_the_last_line_is_the_report_beside_baselines(trained: tuple[Path, Answer]) -> None:
    out, answer = trained
    *rounds, report = [json.loads(line) for line in answer.stdout.splitlines()]
    assert report["event"] == "report" and report["out"] == "runs/a"
    assert {"prior", "nearest image", "head, likeliest cell", "head and prototypes"} < set(report["rows"])
    assert report["tau_km"] == 500.0 and report["source"]["gallery"] == "world"
    assert {one["event"] for one in rounds} == {"round"} and {one["round"] for one in rounds} == {1, 2}
    head = GeocellHead.load(out / "geocell-head.safetensors", cells_id=CELLS.cells_id)
    assert head.encoder == fingerprint_of(8).id


def test_on_a_terminal_it_is_a_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from placeprint.api import console

    monkeypatch.setattr(console.out, "_force_terminal", True)
    monkeypatch.setattr(console.out, "width", 80)
    answer = train(folder, "runs/table")
    assert answer.returncode == 0, answer.stderr
    assert "photos of held-out groups" in answer.stdout and "GeoScore" in answer.stdout
    assert "likeliest" in answer.stdout and "oracle:" in answer.stdout
    assert "…" not in answer.stdout
    assert "geocell-head.safetensors" in answer.stdout


def test_months_of_the_gallery_reach_the_side_task(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    from placeprint.encoders import train_geocells

    whole = train_geocells.Material.of

    def spied(pairs: object, cells: object, run: object, *, month: np.ndarray) -> object:
        seen.append(month)
        return whole(pairs, cells, run, month=month)  # type: ignore[arg-type]

    monkeypatch.setattr(train_geocells.Material, "of", spied)
    answer = train(folder, "runs/month", "--head", "mlp", "--tasks", "month")
    assert answer.returncode == 0, answer.stderr
    assert np.bincount(seen[0], minlength=13)[1:].min() >= 16


def test_the_same_command_again_says_how_to_go_on(folder: Path, trained: tuple[Path, Answer]) -> None:
    again = train(folder, "runs/a", "--tau", "500")
    assert again.returncode == 1 and "--resume" in again.stderr
    resumed = train(folder, "runs/a", "--tau", "500", "--resume")
    assert resumed.returncode == 0 and '"event": "round"' not in resumed.stdout


def test_a_sweep_prints_each_tau(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from placeprint.encoders.geocell_heads import sweep

    monkeypatch.setattr(
        sweep.sweep_tau,
        "__kwdefaults__",
        {**sweep.sweep_tau.__kwdefaults__, "taus": (0.0, 75.0), "seeds": (0,)},
    )
    answer = train(folder, "runs/tau", "--sweep-tau")
    assert answer.returncode == 0, answer.stderr
    last = json.loads(answer.stdout.splitlines()[-1])
    assert last["event"] == "sweep" and list(last["rows"]) == ["hard", "75 km"]
    assert (folder / "runs" / "tau" / "sweep.png").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--tau", "wide"), "hard labels"),
        (("--head", "tree"), "one of linear, mlp"),
        (("--tasks", "climate"), "choose mlp"),
        (("--head", "mlp", "--tasks", "weather"), "no side task 'weather'"),
        (("--prototypes", "median"), "one of mean, medoid"),
        (("--cells", "nowhere.parquet"), "nowhere.parquet"),
    ],
)
def test_words_without_meaning_are_named_and_leave_nothing(
    folder: Path, words: tuple[str, ...], told: str
) -> None:
    answer = train(folder, "runs/none", *words)
    usage = 1 if "--cells" in words else 2
    assert answer.returncode == usage and told in answer.stderr and "Traceback" not in answer.stderr
    assert not (folder / "runs" / "none").exists()


def test_a_handful_of_photos_is_too_few(folder: Path) -> None:
    answer = train(folder, "runs/few", gallery="few")
    assert answer.returncode == 1 and "20 photos of known place" in answer.stderr


PLACES = cells_at(CENTERS, radius_km=500.0)
TUNE = ("--tune", "2", "--tune-epochs", "12", "--tune-rate", "3e-3", "--rounds", "8")


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery `walks` of 260 photos of two places, whose looks no linear head can part."""
    folder = tmp_path_factory.mktemp("walks")
    tiny_weights(folder).rename(folder / "tiny.safetensors")
    lonlat, which, _ = two_places(260)
    lines = ["image,lon,lat,walk"]
    for row, (picture, (lon, lat)) in enumerate(zip(pictures(which, is_told=True), lonlat, strict=True)):
        Image.fromarray(picture).save(folder / f"{row:03}.png")
        lines.append(f"{row:03}.png,{lon},{lat},w{row // 2}")
    (folder / "photos.csv").write_text("\n".join(lines))
    answer = index(folder, "walks", "tiny.safetensors")
    assert answer.returncode == 0, answer.stderr
    return folder


def index(folder: Path, gallery: str, weights: str) -> Answer:
    return run_program(
        folder, "index", "photos.csv", "--gallery", gallery, "--group-column", "walk", "--no-calibrate",
        "--workers", "1", "--encoder", NAME, "--weights", weights,
    )  # fmt: skip


def tune(folder: Path, out: str, *words: str) -> Answer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("placeprint.encoders.geocells.default_geocells", lambda: PLACES)
        quick = {"batch_size": 32, "head_rate": 2e-3, "patience": 12}
        patch.setattr(TuneRun.__init__, "__kwdefaults__", {**TuneRun.__init__.__kwdefaults__, **quick})
        return run_program(folder, "train", "geocells", "--gallery", "walks", "--out", out, *words)


@pytest.fixture(scope="module")
def tuned(walks: Path) -> tuple[Path, Answer]:
    answer = tune(walks, "runs/tuned", *TUNE)
    assert answer.returncode == 0, answer.stderr
    return walks / "runs" / "tuned", answer


def test_tuning_tells_each_stage_and_compares_with_the_frozen_encoder(tuned: tuple[Path, Answer]) -> None:
    out, answer = tuned
    told = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [one for one in dict.fromkeys(line["event"] for line in told)] == [
        "reading", "round", "epoch", "report"
    ]  # fmt: skip
    report = told[-1]
    assert (
        report["tuning"]["differences"]["bits"]["difference"] > 0.0 and report["source"]["gallery"] == "walks"
    )
    assert report["tuning"]["blocks"] == report["tuning"]["all_blocks"] == 2
    assert json.loads((out / "report.json").read_text())["tuning"] == report["tuning"]


def test_the_old_gallery_refuses_the_tuned_encoder_and_a_new_one_takes_it(
    walks: Path, tuned: tuple[Path, Answer]
) -> None:
    refused = index(walks, "walks", "runs/tuned/encoder.safetensors")
    assert refused.returncode == 1 and "index into another gallery" in refused.stderr
    report = json.loads(tuned[1].stdout.splitlines()[-1])
    _, *words = report["tuning"]["use"].replace("NEW", "walks-tuned").split()
    answer = run_program(walks, *words, "--no-calibrate", "--workers", "1")
    assert answer.returncode == 0, answer.stderr
    with Gallery.open("walks-tuned", settings=Settings(home=walks / "home", qdrant_url=None)) as gallery:
        head = GeocellHead.load(tuned[0] / "geocell-head.safetensors", encoder=gallery.fingerprint.id)
        photos, lonlat = gallery.placed()
        log_p = head.log_probabilities(gallery.embeddings([photo.id for photo in photos]))
    assert (log_p.argmax(axis=1) == PLACES.assign(lonlat)).mean() > 0.9


def test_on_a_terminal_tuning_ends_with_a_table_and_what_to_type(
    walks: Path, tuned: tuple[Path, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    from placeprint.api import console

    monkeypatch.setattr(console.out, "_force_terminal", True)
    monkeypatch.setattr(console.out, "width", 80)
    answer = tune(walks, "runs/tuned", *TUNE, "--resume")  # finished: it is only shown
    assert answer.returncode == 0, answer.stderr
    for said in (
        "tuned − frozen",
        "GeoScore",
        "bits",
        "best epoch",
        "index the photos anew",
        "--gallery NEW",
    ):
        assert said in answer.stdout
    assert "…" not in answer.stdout


def test_photos_that_went_away_are_counted_and_named(
    walks: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from placeprint.api import console

    gone = [walks / "004.png", walks / "011.png"]
    for path in gone:
        path.rename(tmp_path / path.name)
    monkeypatch.setattr(console.out, "_force_terminal", True)
    try:
        answer = tune(walks, "runs/gone", "--tune", "1", "--tune-epochs", "1", "--rounds", "2")
    finally:
        for path in gone:
            (tmp_path / path.name).rename(path)
    assert answer.returncode == 0, answer.stderr
    assert "2 photos left out" in answer.stdout and "not where it was indexed from" in answer.stdout
    assert {
        Path(line.split("\t")[0]) for line in (walks / "runs/gone/left-out.tsv").read_text().splitlines()
    } == {*gone}


def test_an_interrupted_tuning_says_how_to_go_on(walks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("placeprint.api.tune_geocells.run_tuned_geocells", interrupted)
    answer = tune(walks, "runs/interrupted", *TUNE)
    assert answer.returncode == 130 and "--resume" in answer.stderr and "runs/interrupted" in answer.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--tune", "9"), "has 2 blocks; 1 to 2"),
        (("--tune", "-1"), "tune_blocks=-1"),
        (("--tune", "1", "--tune-rate", "0"), "tune_rate=0"),
        (("--tune-epochs", "3"), "belong to --tune"),
        (("--tune", "1", "--sweep-tau"), "choose τ first"),
    ],
)
def test_tunings_without_meaning_are_named_and_leave_nothing(
    walks: Path, words: tuple[str, ...], told: str
) -> None:
    answer = tune(walks, "runs/none", *words)
    assert answer.returncode == 2 and told in answer.stderr and "Traceback" not in answer.stderr
    assert not (walks / "runs" / "none").exists()


def test_a_gallery_whose_encoder_is_not_here_cannot_be_tuned(folder: Path) -> None:
    answer = train(folder, "runs/unknown", "--tune", "1")
    assert answer.returncode == 2 and "no encoder 'made-up'" in answer.stderr
