"""The public way to give way: ``asyncio.sleep(0)`` in one task."""

from __future__ import annotations

import asyncio

TITLE = "sleep(0), 1 task"


async def run(count: int) -> None:
    """Sleep for no time ``count`` times."""
    for _ in range(count):
        await asyncio.sleep(0)
