"""The worlds in which a program is executed.

A world is a loop class and the names that a program finds in `asyncio`. Its loop keeps virtual
time: `time()` says what the execution wants, so that nothing waits and nothing depends on the
machine.
"""

from __future__ import annotations

import asyncio
import asyncio.staggered
import contextlib
import importlib
import inspect
import re
import sys
from asyncio import futures, tasks
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Ordered(dict[Any, None]):
    """In the place of sets inside asyncio: those are walked in the order of addresses."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        super().__init__(dict.fromkeys(items))

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        self.pop(item, None)

    remove = dict.__delitem__


def ordered_as_completed() -> Any:
    """asyncio's as_completed(), whose set is walked in an order: it is written as a literal."""
    parts = [getattr(asyncio.tasks, "_AsCompletedIterator", None), asyncio.as_completed]
    text = "\n".join(inspect.getsource(part) for part in parts if part)
    text, count = re.subn(r"\{(ensure_future\(.* for .*)\}", r"set(\1)", text)
    assert count == 1
    names = {**vars(asyncio.tasks), "set": Ordered}
    exec(compile(text, asyncio.tasks.__file__, "exec"), names)
    return names["as_completed"]


# asyncio's own, taken before anything can put others in their place.
STOCK: dict[str, Any] = {
    name: getattr(asyncio, name) for name in asyncio.__all__ if hasattr(asyncio, name)
}
STOCK["CancelledError"] = asyncio.CancelledError
STOCK["as_completed"] = ordered_as_completed()
STOCK["staggered_race"] = asyncio.staggered.staggered_race
StockLoop = asyncio.SelectorEventLoop
PlainFuture: Any = futures._PyFuture  # type: ignore[attr-defined]
PlainTask: Any = tasks._PyTask  # type: ignore[attr-defined]


class Names:
    """What a program calls `asyncio`: asyncio with some names of another implementation."""

    def __init__(self, **others: Any) -> None:
        self.__dict__.update(STOCK)
        self.__dict__.update(others)


class World:
    """How programs are executed: which loop, which Task, which names."""

    def __init__(
        self,
        name: str,
        loop_class: Any = StockLoop,
        names: Names | None = None,
        prepare: Callable[[Any], None] | None = None,
        alike: Callable[[str], str] | None = None,
        tells_context: bool = True,
    ) -> None:
        self.name = name
        # Makes messages the same that are known to differ from those of asyncio.
        self.alike = alike
        # Whether exceptions have the same context as in asyncio.
        self.tells_context = tells_context
        self.asyncio: Any = names or Names()
        self._prepare = prepare
        self._loop_class = type("VirtualLoop", (VirtualTime, loop_class), {})

    def __repr__(self) -> str:
        return f"<world {self.name}>"

    def new_loop(self) -> Any:
        """A loop whose time stands at 0."""
        loop = self._loop_class()
        if self._prepare:
            self._prepare(loop)
        return loop


class VirtualTime:
    """Mixed into a loop class: its time is an attribute."""

    now = 0.0

    def time(self) -> float:
        return self.now


@contextlib.contextmanager
def common_accounts() -> Iterator[None]:
    """Make the Task in Python share the accounts of the current task and of all tasks.

    From 3.14 on it has its own, which asyncio.timeout() and the like do not see.
    """
    changed = []
    if sys.version_info >= (3, 14):
        changed = [(f"_py_{name}", getattr(tasks, f"_c_{name}")) for name in _ACCOUNTS]
    before = [(name, getattr(tasks, name)) for name, _ in changed]
    vars(tasks).update(changed)
    try:
        yield
    finally:
        vars(tasks).update(before)


_ACCOUNTS = (
    "enter_task",
    "leave_task",
    "swap_current_task",
    "register_task",
    "unregister_task",
    "register_eager_task",
    "unregister_eager_task",
)


def stock() -> World:
    """asyncio as it is, with Future and Task in C."""
    return World("asyncio")


def plain(
    task: Any = PlainTask,
    future: Any = PlainFuture,
    loop: Any = StockLoop,
    name: str = "plain",
    **others: Any,
) -> World:
    """asyncio with Future and Task in Python; others may stand in for these, and for any name."""

    class PlainLoop(loop):  # type: ignore[misc]
        def create_future(self) -> Any:
            return future(loop=self)

    def prepare(loop: Any) -> None:
        loop.set_task_factory(lambda loop, coro, **options: task(coro, loop=loop, **options))

    names = Names(Task=task, Future=future, **others)
    if sys.version_info >= (3, 12):
        names.eager_task_factory = asyncio.create_eager_task_factory(task)  # type: ignore
    return World(name, PlainLoop, names, prepare, _plain_alike, tells_context=False)


# Where asyncio's twin in Python and the one in C use other words for the same.
_SAME_MESSAGES = (
    (re.compile(r"^Result is not ready\.$"), "Result is not set."),
    (re.compile(r"^(PENDING|FINISHED|CANCELLED): ~$"), "invalid state"),
    # A task that yields itself without a word; only the twin in C looks for that first.
    (re.compile(r"^Task cannot await on itself: ~$"), "yield was misused"),
    (re.compile(r"^yield was used instead of yield from in task ~ with ~$"), "yield was misused"),
)


# And the Task in Python takes a step inside `except` when an exception has woken it, so what is
# raised in that step gets this exception for its context; in C it does not.


def _plain_alike(text: str) -> str:
    for pattern, common in _SAME_MESSAGES:
        text = pattern.sub(common, text)
    return text


def batonloop() -> World:
    """batonloop's loop and all names that it offers."""
    ours = importlib.import_module("batonloop")
    loop_makers = {"run", "EventLoop", "new_event_loop", "EventLoopPolicy"}
    offered = {n: getattr(ours, n) for n in STOCK if n not in loop_makers and hasattr(ours, n)}
    # This is asyncio's own with us, too.
    assert offered["as_completed"] is asyncio.as_completed
    offered["as_completed"] = STOCK["as_completed"]
    offered["staggered_race"] = ours.staggered.staggered_race
    return World("batonloop", ours.EventLoop, Names(**offered))


def batonloop_loop_only() -> World:
    """batonloop's loop below asyncio's own names, as for a program that imported them before."""
    ours = importlib.import_module("batonloop")
    return World("batonloop, the loop only", ours.EventLoop)
