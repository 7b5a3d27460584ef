"""Pictures for the views of a plan: the right ones, once, none that is no photo, whatever ends the run.

Claims: the nearest by distance and heading is chosen, across north and the antimeridian, panoramas and
pictures that look elsewhere are not; two views of one picture fetch it once; gray cards, blank and
doubled pictures are dropped and another one is taken; truncated files, error pages and dead links are
failures of their view, which the next run tries again; budgets stop before they are passed; a kill at
any moment costs at most one picture; a torn ledger is mended, an edited one refused; the manifest is a
source for `index`; keys are in no file.
"""

import csv
import errno
import io
import json
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from forked import Forked
from imagery_fakes import GOOGLE_KEY, TOKEN, Said, Shot, StandIn, gray_card, photo
from PIL import Image

from placeprint.encoders.errors import AnotherRun, DamagedLedger, ImageryRefused, UnwritableFile
from placeprint.encoders.sphere import destination
from placeprint.indexer import imagery, imagery_http, imagery_ledger
from placeprint.indexer.imagery import Budget, FetchReport, fetch
from placeprint.indexer.imagery_choice import Reach, choices
from placeprint.indexer.imagery_ledger import file_stem
from placeprint.indexer.imagery_placeholders import why_no_photo
from placeprint.indexer.imagery_providers import mapillary, street_view
from placeprint.indexer.imagery_providers.mapillary import Mapillary
from placeprint.indexer.imagery_providers.provider import Found
from placeprint.indexer.imagery_providers.street_view import StreetView
from placeprint.indexer.imagery_views import View
from placeprint.indexer.sources import list_source

HERE = (139.7, 35.6)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (mapillary, street_view):
        monkeypatch.setattr(module, "PAUSE_S", 0.0)
    monkeypatch.setattr(imagery_http, "FIRST_BACKOFF_S", 0.001)


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


def north_of(meters: float, point=HERE, bearing=0.0) -> tuple[float, float]:
    lon, lat = destination(np.array(point), bearing, meters / 1000.0)
    return float(lon), float(lat)


def views_at(*points, headings=(0.0,)) -> list[View]:
    return [
        View(id=f"{i}-{k}", lon=lon, lat=lat, heading_deg=heading, region="R", sub_area=f"S{i}")
        for i, (lon, lat) in enumerate(points)
        for k, heading in enumerate(headings)
    ]


def run(server: StandIn, folder: Path, views: list[View], reach=None, **budget) -> FetchReport:
    provider = Mapillary(TOKEN, base_url=server.url)
    try:
        return fetch(views, provider, folder, reach=reach or Reach(), budget=Budget(**budget))
    finally:
        provider.close()


def manifest(folder: Path) -> dict[str, dict]:
    return {str(item.payload["provider_id"]): item for item in list_source(folder / "manifest.csv")}


# --- which picture -------------------------------------------------------------------------------


def chosen(view: View, *found: Found, **reach) -> list[str]:
    return [one.found.id for one in choices(view, found, Reach(**reach))]


def at(id: str, meters: float, heading: float | None, **told) -> Found:
    lon, lat = north_of(meters)
    return Found(id=id, lon=lon, lat=lat, heading_deg=heading, **told)


def test_distance_and_turn_count_alike():
    view = View(id="v", lon=HERE[0], lat=HERE[1], heading_deg=350.0)
    near_turned, far_straight, middling = at("a", 5.0, 30.0), at("b", 45.0, 350.0), at("c", 20.0, 5.0)
    assert chosen(view, near_turned, far_straight, middling) == ["c", "b", "a"]  # 0.73, 0.9, 0.99
    details = choices(view, [near_turned], Reach())[0]
    assert details.turn_deg == pytest.approx(40.0) and details.distance_m == pytest.approx(5.0)


def test_too_far_turned_too_far_and_panoramas_are_not_taken():
    view = View(id="v", lon=HERE[0], lat=HERE[1], heading_deg=10.0)
    found = [at("far", 51.0, 10.0), at("back", 1.0, 190.0), at("pano", 1.0, 190.0, is_panorama=True)]
    assert chosen(view, *found) == []
    assert chosen(view, *found, with_panoramas=True) == ["pano"]
    assert chosen(view, *found, radius_m=60.0) == ["far"]


def test_an_unknown_heading_comes_last_and_any_wanted_takes_the_nearest():
    view = View(id="v", lon=HERE[0], lat=HERE[1], heading_deg=0.0)
    found = [at("unknown", 10.0, None), at("known", 10.0, 44.0)]
    assert chosen(view, *found) == ["known", "unknown"]
    anywhere = View(id="v", lon=HERE[0], lat=HERE[1])
    assert chosen(anywhere, at("b", 9.0, 0.0), at("a", 8.0, 180.0)) == ["a", "b"]


def test_a_picture_that_can_be_turned_is_turned():
    view = View(id="v", lon=HERE[0], lat=HERE[1], heading_deg=123.4)
    assert chosen(view, at("pano", 1.0, None, is_turnable=True)) == ["pano@123.4"]


def test_neighbors_across_the_antimeridian_are_near():
    view = View(id="v", lon=-179.9999, lat=-16.8, heading_deg=0.0)
    assert chosen(view, Found(id="a", lon=179.9999, lat=-16.8, heading_deg=0.0)) == ["a"]


# --- a run ---------------------------------------------------------------------------------------


def test_each_view_gets_its_picture_and_the_manifest_is_a_source(server, tmp_path):
    server.shots = [
        Shot("n", *north_of(5.0), heading=355.0), Shot("s", *north_of(6.0), heading=181.0),
        Shot("far", *north_of(400.0), heading=90.0),
    ]  # fmt: skip
    report = run(server, tmp_path / "out", views_at(HERE, headings=(0.0, 90.0, 180.0)))
    assert (report.n_downloaded, report.n_with_picture, report.n_nothing_near, report.n_left) == (2, 2, 1, 0)
    items = manifest(tmp_path / "out")
    assert set(items) == {"n", "s"}
    item = items["n"]
    assert (item.lon, item.lat) == pytest.approx(north_of(5.0)) and item.group == "drive-1"
    assert item.captured_at.isoformat() == "2018-10-01T12:00:00+00:00"
    assert item.read() == photo(0)
    told = {
        key: item.payload[key] for key in ("region", "sub_area", "view", "provider", "licence", "attribution")
    }
    assert told == {
        "region": "R", "sub_area": "S0", "view": "0-0", "provider": "mapillary", "licence": "CC-BY-SA-4.0",
        "attribution": "ana, Mapillary",
    }  # fmt: skip
    assert item.payload["heading_deg"] == 355.0 and item.payload["distance_m"] == 5.0
    assert item.payload["captured_month"] == "2018-10"


def test_a_point_is_asked_about_once_and_a_picture_fetched_once(server, tmp_path):
    server.shots = [Shot("a", *HERE, heading=10.0)]
    views = views_at(HERE, north_of(8.0), headings=(0.0, 20.0, 30.0))
    report = run(server, tmp_path / "out", views)
    assert report.n_with_picture == 6 and report.n_pictures == 1
    assert server.n_fetched == {"a": 1}
    assert sum(one.path == "/images" for one in server.asked) == 2


def test_the_same_command_again_asks_nothing(server, tmp_path):
    server.shots = [Shot("a", *HERE)]
    views = views_at(HERE, north_of(5000.0))
    first = run(server, tmp_path / "out", views)
    n_asked, table = len(server.asked), (tmp_path / "out" / "manifest.csv").read_bytes()
    again = run(server, tmp_path / "out", views)
    assert len(server.asked) == n_asked and (tmp_path / "out" / "manifest.csv").read_bytes() == table
    assert (again.n_with_picture, again.n_nothing_near, again.n_pictures) == (1, 1, 1)
    assert (first.n_downloaded, again.n_downloaded, again.n_settled_before) == (1, 0, 2)


def encoded(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "JPEG")
    return content.getvalue()


@pytest.mark.parametrize(
    "content", [gray_card(), gray_card(40), encoded(Image.new("RGB", (640, 480), "white"))]
)
def test_placeholders_are_dropped_and_the_next_best_is_taken(content, server, tmp_path):
    server.shots = [Shot("card", *HERE, content=content), Shot("photo", *north_of(10.0))]
    report = run(server, tmp_path / "out", views_at(HERE))
    assert (report.n_placeholders, report.n_downloaded) == (1, 1) and set(manifest(tmp_path / "out")) == {
        "photo"
    }
    run(server, tmp_path / "out", views_at(HERE))
    assert server.n_fetched == {"card": 1, "photo": 1}


def test_where_only_placeholders_are_there_is_nothing(server, tmp_path):
    server.shots = [Shot(f"card{n}", *HERE, content=gray_card(200 + n)) for n in range(5)]
    report = run(server, tmp_path / "out", views_at(HERE))
    assert (report.n_placeholders, report.n_nothing_near, report.failures) == (imagery.TRIES, 1, {})
    assert list((tmp_path / "out" / "pictures").iterdir()) == []


def test_the_same_bytes_under_another_id_are_no_second_picture(server, tmp_path):
    server.shots = [Shot("a", *HERE, content=photo(9)), Shot("b", *north_of(300.0), content=photo(9))]
    report = run(server, tmp_path / "out", views_at(HERE, north_of(300.0)))
    assert (report.n_downloaded, report.n_placeholders, report.n_nothing_near) == (1, 1, 1)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (photo(3)[: len(photo(3)) // 2], "image/jpeg"),
        (b"<html><body>Rate limited</body></html>", "text/html"),
        (b"", "image/jpeg"),
        (b"GIF89a" + bytes(50), "image/gif"),
    ],
)
def test_what_is_no_picture_fails_its_view_until_the_next_run(content, kind, server, tmp_path):
    server.shots = [Shot("a", *HERE, content=content, content_type=kind), Shot("b", *north_of(500.0))]
    views = views_at(HERE, north_of(500.0))
    report = run(server, tmp_path / "out", views)
    assert list(report.failures) == ["0-0"] and "no picture, or a damaged one" in report.failures["0-0"]
    assert set(manifest(tmp_path / "out")) == {"b"}
    server.shots[0].content = None
    again = run(server, tmp_path / "out", views)
    assert again.failures == {} and set(manifest(tmp_path / "out")) == {"a", "b"}
    assert server.n_fetched == {"a": 2, "b": 1}


def test_a_damaged_picture_gives_way_to_the_next_best(server, tmp_path):
    server.shots = [Shot("bad", *HERE, content=b"nothing"), Shot("good", *north_of(10.0))]
    report = run(server, tmp_path / "out", views_at(HERE))
    assert report.failures == {} and set(manifest(tmp_path / "out")) == {"good"}


def test_dead_links_and_failed_searches_cost_only_their_views(server, tmp_path):
    server.shots = [Shot(name, *north_of(500.0 * n)) for n, name in enumerate("abc")]
    server.script["/files/a"] = [Said(404)]
    server.script["/images"] = [Said(400), Said(400)]
    views = views_at(*[north_of(500.0 * n) for n in range(-2, 3)])
    report = run(server, tmp_path / "out", views)
    assert set(report.failures) == {"0-0", "1-0", "2-0"} and "404" in report.failures["2-0"]
    assert report.n_with_picture == 2
    assert run(server, tmp_path / "out", views).n_with_picture == 3


def test_when_nothing_comes_any_more_the_run_ends(server, tmp_path):
    server.script["/images"] = [Said(400)] * 50
    with pytest.raises(
        ImageryRefused, match=r"10 times in a row nothing came; the last time: 127.0.0.1 answered 400"
    ):
        run(server, tmp_path / "out", views_at(*[north_of(100.0 * n) for n in range(30)]))
    assert len(server.asked) == 10


def test_failures_among_successes_do_not_end_a_run(server, tmp_path):
    places = [north_of(500.0 * n) for n in range(15)]
    server.shots = [
        Shot(f"s{n}", *place, content=None if n % 5 == 4 else b"bad") for n, place in enumerate(places)
    ]
    report = run(server, tmp_path / "out", views_at(*places))
    assert (len(report.failures), report.n_with_picture, report.n_left) == (12, 3, 0)


def test_a_refused_key_ends_the_run_and_what_is_there_is_listed(server, tmp_path):
    server.shots = [Shot("a", *HERE), Shot("b", *north_of(500.0))]
    views = views_at(HERE, north_of(500.0))
    run(server, tmp_path / "out", views, max_pictures=1)
    server.script["/images"] = [Said(403)]
    with pytest.raises(ImageryRefused, match="does not take this key"):
        run(server, tmp_path / "out", views)
    assert set(manifest(tmp_path / "out")) == {"a"}


# --- limits --------------------------------------------------------------------------------------


def five(server: StandIn) -> list[View]:
    places = [north_of(500.0 * n) for n in range(5)]
    server.shots = [Shot(f"s{n}", *place) for n, place in enumerate(places)]
    return views_at(*places)


def test_so_many_pictures_are_in_the_folder_at_most_over_all_runs(server, tmp_path):
    views = five(server)
    report = run(server, tmp_path / "out", views, max_pictures=2)
    assert (report.stopped_by, report.n_pictures, report.n_left) == ("--max-pictures", 2, 3)
    assert run(server, tmp_path / "out", views, max_pictures=2).n_downloaded == 0
    report = run(server, tmp_path / "out", views)
    assert (report.stopped_by, report.n_pictures, report.n_left) == ("", 5, 0)
    assert max(server.n_fetched.values()) == 1


def test_a_limit_cuts_all_areas_short_alike(server, tmp_path):
    views = five(server)
    areas = [View(**(vars(view) | {"sub_area": "big" if n < 4 else "small"})) for n, view in enumerate(views)]
    report = run(server, tmp_path / "out", areas, max_pictures=3)
    assert report.per_area == {("R", "big"): 2, ("R", "small"): 1}


def test_no_more_bytes_than_allowed_come_to_the_disk(server, tmp_path):
    views = five(server)
    most = len(photo(0)) + len(photo(1)) + 10
    report = run(server, tmp_path / "out", views, max_bytes=most)
    on_disk = sum(path.stat().st_size for path in (tmp_path / "out" / "pictures").iterdir())
    assert (report.stopped_by, report.n_pictures) == ("--max-bytes", 2) and on_disk <= most
    assert report.failures == {}


def test_a_picture_larger_than_any_is_a_failure(server, tmp_path, monkeypatch):
    monkeypatch.setattr(imagery, "PICTURE_BYTES", 100)
    report = run(server, tmp_path / "out", five(server)[:1])
    assert "more than" in report.failures["0-0"] and report.stopped_by == ""


def test_no_more_is_spent_than_allowed(server, tmp_path):
    views = five(server)
    provider = StreetView(GOOGLE_KEY, base_url=server.url)
    budget = Budget(max_cost=0.021)
    try:
        report = fetch(views, provider, tmp_path / "out", reach=Reach(), budget=budget)
    finally:
        provider.close()
    n_paid = sum(one.path == "/maps/api/streetview" for one in server.asked)
    assert (report.stopped_by, n_paid) == ("--max-cost", 3) and report.cost == pytest.approx(0.021)
    month = {item.payload["captured_month"] for item in list_source(tmp_path / "out" / "manifest.csv")}
    assert month == {"2019-05"}
    table = csv.DictReader((tmp_path / "out" / "manifest.csv").read_text().splitlines())
    assert {row["captured_at"] for row in table} == {""}  # nobody told the day


# --- whatever ends a run -------------------------------------------------------------------------

CASE = """
from pathlib import Path
from placeprint.indexer.imagery import Budget, fetch
from placeprint.indexer.imagery_choice import Reach
from placeprint.indexer.imagery_providers import mapillary
from placeprint.indexer.imagery_views import read_views

mapillary.PAUSE_S = 0.0

def case(url, token, plan, out):
    views = read_views(Path(plan))
    begin()
    provider = mapillary.Mapillary(token, base_url=url)
    fetch(views, provider, Path(out), reach=Reach(), budget=Budget())
"""


@pytest.mark.parametrize("n_kills", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_a_kill_at_any_moment_costs_at_most_one_picture(n_kills, server, tmp_path):
    places = [north_of(500.0 * n) for n in range(40)]
    server.shots = [Shot(f"s{n}", *place) for n, place in enumerate(places)]
    server.delay_s = 0.01
    rows = "\n".join(f"v{n},{lon!r},{lat!r}" for n, (lon, lat) in enumerate(places))
    (tmp_path / "plan.csv").write_text(f"id,lon,lat\n{rows}\n")
    words = (server.url, TOKEN, str(tmp_path / "plan.csv"), str(tmp_path / "out"))
    moments, n_killed = random.Random(5), 0
    with Forked(CASE) as fetching:
        for _ in range(n_kills):
            end = fetching.run(*words, kill_after_s=moments.uniform(0.05, 3.0 / n_kills))
            assert end in (0, -signal.SIGKILL)
            n_killed += end != 0
        assert fetching.run(*words) == 0
    assert n_killed > 0 and set(manifest(tmp_path / "out")) == {f"s{n}" for n in range(40)}
    assert sum(server.n_fetched.values()) <= 40 + n_killed and max(server.n_fetched.values()) <= 1 + n_killed
    kept = {path.name for path in (tmp_path / "out" / "pictures").glob("*.jpg")}
    assert kept == {f"{file_stem(f's{n}')}.jpg" for n in range(40)}


def test_a_torn_line_is_cut_off_and_fetched_again(server, tmp_path):
    views = five(server)
    run(server, tmp_path / "out", views)
    ledger = tmp_path / "out" / "ledger.jsonl"
    *lines, _, _ = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines) + b'{"id": "s4", "fate": "ke')
    report = run(server, tmp_path / "out", views)
    assert report.n_downloaded == 1 and set(manifest(tmp_path / "out")) == {f"s{n}" for n in range(5)}
    assert all(json.loads(line) for line in ledger.read_text().splitlines())


def test_a_file_that_is_gone_is_fetched_again(server, tmp_path):
    views = five(server)
    run(server, tmp_path / "out", views)
    next((tmp_path / "out" / "pictures").glob("s2-*")).unlink()
    assert run(server, tmp_path / "out", views).n_downloaded == 1
    assert len(manifest(tmp_path / "out")) == 5


def test_another_plan_provider_or_reach_is_another_folder(server, tmp_path):
    views = five(server)
    run(server, tmp_path / "out", views)
    with pytest.raises(AnotherRun, match=r"radius_m was 50.0, now 60.0\); choose another --out"):
        run(server, tmp_path / "out", views, Reach(radius_m=60.0))
    with pytest.raises(AnotherRun, match="plan was"):
        run(server, tmp_path / "out", views[1:])
    with pytest.raises(AnotherRun, match="plan was"):
        run(server, tmp_path / "out", views_at(*[north_of(500.0 * n) for n in range(5)], headings=(1.0,)))
    with pytest.raises(AnotherRun, match="plan was"):
        run(server, tmp_path / "out", [View(**(vars(view) | {"region": "Q"})) for view in views])


@pytest.mark.parametrize("content", [b"5\n", b'{"format": 1}\n{"id": 3}\n', b"no json\n", b"\xff\xfe\n"])
def test_an_edited_ledger_is_refused(content, server, tmp_path):
    views = five(server)
    run(server, tmp_path / "out", views)
    ledger = tmp_path / "out" / "ledger.jsonl"
    head = ledger.read_bytes().splitlines(keepends=True)[0]
    ledger.write_bytes(head + content.removeprefix(b'{"format": 1}\n'))
    with pytest.raises(DamagedLedger, match="edited or damaged"):
        run(server, tmp_path / "out", views)


def test_two_processes_do_not_fetch_into_one_folder(server, tmp_path):
    views = five(server)
    server.delay_s = 0.5
    first = threading.Thread(target=run, args=(server, tmp_path / "out", views[:1]))
    first.start()
    while not server.asked:
        pass
    with pytest.raises(UnwritableFile, match="another process is fetching"):
        run(server, tmp_path / "out", views)
    first.join()


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableFile, match="cannot be written to"):
        run(server, tmp_path / "file" / "out", five(server))


def test_a_full_disk_is_named_and_the_next_run_goes_on(server, tmp_path, monkeypatch):
    views, whole = five(server), imagery_ledger.write_atomically

    def full(path, content):
        if path.suffix == ".jpg" and "s2-" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(imagery_ledger, "write_atomically", full)
        with pytest.raises(UnwritableFile, match=r"No space left on device.* are kept"):
            run(server, tmp_path / "out", views)
    assert set(manifest(tmp_path / "out")) == {"s0", "s1"}
    run(server, tmp_path / "out", views)
    assert server.n_fetched == {"s0": 1, "s1": 1, "s2": 2, "s3": 1, "s4": 1}


# --- what is stored ------------------------------------------------------------------------------


def test_no_key_and_no_passing_address_is_in_any_file(server, tmp_path):
    views = five(server)
    server.script["/files/s1"] = [Said(404)]
    run(server, tmp_path / "one", views)
    provider = StreetView(GOOGLE_KEY, signing_secret="c2VjcmV0LXNlY3JldA==", base_url=server.url)
    try:
        fetch(views, provider, tmp_path / "two", reach=Reach(), budget=Budget())
    finally:
        provider.close()
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    for secret in (TOKEN, GOOGLE_KEY, "signature", "signed=", "c2VjcmV0"):
        assert not any(secret.encode() in content for content in files)


def test_files_stay_as_they_were_delivered(server, tmp_path):
    server.shots = [Shot("a", *HERE, content=photo(1, format="PNG"), content_type="image/png")]
    run(server, tmp_path / "out", views_at(HERE))
    (path,) = (tmp_path / "out" / "pictures").iterdir()
    assert path.read_bytes() == photo(1, format="PNG") and path.suffix == ".png"


def test_names_of_files_are_safe_and_never_the_same():
    ids = ["../../etc/passwd", "aB", "Ab", "a@90.0", "a@9.00", "x" * 500, "", "街"]
    stems = [file_stem(id) for id in ids]
    assert len({stem.lower() for stem in stems}) == len(ids)
    assert all(len(stem) <= 60 and "/" not in stem and "." not in stem for stem in stems)


def test_photos_of_fog_and_night_are_no_placeholders(rng):
    haze = np.linspace(180, 215, 200)[:, None, None] + rng.normal(0.0, 3.0, (200, 300, 3))
    night = np.clip(rng.gamma(0.3, 30.0, (200, 300, 3)), 0, 255)
    for pixels in (haze, night):
        assert why_no_photo(Image.fromarray(pixels.astype(np.uint8))) == ""
    assert why_no_photo(Image.fromarray(rng.normal(90.0, 2.0, (200, 300, 3)).astype(np.uint8))) == "blank"
