"""Flow control of stream transports: limits of the write buffer, pause_writing, resume_writing."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import World
from net_tools import PY, Recorder, fill, receive, wired
from task_tools import gather_reports, raised


def pauses(protocol: Recorder) -> list[str]:
    return [word.removesuffix("_writing") for word in protocol.story if "writing" in word]


# --- Limits -------------------------------------------------------------------


def test_the_limits_without_a_word(world: World, loop: Any, kind: str) -> None:
    with wired(world, loop, Recorder(), kind) as (transport, _):
        assert transport.get_write_buffer_limits() == (16384, 65536)


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ({}, (16384, 65536)),
        ({"high": 100}, (25, 100)),
        ({"high": 3}, (0, 3)),
        ({"low": 100}, (100, 400)),
        ({"high": 0}, (0, 0)),
        ({"low": 0}, (0, 0)),
        ({"high": 7, "low": 7}, (7, 7)),
        ({"high": 1.5, "low": 0.5}, (0.5, 1.5)),
        ({"high": True, "low": False}, (0, 1)),
        ({"high": 2**70}, (2**68, 2**70)),
    ],
)
def test_limits_follow_from_each_other(
    world: World, loop: Any, given: dict[str, Any], limits: tuple[Any, Any]
) -> None:
    with wired(world, loop, Recorder()) as (transport, _):
        transport.set_write_buffer_limits(12345, 123)
        assert transport.set_write_buffer_limits(**given) is None
        assert transport.get_write_buffer_limits() == limits


def test_limits_by_position_are_high_and_low(world: World, loop: Any) -> None:
    with wired(world, loop, Recorder()) as (transport, _):
        transport.set_write_buffer_limits(100, 50)
        assert transport.get_write_buffer_limits() == (50, 100)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"high": 1, "low": 2}, "high (1) must be >= low (2) must be >= 0"),
        ({"high": -1}, "high (-1) must be >= low (-1) must be >= 0"),
        ({"low": -1}, "high (-4) must be >= low (-1) must be >= 0"),
        ({"high": 5, "low": -5}, "high (5) must be >= low (-5) must be >= 0"),
    ],
)
def test_limits_that_cannot_be_are_refused(
    world: World, loop: Any, given: dict[str, Any], message: str
) -> None:
    with wired(world, loop, Recorder()) as (transport, _):
        error = raised(lambda: transport.set_write_buffer_limits(**given))
        assert type(error) is ValueError and str(error) == message
        assert transport.get_write_buffer_limits() == (16384, 65536)


def test_limits_that_are_no_numbers_are_refused(world: World, loop: Any) -> None:
    with wired(world, loop, Recorder()) as (transport, _):
        assert type(raised(lambda: transport.set_write_buffer_limits("x"))) is TypeError
        assert type(raised(lambda: transport.set_write_buffer_limits(1, "x"))) is TypeError
        assert transport.get_write_buffer_limits() == (16384, 65536)


# --- Pausing and resuming -----------------------------------------------------


def test_a_protocol_pauses_above_high_and_resumes_at_low(
    world: World, loop: Any, kind: str
) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        written = fill(transport, b"x" * 1024)
        waiting = transport.get_write_buffer_size()
        transport.set_write_buffer_limits(high=waiting + 100, low=0)
        transport.write(b"y" * 100)
        # At the mark, not above it.
        assert pauses(protocol) == []
        transport.write(b"z")
        # At once, within write.
        assert pauses(protocol) == ["pause"]
        transport.write(b"more")
        assert pauses(protocol) == ["pause"]
        receive(loop, peer, written + 105)
        assert transport.get_write_buffer_size() == 0
        assert pauses(protocol) == ["pause", "resume"]


def test_a_protocol_resumes_before_all_is_sent(world: World, loop: Any, kind: str) -> None:
    sizes: list[int] = []
    protocol = Recorder(resume_writing=lambda p: sizes.append(p.transport.get_write_buffer_size()))
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        transport.set_write_buffer_limits(high=1_000_000, low=500_000)
        transport.write(b"x" * 1_500_000)
        assert pauses(protocol) == ["pause"]
        receive(loop, peer, 1_500_000)
        assert pauses(protocol) == ["pause", "resume"]
        assert 300_000 < sizes[0] <= 500_000


def test_pause_and_resume_again_and_again(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        for _ in range(3):
            transport.write(b"x" * 500_000)
            receive(loop, peer, 500_000)
        assert pauses(protocol) == ["pause", "resume"] * 3


def test_a_protocol_may_write_when_it_resumes(world: World, loop: Any, kind: str) -> None:
    rounds = 5

    def resumed(protocol: Recorder) -> None:
        nonlocal rounds
        rounds -= 1
        if rounds:
            protocol.transport.write(b"x" * 400_000)
        else:
            protocol.transport.close()

    protocol = Recorder(resume_writing=resumed)
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        transport.write(b"x" * 400_000)
        assert len(receive(loop, peer)) == 5 * 400_000
        assert pauses(protocol) == ["pause", "resume"] * 5
        assert protocol.lost == [None]


def test_a_protocol_may_write_when_it_is_paused(world: World, loop: Any) -> None:
    # The call within the call pauses nobody again.
    protocol = Recorder(pause_writing=lambda p: p.transport.write(b"y" * 100_000))
    with wired(world, loop, protocol, small=True) as (transport, peer):
        transport.write(b"x" * 400_000)
        assert pauses(protocol) == ["pause"]
        assert receive(loop, peer, 500_000) == b"x" * 400_000 + b"y" * 100_000
        assert pauses(protocol) == ["pause", "resume"]


def test_lower_limits_pause_at_once_and_higher_ones_resume_later(
    world: World, loop: Any, kind: str
) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        written = fill(transport, b"x" * 1024)
        waiting = transport.get_write_buffer_size()
        transport.set_write_buffer_limits(high=waiting)
        assert pauses(protocol) == []
        transport.set_write_buffer_limits(high=waiting - 1)
        assert pauses(protocol) == ["pause"]
        transport.set_write_buffer_limits(high=waiting * 10)
        assert pauses(protocol) == ["pause"]
        receive(loop, peer, written)
        assert pauses(protocol) == ["pause", "resume"]


def test_limits_of_zero_pause_for_the_first_byte_that_waits(world: World, loop: Any) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol) as (transport, peer):
        transport.set_write_buffer_limits(high=0)
        transport.write(b"sent at once")
        assert pauses(protocol) == []
        written = fill(transport)
        assert pauses(protocol) == ["pause"]
        receive(loop, peer, written + 12)
        assert pauses(protocol) == ["pause", "resume"]


def test_writelines_pauses_too(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        transport.writelines([b"x" * 300_000, b"y" * 300_000])
        # asyncio 3.12 forgot it, and 3.13 at first.
        pausing = world.is_ours or PY == (3, 11) or PY >= (3, 14)
        assert pauses(protocol) == ["pause"] * pausing
        receive(loop, peer, 600_000)
        assert pauses(protocol) == ["pause", "resume"] * pausing


def test_the_new_protocol_resumes_what_the_old_one_paused(world: World, loop: Any) -> None:
    old, new = Recorder(), Recorder()
    with wired(world, loop, old, small=True) as (transport, peer):
        transport.write(b"x" * 500_000)
        transport.set_protocol(new)
        receive(loop, peer, 500_000)
        assert pauses(old) == ["pause"]
        assert pauses(new) == ["resume"]


def test_a_paused_protocol_may_never_hear_again(world: World, loop: Any, kind: str) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, _):
        transport.write(b"x" * 500_000)
        transport.abort()
        world.turn(loop, 2)
        assert protocol.story == ["connection_made", "pause_writing", "connection_lost"]


def test_a_paused_protocol_resumes_while_the_transport_closes(
    world: World, loop: Any, kind: str
) -> None:
    protocol = Recorder()
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        transport.write(b"x" * 500_000)
        transport.close()
        receive(loop, peer)
        assert protocol.story[1:] == ["pause_writing", "resume_writing", "connection_lost"]


# --- Protocols that raise -----------------------------------------------------


@pytest.mark.parametrize("name", ["pause_writing", "resume_writing"])
@pytest.mark.parametrize("error", [ValueError("mine"), OSError("mine")])
def test_a_failing_pause_or_resume_is_reported_and_costs_nothing(
    world: World, loop: Any, kind: str, name: str, error: Exception
) -> None:
    def fail(protocol: Recorder) -> None:
        raise error

    protocol = Recorder(**{name: fail})
    reports = gather_reports(loop)
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        transport.write(b"x" * 500_000)
        receive(loop, peer, 500_000)
        assert pauses(protocol) == ["pause", "resume"]
        assert reports == [
            {
                "message": f"protocol.{name}() failed",
                "exception": error,
                "transport": transport,
                "protocol": protocol,
            }
        ]
        transport.write(b"still open")
        assert receive(loop, peer, 10) == b"still open"
        assert protocol.lost == []


@pytest.mark.parametrize("kind_of", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_out_of_pause_writing_comes_out_of_write(
    world: World, loop: Any, kind_of: type[BaseException]
) -> None:
    def interrupt(protocol: Recorder) -> None:
        raise kind_of

    protocol = Recorder(pause_writing=interrupt)
    with wired(world, loop, protocol, small=True) as (transport, peer):
        with pytest.raises(kind_of):
            transport.write(b"x" * 500_000)
        assert receive(loop, peer, 500_000) == b"x" * 500_000
        assert pauses(protocol) == ["pause", "resume"]


@pytest.mark.parametrize("kind_of", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_out_of_resume_writing_comes_out_of_the_loop(
    world: World, loop: Any, kind_of: type[BaseException]
) -> None:
    def interrupt(protocol: Recorder) -> None:
        raise kind_of

    protocol = Recorder(resume_writing=interrupt)
    with wired(world, loop, protocol, small=True) as (transport, peer):
        transport.set_write_buffer_limits(high=300_000, low=200_000)
        transport.write(b"x" * 500_000)
        with pytest.raises(kind_of):
            receive(loop, peer, 500_000)
        assert pauses(protocol) == ["pause", "resume"]
        assert protocol.lost == []
        transport.write(b"y")
        transport.close()
        assert receive(loop, peer).endswith(b"xy")
        assert protocol.lost == [None]
