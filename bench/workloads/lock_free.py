"""``async with`` of a lock that nobody else wants."""

from __future__ import annotations

import asyncio

TITLE = "asyncio.Lock, free"


async def run(count: int) -> None:
    """Acquire and release ``count`` times."""
    lock = asyncio.Lock()
    for _ in range(count):
        async with lock:
            pass
