"""run_in_executor and the default executor's life."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import logging
import sys
import threading
from typing import Any

import pytest
from conftest import Log, World


@pytest.fixture
def joined(loop: Any) -> Any:
    """Joins the default executor's threads when the test is over."""
    yield
    loop.run_until_complete(loop.shutdown_default_executor())


def test_a_function_runs_in_another_thread(world: World, loop: Any, joined: None) -> None:
    def work(*args: object) -> tuple[object, ...]:
        return threading.current_thread(), threading.current_thread().name, args

    thread, name, args = loop.run_until_complete(loop.run_in_executor(None, work, 1, "two"))
    assert thread is not threading.current_thread()
    assert name.startswith("asyncio_")
    assert args == (1, "two")


def test_the_result_is_a_future_of_the_loop(world: World, loop: Any, joined: None) -> None:
    future = loop.run_in_executor(None, int, "5")
    assert asyncio.isfuture(future) and world.isfuture(future)
    assert future.get_loop() is loop
    assert loop.run_until_complete(future) == 5


class Escaping(BaseException):
    pass


@pytest.mark.parametrize("kind", [LookupError, Escaping])
def test_an_exception_comes_back(
    world: World, loop: Any, joined: None, kind: type[BaseException]
) -> None:
    def fail() -> None:
        raise kind("there")

    with pytest.raises(kind, match=r"^there$"):
        loop.run_until_complete(loop.run_in_executor(None, fail))


def test_an_executor_may_be_given(world: World, loop: Any) -> None:
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
        future = loop.run_in_executor(executor, lambda: threading.current_thread().name)
        assert loop.run_until_complete(future).startswith("mine")


def test_many_functions_all_come_back(world: World, loop: Any, joined: None) -> None:
    async def main() -> list[int]:
        return await asyncio.gather(
            *(loop.run_in_executor(None, lambda n: n * n, n) for n in range(200))
        )

    assert loop.run_until_complete(main()) == [n * n for n in range(200)]


def test_a_function_that_has_not_begun_can_be_cancelled(world: World, loop: Any) -> None:
    seen: list[str] = []
    release = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        running = loop.run_in_executor(executor, release.wait)
        waiting = loop.run_in_executor(executor, seen.append, "never")
        assert waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(waiting)
        release.set()
        assert loop.run_until_complete(running) is True
    assert seen == []


def test_the_default_executor_may_be_set(world: World, loop: Any) -> None:
    executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine")
    loop.set_default_executor(executor)
    future = loop.run_in_executor(None, lambda: threading.current_thread().name)
    assert loop.run_until_complete(future).startswith("mine")
    loop.run_until_complete(loop.shutdown_default_executor())
    with pytest.raises(RuntimeError, match=r"^cannot schedule new futures after shutdown$"):
        executor.submit(int)


@pytest.mark.parametrize("thing", [None, 5, "executor", object(), threading.Thread])
def test_the_default_executor_must_be_of_threads(world: World, loop: Any, thing: object) -> None:
    text = r"^executor must be ThreadPoolExecutor instance$"
    with pytest.raises(TypeError, match=text):
        loop.set_default_executor(thing)


def test_after_the_shutdown_the_default_executor_is_gone(world: World, loop: Any) -> None:
    seen: list[str] = []
    release = threading.Event()

    def work() -> None:
        release.wait()
        seen.append("done")

    future = loop.run_in_executor(None, work)
    loop.call_soon(release.set)
    assert loop.run_until_complete(loop.shutdown_default_executor()) is None
    # The shutdown waits for what runs.
    assert seen == ["done"]
    with pytest.raises(RuntimeError, match=r"^Executor shutdown has been called$"):
        loop.run_in_executor(None, int)
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert loop.run_until_complete(loop.run_in_executor(executor, int)) == 0
    loop.run_until_complete(future)


def test_a_shutdown_without_an_executor_is_quiet(world: World, loop: Any) -> None:
    assert loop.run_until_complete(loop.shutdown_default_executor()) is None
    assert loop.run_until_complete(loop.shutdown_default_executor()) is None


@pytest.mark.skipif(sys.version_info < (3, 13), reason="3.12 waits on; 3.11 knows no timeout")
def test_a_shutdown_gives_up_after_its_timeout(world: World, loop: Any) -> None:
    release = threading.Event()
    future = loop.run_in_executor(None, release.wait)
    text = r"^The executor did not finishing joining its threads within 0.01 seconds.$"
    with pytest.warns(RuntimeWarning, match=text):
        loop.run_until_complete(loop.shutdown_default_executor(timeout=0.01))
    release.set()
    assert loop.run_until_complete(future) is True


def test_closing_the_loop_shuts_the_executor_down_without_waiting(world: World) -> None:
    loop = world.new_event_loop()
    executor = concurrent.futures.ThreadPoolExecutor(1)
    loop.set_default_executor(executor)
    release = threading.Event()
    loop.run_in_executor(None, release.wait)
    loop.close()
    with pytest.raises(RuntimeError, match=r"^cannot schedule new futures after shutdown$"):
        executor.submit(int)
    release.set()
    executor.shutdown(wait=True)


def test_a_result_that_comes_after_the_close_disturbs_nobody(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    loop = world.new_event_loop()
    executor = concurrent.futures.ThreadPoolExecutor(1)
    release = threading.Event()
    future = loop.run_in_executor(executor, release.wait)
    loop.close()
    release.set()
    executor.shutdown(wait=True)
    del future
    gc.collect()
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_in_debug_mode_what_cannot_run_is_refused(world: World, loop: Any) -> None:
    async def coroutine() -> None: ...

    loop.set_debug(True)
    with pytest.raises(TypeError, match=r"^coroutines cannot be used with run_in_executor\(\)$"):
        loop.run_in_executor(None, coroutine)
    text = r"^a callable object was expected by run_in_executor\(\), got 5$"
    with pytest.raises(TypeError, match=text):
        loop.run_in_executor(None, 5)


def test_out_of_debug_mode_it_fails_in_the_thread(world: World, loop: Any, joined: None) -> None:
    with pytest.raises(TypeError, match=r"^'int' object is not callable$"):
        loop.run_until_complete(loop.run_in_executor(None, 5))


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_to_thread_takes_the_context_along(world: World) -> None:
    async def main() -> tuple[str, str]:
        variable.set("mine")
        with_context = await asyncio.to_thread(variable.get)
        loop = asyncio.get_running_loop()
        return with_context, await loop.run_in_executor(None, variable.get)

    assert world.run(main()) == ("mine", "unset")


def test_run_waits_for_the_default_executor(world: World) -> None:
    seen: list[str] = []
    release = threading.Event()

    def work() -> None:
        release.wait()
        seen.append("done")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, work)
        loop.run_in_executor(None, release.set)

    world.run(main())
    assert seen == ["done"]


def test_an_executor_of_ones_own_needs_only_submit(world: World, loop: Any) -> None:
    class Inline(concurrent.futures.Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            future: concurrent.futures.Future[Any] = concurrent.futures.Future()
            future.set_result(fn(*args, **kwargs))
            return future

    assert loop.run_until_complete(loop.run_in_executor(Inline(), int, "7")) == 7


def test_a_broken_executor_is_heard(world: World, loop: Any, logged: Log) -> None:
    class Broken(concurrent.futures.Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            raise LookupError("no room")

    with pytest.raises(LookupError, match=r"^no room$"):
        loop.run_in_executor(Broken(), int)
    assert logged.texts() == []


class ByHand(concurrent.futures.Executor):
    """Its jobs are settled by the test."""

    def __init__(self) -> None:
        self.jobs: list[concurrent.futures.Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        self.jobs.append(concurrent.futures.Future())
        return self.jobs[-1]


@pytest.mark.parametrize(
    ("theirs", "kind"),
    [
        (concurrent.futures.CancelledError, asyncio.CancelledError),
        (concurrent.futures.InvalidStateError, asyncio.InvalidStateError),
        (concurrent.futures.TimeoutError, asyncio.TimeoutError),
    ],
)
def test_an_exception_of_futures_comes_back_as_asyncios(
    world: World, loop: Any, theirs: Any, kind: Any
) -> None:
    executor = ByHand()
    future = loop.run_in_executor(executor, int)
    executor.jobs[0].set_exception(theirs("word"))
    with pytest.raises(kind) as caught:
        loop.run_until_complete(future)
    assert type(caught.value) is kind
    assert caught.value.args == ("word",)


def test_a_job_that_its_executor_cancels_cancels_the_future(world: World, loop: Any) -> None:
    executor = ByHand()
    future = loop.run_in_executor(executor, int)
    executor.jobs[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(future)
    assert future.cancelled()


def test_a_cancelled_future_cancels_its_job_a_turn_later(world: World, loop: Any) -> None:
    executor = ByHand()
    future = loop.run_in_executor(executor, int)
    future.cancel()
    assert not executor.jobs[0].cancelled()
    world.turn(loop)
    assert executor.jobs[0].cancelled()
    # What the job tells then finds nobody.
    world.turn(loop, 2)
    assert future.cancelled()


def test_the_outcome_takes_a_turn_to_arrive(world: World, loop: Any) -> None:
    executor = ByHand()
    future = loop.run_in_executor(executor, int)
    executor.jobs[0].set_result("done")
    assert not future.done()
    world.turn(loop)
    assert future.result() == "done"


def test_an_outcome_for_a_future_that_was_settled_by_hand_is_heard_of(
    world: World, loop: Any, logged: Log
) -> None:
    executor = ByHand()
    future = loop.run_in_executor(executor, int)
    future.set_result("by hand")
    executor.jobs[0].set_result("done")
    world.turn(loop, 2)
    assert future.result() == "by hand"
    assert len(logged.records) == 1


def test_a_job_that_ends_after_the_loop_disturbs_nobody(world: World) -> None:
    loop = world.new_event_loop()
    executor = ByHand()
    cancelled = loop.run_in_executor(executor, int)
    left = loop.run_in_executor(executor, int)
    cancelled.cancel()
    loop.close()
    for job in executor.jobs:
        job.set_result("late")
    assert not left.done()
