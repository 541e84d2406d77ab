"""Ten tasks share a lock, and each gives way while it has it: all others always wait."""

from __future__ import annotations

import asyncio

TITLE = "asyncio.Lock, ten tasks"
MULTIPLE = 10


async def use(lock: asyncio.Lock, count: int) -> None:
    """Acquire and release ``count`` times."""
    for _ in range(count):
        async with lock:
            await asyncio.sleep(0)


async def run(count: int) -> None:
    """Acquire and release ``count`` times, all tasks together."""
    lock = asyncio.Lock()
    await asyncio.gather(*[use(lock, count // MULTIPLE) for _ in range(MULTIPLE)])
