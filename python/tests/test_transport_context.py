"""The contexts in which the callbacks of a connection run."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from typing import Any

import pytest
from conftest import World
from net_tools import PY, BufferedRecorder, Guests, Recorder, call_on, joined

# Since 3.15 a connection has one context, in which every callback of it runs. Before, each handle
# copies the context in which it is made.
ONE_CONTEXT = PY >= (3, 15)

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

NAMES = ("connection_made", "data_received", "buffer_updated", "eof_received", "connection_lost")


def in_context(value: str, call: Any, *args: Any) -> Any:
    """Call in a copy of this context in which the variable has this value."""
    context = contextvars.copy_context()
    context.run(variable.set, value)
    return context.run(call, *args)


def looking(seen: list[tuple[str, str]], change: bool = False) -> dict[str, Any]:
    """Hooks that write down the variable's value, and then may change it."""

    def look(name: str) -> Any:
        def hook(*args: object) -> None:
            seen.append((name, variable.get()))
            if change:
                variable.set(f"set by {name}")

        return hook

    return {name: look(name) for name in NAMES}


@pytest.mark.parametrize("recorder", [Recorder, BufferedRecorder])
def test_callbacks_run_in_the_context_of_who_connected(
    world: World, loop: Any, kind: str, recorder: type
) -> None:
    seen: list[tuple[str, str]] = []
    ours, theirs = joined(kind)
    protocol = recorder(**looking(seen))
    # create_connection becomes a task, and a task copies the context it is made in.
    coro = loop.create_connection(lambda: protocol, sock=ours)
    task = in_context("connector", loop.create_task, coro)
    loop.run_until_complete(task)
    theirs.sendall(b"x")
    world.run_until(loop, lambda: bool(protocol.received))
    theirs.close()
    world.run_until(loop, lambda: bool(protocol.lost))
    assert len(seen) == 4
    assert {value for _, value in seen} == {"connector"}
    assert variable.get() == "unset"


def test_callbacks_of_guests_run_in_the_context_of_who_serves(world: World, loop: Any) -> None:
    seen: list[tuple[str, str]] = []
    guests = Guests(**looking(seen, change=True))
    coro = loop.create_server(guests, "127.0.0.1", 0)
    task = in_context("server", loop.create_task, coro)
    server = loop.run_until_complete(task)
    for _ in range(2):
        with call_on(server):
            pass
    world.run_until(loop, lambda: guests.are_here(2) and guests.are_gone())
    made = [value for name, value in seen if name == "connection_made"]
    # Each guest starts afresh, whatever the one before has set.
    assert made == ["server", "server"]
    server.close()


def test_what_a_callback_sets_is_there_for_the_next(world: World, loop: Any, kind: str) -> None:
    seen: list[tuple[str, str]] = []
    ours, theirs = joined(kind)
    protocol = Recorder(**looking(seen, change=True))
    coro = loop.create_connection(lambda: protocol, sock=ours)
    loop.run_until_complete(in_context("connector", loop.create_task, coro))
    for count in (1, 2):
        theirs.sendall(b"x")
        world.run_until(loop, lambda count=count: len(protocol.received) == count)
    theirs.shutdown(socket.SHUT_WR)
    world.run_until(loop, lambda: bool(protocol.lost))
    assert seen == [
        ("connection_made", "connector"),
        # connection_made had a copy of its own, the reads have one for all of them.
        ("data_received", "set by connection_made" if ONE_CONTEXT else "connector"),
        ("data_received", "set by data_received"),
        ("eof_received", "set by data_received"),
        ("connection_lost", "set by eof_received"),
    ]
    theirs.close()


@pytest.mark.parametrize("end", ["close", "abort"])
def test_connection_lost_runs_in_the_context_of_who_closes(
    world: World, loop: Any, kind: str, end: str
) -> None:
    seen: list[tuple[str, str]] = []
    ours, theirs = joined(kind)
    protocol = Recorder(**looking(seen))
    coro = loop.create_connection(lambda: protocol, sock=ours)
    transport, _ = loop.run_until_complete(in_context("connector", loop.create_task, coro))
    in_context("closer", getattr(transport, end))
    world.turn(loop, 2)
    assert seen == [
        ("connection_made", "connector"),
        ("connection_lost", "connector" if ONE_CONTEXT else "closer"),
    ]
    theirs.close()


def test_reads_run_in_the_context_of_who_resumed_them(world: World, loop: Any, kind: str) -> None:
    seen: list[tuple[str, str]] = []
    ours, theirs = joined(kind)
    protocol = Recorder(**looking(seen))
    coro = loop.create_connection(lambda: protocol, sock=ours)
    transport, _ = loop.run_until_complete(in_context("connector", loop.create_task, coro))
    in_context("pauser", transport.pause_reading)
    in_context("resumer", transport.resume_reading)
    theirs.sendall(b"x")
    world.run_until(loop, lambda: bool(protocol.received))
    assert seen[1:] == [("data_received", "connector" if ONE_CONTEXT else "resumer")]
    transport.abort()
    world.turn(loop, 2)
    theirs.close()


def test_resume_writing_runs_in_the_context_of_who_wrote(
    world: World, loop: Any, kind: str
) -> None:
    seen: list[str] = []
    ours, theirs = joined(kind, small=True)
    look = lambda *_: seen.append(variable.get())
    protocol = Recorder(pause_writing=look, resume_writing=look)
    coro = loop.create_connection(lambda: protocol, sock=ours)
    transport, _ = loop.run_until_complete(in_context("connector", loop.create_task, coro))
    in_context("writer", transport.write, b"x" * 500_000)
    # pause_writing is called within write.
    assert seen == ["writer"]
    theirs.setblocking(False)

    def read() -> bool:
        try:
            theirs.recv(1 << 20)
        except BlockingIOError:
            pass
        return len(seen) == 2

    world.run_until(loop, read)
    assert seen == ["writer", "connector" if ONE_CONTEXT else "writer"]
    transport.abort()
    world.turn(loop, 2)
    theirs.close()


@pytest.mark.parametrize("at", ["connection_made", "connection_lost"])
def test_the_exception_handler_is_called_in_the_context_of_the_callback(
    world: World, loop: Any, at: str
) -> None:
    """Since 3.12: a log of errors then knows whose request it was."""
    seen: list[tuple[str, str]] = []
    loop.set_exception_handler(
        lambda _, context: seen.append((type(context["exception"]).__name__, variable.get()))
    )

    def fail(*args: object) -> None:
        raise ZeroDivisionError

    ours, theirs = joined()
    protocol = Recorder(**{at: fail})
    task = in_context(
        "connector", loop.create_task, loop.create_connection(lambda: protocol, sock=ours)
    )
    transport, _ = loop.run_until_complete(task)
    in_context("closer", transport.close)
    theirs.close()
    world.run_until(loop, lambda: bool(seen))
    where = "unset" if PY < (3, 12) else "connector"
    if at == "connection_lost" and (3, 12) <= PY < (3, 15):
        where = "closer"
    assert seen == [("ZeroDivisionError", where)]


def test_the_exception_handler_of_a_datagram_too(world: World, loop: Any) -> None:
    seen: list[str] = []
    loop.set_exception_handler(lambda _, context: seen.append(variable.get()))

    class Failing(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            raise ZeroDivisionError

    task = in_context(
        "maker",
        loop.create_task,
        loop.create_datagram_endpoint(Failing, local_addr=("127.0.0.1", 0)),
    )
    transport, _ = loop.run_until_complete(task)
    transport.sendto(b"x", transport.get_extra_info("sockname"))
    world.run_until(loop, lambda: bool(seen))
    transport.abort()
    world.turn(loop, 2)
    assert seen == ["unset" if PY < (3, 12) else "maker"]
