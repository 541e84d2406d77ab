"""How a pipe ends: closed, aborted, left by its peer, or in the middle of a failing protocol."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import resource
import socket
from typing import Any

import pytest
from conftest import Log, World
from io_tools import (
    Reader,
    Writer,
    failing,
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

# --- The writing end ----------------------------------------------------------------


def test_a_closed_pipe_writes_what_waits(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            transport.write(bytes(200_000))
            transport.write(b"last")
            transport.close()
            transport.close()
            assert transport.is_closing()
            await turns()
            assert protocol.story == ["made", "pause"]
            got = await read_all(r, 200_004)
            assert got == bytes(200_000) + b"last"
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", "pause", "resume", ("lost", None)]
            assert not is_open(w)
            assert os.read(r, 10) == b""
        os.close(r)

    run(loop, main())


def test_write_eof_closes_the_pipe(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            assert transport.can_write_eof()
            transport.write(bytes(200_000))
            transport.write_eof()
            assert transport.is_closing()
            transport.write_eof()
            transport.write(b"too late")
            assert len(await read_all(r, 200_000)) == 200_000
            await until(lambda: protocol.is_lost)
            assert os.read(r, 10) == b""
        os.close(r)

    run(loop, main())


def test_an_aborted_pipe_drops_what_waits(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            transport.write(bytes(200_000))
            taken = 200_000 - transport.get_write_buffer_size()
            transport.abort()
            assert transport.get_write_buffer_size() == 0
            assert protocol.story == ["made", "pause"]
            transport.close()
            await until(lambda: protocol.is_lost)
            await turns()
            assert protocol.story == ["made", "pause", ("lost", None)]
            assert len(await read_all(r, taken)) == taken
            assert os.read(r, 10) == b""
        os.close(r)

    run(loop, main())


def test_nothing_is_written_after_close(world: World, loop: Any, logged: Log) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            transport.write(b"in time")
            transport.close()
            text = "pipe closed by peer or os.write(pipe, data) raised exception."
            for count in range(8):
                transport.write(b"too late")
                told = logged.texts(logging.WARNING)
                assert told == [text] * max(0, count - 4)
            await until(lambda: protocol.is_lost)
            assert os.read(r, 100) == b"in time"
            assert os.read(r, 100) == b""
        os.close(r)

    run(loop, main())


def test_a_reader_that_goes_is_noticed_at_once(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            transport.write(b"nobody reads this")
            await turns()
            os.close(r)
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", ("lost", None)]
            assert transport.is_closing()

    run(loop, main())


def test_a_reader_that_goes_while_much_waits_breaks_the_pipe(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            transport.write(bytes(200_000))
            await turns()
            os.close(r)
            await until(lambda: protocol.is_lost)
            # Read and write readiness come together; the read side is asked first.
            assert protocol.story == ["made", "pause", ("lost", "BrokenPipeError: ")]
            assert transport.get_write_buffer_size() == 0

    run(loop, main())


def test_a_write_that_finds_the_reader_gone_breaks_the_pipe(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, protocol):
            os.close(r)
            transport.write(b"data")
            assert transport.is_closing()
            assert protocol.story == ["made"]
            for _ in range(3):
                transport.write(b"ignored")
            await until(lambda: protocol.is_lost)
            await turns()
            assert protocol.story == ["made", ("lost", "BrokenPipeError(32)")]

    run(loop, main())


def test_a_socket_whose_peer_speaks_counts_as_closed(world: World, loop: Any) -> None:
    # asyncio takes anything to read on the writing end for its end.
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            async with writing(loop, ours) as (_, protocol):
                theirs.send(b"hello")
                await until(lambda: protocol.is_lost)
                assert protocol.story == ["made", ("lost", None)]

    run(loop, main())


def test_a_broken_pipe_is_no_news_for_the_exception_handler(world: World, loop: Any) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        for patch in (b"x", bytes(200_000)):
            r, w = os.pipe()
            async with writing(loop, w) as (transport, protocol):
                os.close(r)
                transport.write(patch)
                await until(lambda protocol=protocol: protocol.is_lost)
                assert protocol.story[-1] == ("lost", "BrokenPipeError(32)")

    run(loop, main())
    assert reports == []


# --- The reading end ----------------------------------------------------------------


def test_a_closed_reader_closes_its_pipe_without_an_end(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with reading(loop, r) as (transport, protocol):
            os.write(w, b"unread")
            transport.close()
            transport.close()
            assert transport.is_closing()
            assert protocol.story == ["made"]
            await until(lambda: protocol.is_lost)
            await turns()
            assert protocol.story == ["made", ("lost", None)]
            assert not is_open(r)
        os.close(w)

    run(loop, main())


def test_a_paused_reader_does_not_see_the_end(world: World, loop: Any) -> None:
    async def main() -> None:
        r, w = os.pipe()
        async with reading(loop, r) as (transport, protocol):
            transport.pause_reading()
            os.write(w, b"data")
            os.close(w)
            await turns(5)
            assert protocol.story == ["made"]
            transport.resume_reading()
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", b"data", "eof", ("lost", None)]

    run(loop, main())


def test_the_end_and_the_loss_are_two_callbacks_of_one_turn(world: World, loop: Any) -> None:
    class Ends(Reader):
        def eof_received(self) -> Any:
            super().eof_received()
            loop.call_soon(self.story.append, "soon")
            # Unlike a socket, a pipe cannot be kept open.
            return True

    async def main() -> None:
        r, w = os.pipe()
        async with reading(loop, r, Ends) as (_, protocol):
            os.close(w)
            await until(lambda: "soon" in protocol.story)
            assert protocol.story == ["made", "eof", ("lost", None), "soon"]

    run(loop, main())


def test_a_read_error_is_told_to_the_protocol_and_reported(world: World, loop: Any) -> None:
    # The writing end of a pipe cannot be read.
    reports = gather_reports(loop)

    async def main() -> None:
        r, w = os.pipe()
        file = open(w, "wb", 0)
        async with reading(loop, file) as (transport, protocol):
            os.close(r)
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", ("lost", f"OSError({errno.EBADF})")]
            [report] = reports
            assert report["message"] == "Fatal read error on pipe transport"
            assert report["transport"] is transport
            assert report["protocol"] is protocol
            assert said(report["exception"]) == f"OSError({errno.EBADF})"
        assert file.closed

    run(loop, main())


def test_a_pipe_is_closed_once(world: World, loop: Any) -> None:
    # Its number may be somebody else's by the time that the transport and the file are deleted.
    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (writer, wrote), reading(loop, r) as (reader, read):
            writer.close()
            await until(lambda: read.is_lost and wrote.is_lost)
        r_again, w_again = os.pipe()
        assert {r_again, w_again} == {r, w}
        reader.close()
        writer.close()
        read.transport = wrote.transport = None
        reader = writer = read = wrote = None
        gc.collect()
        assert is_open(r) and is_open(w)
        os.close(r)
        os.close(w)

    run(loop, main())


# --- Protocols that fail ---------------------------------------------------------------


@pytest.mark.parametrize(
    "where", ["connection_made", "data_received", "eof_received", "connection_lost"]
)
def test_what_a_reader_raises_is_reported_and_the_pipe_goes_on(
    world: World, loop: Any, where: str
) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        r, w = os.pipe()
        async with reading(loop, r, failing(Reader, where)) as (transport, protocol):
            for data in (b"1", b"2"):
                os.write(w, data)
                await until(lambda data=data: data in protocol.story)
            os.close(w)
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", b"1", b"2", "eof", ("lost", None)]
        assert shape(transport) == "< closed fd=N closed>"
        assert not is_open(r)

    run(loop, main())
    count = 2 if where == "data_received" else 1
    assert [said(report["exception"]) for report in reports] == [f"LookupError: {where}"] * count
    assert all(report["message"].startswith("Exception in callback ") for report in reports)


@pytest.mark.parametrize("where", ["connection_made", "resume_writing", "connection_lost"])
def test_what_a_writer_raises_is_reported_and_the_pipe_goes_on(
    world: World, loop: Any, where: str
) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w, failing(Writer, where)) as (transport, protocol):
            transport.write(bytes(200_000))
            assert len(await read_all(r, 200_000)) == 200_000
            await turns()
            assert protocol.story == ["made", "pause", "resume"]
            transport.close()
            await until(lambda: protocol.is_lost)
        assert shape(transport) == "< closed fd=N closed>"
        assert not is_open(w)
        os.close(r)

    run(loop, main())
    assert [said(report["exception"]) for report in reports] == [f"LookupError: {where}"]
    if where == "resume_writing":
        assert reports[0]["message"] == "protocol.resume_writing() failed"
        assert {"exception", "transport", "protocol"} < set(reports[0])


def test_what_pause_writing_raises_is_reported(world: World, loop: Any) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w, failing(Writer, "pause_writing")) as (transport, protocol):
            transport.write(bytes(200_000))
            [report] = reports
            assert report["message"] == "protocol.pause_writing() failed"
            assert said(report["exception"]) == "LookupError: pause_writing"
            assert report["transport"] is transport
            assert report["protocol"] is protocol
            assert len(await read_all(r, 200_000)) == 200_000
            await turns()
            assert protocol.story == ["made", "pause", "resume"]
        os.close(r)

    run(loop, main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_reader_may_interrupt_the_loop(
    world: World, loop: Any, kind: type[BaseException]
) -> None:
    class Interrupts(Reader):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if data == b"1":
                raise kind

    r, w = os.pipe()
    _, protocol = run(loop, loop.connect_read_pipe(Interrupts, open(r, "rb", 0)))
    os.write(w, b"1")
    with pytest.raises(kind):
        loop.run_forever()
    os.write(w, b"2")
    os.close(w)
    world.run_until(loop, lambda: protocol.is_lost)
    assert protocol.story == ["made", b"1", b"2", "eof", ("lost", None)]


def test_a_writer_may_write_more_when_it_is_resumed(world: World, loop: Any) -> None:
    class WritesMore(Writer):
        def resume_writing(self) -> None:
            super().resume_writing()
            if len(self.story) < 6:
                self.transport.write(bytes(200_000))

    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w, WritesMore) as (transport, protocol):
            transport.write(bytes(200_000))
            assert len(await read_all(r, 600_000)) == 600_000
            await turns()
            assert protocol.story == ["made", *["pause", "resume"] * 3]
        os.close(r)

    run(loop, main())


# --- Pipes and the loop's other duties ----------------------------------------------------


def test_a_closed_loop_lets_go_of_its_pipes(world: World) -> None:
    loop = world.new_event_loop()
    r, w = os.pipe()
    transport, protocol = loop.run_until_complete(loop.connect_read_pipe(Reader, open(r, "rb", 0)))
    loop.close()
    assert protocol.story == ["made"]
    assert "fd=" in repr(transport)
    protocol.transport = None
    with pytest.warns(ResourceWarning, match="^unclosed transport <"):
        del transport
        gc.collect()
    assert not is_open(r)
    os.close(w)


def test_debug_mode_tells_of_pipes(world: World, loop: Any, logged: Log) -> None:
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    loop.set_debug(True)
    loop.slow_callback_duration = 100.0

    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (_, wrote), reading(loop, r) as (reader, read):
            reader.pause_reading()
            reader.resume_reading()
            await turns()
            os.close(os.dup(r))
            wrote.transport.close()
            await until(lambda: read.is_lost)
        texts = logged.texts()
        for start, end in (
            (f"Write pipe {w} connected: (<", ")"),
            (f"Read pipe {r} connected: (<", ")"),
            ("<", " pauses reading"),
            ("<", " resumes reading"),
            ("<", " was closed by peer"),
        ):
            assert [t for t in texts if t.startswith(start) and t.endswith(end)], texts

    try:
        run(loop, main())
    finally:
        logging.getLogger("asyncio").setLevel(logging.NOTSET)


def test_many_pipes_at_once(world: World, loop: Any) -> None:
    count = min(200, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)

    async def one(number: int) -> None:
        r, w = os.pipe()
        async with reading(loop, r) as (_, read), writing(loop, w) as (writer, _):
            for _ in range(3):
                writer.write(b"%d " % number)
                await asyncio.sleep(0)
            writer.close()
            await until(lambda: read.is_lost)
            assert read.data == b"%d " % number * 3

    async def main() -> None:
        await asyncio.gather(*map(one, range(count)))

    run(loop, main())


def test_a_pipe_of_one_byte_at_a_time_loses_none(world: World, loop: Any) -> None:
    data = bytes(range(256)) * 300

    async def main() -> None:
        r, w = os.pipe()
        async with writing(loop, w) as (transport, _):
            transport.write(data)
            got = bytearray()
            os.set_blocking(r, False)
            sizes = [1, 2, 3, 4095, 4096, 4097, 5, 70_000]
            while len(got) < len(data):
                for size in sizes:
                    try:
                        got += os.read(r, size)
                    except BlockingIOError:
                        break
                await asyncio.sleep(0)
            assert bytes(got) == data
        os.close(r)

    run(loop, main())
