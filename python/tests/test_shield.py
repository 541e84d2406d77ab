"""shield(): the result goes out, a cancellation does not go in."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import sys
import weakref
from typing import Any

import pytest
from conftest import World
from play_tools import Story, cancel_in, catch, compare, give, run, settle
from task_tools import gather_reports


def test_the_result_goes_out(world: World, loop: Any) -> None:
    async def main() -> None:
        assert await world.module.shield(give(1, 2)) == 1
        assert isinstance(await catch(world.module.shield(give(KeyError("a"), 2))), KeyError)
        task = loop.create_task(give(1, 2))
        outer = world.module.shield(task)
        assert type(outer) is world.Future
        assert outer is not task
        assert await outer == 1
        # What is done needs no shield.
        assert world.module.shield(task) is task

    run(loop, main)


def test_a_cancellation_does_not_go_in(world: World, loop: Any) -> None:
    async def main() -> None:
        task = loop.create_task(give(1, 5))
        outer = world.module.shield(task)
        assert outer.cancel("enough")
        error = await catch(outer)
        assert isinstance(error, asyncio.CancelledError)
        assert error.args == ("enough",)
        assert not task.done()
        await asyncio.sleep(0)
        assert "_inner_done_callback" not in repr(task)
        assert await task == 1

    run(loop, main)


def test_a_cancellation_goes_out(world: World, loop: Any) -> None:
    async def main() -> None:
        task = loop.create_task(give(1, 5))
        outer = world.module.shield(task)
        await asyncio.sleep(0)
        task.cancel()
        assert isinstance(await catch(outer), asyncio.CancelledError)
        assert outer.cancelled()

    run(loop, main)


def test_what_stands_among_the_callbacks(world: World, loop: Any) -> None:
    async def main() -> None:
        inner = loop.create_future()
        outer = world.module.shield(inner)
        assert "shield.<locals>._inner_done_callback() at " in repr(inner)
        assert "shield.<locals>._outer_done_callback() at " in repr(outer)
        if sys.version_info >= (3, 14):
            assert "shield.<locals>._clear_awaited_by_callback() at " in repr(inner)
        callback = inner._callbacks[-1][0]
        assert callback.__name__ == "_inner_done_callback"
        assert inner.remove_done_callback(callback) == 1
        inner.set_result(1)
        await asyncio.sleep(0)
        assert not outer.done()
        callback(inner)
        assert await outer == 1

    run(loop, main)


def test_an_outer_future_that_somebody_else_has_settled(world: World, loop: Any) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        inner = loop.create_future()
        outer = world.module.shield(inner)
        inner.set_result(1)
        outer.set_result(2)
        await asyncio.sleep(0)
        assert await outer == 2

    run(loop, main)
    [report] = reports
    assert report["message"].startswith("Exception in callback shield.<locals>._inner_done_callb")
    assert isinstance(report["exception"], asyncio.InvalidStateError)


@pytest.mark.may_log
def test_an_exception_that_nobody_awaits_any_more(world: World, loop: Any) -> None:
    # Since 3.14 it is reported, once for all shields of the future; before, nobody hears of it.
    reports = gather_reports(loop)

    async def main() -> None:
        inner = loop.create_task(give(KeyError("a"), 5))
        for _ in range(2):
            outer = world.module.shield(inner)
            outer.cancel()
            assert isinstance(await catch(outer), asyncio.CancelledError)
        await asyncio.wait([inner])
        await asyncio.sleep(0)
        if sys.version_info < (3, 14):
            assert reports == []
            return
        [report] = reports
        assert report["message"] == "KeyError exception in shielded future"
        assert report["future"] is inner
        assert report["exception"] is inner.exception()

    run(loop, main)


def test_arguments_of_other_kinds(world: World, loop: Any) -> None:
    class SubFuture(world.Future):  # type: ignore[misc,name-defined]
        pass

    class Awaitable:
        def __await__(self) -> Any:
            return give(1, 1).__await__()

    async def main() -> None:
        assert await world.module.shield(Awaitable()) == 1
        future = SubFuture(loop=loop)
        loop.call_soon(future.set_result, 2)
        assert await world.module.shield(future) == 2
        assert await world.module.shield(world.sleep(0, 3)) == 3
        with pytest.raises(TypeError, match="awaitable"):
            world.module.shield(1)
        with pytest.raises(TypeError):
            world.module.shield()
        assert await world.module.shield(arg=give(4)) == 4
        loop.set_debug(True)
        assert await world.module.shield(give(5, 1)) == 5
        loop.set_debug(False)

    run(loop, main)


def test_shields_of_shields(world: World, loop: Any) -> None:
    async def main() -> None:
        task = loop.create_task(give(1, 3))
        outer = task
        for _ in range(20):
            outer = world.module.shield(outer)
        both = world.module.gather(outer, world.module.shield(task), task)
        assert await both == [1, 1, 1]

    run(loop, main)


def test_nothing_is_kept_alive(world: World, loop: Any) -> None:
    async def main() -> list[Any]:
        inner = loop.create_future()
        outer = world.module.shield(inner)
        repr(inner), repr(outer)
        return [weakref.ref(inner), weakref.ref(outer)]

    references = run(loop, main)
    gc.collect()
    assert [reference() for reference in references] == [None, None]


# ---------------------------------------------------------------------------------------------
# As asyncio does it, turn for turn
# ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_random_shields_are_as_asyncio_has_them(world: World) -> None:
    def story(seed: int) -> Story:
        async def act(module: Any, loop: Any, told: list[str]) -> None:
            draw = random.Random(seed)
            futures = [loop.create_future() for _ in range(3)]
            shields: list[Any] = []
            for _ in range(draw.randrange(4, 14)):
                kind = draw.randrange(4)
                future = draw.choice(futures)
                if kind == 0:
                    shields.append(module.shield(draw.choice([*futures, *shields])))
                elif kind == 1 and shields:
                    told.append(f"cancel {draw.choice(shields).cancel('now')}")
                elif kind == 2:
                    settle(draw, future)
                for _ in range(draw.randrange(3)):
                    await asyncio.sleep(0)
                told.extend(repr(each) for each in [*futures, *shields])
                # Who awaits them, which is kept since 3.14.
                links = [getattr(each, "_asyncio_awaited_by", None) for each in futures]
                told.append(repr([len(each or ()) for each in links]))

        return act

    for seed in range(70):
        compare(world, story(seed), seed)


@pytest.mark.slow
@pytest.mark.parametrize("value", [1, KeyError("a")], ids=["result", "error"])
def test_cancelled_at_every_turn(world: World, value: Any) -> None:
    def story(turn: int, whom: int) -> Story:
        async def act(module: Any, loop: Any, told: list[str]) -> None:
            async def user() -> None:
                try:
                    told.append(repr(await outer))
                except BaseException as error:
                    told.append(repr(error))
                    raise

            inner = loop.create_task(give(value, 2))
            outer = module.shield(inner)
            waiting = loop.create_task(user())
            targets = [waiting, outer, inner]
            for each in targets:
                each.add_done_callback(lambda done: told.append(f"done {done!r}"))
            await cancel_in(turn, targets[whom], told, 7)
            told.extend(repr(each) for each in targets)

        return act

    for turn, whom in itertools.product(range(7), range(3)):
        compare(world, story(turn, whom), (turn, whom))
