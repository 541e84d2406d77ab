"""The ways in: Runner and run, asyncio's own with our loop as the default."""

from __future__ import annotations

import asyncio
from asyncio import events as _asyncio_events

from . import events
from .names import complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    _T = TypeVar("_T")
    _LoopFactory = Callable[[], asyncio.AbstractEventLoop]

__all__ = ("Runner", "run")


class Runner(asyncio.Runner):  # type: ignore[misc]  # "final"; the default factory is all we add
    """A context manager that makes a loop, runs coroutines in it and closes it in good order.

    It is `asyncio.Runner` of the running Python with one difference: the loop, if no
    `loop_factory` makes another, is a `batonloop.EventLoop`.

    `debug` sets the loop's debug mode; None leaves it as the interpreter was started.
    """

    def __init__(self, *, debug: bool | None = None, loop_factory: _LoopFactory | None = None):
        # asyncio makes the loop of a Runner without a factory the thread's current one, and
        # leaves the thread without a current loop in the end. So do we.
        self._makes_loop_current = loop_factory is None
        super().__init__(debug=debug, loop_factory=loop_factory or _new_current_loop)

    def close(self) -> None:
        """Cancel what still runs, shut generators and the executor down, close the loop."""
        has_loop = getattr(self, "_loop", None) is not None
        try:
            super().close()
        finally:
            if has_loop and self._makes_loop_current:
                _asyncio_events.set_event_loop(None)


def run(
    main: Coroutine[Any, Any, _T],
    *,
    debug: bool | None = None,
    loop_factory: _LoopFactory | None = None,
) -> _T:
    """Run the coroutine in a new `batonloop.EventLoop`; return its result.

    As `asyncio.run()`: afterwards all other tasks are cancelled, asynchronous generators and the
    default executor shut down, and the loop closed. The first Ctrl-C cancels the main task, the
    second raises KeyboardInterrupt at once.

    `debug` sets the loop's debug mode; None leaves it as the interpreter was started.
    `loop_factory`, which `asyncio.run()` has since 3.12 and this function always, makes another
    loop.

    Raises RuntimeError inside a running loop, and what the coroutine raises; for what is no
    coroutine, ValueError before 3.14 and TypeError since, when any awaitable will do.
    """
    if asyncio._get_running_loop() is not None:
        # Said here, where the traceback is short.
        raise RuntimeError("asyncio.run() cannot be called from a running event loop")
    with Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)


def _new_current_loop() -> asyncio.AbstractEventLoop:
    loop = events.new_event_loop()
    _asyncio_events.set_event_loop(loop)
    return loop


complete(globals())
