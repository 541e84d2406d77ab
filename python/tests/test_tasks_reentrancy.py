"""Foreign code that runs in the middle of things: it drops, settles, cancels and re-enters.

Everything here may crash a process that gets its references wrong, so that most of it runs in a
process of its own, and some of it with the collector at work at every allocation.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from task_tools import gather_reports, passes_apart, raised


def test_a_callback_that_drops_the_last_reference_to_its_future(world: Any) -> None:
    passes_apart(
        world,
        """
        loop = new_event_loop()
        for count in (1, 2, 3):
            holder = {"future": world.Future(loop=loop)}
            watched = weakref.ref(holder["future"])
            for _ in range(count):
                holder["future"].add_done_callback(lambda _: holder.clear())
            holder["future"].set_result([1])
            loop.stop(); loop.run_forever()
            gc.collect()
            assert watched() is None
        """,
    )


def test_settling_from_inside_everything_that_settling_calls(world: Any) -> None:
    """call_soon of the loop, called for each callback, does whatever it likes to the future."""
    passes_apart(
        world,
        """
        class Loop:
            action = None
            def __init__(self): self.calls = []
            def get_debug(self): return False
            def call_exception_handler(self, context): pass
            def call_soon(self, callback, *args, context=None):
                self.calls.append((callback, args))
                action, self.action = self.action, None
                if action:
                    action()

        def settle(future, how):
            if how == "result": future.set_result(1)
            elif how == "exception": future.set_exception(ValueError())
            else: future.cancel()

        def ignore(action):
            def call():
                try: action()
                except (asyncio.InvalidStateError, RuntimeError): pass
            return call

        for how in ("result", "exception", "cancel"):
            for count in (1, 2, 3, 5):
                for act in range(9):
                    loop = Loop()
                    holder = {"future": world.Future(loop=loop)}
                    callbacks = [lambda _, n=n: None for n in range(count)]
                    for callback in callbacks:
                        holder["future"].add_done_callback(callback)
                    loop.action = ignore([
                        lambda: holder["future"].set_result(2),
                        lambda: holder["future"].cancel(),
                        lambda: holder["future"].add_done_callback(print),
                        lambda: [holder["future"].remove_done_callback(c) for c in callbacks],
                        lambda: reinit(holder["future"], loop=loop),
                        lambda: holder.clear(),
                        lambda: gc.collect(),
                        lambda: callbacks.clear(),
                        lambda: repr(holder["future"]),
                    ][act])
                    settle(holder["future"], how)
                    assert len(loop.calls) >= 1
                    if "future" in holder and holder["future"].done():
                        holder["future"].cancelled() or holder["future"].exception()
                    holder.clear()
                    del loop
                    gc.collect()
        """,
    )


def test_a_call_soon_that_raises_loses_no_reference(world: Any) -> None:
    passes_apart(
        world,
        """
        class Loop:
            def get_debug(self): return False
            def call_exception_handler(self, context): pass
            def call_soon(self, callback, *args, context=None):
                raise ZeroDivisionError

        for count in (0, 1, 2, 3):
            for settle in (
                lambda f: f.set_result(1),
                lambda f: f.set_exception(ValueError()),
                lambda f: f.cancel(),
            ):
                future = world.Future(loop=Loop())
                for _ in range(count):
                    future.add_done_callback(print)
                try:
                    settle(future)
                except ZeroDivisionError:
                    assert count
                else:
                    assert not count
                assert future.done()
                try:
                    future.add_done_callback(print)
                except ZeroDivisionError:
                    pass
                else:
                    raise AssertionError("call_soon was not asked")
                repr(future)
                future.cancelled() or future.exception()
                del future
                gc.collect()
        """,
    )


@pytest.mark.may_log
def test_a_call_soon_that_raises_when_a_task_is_made_or_suspends(world: Any) -> None:
    class Loop(world.EventLoop):
        failing = False

        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
            if self.failing:
                raise ZeroDivisionError("no more")
            return super().call_soon(callback, *args, context=context)

    async def main() -> None:
        loop.failing = True
        await future

    loop = Loop()
    reports = gather_reports(loop)
    future = loop.create_future()
    loop.failing = True
    coro = main()
    assert str(raised(lambda: world.Task(coro, loop=loop))) == "no more"
    coro.close()
    loop.failing = False
    task = loop.create_task(main())
    world.turn(loop)
    assert task._fut_waiter is future
    # Settling schedules the waiter, through the overridden method or past it.
    try:
        future.set_result(None)
    except ZeroDivisionError:
        loop.failing = False
        assert future.done()
        task._log_destroy_pending = False
        task.get_coro().close()
    else:
        loop.failing = False
        world.turn(loop)
        assert task.done()
    loop.close()
    reports.clear()


def test_a_loop_whose_attributes_vanish(world: Any) -> None:
    passes_apart(
        world,
        """
        class Loop:
            def get_debug(self): return False

        future = world.Future(loop=Loop())
        future.add_done_callback(print)
        for settle in (lambda: future.set_result(1), lambda: future.add_done_callback(print)):
            try:
                settle()
            except AttributeError as error:
                assert "call_soon" in str(error), error
        failed = world.Future(loop=Loop())
        failed.set_exception(ValueError())
        sys.unraisablehook = lambda each: print(each.exc_type.__name__)
        del failed
        gc.collect()
        """,
    )


def test_objects_that_re_enter_while_they_are_dropped(world: Any) -> None:
    """Results, messages, callbacks, contexts: each is dropped by someone, and then acts."""
    passes_apart(
        world,
        """
        import contextvars

        loop = new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        acted = 0

        class Dying:
            def __init__(self, action): self.action = action
            def __call__(self, *_): pass
            def __del__(self):
                global acted
                acted += 1
                try: self.action()
                except (asyncio.InvalidStateError, RuntimeError, KeyError, AttributeError): pass
                self.action = None

        holder = {}
        actions = [
            lambda: holder["it"].set_result(1),
            lambda: holder["it"].cancel(),
            lambda: holder["it"].add_done_callback(print),
            lambda: holder["it"].remove_done_callback(print),
            lambda: repr(holder["it"]),
            lambda: reinit(holder["it"], loop=loop),
            lambda: holder["it"]._make_cancelled_error(),
            lambda: holder.clear(),
            lambda: gc.collect(),
        ]

        def each(make, drop):
            for action in actions:
                holder["it"] = world.Future(loop=loop)
                make(holder["it"], action)
                before = acted
                try: drop(holder["it"])
                except (asyncio.InvalidStateError, RuntimeError, KeyError): pass
                holder.clear()
                gc.collect()
                loop.stop(); loop.run_forever()
                gc.collect()
                assert acted == before + 1, (make, drop)

        # A callback, dropped by removal, by settling, by death, by a second constructor.
        def add(future, action): future.add_done_callback(Dying(action))
        def add_two(future, action):
            future.add_done_callback(lambda _: None)
            future.add_done_callback(Dying(action))
        class Any_:
            def __eq__(self, other): return isinstance(other, Dying)
        drops = [
            lambda future: future.remove_done_callback(Any_()),
            lambda future: future.set_result(1),
            lambda future: future.cancel(),
            lambda future: None,
        ]
        if sys.version_info < (3, 15):
            drops.append(lambda future: future.__init__(loop=loop))
        for make in (add, add_two):
            for drop in drops:
                each(make, drop)

        # A result, dropped with its future or by a second constructor.
        each(lambda future, action: future.set_result(Dying(action)), lambda future: None)
        if sys.version_info < (3, 15):
            each(
                lambda future, action: future.set_result(Dying(action)),
                lambda future: future.__init__(loop=loop),
            )

        # A cancel message, dropped by the next one.
        def message(future, action): future._cancel_message = Dying(action)
        each(message, lambda future: setattr(future, "_cancel_message", None))
        each(message, lambda future: future.cancel("another"))
        each(message, lambda future: None)

        # An exception with such a payload.
        def failure(future, action):
            error = ValueError()
            error.payload = Dying(action)
            future.set_exception(error)
        each(failure, lambda future: future.exception() and None)

        # A context whose variable holds it.
        variable = contextvars.ContextVar("variable")
        def in_context(future, action):
            context = contextvars.copy_context()
            context.run(variable.set, Dying(action))
            future.add_done_callback(print, context=context)
        each(in_context, lambda future: future.remove_done_callback(print))

        # An attribute.
        def attribute(future, action): future.colour = Dying(action)
        each(attribute, lambda future: delattr(future, "colour"))
        each(attribute, lambda future: None)
        """,
    )


def test_tasks_whose_parts_re_enter_while_they_are_dropped(world: Any) -> None:
    passes_apart(
        world,
        """
        import contextvars

        loop = new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        acted = 0

        class Dying:
            def __init__(self, action): self.action = action
            def __del__(self):
                global acted
                acted += 1
                try: self.action()
                except (asyncio.InvalidStateError, RuntimeError, KeyError, AttributeError): pass
                self.action = None

        def turn(count=1):
            for _ in range(count):
                loop.stop(); loop.run_forever()

        holder = {}
        actions = [
            lambda: holder["it"].cancel("again"),
            lambda: holder["it"].cancelled() and holder["it"].result(),
            lambda: holder["it"].done() and holder["it"].result(),
            lambda: holder["it"].add_done_callback(print),
            lambda: holder["it"].set_name("name"),
            lambda: holder["it"].get_stack(),
            lambda: repr(holder["it"]),
            lambda: world.all_tasks(loop),
            lambda: loop.create_task(asyncio.sleep(0)),
            lambda: holder.clear(),
            lambda: gc.collect(),
        ]

        async def holds(dying):
            await world.sleep(0)
        async def returns(dying):
            return dying
        async def raises(dying):
            raise ValueError(dying)
        async def waits(dying):
            await loop.create_future()
        async def cancelled(dying):
            raise asyncio.CancelledError(dying)

        for function in (holds, returns, raises, waits, cancelled):
            for action in actions:
                for ending in ("run", "cancel early", "cancel late", "drop"):
                    before = acted
                    holder["it"] = loop.create_task(function(Dying(action)))
                    if ending == "cancel early":
                        holder["it"].cancel()
                    elif ending == "drop":
                        holder.clear()
                    turn()
                    if ending == "cancel late" and holder:
                        holder["it"].cancel()
                    turn(3)
                    holder.clear()
                    gc.collect(); gc.collect()
                    turn(2)
                    gc.collect(); gc.collect()
                    assert acted == before + 1, (function, ending)

        # The same with a name, a context, a message and a cancelled error.
        variable = contextvars.ContextVar("variable")
        class Name(str):
            def __new__(cls, dying): return super().__new__(cls, "name")
            def __str__(self): return "name"
        for action in actions:
            before = acted
            context = contextvars.copy_context()
            context.run(variable.set, Dying(action))
            holder["it"] = loop.create_task(waits(None), context=context)
            del context
            turn()
            holder["it"].cancel(Dying(action))
            turn(3)
            holder.clear()
            gc.collect()
            turn(2)
            gc.collect()
            assert acted == before + 2, acted - before
        """,
    )


def test_steps_that_do_anything_to_their_own_task(world: Any) -> None:
    passes_apart(
        world,
        """
        loop = new_event_loop()
        loop.set_exception_handler(lambda *_: None)

        def turn(count=1):
            for _ in range(count):
                loop.stop(); loop.run_forever()

        async def returns(value=None): return value

        holder = {}
        second = []
        actions = [
            lambda: holder["it"].cancel(),
            lambda: holder["it"].uncancel(),
            lambda: holder.clear(),
            lambda: holder["it"].get_coro().close(),
            lambda: holder["it"].get_coro().send(None),
            lambda: holder["it"].get_coro().throw(ValueError),
            lambda: reinit(holder["it"], returns(), loop=loop),
            lambda: holder["it"].__del__(),
            lambda: repr(holder["it"]),
            lambda: holder["it"].print_stack(file=open("/dev/null", "w")),
            lambda: holder["it"].set_name(holder["it"]),
            lambda: holder["it"].add_done_callback(lambda _: holder.clear()),
            lambda: second.append(loop.create_task(holder["it"].get_coro())),
            lambda: loop.stop(),
            lambda: loop.close(),
            lambda: asyncio._leave_task(loop, holder["it"]),
            lambda: asyncio._unregister_task(holder["it"]),
            lambda: gc.collect(),
            # Stock 3.13 forgets that it is to stop when it is told to run again.
            lambda: (OURS or sys.version_info[:2] != (3, 13)) and loop.run_forever(),
            lambda: world.Future.set_result(holder["it"], 1),
            lambda: world.Future.set_exception(holder["it"], ValueError()),
            lambda: world.Future.cancel(holder["it"]),
        ]

        def act(number):
            try: actions[number]()
            except (RuntimeError, ValueError, KeyError, asyncio.InvalidStateError): pass
            except AttributeError: pass

        async def at_start(number):
            act(number)
        async def and_waits(number):
            act(number)
            await loop.create_future()
        async def and_yields(number):
            act(number)
            await world.sleep(0)
            act(number)
        async def when_cancelled(number):
            try: await loop.create_future()
            finally: act(number)
        async def and_raises(number):
            act(number)
            raise ValueError
        async def twice_and_awaits_a_task(number):
            act(number)
            await loop.create_task(returns())
            act(number)

        for function in (
            at_start, and_waits, and_yields, when_cancelled, and_raises, twice_and_awaits_a_task
        ):
            for number in range(len(actions)):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    holder["it"] = loop.create_task(function(number))
                    turn(2)
                    if holder:
                        holder["it"].cancel()
                    turn(3)
                    holder.clear()
                    second.clear()
                    gc.collect()
                    turn()
                    assert world.current_task(loop) is None
                    if loop.is_closed():
                        loop = new_event_loop()
                        loop.set_exception_handler(lambda *_: None)
        """,
    )


def test_awaited_objects_that_do_anything_to_the_waiting_task(world: Any) -> None:
    """add_done_callback, the blocking flag, cancel and result of a future, all overridden."""
    passes_apart(
        world,
        """
        loop = new_event_loop()
        loop.set_exception_handler(lambda *_: None)

        def turn(count=1):
            for _ in range(count):
                loop.stop(); loop.run_forever()

        holder = {}
        actions = [
            lambda future: holder["task"].cancel(),
            lambda future: holder.clear(),
            lambda future: holder["task"].get_coro().close(),
            lambda future: world.Future.set_result(future, 1),
            lambda future: world.Future.cancel(future),
            lambda future: gc.collect(),
            lambda future: repr(holder["task"]),
            lambda future: 1 / 0,
            lambda future: reinit(holder["task"], asyncio.sleep(0), loop=loop),
        ]

        def act(number, future):
            action = actions[number]
            if holder.get("busy"):
                return
            holder["busy"] = True
            try: action(future)
            except (RuntimeError, ValueError, KeyError, asyncio.InvalidStateError): pass
            finally: holder.pop("busy", None)

        def evil(where, number):
            class Evil(world.Future):
                def add_done_callback(self, *args, **kwargs):
                    if where == "before add": act(number, self)
                    super().add_done_callback(*args, **kwargs)
                    if where == "after add": act(number, self)
                def cancel(self, msg=None):
                    if where == "cancel": act(number, self)
                    return super().cancel(msg)
                def result(self):
                    if where == "result": act(number, self)
                    return super().result()
                def get_loop(self):
                    if where == "get_loop": act(number, self)
                    return super().get_loop()
                def __await__(self):
                    if where == "await": act(number, self)
                    return (yield from super().__await__())
            return Evil(loop=loop)

        async def main(future):
            await future

        for where in ("before add", "after add", "cancel", "result", "get_loop", "await"):
            for number in range(len(actions)):
                for ending in ("settle", "cancel"):
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        future = evil(where, number)
                        holder["task"] = loop.create_task(main(future))
                        try:
                            turn()
                            if ending == "settle":
                                future.done() or world.Future.set_result(future, 1)
                            elif "task" in holder:
                                holder["task"].cancel()
                        except ZeroDivisionError:
                            pass
                        turn(4)
                        holder.clear()
                        del future
                        gc.collect()
                        assert world.current_task(loop) is None
        """,
    )


def test_coroutines_that_do_anything_while_they_are_stepped(world: Any) -> None:
    passes_apart(
        world,
        """
        import collections.abc
        loop = new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        holder = {}

        def turn(count=1):
            for _ in range(count):
                loop.stop(); loop.run_forever()

        class Coro(collections.abc.Coroutine):
            def __init__(self, send, throw):
                self._send, self._throw = send, throw
            def send(self, value): return self._send(self)
            def throw(self, *args): return self._throw(self, *args)
            def close(self): pass
            def __await__(self): return self

        def future():
            future = world.Future(loop=loop)
            future._asyncio_future_blocking = True
            return future
        def done_future():
            each = world.Future(loop=loop)
            each.set_result(1)
            each._asyncio_future_blocking = True
            return each
        def raises(error):
            def call(*_): raise error
            return call

        sends = [
            lambda self: None,
            lambda self: 5,
            lambda self: holder["task"],
            lambda self: setattr(holder["task"], "_asyncio_future_blocking", 1) or holder["task"],
            lambda self: future(),
            lambda self: done_future(),
            lambda self: world.Future(loop=loop),
            lambda self: world.Future.__new__(world.Future),
            lambda self: world.Task.__new__(world.Task),
            lambda self: (yield),
            lambda self: self,
            raises(StopIteration), raises(StopIteration((1, 2))), raises(ValueError),
            raises(asyncio.CancelledError), raises(GeneratorExit), raises(StopAsyncIteration),
            lambda self: holder.clear() or future(),
            lambda self: self.__dict__.clear(),
            lambda self: holder["task"].cancel() and future(),
        ]
        for send in sends:
            for throw in sends:
                coro = Coro(send, lambda self, *args, throw=throw: throw(self))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    holder["task"] = loop.create_task(coro)
                    turn(2)
                    for _ in range(3):
                        if "task" in holder and not holder["task"].done():
                            holder["task"].cancel()
                            turn()
                    if "task" in holder:
                        holder["task"]._log_destroy_pending = False
                    holder.clear()
                    coro._send = coro._throw = raises(StopIteration)
                    del coro
                    turn()
        loop.close()
        gc.collect()
        """,
        timeout=60,
    )


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [1, 7])
def test_a_whole_program_with_the_collector_at_work_all_the_time(
    world: Any, threshold: int
) -> None:
    passes_apart(
        world,
        """
        import contextvars
        variable = contextvars.ContextVar("variable", default=0)

        class Promise(world.Future):
            pass

        class Job(world.Task):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.myself = self

        async def leaf(number):
            variable.set(number)
            await world.sleep(0)
            future = Promise(loop=loop) if number % 2 else world.Future(loop=loop)
            future.add_done_callback(lambda _: None)
            loop.call_soon(future.set_result, [number])
            assert await future == [number]
            loop.call_later(0, lambda: None).cancel()
            if number % 5 == 0:
                raise ValueError(number)
            assert variable.get() == number
            return number

        async def orphan():
            await loop.create_future()

        async def main():
            for round_ in range(4):
                tasks = [loop.create_task(leaf(n)) for n in range(8)]
                tasks += [Job(leaf(n), loop=loop) for n in range(8)]
                loop.create_task(orphan())
                cancelled = loop.create_task(world.sleep(100))
                await world.sleep(0)
                cancelled.cancel("why")
                results = await asyncio.gather(*tasks, cancelled, return_exceptions=True)
                assert sum(isinstance(each, ValueError) for each in results) == 4
                async with asyncio.timeout(10):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(asyncio.sleep(0))
                        group.create_task(asyncio.sleep(0))
                queue = asyncio.Queue(1)
                async def produce():
                    for n in range(5):
                        await queue.put(n)
                producing = loop.create_task(produce())
                assert [await queue.get() for _ in range(5)] == list(range(5))
                await producing
                if sys.version_info >= (3, 12):
                    eager = world.Task(leaf(1), loop=loop, eager_start=True)
                    await eager
            return "end"

        loop = new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        gc.set_threshold(THRESHOLD, 2, 2)
        assert loop.run_until_complete(main()) == "end"
        loop.close()
        """.replace("THRESHOLD", str(threshold)),
        timeout=60,
    )


def test_the_collector_inside_every_step_and_callback(world: Any, loop: Any) -> None:
    import gc

    log: list[int] = []

    async def steps(number: int) -> int:
        for _ in range(3):
            gc.collect(0)
            await world.sleep(0)
        future = loop.create_future()
        future.add_done_callback(lambda _: gc.collect(0))
        loop.call_soon(future.set_result, number)
        log.append(await future)
        gc.collect(0)
        return number

    async def main() -> Any:
        return await asyncio.gather(*(steps(number) for number in range(10)))

    assert loop.run_until_complete(main()) == list(range(10))
    assert log == list(range(10))


def test_weak_reference_callbacks_that_re_enter(world: Any) -> None:
    passes_apart(
        world,
        """
        loop = new_event_loop()
        log = []
        async def returns(): return 1

        def on_death(_):
            log.append("dead")
            loop.create_task(returns())
            world.Future(loop=loop).set_result(1)
            world.all_tasks(loop)
            gc.collect()

        for _ in range(50):
            future = world.Future(loop=loop)
            task = loop.create_task(returns())
            watched = [weakref.ref(future, on_death), weakref.ref(task, on_death)]
            loop.run_until_complete(task)
            del future, task
            loop.stop(); loop.run_forever()
        assert len(log) == 100, len(log)
        loop.close()
        """,
    )


def test_futures_and_tasks_revived_again_and_again(world: Any) -> None:
    passes_apart(
        world,
        """
        loop = new_event_loop()
        kept = []
        loop.set_exception_handler(lambda loop, context: kept.append(context))
        async def orphan(): await loop.create_future()
        async def fails(): raise ValueError
        for _ in range(200):
            future = world.Future(loop=loop)
            future.set_exception(ValueError())
            loop.create_task(orphan())
            loop.create_task(fails())
            del future
            loop.stop(); loop.run_forever()
            gc.collect()
            assert len(kept) == 3, kept
            for context in kept:
                each = context.get("future") or context.get("task")
                repr(each); each.done(); each.get_loop()
                each.add_done_callback(print)
                each.remove_done_callback(print)
                each.cancel()
            kept.clear()
            loop.stop(); loop.run_forever()
        """,
    )


def test_the_loop_closed_and_dropped_under_its_tasks(world: Any) -> None:
    passes_apart(
        world,
        """
        async def waits(loop):
            await loop.create_future()
        async def sleeps():
            await world.sleep(1000)

        for _ in range(30):
            loop = new_event_loop()
            loop.set_exception_handler(lambda *_: None)
            tasks = [loop.create_task(waits(loop)), loop.create_task(sleeps())]
            loop.stop(); loop.run_forever()
            tasks.append(loop.create_task(sleeps()))
            futures = [each._fut_waiter for each in tasks]
            loop.close()
            for each in tasks:
                try: each.cancel()
                except RuntimeError as error: assert str(error) == "Event loop is closed", error
            for each in futures:
                try: each is None or each.done() or each.set_result(None)
                except RuntimeError as error: assert str(error) == "Event loop is closed", error
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                del tasks, futures, loop
                gc.collect()
        """,
    )


def test_tasks_alive_at_the_end_of_the_process(world: Any) -> None:
    """Module globals are torn down in any order; nothing may crash on the way out."""
    passes_apart(
        world,
        """
        class Job(world.Task): pass
        async def waits(): await loop.create_future()
        async def fails(): raise ValueError
        loop = new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        tasks = [loop.create_task(waits()), loop.create_task(world.sleep(1000))]
        tasks.append(Job(waits(), loop=loop))
        failed = loop.create_task(fails())
        future = world.Future(loop=loop)
        future.add_done_callback(lambda _: tasks)
        loop.stop(); loop.run_forever()
        late = loop.create_task(waits())
        timer = loop.call_later(1000, lambda: tasks)
        iterator = future.__await__()
        next(iterator)
        builtin_cycle = sys.modules
        builtin_cycle["keeps"] = loop
        """,
    )


def test_the_process_ends_inside_a_step(world: Any) -> None:
    from task_tools import run_apart

    outcome = run_apart(
        world,
        """
        async def inner():
            await world.sleep(0)
            sys.exit(7)
        async def main():
            await loop.create_task(inner())
        loop = new_event_loop()
        loop.run_until_complete(main())
        """,
    )
    assert outcome.status == 7, outcome.err


def test_a_step_at_the_bottom_of_the_stack_raises_recursion_error(world: Any) -> None:
    passes_apart(
        world,
        """
        def deep(function, depth=0):
            try:
                return deep(function, depth + 1)
            except RecursionError:
                return function()

        loop = new_event_loop()
        async def main():
            future = loop.create_future()
            loop.call_soon(future.set_result, 1)
            await future
            return "end"
        task = loop.create_task(main())
        def settle():
            try:
                loop.stop(); loop.run_forever()
            except RecursionError:
                pass
        sys.setrecursionlimit(200)
        loop.set_exception_handler(lambda *_: None)
        deep(settle)
        sys.setrecursionlimit(1000)
        for _ in range(5):
            loop.stop(); loop.run_forever()
        assert task.done()
        if not task.cancelled() and task.exception() is not None:
            assert isinstance(task.exception(), RecursionError)
        """,
    )


def test_a_callback_that_cancels_the_next_callback_s_task(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def victim() -> None:
        log.append("ran")

    first = loop.create_future()
    task = loop.create_task(victim())
    first.add_done_callback(lambda _: task.cancel())
    first.set_result(None)
    # The task's step stands before the callback: it has run when it is cancelled.
    world.turn(loop)
    assert log == ["ran"]
    assert task.done()
    assert not task.cancelled()


def test_clear_of_a_cycle_through_a_running_task(world: Any, loop: Any) -> None:
    """The task's own step collects the cycle that the task is in."""
    import gc

    class Holder:
        pass

    async def main(holder: Any) -> str:
        holder.task = asyncio.current_task()
        holder.myself = holder
        del holder
        for _ in range(3):
            gc.collect()
            await world.sleep(0)
        return "end"

    assert loop.run_until_complete(main(Holder())) == "end"


def test_a_wake_up_dropped_before_it_runs(world: Any, loop: Any) -> None:
    """The future is settled, and then everything is let go except what the loop holds."""
    import gc
    import weakref

    log: list[str] = []

    async def main(future: Any) -> None:
        await future
        log.append("awake")

    future = loop.create_future()
    watched = weakref.ref(loop.create_task(main(future)))
    world.turn(loop)
    future.set_result(None)
    del future
    gc.collect()
    assert watched() is not None
    world.turn(loop)
    assert log == ["awake"]
    gc.collect()
    assert watched() is None


def test_cancelling_and_settling_race_in_every_order(world: Any, loop: Any) -> None:
    outcomes = []

    async def main(future: Any) -> Any:
        try:
            return await future
        except asyncio.CancelledError as error:
            return error.args

    for order in ("settle cancel", "cancel settle", "cancel cancel", "settle turn cancel"):
        future = loop.create_future()
        task = loop.create_task(main(future))
        world.turn(loop)
        for word in order.split():
            if word == "turn":
                world.turn(loop)
            elif word == "settle":
                future.done() or future.set_result("result")
            else:
                task.cancel(order)
        world.turn(loop)
        outcomes.append(task.result())
    assert outcomes == [
        ("settle cancel",),
        ("cancel settle",),
        ("cancel cancel",),
        "result",
    ]
