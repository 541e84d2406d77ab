"""The scenarios of the injected errors, as a program: `faults.Victim` runs it and speaks to it.

Each scenario sets its scene without any fault, calls `stage.fault()`, where the faults begin, and
tells its story. Before that it is played once without any, so that whatever is imported or
remembered on first use no longer matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import mmap
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

READY, GO, DONE, REPORT = 1, 2, 3, 4
LOCAL = ("127.0.0.1", 0)


def said(error: BaseException | None) -> str | None:
    if error is None:
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return f"{type(error).__name__}({error.errno})"
    return f"{type(error).__name__}: {error}"


class Stage:
    def __init__(self, loop: Any, flags: mmap.mmap | None) -> None:
        self.loop = loop
        self.flags = flags
        self.story: list[Any] = []
        loop.set_exception_handler(self.report)

    def fault(self) -> None:
        """From here on, calls fail."""
        self.story.clear()
        if self.flags is not None:
            self.flags[0] = READY
            while self.flags[0] != GO:
                time.sleep(0.0005)

    def say(self, *words: Any) -> None:
        """Add a sentence to the story, unless it is the one just said."""
        sentence = " ".join(map(str, words))
        if self.story[-1:] != [sentence]:
            self.story.append(sentence)

    def report(self, loop: Any, context: dict[str, Any]) -> None:
        # Which method of the loop it was is its own affair.
        message = context["message"]
        if message.startswith("Exception in callback"):
            message = "Exception in callback"
        self.say("handler:", message, said(context.get("exception")))

    async def attempt(self, awaitable: Any) -> Any:
        try:
            result = await awaitable
        except Exception as error:
            self.say("raised:", said(error))
            return None
        self.say("returned")
        return result

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(8):
            while not condition():
                await asyncio.sleep(0.001)


class Peer(asyncio.Protocol):
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.data = b""
        self.is_made = self.is_lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.is_made = True
        self.stage.say("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.stage.say("data")

    def eof_received(self) -> None:
        self.stage.say("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self.stage.say("lost", said(exc))


class BufferedPeer(Peer, asyncio.BufferedProtocol):  # type: ignore[misc]
    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.buffer = bytearray(1000)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        self.data_received(bytes(self.buffer[:count]))


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.received: list[bytes] = []
        self.is_lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.append(data)
        self.stage.say("datagram", data.decode())

    def error_received(self, exc: Exception) -> None:
        self.stage.say("error", said(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self.stage.say("lost", said(exc))


def pair() -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    return left, right


@contextlib.asynccontextmanager
async def connected(stage: Stage, factory: Any = Peer) -> AsyncIterator[tuple[Any, Any]]:
    """A transport's protocol, and the plain socket of its peer."""
    left, right = pair()
    with right:
        _, protocol = await stage.loop.create_connection(lambda: factory(stage), sock=left)
        await asyncio.sleep(0)
        yield protocol, right
        # asyncio may have lost it without having closed it, or closed it without being asked.
        if not protocol.is_lost:
            protocol.transport.abort()
            await stage.until(lambda: protocol.is_lost)


# --- Accepting and connecting -------------------------------------------------


async def accept(stage: Stage) -> None:
    """Two clients come; both are to be served."""
    made: list[Peer] = []

    def factory() -> Peer:
        made.append(Peer(stage))
        return made[-1]

    server = await stage.loop.create_server(factory, *LOCAL)
    address = server.sockets[0].getsockname()
    with socket.socket() as one, socket.socket() as two:
        stage.fault()
        one.connect(address)
        two.connect(address)
        await stage.until(lambda: len(made) == 2 and all(each.is_made for each in made))
        for client in (one, two):
            client.send(b"hello")
        await stage.until(lambda: all(each.data for each in made))
        stage.say("served", len(made))
        for each in made:
            each.transport.abort()
        await stage.until(lambda: all(each.is_lost for each in made))
        # asyncio may still want to try again, more than once; not with a closed socket.
        await asyncio.sleep(0.03)
        server.close()
        await server.wait_closed()


async def sock_accept(stage: Stage) -> None:
    with socket.create_server(LOCAL) as server, socket.socket() as client:
        server.setblocking(False)
        client.connect(server.getsockname())
        stage.fault()
        result = await stage.attempt(stage.loop.sock_accept(server))
        if result is not None:
            result[0].close()


async def connect(stage: Stage) -> None:
    with socket.create_server(LOCAL) as server:
        address = server.getsockname()
        stage.fault()
        result = await stage.attempt(stage.loop.create_connection(lambda: Peer(stage), *address))
        if result is not None:
            result[0].abort()
            await stage.until(lambda: result[1].is_lost)


async def sock_connect(stage: Stage) -> None:
    with socket.create_server(LOCAL) as server, socket.socket() as client:
        client.setblocking(False)
        stage.fault()
        await stage.attempt(stage.loop.sock_connect(client, server.getsockname()))


async def connect_to_two(stage: Stage) -> None:
    """The first of two addresses cannot be connected to, the second can."""
    with socket.create_server(LOCAL) as server:
        port = server.getsockname()[1]

        async def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
            found = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            return [(*found, ("127.0.0.1", port)), (*found, ("127.0.0.1", port))]

        stage.loop.getaddrinfo = getaddrinfo
        stage.fault()
        result = await stage.attempt(
            stage.loop.create_connection(lambda: Peer(stage), "two.invalid", port)
        )
        if result is not None:
            result[0].abort()
            await stage.until(lambda: result[1].is_lost)


# --- Streams ------------------------------------------------------------------


async def receive(stage: Stage, factory: Any = Peer) -> None:
    async with connected(stage, factory) as (protocol, right):
        stage.fault()
        right.send(b"hello")
        await stage.until(lambda: protocol.data or protocol.is_lost)
        stage.say("got", protocol.data.decode())


async def receive_buffered(stage: Stage) -> None:
    await receive(stage, BufferedPeer)


async def receive_eof(stage: Stage) -> None:
    async with connected(stage) as (protocol, right):
        stage.fault()
        right.close()
        await stage.until(lambda: protocol.is_lost)


async def sock_recv(stage: Stage) -> None:
    left, right = pair()
    with left, right:
        right.send(b"hello")
        stage.fault()
        stage.say(await stage.attempt(stage.loop.sock_recv(left, 100)))


async def sock_recv_later(stage: Stage) -> None:
    left, right = pair()
    with left, right:
        receiving = asyncio.ensure_future(stage.loop.sock_recv(left, 100))
        await asyncio.sleep(0.001)
        stage.fault()
        right.send(b"hello")
        stage.say(await stage.attempt(receiving))


async def read_all(stage: Stage, right: socket.socket, count: int) -> bytes:
    """Read by a call that does not fail in a scenario of sending."""
    result = bytearray()
    async with asyncio.timeout(8):
        while len(result) < count:
            with contextlib.suppress(BlockingIOError):
                piece = right.recv(65536)
                if not piece:
                    break
                result += piece
            await asyncio.sleep(0)
    return bytes(result)


async def send(stage: Stage) -> None:
    """One small write, which the kernel could take at once."""
    async with connected(stage) as (protocol, right):
        stage.fault()
        protocol.transport.write(b"hello")
        if protocol.transport.get_write_buffer_size():
            stage.say("waiting")
        stage.say("closing" if protocol.transport.is_closing() else "open")
        if not protocol.transport.is_closing():
            stage.say("arrived", (await read_all(stage, right, 5)).decode())
            await asyncio.sleep(0.002)


async def send_lines(stage: Stage) -> None:
    async with connected(stage) as (protocol, right):
        stage.fault()
        protocol.transport.writelines([b"he", b"", b"llo"])
        if protocol.transport.get_write_buffer_size():
            stage.say("waiting")
        stage.say("closing" if protocol.transport.is_closing() else "open")
        if not protocol.transport.is_closing():
            stage.say("arrived", (await read_all(stage, right, 5)).decode())
            await asyncio.sleep(0.002)


async def send_more(stage: Stage) -> None:
    """Much has been written and waits; the next attempt to send fails."""
    async with connected(stage) as (protocol, right):
        data = bytes(range(256)) * 4000
        protocol.transport.write(data)
        assert protocol.transport.get_write_buffer_size() > 0
        await asyncio.sleep(0.001)
        stage.fault()
        got = await read_all(stage, right, len(data))
        await asyncio.sleep(0.002)
        if got == data:
            stage.say("all arrived")
        else:
            assert data.startswith(got)
            stage.say("a part arrived")
        stage.say("waiting", protocol.transport.get_write_buffer_size())


async def sock_sendall(stage: Stage) -> None:
    left, right = pair()
    with left, right:
        stage.fault()
        await stage.attempt(stage.loop.sock_sendall(left, b"hello"))


async def sock_sendall_more(stage: Stage) -> None:
    left, right = pair()
    with left, right:
        data = bytes(range(256)) * 4000
        sending = asyncio.ensure_future(stage.loop.sock_sendall(left, data))
        await asyncio.sleep(0.001)
        assert not sending.done()
        stage.fault()
        receiving = asyncio.ensure_future(read_all(stage, right, len(data)))
        await stage.attempt(sending)
        left.close()
        got = await receiving
        assert data.startswith(got)
        stage.say("all arrived" if got == data else "a part arrived")


async def echo(stage: Stage) -> None:
    """Both directions at once, byte for byte."""
    data = bytes(range(251)) * 1000

    class Echo(Peer):
        def data_received(self, piece: bytes) -> None:
            self.transport.write(piece)

    left, right = pair()
    _, near = await stage.loop.create_connection(lambda: Peer(stage), sock=left)
    _, far = await stage.loop.create_connection(lambda: Echo(stage), sock=right)
    stage.fault()
    near.transport.write(data)
    await stage.until(lambda: len(near.data) == len(data) or near.is_lost or far.is_lost)
    stage.say("the same" if near.data == data else "not the same")
    near.transport.abort()
    await stage.until(lambda: near.is_lost and far.is_lost)


# --- Datagrams ----------------------------------------------------------------


async def datagram_send(stage: Stage) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(LOCAL)
        peer.setblocking(False)
        transport, protocol = await stage.loop.create_datagram_endpoint(
            lambda: Datagrams(stage), remote_addr=peer.getsockname()
        )
        await asyncio.sleep(0)
        stage.fault()
        transport.sendto(b"one")
        transport.sendto(b"two")
        stage.say("waiting" if transport.get_write_buffer_size() else "nothing waits")
        stage.say("closing" if transport.is_closing() else "open")
        arrived: list[str] = []

        def all_told() -> bool:
            with contextlib.suppress(BlockingIOError):
                while True:
                    arrived.append(peer.recv(10).decode())
            return len(arrived) + sum("error" in each for each in stage.story) == 2

        await stage.until(all_told)
        stage.say("arrived", *arrived)
        transport.abort()
        await stage.until(lambda: protocol.is_lost)


async def datagram_receive(stage: Stage) -> None:
    transport, protocol = await stage.loop.create_datagram_endpoint(
        lambda: Datagrams(stage), local_addr=LOCAL
    )
    await asyncio.sleep(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        stage.fault()
        peer.sendto(b"one", transport.get_extra_info("sockname"))
        await stage.until(lambda: protocol.received or protocol.is_lost)
        transport.abort()
        await stage.until(lambda: protocol.is_lost)


# --- Pipes --------------------------------------------------------------------


async def pipe_read(stage: Stage) -> None:
    r, w = os.pipe()
    _, protocol = await stage.loop.connect_read_pipe(lambda: Peer(stage), open(r, "rb", 0))
    await asyncio.sleep(0)
    stage.fault()
    os.write(w, b"hello")
    await stage.until(lambda: protocol.data or protocol.is_lost)
    stage.say("got", protocol.data.decode())
    os.close(w)
    await stage.until(lambda: protocol.is_lost)


async def pipe_write(stage: Stage) -> None:
    r, w = os.pipe()
    os.set_blocking(r, False)
    transport, protocol = await stage.loop.connect_write_pipe(lambda: Peer(stage), open(w, "wb", 0))
    await asyncio.sleep(0)
    stage.fault()
    transport.write(b"hello")
    stage.say("closing" if transport.is_closing() else "open")
    if not transport.is_closing():
        transport.close()
    await stage.until(lambda: protocol.is_lost)
    try:
        stage.say("arrived", os.read(r, 10).decode())
    finally:
        os.close(r)


# --- The selector -------------------------------------------------------------


async def watch(stage: Stage) -> None:
    """add_reader and add_writer fail once, leave nothing behind, and work the next time."""
    left, right = pair()
    with left, right:
        right.send(b"hello")
        stage.fault()
        for add, remove in (
            (stage.loop.add_reader, stage.loop.remove_reader),
            (stage.loop.add_writer, stage.loop.remove_writer),
        ):
            try:
                add(left, stage.say, "called")
            except OSError as error:
                stage.say("raised:", said(error))
                stage.say("removed:", remove(left))
            else:
                stage.say("added")
                await asyncio.sleep(0.001)
                stage.say("removed:", remove(left))
        stage.loop.add_reader(left, stage.say, "called at last")
        await asyncio.sleep(0.001)
        stage.loop.remove_reader(left)


async def watch_sock_recv(stage: Stage) -> None:
    left, right = pair()
    with left, right:
        stage.loop.call_later(0.005, right.send, b"hello")
        stage.fault()
        result = await stage.attempt(stage.loop.sock_recv(left, 100))
        if result is None:
            result = await stage.attempt(stage.loop.sock_recv(left, 100))
        stage.say(result)


async def watch_transport(stage: Stage) -> None:
    """A transport that cannot be watched tells somebody, and can be got rid of."""
    left, right = pair()
    with right:
        stage.fault()
        try:
            _, protocol = await stage.loop.create_connection(lambda: Peer(stage), sock=left)
        except OSError as error:
            stage.say("told", said(error))
            left.close()
            return
        await asyncio.sleep(0.001)
        if any("OSError" in each or "PermissionError" in each for each in stage.story):
            stage.say("told")
        protocol.transport.abort()
        await stage.until(lambda: protocol.is_lost)
        stage.say("closed" if left.fileno() == -1 else "left open")


# --- No more descriptors ------------------------------------------------------


async def make_connection(stage: Stage) -> None:
    with socket.create_server(LOCAL) as server:
        address = server.getsockname()
        stage.fault()
        await stage.attempt(stage.loop.create_connection(lambda: Peer(stage), *address))


async def make_datagrams(stage: Stage) -> None:
    made = stage.loop.create_datagram_endpoint(lambda: Datagrams(stage), local_addr=LOCAL)
    stage.fault()
    await stage.attempt(made)


async def make_server(stage: Stage) -> None:
    made = stage.loop.create_server(lambda: Peer(stage), *LOCAL)
    stage.fault()
    server = await stage.attempt(made)
    if server is not None:
        stage.say("sockets", len(server.sockets))
        server.close()


async def make_unix_connection(stage: Stage) -> None:
    stage.fault()
    await stage.attempt(stage.loop.create_unix_connection(lambda: Peer(stage), "/nonexistent"))


async def make_loop(stage: Stage) -> None:
    """Another loop cannot be made, and then it can."""
    stage.fault()
    for _ in range(2):
        try:
            loop = asyncio.new_event_loop()
        except OSError as error:
            stage.say("raised:", said(error))
        else:
            loop.close()
            stage.say("made")


class Child(asyncio.SubprocessProtocol):
    is_lost = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


async def spawn(stage: Stage) -> None:
    """A child that cannot be started, or not be watched, is nobody's afterwards."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": None}
    stage.fault()
    try:
        transport, protocol = await stage.loop.subprocess_exec(Child, "/bin/cat", **pipes)
    except OSError as error:
        stage.say("raised:", said(error))
        del error
    else:
        transport.kill()
        await stage.until(lambda: protocol.is_lost)
        stage.say("status", transport.get_returncode())
        transport.close()


# --- The program --------------------------------------------------------------


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def play(scenario: Callable[[Stage], Coroutine[Any, Any, None]], flags: Any) -> list[Any]:
    before = open_fds()
    loop = asyncio.new_event_loop()
    stage = Stage(loop, flags)
    try:
        loop.run_until_complete(scenario(stage))
    except Exception as error:
        stage.say("FAILED", said(error))
    finally:
        if flags is not None:
            flags[0] = DONE
            while flags[0] != REPORT:
                time.sleep(0.0005)
        loop.close()
    gc.collect()
    if open_fds() != before:
        stage.say("LEFT OPEN", open_fds() - before)
    return stage.story


def main() -> None:
    with contextlib.suppress(OSError, AttributeError):
        # Where only a parent may trace its child: anyone may trace us.
        ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1 & 2**64 - 1), 0, 0, 0)
    with open(sys.argv[1], "r+b") as file:
        flags = mmap.mmap(file.fileno(), 16)
    asyncio.constants.ACCEPT_RETRY_DELAY = 0.02
    for line in sys.stdin:
        scenario = globals()[line.strip()]
        play(scenario, None)
        print(json.dumps(play(scenario, flags)), flush=True)


if __name__ == "__main__":
    main()
