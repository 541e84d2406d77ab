"""run() and Runner: the way in that most programs take."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Log, World

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
RUNNING = "cannot be called from a running event loop"


@pytest.fixture(autouse=True)
def control_c_is_pythons() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


async def nothing() -> None: ...


# --- run ----------------------------------------------------------------------


def test_run_gives_what_the_coroutine_returns(world: World) -> None:
    async def main() -> str:
        await world.sleep(0)
        return "result"

    assert world.run(main()) == "result"


def test_run_raises_what_the_coroutine_raises(world: World) -> None:
    async def main(kind: type[BaseException]) -> None:
        await world.sleep(0)
        raise kind("from main")

    for kind in (LookupError, KeyboardInterrupt, SystemExit, asyncio.CancelledError):
        with pytest.raises(kind, match=r"^from main$"):
            world.run(main(kind))


def test_run_makes_a_loop_of_its_world_and_closes_it(world: World) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, world.EventLoop)
        assert not loop.get_debug()
        return loop

    first, second = world.run(main()), world.run(main())
    assert first is not second
    assert first.is_closed() and second.is_closed()
    assert asyncio._get_running_loop() is None


@pytest.mark.parametrize("debug", [True, False])
def test_run_sets_the_debug_mode(world: World, debug: bool) -> None:
    async def main() -> bool:
        return asyncio.get_running_loop().get_debug()

    assert world.run(main(), debug=debug) is debug


@pytest.mark.skipif(sys.version_info < (3, 12), reason="loop_factory of run came with 3.12")
def test_run_takes_a_loop_factory(world: World) -> None:
    class Mine(world.EventLoop):  # type: ignore[name-defined,misc]
        pass

    async def main() -> type:
        return type(asyncio.get_running_loop())

    assert world.run(main(), loop_factory=Mine) is Mine
    assert world.run(main(), loop_factory=world.new_event_loop) is world.EventLoop
    # Asyncio's own run takes our factory and ours takes asyncio's.
    assert asyncio.run(main(), loop_factory=world.new_event_loop) is world.EventLoop
    stock = asyncio.SelectorEventLoop
    assert world.run(main(), loop_factory=stock) is stock


@pytest.mark.parametrize("thing", [None, 5, nothing, "main"])
def test_run_wants_a_coroutine(world: World, thing: object) -> None:
    if sys.version_info >= (3, 14):
        kind, text = TypeError, "An asyncio.Future, a coroutine or an awaitable is required"
    else:
        kind, text = ValueError, f"a coroutine was expected, got {thing!r}"
    with pytest.raises(kind) as caught:
        world.run(thing)
    assert str(caught.value) == text


@pytest.mark.skipif(sys.version_info < (3, 14), reason="run takes any awaitable from 3.14 on")
def test_run_takes_whatever_can_be_awaited(world: World) -> None:
    class Awaitable:
        def __await__(self) -> Any:
            yield
            return "result"

    assert world.run(Awaitable()) == "result"


def test_run_cannot_be_nested(world: World) -> None:
    async def main() -> str:
        coroutine = nothing()
        with pytest.raises(RuntimeError) as caught:
            world.run(coroutine)
        coroutine.close()
        return str(caught.value)

    assert world.run(main()) == f"asyncio.run() {RUNNING}"


def test_run_cancels_what_is_left_and_waits_for_it(world: World) -> None:
    log: list[str] = []

    async def leftover(name: str) -> None:
        try:
            await world.sleep(3600)
        except asyncio.CancelledError:
            await world.sleep(0)
            log.append(name)
            raise

    async def main() -> str:
        tasks = [world.create_task(leftover(name)) for name in ("one", "two")]
        await world.sleep(0)
        assert len(tasks) == 2
        return "result"

    assert world.run(main()) == "result"
    assert sorted(log) == ["one", "two"]


def test_run_reports_what_a_leftover_raises_when_cancelled(world: World, logged: Log) -> None:
    async def leftover() -> None:
        try:
            await world.sleep(3600)
        finally:
            raise LookupError("at the end")

    async def main() -> Any:
        task = world.create_task(leftover())
        await world.sleep(0)
        return task

    task = world.run(main())
    assert str(task.exception()) == "at the end"
    assert logged.texts()[0].startswith(
        f"unhandled exception during asyncio.run() shutdown\ntask: {task!r}"
    )


def test_a_task_made_but_never_begun_takes_one_step_at_the_end(world: World) -> None:
    # It was ready before the end, so it begins, and is cancelled where it first waits.
    log: list[str] = []

    async def begun() -> None:
        log.append("begun")
        await world.sleep(0)
        log.append("never")

    async def main() -> Any:
        return world.create_task(begun())

    assert world.run(main()).cancelled()
    assert log == ["begun"]


def test_run_leaves_the_thread_without_a_current_loop(world: World) -> None:
    def look() -> None:
        world.run(nothing())
        with pytest.raises(RuntimeError, match=r"^There is no current event loop in thread"):
            asyncio.get_event_loop()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()


def test_run_works_in_a_thread(world: World) -> None:
    async def main() -> None:
        await world.sleep(0.001)
        results.append(threading.current_thread())

    results: list[threading.Thread] = []
    thread = threading.Thread(target=lambda: world.run(main()))
    thread.start()
    thread.join()
    assert results == [thread]


# --- Runner -------------------------------------------------------------------


def test_a_runner_runs_as_often_as_asked_in_one_loop(world: World) -> None:
    async def main(value: int) -> tuple[Any, int]:
        return asyncio.get_running_loop(), value

    with world.Runner() as runner:
        loop = runner.get_loop()
        assert isinstance(loop, world.EventLoop)
        assert [runner.run(main(n)) for n in range(3)] == [(loop, n) for n in range(3)]
        assert not loop.is_closed()
    assert loop.is_closed()


def test_a_runner_keeps_its_context(world: World) -> None:
    async def main(value: str) -> str:
        before = variable.get()
        variable.set(value)
        return before

    with world.Runner() as runner:
        assert runner.run(main("one")) == "unset"
        assert runner.run(main("two")) == "one"
        context = contextvars.Context()
        assert runner.run(main("three"), context=context) == "unset"
        assert context[variable] == "three"
        assert runner.run(main("four")) == "two"
    assert variable.get() == "unset"


def test_a_runner_makes_no_loop_before_it_is_needed(world: World) -> None:
    made: list[Any] = []

    def factory() -> Any:
        made.append(world.new_event_loop())
        return made[-1]

    runner = world.Runner(loop_factory=factory)
    runner.close()
    assert made == []
    with world.Runner(loop_factory=factory) as runner:
        assert [runner.get_loop()] == made
    assert made[0].is_closed()


def test_a_closed_runner_refuses(world: World) -> None:
    runner = world.Runner()
    runner.get_loop()
    runner.close()
    runner.close()
    coroutine = nothing()
    with pytest.raises(RuntimeError, match=r"^Runner is closed$"):
        runner.run(coroutine)
    coroutine.close()
    with pytest.raises(RuntimeError, match=r"^Runner is closed$"), runner:
        pass


def test_a_runner_cannot_run_inside_a_running_loop(world: World, loop: Any) -> None:
    async def main() -> str:
        coroutine = nothing()
        with pytest.raises(RuntimeError) as caught:
            runner.run(coroutine)
        coroutine.close()
        return str(caught.value)

    with world.Runner() as runner:
        assert loop.run_until_complete(main()) == f"Runner.run() {RUNNING}"


def test_a_runner_sets_the_debug_mode(world: World) -> None:
    for debug in (True, False):
        with world.Runner(debug=debug) as runner:
            assert runner.get_loop().get_debug() is debug


def test_a_factory_that_fails_is_heard(world: World) -> None:
    def factory() -> Any:
        raise LookupError("no loops today")

    with pytest.raises(LookupError, match=r"^no loops today$"), world.Runner(loop_factory=factory):
        pass


# --- Control-C ----------------------------------------------------------------


def press_control_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_control_c_cancels_the_main_task(world: World, in_time: None) -> None:
    log: list[str] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(press_control_c)
        try:
            await world.sleep(3600)
        except asyncio.CancelledError:
            log.append("cancelled")
            await world.sleep(0)
            log.append("cleaned up")
            raise

    with pytest.raises(KeyboardInterrupt):
        world.run(main())
    assert log == ["cancelled", "cleaned up"]


def test_control_c_wakes_a_resting_program(world: World, in_time: None) -> None:
    async def main() -> None:
        thread.start()
        await asyncio.get_running_loop().create_future()

    thread = threading.Timer(0.02, press_control_c)
    with pytest.raises(KeyboardInterrupt):
        world.run(main())
    thread.join()


def test_a_main_that_does_not_mind_control_c_ends_as_it_likes(world: World, in_time: None) -> None:
    async def main() -> str:
        asyncio.get_running_loop().call_soon(press_control_c)
        try:
            await world.sleep(3600)
        except asyncio.CancelledError:
            return "result"
        return "never"

    assert world.run(main()) == "result"


def test_a_second_control_c_does_not_ask(world: World, in_time: None) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(press_control_c)
        try:
            await world.sleep(3600)
        except asyncio.CancelledError:
            press_control_c()
            pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt):
        world.run(main())


def test_control_c_in_a_blocking_callback_comes_when_it_ends(world: World, in_time: None) -> None:
    log: list[str] = []

    async def main() -> None:
        press_control_c()
        log.append("goes on to the next await")
        await world.sleep(3600)

    with pytest.raises(KeyboardInterrupt):
        world.run(main())
    assert log == ["goes on to the next await"]


def test_a_program_with_its_own_handler_keeps_it(world: World) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda signum, frame: seen.append(signum))
    try:

        async def main() -> None:
            press_control_c()
            await world.sleep(0)

        world.run(main())
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]
