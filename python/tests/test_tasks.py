"""A task's life: made of a coroutine, stepped by the loop, ended by its return or its error."""

from __future__ import annotations

import asyncio
import collections.abc
import contextvars
import gc
import inspect
import re
import types
import weakref
from typing import Any

import pytest
from task_tools import PY, Pause, gather_reports, raised, shares_layout


async def returns(value: Any = None) -> Any:
    return value


async def raises(error: BaseException) -> None:
    raise error


def test_a_task_is_made_of_a_coroutine_and_runs_it(world: Any, loop: Any) -> None:
    coro = returns(5)
    task = world.Task(coro, loop=loop)
    assert task.get_coro() is coro
    assert task.get_loop() is loop
    assert not task.done()
    assert loop.run_until_complete(task) == 5
    assert task.done()
    assert task.result() == 5
    assert task.exception() is None


def test_the_coroutine_may_be_given_by_name(world: Any, loop: Any) -> None:
    task = world.Task(coro=returns(5), loop=loop)
    assert loop.run_until_complete(task) == 5


def test_a_task_is_an_instance_of_asyncio_s_types(world: Any, loop: Any) -> None:
    task = loop.create_task(returns())
    assert type(task) is world.Task
    assert isinstance(task, world.Future)
    assert isinstance(task, asyncio.Task) or not shares_layout(world)
    assert isinstance(task, asyncio.Future) or not shares_layout(world)
    assert asyncio.isfuture(task)
    assert not asyncio.iscoroutine(task)
    loop.run_until_complete(task)


def test_making_a_task_runs_nothing_of_its_coroutine(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        log.append("ran")

    task = loop.create_task(main())
    assert log == []
    assert inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_CREATED
    world.turn(loop)
    assert log == ["ran"]
    assert task.done()


@pytest.mark.parametrize(
    "wrong", [returns, len, 1, None, object, "text", contextvars.Context], ids=repr
)
def test_a_task_of_what_is_no_coroutine_is_refused(world: Any, loop: Any, wrong: Any) -> None:
    error = raised(lambda: world.Task(wrong, loop=loop))
    assert type(error) is TypeError
    assert str(error) == f"a coroutine was expected, got {wrong!r}"
    gc.collect()
    world.turn(loop)


def test_a_task_of_a_future_is_refused(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    error = raised(lambda: world.Task(future, loop=loop))
    assert str(error) == "a coroutine was expected, got <Future pending>"


def test_a_task_of_an_async_generator_is_refused(world: Any, loop: Any) -> None:
    async def numbers() -> Any:
        yield 1

    agen = numbers()
    error = raised(lambda: world.Task(agen, loop=loop))
    assert str(error) == f"a coroutine was expected, got {agen!r}"


def test_a_plain_generator_makes_a_task_on_3_11_only(world: Any, loop: Any) -> None:
    def numbers() -> Any:
        yield
        return "end"

    if PY == (3, 11):
        assert loop.run_until_complete(world.Task(numbers(), loop=loop)) == "end"
    else:
        assert type(raised(lambda: world.Task(numbers(), loop=loop))) is TypeError


@pytest.mark.parametrize(
    "call",
    [
        lambda cls, coro, loop: cls(),
        lambda cls, coro, loop: cls(loop=loop),
        lambda cls, coro, loop: cls(coro, loop),
        lambda cls, coro, loop: cls(coro, loop=loop, colour="red"),
        lambda cls, coro, loop: cls(coro, coro=coro, loop=loop),
    ],
)
def test_wrong_arguments_of_the_constructor_are_refused(world: Any, loop: Any, call: Any) -> None:
    coro = returns()
    assert type(raised(lambda: call(world.Task, coro, loop))) is TypeError
    coro.close()
    gc.collect()
    world.turn(loop)


def test_loop_none_means_the_current_loop(world: Any, loop: Any) -> None:
    async def main() -> Any:
        tasks = [world.Task(returns(1)), world.Task(returns(2), loop=None)]
        assert all(each.get_loop() is loop for each in tasks)
        return [await each for each in tasks]

    assert loop.run_until_complete(main()) == [1, 2]


def test_without_a_loop_the_thread_s_current_loop_is_taken(world: Any, loop: Any) -> None:
    asyncio.set_event_loop(loop)
    try:
        task = world.Task(returns(3))
    finally:
        asyncio.set_event_loop(None)
    assert task.get_loop() is loop
    assert loop.run_until_complete(task) == 3


def test_set_result_and_set_exception_are_refused(world: Any, loop: Any) -> None:
    task = loop.create_task(returns())
    error = raised(lambda: task.set_result(1))
    assert type(error) is RuntimeError
    assert str(error) == "Task does not support set_result operation"
    error = raised(lambda: task.set_exception(ValueError()))
    assert type(error) is RuntimeError
    assert str(error) == "Task does not support set_exception operation"
    assert not task.done()
    loop.run_until_complete(task)
    assert type(raised(lambda: task.set_result(1))) is RuntimeError


def test_an_exception_of_the_coroutine_is_the_task_s(world: Any, loop: Any) -> None:
    error = ValueError("out of the coroutine")
    task = loop.create_task(raises(error))
    world.turn(loop)
    assert task.done()
    assert not task.cancelled()
    assert task.exception() is error
    assert raised(task.result) is error


@pytest.mark.parametrize("kind", [GeneratorExit, BaseException, asyncio.TimeoutError])
def test_a_base_exception_stays_with_the_task(
    world: Any, loop: Any, kind: type[BaseException]
) -> None:
    task = loop.create_task(raises(kind("kept")))
    world.turn(loop)
    assert type(task.exception()) is kind


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_kept_by_the_task_and_leaves_the_loop(
    world: Any, loop: Any, kind: type[BaseException]
) -> None:
    error = kind("interrupt")
    log: list[str] = []
    task = loop.create_task(raises(error))
    loop.call_soon(log.append, "later")
    assert raised(lambda: world.turn(loop)) is error
    assert log == []
    assert task.done()
    assert task.exception() is error
    assert not loop.is_running()
    # What stood behind it in the queue is not lost.
    world.turn(loop)
    assert log == ["later"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_after_a_suspension_is_treated_alike(
    world: Any, loop: Any, kind: type[BaseException]
) -> None:
    async def main() -> None:
        await world.sleep(0)
        raise kind

    task = loop.create_task(main())
    assert type(raised(lambda: loop.run_until_complete(task))) is kind
    assert type(task.exception()) is kind


def test_a_subclass_of_keyboard_interrupt_leaves_the_loop_too(world: Any, loop: Any) -> None:
    class Interrupt(KeyboardInterrupt):
        pass

    task = loop.create_task(raises(Interrupt()))
    assert type(raised(lambda: world.turn(loop))) is Interrupt
    assert type(task.exception()) is Interrupt


def test_stop_iteration_out_of_a_coroutine_becomes_a_runtime_error(world: Any, loop: Any) -> None:
    task = loop.create_task(raises(StopIteration(3)))
    world.turn(loop)
    error = task.exception()
    assert type(error) is RuntimeError
    assert str(error) == "coroutine raised StopIteration"
    assert type(error.__cause__) is StopIteration


@pytest.mark.parametrize(
    "value", [None, 0, (), (1,), (1, 2), StopIteration(3), ValueError("value"), [1]], ids=repr
)
def test_any_object_is_a_return_value(world: Any, loop: Any, value: Any) -> None:
    task = loop.create_task(returns(value))
    loop.run_until_complete(task)
    assert task.result() is value

    async def main() -> Any:
        return await loop.create_task(returns(value))

    assert loop.run_until_complete(main()) is value


def turns_needed(world: Any, loop: Any, coro: Any) -> int:
    task = loop.create_task(coro)
    for count in range(1, 20):
        world.turn(loop)
        if task.done():
            task.result()
            return count
    raise AssertionError("the task does not end")


def test_hand_offs_are_as_many_as_asyncio_makes(world: Any, loop: Any) -> None:
    async def awaits_a_coroutine() -> None:
        await returns()

    async def yields() -> None:
        await Pause()

    async def sleeps() -> None:
        await world.sleep(0)

    async def awaits_a_task() -> None:
        await loop.create_task(returns())

    async def awaits_a_done_future() -> None:
        future = loop.create_future()
        future.set_result(None)
        await future

    async def awaits_a_future() -> None:
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future

    expected = {
        awaits_a_coroutine: 1,
        yields: 2,
        sleeps: 2,
        awaits_a_task: 3,
        awaits_a_done_future: 1,
        awaits_a_future: 3,
    }
    for function, count in expected.items():
        assert turns_needed(world, loop, function()) == count, function.__name__


def test_awaiting_a_coroutine_is_like_a_call_and_awaiting_a_task_is_not(
    world: Any, loop: Any
) -> None:
    async def note(name: str) -> None:
        log.append(name)

    async def by_coroutine() -> None:
        loop.create_task(note("b"))
        for _ in range(3):
            await note("a")

    async def by_task() -> None:
        loop.create_task(note("b"))
        for _ in range(3):
            await loop.create_task(note("a"))

    log: list[str] = []
    loop.run_until_complete(by_coroutine())
    world.turn(loop)
    assert log == ["a", "a", "a", "b"]
    log.clear()
    loop.run_until_complete(by_task())
    assert log == ["b", "a", "a", "a"]


def test_tasks_step_in_the_order_of_their_making_and_take_turns(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def steps(name: str) -> None:
        for number in range(3):
            log.append(f"{name}{number}")
            await world.sleep(0)

    async def main() -> None:
        tasks = [loop.create_task(steps(name)) for name in "abc"]
        for task in tasks:
            await task

    loop.run_until_complete(main())
    assert log == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_steps_take_their_place_among_handles(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        log.append("step 1")
        loop.call_soon(log.append, "from step 1")
        await world.sleep(0)
        log.append("step 2")

    loop.call_soon(log.append, "before")
    loop.create_task(main())
    loop.call_soon(log.append, "after")
    world.turn(loop)
    assert log == ["before", "step 1", "after"]
    world.turn(loop)
    assert log[3:] == ["from step 1", "step 2"]


def test_a_waiter_wakes_in_the_place_of_its_callback(world: Any, loop: Any) -> None:
    """Waiting tasks and callbacks of one future wake in the order in which they came."""
    future = loop.create_future()
    log: list[str] = []

    async def waits(name: str) -> None:
        await future
        log.append(name)

    first = loop.create_task(waits("first task"))
    world.turn(loop)
    future.add_done_callback(lambda _: log.append("first callback"))
    second = loop.create_task(waits("second task"))
    world.turn(loop)
    future.add_done_callback(lambda _: log.append("second callback"))
    future.set_result(None)
    assert log == []
    world.turn(loop)
    assert log == ["first task", "first callback", "second task", "second callback"]
    assert first.done()
    assert second.done()


def test_many_tasks_wait_for_one_future(world: Any, loop: Any) -> None:
    async def waits(number: int) -> int:
        return (await future) + number

    future = loop.create_future()
    tasks = [loop.create_task(waits(number)) for number in range(200)]
    world.turn(loop)
    assert all(each._fut_waiter is future for each in tasks)
    future.set_result(1000)
    world.turn(loop)
    assert [each.result() for each in tasks] == list(range(1000, 1200))


def test_many_tasks_wait_for_one_task_that_fails(world: Any, loop: Any) -> None:
    error = ValueError("shared")

    async def fails() -> None:
        await world.sleep(0)
        raise error

    async def waits() -> Any:
        try:
            await task
        except ValueError as seen:
            return seen

    task = loop.create_task(fails())
    waiting = [loop.create_task(waits()) for _ in range(20)]
    world.turn(loop, 4)
    assert all(each.result() is error for each in waiting)


def test_a_future_settled_between_two_steps_wakes_its_waiter_once(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        await future
        log.append("awake")

    future = loop.create_future()
    task = loop.create_task(main())
    world.turn(loop)
    future.set_result(None)
    world.turn(loop, 3)
    assert log == ["awake"]
    assert task.done()


# Yields that no task understands.


def bad_yield_error(world: Any, loop: Any, value: Any) -> tuple[BaseException, Any]:
    async def main() -> Any:
        try:
            await Pause(value)
        except RuntimeError as error:
            return error

    task = loop.create_task(main())
    world.turn(loop)
    # The error is not thrown at once but at the task's next step.
    assert not task.done()
    world.turn(loop)
    error = task.result()
    assert type(error) is RuntimeError
    return error, task


@pytest.mark.parametrize("value", [7, "text", [], object, (1, 2), 0, False, ""], ids=repr)
def test_a_bad_yield_is_thrown_back(world: Any, loop: Any, value: Any) -> None:
    error, _ = bad_yield_error(world, loop, value)
    assert str(error) == f"Task got bad yield: {value!r}"


def test_a_yielded_future_that_was_not_awaited_is_thrown_back(world: Any, loop: Any) -> None:
    future = loop.create_future()
    error, task = bad_yield_error(world, loop, future)
    assert re.fullmatch(
        r"yield was used instead of yield from in task <Task pending name='.*' coro=<.*main\(\)"
        r" running at .*> with <Future pending>",
        str(error),
    )
    assert task.get_name() in str(error)
    assert future._callbacks is None


def test_a_yielded_generator_is_thrown_back(world: Any, loop: Any) -> None:
    def numbers() -> Any:
        yield 1

    generator = numbers()
    error, _ = bad_yield_error(world, loop, generator)
    assert re.fullmatch(
        r"yield was used instead of yield from for generator in task <Task pending .*>"
        r" with <generator object .*numbers at 0x.*>",
        str(error),
    )


def test_a_task_that_awaits_itself_is_told_so(world: Any, loop: Any) -> None:
    async def main() -> Any:
        try:
            await task
        except RuntimeError as error:
            return error

    task = loop.create_task(main())
    world.turn(loop, 2)
    error = task.result()
    assert type(error) is RuntimeError
    assert re.fullmatch(
        r"Task cannot await on itself: <Task pending name=.*main\(\).*>", str(error)
    )


def test_a_future_of_another_loop_is_refused(world: Any, loop: Any) -> None:
    other = world.new_event_loop()
    future = world.Future(loop=other)

    async def main() -> Any:
        try:
            await future
        except RuntimeError as error:
            return error

    task = loop.create_task(main())
    world.turn(loop, 2)
    other.close()
    error = task.result()
    assert re.fullmatch(
        r"Task <Task pending name=.*main\(\).*> got Future <Future pending>"
        r" attached to a different loop",
        str(error),
    )
    assert future._callbacks is None
    # As asyncio does, the flag is left up.
    assert future._asyncio_future_blocking is True


def test_a_done_future_of_another_loop_is_simply_read(world: Any, loop: Any) -> None:
    other = world.new_event_loop()
    future = world.Future(loop=other)
    future.set_result("read")
    other.close()

    async def main() -> Any:
        return await future

    assert loop.run_until_complete(main()) == "read"


def test_an_uncaught_bad_yield_fails_the_task(world: Any, loop: Any) -> None:
    async def main() -> None:
        await Pause(7)

    error = raised(lambda: loop.run_until_complete(main()))
    assert str(error) == "Task got bad yield: 7"


def test_a_task_goes_on_after_every_bad_yield(world: Any, loop: Any) -> None:
    def generator() -> Any:
        yield

    async def main() -> list[str]:
        texts = []
        for value in (7, loop.create_future(), generator(), "x"):
            try:
                await Pause(value)
            except RuntimeError as error:
                texts.append(str(error)[:20])
        await world.sleep(0)
        return texts

    assert loop.run_until_complete(main()) == [
        "Task got bad yield: ",
        "yield was used inste",
        "yield was used inste",
        "Task got bad yield: ",
    ]


def test_an_error_in_the_repr_of_a_bad_yield_is_thrown_somewhere_sane(
    world: Any, loop: Any
) -> None:
    class NoRepr:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    async def main() -> Any:
        try:
            await Pause(NoRepr())
        except RuntimeError as error:
            return error

    reports = gather_reports(loop)
    task = loop.create_task(main())
    world.turn(loop, 3)
    # asyncio reports it from the step and never steps the task again.
    assert [type(each["exception"]) for each in reports] == [ZeroDivisionError]
    assert not task.done()
    task.cancel()
    task._log_destroy_pending = False
    task.get_coro().close()
    world.turn(loop)
    reports.clear()


# Coroutines that are not Python's own.


class Steps(collections.abc.Coroutine):  # type: ignore[type-arg]
    """A coroutine written by hand: each step is a function of what came in."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.sent: list[Any] = []
        self.thrown: list[Any] = []
        self.closed = False

    def _step(self, error: BaseException | None) -> Any:
        return self.steps.pop(0)(error)

    def send(self, value: Any) -> Any:
        self.sent.append(value)
        return self._step(None)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        assert value is None
        self.thrown.append(kind)
        return self._step(kind)

    def close(self) -> None:
        self.closed = True

    def __await__(self) -> Any:
        return self


def stop(value: Any = None) -> Any:
    def step(error: BaseException | None) -> Any:
        raise StopIteration(value)

    return step


def give(value: Any) -> Any:
    return lambda error: value


def fail(error: BaseException) -> Any:
    def step(_: BaseException | None) -> Any:
        raise error

    return step


def test_a_hand_written_coroutine_makes_a_task(world: Any, loop: Any) -> None:
    future = loop.create_future()

    def wait_for_it(_: Any) -> Any:
        future._asyncio_future_blocking = True
        return future

    coro = Steps(give(None), wait_for_it, stop("end"))
    task = loop.create_task(coro)
    assert task.get_coro() is coro
    world.turn(loop, 2)
    assert coro.sent == [None, None]
    assert task._fut_waiter is future
    future.set_result("not sent")
    assert loop.run_until_complete(task) == "end"
    assert coro.sent == [None] * 3
    assert coro.thrown == []


def test_errors_are_thrown_into_a_hand_written_coroutine_as_instances(
    world: Any, loop: Any
) -> None:
    coro = Steps(give(7), give(None), stop("end"))
    task = loop.create_task(coro)
    assert loop.run_until_complete(task) == "end"
    assert [str(each) for each in coro.thrown] == ["Task got bad yield: 7"]
    assert isinstance(coro.thrown[0], RuntimeError)


def test_a_throw_that_returns_is_a_step_like_any(world: Any, loop: Any) -> None:
    coro = Steps(give(None), give(None), stop("denied"))
    task = loop.create_task(coro)
    world.turn(loop)
    task.cancel("why")
    world.turn(loop)
    assert [repr(each) for each in coro.thrown] == ["CancelledError('why')"]
    assert loop.run_until_complete(task) == "denied"


@pytest.mark.parametrize(
    "value", [None, 5, (1, 2), (), StopIteration(4), ValueError("value")], ids=repr
)
def test_a_hand_written_stop_iteration_carries_any_value(world: Any, loop: Any, value: Any) -> None:
    task = loop.create_task(Steps(stop(value)))
    loop.run_until_complete(task)
    assert task.result() is value


def test_a_subclass_of_stop_iteration_ends_a_hand_written_coroutine_too(
    world: Any, loop: Any
) -> None:
    class Stop(StopIteration):
        pass

    task = loop.create_task(Steps(fail(Stop("end"))))
    assert loop.run_until_complete(task) == "end"


def test_a_bare_stop_iteration_class_means_none(world: Any, loop: Any) -> None:
    class Bare(Steps):
        def send(self, value: Any) -> Any:
            raise StopIteration

    assert loop.run_until_complete(loop.create_task(Bare())) is None


def test_throw_may_end_a_hand_written_coroutine_with_a_value(world: Any, loop: Any) -> None:
    coro = Steps(give(None), stop("end"))
    task = loop.create_task(coro)
    world.turn(loop)
    task.cancel()
    world.turn(loop)
    assert task.result() == "end"
    assert not task.cancelled()


@pytest.mark.parametrize("missing", ["send", "throw"])
def test_methods_of_a_hand_written_coroutine_that_raise_attribute_error_fail_the_task(
    world: Any, loop: Any, missing: str
) -> None:
    class Broken(Steps):
        def __getattribute__(self, name: str) -> Any:
            if name == missing:
                raise AttributeError(f"no {name} today")
            return super().__getattribute__(name)

    coro = Broken(give(None), stop("end"))
    task = loop.create_task(coro)
    if missing == "send":
        world.turn(loop)
    else:
        world.turn(loop)
        task.cancel()
        world.turn(loop)
    assert type(task.exception()) is AttributeError
    assert str(task.exception()) == f"no {missing} today"


def test_an_async_generator_s_asend_can_be_awaited_but_is_no_coroutine(
    world: Any, loop: Any
) -> None:
    async def numbers() -> Any:
        got = yield 1
        await world.sleep(0)
        yield got

    async def main() -> list[Any]:
        agen = numbers()
        first = await agen.asend(None)
        second = await agen.asend("sent")
        await agen.aclose()
        return [first, second]

    assert loop.run_until_complete(main()) == [1, "sent"]
    agen = numbers()
    asend = agen.asend(None)
    # It has send, throw and close and is awaitable, which is all that a coroutine needs.
    if isinstance(asend, collections.abc.Coroutine):
        assert loop.run_until_complete(world.Task(asend, loop=loop)) == 1
    else:
        assert type(raised(lambda: world.Task(asend, loop=loop))) is TypeError
    loop.run_until_complete(agen.aclose())


def test_a_decorated_generator_is_awaited_like_a_coroutine(world: Any, loop: Any) -> None:
    @types.coroutine
    def steps() -> Any:
        yield
        got = yield from loop.create_task(returns("inner"))
        return got

    async def main() -> Any:
        return await steps()

    assert loop.run_until_complete(main()) == "inner"
    if PY == (3, 11):
        assert loop.run_until_complete(world.Task(steps(), loop=loop)) == "inner"
    else:
        assert type(raised(lambda: world.Task(steps(), loop=loop))) is TypeError


def test_one_coroutine_in_two_tasks_is_found_out(world: Any, loop: Any) -> None:
    async def main() -> None:
        await world.sleep(0)
        await world.sleep(0)

    coro = main()
    first, second = loop.create_task(coro), loop.create_task(coro)
    world.turn(loop, 6)
    assert first.done()
    assert second.done()
    errors = [each.exception() for each in (first, second)]
    assert any(
        type(each) is RuntimeError and str(each) == "cannot reuse already awaited coroutine"
        for each in errors
    )


def test_a_coroutine_that_ended_already_fails_its_task(world: Any, loop: Any) -> None:
    coro = returns()
    raised(lambda: coro.send(None))
    task = loop.create_task(coro)
    error = raised(lambda: loop.run_until_complete(task))
    assert type(error) is RuntimeError
    assert str(error) == "cannot reuse already awaited coroutine"


def test_a_coroutine_closed_behind_its_task_fails_it(world: Any, loop: Any) -> None:
    async def main() -> None:
        await future

    future = loop.create_future()
    task = loop.create_task(main())
    world.turn(loop)
    task.get_coro().close()
    future.set_result(None)
    error = raised(lambda: loop.run_until_complete(task))
    assert str(error) == "cannot reuse already awaited coroutine"


def test_a_coroutine_started_by_hand_may_become_a_task(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def main() -> str:
        await Pause()
        log.append("resumed")
        return "end"

    coro = main()
    coro.send(None)
    assert loop.run_until_complete(loop.create_task(coro)) == "end"
    assert log == ["resumed"]


def test_a_task_of_a_coroutine_that_runs_already_fails(world: Any, loop: Any) -> None:
    async def main() -> Any:
        task = loop.create_task(coro)
        task_error = None
        try:
            task.get_coro().send(None)
        except ValueError as error:
            task_error = error
        task.cancel()
        return str(task_error), task

    coro = main()
    text, task = loop.run_until_complete(coro)
    assert text == "coroutine already executing"
    world.turn(loop)
    assert task.done()
    task.cancelled() or task.exception()


# Stacks, contexts, lifetimes.


def test_a_task_runs_in_a_copy_of_the_context_of_its_making(world: Any, loop: Any) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")

    async def main() -> int:
        seen = variable.get()
        variable.set(99)
        await world.sleep(0)
        assert variable.get() == 99
        return seen

    tasks = []
    for number in (1, 2):
        variable.set(number)
        tasks.append(loop.create_task(main()))
    variable.set(3)
    assert [loop.run_until_complete(each) for each in tasks] == [1, 2]
    assert variable.get() == 3


def test_a_task_runs_in_the_very_context_given(world: Any, loop: Any) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    context = contextvars.copy_context()

    async def main() -> None:
        variable.set(7)
        await world.sleep(0)
        variable.set(variable.get() + 1)

    task = world.Task(main(), loop=loop, context=context)
    loop.run_until_complete(task)
    assert context[variable] == 8
    assert variable not in contextvars.copy_context()
    task = loop.create_task(returns(), context=context)
    if PY >= (3, 12):
        assert task.get_context() is context
    loop.run_until_complete(task)


def test_get_context_gives_the_task_s_own_context(world: Any, loop: Any) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")

    async def main() -> None:
        variable.set(5)

    task = loop.create_task(main())
    if PY < (3, 12):
        assert not hasattr(task, "get_context")
        loop.run_until_complete(task)
        return
    context = task.get_context()
    assert type(context) is contextvars.Context
    assert variable not in context
    loop.run_until_complete(task)
    assert context[variable] == 5
    assert task.get_context() is context


def test_tasks_that_share_a_context_take_turns_in_it(world: Any, loop: Any) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    context = contextvars.copy_context()

    async def counts() -> None:
        for _ in range(3):
            variable.set(variable.get() + 1)
            await world.sleep(0)

    tasks = [loop.create_task(counts(), context=context) for _ in range(4)]
    for task in tasks:
        loop.run_until_complete(task)
    assert context[variable] == 12


def test_a_context_that_is_entered_already_is_reported_and_the_loop_lives(world: Any) -> None:
    reports: list[dict[str, Any]] = []

    class Loop(world.EventLoop):
        # Not a handler: from 3.12 on that would itself run in the context which is entered.
        def call_exception_handler(self, context: dict[str, Any]) -> None:
            reports.append(context)

    async def main() -> None:
        log.append("ran")

    loop = Loop()
    context = contextvars.copy_context()
    log: list[str] = []
    task = loop.create_task(main(), context=context)
    loop.call_soon(log.append, "after")
    # The turn runs inside the context, so that the task's step cannot enter it.
    context.run(world.turn, loop)
    assert log == ["after"]
    assert len(reports) == 1
    assert reports[0]["message"].startswith("Exception in callback")
    assert type(reports[0]["exception"]) is RuntimeError
    assert re.fullmatch(
        r"cannot enter context: <.*Context object at 0x[0-9a-f]+> is already entered",
        str(reports[0]["exception"]),
    )
    assert not task.done()
    task._log_destroy_pending = False
    task.get_coro().close()
    reports.clear()
    loop.close()


def test_get_stack_shows_where_a_task_is_suspended(world: Any, loop: Any) -> None:
    async def inner() -> None:
        await future

    async def main() -> None:
        await inner()

    future = loop.create_future()
    task = loop.create_task(main())
    assert [frame.f_code.co_name for frame in task.get_stack()] == ["main"]
    world.turn(loop)
    stack = task.get_stack()
    assert [frame.f_code.co_name for frame in stack] == ["main"]
    assert stack[0].f_lineno == main.__code__.co_firstlineno + 1
    assert task.get_stack(limit=1) == stack
    assert task.get_stack(limit=0) == []
    future.set_result(None)
    loop.run_until_complete(task)
    assert task.get_stack() == []


def test_get_stack_of_a_failed_task_shows_its_traceback(world: Any, loop: Any) -> None:
    async def inner() -> None:
        raise ValueError("deep")

    async def main() -> None:
        await world.sleep(0)
        await inner()

    task = loop.create_task(main())
    world.turn(loop, 2)
    names = [frame.f_code.co_name for frame in task.get_stack()]
    assert names == ["main", "inner"]
    assert [each.f_code.co_name for each in task.get_stack(limit=1)] == ["main"]
    task.exception()


def test_get_stack_from_inside_shows_the_running_frame(world: Any, loop: Any) -> None:
    async def main() -> list[str]:
        return [frame.f_code.co_name for frame in task.get_stack()]

    task = loop.create_task(main())
    names = loop.run_until_complete(task)
    assert "main" in names


def test_get_stack_of_a_cancelled_task_is_empty(world: Any, loop: Any) -> None:
    task = loop.create_task(world.sleep(10))
    world.turn(loop)
    task.cancel()
    world.turn(loop)
    world.turn(loop)
    assert task.cancelled()
    assert task.get_stack() == []


def test_print_stack_says_what_it_shows(world: Any, loop: Any) -> None:
    import io

    async def main() -> None:
        await future

    async def fails() -> None:
        raise ValueError("why")

    def printed(task: Any, **kwargs: Any) -> str:
        out = io.StringIO()
        assert task.print_stack(file=out, **kwargs) is None
        return out.getvalue()

    future = loop.create_future()
    waiting, failed = loop.create_task(main()), loop.create_task(fails())
    world.turn(loop)
    lines = printed(waiting).splitlines()
    assert re.fullmatch(r"Stack for <Task pending name=.*> \(most recent call last\):", lines[0])
    assert lines[1] == (f'  File "{__file__}", line {main.__code__.co_firstlineno + 1}, in main')
    assert lines[2] == "    await future"
    text = printed(failed)
    assert text.startswith("Traceback for <Task finished name=")
    assert text.endswith("ValueError: why\n")
    future.set_result(None)
    loop.run_until_complete(waiting)
    assert printed(waiting).startswith("No stack for <Task finished name=")
    assert printed(waiting, limit=5).startswith("No stack for")
    failed.exception()


def test_print_stack_without_a_file_prints(world: Any, loop: Any, capsys: Any) -> None:
    task = loop.create_task(returns())
    task.print_stack()
    # Header and lines: asyncio prints the one to stdout and the others to stderr.
    captured = capsys.readouterr()
    assert captured.out.startswith("Stack for <Task pending")
    assert ", in returns" in captured.err
    loop.run_until_complete(task)
    task.print_stack(file=None, limit=None)
    assert capsys.readouterr().out.startswith("No stack for <Task finished")


def test_get_stack_takes_its_limit_by_name_only(world: Any, loop: Any) -> None:
    task = loop.create_task(returns())
    assert type(raised(lambda: task.get_stack(1))) is TypeError
    assert type(raised(lambda: task.print_stack(1))) is TypeError
    loop.run_until_complete(task)


def test_a_finished_task_lets_its_coroutine_s_variables_go(world: Any, loop: Any) -> None:
    class Value:
        pass

    async def main() -> None:
        value = Value()
        watched.append(weakref.ref(value))
        await world.sleep(0)

    watched: list[Any] = []
    task = loop.create_task(main())
    loop.run_until_complete(task)
    assert watched[0]() is None
    assert task.get_coro() is not None


def test_a_finished_task_dies_at_once_without_the_collector(world: Any, loop: Any) -> None:
    async def main() -> None:
        await world.sleep(0)
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future

    gc.collect()
    gc.disable()
    try:
        task = loop.create_task(main())
        watched = weakref.ref(task)
        loop.run_until_complete(task)
        del task
        world.turn(loop)
        assert watched() is None
    finally:
        gc.enable()


def test_a_failed_task_looked_at_dies_at_once_without_the_collector(world: Any, loop: Any) -> None:
    async def main() -> None:
        await world.sleep(0)
        raise ValueError

    gc.collect()
    gc.disable()
    try:
        task = loop.create_task(main())
        watched = weakref.ref(task)
        world.turn(loop, 3)
        task.exception()
        del task
        assert watched() is None
    finally:
        gc.enable()


def test_a_cancelled_task_dies_at_once_without_the_collector(world: Any, loop: Any) -> None:
    async def main() -> None:
        await loop.create_future()

    gc.collect()
    gc.disable()
    try:
        task = loop.create_task(main())
        watched = weakref.ref(task)
        world.turn(loop)
        task.cancel("why")
        world.turn(loop, 3)
        assert task.cancelled()
        del task
        assert watched() is None
    finally:
        gc.enable()


def test_a_task_not_yet_started_is_kept_by_the_loop(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        log.append("ran")

    watched = weakref.ref(loop.create_task(main()))
    gc.collect()
    assert watched() is not None
    world.turn(loop)
    assert log == ["ran"]


def test_a_task_whose_result_is_itself_is_collected(world: Any, loop: Any) -> None:
    async def main() -> Any:
        return asyncio.current_task()

    task = loop.create_task(main())
    loop.run_until_complete(task)
    assert task.result() is task
    watched = weakref.ref(task)
    del task
    gc.collect()
    assert watched() is None


def test_a_hundred_tasks_deep_chain_returns_its_value(world: Any, loop: Any) -> None:
    async def chain(depth: int) -> int:
        if depth == 0:
            return 0
        return await loop.create_task(chain(depth - 1)) + 1

    assert loop.run_until_complete(chain(100)) == 100


def test_the_callbacks_of_a_task_run_in_the_turn_after_its_end(world: Any, loop: Any) -> None:
    log: list[Any] = []
    task = loop.create_task(returns(1))
    task.add_done_callback(log.append)
    world.turn(loop)
    assert task.done()
    assert log == []
    world.turn(loop)
    assert log == [task]


def test_the_wake_up_of_a_waiting_task_shows_in_the_future_s_callbacks(
    world: Any, loop: Any
) -> None:
    async def main() -> None:
        await future

    future = loop.create_future()
    task = loop.create_task(main())
    world.turn(loop)
    ((callback, context),) = future._callbacks
    # Tools find the waiting task through it.
    assert callback.__self__ is task
    assert callable(callback)
    if PY >= (3, 12):
        assert context is task.get_context()
    future.set_result(None)
    loop.run_until_complete(task)


def test_a_wake_up_can_be_removed_by_equality_and_called_by_hand(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        await future
        log.append("awake")

    future = loop.create_future()
    task = loop.create_task(main())
    world.turn(loop)
    ((callback, _),) = future._callbacks
    assert future.remove_done_callback(callback) == 1
    future.set_result(None)
    world.turn(loop, 2)
    assert log == []
    loop.call_soon(callback, future)
    world.turn(loop)
    assert log == ["awake"]
    assert task.done()


def test_a_second_wake_up_of_a_done_task_is_reported(world: Any, loop: Any) -> None:
    async def main() -> None:
        await future

    future = loop.create_future()
    task = loop.create_task(main())
    world.turn(loop)
    ((callback, _),) = future._callbacks
    future.set_result(None)
    loop.run_until_complete(task)
    reports = gather_reports(loop)
    loop.call_soon(callback, future)
    world.turn(loop)
    error = reports[0]["exception"]
    assert type(error) is asyncio.InvalidStateError
    assert "step(): already done: <Task finished" in str(error)
    reports.clear()


def test_in_debug_mode_a_task_knows_where_it_was_made(world: Any, loop: Any) -> None:
    loop.set_debug(True)
    task = loop.create_task(returns())
    direct = world.Task(returns(), loop=loop)
    for each in (task, direct):
        assert each._source_traceback[-1].filename == __file__
        assert each._source_traceback[-1].name == (
            "test_in_debug_mode_a_task_knows_where_it_was_made"
        )
        loop.run_until_complete(each)
