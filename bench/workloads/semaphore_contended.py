"""Ten tasks share a semaphore of one, and each gives way while it has it."""

from __future__ import annotations

import asyncio

TITLE = "asyncio.Semaphore, ten tasks"
MULTIPLE = 10


async def use(semaphore: asyncio.Semaphore, count: int) -> None:
    """Acquire and release ``count`` times."""
    for _ in range(count):
        async with semaphore:
            await asyncio.sleep(0)


async def run(count: int) -> None:
    """Acquire and release ``count`` times, all tasks together."""
    semaphore = asyncio.Semaphore(1)
    await asyncio.gather(*[use(semaphore, count // MULTIPLE) for _ in range(MULTIPLE)])
