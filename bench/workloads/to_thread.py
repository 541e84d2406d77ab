"""Call a function that does nothing in a thread and await it: what to_thread() adds to the work."""

from __future__ import annotations

import asyncio

TITLE = "to_thread of nothing"


def nothing() -> None:
    """Runs in a worker thread."""


async def run(count: int) -> None:
    """Await ``count`` empty calls, one after the other."""
    for _ in range(count):
        await asyncio.to_thread(nothing)
