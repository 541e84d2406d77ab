"""batonloop.testing: a loop whose time jumps when nothing is ready."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from conftest import World

# Whatever these tests wait for, on a machine that is busy.
REALLY_SOON = 30.0


@pytest.fixture
def testing(ours: World) -> Any:
    import batonloop.testing

    return batonloop.testing


@pytest.fixture
def run(testing: Any) -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """testing.run(), which must not take as long as what it pretends to wait for."""
    began = time.monotonic()
    yield testing.run
    assert time.monotonic() - began < REALLY_SOON


def now() -> float:
    return asyncio.get_running_loop().time()


# --- Time jumps ----------------------------------------------------------------------------------


def test_an_hour_of_sleeps_takes_no_time_and_is_an_hour(run: Any) -> None:
    async def main() -> None:
        assert now() == 0.0
        for minute in range(60):
            assert now() == 60.0 * minute
            await asyncio.sleep(60)

    run(main())


def test_timers_run_in_their_order_each_at_its_time(run: Any) -> None:
    seen: list[tuple[int, float]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for number, delay in enumerate((3.0, 0.1, 1000.0, 0.1, 2.5)):
            loop.call_later(delay, lambda number=number: seen.append((number, now())))
        await asyncio.sleep(2000)

    run(main())
    assert seen == [(1, 0.1), (3, 0.1), (4, 2.5), (0, 3.0), (2, 1000.0)]


def test_no_timer_is_early_where_floats_are_coarse(run: Any) -> None:
    async def main() -> None:
        await asyncio.sleep(1e12)
        for _ in range(100):
            before = now()
            handle = asyncio.get_running_loop().call_later(1e-7, lambda: None)
            await asyncio.sleep(1e-7)
            assert now() >= max(handle.when(), before)

    run(main())


def test_what_is_ready_runs_before_time_passes(run: Any) -> None:
    async def main() -> list[str]:
        story: list[str] = []

        async def busy() -> None:
            for _ in range(100):
                await asyncio.sleep(0)
            story.append(f"busy until {now()}")

        async with asyncio.timeout(1e-6), asyncio.TaskGroup() as group:
            group.create_task(busy())
        return story

    assert run(main()) == ["busy until 0.0"]


def test_timeouts_come_at_their_time(run: Any) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        assert now() == 3600.0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(20), 10)
        assert now() == 3610.0
        done, pending = await asyncio.wait([asyncio.ensure_future(asyncio.sleep(9))], timeout=5)
        assert (len(done), len(pending), now()) == (0, 1, 3615.0)
        await pending.pop()
        assert now() == 3619.0

    run(main())


def test_it_goes_wherever_a_loop_factory_is_asked_for(testing: Any) -> None:
    async def main() -> float:
        await asyncio.sleep(7)
        return now()

    with asyncio.Runner(loop_factory=testing.new_event_loop) as runner:
        assert runner.run(main()) == 7.0
        assert runner.run(main()) == 14.0
        assert isinstance(runner.get_loop(), testing.EventLoop)


def test_a_class_without_the_hook_is_not_asked(testing: Any, ours: World) -> None:
    assert not hasattr(ours.EventLoop, "_before_sleep")
    asked: list[Any] = []

    class Loop(ours.EventLoop):  # type: ignore[name-defined, misc]
        def _before_sleep(self, when: float | None, watches: bool, waited: float) -> float:
            asked.append((when is not None, watches, waited > 0))
            return 0.001

    loop = Loop()
    try:
        loop.run_until_complete(asyncio.sleep(0.003))
    finally:
        loop.close()
    # Asked again in the same turn, with what it has waited, until the timer is due.
    assert asked[0] == (True, False, False)


def test_an_error_of_the_hook_leaves_the_loop(ours: World) -> None:
    class Loop(ours.EventLoop):  # type: ignore[name-defined, misc]
        answer: Any = "never"

        def _before_sleep(self, when: float | None, watches: bool, waited: float) -> Any:
            if self.answer is None:
                self.call_soon(self.stop)
            return self.answer

    loop = Loop()
    try:
        with pytest.raises(TypeError):
            loop.run_forever()
        # What the hook queues ends the sleep before it has begun.
        Loop.answer = None
        loop.run_forever()
    finally:
        loop.close()


# --- What really takes time ----------------------------------------------------------------------


def test_time_does_not_jump_past_an_executor(run: Any) -> None:
    gate = threading.Event()

    def work() -> str:
        gate.wait(REALLY_SOON)
        return "done"

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(asyncio.wait_for(asyncio.to_thread(work), 1000))
        other = loop.run_in_executor(None, gate.wait, REALLY_SOON)
        loop.call_soon(lambda: threading.Timer(0.01, gate.set).start())
        assert (await task, await other) == ("done", True)
        assert now() == 0.0

    run(main())


def test_a_timer_comes_while_an_executor_is_busy(run: Any) -> None:
    gate = threading.Event()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(gate.wait, REALLY_SOON), 0.02)
        assert now() == 0.02
        gate.set()

    began = time.monotonic()
    run(main())
    assert time.monotonic() - began >= 0.02


def test_time_does_not_jump_past_a_look_up(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*args: Any, **kwargs: Any) -> list[Any]:
        time.sleep(0.01)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert await asyncio.wait_for(loop.getaddrinfo("a.example", 80), 100) == []
        return now()

    assert run(main()) == 0.0


def test_time_does_not_jump_past_a_child(run: Any) -> None:
    async def main() -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-S", "-c", "print(input())", stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(child.communicate(b"hello\n"), 1000)
        assert (out, child.returncode, now()) == (b"hello\n", 0, 0.0)
        await asyncio.sleep(5)
        assert now() == 5.0

    run(main())


def test_time_does_not_jump_past_what_a_program_says_is_outside(run: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        heard = asyncio.Event()
        threading.Timer(0.01, loop.call_soon_threadsafe, [heard.set]).start()
        with loop.outside():  # type: ignore[attr-defined]
            await asyncio.wait_for(heard.wait(), 1000)
        assert now() == 0.0

    run(main())


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_two_ends_of_one_loop_hear_of_each_other_before_time_jumps(
    run: Any, family: str, tmp_path: Any
) -> None:
    path = str(tmp_path / "socket")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await asyncio.sleep(10)
            writer.write(line)
        writer.close()

    async def main() -> None:
        if family == "tcp":
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        else:
            server = await asyncio.start_unix_server(serve, path)
            reader, writer = await asyncio.open_unix_connection(path)
        async with server:
            for number in range(20):
                writer.write(b"hello\n")
                assert await asyncio.wait_for(reader.readline(), 10.5) == b"hello\n"
                assert now() == 10.0 * (number + 1)
            writer.close()
            await writer.wait_closed()

    run(main())


def test_with_endless_patience_descriptors_are_really_waited_for(testing: Any) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def main() -> None:
        threading.Timer(0.01, theirs.send, [b"late"]).start()
        heard = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 10), 1000)
        assert (heard, now()) == (b"late", 0.0)

    loop = testing.EventLoop(patience=math.inf)
    with ours, theirs:
        loop.run_until_complete(main())
    loop.close()


# --- Deadlocks -----------------------------------------------------------------------------------


def test_a_deadlock_is_an_error_that_says_who_waits_for_what(ours: World, testing: Any) -> None:
    async def hold(first: Any, second: Any) -> None:
        async with first:
            await asyncio.sleep(1)
            await second.acquire()

    async def main() -> None:
        left, right = ours.module.Lock(), ours.module.Lock()
        one = ours.module.create_task(hold(left, right), name="one")
        two = ours.module.create_task(hold(right, left), name="two")
        await ours.module.wait([one, two])

    with pytest.raises(testing.Deadlock) as caught:
        testing.run(main())
    first, *lines = str(caught.value).splitlines()
    assert first == "nothing is ready and nothing is scheduled, and so these wait for ever:"
    waiting = [line for line in lines if ".hold) waits for <Future pending" in line]
    assert [line.split()[0] for line in waiting] == ["one", "two"]
    assert all("test_testing.py:" in line and "Lock.acquire" in line for line in waiting)
    assert len(lines) == 3


def test_the_loop_of_a_deadlock_still_works(testing: Any) -> None:
    loop = testing.new_event_loop()
    future = loop.create_future()
    try:
        with pytest.raises(testing.Deadlock, match="there are no tasks"):
            loop.run_until_complete(future)
        future.cancel()
        loop.run_until_complete(asyncio.sleep(1))
        assert loop.time() == 1.0
    finally:
        loop.close()


def test_a_deadlock_is_said_late_if_somebody_could_still_come(
    testing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing, "_LAST_CHANCE", 0.01)
    reading, writing = os.pipe()
    loop = testing.new_event_loop()
    try:
        loop.add_reader(reading, lambda: (loop.remove_reader(reading), loop.stop()))
        began = time.monotonic()
        with pytest.raises(testing.Deadlock):
            loop.run_forever()
        assert time.monotonic() - began >= 0.01
        monkeypatch.setattr(testing, "_LAST_CHANCE", REALLY_SOON)
        threading.Timer(0.01, os.write, [writing, b"x"]).start()
        loop.run_forever()
    finally:
        loop.close()
        os.close(reading)
        os.close(writing)
