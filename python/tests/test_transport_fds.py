"""Descriptors and memory of transports: numbers that are given out again, what is let go."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import re
import socket
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Outcome, World
from io_tools import has_native_sock_methods
from net_tools import BufferedRecorder, Guests, Recorder, call_on, joined, serving, wired
from task_tools import gather_reports


def adopt(loop: Any, protocol: Any, kind: str) -> tuple[Any, socket.socket]:
    ours, theirs = joined(kind)
    coro = loop.create_connection(lambda: protocol, sock=ours)
    transport, _ = loop.run_until_complete(coro)
    return transport, theirs


# --- Numbers that are given out again -----------------------------------------


def test_a_new_connection_of_an_old_number_hears_only_its_own(
    world: World, loop: Any, kind: str
) -> None:
    numbers = set()
    for n in range(10):
        protocol = Recorder()
        transport, peer = adopt(loop, protocol, kind)
        numbers.add(transport.get_extra_info("socket").fileno())
        word = b"word %d" % n
        peer.sendall(word)
        world.run_until(loop, lambda p=protocol, w=word: p.received == w)
        transport.abort()
        # Sent to one that is gone, and whose number the next will have.
        try:
            peer.sendall(b"too late")
        except OSError:
            pass
        world.turn(loop)
        peer.close()
        assert protocol.received == word
    assert len(numbers) < 10


def test_a_number_changes_hands_within_one_turn(world: World, loop: Any, kind: str) -> None:
    # The old connection is ready to be read in the very turn in which it is lost and its number
    # given to another.
    old, new = Recorder(), Recorder()
    transport, peer = adopt(loop, old, kind)
    number = transport.get_extra_info("socket").fileno()

    def swap(*_: object) -> None:
        loop.call_soon(adopt_again)

    def adopt_again() -> None:
        # connection_lost has returned, and the socket is closed.
        ours, theirs = joined(kind)
        pairs.append((ours, theirs))
        task = loop.create_task(loop.create_connection(lambda: new, sock=ours))
        tasks.append(task)
        theirs.sendall(b"for the new one")

    pairs: list[tuple[socket.socket, socket.socket]] = []
    tasks: list[Any] = []
    old.hooks["connection_lost"] = swap
    peer.sendall(b"for the old one")
    transport.abort()
    world.run_until(loop, lambda: bool(new.received))
    assert old.received == b""
    assert new.received == b"for the new one"
    peer.close()
    ours, theirs = pairs[0]
    # Given out again at once, for it is the lowest that is free; over TCP the listener had it.
    if kind == "unix":
        assert number in (ours.fileno(), theirs.fileno())
    new.transport.abort()
    world.turn(loop, 2)
    theirs.close()


def test_what_waits_is_not_written_to_the_next_of_the_number(
    world: World, loop: Any, kind: str
) -> None:
    old = Recorder()
    transport, peer = adopt(loop, old, kind)
    transport.write(b"secret " * 1_000_000)
    transport.abort()
    world.turn(loop)
    assert old.lost == [None]
    new = Recorder()
    other, other_peer = adopt(loop, new, kind)
    world.turn(loop, 5)
    other_peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        other_peer.recv(1)
    # A write to the one that is gone goes nowhere.
    transport.write(b"secret")
    with pytest.raises(BlockingIOError):
        other_peer.recv(1)
    other.abort()
    world.turn(loop, 2)
    peer.close()
    other_peer.close()


def test_a_socket_that_its_owner_closed_below_the_transport(
    world: World, loop: Any, kind: str
) -> None:
    # A mistake of the program, and neither a crash nor a loop that never rests.
    protocol = Recorder()
    reports = gather_reports(loop)
    ours, theirs = joined(kind)
    coro = loop.create_connection(lambda: protocol, sock=ours)
    transport, _ = loop.run_until_complete(coro)
    ours.close()
    world.turn(loop, 3)
    assert protocol.lost == []
    transport.write(b"x")
    world.turn(loop, 3)
    assert len(protocol.lost) == 1
    assert isinstance(protocol.lost[0], OSError) and protocol.lost[0].errno == errno.EBADF
    assert reports == []
    assert theirs.recv(1) == b""
    theirs.close()


def test_who_has_the_number_now_keeps_the_watch(world: World, loop: Any, kind: str) -> None:
    # The transport is closing and still has something to write, so others may watch the number.
    protocol = Recorder()
    ours, theirs = joined(kind)
    coro = loop.create_connection(lambda: protocol, sock=ours)
    transport, _ = loop.run_until_complete(coro)
    number = ours.fileno()
    transport.write(b"x" * 10_000_000)
    transport.close()
    ours.close()
    one, other = socket.socketpair()
    assert number in (one.fileno(), other.fileno())
    written: list[str] = []
    loop.add_writer(number, written.append, "written")
    transport.abort()
    world.turn(loop, 2)
    assert protocol.lost == [None]
    # asyncio goes by the number, and never tells who has it now; see DESIGN.md.
    assert bool(written) is world.is_ours
    assert loop.remove_writer(number) is world.is_ours
    for sock in (theirs, one, other):
        sock.close()


def test_what_cannot_wait_is_not_kept(world: World, loop: Any, kind: str) -> None:
    ours, theirs = joined(kind)
    coro = loop.create_connection(Recorder, sock=ours)
    transport = loop.run_until_complete(coro)[0]
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(b"x" * 100_000)
    loop.close()
    for data in (b"more", bytearray(b"more")):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            transport.write(data)
        assert transport.get_write_buffer_size() == 0
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        del transport
        gc.collect()
    ours.close()
    theirs.close()


class Spoiler:
    """Lets no socket be made of a descriptor for now; the last one's number is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # "before" the socket has the descriptor, "after" that, or not at all; "closed": it is made,
        # but somebody closes it at once, and somebody else gets the number.
        self.when = ""
        self.number = -1
        genuine = socket.socket.__init__

        def init(sock: Any, family: int = -1, type: int = -1, proto: int = -1, fileno: Any = None):
            if fileno is not None and self.when == "before":
                self.number = fileno
                raise PermissionError(self.when)
            genuine(sock, family, type, proto, fileno)
            if fileno is not None and self.when == "after":
                self.number = fileno
                raise PermissionError(self.when)
            if fileno is not None and self.when == "closed":
                self.when, self.number = "", fileno
                sock.close()
                assert os.open(os.devnull, os.O_RDONLY) == fileno

        monkeypatch.setattr(socket.socket, "__init__", init)

    def is_open(self) -> bool:
        try:
            os.fstat(self.number)
        except OSError:
            return False
        return True


@pytest.fixture
def spoiler(monkeypatch: pytest.MonkeyPatch) -> Spoiler:
    return Spoiler(monkeypatch)


# A socket that dies says so.
dying_sockets = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@dying_sockets
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_accepted_socket_that_cannot_be_made_is_closed_once(
    ours: World, spoiler: Spoiler, when: str
) -> None:
    # asyncio leaves the descriptor open if no socket has it, and so its method does on our loop.
    is_left = when == "before" and not has_native_sock_methods(ours)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            with socket.create_connection(listener.getsockname()) as client:
                spoiler.when = when
                with pytest.raises(PermissionError) as raised:
                    await loop.sock_accept(listener)
                # The socket lives in the traceback: as long as it does, the number is its own.
                assert spoiler.is_open() is (when == "after" or is_left)
                raised.value.__traceback__ = None
                del raised
                gc.collect()
                if is_left:
                    os.close(spoiler.number)
                assert not spoiler.is_open()
                assert client.recv(1) == b""

    ours.run(main())


@dying_sockets
def test_a_connection_whose_socket_cannot_be_made_goes_on(ours: World, spoiler: Spoiler) -> None:
    # asyncio makes it when it accepts the connection.
    loop = ours.new_event_loop()
    guests = Guests()
    with serving(ours, loop, guests) as server, call_on(server) as client:
        ours.run_until(loop, lambda: guests.are_here(1))
        transport = guests[0].transport
        for when in ("before", "after"):
            spoiler.when = when
            with pytest.raises(PermissionError):
                transport.get_extra_info("socket")
            gc.collect()
            assert spoiler.is_open()
            client.sendall(b"before")
            ours.run_until(loop, lambda: guests[0].received.endswith(b"before"))
            guests[0].received.clear()
        assert transport.get_extra_info("socket").fileno() == spoiler.number
        transport.write(b"after")
        assert client.recv(5) == b"after"
        client.close()
        ours.run_until(loop, guests.are_gone)
        assert not spoiler.is_open()
    loop.close()


@dying_sockets
def test_a_socket_that_is_closed_while_it_is_accepted_is_closed_once(
    world: World, spoiler: Spoiler
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            with socket.create_connection(listener.getsockname()) as client:
                spoiler.when = "closed"
                with pytest.raises(OSError, match=re.escape(os.strerror(errno.EBADF))):
                    await loop.sock_accept(listener)
                gc.collect()
                # Somebody else's by now.
                assert spoiler.is_open()
                os.close(spoiler.number)
                assert client.recv(1) == b""

    world.run(main())


@dying_sockets
def test_a_connection_whose_socket_is_closed_at_once(ours: World, spoiler: Spoiler) -> None:
    # asyncio makes it when it accepts the connection.
    loop = ours.new_event_loop()
    guests = Guests()
    with serving(ours, loop, guests) as server, call_on(server) as client:
        ours.run_until(loop, lambda: guests.are_here(1))
        transport = guests[0].transport
        transport.pause_reading()
        spoiler.when = "closed"
        with pytest.raises(OSError, match=re.escape(os.strerror(errno.EBADF))):
            transport.get_extra_info("socket")
        assert transport.get_extra_info("socket").fileno() == -1
        assert client.recv(1) == b""
        transport.abort()
        ours.run_until(loop, guests.are_gone)
        gc.collect()
        # Somebody else's by now.
        assert spoiler.is_open()
        os.close(spoiler.number)
    loop.close()


def test_a_connection_that_is_lost_while_its_socket_is_made(
    world: World, run_program: Callable[..., Outcome]
) -> None:
    # asyncio makes it when it accepts the connection. Audit hooks stay for ever.
    done = run_program(
        """
        import asyncio, socket, sys

        to_lose = []

        def lose(*event):
            while to_lose and (not event or event[0] == "socket.__new__"):
                to_lose.pop()._call_connection_lost(None)

        sys.addaudithook(lose)

        class Server(asyncio.Protocol):
            def connection_made(self, transport):
                made.set_result(transport)

        async def main(ask):
            global made
            loop = asyncio.get_running_loop()
            made = loop.create_future()
            server = await loop.create_server(Server, "127.0.0.1", 0)
            with socket.create_connection(server.sockets[0].getsockname(), 10) as client:
                transport = await made
                await asyncio.sleep(0)
                transport.pause_reading()
                to_lose.append(transport)
                sock = ask(transport)
                lose()
                assert sock is None or sock.fileno() == -1, sock
                assert transport.get_extra_info("socket").fileno() == -1
                assert transport.get_extra_info("peername") == client.getsockname()
                assert transport._sock is None
                assert client.recv(1) == b""
            server.close()
            await server.wait_closed()

        asyncio.run(main(lambda transport: transport.get_extra_info("socket")))
        asyncio.run(main(lambda transport: transport._sock))
        """
    )
    assert (done.out, done.err, done.status) == ("", "", 0)


def test_a_write_for_a_socket_that_its_owner_closed_does_not_reach_another(
    world: World, loop: Any, kind: str
) -> None:
    # The number is somebody else's by now. That connection may not get the bytes.
    protocol = Recorder()
    ours, theirs = joined(kind)
    coro = loop.create_connection(lambda: protocol, sock=ours)
    transport, _ = loop.run_until_complete(coro)
    number = ours.fileno()
    ours.close()
    one, other = socket.socketpair()
    with one, other, theirs:
        assert number in (one.fileno(), other.fileno())
        one.setblocking(False)
        other.setblocking(False)
        transport.write(b"for theirs only")
        world.turn(loop, 3)
        for sock in (one, other):
            with pytest.raises(BlockingIOError):
                sock.recv(100)
        assert isinstance(protocol.lost[0], OSError) and protocol.lost[0].errno == errno.EBADF


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_descriptor_that_was_closed_below_the_socket(world: World, loop: Any) -> None:
    # os.close, so that even the socket does not know.
    protocol = Recorder()
    reports = gather_reports(loop)
    ours, theirs = joined()
    coro = loop.create_connection(lambda: protocol, sock=ours)
    transport, _ = loop.run_until_complete(coro)
    os.close(ours.fileno())
    transport.write(b"x")
    assert transport.is_closing()
    world.turn(loop, 3)
    assert isinstance(protocol.lost[0], OSError) and protocol.lost[0].errno == errno.EBADF
    # Its end closes the socket, which cannot be done twice.
    assert [type(report["exception"]) for report in reports] in ([], [OSError])
    theirs.close()
    reports.clear()
    protocol.lost.clear()
    protocol.transport = None
    del transport
    gc.collect()


def test_a_duplicate_of_the_socket_outlives_the_transport(
    world: World, loop: Any, kind: str
) -> None:
    protocol = Recorder()
    transport, peer = adopt(loop, protocol, kind)
    with transport.get_extra_info("socket").dup() as twin:
        transport.close()
        world.turn(loop, 2)
        # The connection is not over while somebody has it open.
        twin.setblocking(True)
        twin.sendall(b"still here")
        assert peer.recv(100) == b"still here"
        peer.sendall(b"good")
        assert twin.recv(100) == b"good"
    assert peer.recv(1) == b""
    peer.close()


def test_the_socket_is_closed_once(world: World, loop: Any, kind: str) -> None:
    class Counting(socket.socket):
        def close(self) -> None:
            closes.append(self.fileno())
            super().close()

    closes: list[int] = []
    ours, theirs = joined(kind)
    sock = Counting(fileno=ours.detach())
    protocol = Recorder()
    transport, _ = loop.run_until_complete(loop.create_connection(lambda: protocol, sock=sock))
    number = sock.fileno()
    transport.close()
    transport.abort()
    world.turn(loop, 3)
    del transport
    protocol.transport = None
    gc.collect()
    assert closes == [number]
    theirs.close()


# --- What is let go -----------------------------------------------------------


@pytest.mark.parametrize("recorder", [Recorder, BufferedRecorder])
def test_an_abandoned_pair_of_transport_and_protocol_is_collected(
    world: World, loop: Any, kind: str, recorder: type
) -> None:
    # They hold each other, and nobody holds them.
    protocol = recorder()
    transport, peer = adopt(loop, protocol, kind)
    transport.pause_reading()
    gone = weakref.ref(protocol), weakref.ref(transport)
    assert protocol.transport is transport
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del protocol, transport
        gc.collect()
    # asyncio's socket complains of its own when it is found before its transport.
    texts = [str(each.message) for each in caught]
    assert len([text for text in texts if text.startswith("unclosed transport <")]) == 1
    # The warning has the transport for its source.
    caught.clear()
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    assert peer.recv(1) == b""
    peer.close()


def test_a_transport_refers_to_what_it_holds(world: World, loop: Any, kind: str) -> None:
    with wired(world, loop, Recorder(), kind) as (transport, _):
        assert gc.is_tracked(transport)
        transport.attribute = "programs put their own on it"
        assert transport.attribute == "programs put their own on it"
        assert weakref.ref(transport)() is transport
        assert hash(transport) == hash(transport)
        assert transport == transport and transport != object()


def test_connections_leave_no_objects(world: World, loop: Any) -> None:
    def count(guests: int) -> int:
        for _ in range(guests):
            protocol = Recorder(eof_received=lambda _: True)
            transport, peer = adopt(loop, protocol, "unix")
            transport.write(b"x" * 300_000)
            transport.pause_reading()
            peer.close()
            transport.close()
            world.run_until(loop, lambda p=protocol: bool(p.lost))
        del protocol, transport, peer
        gc.collect()
        return len(gc.get_objects())

    count(20)
    assert count(50) - count(50) in range(-20, 20)


def test_guests_leave_no_objects(world: World, loop: Any) -> None:
    guests = Guests()

    def count(number: int) -> int:
        for _ in range(number):
            with call_on(server) as client:
                client.sendall(b"x")
        world.run_until(loop, lambda: guests.are_here(number) and guests.are_gone())
        guests.clear()
        gc.collect()
        return len(gc.get_objects())

    with serving(world, loop, guests) as server:
        count(20)
        assert count(50) - count(50) in range(-20, 20)


def test_a_failed_connection_lost_lets_go_too(world: World, loop: Any, kind: str) -> None:
    class Failing(asyncio.Protocol):
        def connection_lost(self, exc: BaseException | None) -> None:
            raise ZeroDivisionError

    loop.set_exception_handler(lambda *_: None)
    protocol = Failing()
    transport, peer = adopt(loop, protocol, kind)
    gone = weakref.ref(protocol)
    transport.close()
    world.turn(loop, 2)
    del protocol
    gc.collect()
    assert gone() is None
    assert transport.get_protocol() is None
    assert transport.get_extra_info("socket").fileno() == -1
    peer.close()
