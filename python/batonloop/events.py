"""Handles, which are native, and the making of loops. The rest is asyncio's own."""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
from asyncio import events as _asyncio_events
from asyncio.events import (
    AbstractEventLoop,
    AbstractServer,
    _get_running_loop,
    _set_running_loop,
    get_event_loop_policy,
    get_running_loop,
    set_event_loop,
    set_event_loop_policy,
)

from ._batonloop import Handle, TimerHandle
from .names import complete
from .unix_events import EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__: tuple[str, ...] = (
    "AbstractEventLoop",
    "AbstractServer",
    "Handle",
    "TimerHandle",
    "get_event_loop_policy",
    "set_event_loop_policy",
    "get_event_loop",
    "set_event_loop",
    "new_event_loop",
    "_set_running_loop",
    "get_running_loop",
    "_get_running_loop",
)

if sys.version_info < (3, 14):
    from asyncio.events import AbstractEventLoopPolicy, get_child_watcher, set_child_watcher

    __all__ += ("AbstractEventLoopPolicy", "get_child_watcher", "set_child_watcher")

_Guarded = getattr(_asyncio_events, "_ThreadSafeHandle", None)
_ThreadSafeHandle: Any = None

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


if sys.version_info >= (3, 14):
    # No loop is made there.
    from asyncio.events import get_event_loop
else:

    def get_event_loop() -> asyncio.AbstractEventLoop:
        """Return the running loop, or else the one that is current in this thread.

        As asyncio's, but for the loop that the default policy makes in the main thread if there
        is none: it is a `batonloop.EventLoop`. The policy warns of that as it does in asyncio.
        """
        running = _get_running_loop()
        if running is not None:
            return running
        policy = get_event_loop_policy()
        if type(policy) is asyncio.DefaultEventLoopPolicy and _makes_loop(policy):
            if sys.version_info >= (3, 12):
                message = "There is no current event loop"
                warnings.warn(message, DeprecationWarning, stacklevel=2)
            policy.set_event_loop(new_event_loop())
        return policy.get_event_loop()


def _makes_loop(policy: object) -> bool:
    """Whether asyncio's policy would make a loop, were it asked for the current one now."""
    local = getattr(policy, "_local", None)
    return (
        getattr(local, "_loop", 0) is None
        and not getattr(local, "_set_called", True)
        and threading.current_thread() is threading.main_thread()
    )


complete(globals())
