"""Who awaits whom: the links that asyncio keeps since 3.14, and the graphs it draws of them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import itertools
import re
import sys
import weakref
from typing import Any

import pytest
from task_tools import finish, raised

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="asyncio draws call graphs since 3.14"
)


def awaited_by(future: Any) -> Any:
    return future._asyncio_awaited_by


def names(future: Any) -> set[str]:
    return {each.get_name() for each in awaited_by(future) or ()}


def test_a_future_that_nobody_awaits_says_so(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    task = loop.create_task(world.sleep(0))
    assert awaited_by(future) is None
    assert awaited_by(task) is None
    assert type(raised(lambda: setattr(future, "_asyncio_awaited_by", None))) is AttributeError
    loop.run_until_complete(task)


def test_a_waiting_task_is_linked_and_unlinked(world: Any, loop: Any) -> None:
    async def main() -> None:
        await future

    future = loop.create_future()
    task = loop.create_task(main())
    world.turn(loop)
    links = awaited_by(future)
    assert type(links) is frozenset
    assert links == {task}
    future.set_result(None)
    # The link goes when the task wakes, not when the future is settled.
    assert awaited_by(future) == {task}
    world.turn(loop)
    assert not awaited_by(future)
    assert task.done()


def test_several_waiting_tasks_are_linked(world: Any, loop: Any) -> None:
    async def main() -> None:
        await future

    future = loop.create_future()
    tasks = [loop.create_task(main()) for _ in range(5)]
    for _ in tasks:
        world.turn(loop)
    assert awaited_by(future) == set(tasks)
    tasks[2].cancel()
    world.turn(loop)
    assert not awaited_by(future) or tasks[2] not in awaited_by(future)
    world.turn(loop, 2)
    assert not awaited_by(future)


def test_one_of_several_waiting_tasks_leaves(world: Any, loop: Any) -> None:
    async def main() -> None:
        await asyncio.shield(future)

    async def direct() -> None:
        await future

    future = loop.create_future()
    shielded = loop.create_task(main(), name="shielded")
    waiting = loop.create_task(direct(), name="direct")
    world.turn(loop, 2)
    assert names(future) == {"shielded", "direct"}
    shielded.cancel()
    world.turn(loop, 3)
    assert names(future) == {"direct"}
    future.set_result(None)
    world.turn(loop)
    assert waiting.done()
    assert not awaited_by(future)


def test_a_chain_of_tasks_is_linked(world: Any, loop: Any) -> None:
    tasks: list[Any] = []

    async def chain(depth: int) -> None:
        tasks.append(asyncio.current_task())
        if depth:
            await loop.create_task(chain(depth - 1))
        else:
            await future

    future = loop.create_future()
    outermost = loop.create_task(chain(3))
    world.turn(loop, 5)
    assert awaited_by(future) == {tasks[-1]}
    for outer, inner in itertools.pairwise(tasks):
        assert awaited_by(inner) == {outer}
    assert not awaited_by(outermost)
    finish(loop, outermost)
    world.turn(loop, 4)
    assert not any(awaited_by(each) for each in tasks)


@pytest.mark.parametrize("tool", ["gather", "wait", "wait_for", "shield", "TaskGroup"])
@pytest.mark.parametrize("whose", ["asyncio's", "the world's"])
def test_the_tools_link_their_waiters(world: Any, loop: Any, tool: str, whose: str) -> None:
    tools = asyncio if whose == "asyncio's" else world.module

    async def child() -> None:
        await future

    async def main() -> None:
        if tool == "TaskGroup":
            async with tools.TaskGroup() as group:
                tasks.append(group.create_task(child()))
            return
        tasks.append(loop.create_task(child()))
        if tool == "gather":
            await tools.gather(*tasks)
        elif tool == "wait":
            await tools.wait(tasks)
        elif tool == "wait_for":
            await tools.wait_for(tasks[0], 10)
        else:
            await tools.shield(tasks[0])

    tasks: list[Any] = []
    future = loop.create_future()
    task = loop.create_task(main(), name="main")
    world.turn(loop, 3)
    assert "main" in names(tasks[0])
    future.set_result(None)
    loop.run_until_complete(task)
    assert not awaited_by(tasks[0])


@pytest.mark.parametrize("ending", ["result", "cancelled inside", "cancelled outside"])
def test_a_shield_links_its_caller_as_long_as_it_awaits(world: Any, loop: Any, ending: str) -> None:
    async def main() -> None:
        shields.append(world.module.shield(inner))
        assert awaited_by(inner) == {asyncio.current_task()}
        with contextlib.suppress(asyncio.CancelledError):
            await shields[0]

    shields: list[Any] = []
    inner = loop.create_future()
    task = loop.create_task(main())
    world.turn(loop, 2)
    assert awaited_by(inner) == {task}
    assert awaited_by(shields[0]) == {task}
    if ending == "result":
        inner.set_result(None)
    else:
        (inner if ending == "cancelled inside" else task).cancel()
    loop.run_until_complete(task)
    assert not awaited_by(shields[0])
    assert not awaited_by(inner)


def test_a_shield_outside_of_any_task_links_nobody(world: Any, loop: Any) -> None:
    inner = loop.create_future()
    outer = world.module.shield(inner)
    assert not awaited_by(inner)
    assert "_clear_awaited_by_callback" not in repr(inner)
    inner.set_result(1)
    assert loop.run_until_complete(outer) == 1


def test_links_are_added_and_discarded_by_hand(world: Any, loop: Any) -> None:
    add, discard = (
        asyncio.future_add_to_awaited_by,
        asyncio.future_discard_from_awaited_by,
    )
    future = world.Future(loop=loop)
    waiters = [world.Future(loop=loop) for _ in range(4)]
    discard(future, waiters[0])
    assert not awaited_by(future)
    for count, waiter in enumerate(waiters, 1):
        add(future, waiter)
        add(future, waiter)
        assert awaited_by(future) == set(waiters[:count])
    for count, waiter in enumerate(waiters, 1):
        discard(future, waiter)
        discard(future, waiter)
        assert (awaited_by(future) or frozenset()) == set(waiters[count:])
    add(future, waiters[2])
    assert awaited_by(future) == {waiters[2]}


def test_links_to_what_is_no_future_are_ignored(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    for other in (None, 5, object()):
        assert asyncio.future_add_to_awaited_by(future, other) is None
        assert asyncio.future_add_to_awaited_by(other, future) is None
        assert asyncio.future_discard_from_awaited_by(future, other) is None
    assert awaited_by(future) is None


def test_links_between_futures_of_all_kinds(world: Any, loop: Any) -> None:
    ours, theirs = world.Future(loop=loop), asyncio.futures._CFuture(loop=loop)
    asyncio.future_add_to_awaited_by(ours, theirs)
    asyncio.future_add_to_awaited_by(theirs, ours)
    assert awaited_by(ours) == {theirs}
    # On a layout of our own the two kinds are strangers, and nobody can put a link into a future of
    # asyncio's, nor does C code put one into ours when a task of asyncio's awaits it.
    assert awaited_by(theirs) == ({ours} if world.shares_layout else None)
    asyncio.future_discard_from_awaited_by(ours, theirs)
    asyncio.future_discard_from_awaited_by(theirs, ours)

    async def main(future: Any) -> None:
        await future

    for future in (ours, theirs):
        tasks = [
            loop.create_task(main(future)),
            asyncio.tasks._CTask(main(future), loop=loop),
            loop.create_task(main(future)),
        ]
        world.turn(loop)
        linked = tasks
        if not world.shares_layout:
            linked = [tasks[1]] if future is theirs else [tasks[0], tasks[2]]
        assert awaited_by(future) == set(linked)
        future.set_result(None)
        world.turn(loop)
        assert not awaited_by(future)
        assert all(each.done() for each in tasks)


def test_the_functions_that_link_take_two_futures(world: Any, loop: Any) -> None:
    future = world.Future(loop=loop)
    for function in (asyncio.future_add_to_awaited_by, asyncio.future_discard_from_awaited_by):
        name = function.__name__
        for args in ((), (future,), (future,) * 3):
            message = str(raised(lambda function=function, args=args: function(*args)))
            assert message == f"{name} expected 2 arguments, got {len(args)}"
        error = raised(lambda function=function: function(fut=future, waiter=future))
        assert str(error) == f"_asyncio.{name}() takes no keyword arguments"


def test_a_subclass_is_linked_too(world: Any, loop: Any) -> None:
    class Promise(world.Future):
        pass

    class Job(world.Task):
        pass

    async def main() -> None:
        await promise

    promise = Promise(loop=loop)
    job = Job(main(), loop=loop)
    world.turn(loop)
    assert awaited_by(promise) == {job}
    promise.set_result(None)
    world.turn(loop)
    assert not awaited_by(promise)


def test_an_eager_task_is_linked_to_what_it_waits_for(world: Any, loop: Any) -> None:
    async def inner() -> None:
        await future

    async def main() -> Any:
        task = world.Task(inner(), loop=loop, eager_start=True)
        assert awaited_by(future) == {task}
        loop.call_soon(future.set_result, None)
        await task
        return awaited_by(task)

    future = loop.create_future()
    assert not loop.run_until_complete(main())
    assert not awaited_by(future)


def test_links_keep_no_cycle_alive_that_the_collector_finds(world: Any, loop: Any) -> None:
    first, second = world.Future(loop=loop), world.Future(loop=loop)
    third = world.Future(loop=loop)
    for one, other in ((first, second), (second, first), (first, third), (third, third)):
        asyncio.future_add_to_awaited_by(one, other)
    watched = [weakref.ref(each) for each in (first, second, third)]
    del first, second, third, one, other
    gc.collect()
    assert [each() for each in watched] == [None] * 3


def test_a_cancelled_waiter_s_link_goes_when_it_wakes(world: Any, loop: Any) -> None:
    async def main() -> None:
        await future

    future = loop.create_future()
    task = loop.create_task(main())
    world.turn(loop)
    task.cancel()
    world.turn(loop)
    assert task.cancelled()
    assert not awaited_by(future)


def test_the_graph_of_the_current_task(world: Any, loop: Any) -> None:
    async def inner() -> Any:
        return asyncio.capture_call_graph()

    async def middle() -> Any:
        return await inner()

    async def outer() -> Any:
        task = loop.create_task(middle(), name="middle")
        return await task

    graph = loop.run_until_complete(loop.create_task(outer(), name="outer"))
    assert graph.future.get_name() == "middle"
    assert [each.frame.f_code.co_name for each in graph.call_stack][:2] == ["inner", "middle"]
    assert [each.future.get_name() for each in graph.awaited_by] == ["outer"]
    del graph


def test_the_graph_of_a_suspended_task(world: Any, loop: Any) -> None:
    async def inner() -> None:
        await future

    async def middle() -> None:
        await inner()

    async def outer(task: Any) -> None:
        await task

    future = loop.create_future()
    task = loop.create_task(middle(), name="middle")
    outers = [loop.create_task(outer(task), name=name) for name in ("a", "b")]
    world.turn(loop, 2)
    graph = asyncio.capture_call_graph(task)
    assert graph.future is task
    assert [each.frame.f_code.co_name for each in graph.call_stack] == ["inner", "middle"]
    assert sorted(each.future.get_name() for each in graph.awaited_by) == ["a", "b"]
    assert all(
        [frame.frame.f_code.co_name for frame in each.call_stack] == ["outer"]
        for each in graph.awaited_by
    )
    graph = asyncio.capture_call_graph(future)
    assert graph.future is future
    assert graph.call_stack == ()
    assert [each.future for each in graph.awaited_by] == [task]
    del graph
    future.set_result(None)
    for each in outers:
        loop.run_until_complete(each)


def test_the_printed_graph(world: Any, loop: Any) -> None:
    async def inner() -> None:
        await future

    async def outer() -> None:
        async with asyncio.TaskGroup() as group:
            tasks.append(group.create_task(inner(), name="inner"))

    tasks: list[Any] = []
    future = loop.create_future()
    task = loop.create_task(outer(), name="outer")
    world.turn(loop, 2)
    out = io.StringIO()
    asyncio.print_call_graph(tasks[0], file=out)
    text = out.getvalue()
    assert re.match(r"\* Task\(name='inner', id=0x[0-9a-f]+\)\n  \+ Call stack:\n", text), text
    assert "in async test_the_printed_graph.<locals>.inner()" in text
    assert re.search(r"  \+ Awaited by:\n +\* Task\(name='outer', id=0x", text), text
    assert "in async TaskGroup.__aexit__()" in text
    text = asyncio.format_call_graph(future)
    assert text.startswith("* Future(id=0x")
    assert "* Task(name='inner'" in text
    assert asyncio.format_call_graph(task, limit=0).count("Call stack") == 0
    future.set_result(None)
    loop.run_until_complete(task)


def test_the_graph_from_a_callback_and_from_outside(world: Any, loop: Any) -> None:
    seen: list[Any] = []
    loop.call_soon(lambda: seen.append(asyncio.capture_call_graph()))
    world.turn(loop)
    assert seen == [None]
    error = raised(asyncio.capture_call_graph)
    assert type(error) is RuntimeError
    assert "outside of a running event loop" in str(error)
    assert type(raised(lambda: asyncio.capture_call_graph(5))) is TypeError
    assert asyncio.capture_call_graph(world.Future(loop=loop)).awaited_by == ()


def test_the_graph_after_everything_is_over_is_empty(world: Any, loop: Any) -> None:
    async def main() -> None:
        await asyncio.gather(world.sleep(0), world.sleep(0))

    task = loop.create_task(main())
    loop.run_until_complete(task)
    graph = asyncio.capture_call_graph(task)
    assert graph.call_stack == ()
    assert graph.awaited_by == ()


def test_a_thousand_waiters_come_and_go(world: Any, loop: Any) -> None:
    async def main() -> None:
        await future

    future = loop.create_future()
    tasks = [loop.create_task(main()) for _ in range(1000)]
    world.turn(loop)
    assert awaited_by(future) == set(tasks)
    for task in tasks[::2]:
        finish_waiting = task._fut_waiter
        assert finish_waiting is future
    future.set_result(None)
    world.turn(loop)
    assert not awaited_by(future)
    assert all(each.done() for each in tasks)
