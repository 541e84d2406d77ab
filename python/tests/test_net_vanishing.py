"""Peers that vanish: with and without a word, in each phase of a connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import World
from io_tools import Writer, listening, run, tcp, turns, until
from net_tools import reset
from task_tools import gather_reports

RESET = ("lost", "ConnectionResetError(104)")


class Peer(Writer, asyncio.Protocol):
    keeps_open = False

    def data_received(self, data: bytes) -> None:
        self.story.append(data)

    def eof_received(self) -> bool:
        self.story.append("eof")
        return self.keeps_open


class Open(Peer):
    keeps_open = True


@contextlib.asynccontextmanager
async def connection(loop: Any, factory: Any = Peer) -> AsyncIterator[tuple[Any, Any]]:
    """A protocol, and the plain socket of its peer; no error is reported to the loop's handler."""
    reports = gather_reports(loop)
    with listening() as server:
        client = tcp()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        await loop.sock_connect(client, server.getsockname())
        far, _ = await loop.sock_accept(server)
    with far:
        _, protocol = await loop.create_connection(factory, sock=client)
        yield protocol, far
        if not protocol.is_lost:
            protocol.transport.abort()
            await until(lambda: protocol.is_lost)
        # It is lost once, and the socket is closed.
        await turns()
        assert [word for word in protocol.story if word[0] == "lost"] == protocol.story[-1:]
        assert client.fileno() == -1
    assert reports == []


# --- Of servers -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_goes_before_it_is_accepted(world: World, loop: Any, how: str) -> None:
    made: list[Peer] = []

    def factory() -> Peer:
        made.append(Peer())
        return made[-1]

    async def main() -> None:
        server = await loop.create_server(factory, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        client.send(b"farewell")
        reset(client) if how == "reset" else client.close()
        await until(lambda: made and made[0].is_lost)
        if how == "reset":
            # What had arrived is still there.
            assert made[0].story == ["made", b"farewell", RESET]
        else:
            assert made[0].story == ["made", b"farewell", "eof", ("lost", None)]
        # The next one is served.
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.send(b"hello")
            await until(lambda: len(made) == 2 and b"hello" in made[1].story)
        await until(lambda: made[1].is_lost)
        server.close()
        await server.wait_closed()

    run(loop, main())


def test_a_storm_of_clients_that_come_and_go(world: World, loop: Any) -> None:
    made: list[Peer] = []

    def factory() -> Peer:
        made.append(Peer())
        return made[-1]

    async def main() -> None:
        server = await loop.create_server(factory, "127.0.0.1", 0, backlog=200)
        address = server.sockets[0].getsockname()
        for number in range(150):
            client = socket.create_connection(address)
            if number % 3 == 0:
                reset(client)
            else:
                client.close()
            if number % 10 == 0:
                await asyncio.sleep(0)
        await until(lambda: len(made) == 150 and all(peer.is_lost for peer in made))
        stories = [tuple(peer.story) for peer in made]
        assert stories.count(("made", RESET)) == 50
        assert stories.count(("made", "eof", ("lost", None))) == 100
        server.close()
        await server.wait_closed()

    run(loop, main(), 20)


# --- Of connections ---------------------------------------------------------------------------


def test_while_nothing_is_said(world: World, loop: Any) -> None:
    async def main() -> None:
        async with connection(loop) as (protocol, far):
            reset(far)
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", RESET]

    run(loop, main())


def test_after_something_was_said(world: World, loop: Any) -> None:
    async def main() -> None:
        async with connection(loop) as (protocol, far):
            far.send(b"last words")
            await until(lambda: b"last words" in protocol.story)
            reset(far)
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", b"last words", RESET]

    run(loop, main())


def test_in_the_moment_of_the_connection(world: World, loop: Any) -> None:
    class Shy(Peer):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            reset(others[0])

    others: list[Any] = []

    async def main() -> None:
        with listening() as server:
            client = tcp()
            await loop.sock_connect(client, server.getsockname())
            others.append((await loop.sock_accept(server))[0])
        _, protocol = await loop.create_connection(Shy, sock=client)
        await until(lambda: protocol.is_lost)
        assert protocol.story == ["made", RESET]

    run(loop, main())


def test_with_our_words_unread(world: World, loop: Any) -> None:
    async def main() -> None:
        async with connection(loop) as (protocol, far):
            protocol.transport.write(b"unread")
            await until(lambda: len(far.recv(100, socket.MSG_PEEK)) == 6)
            # The kernel makes a reset of it.
            far.close()
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", RESET]

    run(loop, main())


def test_while_much_waits_to_be_written(world: World, loop: Any) -> None:
    async def main() -> None:
        async with connection(loop) as (protocol, far):
            protocol.transport.write(bytes(20_000_000))
            await turns()
            assert protocol.story == ["made", "pause"]
            reset(far)
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", "pause", RESET]
            assert protocol.transport.get_write_buffer_size() == 0

    run(loop, main())


def test_after_close_while_much_waits_to_be_written(world: World, loop: Any) -> None:
    async def main() -> None:
        async with connection(loop) as (protocol, far):
            protocol.transport.write(bytes(20_000_000))
            protocol.transport.close()
            await turns()
            assert protocol.story == ["made", "pause"]
            reset(far)
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", "pause", RESET]

    run(loop, main())


def test_while_reading_is_paused(world: World, loop: Any) -> None:
    async def main() -> None:
        async with connection(loop) as (protocol, far):
            protocol.transport.pause_reading()
            reset(far)
            await asyncio.sleep(0.005)
            # Nobody looks.
            assert protocol.story == ["made"]
            protocol.transport.resume_reading()
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", RESET]

    run(loop, main())


def test_found_out_by_writing(world: World, loop: Any) -> None:
    async def main() -> None:
        async with connection(loop) as (protocol, far):
            protocol.transport.pause_reading()
            reset(far)
            await asyncio.sleep(0.002)
            protocol.transport.write(b"anybody?")
            assert protocol.transport.is_closing()
            protocol.transport.write(b"nobody")
            assert protocol.story == ["made"]
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", RESET]

    run(loop, main())


def test_found_out_by_writing_many_pieces(world: World, loop: Any) -> None:
    async def main() -> None:
        async with connection(loop) as (protocol, far):
            protocol.transport.pause_reading()
            reset(far)
            await asyncio.sleep(0.002)
            protocol.transport.writelines([b"any", b"body?"])
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", RESET]

    run(loop, main())


def test_after_its_end_and_before_ours(world: World, loop: Any) -> None:
    async def main() -> None:
        async with connection(loop, Open) as (protocol, far):
            far.shutdown(socket.SHUT_WR)
            await until(lambda: "eof" in protocol.story)
            protocol.transport.write(b"one more thing")
            assert await loop.sock_recv(far, 100) == b"one more thing"
            reset(far)
            await asyncio.sleep(0.002)
            assert protocol.story == ["made", "eof"]
            protocol.transport.write(b"another")
            await until(lambda: protocol.is_lost)
            # To the kernel a reset after the end is a broken pipe.
            assert protocol.story == ["made", "eof", ("lost", "BrokenPipeError(32)")]

    run(loop, main())


def test_after_our_end_and_before_its_own(world: World, loop: Any) -> None:
    async def main() -> None:
        async with connection(loop) as (protocol, far):
            protocol.transport.write_eof()
            assert await loop.sock_recv(far, 100) == b""
            reset(far)
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", RESET]

    run(loop, main())


def test_with_much_of_it_still_to_be_read(world: World, loop: Any) -> None:
    async def main() -> None:
        async with connection(loop) as (protocol, far):
            protocol.transport.pause_reading()
            far.send(b"a" * 1000)
            far.close()
            await asyncio.sleep(0.002)
            protocol.transport.resume_reading()
            await until(lambda: protocol.is_lost)
            # A peer that closes takes nothing back.
            assert protocol.story == ["made", b"a" * 1000, "eof", ("lost", None)]

    run(loop, main())


def test_nobody_hears_its_last_words_after_our_close(world: World, loop: Any) -> None:
    async def main() -> None:
        async with connection(loop) as (protocol, far):
            far.send(b"too late")
            protocol.transport.close()
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", ("lost", None)]

    run(loop, main())


def test_while_a_stream_is_being_read(world: World, loop: Any) -> None:
    async def main() -> None:
        with listening() as server:
            client = tcp()
            await loop.sock_connect(client, server.getsockname())
            far, _ = await loop.sock_accept(server)
        reader, writer = await asyncio.open_connection(sock=client)
        far.send(b"half a li")
        reading = asyncio.ensure_future(reader.readline())
        await turns(5)
        reset(far)
        with pytest.raises(ConnectionResetError):
            await reading
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await writer.drain()
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()

    run(loop, main())
