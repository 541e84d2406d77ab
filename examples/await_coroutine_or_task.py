"""The same loop of awaits twice: on coroutines, then on tasks made of them.

What to see: awaiting coroutines, the drummer never lets the singer in before its last beat;
awaiting tasks, the singer, who was queued first, comes first.

Usage: await_coroutine_or_task.py [coroutine|task|both] [beats]
"""

import asyncio
import sys


async def beat() -> None:
    print("  drum: boom")


async def sing() -> None:
    print("  singer: at last, la la la")


async def concert(kind: str, beats: int) -> None:
    singer = asyncio.create_task(sing())
    for _ in range(beats):
        if kind == "coroutine":
            await beat()
        else:
            await asyncio.create_task(beat())
    await singer


def main(kind: str = "both", beats: str = "3") -> None:
    for each in ("coroutine", "task") if kind == "both" else (kind,):
        print(f"await {each}:")
        asyncio.run(concert(each, int(beats)))


main(*sys.argv[1:])
