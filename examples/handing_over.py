"""Awaiting a task: hand the baton to the loop, get it back when the task is over.

What to see: the cook's body stops at the await, the oven's body runs from start to end, and the
cook goes on with the oven's result. Nobody runs at the same time as somebody else.
"""

import asyncio


async def bake() -> str:
    print("        oven: has the baton; heats up")
    await asyncio.sleep(0)
    print("        oven: has it again; the bread is ready, gives the baton back")
    return "bread"


async def cook() -> None:
    print("cook: has the baton; makes a task for the oven (it does not run yet)")
    oven = asyncio.create_task(bake())
    print(f"cook: oven done: {oven.done()}; hands the baton over and waits")
    food = await oven
    print(f"cook: has the baton and the {food}")


asyncio.run(cook())
