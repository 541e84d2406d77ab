"""A hundred tasks take turns with a bare yield: the price of handing control over, and no more.

The tasks' coroutines are generators that yield by themselves, so that between two hand-overs next
to no Python runs; ``switch_100_awaitable`` is the same with an awaitable in between.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator

TITLE = "task switch, 100 tasks"
TASKS = 100
MULTIPLE = TASKS


@types.coroutine
def give_way(times: int) -> Generator[None, None, None]:
    """Hand control to the loop and be resumed one turn later, again and again."""
    for _ in range(times):
        yield


async def worker(switches: int) -> None:
    """The coroutine of a task: what it awaits is what yields."""
    await give_way(switches)


async def run(count: int) -> None:
    """Switch ``count`` times, spread over all tasks."""
    tasks = [asyncio.create_task(worker(count // TASKS)) for _ in range(TASKS)]
    for task in tasks:
        await task
