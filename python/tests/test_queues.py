"""Queue, PriorityQueue and LifoQueue: what each promises."""

from __future__ import annotations

import asyncio
import collections
import gc
import inspect
import re
import sys
import weakref
from typing import Any

import pytest
from clock_tools import run_in_virtual_time
from conftest import World

KINDS = ("Queue", "PriorityQueue", "LifoQueue")
ORDER = {"Queue": [3, 1, 2], "PriorityQueue": [1, 2, 3], "LifoQueue": [2, 1, 3]}
HAS_SHUTDOWN = sys.version_info >= (3, 13)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(world: World, kind: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(world.module, kind)(*args, **kwargs)


# --- Items ----------------------------------------------------------------------


def test_items_come_out_in_the_order_of_the_kind(world: World, kind: str) -> None:
    async def main() -> list[int]:
        queue = make(world, kind)
        for item in (3, 1, 2):
            assert await queue.put(item) is None
        return [await queue.get(), queue.get_nowait(), await queue.get()]

    assert world.run(main()) == ORDER[kind]


def test_with_room_and_items_nobody_waits_a_turn(world: World, kind: str) -> None:
    async def main() -> None:
        queue = make(world, kind, 2)
        ticks: list[int] = []
        asyncio.get_running_loop().call_soon(ticks.append, 1)
        await queue.put(1)
        await queue.put(2)
        assert await queue.get() in (1, 2)
        await queue.put(3)
        assert ticks == []

    world.run(main())


def test_a_full_queue_makes_putters_wait_in_order(world: World, kind: str) -> None:
    async def main() -> None:
        queue = make(world, kind, maxsize=1)
        story: list[str] = []

        async def put(item: int) -> None:
            await queue.put(item)
            story.append(f"put {item}")

        tasks = [asyncio.create_task(put(item)) for item in range(4)]
        await asyncio.sleep(0)
        assert story == ["put 0"] and queue.full() and len(queue._putters) == 3
        for expected in range(4):
            assert await queue.get() == expected
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert story == [f"put {item}" for item in range(4)]
        await asyncio.gather(*tasks)

    world.run(main())


def test_an_empty_queue_makes_getters_wait_in_order(world: World, kind: str) -> None:
    async def main() -> None:
        queue = make(world, kind)
        story: list[str] = []

        async def get(name: str) -> None:
            story.append(f"{name} {await queue.get()}")

        tasks = [asyncio.create_task(get(name)) for name in "abc"]
        await asyncio.sleep(0)
        assert len(queue._getters) == 3
        for item in range(3):
            queue.put_nowait(item)
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert story == ["a 0", "b 1", "c 2"]

    world.run(main())


@pytest.mark.parametrize("maxsize", [0, -1, -5, float("-inf")])
def test_a_queue_without_end_is_never_full(world: World, kind: str, maxsize: Any) -> None:
    queue = make(world, kind, maxsize)
    for item in range(1000):
        queue.put_nowait(item)
    assert not queue.full() and queue.qsize() == 1000 and queue.maxsize == maxsize


@pytest.mark.parametrize("maxsize", [2, 1.5, True, 10**30])
def test_any_number_may_be_the_limit(world: World, kind: str, maxsize: Any) -> None:
    queue = make(world, kind, maxsize)
    queue.put_nowait(1)
    assert queue.full() == (maxsize is True)
    assert queue.maxsize is maxsize
    queue._maxsize = 1
    assert queue.full() and queue.maxsize == 1


def test_queues_refuse_without_waiting(world: World, kind: str) -> None:
    queue = make(world, kind, 1)
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()
    queue.put_nowait(1)
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(2)
    assert queue.qsize() == 1 and not queue.empty()


def test_an_item_that_cannot_be_put_is_not_counted(world: World) -> None:
    queue = world.module.PriorityQueue()
    queue.put_nowait(1)
    with pytest.raises(TypeError):
        queue.put_nowait("one")
    assert queue._unfinished_tasks == 1


# --- The end of the work --------------------------------------------------------


def test_join_waits_for_every_item(world: World, kind: str) -> None:
    async def main() -> None:
        queue = make(world, kind)
        await queue.join()
        for item in range(3):
            queue.put_nowait(item)
        joining = [asyncio.create_task(queue.join()) for _ in range(2)]
        for _ in range(3):
            await asyncio.sleep(0)
            assert not any(task.done() for task in joining)
            queue.get_nowait()
            queue.task_done()
        await asyncio.gather(*joining)
        with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
            queue.task_done()

    world.run(main())


@pytest.mark.skipif(not HAS_SHUTDOWN, reason="queues are shut down since 3.13")
def test_shutting_down_lets_everybody_go(world: World, kind: str) -> None:
    async def main() -> None:
        for immediate in (False, True):
            queue = make(world, kind, 1)
            getters = [asyncio.create_task(queue.get()) for _ in range(2)]
            await asyncio.sleep(0)
            queue.put_nowait(1)
            putter = asyncio.create_task(queue.put(2))
            queue.shutdown(immediate=immediate)
            assert queue._is_shutdown
            results = await asyncio.gather(*getters, putter, return_exceptions=True)
            shut = asyncio.QueueShutDown
            kinds = [type(result) for result in results]
            assert kinds == ([shut, shut, shut] if immediate else [int, shut, shut])
            for call in (queue.get_nowait, lambda: queue.put_nowait(3)):
                with pytest.raises(shut):
                    call()
            assert queue._unfinished_tasks == (0 if immediate else 1)

    world.run(main())


@pytest.mark.skipif(HAS_SHUTDOWN, reason="queues are shut down since 3.13")
def test_what_a_version_lacks_is_not_there(world: World) -> None:
    queue = world.module.Queue()
    assert not hasattr(queue, "shutdown") and not hasattr(queue, "_is_shutdown")
    assert not hasattr(world.module, "QueueShutDown")


# --- Misuse ---------------------------------------------------------------------


def test_a_queue_belongs_to_the_loop_of_its_first_waiter(world: World, kind: str) -> None:
    queue = make(world, kind)

    async def wait() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await queue.get()

    run_in_virtual_time(world, wait())
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        run_in_virtual_time(world, wait())


def test_calls_take_what_they_take(world: World, kind: str) -> None:
    queue = make(world, kind)
    for wrong in (
        lambda: queue.put(),
        lambda: queue.put(1, 2),
        lambda: queue.put_nowait(),
        lambda: queue.get(1),
        lambda: queue.task_done(1),
        lambda: queue.put_nowait(thing=1),
        lambda: make(world, kind, 1, 2),
        lambda: make(world, kind, loop=None),
    ):
        with pytest.raises(TypeError):
            wrong()
    queue.put_nowait(item=1)
    assert queue.get_nowait() == 1


def test_a_coroutine_that_nobody_awaits_is_told_of(world: World) -> None:
    queue = world.module.Queue()
    for call, name in ((queue.get, "get"), (lambda: queue.put(1), "put"), (queue.join, "join")):
        with pytest.warns(RuntimeWarning, match=rf"coroutine 'Queue\.{name}' was never awaited"):
            call()
            gc.collect()
    assert queue.empty()


def test_its_coroutines_may_be_driven_by_hand(world: World, loop: Any) -> None:
    async def main() -> None:
        queue = world.module.Queue(1)
        coroutine = queue.put("item")
        assert asyncio.iscoroutine(coroutine)
        assert inspect.isawaitable(coroutine)
        with pytest.raises(TypeError, match="can't send non-None value"):
            coroutine.send("early")
        with pytest.raises(StopIteration):
            coroutine.send(None)
        getting = queue.get()
        with pytest.raises(StopIteration) as end:
            getting.send(None)
        assert end.value.value == "item"
        waiting = queue.get()
        future = waiting.send(None)
        assert list(queue._getters) == [future]
        with pytest.raises(KeyError):
            waiting.throw(KeyError("thrown"))
        assert future.cancelled() and not queue._getters

    loop.run_until_complete(main())


# --- Its looks, its parts, its heirs --------------------------------------------


def test_its_repr_tells_its_state(world: World, kind: str) -> None:
    async def main() -> None:
        queue = make(world, kind, 1)
        assert re.fullmatch(rf"<{kind} at 0x\w+ maxsize=1>", repr(queue))
        assert str(queue) == f"<{kind} maxsize=1>"
        queue.put_nowait(7)
        putting = asyncio.create_task(queue.put(8))
        await asyncio.sleep(0)
        assert str(queue) == f"<{kind} maxsize=1 _queue=[7] _putters[1] tasks=1>"
        await queue.get()
        await putting
        await queue.get()
        getting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        assert str(queue) == f"<{kind} maxsize=1 _getters[1] tasks=2>"
        queue.put_nowait(9)
        await getting

    world.run(main())


def test_what_libraries_read_of_it(world: World, kind: str) -> None:
    queue = make(world, kind)
    assert type(queue._queue) is (collections.deque if kind == "Queue" else list)
    assert type(queue._getters) is type(queue._putters) is collections.deque
    assert queue._unfinished_tasks == 0 and queue._finished.is_set()
    assert type(queue).__module__ == f"{world.name}.queues"
    assert str(type(queue)[int]) == f"{world.name}.queues.{kind}[int]"


def test_it_takes_attributes_and_weak_references(world: World, kind: str) -> None:
    queue = make(world, kind)
    queue.note = "mine"
    assert vars(queue)["note"] == "mine"
    reference = weakref.ref(queue)
    queue.put_nowait((0, queue))
    del queue
    gc.collect()
    assert reference() is None


def test_a_subclass_may_keep_its_items_anywhere(world: World) -> None:
    class Unique(world.module.Queue):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            self._queue = {}

        def _put(self, item: Any) -> None:
            self._queue[item] = None

        def _get(self) -> Any:
            item = next(iter(self._queue))
            del self._queue[item]
            return item

    class Elsewhere(world.module.Queue):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            self.items: list[Any] = []

        def _put(self, item: Any) -> None:
            self.items.insert(0, item)

        def _get(self) -> Any:
            return self.items.pop()

        def qsize(self) -> int:
            return len(self.items)

        def empty(self) -> bool:
            return not self.items

    async def main() -> None:
        unique = Unique()
        for item in (1, 1, 2):
            await unique.put(item)
        assert unique.qsize() == 2 and [await unique.get(), await unique.get()] == [1, 2]
        elsewhere = Elsewhere(2)
        await elsewhere.put("a")
        await elsewhere.put("b")
        assert elsewhere.full()
        putting = asyncio.create_task(elsewhere.put("c"))
        await asyncio.sleep(0)
        assert [await elsewhere.get() for _ in range(3)] == ["a", "b", "c"]
        await putting
        assert str(elsewhere) == "<Elsewhere maxsize=2 tasks=3>"

    world.run(main())


def test_a_subclass_may_look_on(world: World, kind: str) -> None:
    class Watched(getattr(world.module, kind)):  # type: ignore[misc]
        def __init__(self, *args: Any) -> None:
            self.story: list[str] = []
            super().__init__(*args)

        def put_nowait(self, item: Any) -> None:
            self.story.append("put")
            super().put_nowait(item)

        def get_nowait(self) -> Any:
            self.story.append("get")
            return super().get_nowait()

    async def main() -> None:
        queue = Watched(1)
        await queue.put(1)
        assert await queue.get() == 1
        assert queue.story == ["put", "get"]

    world.run(main())
