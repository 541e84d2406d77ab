"""current_task and all_tasks: the same answers whoever asks, wherever, by whatever name."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
import threading
from asyncio import all_tasks as early_all_tasks
from asyncio import current_task as early_current_task
from collections.abc import Callable
from typing import Any

import pytest
from task_tools import PY, finish, gather_reports, passes_apart, raised

NO_LOOP = "no running event loop"


def ways(world: Any) -> list[Callable[..., Any]]:
    """Every name under which a program may have got hold of the function."""
    return [
        world.current_task,
        early_current_task,
        asyncio.current_task,
        asyncio.tasks.current_task,
    ]


def ways_to_all(world: Any) -> list[Callable[..., Any]]:
    return [world.all_tasks, early_all_tasks, asyncio.all_tasks, asyncio.tasks.all_tasks]


def same(answers: list[Any]) -> Any:
    """The answer that all ways agree upon."""
    for each in answers[1:]:
        assert each is answers[0] or (isinstance(each, set) and each == answers[0]), answers
    return answers[0]


def current(world: Any, *args: Any, **kwargs: Any) -> Any:
    return same([way(*args, **kwargs) for way in ways(world)])


def everything(world: Any, *args: Any, **kwargs: Any) -> Any:
    return same([way(*args, **kwargs) for way in ways_to_all(world)])


def test_outside_a_loop_there_is_no_current_task(world: Any, loop: Any) -> None:
    for way in (*ways(world), *ways_to_all(world)):
        error = raised(way)
        assert type(error) is RuntimeError
        assert str(error) == NO_LOOP
        assert str(raised(lambda w=way: w(None))) == NO_LOOP
        assert str(raised(lambda w=way: w(loop=None))) == NO_LOOP
    assert current(world, loop) is None
    assert current(world, loop=loop) is None
    assert everything(world, loop) == set()
    assert everything(world, loop=loop) == set()


def test_in_a_task_the_current_task_is_that_task(world: Any, loop: Any) -> None:
    async def inner() -> None:
        assert current(world) is task

    async def agen() -> Any:
        assert current(world) is task
        yield
        assert current(world) is task

    async def main() -> None:
        for _ in range(2):
            assert current(world) is task
            assert current(world, loop) is task
            assert current(world, loop=None) is task
            await inner()
            async for _ in agen():
                assert current(world) is task
            await world.sleep(0)

    task = loop.create_task(main())
    loop.run_until_complete(task)
    assert current(world, loop) is None


def test_each_task_is_current_in_its_own_steps(world: Any, virtual_loop: Any) -> None:
    async def main() -> list[Any]:
        seen = []
        for delay in (0, 1, 0):
            seen.append(current(world))
            await world.sleep(delay)
        return seen

    async def all_of_them() -> None:
        tasks = [virtual_loop.create_task(main()) for _ in range(10)]
        me = current(world)
        for task in tasks:
            assert await task == [task] * 3
            assert current(world) is me

    virtual_loop.run_until_complete(all_of_them())


def test_in_a_callback_there_is_no_current_task(world: Any, virtual_loop: Any) -> None:
    seen: list[Any] = []

    async def main() -> None:
        virtual_loop.call_soon(lambda: seen.append(current(world)))
        virtual_loop.call_later(0, lambda: seen.append(current(world, virtual_loop)))
        virtual_loop.call_soon_threadsafe(lambda: seen.append(current(world)))
        future = virtual_loop.create_future()
        future.add_done_callback(lambda _: seen.append(current(world)))
        future.set_result(None)
        await world.sleep(1)

    task = virtual_loop.create_task(main())
    task.add_done_callback(lambda _: seen.append(current(world)))
    virtual_loop.run_until_complete(task)
    world.turn(virtual_loop)
    assert seen == [None] * 5


def test_what_a_step_calls_directly_sees_the_task(world: Any, loop: Any) -> None:
    seen: list[Any] = []

    class Dying:
        def __del__(self) -> None:
            seen.append(current(world))

    class Future(world.Future):
        def cancel(self, msg: Any = None) -> bool:
            seen.append(current(world))
            return super().cancel(msg)

        def add_done_callback(self, *args: Any, **kwargs: Any) -> None:
            seen.append(current(world))
            super().add_done_callback(*args, **kwargs)

    async def main() -> None:
        dying = Dying()
        del dying
        future = Future(loop=loop)
        loop.call_soon(future.set_result, None)
        await future
        Future(loop=loop).cancel()

    task = loop.create_task(main())
    loop.run_until_complete(task)
    assert seen == [task] * 3


def test_an_exception_handler_called_from_a_step_sees_the_task(world: Any, loop: Any) -> None:
    seen: list[Any] = []
    loop.set_exception_handler(lambda *_: seen.append(current(world)))

    async def main() -> None:
        loop.call_exception_handler({"message": "by hand"})

    task = loop.create_task(main())
    loop.run_until_complete(task)
    assert seen == [task]


def test_there_is_no_current_task_after_a_step_that_raised(world: Any, loop: Any) -> None:
    seen: list[Any] = []

    async def fails() -> None:
        raise ValueError

    async def interrupts() -> None:
        raise KeyboardInterrupt

    task = loop.create_task(fails())
    loop.call_soon(lambda: seen.append(current(world)))
    world.turn(loop)
    assert seen == [None]
    task.exception()
    task = loop.create_task(interrupts())
    loop.call_soon(lambda: seen.append(current(world)))
    raised(lambda: world.turn(loop))
    assert current(world, loop) is None
    world.turn(loop)
    assert seen == [None, None]
    task.exception()


def test_another_loop_has_no_current_task(world: Any, loop: Any) -> None:
    other = world.new_event_loop()

    async def main() -> None:
        assert current(world, other) is None
        assert everything(world, other) == set()

    loop.run_until_complete(main())
    other.close()


@pytest.mark.parametrize("wrong", [5, "loop", object()], ids=repr)
def test_what_is_no_loop_has_no_tasks(world: Any, loop: Any, wrong: Any) -> None:
    async def main() -> None:
        assert current(world, wrong) is None
        assert everything(world, wrong) == set()

    loop.run_until_complete(main())
    assert current(world, wrong) is None


def test_wrong_arguments_are_refused(world: Any, loop: Any) -> None:
    for way in (*ways(world), *ways_to_all(world)):
        assert type(raised(lambda w=way: w(loop, loop))) is TypeError
        assert type(raised(lambda w=way: w(lop=loop))) is TypeError


def test_from_another_thread_the_task_of_the_loop_is_seen(world: Any, loop: Any) -> None:
    seen: list[Any] = []

    def elsewhere() -> None:
        for way in ways(world):
            seen.append(way(loop))
        seen.append(everything(world, loop))
        seen.append(str(raised(world.current_task)))

    async def main() -> None:
        # The step waits for the thread, so that the task is current all the while.
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    task = loop.create_task(main())
    loop.run_until_complete(task)
    assert seen == [task] * len(ways(world)) + [{task}, NO_LOOP]


def test_each_thread_has_the_current_task_of_its_own_loop(world: Any) -> None:
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def run() -> None:
        async def main() -> None:
            for _ in range(20):
                barrier.wait(10)
                assert current(world) is task
                assert everything(world) == {task}
                await world.sleep(0)

        loop = world.new_event_loop()
        try:
            task = loop.create_task(main())
            loop.run_until_complete(task)
        except BaseException as error:
            failures.append(error)
            barrier.abort()
        finally:
            loop.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_loop_moved_to_another_thread_takes_its_tasks_along(world: Any, loop: Any) -> None:
    async def main() -> Any:
        await future
        return current(world), everything(world)

    future = loop.create_future()
    task = loop.create_task(main())
    world.turn(loop)
    assert everything(world, loop) == {task}
    results: list[Any] = []

    def elsewhere() -> None:
        future.set_result(None)
        results.append(loop.run_until_complete(task))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    now, listed = results[0]
    assert now is task
    # Stock asyncio of newer versions looks for a running loop's tasks in its thread only.
    assert listed == {task} or (PY >= (3, 14) and listed == set())
    assert everything(world, loop) == set()


# all_tasks.


def test_all_tasks_are_those_of_the_loop_that_are_not_done(world: Any, loop: Any) -> None:
    async def main() -> None:
        me = current(world)
        assert everything(world) == {me}
        tasks = {loop.create_task(world.sleep(0)) for _ in range(3)}
        assert everything(world) == {me} | tasks
        assert everything(world, loop) == {me} | tasks
        await world.sleep(0)
        waiting = loop.create_task(world.sleep(10))
        await world.sleep(0)
        assert everything(world) == {me, waiting}
        waiting.cancel()
        assert everything(world) == {me, waiting}
        await world.sleep(0)
        await world.sleep(0)
        assert everything(world) == {me}

    loop.run_until_complete(main())
    assert everything(world, loop) == set()


def test_all_tasks_of_two_loops_are_kept_apart(world: Any, loop: Any) -> None:
    other = world.new_event_loop()
    first, second = loop.create_task(world.sleep(0)), other.create_task(world.sleep(0))
    assert everything(world, loop) == {first}
    assert everything(world, other) == {second}
    loop.run_until_complete(first)
    assert everything(world, loop) == set()
    assert everything(world, other) == {second}
    other.run_until_complete(second)
    other.close()


def test_all_tasks_gives_a_new_set_each_time(world: Any, loop: Any) -> None:
    task = loop.create_task(world.sleep(0))
    for way in ways_to_all(world):
        tasks = way(loop)
        assert type(tasks) is set
        tasks.clear()
        assert way(loop) == {task}
    loop.run_until_complete(task)


def test_all_tasks_keeps_no_task_alive(world: Any, loop: Any) -> None:
    import weakref

    task = loop.create_task(world.sleep(0))
    watched = weakref.ref(task)
    assert everything(world, loop) == {task}
    loop.run_until_complete(task)
    del task
    gc.collect()
    assert watched() is None


def test_all_tasks_of_a_closed_loop_still_answers(world: Any) -> None:
    loop = world.new_event_loop()
    task = loop.create_task(world.sleep(0))
    loop.close()
    assert everything(world, loop) == {task}
    task._log_destroy_pending = False
    task.get_coro().close()


def test_all_tasks_asks_done_of_a_subclass(world: Any, loop: Any) -> None:
    class Job(world.Task):
        hidden = False

        def done(self) -> bool:
            return self.hidden or super().done()

    job = Job(world.sleep(0), loop=loop)
    assert everything(world, loop) == {job}
    job.hidden = True
    assert everything(world, loop) == set()
    job.hidden = False
    loop.run_until_complete(job)


def test_all_tasks_while_tasks_come_and_go_in_another_thread(world: Any) -> None:
    loop = world.new_event_loop()
    stop = threading.Event()
    ready = threading.Event()

    async def churn() -> int:
        made = 0
        ready.set()
        while not stop.is_set():
            await asyncio.gather(*(world.sleep(0) for _ in range(50)))
            made += 50
        return made

    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(loop.run_until_complete(churn())))
    thread.start()
    ready.wait(10)
    sizes = [len(world.all_tasks(loop)) for _ in range(200)]
    stop.set()
    thread.join()
    loop.close()
    assert results[0] > 0
    assert max(sizes) <= 102


def test_a_task_registered_by_hand_is_listed(world: Any, loop: Any) -> None:
    class Foreign:
        """Quacks like a task; asyncio lists it when told to."""

        ended = False

        def done(self) -> bool:
            return self.ended

        def get_loop(self) -> Any:
            return loop

    foreign = Foreign()
    asyncio._register_task(foreign)
    assert everything(world, loop) == {foreign}
    foreign.ended = True
    assert everything(world, loop) == set()
    foreign.ended = False
    asyncio._unregister_task(foreign)
    assert everything(world, loop) == set()


def test_a_task_unregistered_by_hand_is_not_listed_and_still_runs(world: Any, loop: Any) -> None:
    task = loop.create_task(world.sleep(0, "result"))
    asyncio._unregister_task(task)
    assert everything(world, loop) == set()
    asyncio._register_task(task)
    assert everything(world, loop) == {task}
    asyncio._register_task(task)
    asyncio._unregister_task(task)
    assert everything(world, loop) == set()
    assert loop.run_until_complete(task) == "result"


# Tasks of other kinds beside ours.


def other_kinds() -> list[Any]:
    return [asyncio.tasks._CTask, *([asyncio.tasks._PyTask] if PY < (3, 14) else [])]


@pytest.mark.parametrize("kind", other_kinds(), ids=["C", "Python"][: len(other_kinds())])
def test_tasks_of_asyncio_s_own_kinds_are_current_and_listed(
    world: Any, loop: Any, kind: Any
) -> None:
    async def main() -> Any:
        for _ in range(3):
            me = current(world)
            assert me in everything(world)
            await world.sleep(0)
        return me

    async def both() -> None:
        me = current(world)
        mine, other = loop.create_task(main()), kind(main(), loop=loop)
        assert everything(world) == {me, mine, other}
        assert await mine is mine
        assert await other is other
        assert current(world) is me

    loop.run_until_complete(both())
    assert current(world, loop) is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("kind", other_kinds(), ids=["C", "Python"][: len(other_kinds())])
def test_an_eager_task_of_asyncio_s_own_inside_our_step(world: Any, loop: Any, kind: Any) -> None:
    seen: list[Any] = []

    async def inner() -> None:
        seen.append(current(world))
        assert seen[0] in everything(world)
        await world.sleep(0)
        seen.append(current(world))

    async def main() -> Any:
        me = current(world)
        task = kind(inner(), loop=loop, eager_start=True)
        assert current(world) is me
        assert everything(world) == {me, task}
        await task
        assert seen == [task, task]
        assert current(world) is me
        return True

    assert loop.run_until_complete(main()) is True


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_our_eager_task_inside_a_step_of_asyncio_s_own(world: Any, loop: Any) -> None:
    seen: list[Any] = []

    async def inner() -> None:
        seen.append(current(world))
        await world.sleep(0)
        seen.append(current(world))

    async def main() -> Any:
        me = current(world)
        task = world.Task(inner(), loop=loop, eager_start=True)
        assert current(world) is me
        await task
        assert seen == [task, task]
        return me

    outer = asyncio.tasks._CTask(main(), loop=loop)
    assert loop.run_until_complete(outer) is outer


# Entering and leaving by hand.


def in_loop(loop: Any, function: Callable[[], Any]) -> Any:
    """Run a plain function inside the running loop, outside any task."""
    results: list[Any] = []

    def call() -> None:
        try:
            results.append(function())
        except BaseException as error:
            results.append(error)
        loop.stop()

    loop.call_soon(call)
    loop.run_forever()
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]


def test_a_task_is_entered_and_left_by_hand(world: Any, loop: Any) -> None:
    task = loop.create_task(world.sleep(0))

    def by_hand() -> None:
        assert asyncio._enter_task(loop, task) is None
        assert current(world) is task
        assert current(world, loop) is task
        assert asyncio._leave_task(loop, task) is None
        assert current(world) is None

    in_loop(loop, by_hand)
    loop.run_until_complete(task)


def test_entering_while_a_task_is_current_is_refused(world: Any, loop: Any) -> None:
    other = loop.create_task(world.sleep(0), name="other")

    async def main() -> None:
        me = current(world)
        for task in (other, me):
            error = raised(lambda t=task: asyncio._enter_task(loop, t))
            assert type(error) is RuntimeError
            assert re.fullmatch(
                rf"Cannot enter into task <Task pending name='{task.get_name()}' .*> while"
                r" another task <Task pending name='me' .*> is being executed\.",
                str(error),
            )
        assert current(world) is me

    loop.run_until_complete(loop.create_task(main(), name="me"))
    loop.run_until_complete(other)


def test_leaving_a_task_that_is_not_current_is_refused(world: Any, loop: Any) -> None:
    async def waits() -> None:
        await future

    def leave(now: str) -> None:
        error = raised(lambda: asyncio._leave_task(loop, other))
        assert type(error) is RuntimeError
        if PY >= (3, 14):
            pattern = rf"Invalid attempt to leave task <.*'other'.*> while task {now} is entered\."
        else:
            pattern = rf"Leaving task <.*'other'.*> does not match the current task {now}\."
        assert re.fullmatch(pattern, str(error)), str(error)

    async def main() -> None:
        me = current(world)
        leave("<Task pending name='me' .*>")
        assert current(world) is me

    future = loop.create_future()
    other = loop.create_task(waits(), name="other")
    in_loop(loop, lambda: leave("None"))
    loop.run_until_complete(loop.create_task(main(), name="me"))
    future.set_result(None)
    loop.run_until_complete(other)


def test_a_running_task_may_be_left_and_entered_again(world: Any, loop: Any) -> None:
    """What libraries do that run one task's code inside another's."""

    async def main() -> Any:
        me = current(world)
        asyncio._leave_task(loop, me)
        assert current(world) is None
        asyncio._enter_task(loop, other)
        assert current(world) is other
        asyncio._leave_task(loop, other)
        asyncio._enter_task(loop, me)
        assert current(world) is me
        await world.sleep(0)
        return current(world) is me

    other = loop.create_task(world.sleep(0))
    assert loop.run_until_complete(main()) is True
    finish(loop, other)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="swapping came with Python 3.12")
def test_the_current_task_is_swapped_by_hand(world: Any, loop: Any) -> None:
    swap = asyncio.tasks._swap_current_task
    other = loop.create_task(world.sleep(0))

    def outside() -> None:
        assert swap(loop, other) is None
        assert current(world) is other
        assert swap(loop, None) is other
        assert current(world) is None

    async def main() -> Any:
        me = current(world)
        assert swap(loop, other) is me
        assert current(world) is other
        assert swap(loop, None) is other
        assert current(world) is None
        assert swap(loop, me) is None
        await world.sleep(0)
        return current(world) is me

    in_loop(loop, outside)
    assert loop.run_until_complete(main()) is True
    finish(loop, other)


def test_a_task_that_leaves_itself_and_does_not_return_is_survived(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        asyncio._leave_task(loop, current(world))

    async def after() -> Any:
        return current(world)

    task = loop.create_task(main())
    world.turn(loop)
    assert current(world, loop) is None
    second = loop.create_task(after())
    world.turn(loop)
    assert second.result() is second
    # asyncio's step complains on its way out; that the task is done is what counts.
    assert len(reports) <= 1
    assert task.done()
    reports.clear()


def test_a_foreign_object_may_be_the_current_task(world: Any, loop: Any) -> None:
    class Foreign:
        pass

    def by_hand() -> None:
        foreign = Foreign()
        asyncio._enter_task(loop, foreign)
        assert current(world) is foreign
        asyncio._leave_task(loop, foreign)
        assert current(world) is None

    in_loop(loop, by_hand)


def test_the_running_loop_switched_by_hand(world: Any, loop: Any) -> None:
    other = world.new_event_loop()

    async def main() -> None:
        me = current(world)
        asyncio._set_running_loop(other)
        try:
            # Newer versions keep the task by thread, older ones by loop.
            assert current(world) is (None if PY < (3, 14) else me)
        finally:
            asyncio._set_running_loop(loop)
        assert current(world) is me

    loop.run_until_complete(main())
    other.close()


def test_names_imported_before_everything_else_still_answer(world: Any) -> None:
    """In a fresh process: the program imports asyncio's names, and only then ours."""
    passes_apart(
        world,
        """
        from asyncio import current_task, all_tasks, tasks
        async def main():
            assert current_task() is tasks.current_task() is world.current_task()
            assert current_task() is not None
            assert all_tasks() == {current_task()} == world.all_tasks()
            async with asyncio.timeout(5):
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(0))
        loop = new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        """,
    )
