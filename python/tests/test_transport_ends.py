"""How a connection ends: eof_received, half-closed both ways, close that flushes, abort."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Log, World
from net_tools import (
    PY,
    BufferedRecorder,
    Recorder,
    fill,
    is_open,
    joined,
    pattern,
    receive,
    reset,
    wired,
)
from task_tools import gather_reports, raised


@contextlib.contextmanager
def half_closed(world: World, loop: Any, kind: str) -> Iterator[tuple[Recorder, Any, Any]]:
    """A protocol that keeps its side open behind the peer's end, its transport and the peer."""
    protocol = Recorder(eof_received=lambda _: True)
    with wired(world, loop, protocol, kind) as (transport, peer):
        peer.shutdown(socket.SHUT_WR)
        world.run_until(loop, lambda: "eof_received" in protocol.story)
        yield protocol, transport, peer


@contextlib.contextmanager
def flushed(world: World, loop: Any, kind: str) -> Iterator[tuple[Recorder, Any]]:
    """A protocol that has lost its connection by a close that flushed, and its transport."""
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        fill(transport)
        transport.close()
        receive(loop, peer)
        assert protocol.lost == [None]
        yield protocol, transport


# --- The peer's end -----------------------------------------------------------


@pytest.mark.parametrize("answer", [None, False, 0, ""])
@pytest.mark.parametrize("recorder", [Recorder, BufferedRecorder])
def test_the_peers_end_closes_unless_the_protocol_keeps_it_open(
    world: World, loop: Any, kind: str, recorder: type, answer: object
) -> None:
    protocol = recorder(eof_received=lambda _: answer)
    with wired(world, loop, protocol, kind) as (transport, peer):
        peer.shutdown(socket.SHUT_WR)
        world.run_until(loop, lambda: "eof_received" in protocol.story)
        assert transport.is_closing()
        world.run_until(loop, lambda: bool(protocol.lost))
        assert protocol.story == ["connection_made", "eof_received", "connection_lost"]
        assert protocol.lost == [None]
        assert peer.recv(1) == b""


@pytest.mark.parametrize("answer", [True, 1, "yes"])
@pytest.mark.parametrize("recorder", [Recorder, BufferedRecorder])
def test_a_protocol_that_keeps_it_open_can_still_write(
    world: World, loop: Any, kind: str, recorder: type, answer: object
) -> None:
    protocol = recorder(eof_received=lambda _: answer)
    with wired(world, loop, protocol, kind) as (transport, peer):
        peer.sendall(b"question")
        peer.shutdown(socket.SHUT_WR)
        world.run_until(loop, lambda: "eof_received" in protocol.story)
        # It is told once: the end stays readable for ever, and nobody looks again.
        world.turn(loop, 5)
        assert protocol.story.count("eof_received") == 1
        assert not transport.is_closing()
        data = pattern(2_000_000)
        transport.write(data)
        transport.close()
        assert receive(loop, peer) == data
        assert protocol.story[-1] == "connection_lost"
        assert protocol.lost == [None]


def test_who_pauses_and_resumes_behind_the_end_hears_of_it_again(
    world: World, loop: Any, kind: str
) -> None:
    # For it is readable for ever, and resuming watches it again.
    with half_closed(world, loop, kind) as (protocol, transport, _):
        assert transport.is_reading()
        transport.pause_reading()
        transport.resume_reading()
        world.turn(loop, 4)
        assert protocol.story == ["connection_made", "eof_received", "eof_received"]


def test_what_was_written_before_the_peers_end_is_flushed(
    world: World, loop: Any, kind: str
) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        data = pattern(1_000_000)
        transport.write(data)
        peer.shutdown(socket.SHUT_WR)
        world.run_until(loop, lambda: "eof_received" in protocol.story)
        world.turn(loop, 3)
        assert transport.is_closing() and protocol.lost == []
        assert receive(loop, peer) == data
        assert protocol.lost == [None]


def test_a_half_closed_connection_is_closed_without_a_leak(
    world: World, loop: Any, kind: str
) -> None:
    # The fixture counts descriptors; the transport is held beyond the end.
    with half_closed(world, loop, kind) as (protocol, transport, peer):
        sock = transport._sock
        transport.close()
        world.turn(loop, 2)
        assert protocol.lost == [None]
        assert sock.fileno() == -1
        assert peer.recv(1) == b""


def test_a_half_closed_connection_hears_when_its_peer_is_gone(
    world: World, loop: Any, kind: str
) -> None:
    with half_closed(world, loop, kind) as (protocol, transport, peer):
        peer.close()
        # Nobody reads any more, so only a write can tell; TCP needs two for it.
        world.turn(loop, 3)
        assert protocol.lost == []
        for _ in range(3):
            transport.write(b"anybody there?")
        world.run_until(loop, lambda: bool(protocol.lost))
        assert isinstance(protocol.lost[0], (BrokenPipeError, ConnectionResetError))


def test_a_reset_is_told_as_the_reason(world: World, loop: Any) -> None:
    protocol = Recorder()
    reports = gather_reports(loop)
    with wired(world, loop, protocol) as (_, peer):
        reset(peer)
        world.run_until(loop, lambda: bool(protocol.lost))
        assert protocol.story == ["connection_made", "connection_lost"]
        assert type(protocol.lost[0]) is ConnectionResetError
        assert protocol.lost[0].errno == errno.ECONNRESET
        assert protocol.lost[0].strerror == "Connection reset by peer"
        assert reports == []


def test_a_reset_is_logged_in_debug_mode(
    world: World, loop: Any, logged: Log, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asyncio")
    loop.set_debug(True)
    protocol = Recorder()
    with wired(world, loop, protocol) as (_, peer):
        logged.clear()
        reset(peer)
        world.run_until(loop, lambda: bool(protocol.lost))
        records = [r for r in logged.records if "Fatal" in r.getMessage()]
        assert [r.levelno for r in records] == [logging.DEBUG]
        assert records[0].getMessage().endswith(">: Fatal read error on socket transport")
        assert records[0].exc_info and records[0].exc_info[1] is protocol.lost[0]


def test_what_arrived_before_a_reset_is_delivered_first(world: World, loop: Any) -> None:
    # On a UNIX pair nothing that was sent is taken back.
    protocol = Recorder()
    with wired(world, loop, protocol, "unix") as (transport, peer):
        transport.write(b"unread")
        peer.sendall(b"the last word")
        peer.close()
        world.run_until(loop, lambda: bool(protocol.lost))
        assert protocol.received == b"the last word"
        assert type(protocol.lost[0]) is ConnectionResetError


# --- Our end ------------------------------------------------------------------


def test_write_eof_ends_one_direction(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind) as (transport, peer):
        assert transport.can_write_eof() is True
        transport.write(b"question")
        assert transport.write_eof() is None
        # At once, for nothing waits.
        assert peer.recv(100) == b"question"
        assert peer.recv(100) == b""
        assert not transport.is_closing() and transport.is_reading()
        peer.sendall(b"answer")
        world.run_until(loop, lambda: protocol.received == b"answer")
        peer.close()
        world.run_until(loop, lambda: bool(protocol.lost))
        assert protocol.lost == [None]


def test_write_eof_waits_for_what_is_not_sent(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        data = pattern(1_000_000)
        transport.write(data)
        transport.write_eof()
        assert receive(loop, peer) == data
        peer.sendall(b"thanks")
        world.run_until(loop, lambda: protocol.received == b"thanks")
        assert protocol.lost == []


def test_write_eof_twice_or_when_closing_is_no_mistake(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind) as (transport, _):
        transport.write_eof()
        transport.write_eof()
        transport.close()
        transport.write_eof()
        world.turn(loop, 2)
        transport.write_eof()
        assert transport.can_write_eof() is True
        assert protocol.lost == [None]


def test_both_ends_half_closed_is_the_end(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder(eof_received=lambda _: True)
    with wired(world, loop, protocol, kind) as (transport, peer):
        transport.write_eof()
        peer.shutdown(socket.SHUT_WR)
        world.run_until(loop, lambda: "eof_received" in protocol.story)
        # Still the protocol's to close.
        world.turn(loop, 3)
        assert protocol.lost == []
        transport.close()
        world.turn(loop)
        assert protocol.lost == [None]


def test_write_eof_on_a_connection_that_is_gone(world: World, loop: Any) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol) as (transport, peer):
        transport.pause_reading()
        reset(peer)
        error = raised(transport.write_eof)
        assert isinstance(error, OSError) and error.errno == errno.ENOTCONN


def test_close_sends_what_waits_and_then_the_end(world: World, loop: Any, kind: str) -> None:
    # A peer of ours in name flushed, and never sent the end.
    protocol = Recorder()
    with wired(world, loop, protocol, kind) as (transport, peer):
        data = pattern(8_000_000)
        transport.write(data)
        transport.close()
        assert transport.is_closing() and transport.get_write_buffer_size() > 0
        world.turn(loop, 3)
        assert protocol.lost == []
        assert receive(loop, peer) == data
        assert protocol.story[-1] == "connection_lost"
        assert protocol.lost == [None]


def test_close_is_kept_though_the_peer_still_sends(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        written = fill(transport)
        transport.close()
        peer.send(b"what?")
        assert len(receive(loop, peer, written)) == written
        world.run_until(loop, lambda: bool(protocol.lost))
        assert protocol.lost == [None]
        assert protocol.received == b""


def test_close_ends_when_the_peer_is_gone(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        fill(transport)
        transport.close()
        peer.close()
        world.run_until(loop, lambda: bool(protocol.lost))
        assert isinstance(protocol.lost[0], (BrokenPipeError, ConnectionResetError))


def test_a_closed_transport_says_so_for_ever(world: World, loop: Any, kind: str) -> None:
    with wired(world, loop, Recorder(), kind) as (transport, _):
        assert transport.is_closing() is False
        transport.close()
        assert transport.is_closing() is True
        world.turn(loop, 3)
        assert transport.is_closing() is True
        assert transport.get_write_buffer_size() == 0
        assert transport.is_reading() is False
        transport.close()


# --- Abort --------------------------------------------------------------------


def test_abort_drops_what_waits(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        written = fill(transport)
        waiting = transport.get_write_buffer_size()
        assert transport.abort() is None
        assert transport.is_closing()
        assert transport.get_write_buffer_size() == 0
        assert protocol.lost == []
        world.turn(loop)
        assert protocol.lost == [None]
        assert len(receive(loop, peer)) == written - waiting


def test_abort_cuts_a_close_short(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, _):
        fill(transport)
        transport.close()
        world.turn(loop, 2)
        assert protocol.lost == []
        transport.abort()
        world.turn(loop)
        assert protocol.lost == [None]


def test_abort_after_a_close_that_flushed(world: World, loop: Any, kind: str) -> None:
    with flushed(world, loop, kind) as (protocol, transport):
        if world.is_ours or PY >= (3, 14):
            transport.abort()
        else:
            # asyncio had not counted that it was lost already.
            assert type(raised(transport.abort)) is AttributeError
        world.turn(loop, 2)
        assert protocol.lost == [None]


def test_a_write_after_a_close_that_flushed(world: World, loop: Any, kind: str) -> None:
    with flushed(world, loop, kind) as (protocol, transport):
        if world.is_ours or PY >= (3, 14):
            transport.write(b"x")
        else:
            assert type(raised(lambda: transport.write(b"x"))) is AttributeError
        assert protocol.lost == [None]


def test_abort_within_connection_made(world: World, loop: Any, kind: str) -> None:
    ours, theirs = joined(kind)
    theirs.sendall(b"never read")
    protocol = Recorder(connection_made=lambda _, transport: transport.abort())
    transport, _ = loop.run_until_complete(loop.create_connection(lambda: protocol, sock=ours))
    assert transport.is_closing()
    world.turn(loop, 2)
    assert protocol.story == ["connection_made", "connection_lost"]
    assert ours.fileno() == -1
    theirs.close()


# --- From within each callback ------------------------------------------------


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize(
    "name",
    ["connection_made", "data_received", "eof_received", "pause_writing", "resume_writing"],
)
def test_a_callback_may_end_its_own_connection(
    world: World, loop: Any, kind: str, name: str, end: str
) -> None:
    def hook(protocol: Recorder, *args: object) -> None:
        getattr(protocol.transport, end)()
        lost.append(list(protocol.lost))

    lost: list[object] = []
    protocol = Recorder(**{name: hook})
    reports = gather_reports(loop)
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        if name == "data_received":
            peer.sendall(b"x")
        if name == "eof_received":
            peer.shutdown(socket.SHUT_WR)
        if name in ("pause_writing", "resume_writing"):
            transport.write(b"x" * 500_000)
        if end == "close" or name == "resume_writing":
            receive(loop, peer)
        world.run_until(loop, lambda: bool(protocol.lost))
        world.turn(loop, 3)
        # Never within close or abort itself, and once.
        assert lost == [[]]
        assert protocol.lost == [None]
        assert protocol.story.count(name) == 1
        if (name, end) == ("resume_writing", "abort") and not world.is_ours and PY < (3, 14):
            # asyncio called connection_lost again for what it had just closed.
            assert [type(report["exception"]) for report in reports] == [AttributeError]
        else:
            assert reports == []


@pytest.mark.parametrize("end", ["close", "abort"])
def test_connection_lost_may_end_its_connection_again(
    world: World, loop: Any, kind: str, end: str
) -> None:
    protocol = Recorder(connection_lost=lambda p, _: getattr(p.transport, end)())
    with wired(world, loop, protocol, kind) as (_, peer):
        peer.close()
        world.run_until(loop, lambda: bool(protocol.lost))
        world.turn(loop, 3)
        assert protocol.lost == [None]


def test_the_socket_is_open_until_connection_lost_returns(
    world: World, loop: Any, kind: str
) -> None:
    seen: list[Any] = []

    def lost(protocol: Recorder, exc: object) -> None:
        sock = protocol.transport.get_extra_info("socket")
        seen.append((sock.fileno() > 0, protocol.transport.get_protocol() is protocol))
        seen.append(is_open(peer))

    with wired(world, loop, Recorder(connection_lost=lost), kind) as (transport, peer):
        transport.close()
        world.turn(loop, 2)
        assert seen == [(True, True), True]
        assert transport.get_extra_info("socket").fileno() == -1
        assert peer.recv(1) == b""


def test_a_callback_may_close_another_transport_that_is_ready_too(
    world: World, loop: Any, kind: str
) -> None:
    def received(protocol: Recorder, data: bytes) -> None:
        for transport in transports:
            if transport is not protocol.transport:
                transport.close()

    one, other = Recorder(data_received=received), Recorder(data_received=received)
    with (
        wired(world, loop, one, kind) as (first, first_peer),
        wired(world, loop, other, kind) as (second, second_peer),
    ):
        transports = [first, second]
        first_peer.sendall(b"x")
        second_peer.sendall(b"x")
        world.run_until(loop, lambda: bool(one.lost or other.lost))
        # Both were ready in the same turn: whichever came first silenced the other.
        assert sorted([bytes(one.received), bytes(other.received)]) == [b"", b"x"]
        assert sorted([len(one.lost), len(other.lost)]) == [0, 1]
