"""TLS over sockets: clients, servers, start_tls, certificates, and every byte."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import resource
import select
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from conftest import open_fds
from tls_tools import (
    CERTS,
    BufferedRecorder,
    Recorder,
    Tls,
    Wire,
    client_context,
    everywhere,
    of_version,
    server_context,
    tls,
    tls_loop,
)

__all__ = ("tls", "tls_loop")

pytestmark = everywhere

TIMEOUT = 20.0


def pattern(size: int) -> bytes:
    """Bytes in which a piece that is lost, doubled or moved shows."""
    block = b"".join(i.to_bytes(4, "big") for i in range(4096))
    return (block * (size // len(block) + 1))[:size]


def run(loop: Any, main: Awaitable[Any]) -> Any:
    """Runs to the end, or fails after a generous while."""
    return loop.run_until_complete(asyncio.wait_for(main, TIMEOUT))


class Echo(asyncio.Protocol):
    """Sends back what it gets, and heeds flow control."""

    def __init__(self) -> None:
        self.lost = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost += 1


class BufferedEcho(Echo, asyncio.BufferedProtocol):
    """The same with a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = memoryview(bytearray(10_000))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(self.buffer[:nbytes])


@contextlib.asynccontextmanager
async def serving(factory: Any, context: ssl.SSLContext, **options: Any) -> Any:
    """A server on 127.0.0.1, as its port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, "127.0.0.1", 0, ssl=context, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


class Peer:
    """A TLS client of blocking sockets, in a thread: no code of ours on that side."""

    def __init__(self, port: int, talk: Callable[[ssl.SSLSocket], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.port = port
        self.talk = talk
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        try:
            with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as sock:
                with client_context().wrap_socket(sock, server_hostname="localhost") as secure:
                    self.result = self.talk(secure)
        except BaseException as error:
            self.error = error

    async def wait(self) -> Any:
        await asyncio.get_running_loop().run_in_executor(None, self.thread.join)
        if self.error is not None:
            raise self.error
        return self.result


def exchange(secure: ssl.SSLSocket, data: bytes) -> bytes:
    """Sends it all and reads as much, both at once. A second thread would not do: before 3.13
    two of them disturb each other on one connection."""
    secure.setblocking(False)
    to_send, pieces, missing = memoryview(data), [], len(data)
    while missing > 0:
        wants = select.select([secure], [secure] if to_send else [], [], TIMEOUT)
        assert any(wants)
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if to_send:
                to_send = to_send[secure.send(to_send[:65536]) :]
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while missing > 0:
                piece = secure.recv(65536)
                assert piece
                pieces.append(piece)
                missing -= len(piece)
    secure.setblocking(True)
    return b"".join(pieces)


# --- Every byte ---------------------------------------------------------------

SIZES = [1, 100, 16_384, 100_000, 1 << 20]


@pytest.mark.parametrize("factory", [Echo, BufferedEcho])
@pytest.mark.parametrize("size", SIZES)
def test_an_echo_is_the_same(tls: Tls, tls_loop: Any, factory: type[Echo], size: int) -> None:
    data = pattern(size)

    async def main() -> None:
        async with serving(factory, server_context()) as port:
            assert await Peer(port, lambda secure: exchange(secure, data)).wait() == data

    run(tls_loop, main())


@pytest.mark.slow
@pytest.mark.parametrize("factory", [Echo, BufferedEcho])
def test_an_echo_of_64_mebibytes_is_the_same(tls: Tls, tls_loop: Any, factory: type[Echo]) -> None:
    data = pattern(64 << 20)

    async def main() -> None:
        async with serving(factory, server_context()) as port:
            echoed = await Peer(port, lambda secure: exchange(secure, data)).wait()
            assert hashlib.sha256(echoed).digest() == hashlib.sha256(data).digest()

    run(tls_loop, main())


@pytest.mark.parametrize("size", [*SIZES, 8 << 20])
def test_streams_on_both_sides(tls: Tls, tls_loop: Any, size: int) -> None:
    data = pattern(size)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(100_000):
            writer.write(piece)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context())
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(), server_hostname="localhost"
        )

        async def send() -> None:
            for start in range(0, size, 70_000):
                writer.write(data[start : start + 70_000])
                await writer.drain()

        sender = asyncio.create_task(send())
        assert await reader.readexactly(size) == data
        await sender
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(tls_loop, main())


def test_many_connections_at_once(tls: Tls, tls_loop: Any) -> None:
    async def talk(port: int, number: int) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(), server_hostname="localhost"
        )
        for size in (1, 10_000, 3):
            data = bytes([number]) * size
            writer.writelines([data[:1], data[1:]])
            assert await reader.readexactly(size) == data
        writer.close()
        await writer.wait_closed()

    protocols: list[Echo] = []

    def factory() -> Echo:
        protocols.append(Echo())
        return protocols[-1]

    async def main() -> None:
        async with serving(factory, server_context()) as port:
            await asyncio.gather(*(talk(port, number) for number in range(20)))
            while sum(protocol.lost for protocol in protocols) < 20:
                await asyncio.sleep(0.001)
        assert [protocol.lost for protocol in protocols] == [1] * 20

    run(tls_loop, main())


# --- Certificates and negotiation ---------------------------------------------


def connect(port: int, factory: Any, context: ssl.SSLContext, name: str = "localhost") -> Any:
    """A client's connection, awaitable."""
    loop = asyncio.get_running_loop()
    return loop.create_connection(factory, "127.0.0.1", port, ssl=context, server_hostname=name)


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop run until it is so; the test's own time limit ends it otherwise."""
    while not condition():
        await asyncio.sleep(0.001)


async def goodbye(transport: Any, *stories: list[Any]) -> None:
    """Closes, and waits until each of these protocols has heard of its loss."""
    transport.close()
    await until(lambda: all(story and story[-1][0] == "lost" for story in stories))


def test_the_protocol_of_the_application_is_negotiated(tls: Tls, tls_loop: Any) -> None:
    server, client = Recorder(), Recorder()
    context, client_side = server_context(), client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    client_side.set_alpn_protocols(["http/1.1", "spdy"])

    async def main() -> None:
        async with serving(lambda: server, context) as port:
            transport, _ = await connect(port, lambda: client, client_side)
            await until(lambda: server.transport is not None)
            for end in (transport, server.transport):
                chosen = end.get_extra_info("ssl_object").selected_alpn_protocol()
                assert chosen == "http/1.1"
            await goodbye(transport, client.story, server.story)

    run(tls_loop, main())


def test_the_name_of_the_server_chooses_its_certificate(tls: Tls, tls_loop: Any) -> None:
    asked: list[Any] = []
    other = server_context("other")

    def choose(sslobj: Any, name: str | None, context: ssl.SSLContext) -> None:
        asked.append((type(sslobj), name, context is default))
        if name == "other.test":
            sslobj.context = other

    default = server_context()
    default.sni_callback = choose
    server, client = Recorder(), Recorder()

    async def main() -> None:
        async with serving(lambda: server, default) as port:
            transport, _ = await connect(port, lambda: client, client_context(), "other.test")
            subject = transport.get_extra_info("peercert")["subject"]
            assert subject == ((("commonName", "other"),),)
            await until(lambda: server.transport is not None)
            server.transport.write(b"hello")
            await until(lambda: b"hello" in client.story)
            await goodbye(transport, client.story, server.story)

    run(tls_loop, main())
    assert asked == [(ssl.SSLObject, "other.test", True)]


def test_a_server_may_want_a_certificate(tls: Tls, tls_loop: Any) -> None:
    context = server_context()
    context.load_verify_locations(CERTS / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    client_side = client_context()
    client_side.load_cert_chain(CERTS / "client.pem")
    server, client = Recorder(), Recorder()

    async def main() -> None:
        async with serving(lambda: server, context) as port:
            transport, _ = await connect(port, lambda: client, client_side)
            await until(lambda: server.transport is not None)
            subject = server.transport.get_extra_info("peercert")["subject"]
            assert subject == ((("commonName", "client"),),)
            await goodbye(transport, client.story, server.story)

    run(tls_loop, main())


def test_a_client_without_the_certificate_that_is_wanted(tls: Tls, tls_loop: Any) -> None:
    context = of_version(server_context(), ssl.TLSVersion.TLSv1_2)
    context.load_verify_locations(CERTS / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async def main() -> None:
        async with serving(factory, context) as port:
            before = open_fds()
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await connect(port, Recorder, client_context())
            await until(lambda: open_fds() == before)

    run(tls_loop, main())
    assert [protocol.story for protocol in made] == [[]]


@pytest.mark.parametrize(
    ("certificate", "name", "words"),
    [
        ("stranger", "localhost", "self-signed certificate"),
        ("localhost", "elsewhere", "Hostname mismatch, certificate is not valid for 'elsewhere'"),
    ],
)
def test_a_certificate_that_cannot_be_trusted(
    tls: Tls, tls_loop: Any, certificate: str, name: str, words: str
) -> None:
    client = Recorder()

    async def main() -> None:
        async with serving(Recorder, server_context(certificate)) as port:
            before = open_fds()
            with pytest.raises(ssl.SSLCertVerificationError, match=words):
                await connect(port, lambda: client, client_context(), name)
            await until(lambda: open_fds() == before)

    run(tls_loop, main())
    assert client.story == []


def test_no_version_in_common(tls: Tls, tls_loop: Any) -> None:
    context = of_version(server_context(), ssl.TLSVersion.TLSv1_2)
    client_side = of_version(client_context(), ssl.TLSVersion.TLSv1_3)

    async def main() -> None:
        async with serving(Recorder, context) as port:
            before = open_fds()
            # The server tears the connection down, and may be quicker than its alert.
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await connect(port, Recorder, client_side)
            await until(lambda: open_fds() == before)

    run(tls_loop, main())


# --- start_tls and TLS in TLS -------------------------------------------------


@pytest.mark.parametrize("factory", [Recorder, BufferedRecorder])
def test_start_tls_on_both_sides(tls: Tls, tls_loop: Any, factory: type[Recorder]) -> None:
    loop = tls_loop
    server, client = factory(), factory()

    async def main() -> None:
        listening = await loop.create_server(lambda: server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        plain, _ = await loop.create_connection(lambda: client, "127.0.0.1", port)
        plain.write(b"STARTTLS")
        await until(lambda: server.story == ["made", b"STARTTLS"])
        upgraded, secure = await asyncio.gather(
            loop.start_tls(server.transport, server, server_context(), server_side=True),
            loop.start_tls(plain, client, client_context(), server_hostname="localhost"),
        )
        assert upgraded.get_protocol() is server and secure.get_protocol() is client
        upgraded.write(b"from the server")
        secure.write(b"from the client")
        await until(lambda: len(server.story) == 3 and len(client.story) == 2)
        assert server.story == ["made", b"STARTTLS", b"from the client"]
        assert client.story == ["made", b"from the server"]
        await goodbye(secure, server.story, client.story)
        assert server.story[3:] == ["eof", ("lost", None)]
        listening.close()
        await listening.wait_closed()

    run(loop, main())


def test_start_tls_that_fails(tls: Tls, tls_loop: Any) -> None:
    loop = tls_loop
    client = Recorder()

    async def main() -> None:
        before = open_fds()
        listening = await loop.create_server(Echo, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        plain, _ = await loop.create_connection(lambda: client, "127.0.0.1", port)
        with pytest.raises(ssl.SSLError):
            # The echo of a client's hello is no server's.
            await loop.start_tls(plain, client, client_context(), server_hostname="localhost")
        assert plain.is_closing()
        listening.close()
        await listening.wait_closed()
        await until(lambda: open_fds() == before)

    run(loop, main())


@pytest.mark.parametrize("size", [1, 100_000, 2 << 20])
@pytest.mark.parametrize("factory", [Echo, BufferedEcho])
def test_tls_in_tls(tls: Tls, tls_loop: Any, size: int, factory: type[Echo]) -> None:
    loop = tls_loop
    outer, inner = Recorder(), Recorder()
    client = Recorder()
    data = pattern(size)

    async def main() -> None:
        async with serving(lambda: outer, server_context()) as port:
            first, _ = await connect(port, lambda: client, client_context())
            await until(lambda: outer.transport is not None)
            echo = factory()
            second, above = await asyncio.gather(
                loop.start_tls(first, inner, client_context(), server_hostname="localhost"),
                loop.start_tls(outer.transport, echo, server_context(), server_side=True),
            )
            echo.transport = above
            assert second.get_extra_info("ssl_object") is not first.get_extra_info("ssl_object")
            second.write(data)
            await until(lambda: sum(map(len, inner.story)) >= size)
            assert b"".join(inner.story) == data
            await goodbye(second, inner.story)
            await until(lambda: echo.lost == 1)

    run(loop, main())


# --- Ends and timeouts --------------------------------------------------------


def test_a_client_that_never_speaks(tls: Tls, tls_loop: Any) -> None:
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async def main() -> None:
        async with serving(factory, server_context(), ssl_handshake_timeout=0.02) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(tls_loop, main())
    assert [protocol.story for protocol in made] == [[]]


def test_a_server_that_never_speaks(tls: Tls, tls_loop: Any) -> None:
    silent = Recorder()

    async def main() -> None:
        server = await tls_loop.create_server(lambda: silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionAbortedError, match="SSL handshake is taking longer than"):
            await tls_loop.create_connection(
                Recorder,
                "127.0.0.1",
                port,
                ssl=client_context(),
                server_hostname="localhost",
                ssl_handshake_timeout=0.02,
            )
        await until(lambda: silent.story[-1][0] == "lost")
        server.close()
        await server.wait_closed()

    run(tls_loop, main())


def untroubled() -> ssl.SSLContext:
    """A server's context without tickets: who closes with one unread sends a reset, and what was on
    its way may be lost."""
    context = server_context()
    context.num_tickets = 0
    return context


def test_a_peer_that_does_not_say_goodbye(tls: Tls, tls_loop: Any) -> None:
    server = Recorder()

    def run_peer(port: int) -> None:
        sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        secure = client_context().wrap_socket(sock, server_hostname="localhost")
        secure.sendall(b"rude")
        # Closes the socket only; nothing is said.
        secure.close()

    async def main() -> None:
        async with serving(lambda: server, untroubled()) as port:
            await asyncio.get_running_loop().run_in_executor(None, run_peer, port)
            await until(lambda: len(server.story) == 4)

    run(tls_loop, main())
    assert server.story == ["made", b"rude", "eof", ("lost", None)]


def test_a_peer_that_says_goodbye_and_waits(tls: Tls, tls_loop: Any) -> None:
    server = Recorder()

    def talk(secure: ssl.SSLSocket) -> None:
        secure.sendall(b"polite")
        secure.unwrap()

    async def main() -> None:
        async with serving(lambda: server, server_context()) as port:
            await Peer(port, talk).wait()
            await until(lambda: len(server.story) == 4)

    run(tls_loop, main())
    assert server.story == ["made", b"polite", "eof", ("lost", None)]


def test_our_goodbye_reaches_the_peer(tls: Tls, tls_loop: Any) -> None:
    server = Recorder()

    def talk(secure: ssl.SSLSocket) -> tuple[bytes, bytes]:
        secure.suppress_ragged_eofs = False
        return secure.recv(100), secure.recv(100)

    async def main() -> None:
        async with serving(lambda: server, server_context()) as port:
            peer = Peer(port, talk)
            await until(lambda: server.transport is not None)
            server.transport.write(b"the end")
            server.transport.close()
            assert await peer.wait() == (b"the end", b"")
            await until(lambda: server.story[-1][0] == "lost")

    run(tls_loop, main())
    assert server.story[0] == "made"
    assert server.story[-1] == ("lost", None)


def test_all_that_was_written_is_sent_before_the_end(tls: Tls, tls_loop: Any) -> None:
    server = Recorder()
    data = pattern(8 << 20)

    def talk(secure: ssl.SSLSocket) -> bytes:
        pieces = []
        while piece := secure.recv(1 << 18):
            pieces.append(piece)
        return b"".join(pieces)

    async def main() -> None:
        async with serving(lambda: server, server_context()) as port:
            peer = Peer(port, talk)
            await until(lambda: server.transport is not None)
            for start in range(0, len(data), 1 << 20):
                server.transport.write(data[start : start + (1 << 20)])
            server.transport.close()
            assert await peer.wait() == data
            await until(lambda: server.story[-1][0] == "lost")

    run(tls_loop, main())


@pytest.mark.slow
def test_a_protocol_that_is_slow_holds_up_the_sender(tls: Tls, tls_loop: Any) -> None:
    server = Recorder()
    data = pattern(16 << 20)

    async def main() -> None:
        async with serving(lambda: server, untroubled()) as port:
            peer = Peer(port, lambda secure: secure.sendall(data))
            await until(lambda: server.transport is not None)
            server.transport.pause_reading()
            await asyncio.sleep(0.05)
            assert peer.thread.is_alive()
            assert server.transport.get_read_buffer_size() < 2 << 20
            received = sum(map(len, server.story[1:]))
            assert received < len(data)
            server.transport.resume_reading()
            await peer.wait()
            await until(lambda: server.story[-1][0] == "lost")

    run(tls_loop, main())
    assert b"".join(piece for piece in server.story[1:] if isinstance(piece, bytes)) == data


def test_an_abort_is_heard_of_once(tls: Tls, tls_loop: Any) -> None:
    server, client = Recorder(), Recorder()

    async def main() -> None:
        async with serving(lambda: server, server_context()) as port:
            transport, _ = await connect(port, lambda: client, client_context())
            await until(lambda: server.transport is not None)
            transport.write(bytes(1 << 20))
            transport.abort()
            assert client.story == ["made"]
            await until(lambda: len(client.story) > 1 and server.story[-1][0] == "lost")

    run(tls_loop, main())
    assert client.story == ["made", ("lost", None)]
    assert [entry for entry in server.story if entry[0] == "lost"] == [server.story[-1]]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() <= before


# --- The ways to OpenSSL ------------------------------------------------------

TELL_THE_WAY = """
from batonloop import _batonloop
print(_batonloop._ssl_way())
"""


def test_the_environment_chooses_the_way(tls: Tls, run_program: Callable[..., Any]) -> None:
    if tls.way != "direct":
        pytest.skip("nothing to choose")
    for value, expected in (("", "direct"), ("direct", "direct"), ("methods", "methods")):
        done = run_program(TELL_THE_WAY, env={"BATONLOOP_SSL": value})
        assert (done.out, done.err) == (f"{expected}\n", "")
    done = run_program(TELL_THE_WAY, env={"BATONLOOP_SSL": "carrier pigeon"})
    assert done.status != 0
    assert "BATONLOOP_SSL is \"carrier pigeon\"; set it to 'direct', to 'methods'" in done.err


def test_the_way_is_gone_when_it_should(tls: Tls, tls_loop: Any) -> None:
    if not tls.world.is_ours:
        pytest.skip("asyncio has one way")
    with pytest.raises(ValueError, match="way must be 'direct' or 'methods', not \"pigeon\""):
        from batonloop import _batonloop

        _batonloop._set_ssl_way("pigeon")
    server, client = Recorder(), Recorder()
    talkative = server_context()
    messages: list[Any] = []
    talkative._msg_callback = lambda *args: messages.append(args)  # type: ignore[attr-defined]

    async def main() -> None:
        for context, is_direct in ((server_context(), True), (talkative, False)):
            server.story.clear()
            client.story.clear()
            async with serving(lambda: server, context) as port:
                transport, _ = await connect(port, lambda: client, client_context())
                await until(lambda: server.story != [])
                protocol = server.transport._ssl_protocol
                assert protocol._is_direct == (is_direct and tls.way == "direct")
                await goodbye(transport, client.story, server.story)

    run(tls_loop, main())
    assert messages != []


@pytest.mark.slow
def test_connections_leave_no_memory_behind(tls: Tls, tls_loop: Any) -> None:
    server_side, client_side = server_context(), client_context()

    def resident() -> int:
        gc.collect()
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    def some(count: int) -> int:
        for _ in range(count):
            wire = Wire(tls, tls_loop, context=server_side, peer_context=client_side)
            wire.shake_hands()
            wire.deliver(wire.peer_writes(bytes(20_000)))
            wire.protocol.transport.write(bytes(20_000))
            wire.peer_reads()
            wire.lose()
        return resident()

    before = some(100)
    # One that leaked its buffer would add 30 MB, one that leaked its OpenSSL objects over 5.
    assert some(100) - before < 2_500_000 or some(100) - before < 2_500_000
