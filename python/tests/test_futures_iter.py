"""The await protocol: what a future does when it is awaited, iterated, or driven by hand."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import inspect
import sys
import types
import weakref
from typing import Any

import pytest
from task_tools import PY, finish, passes_apart, raised

NOT_USED = "await wasn't used with future"


def both_ways(future: Any) -> list[Any]:
    return [future.__await__(), iter(future)]


@pytest.mark.parametrize("way", ["await", "iter"])
def test_a_pending_future_yields_itself_and_is_marked_blocking(
    world: Any, loop: Any, way: str
) -> None:
    future = world.Future(loop=loop)
    iterator = future.__await__() if way == "await" else iter(future)
    assert future._asyncio_future_blocking is False
    assert next(iterator) is future
    assert future._asyncio_future_blocking is True


def test_a_future_still_pending_when_resumed_was_not_awaited(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    iterator = future.__await__()
    next(iterator)
    error = raised(lambda: next(iterator))
    assert type(error) is RuntimeError
    assert str(error) == NOT_USED
    # It stays so, also after the flag was taken away: there is no third step.
    assert str(raised(lambda: next(iterator))) == NOT_USED


def test_the_iterator_of_a_settled_future_returns_its_result(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    iterator = future.__await__()
    next(iterator)
    future.set_result("result")
    error = raised(lambda: next(iterator))
    assert type(error) is StopIteration
    assert error.value == "result"


@pytest.mark.parametrize(
    "value",
    [None, 0, 5, (), (1,), (1, 2), StopIteration(3), ValueError("as a value"), ValueError, [1]],
    ids=repr,
)
@pytest.mark.parametrize("way", ["next", "send"])
def test_a_done_future_returns_at_once_whatever_its_result(
    world: Any, loop: Any, value: Any, way: str
) -> None:
    future = world.Future(loop=loop)
    future.set_result(value)
    for iterator in both_ways(future):
        error = raised(lambda: next(iterator) if way == "next" else iterator.send(None))
        assert type(error) is StopIteration
        if isinstance(value, StopIteration) and way == "next" and PY < (3, 12):
            assert error.value in (value, 3)
        elif value is not None:
            assert error.args == (value,)
        assert error.__context__ is None
        assert error.__cause__ is None
    assert future._asyncio_future_blocking is False


def test_each_stop_iteration_is_an_object_of_its_own(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.set_result(["result"])
    errors = [raised(lambda: next(future.__await__())) for _ in range(5)]
    assert len({id(each) for each in errors}) == 5
    assert all(each.value is future.result() for each in errors)


def test_results_do_not_mix_when_stop_iterations_are_kept(world: Any, loop: Any) -> None:
    kept = []
    for number in range(50):
        future = world.Future(loop=loop)
        future.set_result(number)
        error = raised(lambda: next(future.__await__()))
        kept.append(error)
    assert [each.value for each in kept] == list(range(50))


def test_the_iterator_of_a_cancelled_future_raises_cancelled_error(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.cancel("why")
    for iterator in both_ways(future):
        error = raised(lambda: next(iterator))
        assert type(error) is asyncio.CancelledError
        assert error.args == ("why",)


def test_the_iterator_of_a_failed_future_raises_its_exception(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    failure = ValueError("failure")
    future.set_exception(failure)
    for iterator in both_ways(future):
        assert raised(lambda: next(iterator)) is failure


def test_a_second_iterator_is_refused_while_the_first_blocks(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    first, second = future.__await__(), future.__await__()
    assert next(first) is future
    error = raised(lambda: next(second))
    assert type(error) is RuntimeError
    assert str(error) == NOT_USED


def test_a_second_iterator_is_served_once_the_task_took_the_flag_down(
    world: Any, loop: Any
) -> None:
    future = world.Future(loop=loop)
    first, second = future.__await__(), future.__await__()
    assert next(first) is future
    future._asyncio_future_blocking = False
    assert next(second) is future
    future.set_result(3)
    for iterator in (first, second):
        assert raised(lambda: next(iterator)).value == 3


@pytest.mark.parametrize("value", [None, 5, "x"])
def test_send_takes_any_value_and_ignores_it(world: Any, loop: Any, value: Any) -> None:
    future = world.Future(loop=loop)
    iterator = future.__await__()
    assert iterator.send(value) is future
    future.set_result("result")
    assert raised(lambda: iterator.send(value)).value == "result"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((ValueError,), ValueError()),
        ((ValueError("instance"),), ValueError("instance")),
        ((ValueError, ValueError("value")), ValueError("value")),
        ((ValueError, "text"), ValueError("text")),
        ((ValueError, None, None), ValueError()),
        ((KeyboardInterrupt,), KeyboardInterrupt()),
        ((StopIteration(3),), StopIteration(3)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("state", ["fresh", "blocking"])
def test_throw_raises_what_is_thrown(
    world: Any, loop: Any, state: str, args: tuple[Any, ...], expected: BaseException
) -> None:
    future = world.Future(loop=loop)
    iterator = future.__await__()
    if state == "blocking":
        next(iterator)
    if len(args) > 1 and PY >= (3, 12):
        with pytest.warns(DeprecationWarning, match="signature of throw"):
            error = raised(lambda: iterator.throw(*args))
    else:
        error = raised(lambda: iterator.throw(*args))
    assert type(error) is type(expected)
    assert error.args == expected.args
    # The future knows nothing of it.
    assert not future.done()


def test_throw_keeps_the_very_instance(world: Any, loop: Any) -> None:
    iterator = world.Future(loop=loop).__await__()
    error = ValueError("thrown")
    assert raised(lambda: iterator.throw(error)) is error


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "throw expected at least 1 argument, got 0"),
        ((5,), "exceptions must be classes deriving BaseException or instances of such a class"),
        ((int,), "exceptions must be classes deriving BaseException or instances of such a class"),
        ((ValueError("a"), "b"), "instance exception may not have a separate value"),
        ((ValueError, None, 5), "throw() third argument must be a traceback"),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore:the .* signature of throw:DeprecationWarning")
def test_throw_refuses_what_is_no_exception(
    world: Any, loop: Any, args: tuple[Any, ...], message: str
) -> None:
    iterator = world.Future(loop=loop).__await__()
    error = raised(lambda: iterator.throw(*args))
    assert type(error) is TypeError
    assert str(error) == message


def test_close_ends_the_iterator_and_not_the_future(world: Any, loop: Any) -> None:
    for advanced in (False, True):
        future = world.Future(loop=loop)
        iterator = future.__await__()
        if advanced:
            next(iterator)
        assert iterator.close() is None
        assert iterator.close() is None
        assert not future.done()


def test_an_iterator_that_ended_never_crashes(world: Any) -> None:
    if not world.is_ours and PY >= (3, 14):
        pytest.skip("stock asyncio of this version crashes here")
    passes_apart(
        world,
        """
        loop = new_event_loop()

        def end_by_close(iterator, future): iterator.close()
        def end_by_throw(iterator, future):
            with contextlib.suppress(ValueError):
                iterator.throw(ValueError)
        def end_by_result(iterator, future):
            future.done() or future.set_result(3)
            with contextlib.suppress(StopIteration):
                next(iterator)

        for end in (end_by_close, end_by_throw, end_by_result):
            for advance in (False, True):
                for use in ("next", "throw", "close", "iter", "repr"):
                    future = world.Future(loop=loop)
                    iterator = future.__await__()
                    if advance:
                        next(iterator)
                    end(iterator, future)
                    for _ in range(3):
                        try:
                            if use == "next": next(iterator)
                            elif use == "throw": iterator.throw(ValueError)
                            elif use == "close": iterator.close()
                            elif use == "iter": assert iter(iterator) is iterator
                            else: repr(iterator)
                        except (StopIteration, ValueError, RuntimeError) as error:
                            assert use in ("next", "throw"), (use, error)
        """,
    )


def test_the_iterator_is_a_generator_to_collections_abc(world: Any, loop: Any) -> None:
    for iterator in both_ways(world.Future(loop=loop)):
        assert iter(iterator) is iterator
        assert isinstance(iterator, collections.abc.Iterator)
        assert isinstance(iterator, collections.abc.Generator)
        assert not isinstance(iterator, collections.abc.Awaitable)
        assert not inspect.isgenerator(iterator)


def test_a_future_is_awaitable_and_iterable_but_no_iterator(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    assert isinstance(future, collections.abc.Awaitable)
    assert isinstance(future, collections.abc.Iterable)
    assert inspect.isawaitable(future)
    for kind in (
        collections.abc.Iterator,
        collections.abc.Coroutine,
        collections.abc.Generator,
        collections.abc.AsyncIterator,
    ):
        assert not isinstance(future, kind)
    for name in ("__next__", "send", "throw", "close", "__aiter__", "__len__", "__enter__"):
        assert not hasattr(future, name), name


def test_next_of_a_future_is_refused(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    assert not hasattr(type(future), "__next__")
    assert not isinstance(future, collections.abc.Iterator)
    if world.is_ours:
        # A future of ours is its own iterator for the interpreter, which saves an object for each
        # await; the builtin next() asks the same slot and so gets what an await gets.
        assert next(future) is future
        return
    error = raised(lambda: next(future))
    assert type(error) is TypeError
    assert "is not an iterator" in str(error)


def test_yield_from_a_future_works_in_a_plain_generator(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)

    def generator() -> Any:
        return (yield from future)

    running = generator()
    assert next(running) is future
    assert future._asyncio_future_blocking is True
    future.set_result(3)
    assert raised(lambda: next(running)).value == 3


def test_yield_from_a_done_future_returns_at_once(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.set_result((1, 2))

    def generator() -> Any:
        return (yield from future)

    assert raised(lambda: next(generator())).value == (1, 2)


def test_a_coroutine_driven_by_hand_percolates_the_future(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)

    async def inner() -> Any:
        return await future

    async def outer() -> Any:
        return await inner()

    coro = outer()
    assert coro.send(None) is future
    assert inspect.getcoroutinestate(coro) == inspect.CORO_SUSPENDED
    assert coro.cr_await is not None
    future.set_result("result")
    assert raised(lambda: coro.send(None)).value == "result"


def test_cr_await_of_a_waiting_coroutine_leads_to_the_future_s_iterator(
    world: Any, loop: Any
) -> None:
    future = world.Future(loop=loop)

    async def waits() -> Any:
        return await future

    coro = waits()
    coro.send(None)
    # What stands there is asyncio's own business, but nothing that frame walkers trip over.
    assert not isinstance(coro.cr_await, types.CoroutineType)
    assert not hasattr(coro.cr_await, "cr_frame")
    assert not hasattr(coro.cr_await, "gi_frame")
    coro.close()


def test_an_exception_thrown_into_a_waiting_coroutine_arrives_at_its_await(
    world: Any, loop: Any
) -> None:
    future = world.Future(loop=loop)

    async def waits() -> Any:
        try:
            await future
        except ValueError as error:
            return error

    coro = waits()
    coro.send(None)
    error = ValueError("thrown")
    assert raised(lambda: coro.throw(error)).value is error
    assert not future.done()


def test_closing_a_waiting_coroutine_leaves_the_future_pending(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    log = []

    async def waits() -> None:
        try:
            await future
        finally:
            log.append("finally")

    coro = waits()
    coro.send(None)
    coro.close()
    assert log == ["finally"]
    assert not future.done()
    future.set_result(1)


def test_a_coroutine_resumed_too_early_learns_that_await_was_not_used(
    world: Any, loop: Any
) -> None:
    future = world.Future(loop=loop)

    async def waits() -> None:
        await future

    coro = waits()
    coro.send(None)
    error = raised(lambda: coro.send(None))
    assert type(error) is RuntimeError
    assert str(error) == NOT_USED


def test_two_coroutines_may_wait_for_one_future_by_hand(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)

    async def waits() -> Any:
        return await future

    first, second = waits(), waits()
    assert first.send(None) is future
    future._asyncio_future_blocking = False
    assert second.send(None) is future
    future.set_result(4)
    assert raised(lambda: first.send(None)).value == 4
    assert raised(lambda: second.send(None)).value == 4


def test_one_coroutine_may_await_a_done_future_many_times(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    future.set_result([1])

    async def main() -> list[Any]:
        return [await future for _ in range(100)]

    results = loop.run_until_complete(main())
    assert all(each is future.result() for each in results)


def test_awaiting_a_done_future_hands_nothing_off(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        loop.call_soon(log.append, "other")
        future = loop.create_future()
        future.set_result(None)
        await future
        task_done = loop.create_future()
        task_done.set_result(5)
        assert await task_done == 5
        log.append("main")
        await world.sleep(0)

    loop.run_until_complete(main())
    assert log == ["main", "other"]


def test_calling_await_without_awaiting_does_nothing(world: Any, loop: Any) -> None:
    async def main() -> bool:
        future = loop.create_future()
        future.__await__()
        return future.done()

    assert loop.run_until_complete(main()) is False


def test_the_iterator_keeps_its_future_alive_until_it_ended(world: Any, loop: Any) -> None:
    import weakref

    future = world.Future(loop=loop)
    watched = weakref.ref(future)
    iterator = future.__await__()
    del future
    gc.collect()
    assert watched() is not None
    assert next(iterator) is watched()
    iterator.close()
    gc.collect()
    assert watched() is None


def test_an_iterator_and_its_future_in_a_cycle_are_collected(world: Any, loop: Any) -> None:
    import weakref

    class Future(world.Future):
        pass

    future = Future(loop=loop)
    future.iterator = future.__await__()
    next(future.iterator)
    watched = weakref.ref(future)
    del future
    gc.collect()
    assert watched() is None


@pytest.mark.parametrize("begun", [False, True])
def test_an_iterator_that_is_dropped_lets_its_future_go(world: Any, loop: Any, begun: bool) -> None:
    future = world.Future(loop=loop)
    gone = weakref.ref(future)
    iterator = future.__await__()
    if begun:
        next(iterator)
    del iterator, future
    gc.collect()
    assert gone() is None


def test_an_iterator_is_made_by_its_future_only(world: Any, loop: Any) -> None:
    kind = type(world.Future(loop=loop).__await__())
    if not world.is_ours and sys.version_info >= (3, 12):
        # One of no future, by accident.
        repr(kind())
        return
    with pytest.raises(TypeError, match=r"cannot create '.*FutureIter' instances"):
        kind()


def test_awaiting_a_future_returns_its_result_to_a_task(world: Any, loop: Any) -> None:
    async def main() -> Any:
        future = loop.create_future()
        loop.call_soon(future.set_result, "result")
        return await future

    assert loop.run_until_complete(main()) == "result"


@pytest.mark.parametrize(
    "value", [None, (), (1,), StopIteration(1), ValueError("value"), KeyError], ids=repr
)
def test_awkward_results_arrive_whole_at_a_waiting_task(world: Any, loop: Any, value: Any) -> None:
    async def main() -> Any:
        future = loop.create_future()
        loop.call_soon(future.set_result, value)
        return await future

    assert loop.run_until_complete(main()) is value


def test_awaiting_through_yield_from_and_await_wrappers_is_the_same(world: Any, loop: Any) -> None:
    class Wrapped:
        def __init__(self, future: Any) -> None:
            self.future = future

        def __await__(self) -> Any:
            return (yield from self.future)

    class Iterated:
        def __init__(self, future: Any) -> None:
            self.future = future

        def __await__(self) -> Any:
            return iter(self.future)

    class Forwarded:
        def __init__(self, future: Any) -> None:
            self.future = future

        def __await__(self) -> Any:
            return self.future.__await__()

    @types.coroutine
    def decorated(future: Any) -> Any:
        return (yield from future.__await__())

    async def main() -> list[Any]:
        results = []
        for wrapper in (Wrapped, Iterated, Forwarded, decorated):
            for late in (False, True):
                future = loop.create_future()
                if late:
                    loop.call_soon(future.set_result, wrapper.__name__)
                else:
                    future.set_result(wrapper.__name__)
                results.append(await wrapper(future))
        return results

    names = ["Wrapped", "Iterated", "Forwarded", "decorated"]
    assert loop.run_until_complete(main()) == [name for name in names for _ in range(2)]


def test_async_for_with_and_await_on_a_future_in_a_comprehension(world: Any, loop: Any) -> None:
    async def numbers() -> Any:
        for number in range(3):
            future = loop.create_future()
            loop.call_soon(future.set_result, number)
            yield await future

    async def main() -> list[Any]:
        return [number async for number in numbers()]

    assert loop.run_until_complete(main()) == [0, 1, 2]


@pytest.mark.parametrize("tracer", ["settrace", "setprofile"])
def test_awaiting_works_under_a_tracer(world: Any, loop: Any, tracer: str) -> None:
    async def main() -> Any:
        future = loop.create_future()
        loop.call_soon(future.set_result, "traced")
        return await future

    def trace(frame: Any, event: str, arg: Any) -> Any:
        return trace if tracer == "settrace" else None

    switch = getattr(sys, tracer)
    before = getattr(sys, tracer.replace("set", "get"))()
    switch(trace)
    try:
        result = loop.run_until_complete(main())
    finally:
        switch(before)
    assert result == "traced"


def test_a_task_that_drops_its_future_iterator_midway_still_finishes(world: Any, loop: Any) -> None:
    class TwoSteps:
        """Yields the future, and then never asks its iterator again."""

        def __init__(self, future: Any) -> None:
            self.future = future

        def __await__(self) -> Any:
            iterator = self.future.__await__()
            yield next(iterator)
            del iterator
            return self.future.result()

    async def main() -> Any:
        future = loop.create_future()
        loop.call_soon(future.set_result, "result")
        return await TwoSteps(future)

    task = loop.create_task(main())
    assert loop.run_until_complete(task) == "result"
    finish(loop, task)
