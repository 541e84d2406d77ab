"""Await something inside ``async with asyncio.timeout(...)``, done in time: stock Python code."""

from __future__ import annotations

import asyncio

TITLE = "sleep(0) inside asyncio.timeout"
SINCE = (3, 11)


async def run(count: int) -> None:
    """Pass through ``count`` blocks."""
    for _ in range(count):
        async with asyncio.timeout(60.0):
            await asyncio.sleep(0)
