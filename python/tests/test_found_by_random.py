"""Programs that once did something else on batonloop, found by test_random_programs.py."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from conftest import Outcome, chosen_worlds
from random_programs import worlds
from random_programs.comparison import compare

pytestmark = pytest.mark.skipif(
    "batonloop" not in chosen_worlds(), reason="only stock asyncio is wanted"
)
eager = pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks before 3.12")


def do_the_same(text: str) -> None:
    compare(text, worlds.stock(), worlds.batonloop())


def test_an_error_raised_while_another_is_handled_has_that_for_its_context() -> None:
    do_the_same("""
f0 = loop.create_future()
f1 = loop.create_future()
f1.cancel('cancelled')
f2 = loop.create_future()
f2.set_exception(ValueError('failed'))

@body
async def main():
    try:
        raise KeyError('handled')
    except KeyError:
        for function in f0.result, f0.exception, f1.result, f1.exception, f2.result:
            attempt(function)
        attempt(f2.set_result, 1)
        attempt(f2.set_exception, 1)
        attempt(asyncio.current_task().set_result, 1)
        attempt(asyncio.Task, 1, loop=loop)
        for future in f1, f2, foreign():
            try:
                await future
            except BaseException as error:
                log(error)

run_until_complete(main())
""")


def test_a_second_wait_for_a_cancelled_future_keeps_the_first_cancellation_as_context() -> None:
    do_the_same("""
f0 = loop.create_future()

@body
async def main():
    loop.call_soon(f0.cancel, 'the reason')
    try:
        await f0
    except asyncio.CancelledError as error:
        log(error)
        try:
            await f0
        except asyncio.CancelledError as again:
            log(again)

run_until_complete(main())
""")


@eager
def test_an_eager_task_started_by_a_task_of_asyncio_is_the_current_one() -> None:
    do_the_same("""
t1 = t2 = f0 = loop.create_future()

@body
async def c2():
    log(asyncio.current_task())
    await asyncio.sleep(0)
    log(asyncio.current_task())

@body
async def c1():
    global t2
    log(asyncio.current_task())
    t2 = asyncio.Task(c2(), loop=loop, eager_start=True)
    log(asyncio.current_task())
    await asyncio.sleep(0)
    log(asyncio.current_task())

@body
async def main():
    global t1
    t1 = StockTask(c1(), loop=loop)
    await t1
    await t2

run_until_complete(main())
""")


@pytest.mark.parametrize("settle", ["set_result", "cancel"])
def test_the_outcome_of_a_thread_comes_too_late(settle: str) -> None:
    do_the_same(f"""
g1 = loop.create_future()

@body
async def main():
    global g1
    g1 = loop.run_in_executor(None, int, 'x')
    loop.call_later(soon(1), g1.{settle}, 'at last')
    await asyncio.sleep(soon(5))

run_until_complete(main())
""")


def test_to_cancel_tasks_that_wait_for_each_other_is_a_recursion_error(
    run_program: Callable[..., Outcome],
) -> None:
    # No program of the generator may do this: what asyncio does then depends on the stack.
    done = run_program(
        """
        import asyncio, os

        tasks = {}

        async def wait_for(name):
            await tasks[name]

        async def main():
            tasks["a"] = asyncio.create_task(wait_for("b"))
            tasks["b"] = asyncio.create_task(wait_for("a"))
            await asyncio.sleep(0)
            try:
                tasks["a"].cancel()
            except RecursionError:
                print("too deep", flush=True)
            os._exit(0)

        asyncio.run(main())
        """,
        timeout=10,
    )
    assert done.out == "too deep\n"
