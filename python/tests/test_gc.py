"""Garbage: what the loop keeps alive, what it lets go, and cycles through every object of ours.

A cycle that leads through an object the collector cannot look into is never collected. So each
of these tests makes such a cycle and asks whether it vanishes.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Log, World

DESTROYED = "Task was destroyed but it is pending!"


class Token:
    """Something that can be referred to weakly and hold anything."""

    def __init__(self, **held: object) -> None:
        self.__dict__.update(held)


def vanishes(make: Callable[[], Token]) -> bool:
    """Whether the token, forgotten, is collected."""
    gc.collect()
    ref = weakref.ref(make())
    gc.collect()
    gc.collect()
    return ref() is None


# --- Cycles through handles and timers ----------------------------------------


def test_a_cycle_through_a_waiting_handle_of_a_dead_loop_vanishes(world: World) -> None:
    # loop -> ready -> handle -> argument -> loop
    def make(add: str, *before: object) -> Token:
        loop = world.new_event_loop()
        token = Token(loop=loop)
        token.handle = getattr(loop, add)(*before, print, token)
        return token

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        assert vanishes(lambda: make("call_soon"))
        assert vanishes(lambda: make("call_soon_threadsafe"))
        assert vanishes(lambda: make("call_later", 60))
        assert vanishes(lambda: make("call_at", 0))


def test_a_cycle_through_the_callback_vanishes(world: World) -> None:
    def make() -> Token:
        loop = world.new_event_loop()
        token = Token(loop=loop)
        loop.call_soon(lambda: token)
        loop.call_later(60, lambda: token)
        return token

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        assert vanishes(make)


def test_a_cycle_through_a_handle_that_ran_vanishes(world: World, loop: Any) -> None:
    def make(*, timer: bool) -> Token:
        token = Token()
        if timer:
            token.handle = loop.call_at(0, lambda *args: None, token)
        else:
            token.handle = loop.call_soon(lambda *args: None, token)
        world.turn(loop)
        return token

    assert vanishes(lambda: make(timer=False))
    assert vanishes(lambda: make(timer=True))


def test_a_cycle_through_a_handles_context_vanishes(world: World, loop: Any) -> None:
    import contextvars

    variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable")

    def make() -> Token:
        token = Token()
        context = contextvars.Context()
        context.run(variable.set, token)
        token.handle = loop.call_soon(int, context=context)
        world.turn(loop)
        return token

    assert vanishes(make)


def test_a_cycle_through_a_cancelled_handle_vanishes(world: World, loop: Any) -> None:
    def make() -> Token:
        token = Token()
        token.handle = loop.call_later(3600, print, token)
        token.handle.cancel()
        return token

    assert vanishes(make)


def test_a_waiting_handle_keeps_what_it_will_need(world: World, loop: Any) -> None:
    tokens = [Token(), Token(), Token()]
    refs = [weakref.ref(token) for token in tokens]
    seen: list[Token] = []
    loop.call_soon(seen.append, tokens[0])
    loop.call_at(0, seen.append, tokens[1])
    loop.call_soon_threadsafe(seen.append, tokens[2])
    del tokens
    gc.collect()
    assert [ref() is None for ref in refs] == [False] * 3
    world.turn(loop)
    assert len(seen) == 3


# --- Cycles through the loop --------------------------------------------------


def test_a_cycle_through_a_watched_descriptor_vanishes(world: World) -> None:
    def make(add: str) -> Token:
        loop = world.new_event_loop()
        token = Token(loop=loop)
        getattr(loop, add)(reading if add == "add_reader" else writing, print, token)
        return token

    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        assert vanishes(lambda: make("add_reader"))
        assert vanishes(lambda: make("add_writer"))
    os.close(reading)
    os.close(writing)


def test_a_cycle_through_what_the_loop_was_given_vanishes(world: World) -> None:
    def make(setter: str) -> Token:
        loop = world.new_event_loop()
        token = Token(loop=loop)
        if setter == "attribute":
            loop.token = token
        else:
            getattr(loop, setter)(lambda *args, **kwargs: token)
        return token

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for setter in ("set_exception_handler", "set_task_factory", "attribute"):
            assert vanishes(lambda setter=setter: make(setter))  # type: ignore[misc]


def test_a_cycle_through_a_closed_loop_vanishes(world: World) -> None:
    def make() -> Token:
        loop = world.new_event_loop()
        token = Token(loop=loop)
        loop.set_exception_handler(lambda *args: token)
        loop.call_soon(print, token)
        world_future = loop.create_future()
        world_future.add_done_callback(lambda future: token)
        token.future = world_future
        loop.close()
        return token

    assert vanishes(make)


def test_a_cycle_through_a_signal_handler_of_a_closed_loop_vanishes(world: World) -> None:
    def make() -> Token:
        loop = world.new_event_loop()
        token = Token(loop=loop)
        loop.add_signal_handler(signal.SIGUSR1, print, token)
        loop.close()
        return token

    assert vanishes(make)


def test_a_dropped_subclass_of_the_loop_vanishes(world: World) -> None:
    class Mine(world.EventLoop):  # type: ignore[name-defined,misc]
        pass

    def make() -> Token:
        loop = Mine()
        loop.token = Token(loop=loop)
        loop.close()
        return loop.token  # type: ignore[no-any-return]

    assert vanishes(make)


# --- Cycles through futures and tasks -----------------------------------------


def test_a_cycle_through_a_future_vanishes(world: World, loop: Any) -> None:
    def through_callback() -> Token:
        token = Token(future=loop.create_future())
        token.future.add_done_callback(lambda future: token)  # type: ignore[attr-defined]
        return token

    def through_two_callbacks() -> Token:
        token = through_callback()
        token.future.add_done_callback(lambda future: token)  # type: ignore[attr-defined]
        return token

    def through_result() -> Token:
        token = Token(future=loop.create_future())
        token.future.set_result(token)  # type: ignore[attr-defined]
        return token

    def through_exception() -> Token:
        token = Token(future=loop.create_future())
        error = LookupError(token)
        token.future.set_exception(error)  # type: ignore[attr-defined]
        token.future.exception()  # type: ignore[attr-defined]
        return token

    def through_attribute() -> Token:
        token = Token(future=loop.create_future())
        token.future.token = token  # type: ignore[attr-defined]
        return token

    def through_cancel_message() -> Token:
        token = Token(future=loop.create_future())
        token.future.cancel(token)  # type: ignore[attr-defined]
        return token

    def through_iterator() -> Token:
        token = Token(future=loop.create_future())
        token.iterator = token.future.__await__()  # type: ignore[attr-defined]
        token.future.token = token  # type: ignore[attr-defined]
        return token

    for make in (
        through_callback,
        through_two_callbacks,
        through_result,
        through_exception,
        through_attribute,
        through_cancel_message,
        through_iterator,
    ):
        assert vanishes(make), make.__name__


def test_a_cycle_through_a_finished_task_vanishes(world: World, loop: Any) -> None:
    async def give(token: Token) -> Token:
        return token

    async def fail(token: Token) -> None:
        raise LookupError(token)

    def make(main: Any) -> Token:
        token = Token()
        token.task = loop.create_task(main(token))
        world.turn(loop, 2)
        token.task.exception()
        return token

    assert vanishes(lambda: make(give))
    assert vanishes(lambda: make(fail))


def test_a_task_that_failed_does_not_hold_its_own_failure_in_a_cycle_for_ever(
    world: World, loop: Any
) -> None:
    def make() -> Token:
        token = Token()

        async def fail() -> None:
            here = token, asyncio.current_task()
            raise LookupError(here)

        token.task = loop.create_task(fail())
        world.turn(loop, 2)
        token.task.exception()
        return token

    assert vanishes(make)


# --- What becomes of tasks nobody holds ---------------------------------------


def test_a_task_not_yet_begun_is_held_by_the_loop(world: World, loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        log.append("ran")

    ref = weakref.ref(loop.create_task(main()))
    gc.collect()
    assert ref() is not None
    world.turn(loop)
    assert log == ["ran"]
    gc.collect()
    assert ref() is None


def test_a_sleeping_task_is_held_by_its_timer(world: World, virtual_loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        await world.sleep(3600)
        log.append("woken")

    ref = weakref.ref(virtual_loop.create_task(main()))
    world.turn(virtual_loop)
    gc.collect()
    assert ref() is not None
    virtual_loop.call_later(3601, virtual_loop.stop)
    virtual_loop.run_forever()
    assert log == ["woken"]


def test_a_task_that_waits_for_a_descriptor_is_held_by_it(world: World, loop: Any) -> None:
    reading, writing = os.pipe()
    log: list[str] = []

    async def main() -> None:
        future = loop.create_future()
        loop.add_reader(reading, future.set_result, None)
        try:
            await future
        finally:
            loop.remove_reader(reading)
        log.append("read")

    ref = weakref.ref(loop.create_task(main()))
    world.turn(loop)
    gc.collect()
    assert ref() is not None
    os.write(writing, b"x")
    world.turn(loop, 3)
    assert log == ["read"]
    os.close(reading)
    os.close(writing)


def test_a_task_that_only_its_own_future_could_wake_is_collected(
    world: World, loop: Any, logged: Log
) -> None:
    log: list[str] = []

    async def main() -> None:
        try:
            await loop.create_future()
        except GeneratorExit:
            log.append("GeneratorExit")
            raise
        finally:
            log.append("finally")

    async def count() -> int:
        return len(asyncio.all_tasks())

    ref = weakref.ref(loop.create_task(main(), name="lost"))
    world.turn(loop)
    assert loop.run_until_complete(count()) == 2
    gc.collect()
    assert ref() is None
    assert log == ["GeneratorExit", "finally"]
    assert loop.run_until_complete(count()) == 1
    (text,) = logged.texts()
    assert text.startswith(f"{DESTROYED}\ntask: <Task pending name='lost' coro=<")


@pytest.mark.slow
def test_the_collector_finds_lost_tasks_by_itself(world: World, loop: Any, logged: Log) -> None:
    async def main() -> None:
        await loop.create_future()

    refs = []
    for _ in range(2000):
        refs.append(weakref.ref(loop.create_task(main())))
        world.turn(loop)
    assert sum(ref() is None for ref in refs) > 1000
    gc.collect()
    assert sum(ref() is None for ref in refs) == 2000
    assert len(logged.records) == 2000


def test_of_tasks_bound_to_one_name_the_last_stays(world: World, loop: Any, logged: Log) -> None:
    async def main() -> None:
        await loop.create_future()

    refs = []
    for _ in range(5):
        task = loop.create_task(main())
        refs.append(weakref.ref(task))
    world.turn(loop)
    gc.collect()
    assert [ref() is None for ref in refs] == [True] * 4 + [False]
    assert len(logged.texts()) == 4
    task.cancel()
    world.turn(loop, 2)


def test_tasks_kept_in_a_set_stay(world: World, loop: Any) -> None:
    async def main() -> None:
        await loop.create_future()

    kept = {loop.create_task(main()) for _ in range(5)}
    world.turn(loop)
    gc.collect()
    assert all(not task.done() for task in kept)
    for task in kept:
        task.cancel()
    world.turn(loop, 2)
    assert all(task.cancelled() for task in kept)


def test_two_tasks_that_wait_for_each_other_vanish_together(
    world: World, loop: Any, logged: Log
) -> None:
    holder: dict[str, Any] = {}

    async def main(other: str, holder: dict[str, Any] = holder) -> None:
        await holder[other]

    holder["one"] = loop.create_task(main("two"))
    holder["two"] = loop.create_task(main("one"))
    refs = [weakref.ref(task) for task in holder.values()]
    world.turn(loop)
    holder.clear()
    gc.collect()
    assert [ref() for ref in refs] == [None, None]
    assert len(logged.texts()) == 2


def test_a_collected_task_does_not_wake_anybody(world: World, loop: Any, logged: Log) -> None:
    seen: list[object] = []

    async def main() -> None:
        await loop.create_future()

    task = loop.create_task(main())
    task.add_done_callback(seen.append)
    world.turn(loop)
    del task
    gc.collect()
    world.turn(loop, 3)
    assert seen == []


# --- Destructors that do things -----------------------------------------------


def test_a_collection_in_the_middle_of_a_turn_is_harmless(world: World, loop: Any) -> None:
    log: list[int] = []

    def work(number: int) -> None:
        cycle = Token()
        cycle.itself = cycle
        cycle.handle = loop.call_soon(int)
        del cycle
        gc.collect()
        log.append(number)

    async def main() -> None:
        for number in range(10, 15):
            gc.collect()
            await world.sleep(0)
            log.append(number)

    for number in range(10):
        loop.call_soon(work, number)
    loop.run_until_complete(main())
    assert sorted(log) == list(range(15))


def test_a_destructor_may_use_the_loop_while_it_is_collected(world: World) -> None:
    log: list[str] = []

    class Last:
        def __init__(self, loop: Any) -> None:
            self.loop = loop

        def __del__(self) -> None:
            for method, args in (
                ("call_soon", (print,)),
                ("call_later", (1, print)),
                ("call_soon_threadsafe", (print,)),
                ("is_running", ()),
                ("time", ()),
                ("create_future", ()),
                ("__repr__", ()),
            ):
                try:
                    getattr(self.loop, method)(*args)
                except RuntimeError as error:
                    log.append(str(error))
                else:
                    log.append(method)

    loop = world.new_event_loop()
    loop.last = Last(loop)
    loop.call_soon(print, Last(loop))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del loop
        gc.collect()
    assert len(log) == 14
    assert log.count("is_running") == log.count("time") == log.count("create_future") == 2


def test_a_destructor_may_cancel_the_handle_next_to_run(world: World, loop: Any) -> None:
    seen: list[str] = []

    class Last:
        def __del__(self) -> None:
            victim.cancel()

    loop.call_soon(lambda last: None, Last())
    victim = loop.call_soon(seen.append, "never")
    world.turn(loop)
    # A handle that ran is let go before the next one is looked at.
    assert seen == []
    assert victim.cancelled()


def test_a_destructor_may_stop_the_loop(world: World, virtual_loop: Any) -> None:
    class Last:
        def __del__(self) -> None:
            virtual_loop.stop()

    virtual_loop.call_soon(lambda last: None, Last())
    virtual_loop.call_later(1, int)
    virtual_loop.call_later(2, int)
    virtual_loop.run_forever()
    assert virtual_loop.time() == 0


def test_a_weak_references_callback_may_use_the_loop(world: World, loop: Any) -> None:
    seen: list[str] = []
    token = Token()
    ref = weakref.ref(token, lambda ref: loop.call_soon(seen.append, "gone"))
    handle = loop.call_later(3600, print, token)
    del token
    handle.cancel()
    gc.collect()
    assert ref() is None
    world.turn(loop)
    assert seen == ["gone"]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the interpreter's list, its behaviour")
def test_who_looks_at_all_tasks_while_a_task_dies_does_not_get_it(world: World, loop: Any) -> None:
    # A subclass drops its own slots before its base learns of the death.
    met: list[Any] = []

    class Looker:
        def __del__(self) -> None:
            met.extend(asyncio.all_tasks(loop))

    class Slotted(world.Task):  # type: ignore[name-defined,misc]
        __slots__ = ("looker",)

        def __del__(self) -> None:
            pass

    async def wait() -> None:
        await loop.create_future()

    for _ in range(50):
        task = Slotted(wait(), loop=loop)
        task._log_destroy_pending = False
        task.looker = Looker()
        world.turn(loop)
        waiter = task._fut_waiter
        waiter.remove_done_callback(waiter._callbacks[0][0])
        del waiter, task
        gc.collect()
    assert met == []


@pytest.mark.parametrize("link", ["a handle", "a timer"])
def test_a_chain_of_handles_of_any_length_is_let_go(world: World, loop: Any, link: str) -> None:
    last: Any = None
    for _ in range(300_000):
        if link == "a handle":
            last = loop.call_soon(str, last)
        else:
            last = loop.call_later(3600, str, last)
    refs = [weakref.ref(last)]
    loop.close()
    del last
    gc.collect()
    assert refs[0]() is None


@pytest.mark.parametrize("link", ["a future", "a task"])
def test_a_chain_of_futures_of_any_length_is_let_go(world: World, loop: Any, link: str) -> None:
    if not world.is_ours:
        pytest.skip("asyncio's own futures overflow the stack here")

    async def keep(value: Any) -> Any:
        return value

    last: Any = None
    for _ in range(300_000):
        if link == "a task":
            following = loop.create_task(keep(last))
            world.turn(loop)
        else:
            following = loop.create_future()
            following.set_result(last)
        last = following
    del following
    ref = weakref.ref(last)
    del last
    gc.collect()
    assert ref() is None


def test_a_finalizer_may_revive_what_waits_for_its_death(world: World, loop: Any) -> None:
    # Far down a chain that is let go, a failed future is reported, and the report is kept.
    reports: list[Any] = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["future"]))
    last = loop.create_future()
    last.set_exception(ValueError("deep down"))
    for _ in range(500):
        following = loop.create_future()
        following.set_result(last)
        last = following
    del following, last
    gc.collect()
    [revived] = reports
    assert gc.is_tracked(revived)
    with pytest.raises(ValueError, match="deep down"):
        revived.result()


@pytest.mark.parametrize("how", ["iter", "await", "begun", "subclass"])
def test_an_await_that_is_never_finished_lets_its_future_go(
    world: World, loop: Any, how: str
) -> None:
    class Derived(world.Future):  # type: ignore[name-defined,misc]
        pass

    future = Derived(loop=loop) if how == "subclass" else world.Future(loop=loop)
    iterator = iter(future) if how == "iter" else future.__await__()
    if how == "begun":
        assert next(iterator) is future
    ref = weakref.ref(future)
    del future
    assert ref() is not None
    del iterator
    gc.collect()
    assert ref() is None


@pytest.mark.parametrize("closes", [True, False])
def test_a_loop_lets_its_task_factory_go(world: World, closes: bool) -> None:
    class Factory:
        def __call__(self, loop: Any, coro: Any, **kwargs: Any) -> Any:
            return world.Task(coro, loop=loop, **kwargs)

    factory = Factory()
    ref = weakref.ref(factory)
    loop = world.new_event_loop()
    loop.set_task_factory(factory)
    if closes:
        loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del loop, factory
        gc.collect()
    assert ref() is None
