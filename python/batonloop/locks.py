"""Locks and their kin: native, but for Barrier, which is asyncio's on a Condition of ours.

A barrier is a meeting of tasks: whoever comes waits for all others, so what it does itself costs
little beside what the tasks and the condition do, and those are native.
"""

from __future__ import annotations

from asyncio import locks

from ._batonloop import BoundedSemaphore, Condition, Event, Lock, Semaphore
from .names import complete

__all__ = ("Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier")


class Barrier(locks.Barrier):
    """A point where so many tasks wait for each other, again and again."""

    def __init__(self, parties: int) -> None:
        super().__init__(parties)
        self._cond = Condition()


complete(globals())
