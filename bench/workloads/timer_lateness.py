"""How late a timer fires on a loop with nothing else to do, in ns; below zero is too early.

It is reported, not raced: the figure is a property of how a loop waits, not of how fast it is.
"""

from __future__ import annotations

import asyncio
import time

TITLE = "timer lateness, idle loop"
DELAYS_NS: dict[str, tuple[int, ...]] = {
    "below 1 ms": (100_000, 250_000, 400_000, 700_000),
    "1 to 6 ms": (1_000_000, 1_300_000, 2_600_000, 5_450_000),
}


async def lateness(delay_ns: int) -> int:
    """Start one timer and say how long after its deadline it fired."""
    loop = asyncio.get_running_loop()
    fired: asyncio.Future[int] = loop.create_future()

    def note() -> None:
        fired.set_result(time.perf_counter_ns())

    started = time.perf_counter_ns()
    loop.call_later(delay_ns / 1e9, note)
    return await fired - started - delay_ns


async def run(count: int) -> dict[str, list[int]]:
    """Measure each delay ``count`` times; the answer has one list for each group of delays."""
    late: dict[str, list[int]] = {group: [] for group in DELAYS_NS}
    for _ in range(count):
        for group, delays in DELAYS_NS.items():
            for delay_ns in delays:
                late[group].append(await lateness(delay_ns))
    return late
