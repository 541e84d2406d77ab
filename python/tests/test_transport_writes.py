"""write and writelines of stream transports: what is sent, in which order, what is refused."""

from __future__ import annotations

import array
import errno
import logging
import socket
import sys
from typing import Any

import pytest
from conftest import Log, World
from net_tools import PY, Recorder, fill, pattern, receive, wired
from task_tools import gather_reports, raised

# What later releases of asyncio mended, and ours has on every Python: writelines that never got
# rid of an empty chunk, broke after close and paused nobody; close that lost count.
MENDED = PY >= (3, 14)


# --- What is sent -------------------------------------------------------------


def test_a_small_write_is_sent_at_once(world: World, loop: Any, kind: str) -> None:
    with wired(world, loop, Recorder(), kind) as (transport, peer):
        assert transport.write(b"now") is None
        # The loop has not turned since.
        assert peer.recv(10) == b"now"
        assert transport.get_write_buffer_size() == 0


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_what_is_bytes_by_type_can_be_written(
    world: World, loop: Any, kind: str, make: Any
) -> None:
    with wired(world, loop, Recorder(), kind) as (transport, peer):
        transport.write(make(b"some bytes"))
        transport.writelines([make(b"; "), make(b"more")])
        assert receive(loop, peer, 16) == b"some bytes; more"


def test_subclasses_of_bytes_can_be_written(world: World, loop: Any) -> None:
    class Text(bytes):
        pass

    class Mutable(bytearray):
        pass

    with wired(world, loop, Recorder()) as (transport, peer):
        transport.write(Text(b"one"))
        transport.write(Mutable(b"two"))
        assert receive(loop, peer, 6) == b"onetwo"


@pytest.mark.parametrize("bad", ["text", None, 7, 1.5, [b"x"], array.array("B", b"x"), object()])
def test_what_is_not_bytes_is_refused(world: World, loop: Any, bad: Any) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol) as (transport, peer):
        wanted = "bytes, bytearray, or memoryview object" if MENDED else "bytes-like object"
        expected = f"data argument must be a {wanted}, not {type(bad).__name__!r}"
        error = raised(lambda: transport.write(bad))
        assert type(error) is TypeError and str(error) == expected
        # The mistake costs nothing else.
        transport.write(b"ok")
        assert peer.recv(10) == b"ok"
        transport.write_eof()
        assert type(raised(lambda: transport.write(bad))) is TypeError
        transport.close()
        assert type(raised(lambda: transport.write(bad))) is TypeError
        world.turn(loop, 2)
        assert type(raised(lambda: transport.write(bad))) is TypeError
        assert protocol.lost == [None]


def test_a_released_view_is_refused(world: World, loop: Any) -> None:
    with wired(world, loop, Recorder()) as (transport, peer):
        view = memoryview(b"gone")
        view.release()
        assert type(raised(lambda: transport.write(view))) is ValueError
        transport.write(b"ok")
        assert peer.recv(10) == b"ok"


def test_writing_nothing_does_nothing(world: World, loop: Any, kind: str) -> None:
    with wired(world, loop, Recorder(), kind) as (transport, peer):
        for nothing in (b"", bytearray(), memoryview(b"")):
            transport.write(nothing)
        transport.writelines([])
        transport.writelines(())
        transport.write(b"x")
        transport.close()
        assert receive(loop, peer) == b"x"


def test_writes_arrive_in_their_order(world: World, loop: Any, kind: str) -> None:
    with wired(world, loop, Recorder(), kind, small=True) as (transport, peer):
        pieces = [pattern(n * 37 % 5000, n) for n in range(200)]
        for n, piece in enumerate(pieces):
            if n % 3:
                transport.write(piece)
            else:
                transport.writelines([piece[:10] or b"-", memoryview(piece)[10:] or b"-"])
        transport.close()
        for n in range(0, 200, 3):
            pieces[n] = (pieces[n][:10] or b"-") + (pieces[n][10:] or b"-")
        assert receive(loop, peer) == b"".join(pieces)


def test_one_large_write_arrives_whole(world: World, loop: Any, kind: str) -> None:
    data = pattern(3_000_000)
    with wired(world, loop, Recorder(), kind, small=True) as (transport, peer):
        transport.write(data)
        size = transport.get_write_buffer_size()
        assert 2_000_000 < size < 3_000_000
        assert receive(loop, peer, 3_000_000) == data
        world.run_until(loop, lambda: transport.get_write_buffer_size() == 0)


def test_the_size_of_the_buffer_is_what_is_not_sent(world: World, loop: Any, kind: str) -> None:
    with wired(world, loop, Recorder(), kind) as (transport, peer):
        assert transport.get_write_buffer_size() == 0
        written = fill(transport)
        waiting = transport.get_write_buffer_size()
        transport.write(b"12345")
        transport.write(bytearray(b"123"))
        transport.write(memoryview(b"12"))
        assert transport.get_write_buffer_size() == waiting + 10
        got = receive(loop, peer, written + 10)
        assert got[-10:] == b"1234512312"
        assert transport.get_write_buffer_size() == 0


# --- Buffers that are not plain bytes -----------------------------------------


def test_a_buffer_changed_after_a_write_that_was_sent_changes_nothing(
    world: World, loop: Any, kind: str
) -> None:
    with wired(world, loop, Recorder(), kind) as (transport, peer):
        data = bytearray(b"before")
        transport.write(data)
        data[:] = b"after!"
        data.clear()
        assert receive(loop, peer, 6) == b"before"


def test_a_buffer_changed_after_a_write_that_waits(world: World, loop: Any, kind: str) -> None:
    original = pattern(2_000_000)
    with wired(world, loop, Recorder(), kind, small=True) as (transport, peer):
        data = bytearray(original)
        transport.write(data)
        waiting = transport.get_write_buffer_size()
        assert waiting > 1_000_000
        later = bytearray(b"later")
        transport.write(later)
        data[-1000:] = bytes(1000)
        later[:] = b"LATER"
        got = receive(loop, peer, 2_000_005)
        if world.is_ours or PY == (3, 11):
            assert got == original + b"later"
        else:
            # asyncio only looks at the rest, and sends what it finds there when it comes to it.
            assert got == original[:-1000] + bytes(1000) + b"LATER"


def test_a_buffer_emptied_after_a_write_that_waits(world: World, loop: Any) -> None:
    with wired(world, loop, Recorder(), small=True) as (transport, peer):
        written = fill(transport)
        later = bytearray(b"later")
        transport.write(later)
        later.clear()
        transport.write(b"!")
        kept = world.is_ours or PY == (3, 11)
        got = receive(loop, peer, written + (6 if kept else 1))
        assert got[written:] == (b"later!" if kept else b"!")


@pytest.mark.parametrize("code", ["H", "I", "Q", "d"])
def test_a_view_of_large_items_is_sent_as_its_bytes(world: World, loop: Any, code: str) -> None:
    items = array.array(code, range(1000))
    with wired(world, loop, Recorder()) as (transport, peer):
        transport.write(memoryview(items))
        transport.write(b"end")
        expected = items.tobytes() + b"end"
        assert receive(loop, peer, len(expected)) == expected


def test_a_view_of_large_items_that_waits(world: World, loop: Any) -> None:
    items = array.array("Q", range(200_000))
    reports = gather_reports(loop)
    with wired(world, loop, Recorder(), small=True) as (transport, peer):
        transport.write(memoryview(items))
        if world.is_ours:
            assert 1_000_000 < transport.get_write_buffer_size() < 1_600_000
            assert receive(loop, peer, 1_600_000) == items.tobytes()
        else:
            # asyncio takes bytes that were sent for items, and forgets eight times as many.
            transport.close()
            assert len(receive(loop, peer)) < 1_600_000
            assert [type(r["exception"]) for r in reports] == [IndexError] * (PY > (3, 11))


def test_a_view_of_several_dimensions_is_sent_as_its_bytes(world: World, loop: Any) -> None:
    with wired(world, loop, Recorder()) as (transport, peer):
        transport.write(memoryview(b"abcdef").cast("B", (2, 3)))
        assert receive(loop, peer, 6) == b"abcdef"


def test_a_view_with_gaps_ends_the_connection(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    reports = gather_reports(loop)
    with wired(world, loop, protocol, kind) as (transport, peer):
        transport.write(b"before")
        transport.write(memoryview(b"abcdef")[::2])
        assert transport.is_closing()
        world.turn(loop)
        assert [type(exc) for exc in protocol.lost] == [BufferError]
        assert [report["message"] for report in reports] == [
            "Fatal write error on socket transport"
        ]
        assert reports[0]["transport"] is transport
        assert reports[0]["protocol"] is protocol
        assert reports[0]["exception"] is protocol.lost[0]
        assert receive(loop, peer) == b"before"


# --- writelines ---------------------------------------------------------------


def test_writelines_sends_all_in_order(world: World, loop: Any, kind: str) -> None:
    with wired(world, loop, Recorder(), kind) as (transport, peer):
        assert transport.writelines([b"one", bytearray(b"two"), memoryview(b"three")]) is None
        # At once, as write does.
        assert peer.recv(100) == b"onetwothree"


def segments(transport: Any) -> int:
    """How many segments with data the kernel has sent: `tcpi_data_segs_out` of TCP_INFO."""
    sock = transport.get_extra_info("socket")
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return int.from_bytes(info[156:160], sys.byteorder)


def test_writelines_is_one_write_to_the_kernel(world: World, loop: Any) -> None:
    with wired(world, loop, Recorder()) as (transport, peer):
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(5):
            transport.write(b"x")
        assert segments(transport) == 5
        transport.writelines([b"%d" % n for n in range(10)])
        assert segments(transport) == 6
        assert receive(loop, peer, 15) == b"xxxxx0123456789"


def test_writelines_takes_any_iterable(world: World, loop: Any) -> None:
    with wired(world, loop, Recorder()) as (transport, peer):
        transport.writelines(word for word in (b"a", b"b"))
        transport.writelines((b"c", b"d"))
        transport.writelines({b"e": 1})
        transport.writelines(iter([b"f"]))
        assert receive(loop, peer, 6) == b"abcdef"


@pytest.mark.parametrize("count", [1023, 1024, 1025, 5000])
def test_writelines_of_more_than_the_kernel_takes_at_once(
    world: World, loop: Any, count: int
) -> None:
    words = [b"%d," % n for n in range(count)]
    with wired(world, loop, Recorder(), "tcp") as (transport, peer):
        transport.writelines(words)
        expected = b"".join(words)
        assert receive(loop, peer, len(expected)) == expected


def test_writelines_behind_a_write_that_waits(world: World, loop: Any, kind: str) -> None:
    with wired(world, loop, Recorder(), kind, small=True) as (transport, peer):
        written = fill(transport)
        transport.writelines([b"and ", b"then "])
        transport.write(b"the end")
        assert receive(loop, peer, written + 16)[written:] == b"and then the end"


def test_writelines_of_much_arrives_whole(world: World, loop: Any, kind: str) -> None:
    pieces = [pattern(n * 997 % 70_000 + 1, n) for n in range(60)]
    with wired(world, loop, Recorder(), kind, small=True) as (transport, peer):
        transport.writelines(pieces)
        transport.close()
        assert receive(loop, peer) == b"".join(pieces)


def test_writelines_skips_empty_chunks(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind) as (transport, peer):
        transport.writelines([b"", b"a", b"", b"b"])
        assert receive(loop, peer, 2) == b"ab"
        transport.writelines([b"c", b""])
        transport.writelines([b""])
        transport.close()
        world.turn(loop, 4)
        if world.is_ours or MENDED or PY == (3, 11):
            assert protocol.lost == [None]
        else:
            # asyncio tries to send nothing for ever, and never closes.
            assert protocol.lost == []
            assert transport.get_write_buffer_size() == 0


@pytest.mark.parametrize("bad", ["text", None, 7])
def test_writelines_refuses_what_is_not_bytes(world: World, loop: Any, bad: Any) -> None:
    with wired(world, loop, Recorder()) as (transport, peer):
        error = raised(lambda: transport.writelines([bad or "text"]))
        assert type(error) is TypeError
        assert "bytes-like object" in str(error)
        transport.write(b"ok")
        assert peer.recv(10) == b"ok"


def test_writelines_does_not_take_what_cannot_be_iterated(world: World, loop: Any) -> None:
    with wired(world, loop, Recorder()) as (transport, _):
        assert type(raised(lambda: transport.writelines(7))) is TypeError
        # What is false is nothing to send, whatever it is; 3.11 joins it.
        if PY != (3, 11):
            transport.writelines(None)


# --- After the end ------------------------------------------------------------


def test_a_write_after_write_eof_is_refused(world: World, loop: Any, kind: str) -> None:
    with wired(world, loop, Recorder(), kind) as (transport, peer):
        transport.write_eof()
        error = raised(lambda: transport.write(b"x"))
        assert type(error) is RuntimeError
        assert str(error) == "Cannot call write() after write_eof()"
        # Even nothing cannot be written.
        assert type(raised(lambda: transport.write(b""))) is RuntimeError
        error = raised(lambda: transport.writelines([b"x"]))
        name = "write" if PY == (3, 11) else "writelines"
        assert type(error) is RuntimeError
        assert str(error) == f"Cannot call {name}() after write_eof()"
        assert peer.recv(1) == b""


def write(transport: Any) -> None:
    transport.write(b"x")


def writelines(transport: Any) -> None:
    transport.writelines([b"x", b"y"])


@pytest.mark.parametrize("send", [write, writelines])
@pytest.mark.parametrize("end", ["close", "abort"])
def test_writes_after_the_end_are_dropped_and_at_last_warned_of(
    world: World, loop: Any, logged: Log, send: Any, end: str
) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol) as (transport, peer):
        getattr(transport, end)()
        if send is writelines and PY in ((3, 12), (3, 13)) and not world.is_ours:
            # Later releases of these two do as 3.14.
            if end == "close":
                assert type(raised(lambda: send(transport))) is TypeError
            return
        for _ in range(4):
            send(transport)
        assert logged.texts() == []
        send(transport)
        assert logged.texts() == ["socket.send() raised exception."]
        assert logged.records[0].levelno == logging.WARNING
        world.turn(loop, 2)
        # The same once it is closed.
        send(transport)
        transport.write(b"")
        assert logged.texts() == ["socket.send() raised exception."] * 2
        assert protocol.lost == [None]
        assert receive(loop, peer) == b""


def test_a_write_behind_a_close_that_waits_is_still_sent(
    world: World, loop: Any, kind: str
) -> None:
    # Odd, but so it is: until the buffer is empty, what is written goes behind it.
    with wired(world, loop, Recorder(), kind, small=True) as (transport, peer):
        written = fill(transport)
        transport.close()
        transport.write(b"a last word")
        assert receive(loop, peer)[written:] == b"a last word"


def test_writing_to_a_peer_that_is_gone(world: World, loop: Any, kind: str, logged: Log) -> None:
    protocol = Recorder()
    reports = gather_reports(loop)
    with wired(world, loop, protocol, kind) as (transport, peer):
        transport.pause_reading()
        # With something unread, so that the peer's end is a reset.
        transport.write(b"unread")
        peer.close()
        transport.write(b"one")
        transport.write(b"two")
        assert transport.is_closing()
        assert protocol.lost == []
        for _ in range(5):
            transport.write(b"more")
        world.turn(loop)
        assert protocol.story == ["connection_made", "connection_lost"]
        error = protocol.lost[0]
        assert isinstance(error, (BrokenPipeError, ConnectionResetError))
        assert error.errno in (errno.EPIPE, errno.ECONNRESET)
        # An error of the network is nobody's fault: only the protocol is told.
        assert reports == []
        assert set(logged.texts()) == {"socket.send() raised exception."}


def test_a_peer_that_goes_while_much_waits(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        transport.pause_reading()
        fill(transport)
        peer.close()
        world.run_until(loop, lambda: bool(protocol.lost))
        assert isinstance(protocol.lost[0], (BrokenPipeError, ConnectionResetError))
        assert transport.get_write_buffer_size() == 0
        assert "resume_writing" not in protocol.story


def test_a_socket_that_is_shut_for_writing_below_the_transport(
    world: World, loop: Any, kind: str
) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind) as (transport, _):
        transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        transport.write(b"x")
        world.turn(loop)
        assert isinstance(protocol.lost[0], BrokenPipeError)
        assert protocol.lost[0].errno == errno.EPIPE


@pytest.mark.parametrize("make", [bytes, bytearray])
def test_who_is_displaced_by_a_write_that_waits_may_write(
    world: World, loop: Any, kind: str, make: Any
) -> None:
    class Last:
        def __del__(self) -> None:
            transport.write(b"the last words")

        def __call__(self) -> None:
            """Nobody calls it."""

    with wired(world, loop, Recorder(), kind) as (transport, peer):
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        loop._add_writer(sock.fileno(), Last())
        data = pattern(1_000_000)
        transport.write(make(data))
        assert transport.get_write_buffer_size() > 0
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(data))
        got = receive(loop, peer, len(data) + 14)
        at = got.index(b"the last words")
        assert got == data[:at] + b"the last words" + data[at:]
        # asyncio lets them in between.
        assert at == len(data) if world.is_ours else 0 < at < len(data)
        assert transport.get_write_buffer_size() == 0


@pytest.mark.skipif(PY < (3, 12), reason="no __release_buffer__ before 3.12")
def test_who_is_released_by_a_write_that_waits_may_write(world: World, loop: Any) -> None:
    data = pattern(1_000_000)
    last = [b"the last words"]

    class Mine(bytearray):
        def __buffer__(self, flags: int) -> memoryview:
            return memoryview(data)

        def __release_buffer__(self, view: memoryview) -> None:
            if last:
                transport.write(last.pop())

    with wired(world, loop, Recorder()) as (transport, peer):
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        transport.write(Mine(b"some"))
        assert transport.get_write_buffer_size() > 0
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(data))
        got = receive(loop, peer, len(data) + 14)
        at = got.index(b"the last words")
        assert got[:at] + got[at + 14 :] == data, "the rest is not whole"
        # asyncio lets them in between.
        assert at == len(data) if world.is_ours else 0 < at < len(data)
