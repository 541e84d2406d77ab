"""What ten nested `await create_task(...)` cost.

What to see: many times the price of the same nest of coroutines, because every task is queued,
started, finished and waited for by the loop. How many times is a matter of the loop that runs.

Usage: price_of_await_task.py [runs]
"""

import asyncio
import sys
import time


async def descend(depth: int) -> None:
    if depth > 1:
        await asyncio.create_task(descend(depth - 1))


async def main(runs: int) -> float:
    began = time.perf_counter()
    for _ in range(runs):
        await asyncio.create_task(descend(10))
    return time.perf_counter() - began


runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
seconds = asyncio.run(main(runs))
print(f"{runs} runs of 10 nested tasks: {seconds / runs * 1e6:.2f} us a run")
