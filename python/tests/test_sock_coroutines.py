"""What sock_recv and its kin return behaves like a coroutine: driven, thrown into, closed, dropped."""

from __future__ import annotations

import array
import asyncio
import collections.abc
import contextlib
import contextvars
import errno
import gc
import os
import socket
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from conftest import World
from io_tools import PY, refusal, run, said, turns
from test_sock_methods import MIB, listening, pair, tcp, udp
from test_sock_methods_broken import is_watched

NAMES = (
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendto",
    "sock_connect",
    "sock_accept",
)
READS = NAMES[:4]


def call(loop: Any, name: str, sock: Any) -> Any:
    """The coroutine of a method; it waits, if the socket is one of a quiet pair."""
    arguments: dict[str, tuple[Any, ...]] = {
        "sock_recv": (100,),
        "sock_recv_into": (bytearray(100),),
        "sock_recvfrom": (100,),
        "sock_recvfrom_into": (bytearray(100),),
        "sock_sendall": (bytes(5 * MIB),),
        "sock_sendto": (b"data", "/nonexistent"),
        "sock_connect": ("/nonexistent",),
        "sock_accept": (),
    }
    return getattr(loop, name)(sock, *arguments[name])


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = pair()
    with left, right:
        yield left, right


Ends = tuple[socket.socket, socket.socket]


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
def test_one_that_is_never_awaited_warns(
    world: World, loop: Any, ends: Ends, name: str
) -> None:
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
            with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
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
        with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
            coroutine.send(None)
        assert not is_watched(loop, ends[0].fileno())

    run(loop, main())


def test_a_step_too_early_is_refused(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        coroutine = loop.sock_recv(ends[0], 10)
        future = coroutine.send(None)
        with pytest.raises(RuntimeError, match="^await wasn't used with future$"):
            coroutine.send(None)
        with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
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
        if world.is_ours:
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


# --- What it is asked to do -------------------------------------------------------------


class Unwilling:
    def __index__(self) -> int:
        raise LookupError("unwilling")


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("sock_recv", (-1,), "ValueError: negative buffersize in recv"),
        ("sock_recv", ("1",), "TypeError: 'str' object cannot be interpreted as an integer"),
        ("sock_recv", (1.5,), "TypeError: 'float' object cannot be interpreted as an integer"),
        ("sock_recv", (None,), "TypeError: 'NoneType' object cannot be interpreted as an integer"),
        ("sock_recv", (1 << 70,), "OverflowError: Python int too large to convert to C ssize_t"),
        ("sock_recv", (sys.maxsize,), "OverflowError: byte string is too large"),
        ("sock_recv", (Unwilling(),), "LookupError: unwilling"),
        ("sock_recvfrom", (-1,), "ValueError: negative buffersize in recvfrom"),
        ("sock_recvfrom", (b"",), "TypeError: 'bytes' object cannot be interpreted as an integer"),
        (
            "sock_recv_into",
            (b"never",),
            "TypeError: recv_into() argument 1 must be read-write bytes-like object, not bytes",
        ),
        ("sock_recvfrom_into", (3,), "TypeError: object of type 'int' has no len()"),
        (
            "sock_recvfrom_into",
            (bytearray(4), 5),
            "ValueError: nbytes is greater than the length of the buffer",
        ),
        (
            "sock_recvfrom_into",
            (bytearray(4), -1),
            "ValueError: negative buffersize in recvfrom_into",
        ),
        ("sock_sendall", ("text",), "TypeError: a bytes-like object is required, not 'str'"),
        ("sock_sendall", (None,), "TypeError: a bytes-like object is required, not 'NoneType'"),
        (
            "sock_sendall",
            (memoryview(b"abcdef")[::2],),
            "BufferError: memoryview: underlying buffer is not C-contiguous",
        ),
        ("sock_sendto", (b"data",), None),
        ("sock_recv", (), None),
        ("sock_accept", (1,), None),
    ],
)
def test_odd_arguments_are_refused_in_the_first_step(
    world: World, loop: Any, name: str, arguments: tuple[Any, ...], expected: str | None
) -> None:
    async def main() -> None:
        with udp() as sock:
            if expected is None:
                # The number of arguments is the one thing that the call itself looks at.
                with pytest.raises(TypeError) as caught:
                    getattr(loop, name)(sock, *arguments)
                assert f"BaseSelectorEventLoop.{name}() " in str(caught.value)
                return
            coroutine = getattr(loop, name)(sock, *arguments)
            assert await refusal(coroutine) == expected
            assert not is_watched(loop, sock.fileno())

    run(loop, main())


@pytest.mark.parametrize("name", NAMES)
def test_a_closed_socket_is_refused(world: World, loop: Any, name: str) -> None:
    async def main() -> None:
        sock, other = pair()
        other.close()
        coroutine = call(loop, name, sock)
        sock.close()
        assert await refusal(coroutine) == f"OSError({errno.EBADF})"
        assert await refusal(call(loop, name, sock)) == f"OSError({errno.EBADF})"

    run(loop, main())


def test_a_closed_socket_gives_nothing_if_nothing_is_wanted(world: World, loop: Any) -> None:
    async def main() -> None:
        sock = tcp()
        sock.close()
        assert await loop.sock_recv(sock, 0) == b""
        assert await loop.sock_recv_into(sock, bytearray()) == 0

    run(loop, main())


def test_arguments_may_be_named(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        await loop.sock_sendall(sock=ends[0], data=b"data")
        receiving = loop.create_task(loop.sock_recv(sock=ends[1], n=100))
        assert await receiving == b"data"
        assert await refusal(loop.sock_recv_into(sock=ends[1], buf=b"")) is not None

    run(loop, main())


def test_numbers_that_are_no_plain_ones(world: World, loop: Any, ends: Ends) -> None:
    class Two:
        def __index__(self) -> int:
            return 2

    async def main() -> None:
        for number in (True, Two(), 1 << 20, 64 * MIB):
            ends[1].send(b"data")
            got = await loop.sock_recv(ends[0], number)
            assert b"data".startswith(got)
            while len(got) < 4:
                got += await loop.sock_recv(ends[0], 4 - len(got))
            receiving = loop.create_task(loop.sock_recv(ends[0], number))
            await turns()
            ends[1].send(b"d")
            assert await receiving == b"d"

    run(loop, main())


def test_large_pieces_come_whole(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        for size in (10, 4096, 5000, 65_536, 10, 100_000, 3, 50_000, 5000, 1):
            data = os.urandom(size)
            sending = loop.create_task(loop.sock_sendall(ends[1], data))
            got = b""
            while len(got) < size:
                got += await loop.sock_recv(ends[0], 65_536 if size % 2 else 200_000)
            await sending
            assert got == data

    run(loop, main())


@pytest.mark.parametrize("kind", [bytearray, memoryview, lambda data: memoryview(bytearray(data))])
def test_data_lies_still_while_it_is_sent(
    world: World, loop: Any, ends: Ends, kind: Callable[[bytes], Any]
) -> None:
    data = kind(bytes(3 * MIB))

    async def main() -> None:
        sending = loop.create_task(loop.sock_sendall(ends[0], data))
        await turns()
        if isinstance(data, bytearray):
            with pytest.raises(BufferError):
                data.append(1)
        if not memoryview(data).readonly:
            data[-1] = 7
        got = b""
        while len(got) < 3 * MIB:
            got += await loop.sock_recv(ends[1], MIB)
        await sending
        assert got[-1] == (0 if memoryview(data).readonly else 7)
        if isinstance(data, bytearray):
            data.append(1)

    run(loop, main())


def test_a_view_released_meanwhile_does_no_harm(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        view = memoryview(bytes(3 * MIB))
        sending = loop.create_task(loop.sock_sendall(ends[0], view))
        await turns()
        view.release()
        got = 0
        while got < 3 * MIB:
            got += len(await loop.sock_recv(ends[1], MIB))
        await sending
        with pytest.raises(ValueError, match="operation forbidden on released memoryview"):
            await loop.sock_sendall(ends[0], view)

    run(loop, main())


def test_a_view_of_wider_numbers_is_received_into(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        numbers = array.array("I", [0, 0])
        for buffer in (numbers, memoryview(numbers)):
            receiving = loop.create_task(loop.sock_recv_into(ends[0], buffer))
            await turns()
            ends[1].send(b"abcdefgh")
            assert await receiving == 8
            assert numbers.tobytes() == b"abcdefgh"

    run(loop, main())


@pytest.mark.skipif(PY < (3, 12), reason="older ones have no __buffer__()")
def test_a_buffer_is_asked_for_in_the_context_of_the_caller(
    world: World, loop: Any, ends: Ends
) -> None:
    word = contextvars.ContextVar("word", default="none")
    heard = []

    class Buffer:
        def __buffer__(self, flags: int) -> memoryview:
            heard.append(word.get())
            return memoryview(bytearray(8))

    async def receive() -> int:
        word.set("the caller's")
        return await loop.sock_recv_into(ends[0], Buffer())

    async def main() -> None:
        receiving = loop.create_task(receive())
        await turns()
        ends[1].send(b"data")
        assert await receiving == 4
        assert set(heard) == {"the caller's"} and len(heard) >= 2

    run(loop, main())


@pytest.mark.skipif(PY < (3, 12), reason="older ones have no __buffer__()")
def test_a_buffer_that_drives_its_own_call_is_refused(
    world: World, loop: Any, ends: Ends
) -> None:
    told = []

    class Buffer:
        def __buffer__(self, flags: int) -> memoryview:
            for drive in (lambda: coroutine.send(None), coroutine.close):
                try:
                    drive()
                except ValueError as error:
                    told.append(str(error))
            return memoryview(bytearray(8))

    async def main() -> None:
        nonlocal coroutine
        ends[1].send(b"data")
        coroutine = loop.sock_recv_into(ends[0], Buffer())
        assert await coroutine == 4
        assert set(told) == {"coroutine already executing"}

    coroutine: Any = None
    run(loop, main())


@pytest.mark.skipif(PY < (3, 12), reason="older ones have no __buffer__()")
@pytest.mark.parametrize("what", ["cancel", "close", "displace", "raise"])
def test_a_buffer_that_interferes_while_it_is_asked_for(
    world: World, loop: Any, ends: Ends, what: str
) -> None:
    asked = 0
    others = []

    class Buffer:
        def __buffer__(self, flags: int) -> memoryview:
            nonlocal asked
            asked += 1
            if asked > 1:
                if what == "cancel":
                    task.cancel()
                elif what == "close":
                    ends[0].close()
                elif what == "displace":
                    loop.add_reader(ends[0], others.append, 1)
                else:
                    raise LookupError("no memory for you")
            return memoryview(bytearray(8))

    async def main() -> None:
        nonlocal task
        fd = ends[0].fileno()
        task = loop.create_task(loop.sock_recv_into(ends[0], Buffer()))
        await turns()
        asked_before = asked
        ends[1].send(b"data")
        if what == "raise":
            # What a buffer raises is turned into a TypeError by the call of the socket, or not.
            assert "no memory" in str(await refusal(task)) or asked > asked_before
        elif what == "displace":
            assert await task == 4
            ends[1].send(b"more")
            await turns()
            for _ in range(100):
                if others:
                    break
                await asyncio.sleep(0.001)
            assert others
        elif what == "close":
            assert (await asyncio.wait([task]))[0]
            assert said(task.exception()) == f"OSError({errno.EBADF})"
        else:
            with pytest.raises(asyncio.CancelledError):
                await task
        is_watched(loop, fd)

    loop.set_exception_handler(lambda loop, context: None)
    task: Any = None
    run(loop, main())


# --- What a program may have changed ------------------------------------------------------


def test_a_socket_with_methods_of_its_own_is_asked(world: World, loop: Any, ends: Ends) -> None:
    asked = []

    class Socket(socket.socket):
        def recv(self, *args: Any) -> bytes:
            asked.append("recv")
            return super().recv(*args)

        def send(self, data: Any, *args: Any) -> int:
            asked.append("send")
            return super().send(data[:2], *args)

    async def main() -> None:
        with Socket(fileno=ends[0].detach()) as sock:
            ends[1].send(b"data")
            assert await loop.sock_recv(sock, 10) == b"data"
            await loop.sock_sendall(sock, b"abcde")
            assert await loop.sock_recv(ends[1], 10) == b"abcde"
        assert asked == ["recv", "send", "send", "send"]

    run(loop, main())


def test_a_patched_class_of_sockets_is_asked(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        for _ in range(3):
            with mock.patch.object(socket.socket, "recv", lambda self, n: b"patched"):
                assert await loop.sock_recv(ends[0], 10) == b"patched"
            ends[1].send(b"data")
            assert await loop.sock_recv(ends[0], 10) == b"data"
        # Patched while it waits.
        receiving = loop.create_task(loop.sock_recv(ends[0], 10))
        await turns()
        with mock.patch.object(socket.socket, "recv", lambda self, n: b"patched"):
            ends[1].send(b"data")
            assert await receiving == b"patched"
        assert await loop.sock_recv(ends[0], 10) == b"data"

    run(loop, main())


def test_a_socket_that_becomes_another_while_it_waits(
    world: World, loop: Any, ends: Ends
) -> None:
    class Socket(socket.socket):
        __slots__ = ()

        def recv(self, *args: Any) -> bytes:
            return b"of its own: " + super().recv(*args)

    async def main() -> None:
        receiving = loop.create_task(loop.sock_recv(ends[0], 10))
        await turns()
        ends[0].__class__ = Socket
        ends[1].send(b"data")
        assert await receiving == b"of its own: data"
        ends[0].__class__ = socket.socket

    run(loop, main())


@pytest.mark.parametrize("method", ["add_reader", "remove_reader", "_add_reader", "create_future"])
def test_a_loop_with_methods_of_its_own_is_asked(
    world: World, ends: Ends, method: str
) -> None:
    asked = []

    def spy(self: Any, *args: Any) -> Any:
        asked.append(method)
        return getattr(super(cls, self), method)(*args)

    cls = type("Loop", (world.EventLoop,), {method: spy})
    loop = cls()
    try:

        async def main() -> None:
            receiving = loop.create_task(loop.sock_recv(ends[0], 10))
            await turns()
            ends[1].send(b"data")
            assert await receiving == b"data"

        run(loop, main())
    finally:
        loop.close()
    # asyncio watches through the private method.
    assert bool(asked) == (method != "add_reader")


@pytest.mark.parametrize("when", ["called", "begun"])
def test_debug_mode_wants_sockets_that_do_not_block(
    world: World, loop: Any, ends: Ends, when: str
) -> None:
    async def main() -> None:
        ends[0].settimeout(5)
        if when == "called":
            loop.set_debug(True)
        coroutines = [call(loop, name, ends[0]) for name in NAMES]
        loop.set_debug(True)
        for coroutine in coroutines:
            said = await refusal(coroutine)
            assert said == "ValueError: the socket must be non-blocking"
        loop.set_debug(False)

    run(loop, main())


def test_debug_mode_that_begins_while_it_waits(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        receiving = loop.create_task(loop.sock_recv(ends[0], 10))
        await turns()
        loop.set_debug(True)
        ends[1].send(b"data")
        assert await receiving == b"data"
        loop.set_debug(False)

    run(loop, main())


def test_a_socket_with_a_timeout_blocks_for_so_long(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        ends[0].settimeout(0.001)
        with pytest.raises(TimeoutError):
            await loop.sock_recv(ends[0], 10)
        ends[1].send(b"data")
        assert await loop.sock_recv(ends[0], 10) == b"data"

    run(loop, main())


def test_what_is_no_socket_is_asked_all_the_same(world: World, loop: Any) -> None:
    class Like:
        def recv(self, n: int) -> bytes:
            return b"x" * n

    async def main() -> None:
        assert await loop.sock_recv(Like(), 3) == b"xxx"
        told = await refusal(loop.sock_recv(None, 3))
        assert told == "AttributeError: 'NoneType' object has no attribute 'recv'"

    run(loop, main())


def test_a_closed_loop_refuses_to_wait(world: World, ends: Ends) -> None:
    loop = world.new_event_loop()
    early = loop.sock_recv(ends[0], 10)
    loop.close()
    for coroutine in (early, loop.sock_recv(ends[0], 10)):
        with pytest.raises(RuntimeError, match="^Event loop is closed$"):
            coroutine.send(None)
    ends[1].send(b"data")
    with pytest.raises(StopIteration) as caught:
        loop.sock_recv(ends[0], 10).send(None)
    assert caught.value.value == b"data"


# --- What the kernel was told ------------------------------------------------------------


def test_a_reader_whose_data_is_stolen_waits_on(world: World, loop: Any, ends: Ends) -> None:
    # Two descriptors of one socket are roused together; who runs first takes what has come.
    stolen = 0

    def steal(fd: int) -> None:
        nonlocal stolen
        loop.remove_reader(fd)
        with contextlib.suppress(BlockingIOError):
            stolen += len(os.read(fd, 1))

    async def main() -> None:
        sent = got = 0
        for number in range(20):
            thief = os.dup(ends[0].fileno())
            if number % 2:
                loop.add_reader(thief, steal, thief)
            receiving = loop.create_task(loop.sock_recv(ends[0], 1))
            await turns()
            if number % 2 == 0:
                loop.add_reader(thief, steal, thief)
            while not receiving.done():
                sent += ends[1].send(b"1")
                await asyncio.wait([receiving], timeout=0.002)
            got += len(receiving.result())
            loop.remove_reader(thief)
            os.close(thief)
            with contextlib.suppress(BlockingIOError):
                got += len(ends[0].recv(100))
            assert not is_watched(loop, ends[0].fileno())
        assert got + stolen == sent
        assert stolen

    run(loop, main())


def test_a_file_put_under_the_number_of_a_socket_is_heard(
    world: World, loop: Any, ends: Ends
) -> None:
    async def main() -> None:
        other, peer = pair()
        with other, peer:
            receiving = loop.create_task(loop.sock_recv(ends[0], 10))
            await turns()
            ends[1].send(b"data")
            assert await receiving == b"data"
            os.dup2(other.fileno(), ends[0].fileno())
            for _ in range(3):
                receiving = loop.create_task(loop.sock_recv(ends[0], 10))
                await turns()
                peer.send(b"by another")
                assert await receiving == b"by another"

    run(loop, main())


def test_a_socket_that_lives_on_under_another_number(world: World, loop: Any) -> None:
    async def main() -> None:
        for _ in range(5):
            left, right = pair()
            receiving = loop.create_task(loop.sock_recv(left, 10))
            await turns()
            right.send(b"data")
            assert await receiving == b"data"
            fd = left.fileno()
            twin = left.dup()
            left.close()
            again, peer = pair()
            with twin, right, again, peer:
                assert again.fileno() == fd
                receiving = [loop.create_task(loop.sock_recv(sock, 10)) for sock in (again, twin)]
                await turns()
                right.send(b"for the twin")
                assert await receiving[1] == b"for the tw"
                assert not receiving[0].done()
                peer.send(b"for it")
                assert await receiving[0] == b"for it"

    run(loop, main())


def test_a_socket_goes_from_loop_to_loop(world: World, ends: Ends) -> None:
    async def receive(loop: Any) -> bytes:
        receiving = loop.create_task(loop.sock_recv(ends[0], 10))
        await turns()
        ends[1].send(b"data")
        result: bytes = await receiving
        return result

    loops = [world.new_event_loop() for _ in range(2)]
    try:
        for loop in loops * 3:
            assert run(loop, receive(loop)) == b"data"
    finally:
        for loop in loops:
            loop.close()


def test_after_a_wait_others_may_watch(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        heard = []
        for _ in range(3):
            receiving = loop.create_task(loop.sock_recv(ends[0], 10))
            await turns()
            ends[1].send(b"data")
            assert await receiving == b"data"
            loop.add_reader(ends[0], lambda: heard.append(ends[0].recv(10)))
            for text in (b"one", b"two"):
                ends[1].send(text)
                while not heard or heard[-1] != text:
                    await asyncio.sleep(0)
            loop.add_writer(ends[0], loop.remove_writer, ends[0])
            await asyncio.sleep(0.001)
            assert loop.remove_reader(ends[0]) is True
            assert loop.remove_reader(ends[0]) is False
            ends[1].send(b"data")
            assert await loop.sock_recv(ends[0], 10) == b"data"

    run(loop, main())


def test_a_reader_and_a_writer_of_one_socket_wake_each_for_its_own(
    world: World, loop: Any, ends: Ends
) -> None:
    async def main() -> None:
        for first in ("reader", "writer"):
            while True:
                with contextlib.suppress(BlockingIOError):
                    ends[0].send(bytes(MIB))
                    continue
                break
            if first == "reader":
                reading = loop.create_task(loop.sock_recv(ends[0], 10))
                await turns()
            writing = loop.create_task(loop.sock_sendall(ends[0], b"end"))
            await turns()
            if first == "writer":
                reading = loop.create_task(loop.sock_recv(ends[0], 10))
                await turns()
            ends[1].send(b"data")
            assert await reading == b"data"
            assert not writing.done()
            reading = loop.create_task(loop.sock_recv(ends[0], 10))
            await turns()
            while not writing.done():
                await loop.sock_recv(ends[1], MIB)
            assert not reading.done()
            ends[1].send(b"more")
            assert await reading == b"more"
            with contextlib.suppress(BlockingIOError):
                while ends[1].recv(MIB):
                    pass

    run(loop, main())


def test_a_storm_of_numbers_used_again(world: World, loop: Any) -> None:
    async def one(number: int) -> None:
        for count in range(30):
            left, right = pair()
            with left, right:
                for step in range(3):
                    receiving = loop.create_task(loop.sock_recv(left, 100))
                    await turns((number + count + step) % 3)
                    if (number + step) % 5 == 0:
                        receiving.cancel()
                        await asyncio.wait([receiving])
                        receiving = loop.create_task(loop.sock_recv(left, 100))
                    text = b"%d %d %d" % (number, count, step)
                    right.send(text)
                    assert await receiving == text

    async def main() -> None:
        await asyncio.gather(*map(one, range(30)))

    run(loop, main(), 20)


# --- Signals, memory, the end -------------------------------------------------------------


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
            with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
                coroutine.send(None)
            connecting = loop.create_task(loop.sock_connect(three, ("localhost", name[1])))
            await turns()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await loop.sock_connect(three, name)
            (await loop.sock_accept(server))[0].close()

    run(loop, main())
