"""Debug mode: what it refuses, what it remembers, and what it says of slow callbacks."""

from __future__ import annotations

import _thread
import asyncio
import logging
import re
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from conftest import Log, World

HERE = re.escape(__file__)


def debugged_loop(world: World) -> Any:
    """A loop in debug mode, whose clock only moves when a callback moves it."""

    class Clocked(world.EventLoop):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.now = 1000.0
            self.set_debug(True)

        def time(self) -> float:
            return self.now

    return Clocked()


@pytest.fixture
def clocked(world: World) -> Any:
    loop = debugged_loop(world)
    yield loop
    loop.close()


def slow_texts(logged: Log) -> list[str]:
    slow = [r for r in logged.records if r.getMessage().startswith("Executing ")]
    assert {(r.name, r.levelname) for r in slow} <= {("asyncio", "WARNING")}
    return [r.getMessage() for r in slow]


# --- Switching it on ----------------------------------------------------------


def test_debug_mode_is_off_until_asked_for(world: World, loop: Any) -> None:
    assert loop.get_debug() is False
    loop.set_debug(True)
    assert loop.get_debug() is True
    loop.set_debug(False)
    assert loop.get_debug() is False


@pytest.mark.parametrize(
    ("env", "options", "expected"),
    [
        ({}, (), "False"),
        ({"PYTHONASYNCIODEBUG": "1"}, (), "True"),
        ({"PYTHONASYNCIODEBUG": ""}, (), "False"),
        ({"PYTHONASYNCIODEBUG": "1"}, ("-E",), "False"),
        ({}, ("-X", "dev"), "True"),
        ({"PYTHONDEVMODE": "1"}, (), "True"),
    ],
)
def test_the_interpreter_may_be_started_in_debug_mode(
    world: World,
    run_program: Any,
    env: dict[str, str],
    options: tuple[str, ...],
    expected: str,
) -> None:
    done = run_program(
        """
        import asyncio

        async def main():
            print(asyncio.get_running_loop().get_debug())

        asyncio.run(main())
        loop = asyncio.new_event_loop()
        print(loop.get_debug())
        loop.close()
        """,
        env=env,
        options=options,
        # -E also ignores PYTHONPATH, by which the package may have been found.
        cwd=Path(world.module.__file__).parents[1],
    )
    assert (done.status, done.out.split()) == (0, [expected, expected]), done.err


def test_debug_mode_may_be_switched_while_the_loop_runs(world: World, loop: Any) -> None:
    depths: list[int] = []

    async def main() -> None:
        for debug in (True, False):
            loop.set_debug(debug)
            # It takes hold in the next turn.
            await world.sleep(0)
            await world.sleep(0)
            depths.append(sys.get_coroutine_origin_tracking_depth())

    before = sys.get_coroutine_origin_tracking_depth()
    loop.run_until_complete(main())
    assert depths == [10, before]


def test_coroutines_remember_their_origin_while_the_loop_runs(world: World, loop: Any) -> None:
    before = sys.get_coroutine_origin_tracking_depth()
    loop.set_debug(True)
    depths: list[int] = []
    loop.call_soon(lambda: depths.append(sys.get_coroutine_origin_tracking_depth()))
    world.turn(loop)
    assert depths == [10]
    assert sys.get_coroutine_origin_tracking_depth() == before


def test_a_coroutine_never_awaited_names_where_it_was_made(world: World) -> None:
    async def forgotten() -> None: ...

    async def main() -> None:
        forgotten()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        world.run(main(), debug=True)
    (text,) = [str(w.message) for w in caught if w.category is RuntimeWarning]
    assert "forgotten' was never awaited\nCoroutine created at (most recent call last)\n" in text


def test_closing_says_so_in_debug_mode(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "asyncio")
    for debug in (False, True):
        loop = world.new_event_loop()
        loop.set_debug(debug)
        caplog.clear()
        loop.close()
        assert [r.msg % ("loop",) for r in caplog.records] == ["Close 'loop'"] * debug


# --- Slow callbacks -----------------------------------------------------------


def test_a_slow_callback_is_named(world: World, clocked: Any, logged: Log) -> None:
    def slow(seconds: float) -> None:
        clocked.now += seconds

    clocked.call_soon(slow, 0.15)
    world.turn(clocked)
    (text,) = slow_texts(logged)
    place = rf"{HERE}:{slow.__code__.co_firstlineno}"
    name = re.escape(slow.__qualname__)
    assert re.fullmatch(
        rf"Executing <Handle {name}\(0\.15\) at {place} created at {HERE}:\d+> took 0\.150 seconds",
        text,
    )


def test_a_slow_timer_is_named_with_its_time(world: World, clocked: Any, logged: Log) -> None:
    def slow() -> None:
        clocked.now += 2

    clocked.call_at(5, slow)
    world.turn(clocked)
    (text,) = slow_texts(logged)
    assert text.startswith("Executing <TimerHandle when=5 ")
    assert text.endswith("> took 2.000 seconds")


@pytest.mark.parametrize(
    ("took", "said"), [(0.0, 0), (0.05, 0), (0.0999, 0), (0.125, 1), (0.15, 1), (7.0, 1)]
)
def test_slow_is_a_tenth_of_a_second(
    world: World, clocked: Any, logged: Log, took: float, said: int
) -> None:
    def work() -> None:
        clocked.now += took

    assert clocked.slow_callback_duration == 0.1
    clocked.call_soon(work)
    world.turn(clocked)
    assert len(slow_texts(logged)) == said


def test_what_is_slow_may_be_set(world: World, clocked: Any, logged: Log) -> None:
    def work() -> None:
        clocked.now += 2

    clocked.slow_callback_duration = 3
    assert clocked.slow_callback_duration == 3
    clocked.call_soon(work)
    world.turn(clocked)
    assert slow_texts(logged) == []
    # Just as slow is slow.
    clocked.slow_callback_duration = 2
    clocked.call_soon(work)
    world.turn(clocked)
    assert len(slow_texts(logged)) == 1


def test_out_of_debug_mode_nobody_looks(world: World, clocked: Any, logged: Log) -> None:
    def work() -> None:
        clocked.now += 10

    clocked.set_debug(False)
    clocked.call_soon(work)
    world.turn(clocked)
    assert slow_texts(logged) == []


def test_each_callback_is_timed_by_itself(world: World, clocked: Any, logged: Log) -> None:
    def work(seconds: float) -> None:
        clocked.now += seconds

    for seconds in (0.06, 0.2, 0.06):
        clocked.call_soon(work, seconds)
    world.turn(clocked)
    (text,) = slow_texts(logged)
    assert "work(0.2)" in text


def test_a_slow_step_names_its_task(world: World, clocked: Any, logged: Log) -> None:
    async def main() -> str:
        clocked.now += 0.15
        await world.sleep(0)
        clocked.now += 0.25
        return "result"

    task = clocked.create_task(main(), name="named")
    world.turn(clocked, 2)
    line = main.__code__.co_firstlineno
    name = re.escape(main.__qualname__)
    first, second = slow_texts(logged)
    assert re.fullmatch(
        rf"Executing <Task pending name='named' coro=<{name}\(\) running at {HERE}:{line + 2}> "
        rf"created at {HERE}:\d+> took 0\.150 seconds",
        first,
    )
    assert re.fullmatch(
        rf"Executing <Task finished name='named' coro=<{name}\(\) done, defined at {HERE}:{line}> "
        rf"result='result' created at {HERE}:\d+> took 0\.250 seconds",
        second,
    )
    assert task.done()


def test_a_slow_wake_up_names_its_task(world: World, clocked: Any, logged: Log) -> None:
    future = clocked.create_future()

    async def main() -> None:
        await future
        clocked.now += 0.15

    task = clocked.create_task(main(), name="woken")
    world.turn(clocked)
    future.set_result(None)
    world.turn(clocked)
    assert task.done()
    (text,) = slow_texts(logged)
    assert text.startswith("Executing <Task finished name='woken' coro=<")


def test_a_slow_callback_that_cancels_its_handle_is_still_named(
    world: World, clocked: Any, logged: Log
) -> None:
    def slow() -> None:
        handle.cancel()
        clocked.now += 1

    handle = clocked.call_soon(slow)
    world.turn(clocked)
    (text,) = slow_texts(logged)
    assert re.match(r"Executing <Handle cancelled .*slow\(\) at ", text)


def test_a_slow_callback_that_fails_is_reported_and_named(
    world: World, clocked: Any, logged: Log
) -> None:
    def slow() -> None:
        clocked.now += 1
        raise LookupError

    clocked.call_soon(slow)
    world.turn(clocked)
    assert len(slow_texts(logged)) == 1
    assert len(logged.texts(logging.ERROR)) == 1


def test_real_time_is_slow_too(world: World, logged: Log) -> None:
    async def main() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0.002
        time.sleep(0.004)
        await world.sleep(0)

    world.run(main(), debug=True)
    text = slow_texts(logged)[0]
    assert re.match(r"Executing <Task pending name='Task-\d+' coro=<", text)
    took = re.search(r" took (\d+\.\d{3}) seconds$", text)
    assert took and float(took[1]) >= 0.004


# --- What debug mode remembers ------------------------------------------------


def test_a_report_tells_where_the_failing_callback_was_added(
    world: World, clocked: Any, logged: Log
) -> None:
    def fail() -> None:
        raise LookupError

    clocked.call_soon(fail)
    world.turn(clocked)
    (text,) = logged.texts(logging.ERROR)
    lines = text.splitlines()
    assert lines[0].startswith("Exception in callback ")
    assert lines[1].startswith("handle: <Handle ")
    assert lines[2] == "source_traceback: Object created at (most recent call last):"
    assert "    clocked.call_soon(fail)" in lines


def test_a_report_from_within_a_callback_tells_where_that_was_added(
    world: World, clocked: Any, logged: Log
) -> None:
    def report() -> None:
        clocked.call_exception_handler({"message": "Words"})

    clocked.call_soon(report)
    world.turn(clocked)
    (text,) = logged.texts(logging.ERROR)
    lines = text.splitlines()
    assert lines[:2] == ["Words", "handle_traceback: Handle created at (most recent call last):"]
    assert "    clocked.call_soon(report)" in lines


def test_what_is_added_where_no_python_code_runs_is_remembered_too(
    world: World, clocked: Any
) -> None:
    # In such a thread asyncio's own frames are all there is, and a native loop has none.
    done = threading.Event()
    contexts: list[dict[str, Any]] = []
    clocked.set_exception_handler(lambda _, context: contexts.append(context))
    clocked.call_soon(_thread.start_new_thread, clocked.call_soon_threadsafe, (int, "no number"))
    clocked.call_soon(_thread.start_new_thread, done.set, ())
    clocked.call_soon(clocked.call_soon, int, "no number")
    world.turn(clocked)
    assert done.wait(10)
    for _ in range(1000):
        if len(contexts) == 2:
            break
        time.sleep(0.001)
        world.turn(clocked)
    assert [type(context["exception"]) for context in contexts] == [ValueError] * 2
    assert all("Handle int('no number')" in repr(c["handle"]) for c in contexts)


def test_code_without_a_file_may_add_callbacks(world: World, clocked: Any) -> None:
    names: dict[str, Any] = {"loop": clocked}
    exec("handle = loop.call_soon(int)\ntimer = loop.call_later(1, int)", names)
    assert repr(names["handle"]) == "<Handle int() created at <string>:1>"
    assert repr(names["timer"]).endswith(" int() created at <string>:2>")


def test_out_of_debug_mode_nothing_is_remembered(world: World, loop: Any) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    loop.call_soon(lambda: 1 / 0)
    world.turn(loop)
    assert "source_traceback" not in contexts[0]
    assert "created at" not in repr(contexts[0]["handle"])


# --- What debug mode refuses --------------------------------------------------


async def coroutine_function() -> None: ...


@pytest.mark.parametrize(
    ("method", "named", "before"),
    [
        ("call_soon", "call_soon", ()),
        ("call_soon_threadsafe", "call_soon_threadsafe", ()),
        ("call_at", "call_at", (0,)),
        ("call_later", "call_at", (0,)),
    ],
)
def test_what_cannot_be_a_callback_is_refused_at_once(
    world: World, clocked: Any, method: str, named: str, before: tuple[object, ...]
) -> None:
    add = getattr(clocked, method)
    for thing in (None, 5, "callback"):
        with pytest.raises(TypeError) as caught:
            add(*before, thing)
        text = f"a callable object was expected by {named}(), got {thing!r}"
        assert str(caught.value) == text
    coroutine = coroutine_function()
    for thing in (coroutine_function, coroutine):
        with pytest.raises(TypeError) as caught:
            add(*before, thing)
        assert str(caught.value) == f"coroutines cannot be used with {named}()"
    coroutine.close()
    world.turn(clocked)


def test_debug_mode_changes_no_order(world: World, clocked: Any) -> None:
    seen: list[str] = []
    clocked.call_later(0, seen.append, "timer")
    clocked.call_soon(seen.append, "soon")
    clocked.call_soon(seen.append, "cancelled").cancel()
    clocked.call_soon_threadsafe(seen.append, "safe")
    world.turn(clocked)
    assert seen == ["soon", "safe", "timer"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_a_debugged_loop_usable(
    world: World, clocked: Any, kind: type[BaseException]
) -> None:
    def interrupt() -> None:
        raise kind

    seen: list[str] = []
    clocked.call_soon(interrupt)
    clocked.call_soon(seen.append, "after")
    with pytest.raises(kind):
        clocked.run_forever()
    world.turn(clocked)
    assert seen == ["after"]
