"""A timer says "not before"; a callback that hogs the baton makes every timer late.

What to see: the timers are due after 0.05 s and ring after the 0.15 s nap that blocks the loop,
in the order of their deadlines, after main has ended and before the loop stops.
"""

import asyncio
import time


def ring(name: str, set_at: float) -> None:
    late = time.monotonic() - set_at
    print(f"{name}: rang after 0.15 s or more: {late >= 0.15}")


async def main() -> None:
    loop = asyncio.get_running_loop()
    now = time.monotonic()
    loop.call_later(0.05, ring, "call_later", now)
    loop.call_at(loop.time() + 0.06, ring, "call_at", now)
    time.sleep(0.15)
    print("main ends")


asyncio.run(main())
print("the loop is closed")
