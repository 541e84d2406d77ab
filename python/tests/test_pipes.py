"""connect_read_pipe and connect_write_pipe: which files they take, and bytes on their way."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import tty
from pathlib import Path
from typing import Any

import pytest
from conftest import World
from io_tools import (
    Reader,
    Writer,
    is_open,
    read_all,
    reading,
    refusal,
    run,
    shape,
    turns,
    until,
    writing,
)
from task_tools import gather_reports

# --- Reading ----------------------------------------------------------------------


def test_what_is_written_is_read(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with reading(loop, r) as (transport, protocol):
            assert protocol.story == ["made"]
            os.write(w, b"one")
            await until(lambda: protocol.data == b"one")
            os.write(w, b"two")
            os.close(w)
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", b"one", b"two", "eof", ("lost", None)]
            assert transport.is_closing()

    run(loop, main())


def test_both_are_asyncios_own_types(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with reading(loop, r) as (reader, read), writing(loop, w) as (writer, wrote):
            assert isinstance(reader, asyncio.ReadTransport)
            assert isinstance(writer, asyncio.WriteTransport)
            assert (reader.get_protocol(), writer.get_protocol()) == (read, wrote)

    run(loop, main())


def test_the_end_of_a_pipe_that_is_empty_already(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        os.close(w)
        async with reading(loop, r) as (_, protocol):
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", "eof", ("lost", None)]

    run(loop, main())


def test_much_is_read_in_large_pieces(world: World, loop: Any) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
            theirs.setblocking(False)
            sent = theirs.send(bytes(1_000_000))
            async with reading(loop, ours) as (_, protocol):
                await until(lambda: len(protocol.data) == sent)
                pieces = [len(data) for data in protocol.story[1:]]
                # Not more than 256 KiB are read in a turn.
                assert max(pieces) <= 256 * 1024
                assert len(pieces) <= sent // 1000

    run(loop, main())


def test_reading_can_be_paused(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with reading(loop, r) as (transport, protocol):
            assert transport.is_reading()
            transport.pause_reading()
            transport.pause_reading()
            assert not transport.is_reading()
            os.write(w, b"data")
            await turns(5)
            assert protocol.story == ["made"]
            transport.resume_reading()
            transport.resume_reading()
            assert transport.is_reading()
            await until(lambda: protocol.data == b"data")
            transport.close()
            assert not transport.is_reading()
            # Nothing happens: it is closing.
            transport.resume_reading()
            transport.pause_reading()
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", b"data", ("lost", None)]
        os.close(w)

    run(loop, main())


def test_reading_can_be_paused_before_it_begins(world: World, loop: Any) -> None:
    class Paused(Reader):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.pause_reading()

    async def main() -> None:
        r, w = os.pipe()
        os.write(w, b"data")
        async with reading(loop, r, Paused) as (transport, protocol):
            await turns(5)
            assert protocol.story == ["made"]
            transport.resume_reading()
            await until(lambda: protocol.data == b"data")
        os.close(w)

    run(loop, main())


def test_a_reader_that_closes_itself_reads_no_more(world: World, loop: Any) -> None:
    class Closing(Reader):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            os.write(w, b"more")
            self.transport.close()

    r, w = os.pipe()

    async def main() -> None:
        async with reading(loop, r, Closing) as (_, protocol):
            os.write(w, b"data")
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", b"data", ("lost", None)]
        assert not is_open(r)

    run(loop, main())
    os.close(w)


def test_another_protocol_can_take_over(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with reading(loop, r) as (transport, first):
            second = Reader()
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            os.write(w, b"data")
            os.close(w)
            await until(lambda: second.is_lost)
            assert second.story == [b"data", "eof", ("lost", None)]
            assert first.story == ["made"]
            first.is_lost = True

    run(loop, main())


# --- Writing ----------------------------------------------------------------------


def test_what_the_pipe_takes_is_written_at_once(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            for data in (b"bytes", bytearray(b"array"), memoryview(b"a view")[2:], b""):
                transport.write(data)
                assert transport.get_write_buffer_size() == 0
                if data:
                    assert os.read(r, 100) == bytes(data)
            transport.writelines([b"1", b"22", bytearray(b"333")])
            assert os.read(r, 100) == b"122333"
            assert protocol.story == ["made"]
        os.close(r)

    run(loop, main())


@pytest.mark.parametrize("data", ["text", 5, None, [b"x"]])
def test_what_is_not_bytes_is_refused(world: World, loop: Any, data: object) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, _):
            with pytest.raises(AssertionError) as caught:
                transport.write(data)
            assert str(caught.value).splitlines()[0] == repr(data)
        os.close(r)

    run(loop, main())


def test_what_the_pipe_does_not_take_waits(world: World, loop: Any) -> None:
    data = bytes(range(256)) * 1024

    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            transport.write(data)
            waiting = transport.get_write_buffer_size()
            assert 0 < waiting < len(data)
            assert protocol.story == ["made", "pause"]
            assert shape(transport) == f"< fd=N polling bufsize={waiting}>"
            transport.write(b"end")
            assert transport.get_write_buffer_size() == waiting + 3
            assert await read_all(r, len(data) + 3) == data + b"end"
            await turns()
            assert transport.get_write_buffer_size() == 0
            assert protocol.story == ["made", "pause", "resume"]
        os.close(r)

    run(loop, main())


def test_what_waits_is_a_copy(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, _):
            data = bytearray(b"a" * 200_000)
            transport.write(data)
            transport.write(memoryview(data)[:1000])
            data[:] = b"b" * 200_000
            data.clear()
            assert await read_all(r, 201_000) == b"a" * 201_000
        os.close(r)

    run(loop, main())


def test_the_limits_of_what_may_wait_can_be_set(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
            transport.set_write_buffer_limits(high=100, low=10)
            assert transport.get_write_buffer_limits() == (10, 100)
            transport.write(bytes(1_000_000))
            taken = 1_000_000 - transport.get_write_buffer_size()
            assert protocol.story == ["made", "pause"]
            got = await read_all(r, 1_000_000)
            assert len(got) == 1_000_000 > taken
            await turns()
            assert protocol.story == ["made", "pause", "resume"]
            for kwargs in ({"high": 1, "low": 2}, {"low": -1}, {"high": -1}):
                with pytest.raises(ValueError, match=r"must be >= low"):
                    transport.set_write_buffer_limits(**kwargs)
        os.close(r)

    run(loop, main())


# --- Which files ------------------------------------------------------------------


def test_a_fifo_is_a_pipe(world: World, loop: Any, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def main() -> None:
        r = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        w = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        async with reading(loop, r) as (_, read), writing(loop, w) as (writer, _):
            # Data that nobody has read yet is no sign that the reader has gone.
            writer.write(b"through the file system")
            await until(lambda: read.data == b"through the file system")
            writer.close()
            await until(lambda: read.is_lost)
            assert read.story[2:] == ["eof", ("lost", None)]

    run(loop, main())


def test_a_socket_may_stand_for_a_pipe(world: World, loop: Any) -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        async with reading(loop, left) as (_, read), writing(loop, right) as (writer, _):
            writer.write(b"data")
            await until(lambda: read.data == b"data")
            writer.close()
            await until(lambda: read.is_lost)
            assert read.story[2:] == ["eof", ("lost", None)]

    run(loop, main())


def test_a_terminal_may_stand_for_a_pipe(world: World, loop: Any) -> None:
    async def main() -> None:
        outer, inner = os.openpty()
        tty.setraw(inner)
        async with reading(loop, outer) as (reader, read), writing(loop, inner) as (writer, wrote):
            writer.write(b"to the screen\n")
            await until(lambda: read.data == b"to the screen\n")
            writer.close()
            await until(lambda: wrote.is_lost and read.is_lost)
            assert wrote.story == ["made", ("lost", None)]
            # Linux reports the end of a terminal as an error; asyncio tells no one but us.
            assert read.story[2:] == [("lost", "OSError(5)")]
            assert reader.is_closing()

    run(loop, main())


def test_a_character_device_can_be_written(world: World, loop: Any) -> None:
    async def main() -> None:
        async with writing(loop, os.open(os.devnull, os.O_WRONLY)) as (transport, protocol):
            transport.write(b"into nothing")
            transport.close()
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", ("lost", None)]

    run(loop, main())


def test_a_plain_file_is_refused(world: World, loop: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("contents")

    async def main() -> None:
        with open(path, "r+b", 0) as file:
            assert await refusal(loop.connect_read_pipe(Reader, file)) == (
                "ValueError: Pipe transport is for pipes/sockets only."
            )
            assert await refusal(loop.connect_write_pipe(Writer, file)) == (
                "ValueError: Pipe transport is only for pipes, sockets and character devices"
            )
            # It stays its owner's.
            assert os.get_blocking(file.fileno())
            assert file.read() == b"contents"

    run(loop, main())


# asyncio's half-made transport complains of itself when it is deleted.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_descriptor_alone_is_no_pipe(world: World, loop: Any) -> None:
    async def main() -> None:
        for connect, factory in (
            (loop.connect_read_pipe, Reader),
            (loop.connect_write_pipe, Writer),
        ):
            for pipe in (0, None, "name"):
                with pytest.raises(AttributeError, match="'fileno'"):
                    await connect(factory, pipe)

    run(loop, main())


def test_a_pipe_becomes_non_blocking(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        assert os.get_blocking(r) and os.get_blocking(w)
        async with reading(loop, r), writing(loop, w):
            assert not os.get_blocking(r) and not os.get_blocking(w)

    run(loop, main())


# --- What a transport knows of itself -------------------------------------------------


def test_a_transport_tells_of_its_pipe(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        readable, writable = open(r, "rb", 0), open(w, "wb", 0)
        async with reading(loop, readable) as (reader, _), writing(loop, writable) as (writer, _):
            assert reader.get_extra_info("pipe") is readable
            assert writer.get_extra_info("pipe") is writable
            for transport in (reader, writer):
                assert transport.get_extra_info("peername") is None
                assert transport.get_extra_info("socket", "default") == "default"
        assert readable.closed and writable.closed

    run(loop, main())


def test_a_transport_says_what_it_does(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with reading(loop, r) as (reader, read), writing(loop, w) as (writer, wrote):
            await turns()
            assert shape(reader) == "< fd=N polling>"
            assert shape(writer) == "< fd=N idle bufsize=0>"
            reader.pause_reading()
            assert shape(reader) == "< fd=N idle>"
            writer.close()
            reader.close()
            assert shape(reader) == "< closing fd=N idle>"
            assert shape(writer) == "< closing fd=N idle bufsize=0>"
            await until(lambda: read.is_lost and wrote.is_lost)
            await turns()
            assert shape(reader) == shape(writer) == "< closed fd=N closed>"

    run(loop, main())


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_transport_left_behind_closes_its_pipe_with_a_warning(
    world: World, loop: Any, kind: str
) -> None:
    async def main() -> None:
        # The loop must not watch it, or it would keep it: reading is paused, and the writing end
        # of a device is not watched.
        if kind == "read":
            file, connect, factory = open(r, "rb", 0), loop.connect_read_pipe, Reader
        else:
            file, connect, factory = open(os.devnull, "wb", 0), loop.connect_write_pipe, Writer
        transport, protocol = await connect(factory, file)
        await turns()
        if kind == "read":
            transport.pause_reading()
        protocol.transport = None
        with pytest.warns(ResourceWarning, match=r"^unclosed transport <\w+ fd="):
            del transport
            gc.collect()
        assert file.closed

    r, w = os.pipe()
    run(loop, main())
    os.close(w)
    if kind == "write":
        os.close(r)


def test_what_the_factory_raises_reaches_the_caller(world: World, loop: Any) -> None:
    def factory() -> Any:
        raise LookupError("no protocol")

    async def main() -> None:
        r, w = os.pipe()
        with open(r, "rb", 0) as readable, open(w, "wb", 0) as writable:
            for made in (
                loop.connect_read_pipe(factory, readable),
                loop.connect_write_pipe(factory, writable),
            ):
                assert await refusal(made) == "LookupError: no protocol"
            assert os.get_blocking(r) and os.get_blocking(w)

    run(loop, main())


def test_a_cancelled_connect_closes_the_pipe(world: World, loop: Any) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        r, w = os.pipe()
        read, wrote = Reader(), Writer()
        for connect, protocol, file in (
            (loop.connect_read_pipe, read, open(r, "rb", 0)),
            (loop.connect_write_pipe, wrote, open(w, "wb", 0)),
        ):
            made = asyncio.ensure_future(connect(lambda protocol=protocol: protocol, file))
            await asyncio.sleep(0)
            made.cancel()
            with pytest.raises(asyncio.CancelledError):
                await made
            await until(lambda protocol=protocol: protocol.is_lost)
            await turns()
            assert protocol.story == ["made", ("lost", None)]
            assert file.closed

    run(loop, main())
    assert reports == []
