"""Whatever is done to the TLS protocol and its transport, there is an exception and no crash."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import pytest
from tls_tools import Recorder, Tls, Wire, everywhere, server_context, tls, tls_loop

__all__ = ("tls", "tls_loop")

pytestmark = everywhere

ODD: list[Any] = [None, -1, 2**100, 1.5, "text", b"bytes", bytearray(3), [], object()]
# These begin something that a loop would have to end, or are for everybody.
LEFT_OUT = {"__init_subclass__", "__subclasshook__", "__class__", "__reduce_ex__", "__reduce__"}


def shapes() -> list[tuple[Any, ...]]:
    """Arguments of every number up to three."""
    return [(), *((odd,) for odd in ODD), *((odd, odd) for odd in ODD), (None, None, None)]


def abuse(thing: Any) -> int:
    """Calls every method with every shape of arguments; how many calls raised."""
    raised = 0
    for name in dir(type(thing)):
        if name in LEFT_OUT:
            continue
        for arguments in shapes():
            try:
                getattr(thing, name)(*arguments)
            except Exception:
                raised += 1
    return raised


@pytest.mark.filterwarnings("ignore:unclosed transport")
@pytest.mark.may_log
def test_objects_that_were_never_initialised(tls: Tls, tls_loop: Any) -> None:
    cls = tls.SSLProtocol
    transport_cls = type(Wire(tls, tls_loop).ssl._app_transport)
    for kind in (cls, transport_cls):
        thing = kind.__new__(kind)
        if not tls.world.is_ours:
            # asyncio's raise AttributeError in their destructors.
            thing.__dict__.update(_closed=True)
        assert abuse(thing) > 100
        del thing
        gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed transport")
@pytest.mark.may_log
@pytest.mark.parametrize("which", ["protocol", "transport"])
@pytest.mark.parametrize("connected", [False, True])
def test_living_objects(tls: Tls, tls_loop: Any, which: str, connected: bool) -> None:
    tls_loop.set_exception_handler(lambda loop, context: None)
    wire = Wire(tls, tls_loop)
    if connected:
        wire.shake_hands()
    assert abuse(wire.ssl if which == "protocol" else wire.ssl._get_app_transport()) > 50
    tls.world.turn(tls_loop)


@pytest.mark.parametrize("name", ["_sslobj", "_incoming", "_outgoing"])
@pytest.mark.may_log
def test_odd_objects_in_place_of_openssls(tls: Tls, tls_loop: Any, name: str) -> None:
    tls_loop.set_exception_handler(lambda loop, context: None)
    for odd in ODD:
        wire = Wire(tls, tls_loop).shake_hands()
        record = wire.peer_writes(b"x")
        setattr(wire.ssl, name, odd)
        assert getattr(wire.ssl, name) is odd
        for act in (
            lambda: wire.deliver(record),
            lambda: wire.protocol.transport.write(b"x"),
            lambda: wire.protocol.transport.close(),
            lambda: wire.lose(),
        ):
            try:
                act()
            except Exception:
                pass
        tls.world.turn(tls_loop)
        wire.ssl._app_transport and wire.ssl._app_transport.abort()


def test_objects_of_another_connection(tls: Tls, tls_loop: Any) -> None:
    # The protocol reads from where its SSLObject reads, whatever stands beside it.
    first, second = Wire(tls, tls_loop).shake_hands(), Wire(tls, tls_loop).shake_hands()
    first.ssl._sslobj = second.ssl._sslobj
    first.ssl._incoming = second.ssl._incoming
    first.ssl._outgoing = second.ssl._outgoing
    first.deliver(second.peer_writes(b"for the second"))
    assert first.story == ["made", b"for the second"]
    first.protocol.transport.write(b"from the second")
    second.incoming.write(bytes(first.below.sent))
    first.below.sent.clear()
    assert second.peer_reads() == b"from the second"
    first.lose()
    second.lose()


def test_initialising_twice_begins_anew(tls: Tls, tls_loop: Any) -> None:
    wire = Wire(tls, tls_loop)
    app_transport = wire.ssl._app_transport
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        second = Recorder()
        wire.ssl.__init__(tls_loop, second, server_context(), None, server_side=True)
        assert wire.ssl._app_protocol is second
        wire.ssl._app_transport.close()
        app_transport.close()
        del wire, app_transport
        gc.collect()


@pytest.mark.parametrize("arguments", [(), (1,), (1, 2)])
def test_too_few_arguments(tls: Tls, tls_loop: Any, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        tls.SSLProtocol(*arguments)
    transport = Wire(tls, tls_loop).ssl._app_transport
    transport.close()
    # asyncio's are then half made, and their destructor fails.
    if tls.world.is_ours:
        with pytest.raises(TypeError):
            type(transport)(*arguments)


def test_a_subclass_with_an_init_of_its_own(tls: Tls, tls_loop: Any) -> None:
    class Own(tls.SSLProtocol):  # type: ignore[misc, name-defined]
        def __init__(self, loop: Any, *args: Any, note: str, **kwargs: Any) -> None:
            super().__init__(loop, *args, **kwargs)
            self.note = note

    made = Own(tls_loop, Recorder(), server_context(), None, server_side=True, note="mine")
    assert made.note == "mine"
    assert made._app_transport._ssl_protocol is made
    made._app_transport.close()
