"""Stories: what happens to a few futures and tasks, told turn by turn, as asyncio has it.

Unlike a scene of scenes.py, a story knows the turn in which it disturbs itself, and shows reprs.
"""

from __future__ import annotations

import asyncio
import gc
import random
import re
from collections.abc import Callable, Coroutine
from typing import Any

from conftest import STOCK, World
from scenes import pause
from task_tools import without_addresses

# No story is longer; one that hangs is cancelled then.
LAST_TURN = 60

# Where callbacks are written, and the numbers of tasks, are no part of a story.
PLACES = re.compile(r" at /\S*/tasks\.py:\d+| name='Task-\d+'")

Story = Callable[[Any, Any, list[str]], Coroutine[Any, Any, Any]]
"""Gets the module with the names, the loop, and the list of what is told."""


async def give(value: Any = None, turns: int = 0) -> Any:
    """Give the value after so many turns; an exception is raised."""
    await pause(turns)
    if isinstance(value, BaseException):
        raise value
    return value


async def catch(awaitable: Any) -> BaseException:
    """The exception that the awaitable ends by; one that ends well fails the test."""
    try:
        result = await awaitable
    except BaseException as error:
        return error
    raise AssertionError(f"no error, but {result!r}")


def run(loop: Any, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return loop.run_until_complete(main())


def settle(draw: random.Random, future: Any) -> None:
    """Settle a future in one of the three ways, unless it is done."""
    if future.done():
        return
    draw.choice(
        [
            future.cancel,
            lambda: future.set_result("set"),
            lambda: future.set_exception(OSError("set")),
        ]
    )()


async def cancel_in(turn: int, target: Any, told: list[str], last_turn: int) -> None:
    """Let so many turns pass, and cancel the target in one of them."""
    for now in range(last_turn):
        if now == turn:
            told.append(f"cancel {target.cancel('now')}")
        await asyncio.sleep(0)


def play(module: Any, new_event_loop: Any, story: Story) -> list[str]:
    """Run a story on a new loop, turn by turn, and give what was told."""
    loop = new_event_loop()
    told: list[str] = []
    loop.set_exception_handler(lambda _, context: told.append(f"report {context['message'][:40]}"))
    try:
        task = loop.create_task(story(module, loop, told))
        for turn in range(LAST_TURN):
            told.append(f"turn {turn}")
            World.turn(loop)
            if task.done():
                break
        told.append(repr(task))
        task.cancel()
        loop.run_until_complete(asyncio.wait([task]))
        told.append(repr(task.exception()) if not task.cancelled() else "cancelled")
        # What was left behind ends as well.
        for left in sorted(asyncio.all_tasks(loop), key=lambda t: int(t.get_name()[5:])):
            left.cancel()
        World.turn(loop, 5)
        # What nobody has asked for is reported.
        del task
        gc.collect()
    finally:
        loop.close()
    return [PLACES.sub("", without_addresses(line)) for line in told]


def compare(world: World, story: Story, about: object) -> None:
    """Play a story in this world and on stock asyncio: both tell the same, to the letter."""
    expected = play(asyncio, STOCK["new_event_loop"], story)
    assert play(world.module, world.new_event_loop, story) == expected, about
