"""Locks and their kin: native, but for what happens to a Barrier once in a while.

That is asyncio's, on a Condition of ours; its `wait()` is native.
"""

from __future__ import annotations

from asyncio import locks

from ._batonloop import (
    BoundedSemaphore,
    Condition,
    Event,
    Lock,
    Semaphore,
    _wait_at_barrier,
)
from .names import complete

__all__ = ("Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier")


class Barrier(locks.Barrier):
    """A point where so many tasks wait for each other, again and again."""

    def __init__(self, parties: int) -> None:
        super().__init__(parties)
        self._cond = Condition()

    wait = _wait_at_barrier


complete(globals())
