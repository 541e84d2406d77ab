"""sendfile and sock_sendfile: files on their way into transports and sockets."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import select
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from conftest import World
from io_tools import PY, listening, pair, refusal, run, tcp, turns, until

DATA = bytes(range(256)) * 2000 + b"end"


def is_readable(sock: Any) -> bool:
    """Whether something has come for it that nobody has read yet."""
    return bool(select.select([sock], [], [], 0)[0])


class Peer(asyncio.Protocol):
    """Writes down what it is told; the story has one word for all the data it got in a row."""

    def __init__(self) -> None:
        self.story: list[str] = []
        self.data = b""
        self.is_lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def say(self, word: str) -> None:
        if self.story[-1:] != [word]:
            self.story.append(word)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.say("data")

    def eof_received(self) -> None:
        self.say("eof")

    def pause_writing(self) -> None:
        self.say("pause")

    def resume_writing(self) -> None:
        self.say("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.say("lost")
        self.is_lost = True


@contextlib.asynccontextmanager
async def connection(loop: Any) -> AsyncIterator[tuple[Any, Any]]:
    """The protocols of the two ends of a TCP connection, gone at the end."""
    with listening() as server, contextlib.ExitStack() as stack:
        # Not all of what the tests write is to fit into the kernel's buffers.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
        client = stack.enter_context(tcp())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 128 * 1024)
        await loop.sock_connect(client, server.getsockname())
        accepted, _ = await loop.sock_accept(server)
        _, nearer = await loop.create_connection(Peer, sock=client)
        stack.pop_all()
    _, farther = await loop.connect_accepted_socket(Peer, accepted)
    try:
        yield nearer, farther
    finally:
        for protocol in (nearer, farther):
            if not protocol.is_lost:
                protocol.transport.abort()
                await until(lambda protocol=protocol: protocol.is_lost)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    result = tmp_path / "file"
    result.write_bytes(DATA)
    return result


# What is sent of DATA, and where the file stands afterwards.
PARTS = [
    ({}, DATA),
    ({"offset": 1000}, DATA[1000:]),
    ({"offset": 1000, "count": 2000}, DATA[1000:3000]),
    ({"count": 1}, DATA[:1]),
    ({"offset": len(DATA) - 5, "count": 100}, DATA[-5:]),
    ({"offset": len(DATA)}, b""),
    ({"offset": len(DATA) + 10, "count": 100}, b""),
    ({"offset": 5, "count": None}, DATA[5:]),
]


# --- sendfile ----------------------------------------------------------------------


@pytest.mark.parametrize("fallback", [True, False])
@pytest.mark.parametrize(("kwargs", "expected"), PARTS)
def test_a_part_of_a_file_is_sent(
    world: World, loop: Any, path: Path, kwargs: dict[str, Any], expected: bytes, fallback: bool
) -> None:
    async def main() -> None:
        async with connection(loop) as (near, far):
            with path.open("rb") as file:
                file.seek(7)
                sent = await loop.sendfile(near.transport, file, **kwargs, fallback=fallback)
                assert sent == len(expected)
                await until(lambda: len(far.data) == len(expected))
                assert far.data == expected
                if expected:
                    assert file.tell() == kwargs.get("offset", 0) + len(expected)

    run(loop, main())


@pytest.mark.parametrize(("kwargs", "expected"), PARTS)
def test_what_is_no_file_of_the_kernel_is_read_and_written(
    world: World, loop: Any, kwargs: dict[str, Any], expected: bytes
) -> None:
    async def main() -> None:
        async with connection(loop) as (near, far):
            file = io.BytesIO(DATA)
            sent = await loop.sendfile(near.transport, file, **kwargs)
            assert sent == len(expected)
            await until(lambda: len(far.data) == len(expected))
            assert far.data == expected
            if expected:
                assert file.tell() == kwargs.get("offset", 0) + len(expected)
            assert near.transport.get_protocol() is near

    run(loop, main())


def test_without_the_fallback_it_has_to_be_a_file_of_the_kernel(world: World, loop: Any) -> None:
    async def main() -> None:
        async with connection(loop) as (near, far):
            for file in (io.BytesIO(DATA), object()):
                with pytest.raises(asyncio.SendfileNotAvailableError) as caught:
                    await loop.sendfile(near.transport, file, fallback=False)
                assert str(caught.value) == "not a regular file"
            near.transport.write(b"goes on")
            await until(lambda: far.data == b"goes on")

    run(loop, main())


def test_an_empty_file_sends_nothing(world: World, loop: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    async def main() -> None:
        async with connection(loop) as (near, far):
            with open(tmp_path / "empty", "rb") as file:
                for fallback in (True, False):
                    assert await loop.sendfile(near.transport, file, fallback=fallback) == 0
            assert await loop.sendfile(near.transport, io.BytesIO()) == 0
            await turns()
            assert far.story == []

    run(loop, main())


@pytest.mark.parametrize("native", [True, False])
def test_what_was_written_before_goes_before(
    world: World, loop: Any, path: Path, native: bool
) -> None:
    before, after = b"<" * 3_000_000, b">" * 1000

    async def main() -> None:
        async with connection(loop) as (near, far):
            far.transport.pause_reading()
            near.transport.write(before)
            assert near.transport.get_write_buffer_size() > 0
            with path.open("rb") if native else io.BytesIO(DATA) as file:
                sending = asyncio.ensure_future(loop.sendfile(near.transport, file))
                await turns()
                far.transport.resume_reading()
                assert await sending == len(DATA)
            near.transport.write(after)
            near.transport.write_eof()
            await until(lambda: "eof" in far.story)
            assert far.data == before + DATA + after

    run(loop, main())


@pytest.mark.parametrize("native", [True, False])
def test_reading_rests_while_a_file_is_sent(
    world: World, loop: Any, path: Path, native: bool
) -> None:
    async def main() -> None:
        async with connection(loop) as (near, far):
            far.transport.pause_reading()
            near.transport.write(bytes(3_000_000))
            far.transport.write(b"meanwhile")
            with path.open("rb") if native else io.BytesIO(DATA) as file:
                sending = asyncio.ensure_future(loop.sendfile(near.transport, file))
                await turns(1)
                assert not near.transport.is_reading()
                await turns(5)
                assert near.data == b""
                far.transport.resume_reading()
                await sending
            assert near.transport.is_reading()
            await until(lambda: near.data == b"meanwhile")

    run(loop, main())


@pytest.mark.parametrize("native", [True, False])
def test_a_paused_reader_stays_paused(world: World, loop: Any, path: Path, native: bool) -> None:
    async def main() -> None:
        async with connection(loop) as (near, far):
            near.transport.pause_reading()
            with path.open("rb") if native else io.BytesIO(DATA) as file:
                await loop.sendfile(near.transport, file)
            assert not near.transport.is_reading()
            far.transport.write(b"later")
            await turns(5)
            assert near.data == b""
            near.transport.resume_reading()
            await until(lambda: near.data == b"later")

    run(loop, main())


def test_nothing_can_be_written_while_a_file_is_sent(world: World, loop: Any, path: Path) -> None:
    async def main() -> None:
        async with connection(loop) as (near, far):
            far.transport.pause_reading()
            near.transport.write(bytes(3_000_000))
            with path.open("rb") as file:
                sending = asyncio.ensure_future(loop.sendfile(near.transport, file))
                await turns(1)
                with pytest.raises(RuntimeError) as caught:
                    near.transport.write(b"x")
                assert str(caught.value) == "unable to write; sendfile is in progress"
                # 3.11 has no writelines() of its own.
                call = "write" if PY == (3, 11) else "writelines"
                with pytest.raises(RuntimeError) as caught:
                    near.transport.writelines([b"x"])
                assert str(caught.value) == f"unable to {call}; sendfile is in progress"
                far.transport.resume_reading()
                assert await sending == len(DATA)
            await until(lambda: len(far.data) == 3_000_000 + len(DATA))

    run(loop, main())


def test_files_one_after_another(world: World, loop: Any, path: Path) -> None:
    async def main() -> None:
        async with connection(loop) as (near, far):
            with path.open("rb") as file:
                for number in range(5):
                    near.transport.write(b"%d" % number)
                    assert await loop.sendfile(near.transport, file, count=1000) == 1000
            await until(lambda: len(far.data) == 5005)
            assert far.data == b"".join(b"%d" % number + DATA[:1000] for number in range(5))

    run(loop, main())


@pytest.mark.parametrize("native", [True, False])
def test_a_peer_that_goes_in_the_middle(world: World, loop: Any, path: Path, native: bool) -> None:
    data = DATA * 20

    async def main() -> None:
        with listening() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
            near, nearer = await loop.create_connection(Peer, *server.getsockname())
            accepted, _ = await loop.sock_accept(server)
        path.write_bytes(data)
        with path.open("rb") if native else io.BytesIO(data) as file:
            sending = asyncio.ensure_future(loop.sendfile(near, file))
            await loop.sock_recv(accepted, 1000)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()
            with pytest.raises(ConnectionError):
                await sending
            assert 0 < file.tell() < len(data)
        near.abort()
        await until(lambda: nearer.is_lost)
        assert nearer.story in (["lost"], ["pause", "lost"], ["pause", "resume", "lost"])

    run(loop, main())


def test_a_cancelled_sendfile_has_sent_a_beginning(world: World, loop: Any, path: Path) -> None:
    path.write_bytes(DATA * 20)

    async def main() -> None:
        async with connection(loop) as (near, far):
            far.transport.pause_reading()
            with path.open("rb") as file:
                sending = asyncio.ensure_future(loop.sendfile(near.transport, file))
                await until(lambda: is_readable(far.transport.get_extra_info("socket")))
                assert not sending.done()
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
            assert near.transport.is_reading()
            near.transport.write(b"after")
            far.transport.resume_reading()
            await until(lambda: far.data.endswith(b"after"))
            sent = far.data[: -len(b"after")]
            assert 0 < len(sent) < len(DATA) * 20
            assert (DATA * 20).startswith(sent)

    run(loop, main())


def test_a_closing_transport_takes_no_file(world: World, loop: Any, path: Path) -> None:
    async def main() -> None:
        async with connection(loop) as (near, _):
            near.transport.close()
            with path.open("rb") as file:
                told = await refusal(loop.sendfile(near.transport, file))
            assert told == "RuntimeError: Transport is closing"

    run(loop, main())


def test_other_transports_take_no_file(world: World, loop: Any, path: Path) -> None:
    async def main() -> None:
        r, w = os.pipe()
        transport, protocol = await loop.connect_write_pipe(Peer, open(w, "wb", 0))
        with path.open("rb") as file:
            for fallback in (True, False):
                told = await refusal(loop.sendfile(transport, file, fallback=fallback))
                assert told == (
                    f"RuntimeError: sendfile is not supported for transport {transport!r}"
                )
        transport.close()
        await until(lambda: protocol.is_lost)
        os.close(r)

    run(loop, main())


# --- sock_sendfile --------------------------------------------------------------------


@contextlib.asynccontextmanager
async def sockets(loop: Any) -> AsyncIterator[tuple[Any, Any]]:
    with listening() as server, tcp() as near:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
        await loop.sock_connect(near, server.getsockname())
        far, _ = await loop.sock_accept(server)
        with far:
            yield near, far


async def receive(loop: Any, sock: Any, size: int) -> bytes:
    result = bytearray()
    while len(result) < size:
        result += await loop.sock_recv(sock, size - len(result))
    return bytes(result)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(("kwargs", "expected"), PARTS)
def test_a_socket_takes_a_part_of_a_file(
    world: World, loop: Any, path: Path, kwargs: dict[str, Any], expected: bytes, native: bool
) -> None:
    async def main() -> None:
        async with sockets(loop) as (near, far):
            with path.open("rb") if native else io.BytesIO(DATA) as file:
                receiving = asyncio.ensure_future(receive(loop, far, len(expected)))
                assert await loop.sock_sendfile(near, file, **kwargs) == len(expected)
                assert await receiving == expected
                if expected:
                    assert file.tell() == kwargs.get("offset", 0) + len(expected)

    run(loop, main())


def test_a_unix_socket_takes_a_file_too(world: World, loop: Any, path: Path) -> None:
    async def main() -> None:
        near, far = pair()
        with near, far, path.open("rb") as file:
            receiving = asyncio.ensure_future(receive(loop, far, len(DATA)))
            assert await loop.sock_sendfile(near, file, fallback=False) == len(DATA)
            assert await receiving == DATA

    run(loop, main())


def test_a_socket_without_the_fallback(world: World, loop: Any) -> None:
    async def main() -> None:
        async with sockets(loop) as (near, far):
            with pytest.raises(asyncio.SendfileNotAvailableError) as caught:
                await loop.sock_sendfile(near, io.BytesIO(DATA), fallback=False)
            assert str(caught.value) == "not a regular file"
            r, w = os.pipe()
            os.write(w, DATA[:1000])
            os.close(w)
            with open(r, "rb", 0) as pipe:
                # A pipe has no size; asyncio takes it for an empty file.
                assert await loop.sock_sendfile(near, pipe, fallback=False) == 0
                told = await refusal(loop.sock_sendfile(near, pipe, count=1000, fallback=False))
                if PY >= (3, 14):
                    # It puts the position back before it tells of the failure.
                    assert told == "OSError(29)"
                else:
                    assert told == "SendfileNotAvailableError: os.sendfile call failed"
            with pytest.raises(BlockingIOError):
                far.recv(1)

    run(loop, main())


BAD = [
    ({"count": 0}, "ValueError: count must be a positive integer (got 0)"),
    ({"count": -1}, "ValueError: count must be a positive integer (got -1)"),
    ({"count": "1"}, "TypeError: count must be a positive integer (got '1')"),
    ({"count": 1.0}, "TypeError: count must be a positive integer (got 1.0)"),
    ({"offset": -1}, "ValueError: offset must be a non-negative integer (got -1)"),
    ({"offset": "1"}, "TypeError: offset must be a non-negative integer (got '1')"),
    ({"offset": None}, "TypeError: offset must be a non-negative integer (got None)"),
]


@pytest.mark.parametrize(("kwargs", "told"), BAD)
def test_wrong_numbers_are_refused(
    world: World, loop: Any, path: Path, kwargs: dict[str, Any], told: str
) -> None:
    async def main() -> None:
        near, far = pair()
        with near, far, path.open("rb") as file:
            assert await refusal(loop.sock_sendfile(near, file, **kwargs)) == told
        async with connection(loop) as (near, far):
            with path.open("rb") as file:
                got = await refusal(loop.sendfile(near.transport, file, **kwargs))
                assert got == told
            # The transport is as it was.
            near.transport.write(b"goes on")
            far.transport.write(b"goes on")
            await until(lambda: far.data == near.data == b"goes on")

    run(loop, main())


def test_a_text_file_is_refused(world: World, loop: Any, path: Path) -> None:
    told = "ValueError: file should be opened in binary mode"

    async def main() -> None:
        near, far = pair()
        with near, far, path.open(encoding="latin-1") as file:
            assert await refusal(loop.sock_sendfile(near, file)) == told
        async with connection(loop) as (near, _):
            with path.open(encoding="latin-1") as file:
                assert await refusal(loop.sendfile(near.transport, file)) == told

    run(loop, main())


def test_wrong_sockets_are_refused(world: World, loop: Any, path: Path) -> None:
    async def main() -> None:
        near, far = pair(socket.SOCK_DGRAM)
        with near, far, path.open("rb") as file:
            told = "ValueError: only SOCK_STREAM type sockets are supported"
            assert await refusal(loop.sock_sendfile(near, file)) == told
        near, far = pair()
        with near, far, path.open("rb") as file:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            with context.wrap_socket(near, do_handshake_on_connect=False) as wrapped:
                told = "TypeError: Socket cannot be of type SSLSocket"
                assert await refusal(loop.sock_sendfile(wrapped, file)) == told
        near, far = pair()
        with near, far, path.open("rb") as file:
            near.settimeout(1)
            loop.set_debug(True)
            loop.slow_callback_duration = 100.0
            told = "ValueError: the socket must be non-blocking"
            assert await refusal(loop.sock_sendfile(near, file)) == told
            loop.set_debug(False)

    run(loop, main())


def test_a_cancelled_sock_sendfile_leaves_the_socket_usable(
    world: World, loop: Any, path: Path
) -> None:
    path.write_bytes(DATA * 20)

    async def main() -> None:
        near, far = pair()
        with near, far, path.open("rb") as file:
            sending = asyncio.ensure_future(loop.sock_sendfile(near, file))
            await until(lambda: is_readable(far))
            assert not sending.done()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert loop.remove_writer(near.fileno()) is False
            near.shutdown(socket.SHUT_WR)
            got = bytearray()
            while piece := await loop.sock_recv(far, 1 << 20):
                got += piece
            assert 0 < len(got) < len(DATA) * 20
            assert (DATA * 20).startswith(got)

    run(loop, main())


def test_a_socket_that_is_not_connected_takes_no_file(world: World, loop: Any, path: Path) -> None:
    async def main() -> None:
        with tcp() as near, path.open("rb") as file:
            with pytest.raises(asyncio.SendfileNotAvailableError) as caught:
                await loop.sock_sendfile(near, file, fallback=False)
            assert str(caught.value) == "os.sendfile call failed"
            # The fallback tries to send, and says what is wrong.
            assert await refusal(loop.sock_sendfile(near, file)) == "BrokenPipeError(32)"

    run(loop, main())
