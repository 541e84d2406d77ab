"""Datagrams on their way: what is sent, in which order, how much may wait, and what goes wrong."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Log, World
from io_tools import (
    LOCAL,
    PY,
    Datagrams,
    bound_socket,
    endpoint,
    failing,
    run,
    said,
    shape,
    turns,
    until,
)
from task_tools import gather_reports

# What a waiting datagram counts beyond its bytes.
HEADER = 8 if PY >= (3, 13) else 0


class Pausable(Datagrams):
    def pause_writing(self) -> None:
        self.story.append("pause")

    def resume_writing(self) -> None:
        self.story.append("resume")


class Peer:
    """A UNIX socket with a short queue: what is sent to it waits until it is read."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "peer")
        self.sock = bound_socket(self.path, socket.AF_UNIX)
        self.sock.setblocking(False)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *args: object) -> None:
        self.sock.close()

    def read(self) -> list[bytes]:
        """Everything that has arrived."""
        result = []
        while True:
            try:
                result.append(self.sock.recv(100_000))
            except BlockingIOError:
                return result


def connected(loop: Any, peer: Peer, factory: Callable[[], Any] = Pausable) -> Any:
    return endpoint(loop, factory, remote_addr=peer.path, family=socket.AF_UNIX)


def fill(transport: Any, size: int = 1) -> int:
    """Send until a datagram has to wait; return how many were sent, with the one that waits."""
    for count in range(1, 10_000):
        transport.sendto(bytes([count % 256]) * size)
        if transport.get_write_buffer_size():
            return count
    raise AssertionError("nothing ever waits")


# --- What may be sent -------------------------------------------------------------


def test_bytes_in_any_form_are_sent(world: World, loop: Any) -> None:
    async def main() -> None:
        with bound_socket() as peer:
            async with endpoint(loop, remote_addr=peer.getsockname()) as (transport, _):
                for data in (b"bytes", bytearray(b"array"), memoryview(b"a view")[2:]):
                    assert transport.sendto(data) is None
                    assert peer.recv(100) == bytes(data)
                transport.sendto(data=b"named", addr=None)
                assert peer.recv(100) == b"named"

    run(loop, main())


@pytest.mark.parametrize("data", ["text", 5, None, [b"x"], 1.5, object()])
def test_what_is_not_bytes_is_refused(world: World, loop: Any, data: object) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            name = transport.get_extra_info("sockname")
            with pytest.raises(TypeError) as caught:
                transport.sendto(data, name)
            kind = type(data).__name__
            assert str(caught.value) == (f"data argument must be a bytes-like object, not {kind!r}")
            assert protocol.story == ["made"]

    run(loop, main())


def test_an_empty_datagram_is_sent_since_3_13(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            name = transport.get_extra_info("sockname")
            for data in (b"", bytearray(), b"end"):
                transport.sendto(data, name)
            await until(lambda: b"end" in protocol.received)
            empty = [b"", b""] if PY >= (3, 13) else []
            assert protocol.received == [*empty, b"end"]

    run(loop, main())


def test_an_empty_datagram_of_a_peer_is_received(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            with bound_socket() as peer:
                peer.sendto(b"", transport.get_extra_info("sockname"))
                await until(lambda: len(protocol.story) == 2)
                assert protocol.story == ["made", (b"", peer.getsockname())]

    run(loop, main())


def test_the_largest_datagram_arrives_whole(world: World, loop: Any) -> None:
    data = bytes(range(256)) * 255

    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            name = transport.get_extra_info("sockname")
            transport.sendto(data, name)
            transport.sendto(bytes(70_000), name)
            assert protocol.story == ["made", "OSError(90)"]
            await until(lambda: protocol.received)
            assert protocol.received == [data]

    run(loop, main())


def test_a_connected_endpoint_sends_to_its_peer_alone(world: World, loop: Any) -> None:
    async def main() -> None:
        with bound_socket() as peer:
            name = peer.getsockname()
            async with endpoint(loop, remote_addr=name) as (transport, protocol):
                transport.sendto(b"first", name)
                assert peer.recv(10) == b"first"
                for wrong in (LOCAL, ("127.0.0.2", name[1]), "text", 5):
                    with pytest.raises(ValueError) as caught:
                        transport.sendto(b"second", wrong)
                    assert str(caught.value) == f"Invalid address: must be None or {name}"
                assert protocol.story == ["made"]

    run(loop, main())


# --- Errors -----------------------------------------------------------------------


def closed_address() -> Any:
    with bound_socket() as sock:
        return sock.getsockname()


def test_a_refusal_is_told_and_the_endpoint_goes_on(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, remote_addr=closed_address()) as (transport, protocol):
            for count in (1, 2):
                transport.sendto(b"anybody?")
                await until(lambda count=count: len(protocol.story) == 1 + count)
            await turns()
            assert protocol.story == ["made", *["ConnectionRefusedError(111)"] * 2]
            assert not transport.is_closing()

    run(loop, main())


def test_a_refusal_that_is_known_already_is_told_by_sendto(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, remote_addr=closed_address()) as (transport, protocol):
            transport.sendto(b"the kernel hears of the refusal")
            transport.sendto(b"and tells us now")
            assert protocol.story == ["made", "ConnectionRefusedError(111)"]

    run(loop, main())


def test_an_address_of_another_family_is_an_error_of_the_datagram(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            transport.sendto(b"data", ("::1", 9))
            assert protocol.story == ["made", "gaierror(-9)"]
            assert not transport.is_closing()

    run(loop, main())


def test_only_who_is_allowed_to_may_broadcast(world: World, loop: Any) -> None:
    async def main() -> None:
        for address in ("<broadcast>", "255.255.255.255"):
            async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
                transport.sendto(b"data", (address, 9))
                assert protocol.story == ["made", "PermissionError(13)"]
                assert not transport.is_closing()

    run(loop, main())


@pytest.mark.parametrize(
    ("addr", "kind"),
    [
        (None, TypeError),
        (5, TypeError),
        (("127.0.0.1",), TypeError),
        (("127.0.0.1", "9"), TypeError),
        (("127.0.0.1", 70_000), OverflowError),
        (("127.0.0.1", -1), OverflowError),
    ],
)
def test_an_address_that_is_none_ends_the_endpoint(
    world: World, loop: Any, addr: Any, kind: type[Exception]
) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            assert transport.sendto(b"data", addr) is None
            assert transport.is_closing()
            assert protocol.story == ["made"]
            [report] = reports
            assert report["message"] == "Fatal write error on datagram transport"
            assert report["transport"] is transport
            assert report["protocol"] is protocol
            assert type(report["exception"]) is kind
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", ("lost", said(report["exception"]))]

    run(loop, main())


def test_a_pair_of_sockets_has_no_name_to_send_to(world: World, loop: Any) -> None:
    # asyncio takes an empty name of the peer for none.
    reports = gather_reports(loop)

    async def main() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with theirs:
            async with endpoint(loop, sock=ours) as (transport, protocol):
                assert transport.get_extra_info("peername") == ""
                theirs.send(b"hello")
                await until(lambda: protocol.received)
                transport.sendto(b"hello")
                assert [type(report["exception"]) for report in reports] == [TypeError]

    run(loop, main())


# --- Order ------------------------------------------------------------------------


def test_datagrams_keep_their_order(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (server, served):
            address = server.get_extra_info("sockname")
            async with endpoint(loop, remote_addr=address) as (client, _):
                expected = [str(number).encode() for number in range(100)]
                for data in expected:
                    client.sendto(data)
                await until(lambda: len(served.received) == 100)
                assert served.received == expected

    run(loop, main())


def test_one_datagram_is_read_a_turn(world: World, loop: Any) -> None:
    story: list[Any] = []

    class Queueing(Datagrams):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            story.append(data)
            loop.call_soon(story.append, "soon")

    async def main() -> None:
        async with endpoint(loop, Queueing, local_addr=LOCAL) as (transport, _):
            for data in (b"1", b"2", b"3"):
                transport.sendto(data, transport.get_extra_info("sockname"))
            await until(lambda: story.count("soon") == 3)

    run(loop, main())
    assert story == [b"1", "soon", b"2", "soon", b"3", "soon"]


def test_nothing_is_read_while_reading_is_paused(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            transport.pause_reading()
            transport.pause_reading()
            transport.sendto(b"data", transport.get_extra_info("sockname"))
            await turns(5)
            assert protocol.received == []
            transport.resume_reading()
            await until(lambda: protocol.received)

    run(loop, main())


# --- What has to wait ---------------------------------------------------------------


def test_what_the_kernel_does_not_take_waits(world: World, loop: Any, tmp_path: Path) -> None:
    async def main() -> None:
        with Peer(tmp_path) as peer:
            async with connected(loop, peer) as (transport, protocol):
                count = fill(transport)
                assert transport.get_write_buffer_size() == 1 + HEADER
                transport.sendto(b"another")
                assert transport.get_write_buffer_size() == 8 + 2 * HEADER
                assert " write=<polling, bufsize=" in repr(transport)
                arrived: list[bytes] = []
                while len(arrived) < count + 1:
                    arrived += peer.read()
                    await asyncio.sleep(0)
                await turns()
                assert arrived == [bytes([n]) for n in range(1, count + 1)] + [b"another"]
                # 3.13.0 forgot to take the headers off again.
                if world.is_ours or sys.version_info[:3] != (3, 13, 0):
                    assert transport.get_write_buffer_size() == 0
                assert " write=<idle, bufsize=" in repr(transport)
                assert protocol.story == ["made"]

    run(loop, main())


def test_what_waits_is_a_copy(world: World, loop: Any, tmp_path: Path) -> None:
    async def main() -> None:
        with Peer(tmp_path) as peer:
            async with connected(loop, peer) as (transport, _):
                count = fill(transport)
                data = bytearray(b"before")
                transport.sendto(data)
                transport.sendto(memoryview(data))
                data[:] = b"after."
                arrived: list[bytes] = []
                while len(arrived) < count + 2:
                    arrived += peer.read()
                    await asyncio.sleep(0)
                assert arrived[-2:] == [b"before"] * 2

    run(loop, main())


def test_a_protocol_is_paused_while_much_waits(world: World, loop: Any, tmp_path: Path) -> None:
    async def main() -> None:
        with Peer(tmp_path) as peer:
            async with connected(loop, peer) as (transport, protocol):
                assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
                transport.set_write_buffer_limits(high=3000, low=2000)
                assert transport.get_write_buffer_limits() == (2000, 3000)
                fill(transport, 1000)
                while transport.get_write_buffer_size() <= 2000 + 2 * HEADER:
                    transport.sendto(bytes(1000))
                assert protocol.story == (["made"] if HEADER == 0 else ["made", "pause"])
                transport.sendto(bytes(1000))
                assert protocol.story == ["made", "pause"]
                transport.sendto(bytes(1000))
                assert protocol.story == ["made", "pause"]
                while "resume" not in protocol.story:
                    peer.read()
                    await asyncio.sleep(0)
                assert protocol.story == ["made", "pause", "resume"]
                assert transport.get_write_buffer_size() <= 2000

    run(loop, main())


def test_limits_are_checked(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, _):
            for kwargs in ({"high": 1, "low": 2}, {"low": -1}, {"high": -1}):
                with pytest.raises(ValueError, match=r"must be >= low"):
                    transport.set_write_buffer_limits(**kwargs)
            transport.set_write_buffer_limits(high=0)
            assert transport.get_write_buffer_limits() == (0, 0)
            transport.set_write_buffer_limits(low=10)
            assert transport.get_write_buffer_limits() == (10, 40)

    run(loop, main())


# --- The end ----------------------------------------------------------------------


def test_a_closed_endpoint_sends_what_waits(world: World, loop: Any, tmp_path: Path) -> None:
    async def main() -> None:
        with Peer(tmp_path) as peer:
            async with connected(loop, peer) as (transport, protocol):
                count = fill(transport)
                transport.sendto(b"last")
                transport.close()
                transport.close()
                assert transport.is_closing()
                await turns()
                assert protocol.story == ["made"]
                arrived: list[bytes] = []
                while not protocol.is_lost:
                    arrived += peer.read()
                    await asyncio.sleep(0)
                arrived += peer.read()
                assert arrived == [bytes([n]) for n in range(1, count + 1)] + [b"last"]
                assert protocol.story == ["made", ("lost", None)]

    run(loop, main())


def test_an_aborted_endpoint_drops_what_waits(world: World, loop: Any, tmp_path: Path) -> None:
    async def main() -> None:
        with Peer(tmp_path) as peer:
            async with connected(loop, peer) as (transport, protocol):
                count = fill(transport)
                transport.abort()
                transport.abort()
                transport.close()
                assert protocol.story == ["made"]
                await turns()
                assert protocol.story == ["made", ("lost", None)]
                assert len(peer.read()) == count - 1

    run(loop, main())


def test_a_peer_that_goes_away_while_much_waits_is_told_of(
    world: World, loop: Any, tmp_path: Path
) -> None:
    async def main() -> None:
        with Peer(tmp_path) as peer:
            async with connected(loop, peer) as (transport, protocol):
                fill(transport)
                for _ in range(3):
                    transport.sendto(b"more")
                peer.sock.close()
                await until(lambda: len(protocol.story) >= 5)
                # Each datagram that waits gets an error of its own.
                assert protocol.story[1] in (
                    "ConnectionRefusedError(111)",
                    "ConnectionResetError(104)",
                )
                assert len(protocol.story) == 5
                assert not transport.is_closing()

    run(loop, main())


def test_nothing_is_received_after_close(world: World, loop: Any) -> None:
    class Closing(Datagrams):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            self.transport.close()

    async def main() -> None:
        async with endpoint(loop, Closing, local_addr=LOCAL) as (transport, protocol):
            name = transport.get_extra_info("sockname")
            for data in (b"1", b"2"):
                transport.sendto(data, name)
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", (b"1", name), ("lost", None)]

    run(loop, main())


def test_sending_after_the_end_is_warned_of(world: World, loop: Any, logged: Log) -> None:
    async def main() -> None:
        with bound_socket() as peer:
            async with endpoint(loop, remote_addr=peer.getsockname()) as (transport, _):
                transport.close()
                for count in range(8):
                    transport.sendto(b"too late")
                    told = logged.texts(logging.WARNING)
                    assert told == ["socket.send() raised exception."] * max(0, count - 3)
                peer.setblocking(False)
                with pytest.raises(BlockingIOError):
                    peer.recv(10)

    run(loop, main())


def test_another_protocol_can_take_over(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, first):
            second = Datagrams()
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            transport.sendto(b"data", transport.get_extra_info("sockname"))
            await until(lambda: second.received)
            transport.close()
            await until(lambda: second.is_lost)
            assert first.story == ["made"]
            first.is_lost = True

    run(loop, main())


# --- Protocols that fail -------------------------------------------------------------


@pytest.mark.parametrize("where", ["connection_made", "datagram_received", "connection_lost"])
def test_what_a_callback_raises_is_reported_and_the_endpoint_goes_on(
    world: World, loop: Any, where: str
) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        made = endpoint(loop, failing(Datagrams, where), local_addr=LOCAL)
        async with made as (transport, protocol):
            name = transport.get_extra_info("sockname")
            sock = transport.get_extra_info("socket")
            for data in (b"1", b"2"):
                transport.sendto(data, name)
            await until(lambda: len(protocol.received) == 2)
            assert not transport.is_closing()
        await turns()
        assert sock.fileno() == -1
        assert shape(transport) == "< closed fd=N>"
        assert protocol.story == ["made", (b"1", name), (b"2", name), ("lost", None)]

    run(loop, main())
    count = 2 if where == "datagram_received" else 1
    assert [said(report["exception"]) for report in reports] == [f"LookupError: {where}"] * count
    assert all(report["message"].startswith("Exception in callback ") for report in reports)


def test_what_error_received_raises_in_sendto_reaches_the_sender(world: World, loop: Any) -> None:
    class Fails(Datagrams):
        def error_received(self, exc: Exception) -> None:
            raise LookupError("in error_received") from exc

    async def main() -> None:
        async with endpoint(loop, Fails, remote_addr=closed_address()) as (transport, _):
            transport.sendto(b"1")
            with pytest.raises(LookupError, match="in error_received"):
                transport.sendto(b"2")
            assert not transport.is_closing()

    run(loop, main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_callback_may_interrupt_the_loop(
    world: World, loop: Any, kind: type[BaseException]
) -> None:
    class Interrupts(Datagrams):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            if data == b"1":
                raise kind

    transport, protocol = run(loop, loop.create_datagram_endpoint(Interrupts, local_addr=LOCAL))
    for data in (b"1", b"2"):
        transport.sendto(data, transport.get_extra_info("sockname"))
    with pytest.raises(kind):
        loop.run_forever()
    world.run_until(loop, lambda: len(protocol.received) == 2)
    transport.close()
    world.run_until(loop, lambda: protocol.is_lost)
