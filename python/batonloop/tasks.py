"""Task and its kin, which are native, and the factories that start tasks eagerly."""

from __future__ import annotations

import sys
from asyncio import ensure_future

from ._batonloop import (
    Task,
    all_tasks,
    create_task,
    current_task,
    gather,
    sleep,
)
from ._batonloop import (
    _GatheringFuture as _GatheringFuture,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Awaitable, Callable
    from typing import Any, TypeVar

    _T = TypeVar("_T")

__all__: tuple[str, ...] = (
    "Task",
    "create_task",
    "gather",
    "sleep",
    "wait_for",
    "ensure_future",
    "current_task",
    "all_tasks",
)


def _gather_callback(tell: Callable[[Future[Any]], None]) -> Callable[[Future[Any]], None]:
    """What stands among the callbacks of a child of gather(), for those who look."""

    def _done_callback(fut: Future[Any]) -> None:
        tell(fut)

    _done_callback.__qualname__ = "gather.<locals>._done_callback"
    return _done_callback


if sys.version_info >= (3, 12):
    from ._batonloop import wait_for
else:
    from asyncio import wait_for

if sys.version_info >= (3, 12):
    # It serves any constructor, ours included, and passes on what the running Python passes on.
    from asyncio import create_eager_task_factory

    __all__ += ("create_eager_task_factory", "eager_task_factory")

    eager_task_factory = create_eager_task_factory(Task)
    eager_task_factory.__doc__ = """Make a task that takes its first step at once.

For loop.set_task_factory(). The step runs inside create_task(); a coroutine that never waits is
done when create_task() returns, and the loop never hears of it."""


async def _awaiting(awaitable: Awaitable[_T]) -> _T:
    """What awaits anything, for the native half."""
    return await awaitable
