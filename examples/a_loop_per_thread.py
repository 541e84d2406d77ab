"""There is one running loop per thread, not one in the world.

What to see: two threads run two loops at the same time. A second loop in the same thread is
refused while the first one runs.
"""

import asyncio
import threading

barrier = threading.Barrier(2)
loops: list[asyncio.AbstractEventLoop] = []


async def report() -> None:
    loops.append(asyncio.get_running_loop())
    barrier.wait()  # Both loops are running now.


threads = [threading.Thread(target=lambda: asyncio.run(report())) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"two threads, two running loops: {len(loops) == 2 and loops[0] is not loops[1]}")


async def nested() -> None:
    coroutine = report()
    try:
        asyncio.run(coroutine)
    except RuntimeError as error:
        print(f"run() inside run(): {error}")
    coroutine.close()
    other = asyncio.new_event_loop()
    try:
        other.run_forever()
    except RuntimeError as error:
        print(f"run_forever() inside run(): {error}")
    other.close()


asyncio.run(nested())
