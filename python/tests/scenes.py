"""Scenes: a few tasks that share something and write down what they do, on both worlds.

A scene runs undisturbed first, then again for every task and every turn with that task cancelled in
that turn, and once more with two tasks cancelled. What they wrote must be what it is on stock
asyncio, to the letter. Time stands still in a turn, and each turn is a second.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

from conftest import STOCK, World

LAST_TURN = 40
LAST_CANCEL = 14

Cancels = dict[int, list[int]]
"""Which tasks to cancel, by their number, in which turn."""


class Scene:
    """One run: the module with the names, what happened, and the tasks."""

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
                self.tell(name, f"ends by {explained(error)}")
                self.tell(name, asyncio.current_task().cancelling())  # type: ignore[union-attr]
                raise

        self.tasks.append(self.loop.create_task(guarded(), name=name))


async def pause(turns: int = 1) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def explained(error: BaseException | None, depth: int = 4) -> str:
    """An exception with what it says of its causes."""
    if error is None or not depth:
        return "..."
    text = repr(error)
    if isinstance(error, BaseExceptionGroup):
        text += f" of {[explained(each, depth - 1) for each in error.exceptions]}"
    if error.__cause__ is not None:
        text += f" from {explained(error.__cause__, depth - 1)}"
    if error.__context__ is not None and error.__context__ is not error.__cause__:
        text += f" after {explained(error.__context__, depth - 1)}"
    return text + (" alone" if error.__suppress_context__ and error.__cause__ is None else "")


class Timed:
    """Mixed into a loop class: a second is a turn."""

    now = 0.0

    def time(self) -> float:
        return self.now


def play(
    module: Any, loop_class: Any, scene: Callable[[Scene], Any], cancels: Cancels, eager: bool
) -> Any:
    """What the scene tells, and what is left of it."""
    loop = type("TimedLoop", (Timed, loop_class), {})()
    if eager:
        loop.set_task_factory(module.eager_task_factory)
    asyncio._set_running_loop(loop)
    try:
        stage = Scene(module, loop)
        rest = scene(stage)
    finally:
        asyncio._set_running_loop(None)
    try:
        for turn in range(LAST_TURN):
            loop.now = float(turn)
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


def compare_everywhere(
    world: World, scene: Callable[[Scene], Any], *, eager: bool = False, least: int = 8
) -> None:
    """Compare the story of a scene with asyncio's, whoever is cancelled when."""

    def compare(cancels: Cancels) -> Any:
        told = play(world.module, world.EventLoop, scene, cancels, eager)
        assert told == play(asyncio, STOCK["EventLoop"], scene, cancels, eager), cancels
        return told

    story, _, count = compare({})
    assert len(story) > least, story
    for turn, number in itertools.product(range(LAST_CANCEL), range(count)):
        compare({turn: [number]})
        compare({turn: [number], turn + 1: [number]})
    if count > 1:
        for turn, number in itertools.product(range(LAST_CANCEL), range(count)):
            other = (number + 1 + turn % (count - 1)) % count
            compare({turn: [number, other]})
            compare({turn: [number], turn + 1: [other]})
