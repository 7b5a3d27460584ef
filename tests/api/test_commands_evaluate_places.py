"""`placeprint evaluate places`: figures of drawn walks, names of benchmarks, galleries, and refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from place_recognition_fakes import CONV, write_weights
from typer.testing import CliRunner, Result

from placeprint.api.cli import app
from placeprint.encoders.sphere import destination

N = 24
DEMONSTRATION = ("--encoder", "demonstration")


def draw_walk(folder: Path, *, seed: int, aside: int = 0) -> Path:
    """Frames of a way along a colored wall, every one a step of 10 m farther; noise is by the seed."""
    folder.mkdir(parents=True, exist_ok=True)
    wall = np.random.default_rng(0).integers(0, 256, (12, 8 * N, 3)).astype(np.uint8)
    wide = np.asarray(Image.fromarray(wall).resize((96 * N // 2, 96), Image.Resampling.BICUBIC), float)
    rng = np.random.default_rng(seed)
    rows = ["image,lon,lat,light"]
    for frame in range(N):
        left = 44 * frame + aside
        seen = wide[:, left : left + 96] + rng.normal(0.0, 8.0, (96, 96, 3))
        Image.fromarray(seen.clip(0, 255).astype(np.uint8)).save(folder / f"{frame:03d}.png")
        lon, lat = destination(np.array([179.999, -16.8]), 90.0, frame / 100.0)
        rows.append(f"{frame:03d}.png,{lon:.9f},{lat:.9f},{'day' if frame % 2 else 'night'}")
    (folder / "index.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walks")
    draw_walk(folder / "q", seed=1, aside=6)
    draw_walk(folder / "db", seed=2)
    return folder


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(
        app, words, env={"PLACEPRINT_HOME": str(folder / "home"), "COLUMNS": "160"}, catch_exceptions=False
    )  # fmt: skip


def places(folder: Path, *words: str) -> Result:
    return run(folder, "evaluate", "places", "--queries", str(folder / "q"), *words)


def told(result: Result) -> dict[str, object]:
    assert result.exit_code == 0, result.output
    return next(json.loads(line) for line in result.stdout.splitlines() if '"n_queries"' in line)


def test_two_walks_are_judged_by_meters(folder: Path) -> None:
    out, plot = folder / "r.json", folder / "r.png"
    words = ("--gallery-images", str(folder / "db"), *DEMONSTRATION, "--sequence", "5")
    result = places(folder, *words, "--out", str(out), "--plot", str(plot))
    assert result.exit_code == 0, result.output
    figures = json.loads(out.read_text())
    assert figures["n_queries"] == figures["n_gallery"] == N
    assert figures["truth"] == "within 25 m"
    assert figures["right_photos_per_query"] == {"min": 3, "median": 5.0, "max": 5}
    retrieval, sequence = figures["rows"]
    assert retrieval["recall"][0]["value"] > 3.0 * retrieval["recall"][0]["chance"]
    assert sequence["recall"][0]["value"] >= retrieval["recall"][0]["value"]
    assert retrieval["median_m"] < 30.0  # over the antimeridian, not around the Earth
    assert set(retrieval["parts"]["light"]) == {"day", "night"}
    assert figures["dimension"] == 64 and figures["licence_of_weights"] == "Apache-2.0"
    with Image.open(plot) as picture:
        assert picture.width > 1000
    for said in (
        "24 queries, 24 photos",
        "retrieval",
        "+ sequence",
        "chance",
        "≤ 25 m",
        "spread",
        "by light",
    ):
        assert said in result.stdout
    assert "published" not in result.stdout


def test_a_photo_is_recognized_by_itself(folder: Path) -> None:
    figures = told(
        places(folder, "--gallery-images", str(folder / "q"), *DEMONSTRATION, "--truth", "meters:1", "--json")
    )
    (row,) = figures["rows"]  # type: ignore[misc]
    assert row["recall"][0]["value"] == 1.0
    assert row["recall"][0]["chance"] == pytest.approx(1 / N)
    assert row["median_m"] == 0.0 and row["error_area"] == 1.0
    assert "24 of the queries are photos of the gallery" in figures["notes"][0]  # type: ignore[index]


def test_frames_and_lists_judge_alike(folder: Path) -> None:
    rows = ["query,references"]
    for frame in range(N):
        near = (f"{other:03d}.png" for other in range(N) if abs(other - frame) <= 2)
        rows.append(f"{frame:03d}.png,{' '.join(near)}")
    (folder / "truth.csv").write_text("\n".join(rows))
    words = ("--gallery-images", str(folder / "db"), *DEMONSTRATION, "--json", "--truth")
    by_frames, by_list = (
        told(places(folder, *words, truth)) for truth in ("frames:2", str(folder / "truth.csv"))
    )
    assert by_frames["rows"][0]["recall"] == by_list["rows"][0]["recall"]  # type: ignore[index]


def test_a_walk_done_backwards_is_followed_where_asked(folder: Path) -> None:
    head, *rows = (folder / "q" / "index.csv").read_text().splitlines()
    numbered = [f"{row},{N - frame}" for frame, row in enumerate(rows)]
    (folder / "q" / "back.csv").write_text("\n".join([f"{head},frame", *numbered]))
    words = ("--gallery-images", str(folder / "db"), *DEMONSTRATION, "--sequence", "5", "--json")
    asked = ("evaluate", "places", "--queries", str(folder / "q" / "back.csv"), *words)
    forward, back = (told(run(folder, *asked, *more)) for more in ((), ("--both-ways",)))
    shares = [one["rows"][1]["recall"][0]["value"] for one in (forward, back)]  # type: ignore[index]
    assert shares[1] > shares[0] + 0.2


def test_names_tell_places_and_panoramas_collapse(tmp_path: Path, folder: Path) -> None:
    for frame in range(6):
        for cut in range(2):
            name = f"@{500_000 + 100 * frame}@0@31@N@@@pano{frame}@{cut}@.png"
            (tmp_path / "db").mkdir(exist_ok=True)
            Image.open(folder / "db" / f"{frame:03d}.png").save(tmp_path / "db" / name)
    (tmp_path / "q").mkdir()
    Image.open(folder / "q" / "002.png").save(tmp_path / "q" / "@500200@0@31@N@.png")
    words = ("--gallery-images", str(tmp_path / "db"), *DEMONSTRATION, "--json")
    apart, together = told(places(tmp_path, *words)), told(places(tmp_path, *words, "--suppress-groups"))
    assert not apart["one_answer_for_each_group"] and together["one_answer_for_each_group"]
    chances = [one["rows"][0]["recall"][1]["chance"] for one in (apart, together)]  # type: ignore[index]
    assert chances == pytest.approx([1.0 - 252 / 792, 5 / 6])  # 2 of 12 photos, 1 of 6 panoramas
    assert apart["rows"][0]["recall"] == together["rows"][0]["recall_otherwise"]  # type: ignore[index]


def test_queries_without_a_right_photo_fail_or_are_left_out(tmp_path: Path, folder: Path) -> None:
    table = (folder / "db" / "index.csv").read_text().splitlines()
    (folder / "db" / "some.csv").write_text("\n".join(table[:13]))  # the first half of the way
    words = (
        "--gallery-images",
        str(folder / "db" / "some.csv"),
        *DEMONSTRATION,
        "--truth",
        "meters:1",
        "--json",
    )
    all_, some = told(places(folder, *words)), told(places(folder, *words, "--leave-out"))
    assert all_["n_queries_without_right_photo"] == some["n_queries_without_right_photo"] == 12
    shares = [one["rows"][0]["recall"][3]["value"] for one in (all_, some)]  # type: ignore[index]
    assert shares == pytest.approx([0.5, 1.0])  # all 12 photos are among 20 answers


def test_a_gallery_answers_as_exact_search_does(folder: Path) -> None:
    indexed = run(folder, "index", str(folder / "db" / "index.csv"), "--gallery", "db", *DEMONSTRATION)
    assert indexed.exit_code == 0, indexed.output
    by_name = told(places(folder, "--gallery", "db", "--json"))
    by_files = told(places(folder, "--gallery-images", str(folder / "db"), *DEMONSTRATION, "--json"))
    assert by_name["rows"][0]["recall"] == by_files["rows"][0]["recall"]  # type: ignore[index]
    search = by_name["approximate_search"]
    assert search["agreement"] == 1.0  # type: ignore[index]
    assert set(search["recall_lost"].values()) == {0.0}  # type: ignore[index]
    assert "the exact first 20 of 24 queries" in places(folder, "--gallery", "db").stdout


def test_a_second_look_says_how_many_it_took(folder: Path) -> None:
    weights = write_weights(CONV, folder)
    words = (
        "--gallery-images", str(folder / "db"), "--encoder", CONV, "--weights", str(weights), "--rerank", "8",
        "--size", "96", "--layer", "2", "--json",
    )  # fmt: skip
    figures = told(places(folder, *words))
    first, again, unsure = figures["rows"]  # type: ignore[misc]
    assert first["looked_at_again"] is None and again["looked_at_again"] == 1.0
    assert 0.0 <= unsure["looked_at_again"] <= 1.0
    look = figures["second_look"]
    assert look["answers"] == 8 and look["layer"] == 2 and len(look["thresholds"]) == 5  # type: ignore[index]
    assert again["recall"][0]["value"] >= first["recall"][0]["value"]
    never = told(places(folder, *words, "--rerank-above", "1e9"))
    first, again = never["rows"]  # type: ignore[misc]
    assert again["looked_at_again"] == 0.0 and again["recall"] == first["recall"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "--gallery-images DIR or --gallery NAME"),
        (("--gallery-images", "db", "--gallery", "trips"), 2, "--gallery-images DIR or --gallery NAME"),
        (("--gallery", "trips", "--encoder", "demonstration"), 2, "encoder that built it"),
        (("--gallery-images", "db", "--layer", "2"), 2, "ask for one with --rerank 20"),
        (("--gallery-images", "db", "--truth", "meters:far"), 2, "meters:25, frames:5"),
        (("--gallery-images", "db", "--plot", "p.gif"), 2, ".png or .svg or .pdf"),
        (("--gallery-images", "nowhere"), 1, "no such file or folder"),
        (("--gallery-images", "db", "--truth", "none.csv"), 1, "no such file"),
        (("--gallery-images", "db", *DEMONSTRATION, "--rerank", "5"), 2, "layers cannot be read"),
        (("--gallery", "nobody"), 1, "no gallery 'nobody'"),
    ],
)
def test_what_cannot_work_is_said_in_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(folder)
    result = places(folder, *words)
    assert result.exit_code == code
    assert said in " ".join(result.output.replace("│", " ").split())
    assert "Traceback" not in result.output


def test_the_shorter_verb_is_still_there(folder: Path) -> None:
    assert "placeprint evaluate [OPTIONS]" in run(folder, "evaluate", "--help").output.replace(
        "root", "placeprint"
    )
    help_text = run(folder, "evaluate", "places", "--help").output
    assert "recall@N" in help_text and "--suppress-groups" in help_text
