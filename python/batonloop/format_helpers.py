"""The stack of who makes something, for debug mode, and what native coroutines show in stacks."""

from __future__ import annotations

import os
import sys
import types
from asyncio import format_helpers

from .names import complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    import traceback
    from collections.abc import Coroutine, Generator
    from types import FrameType
    from typing import Any

_LAUNCHER = os.path.join(os.path.dirname(__file__), "__main__.py")


def extract_stack(f: FrameType | None = None, limit: int | None = None) -> traceback.StackSummary:
    """Return the stack below frame f, by default the caller's, as asyncio's function does.

    At most limit frames, by default asyncio's DEBUG_STACK_DEPTH. What `python -m batonloop` adds
    below the program is left out: a program that runs as `python prog.py` has no such frames.
    """
    stack = format_helpers.extract_stack(f or sys._getframe().f_back, limit)
    for index, frame in enumerate(stack):
        if frame.filename == _LAUNCHER and frame.name == "launch":
            del stack[: index + 1]
            break
    return stack


@types.coroutine
def _for_ever() -> Generator[None]:
    yield


def _stand_in(name: str, qualified_name: str) -> Coroutine[Any, Any, None]:
    """Return a suspended coroutine of that name, whose frame and code a native one can show."""

    async def stand_in() -> None:
        await _for_ever()

    code = stand_in.__code__
    code = code.replace(co_name=name, co_qualname=qualified_name, co_filename="<batonloop>")
    made: Coroutine[Any, Any, None] = types.FunctionType(code, globals())()
    made.send(None)
    return made


complete(globals())
