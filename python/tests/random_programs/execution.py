"""Executes the text of a program in a world, and records what happens.

Time is virtual. A ticker callback adds itself again in each turn and moves the clock by one, so
a program takes a fixed number of turns at most and waits for nothing. Deadlines are never
equal (asyncio gives no order for timers of one deadline): `soon(n)` gives n turns and a
fraction of one that it gives only once.

A record is a list of events. Each says the turn, who was the current task, the value of the
context variable in brackets, the line of the program, and what it saw. Tasks are called after
their coroutine, futures are numbered as they turn up; addresses and other reprs are left out.
"""

from __future__ import annotations

import asyncio
import asyncio.staggered
import concurrent.futures
import contextlib
import contextvars
import gc
import logging
import random
import re
import sys
import threading
import types
import warnings
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

from .worlds import STOCK, Ordered, PlainFuture, PlainTask, World, common_accounts

FILE = "<program>"
TURNS = 60
# A program that stays silent for so long is helped on: one of its futures gets a result.
SILENCE = 2
TURNS_AFTER_THE_END = 12
# More coroutines, callbacks or events than this and the program gets trivial ones.
MOST_COROUTINES = 40
MOST_CALLBACKS = 60
MOST_EVENTS = 400
# How many bytes a stream takes before it asks for a pause.
MOST_WAITING = 6
REPR = re.compile(r"<[^<>]*>")
# Where a callback or a coroutine of the library stands in its file; a native one is in none. What
# reprlib has shortened says the end of it at most.
PLACE = re.compile(
    r" at (?:/\S*/(?:asyncio|batonloop)/\w+\.py|<batonloop>):\d+|(?<=\.\.\.)[\w/.]+>?:\d+"
)

Event = tuple[Any, ...]


class Oops(BaseException):
    """An exception that is no Exception."""


class Stuck(BaseException):
    """The loop goes on although it was told to stop."""


class Yield:
    """An awaitable that hands the loop just what it was given."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Iterator[Any]:
        yield self._value


class Drive:
    """An awaitable that drives another one by hand, as Python code would."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __await__(self) -> Iterator[Any]:
        inner = self._inner.__await__()
        send, value = inner.send, None
        while True:
            try:
                wanted = send(value)
            except StopIteration as stop:
                return stop.value
            try:
                send, value = inner.send, (yield wanted)
            except GeneratorExit:
                inner.close()
                raise
            except BaseException as error:
                send, value = inner.throw, error


class Duck:
    """No Future by type, but it has all that a Task asks of one."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._asyncio_future_blocking = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        # A task wants to be told with the future that it awaited.
        self._inner.add_done_callback(lambda _future: callback(self), context=context)

    def __await__(self) -> Iterator[Any]:
        if not self._inner.done():
            self._asyncio_future_blocking = True
            yield self
        return self._inner.result()


def shuffled_sets(seed: int) -> type[Ordered]:
    """Sets that are walked in an order that depends on the seed, the same for the same things."""
    draw = random.Random(seed)
    places: dict[int, float] = {}

    class Shuffled(Ordered):
        def __init__(self, items: Iterable[Any] = ()) -> None:
            super().__init__(sorted(items, key=lambda x: places.setdefault(id(x), draw.random())))

    return Shuffled


@contextlib.contextmanager
def ordered_sets(sets: type[Ordered]) -> Iterator[None]:
    """Give what walks a set an order; asyncio promises none, and each run has another."""
    modules: list[Any] = [asyncio.tasks, asyncio.taskgroups, asyncio.staggered]
    for module in modules:
        module.set = sets
    try:
        yield
    finally:
        for module in modules:
            del module.set


class Wire(asyncio.Transport):
    """The transport of a stream whose other end is the program itself."""

    def __init__(self, note: Callable[..., None], soon: Callable[[], float], loop: Any) -> None:
        super().__init__()
        self._note, self._soon, self._loop = note, soon, loop
        self._protocol: Any = None
        self._waiting = 0
        self._closing = False

    def connect(self, protocol: Any) -> None:
        self._protocol = protocol
        protocol.connection_made(self)

    def write(self, data: Any) -> None:
        self._note("written", data)
        if self._waiting <= MOST_WAITING < self._waiting + len(data):
            self._protocol.pause_writing()
            self._loop.call_later(self._soon(), self._flush)
        self._waiting += len(data)

    def _flush(self) -> None:
        self._waiting = 0
        self._note("flushed")
        self._protocol.resume_writing()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        self._note("end written")

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        self._note("reading paused")

    def resume_reading(self) -> None:
        self._note("reading resumed")

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._note("closed")
        self._loop.call_soon(self.lose, None)

    def lose(self, error: Any) -> None:
        if not self._closing:
            self._closing = True
            self._note("lost", error)
            self._protocol.connection_lost(error)


class Threads(concurrent.futures.ThreadPoolExecutor):
    """A thread for each call, after a turn; the loop stands still while it runs."""

    def __init__(self, soon: Callable[[], float], loop: Any) -> None:
        super().__init__()
        self._soon, self._loop = soon, loop

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        job: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def work() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                job.set_exception(error)
            else:
                job.set_result(result)

        def begin() -> None:
            if job.set_running_or_notify_cancel():
                thread = threading.Thread(target=work)
                thread.start()
                thread.join()

        self._loop.call_later(self._soon(), begin, context=contextvars.Context())
        return job


class Execution:
    """One run of a program in a world."""

    def __init__(self, world: World, *compared: World) -> None:
        # What is known to differ between the compared worlds is not told.
        worlds = (world, *compared)
        self._alike = next((w.alike for w in worlds if w.alike), str)
        self._tells_context = all(w.tells_context for w in worlds)
        self.events: list[Event] = []
        self._world = world
        self._loop: Any = None
        self._kept: Any = None
        self._runner: Any = None
        self._turn = 0
        self._variable = contextvars.ContextVar("var", default=0)
        self._last_deadline = 0.0
        self._timers = 0
        self._program: dict[str, Any] = {}
        self._events_before = 0
        self._silent_since = 0
        self._counts = {"coroutines": 0, "callbacks": 0, "others": 0}
        self._ended = False
        # Whom a record names stays alive, so that no address is used twice.
        self._named: dict[int, tuple[str, Any]] = {}
        self._coroutines: dict[int, tuple[str, Any]] = {}
        self._from_the_dead: list[Event] = []
        self._awaited_itself: dict[int, Any] = {}

    # ------------------------------------------------------------ the run

    def run(self, program: types.CodeType, sets: type[Ordered] = Ordered) -> list[Event]:
        """Execute a compiled program and give its record."""
        unraisable_hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        try:
            with (
                warnings.catch_warnings(),
                ordered_sets(sets),
                common_accounts(),
                self._logging(),
            ):
                warnings.simplefilter("ignore")
                self._run(program)
        finally:
            sys.unraisablehook = unraisable_hook
        return self.events

    @contextlib.contextmanager
    def _logging(self) -> Iterator[None]:
        """What concurrent.futures logs of callbacks that raise is told, and not written."""
        logger = logging.getLogger("concurrent.futures")
        handler = logging.Handler()
        handler.emit = lambda record: self._note("logged", record.getMessage())  # type: ignore
        logger.addHandler(handler)
        propagates, logger.propagate = logger.propagate, False
        try:
            yield
        finally:
            logger.propagate = propagates
            logger.removeHandler(handler)

    def _run(self, program: types.CodeType) -> None:
        self._loop = loop = self._world.new_loop()
        loop.set_exception_handler(self._report)
        loop.slow_callback_duration = 1000.0  # In debug mode the ticker would seem slow.
        loop.set_default_executor(Threads(self._wait_a_turn, loop))
        other_loop = self._world.new_loop()
        self._program = names = self._names(other_loop)
        loop.call_soon(self._tick)
        contextvars.Context().run(exec, program, names)
        self._go_on(TURNS)
        self._end()
        self._ended = True
        for name, value in sorted(names.items()):
            if re.fullmatch(r"[ftgh]\d", name):
                self.events.append(("at the end", name, *self._final(value)))
        del value
        self.events.append(("at the end", *_left_in(names)))
        self._close()
        other_loop.close()
        names.clear()
        self._loop = self._kept = self._runner = None
        self._named.clear()
        self._coroutines.clear()
        self._awaited_itself.clear()
        gc.collect()
        self.events += sorted(self._from_the_dead, key=repr)

    def _go_on(self, last_turn: int) -> None:
        """Run the loop until nothing is left to do, or until this turn."""
        self._last_turn = last_turn
        self._silent_since = self._turn
        while True:
            self._done = False
            try:
                self._loop.run_forever()
            except Stuck:
                raise
            except BaseException as error:
                self._note("out of run_forever", error)
                continue
            if self._done:
                return
            self._note("stopped")

    def _end(self) -> None:
        """Cancel what is left twice, and then as long as that ends something.

        Not in close(): that cancels in the order of a set.
        """
        rounds, before = 0, 0
        while rounds < 2 or 0 < len(self._pending()) < before:
            rounds, before = rounds + 1, len(self._pending())
            self._cancel_what_is_left()
            self._go_on(self._turn + TURNS_AFTER_THE_END)

    def _close(self) -> None:
        self._last_turn = self._turn + TURNS_AFTER_THE_END
        # No thread is left, and to wait for those takes any number of turns.
        self._loop._default_executor = None
        try:
            (self._runner or self._loop).close()
        except Stuck:
            raise
        except BaseException as error:
            self.events.append(("at the end", self._describe(error)))

    def _tick(self) -> None:
        self._turn += 1
        self._loop.now += 1.0
        if self._turn > self._last_turn + TURNS:
            raise Stuck
        if len(self.events) != self._events_before:
            self._events_before = len(self.events)
            self._silent_since = self._turn
        resting = self._loop.now > self._last_deadline + 1
        silent = resting and self._turn > self._silent_since + SILENCE
        if (silent and not self._help_on()) or self._turn >= self._last_turn:
            self._done = True
            self._loop.stop()
        self._loop.call_soon(self._tick)

    def _help_on(self) -> bool:
        """Settle a future that a task might wait for; there may be none."""
        if self._pending():
            for name, value in sorted(self._program.items()):
                if re.fullmatch(r"[fg]\d", name) and not value.done():
                    self._note("set", name)
                    value.set_result(f"{name} at last")
                    return True
        return False

    def _pending(self) -> list[Any]:
        tasks = self._world.asyncio.all_tasks(self._loop)
        return sorted(tasks, key=lambda task: _number(task.get_name()))

    def _cancel_what_is_left(self) -> None:
        for task in sorted(self._pending(), key=self._who):
            self._note("cancelled at the end", task)
            task.cancel("the end")

    def _run_until_complete(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._last_turn = TURNS
        try:
            self._note("main gave", self._loop.run_until_complete(coroutine))
        except Stuck:
            raise
        except BaseException as error:
            self._note("main raised", error)

    def _run_in_runner(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._last_turn = TURNS
        self._runner = self._world.asyncio.Runner(loop_factory=lambda: self._loop)
        try:
            self._note("main gave", self._runner.run(coroutine))
        except Stuck:
            raise
        except BaseException as error:
            self._note("main raised", error)

    def _run_forever(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._kept = self._loop.create_task(coroutine)

    # ------------------------------------------------------------ names of a program

    def _names(self, other_loop: Any) -> dict[str, Any]:
        world, loop = self._world, self._loop

        class SubFuture(world.asyncio.Future):  # type: ignore[misc, name-defined]
            """A user's own."""

        class SubTask(world.asyncio.Task):  # type: ignore[misc, name-defined]
            """A user's own."""

        lock = world.asyncio.Lock()
        wire = Wire(self._note, self._wait_a_turn, loop)
        reader = world.asyncio.StreamReader(limit=8, loop=loop)
        protocol = world.asyncio.StreamReaderProtocol(reader, loop=loop)
        wire.connect(protocol)
        contexts = [contextvars.copy_context(), contextvars.copy_context()]
        contexts[1].run(self._variable.set, 100)
        return {
            "asyncio": world.asyncio,
            "loop": loop,
            "log": self._log,
            "attempt": self._attempt,
            "soon": self._soon,
            "body": self._body,
            "callback": self._callback,
            "nothing": self._body(_nothing),
            "hold": _hold,
            "of": self._coroutine_of,
            "run_until_complete": self._run_until_complete,
            "run_forever": self._run_forever,
            "run_in_runner": self._run_in_runner,
            "Oops": Oops,
            "Yield": Yield,
            "Drive": Drive,
            "Duck": Duck,
            "var": self._variable,
            "fresh": contextvars.copy_context,
            "itself": self._itself,
            "ctx0": contexts[0],
            "ctx1": contexts[1],
            "foreign": other_loop.create_future,
            "SubFuture": SubFuture,
            "SubTask": SubTask,
            "StockFuture": STOCK["Future"],
            "StockTask": STOCK["Task"],
            "PlainFuture": PlainFuture,
            "PlainTask": PlainTask,
            "lock": lock,
            "sem": world.asyncio.BoundedSemaphore(2),
            "event": world.asyncio.Event(),
            "cond": world.asyncio.Condition(),
            "shared": world.asyncio.Condition(lock),
            "permits": world.asyncio.Semaphore(1),
            "queue": world.asyncio.Queue(2),
            "heap": world.asyncio.PriorityQueue(2),
            "stack": world.asyncio.LifoQueue(),
            "wire": wire,
            "reader": reader,
            "protocol": protocol,
            "writer": world.asyncio.StreamWriter(wire, protocol, reader, loop),
            "bar": world.asyncio.Barrier(2),
            "trio": world.asyncio.Barrier(3),
        }

    def _itself(self) -> Any:
        # Only once for each task: what a second time says is another in asyncio's two twins.
        task = self._world.asyncio.current_task()
        if id(task) in self._awaited_itself:
            return self._body(_nothing)()
        self._awaited_itself[id(task)] = task
        return task

    def _soon(self, turns: int) -> float:
        self._timers += 1
        # Multiples of an irrational number: never equal, and not in the order of their making.
        delay = turns + self._timers * 0.6180339887 % 1
        self._last_deadline = max(self._last_deadline, self._loop.now + delay)
        return delay

    def _wait_a_turn(self) -> float:
        return self._soon(1)

    def _log(self, value: Any) -> None:
        self._note(value, line=sys._getframe(1).f_lineno)

    def _attempt(self, function: Callable[..., Any], *args: Any, **options: Any) -> None:
        caller = sys._getframe(1)
        line = caller.f_lineno if caller.f_code.co_filename == FILE else 0
        try:
            value = function(*args, **options)
        except (Exception, asyncio.CancelledError) as error:
            self._note("raised", error, line=line)
        else:
            self._note(value, line=line)

    def _body(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """Limits and names the coroutines of a coroutine function."""

        async def run(number: int, label: str) -> Any:
            task = self._world.asyncio.current_task()
            self._named.setdefault(id(task), (label, task))
            return await function() if number <= MOST_COROUTINES else None

        def make() -> Any:
            number = self._counts["coroutines"] = self._counts["coroutines"] + 1
            label = f"{function.__name__}.{number}"
            coroutine = run(number, label)
            self._coroutines[id(coroutine)] = (label, coroutine)
            return coroutine

        return make

    def _coroutine_of(self, method: Callable[..., Any], *args: Any) -> Any:
        """A coroutine of a method, with a name for a task that may be made of it."""
        number = self._counts["coroutines"] = self._counts["coroutines"] + 1
        coroutine = method(*args)
        self._coroutines[id(coroutine)] = (f"{method.__name__}.{number}", coroutine)
        return coroutine

    def _callback(self, function: Callable[..., Any]) -> Callable[..., None]:
        """Limits the calls of a callback and records each."""

        def call(*args: Any) -> None:
            self._counts["callbacks"] += 1
            if self._counts["callbacks"] > MOST_CALLBACKS or self._ended:
                return
            self._note(function.__name__, args)
            function(*args)

        call.__name__ = call.__qualname__ = function.__name__
        return call

    # ------------------------------------------------------------ events

    def _note(self, *values: Any, line: int = 0) -> None:
        if self._ended or len(self.events) > MOST_EVENTS:
            return
        try:
            current = self._world.asyncio.current_task()
        except RuntimeError:
            current = None
        who = "-" if current is None else self._who(current)
        if value := self._variable.get():
            who += f" [{value}]"
        told = tuple(self._describe(value) for value in values)
        self.events.append((self._turn, who, f"line {line}" if line else "", *told))

    def _report(self, loop: Any, context: dict[str, Any]) -> None:
        message = self._alike(_without_reprs(context.get("message", "")))
        error = self._describe(context.get("exception"))
        if self._ended or message.endswith(("was never retrieved", "but it is pending!")):
            # When exactly an object dies is not part of the bargain.
            self._from_the_dead.append(("reported", message, error, *sorted(context)))
        else:
            named = [self._describe(context[k]) for k in ("task", "future") if k in context]
            self.events.append((self._turn, "reported", message, error, *named, *sorted(context)))

    def _unraisable(self, unraisable: Any) -> None:
        if not self._ended:
            self._note("unraisable", unraisable.exc_value)

    def _final(self, value: Any) -> Event:
        """The state of a variable, looked at without telling the object."""
        if not hasattr(value, "_asyncio_future_blocking"):
            return (value.cancelled(),)
        state = [value._state, self._describe(value._exception)]
        state.append(self._describe(value._result))
        state += [name for name in ("_log_traceback", "_must_cancel") if getattr(value, name, 0)]
        if hasattr(value, "cancelling"):
            name = value.get_name()
            # With a task factory, Python 3.13.0 calls a task 'None' that was given no name.
            state += [value.cancelling(), "" if re.fullmatch(r"Task-\d+|None", name) else name]
            state.append(self._describe(value._fut_waiter))
        return tuple(state)

    # ------------------------------------------------------------ descriptions

    def _who(self, task: Any) -> str:
        if id(task) not in self._named:
            self._counts["others"] += 1
            number = self._counts["others"]
            label = f"future {number}"
            if hasattr(task, "get_coro"):
                # Python 3.12.1 crashes when asked for the coroutine of an eager task that is
                # done; but such a task has run, and has its name. Those that the library makes
                # have none: there is no order of theirs to number them in.
                coroutine = None if task.done() else task.get_coro()
                label = self._coroutines.get(id(coroutine), ("a task",))[0]
            self._named[id(task)] = (label, task)
        return self._named[id(task)][0]

    def _describe(self, value: Any, depth: int = 4) -> Any:
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, str):
            return self._alike(_without_reprs(value))
        if isinstance(value, (bytes, bytearray)):
            return repr(value)
        if isinstance(value, float):
            return round(value, 6)
        if isinstance(value, BaseException):
            return self._describe_error(value, depth)
        if isinstance(value, (list, tuple)):
            return [self._describe(item) for item in value]
        if isinstance(value, (set, frozenset, Ordered)):
            # A real set has an order of addresses, so it must not be the first to name anything.
            return sorted(self._named.get(id(item), (item._state,))[0] for item in value)
        if hasattr(type(value), "_asyncio_future_blocking"):
            return f"<{self._who(value)}>" if not self._ended else "<future>"
        return f"<{type(value).__name__}>" if isinstance(value, type) else "<something>"

    def _describe_error(self, error: BaseException, depth: int) -> Any:
        told: list[Any] = [type(error).__name__, *(self._describe(arg) for arg in error.args[:1])]
        if isinstance(error, BaseExceptionGroup):
            told.append([self._describe(inner, depth) for inner in error.exceptions])
        if depth:
            if error.__cause__ is not None:
                told.append(("cause", self._describe_error(error.__cause__, depth - 1)))
            context = error.__context__ if self._tells_context else None
            if context is not None and context is not error.__cause__:
                told.append(("context", self._describe_error(context, depth - 1)))
            if error.__suppress_context__ and error.__cause__ is None:
                told.append("from None")
        return tuple(told)


def _left_in(names: dict[str, Any]) -> Event:
    """The state of what tasks wait at: a permit, an item or a byte that is lost shows here."""
    lock, event, condition = names["lock"], names["event"], names["cond"]
    barriers = [names["bar"], names["trio"]]
    semaphores = [names["sem"], names["permits"]]
    queues = [names["queue"], names["heap"], names["stack"]]
    reader, protocol = names["reader"], names["protocol"]
    waiting = [each._waiters for each in (lock, event, condition, names["shared"], *semaphores)]
    waiting += [waiters for queue in queues for waiters in (queue._getters, queue._putters)]
    return (
        lock.locked(),
        [semaphore._value for semaphore in semaphores],
        event.is_set(),
        condition.locked(),
        [(list(queue._queue), queue._unfinished_tasks) for queue in queues],
        [getattr(queue, "_is_shutdown", None) for queue in queues],
        [(each.n_waiting, each.broken, each._state.value, each._count) for each in barriers],
        (bytes(reader._buffer), reader._eof, reader._paused, reader._waiter is None),
        (protocol._paused, protocol._connection_lost, len(protocol._drain_waiters)),
        [len(waiters or ()) for waiters in waiting],
    )


def _number(name: str) -> int:
    """Tasks that have no other name are numbered in the order of their making."""
    found = re.fullmatch(r"Task-(\d+)", name)
    return int(found[1]) if found else 0


async def _nothing() -> None:
    pass


_nothing.__name__ = "nothing"


async def _hold(lock: Any, method: str = "", *args: Any) -> Any:
    """Acquire a lock, and before it is released call a method of it, or give up a turn."""
    async with lock:
        value = getattr(lock, method)(*args) if method else Yield(None)
        return await value if hasattr(value, "__await__") else value


def _without_reprs(text: str) -> str:
    """A message without places in the library's files, and without what stands in angle brackets:
    addresses, names of types, states."""
    text = PLACE.sub("", text)
    while (shorter := REPR.sub("~", text)) != text:
        text = shorter
    return text
