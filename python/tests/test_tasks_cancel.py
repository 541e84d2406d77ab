"""Cancelling tasks: who is asked, when the error arrives, and what may be done about it."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import pytest
from task_tools import PY, Pause, finish, gather_reports, passes_apart, raised


async def swallows(future: Any, log: list[Any]) -> str:
    while True:
        try:
            return await future
        except asyncio.CancelledError as error:
            log.append(error.args)


def test_a_new_task_is_asked_for_no_cancellation(world: Any, loop: Any) -> None:
    task = loop.create_task(world.sleep(0))
    assert task.cancelling() == 0
    assert task._must_cancel is False
    assert not task.cancelled()
    loop.run_until_complete(task)


@pytest.mark.parametrize(
    ("args", "expected"),
    [((), ()), ((None,), ()), (("why",), ("why",)), ((5,), (5,)), (((1, 2),), ((1, 2),))],
    ids=repr,
)
def test_cancelling_a_waiting_task_throws_the_error_with_its_message(
    world: Any, loop: Any, args: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    async def main() -> None:
        try:
            await loop.create_future()
        except asyncio.CancelledError as error:
            seen.append(error.args)
            raise

    seen: list[Any] = []
    task = loop.create_task(main())
    world.turn(loop)
    future = task._fut_waiter
    assert task.cancel(*args) is True
    # At once it is the future that is cancelled, and nothing else yet.
    assert future.cancelled()
    assert not task.done()
    assert not task.cancelled()
    assert task.cancelling() == 1
    assert task._must_cancel is False
    assert seen == []
    world.turn(loop)
    assert seen == [expected]
    assert task.cancelled()
    assert task._state == "CANCELLED"
    error = raised(task.result)
    assert type(error) is asyncio.CancelledError
    assert error.args == expected
    assert type(raised(task.exception)) is asyncio.CancelledError


def test_the_message_may_be_given_by_name(world: Any, loop: Any) -> None:
    task = loop.create_task(world.sleep(10))
    assert task.cancel(msg="named") is True
    assert type(raised(lambda: task.cancel(message="x"))) is TypeError
    assert type(raised(lambda: task.cancel("a", "b"))) is TypeError
    error = raised(lambda: loop.run_until_complete(task))
    assert error.args == ("named",)


def test_a_task_cancelled_before_its_first_step_never_runs(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        log.append("ran")

    task = loop.create_task(main())
    assert task.cancel("early") is True
    assert task._must_cancel is True
    assert task._cancel_message == "early"
    assert not task.done()
    assert task.cancelling() == 1
    world.turn(loop)
    assert log == []
    assert task.cancelled()
    assert raised(task.result).args == ("early",)


def test_a_task_that_cancels_itself_is_cancelled_at_its_next_suspension(
    world: Any, loop: Any
) -> None:
    log: list[str] = []

    async def main() -> None:
        assert task.cancel("self") is True
        assert task._must_cancel is True
        log.append("goes on")
        try:
            await world.sleep(0)
        except asyncio.CancelledError as error:
            log.append(error.args[0])
            raise
        log.append("not here")

    task = loop.create_task(main())
    world.turn(loop)
    # A bare yield does not ask for a future: the error is owed until the next step.
    assert log == ["goes on"]
    assert task._must_cancel is True
    world.turn(loop)
    assert log == ["goes on", "self"]
    assert task.cancelled()


def test_an_owed_cancellation_is_handed_to_the_future_awaited_next(world: Any, loop: Any) -> None:
    async def main() -> None:
        task.cancel("owed")
        await future

    future = loop.create_future()
    task = loop.create_task(main())
    world.turn(loop)
    assert future.cancelled()
    assert future._cancel_message == "owed"
    assert task._must_cancel is False
    assert not task.done()
    world.turn(loop)
    assert task.cancelled()
    assert raised(task.result).args == ("owed",)


def test_an_owed_cancellation_is_not_thrown_by_a_done_future(world: Any, loop: Any) -> None:
    async def main() -> str:
        task.cancel("owed")
        future = loop.create_future()
        future.set_result("done")
        got = await future
        log.append(got)
        await loop.create_future()
        return "not here"

    log: list[str] = []
    task = loop.create_task(main())
    world.turn(loop, 2)
    assert log == ["done"]
    assert task.cancelled()


def test_a_task_that_returns_with_a_cancellation_owed_is_cancelled(world: Any, loop: Any) -> None:
    async def main() -> str:
        task.cancel("too late")
        return "result"

    task = loop.create_task(main())
    world.turn(loop)
    assert task.cancelled()
    assert raised(task.result).args == ("too late",)
    assert task._must_cancel is False


def test_a_task_that_raises_with_a_cancellation_owed_fails(world: Any, loop: Any) -> None:
    error = ValueError("stronger")

    async def main() -> None:
        task.cancel("too late")
        raise error

    task = loop.create_task(main())
    world.turn(loop)
    assert not task.cancelled()
    assert task.exception() is error


def test_an_owed_cancellation_is_thrown_once(world: Any, loop: Any) -> None:
    log: list[Any] = []

    async def main() -> str:
        for _ in range(3):
            try:
                await world.sleep(0)
                log.append("slept")
            except asyncio.CancelledError as error:
                log.append(error.args)
        return "end"

    task = loop.create_task(main())
    world.turn(loop)
    task.cancel("first")
    task.cancel("second")
    assert task.cancelling() == 2
    assert loop.run_until_complete(task) == "end"
    assert log == [("second",), "slept", "slept"]


def test_a_task_that_swallows_the_error_lives_on(world: Any, loop: Any) -> None:
    future = loop.create_future()
    log: list[Any] = []

    async def main() -> str:
        try:
            await future
        except asyncio.CancelledError as error:
            log.append(error.args)
        return "lived on"

    task = loop.create_task(main())
    world.turn(loop)
    task.cancel("why")
    assert loop.run_until_complete(task) == "lived on"
    assert log == [("why",)]
    assert not task.cancelled()
    assert task.cancelling() == 1


def test_each_cancel_of_a_stubborn_task_arrives(world: Any, loop: Any) -> None:
    async def main() -> str:
        for number in range(5):
            try:
                await loop.create_future()
            except asyncio.CancelledError as error:
                assert error.args == (number,)
        return "survived"

    task = loop.create_task(main())
    for number in range(5):
        world.turn(loop)
        assert task.cancel(number) is True
        assert task.cancelling() == number + 1
    world.turn(loop)
    assert task.result() == "survived"


def test_a_second_cancel_before_the_error_arrives_is_owed_besides(world: Any, loop: Any) -> None:
    """The future is cancelled already, so that the task itself remembers the second one."""
    log: list[Any] = []

    async def main() -> str:
        try:
            await loop.create_future()
        except asyncio.CancelledError as error:
            log.append(error.args)
        await world.sleep(0)
        return "end"

    task = loop.create_task(main())
    world.turn(loop)
    assert task.cancel("first") is True
    assert task._must_cancel is False
    assert task.cancel("second") is True
    assert task._must_cancel is True
    assert task.cancelling() == 2
    assert loop.run_until_complete(task) == "end"
    # The error of the future arrives, and serves for both.
    assert log == [("first",)]
    assert task._must_cancel is False


def test_cancelling_when_the_awaited_future_is_done_is_owed(world: Any, loop: Any) -> None:
    log: list[Any] = []

    async def main() -> str:
        try:
            return await future
        except asyncio.CancelledError as error:
            log.append(error.args)
            return "caught"

    future = loop.create_future()
    task = loop.create_task(main())
    world.turn(loop)
    future.set_result("result")
    assert task.cancel("after the result") is True
    assert task._must_cancel is True
    world.turn(loop)
    assert task.result() == "caught"
    assert log == [("after the result",)]


def test_cancelling_when_the_awaited_future_failed_replaces_its_error(
    world: Any, loop: Any
) -> None:
    async def main() -> Any:
        try:
            await future
        except asyncio.CancelledError as error:
            return error

    future = loop.create_future()
    task = loop.create_task(main())
    world.turn(loop)
    failure = ValueError("of the future")
    future.set_exception(failure)
    task.cancel("after the failure")
    world.turn(loop)
    error = task.result()
    assert error.args == ("after the failure",)
    assert future.exception() is failure


def test_a_done_task_cannot_be_cancelled(world: Any, loop: Any) -> None:
    async def fails() -> None:
        raise ValueError

    finished, failed, cancelled = (
        loop.create_task(world.sleep(0)),
        loop.create_task(fails()),
        loop.create_task(world.sleep(0)),
    )
    cancelled.cancel()
    world.turn(loop, 3)
    for task, count in ((finished, 0), (failed, 0), (cancelled, 1)):
        assert task.cancel("late") is False
        assert task.cancelling() == count
    assert finished.result() is None
    assert failed._log_traceback is False


def test_cancelling_a_chain_reaches_its_end_with_the_message(world: Any, loop: Any) -> None:
    log: list[Any] = []
    tasks: list[Any] = []

    async def chain(depth: int) -> None:
        try:
            if depth == 0:
                await loop.create_future()
            else:
                task = loop.create_task(chain(depth - 1))
                tasks.append(task)
                await task
        except asyncio.CancelledError as error:
            log.append((depth, error.args))
            raise

    task = loop.create_task(chain(5))
    world.turn(loop, 6)
    task.cancel("all the way")
    world.turn(loop, 8)
    assert task.cancelled()
    assert all(each.cancelled() for each in tasks)
    # The innermost task is told first.
    assert log == [(depth, ("all the way",)) for depth in range(6)]
    assert all(each.cancelling() == 1 for each in tasks)


def test_a_cancelled_error_keeps_its_way_through_a_chain_of_tasks(world: Any, loop: Any) -> None:
    async def innermost() -> None:
        await loop.create_future()

    async def middle() -> None:
        await loop.create_task(innermost())

    async def outer() -> None:
        await loop.create_task(middle())

    task = loop.create_task(outer())
    world.turn(loop, 3)
    task.cancel("why")
    error = raised(lambda: loop.run_until_complete(task))
    assert type(error) is asyncio.CancelledError
    assert error.args == ("why",)
    names = []
    step: BaseException | None = error
    while step is not None:
        traceback = step.__traceback__
        while traceback is not None:
            names.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        step = step.__context__
    for name in ("outer", "middle", "innermost"):
        assert name in names


def test_a_chain_a_hundred_deep_is_cancelled(world: Any, loop: Any) -> None:
    async def chain(depth: int) -> None:
        if depth:
            await loop.create_task(chain(depth - 1))
        else:
            await loop.create_future()

    task = loop.create_task(chain(100))
    world.turn(loop, 101)
    assert task.cancel("deep") is True
    error = raised(lambda: loop.run_until_complete(task))
    assert type(error) is asyncio.CancelledError
    assert error.args == ("deep",)


@pytest.mark.slow
def test_a_chain_too_deep_for_recursion_ends_in_an_error_and_not_in_a_crash(
    world: Any,
) -> None:
    """asyncio's cancel() calls itself down the chain; 10,000 deep that may be too much."""
    passes_apart(
        world,
        """
        async def chain(depth):
            if depth:
                await loop.create_task(chain(depth - 1))
            else:
                await innermost

        for depth in (1_000, 10_000):
            loop = new_event_loop()
            innermost = loop.create_future()
            task = loop.create_task(chain(depth))
            for _ in range(depth + 2):
                loop.stop()
                loop.run_forever()
            try:
                assert task.cancel("deep") is True
            except RecursionError:
                assert not innermost.done()
                innermost.cancel("from the inside")
            else:
                assert innermost.cancelled()
            try:
                loop.run_until_complete(task)
            except asyncio.CancelledError as error:
                assert error.args in (("deep",), ("from the inside",)), error.args
            else:
                raise AssertionError("was not cancelled")
            # The errors hang together as long a chain as the tasks did.
            del task, innermost
            gc.collect()
            loop.close()
        """,
        timeout=60,
    )


@pytest.mark.slow
def test_a_long_chain_of_tasks_dies_without_recursion(world: Any) -> None:
    passes_apart(
        world,
        """
        async def chain(depth):
            if depth:
                return await loop.create_task(chain(depth - 1))

        async def keep(inner):
            return inner

        loop = new_event_loop()
        loop.run_until_complete(chain(10_000))
        inner = None
        for _ in range(50_000):
            task = loop.create_task(keep(inner))
            loop.run_until_complete(task)
            inner = task
        del task, inner
        future = None
        for _ in range(100_000):
            outer = world.Future(loop=loop)
            outer.set_result(future)
            future = outer
        del future, outer
        loop.close()
        """,
        timeout=60,
    )


def test_a_cancelled_error_raised_by_the_coroutine_itself_cancels_the_task(
    world: Any, loop: Any
) -> None:
    async def main() -> None:
        raise asyncio.CancelledError("own", "arguments")

    task = loop.create_task(main())
    world.turn(loop)
    assert task.cancelled()
    assert task.cancelling() == 0
    error = raised(task.result)
    assert error.args == ("own", "arguments")
    # The task's own error is handed out once; then one is made of the message.
    assert raised(task.result).args == ()


def test_a_subclass_of_cancelled_error_cancels_the_task_and_arrives_whole(
    world: Any, loop: Any
) -> None:
    class Cancelled(asyncio.CancelledError):
        pass

    error = Cancelled("own")

    async def main() -> None:
        raise error

    async def waits() -> Any:
        try:
            await task
        except asyncio.CancelledError as seen:
            return seen

    task = loop.create_task(main())
    assert loop.run_until_complete(waits()) is error
    assert task.cancelled()


def test_a_cancelled_error_turned_into_another_fails_the_task(world: Any, loop: Any) -> None:
    async def main() -> None:
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            raise ValueError("turned") from None

    task = loop.create_task(main())
    world.turn(loop)
    task.cancel()
    world.turn(loop)
    assert not task.cancelled()
    assert str(task.exception()) == "turned"


def test_awaiting_a_cancelled_task_raises_in_the_waiter(world: Any, loop: Any) -> None:
    async def waits() -> Any:
        try:
            await inner
        except asyncio.CancelledError as error:
            return error.args, waiter.cancelling()

    inner = loop.create_task(world.sleep(10))
    waiter = loop.create_task(waits())
    world.turn(loop)
    inner.cancel("inner only")
    assert loop.run_until_complete(waiter) == (("inner only",), 0)
    assert inner.cancelled()


def test_a_waiter_that_lets_the_error_through_is_cancelled_too(world: Any, loop: Any) -> None:
    async def waits() -> None:
        await inner

    inner = loop.create_task(world.sleep(10))
    waiter = loop.create_task(waits())
    world.turn(loop)
    inner.cancel("inner only")
    world.turn(loop, 4)
    assert waiter.cancelled()
    assert waiter.cancelling() == 0


def test_cancelling_the_waiter_cancels_the_awaited_task(world: Any, loop: Any) -> None:
    async def waits() -> None:
        await inner

    inner = loop.create_task(world.sleep(10))
    waiter = loop.create_task(waits())
    world.turn(loop)
    waiter.cancel("outer")
    assert inner.cancelling() == 1
    error = raised(lambda: loop.run_until_complete(waiter))
    assert error.args == ("outer",)
    assert inner.cancelled()


def test_an_awaited_task_may_refuse_and_its_waiter_gets_the_result(world: Any, loop: Any) -> None:
    async def refuses() -> str:
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            await world.sleep(0)
        return "refused"

    async def waits() -> str:
        return await inner

    inner = loop.create_task(refuses())
    waiter = loop.create_task(waits())
    world.turn(loop)
    waiter.cancel()
    assert loop.run_until_complete(waiter) == "refused"
    assert waiter.cancelling() == 1
    assert not waiter.cancelled()


def test_a_future_that_refuses_to_be_cancelled_leaves_the_task_owing(world: Any, loop: Any) -> None:
    asked: list[Any] = []

    class Refusing(world.Future):
        def cancel(self, msg: Any = None) -> bool:
            asked.append(msg)
            return False

    async def main() -> Any:
        try:
            return await future
        except asyncio.CancelledError as error:
            return error.args

    future = Refusing(loop=loop)
    task = loop.create_task(main())
    world.turn(loop)
    assert task.cancel("why") is True
    assert asked == ["why"]
    assert task._must_cancel is True
    world.turn(loop, 2)
    assert not task.done()
    future.set_result("result")
    world.turn(loop)
    # The error is thrown at the step that the result would have been for.
    assert task.result() == ("why",)


def test_a_future_whose_cancel_raises_hands_its_error_to_the_caller(world: Any, loop: Any) -> None:
    class Raising(world.Future):
        def cancel(self, msg: Any = None) -> bool:
            raise ZeroDivisionError

    async def main() -> str:
        return await future

    future = Raising(loop=loop)
    task = loop.create_task(main())
    world.turn(loop)
    assert type(raised(lambda: task.cancel("why"))) is ZeroDivisionError
    assert task.cancelling() == 1
    assert task._must_cancel is False
    future.set_result("result")
    assert loop.run_until_complete(task) == "result"


@pytest.mark.parametrize("answer", ["yes", 1, [0]], ids=repr)
def test_the_answer_of_a_future_s_cancel_is_a_truth_value(
    world: Any, loop: Any, answer: Any
) -> None:
    class Answering(world.Future):
        def cancel(self, msg: Any = None) -> Any:
            super().cancel(msg)
            return answer

    async def main() -> None:
        await future

    future = Answering(loop=loop)
    task = loop.create_task(main())
    world.turn(loop)
    assert task.cancel() is True
    assert task._must_cancel is False
    world.turn(loop)
    assert task.cancelled()


def test_a_future_whose_cancel_settles_it_otherwise(world: Any, loop: Any) -> None:
    class Settling(world.Future):
        def cancel(self, msg: Any = None) -> bool:
            self.set_result("settled instead")
            return True

    async def main() -> str:
        return await future

    future = Settling(loop=loop)
    task = loop.create_task(main())
    world.turn(loop)
    assert task.cancel() is True
    assert loop.run_until_complete(task) == "settled instead"


def test_uncancel_counts_down_to_zero(world: Any, loop: Any) -> None:
    task = loop.create_task(world.sleep(0))
    assert task.uncancel() == 0
    for expected in (1, 2, 3):
        task.cancel()
        assert task.cancelling() == expected
    for expected in (2, 1, 0, 0):
        assert task.uncancel() == expected
        assert task.cancelling() == expected
    world.turn(loop, 2)
    # Since 3.13 the last uncancel also takes back an error that is still owed.
    assert task.cancelled() is (PY < (3, 13))
    finish(loop, task)


def test_uncancel_does_not_take_back_an_error_already_on_its_way(world: Any, loop: Any) -> None:
    task = loop.create_task(world.sleep(10))
    world.turn(loop)
    task.cancel()
    assert task.uncancel() == 0
    world.turn(loop, 2)
    assert task.cancelled()


def test_uncancel_above_zero_keeps_the_owed_error(world: Any, loop: Any) -> None:
    task = loop.create_task(world.sleep(0))
    task.cancel("first")
    task.cancel("second")
    assert task.uncancel() == 1
    assert task._must_cancel is True
    world.turn(loop, 2)
    assert task.cancelled()
    assert raised(task.result).args == ("second",)


def test_uncancel_inside_the_task_after_swallowing(world: Any, loop: Any) -> None:
    async def main() -> str:
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            assert task.uncancel() == 0
        await world.sleep(0)
        return "went on"

    task = loop.create_task(main())
    world.turn(loop)
    task.cancel()
    assert loop.run_until_complete(task) == "went on"
    assert task.cancelling() == 0


def test_cancel_works_from_inside_the_task_s_own_cleanup(world: Any, loop: Any) -> None:
    log: list[Any] = []

    async def main() -> None:
        try:
            await loop.create_future()
        finally:
            task.cancel("again")
            try:
                await world.sleep(0)
            except asyncio.CancelledError as error:
                log.append(error.args)

    task = loop.create_task(main())
    world.turn(loop)
    task.cancel("first")
    world.turn(loop, 3)
    assert log == [("again",)]
    assert task.cancelled()
    assert raised(task.result).args == ("first",)


def test_a_task_cancelled_by_a_callback_of_the_future_it_waits_for(world: Any, loop: Any) -> None:
    """The callback runs before the wake-up of the same turn."""

    async def main() -> Any:
        try:
            return await future
        except asyncio.CancelledError as error:
            return error.args

    future = loop.create_future()
    task = loop.create_task(main())
    future.add_done_callback(lambda _: task.cancel("by the callback"))
    world.turn(loop)
    future.set_result("result")
    world.turn(loop)
    assert task.result() == ("by the callback",)


def test_cancelling_twice_through_two_waiters(world: Any, loop: Any) -> None:
    async def waits() -> None:
        await inner

    inner = loop.create_task(world.sleep(10))
    first, second = loop.create_task(waits()), loop.create_task(waits())
    world.turn(loop)
    assert first.cancel("first") is True
    assert second.cancel("second") is True
    assert inner.cancelling() == 2
    world.turn(loop, 4)
    assert first.cancelled()
    assert second.cancelled()
    assert inner.cancelled()


def test_a_task_cancelled_while_a_bad_yield_is_thrown_back_gets_the_cancellation(
    world: Any, loop: Any
) -> None:
    async def main() -> Any:
        try:
            await Pause(7)
        except BaseException as error:
            return error

    task = loop.create_task(main())
    world.turn(loop)
    task.cancel("instead")
    world.turn(loop)
    error = task.result()
    assert type(error) is asyncio.CancelledError
    assert error.args == ("instead",)


def test_the_context_of_a_cancelled_error_is_what_was_being_handled(world: Any, loop: Any) -> None:
    async def main() -> None:
        try:
            raise ValueError("being handled")
        except ValueError:
            await loop.create_future()

    task = loop.create_task(main())
    world.turn(loop)
    task.cancel()
    error = raised(lambda: loop.run_until_complete(task))
    assert type(error) is asyncio.CancelledError
    assert str(error.__context__) == "being handled"


def test_cancelling_from_another_task_s_step(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def victim() -> None:
        try:
            await world.sleep(10)
        finally:
            log.append("victim")

    async def main() -> None:
        task = loop.create_task(victim())
        await world.sleep(0)
        task.cancel()
        log.append("cancelled")
        try:
            await task
        except asyncio.CancelledError:
            log.append("seen")

    loop.run_until_complete(main())
    assert log == ["cancelled", "victim", "seen"]


def test_a_cancelled_task_runs_its_done_callbacks(world: Any, loop: Any) -> None:
    log: list[Any] = []
    task = loop.create_task(world.sleep(10))
    task.add_done_callback(log.append)
    world.turn(loop)
    task.cancel()
    world.turn(loop)
    assert log == []
    world.turn(loop, 2)
    assert log == [task]


def test_cancelled_tasks_are_never_reported(world: Any, loop: Any) -> None:
    reports = gather_reports(loop)
    task = loop.create_task(world.sleep(10))
    world.turn(loop)
    task.cancel("why")
    world.turn(loop, 3)
    assert task.cancelled()
    del task
    gc.collect()
    assert reports == []


def test_run_until_complete_of_a_cancelled_task_raises(world: Any, loop: Any) -> None:
    task = loop.create_task(world.sleep(10))
    loop.call_soon(task.cancel, "why")
    error = raised(lambda: loop.run_until_complete(task))
    assert type(error) is asyncio.CancelledError
    assert error.args == ("why",)


def test_the_reference_counts_of_messages_and_errors_balance(world: Any, loop: Any) -> None:
    class Message:
        pass

    message = Message()

    def once() -> None:
        async def main() -> None:
            await loop.create_future()

        task = loop.create_task(main())
        world.turn(loop)
        task.cancel(message)
        task.cancel(message)
        error = raised(lambda: loop.run_until_complete(task))
        assert error.args == (message,)

    once()
    gc.collect()
    before = sys.getrefcount(message)
    for _ in range(10):
        once()
    gc.collect()
    assert sys.getrefcount(message) == before


def test_shielded_work_survives_the_cancellation_of_its_waiter(world: Any, loop: Any) -> None:
    async def main() -> Any:
        try:
            await asyncio.shield(inner)
        except asyncio.CancelledError as error:
            return error.args

    inner = loop.create_task(swallows(future := loop.create_future(), []))
    task = loop.create_task(main())
    world.turn(loop)
    task.cancel("outer only")
    world.turn(loop, 3)
    assert task.result() == ("outer only",)
    assert not inner.done()
    future.set_result("kept")
    assert loop.run_until_complete(inner) == "kept"
