"""How servers accept: in which order, how many, protocols that cannot be made, storms."""

from __future__ import annotations

import errno
import gc
import os
import resource
import socket
import warnings
from pathlib import Path
from typing import Any

import pytest
from conftest import Log, World
from net_tools import PY, BufferedRecorder, Guests, call_on, receive, reset, serving
from task_tools import gather_reports

# --- Accepting ----------------------------------------------------------------


@pytest.mark.parametrize("recorder", [None, BufferedRecorder])
def test_each_guest_gets_its_own_protocol(world: World, loop: Any, recorder: Any) -> None:
    guests = Guests(recorder) if recorder else Guests()
    with serving(world, loop, guests) as server:
        clients = [call_on(server) for _ in range(5)]
        world.run_until(loop, lambda: guests.are_here(5))
        for n, client in enumerate(clients):
            client.sendall(b"guest %d" % n)
        world.run_until(loop, lambda: all(guest.received for guest in guests))
        assert sorted(bytes(g.received) for g in guests) == [b"guest %d" % n for n in range(5)]
        for client in clients:
            client.close()
        world.run_until(loop, guests.are_gone)
        for guest in guests:
            got = "data_received" if recorder is None else "buffer_updated"
            assert guest.story == ["connection_made", got, "eof_received", "connection_lost"]
            assert guest.lost == [None]


def test_guests_are_accepted_in_the_order_of_their_coming(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests) as server:
        clients = [call_on(server) for _ in range(20)]
        world.run_until(loop, lambda: guests.are_here(20))
        names = [guest.transport.get_extra_info("peername") for guest in guests]
        assert names == [client.getsockname() for client in clients]
        for client in clients:
            client.close()


def test_all_who_wait_are_accepted_in_one_turn(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests) as server:
        clients = [call_on(server) for _ in range(30)]
        # The turn that accepts them, and the one in which their tasks make the protocols.
        world.turn(loop, 2)
        assert len(guests) == 30
        for client in clients:
            client.close()


def test_a_turn_accepts_as_many_as_the_backlog_says(world: World, loop: Any) -> None:
    # The kernel keeps more of them waiting here, for it has been told another number.
    guests = Guests()
    sock = socket.create_server(("127.0.0.1", 0))
    server = loop.run_until_complete(loop.create_server(guests, sock=sock, backlog=4))
    sock.listen(50)
    clients = [call_on(server) for _ in range(12)]
    world.turn(loop, 2)
    # One more since 3.14.
    assert len(guests) == (5 if PY >= (3, 14) else 4)
    world.run_until(loop, lambda: guests.are_here(12))
    for client in clients:
        client.close()
    world.run_until(loop, guests.are_gone)
    server.close()


def test_an_accepted_transport_knows_both_ends(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests) as server, call_on(server) as client:
        world.run_until(loop, lambda: guests.are_here(1))
        transport = guests[0].transport
        assert transport.get_extra_info("peername") == client.getsockname()
        assert transport.get_extra_info("sockname") == client.getpeername()
        sock = transport.get_extra_info("socket")
        assert sock.gettimeout() == 0
        assert sock.get_inheritable() is False
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


# A listener for TCP need not call itself so, and asyncio goes by what it calls itself.
@pytest.mark.parametrize(
    ("family", "proto"),
    [
        (socket.AF_INET, 0),
        (socket.AF_INET, socket.IPPROTO_TCP),
        (socket.AF_INET6, 0),
        (socket.AF_INET6, socket.IPPROTO_TCP),
        (socket.AF_UNIX, 0),
        # Linux takes the family's own number for its protocol.
        (socket.AF_UNIX, socket.AF_UNIX),
    ],
)
def test_an_accepted_socket_has_the_protocol_of_its_listener(
    world: World, loop: Any, tmp_path: Path, family: int, proto: int
) -> None:
    listener = socket.socket(family, socket.SOCK_STREAM, proto)
    inet = {socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0)}
    listener.bind(inet.get(family, os.path.relpath(tmp_path / "socket")))
    guests = Guests()
    create = loop.create_unix_server if family == socket.AF_UNIX else loop.create_server
    server = loop.run_until_complete(create(guests, sock=listener))
    with call_on(server):
        world.run_until(loop, lambda: guests.are_here(1))
        sock = guests[0].transport.get_extra_info("socket")
        assert (sock.family, sock.type, sock.proto) == (family, socket.SOCK_STREAM, proto)
        assert type(sock.proto) is int
        if family != socket.AF_UNIX:
            nodelay = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert bool(nodelay) is (proto == socket.IPPROTO_TCP)
    world.run_until(loop, guests.are_gone)
    # A transport that is lost before somebody asks answers the same.
    with call_on(server):
        world.run_until(loop, lambda: guests.are_here(2))
    world.run_until(loop, guests.are_gone)
    sock = guests[1].transport.get_extra_info("socket")
    assert (sock.family, sock.type, sock.proto) == (family, socket.SOCK_STREAM, proto)
    server.close()


def test_a_guest_that_is_gone_before_it_is_accepted(world: World, loop: Any) -> None:
    guests = Guests()
    with serving(world, loop, guests) as server:
        client = call_on(server)
        address = client.getsockname()
        client.sendall(b"hello and goodbye")
        client.close()
        refused = call_on(server)
        reset(refused)
        world.run_until(loop, lambda: guests.are_here(2) and guests.are_gone())
        assert guests[0].received == b"hello and goodbye"
        assert guests[0].lost == [None]
        assert isinstance(guests[1].lost[0], ConnectionResetError)
        # Who it was is known from the accept, though the socket no longer tells.
        assert guests[0].transport.get_extra_info("peername") == address
        assert guests[1].transport.get_extra_info("peername") is not None


@pytest.mark.parametrize("is_watched", [False, True])
def test_the_guests_of_who_has_the_number_now_are_not_accepted(
    world: World, loop: Any, is_watched: bool
) -> None:
    # A listening socket is closed by its owner in the very turn in which it has a guest.
    guests = Guests()
    reports = gather_reports(loop)
    listener = socket.create_server(("127.0.0.1", 0))
    loop.run_until_complete(loop.create_server(guests, sock=listener))
    number = listener.fileno()
    heard: list[str] = []
    others: list[socket.socket] = []

    def change_hands(fd: int) -> None:
        loop.remove_reader(fd)
        listener.close()
        other = socket.create_server(("127.0.0.1", 0))
        assert other.fileno() == number
        other.setblocking(False)
        others.extend((other, socket.create_connection(other.getsockname())))
        if is_watched:
            loop.add_reader(number, heard.append, "heard")

    first, second = socket.socketpair()
    loop.add_reader(first, change_hands, first.fileno())
    world.turn(loop)
    second.send(b"before the guest comes")
    with socket.create_connection(listener.getsockname()):
        world.turn(loop)
        accepted, _ = others[0].accept()
    world.turn(loop, 2)
    assert len(guests) == 0
    # Who is displaced is not asked again; else the closed socket is asked, which is an error.
    if is_watched:
        assert reports == []
    else:
        (report,) = reports
        assert "_accept_connection(" in report["message"]
        assert report["exception"].errno == errno.EBADF
    loop.remove_reader(number)
    for sock in (first, second, accepted, *others):
        sock.close()


@pytest.mark.parametrize("error", [ValueError("mine"), OSError(5, "mine")])
def test_a_listening_socket_that_fails_in_a_way_of_its_own(
    world: World, loop: Any, error: Exception
) -> None:
    class Listener(socket.socket):
        is_broken = False

        def fileno(self) -> int:
            if self.is_broken:
                raise error
            return super().fileno()

        def accept(self) -> Any:
            self.fileno()
            return super().accept()

    guests = Guests()
    reports = gather_reports(loop)
    listener = Listener()
    listener.bind(("127.0.0.1", 0))
    server = loop.run_until_complete(loop.create_server(guests, sock=listener))
    listener.is_broken = True
    with socket.create_connection(listener.getsockname()):
        world.run_until(loop, lambda: bool(reports))
        listener.is_broken = False
        assert reports[0]["exception"] is error
        assert "_accept_connection(" in reports[0]["message"]
        world.run_until(loop, lambda: guests.are_here(1))
    world.run_until(loop, guests.are_gone)
    server.close()
    world.turn(loop)


# --- Factories that fail ------------------------------------------------------


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("error", [ValueError("mine"), OSError(5, "mine")])
def test_a_guest_without_a_protocol_is_sent_away(
    world: World, loop: Any, debug: bool, error: Exception
) -> None:
    def factory() -> Any:
        if not failed:
            failed.append(True)
            raise error
        return guests()

    loop.set_debug(debug)
    failed: list[bool] = []
    guests = Guests()
    reports = gather_reports(loop)
    server = loop.run_until_complete(loop.create_server(factory, "127.0.0.1", 0))
    client = call_on(server)
    with warnings.catch_warnings():
        # asyncio leaves the socket to the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        world.turn(loop, 3)
        error.__traceback__ = None
        gc.collect()
        if not debug:
            assert receive(loop, client) == b""
    expected = {
        "message": "Error on transport creation for incoming connection",
        "exception": error,
    }
    # Only debug mode tells.
    assert reports == [expected] * debug
    client.close()
    with call_on(server) as client:
        # The server goes on.
        world.run_until(loop, lambda: guests.are_here(1))
    world.run_until(loop, guests.are_gone)
    server.close()
    reports.clear()
    gc.collect()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_out_of_the_factory_comes_out_of_the_loop(
    world: World, loop: Any, logged: Log, error: type[BaseException]
) -> None:
    def factory() -> Any:
        if not failed:
            failed.append(True)
            raise error
        return guests()

    failed: list[bool] = []
    guests = Guests()
    server = loop.run_until_complete(loop.create_server(factory, "127.0.0.1", 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with call_on(server), pytest.raises(error):
            world.run_until(loop, lambda: False)
        with call_on(server):
            world.run_until(loop, lambda: guests.are_here(1))
        world.run_until(loop, guests.are_gone)
        server.close()
        gc.collect()


@pytest.mark.parametrize("nothing", [None, object(), 7])
def test_what_a_factory_makes_need_not_be_a_protocol(
    world: World, loop: Any, nothing: object
) -> None:
    # It fails where its first method is missing.
    reports = gather_reports(loop)
    loop.set_debug(True)
    server = loop.run_until_complete(loop.create_server(lambda: nothing, "127.0.0.1", 0))
    with warnings.catch_warnings(), call_on(server):
        warnings.simplefilter("ignore", ResourceWarning)
        world.run_until(loop, lambda: bool(reports))
        assert type(reports[0]["exception"]) is AttributeError
        assert "connection_made" in str(reports[0]["exception"])
        server.close()
        reports.clear()
        world.turn(loop, 3)
        gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_factory_may_close_its_server(world: World, loop: Any) -> None:
    # Its guest was accepted before that, and there is no place for it any more. asyncio stumbles
    # over an assertion of its own, and since 3.13 in the destructor of the transport too.
    def factory() -> Any:
        server.close()
        return guests()

    guests = Guests()
    server = loop.run_until_complete(loop.create_server(factory, "127.0.0.1", 0))
    with warnings.catch_warnings(), call_on(server) as client:
        warnings.simplefilter("ignore", ResourceWarning)
        world.turn(loop, 4)
        gc.collect()
        assert len(guests) == 1
        assert guests[0].story == []
        assert receive(loop, client) == b""
        loop.run_until_complete(server.wait_closed())


# --- Many ---------------------------------------------------------------------


@pytest.mark.slow
def test_a_storm_of_guests_leaves_nothing_behind(world: World, loop: Any) -> None:
    # The fixture counts descriptors and looks for errors in the log.
    def made(protocol: Any, transport: Any) -> None:
        if len(guests) % 4 == 3:
            transport.close()
        elif len(guests) % 4 == 2:
            transport.abort()

    guests = Guests(connection_made=made)
    with serving(world, loop, guests) as server:
        for batch in range(40):
            for n in range(50):
                client = call_on(server)
                if n % 3 == 0:
                    client.sendall(b"hello")
                if n % 5 == 0:
                    reset(client)
                else:
                    client.close()
            count = 50 * (batch + 1)
            world.run_until(loop, lambda count=count: guests.are_here(count))
        world.run_until(loop, guests.are_gone)
        assert len(guests) == 2000
        assert all(len(guest.lost) == 1 for guest in guests)
        server.close()
        loop.run_until_complete(server.wait_closed())


def memory() -> int:
    """The bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


# How many guests come and go; `make test` lets a hundred thousand come once.
GUESTS = int(os.environ.get("BATONLOOP_GUESTS", "10000"))


@pytest.mark.slow
def test_many_guests_leave_the_memory_as_it_was(world: World, loop: Any) -> None:
    guests = Guests()

    def entertain(count: int) -> int:
        for _ in range(count // 100):
            clients = [call_on(server) for _ in range(100)]
            world.run_until(loop, lambda: guests.are_here(100))
            for guest in guests:
                guest.transport.write(b"x" * 1000)
            for client in clients:
                reset(client)
            world.run_until(loop, guests.are_gone)
            guests.clear()
        gc.collect()
        return memory()

    with serving(world, loop, guests) as server:
        before = entertain(2000)
        assert entertain(GUESTS) - before < 4 << 20
