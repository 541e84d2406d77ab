"""Tasks started eagerly: their first step runs inside the call that makes them (3.12 on)."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import re
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from task_tools import PY, Pause, coro_of, finish, gather_reports, passes_apart, raised

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="eager tasks came with Python 3.12"
)


async def returns(value: Any = None) -> Any:
    return value


def run(loop: Any, function: Callable[[], Any]) -> Any:
    """Run a plain function inside the running loop, outside any task."""
    results: list[Any] = []

    def call() -> None:
        try:
            results.append((True, function()))
        except BaseException as error:
            results.append((False, error))
        loop.stop()

    loop.call_soon(call)
    loop.run_forever()
    fine, value = results[0]
    if not fine:
        raise value
    return value


def eager(world: Any, loop: Any, coro: Any, **kwargs: Any) -> Any:
    return world.Task(coro, loop=loop, eager_start=True, **kwargs)


def test_an_eager_task_that_never_suspends_is_done_at_once(world: Any, loop: Any) -> None:
    task = run(loop, lambda: eager(world, loop, returns(5)))
    assert task.done()
    assert task.result() == 5
    assert task not in world.all_tasks(loop)
    assert coro_of(world, task) is None


def test_an_eager_task_runs_to_its_first_suspension(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def main() -> str:
        log.append("first")
        await world.sleep(0)
        log.append("second")
        return "end"

    def start() -> Any:
        coro = main()
        task = eager(world, loop, coro)
        log.append("made")
        assert task.get_coro() is coro
        assert task in world.all_tasks(loop)
        return task

    task = run(loop, start)
    assert not task.done()
    assert log == ["first", "made"]
    assert loop.run_until_complete(task) == "end"
    assert log == ["first", "made", "second"]


def test_an_eager_task_that_raises_is_failed_at_once(world: Any, loop: Any) -> None:
    error = ValueError("at once")

    async def main() -> None:
        raise error

    task = run(loop, lambda: eager(world, loop, main()))
    assert task.done()
    assert task.exception() is error
    assert coro_of(world, task) is None


def test_an_eager_task_that_raises_cancelled_error_is_cancelled_at_once(
    world: Any, loop: Any
) -> None:
    async def main() -> None:
        raise asyncio.CancelledError("at once")

    task = run(loop, lambda: eager(world, loop, main()))
    assert task.cancelled()
    assert raised(task.result).args == ("at once",)


@pytest.mark.may_log
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_an_eager_step_leaves_the_constructor(
    world: Any, loop: Any, kind: type[BaseException]
) -> None:
    async def main() -> None:
        raise kind("interrupt")

    error = raised(lambda: run(loop, lambda: eager(world, loop, main())))
    assert type(error) is kind
    assert world.all_tasks(loop) == set()
    assert run(loop, lambda: world.current_task(loop)) is None


def test_eager_start_without_a_running_loop_waits_for_the_loop(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        log.append("ran")

    task = eager(world, loop, main())
    assert log == []
    assert not task.done()
    loop.run_until_complete(task)
    assert log == ["ran"]


def test_eager_start_false_is_the_ordinary_start(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        log.append("ran")

    def start() -> Any:
        task = world.Task(main(), loop=loop, eager_start=False)
        assert log == []
        return task

    loop.run_until_complete(run(loop, start))
    assert log == ["ran"]


@pytest.mark.parametrize("flag", [1, "yes", [0]], ids=repr)
def test_eager_start_takes_a_truth_value(world: Any, loop: Any, flag: Any) -> None:
    task = run(loop, lambda: world.Task(returns(1), loop=loop, eager_start=flag))
    assert task.done()


def test_inside_its_eager_step_the_task_is_the_current_one(world: Any, loop: Any) -> None:
    seen: list[Any] = []

    async def inner() -> None:
        seen.append(world.current_task())
        seen.append(asyncio.current_task())
        assert seen[0] in world.all_tasks()

    async def main() -> Any:
        before = world.current_task()
        task = eager(world, loop, inner())
        assert world.current_task() is before
        return task

    task = loop.run_until_complete(main())
    assert seen == [task, task]


def test_eager_steps_may_be_nested(world: Any, loop: Any) -> None:
    log: list[Any] = []

    async def nest(depth: int) -> int:
        me = world.current_task()
        log.append(depth)
        if depth:
            task = eager(world, loop, nest(depth - 1))
            assert world.current_task() is me
            assert task.done()
            return task.result() + 1
        return 0

    task = run(loop, lambda: eager(world, loop, nest(30)))
    assert task.result() == 30
    assert log == list(range(30, -1, -1))
    assert run(loop, lambda: world.current_task(loop)) is None


def test_eager_steps_nested_without_end_raise_recursion_error(world: Any) -> None:
    passes_apart(
        world,
        """
        depth = 0
        async def endless():
            global depth
            depth += 1
            await world.Task(endless(), loop=loop, eager_start=True)

        loop = new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        async def main():
            try:
                await world.Task(endless(), loop=loop, eager_start=True)
            except RecursionError:
                return "recursion"
        sys.setrecursionlimit(400)
        print(loop.run_until_complete(main()), depth)
        assert depth > 20
        loop.close()
        """,
    )


@pytest.mark.may_log
def test_an_error_in_a_nested_eager_step_restores_the_current_task(world: Any, loop: Any) -> None:
    async def fails() -> None:
        raise ValueError

    async def interrupts() -> None:
        raise KeyboardInterrupt

    async def main() -> bool:
        me = world.current_task()
        eager(world, loop, fails()).exception()
        try:
            eager(world, loop, interrupts())
        except KeyboardInterrupt:
            pass
        return world.current_task() is me

    assert loop.run_until_complete(main()) is True


def test_an_eager_step_runs_in_the_task_s_own_context(world: Any, loop: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    async def inner() -> str:
        seen = variable.get()
        variable.set("inner")
        await world.sleep(0)
        assert variable.get() == "inner"
        return seen

    async def main() -> tuple[str, str, str]:
        variable.set("outer")
        task = eager(world, loop, inner())
        after = variable.get()
        return after, await task, variable.get()

    assert loop.run_until_complete(main()) == ("outer", "outer", "outer")


def test_an_eager_step_runs_in_the_very_context_given(world: Any, loop: Any) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    context = contextvars.copy_context()

    async def inner() -> None:
        variable.set(7)

    task = run(loop, lambda: eager(world, loop, inner(), context=context))
    assert task.done()
    assert context[variable] == 7
    assert task.get_context() is context


@pytest.mark.may_log
def test_an_eager_start_in_the_context_that_is_entered_raises(world: Any, loop: Any) -> None:
    if PY < (3, 15) and not world.is_ours:
        pytest.skip("stock asyncio before 3.15 forgets that no task is current after this")
    coros = []

    async def main() -> Any:
        coros.append(returns())
        return raised(
            lambda: eager(world, loop, coros[0], context=world.current_task().get_context())
        )

    gather_reports(loop)
    error = loop.run_until_complete(main())
    assert type(error) is RuntimeError
    assert run(loop, lambda: world.current_task(loop)) is None
    assert re.fullmatch(
        r"cannot enter context: <.*Context object at 0x[0-9a-f]+> is already entered", str(error)
    )
    error.__traceback__ = None
    coros[0].close()
    gc.collect()


def test_an_eager_task_is_cancelled_by_itself_in_its_first_step(world: Any, loop: Any) -> None:
    async def returns_anyway() -> str:
        world.current_task().cancel("self")
        return "result"

    async def suspends() -> None:
        world.current_task().cancel("self")
        await loop.create_future()

    async def yields() -> None:
        world.current_task().cancel("self")
        await Pause()

    task = run(loop, lambda: eager(world, loop, returns_anyway()))
    assert task.cancelled()
    assert raised(task.result).args == ("self",)
    for function in (suspends, yields):
        task = run(loop, lambda f=function: eager(world, loop, f()))
        assert not task.done()
        assert raised(lambda t=task: loop.run_until_complete(t)).args == ("self",)


def test_an_eager_task_cancelled_from_outside_after_its_first_step(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        try:
            await loop.create_future()
        finally:
            log.append("finally")

    task = run(loop, lambda: eager(world, loop, main()))
    task.cancel("later")
    assert log == []
    assert raised(lambda: loop.run_until_complete(task)).args == ("later",)
    assert log == ["finally"]


def test_an_eager_task_s_bad_yields_are_thrown_back_later(world: Any, loop: Any) -> None:
    async def main() -> Any:
        try:
            await Pause(7)
        except RuntimeError as error:
            return str(error)

    task = run(loop, lambda: eager(world, loop, main()))
    assert loop.run_until_complete(task) == "Task got bad yield: 7"


def test_awaiting_an_eager_task_that_is_done_hands_nothing_off(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def main() -> Any:
        loop.call_soon(log.append, "other")
        result = await eager(world, loop, returns(5))
        log.append("main")
        return result

    assert loop.run_until_complete(main()) == 5
    assert log[0] == "main"


def test_callbacks_of_an_eager_task_still_go_through_the_loop(world: Any, loop: Any) -> None:
    log: list[Any] = []

    def start() -> Any:
        task = eager(world, loop, returns(1))
        task.add_done_callback(log.append)
        assert log == []
        return task

    task = run(loop, start)
    world.turn(loop)
    assert log == [task]


def test_the_name_of_an_eager_task_is_there_in_its_first_step(world: Any, loop: Any) -> None:
    seen: list[str] = []

    async def main() -> None:
        seen.append(world.current_task().get_name())

    run(loop, lambda: eager(world, loop, main(), name="named"))
    assert seen == ["named"]


# The factories.


def test_the_eager_factory_makes_eager_tasks(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def inner(name: str) -> str:
        log.append(name)
        return name

    async def main() -> list[Any]:
        tasks = [
            world.create_task(inner("function")),
            asyncio.create_task(inner("asyncio's function")),
            loop.create_task(inner("loop")),
            world.ensure_future(inner("ensure_future")),
        ]
        log.append("made")
        assert all(each.done() for each in tasks)
        assert all(isinstance(each, world.Task) for each in tasks)
        return [await each for each in tasks]

    loop.set_task_factory(world.eager_task_factory)
    assert loop.get_task_factory() is world.eager_task_factory
    names = ["function", "asyncio's function", "loop", "ensure_future"]
    assert loop.run_until_complete(main()) == names
    assert log == [*names, "made"]


def test_asyncio_s_own_eager_factory_works_on_the_loop(world: Any, loop: Any) -> None:
    async def main() -> Any:
        task = world.create_task(returns(3))
        assert task.done()
        return await task

    loop.set_task_factory(asyncio.eager_task_factory)
    assert loop.run_until_complete(main()) == 3


def test_an_eager_factory_made_of_a_class_of_one_s_own(world: Any, loop: Any) -> None:
    class Job(world.Task):
        pass

    async def main() -> Any:
        first = world.create_task(returns(1), name="first")
        context = contextvars.copy_context()
        second = world.create_task(world.sleep(0, 2), name="second", context=context)
        assert type(first) is type(second) is Job
        assert first.done()
        assert not second.done()
        assert (first.get_name(), second.get_name()) == ("first", "second")
        assert second.get_context() is context
        return await first, await second

    loop.set_task_factory(world.create_eager_task_factory(Job))
    assert loop.run_until_complete(main()) == (1, 2)


def test_an_eager_factory_hands_its_constructor_asyncio_s_arguments(world: Any, loop: Any) -> None:
    calls: dict[str, Any] = {}

    def constructors(into: str) -> Callable[..., Any]:
        def constructor(coro: Any, **kwargs: Any) -> Any:
            calls.setdefault(into, []).append(
                {name: value if name != "loop" else "loop" for name, value in kwargs.items()}
            )
            return world.Task(coro, **kwargs)

        return constructor

    for into, make in (
        ("stock", asyncio.create_eager_task_factory),
        ("world", world.create_eager_task_factory),
    ):
        factory = make(constructors(into))
        run(loop, lambda f=factory: f(loop, returns()))
        run(loop, lambda f=factory: f(loop, returns(), name="n"))
        run(loop, lambda f=factory: f(loop, returns(), context=None))
    assert calls["world"] == calls["stock"]
    assert all(each["eager_start"] is True for each in calls["world"])


def test_gather_and_task_groups_over_eager_tasks(world: Any, virtual_loop: Any) -> None:
    log: list[str] = []

    async def work(number: int, delay: float) -> int:
        log.append(f"start {number}")
        if delay >= 0:
            await world.sleep(delay)
        return number

    async def main() -> Any:
        gathered = await asyncio.gather(work(1, -1), work(2, 0), work(3, 1))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(number, delay)) for number, delay in ((4, -1), (5, 0))]
        async with asyncio.timeout(5):
            six = await world.create_task(work(6, 0))
        return gathered, [each.result() for each in tasks], six

    virtual_loop.set_task_factory(world.eager_task_factory)
    assert virtual_loop.run_until_complete(main()) == ([1, 2, 3], [4, 5], 6)
    assert log == [f"start {number}" for number in range(1, 7)]


def test_eager_tasks_see_and_cancel_each_other(world: Any, loop: Any) -> None:
    async def victim() -> None:
        await loop.create_future()

    async def killer(task: Any) -> str:
        task.cancel("by the killer")
        return "killed"

    async def main() -> Any:
        task = eager(world, loop, victim())
        assert eager(world, loop, killer(task)).result() == "killed"
        assert not task.done()
        try:
            await task
        except asyncio.CancelledError as error:
            return error.args

    assert loop.run_until_complete(main()) == ("by the killer",)


def test_an_eager_task_that_cancels_its_maker(world: Any, loop: Any) -> None:
    async def rebels(maker: Any) -> None:
        maker.cancel("by the eager one")

    async def main() -> Any:
        eager(world, loop, rebels(world.current_task()))
        try:
            await world.sleep(0)
        except asyncio.CancelledError as error:
            return error.args

    assert loop.run_until_complete(main()) == ("by the eager one",)


def test_a_finished_eager_task_dies_without_the_collector(world: Any, loop: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        task = run(loop, lambda: eager(world, loop, returns()))
        watched = weakref.ref(task)
        del task
        assert watched() is None
    finally:
        gc.enable()


def test_an_unseen_exception_of_an_eager_task_is_reported(world: Any, loop: Any) -> None:
    async def fails() -> None:
        raise ValueError("unseen")

    reports = gather_reports(loop)
    run(loop, lambda: eager(world, loop, fails()) and None)
    gc.collect()
    assert [each["message"] for each in reports] == ["Task exception was never retrieved"]


def test_repr_and_stack_of_a_finished_eager_task(world: Any, loop: Any) -> None:
    task = run(loop, lambda: eager(world, loop, returns(5), name="eager"))
    assert task.get_stack() == []
    assert repr(task) == "<Task finished name='eager' coro=None result=5>" or (
        repr(task) == "<Task finished name='eager' result=5>"
    )
    task.print_stack()


def test_repr_from_inside_an_eager_step(world: Any, loop: Any) -> None:
    seen: list[str] = []

    async def main() -> None:
        seen.append(repr(world.current_task()))

    run(loop, lambda: eager(world, loop, main(), name="eager"))
    assert seen[0].startswith("<Task pending name='eager' coro=<")


def test_an_eager_step_that_stops_or_asks_the_loop(world: Any, loop: Any) -> None:
    async def main() -> Any:
        assert loop.is_running()
        assert asyncio.get_running_loop() is loop
        return raised(loop.run_forever)

    task = run(loop, lambda: eager(world, loop, main()))
    assert str(task.result()) == "This event loop is already running"


def test_a_subclass_whose_constructor_starts_eagerly(world: Any, loop: Any) -> None:
    log: list[str] = []

    class Job(world.Task):
        def __init__(self, coro: Any, **kwargs: Any) -> None:
            self.before = "set before"
            super().__init__(coro, eager_start=True, **kwargs)
            log.append("constructed")

    async def main() -> None:
        log.append(world.current_task().before)
        log.append(type(world.current_task()).__name__)

    run(loop, lambda: Job(main(), loop=loop))
    assert log == ["set before", "Job", "constructed"]


@pytest.mark.may_log
def test_eager_tasks_of_a_loop_that_runs_in_another_thread(world: Any, loop: Any) -> None:
    """eager_start asks whether the loop runs, not whether it runs here: asyncio's own trap."""
    import threading

    started, ready = threading.Event(), threading.Event()

    def run_elsewhere() -> None:
        loop.call_soon(started.set)
        loop.run_forever()
        ready.set()

    thread = threading.Thread(target=run_elsewhere)
    thread.start()
    started.wait(10)
    seen: list[Any] = []

    async def main() -> None:
        seen.append(threading.current_thread())

    coro = main()
    try:
        task = eager(world, loop, coro)
    except RuntimeError as error:
        assert PY >= (3, 14), error
        coro.close()
    else:
        assert task.done()
        assert seen == [threading.current_thread()]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        gc.collect()


def test_a_coroutine_that_ended_fails_its_eager_task(world: Any, loop: Any) -> None:
    coro = returns()
    raised(lambda: coro.send(None))
    task = run(loop, lambda: eager(world, loop, coro))
    assert str(task.exception()) == "cannot reuse already awaited coroutine"


def test_what_is_no_coroutine_is_refused_eagerly_too(world: Any, loop: Any) -> None:
    error = raised(lambda: run(loop, lambda: eager(world, loop, 5)))
    assert type(error) is TypeError
    assert str(error) == "a coroutine was expected, got 5"


def test_an_eager_task_that_waits_then_is_woken_like_any(world: Any, loop: Any) -> None:
    async def main() -> Any:
        return await future

    future = loop.create_future()
    task = run(loop, lambda: eager(world, loop, main()))
    assert task._fut_waiter is future
    assert inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_SUSPENDED
    future.set_result("result")
    world.turn(loop)
    assert task.result() == "result"
    finish(loop, task)


def test_the_factory_that_was_set_last_is_the_one_that_counts(world: Any, loop: Any) -> None:
    async def work() -> str:
        return "done"

    def lazy(loop: Any, coro: Any, **keywords: Any) -> Any:
        return world.module.Task(coro, loop=loop, **keywords)

    async def main() -> list[bool]:
        done = []
        eager = world.module.eager_task_factory
        for factory in (eager, lazy, eager, None, eager):
            loop.set_task_factory(factory)
            assert loop.get_task_factory() is factory
            async with world.module.TaskGroup() as group:
                tasks = [loop.create_task(work()), group.create_task(work())]
                done += [task.done() for task in tasks]
            assert [await task for task in tasks] == ["done"] * 2
        return done

    assert (
        loop.run_until_complete(main())
        == [True] * 2 + [False] * 2 + [True] * 2 + [False] * 2 + [True] * 2
    )


def test_an_eager_task_without_a_name_is_named_as_the_running_python_names_it(
    world: Any, loop: Any
) -> None:
    async def work() -> None: ...

    async def main() -> list[str]:
        loop.set_task_factory(world.module.eager_task_factory)
        async with world.module.TaskGroup() as group:
            tasks = [loop.create_task(work()), group.create_task(work())]
        return [task.get_name() for task in tasks]

    names = loop.run_until_complete(main())
    factory_gets_all = bool(asyncio.BaseEventLoop.create_task.__code__.co_flags & 8)
    if sys.version_info >= (3, 13) and not factory_gets_all:
        assert names == ["None"] * 2
    else:
        assert all(name.startswith("Task-") for name in names)
