"""The protocol of a transport: replaced in the middle, of either kind, and let go at the end."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from typing import Any

import pytest
from conftest import World
from net_tools import BufferedRecorder, Recorder, joined, wired


def test_the_protocol_can_be_replaced(world: World, loop: Any, kind: str) -> None:
    first, second = Recorder(), Recorder()
    with wired(world, loop, first, kind) as (transport, peer):
        assert transport.get_protocol() is first
        assert transport.set_protocol(second) is None
        assert transport.get_protocol() is second
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(second.received))
        transport.close()
        world.turn(loop, 2)
        # No connection_made: the second was not there.
        assert second.story == ["data_received", "connection_lost"]
        assert first.story == ["connection_made"]
        assert transport.get_protocol() is None


def test_protocols_of_both_kinds_take_turns_in_one_stream(
    world: World, loop: Any, kind: str
) -> None:
    plain, buffered = Recorder(), BufferedRecorder()
    with wired(world, loop, plain, kind) as (transport, peer):
        whole = b""
        for n in range(6):
            protocol: Any = buffered if n % 2 else plain
            transport.set_protocol(protocol)
            protocol.received.clear()
            word = bytes([n]) * (n + 1)
            whole += word
            peer.sendall(word)
            world.run_until(loop, lambda p=protocol, w=word: p.received == w)
        assert buffered.counts == [2, 4, 6]


@pytest.mark.parametrize("to", [Recorder, BufferedRecorder])
@pytest.mark.parametrize("origin", [Recorder, BufferedRecorder])
def test_a_protocol_may_hand_over_in_the_middle_of_its_callback(
    world: World, loop: Any, kind: str, origin: type, to: type
) -> None:
    second = to()
    hand_over = lambda p, _: p.transport.set_protocol(second)
    first = origin(data_received=hand_over, buffer_updated=hand_over)
    with wired(world, loop, first, kind) as (_transport, peer):
        peer.sendall(b"one")
        world.run_until(loop, lambda: bytes(first.received) == b"one")
        peer.sendall(b"two")
        peer.shutdown(socket.SHUT_WR)
        world.run_until(loop, lambda: bool(second.lost))
        assert second.received == b"two"
        assert "connection_lost" not in first.story


def test_a_protocol_is_told_apart_by_its_base_class(world: World, loop: Any) -> None:
    class Both(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            got.append(data)

        def get_buffer(self, sizehint: int) -> bytearray:
            raise AssertionError("only a BufferedProtocol is asked for a buffer")

    got: list[bytes] = []
    with wired(world, loop, Both()) as (_transport, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: got == [b"x"])


def test_a_protocol_may_be_any_object_with_the_methods(world: World, loop: Any) -> None:
    class Bare:
        def connection_made(self, transport: Any) -> None:
            story.append("made")

        def data_received(self, data: bytes) -> None:
            assert type(data) is bytes
            story.append(data.decode())

        def eof_received(self) -> None:
            story.append("eof")

        def connection_lost(self, exc: object) -> None:
            story.append("lost")

    story: list[str] = []
    with wired(world, loop, Bare()) as (_, peer):
        peer.sendall(b"x")
        peer.close()
        world.run_until(loop, lambda: "lost" in story)
        assert story == ["made", "x", "eof", "lost"]


def test_methods_are_looked_up_when_they_are_needed(world: World, loop: Any) -> None:
    # Programs replace callbacks of a protocol that is in use.
    protocol = Recorder()
    with wired(world, loop, protocol) as (_, peer):
        got: list[bytes] = []
        protocol.data_received = got.append  # type: ignore[assignment]
        peer.sendall(b"x")
        world.run_until(loop, lambda: got == [b"x"])
        assert protocol.received == b""


# --- Who holds whom -----------------------------------------------------------


def test_a_lost_connection_keeps_nothing_alive(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind) as (transport, _peer):
        gone = weakref.ref(protocol)
        transport.close()
        world.turn(loop, 2)
        protocol.transport = None
        assert transport.get_protocol() is None
        assert transport._loop is None
        del protocol
        gc.collect()
        # wired() itself has the last references; its factory lives in its frame.
    gc.collect()
    assert gone() is None


def test_a_transport_in_use_is_held_by_its_loop(world: World, loop: Any, kind: str) -> None:
    ours, theirs = joined(kind)
    protocol = Recorder()
    transport, _ = loop.run_until_complete(loop.create_connection(lambda: protocol, sock=ours))
    protocol.transport = None
    alive = weakref.ref(transport)
    del transport, ours
    gc.collect()
    theirs.sendall(b"still there")
    world.run_until(loop, lambda: protocol.received == b"still there")
    transport = alive()
    assert transport is not None
    theirs.close()
    world.run_until(loop, lambda: bool(protocol.lost))
    del transport
    gc.collect()
    assert alive() is None


def test_an_abandoned_transport_warns_and_closes_its_socket(
    world: World, loop: Any, kind: str
) -> None:
    ours, theirs = joined(kind)
    transport, protocol = loop.run_until_complete(loop.create_connection(Recorder, sock=ours))
    transport.pause_reading()
    text = repr(transport)
    protocol.transport = None
    with pytest.warns(ResourceWarning) as caught:
        del transport
        gc.collect()
    assert [str(each.message) for each in caught] == [f"unclosed transport {text}"]
    assert ours.fileno() == -1
    assert theirs.recv(1) == b""
    assert protocol.lost == []
    theirs.close()


def test_a_transport_of_a_closed_loop_warns(world: World) -> None:
    loop = world.new_event_loop()
    ours, theirs = joined()
    fd = ours.fileno()
    transport, protocol = loop.run_until_complete(loop.create_connection(Recorder, sock=ours))
    loop.close()
    name = type(transport).__name__
    assert repr(transport) == f"<{name} fd={fd}>"
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        transport.abort()
    protocol.transport = None
    with pytest.warns(ResourceWarning, match=f"unclosed transport <{name} closing fd={fd}>"):
        del transport
        gc.collect()
    assert ours.fileno() == -1
    theirs.close()
