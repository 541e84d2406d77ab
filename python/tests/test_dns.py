"""getaddrinfo and getnameinfo: whatever they are asked, the answer is that of the module socket."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import itertools
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from conftest import Log, World
from io_tools import listening, run, tcp

NUMERIC = socket.AI_NUMERICHOST
FLAGS = [
    0,
    socket.AI_PASSIVE,
    socket.AI_NUMERICSERV,
    socket.AI_CANONNAME,
    socket.AI_V4MAPPED,
    socket.AI_ADDRCONFIG,
    socket.AI_ALL | socket.AI_V4MAPPED,
    socket.AI_PASSIVE | socket.AI_CANONNAME | socket.AI_NUMERICSERV,
    socket.AI_CANONNAME | socket.AI_V4MAPPED | socket.AI_ADDRCONFIG,
    1 << 20,
]
FAMILIES = [socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 999, -1]
TYPES = [0, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET, 99]
PROTOS = [0, socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP, 200]
# Hosts that need no look-up, whatever the flags.
HOSTS: list[Any] = [
    None,
    "",
    b"",
    "127.0.0.1",
    b"127.0.0.1",
    bytearray(b"127.0.0.1"),
    "0.0.0.0",
    "255.255.255.255",
    "127.1",
    "127.0.1",
    "0",
    "1",
    "0x7f.1",
    "0177.0.0.1",
    "2130706433",
    "0x7f000001",
    "::",
    "::1",
    b"::1",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "2001:DB8::0001",
    "fe80::1",
    "fe80::1%lo",
    "fe80::1%1",
    "::1%lo",
]
# Hosts that are none, or would have to be looked up; only asked with AI_NUMERICHOST.
NAMES: list[Any] = [
    "localhost",
    b"localhost",
    "name.invalid",
    "1.2.3.4.5",
    "256.0.0.1",
    "127.0.0.1.",
    "127.0.0.1 ",
    " 127.0.0.1",
    "127.0.0.1\t",
    "-1",
    "4294967296",
    "08.0.0.1",
    "1.2.3.",
    "١٢٧.0.0.1",
    "127。0。0。1",
    ":::",
    "::1::",
    "[::1]",
    "fe80::1%",
    "fe80::1%no-such-interface",
    "fe80::1%99999999999",
    "::ffff:256.0.0.1",
    "%lo",
    "127.0.0.1%lo",
    "bücher.invalid",
    "a" * 64 + ".invalid",
    "a" * 300,
    ".",
    "..",
    "a..b",
    "\ud800",
    "nul\0byte",
    b"nul\0byte",
    "127.0.0.1\0",
    b"\xff\xfe",
    "xn--bcher-kva.invalid",
    5,
    1.5,
    ("127.0.0.1",),
    ["127.0.0.1"],
    memoryview(b"127.0.0.1"),
    object,
]
PORTS: list[Any] = [
    None,
    0,
    80,
    65535,
    65536,
    70_000,
    -1,
    2**31,
    2**63,
    2**64,
    -(2**63) - 1,
    "",
    b"",
    "0",
    "80",
    b"80",
    "080",
    " 80",
    "80 ",
    "+80",
    "-1",
    "65536",
    "99999999999999999999",
    "0x50",
    "http",
    b"http",
    "HTTP",
    "domain",
    "no-such-service",
    "nul\0byte",
    "\ud800",
    bytearray(b"80"),
    True,
    80.0,
    socket.IPPROTO_TCP,
    ("80",),
]


class AtOnce(concurrent.futures.ThreadPoolExecutor):
    """An executor without threads, for thousands of questions to asyncio in a short time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Never(concurrent.futures.ThreadPoolExecutor):
    """An executor that does nothing, so that an answer cannot come before a cancellation."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return concurrent.futures.Future()


def told(error: Exception) -> object:
    """What can be compared of an exception."""
    # The objects that a UnicodeError carries are compared by the text.
    return type(error), str(error) if isinstance(error, UnicodeError) else error.args


def answer_of_socket(host: Any, port: Any, *args: int) -> object:
    try:
        return repr(socket.getaddrinfo(host, port, *args))
    except Exception as error:
        return told(error)


async def answer(loop: Any, host: Any, port: Any, *args: int) -> object:
    family, type, proto, flags = args
    try:
        return repr(
            await loop.getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)
        )
    except Exception as error:
        return told(error)


def compare(loop: Any, questions: Iterable[tuple[Any, ...]]) -> int:
    """Ask the loop and the module all questions; return how many there were."""
    loop.set_default_executor(AtOnce())
    mismatches = []
    count = 0

    async def main() -> None:
        nonlocal count
        for question in questions:
            count += 1
            ours, theirs = await answer(loop, *question), answer_of_socket(*question)
            if ours != theirs:
                mismatches.append(f"{question}: {ours}, but socket says {theirs}")

    run(loop, main(), 50)
    assert mismatches[:20] == [], f"{len(mismatches)} of {count}"
    return count


def plain(values: Iterable[Any]) -> list[Any]:
    """Without those that a look-up in another thread must not be asked: their object may change."""
    return [value for value in values if not isinstance(value, memoryview)]


# --- getaddrinfo -----------------------------------------------------------------------


@pytest.mark.parametrize("flags", [0, NUMERIC])
def test_every_host_with_every_port(world: World, loop: Any, flags: int) -> None:
    hosts = [*HOSTS, *NAMES] if flags else HOSTS
    # Whether the type is known decides what becomes of the name of a service.
    questions = [
        (host, port, 0, kind, 0, flags)
        for host, port in itertools.product(plain(hosts), PORTS)
        for kind in (0, socket.SOCK_STREAM)
        if kind or host in (None, "", "127.0.0.1", "::1", "127.1")
    ]
    assert compare(loop, questions) > 900


@pytest.mark.parametrize("flags", FLAGS)
def test_every_host_with_every_family_and_type(world: World, loop: Any, flags: int) -> None:
    questions = itertools.product(HOSTS, [80], FAMILIES[:4], TYPES[:4], [0], [flags])
    assert compare(loop, questions) > 400


@pytest.mark.parametrize("flags", FLAGS)
def test_every_name_with_every_family_and_type(world: World, loop: Any, flags: int) -> None:
    questions = itertools.product(
        plain(NAMES), ["http"], FAMILIES[:3], TYPES[:2], [0], [flags | NUMERIC]
    )
    assert compare(loop, questions) > 200


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", None, "", "127.1", "fe80::1%lo"])
def test_every_family_type_and_protocol(world: World, loop: Any, host: Any) -> None:
    questions = itertools.product([host], [80, None], FAMILIES, TYPES, PROTOS, [0])
    assert compare(loop, questions) == 360


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", None])
def test_every_port_with_every_type_and_protocol(world: World, loop: Any, host: Any) -> None:
    questions = itertools.product([host], PORTS, [0], TYPES[:4], PROTOS[:3], [0])
    assert compare(loop, questions) == 12 * len(PORTS)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", None])
def test_every_port_with_every_flag(world: World, loop: Any, host: Any) -> None:
    questions = itertools.product([host], PORTS, [0], [socket.SOCK_STREAM], [0], FLAGS)
    assert compare(loop, questions) == len(PORTS) * len(FLAGS)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [0, socket.AI_PASSIVE, socket.AI_CANONNAME, NUMERIC])
def test_everything_with_everything(world: World, loop: Any, flags: int) -> None:
    hosts = [host for host in HOSTS if host not in ("0:0:0:0:0:0:0:1", "0177.0.0.1", "127.0.1")]
    ports = [None, 0, 80, "80", b"80", "http", "", -1, 70_000, "no-such-service"]
    questions = itertools.product(plain(hosts), ports, FAMILIES[:3], TYPES[:4], PROTOS[:4], [flags])
    assert compare(loop, questions) > 10_000


def test_what_else_may_be_asked(world: World, loop: Any) -> None:
    loop.set_default_executor(AtOnce())

    async def main() -> None:
        assert await loop.getaddrinfo("127.0.0.1", 80) == socket.getaddrinfo("127.0.0.1", 80)
        assert await loop.getaddrinfo(host="::1", port=None) == socket.getaddrinfo("::1", None)
        for kwargs in (
            {"family": "2"},
            {"type": None},
            {"proto": 1.5},
            {"flags": "x"},
            {"family": 2**40},
        ):
            with pytest.raises((TypeError, OverflowError)) as expected:
                socket.getaddrinfo("127.0.0.1", 80, **kwargs)  # type: ignore[arg-type]
            with pytest.raises((TypeError, OverflowError)) as caught:
                await loop.getaddrinfo("127.0.0.1", 80, **kwargs)
            assert told(caught.value) == told(expected.value)
        with pytest.raises(TypeError, match="positional argument"):
            await loop.getaddrinfo("127.0.0.1", 80, 0)
        with pytest.raises(TypeError, match="port"):
            await loop.getaddrinfo("127.0.0.1")

    run(loop, main())


def test_names_are_looked_up_in_a_thread(world: World, loop: Any) -> None:
    async def main() -> None:
        expected = socket.getaddrinfo("localhost", 80, socket.AF_INET)
        got = await asyncio.gather(
            *[loop.getaddrinfo("localhost", 80, family=socket.AF_INET) for _ in range(20)]
        )
        assert got == [expected] * 20

    run(loop, main())


def test_numeric_addresses_need_no_thread(world: World, loop: Any) -> None:
    before = set(threading.enumerate())
    assert run(loop, loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM))
    # asyncio asks its executor for them, too.
    assert len(set(threading.enumerate()) - before) == (not world.is_ours)


def test_a_question_can_be_cancelled(world: World, loop: Any) -> None:
    async def main() -> None:
        loop.set_default_executor(Never())
        asking = asyncio.ensure_future(loop.getaddrinfo("localhost", 80))
        # In the turn in which it is asked, whoever is asked.
        loop.call_soon(asking.cancel)
        with pytest.raises(asyncio.CancelledError):
            await asking
        loop.set_default_executor(AtOnce())
        assert await loop.getaddrinfo("127.0.0.1", 80)

    run(loop, main())


def test_a_closed_loop_answers_nothing_that_needs_a_thread(world: World) -> None:
    loop = world.new_event_loop()
    loop.close()
    asking = loop.getaddrinfo("localhost", 80)
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        next(asking.__await__())


def test_debug_mode_tells_what_was_asked(world: World, loop: Any, logged: Log) -> None:
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    loop.set_debug(True)
    loop.slow_callback_duration = 100.0
    try:
        got = run(
            loop,
            loop.getaddrinfo(
                "127.0.0.1",
                "80",
                family=socket.AF_INET,
                type=socket.SOCK_STREAM,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_PASSIVE,
            ),
        )
    finally:
        logging.getLogger("asyncio").setLevel(logging.NOTSET)
    what = (
        f"127.0.0.1:'80', family={socket.AF_INET!r}, type={socket.SOCK_STREAM!r}, "
        f"proto={socket.IPPROTO_TCP!r}, flags={socket.AI_PASSIVE!r}"
    )
    texts = logged.texts()
    assert f"Get address info {what}" in texts
    [text] = [text for text in texts if text.startswith(f"Getting address info {what} took ")]
    assert text.endswith(f"ms: {got!r}")


def test_the_loop_asks_itself(world: World) -> None:
    # A program may resolve names in its own way, by another loop's method.
    asked: list[object] = []

    class Loop(world.EventLoop):  # type: ignore[name-defined,misc]
        async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> Any:
            asked.append((host, kwargs))
            return await super().getaddrinfo("127.0.0.1", port, **kwargs)

    async def main() -> None:
        with listening() as server:
            port = server.getsockname()[1]
            for host in ("name.invalid", "127.1", "127.0.0.1"):
                with tcp() as client:
                    await loop.sock_connect(client, (host, port))
                    (await loop.sock_accept(server))[0].close()

    loop = Loop()
    try:
        run(loop, main())
    finally:
        loop.close()
    kwargs = {"family": socket.AF_INET, "type": socket.SOCK_STREAM, "proto": 0, "flags": 0}
    assert asked == [("name.invalid", kwargs), ("127.1", kwargs)]


# --- getnameinfo -----------------------------------------------------------------------


ADDRESSES: list[Any] = [
    ("127.0.0.1", 80),
    ("127.0.0.1", 0),
    ("127.0.0.1", 65535),
    ("127.0.0.1", 65536),
    ("127.0.0.1", -1),
    ("127.0.0.1", "80"),
    ("127.0.0.1", None),
    ("127.1", 80),
    ("", 80),
    ("::1", 80),
    ("::1", 80, 0),
    ("::1", 80, 0, 0),
    ("::1", 80, 1 << 20, 0),
    ("::1", 80, -1, 0),
    ("fe80::1", 80, 0, 1),
    ("fe80::1%lo", 80, 0, 0),
    ("127.0.0.1", 80, 0, 0),
    ("::1", 80, 0, 0, 0),
    ("127.0.0.1",),
    (),
    ["127.0.0.1", 80],
    None,
    5,
    "127.0.0.1",
    (None, 80),
    (b"127.0.0.1", 80),
    (5, 80),
    ("nul\0byte", 80),
]


def test_every_address_has_the_names_that_socket_gives(world: World, loop: Any) -> None:
    loop.set_default_executor(AtOnce())
    numeric = socket.NI_NUMERICHOST
    flags = [
        numeric,
        numeric | socket.NI_NUMERICSERV,
        numeric | socket.NI_DGRAM,
        numeric | socket.NI_NAMEREQD,
        numeric | socket.NI_NOFQDN | socket.NI_NUMERICSERV,
        "x",
        2**40,
    ]
    mismatches = []

    async def main() -> None:
        for address, flag in itertools.product(ADDRESSES, flags):
            got: list[object] = []
            for ask in (loop.getnameinfo, socket.getnameinfo):
                try:
                    result = ask(address, flag)
                    got.append(await result if inspect.isawaitable(result) else result)
                except Exception as error:
                    got.append(told(error))
            if got[0] != got[1]:
                mismatches.append(f"{address}, {flag}: {got[0]}, but socket says {got[1]}")

    run(loop, main())
    assert mismatches == []


def test_names_are_found_in_a_thread(world: World, loop: Any) -> None:
    async def main() -> None:
        got = await asyncio.gather(
            *[loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICSERV) for _ in range(10)]
        )
        assert got == [socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICSERV)] * 10
        numbers = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        assert await loop.getnameinfo(("::1", 80), flags=numbers) == ("::1", "80")

    if not os.path.exists("/etc/hosts"):
        pytest.skip("this machine has no /etc/hosts")
    run(loop, main())
