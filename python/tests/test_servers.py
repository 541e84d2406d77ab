"""Servers: their life from start_serving to wait_closed, and what becomes of their guests."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import weakref
from typing import Any

import pytest
from conftest import World
from net_tools import PY, Guests, call_on, is_open, receive, serving
from task_tools import raised

# --- The life of a server -----------------------------------------------------


def test_a_server_that_serves_is_one_with_sockets(world: World, loop: Any) -> None:
    with serving(world, loop, Guests()) as server:
        assert isinstance(server, asyncio.AbstractServer)
        assert server.is_serving() is True
        assert server.get_loop() is loop
        assert isinstance(server.sockets, tuple) and len(server.sockets) == 1
        assert type(server.sockets[0]) is asyncio.trsock.TransportSocket
        assert server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        assert server.sockets[0].gettimeout() == 0
        with pytest.raises(AttributeError):
            server.sockets = ()
        assert server.close() is None
        assert server.is_serving() is False
        assert server.sockets == ()
        assert server.get_loop() is loop
        server.close()


# The private names that libraries in use read off a server.
def test_what_libraries_read_of_a_server(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests, backlog=7) as server:
        assert [type(sock) for sock in server._sockets] == [socket.socket]
        assert server._loop is loop
        assert server._ssl_context is None
        assert server._protocol_factory is guests
        assert server._backlog == 7
        assert server._serving is True
        server.close()
        assert server._sockets is None
        assert server._serving is False


def test_the_repr_of_a_server(world: World, loop: Any) -> None:
    with serving(world, loop, Guests()) as server:
        assert repr(server) == f"<Server sockets={server.sockets!r}>"
        pattern = r"<Server sockets=\(<asyncio\.TransportSocket fd=\d+, .*127\.0\.0\.1.*>,\)>"
        assert re.fullmatch(pattern, repr(server))
        server.close()
        assert repr(server) == "<Server sockets=()>"


def test_a_server_can_be_referred_to_weakly(world: World, loop: Any) -> None:
    with serving(world, loop, Guests()) as server:
        ref = weakref.ref(server)
        assert ref() is server


def test_a_server_in_use_is_held_by_its_loop(world: World, loop: Any) -> None:
    guests = Guests()
    server = loop.run_until_complete(loop.create_server(guests, "127.0.0.1", 0))
    client = call_on(server)
    ref = weakref.ref(server)
    del server
    gc.collect()
    world.run_until(loop, lambda: guests.are_here(1))
    server = ref()
    assert server is not None
    client.close()
    world.run_until(loop, guests.are_gone)
    server.close()
    del server
    gc.collect()
    assert ref() is None


def test_a_server_can_be_started_later(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests, start_serving=False) as server:
        assert server.is_serving() is False
        assert len(server.sockets) == 1
        with pytest.raises(ConnectionRefusedError):
            call_on(server)
        assert loop.run_until_complete(server.start_serving()) is None
        assert server.is_serving() is True
        with call_on(server):
            world.run_until(loop, lambda: guests.are_here(1))
        # Once more changes nothing.
        loop.run_until_complete(server.start_serving())
        with call_on(server):
            world.run_until(loop, lambda: guests.are_here(2))


def test_a_server_that_never_started_can_be_closed(world: World, loop: Any) -> None:
    with serving(world, loop, Guests(), start_serving=False) as server:
        server.close()
        loop.run_until_complete(server.wait_closed())
        assert server.sockets == ()


def test_a_closed_server_cannot_be_started(world: World, loop: Any) -> None:
    with serving(world, loop, Guests()) as server:
        server.close()
        assert type(raised(lambda: loop.run_until_complete(server.start_serving()))) is TypeError
        error = raised(lambda: loop.run_until_complete(server.serve_forever()))
        assert type(error) is RuntimeError
        assert str(error) == "server <Server sockets=()> is closed"


def test_a_closed_server_refuses_guests_and_keeps_those_it_has(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests) as server, call_on(server) as client:
        world.run_until(loop, lambda: guests.are_here(1))
        address = server.sockets[0].getsockname()
        server.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        client.sendall(b"still here")
        world.run_until(loop, lambda: guests[0].received == b"still here")
        guests[0].transport.write(b"so am I")
        assert client.recv(100) == b"so am I"


def test_a_closed_server_frees_its_address_at_once(world: World, loop: Any) -> None:
    with serving(world, loop, Guests()) as server:
        address = server.sockets[0].getsockname()
        server.close()
        with socket.create_server(address):
            pass


def test_those_who_were_not_accepted_are_sent_away_by_close(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests) as server, call_on(server) as client:
        server.close()
        with pytest.raises(ConnectionResetError):
            receive(loop, client, 1)
        world.turn(loop, 3)
        assert guests == []


def test_close_within_connection_made(world: World, loop: Any) -> None:
    guests = Guests(connection_made=lambda *_: server.close())
    with serving(world, loop, guests) as server, call_on(server) as client:
        world.run_until(loop, lambda: guests.are_here(1))
        assert not server.is_serving()
        client.sendall(b"x")
        world.run_until(loop, lambda: guests[0].received == b"x")


# --- wait_closed --------------------------------------------------------------


def test_wait_closed_waits_for_the_last_guest(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests) as server, call_on(server) as one, call_on(server) as two:
        world.run_until(loop, lambda: guests.are_here(2))
        waiting = loop.create_task(server.wait_closed())
        world.turn(loop, 3)
        assert not waiting.done()
        server.close()
        # Python 3.11 waits only for the close where it was asked before it, 3.12 never for less
        # than for all to go.
        world.turn(loop, 3)
        assert not waiting.done()
        again = loop.create_task(server.wait_closed())
        world.turn(loop, 3)
        assert again.done() is (PY == (3, 11))
        one.close()
        world.run_until(loop, lambda: sum(bool(guest.lost) for guest in guests) == 1)
        world.turn(loop, 3)
        assert not waiting.done()
        two.close()
        world.run_until(loop, guests.are_gone)
        world.turn(loop, 2)
        assert waiting.done() and waiting.result() is None
        assert again.done() and again.result() is None
        assert loop.run_until_complete(server.wait_closed()) is None


def test_wait_closed_without_guests(world: World, loop: Any) -> None:
    with serving(world, loop, Guests()) as server:
        waiting = [loop.create_task(server.wait_closed()) for _ in range(3)]
        world.turn(loop, 3)
        assert not any(task.done() for task in waiting)
        server.close()
        world.turn(loop, 2)
        assert all(task.done() for task in waiting)


def test_wait_closed_can_be_cancelled(world: World, loop: Any) -> None:
    with serving(world, loop, Guests()) as server:
        waiting = loop.create_task(server.wait_closed())
        world.turn(loop, 2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(waiting)
        assert server.is_serving()
        server.close()
        loop.run_until_complete(server.wait_closed())


# --- serve_forever and async with ---------------------------------------------


def test_serve_forever_serves_until_it_is_cancelled(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests, start_serving=False) as server:
        task = loop.create_task(server.serve_forever())
        world.turn(loop, 2)
        assert server.is_serving()
        with call_on(server):
            world.run_until(loop, lambda: guests.are_here(1))
        world.run_until(loop, guests.are_gone)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        assert not server.is_serving()
        assert server.sockets == ()


def test_serve_forever_twice_is_refused(world: World, loop: Any) -> None:
    with serving(world, loop, Guests()) as server:
        task = loop.create_task(server.serve_forever())
        world.turn(loop, 2)
        error = raised(lambda: loop.run_until_complete(server.serve_forever()))
        assert type(error) is RuntimeError
        assert str(error) == f"server {server!r} is already being awaited on serve_forever()"
        assert not task.done()
        server.close()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)


def test_a_cancelled_serve_forever_and_its_guests(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests) as server, call_on(server) as client:
        world.run_until(loop, lambda: guests.are_here(1))
        task = loop.create_task(server.serve_forever())
        world.turn(loop, 2)
        task.cancel()
        world.turn(loop, 3)
        assert not server.is_serving()
        # 3.11 does not wait for guests, 3.12 and 3.13 wait until they go, 3.14 closes them.
        if PY == (3, 11):
            assert task.done()
        elif PY < (3, 14):
            assert not task.done()
            assert is_open(client)
        else:
            assert guests[0].lost == [None]
        client.close()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)


def test_a_server_is_an_async_context_manager(world: World, loop: Any) -> None:
    async def main() -> None:
        async with server as entered:
            assert entered is server
            assert server.is_serving()
        assert not server.is_serving()

    with serving(world, loop, Guests()) as server:
        loop.run_until_complete(main())
        assert server.sockets == ()


def test_async_with_closes_on_an_error(world: World, loop: Any) -> None:
    async def main() -> None:
        async with server:
            raise ValueError("mine")

    with serving(world, loop, Guests()) as server:
        with pytest.raises(ValueError, match=r"^mine$"):
            loop.run_until_complete(main())
        assert not server.is_serving()


# --- Sending guests away (since 3.13) -----------------------------------------

since_3_13 = pytest.mark.skipif(PY < (3, 13), reason="new in 3.13")


@since_3_13
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
def test_all_guests_can_be_sent_away(world: World, loop: Any, method: str) -> None:
    guests = Guests()
    with serving(world, loop, guests) as server:
        clients = [call_on(server) for _ in range(3)]
        world.run_until(loop, lambda: guests.are_here(3))
        assert getattr(server, method)() is None
        assert all(guest.transport.is_closing() for guest in guests)
        world.turn(loop)
        assert [guest.lost for guest in guests] == [[None]] * 3
        # The server itself goes on.
        assert server.is_serving()
        clients.append(call_on(server))
        world.run_until(loop, lambda: guests.are_here(4))
        for client in clients[:3]:
            assert client.recv(1) == b""
        for client in clients:
            client.close()
        world.run_until(loop, guests.are_gone)
        # With nobody there it does nothing.
        getattr(server, method)()


@since_3_13
def test_close_clients_flushes_and_abort_clients_does_not(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests) as server, call_on(server) as client:
        world.run_until(loop, lambda: guests.are_here(1))
        guests[0].transport.write(b"x" * 8_000_000)
        server.close()
        server.close_clients()
        world.turn(loop, 3)
        assert guests[0].lost == []
        waiting = loop.create_task(server.wait_closed())
        received = receive(loop, client, 4_000_000)
        server.abort_clients()
        loop.run_until_complete(waiting)
        assert guests[0].lost == [None]
        assert len(received) == 4_000_000


def closed_below(world: World, loop: Any, guests: Guests, server: Any, then: Any) -> Any:
    """Let the socket of a first guest be closed by somebody, and another guest get its number.

    The other one calls on the server `then`; returned are the two sockets that called, and the
    number.
    """
    first = call_on(server)
    world.run_until(loop, lambda: guests.are_here(1))
    # asyncio takes nobody in under the number of a guest that is not leaving already.
    guests[0].transport.write(b"x" * 8_000_000)
    guests[0].transport.close()
    second = call_on(then)
    number = guests[0].transport._sock_fd
    guests[0].transport._sock.close()
    return first, second, number


def wait_quietly(guest: Any, transport: Any) -> None:
    """Watch nothing: asyncio could not, for it believes that the number is being watched."""
    transport.pause_reading()


@since_3_13
def test_a_number_that_changes_hands_sends_no_stranger_away(world: World, loop: Any) -> None:
    guests, strangers = Guests(), Guests(connection_made=wait_quietly)
    with serving(world, loop, guests) as server, serving(world, loop, strangers) as other:
        first, second, number = closed_below(world, loop, guests, server, other)
        world.run_until(loop, lambda: strangers.are_here(1))
        assert strangers[0].transport._sock_fd == number
        server.abort_clients()
        world.turn(loop, 2)
        assert guests[0].lost == [None]
        assert strangers[0].lost == []
        assert not strangers[0].transport.is_closing()
        other.abort_clients()
        world.turn(loop, 2)
        assert strangers[0].lost == [None]
        first.close()
        second.close()


@since_3_13
def test_a_server_waits_for_both_who_had_one_number(world: World, loop: Any) -> None:
    guests = Guests(connection_made=wait_quietly)
    with serving(world, loop, guests) as server:
        first, second, number = closed_below(world, loop, guests, server, server)
        world.run_until(loop, lambda: guests.are_here(2))
        assert guests[1].transport._sock_fd == number
        server.close()
        waiting = loop.create_task(server.wait_closed())
        guests[0].transport.abort()
        world.turn(loop, 4)
        assert guests[0].lost == [None]
        assert not waiting.done()
        guests[1].transport.abort()
        loop.run_until_complete(waiting)
        assert guests[1].lost == [None]
        first.close()
        second.close()


class Foreign(asyncio.Transport):
    """A transport that no loop has made."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[str] = []

    def close(self) -> None:
        self.ends.append("close")

    def abort(self) -> None:
        self.ends.append("abort")


@since_3_13
def test_foreign_transports_are_guests_too(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests) as server, call_on(server) as client:
        world.run_until(loop, lambda: guests.are_here(1))
        foreign = [Foreign() for _ in range(3)]
        for each in foreign:
            server._attach(each)
            server._attach(each)
        assert len(server._clients) == 4
        assert set(server._clients) == {*foreign, guests[0].transport}
        assert all(each in server._clients for each in foreign)
        assert Foreign() not in server._clients
        server.close_clients()
        server.abort_clients()
        assert [each.ends for each in foreign] == [["close", "abort"]] * 3
        assert guests[0].transport.is_closing()
        # Nobody is kept alive.
        del each
        foreign.pop()
        gc.collect()
        assert len(server._clients) == 3
        server.close()
        waiting = loop.create_task(server.wait_closed())
        world.run_until(loop, guests.are_gone)
        server._detach(foreign[0])
        assert foreign[0] not in server._clients
        world.turn(loop, 2)
        assert not waiting.done()
        server._detach(foreign[1])
        loop.run_until_complete(waiting)
        assert client.recv(1) == b""


# The finalizer of such a subclass keeps the transport's own from telling the server.
@since_3_13
def test_a_guest_that_dies_untold_is_a_guest_no_longer(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests) as server, call_on(server) as client:
        world.run_until(loop, lambda: guests.are_here(1))

        class Untold(type(guests[0].transport)):  # type: ignore[misc]
            def __del__(self) -> None:
                pass

        made, ends = [], []
        for _ in range(5):
            ends += socket.socketpair()
            ends[-2].setblocking(False)
            made.append(Untold(loop, ends[-2], asyncio.Protocol(), None, None, server))
        world.turn(loop, 2)
        for each in made:
            each.pause_reading()
        assert len(server._clients) == 6
        del made[1:4], each
        gc.collect()
        assert len(server._clients) == 3
        assert set(server._clients) == {*made, guests[0].transport}
        server.close()
        waiting = loop.create_task(server.wait_closed())
        server.abort_clients()
        loop.run_until_complete(waiting)
        assert all(each.is_closing() for each in made)
        assert client.recv(1) == b""
        for end in ends:
            end.close()
