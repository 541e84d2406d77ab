"""UNIX sockets: create_unix_server and create_unix_connection, paths, stale files, arguments."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Log, World
from net_tools import PY, Guests, Recorder, call_on, joined, pattern, receive
from task_tools import raised

CLEANS_UP = PY >= (3, 13)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path for a socket, short enough for the kernel wherever the tests run."""
    monkeypatch.chdir(tmp_path)
    return "socket"


def serve(loop: Any, path: Any = None, factory: Any = Recorder, **kwargs: Any) -> Any:
    return loop.run_until_complete(loop.create_unix_server(factory, path, **kwargs))


def connect(loop: Any, path: Any = None, factory: Any = Recorder, **kwargs: Any) -> Any:
    return loop.run_until_complete(loop.create_unix_connection(factory, path, **kwargs))


def close(loop: Any, server: Any) -> None:
    server.close()
    loop.run_until_complete(server.wait_closed())


def message(error: BaseException, kind: type[BaseException]) -> str:
    assert type(error) is kind, error
    return str(error)


# --- Paths --------------------------------------------------------------------

MAKERS: list[Callable[[str], Any]] = [str, os.fsencode, Path]


@pytest.mark.parametrize("make", MAKERS)
def test_a_server_and_a_client_meet_at_a_path(
    world: World, loop: Any, path: str, make: Callable[[str], Any]
) -> None:
    guests = Guests()
    server = serve(loop, make(path), guests)
    assert server.sockets[0].family == socket.AF_UNIX
    assert server.sockets[0].getsockname() == path
    transport, protocol = connect(loop, make(path))
    assert isinstance(transport, asyncio.Transport)
    transport.write(b"hello")
    world.run_until(loop, lambda: guests.are_here(1) and guests[0].received == b"hello")
    guests[0].transport.write(b"hi")
    world.run_until(loop, lambda: protocol.received == b"hi")
    assert transport.get_extra_info("peername") == path
    assert transport.get_extra_info("sockname") == ""
    assert guests[0].transport.get_extra_info("peername") == ""
    assert guests[0].transport.get_extra_info("sockname") == path
    transport.close()
    world.run_until(loop, guests.are_gone)
    close(loop, server)


@pytest.mark.parametrize("name", ["\0batonloop %d", b"\0batonloop %d"])
def test_an_abstract_name(world: World, loop: Any, name: Any) -> None:
    name = name % os.getpid()
    guests = Guests()
    server = serve(loop, name, guests)
    assert server.sockets[0].getsockname() == (name if isinstance(name, bytes) else name.encode())
    transport, protocol = connect(loop, name)
    transport.write(b"hello")
    world.run_until(loop, lambda: guests.are_here(1) and guests[0].received == b"hello")
    guests[0].transport.close()
    world.run_until(loop, lambda: bool(protocol.lost))
    close(loop, server)
    # Such a name is gone with its socket.
    assert type(raised(lambda: connect(loop, name))) is ConnectionRefusedError


def test_a_path_that_is_too_long(world: World, loop: Any, path: str) -> None:
    long = "x" * 200
    for attempt in (lambda: serve(loop, long), lambda: connect(loop, long)):
        assert message(raised(attempt), OSError) == "AF_UNIX path too long"
    assert not os.path.exists(long)


@pytest.mark.parametrize("bad", [7, 1.5, ["x"], object()])
def test_what_is_no_path(world: World, loop: Any, bad: Any) -> None:
    expected = f"expected str, bytes or os.PathLike object, not {type(bad).__name__}"
    for attempt in (lambda: serve(loop, bad), lambda: connect(loop, bad)):
        assert message(raised(attempt), TypeError) == expected


# In these two asyncio leaves its socket to the collector, which complains.
unclosed = pytest.mark.filterwarnings("ignore::ResourceWarning")


@unclosed
@pytest.mark.parametrize("bad", ["", b""])
def test_an_empty_path(world: World, loop: Any, bad: Any) -> None:
    assert type(raised(lambda: serve(loop, bad))) is IndexError
    assert isinstance(raised(lambda: connect(loop, bad)), OSError)
    gc.collect()


@unclosed
def test_a_path_with_a_null_in_it(world: World, loop: Any, path: str) -> None:
    error = raised(lambda: serve(loop, "so\0cket"))
    assert "embedded null" in message(error, ValueError)
    del error
    gc.collect()


def test_nobody_listens_at_the_path(world: World, loop: Any, path: str) -> None:
    guests = Guests()
    error = raised(lambda: connect(loop, path, guests))
    assert type(error) is FileNotFoundError and error.errno == errno.ENOENT
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    error = raised(lambda: connect(loop, path, guests))
    assert type(error) is ConnectionRefusedError and error.errno == errno.ECONNREFUSED
    assert guests == []


def test_a_directory_that_is_not_there(world: World, loop: Any, path: str) -> None:
    assert type(raised(lambda: serve(loop, "nowhere/socket"))) is FileNotFoundError


# --- What is at the path already ----------------------------------------------


def test_a_stale_socket_is_replaced(world: World, loop: Any, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    guests = Guests()
    server = serve(loop, path, guests)
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    with call_on(server):
        world.run_until(loop, lambda: guests.are_here(1))
    world.run_until(loop, guests.are_gone)
    close(loop, server)


def test_a_socket_in_use_is_replaced_too(world: World, loop: Any, path: str) -> None:
    # asyncio cannot tell; the first goes on for those who have it already.
    old, new = Guests(), Guests()
    first = serve(loop, path, old)
    client = call_on(first)
    second = serve(loop, path, new)
    with call_on(second):
        world.run_until(loop, lambda: old.are_here(1) and new.are_here(1))
    client.close()
    world.run_until(loop, lambda: old.are_gone() and new.are_gone())
    close(loop, first)
    # The path is the second's, and stays.
    assert os.path.exists(path)
    close(loop, second)


def test_a_file_that_is_no_socket_is_left_alone(world: World, loop: Any, path: str) -> None:
    Path(path).write_text("precious")
    error = raised(lambda: serve(loop, path))
    assert type(error) is OSError and error.errno == errno.EADDRINUSE
    assert error.strerror == f"Address {path!r} is already in use"
    assert error.__cause__ is None and error.__suppress_context__
    assert Path(path).read_text() == "precious"
    error = raised(lambda: serve(loop, Path(path)))
    assert isinstance(error, OSError) and error.strerror == f"Address {path!r} is already in use"


def test_a_directory_at_the_path(world: World, loop: Any, path: str) -> None:
    os.mkdir(path)
    error = raised(lambda: serve(loop, path))
    assert isinstance(error, OSError) and error.errno == errno.EADDRINUSE
    assert os.path.isdir(path)


def test_a_link_to_a_stale_socket_is_removed(world: World, loop: Any, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("other")
    os.symlink("other", path)
    server = serve(loop, path)
    assert not os.path.islink(path)
    assert os.path.exists("other")
    close(loop, server)


def test_a_stale_socket_that_cannot_be_looked_at(
    world: World, loop: Any, path: str, logged: Log
) -> None:
    # A path below a plain file: not a socket, not absent, and not to be known.
    Path("file").write_text("")
    error = raised(lambda: serve(loop, "file/socket"))
    assert type(error) is NotADirectoryError
    texts = logged.texts()
    assert len(texts) == 1
    assert texts[0].startswith("Unable to check or remove stale UNIX socket 'file/socket': ")
    assert "NotADirectoryError" in texts[0]


def test_an_abstract_name_in_use(world: World, loop: Any) -> None:
    name = f"\0batonloop in use {os.getpid()}"
    server = serve(loop, name)
    error = raised(lambda: serve(loop, name))
    assert isinstance(error, OSError) and error.errno == errno.EADDRINUSE
    assert error.strerror == f"Address {name!r} is already in use"
    close(loop, server)


# --- Cleaning up --------------------------------------------------------------


def test_the_file_goes_with_its_server_since_3_13(world: World, loop: Any, path: str) -> None:
    server = serve(loop, path)
    assert os.path.exists(path)
    server.close()
    assert os.path.exists(path) is not CLEANS_UP
    loop.run_until_complete(server.wait_closed())


@pytest.mark.skipif(not CLEANS_UP, reason="new in 3.13")
def test_the_file_of_a_socket_that_was_given_goes_too(world: World, loop: Any, path: str) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    close(loop, serve(loop, sock=sock))
    assert not os.path.exists(path)


@pytest.mark.skipif(not CLEANS_UP, reason="new in 3.13")
def test_the_file_stays_when_told(world: World, loop: Any, path: str) -> None:
    close(loop, serve(loop, path, cleanup_socket=False))
    assert os.path.exists(path)


@pytest.mark.skipif(CLEANS_UP, reason="new in 3.13")
def test_cleanup_socket_is_unknown(world: World, loop: Any, path: str) -> None:
    assert type(raised(lambda: serve(loop, path, cleanup_socket=True))) is TypeError


@pytest.mark.skipif(not CLEANS_UP, reason="new in 3.13")
def test_a_file_that_is_gone_already(world: World, loop: Any, path: str) -> None:
    server = serve(loop, path)
    os.unlink(path)
    close(loop, server)
    assert not os.path.exists(path)


@pytest.mark.skipif(not CLEANS_UP, reason="new in 3.13")
def test_a_file_of_somebody_else_stays(world: World, loop: Any, path: str) -> None:
    server = serve(loop, path)
    os.rename(path, "kept")  # So that its number is not given out again.
    Path(path).write_text("precious")
    close(loop, server)
    assert Path(path).read_text() == "precious"


@pytest.mark.skipif(not CLEANS_UP, reason="new in 3.13")
def test_a_server_that_never_started_cleans_up(world: World, loop: Any, path: str) -> None:
    close(loop, serve(loop, path, start_serving=False))
    assert not os.path.exists(path)


@pytest.mark.skipif(not CLEANS_UP, reason="new in 3.13")
def test_cleaning_up_in_another_directory(world: World, loop: Any, path: str) -> None:
    # The name is as relative as it was given; whatever lies there now is looked at.
    server = serve(loop, path)
    os.mkdir("elsewhere")
    os.chdir("elsewhere")
    close(loop, server)
    assert os.path.exists("../socket")


# --- Sockets that are given ---------------------------------------------------


def test_a_bound_socket_for_a_server(world: World, loop: Any, path: str) -> None:
    guests = Guests()
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    server = serve(loop, None, guests, sock=sock)
    assert server.sockets[0].fileno() == sock.fileno()
    assert sock.gettimeout() == 0
    with call_on(server):
        world.run_until(loop, lambda: guests.are_here(1))
    world.run_until(loop, guests.are_gone)
    close(loop, server)
    assert sock.fileno() == -1


def test_a_connected_socket_for_a_client(world: World, loop: Any) -> None:
    ours, theirs = joined("unix")
    transport, protocol = connect(loop, sock=ours)
    assert ours.gettimeout() == 0
    theirs.sendall(b"x")
    world.run_until(loop, lambda: protocol.received == b"x")
    transport.abort()
    world.turn(loop, 2)
    assert ours.fileno() == -1
    theirs.close()


@pytest.mark.parametrize("attempt", [serve, connect])
def test_a_socket_of_another_family_or_type(world: World, loop: Any, attempt: Any) -> None:
    for sock in (
        socket.socket(),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET),
    ):
        with sock:
            error = raised(lambda sock=sock: attempt(loop, sock=sock))
            expected = f"A UNIX Domain Stream Socket was expected, got {sock!r}"
            assert message(error, ValueError) == expected
            assert sock.fileno() > 0


# --- Arguments that do not go together ----------------------------------------


@pytest.mark.parametrize("attempt", [serve, connect])
def test_a_path_and_a_socket(world: World, loop: Any, path: str, attempt: Any) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        error = raised(lambda: attempt(loop, path, sock=sock))
        expected = "path and sock can not be specified at the same time"
        assert message(error, ValueError) == expected
        assert sock.fileno() > 0
    assert not os.path.exists(path)


def test_neither_a_path_nor_a_socket(world: World, loop: Any) -> None:
    expected = "path was not specified, and no sock specified"
    assert message(raised(lambda: serve(loop)), ValueError) == expected
    expected = "no path and sock were specified"
    assert message(raised(lambda: connect(loop)), ValueError) == expected


@pytest.mark.parametrize("attempt", [serve, connect])
@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_timeouts_of_ssl_without_ssl(
    world: World, loop: Any, path: str, attempt: Any, name: str
) -> None:
    error = raised(lambda: attempt(loop, path, **{name: 1.0}))
    assert message(error, ValueError) == f"{name} is only meaningful with ssl"
    assert not os.path.exists(path)


def test_other_arguments_of_ssl(world: World, loop: Any, path: str) -> None:
    for flag in (True, False):
        error = raised(lambda flag=flag: serve(loop, path, ssl=flag))
        assert message(error, TypeError) == "ssl argument must be an SSLContext or None"
    error = raised(lambda: connect(loop, path, server_hostname="x"))
    assert message(error, ValueError) == "server_hostname is only meaningful with ssl"
    error = raised(lambda: connect(loop, path, ssl=True))
    assert message(error, ValueError) == "you have to pass server_hostname when using ssl"


# --- Life ---------------------------------------------------------------------


def test_a_unix_server_can_be_started_later(world: World, loop: Any, path: str) -> None:
    guests = Guests()
    server = serve(loop, path, guests, start_serving=False)
    assert not server.is_serving()
    assert type(raised(lambda: connect(loop, path))) is ConnectionRefusedError
    loop.run_until_complete(server.start_serving())
    with call_on(server):
        world.run_until(loop, lambda: guests.are_here(1))
    world.run_until(loop, guests.are_gone)
    close(loop, server)


def test_streams_over_a_path(world: World, loop: Any, path: str) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(-1))
        writer.close()
        await writer.wait_closed()

    async def main() -> bytes:
        server = await asyncio.start_unix_server(echo, path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(data)
        writer.write_eof()
        result = await reader.read(-1)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return result

    data = pattern(1_000_000)
    assert loop.run_until_complete(main()) == data


def test_a_queue_that_is_full_lets_nobody_in(world: World, loop: Any, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        listener.listen(0)
        client.connect(path)
        try:
            _, protocol = connect(loop, path)
        except OSError as error:
            assert error.errno == errno.EAGAIN
            assert world.is_ours
        else:
            # asyncio takes the refusal for a connection under way, waits until its socket can be
            # written to, finds no error on it, and only the first read tells.
            world.run_until(loop, lambda: bool(protocol.lost))
            assert isinstance(protocol.lost[0], OSError)


@pytest.mark.parametrize("kind", [ValueError, OSError])
def test_a_failing_factory_of_a_client(
    world: World, loop: Any, path: str, kind: type[Exception]
) -> None:
    def factory() -> Any:
        raise failure

    failure = kind("mine")
    ours, theirs = joined("unix")
    assert raised(lambda: connect(loop, None, factory, sock=ours)) is failure
    # Since 3.14 the socket is closed for the caller.
    assert (ours.fileno() == -1) is (PY >= (3, 14))
    ours.close()
    theirs.close()


def test_a_guest_that_hangs_up_at_once(world: World, loop: Any, path: str) -> None:
    guests = Guests()
    server = serve(loop, path, guests)
    for _ in range(20):
        with call_on(server) as client:
            client.sendall(b"x")
    world.run_until(loop, lambda: guests.are_here(20) and guests.are_gone())
    assert all(guest.received == b"x" and guest.lost == [None] for guest in guests)
    close(loop, server)


def test_a_client_reads_what_was_sent_before_the_end(world: World, loop: Any, path: str) -> None:
    data = pattern(500_000)
    made = lambda _, transport: (transport.write(data), transport.close())
    guests = Guests(connection_made=made)
    server = serve(loop, path, guests)
    with call_on(server) as client:
        assert receive(loop, client) == data
    close(loop, server)
