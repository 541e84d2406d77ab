"""A producer and a consumer share ``asyncio.Queue(1)``: each waits for the other every time."""

from __future__ import annotations

import asyncio

TITLE = "asyncio.Queue(1), put and get"


async def produce(queue: asyncio.Queue[int], count: int) -> None:
    """Put ``count`` items."""
    for item in range(count):
        await queue.put(item)


async def run(count: int) -> None:
    """Hand ``count`` items over."""
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    producer = asyncio.create_task(produce(queue, count))
    for _ in range(count):
        await queue.get()
    await producer
