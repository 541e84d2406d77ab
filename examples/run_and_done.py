"""asyncio.run() makes a loop, runs one coroutine to its end, tidies up, and hands back the value.

What to see: the last line comes after everything in main, and the loop is closed by then.
"""

import asyncio


async def main() -> str:
    print("main begins")
    await asyncio.sleep(0.01)
    print("main ends")
    loops.append(asyncio.get_running_loop())
    return "a clean kitchen"


loops: list[asyncio.AbstractEventLoop] = []
value = asyncio.run(main())
print(f"run() gave back {value!r}; its loop is closed: {loops[0].is_closed()}")
