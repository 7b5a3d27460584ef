"""`placeprint imagery`: from boundaries to a plan, to pictures, to a gallery; and how the commands fail.

Claims: a plan says how many points each area got and which got none, why; the report of a fetch adds up
and says what to run next, and that runs; --json is one object a line; costs are told and agreed to; terms
that forbid storing are told, and nothing is asked before; keys appear in no output; what can never work is
refused as wrong usage, without a traceback.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from imagery_fakes import GOOGLE_KEY, TOKEN, Said, Shot, StandIn, gray_card
from program import Answer, run_program
from typer.testing import CliRunner

from placeprint.api.commands_imagery import imagery_app
from placeprint.indexer import imagery_http
from placeprint.indexer.imagery_providers import kartaview, mapillary, panoramax, street_view
from placeprint.indexer.imagery_providers.provider import Found

PLAN = "id,lon,lat,heading_deg\nv0,10.0,50.0,0\nv1,10.0,50.0,180\nv2,10.1,50.0,0\nv3,10.2,50.0,0\n"


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (kartaview, mapillary, panoramax, street_view):
        monkeypatch.setattr(module, "PAUSE_S", 0.0)
    monkeypatch.setattr(imagery_http, "FIRST_BACKOFF_S", 0.001)
    monkeypatch.setenv("PLACEPRINT_MAPILLARY_TOKEN", TOKEN)
    monkeypatch.setenv("PLACEPRINT_GOOGLE_MAPS_KEY", GOOGLE_KEY)
    monkeypatch.delenv("PLACEPRINT_GOOGLE_MAPS_SIGNING_SECRET", raising=False)


@pytest.fixture
def server() -> Iterator[StandIn]:
    shots = [Shot("north", 10.0, 50.0), Shot("south", 10.0, 50.0001, heading=180.0)]
    with StandIn([*shots, Shot("card", 10.1, 50.0, content=gray_card())]) as stand_in:
        yield stand_in


def fetch(folder: Path, server: StandIn, *words: str, provider: str = "mapillary") -> Answer:
    (folder / "plan.csv").write_text(PLAN)
    options = ("--provider", provider, "--base-url", server.url, "--out", "out")
    return run_program(folder, "imagery", "fetch", "plan.csv", *options, *words)


def lines(answer: Answer) -> list[dict]:
    return [json.loads(line) for line in answer.stdout.splitlines()]


def square(name: str, west: float, size: float = 0.01) -> dict:
    ring = [[west, 50.0], [west + size, 50.0], [west + size, 50.0 + size], [west, 50.0 + size], [west, 50.0]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "properties": {"ward": "W", "aza": name}, "geometry": geometry}


def wards(folder: Path, *features: dict) -> Path:
    (folder / "wards.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return folder


# --- plan ----------------------------------------------------------------------------------------


def test_a_plan_says_what_each_area_got(tmp_path: Path) -> None:
    point = {"type": "Point", "coordinates": [10.0, 50.0]}
    wards(tmp_path, square("a", 10.0), square("b", 11.0), square("c", 12.0) | {"geometry": point})
    words = ("--areas", "wards.geojson", "--region-column", "ward", "--area-column", "aza")
    answer = run_program(tmp_path, "imagery", "plan", *words, "--n-per-area", "7", "--headings", "2")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == (
        "plan.csv: 14 points in 3 areas, 7 in each that could have all, 1 areas without any; 28 views, 2 a "
        "point\nnext: placeprint imagery fetch plan.csv --provider mapillary --out pictures\n"
    )
    assert answer.stderr == "warning: W, c: 0 of 7 points: has no polygon in the file\n"
    assert len((tmp_path / "plan.csv").read_text().splitlines()) == 29


def test_the_same_seed_gives_the_same_plan_as_lines_of_json(tmp_path: Path) -> None:
    wards(tmp_path, square("a", 10.0))
    told = []
    for out, seed in (("a.csv", "1"), ("b.csv", "1"), ("c.csv", "2")):
        answer = run_program(
            tmp_path, "imagery", "plan", "--areas", "wards.geojson", "--spacing", "200m",
            "--n-per-area", "50", "-o", out, "--seed", seed, "--json",
        )  # fmt: skip
        told.append(lines(answer))
    plans = [(tmp_path / name).read_bytes() for name in ("a.csv", "b.csv", "c.csv")]
    assert plans[0] == plans[1] != plans[2]
    short, plan = told[0]
    assert (short["event"], short["wanted"]) == ("short", 50) and "200 m apart" in short["reason"]
    assert plan["points"] == short["points"] == plan["views"] / 4 and plan["file"] == "a.csv"


def test_towns_within_their_region(tmp_path: Path) -> None:
    wards(tmp_path, square("a", 10.0))
    (tmp_path / "towns.csv").write_text(
        "region,name,lon,lat\nW,x,10.002,50.005\nW,y,10.008,50.005\nV,z,3,4\n"
    )
    answer = run_program(
        tmp_path, "imagery", "plan", "--towns", "towns.csv", "--within", "wards.geojson", "--region-column",
        "region", "--json",
    )  # fmt: skip
    assert answer.returncode == 1 and "no column 'region'" in answer.stderr  # of wards.geojson
    text = (tmp_path / "towns.csv").read_text().replace("region", "ward", 1)
    (tmp_path / "towns.csv").write_text(text)
    words = (
        "--towns",
        "towns.csv",
        "--within",
        "wards.geojson",
        "--region-column",
        "ward",
        "--radius",
        "100m",
    )
    told = lines(run_program(tmp_path, "imagery", "plan", *words, "--json"))
    assert told[0]["reason"] == "there is no polygon for the region 'V'" and told[1]["points"] == 20


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "--areas, or a list of towns"),
        (("--areas", "wards.geojson", "--towns", "towns.csv"), 2, "not both"),
        (("--areas", "wards.geojson", "--radius", "5m"), 2, "--radius goes with --towns"),
        (("--towns", "wards.geojson", "--spacing", "5m"), 2, "--spacing goes with --areas"),
        (("--areas", "wards.geojson", "--spacing", "5"), 2, "write a number and m or km"),
        (("--areas", "wards.geojson", "--per-km2", "1", "--n-per-area", "2"), 2, "not both"),
        (("--areas", "wards.geojson", "--per-km2", "0.01"), 2, "rounds to no point"),
        (("--areas", "wards.geojson", "--out", "plan.txt"), 2, ".csv or .parquet"),
        (("--areas", "none.geojson"), 1, "no such file"),
        (("--areas", "wards.geojson", "--area-column", "town"), 1, "there are ward, aza"),
    ],
)
def test_plans_that_cannot_be_made(words: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    wards(tmp_path, square("a", 10.0))
    answer = run_program(tmp_path, "imagery", "plan", *words)
    assert answer.returncode == code and said in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr and not (tmp_path / "plan.csv").exists()


# --- fetch ---------------------------------------------------------------------------------------


def test_the_report_adds_up_and_says_what_to_run_next(server: StandIn, tmp_path: Path) -> None:
    answer = fetch(tmp_path, server, "--json")
    assert answer.returncode == 0, answer.stderr
    (report,) = lines(answer)
    assert (
        report["views"]
        == 4
        == report["with_picture"] + report["nothing_near"] + report["failed"] + report["left"]
    )
    assert (report["found"], report["downloaded"], report["placeholders"]) == (3, 2, 1)
    assert (report["with_picture"], report["nothing_near"], report["failed"]) == (2, 2, 0)
    assert json.loads(answer.stderr.splitlines()[0])["url"] == "https://www.mapillary.com/terms"
    assert report["manifest"] == "out/manifest.csv"


def test_the_report_in_words(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from placeprint.api import console

    monkeypatch.setattr(type(console.out), "is_terminal", True)
    answer = fetch(tmp_path, server, "--max-pictures", "1")
    assert "pictures are CC BY-SA 4.0" in answer.stderr
    assert answer.stdout.splitlines() == [
        "2 pictures found, 1 downloaded, 0 placeholders dropped",
        "4 views: 1 with a picture, 0 with nothing near, 0 failed, 3 not asked about yet",
        "out: 1 pictures, 0.0 MB downloaded",
        "stopped by --max-pictures; with a higher limit the same command goes on",
        "next: placeprint index out/manifest.csv --gallery NAME",
    ]


@pytest.mark.slow  # it loads torch; that the manifest is a source is tested without
def test_what_was_fetched_is_indexed_with_its_facts(server: StandIn, tmp_path: Path) -> None:
    fetch(tmp_path, server)
    answer = run_program(
        tmp_path, "index", "out/manifest.csv", "-g", "streets", "--encoder", "demonstration",
        "--no-calibrate", "--json",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout.splitlines()[-1])["photos"] == 2
    found = run_program(tmp_path, "search", "--text", "a red wall", "-g", "streets", "--json")
    assert found.returncode == 0, found.stderr
    told = lines(found)[0]
    assert told["payload"]["licence"] == "CC-BY-SA-4.0" and told["group"] == "drive-1"
    assert told["payload"]["attribution"] == "ana, Mapillary" and (told["lon"], told["lat"]) != (None, None)


@pytest.mark.parametrize("provider", ["mapillary", "kartaview", "panoramax"])
def test_all_open_providers_give_the_same_pictures(provider: str, server: StandIn, tmp_path: Path) -> None:
    (report,) = lines(fetch(tmp_path, server, provider=provider))
    assert (report["with_picture"], report["pictures"], report["dollars"]) == (2, 2, 0.0)


def test_failures_are_named_and_the_end_is_partly_failed(server: StandIn, tmp_path: Path) -> None:
    server.script["/files/north"] = [Said(404)]
    answer = fetch(tmp_path, server)
    failed, report = lines(answer)
    assert answer.returncode == 3 and failed == {
        "event": "failed", "image": "v0", "reason": "127.0.0.1 answered 404"
    }  # fmt: skip
    assert report["failed"] == 1


def test_what_costs_money_is_told_and_agreed_to(server: StandIn, tmp_path: Path) -> None:
    server.shots = server.shots[:1]
    refused = fetch(tmp_path, server, provider="street-view")
    assert refused.returncode == 1 and "forbid to store its pictures" in refused.stderr
    asked = fetch(tmp_path, server, "--i-have-permission", provider="street-view")
    assert asked.returncode == 2 and "at most $0.03" in asked.stderr and "--yes" in asked.stderr
    assert server.asked == []
    words = ("--i-have-permission", "--yes", "--max-cost", "0.01")
    warning, report = lines(fetch(tmp_path, server, *words, provider="street-view"))
    assert warning["event"] == "warning" and "at most $0.01" in warning["message"]
    assert (report["downloaded"], report["dollars"], report["stopped_by"]) == (1, 0.007, "--max-cost")


def test_no_output_shows_a_key(server: StandIn, tmp_path: Path) -> None:
    server.script["/images"] = [Said(403)]
    server.script["/maps/api/streetview"] = [Said(500)] * 5
    answers = [
        fetch(tmp_path / name, server, *words, provider=provider)
        for name, provider, words in (
            ("a", "mapillary", ()), ("b", "street-view", ("--i-have-permission", "--yes")),
        )
        if (tmp_path / name).mkdir() is None
    ]  # fmt: skip
    assert [answer.returncode for answer in answers] == [1, 3]
    for answer in answers:
        assert TOKEN not in answer.stdout + answer.stderr and GOOGLE_KEY not in answer.stdout + answer.stderr
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(key.encode() in content for key in (TOKEN, GOOGLE_KEY) for content in files)


def test_an_interruption_says_how_to_go_on(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mapillary.Mapillary.download
    begun: list[str] = []

    def interrupted(provider: mapillary.Mapillary, found: Found, max_bytes: int) -> bytes:
        begun.append(found.id)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return whole(provider, found, max_bytes)

    monkeypatch.setattr(mapillary.Mapillary, "download", interrupted)
    answer = fetch(tmp_path, server)
    assert answer.returncode == 130 and "kept in out. To go on, type the same command again" in answer.stderr
    assert len((tmp_path / "out" / "manifest.csv").read_text().splitlines()) == 2
    (report,) = lines(fetch(tmp_path, server))
    assert report["pictures"] == 2 and max(server.n_fetched.values()) == 1


def test_another_plan_needs_another_folder(server: StandIn, tmp_path: Path) -> None:
    fetch(tmp_path, server)
    answer = fetch(tmp_path, server, "--radius", "80m")
    assert answer.returncode == 1 and "choose another --out" in answer.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--provider", "bing"), 2, "there are mapillary, kartaview, panoramax, street-view"),
        (("--provider", "panoramax"), 2, "name one with --base-url"),
        (("--provider", "kartaview", "--base-url", "ftp://x"), 2, "must be https"),
        (("--provider", "kartaview", "--picture-host", "x"), 2, "hosts are known"),
        (("--provider", "kartaview", "--max-bytes", "lots"), 2, "500MB"),
        (("--provider", "kartaview", "--radius", "50"), 2, "m or km"),
        (("--provider", "kartaview", "--max-turn", "0"), 2, "max-turn"),
    ],
)
def test_fetches_that_can_never_work(words: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "plan.csv").write_text(PLAN)
    answer = run_program(tmp_path, "imagery", "fetch", "plan.csv", "--out", "out", *words)
    assert answer.returncode == code and said in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "n"), [("1000", 1000), ("500MB", 500_000_000), ("1.5 gb", 1_500_000_000), ("2k", 2000)]
)
def test_amounts_are_read_as_people_write_them(words: str, n: int) -> None:
    from placeprint.api.commands_imagery import _bytes

    assert _bytes(words) == n


@pytest.mark.parametrize("verb", ["plan", "fetch"])
def test_help_has_examples_to_copy(verb: str) -> None:
    said = CliRunner().invoke(imagery_app, [verb, "--help"]).output
    assert f"placeprint imagery {verb}" in " ".join(said.split())


def test_panoramas_and_the_reach_are_options(server: StandIn, tmp_path: Path) -> None:
    server.shots = [
        Shot("all-round", 10.0, 50.0, is_panorama=True),
        Shot("aside", 10.1, 50.0005, heading=80.0),
    ]
    for name, words, n_pictures in (
        ("a", (), 0), ("b", ("--panoramas",), 1), ("c", ("--radius", "60m"), 0),
        ("d", ("--radius", "60m", "--max-turn", "90"), 1),
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        (report,) = lines(fetch(tmp_path / name, server, *words))
        assert report["pictures"] == n_pictures
