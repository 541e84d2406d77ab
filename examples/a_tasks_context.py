"""A task keeps the context variables it found when it was created.

What to see: each parcel has the label that was set at its creation, although the label has been
changed before either of them runs; what a task sets stays its own.
"""

import asyncio
from contextvars import ContextVar

label = ContextVar("label", default="no label")


async def read_label(seen: list[str]) -> None:
    seen.append(label.get())
    label.set("scribbled over")


async def main() -> None:
    seen: list[str] = []
    label.set("to the north")
    north = asyncio.create_task(read_label(seen))
    label.set("to the south")
    south = asyncio.create_task(read_label(seen))
    await north
    await south
    print(f"the tasks saw {seen}")
    print(f"main still has {label.get()!r}")


asyncio.run(main())
