"""gather(): results, failures, cancellation from both sides, and who is told when."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import random
import sys
import weakref
from typing import Any

import pytest
from conftest import Log, World
from play_tools import Story, cancel_in, catch, compare, give, run, settle
from task_tools import PY, Pause, gather_reports, raised

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="outside")


@pytest.mark.parametrize("count", [1, 2, 8, 9, 100])
def test_results_stand_in_the_order_of_the_arguments(world: World, loop: Any, count: int) -> None:
    async def main() -> None:
        got = await world.module.gather(*[give(n, (7 * n) % 5) for n in range(count)])
        assert got == list(range(count))

    run(loop, main)


@pytest.mark.parametrize("more", [0, 20])
def test_what_is_given_twice_is_one_child(world: World, loop: Any, more: int) -> None:
    async def main() -> None:
        future, coroutine = loop.create_future(), give("coroutine", 2)
        rest = [give(n) for n in range(more)]
        outer = world.module.gather(future, coroutine, *rest, coroutine, future)
        children = outer._children
        assert children[0] is children[-1] is future
        assert children[1] is children[-2]
        assert len({id(child) for child in children}) == 2 + more
        loop.call_soon(future.set_result, "future")
        assert await outer == ["future", "coroutine", *range(more), "coroutine", "future"]

    run(loop, main)


def test_it_looks_like_asyncios(world: World, loop: Any) -> None:
    async def main() -> None:
        task = loop.create_task(give(1, 1))
        outer = world.module.gather(task)
        assert isinstance(outer, world.Future)
        assert isinstance(outer, asyncio.Future)
        assert asyncio.isfuture(outer)
        assert type(outer).__name__ == "_GatheringFuture"
        assert repr(outer).startswith("<_GatheringFuture pending")
        assert outer._children == [task]
        assert outer._cancel_requested is False
        assert outer._loop is outer.get_loop() is loop
        assert "cb=[gather.<locals>._done_callback() at " in repr(task)
        [(callback, context)] = task._callbacks
        assert callback.__name__ == "_done_callback"
        assert isinstance(context, contextvars.Context)
        assert await outer == [1]
        assert task._callbacks is None
        assert repr(outer) == "<_GatheringFuture finished result=[1]>"

    run(loop, main)


def test_a_callback_that_was_seen_can_be_removed(world: World, loop: Any) -> None:
    async def main() -> None:
        task = loop.create_task(give(1, 1))
        outer = world.module.gather(task)
        [(callback, _)] = task._callbacks
        assert task.remove_done_callback(callback) == 1
        assert task.remove_done_callback(callback) == 0
        assert task._callbacks is None
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert task.done() and not outer.done()
        # Called by hand it counts as ever.
        callback(task)
        assert await outer == [1]

    run(loop, main)


def test_nothing_to_gather(world: World, loop: Any) -> None:
    async def main() -> None:
        outer = world.module.gather()
        assert outer.done()
        assert await outer == []

    run(loop, main)


def test_wrong_arguments(world: World, loop: Any) -> None:
    async def main() -> None:
        assert str(raised(lambda: world.module.gather(wrong=1))) == (
            "gather() got an unexpected keyword argument 'wrong'"
        )
        with pytest.raises(TypeError, match="an awaitable is required"):
            world.module.gather(1)
        coroutine = give(1)
        with pytest.raises(TypeError, match="an awaitable is required"):
            world.module.gather(coroutine, 1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        other = world.new_event_loop()
        with pytest.raises(ValueError, match="belongs to a different loop"):
            world.module.gather(loop.create_future(), other.create_future())
        other.close()
        assert await world.module.gather(give(ValueError()), return_exceptions=1)

    run(loop, main)


def test_the_first_failure_is_told_at_once(world: World, loop: Any) -> None:
    async def main() -> None:
        slow = loop.create_task(give("slow", 5))
        outer = world.module.gather(give(1), give(KeyError("a"), 1), give(OSError(), 2), slow)
        with pytest.raises(KeyError, match="a"):
            await outer
        # The others run on, and what they raise counts as retrieved.
        assert not slow.done()
        assert await slow == "slow"
        assert not outer.cancel()

    run(loop, main)
    gc.collect()


def test_exceptions_among_the_results(world: World, loop: Any) -> None:
    async def main() -> None:
        cancelled = loop.create_future()
        loop.call_soon(cancelled.cancel, "why")
        silent = loop.create_future()
        silent.cancel()
        error = KeyError("a")
        got = await world.module.gather(
            give(1), give(error, 1), cancelled, silent, return_exceptions=True
        )
        assert got[:2] == [1, error]
        assert [repr(each) for each in got[2:]] == ["CancelledError('why')", "CancelledError('')"]

    run(loop, main)


def test_a_child_that_is_cancelled_fails_it(world: World, loop: Any) -> None:
    async def main() -> None:
        future = loop.create_future()
        outer = world.module.gather(future, give(1))
        future.cancel("why")
        error = await catch(outer)
        assert isinstance(error, asyncio.CancelledError)
        assert error.args == ("why",)
        assert not outer.cancelled()
        assert outer.exception() is error

    run(loop, main)


@pytest.mark.parametrize("return_exceptions", [False, True])
def test_cancelling_it_cancels_the_children(
    world: World, loop: Any, return_exceptions: bool
) -> None:
    async def main() -> None:
        children = [loop.create_task(give(n, 5)) for n in range(3)]
        outer = world.module.gather(*children, return_exceptions=return_exceptions)
        await asyncio.sleep(0)
        assert outer.cancel(msg="enough") is True
        assert outer._cancel_requested is True
        assert not outer.done()
        error = await catch(outer)
        assert isinstance(error, asyncio.CancelledError)
        assert error.args == ("enough",)
        assert all(child.cancelled() for child in children)
        assert outer.cancel() is False

    run(loop, main)


def test_children_that_refuse_to_be_cancelled(world: World, loop: Any) -> None:
    async def refuse() -> str:
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return "no"
        return "yes"

    async def main() -> None:
        outer = world.module.gather(refuse(), refuse())
        await asyncio.sleep(0)
        assert outer.cancel()
        assert type(await catch(outer)) is asyncio.CancelledError

    run(loop, main)


def test_nothing_is_left_to_cancel(world: World, loop: Any) -> None:
    async def main() -> None:
        task = loop.create_task(give(1))
        outer = world.module.gather(task)
        await asyncio.sleep(0)
        assert task.done() and not outer.done()
        assert outer.cancel() is False
        assert outer._cancel_requested is False
        assert await outer == [1]

    run(loop, main)


def test_gatherings_of_gatherings(world: World, loop: Any) -> None:
    async def main() -> None:
        outer = loop.create_future()
        for _ in range(300):
            outer = world.module.gather(outer, give(1, 3))
        assert outer.cancel()
        assert isinstance(await catch(outer), asyncio.CancelledError)

    run(loop, main)


def test_a_gathering_that_awaits_itself_cannot_be_cancelled(world: World, loop: Any) -> None:
    async def main() -> None:
        async def wait_for_it() -> None:
            await outer

        future = loop.create_future()
        outer = world.module.gather(wait_for_it(), future)
        await asyncio.sleep(0)
        with pytest.raises(RecursionError):
            outer.cancel()
        assert not outer.done()
        if not future.done():
            future.cancel()
        await catch(outer)

    run(loop, main)


def test_children_that_are_done_already(world: World, loop: Any) -> None:
    async def main() -> None:
        done = loop.create_future()
        done.set_result(1)
        outer = world.module.gather(done)
        assert outer.done() is (PY >= (3, 12))
        assert await outer == [1]
        failed = loop.create_future()
        failed.set_exception(KeyError("a"))
        outer = world.module.gather(done, failed, give(2))
        assert outer.done() is (PY >= (3, 12))
        assert isinstance(await catch(outer), KeyError)
        await asyncio.sleep(0)

    run(loop, main)


def test_a_child_of_two_gatherings(world: World, loop: Any) -> None:
    async def main() -> None:
        task = loop.create_task(give(1, 2))
        told: list[str] = []
        task.add_done_callback(lambda _: told.append("before"))
        first, second = world.module.gather(task), world.module.gather(task)
        first.add_done_callback(lambda _: told.append("first"))
        second.add_done_callback(lambda _: told.append("second"))
        task.add_done_callback(lambda _: told.append("after"))
        # It is done by now, but its gatherings have not been told: a third one joins them.
        while not task.done():
            await asyncio.sleep(0)
        third = world.module.gather(task)
        third.add_done_callback(lambda _: told.append("third"))
        assert task._callbacks is None
        assert [await first, await second, await third] == [[1]] * 3
        return told

    told = run(loop, main)
    assert told[:2] == ["before", "after"]
    assert sorted(told[2:]) == ["first", "second", "third"]


@pytest.mark.skipif(PY < (3, 12), reason="3.11 has no eager tasks")
def test_eager_children(world: World, loop: Any) -> None:
    async def main() -> None:
        loop.set_task_factory(world.eager_task_factory)
        outer = world.module.gather(give(1), give(2))
        assert outer.done()
        assert await outer == [1, 2]
        outer = world.module.gather(give(1), give(2, 1), give(3))
        assert not outer.done()
        assert await outer == [1, 2, 3]
        outer = world.module.gather(give(1), give(KeyError("a")), give(2, 1))
        assert isinstance(outer.exception(), KeyError)
        loop.set_task_factory(None)
        await asyncio.sleep(0)

    run(loop, main)


def test_children_of_other_classes(world: World, loop: Any) -> None:
    class SubTask(world.Task):  # type: ignore[misc,name-defined]
        added = 0

        def add_done_callback(self, *args: Any, **kwargs: Any) -> None:
            SubTask.added += 1
            super().add_done_callback(*args, **kwargs)

    makers = itertools.cycle([SubTask, asyncio.tasks._PyTask, world.Task])  # type: ignore[attr-defined]

    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        return next(makers)(coro, loop=loop, **kwargs)

    async def main() -> None:
        loop.set_task_factory(factory)
        got = await world.module.gather(*[give(n, n % 3) for n in range(9)], SubFuture(loop=loop))
        assert got == [*range(9), "sub"]
        assert SubTask.added == 3
        error = await catch(world.module.gather(*[give(KeyError(n), n % 3) for n in range(6)]))
        assert isinstance(error, KeyError)
        outer = world.module.gather(*[give(n, 5) for n in range(6)], return_exceptions=True)
        await asyncio.sleep(0)
        assert outer.cancel("all")
        assert (await catch(outer)).args == ("all",)
        loop.set_task_factory(None)

    class SubFuture(world.Future):  # type: ignore[misc,name-defined]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.get_loop().call_soon(self.set_result, "sub")

    run(loop, main)


def test_a_factory_that_fails_half_way(world: World, loop: Any) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        calls = itertools.count()

        def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
            if next(calls) == 2:
                coro.close()
                raise OSError("no more")
            return world.Task(coro, loop=loop, **kwargs)

        loop.set_task_factory(factory)
        left = give(3)
        with pytest.raises(OSError, match="no more"):
            world.module.gather(give(1), give(KeyError("a")), give(2), left)
        left.close()
        loop.set_task_factory(None)
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
        # Those that were begun run on; what they raise counts as retrieved.
        assert reports == []

    run(loop, main)


def test_in_debug_mode(world: World, loop: Any) -> None:
    async def main() -> None:
        loop.set_debug(True)
        outer = world.module.gather(give(1, 1), give(2))
        assert "created at" in repr(outer)
        loop.set_debug(False)
        second = world.module.gather(give(3, 1), give(4, 2))
        loop.set_debug(True)
        assert [await outer, await second] == [[1, 2], [3, 4]]
        loop.set_debug(False)

    run(loop, main)


def test_a_loop_whose_call_soon_fails(world: World, loop: Any) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        task = loop.create_task(give(1))
        outer = world.module.gather(task)
        outer.add_done_callback(lambda _: None)
        original = loop.call_soon

        def refuse(callback: Any, *args: Any, **kwargs: Any) -> Any:
            if args == (outer,):
                raise OSError("refused")
            return original(callback, *args, **kwargs)

        await Pause()
        assert task.done()
        loop.call_soon = refuse
        await Pause()
        del loop.call_soon
        assert outer.done()
        return outer

    run(loop, main)
    [report] = reports
    assert report["message"].startswith("Exception in callback gather.<locals>._done_callback(")
    assert isinstance(report["exception"], OSError)


def test_callbacks_run_in_the_context_of_the_call(world: World, loop: Any) -> None:
    seen: list[str] = []

    class Told(world.Future):  # type: ignore[misc,name-defined]
        def exception(self) -> Any:
            seen.append(var.get())
            return super().exception()

    async def main() -> None:
        var.set("inside")
        future = Told(loop=loop)
        outer = world.module.gather(future, give(1))
        var.set("later")
        future.set_result(2)
        assert await outer == [2, 1]

    run(loop, main)
    assert set(seen) == {"inside"}


def test_nothing_is_kept_alive(world: World, loop: Any) -> None:
    async def main() -> list[Any]:
        future = loop.create_future()
        outer = world.module.gather(future, give(1))
        await asyncio.sleep(0)
        repr(future)
        return [weakref.ref(future), weakref.ref(outer)]

    references = run(loop, main)
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_a_failure_that_nobody_asks_for_is_reported(world: World, loop: Any, logged: Log) -> None:
    async def main() -> None:
        world.module.gather(give(KeyError("a")), give(KeyError("b")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(loop, main)
    gc.collect()
    texts = [text.splitlines()[0] for text in logged.texts()]
    assert texts == ["_GatheringFuture exception was never retrieved"]


def test_outside_of_a_running_loop(world: World, loop: Any) -> None:
    future = loop.create_future()
    outer = world.module.gather(future, loop.create_task(give(1)))
    future.set_result(2)
    assert loop.run_until_complete(outer) == [2, 1]


# ---------------------------------------------------------------------------------------------
# As asyncio does it, turn for turn
# ---------------------------------------------------------------------------------------------


def random_story(seed: int) -> Story:
    """Gathers, made and cancelled at random."""

    async def act(module: Any, loop: Any, told: list[str]) -> None:
        draw = random.Random(seed)

        async def child(name: str) -> str:
            plan = draw.choice(["return", "raise", "future", "refuse", "cancel"])
            turns = draw.randrange(4)
            try:
                for _ in range(turns):
                    await asyncio.sleep(0)
                if plan == "future":
                    await draw.choice(futures)
                if plan == "cancel":
                    asyncio.current_task().cancel(name)  # type: ignore[union-attr]
                    await asyncio.sleep(0)
            except asyncio.CancelledError as error:
                told.append(f"{name} cancelled {error!r}")
                if plan != "refuse":
                    raise
            told.append(f"{name} ends")
            if plan == "raise":
                raise KeyError(name)
            return name

        futures = [loop.create_future() for _ in range(3)]
        outers: list[Any] = []
        made = itertools.count()
        for _ in range(draw.randrange(2, 8)):
            kind = draw.randrange(6)
            if kind <= 2:
                pool = [*futures, *outers, *(child(f"c{next(made)}") for _ in range(3))]
                some = draw.choices(pool, k=draw.choice([1, 2, 3, 12]))
                outer = module.gather(*some, return_exceptions=draw.random() < 0.4)
                number = len(outers)
                outer.add_done_callback(lambda done, n=number: told.append(f"o{n} {done!r}"))
                outers.append(outer)
                for each in pool:
                    if asyncio.iscoroutine(each) and each not in some:
                        each.close()
            elif kind == 3 and outers:
                told.append(f"cancel {draw.choice(outers).cancel('outer')}")
            elif kind == 4:
                settle(draw, draw.choice(futures))
            for _ in range(draw.randrange(3)):
                await asyncio.sleep(0)
            told.extend(f"{n}: {outer!r}" for n, outer in enumerate(outers))
        for future in futures:
            if not future.done():
                future.set_result("last")
        for outer in outers:
            try:
                told.append(repr(await outer))
            except BaseException as error:
                told.append(repr(error))

    return act


@pytest.mark.slow
def test_random_gathers_are_as_asyncio_has_them(world: World) -> None:
    for seed in range(100):
        compare(world, random_story(seed), seed)


@pytest.mark.slow
@pytest.mark.parametrize("return_exceptions", [False, True])
def test_cancelled_at_every_turn(world: World, return_exceptions: bool) -> None:
    def story(turn: int, whom: int) -> Story:
        async def act(module: Any, loop: Any, told: list[str]) -> None:
            async def child(number: int) -> int:
                try:
                    for _ in range(number + 1):
                        await asyncio.sleep(0)
                    if number == 2:
                        raise KeyError(number)
                finally:
                    told.append(f"{number} ends")
                return number

            async def user() -> None:
                try:
                    told.append(repr(await outer))
                except BaseException as error:
                    told.append(repr(error))
                    raise

            children = [loop.create_task(child(n)) for n in range(4)]
            outer = module.gather(*children, child(4), return_exceptions=return_exceptions)
            waiting = loop.create_task(user())
            targets = [waiting, outer, *children]
            for each in targets:
                each.add_done_callback(lambda done: told.append(f"done {done!r}"))
            await cancel_in(turn, targets[whom], told, 10)
            told.append(repr(outer))

        return act

    for turn, whom in itertools.product(range(9), range(6)):
        compare(world, story(turn, whom), (turn, whom))


if sys.version_info >= (3, 14):

    def test_the_caller_is_known_to_await_the_children(world: World, loop: Any) -> None:
        async def main() -> None:
            me = asyncio.current_task()
            first, second = loop.create_task(give(1, 2)), loop.create_future()
            outer = world.module.gather(first, second, give(KeyError("a"), 4))
            if world.shares_layout:
                assert first._asyncio_awaited_by == second._asyncio_awaited_by == {me}
            await catch(outer)
            assert not first._asyncio_awaited_by
            assert not second._asyncio_awaited_by

        run(loop, main)


def test_a_child_begun_anew_before_its_turn_disturbs_nobody(world: World, loop: Any) -> None:
    if sys.version_info >= (3, 15):
        pytest.skip("a future cannot be begun anew")
    reported: list[Any] = []
    loop.set_exception_handler(lambda loop, context: reported.append(context["exception"]))

    async def main() -> None:
        child = loop.create_future()
        gathered = world.module.gather(child, loop.create_future())
        child.set_result(1)
        child.__init__(loop=loop)
        shielded = world.module.shield(child)
        child.set_result(3)
        assert await shielded == 3
        assert not gathered.done()
        await asyncio.sleep(0)

    run(loop, main)
    assert len(reported) <= 1


@pytest.mark.parametrize("given", [{}, {"context": None}])
def test_what_is_no_callback_is_reported(world: World, loop: Any, given: Any) -> None:
    reported: list[str] = []
    loop.set_exception_handler(lambda loop, context: reported.append(str(context["exception"])))

    async def main() -> None:
        async def wait() -> None:
            await asyncio.sleep(10)

        child = loop.create_future()
        gathered = world.module.gather(child)
        task = world.module.create_task(wait())
        async with world.module.TaskGroup() as group:
            group.create_task(give(1))
            for thing in (gathered, group, task):
                future = loop.create_future()
                future.add_done_callback(thing, **given)
                future.set_result(1)
                await asyncio.sleep(0)
        child.set_result(2)
        assert await gathered == [2]
        task.cancel()

    run(loop, main)
    assert [text.endswith("object is not callable") for text in reported] == [True, True, True]
