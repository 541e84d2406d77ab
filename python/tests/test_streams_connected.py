"""Readers and writers on connections: writing, draining, the end, servers, patches."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any

import pytest
from conftest import World
from io_tools import refusal, turns
from net_tools import joined


async def connect(world: World, sock: socket.socket, **kwargs: Any) -> tuple[Any, Any]:
    """Reader and writer on a socket."""
    result: tuple[Any, Any] = await world.module.open_connection(sock=sock, **kwargs)
    return result


class Pair:
    """Reader and writer on one end of a connection, and the plain socket at the other."""

    def __init__(self, world: World, **kwargs: Any) -> None:
        self.world = world
        self.kwargs = kwargs

    async def __aenter__(self) -> tuple[Any, Any, socket.socket]:
        ours, self.theirs = joined()
        self.theirs.setblocking(False)
        reader, self.writer = await connect(self.world, ours, **self.kwargs)
        return reader, self.writer, self.theirs

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        self.theirs.close()
        await turns(4)


# --- What comes in --------------------------------------------------------------


def test_what_is_sent_is_read(world: World) -> None:
    async def main() -> None:
        async with Pair(world) as (reader, writer, sock):
            assert type(reader) is world.module.StreamReader
            assert type(writer) is world.module.StreamWriter
            assert type(writer.transport.get_protocol()) is world.module.StreamReaderProtocol
            loop = asyncio.get_running_loop()
            for size in (1, 2, 1000, 5000, 70_000):
                data = os.urandom(size)
                sending = loop.create_task(loop.sock_sendall(sock, data))
                assert await reader.readexactly(size) == data
                await sending
            sock.shutdown(socket.SHUT_WR)
            assert await reader.read() == b"" and reader.at_eof()
            # The other direction is open.
            writer.write(b"still here")
            await writer.drain()
            assert await loop.sock_recv(sock, 100) == b"still here"

    world.run(main())


def test_the_transport_is_paused_while_too_much_is_unread(world: World) -> None:
    async def main() -> None:
        async with Pair(world, limit=1000) as (reader, writer, sock):
            sock.send(b"x" * 5000)
            while not reader._paused:
                await asyncio.sleep(0)
            assert not writer.transport.is_reading()
            assert await reader.readexactly(5000) == b"x" * 5000
            assert writer.transport.is_reading() and not reader._paused

    world.run(main())


@pytest.mark.parametrize("where", ["class", "object", "subclass"])
def test_a_data_received_of_ones_own_is_called(world: World, where: str) -> None:
    seen: list[bytes] = []

    class Protocol(world.module.StreamReaderProtocol):  # type: ignore[misc, name-defined]
        def data_received(self, data: bytes) -> None:
            seen.append(data)
            super().data_received(data.upper())

    async def main() -> None:
        ours, theirs = joined()
        loop = asyncio.get_running_loop()
        reader = world.module.StreamReader(loop=loop)
        make = Protocol if where == "subclass" else world.module.StreamReaderProtocol
        protocol = make(reader, loop=loop)
        transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
        if where != "subclass":
            stock = protocol.data_received

            def received(data: bytes) -> None:
                seen.append(data)
                stock(data.upper())

            if where == "object":
                protocol.data_received = received
            else:
                patched = type("Patched", (type(protocol),), {})
                patched.data_received = lambda self, data: received(data)
                protocol.__class__ = patched
        theirs.send(b"abc")
        assert await reader.read(10) == b"ABC"
        assert seen == [b"abc"]
        transport.close()
        theirs.close()
        await turns(4)

    world.run(main())


def test_a_feed_data_of_ones_own_is_called(world: World) -> None:
    class Reader(world.module.StreamReader):  # type: ignore[misc, name-defined]
        def feed_data(self, data: bytes) -> None:
            super().feed_data(data + b"!")

    async def main() -> None:
        for patched in (False, True):
            ours, theirs = joined()
            loop = asyncio.get_running_loop()
            reader = world.module.StreamReader(loop=loop) if patched else Reader(loop=loop)
            if patched:
                stock = reader.feed_data
                reader.feed_data = lambda data, stock=stock: stock(data + b"!")
            protocol = world.module.StreamReaderProtocol(reader, loop=loop)
            transport, _ = await loop.create_connection(lambda p=protocol: p, sock=ours)
            theirs.send(b"abc")
            assert await reader.read(10) == b"abc!"
            transport.close()
            theirs.close()
            await turns(4)

    world.run(main())


def test_what_comes_for_a_reader_that_is_gone_is_dropped(world: World) -> None:
    async def main() -> None:
        ours, theirs = joined()
        loop = asyncio.get_running_loop()
        reader = world.module.StreamReader(loop=loop)
        protocol = world.module.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
        assert protocol._stream_reader is reader
        del reader
        gc.collect()
        assert protocol._stream_reader is None
        theirs.send(b"abc")
        await turns(4)
        assert protocol.eof_received() is True
        theirs.close()
        transport.close()
        await turns(4)

    world.run(main())


# --- What goes out --------------------------------------------------------------


def test_writing_in_every_way(world: World) -> None:
    async def main() -> None:
        async with Pair(world) as (_, writer, sock):
            writer.write(b"one ")
            writer.write(bytearray(b"two "))
            writer.write(data=memoryview(b"three "))
            writer.writelines([b"four ", b"five"])
            assert writer.can_write_eof() is True
            writer.write_eof()
            loop = asyncio.get_running_loop()
            received = b""
            while data := await loop.sock_recv(sock, 100):
                received += data
            assert received == b"one two three four five"
            with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof\(\)"):
                writer.write(b"more")
            with pytest.raises(TypeError):
                writer.write("text")
            with pytest.raises(TypeError):
                writer.write()
            assert writer.get_extra_info("nothing") is None
            assert writer.get_extra_info("nothing", 5) == 5
            assert writer.get_extra_info("socket") is not None

    world.run(main())


def test_a_write_of_the_transports_own_is_called(world: World) -> None:
    class Transport(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.written: list[bytes] = []

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.written.append(bytes(data))

        def is_closing(self) -> bool:
            return True

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport = Transport()
        reader = world.module.StreamReader(loop=loop)
        protocol = world.module.StreamReaderProtocol(reader, loop=loop)
        writer = world.module.StreamWriter(transport, protocol, reader, loop)
        writer.write(b"abc")
        assert transport.written == [b"abc"]
        assert writer.is_closing() is True and writer.transport is transport

    world.run(main())


def test_a_write_set_on_our_transport_is_called(ours: World) -> None:
    async def main() -> None:
        async with Pair(ours) as (_, writer, sock):
            written: list[bytes] = []
            writer.transport.write = written.append
            writer.write(b"abc")
            assert written == [b"abc"]
            del writer.transport.write
            writer.write(b"def")
            assert await asyncio.get_running_loop().sock_recv(sock, 10) == b"def"

    ours.run(main())


def test_drain_waits_while_too_much_is_unwritten(world: World) -> None:
    async def main() -> None:
        async with Pair(world) as (reader, writer, _):
            ticks: list[int] = []
            asyncio.get_running_loop().call_soon(ticks.append, 1)
            await writer.drain()
            assert ticks == []
            protocol = writer.transport.get_protocol()
            protocol.pause_writing()
            with pytest.raises(AssertionError):
                protocol.pause_writing()
            first, second, third = (asyncio.ensure_future(writer.drain()) for _ in range(3))
            await turns()
            assert not first.done() and len(protocol._drain_waiters) == 3
            second.cancel()
            await turns()
            assert second.cancelled() and len(protocol._drain_waiters) == 2
            protocol.resume_writing()
            with pytest.raises(AssertionError):
                protocol.resume_writing()
            assert await first is None and await third is None
            assert not protocol._drain_waiters
            reader.set_exception(ZeroDivisionError("told"))
            assert await refusal(writer.drain()) == "ZeroDivisionError: told"

    world.run(main())


def test_drain_gives_a_turn_away_when_it_is_closing(world: World) -> None:
    async def main() -> None:
        async with Pair(world) as (_, writer, _):
            writer.close()
            assert writer.is_closing()
            assert await refusal(writer.drain()) == "ConnectionResetError: Connection lost"
            await writer.wait_closed()

    world.run(main())


@pytest.mark.parametrize("error", [None, ConnectionAbortedError("gone")])
def test_a_loss_reaches_everybody(world: World, loop: Any, error: Exception | None) -> None:
    async def main() -> None:
        reader = world.module.StreamReader()
        protocol = world.module.StreamReaderProtocol(reader)
        transport = asyncio.Transport()
        writer = world.module.StreamWriter(Never(), protocol, reader, asyncio.get_running_loop())
        protocol._transport = transport
        protocol.pause_writing()
        story: list[Any] = []

        async def tell(name: str, awaitable: Any) -> None:
            try:
                story.append((name, await awaitable))
            except Exception as found:
                assert found is error
                story.append((name, found))

        names = {"read": reader.read(3), "drain": writer.drain(), "closed": writer.wait_closed()}
        tasks = [asyncio.ensure_future(tell(*item)) for item in names.items()]
        await turns()
        protocol.connection_lost(error)
        assert protocol._stream_reader_wr is protocol._transport is protocol._task is None
        await asyncio.wait(tasks)
        kept = b"" if error is None else error
        assert story == [("read", kept), ("closed", error), ("drain", error)]
        assert await refusal(protocol._drain_helper()) == "ConnectionResetError: Connection lost"
        writer.transport.closing = True

    world.run(main())


class Never(asyncio.Transport):
    """Is not closing until it is told so."""

    closing = False

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None: ...


@pytest.mark.skipif(sys.version_info < (3, 11, 5), reason="it came with 3.11.5")
def test_a_writer_that_nobody_closes_says_so(world: World, loop: Any) -> None:
    def make() -> Any:
        reader = world.module.StreamReader(loop=loop)
        protocol = world.module.StreamReaderProtocol(reader, loop=loop)
        return world.module.StreamWriter(Never(), protocol, reader, loop)

    writer = make()
    assert repr(writer).startswith("<StreamWriter transport=<")
    assert repr(writer).endswith(" reader=<StreamReader>>")
    with pytest.warns(ResourceWarning, match="unclosed <StreamWriter transport="):
        del writer
        gc.collect()
    writer = make()
    loop.close()
    with pytest.warns(ResourceWarning, match="loop is closed"):
        del writer
        gc.collect()


def test_a_reader_of_a_writer_is_one(world: World, loop: Any) -> None:
    transport = Never()
    transport.closing = True
    with pytest.raises(AssertionError):
        world.module.StreamWriter(transport, None, object(), loop)
    for reader in (None, world.module.StreamReader(loop=loop), asyncio.StreamReader(loop=loop)):
        assert world.module.StreamWriter(transport, None, reader, loop)._reader is reader
    # asyncio's says of one that was not even begun that it has no transport.
    if world.is_ours:
        with pytest.raises(TypeError, match="missing 3 required positional arguments"):
            world.module.StreamWriter(transport)


# --- Servers --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_server_calls_back_with_reader_and_writer(world: World, kind: str) -> None:
    async def main() -> None:
        served: list[Any] = []

        async def serve(reader: Any, writer: Any) -> None:
            served.append(asyncio.current_task())
            async for line in reader:
                writer.write(line.upper())
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        with tempfile.TemporaryDirectory() as place:
            path = str(Path(place) / "s")
            if kind == "tcp":
                server = await world.module.start_server(serve, "127.0.0.1", 0, limit=100)
                host, port = server.sockets[0].getsockname()
                reader, writer = await world.module.open_connection(host, port, limit=50)
            else:
                server = await world.module.start_unix_server(serve, path, limit=100)
                reader, writer = await world.module.open_unix_connection(path, limit=50)
            assert reader._limit == 50
            writer.write(b"one\ntwo\n")
            assert await reader.readline() == b"ONE\n"
            assert await reader.readline() == b"TWO\n"
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()
        await turns(4)
        (task,) = served
        assert task.done()

    world.run(main())


def test_a_plain_function_serves_too(world: World) -> None:
    async def main() -> None:
        def serve(reader: Any, writer: Any) -> None:
            writer.write(b"hello")
            writer.close()

        server = await world.module.start_server(serve, "127.0.0.1", 0)
        reader, writer = await world.module.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    world.run(main())


def test_a_server_holds_the_reader_until_there_is_a_connection(world: World, loop: Any) -> None:
    reader = world.module.StreamReader(loop=loop)
    reference = weakref.ref(reader)
    protocol = world.module.StreamReaderProtocol(reader, lambda *_: None, loop=loop)
    client = world.module.StreamReaderProtocol(None, loop=loop)
    del reader
    gc.collect()
    assert protocol._stream_reader is reference() is not None
    protocol._strong_reader = None
    gc.collect()
    assert protocol._stream_reader is None and client._stream_reader is None


def test_a_protocol_is_one(world: World, loop: Any) -> None:
    protocol = world.module.StreamReaderProtocol(None, loop=loop)
    assert isinstance(protocol, asyncio.Protocol)
    assert isinstance(protocol, asyncio.streams.FlowControlMixin)
    assert protocol._get_close_waiter(None) is protocol._closed
    assert protocol._loop is loop and list(protocol._drain_waiters) == []
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        world.module.StreamReaderProtocol()


# --- Child processes ------------------------------------------------------------


def test_the_pipes_of_a_child_are_streams(world: World) -> None:
    async def main() -> None:
        for start in ("exec", "shell"):
            create = getattr(world.module, f"create_subprocess_{start}")
            child = await create("cat", stdin=-1, stdout=-1, limit=10)
            assert type(child.stdout) is world.module.StreamReader
            assert type(child.stdin) is world.module.StreamWriter
            child.stdin.write(b"one\ntwo, and more than the limit\n")
            await child.stdin.drain()
            assert await child.stdout.readline() == b"one\n"
            with pytest.raises(ValueError):
                await child.stdout.readline()
            assert await child.communicate(b"the end") == (b"the end", None)
            assert child.returncode == 0

    world.run(main())
