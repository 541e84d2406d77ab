"""``async with asyncio.timeout(...)`` around a future that another callback settles."""

from __future__ import annotations

import asyncio

TITLE = "a future awaited inside asyncio.timeout"
SINCE = (3, 11)


async def run(count: int) -> None:
    """Pass through ``count`` blocks; each waits for one turn."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        async with asyncio.timeout(60.0):
            await future
