"""What locks and queues keep: any number, attributes that others write, copies and pickles."""

from __future__ import annotations

import asyncio
import collections
import copy
import enum
import fractions
import functools
import gc
import inspect
import math
import pickle
import sys
import unittest.mock
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from conftest import World

KINDS = (
    "Lock",
    "Event",
    "Condition",
    "Semaphore",
    "BoundedSemaphore",
    "Barrier",
    "Queue",
    "PriorityQueue",
    "LifoQueue",
)
SEMAPHORES = ("Semaphore", "BoundedSemaphore")


class Count(int):
    pass


class Level(enum.IntEnum):
    THREE = 3


NUMBERS: tuple[Any, ...] = (0, 1, 7, 2**63 - 1, 2**63, 10**30, True, False, Count(2), Level.THREE)
NUMBERS += (0.0, 1.5, math.inf, fractions.Fraction(5, 2))


def make(world: World, kind: str, *args: Any) -> Any:
    return getattr(world.module, kind)(*(args or ([2] if kind == "Barrier" else [])))


def inner(primitive: Any) -> str:
    """The repr, from where the state begins."""
    text = repr(primitive)[:-1]
    return text[text.index("maxsize" if "maxsize" in text else "[") :]


# --- Numbers --------------------------------------------------------------------


@pytest.mark.parametrize("kind", SEMAPHORES)
def test_a_semaphore_takes_any_number(world: World, kind: str) -> None:
    for number in NUMBERS:
        check_number(world, kind, number)


def check_number(world: World, kind: str, number: Any) -> None:
    semaphore = make(world, kind, number)
    assert semaphore._value is number or semaphore._value == number
    assert type(semaphore._value) is type(number)
    free = f"[unlocked, value:{number}]"
    assert inner(semaphore) == ("[locked]" if number == 0 else free)
    assert semaphore.locked() is (number == 0)

    async def main() -> None:
        if number == 0:
            return
        assert await semaphore.acquire() is True
        assert semaphore._value == number - 1 and type(semaphore._value) is type(number - 1)
        if kind == "BoundedSemaphore" and number == number - 1:
            return
        semaphore.release()
        assert semaphore._value == number - 1 + 1
        assert type(semaphore._value) is type(number - 1 + 1)

    world.run(main())
    if kind == "BoundedSemaphore":
        assert semaphore._bound_value == number and type(semaphore._bound_value) is type(number)
        with pytest.raises(ValueError, match="BoundedSemaphore released too many times"):
            semaphore.release()
    else:
        semaphore.release()
        assert semaphore._value == number + (number == 0) + (number != 0)


@pytest.mark.parametrize("kind", SEMAPHORES)
def test_a_semaphore_takes_no_negative_number(world: World, kind: str) -> None:
    for number in (-1, -0.5, -math.inf, -(10**30), Count(-2), -(2**63)):
        with pytest.raises(ValueError, match="Semaphore initial value must be >= 0"):
            make(world, kind, number)
    for value in (None, "x", [], 1j):
        with pytest.raises(TypeError) as caught:
            make(world, kind, value)
        assert str(caught.value).startswith("'<' not supported between instances of ")


def test_numbers_beyond_a_word_are_counted(world: World) -> None:
    semaphore = make(world, "Semaphore", 2**63 - 1)
    semaphore.release()
    assert semaphore._value == 2**63
    semaphore._value = -(2**63) + 1

    async def main() -> None:
        await semaphore.acquire()
        assert semaphore._value == -(2**63)
        await semaphore.acquire()
        assert semaphore._value == -(2**63) - 1

    world.run(main())
    semaphore.release()
    semaphore.release()
    assert semaphore._value == -(2**63) + 1


def test_any_value_may_be_written(world: World) -> None:
    semaphore = make(world, "Semaphore")
    for value in (5, 2.5, True, 10**20, None, "text", [1]):
        semaphore._value = value
        assert semaphore._value is value
        assert inner(semaphore) == f"[unlocked, value:{value}]"
    with pytest.raises(TypeError):
        semaphore.release()
    semaphore._value = 0
    assert semaphore.locked() is True
    bounded = make(world, "BoundedSemaphore")
    bounded._bound_value = 2.5
    bounded.release()
    bounded.release()
    assert bounded._bound_value == 2.5 and bounded._value == 3
    with pytest.raises(ValueError):
        bounded.release()
    for kind, name in (("Lock", "_locked"), ("Event", "_value")):
        primitive = make(world, kind)
        question = primitive.locked if kind == "Lock" else primitive.is_set
        for value in (True, 5, "", [0], None, False):
            setattr(primitive, name, value)
            assert getattr(primitive, name) is value and question() is value
            assert inner(primitive).startswith("[un") is not bool(value)


def test_a_value_may_refuse_to_be_compared(world: World) -> None:
    class Odd:
        def __bool__(self) -> bool:
            raise ZeroDivisionError

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

        __hash__ = None  # type: ignore[assignment]

    async def main() -> None:
        lock, event, semaphore = (make(world, kind) for kind in ("Lock", "Event", "Semaphore"))
        lock._locked = event._value = semaphore._value = Odd()
        for call in (lock.acquire, event.wait, semaphore.acquire):
            with pytest.raises(ZeroDivisionError):
                await call()
        for call in (lock.release, event.set, semaphore.locked):
            with pytest.raises(ZeroDivisionError):
                call()

    world.run(main())


# --- The wake rule of semaphores ------------------------------------------------


def wakes_many() -> bool:
    return asyncio.Semaphore()._wake_up_next() is not None  # type: ignore[func-returns-value,attr-defined]


def test_waking_the_next_says_what_it_says(world: World) -> None:
    semaphore = make(world, "Semaphore")
    assert semaphore._wake_up_next() is (False if wakes_many() else None)
    if not world.is_ours:
        assert type(semaphore) is asyncio.Semaphore


def six_wait(world: World, disturb: Callable[[Any, list[Any]], None], turns: int) -> list[str]:
    """What six tasks tell that wait at a semaphore and are disturbed, turn by turn."""

    async def main() -> list[str]:
        semaphore = make(world, "Semaphore", 0)
        story: list[str] = []

        async def use(name: str) -> None:
            try:
                await semaphore.acquire()
                story.append(f"{name} {semaphore._value}")
            except asyncio.CancelledError:
                story.append(f"{name} cancelled {semaphore._value}")

        tasks = [asyncio.create_task(use(name)) for name in "abcdef"]
        await asyncio.sleep(0)
        disturb(semaphore, tasks)
        for turn in range(turns):
            await asyncio.sleep(0)
            story.append(f"turn {turn}")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        return story

    return world.run(main())  # type: ignore[no-any-return]


def test_one_whose_wait_is_over_wakes_as_asyncio_does(world: World) -> None:
    """Permits that come all at once go to one waiter a turn on older Pythons, else to all."""

    def disturb(semaphore: Any, tasks: list[Any]) -> None:
        semaphore._value = 4
        semaphore.release()

    story = six_wait(world, disturb, 6)
    if wakes_many():
        expected = ["a 0", "turn 0", "b 0", "c 0", "d 0", "e 0", "turn 1"]
    else:
        expected = ["a 3", "turn 0", "b 2", "turn 1", "c 1", "turn 2", "d 0", "turn 3", "e 0"]
    assert story[: len(expected)] == expected


def test_one_that_is_cancelled_while_others_wait_wakes_as_asyncio_does(world: World) -> None:
    def disturb(semaphore: Any, tasks: list[Any]) -> None:
        # The first gets a permit and is cancelled; the second is cancelled with permits there.
        semaphore.release()
        tasks[0].cancel()
        tasks[1].cancel()
        semaphore._value = 3

    story = six_wait(world, disturb, 5)
    if wakes_many():
        expected = ["a cancelled 0", "b cancelled 0", "turn 0", "c 0", "d 0", "e 0", "f 0"]
    else:
        expected = ["a cancelled 3", "b cancelled 3", "turn 0", "c 2", "turn 1", "d 1", "turn 2"]
    assert story[: len(expected)] == expected


# --- Copies and pickles ---------------------------------------------------------


def change(primitive: Any, kind: str) -> None:
    """Bring it into another state than its first."""
    if kind == "Lock":
        primitive._locked = True
    elif kind == "Event":
        primitive.set()
    elif kind == "Condition":
        primitive._lock._locked = True
    elif kind in SEMAPHORES:
        primitive._value = 5
    elif kind == "Barrier":
        primitive._count = 1
    else:
        for item in (2, 1, 3):
            primitive.put_nowait(item)
        primitive._maxsize = 7
    primitive.note = "of the program"


def copies(primitive: Any) -> list[Any]:
    pickles = [pickle.dumps(primitive, number) for number in range(pickle.HIGHEST_PROTOCOL + 1)]
    return [copy.copy(primitive), copy.deepcopy(primitive), *map(pickle.loads, pickles)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_belongs_to_no_loop_can_be_copied(world: World, kind: str) -> None:
    primitive = make(world, kind)
    change(primitive, kind)
    for made in copies(primitive):
        assert type(made) is type(primitive) and made is not primitive
        assert inner(made) == inner(primitive)
        assert made.note == "of the program"
        assert made._loop is None
        if kind.endswith("Queue"):
            items = [made.get_nowait() for _ in range(3)]
            assert items == {"Queue": [2, 1, 3], "LifoQueue": [3, 1, 2]}.get(kind, [1, 2, 3])
            made.task_done()
            # A shallow copy shares what is in it, the items too.
            if not primitive.qsize():
                for item in (2, 1, 3):
                    primitive._put(item)
    if kind.endswith("Queue"):
        assert primitive._unfinished_tasks == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_works(world: World, kind: str) -> None:
    async def main(primitive: Any) -> object:
        if kind == "Event":
            asyncio.get_running_loop().call_soon(primitive.set)
            return await primitive.wait()
        if kind == "Barrier":
            return sorted(await asyncio.gather(primitive.wait(), primitive.wait()))
        if kind.endswith("Queue"):
            asyncio.get_running_loop().call_soon(primitive.put_nowait, 1)
            assert await primitive.get() == 1
            primitive.task_done()
            return await primitive.join()

        async def use() -> None:
            async with primitive:
                await asyncio.sleep(0)

        await asyncio.gather(*(use() for _ in range(3)))
        return primitive.locked()

    for made in copies(make(world, kind)):
        expected = {"Event": True, "Barrier": [0, 1]}.get(kind)
        assert world.run(main(made)) == (False if kind in HELD else expected)


HELD = ("Lock", "Condition", *SEMAPHORES)


@pytest.mark.parametrize("kind", KINDS)
def test_what_belongs_to_a_loop_is_copied_with_it_or_not_at_all(world: World, kind: str) -> None:
    async def main() -> None:
        primitive = make(world, kind)
        bound = primitive._cond if kind == "Barrier" else primitive
        bound._get_loop()
        made = copy.copy(primitive)
        same = made._cond if kind == "Barrier" else made
        assert same._loop is asyncio.get_running_loop()
        assert inner(made) == inner(primitive)
        # What exactly of a loop cannot be pickled is not said alike.
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError), match="pickle"):
            pickle.dumps(primitive)

    world.run(main())


def test_a_copy_shares_those_who_wait(world: World) -> None:
    async def main() -> None:
        lock, event, queue = (make(world, kind) for kind in ("Lock", "Event", "Queue"))
        await lock.acquire()
        calls = (lock.acquire, event.wait, queue.get)
        tasks = [asyncio.create_task(call()) for call in calls]
        await asyncio.sleep(0)
        for primitive, name in ((lock, "_waiters"), (event, "_waiters"), (queue, "_getters")):
            made = copy.copy(primitive)
            assert getattr(made, name) is getattr(primitive, name)
            assert len(getattr(made, name)) == 1
        lock.release()
        copy.copy(event).set()
        copy.copy(queue).put_nowait("item")
        assert await asyncio.gather(*tasks) == [True, True, "item"]

    world.run(main())


def test_a_state_is_what_a_dict_of_asyncio_holds(world: World) -> None:
    lock = make(world, "Lock")
    assert lock.__getstate__() == {"_waiters": None, "_locked": False}
    lock.note = 1
    assert lock.__getstate__() == {"_waiters": None, "_locked": False, "note": 1}
    event = make(world, "Event")
    assert event.__getstate__() == {"_waiters": collections.deque(), "_value": False}
    bounded = make(world, "BoundedSemaphore", 3)
    assert list(bounded.__getstate__()) == ["_bound_value", "_waiters", "_value"]
    names = ["_maxsize", "_getters", "_putters", "_unfinished_tasks", "_finished", "_queue"]
    names += ["_is_shutdown"] * (sys.version_info >= (3, 13))
    assert list(make(world, "Queue").__getstate__()) == names


def test_a_subclass_may_say_how_it_is_pickled(world: World) -> None:
    class Lock(world.module.Lock):  # type: ignore[misc]
        __slots__ = ("extra",)

        def __init__(self) -> None:
            super().__init__()
            self.extra = [1]

    lock = Lock()
    made = copy.deepcopy(lock)
    assert made.extra == [1] and made.extra is not lock.extra
    assert made.locked() is False

    class Bare(world.module.Semaphore):  # type: ignore[misc]
        def __getstate__(self) -> dict[str, Any]:
            return {"_value": 9, "told": True}

        def __setstate__(self, state: dict[str, Any]) -> None:
            self.__init__(state["_value"])  # type: ignore[misc]

    assert copy.copy(Bare(1))._value == 9

    class Reduced(world.module.Queue):  # type: ignore[misc]
        def __reduce__(self) -> tuple[Any, ...]:
            return dict, ()

    assert copy.copy(Reduced()) == {}


# --- The private attributes of queues -------------------------------------------


def test_private_state_of_a_queue_may_be_written(world: World) -> None:
    async def main() -> None:
        queue = make(world, "Queue")
        for name in ("_getters", "_putters", "_queue"):
            assert type(getattr(queue, name)) is collections.deque
            mine = collections.deque[Any]()
            setattr(queue, name, mine)
            assert getattr(queue, name) is mine
        queue._queue.extend("abc")
        assert queue.qsize() == 3 and await queue.get() == "a"
        for maxsize in (2, 2.5, True, None, 10**20, 0):
            queue._maxsize = maxsize
            assert queue._maxsize is maxsize and queue.maxsize is maxsize
        for count in (4, 1.5, True, 10**20, None):
            queue._unfinished_tasks = count
            assert queue._unfinished_tasks is count
            assert inner(queue).endswith(f" tasks={count}") is (count is not None)
        with pytest.raises(TypeError):
            queue.task_done()
        with pytest.raises(TypeError):
            queue.put_nowait(1)
        queue._unfinished_tasks = 1.0
        event = world.module.Event()
        queue._finished = event
        assert queue._finished is event
        queue.task_done()
        assert event.is_set() and queue._unfinished_tasks == 0.0
        with pytest.raises(ValueError, match="called too many times"):
            queue.task_done()
        await queue.join()
        queue.put_nowait("d")
        assert not event.is_set()
        waiting = asyncio.create_task(queue.join())
        await asyncio.sleep(0)
        assert len(event._waiters) == 1
        queue.task_done()
        await waiting

    world.run(main())


def test_a_queue_without_its_deques_fails_as_asyncio_does(world: World) -> None:
    async def main() -> None:
        queue = make(world, "Queue")
        queue._getters = None
        assert queue._getters is None
        with pytest.raises(AttributeError, match="append"):
            await queue.get()
        queue.put_nowait(1)
        assert await queue.get() == 1
        event = make(world, "Event")
        event._waiters = None
        assert event._waiters is None
        with pytest.raises(TypeError, match="not iterable"):
            event.set()
        assert event.is_set()

    world.run(main())


def test_what_a_native_method_is_not(world: World) -> None:
    """Its coroutines are coroutines, but the method is no coroutine function: see DESIGN.md."""
    queue = make(world, "Queue")
    is_one = inspect.iscoroutinefunction(queue.get)
    assert is_one is (not world.is_ours)
    mocked = unittest.mock.Mock(spec=queue)
    assert isinstance(mocked.get, unittest.mock.AsyncMock) is is_one
    coroutine = queue.get()
    assert asyncio.iscoroutine(coroutine)
    coroutine.close()


# --- Words for wrong arguments --------------------------------------------------


@pytest.mark.parametrize("kind", ["Lock", "Semaphore", "BoundedSemaphore", "Condition", "Timeout"])
def test_the_methods_of_a_block_are_methods_like_any_other(
    world: World, loop: Any, kind: str
) -> None:
    class_ = getattr(world.module, kind, None) or world.module.timeouts.Timeout
    make = functools.partial(class_, None) if kind == "Timeout" else class_
    derived = type("Derived", (class_,), {})
    this, that = make(), make()
    for name in ("__aenter__", "__aexit__"):
        plain, bound = getattr(class_, name), getattr(this, name)
        assert bound.__self__ is this and bound.__name__ == plain.__name__ == name
        assert plain.__qualname__.endswith("." + name)
        assert bound == getattr(this, name) and hash(bound) == hash(getattr(this, name))
        assert bound != getattr(that, name) and bound != plain and bound != 3
        assert plain == getattr(class_, name) and plain is getattr(derived, name)
        assert callable(plain) and inspect.isroutine(plain) and inspect.isroutine(bound)
        assert name in repr(plain) and name in repr(bound)
        assert inspect.signature(bound) == inspect.Signature(
            list(inspect.signature(plain).parameters.values())[1:],
            return_annotation=inspect.signature(plain).return_annotation,
        )
        assert pickle.loads(pickle.dumps(plain)) is plain
        with pytest.raises(TypeError):
            bound(1, 2, 3, 4)
        with pytest.raises(TypeError):
            bound(word=1)
        with pytest.raises((TypeError, AttributeError)):
            loop.run_until_complete(plain(3, *[None] * 3 * (name == "__aexit__")))

    async def use(made: Any) -> None:
        await class_.__aenter__(made)
        await class_.__aexit__(made, None, None, None)
        async with made if kind != "Timeout" else world.module.timeout(None):
            pass

    loop.run_until_complete(use(this))
    loop.run_until_complete(use(derived(None) if kind == "Timeout" else derived()))
    that.circle = [that.__aenter__, that.__aexit__]
    gone = weakref.ref(that)
    del that
    gc.collect()
    assert gone() is None


def test_wrong_arguments_are_refused_in_the_words_of_python(world: World) -> None:
    queue, condition, lock = (make(world, kind) for kind in ("Queue", "Condition", "Lock"))
    for name in ("put", "put_nowait"):
        method = getattr(queue, name)
        missing = f"Queue.{name}() missing 1 required positional argument: 'item'"
        refused(method, missing)
        refused(method, f"Queue.{name}() takes 2 positional arguments but 3 were given", 1, 2)
        refused(method, f"Queue.{name}() got an unexpected keyword argument 'x'", 1, x=2)
        refused(method, f"Queue.{name}() got multiple values for argument 'item'", 1, item=2)
    refused(
        condition.wait_for,
        "Condition.wait_for() missing 1 required positional argument: 'predicate'",
    )
    refused(
        condition.notify,
        "Condition.notify() takes from 1 to 2 positional arguments but 3 were given",
        1,
        2,
    )
    refused(condition.notify, "Condition.notify() got multiple values for argument 'n'", 1, n=2)
    if sys.version_info >= (3, 13):
        refused(queue.shutdown, "Queue.shutdown() got an unexpected keyword argument 'x'", x=1)
    refused(
        lock.__aexit__,
        "_ContextManagerMixin.__aexit__() missing 2 required positional arguments: 'exc' and 'tb'",
        None,
    )
    refused(
        lock.__aexit__,
        "_ContextManagerMixin.__aexit__() takes 4 positional arguments but 5 were given",
        *[None] * 4,
    )
    for kind, name in (("Lock", None), ("Semaphore", "value"), ("Queue", "maxsize")):
        made = getattr(world.module, kind)
        most = "from 1 to 2 positional arguments" if name else "1 positional argument"
        given = 3 if name else 2
        refused(made, f"{kind}.__init__() takes {most} but {given} were given", *range(given - 1))
        refused(made, f"{kind}.__init__() got an unexpected keyword argument 'x'", 1, 2, 3, x=1)
    with pytest.raises(AttributeError) as caught:
        queue.maxsize = 1
    assert str(caught.value) == "property 'maxsize' of 'Queue' object has no setter"
    bare = world.module.Queue.__new__(world.module.Queue)
    with pytest.raises(AttributeError, match=r"^'Queue' object has no attribute '_\w+'$"):
        bare.put_nowait(1)


def refused(call: Any, text: str, *args: Any, **kwargs: Any) -> None:
    with pytest.raises(TypeError) as caught:
        call(*args, **kwargs)
    assert str(caught.value) == text
