"""Handles: what call_soon and the timers give back."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import pickle
import sys
import threading
import weakref
from typing import Any

import pytest
from conftest import World

FILE = __file__

# From 3.13 on a callback's arguments are named in debug mode only.
ARGUMENTS_ALWAYS = sys.version_info < (3, 13)
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def callback(*args: object) -> None:
    pass


CALLBACK_AT = f"{FILE}:{callback.__code__.co_firstlineno}"


class Method:
    def method(self) -> None:
        pass


def line_of(function: Any) -> str:
    return f"{FILE}:{function.__code__.co_firstlineno}"


# --- What a handle is ---------------------------------------------------------


def test_every_way_in_gives_a_handle_of_asyncio(world: World, loop: Any) -> None:
    for handle in (loop.call_soon(callback), loop.call_soon_threadsafe(callback)):
        assert isinstance(handle, world.Handle)
        assert isinstance(handle, asyncio.Handle)
        assert not isinstance(handle, world.TimerHandle)
        assert not isinstance(handle, asyncio.TimerHandle)
    for handle in (loop.call_later(0, callback), loop.call_at(0, callback)):
        assert isinstance(handle, world.TimerHandle)
        assert isinstance(handle, asyncio.TimerHandle)
        assert isinstance(handle, asyncio.Handle)
    assert issubclass(world.TimerHandle, world.Handle)


def test_a_handle_knows_whether_it_is_cancelled(world: World, loop: Any) -> None:
    for handle in (
        loop.call_soon(callback),
        loop.call_soon_threadsafe(callback),
        loop.call_at(0, callback),
    ):
        assert handle.cancelled() is False
        assert handle.cancel() is None
        assert handle.cancelled() is True
        assert handle.cancel() is None
        assert handle.cancelled() is True


def test_running_is_not_being_cancelled(world: World, loop: Any) -> None:
    handles = [loop.call_soon(callback), loop.call_at(0, callback)]
    world.turn(loop)
    assert [handle.cancelled() for handle in handles] == [False, False]
    for handle in handles:
        handle.cancel()
    assert [handle.cancelled() for handle in handles] == [True, True]


def test_a_handle_may_be_cancelled_after_its_loop_closed(world: World) -> None:
    loop = world.new_event_loop()
    handles = [loop.call_soon(callback), loop.call_later(50, callback)]
    loop.close()
    for handle in handles:
        handle.cancel()
        assert handle.cancelled()


def test_cancelling_a_handle_lets_go_of_what_it_holds(world: World, loop: Any) -> None:
    class Token:
        def __call__(self, argument: object) -> None: ...

    for add in (
        loop.call_soon,
        loop.call_soon_threadsafe,
        functools.partial(loop.call_later, 50),
        functools.partial(loop.call_at, 0),
    ):
        call, argument = Token(), Token()
        gone = [weakref.ref(call), weakref.ref(argument)]
        handle = add(call, argument)
        del call, argument
        assert all(ref() is not None for ref in gone)
        handle.cancel()
        gc.collect()
        assert [ref() for ref in gone] == [None, None]


def test_a_handle_that_ran_and_is_forgotten_holds_nothing(world: World, loop: Any) -> None:
    class Token:
        pass

    token = Token()
    gone = weakref.ref(token)
    loop.call_soon(callback, token)
    loop.call_at(0, callback, token)
    loop.call_soon_threadsafe(callback, token)
    del token
    world.turn(loop)
    gc.collect()
    assert gone() is None


def test_handles_can_be_referred_to_weakly(world: World, loop: Any) -> None:
    for add in (loop.call_soon, loop.call_soon_threadsafe, functools.partial(loop.call_at, 0)):
        seen: list[object] = []
        handle = add(callback)
        ref = weakref.ref(handle, seen.append)
        assert ref() is handle
        world.turn(loop)
        assert ref() is handle
        del handle
        gc.collect()
        assert ref() is None
        assert seen == [ref]


def test_a_waiting_handle_is_kept_alive_by_its_loop(world: World, loop: Any) -> None:
    seen: list[str] = []
    refs = [
        weakref.ref(loop.call_soon(seen.append, "soon")),
        weakref.ref(loop.call_later(0, seen.append, "timer")),
    ]
    gc.collect()
    assert all(ref() is not None for ref in refs)
    world.turn(loop)
    assert seen == ["soon", "timer"]


def test_handles_take_no_attributes_and_no_pickling(world: World, loop: Any) -> None:
    for handle in (loop.call_soon(callback), loop.call_at(0, callback)):
        with pytest.raises(AttributeError):
            handle.an_attribute = 1
        with pytest.raises((TypeError, AttributeError)):
            pickle.dumps(handle)


# --- Contexts -----------------------------------------------------------------


@pytest.mark.skipif(sys.version_info < (3, 12), reason="get_context came with 3.12")
def test_a_handle_tells_its_context(world: World, loop: Any) -> None:
    context = contextvars.copy_context()
    for add in (
        loop.call_soon,
        loop.call_soon_threadsafe,
        functools.partial(loop.call_later, 5),
        functools.partial(loop.call_at, 0),
    ):
        assert add(callback, context=context).get_context() is context
        token = variable.set("then")
        handle = add(callback)
        variable.reset(token)
        assert handle.get_context()[variable] == "then"
        assert handle.get_context() is handle.get_context()
        handle.cancel()
        assert handle.get_context()[variable] == "then"


# --- repr ---------------------------------------------------------------------


def test_the_repr_names_the_callback_and_its_place(world: World, loop: Any) -> None:
    assert repr(loop.call_soon(callback)) == f"<Handle callback() at {CALLBACK_AT}>"
    timer = loop.call_at(5.5, callback)
    assert repr(timer) == f"<TimerHandle when=5.5 callback() at {CALLBACK_AT}>"


def test_the_repr_of_a_cancelled_handle_says_so(world: World, loop: Any) -> None:
    handle = loop.call_soon(callback, 1)
    handle.cancel()
    assert repr(handle) == "<Handle cancelled>"
    timer = loop.call_at(7, callback, 1)
    timer.cancel()
    assert repr(timer) == "<TimerHandle cancelled when=7>"


def test_the_repr_shows_arguments_where_asyncio_does(world: World, loop: Any) -> None:
    handle = loop.call_soon(callback, 1, "two", [3] * 100)
    if ARGUMENTS_ALWAYS:
        args = "(1, 'two', [3, 3, 3, 3, 3, 3, ...])"
    else:
        args = "()"
    assert repr(handle) == f"<Handle callback{args} at {CALLBACK_AT}>"


def test_the_repr_finds_the_function_in_what_wraps_it(world: World, loop: Any) -> None:
    @functools.wraps(callback)
    def wrapped() -> None: ...

    def inner(*args: object, **kwargs: object) -> None: ...

    name = "test_the_repr_finds_the_function_in_what_wraps_it.<locals>.inner"
    partial = functools.partial(inner, 1, key=2)
    calls = "(1, key=2)()" if ARGUMENTS_ALWAYS else "()()"
    method = Method().method
    shown = {
        wrapped: f"callback() at {CALLBACK_AT}",
        partial: f"{name}{calls} at {line_of(inner)}",
        Method.method: f"Method.method() at {line_of(Method.method)}",
        method: "Method.method()",
        print: "print()",
        Method: "Method()",
    }
    for function, text in shown.items():
        assert repr(loop.call_soon(function)) == f"<Handle {text}>"


def test_the_repr_of_what_is_no_function_shows_it(world: World, loop: Any) -> None:
    class Odd:
        def __repr__(self) -> str:
            return "odd thing"

    assert repr(loop.call_soon(Odd())) == "<Handle odd thing()>"
    assert repr(loop.call_soon([].append)) == "<Handle list.append()>"


def test_the_repr_in_debug_mode_tells_where_the_handle_was_made(world: World, loop: Any) -> None:
    loop.set_debug(True)
    line = sys._getframe().f_lineno
    handles = {
        "Handle": loop.call_soon(callback, 5),
        "TimerHandle": loop.call_at(5, callback, 5),
    }
    text = f"<Handle callback(5) at {CALLBACK_AT} created at {FILE}:{line + 2}>"
    assert repr(handles["Handle"]) == text
    text = f"<TimerHandle when=5 callback(5) at {CALLBACK_AT} created at {FILE}:{line + 3}>"
    assert repr(handles["TimerHandle"]) == text


def test_in_debug_mode_a_cancelled_handle_remembers_what_it_was(world: World, loop: Any) -> None:
    loop.set_debug(True)
    handle = loop.call_soon(callback, 5)
    handle.cancel()
    text = f"<Handle cancelled callback(5) at {CALLBACK_AT} created at {FILE}:"
    assert repr(handle).startswith(text)


def test_the_repr_still_works_when_the_loop_is_closed(world: World) -> None:
    loop = world.new_event_loop()
    handle, timer = loop.call_soon(callback), loop.call_at(3, callback)
    loop.close()
    assert repr(handle) == f"<Handle callback() at {CALLBACK_AT}>"
    assert repr(timer) == f"<TimerHandle when=3 callback() at {CALLBACK_AT}>"


# --- Comparison ---------------------------------------------------------------


def test_timers_compare_by_their_time(world: World, loop: Any) -> None:
    early, late = loop.call_at(1, callback), loop.call_at(2, callback)
    assert early < late and early <= late and late > early and late >= early
    assert not early > late and not early >= late and not late < early and not late <= early
    assert early != late
    assert sorted([late, early]) == [early, late]


def test_timers_of_one_time_are_equal_when_they_do_the_same(world: World, loop: Any) -> None:
    one, same = loop.call_at(1, callback, 5), loop.call_at(1, callback, 5)
    other = loop.call_at(1, callback, 6)
    assert one == same and one <= same and one >= same
    assert not one < same and not one > same
    assert one != other and not one <= other and not one >= other
    assert hash(one) == hash(same) == hash(other) == hash(1)
    same.cancel()
    assert one != same


def test_timers_compare_with_timers_only(world: World, loop: Any) -> None:
    timer = loop.call_at(1, callback)
    handle = loop.call_soon(callback)
    for thing in (1, 1.0, None, "timer", handle):
        assert timer != thing
        for compare in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__"):
            assert getattr(timer, compare)(thing) is NotImplemented
    with pytest.raises(TypeError):
        timer < 1


def test_handles_are_equal_to_themselves_only(world: World, loop: Any) -> None:
    one, same = loop.call_soon(callback, 5), loop.call_soon(callback, 5)
    assert one == one
    assert one != same
    assert len({one, same}) == 2
    with pytest.raises(TypeError):
        one < same


def test_a_timers_hash_is_that_of_its_time(world: World, loop: Any) -> None:
    timer = loop.call_at(12.5, callback)
    assert hash(timer) == hash(12.5)
    assert {timer: "found"}[timer] == "found"


# --- Handles made by hand -----------------------------------------------------


def test_a_handle_may_be_made_by_hand(world: World, loop: Any) -> None:
    # Loops written by others and tests of the wild make their own.
    handle = world.Handle(callback, (), loop)
    assert repr(handle) == f"<Handle callback() at {CALLBACK_AT}>"
    assert not handle.cancelled()
    handle.cancel()
    assert handle.cancelled()
    with_context = world.Handle(callback, (1,), loop, contextvars.copy_context())
    assert not with_context.cancelled()
    timer = world.TimerHandle(12.5, callback, (), loop)
    assert timer.when() == 12.5
    assert repr(timer) == f"<TimerHandle when=12.5 callback() at {CALLBACK_AT}>"
    assert timer < world.TimerHandle(13, callback, (), loop, contextvars.copy_context())


# --- Across threads -----------------------------------------------------------


def test_a_threadsafe_handle_is_cancelled_by_another_thread(world: World, loop: Any) -> None:
    seen: list[str] = []
    handle = loop.call_soon_threadsafe(seen.append, "never")
    thread = threading.Thread(target=handle.cancel)
    thread.start()
    thread.join()
    assert handle.cancelled()
    world.turn(loop)
    assert seen == []
