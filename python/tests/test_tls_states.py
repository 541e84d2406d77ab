"""The states of a TLS connection, driven by hand: no sockets, every byte at the test's word."""

from __future__ import annotations

import array
import asyncio
import gc
import logging
import ssl
import sys
import warnings
import weakref
from typing import Any

import pytest
from conftest import Log
from tls_tools import (
    CERTS,
    BufferedRecorder,
    OpenSSL,
    Recorder,
    Tls,
    Wire,
    client_context,
    everywhere,
    of_version,
    reports,
    server_context,
    tls,
    tls_loop,
)

__all__ = ("reports", "tls", "tls_loop")

pytestmark = everywhere

VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)


# --- The handshake ------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize("server_side", [True, False])
@pytest.mark.parametrize("step", [None, 1, 7])
def test_a_handshake_needs_no_whole_records(
    tls: Tls, tls_loop: Any, version: ssl.TLSVersion, server_side: bool, step: int | None
) -> None:
    wire = Wire(
        tls,
        tls_loop,
        server_side=server_side,
        context=of_version(server_context() if server_side else client_context(), version),
    )
    deliver = wire.deliver
    wire.deliver = lambda data: deliver(data, step)  # type: ignore[method-assign, assignment]
    wire.shake_hands()
    assert wire.story == ["made"]
    wire.deliver(wire.peer_writes(b"hello"))
    wire.protocol.transport.write(b"world")
    assert wire.peer_reads() == b"world"
    assert b"".join(wire.story[1:]) == b"hello"
    if step is None:
        assert wire.story == ["made", b"hello"]
    assert wire.below.calls == []
    wire.lose()


def test_data_that_comes_with_the_end_of_the_handshake_is_not_lost(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop)
    wire.connect()
    with pytest.raises(ssl.SSLWantReadError):
        wire.peer.do_handshake()
    wire.deliver(wire.from_peer())
    wire.to_peer()
    wire.peer.do_handshake()
    assert wire.story == []
    wire.deliver(wire.from_peer() + wire.peer_writes(b"early") + wire.peer_writes(b"bird"))
    assert wire.story == ["made", b"earlybird"]
    assert wire.waiter.done()
    wire.lose()


def test_bytes_put_into_incoming_before_the_connection_are_part_of_the_handshake(
    tls: Tls, tls_loop: Any
) -> None:
    # What asyncio's start_tls() does with what a StreamReader has read too much.
    wire = Wire(tls, tls_loop)
    with pytest.raises(ssl.SSLWantReadError):
        wire.peer.do_handshake()
    wire.ssl._incoming.write(wire.from_peer())
    wire.connect()
    assert len(wire.below.sent) > 0
    wire.to_peer()
    wire.peer.do_handshake()
    wire.deliver(wire.from_peer())
    assert wire.story == ["made"]
    wire.lose()


def test_the_waiter_is_woken_after_connection_made(tls: Tls, tls_loop: Any) -> None:
    seen = []

    class Curious(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            seen.append(wire.waiter.done())
            seen.append(transport.get_extra_info("ssl_object") is wire.ssl._sslobj)

    wire = Wire(tls, tls_loop, protocol=Curious())
    wire.shake_hands()
    assert seen == [False, True]
    wire.lose()


def test_without_connection_made_the_protocol_only_gets_data(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop, call_connection_made=False).shake_hands()
    assert wire.story == []
    wire.deliver(wire.peer_writes(b"x"))
    assert wire.story == [b"x"]
    wire.lose()
    assert wire.story == [b"x", ("lost", None)]


def test_what_is_written_before_the_handshake_is_done_is_sent_after_it(
    tls: Tls, tls_loop: Any
) -> None:
    wire = Wire(tls, tls_loop, call_connection_made=False)
    transport = wire.ssl._app_transport
    wire.connect()
    transport.write(b"patience ")
    transport.writelines([b"is ", b"a "])
    transport.write(memoryview(b"virtue"))
    assert transport.get_write_buffer_size() >= 20
    with pytest.raises(ssl.SSLWantReadError):
        wire.peer.do_handshake()
    wire.deliver(wire.from_peer())
    wire.to_peer()
    wire.peer.do_handshake()
    wire.deliver(wire.from_peer())
    assert wire.peer_reads() == b"patience is a virtue"
    assert transport.get_write_buffer_size() == 0
    wire.lose()


def test_a_failed_certificate_tells_the_waiter_and_nobody_else(
    tls: Tls, tls_loop: Any, reports: list[dict[str, Any]]
) -> None:
    wire = Wire(tls, tls_loop, server_side=False, peer_context=server_context("stranger"))
    wire.connect()
    for _ in range(4):
        wire.to_peer()
        try:
            wire.peer.do_handshake()
        except ssl.SSLError:
            pass
        wire.deliver(wire.from_peer())
    error = wire.waiter.exception()
    assert type(error) is ssl.SSLCertVerificationError
    assert error.reason == "CERTIFICATE_VERIFY_FAILED"
    assert "self-signed certificate" in str(error)
    assert wire.below.calls == [error]
    assert wire.story == []
    # An OSError, so nothing is reported.
    assert reports == []
    wire.lose(error)
    assert wire.story == []


def test_a_failed_handshake_is_logged_in_debug_mode(tls: Tls, tls_loop: Any, logged: Log) -> None:
    tls_loop.set_debug(True)
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    try:
        wire = Wire(tls, tls_loop)
        wire.connect()
        wire.deliver(b"GET / HTTP/1.0\r\n\r\n")
    finally:
        logging.getLogger("asyncio").setLevel(logging.NOTSET)
        tls_loop.set_debug(False)
    texts = logged.texts()
    assert len(texts) == 2
    assert texts[0].endswith("starts SSL handshake")
    assert texts[1].endswith(": SSL handshake failed")
    error = wire.waiter.exception()
    assert logged.records[1].exc_info is not None
    assert logged.records[1].exc_info[1] is error
    wire.lose()


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [(b"GET / HTTP/1.0\r\n\r\n", "HTTP_REQUEST"), (bytes(range(64)), "WRONG_VERSION_NUMBER")],
)
def test_garbage_in_place_of_a_handshake(
    tls: Tls, tls_loop: Any, reports: list[dict[str, Any]], garbage: bytes, reason: str
) -> None:
    wire = Wire(tls, tls_loop)
    wire.connect()
    wire.deliver(garbage)
    error = wire.waiter.exception()
    assert isinstance(error, ssl.SSLError)
    assert wire.below.calls == [error]
    assert wire.story == [] and reports == []
    wire.lose(error)


def test_the_end_of_file_in_the_handshake(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop)
    wire.connect()
    assert wire.ssl.eof_received() is None
    error = wire.waiter.exception()
    assert type(error) is ConnectionResetError
    assert wire.below.calls == [error]
    wire.lose()
    assert wire.story == []


def test_the_loss_of_the_connection_in_the_handshake(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop)
    wire.connect()
    error = ConnectionResetError("gone")
    wire.lose(error)
    assert wire.waiter.exception() is error
    assert wire.story == []
    assert wire.ssl._app_transport is None


def test_closing_in_the_handshake_aborts(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop, call_connection_made=False)
    wire.connect()
    transport = wire.ssl._app_transport
    transport.close()
    assert wire.below.calls == ["abort"]
    assert transport.is_closing()
    wire.lose()
    wire.waiter.result()


def test_a_handshake_that_takes_too_long(tls: Tls, virtual_loop: Any) -> None:
    wire = Wire(tls, virtual_loop, ssl_handshake_timeout=10)
    wire.connect()
    virtual_loop.call_later(11, virtual_loop.stop)
    virtual_loop.run_forever()
    (error,) = wire.below.calls
    assert type(error) is ConnectionAbortedError
    assert str(error) == ("SSL handshake is taking longer than 10 seconds: aborting the connection")
    wire.lose(error)
    assert wire.waiter.exception() is error


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
@pytest.mark.parametrize("value", [0, -1, -0.5])
def test_timeouts_are_positive(tls: Tls, tls_loop: Any, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} should be a positive number, got {value}"):
        Wire(tls, tls_loop, **{name: value})


def test_a_server_needs_a_context(tls: Tls, tls_loop: Any) -> None:
    with pytest.raises(ValueError, match="Server side SSL needs a valid SSLContext"):
        tls.SSLProtocol(tls_loop, Recorder(), None, None, server_side=True)


def test_a_client_without_a_context_gets_the_default_one(tls: Tls, tls_loop: Any) -> None:
    protocol = tls.SSLProtocol(tls_loop, Recorder(), None, None)
    context = protocol._app_transport.get_extra_info("sslcontext")
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert not context.check_hostname
    protocol._app_transport.close()


def test_an_error_in_connection_made_goes_to_the_transport_below(tls: Tls, tls_loop: Any) -> None:
    class Broken(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            raise ZeroDivisionError

    wire = Wire(tls, tls_loop, protocol=Broken())
    with pytest.raises(ZeroDivisionError):
        wire.shake_hands()
    assert wire.story == ["made"]
    assert not wire.waiter.done()
    wire.lose()
    assert wire.story == ["made", ("lost", None)]


# --- Data ---------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize("size", [1, 100, 8191, 8192, 8193, 16384, 16385, 100_000, 1_000_000])
def test_every_byte_arrives_both_ways(
    tls: Tls, tls_loop: Any, version: ssl.TLSVersion, size: int
) -> None:
    wire = Wire(tls, tls_loop, context=of_version(server_context(), version)).shake_hands()
    data = bytes(i * 7 % 251 for i in range(size))
    wire.protocol.transport.write(data)
    assert wire.peer_reads() == data
    for step in (None, 1000, 70_000):
        wire.story.clear()
        wire.deliver(wire.peer_writes(data), step)
        assert b"".join(wire.story) == data
    wire.lose()


def test_all_that_came_at_once_is_handed_on_at_once(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    records = b"".join(wire.peer_writes(bytes([i]) * 1000) for i in range(100))
    wire.deliver(records)
    assert wire.story[1:] == [b"".join(bytes([i]) * 1000 for i in range(100))]
    wire.lose()


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 20, 16000, 16403])
def test_a_record_in_two_pieces(tls: Tls, tls_loop: Any, cut: int) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    data = bytes(i % 251 for i in range(16384))
    record = wire.peer_writes(data)
    wire.deliver(record[:cut])
    assert wire.story == ["made"]
    wire.deliver(record[cut:] + wire.peer_writes(b"next"))
    assert wire.story[1:] == [data + b"next"]
    wire.lose()


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_what_can_be_written(tls: Tls, tls_loop: Any, make: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    transport = wire.protocol.transport
    transport.write(make(b"abc"))
    transport.write(make(b""))
    transport.writelines([make(b"d"), make(b"ef"), make(b"g")])
    transport.writelines([])
    transport.writelines(iter([make(b"h")]))
    assert wire.peer_reads() == b"abcdefgh"
    wire.lose()


def test_arguments_may_be_given_by_name(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    transport = wire.protocol.transport
    transport.write(data=b"a")
    transport.writelines(list_of_data=[b"b"])
    transport.set_protocol(protocol=wire.protocol)
    assert wire.peer_reads() == b"ab"
    for wrong in ({}, {"bytes": b"x"}):
        with pytest.raises(TypeError):
            transport.write(**wrong)
    with pytest.raises(TypeError):
        transport.write(b"x", data=b"y")
    transport._force_close(exc=None) if tls.world.is_ours else transport.abort()
    wire.lose()


def test_lines_are_sent_in_one_write(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    before = wire.below.writes
    wire.protocol.transport.writelines([b"x"] * 100)
    assert wire.below.writes == before + 1
    assert wire.peer_reads() == b"x" * 100
    wire.lose()


@pytest.mark.parametrize("data", ["text", 5, None, [b"x"], array.array("b", b"x")])
def test_what_cannot_be_written(tls: Tls, tls_loop: Any, data: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    name = type(data).__name__
    with pytest.raises(TypeError, match=f"^data: expecting a bytes-like instance, got {name}$"):
        wire.protocol.transport.write(data)
    wire.protocol.transport.write(b"still alive")
    assert wire.peer_reads() == b"still alive"
    wire.lose()


def test_lines_that_are_no_bytes_end_the_connection(
    tls: Tls, tls_loop: Any, reports: list[dict[str, Any]]
) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    wire.protocol.transport.writelines(["text"])
    (error,) = wire.below.calls
    assert isinstance(error, TypeError)
    (report,) = reports
    assert report["message"] == "Fatal error on SSL protocol"
    assert report["exception"] is error
    assert report["transport"] is wire.below
    assert report["protocol"] is wire.ssl
    wire.lose(error)


def test_lines_without_a_length_are_an_error_of_the_caller(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    with pytest.raises(TypeError, match="has no len"):
        wire.protocol.transport.writelines([5])
    with pytest.raises(TypeError, match="not iterable"):
        wire.protocol.transport.writelines(5)
    assert wire.below.calls == []
    wire.lose()


def test_a_buffer_may_be_changed_after_it_was_written(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    data = bytearray(b"before")
    wire.protocol.transport.write(data)
    data[:] = b"after!"
    data += b"and longer"
    assert wire.peer_reads() == b"before"
    wire.lose()


def test_an_error_in_data_received_ends_the_connection(
    tls: Tls, tls_loop: Any, reports: list[dict[str, Any]]
) -> None:
    class Broken(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError(data)

    wire = Wire(tls, tls_loop, protocol=Broken()).shake_hands()
    wire.deliver(wire.peer_writes(b"x"))
    (error,) = wire.below.calls
    assert type(error) is ZeroDivisionError
    assert [(report["message"], report["exception"]) for report in reports] == [
        ("Fatal error on SSL protocol", error)
    ]
    wire.lose(error)
    assert wire.story == ["made", ("lost", error)]


@pytest.mark.parametrize("exit_error", [KeyboardInterrupt, SystemExit])
def test_an_exit_in_data_received_passes(
    tls: Tls, tls_loop: Any, exit_error: type[BaseException]
) -> None:
    class Leaving(Recorder):
        def data_received(self, data: bytes) -> None:
            raise exit_error

    wire = Wire(tls, tls_loop, protocol=Leaving()).shake_hands()
    record = wire.peer_writes(b"x")
    with pytest.raises(exit_error):
        wire.deliver(record)
    assert wire.below.calls == []
    wire.lose()


@VERSIONS
def test_garbage_between_records_ends_the_connection(
    tls: Tls, tls_loop: Any, reports: list[dict[str, Any]], version: ssl.TLSVersion
) -> None:
    wire = Wire(tls, tls_loop, context=of_version(server_context(), version)).shake_hands()
    wire.deliver(wire.peer_writes(b"good"))
    record = bytearray(wire.peer_writes(b"bad"))
    record[-1] ^= 1
    wire.deliver(bytes(record))
    (error,) = wire.below.calls
    assert type(error) is ssl.SSLError
    # The second is OpenSSL 3.6's word for it.
    assert error.reason in ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "RECORD_LAYER_FAILURE")
    assert error.library == "SSL"
    assert str(error).startswith(f"[SSL: {error.reason}]")
    assert wire.story == ["made", b"good"]
    assert reports == []
    wire.lose(error)
    assert wire.story == ["made", b"good", ("lost", error)]


def test_what_came_before_an_error_is_handed_on_first(
    tls: Tls, tls_loop: Any, reports: list[dict[str, Any]]
) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    record = bytearray(wire.peer_writes(b"good") + wire.peer_writes(b"bad"))
    record[-1] ^= 1
    wire.deliver(bytes(record))
    # asyncio throws away what it has read.
    assert wire.story == ["made", b"good"] if tls.world.is_ours else ["made"]
    (error,) = wire.below.calls
    assert type(error) is ssl.SSLError
    assert reports == []
    wire.lose(error)


def test_the_protocol_can_be_changed(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    transport = wire.protocol.transport
    assert transport.get_protocol() is wire.protocol
    second, third = BufferedRecorder(), Recorder()
    transport.set_protocol(second)
    assert transport.get_protocol() is second
    wire.deliver(wire.peer_writes(b"second"))
    transport.set_protocol(third)
    wire.deliver(wire.peer_writes(b"third"))
    assert wire.story == ["made"]
    assert second.story == [b"second"]
    assert third.story == [b"third"]
    wire.lose()
    assert third.story == [b"third", ("lost", None)]


def test_a_callback_may_be_replaced_on_the_object(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    seen: list[bytes] = []
    wire.protocol.data_received = seen.append
    wire.deliver(wire.peer_writes(b"x"))
    assert seen == [b"x"]
    wire.lose()


@VERSIONS
def test_other_records_than_data_are_no_data(
    tls: Tls, tls_loop: Any, version: ssl.TLSVersion
) -> None:
    # The tickets of a server of TLS 1.3 come after its handshake.
    wire = Wire(
        tls, tls_loop, server_side=False, context=of_version(client_context(), version)
    ).shake_hands()
    assert wire.story == ["made"]
    wire.deliver(wire.peer_writes(b"x"))
    assert wire.story == ["made", b"x"]
    wire.lose()


def test_a_server_may_ask_for_a_certificate_later(tls: Tls, tls_loop: Any) -> None:
    peer_context = client_context()
    peer_context.post_handshake_auth = True
    peer_context.load_cert_chain(CERTS / "client.pem")
    context = of_version(server_context(), ssl.TLSVersion.TLSv1_3)
    context.post_handshake_auth = True
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(CERTS / "ca.pem")
    # No certificate in the handshake itself is needed.
    context.verify_mode = ssl.CERT_OPTIONAL
    wire = Wire(tls, tls_loop, context=context, peer_context=peer_context).shake_hands()
    transport = wire.protocol.transport
    sslobj = transport.get_extra_info("ssl_object")
    assert transport.get_extra_info("peercert") is None or not sslobj.getpeercert()
    sslobj.verify_client_post_handshake()
    transport.write(b"who are you?")
    assert wire.peer_reads() == b"who are you?"
    wire.deliver(wire.from_peer() + wire.peer_writes(b"me"))
    assert wire.story == ["made", b"me"]
    assert sslobj.getpeercert()["subject"] == ((("commonName", "client"),),)
    wire.lose()


def test_keys_may_be_updated_by_both_sides(tls: Tls, tls_loop: Any) -> None:
    openssl = OpenSSL()
    wire = Wire(
        tls, tls_loop, context=of_version(server_context(), ssl.TLSVersion.TLSv1_3)
    ).shake_hands()
    for sslobj in (wire.peer, wire.ssl._sslobj) * 2:
        openssl.update_keys(sslobj)
        wire.story.clear()
        wire.deliver(wire.peer_writes(b"from the peer"))
        wire.protocol.transport.write(b"from us")
        assert wire.story == [b"from the peer"]
        assert wire.peer_reads() == b"from us"
    wire.lose()


def renegotiable() -> ssl.SSLContext:
    """A server's context that lets clients begin a handshake anew."""
    context = of_version(server_context(), ssl.TLSVersion.TLSv1_2)
    context.options &= ~ssl.OP_NO_RENEGOTIATION
    context.options |= 1 << 8  # SSL_OP_ALLOW_CLIENT_RENEGOTIATION, which has no name in Python.
    return context


# A number of OpenSSL's, for its SSL_ctrl().
SET_MAX_SEND_FRAGMENT = 52


def renegotiate(wire: Wire) -> None:
    """The peer shakes hands again, to the end."""
    OpenSSL().renegotiate(wire.peer)
    for _ in range(4):
        wire.to_peer()
        try:
            wire.peer.do_handshake()
        except ssl.SSLWantReadError:
            pass
        wire.deliver(wire.from_peer())


def test_a_handshake_may_begin_anew(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop, context=renegotiable()).shake_hands()
    renegotiate(wire)
    wire.protocol.transport.write(b"after it")
    assert wire.peer_reads() == b"after it"
    wire.deliver(wire.peer_writes(b"so it is"))
    assert wire.story == ["made", b"so it is"]
    assert wire.below.calls == []
    wire.lose()


def test_a_handshake_that_may_not_begin_anew(tls: Tls, tls_loop: Any) -> None:
    context = of_version(server_context(), ssl.TLSVersion.TLSv1_2)
    context.options |= ssl.OP_NO_RENEGOTIATION
    wire = Wire(tls, tls_loop, context=context).shake_hands()
    with pytest.raises(ssl.SSLError) as raised:
        renegotiate(wire)
    assert raised.value.reason == "NO_RENEGOTIATION"
    wire.lose()


def interfering(wires: list[Wire], act: str, said: list[str]) -> ssl.SSLContext:
    """A server's context that does something to the only wire, from inside a second handshake."""

    def interfere(sslobj: Any, name: str | None, context: ssl.SSLContext) -> None:
        [wire] = wires or [None]
        if wire is None or not wire.waiter.done():
            return
        said.append(act)
        match act:
            case "write":
                wire.protocol.transport.write(b"from inside")
            case "write much":
                wire.protocol.transport.write(bytes(300_000))
            case "read":
                wire.ssl._do_read()
            case "close":
                wire.protocol.transport.close()
            case "abort":
                wire.protocol.transport.abort()
            case "lose":
                wire.ssl.connection_lost(None)
            case "swap":
                wire.ssl._sslobj = object()

    context = renegotiable()
    context.sni_callback = interfere
    return context


ACTS = ["write", "write much", "read", "close", "abort", "lose", "swap"]


@pytest.mark.parametrize("act", ACTS)
def test_python_that_openssl_calls_in_the_middle_of_a_read(
    tls: Tls, tls_loop: Any, reports: list[dict[str, Any]], act: str
) -> None:
    # The name of the server is asked for in every handshake, here from inside our read.
    wires: list[Wire] = []
    said: list[str] = []
    context = interfering(wires, act, said)
    wire = Wire(tls, tls_loop, context=context)
    wires.append(wire)
    wire.shake_hands()
    try:
        renegotiate(wire)
    except (ssl.SSLError, RuntimeError, AttributeError):
        pass
    assert said == [act]
    context.sni_callback = None
    wire.lose()
    assert wire.story[0] == "made"
    assert wire.story.count(("lost", None)) == 1


@pytest.mark.parametrize("size", [5, 300_000], ids=["short", "long"])
@pytest.mark.parametrize("act", ACTS)
def test_python_that_openssl_calls_in_the_middle_of_a_write(
    tls: Tls, tls_loop: Any, reports: list[dict[str, Any]], act: str, size: int
) -> None:
    # The peer begins a handshake anew in two records. The first is read; the second has come in
    # when the application writes, so that our write goes on with the handshake.
    wires: list[Wire] = []
    said: list[str] = []
    context = interfering(wires, act, said)
    peer_context = client_context()
    peer_context.set_ciphers("ALL:@SECLEVEL=0")
    peer_context.check_hostname = False
    name = ".".join(["a" * 60] * 4)
    wire = Wire(tls, tls_loop, context=context, peer_context=peer_context, server_hostname=name)
    wires.append(wire)
    wire.shake_hands()
    openssl = OpenSSL()
    openssl.call("SSL_ctrl", wire.peer, SET_MAX_SEND_FRAGMENT, 512, 0)
    openssl.renegotiate(wire.peer)
    with pytest.raises(ssl.SSLWantReadError):
        wire.peer.do_handshake()
    hello = wire.from_peer()
    first = 5 + int.from_bytes(hello[3:5])
    assert first < len(hello)
    wire.deliver(hello[:first])
    wire.protocol.transport.pause_reading()
    wire.deliver(hello[first:])
    assert said == []
    wire.protocol.transport.write(b"x" * size)
    assert said == [act]
    context.sni_callback = None
    if act in ("write", "write much", "read"):
        # The handshake goes on, and all arrives, once and in the order in which it was written.
        wire.protocol.transport.resume_reading()
        tls.world.turn(tls_loop)
        arrived = b""
        for _ in range(4):
            arrived += wire.peer_reads() or b""
            wire.deliver(wire.from_peer())
        inside = {"write": b"from inside", "write much": bytes(300_000), "read": b""}
        assert arrived == b"x" * size + inside[act]
    wire.lose()
    assert wire.story.count(("lost", None)) == 1


# --- Buffered protocols -------------------------------------------------------


@pytest.mark.parametrize("size", [1, 10, 4096, 100_000])
def test_a_buffered_protocol_gets_every_byte(tls: Tls, tls_loop: Any, size: int) -> None:
    wire = Wire(tls, tls_loop, protocol=BufferedRecorder(size)).shake_hands()
    data = bytes(i % 251 for i in range(300 if size < 100 else 50_000))
    wire.deliver(b"".join(wire.peer_writes(data[i : i + 999]) for i in range(0, len(data), 999)))
    tls.world.run_until(tls_loop, lambda: sum(map(len, wire.story[1:])) == len(data))
    assert b"".join(wire.story[1:]) == data
    assert max(map(len, wire.story[1:])) <= size
    wire.lose()


def test_a_bytearray_as_buffer_gets_every_byte(tls: Tls, tls_loop: Any) -> None:
    protocol = BufferedRecorder()
    protocol.buffer = bytearray(4096)
    wire = Wire(tls, tls_loop, protocol=protocol).shake_hands()
    wire.deliver(wire.peer_writes(b"first ") + wire.peer_writes(b"second"))
    # asyncio reads the second record into a copy of the buffer's end.
    expected = b"first second" if tls.world.is_ours else b"first " + bytes(6)
    assert wire.story == ["made", expected]
    wire.lose()


def test_an_empty_buffer_counts_as_the_end(tls: Tls, tls_loop: Any) -> None:
    protocol = BufferedRecorder()
    wire = Wire(tls, tls_loop, protocol=protocol).shake_hands()
    protocol.buffer = bytearray()
    wire.deliver(wire.peer_writes(b"x"))
    assert wire.story == ["made", "eof"]
    wire.lose()


@pytest.mark.parametrize("buffer", [b"read-only", None, memoryview(bytearray(9))[::2]])
def test_a_buffer_that_cannot_be_written_to(
    tls: Tls, tls_loop: Any, reports: list[dict[str, Any]], buffer: Any
) -> None:
    # In the handshake, at the first read, there is no such buffer yet.
    protocol = BufferedRecorder()
    wire = Wire(tls, tls_loop, protocol=protocol).shake_hands()
    protocol.buffer = buffer
    wire.deliver(wire.peer_writes(b"x"))
    (error,) = wire.below.calls
    assert type(error) is TypeError
    assert [report["exception"] for report in reports] == [error]
    wire.lose(error)


@pytest.mark.parametrize("method", ["get_buffer", "buffer_updated"])
def test_an_error_in_a_buffered_protocol_ends_the_connection(
    tls: Tls, tls_loop: Any, reports: list[dict[str, Any]], method: str
) -> None:
    def fail(self: Any, size: int) -> Any:
        if len(self.story) > 0:
            raise ZeroDivisionError
        return self.buffer

    # The first read, at the end of the handshake, finds nothing; it must not fail.
    class Broken(BufferedRecorder):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

    setattr(Broken, method, fail)
    wire = Wire(tls, tls_loop, protocol=Broken()).shake_hands()
    wire.story.append("made")
    wire.deliver(wire.peer_writes(b"x"))
    (error,) = wire.below.calls
    assert type(error) is ZeroDivisionError
    assert [report["exception"] for report in reports] == [error]
    wire.lose(error)


# --- The end ------------------------------------------------------------------


@VERSIONS
def test_closing_says_goodbye_and_waits_for_the_other_side(
    tls: Tls, tls_loop: Any, version: ssl.TLSVersion
) -> None:
    wire = Wire(tls, tls_loop, context=of_version(server_context(), version)).shake_hands()
    transport = wire.protocol.transport
    transport.write(b"last words")
    transport.close()
    assert transport.is_closing()
    assert wire.peer_reads() == b"last words"
    assert wire.below.calls == []
    wire.deliver(wire.peer_says_goodbye())
    assert wire.story == ["made", "eof"]
    tls.world.turn(tls_loop)
    assert wire.below.calls == ["close"]
    wire.lose()
    assert wire.story == ["made", "eof", ("lost", None)]
    wire.ssl.connection_lost(None)
    tls.world.turn(tls_loop)
    assert wire.story == ["made", "eof", ("lost", None)]


@VERSIONS
def test_the_other_side_says_goodbye(tls: Tls, tls_loop: Any, version: ssl.TLSVersion) -> None:
    wire = Wire(tls, tls_loop, context=of_version(server_context(), version)).shake_hands()
    transport = wire.protocol.transport
    wire.deliver(wire.peer_writes(b"bye") + wire.peer_says_goodbye())
    assert wire.story == ["made", b"bye", "eof"]
    assert transport.is_closing()
    assert wire.peer_reads() == b""
    tls.world.turn(tls_loop)
    assert wire.below.calls == ["close"]
    wire.lose()
    assert wire.story == ["made", b"bye", "eof", ("lost", None)]


def test_what_comes_in_after_close_is_not_handed_on(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    record = wire.peer_writes(b"too late")
    wire.protocol.transport.close()
    wire.deliver(record)
    outcome = list(wire.story)
    calls = [call if isinstance(call, str) else type(call) for call in wire.below.calls]
    # OpenSSL does not shut down over data that nobody has read.
    assert outcome == ["made"]
    assert calls == [ssl.SSLError]
    wire.lose()


def test_data_that_waits_at_close_is_handed_on(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    transport = wire.protocol.transport
    transport.pause_reading()
    wire.deliver(wire.peer_writes(b"waiting"))
    assert wire.story == ["made"]
    transport.resume_reading()
    transport.close()
    assert wire.story == ["made", b"waiting"]
    wire.lose()


def test_an_end_of_file_without_a_goodbye(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    wire.deliver(wire.peer_writes(b"x"))
    assert wire.ssl.eof_received() is None
    assert wire.story == ["made", b"x", "eof"]
    tls.world.turn(tls_loop)
    assert wire.below.calls == ["close"]
    wire.lose()
    assert wire.story == ["made", b"x", "eof", ("lost", None)]


def test_an_end_of_file_while_the_application_does_not_read(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    transport = wire.protocol.transport
    transport.pause_reading()
    wire.deliver(wire.peer_writes(b"trailing"))
    # The transport below is to stay open: something is still to be read.
    assert wire.ssl.eof_received() is True
    assert wire.story == ["made"]
    transport.resume_reading()
    tls.world.turn(tls_loop)
    assert wire.story == ["made", b"trailing", "eof"]
    tls.world.turn(tls_loop)
    assert wire.below.calls == ["close"]
    wire.lose()


def test_an_end_of_file_in_the_shutdown(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    wire.protocol.transport.close()
    assert wire.ssl.eof_received() is None
    tls.world.turn(tls_loop)
    assert wire.below.calls == ["close"]
    assert wire.story == ["made", "eof"]
    wire.lose()
    assert wire.story == ["made", "eof", ("lost", None)]


def test_true_from_eof_received_is_of_no_effect(tls: Tls, tls_loop: Any, logged: Log) -> None:
    class Stubborn(Recorder):
        def eof_received(self) -> Any:
            super().eof_received()
            return True

    wire = Wire(tls, tls_loop, protocol=Stubborn()).shake_hands()
    wire.deliver(wire.peer_says_goodbye())
    assert logged.texts() == ["returning true from eof_received() has no effect when using ssl"]
    wire.lose()


def test_an_error_in_eof_received_is_reported(
    tls: Tls, tls_loop: Any, reports: list[dict[str, Any]]
) -> None:
    class Broken(Recorder):
        def eof_received(self) -> Any:
            raise ZeroDivisionError

    wire = Wire(tls, tls_loop, protocol=Broken()).shake_hands()
    wire.deliver(wire.peer_says_goodbye())
    assert [(r["message"], type(r["exception"])) for r in reports] == [
        ("Error calling eof_received()", ZeroDivisionError)
    ]
    wire.lose()


def test_a_shutdown_that_takes_too_long(tls: Tls, virtual_loop: Any) -> None:
    wire = Wire(tls, virtual_loop, ssl_shutdown_timeout=10).shake_hands()
    wire.protocol.transport.close()
    virtual_loop.call_later(11, virtual_loop.stop)
    virtual_loop.run_forever()
    (error,) = wire.below.calls
    assert type(error) is TimeoutError
    assert str(error) == "SSL shutdown timed out"
    wire.lose(error)
    assert wire.story == ["made", ("lost", error)]


def test_an_abort_sends_nothing_more(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    transport = wire.protocol.transport
    wire.below.sent.clear()
    transport.abort()
    transport.write(b"x")
    transport.close()
    transport.abort()
    assert wire.below.sent == b""
    assert transport.is_closing()
    assert set(wire.below.calls) == {"abort"}
    wire.lose()
    assert wire.story == ["made", ("lost", None)]


def test_writing_after_the_end_is_warned_of_in_the_end(
    tls: Tls, tls_loop: Any, logged: Log
) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    transport = wire.protocol.transport
    transport.abort()
    wire.below.sent.clear()
    for _ in range(7):
        transport.write(b"x")
    assert wire.below.sent == b""
    assert logged.texts() == ["SSL connection is closed"] * 2
    wire.lose()


def test_closing_twice_lets_go_of_the_protocol(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    transport = wire.protocol.transport
    transport.close()
    transport.close()
    assert transport.is_closing()
    assert transport._ssl_protocol is None
    transport.abort()
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute"):
        transport.get_extra_info("peercert")
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute"):
        transport.write(b"x")
    wire.lose()


def test_closing_in_a_callback(tls: Tls, tls_loop: Any) -> None:
    class Hasty(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write(b"enough")
            self.transport.close()

    wire = Wire(tls, tls_loop, protocol=Hasty()).shake_hands()
    wire.deliver(wire.peer_writes(b"x"))
    assert wire.peer_reads() == b"enough"
    wire.deliver(wire.peer_says_goodbye())
    tls.world.turn(tls_loop)
    assert wire.story == ["made", b"x", "eof"]
    assert wire.below.calls == ["close"]
    wire.lose()


def test_losing_the_connection_in_a_callback(tls: Tls, tls_loop: Any) -> None:
    class Cruel(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            wire.ssl.connection_lost(None)

    wire = Wire(tls, tls_loop, protocol=Cruel()).shake_hands()
    wire.deliver(wire.peer_writes(b"x"))
    tls.world.turn(tls_loop)
    assert wire.story == ["made", b"x", ("lost", None)]
    assert wire.below.calls == []


# --- Flow control -------------------------------------------------------------


def test_the_application_is_paused_when_much_waits(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    transport = wire.protocol.transport
    assert transport.get_write_buffer_limits() == (128 * 1024, 512 * 1024)
    wire.ssl.pause_writing()
    transport.write(bytes(512 * 1024 - 60_000))
    assert wire.story == ["made"]
    transport.write(bytes(100_000))
    assert wire.story == ["made", "pause"]
    assert transport._protocol_paused
    assert transport.get_write_buffer_size() >= 512 * 1024
    transport.write(b"more")
    assert wire.story == ["made", "pause"]
    sent = len(wire.below.sent)
    wire.ssl.resume_writing()
    assert len(wire.below.sent) > sent + 512 * 1024
    assert wire.story == ["made", "pause", "resume"]
    assert transport.get_write_buffer_size() == 0
    assert len(wire.peer_reads() or b"") == 512 * 1024 + 40_000 + 4
    wire.lose()


def test_pausing_twice_is_a_mistake_of_the_transport(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    with pytest.raises(AssertionError):
        wire.ssl.resume_writing()
    wire.ssl.pause_writing()
    with pytest.raises(AssertionError):
        wire.ssl.pause_writing()
    wire.lose()


DEFAULT_LIMITS = {"write": (128 * 1024, 512 * 1024), "read": (64 * 1024, 256 * 1024)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"high": None, "low": None}, None),
        ({"high": 100}, (25, 100)),
        ({"low": 100}, (100, 400)),
        ({"high": 0}, (0, 0)),
        ({"high": 5, "low": 5}, (5, 5)),
        ({"high": 2**100}, (2**98, 2**100)),
        ({"high": 10.5, "low": 2.5}, (2.5, 10.5)),
    ],
)
@pytest.mark.parametrize("kind", ["write", "read"])
def test_limits(
    tls: Tls, tls_loop: Any, given: dict[str, Any], expected: tuple[Any, Any] | None, kind: str
) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    transport = wire.protocol.transport
    if expected is None:
        getattr(transport, f"set_{kind}_buffer_limits")(high=1)
        expected = DEFAULT_LIMITS[kind]
    getattr(transport, f"set_{kind}_buffer_limits")(**given)
    assert getattr(transport, f"get_{kind}_buffer_limits")() == expected
    wire.lose()


@pytest.mark.parametrize("given", [{"high": 1, "low": 2}, {"high": -1}, {"low": -1}])
@pytest.mark.parametrize("kind", ["write", "read"])
def test_limits_that_make_no_sense(
    tls: Tls, tls_loop: Any, given: dict[str, Any], kind: str
) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    transport = wire.protocol.transport
    with pytest.raises(ValueError, match=r"high \(.*\) must be >= low \(.*\) must be >= 0"):
        getattr(transport, f"set_{kind}_buffer_limits")(**given)
    assert getattr(transport, f"get_{kind}_buffer_limits")() == DEFAULT_LIMITS[kind]
    wire.lose()


@pytest.mark.parametrize("name", ["pause_writing", "resume_writing"])
def test_an_error_in_flow_control_is_reported(
    tls: Tls, tls_loop: Any, reports: list[dict[str, Any]], name: str
) -> None:
    def fail(self: Any) -> None:
        raise ZeroDivisionError

    wire = Wire(tls, tls_loop, protocol=type("Broken", (Recorder,), {name: fail})()).shake_hands()
    transport = wire.protocol.transport
    wire.ssl.pause_writing()
    transport.write(bytes(600_000))
    wire.ssl.resume_writing()
    (report,) = reports
    assert report["message"] == f"protocol.{name}() failed"
    assert type(report["exception"]) is ZeroDivisionError
    assert report["transport"] is transport
    assert report["protocol"] is wire.ssl
    assert wire.below.calls == []
    wire.lose()


def test_an_application_that_does_not_read(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    transport = wire.protocol.transport
    assert transport.is_reading()
    transport.pause_reading()
    assert not transport.is_reading()
    transport.pause_reading()
    data = bytes(i % 251 for i in range(200_000))
    while "pause_reading" not in wire.below.calls:
        wire.deliver(wire.peer_writes(data))
    assert wire.story == ["made"]
    assert 256 * 1024 <= transport.get_read_buffer_size() < 512 * 1024
    transport.resume_reading()
    assert transport.is_reading()
    assert wire.story == ["made"]
    tls.world.turn(tls_loop)
    assert wire.story[1:] == [data * 2]
    assert transport.get_read_buffer_size() == 0
    assert wire.below.calls == ["pause_reading", "resume_reading"]
    wire.lose()


# --- What it is ---------------------------------------------------------------


def test_the_transport_is_asyncios(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    transport = wire.protocol.transport
    assert isinstance(transport, asyncio.Transport)
    assert isinstance(wire.ssl, asyncio.BufferedProtocol)
    assert type(transport).__name__ == "_SSLProtocolTransport"
    assert transport._start_tls_compatible is True
    assert transport._loop is tls_loop
    assert transport._ssl_protocol is wire.ssl
    assert wire.ssl._app_transport is transport
    assert wire.ssl._get_app_transport() is transport
    assert transport.can_write_eof() is False
    with pytest.raises(NotImplementedError):
        transport.write_eof()
    transport.note = "of a user"
    assert weakref.ref(transport)() is transport
    wire.lose()


def test_the_transport_may_be_made_again(tls: Tls, tls_loop: Any) -> None:
    wire, other = Wire(tls, tls_loop), Wire(tls, tls_loop)
    transport = wire.ssl._app_transport
    transport.abort()
    assert transport.is_closing()
    transport.__init__(ssl_protocol=other.ssl, loop=tls_loop)
    assert not transport.is_closing()
    assert transport.get_protocol() is other.protocol
    for each in (transport, other.ssl._app_transport):
        each.abort()


def test_extra_info(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop, server_side=False, call_connection_made=False)
    info = wire.ssl._app_transport.get_extra_info
    assert info("sslcontext") is wire.ssl._sslcontext
    assert info("peername") is None
    assert info("cipher", "none yet") == "none yet"
    wire.shake_hands()
    assert info("peername") == "the test"
    assert info("ssl_object") is wire.ssl._sslobj
    assert type(info("ssl_object")) is ssl.SSLObject
    assert info("peercert")["subject"] == ((("commonName", "localhost"),),)
    assert info("cipher") == info("ssl_object").cipher()
    assert info("compression", 1) is None
    assert info("nothing of the kind") is None
    assert info(name="nothing of the kind", default=5) == 5
    wire.lose()
    assert info("peername") is None
    assert info("peercert") is not None


def test_a_transport_that_nobody_closed(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    wire.below.calls.clear()
    text = "unclosed transport <asyncio._SSLProtocolTransport object>"
    with pytest.warns(ResourceWarning, match=text) as caught:
        wire.protocol.transport.__del__()
    assert len(caught) == 1
    assert wire.protocol.transport.is_closing()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wire.lose()
        del wire
        gc.collect()


def test_nothing_is_left_behind(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    wire.protocol.transport.pause_reading()
    wire.deliver(wire.peer_writes(b"x"))
    wire.lose()
    left = [
        weakref.ref(it)
        for it in (wire.ssl, wire.protocol, wire.protocol.transport, wire.ssl._sslcontext)
    ]
    del wire
    gc.collect()
    assert [ref() for ref in left] == [None] * 4


def test_a_lost_connection_needs_no_collector(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop).shake_hands()
    wire.lose()
    tls.world.turn(tls_loop)
    left = weakref.ref(wire.protocol)
    protocol = wire.ssl
    gc.disable()
    try:
        wire.protocol.transport = None
        del wire
        assert left() is None
        assert protocol._app_protocol is None
        assert protocol._transport is None
    finally:
        gc.enable()


def test_an_object_of_ones_own_in_place_of_openssl(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop)
    calls: list[Any] = []

    class Fake:
        def __init__(self) -> None:
            self.to_read = [b"one", b"two"]

        def do_handshake(self) -> None:
            calls.append("do_handshake")

        def getpeercert(self) -> Any:
            return {"fake": True}

        def cipher(self) -> Any:
            return None

        compression = cipher

        def read(self, size: int, buffer: Any = None) -> Any:
            calls.append(("read", size))
            if not self.to_read:
                raise ssl.SSLWantReadError
            return self.to_read.pop(0)

        def write(self, data: Any) -> int:
            calls.append(("write", bytes(data)))
            return min(len(data), 4)

        def unwrap(self) -> None:
            calls.append("unwrap")

    wire.ssl._sslobj = Fake()
    wire.connect()
    assert wire.story == ["made", b"onetwo"]
    assert calls == ["do_handshake"] + [("read", 256 * 1024)] * 3
    calls.clear()
    wire.protocol.transport.write(b"123456789")
    assert calls == [("write", b"123456789"), ("write", b"56789"), ("write", b"9")]
    wire.protocol.transport.close()
    assert calls[-1] == "unwrap"
    tls.world.turn(tls_loop)
    assert wire.below.calls == ["close"]
    wire.lose()


# --- What is being handled ----------------------------------------------------


def handled() -> type[BaseException] | None:
    """What an `except` block around us has caught."""
    return sys.exc_info()[0]


@pytest.mark.parametrize("name", ["data_received", "eof_received", "pause_writing"])
@pytest.mark.parametrize("factory", [Recorder, BufferedRecorder])
def test_a_report_comes_while_the_error_is_handled(
    tls: Tls, tls_loop: Any, factory: type[Recorder], name: str
) -> None:
    # So that a handler may log the traceback without looking for the exception.
    def fail(*args: Any) -> None:
        raise ZeroDivisionError

    story: list[Any] = []
    tls_loop.set_exception_handler(lambda loop, context: story.append(handled()))
    wire = Wire(tls, tls_loop, protocol=factory()).shake_hands()
    wire.below._force_close = lambda exc: story.append(handled())  # type: ignore[method-assign]
    if name == "data_received" and factory is BufferedRecorder:
        name = "buffer_updated"
    setattr(wire.protocol, name, fail)
    wire.protocol.transport.set_protocol(wire.protocol)
    if name == "pause_writing":
        wire.protocol.transport.set_write_buffer_limits(0)
        wire.ssl.pause_writing()
        wire.protocol.transport.write(b"much")
    elif name == "eof_received":
        wire.deliver(wire.peer_says_goodbye())
    else:
        wire.deliver(wire.peer_writes(b"data"))
    assert set(story) == {ZeroDivisionError}
    wire.lose()


def test_a_failed_handshake_is_told_below_while_it_is_handled(tls: Tls, tls_loop: Any) -> None:
    story: list[Any] = []
    wire = Wire(tls, tls_loop)
    wire.below._force_close = lambda exc: story.append(handled())  # type: ignore[method-assign]
    wire.connect()
    wire.deliver(b"x" * 100)
    assert story == [ssl.SSLError]
    assert isinstance(wire.waiter.exception(), ssl.SSLError)
    wire.lose()


@pytest.mark.parametrize("when", ["handshake", "shutdown"])
def test_an_error_below_remembers_that_openssl_wanted_more(
    tls: Tls, tls_loop: Any, when: str
) -> None:
    def fail(data: Any) -> None:
        raise ZeroDivisionError

    wire = Wire(tls, tls_loop, server_side=False)
    if when == "shutdown":
        wire.shake_hands()
    wire.below.write = fail  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError) as raised:
        if when == "handshake":
            wire.connect()
        else:
            wire.protocol.transport.close()
    assert type(raised.value.__context__) is ssl.SSLWantReadError
    wire.ssl._app_transport.abort()
    wire.lose()
    wire.waiter.cancel()
