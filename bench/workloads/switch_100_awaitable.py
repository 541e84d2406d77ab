"""A hundred tasks take turns, each time through a new awaitable, as stock ``sleep(0)`` does it.

Making, awaiting and dropping the awaitable is the interpreter's work and the same on every loop.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator

from .switch_100 import MULTIPLE, TASKS

__all__ = ["MULTIPLE", "TITLE", "run"]

TITLE = "the same, an awaitable each time"


@types.coroutine
def give_way_once() -> Generator[None, None, None]:
    """Hand control to the loop and be resumed one turn later."""
    yield


async def worker(switches: int) -> None:
    """Give way again and again."""
    for _ in range(switches):
        await give_way_once()


async def run(count: int) -> None:
    """Switch ``count`` times, spread over all tasks."""
    tasks = [asyncio.create_task(worker(count // TASKS)) for _ in range(TASKS)]
    for task in tasks:
        await task
