"""gather() waits for many at once and gives the results in the order of its arguments.

What to see: the runners finish 2, 3, 1 and are listed 1, 2, 3. The first failure reaches the
waiter at once while the others run on; return_exceptions=True puts it into the list instead.
"""

import asyncio


async def run(number: int, seconds: float) -> int:
    await asyncio.sleep(seconds)
    print(f"  runner {number} arrives")
    return number


async def stumble() -> None:
    raise ValueError("stumbled")


async def main() -> None:
    print("three runners:")
    print(" ", await asyncio.gather(run(1, 0.05), run(2, 0.01), run(3, 0.03)))

    print("one stumbles:")
    runner = asyncio.create_task(run(1, 0.01))
    try:
        await asyncio.gather(runner, stumble())
    except ValueError as error:
        print(f"  gather raised {error!r}; runner 1 still runs: {not runner.done()}")
    await runner

    print("one stumbles, exceptions returned:")
    print(" ", await asyncio.gather(run(1, 0.01), stumble(), return_exceptions=True))
    print("nobody:")
    print(" ", await asyncio.gather())


asyncio.run(main())
