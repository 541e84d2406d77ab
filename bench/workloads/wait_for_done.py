"""``wait_for`` around a future that is done."""

from __future__ import annotations

import asyncio

TITLE = "asyncio.wait_for, done future"
SINCE = (3, 12)


async def run(count: int) -> None:
    """Wait ``count`` times."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    for _ in range(count):
        await asyncio.wait_for(future, 60.0)
