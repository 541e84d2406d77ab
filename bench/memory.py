"""Bytes of memory for each pending task with its context, in a process of its own; prints JSON.

A hundred thousand coroutines and as many futures exist before the first look; then each coroutine
becomes a task that is suspended on its future. What memory grew by is the task's: the task, the
copy of the context, what the future remembers of its waiter, what the loop or the module keeps to
list the task. The coroutine's frame and the future, which the program made, are not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import os
import sys
from collections.abc import Callable

import loops

TASKS = 100_000
AT_A_TIME = 100
"""So few handles are queued at once that what they leave behind does not count as the tasks'."""


async def suspend(future: asyncio.Future[None]) -> None:
    """Wait for good."""
    await future


async def grow(look: Callable[[], int]) -> float:
    """Make the tasks and say what each added to what ``look`` sees."""
    loop = asyncio.get_running_loop()
    # The first task of a process fills caches and imports; it must not be charged to the others.
    warm: asyncio.Future[None] = loop.create_future()
    first = asyncio.create_task(suspend(warm))
    await asyncio.sleep(0)
    futures: list[asyncio.Future[None]] = [loop.create_future() for _ in range(TASKS)]
    coroutines = [suspend(future) for future in futures]
    tasks: list[asyncio.Task[None] | None] = [None] * TASKS
    gc.collect()
    before = look()
    for start in range(0, TASKS, AT_A_TIME):
        for i in range(start, start + AT_A_TIME):
            tasks[i] = asyncio.create_task(coroutines[i])
        await asyncio.sleep(0)
    gc.collect()
    after = look()
    warm.set_result(None)
    await first
    return (after - before) / TASKS


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class MallocState(ctypes.Structure):
    """What mallinfo2(3) returns."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def in_use() -> int:
    """Bytes that malloc has given out: exact, and complete where PYTHONMALLOC=malloc is set."""
    function = ctypes.CDLL(None).mallinfo2
    function.restype = MallocState
    state = function()
    return int(state.uordblks) + int(state.hblkhd)


def main() -> int:
    """Measure one loop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", choices=loops.CONTESTANTS)
    parser.add_argument("--exact", action="store_true", help="ask malloc instead of the kernel")
    parser.add_argument("--cpu", type=int, help="the CPU to be pinned to")
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    try:
        loop = loops.open_loop(options.loop)
        each = loop.run_until_complete(grow(in_use if options.exact else resident))
        answer: dict[str, object] = {"bytes": each}
    except loops.MISSING as error:
        answer = {"missing": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
