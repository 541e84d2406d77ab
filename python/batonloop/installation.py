"""Putting our names in the place of asyncio's, and asyncio's back.

Nothing happens at import: only a program that calls `install()` sees asyncio changed.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from asyncio import events as _asyncio_events
from asyncio import futures as _asyncio_futures
from asyncio import locks as _asyncio_locks
from asyncio import queues as _asyncio_queues
from asyncio import runners as _asyncio_runners
from asyncio import streams as _asyncio_streams
from asyncio import subprocess as _asyncio_subprocess
from asyncio import taskgroups as _asyncio_taskgroups
from asyncio import tasks as _asyncio_tasks
from asyncio import timeouts as _asyncio_timeouts
from asyncio import unix_events as _asyncio_unix_events
from types import ModuleType

from . import (
    events,
    futures,
    locks,
    queues,
    runners,
    streams,
    subprocess,
    taskgroups,
    tasks,
    timeouts,
    unix_events,
)
from .names import with_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ("install", "uninstall")


class _Change:
    """A name, what it stands for, and what it is to stand for."""

    __slots__ = ("name", "new", "old")

    def __init__(self, name: str, old: Any, new: Any) -> None:
        self.name = name
        self.old = old
        self.new = new

    def reversed(self) -> _Change:
        return _Change(self.name, self.new, self.old)

    def apply(self, module: ModuleType) -> None:
        """Bind the name in a module anew, if it stands there for what it is expected to."""
        namespace = _namespace(module)
        if namespace.get(self.name) is self.old:
            namespace[self.name] = self.new


class _Installed:
    """What `uninstall()` has to undo, beside asyncio's own names."""

    __slots__ = ("policies", "rebound")

    def __init__(self, policies: tuple[Any, Any] | None) -> None:
        # The policy before ours, and ours; None where the running Python has no policies.
        self.policies = policies
        # The changes made to modules that are not asyncio's.
        self.rebound: list[tuple[weakref.ref[ModuleType], _Change]] = []


def _changes() -> Iterator[_Change]:
    homes: tuple[tuple[Any, Any, tuple[str, ...]], ...] = (
        (_asyncio_events, events, ("Handle", "TimerHandle", "new_event_loop")),
        (_asyncio_futures, futures, ("Future",)),
        (_asyncio_locks, locks, ("Lock", "Event", "Condition", "Barrier")),
        (_asyncio_locks, locks, ("Semaphore", "BoundedSemaphore")),
        (_asyncio_queues, queues, ("Queue", "PriorityQueue", "LifoQueue")),
        (_asyncio_runners, runners, ("Runner", "run")),
        (_asyncio_streams, streams, ("StreamReader", "StreamWriter", "StreamReaderProtocol")),
        (_asyncio_streams, streams, ("open_connection", "start_server")),
        (_asyncio_streams, streams, ("open_unix_connection", "start_unix_server")),
        (_asyncio_subprocess, subprocess, ("create_subprocess_exec", "create_subprocess_shell")),
        (_asyncio_subprocess, subprocess, ("SubprocessStreamProtocol",)),
        (_asyncio_taskgroups, taskgroups, ("TaskGroup",)),
        (_asyncio_tasks, tasks, ("Task", "create_task", "sleep", "current_task", "all_tasks")),
        (_asyncio_tasks, tasks, ("gather", "_GatheringFuture", "shield", "wait", "_wait")),
        (_asyncio_tasks, tasks, ("wait_for",)),
        (_asyncio_tasks, tasks, ("create_eager_task_factory", "eager_task_factory")),
        (_asyncio_timeouts, timeouts, ("Timeout", "timeout", "timeout_at")),
        (_asyncio_unix_events, unix_events, ("EventLoop", "SelectorEventLoop")),
    )
    for theirs, ours, names in homes:
        for name in names:
            if hasattr(theirs, name):
                yield _Change(name, getattr(theirs, name), getattr(ours, name))
    policy = getattr(unix_events, "EventLoopPolicy", None)
    for name in ("DefaultEventLoopPolicy", "_DefaultEventLoopPolicy"):
        if hasattr(_asyncio_unix_events, name):
            yield _Change(name, getattr(_asyncio_unix_events, name), policy)


# asyncio's writer asks whether its reader is what the name stands for now, which is ours after
# install(); a module that took both names earlier goes on with asyncio's.
_StreamWriter: Any = _asyncio_streams.StreamWriter
_WRITER_INIT = _StreamWriter.__init__
_WRITER_INIT_FOR_BOTH = with_names(
    _WRITER_INIT, {"StreamReader": (_asyncio_streams.StreamReader, streams.StreamReader)}
)


def _set_writer_init(old: Any, new: Any) -> None:
    if vars(_StreamWriter).get("__init__") is old:
        _StreamWriter.__init__ = new


# What the names stand for when batonloop is imported. At install() another library might have
# replaced one of them, and it is not for us to take that away.
_CHANGES = tuple(_changes())

_lock = threading.Lock()
_installed: _Installed | None = None


def install(*, rebind: bool = False) -> None:
    """Make asyncio's names stand for ours, in the whole process, until `uninstall()`.

    In `asyncio` and its submodules these become ours: Task, Future, Handle, TimerHandle,
    create_task, current_task, all_tasks, sleep, gather, wait, shield, run, Runner,
    new_event_loop; from 3.12 on wait_for, create_eager_task_factory and eager_task_factory; from
    3.13 on EventLoop; the locks, queues, timeouts and task groups; the streams, and what opens
    them, child processes included. Where the running Python has event loop policies, ours is set,
    and it becomes the default one too: policies that derive from the default after this call make
    our loops. Handle and TimerHandle become ours in `asyncio` alone: asyncio's own loops go on
    with theirs from `asyncio.events`.

    SelectorEventLoop becomes a stand-in that makes our loops, and asyncio's where it is given a
    selector or derived from: servers call it for a loop. Three names need no change:
    ensure_future, isfuture and wrap_future are asyncio's here as there.

    Modules that took names from asyncio before this call keep what they have; that is correct,
    only slower. With `rebind` such names are bound anew as well, in every loaded module that
    holds one of the replaced objects under whatever name.

    To install twice is to install once; a loop that runs already stays what it is.
    """
    global _installed
    with _lock:
        if _installed is None:
            for module, change in _places():
                change.apply(module)
            _set_writer_init(_WRITER_INIT, _WRITER_INIT_FOR_BOTH)
            _installed = _Installed(_set_policy())
            events._policy_decides = True
        if rebind:
            _installed.rebound.extend(_rebind())


def uninstall() -> None:
    """Undo `install()`: every name, and the policy, are what they were before.

    What somebody else has changed since stays as it is. Loops, tasks and futures that exist go
    on working. Without an `install()` before it, this does nothing.
    """
    global _installed
    with _lock:
        if _installed is None:
            return
        # All of asyncio's modules, not only those of install(): one that was imported since has
        # taken over what it found.
        for module, change in _places():
            change.reversed().apply(module)
        for reference, change in _installed.rebound:
            holder = reference()
            if holder is not None:
                change.reversed().apply(holder)
        _set_writer_init(_WRITER_INIT_FOR_BOTH, _WRITER_INIT)
        _restore_policy(_installed.policies)
        events._policy_decides = False
        _installed = None


def _asyncio_modules() -> list[ModuleType]:
    return [
        module
        for name, module in list(sys.modules.items())
        if (name == "asyncio" or name.startswith("asyncio.")) and _is_module(module)
    ]


def _places() -> Iterator[tuple[ModuleType, _Change]]:
    """Every name in every module of asyncio's that is to be changed."""
    for module in _asyncio_modules():
        for change in _CHANGES:
            # asyncio.events keeps its handles: their own methods tell by these names what they
            # may be compared to, and asyncio's loops, one of which may be running, make theirs
            # of them.
            if module is not _asyncio_events or not change.name.endswith("Handle"):
                yield module, change


def _is_module(thing: object) -> bool:
    # By the type alone: a stand-in for a module may answer isinstance() with anything, or import
    # half a library to find an answer.
    return issubclass(type(thing), ModuleType)


def _namespace(module: ModuleType) -> dict[str, Any]:
    """A module's names, without waking what lazy modules do when an attribute is asked for."""
    namespace: dict[str, Any] = object.__getattribute__(module, "__dict__")
    return namespace


def _rebind() -> Iterator[tuple[weakref.ref[ModuleType], _Change]]:
    """Bind asyncio's objects anew in all other modules, and tell what was changed."""
    # In asyncio EventLoop is a second name of SelectorEventLoop: the one that comes last here
    # serves under any other name.
    replacements = {id(change.old): change for change in _CHANGES}
    by_name = {(id(change.old), change.name): change for change in _CHANGES}
    kept = {id(module) for module in _asyncio_modules()}
    for name, module in list(sys.modules.items()):
        # _asyncio is where asyncio's own objects come from, and stays their home.
        if name == "_asyncio" or name.partition(".")[0] == __package__:
            continue
        if not _is_module(module) or id(module) in kept:
            continue
        for attribute, value in list(_namespace(module).items()):
            found = by_name.get((id(value), attribute)) or replacements.get(id(value))
            if found is None or attribute == "_UnixSelectorEventLoop":
                # Who takes that name wants the implementation.
                continue
            change = _Change(attribute, found.old, found.new)
            change.apply(module)
            yield weakref.ref(module), change


def _set_policy() -> tuple[Any, Any] | None:
    """Set our event loop policy; return the one before, and ours."""
    policy = getattr(unix_events, "EventLoopPolicy", None)
    if policy is None:
        return None
    before = getattr(_asyncio_events, "_event_loop_policy", None)
    ours = policy()
    if type(before) in (policy.__base__, policy):
        # Which loop is current in which thread is the policy's to know.
        vars(ours).update(vars(before))
    _put_policy(ours)
    return before, ours


def _restore_policy(policies: tuple[Any, Any] | None) -> None:
    if policies is None:
        return
    before, ours = policies
    if getattr(_asyncio_events, "_event_loop_policy", None) is ours:
        _put_policy(before)


def _put_policy(policy: Any) -> None:
    # From 3.14 on the public function warns that policies are to go.
    put = getattr(_asyncio_events, "_set_event_loop_policy", None)
    (put or asyncio.set_event_loop_policy)(policy)
