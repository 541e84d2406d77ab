"""What ten nested `await coroutine` cost.

What to see: about as much as ten nested function calls. The loop plays no part in it, so no loop
makes it faster or slower. Compare with price_of_await_task.py.

Usage: price_of_await_coroutine.py [runs]
"""

import asyncio
import sys
import time


async def descend(depth: int) -> None:
    if depth > 1:
        await descend(depth - 1)


async def main(runs: int) -> float:
    began = time.perf_counter()
    for _ in range(runs):
        await descend(10)
    return time.perf_counter() - began


runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
seconds = asyncio.run(main(runs))
print(f"{runs} runs of 10 nested coroutines: {seconds / runs * 1e6:.2f} us a run")
