"""What the tests of TLS share: certificates, contexts, the ways to run them, and a peer by hand.

`everywhere` runs a test in asyncio's world and, in ours, once for each way to OpenSSL. Where our
loop cannot open connections itself, our protocol runs on the transports of a stock loop: it must
run on any transport.

A `Wire` has no socket and no clock: on one end an SSLProtocol of the world under test, on the other
an `ssl.SSLObject` that the test holds in its hands. Bytes move when the test says so.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import ctypes
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import World, chosen_worlds

CERTS = Path(__file__).with_name("certs")
STOCK_PROTOCOL = asyncio.sslproto.SSLProtocol

ENDS = [
    pytest.param(world, way, id=f"{world}-{way}")
    for world, way in (("asyncio", "stock"), ("batonloop", "direct"), ("batonloop", "methods"))
    if world in chosen_worlds()
]
everywhere = pytest.mark.parametrize(("world", "way"), ENDS, indirect=["world"])


class Tls:
    """TLS of the world under test."""

    def __init__(self, world: World, way: str, patch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.way = way
        self.SSLProtocol: Any = STOCK_PROTOCOL
        if world.is_ours:
            from batonloop import _batonloop, sslproto

            self.SSLProtocol = sslproto.SSLProtocol
            before = _batonloop._ssl_way()
            self._restore = lambda: _batonloop._set_ssl_way(before)
            _batonloop._set_ssl_way(way)
            if _batonloop._ssl_way() != way:
                self._restore()
                pytest.skip(f"no {way} way to the OpenSSL of this Python")
        else:
            self._restore = lambda: None
        patch.setattr(asyncio.sslproto, "SSLProtocol", self.SSLProtocol)

    def new_event_loop(self) -> Any:
        """A loop that opens connections, with this TLS on them."""
        ours = self.world.EventLoop
        if ours.create_server is asyncio.AbstractEventLoop.create_server:
            return asyncio.SelectorEventLoop()
        return self.world.new_event_loop()

    def close(self) -> None:
        self._restore()


@pytest.fixture
def tls(world: World, way: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tls]:
    """TLS of this world, the given way."""
    result = Tls(world, way, monkeypatch)
    yield result
    result.close()


@pytest.fixture
def tls_loop(tls: Tls) -> Iterator[Any]:
    """A loop that opens connections with this TLS; closed after the test."""
    result = tls.new_event_loop()
    yield result
    result.run_until_complete(result.shutdown_default_executor())
    result.close()


@pytest.fixture
def reports(tls_loop: Any) -> list[dict[str, Any]]:
    """What the loop's exception handler is told."""
    told: list[dict[str, Any]] = []
    tls_loop.set_exception_handler(lambda loop, context: told.append(context))
    return told


# --- Contexts -----------------------------------------------------------------


def server_context(name: str = "localhost") -> ssl.SSLContext:
    """A server's, with the certificate of this name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTS / f"{name}.pem")
    return context


def client_context(*, trusting: bool = True) -> ssl.SSLContext:
    """A client's, which verifies by our authority, or by nobody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trusting:
        context.load_verify_locations(CERTS / "ca.pem")
    return context


def of_version(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    """The context, restricted to one version of TLS."""
    context.minimum_version = context.maximum_version = version
    return context


# --- A connection by hand -----------------------------------------------------


class Below(asyncio.Transport):
    """A transport below TLS that keeps what is written, and says what was done to it."""

    def __init__(self) -> None:
        super().__init__({"peername": "the test"})
        self.sent = bytearray()
        self.writes = 0
        self.calls: list[Any] = []
        self.protocol: Any = None
        self.closing = False

    def write(self, data: Any) -> None:
        self.writes += 1
        self.sent += data

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")

    def close(self) -> None:
        self.calls.append("close")
        self.closing = True

    def abort(self) -> None:
        # Which of the two a Python calls depends on its version.
        self._force_close(None)

    def _force_close(self, exc: BaseException | None) -> None:
        self.calls.append("abort" if exc is None else exc)
        self.closing = True


class Recorder(asyncio.Protocol):
    """A protocol that tells what it was told."""

    def __init__(self) -> None:
        self.story: list[Any] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.story.append("made")

    def data_received(self, data: bytes) -> None:
        self.story.append(bytes(data))

    def eof_received(self) -> Any:
        self.story.append("eof")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.story.append(("lost", exc))

    def pause_writing(self) -> None:
        self.story.append("pause")

    def resume_writing(self) -> None:
        self.story.append("resume")


class BufferedRecorder(Recorder, asyncio.BufferedProtocol):
    """The same with a buffer of its own."""

    def __init__(self, size: int = 4096) -> None:
        super().__init__()
        self.buffer: Any = memoryview(bytearray(size))

    def get_buffer(self, sizehint: int) -> Any:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.story.append(bytes(self.buffer[:nbytes]))


class Wire:
    """An SSLProtocol on a Below, and the other side as an `ssl.SSLObject`."""

    def __init__(
        self,
        tls: Tls,
        loop: Any,
        *,
        protocol: Any = None,
        server_side: bool = True,
        context: ssl.SSLContext | None = None,
        peer_context: ssl.SSLContext | None = None,
        server_hostname: str | None = "localhost",
        **options: Any,
    ) -> None:
        self.loop = loop
        self.world = tls.world
        self.protocol = Recorder() if protocol is None else protocol
        self.waiter = loop.create_future()
        if context is None:
            context = server_context() if server_side else client_context()
        if peer_context is None:
            peer_context = client_context() if server_side else server_context()
        hostname = {"server_hostname": server_hostname}
        self.ssl = tls.SSLProtocol(
            loop,
            self.protocol,
            context,
            self.waiter,
            server_side=server_side,
            **({} if server_side else hostname),
            **options,
        )
        self.below = Below()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.peer = peer_context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=not server_side,
            **(hostname if server_side else {}),
        )

    @property
    def story(self) -> list[Any]:
        return self.protocol.story

    def connect(self) -> None:
        """The transport below is made: TLS begins."""
        self.ssl.connection_made(self.below)

    def deliver(self, data: bytes, step: int | None = None) -> None:
        """Bytes come in from below, as a transport with a buffered protocol hands them on."""
        while data:
            buffer = self.ssl.get_buffer(-1)
            count = min(len(buffer), len(data), step or len(data))
            buffer[:count] = data[:count]
            self.ssl.buffer_updated(count)
            data = data[count:]

    def to_peer(self) -> None:
        """What our side has sent arrives."""
        self.incoming.write(self.below.sent)
        self.below.sent.clear()

    def from_peer(self) -> bytes:
        """What the peer has to send."""
        return self.outgoing.read()

    def shake_hands(self) -> Wire:
        """Connects, and goes on until the handshake is done on both sides."""
        self.connect()
        done = False
        for _ in range(10):
            self.to_peer()
            if not done:
                try:
                    self.peer.do_handshake()
                    done = True
                except ssl.SSLWantReadError:
                    pass
            self.deliver(self.from_peer())
            if done and self.waiter.done():
                break
        # What comes after the handshake, such as tickets.
        self.to_peer()
        assert self.peer_reads() is None
        assert self.waiter.done() and self.waiter.exception() is None
        return self

    def peer_writes(self, data: bytes) -> bytes:
        """The peer encrypts; nothing is delivered yet."""
        self.peer.write(data)
        return self.from_peer()

    def peer_reads(self) -> bytes | None:
        """All that the peer can read; b'' at the end, None if there is nothing."""
        self.to_peer()
        pieces = []
        while True:
            try:
                piece = self.peer.read(1 << 20)
            except ssl.SSLWantReadError:
                return b"".join(pieces) or None
            except ssl.SSLZeroReturnError:
                piece = b""
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)

    def peer_says_goodbye(self) -> bytes:
        """The peer's close_notify, undelivered."""
        try:
            self.peer.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self.from_peer()

    def lose(self, exc: BaseException | None = None) -> None:
        """The transport below is lost, as its loop says it, and the loop runs a turn."""
        self.ssl.connection_lost(exc)
        self.world.turn(self.loop)


# --- What Python's ssl cannot do ----------------------------------------------


class OpenSSL:
    """Functions of OpenSSL on the connection inside an `ssl.SSLObject`; skips where none is found.

    The place of the pointer in the object is known for the Pythons that are tested here.
    """

    def __init__(self) -> None:
        import _ssl

        try:
            self.library = ctypes.CDLL(_ssl.__file__)
            self.library.SSL_key_update
        except (AttributeError, OSError):
            pytest.skip("the OpenSSL of this Python shows no functions")

    def call(self, name: str, sslobj: ssl.SSLObject, *arguments: int) -> None:
        socket = sslobj._sslobj  # type: ignore[attr-defined]
        pointer = ctypes.c_void_p.from_address(id(socket) + 3 * ctypes.sizeof(ctypes.c_void_p))
        assert getattr(self.library, name)(pointer, *arguments) == 1

    def update_keys(self, sslobj: ssl.SSLObject) -> None:
        """TLS 1.3: the next record comes with new keys, and asks for such."""
        self.call("SSL_key_update", sslobj, 1)

    def renegotiate(self, sslobj: ssl.SSLObject) -> None:
        """TLS 1.2: a handshake begins anew, on a connection that is in use."""
        self.call("SSL_renegotiate", sslobj)
