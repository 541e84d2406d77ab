"""`await a, b` awaits a only: it means `(await a), b`.

What to see: the quick courier is awaited, the slow one is not; the program ends without the slow
parcel. gather() waits for both.
"""

import asyncio


async def courier(name: str, seconds: float) -> str:
    await asyncio.sleep(seconds)
    print(f"  the {name} courier is here")
    return f"{name} parcel"


async def by_comma() -> None:
    quick = asyncio.create_task(courier("quick", 0.01))
    slow = asyncio.create_task(courier("slow", 0.05))
    first, second = await quick, slow
    print(f"  got {first!r} and an object of type {type(second).__name__}, done: {second.done()}")


async def by_gather() -> None:
    quick = asyncio.create_task(courier("quick", 0.01))
    slow = asyncio.create_task(courier("slow", 0.05))
    first, second = await asyncio.gather(quick, slow)
    print(f"  got {first!r} and {second!r}")


print("await quick, slow:")
asyncio.run(by_comma())
print("await asyncio.gather(quick, slow):")
asyncio.run(by_gather())
