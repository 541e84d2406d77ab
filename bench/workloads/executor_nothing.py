"""Send a function that does nothing to the default executor and await it: there and back."""

from __future__ import annotations

import asyncio

TITLE = "run_in_executor of nothing"


def nothing() -> None:
    """Runs in a worker thread."""


async def run(count: int) -> None:
    """Await ``count`` empty jobs, one after the other."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await loop.run_in_executor(None, nothing)
