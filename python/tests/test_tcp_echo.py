"""Echo, byte for byte: every size, every kind of protocol and of socket, slow and hasty ends."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import World
from net_tools import joined, pattern

MIB = 1 << 20


# --- Servers ------------------------------------------------------------------


class _Echo:
    """Sends back what comes; reads no more while the other end does not take it."""

    transport: Any

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


class Plain(_Echo, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Buffered(_Echo, asyncio.BufferedProtocol):
    def __init__(self) -> None:
        self.buffer = bytearray(100_000)

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(self.buffer[:nbytes])


class Lines(_Echo, asyncio.Protocol):
    """Sends back in pieces and with writelines."""

    def data_received(self, data: bytes) -> None:
        third = len(data) // 3 + 1
        pieces = data[:third], memoryview(data)[third : 2 * third], bytearray(data[2 * third :])
        # asyncio before 3.14 does not get over an empty one.
        self.transport.writelines([piece for piece in pieces if piece])


class HalfClosing(Plain):
    """Answers only when the question is over."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.data.append(data)

    def eof_received(self) -> bool:
        for data in self.data:
            self.transport.write(data)
        self.transport.close()
        return True


def streams() -> Any:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100_000):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    return asyncio.StreamReaderProtocol(asyncio.StreamReader(), echo)


FACTORIES = [Plain, Buffered, Lines, HalfClosing, streams]
WIRES = ["tcp", "unix", "pair"]


Connect = Callable[[], Any]


@contextlib.asynccontextmanager
async def serving(wire: str, factory: Any, path: Path) -> AsyncIterator[Connect]:
    """An echo server; gives the function that connects streams to it."""
    loop = asyncio.get_running_loop()
    if wire == "pair":

        async def connect() -> Any:
            here, there = socket.socketpair()
            await loop.connect_accepted_socket(factory, there)
            return await asyncio.open_connection(sock=here)

        yield connect
        return
    if wire == "tcp":
        server = await loop.create_server(factory, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        connect = lambda: asyncio.open_connection(*address)
    else:
        server = await loop.create_unix_server(factory, path / "echo")
        connect = lambda: asyncio.open_unix_connection(path / "echo")
    try:
        yield connect
    finally:
        server.close()
        await server.wait_closed()


# --- Clients ------------------------------------------------------------------


async def send(writer: asyncio.StreamWriter, data: bytes, rng: random.Random, most: int) -> None:
    view = memoryview(data)
    start = 0
    while start < len(data):
        size = rng.randint(1, most)
        writer.write(view[start : start + size])
        start += size
        await writer.drain()
    writer.write_eof()


async def take(reader: asyncio.StreamReader, rng: random.Random, most: int) -> bytes:
    pieces = []
    while piece := await reader.read(rng.randint(1, most)):
        pieces.append(piece)
    return b"".join(pieces)


async def talk(connect: Connect, data: bytes, *, seed: int = 1, chunk: int, bite: int) -> bytes:
    """Send the data in pieces of random sizes, and give back what came."""
    reader, writer = await connect()
    rng = random.Random(seed)
    async with asyncio.TaskGroup() as group:
        group.create_task(send(writer, data, rng, chunk))
        taking = group.create_task(take(reader, rng, bite))
    writer.close()
    await writer.wait_closed()
    return taking.result()


# --- Integrity ----------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("factory", FACTORIES)
def test_every_size_comes_back(world: World, tmp_path: Path, wire: str, factory: Any) -> None:
    async def main() -> None:
        async with serving(wire, factory, tmp_path) as connect:
            for size in (0, 1, 2, 3, 100, 1023, 4096, 65535, 65536, 65537, 262_144, 300_001):
                data = pattern(size, size)
                assert await talk(connect, data, chunk=MIB, bite=MIB) == data

    world.run(main())


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("factory", [Plain, Buffered, streams])
def test_random_pieces_come_back_in_order(
    world: World, tmp_path: Path, wire: str, factory: Any
) -> None:
    async def main() -> None:
        async with serving(wire, factory, tmp_path) as connect:
            for seed, chunk in enumerate((7, 1000, 100_000)):
                data = pattern(min(chunk * 300, MIB), seed)
                got = await talk(connect, data, seed=seed, chunk=chunk, bite=chunk * 2)
                assert got == data

    world.run(main())


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("factory", [Plain, Buffered, streams])
def test_many_connections_do_not_mix(world: World, tmp_path: Path, wire: str, factory: Any) -> None:
    async def main() -> None:
        datas = [pattern(1000 + 997 * n, n) for n in range(40)]
        async with serving(wire, factory, tmp_path) as connect:
            async with asyncio.TaskGroup() as group:
                talks = [
                    group.create_task(talk(connect, data, seed=n, chunk=5000, bite=3000))
                    for n, data in enumerate(datas)
                ]
        assert [each.result() for each in talks] == datas

    world.run(main())


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("factory", [Plain, Buffered, streams])
def test_debug_mode_changes_nothing(world: World, tmp_path: Path, wire: str, factory: Any) -> None:
    async def main() -> None:
        data = pattern(300_000)
        async with serving(wire, factory, tmp_path) as connect:
            assert await talk(connect, data, chunk=20_000, bite=30_000) == data

    world.run(main(), debug=True)


@pytest.mark.slow
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("factory", [Plain, Buffered, Lines, streams])
def test_eight_mebibytes_come_back(world: World, tmp_path: Path, wire: str, factory: Any) -> None:
    async def main() -> None:
        data = pattern(8 * MIB)
        async with serving(wire, factory, tmp_path) as connect:
            got = await talk(connect, data, chunk=MIB, bite=MIB)
        assert len(got) == len(data)
        assert got == data

    world.run(main())


@pytest.mark.slow
def test_sixty_four_mebibytes_come_back(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        data = pattern(64 * MIB)
        async with serving("tcp", Plain, tmp_path) as connect:
            got = await talk(connect, data, chunk=4 * MIB, bite=4 * MIB)
        assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()

    world.run(main())


@pytest.mark.slow
def test_sixty_four_mebibytes_in_one_write(world: World) -> None:
    # A peer of ours refuses so much; nobody says how much may wait.
    data = pattern(64 * MIB)
    digest = hashlib.sha256()

    def drink(sock: socket.socket) -> None:
        while piece := sock.recv(MIB):
            digest.update(piece)

    async def main() -> None:
        here, there = joined()
        thread = threading.Thread(target=drink, args=(there,))
        thread.start()
        _, writer = await asyncio.open_connection(sock=here)
        writer.write(data)
        writer.close()
        await writer.wait_closed()
        thread.join()
        there.close()

    world.run(main())
    assert digest.digest() == hashlib.sha256(data).digest()


# --- Slow readers -------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("factory", [Plain, Buffered, streams])
def test_a_reader_that_pauses_gets_all_of_it(
    world: World, tmp_path: Path, wire: str, factory: Any
) -> None:
    async def main() -> None:
        data = pattern(MIB)
        async with serving(wire, factory, tmp_path) as connect:
            reader, writer = await connect()
            sending = asyncio.create_task(send(writer, data, random.Random(1), 200_000))
            rng = random.Random(2)
            pieces = []
            while piece := await reader.read(rng.randint(1, 50_000)):
                pieces.append(piece)
                if rng.random() < 0.2:
                    writer.transport.pause_reading()
                    for _ in range(rng.randint(1, 5)):
                        await asyncio.sleep(0)
                    writer.transport.resume_reading()
            await sending
            writer.close()
            await writer.wait_closed()
        assert b"".join(pieces) == data

    world.run(main())


def test_an_echo_that_nobody_reads_stops_reading(world: World, tmp_path: Path) -> None:
    # Without backpressure all sixteen mebibytes would lie in the server's buffer.
    made: list[Plain] = []

    def factory() -> Plain:
        made.append(Plain())
        return made[-1]

    async def main() -> None:
        async with serving("pair", factory, tmp_path) as connect:
            reader, writer = await connect()
            writer.transport.pause_reading()
            data = pattern(16 * MIB)
            writer.write(data)
            while made[0].transport.is_reading():
                await asyncio.sleep(0)
            waiting = made[0].transport.get_write_buffer_size()
            assert 64 * 1024 < waiting < MIB
            assert writer.transport.get_write_buffer_size() > 14 * MIB
            writer.transport.resume_reading()
            writer.write_eof()
            got = await reader.read(-1)
            assert len(got) == len(data) and got == data
            writer.close()
            await writer.wait_closed()

    world.run(main())


# --- Both ends plain protocols ------------------------------------------------


class PingPong(asyncio.Protocol):
    """Sends a word, and the next when it has come back."""

    def __init__(self, words: list[bytes]) -> None:
        self.words = words
        self.got: list[bytes] = []
        self.piece = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.words[0])

    def data_received(self, data: bytes) -> None:
        self.piece += data
        if len(self.piece) < len(self.words[len(self.got)]):
            return
        self.got.append(self.piece)
        self.piece = b""
        if len(self.got) == len(self.words):
            self.transport.close()
        else:
            self.transport.write(self.words[len(self.got)])

    def connection_lost(self, exc: BaseException | None) -> None:
        self.done.set_result(None)


@pytest.mark.parametrize("factory", [Plain, Buffered, Lines, streams])
def test_questions_and_answers_take_turns(world: World, factory: Any) -> None:
    words = [pattern(1 + n * 37 % 2000, n) for n in range(300)]

    async def main() -> PingPong:
        loop = asyncio.get_running_loop()
        here, there = joined()
        await loop.connect_accepted_socket(factory, there)
        _, protocol = await loop.create_connection(lambda: PingPong(words), sock=here)
        await protocol.done
        # The other end hears of it in its own time.
        while there.fileno() != -1:
            await asyncio.sleep(0)
        return protocol

    assert world.run(main()).got == words
