"""What sock_recv and its kin are called with, and what a program may have changed."""

from __future__ import annotations

import array
import asyncio
import contextvars
import errno
import os
import socket
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from conftest import World
from io_tools import MIB, PY, is_watched, pair, refusal, run, said, tcp, turns, udp
from sock_tools import NAMES, Ends, call, ends

__all__ = ("ends",)


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
def test_a_buffer_that_drives_its_own_call_is_refused(world: World, loop: Any, ends: Ends) -> None:
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


def test_a_socket_that_becomes_another_while_it_waits(world: World, loop: Any, ends: Ends) -> None:
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
def test_a_loop_with_methods_of_its_own_is_asked(world: World, ends: Ends, method: str) -> None:
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
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            coroutine.send(None)
    ends[1].send(b"data")
    with pytest.raises(StopIteration) as caught:
        loop.sock_recv(ends[0], 10).send(None)
    assert caught.value.value == b"data"
