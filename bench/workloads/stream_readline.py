"""``StreamReader.readline()`` where all that is read has come in already."""

from __future__ import annotations

import asyncio

TITLE = "reader.readline(), data buffered"
MULTIPLE = 500
SIZE = 100
DATA = (b"x" * (SIZE - 1) + b"\n") * MULTIPLE


async def run(count: int) -> None:
    """Read ``count`` pieces."""
    reader = asyncio.StreamReader()
    for _ in range(count // MULTIPLE):
        reader.feed_data(DATA)
        for _ in range(MULTIPLE):
            await reader.readline()
