"""Handles, which are native, and the making of loops."""

from __future__ import annotations

import asyncio
import threading
from asyncio import events as _asyncio_events

from ._batonloop import Handle, TimerHandle
from .unix_events import EventLoop

__all__ = ("Handle", "TimerHandle", "new_event_loop")

_Guarded = getattr(_asyncio_events, "_ThreadSafeHandle", None)
_ThreadSafeHandle = None

if _Guarded is not None:

    class _ThreadSafeHandle(_Guarded, Handle):  # type: ignore[misc, no-redef, valid-type]
        """What call_soon_threadsafe() returns, from 3.14 on.

        While the loop runs the callback, cancel() and cancelled() in other threads wait: the
        methods that see to it are asyncio's. What its `_run` does, the loop does natively.
        """

        __slots__ = ()


# While install() is in force new_event_loop() stands in for asyncio's, which asks the policy.
_policy_decides = False
# The policy that new_event_loop() is asking in this thread.
_asked = threading.local()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new, open `batonloop.EventLoop`; it does not become the thread's current one.

    While `install()` is in force, and the running Python has policies, the program's policy
    decides as it does for `asyncio.new_event_loop()`. That is ours unless the program sets
    another one; such a policy may call this function for the loop that it returns.
    """
    policy = getattr(_asyncio_events, "_event_loop_policy", None) if _policy_decides else None
    if policy is None or getattr(_asked, "policy", None) is policy:
        return EventLoop()
    _asked.policy = policy
    try:
        loop: asyncio.AbstractEventLoop = policy.new_event_loop()
        return loop
    finally:
        _asked.policy = None
