"""Stream transports: their life, the order of the callbacks, what they say about themselves."""

from __future__ import annotations

import asyncio
import os
import socket
import weakref
from asyncio import trsock
from typing import Any

import pytest
from conftest import World
from net_tools import PY, BufferedRecorder, Recorder, fill, joined, receive, reset, wired

# --- The order of the callbacks -----------------------------------------------


@pytest.mark.parametrize("recorder", [Recorder, BufferedRecorder])
def test_the_story_of_a_connection(world: World, loop: Any, kind: str, recorder: type) -> None:
    protocol = recorder()
    with wired(world, loop, protocol, kind) as (transport, peer):
        assert protocol.transport is transport
        assert protocol.story == ["connection_made"]
        peer.sendall(b"hello")
        world.run_until(loop, lambda: protocol.received == b"hello")
        peer.close()
        world.run_until(loop, lambda: bool(protocol.lost))
        got = "data_received" if recorder is Recorder else "buffer_updated"
        assert protocol.story == ["connection_made", got, "eof_received", "connection_lost"]
        assert protocol.lost == [None]


def test_connection_made_comes_first_and_on_its_turn(world: World, loop: Any, kind: str) -> None:
    ours, theirs = joined(kind)
    theirs.sendall(b"waiting already")
    story: list[str] = []

    def made(protocol: Any, transport: Any) -> None:
        story.append("made")
        loop.call_soon(story.append, "called soon when made")

    def factory() -> Recorder:
        story.append("factory")
        loop.call_soon(story.append, "called soon before")
        return Recorder(
            connection_made=made,
            data_received=lambda *_: story.append("data"),
        )

    async def connect() -> None:
        transport, _ = await loop.create_connection(factory, sock=ours)
        story.append("returned")
        while "data" not in story:
            await asyncio.sleep(0)
        transport.abort()

    loop.run_until_complete(connect())
    world.turn(loop)
    assert story == [
        "factory",
        "called soon before",
        "made",
        "called soon when made",
        "returned",
        "data",
    ]
    theirs.close()


def test_connection_lost_comes_at_the_turn_after_close(world: World, loop: Any, kind: str) -> None:
    story: list[str] = []
    protocol = Recorder(connection_lost=lambda *_: story.append("lost"))
    with wired(world, loop, protocol, kind) as (transport, peer):
        loop.call_soon(story.append, "before")
        transport.close()
        loop.call_soon(story.append, "after")
        assert transport.is_closing()
        assert story == []
        world.turn(loop)
        assert story == ["before", "lost", "after"]
        assert peer.recv(1) == b""


@pytest.mark.parametrize("first", ["close", "abort"])
@pytest.mark.parametrize("second", ["close", "abort"])
def test_connection_lost_comes_once(
    world: World, loop: Any, kind: str, first: str, second: str
) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind) as (transport, peer):
        getattr(transport, first)()
        getattr(transport, second)()
        peer.close()
        world.turn(loop, 3)
        getattr(transport, second)()
        world.turn(loop, 3)
        assert protocol.story == ["connection_made", "connection_lost"]
        assert protocol.lost == [None]


def test_nothing_is_received_after_close(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind) as (transport, peer):
        peer.sendall(b"too late")
        transport.close()
        world.turn(loop, 3)
        assert protocol.received == b""
        assert protocol.story == ["connection_made", "connection_lost"]


def test_a_callback_made_soon_by_data_received_runs_before_the_next_read(
    world: World, loop: Any, kind: str
) -> None:
    story: list[str] = []

    def received(protocol: Recorder, data: bytes) -> None:
        story.append("data")
        loop.call_soon(story.append, "soon")
        if len(story) < 8:
            peer.sendall(b"and this is waiting already")

    with wired(world, loop, Recorder(data_received=received), kind) as (_, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: len(story) >= 10)
        assert story == ["data", "soon"] * 5


# --- Pausing ------------------------------------------------------------------


def test_a_paused_transport_does_not_read(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind) as (transport, peer):
        assert transport.is_reading() is True
        assert transport.pause_reading() is None
        assert transport.is_reading() is False
        peer.sendall(b"later")
        world.turn(loop, 3)
        assert protocol.received == b""
        assert transport.resume_reading() is None
        assert transport.is_reading() is True
        world.run_until(loop, lambda: protocol.received == b"later")


def test_pausing_and_resuming_twice_is_no_mistake(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind) as (transport, peer):
        transport.resume_reading()
        transport.pause_reading()
        transport.pause_reading()
        transport.resume_reading()
        transport.resume_reading()
        peer.sendall(b"one")
        world.run_until(loop, lambda: protocol.received == b"one")


def test_a_paused_transport_does_not_hear_of_the_end(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind) as (transport, peer):
        transport.pause_reading()
        peer.sendall(b"last words")
        peer.shutdown(socket.SHUT_WR)
        world.turn(loop, 3)
        assert protocol.story == ["connection_made"]
        transport.resume_reading()
        world.run_until(loop, lambda: bool(protocol.lost))
        assert protocol.received == b"last words"


def test_pausing_in_connection_made_keeps_the_first_bytes(
    world: World, loop: Any, kind: str
) -> None:
    protocol = Recorder(connection_made=lambda _, transport: transport.pause_reading())
    with wired(world, loop, protocol, kind) as (transport, peer):
        assert not transport.is_reading()
        peer.sendall(b"first")
        world.turn(loop, 3)
        assert protocol.received == b""
        transport.resume_reading()
        world.run_until(loop, lambda: protocol.received == b"first")


def test_pausing_in_data_received_stops_at_once(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder(data_received=lambda p, _: p.transport.pause_reading())
    with wired(world, loop, protocol, kind) as (transport, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: protocol.received == b"x")
        peer.sendall(b"y")
        world.turn(loop, 3)
        assert protocol.received == b"x"
        transport.resume_reading()
        world.run_until(loop, lambda: protocol.received == b"xy")


def test_a_closing_transport_neither_pauses_nor_resumes(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind) as (transport, peer):
        transport.pause_reading()
        transport.close()
        assert transport.is_reading() is False
        transport.resume_reading()
        assert transport.is_reading() is False
        peer.sendall(b"x")
        world.turn(loop, 3)
        # Nor when all is over.
        transport.pause_reading()
        transport.resume_reading()
        assert transport.is_reading() is False
        assert protocol.story == ["connection_made", "connection_lost"]


# --- What a transport knows ---------------------------------------------------


def test_a_stream_transport_is_asyncios_transport(world: World, loop: Any, kind: str) -> None:
    with wired(world, loop, Recorder(), kind) as (transport, _):
        assert isinstance(transport, asyncio.Transport)
        assert isinstance(transport, asyncio.ReadTransport)
        assert isinstance(transport, asyncio.WriteTransport)
        assert not isinstance(transport, asyncio.DatagramTransport)
        # sendfile's fallback asks for this one.
        assert isinstance(transport, asyncio.transports._FlowControlMixin)


def test_the_extra_info_of_a_tcp_transport(world: World, loop: Any) -> None:
    with wired(world, loop, Recorder()) as (transport, peer):
        sock = transport.get_extra_info("socket")
        assert type(sock) is trsock.TransportSocket
        assert sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM
        assert sock.getsockname() == peer.getpeername()
        assert transport.get_extra_info("sockname") == peer.getpeername()
        assert transport.get_extra_info("peername") == peer.getsockname()
        assert transport.get_extra_info("sslcontext") is None
        assert transport.get_extra_info("ssl_object") is None
        assert transport.get_extra_info("unknown") is None
        assert transport.get_extra_info("unknown", 7) == 7
        assert transport.get_extra_info("unknown", default="x") == "x"
        assert transport.get_extra_info("sockname", 7) == peer.getpeername()


def test_the_extra_info_of_a_pair_without_names(world: World, loop: Any) -> None:
    with wired(world, loop, Recorder(), "unix") as (transport, _):
        assert transport.get_extra_info("socket").family == socket.AF_UNIX
        assert transport.get_extra_info("sockname") == ""
        assert transport.get_extra_info("peername") == ""


def test_the_extra_info_outlives_the_connection(world: World, loop: Any) -> None:
    with wired(world, loop, Recorder()) as (transport, peer):
        names = peer.getpeername(), peer.getsockname()
        transport.close()
        world.turn(loop, 2)
        assert transport.get_extra_info("sockname") == names[0]
        assert transport.get_extra_info("peername") == names[1]
        assert transport.get_extra_info("socket").fileno() == -1
        assert "fd=-1" in repr(transport.get_extra_info("socket"))


def test_the_socket_of_a_transport_has_no_delay(world: World, loop: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        accepted: asyncio.Future[Any] = loop.create_future()
        server = await loop.create_server(
            lambda: Recorder(connection_made=lambda _, t: accepted.set_result(t)), "127.0.0.1", 0
        )
        here, _ = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
        for transport in (here, await accepted):
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert sock.gettimeout() == 0
            transport.abort()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_a_peer_that_is_gone_already_has_no_name(world: World, loop: Any) -> None:
    ours, theirs = joined()
    # An RST: the kernel forgets who it was.
    reset(theirs)
    protocol = Recorder()
    transport, _ = loop.run_until_complete(loop.create_connection(lambda: protocol, sock=ours))
    assert transport.get_extra_info("peername") is None
    world.run_until(loop, lambda: bool(protocol.lost))
    assert protocol.story == ["connection_made", "connection_lost"]
    assert isinstance(protocol.lost[0], ConnectionResetError)


# The private names that libraries in use read off a transport.
def test_what_libraries_read_of_a_transport(world: World, loop: Any) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol) as (transport, peer):
        assert transport._sock.getpeername() == peer.getsockname()
        assert isinstance(transport._sock, socket.socket)
        assert transport._loop is loop
        assert transport._protocol is protocol
        assert transport._extra["peername"] == peer.getsockname()
        assert transport._closing is False
        assert transport._conn_lost == 0
        assert not transport._buffer
        assert transport._protocol_paused is False
        assert transport._start_tls_compatible is True
        fill(transport)
        assert transport._buffer
        assert transport._protocol_paused is False
        transport.set_write_buffer_limits(0)
        assert transport._protocol_paused is True
        transport.abort()
        assert transport._closing is True
        assert transport._conn_lost == 1
        world.turn(loop, 2)
        assert transport._sock is None


def test_others_may_keep_attributes_of_their_own_on_a_transport(world: World, loop: Any) -> None:
    async def main() -> None:
        ends = os.pipe()
        ours, theirs = socket.socketpair()
        made = [
            await loop.create_connection(asyncio.Protocol, sock=ours),
            await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
            ),
            await loop.connect_read_pipe(asyncio.Protocol, open(ends[0], "rb", 0)),
            await loop.connect_write_pipe(asyncio.BaseProtocol, open(ends[1], "wb", 0)),
        ]
        for transport, _ in made:
            transport.mine = transport
            vars(transport)["also mine"] = 1
            assert vars(transport)["mine"] is transport
            assert getattr(transport, "also mine") == 1
            del transport.mine
            assert "mine" not in vars(transport)
            assert weakref.ref(transport)() is transport
            transport.close()
        await asyncio.sleep(0)
        theirs.close()

    loop.run_until_complete(main())


def test_the_repr_of_each_state(world: World, loop: Any, kind: str) -> None:
    ours, theirs = joined(kind)
    fd = ours.fileno()
    seen: list[str] = []
    protocol = Recorder(connection_made=lambda _, transport: seen.append(repr(transport)))
    transport, _ = loop.run_until_complete(loop.create_connection(lambda: protocol, sock=ours))
    name = type(transport).__name__
    assert seen == [f"<{name} fd={fd} read=idle write=<idle, bufsize=0>>"]
    assert repr(transport) == f"<{name} fd={fd} read=polling write=<idle, bufsize=0>>"
    transport.pause_reading()
    assert repr(transport) == f"<{name} fd={fd} read=idle write=<idle, bufsize=0>>"
    transport.resume_reading()
    fill(transport)
    size = transport.get_write_buffer_size()
    assert size > 0
    assert repr(transport) == f"<{name} fd={fd} read=polling write=<polling, bufsize={size}>>"
    transport.close()
    assert repr(transport) == f"<{name} closing fd={fd} read=idle write=<polling, bufsize={size}>>"
    transport.abort()
    assert repr(transport) == f"<{name} closing fd={fd} read=idle write=<idle, bufsize=0>>"
    world.turn(loop, 2)
    assert repr(transport) == f"<{name} closed fd={fd}>"
    theirs.close()


# --- The descriptor of a transport is the transport's -------------------------


def test_a_transports_descriptor_is_refused_to_others(world: World, loop: Any, kind: str) -> None:
    with wired(world, loop, Recorder(), kind) as (transport, _):
        sock = transport._sock
        for given in (sock, sock.fileno(), transport.get_extra_info("socket")):
            for attempt in (
                lambda fd: loop.add_reader(fd, print),
                lambda fd: loop.add_writer(fd, print),
                lambda fd: loop.remove_reader(fd),
                lambda fd: loop.remove_writer(fd),
            ):
                with pytest.raises(RuntimeError) as caught:
                    attempt(given)
                expected = f"File descriptor {given!r} is used by transport {transport!r}"
                assert str(caught.value) == expected


def test_sock_recv_is_refused_on_a_transports_socket(world: World, loop: Any, kind: str) -> None:
    with wired(world, loop, Recorder(), kind) as (transport, peer):
        sock = transport._sock
        with pytest.raises(RuntimeError) as caught:
            loop.run_until_complete(loop.sock_recv(sock, 10))
        expected = f"File descriptor {sock.fileno()!r} is used by transport {transport!r}"
        assert str(caught.value) == expected
        # The transport goes on.
        peer.sendall(b"x")
        world.run_until(loop, lambda: transport.get_protocol().received == b"x")


@pytest.mark.skipif(PY == (3, 11), reason="asyncio makes a second one there, and both break")
def test_a_second_transport_on_one_socket_is_refused(world: World, loop: Any) -> None:
    class Twin(socket.socket):
        def close(self) -> None:
            closed.append(True)  # Or the first would lose its descriptor.

    closed: list[bool] = []
    with wired(world, loop, Recorder()) as (transport, peer):
        twin = Twin(fileno=transport._sock.fileno())
        with pytest.raises(RuntimeError) as caught:
            loop.run_until_complete(loop.create_connection(Recorder, sock=twin))
        assert str(caught.value) == (f"File descriptor {twin!r} is used by transport {transport!r}")
        # Since 3.14 a socket that got no transport is closed.
        assert bool(closed) is (PY >= (3, 14))
        twin.detach()
        peer.sendall(b"x")
        world.run_until(loop, lambda: transport.get_protocol().received == b"x")


def test_the_descriptor_of_a_closing_transport_is_free(world: World, loop: Any) -> None:
    with wired(world, loop, Recorder()) as (transport, peer):
        sock = transport._sock
        fill(transport)
        transport.close()
        assert loop.remove_reader(sock) is False
        # Its own writer is still there, and stays.
        received = receive(loop, peer)
        assert received and set(received) == set(b"x")
