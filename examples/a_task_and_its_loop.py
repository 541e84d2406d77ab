"""A task belongs to the loop it was given; without one, it does not find yours by magic.

What to see: with loop= the task waits in our stopped loop. Without it, the Python that runs
decides: up to 3.13 the task lands on another loop (the thread's current one; 3.12 and 3.13 warn if
there was none), from 3.14 on there is an error. After set_event_loop() it is ours everywhere.
"""

import asyncio
import warnings


async def greet(name: str) -> None:
    print(f"  hello from {name}")


def one_turn(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


loop = asyncio.new_event_loop()
first = asyncio.Task(coro=greet("the first task"), loop=loop)
print(f"first task on our loop: {first.get_loop() is loop}")

coroutine = greet("the second task")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        second = asyncio.Task(coro=coroutine)
    except RuntimeError as error:
        coroutine.close()
        print(f"second task: RuntimeError: {error}")
    else:
        print(f"second task on our loop: {second.get_loop() is loop}")
        other = second.get_loop()
        other.run_until_complete(second)
        other.close()
for warning in caught:
    print(f"{warning.category.__name__}: {warning.message}")

asyncio.set_event_loop(loop)
third = asyncio.Task(coro=greet("the third task"))
print(f"third task on our loop: {third.get_loop() is loop}")
print("one turn of our loop:")
one_turn(loop)
asyncio.set_event_loop(None)
loop.close()
