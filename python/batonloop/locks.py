"""Locks and their kin: native, but for Barrier, which is asyncio's on a Condition of ours."""

from __future__ import annotations

from asyncio.locks import Barrier

from ._batonloop import BoundedSemaphore, Condition, Event, Lock, Semaphore
from .names import complete

__all__ = ("Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier")

complete(globals())
