"""What the tests of the network share: protocols that keep a story, and sockets that are joined."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

from conftest import World

PY = sys.version_info[:2]

# What to give to SO_SNDBUF and SO_RCVBUF where a test wants a connection that is full soon.
SMALL = 8192


class _Told:
    """Writes down which callback came, in order, and calls the test's hook of the same name.

    A hook gets the protocol and the callback's own arguments, and what it returns is returned.
    Several `data_received` in a row are one entry, for TCP may cut the bytes as it likes.
    """

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        self.hooks = hooks
        self.story: list[str] = []
        self.received = bytearray()
        self.lost: list[BaseException | None] = []
        self.transport: Any = None

    def _tell(self, name: str, *args: Any) -> Any:
        if not (name in REPEATED and self.story and self.story[-1] == name):
            self.story.append(name)
        hook = self.hooks.get(name)
        return hook(self, *args) if hook is not None else None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._tell("connection_made", transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.append(exc)
        self._tell("connection_lost", exc)

    def eof_received(self) -> Any:
        return self._tell("eof_received")

    def pause_writing(self) -> None:
        self._tell("pause_writing")

    def resume_writing(self) -> None:
        self._tell("resume_writing")


REPEATED = ("data_received", "get_buffer", "buffer_updated")


class Recorder(_Told, asyncio.Protocol):
    """A Protocol that keeps its story."""

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._tell("data_received", data)


class BufferedRecorder(_Told, asyncio.BufferedProtocol):
    """A BufferedProtocol that keeps its story; the hook of `get_buffer` may give another buffer."""

    def __init__(self, size: int = 65536, **hooks: Callable[..., Any]) -> None:
        super().__init__(**hooks)
        self.buffer = bytearray(size)
        self.counts: list[int] = []

    def get_buffer(self, sizehint: int) -> Any:
        buffer = self.hooks.get("get_buffer", lambda *_: self.buffer)(self, sizehint)
        if isinstance(buffer, bytearray):
            self.buffer = buffer
        return buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.counts.append(nbytes)
        self.received += self.buffer[:nbytes]
        self._tell("buffer_updated", nbytes)


def joined(kind: str = "tcp", *, small: bool = False) -> tuple[socket.socket, socket.socket]:
    """Two sockets that are connected; both can wait, the second for ten seconds at most."""
    if kind == "unix":
        ours, theirs = socket.socketpair()
        shrink(small, ours, theirs)
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.socket()
            shrink(small, ours, listener)
            ours.connect(listener.getsockname())
            theirs, _ = listener.accept()
    theirs.settimeout(10)
    return ours, theirs


def shrink(small: bool, *sockets: socket.socket) -> None:
    for sock in sockets if small else ():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)


@contextlib.contextmanager
def wired(
    world: World, loop: Any, protocol: Any, kind: str = "tcp", *, small: bool = False
) -> Iterator[tuple[Any, socket.socket]]:
    """A transport of the loop with this protocol, and the plain socket at its other end.

    `connection_made` has been called, the loop does not run, and the transport reads.
    """
    ours, theirs = joined(kind, small=small)
    with theirs:
        try:
            coro = loop.create_connection(lambda: protocol, sock=ours)
            transport, given = loop.run_until_complete(coro)
        except BaseException:
            ours.close()
            raise
        assert given is protocol
        try:
            yield transport, theirs
        finally:
            if ours.fileno() != -1:
                transport.abort()
            world.run_until(loop, lambda: ours.fileno() == -1)


def receive(loop: Any, sock: socket.socket, count: int | None = None) -> bytes:
    """Run the loop and read from a plain socket beside it: `count` bytes, or up to the end."""
    result = bytearray()
    failed: list[BaseException] = []

    def read() -> None:
        try:
            wanted = 1 << 18 if count is None else min(1 << 18, count - len(result))
            data = sock.recv(wanted)
        except BlockingIOError:
            return
        except OSError as exc:
            failed.append(exc)
            data = b""
        result.extend(data)
        if not data or len(result) == count:
            loop.stop()

    def too_late() -> None:
        failed.append(TimeoutError(f"only {len(result)} bytes came in ten seconds"))
        loop.stop()

    timeout = sock.gettimeout()
    sock.setblocking(False)
    loop.add_reader(sock, read)
    timer = loop.call_later(10, too_late)
    try:
        loop.run_forever()
    finally:
        loop.remove_reader(sock)
        timer.cancel()
        sock.settimeout(timeout)
    if failed:
        raise failed[0]
    return bytes(result)


def fill(transport: Any, chunk: bytes = b"x" * 65536) -> int:
    """Write until the kernel takes no more; how many bytes were written."""
    written = 0
    while not transport.get_write_buffer_size():
        transport.write(chunk)
        written += len(chunk)
        assert written < 1 << 28
    return written


def is_open(sock: socket.socket) -> bool:
    """Whether the other end has not closed the connection, nor sent anything."""
    sock.setblocking(False)
    try:
        sock.recv(1)
    except BlockingIOError:
        return True
    finally:
        sock.settimeout(10)
    return False


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes in which no piece can be missing, doubled or moved without notice."""
    return random.Random(seed).randbytes(size)


def reset(sock: socket.socket) -> None:
    """Close a TCP socket so that its peer is told with an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def has_ipv6() -> bool:
    """Whether there is a loopback of IPv6 here."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


class Guests(list[Any]):
    """A protocol factory that keeps the protocols it made, in the order of their making."""

    def __init__(self, recorder: type[_Told] = Recorder, **hooks: Callable[..., Any]) -> None:
        super().__init__()
        self.recorder = recorder
        self.hooks = hooks

    def __call__(self) -> Any:
        self.append(self.recorder(**self.hooks))
        return self[-1]

    def are_here(self, count: int) -> bool:
        """Whether so many have been connected, gone or not."""
        return sum("connection_made" in guest.story for guest in self) == count

    def are_gone(self) -> bool:
        """Whether every one has lost its connection."""
        return all(guest.lost for guest in self)


def call_on(server: Any) -> socket.socket:
    """A plain socket that is connected to a server, as far as the kernel is concerned."""
    sock = server.sockets[0]
    client = socket.socket(sock.family)
    client.settimeout(10)
    try:
        client.connect(sock.getsockname())
    except OSError:
        client.close()
        raise
    return client


@contextlib.contextmanager
def serving(world: World, loop: Any, guests: Any, **kwargs: Any) -> Iterator[Any]:
    """A server on a free port of 127.0.0.1; what it leaves open is aborted at the end."""
    coro = loop.create_server(guests, "127.0.0.1", 0, **kwargs)
    server = loop.run_until_complete(coro)
    try:
        yield server
    finally:
        server.close()
        world.turn(loop, 2)
        here = [guest for guest in guests if guest.transport is not None]
        for guest in here:
            if not guest.lost:
                guest.transport.abort()
        world.run_until(loop, lambda: all(guest.lost for guest in here))
        world.turn(loop)


def resolving(world: World, answers: dict[Any, Any]) -> Any:
    """A loop whose names are these: of each the addresses, or what is raised for it.

    An address is a host, or a host and a port; the loop keeps in `asked` what it was asked.
    """

    class Loop(world.EventLoop):  # type: ignore[misc, name-defined]
        asked: list[Any]

        async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> Any:
            self.asked.append((host, port, kwargs))
            answer = answers[host]
            if isinstance(answer, BaseException):
                raise answer
            pairs = [name if isinstance(name, tuple) else (name, port) for name in answer]
            return [
                (socket.AF_INET6, *TCP, (*pair, 0, 0))
                if ":" in pair[0]
                else (socket.AF_INET, *TCP, pair)
                for pair in pairs
            ]

    loop = Loop()
    loop.asked = []
    return loop


TCP = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")


def full_listener(address: Any = ("127.0.0.1", 0)) -> tuple[socket.socket, list[socket.socket]]:
    """A socket whose queue is full, so that whoever connects to it has to wait."""
    listener = socket.socket()
    listener.bind(address)
    listener.listen(0)
    clients = []
    for _ in range(10):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        clients.append(client)
    return listener, clients


Refused = Callable[..., BaseException]
"""What a method that makes transports raises for its arguments, the loop the first of them."""


def check_address_and_socket(loop: Any, refused: Refused, address: dict[str, Any]) -> None:
    """A socket and anything of an address are refused, and the socket is left alone."""
    with socket.socket() as sock:
        error = refused(loop, sock=sock, **address)
        assert type(error) is ValueError
        assert str(error) == "host/port and sock can not be specified at the same time"
        assert sock.fileno() > 0


def check_socket_of_the_wrong_type(loop: Any, refused: Refused) -> None:
    """A socket for datagrams is refused, and left alone."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        error = refused(loop, sock=sock)
        assert type(error) is ValueError
        assert str(error) == f"A Stream Socket was expected, got {sock!r}"
        assert sock.fileno() > 0 and sock.gettimeout() is None


def check_closed_socket(loop: Any, refused: Refused) -> None:
    """A socket that is closed is refused by the kernel."""
    sock = socket.socket()
    sock.close()
    error = refused(loop, sock=sock)
    assert type(error) is OSError and error.errno == errno.EBADF
