"""A semaphore that nobody else holds: acquire and release."""

from __future__ import annotations

import asyncio

TITLE = "asyncio.Semaphore, free"


async def run(count: int) -> None:
    """Acquire and release ``count`` times."""
    semaphore = asyncio.Semaphore(2)
    for _ in range(count):
        async with semaphore:
            pass
