"""What sock_recv and its kin return: a coroutine, driven, thrown into, closed or dropped."""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import gc
import sys
import warnings
import weakref
from typing import Any

import pytest
from conftest import World
from io_tools import has_native_sock_methods, is_watched, listening, pair, run, tcp, turns
from sock_tools import NAMES, Ends, call, ends

__all__ = ("ends",)
READS = NAMES[:4]
REUSED = "cannot reuse already awaited coroutine"


# --- What it is -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_coroutine(world: World, loop: Any, ends: Ends, name: str) -> None:
    coroutine = call(loop, name, ends[0])
    assert asyncio.iscoroutine(coroutine)
    assert isinstance(coroutine, collections.abc.Coroutine)
    assert coroutine.__name__ == name
    assert coroutine.__qualname__ == f"BaseSelectorEventLoop.{name}"
    assert coroutine.cr_running is False
    assert repr(coroutine).startswith(f"<coroutine object BaseSelectorEventLoop.{name} at 0x")
    coroutine.close()


@pytest.mark.parametrize("name", NAMES)
def test_one_that_is_never_awaited_warns(world: World, loop: Any, ends: Ends, name: str) -> None:
    coroutine = call(loop, name, ends[0])
    message = f"coroutine 'BaseSelectorEventLoop.{name}' was never awaited"
    with pytest.warns(RuntimeWarning, match=message):
        del coroutine
        gc.collect()


@pytest.mark.parametrize("name", NAMES)
def test_one_that_is_closed_or_thrown_into_before_it_began_does_nothing(
    world: World, loop: Any, ends: Ends, name: str
) -> None:
    ends[1].send(b"data")
    closed, thrown = call(loop, name, ends[0]), call(loop, name, ends[0])
    closed.close()
    closed.close()
    with pytest.raises(LookupError, match="thrown"):
        thrown.throw(LookupError("thrown"))
    for coroutine in (closed, thrown):
        for drive in (lambda: coroutine.send(None), lambda: coroutine.throw(LookupError())):
            with pytest.raises(RuntimeError, match=REUSED):
                drive()
    assert ends[0].recv(100) == b"data"
    with pytest.raises(BlockingIOError):
        ends[1].recv(100)


def test_a_task_of_it_shows_its_name(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        task = loop.create_task(loop.sock_recv(ends[0], 10), name="reader")
        await turns()
        assert "BaseSelectorEventLoop.sock_recv()" in repr(task)
        assert len(task.get_stack()) in (0, 1)
        ends[1].send(b"data")
        assert await task == b"data"
        assert "result=b'data'" in repr(task)

    run(loop, main())


# --- Driven by hand ---------------------------------------------------------------------


def test_it_gives_a_future_and_then_the_result(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        coroutine = loop.sock_recv(ends[0], 10)
        with pytest.raises(TypeError, match="can't send non-None value to a just-started"):
            coroutine.send(1)
        future = coroutine.send(None)
        assert asyncio.isfuture(future) and future._asyncio_future_blocking
        assert future.get_loop() is loop
        future._asyncio_future_blocking = False
        ends[1].send(b"data")
        assert await future == b"data"
        with pytest.raises(StopIteration) as caught:
            coroutine.send(None)
        assert caught.value.value == b"data"
        with pytest.raises(RuntimeError, match=REUSED):
            coroutine.send(None)
        assert not is_watched(loop, ends[0].fileno())

    run(loop, main())


def test_a_step_too_early_is_refused(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        coroutine = loop.sock_recv(ends[0], 10)
        future = coroutine.send(None)
        with pytest.raises(RuntimeError, match="await wasn't used with future"):
            coroutine.send(None)
        with pytest.raises(RuntimeError, match=REUSED):
            coroutine.send(None)
        future.cancel()
        await turns()
        assert not is_watched(loop, ends[0].fileno())

    run(loop, main())


@pytest.mark.parametrize("name", [*READS, "sock_sendall"])
@pytest.mark.parametrize("how", ["throw", "close", "drop"])
def test_one_that_ends_while_it_waits_is_watched_no_longer(
    world: World, loop: Any, ends: Ends, name: str, how: str
) -> None:
    async def main() -> None:
        coroutine = call(loop, name, ends[0])
        future = coroutine.send(None)
        if how == "throw":
            with pytest.raises(LookupError):
                coroutine.throw(LookupError())
        elif how == "close":
            coroutine.close()
        else:

            async def outer(coroutine: Any) -> None:
                await coroutine

            driven = outer(call(loop, name, ends[0]))
            future = driven.send(None)
            del driven
            gc.collect()
        assert not future.done()
        if has_native_sock_methods(world):
            assert not is_watched(loop, ends[0].fileno())
            ends[1].send(b"data")
            await turns()
            assert ends[0].recv(10) == b"data"
        else:
            # asyncio watches on, and what comes goes into a future that nobody waits for.
            assert is_watched(loop, ends[0].fileno())
        future.cancel()
        await turns()

    run(loop, main())


def test_what_is_thrown_is_raised(world: World, loop: Any, ends: Ends) -> None:
    class Odd(Exception):
        pass

    async def main() -> None:
        error = Odd("odd")
        coroutine = loop.sock_recv(ends[0], 10)
        future = coroutine.send(None)
        with pytest.raises(Odd) as caught:
            coroutine.throw(error)
        assert caught.value is error
        future.cancel()
        other = loop.sock_recv(ends[0], 10)
        with pytest.raises(TypeError, match="exceptions must be classes or instances deriving"):
            other.throw(3)
        other.close()
        await turns()
        is_watched(loop, ends[0].fileno())

    run(loop, main())


def test_a_cancelled_future_ends_it(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        coroutine = loop.sock_recv(ends[0], 10)
        future = coroutine.send(None)
        future.cancel("enough")
        await turns()
        ends[1].send(b"data")
        await turns()
        with pytest.raises(asyncio.CancelledError, match="enough"):
            coroutine.send(None)
        assert not is_watched(loop, ends[0].fileno())
        assert ends[0].recv(10) == b"data"

    run(loop, main())


def test_it_can_be_an_inner_of_many(world: World, loop: Any) -> None:
    async def main() -> None:
        ends = [pair() for _ in range(5)]
        with contextlib.ExitStack() as stack:
            for end in ends:
                stack.enter_context(end[0])
                stack.enter_context(end[1])
            for _ in range(3):
                receiving = asyncio.gather(*(loop.sock_recv(left, 10) for left, _ in ends))
                await turns()
                await asyncio.gather(
                    *(loop.sock_sendall(right, b"%d" % n) for n, (_, right) in enumerate(ends))
                )
                assert await receiving == [b"0", b"1", b"2", b"3", b"4"]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.sock_recv(ends[0][0], 10), 0.002)
            ends[0][1].send(b"kept")
            assert await asyncio.wait_for(loop.sock_recv(ends[0][0], 10), 10) == b"kept"
            with pytest.raises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(loop.sock_recv(ends[1][0], 10))
                    group.create_task(loop.sock_recv(ends[2][0], -1))
            assert not is_watched(loop, ends[1][0].fileno())

    run(loop, main())


def test_a_task_cancelled_before_its_first_step_calls_nothing(
    world: World, loop: Any, ends: Ends
) -> None:
    async def main() -> None:
        ends[1].send(b"data")
        task = loop.create_task(loop.sock_recv(ends[0], 10))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ends[0].recv(10) == b"data"

    run(loop, main())


@pytest.mark.parametrize("steps", range(6))
def test_a_read_cancelled_at_any_step_leaves_the_socket_usable(
    world: World, loop: Any, ends: Ends, steps: int
) -> None:
    async def main() -> None:
        task = loop.create_task(loop.sock_recv(ends[0], 10))
        loop.call_soon(ends[1].send, b"data")
        await turns(steps)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not is_watched(loop, ends[0].fileno())
        # What was read but not given yet when it was cancelled is gone; nothing else is.
        with contextlib.suppress(BlockingIOError):
            assert ends[0].recv(10) == b"data"
        receiving = loop.create_task(loop.sock_recv(ends[0], 10))
        await turns()
        ends[1].send(b"more")
        assert await receiving == b"more"

    run(loop, main())


# --- Memory, and the end --------------------------------------------------------------------


def test_nothing_is_left_of_many(world: World, loop: Any, ends: Ends) -> None:
    async def many(count: int) -> None:
        for number in range(count):
            receiving = loop.create_task(loop.sock_recv(ends[0], 10))
            await turns(1)
            if number % 3 == 0:
                receiving.cancel()
                await asyncio.wait([receiving])
            else:
                await loop.sock_sendall(ends[1], b"data")
                assert await receiving == b"data"
            buffer = bytearray(10)
            ends[1].send(b"more")
            assert await loop.sock_recv_into(ends[0], buffer) == 4

    run(loop, many(100))
    gc.collect()
    objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
    run(loop, many(1000))
    gc.collect()
    assert len(gc.get_objects()) - objects < 50
    assert sys.getallocatedblocks() - blocks < 300


def test_one_that_waits_in_a_circle_is_collected(world: World) -> None:
    loop = world.new_event_loop()
    left, right = pair()

    class Buffer(bytearray):
        pass

    buffer = Buffer(10)
    buffer.coroutine = coroutine = loop.sock_recv_into(left, buffer)
    coroutine.send(None)
    seen = weakref.ref(buffer)
    loop.close()
    coroutine.close()
    del buffer, coroutine
    gc.collect()
    assert seen() is None
    left.close()
    right.close()


@pytest.mark.may_log
def test_a_task_that_waits_when_its_loop_is_closed(world: World, ends: Ends) -> None:
    loop = world.new_event_loop()
    task = loop.create_task(loop.sock_recv(ends[0], 10))
    world.turn(loop, 2)
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del task
        gc.collect()
    ends[1].send(b"data")
    assert ends[0].recv(10) == b"data"


def test_connecting_step_by_step(world: World, loop: Any) -> None:
    async def main() -> None:
        with listening() as server, tcp() as one, tcp() as two, tcp() as three:
            name = server.getsockname()
            coroutine = loop.sock_connect(one, ("localhost", name[1]))
            future = coroutine.send(None)  # It waits for the name.
            with pytest.raises(LookupError):
                coroutine.throw(LookupError())
            future.cancel()
            coroutine = loop.sock_connect(two, ("localhost", name[1]))
            coroutine.send(None)
            coroutine.close()
            with pytest.raises(RuntimeError, match=REUSED):
                coroutine.send(None)
            connecting = loop.create_task(loop.sock_connect(three, ("localhost", name[1])))
            await turns()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await loop.sock_connect(three, name)
            (await loop.sock_accept(server))[0].close()
            # Threads may still look for the names that nobody waits for any more.
            await loop.shutdown_default_executor()
            # Ours are not the executor's, and nobody waits for them; they need microseconds.
            await asyncio.sleep(0.05)

    run(loop, main())
