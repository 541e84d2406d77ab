"""Signals: the loop's handlers, Python's own, and what both do to a loop that rests."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import World

USED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def signals_put_back() -> Iterator[None]:
    before = {sig: signal.getsignal(sig) for sig in USED}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for sig, handler in before.items():
        signal.signal(sig, handler)
    assert signal.set_wakeup_fd(-1) == -1, "the test left the wake-up descriptor set"


def send(sig: int) -> None:
    os.kill(os.getpid(), sig)


def send_from_thread(sig: int, seconds: float = 0.02) -> threading.Thread:
    """Sends the signal a little later, when the loop rests."""
    thread = threading.Timer(seconds, send, (sig,))
    thread.start()
    return thread


# --- The loop's handlers ------------------------------------------------------


def test_a_handler_runs_in_the_loop_with_its_arguments(world: World, loop: Any) -> None:
    seen: list[object] = []

    def handler(*args: object) -> None:
        seen.append((args, asyncio.get_running_loop() is loop, threading.current_thread()))
        loop.stop()

    assert loop.add_signal_handler(signal.SIGUSR1, handler, 1, "two") is None
    loop.call_soon(send, signal.SIGUSR1)
    loop.run_forever()
    assert seen == [((1, "two"), True, threading.main_thread())]
    assert loop.remove_signal_handler(signal.SIGUSR1) is True


def test_a_signal_wakes_a_resting_loop(world: World, loop: Any, in_time: None) -> None:
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    thread = send_from_thread(signal.SIGUSR1)
    loop.run_forever()
    thread.join()


def test_each_signal_runs_its_own_handler(world: World, loop: Any, in_time: None) -> None:
    seen: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "one")
    loop.add_signal_handler(signal.SIGUSR2, seen.append, "two")
    loop.call_soon(send, signal.SIGUSR2)
    world.run_until(loop, lambda: bool(seen))
    assert seen == ["two"]
    send(signal.SIGUSR1)
    world.run_until(loop, lambda: len(seen) == 2)
    assert seen == ["two", "one"]


def test_signals_sent_one_after_another_all_arrive(world: World, loop: Any) -> None:
    seen: list[int] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
    loop.add_signal_handler(signal.SIGUSR2, seen.append, 2)
    for _ in range(20):
        send(signal.SIGUSR1)
        send(signal.SIGUSR2)
    world.run_until(loop, lambda: len(seen) == 40)
    assert seen == [1, 2] * 20


def test_a_signal_that_comes_before_the_run_is_kept(world: World, loop: Any, in_time: None) -> None:
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    send(signal.SIGUSR1)
    loop.run_forever()


def test_a_handler_is_replaced_by_the_next(world: World, loop: Any) -> None:
    seen: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "first")
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "second")
    send(signal.SIGUSR1)
    world.run_until(loop, lambda: bool(seen))
    assert seen == ["second"]
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert loop.remove_signal_handler(signal.SIGUSR1) is False


def test_a_removed_handler_gives_the_signal_its_default(world: World, loop: Any) -> None:
    assert loop.remove_signal_handler(signal.SIGUSR1) is False
    loop.add_signal_handler(signal.SIGUSR1, print)
    assert signal.getsignal(signal.SIGUSR1) not in (signal.SIG_DFL, None)
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    loop.add_signal_handler(signal.SIGINT, print)
    assert loop.remove_signal_handler(signal.SIGINT) is True
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_wake_up_descriptor_goes_with_the_last_handler(world: World, loop: Any) -> None:
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.add_signal_handler(signal.SIGUSR2, print)
    loop.remove_signal_handler(signal.SIGUSR1)
    fd = signal.set_wakeup_fd(-1)
    assert fd != -1
    signal.set_wakeup_fd(fd)
    loop.remove_signal_handler(signal.SIGUSR2)
    assert signal.set_wakeup_fd(-1) == -1


def test_closing_the_loop_removes_its_handlers(world: World) -> None:
    loop = world.new_event_loop()
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.add_signal_handler(signal.SIGINT, print)
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.set_wakeup_fd(-1) == -1


def test_a_handler_runs_in_the_context_it_was_added_in(world: World, loop: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []
    context = contextvars.copy_context()
    context.run(variable.set, "mine")
    context.run(loop.add_signal_handler, signal.SIGUSR1, lambda: seen.append(variable.get()))
    send(signal.SIGUSR1)
    world.run_until(loop, lambda: bool(seen))
    assert seen == ["mine"]


def test_a_failing_handler_is_reported_and_stays(world: World, loop: Any) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))

    def fail() -> None:
        raise LookupError("in the handler")

    loop.add_signal_handler(signal.SIGUSR1, fail)
    for count in (1, 2):
        send(signal.SIGUSR1)
        world.run_until(loop, lambda count=count: len(contexts) == count)  # type: ignore[misc]
    assert [str(context["exception"]) for context in contexts] == ["in the handler"] * 2
    assert contexts[0]["message"].startswith("Exception in callback ")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_handler_may_interrupt_the_loop(
    world: World, loop: Any, kind: type[BaseException], in_time: None
) -> None:
    def interrupt() -> None:
        raise kind

    loop.add_signal_handler(signal.SIGUSR1, interrupt)
    thread = send_from_thread(signal.SIGUSR1)
    with pytest.raises(kind):
        loop.run_forever()
    thread.join()
    assert not loop.is_running()
    assert loop.run_until_complete(world.sleep(0, "goes on")) == "goes on"


def test_a_handler_may_remove_itself(world: World, loop: Any) -> None:
    seen: list[object] = []
    loop.add_signal_handler(
        signal.SIGUSR1, lambda: seen.append(loop.remove_signal_handler(signal.SIGUSR1))
    )
    send(signal.SIGUSR1)
    world.run_until(loop, lambda: bool(seen))
    assert seen == [True]


def test_a_signal_does_not_jump_the_queue(world: World, loop: Any) -> None:
    # The handler is a callback: it is added by the turn's poll, behind what was ready.
    seen: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "signal")
    send(signal.SIGUSR1)
    loop.call_soon(seen.append, "ready")
    world.run_until(loop, lambda: "signal" in seen)
    assert seen == ["ready", "signal"]


def test_children_that_end_are_heard_of(world: World, loop: Any, in_time: None) -> None:
    loop.add_signal_handler(signal.SIGCHLD, loop.stop)
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    loop.run_forever()
    assert child.wait() == 0


# --- Mistakes -----------------------------------------------------------------


async def coroutine_function() -> None: ...


def test_coroutines_are_no_handlers(world: World, loop: Any) -> None:
    text = r"^coroutines cannot be used with add_signal_handler\(\)$"
    with pytest.raises(TypeError, match=text):
        loop.add_signal_handler(signal.SIGUSR1, coroutine_function)
    coroutine = coroutine_function()
    with pytest.raises(TypeError, match=text):
        loop.add_signal_handler(signal.SIGUSR1, coroutine)
    coroutine.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


@pytest.mark.parametrize("sig", ["SIGUSR1", 10.0, None, object])
def test_a_signal_is_a_number(world: World, loop: Any, sig: object) -> None:
    for attempt in (
        lambda: loop.add_signal_handler(sig, print),
        lambda: loop.remove_signal_handler(sig),
    ):
        with pytest.raises(TypeError) as caught:
            attempt()
        assert str(caught.value) == f"sig must be an int, not {sig!r}"


@pytest.mark.parametrize("sig", [0, -1, 65, 1000, 2**40])
def test_a_signal_must_exist(world: World, loop: Any, sig: int) -> None:
    for attempt in (
        lambda: loop.add_signal_handler(sig, print),
        lambda: loop.remove_signal_handler(sig),
    ):
        with pytest.raises(ValueError, match=rf"^invalid signal number {sig}$"):
            attempt()


@pytest.mark.parametrize("sig", [9, 19])
def test_a_signal_that_cannot_be_caught_is_refused(world: World, loop: Any, sig: int) -> None:
    with pytest.raises(RuntimeError, match=rf"^sig {sig} cannot be caught$"):
        loop.add_signal_handler(sig, print)
    assert loop.remove_signal_handler(sig) is False
    assert signal.set_wakeup_fd(-1) == -1


def test_signals_that_cannot_be_read_leave_the_wake_up_descriptor(ours: World) -> None:
    class Loop(ours.EventLoop):  # type: ignore[misc]
        def _add_reader(self, fd: int, callback: Any, *args: Any) -> Any:
            raise OSError(28, "no space left")

    loop = Loop()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        signal.set_wakeup_fd(writer)
        with pytest.raises(OSError, match="no space left"):
            loop.add_signal_handler(signal.SIGUSR1, print)
        assert signal.set_wakeup_fd(-1) == writer
        assert loop.remove_signal_handler(signal.SIGUSR1) is False
    finally:
        signal.set_wakeup_fd(-1)
        loop.close()
        os.close(reader)
        os.close(writer)


def test_only_the_main_thread_takes_handlers(world: World, loop: Any) -> None:
    errors: list[str] = []

    def add() -> None:
        try:
            loop.add_signal_handler(signal.SIGUSR1, print)
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=add)
    thread.start()
    thread.join()
    assert errors == ["set_wakeup_fd only works in main thread of the main interpreter"]


def test_a_handler_that_cannot_be_called_is_reported_when_the_signal_comes(
    world: World, loop: Any
) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    loop.add_signal_handler(signal.SIGUSR1, 5)
    send(signal.SIGUSR1)
    world.run_until(loop, lambda: bool(contexts))
    assert type(contexts[0]["exception"]) is TypeError


# --- Python's own handlers ----------------------------------------------------


def python_handler(sig: int, handler: Callable[[], object]) -> None:
    signal.signal(sig, lambda signum, frame: handler())


def test_a_handler_of_python_runs_while_the_loop_rests(
    world: World, loop: Any, in_time: None
) -> None:
    # No descriptor is involved: the interrupted rest itself must look after the signal.
    python_handler(signal.SIGUSR1, lambda: loop.call_soon_threadsafe(loop.stop))
    thread = send_from_thread(signal.SIGUSR1)
    loop.run_forever()
    thread.join()


def test_an_interrupted_rest_goes_on(world: World, loop: Any, in_time: None) -> None:
    seen: list[str] = []
    python_handler(signal.SIGUSR1, lambda: seen.append("signal"))
    threads = [send_from_thread(signal.SIGUSR1, 0.005 * n) for n in range(1, 4)]
    loop.call_later(0.03, loop.stop)
    loop.run_forever()
    for thread in threads:
        thread.join()
    assert seen and set(seen) == {"signal"}


def test_what_a_handler_of_python_raises_leaves_the_resting_loop(
    world: World, loop: Any, in_time: None
) -> None:
    class Alarm(Exception):
        pass

    def raise_alarm() -> None:
        raise Alarm

    python_handler(signal.SIGUSR1, raise_alarm)
    thread = send_from_thread(signal.SIGUSR1)
    with pytest.raises(Alarm):
        loop.run_forever()
    thread.join()
    assert not loop.is_running()
    assert asyncio._get_running_loop() is None
    assert loop.run_until_complete(world.sleep(0, "goes on")) == "goes on"


def test_control_c_leaves_a_resting_loop(world: World, loop: Any, in_time: None) -> None:
    seen: list[str] = []
    loop.call_later(3600, print)
    thread = send_from_thread(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    thread.join()
    loop.call_soon(seen.append, "goes on")
    world.turn(loop)
    assert seen == ["goes on"]


def test_control_c_leaves_a_busy_loop(world: World, loop: Any, in_time: None) -> None:
    # Nothing of the loop is in Python between two callbacks that are builtins.
    def again() -> None:
        loop.call_soon(again)

    loop.call_soon(again)
    thread = send_from_thread(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    thread.join()
    assert not loop.is_running()


@pytest.mark.slow
def test_a_loop_of_builtin_callbacks_lets_threads_run_and_hears_of_signals(
    world: World, run_program: Any
) -> None:
    # A chain of builtins runs no Python code at all, so the loop itself must give way. In a
    # process of its own: a loop that does not cannot be interrupted by any means of a test.
    done = run_program(
        """
        import asyncio, functools, os, signal, threading

        loop = asyncio.new_event_loop()
        adding = functools.partial(loop.call_soon)
        again = functools.partial(adding)
        again.__setstate__((adding, (again,), {}, {}))
        loop.call_soon(again)
        thread = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
        thread.start()
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print("interrupted", loop.is_running())
        thread.join()
        loop.close()
        """,
        timeout=20,
    )
    assert (done.out, done.err, done.status) == ("interrupted False\n", "", 0)


# Control-C may come just when the sleep is made and not yet awaited, in either world.
@pytest.mark.filterwarnings("ignore:coroutine 'sleep' was never awaited")
def test_control_c_leaves_a_loop_of_one_spinning_task(
    world: World, loop: Any, in_time: None
) -> None:
    steps = 0

    async def spin() -> None:
        nonlocal steps
        while True:
            await world.sleep(0)
            steps += 1

    task = loop.create_task(spin())
    thread = send_from_thread(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    thread.join()
    assert steps > 0
    if not task.done():
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
    else:
        assert type(task.exception()) is KeyboardInterrupt


def test_the_alarm_clock_of_a_test_ends_a_resting_loop(world: World, loop: Any) -> None:
    class Late(Exception):
        pass

    def late(signum: int, frame: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(Late):
            loop.run_forever()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
