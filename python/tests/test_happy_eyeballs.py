"""Happy eyeballs: several addresses that race, and the order in which families take turns."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import World
from net_tools import PY, Guests, Recorder, full_listener, has_ipv6, resolving
from task_tools import raised

SIX = [("::1", port) for port in (1, 2, 3)]
FOUR = [("127.0.0.1", port) for port in (4, 5)]


@pytest.fixture
def ways() -> Iterator[tuple[Any, Any]]:
    """Two addresses of one port: the first lets everybody wait, the second listens."""
    slow, clients = full_listener(("127.0.0.4", 0))
    port = slow.getsockname()[1]
    with socket.create_server(("127.0.0.5", port)) as good:
        yield slow.getsockname(), good.getsockname()
    for sock in (slow, *clients):
        sock.close()


def connect(loop: Any, *args: Any, **kwargs: Any) -> Any:
    coro = loop.create_connection(Recorder, *args, **kwargs)
    return loop.run_until_complete(asyncio.wait_for(coro, 10))


def tried(error: BaseException) -> list[int]:
    """The ports, in the order in which they were tried in vain."""
    return [int(port) for port in re.findall(r"failed \('[^']+', (\d+)", str(error))]


# --- Interleaving -------------------------------------------------------------


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize(
    ("kwargs", "order"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"interleave": 0}, [1, 2, 3, 4, 5]),
        ({"interleave": 1}, [1, 4, 2, 5, 3]),
        ({"interleave": 2}, [1, 2, 4, 3, 5]),
        ({"interleave": 3}, [1, 2, 3, 4, 5]),
        ({"interleave": 10}, [1, 2, 3, 4, 5]),
        ({"happy_eyeballs_delay": 5}, [1, 4, 2, 5, 3]),
        ({"happy_eyeballs_delay": 5, "interleave": 0}, [1, 2, 3, 4, 5]),
        ({"happy_eyeballs_delay": 5, "interleave": 2}, [1, 2, 4, 3, 5]),
    ],
)
def test_families_take_turns(world: World, kwargs: dict[str, Any], order: list[int]) -> None:
    loop = resolving(world, {"many.test": SIX + FOUR})
    error = raised(lambda: connect(loop, "many.test", 80, **kwargs))
    assert type(error) is OSError
    assert str(error).startswith("Multiple exceptions: [Errno 111] Connect call failed (")
    assert tried(error) == order
    loop.close()


def test_addresses_of_one_family_stay_in_order(world: World) -> None:
    loop = resolving(world, {"many.test": [("127.0.0.1", port) for port in (3, 1, 2)]})
    for kwargs in ({"interleave": 1}, {"interleave": 2}, {"happy_eyeballs_delay": 5}):
        error = raised(lambda kwargs=kwargs: connect(loop, "many.test", 80, **kwargs))
        assert tried(error) == [3, 1, 2]
    loop.close()


# --- The race -----------------------------------------------------------------


def test_the_next_address_is_tried_when_the_first_takes_long(world: World, ways: Any) -> None:
    (slow, port), (good, _) = ways
    loop = resolving(world, {"two.test": [slow, good]})
    transport, protocol = connect(loop, "two.test", port, happy_eyeballs_delay=0.005)
    assert transport.get_extra_info("peername") == (good, port)
    assert protocol.story == ["connection_made"]
    transport.abort()
    # What still tried is closed, as the fixture sees.
    world.turn(loop, 2)
    loop.close()


def test_all_are_tried_at_once_without_a_delay(world: World, ways: Any) -> None:
    (slow, port), (good, _) = ways
    loop = resolving(world, {"many.test": [slow, slow, slow, good]})
    transport, _ = connect(loop, "many.test", port, happy_eyeballs_delay=0)
    assert transport.get_extra_info("peername") == (good, port)
    transport.abort()
    world.turn(loop, 2)
    loop.close()


def test_the_next_address_is_tried_as_soon_as_one_fails(world: World, ways: Any) -> None:
    # However long the delay is.
    _, (good, port) = ways
    loop = resolving(world, {"two.test": [("127.0.0.1", 1), good]})
    transport, _ = connect(loop, "two.test", port, happy_eyeballs_delay=3600)
    assert transport.get_extra_info("peername") == (good, port)
    transport.abort()
    world.turn(loop, 2)
    loop.close()


def test_the_first_wins_if_it_is_there_in_time(world: World, ways: Any) -> None:
    _, (good, port) = ways
    loop = resolving(world, {"two.test": [good, "127.0.0.1"]})
    transport, _ = connect(loop, "two.test", port, happy_eyeballs_delay=3600)
    assert transport.get_extra_info("peername") == (good, port)
    transport.abort()
    world.turn(loop, 2)
    loop.close()


def test_one_address_races_with_nobody(world: World, ways: Any) -> None:
    _, (good, port) = ways
    loop = resolving(world, {"one.test": [good]})
    transport, _ = connect(loop, "one.test", port, happy_eyeballs_delay=0.25)
    assert transport.get_extra_info("peername") == (good, port)
    transport.abort()
    world.turn(loop, 2)
    error = raised(lambda: connect(loop, "127.0.0.1", 1, happy_eyeballs_delay=0.25))
    assert type(error) is ConnectionRefusedError
    loop.close()


def test_the_factory_is_called_for_the_winner_only(world: World, ways: Any) -> None:
    _, (good, port) = ways
    loop = resolving(world, {"many.test": [good, good, good]})
    guests = Guests()
    coro = loop.create_connection(guests, "many.test", port, happy_eyeballs_delay=0)
    transport, protocol = loop.run_until_complete(coro)
    assert guests == [protocol]
    transport.abort()
    world.turn(loop, 2)
    loop.close()


@pytest.mark.skipif(PY < (3, 12), reason="new in 3.12")
def test_all_errors_of_a_race_are_a_group(world: World) -> None:
    loop = resolving(world, {"many.test": FOUR})
    error = raised(lambda: connect(loop, "many.test", 80, happy_eyeballs_delay=5, all_errors=True))
    assert type(error) is ExceptionGroup
    assert error.message == "create_connection failed"
    assert [str(each) for each in error.exceptions] == [
        f"[Errno 111] Connect call failed {address}" for address in FOUR
    ]
    loop.close()


def test_a_race_uses_the_local_address(world: World, ways: Any) -> None:
    _, (good, port) = ways
    loop = resolving(world, {"two.test": [("127.0.0.1", 1), good]})
    transport, _ = connect(
        loop, "two.test", port, happy_eyeballs_delay=1, local_addr=("127.0.0.8", 0)
    )
    assert transport.get_extra_info("sockname")[0] == "127.0.0.8"
    transport.abort()
    world.turn(loop, 2)
    loop.close()


def test_a_race_can_be_cancelled(world: World, ways: Any) -> None:
    (slow, port), _ = ways
    loop = resolving(world, {"two.test": [slow, slow]})
    guests = Guests()
    task = loop.create_task(
        loop.create_connection(guests, "two.test", port, happy_eyeballs_delay=0)
    )
    # Long enough for both to try.
    world.turn(loop, 30)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    world.turn(loop, 5)
    assert guests == []
    assert asyncio.all_tasks(loop) == set()
    loop.close()
