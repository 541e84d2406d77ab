"""A timer that is cancelled before it is due: the fate of nearly every time-out."""

from __future__ import annotations

import asyncio

TITLE = "call_later and cancel"
DELAY = 3_600.0
"""Seconds. Long enough that no timer is ever due, not even under callgrind."""

BETWEEN_TURNS = 1_000
"""A real program lets its loop run now and then, and only then can a loop drop cancelled timers."""


def nothing() -> None:
    """The callback, never called."""


async def run(count: int) -> None:
    """Start and cancel ``count`` timers."""
    loop = asyncio.get_running_loop()
    left = count
    while left > 0:
        for _ in range(min(left, BETWEEN_TURNS)):
            loop.call_later(DELAY, nothing).cancel()
        left -= BETWEEN_TURNS
        await asyncio.sleep(0)
