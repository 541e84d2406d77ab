"""A loop for tests, whose time costs nothing: an hour of timeouts takes milliseconds.

```python
from batonloop import testing

testing.run(main())     # as asyncio.run(), but nobody waits for timers
```

Its `time()` begins at 0 and stands still while anything runs. When nothing is ready any more, the
loop looks at the descriptors that it watches, and if those have nothing to tell either, its time
jumps to the next timer. So timers run in their order, each at exactly its time, and between two of
them everything else comes to rest.

Time does not jump past what really takes time, outside the loop: calls in an executor, names that
are looked up, child processes that have not ended, and all that a program does inside
`with loop.outside():`. While one of these is awaited the loop really sleeps, and a timer comes when
it would have come on a clock.

Who talks to the loop by sockets and pipes is mostly in the same loop, and then the kernel has the
bytes at once. It gets `patience` seconds more before time jumps, if descriptors are watched at all.
A test that talks to another process that is no child of its own gives it more, or uses `outside()`.

A loop that has nothing to wait for would wait for ever. This one raises `Deadlock`, which says what
each task waits for. (If descriptors are watched or other threads run, it first waits a second.)

Only the loop's time is made up: `time.time()` and `time.monotonic()` are what they are. And because
time stands still while anything runs, a task that looks again and again, by `sleep(0)`, whether a
timer has come, looks for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time

from .runners import run as _run
from .unix_events import EventLoop as _EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any, Self, TypeVar, TypeVarTuple

    _T = TypeVar("_T")
    _Ts = TypeVarTuple("_Ts")

__all__ = ("Deadlock", "EventLoop", "describe_task", "new_event_loop", "run")

# How long the kernel has to deliver bytes between two sockets of one process, in seconds.
_PATIENCE = 0.001

# How many coroutines that await each other are looked through for the innermost.
_DEEPEST = 1000
_NATIVE = "<batonloop>"  # What the code of a native coroutine has for a file.

# How long somebody whom we do not know may take to end a deadlock, in seconds.
_LAST_CHANCE = 1.0


class Deadlock(RuntimeError):
    """Nothing is ready, nothing is scheduled, and nobody is there who could change that.

    Its message has a line for each task that waits: where, and for what.
    """


class EventLoop(_EventLoop):
    """A `batonloop.EventLoop` whose time jumps to the next timer when nothing is ready.

    `patience` is how many real seconds descriptors have to become ready before time jumps. With
    `math.inf` time never jumps while any are watched, beyond those of the loop itself.
    """

    __slots__ = ("_due", "_now", "_outside", "_patience", "_waiting_since")

    # The loop's time, in seconds.
    _now: float
    # When the next timer is due that the loop really waits for, and since when it does so by the
    # real clock; None if it does not.
    _due: float | None
    _waiting_since: float | None
    _patience: float
    # For each thing outside that is awaited: whether it is over.
    _outside: list[Callable[[], bool]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self._now = 0.0
        self._due = None
        self._waiting_since = None
        self._patience = _PATIENCE
        self._outside = []
        return self

    def __init__(self, *, patience: float = _PATIENCE) -> None:
        super().__init__()
        self._patience = patience

    def time(self) -> float:
        """Return the loop's time in seconds: 0 at first, and from then on that of its timers."""
        due, since = self._due, self._waiting_since
        if due is not None and since is not None and time.monotonic() - since >= due - self._now:
            self._jump(due)
        return self._now

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """Inside the block, something outside the loop is awaited: time does not jump.

        For threads of the program's own, and for peers that are no part of it.
        """
        is_over = False
        self._outside.append(lambda: is_over)
        try:
            yield
        finally:
            is_over = True

    # What is known to take time.

    def run_in_executor(
        self,
        executor: concurrent.futures.Executor | None,
        func: Callable[[*_Ts], _T],
        *args: *_Ts,
    ) -> asyncio.Future[_T]:
        """Call `func(*args)` in an executor; meanwhile time does not jump."""
        future = super().run_in_executor(executor, func, *args)
        self._outside.append(future.done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Shut the default executor down and really wait until its threads have ended."""
        with self.outside():
            await super().shutdown_default_executor(timeout)

    async def _make_subprocess_transport(
        self, *args: Any, **kwargs: Any
    ) -> asyncio.SubprocessTransport:
        with self.outside():
            transport = await super()._make_subprocess_transport(*args, **kwargs)
        self._outside.append(lambda: transport.get_returncode() is not None)
        return transport

    # How the loop sleeps.

    def _before_sleep(self, when: float | None, watches: bool, waited: float) -> float | None:
        """Say how long to sleep, in seconds, or move the time and say 0. The native loop asks it.

        Nothing is ready, and of the descriptors, if any are watched, none has had anything to
        tell for `waited` seconds. The next timer is due at `when`.
        """
        if self._is_outside_awaited() or (watches and self._patience == math.inf):
            return self._sleep_until(when)
        patience = self._patience if watches else 0.0
        if when is None and (watches or threading.active_count() > 1):
            patience = max(patience, _LAST_CHANCE)
        if waited < patience:
            return patience - waited
        if when is None:
            raise Deadlock(_describe_deadlock(self))
        self._jump(when)
        return 0.0

    def _is_outside_awaited(self) -> bool:
        if self._outside:
            self._outside = [is_over for is_over in self._outside if not is_over()]
        return bool(self._outside)

    def _sleep_until(self, when: float | None) -> float | None:
        """Really wait for a timer: as long as is left of it since that began."""
        now = time.monotonic()
        self._due = when
        if self._waiting_since is None:
            self._waiting_since = now
        return None if when is None else max(when - self._now - (now - self._waiting_since), 0.0)

    def _jump(self, when: float) -> None:
        self._due = self._waiting_since = None
        # A float that does not move would stop the loop where time is coarse.
        self._now = when if when > self._now else math.nextafter(self._now, math.inf)


def new_event_loop() -> EventLoop:
    """Return a new loop whose time jumps. It goes wherever a loop factory is asked for."""
    return EventLoop()


def run(main: Coroutine[Any, Any, _T], *, debug: bool | None = None) -> _T:
    """Run a coroutine as `asyncio.run()` does, in a loop whose time jumps.

    Raises `Deadlock` if it comes to wait for what cannot happen.
    """
    return _run(main, debug=debug, loop_factory=new_event_loop)


def describe_task(task: asyncio.Task[Any]) -> str:
    """One line: the task's name, its coroutine, where that waits, and for what."""
    outermost: Any = task.get_coro()
    where = ""
    # Down to the innermost coroutine: that is where it waits. A native one has no line.
    coroutine, depth = outermost, 0
    while coroutine is not None and depth < _DEEPEST:
        frame = _first(coroutine, "cr_frame", "ag_frame", "gi_frame")
        if frame is not None and frame.f_code.co_filename != _NATIVE:
            where = f", in {frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
        elif depth > 0 and hasattr(coroutine, "__qualname__"):
            where += f", in {coroutine.__qualname__}()"
        coroutine = _first(coroutine, "cr_await", "ag_await", "gi_yieldfrom")
        depth += 1
    waiter = getattr(task, "_fut_waiter", None)
    what = "to run" if waiter is None else f"for {waiter!r}"
    return f"{task.get_name()} ({_name_of(outermost)}) waits {what}{where}"


def _name_of(coroutine: Any) -> str:
    return getattr(coroutine, "__qualname__", None) or repr(coroutine)


def _first(thing: object, *names: str) -> Any:
    for name in names:
        value = getattr(thing, name, None)
        if value is not None:
            return value
    return None


def _describe_deadlock(loop: asyncio.AbstractEventLoop) -> str:
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    lines = [f"  {describe_task(task)}" for task in tasks] or ["  (there are no tasks)"]
    return "\n".join(
        ["nothing is ready and nothing is scheduled, and so these wait for ever:", *lines]
    )
