"""asyncio.sleep() and time.sleep() are not the same: one frees the loop, one holds it.

What to see: five asyncio sleepers sleep together; five time.sleep() calls queue up, and the clock
that ticks beside them gets no turn while they last.
"""

import asyncio
import time

NAP = 0.05
ticks = 0


async def tick() -> None:
    global ticks
    while True:
        ticks += 1
        await asyncio.sleep(NAP / 10)


async def free_nap() -> None:
    await asyncio.sleep(NAP)


async def blocking_nap() -> None:
    time.sleep(NAP)


async def main() -> None:
    global ticks
    clock = asyncio.create_task(tick())
    for nap in (free_nap, blocking_nap):
        await asyncio.sleep(NAP / 4)
        ticks = 0
        began = time.perf_counter()
        await asyncio.gather(*(nap() for _ in range(5)))
        took = time.perf_counter() - began
        print(f"five times {nap.__name__}: {took:.3f} s")
        print(f"  one after the other: {took > 4.9 * NAP}, the clock could tick: {ticks > 2}")
    clock.cancel()


asyncio.run(main())
