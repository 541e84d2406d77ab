"""Tasks that vanish before their end, and coroutines that nobody awaits."""

from __future__ import annotations

import functools
import gc
import logging
import sys
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from task_tools import gather_reports, raised

MESSAGE = "Task was destroyed but it is pending!"


@pytest.fixture(autouse=True)
def collector_by_hand() -> Iterator[None]:
    """Nothing vanishes before the test says so."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def orphan(loop: Any, log: list[str] | None = None) -> Any:
    """A task that waits for a future which only it knows: a cycle that nothing can wake."""

    async def main() -> None:
        try:
            await loop.create_future()
        finally:
            if log is not None:
                log.append("finally")

    return loop.create_task(main())


def test_a_pending_task_that_nothing_can_wake_is_collected_and_reported(
    world: Any, loop: Any
) -> None:
    reports = gather_reports(loop)
    log: list[str] = []
    task = orphan(loop, log)
    name = task.get_name()
    watched = weakref.ref(task)
    world.turn(loop)
    assert len(world.all_tasks(loop)) == 1
    del task
    assert reports == []
    gc.collect()
    assert [each["message"] for each in reports] == [MESSAGE]
    assert sorted(reports[0]) == ["message", "task"]
    assert reports[0]["task"].get_name() == name
    reports.clear()
    gc.collect()
    assert watched() is None
    assert log == ["finally"]
    assert world.all_tasks(loop) == set()


def test_the_report_goes_to_the_log_with_the_task(world: Any, loop: Any, logged: Any) -> None:
    task = orphan(loop)
    world.turn(loop)
    text = repr(task)
    del task
    gc.collect()
    (line,) = logged.texts(logging.ERROR)
    assert line.startswith(f"{MESSAGE}\ntask: <Task pending name=")
    assert "wait_for=<Future pending" in text


def test_in_debug_mode_the_report_says_where_the_task_was_made(world: Any, loop: Any) -> None:
    loop.set_debug(True)
    reports = gather_reports(loop)
    task = orphan(loop)
    made_at = task._source_traceback
    world.turn(loop)
    del task
    gc.collect()
    assert sorted(reports[0]) == ["message", "source_traceback", "task"]
    assert reports[0]["source_traceback"] is made_at
    reports.clear()
    gc.collect()


def test_a_task_told_to_vanish_silently_does(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    log: list[str] = []
    task = orphan(loop, log)
    task._log_destroy_pending = False
    world.turn(loop)
    del task
    gc.collect()
    assert reports == []
    assert log == ["finally"]


def test_generator_exit_is_what_the_coroutine_sees(world: Any, loop: Any) -> None:
    seen: list[Any] = []

    async def main() -> None:
        try:
            await loop.create_future()
        except BaseException as error:
            seen.append(type(error))
            raise

    reports = gather_reports(loop)
    task = loop.create_task(main())
    world.turn(loop)
    del task
    gc.collect()
    reports.clear()
    gc.collect()
    assert seen == [GeneratorExit]


def test_a_task_not_yet_started_is_alive(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    watched = weakref.ref(orphan(loop))
    gc.collect()
    assert watched() is not None
    assert reports == []
    watched().cancel()
    world.turn(loop)
    assert watched() is None


def test_a_sleeping_task_is_alive(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    watched = weakref.ref(loop.create_task(world.sleep(1000)))
    world.turn(loop)
    gc.collect()
    assert watched() is not None
    assert reports == []
    watched().cancel()
    world.turn(loop, 2)
    gc.collect()
    assert watched() is None


def test_of_tasks_made_in_a_loop_over_one_name_all_but_the_last_vanish(
    world: Any, loop: Any
) -> None:
    reports = gather_reports(loop)
    for _ in range(5):
        task = orphan(loop)
        world.turn(loop)
    gc.collect()
    assert [each["message"] for each in reports] == [MESSAGE] * 4
    assert not task.done()
    reports.clear()
    task.cancel()
    world.turn(loop)


def test_tasks_kept_in_a_set_stay(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    kept = {orphan(loop) for _ in range(5)}
    world.turn(loop)
    gc.collect()
    assert reports == []
    assert world.all_tasks(loop) == kept
    for task in kept:
        task.cancel()
    world.turn(loop)


def test_orphans_that_wait_for_each_other_vanish_together(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)

    async def waits(task: Any) -> None:
        await task

    task = orphan(loop)
    for _ in range(10):
        task = loop.create_task(waits(task))
    world.turn(loop, 12)
    del task
    gc.collect()
    assert [each["message"] for each in reports] == [MESSAGE] * 11
    reports.clear()
    gc.collect()
    assert world.all_tasks(loop) == set()


def test_a_waiting_task_whose_future_dies_with_it_leaves_no_garbage(world: Any, loop: Any) -> None:
    gather_reports(loop)
    loop.set_exception_handler(lambda *_: None)
    for _ in range(100):
        orphan(loop)
    world.turn(loop)
    gc.collect()
    gc.collect()
    assert gc.garbage == []
    assert world.all_tasks(loop) == set()


def test_a_task_revived_by_its_report_finds_its_coroutine_closed(world: Any, loop: Any) -> None:
    """The collector ends all of the cycle, the coroutine too, before it looks who revived."""
    reports = gather_reports(loop)
    log: list[str] = []
    task = orphan(loop, log)
    world.turn(loop)
    del task
    gc.collect()
    revived = reports.pop()["task"]
    assert not revived.done()
    assert log == ["finally"]
    revived.cancel("after all")
    error = raised(lambda: loop.run_until_complete(revived))
    assert type(error) is RuntimeError
    assert str(error) == "cannot reuse already awaited coroutine"


def test_a_task_is_reported_once(world: Any, loop: Any) -> None:
    kept: list[Any] = []
    count = 0

    def handler(_: Any, context: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        kept.append(context["task"])

    loop.set_exception_handler(handler)
    orphan(loop)
    world.turn(loop)
    gc.collect()
    assert count == 1
    kept.clear()
    gc.collect()
    assert count == 1


def test_a_task_dropped_by_closing_its_loop_is_reported(world: Any) -> None:
    log: list[str] = []
    loop = world.new_event_loop()
    reports = gather_reports(loop)
    orphan(loop, log)
    # Never started: the loop's queue is all that holds it.
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        gc.collect()
        assert [each["message"] for each in reports] == [MESSAGE]
        reports.clear()
        gc.collect()


def test_a_task_dropped_while_it_sleeps_is_reported_when_the_loop_closes(world: Any) -> None:
    loop = world.new_event_loop()
    reports = gather_reports(loop)
    loop.create_task(world.sleep(1000))
    world.turn(loop)
    loop.close()
    gc.collect()
    assert [each["message"] for each in reports] == [MESSAGE]
    # The sleep ends by cancelling its timer, on a loop that is closed.
    reports.clear()
    gc.collect()


def test_a_finished_task_is_not_reported(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    task = loop.create_task(world.sleep(0))
    loop.run_until_complete(task)
    del task
    gc.collect()
    assert reports == []


def test_del_called_by_hand_reports_a_pending_task(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    task = loop.create_task(world.sleep(0))
    task.__del__()
    assert [each["message"] for each in reports] == [MESSAGE]
    reports.clear()
    loop.run_until_complete(task)
    task.__del__()
    assert reports == []


def test_an_error_of_call_exception_handler_is_unraisable(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loop(world.EventLoop):
        def call_exception_handler(self, context: dict[str, Any]) -> None:
            raise ZeroDivisionError("in the loop")

    unraisable: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda each: unraisable.append(str(each.exc_value)))
    loop = Loop()
    task = orphan(loop)
    world.turn(loop)
    del task
    gc.collect()
    loop.close()
    assert unraisable == ["in the loop"]


def test_a_coroutine_of_a_task_that_never_ran_is_warned_about(world: Any) -> None:
    async def main() -> None:
        pass

    loop = world.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.create_task(main())
        loop.close()
        gc.collect()
    assert [each.category for each in caught] == [RuntimeWarning]
    assert str(caught[0].message).endswith("main' was never awaited")


def test_a_coroutine_handed_to_create_task_on_a_closed_loop_is_left_alone(world: Any) -> None:
    async def main() -> None:
        pass

    loop = world.new_event_loop()
    loop.close()
    coro = main()
    error = raised(functools.partial(loop.create_task, coro))
    assert type(error) is RuntimeError
    assert str(error) == "Event loop is closed"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del coro, error
        gc.collect()
    assert [str(each.message).split()[-3:] for each in caught] == [["was", "never", "awaited"]]


@pytest.mark.may_log
def test_a_task_made_directly_on_a_closed_loop_is_refused(world: Any) -> None:
    async def main() -> None:
        pass

    loop = world.new_event_loop()
    loop.close()
    coro = main()
    error = raised(lambda: world.Task(coro, loop=loop))
    assert type(error) is RuntimeError
    assert str(error) == "Event loop is closed"
    coro.close()
    del error
    gc.collect()


def test_a_generator_exit_refused_by_the_coroutine_is_unraisable(
    world: Any, loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        try:
            await loop.create_future()
        except GeneratorExit:
            await world.sleep(0)

    unraisable: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda each: unraisable.append(str(each.exc_value)))
    loop.set_exception_handler(lambda *_: None)
    task = loop.create_task(main())
    world.turn(loop)
    del task
    gc.collect()
    assert unraisable == ["coroutine ignored GeneratorExit"]


def test_a_dying_coroutine_may_use_the_loop(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def another() -> None:
        log.append("another")

    async def main() -> None:
        try:
            await loop.create_future()
        finally:
            loop.call_soon(log.append, "callback")
            loop.create_task(another())

    loop.set_exception_handler(lambda *_: None)
    task = loop.create_task(main())
    world.turn(loop)
    del task
    gc.collect()
    assert log == []
    world.turn(loop)
    assert log == ["callback", "another"]


def test_ten_thousand_orphans_vanish_while_the_loop_runs(world: Any, loop: Any) -> None:
    loop.set_exception_handler(lambda *_: None)

    async def main() -> int:
        for _ in range(10):
            for _ in range(1000):
                orphan(loop)
            await world.sleep(0)
            await world.sleep(0)
            gc.collect()
            gc.collect()
        return len(world.all_tasks())

    assert loop.run_until_complete(main()) == 1
