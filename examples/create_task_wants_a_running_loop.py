"""asyncio.create_task() at the top of a program, where no loop runs, is refused.

What to see: the error, and the same call inside a running program.
"""

import asyncio


async def wave() -> str:
    return "a wave"


coroutine = wave()
try:
    asyncio.create_task(coroutine)
except RuntimeError as error:
    print(f"outside: RuntimeError: {error}")
    coroutine.close()


async def main() -> None:
    print(f"inside: {await asyncio.create_task(wave())}")


asyncio.run(main())
