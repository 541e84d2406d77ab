"""An idle loop rests: it asks the kernel once and sleeps there.

What to see: 0.2 seconds of run_forever() with nothing to do cost next to no processor time. A
loop that went round and round would have burnt all of it.
"""

import asyncio
import time

REST = 0.2

loop = asyncio.new_event_loop()
loop.call_later(REST, loop.stop)

wall, cpu = time.perf_counter(), time.process_time()
loop.run_forever()
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
loop.close()

print(f"rested for {wall:.3f} s, used {cpu * 1000:.1f} ms of processor time")
print(f"rested at least as long as asked: {wall >= REST}")
print(f"used less than a tenth of the time: {cpu < wall / 10}")
