"""Each primitive, with each of its users cancelled at each turn: nothing is lost, nobody overtakes.

A scene is a few tasks that share a primitive and write down what they do. It runs undisturbed
first, then again for every task and every turn with that task cancelled in that turn, and once
more with two tasks cancelled. What they wrote must be what it is on stock asyncio, to the letter.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from conftest import STOCK, World

LAST_TURN = 40
LAST_CANCEL = 14


class Scene:
    """One run: the primitive's module, what happened, and the tasks."""

    def __init__(self, module: Any, loop: Any) -> None:
        self.module = module
        self.loop = loop
        self.story: list[str] = []
        self.tasks: list[Any] = []

    def tell(self, who: str, what: object) -> None:
        self.story.append(f"{who} {what}")

    def start(self, name: str, act: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> None:
        async def guarded() -> None:
            try:
                self.tell(name, f"ends with {await act(*args)!r}")
            except BaseException as error:
                self.tell(name, f"ends by {error!r}")
                raise

        self.tasks.append(self.loop.create_task(guarded(), name=name))


async def pause(turns: int = 1) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


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


Cancels = dict[int, list[int]]
"""Which tasks to cancel, by their number, in which turn."""


def play(module: Any, new_event_loop: Any, scene: Callable[[Scene], Any], cancels: Cancels) -> Any:
    """What the scene tells, and what is left of it."""
    loop = new_event_loop()
    try:
        stage = Scene(module, loop)
        rest = scene(stage)
        for turn in range(LAST_TURN):
            for number in cancels.get(turn, ()):
                stage.tell("cancel", f"{number}: {stage.tasks[number].cancel()}")
            World.turn(loop)
        # Whoever is left waits for somebody who was cancelled, or for ever.
        for task in stage.tasks:
            if not task.done():
                stage.tell("left", task.get_name())
                task.cancel()
        loop.run_until_complete(asyncio.wait(stage.tasks))
        for task in stage.tasks:
            if not task.cancelled():
                task.exception()
        # Whose primitive it is and where it stands is no part of the story.
        story = [
            line.partition(" object at ")[0].replace(module.__name__, "") for line in stage.story
        ]
        return story, repr(rest()), len(stage.tasks)
    finally:
        loop.close()


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_who_is_cancelled_takes_nothing_along(world: World, scene: Callable[[Scene], Any]) -> None:
    def compare(cancels: Cancels) -> Any:
        told = play(world.module, world.new_event_loop, scene, cancels)
        assert told == play(asyncio, STOCK["new_event_loop"], scene, cancels), cancels
        return told

    story, _, count = compare({})
    assert len(story) > 8
    for turn, number in itertools.product(range(LAST_CANCEL), range(count)):
        compare({turn: [number]})
    for turn, number in itertools.product(range(LAST_CANCEL), range(count)):
        other = (number + 1 + turn % (count - 1)) % count
        compare({turn: [number, other]})
        compare({turn: [number], turn + 1: [other]})
