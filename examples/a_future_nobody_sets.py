"""Waiting for a future that nobody will ever set: the loop rests for ever. Stop it with Ctrl-C.

What to see: main hands the baton over (the errand runs), and then nothing happens any more, at no
cost in processor time. The last line of main is never reached.
"""

import asyncio


async def errand() -> None:
    print("errand: done; only main is left, and it waits", flush=True)


async def main() -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.Task(errand(), loop=loop)
    print("main: waits for a letter nobody writes", flush=True)
    await loop.create_future()
    print(f"main: never gets here, {task}")


asyncio.run(main())
