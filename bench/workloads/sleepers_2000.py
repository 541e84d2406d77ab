"""Two thousand tasks sleep a few milliseconds over and over: CPU time for each sleep."""

from __future__ import annotations

import asyncio

TITLE = "2,000 sleepers, each sleep"
SLEEPERS = 2_000
MULTIPLE = SLEEPERS


async def sleeper(delay: float, sleeps: int) -> None:
    """Sleep ``sleeps`` times."""
    for _ in range(sleeps):
        await asyncio.sleep(delay)


async def run(count: int) -> None:
    """Sleep ``count`` times in all; each sleeper has a delay of its own, between 5 and 7 ms."""
    tasks = [
        asyncio.create_task(sleeper(0.005 + i * 0.000_001, count // SLEEPERS))
        for i in range(SLEEPERS)
    ]
    for task in tasks:
        await task
