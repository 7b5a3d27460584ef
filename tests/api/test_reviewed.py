"""Faults that were found once, each as a test: what was asked, and what must not come of it again."""

import asyncio
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastapi
import numpy as np
import pytest
from fakes import ColorEncoder, record
from PIL import Image
from served import (
    JPEG,
    PLACES,
    TRIPS,
    Serve,
    is_problem,
    make_gallery,
    open_service,
    picture,
    serving,
    settings_at,
)

from placeprint.api.serving.door import Door
from placeprint.api.serving.keys import KeyRing
from placeprint.api.serving.precision import coarse_lonlat
from placeprint.encoders.sphere import great_circle_km
from placeprint.indexer.gallery import Gallery

SEARCH = f"{TRIPS}/search"
KEY = {"Content-Type": "application/json"}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with serving() as start:
        yield lambda **given: start(make_gallery(tmp_path), **given)


def test_under_25_km_no_radius_finds_a_photo_by_its_edge(serve: Serve) -> None:
    """Circles by which the exact distance could be halved down give the same answer all along."""
    client = serve(precision="25km")
    # Around the center of a photo's cell: by it the photo lies in every circle, by its place in the larger.
    place = np.array(PLACES["red"])
    lon, lat = coarse_lonlat(place[None], "25km")[0].tolist()
    exact_km = float(great_circle_km(place, np.array([lon, lat])))
    answers = set()
    for radius_km in np.linspace(exact_km - 0.5, exact_km + 0.5, 5):
        within = {"kind": "circle", "lon": lon, "lat": lat, "radius_km": float(radius_km)}
        for asked in (
            {}, {"queries": [{"location": {"lon": lon, "lat": lat}}]},
            {"queries": [{"text": "red"}], "prefer_near": {"lon": lon, "lat": lat}},
            {"queries": [{"text": "red"}]},
        ):  # fmt: skip
            found = client.post(SEARCH, json={**asked, "filter": {"within": within}, "limit": 12}).json()
            assert found["n_matches"] is None
            answers.add((json.dumps(asked), tuple(sorted(one["id"] for one in found["neighbors"]))))
    assert len(answers) == 4  # one for each way of asking


def test_under_25_km_pages_of_the_nearest_photos_join_to_the_whole(tmp_path: Path) -> None:
    encoder = ColorEncoder()
    rng = np.random.default_rng(2)
    with Gallery.create("trips", encoder.fingerprint, settings=settings_at(tmp_path)) as gallery:
        vector = encoder.embed_texts(["red"])[0]
        places = rng.normal([10.0, 50.0], 0.3, (300, 2))
        gallery.add(
            [record(str(i), vector, lon=lon, lat=lat) for i, (lon, lat) in enumerate(places.tolist())]
        )
    with serving() as start:
        client, found, offset = start(tmp_path, precision="25km"), [], 0
        while offset is not None:
            asked = {"queries": [{"location": {"lon": 10.1, "lat": 50.1}}], "limit": 50, "offset": offset}
            page = client.post(SEARCH, json=asked).json()
            found += [one["id"] for one in page["neighbors"]]
            offset = page["next_offset"]
        assert len(found) == len(set(found)) == 300


@pytest.mark.parametrize("cap", ["country", "region"])
def test_the_time_of_a_photo_does_not_find_its_cell(serve: Serve, cap: str) -> None:
    client = serve(precision=cap)
    for asked in ({"captured_from": "2018-01-01"}, {"captured_until": "2018-01-01"}, {"where": "year=2018"}):
        assert is_problem(client.get(f"{TRIPS}/h3", params=asked), 403)
    assert client.get(f"{TRIPS}/h3").status_code == 200


@pytest.mark.parametrize("name", ["_h3_3", "_captured_at", "_place", "_group", "", 'a"b', "a b", "x" * 201])
def test_a_name_that_is_ours_or_none_is_refused_in_a_payload(serve: Serve, name: str) -> None:
    client = serve(precision="exact")
    params = {"payload": json.dumps({name: "zzz"})}
    assert is_problem(
        client.post(f"{TRIPS}/photos", params=params, content=picture("red"), headers=JPEG), 422
    )
    assert client.get(f"{TRIPS}/h3").status_code == 200


def test_a_gallery_whose_table_had_such_names_is_served_all_the_same(tmp_path: Path) -> None:
    encoder, names = (
        ColorEncoder(),
        {"_h3_3": "zzz", "_captured_at": "x", "_place": "x", "": 1, 'a"b': 2, "a b": 3},
    )
    with Gallery.create("trips", encoder.fingerprint, settings=settings_at(tmp_path)) as gallery:
        gallery.add([record("a.jpg", encoder.embed_texts(["red"])[0], payload=json.dumps(names))])
    with serving() as start:
        client = start(tmp_path, precision="exact")
        for path in ("/v1/galleries", f"{TRIPS}/h3", f"{TRIPS}/photos"):
            assert client.get(path).status_code == 200


def test_a_tangled_polygon_is_refused_at_once_and_a_bow_tie_is_not(serve: Serve) -> None:
    client = serve(precision="exact")
    rng = np.random.default_rng(0)
    ring = np.column_stack([rng.uniform(-100, 100, 150), rng.uniform(-80, 80, 150)]).tolist()
    started = time.perf_counter()
    polygon = {"kind": "polygon", "geojson": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}}
    answer = client.post(SEARCH, json={"filter": {"within": polygon}})
    assert is_problem(answer, 422) and "simplify" in answer.json()["detail"]
    assert time.perf_counter() - started < 2.0
    tie = [[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]
    crossing = [[170, -10], [-170, -10], [-170, 10], [170, 10], [170, -10]]
    for good in (tie, crossing):
        polygon["geojson"] = {"type": "Polygon", "coordinates": [good]}
        assert client.post(SEARCH, json={"filter": {"within": polygon}}).status_code == 200


def test_without_a_key_a_body_is_not_even_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = KeyRing(make_gallery(tmp_path) / "keys.json")
    made = ring.create("museum", "read")
    with serving() as start:
        client = start(tmp_path)
        parsed: list[bytes] = []
        json_of = fastapi.Request.json

        async def noting(self: fastapi.Request) -> Any:
            parsed.append(await self.body())
            return await json_of(self)

        monkeypatch.setattr(fastapi.Request, "json", noting)
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": made}):
            assert client.post(SEARCH, content=b"[]", headers={**KEY, **headers}).status_code == 401
        assert parsed == []
        shown = {**KEY, "Authorization": f"Bearer {made}"}
        assert client.post(SEARCH, content=b"{}", headers=shown).status_code == 200
        assert parsed == [b"{}"]


def test_revoking_the_last_key_opens_nothing(tmp_path: Path) -> None:
    ring = KeyRing(make_gallery(tmp_path) / "keys.json")
    ring.create("only", "admin")
    with serving() as start:
        client = start(tmp_path)
        ring.revoke("only")
        assert is_problem(client.get("/v1/galleries"), 401)


@pytest.mark.parametrize(
    "host", ["evil.com@localhost", "[", "a b", "evil.com/@localhost", "localhost.evil.com", ""]
)
def test_a_host_that_only_looks_like_this_machine_is_foreign(serve: Serve, host: str) -> None:
    assert is_problem(serve().get("/v1/galleries", headers={"Host": host}), 421)


def test_no_error_names_a_path_of_the_server(tmp_path: Path) -> None:
    make_gallery(tmp_path)
    (tmp_path / "file").write_text("")
    with serving() as start:
        client = start(tmp_path, audit_log=tmp_path / "file" / "audit.jsonl")
        answer = client.post(f"{TRIPS}/geolocate", content=picture("red"), headers=JPEG)
        assert is_problem(answer, 503) and str(tmp_path) not in answer.text


def test_uploads_bring_what_is_known_of_a_gallery_up_to_date(tmp_path: Path) -> None:
    encoder = ColorEncoder()
    Gallery.create("trips", encoder.fingerprint, encoder="color", settings=settings_at(tmp_path)).close()
    with serving() as start:
        client = start(tmp_path, precision="exact")
        for i in range(22):
            file = io.BytesIO()
            Image.new("RGB", (32, 32), (10 * i, 255 - 10 * i, 90)).save(file, "PNG")
            params = {"lon": i, "lat": i}
            assert (
                client.post(
                    f"{TRIPS}/photos", params=params, content=file.getvalue(), headers=JPEG
                ).status_code
                == 200
            )
        end = time.monotonic() + 60
        while not client.get(TRIPS).json()["can_locate"]:
            assert time.monotonic() < end
            time.sleep(0.05)
        found = client.post(SEARCH, json={"queries": [{"text": "red"}]}).json()["neighbors"]
        assert found[0]["z_score"] is not None


def test_a_gallery_is_deleted_while_somebody_reads_slowly(serve: Serve) -> None:
    client = serve(precision="exact")
    served = client.app.state.service.gallery("trips")  # type: ignore[attr-defined]
    listing = client.get(f"{TRIPS}/photos")
    assert listing.status_code == 200 and served.n_users == 0
    done = threading.Thread(target=lambda: client.delete(TRIPS, params={"confirm": "trips"}))
    done.start()
    done.join(30)
    assert not done.is_alive() and is_problem(client.get(TRIPS), 404)


def test_one_gallery_that_breaks_in_an_unforeseen_way_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("trips", "odd"):
        make_gallery(tmp_path, name)
    opened = Gallery.open.__func__  # type: ignore[attr-defined]

    def breaking(cls: Any, name: str, **more: Any) -> Gallery:
        if name == "odd":
            raise ValueError("nobody thought of this")
        return opened(cls, name, **more)  # type: ignore[no-any-return]

    monkeypatch.setattr(Gallery, "open", classmethod(breaking))
    service = open_service(settings_at(tmp_path))
    try:
        assert list(service.galleries) == ["trips"] and service.n_unavailable == 1
    finally:
        service.close()


def test_bodies_that_are_too_much_together_are_sent_away() -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": bytes(600), "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/", "headers": [(b"host", b"127.0.0.1")], "scheme": "http",
        "server": ("127.0.0.1", 80), "query_string": b"", "root_path": "", "http_version": "1.1",
    }  # fmt: skip
    door = Door(app, max_body_bytes=10_000, max_bytes_inside=1_000)
    asyncio.run(door(scope, receive, send))
    assert sent[0]["status"] == 503 and door._inside.n_bytes == 0
