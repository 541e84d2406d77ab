"""How futures present themselves."""

from __future__ import annotations

import functools
import logging
import reprlib
from typing import Any

import pytest
from task_tools import PY


def test_repr_in_every_state(world: Any, loop: Any) -> None:
    pending, finished, failed, cancelled = (world.Future(loop=loop) for _ in range(4))
    finished.set_result([1])
    failed.set_exception(ValueError("why"))
    cancelled.cancel("not shown")
    assert repr(pending) == "<Future pending>"
    assert repr(finished) == "<Future finished result=[1]>"
    assert repr(failed) == "<Future finished exception=ValueError('why')>"
    assert repr(cancelled) == "<Future cancelled>"
    assert str(pending) == repr(pending)
    assert f"{finished}" == repr(finished)
    failed.exception()


def test_repr_shortens_long_results(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.set_result(list(range(1000)))
    expected = reprlib.repr(list(range(1000)))
    assert repr(future) == f"<Future finished result={expected}>"
    text = world.Future(loop=loop)
    text.set_result("x" * 1000)
    assert len(repr(text)) < 100


def a_callback(_: Any) -> None:
    pass


def test_repr_names_one_callback(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.add_done_callback(a_callback)
    line = a_callback.__code__.co_firstlineno
    assert repr(future) in (
        f"<Future pending cb=[a_callback() at {__file__}:{line}]>",
        f"<Future pending cb=[a_callback(<Future pendin...tests/{__file__}:{line}>)]>",
    )


def test_repr_names_two_callbacks_and_counts_the_rest(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    for _ in range(2):
        future.add_done_callback(a_callback)
    line = a_callback.__code__.co_firstlineno
    one = f"a_callback() at {__file__}:{line}"
    assert repr(future) == f"<Future pending cb=[{one}, {one}]>"
    future.add_done_callback(a_callback)
    assert repr(future) == f"<Future pending cb=[{one}, <1 more>, {one}]>"
    future.add_done_callback(a_callback)
    assert repr(future) == f"<Future pending cb=[{one}, <2 more>, {one}]>"
    future.remove_done_callback(a_callback)
    assert repr(future) == "<Future pending>"


def test_repr_shows_other_kinds_of_callbacks(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.add_done_callback(print)
    assert repr(future) == "<Future pending cb=[print()]>"
    partial = world.Future(loop=loop)
    partial.add_done_callback(functools.partial(a_callback, 1))
    # Debug mode shows the arguments; without it newer versions leave them out.
    assert "a_callback(" in repr(partial)
    assert f"{__file__}:{a_callback.__code__.co_firstlineno}" in repr(partial)


def test_repr_of_a_done_future_shows_no_callback(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.add_done_callback(lambda _: None)
    future.set_result(1)
    assert repr(future) == "<Future finished result=1>"
    world.turn(loop)


def test_repr_in_debug_mode_says_where_the_future_was_made(world: Any, loop: Any) -> None:
    loop.set_debug(True)
    future = world.Future(loop=loop)
    made_at = future._source_traceback[-1]
    assert repr(future) == f"<Future pending created at {made_at[0]}:{made_at[1]}>"
    future.set_result(5)
    assert repr(future) == f"<Future finished result=5 created at {made_at[0]}:{made_at[1]}>"


def test_repr_of_a_future_that_is_its_own_result_ends(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.set_result(future)
    assert repr(future) == "<Future finished result=<Future finished result=...>>" or (
        repr(future) == "<Future finished result=...>"
    )


def test_repr_of_two_futures_that_are_each_other_s_result_ends(world: Any, loop: Any) -> None:
    first, second = world.Future(loop=loop), world.Future(loop=loop)
    first.set_result(second)
    second.set_result([first])
    assert repr(first).startswith("<Future finished result=<Future finished result=[")
    assert "..." in repr(first)


def test_repr_of_a_long_chain_of_futures_ends(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.set_result(None)
    for _ in range(20):
        outer = world.Future(loop=loop)
        outer.set_result(future)
        future = outer
    assert repr(future).startswith("<Future finished result=<Future fini")
    assert repr(future).endswith(">>>>>")


def test_repr_uses_the_name_of_the_subclass(world: Any, loop: Any) -> None:
    class Promise(world.Future):
        pass

    assert repr(Promise(loop=loop)) == "<Promise pending>"


def test_repr_of_a_subclass_may_be_its_own(world: Any, loop: Any) -> None:
    class Promise(world.Future):
        def __repr__(self) -> str:
            return "a promise: " + super().__repr__()

    promise = Promise(loop=loop)
    assert repr(promise) == "a promise: <Promise pending>"
    outer = world.Future(loop=loop)
    outer.set_result(promise)
    assert repr(outer) == "<Future finished result=a promise: <Promise pending>>"


def test_repr_info_of_a_subclass_is_not_asked(world: Any, loop: Any) -> None:
    class Promise(world.Future):
        def _repr_info(self) -> list[str]:
            return ["own", "info"]

    # A hook of the time before 3.11: today's asyncio builds the text without it.
    assert repr(Promise(loop=loop)) == "<Promise pending>"


def test_repr_reads_attributes_that_a_subclass_overrides(world: Any, loop: Any) -> None:
    class Promise(world.Future):
        _state = "PROMISED"

    assert repr(Promise(loop=loop)) == "<Promise promised>"


def test_an_error_in_the_result_s_repr_is_shown_and_not_raised(world: Any, loop: Any) -> None:
    class NoRepr:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    future = world.Future(loop=loop)
    future.set_result(NoRepr())
    assert repr(future).startswith("<Future finished result=<NoRepr instance at 0x")


def test_a_result_whose_repr_settles_or_drops_futures_is_survived(world: Any, loop: Any) -> None:
    other = world.Future(loop=loop)

    class Busy:
        def __repr__(self) -> str:
            if not other.done():
                other.set_result(1)
            return "busy"

    future = world.Future(loop=loop)
    future.set_result(Busy())
    assert repr(future) == "<Future finished result=busy>"
    assert other.result() == 1


def test_repr_of_a_future_with_callbacks_that_present_themselves_badly(
    world: Any, loop: Any
) -> None:
    class Callback:
        def __call__(self, _: Any) -> None:
            pass

        def __repr__(self) -> str:
            future.remove_done_callback(self)
            return "callback"

    future = world.Future(loop=loop)
    callbacks = [Callback() for _ in range(3)]
    for callback in callbacks:
        future.add_done_callback(callback)
    assert "callback" in repr(future)
    assert "Future pending" in repr(future)


def test_logging_a_future_shows_it(world: Any, loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("batonloop test").info("%r", world.Future(loop=loop))
    assert caplog.messages == ["<Future pending>"]


def test_repr_in_the_middle_of_the_version_s_own_debug_texts(world: Any, loop: Any) -> None:
    """Callbacks with arguments: shown in debug mode only, from 3.13 on."""
    future = world.Future(loop=loop)
    future.add_done_callback(functools.partial(a_callback, "argument"))
    shown = "'argument'" in repr(future)
    assert shown is (PY < (3, 13))
