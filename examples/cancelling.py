"""cancel() asks; at its await the task gets a CancelledError and decides.

What to see: a sleeper that lets go, one that tidies up first, one that refuses, and one that was
cancelled before its first step and never runs a line.
"""

import asyncio


async def sleeper(name: str) -> str:
    try:
        print(f"{name}: falls asleep")
        await asyncio.sleep(60)
    except asyncio.CancelledError as reason:
        print(f"{name}: woken: {reason}")
        if name == "stubborn":
            return "slept through it"
        raise
    finally:
        print(f"{name}: makes the bed")
    return "slept well"


async def main() -> None:
    for name in ("obedient", "stubborn"):
        task = asyncio.create_task(sleeper(name))
        await asyncio.sleep(0)
        print(f"main: asks {name} to stop: {task.cancel('it is morning')}")
        try:
            print(f"main: {name} answers: {await task}")
        except asyncio.CancelledError:
            print(f"main: {name} is cancelled: {task.cancelled()}")
    unstarted = asyncio.create_task(sleeper("unstarted"))
    unstarted.cancel()
    await asyncio.wait([unstarted])
    print(f"main: unstarted is cancelled: {unstarted.cancelled()}, and never ran")
    print(f"main: cancelling a task that is over: {unstarted.cancel()}")


asyncio.run(main())
