"""Creating a task puts it in the queue; it runs when the creator lets go.

What to see: the letter is posted at once and read only after main has reached its next real
pause, however long main takes until then.
"""

import asyncio


async def read_letter() -> None:
    print("  the letter is read")


async def main() -> None:
    letter = asyncio.create_task(read_letter())
    print("posted; the task exists")
    print(f"main goes on working, letter read: {letter.done()}")
    await asyncio.sleep(0)
    print(f"main paused once, letter read: {letter.done()}")


asyncio.run(main())
