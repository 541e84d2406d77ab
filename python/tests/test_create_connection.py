"""create_connection: addresses and names, what fails and how it is told, cancellation."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import socket
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import KINDS, Log, World
from net_tools import (
    PY,
    Guests,
    Recorder,
    check_address_and_socket,
    check_closed_socket,
    check_socket_of_the_wrong_type,
    full_listener,
    joined,
    resolving,
)
from task_tools import raised


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A plain socket that listens; whoever connects is in its queue."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(10)
        yield sock


@pytest.fixture
def closed_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]  # type: ignore[no-any-return]


def connect(loop: Any, *args: Any, **kwargs: Any) -> Any:
    return loop.run_until_complete(loop.create_connection(Recorder, *args, **kwargs))


def refused(loop: Any, *args: Any, **kwargs: Any) -> BaseException:
    """What create_connection raises; it may leave no socket open, which the fixture sees to."""
    return raised(lambda: connect(loop, *args, **kwargs))


def finish(world: World, loop: Any, transport: Any) -> None:
    transport.abort()
    world.turn(loop, 2)


# --- Connecting ---------------------------------------------------------------


def test_a_host_and_a_port(world: World, loop: Any, listener: socket.socket) -> None:
    transport, protocol = connect(loop, *listener.getsockname())
    with listener.accept()[0] as peer:
        assert isinstance(transport, asyncio.Transport) and isinstance(protocol, Recorder)
        assert protocol.story == ["connection_made"] and protocol.transport is transport
        assert transport.get_extra_info("peername") == listener.getsockname()
        assert transport.get_extra_info("sockname") == peer.getpeername()
        peer.sendall(b"hello")
        world.run_until(loop, lambda: protocol.received == b"hello")
    world.run_until(loop, lambda: protocol.lost == [None])


def test_the_port_may_be_a_string(world: World, loop: Any, listener: socket.socket) -> None:
    host, port = listener.getsockname()
    transport, _ = connect(loop, host=host, port=str(port))
    finish(world, loop, transport)


@pytest.mark.parametrize("kind", KINDS)
def test_a_socket_that_is_connected(world: World, loop: Any, kind: str) -> None:
    ours, theirs = joined(kind)
    transport, protocol = connect(loop, sock=ours)
    # It is the caller's own object, and stays so.
    assert transport.get_extra_info("socket").fileno() == ours.fileno() > 0
    assert ours.gettimeout() == 0
    theirs.sendall(b"x")
    world.run_until(loop, lambda: protocol.received == b"x")
    finish(world, loop, transport)
    assert ours.fileno() == -1
    theirs.close()


def test_a_socket_that_is_not_connected(world: World, loop: Any) -> None:
    # It is taken, and fails at the first read.
    sock = socket.socket()
    transport, protocol = connect(loop, sock=sock)
    assert transport.get_extra_info("peername") is None
    world.run_until(loop, lambda: bool(protocol.lost))
    assert isinstance(protocol.lost[0], OSError)
    assert protocol.lost[0].errno == errno.ENOTCONN


def test_a_local_address(world: World, loop: Any, listener: socket.socket) -> None:
    transport, _ = connect(loop, *listener.getsockname(), local_addr=("127.0.0.9", 0))
    with listener.accept()[0] as peer:
        assert peer.getpeername()[0] == "127.0.0.9"
        assert transport.get_extra_info("sockname") == peer.getpeername()
    finish(world, loop, transport)


def test_the_order_of_factory_connection_made_and_return(
    world: World, loop: Any, listener: socket.socket
) -> None:
    def factory() -> Recorder:
        # Made only once there is a connection.
        listener.accept()[0].close()
        story.append("factory")
        return Recorder(
            connection_made=lambda *_: story.append("made"),
            eof_received=lambda *_: story.append("eof"),
        )

    async def main() -> None:
        coro = loop.create_connection(factory, *listener.getsockname())
        _transport, protocol = await coro
        story.append("returned")
        while not protocol.lost:
            await asyncio.sleep(0)

    story: list[str] = []
    loop.run_until_complete(main())
    assert story == ["factory", "made", "returned", "eof"]


def test_connecting_is_logged_in_debug_mode(
    world: World,
    loop: Any,
    listener: socket.socket,
    logged: Log,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "asyncio")
    loop.set_debug(True)
    transport, _ = connect(loop, *listener.getsockname())
    host, port = listener.getsockname()
    told = [text for text in logged.texts() if f"connected to {host}:{port}: (" in text]
    assert len(told) == 1
    finish(world, loop, transport)


# --- Names --------------------------------------------------------------------


def test_names_are_asked_of_the_loops_own_getaddrinfo(
    world: World, listener: socket.socket
) -> None:
    loop = resolving(world, {"here.test": ["127.0.0.1"], "me.test": ["127.0.0.3"]})
    port = listener.getsockname()[1]
    transport, _ = connect(loop, "here.test", port, local_addr=("me.test", 0))
    kwargs = {"family": 0, "type": socket.SOCK_STREAM, "proto": 0, "flags": 0}
    assert loop.asked == [("here.test", port, kwargs), ("me.test", 0, kwargs)]
    with listener.accept()[0] as peer:
        assert peer.getpeername()[0] == "127.0.0.3"
    finish(world, loop, transport)
    transport, _ = connect(
        loop, "here.test", port, family=socket.AF_INET, proto=6, flags=socket.AI_CANONNAME
    )
    kwargs = {"family": socket.AF_INET, "type": socket.SOCK_STREAM, "proto": 6}
    assert loop.asked[2:] == [("here.test", port, kwargs | {"flags": socket.AI_CANONNAME})]
    finish(world, loop, transport)
    loop.close()


def test_an_address_needs_no_name(world: World, listener: socket.socket) -> None:
    loop = resolving(world, {})
    transport, _ = connect(loop, *listener.getsockname())
    assert loop.asked == []
    finish(world, loop, transport)
    loop.close()


def test_a_name_that_is_unknown(world: World) -> None:
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    loop = resolving(world, {"nowhere.test": error, "empty.test": []})
    assert refused(loop, "nowhere.test", 80) is error
    error = refused(loop, "empty.test", 80)
    assert type(error) is OSError and str(error) == "getaddrinfo() returned empty list"
    error = refused(loop, "127.0.0.1", 80, local_addr=("empty.test", 0))
    assert type(error) is OSError and str(error) == "getaddrinfo() returned empty list"
    loop.close()


def test_addresses_are_tried_in_their_order(
    world: World, listener: socket.socket, closed_port: int
) -> None:
    # Of these only the last has somebody who listens.
    names = ["127.0.0.4", "127.0.0.5", "127.0.0.1"]
    loop = resolving(world, {"many.test": names})
    transport, _ = connect(loop, "many.test", listener.getsockname()[1])
    assert transport.get_extra_info("peername") == listener.getsockname()
    finish(world, loop, transport)
    loop.close()


def test_the_factory_is_called_once_however_many_addresses_fail(
    world: World, listener: socket.socket
) -> None:
    loop = resolving(world, {"many.test": ["127.0.0.4", "127.0.0.1"]})
    guests = Guests()
    coro = loop.create_connection(guests, "many.test", listener.getsockname()[1])
    transport, _ = loop.run_until_complete(coro)
    assert len(guests) == 1
    finish(world, loop, transport)
    loop.close()


# --- What fails ---------------------------------------------------------------


def test_nobody_listens(world: World, loop: Any, closed_port: int) -> None:
    guests = Guests()
    coro = loop.create_connection(guests, "127.0.0.1", closed_port)
    error = raised(lambda: loop.run_until_complete(coro))
    assert type(error) is ConnectionRefusedError
    assert error.errno == errno.ECONNREFUSED
    assert error.strerror == f"Connect call failed ('127.0.0.1', {closed_port})"
    # Nobody is told of a connection that was not.
    assert guests == []


def test_nobody_listens_at_any_of_several_addresses(world: World, closed_port: int) -> None:
    loop = resolving(world, {"many.test": ["127.0.0.4", "127.0.0.5"]})
    error = refused(loop, "many.test", closed_port)
    assert type(error) is OSError and error.errno is None
    call = "[Errno 111] Connect call failed"
    assert str(error) == (
        f"Multiple exceptions: {call} ('127.0.0.4', {closed_port}), "
        f"{call} ('127.0.0.5', {closed_port})"
    )
    loop.close()


def test_failures_that_read_the_same_are_one(world: World, closed_port: int) -> None:
    loop = resolving(world, {"many.test": ["127.0.0.4", "127.0.0.4"]})
    error = refused(loop, "many.test", closed_port)
    assert type(error) is ConnectionRefusedError
    assert str(error) == f"[Errno 111] Connect call failed ('127.0.0.4', {closed_port})"
    loop.close()


@pytest.mark.skipif(PY < (3, 12), reason="new in 3.12")
def test_all_errors_are_a_group(world: World, closed_port: int) -> None:
    loop = resolving(world, {"many.test": ["127.0.0.4", "127.0.0.5"], "one.test": ["127.0.0.4"]})
    for name, count in (("many.test", 2), ("one.test", 1)):
        error = refused(loop, name, closed_port, all_errors=True)
        assert type(error) is ExceptionGroup
        assert error.message == "create_connection failed"
        assert [type(each) for each in error.exceptions] == [ConnectionRefusedError] * count
    loop.close()


@pytest.mark.skipif(PY >= (3, 12), reason="new in 3.12")
def test_all_errors_is_unknown(world: World, loop: Any) -> None:
    assert type(refused(loop, "127.0.0.1", 1, all_errors=True)) is TypeError


def test_a_local_address_that_is_not_here(world: World, loop: Any, closed_port: int) -> None:
    error = refused(loop, "127.0.0.1", closed_port, local_addr=("192.0.2.1", 0))
    assert type(error) is OSError and error.errno == errno.EADDRNOTAVAIL
    # The number is said twice since 3.13.
    cause = "[errno 99] " * (PY >= (3, 13)) + "cannot assign requested address"
    assert error.strerror == (
        f"error while attempting to bind on address ('192.0.2.1', 0): {cause}"
    )


def test_a_local_address_of_another_family(world: World, loop: Any) -> None:
    error = refused(loop, "127.0.0.1", 1, local_addr=("::1", 0))
    assert type(error) is OSError
    family = socket.AF_INET
    assert str(error) == f"no matching local address with {family=} found"


def test_the_first_local_address_that_will_do_is_taken(
    world: World, listener: socket.socket
) -> None:
    loop = resolving(world, {"me.test": ["::1", "192.0.2.1", "127.0.0.7"]})
    transport, _ = connect(loop, *listener.getsockname(), local_addr=("me.test", 0))
    assert transport.get_extra_info("sockname")[0] == "127.0.0.7"
    finish(world, loop, transport)
    loop.close()


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_cannot_be(world: World, loop: Any, port: int) -> None:
    assert type(refused(loop, "127.0.0.1", port)) is OverflowError


@pytest.mark.parametrize("kind", [ValueError, OSError, asyncio.CancelledError])
def test_a_failing_factory(
    world: World, loop: Any, listener: socket.socket, kind: type[BaseException]
) -> None:
    def factory() -> Any:
        raise failure

    failure = kind("mine")
    ours = joined()
    coro = loop.create_connection(factory, sock=ours[0])
    error = raised(lambda: loop.run_until_complete(coro))
    assert error is failure or (kind is asyncio.CancelledError and type(error) is kind)
    # Since 3.14 the socket is closed for the caller.
    assert (ours[0].fileno() == -1) is (PY >= (3, 14))
    for sock in ours:
        sock.close()


def test_a_failing_connection_made_is_no_failure_to_connect(
    world: World, loop: Any, listener: socket.socket
) -> None:
    reports: list[Any] = []
    loop.set_exception_handler(lambda _, context: reports.append(context))
    protocol = Recorder(connection_made=lambda *_: 1 / 0)
    coro = loop.create_connection(lambda: protocol, *listener.getsockname())
    transport, _ = loop.run_until_complete(coro)
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]
    finish(world, loop, transport)


def test_no_cycle_holds_on_to_what_failed(world: World, loop: Any, closed_port: int) -> None:
    class Factory:
        def __call__(self) -> Recorder:
            raise AssertionError

    async def attempt() -> Any:
        factory = Factory()
        try:
            await loop.create_connection(factory, "127.0.0.1", closed_port)
        except ConnectionRefusedError:
            return weakref.ref(factory)
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        gone = loop.run_until_complete(attempt())
        world.turn(loop, 2)
        assert gone() is None
    finally:
        gc.enable()


# --- Arguments that do not go together ----------------------------------------


def test_neither_an_address_nor_a_socket(world: World, loop: Any) -> None:
    error = refused(loop)
    assert type(error) is ValueError
    assert str(error) == "host and port was not specified and no sock specified"


@pytest.mark.parametrize("kwargs", [{"host": "127.0.0.1"}, {"port": 0}, {"host": ""}])
def test_an_address_and_a_socket(world: World, loop: Any, kwargs: dict[str, Any]) -> None:
    check_address_and_socket(loop, refused, kwargs)


def test_a_socket_of_the_wrong_type(world: World, loop: Any) -> None:
    check_socket_of_the_wrong_type(loop, refused)


def test_a_socket_that_is_closed(world: World, loop: Any) -> None:
    check_closed_socket(loop, refused)


def test_what_is_no_socket(world: World, loop: Any) -> None:
    assert type(refused(loop, sock=7)) is AttributeError


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"server_hostname": "x"}, "server_hostname is only meaningful with ssl"),
        ({"server_hostname": ""}, "server_hostname is only meaningful with ssl"),
        ({"server_hostname": "x", "ssl": False}, "server_hostname is only meaningful with ssl"),
        ({"ssl_handshake_timeout": 1}, "ssl_handshake_timeout is only meaningful with ssl"),
        ({"ssl_shutdown_timeout": 1}, "ssl_shutdown_timeout is only meaningful with ssl"),
        ({"ssl": True}, "You must set server_hostname when using ssl without a host"),
        ({"ssl": True, "host": ""}, "You must set server_hostname when using ssl without a host"),
    ],
)
def test_arguments_of_ssl_that_do_not_go_together(
    world: World, loop: Any, kwargs: dict[str, Any], message: str
) -> None:
    error = refused(loop, **kwargs)
    assert type(error) is ValueError and str(error) == message


def test_more_than_three_arguments_need_their_names(world: World, loop: Any) -> None:
    assert type(refused(loop, "127.0.0.1", 1, None)) is TypeError


@pytest.mark.parametrize("debug", [False, True])
def test_a_blocking_socket_is_made_one_that_does_not(world: World, loop: Any, debug: bool) -> None:
    loop.set_debug(debug)
    ours, theirs = joined()
    assert ours.gettimeout() is None
    transport, _ = connect(loop, sock=ours)
    assert ours.gettimeout() == 0
    finish(world, loop, transport)
    theirs.close()


# --- Cancellation -------------------------------------------------------------


def test_connecting_can_be_cancelled(world: World, loop: Any) -> None:
    listener, clients = full_listener()
    guests = Guests()
    task = loop.create_task(loop.create_connection(guests, *listener.getsockname()))
    world.turn(loop, 3)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert guests == []
    for sock in (listener, *clients):
        sock.close()
    world.turn(loop, 2)


@pytest.mark.slow
def test_connecting_may_wait_while_the_loop_goes_on(world: World, loop: Any) -> None:
    listener, clients = full_listener()
    task = loop.create_task(loop.create_connection(Recorder, *listener.getsockname()))
    world.turn(loop, 3)
    assert not task.done()
    listener.close()
    error = raised(lambda: loop.run_until_complete(asyncio.wait_for(task, 10)))
    assert type(error) is ConnectionRefusedError or isinstance(error, ConnectionResetError)
    for sock in clients:
        sock.close()


def test_cancelling_when_it_is_connected_closes_it(
    world: World, loop: Any, listener: socket.socket
) -> None:
    # In the turn in which connection_made comes, before create_connection has returned.
    protocol = Recorder(connection_made=lambda *_: task.cancel())
    task = loop.create_task(loop.create_connection(lambda: protocol, *listener.getsockname()))
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    world.turn(loop, 3)
    assert protocol.story == ["connection_made", "connection_lost"]
    assert protocol.lost == [None]
    with listener.accept()[0] as peer:
        assert peer.recv(1) == b""
