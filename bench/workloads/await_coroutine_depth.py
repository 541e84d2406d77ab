"""Coroutines that await coroutines, ten deep: the loop has no part in it, so all must be equal."""

from __future__ import annotations

TITLE = "await coroutine, depth 10"
DEPTH = 10


async def descend(depth: int) -> None:
    """Await a coroutine that awaits a coroutine, and so on down."""
    if depth:
        await descend(depth - 1)


async def run(count: int) -> None:
    """Go down and up again ``count`` times."""
    for _ in range(count):
        await descend(DEPTH)
