"""Who keeps a task alive when the program has dropped its own reference?

What to see: the queue keeps a task that has not started; a timer keeps one that sleeps; nobody
keeps one that waits for a future only itself knows: the garbage collector takes both together,
the task's `finally` runs, and the loop complains. It never calls something that is gone, because
only that lost future could have woken the task.
"""

import asyncio
import gc
import weakref
from collections.abc import Coroutine
from typing import Any


async def nap() -> None:
    await asyncio.sleep(60)


async def wait_for_a_secret() -> None:
    await asyncio.get_running_loop().create_future()


async def wait_and_say_goodbye() -> None:
    try:
        await asyncio.get_running_loop().create_future()
    except GeneratorExit:
        print("  (GeneratorExit inside the task)")
        raise
    finally:
        print("  (its finally block runs)")


def start(coroutine: Coroutine[Any, Any, None]) -> "weakref.ref[asyncio.Task[None]]":
    return weakref.ref(asyncio.create_task(coroutine))


def alive(*refs: "weakref.ref[asyncio.Task[None]]") -> str:
    gc.collect()
    return " ".join("gone" if ref() is None else "alive" for ref in refs)


async def main() -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: print(f"  (log: {context['message']})"))

    unstarted = start(nap())
    print(f"not started yet: {alive(unstarted)}")
    await asyncio.sleep(0)
    print(f"asleep: {alive(unstarted)}")

    lost = start(wait_and_say_goodbye())
    await asyncio.sleep(0)
    print(f"tasks before the collection: {len(asyncio.all_tasks())}")
    print(f"waits for a future only itself knows: {alive(lost)}")
    print(f"tasks after the collection: {len(asyncio.all_tasks())}")

    loop.set_exception_handler(lambda loop, context: None)
    refs = []
    for _ in range(5):
        task = asyncio.create_task(wait_for_a_secret())
        refs.append(weakref.ref(task))
    await asyncio.sleep(0)
    print(f"five made in a loop under one name: {alive(*refs)}")
    task.cancel()

    kept = {asyncio.create_task(wait_for_a_secret()) for _ in range(2)}
    await asyncio.sleep(0)
    print(f"two kept in a set: {alive(*map(weakref.ref, kept))}")


asyncio.run(main())
