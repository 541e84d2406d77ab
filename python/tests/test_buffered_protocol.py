"""BufferedProtocol: the buffers that it gives, what is read into them, and bad buffers."""

from __future__ import annotations

import array
import asyncio
import gc
import mmap
import socket
import sys
import weakref
from typing import Any

import pytest
from conftest import World
from net_tools import BufferedRecorder, Recorder, pattern, wired
from task_tools import gather_reports


class Giving(asyncio.BufferedProtocol):
    """Gives what the test says for a buffer, and keeps what came."""

    def __init__(self, give: Any) -> None:
        self.give = give
        self.hints: list[Any] = []
        self.counts: list[int] = []
        self.lost: list[BaseException | None] = []

    def get_buffer(self, sizehint: int) -> Any:
        self.hints.append(sizehint)
        return self.give(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        self.counts.append(nbytes)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.append(exc)


# --- Good buffers -------------------------------------------------------------


def test_what_comes_is_read_into_the_protocols_buffer(world: World, loop: Any, kind: str) -> None:
    buffer = bytearray(b"." * 10)
    protocol = Giving(lambda _: buffer)
    with wired(world, loop, protocol, kind) as (_, peer):
        peer.sendall(b"hello")
        world.run_until(loop, lambda: bool(protocol.counts))
        assert protocol.counts == [5]
        # Only what came is written, and only at the front.
        assert buffer == b"hello....."


def test_the_hint_is_that_there_is_none(world: World, loop: Any, kind: str) -> None:
    protocol = Giving(lambda _: bytearray(10))
    with wired(world, loop, protocol, kind) as (_, peer):
        peer.sendall(b"hello")
        world.run_until(loop, lambda: bool(protocol.counts))
        assert protocol.hints == [-1]
        assert type(protocol.hints[0]) is int and type(protocol.counts[0]) is int


def test_no_buffer_is_asked_for_before_there_is_something(
    world: World, loop: Any, kind: str
) -> None:
    protocol = Giving(lambda _: bytearray(10))
    with wired(world, loop, protocol, kind) as (_, peer):
        world.turn(loop, 5)
        assert protocol.hints == []
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(protocol.counts))
        world.turn(loop, 5)
        assert protocol.hints == [-1]


def test_each_read_asks_anew_and_fills_what_it_gets(world: World, loop: Any, kind: str) -> None:
    sizes = [1, 2, 3, 5, 8, 13]
    buffers = [bytearray(size) for size in sizes]
    protocol = Giving(lambda _: buffers[len(protocol.counts)])
    with wired(world, loop, protocol, kind) as (_, peer):
        data = pattern(sum(sizes))
        peer.sendall(data)
        world.run_until(loop, lambda: len(protocol.counts) == len(sizes))
        assert protocol.counts == sizes
        assert b"".join(buffers) == data


def test_a_buffer_of_one_byte_loses_nothing(world: World, loop: Any, kind: str) -> None:
    protocol = BufferedRecorder(size=1)
    with wired(world, loop, protocol, kind) as (_, peer):
        data = pattern(500)
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        world.run_until(loop, lambda: bool(protocol.lost))
        assert protocol.received == data
        assert protocol.counts == [1] * 500


@pytest.mark.parametrize("size", [100, 256 * 1024, 256 * 1024 + 1, 4 << 20])
def test_a_read_fills_no_more_than_the_buffer_holds(world: World, loop: Any, size: int) -> None:
    protocol = BufferedRecorder(size=size)
    with wired(world, loop, protocol, "tcp") as (transport, peer):
        transport.pause_reading()
        peer.setblocking(False)
        data = pattern(min(8 << 20, size * 2000))
        sent = peer.send(data)
        transport.resume_reading()
        world.run_until(loop, lambda: len(protocol.received) == sent)
        assert protocol.received == data[:sent]
        assert max(protocol.counts) <= size


@pytest.mark.parametrize(
    "make",
    [
        bytearray,
        lambda size: memoryview(bytearray(size)),
        lambda size: memoryview(bytearray(size + 20))[10:-10],
        lambda size: array.array("B", bytes(size)),
        lambda size: mmap.mmap(-1, size),
        lambda size: memoryview(bytearray(size)).cast("b"),
    ],
    ids=["bytearray", "memoryview", "slice", "array", "mmap", "signed"],
)
def test_a_buffer_may_be_whatever_can_be_written_to(world: World, loop: Any, make: Any) -> None:
    buffer = make(100)
    protocol = Giving(lambda _: buffer)
    with wired(world, loop, protocol) as (_, peer):
        peer.sendall(b"hello")
        world.run_until(loop, lambda: bool(protocol.counts))
        assert bytes(memoryview(buffer).cast("B")[:6]) == b"hello\0"
    if isinstance(buffer, mmap.mmap):
        buffer.close()


def test_a_buffer_of_large_items_holds_as_many_bytes(world: World, loop: Any) -> None:
    buffer = array.array("I", [0] * 4)
    protocol = Giving(lambda _: buffer)
    with wired(world, loop, protocol) as (_, peer):
        peer.sendall(bytes(range(16)) + b"more")
        world.run_until(loop, lambda: sum(protocol.counts) == 20)
        # Counted in bytes, not in items.
        assert protocol.counts == [16, 4]
        assert buffer.tobytes() == b"more" + bytes(range(4, 16))


def test_a_buffer_is_free_as_soon_as_it_is_told(world: World, loop: Any, kind: str) -> None:
    class Resizing(BufferedRecorder):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            # A BufferError if anything still held on to it.
            del self.buffer[:nbytes]
            self.buffer.extend(bytes(nbytes))

    protocol = Resizing(size=10)
    with wired(world, loop, protocol, kind) as (_, peer):
        data = pattern(1000)
        peer.sendall(data)
        world.run_until(loop, lambda: protocol.received == data)


def test_a_buffer_is_not_kept_beyond_its_read(world: World, loop: Any) -> None:
    class Buffer(bytearray):
        pass

    def give(_: int) -> Buffer:
        buffer = Buffer(10)
        given.append(weakref.ref(buffer))
        return buffer

    given: list[Any] = []
    protocol = Giving(give)
    with wired(world, loop, protocol) as (_, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(protocol.counts))
        gc.collect()
        assert [ref() for ref in given] == [None]


def test_the_end_asks_for_a_buffer_too(world: World, loop: Any, kind: str) -> None:
    # Only the read finds out that it is the end.
    protocol = Giving(lambda _: bytearray(10))
    with wired(world, loop, protocol, kind) as (_, peer):
        peer.shutdown(socket.SHUT_WR)
        world.run_until(loop, lambda: bool(protocol.lost))
        assert protocol.hints == [-1]
        assert protocol.counts == []
        assert protocol.lost == [None]


# --- Bad buffers --------------------------------------------------------------


@pytest.mark.parametrize("empty", [b"", bytearray(), memoryview(b""), [], "", {}])
def test_an_empty_buffer_ends_the_connection(
    world: World, loop: Any, kind: str, empty: object
) -> None:
    protocol = Giving(lambda _: empty)
    reports = gather_reports(loop)
    with wired(world, loop, protocol, kind) as (transport, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(protocol.lost))
        error = protocol.lost[0]
        assert type(error) is RuntimeError
        assert str(error) == "get_buffer() returned an empty buffer"
        assert reports == [
            {
                "message": "Fatal error: protocol.get_buffer() call failed.",
                "exception": error,
                "transport": transport,
                "protocol": protocol,
            }
        ]
        assert protocol.counts == []


@pytest.mark.parametrize("nothing", [None, 7, object()])
def test_what_has_no_length_is_no_buffer(world: World, loop: Any, nothing: object) -> None:
    protocol = Giving(lambda _: nothing)
    reports = gather_reports(loop)
    with wired(world, loop, protocol) as (_, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(protocol.lost))
        assert type(protocol.lost[0]) is TypeError
        assert "has no len()" in str(protocol.lost[0])
        message = "Fatal error: protocol.get_buffer() call failed."
        assert [report["message"] for report in reports] == [message]


@pytest.mark.parametrize(
    "bad",
    [
        b"read only",
        memoryview(b"read only"),
        "text",
        [1, 2, 3],
        memoryview(bytearray(10))[::2],
    ],
    ids=["bytes", "view of bytes", "text", "list", "gaps"],
)
def test_a_buffer_that_cannot_be_written_to_ends_the_connection(
    world: World, loop: Any, kind: str, bad: object
) -> None:
    protocol = Giving(lambda _: bad)
    reports = gather_reports(loop)
    with wired(world, loop, protocol, kind) as (transport, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(protocol.lost))
        assert type(protocol.lost[0]) is TypeError
        assert str(protocol.lost[0]) == (
            f"recv_into() argument 1 must be read-write bytes-like object, not {type(bad).__name__}"
        )
        assert reports == [
            {
                "message": "Fatal read error on socket transport",
                "exception": protocol.lost[0],
                "transport": transport,
                "protocol": protocol,
            }
        ]
        assert protocol.counts == []


def test_a_length_that_raises_is_reported(world: World, loop: Any) -> None:
    class Endless(bytearray):
        def __len__(self) -> int:
            raise OverflowError("mine")

    protocol = Giving(lambda _: Endless(10))
    reports = gather_reports(loop)
    with wired(world, loop, protocol) as (_, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(protocol.lost))
        assert type(protocol.lost[0]) is OverflowError
        message = "Fatal error: protocol.get_buffer() call failed."
        assert [report["message"] for report in reports] == [message]


# --- Callbacks that do more ---------------------------------------------------


@pytest.mark.parametrize("end", ["close", "abort"])
def test_get_buffer_may_end_its_connection(world: World, loop: Any, kind: str, end: str) -> None:
    def give(_: int) -> bytearray:
        getattr(transport, end)()
        return bytearray(10)

    protocol = Giving(give)
    with wired(world, loop, protocol, kind) as (transport, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(protocol.lost))
        world.turn(loop, 3)
        assert protocol.lost == [None]
        # The read that it was asked for takes place.
        assert protocol.counts == [1]


@pytest.mark.parametrize("end", ["close", "abort"])
def test_buffer_updated_may_end_its_connection(
    world: World, loop: Any, kind: str, end: str
) -> None:
    protocol = BufferedRecorder(buffer_updated=lambda p, _: getattr(p.transport, end)())
    with wired(world, loop, protocol, kind) as (_, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(protocol.lost))
        world.turn(loop, 3)
        assert protocol.lost == [None]
        assert protocol.counts == [1]


def test_get_buffer_may_pause(world: World, loop: Any, kind: str) -> None:
    def give(_: int) -> bytearray:
        transport.pause_reading()
        return bytearray(10)

    protocol = Giving(give)
    with wired(world, loop, protocol, kind) as (transport, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(protocol.counts))
        peer.sendall(b"y")
        world.turn(loop, 3)
        assert protocol.counts == [1]
        transport.resume_reading()
        world.run_until(loop, lambda: protocol.counts == [1, 1])


def test_get_buffer_may_hand_over_to_another(world: World, loop: Any, kind: str) -> None:
    # The buffer is the old one's, and the new one is told how much of it is full.
    def give(_: int) -> bytearray:
        transport.set_protocol(second)
        return buffer

    buffer = bytearray(10)
    first = Giving(give)
    second = Giving(lambda _: bytearray(10))
    with wired(world, loop, first, kind) as (transport, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(second.counts))
        assert buffer[:1] == b"x"
        assert first.counts == [] and second.hints == []


def test_get_buffer_may_hand_over_to_a_plain_protocol(world: World, loop: Any) -> None:
    # Which has no buffer_updated: that is an error like any other of a protocol.
    def give(_: int) -> bytearray:
        transport.set_protocol(second)
        return bytearray(10)

    second = Recorder()
    reports = gather_reports(loop)
    with wired(world, loop, Giving(give)) as (transport, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(second.lost))
        assert type(second.lost[0]) is AttributeError
        message = "Fatal error: protocol.buffer_updated() call failed."
        assert [report["message"] for report in reports] == [message]


def test_a_paused_buffered_protocol_gives_no_buffer(world: World, loop: Any, kind: str) -> None:
    protocol = Giving(lambda _: bytearray(10))
    with wired(world, loop, protocol, kind) as (transport, peer):
        transport.pause_reading()
        peer.sendall(b"x")
        world.turn(loop, 3)
        assert protocol.hints == []
        transport.resume_reading()
        world.run_until(loop, lambda: protocol.counts == [1])


def test_buffers_are_not_leaked(world: World, loop: Any) -> None:
    buffer = bytearray(10)
    protocol = Giving(lambda _: buffer)
    with wired(world, loop, protocol) as (_, peer):
        before = sys.getrefcount(buffer)
        for n in range(50):
            peer.sendall(b"x")
            world.run_until(loop, lambda n=n: len(protocol.counts) == n + 1)
        assert sys.getrefcount(buffer) == before
