"""Signals beyond `test_unix_events`: all of them, many at once, and at awkward moments."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from child_tools import child
from conftest import World
from io_tools import run, turns, until

USED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def signals_put_back() -> Iterator[None]:
    before = {sig: signal.getsignal(sig) for sig in USED}
    yield
    for sig, handler in before.items():
        signal.signal(sig, handler)
    assert signal.set_wakeup_fd(-1) == -1, "the test left the wake-up descriptor set"


def send(sig: int) -> None:
    os.kill(os.getpid(), sig)


@pytest.mark.slow
def test_every_signal_that_can_be_caught_can_be_handled(world: World, run_program: Any) -> None:
    done = run_program(
        """
        import asyncio, os, signal

        async def main():
            loop = asyncio.get_running_loop()
            for sig in sorted(signal.valid_signals()):
                heard = loop.create_future()
                try:
                    loop.add_signal_handler(sig, heard.set_result, "heard")
                except RuntimeError as error:
                    print(int(sig), error)
                    continue
                os.kill(os.getpid(), sig)
                async with asyncio.timeout(10):
                    print(int(sig), await heard)
                assert loop.remove_signal_handler(sig) is True
                assert loop.remove_signal_handler(sig) is False
                default = signal.SIG_DFL
                if sig == signal.SIGINT:
                    default = signal.default_int_handler
                assert signal.getsignal(sig) is default
            print(signal.set_wakeup_fd(-1))

        asyncio.run(main())
        """
    )
    expected = []
    for sig in sorted(signal.valid_signals()):
        refused = sig in (signal.SIGKILL, signal.SIGSTOP)
        expected.append(
            f"{int(sig)} " + (f"sig {int(sig)} cannot be caught" if refused else "heard")
        )
    assert (done.out.splitlines(), done.err, done.status) == ([*expected, "-1"], "", 0)
    assert len(expected) > 60


def test_a_signal_may_be_given_by_its_name_or_number(world: World, loop: Any) -> None:
    seen: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "by name")
    loop.add_signal_handler(int(signal.SIGUSR1), seen.append, "by number")
    send(signal.SIGUSR1)
    world.run_until(loop, lambda: bool(seen))
    assert seen == ["by number"]
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert loop.remove_signal_handler(int(signal.SIGUSR1)) is False


def test_signals_wait_for_the_end_of_a_long_callback(world: World, loop: Any) -> None:
    story: list[str] = []

    def busy() -> None:
        story.append("begins")
        for sig in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1):
            send(sig)
            # Python itself has seen the signal by now.
            for _ in range(1000):
                pass
        story.append("ends")

    loop.add_signal_handler(signal.SIGUSR1, story.append, "one")
    loop.add_signal_handler(signal.SIGUSR2, story.append, "two")
    loop.call_soon(busy)
    loop.call_soon(story.append, "next")
    world.run_until(loop, lambda: len(story) == 6)
    assert story == ["begins", "ends", "next", "one", "two", "one"]


def test_a_callback_that_sleeps_is_not_cut_short(world: World, loop: Any) -> None:
    story: list[Any] = []

    def sleep() -> None:
        began = time.monotonic()
        time.sleep(0.03)
        story.append(time.monotonic() - began >= 0.03)

    loop.add_signal_handler(signal.SIGUSR1, story.append, "heard")
    thread = threading.Timer(0.005, send, (signal.SIGUSR1,))
    thread.start()
    loop.call_soon(sleep)
    world.run_until(loop, lambda: len(story) == 2)
    thread.join()
    assert story == [True, "heard"]


def test_many_signals_of_many_kinds_at_once(world: World, loop: Any) -> None:
    seen: list[int] = []
    kinds = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGHUP]
    for sig in kinds:
        loop.add_signal_handler(sig, seen.append, sig)
    expected = kinds * 30

    def storm() -> None:
        for sig in expected:
            send(sig)

    loop.call_soon(storm)
    world.run_until(loop, lambda: len(seen) == len(expected))
    assert seen == expected


def test_signals_from_threads_all_arrive(world: World, loop: Any) -> None:
    seen: list[int] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
    main = threading.main_thread().ident
    assert main is not None
    count = 20

    def work() -> None:
        for number in range(count):
            before = len(seen)
            signal.pthread_kill(main, signal.SIGUSR1)
            # One that is sent while another of its kind waits is the same one to the kernel.
            deadline = time.monotonic() + 10
            while len(seen) == before and time.monotonic() < deadline:
                time.sleep(0.0002)
            assert len(seen) == number + 1

    thread = threading.Thread(target=work)
    thread.start()
    world.run_until(loop, lambda: len(seen) == count)
    thread.join()


def test_a_handler_removed_meanwhile_is_not_called(world: World, loop: Any) -> None:
    seen: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "removed")
    loop.add_signal_handler(signal.SIGUSR2, seen.append, "kept")

    def send_and_remove() -> None:
        send(signal.SIGUSR1)
        loop.remove_signal_handler(signal.SIGUSR1)
        send(signal.SIGUSR2)

    loop.call_soon(send_and_remove)
    world.run_until(loop, lambda: bool(seen))
    assert seen == ["kept"]


def test_a_handler_replaced_meanwhile_is_the_one_that_is_called(world: World, loop: Any) -> None:
    seen: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "first")

    def send_and_replace() -> None:
        send(signal.SIGUSR1)
        loop.add_signal_handler(signal.SIGUSR1, seen.append, "second")

    loop.call_soon(send_and_replace)
    world.run_until(loop, lambda: bool(seen))
    assert seen == ["second"]


def test_a_handler_may_send_the_signal_again(world: World, loop: Any) -> None:
    seen: list[int] = []

    def handler() -> None:
        seen.append(len(seen))
        if len(seen) < 10:
            send(signal.SIGUSR1)

    loop.add_signal_handler(signal.SIGUSR1, handler)
    send(signal.SIGUSR1)
    world.run_until(loop, lambda: len(seen) == 10)
    assert seen == list(range(10))


def test_a_handler_may_stop_the_loop(world: World, loop: Any) -> None:
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    for _ in range(3):
        loop.call_soon(send, signal.SIGUSR1)
        loop.run_forever()


def test_a_signal_between_two_runs_is_heard_in_the_second(world: World, loop: Any) -> None:
    seen: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "heard")
    world.turn(loop)
    send(signal.SIGUSR1)
    world.run_until(loop, lambda: bool(seen))
    assert seen == ["heard"]


def test_a_signal_before_the_sleep_is_handled_before_it(world: World, loop: Any) -> None:
    """A signal that came while only native code ran: no instruction of Python's saw it."""
    told: list[str] = []

    def handle(*args: object) -> None:
        told.append("signal")
        loop.call_soon_threadsafe(loop.stop)

    signal.signal(signal.SIGUSR1, handle)
    raise_signal = getattr(ctypes.CDLL(None), "raise")
    watchdog = loop.call_later(20, told.append, "slept")
    loop.call_later(20, loop.stop)
    loop.call_soon(raise_signal, int(signal.SIGUSR1))
    loop.run_forever()
    watchdog.cancel()
    assert told == ["signal"]


def test_the_loop_that_came_last_hears_all_signals(world: World, loop: Any) -> None:
    # The interpreter writes to one descriptor only; the other loop's signals are lost.
    seen: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "first loop")
    other = world.new_event_loop()
    try:
        other.add_signal_handler(signal.SIGUSR2, seen.append, "second loop")
        send(signal.SIGUSR1)
        send(signal.SIGUSR2)
        world.run_until(other, lambda: bool(seen))
        world.turn(loop, 3)
        assert seen == ["second loop"]
        # Until the first one takes it back.
        loop.add_signal_handler(signal.SIGUSR1, seen.append, "first loop")
        send(signal.SIGUSR1)
        world.run_until(loop, lambda: len(seen) == 2)
        assert seen == ["second loop", "first loop"]
    finally:
        other.close()


def test_signals_while_a_thread_works(world: World, loop: Any) -> None:
    seen: list[str] = []
    gate = threading.Event()

    async def main() -> None:
        loop.add_signal_handler(signal.SIGUSR1, seen.append, "heard")
        working = loop.run_in_executor(None, gate.wait, 10)
        await turns()
        send(signal.SIGUSR1)
        await until(lambda: seen)
        assert not working.done()
        gate.set()
        assert await working is True

    run(loop, main())
    assert seen == ["heard"]


def test_a_handler_of_children_beside_the_loops_own_children(world: World, loop: Any) -> None:
    seen: list[str] = []

    async def main() -> None:
        loop.add_signal_handler(signal.SIGCHLD, seen.append, "a child")
        async with child(loop, "/bin/sh", "-c", "exit 3") as (transport, protocol):
            await until(lambda: protocol.is_lost)
            assert transport.get_returncode() == 3
        await until(lambda: seen)
        foreign = subprocess.Popen(["/bin/true"])
        await until(lambda: len(seen) == 2)
        assert foreign.wait() == 0

    run(loop, main())
    assert seen == ["a child"] * 2


def test_a_signal_may_cancel_a_task(world: World, loop: Any) -> None:
    async def main() -> str:
        task = asyncio.current_task()
        assert task is not None
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        loop.call_soon(send, signal.SIGTERM)
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return "cancelled"
        return "not cancelled"

    assert loop.run_until_complete(main()) == "cancelled"
