"""The names of tasks, and how tasks present themselves."""

from __future__ import annotations

import asyncio
import gc
import re
from typing import Any

import pytest
from task_tools import raised, without_addresses


async def nothing() -> None:
    pass


async def waits(future: Any) -> Any:
    return await future


def number_of(task: Any) -> int:
    match = re.fullmatch(r"Task-(\d+)", task.get_name())
    assert match, task.get_name()
    return int(match[1])


def test_unnamed_tasks_are_numbered_one_after_the_other(world: Any, loop: Any) -> None:
    tasks = [loop.create_task(nothing()) for _ in range(5)]
    numbers = [number_of(each) for each in tasks]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    for task in tasks:
        loop.run_until_complete(task)


def test_a_number_is_taken_when_the_task_is_made_not_when_it_is_asked(
    world: Any, loop: Any
) -> None:
    first, second, third = (loop.create_task(nothing()) for _ in range(3))
    names = [third.get_name(), first.get_name(), second.get_name()]
    assert number_of(second) == number_of(first) + 1
    assert number_of(third) == number_of(first) + 2
    assert names == [third.get_name(), first.get_name(), second.get_name()]
    for task in (first, second, third):
        loop.run_until_complete(task)


def test_a_named_task_takes_no_number(world: Any, loop: Any) -> None:
    first = world.Task(nothing(), loop=loop)
    named = world.Task(nothing(), loop=loop, name="named")
    second = world.Task(nothing(), loop=loop)
    assert named.get_name() == "named"
    assert number_of(second) == number_of(first) + 1
    for task in (first, named, second):
        loop.run_until_complete(task)


def test_a_refused_task_takes_no_number(world: Any, loop: Any) -> None:
    first = world.Task(nothing(), loop=loop)
    raised(lambda: world.Task(5, loop=loop))
    second = world.Task(nothing(), loop=loop)
    assert number_of(second) == number_of(first) + 1
    for task in (first, second):
        loop.run_until_complete(task)


def test_every_way_to_make_a_task_takes_a_name(world: Any, loop: Any) -> None:
    async def main() -> list[str]:
        tasks = [
            world.create_task(nothing(), name="by the function"),
            asyncio.create_task(nothing(), name="by asyncio's function"),
            loop.create_task(nothing(), name="by the loop"),
            world.Task(nothing(), name="by the class"),
            world.Task(nothing(), name="by the class", loop=loop),
        ]
        for task in tasks:
            await task
        return [each.get_name() for each in tasks]

    assert loop.run_until_complete(main()) == [
        "by the function",
        "by asyncio's function",
        "by the loop",
        "by the class",
        "by the class",
    ]


class Named:
    def __str__(self) -> str:
        return "by its str"


class Text(str):
    def __str__(self) -> str:
        return "by its own str"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (5, "5"),
        ((1, 2), "(1, 2)"),
        ("", ""),
        (False, "False"),
        (Named(), "by its str"),
        (Text("inner"), "by its own str"),
        ("\N{SNOWMAN}", "\N{SNOWMAN}"),
        ("Task-1", "Task-1"),
    ],
)
def test_any_object_is_a_name_by_its_str(world: Any, loop: Any, name: Any, expected: str) -> None:
    task = loop.create_task(nothing(), name=name)
    assert task.get_name() == expected
    assert type(task.get_name()) is str
    other = loop.create_task(nothing())
    assert other.set_name(name) is None
    assert other.get_name() == expected
    assert type(other.get_name()) is str
    for each in (task, other):
        loop.run_until_complete(each)


def test_set_name_takes_none_as_a_text_and_create_task_as_no_name(world: Any, loop: Any) -> None:
    task = loop.create_task(nothing(), name=None)
    number_of(task)
    task.set_name(None)
    assert task.get_name() == "None"
    loop.run_until_complete(task)
    task.set_name("after the end")
    assert task.get_name() == "after the end"


def test_a_name_that_cannot_be_made_leaves_set_name_and_keeps_the_old(
    world: Any, loop: Any
) -> None:
    class NoName:
        def __str__(self) -> str:
            raise ZeroDivisionError

    class NoText:
        def __str__(self) -> Any:
            return 5

    task = loop.create_task(nothing(), name="old")
    assert type(raised(lambda: task.set_name(NoName()))) is ZeroDivisionError
    assert type(raised(lambda: task.set_name(NoText()))) is TypeError
    assert type(raised(task.set_name)) is TypeError
    assert task.get_name() == "old"
    loop.run_until_complete(task)


@pytest.mark.may_log
def test_a_name_that_cannot_be_made_leaves_the_constructor(world: Any, loop: Any) -> None:
    class NoName:
        def __str__(self) -> str:
            raise ZeroDivisionError

    coro = nothing()
    error = raised(lambda: world.Task(coro, loop=loop, name=NoName()))
    assert type(error) is ZeroDivisionError
    del error
    coro.close()
    gc.collect()
    world.turn(loop)


def test_a_name_s_str_may_rename_the_task(world: Any, loop: Any) -> None:
    class Renames:
        def __str__(self) -> str:
            task.set_name("in between")
            return "at last"

    task = loop.create_task(nothing())
    task.set_name(Renames())
    assert task.get_name() == "at last"
    loop.run_until_complete(task)


# How tasks present themselves.


def shown(task: Any) -> str:
    return without_addresses(repr(task)).replace(__file__, "FILE")


def test_repr_of_a_task_in_every_state(world: Any, loop: Any) -> None:
    async def fails() -> None:
        raise ValueError("why")

    where = "test_repr_of_a_task_in_every_state.<locals>"
    first = nothing.__code__.co_firstlineno
    waiting_at = waits.__code__.co_firstlineno
    future = loop.create_future()
    fresh = loop.create_task(waits(future), name="fresh")
    assert shown(fresh) == (
        f"<Task pending name='fresh' coro=<waits() running at FILE:{waiting_at}>>"
    )
    failed = loop.create_task(fails(), name="failed")
    finished = loop.create_task(nothing(), name="finished")
    cancelled = loop.create_task(nothing(), name="cancelled")
    cancelled.cancel()
    assert shown(cancelled) == (
        f"<Task cancelling name='cancelled' coro=<nothing() running at FILE:{first}>>"
    )
    world.turn(loop)
    pattern = (
        rf"<Task pending name='fresh' coro=<waits\(\) running at FILE:{waiting_at + 1}>"
        r" wait_for=<Future pending cb=\[.*\]>>"
    )
    assert re.fullmatch(pattern, shown(fresh)), shown(fresh)
    at = fails.__code__.co_firstlineno
    assert shown(failed) == (
        f"<Task finished name='failed' coro=<{where}.fails() done, defined at FILE:{at}>"
        " exception=ValueError('why')>"
    )
    assert shown(finished) == (
        f"<Task finished name='finished' coro=<nothing() done, defined at FILE:{first}>"
        " result=None>"
    )
    assert shown(cancelled) == (
        f"<Task cancelled name='cancelled' coro=<nothing() done, defined at FILE:{first}>>"
    )
    failed.exception()
    future.set_result(None)
    loop.run_until_complete(fresh)


def test_repr_shows_the_wake_up_of_a_waiting_task(world: Any, loop: Any) -> None:
    future = loop.create_future()
    task = loop.create_task(waits(future))
    world.turn(loop)
    # asyncio says "<Future pending cb=[Task.task_wakeup()]>" of its own.
    text = repr(future)
    assert re.fullmatch(r"<Future pending cb=\[.*wakeup\(\)\]>", text), text
    future.set_result(None)
    loop.run_until_complete(task)


def test_repr_of_a_task_being_cancelled_says_so(world: Any, loop: Any) -> None:
    task = loop.create_task(world.sleep(10), name="x")
    world.turn(loop)
    task.cancel()
    assert repr(task).startswith("<Task cancelling name='x' coro=<sleep() running at ")
    world.turn(loop, 2)
    assert repr(task).startswith("<Task cancelled name='x' coro=<sleep() done, defined at ")


def test_repr_of_a_task_shows_its_callbacks_and_its_result(world: Any, loop: Any) -> None:
    def callback(_: Any) -> None:
        pass

    task = loop.create_task(waits(loop.create_future()), name="x")
    task.add_done_callback(callback)
    line = callback.__code__.co_firstlineno
    assert shown(task).endswith(
        f" cb=[test_repr_of_a_task_shows_its_callbacks_and_its_result.<locals>.callback() at"
        f" FILE:{line}]>"
    )
    task.cancel()
    world.turn(loop)


def test_repr_of_tasks_that_wait_for_each_other_ends(world: Any, loop: Any) -> None:
    async def main() -> None:
        await other

    other = loop.create_task(waits(loop.create_future()))
    task = loop.create_task(main())
    world.turn(loop)
    assert "wait_for=<Task pending" in repr(task)
    other.add_done_callback(lambda _, keep=task: None)
    assert len(repr(other)) < 2000
    other.cancel()
    world.turn(loop, 3)
    assert task.done()


def test_repr_in_debug_mode_says_where_the_task_was_made(world: Any, loop: Any) -> None:
    loop.set_debug(True)
    task = loop.create_task(nothing(), name="x")
    made_at = task._source_traceback[-1]
    assert repr(task).endswith(f" created at {made_at[0]}:{made_at[1]}>")
    loop.run_until_complete(task)


def test_repr_uses_the_name_of_the_subclass(world: Any, loop: Any) -> None:
    class Job(world.Task):
        pass

    job = Job(nothing(), loop=loop, name="x")
    assert repr(job).startswith("<Job pending name='x' coro=<nothing() running at ")
    loop.run_until_complete(job)
    assert repr(job).startswith("<Job finished name='x' coro=<nothing() done")


def test_repr_shows_the_name_as_a_literal(world: Any, loop: Any) -> None:
    task = loop.create_task(nothing(), name='it\'s "this"')
    assert f"name={task.get_name()!r} " in repr(task)
    loop.run_until_complete(task)


def test_repr_asks_get_name_of_a_subclass(world: Any, loop: Any) -> None:
    class Job(world.Task):
        def get_name(self) -> str:
            return "own name"

    job = Job(nothing(), loop=loop)
    assert "name='own name'" in repr(job)
    loop.run_until_complete(job)
