"""When main ends, asyncio.run() cancels the tasks that are left, and waits until they are gone.

What to see: both guests get one step, since they were queued before the end, and neither finishes
its sleep. The polite one notices the cancellation and tidies up.
"""

import asyncio


async def hasty_guest() -> None:
    print("hasty guest: sits down")
    await asyncio.sleep(60)
    print("hasty guest: this line is never printed")


async def polite_guest() -> None:
    print("polite guest: sits down")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("polite guest: closing time? I put the chair back")
        raise


guests = []


async def main() -> None:
    guests.append(asyncio.create_task(hasty_guest()))
    guests.append(asyncio.create_task(polite_guest()))
    print("main: ends at once")


asyncio.run(main())
print(f"all cancelled: {all(guest.cancelled() for guest in guests)}")
