"""When a task goes on, every paused body above the future is resumed, the outermost first.

What to see: a profile function notes who is entered and who is left. The yield leaves from the
inside out; the way back goes from the outside in.
"""

import asyncio
import sys
from collections.abc import Generator
from types import FrameType


class Leaf:
    def __await__(self) -> Generator[None, None, None]:
        yield


async def branch() -> None:
    await Leaf()


async def trunk() -> None:
    await branch()


BODIES = {trunk.__code__: "trunk", branch.__code__: "branch", Leaf.__await__.__code__: "leaf"}


def note(frame: FrameType, event: str, argument: object) -> None:
    if frame.f_code in BODIES and event in ("call", "return"):
        print(f"  {'enter' if event == 'call' else 'leave'} {BODIES[frame.f_code]}")


async def main() -> None:
    task = asyncio.create_task(trunk())
    sys.setprofile(note)
    print("first step:")
    await asyncio.sleep(0)
    print("second step:")
    await task
    sys.setprofile(None)


asyncio.run(main())
