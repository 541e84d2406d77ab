"""Children where the kernel, or a sandbox, has no descriptor that stands for one: threads wait."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from child_tools import DEVNULL, PIPE, Child, Gate, child, no_zombie
from conftest import Log, World
from io_tools import PY, run, until


def refuse_pidfds(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    if PY < (3, 14):
        # asyncio has asked already if it may have them.
        policy = asyncio.get_event_loop_policy()
        monkeypatch.setattr(policy, "_watcher", None, raising=False)


def waiting() -> list[threading.Thread]:
    """The threads that wait for children."""
    return [each for each in threading.enumerate() if each.name.startswith("asyncio-waitpid-")]


@pytest.fixture(params=["ENOSYS", "EPERM"])
def loop(
    world: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A loop that cannot have a pidfd; the threads that wait for its children end with the test."""
    refuse_pidfds(monkeypatch, getattr(errno, request.param))
    result = world.new_event_loop()
    yield result
    result.close()
    for thread in waiting():
        thread.join(10)
        assert not thread.is_alive()


def test_a_thread_waits_for_each_child(world: World, loop: Any) -> None:
    async def main() -> None:
        with Gate() as gate:
            args = ("/bin/sh", "-c", f"{gate.waits}; echo out; exit 3")
            kwargs = {"stdin": DEVNULL, "stdout": PIPE, "stderr": DEVNULL, "pass_fds": (gate.r,)}
            transport, protocol = await loop.subprocess_exec(Child, *args, **kwargs)
            other, _ = await loop.subprocess_exec(Child, *args, **kwargs)
            names = [thread.name for thread in waiting()]
            assert len(names) == 2
            assert all(name.removeprefix("asyncio-waitpid-").isdecimal() for name in names)
            assert all(thread.daemon for thread in waiting())
            gate.open()
            await until(lambda: protocol.is_lost)
            assert protocol.out == b"out\n"
            assert transport.get_returncode() == 3
            story = protocol.story
            assert story[0] == "made" and story[-1] == ("lost", None)
            assert sorted(map(str, story[1:-1])) == [
                "('data', 1)",
                "('exited', 3)",
                "('pipe lost', 1, None)",
            ]
            assert await other._wait() == 3
            for each in (transport, other):
                assert no_zombie(each.get_pid())
                each.close()
        await until(lambda: not waiting())

    run(loop, main())


@pytest.mark.parametrize("how", ["kill", "terminate", "close"])
def test_a_child_can_be_ended(world: World, loop: Any, how: str) -> None:
    async def main() -> None:
        async with child(loop, "/bin/sleep", "60") as (transport, protocol):
            getattr(transport, how)()
            await until(lambda: protocol.is_lost)
            number = signal.SIGTERM if how == "terminate" else signal.SIGKILL
            assert transport.get_returncode() == -number
            assert no_zombie(transport.get_pid())
            transport.close()

    run(loop, main())


def test_many_children_at_once(world: World, loop: Any) -> None:
    async def one(status: int) -> None:
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"exit {status}")
        assert await process.wait() == status

    async def main() -> None:
        await asyncio.gather(*[one(status) for status in range(10)])
        await until(lambda: not waiting())

    run(loop, main())


def test_a_child_that_somebody_else_waited_for(world: World, loop: Any, logged: Log) -> None:
    async def main() -> int:
        with Gate() as gate:
            script = f"{gate.waits}; exit 3"
            kwargs = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL}
            # Nobody may end while the test takes away who could be waited for.
            taken = threading.Event()
            waitid, waitpid = os.waitid, os.waitpid

            def late(wait: Any) -> Any:
                def wait_late(*args: Any) -> Any:
                    if threading.current_thread() in waiting():
                        taken.wait(10)
                    return wait(*args)

                return wait_late

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "waitid", late(waitid))
                patch.setattr(os, "waitpid", late(waitpid))
                transport, protocol = await loop.subprocess_exec(
                    Child, "/bin/sh", "-c", script, pass_fds=(gate.r,), **kwargs
                )
                pid = int(transport.get_pid())
                gate.open()
                assert waitpid(pid, 0)[0] == pid
                taken.set()
                await until(lambda: protocol.is_lost)
        assert transport.get_returncode() == 255
        transport.close()
        return pid

    pid = run(loop, main())
    said = f"Unknown child process pid {pid}, will report returncode 255"
    assert logged.texts(logging.WARNING) == [said]


def test_a_child_that_outlives_its_loop(world: World, loop: Any, logged: Log) -> None:
    async def main(gate: Gate) -> Any:
        kwargs = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL}
        args = ("/bin/sh", "-c", gate.waits)
        return (await loop.subprocess_exec(Child, *args, pass_fds=(gate.r,), **kwargs))[0]

    with Gate() as gate:
        transport = run(loop, main(gate))
        pid = transport.get_pid()
        loop.close()
        (thread,) = waiting()
        gate.open()
        thread.join(10)
    assert no_zombie(pid)
    assert logged.texts(logging.WARNING) == [f"Loop {loop!r} that handles pid {pid} is closed"]
    transport.close()


def test_debug_mode_tells_of_the_end(world: World, loop: Any, logged: Log) -> None:
    async def main() -> int:
        async with child(loop, "/bin/sh", "-c", "exit 3") as (transport, protocol):
            await until(lambda: protocol.is_lost)
            return int(transport.get_pid())

    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    loop.set_debug(True)
    loop.slow_callback_duration = 100.0
    try:
        pid = run(loop, main())
    finally:
        logging.getLogger("asyncio").setLevel(logging.NOTSET)
    assert logged.texts().count(f"process {pid} exited with returncode 3") == 1


# --- What is refused all the same ------------------------------------------------------------


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENODEV", "ENOMEM"])
def test_any_other_error_is_raised(ours: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # asyncio takes it for a refusal if it comes when it first asks, and leaves the child if not.
    refuse_pidfds(monkeypatch, getattr(errno, name))
    check_refused(ours, OSError, getattr(errno, name))


def test_a_thread_that_cannot_be_started(ours: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    refuse_pidfds(monkeypatch, errno.ENOSYS)
    monkeypatch.setattr(threading.Thread, "start", start)
    check_refused(ours, RuntimeError, None)


def check_refused(ours: World, error: type[BaseException], number: int | None) -> None:
    children: list[Any] = []

    class Told(Child):
        def connection_made(self, transport: Any) -> None:
            children.append(transport)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        before = set(os.listdir("/proc/self/fd"))
        with pytest.raises(error) as raised:
            await loop.subprocess_exec(Told, "/bin/cat")
        assert getattr(raised.value, "errno", None) == number
        del raised
        gc.collect()
        assert set(os.listdir("/proc/self/fd")) == before

    ours.run(main())
    assert children == []
    # Neither a child nor what is left of one.
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert waiting() == []
