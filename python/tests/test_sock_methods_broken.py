"""sock_* that are broken off: cancelled, closed under the waiter, numbers that are used again."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest
from conftest import World
from io_tools import (
    MIB,
    PY,
    crowd,
    is_watched,
    listening,
    narrow,
    pair,
    refusal,
    run,
    tcp,
    turns,
    udp,
    until,
)
from net_tools import reset
from task_tools import gather_reports


def waits(loop: Any, name: str, sock: Any) -> Any:
    """A task in the named method; it waits as long as nobody speaks to the socket."""
    args: dict[str, tuple[Any, ...]] = {
        "sock_recv": (100,),
        "sock_recv_into": (bytearray(100),),
        "sock_recvfrom": (100,),
        "sock_recvfrom_into": (bytearray(100),),
        "sock_sendall": (bytes(5 * MIB),),
        "sock_accept": (),
    }
    return asyncio.ensure_future(getattr(loop, name)(sock, *args[name]))


async def cancel(task: Any) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


READS = ["sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into"]


# --- Cancelled ----------------------------------------------------------------------


@pytest.mark.parametrize("name", READS)
def test_a_cancelled_read_takes_no_byte(world: World, loop: Any, name: str) -> None:
    async def main() -> None:
        left, right = pair()
        with left, right:
            for _ in range(3):
                reading = waits(loop, name, left)
                await turns()
                await cancel(reading)
            assert not is_watched(loop, left.fileno())
            right.send(b"data")
            await turns()
            assert await loop.sock_recv(left, 100) == b"data"

    run(loop, main())


@pytest.mark.parametrize("name", READS)
def test_a_read_cancelled_when_data_has_come_takes_no_byte(
    world: World, loop: Any, name: str
) -> None:
    async def main() -> None:
        left, right = pair()
        with left, right:
            reading = waits(loop, name, left)
            await turns()
            right.send(b"data")
            await cancel(reading)
            assert await loop.sock_recv(left, 100) == b"data"
            # The loop has seen the data already, and has not read it yet.
            reading = waits(loop, name, left)
            await turns()
            right.send(b"more")
            loop.call_soon(reading.cancel)
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert await loop.sock_recv(left, 100) == b"more"
            assert not is_watched(loop, left.fileno())

    run(loop, main())


def test_a_cancelled_sendall_has_sent_a_beginning(world: World, loop: Any) -> None:
    data = bytes(range(251)) * 20_000

    async def main() -> None:
        left, right = pair()
        with left, right:
            sending = asyncio.ensure_future(loop.sock_sendall(left, data))
            await turns()
            got = await loop.sock_recv(right, 1000)
            await turns()
            await cancel(sending)
            assert not is_watched(loop, left.fileno())
            await turns()
            left.shutdown(socket.SHUT_WR)
            while piece := await loop.sock_recv(right, MIB):
                got += piece
            assert 1000 < len(got) < len(data)
            assert data.startswith(got)

    run(loop, main())


def test_a_cancelled_accept_takes_no_connection(world: World, loop: Any) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        with listening() as server, tcp() as client:
            accepting = waits(loop, "sock_accept", server)
            await turns()
            await cancel(accepting)
            assert not is_watched(loop, server.fileno())
            client.connect_ex(server.getsockname())
            accepted, address = await loop.sock_accept(server)
            accepted.close()
            assert address == client.getsockname()

    run(loop, main())
    assert reports == []


@pytest.mark.skipif(PY < (3, 14), reason="older ones of asyncio lose the connection")
def test_an_accept_cancelled_when_somebody_has_come_takes_no_connection(
    world: World, loop: Any
) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        with listening() as server, tcp() as client:
            accepting = waits(loop, "sock_accept", server)
            await turns()
            client.connect_ex(server.getsockname())
            loop.call_soon(accepting.cancel)
            with pytest.raises(asyncio.CancelledError):
                await accepting
            accepted, address = await loop.sock_accept(server)
            accepted.close()
            assert address == client.getsockname()

    run(loop, main())
    assert reports == []


def test_a_cancelled_connect_leaves_nothing(world: World, loop: Any) -> None:
    async def main() -> None:
        # Nobody answers when the queue of a server is full.
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen(0)
            clients = []
            try:
                for _ in range(10):
                    clients.append(tcp())
                    connecting = asyncio.ensure_future(
                        loop.sock_connect(clients[-1], server.getsockname())
                    )
                    await asyncio.sleep(0.005)
                    if not connecting.done():
                        break
                    connecting.result()
                await cancel(connecting)
                assert not is_watched(loop, clients[-1].fileno())
            finally:
                for client in clients:
                    client.close()

    run(loop, main())


def test_a_cancelled_sendto_sends_nothing(world: World, loop: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "peer")

    async def main() -> None:
        with narrow(path) as (left, right):
            sending, count = await crowd(loop, left, path)
            await cancel(sending)
            assert not is_watched(loop, left.fileno())
            await turns()
            got = [await loop.sock_recv(right, 10) for _ in range(count)]
            assert got == [b"%d" % number for number in range(count)]
            with pytest.raises(BlockingIOError):
                right.recv(10)

    run(loop, main())


def test_cancelling_one_direction_leaves_the_other(world: World, loop: Any) -> None:
    async def main() -> None:
        left, right = pair()
        with left, right:
            sending = waits(loop, "sock_sendall", left)
            reading = waits(loop, "sock_recv", left)
            await turns()
            await cancel(sending)
            right.send(b"still here")
            assert await reading == b"still here"
            sending = waits(loop, "sock_sendall", left)
            reading = waits(loop, "sock_recv", left)
            await turns()
            await cancel(reading)
            while not sending.done():
                await loop.sock_recv(right, MIB)
            assert not is_watched(loop, left.fileno())

    run(loop, main())


# --- Peers that vanish -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["sock_recv", "sock_recv_into", "sock_sendall"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_reset_is_an_error(world: World, loop: Any, name: str, when: str) -> None:
    async def main() -> None:
        with listening() as server, tcp() as client:
            await loop.sock_connect(client, server.getsockname())
            accepted, _ = await loop.sock_accept(server)
            if when == "before":
                reset(accepted)
            waiting = waits(loop, name, client)
            await turns()
            if when == "meanwhile":
                assert not waiting.done()
                reset(accepted)
            assert await refusal(waiting) == f"ConnectionResetError({errno.ECONNRESET})"
            assert not is_watched(loop, client.fileno())

    run(loop, main())


def test_a_shutdown_ends_a_waiting_read(world: World, loop: Any) -> None:
    async def main() -> None:
        left, right = pair()
        with left, right:
            reading = waits(loop, "sock_recv", left)
            await turns()
            left.shutdown(socket.SHUT_RD)
            assert await reading == b""

    run(loop, main())


def test_a_server_that_stops_listening_fails_a_waiting_accept(world: World, loop: Any) -> None:
    async def main() -> None:
        with listening() as server:
            accepting = waits(loop, "sock_accept", server)
            await turns()
            server.shutdown(socket.SHUT_RDWR)
            assert await refusal(accepting) == f"OSError({errno.EINVAL})"

    run(loop, main())


# --- Closed under the waiter --------------------------------------------------------------


@pytest.mark.parametrize("name", [*READS, "sock_sendall", "sock_accept"])
def test_a_socket_closed_under_its_waiter_leaves_it_waiting(
    world: World, loop: Any, name: str
) -> None:
    async def main() -> None:
        if name == "sock_accept":
            with listening() as sock:
                waiting = waits(loop, name, sock)
                await turns()
        else:
            sock, peer = pair()
            waiting = waits(loop, name, sock)
            await turns()
            sock.close()
            peer.close()
        await turns(5)
        assert not waiting.done()
        await cancel(waiting)

    run(loop, main())


def test_a_detached_socket_fails_its_waiter(world: World, loop: Any) -> None:
    async def main() -> None:
        left, right = pair()
        reading = waits(loop, "sock_recv", left)
        await turns()
        fd = left.detach()
        right.send(b"data")
        assert await refusal(reading) == f"OSError({errno.EBADF})"
        assert not is_watched(loop, fd)
        with socket.socket(fileno=fd) as again:
            assert await loop.sock_recv(again, 100) == b"data"
        right.close()

    run(loop, main())


# --- A number that is used again ------------------------------------------------------------


async def waiting_pair(loop: Any, name: str) -> tuple[socket.socket, socket.socket, Any]:
    """A pair of sockets, and what waits in the named method on the first of them."""
    left, right = pair()
    waiting = waits(loop, name, left)
    await turns()
    return left, right, waiting


def pair_at(fd: int) -> tuple[socket.socket, socket.socket]:
    """A pair of sockets, the first of which has this number."""
    left, right = pair()
    assert left.fileno() == fd
    return left, right


def closed_for_another(sock: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Close the socket, and make a pair the first of which has its number."""
    fd = sock.fileno()
    sock.close()
    return pair_at(fd)


Takes = Callable[[Any, socket.socket, socket.socket], Any]


async def receives(loop: Any, left: socket.socket, right: socket.socket) -> None:
    loop.call_soon(right.send, b"for the new one")
    async with asyncio.timeout(5):
        assert await loop.sock_recv(left, 100) == b"for the new one"


async def sends(loop: Any, left: socket.socket, right: socket.socket) -> None:
    sending = waits(loop, "sock_sendall", left)
    await turns()
    assert not sending.done()
    async with asyncio.timeout(5):
        while not sending.done():
            await loop.sock_recv(right, MIB)


@pytest.mark.parametrize("new", [receives, sends])
@pytest.mark.parametrize("name", ["sock_recv", "sock_sendall"])
def test_a_number_is_used_again_after_the_waiter_has_gone(
    world: World, loop: Any, name: str, new: Takes
) -> None:
    async def main() -> None:
        for _ in range(5):
            left, right, waiting = await waiting_pair(loop, name)
            await cancel(waiting)
            left, other = closed_for_another(left)
            with left, other, right:
                await new(loop, left, other)
            assert waiting.cancelled()

    run(loop, main())


@pytest.mark.parametrize("name", ["sock_recv", "sock_sendall"])
def test_a_number_is_used_again_after_the_operation(world: World, loop: Any, name: str) -> None:
    async def main() -> None:
        for _ in range(5):
            left, right, waiting = await waiting_pair(loop, name)
            while not waiting.done():
                if name == "sock_recv":
                    right.send(b"data")
                    await waiting
                else:
                    await loop.sock_recv(right, MIB)
            left, other = closed_for_another(left)
            with left, other, right:
                await receives(loop, left, other)
                await sends(loop, left, other)

    run(loop, main())


@pytest.mark.parametrize("name", ["sock_recv", "sock_sendall"])
def test_a_number_is_used_again_in_the_turn_of_a_cancellation(
    world: World, loop: Any, name: str
) -> None:
    async def main() -> None:
        for _ in range(5):
            left, right, waiting = await waiting_pair(loop, name)
            waiting.cancel()
            left, other = closed_for_another(left)
            with left, other, right:
                # A task of its own: it begins in the next turn, behind the cancellation.
                await asyncio.ensure_future(receives(loop, left, other))
                with pytest.raises(asyncio.CancelledError):
                    await waiting

    run(loop, main())


def test_a_number_is_used_again_at_once(world: World, loop: Any) -> None:
    async def main() -> None:
        left, right, waiting = await waiting_pair(loop, "sock_recv")
        waiting.cancel()
        left, other = closed_for_another(left)
        with left, other, right:
            other.send(b"data")
            reading = loop.sock_recv(left, 100)
            assert await reading == b"data"
            reading = loop.sock_recv(left, 100)
            loop.call_later(0.005, other.send, b"more")
            if world.is_ours:
                assert await reading == b"more"
            else:
                # asyncio still takes the new socket for the old one, which it watches, and so
                # does not tell the kernel; nothing ever wakes this read.
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.03):
                        await reading
            with pytest.raises(asyncio.CancelledError):
                await waiting

    run(loop, main())


def test_a_number_is_used_again_under_a_waiter(world: World, loop: Any) -> None:
    async def main() -> None:
        left, right, waiting = await waiting_pair(loop, "sock_recv")
        left, other = closed_for_another(left)
        with left, other, right:
            if world.is_ours:
                await receives(loop, left, other)
                await sends(loop, left, other)
            else:
                # As above; and the other direction meets a descriptor that the kernel knows not.
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.03):
                        loop.call_soon(other.send, b"data")
                        await loop.sock_recv(left, 100)
                waiting_again = waits(loop, "sock_recv", other)
                await turns()
                assert not waiting_again.done()
                await cancel(waiting_again)
            # The old one hears nothing of the new one's data.
            await turns()
            assert not waiting.done()
            await cancel(waiting)

    run(loop, main())


def test_a_number_is_used_again_by_a_transport(world: World, loop: Any) -> None:
    class Protocol(asyncio.Protocol):
        data = b""
        is_lost = False

        def data_received(self, data: bytes) -> None:
            self.data += data

        def connection_lost(self, exc: Exception | None) -> None:
            self.is_lost = True

    async def main() -> None:
        left, right, waiting = await waiting_pair(loop, "sock_recv")
        fd = left.fileno()
        await cancel(waiting)
        left, other = closed_for_another(left)
        transport, protocol = await loop.create_connection(Protocol, sock=left)
        other.send(b"for the transport")
        await until(lambda: protocol.data)
        assert protocol.data == b"for the transport"
        transport.close()
        await until(lambda: protocol.is_lost)
        # And the other way round.
        right.close()
        other.close()
        left, other = pair_at(fd)
        with left, other:
            await receives(loop, left, other)

    run(loop, main())


def test_a_storm_of_sockets_mixes_nothing_up(world: World, loop: Any) -> None:
    async def one(number: int) -> None:
        for count in range(10):
            left, right = pair()
            with left, right:
                text = b"%d %d" % (number, count)
                reading = waits(loop, "sock_recv", left)
                await turns(number % 3)
                if (number + count) % 4 == 0:
                    await turns()
                    await cancel(reading)
                    reading = waits(loop, "sock_recv", left)
                    await turns(1)
                right.send(text)
                assert await reading == text

    async def main() -> None:
        await asyncio.gather(*map(one, range(40)))

    run(loop, main())


def test_a_datagram_is_not_lost_to_a_cancelled_reader(world: World, loop: Any) -> None:
    async def main() -> None:
        with udp() as left, udp() as right:
            for number in range(20):
                reading = waits(loop, "sock_recvfrom", left)
                await turns(1 + number % 3)
                right.sendto(b"%d" % number, left.getsockname())
                await cancel(reading)
                data, _ = await loop.sock_recvfrom(left, 10)
                assert data == b"%d" % number

    run(loop, main())
