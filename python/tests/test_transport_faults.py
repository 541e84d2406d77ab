"""Protocols of stream transports that raise: who is told, and what becomes of the connection."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from conftest import World
from net_tools import BufferedRecorder, Recorder, joined, receive, wired
from task_tools import gather_reports


class Mine(Exception):
    """What the protocols of these tests raise."""


class MineBelow(BaseException):
    """A BaseException that is not one of those which end a program."""


def raising(error: BaseException) -> Any:
    def hook(*args: object) -> None:
        raise error

    return hook


def provoke(name: str, peer: socket.socket) -> None:
    """Do at the other end what makes the loop call this callback."""
    if name in ("data_received", "get_buffer", "buffer_updated"):
        peer.sendall(b"x")
    if name in ("eof_received", "connection_lost"):
        peer.shutdown(socket.SHUT_WR)


FATAL = [
    (Recorder, "data_received"),
    (Recorder, "eof_received"),
    (BufferedRecorder, "get_buffer"),
    (BufferedRecorder, "buffer_updated"),
    (BufferedRecorder, "eof_received"),
]
INTERRUPTS = [KeyboardInterrupt, SystemExit]


@pytest.mark.parametrize(("recorder", "name"), FATAL)
@pytest.mark.parametrize(
    "error", [Mine("x"), MineBelow("x"), asyncio.CancelledError(), GeneratorExit(), StopIteration()]
)
def test_what_a_callback_raises_is_reported_and_ends_the_connection(
    world: World, loop: Any, recorder: type, name: str, error: BaseException
) -> None:
    protocol = recorder(**{name: raising(error)})
    reports = gather_reports(loop)
    with wired(world, loop, protocol) as (transport, peer):
        provoke(name, peer)
        world.run_until(loop, lambda: bool(reports))
        assert reports == [
            {
                "message": f"Fatal error: protocol.{name}() call failed.",
                "exception": error,
                "transport": transport,
                "protocol": protocol,
            }
        ]
        assert transport.is_closing()
        world.turn(loop, 3)
        assert len(protocol.lost) == 1 and protocol.lost[0] is error
        assert len(reports) == 1
        assert transport.get_extra_info("socket").fileno() == -1


@pytest.mark.parametrize(("recorder", "name"), FATAL)
def test_an_oserror_of_a_callback_is_taken_for_one_of_the_network(
    world: World, loop: Any, kind: str, recorder: type, name: str
) -> None:
    error = OSError(5, "mine")
    protocol = recorder(**{name: raising(error)})
    reports = gather_reports(loop)
    with wired(world, loop, protocol, kind) as (_, peer):
        provoke(name, peer)
        world.run_until(loop, lambda: bool(protocol.lost))
        assert protocol.lost == [error]
        assert reports == []


@pytest.mark.parametrize(("recorder", "name"), FATAL)
@pytest.mark.parametrize("error", INTERRUPTS)
def test_an_interrupt_comes_out_of_the_loop_and_the_connection_goes_on(
    world: World, loop: Any, recorder: type, name: str, error: type[BaseException]
) -> None:
    protocol = recorder(**{name: raising(error())})
    reports = gather_reports(loop)
    with wired(world, loop, protocol) as (transport, peer):
        provoke(name, peer)
        with pytest.raises(error):
            world.run_until(loop, lambda: False)
        protocol.hooks.clear()
        assert not transport.is_closing()
        assert protocol.lost == [] and reports == []
        transport.write(b"still open")
        assert peer.recv(100) == b"still open"
        peer.close()
        world.run_until(loop, lambda: bool(protocol.lost))
        assert protocol.lost == [None]


def test_a_report_may_come_before_what_waits_is_dropped(world: World, loop: Any, kind: str) -> None:
    sizes: list[int] = []
    protocol = Recorder(data_received=raising(Mine()))
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        loop.set_exception_handler(lambda *_: sizes.append(transport.get_write_buffer_size()))
        transport.write(b"x" * 500_000)
        peer.sendall(b"y")
        world.run_until(loop, lambda: bool(protocol.lost))
        # The handler still saw it; the peer gets no more than the kernel had.
        assert sizes[0] > 0
        assert transport.get_write_buffer_size() == 0
        assert len(receive(loop, peer)) < 500_000


@pytest.mark.parametrize("error", [Mine("x"), OSError(5, "mine"), asyncio.CancelledError()])
def test_a_failing_connection_made_is_reported_and_the_connection_lives(
    world: World, loop: Any, kind: str, error: BaseException
) -> None:
    # It is a callback like any other: nothing but the report comes of it.
    protocol = Recorder(connection_made=raising(error))
    reports = gather_reports(loop)
    with wired(world, loop, protocol, kind) as (transport, peer):
        assert len(reports) == 1
        assert reports[0]["exception"] is error
        assert reports[0]["message"].startswith("Exception in callback ")
        assert "connection_made" in reports[0]["message"]
        assert "handle" in reports[0]
        peer.sendall(b"x")
        world.run_until(loop, lambda: protocol.received == b"x")
        transport.write(b"y")
        assert peer.recv(1) == b"y"


@pytest.mark.parametrize("error", INTERRUPTS)
def test_an_interrupt_out_of_connection_made_loses_nothing(
    world: World, loop: Any, error: type[BaseException]
) -> None:
    ours, theirs = joined()
    protocol = Recorder(connection_made=raising(error()))
    task = loop.create_task(loop.create_connection(lambda: protocol, sock=ours))
    with pytest.raises(error):
        loop.run_until_complete(task)
    transport, _ = loop.run_until_complete(task)
    theirs.sendall(b"x")
    world.run_until(loop, lambda: protocol.received == b"x")
    transport.abort()
    world.turn(loop, 2)
    theirs.close()


@pytest.mark.parametrize("error", [Mine("x"), OSError(5, "mine"), asyncio.CancelledError()])
@pytest.mark.parametrize("waits", [False, True])
def test_a_failing_connection_lost_is_reported_and_the_socket_closed(
    world: World, loop: Any, kind: str, error: BaseException, waits: bool
) -> None:
    protocol = Recorder(connection_lost=raising(error))
    reports = gather_reports(loop)
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        sock = transport._sock
        if waits:
            transport.write(b"x" * 500_000)
        transport.close()
        receive(loop, peer)
        world.turn(loop, 2)
        assert [report["exception"] for report in reports] == [error]
        assert reports[0]["message"].startswith("Exception in callback ")
        assert protocol.lost == [None]
        assert sock.fileno() == -1


@pytest.mark.parametrize("error", INTERRUPTS)
def test_an_interrupt_out_of_connection_lost_closes_the_socket_too(
    world: World, loop: Any, error: type[BaseException]
) -> None:
    protocol = Recorder(connection_lost=raising(error()))
    with wired(world, loop, protocol) as (transport, peer):
        sock = transport._sock
        transport.close()
        with pytest.raises(error):
            world.turn(loop)
        assert sock.fileno() == -1
        assert peer.recv(1) == b""
        world.turn(loop, 2)
        assert protocol.lost == [None]


def test_a_protocol_without_the_callback_is_reported(world: World, loop: Any) -> None:
    class Silent:
        def connection_made(self, transport: object) -> None:
            pass

        def connection_lost(self, exc: BaseException | None) -> None:
            lost.append(exc)

    lost: list[BaseException | None] = []
    reports = gather_reports(loop)
    with wired(world, loop, Silent()) as (_, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(lost))
        assert type(lost[0]) is AttributeError
        assert "data_received" in str(lost[0])
        message = "Fatal error: protocol.data_received() call failed."
        assert [report["message"] for report in reports] == [message]


def test_an_answer_of_eof_received_that_cannot_be_judged(world: World, loop: Any) -> None:
    class Undecided:
        def __bool__(self) -> bool:
            raise Mine

    # Outside of what guards the callback: the loop reports its own handle.
    protocol = Recorder(eof_received=lambda _: Undecided())
    reports = gather_reports(loop)
    with wired(world, loop, protocol) as (transport, peer):
        peer.shutdown(socket.SHUT_WR)
        world.run_until(loop, lambda: bool(reports))
        assert type(reports[0]["exception"]) is Mine
        assert reports[0]["message"].startswith("Exception in callback ")
        assert not transport.is_closing()


def test_the_handler_may_close_the_transport_it_is_told_of(
    world: World, loop: Any, kind: str
) -> None:
    def handler(_: object, context: dict[str, Any]) -> None:
        contexts.append(context)
        context["transport"].close()
        context["transport"].abort()

    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(handler)
    error = Mine()
    protocol = Recorder(data_received=raising(error))
    with wired(world, loop, protocol, kind) as (_, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(protocol.lost))
        world.turn(loop, 3)
        # What the handler did came first, and its reason counts.
        assert protocol.lost == [None]
        assert len(contexts) == 1


@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_callback_that_ends_its_connection_and_raises(
    world: World, loop: Any, kind: str, end: str
) -> None:
    def received(protocol: Recorder, data: bytes) -> None:
        getattr(protocol.transport, end)()
        raise error

    error = Mine()
    protocol = Recorder(data_received=received)
    reports = gather_reports(loop)
    with wired(world, loop, protocol, kind) as (_, peer):
        peer.sendall(b"x")
        world.run_until(loop, lambda: bool(protocol.lost))
        world.turn(loop, 3)
        assert protocol.lost == [None]
        assert [report["exception"] for report in reports] == [error]


def test_callbacks_run_in_the_loop_and_not_in_a_task(world: World, loop: Any) -> None:
    def look(*args: object) -> None:
        seen.append(asyncio.get_running_loop() is loop and asyncio.current_task() is None)

    seen: list[bool] = []
    names = ("connection_made", "data_received", "eof_received", "connection_lost")
    protocol = Recorder(**dict.fromkeys(names, look))
    with wired(world, loop, protocol) as (_, peer):
        peer.sendall(b"x")
        peer.shutdown(socket.SHUT_WR)
        world.run_until(loop, lambda: bool(protocol.lost))
        assert seen == [True] * 4
