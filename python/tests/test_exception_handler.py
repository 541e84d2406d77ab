"""What becomes of an exception that leaves a callback."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import sys
from typing import Any

import pytest
from conftest import Log, World

HERE = __file__


class Boom(Exception):
    pass


def boom(*args: object) -> None:
    raise Boom("bad day")


BOOM_AT = f"{HERE}:{boom.__code__.co_firstlineno}"


@pytest.fixture
def contexts(loop: Any) -> list[dict[str, Any]]:
    """What the loop's exception handler is given."""
    seen: list[dict[str, Any]] = []

    def handler(*args: Any) -> None:
        given, context = args
        assert given is loop
        seen.append(context)

    loop.set_exception_handler(handler)
    return seen


# --- The default handler ------------------------------------------------------


def test_a_failing_callback_is_logged_and_the_turn_goes_on(
    world: World, loop: Any, logged: Log
) -> None:
    seen: list[str] = []
    loop.call_soon(boom)
    loop.call_soon(seen.append, "after")
    world.turn(loop)
    assert seen == ["after"]
    (record,) = [r for r in logged.records if r.levelno >= logging.ERROR]
    assert (record.name, record.levelname) == ("asyncio", "ERROR")
    assert record.getMessage() == (
        f"Exception in callback boom() at {BOOM_AT}\nhandle: <Handle boom() at {BOOM_AT}>"
    )
    assert record.exc_info is not None
    kind, error, traceback = record.exc_info
    assert kind is Boom and str(error) == "bad day"
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    assert traceback is not None and traceback.tb_frame.f_code is boom.__code__


def test_a_failing_timer_is_logged_with_its_time(world: World, loop: Any, logged: Log) -> None:
    loop.call_at(0, boom)
    world.turn(loop)
    assert logged.texts(logging.ERROR) == [
        f"Exception in callback boom() at {BOOM_AT}\n"
        f"handle: <TimerHandle when=0 boom() at {BOOM_AT}>"
    ]


def test_a_callback_that_cannot_be_called_is_reported(world: World, loop: Any) -> None:
    seen: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: seen.append(context))
    loop.call_soon(None)
    loop.call_soon(5, 6)
    loop.call_soon(boom.__code__)
    world.turn(loop)
    assert [type(context["exception"]) for context in seen] == [TypeError] * 3
    assert str(seen[0]["exception"]) == "'NoneType' object is not callable"
    assert seen[1]["message"].startswith("Exception in callback 5(")


def test_a_callback_called_wrongly_is_reported(
    world: World, loop: Any, contexts: list[dict[str, Any]]
) -> None:
    loop.call_soon(lambda: None, "too many")
    world.turn(loop)
    assert type(contexts[0]["exception"]) is TypeError


@pytest.mark.parametrize("empty", [{}, {"message": ""}, {"message": None}])
def test_an_unnamed_trouble_gets_a_name(
    world: World, loop: Any, logged: Log, empty: dict[str, Any]
) -> None:
    loop.call_exception_handler(empty)
    assert logged.texts() == ["Unhandled exception in event loop"]
    assert not logged.records[0].exc_info


def test_the_default_handler_lists_the_context_by_name(
    world: World, loop: Any, logged: Log
) -> None:
    loop.call_exception_handler({"zebra": 1, "message": "Words", "apple": "two", "task": None})
    assert logged.texts() == ["Words\napple: 'two'\ntask: None\nzebra: 1"]


def test_the_default_handler_may_be_called_by_hand(world: World, loop: Any, logged: Log) -> None:
    error = Boom("by hand")
    loop.default_exception_handler({"message": "Words", "exception": error})
    assert logged.texts() == ["Words"]
    assert logged.records[0].exc_info == (Boom, error, None)


def test_tracebacks_of_the_source_are_written_out(world: World, loop: Any, logged: Log) -> None:
    import traceback

    stack = traceback.extract_stack()[-1:]
    loop.default_exception_handler({"message": "Words", "source_traceback": stack})
    lines = logged.texts()[0].splitlines()
    assert lines[0] == "Words"
    assert lines[1] == "source_traceback: Object created at (most recent call last):"
    assert lines[2].startswith(f'  File "{HERE}", line ')
    logged.clear()
    loop.default_exception_handler({"message": "Words", "handle_traceback": stack})
    lines = logged.texts()[0].splitlines()
    assert lines[1] == "handle_traceback: Handle created at (most recent call last):"


def test_a_default_handler_that_fails_is_logged_itself(
    world: World, loop: Any, logged: Log
) -> None:
    class Unshowable:
        def __repr__(self) -> str:
            raise LookupError("no words")

    loop.call_exception_handler({"message": "Words", "thing": Unshowable()})
    assert logged.texts() == ["Exception in default exception handler"]
    assert logged.records[0].exc_info and logged.records[0].exc_info[0] is LookupError


# --- A handler of one's own ---------------------------------------------------


def test_a_handler_is_set_and_taken_back(world: World, loop: Any, logged: Log) -> None:
    def handler(loop: Any, context: dict[str, Any]) -> None:
        seen.append(context["message"])

    seen: list[str] = []
    assert loop.get_exception_handler() is None
    loop.set_exception_handler(handler)
    assert loop.get_exception_handler() is handler
    loop.call_exception_handler({"message": "first"})
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None
    loop.call_exception_handler({"message": "second"})
    assert seen == ["first"]
    assert logged.texts() == ["second"]


@pytest.mark.parametrize("thing", [5, "handler", object()])
def test_a_handler_must_be_callable(world: World, loop: Any, thing: object) -> None:
    with pytest.raises(TypeError) as caught:
        loop.set_exception_handler(thing)
    assert str(caught.value) == f"A callable object or None is expected, got {thing!r}"
    assert loop.get_exception_handler() is None


def test_the_handler_is_told_what_failed(
    world: World, loop: Any, contexts: list[dict[str, Any]]
) -> None:
    for add in (
        loop.call_soon,
        loop.call_soon_threadsafe,
        lambda callback: loop.call_at(0, callback),
    ):
        handle = add(boom)
        world.turn(loop)
        (context,) = contexts
        assert set(context) == {"message", "exception", "handle"}
        assert context["message"] == f"Exception in callback boom() at {BOOM_AT}"
        assert str(context["exception"]) == "bad day"
        assert context["handle"] is handle
        contexts.clear()


def test_a_failing_reader_and_a_failing_done_callback_are_told_too(
    world: World, loop: Any, contexts: list[dict[str, Any]]
) -> None:
    reading, writing = os.pipe()
    loop.add_reader(reading, boom)
    os.write(writing, b"x")
    world.turn(loop)
    loop.remove_reader(reading)
    os.close(reading)
    os.close(writing)
    future = loop.create_future()
    future.add_done_callback(boom)
    future.set_result(None)
    world.turn(loop)
    assert [type(context["exception"]) for context in contexts] == [Boom, Boom]
    assert all(context["message"].startswith("Exception in callback ") for context in contexts)
    assert isinstance(contexts[1]["handle"], asyncio.Handle)


def test_in_debug_mode_the_handler_sees_where_the_callback_was_added(
    world: World, loop: Any, contexts: list[dict[str, Any]]
) -> None:
    loop.set_debug(True)
    line = sys._getframe().f_lineno
    loop.call_soon(boom)
    loop.call_at(0, boom)
    loop.call_later(-1, boom)
    loop.call_soon_threadsafe(boom)
    world.turn(loop)
    lines = sorted(context["source_traceback"][-1].lineno for context in contexts)
    assert lines == [line + 1, line + 2, line + 3, line + 4]
    assert {context["source_traceback"][-1].filename for context in contexts} == {HERE}


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_the_handler_runs_in_the_context_of_what_failed(world: World, loop: Any) -> None:
    seen: list[str] = []
    loop.set_exception_handler(lambda *args: seen.append(variable.get()))

    async def main() -> None: ...

    context = contextvars.Context()
    context.run(variable.set, "mine")
    loop.call_soon(boom, context=context)
    world.turn(loop)
    task = context.run(loop.create_task, main())
    world.turn(loop)
    loop.call_exception_handler({"message": "Words", "task": task})
    loop.call_exception_handler({"message": "Words", "future": task})
    loop.call_exception_handler({"message": "Words", "future": loop.create_future()})
    loop.call_exception_handler({"message": "Words"})
    if sys.version_info >= (3, 12):
        assert seen == ["mine", "mine", "mine", "unset", "unset"]
    else:
        assert seen == ["unset"] * 5


def test_a_handler_that_fails_is_reported_by_the_default_one(
    world: World, loop: Any, logged: Log
) -> None:
    def handler(loop: Any, context: dict[str, Any]) -> None:
        raise LookupError("handler")

    loop.set_exception_handler(handler)
    loop.call_exception_handler({"message": "first"})
    assert logged.texts() == ["Unhandled error in exception handler\ncontext: {'message': 'first'}"]
    assert logged.records[0].exc_info and logged.records[0].exc_info[0] is LookupError


@pytest.mark.parametrize("thing", [lambda: None, lambda loop: None, lambda a, b, c: None])
def test_a_handler_of_the_wrong_shape_is_reported(
    world: World, loop: Any, logged: Log, thing: Any
) -> None:
    loop.set_exception_handler(thing)
    loop.call_soon(boom)
    world.turn(loop)
    assert logged.texts(logging.ERROR)[0].startswith("Unhandled error in exception handler")


def test_both_handlers_may_fail(world: World, logged: Log) -> None:
    class Loop(world.EventLoop):  # type: ignore[name-defined,misc]
        def default_exception_handler(self, context: dict[str, Any]) -> None:
            raise Boom("default")

    loop = Loop()
    loop.call_exception_handler({"message": "first"})
    assert logged.texts(logging.ERROR) == ["Exception in default exception handler"]
    logged.clear()
    loop.set_exception_handler(lambda *args: boom())
    loop.call_soon(boom)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert logged.texts(logging.ERROR) == [
        "Exception in default exception handler while handling an unexpected error "
        "in custom exception handler"
    ]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_out_of_a_handler_leaves_the_loop(
    world: World, loop: Any, kind: type[BaseException]
) -> None:
    def handler(loop: Any, context: dict[str, Any]) -> None:
        raise kind

    seen: list[str] = []
    loop.set_exception_handler(handler)
    loop.call_soon(boom)
    loop.call_soon(seen.append, "after")
    with pytest.raises(kind):
        loop.run_forever()
    assert not loop.is_running()
    world.turn(loop)
    assert seen == ["after"]


def test_a_handler_may_use_the_loop(world: World, loop: Any) -> None:
    seen: list[str] = []

    def handler(loop: Any, context: dict[str, Any]) -> None:
        loop.call_soon(seen.append, "added by the handler")
        context["handle"].cancel()
        loop.set_exception_handler(None)

    loop.set_exception_handler(handler)
    loop.call_soon(boom)
    world.turn(loop, 2)
    assert seen == ["added by the handler"]
    assert loop.get_exception_handler() is None


def test_a_subclass_may_hear_of_every_error(world: World) -> None:
    # call_exception_handler is the one door; what the loop finds itself goes through it.
    seen: list[str] = []

    class Loop(world.EventLoop):  # type: ignore[name-defined,misc]
        def call_exception_handler(self, context: dict[str, Any]) -> None:
            seen.append(context["message"].split(" at ")[0])

    async def fail() -> None:
        raise Boom

    loop = Loop()
    loop.call_soon(boom)
    task = loop.create_task(fail())
    world.turn(loop, 3)
    assert task.done()
    del task
    gc.collect()
    loop.create_future().set_exception(Boom())
    gc.collect()
    loop.close()
    assert seen == [
        "Exception in callback boom()",
        "Task exception was never retrieved",
        "Future exception was never retrieved",
    ]


@pytest.mark.parametrize("where", ["callback", "timer"])
def test_the_handler_is_called_while_the_exception_is_handled(
    world: World, virtual_loop: Any, where: str
) -> None:
    handled: list[Any] = []

    def handler(loop: Any, context: dict[str, Any]) -> None:
        handled.append(sys.exc_info()[1])
        assert handled[-1] is context["exception"]
        raise SystemExit(3)

    def fail() -> None:
        raise LookupError("lost")

    virtual_loop.set_exception_handler(handler)
    if where == "callback":
        virtual_loop.call_soon(fail)
    else:
        virtual_loop.call_later(1, fail)
    with pytest.raises(SystemExit) as raised:
        virtual_loop.run_forever()
    assert type(raised.value.__context__) is LookupError
    assert sys.exc_info() == (None, None, None)
