"""One task gives way to nobody: the price of a whole turn of the loop with one step in it."""

from __future__ import annotations

from .switch_100 import worker

TITLE = "task switch, 1 task"


async def run(count: int) -> None:
    """Give way ``count`` times."""
    await worker(count)
