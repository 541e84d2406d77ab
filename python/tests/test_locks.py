"""Lock, Event, Condition, Semaphore, BoundedSemaphore and Barrier: what each promises."""

from __future__ import annotations

import asyncio
import collections
import gc
import inspect
import re
import weakref
from typing import Any

import pytest
from clock_tools import run_in_virtual_time
from conftest import World

KINDS = ("Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier")
HELD = ("Lock", "Condition", "Semaphore", "BoundedSemaphore")


def make(world: World, kind: str) -> Any:
    return getattr(world.module, kind)(*([2] if kind == "Barrier" else []))


def run(world: World, main: Any) -> Any:
    return world.run(main())


# --- What all that are held have in common --------------------------------------


@pytest.mark.parametrize("kind", HELD)
def test_free_it_is_acquired_without_a_turn(world: World, kind: str) -> None:
    async def main() -> None:
        primitive = make(world, kind)
        ticks: list[int] = []
        asyncio.get_running_loop().call_soon(ticks.append, 1)
        assert await primitive.acquire() is True
        primitive.release()
        async with primitive as entered:
            assert entered is None
        assert ticks == []

    run(world, main)


@pytest.mark.parametrize("kind", HELD)
def test_waiters_go_on_in_the_order_they_came(world: World, kind: str) -> None:
    async def main() -> list[str]:
        primitive = make(world, kind)
        story: list[str] = []

        async def use(name: str) -> None:
            async with primitive:
                story.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(*map(use, "abcdef"))
        return story

    assert run(world, main) == list("abcdef")


@pytest.mark.parametrize("kind", HELD)
def test_leaving_by_an_exception_releases(world: World, kind: str) -> None:
    async def main() -> None:
        primitive = make(world, kind)
        with pytest.raises(ZeroDivisionError):
            async with primitive:
                assert primitive.locked()
                raise ZeroDivisionError
        assert not primitive.locked()

    run(world, main)


@pytest.mark.parametrize("kind", HELD)
def test_a_coroutine_of_acquire_is_one(world: World, kind: str) -> None:
    async def main() -> None:
        primitive = make(world, kind)
        coroutine = primitive.acquire()
        assert asyncio.iscoroutine(coroutine) and inspect.isawaitable(coroutine)
        assert re.fullmatch(r"<coroutine object \w+\.acquire at 0x\w+>", repr(coroutine))
        assert not primitive.locked()
        assert await asyncio.create_task(coroutine) is True
        assert primitive.locked()
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await coroutine
        waiting = primitive.acquire()
        future = waiting.send(None)
        assert asyncio.isfuture(future)
        assert len((primitive._lock if kind == "Condition" else primitive)._waiters) == 1
        waiting.close()
        assert len((primitive._lock if kind == "Condition" else primitive)._waiters) == 0

    run(world, main)


@pytest.mark.parametrize("kind", HELD)
def test_a_coroutine_that_nobody_awaits_is_told_of(world: World, kind: str) -> None:
    primitive = make(world, kind)
    with pytest.warns(RuntimeWarning, match=r"coroutine '\w+\.acquire' was never awaited"):
        primitive.acquire()
        gc.collect()


@pytest.mark.parametrize("kind", HELD)
def test_a_task_that_dies_waiting_leaves_the_queue(world: World, loop: Any, kind: str) -> None:
    primitive = make(world, kind)
    inner = primitive._lock if kind == "Condition" else primitive

    async def use() -> None:
        await primitive.acquire()

    async def begin() -> Any:
        await primitive.acquire()
        waiting = use()
        waiting.send(None)
        return waiting

    waiting = [loop.run_until_complete(begin())]
    assert len(inner._waiters) == 1
    waiting.clear()
    gc.collect()
    assert len(inner._waiters) == 0


# --- Misuse ---------------------------------------------------------------------


def test_releasing_what_is_free_is_refused(world: World) -> None:
    with pytest.raises(RuntimeError, match=r"^Lock is not acquired\.$"):
        world.module.Lock().release()
    with pytest.raises(RuntimeError, match=r"^Lock is not acquired\.$"):
        world.module.Condition().release()
    with pytest.raises(ValueError, match=r"^BoundedSemaphore released too many times$"):
        world.module.BoundedSemaphore(3).release()
    semaphore = world.module.Semaphore(0)
    semaphore.release()
    assert semaphore._value == 1


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_a_semaphore_wants_a_number(world: World, kind: str) -> None:
    new = getattr(world.module, kind)
    for wrong in (-1, -(10**30)):
        with pytest.raises(ValueError, match=r"^Semaphore initial value must be >= 0$"):
            new(wrong)
    with pytest.raises(TypeError):
        new("one")
    with pytest.raises(TypeError):
        new(1, 2)
    with pytest.raises(TypeError, match="colour"):
        new(colour="blue")
    assert new()._value == 1 and new(value=4)._value == 4


def test_constructors_take_what_they_take(world: World) -> None:
    for kind in ("Lock", "Event"):
        with pytest.raises(TypeError):
            getattr(world.module, kind)(1)
        with pytest.raises(TypeError, match="loop"):
            getattr(world.module, kind)(loop=None)
    with pytest.raises(AttributeError):
        world.module.Condition(object())
    with pytest.raises(TypeError):
        world.module.Condition(None, None)


@pytest.mark.parametrize("kind", HELD)
def test_a_primitive_is_no_plain_context_manager(world: World, kind: str) -> None:
    primitive = make(world, kind)
    with pytest.raises(TypeError, match="context manager protocol"):
        with primitive:
            pass

    async def main() -> None:
        with pytest.raises(TypeError, match=f"{kind} can't be used in 'await' expression|{kind}"):
            await primitive

    run(world, main)


def test_waiting_and_notifying_need_the_lock(world: World) -> None:
    async def main() -> None:
        condition = world.module.Condition()
        with pytest.raises(RuntimeError, match=r"^cannot wait on un-acquired lock$"):
            await condition.wait()
        with pytest.raises(RuntimeError, match=r"^cannot wait on un-acquired lock$"):
            await condition.wait_for(lambda: False)
        assert await condition.wait_for(lambda: "true") == "true"
        for notify in (condition.notify, condition.notify_all):
            with pytest.raises(RuntimeError, match=r"^cannot notify on un-acquired lock$"):
                notify()

    run(world, main)


@pytest.mark.parametrize("kind", KINDS)
def test_it_belongs_to_the_loop_of_its_first_waiter(world: World, kind: str) -> None:
    if kind == "Barrier":
        pytest.skip("it waits by a condition, which has a test")
    primitive = make(world, kind)

    async def wait() -> None:
        if kind == "Event":
            await primitive.wait()
        else:
            await primitive.acquire()
            await primitive.acquire()

    async def begin() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await wait()

    run_in_virtual_time(world, begin())
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        run_in_virtual_time(world, begin())


# --- What each is ---------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_its_repr_tells_its_state(world: World, kind: str) -> None:
    primitive = make(world, kind)
    states = {
        "Lock": "unlocked",
        "Event": "unset",
        "Condition": "unlocked",
        "Semaphore": "unlocked, value:1",
        "BoundedSemaphore": "unlocked, value:1",
        "Barrier": "filling, waiters:0/2",
    }
    pattern = rf"<{world.name}\.locks\.{kind} object at 0x\w+ \[{states[kind]}\]>"
    assert re.fullmatch(pattern, repr(primitive))

    async def main() -> None:
        if kind == "Event":
            task = asyncio.create_task(primitive.wait())
            await asyncio.sleep(0)
            assert repr(primitive).endswith("[unset, waiters:1]>")
            primitive.set()
            assert repr(primitive).endswith("[set, waiters:1]>")
            await task
            assert repr(primitive).endswith("[set]>")
        elif kind != "Barrier":
            await primitive.acquire()
            assert repr(primitive).endswith("[locked]>")
            task = asyncio.create_task(primitive.acquire())
            await asyncio.sleep(0)
            shown = primitive._lock if kind == "Condition" else primitive
            assert repr(shown).endswith("[locked, waiters:1]>")
            primitive.release()
            await task

    run(world, main)


@pytest.mark.parametrize("kind", KINDS)
def test_it_takes_attributes_and_weak_references(world: World, kind: str) -> None:
    primitive = make(world, kind)
    primitive.note = "mine"
    assert primitive.note == "mine" and vars(primitive)["note"] == "mine"
    reference = weakref.ref(primitive)
    primitive.itself = primitive
    del primitive
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("kind", KINDS)
def test_what_libraries_read_of_it(world: World, kind: str) -> None:
    primitive = make(world, kind)
    assert type(primitive).__module__ == f"{world.name}.locks"
    assert type(primitive).__name__ == type(primitive).__qualname__ == kind
    if kind in ("Event", "Condition"):
        assert primitive._waiters == collections.deque()
    if kind in ("Lock", "Semaphore", "BoundedSemaphore"):
        assert primitive._waiters is None
    if kind != "Barrier":
        assert primitive._loop is None


def test_a_condition_shares_the_lock_it_is_given(world: World) -> None:
    async def main() -> None:
        lock = world.module.Lock()
        first, second = world.module.Condition(lock), world.module.Condition(lock=lock)
        assert first._lock is second._lock is lock
        async with first:
            assert second.locked() and lock.locked()
        foreign = asyncio.Lock()
        third = world.module.Condition(foreign)
        async with third:
            assert foreign.locked()
            third.notify_all()

    run(world, main)


@pytest.mark.parametrize("messages", [("a", "b"), ("a", "b", "c"), ("a",)], ids="-".join)
@pytest.mark.parametrize("handling", [False, True])
def test_one_cancelled_again_and_again_tells_of_the_first_time(
    world: World, messages: tuple[str, ...], handling: bool
) -> None:
    """While it acquires the lock after the wait; a task in Python shows what it was woken by."""

    def chain(error: BaseException | None) -> list[str]:
        return [] if error is None else [repr(error), *chain(error.__context__)]

    async def main(module: Any, task: Any) -> list[list[str]]:
        condition = module.Condition()
        chains: list[list[str]] = []

        async def wait() -> None:
            try:
                async with condition:
                    await condition.wait()
            except asyncio.CancelledError as error:
                chains.append(chain(error))
            try:
                await condition.wait()
            except RuntimeError as error:
                chains.append(chain(error))

        async def wait_while_handling() -> None:
            try:
                raise ZeroDivisionError
            except ZeroDivisionError:
                await wait()

        waiting = task(
            wait_while_handling() if handling else wait(), loop=asyncio.get_running_loop()
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await condition.acquire()
        for message in messages:
            waiting.cancel(message)
            if message == messages[-1]:
                condition.release()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.wait([waiting])
        return chains

    for task in (asyncio.tasks._PyTask, world.Task):  # type: ignore[attr-defined]
        runner = asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)
        with runner:
            expected = runner.run(main(asyncio, task))
        assert world.run(main(world.module, task)) == expected


def test_any_lock_serves_a_condition(world: World) -> None:
    class Wrapped:
        """A lock that is none of asyncio's."""

        def __init__(self) -> None:
            self.inner = asyncio.Lock()
            self.story: list[str] = []

        def locked(self) -> bool:
            return self.inner.locked()

        async def acquire(self) -> bool:
            self.story.append("acquire")
            await asyncio.sleep(0)
            return await self.inner.acquire()

        def release(self) -> None:
            self.story.append("release")
            self.inner.release()

    async def main() -> list[str]:
        lock = Wrapped()
        condition = world.module.Condition(lock)

        async def wait() -> None:
            async with condition:
                assert await condition.wait() is True

        waiting = asyncio.create_task(wait())
        while "release" not in lock.story:
            await asyncio.sleep(0)
        async with condition:
            condition.notify()
        await waiting
        return lock.story

    assert run(world, main) == ["acquire", "release"] * 2 + ["acquire", "release"]


def test_notifying_takes_any_number(world: World) -> None:
    async def main() -> None:
        condition = world.module.Condition()

        async def wait() -> None:
            async with condition:
                await condition.wait()

        tasks = [asyncio.create_task(wait()) for _ in range(5)]
        await asyncio.sleep(0)
        for number, expected in ((0, 5), (-3, 5), (2, 3), (1.5, 1), (10**30, 0)):
            async with condition:
                condition.notify(number)
            for _ in range(4):
                await asyncio.sleep(0)
            assert len(condition._waiters) == expected, number
        async with condition:
            with pytest.raises(TypeError):
                condition.notify("all", 1)
        await asyncio.gather(*tasks)

    run(world, main)


# --- Subclasses -----------------------------------------------------------------


def test_a_subclass_may_say_what_acquiring_is(world: World) -> None:
    class Counted(world.module.Lock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.story: list[str] = []

        async def acquire(self) -> bool:
            self.story.append("acquire")
            return bool(await super().acquire())

        def release(self) -> None:
            self.story.append("release")
            super().release()

    async def main() -> None:
        lock = Counted()
        async with lock:
            assert lock.locked()
        assert lock.story == ["acquire", "release"]

    run(world, main)


def test_a_subclass_may_say_what_locked_is(world: World) -> None:
    class Closed(world.module.Semaphore):  # type: ignore[misc]
        closed = True

        def locked(self) -> bool:
            return self.closed or bool(super().locked())

    async def main() -> None:
        semaphore = Closed(3)
        task = asyncio.create_task(semaphore.acquire())
        await asyncio.sleep(0)
        assert len(semaphore._waiters) == 1 and semaphore._value == 3
        semaphore.closed = False
        semaphore.release()
        await task
        assert semaphore._value == 3

    run(world, main)


def test_private_state_may_be_written(world: World) -> None:
    async def main() -> None:
        lock = world.module.Lock()
        lock._locked = True
        task = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        (waiter,) = lock._waiters
        assert asyncio.isfuture(waiter) and not waiter.done()
        lock.release()
        assert waiter.done()
        await task
        semaphore = world.module.Semaphore()
        semaphore._value = 5
        assert not semaphore.locked()
        event = world.module.Event()
        event._value = True
        assert event.is_set() and await event.wait()

    run(world, main)


def test_futures_of_any_kind_may_wait_among_them(world: World) -> None:
    """`create_future()` of a loop may be overridden."""

    class Future(asyncio.Future):  # type: ignore[type-arg]
        pass

    class Loop(world.EventLoop):  # type: ignore[misc]
        def create_future(self) -> Any:
            return Future(loop=self)

    async def main() -> None:
        lock = world.module.Lock()
        await lock.acquire()
        task = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        assert type(lock._waiters[0]) is Future
        lock.release()
        assert await task is True

    loop = Loop()
    loop.run_until_complete(main())
    loop.close()
