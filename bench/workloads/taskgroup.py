"""``asyncio.TaskGroup`` of 100 tasks that do nothing; an operation is a task."""

from __future__ import annotations

import asyncio

TITLE = "asyncio.TaskGroup of 100 tasks, per task"
SINCE = (3, 11)
TASKS = 100


async def nothing() -> None:
    """Return at once."""


async def run(count: int) -> None:
    """Make ``count`` tasks, 100 in a group."""
    for _ in range(count // TASKS):
        async with asyncio.TaskGroup() as group:
            for _ in range(TASKS):
                group.create_task(nothing())
