"""How often does each kind of await hand the baton over? Count the turns of the loop.

What to see: a callback that adds itself again runs once in every turn, so it counts them. Awaiting
a coroutine or something that is done costs no turn, a bare yield one, a task two: one in which the
task runs, and one until the waiter is woken.
"""

import asyncio
from collections.abc import Generator

turns = 0


def tick() -> None:
    global turns
    turns += 1
    asyncio.get_running_loop().call_soon(tick)


class Yield:
    def __await__(self) -> Generator[None, None, None]:
        yield


async def nothing() -> None:
    pass


async def main() -> None:
    tick()
    done_task = asyncio.create_task(nothing())
    done_future = asyncio.get_running_loop().create_future()
    done_future.set_result(None)
    await done_task

    async def count(title: str, awaitable: object) -> None:
        before = turns
        await awaitable  # type: ignore[misc]
        print(f"{title:<24} {turns - before}")

    await count("await a coroutine", nothing())
    await count("await a bare yield", Yield())
    await count("await asyncio.sleep(0)", asyncio.sleep(0))
    await count("await a new task", asyncio.create_task(nothing()))
    await count("await a done task", done_task)
    await count("await a done future", done_future)


asyncio.run(main())
