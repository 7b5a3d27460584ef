"""Readiness is found out once a second, and tells the truth within one."""

import asyncio
import time
from pathlib import Path

import pytest
from served import is_problem, make_gallery, serving

from placeprint.api.serving.readiness import FRESH_S, Readiness
from placeprint.api.serving.refusals import NotReady


class Checked:
    """A check that counts how often it is made, and fails when it is told to."""

    def __init__(self) -> None:
        self.n_made, self.takes_s, self.is_ready = 0, 0.0, True

    async def __call__(self) -> None:
        self.n_made += 1
        await asyncio.sleep(self.takes_s)
        if not self.is_ready:
            raise NotReady("the store does not answer")


def test_who_polls_makes_no_work() -> None:
    now = [1000.0]

    async def poll() -> None:
        check = Checked()
        ready = Readiness(check, lambda: now[0])
        for _ in range(100):
            await ready.require()
        assert check.n_made == 1
        now[0] += FRESH_S
        await ready.require()
        assert check.n_made == 2

    asyncio.run(poll())


def test_those_who_ask_together_wait_for_one_check_and_hanging_up_ends_only_the_own_wait() -> None:
    async def ask() -> None:
        check = Checked()
        check.takes_s = 0.05
        ready = Readiness(check)
        first = asyncio.create_task(ready.require())
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(ready.require()) for _ in range(20)]
        first.cancel()
        await asyncio.gather(*others)
        assert check.n_made == 1 and first.cancelled()

    asyncio.run(ask())


def test_what_is_told_is_a_second_old_at_most_good_or_bad() -> None:
    now = [1000.0]

    async def ask() -> None:
        check = Checked()
        ready = Readiness(check, lambda: now[0])
        await ready.require()
        check.is_ready = False
        now[0] += FRESH_S
        for _ in range(3):
            with pytest.raises(NotReady, match="store"):
                await ready.require()
        assert check.n_made == 2  # that it is not ready is kept too
        check.is_ready = True
        now[0] += FRESH_S
        await ready.require()

    asyncio.run(ask())


def test_a_slow_check_is_as_old_as_its_beginning() -> None:
    now = [1000.0]

    async def ask() -> None:
        check = Checked()
        ready = Readiness(check, lambda: now[0])
        check.takes_s = 0.05
        waiting = asyncio.create_task(ready.require())
        await asyncio.sleep(0.001)  # it has begun
        now[0] += FRESH_S
        await waiting
        await ready.require()
        assert check.n_made == 2

    asyncio.run(ask())


def test_polling_the_service_asks_the_store_once_and_a_dead_model_is_told_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as start:
        client = start(make_gallery(tmp_path))
        service = client.app.state.service  # type: ignore[attr-defined]
        gallery, n_counted = service.galleries["trips"].gallery, 0
        count = gallery.count

        def noted() -> int:
            nonlocal n_counted
            n_counted += 1
            return int(count())

        monkeypatch.setattr(gallery, "count", noted)
        began = time.monotonic()
        for _ in range(50):
            assert client.get("/readyz").status_code == 200
        assert 1 <= n_counted <= 2 + (time.monotonic() - began) / FRESH_S
        service.worker.close()
        time.sleep(FRESH_S)
        assert is_problem(client.get("/readyz"), 503)
