"""The price of tasks is per task, not per level of nesting.

What to see: nested or one after the other, the time divided by the number of tasks stays about
the same. A task that awaits a nest of two more is three tasks; counted so, nothing is left over.

Usage: price_per_task.py [runs]
"""

import asyncio
import sys
import time

ROUNDS = 5


async def nest(depth: int) -> None:
    if depth > 1:
        await asyncio.create_task(nest(depth - 1))


async def measure(depth: int, repeats: int, runs: int) -> float:
    began = time.perf_counter()
    for _ in range(runs):
        for _ in range(repeats):
            await asyncio.create_task(nest(depth))
    return (time.perf_counter() - began) / (runs * depth * repeats)


async def main(runs: int) -> None:
    shapes = {(3, 1): [], (9, 1): [], (1, 9): [], (3, 3): []}
    # The rounds are interleaved, and the best one counts: others use this machine too.
    for _ in range(ROUNDS):
        for (depth, repeats), times in shapes.items():
            times.append(await measure(depth, repeats, runs))
    for (depth, repeats), times in shapes.items():
        tasks = f"{depth * repeats} tasks, {repeats} x {depth} nested"
        print(f"{tasks}: {min(times) * 1e6:.2f} us a task")


asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
