"""``placeprint train geocells``: what it prints, leaves, and how it fails. Cells are made up and quick."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from fakes import fingerprint_of, record
from geocell_fakes import cells_at, photos_at
from program import Answer, run_program

from placeprint.encoders.geocell_head import GeocellHead
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
