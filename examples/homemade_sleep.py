"""A sleep of our own: a future, and a watcher that sets it when the time has come.

What to see: three gardeners work while main sleeps; main goes on no earlier than asked. The
watcher looks at the clock once in every turn of the loop, thousands of times: it works, and it
keeps the processor busy all the while. asyncio.sleep() uses a timer instead.

Usage: homemade_sleep.py [seconds]
"""

import asyncio
import sys
import time
from collections.abc import Generator

turns = 0


class Yield:
    def __await__(self) -> Generator[None, None, None]:
        yield


async def watch(alarm: "asyncio.Future[None]", wake_at: float) -> None:
    global turns
    while time.monotonic() < wake_at:
        turns += 1
        await Yield()
    alarm.set_result(None)


async def homemade_sleep(seconds: float) -> None:
    alarm: asyncio.Future[None] = asyncio.Future()
    watcher = asyncio.create_task(watch(alarm, time.monotonic() + seconds))
    await alarm
    await watcher


async def dig() -> None:
    print("a gardener digs")


async def main(seconds: float) -> None:
    gardeners = [asyncio.create_task(dig()) for _ in range(3)]
    began = time.monotonic()
    print("good night")
    await asyncio.create_task(homemade_sleep(seconds))
    slept = time.monotonic() - began
    print("good morning")
    await asyncio.gather(*gardeners)
    print(f"slept {slept:.2f} s, at least as long as asked: {slept >= seconds}")
    print(f"the watcher looked more than 100 times: {turns > 100}")


asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.2))
