"""Another thread calls call_soon_threadsafe a thousand times in a row: CPU time for each call."""

from __future__ import annotations

import asyncio

TITLE = "call_soon_threadsafe burst"
BURST = 1_000
MULTIPLE = BURST


def nothing() -> None:
    """The callback, run by the loop's thread."""


def burst(loop: asyncio.AbstractEventLoop) -> None:
    """Runs in the other thread."""
    for _ in range(BURST):
        loop.call_soon_threadsafe(nothing)


async def run(count: int) -> None:
    """Receive ``count`` callbacks from a thread, one burst after the other."""
    loop = asyncio.get_running_loop()
    for _ in range(count // BURST):
        await loop.run_in_executor(None, burst, loop)
