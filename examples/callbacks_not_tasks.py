"""What waits in the loop's queue is a callback; a task is only one kind of customer.

What to see: call_soon() gives a Handle and call_later() a TimerHandle, and the loop is busy for
three callbacks without a single task. Waking a task is one more such callback.
"""

import asyncio


def greet(name: str) -> None:
    print(f"  hello {name}, tasks alive: {len(asyncio.all_tasks(loop))}")


async def visit() -> None:
    greet("from a task")


loop = asyncio.new_event_loop()
soon = loop.call_soon(greet, "soon")
later = loop.call_later(0.01, greet, "later")
print(f"call_soon gives a Handle: {isinstance(soon, asyncio.Handle)}")
print(f"call_later gives a TimerHandle: {isinstance(later, asyncio.TimerHandle)}")
loop.call_later(0.02, loop.stop)
print("running without tasks:")
loop.run_forever()
print("running a task:")
loop.run_until_complete(visit())
loop.close()
