"""The workloads, in the order of the table: each is a file with one idea.

A workload is a module with

- ``TITLE``: what a reader of the table sees;
- ``async def run(count)``: does the operation ``count`` times, and knows of no particular loop;
- ``MULTIPLE`` (optional): ``count`` is rounded up to a multiple of it;
- ``def prepare(loop)`` (optional): what must exist before the start, kept alive till the end;
- ``SINCE`` (optional): the first Python that has what the workload uses.

All of them reach asyncio through the module (``asyncio.create_task``), as most programs do, so that
a loop which offers its own functions under those names is measured with them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

NAMES: tuple[str, ...] = (
    "switch_100",
    "switch_100_awaitable",
    "switch_1",
    "sleep_zero",
    "create_and_await",
    "future_wakeup",
    "ping_pong",
    "await_done_future",
    "call_soon_chain",
    "call_soon_flood",
    "timer_cancel",
    "timer_cancel_million",
    "await_task_depth",
    "await_coroutine_depth",
    "gather_10000",
    "queue_handoff",
    "lock_free",
    "lock_contended",
    "semaphore_free",
    "semaphore_contended",
    "event_free",
    "event_contended",
    "condition_free",
    "condition_contended",
    "stream_readline",
    "stream_readexactly",
    "stream_read",
    "taskgroup",
    "timeout_block",
    "timeout_done",
    "timeout_suspended",
    "wait_for_done",
    "wait_for_suspended",
    "eager_task",
    "executor_nothing",
    "to_thread",
    "threadsafe_burst",
    "sleepers_2000",
)
"""Those whose figure is CPU time per operation; ``timer_lateness`` stands apart."""


class Workload(Protocol):
    """What a module in this package looks like from outside."""

    TITLE: str
    run: Callable[[int], Coroutine[Any, Any, None]]


def load(name: str) -> Workload:
    """Import the workload called ``name``."""
    workload: Any = importlib.import_module(f"{__name__}.{name}")
    return cast(Workload, workload)


def since(name: str) -> tuple[int, int]:
    """The first Python that can run the workload called ``name``."""
    first: tuple[int, int] = getattr(load(name), "SINCE", (3, 0))
    return first
