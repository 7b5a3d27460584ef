"""Each provider's documented form, spoken with a server that speaks it too.

Claims: what an answer tells of a picture arrives under the right names; lists that come in pages come
whole, and crowded or wide boxes are asked about in parts; circles across the antimeridian and around a
pole are asked about in boxes that end there; refusals end the run, other strange answers are
errors, strange rows are passed over; Google's signature is the one of its documentation; keys come
from the environment, and without one the message says where to get it.
"""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from imagery_fakes import GOOGLE_KEY, SIGNING_SECRET, TOKEN, Said, Shot, StandIn, photo

from placeprint.encoders.errors import ImageryRefused, InvalidOption, NoImagery
from placeprint.encoders.sphere import destination, great_circle_km
from placeprint.indexer import imagery_http
from placeprint.indexer.imagery_providers import kartaview, mapillary, panoramax, street_view
from placeprint.indexer.imagery_providers.catalog import TERMS, open_provider
from placeprint.indexer.imagery_providers.kartaview import KartaView
from placeprint.indexer.imagery_providers.mapillary import Mapillary
from placeprint.indexer.imagery_providers.panoramax import Panoramax
from placeprint.indexer.imagery_providers.provider import Found, boxes_around
from placeprint.indexer.imagery_providers.street_view import StreetView, signature_of

HERE = (139.7, 35.6)
SEARCHES = {
    "mapillary": "/images", "kartaview": "/2.0/photo/", "panoramax": "/api/search",
    "street-view": "/maps/api/streetview/metadata",
}  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (kartaview, mapillary, panoramax, street_view):
        monkeypatch.setattr(module, "PAUSE_S", 0.0)
    monkeypatch.setattr(imagery_http, "FIRST_BACKOFF_S", 0.001)


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn([Shot("a", *HERE, heading=75.0)]) as stand_in:
        yield stand_in


@pytest.fixture
def closed() -> Iterator[ExitStack]:
    """Closes what is entered into it when the test ends."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def provider(server: StandIn, closed: ExitStack) -> Callable[[str], Any]:
    """Opens a provider whose servers are the stand-in."""
    opens = {
        "mapillary": lambda: Mapillary(TOKEN, base_url=server.url),
        "kartaview": lambda: KartaView(base_url=server.url),
        "panoramax": lambda: Panoramax(base_url=server.url),
        "street-view": lambda: StreetView(GOOGLE_KEY, base_url=server.url),
    }
    return lambda name: closed.enter_context(closing(opens[name]()))


def test_mapillary_tells_the_computed_place_and_heading(server, provider):
    (found,) = provider("mapillary").find(HERE, 50.0)
    assert found == Found(
        id="a", lon=139.7, lat=35.6, heading_deg=75.0, captured="2018-10-01T12:00:00+00:00",
        sequence="drive-1", attribution="ana, Mapillary", licence="CC-BY-SA-4.0",
        page_url="https://www.mapillary.com/app/?pKey=a",
        picture_url=f"{server.url}/files/a?signed=for-a-while",
    )  # fmt: skip
    (asked,) = server.asked
    assert asked.headers["Authorization"] == f"OAuth {TOKEN}" and TOKEN not in str(asked.query)
    west, south, east, north = map(float, asked.query["bbox"].split(","))
    assert (north - south) * 111.195 == pytest.approx(0.1, rel=1e-3)
    assert (east - west) * 111.195 * 0.8131 == pytest.approx(0.1, rel=1e-3)  # the cosine of 35.6 degrees
    assert ((west + east) / 2, (south + north) / 2) == pytest.approx(HERE)


def test_mapillary_without_computed_values_tells_those_of_the_device(server, provider):
    row = {"id": 7, "geometry": {"coordinates": [1.0, 2.0]}, "compass_angle": 361.0, "thumb_1024_url": "u"}
    server.script["/images"] = [Said(body=json.dumps({"data": [row]}).encode())]
    (found,) = provider("mapillary").find(HERE, 50.0)
    assert (found.lon, found.lat, found.heading_deg, found.captured) == (1.0, 2.0, 1.0, "")
    assert found.attribution == "a contributor, Mapillary"


def test_kartaview_tells_numbers_and_the_author(server, provider):
    (found,) = provider("kartaview").find(HERE, 50.4)
    assert (found.lon, found.lat, found.heading_deg) == (139.7, 35.6, 75.0)
    assert (found.sequence, found.attribution, found.licence) == ("42", "bo, KartaView", "CC-BY-SA-4.0")
    assert found.captured == "2018-10-01T12:00:00+00:00"
    assert found.page_url == "https://kartaview.org/details/42/3/track-info"
    query = server.asked[0].query
    assert (query["lat"], query["lng"], query["radius"]) == ("35.6000000", "139.7000000", "50")


def test_panoramax_tells_each_picture_s_own_licence(server, provider):
    (found,) = provider("panoramax").find(HERE, 50.0)
    assert (found.lon, found.lat, found.heading_deg) == (139.7, 35.6, 75.0)
    assert (found.sequence, found.attribution, found.licence) == ("walk-9", "cy, Panoramax", "etalab-2.0")
    assert found.page_url == f"{server.url}/api/items/a" and not found.is_panorama
    assert urlsplit(found.picture_url).path == "/files/a"


def test_street_view_asks_latitude_first_and_draws_any_heading(server, provider):
    view = provider("street-view")
    (found,) = view.find(HERE, 50.0)
    assert server.asked[0].query["location"] == "35.6000000,139.7000000"
    assert server.asked[0].query["source"] == "outdoor"
    assert (found.lon, found.lat, found.captured, found.attribution) == (139.7, 35.6, "2019-05", "© Google")
    east = found.facing(90.0)
    assert (east.id, east.heading_deg) == ("a@90.0", 90.0) and found.facing(None).id == "a@0.0"
    assert view.download(east, 1 << 20) != view.download(found.facing(270.0), 1 << 20)
    drawn = server.asked[1].query
    assert (drawn["pano"], drawn["heading"], drawn["return_error_code"]) == ("a", "90.0", "true")
    assert GOOGLE_KEY not in repr(found)
    assert view.cost(1000) == pytest.approx(7.0)
    assert view.find((0.0, 0.0), 50.0) == []


def test_google_s_signature_is_that_of_its_documentation(server):
    asked = "/maps/api/geocode/json?address=New+York&client=clientID"
    assert signature_of(asked, base64.urlsafe_b64decode(SIGNING_SECRET)) == "chaRF2hTJKOScPr-RQCEhZbSzIE="
    signed = StreetView(GOOGLE_KEY, signing_secret=SIGNING_SECRET, base_url=server.url)
    with closing(signed):
        signed.find(HERE, 50.0)
    assert len(server.asked[0].query["signature"]) == 28
    with pytest.raises(InvalidOption, match="SIGNING_SECRET is no URL-safe base64") as raised:
        StreetView(GOOGLE_KEY, signing_secret="abc")
    assert "abc" not in str(raised.value)


@pytest.mark.parametrize("name", ["kartaview", "panoramax"])
def test_lists_in_pages_come_whole(name, server, monkeypatch, provider):
    server.shots = [Shot(f"s{n}", HERE[0], HERE[1] + n * 1e-6) for n in range(25)]
    server.page = 10
    monkeypatch.setattr(kartaview, "PAGE", 10)
    found = provider(name).find(HERE, 50.0)
    assert [one.id for one in found] == [f"s{n}" for n in range(25)]
    assert len(server.asked) == 3


@pytest.mark.parametrize("name", ["kartaview", "panoramax"])
def test_a_list_without_end_is_read_for_a_while(name, server, monkeypatch, provider):
    monkeypatch.setattr(kartaview, "MAX_PAGES", 3)
    monkeypatch.setattr(panoramax, "MAX_PAGES", 3)
    monkeypatch.setattr(kartaview, "PAGE", 1)
    server.shots = [Shot(f"s{n}", *HERE) for n in range(9)]
    server.page = 1
    assert len(provider(name).find(HERE, 50.0)) == len(server.asked) == 3


def test_a_crowded_box_of_mapillary_is_asked_about_in_quarters(server, monkeypatch, provider):
    monkeypatch.setattr(mapillary, "LIMIT", 10)
    lonlat = [destination(np.array(HERE), 14.4 * n, 0.002 * n) for n in range(25)]
    server.shots = [Shot(f"s{n}", *map(float, place)) for n, place in enumerate(lonlat)]
    found = provider("mapillary").find(HERE, 100.0)
    assert sorted(one.id for one in found) == sorted(f"s{n}" for n in range(25))
    assert len(server.asked) > 4


def test_a_box_that_stays_crowded_ends(server, monkeypatch, provider):
    monkeypatch.setattr(mapillary, "LIMIT", 3)
    server.shots = [Shot(f"s{n}", *HERE) for n in range(9)]
    assert len(provider("mapillary").find(HERE, 20.0)) == 3
    assert 4 < len(server.asked) < 30


@pytest.mark.parametrize("name", ["mapillary", "panoramax"])
@pytest.mark.parametrize("point", [(180.0, -16.8), (-180.0, -16.8), (25.0, 90.0), (0.0, -89.9999)])
def test_the_antimeridian_and_the_poles_are_ordinary_places(name, point, server, provider):
    center = np.array(point)
    around = [destination(center, bearing, 0.04) for bearing in (0.0, 90.0, 180.0, 270.0)]
    server.shots = [Shot(f"s{n}", *map(float, place)) for n, place in enumerate(around)]
    assert {one.id for one in provider(name).find(point, 50.0)} == {"s0", "s1", "s2", "s3"}


@pytest.mark.parametrize("lat", [0.0, 60.0, -89.9, 90.0])
def test_boxes_hold_their_circle(lat):
    center = np.array([179.999, lat])
    boxes = boxes_around((179.999, lat), 500.0)
    assert all(
        -180.0 <= west < east <= 180.0 and -90.0 <= south < north <= 90.0
        for west, south, east, north in boxes
    )
    for bearing in range(0, 360, 7):
        lon, at = destination(center, float(bearing), 0.4999)
        assert any(west <= lon <= east and south <= at <= north for west, south, east, north in boxes)
    if abs(lat) < 80.0:
        corner = np.array([boxes[0][0], lat])
        assert great_circle_km(center, corner) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "answer", "word"),
    [
        ("kartaview", {"status": {"apiCode": 401}}, "logged in"),
        ("street-view", {"status": "REQUEST_DENIED", "error_message": "bad key"}, "REQUEST_DENIED"),
        ("street-view", {"status": "OVER_QUERY_LIMIT"}, "OVER_QUERY_LIMIT"),
    ],
)
def test_refusals_within_an_answer_end_the_run(name, answer, word, server, provider):
    server.script[SEARCHES[name]] = [Said(body=json.dumps(answer).encode())]
    with pytest.raises(ImageryRefused, match=word):
        provider(name).find(HERE, 50.0)


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize(
    "answer", ["[]", "{}", '{"data": 1}', '"x"', '{"status": "OK"}', '{"status": {"apiCode": 600}}']
)
def test_other_strange_answers_are_errors(name, answer, server, provider):
    server.script[SEARCHES[name]] = [Said(body=answer.encode())]
    with pytest.raises(NoImagery, match="answered"):
        provider(name).find(HERE, 50.0)


@pytest.mark.parametrize(
    "row", [None, 5, {}, {"id": "x"}, {"id": "x", "geometry": 3}, {"lat": "a", "lng": "b"}]
)
@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("mapillary", lambda row: {"data": [row]}),
        ("kartaview", lambda row: {"status": {"apiCode": 600}, "result": {"data": [row]}}),
        ("panoramax", lambda row: {"features": [row]}),
    ],
)
def test_strange_rows_are_passed_over(name, wrap, row, server, provider):
    server.script[SEARCHES[name]] = [Said(body=json.dumps(wrap(row)).encode())]
    assert provider(name).find(HERE, 50.0) == []


def test_a_picture_nowhere_on_earth_is_passed_over(server, provider):
    rows = [
        {"id": lat, "geometry": {"coordinates": [1.0, lat]}, "thumb_1024_url": "u"} for lat in (95.0, 9.0)
    ]
    server.script["/images"] = [Said(body=json.dumps({"data": rows}).encode())]
    assert [one.lat for one in provider("mapillary").find(HERE, 50.0)] == [9.0]


@pytest.mark.parametrize("name", ["mapillary", "kartaview", "panoramax"])
def test_a_file_is_downloaded_without_any_key(name, server, provider):
    opened = provider(name)
    (found,) = opened.find(HERE, 50.0)
    assert opened.download(found, 1 << 20) == photo(0)
    assert "Authorization" not in server.asked[-1].headers and opened.cost(5) == 0.0


@pytest.mark.parametrize("name", ["mapillary", "kartaview", "panoramax"])
def test_files_elsewhere_are_not_asked_for(name, server, provider):
    server.files_host = "https://metadata.internal"
    opened = provider(name)
    (found,) = opened.find(HERE, 50.0)
    with pytest.raises(NoImagery, match="not one of the provider's hosts"):
        opened.download(found, 1 << 20)


@pytest.mark.parametrize("name", ["mapillary", "kartaview", "panoramax"])
def test_panoramas_are_told(name, server, provider):
    server.shots = [Shot("all-round", *HERE, is_panorama=True), Shot("flat", *HERE)]
    told = {one.id: one.is_panorama for one in provider(name).find(HERE, 50.0)}
    assert told == {"all-round": True, "flat": False}


def test_a_wrong_token_is_named_and_not_shown(server, closed):
    wrong = closed.enter_context(closing(Mapillary("MLY|wrong", base_url=server.url)))
    with pytest.raises(ImageryRefused, match="does not take this key") as raised:
        wrong.find(HERE, 50.0)
    assert "MLY" not in str(raised.value)


# --- the catalog ---------------------------------------------------------------------------------


def test_every_provider_says_its_terms():
    assert list(TERMS) == ["mapillary", "kartaview", "panoramax", "street-view"]
    assert [name for name, terms in TERMS.items() if terms.needs_permission] == ["street-view"]
    assert all(terms.url.startswith("https://") for terms in TERMS.values())


def test_keys_come_from_the_environment(monkeypatch, server, closed):
    monkeypatch.setenv("PLACEPRINT_MAPILLARY_TOKEN", f" {TOKEN}\n")
    monkeypatch.setenv("PLACEPRINT_GOOGLE_MAPS_KEY", GOOGLE_KEY)
    monkeypatch.setenv("PLACEPRINT_GOOGLE_MAPS_SIGNING_SECRET", SIGNING_SECRET)
    for name in ("mapillary", "street-view"):
        opened = open_provider(name, base_url=server.url, is_permitted=True)
        assert closed.enter_context(closing(opened)).find(HERE, 50.0)
    assert "signature" in server.asked[-1].query


@pytest.mark.parametrize(
    ("name", "words"),
    [("mapillary", "PLACEPRINT_MAPILLARY_TOKEN"), ("street-view", "PLACEPRINT_GOOGLE_MAPS_KEY")],
)
@pytest.mark.parametrize("value", [None, " "])
def test_without_a_key_the_message_says_where_to_get_one(name, words, value, monkeypatch):
    monkeypatch.delenv(words, raising=False)
    if value is not None:
        monkeypatch.setenv(words, value)
    with pytest.raises(ImageryRefused, match=rf"get one at .* and set the variable {words}"):
        open_provider(name, is_permitted=True)


def test_without_permission_nothing_is_fetched_from_street_view(monkeypatch):
    monkeypatch.setenv("PLACEPRINT_GOOGLE_MAPS_KEY", GOOGLE_KEY)
    with pytest.raises(ImageryRefused, match=r"forbid to store .* --i-have-permission"):
        open_provider("street-view")


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("bing", {}, "there are mapillary, kartaview"),
        ("panoramax", {}, "name one with --base-url"),
        ("kartaview", {"base_url": "http://api.example"}, "must be https"),
        ("kartaview", {"base_url": "https://user:word@api.example"}, "without user, password"),
        ("kartaview", {"base_url": "https://api.example?key=hush"}, "without user, password or query"),
        ("kartaview", {"base_url": "api.example"}, "no host"),
        ("kartaview", {"picture_hosts": ("x.example",)}, "hosts are known"),
    ],
)
def test_options_that_a_provider_cannot_have_are_refused(name, options, word):
    with pytest.raises(InvalidOption, match=word) as raised:
        open_provider(name, **options)
    assert "word@" not in str(raised.value) and "hush" not in str(raised.value)
