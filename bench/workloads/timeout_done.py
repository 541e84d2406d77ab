"""``async with asyncio.timeout(...)`` around what needs no waiting."""

from __future__ import annotations

import asyncio

TITLE = "asyncio.timeout around nothing"
SINCE = (3, 11)


async def run(count: int) -> None:
    """Pass through ``count`` blocks."""
    for _ in range(count):
        async with asyncio.timeout(60.0):
            pass
