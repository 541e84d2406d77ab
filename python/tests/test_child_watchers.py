"""Child watchers, which Python had until 3.13: a program's own, and those of asyncio."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from child_tools import Child, child
from conftest import World
from io_tools import PY, refusal, run, until

if PY >= (3, 14):
    pytest.skip("Python has no child watchers any more", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore:.* is deprecated as of Python 3.12")


@pytest.fixture(autouse=True)
def watcher_put_back() -> Iterator[None]:
    policy: Any = asyncio.get_event_loop_policy()
    before = policy._watcher
    handler = signal.getsignal(signal.SIGCHLD)
    yield
    policy._watcher = before
    assert signal.getsignal(signal.SIGCHLD) is handler


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)

    class Watcher(asyncio.AbstractChildWatcher):
        """Tells of a child when the test says so, and what the test says."""

        def __init__(self, is_active: bool = True) -> None:
            self.story: list[Any] = []
            self.active = is_active
            self.handlers: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

        def __enter__(self) -> Watcher:
            self.story.append("enter")
            return self

        def __exit__(self, *args: object) -> None:
            self.story.append("exit")

        def is_active(self) -> bool:
            return self.active

        def attach_loop(self, loop: Any) -> None:
            self.story.append("attach")

        def close(self) -> None:
            self.story.append("close")

        def add_child_handler(self, pid: int, callback: Any, *args: Any) -> None:
            self.story.append("add")
            self.handlers[pid] = callback, args

        def remove_child_handler(self, pid: int) -> bool:
            return self.handlers.pop(pid, None) is not None

        def tell(self, pid: int, returncode: int) -> None:
            callback, args = self.handlers.pop(pid)
            callback(pid, returncode, *args)


def test_a_watcher_of_ones_own_is_asked(world: World, loop: Any) -> None:
    watcher = Watcher()
    asyncio.set_child_watcher(watcher)

    async def main() -> None:
        async with child(loop, "/bin/cat") as (transport, protocol):
            pid = transport.get_pid()
            assert watcher.story == ["enter", "add", "exit"]
            assert list(watcher.handlers) == [pid]
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            await until(lambda: len(protocol.story) >= 4)
            # The pipes have gone; that the child has, nobody has said yet.
            assert transport.get_returncode() is None
            threading.Thread(target=watcher.tell, args=(pid, 42)).start()
            await until(lambda: protocol.is_lost)
            assert transport.get_returncode() == 42
            assert protocol.story[-2:] == [("exited", 42), ("lost", None)]

    run(loop, main())


def test_a_watcher_that_is_not_active_starts_no_child(world: World, loop: Any) -> None:
    asyncio.set_child_watcher(Watcher(is_active=False))
    told = run(loop, refusal(loop.subprocess_exec(Child, "/bin/true")))
    assert told == (
        "RuntimeError: asyncio.get_child_watcher() is not activated, "
        "subprocess support is not installed."
    )


@pytest.mark.parametrize(
    "name",
    [
        "ThreadedChildWatcher",
        "PidfdChildWatcher",
        "SafeChildWatcher",
        "FastChildWatcher",
        "MultiLoopChildWatcher",
    ],
)
def test_the_watchers_of_asyncio_watch(world: World, loop: Any, name: str) -> None:
    watcher = getattr(asyncio, name)()
    watcher.attach_loop(loop)
    asyncio.set_child_watcher(watcher)

    async def one(status: int) -> None:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", f"read line; exit {status}", stdin=subprocess.PIPE
        )
        await process.communicate(b"go on\n")
        assert process.returncode == status

    async def main() -> None:
        if name == "MultiLoopChildWatcher":
            # A signal in the midst of its handler makes it lose the status of a child.
            for status in range(5):
                await one(status)
        else:
            await asyncio.gather(*[one(status) for status in range(5)])
        async with child(loop, "/bin/cat") as (transport, protocol):
            transport.kill()
            await until(lambda: protocol.is_lost)
            assert transport.get_returncode() == -9

    try:
        run(loop, main())
    finally:
        watcher.close()


@pytest.mark.parametrize("name", ["ThreadedChildWatcher", "PidfdChildWatcher"])
def test_a_watcher_can_be_used_by_itself(world: World, loop: Any, name: str) -> None:
    told: list[Any] = []

    async def main() -> None:
        watcher = getattr(asyncio, name)()
        watcher.attach_loop(loop)
        with watcher:
            process = subprocess.Popen(["/bin/sh", "-c", "exit 7"])
            watcher.add_child_handler(process.pid, lambda *args: told.append(args), "one", 2)
        await until(lambda: told)
        assert told == [(process.pid, 7, "one", 2)]
        # Somebody has waited for it already.
        process.returncode = 7
        watcher.close()

    run(loop, main())


def test_the_default_watcher_needs_no_preparation(world: World, loop: Any) -> None:
    asyncio.get_event_loop_policy()._watcher = None  # type: ignore[attr-defined]

    async def main() -> None:
        async with child(loop, "/bin/true") as (transport, protocol):
            await until(lambda: protocol.is_lost)
            assert transport.get_returncode() == 0

    with warnings.catch_warnings():
        # Starting a child is not deprecated, whatever becomes of the watchers.
        warnings.simplefilter("error")
        run(loop, main())
