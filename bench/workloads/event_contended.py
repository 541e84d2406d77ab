"""Ten tasks wait for an event that one more sets, again and again."""

from __future__ import annotations

import asyncio

TITLE = "asyncio.Event, ten wait"
MULTIPLE = 10


async def wait(event: asyncio.Event, count: int) -> None:
    """Wait ``count`` times."""
    for _ in range(count):
        await event.wait()


async def run(count: int) -> None:
    """Wait ``count`` times, all tasks together."""
    event = asyncio.Event()
    turns = count // MULTIPLE
    waiting = [asyncio.create_task(wait(event, turns)) for _ in range(MULTIPLE)]
    for _ in range(turns):
        await asyncio.sleep(0)
        event.set()
        event.clear()
    await asyncio.gather(*waiting)
