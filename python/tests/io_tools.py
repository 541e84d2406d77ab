"""What the tests of datagrams, pipes, processes and sock_* share: waiting, and short words."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from conftest import World

PY = sys.version_info[:2]


def has_native_sock_methods(world: World) -> bool:
    """Whether `sock_recv()` and its kin are ours: not so without the fast layout."""
    return world.is_ours and world.module._batonloop.LAYOUT == "shared"


def run(loop: Any, awaitable: Awaitable[Any], seconds: float = 10.0) -> Any:
    """Run the loop until the awaitable is done; one that never is fails the test."""

    async def main() -> Any:
        async with asyncio.timeout(seconds):
            return await awaitable

    return loop.run_until_complete(main())


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until the condition holds, looking every millisecond."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"still not so after {seconds} seconds") from None


async def turns(count: int = 3) -> None:
    """Let the loop make some turns, without waiting for anything."""
    for _ in range(count):
        await asyncio.sleep(0)


def said(error: BaseException | None) -> str | None:
    """An exception in a few words: its type, and its errno or its text."""
    if error is None:
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return f"{type(error).__name__}({error.errno})"
    return f"{type(error).__name__}: {error}"


async def refusal(awaitable: Awaitable[Any]) -> str | None:
    """What an awaitable raises, in a few words; one that raises nothing fails the test."""
    try:
        result = await awaitable
    except Exception as error:
        return said(error)
    raise AssertionError(f"nothing was raised, but returned: {result!r}")


def shape(transport: Any) -> str:
    """The repr of a transport, less what differs from run to run: its type and numbers."""
    text = re.sub(r"^<\w+", "<", repr(transport))
    return re.sub(r"\b(fd|pid)=\d+", r"\1=N", text)


def failing(base: type, where: str) -> type:
    """A protocol like `base` whose callback of this name does its work and then raises."""

    def fail(self: Any, *args: Any) -> None:
        getattr(super(cls, self), where)(*args)
        raise LookupError(where)

    cls = type("Failing", (base,), {where: fail})
    return cls
