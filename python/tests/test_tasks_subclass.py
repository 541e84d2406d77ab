"""Subclasses of Future and Task: what a program may override, and who then calls it."""

from __future__ import annotations

import abc
import asyncio
import contextvars
import gc
import weakref
from typing import Any, Generic, TypeVar

import pytest
from task_tools import PY, gather_reports, passes_apart, raised, shares_layout

T = TypeVar("T")


async def returns(value: Any = None) -> Any:
    return value


def test_an_empty_subclass_behaves_like_its_base(world: Any, loop: Any) -> None:
    class Promise(world.Future):
        pass

    class Job(world.Task):
        pass

    async def main() -> Any:
        promise = Promise(loop=loop)
        loop.call_soon(promise.set_result, "result")
        return await promise, await Job(returns(5), loop=loop)

    assert loop.run_until_complete(Job(main(), loop=loop)) == ("result", 5)


def test_the_bases_of_a_subclass_include_asyncio_s_types(world: Any) -> None:
    class Promise(world.Future):
        pass

    class Job(world.Task):
        pass

    assert issubclass(Job, world.Future)
    assert issubclass(Promise, asyncio.Future) or not shares_layout(world)
    assert issubclass(Job, asyncio.Task) or not shares_layout(world)
    assert not issubclass(Promise, world.Task)


def test_a_subclass_s_constructor_may_take_more_arguments(world: Any, loop: Any) -> None:
    class Promise(world.Future):
        def __init__(self, colour: str, *args: Any, size: int = 3, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.colour = colour
            self.size = size

    class Job(world.Task):
        def __init__(self, *args: Any, tag: Any = None, **kwargs: Any) -> None:
            self.tag = tag
            super().__init__(*args, **kwargs)

    promise = Promise("red", loop=loop, size=5)
    assert (promise.colour, promise.size) == ("red", 5)
    job = Job(returns(7), loop=loop, tag="tagged", name="named")
    assert (job.tag, job.get_name()) == ("tagged", "named")
    assert loop.run_until_complete(job) == 7
    assert type(raised(lambda: Promise(loop=loop))) is TypeError


def test_a_subclass_s_new_may_take_part(world: Any, loop: Any) -> None:
    made: list[Any] = []

    class Promise(world.Future):
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            self = super().__new__(cls)
            made.append(self)
            return self

    promise = Promise(loop=loop)
    assert made == [promise]
    promise.set_result(1)
    assert promise.result() == 1


def test_a_constructor_that_forgets_its_base_leaves_an_uninitialised_object(
    world: Any, loop: Any
) -> None:
    class Promise(world.Future):
        def __init__(self) -> None:
            pass

    class Job(world.Task):
        def __init__(self, coro: Any) -> None:
            pass

    promise = Promise()
    assert str(raised(promise.cancel)) == "Future object is not initialized."
    assert promise.done() is False
    coro = returns()
    job = Job(coro)
    assert str(raised(job.get_loop)) == "Future object is not initialized."
    coro.close()
    del promise, job
    gc.collect()


def test_attributes_of_a_subclass_s_instances_stay_with_them(world: Any, loop: Any) -> None:
    class Promise(world.Future):
        colour = "class"

    promises = [Promise(loop=loop) for _ in range(100)]
    for number, promise in enumerate(promises):
        assert promise.colour == "class"
        promise.colour = number
        promise.size = [number]
    assert [each.colour for each in promises] == list(range(100))
    assert promises[7].size == [7]
    fresh = Promise(loop=loop)
    assert fresh.colour == "class"
    assert not hasattr(fresh, "size")


def test_slots_in_a_subclass(world: Any, loop: Any) -> None:
    class Promise(world.Future):
        __slots__ = ("colour",)

    class Job(world.Task):
        __slots__ = ("colour", "size")

    promise = Promise(loop=loop)
    promise.colour = "red"
    assert promise.colour == "red"
    promise.set_result(1)
    job = Job(returns(3), loop=loop)
    job.colour, job.size = "blue", [1]
    watched = weakref.ref(job)
    assert loop.run_until_complete(job) == 3
    assert (job.colour, job.size) == ("blue", [1])
    # The collector sees what stands in the slots.
    job.size = job
    del job
    gc.collect()
    assert watched() is None


def test_a_subclass_of_a_subclass_and_a_mixin(world: Any, loop: Any) -> None:
    log: list[str] = []

    class Mixin:
        def done(self) -> bool:
            log.append("mixin")
            return super().done()  # type: ignore[misc]

    class Base(world.Future):
        pass

    class Promise(Mixin, Base):
        pass

    class Last(Base, Mixin):
        pass

    assert Promise(loop=loop).done() is False
    assert log == ["mixin"]
    assert Last(loop=loop).done() is False
    assert log == ["mixin"]


def test_a_generic_and_an_abstract_subclass(world: Any, loop: Any) -> None:
    class Box(world.Future, Generic[T]):
        pass

    box = Box[int](loop=loop)
    box.set_result(5)
    assert box.result() == 5

    class Shape(world.Future, metaclass=abc.ABCMeta):
        pass

    assert Shape(loop=loop).done() is False


def test_both_bases_at_once_are_only_possible_in_order(world: Any) -> None:
    with pytest.raises(TypeError):
        type("Wrong", (world.Future, world.Task), {})
    type("Right", (world.Task, world.Future), {})


def test_the_class_of_a_future_may_be_changed_between_subclasses(world: Any, loop: Any) -> None:
    class First(world.Future):
        pass

    class Second(world.Future):
        def colour(self) -> str:
            return "red"

    future = First(loop=loop)
    future.__class__ = Second
    assert future.colour() == "red"
    future.set_result(1)
    assert future.result() == 1


def test_attributes_cannot_be_set_on_the_types_themselves(world: Any) -> None:
    for kind in (world.Future, world.Task):
        assert type(raised(lambda k=kind: setattr(k, "colour", 1))) is TypeError
        assert type(raised(lambda k=kind: setattr(k, "done", None))) is TypeError
        assert type(raised(lambda k=kind: delattr(k, "done"))) is TypeError


# Overridden methods, and asyncio's own calls to them.


def recording(base: Any, *names: str) -> tuple[Any, list[Any]]:
    """A subclass that notes each call of the named methods and then does the base's thing."""
    log: list[Any] = []

    def override(name: str) -> Any:
        method = getattr(base, name)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            log.append((name, args, kwargs) if args or kwargs else name)
            return method(self, *args, **kwargs)

        return call

    return type("Recording", (base,), {name: override(name) for name in names}), log


def test_a_task_awaiting_a_subclass_calls_its_overridden_methods(world: Any, loop: Any) -> None:
    kind, log = recording(world.Future, "add_done_callback", "get_loop", "result")

    async def main() -> Any:
        return await future

    future = kind(loop=loop)
    context = contextvars.copy_context()
    task = world.Task(main(), loop=loop, context=context)
    world.turn(loop)
    calls = [each for each in log if each != "get_loop"]
    assert len(calls) == 1
    name, args, kwargs = calls[0]
    assert name == "add_done_callback"
    assert len(args) == 1
    assert kwargs == {"context": context}
    assert "get_loop" in log
    log.clear()
    future.set_result("result")
    world.turn(loop)
    assert task.result() == "result"
    # The wake-up asks for the result; the awaiting coroutine takes it without the method.
    assert set(log) == {"result"}


def test_cancelling_a_task_calls_its_future_s_overridden_cancel(world: Any, loop: Any) -> None:
    kind, log = recording(world.Future, "cancel")

    async def main() -> Any:
        await future

    future = kind(loop=loop)
    task = loop.create_task(main())
    world.turn(loop)
    task.cancel("why")
    assert log == [("cancel", ("why",), {})]
    world.turn(loop)
    assert task.cancelled()


def test_cancelling_a_waiter_calls_the_awaited_task_s_overridden_cancel(
    world: Any, loop: Any
) -> None:
    kind, log = recording(world.Task, "cancel", "cancelling", "uncancel")

    async def main() -> Any:
        await inner

    inner = kind(world.sleep(10), loop=loop)
    task = loop.create_task(main())
    world.turn(loop)
    task.cancel("why")
    assert log == [("cancel", ("why",), {})]
    world.turn(loop, 3)
    assert task.cancelled()
    assert inner.cancelled()


def test_a_failing_result_method_is_thrown_into_the_waiter(world: Any, loop: Any) -> None:
    class Failing(world.Future):
        def result(self) -> Any:
            raise ZeroDivisionError

    async def main() -> Any:
        try:
            await future
        except ZeroDivisionError:
            return "thrown"

    future = Failing(loop=loop)
    task = loop.create_task(main())
    world.turn(loop)
    future.set_result("result")
    world.turn(loop)
    assert task.result() == "thrown"


def test_an_overridden_result_is_not_what_await_returns(world: Any, loop: Any) -> None:
    class Lying(world.Future):
        def result(self) -> Any:
            return "lie"

    async def main() -> Any:
        future = Lying(loop=loop)
        loop.call_soon(future.set_result, "truth")
        return await future

    assert loop.run_until_complete(main()) == "truth"


def test_an_overridden_await_is_what_await_uses(world: Any, loop: Any) -> None:
    class Wrapped(world.Future):
        def __await__(self) -> Any:
            result = yield from super().__await__()
            return f"wrapped {result}"

    class Delayed(world.Task):
        def __await__(self) -> Any:
            yield
            return (yield from super().__await__())

        __iter__ = __await__

    async def main() -> Any:
        future = Wrapped(loop=loop)
        loop.call_soon(future.set_result, "result")
        return await future, await Delayed(returns("task"), loop=loop)

    assert loop.run_until_complete(main()) == ("wrapped result", "task")


def test_an_overridden_iter_is_what_yield_from_uses(world: Any, loop: Any) -> None:
    class Counting(world.Future):
        def __iter__(self) -> Any:
            return iter((1, 2, 3))

    def generator() -> Any:
        yield from Counting(loop=loop)

    assert list(generator()) == [1, 2, 3]


def test_an_overridden_set_result_is_called_by_whoever_settles(world: Any, loop: Any) -> None:
    class Doubling(world.Future):
        def set_result(self, result: Any) -> None:
            super().set_result(result * 2)

        def set_exception(self, exception: Any) -> None:
            super().set_exception(ValueError(f"instead of {exception!r}"))

    async def main() -> Any:
        future = Doubling(loop=loop)
        loop.call_soon(future.set_result, 21)
        first = await future
        future = Doubling(loop=loop)
        loop.call_soon(future.set_exception, KeyError())
        try:
            await future
        except ValueError as error:
            return first, str(error)

    assert loop.run_until_complete(main()) == (42, "instead of KeyError()")


def test_a_task_ends_without_its_overridden_set_methods(world: Any, loop: Any) -> None:
    kind, log = recording(world.Task, "set_result", "set_exception")

    async def fails() -> None:
        raise ValueError

    finished, failed = kind(returns(5), loop=loop), kind(fails(), loop=loop)
    cancelled = kind(returns(), loop=loop)
    cancelled.cancel()
    world.turn(loop, 2)
    assert finished.result() == 5
    assert type(failed.exception()) is ValueError
    assert cancelled.cancelled()
    assert log == []


def test_an_overridden_make_cancelled_error_is_raised(world: Any, loop: Any) -> None:
    class Special(asyncio.CancelledError):
        pass

    class Promise(world.Future):
        def _make_cancelled_error(self) -> BaseException:
            return Special("special")

    promise = Promise(loop=loop)
    promise.cancel()
    # asyncio's C types do not ask a subclass; whichever it is, it is a CancelledError.
    assert isinstance(raised(promise.result), asyncio.CancelledError)
    assert isinstance(promise._make_cancelled_error(), Special)


def test_an_overridden_get_loop_decides_whether_the_loop_is_the_same(world: Any, loop: Any) -> None:
    other = world.new_event_loop()

    class Foreign(world.Future):
        def get_loop(self) -> Any:
            return other

    async def main(future: Any) -> Any:
        return await future

    error = raised(lambda: loop.run_until_complete(main(Foreign(loop=loop))))
    assert "attached to a different loop" in str(error)
    other.close()


def test_a_blocking_flag_overridden_in_a_subclass(world: Any, loop: Any) -> None:
    class NotCompatible(world.Future):
        _asyncio_future_blocking = None

        def __await__(self) -> Any:
            yield self

    async def main() -> Any:
        await NotCompatible(loop=loop)

    error = raised(lambda: loop.run_until_complete(main()))
    assert type(error) is RuntimeError
    assert str(error).startswith("Task got bad yield: ") or "yield was used" in str(error)


def test_a_state_overridden_in_a_subclass_is_not_believed(world: Any, loop: Any) -> None:
    class Promise(world.Future):
        _state = "FINISHED"
        _result = "lie"
        _loop = None
        _callbacks = None

    promise = Promise(loop=loop)
    assert promise.done() is False
    promise.set_result("truth")
    assert promise.result() == "truth"


def test_a_subclass_of_task_that_traces_itself(world: Any, loop: Any) -> None:
    """What monitors do: a task that knows who made it and tells when it ended."""
    log: list[Any] = []

    class Traced(world.Task):
        def __init__(self, coro: Any, **kwargs: Any) -> None:
            super().__init__(coro, **kwargs)
            running = asyncio._get_running_loop()
            self.parent = running and asyncio.current_task()
            self.add_done_callback(lambda task: log.append(task.get_name()))

    async def main() -> Any:
        me = asyncio.current_task()
        tasks = [loop.create_task(returns(n), name=f"task {n}") for n in range(3)]
        assert all(type(each) is Traced and each.parent is me for each in tasks)
        return [await each for each in tasks]

    loop.set_task_factory(lambda loop, coro, **kwargs: Traced(coro, loop=loop, **kwargs))
    assert loop.run_until_complete(main()) == [0, 1, 2]
    assert log[:3] == ["task 0", "task 1", "task 2"]


def test_a_subclass_with_del_of_its_own(world: Any, loop: Any) -> None:
    log: list[str] = []

    class Job(world.Task):
        def __del__(self) -> None:
            log.append("del")
            super().__del__()

    reports = gather_reports(loop)
    job = Job(returns(), loop=loop)
    loop.run_until_complete(job)
    del job
    gc.collect()
    assert log == ["del"]
    assert reports == []


def test_a_subclass_revived_in_del_dies_at_its_second_end(world: Any, loop: Any) -> None:
    revived: list[Any] = []
    log: list[str] = []

    class Promise(world.Future):
        def __del__(self) -> None:
            log.append("del")
            revived.append(self)

    promise = Promise(loop=loop)
    promise.set_result([1])
    watched = weakref.ref(promise)
    del promise
    assert log == ["del"]
    assert revived[0].result() == [1]
    revived.clear()
    gc.collect()
    # A finaliser runs once.
    assert log == ["del"]
    assert watched() is None


def test_a_subclass_that_cannot_be_compared_or_hashed_is_still_a_task(
    world: Any, loop: Any
) -> None:
    class Awkward(world.Task):
        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

        __hash__ = None  # type: ignore[assignment]

    if PY < (3, 14) and not world.is_ours:
        pytest.skip("older asyncio keeps its tasks in a set")
    job = Awkward(returns(5), loop=loop)
    world.turn(loop)
    assert job.result() == 5


def test_a_subclass_with_an_equality_of_its_own(world: Any, loop: Any) -> None:
    class Equal(world.Task):
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 5

    async def main() -> Any:
        tasks = [Equal(returns(n), loop=loop) for n in range(3)]
        return [await each for each in tasks]

    assert loop.run_until_complete(main()) == [0, 1, 2]


def test_a_truth_value_of_one_s_own_disturbs_nobody(world: Any, loop: Any) -> None:
    class Falsy(world.Future):
        def __bool__(self) -> bool:
            return False

    class FalsyTask(world.Task):
        def __bool__(self) -> bool:
            return False

        def __len__(self) -> int:
            return 0

    async def main() -> Any:
        future = Falsy(loop=loop)
        loop.call_soon(future.set_result, "result")
        assert asyncio.current_task() is task
        return await future

    task = FalsyTask(main(), loop=loop)
    assert loop.run_until_complete(task) == "result"
    waiting = FalsyTask(world.sleep(10), loop=loop)
    world.turn(loop)
    waiting.cancel()
    world.turn(loop, 2)
    assert waiting.cancelled()


def test_getattribute_of_one_s_own_sees_only_what_python_code_asks(world: Any, loop: Any) -> None:
    class Watching(world.Task):
        def __getattribute__(self, name: str) -> Any:
            if name in ("_loop", "_coro", "_fut_waiter", "_state", "done"):
                raise ZeroDivisionError(name)
            return super().__getattribute__(name)

    if PY >= (3, 12) or world.is_ours:
        task = Watching(world.sleep(0, "result"), loop=loop)
        world.turn(loop, 3)
        assert task.result() == "result"


def test_subclasses_of_asyncio_s_own_types_on_the_loop(world: Any, loop: Any) -> None:
    """A class derived before anybody installed anything."""

    class Promise(asyncio.Future):  # type: ignore[type-arg]
        pass

    class Job(asyncio.Task):  # type: ignore[type-arg]
        pass

    async def main() -> Any:
        promise = Promise(loop=loop)
        loop.call_soon(promise.set_result, "promise")
        return await promise, await Job(returns("job"), loop=loop)

    assert loop.run_until_complete(main()) == ("promise", "job")
    assert loop.run_until_complete(Job(main(), loop=loop)) == ("promise", "job")
    waiting = Job(world.sleep(10), loop=loop)
    world.turn(loop)
    waiting.cancel("why")
    assert raised(lambda: loop.run_until_complete(waiting)).args == ("why",)


def test_ten_thousand_short_lived_subclasses(world: Any) -> None:
    """Types come and go; their instances must take the right one with them."""
    passes_apart(
        world,
        """
        loop = new_event_loop()
        async def returns(value): return value
        for number in range(2000):
            Promise = type(f"Promise{number}", (world.Future,), {"number": number})
            Job = type(f"Job{number}", (world.Task,), {"number": number})
            promise, job = Promise(loop=loop), Job(returns(number), loop=loop)
            plain = world.Future(loop=loop)
            plain.set_result(None)
            promise.set_result(job)
            assert loop.run_until_complete(job) == number
            assert promise.number == promise.result().number == number
        del Promise, Job, promise, job, plain
        gc.collect()
        left = [each for each in world.Future.__subclasses__() if each.__name__[:7] == "Promise"]
        assert left == [], left[:5]
        loop.close()
        """,
    )
