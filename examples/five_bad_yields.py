"""A task understands two kinds of yield, an awaited future and nothing; all else is refused.

What to see: five wrong things to yield, each with the error that is thrown into the coroutine.
"""

import asyncio
import re
from collections.abc import Generator
from typing import Any


class Yields:
    def __init__(self, value: object) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, None, None]:
        yield self.value


def shorten(text: str) -> str:
    """Tasks and futures describe themselves at length, in angle brackets; keep their kind."""
    while found := re.search(r"<(\w+)[^<>]*>", text):
        text = text.replace(found[0], f"({found[1]})")
    return text


async def attempt(title: str, awaitable: Any) -> None:
    try:
        await awaitable
    except RuntimeError as error:
        print(f"{title}: {shorten(str(error))}")


async def main() -> None:
    loop = asyncio.get_running_loop()
    stranger = asyncio.new_event_loop()
    await attempt("a number", Yields(7))
    await attempt("a future without await", Yields(loop.create_future()))
    await attempt("a generator", Yields(iter_of_nothing()))
    await attempt("the task itself", asyncio.current_task())
    await attempt("another loop's future", stranger.create_future())
    stranger.close()


def iter_of_nothing() -> Generator[None, None, None]:
    yield


asyncio.run(main())
