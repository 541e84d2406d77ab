"""What is seen of a coroutine of a lock or queue by who draws stacks of suspended tasks."""

from __future__ import annotations

import asyncio
import collections.abc
import ctypes
import inspect
import io
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from conftest import World

# What suspends whoever awaits it first, and the name it has.
CALLS: dict[str, Callable[[World], tuple[Any, ...]]] = {}


def call(name: str) -> Callable[[Any], Any]:
    def keep(function: Any) -> Any:
        CALLS[name] = function
        return function

    return keep


@call("Lock.acquire")
def acquire(world: World) -> Any:
    lock = world.module.Lock()
    lock._locked = True
    return lock.acquire


@call("Semaphore.acquire")
def acquire_semaphore(world: World) -> Any:
    return world.module.Semaphore(0).acquire


@call("Event.wait")
def wait(world: World) -> Any:
    return world.module.Event().wait


@call("Queue.get")
def get(world: World) -> Any:
    return world.module.Queue().get


@call("Queue.join")
def join(world: World) -> Any:
    queue = world.module.Queue()
    queue.put_nowait(1)
    return queue.join


@call("_ContextManagerMixin.__aenter__")
def enter(world: World) -> Any:
    lock = world.module.Lock()
    lock._locked = True
    return lock.__aenter__


@pytest.fixture(params=CALLS)
def waiting(request: pytest.FixtureRequest, world: World) -> tuple[str, Any]:
    """The name of a method, and the method, which waits."""
    return request.param, CALLS[request.param](world)


async def end(*tasks: Any) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_a_task_that_awaits_it_shows_its_own_frame(world: World, waiting: Any) -> None:
    async def use() -> None:
        await waiting[1]()

    async def main() -> None:
        task = asyncio.create_task(use())
        await asyncio.sleep(0)
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["use"]
        out = io.StringIO()
        task.print_stack(file=out)
        assert "in use\n" in out.getvalue()
        await end(task)

    world.run(main())


def test_a_task_of_it_alone_shows_one_frame(world: World, waiting: Any) -> None:
    name, method = waiting

    async def main() -> None:
        task = asyncio.create_task(method())
        assert name in repr(task)
        await asyncio.sleep(0)
        [frame] = task.get_stack()
        assert frame.f_code.co_qualname == name
        assert name.endswith(frame.f_code.co_name)
        out = io.StringIO()
        task.print_stack(file=out)
        assert f"in {frame.f_code.co_name}\n" in out.getvalue()
        assert f"coro=<{name}() running at " in repr(task)
        await end(task)
        assert task.get_stack() == []

    world.run(main())


def test_its_state_can_be_asked_for(world: World, waiting: Any) -> None:
    name, method = waiting

    async def main() -> None:
        coroutine = method()
        assert coroutine.cr_code.co_qualname == name
        assert coroutine.cr_frame.f_code is coroutine.cr_code
        assert coroutine.cr_frame.f_back is None
        assert coroutine.cr_await is None and coroutine.cr_origin is None
        assert inspect.getcoroutinestate(coroutine) == "CORO_CREATED"
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0)
        assert inspect.getcoroutinestate(coroutine) == "CORO_SUSPENDED"
        assert coroutine.cr_suspended is True and coroutine.cr_running is False
        assert coroutine.cr_frame.f_code is coroutine.cr_code
        assert coroutine.cr_await is not None
        await end(task)
        assert inspect.getcoroutinestate(coroutine) == "CORO_CLOSED"
        assert coroutine.cr_frame is None and coroutine.cr_await is None
        assert coroutine.cr_code.co_qualname == name

    world.run(main())


def test_what_it_awaits_can_be_followed(world: World) -> None:
    """Down to coroutines in Python, which a native one may await."""

    class Condition(world.module.Condition):  # type: ignore[misc]
        async def wait(self) -> bool:
            await innermost
            return True

    async def main() -> None:
        nonlocal innermost
        innermost = asyncio.get_running_loop().create_future()
        condition = Condition()

        async def use() -> None:
            async with condition:
                await condition.wait_for(lambda: innermost.done())

        task = asyncio.create_task(use())
        await asyncio.sleep(0)
        names = []
        coroutine: Any = task.get_coro()
        while hasattr(coroutine, "cr_await"):
            names.append(coroutine.cr_code.co_name)
            coroutine = coroutine.cr_await
        assert names == ["use", "wait_for", "wait"]
        innermost.set_result(None)
        await task

    innermost: Any = None
    world.run(main())


def test_clearing_a_frame_ends_nothing(world: World) -> None:
    async def main() -> None:
        event = world.module.Event()
        task = asyncio.create_task(event.wait())
        await asyncio.sleep(0)
        if world.is_ours:
            # On asyncio this ends the wait itself, or is refused.
            for _ in range(2):
                frame = task.get_coro().cr_frame
                assert frame.f_code.co_name == "wait"
                try:
                    frame.clear()
                except RuntimeError:
                    assert sys.version_info >= (3, 13)
        event.set()
        assert await task is True

    world.run(main())


@pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio draws call graphs since 3.14")
def test_a_call_graph_shows_it(world: World, waiting: Any) -> None:
    name, method = waiting

    async def use() -> None:
        await method()

    async def main() -> None:
        for coroutine, rest in ((use(), ["use"]), (method(), [])):
            task = asyncio.create_task(coroutine)
            await asyncio.sleep(0)
            graph: Any = asyncio.capture_call_graph(task)
            generators = [entry.frame.f_generator for entry in graph.call_stack]
            shown = [generator.cr_code.co_name for generator in generators]
            expected = [name.rpartition(".")[2], *rest]
            if name == "Queue.join":
                expected.insert(0, "wait")
            elif name.startswith("_") and not world.is_ours:
                expected.insert(0, "acquire")
            assert shown == expected
            out = io.StringIO()
            asyncio.print_call_graph(task, file=out)
            assert f"in async {name}()" in out.getvalue()
            await end(task)

    world.run(main())


@pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio looks into processes since 3.14")
def test_who_reads_the_memory_finds_no_frame(ours: World) -> None:
    """`python -m asyncio ps` takes whatever a task runs for a coroutine of the interpreter's."""

    def state(coroutine: Any) -> int:
        return ctypes.c_int8.from_address(id(coroutine) + 67).value

    async def nothing() -> None:
        pass

    created, closed = nothing(), nothing()
    closed.close()
    native = ours.module.Lock().acquire()
    assert state(native) == state(closed) != state(created)
    created.close()
    native.close()
    assert state(native) == state(created) == state(closed)


def test_what_waits_can_be_driven_by_yield_from(
    world: World, loop: Any, waiting: tuple[str, Any]
) -> None:
    class ByHand:
        def __init__(self, make: Any) -> None:
            self.make = make

        def __await__(self) -> Any:
            return (yield from self.make().__await__())

    async def main() -> None:
        task = asyncio.create_task(_awaiting(ByHand(waiting[1])))
        await asyncio.sleep(0)
        assert not task.done()
        await end(task)
        assert task.cancelled()
        left, right = loop_sockets
        left.setblocking(False)
        right.send(b"here")
        assert await ByHand(lambda: loop.sock_recv(left, 10)) == b"here"
        assert await ByHand(lambda: world.module.sleep(0, 3)) == 3
        made = waiting[1]()
        assert not isinstance(made, collections.abc.Iterable)
        assert isinstance(made, collections.abc.Coroutine)
        made.close()

    async def _awaiting(awaitable: Any) -> Any:
        return await awaitable

    loop_sockets = socket.socketpair()
    try:
        loop.run_until_complete(main())
    finally:
        for sock in loop_sockets:
            sock.close()
