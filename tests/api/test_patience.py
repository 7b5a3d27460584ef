"""Work that can wait lets searches go first, and is done nevertheless."""

import asyncio

from placeprint.api.serving.patience import Patience


def run(n_jobs: int, searches: list[int]) -> list[int]:
    """How many jobs were inside when each came in; a number in `searches` is how many search."""

    async def main() -> list[int]:
        patience = Patience(lambda: searches[0] > 0)
        inside, seen = 0, []

        async def job() -> None:
            nonlocal inside
            async with patience:
                inside += 1
                seen.append(inside)
                await asyncio.sleep(0.01)
                inside -= 1

        async def end_of_searches() -> None:
            await asyncio.sleep(0.035)
            if searches[0] == 2:
                searches[0] = 0
                patience.look()

        async with asyncio.timeout(5.0):
            await asyncio.gather(end_of_searches(), *(job() for _ in range(n_jobs)))
        return seen

    return asyncio.run(main())


def test_nobody_waits_while_nobody_searches() -> None:
    assert max(run(8, [0])) == 8


def test_one_at_a_time_while_somebody_searches() -> None:
    assert run(8, [1]) == [1] * 8


def test_all_are_let_in_when_the_last_search_ends() -> None:
    seen = run(12, [2])
    assert seen[:3] == [1, 1, 1]
    assert max(seen) > 4


def test_who_goes_away_while_waiting_takes_no_room() -> None:
    async def main() -> int:
        patience, n_done = Patience(lambda: True), 0

        async def job() -> None:
            nonlocal n_done
            async with patience:
                await asyncio.sleep(0.02)
                n_done += 1

        first, gone, also, last = (asyncio.create_task(job()) for _ in range(4))
        await asyncio.sleep(0.005)
        gone.cancel()
        asyncio.get_running_loop().call_later(0.0155, also.cancel)  # about when its turn comes
        async with asyncio.timeout(1.0):
            await asyncio.gather(first, last)
        return n_done

    assert asyncio.run(main()) == 2
