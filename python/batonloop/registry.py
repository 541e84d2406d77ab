"""How asyncio's `all_tasks()` finds tasks of ours, up to CPython 3.13.

asyncio keeps weak references to its tasks in a set, whose upkeep costs more than a step. Ours hang
in a native list, and the set that `all_tasks()` iterates shows both, to everybody, whenever it was
imported. Newer Pythons have a list of their own, which our tasks join.
"""

from __future__ import annotations

import weakref
from asyncio import tasks
from itertools import chain

from . import _batonloop as _native_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# To type checkers it has what it has on the newest Python, which is less.
_batonloop: Any = _native_module

# The module global that asyncio's all_tasks() reads: `_all_tasks` in 3.11, then `_scheduled_tasks`.
_NAME = "_scheduled_tasks" if hasattr(tasks, "_scheduled_tasks") else "_all_tasks"


class _Registry(weakref.WeakSet["Any"]):
    """asyncio's own set of tasks, showing ours too. What is added goes to asyncio's part."""

    def __iter__(self) -> Iterator[Any]:
        return chain(super().__iter__(), _batonloop._pending_tasks())

    def __len__(self) -> int:
        return super().__len__() + len(_batonloop._pending_tasks())

    def __contains__(self, item: object) -> bool:
        return super().__contains__(item) or any(
            item is task for task in _batonloop._pending_tasks()
        )

    def discard(self, item: Any) -> None:
        _batonloop._forget_task(item)
        super().discard(item)


def show_tasks() -> None:
    """Let asyncio's set of tasks show ours; once is enough.

    The set stays the same object, which the interpreter holds too, and only changes its class.
    """
    getattr(tasks, _NAME).__class__ = _Registry
