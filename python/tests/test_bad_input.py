"""Bad input: asyncio's error, never a crash, and nothing lost.

What one method refuses is tested beside that method; here is what all of them have in common,
and what only a hostile or careless program does.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import os
import sys
import threading
import weakref
from typing import Any

import pytest
from conftest import Log, World

METHODS = (
    "add_reader",
    "add_signal_handler",
    "add_writer",
    "call_at",
    "call_exception_handler",
    "call_later",
    "call_soon",
    "call_soon_threadsafe",
    "close",
    "create_future",
    "create_task",
    "default_exception_handler",
    "get_debug",
    "get_exception_handler",
    "get_task_factory",
    "is_closed",
    "is_running",
    "remove_reader",
    "remove_signal_handler",
    "remove_writer",
    "run_forever",
    "run_in_executor",
    "run_until_complete",
    "set_debug",
    "set_default_executor",
    "set_exception_handler",
    "set_task_factory",
    "shutdown_asyncgens",
    "shutdown_default_executor",
    "stop",
    "time",
)
TAKE_NOTHING = (
    "close",
    "create_future",
    "get_debug",
    "get_exception_handler",
    "get_task_factory",
    "is_closed",
    "is_running",
    "run_forever",
    "shutdown_asyncgens",
    "stop",
    "time",
)


# --- Calls of the wrong shape -------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_keyword_nobody_knows_is_refused(world: World, loop: Any, method: str) -> None:
    with pytest.raises(TypeError):
        getattr(loop, method)(no_such_keyword=1)
    assert not loop.is_closed()


@pytest.mark.parametrize("method", [m for m in METHODS if m not in TAKE_NOTHING])
def test_a_missing_argument_is_refused(world: World, loop: Any, method: str) -> None:
    if method == "shutdown_default_executor":
        pytest.skip("it needs none")
    with pytest.raises(TypeError):
        getattr(loop, method)()


@pytest.mark.parametrize("method", TAKE_NOTHING)
def test_an_argument_too_many_is_refused(world: World, loop: Any, method: str) -> None:
    with pytest.raises(TypeError):
        getattr(loop, method)(1)
    assert not loop.is_closed()


def test_methods_take_the_names_that_asyncio_gives_them(world: World, loop: Any) -> None:
    async def main() -> None: ...

    loop.call_soon(callback=int)
    loop.call_soon_threadsafe(callback=int, context=None)
    loop.call_later(delay=0, callback=int)
    loop.call_at(when=0, callback=int, context=contextvars.copy_context())
    reading, writing = os.pipe()
    loop.add_reader(fd=reading, callback=int)
    loop.add_writer(fd=writing, callback=int)
    assert loop.remove_reader(fd=reading) and loop.remove_writer(fd=writing)
    os.close(reading)
    os.close(writing)
    loop.set_debug(enabled=False)
    loop.set_exception_handler(handler=None)
    loop.set_task_factory(factory=None)
    loop.run_until_complete(future=loop.create_task(coro=main(), name=None, context=None))


@pytest.mark.parametrize("thing", [5, "context", object(), {}])
def test_a_context_that_is_none_runs_nothing(world: World, loop: Any, thing: object) -> None:
    # It is noticed when the turn comes, and reported. asyncio then misses a method of it, which
    # is an accident: we say that the type is wrong.
    seen: list[str] = []
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    loop.call_soon(seen.append, "never", context=thing)
    loop.call_at(0, seen.append, "never", context=thing)
    world.turn(loop)
    kind = TypeError if world.is_ours else AttributeError
    assert [type(context["exception"]) for context in contexts] == [kind] * 2
    assert seen == []
    loop.call_soon(seen.append, "after")
    world.turn(loop)
    assert seen == ["after"]


def test_a_loop_takes_only_a_truth_for_debug(world: World, loop: Any) -> None:
    class Undecided:
        def __bool__(self) -> bool:
            raise LookupError("neither")

    loop.set_debug(1)
    assert bool(loop.get_debug()) is True
    loop.set_debug("")
    assert bool(loop.get_debug()) is False
    try:
        loop.set_debug(Undecided())
    except LookupError:
        # To ask at once is as good as asyncio's asking later.
        pass
    loop.set_debug(False)
    loop.run_until_complete(world.sleep(0))


@pytest.mark.parametrize("thing", [None, "slow", object()])
def test_a_duration_that_is_none_does_not_break_the_loop(
    world: World, loop: Any, logged: Log, thing: object
) -> None:
    try:
        loop.slow_callback_duration = thing
    except TypeError:
        assert world.is_ours
    loop.call_soon(int)
    world.turn(loop)


# --- Loops of another kind, and loops that are no more ------------------------


def test_objects_of_two_loops_do_not_mix(world: World, loop: Any) -> None:
    other = world.new_event_loop()
    future = other.create_future()

    async def main() -> None:
        await future

    task = loop.create_task(main())
    text = r"got Future <Future pending.*> attached to a different loop$"
    with pytest.raises(RuntimeError, match=text):
        loop.run_until_complete(task)
    other.close()


def test_a_future_of_a_closed_loop_keeps_its_result(world: World) -> None:
    loop = world.new_event_loop()
    future = loop.create_future()
    loop.close()
    future.set_result(5)
    assert future.result() == 5
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        future.add_done_callback(print)


def test_a_task_of_a_closed_loop_can_be_dropped(world: World, logged: Log) -> None:
    loop = world.new_event_loop()

    async def main() -> None:
        await loop.create_future()

    task = loop.create_task(main())
    world.turn(loop)
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        task.cancel()
    del task
    gc.collect()
    assert [text.splitlines()[0] for text in logged.texts()] == [
        "Task was destroyed but it is pending!"
    ]


def test_a_loop_made_without_its_init_fails_with_an_exception(world: World) -> None:
    # Whichever exception: the interpreter must live.
    class Hollow(world.EventLoop):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            pass

        def __del__(self) -> None:
            pass

    loop = Hollow()
    for method, args in (
        ("call_soon", (int,)),
        ("call_later", (0, int)),
        ("call_soon_threadsafe", (int,)),
        ("create_future", ()),
        ("add_reader", (0, int)),
        ("run_forever", ()),
        ("run_in_executor", (None, int)),
        ("is_running", ()),
        ("is_closed", ()),
        ("stop", ()),
        ("close", ()),
        ("time", ()),
        ("__repr__", ()),
    ):
        if method == "run_forever" and world.is_ours:
            # A loop that is whole enough would run for ever.
            loop.stop()
        try:
            getattr(loop, method)(*args)
        except Exception as error:
            assert isinstance(error, (AttributeError, RuntimeError, TypeError, ValueError, OSError))
    asyncio._set_running_loop(None)


@pytest.mark.filterwarnings("ignore")  # asyncio leaves a half-made loop behind.
def test_init_may_be_called_twice(world: World, loop: Any) -> None:
    # It makes no sense and must do no harm.
    other = world.new_event_loop()
    seen: list[str] = []
    other.call_soon(seen.append, "perhaps")
    try:
        other.__init__()
    except (RuntimeError, TypeError):
        assert world.is_ours
    other.close()
    gc.collect()
    loop.run_until_complete(world.sleep(0))


@pytest.mark.filterwarnings("ignore")  # asyncio leaves a half-made loop behind.
def test_the_native_types_are_not_made_by_accident(world: World, loop: Any) -> None:
    for make in (
        lambda: world.Handle(),
        lambda: world.TimerHandle(),
        lambda: world.Handle(1, 2),
        lambda: world.Future(1, 2, 3),
        lambda: world.Task(),
        lambda: world.Task(5, loop=loop),
        lambda: world.EventLoop(1, 2, 3),
    ):
        with pytest.raises(TypeError):
            make()


# --- Programs that fight the loop ---------------------------------------------


def test_a_turn_inside_a_turn_is_survived(world: World, loop: Any) -> None:
    # _run_once is private, and some programs nest it all the same.
    seen: list[str] = []

    def nest() -> None:
        seen.append("outer begins")
        loop.call_soon(seen.append, "inner")
        loop._run_once()
        seen.append("outer ends")

    loop.call_soon(nest)
    loop.call_soon(seen.append, "after")
    loop.stop()
    loop.call_soon(seen.append, "last")
    try:
        loop.run_forever()
    except IndexError:
        # asyncio counted what the inner turn has taken away.
        assert not world.is_ours
    assert seen[0] == "outer begins"
    assert "inner" in seen
    world.turn(loop)


def test_the_running_loop_may_be_hidden_for_a_moment(world: World, loop: Any) -> None:
    other = world.new_event_loop()
    seen: list[Any] = []

    def hide() -> None:
        asyncio._set_running_loop(None)
        try:
            seen.append(other.run_until_complete(world.sleep(0, "nested")))
        finally:
            asyncio._set_running_loop(loop)

    loop.call_soon(hide)
    world.turn(loop)
    other.close()
    assert seen == ["nested"]


def test_arguments_that_hate_to_be_seen_run_anyway(world: World, loop: Any) -> None:
    class Shy:
        def __repr__(self) -> str:
            raise LookupError("do not look")

        def __eq__(self, other: object) -> bool:
            raise LookupError("do not compare")

        __hash__ = None  # type: ignore[assignment]

        def __bool__(self) -> bool:
            raise LookupError("do not ask")

        def __call__(self, *args: object) -> None:
            seen.append(len(args))

    seen: list[int] = []
    shy = Shy()
    loop.call_soon(shy, shy, shy)
    loop.call_at(0, shy, shy)
    loop.call_soon_threadsafe(shy)
    loop.call_soon(shy).cancel()
    world.turn(loop)
    assert sorted(seen) == [0, 1, 2]


def test_a_callable_that_changes_its_mind_is_called_as_it_is_then(world: World, loop: Any) -> None:
    seen: list[str] = []

    class Callable:
        def __call__(self) -> None:
            seen.append("before")

    loop.call_soon(Callable())
    Callable.__call__ = lambda self: seen.append("after")  # type: ignore[method-assign]
    world.turn(loop)
    assert seen == ["after"]


def test_deep_recursion_in_a_callback_is_an_error_like_any_other(world: World, loop: Any) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))

    def recurse() -> None:
        recurse()

    loop.call_soon(recurse)
    world.turn(loop)
    assert [type(context["exception"]) for context in contexts] == [RecursionError]


def test_a_hundred_thousand_callbacks_fit(world: World, loop: Any) -> None:
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    for _ in range(100_000):
        loop.call_soon(step)
    world.turn(loop)
    assert count == 100_000


def test_a_long_chain_of_futures_is_let_go(world: World, loop: Any) -> None:
    # Each holds the next: to drop the first drops them all, one inside the other.
    first = loop.create_future()
    link = first
    for _ in range(20_000):
        following = loop.create_future()
        link.set_result(following)
        link = following
    ends = [weakref.ref(first), weakref.ref(link)]
    del link, following, first
    gc.collect()
    assert [end() for end in ends] == [None, None]


@pytest.mark.filterwarnings("ignore")  # asyncio leaves a half-made loop behind.
def test_an_exhausted_descriptor_table_is_an_oserror(world: World, tmp_path: Any) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
    fillers: list[int] = []
    try:
        while True:
            try:
                fillers.append(os.dup(0))
            except OSError:
                break
        with pytest.raises(OSError, match="Too many open files"):
            world.new_event_loop()
    finally:
        for fd in fillers:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    gc.collect()
    loop = world.new_event_loop()
    loop.run_until_complete(world.sleep(0))
    loop.close()


def test_a_loop_used_by_many_threads_without_care_does_not_crash(world: World, loop: Any) -> None:
    # Out of debug mode nobody looks at the thread. Results may be anything; the end may not.
    stop = threading.Event()

    # What asyncio raises then: a queue or a heap changed while it was looked at.
    raised = (RuntimeError, IndexError, ValueError)
    allowed = contextlib.nullcontext() if world.is_ours else contextlib.suppress(*raised)
    if not world.is_ours:
        # A handle that is cancelled while it is run is reported.
        loop.set_exception_handler(lambda loop, context: None)

    def meddle() -> None:
        while not stop.is_set():
            with allowed:
                meddle_once()

    def meddle_once() -> None:
        for _ in range(10):
            handle = loop.call_soon(int)
            timer = loop.call_later(0.0001, int)
            handle.cancel()
            timer.cancel()
            loop.create_future().cancel()
            repr(loop)
            loop.time()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=meddle) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        for _ in range(200):
            with allowed:
                world.turn(loop)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    world.turn(loop)
