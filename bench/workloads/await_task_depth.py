"""Tasks that await tasks, ten deep: the articles' own measure of what ``await task`` costs."""

from __future__ import annotations

import asyncio

TITLE = "await task, depth 10"
DEPTH = 10


async def descend(depth: int) -> None:
    """Await a task that awaits a task, and so on down."""
    if depth:
        await asyncio.create_task(descend(depth - 1))


async def run(count: int) -> None:
    """Go down and up again ``count`` times: ten tasks each time."""
    for _ in range(count):
        await descend(DEPTH)
