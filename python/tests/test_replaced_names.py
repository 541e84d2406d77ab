"""Programs that put classes and functions of their own in the place of asyncio's, by name."""

from __future__ import annotations

import asyncio
import asyncio.events
import asyncio.futures
import asyncio.tasks
import sys
from typing import Any

import pytest
from conftest import World

PyFuture: Any = asyncio.futures._PyFuture  # type: ignore[attr-defined]
PyTask: Any = asyncio.tasks._PyTask  # type: ignore[attr-defined]


class OwnFuture(PyFuture):  # type: ignore[misc]
    """A Future by which its like is known."""


class OwnTask(PyTask):  # type: ignore[misc]
    """A Task by which its like is known."""


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As asyncio's own tests, and libraries that look into tasks, replace them."""
    for module in (asyncio, asyncio.futures):
        monkeypatch.setattr(module, "Future", OwnFuture)
    for module in (asyncio, asyncio.tasks):
        monkeypatch.setattr(module, "Task", OwnTask)
        if sys.version_info >= (3, 14):
            # A task in Python is none to the functions in C.
            monkeypatch.setattr(module, "current_task", asyncio.tasks._py_current_task)
            monkeypatch.setattr(module, "all_tasks", asyncio.tasks._py_all_tasks)


@pytest.fixture
def loop(world: World, replaced: None) -> Any:
    """A loop that is made while they are replaced."""
    made = world.new_event_loop()
    yield made
    made.close()


async def classes(module: Any) -> set[str]:
    """Of the futures and tasks that all ways of making them make."""
    event_loop = asyncio.get_running_loop()
    seen: list[Any] = []

    async def note() -> Any:
        seen.append(asyncio.current_task())
        await module.sleep(0)
        return asyncio.current_task()

    seen.append(event_loop.create_future())
    seen.append(await event_loop.create_task(note()))
    seen.append(await module.create_task(note(), name="named"))
    seen.extend(await module.gather(note(), note()))
    seen.append(await module.wait_for(note(), 10))
    seen.append(await module.shield(note()))
    async with module.timeout(10), module.TaskGroup() as group:
        seen.append(group.create_task(note()))
    done, _ = await module.wait({event_loop.create_task(note())})
    seen.extend(done)
    seen.extend([await each for each in module.as_completed([note()])])
    return {type(item).__name__ for item in seen}


def test_all_is_made_of_what_the_names_stand_for(world: World, loop: Any) -> None:
    assert loop.run_until_complete(classes(world.module)) == {"OwnFuture", "OwnTask"}


def test_a_runner_makes_what_the_name_stands_for(world: World, replaced: None) -> None:
    with world.Runner() as runner:
        assert runner.run(classes(world.module)) == {"OwnFuture", "OwnTask"}


async def nothing() -> str:
    return "nothing"


@pytest.mark.parametrize("keywords", [{}, {"name": "it"}], ids=["bare", "named"])
def test_what_is_made_between_runs_is_of_those_classes(
    world: World, monkeypatch: pytest.MonkeyPatch, keywords: dict[str, str]
) -> None:
    loop = world.new_event_loop()
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.tasks, "Task", OwnTask)
        patch.setattr(asyncio.futures, "Future", OwnFuture)
        task = loop.create_task(nothing(), **keywords)
        assert type(task) is OwnTask
        assert type(loop.create_future()) is OwnFuture
        assert loop.run_until_complete(task) == "nothing"
    task = loop.create_task(nothing(), **keywords)
    assert type(task) is world.Task and type(loop.create_future()) is world.Future
    assert loop.run_until_complete(task) == "nothing"
    loop.close()


@pytest.mark.parametrize("which", ["Task", "Future"])
def test_one_of_them_may_be_replaced_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    loop = world.new_event_loop()
    expected: dict[str, Any] = {"Task": world.Task, "Future": world.Future}
    if which == "Task":
        monkeypatch.setattr(asyncio.tasks, "Task", OwnTask)
        expected["Task"] = OwnTask
    else:
        monkeypatch.setattr(asyncio.futures, "Future", OwnFuture)
        expected["Future"] = OwnFuture

    async def main() -> None:
        running = asyncio.get_running_loop()
        task = running.create_task(nothing())
        assert type(task) is expected["Task"]
        assert type(running.create_future()) is expected["Future"]
        await task

    loop.run_until_complete(main())
    loop.close()


def test_a_replaced_class_is_called_as_asyncio_calls_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []

    def make(coro: Any, **kwargs: Any) -> Any:
        calls.append(kwargs)
        if "foo" in kwargs:
            raise TypeError
        return OwnTask(coro, **kwargs)

    def made(loop: Any) -> list[dict[str, Any]]:
        calls.clear()
        tasks = [loop.create_task(nothing()), loop.create_task(nothing(), name="it")]
        for task in tasks:
            loop.run_until_complete(task)
        coroutine = nothing()
        try:
            loop.create_task(coroutine, foo=1)
        except TypeError:
            coroutine.close()
        return [{k: v for k, v in call.items() if k != "loop"} for call in calls]

    monkeypatch.setattr(asyncio.tasks, "Task", make)
    loop, stock = world.new_event_loop(), asyncio.SelectorEventLoop()
    expected = made(stock)
    assert made(loop) == expected
    stock.close()
    loop.close()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="call graphs came with 3.14")
def test_links_of_such_tasks_are_told_by_name(
    world: World, loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for name in ("future_add_to_awaited_by", "future_discard_from_awaited_by"):
        for module in (asyncio.futures, asyncio.tasks.futures):  # type: ignore[attr-defined]
            monkeypatch.setattr(module, name, lambda *_, name=name: told.append(name))

    async def main(module: Any) -> None:
        event_loop = asyncio.get_running_loop()
        tasks = [event_loop.create_task(nothing()) for _ in range(2)]
        await module.gather(*tasks)
        await module.wait([event_loop.create_task(nothing())])

    loop.run_until_complete(main(world.module))
    here = told.copy()
    told.clear()
    stock = asyncio.SelectorEventLoop()
    stock.run_until_complete(main(asyncio))
    stock.close()
    assert here == told and len(told) > 6


def test_once_they_are_put_back_all_is_as_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = world.new_event_loop()

    async def kinds() -> set[str]:
        made = asyncio.get_running_loop().create_future()
        return {type(asyncio.current_task()).__name__, type(made).__name__}

    before = loop.run_until_complete(kinds())
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.tasks, "Task", OwnTask)
        patch.setattr(asyncio.futures, "Future", OwnFuture)
        if sys.version_info >= (3, 14):
            patch.setattr(asyncio, "current_task", asyncio.tasks._py_current_task)
        assert loop.run_until_complete(kinds()) == {"OwnTask", "OwnFuture"}
    assert loop.run_until_complete(kinds()) == before == {"Task", "Future"}
    loop.close()


def test_a_time_limit_outside_of_any_task_is_refused_all_the_same(
    world: World, replaced: None
) -> None:
    loop = world.new_event_loop()

    def enter() -> None:
        limit = world.module.timeout(None)
        with pytest.raises(RuntimeError, match="Timeout should be used inside a task"):
            limit.__aenter__().send(None)
        loop.stop()

    loop.call_soon(enter)
    loop.run_forever()
    loop.close()


def test_who_replaces_the_function_is_told_which_loop_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    known = asyncio.events._set_running_loop

    def tell(loop: Any) -> None:
        told.append(loop)
        known(loop)

    monkeypatch.setattr(asyncio.events, "_set_running_loop", tell)
    loop = world.new_event_loop()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert told == [loop, None]
