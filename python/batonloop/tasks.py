"""Task and its kin, which are native, and the factories that start tasks eagerly."""

from __future__ import annotations

import sys
from asyncio import get_running_loop, iscoroutine, isfuture
from asyncio.tasks import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    _enter_task,
    _leave_task,
    _register_task,
    _unregister_task,
    as_completed,
    ensure_future,
    run_coroutine_threadsafe,
)

from ._batonloop import (
    Task,
    _holds_coroutine,
    _Waiting,
    all_tasks,
    create_task,
    current_task,
    gather,
    shield,
    sleep,
)
from ._batonloop import _GatheringFuture as _GatheringFuture
from .names import complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Awaitable, Callable, Iterable
    from typing import Any, TypeVar

    _T = TypeVar("_T")
    _F = TypeVar("_F", bound=Future[Any])

__all__: tuple[str, ...] = (
    "Task",
    "create_task",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "ALL_COMPLETED",
    "wait",
    "wait_for",
    "as_completed",
    "sleep",
    "gather",
    "shield",
    "ensure_future",
    "run_coroutine_threadsafe",
    "current_task",
    "all_tasks",
    "_register_task",
    "_unregister_task",
    "_enter_task",
    "_leave_task",
)


async def wait(
    fs: Iterable[_F],
    *,
    timeout: float | None = None,
    return_when: str = ALL_COMPLETED,
) -> tuple[set[_F], set[_F]]:
    """Wait for futures and tasks, and return the set of those that are done and the rest.

    Until all are done or, as `return_when` says, the first one or the first that fails. A timeout
    raises nothing. What is not done runs on.
    """
    if isfuture(fs) or iscoroutine(fs):
        raise TypeError(f"expect a list of futures, not {type(fs).__name__}")
    if not fs:
        raise ValueError("Set of Tasks/Futures is empty.")
    if return_when not in (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
        raise ValueError(f"Invalid return_when value: {return_when}")
    fs = set(fs)
    if _holds_coroutine(fs):
        raise TypeError("Passing coroutines is forbidden, use tasks explicitly.")
    loop = get_running_loop()
    return await _wait(fs, timeout, return_when, loop)


async def _wait(
    fs: set[_F], timeout: float | None, return_when: str, loop: AbstractEventLoop
) -> tuple[set[_F], set[_F]]:
    assert fs, "Set of Futures is empty."
    waiting = _Waiting(fs, timeout, return_when, loop)
    try:
        await waiting.waiter
    finally:
        waiting.end()
    return waiting.sorted()


def _wait_callback(tell: Callable[[Future[Any]], None]) -> Callable[[Future[Any]], None]:
    """What stands among the callbacks of a future that wait() waits for, for those who look."""

    def _on_completion(f: Future[Any]) -> None:
        tell(f)

    _on_completion.__qualname__ = "_wait.<locals>._on_completion"
    return _on_completion


def _shield_callback(
    tell: Callable[[Future[Any]], None], name: str
) -> Callable[[Future[Any]], None]:
    """What stands among the callbacks of the futures of shield(), for those who look."""

    def _done_callback(fut: Future[Any]) -> None:
        tell(fut)

    _done_callback.__name__ = name
    _done_callback.__qualname__ = f"shield.<locals>.{name}"
    return _done_callback


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


complete(globals())
