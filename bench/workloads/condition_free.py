"""A condition for which nobody waits: acquire, notify and release."""

from __future__ import annotations

import asyncio

TITLE = "asyncio.Condition, free"


async def run(count: int) -> None:
    """Acquire, notify and release ``count`` times."""
    condition = asyncio.Condition()
    for _ in range(count):
        async with condition:
            condition.notify()
