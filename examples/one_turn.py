"""One turn of the loop: due timers join the queue, the queue is counted, that many are run.

What to see: "again" adds itself while it runs and must wait for the next turn, so "other" is not
starved. What was in the queue already runs before a timer that came due. A cancelled callback
never runs.
"""

import asyncio
import time


def again(times: int) -> None:
    print(f"  again, {times} to go")
    if times:
        loop.call_soon(again, times - 1)
    else:
        loop.stop()


def other() -> None:
    print("  other")
    loop.call_soon(print, "  what other added")


loop = asyncio.new_event_loop()

print("a callback that adds itself:")
loop.call_soon(again, 2)
loop.call_soon(other)
loop.run_forever()

print("an overdue timer beside callbacks:")
loop.call_later(0.01, print, "  the timer")
time.sleep(0.02)
loop.call_soon(print, "  first callback")
cancelled = loop.call_soon(print, "  never printed")
loop.call_soon(print, "  second callback")
cancelled.cancel()
loop.stop()
loop.run_forever()

print("stop() before run_forever() gives exactly one turn:")
loop.call_soon(again, 1)
loop.stop()
loop.run_forever()
loop.close()
