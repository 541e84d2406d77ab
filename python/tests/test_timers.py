"""Timers: when they run, in what order, what moves them, and what is no time at all.

Most of these tests own the clock: a loop whose `time` is overridden, so that nothing sleeps.
"""

from __future__ import annotations

import fractions
import gc
import math
import random
import sys
import threading
import time
import weakref
from typing import Any

import pytest
from conftest import World

DAY = 24 * 3600.0


def clocked_loop(world: World, now: float = 1000.0) -> Any:
    """A loop that believes what its `now` says."""

    class Clocked(world.EventLoop):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.now = now

        def time(self) -> float:
            return self.now

    return Clocked()


@pytest.fixture
def clocked(world: World) -> Any:
    loop = clocked_loop(world)
    yield loop
    loop.close()


# --- What call_later and call_at give -----------------------------------------


@pytest.mark.parametrize("delay", [0, 0.0, -0.0, 1, 0.5, -1, -2.5, 10**9, True])
def test_call_later_gives_a_timer_for_any_delay(world: World, clocked: Any, delay: float) -> None:
    # A delay of nothing is a timer too: its user may ask when().
    handle = clocked.call_later(delay, print)
    assert isinstance(handle, world.TimerHandle)
    assert handle.when() == clocked.now + delay
    assert not handle.cancelled()


@pytest.mark.parametrize("when", [0, 0.25, -5, 10**12, 1000.1])
def test_call_at_gives_a_timer_of_that_very_time(world: World, clocked: Any, when: float) -> None:
    handle = clocked.call_at(when, print)
    assert isinstance(handle, world.TimerHandle)
    assert handle.when() == when


def test_a_timer_of_a_real_loop_says_when(world: World, loop: Any) -> None:
    before = loop.time()
    handle = loop.call_later(50, print)
    after = loop.time()
    assert before + 50 <= handle.when() <= after + 50


def test_a_delay_may_be_any_number_that_adds_to_a_float(world: World, clocked: Any) -> None:
    class Whole(int):
        pass

    class Added:
        def __radd__(self, other: float) -> float:
            return other + 2.5

    assert clocked.call_later(fractions.Fraction(1, 2), print).when() == 1000.5
    assert clocked.call_later(Whole(3), print).when() == 1003
    assert clocked.call_later(Added(), print).when() == 1002.5


# --- When they run ------------------------------------------------------------


def test_a_timer_runs_when_its_time_has_come_and_not_before(world: World, clocked: Any) -> None:
    seen: list[str] = []
    clocked.call_later(10, seen.append, "ten")
    clocked.call_at(1005, seen.append, "five")
    world.turn(clocked)
    assert seen == []
    clocked.now = 1004.999
    world.turn(clocked)
    assert seen == []
    clocked.now = 1005
    world.turn(clocked)
    assert seen == ["five"]
    clocked.now = 1010
    world.turn(clocked)
    world.turn(clocked)
    assert seen == ["five", "ten"]


def test_due_timers_run_by_deadline(world: World, clocked: Any) -> None:
    order = random.Random(5)
    whens = [1000 + n / 7 for n in range(1000)]
    order.shuffle(whens)
    seen: list[float] = []
    handles = [clocked.call_at(when, seen.append, when) for when in whens]
    kept = sorted(whens)
    for handle in order.sample(handles, 400):
        handle.cancel()
        kept.remove(handle.when())
    clocked.now = 1100
    world.turn(clocked)
    assert seen == [when for when in kept if when <= 1100]
    clocked.now = 2000
    world.turn(clocked)
    assert seen == kept


def test_timers_of_one_deadline_run_first_come_first_served(world: World, clocked: Any) -> None:
    # asyncio leaves the order of equal deadlines open; we promise the order of their creation.
    seen: list[int] = []
    handles = [clocked.call_at(1001, seen.append, n) for n in range(200)]
    clocked.call_at(1000.5, seen.append, -1)
    for handle in handles[::3]:
        handle.cancel()
    clocked.now = 1001
    world.turn(clocked)
    expected = [-1] + [n for n in range(200) if n % 3]
    if not world.is_ours:
        seen.sort()
    assert seen == expected


def test_ties_keep_their_order_when_cancelled_timers_are_swept(world: World, clocked: Any) -> None:
    seen: list[int] = []
    dead = [clocked.call_at(1500, seen.append, -1) for _ in range(300)]
    for number in range(100):
        clocked.call_at(1001 + number % 2, seen.append, number)
    for handle in dead:
        handle.cancel()
    world.turn(clocked)
    clocked.now = 2000
    world.turn(clocked)
    evens, odds = list(range(0, 100, 2)), list(range(1, 100, 2))
    if not world.is_ours:
        assert (sorted(seen[:50]), sorted(seen[50:])) == (evens, odds)
    else:
        assert seen == evens + odds


def test_a_timer_added_by_a_timer_waits_for_the_next_turn(world: World, clocked: Any) -> None:
    seen: list[str] = []

    def first() -> None:
        seen.append("first")
        clocked.call_later(0, seen.append, "second")
        clocked.call_at(0, seen.append, "overdue")

    clocked.call_later(0, first)
    world.turn(clocked)
    assert seen == ["first"]
    world.turn(clocked)
    assert seen == ["first", "overdue", "second"]


def test_a_timer_that_falls_due_during_a_turn_waits_for_the_next(
    world: World, clocked: Any
) -> None:
    seen: list[str] = []

    def take_long() -> None:
        clocked.now += 100
        seen.append("long")

    clocked.call_later(50, seen.append, "timer")
    clocked.call_soon(take_long)
    clocked.call_soon(seen.append, "soon")
    world.turn(clocked)
    assert seen == ["long", "soon"]
    world.turn(clocked)
    assert seen == ["long", "soon", "timer"]


def test_a_busy_loop_runs_its_timers_late_and_all_of_them(world: World, clocked: Any) -> None:
    seen: list[int] = []
    for number in range(5):
        clocked.call_later(number, seen.append, number)
    clocked.call_soon(setattr, clocked, "now", clocked.now + 20)
    world.turn(clocked, 2)
    assert seen == [0, 1, 2, 3, 4]


def test_the_time_is_read_again_after_the_rest(world: World, in_time: None) -> None:
    # The clock jumps while the loop rests; what wakes it must not find the old time.
    loop = clocked_loop(world)
    seen: list[str] = []
    loop.call_later(3600, lambda: (seen.append("an hour"), loop.stop()))

    def jump() -> None:
        loop.now += 3600
        loop.call_soon_threadsafe(seen.append, "woken")

    thread = threading.Timer(0.01, jump)
    thread.start()
    loop.run_forever()
    thread.join()
    loop.close()
    assert seen == ["woken", "an hour"]


def test_time_may_be_overridden_on_the_loop_itself(world: World, loop: Any) -> None:
    now = 50.0
    loop.time = lambda: now
    seen: list[str] = []
    handle = loop.call_later(5, seen.append, "timer")
    assert handle.when() == 55.0
    world.turn(loop)
    assert seen == []
    now = 55.0
    world.turn(loop)
    assert seen == ["timer"]
    del loop.time
    assert abs(loop.time() - time.monotonic()) < 60


def test_an_overridden_clock_may_count_in_whole_numbers(world: World, clocked: Any) -> None:
    clocked.now = 7
    seen: list[str] = []
    assert clocked.call_later(3, seen.append, "timer").when() == 10
    world.turn(clocked)
    assert seen == []
    clocked.now = 10
    world.turn(clocked)
    assert seen == ["timer"]


def test_a_clock_that_raises_is_heard(world: World, clocked: Any) -> None:
    class Broken(Exception):
        pass

    def broken() -> float:
        raise Broken

    clocked.time = broken
    with pytest.raises(Broken):
        clocked.call_later(1, print)
    clocked.call_at(2000, print)
    with pytest.raises(Broken):
        clocked.run_forever()
    del clocked.time
    assert not clocked.is_running()
    world.turn(clocked)


def test_sleeping_follows_an_overridden_clock(world: World, clocked: Any) -> None:
    task = clocked.create_task(world.sleep(1000, "woken"))
    world.turn(clocked, 3)
    assert not task.done()
    clocked.now += 1000
    world.turn(clocked, 3)
    assert task.result() == "woken"


# --- Real time ----------------------------------------------------------------


@pytest.mark.slow
def test_no_timer_is_early(world: World, loop: Any) -> None:
    # asyncio allows itself one step of the clock; we do not.
    grace = 0.0 if world.is_ours else time.get_clock_info("monotonic").resolution
    order = random.Random(7)
    early: list[float] = []
    ran = 0

    def check(when: float) -> None:
        nonlocal ran
        now = time.monotonic()
        ran += 1
        if now < when - grace:
            early.append(when - now)

    start = loop.time()
    for _ in range(200):
        when = start + order.random() * 0.05
        loop.call_at(when, check, when)
    loop.call_at(start + 0.06, loop.stop)
    loop.run_forever()
    assert ran == 200
    assert early == []


def test_a_sleeping_task_is_never_early(world: World, loop: Any) -> None:
    async def main() -> list[float]:
        took = []
        for _ in range(20):
            start = time.monotonic()
            await world.sleep(0.0013)
            took.append(time.monotonic() - start)
        return took

    grace = 0.0 if world.is_ours else time.get_clock_info("monotonic").resolution
    assert min(loop.run_until_complete(main())) >= 0.0013 - grace


def test_timers_do_not_step_in_milliseconds(world: World, loop: Any) -> None:
    # asyncio rounds a rest up to a whole millisecond. The best of many is what the loop can do,
    # however loaded the machine is.
    async def main() -> list[float]:
        took = []
        for _ in range(50):
            start = time.monotonic()
            await world.sleep(0.0002)
            took.append(time.monotonic() - start)
        return took

    best = min(loop.run_until_complete(main()))
    assert best >= 0.0002 - 1e-9
    if world.is_ours:
        assert best < 0.0009


def test_a_nearer_timer_shortens_the_rest(world: World, loop: Any, in_time: None) -> None:
    loop.call_later(3600, print)
    far = loop.call_later(DAY * 365 * 100, print)
    loop.call_soon(loop.call_later, 0.01, loop.stop)
    loop.run_forever()
    assert not far.cancelled()


def test_a_cancelled_nearest_timer_does_not_end_the_rest_for_all(
    world: World, loop: Any, in_time: None
) -> None:
    seen: list[str] = []
    loop.call_later(0.005, seen.append, "cancelled").cancel()
    loop.call_later(0.02, lambda: (seen.append("last"), loop.stop()))
    loop.run_forever()
    assert seen == ["last"]


# --- Cancelling ---------------------------------------------------------------


def test_a_cancelled_timer_never_runs(world: World, clocked: Any) -> None:
    seen: list[str] = []
    handle = clocked.call_later(1, seen.append, "cancelled")
    clocked.call_later(1, seen.append, "kept")
    handle.cancel()
    handle.cancel()
    assert handle.cancelled()
    assert handle.when() == 1001
    clocked.now += 5
    world.turn(clocked, 2)
    assert seen == ["kept"]


def test_a_due_timer_cancels_another_of_its_turn(world: World, clocked: Any) -> None:
    seen: list[str] = []
    clocked.call_at(999, lambda: other.cancel())
    other = clocked.call_at(999.5, seen.append, "cancelled")
    world.turn(clocked, 2)
    assert seen == []
    assert other.cancelled()


def test_a_timer_cancelled_after_it_ran_disturbs_nobody(world: World, clocked: Any) -> None:
    seen: list[str] = []
    handle = clocked.call_at(0, seen.append, "ran")
    world.turn(clocked)
    handle.cancel()
    assert handle.cancelled()
    clocked.call_at(0, seen.append, "next")
    world.turn(clocked)
    assert seen == ["ran", "next"]


def test_cancelling_lets_go_of_the_arguments_at_once(world: World, clocked: Any) -> None:
    # A cancelled timer may stay in the schedule for an hour; what it was given must not.
    class Token:
        pass

    token = Token()
    gone = weakref.ref(token)
    handle = clocked.call_later(3600, print, token)
    del token
    gc.collect()
    assert gone() is not None
    handle.cancel()
    gc.collect()
    assert gone() is None


def test_a_timer_nobody_holds_runs_all_the_same(world: World, clocked: Any) -> None:
    seen: list[str] = []
    clocked.call_later(1, seen.append, "ran")
    gc.collect()
    clocked.now += 1
    world.turn(clocked)
    assert seen == ["ran"]


def test_a_schedule_of_cancelled_timers_is_swept(world: World, clocked: Any) -> None:
    class Token:
        pass

    handles = [clocked.call_later(3600 + n, print) for n in range(1000)]
    keep = handles.pop(500)
    gone = [weakref.ref(handle) for handle in handles]
    for handle in handles:
        handle.cancel()
    del handle, handles
    world.turn(clocked, 2)
    gc.collect()
    assert sum(ref() is not None for ref in gone) <= 100
    assert not keep.cancelled()


# --- What is no time ----------------------------------------------------------


def test_no_delay_is_a_mistake_in_words(world: World, loop: Any) -> None:
    with pytest.raises(TypeError, match=r"^delay must not be None$"):
        loop.call_later(None, print)
    with pytest.raises(TypeError, match=r"^when cannot be None$"):
        loop.call_at(None, print)


@pytest.mark.parametrize("delay", ["1", b"1", [], {}, object(), 1j, print])
def test_a_delay_that_is_no_number_is_refused(world: World, loop: Any, delay: object) -> None:
    seen: list[str] = []
    with pytest.raises(TypeError):
        loop.call_later(delay, seen.append, "never")
        # A complex number adds to a float; asyncio sees that it has no order when it looks.
        loop.call_later(0, seen.append, "never")
        world.turn(loop)
    assert seen == []


@pytest.mark.parametrize("when", ["1", b"1", [], object(), 1j])
def test_a_time_that_is_no_number_is_refused(world: World, loop: Any, when: object) -> None:
    # asyncio looks at a lone time only when a turn compares it; we look at once.
    with pytest.raises(TypeError):
        loop.call_at(when, print)
        world.turn(loop)


def test_a_delay_beyond_every_float_overflows(world: World, loop: Any) -> None:
    with pytest.raises(OverflowError):
        loop.call_later(10**400, print)


@pytest.mark.parametrize("delay", [math.inf, 1e300, 1e18, 2**63, 2**64, DAY * 366 * 1000])
def test_an_endless_delay_never_ends(world: World, loop: Any, delay: float, in_time: None) -> None:
    seen: list[str] = []
    handle = loop.call_later(delay, seen.append, "never")
    at = loop.call_at(delay, seen.append, "never")
    assert handle.when() >= delay
    assert at.when() == delay
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    assert seen == []
    handle.cancel()
    at.cancel()
    assert handle.cancelled()
    world.turn(loop)


@pytest.mark.parametrize("delay", [-math.inf, -1e300, -(2**63), -(2**64), -1, -5e-324])
def test_a_delay_below_nothing_is_due_at_once(world: World, loop: Any, delay: float) -> None:
    seen: list[str] = []
    assert isinstance(loop.call_later(delay, seen.append, "later"), world.TimerHandle)
    loop.call_at(delay, seen.append, "at")
    loop.call_soon(seen.append, "soon")
    world.turn(loop, 2)
    assert seen[0] == "soon"
    assert sorted(seen[1:]) == ["at", "later"]


def test_timers_around_the_ends_of_time_keep_their_order(world: World, clocked: Any) -> None:
    # We count nanoseconds in 64 bits: what lies 292 years off or more is one and the same time.
    seen: list[float] = []
    ended = [-math.inf, -1e300, -1e20]
    whens = [-9e9, -1e9, -1.0, 0.0, 1e-6, 1.0, 999.0]
    for when in [1e300, math.inf, *reversed(whens), *ended]:
        clocked.call_at(when, seen.append, when)
    world.turn(clocked)
    assert sorted(seen) == ended + whens
    assert seen[3:] == whens
    clocked.now = 2e300
    world.turn(clocked)
    assert seen[10] == 1e300


def test_a_delay_that_is_not_a_number_wedges_nothing(world: World, loop: Any) -> None:
    # In a turn that does not rest asyncio runs such a timer at once. It may not break the
    # others' order, which it can in asyncio's heap; and the loop must stay usable.
    seen: list[int] = []
    for number in range(20, 10, -1):
        loop.call_at(number, seen.append, number)
    loop.call_later(math.nan, seen.append, 0)
    for number in range(10, 0, -1):
        loop.call_at(number, seen.append, number)
    world.turn(loop, 3)
    assert sorted(seen) == list(range(21))
    if world.is_ours:
        assert [n for n in seen if n] == list(range(1, 21))
    loop.call_later(0.001, loop.stop)
    loop.run_forever()


def test_sleeping_for_no_number_is_refused_where_asyncio_refuses_it(
    world: World, loop: Any, in_time: None
) -> None:
    sleep = loop.create_task(world.sleep(math.nan, "slept"))
    if sys.version_info >= (3, 13):
        with pytest.raises(ValueError, match=r"^Invalid delay: NaN \(not a number\)$"):
            loop.run_until_complete(sleep)
    else:
        assert loop.run_until_complete(sleep) == "slept"
