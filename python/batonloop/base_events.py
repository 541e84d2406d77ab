"""The part of the event loop that is cold: what happens before, after and beside its turns.

The turns themselves, handles, timers and watched descriptors are native, in
`_batonloop.EventLoop`. Here is what a program does once: running to an end, closing, shutting
down, executors, and what becomes of exceptions that nobody else takes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import socket
import sys
import threading
import traceback
import warnings
import weakref
from asyncio import constants, coroutines, futures, timeouts
from asyncio.base_events import Server
from asyncio.log import logger

from . import _batonloop, resolver
from .names import complete

# asyncio's exceptions for those of concurrent.futures that mean the same.
_convert_future_exc = vars(futures)["_convert_future_exc"]

# The name tells type checkers what they need; the module typing, which costs as much to import as
# all of this package, is left alone at run time. (Up to 3.13 asyncio imports it.)
TYPE_CHECKING = False
if TYPE_CHECKING:
    # Type checkers take the methods of AbstractEventLoop for abstract and let nobody call a class
    # that leaves some of them out. At run time they raise NotImplementedError, no more. The class
    # is what `asyncio.EventLoop` is, so that our loop goes wherever a program says that.
    from asyncio import SelectorEventLoop as _AsyncioEventLoop
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from typing import Any, Self, TypeVar, TypeVarTuple

    _T = TypeVar("_T")
    _Ts = TypeVarTuple("_Ts")
    _Context = dict[str, Any]
    _ExceptionHandler = Callable[[asyncio.AbstractEventLoop, _Context], object]
else:
    from asyncio import AbstractEventLoop as _AsyncioEventLoop

__all__ = ("BaseEventLoop", "Server")


class BaseEventLoop(_batonloop.EventLoop, _AsyncioEventLoop):
    """An event loop without signals: `EventLoop` adds them.

    A program may derive from `EventLoop` and override its methods; an overridden `time()` moves
    the timers, and an overridden `call_soon()` sees every hand-off, as in asyncio.
    """

    # Slots, so that the dict of an ordinary loop stays empty: from 3.13 on the interpreter is
    # quick to find the methods of such objects only.
    __slots__ = (
        "_asyncgens",
        "_asyncgens_shutdown_called",
        "_default_executor",
        "_exception_handler",
        "_executor_shutdown_called",
        "_old_agen_hooks",
        "_old_origin_depth",
        "_resolver",
    )

    # The generators that are being iterated under this loop.
    _asyncgens: weakref.WeakSet[AsyncGenerator[Any, Any]]
    _asyncgens_shutdown_called: bool
    _default_executor: concurrent.futures.ThreadPoolExecutor | None
    _exception_handler: _ExceptionHandler | None
    _executor_shutdown_called: bool
    # The hooks for asynchronous generators that were in force before the loop ran.
    _old_agen_hooks: Any
    # The tracking depth for coroutine origins that was in force, or None if we changed nothing.
    _old_origin_depth: int | None
    # The threads that look names up, made when first needed.
    _resolver: resolver.Resolver | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Not in __init__: a loop whose __init__ did not get this far can still be closed and
        # deleted.
        self = super().__new__(cls, *args, **kwargs)
        self._asyncgens = weakref.WeakSet()
        self._asyncgens_shutdown_called = False
        self._default_executor = None
        self._exception_handler = None
        self._executor_shutdown_called = False
        self._old_agen_hooks = None
        self._old_origin_depth = None
        self._resolver = None
        return self

    def __init__(self) -> None:
        """Make an open loop that does not run. Debug mode is as the interpreter was started."""
        super().__init__()
        self.set_debug(coroutines._is_debug_mode())  # type: ignore[attr-defined]
        logger.debug("Using selector: %sSelector", _batonloop.SELECTOR.capitalize())

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} running={self.is_running()} "
            f"closed={self.is_closed()} debug={self.get_debug()}>"
        )

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if self.is_closed():
            return
        _warn(f"unclosed event loop {self!r}", ResourceWarning, source=self)
        if not self.is_running():
            self.close()

    # Running and closing.

    def run_until_complete(self, future: Generator[Any, None, _T] | Awaitable[_T]) -> _T:
        """Run until the awaitable is done; return its result or raise its exception.

        A coroutine is wrapped in a task, by `create_task()`.

        Raises RuntimeError if the loop is closed or running, if another loop runs in this thread,
        or if `stop()` ends the run before the future is done; TypeError for what is not awaitable;
        ValueError for a future of another loop.
        """
        self._check_closed()
        self._check_running()
        self._note_classes()
        is_new = not asyncio.isfuture(future)
        waited_for: asyncio.Future[_T] = asyncio.ensure_future(future, loop=self)  # type: ignore[arg-type]
        if is_new:
            # Nobody else knows this task. That it stays behind is told by the exception below.
            waited_for._log_destroy_pending = False  # type: ignore[attr-defined]
        waited_for.add_done_callback(_run_until_complete_cb)
        try:
            self.run_forever()
        except BaseException:
            if is_new and waited_for.done() and not waited_for.cancelled():
                # The coroutine raised what leaves the loop, and the caller has just got it. Taken
                # from the task too, it is not reported as lost.
                waited_for.exception()
            raise
        finally:
            waited_for.remove_done_callback(_run_until_complete_cb)
        if not waited_for.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return waited_for.result()

    def _check_running(self) -> None:
        """Raise RuntimeError if this loop runs, or any other in this thread."""
        if self.is_running():
            raise RuntimeError("This event loop is already running")
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("Cannot run the event loop while another loop is running")

    def _run_forever_setup(self) -> None:
        """Prepare the interpreter for the loop; `run_forever()` calls it before the first turn."""
        self._note_classes()
        self._set_coroutine_origin_tracking(self.get_debug())
        self._old_agen_hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(
            firstiter=self._asyncgen_firstiter_hook,
            finalizer=self._asyncgen_finalizer_hook,
        )

    def _run_forever_cleanup(self) -> None:
        """Undo `_run_forever_setup()`; `run_forever()` calls it after the last turn."""
        self._set_coroutine_origin_tracking(False)
        if self._old_agen_hooks is not None:
            sys.set_asyncgen_hooks(*self._old_agen_hooks)
            self._old_agen_hooks = None

    @staticmethod
    def _give_way() -> None:
        """Do nothing; but Python lets other threads in, and hears of signals, where it is called.

        The native loop calls it now and then while it is busy.
        """

    def _set_coroutine_origin_tracking(self, enabled: bool) -> None:
        """Let coroutines remember who created them, or let them be as they were before.

        The native `set_debug()` calls it, in the loop's thread, while the loop runs.
        """
        if bool(enabled) == (self._old_origin_depth is not None):
            return
        if enabled:
            self._old_origin_depth = sys.get_coroutine_origin_tracking_depth()
            sys.set_coroutine_origin_tracking_depth(constants.DEBUG_STACK_DEPTH)
        elif self._old_origin_depth is not None:
            sys.set_coroutine_origin_tracking_depth(self._old_origin_depth)
            self._old_origin_depth = None

    def close(self) -> None:
        """Close the loop: what is ready, scheduled or watched is forgotten.

        The default executor is told to end, and is not waited for, nor is anything that is being
        looked up. A closed loop may be closed again. Raises RuntimeError if the loop is running.
        """
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        if self.get_debug():
            logger.debug("Close %r", self)
        self._close()
        self._executor_shutdown_called = True
        executor = self._default_executor
        if executor is not None:
            self._default_executor = None
            executor.shutdown(wait=False)
        if self._resolver is not None:
            self._resolver.close()
            self._resolver = None

    # Handles that the loop has not made itself.

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A timer of asyncio's own kind reports here. Ours do not: nothing has to be counted."""

    # Asynchronous generators.

    def _asyncgen_firstiter_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        if self._asyncgens_shutdown_called:
            warnings.warn(
                f"asynchronous generator {agen!r} was scheduled after "
                "loop.shutdown_asyncgens() call",
                ResourceWarning,
                source=self,
                stacklevel=1,
            )
        self._asyncgens.add(agen)

    def _asyncgen_finalizer_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        # The garbage collector calls it, in whichever thread it happens to run.
        self._asyncgens.discard(agen)
        if not self.is_closed():
            self.call_soon_threadsafe(self.create_task, agen.aclose())

    async def shutdown_asyncgens(self) -> None:
        """Close every asynchronous generator that was started and is not exhausted.

        What one raises while it is closed goes to the exception handler. A generator started
        after this call gives a ResourceWarning.
        """
        self._asyncgens_shutdown_called = True
        closing = list(self._asyncgens)
        if not closing:
            return
        self._asyncgens.clear()
        outcomes = await asyncio.gather(
            *[agen.aclose() for agen in closing], return_exceptions=True
        )
        for agen, outcome in zip(closing, outcomes, strict=True):
            if isinstance(outcome, Exception):
                self.call_exception_handler(
                    {
                        "message": "an error occurred during closing of "
                        f"asynchronous generator {agen!r}",
                        "exception": outcome,
                        "asyncgen": agen,
                    }
                )

    # Executors.

    def run_in_executor(
        self,
        executor: concurrent.futures.Executor | None,
        func: Callable[[*_Ts], _T],
        *args: *_Ts,
    ) -> asyncio.Future[_T]:
        """Call `func(*args)` in an executor; return a future of this loop for its outcome.

        None stands for the default executor, a pool of threads that is made when first needed.

        Raises RuntimeError if the loop is closed, or if the default executor has been shut down.
        """
        self._check_closed()
        if self.get_debug():
            _check_callback(func, "run_in_executor")
        if executor is None:
            executor = self._ensure_default_executor()
        job = executor.submit(func, *args)
        if type(job) is not concurrent.futures.Future:
            return asyncio.wrap_future(job, loop=self)
        # As wrap_future() does it, without the questions whose answers are known here.
        future = self.create_future()
        future.add_done_callback(functools.partial(_cancel_job, job))
        job.add_done_callback(functools.partial(_tell_of_job, self, future))
        return future

    def _ensure_default_executor(self) -> concurrent.futures.ThreadPoolExecutor:
        if self._executor_shutdown_called:
            raise RuntimeError("Executor shutdown has been called")
        if self._default_executor is None:
            self._default_executor = concurrent.futures.ThreadPoolExecutor(
                thread_name_prefix="asyncio"
            )
        return self._default_executor

    def set_default_executor(
        self,
        executor: concurrent.futures.ThreadPoolExecutor,  # type: ignore[override]
    ) -> None:
        """Make this the executor that `run_in_executor(None, ...)` uses.

        Raises TypeError for what is not a ThreadPoolExecutor.
        """
        if not isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            raise TypeError("executor must be ThreadPoolExecutor instance")
        self._default_executor = executor

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Shut the default executor down and wait until its threads have ended.

        After `timeout` seconds a RuntimeWarning is given and the threads are left to themselves;
        None waits without limit. From then on `run_in_executor(None, ...)` raises RuntimeError.

        The timeout is there, and holds, on every Python; asyncio has it since 3.12, and waits
        beyond it in 3.12.
        """
        self._executor_shutdown_called = True
        executor = self._default_executor
        if executor is None:
            return
        finished = self.create_future()
        thread = threading.Thread(target=self._join_executor, args=(executor, finished))
        thread.start()
        try:
            async with timeouts.timeout(timeout):
                await finished
        except TimeoutError:
            warnings.warn(
                f"The executor did not finishing joining its threads within {timeout} seconds.",
                RuntimeWarning,
                stacklevel=2,
            )
            executor.shutdown(wait=False)
        else:
            thread.join()

    def _join_executor(
        self,
        executor: concurrent.futures.ThreadPoolExecutor,
        finished: asyncio.Future[None],
    ) -> None:
        """Wait for the executor's threads, in a thread of its own, then settle the future."""
        try:
            executor.shutdown(wait=True)
            if not self.is_closed():
                self.call_soon_threadsafe(_set_unless_done, finished)
        except Exception as error:
            if not self.is_closed() and not finished.cancelled():
                self.call_soon_threadsafe(finished.set_exception, error)

    # Names and addresses.

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """Find the addresses of a host and a service, as `socket.getaddrinfo()` would.

        What is an address already is answered at once. Everything else is looked up in a thread
        of the loop's own, or by `run_in_executor()` if a program has overridden that; asyncio
        keeps the default executor busy with all of it.
        """
        self._check_closed()
        ask: Any = socket.getaddrinfo
        # A program that has replaced the function means it, and its own may wait.
        is_replaced = ask is not resolver.getaddrinfo
        if self.get_debug():
            ask = self._getaddrinfo_debug  # type: ignore[attr-defined]
        elif not is_replaced:
            known = resolver.known(host, port, family, type, proto, flags)
            if known is not None:
                return known
        if not is_replaced and resolver.is_numeric(host, port, flags):
            found: list[Any] = ask(host, port, family, type, proto, flags)
        else:
            found = await self._look_up(ask, host, port, family, type, proto, flags)
        return found

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """Find the names of an address and its port, as `socket.getnameinfo()` would.

        If only numbers are wanted the answer is given at once, otherwise as for `getaddrinfo()`.
        """
        self._check_closed()
        ask = socket.getnameinfo
        if ask is resolver.getnameinfo and resolver.are_numbers_wanted(flags):
            return ask(sockaddr, flags)
        names: tuple[str, str] = await self._look_up(ask, sockaddr, flags)
        return names

    def _look_up(self, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        run = self.run_in_executor
        if getattr(run, "__func__", None) is not BaseEventLoop.run_in_executor:
            return run(None, function, *args)
        if self._resolver is None:
            self._resolver = resolver.Resolver()
        return self._resolver.ask(self, function, args)

    # Exceptions that nobody else takes.

    def get_exception_handler(self) -> _ExceptionHandler | None:
        """Return what `set_exception_handler()` set; None if the default is in use."""
        return self._exception_handler

    def set_exception_handler(self, handler: _ExceptionHandler | None) -> None:
        """Let `handler(loop, context)` be called for exceptions that nobody else takes.

        None stands for the default, `default_exception_handler()`. The context is described at
        `call_exception_handler()`.

        Raises TypeError for what cannot be called.
        """
        if handler is not None and not callable(handler):
            raise TypeError(f"A callable object or None is expected, got {handler!r}")
        self._exception_handler = handler

    def default_exception_handler(self, context: _Context) -> None:
        """Log the context, at level ERROR on the logger "asyncio".

        A handler of your own may call it for what it does not want to treat itself.
        """
        exception = context.get("exception")
        handle = getattr(self, "_current_handle", None)
        if "source_traceback" not in context and handle is not None and handle._source_traceback:
            context["handle_traceback"] = handle._source_traceback
        lines = [context.get("message") or "Unhandled exception in event loop"]
        lines += [
            f"{key}: {_describe(key, context[key])}"
            for key in sorted(context)
            if key not in ("message", "exception")
        ]
        # Of False, the logger makes no traceback; of None it would make "NoneType: None".
        exc_info = (
            False if exception is None else (type(exception), exception, exception.__traceback__)
        )
        logger.error("\n".join(lines), exc_info=exc_info)

    def call_exception_handler(self, context: _Context) -> None:
        """Call the exception handler with a context: what happened, and where.

        The context is a dict; all but the message may be missing:

        - "message": what happened, in words;
        - "exception": the exception;
        - "future", "task", "handle", "protocol", "transport", "socket", "asyncgen": in what;
        - "source_traceback", "handle_traceback": where that was created, in debug mode.

        What the handler itself raises is logged, not raised, apart from SystemExit and
        KeyboardInterrupt. To treat exceptions otherwise, use `set_exception_handler()`.
        """
        handler = self._exception_handler
        try:
            if handler is None:
                self.default_exception_handler(context)
            else:
                self._call_handler_in_context(handler, context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            if handler is None:
                logger.error("Exception in default exception handler", exc_info=True)
            else:
                self._report_failed_handler(error, context)

    def _call_handler_in_context(self, handler: _ExceptionHandler, context: _Context) -> None:
        """Call the handler with the context variables of the task or handle in question."""
        if sys.version_info >= (3, 12):
            things = (context.get(key) for key in ("task", "future", "handle"))
            thing: Any = next((thing for thing in things if thing is not None), None)
            variables = thing.get_context() if hasattr(thing, "get_context") else None
            if variables is not None and hasattr(variables, "run"):
                variables.run(handler, self, context)
                return
        handler(self, context)

    def _report_failed_handler(self, error: BaseException, context: _Context) -> None:
        try:
            self.default_exception_handler(
                {
                    "message": "Unhandled error in exception handler",
                    "exception": error,
                    "context": context,
                }
            )
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            logger.error(
                "Exception in default exception handler while handling an unexpected error "
                "in custom exception handler",
                exc_info=True,
            )


def _run_until_complete_cb(future: asyncio.Future[Any]) -> None:
    """Stop the loop whose `run_until_complete()` waits for this future."""
    if not future.cancelled() and isinstance(future.exception(), (SystemExit, KeyboardInterrupt)):
        # It leaves the loop by itself, and that run is over. To stop now would end the next one.
        return
    futures._get_loop(future).stop()  # type: ignore[attr-defined]


def _cancel_job(job: concurrent.futures.Future[Any], future: asyncio.Future[Any]) -> None:
    """Cancel what runs in an executor if nobody waits for it any more."""
    if future.cancelled():
        job.cancel()


def _tell_of_job(
    loop: BaseEventLoop, future: asyncio.Future[Any], job: concurrent.futures.Future[Any]
) -> None:
    """Let the loop settle the future of a job that is done. The executor's thread calls it."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(_settle_by_job, future, job)


def _settle_by_job(future: asyncio.Future[Any], job: concurrent.futures.Future[Any]) -> None:
    """Give the future the outcome of its job, in the loop's thread."""
    if future.cancelled():
        return
    assert not future.done()
    if job.cancelled():
        future.cancel()
        return
    # A job that is done stays as it is: no lock is needed to look at it.
    error = job._exception
    if error is None:
        future.set_result(job._result)
    else:
        future.set_exception(_convert_future_exc(error))


# What it is called where somebody else has settled the future, and that is reported.
_settle_by_job.__qualname__ = "_chain_future.<locals>._set_state"


def _set_unless_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _check_callback(callback: object, method: str) -> None:
    """Raise TypeError for a coroutine, a coroutine function, or what cannot be called."""
    if asyncio.iscoroutine(callback) or _is_coroutine_function(callback):
        raise TypeError(f"coroutines cannot be used with {method}()")
    if not callable(callback):
        raise TypeError(f"a callable object was expected by {method}(), got {callback!r}")


def _is_coroutine_function(function: object) -> bool:
    # The public name is deprecated since 3.14; asyncio goes on with the private one.
    check = getattr(coroutines, "_iscoroutinefunction", None) or coroutines.iscoroutinefunction
    return bool(check(function))


def _describe(key: str, value: Any) -> str:
    """One entry of an exception handler's context, as the log shows it."""
    kind = {"source_traceback": "Object", "handle_traceback": "Handle"}.get(key)
    if kind is None:
        return repr(value)
    stack = "".join(traceback.format_list(value)).rstrip()
    return f"{kind} created at (most recent call last):\n{stack}"


complete(globals())
