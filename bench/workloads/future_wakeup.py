"""Wait on a future that a callback of the next turn settles: how most waiting ends."""

from __future__ import annotations

import asyncio

TITLE = "future wake-up"


async def run(count: int) -> None:
    """Be woken by a future ``count`` times."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future
