"""sock_recv, sock_sendall and their kin: what they do, at once and after a wait, and refuse."""

from __future__ import annotations

import array
import asyncio
import errno
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from conftest import World
from io_tools import MIB, crowd, listening, narrow, pair, refusal, run, said, tcp, turns, udp, until

# --- Receiving -------------------------------------------------------------------


def test_recv_gives_what_is_there(world: World, loop: Any) -> None:
    async def main() -> None:
        left, right = pair()
        with left, right:
            right.send(b"abcdef")
            assert await loop.sock_recv(left, 4) == b"abcd"
            assert await loop.sock_recv(left, 100) == b"ef"
            assert await loop.sock_recv(left, 0) == b""

    run(loop, main())


def test_recv_of_what_is_there_takes_no_turn(world: World, loop: Any) -> None:
    left, right = pair()
    with left, right:
        right.send(b"here")
        with pytest.raises(StopIteration) as caught:
            next(loop.sock_recv(left, 4).__await__())
        assert caught.value.value == b"here"


def test_nothing_happens_before_it_is_awaited(world: World, loop: Any) -> None:
    async def main() -> None:
        left, right = pair()
        with left, right:
            right.send(b"here")
            calls = [loop.sock_recv(left, 4), loop.sock_recv_into(left, bytearray(4))]
            calls += [loop.sock_sendall(left, b"never"), loop.sock_accept(left)]
            for call in calls:
                assert asyncio.iscoroutine(call)
                call.close()
            assert await loop.create_task(loop.sock_recv(left, 100)) == b"here"
            with pytest.raises(BlockingIOError):
                right.recv(100)

    run(loop, main())


def test_recv_waits_for_data_and_for_the_end(world: World, loop: Any) -> None:
    async def main() -> None:
        left, right = pair()
        with left, right:
            for data in (b"first", b"second"):
                receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
                await turns()
                assert not receiving.done()
                right.send(data)
                assert await receiving == data
            receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
            await turns()
            right.close()
            assert await receiving == b""
            assert await loop.sock_recv(left, 100) == b""

    run(loop, main())


@pytest.mark.parametrize("waits", [False, True])
def test_recv_into_fills_a_buffer(world: World, loop: Any, waits: bool) -> None:
    async def main() -> None:
        left, right = pair()
        with left, right:
            for buffer in (bytearray(8), memoryview(bytearray(8)), array.array("H", bytes(8))):
                if not waits:
                    right.send(b"abcde")
                receiving = asyncio.ensure_future(loop.sock_recv_into(left, buffer))
                await turns()
                if waits:
                    right.send(b"abcde")
                assert await receiving == 5
                assert bytes(buffer) == b"abcde\0\0\0"
            right.send(b"0123456789")
            assert await loop.sock_recv_into(left, memoryview(bytearray(8))[2:]) == 6
            assert await loop.sock_recv(left, 10) == b"6789"

    run(loop, main())


def test_recv_into_sees_the_end(world: World, loop: Any) -> None:
    async def main() -> None:
        left, right = pair()
        with left, right:
            receiving = asyncio.ensure_future(loop.sock_recv_into(left, bytearray(3)))
            await turns()
            right.close()
            assert await receiving == 0

    run(loop, main())


@pytest.mark.parametrize("waits", [False, True])
def test_recvfrom_says_who_sent(world: World, loop: Any, waits: bool) -> None:
    async def main() -> None:
        with udp() as left, udp() as right:
            name = right.getsockname()
            buffer = bytearray(6)
            for receive, expected in (
                (lambda: loop.sock_recvfrom(left, 100), (b"datagram", name)),
                (lambda: loop.sock_recvfrom(left, 4), (b"data", name)),
                (lambda: loop.sock_recvfrom_into(left, buffer), (6, name)),
                (lambda: loop.sock_recvfrom_into(left, buffer, 4), (4, name)),
            ):
                if not waits:
                    right.sendto(b"datagram", left.getsockname())
                receiving = asyncio.ensure_future(receive())
                await turns()
                if waits:
                    right.sendto(b"datagram", left.getsockname())
                assert await receiving == expected
            assert buffer == b"datagr"

    run(loop, main())


def test_an_empty_datagram_is_no_end(world: World, loop: Any) -> None:
    async def main() -> None:
        with udp() as left, udp() as right:
            right.sendto(b"", left.getsockname())
            assert await loop.sock_recvfrom(left, 100) == (b"", right.getsockname())

    run(loop, main())


# --- Sending -----------------------------------------------------------------------


def test_sendall_sends_what_fits_without_a_turn(world: World, loop: Any) -> None:
    left, right = pair()
    with left, right:
        for data in (b"bytes", bytearray(b"array"), memoryview(b"a view")[2:], b""):
            with pytest.raises(StopIteration) as caught:
                next(loop.sock_sendall(left, data).__await__())
            assert caught.value.value is None
        assert right.recv(100) == b"bytesarrayview"


@pytest.mark.parametrize("size", [100_000, 5 * MIB, pytest.param(64 * MIB, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_sendall_sends_all(world: World, loop: Any, kind: str, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"end"
    buffer = bytearray(len(data))

    async def receive(sock: Any) -> None:
        view = memoryview(buffer)
        while view:
            view = view[await loop.sock_recv_into(sock, view[:MIB]) :]

    async def main() -> None:
        if kind == "unix":
            left, right = pair()
        else:
            with listening() as server:
                left = tcp()
                await loop.sock_connect(left, server.getsockname())
                right, _ = await loop.sock_accept(server)
        with left, right:
            receiving = asyncio.ensure_future(receive(right))
            assert await loop.sock_sendall(left, data) is None
            await receiving
        assert buffer == data

    run(loop, main(), 30)


def test_sendall_sees_its_peer_go(world: World, loop: Any) -> None:
    async def main() -> None:
        left, right = pair()
        with left, right:
            sending = asyncio.ensure_future(loop.sock_sendall(left, bytes(5 * MIB)))
            await turns()
            assert not sending.done()
            right.close()
            assert await refusal(sending) in ("BrokenPipeError(32)", "ConnectionResetError(104)")
            assert await refusal(loop.sock_sendall(left, b"x")) == "BrokenPipeError(32)"

    run(loop, main())


def test_sendto_sends_one_datagram(world: World, loop: Any) -> None:
    async def main() -> None:
        with udp() as left, udp() as right:
            for data in (b"data", bytearray(b"array"), memoryview(b"view"), b""):
                assert await loop.sock_sendto(left, data, right.getsockname()) == len(data)
                received = await loop.sock_recvfrom(right, 100)
                assert received == (bytes(data), left.getsockname())
            with pytest.raises(OSError) as caught:
                await loop.sock_sendto(left, bytes(70_000), right.getsockname())
            assert caught.value.errno == errno.EMSGSIZE

    run(loop, main())


def test_sendto_waits_for_room(world: World, loop: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "peer")

    async def main() -> None:
        with narrow(path) as (left, right):
            sending, count = await crowd(loop, left, path)
            assert await loop.sock_recv(right, 10) == b"0"
            assert await sending == len(b"%d" % count)
            got = [await loop.sock_recv(right, 10) for _ in range(count)]
            assert got == [b"%d" % number for number in range(1, count + 1)]

    run(loop, main())


# --- Connecting and accepting ------------------------------------------------------


def test_connect_and_accept(world: World, loop: Any) -> None:
    async def main() -> None:
        with listening() as server, tcp() as client:
            accepting = asyncio.ensure_future(loop.sock_accept(server))
            await turns()
            assert await loop.sock_connect(client, server.getsockname()) is None
            accepted, address = await accepting
            with accepted:
                assert address == client.getsockname()
                assert type(accepted) is socket.socket
                assert accepted.gettimeout() == 0
                assert accepted.get_inheritable() is False
                await loop.sock_sendall(accepted, b"welcome")
                assert await loop.sock_recv(client, 100) == b"welcome"

    run(loop, main())


def test_accept_of_what_waits_already(world: World, loop: Any) -> None:
    async def main() -> None:
        with listening() as server, tcp() as one, tcp() as two:
            for client in (one, two):
                await loop.sock_connect(client, server.getsockname())
            for client in (one, two):
                accepted, address = await loop.sock_accept(server)
                accepted.close()
                assert address == client.getsockname()

    run(loop, main())


def test_connect_looks_names_up(world: World, loop: Any) -> None:
    async def main() -> None:
        with listening() as server:
            port = server.getsockname()[1]
            for host in ("localhost", "127.1", b"127.0.0.1"):
                with tcp() as client:
                    await loop.sock_connect(client, (host, port))
                    assert client.getpeername() == ("127.0.0.1", port)
                    (await loop.sock_accept(server))[0].close()

    run(loop, main())


def test_a_refused_connect(world: World, loop: Any) -> None:
    async def main() -> None:
        with listening() as server:
            name = server.getsockname()
        with tcp() as client:
            with pytest.raises(ConnectionRefusedError) as caught:
                await loop.sock_connect(client, name)
            assert caught.value.args == (errno.ECONNREFUSED, f"Connect call failed {name}")
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            with pytest.raises(FileNotFoundError) as caught:
                await loop.sock_connect(client, "/nonexistent/socket")
            assert caught.value.args == (errno.ENOENT, "No such file or directory")

    run(loop, main())


def test_a_unix_connect_to_a_path(world: World, loop: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "server")

    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            server.setblocking(False)
            for address in (path, path.encode(), Path(path)):
                with socket.socket(socket.AF_UNIX) as client:
                    client.setblocking(False)
                    if isinstance(address, Path):
                        told = await refusal(loop.sock_connect(client, address))
                        assert told is not None and told.startswith("TypeError: ")
                    else:
                        await loop.sock_connect(client, address)
                        accepted, name = await loop.sock_accept(server)
                        accepted.close()
                        assert name == ""

    run(loop, main())


# --- Both directions ----------------------------------------------------------------


def test_one_socket_can_be_read_and_written_at_once(world: World, loop: Any) -> None:
    async def main() -> None:
        left, right = pair()
        with left, right:
            data = bytes(5 * MIB)
            sending = asyncio.ensure_future(loop.sock_sendall(left, data))
            receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
            await turns()
            assert not sending.done() and not receiving.done()
            await loop.sock_sendall(right, b"to the reader")
            assert await receiving == b"to the reader"
            assert not sending.done()
            # The reader that came back does not disturb the writer.
            receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
            got = 0
            while got < len(data):
                got += len(await loop.sock_recv(right, MIB))
            await sending
            assert not receiving.done()
            right.close()
            assert await receiving == b""

    run(loop, main())


def test_the_second_reader_of_a_socket_replaces_the_first(world: World, loop: Any) -> None:
    # As in asyncio: nobody calls the first one back.
    async def main() -> None:
        left, right = pair()
        with left, right:
            first = asyncio.ensure_future(loop.sock_recv(left, 100))
            await turns()
            second = asyncio.ensure_future(loop.sock_recv(left, 100))
            await turns()
            right.send(b"data")
            assert await second == b"data"
            await turns()
            assert not first.done()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            # The cancelled one does not take a third one's place.
            third = asyncio.ensure_future(loop.sock_recv(left, 100))
            await turns()
            right.send(b"more")
            assert await third == b"more"

    run(loop, main())


def test_many_sockets_at_once(world: World, loop: Any) -> None:
    async def echo(sock: Any) -> None:
        while data := await loop.sock_recv(sock, 100):
            await loop.sock_sendall(sock, data)

    async def ask(sock: Any, number: int) -> None:
        for count in range(5):
            question = b"%d %d" % (number, count)
            await loop.sock_sendall(sock, question)
            assert await loop.sock_recv(sock, 100) == question
        sock.close()

    async def main() -> None:
        pairs = [pair() for _ in range(100)]
        async with asyncio.TaskGroup() as group:
            for number, (left, right) in enumerate(pairs):
                group.create_task(echo(left))
                group.create_task(ask(right, number))
        for left, _ in pairs:
            left.close()

    run(loop, main())


# --- What is refused ----------------------------------------------------------------


def bad_calls(loop: Any, sock: Any, dgram: Any) -> dict[str, tuple[Any, str]]:
    name = dgram.getsockname()
    return {
        "recv -1": (loop.sock_recv(sock, -1), "ValueError: negative buffersize in recv"),
        "recvfrom -1": (
            loop.sock_recvfrom(dgram, -1),
            "ValueError: negative buffersize in recvfrom",
        ),
        "recvfrom_into -1": (
            loop.sock_recvfrom_into(dgram, bytearray(5), -1),
            "ValueError: negative buffersize in recvfrom_into",
        ),
        "recvfrom_into 6": (
            loop.sock_recvfrom_into(dgram, bytearray(5), 6),
            "ValueError: nbytes is greater than the length of the buffer",
        ),
        "recv text": (
            loop.sock_recv(sock, "5"),
            "TypeError: 'str' object cannot be interpreted as an integer",
        ),
        "recv float": (
            loop.sock_recv(sock, 5.0),
            "TypeError: 'float' object cannot be interpreted as an integer",
        ),
        "recv None": (
            loop.sock_recv(sock, None),
            "TypeError: 'NoneType' object cannot be interpreted as an integer",
        ),
        "recv_into bytes": (
            loop.sock_recv_into(sock, b"read only"),
            "TypeError: recv_into() argument 1 must be read-write bytes-like object, not bytes",
        ),
        "recvfrom_into int": (
            loop.sock_recvfrom_into(dgram, 5),
            "TypeError: object of type 'int' has no len()",
        ),
        "sendall text": (
            loop.sock_sendall(sock, "text"),
            "TypeError: a bytes-like object is required, not 'str'",
        ),
        "sendall None": (
            loop.sock_sendall(sock, None),
            "TypeError: a bytes-like object is required, not 'NoneType'",
        ),
        "sendto text": (
            loop.sock_sendto(dgram, "text", name),
            "TypeError: a bytes-like object is required, not 'str'",
        ),
        "accept": (loop.sock_accept(sock), "OSError(22)"),
    }


def test_wrong_arguments_get_the_words_of_socket(world: World, loop: Any) -> None:
    left, right = pair()
    with left, right, udp() as dgram:
        calls = bad_calls(loop, left, dgram)
        got = {what: run(loop, refusal(call)) for what, (call, _) in calls.items()}
        assert got == {what: told for what, (_, told) in calls.items()}


def test_what_is_wrong_with_an_address_is_said_by_socket(world: World, loop: Any) -> None:
    async def main() -> None:
        with udp() as dgram, tcp() as stream:
            for address in (None, 5, ("127.0.0.1",), ("127.0.0.1", "9"), ("127.0.0.1", 70_000)):
                with pytest.raises((TypeError, OverflowError)) as expected:
                    dgram.sendto(b"x", address)  # type: ignore[call-overload]
                assert await refusal(loop.sock_sendto(dgram, b"x", address)) == said(expected.value)
            told = await refusal(loop.sock_connect(stream, ("127.0.0.1", 70_000)))
            assert told == "OverflowError: connect(): port must be 0-65535."
            for address in (None, 5, ()):
                with pytest.raises((TypeError, ValueError)):
                    await loop.sock_connect(stream, address)

    run(loop, main())


CALLS = {
    "sock_recv": (10,),
    "sock_recv_into": (bytearray(10),),
    "sock_recvfrom": (10,),
    "sock_recvfrom_into": (bytearray(10),),
    "sock_sendall": (b"data",),
    "sock_sendto": (b"data", ("127.0.0.1", 9)),
    "sock_connect": (("127.0.0.1", 9),),
    "sock_accept": (),
}


@pytest.mark.parametrize("name", CALLS)
def test_debug_mode_refuses_a_blocking_socket(world: World, loop: Any, name: str) -> None:
    loop.set_debug(True)
    left, right = pair()
    with left, right:
        for timeout in (None, 5.0):
            left.settimeout(timeout)
            told = run(loop, refusal(getattr(loop, name)(left, *CALLS[name])))
            assert told == "ValueError: the socket must be non-blocking"


@pytest.mark.parametrize("name", CALLS)
def test_a_socket_with_tls_is_refused(world: World, loop: Any, name: str) -> None:
    left, right = pair()
    with left, right:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        with context.wrap_socket(left, do_handshake_on_connect=False) as wrapped:
            told = run(loop, refusal(getattr(loop, name)(wrapped, *CALLS[name])))
            assert told == "TypeError: Socket cannot be of type SSLSocket"


@pytest.mark.parametrize("name", CALLS)
def test_a_closed_socket_is_refused_as_socket_does(world: World, loop: Any, name: str) -> None:
    with tcp() as sock:
        pass
    assert run(loop, refusal(getattr(loop, name)(sock, *CALLS[name]))) == "OSError(9)"


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_socket_is_refused(world: World, loop: Any, name: str) -> None:
    told = run(loop, refusal(getattr(loop, name)(object(), *CALLS[name])))
    assert told is not None and told.startswith("AttributeError: 'object' object has no attribute")


def test_the_socket_of_a_transport_is_refused(world: World, loop: Any) -> None:
    async def main() -> None:
        left, right = pair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
        try:
            for name in ("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into"):
                told = await refusal(getattr(loop, name)(left, *CALLS[name]))
                assert told == (
                    f"RuntimeError: File descriptor {left.fileno()} is used by "
                    f"transport {transport!r}"
                )
            told = await refusal(loop.sock_sendall(left, bytes(5 * MIB)))
            assert told is not None and "is used by transport" in told
        finally:
            transport.abort()
            right.close()
            await until(lambda: left.fileno() == -1)

    run(loop, main())
