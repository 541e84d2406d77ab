"""Nested tasks do not pile up on the call stack; nested coroutines do.

What to see: a coroutine awaited ten deep has ten more frames beneath it. A task awaited ten deep
has none: every task is started by the loop, from the bottom.
"""

import asyncio
import sys


def frames() -> int:
    count, frame = 0, sys._getframe(1)
    while frame is not None:
        count, frame = count + 1, frame.f_back  # type: ignore[assignment]
    return count


async def by_coroutine(depth: int) -> int:
    return await by_coroutine(depth - 1) if depth else frames()


async def by_task(depth: int) -> int:
    return await asyncio.create_task(by_task(depth - 1)) if depth else frames()


async def main() -> None:
    for name, nest in (("coroutines", by_coroutine), ("tasks", by_task)):
        ground = await asyncio.create_task(nest(0))
        deeper = [await asyncio.create_task(nest(depth)) - ground for depth in (1, 5, 10)]
        print(f"frames added by 1, 5, 10 nested {name}: {deeper}")


asyncio.run(main())
