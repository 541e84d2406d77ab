"""A Python subclass of the loop may override its methods, and the loop itself uses the overrides.

What goes through which public method is asyncio's: tracers and test clocks rely on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Log, World


def looked_through(world: World, *names: str) -> Any:
    """A loop that notes each call of the named methods, and passes it on."""
    calls: list[str] = []

    class Noting(world.EventLoop):  # type: ignore[name-defined,misc]
        pass

    def note(name: str) -> Callable[..., Any]:
        inherited = getattr(world.EventLoop, name)

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return inherited(self, *args, **kwargs)

        return method

    for name in names:
        setattr(Noting, name, note(name))
    loop = Noting()
    loop.calls = calls
    return loop


def test_a_subclass_keeps_its_own_state(world: World) -> None:
    class Mine(world.EventLoop):  # type: ignore[name-defined,misc]
        answer = 42

        def __init__(self, first: int, *, second: int) -> None:
            super().__init__()
            self.sum = first + second

        @property
        def twice(self) -> int:
            return self.sum * 2

    loop = Mine(1, second=2)
    assert (loop.answer, loop.sum, loop.twice) == (42, 3, 6)
    assert loop.run_until_complete(world.sleep(0, "runs")) == "runs"
    assert repr(loop) == "<Mine running=False closed=False debug=False>"
    loop.close()


def test_call_soon_is_asked_by_tasks_and_futures(world: World) -> None:
    loop = looked_through(world, "call_soon")

    async def main() -> None:
        await world.sleep(0)
        await world.sleep(0)

    loop.run_until_complete(main())
    # The first step, one for each sleep(0), and the callback that ends the run.
    assert loop.calls == ["call_soon"] * 4
    loop.calls.clear()
    future = loop.create_future()
    future.add_done_callback(lambda future: None)
    future.add_done_callback(lambda future: None)
    future.set_result(None)
    assert loop.calls == ["call_soon"] * 2
    world.turn(loop)
    loop.close()


def test_a_future_that_wakes_a_task_asks_call_soon(world: World) -> None:
    loop = looked_through(world, "call_soon")
    future = loop.create_future()

    async def main() -> str:
        return await future  # type: ignore[no-any-return]

    task = loop.create_task(main())
    world.turn(loop)
    loop.calls.clear()
    future.set_result("woken")
    assert loop.calls == ["call_soon"]
    assert loop.run_until_complete(task) == "woken"
    loop.close()


def test_an_overridden_call_soon_may_wrap_what_runs(world: World) -> None:
    log: list[str] = []

    class Wrapping(world.EventLoop):  # type: ignore[name-defined,misc]
        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
            def run(*args: Any) -> None:
                log.append("before")
                callback(*args)
                log.append("after")

            return super().call_soon(run, *args, context=context)

    async def main() -> str:
        log.append("step 1")
        await world.sleep(0)
        log.append("step 2")
        return "result"

    loop = Wrapping()
    assert loop.run_until_complete(main()) == "result"
    loop.close()
    assert log == [
        *("before", "step 1", "after"),
        *("before", "step 2", "after"),
        *("before", "after"),
    ]


def test_call_soon_may_be_replaced_on_the_loop_itself(world: World, loop: Any) -> None:
    # As instrumentation does it.
    original = loop.call_soon
    count = 0

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        return original(*args, **kwargs)

    loop.call_soon = counting
    assert loop.run_until_complete(world.sleep(0, "result")) == "result"
    assert count == 3
    del loop.call_soon
    loop.run_until_complete(world.sleep(0))
    assert count == 3


def test_sleeping_asks_call_later_and_that_asks_call_at(world: World) -> None:
    loop = looked_through(world, "call_later", "call_at")
    loop.run_until_complete(world.sleep(1e-9))
    assert loop.calls == ["call_later", "call_at"]
    loop.close()


def test_sleeping_asks_create_future(world: World) -> None:
    loop = looked_through(world, "create_future")
    loop.run_until_complete(world.sleep(1e-9))
    loop.run_until_complete(world.sleep(0))
    assert loop.calls == ["create_future"]
    loop.close()


def test_an_overridden_call_later_moves_the_sleeps(world: World) -> None:
    class Hurrying(world.EventLoop):  # type: ignore[name-defined,misc]
        def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
            return super().call_later(delay / 1e12, callback, *args, context=context)

    loop = Hurrying()
    assert loop.run_until_complete(world.sleep(3600, "woken")) == "woken"
    loop.close()


def test_run_until_complete_asks_run_forever_and_stop(world: World) -> None:
    loop = looked_through(world, "run_forever", "stop", "create_task")

    async def main() -> None: ...

    loop.run_until_complete(main())
    assert loop.calls == ["create_task", "run_forever", "stop"]
    loop.close()


def test_create_task_of_the_module_asks_the_loop(world: World) -> None:
    loop = looked_through(world, "create_task")

    async def nothing() -> None: ...

    async def main() -> None:
        loop.calls.clear()
        await world.create_task(nothing())
        await asyncio.create_task(nothing())
        await world.ensure_future(nothing())
        await asyncio.gather(nothing(), nothing())

    loop.run_until_complete(main())
    assert loop.calls == ["create_task"] * 5
    loop.close()


def test_a_subclass_may_hand_out_futures_and_tasks_of_its_own(world: World) -> None:
    class MyFuture(world.Future):  # type: ignore[name-defined,misc]
        pass

    class MyTask(world.Task):  # type: ignore[name-defined,misc]
        pass

    class Mine(world.EventLoop):  # type: ignore[name-defined,misc]
        def create_future(self) -> Any:
            return MyFuture(loop=self)

        def create_task(self, coro: Any, **kwargs: Any) -> Any:
            return MyTask(coro, loop=self, **kwargs)

    async def main() -> Any:
        assert type(asyncio.current_task()) is MyTask
        await world.sleep(1e-9)
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, type(future))
        return await future

    loop = Mine()
    assert loop.run_until_complete(main()) is MyFuture
    loop.close()


def test_call_soon_threadsafe_may_be_overridden(world: World) -> None:
    loop = looked_through(world, "call_soon_threadsafe")
    loop.run_until_complete(loop.run_in_executor(None, int))
    assert loop.calls == ["call_soon_threadsafe"]
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_get_debug_may_be_overridden(world: World) -> None:
    class Mine(world.EventLoop):  # type: ignore[name-defined,misc]
        def get_debug(self) -> bool:
            return True

    with contextlib.closing(Mine()) as loop:
        handle = loop.call_soon(print, 5)
        assert "(5)" in repr(handle)
        assert "created at" in repr(handle)


def test_an_override_that_fails_is_heard_where_it_is_asked(world: World, logged: Log) -> None:
    class Refused(Exception):
        pass

    class Refusing(world.EventLoop):  # type: ignore[name-defined,misc]
        refusing = False

        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
            if self.refusing:
                raise Refused
            return super().call_soon(callback, *args, context=context)

    loop = Refusing()
    future = loop.create_future()
    future.add_done_callback(print)
    loop.refusing = True
    with pytest.raises(Refused):
        future.set_result(1)
    with pytest.raises(Refused):
        loop.call_soon(print)

    async def main() -> None: ...

    coroutine = main()
    with pytest.raises(Refused):
        loop.create_task(coroutine)
    coroutine.close()
    loop.refusing = False
    loop.run_until_complete(world.sleep(0))
    loop.close()
    # The task came to be and was never scheduled.
    assert [text.splitlines()[0] for text in logged.texts(logging.ERROR)] == [
        "Task was destroyed but it is pending!"
    ]


def test_close_may_be_overridden(world: World) -> None:
    log: list[str] = []

    class Mine(world.EventLoop):  # type: ignore[name-defined,misc]
        def close(self) -> None:
            log.append("mine")
            super().close()
            log.append("closed" if self.is_closed() else "open")

    with world.Runner(loop_factory=Mine) as runner:
        runner.run(world.sleep(0))
    assert log == ["mine", "closed"]


def test_methods_may_be_mixed_in(world: World) -> None:
    class Greeting:
        def greet(self) -> str:
            return f"hello from {type(self).__name__}"

        def time(self) -> float:
            return super().time() + 1e6  # type: ignore[misc,no-any-return]

    class Mixed(Greeting, world.EventLoop):  # type: ignore[name-defined,misc]
        pass

    loop = Mixed()
    assert loop.greet() == "hello from Mixed"
    assert loop.call_later(0, print).when() > 1e6
    loop.close()


def test_a_subclass_of_a_subclass_works(world: World) -> None:
    class Child(world.EventLoop):  # type: ignore[name-defined,misc]
        def time(self) -> float:
            return super().time() + 1000  # type: ignore[no-any-return]

    class Grandchild(Child):
        def time(self) -> float:
            return super().time() + 1000

    loop, plain = Grandchild(), world.new_event_loop()
    assert 2000 <= loop.time() - plain.time() + 0.001
    plain.close()
    loop.close()
