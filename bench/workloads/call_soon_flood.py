"""A thousand handles queued at once, then run: what a burst costs each of them."""

from __future__ import annotations

import asyncio

TITLE = "call_soon flood, 1,000 queued"
BURST = 1_000
MULTIPLE = BURST


def nothing() -> None:
    """The callback."""


async def run(count: int) -> None:
    """Queue and run ``count`` handles in bursts."""
    loop = asyncio.get_running_loop()
    for _ in range(count // BURST):
        for _ in range(BURST - 1):
            loop.call_soon(nothing)
        done = loop.create_future()
        loop.call_soon(done.set_result, None)
        await done
