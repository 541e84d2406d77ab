"""create_datagram_endpoint: every form of it, and how it refuses what it cannot make."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import stat
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
    refusal,
    run,
    shape,
    turns,
    until,
)
from net_tools import has_ipv6

# --- Where it is bound, and where it sends --------------------------------------


def test_a_client_and_a_server_exchange_datagrams(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (server, served):
            address = server.get_extra_info("sockname")
            async with endpoint(loop, remote_addr=address) as (client, asked):
                client.sendto(b"question")
                await until(lambda: served.received)
                name = client.get_extra_info("sockname")
                assert served.story == ["made", (b"question", name)]
                server.sendto(b"answer", name)
                await until(lambda: asked.received)
                assert asked.story == ["made", (b"answer", address)]
            assert asked.story[2:] == [("lost", None)]

    run(loop, main())


def test_an_endpoint_is_connected_before_it_is_given_out(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, protocol):
            assert protocol.story == ["made"]
            assert protocol.transport is transport
            assert transport.get_protocol() is protocol
            if world.is_ours or PY >= (3, 12):
                assert isinstance(transport, asyncio.DatagramTransport)

    run(loop, main())


def test_an_endpoint_may_have_a_family_and_no_address(world: World, loop: Any) -> None:
    async def main() -> None:
        with bound_socket() as receiver:
            async with endpoint(loop, family=socket.AF_INET) as (transport, _):
                assert transport.get_extra_info("sockname") == ("0.0.0.0", 0)
                assert transport.get_extra_info("peername") is None
                transport.sendto(b"data", receiver.getsockname())
                assert receiver.recv(10) == b"data"

    run(loop, main())


def test_an_endpoint_without_any_address_needs_a_family(world: World, loop: Any) -> None:
    for kwargs in ({}, {"local_addr": None}, {"local_addr": (), "remote_addr": ""}):
        made = loop.create_datagram_endpoint(Datagrams, **kwargs)
        assert run(loop, refusal(made)) == "ValueError: unexpected address family"


def test_both_addresses_may_be_given(world: World, loop: Any) -> None:
    async def main() -> None:
        with bound_socket() as peer:
            name = peer.getsockname()
            made = endpoint(loop, local_addr=LOCAL, remote_addr=name, proto=socket.IPPROTO_UDP)
            async with made as (transport, protocol):
                sock = transport.get_extra_info("socket")
                assert sock.proto == socket.IPPROTO_UDP
                assert sock.getsockname()[0] == "127.0.0.1"
                assert sock.getpeername() == name == transport.get_extra_info("peername")
                # A connected endpoint hears its peer alone.
                with bound_socket() as stranger:
                    stranger.sendto(b"strange", sock.getsockname())
                peer.sendto(b"known", sock.getsockname())
                await until(lambda: protocol.received)
                assert protocol.received == [b"known"]

    run(loop, main())


def test_names_are_looked_up(world: World, loop: Any) -> None:
    async def main() -> None:
        made = endpoint(loop, local_addr=("localhost", 0), family=socket.AF_INET)
        async with made as (transport, _):
            assert transport.get_extra_info("sockname")[0] == "127.0.0.1"

    run(loop, main())


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_an_endpoint_may_speak_ipv6(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=("::1", 0)) as (server, served):
            address = server.get_extra_info("sockname")
            assert address[0] == "::1" and len(address) == 4
            async with endpoint(loop, remote_addr=address[:2]) as (client, _):
                client.sendto(b"six")
                await until(lambda: served.received)
                assert served.story[1] == (b"six", client.get_extra_info("sockname"))

    run(loop, main())


def test_addresses_of_two_families_do_not_meet(world: World, loop: Any) -> None:
    made = loop.create_datagram_endpoint(Datagrams, local_addr=LOCAL, remote_addr=("::1", 9))
    assert run(loop, refusal(made)) == "ValueError: can not get address information"


@pytest.mark.parametrize("address", ["127.0.0.1", ["127.0.0.1", 0], ("127.0.0.1", 0, 0), 5, b"x"])
@pytest.mark.parametrize("name", ["local_addr", "remote_addr"])
def test_an_address_is_a_pair(world: World, loop: Any, name: str, address: object) -> None:
    made = loop.create_datagram_endpoint(Datagrams, **{name: address})
    assert run(loop, refusal(made)) == "TypeError: 2-tuple is expected"


def test_an_address_in_use_is_refused(world: World, loop: Any) -> None:
    with bound_socket() as taken:
        made = loop.create_datagram_endpoint(Datagrams, local_addr=taken.getsockname())
        assert run(loop, refusal(made)) == "OSError(98)"


def test_the_error_of_a_failed_lookup_reaches_the_caller(world: World, loop: Any) -> None:
    made = loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", "no-such-service"))
    assert run(loop, refusal(made)) == "gaierror(-8)"


# --- Options --------------------------------------------------------------------


def test_a_port_can_be_shared(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL, reuse_port=True) as (first, _):
            address = first.get_extra_info("sockname")
            async with endpoint(loop, local_addr=address, reuse_port=True) as (second, _):
                assert second.get_extra_info("sockname") == address
            assert (
                await refusal(loop.create_datagram_endpoint(Datagrams, local_addr=address))
                == "OSError(98)"
            )

    run(loop, main())


def test_no_address_is_reused_unasked(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, _):
            sock = transport.get_extra_info("socket")
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT, socket.SO_BROADCAST):
                assert sock.getsockopt(socket.SOL_SOCKET, option) == 0
        with pytest.raises(TypeError, match="reuse_address"):
            await loop.create_datagram_endpoint(Datagrams, local_addr=LOCAL, reuse_address=5)

    run(loop, main())


def test_one_that_may_broadcast_knows_its_peer_without_being_connected(
    world: World, loop: Any
) -> None:
    async def main() -> None:
        with bound_socket() as peer:
            name = peer.getsockname()
            made = endpoint(loop, remote_addr=name, allow_broadcast=True)
            async with made as (transport, _):
                sock = transport.get_extra_info("socket")
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1
                assert transport.get_extra_info("peername") is None
                transport.sendto(b"one")
                transport.sendto(b"two", name)
                assert [peer.recv(10), peer.recv(10)] == [b"one", b"two"]
                with pytest.raises(ValueError, match="Invalid address: must be None or "):
                    transport.sendto(b"three", ("127.0.0.1", 1))

    run(loop, main())


# --- A socket of one's own --------------------------------------------------------


def test_a_socket_of_ones_own_becomes_the_transports(world: World, loop: Any) -> None:
    async def main() -> None:
        sock = bound_socket()
        async with endpoint(loop, sock=sock) as (transport, protocol):
            assert sock.gettimeout() == 0
            assert transport.get_extra_info("sockname") == sock.getsockname()
            transport.sendto(b"to myself", sock.getsockname())
            await until(lambda: protocol.received)
        assert sock.fileno() == -1

    run(loop, main())


def test_a_connected_socket_of_ones_own_sends_to_its_peer(world: World, loop: Any) -> None:
    async def main() -> None:
        with bound_socket() as peer:
            sock = bound_socket()
            sock.connect(peer.getsockname())
            async with endpoint(loop, sock=sock) as (transport, _):
                assert transport.get_extra_info("peername") == peer.getsockname()
                transport.sendto(b"data")
                assert peer.recv(10) == b"data"

    run(loop, main())


def test_a_stream_socket_is_refused(world: World, loop: Any) -> None:
    with socket.socket() as sock:
        made = loop.create_datagram_endpoint(Datagrams, sock=sock)
        expected = "datagram socket" if PY >= (3, 13) else "UDP Socket"
        text = f"ValueError: A {expected} was expected, got {sock!r}"
        assert run(loop, refusal(made)) == text


@pytest.mark.parametrize(
    "kwargs",
    [
        {"local_addr": ("127.0.0.1", 0)},
        {"remote_addr": ("127.0.0.1", 1)},
        {"family": 2},
        {"proto": 17},
        {"flags": 1},
        {"reuse_port": True},
        {"allow_broadcast": True},
        {"proto": 1, "family": 10, "flags": 4},
    ],
)
def test_a_socket_of_ones_own_takes_no_options(
    world: World, loop: Any, kwargs: dict[str, Any]
) -> None:
    order = ["local_addr", "remote_addr", "family", "proto", "flags", "reuse_port"]
    order += ["allow_broadcast"]
    problems = ", ".join(f"{name}={kwargs[name]}" for name in order if name in kwargs)
    with bound_socket() as sock:
        made = loop.create_datagram_endpoint(Datagrams, sock=sock, **kwargs)
        assert run(loop, refusal(made)) == (
            "ValueError: socket modifier keyword arguments can not be used "
            f"when sock is specified. ({problems})"
        )
        assert sock.gettimeout() == 10


def test_what_the_factory_raises_reaches_the_caller(world: World, loop: Any) -> None:
    def factory() -> Any:
        raise LookupError("no protocol")

    with bound_socket() as sock:
        made = loop.create_datagram_endpoint(factory, sock=sock)
        assert run(loop, refusal(made)) == "LookupError: no protocol"


def test_a_socket_can_have_one_transport_only(world: World, loop: Any) -> None:
    if PY == (3, 11):
        pytest.skip("3.11 takes the socket again")

    async def main() -> None:
        sock = bound_socket()
        async with endpoint(loop, sock=sock) as (transport, _):
            refused = await refusal(loop.create_datagram_endpoint(Datagrams, sock=sock))
            assert refused == (
                f"RuntimeError: File descriptor {sock!r} is used by transport {transport!r}"
            )

    run(loop, main())


def test_the_socket_of_a_transport_cannot_be_watched(world: World, loop: Any) -> None:
    async def main() -> None:
        sock = bound_socket()
        async with endpoint(loop, sock=sock):
            for attempt in (
                lambda: loop.add_reader(sock, print),
                lambda: loop.add_writer(sock.fileno(), print),
                lambda: loop.remove_reader(sock),
                lambda: loop.remove_writer(sock.fileno()),
            ):
                with pytest.raises(RuntimeError, match="is used by transport <"):
                    attempt()

    run(loop, main())


def test_a_cancelled_creation_leaves_nothing(world: World, loop: Any) -> None:
    protocol = Datagrams()

    async def main() -> None:
        made = asyncio.ensure_future(
            loop.create_datagram_endpoint(lambda: protocol, local_addr=LOCAL)
        )
        await asyncio.sleep(0)
        made.cancel()
        with pytest.raises(asyncio.CancelledError):
            await made
        await until(lambda: protocol.is_lost)
        assert protocol.story == ["made", ("lost", None)]

    run(loop, main())


# --- UNIX -----------------------------------------------------------------------


def test_paths_are_addresses_of_the_unix_family(world: World, loop: Any, tmp_path: Path) -> None:
    server_path, client_path = str(tmp_path / "server"), str(tmp_path / "client")

    async def main() -> None:
        unix = {"family": socket.AF_UNIX}
        async with endpoint(loop, local_addr=server_path, **unix) as (server, served):
            made = endpoint(loop, local_addr=client_path, remote_addr=server_path, **unix)
            async with made as (client, asked):
                client.sendto(b"question")
                await until(lambda: served.received)
                assert served.story == ["made", (b"question", client_path)]
                server.sendto(b"answer", client_path)
                await until(lambda: asked.received)
                assert asked.story == ["made", (b"answer", server_path)]
            # Nobody is there any more: the error is told at once, from inside sendto().
            server.sendto(b"answer", client_path)
            assert served.story[2:] == ["ConnectionRefusedError(111)"]

    run(loop, main())
    # The file of a datagram socket stays, as asyncio leaves it.
    assert stat.S_ISSOCK(os.stat(server_path).st_mode)


def test_a_stale_socket_file_is_replaced(world: World, loop: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "stale")
    bound_socket(path, socket.AF_UNIX).close()
    assert os.path.exists(path)

    async def main() -> None:
        async with endpoint(loop, local_addr=path, family=socket.AF_UNIX) as (transport, _):
            assert transport.get_extra_info("sockname") == path

    run(loop, main())


def test_a_plain_file_is_not_replaced(world: World, loop: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    made = loop.create_datagram_endpoint(Datagrams, local_addr=str(path), family=socket.AF_UNIX)
    assert run(loop, refusal(made)) == "OSError(98)"
    assert path.read_text() == "precious"


def test_a_path_that_cannot_be_looked_at_is_reported(
    world: World, loop: Any, tmp_path: Path, logged: Log
) -> None:
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "below")
    made = loop.create_datagram_endpoint(Datagrams, local_addr=path, family=socket.AF_UNIX)
    assert run(loop, refusal(made)) == "NotADirectoryError(20)"
    [text] = logged.texts(logging.ERROR)
    assert text.startswith(f"Unable to check or remove stale UNIX socket {path!r}: NotADirectory")


def test_abstract_names_leave_no_file(world: World, loop: Any) -> None:
    name = f"\0batonloop-datagrams-{os.getpid()}"

    async def main() -> None:
        unix = {"family": socket.AF_UNIX}
        async with endpoint(loop, local_addr=name, **unix) as (server, served):
            assert server.get_extra_info("sockname") == name.encode()
            async with endpoint(loop, remote_addr=name, **unix) as (client, _):
                client.sendto(b"hello")
                await until(lambda: served.received)
                # The client has no name.
                assert served.story[1] == (b"hello", None)

    run(loop, main())


@pytest.mark.parametrize("name", ["local_addr", "remote_addr"])
@pytest.mark.parametrize("address", [b"/tmp/name", ("127.0.0.1", 0), Path("/tmp/name"), 5])
def test_a_path_is_a_string(world: World, loop: Any, name: str, address: object) -> None:
    made = loop.create_datagram_endpoint(Datagrams, **{name: address}, family=socket.AF_UNIX)
    assert run(loop, refusal(made)) == "TypeError: string is expected"


def test_a_peer_that_does_not_exist_is_refused(world: World, loop: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "nobody")
    made = loop.create_datagram_endpoint(Datagrams, remote_addr=path, family=socket.AF_UNIX)
    assert run(loop, refusal(made)) == "FileNotFoundError(2)"


# --- What a transport knows of itself ----------------------------------------------


def test_an_endpoint_tells_of_its_socket(world: World, loop: Any) -> None:
    async def main() -> None:
        sock = bound_socket()
        async with endpoint(loop, sock=sock) as (transport, _):
            told = transport.get_extra_info("socket")
            assert type(told) is asyncio.trsock.TransportSocket
            assert (told.fileno(), told.type) == (sock.fileno(), socket.SOCK_DGRAM)
            assert transport.get_extra_info("peername", "default") is None
            assert transport.get_extra_info("nothing") is None
            assert transport.get_extra_info("nothing", "default") == "default"

    run(loop, main())


def test_an_endpoint_says_what_it_does(world: World, loop: Any) -> None:
    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, _):
            await turns()
            assert shape(transport) == "< fd=N read=polling write=<idle, bufsize=0>>"
            transport.pause_reading()
            assert not transport.is_reading()
            assert shape(transport) == "< fd=N read=idle write=<idle, bufsize=0>>"
            transport.close()
            assert shape(transport) == "< closing fd=N read=idle write=<idle, bufsize=0>>"
        assert shape(transport) == "< closed fd=N>"

    run(loop, main())


def test_an_endpoint_left_behind_is_closed_with_a_warning(world: World, loop: Any) -> None:
    async def main() -> None:
        transport, protocol = await loop.create_datagram_endpoint(Datagrams, local_addr=LOCAL)
        transport.pause_reading()
        await turns()
        sock = transport.get_extra_info("socket")
        protocol.transport = None
        with pytest.warns(ResourceWarning, match=r"^unclosed transport <\w+ fd="):
            del transport
            gc.collect()
        assert sock.fileno() == -1

    run(loop, main())


def test_a_loop_in_debug_mode_tells_of_new_endpoints(world: World, loop: Any, logged: Log) -> None:
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    loop.set_debug(True)
    loop.slow_callback_duration = 100.0

    async def main() -> None:
        async with endpoint(loop, local_addr=LOCAL) as (transport, _):
            start = "Datagram endpoint local_addr=('127.0.0.1', 0) remote_addr=None created: ("
            assert [text for text in logged.texts() if text.startswith(start)]
            name = transport.get_extra_info("sockname")
            async with endpoint(loop, remote_addr=name):
                start = f"Datagram endpoint remote_addr={name} created: ("
                assert [text for text in logged.texts() if text.startswith(start)]

    try:
        run(loop, main())
    finally:
        logging.getLogger("asyncio").setLevel(logging.NOTSET)
