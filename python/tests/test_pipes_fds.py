"""Descriptors, files and memory of pipe transports: what others close, and what is let go."""

from __future__ import annotations

import asyncio
import errno
import gc
import io
import logging
import os
import socket
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Log, World
from io_tools import (
    Contexts,
    Reader,
    Writer,
    check_abandoned,
    check_leaves_no_objects,
    check_references,
    is_open,
    read_all,
    reading,
    run,
    said,
    shape,
    turns,
    until,
    writing,
)
from task_tools import gather_reports

# What a pipe may be wrapped in, and whether its descriptor is read through a call of Python.
FILES: dict[str, Callable[[int, str], Any]] = {
    "raw": lambda fd, mode: open(fd, mode + "b", 0),
    "buffered": lambda fd, mode: open(fd, mode + "b"),
    "text": lambda fd, mode: open(fd, mode),
}


@pytest.fixture(params=FILES)
def wrap(request: pytest.FixtureRequest) -> Callable[[int, str], Any]:
    return FILES[request.param]


# --- Files of every class ---------------------------------------------------------


def test_any_file_with_a_descriptor_will_do(world: World, loop: Any, wrap: Any) -> None:
    class Wrapper:
        def __init__(self, file: Any) -> None:
            self.file = file

        def fileno(self) -> int:
            return self.file.fileno()  # type: ignore[no-any-return]

        def close(self) -> None:
            closed.append(self)
            self.file.close()

    closed: list[Any] = []

    async def main() -> None:
        r, w = os.pipe()
        files = [Wrapper(wrap(r, "r")), Wrapper(wrap(w, "w"))]
        async with reading(loop, files[0]) as (_, read), writing(loop, files[1]) as (writer, _):
            assert writer.get_extra_info("pipe") is files[1]
            writer.write(b"data")
            await until(lambda: read.data == b"data")
            writer.close()
            await until(lambda: read.is_lost)
        assert closed == [files[1], files[0]]
        assert not is_open(r) and not is_open(w)

    run(loop, main())


# --- What others close ------------------------------------------------------------


def test_a_reader_does_not_read_from_the_next_of_the_number(
    world: World, loop: Any, wrap: Any
) -> None:
    # asyncio remembers the number, and takes what is another's.
    reports = gather_reports(loop)

    async def main() -> None:
        r, w = os.pipe()
        file = wrap(r, "r")
        async with reading(loop, file) as (transport, protocol):
            transport.pause_reading()
            file.close()
            other_r, other_w = os.pipe()
            assert other_r == r
            os.write(other_w, b"secret")
            transport.resume_reading()
            await until(lambda: protocol.story != ["made"])
            if world.is_ours:
                await until(lambda: protocol.is_lost)
                assert protocol.story == ["made", ("lost", f"OSError({errno.EBADF})")]
                assert os.read(other_r, 100) == b"secret"
            else:
                assert protocol.story == ["made", b"secret"]
            transport.close()
            await until(lambda: protocol.is_lost)
        for fd in (other_r, other_w, w):
            os.close(fd)

    run(loop, main())
    expected = ["Fatal read error on pipe transport"] if world.is_ours else []
    assert [report["message"] for report in reports] == expected


def test_a_writer_does_not_write_to_the_next_of_the_number(
    world: World, loop: Any, wrap: Any
) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        r, w = os.pipe()
        file = wrap(w, "w")
        async with writing(loop, file) as (transport, protocol):
            file.close()
            os.close(r)
            others = os.pipe(), os.pipe()
            numbers = [fd for pair in others for fd in pair]
            assert w in numbers
            # Whatever the number stands for now, nothing comes of this.
            transport.write(b"secret")
            if world.is_ours:
                assert transport.is_closing()
                await until(lambda: protocol.is_lost)
                assert protocol.story == ["made", ("lost", f"OSError({errno.EBADF})")]
                for other_r, _ in others:
                    os.set_blocking(other_r, False)
                    with pytest.raises(BlockingIOError):
                        os.read(other_r, 100)
        for fd in numbers:
            os.close(fd)

    run(loop, main())
    assert reports == []


def test_what_waits_is_not_written_to_the_next_of_the_number(world: World, loop: Any) -> None:
    if not world.is_ours:
        pytest.skip("asyncio writes to the number")

    async def main() -> None:
        r, w = os.pipe()
        file = open(w, "wb", 0)
        async with writing(loop, file) as (transport, protocol):
            transport.write(bytes(200_000))
            file.close()
            other = os.open(os.devnull, os.O_WRONLY)
            assert other == w
            transport._write_ready()
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", "pause", ("lost", f"OSError({errno.EBADF})")]
        os.close(other)
        os.close(r)

    run(loop, main())


def test_a_socket_that_its_owner_closed_below_the_pipe(world: World, loop: Any) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            async with writing(loop, ours) as (transport, protocol):
                ours.close()
                transport.write(b"x")
                await until(lambda: protocol.is_lost)
                assert protocol.story == ["made", ("lost", f"OSError({errno.EBADF})")]

    run(loop, main())


# asyncio has made half a transport, whose end fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_closed_file_is_no_pipe(world: World, loop: Any) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.close()
        with pytest.raises(OSError) as caught, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run(loop, loop.connect_read_pipe(Reader, ours))
            gc.collect()
        assert caught.value.errno == errno.EBADF


# --- Ends that come twice ---------------------------------------------------------


def test_a_pipe_that_is_aborted_twice_is_lost_once(world: World, loop: Any) -> None:
    # asyncio tells of the loss twice, and stumbles the second time.
    reports = gather_reports(loop)

    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            transport.write(bytes(200_000))
            transport.close()
            transport.abort()
            transport.abort()
            await until(lambda: protocol.is_lost)
            await turns()
            assert protocol.story == ["made", "pause", ("lost", None)]
        os.close(r)

    run(loop, main())
    if world.is_ours:
        assert reports == []
    else:
        assert {type(report["exception"]) for report in reports} == {AttributeError}


def test_what_is_written_before_a_close_in_resume_writing_arrives(world: World, loop: Any) -> None:
    # asyncio forgets what has to wait in between.
    class LastWords(Writer):
        def resume_writing(self) -> None:
            super().resume_writing()
            if not self.transport.is_closing():
                self.transport.write(bytes(300_000))
                self.transport.close()

    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w, LastWords) as (transport, protocol):
            transport.write(bytes(200_000))
            os.set_blocking(r, False)
            got = 0
            while not protocol.is_lost:
                try:
                    got += len(os.read(r, 10_000_000))
                except BlockingIOError:
                    pass
                await asyncio.sleep(0)
            while data := os.read(r, 10_000_000):
                got += len(data)
            if world.is_ours:
                assert got == 500_000
            else:
                assert got < 500_000
        os.close(r)

    run(loop, main())


# --- Writing in pieces ------------------------------------------------------------


def test_many_pieces_wait_and_arrive_in_order(world: World, loop: Any) -> None:
    # More than the kernel takes in one call.
    pieces = [b"%d," % number * (number % 7) for number in range(5000)]

    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, _):
            fill = bytes(100_000)
            transport.write(fill)
            for piece in pieces:
                transport.write(piece if len(piece) % 2 else bytearray(piece))
            expected = fill + b"".join(pieces)
            waiting = transport.get_write_buffer_size()
            assert bytes(transport._buffer) == expected[len(expected) - waiting :]
            assert await read_all(r, len(expected)) == expected
        os.close(r)

    run(loop, main())


def test_arguments_may_be_named(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            transport.set_protocol(protocol=protocol)
            transport.write(data=b"one")
            transport.writelines(list_of_data=[b" and ", b"two"])
            assert os.read(r, 100) == b"one and two"
            for attempt in (
                lambda: transport.write(),
                lambda: transport.write(b"x", b"y"),
                lambda: transport.write(bytes=b"x"),
                lambda: transport.write(b"x", data=b"y"),
                lambda: transport.set_protocol(),
            ):
                with pytest.raises(TypeError):
                    attempt()
            assert protocol.story == ["made"]
        os.close(r)

    run(loop, main())


def test_memory_in_pieces_breaks_the_pipe(world: World, loop: Any) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            transport.write(memoryview(b"abcdef")[::2])
            await until(lambda: protocol.is_lost)
            [report] = reports
            assert report["message"] == "Fatal write error on pipe transport"
            assert type(report["exception"]) is BufferError
            assert protocol.story == ["made", ("lost", said(report["exception"]))]
        os.close(r)

    run(loop, main())


def test_views_of_large_items_are_written_whole(world: World, loop: Any) -> None:
    # asyncio counts items for bytes, and never comes to an end with such a view.
    if not world.is_ours:
        pytest.skip("asyncio cannot")

    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, _):
            view = memoryview(bytes(range(256)) * 1000).cast("I")
            transport.write(view)
            assert transport.get_write_buffer_size() == 256_000 - 65_536
            transport.write(view)
            assert await read_all(r, 512_000) == bytes(view) * 2
        os.close(r)

    run(loop, main())


# --- Contexts and loops that look on ------------------------------------------------


def test_each_callback_has_the_context_that_asyncio_gives_it(world: World, loop: Any) -> None:
    contexts = Contexts()

    class Noting(Reader):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            contexts.note("made")

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            contexts.note(f"data {data.decode()}")

        def eof_received(self) -> None:
            contexts.note("eof")

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            contexts.note("lost")

    async def main() -> None:
        r, w = os.pipe()
        contexts.variable.set("main")
        async with reading(loop, r, Noting) as (transport, protocol):
            contexts.variable.set("later")
            os.write(w, b"1")
            await until(lambda: protocol.data == b"1")
            os.write(w, b"2")
            await until(lambda: protocol.data == b"12")
            transport.pause_reading()
            transport.resume_reading()
            os.write(w, b"3")
            await until(lambda: protocol.data == b"123")
            os.close(w)
            await until(lambda: protocol.is_lost)

    run(loop, main())
    assert contexts.seen == [
        ("made", "main"),
        ("data 1", "main"),
        ("data 2", "data 1"),
        ("data 3", "later"),
        ("eof", "data 3"),
        ("lost", "data 3"),
    ]


def test_a_loop_that_sees_every_step_sees_asyncios(world: World) -> None:
    names: list[str] = []

    class Watching(world.EventLoop):  # type: ignore[name-defined, misc]
        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
            name = getattr(callback, "__qualname__", "")
            if "Pipe" in name or name.startswith(("Reader.", "Writer.")):
                names.append(name.rpartition(".")[2])
            return super().call_soon(callback, *args, context=context)

    loop = Watching()

    async def main() -> None:
        r, w = os.pipe()
        async with reading(loop, r) as (_, read), writing(loop, w) as (writer, wrote):
            writer.write(bytes(100))
            await until(lambda: read.data == bytes(100))
            writer.close()
            await until(lambda: read.is_lost and wrote.is_lost)

    try:
        run(loop, main())
    finally:
        loop.close()
    expected = ["connection_made", "_add_reader", "connection_made", "_add_reader"]
    expected += ["_call_connection_lost", "eof_received", "_call_connection_lost"]
    if not world.is_ours:
        # The loop's own method watches the writing end.
        del expected[3]
    assert names == expected


def test_debug_mode_tells_the_same_story(world: World, loop: Any, logged: Log) -> None:
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    loop.set_debug(True)
    loop.slow_callback_duration = 100.0

    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            transport.write(bytes(200_000))
            assert len(await read_all(r, 200_000)) == 200_000
            os.close(r)
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", "pause", "resume", ("lost", None)]
            assert [text for text in logged.texts() if text.endswith("was closed by peer")]
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            os.close(r)
            transport.write(b"x")
            await until(lambda: protocol.is_lost)
            texts = logged.texts()
            assert [text for text in texts if ": Fatal write error on pipe transport" in text]

    try:
        run(loop, main())
    finally:
        logging.getLogger("asyncio").setLevel(logging.NOTSET)


# --- What is let go ---------------------------------------------------------------


@pytest.mark.parametrize("end", ["reading", "writing"])
def test_an_abandoned_pair_of_transport_and_protocol_is_collected(
    world: World, loop: Any, end: str
) -> None:
    r, w = os.pipe()
    if end == "reading":
        file: Any = open(r, "rb", 0)
        pair = list(run(loop, loop.connect_read_pipe(Reader, file)))
        pair[0].pause_reading()
    else:
        os.close(w)
        w = os.open(os.devnull, os.O_WRONLY)
        file = open(w, "wb", 0)
        pair = list(run(loop, loop.connect_write_pipe(Writer, file)))
    assert shape(pair[0]) == ("< fd=N idle>" if end == "reading" else "< fd=N idle bufsize=0>")
    check_abandoned(pair)
    assert file.closed
    os.close(w if end == "reading" else r)


def test_a_transport_refers_to_what_it_holds(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with reading(loop, r) as (reader, _), writing(loop, w) as (writer, _):
            for transport in (reader, writer):
                check_references(world, transport, ("_pipe", "_protocol", "_loop", "_extra"))

    run(loop, main())


def test_pipes_leave_no_objects(world: World, loop: Any) -> None:
    async def one() -> None:
        r, w = os.pipe()
        async with reading(loop, r) as (_, read), writing(loop, w) as (writer, _):
            writer.write(bytes(100_000))
            writer.write(b"more")
            await until(lambda: len(read.data) == 100_004)
            writer.close()
            await until(lambda: read.is_lost)

    check_leaves_no_objects(loop, one)


def test_the_standard_streams_may_be_pipes(world: World, loop: Any) -> None:
    # As programs do with sys.stdin and sys.stdout.
    async def main() -> None:
        r, w = os.pipe()
        stdin = io.TextIOWrapper(open(r, "rb"))
        stdout = io.TextIOWrapper(open(w, "wb"))
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), stdin)
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, stdout
        )
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        for number in range(1000):
            writer.write(b"line %d\n" % number)
            await writer.drain()
        writer.close()
        lines = [line async for line in reader]
        assert lines == [b"line %d\n" % number for number in range(1000)]
        await turns()
        assert stdin.closed and stdout.closed

    run(loop, main())
