"""Barrier: all come together, or none, whatever happens to each of them."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import random
from typing import Any

import pytest
from conftest import World
from play_tools import Story, cancel_in, catch, compare, run

PARTIES = 3


def state_of(barrier: Any) -> str:
    """What anybody can see of it; without the address."""
    shown = repr(barrier).partition("[")[2]
    condition = barrier._cond
    return f"{shown} {barrier._count} {condition.locked()} {len(condition._waiters)}"


async def come(barrier: Any, name: str, told: list[str], times: int = 1) -> None:
    """Come so many times, and tell how each of them ended."""
    for _ in range(times):
        try:
            told.append(f"{name} {await barrier.wait()} {state_of(barrier)}")
        except BaseException as error:
            chain: list[str] = []
            seen: BaseException | None = error
            while seen is not None:
                chain.append(repr(seen))
                seen = seen.__context__
            told.append(f"{name} {chain} {state_of(barrier)}")
            if isinstance(error, asyncio.CancelledError):
                raise


# ---------------------------------------------------------------------------------------------
# As asyncio does it, turn for turn
# ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_random_meetings_are_as_asyncio_has_them(world: World) -> None:
    def story(seed: int) -> Story:
        async def act(module: Any, loop: Any, told: list[str]) -> None:
            draw = random.Random(seed)
            barrier = module.Barrier(draw.randrange(1, PARTIES + 1))
            tasks: list[Any] = []
            for number in range(draw.randrange(6, 25)):
                kind = draw.randrange(9)
                if kind < 5:
                    times = draw.randrange(1, 4)
                    tasks.append(loop.create_task(come(barrier, f"t{number}", told, times)))
                elif kind == 5 and tasks:
                    told.append(f"cancel {draw.choice(tasks).cancel('now')}")
                elif kind == 6:
                    tasks.append(loop.create_task(barrier.reset()))
                elif kind == 7 and draw.randrange(4) == 0:
                    tasks.append(loop.create_task(barrier.abort()))
                elif kind == 8 and barrier._cond.locked():
                    barrier._cond.release()
                for _ in range(draw.randrange(4)):
                    await asyncio.sleep(0)
                    told.append(state_of(barrier))
            told.append(f"left {[task.done() for task in tasks]}")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            told.append(state_of(barrier))

        return act

    for seed in range(300):
        compare(world, story(seed), seed)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["full", "reset", "abort"])
def test_cancelled_at_every_turn(world: World, ending: str) -> None:
    def story(turn: int, whom: int) -> Story:
        async def act(module: Any, loop: Any, told: list[str]) -> None:
            barrier = module.Barrier(PARTIES)
            tasks = [
                loop.create_task(come(barrier, name, told, 2))
                for name in "abc"[: PARTIES if ending == "full" else PARTIES - 1]
            ]
            if ending != "full":
                tasks.append(loop.create_task(getattr(barrier, ending)()))
            await cancel_in(turn, tasks[whom], told, 9)
            told.append(state_of(barrier))
            for task in tasks:
                task.cancel()
            told.append(repr(await asyncio.gather(*tasks, return_exceptions=True)))
            told.append(state_of(barrier))

        return act

    for turn, whom in itertools.product(range(9), range(PARTIES)):
        compare(world, story(turn, whom), (turn, whom))


# ---------------------------------------------------------------------------------------------
# What others make of it
# ---------------------------------------------------------------------------------------------


def test_wait_is_a_coroutine_function(world: World, loop: Any) -> None:
    barrier_class = world.module.Barrier
    assert inspect.iscoroutinefunction(barrier_class.wait)
    assert barrier_class.wait.__qualname__ == "Barrier.wait"
    assert str(inspect.signature(barrier_class.wait)) == "(self)"

    async def main() -> None:
        barrier = barrier_class(1)
        assert asyncio.iscoroutine(waiting := barrier.wait())
        assert await waiting == 0
        assert await barrier_class.wait(self=barrier) == 0
        with pytest.raises(TypeError, match=r"wait\(\) takes 1 positional argument but 2 were"):
            barrier.wait(1)

    run(loop, main)


def test_a_subclass_means_what_it_says(world: World, loop: Any) -> None:
    calls: list[str] = []

    class Told(world.module.Barrier):  # type: ignore[misc,name-defined]
        async def _block(self) -> None:
            calls.append("block")
            await super()._block()

        async def _release(self) -> None:
            calls.append("release")
            await super()._release()

        async def _wait(self) -> None:
            calls.append("wait")
            await super()._wait()

        def _exit(self) -> None:
            calls.append("exit")
            super()._exit()

    async def main() -> None:
        barrier = Told(2)
        assert sorted(await asyncio.gather(barrier.wait(), barrier.wait())) == [0, 1]

    run(loop, main)
    assert calls == ["block", "wait", "block", "release", "exit", "exit"]


def test_a_condition_of_somebody_else(world: World, loop: Any) -> None:
    entered: list[str] = []

    class Told(world.module.Condition):  # type: ignore[misc,name-defined]
        async def __aenter__(self) -> None:
            entered.append("enter")
            await super().__aenter__()

    async def main() -> None:
        barrier = world.module.Barrier(2)
        barrier._cond = Told()
        assert sorted(await asyncio.gather(barrier.wait(), barrier.wait())) == [0, 1]

    run(loop, main)
    assert entered == ["enter", "enter"]


def test_attributes_are_what_it_goes_by(world: World, loop: Any) -> None:
    async def main() -> None:
        barrier = world.module.Barrier(3)
        first = loop.create_task(barrier.wait())
        await asyncio.sleep(0)
        assert (barrier.n_waiting, barrier._count, barrier.parties) == (1, 1, 3)
        barrier._parties = 2
        assert await barrier.wait() == 1
        assert await first == 0
        assert (barrier.n_waiting, barrier._count, barrier.broken) == (0, 0, False)
        barrier._count = None
        error = await catch(barrier.wait())
        assert isinstance(error, TypeError)
        # Counting failed, and so did counting back.
        assert isinstance(error.__context__, TypeError)
        assert not barrier._cond.locked()

    run(loop, main)


@pytest.mark.parametrize("is_early", [False, True])
def test_an_abort_has_what_is_handled_for_its_context(
    world: World, loop: Any, is_early: bool
) -> None:
    async def main() -> None:
        async def come() -> None:
            try:
                raise KeyError(1)
            except KeyError:
                await barrier.wait()

        barrier = world.module.Barrier(2)
        if is_early:
            await barrier.abort()
        coming = loop.create_task(come())
        await asyncio.sleep(0)
        await barrier.abort()
        error = await catch(coming)
        assert isinstance(error, asyncio.BrokenBarrierError)
        assert isinstance(error.__context__, KeyError)

    run(loop, main)


def test_an_error_on_the_way_out_has_the_first_one_for_its_context(world: World, loop: Any) -> None:
    async def main() -> None:
        barrier = world.module.Barrier(2)
        waiting = loop.create_task(barrier.wait())
        await asyncio.sleep(0)
        barrier._count = None
        await barrier.abort()
        error = await catch(waiting)
        assert isinstance(error, TypeError)
        assert isinstance(error.__context__, asyncio.BrokenBarrierError)
        assert error.__context__.__context__ is None
        assert not barrier._cond.locked()

    run(loop, main)
