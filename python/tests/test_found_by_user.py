"""What a user found beside asyncio who knew nothing of batonloop: each test failed before."""

from __future__ import annotations

import asyncio
import copy
import pickle
import socket
import sys
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from conftest import World
from play_tools import catch

# Newer Pythons have it.
HAS_NOTIFY = hasattr(asyncio.Condition, "_notify")

# ---------------------------------------------------------------------------------------------
# What is awaited already
# ---------------------------------------------------------------------------------------------

WAITS = ("acquire", "wait", "get", "put", "join", "read", "sleep", "sleep(0)", "sock_recv", "for")


async def begin_to_wait(world: World, kind: str) -> Any:
    """A coroutine that will wait, and what keeps alive what it waits for."""
    module = world.module
    if kind == "acquire":
        lock = module.Lock()
        await lock.acquire()
        return lock.acquire(), lock
    if kind in ("get", "put", "join"):
        queue = module.Queue(1)
        if kind != "get":
            queue.put_nowait(1)
        return getattr(queue, kind)(*([2] if kind == "put" else [])), queue
    if kind == "wait":
        return module.Event().wait(), None
    if kind == "read":
        return module.StreamReader().read(), None
    if kind == "sock_recv":
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        return asyncio.get_running_loop().sock_recv(mine, 1), (mine, theirs)
    if kind == "for":
        return module.wait_for(module.Event().wait(), 60), None
    return module.sleep(0 if kind == "sleep(0)" else 60), None


@pytest.mark.parametrize("kind", WAITS)
def test_what_is_awaited_already_is_not_awaited_again(world: World, loop: Any, kind: str) -> None:
    async def main() -> None:
        waiting, kept = await begin_to_wait(world, kind)
        first = loop.create_task(waiting)
        await asyncio.sleep(0)
        seconds = [waiting]
        if sys.version_info >= (3, 12):
            # Before, it makes a task of the coroutine, which drives it without asking.
            seconds += [asyncio.wait_for(waiting, 5), world.module.wait_for(waiting, 5)]
        for second in seconds:
            error = await catch(second)
            assert isinstance(error, RuntimeError)
            assert str(error) == "coroutine is being awaited already"
        # The first is none the wiser.
        if kind == "sleep(0)":
            await first
        else:
            await asyncio.sleep(0)
            assert not first.done()
            first.cancel()
            assert isinstance(await catch(first), asyncio.CancelledError)
        error = await catch(waiting)
        assert str(error) == "cannot reuse already awaited coroutine"
        for each in kept if isinstance(kept, tuple) else ():
            each.close()

    loop.run_until_complete(main())


# ---------------------------------------------------------------------------------------------
# Methods of somebody else
# ---------------------------------------------------------------------------------------------


def test_a_method_set_on_a_queue_is_called(world: World, loop: Any) -> None:
    async def main() -> None:
        queue = world.module.Queue()
        queue.put_nowait = Mock()
        await queue.put(1)
        queue.put_nowait.assert_called_once_with(1)
        assert queue.qsize() == 0
        queue = world.module.Queue(1)
        queue.full = lambda: True
        with pytest.raises(asyncio.QueueFull):
            queue.put_nowait(1)
        queue = world.module.Queue()
        put = queue._put = Mock()
        queue.put_nowait(1)
        put.assert_called_once_with(1)
        queue = world.module.PriorityQueue()
        put = queue._put = Mock()
        await queue.put(1)
        put.assert_called_once_with(1)

    loop.run_until_complete(main())


def test_methods_set_on_a_lock_are_called(world: World, loop: Any) -> None:
    async def main() -> None:
        lock = world.module.Lock()
        lock.acquire, lock.release = AsyncMock(), Mock()
        async with lock:
            assert not lock.locked()
        lock.acquire.assert_awaited_once_with()
        lock.release.assert_called_once_with()
        for semaphore in world.module.Semaphore(1), world.module.BoundedSemaphore(1):
            semaphore.release = Mock()
            async with semaphore:
                pass
            semaphore.release.assert_called_once_with()
            assert semaphore.locked()

    loop.run_until_complete(main())


def test_methods_set_on_a_condition_are_called(world: World, loop: Any) -> None:
    async def main() -> None:
        condition = world.module.Condition()
        condition.wait = AsyncMock()
        answers = iter([False, False, True])
        async with condition:
            assert await condition.wait_for(lambda: next(answers))
        assert condition.wait.await_count == 2
        condition.notify = Mock()
        condition.notify_all()
        condition.notify.assert_called_once_with(0)

    loop.run_until_complete(main())


def test_a_condition_has_the_methods_that_its_lock_had(world: World, loop: Any) -> None:
    calls: list[str] = []

    async def main() -> None:
        lock = world.module.Lock()
        condition = world.module.Condition(lock)
        release = lock.release
        lock.release = lambda: (calls.append("too late"), release())
        async with condition:
            pass
        assert not lock.locked()
        assert calls == []
        lock.release = lambda: (calls.append("in time"), release())
        async with world.module.Condition(lock):
            pass
        assert calls == ["in time"]

    loop.run_until_complete(main())


def test_a_copy_has_the_methods_set_on_it(world: World, loop: Any) -> None:
    async def main() -> None:
        lock = world.module.Lock()
        lock.release = Mock()
        made = copy.copy(lock)
        async with made:
            pass
        lock.release.assert_called_once_with()
        assert made.locked()
        queue = world.module.Queue()
        queue.put_nowait = Mock()
        await copy.copy(queue).put(1)
        queue.put_nowait.assert_called_once_with(1)

    loop.run_until_complete(main())


def test_a_cancelled_wait_asks_who_may_go_on_in_asyncios_order(world: World, loop: Any) -> None:
    asked: list[bool] = []

    class Queue(world.module.Queue):  # type: ignore[misc,name-defined]
        def full(self) -> bool:
            asked.append(super().full())
            return asked[-1]

    async def main() -> None:
        queue = Queue(1)
        await queue.put(1)
        putting = loop.create_task(queue.put(2))
        await asyncio.sleep(0)
        putting.cancel()
        await catch(putting)

    loop.run_until_complete(main())
    assert asked == [False, False, True, True]


def test_an_eager_task_may_put_another_set_into_its_group(world: World, loop: Any) -> None:
    async def main() -> int:
        async def child() -> None:
            group._tasks = set()
            await asyncio.sleep(0)

        async with world.module.TaskGroup() as group:
            group.create_task(child())
            return len(group._tasks)

    if world.eager_task_factory is None:
        pytest.skip("no eager tasks before 3.12")
    loop.set_task_factory(world.eager_task_factory)
    assert loop.run_until_complete(main()) == 1


def test_methods_of_subclasses_are_called(world: World, loop: Any) -> None:
    calls: list[str] = []

    class Queue(world.module.Queue):  # type: ignore[misc,name-defined]
        def _wakeup_next(self, waiters: Any) -> None:
            calls.append(f"wake {len(waiters)}")
            super()._wakeup_next(waiters)

    class Semaphore(world.module.Semaphore):  # type: ignore[misc,name-defined]
        def locked(self) -> bool:
            return True

    class Condition(world.module.Condition):  # type: ignore[misc,name-defined]
        def _notify(self, n: int) -> None:
            calls.append(f"notify {n}")

    async def main() -> None:
        queue = Queue()
        getting = loop.create_task(queue.get())
        await asyncio.sleep(0)
        await queue.put(1)
        assert await getting == 1
        assert calls == ["wake 1", "wake 0"]
        assert repr(Semaphore(3)).endswith("[locked]>")
        calls.clear()
        condition = Condition()
        async with condition:
            condition.notify(2)
            condition.notify()
        assert calls == (["notify 2", "notify 1"] if HAS_NOTIFY else [])

    loop.run_until_complete(main())


# ---------------------------------------------------------------------------------------------
# Copies, and words
# ---------------------------------------------------------------------------------------------


def test_a_task_group_is_copied_and_pickled(world: World, loop: Any) -> None:
    group = world.module.TaskGroup()
    group.mine = [1]
    for made in (
        copy.copy(group),
        copy.deepcopy(group),
        *(pickle.loads(pickle.dumps(group, protocol)) for protocol in range(6)),
    ):
        assert type(made) is type(group)
        assert made is not group
        assert made.mine == [1]
        assert repr(made) == "<TaskGroup>"

    async def main() -> None:
        async with made:
            assert await made.create_task(asyncio.sleep(0, 1)) == 1

    loop.run_until_complete(main())


def test_what_is_no_size_is_refused(world: World, loop: Any) -> None:
    async def main() -> None:
        reader = world.module.StreamReader()
        reader.feed_data(b"123")
        error = await catch(reader.read(1.5))
        assert isinstance(error, TypeError)
        expected = "n must be an integer or None" if sys.version_info >= (3, 15) else "slice indi"
        assert str(error).startswith(expected)
        assert await reader.read(3) == b"123"

    loop.run_until_complete(main())
