"""A future's callbacks: queued on the loop in order, never called on the spot."""

from __future__ import annotations

import contextvars
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from task_tools import gather_reports, raised

SETTLERS: list[Callable[[Any], Any]] = [
    lambda future: future.set_result(1),
    lambda future: future.set_exception(ValueError()),
    lambda future: future.cancel(),
]


@pytest.mark.parametrize("settle", SETTLERS, ids=["result", "exception", "cancel"])
def test_callbacks_run_in_the_next_turn_in_order(world: Any, loop: Any, settle: Any) -> None:
    future = world.Future(loop=loop)
    log: list[int] = []
    for number in range(5):
        future.add_done_callback(lambda _, number=number: log.append(number))
    settle(future)
    assert log == []
    world.turn(loop)
    assert log == [0, 1, 2, 3, 4]
    if not future.cancelled():
        future.exception()


def test_callbacks_take_their_place_among_other_handles(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    log: list[str] = []
    future.add_done_callback(lambda _: log.append("first callback"))
    future.add_done_callback(lambda _: log.append("second callback"))
    loop.call_soon(log.append, "before")
    future.set_result(None)
    loop.call_soon(log.append, "after")
    world.turn(loop)
    assert log == ["before", "first callback", "second callback", "after"]


def test_a_callback_gets_the_future_as_its_only_argument(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    calls: list[Any] = []
    future.add_done_callback(lambda *args, **kwargs: calls.append((args, kwargs)))
    future.set_result(1)
    world.turn(loop)
    assert calls == [((future,), {})]


def test_add_done_callback_gives_nothing_back(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    assert future.add_done_callback(print) is None
    assert future.remove_done_callback(print) == 1


def test_a_callback_added_after_done_runs_in_the_next_turn(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.set_result(1)
    log: list[Any] = []
    future.add_done_callback(log.append)
    assert log == []
    assert future._callbacks is None
    world.turn(loop)
    assert log == [future]


def test_a_callback_that_adds_a_callback_has_it_run_one_turn_later(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    log: list[str] = []

    def first(_: Any) -> None:
        log.append("first")
        future.add_done_callback(lambda _: log.append("second"))

    future.add_done_callback(first)
    future.set_result(1)
    world.turn(loop)
    assert log == ["first"]
    world.turn(loop)
    assert log == ["first", "second"]


def test_the_list_of_callbacks_is_empty_once_the_future_is_done(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    assert future._callbacks is None
    future.add_done_callback(len)
    future.add_done_callback(repr)
    assert [callback for callback, _ in future._callbacks] == [len, repr]
    future.cancel()
    assert future._callbacks is None
    assert future.remove_done_callback(repr) == 0


def test_callbacks_shows_each_callback_with_its_context(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    context = contextvars.copy_context()
    for callback in (print, repr, len):
        future.add_done_callback(callback, context=context)
        assert future._callbacks[-1] == (callback, context)
    assert len(future._callbacks) == 3
    for pair in future._callbacks:
        assert type(pair) is tuple
        assert pair[1] is context
    assert type(future._callbacks) is list


def test_callbacks_run_in_the_context_of_their_adding(world: Any, loop: Any) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    future = world.Future(loop=loop)
    seen: list[int] = []
    for number in (1, 2, 3):
        variable.set(number)
        future.add_done_callback(lambda _: seen.append(variable.get()))
    variable.set(4)
    future.set_result(None)
    world.turn(loop)
    assert seen == [1, 2, 3]


def test_callbacks_run_in_the_very_context_given(world: Any, loop: Any) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    context = contextvars.copy_context()
    future = world.Future(loop=loop)
    future.add_done_callback(lambda _: variable.set(7), context=context)
    future.set_result(None)
    world.turn(loop)
    assert context[variable] == 7
    assert variable not in contextvars.copy_context()
    late = world.Future(loop=loop)
    late.set_result(None)
    late.add_done_callback(lambda _: variable.set(8), context=context)
    world.turn(loop)
    assert context[variable] == 8


def test_context_none_means_the_context_of_the_settling(world: Any, loop: Any) -> None:
    """The Python version of asyncio takes it for the default; the one in C, hands None on."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    seen: list[str] = []

    def add(future: Any, count: int) -> None:
        variable.set("adding")
        for _ in range(count):
            future.add_done_callback(lambda _: seen.append(variable.get()), context=None)

    def settle(future: Any) -> None:
        variable.set("settling")
        future.set_result(None)

    for count in (1, 2):
        future = world.Future(loop=loop)
        contextvars.copy_context().run(add, future, count)
        assert [context for _, context in future._callbacks] == [None] * count
        contextvars.copy_context().run(settle, future)
        world.turn(loop)
    assert seen == ["settling"] * 3


def test_remove_done_callback_counts_what_it_removes(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    log: list[str] = []

    def wanted(_: Any) -> None:
        log.append("wanted")

    def unwanted(_: Any) -> None:
        log.append("unwanted")

    for callback in (unwanted, wanted, unwanted, wanted, unwanted):
        future.add_done_callback(callback)
    assert future.remove_done_callback(print) == 0
    assert future.remove_done_callback(unwanted) == 3
    assert future.remove_done_callback(unwanted) == 0
    future.set_result(None)
    assert future.remove_done_callback(wanted) == 0
    world.turn(loop)
    assert log == ["wanted", "wanted"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_remove_done_callback_empties_a_list_of_any_length(
    world: Any, loop: Any, count: int
) -> None:
    future = world.Future(loop=loop)
    for _ in range(count):
        future.add_done_callback(print)
    assert future.remove_done_callback(print) == count
    assert not future._callbacks
    future.set_result(None)
    world.turn(loop)


def test_callbacks_added_after_a_removal_go_to_the_end(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    log: list[str] = []

    def note(name: str) -> Callable[[Any], None]:
        return lambda _: log.append(name)

    first, second, third, fourth = map(note, ("first", "second", "third", "fourth"))
    future.add_done_callback(first)
    future.add_done_callback(second)
    future.add_done_callback(third)
    future.remove_done_callback(first)
    future.add_done_callback(fourth)
    future.set_result(None)
    world.turn(loop)
    assert log == ["second", "third", "fourth"]


def test_remove_done_callback_compares_by_equality(world: Any, loop: Any) -> None:
    class Receiver:
        def method(self, _: Any) -> None:
            raise AssertionError("was removed")

    receiver = Receiver()
    future = world.Future(loop=loop)
    future.add_done_callback(receiver.method)
    future.add_done_callback(receiver.method)
    assert future.remove_done_callback(receiver.method) == 2
    future.set_result(None)
    world.turn(loop)


class Comparing:
    """A callback that does something whenever it is compared."""

    def __init__(self, action: Callable[[], Any], answer: Any = False) -> None:
        self.action = action
        self.answer = answer
        self.comparisons = 0

    def __call__(self, future: Any) -> None:
        pass

    def __eq__(self, other: object) -> Any:
        self.comparisons += 1
        self.action()
        return self.answer

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_an_error_of_a_comparison_leaves_remove_done_callback(
    world: Any, loop: Any, count: int
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    future = world.Future(loop=loop)
    for _ in range(count):
        future.add_done_callback(Comparing(fail))
    assert type(raised(lambda: future.remove_done_callback(print))) is ZeroDivisionError
    assert len(future._callbacks) == count
    future.set_result(None)
    world.turn(loop)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "action",
    [
        lambda future: future.remove_done_callback(NO_CALLBACK),
        lambda future: future.add_done_callback(NO_CALLBACK),
        lambda future: future.done() or future.set_result(1),
        lambda future: future.cancel(),
        lambda future: gc.collect(),
    ],
    ids=["remove", "add", "set_result", "cancel", "collect"],
)
@pytest.mark.parametrize("answer", [False, True])
def test_a_comparison_may_change_the_very_list(
    world: Any, loop: Any, count: int, action: Any, answer: bool
) -> None:
    future = world.Future(loop=loop)
    busy = False

    def act() -> None:
        nonlocal busy
        if not busy:
            busy = True
            action(future)
            busy = False

    for _ in range(count):
        future.add_done_callback(Comparing(act, answer))
    removed = future.remove_done_callback(OTHER)
    assert 0 <= removed <= count
    future.cancel()
    world.turn(loop, 2)
    assert future.done()


def NO_CALLBACK(_: Any) -> None:
    pass


def OTHER(_: Any) -> None:
    pass


def test_a_comparison_that_empties_the_list_is_survived(world: Any, loop: Any) -> None:
    """The list is cleared while it is walked through, many times over."""
    for length in range(1, 8):
        future = world.Future(loop=loop)

        class Clears:
            def __eq__(self, other: object) -> bool:
                future.remove_done_callback(NO_CALLBACK)
                return False

            def __call__(self, _: Any) -> None:
                pass

            __hash__ = None  # type: ignore[assignment]

        for _ in range(length):
            future.add_done_callback(NO_CALLBACK)
        future.remove_done_callback(Clears())
        future.set_result(None)
        world.turn(loop)


def test_a_callback_that_raises_is_reported_and_the_others_still_run(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    future = world.Future(loop=loop)
    log: list[str] = []

    def fails(_: Any) -> None:
        raise ZeroDivisionError("in a callback")

    future.add_done_callback(fails)
    future.add_done_callback(lambda _: log.append("still run"))
    future.set_result(None)
    world.turn(loop)
    assert log == ["still run"]
    assert len(reports) == 1
    assert type(reports[0]["exception"]) is ZeroDivisionError
    assert reports[0]["message"].startswith("Exception in callback test_a_callback_that_raises")
    assert isinstance(reports[0]["handle"], world.Handle)


def test_a_callback_that_cannot_be_called_is_found_out_when_it_runs(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    future = world.Future(loop=loop)
    future.add_done_callback(5)
    future.set_result(None)
    world.turn(loop)
    assert [type(each["exception"]) for each in reports] == [TypeError]
    assert str(reports[0]["exception"]) == "'int' object is not callable"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_callback_leaves_the_loop_and_loses_nothing(
    world: Any, loop: Any, kind: type[BaseException]
) -> None:
    future = world.Future(loop=loop)
    log: list[str] = []

    def interrupts(_: Any) -> None:
        raise kind

    future.add_done_callback(interrupts)
    future.add_done_callback(lambda _: log.append("kept"))
    future.set_result(None)
    assert type(raised(lambda: world.turn(loop))) is kind
    assert log == []
    world.turn(loop)
    assert log == ["kept"]


def test_a_pending_future_keeps_its_callbacks_alive_and_a_done_one_lets_go(
    world: Any, loop: Any
) -> None:
    class Callback:
        def __call__(self, _: Any) -> None:
            pass

    for count in (1, 2, 3):
        future = world.Future(loop=loop)
        watched = []
        for _ in range(count):
            callback = Callback()
            watched.append(weakref.ref(callback))
            future.add_done_callback(callback)
            del callback
        gc.collect()
        assert all(each() is not None for each in watched)
        future.set_result(None)
        world.turn(loop)
        gc.collect()
        assert [each() for each in watched] == [None] * count


def test_ten_thousand_callbacks_run_in_order(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    log: list[int] = []
    for number in range(10_000):
        future.add_done_callback(lambda _, number=number: log.append(number))
    future.set_result(None)
    world.turn(loop)
    assert log == list(range(10_000))


def test_the_same_callback_twice_runs_twice(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    log: list[Any] = []
    future.add_done_callback(log.append)
    future.add_done_callback(log.append)
    future.set_result(None)
    world.turn(loop)
    assert log == [future, future]


def test_callbacks_of_two_futures_run_in_the_order_of_settling(world: Any, loop: Any) -> None:
    first, second = world.Future(loop=loop), world.Future(loop=loop)
    log: list[str] = []
    first.add_done_callback(lambda _: log.append("first"))
    second.add_done_callback(lambda _: log.append("second"))
    second.set_result(None)
    first.set_result(None)
    world.turn(loop)
    assert log == ["second", "first"]


def test_callbacks_go_through_an_overridden_call_soon(world: Any) -> None:
    calls: list[Any] = []

    class Loop(world.EventLoop):
        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
            calls.append((callback, args, context))
            return super().call_soon(callback, *args, context=context)

    loop = Loop()
    future = world.Future(loop=loop)
    context = contextvars.copy_context()
    log: list[Any] = []
    future.add_done_callback(log.append, context=context)
    future.add_done_callback(log.append, context=context)
    future.set_result(None)
    assert [args for _, args, _ in calls] == [(future,), (future,)]
    assert [given for _, _, given in calls] == [context, context]
    world.turn(loop)
    assert log == [future, future]
    loop.close()
