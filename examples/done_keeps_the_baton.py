"""Awaiting a task or a future that is done already hands nothing over.

What to see: the neighbour waits through any number of such awaits, and comes in only when main
really pauses.
"""

import asyncio


async def post() -> str:
    return "a parcel"


async def neighbour() -> None:
    print("neighbour: may I come in?")


async def main() -> None:
    parcel = asyncio.create_task(post())
    await parcel
    visit = asyncio.create_task(neighbour())
    for _ in range(3):
        print(f"main: awaits the done task again, gets {await parcel}")
    print("main: pauses")
    await asyncio.sleep(0)
    await visit


asyncio.run(main())
