"""Tasks and futures of asyncio beside those of the world, on loops of either kind.

In asyncio's own world this mixes its C types with its Python types; in ours, ours with both.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from task_tools import PY, finish, gather_reports, raised

C_FUTURE, C_TASK = asyncio.futures._CFuture, asyncio.tasks._CTask
PY_FUTURE, PY_TASK = asyncio.futures._PyFuture, asyncio.tasks._PyTask

KINDS = ("world", "C", "Python")


def future_of(world: Any, kind: str, loop: Any) -> Any:
    return {"world": world.Future, "C": C_FUTURE, "Python": PY_FUTURE}[kind](loop=loop)


def task_of(world: Any, kind: str, coro: Any, loop: Any, **kwargs: Any) -> Any:
    kinds = {"world": world.Task, "C": C_TASK, "Python": PY_TASK}
    return kinds[kind](coro, loop=loop, **kwargs)


class Hand:
    """The bare minimum of a loop, turned by hand: neither asyncio's nor ours."""

    def __init__(self) -> None:
        self.ready: list[tuple[Any, ...]] = []
        self.reports: list[dict[str, Any]] = []

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> None:
        self.ready.append((context or contextvars.copy_context(), callback, args))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.reports.append(context)

    def turn(self) -> None:
        ready, self.ready = self.ready, []
        asyncio._set_running_loop(self)
        try:
            for context, callback, args in ready:
                context.run(callback, *args)
        finally:
            asyncio._set_running_loop(None)


@pytest.fixture(params=["world", "stock"])
def either_loop(request: pytest.FixtureRequest, world: Any) -> Iterator[Any]:
    """A loop of the world, and a stock asyncio loop under the world's tasks and futures."""
    loop = world.new_event_loop() if request.param == "world" else asyncio.SelectorEventLoop()
    yield loop
    loop.close()


@pytest.mark.parametrize("future_kind", KINDS)
@pytest.mark.parametrize("task_kind", KINDS)
def test_a_task_of_any_kind_awaits_a_future_of_any_kind(
    world: Any, either_loop: Any, task_kind: str, future_kind: str
) -> None:
    async def main() -> Any:
        results = []
        future = future_of(world, future_kind, either_loop)
        either_loop.call_soon(future.set_result, "result")
        results.append(await future)
        results.append(await future)
        future = future_of(world, future_kind, either_loop)
        either_loop.call_soon(future.set_exception, ValueError("failed"))
        try:
            await future
        except ValueError as error:
            results.append(str(error))
        future = future_of(world, future_kind, either_loop)
        either_loop.call_soon(future.cancel, "cancelled")
        try:
            await future
        except asyncio.CancelledError as error:
            results.append(error.args)
        return results

    task = task_of(world, task_kind, main(), either_loop)
    assert either_loop.run_until_complete(task) == [
        "result",
        "result",
        "failed",
        ("cancelled",),
    ]


@pytest.mark.parametrize("inner_kind", KINDS)
@pytest.mark.parametrize("outer_kind", KINDS)
def test_a_task_of_any_kind_awaits_a_task_of_any_kind(
    world: Any, either_loop: Any, outer_kind: str, inner_kind: str
) -> None:
    async def returns() -> str:
        await world.sleep(0)
        return "inner"

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("inner")

    async def main() -> Any:
        result = await task_of(world, inner_kind, returns(), either_loop)
        try:
            await task_of(world, inner_kind, fails(), either_loop)
        except ValueError as error:
            return result, str(error)

    task = task_of(world, outer_kind, main(), either_loop)
    assert either_loop.run_until_complete(task) == ("inner", "inner")


@pytest.mark.parametrize("inner_kind", KINDS)
@pytest.mark.parametrize("outer_kind", KINDS)
def test_cancelling_goes_through_tasks_of_any_kind(
    world: Any, either_loop: Any, outer_kind: str, inner_kind: str
) -> None:
    seen: list[Any] = []

    async def innermost() -> None:
        try:
            await either_loop.create_future()
        except asyncio.CancelledError as error:
            seen.append(error.args)
            raise

    async def main() -> None:
        inner.append(task_of(world, inner_kind, innermost(), either_loop))
        await inner[0]

    inner: list[Any] = []
    task = task_of(world, outer_kind, main(), either_loop)
    world.turn(either_loop, 2)
    assert task._fut_waiter is inner[0]
    task.cancel("why")
    assert inner[0].cancelling() == 1
    error = raised(lambda: either_loop.run_until_complete(task))
    assert error.args == ("why",)
    assert seen == [("why",)]
    assert inner[0].cancelled()


@pytest.mark.parametrize("kind", KINDS)
def test_many_tasks_of_all_kinds_wait_for_one_future_and_wake_in_order(
    world: Any, either_loop: Any, kind: str
) -> None:
    log: list[Any] = []

    async def waits(number: int) -> None:
        await future
        log.append(number)

    future = future_of(world, kind, either_loop)
    tasks = [task_of(world, KINDS[n % 3], waits(n), either_loop) for n in range(12)]
    world.turn(either_loop)
    future.add_done_callback(lambda _: log.append("callback"))
    future.set_result(None)
    world.turn(either_loop)
    assert log == [*range(12), "callback"]
    assert all(each.done() for each in tasks)


@pytest.mark.parametrize("future_kind", KINDS)
@pytest.mark.parametrize("task_kind", KINDS)
def test_futures_of_another_loop_are_refused_whatever_their_kind(
    world: Any, either_loop: Any, task_kind: str, future_kind: str
) -> None:
    other = world.new_event_loop()
    future = future_of(world, future_kind, other)

    async def main() -> Any:
        await future

    task = task_of(world, task_kind, main(), either_loop)
    error = raised(lambda: either_loop.run_until_complete(task))
    other.close()
    assert type(error) is RuntimeError
    assert str(error).endswith("attached to a different loop")


@pytest.mark.parametrize("kind", KINDS)
def test_hand_offs_are_as_many_whatever_the_kinds(world: Any, either_loop: Any, kind: str) -> None:
    async def returns() -> None:
        pass

    async def main() -> None:
        await task_of(world, kind, returns(), either_loop)
        await task_of(world, "C", returns(), either_loop)
        future = future_of(world, kind, either_loop)
        either_loop.call_soon(future.set_result, None)
        await future

    for outer_kind in KINDS:
        task = task_of(world, outer_kind, main(), either_loop)
        turns = 0
        while not task.done():
            world.turn(either_loop)
            turns += 1
        assert turns == 7


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loop_kind", ["hand"])
def test_tasks_run_on_a_loop_that_is_neither(world: Any, kind: str, loop_kind: str) -> None:
    async def main() -> Any:
        await world.sleep(0)
        future = future_of(world, kind, loop)
        loop.call_soon(future.set_result, "result")
        return await future

    loop = Hand()
    task = world.Task(main(), loop=loop)
    for _ in range(5):
        loop.turn()
    assert task.result() == "result"
    waiting = world.Task(main(), loop=loop)
    loop.turn()
    waiting.cancel("why")
    loop.turn()
    assert waiting.cancelled()
    assert loop.reports == []


def test_a_loop_that_is_neither_gets_the_callbacks_of_futures(world: Any) -> None:
    loop = Hand()
    future = world.Future(loop=loop)
    log: list[Any] = []
    for _ in range(3):
        future.add_done_callback(log.append)
    future.set_result(1)
    assert len(loop.ready) == 3
    loop.turn()
    assert log == [future] * 3


def test_a_loop_whose_call_soon_takes_no_context_is_refused_as_by_asyncio(world: Any) -> None:
    class Old(Hand):
        def call_soon(self, callback: Any, *args: Any) -> None:  # type: ignore[override]
            self.ready.append((contextvars.copy_context(), callback, args))

    loop = Old()
    future = world.Future(loop=loop)
    future.add_done_callback(print)
    assert type(raised(lambda: future.set_result(1))) is TypeError


# Futures that are nobody's subclass.


class Duck:
    """A future of one's own: only what the protocol asks for."""

    _asyncio_future_blocking = False

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.callbacks: list[tuple[Any, Any]] = []
        self.outcome: Callable[[], Any] | None = None
        self.cancel_messages: list[Any] = []

    def get_loop(self) -> Any:
        return self.loop

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        self.callbacks.append((callback, context))

    def remove_done_callback(self, callback: Any) -> int:
        before = len(self.callbacks)
        self.callbacks = [each for each in self.callbacks if each[0] != callback]
        return before - len(self.callbacks)

    def done(self) -> bool:
        return self.outcome is not None

    def result(self) -> Any:
        assert self.outcome is not None
        return self.outcome()

    def cancel(self, msg: Any = None) -> bool:
        self.cancel_messages.append(msg)
        if self.outcome is not None:
            return False

        def cancelled() -> None:
            raise asyncio.CancelledError(msg)

        self.settle(cancelled)
        return True

    def settle(self, outcome: Callable[[], Any]) -> None:
        self.outcome = outcome
        callbacks, self.callbacks = self.callbacks, []
        for callback, context in callbacks:
            self.loop.call_soon(callback, self, context=context)

    def __await__(self) -> Any:
        if not self.done():
            self._asyncio_future_blocking = True
            yield self
        return self.result()


def test_a_duck_is_a_future(world: Any, loop: Any) -> None:
    duck = Duck(loop)
    assert world.isfuture(duck)
    assert world.ensure_future(duck) is duck


def test_a_task_awaits_a_duck(world: Any, either_loop: Any) -> None:
    async def main() -> Any:
        return await duck

    duck = Duck(either_loop)
    context = contextvars.copy_context()
    task = world.Task(main(), loop=either_loop, context=context)
    world.turn(either_loop)
    assert duck._asyncio_future_blocking is False
    assert task._fut_waiter is duck
    ((callback, given),) = duck.callbacks
    assert given is context
    assert callable(callback)
    assert callback.__self__ is task
    duck.settle(lambda: "quack")
    world.turn(either_loop)
    assert task.result() == "quack"


def test_a_duck_s_error_is_thrown(world: Any, either_loop: Any) -> None:
    async def main() -> Any:
        try:
            await duck
        except ZeroDivisionError:
            return "thrown"

    duck = Duck(either_loop)
    task = either_loop.create_task(main())
    world.turn(either_loop)
    duck.settle(lambda: 1 / 0)
    world.turn(either_loop)
    assert task.result() == "thrown"


def test_cancelling_asks_the_duck(world: Any, either_loop: Any) -> None:
    async def main() -> Any:
        await duck

    duck = Duck(either_loop)
    task = world.Task(main(), loop=either_loop)
    world.turn(either_loop)
    assert task.cancel("why") is True
    assert duck.cancel_messages == ["why"]
    assert task._must_cancel is False
    world.turn(either_loop)
    assert task.cancelled()


def test_an_owed_cancellation_is_handed_to_the_duck(world: Any, loop: Any) -> None:
    async def main() -> Any:
        task.cancel("owed")
        await duck

    duck = Duck(loop)
    task = loop.create_task(main())
    world.turn(loop)
    assert duck.cancel_messages == ["owed"]
    world.turn(loop)
    assert task.cancelled()


def test_a_duck_of_another_loop_is_refused(world: Any, loop: Any) -> None:
    async def main() -> Any:
        await duck

    duck = Duck(object())
    error = raised(lambda: loop.run_until_complete(main()))
    assert type(error) is RuntimeError
    assert str(error).endswith(f"got Future {duck!r} attached to a different loop")


def test_a_duck_without_get_loop_is_asked_for_its_loop_attribute(world: Any, loop: Any) -> None:
    class OldDuck(Duck):
        def __getattribute__(self, name: str) -> Any:
            if name == "get_loop":
                raise AttributeError(name)
            return super().__getattribute__("loop" if name == "_loop" else name)

    async def main() -> Any:
        return await duck

    duck = OldDuck(loop)
    task = loop.create_task(main())
    world.turn(loop)
    duck.settle(lambda: "quack")
    world.turn(loop)
    assert task.result() == "quack"


@pytest.mark.parametrize("flag", [None, 0, 1, "x", [], [1]], ids=repr)
def test_the_blocking_flag_of_a_duck_is_a_truth_value(world: Any, loop: Any, flag: Any) -> None:
    class Flagged(Duck):
        def __await__(self) -> Any:
            self._asyncio_future_blocking = flag
            yield self
            return "end"

    async def main() -> Any:
        return await Flagged(loop)

    task = loop.create_task(main())
    world.turn(loop, 2)
    if flag:
        # It waits.
        assert not task.done()
        task._fut_waiter.settle(lambda: None)
        world.turn(loop)
        assert task.result() == "end"
    else:
        text = str(raised(task.result))
        expected = "Task got bad yield" if flag is None else "yield was used instead of yield from"
        assert text.startswith(expected)


@pytest.mark.parametrize(
    "broken", ["get_loop", "add_done_callback", "_asyncio_future_blocking", "set flag"]
)
def test_an_error_of_a_duck_is_thrown_into_the_task_or_reported(
    world: Any, loop: Any, broken: str
) -> None:
    """asyncio lets such an error leave the step: the task is stuck, the loop is not."""

    class Broken(Duck):
        yielded = False

        def __getattribute__(self, name: str) -> Any:
            if name == broken and type(self).yielded:
                raise ZeroDivisionError(name)
            return super().__getattribute__(name)

        def __setattr__(self, name: str, value: Any) -> None:
            if broken == "set flag" and type(self).yielded:
                raise ZeroDivisionError(name)
            super().__setattr__(name, value)

        def __await__(self) -> Any:
            self._asyncio_future_blocking = True
            type(self).yielded = True
            yield self

    async def main() -> Any:
        try:
            await Broken(loop)
        except ZeroDivisionError:
            return "thrown"

    reports = gather_reports(loop)
    log: list[str] = []
    task = loop.create_task(main())
    world.turn(loop)
    loop.call_soon(log.append, "alive")
    world.turn(loop, 2)
    assert log == ["alive"]
    if task.done():
        assert task.result() == "thrown"
    else:
        assert [type(each["exception"]) for each in reports] == [ZeroDivisionError]
        task._log_destroy_pending = False
        task.get_coro().close()
    reports.clear()


def test_a_duck_that_calls_its_callback_at_once(world: Any, loop: Any) -> None:
    """Against the rules: the wake-up comes while the task's own step still runs."""

    class Hasty(Duck):
        def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
            self.outcome = lambda: "hasty"
            try:
                callback(self)
            except (RuntimeError, ValueError) as error:
                refused.append(error)
                super().add_done_callback(callback, context=context)

    refused: list[BaseException] = []

    async def main() -> Any:
        return await Hasty(loop)

    reports = gather_reports(loop)
    task = loop.create_task(main())
    world.turn(loop, 3)
    # Refused, or done; never a crash, and the loop lives on.
    log: list[str] = []
    loop.call_soon(log.append, "alive")
    world.turn(loop)
    assert log == ["alive"]
    if not task.done():
        task._log_destroy_pending = False
        task.get_coro().close()
    elif not task.cancelled():
        task.exception()
    reports.clear()


def test_a_duck_settled_from_inside_add_done_callback(world: Any, loop: Any) -> None:
    class Ready(Duck):
        def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
            super().add_done_callback(callback, context=context)
            self.settle(lambda: "ready")

    async def main() -> Any:
        return await Ready(loop)

    assert loop.run_until_complete(main()) == "ready"


# asyncio's own tools over tasks of the world.


@pytest.fixture(params=["coroutines", "tasks"])
def made(request: pytest.FixtureRequest, world: Any) -> Callable[[Any], Any]:
    if request.param == "coroutines":
        return lambda coro: coro
    return lambda coro: world.create_task(coro)


async def work(world: Any, value: Any, turns: int = 1) -> Any:
    for _ in range(turns):
        await world.sleep(0)
    if isinstance(value, BaseException):
        raise value
    return value


def test_gather_gives_results_in_order(world: Any, loop: Any, made: Any) -> None:
    async def main() -> Any:
        return await asyncio.gather(*(made(work(world, n, turns=5 - n)) for n in range(5)))

    assert loop.run_until_complete(main()) == [0, 1, 2, 3, 4]


def test_gather_of_nothing_is_an_empty_list(world: Any, loop: Any) -> None:
    async def main() -> Any:
        return await asyncio.gather()

    assert loop.run_until_complete(main()) == []


def test_gather_hands_on_the_first_error_and_lets_the_others_go_on(
    world: Any, virtual_loop: Any, made: Any
) -> None:
    log: list[str] = []

    async def goes_on() -> None:
        await work(world, None, turns=5)
        log.append("went on")

    async def main() -> Any:
        try:
            await asyncio.gather(made(work(world, ValueError("first"))), made(goes_on()))
        except ValueError as error:
            log.append(str(error))
        await world.sleep(1)

    virtual_loop.run_until_complete(main())
    assert log == ["first", "went on"]


def test_gather_returns_exceptions_when_asked(world: Any, loop: Any, made: Any) -> None:
    error = ValueError("returned")

    async def main() -> Any:
        return await asyncio.gather(
            made(work(world, error)),
            made(work(world, "fine")),
            made(work(world, asyncio.CancelledError("cancelled"))),
            return_exceptions=True,
        )

    results = loop.run_until_complete(main())
    assert results[:2] == [error, "fine"]
    assert type(results[2]) is asyncio.CancelledError


def test_gather_of_one_future_twice(world: Any, loop: Any) -> None:
    async def main() -> Any:
        task = world.create_task(work(world, "once"))
        future = loop.create_future()
        loop.call_soon(future.set_result, "future")
        return await asyncio.gather(task, future, task, future)

    assert loop.run_until_complete(main()) == ["once", "future", "once", "future"]


def test_cancelling_a_gather_cancels_its_children(world: Any, loop: Any) -> None:
    async def main() -> Any:
        children = [world.create_task(world.sleep(100)) for _ in range(5)]
        outer = asyncio.gather(*children)
        await world.sleep(0)
        outer.cancel("all")
        error = None
        try:
            await outer
        except asyncio.CancelledError as caught:
            error = caught
        return error.args, [each.cancelled() for each in children]

    assert loop.run_until_complete(main()) == (("all",), [True] * 5)


def test_cancelling_the_task_that_waits_for_a_gather(world: Any, loop: Any) -> None:
    async def main() -> Any:
        await asyncio.gather(*(world.sleep(100) for _ in range(3)))

    task = loop.create_task(main())
    world.turn(loop, 2)
    assert len(world.all_tasks(loop)) == 4
    task.cancel("why")
    error = raised(lambda: loop.run_until_complete(task))
    assert error.args == ("why",)
    assert world.all_tasks(loop) == set()


def test_wait_splits_done_from_pending(world: Any, loop: Any) -> None:
    async def main() -> Any:
        fast, slow = (world.create_task(work(world, n, turns=1 + 50 * n)) for n in range(2))
        done, pending = await asyncio.wait([fast, slow], return_when=asyncio.FIRST_COMPLETED)
        assert (done, pending) == ({fast}, {slow})
        done, pending = await asyncio.wait([fast, slow])
        assert (done, pending) == ({fast, slow}, set())
        failing = world.create_task(work(world, ValueError()))
        slow = world.create_task(work(world, 1, turns=50))
        done, pending = await asyncio.wait([failing, slow], return_when=asyncio.FIRST_EXCEPTION)
        assert (done, pending) == ({failing}, {slow})
        failing.exception()
        done, pending = await asyncio.wait([slow], timeout=0)
        assert (done, pending) == (set(), {slow})
        return await slow

    assert loop.run_until_complete(main()) == 1


def test_wait_for_returns_in_time_and_cancels_what_is_late(
    world: Any, virtual_loop: Any, made: Any
) -> None:
    log: list[Any] = []

    async def late() -> None:
        try:
            await world.sleep(100)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def main() -> Any:
        result = await asyncio.wait_for(made(work(world, "in time")), 5)
        try:
            await asyncio.wait_for(made(late()), 5)
        except TimeoutError:
            log.append("timeout")
        return result

    assert virtual_loop.run_until_complete(main()) == "in time"
    assert log == ["cancelled", "timeout"]


def test_a_timeout_cancels_its_own_task_and_takes_it_back(world: Any, virtual_loop: Any) -> None:
    async def main() -> Any:
        me = world.current_task()
        try:
            async with asyncio.timeout(5):
                await world.sleep(100)
        except TimeoutError:
            assert me.cancelling() == 0
        async with asyncio.timeout(5):
            await world.sleep(0)
        async with asyncio.timeout(None) as scope:
            scope.reschedule(virtual_loop.time() + 5)
            await world.sleep(0)
        return "end"

    assert virtual_loop.run_until_complete(main()) == "end"


def test_nested_timeouts_and_cancellation_from_outside(world: Any, virtual_loop: Any) -> None:
    async def main() -> Any:
        try:
            async with asyncio.timeout(5):
                async with asyncio.timeout(0):
                    await world.sleep(100)
        except TimeoutError:
            pass
        async with asyncio.timeout(5):
            await world.sleep(100)

    task = virtual_loop.create_task(main())
    virtual_loop.call_later(2, task.cancel, "from outside")
    error = raised(lambda: virtual_loop.run_until_complete(task))
    assert type(error) is asyncio.CancelledError
    assert error.args == ("from outside",)


def test_shield_protects_the_inner_task(world: Any, loop: Any) -> None:
    async def main() -> Any:
        inner = world.create_task(work(world, "inner", turns=5))
        outer = asyncio.shield(inner)
        await world.sleep(0)
        outer.cancel()
        try:
            await outer
        except asyncio.CancelledError:
            pass
        assert not inner.cancelled()
        return await inner

    assert loop.run_until_complete(main()) == "inner"


def test_a_task_group_waits_for_all(world: Any, loop: Any) -> None:
    async def main() -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(world, n, turns=n)) for n in range(5)]
        return [each.result() for each in tasks]

    assert loop.run_until_complete(main()) == [0, 1, 2, 3, 4]


def test_a_task_group_cancels_the_rest_when_one_fails(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def waits(name: str) -> None:
        try:
            await world.sleep(100)
        except asyncio.CancelledError:
            log.append(name)
            raise

    async def main() -> Any:
        me = world.current_task()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(waits("a"))
                group.create_task(work(world, ValueError("fails")))
                group.create_task(waits("b"))
                await world.sleep(100)
        except* ValueError as caught:
            log.append(str(caught.exceptions[0]))
        return me.cancelling()

    assert loop.run_until_complete(main()) == 0
    assert sorted(log) == ["a", "b", "fails"]


def test_a_task_group_cancelled_from_outside(world: Any, loop: Any) -> None:
    async def main() -> Any:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(world.sleep(100))

    task = loop.create_task(main())
    world.turn(loop, 3)
    task.cancel("from outside")
    error = raised(lambda: loop.run_until_complete(task))
    assert error.args == ("from outside",)
    assert world.all_tasks(loop) == set()


def test_as_completed_gives_them_as_they_come(world: Any, loop: Any, made: Any) -> None:
    async def main() -> Any:
        awaitables = [made(work(world, n, turns=10 - 3 * n)) for n in range(3)]
        return [await each for each in asyncio.as_completed(awaitables)]

    assert loop.run_until_complete(main()) == [2, 1, 0]


def test_queues_and_locks_and_their_kin(world: Any, virtual_loop: Any) -> None:
    log: list[Any] = []

    async def producer(queue: Any) -> None:
        for number in range(10):
            await queue.put(number)
        await queue.join()

    async def consumer(queue: Any) -> None:
        while True:
            log.append(await queue.get())
            queue.task_done()

    async def critical(lock: Any, name: str) -> None:
        async with lock:
            log.append(f"{name} in")
            await world.sleep(0)
            log.append(f"{name} out")

    async def waits(event: Any, condition: Any, barrier: Any) -> None:
        await event.wait()
        async with condition:
            await condition.wait()
        await barrier.wait()

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue(2)
        consuming = world.create_task(consumer(queue))
        await producer(queue)
        consuming.cancel()
        assert log == list(range(10))
        log.clear()
        lock = asyncio.Lock()
        await asyncio.gather(*(critical(lock, name) for name in "ab"))
        assert log == ["a in", "a out", "b in", "b out"]
        semaphore = asyncio.Semaphore(2)
        await asyncio.gather(*(critical(semaphore, name) for name in "abcd"))
        event, condition, barrier = asyncio.Event(), asyncio.Condition(), asyncio.Barrier(3)
        tasks = [world.create_task(waits(event, condition, barrier)) for _ in range(3)]
        await world.sleep(0)
        event.set()
        await world.sleep(1)
        async with condition:
            condition.notify_all()
        await asyncio.gather(*tasks)

    virtual_loop.run_until_complete(main())


def test_a_waiter_of_a_lock_may_be_cancelled(world: Any, loop: Any) -> None:
    async def holds(lock: Any, name: str) -> str:
        async with lock:
            await world.sleep(0)
            return name

    async def main() -> Any:
        lock = asyncio.Lock()
        async with lock:
            tasks = [world.create_task(holds(lock, name)) for name in "abc"]
            await world.sleep(0)
            tasks[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return [each if isinstance(each, str) else type(each).__name__ for each in results]

    assert loop.run_until_complete(main()) == ["a", "CancelledError", "c"]


def test_run_coroutine_threadsafe_and_wrap_future(world: Any, loop: Any) -> None:
    seen: list[Any] = []

    def elsewhere() -> None:
        future = asyncio.run_coroutine_threadsafe(work(world, "result"), loop)
        seen.append(future.result(10))
        future = asyncio.run_coroutine_threadsafe(work(world, ValueError("failed")), loop)
        seen.append(str(future.exception(10)))
        loop.call_soon_threadsafe(done.set)

    async def main() -> Any:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        await done.wait()
        thread.join()
        source: concurrent.futures.Future[str] = concurrent.futures.Future()
        wrapped = world.wrap_future(source, loop=loop)
        assert isinstance(wrapped, world.Future)
        assert world.wrap_future(wrapped) is wrapped
        threading.Thread(target=source.set_result, args=("wrapped",)).start()
        return await wrapped

    done = asyncio.Event()
    assert loop.run_until_complete(main()) == "wrapped"
    assert seen == ["result", "failed"]


def test_cancelling_a_wrapped_future_cancels_its_source(world: Any, loop: Any) -> None:
    async def main() -> bool:
        source: concurrent.futures.Future[str] = concurrent.futures.Future()
        wrapped = world.wrap_future(source)
        wrapped.cancel()
        await world.sleep(0)
        return source.cancelled()

    assert loop.run_until_complete(main()) is True


@pytest.mark.skipif(PY >= (3, 15), reason="asyncio's helper takes other sources since 3.15")
def test_chaining_futures_of_different_kinds(world: Any, loop: Any) -> None:
    for source_kind in KINDS:
        for target_kind in KINDS:
            source = future_of(world, source_kind, loop)
            target = future_of(world, target_kind, loop)
            asyncio.futures._chain_future(source, target)
            source.set_result("chained")
            assert loop.run_until_complete(target) == "chained"
            source = future_of(world, source_kind, loop)
            target = future_of(world, target_kind, loop)
            asyncio.futures._chain_future(source, target)
            target.cancel()
            world.turn(loop)
            assert source.cancelled()


def test_ensure_future_takes_every_kind_of_awaitable(world: Any, loop: Any) -> None:
    class Awaitable:
        def __await__(self) -> Any:
            yield
            return "awaitable"

    async def main() -> Any:
        tasks = [
            world.ensure_future(work(world, "coroutine")),
            asyncio.ensure_future(work(world, "coroutine")),
            world.ensure_future(Awaitable()),
            asyncio.ensure_future(Awaitable(), loop=loop),
        ]
        assert all(isinstance(each, world.Task) for each in tasks)
        for each in tasks:
            assert world.ensure_future(each) is each
        error = raised(lambda: world.ensure_future(5))
        assert type(error) is TypeError
        assert str(error) == str(raised(lambda: asyncio.ensure_future(5)))
        return [await each for each in tasks]

    assert loop.run_until_complete(main()) == ["coroutine"] * 2 + ["awaitable"] * 2


def test_a_task_factory_may_make_tasks_of_any_kind(world: Any, loop: Any) -> None:
    async def main() -> Any:
        results = []
        for kind in KINDS:
            factory = lambda loop, coro, kind=kind, **kwargs: task_of(
                world, kind, coro, loop, **kwargs
            )
            loop.set_task_factory(factory)
            assert loop.get_task_factory() is factory
            task = world.create_task(work(world, kind), name=f"a {kind} task")
            assert task.get_name() == f"a {kind} task"
            results.append(await task)
            results.append(await asyncio.gather(work(world, 1), work(world, 2)))
        loop.set_task_factory(None)
        assert type(world.create_task(world.sleep(0))) is world.Task
        await world.sleep(0)
        return results

    assert loop.run_until_complete(main()) == ["world", [1, 2], "C", [1, 2], "Python", [1, 2]]


def test_create_task_takes_what_the_running_version_takes(world: Any, loop: Any) -> None:
    """Which keywords go in, and which reach a factory, differs with every minor version."""
    stock = asyncio.SelectorEventLoop()
    try:
        for kwargs in (
            {},
            {"name": "named"},
            {"context": contextvars.copy_context()},
            {"name": "named", "context": contextvars.copy_context()},
            {"name": None, "context": None},
            {"eager_start": False},
            {"colour": "red"},
        ):
            assert factory_calls(world, loop, kwargs) == factory_calls(world, stock, kwargs)
            assert accepted(world, loop, kwargs) == accepted(world, stock, kwargs)
    finally:
        stock.close()


def factory_calls(world: Any, loop: Any, kwargs: dict[str, Any]) -> Any:
    calls: list[Any] = []

    def factory(loop: Any, coro: Any, **given: Any) -> Any:
        calls.append(given)
        given.pop("colour", None)
        given.pop("eager_start", None)
        return world.Task(coro, loop=loop, **given)

    loop.set_task_factory(factory)
    coro = work(world, None)
    try:
        task = loop.create_task(coro, **kwargs)
    except TypeError:
        coro.close()
        return "refused"
    finally:
        loop.set_task_factory(None)
    name = task.get_name()
    loop.run_until_complete(task)
    return calls, name if not name.startswith("Task-") else "numbered"


def accepted(world: Any, loop: Any, kwargs: dict[str, Any]) -> bool:
    coro = work(world, None)
    try:
        task = loop.create_task(coro, **kwargs)
    except TypeError:
        coro.close()
        return False
    loop.run_until_complete(task)
    return True


def test_run_until_complete_takes_futures_of_every_kind(world: Any, either_loop: Any) -> None:
    for kind in KINDS:
        future = future_of(world, kind, either_loop)
        either_loop.call_soon(future.set_result, kind)
        assert either_loop.run_until_complete(future) == kind
        task = task_of(world, kind, work(world, kind), either_loop)
        assert either_loop.run_until_complete(task) == kind
        finish(either_loop, task)


def test_debug_mode_changes_no_outcome(world: Any, either_loop: Any) -> None:
    either_loop.set_debug(True)

    async def main() -> Any:
        results = []
        for kind in KINDS:
            results.append(await task_of(world, kind, work(world, kind), either_loop))
            future = future_of(world, kind, either_loop)
            either_loop.call_soon(future.set_result, kind)
            results.append(await future)
        return results

    assert either_loop.run_until_complete(main()) == [
        "world",
        "world",
        "C",
        "C",
        "Python",
        "Python",
    ]


def test_the_interpreters_method_called_unbound_wakes_a_task_of_a_subclass(
    world: Any, loop: Any
) -> None:
    class Derived(world.Task):  # type: ignore[name-defined,misc]
        pass

    async def wait(future: Any) -> Any:
        return await future

    async def main() -> Any:
        future = loop.create_future()
        if not isinstance(future, C_FUTURE) or type(future).__mro__[-2] is not C_FUTURE:
            return "not laid out as the interpreter's"
        task = Derived(wait(future), loop=loop)
        await asyncio.sleep(0)
        C_FUTURE.set_result(future, "woken")
        return await task

    assert loop.run_until_complete(main()) in ("woken", "not laid out as the interpreter's")
