"""Sleeping: at least as long as asked, with a result, and to be cancelled at any time."""

from __future__ import annotations

import asyncio
import gc
import inspect
import math
import warnings
from typing import Any

import pytest
from task_tools import PY, raised


@pytest.mark.parametrize("delay", [0, 0.0, -0.0, -1, -1e300, -math.inf, False], ids=repr)
def test_a_delay_of_nothing_is_exactly_one_turn(world: Any, loop: Any, delay: float) -> None:
    task = loop.create_task(world.sleep(delay))
    world.turn(loop)
    assert not task.done()
    world.turn(loop)
    assert task.done()
    assert task.result() is None


@pytest.mark.parametrize("delay", [0, -1, 1e-9])
@pytest.mark.parametrize("value", [None, 5, "value", (), ValueError("value")], ids=repr)
def test_sleep_returns_the_value_given(world: Any, loop: Any, delay: float, value: Any) -> None:
    async def main() -> tuple[Any, Any]:
        return await world.sleep(delay, value), await world.sleep(delay, result=value)

    first, second = loop.run_until_complete(main())
    assert first is value
    assert second is value


def test_sleep_takes_its_arguments_by_name(world: Any, loop: Any) -> None:
    assert loop.run_until_complete(world.sleep(delay=0, result=3)) == 3
    for call in (
        world.sleep,
        lambda: world.sleep(0, 1, 2),
        lambda: world.sleep(0, loop=None),
        lambda: world.sleep(0, resul=1),
    ):
        assert type(raised(call)) is TypeError


def test_sleep_lasts_as_long_as_asked(world: Any, virtual_loop: Any) -> None:
    async def main() -> None:
        for delay in (0.25, 1, 3600.5):
            start = virtual_loop.time()
            await world.sleep(delay)
            assert virtual_loop.time() == start + delay

    virtual_loop.run_until_complete(main())


def test_sleepers_wake_in_the_order_of_their_deadlines(world: Any, virtual_loop: Any) -> None:
    log: list[int] = []

    async def sleeper(number: int) -> None:
        await world.sleep(number)
        log.append(number)

    async def main() -> None:
        await asyncio.gather(*(sleeper(number) for number in (5, 1, 4, 2, 3)))

    virtual_loop.run_until_complete(main())
    assert log == [1, 2, 3, 4, 5]


def test_sleep_zero_lets_every_other_task_have_its_turn(world: Any, loop: Any) -> None:
    log: list[str] = []

    async def other(name: str) -> None:
        log.append(name)

    async def main() -> None:
        for name in "abc":
            loop.create_task(other(name))
        log.append("before")
        await world.sleep(0)
        log.append("after")

    loop.run_until_complete(main())
    assert log == ["before", "a", "b", "c", "after"]


def test_not_a_number_is_refused(world: Any, loop: Any) -> None:
    if PY < (3, 13):
        reason = "asyncio says so since 3.13; before, the timer's place in the queue is open"
        pytest.skip(reason)
    error = raised(lambda: loop.run_until_complete(world.sleep(math.nan)))
    assert type(error) is ValueError
    assert str(error) == "Invalid delay: NaN (not a number)"


@pytest.mark.parametrize("delay", ["1", None, [], object()], ids=["str", "None", "list", "object"])
def test_a_delay_that_is_no_number_is_refused_when_awaited(
    world: Any, loop: Any, delay: Any
) -> None:
    async def main() -> None:
        await world.sleep(delay)

    assert type(raised(lambda: loop.run_until_complete(main()))) is TypeError


def test_a_delay_may_be_any_number(world: Any, virtual_loop: Any) -> None:
    import decimal
    import fractions

    async def main() -> None:
        await world.sleep(fractions.Fraction(1, 3))
        await world.sleep(fractions.Fraction(0))
        await world.sleep(decimal.Decimal(0))

    virtual_loop.run_until_complete(main())


def test_a_delay_s_comparison_that_raises_is_raised(world: Any, loop: Any) -> None:
    class Delay:
        def __le__(self, other: Any) -> bool:
            raise ZeroDivisionError

    async def main() -> None:
        await world.sleep(Delay())

    assert type(raised(lambda: loop.run_until_complete(main()))) is ZeroDivisionError


def test_a_cancelled_sleep_ends_at_once_and_leaves_no_timer(world: Any, virtual_loop: Any) -> None:
    async def main() -> str:
        try:
            await world.sleep(1000)
        except asyncio.CancelledError as error:
            return error.args[0]
        return "slept"

    task = virtual_loop.create_task(main())
    world.turn(virtual_loop)
    task.cancel("woken")
    assert virtual_loop.run_until_complete(task) == "woken"
    assert virtual_loop.time() == 0


def test_sleep_zero_is_cancelled_at_its_wake_up(world: Any, loop: Any) -> None:
    async def main() -> str:
        try:
            await world.sleep(0)
        except asyncio.CancelledError as error:
            return error.args[0]
        return "slept"

    task = loop.create_task(main())
    world.turn(loop)
    task.cancel("woken")
    world.turn(loop)
    assert task.result() == "woken"


def test_a_sleep_cancelled_after_its_time_came_is_still_cancelled(
    world: Any, virtual_loop: Any
) -> None:
    task = virtual_loop.create_task(world.sleep(1))
    world.turn(virtual_loop)
    future = task._fut_waiter
    future.set_result("early")
    task.cancel("late")
    world.turn(virtual_loop)
    assert task.cancelled()


def test_settling_the_future_of_a_sleep_wakes_it_early(world: Any, loop: Any) -> None:
    task = loop.create_task(world.sleep(1000, "never"))
    world.turn(loop)
    task._fut_waiter.set_result("early")
    assert loop.run_until_complete(task) == "early"


def test_sleep_makes_a_coroutine(world: Any, loop: Any) -> None:
    for delay in (0, 1):
        sleep = world.sleep(delay)
        assert inspect.isawaitable(sleep)
        assert asyncio.iscoroutine(sleep)
        assert hasattr(sleep, "send")
        assert hasattr(sleep, "throw")
        sleep.close()
        sleep.close()


def test_a_closed_sleep_cannot_be_awaited(world: Any, virtual_loop: Any) -> None:
    for delay in (0, 1):
        sleep = world.sleep(delay)
        sleep.close()
        error = raised(lambda: virtual_loop.run_until_complete(sleep))
        assert type(error) is RuntimeError
        assert str(error) == "cannot reuse already awaited coroutine"


def test_a_sleep_awaited_twice_is_refused(world: Any, virtual_loop: Any) -> None:
    async def main(delay: float) -> None:
        sleep = world.sleep(delay)
        await sleep
        await sleep

    for delay in (0, 1):
        error = raised(lambda: virtual_loop.run_until_complete(main(delay)))
        assert type(error) is RuntimeError
        assert str(error) == "cannot reuse already awaited coroutine"


@pytest.mark.parametrize("delay", [0, 1])
def test_a_sleep_never_awaited_is_warned_about(world: Any, loop: Any, delay: float) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        world.sleep(delay)
        gc.collect()
    assert [each.category for each in caught] == [RuntimeWarning]
    assert "was never awaited" in str(caught[0].message)


def test_a_sleep_driven_by_hand(world: Any, loop: Any) -> None:
    sleep = world.sleep(0, "value")
    assert sleep.send(None) is None
    error = raised(lambda: sleep.send(None))
    assert type(error) is StopIteration
    assert error.value == "value"
    sleep = world.sleep(0)
    assert sleep.send(None) is None
    assert str(raised(lambda: sleep.throw(ValueError("thrown")))) == "thrown"
    assert type(raised(lambda: sleep.send(None))) is RuntimeError


def test_a_real_sleep_outside_a_loop_says_so(world: Any) -> None:
    sleep = world.sleep(1)
    error = raised(lambda: sleep.send(None))
    assert type(error) is RuntimeError
    assert str(error) == "no running event loop"


def test_a_sleep_may_be_a_task_itself(world: Any, virtual_loop: Any) -> None:
    async def main() -> list[Any]:
        tasks = [virtual_loop.create_task(world.sleep(delay, delay)) for delay in (0, 1, 0)]
        return [await each for each in tasks]

    assert virtual_loop.run_until_complete(main()) == [0, 1, 0]


def test_a_sleep_uses_the_running_loop_s_call_later(world: Any) -> None:
    calls: list[Any] = []

    class Loop(world.EventLoop):
        def call_later(self, delay: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(delay)
            return super().call_later(0, callback, *args, **kwargs)

    loop = Loop()
    assert loop.run_until_complete(world.sleep(1000, "value")) == "value"
    loop.close()
    assert calls == [1000]


def test_a_thousand_sleepers_take_no_longer_than_the_longest(world: Any, virtual_loop: Any) -> None:
    async def main() -> None:
        await asyncio.gather(*(world.sleep(60) for _ in range(1000)))

    virtual_loop.run_until_complete(main())
    assert virtual_loop.time() == 60


def test_asyncio_s_sleep_works_on_the_loop_too(world: Any, loop: Any) -> None:
    async def main() -> tuple[Any, Any]:
        return await asyncio.sleep(0, "none"), await asyncio.sleep(1e-9, "some")

    assert loop.run_until_complete(main()) == ("none", "some")


def test_sleeping_in_a_context_keeps_the_variables(world: Any, virtual_loop: Any) -> None:
    import contextvars

    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")

    async def main(number: int) -> bool:
        variable.set(number)
        for delay in (0, 1, 0):
            await world.sleep(delay)
            assert variable.get() == number
        return True

    async def both() -> list[bool]:
        return await asyncio.gather(main(1), main(2))

    assert virtual_loop.run_until_complete(both()) == [True, True]
