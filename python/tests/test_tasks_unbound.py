"""asyncio's own C methods and functions, called by hand upon objects of the world.

A program may reach past every override: `asyncio.Future.set_result(future, 1)`, `super()` in a
class of another line, or a function of `_asyncio`. None of it may crash or hang, and what works
must work as it says. In asyncio's own world this checks that the expectations are right.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from task_tools import passes_apart, raised, shares_layout

C_FUTURE, C_TASK = asyncio.futures._CFuture, asyncio.tasks._CTask


@pytest.fixture(autouse=True)
def shared_only(world: Any) -> None:
    """On a layout of our own the objects are no C futures, and the C methods refuse them."""
    if not shares_layout(world):
        pytest.skip("the C methods refuse objects of another layout")


def test_the_c_methods_take_our_objects(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    assert isinstance(future, C_FUTURE)
    assert C_FUTURE.done(future) is False
    assert C_FUTURE.get_loop(future) is loop
    assert C_FUTURE.cancelled(future) is False


def test_set_result_of_the_base_wakes_waiting_tasks_and_callbacks(world: Any, loop: Any) -> None:
    log: list[Any] = []

    async def waits() -> Any:
        return await future

    future = world.Future(loop=loop)
    tasks = [loop.create_task(waits())]
    world.turn(loop)
    future.add_done_callback(log.append)
    tasks.append(loop.create_task(waits()))
    world.turn(loop)
    C_FUTURE.set_result(future, "result")
    assert future.result() == "result"
    world.turn(loop)
    assert [each.result() for each in tasks] == ["result", "result"]
    assert log == [future]


def test_set_exception_of_the_base_wakes_a_waiting_task(world: Any, loop: Any) -> None:
    async def waits() -> Any:
        try:
            await future
        except ValueError as error:
            return error

    future = world.Future(loop=loop)
    task = loop.create_task(waits())
    world.turn(loop)
    error = ValueError("why")
    C_FUTURE.set_exception(future, error)
    world.turn(loop)
    assert task.result() is error


def test_cancel_of_the_base_wakes_a_waiting_task(world: Any, loop: Any) -> None:
    async def waits() -> Any:
        await future

    future = world.Future(loop=loop)
    task = loop.create_task(waits())
    world.turn(loop)
    assert C_FUTURE.cancel(future, "why") is True
    error = raised(lambda: loop.run_until_complete(task))
    assert error.args == ("why",)


def test_cancel_of_the_base_upon_a_task_settles_it_at_once(world: Any, loop: Any) -> None:
    """As if the task were a mere future; its coroutine learns nothing."""
    log: list[Any] = []

    async def waits() -> Any:
        await future

    future = world.Future(loop=loop)
    task = loop.create_task(waits())
    task.add_done_callback(log.append)
    world.turn(loop)
    loop.set_exception_handler(lambda *_: None)
    assert C_FUTURE.cancel(task, "why") is True
    assert task.cancelled()
    world.turn(loop)
    assert log == [task]
    future.set_result(None)
    world.turn(loop)
    assert task.cancelled()
    task.get_coro().close()


def test_task_cancel_of_the_base_reaches_the_coroutine(world: Any, loop: Any) -> None:
    log: list[Any] = []

    async def waits() -> Any:
        try:
            await loop.create_future()
        except asyncio.CancelledError as error:
            log.append(error.args)
            raise

    for turns in (0, 1):
        task = loop.create_task(waits())
        world.turn(loop, turns)
        assert C_TASK.cancel(task, "why") is True
        assert C_TASK.cancelling(task) == 1
        raised(lambda t=task: loop.run_until_complete(t))
        assert task.cancelled()
    assert log == [("why",)]


def test_result_and_exception_of_the_base(world: Any, loop: Any) -> None:
    finished, failed, cancelled = (world.Future(loop=loop) for _ in range(3))
    finished.set_result([1])
    failed.set_exception(ValueError("why"))
    cancelled.cancel("why")
    assert C_FUTURE.result(finished) == [1]
    assert C_FUTURE.exception(finished) is None
    assert str(C_FUTURE.exception(failed)) == "why"
    assert raised(lambda: C_FUTURE.result(cancelled)).args == ("why",)
    assert C_FUTURE._make_cancelled_error(cancelled).args == ("why",)
    assert type(raised(lambda: C_FUTURE.set_result(finished, 2))) is asyncio.InvalidStateError


def test_add_done_callback_of_the_base_keeps_the_order(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def waits() -> None:
        await future
        log.append("task")

    future = world.Future(loop=loop)
    task = loop.create_task(waits())
    world.turn(loop)
    C_FUTURE.add_done_callback(future, lambda _: log.append("by the base"))
    future.add_done_callback(lambda _: log.append("by the method"))
    future.set_result(None)
    world.turn(loop)
    assert log == ["task", "by the base", "by the method"]
    assert task.done()


def test_a_callback_added_by_the_base_first(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def waits() -> None:
        await future
        log.append("task")

    future = world.Future(loop=loop)
    C_FUTURE.add_done_callback(future, lambda _: log.append("by the base"))
    task = loop.create_task(waits())
    world.turn(loop)
    future.set_result(None)
    world.turn(loop)
    assert log == ["by the base", "task"]
    assert task.done()


def test_remove_done_callback_of_the_base(world: Any, loop: Any) -> None:
    async def waits() -> str:
        await future
        return "awake"

    future = world.Future(loop=loop)
    task = loop.create_task(waits())
    world.turn(loop)
    future.add_done_callback(print)
    future.add_done_callback(print)
    assert C_FUTURE.remove_done_callback(future, print) == 2
    assert C_FUTURE.remove_done_callback(future, print) == 0
    future.set_result(None)
    world.turn(loop)
    assert task.result() == "awake"


def test_await_and_iter_of_the_base(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    iterator = C_FUTURE.__await__(future)
    assert next(iterator) is future
    assert future._asyncio_future_blocking is True
    future.set_result(3)
    assert raised(lambda: next(iterator)).value == 3
    assert raised(lambda: next(C_FUTURE.__iter__(future))).value == 3


def test_a_task_waiting_through_the_base_s_iterator(world: Any, loop: Any) -> None:
    class Through:
        def __await__(self) -> Any:
            return C_FUTURE.__await__(future)

    async def main() -> Any:
        return await Through()

    future = world.Future(loop=loop)
    task = loop.create_task(main())
    world.turn(loop)
    future.set_result("through")
    world.turn(loop)
    assert task.result() == "through"


def test_the_descriptors_of_the_base(world: Any, loop: Any) -> None:
    async def waits() -> None:
        await future

    future = world.Future(loop=loop)
    task = loop.create_task(waits())
    world.turn(loop)
    for name in ("_state", "_result", "_exception", "_loop", "_cancel_message"):
        descriptor = C_FUTURE.__dict__[name]
        for each in (future, task):
            assert descriptor.__get__(each) == getattr(each, name)
    assert C_TASK._coro.__get__(task) is task.get_coro()
    assert C_TASK._fut_waiter.__get__(task) is future
    assert C_TASK._must_cancel.__get__(task) is False
    C_TASK._log_destroy_pending.__set__(task, False)
    assert task._log_destroy_pending is False
    assert repr(task) == C_TASK.__repr__(task)
    assert repr(future) == C_FUTURE.__repr__(future)
    future.set_result(None)
    world.turn(loop)


def test_the_callbacks_as_the_base_shows_them(world: Any) -> None:
    passes_apart(
        world,
        """
        async def waits(): await future
        loop = new_event_loop()
        show = asyncio.futures._CFuture._callbacks.__get__
        future = world.Future(loop=loop)
        assert show(future) is None
        task = loop.create_task(waits())
        for count in (1, 2, 3):
            loop.stop(); loop.run_forever()
            shown = show(future)
            assert len(shown) == count, shown
            callback, context = shown[0]
            assert callable(callback) or callback is task, callback
            repr(shown)
            future.add_done_callback(lambda _: None)
        assert show(task) is None
        future.set_result(None)
        loop.stop(); loop.run_forever()
        assert task.done()
        """,
    )


def test_the_methods_of_the_task_base(world: Any, loop: Any) -> None:
    async def waits() -> None:
        await future

    future = world.Future(loop=loop)
    task = loop.create_task(waits(), name="named")
    world.turn(loop)
    assert C_TASK.get_name(task) == "named"
    C_TASK.set_name(task, "renamed")
    assert task.get_name() == "renamed"
    assert C_TASK.get_coro(task) is task.get_coro()
    assert C_TASK.get_stack(task) == task.get_stack()
    assert C_TASK.uncancel(task) == 0
    if sys.version_info >= (3, 12):
        assert C_TASK.get_context(task) is task.get_context()
    unnamed = loop.create_task(waits())
    if world.is_ours and sys.version_info < (3, 14):
        # Ours keeps a number outside of the struct until somebody asks the task itself.
        assert C_TASK.get_name(unnamed) is None
    assert unnamed.get_name() == C_TASK.get_name(unnamed)
    assert type(raised(lambda: C_TASK.set_result(task, 1))) is RuntimeError
    future.set_result(None)
    world.turn(loop)
    assert task.done()


def test_the_constructors_of_the_base_upon_our_classes(world: Any) -> None:
    passes_apart(
        world,
        """
        C_FUTURE, C_TASK = asyncio.futures._CFuture, asyncio.tasks._CTask
        loop = new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        async def returns(): return 5

        # Made by __new__ of one, initialised by the other.
        future = world.Future.__new__(world.Future)
        C_FUTURE.__init__(future, loop=loop)
        loop.call_soon(future.set_result, 3)
        assert loop.run_until_complete(future) == 3

        task = world.Task.__new__(world.Task)
        C_TASK.__init__(task, returns(), loop=loop)
        for _ in range(3):
            loop.stop(); loop.run_forever()
        assert task.done() and task.result() == 5, task
        repr(task), task.get_name(), task.get_coro()
        waiting = world.Task.__new__(world.Task)
        C_TASK.__init__(waiting, asyncio.sleep(1000), loop=loop, name="x")
        loop.stop(); loop.run_forever()
        assert waiting in asyncio.all_tasks(loop)
        waiting.cancel()
        for _ in range(3):
            loop.stop(); loop.run_forever()
        assert waiting.cancelled()
        for make in (
            lambda: C_FUTURE.__new__(world.Future),
            lambda: C_TASK.__new__(world.Task),
            lambda: C_FUTURE.__new__(world.Task),
            lambda: object.__new__(world.Future),
            lambda: object.__new__(world.Task),
            lambda: world.Future.__new__(C_FUTURE),
            lambda: world.Task.__new__(C_TASK),
        ):
            try:
                each = make()
            except TypeError:
                continue
            each.done()
            del each
            gc.collect()
        loop.close()
        """,
    )


def test_super_of_another_line_reaches_the_base(world: Any, loop: Any) -> None:
    class Promise(world.Future):
        def set_result(self, result: Any) -> None:
            super(world.Future, self).set_result(result) if world.is_ours else super().set_result(
                result
            )

        def add_done_callback(self, callback: Any, **kwargs: Any) -> None:
            C_FUTURE.add_done_callback(self, callback, **kwargs)

    async def waits() -> Any:
        return await promise

    promise = Promise(loop=loop)
    tasks = [loop.create_task(waits()) for _ in range(3)]
    world.turn(loop)
    promise.set_result("result")
    world.turn(loop)
    assert [each.result() for each in tasks] == ["result"] * 3
