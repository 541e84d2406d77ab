"""Calling a plain function runs it; calling a coroutine function only makes a coroutine.

What to see: the small bell rings at the call. The big bell stays silent until its coroutine is
run, and what the call gave back is an object of the language itself, not of asyncio.
"""

import asyncio


def ring_the_small_bell(times: int) -> None:
    print(" ".join(["ding"] * times))


async def ring_the_big_bell(times: int) -> None:
    print(" ".join(["DONG"] * times))


print("Call the plain function:")
ring_the_small_bell(3)

print("Call the coroutine function:")
ringing = ring_the_big_bell(2)
print(f"(silence) it gave back {ringing!r}")

print("Run the coroutine:")
asyncio.run(ringing)
