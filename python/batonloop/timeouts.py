"""Timeouts: native, but for the beginning of a block, which a coroutine makes for less."""

from __future__ import annotations

from ._batonloop import Timeout, timeout, timeout_at
from .names import complete

__all__ = ("Timeout", "timeout", "timeout_at")


async def _enter(self: Timeout) -> Timeout:
    self._enter()
    return self


_enter.__name__ = "__aenter__"
_enter.__qualname__ = "Timeout.__aenter__"
Timeout.__aenter__ = _enter  # type: ignore[method-assign, assignment]

complete(globals())
