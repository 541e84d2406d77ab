"""Three ways to hand the baton over for one turn; all end in a bare yield.

What to see: in each round the neighbour runs between "before" and "after". An __await__ that is a
generator is one way, an __await__ that returns any iterator the second, a generator marked with
types.coroutine (asyncio.sleep(0) is made so) the third.
"""

import asyncio
import types
from collections.abc import Awaitable, Generator, Iterator


class ByGenerator:
    def __await__(self) -> Generator[None, None, None]:
        yield


class ByIterator:
    def __await__(self) -> Iterator[None]:
        return iter([None])


@types.coroutine
def by_marked_generator() -> Generator[None, None, None]:
    yield


async def neighbour() -> None:
    print("  the neighbour")


async def round_with(name: str, pause: Awaitable[None]) -> None:
    print(f"{name}:")
    task = asyncio.create_task(neighbour())
    print("  before")
    await pause
    print("  after")
    await task


async def main() -> None:
    await round_with("__await__ is a generator", ByGenerator())
    await round_with("__await__ returns an iterator", ByIterator())
    await round_with("a generator marked as a coroutine", by_marked_generator())
    await round_with("asyncio.sleep(0)", asyncio.sleep(0))


asyncio.run(main())
