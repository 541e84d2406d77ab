"""as_completed(): both of its protocols, its timeout, and who is told to await whom."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import World
from play_tools import give, run
from task_tools import PY


def test_results_come_as_they_are_ready(world: World, loop: Any) -> None:
    async def main() -> None:
        got = [
            await each for each in world.module.as_completed([give(n, 9 - 2 * n) for n in range(4)])
        ]
        assert got == [3, 2, 1, 0]
        error = KeyError("a")
        first, second = world.module.as_completed([give(error), give(1, 2)])
        with pytest.raises(KeyError, match="a"):
            await first
        assert await second == 1

    run(loop, main)


@pytest.mark.skipif(PY < (3, 13), reason="before 3.13 it is a plain generator")
def test_as_an_asynchronous_iterator_it_gives_the_futures(world: World, loop: Any) -> None:
    async def main() -> None:
        tasks = [loop.create_task(give(n, 9 - 2 * n)) for n in range(4)]
        got = [each async for each in world.module.as_completed(tasks)]
        assert got == tasks[::-1]
        assert not any(task._callbacks for task in tasks)

    run(loop, main)


def test_a_timeout(world: World, virtual_loop: Any) -> None:
    async def main() -> None:
        future, task = virtual_loop.create_future(), virtual_loop.create_task(give(1))
        first, second = world.module.as_completed([future, task], timeout=10)
        assert await first == 1
        with pytest.raises(TimeoutError):
            await second
        assert not future._callbacks

    run(virtual_loop, main)


def test_who_waits_may_be_cancelled(world: World, loop: Any) -> None:
    async def main() -> None:
        future = loop.create_future()

        async def user() -> Any:
            for each in world.module.as_completed([future, give(1)]):
                await each

        waiting = loop.create_task(user())
        for _ in range(4):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not future.done()
        future.cancel()

    run(loop, main)


def test_wrong_arguments(world: World, loop: Any) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match=r"^expects? an iterable of"):
            list(world.module.as_completed(loop.create_future()))
        assert list(world.module.as_completed([])) == []

    run(loop, main)


def test_from_another_thread(world: World, loop: Any) -> None:
    def ask() -> Any:
        future = world.module.run_coroutine_threadsafe(give(1, 3), loop)
        return future.result(10)

    assert loop.run_until_complete(loop.run_in_executor(None, ask)) == 1
    loop.run_until_complete(loop.shutdown_default_executor())
