"""TaskGroup: what it promises, and whoever is cancelled when."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import sys
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from conftest import World
from play_tools import give
from scenes import Scene, compare_everywhere, explained, pause
from task_tools import gather_reports, raised

LINKS = sys.version_info >= (3, 14)
"""Whether futures know who awaits them."""


def run(world: World, main: Any) -> Any:
    return world.run(main())


# --- A group that ends well --------------------------------------------------------


def test_the_block_ends_when_all_tasks_are_done(world: World) -> None:
    async def main() -> None:
        async with world.module.TaskGroup() as group:
            tasks = [group.create_task(give(n, n)) for n in range(5)]
            assert all(isinstance(task, world.Task) for task in tasks)
            assert group._tasks == set(tasks)
        assert [task.result() for task in tasks] == list(range(5))
        assert group._tasks == set()
        async with world.module.TaskGroup() as group:
            pass

    run(world, main)


def test_what_it_is_in_each_state(world: World) -> None:
    async def main() -> None:
        group = world.module.TaskGroup()
        names = ("_entered", "_exiting", "_aborting", "_parent_cancel_requested")
        assert [getattr(group, name) for name in names] == [False] * 4
        assert (group._loop, group._parent_task, group._on_completed_fut) == (None, None, None)
        assert (group._tasks, group._errors, group._base_error) == (set(), [], None)
        assert repr(group) == "<TaskGroup>"
        async with group as entered:
            assert entered is group
            assert group._loop is asyncio.get_running_loop()
            assert group._parent_task is asyncio.current_task()
            assert repr(group) == "<TaskGroup entered>"
            task = group.create_task(give(1, 2))
            assert repr(group) == "<TaskGroup tasks=1 entered>"
            asyncio.get_running_loop().call_soon(
                lambda: states.append((group._exiting, group._on_completed_fut.done()))
            )
            states: list[Any] = []
        assert states == [(True, False)] and task.done()
        assert group._entered and group._exiting and group._on_completed_fut is None

    run(world, main)


def test_tasks_take_names_and_contexts(world: World) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def read() -> int:
        return variable.get()

    async def main() -> None:
        context = contextvars.copy_context()
        context.run(variable.set, 7)
        async with world.module.TaskGroup() as group:
            before = int(group.create_task(give()).get_name().removeprefix("Task-"))
            named = group.create_task(give(), name="mine")
            odd = group.create_task(give(), name=5)
            unnamed = group.create_task(give(), name=None, context=None)
            within = group.create_task(read(), context=context)
            both = group.create_task(coro=read(), name="both", context=context)
        assert (named.get_name(), odd.get_name(), both.get_name()) == ("mine", "5", "both")
        # Before 3.13 a task that is named afterwards has used a number up.
        gone = 0 if sys.version_info >= (3, 13) else 2
        assert unnamed.get_name() == f"Task-{before + 1 + gone}"
        assert within.result() == both.result() == 7

    run(world, main)


def test_the_callback_of_a_task_is_there_to_be_seen(world: World) -> None:
    async def main() -> None:
        async with world.module.TaskGroup() as group:
            task = group.create_task(give(None, 3))
            ((callback, context),) = task._callbacks
            assert callback == group._on_task_done
            assert isinstance(context, contextvars.Context)
            assert "TaskGroup._on_task_done" in repr(task)
            assert task.remove_done_callback(group._on_task_done) == 1
            assert not task._callbacks
            task.add_done_callback(group._on_task_done)
            other = group.create_task(give(None, 1))
            order: list[str] = []
            other.add_done_callback(lambda _: order.append(f"after {len(group._tasks)}"))
        assert order == ["after 1"]

    run(world, main)


def test_a_task_may_be_awaited_gathered_and_waited_for_besides(world: World) -> None:
    async def main() -> None:
        async with world.module.TaskGroup() as group:
            task = group.create_task(give(5, 3))
            assert await asyncio.gather(task, give(6)) == [5, 6]
            other = group.create_task(give(7, 2))
            both = asyncio.gather(other, task)
            assert await asyncio.wait_for(other, 60) == 7
            assert await both == [7, 5]
            assert group._tasks == set()

    run(world, main)


def test_attributes_weak_references_and_subclasses_as_of_a_class_in_python(world: World) -> None:
    done: list[Any] = []

    class Mine(world.module.TaskGroup):  # type: ignore[name-defined, misc]
        def _on_task_done(self, task: Any) -> None:
            done.append(task)
            super()._on_task_done(task)

        def create_task(self, coro: Any, **kwargs: Any) -> Any:
            task = super().create_task(coro, **kwargs)
            task.mine = True
            return task

    async def main() -> None:
        group = world.module.TaskGroup()
        group.mine = 1
        assert vars(group)["mine"] == 1
        assert weakref.ref(group)() is group
        async with Mine() as group:
            task = group.create_task(give())
        assert done == [task]

    class_ = world.module.TaskGroup
    assert class_.__name__ == "TaskGroup" and class_.__module__.endswith("taskgroups")
    assert inspect.iscoroutinefunction(class_.__aenter__)
    assert inspect.iscoroutinefunction(class_.__aexit__)
    if world.Task is asyncio.Task or world.shares_layout:
        run(world, main)


# --- Used wrongly ------------------------------------------------------------------


def test_before_and_after_its_block_it_makes_no_task(world: World) -> None:
    async def refused(group: Any, message: str) -> None:
        coroutine = give()
        try:
            with pytest.raises(RuntimeError, match=message):
                group.create_task(coroutine)
        finally:
            coroutine.close()

    async def main() -> None:
        group = world.module.TaskGroup()
        await refused(group, "has not been entered")
        async with group:
            with pytest.raises(RuntimeError, match=r"has (been already|already been) entered"):
                await group.__aenter__()
        await refused(group, "is finished")
        with pytest.raises(RuntimeError, match=r"has (been already|already been) entered"):
            async with group:
                pass
        with pytest.raises(ExceptionGroup):
            async with world.module.TaskGroup() as group:
                group.create_task(give(ValueError(1)))
                try:
                    await pause(5)
                finally:
                    await refused(group, "is shutting down")

    run(world, main)


def test_a_coroutine_that_is_refused_is_closed_where_asyncio_does(world: World) -> None:
    async def states(module: Any) -> list[str]:
        found = []
        new, finished = module.TaskGroup(), module.TaskGroup()
        async with finished:
            pass
        for group in (new, finished):
            coroutine = give()
            with pytest.raises(RuntimeError):
                group.create_task(coroutine)
            found.append(inspect.getcoroutinestate(coroutine))
            coroutine.close()
        return found

    async def main() -> None:
        assert await states(world.module) == await states(asyncio)

    run(world, main)


def test_wrong_arguments_are_type_errors(world: World) -> None:
    async def main() -> None:
        with pytest.raises(TypeError):
            world.module.TaskGroup(1)
        async with world.module.TaskGroup() as group:
            for call in (
                lambda: group.create_task(),
                lambda: group.create_task(42),
                lambda: group.create_task(int, int),
                lambda: group.create_task(asyncio.Future()),
            ):
                assert isinstance(raised(call), TypeError)
            coroutine = give()
            assert isinstance(raised(lambda: group.create_task(coroutine, nonsense=1)), TypeError)
            coroutine.close()
            assert group._tasks == set()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(world, main)
        gc.collect()


def test_outside_of_a_task_there_is_no_parent(world: World, loop: Any) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        world.module.TaskGroup().__aenter__().send(None)
    seen: list[BaseException] = []
    group = world.module.TaskGroup()
    loop.call_soon(lambda: seen.append(raised(lambda: group.__aenter__().send(None))))
    world.turn(loop)
    assert "cannot determine the parent task" in str(seen[0])


# --- A group in which something fails -----------------------------------------------


def test_the_first_failure_cancels_all_and_comes_out(world: World) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with world.module.TaskGroup() as group:
                others = [group.create_task(give(None, 50)) for _ in range(3)]
                group.create_task(give(ValueError(1), 1))
                await asyncio.get_running_loop().create_future()
        assert all(task.cancelled() for task in others)
        assert str(caught.value) == "unhandled errors in a TaskGroup (1 sub-exception)"
        assert [repr(error) for error in caught.value.exceptions] == ["ValueError(1)"]
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0

    run(world, main)


def test_exits_come_out_alone(world: World) -> None:
    for wrong in (SystemExit(3), KeyboardInterrupt()):

        async def main(wrong: BaseException = wrong) -> None:
            async with world.module.TaskGroup() as group:
                group.create_task(give(None, 3))
                if wrong.args:
                    raise wrong
                group.create_task(give(None, 5))
                raise wrong

        with pytest.raises(type(wrong)):
            run(world, main)


def test_a_failure_in_debug_mode_and_with_other_loops(world: World) -> None:
    class Loop(world.EventLoop):  # type: ignore[name-defined, misc]
        def create_task(self, coro: Any, **kwargs: Any) -> Any:
            made.append(kwargs)
            return super().create_task(coro, **kwargs)

    made: list[Any] = []

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(ExceptionGroup):
                async with world.module.TaskGroup() as group:
                    group.create_task(give(1, 1))
                    group.create_task(give(KeyError(1), 1), name="named")
            asyncio.get_running_loop().set_debug(True)

    loop = Loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert len(made) in (4, 5)


def test_an_error_after_the_parent_is_gone_is_reported(world: World, loop: Any) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        group = world.module.TaskGroup()
        await group.__aenter__()
        group.create_task(give(ValueError("late"), 2))

    loop.run_until_complete(main())
    world.turn(loop, 5)
    assert ["late" in str(report["exception"]) for report in reports] == [True]
    assert "parent task" in reports[0]["message"]


@pytest.mark.skipif(not LINKS, reason="nobody knows who awaits whom")
def test_the_parent_awaits_the_tasks(world: World) -> None:
    async def main() -> None:
        parent = asyncio.current_task()
        async with world.module.TaskGroup() as group:
            task = group.create_task(give(None, 1))
            slow = group.create_task(give(None, 4))
            assert task._asyncio_awaited_by == {parent}
            await task
            await pause(2)
            assert not task._asyncio_awaited_by
        assert not slow._asyncio_awaited_by

    run(world, main)


def test_a_group_leaves_no_cycle(world: World) -> None:
    async def main() -> None:
        async with world.module.TaskGroup() as group:
            tasks = [group.create_task(give(n, n)) for n in range(3)]
        seen = [weakref.ref(group), *map(weakref.ref, tasks)]
        del group, tasks
        await pause()
        assert [each() for each in seen] == [None] * 4

    gc.collect()
    gc.disable()
    try:
        run(world, main)
    finally:
        gc.enable()


# --- Whoever is cancelled when -----------------------------------------------------


def block(scene: Scene) -> Callable[[], object]:
    """Groups with tasks that end well, fail, are stubborn, and are cancelled by hand."""
    groups: list[Any] = []

    async def child(name: str, turns: int, stubborn: int, result: object) -> object:
        try:
            await pause(turns)
        except asyncio.CancelledError as error:
            scene.tell(name, f"cancelled: {error!r}")
            await pause(stubborn)
            if stubborn == 2:
                raise KeyError(name) from None
            if stubborn:
                return result
            raise
        if isinstance(result, BaseException):
            raise result
        return result

    async def use(name: str, waits: int, *children: Any) -> object:
        told: list[Any] = []
        try:
            async with scene.module.TaskGroup() as group:
                groups.append(group)
                for number, (turns, stubborn, result) in enumerate(children):
                    label = f"{name}{number}"
                    made = child(label, turns, stubborn, result)
                    told.append(group.create_task(made, name=label))
                try:
                    await pause(waits)
                finally:
                    scene.tell(name, group)
                late = group.create_task(child(f"{name} late", 2, 0, "late"))
                told.append(late)
            return "well"
        except* (ValueError, KeyError) as error:
            scene.tell(name, explained(error))
        finally:
            scene.tell(name, group)
            scene.tell(name, [task.cancelled() for task in told])
            scene.tell(name, asyncio.current_task().cancelling())  # type: ignore[union-attr]
            await pause()
        return "failed"

    scene.start("a", use, "a", 2, (3, 0, 1), (5, 0, 2), (0, 0, 3))
    scene.start("b", use, "b", 6, (3, 0, ValueError("b")), (9, 1, 2), (9, 2, 3))
    scene.start("c", use, "c", 1, (4, 2, ValueError("c")), (4, 0, ValueError("c2")), (3, 1, 4))

    async def meddle() -> None:
        for turns, number in ((2, 0), (3, 1), (4, 1)):
            await pause(turns)
            for group in groups:
                tasks = sorted(group._tasks, key=lambda task: task.get_name())
                if len(tasks) > number:
                    scene.tell("meddler", tasks[number].cancel("meddled"))

    scene.start("m", meddle)
    return lambda: [(g._tasks, g._aborting, g._parent_cancel_requested) for g in groups]


def nested(scene: Scene) -> Callable[[], object]:
    """A group in a group in a timeout, and a parent that is cancelled by its own task."""

    async def inner(name: str, turns: int) -> str:
        async with scene.module.TaskGroup() as group:
            group.create_task(pause(turns))
            group.create_task(pause(turns + 2))
            scene.tell(name, len(group._tasks))
            if turns == 2:
                await pause(1)
                raise ValueError(name)
        return name

    async def outer(name: str, limit: float | None, cancels: bool) -> object:
        me = asyncio.current_task()
        assert me is not None
        try:
            async with scene.module.timeout(limit):
                async with scene.module.TaskGroup() as group:
                    first = group.create_task(inner(f"{name}1", 3))
                    second = group.create_task(inner(f"{name}2", 2 if cancels else 4))
                    if cancels:
                        scene.loop.call_soon(me.cancel, "by hand")
                    await pause(1)
            return first.result(), second.result()
        except* (ValueError, TimeoutError) as error:
            scene.tell(name, explained(error))
        finally:
            scene.tell(name, me.cancelling())
        await pause()
        return "caught"

    scene.start("a", outer, "a", None, False)
    scene.start("b", outer, "b", 4.0, False)
    scene.start("c", outer, "c", 9.0, True)
    return lambda: len(asyncio.all_tasks(scene.loop))


@pytest.mark.slow
@pytest.mark.parametrize("scene", [block, nested], ids=lambda scene: scene.__name__)
def test_whoever_is_cancelled_the_story_is_asyncios(world: World, scene: Any) -> None:
    compare_everywhere(world, scene)


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 12), reason="no task starts eagerly")
@pytest.mark.parametrize("scene", [block, nested], ids=lambda scene: scene.__name__)
def test_the_same_with_tasks_that_start_eagerly(world: World, scene: Any) -> None:
    compare_everywhere(world, scene, eager=True)
