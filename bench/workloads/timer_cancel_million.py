"""The same as ``timer_cancel`` while a million other timers are alive: how their store scales."""

from __future__ import annotations

import asyncio

from .timer_cancel import DELAY, nothing, run

__all__ = ["TITLE", "prepare", "run"]

TITLE = "the same, 1,000,000 timers alive"
ALIVE = 1_000_000
STEP = 654_321
"""No common divisor with ALIVE: the deadlines come in scrambled order, none of them twice."""


def prepare(loop: asyncio.AbstractEventLoop) -> list[asyncio.TimerHandle]:
    """Start a million timers whose deadlines lie on both sides of the workload's own."""
    return [
        loop.call_later(DELAY * (0.5 + i * STEP % ALIVE / ALIVE), nothing) for i in range(ALIVE)
    ]
