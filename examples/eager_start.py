"""Eager tasks (Python 3.12 and newer) run inside create_task() up to their first pause.

What to see: with the eager factory, an errand that never pauses is done when create_task()
returns, without a turn of the loop.
"""

import asyncio


async def errand(pause: bool) -> str:
    print("  the errand starts")
    if pause:
        await asyncio.sleep(0)
    return "done"


async def main() -> None:
    for pause in (False, True):
        task = asyncio.create_task(errand(pause))
        print(f"  back from create_task(), done: {task.done()}")
        await task


print("usual tasks:")
asyncio.run(main())
print("eager tasks:")
if hasattr(asyncio, "eager_task_factory"):

    async def eager_main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        await main()

    asyncio.run(eager_main())
else:
    print("  this Python has none")
