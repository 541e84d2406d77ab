"""Mistakes that were found by reading the code: each test failed before it was mended."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import World
from io_tools import until
from net_tools import Recorder, wired


def test_a_transport_is_made_once(ours: World) -> None:
    # A second __init__ would leave the first descriptor's owner behind in a table.
    loop = ours.new_event_loop()
    first, second = socket.socketpair()
    first.setblocking(False)
    second.setblocking(False)
    transport = loop._make_socket_transport(first, asyncio.Protocol())
    ours.turn(loop)
    with pytest.raises(RuntimeError, match="made once"):
        transport.__init__(loop, second, asyncio.Protocol())
    transport.abort()
    ours.turn(loop, 2)
    del transport
    gc.collect()
    assert loop._transport_of(first.fileno() if first.fileno() >= 0 else 0) is None
    second.close()
    loop.close()


class Proxy:
    """A socket to whoever asks its class."""

    __slots__ = ("_sock",)

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    __class__ = property(lambda _: socket.socket)  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def test_what_calls_itself_a_socket_need_not_be_laid_out_as_one(world: World, loop: Any) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    protocol = Recorder()
    made = loop.create_connection(lambda: protocol, sock=Proxy(ours))
    transport, _ = loop.run_until_complete(made)
    theirs.sendall(b"good day")
    world.run_until(loop, lambda: protocol.received == b"good day")
    transport.write(b"and to you")
    assert theirs.recv(100) == b"and to you"
    theirs.close()
    world.run_until(loop, lambda: bool(protocol.lost))


def test_the_end_of_the_program_is_silent_about_connections(
    world: World, run_program: Callable[..., Any]
) -> None:
    done = run_program(
        """
        import asyncio, socket
        pool = []
        async def main():
            loop = asyncio.get_running_loop()
            first, second = socket.socketpair()
            pool.append(second)
            pool.append(await loop.create_connection(asyncio.Protocol, sock=first))
            pool.append(await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)))
            pool[1][0].pause_reading()
            waiter = pool[1][0]._make_empty_waiter()
        asyncio.run(main())
        print("done")
        """
    )
    assert done.err == ""
    assert done.out == "done\n"


@pytest.mark.may_log
@pytest.mark.skipif(sys.version_info < (3, 13), reason="servers close their clients since 3.13")
def test_a_connection_that_sends_a_file_is_still_a_client(
    world: World, loop: Any, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * (16 << 20))

    async def main() -> None:
        sent: list[asyncio.Task[Any]] = []
        begun = asyncio.Event()

        async def serve(_: Any, writer: asyncio.StreamWriter) -> None:
            with path.open("rb") as file:
                await loop.sendfile(writer.transport, file)

        def connected(reader: Any, writer: asyncio.StreamWriter) -> None:
            sent.append(loop.create_task(serve(reader, writer)))
            begun.set()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        await begun.wait()
        client.setblocking(False)
        assert await loop.sock_recv(client, 1) == b"x"
        server.close()
        server.abort_clients()
        await asyncio.wait_for(server.wait_closed(), 10)
        # Nobody tells sendfile() that the connection is gone.
        sent[0].cancel()
        await asyncio.gather(*sent, return_exceptions=True)
        client.close()

    loop.run_until_complete(main())


def test_a_transport_of_a_closed_loop_is_in_nobodys_way(world: World) -> None:
    before, after = world.new_event_loop(), world.new_event_loop()
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    made = before.create_connection(asyncio.Protocol, sock=mine)
    transport, _ = before.run_until_complete(made)
    before.close()
    after.add_reader(mine, print)
    assert after.remove_reader(mine)
    after.close()
    mine.close()
    theirs.close()
    with pytest.warns(ResourceWarning):
        del transport
        gc.collect()


def test_there_may_be_no_limit(world: World, loop: Any) -> None:
    with wired(world, loop, Recorder()) as (transport, _):
        transport.set_write_buffer_limits(high=float("inf"), low=0)
        assert transport.get_write_buffer_limits() == (0, float("inf"))
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(high=1, low=2)
        assert transport.get_write_buffer_limits() == (0, float("inf"))


def test_no_signal_goes_to_a_child_that_close_has_reaped(
    ours: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.subprocess_exec(asyncio.SubprocessProtocol, "/bin/cat")
        pid = transport.get_pid()
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        transport.close()
        monkeypatch.setattr(os, "kill", lambda *args: sent.append(args))
        transport.kill()
        await transport._wait()

    ours.run(main())
    assert sent == []


class Mute:
    """A protocol that has nothing that a protocol must have."""


@pytest.mark.parametrize("factory", [lambda: None, Mute])
def test_a_server_outlives_a_protocol_that_is_none(
    world: World, loop: Any, factory: Callable[[], Any]
) -> None:
    made: list[Any] = []

    def make() -> Any:
        made.append(factory() if len(made) == 1 else Recorder())
        return made[-1]

    async def main() -> None:
        server = await loop.create_server(make, "127.0.0.1", 0)
        clients = []
        for _ in range(3):
            clients.append(socket.create_connection(server.sockets[0].getsockname()))
            await until(lambda: len(made) == len(clients))
        await until(lambda: made[2].transport is not None)
        for client in clients:
            client.close()
        await until(lambda: made[0].lost and made[2].lost)
        server.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        loop.run_until_complete(main())


def test_who_connects_is_told_of_a_protocol_that_is_none(world: World, loop: Any) -> None:
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(AttributeError, match="connection_made"):
            loop.run_until_complete(loop.create_connection(Mute, sock=mine))
        gc.collect()
    mine.close()
    theirs.close()


def test_a_child_whose_protocol_is_none_can_be_given_up(ours: World) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        starting = loop.subprocess_exec(lambda: None, "/bin/cat")
        with pytest.raises((AttributeError, TimeoutError)):
            await asyncio.wait_for(starting, 5)

    ours.run(main())
