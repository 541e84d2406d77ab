"""Asynchronous generators: the loop's hooks, and how it closes those left open."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from conftest import World


async def counting(
    log: list[str], sleep: Any, name: str = "generator"
) -> AsyncGenerator[int, None]:
    try:
        number = 0
        while True:
            yield number
            number += 1
    finally:
        log.append(f"{name} closing")
        await sleep(0)
        log.append(f"{name} closed")


async def begin(generator: AsyncGenerator[int, None]) -> int:
    # A generator takes its loop's hooks when it is first asked, which must be on that loop.
    return await anext(generator)


def test_the_hooks_are_the_loops_while_it_runs(world: World, loop: Any) -> None:
    def first(generator: object) -> None: ...

    def last(generator: object) -> None: ...

    before = sys.get_asyncgen_hooks()
    seen: list[Any] = []
    sys.set_asyncgen_hooks(firstiter=first, finalizer=last)
    try:
        loop.call_soon(lambda: seen.append(sys.get_asyncgen_hooks()))
        world.turn(loop)
        assert tuple(sys.get_asyncgen_hooks()) == (first, last)
    finally:
        sys.set_asyncgen_hooks(*before)
    assert callable(seen[0].firstiter) and callable(seen[0].finalizer)
    assert seen[0].firstiter is not first and seen[0].finalizer is not last


def test_the_hooks_are_put_back_when_the_run_is_interrupted(world: World, loop: Any) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    before = sys.get_asyncgen_hooks()
    loop.call_soon(interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert sys.get_asyncgen_hooks() == before


def test_shutdown_asyncgens_closes_those_left_open(world: World, loop: Any) -> None:
    log: list[str] = []
    kept = [counting(log, world.sleep, name) for name in ("one", "two")]

    async def main() -> None:
        for generator in kept:
            assert await anext(generator) == 0

    loop.run_until_complete(main())
    assert log == []
    assert loop.run_until_complete(loop.shutdown_asyncgens()) is None
    assert sorted(log) == ["one closed", "one closing", "two closed", "two closing"]
    loop.run_until_complete(loop.shutdown_asyncgens())


def test_run_closes_those_left_open(world: World) -> None:
    log: list[str] = []
    kept = counting(log, world.sleep)

    async def main() -> None:
        await anext(kept)

    world.run(main())
    assert log == ["generator closing", "generator closed"]


def test_a_generator_dropped_while_the_loop_runs_is_closed_by_a_task(
    world: World, loop: Any
) -> None:
    log: list[str] = []

    async def main() -> None:
        async for number in counting(log, world.sleep):
            if number == 2:
                break
        gc.collect()
        for _ in range(5):
            await world.sleep(0)
        assert log == ["generator closing", "generator closed"]

    loop.run_until_complete(main())


def test_an_exhausted_generator_needs_no_closing(world: World, loop: Any) -> None:
    async def three() -> AsyncGenerator[int, None]:
        for number in range(3):
            yield number

    async def main() -> list[int]:
        return [number async for number in three()]

    assert loop.run_until_complete(main()) == [0, 1, 2]
    loop.run_until_complete(loop.shutdown_asyncgens())


def test_a_generator_that_fails_in_closing_is_reported(world: World, loop: Any) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))

    async def failing() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            raise LookupError("in closing")

    generator = failing()
    loop.run_until_complete(begin(generator))
    loop.run_until_complete(loop.shutdown_asyncgens())
    (context,) = contexts
    assert context["message"] == (
        f"an error occurred during closing of asynchronous generator {generator!r}"
    )
    assert str(context["exception"]) == "in closing"
    assert context["asyncgen"] is generator


def test_a_generator_begun_after_the_shutdown_warns(world: World, loop: Any) -> None:
    log: list[str] = []
    generator = counting(log, world.sleep)

    async def main() -> None:
        await loop.shutdown_asyncgens()
        await anext(generator)

    with pytest.warns(ResourceWarning) as caught:
        loop.run_until_complete(main())
    assert [str(w.message) for w in caught] == [
        f"asynchronous generator {generator!r} was scheduled after loop.shutdown_asyncgens() call"
    ]
    loop.run_until_complete(generator.aclose())


def test_a_generator_dropped_after_the_close_is_dropped_in_silence(world: World) -> None:
    loop = world.new_event_loop()

    async def plain() -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    generator = plain()
    loop.run_until_complete(begin(generator))
    loop.close()
    del generator
    gc.collect()


def test_each_loop_closes_its_own(world: World) -> None:
    log: list[str] = []
    one, two = world.new_event_loop(), world.new_event_loop()
    first = counting(log, world.sleep, "first")
    second = counting(log, world.sleep, "second")
    one.run_until_complete(begin(first))
    two.run_until_complete(begin(second))
    one.run_until_complete(one.shutdown_asyncgens())
    assert log == ["first closing", "first closed"]
    two.run_until_complete(two.shutdown_asyncgens())
    assert log[2:] == ["second closing", "second closed"]
    one.close()
    two.close()
    assert asyncio._get_running_loop() is None
