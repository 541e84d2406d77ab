"""With the eager task factory, make and await a task that is done before create_task returns."""

from __future__ import annotations

import asyncio

from .create_and_await import nothing

TITLE = "eager task, done at once"
SINCE = (3, 12)


async def run(count: int) -> None:
    """Create and await ``count`` eager tasks."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    try:
        for _ in range(count):
            await asyncio.create_task(nothing())
    finally:
        loop.set_task_factory(before)
