"""Worlds with one bug each: a generator that misses them proves nothing.

All are asyncio with its Python twins of Future and Task, changed in one place. The private
names are those of asyncio.futures.Future and asyncio.tasks.Task.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
from collections.abc import Callable
from typing import Any

from .worlds import STOCK, PlainFuture, PlainTask, StockLoop, World, plain

BUGS: dict[str, tuple[Callable[[], World], str]] = {}
"""How each world is made, and the theme of the programs that may find its bug."""


def bug(theme: str) -> Callable[[Callable[[], World]], Callable[[], World]]:
    """Names a world after the function that makes it."""

    def keep(make: Callable[[], World]) -> Callable[[], World]:
        BUGS[make.__name__] = make, theme
        return make

    return keep


@bug("tasks")
def an_owed_cancellation_is_forgotten() -> World:
    class Task(PlainTask):
        def cancel(self, msg: Any = None) -> bool:
            done = super().cancel(msg)
            self._must_cancel = False
            return done

    return plain(task=Task)


@bug("tasks")
def an_owed_cancellation_is_never_settled() -> World:
    class Task(PlainTask):
        @property
        def _must_cancel(self) -> bool:
            return self._owed

        @_must_cancel.setter
        def _must_cancel(self, value: bool) -> None:
            self._owed = value or getattr(self, "_owed", False)

    return plain(task=Task)


@bug("tasks")
def the_message_of_a_cancellation_is_lost() -> World:
    class Task(PlainTask):
        def cancel(self, msg: Any = None) -> bool:
            return bool(super().cancel())

    return plain(task=Task)


@bug("tasks")
def a_cancelled_future_forgets_its_message() -> World:
    class Future(PlainFuture):
        def cancel(self, msg: Any = None) -> bool:
            return bool(super().cancel())

    return plain(future=Future)


@bug("tasks")
def uncancel_counts_nothing() -> World:
    class Task(PlainTask):
        def uncancel(self) -> int:
            return int(self.cancelling())

    return plain(task=Task)


@bug("tasks")
def callbacks_run_last_in_first_out() -> World:
    class Future(PlainFuture):
        def _Future__schedule_callbacks(self) -> None:
            self._callbacks.reverse()
            super()._Future__schedule_callbacks()

    return plain(future=Future)


@bug("tasks")
def callbacks_of_a_done_future_run_at_once() -> World:
    class Future(PlainFuture):
        def add_done_callback(self, fn: Any, *, context: Any = None) -> None:
            if self.done():
                (context or contextvars.copy_context()).run(fn, self)
            else:
                super().add_done_callback(fn, context=context)

    return plain(future=Future)


@bug("tasks")
def remove_done_callback_removes_one_only() -> World:
    class Future(PlainFuture):
        def remove_done_callback(self, fn: Any) -> int:
            for index, (callback, _context) in enumerate(self._callbacks):
                if callback == fn:
                    del self._callbacks[index]
                    return 1
            return 0

    return plain(future=Future)


@bug("tasks")
def a_task_shares_the_context_of_its_creator() -> World:
    class Task(PlainTask):
        def __init__(self, coro: Any, *, context: Any = None, **options: Any) -> None:
            if context is None and not options.get("eager_start"):
                # The context of the moment cannot be had; a single one for all serves as well.
                context = _SHARED
            super().__init__(coro, context=context, **options)

    return plain(task=Task)


_SHARED = contextvars.copy_context()


@bug("tasks")
def a_done_callback_runs_in_a_context_of_its_own() -> World:
    class Future(PlainFuture):
        def add_done_callback(self, fn: Any, *, context: Any = None) -> None:
            super().add_done_callback(fn, context=contextvars.Context())

    return plain(future=Future)


@bug("tasks")
def an_exception_that_nobody_retrieves_is_not_reported() -> World:
    class Task(PlainTask):
        def __del__(self) -> None:
            pass

    return plain(task=Task)


@bug("tasks")
def an_awaited_done_future_costs_a_turn() -> World:
    class Future(PlainFuture):
        def __await__(self) -> Any:
            if self.done():
                yield
            return (yield from super().__await__())

        __iter__ = __await__

    return plain(future=Future)


@bug("tasks")
def a_resumed_task_jumps_the_queue() -> World:
    class Task(PlainTask):
        def _Task__step(self, exc: Any = None) -> None:
            super()._Task__step(exc)
            if not self.done() and self._fut_waiter is None:
                self._loop._ready.rotate(1)

    return plain(task=Task)


@bug("tasks")
def awaiting_leaves_the_future_unmarked() -> World:
    class Future(PlainFuture):
        def __await__(self) -> Any:
            if not self.done():
                yield self
            return self.result()

        __iter__ = __await__

    return plain(future=Future)


@bug("tasks")
def a_wake_up_says_nothing_of_the_exception() -> World:
    class Task(PlainTask):
        def _Task__wakeup(self, future: Any) -> None:
            self._Task__step()

    return plain(task=Task)


@bug("tasks")
def an_eager_task_is_not_the_current_one() -> World:
    class Task(PlainTask):
        def _Task__eager_start(self) -> None:
            current = asyncio.current_task()
            if current is not None:
                asyncio.tasks._leave_task(self._loop, current)
                asyncio.tasks._enter_task(self._loop, current)
            self._loop.call_soon(self._Task__step, context=self._context)

    return plain(task=Task)


@bug("tasks")
def a_cancelled_timer_runs_all_the_same() -> World:
    class Loop(StockLoop):
        def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
            super().call_at(when, callback, *args, context=context)
            return asyncio.TimerHandle(when, callback, args, self, context)

    return plain(loop=Loop)


@bug("tasks")
def a_timer_is_early_by_a_turn() -> World:
    class Loop(StockLoop):
        def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
            return super().call_at(when - 1, callback, *args, context=context)

    return plain(loop=Loop)


@bug("tasks")
def due_timers_run_in_the_order_of_their_making() -> World:
    class Loop(StockLoop):
        made = 0

        def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
            self.made += 1
            when = int(when) + 0.0001 * self.made
            return super().call_at(when, callback, *args, context=context)

    return plain(loop=Loop)


@bug("tasks")
def an_exception_in_a_callback_is_reported_but_delays_the_rest() -> World:
    class Loop(StockLoop):
        def call_exception_handler(self, context: Any) -> None:
            super().call_exception_handler(context)
            self._ready.rotate(-1)

    return plain(loop=Loop)


@bug("tasks")
def stop_ends_the_turn_at_once() -> World:
    class Loop(StockLoop):
        def stop(self) -> None:
            super().stop()
            self._ready.rotate(-1)

    return plain(loop=Loop)


@bug("limits")
def as_completed_has_no_timeout() -> World:
    def as_completed(fs: Any, *, timeout: Any = None) -> Any:
        return STOCK["as_completed"](fs)

    return plain(as_completed=as_completed)


@bug("limits")
def as_completed_gives_results_since_3_13() -> World:
    base: Any = STOCK["as_completed"].__globals__["_AsCompletedIterator"]

    class AsCompleted(base):  # type: ignore[misc]
        async def __anext__(self) -> Any:
            return (await super().__anext__()).result()

    def as_completed(fs: Any, *, timeout: Any = None) -> Any:
        return AsCompleted(fs, timeout)

    return plain(as_completed=as_completed)


@bug("limits")
def an_attempt_that_fails_hastens_nobody() -> World:
    async def staggered_race(functions: Any, delay: Any) -> Any:
        def slowly(function: Any) -> Any:
            async def attempt() -> Any:
                try:
                    return await function()
                except Exception:
                    await asyncio.sleep(0)
                    raise

            return attempt

        return await STOCK["staggered_race"](map(slowly, functions), delay)

    return plain(staggered_race=staggered_race)


@bug("limits")
def a_deadline_is_late_by_a_turn() -> World:
    def timeout_at(when: float | None) -> Any:
        return asyncio.timeout_at(when if when is None else when + 1)

    return plain(timeout_at=timeout_at)


@bug("limits")
def a_timeout_cannot_be_moved() -> World:
    class Timeout(asyncio.Timeout):
        moved = False

        def reschedule(self, when: float | None) -> None:
            if not self.moved:
                super().reschedule(when)
            self.moved = True

    return plain(timeout_at=Timeout)


@bug("locks")
def a_lock_wakes_the_last() -> World:
    class Lock(asyncio.Lock):
        def _wake_up_first(self) -> None:
            if self._waiters and not self._waiters[-1].done():
                self._waiters[-1].set_result(True)

    return plain(Lock=Lock)


@bug("locks")
def a_free_lock_is_for_whoever_comes_first() -> World:
    class Lock(asyncio.Lock):
        async def acquire(self) -> Any:
            if self._locked:
                return await super().acquire()
            self._locked = True
            return True

    return plain(Lock=Lock)


@bug("locks")
def a_waiter_cancelled_when_its_turn_came_passes_it_on_to_nobody() -> World:
    class Lock(asyncio.Lock):
        released = False

        def release(self) -> None:
            self.released = True
            super().release()
            self.released = False

        def _wake_up_first(self) -> None:
            if self.released:
                super()._wake_up_first()

    return plain(Lock=Lock)


@bug("locks")
def a_cancelled_acquire_loses_its_permit() -> World:
    class Semaphore(asyncio.Semaphore):
        async def acquire(self) -> Any:
            try:
                return await super().acquire()
            except asyncio.CancelledError:
                # What it had been given already is free again by now.
                self._value = max(self._value - 1, 0)
                raise

    return plain(Semaphore=Semaphore)


@bug("locks")
def a_semaphore_has_no_bound() -> World:
    return plain(BoundedSemaphore=asyncio.Semaphore)


@bug("locks")
def an_event_wakes_the_first_only() -> World:
    class Event(asyncio.Event):
        def set(self) -> None:
            waiters = list(self._waiters)
            del self._waiters[1:]
            super().set()
            self._waiters.extend(waiters[1:])

    return plain(Event=Event)


@bug("locks")
def who_waits_for_an_event_looks_again() -> World:
    class Event(asyncio.Event):
        async def wait(self) -> Any:
            while not self.is_set():
                await super().wait()
            return True

    return plain(Event=Event)


@bug("conditions")
def notify_wakes_the_last() -> World:
    class Condition(asyncio.Condition):
        def notify(self, n: int = 1) -> None:
            self._waiters.reverse()
            super().notify(n)
            self._waiters.reverse()

    return plain(Condition=Condition)


@bug("conditions")
def notify_all_wakes_one_only() -> World:
    class Condition(asyncio.Condition):
        def notify_all(self) -> None:
            self.notify()

    return plain(Condition=Condition)


@bug("conditions")
def a_cancelled_wait_does_not_acquire_again() -> World:
    class Condition(asyncio.Condition):
        async def wait(self) -> Any:
            try:
                return await super().wait()
            except asyncio.CancelledError:
                self.release()
                raise

    return plain(Condition=Condition)


@bug("conditions")
def wait_for_asks_no_more_than_once() -> World:
    class Condition(asyncio.Condition):
        async def wait_for(self, predicate: Callable[[], Any]) -> Any:
            if not predicate():
                await self.wait()
            return predicate()

    return plain(Condition=Condition)


@bug("conditions")
def a_lost_notification_goes_to_nobody_since_3_13() -> World:
    class Condition(asyncio.Condition):
        notifies = False

        def notify(self, n: int = 1) -> None:
            self.notifies = True
            try:
                super().notify(n)
            finally:
                self.notifies = False

        def _notify(self, n: int) -> None:
            if self.notifies:
                super()._notify(n)  # type: ignore[misc]

    return plain(Condition=Condition)


@bug("barriers")
def a_barrier_opens_for_one_too_few() -> World:
    class Barrier(asyncio.Barrier):
        def __init__(self, parties: int) -> None:
            super().__init__(parties)
            self._parties -= 1

        @property
        def parties(self) -> int:
            return self._parties + 1

    return plain(Barrier=Barrier)


@bug("barriers")
def a_barrier_that_empties_lets_newcomers_in() -> World:
    class Barrier(asyncio.Barrier):
        async def _block(self) -> None:
            if self.broken:
                await super()._block()

    return plain(Barrier=Barrier)


@bug("barriers")
def a_broken_barrier_mends_itself() -> World:
    class Barrier(asyncio.Barrier):
        def _exit(self) -> None:
            if self._count == 0 and self.broken:
                self._state = asyncio.locks._BarrierState.FILLING
            super()._exit()

    return plain(Barrier=Barrier)


@bug("barriers")
def who_is_cancelled_at_a_barrier_still_counts() -> World:
    class Barrier(asyncio.Barrier):
        async def _wait(self) -> None:
            try:
                await super()._wait()
            except asyncio.CancelledError:
                self._count += 1
                raise

    return plain(Barrier=Barrier)


@bug("barriers")
def a_reset_lets_everybody_through() -> World:
    class Barrier(asyncio.Barrier):
        async def _wait(self) -> None:
            try:
                await super()._wait()
            except asyncio.BrokenBarrierError:
                if self.broken:
                    raise

    return plain(Barrier=Barrier)


@bug("queues")
def a_heap_keeps_no_order() -> World:
    class PriorityQueue(asyncio.Queue[Any]):
        def _init(self, maxsize: int) -> None:
            self._queue = []

        def _get(self) -> Any:
            return self._queue.pop(0)

    return plain(PriorityQueue=PriorityQueue)


@bug("queues")
def a_stack_gives_the_first() -> World:
    class LifoQueue(asyncio.LifoQueue[Any]):
        def _get(self) -> Any:
            return self._queue.pop(0)

    return plain(LifoQueue=LifoQueue)


@bug("threads")
def a_thread_has_no_context() -> World:
    async def to_thread(function: Any, /, *args: Any, **options: Any) -> Any:
        call = functools.partial(function, *args, **options)
        return await asyncio.get_running_loop().run_in_executor(None, call)

    return plain(to_thread=to_thread)


@bug("threads")
def a_cancellation_stays_in_its_thread() -> World:
    def run_coroutine_threadsafe(coro: Any, loop: Any) -> Any:
        job: concurrent.futures.Future[Any] = concurrent.futures.Future()
        inner = asyncio.run_coroutine_threadsafe(coro, loop)

        def settle(inner: Any) -> None:
            if not job.set_running_or_notify_cancel():
                return
            if inner.cancelled():
                job.set_exception(asyncio.CancelledError())
            elif inner.exception() is not None:
                job.set_exception(inner.exception())
            else:
                job.set_result(inner.result())

        inner.add_done_callback(settle)
        return job

    return plain(run_coroutine_threadsafe=run_coroutine_threadsafe)


@bug("tasks")
def a_runner_keeps_the_result() -> World:
    class Runner(asyncio.Runner):
        def run(self, coro: Any, *, context: Any = None) -> Any:
            super().run(coro, context=context)

    return plain(Runner=Runner)


@bug("streams")
def a_paused_stream_is_drained_at_once() -> World:
    class StreamReaderProtocol(asyncio.StreamReaderProtocol):
        async def _drain_helper(self) -> None:
            pass

    return plain(StreamReaderProtocol=StreamReaderProtocol)
