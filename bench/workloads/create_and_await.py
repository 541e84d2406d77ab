"""Make a task of a coroutine that returns at once, and await it."""

from __future__ import annotations

import asyncio

TITLE = "create_task and await"


async def nothing() -> None:
    """Finish in the first step."""


async def run(count: int) -> None:
    """Create and await ``count`` tasks, one after the other."""
    for _ in range(count):
        await asyncio.create_task(nothing())
