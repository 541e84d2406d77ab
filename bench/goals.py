"""What the figures must reach: one place for the table, the counts and the documentation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """What is asked of one workload on batonloop after install(); None where nothing is asked."""

    times_uvloop: float | None = None
    times_asyncio: float | None = None
    instructions: int | None = None


GOALS: dict[str, Goal] = {
    "switch_100": Goal(4.5, 10, 1_250),
    "sleep_zero": Goal(6, 14),
    "create_and_await": Goal(9, 18, 3_300),
    "future_wakeup": Goal(6.5, 14, 3_500),
    "call_soon_chain": Goal(4.5, 12, 2_100),
    "timer_cancel": Goal(6, 12),
    "timer_cancel_million": Goal(5, 8),
    "await_task_depth": Goal(9, 17, 33_000),
    # The loop has no part in this one: the same as anywhere, within two per cent.
    "await_coroutine_depth": Goal(0.98, 0.98),
}

GOAL_PYTHONS = ((3, 12), (3, 13))
"""Where the ratios are promised."""
INSTRUCTION_PYTHON = (3, 12)
"""Where the instruction goals are promised; other versions compile other bytecode."""

NOT_BEHIND = 0.98
"""No row of ours may be behind any other loop; so much is the noise of a median."""

PENDING_TASK_BYTES = 330
IMPORT_MS = 15.0
LATENESS_MEDIAN_US = 100.0
