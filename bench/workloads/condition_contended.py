"""Ten tasks wait for a condition of which one more tells all, again and again."""

from __future__ import annotations

import asyncio

TITLE = "asyncio.Condition, ten wait"
MULTIPLE = 10


async def wait(condition: asyncio.Condition, count: int) -> None:
    """Wait ``count`` times."""
    for _ in range(count):
        async with condition:
            await condition.wait()


async def run(count: int) -> None:
    """Wait ``count`` times, all tasks together."""
    condition = asyncio.Condition()
    turns = count // MULTIPLE
    waiting = [asyncio.create_task(wait(condition, turns)) for _ in range(MULTIPLE)]
    while not all(task.done() for task in waiting):
        async with condition:
            condition.notify_all()
        await asyncio.sleep(0)
