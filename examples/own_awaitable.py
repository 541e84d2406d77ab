"""An awaitable of our own hands the baton back; awaiting a coroutine does not.

What to see: the bystander gets its turn while main waits on Pause(), and gets none while main
awaits a plain coroutine.
"""

import asyncio
from collections.abc import Generator


class Pause:
    def __await__(self) -> Generator[None, None, None]:
        yield  # A bare yield says: put me at the end of the queue.


async def hum() -> None:
    print("main: humming inside a coroutine")


async def bystander() -> None:
    for number in (1, 2):
        print(f"bystander: turn {number}")
        await Pause()


async def main() -> None:
    task = asyncio.create_task(bystander())
    print("main: about to await Pause()")
    await Pause()
    print("main: about to await a coroutine")
    await hum()
    print("main: about to await the bystander")
    await task


asyncio.run(main())
