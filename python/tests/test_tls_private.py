"""What asyncio's SSLProtocol has under private names, which others read, call and replace."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tls_tools import (
    STOCK_PROTOCOL,
    BufferedRecorder,
    Tls,
    Wire,
    client_context,
    everywhere,
    reports,
    server_context,
    tls,
    tls_loop,
)

__all__ = ("reports", "tls", "tls_loop")
pytestmark = everywhere

METHODS = [
    name
    for name, value in vars(STOCK_PROTOCOL).items()
    if callable(value) and not name.startswith("__")
]


def test_every_attribute_of_asyncios_is_there(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop)
    buffered = Wire(tls, tls_loop, protocol=BufferedRecorder())
    theirs = STOCK_PROTOCOL(
        tls_loop, buffered.protocol, wire.ssl._sslcontext, None, server_side=True
    )
    for name in dir(theirs):
        assert hasattr(buffered.ssl, name), name
    for protocol in (wire.ssl, theirs, buffered.ssl):
        protocol._app_transport.abort()


def test_attributes_can_be_set(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    theirs = STOCK_PROTOCOL(tls_loop, wire.protocol, wire.ssl._sslcontext, None, server_side=True)
    theirs._app_transport.abort()
    for name in vars(theirs):
        if name in ("_ssl_buffer", "_ssl_buffer_view", "_write_backlog"):
            continue  # asyncio's may be set too; ours are what they are.
        value = getattr(wire.ssl, name)
        setattr(wire.ssl, name, value)
        assert getattr(wire.ssl, name) == value
    wire.deliver(wire.peer_writes(b"still alive"))
    assert wire.story == ["made", b"still alive"]

    wire.ssl._outgoing_high_water = 5
    wire.ssl._outgoing_low_water = 1
    assert wire.protocol.transport.get_write_buffer_limits() == (1, 5)
    wire.ssl._app_reading_paused = True
    assert not wire.protocol.transport.is_reading()
    wire.ssl._extra = {"mine": 1}
    assert wire.protocol.transport.get_extra_info("mine") == 1
    below, wire.ssl._transport = wire.ssl._transport, None
    assert wire.protocol.transport.get_extra_info("peername") is None
    wire.ssl._transport = below
    wire.ssl.anything = "else"
    assert vars(wire.ssl)["anything"] == "else"
    wire.lose()


def recorded(wire: Wire, names: list[str], story: list[str]) -> None:
    """Replaces methods of the one object by such as tell that they were called."""

    def replace(name: str) -> None:
        method = getattr(wire.ssl, name)

        def tell(*args: Any, **kwargs: Any) -> Any:
            story.append(name)
            return method(*args, **kwargs)

        setattr(wire.ssl, name, tell)

    for name in names:
        replace(name)


def life(wire: Wire, story: list[str]) -> None:
    """All that a connection does, but for failures."""
    wire.shake_hands()
    wire.deliver(wire.peer_writes(b"question"))
    transport = wire.protocol.transport
    story.append("writes")
    transport.write(b"answer")
    transport.writelines([b"two ", b"words"])
    transport.set_write_buffer_limits(1, 0)
    transport.set_read_buffer_limits()
    story.append("pauses")
    transport.pause_reading()
    transport.resume_reading()
    wire.world.turn(wire.loop)
    transport.get_extra_info("peername")
    transport.get_write_buffer_size()
    transport.set_protocol(transport.get_protocol())
    story.append("closes")
    transport.close()
    wire.deliver(wire.peer_says_goodbye())
    wire.world.turn(wire.loop)
    story.append("is lost")
    wire.lose()


def failure(wire: Wire, story: list[str]) -> None:
    """An application that fails, and goes on writing."""
    wire.shake_hands()

    def fail(*args: Any) -> None:
        raise ZeroDivisionError

    wire.protocol.data_received = wire.protocol.buffer_updated = fail
    wire.deliver(wire.peer_writes(b"question"))
    wire.protocol.transport.write(b"too late")
    story.append("closes")
    wire.protocol.transport.abort()
    wire.lose()


def refusal(wire: Wire, story: list[str]) -> None:
    """A handshake that fails."""
    wire.connect()
    wire.deliver(b"x" * 100)
    wire.lose()
    wire.waiter.exception()


def goodbye(wire: Wire, story: list[str]) -> None:
    """The other side ends the connection, and then the file."""
    wire.shake_hands()
    wire.deliver(wire.peer_says_goodbye())
    story.append("eof")
    wire.ssl.eof_received()
    wire.lose()


def timeout(wire: Wire, story: list[str]) -> None:
    """A handshake that takes too long."""
    wire.connect()
    wire.ssl._check_handshake_timeout()
    wire.ssl._check_shutdown_timeout()
    wire.lose()
    wire.waiter.cancel()


def narrator(base: Any, names: list[str], story: list[str]) -> Any:
    """A subclass whose methods tell that they were called."""

    def override(name: str) -> Any:
        def tell(self: Any, *args: Any, **kwargs: Any) -> Any:
            story.append(name)
            return getattr(base, name)(self, *args, **kwargs)

        return tell

    return type("Narrator", (base,), {name: override(name) for name in names})


@pytest.fixture(params=[life, failure, refusal, goodbye, timeout], ids=lambda scene: scene.__name__)
def scene(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[False, True], ids=["client", "server"])
def server_side(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=[False, True], ids=["plain", "buffered"])
def wired(request: pytest.FixtureRequest, tls_loop: Any, server_side: bool) -> Callable[..., Wire]:
    """Makes a wire for a kind of SSLProtocol, with a protocol of its own above."""

    def wire(kind: Any) -> Wire:
        protocol = BufferedRecorder() if request.param else None
        return Wire(kind, tls_loop, server_side=server_side, protocol=protocol)

    return wire


def test_a_method_may_be_replaced_on_the_object(
    tls: Tls, reports: list[dict[str, Any]], scene: Any, wired: Callable[..., Wire]
) -> None:
    # What is replaced is called where asyncio calls it, and so is what is not.
    stories: list[list[str]] = []
    stock = SimpleNamespace(SSLProtocol=STOCK_PROTOCOL, world=tls.world)
    for kind in (stock, tls):
        story: list[str] = []
        wire = wired(kind)
        recorded(wire, METHODS, story)
        scene(wire, story)
        stories.append(story)
        reports.clear()
    assert stories[0] == stories[1]


def test_every_method_may_be_overridden(
    tls: Tls, reports: list[dict[str, Any]], scene: Any, wired: Callable[..., Wire]
) -> None:
    # The same by a subclass, whose methods are called while it is made too.
    stories: list[list[str]] = []
    for base in (STOCK_PROTOCOL, tls.SSLProtocol):
        story: list[str] = []
        kind: Any = SimpleNamespace(SSLProtocol=narrator(base, METHODS, story), world=tls.world)
        wire = wired(kind)
        story.append("is made")
        scene(wire, story)
        stories.append(story)
        reports.clear()
    assert stories[0] == stories[1]
    made = stories[0][: stories[0].index("is made")]
    assert made == [
        "_set_app_protocol",
        "_set_read_buffer_limits",
        "_set_write_buffer_limits",
        "_get_app_transport",
    ]


def test_what_is_overridden_counts_while_the_object_is_made(tls: Tls, tls_loop: Any) -> None:
    class Wrapped(tls.SSLProtocol):  # type: ignore[misc, name-defined]
        def _set_app_protocol(self, app_protocol: Any) -> None:
            seen.append((app_protocol, self._loop, self._waiter))
            super()._set_app_protocol(recorder)

        def _set_read_buffer_limits(self, high: Any = None, low: Any = None) -> None:
            seen.append(self._sslobj.server_side)
            super()._set_read_buffer_limits(high or 8, low)

        def _set_write_buffer_limits(self, high: Any = None, low: Any = None) -> None:
            super()._set_write_buffer_limits(high or 12, low)

    seen: list[Any] = []
    recorder = BufferedRecorder()
    kind: Any = SimpleNamespace(SSLProtocol=Wrapped, world=tls.world)
    wire = Wire(kind, tls_loop)
    assert seen == [(wire.protocol, tls_loop, wire.waiter), True]
    wire.shake_hands()
    transport = recorder.transport
    assert transport.get_protocol() is recorder
    assert transport.get_read_buffer_limits() == (2, 8)
    assert transport.get_write_buffer_limits() == (3, 12)
    assert wire.story == []
    wire.lose()


@pytest.mark.parametrize("name", ["_do_write", "_process_outgoing"])
def test_what_is_replaced_is_not_called(tls: Tls, tls_loop: Any, name: str) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    setattr(wire.ssl, name, lambda: None)
    wire.protocol.transport.write(b"first")
    assert wire.peer_reads() is None
    delattr(wire.ssl, name)
    wire.ssl._do_write()
    assert wire.peer_reads() == b"first"
    wire.protocol.transport.write(b"second")
    assert wire.peer_reads() == b"second"
    wire.lose()


def test_a_method_may_be_overridden(tls: Tls, tls_loop: Any) -> None:
    class Narrator(tls.SSLProtocol):  # type: ignore[misc, name-defined]
        def _fatal_error(self, exc: BaseException, message: str = "") -> None:
            told.append(message)

        def _do_read(self) -> None:
            told.append("reads")
            super()._do_read()

    told: list[str] = []
    kind: Any = SimpleNamespace(SSLProtocol=Narrator, world=tls.world)
    wire = Wire(kind, tls_loop).shake_hands()
    told.clear()
    wire.deliver(wire.peer_writes(b"hello"))
    assert told == ["reads"]
    assert wire.story == ["made", b"hello"]
    told.clear()
    wire.deliver(b"x" * 100)
    assert told == ["reads", "Fatal error on SSL protocol"]
    assert wire.below.calls == []
    wire.lose()


@pytest.mark.parametrize("name", ["_handshake_timeout_handle", "_shutdown_timeout_handle"])
def test_a_timer_is_forgotten_after_it_was_cancelled(tls: Tls, tls_loop: Any, name: str) -> None:
    class Timer:
        def cancel(self) -> None:
            seen.append(getattr(wire.ssl, name))
            setattr(wire.ssl, name, "another")

    seen: list[Any] = []
    wire = Wire(tls, tls_loop).shake_hands()
    timer = Timer()
    setattr(wire.ssl, name, timer)
    wire.lose()
    assert seen == [timer]
    assert getattr(wire.ssl, name) is None


def test_the_private_methods_do_what_asyncios_do(
    tls: Tls, tls_loop: Any, reports: list[dict[str, Any]]
) -> None:
    states = asyncio.sslproto.SSLProtocolState
    wire = Wire(tls, tls_loop)
    with pytest.raises(RuntimeError, match="cannot switch state"):
        wire.ssl._set_state(states.WRAPPED)
    wire.shake_hands()
    wire.ssl._set_write_buffer_limits(high=7)
    assert wire.protocol.transport.get_write_buffer_limits() == (1, 7)
    wire.ssl._set_read_buffer_limits(high=9)
    assert wire.protocol.transport.get_read_buffer_limits() == (2, 9)
    wire.ssl._call_eof_received()
    assert wire.story == ["made", "eof"]
    wire.ssl._set_state(states.FLUSHING)
    assert wire.ssl._state == states.FLUSHING
    wire.ssl._on_shutdown_complete(ZeroDivisionError())
    assert [type(call) for call in wire.below.calls] == [ZeroDivisionError]
    assert [report["message"] for report in reports] == ["Fatal error on transport"]
    wire.lose()


def test_what_a_transport_calls_may_be_replaced_on_a_connection(tls: Tls, tls_loop: Any) -> None:
    sizes: list[int] = []

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(5))
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context())
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(), server_hostname="localhost"
        )
        protocol: Any = writer.transport._ssl_protocol  # type: ignore[attr-defined]
        original = protocol.buffer_updated

        def buffer_updated(nbytes: int) -> None:
            sizes.append(nbytes)
            original(nbytes)

        protocol.buffer_updated = buffer_updated
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    tls_loop.run_until_complete(main())
    assert sizes
