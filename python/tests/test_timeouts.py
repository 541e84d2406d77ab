"""Timeout, timeout() and timeout_at(): what they promise, and whoever is cancelled when."""

from __future__ import annotations

import asyncio
import gc
import re
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from conftest import World
from scenes import Scene, compare_everywhere, explained, pause
from task_tools import gather_reports, raised

FAR = 1e9


def run(world: World, main: Any) -> Any:
    return world.run(main())


# --- A block that ends in time ---------------------------------------------------


def test_a_block_costs_no_turn(world: World) -> None:
    async def main() -> None:
        ticks: list[int] = []
        asyncio.get_running_loop().call_soon(ticks.append, 1)
        async with world.module.timeout(FAR) as first:
            async with world.module.timeout(None) as second:
                async with world.module.timeout_at(None) as third:
                    assert ticks == []
        assert ticks == []
        assert not first.expired() and not second.expired() and not third.expired()

    run(world, main)


def test_what_it_is_in_each_state(world: World) -> None:
    async def main() -> None:
        state = asyncio.timeouts._State
        timeout = world.module.timeout_at(FAR)
        task = asyncio.current_task()
        assert task is not None
        assert repr(timeout) == "<Timeout [created]>"
        assert (timeout._state, timeout._task, timeout._timeout_handler) == (
            state.CREATED, None, None,
        )  # fmt: skip
        assert "_cancelling" in str(raised(lambda: timeout._cancelling))
        assert timeout.when() == timeout._when == FAR
        async with timeout as entered:
            assert entered is timeout
            assert repr(timeout) == f"<Timeout [active] when={FAR}>"
            assert (timeout._state, timeout._task, timeout._cancelling) == (state.ENTERED, task, 0)
            handle = timeout._timeout_handler
            assert handle.when() == FAR and not handle.cancelled()
            assert handle._callback == timeout._on_timeout and handle._args == ()
            assert re.search(r"Timeout\._on_timeout\(\)", repr(handle))
        assert handle.cancelled() and handle._callback is None
        assert repr(timeout) == "<Timeout [finished]>"
        assert (timeout._state, timeout._timeout_handler) == (state.EXITED, None)
        timeout = world.module.timeout(None)
        async with timeout:
            assert repr(timeout) == "<Timeout [active] when=None>"
            assert timeout._timeout_handler is None

    run(world, main)


def test_when_is_what_it_was_given(world: World) -> None:
    async def main() -> None:
        for when in (10**9, FAR, True + 10**9, float("inf")):
            timeout = world.module.timeout_at(when)
            assert timeout.when() is when
            async with timeout:
                assert timeout.when() is when
                assert timeout._timeout_handler.when() is when
        now = asyncio.get_running_loop().time()
        assert now + 9 < world.module.timeout(10).when() < now + 11

    run(world, main)


def test_attributes_and_weak_references_as_of_a_class_in_python(world: World) -> None:
    timeout = world.module.Timeout(None)
    timeout.mine = [1]
    assert vars(timeout)["mine"] == [1]
    assert weakref.ref(timeout)() is timeout
    assert world.module.Timeout.__name__ == "Timeout"
    assert world.module.Timeout.__module__.endswith("timeouts")


# --- Used wrongly ----------------------------------------------------------------


def test_what_is_done_in_the_wrong_state_is_refused(world: World) -> None:
    async def main() -> None:
        timeout = world.module.timeout(FAR)
        with pytest.raises(RuntimeError, match=r"^Timeout has not been entered$"):
            timeout.reschedule(1)
        with pytest.raises(AssertionError):
            await timeout.__aexit__(None, None, None)
        with pytest.raises(AssertionError):
            timeout._on_timeout()
        async with timeout:
            with pytest.raises(RuntimeError, match=r"^Timeout has already been entered$"):
                await timeout.__aenter__()
        with pytest.raises(RuntimeError, match=r"^Timeout has already been entered$"):
            async with timeout:
                pass
        with pytest.raises(RuntimeError, match=r"^Cannot change state of finished Timeout$"):
            timeout.reschedule(1)
        with pytest.raises(AssertionError):
            await timeout.__aexit__(None, None, None)

    run(world, main)


def test_outside_of_a_task_or_a_loop_there_is_nothing_to_cancel(world: World, loop: Any) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        world.module.timeout(1)
    timeout = world.module.timeout_at(1)
    with pytest.raises(RuntimeError, match="no running event loop"):
        timeout.__aenter__().send(None)
    seen: list[BaseException] = []
    timeout = world.module.timeout_at(1)
    loop.call_soon(lambda: seen.append(raised(lambda: timeout.__aenter__().send(None))))
    world.turn(loop)
    assert str(seen[0]) == "Timeout should be used inside a task"


def test_wrong_arguments_are_type_errors(world: World) -> None:
    async def main() -> None:
        module = world.module
        for call in (
            lambda: module.timeout(),
            lambda: module.timeout_at(),
            lambda: module.timeout("soon"),
            lambda: module.timeout(1, 2),
            lambda: module.Timeout(),
            lambda: module.Timeout(when=1, then=2),
            lambda: module.timeout(None).reschedule(),
            lambda: module.timeout(None).__aexit__(None, None),
        ):
            assert isinstance(raised(call), TypeError)
        with pytest.raises(TypeError):
            async with module.timeout_at("soon"):
                pass
        assert module.timeout(delay=None).when() is None
        assert module.timeout_at(when=FAR).when() == FAR

    run(world, main)


def test_a_coroutine_that_nobody_awaits_warns(world: World) -> None:
    async def main() -> None:
        timeout = world.module.timeout(FAR)
        with pytest.warns(RuntimeWarning, match=r"'Timeout.__aenter__' was never awaited"):
            timeout.__aenter__()
            gc.collect()
        async with timeout:
            pass
        with pytest.warns(RuntimeWarning, match=r"'Timeout.__aexit__' was never awaited"):
            timeout.__aexit__(None, None, None)
            gc.collect()

    run(world, main)


# --- A block that does not -------------------------------------------------------


@pytest.mark.parametrize("delay", [0, -1, -1.5, 0.0, 1e-9])
def test_a_deadline_that_is_over_cancels_what_waits(world: World, delay: float) -> None:
    async def main() -> str:
        task = asyncio.current_task()
        assert task is not None
        try:
            async with world.module.timeout(delay) as timeout:
                await asyncio.get_running_loop().create_future()
        except TimeoutError as error:
            assert timeout.expired() and repr(timeout) == "<Timeout [expired]>"
            assert timeout._timeout_handler is None and task.cancelling() == 0
            return explained(error)
        return "in time"

    assert run(world, main) == "TimeoutError() from CancelledError()"


def test_a_deadline_that_is_over_spares_what_does_not_wait(world: World) -> None:
    async def main() -> None:
        async with world.module.timeout(0) as timeout:
            handle = timeout._timeout_handler
        assert handle.cancelled() and not timeout.expired()
        await pause(2)

    run(world, main)


def test_other_exceptions_stay_and_say_what_they_followed(world: World) -> None:
    async def main() -> list[str]:
        told = []
        for wrong in (ValueError(1), ExceptionGroup("many", [ValueError(2), KeyError(3)])):
            try:
                async with world.module.timeout(0):
                    try:
                        await asyncio.get_running_loop().create_future()
                    finally:
                        raise wrong
            except Exception as error:
                told.append(explained(error))
            try:
                async with world.module.timeout(0):
                    try:
                        await asyncio.get_running_loop().create_future()
                    except asyncio.CancelledError as error:
                        raise wrong from error
            except Exception as error:
                told.append(explained(error))
        try:
            async with world.module.timeout(0):
                try:
                    await asyncio.get_running_loop().create_future()
                except asyncio.CancelledError:
                    raise type("Mine", (asyncio.CancelledError,), {})() from None
        except (TimeoutError, asyncio.CancelledError) as error:
            told.append(explained(error))
        return told

    async def stock() -> Any:
        # What the running asyncio says is right.
        world.module, ours = asyncio, world.module
        try:
            return await main()
        finally:
            world.module = ours

    expected = run(world, stock)
    assert run(world, main) == expected


def test_a_cancellation_from_outside_stays_one(world: World) -> None:
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(asyncio.CancelledError, match="outside"):
            async with world.module.timeout(FAR):
                task.cancel("outside")
                await asyncio.sleep(0)
        assert task.uncancel() == 0
        # Both: whoever asked besides gets his CancelledError.
        with pytest.raises(asyncio.CancelledError):
            async with world.module.timeout(0) as timeout:
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    task.cancel()
                    await asyncio.sleep(0)
        assert timeout.expired() and task.uncancel() == 0

    run(world, main)


def test_rescheduling(world: World) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with world.module.timeout(0) as timeout:
            first = timeout._timeout_handler
            timeout.reschedule(None)
            assert first.cancelled() and timeout._timeout_handler is None
            timeout.reschedule(FAR)
            second = timeout._timeout_handler
            timeout.reschedule(FAR + 1)
            assert second.cancelled() and timeout._timeout_handler.when() == FAR + 1
            await pause(2)
        with pytest.raises(TimeoutError):
            async with world.module.timeout(None) as timeout:
                timeout.reschedule(loop.time() - 1)
                assert not timeout.expired()
                try:
                    await loop.create_future()
                finally:
                    assert timeout.expired() and repr(timeout) == "<Timeout [expiring]>"
                    message = r"^Cannot change state of expiring Timeout$"
                    with pytest.raises(RuntimeError, match=message):
                        timeout.reschedule(None)

    run(world, main)


# --- Whatever has another meaning is called ---------------------------------------


def test_what_a_subclass_overrides_is_called(world: World) -> None:
    calls: list[object] = []

    class Mine(world.module.Timeout):  # type: ignore[name-defined, misc]
        def reschedule(self, when: Any) -> None:
            calls.append(("reschedule", when))
            super().reschedule(when)

        def _on_timeout(self) -> None:
            calls.append("_on_timeout")
            super()._on_timeout()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with Mine(0):
                await asyncio.get_running_loop().create_future()
        assert calls == [("reschedule", 0), "_on_timeout"]
        with pytest.raises(TimeoutError):
            async with Mine(asyncio.get_running_loop().time() + 1e-9):
                await asyncio.get_running_loop().create_future()
        assert len(calls) == 4

    run(world, main)


def test_a_loop_that_overrides_scheduling_is_asked(world: World) -> None:
    calls: list[str] = []

    class Loop(world.EventLoop):  # type: ignore[name-defined, misc]
        def call_at(self, *args: Any, **kwargs: Any) -> Any:
            calls.append("call_at")
            return super().call_at(*args, **kwargs)

        def time(self) -> float:
            calls.append("time")
            return float(super().time())

    async def main() -> None:
        calls.clear()
        async with world.module.timeout(FAR):
            assert calls[:3] == ["time", "time", "call_at"]
        calls.clear()
        async with world.module.timeout_at(FAR) as timeout:
            assert calls == ["time", "call_at"]
            timeout.reschedule(None)
            assert calls == ["time", "call_at"]

    loop = Loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_debug_mode_keeps_who_made_the_timer(world: World, loop: Any) -> None:
    async def main() -> None:
        async with world.module.timeout(FAR) as timeout:
            assert timeout._timeout_handler._source_traceback

    loop.set_debug(True)
    loop.run_until_complete(main())


def test_other_tasks_are_asked_through_their_methods(world: World, loop: Any) -> None:
    asked: list[str] = []

    class Mine(world.Task):  # type: ignore[name-defined, misc]
        def cancelling(self) -> int:
            asked.append("cancelling")
            return int(super().cancelling())

        def uncancel(self) -> int:
            asked.append("uncancel")
            return int(super().uncancel())

        def cancel(self, msg: Any = None) -> bool:
            asked.append("cancel")
            return bool(super().cancel(msg))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with world.module.timeout(0):
                await asyncio.get_running_loop().create_future()

    loop.run_until_complete(Mine(main(), loop=loop))
    assert asked == ["cancelling", "cancel", "uncancel"]


def test_a_task_that_refuses_to_be_cancelled_is_reported(world: World, virtual_loop: Any) -> None:
    class Stubborn(world.Future):  # type: ignore[name-defined, misc]
        def cancel(self, msg: Any = None) -> bool:
            raise LookupError("never")

    reports = gather_reports(virtual_loop)

    async def main() -> None:
        future = Stubborn(loop=virtual_loop)
        virtual_loop.call_later(2, future.set_result, None)
        async with world.module.timeout(1) as timeout:
            await future
        assert not timeout.expired()

    virtual_loop.run_until_complete(main())
    assert [str(report["exception"]) for report in reports] == ["never"]
    assert "Timeout._on_timeout" in reports[0]["message"]


# --- Whoever is cancelled when -----------------------------------------------------


def nested(scene: Scene) -> Callable[[], object]:
    """Blocks in each other that end in different turns, with waits that cannot be hurried."""

    async def stubborn(name: str, turns: int) -> None:
        try:
            await pause(turns)
        except asyncio.CancelledError:
            scene.tell(name, "is cancelled")
            await pause(2)
            raise

    async def use(name: str, outer: float | None, inner: float | None, turns: int) -> str:
        try:
            async with scene.module.timeout(outer) as first:
                try:
                    async with scene.module.timeout(inner) as second:
                        scene.tell(name, (first, second))
                        await stubborn(name, turns)
                except TimeoutError as error:
                    scene.tell(name, explained(error))
                    await pause()
                scene.tell(name, (first, second))
                await scene.loop.create_future() if outer else None
        finally:
            scene.tell(name, (first, second, first.expired(), second.expired()))
        return "done"

    for name, outer, inner, turns in (
        ("a", 6.0, 3.0, 9), ("b", 3.0, 6.0, 9), ("c", 5.0, 5.0, 9), ("d", None, 4, 2),
    ):  # fmt: skip
        scene.start(name, use, name, outer, inner, turns)
    return lambda: len(asyncio.all_tasks(scene.loop))


def moved(scene: Scene) -> Callable[[], object]:
    """A deadline that another task moves, on a future that another task settles."""
    timeouts: list[Any] = []
    future = scene.loop.create_future()

    async def wait(name: str) -> object:
        async with scene.module.timeout_at(9) as timeout:
            timeouts.append(timeout)
            return await future

    async def move() -> None:
        for when in (4, None, 7.0, -1):
            await pause(2)
            for timeout in timeouts:
                try:
                    timeout.reschedule(when)
                except RuntimeError as error:
                    scene.tell("mover", error)
                scene.tell("mover", timeout)

    scene.start("a", wait, "a")
    scene.start("mover", move)

    async def settle() -> None:
        await pause(7)
        if not future.done():
            future.set_result("settled")

    scene.start("settler", settle)
    return lambda: timeouts


@pytest.mark.slow
@pytest.mark.parametrize("scene", [nested, moved], ids=lambda scene: scene.__name__)
def test_whoever_is_cancelled_the_story_is_asyncios(world: World, scene: Any) -> None:
    compare_everywhere(world, scene)
