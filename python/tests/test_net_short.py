"""Bytes in pieces: reads and writes that move less than they could, and processes out of files."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import World
from io_tools import listening, pair, run, tcp, until

MESSAGE = b"first line\r\nsecond"


class Peer(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.pieces: list[int] = []
        self.at_end = self.is_lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.pieces.append(len(data))

    def eof_received(self) -> None:
        self.at_end = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


class Buffered(asyncio.BufferedProtocol):
    """Takes as many bytes at a time as its class says, each time into another part of a buffer."""

    size = 1

    def __init__(self) -> None:
        self.data = b""
        self.pieces: list[int] = []
        self.at_end = self.is_lost = False
        self.buffer = bytearray(64)
        self.start = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        assert sizehint == -1
        self.start = (self.start + 5) % 32
        return memoryview(self.buffer)[self.start : self.start + self.size]

    def buffer_updated(self, count: int) -> None:
        self.data += self.buffer[self.start : self.start + count]
        self.pieces.append(count)

    def eof_received(self) -> None:
        self.at_end = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


@contextlib.asynccontextmanager
async def transport_over(loop: Any, sock: Any, factory: Any = Peer) -> AsyncIterator[Any]:
    """The protocol of a transport over this socket; gone at the end."""
    _, protocol = await loop.create_connection(factory, sock=sock)
    try:
        yield protocol
    finally:
        if not protocol.is_lost:
            protocol.transport.abort()
            await until(lambda: protocol.is_lost)


async def tcp_pair(loop: Any, size: int | None = None) -> tuple[Any, Any]:
    """Two connected sockets, whose buffers hold about so many bytes."""
    with listening() as server:
        if size is not None:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        near = tcp()
        if size is not None:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        await loop.sock_connect(near, server.getsockname())
        far, _ = await loop.sock_accept(server)
        return near, far


# --- A message cut in two, at every place ------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_protocol_gets_each_part_as_it_comes(world: World, loop: Any, kind: str) -> None:
    async def main() -> None:
        for cut in range(1, len(MESSAGE)):
            near, far = await tcp_pair(loop) if kind == "tcp" else pair()
            with far:
                async with transport_over(loop, near) as protocol:
                    far.send(MESSAGE[:cut])
                    await until(lambda: protocol.data)
                    far.send(MESSAGE[cut:])
                    await until(lambda: len(protocol.data) == len(MESSAGE))
                    assert protocol.data == MESSAGE
                    assert protocol.pieces == [cut, len(MESSAGE) - cut]

    run(loop, main())


@pytest.mark.parametrize("size", [1, 2, 7, 32])
def test_a_buffer_is_filled_as_far_as_it_goes(world: World, loop: Any, size: int) -> None:
    class Sized(Buffered):
        pass

    Sized.size = size

    async def main() -> None:
        for cut in range(1, len(MESSAGE)):
            near, far = pair()
            with far:
                async with transport_over(loop, near, Sized) as protocol:
                    far.send(MESSAGE[:cut])
                    await until(lambda: len(protocol.data) == cut)
                    far.send(MESSAGE[cut:])
                    far.shutdown(socket.SHUT_WR)
                    await until(lambda: protocol.at_end)
                    assert protocol.data == MESSAGE
                    full, rest = divmod(cut, size)
                    first = [size] * full + ([rest] if rest else [])
                    assert protocol.pieces[: len(first)] == first

    run(loop, main())


def test_streams_join_what_was_cut(world: World, loop: Any) -> None:
    async def main() -> None:
        for cut in range(1, len(MESSAGE)):
            near, far = pair()
            with far:
                reader, writer = await asyncio.open_connection(sock=near)
                far.send(MESSAGE[:cut])
                reading = asyncio.ensure_future(reader.readuntil(b"\r\n"))
                await until(lambda: reading.done() or len(reader._buffer) == cut)
                far.send(MESSAGE[cut:])
                assert await reading == b"first line\r\n"
                assert await reader.readexactly(6) == b"second"
                writer.close()
                await writer.wait_closed()

    run(loop, main())


def test_a_socket_gives_as_much_as_it_is_asked_for(world: World, loop: Any) -> None:
    async def main() -> None:
        for size in range(1, len(MESSAGE) + 1):
            near, far = pair()
            with near, far:
                far.send(MESSAGE)
                far.close()
                got = []
                while piece := await loop.sock_recv(near, size):
                    got.append(piece)
                assert b"".join(got) == MESSAGE
                assert {len(piece) for piece in got[:-1]} <= {size}

    run(loop, main())


def test_a_pipe_is_read_as_it_is_written(world: World, loop: Any) -> None:
    async def main() -> None:
        for cut in range(1, len(MESSAGE)):
            r, w = os.pipe()
            _, protocol = await loop.connect_read_pipe(Peer, open(r, "rb", 0))
            os.write(w, MESSAGE[:cut])
            await until(lambda protocol=protocol: protocol.data)
            os.write(w, MESSAGE[cut:])
            os.close(w)
            await until(lambda protocol=protocol: protocol.is_lost)
            assert protocol.data == MESSAGE
            assert protocol.pieces == [cut, len(MESSAGE) - cut]

    run(loop, main())


# --- Buffers that hold next to nothing -----------------------------------------------------


SIZES = [1, 2, 3, 100, 1000, 4096, 4097, 20_000]


def pieces_of(data: bytes, seed: int) -> list[bytes]:
    chosen = random.Random(seed)
    result = []
    start = 0
    while start < len(data):
        size = chosen.choice(SIZES)
        result.append(data[start : start + size])
        start += size
    return result


@pytest.mark.parametrize("way", ["write", "writelines", "bytearray"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_small_buffers_lose_no_byte(world: World, loop: Any, kind: str, way: str) -> None:
    data = random.Random(5).randbytes(150_000)

    async def main() -> None:
        if kind == "tcp":
            near, far = await tcp_pair(loop, 4096)
        else:
            near, far = pair()
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        async with (
            transport_over(loop, near) as writer,
            transport_over(loop, far) as reader,
        ):
            pieces = pieces_of(data, 6)
            if way == "write":
                for piece in pieces:
                    writer.transport.write(piece)
            elif way == "writelines":
                writer.transport.writelines(pieces)
            else:
                for piece in pieces:
                    writer.transport.write(bytearray(piece))
                    await asyncio.sleep(0)
            writer.transport.write_eof()
            await until(lambda: reader.at_end)
            assert reader.data == data
            assert writer.transport.get_write_buffer_size() == 0

    run(loop, main())


def test_more_pieces_than_one_call_takes(world: World, loop: Any) -> None:
    pieces = [b"%d," % number for number in range(5000)]

    async def main() -> None:
        near, far = pair()
        async with transport_over(loop, near) as writer, transport_over(loop, far) as reader:
            reader.transport.pause_reading()
            writer.transport.write(bytes(1_000_000))
            assert writer.transport.get_write_buffer_size() > 0
            writer.transport.writelines(pieces)
            writer.transport.write_eof()
            reader.transport.resume_reading()
            await until(lambda: reader.at_end)
            assert reader.data == bytes(1_000_000) + b"".join(pieces)

    run(loop, main())


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_both_directions_at_once_through_small_buffers(world: World, loop: Any, kind: str) -> None:
    there, back = random.Random(7).randbytes(60_000), random.Random(8).randbytes(60_000)

    async def main() -> None:
        near, far = await tcp_pair(loop, 4096) if kind == "tcp" else pair()
        async with transport_over(loop, near) as one, transport_over(loop, far) as two:
            pieces = itertools.zip_longest(pieces_of(there, 9), pieces_of(back, 10), fillvalue=b"")
            for left, right in pieces:
                one.transport.write(left)
                two.transport.write(right)
            one.transport.write_eof()
            two.transport.write_eof()
            await until(lambda: one.at_end and two.at_end)
            assert (two.data, one.data) == (there, back)

    run(loop, main())


def test_sock_sendall_through_small_buffers(world: World, loop: Any) -> None:
    data = random.Random(11).randbytes(100_000)

    async def main() -> None:
        near, far = await tcp_pair(loop, 4096)
        with near, far:
            sending = asyncio.ensure_future(loop.sock_sendall(near, data))
            got = bytearray()
            buffer = bytearray(999)
            while len(got) < len(data):
                count = await loop.sock_recv_into(far, buffer)
                got += buffer[:count]
            await sending
            assert got == data

    run(loop, main())


# --- No more descriptors -------------------------------------------------------------------


@pytest.mark.slow
def test_a_server_out_of_descriptors_rests_and_goes_on(world: World, run_program: Any) -> None:
    done = run_program(
        """
        import asyncio, os, resource, socket, time

        reports, made = [], []

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport):
                made.append(transport)

        def report(loop, context):
            exc = context["exception"]
            reports.append((context["message"], type(exc).__name__, exc.errno))
            assert type(context["socket"]).__name__ == "TransportSocket"

        async def main():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(report)
            server = await loop.create_server(Protocol, "127.0.0.1", 0)
            address = server.sockets[0].getsockname()
            clients = [socket.create_connection(address) for _ in range(10)]
            # Everything below the limit is taken, but for three.
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            highest = max(map(int, os.listdir("/proc/self/fd")))
            fillers = []
            while not fillers or fillers[-1] < highest:
                fillers.append(os.dup(0))
            resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 4, limits[1]))
            while not reports:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            print(len(made), sorted(set(reports)))
            # It rests for a second.
            told, began = len(reports), time.process_time()
            await asyncio.sleep(0.6)
            busy = time.process_time() - began
            print(len(made), len(reports) - told, busy < 0.3 or busy)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            async with asyncio.timeout(10):
                while len(made) < 10:
                    await asyncio.sleep(0.01)
            print(len(made), len({t.get_extra_info("peername") for t in made}))
            # A new client is served at once.
            began = time.monotonic()
            clients.append(socket.create_connection(address))
            while len(made) < 11:
                await asyncio.sleep(0.001)
            print(time.monotonic() - began < 0.9)
            for transport in made:
                transport.abort()
            for client in clients:
                client.close()
            # asyncio has made more appointments than one, and may yet find the socket closed.
            loop.set_exception_handler(lambda loop, context: None)
            server.close()

        asyncio.run(main())
        """
    )
    text = "[('socket.accept() out of system resource', 'OSError', 24)]"
    assert done.out.splitlines() == [f"3 {text}", "3 0 True", "10 10", "True"]
    assert (done.err, done.status) == ("", 0)
