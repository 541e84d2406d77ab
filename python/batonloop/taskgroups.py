"""TaskGroup: its tasks are native; how it begins, and how it ends, is asyncio's own."""

from __future__ import annotations

from asyncio import taskgroups as _asyncio_taskgroups
from types import FunctionType

from ._batonloop import TaskGroup
from .names import complete

__all__ = ("TaskGroup",)


def _take_over() -> None:
    """Give our class the methods of asyncio's that it does not have: they work on any group."""
    for name, value in vars(_asyncio_taskgroups.TaskGroup).items():
        if isinstance(value, FunctionType) and name not in vars(TaskGroup):
            setattr(TaskGroup, name, value)


_take_over()
complete(globals())
