"""What `await future` does, driven by hand: the future yields itself, then gives its result.

What to see: a pending future yields itself and raises a flag that tells a task "this was a real
await". Resumed too early it complains; resumed after set_result() it returns the result. A done
future yields nothing: awaiting it hands nothing over.
"""

import asyncio

loop = asyncio.new_event_loop()

future = loop.create_future()
steps = future.__await__()
print(f"first next() gives the future itself: {next(steps) is future}")
print(f"its flag is up: {future._asyncio_future_blocking}")
try:
    next(steps)
except RuntimeError as error:
    print(f"resumed while pending: RuntimeError: {error}")

future = loop.create_future()
steps = future.__await__()
next(steps)
future.set_result(3)
try:
    next(steps)
except StopIteration as end:
    print(f"resumed when done: StopIteration with {end.value}")

try:
    next(future.__await__())
except StopIteration as end:
    print(f"done from the start: no yield at all, StopIteration with {end.value}")

loop.close()
