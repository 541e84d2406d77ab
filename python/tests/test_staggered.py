"""staggered_race(): attempts that start one after another, of which the first to succeed wins."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from clock_tools import run_in_virtual_time
from conftest import World

Attempt = Callable[[], Coroutine[Any, Any, Any]]


class Race:
    """Attempts that write down what they do and when."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.story: list[tuple[float, str]] = []
        self.staggered_race = importlib.import_module(f"{world.name}.staggered").staggered_race

    def tell(self, what: str) -> None:
        self.story.append((asyncio.get_running_loop().time(), what))

    def attempt(self, name: str, seconds: float, error: Exception | None = None) -> Attempt:
        async def run() -> str:
            self.tell(f"{name} starts")
            try:
                await self.world.sleep(seconds)
            except asyncio.CancelledError:
                self.tell(f"{name} is cancelled")
                raise
            if error is not None:
                self.tell(f"{name} fails")
                raise error
            self.tell(f"{name} wins")
            return name

        return run

    def run(self, *attempts: Attempt, delay: float | None) -> Any:
        return run_in_virtual_time(self.world, self.staggered_race(attempts, delay))


@pytest.fixture
def race(world: World) -> Race:
    return Race(world)


def test_the_first_to_succeed_wins_and_the_others_are_cancelled(race: Race) -> None:
    outcome = race.run(
        race.attempt("slow", 100),
        race.attempt("quick", 5),
        race.attempt("never", 1),
        delay=10,
    )
    assert outcome[:2] == ("quick", 1)
    assert race.story == [
        (0, "slow starts"),
        (10, "quick starts"),
        (15, "quick wins"),
        (15, "slow is cancelled"),
    ]


def test_a_failure_starts_the_next_at_once(race: Race) -> None:
    error = OSError("refused")
    winner, index, errors = race.run(
        race.attempt("first", 1, error), race.attempt("second", 3), delay=60
    )
    assert (winner, index) == ("second", 1)
    assert errors[0] is error
    assert race.story == [
        (0, "first starts"),
        (1, "first fails"),
        (1, "second starts"),
        (4, "second wins"),
    ]


def test_without_a_delay_each_waits_for_the_one_before(race: Race) -> None:
    errors = [ValueError(str(number)) for number in range(3)]
    outcome = race.run(
        *(race.attempt(str(n), 50, error) for n, error in enumerate(errors)), delay=None
    )
    assert outcome == (None, None, errors)
    assert [time for time, what in race.story if "starts" in what] == [0, 50, 100]


def test_no_attempts_are_no_race(race: Race) -> None:
    assert race.run(delay=1) == (None, None, [])


def test_a_cancelled_race_cancels_its_attempts(race: Race) -> None:
    async def main() -> None:
        attempts = (race.attempt("one", 100), race.attempt("two", 100))
        task = race.world.create_task(race.staggered_race(attempts, 1))
        await race.world.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_in_virtual_time(race.world, main())
    cancelled = {what for time, what in race.story if time == 5}
    # Some versions leave the attempts to the end of the loop, where they are cancelled, too.
    assert cancelled == {"one is cancelled", "two is cancelled"}


def test_it_is_asyncios_own(ours: World) -> None:
    from asyncio import staggered

    assert ours.module.staggered.staggered_race is staggered.staggered_race
    assert "asyncio.staggered" in sys.modules
