"""A future's private attributes, and what holds for it as a Python object."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import sys
import types
import weakref
from typing import Any

import pytest
from task_tools import PY, passes_apart, raised

READ_ONLY = ("_state", "_result", "_exception", "_callbacks", "_loop", "_source_traceback")
READ_ONLY_OF_TASKS = ("_coro", "_fut_waiter", "_must_cancel")
UNINITIALISED = "Future object is not initialized."


def test_private_attributes_of_a_pending_future(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    assert future._state == "PENDING"
    assert future._result is None
    assert future._exception is None
    assert future._callbacks is None
    assert future._loop is loop
    assert future._source_traceback is None
    assert future._asyncio_future_blocking is False
    assert future._cancel_message is None
    assert future._log_traceback is False


def test_private_attributes_follow_the_state(world: Any, loop: Any) -> None:
    finished, failed, cancelled = (world.Future(loop=loop) for _ in range(3))
    value, error = object(), ValueError()
    finished.set_result(value)
    failed.set_exception(error)
    cancelled.cancel("why")
    assert (finished._state, finished._result, finished._exception) == ("FINISHED", value, None)
    assert (failed._state, failed._result, failed._exception) == ("FINISHED", None, error)
    assert (cancelled._state, cancelled._result) == ("CANCELLED", None)
    assert cancelled._exception is None
    assert cancelled._cancel_message == "why"
    assert failed._log_traceback is True
    assert finished._log_traceback is False
    failed.exception()
    assert failed._log_traceback is False


@pytest.mark.parametrize("name", READ_ONLY)
@pytest.mark.parametrize("value", [None, 1, "x", []], ids=repr)
def test_private_attributes_of_a_future_are_read_only(
    world: Any, loop: Any, name: str, value: Any
) -> None:
    future = world.Future(loop=loop)
    before = getattr(future, name)
    assert type(raised(lambda: setattr(future, name, value))) is AttributeError
    assert type(raised(lambda: delattr(future, name))) is AttributeError
    assert getattr(future, name) == before


@pytest.mark.parametrize("name", [*READ_ONLY, *READ_ONLY_OF_TASKS])
def test_private_attributes_of_a_task_are_read_only(world: Any, loop: Any, name: str) -> None:
    async def main() -> None:
        pass

    task = loop.create_task(main())
    before = getattr(task, name)
    for value in (None, 1, True):
        assert type(raised(lambda: setattr(task, name, value))) is AttributeError
    assert type(raised(lambda: delattr(task, name))) is AttributeError
    assert getattr(task, name) == before
    loop.run_until_complete(task)


def test_private_attributes_of_a_task(world: Any, loop: Any) -> None:
    async def main() -> None:
        await future

    future = world.Future(loop=loop)
    coro = main()
    task = loop.create_task(coro)
    assert task._coro is coro
    assert task._fut_waiter is None
    assert task._must_cancel is False
    assert task._log_destroy_pending is True
    world.turn(loop)
    assert task._fut_waiter is future
    future.set_result(None)
    # The waiter stays known until the task's next step.
    assert task._fut_waiter is future
    loop.run_until_complete(task)
    assert task._fut_waiter is None


@pytest.mark.parametrize(
    ("value", "truth"), [(True, True), (False, False), (0, False), ("x", True), (None, False)]
)
def test_the_blocking_flag_takes_a_truth_value(
    world: Any, loop: Any, value: Any, truth: bool
) -> None:
    future = world.Future(loop=loop)
    future._asyncio_future_blocking = value
    assert future._asyncio_future_blocking is truth
    assert type(raised(lambda: delattr(future, "_asyncio_future_blocking"))) is AttributeError
    assert future._asyncio_future_blocking is truth


@pytest.mark.parametrize("value", [True, 1, "x"])
def test_log_traceback_can_only_be_taken_away(world: Any, loop: Any, value: Any) -> None:
    future = world.Future(loop=loop)
    future.set_exception(ValueError())
    error = raised(lambda: setattr(future, "_log_traceback", value))
    assert type(error) is ValueError
    assert str(error) == "_log_traceback can only be set to False"
    assert type(raised(lambda: delattr(future, "_log_traceback"))) is AttributeError
    assert future._log_traceback is True
    future._log_traceback = False
    assert future._log_traceback is False


def test_a_truth_value_that_fails_changes_no_flag(world: Any, loop: Any) -> None:
    class NoTruth:
        def __bool__(self) -> bool:
            raise ZeroDivisionError

    async def main() -> None:
        pass

    task = loop.create_task(main())
    for name in ("_asyncio_future_blocking", "_log_traceback", "_log_destroy_pending"):
        before = getattr(task, name)
        assert type(raised(lambda: setattr(task, name, NoTruth()))) is ZeroDivisionError
        assert getattr(task, name) == before
    loop.run_until_complete(task)


@pytest.mark.parametrize("value", [None, "why", 5, ()], ids=repr)
def test_the_cancel_message_is_writable(world: Any, loop: Any, value: Any) -> None:
    future = world.Future(loop=loop)
    future._cancel_message = value
    assert future._cancel_message is value
    assert type(raised(lambda: delattr(future, "_cancel_message"))) is AttributeError
    assert future._cancel_message is value


def test_the_cancel_message_written_is_the_one_raised(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.cancel("first")
    future._cancel_message = "second"
    assert raised(future.result).args == ("second",)


@pytest.mark.parametrize(("value", "truth"), [(False, False), (1, True), (None, False)])
def test_log_destroy_pending_takes_a_truth_value(
    world: Any, loop: Any, value: Any, truth: bool
) -> None:
    async def main() -> None:
        pass

    task = loop.create_task(main())
    task._log_destroy_pending = value
    assert task._log_destroy_pending is truth
    assert type(raised(lambda: delattr(task, "_log_destroy_pending"))) is AttributeError
    loop.run_until_complete(task)


@pytest.mark.parametrize("message", [None, "why", 7])
def test_make_cancelled_error_makes_the_error_of_the_message(
    world: Any, loop: Any, message: Any
) -> None:
    future = world.Future(loop=loop)
    future.cancel(message)
    first, second = future._make_cancelled_error(), future._make_cancelled_error()
    assert type(first) is asyncio.CancelledError
    assert first is not second
    assert first.args == second.args == (() if message is None else (message,))


def test_make_cancelled_error_works_on_a_future_that_is_not_cancelled(
    world: Any, loop: Any
) -> None:
    future = world.Future(loop=loop)
    assert future._make_cancelled_error().args == ()
    future._cancel_message = "set by hand"
    assert future._make_cancelled_error().args == ("set by hand",)
    assert not future.done()


def test_make_cancelled_error_hands_a_task_s_own_error_out_once(world: Any, loop: Any) -> None:
    async def main() -> None:
        raise asyncio.CancelledError("own")

    task = loop.create_task(main())
    world.turn(loop)
    assert task.cancelled()
    first, second = task._make_cancelled_error(), task._make_cancelled_error()
    assert first.args == ("own",)
    assert second is not first
    assert second.args == ()


def test_any_other_attribute_can_be_set_and_deleted(world: Any, loop: Any) -> None:
    async def main() -> None:
        pass

    task = loop.create_task(main())
    for each in (world.Future(loop=loop), task):
        assert type(raised(lambda: each.colour)) is AttributeError
        each.colour = "red"
        assert each.colour == "red"
        del each.colour
        assert type(raised(lambda: each.colour)) is AttributeError
    loop.run_until_complete(task)


def test_attributes_keep_cycles_that_are_collected(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.myself = future
    watched = weakref.ref(future)
    del future
    gc.collect()
    assert watched() is None


def test_weak_references_die_with_the_future(world: Any, loop: Any) -> None:
    dead: list[Any] = []
    future = world.Future(loop=loop)
    watched = weakref.ref(future, dead.append)
    also = weakref.WeakSet([future])
    assert watched() is future
    assert future in also
    del future
    assert watched() is None
    assert dead == [watched]
    assert len(also) == 0


def test_a_future_dies_at_once_without_the_collector(world: Any, loop: Any) -> None:
    gc.disable()
    try:
        for settle in (None, "result", "cancel"):
            future = world.Future(loop=loop)
            future.add_done_callback(print)
            future.remove_done_callback(print)
            if settle == "result":
                future.set_result([1])
            elif settle == "cancel":
                future.cancel("why")
            watched = weakref.ref(future)
            del future
            assert watched() is None
    finally:
        gc.enable()


def test_a_future_holds_its_result_and_lets_it_go(world: Any, loop: Any) -> None:
    class Value:
        pass

    value = Value()
    watched = weakref.ref(value)
    future = world.Future(loop=loop)
    future.set_result(value)
    del value
    assert watched() is not None
    del future
    assert watched() is None


def test_the_collector_sees_all_that_a_future_holds(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    value = ["value"]
    future.set_result(value)
    assert gc.is_tracked(future)
    assert any(each is value for each in gc.get_referents(future))
    waiting = world.Future(loop=loop)
    callback = lambda _: None
    waiting.add_done_callback(callback)
    assert any(each is callback for each in gc.get_referents(waiting))
    assert any(each is loop for each in gc.get_referents(waiting))
    waiting.remove_done_callback(callback)


def test_futures_and_tasks_can_be_named_with_types_in_brackets(world: Any, loop: Any) -> None:
    alias = world.Future[int]
    assert type(alias) is types.GenericAlias
    assert alias.__origin__ is world.Future
    assert alias.__args__ == (int,)
    assert world.Task[int, str].__args__ == (int, str)
    assert type(alias(loop=loop)) is world.Future
    assert type(world.Future.__class_getitem__(int)) is types.GenericAlias


@pytest.mark.parametrize("kind", ["Future", "Task"])
def test_copying_and_pickling_are_refused(world: Any, loop: Any, kind: str) -> None:
    async def main() -> None:
        pass

    task = loop.create_task(main())
    each = task if kind == "Task" else world.Future(loop=loop)
    for refuse in (
        lambda: copy.copy(each),
        lambda: copy.deepcopy(each),
        lambda: each.__reduce__(),
        *(lambda p=p: pickle.dumps(each, p) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
    ):
        error = raised(refuse)
        assert type(error) is TypeError
        assert str(error).startswith("cannot pickle ")
    loop.run_until_complete(task)
    assert type(raised(lambda: copy.copy(task))) is TypeError


def test_sizes_and_representations_of_the_types_are_asked_without_harm(
    world: Any, loop: Any
) -> None:
    future = world.Future(loop=loop)
    assert sys.getsizeof(future) > 0
    assert "Future" in repr(world.Future)
    assert "Task" in repr(world.Task)
    assert world.Future.__name__ == "Future"
    assert world.Task.__name__ == "Task"
    assert issubclass(world.Task, world.Future)
    assert dir(future)
    assert inspect.getdoc(world.Future.set_result)


PUBLIC_OF_FUTURES = (
    "add_done_callback cancel cancelled done exception get_loop remove_done_callback result"
    " set_exception set_result"
).split()
PUBLIC_OF_TASKS = ("cancelling get_coro get_name get_stack print_stack set_name uncancel").split()


def test_the_public_methods_are_those_of_asyncio(world: Any) -> None:
    names = {name for name in dir(world.Future) if not name.startswith("_")}
    assert names == set(PUBLIC_OF_FUTURES)
    names = {name for name in dir(world.Task) if not name.startswith("_")}
    expected = {*PUBLIC_OF_FUTURES, *PUBLIC_OF_TASKS}
    if PY >= (3, 12):
        expected.add("get_context")
    assert names == expected


@pytest.mark.parametrize("name", [*PUBLIC_OF_FUTURES, "_make_cancelled_error"])
def test_an_unbound_method_refuses_what_is_no_future(world: Any, name: str) -> None:
    assert type(raised(lambda: getattr(world.Future, name)(5))) is TypeError
    assert type(raised(lambda: getattr(world.Future, name)())) is TypeError
    assert type(raised(lambda: getattr(world.Task, name)(object()))) is TypeError


def test_the_constructor_of_futures_refuses_what_is_no_future(world: Any) -> None:
    assert type(raised(lambda: world.Future.__init__(5))) is TypeError
    assert type(raised(lambda: world.Future.__new__(int))) is TypeError
    assert type(raised(lambda: world.Task.__new__(world.Future))) is TypeError


def test_a_future_made_without_its_constructor_says_so(world: Any) -> None:
    future = world.Future.__new__(world.Future)
    for call in (
        future.cancel,
        future.get_loop,
        lambda: future.set_result(1),
        lambda: future.set_exception(ValueError()),
        lambda: future.remove_done_callback(print),
        future.__await__,
        lambda: iter(future),
        lambda: repr(future),
        lambda: future._state,
        lambda: future._result,
        lambda: future._exception,
        lambda: future._callbacks,
        lambda: future._log_traceback,
        lambda: setattr(future, "_asyncio_future_blocking", True),
    ):
        error = raised(call)
        assert type(error) is RuntimeError
        assert str(error) == UNINITIALISED
    error = raised(lambda: future.add_done_callback(print))
    assert type(error) is RuntimeError
    assert str(error) == "uninitialized Future object"
    for call in (future.result, future.exception):
        error = raised(call)
        assert type(error) is asyncio.InvalidStateError
        assert str(error) == UNINITIALISED
    assert future.done() is False
    assert future.cancelled() is False
    assert future._loop is None
    assert future._cancel_message is None
    assert future._asyncio_future_blocking is False
    assert future._source_traceback is None


def test_a_task_made_without_its_constructor_says_so(world: Any) -> None:
    task = world.Task.__new__(world.Task)
    for call in (
        task.get_loop,
        lambda: task.remove_done_callback(print),
        task.__await__,
        lambda: repr(task),
        lambda: task._state,
        task.get_stack,
        task.print_stack,
    ):
        error = raised(call)
        assert type(error) is RuntimeError
        assert str(error) == UNINITIALISED
    assert str(raised(lambda: task.set_result(1))) == ("Task does not support set_result operation")
    assert task.done() is False
    assert task._fut_waiter is None
    assert task.cancelling() == 0
    assert task.uncancel() == 0


def test_whatever_is_asked_of_an_uninitialised_object_nothing_crashes(world: Any) -> None:
    """Some of these crash stock asyncio, so that only ours is asked them."""
    if not world.is_ours:
        pytest.skip("stock asyncio crashes here")
    passes_apart(
        world,
        """
        async def main(): pass
        loop = new_event_loop()
        arguments = {
            "set_result": (1,), "set_exception": (ValueError(),), "set_name": ("name",),
            "add_done_callback": (print,), "remove_done_callback": (print,),
        }
        for kind in (world.Future, world.Task):
            for name in dir(kind):
                if name in ("__new__", "__init__", "__init_subclass__", "__class__"):
                    continue
                each = kind.__new__(kind)
                try:
                    value = getattr(each, name)
                    if callable(value):
                        value(*arguments.get(name, ()))
                except (RuntimeError, asyncio.InvalidStateError, TypeError, AttributeError):
                    pass
                del each
                gc.collect()

        # Handed to everything that takes a future.
        import _asyncio
        for kind in (world.Future, world.Task):
            each = kind.__new__(kind)
            for name in dir(_asyncio):
                function = getattr(_asyncio, name)
                if isinstance(function, type) or not callable(function):
                    continue
                for args in ((each,), (loop, each), (each, each), (each, loop)):
                    try:
                        function(*args)
                    except Exception:
                        pass
            asyncio._set_running_loop(None)

        # Awaited and yielded by a task: refused, or reported by the step and the task stuck.
        loop.set_exception_handler(lambda *_: None)
        async def waits(future):
            await future
        class Yields:
            def __init__(self, value): self.value = value
            def __await__(self): yield self.value
        for kind in (world.Future, world.Task):
            for make in (lambda future: future, Yields):
                task = loop.create_task(waits(make(kind.__new__(kind))))
                for _ in range(3):
                    loop.call_soon(loop.stop)
                    loop.run_forever()
                task.cancel()
                for _ in range(3):
                    loop.call_soon(loop.stop)
                    loop.run_forever()
                task = None
                gc.collect()
        loop.close()
        """,
    )


def test_the_constructor_called_again(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.set_result(1)
    if PY >= (3, 15):
        error = raised(lambda: future.__init__(loop=loop))
        assert type(error) is RuntimeError
        assert str(error).endswith("Future object is already initialized")
        assert future.result() == 1
    else:
        future.__init__(loop=loop)
        assert not future.done()
        assert future.get_loop() is loop
        future.set_result(2)
        assert future.result() == 2


def test_the_constructor_of_a_task_called_again(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def note(text: str) -> None:
        log.append(text)

    first, second = note("first"), note("second")
    task = world.Task(first, loop=loop)
    if PY >= (3, 15):
        error = raised(lambda: task.__init__(second, loop=loop))
        assert type(error) is RuntimeError
        assert str(error).endswith("Task object is already initialized")
        loop.run_until_complete(task)
        assert log == ["first"]
    else:
        reports: list[Any] = []
        loop.set_exception_handler(lambda _, context: reports.append(context))
        task.__init__(second, loop=loop)
        loop.run_until_complete(task)
        world.turn(loop, 2)
        # Two steps were queued for one coroutine: the second finds the task done.
        assert log == ["second"]
        assert [type(each["exception"]) for each in reports] == [asyncio.InvalidStateError]
        assert "step(): already done: <Task finished" in str(reports[0]["exception"])
        reports.clear()
    for coro in (first, second):
        coro.close()


def test_a_constructor_that_fails_leaves_an_object_that_does_no_harm(world: Any, loop: Any) -> None:
    kept = []

    class Loop:
        def get_debug(self) -> bool:
            raise ZeroDivisionError

    class Future(world.Future):
        def __init__(self, **kwargs: Any) -> None:
            kept.append(self)
            super().__init__(**kwargs)

    assert type(raised(lambda: Future(loop=Loop()))) is ZeroDivisionError
    future = kept.pop()
    for call in (
        lambda: repr(future),
        lambda: future.set_result(1),
        future.cancel,
        lambda: future.add_done_callback(print),
        future.result,
        future.__await__,
    ):
        try:
            call()
        except (RuntimeError, asyncio.InvalidStateError, AttributeError):
            pass


def test_del_of_a_pending_future_does_nothing(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    assert future.__del__() is None
    assert not future.done()
    future.set_result(1)
    assert future.__del__() is None
    assert future.result() == 1


def test_source_traceback_in_debug_mode_ends_where_the_future_was_made(
    world: Any, loop: Any
) -> None:
    loop.set_debug(True)
    future = world.Future(loop=loop)
    made_at = future._source_traceback
    assert made_at[-1].name == (
        "test_source_traceback_in_debug_mode_ends_where_the_future_was_made"
    )
    assert made_at[-1].filename == __file__
    assert type(raised(lambda: setattr(future, "_source_traceback", None))) is AttributeError


def test_the_source_traceback_s_last_line_can_be_deleted(world: Any, loop: Any) -> None:
    """BaseEventLoop.create_task does so, to hide its own frame."""
    loop.set_debug(True)
    future = world.Future(loop=loop)
    length = len(future._source_traceback)
    del future._source_traceback[-1]
    assert len(future._source_traceback) == length - 1


def test_the_debug_flag_is_read_when_the_future_is_made(world: Any, loop: Any) -> None:
    before = world.Future(loop=loop)
    loop.set_debug(True)
    during = world.Future(loop=loop)
    loop.set_debug(False)
    after = world.Future(loop=loop)
    assert before._source_traceback is None
    assert during._source_traceback is not None
    assert after._source_traceback is None
