"""What the figures must reach: one place for the table, the counts and the documentation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """What is asked of one workload on batonloop after install(); None where nothing is asked."""

    times_uvloop: float | None = None
    times_asyncio: float | None = None
    instructions: int | None = None
    is_counted: bool = True
    """Whether count.py counts it without being told to: one of each kind is enough."""


GOALS: dict[str, Goal] = {
    "switch_100": Goal(4.5, 10, 1_250),
    "sleep_zero": Goal(6, 14),
    "create_and_await": Goal(9, 18, 3_300),
    "future_wakeup": Goal(6.5, 14, 3_500),
    "call_soon_chain": Goal(4.5, 12, 2_100),
    "gather_10000": Goal(5.5, 9),
    "wait_for_done": Goal(6, 8, is_counted=False),
    "wait_for_suspended": Goal(5, 8),
    "timeout_done": Goal(6, 8, is_counted=False),
    "timeout_suspended": Goal(5, 8, is_counted=False),
    "taskgroup": Goal(5, 8),
    "queue_handoff": Goal(6, 10),
    "lock_free": Goal(2, 2, is_counted=False),
    "lock_contended": Goal(5, 8),
    "semaphore_free": Goal(2, 2, is_counted=False),
    "semaphore_contended": Goal(5, 8, is_counted=False),
    "event_free": Goal(2, 2, is_counted=False),
    "event_contended": Goal(5, 8, is_counted=False),
    "condition_free": Goal(2, 2, is_counted=False),
    "condition_contended": Goal(5, 8, is_counted=False),
    "stream_readline": Goal(3.5, 3.5),
    "stream_readexactly": Goal(3.5, 3.5, is_counted=False),
    "stream_read": Goal(3.5, 3.5, is_counted=False),
    "timer_cancel": Goal(6, 12),
    "timer_cancel_million": Goal(5, 8),
    "await_task_depth": Goal(9, 17, 33_000),
    # The loop has no part in this one: the same as anywhere, within two per cent.
    "await_coroutine_depth": Goal(0.98, 0.98),
    "executor_nothing": Goal(1),
    "to_thread": Goal(1, 1.5),
    "threadsafe_burst": Goal(2),
}


@dataclass(frozen=True)
class NetworkGoal:
    """What is asked of one line of the network's tables; None where nothing is asked."""

    name: str
    sizes: tuple[int, ...] = ()
    """Bytes of a message; empty: any."""
    connections: tuple[int, ...] = ()
    """How many at a time; empty: any number."""
    share_of_raw: float | None = None
    times_uvloop: float | None = None
    times_asyncio: float | None = None
    at_most: float | None = None
    """In the unit of the line."""


SMALL = (64, 1024)
NETWORK: tuple[NetworkGoal, ...] = (
    NetworkGoal("protocol_echo", SMALL, (50,), 0.90, 1.4, 2.3),
    NetworkGoal("protocol_echo", SMALL, (1,), 0.92),
    NetworkGoal("protocol_echo", (16 * 1024,), (50,), 0.89),
    NetworkGoal("protocol_echo", (100 * 1024,), (1,), 0.94),
    NetworkGoal("buffered_echo", (*SMALL, 16 * 1024), (50,), times_uvloop=1.2),
    NetworkGoal("sock_echo", SMALL, (50,), times_uvloop=2.8, times_asyncio=4),
    NetworkGoal("streams_echo", (1024,), (50,), times_uvloop=2.0, times_asyncio=2.8),
    NetworkGoal("streams_echo", (1024,), (1,), times_uvloop=1.8, times_asyncio=2.7),
    NetworkGoal("tls_echo", (1024,), (50,), times_uvloop=1.6),
    NetworkGoal("tls_echo", (100 * 1024,), times_uvloop=1.25),
    NetworkGoal("tls_handshake", times_uvloop=1.1),
    # 1.15 times the cost of the raw server.
    NetworkGoal("accept_close", connections=(50,), share_of_raw=1 / 1.15),
    NetworkGoal("idle", at_most=0.6),
    NetworkGoal("streams_idle", at_most=2),
    # 1.2 times the cost of posix_spawn and a pidfd.
    NetworkGoal("spawn_true", share_of_raw=1 / 1.2, times_uvloop=3),
    NetworkGoal("uvicorn_hello", times_uvloop=1.1),
    NetworkGoal("aiohttp_hello", times_uvloop=1.05),
)

NETWORK_INSTRUCTIONS: dict[str, int] = {"protocol_echo": 1_900}
"""User instructions of one request of 1 KiB, ten connections at a time."""


def of_network(name: str, size: int | None, connections: int | None) -> NetworkGoal:
    """The goal of a line; an empty one where nothing is asked."""
    for goal in NETWORK:
        fits = goal.name == name and (not goal.sizes or size in goal.sizes)
        if fits and (not goal.connections or connections in goal.connections):
            return goal
    return NetworkGoal(name)


SUITE = {"uvloop": 1.5, "asyncio": 2.0}
"""The geometric mean of pyperformance's async benchmarks, times faster than each."""

GOAL_PYTHONS = ((3, 12), (3, 13))
"""Where the ratios are promised."""
INSTRUCTION_PYTHON = (3, 12)
"""Where the instruction goals are promised; other versions compile other bytecode."""

NOT_BEHIND = 0.98
"""No row of ours may be behind any other loop; so much is the noise of a median."""

NETWORK_NOT_BEHIND = 0.95
"""The same for a line of the network's tables, ..."""
WANDERING_NOT_BEHIND = 0.85
"""... and for one whose memory does not fit into the caches: there repeats differ so much."""

PENDING_TASK_BYTES = 330
IMPORT_MS = 15.0
LATENESS_MEDIAN_US = 100.0
