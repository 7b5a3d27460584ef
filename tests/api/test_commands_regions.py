"""`train regions`, `regions report`, `predict-region`: from photos and boundaries to a page and an answer."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from program import Answer, run_program

LOOKS = {"Red": (200, 60, 60), "Green": (60, 190, 60), "Blue": (60, 60, 210)}
AREAS, EACH = 4, 3


def run(folder: Path, *words: str) -> Answer:
    return run_program(folder, *words)


def photos(folder: Path, *, seed: int, each: int) -> Path:
    """Noise around the color of a region; each region is 1° wide, its towns 0.25°."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    lines = ["image,lon,lat,ward"]
    for number, (region, color) in enumerate(LOOKS.items()):
        for area in range(AREAS):
            for one in range(each):
                pixels = np.clip(rng.normal(color, 50.0, (8, 8, 3)), 0, 255).astype(np.uint8)
                name = f"{region}-{area}-{one}.png"
                Image.fromarray(pixels).resize((96, 96), Image.Resampling.NEAREST).save(folder / name)
                lon, lat = number + 0.25 * area + 0.02 * one + 0.05, 0.5 + 0.01 * one
                lines.append(f"{name},{lon},{lat},{region} ward")
    Image.new("RGB", (96, 96), (127, 127, 127)).save(folder / "blank.png")
    lines.append("blank.png,0.5,0.5,Red ward")
    (folder / "photos.csv").write_text("\n".join(lines))
    return folder / "photos.csv"


def boundaries(path: Path) -> None:
    def feature(region: int, area: int) -> dict[str, object]:
        west, east = region + 0.25 * area, region + 0.25 * (area + 1)
        ring = [[west, 0.0], [east, 0.0], [east, 1.0], [west, 1.0], [west, 0.0]]
        return {
            "type": "Feature",
            "properties": {"ward": list(LOOKS)[region], "town": f"town {area}"},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }

    features = [feature(region, area) for region in range(3) for area in range(AREAS)]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regions")
    boundaries(folder / "wards.geojson")
    for name, seed, each in (("ours", 0, EACH), ("theirs", 1, 1)):
        table = photos(folder / name, seed=seed, each=each)
        words = ("-g", name, "--encoder", "demonstration", "--no-calibrate")
        answer = run(folder, "index", str(table.relative_to(folder)), *words)
        assert answer.returncode == 0, answer.stderr
    return folder


WARDS = ("--boundaries", "wards.geojson", "--region-column", "ward", "--area-column", "town")


@pytest.fixture(scope="module")
def trained(folder: Path) -> Answer:
    answer = run(
        folder, "train", "regions", "-g", "ours", "-o", "run", *WARDS, "--crops", "1", "--folds", "4",
        "--leave-out", "blank", "--json",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return answer


def test_training_tells_both_splits_beside_baselines(folder: Path, trained: Answer) -> None:
    told = [json.loads(line) for line in trained.stdout.splitlines()]
    assert {one["doing"] for one in told if one["event"] == "progress"} == {
        "looking at photos", "held out by areas", "held out at random", "learning from all",
    }  # fmt: skip
    report = told[-1]
    assert report["event"] == "report" and report["photos"] == 3 * AREAS * EACH
    assert [one["areas"] for one in report["regions"]] == [AREAS] * 3
    assert report["rows"]["areas"]["classifier"]["accuracy"] > 0.8
    assert len(report["flagged"]["blank"]) == 1 and "indoor" not in report["flagged"]
    assert report["source"]["boundaries"] == "wards.geojson"


def test_a_folder_with_a_run_is_not_overwritten(folder: Path, trained: Answer) -> None:
    words = ("train", "regions", "-g", "ours", "-o", "run", *WARDS, "--folds", "4")
    answer = run(folder, *words)
    assert answer.returncode == 1 and "--resume" in answer.stderr
    answer = run(folder, *words, "--crops", "1", "--leave-out", "blank", "--resume", "--json")
    assert answer.returncode == 0 and json.loads(answer.stdout.splitlines()[-1])["event"] == "report"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "a file of boundaries, or of a payload field"),
        (("--by", "ward", "--boundaries", "wards.geojson"), "give one"),
        (("--by", "nothing"), "ward"),
        (("--by", "ward", "--folds", "1"), "folds=1"),
        (("--by", "ward", "--leave-out", "night"), "blank, indoor"),
        (("--by", "ward", "--leave-out", "indoor"), "image–text model"),
        (("--by", "ward", "--using", "other"), "other"),
        (("--by", "ward", "--buffer", "near"), "near"),
        (("--by", "ward", "--least-photos", "1000"), "at least 1000 are needed"),
        (("--boundaries", "none.gpkg"), "none.gpkg"),
    ],
)
def test_what_cannot_work_is_said_at_once(folder: Path, words: tuple[str, ...], said: str) -> None:
    answer = run(folder, "train", "regions", "-g", "ours", "-o", "never", "--crops", "0", *words)
    assert answer.returncode in (1, 2) and said in answer.stderr and "Traceback" not in answer.stderr
    assert not (folder / "never").exists()


def test_the_report_shows_what_was_learned(folder: Path, trained: Answer) -> None:
    answer = run(folder, "regions", "report", "run", "--heat-maps", "1", "--also", "theirs", "--json")
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout.splitlines()[-1])
    assert told["elsewhere"]["theirs"]["accuracy"] > 0.8
    page = (folder / "run" / "report.html").read_text()
    for words in (
        "What a random split would have claimed",
        "Most like one, taken in another",
        "What it looks at",
        "Photos from elsewhere",
        "Photos that show no place",
        "Could you tell?",
    ):
        assert words in page
    assert page.count("data:image/jpeg") > 3 * AREAS and "<script" not in page and str(folder) not in page
    rows = page.split("sub-areas held out</caption>")[1].split("</table>")[0]
    assert rows.index("nearest photo") < rows.index("before a temperature") < rows.rindex("classifier</th>")


def test_a_report_of_no_run_says_so(folder: Path) -> None:
    answer = run(folder, "regions", "report", "nowhere")
    assert answer.returncode == 1 and "placeprint train regions" in answer.stderr
    answer = run(folder, "regions", "report", "run", "-o", "page.pdf")
    assert answer.returncode == 2 and ".html" in answer.stderr


def test_photos_are_given_to_regions(folder: Path, trained: Answer) -> None:
    model = ("--model", "run/region-head.safetensors")
    answer = run(folder, "predict-region", "theirs/Red-0-0.png", "theirs/Blue-1-0.png", *model, "--json")
    assert answer.returncode == 0, answer.stderr
    told = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [one["regions"][0]["region"] for one in told] == ["Red", "Blue"]
    assert all(sum(region["probability"] for region in one["regions"]) == pytest.approx(1.0) for one in told)
    answer = run(folder, "predict-region", "theirs/Red-0-0.png", *model, "-k", "1", "--heat-map", "heat.png")
    assert "Red-0-0.png: Red " in answer.stdout and "Green" not in answer.stdout
    with Image.open(folder / "heat.png") as picture:
        assert picture.width > 500 and not picture.getexif()


def test_what_is_no_photo_fails_alone(folder: Path, trained: Answer) -> None:
    (folder / "broken.png").write_bytes(b"no picture")
    model = ("--model", "run/region-head.safetensors")
    answer = run(folder, "predict-region", "broken.png", "theirs/Blue-1-0.png", *model)
    assert answer.returncode == 3 and "broken.png" in answer.stderr and "Blue" in answer.stdout
    assert run(folder, "predict-region", "broken.png", *model).returncode == 1
    answer = run(folder, "predict-region", "theirs/Red-0-0.png", "--model", "wards.geojson")
    assert answer.returncode == 1 and "wards.geojson" in answer.stderr


def test_a_classifier_of_another_encoder_is_refused(folder: Path, trained: Answer) -> None:
    from placeprint.encoders.region_head import RegionHead

    head = RegionHead.load(folder / "run" / "region-head.safetensors")
    RegionHead(**{**vars(head), "encoder": "another"}).save(folder / "other.safetensors")
    answer = run(folder, "predict-region", "theirs/Red-0-0.png", "--model", "other.safetensors")
    assert answer.returncode == 1 and "'another'" in answer.stderr
