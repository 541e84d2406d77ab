"""Each primitive, with each of its users cancelled at each turn: none is lost, none overtakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import World
from scenes import Scene, compare_everywhere, pause


def lock(scene: Scene) -> Callable[[], object]:
    shared = scene.module.Lock()

    async def use(name: str) -> str:
        for _ in range(2):
            async with shared:
                scene.tell(name, "has it")
                await pause()
            scene.tell(name, "gave it back")
        scene.tell(name, await shared.acquire())
        shared.release()
        return "done"

    for name in "abc":
        scene.start(name, use, name)
    return lambda: (shared.locked(), list(shared._waiters or ()))


def semaphore(scene: Scene) -> Callable[[], object]:
    shared = scene.module.BoundedSemaphore(2)

    async def use(name: str, turns: int) -> None:
        for _ in range(2):
            async with shared:
                scene.tell(name, f"has one of {shared._value}")
                await pause(turns)
            scene.tell(name, shared)

    for name, turns in zip("abcd", (1, 2, 1, 3), strict=True):
        scene.start(name, use, name, turns)
    return lambda: (shared._value, shared.locked(), list(shared._waiters or ()))


def event(scene: Scene) -> Callable[[], object]:
    shared = scene.module.Event()

    async def use(name: str) -> None:
        for _ in range(2):
            scene.tell(name, await shared.wait())
            await pause()

    async def rouse() -> None:
        for _ in range(3):
            await pause(2)
            shared.set()
            scene.tell("rouser", shared.is_set())
            await pause()
            shared.clear()

    for name in "abc":
        scene.start(name, use, name)
    scene.start("rouser", rouse)
    return lambda: list(shared._waiters)


def condition(scene: Scene) -> Callable[[], object]:
    shared = scene.module.Condition()
    state = [0]

    async def use(name: str) -> None:
        async with shared:
            scene.tell(name, await shared.wait_for(lambda: state[0] > 0))
            state[0] -= 1
        async with shared:
            scene.tell(name, "again")
            state[0] += 1
            shared.notify()
            await pause()

    async def give() -> None:
        for _ in range(3):
            await pause(2)
            async with shared:
                state[0] += 1
                shared.notify(1)
                await pause()

    for name in "abc":
        scene.start(name, use, name)
    scene.start("giver", give)

    async def free() -> None:
        await pause(25)
        async with shared:
            state[0] += 10
            shared.notify_all()

    scene.start("freer", free)
    return lambda: (shared.locked(), list(shared._waiters), state)


def barrier(scene: Scene) -> Callable[[], object]:
    shared = scene.module.Barrier(2)

    async def use(name: str) -> None:
        for _ in range(2):
            scene.tell(name, await shared.wait())

    for name in "abcd":
        scene.start(name, use, name)
    return lambda: (shared.n_waiting, shared.broken)


def queue(scene: Scene, kind: str = "Queue", size: int = 1) -> Callable[[], object]:
    shared = getattr(scene.module, kind)(size)
    put: list[int] = []
    got: list[int] = []

    async def produce(name: str, first: int) -> None:
        for item in range(first, first - 3, -1):
            await shared.put(item)
            put.append(item)
            scene.tell(name, f"put {item}")

    async def consume(name: str) -> None:
        while True:
            got.append(await shared.get())
            scene.tell(name, f"got {got[-1]}")
            shared.task_done()

    scene.start("p", produce, "p", 10)
    scene.start("q", produce, "q", 20)
    scene.start("c", consume, "c")
    scene.start("d", consume, "d")

    def check() -> object:
        left = [shared.get_nowait() for _ in range(shared.qsize())]
        assert sorted(got + left) == sorted(put), "an item is lost"
        return left, list(shared._getters), shared._unfinished_tasks

    return check


def priority_queue(scene: Scene) -> Callable[[], object]:
    return queue(scene, "PriorityQueue", 2)


def lifo_queue(scene: Scene) -> Callable[[], object]:
    return queue(scene, "LifoQueue", 2)


SCENES = (lock, semaphore, event, condition, barrier, queue, priority_queue, lifo_queue)


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_who_is_cancelled_takes_nothing_along(world: World, scene: Callable[[Scene], Any]) -> None:
    compare_everywhere(world, scene)
