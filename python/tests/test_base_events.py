"""The loop's own law: the order of a turn, running and stopping, closing, what is handed out."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import resource
import sys
import threading
import time
import warnings
import weakref
from typing import Any

import pytest
from conftest import Log, World

ALREADY_RUNNING = "This event loop is already running"
ANOTHER_RUNNING = "Cannot run the event loop while another loop is running"
CLOSED = "Event loop is closed"


class Escaping(BaseException):
    """No Exception, and yet not one of the two that leave the loop."""


# --- One turn -----------------------------------------------------------------


def test_callbacks_run_in_the_order_they_were_given(world: World, loop: Any) -> None:
    seen: list[int] = []
    for number in range(1000):
        loop.call_soon(seen.append, number)
    world.turn(loop)
    assert seen == list(range(1000))


def test_a_turn_runs_only_what_was_ready_when_it_began(world: World, loop: Any) -> None:
    seen: list[str] = []

    def again(left: int) -> None:
        seen.append(f"again {left}")
        if left:
            loop.call_soon(again, left - 1)

    loop.call_soon(again, 2)
    loop.call_soon(seen.append, "other")
    world.turn(loop)
    assert seen == ["again 2", "other"]
    world.turn(loop)
    assert seen == ["again 2", "other", "again 1"]
    world.turn(loop, 5)
    assert seen == ["again 2", "other", "again 1", "again 0"]


def test_a_cancelled_handle_counts_in_the_turn_that_skips_it(world: World, loop: Any) -> None:
    seen: list[str] = []

    def first() -> None:
        seen.append("first")
        loop.call_soon(seen.append, "added")

    loop.call_soon(first)
    loop.call_soon(seen.append, "cancelled").cancel()
    world.turn(loop)
    assert seen == ["first"]
    world.turn(loop)
    assert seen == ["first", "added"]


def test_what_is_ready_runs_before_the_timers_that_fall_due(world: World, loop: Any) -> None:
    seen: list[str] = []
    loop.call_later(0, seen.append, "timer")
    loop.call_at(loop.time() - 60, seen.append, "overdue timer")
    loop.call_soon(seen.append, "ready")
    world.turn(loop)
    assert seen == ["ready", "overdue timer", "timer"]


def test_a_turn_takes_events_before_due_timers(world: World, loop: Any) -> None:
    reading, writing = os.pipe()
    seen: list[str] = []
    os.write(writing, b"x")
    loop.call_at(loop.time() - 1, seen.append, "timer")
    loop.add_reader(reading, seen.append, "reader")
    loop.call_soon(seen.append, "ready")
    world.turn(loop)
    loop.remove_reader(reading)
    os.close(reading)
    os.close(writing)
    assert seen == ["ready", "reader", "timer"]


def test_a_callback_added_by_an_event_waits_for_the_next_turn(world: World, loop: Any) -> None:
    reading, writing = os.pipe()
    seen: list[str] = []

    def readable() -> None:
        os.read(reading, 1)
        seen.append("reader")
        loop.call_soon(seen.append, "added")

    os.write(writing, b"x")
    loop.add_reader(reading, readable)
    world.turn(loop)
    assert seen == ["reader"]
    world.turn(loop)
    assert seen == ["reader", "added"]
    loop.remove_reader(reading)
    os.close(reading)
    os.close(writing)


def test_a_busy_loop_still_polls_at_every_turn(world: World, loop: Any) -> None:
    # A callback that always re-adds itself must starve neither events nor timers.
    reading, writing = os.pipe()
    os.write(writing, b"x")
    seen: list[str] = []
    turns = 0

    def busy() -> None:
        nonlocal turns
        turns += 1
        if len(set(seen)) < 2 and turns < 100_000:
            loop.call_soon(busy)
        else:
            loop.stop()

    loop.add_reader(reading, seen.append, "reader")
    loop.call_later(0.001, seen.append, "timer")
    loop.call_soon(busy)
    loop.run_forever()
    loop.remove_reader(reading)
    os.close(reading)
    os.close(writing)
    assert set(seen) == {"reader", "timer"}


def test_an_earlier_callback_cancels_a_later_one_of_its_turn(world: World, loop: Any) -> None:
    seen: list[str] = []
    loop.call_soon(lambda: (later.cancel(), seen.append("first")))
    later = loop.call_soon(seen.append, "later")
    world.turn(loop, 2)
    assert seen == ["first"]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6, 7, 30])
def test_arguments_arrive_as_they_were_given(world: World, loop: Any, count: int) -> None:
    given = tuple(object() for _ in range(count))
    seen: list[tuple[object, ...]] = []

    def take(*args: object) -> None:
        seen.append(args)

    loop.call_soon(take, *given)
    loop.call_soon_threadsafe(take, *given)
    loop.call_later(-1, take, *given)
    loop.call_at(0, take, *given)
    world.turn(loop)
    assert seen == [given] * 4
    assert all(a is b for args in seen for a, b in zip(args, given, strict=True))


def test_any_callable_will_do(world: World, loop: Any) -> None:
    seen: list[object] = []

    class Callable:
        def __call__(self, value: object) -> None:
            seen.append(value)

        @classmethod
        def of_class(cls, value: object) -> None:
            seen.append(value)

        @staticmethod
        def of_nobody(value: object) -> None:
            seen.append(value)

    for number, callback in enumerate(
        [Callable(), Callable.of_class, Callable.of_nobody, Callable().__call__, seen.append]
    ):
        loop.call_soon(callback, number)
    world.turn(loop)
    assert seen == [0, 1, 2, 3, 4]


# --- Running and stopping -----------------------------------------------------


def test_stop_before_running_gives_exactly_one_turn(world: World, loop: Any) -> None:
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1
        loop.call_soon(count)

    loop.call_soon(count)
    loop.stop()
    loop.run_forever()
    assert turns == 1


def test_stop_lets_the_turn_end_and_keeps_the_rest(world: World, loop: Any) -> None:
    seen: list[str] = []

    def stop() -> None:
        loop.call_soon(seen.append, "added after the stop")
        loop.stop()
        loop.stop()

    loop.call_soon(stop)
    loop.call_soon(seen.append, "ready before the stop")
    loop.run_forever()
    assert seen == ["ready before the stop"]
    world.turn(loop)
    assert seen == ["ready before the stop", "added after the stop"]


def test_a_stop_ends_one_run_only(world: World, loop: Any, in_time: None) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()
    seen: list[str] = []
    loop.call_soon(loop.call_soon, loop.call_soon, seen.append, "third turn")
    loop.call_soon(loop.call_soon, loop.call_soon, loop.stop)
    loop.run_forever()
    assert seen == ["third turn"]


def test_the_loop_runs_as_often_as_asked(world: World, loop: Any) -> None:
    async def give(value: int) -> int:
        await world.sleep(0)
        return value

    assert [loop.run_until_complete(give(n)) for n in range(5)] == list(range(5))


def test_the_running_loop_is_known_while_it_runs(world: World, loop: Any) -> None:
    seen: list[object] = []

    def look() -> None:
        seen.append((asyncio.get_running_loop(), loop.is_running(), asyncio.get_event_loop()))

    assert not loop.is_running()
    loop.call_soon(look)
    world.turn(loop)
    assert seen == [(loop, True, loop)]
    assert not loop.is_running()
    with pytest.raises(RuntimeError, match=r"^no running event loop$"):
        asyncio.get_running_loop()


def test_a_loop_cannot_be_run_by_its_own_callback(world: World, loop: Any) -> None:
    future = loop.create_future()
    runs = [lambda: loop.run_until_complete(future)]
    if world.is_ours or sys.version_info[:2] != (3, 13):
        # Stock 3.13.0 forgets that it runs, and its stop(), when it refuses a nested run_forever().
        runs.append(loop.run_forever)
    errors: list[str] = []

    def again() -> None:
        for run in runs:
            with pytest.raises(RuntimeError) as caught:
                run()
            errors.append(str(caught.value))
        assert loop.is_running()
        assert asyncio.get_running_loop() is loop

    loop.call_soon(again)
    world.turn(loop)
    assert errors == [ALREADY_RUNNING] * len(runs)
    assert not future.done()


def test_a_second_loop_of_a_running_loops_thread_is_refused(world: World, loop: Any) -> None:
    other = world.new_event_loop()
    errors: list[str] = []

    def run_other() -> None:
        with pytest.raises(RuntimeError) as caught:
            other.run_until_complete(other.create_future())
        errors.append(str(caught.value))

    loop.call_soon(run_other)
    world.turn(loop)
    other.close()
    assert errors == [ANOTHER_RUNNING]


def test_loops_of_both_kinds_refuse_each_other(world: World, loop: Any) -> None:
    stock = asyncio.SelectorEventLoop()
    errors: list[str] = []

    def run(other: Any) -> None:
        with pytest.raises(RuntimeError) as caught:
            other.run_until_complete(other.create_future())
        errors.append(str(caught.value))

    loop.call_soon(run, stock)
    world.turn(loop)
    stock.call_soon(run, loop)
    world.turn(stock)
    stock.close()
    assert errors == [ANOTHER_RUNNING] * 2


def test_after_a_refused_nested_run_both_loops_still_work(world: World, loop: Any) -> None:
    other = world.new_event_loop()

    async def nested() -> None:
        with pytest.raises(RuntimeError, match=ANOTHER_RUNNING):
            other.run_until_complete(other.create_future())
        await world.sleep(0)

    loop.run_until_complete(nested())
    other.run_until_complete(world.sleep(0))
    other.close()


# --- run_until_complete -------------------------------------------------------


def test_run_until_complete_takes_whatever_can_be_awaited(world: World, loop: Any) -> None:
    async def coroutine() -> str:
        return "coroutine"

    class Awaitable:
        def __await__(self) -> Any:
            yield
            return "awaitable"

    done = loop.create_future()
    done.set_result("done future")
    later = loop.create_future()
    loop.call_soon(later.set_result, "later future")
    task = loop.create_task(coroutine())
    assert loop.run_until_complete(coroutine()) == "coroutine"
    assert loop.run_until_complete(task) == "coroutine"
    assert loop.run_until_complete(task) == "coroutine"
    assert loop.run_until_complete(Awaitable()) == "awaitable"
    assert loop.run_until_complete(done) == "done future"
    assert loop.run_until_complete(later) == "later future"


@pytest.mark.parametrize("thing", [None, 3, "coroutine", object(), lambda: None, []])
def test_run_until_complete_refuses_what_cannot_be_awaited(
    world: World, loop: Any, thing: object
) -> None:
    text = r"^An asyncio.Future, a coroutine or an awaitable is required$"
    with pytest.raises(TypeError, match=text):
        loop.run_until_complete(thing)
    assert not loop.is_running()


def test_run_until_complete_refuses_a_coroutine_function(world: World, loop: Any) -> None:
    async def main() -> None: ...

    with pytest.raises(TypeError, match=r"^An asyncio.Future, a coroutine or an awaitable is"):
        loop.run_until_complete(main)


def test_run_until_complete_refuses_a_future_of_another_loop(world: World, loop: Any) -> None:
    other = world.new_event_loop()
    future = other.create_future()
    text = r"^The future belongs to a different loop than the one specified as the loop argument$"
    with pytest.raises(ValueError, match=text):
        loop.run_until_complete(future)
    other.close()


def test_run_until_complete_raises_what_the_future_holds(world: World, loop: Any) -> None:
    async def fail() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match=r"^here$"):
        loop.run_until_complete(fail())
    cancelled = loop.create_future()
    cancelled.cancel("why")
    with pytest.raises(asyncio.CancelledError, match=r"^why$"):
        loop.run_until_complete(cancelled)
    assert not loop.is_running()


def test_a_loop_stopped_early_says_that_the_future_is_pending(world: World, loop: Any) -> None:
    async def never() -> None:
        loop.stop()
        await loop.create_future()

    with pytest.raises(RuntimeError, match=r"^Event loop stopped before Future completed.$"):
        loop.run_until_complete(never())
    # The task of an interrupted run may be dropped without a word.


def test_a_stopped_run_leaves_no_trace_on_its_future(world: World, loop: Any) -> None:
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match="stopped before Future completed"):
        loop.run_until_complete(future)
    seen: list[int] = []

    async def other() -> None:
        future.set_result(None)
        for number in range(3):
            await world.sleep(0)
            seen.append(number)

    loop.run_until_complete(other())
    assert seen == [0, 1, 2]


def test_a_future_done_in_the_stopping_turn_counts(world: World, loop: Any) -> None:
    future = loop.create_future()
    loop.call_soon(loop.stop)
    loop.call_soon(future.set_result, 7)
    assert loop.run_until_complete(future) == 7


# --- What leaves the loop -----------------------------------------------------


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_out_of_a_callback_leaves_the_loop_usable(
    world: World, loop: Any, kind: type[BaseException]
) -> None:
    seen: list[str] = []

    def interrupt() -> None:
        raise kind("now")

    for add in (
        loop.call_soon,
        loop.call_soon_threadsafe,
        lambda callback: loop.call_at(0, callback),
    ):
        seen.clear()
        loop.call_soon(seen.append, "before")
        add(interrupt)
        loop.call_soon(loop.call_at, 0, seen.append, "after")
        with pytest.raises(kind, match=r"^now$"):
            loop.run_forever()
        assert not loop.is_running()
        assert asyncio._get_running_loop() is None
        assert seen[0] == "before"
        # Nothing that waited behind the interrupt is lost.
        world.turn(loop, 3)
        assert seen == ["before", "after"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_out_of_a_task_is_raised_once_and_kept(
    world: World, loop: Any, kind: type[BaseException]
) -> None:
    async def interrupt() -> None:
        await world.sleep(0)
        raise kind("now")

    task = loop.create_task(interrupt())
    with pytest.raises(kind, match=r"^now$"):
        loop.run_forever()
    assert task.done()
    assert type(task.exception()) is kind
    assert loop.run_until_complete(world.sleep(0, "goes on")) == "goes on"


def test_an_interrupted_run_until_complete_logs_nothing(world: World, loop: Any) -> None:
    async def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(interrupt())
    gc.collect()


@pytest.mark.parametrize("kind", [Escaping, GeneratorExit, asyncio.CancelledError, StopIteration])
def test_any_other_base_exception_is_reported_and_the_loop_goes_on(
    world: World, loop: Any, kind: type[BaseException]
) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    seen: list[str] = []

    def fail() -> None:
        raise kind

    loop.call_soon(fail)
    loop.call_soon(seen.append, "after")
    world.turn(loop)
    assert seen == ["after"]
    assert [type(context["exception"]) for context in contexts] == [kind]


def test_a_handler_that_stops_the_loop_in_the_middle_of_a_turn(world: World, loop: Any) -> None:
    seen: list[str] = []
    loop.set_exception_handler(lambda loop, _: loop.stop())
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(seen.append, "same turn")
    loop.run_forever()
    assert seen == ["same turn"]


# --- Resting and waking -------------------------------------------------------


@pytest.mark.slow
def test_an_idle_loop_rests(world: World, loop: Any) -> None:
    loop.call_later(0.25, loop.stop)
    cpu = time.thread_time()
    switches = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    loop.run_forever()
    cpu = time.thread_time() - cpu
    switches = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - switches
    assert cpu < 0.05
    # One poll is one switch; the rest is room for a page fault or two.
    assert switches < 5


def test_a_resting_loop_is_woken_by_a_descriptor(world: World, loop: Any, in_time: None) -> None:
    reading, writing = os.pipe()
    loop.add_reader(reading, loop.stop)
    thread = threading.Timer(0.02, os.write, (writing, b"x"))
    thread.start()
    loop.run_forever()
    thread.join()
    loop.remove_reader(reading)
    os.close(reading)
    os.close(writing)


def test_a_resting_loop_is_woken_by_a_timer(world: World, loop: Any, in_time: None) -> None:
    loop.call_later(0.02, loop.stop)
    start = time.monotonic()
    loop.run_forever()
    assert time.monotonic() - start >= 0.02


def test_a_resting_loop_is_woken_by_another_thread(world: World, loop: Any, in_time: None) -> None:
    thread = threading.Timer(0.02, loop.call_soon_threadsafe, (loop.stop,))
    thread.start()
    loop.run_forever()
    thread.join()


def test_a_wake_before_the_rest_is_not_lost(world: World, loop: Any, in_time: None) -> None:
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(loop.stop,))
    thread.start()
    thread.join()
    loop.run_forever()


# --- Closing ------------------------------------------------------------------


def test_a_loop_is_closed_once_and_stays_closed(world: World) -> None:
    loop = world.new_event_loop()
    assert not loop.is_closed()
    loop.close()
    assert loop.is_closed()
    loop.close()
    assert loop.is_closed()
    assert not loop.is_running()


def test_a_closed_loop_refuses_work(world: World) -> None:
    loop = world.new_event_loop()
    loop.close()
    future = loop.create_future()
    reading, writing = os.pipe()

    async def main() -> None: ...

    coroutine = main()
    for refused in (
        lambda: loop.call_soon(print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.call_later(1, print),
        lambda: loop.call_later(0, print),
        lambda: loop.call_at(1, print),
        lambda: loop.create_task(coroutine),
        lambda: loop.add_reader(reading, print),
        lambda: loop.add_writer(writing, print),
        lambda: loop.add_signal_handler(10, print),
        lambda: loop.run_in_executor(None, print),
        lambda: loop.run_until_complete(future),
        loop.run_forever,
        loop._check_closed,
    ):
        with pytest.raises(RuntimeError, match=f"^{CLOSED}$"):
            refused()
    coroutine.close()
    os.close(reading)
    os.close(writing)


def test_a_closed_loop_still_answers(world: World) -> None:
    loop = world.new_event_loop()
    loop.close()
    assert loop.time() > 0
    assert loop.get_debug() is False
    assert loop.create_future().get_loop() is loop
    assert loop.remove_reader(0) is False
    assert loop.remove_writer(0) is False
    assert loop.remove_signal_handler(10) is False
    assert repr(loop) == f"<{type(loop).__name__} running=False closed=True debug=False>"
    loop.stop()


def test_a_running_loop_cannot_be_closed(world: World, loop: Any) -> None:
    errors: list[str] = []

    def close() -> None:
        with pytest.raises(RuntimeError) as caught:
            loop.close()
        errors.append(str(caught.value))

    loop.call_soon(close)
    world.turn(loop)
    assert errors == ["Cannot close a running event loop"]
    assert not loop.is_closed()


def test_closing_drops_what_was_to_run(world: World) -> None:
    class Token:
        pass

    loop = world.new_event_loop()
    tokens = [Token() for _ in range(4)]
    gone = [weakref.ref(token) for token in tokens]
    seen: list[object] = []
    handles = [
        loop.call_soon(seen.append, tokens[0]),
        loop.call_later(60, seen.append, tokens[1]),
        loop.call_soon_threadsafe(seen.append, tokens[2]),
    ]
    reading, writing = os.pipe()
    loop.add_reader(reading, seen.append, tokens[3])
    loop.close()
    os.close(reading)
    os.close(writing)
    del tokens, handles
    gc.collect()
    assert [ref() for ref in gone] == [None] * 4
    assert seen == []


def test_a_loop_that_is_forgotten_open_warns_and_closes(world: World) -> None:
    loop = world.new_event_loop()
    text = f"unclosed event loop {loop!r}"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del loop
        gc.collect()
    mine = [w for w in caught if "unclosed event loop" in str(w.message)]
    assert [(w.category, str(w.message)) for w in mine] == [(ResourceWarning, text)]


def test_a_callback_may_let_go_of_the_last_reference_to_its_loop(world: World) -> None:
    # The run itself must keep the loop alive to its end.
    holder = [world.new_event_loop()]
    seen: list[str] = []
    holder[0].call_soon(lambda: (holder[0].stop(), holder.clear(), seen.append("ran")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        holder[0].run_forever()
        gc.collect()
    assert seen == ["ran"]


# --- What the loop hands out --------------------------------------------------


def test_the_repr_says_the_state(world: World, loop: Any) -> None:
    name = type(loop).__name__
    assert repr(loop) == f"<{name} running=False closed=False debug=False>"
    seen: list[str] = []
    loop.set_debug(True)
    loop.call_soon(lambda: seen.append(repr(loop)))
    world.turn(loop)
    assert seen == [f"<{name} running=True closed=False debug=True>"]


def test_the_loop_is_an_event_loop_of_asyncio(world: World, loop: Any) -> None:
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert type(loop) is world.EventLoop
    assert weakref.ref(loop)() is loop
    loop.an_attribute = 5
    assert loop.an_attribute == 5


def test_the_loop_gives_futures_and_tasks_of_its_world(world: World, loop: Any) -> None:
    async def main() -> int:
        return 5

    future = loop.create_future()
    assert isinstance(future, world.Future)
    assert isinstance(future, asyncio.Future) or not world.shares_layout
    assert future.get_loop() is loop
    task = loop.create_task(main(), name="named")
    assert isinstance(task, world.Task)
    assert isinstance(task, asyncio.Task) or not world.shares_layout
    assert task.get_loop() is loop
    assert task.get_name() == "named"
    keyword = loop.create_task(coro=main())
    assert loop.run_until_complete(task) == 5
    assert loop.run_until_complete(keyword) == 5


def test_a_task_is_not_run_by_its_creation(world: World, loop: Any) -> None:
    seen: list[str] = []

    async def main() -> None:
        seen.append("ran")

    task = loop.create_task(main())
    assert seen == []
    world.turn(loop)
    assert seen == ["ran"] and task.done()


@pytest.mark.parametrize("thing", [None, 5, "coroutine", object(), print])
def test_a_task_wants_a_coroutine(world: World, loop: Any, thing: object) -> None:
    with pytest.raises(TypeError, match=r"^a coroutine was expected, got "):
        loop.create_task(thing)


def test_a_task_factory_makes_the_tasks(world: World, loop: Any) -> None:
    made: list[tuple[Any, dict[str, Any]]] = []

    class MyTask(world.Task):  # type: ignore[name-defined,misc]
        pass

    def factory(loop: Any, coroutine: Any, **kwargs: Any) -> Any:
        made.append((loop, kwargs))
        return MyTask(coroutine, loop=loop, **kwargs)

    async def main() -> str:
        return asyncio.current_task().get_name()  # type: ignore[union-attr]

    assert loop.get_task_factory() is None
    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    task = loop.create_task(main(), name="mine")
    assert type(task) is MyTask
    assert loop.run_until_complete(task) == "mine"
    loop.run_until_complete(main())
    assert [each for each, _ in made] == [loop, loop]
    context = contextvars.copy_context()
    loop.run_until_complete(loop.create_task(main(), context=context))
    assert made[-1][1]["context"] is context
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None
    assert type(loop.create_task(main())) is world.Task
    world.turn(loop)


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="3.13.3 on hand a factory the keywords")
def test_a_task_factory_of_two_arguments_is_enough(world: World, loop: Any) -> None:
    async def main() -> int:
        return 5

    loop.set_task_factory(lambda loop, coroutine: world.Task(coroutine, loop=loop))
    assert loop.run_until_complete(main()) == 5
    task = loop.create_task(main(), name="named")
    assert task.get_name() == "named"
    assert loop.run_until_complete(task) == 5


@pytest.mark.parametrize("thing", [1, "factory", object()])
def test_a_task_factory_must_be_callable(world: World, loop: Any, thing: object) -> None:
    with pytest.raises(TypeError, match=r"^task factory must be a callable or None$"):
        loop.set_task_factory(thing)
    assert loop.get_task_factory() is None


def test_what_a_task_factory_raises_is_raised(world: World, loop: Any) -> None:
    def factory(loop: Any, coroutine: Any, **kwargs: Any) -> Any:
        coroutine.close()
        raise LookupError("no tasks today")

    async def main() -> None: ...

    loop.set_task_factory(factory)
    with pytest.raises(LookupError, match=r"^no tasks today$"):
        loop.create_task(main())
    with pytest.raises(LookupError, match=r"^no tasks today$"):
        loop.run_until_complete(main())


def test_the_loops_time_is_the_monotonic_clock(world: World, loop: Any) -> None:
    before = time.monotonic()
    now = loop.time()
    after = time.monotonic()
    assert type(now) is float
    assert before <= now <= after


def test_the_loops_time_moves_within_a_callback(world: World, loop: Any) -> None:
    # A clock read once a turn would hide how long a callback takes.
    seen: list[float] = []

    def look() -> None:
        start = loop.time()
        time.sleep(0.003)
        seen.append(loop.time() - start)

    loop.call_soon(look)
    world.turn(loop)
    assert seen[0] >= 0.003


# --- Contexts -----------------------------------------------------------------

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_a_callback_runs_in_a_copy_of_the_context_it_was_added_in(world: World, loop: Any) -> None:
    seen: list[str] = []

    def look(then: str) -> None:
        seen.append(variable.get())
        variable.set(then)

    def add() -> None:
        variable.set("one")
        loop.call_soon(look, "changed")
        loop.call_soon_threadsafe(look, "changed")
        loop.call_at(0, look, "changed")
        variable.set("two")
        loop.call_soon(look, "changed")
        assert variable.get() == "two"

    contextvars.copy_context().run(add)
    world.turn(loop)
    assert sorted(seen) == ["one", "one", "one", "two"]
    assert variable.get() == "unset"


def test_a_context_that_is_given_is_used_itself(world: World, loop: Any) -> None:
    context = contextvars.Context()
    seen: list[str] = []

    def step(then: str) -> None:
        seen.append(variable.get())
        variable.set(then)

    loop.call_soon(step, "one", context=context)
    loop.call_soon_threadsafe(step, "two", context=context)
    loop.call_at(0, step, "three", context=context)
    loop.call_later(-1, step, "four", context=context)
    world.turn(loop)
    assert seen == ["unset", "one", "two", "three"]
    assert context[variable] == "four"
    assert variable.get() == "unset"


def test_no_context_means_the_present_one(world: World, loop: Any) -> None:
    seen: list[str] = []

    def add() -> None:
        variable.set("mine")
        loop.call_soon(lambda: seen.append(variable.get()), context=None)

    contextvars.copy_context().run(add)
    world.turn(loop)
    assert seen == ["mine"]


def test_a_context_that_is_entered_already_is_reported(world: World, loop: Any) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    seen: list[str] = []
    context = contextvars.Context()
    loop.call_soon(seen.append, "never", context=context)
    loop.call_soon(seen.append, "after")
    if sys.version_info >= (3, 12):
        # There an exception handler runs in the handle's context, which cannot be entered.
        loop.set_exception_handler(None)
        loop.call_exception_handler = contexts.append
    context.run(world.turn, loop)
    assert seen == ["after"]
    assert [type(each["exception"]) for each in contexts] == [RuntimeError]
    assert str(contexts[0]["exception"]).startswith("cannot enter context: ")


def test_the_loops_own_context_is_unchanged_after_a_failing_callback(
    world: World, loop: Any, logged: Log
) -> None:
    def fail() -> None:
        variable.set("left behind")
        raise LookupError

    loop.call_soon(fail)
    world.turn(loop)
    assert variable.get() == "unset"


# --- Callbacks that turn on what runs them ------------------------------------


def test_a_callback_may_cancel_its_own_handle(world: World, loop: Any) -> None:
    seen: list[object] = []
    loop_handle = loop.call_soon(lambda: (loop_handle.cancel(), seen.append("soon")))
    timer = loop.call_at(0, lambda: (timer.cancel(), seen.append("timer")))
    safe = loop.call_soon_threadsafe(lambda: (safe.cancel(), seen.append("safe")))
    world.turn(loop, 2)
    assert sorted(map(str, seen)) == ["safe", "soon", "timer"]
    assert loop_handle.cancelled() and timer.cancelled() and safe.cancelled()


def test_a_callback_that_cancels_itself_and_fails_is_reported(world: World, loop: Any) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))

    def fail() -> None:
        handle.cancel()
        raise LookupError("after the cancel")

    handle = loop.call_soon(fail)
    world.turn(loop)
    assert str(contexts[0]["exception"]) == "after the cancel"
    assert contexts[0]["handle"] is handle


def test_a_callback_may_drop_its_own_handle(world: World, loop: Any) -> None:
    seen: list[str] = []
    holder: dict[str, Any] = {}

    def drop(token: object) -> None:
        holder.clear()
        gc.collect()
        seen.append(type(token).__name__)

    holder["handle"] = loop.call_soon(drop, object())
    holder["timer"] = loop.call_at(0, drop, object())
    world.turn(loop)
    assert seen == ["object", "object"]


def test_a_finaliser_may_add_callbacks_at_any_moment(world: World, loop: Any) -> None:
    seen: list[str] = []

    class Token:
        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(self) -> None:
            seen.append(f"{self.name} ran")

        def __del__(self) -> None:
            loop.call_soon(seen.append, f"{self.name} gone")

    loop.call_soon(Token("soon"))
    loop.call_soon(lambda token: None, Token("argument"))
    loop.call_at(0, Token("timer"))
    loop.call_soon(Token("cancelled")).cancel()
    loop.call_later(60, Token("cancelled timer")).cancel()
    world.turn(loop, 2)
    gc.collect()
    world.turn(loop, 2)
    assert sorted(seen) == [
        "argument gone",
        "cancelled gone",
        "cancelled timer gone",
        "soon gone",
        "soon ran",
        "timer gone",
        "timer ran",
    ]


def test_a_finaliser_that_runs_in_close_finds_the_loop_closed(world: World) -> None:
    loop = world.new_event_loop()
    errors: list[str] = []

    class Token:
        def __del__(self) -> None:
            try:
                loop.call_soon(print)
            except RuntimeError as error:
                errors.append(str(error))

    loop.call_soon(print, Token())
    loop.call_later(60, print, Token())
    loop.call_soon(print, Token()).cancel()
    del errors[:]  # That of the cancelled one, which ran before the close, added a print.
    loop.close()
    gc.collect()
    assert errors == [CLOSED] * 2


def test_a_callback_may_empty_the_whole_schedule(world: World, loop: Any) -> None:
    seen: list[int] = []
    handles: list[Any] = []

    def cancel_all() -> None:
        for handle in handles:
            handle.cancel()

    loop.call_soon(cancel_all)
    handles += [loop.call_soon(seen.append, n) for n in range(100)]
    handles += [loop.call_at(0, seen.append, n) for n in range(100)]
    handles += [loop.call_later(60, seen.append, n) for n in range(100)]
    world.turn(loop, 2)
    assert seen == []


def test_one_turn_can_be_run_by_hand(world: World, loop: Any) -> None:
    # Test helpers of the wild call it; a turn with nothing ready would rest.
    seen: list[int] = []
    loop.call_soon(seen.append, 1)
    loop.call_soon(seen.append, 2)
    loop._run_once()
    assert seen == [1, 2]
