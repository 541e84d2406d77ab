"""Exceptions that nobody looked at: reported when the future dies."""

from __future__ import annotations

import functools
import gc
import logging
import sys
from typing import Any

import pytest
from task_tools import gather_reports, raised

MESSAGE = "Future exception was never retrieved"


def failed_future(world: Any, loop: Any, error: BaseException) -> Any:
    future = world.Future(loop=loop)
    future.set_exception(error)
    return future


def test_an_exception_nobody_looked_at_is_reported_when_the_future_dies(
    world: Any, loop: Any
) -> None:
    reports = gather_reports(loop)
    error = ValueError("unseen")
    future = failed_future(world, loop, error)
    number = id(future)
    assert reports == []
    del future
    assert len(reports) == 1
    assert sorted(reports[0]) == ["exception", "future", "message"]
    assert reports[0]["message"] == MESSAGE
    assert reports[0]["exception"] is error
    # The very future stands in the report, and lives on as long as the report does.
    assert id(reports[0]["future"]) == number
    assert reports[0]["future"].exception() is error
    reports.clear()
    assert reports == []


@pytest.mark.parametrize(
    "look",
    [
        lambda future: future.exception(),
        lambda future: raised(future.result),
        lambda future: raised(lambda: next(future.__await__())),
        lambda future: setattr(future, "_log_traceback", False),
        lambda future: future.cancel(),
    ],
    ids=["exception", "result", "await", "flag", "cancel"],
)
def test_looking_at_the_exception_spares_the_report(world: Any, loop: Any, look: Any) -> None:
    reports = gather_reports(loop)
    future = failed_future(world, loop, ValueError("seen"))
    look(future)
    del future
    gc.collect()
    assert reports == []


@pytest.mark.parametrize(
    "look",
    [
        lambda future: future.done(),
        lambda future: future.cancelled(),
        lambda future: repr(future),
        lambda future: future._exception,
        lambda future: future.add_done_callback(print) or future.remove_done_callback(print),
    ],
    ids=["done", "cancelled", "repr", "attribute", "callback"],
)
def test_merely_touching_the_future_does_not(world: Any, loop: Any, look: Any, capsys: Any) -> None:
    reports = gather_reports(loop)
    future = failed_future(world, loop, ValueError("unseen"))
    look(future)
    del future
    world.turn(loop)
    gc.collect()
    assert [each["message"] for each in reports] == [MESSAGE]


def test_in_debug_mode_the_report_says_where_the_future_was_made(world: Any, loop: Any) -> None:
    loop.set_debug(True)
    reports = gather_reports(loop)
    future = failed_future(world, loop, ValueError("unseen"))
    made_at = future._source_traceback
    del future
    assert sorted(reports[0]) == ["exception", "future", "message", "source_traceback"]
    assert reports[0]["source_traceback"] is made_at


def test_the_report_names_the_subclass(world: Any, loop: Any) -> None:
    class Promise(world.Future):
        pass

    reports = gather_reports(loop)
    promise = Promise(loop=loop)
    promise.set_exception(ValueError())
    del promise
    gc.collect()
    assert [each["message"] for each in reports] == ["Promise exception was never retrieved"]


def test_a_task_is_reported_alike(world: Any, loop: Any) -> None:
    async def main() -> None:
        raise ValueError("unseen")

    reports = gather_reports(loop)
    task = loop.create_task(main())
    world.turn(loop)
    assert task.done()
    del task
    gc.collect()
    assert len(reports) == 1
    assert sorted(reports[0]) == ["exception", "future", "message"]
    assert reports[0]["message"] == "Task exception was never retrieved"
    assert str(reports[0]["exception"]) == "unseen"
    assert isinstance(reports[0]["future"], world.Task)


def test_a_future_in_a_cycle_is_reported_when_it_is_collected(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    future = failed_future(world, loop, ValueError("unseen"))
    future.myself = future
    del future
    assert reports == []
    gc.collect()
    assert [each["message"] for each in reports] == [MESSAGE]


def test_one_future_is_reported_once_even_if_it_is_revived(world: Any, loop: Any) -> None:
    revived: list[Any] = []
    count = 0

    def handler(_: Any, context: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        revived.append(context["future"])

    loop.set_exception_handler(handler)
    future = failed_future(world, loop, ValueError("unseen"))
    del future
    assert count == 1
    assert revived[0].done()
    revived.clear()
    gc.collect()
    assert count == 1


def test_a_revived_future_is_a_whole_future(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    error = ValueError("unseen")
    future = failed_future(world, loop, error)
    del future
    revived = reports.pop()["future"]
    assert revived.exception() is error
    assert repr(revived) == "<Future finished exception=ValueError('unseen')>"
    log: list[Any] = []
    revived.add_done_callback(log.append)
    world.turn(loop)
    assert log == [revived]


def test_a_report_does_not_disturb_an_exception_in_flight(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)

    def dies_while_raising() -> None:
        future = failed_future(world, loop, ValueError("unseen"))
        try:
            raise KeyError("in flight")
        finally:
            del future

    error = raised(dies_while_raising)
    assert type(error) is KeyError
    assert [str(each["exception"]) for each in reports] == ["unseen"]


def test_an_exception_handler_that_fails_is_survived(world: Any, loop: Any, logged: Any) -> None:
    def handler(_: Any, context: dict[str, Any]) -> None:
        raise ZeroDivisionError("in the handler")

    loop.set_exception_handler(handler)
    future = failed_future(world, loop, ValueError("unseen"))
    del future
    texts = logged.texts(logging.ERROR)
    assert len(texts) == 1
    assert texts[0].startswith("Unhandled error in exception handler")


def test_an_error_of_call_exception_handler_itself_is_unraisable(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loop(world.EventLoop):
        def call_exception_handler(self, context: dict[str, Any]) -> None:
            raise ZeroDivisionError("in the loop")

    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda each: unraisable.append(each.exc_value))
    loop = Loop()
    future = failed_future(world, loop, ValueError("unseen"))
    del future
    loop.close()
    assert [str(each) for each in unraisable] == ["in the loop"]


def test_the_report_goes_to_the_log_without_a_handler(world: Any, loop: Any, logged: Any) -> None:
    future = failed_future(world, loop, ValueError("unseen"))
    del future
    assert logged.texts(logging.ERROR) == [
        f"{MESSAGE}\nfuture: <Future finished exception=ValueError('unseen')>"
    ]
    kind, error, _ = logged.records[0].exc_info
    assert kind is ValueError
    assert str(error) == "unseen"


def test_the_report_works_on_a_closed_loop(world: Any, logged: Any) -> None:
    loop = world.new_event_loop()
    future = failed_future(world, loop, ValueError("unseen"))
    loop.close()
    del future
    assert len(logged.texts(logging.ERROR)) == 1


def test_setting_the_exception_in_vain_reports_nothing(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    future = world.Future(loop=loop)
    future.set_result(1)
    raised(functools.partial(future.set_exception, ValueError()))
    del future
    gc.collect()
    assert reports == []


def test_a_future_that_waits_with_its_exception_is_not_reported_yet(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    future = failed_future(world, loop, ValueError("seen at last"))
    world.turn(loop, 3)
    gc.collect()
    assert reports == []
    assert str(future.exception()) == "seen at last"


def test_del_called_by_hand_reports_each_time(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    future = failed_future(world, loop, ValueError("unseen"))
    before = len(reports)
    future.__del__()
    assert len(reports) == before + 1
    del future
    gc.collect()
    # The report of the first call took the flag down.
    assert len(reports) == 1


def test_many_unseen_exceptions_are_each_reported(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    for number in range(300):
        failed_future(world, loop, ValueError(number))
    assert [each["exception"].args[0] for each in reports] == list(range(300))


def test_a_subclass_with_del_of_its_own_decides(world: Any, loop: Any) -> None:
    log: list[str] = []

    class Silent(world.Future):
        def __del__(self) -> None:
            log.append("silent")

    class Chatty(world.Future):
        def __del__(self) -> None:
            log.append("chatty")
            super().__del__()

    reports = gather_reports(loop)
    for kind in (Silent, Chatty):
        future = kind(loop=loop)
        future.set_exception(ValueError(kind.__name__))
        del future
        gc.collect()
    assert log == ["silent", "chatty"]
    assert [str(each["exception"]) for each in reports] == ["Chatty"]
    reports.clear()


def test_an_exception_handed_from_one_future_to_another_counts_as_seen(
    world: Any, loop: Any
) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        inner = loop.create_future()
        loop.call_soon(inner.set_exception, ValueError("handed on"))
        await inner

    error = raised(lambda: loop.run_until_complete(main()))
    assert str(error) == "handed on"
    del error
    gc.collect()
    assert reports == []
