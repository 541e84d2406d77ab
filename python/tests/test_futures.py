"""A future's states, and every way from one to the next."""

from __future__ import annotations

import asyncio
import gc
import threading
import types
from typing import Any

import pytest
from task_tools import PY, raised, shares_layout

STOP_ITERATION_TEXT = (
    "StopIteration interacts badly with generators and cannot be raised into a Future"
)


def test_a_new_future_is_pending(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    assert not future.done()
    assert not future.cancelled()
    assert future._state == "PENDING"
    assert future.get_loop() is loop


def test_a_pending_future_has_no_result(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    error = raised(future.result)
    assert type(error) is asyncio.InvalidStateError
    assert str(error) == "Result is not set."


def test_a_pending_future_has_no_exception(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    error = raised(future.exception)
    assert type(error) is asyncio.InvalidStateError
    assert str(error) == "Exception is not set."


@pytest.mark.parametrize(
    "value",
    [None, 0, False, "text", (), (1, 2), [], {}, ValueError("as a value"), StopIteration(3), int],
    ids=repr,
)
def test_any_object_is_a_result(world: Any, loop: Any, value: Any) -> None:
    future = world.Future(loop=loop)
    assert future.set_result(value) is None
    assert future.done()
    assert not future.cancelled()
    assert future._state == "FINISHED"
    assert future.result() is value
    assert future.result() is value
    assert future.exception() is None


def test_a_future_may_be_its_own_result(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.set_result(future)
    assert future.result() is future
    del future
    gc.collect()


@pytest.mark.parametrize("state", ["result", "exception", "cancelled"])
def test_a_done_future_cannot_be_set_again(world: Any, loop: Any, state: str) -> None:
    future = world.Future(loop=loop)
    settle(future, state)
    for again in (lambda: future.set_result(1), lambda: future.set_exception(ValueError())):
        error = raised(again)
        assert type(error) is asyncio.InvalidStateError
        assert str(error) == "invalid state"
    assert future._state == ("CANCELLED" if state == "cancelled" else "FINISHED")
    drain(future)


@pytest.mark.parametrize("state", ["result", "exception", "cancelled"])
def test_a_done_future_cannot_be_cancelled(world: Any, loop: Any, state: str) -> None:
    future = world.Future(loop=loop)
    settle(future, state)
    before = future._state
    assert future.cancel() is False
    assert future.cancel("late") is False
    assert future._state == before
    assert future.cancelled() is (state == "cancelled")
    drain(future)


def test_a_done_future_refuses_even_a_wrong_exception_as_done(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.set_result(1)
    assert type(raised(lambda: future.set_exception(5))) is asyncio.InvalidStateError


def test_a_late_result_that_is_refused_is_let_go(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.set_result("first")
    late = LateResult()
    raised(lambda: future.set_result(late))
    assert future.result() == "first"


class LateResult:
    pass


def test_set_exception_keeps_the_very_instance(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    error = ValueError("kept")
    assert future.set_exception(error) is None
    assert future.exception() is error
    assert future.done()
    assert not future.cancelled()
    assert raised(future.result) is error
    assert future._exception is error


def test_set_exception_makes_an_instance_of_a_class(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.set_exception(KeyError)
    error = future.exception()
    assert type(error) is KeyError
    assert error.args == ()
    assert future.exception() is error


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, BaseException])
def test_set_exception_takes_every_base_exception(world: Any, loop: Any, kind: type) -> None:
    future = world.Future(loop=loop)
    future.set_exception(kind)
    assert type(future.exception()) is kind
    assert type(raised(future.result)) is kind


def test_set_exception_with_a_cancelled_error_does_not_cancel(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    error = asyncio.CancelledError("as an exception")
    future.set_exception(error)
    assert not future.cancelled()
    assert future.exception() is error


@pytest.mark.parametrize("wrong", [3, "text", None, object, int, object()], ids=repr)
def test_set_exception_refuses_what_is_no_exception(world: Any, loop: Any, wrong: Any) -> None:
    future = world.Future(loop=loop)
    error = raised(lambda: future.set_exception(wrong))
    assert type(error) is TypeError
    if wrong is object or wrong is int:
        assert "exception" in str(error)
    else:
        assert str(error) == "invalid exception object"
    assert not future.done()
    future.cancel()


def test_an_exception_class_that_refuses_to_be_made_leaves_the_future_pending(
    world: Any, loop: Any
) -> None:
    class Refuses(Exception):
        def __init__(self) -> None:
            raise KeyError("refused")

    future = world.Future(loop=loop)
    assert type(raised(lambda: future.set_exception(Refuses))) is KeyError
    assert not future.done()


def test_an_exception_class_that_makes_something_else_is_refused(world: Any, loop: Any) -> None:
    class MakesFive(Exception):
        def __new__(cls) -> Any:
            return 5

    future = world.Future(loop=loop)
    assert type(raised(lambda: future.set_exception(MakesFive))) is TypeError
    assert not future.done()


def test_an_exception_class_may_settle_the_future_while_it_is_made(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)

    class Settles(Exception):
        def __init__(self) -> None:
            future.set_result("from inside")

    try:
        future.set_exception(Settles)
    except asyncio.InvalidStateError:
        pass
    assert future.done()
    future.exception()


@pytest.mark.parametrize("given", [StopIteration, StopIteration(3)], ids=repr)
def test_stop_iteration_cannot_be_set_as_it_is(world: Any, loop: Any, given: Any) -> None:
    future = world.Future(loop=loop)
    if PY < (3, 13):
        error = raised(lambda: future.set_exception(given))
        assert type(error) is TypeError
        assert str(error) == STOP_ITERATION_TEXT
        assert not future.done()
        return
    future.set_exception(given)
    error = future.exception()
    assert type(error) is RuntimeError
    assert str(error) == STOP_ITERATION_TEXT
    assert type(error.__cause__) is StopIteration
    assert error.__context__ is error.__cause__
    if isinstance(given, StopIteration):
        assert error.__cause__ is given


def test_a_subclass_of_stop_iteration_is_wrapped_since_3_13(world: Any, loop: Any) -> None:
    class Stop(StopIteration):
        pass

    future = world.Future(loop=loop)
    future.set_exception(Stop())
    assert type(future.exception()) is (Stop if PY < (3, 13) else RuntimeError)


def test_result_raises_the_exception_with_the_traceback_it_came_with(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)

    def deep() -> None:
        raise ValueError("deep")

    future.set_exception(raised(deep))
    first = raised(future.result)
    assert frames(first.__traceback__) == ["raised", "raised", "deep"]
    # Asking again and again does not make the traceback longer.
    for _ in range(3):
        again = raised(future.result)
        assert again is first
        assert frames(again.__traceback__) == ["raised"]


def frames(traceback: types.TracebackType | None) -> list[str]:
    names = []
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return names


def test_cancel_settles_the_future(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    assert future.cancel() is True
    assert future.cancelled()
    assert future.done()
    assert future._state == "CANCELLED"


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((), {}, ()),
        ((None,), {}, ()),
        (("why",), {}, ("why",)),
        ((5,), {}, (5,)),
        ((("a", "b"),), {}, (("a", "b"),)),
        ((), {"msg": "named"}, ("named",)),
        ((0,), {}, (0,)),
        (("",), {}, ("",)),
    ],
)
def test_cancel_hands_its_message_to_the_error(
    world: Any, loop: Any, args: tuple[Any, ...], kwargs: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    future = world.Future(loop=loop)
    future.cancel(*args, **kwargs)
    for ask in (future.result, future.exception):
        error = raised(ask)
        assert type(error) is asyncio.CancelledError
        assert error.args == expected
        assert error.__context__ is None
        assert error.__cause__ is None
    assert future._cancel_message == (expected[0] if expected else None)


def test_each_asking_of_a_cancelled_future_makes_a_new_error(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.cancel("why")
    assert raised(future.result) is not raised(future.result)


def test_cancel_takes_one_argument(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    assert type(raised(lambda: future.cancel(1, 2))) is TypeError
    assert type(raised(lambda: future.cancel(message=1))) is TypeError
    assert not future.done()


@pytest.mark.parametrize(
    "call",
    [
        lambda f: f.set_result(),
        lambda f: f.set_result(1, 2),
        lambda f: f.set_exception(),
        lambda f: f.set_exception(1, 2),
        lambda f: f.result(1),
        lambda f: f.exception(1),
        lambda f: f.done(1),
        lambda f: f.cancelled(1),
        lambda f: f.get_loop(1),
        lambda f: f.add_done_callback(),
        lambda f: f.add_done_callback(print, None),
        lambda f: f.add_done_callback(print, ctx=None),
        lambda f: f.remove_done_callback(),
    ],
)
def test_wrong_arguments_are_type_errors_and_change_nothing(
    world: Any, loop: Any, call: Any
) -> None:
    future = world.Future(loop=loop)
    assert type(raised(lambda: call(future))) is TypeError
    assert not future.done()
    assert future._callbacks is None


@pytest.mark.parametrize(
    "call",
    [
        lambda cls, loop: cls(loop),
        lambda cls, loop: cls(loop=loop, name="no"),
        lambda cls, loop: cls(loop, loop=loop),
    ],
)
def test_the_constructor_takes_only_loop_by_name(world: Any, loop: Any, call: Any) -> None:
    assert type(raised(lambda: call(world.Future, loop))) is TypeError


def test_the_constructor_asks_the_loop_for_its_debug_flag(world: Any) -> None:
    error = raised(lambda: world.Future(loop=5))
    assert type(error) is AttributeError
    assert str(error) == "'int' object has no attribute 'get_debug'"


def test_an_error_of_get_debug_leaves_the_constructor(world: Any) -> None:
    class Loop:
        def get_debug(self) -> bool:
            raise ZeroDivisionError

    assert type(raised(lambda: world.Future(loop=Loop()))) is ZeroDivisionError


def test_a_future_on_an_object_with_the_few_methods_it_needs_works(world: Any) -> None:
    class Loop:
        def __init__(self) -> None:
            self.calls: list[tuple[Any, ...]] = []

        def get_debug(self) -> int:
            return 0

        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> None:
            self.calls.append((callback, args))

    small_loop = Loop()
    future = world.Future(loop=small_loop)
    future.add_done_callback(print)
    future.set_result(1)
    assert small_loop.calls == [(print, (future,))]
    assert future.get_loop() is small_loop


def test_loop_none_means_the_current_loop(world: Any, loop: Any) -> None:
    async def main() -> Any:
        return world.Future(loop=None), world.Future()

    first, second = loop.run_until_complete(main())
    assert first.get_loop() is second.get_loop() is loop


def test_without_any_current_loop_the_constructor_says_so(world: Any) -> None:
    errors = []

    def elsewhere() -> None:
        errors.append(raised(world.Future))

    thread = threading.Thread(target=elsewhere, name="elsewhere")
    thread.start()
    thread.join()
    assert type(errors[0]) is RuntimeError
    assert str(errors[0]) == "There is no current event loop in thread 'elsewhere'."


def test_create_future_makes_a_future_of_the_loop(world: Any, loop: Any) -> None:
    future = loop.create_future()
    assert type(future) is world.Future
    assert future.get_loop() is loop


def test_a_future_may_be_made_and_settled_on_a_closed_loop(world: Any) -> None:
    loop = world.new_event_loop()
    loop.close()
    future = world.Future(loop=loop)
    future.set_result(1)
    assert future.result() == 1


def test_settling_with_callbacks_on_a_closed_loop_says_that_it_is_closed(world: Any) -> None:
    loop = world.new_event_loop()
    future = world.Future(loop=loop)
    future.add_done_callback(print)
    loop.close()
    error = raised(lambda: future.set_result(1))
    assert type(error) is RuntimeError
    assert str(error) == "Event loop is closed"
    assert future.done()


def test_futures_compare_and_hash_by_identity(world: Any, loop: Any) -> None:
    first, second = world.Future(loop=loop), world.Future(loop=loop)
    assert first == first
    assert first != second
    assert hash(first) == object.__hash__(first)
    assert len({first, second, first}) == 2
    assert bool(first)
    assert type(raised(lambda: first < second)) is TypeError


def test_isfuture_knows_a_future(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    assert world.isfuture(future)
    assert asyncio.isfuture(future)
    assert not world.isfuture(world.Future)
    assert not world.isfuture(5)


def test_a_future_is_an_instance_of_asyncio_s_future(world: Any, loop: Any) -> None:
    if not shares_layout(world):
        pytest.skip("only in CPython's own layout")
    assert isinstance(world.Future(loop=loop), asyncio.Future)
    assert not isinstance(world.Future(loop=loop), asyncio.Task)


def test_ensure_future_gives_a_future_back(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    assert world.ensure_future(future) is future
    assert asyncio.ensure_future(future) is future
    assert world.ensure_future(future, loop=loop) is future


def test_ensure_future_refuses_a_future_of_another_loop(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    other = world.new_event_loop()
    error = raised(lambda: world.ensure_future(future, loop=other))
    other.close()
    assert type(error) is ValueError
    assert str(error) == (
        "The future belongs to a different loop than the one specified as the loop argument"
    )


def settle(future: Any, state: str) -> None:
    if state == "result":
        future.set_result("result")
    elif state == "exception":
        future.set_exception(ValueError("exception"))
    else:
        future.cancel("cancelled")


def drain(future: Any) -> None:
    """Look at the exception, so that nobody reports it."""
    if not future.cancelled():
        future.exception()


@pytest.mark.parametrize("how", ["await", "result", "task"])
def test_an_exception_that_refuses_attributes_comes_out_all_the_same(
    world: Any, loop: Any, how: str
) -> None:
    class Frozen(Exception):
        def __setattr__(self, name: str, value: Any) -> None:
            raise AttributeError(f"cannot assign to {name}")

    async def fail() -> None:
        raise Frozen("cold")

    async def main() -> Any:
        if how == "task":
            return await world.Task(fail(), loop=loop)
        future = world.Future(loop=loop)
        future.set_exception(Frozen("cold"))
        return await future if how == "await" else future.result()

    error = raised(lambda: loop.run_until_complete(main()))
    assert (type(error), str(error)) == (Frozen, "cold")
    assert error.__traceback__ is not None
