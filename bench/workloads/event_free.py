"""An event that has happened: nobody has to wait for it."""

from __future__ import annotations

import asyncio

TITLE = "asyncio.Event, set"


async def run(count: int) -> None:
    """Wait ``count`` times."""
    event = asyncio.Event()
    event.set()
    for _ in range(count):
        await event.wait()
