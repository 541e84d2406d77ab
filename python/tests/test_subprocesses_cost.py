"""What a child process does not cost, and what nobody is left with when it cannot be had."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from child_tools import DEVNULL, PIPE, THREADED, Child, Gate, child, no_zombie
from conftest import Log, Outcome, World, open_fds, program_environment
from io_tools import PY, refusal, run, turns, until

# What programs start, mostly. Each line is a child.
CHILDREN = """
    [
        loop.subprocess_exec(Child, "/bin/true"),
        loop.subprocess_exec(Child, "true", stdin=None, stdout=None, stderr=None),
        loop.subprocess_exec(Child, "/bin/true", env={}, cwd="/", stdout=-3),
        loop.subprocess_exec(Child, "/bin/true", close_fds=False),
        loop.subprocess_exec(Child, "/bin/true", start_new_session=True),
        loop.subprocess_exec(Child, "/bin/true", pass_fds=(2,), umask=0o22),
        loop.subprocess_shell(Child, "exit 0"),
    ]
"""

PROGRAM = f"""
    import asyncio, os, sys

    class Child(asyncio.SubprocessProtocol):
        def __init__(self):
            self.lost = asyncio.get_running_loop().create_future()

        def connection_lost(self, exc):
            self.lost.set_result(None)

    def fork():
        print("forked")

    os.register_at_fork(before=fork)

    async def main():
        loop = asyncio.get_running_loop()
        for start in {CHILDREN.strip()}:
            transport, protocol = await start
            await protocol.lost
            assert transport.get_returncode() == 0
            transport.close()

    asyncio.run(main())
"""


@pytest.mark.slow
def test_nobody_hears_of_a_fork(world: World, run_program: Callable[..., Outcome]) -> None:
    done = run_program(PROGRAM)
    assert (done.out, done.err, done.status) == ("", "", 0)


@pytest.mark.slow
def test_a_child_is_started_without_copying_its_parent(world: World, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    program, trace = tmp_path / "program.py", tmp_path / "trace"
    program.write_text(re.sub(r"^    ", "", PROGRAM, flags=re.MULTILINE))
    calls = "trace=fork,vfork,clone,clone3"
    command = [strace, "-f", "-o", str(trace), "-e", calls, "-e", "signal=none"]
    done = subprocess.run(
        [*command, *world.command(str(program))], capture_output=True, env=program_environment()
    )
    if b"PTRACE" in done.stderr or b"ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    # Threads are of no interest: 3.11's asyncio waits in some.
    lines = [
        line
        for line in trace.read_text().splitlines()
        if re.search(r"\b(v?fork|clone3?)\(", line) and "CLONE_THREAD" not in line
    ]
    # The shells that exit at once start nobody.
    assert len(lines) == 7, lines
    assert all("vfork(" in line or "CLONE_VFORK" in line for line in lines), lines


@pytest.mark.slow
def test_a_hundred_children_at_once(world: World, loop: Any) -> None:
    before = threading.active_count()

    async def main() -> None:
        with Gate() as gate:
            script = f"{gate.waits}; exit $0"
            kwargs = {"stdin": DEVNULL, "stderr": None, "pass_fds": (gate.r,)}
            started = await asyncio.gather(
                *[
                    loop.subprocess_exec(Child, "/bin/sh", "-c", script, str(status), **kwargs)
                    for status in range(100)
                ]
            )
            if world.is_ours:
                assert threading.active_count() == before
            gate.open()
            await until(lambda: all(protocol.is_lost for _, protocol in started), 30)
            for status, (transport, protocol) in enumerate(started):
                expected = ["made", ("exited", status), ("lost", None)]
                assert [each for each in protocol.story if each[0] != "pipe lost"] == expected
                assert no_zombie(transport.get_pid())
                transport.close()

    run(loop, main(), 40)


def test_what_a_child_wrote_is_told_before_its_end(world: World, loop: Any) -> None:
    async def main() -> None:
        for _ in range(5):
            async with child(loop, "/bin/sh", "-c", "read line; echo out") as (transport, protocol):
                await turns(3)
                transport.get_pipe_transport(0).write(b"\n")
                # Both are there before the loop looks.
                os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)
                await until(lambda protocol=protocol: protocol.is_lost)
                story = protocol.story
                assert story.index(("data", 1)) < story.index(("exited", 0))

    if THREADED and not world.is_ours:
        pytest.skip("3.11 has a thread that waits already")
    run(loop, main())


def test_libraries_may_look_inside(world: World, loop: Any) -> None:
    async def main() -> None:
        async with child(loop, "/bin/cat", stderr=None) as (transport, protocol):
            assert transport._protocol is protocol
            assert transport._loop is loop
            assert transport._proc is transport.get_extra_info("subprocess")
            assert (transport._pid, transport._returncode) == (transport.get_pid(), None)
            assert list(transport._pipes) == [0, 1]
            for fd, pipe in transport._pipes.items():
                assert pipe.pipe is transport.get_pipe_transport(fd)
                assert (pipe.fd, pipe.disconnected, pipe.proc) == (fd, False, transport)
                assert repr(pipe).endswith(f"SubprocessPipeProto fd={fd} pipe={pipe.pipe!r}>")
            assert not transport._closed
            transport.kill()
            await until(lambda: protocol.is_lost)
            assert (transport._proc, transport._protocol, transport._loop) == (None,) * 3
            assert transport._returncode == -9

    run(loop, main())


def test_a_status_that_popen_has_read_is_not_lost(world: World, loop: Any, logged: Log) -> None:
    async def main() -> None:
        async with child(loop, "/bin/sh", "-c", "exit 7") as (transport, protocol):
            process = transport.get_extra_info("subprocess")
            assert process.wait() == 7
            await until(lambda: protocol.is_lost)
            status = transport.get_returncode()
            assert (status, process.returncode) == (7 if world.is_ours else status, 7)

    if THREADED and not world.is_ours:
        pytest.skip("3.11 has a thread that waits already")
    run(loop, main())
    # asyncio says 255, and that it has read nothing.
    assert logged.texts() == [] or not world.is_ours


def test_a_child_ends_before_a_close_that_the_loop_has_not_heard_of(ours: World) -> None:
    loop = ours.new_event_loop()

    async def main() -> None:
        with Gate() as gate:
            script = f"{gate.waits}; exit 7"
            made = child(loop, "/bin/sh", "-c", script, stdin=None, pass_fds=(gate.r,))
            async with made as (transport, protocol):
                gate.open()
                os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)
                transport.close()
                await until(lambda: protocol.is_lost)
                assert transport.get_returncode() == 7

    run(loop, main())
    loop.close()


@pytest.mark.parametrize("which", ["connect_write_pipe", "connect_read_pipe"])
def test_a_pipe_that_cannot_be_joined_ends_the_child(world: World, which: str) -> None:
    if not world.is_ours and PY < (3, 14):
        pytest.skip("before 3.14 asyncio waits for ever")
    before = open_fds()
    pids: list[int] = []

    class Loop(world.EventLoop):  # type: ignore[name-defined,misc]
        async def join(self, factory: Any, pipe: Any) -> Any:
            pids[:] = [int(pid) for pid in children_of_ours()]
            raise OSError(5, "cannot be joined")

    setattr(Loop, which, Loop.join)
    loop = Loop()
    told = run(loop, refusal(loop.subprocess_exec(Child, "/bin/sleep", "60")))
    assert told == "OSError(5)"
    assert len(pids) == 1 and no_zombie(pids[0])
    loop.close()
    gc.collect()
    assert {fd for fd in open_fds() if fd not in before} == set()


def children_of_ours() -> list[str]:
    return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()


def test_a_loop_that_closes_leaves_nothing_of_its_children(ours: World) -> None:
    loop = ours.new_event_loop()

    async def main() -> Any:
        kwargs = {"stdin": None, "stdout": DEVNULL, "stderr": DEVNULL}
        transport, _ = await loop.subprocess_exec(Child, "/bin/sleep", "60", **kwargs)
        return transport

    before = open_fds()
    transport = run(loop, main())
    process = transport.get_extra_info("subprocess")
    loop.close()
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        del transport
        gc.collect()
    assert process.wait() == -9
    assert {fd for fd in open_fds() if fd not in before} == set()


def test_a_closed_transport_outlives_its_loop(world: World, loop: Any) -> None:
    async def main() -> Any:
        transport, protocol = await loop.subprocess_exec(Child, "/bin/cat", stdout=PIPE)
        transport.close()
        await until(lambda: protocol.is_lost)
        return transport

    transport = run(loop, main())
    loop.close()
    transport.close()
    assert transport.is_closing() and transport.get_returncode() == -9
    with pytest.raises(ProcessLookupError):
        transport.send_signal(0)


def test_who_waits_may_change_his_mind(world: World, loop: Any) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE)
        waiting = [asyncio.ensure_future(process.wait()) for _ in range(3)]
        await turns()
        waiting[1].cancel()
        await turns()
        process.stdin.close()
        assert await waiting[0] == await waiting[2] == 0
        assert waiting[1].cancelled()
        assert await process.wait() == 0

    run(loop, main())


def test_a_start_that_fails_in_the_factory_starts_nobody(world: World, loop: Any) -> None:
    def factory() -> Any:
        raise LookupError("no protocol")

    before = children_of_ours()
    told = run(loop, refusal(loop.subprocess_exec(factory, "/bin/sleep", "60")))
    assert told == "LookupError: no protocol"
    assert children_of_ours() == before
