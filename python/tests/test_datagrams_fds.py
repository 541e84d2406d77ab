"""Sockets, addresses and memory of datagram transports: what goes to the kernel, and what not."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import World
from io_tools import (
    LOCAL,
    PY,
    Contexts,
    Datagrams,
    bound_socket,
    check_abandoned,
    check_leaves_no_objects,
    check_references,
    endpoint,
    run,
    said,
    shape,
    turns,
    until,
)
from net_tools import has_ipv6
from task_tools import gather_reports

# --- Addresses ----------------------------------------------------------------------


def test_each_datagram_comes_with_its_own_sender(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            address = transport.get_extra_info("sockname")
            with bound_socket() as one, bound_socket() as other:
                expected = []
                for number, sock in enumerate([one, one, other, one, other, other]):
                    data = b"%d" % number
                    sock.sendto(data, address)
                    expected.append((data, sock.getsockname()))
                await until(lambda: len(protocol.received) == 6)
                assert protocol.story[1:] == expected
                for _, sender in protocol.story[1:]:
                    assert type(sender) is tuple and [type(it) for it in sender] == [str, int]

    run(loop, main())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "", "127.1", "0x7f.1"])
def test_an_address_may_be_written_in_any_way(world: World, loop: Any, host: str) -> None:
    async def main() -> None:
        with bound_socket() as peer:
            async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
                transport.sendto(b"data", (host, peer.getsockname()[1]))
                assert peer.recv(10) == b"data"
                assert protocol.story == ["made"]

    run(loop, main())


def test_a_port_may_be_what_counts_as_a_number(world: World, loop: Any) -> None:
    class Port:
        def __init__(self, number: int) -> None:
            self.number = number

        def __index__(self) -> int:
            return self.number

    async def main() -> None:
        with bound_socket() as peer:
            async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
                transport.sendto(b"data", ("127.0.0.1", Port(peer.getsockname()[1])))
                assert peer.recv(10) == b"data"
                assert protocol.story == ["made"]

    run(loop, main())


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_addresses_of_ipv6_have_two_to_four_parts(world: World, loop: Any) -> None:
    async def main() -> None:
        with bound_socket(("::1", 0), socket.AF_INET6) as peer:
            port = peer.getsockname()[1]
            async with endpoint(loop, local_addr=("::1", 0)) as (transport, protocol):
                own = transport.get_extra_info("sockname")
                for host in ("::1", "0:0:0:0::1", "::1%1"):
                    for rest in ((), (0,), (0, 0), (5,)):
                        transport.sendto(b"data", (host, port, *rest))
                        assert protocol.story == ["made"]
                        assert peer.recvfrom(10)[0] == b"data"
                peer.sendto(b"answer", own)
                await until(lambda: protocol.received)
                assert protocol.story == ["made", (b"answer", peer.getsockname())]

    run(loop, main())


@pytest.mark.parametrize(
    "address",
    [
        ("127.0.0.1", 9, 0),
        ("127.0.0.1", 2**40),
        ("127.0.0.1", 9.5),
        ("127.0.0.1",),
        (),
        ["127.0.0.1", 9],
        (b"127.0.0.1", "9"),
        (None, None),
        ("a\0b", 9),
        "127.0.0.1:9",
    ],
)
def test_a_wrong_address_is_refused_in_the_words_of_the_socket(
    world: World, loop: Any, address: Any
) -> None:
    reports = gather_reports(loop)
    with bound_socket() as sock, pytest.raises(Exception) as expected:
        sock.sendto(b"data", address)

    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            transport.sendto(b"data", address)
            errors = [report["exception"] for report in reports] or protocol.story[1:]
            [error] = [said(error) if isinstance(error, Exception) else error for error in errors]
            assert error == said(expected.value)

    run(loop, main())


heard: list[Any] = []
is_listening = False


def listen(event: str, args: Any) -> None:
    """An audit hook, which stays for ever: so it is quiet unless it is asked."""
    if is_listening and event == "socket.sendto":
        heard.append(args[1])


sys.addaudithook(listen)


def test_audit_hooks_hear_of_what_is_sent(world: World, loop: Any) -> None:
    global is_listening

    async def main() -> None:
        with bound_socket() as peer:
            async with endpoint(loop, local_addr=LOCAL) as (transport, _):
                for host in ("127.0.0.1", "localhost"):
                    transport.sendto(b"data", (host, peer.getsockname()[1]))
                    assert heard.pop() == (host, peer.getsockname()[1])

    is_listening = True
    try:
        run(loop, main())
    finally:
        is_listening = False


# --- Sockets of other classes and families --------------------------------------------


def test_a_class_of_sockets_may_have_its_own_ways(world: World, loop: Any) -> None:
    class Shouting(socket.socket):
        def sendto(self, data: Any, *args: Any) -> int:
            return super().sendto(bytes(data).upper(), *args)

        def recvfrom(self, *args: Any) -> Any:
            data, address = super().recvfrom(*args)
            return data + b"!", address

    async def main() -> None:
        sock = Shouting(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(LOCAL)
        async with endpoint(loop, sock=sock) as (transport, protocol):
            address = sock.getsockname()
            transport.sendto(b"hello", address)
            await until(lambda: protocol.received)
            assert protocol.story == ["made", (b"HELLO!", address)]

    run(loop, main())


def test_pairs_of_unix_sockets_speak_without_names(world: World, loop: Any) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with theirs:
            async with endpoint(loop, sock=ours) as (_, protocol):
                theirs.send(b"hello")
                await until(lambda: protocol.received)
                data, sender = protocol.story[1]
                assert data == b"hello"
                assert sender is None

    run(loop, main())


def test_an_error_of_pythons_socket_is_told_too(world: World, loop: Any, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "server")
        async with endpoint(loop, local_addr=path, family=socket.AF_UNIX) as (transport, protocol):
            transport.sendto(b"data", str(tmp_path / "nobody"))
            assert protocol.story == ["made", "FileNotFoundError(2)"]
            transport.sendto(bytes(10_000_000), path)
            assert protocol.story[2:] == ["OSError(90)"]
            assert not transport.is_closing()

    run(loop, main())


# --- What others close ------------------------------------------------------------------


def test_a_datagram_for_a_socket_that_its_owner_closed_does_not_leave_another(
    world: World, loop: Any
) -> None:
    async def main() -> None:
        sock = bound_socket()
        number = sock.fileno()
        async with endpoint(loop, sock=sock) as (transport, protocol):
            sock.close()
            with bound_socket() as other, bound_socket() as peer:
                assert number in (other.fileno(), peer.fileno())
                transport.sendto(b"secret", peer.getsockname())
                assert protocol.story == ["made", f"OSError({errno.EBADF})"]
                peer.setblocking(False)
                with pytest.raises(BlockingIOError):
                    peer.recv(10)
            transport.abort()
            await until(lambda: protocol.is_lost)

    run(loop, main())


def test_nothing_is_received_from_the_next_of_the_number(world: World, loop: Any) -> None:
    async def main() -> None:
        sock = bound_socket()
        async with endpoint(loop, sock=sock) as (transport, protocol):
            transport.pause_reading()
            number = sock.fileno()
            sock.close()
            with bound_socket() as other:
                assert other.fileno() == number
                other.sendto(b"secret", other.getsockname())
                transport.resume_reading()
                await until(lambda: len(protocol.story) > 1)
                assert protocol.story[1] == f"OSError({errno.EBADF})"
                assert other.recv(10) == b"secret"
                transport.abort()
                await until(lambda: protocol.is_lost)
                assert protocol.received == []

    run(loop, main())


# --- After the end ------------------------------------------------------------------------


def test_sending_after_the_end_without_a_peer_raises(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            address = transport.get_extra_info("sockname")
            transport.close()
            await until(lambda: protocol.is_lost)
            with pytest.raises(AttributeError) as caught:
                transport.sendto(b"too late", address)
            assert str(caught.value) == (
                "'NoneType' object has no attribute 'call_exception_handler'"
            )

    run(loop, main())


def test_an_endpoint_that_ends_in_error_received_ends_once(world: World, loop: Any) -> None:
    class Gives(Datagrams):
        def error_received(self, exc: Exception) -> None:
            super().error_received(exc)
            self.transport.abort()
            self.transport.close()

    with bound_socket() as sock:
        nobody = sock.getsockname()
    reports = gather_reports(loop)

    async def main() -> None:
        async with endpoint(loop, Gives, remote_addr=nobody) as (transport, protocol):
            transport.sendto(b"anybody?")
            await until(lambda: protocol.is_lost)
            await turns()
            assert protocol.story == ["made", "ConnectionRefusedError(111)", ("lost", None)]
            assert shape(transport) == "< closed fd=N>"

    run(loop, main())
    assert reports == []


# --- Contexts and loops that look on --------------------------------------------------------


def test_each_callback_has_the_context_that_asyncio_gives_it(world: World, loop: Any) -> None:
    contexts = Contexts()

    class Noting(Datagrams):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            contexts.note("made")

        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            contexts.note(data.decode())

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            contexts.note("lost")

    async def main() -> None:
        contexts.variable.set("main")
        async with endpoint(loop, Noting, local_addr=LOCAL) as (transport, protocol):
            contexts.variable.set("later")
            for number in (1, 2):
                transport.sendto(b"%d" % number, transport.get_extra_info("sockname"))
                await until(lambda number=number: len(protocol.received) == number)
            transport.close()
            await until(lambda: protocol.is_lost)

    run(loop, main())
    assert contexts.seen == [("made", "main"), ("1", "main"), ("2", "1"), ("lost", "later")]


def test_a_loop_that_sees_every_step_sees_asyncios(world: World) -> None:
    names: list[str] = []

    class Watching(world.EventLoop):  # type: ignore[name-defined, misc]
        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
            name = getattr(callback, "__qualname__", "")
            if "Datagram" in name or name.startswith("_SelectorTransport."):
                names.append(name.rpartition(".")[2])
            return super().call_soon(callback, *args, context=context)

    loop = Watching()

    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            transport.sendto(b"data", transport.get_extra_info("sockname"))
            await until(lambda: protocol.received)

    try:
        run(loop, main())
    finally:
        loop.close()
    assert names == ["connection_made", "_add_reader", "_call_connection_lost"]


def test_an_endpoint_in_debug_mode_tells_the_same_story(world: World, loop: Any) -> None:
    loop.set_debug(True)
    loop.slow_callback_duration = 100.0

    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            address = transport.get_extra_info("sockname")
            transport.sendto(b"data", address)
            await until(lambda: protocol.received)
            transport.close()
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", (b"data", address), ("lost", None)]

    run(loop, main())


# --- What is let go ---------------------------------------------------------------------------


def test_an_abandoned_pair_of_transport_and_protocol_is_collected(world: World, loop: Any) -> None:
    pair = list(run(loop, loop.create_datagram_endpoint(Datagrams, local_addr=LOCAL)))
    pair[0].pause_reading()
    number = pair[0].get_extra_info("socket").fileno()
    check_abandoned(pair)
    with pytest.raises(OSError):
        os.fstat(number)


def test_a_transport_refers_to_what_it_holds(world: World, loop: Any) -> None:
    async def main() -> None:
        with bound_socket() as peer:
            async with endpoint(loop, remote_addr=peer.getsockname()) as (transport, protocol):
                peer.sendto(b"data", transport.get_extra_info("sockname"))
                await until(lambda: protocol.received)
                names = ("_sock", "_protocol", "_loop", "_extra", "_address")
                check_references(world, transport, names)

    run(loop, main())


def test_endpoints_leave_no_objects(world: World, loop: Any) -> None:
    async def one() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            for data in (b"1", b"2"):
                transport.sendto(data, transport.get_extra_info("sockname"))
            await until(lambda: len(protocol.received) == 2)

    check_leaves_no_objects(loop, one)


def test_the_attributes_that_libraries_read(world: World, loop: Any) -> None:
    async def main() -> None:
        with bound_socket() as peer:
            async with endpoint(loop, remote_addr=peer.getsockname()) as (transport, protocol):
                assert transport._sock_fd == transport._sock.fileno()
                assert transport._loop is loop
                assert transport._protocol is protocol
                assert transport._address == peer.getsockname()
                assert transport._extra["peername"] == peer.getsockname()
                assert (transport._closing, transport._conn_lost, transport._paused) == (0, 0, 0)
                assert len(transport._buffer) == transport._buffer_size == 0
                assert transport._server is None
                assert transport.max_size == 256 * 1024
                assert isinstance(transport, asyncio.Transport)
                with pytest.raises(NotImplementedError):
                    transport.write(b"not a stream")
            assert transport._sock is None
            assert transport._loop is None
            assert transport._protocol is None
            assert PY < (3, 12) or isinstance(transport, asyncio.DatagramTransport)

    run(loop, main())
