"""Ten thousand coroutines handed to one ``asyncio.gather``; the figure is for each of them."""

from __future__ import annotations

import asyncio

from .create_and_await import nothing

TITLE = "gather 10,000, each"
WIDTH = 10_000
MULTIPLE = WIDTH


async def run(count: int) -> None:
    """Gather ``count`` coroutines, ten thousand at a time."""
    for _ in range(count // WIDTH):
        await asyncio.gather(*[nothing() for _ in range(WIDTH)])
