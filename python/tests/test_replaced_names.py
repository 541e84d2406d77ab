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


def test_a_task_made_between_runs_is_of_that_class(world: World, loop: Any) -> None:
    async def nothing() -> str:
        return "nothing"

    task = loop.create_task(nothing(), name="it")
    assert type(task) is OwnTask and task.get_name() == "it"
    assert loop.run_until_complete(task) == "nothing"


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
