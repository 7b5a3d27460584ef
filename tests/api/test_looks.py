"""Lists, maps and pictures have places of their own, and whoever waits too long for one is told so."""

import asyncio
import threading
from pathlib import Path

import httpx
import pytest
from served import TRIPS, is_problem, make_gallery, open_service, settings_at

from placeprint.api.app import create_app
from placeprint.api.serving.looks import Looks
from placeprint.api.serving.refusals import Busy, DeadlinePassed


def test_more_than_fit_are_sent_away_and_places_come_free() -> None:
    async def look() -> None:
        looks = Looks(2, within_s=5.0)
        async with looks.admitted(), looks.admitted():
            with pytest.raises(Busy):
                async with looks.admitted():
                    pass
        async with looks.admitted():
            assert looks.n_inside == 1
        assert looks.n_inside == 0

    asyncio.run(look())


def test_who_waits_too_long_is_sent_away() -> None:
    async def look() -> None:
        looks = Looks(2, within_s=0.01)
        with pytest.raises(DeadlinePassed):
            async with looks.admitted():
                await asyncio.sleep(5.0)
        assert looks.n_inside == 0

    asyncio.run(look())


PATHS = (
    "/v1/galleries", TRIPS, f"{TRIPS}/photos", f"{TRIPS}/facets/city", f"{TRIPS}/h3",
    f"{TRIPS}/tiles/0/0/0.mvt",
)  # fmt: skip


def test_while_the_store_is_stuck_few_wait_and_nobody_forever(tmp_path: Path) -> None:
    """And those who have given up are out of the queue: nothing is done for them any more."""
    settings = settings_at(make_gallery(tmp_path), max_looking=4, deadline_s=0.5, precision="exact")
    service = open_service(settings)
    app = create_app(settings, service)
    app.state.service = service
    stuck, n_pages = threading.Event(), 0
    gallery = service.galleries["trips"]
    photos = gallery.photos

    def counted(*args: object) -> object:
        nonlocal n_pages
        n_pages += 1
        return photos(*args)  # type: ignore[arg-type]

    gallery.photos = counted  # type: ignore[method-assign,assignment]
    held = service._store.submit(stuck.wait)

    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answers = await asyncio.gather(*(client.get(f"{TRIPS}/photos") for _ in range(10)))
            said = [answer.json()["type"].rsplit(":", 1)[1] for answer in answers]
            assert all(is_problem(answer, 503) and answer.headers["Retry-After"] for answer in answers)
            assert said.count("DeadlinePassed") == 4 and said.count("Busy") == 6
            for path in PATHS:
                assert is_problem(await client.get(path), 503), path
            assert (await client.get("/healthz")).status_code == 200
            stuck.set()
            for path in PATHS:
                assert (await client.get(path)).status_code == 200, path

    try:
        asyncio.run(ask())
    finally:
        stuck.set()
        held.result()
        service.close()
    assert n_pages == 1
