"""Calling x.__await__() without `await` makes an iterator, and nothing more.

What to see: main does not stop at the two bare calls. The second boat still leaves, because it
was queued when it was made, but only at main's next real pause.
"""

import asyncio


async def leave(name: str) -> None:
    print(f"  {name} leaves")


async def main() -> None:
    awaited = asyncio.create_task(leave("the awaited boat"))
    await awaited
    print("main: that was a real await")

    called = asyncio.create_task(leave("the other boat"))
    steps = called.__await__()
    print(f"main: __await__() gave an iterator: {iter(steps) is steps}")
    asyncio.get_running_loop().create_future().__await__()
    print("main: a pending future's __await__() did not block either")
    print(f"main: the other boat has left: {called.done()}")
    await asyncio.sleep(0)
    print(f"main: after a real pause, it has left: {called.done()}")


asyncio.run(main())
