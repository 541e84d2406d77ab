"""wait_for(): what it promises, and whoever is cancelled when."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest
from conftest import World
from scenes import Scene, compare_everywhere, explained, pause
from task_tools import raised

FAR = 1e9
HAS_BLOCK = sys.version_info >= (3, 12)
"""Whether wait_for() is a timeout() block; before that it made a task of what it was given."""


def run(world: World, main: Any) -> Any:
    return world.run(main())


def test_what_is_done_is_given_at_once(world: World) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        future.set_result(7)
        ticks: list[int] = []
        loop.call_soon(ticks.append, 1)
        assert await world.module.wait_for(future, None) == 7
        assert await world.module.wait_for(future, 0) == 7
        if HAS_BLOCK:
            assert await world.module.wait_for(future, FAR) == 7
            assert await world.module.wait_for(future, 10**6) == 7
        assert ticks == []

    run(world, main)


def test_exceptions_come_through(world: World) -> None:
    async def fail(error: BaseException) -> None:
        raise error

    async def main() -> None:
        for wrong in (ValueError(1), asyncio.CancelledError("own"), TimeoutError("own")):
            with pytest.raises(type(wrong)) as caught:
                await world.module.wait_for(fail(wrong), FAR)
            assert caught.value.__cause__ is None
            if HAS_BLOCK:
                assert caught.value is wrong
        future = asyncio.get_running_loop().create_future()
        future.set_exception(KeyError(2))
        with pytest.raises(KeyError):
            await world.module.wait_for(future, FAR)

    run(world, main)


@pytest.mark.parametrize("delay", [0, -1, -0.5, 1e-9, 1e-6])
def test_what_takes_too_long_is_cancelled(world: World, delay: float) -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        try:
            await world.module.wait_for(future, delay)
        except TimeoutError as error:
            assert future.cancelled()
            task = asyncio.current_task()
            assert task is not None and task.cancelling() == 0
            return explained(error)
        return "in time"

    assert run(world, main) == "TimeoutError() from CancelledError()"


def test_anything_that_can_be_awaited_will_do(world: World) -> None:
    class Awaitable:
        def __await__(self) -> Generator[Any, Any, int]:
            return (yield from asyncio.sleep(0, 5).__await__())

    async def give(value: object) -> object:
        await asyncio.sleep(0)
        return value

    async def main() -> None:
        wait_for = world.module.wait_for
        for delay in (FAR, 60, None):
            assert await wait_for(Awaitable(), delay) == 5
            assert await wait_for(give((1, 2)), delay) == (1, 2)
            assert await wait_for(give(None), delay) is None
            assert await wait_for(asyncio.ensure_future(give(4)), delay) == 4
            assert await wait_for(wait_for(give(3), delay), delay) == 3
            assert await wait_for(world.module.Lock().acquire(), delay) is True
            assert await wait_for(asyncio.gather(give(1), give(2)), timeout=delay) == [1, 2]

    run(world, main)


def test_what_cannot_be_awaited_is_refused(world: World) -> None:
    class Wrong:
        def __await__(self) -> Any:
            return 5

    async def main() -> None:
        for each in (42, None, "text", Wrong(), object()):
            with pytest.raises(TypeError) as caught:
                await world.module.wait_for(each, FAR)
            with pytest.raises(TypeError) as expected:
                await asyncio.wait_for(each, FAR)  # type: ignore[arg-type]
            assert str(caught.value).replace("<object object at", "") == (
                str(expected.value).replace("<object object at", "")
            )

    run(world, main)


@pytest.mark.skipif(not HAS_BLOCK, reason="a coroutine becomes a task before 3.12")
def test_a_coroutine_that_somebody_awaits_already_is_refused(world: World) -> None:
    async def slow() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def main() -> None:
        shared = slow()
        task = asyncio.ensure_future(world.module.wait_for(shared, FAR))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"^coroutine is being awaited already$"):
            await world.module.wait_for(shared, FAR)
        await task
        with pytest.raises(RuntimeError, match=r"^cannot reuse already awaited coroutine$"):
            await world.module.wait_for(shared, FAR)

    run(world, main)


def test_outside_of_a_task_it_is_refused(world: World) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        world.module.wait_for(asyncio.Future, FAR).send(None)


def test_wrong_arguments_are_type_errors(world: World) -> None:
    async def main() -> None:
        wait_for = world.module.wait_for
        for call in (wait_for, lambda: wait_for(1), lambda: wait_for(1, 2, 3)):
            assert isinstance(raised(call), TypeError)
        future = asyncio.get_running_loop().create_future()
        with pytest.raises(TypeError):
            await wait_for(future, "soon")
        assert not future.done()

    run(world, main)


def test_one_that_nobody_awaits_warns(world: World) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        coroutine = world.module.wait_for(future, FAR)
        assert inspect.isawaitable(coroutine) and asyncio.iscoroutine(coroutine)
        assert coroutine.__qualname__ == "wait_for"
        with pytest.warns(RuntimeWarning, match="'wait_for' was never awaited"):
            del coroutine
            gc.collect()

    run(world, main)


def test_closed_in_the_middle_it_lets_the_timer_go(world: World, loop: Any) -> None:
    async def main() -> None:
        future = loop.create_future()
        coroutine = world.module.wait_for(future, FAR)
        coroutine.send(None)
        coroutine.close()
        future._asyncio_future_blocking = False
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0

    loop.run_until_complete(main())


# --- Whoever is cancelled when -----------------------------------------------------


def several(scene: Scene) -> Callable[[], object]:
    """Waits that end in time, too late, by a failure and by a stubborn coroutine."""
    shared = scene.loop.create_future()

    async def slow(name: str, turns: int, stubborn: int, result: object) -> object:
        try:
            await pause(turns)
        except asyncio.CancelledError as error:
            scene.tell(name, f"cancelled: {error!r}")
            await pause(stubborn)
            if stubborn == 1:
                return result
            if stubborn == 2:
                raise ValueError(result) from None
            raise
        if isinstance(result, Exception):
            raise result
        return result

    async def use(name: str, turns: int, stubborn: int, limit: Any, wrapped: bool) -> object:
        told = []
        for result in (1, None, ValueError("own")):
            inner: Any = slow(name, turns, stubborn, result)
            if wrapped:
                inner = scene.loop.create_task(inner)
            try:
                told.append(await scene.module.wait_for(inner, limit))
            except (TimeoutError, ValueError) as error:
                told.append(explained(error))
            scene.tell(name, told)
        return told

    async def wait_for_shared(name: str, limit: Any) -> object:
        return await scene.module.wait_for(shared, limit)

    async def settle() -> None:
        await pause(8)
        if not shared.done():
            shared.set_result("settled")

    for name, turns, stubborn, limit, wrapped in (
        ("a", 2, 0, 5.0, False), ("b", 5, 0, 3.0, True), ("c", 5, 1, 2.0, False),
        ("d", 4, 2, 2, True), ("e", 3, 3, None, False), ("f", 3, 3, 0, True),
    ):  # fmt: skip
        scene.start(name, use, name, turns, stubborn, limit, wrapped)
    scene.start("g", wait_for_shared, "g", 6.0)
    scene.start("settler", settle)
    return lambda: shared


@pytest.mark.slow
@pytest.mark.may_log  # Before 3.12 nobody asks a task that fails after its wait.
def test_whoever_is_cancelled_the_story_is_asyncios(world: World) -> None:
    compare_everywhere(world, several)


@pytest.mark.filterwarnings("ignore")
def test_what_waits_for_what_waits_too_deeply_is_an_error(world: World) -> None:
    async def work() -> int:
        return 1

    async def main() -> None:
        waiting: Any = work()
        for _ in range(3000):
            waiting = world.module.wait_for(waiting, None)
        with pytest.raises(RecursionError):
            await waiting

    world.run(main())


@pytest.mark.skipif(not HAS_BLOCK, reason="it waits for a turn")
def test_what_the_caller_of_a_coroutine_handles_does_not_stay_in_it(
    world: World, loop: Any
) -> None:
    contexts = []

    async def inner(future: Any) -> None:
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await world.module.wait_for(future, 5)
        try:
            raise LookupError
        except LookupError:
            with contextlib.suppress(asyncio.CancelledError):
                await world.module.wait_for(future, 5)
            contexts.append(sys.exception())
        try:
            await world.module.sleep(0)
            raise KeyError
        except KeyError as error:
            contexts.append(error.__context__)

    async def main() -> None:
        future = loop.create_future()
        future.cancel()
        coroutine = inner(future)
        try:
            raise ValueError
        except ValueError:
            coroutine.send(None)
        with pytest.raises(StopIteration):
            coroutine.send(None)

    loop.run_until_complete(main())
    assert [type(context) for context in contexts] == [LookupError, type(None)]
