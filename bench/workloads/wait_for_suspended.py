"""``wait_for`` around a future that another callback settles."""

from __future__ import annotations

import asyncio

TITLE = "asyncio.wait_for, pending future"
SINCE = (3, 12)


async def run(count: int) -> None:
    """Wait ``count`` times, each for one turn."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await asyncio.wait_for(future, 60.0)
