"""wait(): its three modes, its timeout, who is told when, and what is left behind."""

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


def test_until_all_are_done(world: World, loop: Any) -> None:
    async def main() -> None:
        tasks = [loop.create_task(give(n, n)) for n in range(4)]
        done, pending = await world.module.wait([*tasks, tasks[0]])
        assert (done, pending) == (set(tasks), set())
        assert type(done) is type(pending) is set
        # What is done already takes a turn all the same.
        waiting = loop.create_task(world.module.wait(tasks))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert await waiting == (set(tasks), set())

    run(loop, main)


def test_until_the_first_is_done(world: World, loop: Any) -> None:
    async def main() -> None:
        tasks = [loop.create_task(give(n, 1 + 2 * n)) for n in range(4)]
        left = set(tasks)
        when = asyncio.FIRST_COMPLETED
        for task in tasks:
            done, left = await world.module.wait(left, return_when=when)
            assert done == {task}
        assert left == set()
        done, left = await world.module.wait(tasks, return_when=when)
        assert done == set(tasks)

    run(loop, main)


def test_until_the_first_fails(world: World, loop: Any) -> None:
    async def main() -> None:
        cancelled = loop.create_task(give(1, 9))
        failing = loop.create_task(give(KeyError("a"), 3))
        slow = loop.create_task(give(1, 9))
        tasks = {loop.create_task(give(1)), cancelled, failing, slow}
        loop.call_soon(cancelled.cancel)
        when = asyncio.FIRST_EXCEPTION
        _, pending = await world.module.wait(tasks, return_when=when)
        assert pending == {slow}
        assert isinstance(failing.exception(), KeyError)
        assert slow._callbacks is None
        assert await world.module.wait(pending, return_when=when) == ({slow}, set())
        failing = loop.create_future()
        failing.set_exception(KeyError("b"))
        # Nobody asks for it, and it counts as retrieved.
        await world.module.wait([failing, loop.create_future()], return_when=when)

    reports = gather_reports(loop)
    run(loop, main)
    gc.collect()
    assert reports == []


def test_a_timeout(world: World, virtual_loop: Any) -> None:
    async def main() -> None:
        fast, slow = virtual_loop.create_task(give(1)), virtual_loop.create_future()
        assert await world.module.wait([fast, slow], timeout=10) == ({fast}, {slow})
        assert slow._callbacks is None
        assert await world.module.wait([fast, slow], timeout=0) == ({fast}, {slow})
        # One that is not needed is taken back.
        assert await world.module.wait([fast], timeout=1000) == ({fast}, set())
        slow.cancel()

    run(virtual_loop, main)


def test_wrong_arguments(world: World, loop: Any) -> None:
    wait = world.module.wait

    async def main() -> None:
        future, coroutine = loop.create_future(), give(1)
        for wrong, message in (
            (wait(future), "expect a list of futures, not Future"),
            (wait(coroutine), "expect a list of futures, not coroutine"),
            (wait([coroutine, future]), "Passing coroutines is forbidden, use tasks explicitly."),
        ):
            error = await catch(wrong)
            assert (type(error), str(error)) == (TypeError, message)
        for wrong, message in (
            (wait([]), "Set of Tasks/Futures is empty."),
            (wait(iter(())), "Set of Futures is empty."),
            (wait([future], return_when="never"), "Invalid return_when value: never"),
        ):
            error = await catch(wrong)
            assert isinstance(error, (ValueError, AssertionError))
            assert str(error) == message
        with pytest.raises(TypeError, match="unexpected keyword argument 'wrong'"):
            wait([future], wrong=1)
        coroutine.close()
        error = await catch(wait([1]))
        assert isinstance(error, AttributeError)

    run(loop, main)
    coroutine = wait([1])
    assert asyncio.iscoroutine(coroutine)
    assert asyncio.iscoroutinefunction(wait) if sys.version_info < (3, 14) else True
    with pytest.raises(RuntimeError, match="no running event loop"):
        coroutine.send(None)


def test_any_iterable_of_futures(world: World, loop: Any) -> None:
    async def main() -> None:
        tasks = [loop.create_task(give(n, n)) for n in range(3)]
        assert await world.module.wait(iter(tasks)) == (set(tasks), set())
        assert await world.module.wait(dict.fromkeys(tasks)) == (set(tasks), set())

    run(loop, main)


def test_what_stands_among_the_callbacks(world: World, loop: Any) -> None:
    async def main() -> None:
        future = loop.create_future()
        future.add_done_callback(print)
        waiting = loop.create_task(world.module.wait([future]))
        await asyncio.sleep(0)
        assert "_wait.<locals>._on_completion() at " in repr(future)
        callbacks = [callback for callback, _ in future._callbacks]
        assert callbacks[0] is print
        assert future.remove_done_callback(callbacks[1]) == 1
        # Nobody tells any more; by hand one can.
        future.remove_done_callback(print)
        future.set_result(1)
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        callbacks[1](future)
        assert await waiting == ({future}, set())

    run(loop, main)


def test_a_wait_that_is_cancelled_leaves_nothing(world: World, loop: Any) -> None:
    async def main() -> None:
        futures = [loop.create_future() for _ in range(3)]
        for future in futures[1:]:
            future.add_done_callback(print)
        waiting = loop.create_task(world.module.wait(futures, timeout=1000))
        await asyncio.sleep(0)
        waiting.cancel("enough")
        error = await catch(waiting)
        assert isinstance(error, asyncio.CancelledError)
        assert futures[0]._callbacks is None
        for future in futures[1:]:
            assert [callback for callback, _ in future._callbacks] == [print]
            future.remove_done_callback(print)

    run(loop, main)


def test_futures_of_other_classes(world: World, loop: Any) -> None:
    added = []

    class SubFuture(world.Future):  # type: ignore[misc,name-defined]
        def add_done_callback(self, *args: Any, **kwargs: Any) -> None:
            added.append(self)
            super().add_done_callback(*args, **kwargs)

    async def main() -> None:
        plain = asyncio.futures._PyFuture(loop=loop)  # type: ignore[attr-defined]
        futures = [SubFuture(loop=loop), plain, loop.create_future()]
        for future in futures:
            loop.call_soon(future.set_result, 1)
        assert await world.module.wait(futures) == (set(futures), set())
        assert added == futures[:1]
        left = SubFuture(loop=loop)
        assert await world.module.wait([left], timeout=0) == (set(), {left})
        assert not left._callbacks

    run(loop, main)


def test_two_waits_for_one_future(world: World, loop: Any) -> None:
    async def main() -> None:
        future = loop.create_future()
        waits = [loop.create_task(world.module.wait([future])) for _ in range(3)]
        await asyncio.sleep(0)
        outer = world.module.gather(future)
        future.set_result(1)
        # It is done, and told nobody yet: others join.
        waits.append(loop.create_task(world.module.wait([future])))
        for wait in waits:
            assert await wait == ({future}, set())
        assert await outer == [1]

    run(loop, main)


def test_in_debug_mode(world: World, virtual_loop: Any) -> None:
    async def main() -> None:
        virtual_loop.set_debug(True)
        tasks = [virtual_loop.create_task(give(n, n)) for n in range(3)]
        assert await world.module.wait(tasks, timeout=1000) == (set(tasks), set())
        future = virtual_loop.create_future()
        virtual_loop.call_soon(virtual_loop.set_debug, False)
        virtual_loop.call_later(1, future.set_result, 1)
        assert await world.module.wait([future]) == ({future}, set())

    run(virtual_loop, main)


def test_nothing_is_kept_alive(world: World, loop: Any) -> None:
    async def main() -> list[Any]:
        future = loop.create_future()
        waiting = loop.create_task(world.module.wait([future]))
        await asyncio.sleep(0)
        repr(future)
        waiting.cancel()
        await catch(waiting)
        return [weakref.ref(future), weakref.ref(waiting)]

    references = run(loop, main)
    gc.collect()
    assert [reference() for reference in references] == [None, None]


# ---------------------------------------------------------------------------------------------
# As asyncio does it, turn for turn
# ---------------------------------------------------------------------------------------------


def random_story(seed: int) -> Story:
    """Waits, futures settled and waits cancelled, all at random."""

    async def act(module: Any, loop: Any, told: list[str]) -> None:
        draw = random.Random(seed)
        futures: list[Any] = [loop.create_future() for _ in range(4)]
        names = {future: f"f{n}" for n, future in enumerate(futures)}
        waits: list[Any] = []

        async def wait(name: str, some: list[Any], when: str, timeout: float | None) -> None:
            try:
                got = await module.wait(some, return_when=when, timeout=timeout)
                told.append(f"{name} {[sorted(names[f] for f in each) for each in got]}")
            except BaseException as error:
                told.append(f"{name} {error!r}")

        modes = [asyncio.ALL_COMPLETED, asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION]
        for step in range(draw.randrange(4, 14)):
            kind = draw.randrange(5)
            future = draw.choice(futures)
            if kind <= 1:
                some = draw.choices(futures, k=draw.randrange(1, 4))
                timeout = draw.choice([None, None, 0])
                coroutine = wait(f"w{step}", some, draw.choice(modes), timeout)
                waits.append(loop.create_task(coroutine))
            elif kind == 2:
                settle(draw, future)
            elif kind == 3 and waits:
                told.append(f"cancel {draw.choice(waits).cancel()}")
            for _ in range(draw.randrange(3)):
                await asyncio.sleep(0)
            told.extend(repr(future) for future in futures)
        for future in futures:
            future.cancel()
            if not future.cancelled():
                future.exception()
        for each in waits:
            await each

    return act


@pytest.mark.slow
def test_random_waits_are_as_asyncio_has_them(world: World) -> None:
    for seed in range(100):
        compare(world, random_story(seed), seed)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"])
def test_cancelled_at_every_turn(world: World, when: str) -> None:
    def story(turn: int, whom: int) -> Story:
        async def act(module: Any, loop: Any, told: list[str]) -> None:
            async def user() -> None:
                try:
                    done, pending = await module.wait(children, return_when=when)
                    told.append(f"{len(done)} {len(pending)}")
                except BaseException as error:
                    told.append(repr(error))
                    raise

            values = [1, KeyError("a"), 3]
            children = [loop.create_task(give(value, n + 1)) for n, value in enumerate(values)]
            waiting = loop.create_task(user())
            targets = [waiting, *children]
            for each in targets:
                each.add_done_callback(lambda done: told.append(f"done {done!r}"))
            await cancel_in(turn, targets[whom], told, 8)
            told.extend(repr(each) for each in targets)
            for each in targets:
                if not each.cancelled():
                    each.exception()

        return act

    for turn, whom in itertools.product(range(7), range(4)):
        compare(world, story(turn, whom), (turn, whom))
