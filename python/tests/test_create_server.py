"""create_server and connect_accepted_socket: addresses, options, sockets given, bad arguments.

Nothing here listens but on the loopback: a server for every address is bound, and never started.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import KINDS, Log, World
from net_tools import (
    PY,
    Guests,
    Recorder,
    call_on,
    check_address_and_socket,
    check_closed_socket,
    check_socket_of_the_wrong_type,
    has_ipv6,
    joined,
)
from task_tools import raised

needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


@contextlib.contextmanager
def bound(loop: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
    """A server that is bound, but does not listen unless told to."""
    kwargs.setdefault("start_serving", False)
    server = loop.run_until_complete(loop.create_server(Recorder, *args, **kwargs))
    try:
        yield server
    finally:
        server.close()
        loop.run_until_complete(server.wait_closed())


def refused(loop: Any, *args: Any, **kwargs: Any) -> BaseException:
    """What create_server raises; it may not leave a socket open, which the fixture sees to."""
    return raised(lambda: loop.run_until_complete(loop.create_server(Recorder, *args, **kwargs)))


def hosts(server: Any) -> list[str]:
    return sorted(sock.getsockname()[0] for sock in server.sockets)


# --- Addresses ----------------------------------------------------------------


@pytest.mark.parametrize("port", [0, "0", None, "", b""])
def test_any_free_port(world: World, loop: Any, port: Any) -> None:
    with bound(loop, "127.0.0.1", port) as server:
        (sock,) = server.sockets
        host, port = sock.getsockname()
        assert host == "127.0.0.1" and port > 0
        assert sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM
        assert sock.proto == socket.IPPROTO_TCP


def test_a_port_that_is_said(world: World, loop: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    for spelt in (port, str(port)):
        with bound(loop, host="127.0.0.1", port=spelt) as server:
            assert server.sockets[0].getsockname() == ("127.0.0.1", port)


@pytest.mark.parametrize("host", [None, "", [None]])
def test_no_host_is_every_address(world: World, loop: Any, host: Any) -> None:
    expected = ["0.0.0.0", "::"] if has_ipv6() else ["0.0.0.0"]
    with bound(loop, host, 0) as server:
        assert hosts(server) == expected
        for sock in server.sockets:
            if sock.family == socket.AF_INET6:
                # Each family has a socket of its own.
                assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_an_empty_name_among_others_is_a_name(world: World, loop: Any) -> None:
    assert isinstance(refused(loop, ["", "127.0.0.1"], 0), socket.gaierror)


@pytest.mark.parametrize("make", [list, tuple, set, iter, dict.fromkeys])
def test_several_hosts(world: World, loop: Any, make: Any) -> None:
    with bound(loop, make(["127.0.0.1", "127.0.0.2"]), 0) as server:
        assert hosts(server) == ["127.0.0.1", "127.0.0.2"]


def test_a_host_said_twice_is_bound_once(world: World, loop: Any) -> None:
    with bound(loop, ["127.0.0.1", "127.0.0.1"], 0) as server:
        assert hosts(server) == ["127.0.0.1"]


def test_no_hosts_at_all(world: World, loop: Any) -> None:
    if PY < (3, 13):
        with bound(loop, [], 0) as server:
            assert server.sockets == ()
    else:
        error = refused(loop, [], 0)
        assert type(error) is OSError
        assert str(error) == "could not bind on any address out of []"


def test_all_of_several_hosts_are_served(world: World, loop: Any) -> None:
    guests = Guests()
    coro = loop.create_server(guests, ["127.0.0.1", "127.0.0.2"], 0)
    server = loop.run_until_complete(coro)
    clients = [socket.create_connection(sock.getsockname()) for sock in server.sockets]
    world.run_until(loop, lambda: guests.are_here(2))
    server.close()
    for client in clients:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(client.getpeername())
        client.close()
    world.run_until(loop, guests.are_gone)


@needs_ipv6
def test_an_ipv6_host(world: World, loop: Any) -> None:
    guests = Guests()
    server = loop.run_until_complete(loop.create_server(guests, "::1", 0))
    assert server.sockets[0].family == socket.AF_INET6
    assert len(server.sockets[0].getsockname()) == 4
    with call_on(server) as client:
        world.run_until(loop, lambda: guests.are_here(1))
        transport = guests[0].transport
        assert transport.get_extra_info("peername") == client.getsockname()
        assert transport.get_extra_info("sockname") == client.getpeername()
    world.run_until(loop, guests.are_gone)
    server.close()


@needs_ipv6
def test_a_host_of_each_family(world: World, loop: Any) -> None:
    with bound(loop, ["127.0.0.1", "::1"], 0) as server:
        assert hosts(server) == ["127.0.0.1", "::1"]


def test_a_family_that_the_host_has_not(world: World, loop: Any) -> None:
    error = refused(loop, "127.0.0.1", 0, family=socket.AF_INET6)
    assert type(error) is socket.gaierror
    assert error.errno == socket.EAI_ADDRFAMILY


def test_an_address_in_use(world: World, loop: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
        for kwargs in ({}, {"reuse_address": False}, {"reuse_port": True}):
            error = refused(loop, *address, **kwargs)
            assert type(error) is OSError and error.errno == errno.EADDRINUSE
            # The number is said twice since 3.13.
            cause = "[errno 98] " * (PY >= (3, 13)) + "address already in use"
            expected = f"error while attempting to bind on address {address}: {cause}"
            assert error.strerror == expected
            assert error.__cause__ is None and error.__suppress_context__
        # Those that were bound before it are let go.
        refused(loop, ["127.0.0.2", "127.0.0.3", "127.0.0.1"], address[1])


def test_an_address_that_is_not_here(world: World, loop: Any) -> None:
    # 192.0.2.0/24 is for documentation, and nobody's.
    error = refused(loop, "192.0.2.1", 0)
    assert type(error) is OSError
    if PY < (3, 13):
        assert error.errno == errno.EADDRNOTAVAIL
        assert error.strerror == (
            "error while attempting to bind on address ('192.0.2.1', 0): "
            "cannot assign requested address"
        )
    else:
        assert str(error) == "could not bind on any address out of [('192.0.2.1', 0)]"
        # One that is here is enough.
        with bound(loop, ["192.0.2.1", "127.0.0.1"], 0) as server:
            assert hosts(server) == ["127.0.0.1"]


@pytest.mark.parametrize("port", [-1, 65536, 2**40])
def test_a_port_that_cannot_be(world: World, loop: Any, port: int) -> None:
    assert type(refused(loop, "127.0.0.1", port)) is OverflowError


def test_a_service_that_is_unknown(world: World, loop: Any) -> None:
    error = refused(loop, "127.0.0.1", "no-such-service")
    assert type(error) is socket.gaierror and error.errno == socket.EAI_SERVICE


@pytest.mark.parametrize("host", [7, b"127.0.0.1", [7]])
def test_a_host_that_cannot_be(world: World, loop: Any, host: Any) -> None:
    assert type(refused(loop, host, 0)) is TypeError


def test_names_are_asked_of_the_loops_own_getaddrinfo(world: World) -> None:
    class Loop(world.EventLoop):  # type: ignore[misc, name-defined]
        async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> Any:
            asked.append((host, port, kwargs))
            if host == "nowhere.test":
                return []
            name = {"one.test": "127.0.0.1", "two.test": "127.0.0.2"}[host]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (name, port))]

    asked: list[Any] = []
    loop = Loop()
    with bound(loop, ["one.test", "two.test"], 0) as server:
        assert hosts(server) == ["127.0.0.1", "127.0.0.2"]
    kwargs = {"family": 0, "type": socket.SOCK_STREAM, "proto": 0, "flags": socket.AI_PASSIVE}
    assert asked == [("one.test", 0, kwargs), ("two.test", 0, kwargs)]
    error = refused(loop, "nowhere.test", 0)
    assert type(error) is OSError
    assert str(error) == "getaddrinfo('nowhere.test') returned empty list"
    loop.close()


# --- Options ------------------------------------------------------------------


def option(server: Any, name: int) -> int:
    return server.sockets[0].getsockopt(socket.SOL_SOCKET, name)  # type: ignore[no-any-return]


def test_the_address_may_be_used_again_unless_told_otherwise(world: World, loop: Any) -> None:
    for kwargs, expected in (({}, 1), ({"reuse_address": True}, 1), ({"reuse_address": False}, 0)):
        with bound(loop, "127.0.0.1", 0, **kwargs) as server:
            assert option(server, socket.SO_REUSEADDR) == expected


def test_a_port_is_shared_only_when_told(world: World, loop: Any) -> None:
    with bound(loop, "127.0.0.1", 0) as server:
        assert option(server, socket.SO_REUSEPORT) == 0
    with bound(loop, "127.0.0.1", 0, reuse_port=True, start_serving=True) as first:
        assert option(first, socket.SO_REUSEPORT) == 1
        port = first.sockets[0].getsockname()[1]
        with bound(loop, "127.0.0.1", port, reuse_port=True, start_serving=True) as second:
            assert second.sockets[0].getsockname() == first.sockets[0].getsockname()


@pytest.mark.skipif(PY < (3, 13), reason="new in 3.13")
def test_keep_alive_only_when_told(world: World, loop: Any) -> None:
    for kwargs, expected in (({}, 0), ({"keep_alive": False}, 0), ({"keep_alive": True}, 1)):
        with bound(loop, "127.0.0.1", 0, **kwargs) as server:
            assert option(server, socket.SO_KEEPALIVE) == expected


@pytest.mark.skipif(PY >= (3, 13), reason="new in 3.13")
def test_keep_alive_is_unknown(world: World, loop: Any) -> None:
    assert type(refused(loop, "127.0.0.1", 0, keep_alive=True)) is TypeError


@pytest.mark.parametrize("backlog", [0, 1, 100, 100_000, -1])
def test_a_backlog_of_any_size(world: World, loop: Any, backlog: int) -> None:
    with bound(loop, "127.0.0.1", 0, backlog=backlog, start_serving=True) as server:
        assert server.is_serving()


def test_a_backlog_that_cannot_be(world: World, loop: Any) -> None:
    server = loop.run_until_complete(
        loop.create_server(Recorder, "127.0.0.1", 0, backlog="many", start_serving=False)
    )
    assert type(raised(lambda: loop.run_until_complete(server.start_serving()))) is TypeError
    server.close()


def test_serving_is_logged_in_debug_mode(
    world: World, loop: Any, logged: Log, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asyncio")
    loop.set_debug(True)
    with bound(loop, "127.0.0.1", 0) as server:
        assert [(r.levelno, r.getMessage()) for r in logged.records] == [
            (logging.INFO, f"{server!r} is serving")
        ]


# --- Sockets that are given ---------------------------------------------------


def test_a_socket_that_is_given(world: World, loop: Any) -> None:
    guests = Guests()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = loop.run_until_complete(loop.create_server(guests, sock=sock))
    # It is the caller's own object, and stays so.
    assert sock.fileno() == server.sockets[0].fileno() > 0
    assert sock.gettimeout() == 0
    # No option is set on it.
    assert option(server, socket.SO_REUSEADDR) == 0
    with call_on(server):
        world.run_until(loop, lambda: guests.are_here(1))
    world.run_until(loop, guests.are_gone)
    server.close()
    assert sock.fileno() == -1


def test_a_socket_that_listens_already(world: World, loop: Any) -> None:
    guests = Guests()
    sock = socket.create_server(("127.0.0.1", 0))
    with socket.create_connection(sock.getsockname()):
        server = loop.run_until_complete(loop.create_server(guests, sock=sock))
        world.run_until(loop, lambda: guests.are_here(1))
    world.run_until(loop, guests.are_gone)
    server.close()


def test_a_unix_socket_may_be_given(world: World, loop: Any, tmp_path: Any) -> None:
    guests = Guests()
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "given"))
    server = loop.run_until_complete(loop.create_server(guests, sock=sock))
    with call_on(server):
        world.run_until(loop, lambda: guests.are_here(1))
    world.run_until(loop, guests.are_gone)
    server.close()


def test_a_socket_of_the_wrong_type(world: World, loop: Any) -> None:
    check_socket_of_the_wrong_type(loop, refused)


def test_a_socket_that_is_closed(world: World, loop: Any) -> None:
    check_closed_socket(loop, refused)


def test_what_is_no_socket(world: World, loop: Any) -> None:
    assert type(refused(loop, sock=7)) is AttributeError


# --- Arguments that do not go together ----------------------------------------


def test_neither_an_address_nor_a_socket(world: World, loop: Any) -> None:
    error = refused(loop)
    assert type(error) is ValueError
    assert str(error) == "Neither host/port nor sock were specified"


@pytest.mark.parametrize("kwargs", [{"host": "127.0.0.1"}, {"port": 0}, {"host": "", "port": 0}])
def test_an_address_and_a_socket(world: World, loop: Any, kwargs: dict[str, Any]) -> None:
    check_address_and_socket(loop, refused, kwargs)


@pytest.mark.parametrize("value", [True, False])
def test_ssl_is_a_context_and_no_flag(world: World, loop: Any, value: bool) -> None:
    error = refused(loop, "127.0.0.1", 0, ssl=value)
    assert type(error) is TypeError
    assert str(error) == "ssl argument must be an SSLContext or None"


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_timeouts_of_ssl_without_ssl(world: World, loop: Any, name: str) -> None:
    error = refused(loop, "127.0.0.1", 0, **{name: 1.0})
    assert type(error) is ValueError
    assert str(error) == f"{name} is only meaningful with ssl"


def test_an_ssl_socket_is_refused(world: World, loop: Any) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with context.wrap_socket(socket.socket()) as sock:
        for attempt in (
            loop.create_server(Recorder, sock=sock),
            loop.create_connection(Recorder, sock=sock),
            loop.connect_accepted_socket(Recorder, sock),
        ):
            error = raised(lambda: loop.run_until_complete(attempt))
            assert type(error) is TypeError
            assert str(error) == "Socket cannot be of type SSLSocket"


def test_more_than_three_arguments_need_their_names(world: World, loop: Any) -> None:
    assert type(refused(loop, "127.0.0.1", 0, socket.AF_INET)) is TypeError


# --- connect_accepted_socket --------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_socket_that_was_accepted_elsewhere(world: World, loop: Any, kind: str) -> None:
    ours, theirs = joined(kind)
    coro = loop.connect_accepted_socket(Recorder, ours)
    transport, protocol = loop.run_until_complete(coro)
    assert isinstance(transport, asyncio.Transport) and isinstance(protocol, Recorder)
    assert protocol.story == ["connection_made"] and protocol.transport is transport
    assert ours.gettimeout() == 0
    theirs.sendall(b"x")
    theirs.close()
    world.run_until(loop, lambda: bool(protocol.lost))
    assert protocol.received == b"x"
    assert ours.fileno() == -1


def test_a_socket_for_connect_accepted_socket_may_be_named(world: World, loop: Any) -> None:
    ours, theirs = joined()
    coro = loop.connect_accepted_socket(protocol_factory=Recorder, sock=ours)
    transport, _ = loop.run_until_complete(coro)
    transport.abort()
    world.turn(loop, 2)
    theirs.close()


def test_connect_accepted_socket_refuses_what_is_no_stream(world: World, loop: Any) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        coro = loop.connect_accepted_socket(Recorder, sock)
        error = raised(lambda: loop.run_until_complete(coro))
        assert type(error) is ValueError
        assert str(error) == f"A Stream Socket was expected, got {sock!r}"


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_connect_accepted_socket_refuses_timeouts_without_ssl(
    world: World, loop: Any, name: str
) -> None:
    ours, theirs = joined()
    with ours, theirs:
        coro = loop.connect_accepted_socket(Recorder, ours, **{name: 1.0})
        error = raised(lambda: loop.run_until_complete(coro))
        assert type(error) is ValueError
        assert str(error) == f"{name} is only meaningful with ssl"


def test_a_failing_factory_of_connect_accepted_socket(world: World, loop: Any) -> None:
    def factory() -> Any:
        raise failure

    failure = ValueError("mine")
    ours, theirs = joined()
    with ours, theirs:
        coro = loop.connect_accepted_socket(factory, ours)
        assert raised(lambda: loop.run_until_complete(coro)) is failure
        # Since 3.14 the socket is closed for the caller.
        assert (ours.fileno() == -1) is (PY >= (3, 14))
