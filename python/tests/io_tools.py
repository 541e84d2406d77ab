"""What the tests of datagrams, pipes, processes and sock_* share: waiting, ends, short words."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import socket
import sys
import warnings
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any

from conftest import World

PY = sys.version_info[:2]


def has_native_sock_methods(world: World) -> bool:
    """Whether `sock_recv()` and its kin are ours: not so without the fast layout."""
    return world.is_ours and world.module._batonloop.LAYOUT == "shared"


def run(loop: Any, awaitable: Awaitable[Any], seconds: float = 10.0) -> Any:
    """Run the loop until the awaitable is done; one that never is fails the test."""

    async def main() -> Any:
        async with asyncio.timeout(seconds):
            return await awaitable

    return loop.run_until_complete(main())


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until the condition holds, looking every millisecond."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"still not so after {seconds} seconds") from None


async def turns(count: int = 3) -> None:
    """Let the loop make some turns, without waiting for anything."""
    for _ in range(count):
        await asyncio.sleep(0)


def said(error: BaseException | None) -> str | None:
    """An exception in a few words: its type, and its errno or its text."""
    if error is None:
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return f"{type(error).__name__}({error.errno})"
    return f"{type(error).__name__}: {error}"


async def refusal(awaitable: Awaitable[Any]) -> str | None:
    """What an awaitable raises, in a few words; one that raises nothing fails the test."""
    try:
        result = await awaitable
    except Exception as error:
        return said(error)
    raise AssertionError(f"nothing was raised, but returned: {result!r}")


def shape(transport: Any) -> str:
    """The repr of a transport, less what differs from run to run: its type and numbers."""
    text = re.sub(r"^<\w+", "<", repr(transport))
    return re.sub(r"\b(fd|pid)=\d+", r"\1=N", text)


class Contexts:
    """Notes for each callback in what context it is called: whose note was the last one there."""

    def __init__(self) -> None:
        self.variable: ContextVar[str] = ContextVar("variable", default="none")
        self.seen: list[tuple[str, str]] = []

    def note(self, where: str) -> None:
        self.seen.append((where, self.variable.get()))
        self.variable.set(where)


def check_abandoned(pair: list[Any]) -> None:
    """A transport and its protocol, named by nobody else, are let go with one warning."""
    gone = [weakref.ref(each) for each in pair]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pair.clear()
        gc.collect()
    texts = [str(each.message) for each in caught]
    assert len([text for text in texts if text.startswith("unclosed transport <")]) == 1
    caught.clear()
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def check_references(world: World, transport: Any, names: tuple[str, ...]) -> None:
    """A transport is a plain object to the collector, to which it shows what has these names."""
    assert gc.is_tracked(transport)
    transport.attribute = "programs put their own on it"
    assert transport.attribute == "programs put their own on it"
    assert weakref.ref(transport)() is transport
    held = [id(it) for it in gc.get_referents(transport)]
    if world.is_ours:
        for name in names:
            assert id(getattr(transport, name)) in held, name


def check_leaves_no_objects(loop: Any, once: Callable[[], Awaitable[Any]]) -> None:
    """However often it is done, there are no more objects than before."""

    def count(times: int) -> int:
        for _ in range(times):
            run(loop, once())
        gc.collect()
        return len(gc.get_objects())

    count(20)
    assert count(30) - count(30) in range(-20, 20)


def failing(base: type, where: str) -> type:
    """A protocol like `base` whose callback of this name does its work and then raises."""

    def fail(self: Any, *args: Any) -> None:
        getattr(super(cls, self), where)(*args)
        raise LookupError(where)

    cls = type("Failing", (base,), {where: fail})
    return cls


# --- Sockets ----------------------------------------------------------------------

MIB = 1 << 20


def pair(kind: int = socket.SOCK_STREAM) -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair(socket.AF_UNIX, kind)
    left.setblocking(False)
    right.setblocking(False)
    return left, right


@contextlib.contextmanager
def narrow(path: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets for datagrams, the second bound to this path; it takes a few and no more."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as right,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left,
    ):
        right.bind(path)
        right.setblocking(False)
        left.setblocking(False)
        yield left, right


async def crowd(loop: Any, left: socket.socket, path: str) -> tuple[asyncio.Future[int], int]:
    """Send numbers to the path until one has to wait: what waits, and its number."""
    number = 0
    while True:
        sending = asyncio.ensure_future(loop.sock_sendto(left, b"%d" % number, path))
        await turns()
        if not sending.done():
            return sending, number
        assert sending.result() == len(b"%d" % number)
        number += 1


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def tcp() -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    return sock


def is_watched(loop: Any, fd: int) -> bool:
    """Whether the loop watched the descriptor; it does not any more."""
    return bool(loop.remove_reader(fd)) | bool(loop.remove_writer(fd))


# --- Datagrams ----------------------------------------------------------------------

LOCAL = ("127.0.0.1", 0)


class Datagrams(asyncio.DatagramProtocol):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.story: list[Any] = []
        self.received: list[bytes] = []
        self.is_lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.story.append("made")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.story.append((data, addr))
        self.received.append(data)

    def error_received(self, exc: Exception) -> None:
        self.story.append(said(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        self.story.append(("lost", said(exc)))
        self.is_lost = True


@contextlib.asynccontextmanager
async def endpoint(
    loop: Any, factory: Callable[[], Any] = Datagrams, **kwargs: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """An endpoint that is gone at the end."""
    transport, protocol = await loop.create_datagram_endpoint(factory, **kwargs)
    try:
        yield transport, protocol
    finally:
        # asyncio's fails if it had been closed while something waited, and is lost by now.
        if not protocol.is_lost:
            transport.abort()
        await until(lambda: protocol.is_lost)


def bound_socket(address: Any = LOCAL, family: int = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind(address)
    sock.settimeout(10)
    return sock


# --- Pipes ----------------------------------------------------------------------


class Reader(asyncio.Protocol):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.story: list[Any] = []
        self.data = b""
        self.is_lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.story.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.story.append(data)

    def eof_received(self) -> None:
        self.story.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.story.append(("lost", said(exc)))
        self.is_lost = True


class Writer(asyncio.BaseProtocol):
    def __init__(self) -> None:
        self.story: list[Any] = []
        self.is_lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.story.append("made")

    def pause_writing(self) -> None:
        self.story.append("pause")

    def resume_writing(self) -> None:
        self.story.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.story.append(("lost", said(exc)))
        self.is_lost = True


@contextlib.asynccontextmanager
async def connected(connect: Any, file: Any, factory: Callable[[], Any]) -> AsyncIterator[Any]:
    """A transport over this file, and its protocol; gone at the end."""
    transport, protocol = await connect(factory, file)
    try:
        yield transport, protocol
    finally:
        # asyncio's pipe that is aborted after it was closed is lost twice, so not always both.
        if not transport.is_closing():
            getattr(transport, "abort", transport.close)()
        await until(lambda: protocol.is_lost)
        await turns()


def reading(loop: Any, fd: Any, factory: Callable[[], Any] = Reader) -> Any:
    file = open(fd, "rb", 0) if isinstance(fd, int) else fd
    return connected(loop.connect_read_pipe, file, factory)


def writing(loop: Any, fd: Any, factory: Callable[[], Any] = Writer) -> Any:
    file = open(fd, "wb", 0) if isinstance(fd, int) else fd
    return connected(loop.connect_write_pipe, file, factory)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


async def read_all(r: int, total: int) -> bytes:
    """Read this many bytes without ever blocking the loop."""
    os.set_blocking(r, False)
    result = bytearray()
    while len(result) < total:
        with contextlib.suppress(BlockingIOError):
            result += os.read(r, 100_000)
        await asyncio.sleep(0)
    return bytes(result)
