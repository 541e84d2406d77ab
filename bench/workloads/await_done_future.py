"""Await a future that already has its value: no turn of the loop is needed."""

from __future__ import annotations

import asyncio

TITLE = "await a done future"


async def run(count: int) -> None:
    """Take the value ``count`` times."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(42)
    for _ in range(count):
        await future
