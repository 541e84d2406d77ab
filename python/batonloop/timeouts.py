"""Timeouts: native, but for the beginning of a block, which a coroutine makes for less."""

from __future__ import annotations

from asyncio import timeouts as _asyncio_timeouts

from ._batonloop import Timeout, timeout, timeout_at
from .names import complete

__all__ = ("Timeout", "timeout", "timeout_at")


async def _enter(self: Timeout) -> Timeout:
    self._enter()
    return self


_enter.__name__ = "__aenter__"
_enter.__qualname__ = "Timeout.__aenter__"
Timeout.__aenter__ = _enter  # type: ignore[assignment, method-assign]

if hasattr(_asyncio_timeouts.Timeout, "__final__"):
    Timeout.__final__ = True  # type: ignore[attr-defined]

complete(globals())
