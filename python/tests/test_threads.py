"""Threads: waking a loop from another one, several loops at once, and the wrong thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import World

WRONG_THREAD = "Non-thread-safe operation invoked on an event loop other than the current one"


def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """What the function returns, or raises, in a thread of its own."""
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        return executor.submit(function, *args).result(timeout=30)


# --- No lost wake-up ----------------------------------------------------------


@pytest.mark.slow
def test_what_many_threads_add_all_runs_in_each_threads_order(world: World, loop: Any) -> None:
    producers, each = 8, 10_000
    seen: list[list[int]] = [[] for _ in range(producers)]
    left = producers

    def produce(number: int) -> None:
        add = seen[number].append
        for value in range(each):
            loop.call_soon_threadsafe(add, value)
        loop.call_soon_threadsafe(finished)

    def finished() -> None:
        nonlocal left
        left -= 1
        if not left:
            loop.stop()

    threads = [threading.Thread(target=produce, args=(n,)) for n in range(producers)]
    for thread in threads:
        thread.start()
    loop.run_forever()
    for thread in threads:
        thread.join()
    expected = list(range(each))
    assert [values == expected for values in seen] == [True] * producers


@pytest.mark.slow
def test_a_loop_about_to_rest_never_misses_a_call(world: World, loop: Any) -> None:
    # Each round the loop has nothing left and goes to rest while the other thread calls.
    rounds = 2_000
    answered = threading.Event()
    failures: list[int] = []

    def ask() -> None:
        for number in range(rounds):
            answered.clear()
            loop.call_soon_threadsafe(answered.set)
            if not answered.wait(timeout=20):
                failures.append(number)
                break
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=ask)
    thread.start()
    loop.run_forever()
    thread.join()
    assert failures == []


@pytest.mark.slow
def test_a_busy_loop_lets_a_thread_in_each_time(world: World, loop: Any, in_time: None) -> None:
    # Fails where the loop lets go of the interpreter so often, and takes it back so fast, that the
    # thread's claim to it is lost each time.
    def keep_busy() -> None:
        loop.call_soon(keep_busy)

    def come_in() -> None:
        for _ in range(20):
            time.sleep(0.001)
        loop.call_soon_threadsafe(loop.stop)

    loop.call_soon(keep_busy)
    thread = threading.Thread(target=come_in)
    thread.start()
    loop.run_forever()
    thread.join()


def test_threads_that_race_with_a_busy_loop_lose_nothing(world: World, loop: Any) -> None:
    total = 4 * 2_000
    count = 0
    interval = sys.getswitchinterval()

    def add() -> None:
        nonlocal count
        count += 1
        if count == total:
            loop.stop()

    def keep_busy() -> None:
        if count < total:
            loop.call_soon(keep_busy)

    def produce() -> None:
        for _ in range(total // 4):
            loop.call_soon_threadsafe(add)

    threads = [threading.Thread(target=produce) for _ in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        loop.call_soon(keep_busy)
        loop.run_forever()
    finally:
        sys.setswitchinterval(interval)
    for thread in threads:
        thread.join()
    assert count == total


def test_calls_of_one_thread_and_calls_of_the_loop_share_one_queue(world: World, loop: Any) -> None:
    # Whoever adds first runs first, by whichever way it was added.
    seen: list[int] = []
    for number in range(10):
        if number % 2:
            in_thread(loop.call_soon_threadsafe, seen.append, number)
        else:
            loop.call_soon(seen.append, number)
    world.turn(loop)
    assert seen == list(range(10))


def test_the_loops_own_thread_may_use_the_threadsafe_way(world: World, loop: Any) -> None:
    seen: list[str] = []
    loop.call_soon(loop.call_soon_threadsafe, seen.append, "inner")
    world.turn(loop)
    assert seen == []
    world.turn(loop)
    assert seen == ["inner"]


def test_a_timer_added_threadsafe_shortens_the_rest(world: World, loop: Any, in_time: None) -> None:
    loop.call_later(3600, print)
    thread = threading.Timer(0.01, loop.call_soon_threadsafe, (loop.call_later, 0.001, loop.stop))
    thread.start()
    loop.run_forever()
    thread.join()


def test_other_threads_run_while_the_loop_rests(world: World, loop: Any, in_time: None) -> None:
    steps: list[int] = []

    def work() -> None:
        for number in range(50):
            steps.append(number)
            time.sleep(0)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=work)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    assert steps == list(range(50))


# --- Closing against other threads --------------------------------------------


def test_a_closed_loop_refuses_the_other_thread(world: World) -> None:
    loop = world.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        in_thread(loop.call_soon_threadsafe, print)


def test_closing_while_other_threads_call_is_survived(world: World) -> None:
    # Each call is either taken or refused; none crashes, and the descriptors are gone.
    for _ in range(20):
        loop = world.new_event_loop()
        started = threading.Barrier(3)
        refusals: list[str] = []

        def produce(
            loop: Any = loop, started: Any = started, refusals: list[str] = refusals
        ) -> None:
            started.wait()
            try:
                for _ in range(100_000):
                    loop.call_soon_threadsafe(int)
            except RuntimeError as error:
                refusals.append(str(error))

        threads = [threading.Thread(target=produce) for _ in range(2)]
        for thread in threads:
            thread.start()
        started.wait()
        world.turn(loop, 3)
        loop.close()
        for thread in threads:
            thread.join()
        assert set(refusals) <= {"Event loop is closed"}


def test_a_running_loop_cannot_be_closed_or_run_by_another_thread(
    world: World, loop: Any, in_time: None
) -> None:
    errors: list[str] = []
    future = loop.create_future()

    def meddle() -> None:
        for attempt in (loop.close, functools.partial(loop.run_until_complete, future)):
            try:
                attempt()
            except RuntimeError as error:
                errors.append(str(error))
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=meddle)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    assert errors == ["Cannot close a running event loop", "This event loop is already running"]
    assert not loop.is_closed()


# --- Several loops ------------------------------------------------------------


def test_two_loops_run_at_once_in_two_threads(world: World) -> None:
    both = threading.Barrier(2, timeout=20)

    async def main(name: str) -> tuple[Any, str, int]:
        loop = asyncio.get_running_loop()
        # Each waits, within its running loop, for the other to be running too.
        both.wait()
        task = asyncio.current_task()
        assert task is not None and task.get_loop() is loop
        for _ in range(200):
            await world.sleep(0)
            assert asyncio.get_running_loop() is loop
            assert asyncio.current_task() is task
            assert world.current_task() is task
            assert asyncio.all_tasks() == {task}
        await world.sleep(0.002)
        return loop, name, threading.get_ident()

    results: list[tuple[Any, str, int]] = []

    def run(name: str) -> None:
        results.append(world.run(main(name)))

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for _, name, _ in results) == ["one", "two"]
    (first, _, _), (second, _, _) = results
    assert first is not second


@pytest.mark.slow
def test_many_loops_in_many_threads_pass_a_word_around(world: World) -> None:
    count = 8
    loops: list[Any] = [None] * count
    ready = threading.Barrier(count + 1, timeout=20)
    done = threading.Event()

    def run(number: int) -> None:
        loop = loops[number] = world.new_event_loop()
        loop.call_soon(ready.wait)
        loop.run_forever()
        loop.close()

    def pass_on(hop: int) -> None:
        if hop == 400:
            done.set()
            for loop in loops:
                loop.call_soon_threadsafe(loop.stop)
        else:
            loops[hop % count].call_soon_threadsafe(pass_on, hop + 1)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    ready.wait()
    pass_on(0)
    for thread in threads:
        thread.join()
    assert done.is_set()


def test_a_loop_may_be_made_in_one_thread_and_run_in_another(world: World, loop: Any) -> None:
    seen: list[int] = []
    loop.call_soon(lambda: seen.append(threading.get_ident()))

    def run() -> int:
        assert loop.run_until_complete(world.sleep(0.001, "slept")) == "slept"
        return threading.get_ident()

    assert in_thread(run) == seen[0] != threading.get_ident()
    assert loop.run_until_complete(world.sleep(0, "back")) == "back"


def test_a_thread_without_a_loop_has_none(world: World, loop: Any) -> None:
    errors: list[str] = []

    def look() -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError as error:
            errors.append(str(error))

    loop.call_soon(in_thread, look)
    world.turn(loop)
    assert errors == ["no running event loop"]


# --- Asking across threads ----------------------------------------------------


def running_in_thread(loop: Any) -> threading.Thread:
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    return thread


def test_a_coroutine_may_be_handed_to_a_loop_elsewhere(world: World, loop: Any) -> None:
    async def work(fail: bool) -> str:
        await world.sleep(0.001)
        if fail:
            raise LookupError("there")
        assert asyncio.get_running_loop() is loop
        return "result"

    thread = running_in_thread(loop)
    assert asyncio.run_coroutine_threadsafe(work(False), loop).result(20) == "result"
    with pytest.raises(LookupError, match=r"^there$"):
        asyncio.run_coroutine_threadsafe(work(True), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_a_coroutine_elsewhere_can_be_cancelled_from_here(world: World, loop: Any) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    thread = running_in_thread(loop)
    future = asyncio.run_coroutine_threadsafe(work(), loop)
    assert begun.wait(20)
    assert future.cancel()
    assert cancelled.wait(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_a_future_of_a_thread_may_be_awaited(world: World, loop: Any) -> None:
    there: concurrent.futures.Future[str] = concurrent.futures.Future()
    here = world.wrap_future(there, loop=loop)
    assert isinstance(here, world.Future)
    thread = threading.Timer(0.005, there.set_result, ("from the thread",))
    thread.start()
    assert loop.run_until_complete(here) == "from the thread"
    thread.join()


# --- A callback that runs here is cancelled there -----------------------------

GUARDS = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="asyncio guards its handles since 3.14"
)


def queued(loop: Any, by_hand: bool, callback: Callable[..., Any], *args: Any) -> Any:
    """The handle of a callback that is queued as for another thread."""
    handle = loop.call_soon_threadsafe(callback, *args)
    if by_hand:
        handle.cancel()
        handle = type(handle)(callback, args, loop)
        loop._add_callback(handle)
    return handle


@GUARDS
@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("question", ["cancel", "cancelled"])
def test_a_question_from_another_thread_waits_until_the_callback_has_run(
    world: World, loop: Any, in_time: None, question: str, by_hand: bool
) -> None:
    seen: list[str] = []
    begun, answered = threading.Event(), threading.Event()

    def callback(name: str) -> None:
        begun.set()
        # Long enough for an answer that nobody holds back.
        assert not answered.wait(0.02)
        seen.append(name)

    def ask() -> None:
        begun.wait()
        getattr(handle, question)()
        answered.set()
        seen.append("answered")

    handle = queued(loop, by_hand, callback, "ran")
    assert isinstance(handle, asyncio.events._ThreadSafeHandle)
    assert isinstance(handle, world.Handle)
    thread = threading.Thread(target=ask)
    thread.start()
    world.turn(loop)
    thread.join()
    assert seen == ["ran", "answered"]
    assert handle.cancelled() == (question == "cancel")


@GUARDS
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_handle_cancelled_while_the_loop_waits_for_its_lock_does_not_run(
    world: World, loop: Any, in_time: None, by_hand: bool
) -> None:
    seen: list[str] = []
    held, begun = threading.Event(), threading.Event()

    def cancel() -> None:
        with handle._lock:
            held.set()
            begun.wait()
            # Most likely the loop waits for the lock by now; if not, it waits for nothing.
            time.sleep(0.01)
            handle.cancel()

    loop.call_soon(begun.set)
    handle = queued(loop, by_hand, seen.append, "ran")
    thread = threading.Thread(target=cancel)
    thread.start()
    held.wait()
    world.turn(loop)
    thread.join()
    assert seen == []


@GUARDS
def test_a_callback_may_cancel_its_own_guarded_handle(
    world: World, loop: Any, in_time: None
) -> None:
    def callback(name: str) -> None:
        handle.cancel()
        seen.append((name, handle.cancelled(), handle._args))

    seen: list[Any] = []
    handle = loop.call_soon_threadsafe(callback, "ran")
    assert repr(handle).startswith("<_ThreadSafeHandle test_a_callback_may_cancel")
    world.turn(loop)
    assert seen == [("ran", True, None)]
    assert repr(handle) == "<_ThreadSafeHandle cancelled>"


@GUARDS
def test_a_guarded_handle_whose_callback_raises_lets_go_of_its_lock(
    world: World, loop: Any, logged: Any
) -> None:
    def fail() -> None:
        raise LookupError("there")

    def leave() -> None:
        raise SystemExit(3)

    for callback in (fail, leave):
        handle = loop.call_soon_threadsafe(callback)
        if callback is leave:
            with pytest.raises(SystemExit):
                world.turn(loop)
        else:
            world.turn(loop)
        assert in_thread(handle.cancelled) is False
    (record,) = logged.records
    assert record.exc_info[0] is LookupError


@GUARDS
def test_a_guarded_handle_knows_who_made_it_in_debug_mode(world: World, loop: Any) -> None:
    loop.set_debug(True)
    handle = loop.call_soon_threadsafe(print)
    here = handle._source_traceback[-1]
    assert here.name == "test_a_guarded_handle_knows_who_made_it_in_debug_mode"
    handle.cancel()
    assert "created at" in repr(handle)


# --- The wrong thread ---------------------------------------------------------


def test_in_debug_mode_the_wrong_thread_is_refused(world: World, loop: Any, in_time: None) -> None:
    loop.set_debug(True)
    errors: list[str] = []
    future = loop.create_future()
    future.add_done_callback(print)

    def meddle() -> None:
        for attempt in (
            lambda: loop.call_soon(print),
            lambda: loop.call_later(1, print),
            lambda: loop.call_at(1, print),
            lambda: future.set_result(None),
        ):
            try:
                attempt()
            except RuntimeError as error:
                errors.append(str(error))
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=meddle)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    assert errors == [WRONG_THREAD] * 4


def test_in_debug_mode_a_loop_at_rest_belongs_to_nobody(world: World, loop: Any) -> None:
    loop.set_debug(True)
    seen: list[str] = []
    in_thread(loop.call_soon, seen.append, "soon")
    in_thread(loop.call_later, -1, seen.append, "timer")
    world.turn(loop)
    assert seen == ["soon", "timer"]


def test_out_of_debug_mode_the_wrong_thread_is_not_looked_at(world: World, loop: Any) -> None:
    seen: list[str] = []
    loop.call_soon(in_thread, loop.call_soon, seen.append, "soon")
    world.turn(loop, 2)
    assert seen == ["soon"]
