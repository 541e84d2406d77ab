"""Python's asyncio, built anew in Rust.

`python -m batonloop prog.py` runs an asyncio program on it unchanged. In a program of your own:

- `batonloop.run(main())` runs a coroutine, as `asyncio.run()` does;
- `batonloop.install()` makes asyncio's own names stand for those of this package;
- `batonloop.new_event_loop` goes wherever a loop factory is asked for.

Locks and queues are native too. Exceptions, timeouts, streams and all other names are asyncio's:
they work as they are.
"""

from __future__ import annotations

import sys

from . import _batonloop, unix_events
from .events import Handle, TimerHandle, new_event_loop
from .futures import Future, isfuture, wrap_future
from .installation import install, uninstall
from .locks import Barrier, BoundedSemaphore, Condition, Event, Lock, Semaphore
from .queues import LifoQueue, PriorityQueue, Queue, QueueEmpty, QueueFull
from .runners import Runner, run
from .tasks import (
    Task,
    all_tasks,
    as_completed,
    create_task,
    current_task,
    ensure_future,
    gather,
    run_coroutine_threadsafe,
    shield,
    sleep,
    wait,
)
from .unix_events import EventLoop

__version__: str = _batonloop.__version__

__all__: tuple[str, ...] = (
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "EventLoop",
    "Future",
    "Handle",
    "LifoQueue",
    "Lock",
    "PriorityQueue",
    "Queue",
    "QueueEmpty",
    "QueueFull",
    "Runner",
    "Semaphore",
    "Task",
    "TimerHandle",
    "all_tasks",
    "as_completed",
    "create_task",
    "current_task",
    "ensure_future",
    "gather",
    "install",
    "isfuture",
    "new_event_loop",
    "run",
    "run_coroutine_threadsafe",
    "shield",
    "sleep",
    "uninstall",
    "wait",
    "wrap_future",
)

if hasattr(unix_events, "EventLoopPolicy"):
    from .unix_events import EventLoopPolicy

    __all__ += ("EventLoopPolicy",)

if sys.version_info >= (3, 12):
    from .tasks import create_eager_task_factory, eager_task_factory

    __all__ += ("create_eager_task_factory", "eager_task_factory")

if sys.version_info >= (3, 13):
    from .queues import QueueShutDown

    __all__ += ("QueueShutDown",)
