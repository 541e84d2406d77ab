"""Two thousand sleepers cost hardly more than one.

What to see: the whole crowd needs the time of a single sleep and a little for getting up, and the
processor rests in between.

Usage: many_sleepers.py [sleepers] [seconds]
"""

import asyncio
import sys
import time


async def main(sleepers: int, seconds: float) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(asyncio.sleep(seconds, number) for number in range(sleepers)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{sleepers} sleepers of {seconds} s took {wall:.3f} s, {cpu:.3f} s of processor time")
    print(f"far from {sleepers} sleeps in a row: {wall < sleepers * seconds / 10}")


sleepers = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
asyncio.run(main(sleepers, float(sys.argv[2]) if len(sys.argv) > 2 else 0.3))
