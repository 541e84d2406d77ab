"""The life of a child process: its pipes, its end, and who is told of both, in which order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import subprocess
import threading
from typing import Any

import pytest
from child_tools import DEVNULL, PIPE, THREADED, Child, Gate, child, no_zombie
from conftest import Log, World
from io_tools import PY, failing, run, said, shape, turns, until
from task_tools import gather_reports

# --- In which order ---------------------------------------------------------------------


def test_the_story_of_a_child(world: World, loop: Any) -> None:
    async def main() -> None:
        script = "read line; echo out; echo err >&2; exit 3"
        async with child(loop, "/bin/sh", "-c", script) as (transport, protocol):
            assert protocol.transport is transport
            assert protocol.story == ["made"]
            assert transport.get_returncode() is None
            pid = transport.get_pid()
            transport.get_pipe_transport(0).write(b"go\n")
            await until(lambda: protocol.is_lost)
            story = protocol.story
            assert (protocol.out, protocol.err) == (b"out\n", b"err\n")
            assert story[0] == "made" and story[-1] == ("lost", None)
            assert sorted(story[1:-1], key=str) == sorted(
                [
                    ("data", 1),
                    ("data", 2),
                    ("pipe lost", 0, None),
                    ("pipe lost", 1, None),
                    ("pipe lost", 2, None),
                    ("exited", 3),
                ],
                key=str,
            )
            for fd in (1, 2):
                assert story.index(("data", fd)) < story.index(("pipe lost", fd, None))
            assert transport.get_returncode() == 3
            assert transport.get_pid() == pid
            assert no_zombie(pid)

    run(loop, main())


def test_the_pipes_may_end_before_the_child(world: World, loop: Any) -> None:
    async def main() -> None:
        with Gate() as gate:
            script = f"exec </dev/null >/dev/null 2>&1; {gate.waits}; exit 4"
            made = child(loop, "/bin/sh", "-c", script, pass_fds=(gate.r,))
            async with made as (transport, protocol):
                await until(lambda: len(protocol.story) == 4)
                lost = sorted(protocol.story[1:])
                assert lost == [("pipe lost", fd, None) for fd in (0, 1, 2)]
                assert transport.get_returncode() is None
                gate.open()
                await until(lambda: protocol.is_lost)
                assert protocol.story[4:] == [("exited", 4), ("lost", None)]

    run(loop, main())


def test_a_grandchild_may_keep_the_pipes(world: World, loop: Any) -> None:
    async def main() -> None:
        with Gate() as gate:
            script = f"({gate.waits}; echo late) & exit 5"
            made = child(loop, "/bin/sh", "-c", script, pass_fds=(gate.r,))
            async with made as (transport, protocol):
                await until(lambda: ("exited", 5) in protocol.story)
                assert transport.get_returncode() == 5
                assert no_zombie(transport.get_pid())
                await turns(5)
                assert not protocol.is_lost
                gate.open()
                await until(lambda: protocol.is_lost)
                assert protocol.out == b"late\n"
                assert protocol.story[-1] == ("lost", None)

    run(loop, main())


@pytest.mark.skipif(PY < (3, 14), reason="older ones wait for the pipes, too")
def test_a_process_is_over_when_it_has_exited(world: World, loop: Any) -> None:
    async def main() -> None:
        with Gate() as gate:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", f"({gate.waits}; echo late) & exit 5"),
                stdout=PIPE,
                pass_fds=(gate.r,),
            )
            assert await process.wait() == 5
            assert process.returncode == 5
            gate.open()
            assert await process.stdout.read() == b"late\n"

    run(loop, main())


def test_a_child_that_is_over_at_once(world: World, loop: Any) -> None:
    async def main() -> None:
        for _ in range(10):
            async with child(loop, "/bin/true") as (transport, protocol):
                # Before anything else, whatever has happened meanwhile.
                assert protocol.story[0] == "made"
                await until(lambda protocol=protocol: protocol.is_lost)
                assert transport.get_returncode() == 0
                assert len(protocol.story) == 6

    run(loop, main())


def test_a_child_without_pipes(world: World, loop: Any) -> None:
    async def main() -> None:
        kwargs = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL}
        async with child(loop, "/bin/sh", "-c", "exit 6", **kwargs) as (transport, protocol):
            await until(lambda: protocol.is_lost)
            assert protocol.story == ["made", ("exited", 6), ("lost", None)]
            assert [transport.get_pipe_transport(fd) for fd in range(4)] == [None] * 4

    run(loop, main())


def test_a_child_that_ends_while_the_loop_rests(world: World, loop: Any) -> None:
    async def start() -> Any:
        return await loop.subprocess_exec(Child, "/bin/cat")

    transport, protocol = run(loop, start())
    transport.kill()
    assert protocol.story == ["made"]
    assert transport.get_returncode() is None
    run(loop, until(lambda: protocol.is_lost))
    assert protocol.story[-1] == ("lost", None)
    assert transport.get_returncode() == -9
    transport.close()


# --- Its pipes -----------------------------------------------------------------------------


def test_data_goes_in_and_comes_out(world: World, loop: Any) -> None:
    data = bytes(range(256)) * 4096

    async def main() -> None:
        async with child(loop, "/bin/cat") as (transport, protocol):
            stdin, stdout, stderr = map(transport.get_pipe_transport, range(3))
            assert isinstance(stdin, asyncio.WriteTransport)
            assert isinstance(stdout, asyncio.ReadTransport)
            assert isinstance(stderr, asyncio.ReadTransport)
            assert transport.get_pipe_transport(3) is None
            stdin.write(data)
            await until(lambda: len(protocol.out) == len(data))
            assert protocol.out == data
            stdin.write_eof()
            await until(lambda: protocol.is_lost)
            assert transport.get_returncode() == 0
            assert stdin.is_closing() and stdout.is_closing()

    run(loop, main())


def test_a_protocol_is_paused_while_the_child_does_not_read(world: World, loop: Any) -> None:
    class Pausable(Child):
        def pause_writing(self) -> None:
            self.story.append("pause")

        def resume_writing(self) -> None:
            self.story.append("resume")

    async def main() -> None:
        async with child(loop, "/bin/cat", factory=Pausable) as (transport, protocol):
            transport.get_pipe_transport(1).pause_reading()
            transport.get_pipe_transport(0).write(bytes(1_000_000))
            assert protocol.story == ["made", "pause"]
            transport.get_pipe_transport(1).resume_reading()
            await until(lambda: len(protocol.out) == 1_000_000)
            await until(lambda: "resume" in protocol.story)

    run(loop, main())


def test_a_child_that_goes_before_it_has_read_all(world: World, loop: Any) -> None:
    async def main() -> None:
        with Gate() as gate:
            script = f"{gate.waits}; exit 7"
            made = child(loop, "/bin/sh", "-c", script, pass_fds=(gate.r,))
            async with made as (transport, protocol):
                transport.get_pipe_transport(0).write(bytes(1_000_000))
                await turns()
                gate.open()
                await until(lambda: protocol.is_lost)
                [lost] = [word for word in protocol.story if word[:2] == ("pipe lost", 0)]
                assert lost[2] in ("BrokenPipeError: ", "BrokenPipeError(32)")
                assert transport.get_returncode() == 7

    run(loop, main())


def test_communicate_is_not_bothered_by_a_child_that_does_not_read(world: World, loop: Any) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec("/bin/true", stdin=PIPE, stdout=PIPE)
        assert await process.communicate(bytes(1_000_000)) == (b"", None)
        assert process.returncode == 0

    run(loop, main())


def test_communicate_moves_much_in_both_directions(world: World, loop: Any) -> None:
    data = bytes(range(256)) * 10_000

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", "tee /proc/self/fd/2"), stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        assert await process.communicate(data) == (data, data)

    run(loop, main())


# --- Its end -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 127, 128, 255])
def test_a_status_is_a_number(world: World, loop: Any, status: int) -> None:
    async def main() -> None:
        async with child(loop, "/bin/sh", "-c", f"exit {status}") as (transport, protocol):
            await until(lambda: protocol.is_lost)
            assert transport.get_returncode() == status

    run(loop, main())


@pytest.mark.parametrize(
    ("how", "status"),
    [
        (lambda transport: transport.kill(), -9),
        (lambda transport: transport.terminate(), -15),
        (lambda transport: transport.send_signal(signal.SIGALRM), -14),
        (lambda transport: transport.send_signal(10), -10),
        (lambda transport: transport.close(), -9),
        (lambda transport: os.kill(transport.get_pid(), signal.SIGKILL), -9),
        (lambda transport: transport.get_pipe_transport(0).close(), 0),
    ],
)
def test_a_child_can_be_ended(world: World, loop: Any, how: Any, status: int) -> None:
    async def main() -> None:
        async with child(loop, "/bin/cat") as (transport, protocol):
            assert how(transport) is None
            assert transport.get_returncode() is None
            await until(lambda: protocol.is_lost)
            assert transport.get_returncode() == status
            assert ("exited", status) in protocol.story
            assert no_zombie(transport.get_pid())

    run(loop, main())


def test_a_dead_child_takes_no_signals(world: World, loop: Any) -> None:
    async def main() -> None:
        async with child(loop, "/bin/true") as (transport, protocol):
            await until(lambda: protocol.is_lost)
            for call in (
                lambda: transport.send_signal(signal.SIGTERM),
                transport.terminate,
                transport.kill,
            ):
                with pytest.raises(ProcessLookupError):
                    call()

    run(loop, main())


def test_no_signal_reaches_a_number_that_was_used(world: World, loop: Any) -> None:
    # The child is dead and waited for, and its pipes are still open: a signal must not go to
    # whoever has its number now.
    sent: list[object] = []

    async def main() -> None:
        with Gate() as gate:
            script = f"({gate.waits}) & exit 5"
            made = child(loop, "/bin/sh", "-c", script, pass_fds=(gate.r,))
            async with made as (transport, protocol):
                await until(lambda: ("exited", 5) in protocol.story)
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(os, "kill", lambda *args: sent.append(args))
                    transport.kill()
                    transport.terminate()
                gate.open()
                await until(lambda: protocol.is_lost)

    if PY == (3, 13) and not world.is_ours:
        pytest.skip("3.13 kills without looking whether the child has gone")
    run(loop, main())
    assert sent == []


def test_an_illegal_signal_is_refused(world: World, loop: Any) -> None:
    async def main() -> None:
        async with child(loop, "/bin/cat") as (transport, _):
            with pytest.raises(OSError, match="Invalid argument"):
                transport.send_signal(1000)
            with pytest.raises(TypeError):
                transport.send_signal("TERM")
            assert transport.send_signal(0) is None

    run(loop, main())


def test_a_closed_transport_lets_go_of_everything(world: World, loop: Any) -> None:
    async def main() -> None:
        async with child(loop, "/bin/cat") as (transport, protocol):
            assert not transport.is_closing()
            pipes = [transport.get_pipe_transport(fd) for fd in range(3)]
            transport.close()
            transport.close()
            assert transport.is_closing()
            assert all(pipe.is_closing() for pipe in pipes)
            await until(lambda: protocol.is_lost)
            assert sorted(protocol.story[1:-1], key=str) == [
                ("exited", -9),
                *[("pipe lost", fd, None) for fd in range(3)],
            ]
            assert no_zombie(transport.get_pid())

    run(loop, main())


def test_a_child_that_somebody_else_waited_for(world: World, loop: Any, logged: Log) -> None:
    async def main() -> int:
        async with child(loop, "/bin/cat") as (transport, protocol):
            pid = int(transport.get_pid())
            os.kill(pid, signal.SIGKILL)
            assert os.waitpid(pid, 0)[0] == pid
            await until(lambda: protocol.is_lost)
            assert transport.get_returncode() == 255
            assert ("exited", 255) in protocol.story
        return pid

    if THREADED and not world.is_ours:
        pytest.skip("3.11 has a thread that waits already")
    pid = run(loop, main())
    assert logged.texts(logging.WARNING) == [
        f"child process pid {pid} exit status already read:  will report returncode 255"
    ]


# --- Many, and elsewhere -----------------------------------------------------------------------


@pytest.mark.slow
def test_many_children_at_once(world: World, loop: Any) -> None:
    async def one(number: int) -> None:
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", f"read line; echo $line; exit {number}"), stdin=PIPE, stdout=PIPE
        )
        assert await process.communicate(b"%d\n" % number) == (b"%d\n" % number, None)
        assert process.returncode == number

    async def main() -> None:
        await asyncio.gather(*map(one, range(100)))

    run(loop, main(), 30)


def test_children_of_a_loop_in_another_thread(world: World) -> None:
    outcomes: list[object] = []

    async def main() -> None:
        process = await asyncio.create_subprocess_exec("/bin/echo", "hello", stdout=PIPE)
        outcomes.append(await process.communicate())
        outcomes.append(process.returncode)

    def work() -> None:
        loop = world.new_event_loop()
        try:
            run(loop, main())
        finally:
            loop.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [(b"hello\n", None), (b"hello\n", None), 0, 0]


def test_waiting_makes_no_thread(world: World, loop: Any) -> None:
    before = set(threading.enumerate())

    async def main() -> None:
        async with child(loop, "/bin/cat"):
            await turns()
            assert set(threading.enumerate()) <= before

    if THREADED and not world.is_ours:
        pytest.skip("3.11 waits in a thread")
    run(loop, main())


def test_the_users_handler_of_children_is_left_alone(world: World, loop: Any) -> None:
    heard: list[int] = []

    def handler(signum: int, frame: object) -> None:
        heard.append(signum)

    before = signal.signal(signal.SIGCHLD, handler)
    try:

        async def main() -> None:
            async with child(loop, "/bin/true") as (transport, protocol):
                assert signal.getsignal(signal.SIGCHLD) is handler
                await until(lambda: protocol.is_lost)
                assert transport.get_returncode() == 0

        run(loop, main())
        assert signal.getsignal(signal.SIGCHLD) is handler
        assert heard == [signal.SIGCHLD]
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_children_of_others_are_left_alone(world: World, loop: Any) -> None:
    async def main() -> None:
        foreign = subprocess.Popen(["/bin/sh", "-c", "exit 9"])
        async with child(loop, "/bin/true") as (_, protocol):
            await until(lambda: protocol.is_lost)
        assert foreign.wait() == 9

    run(loop, main())


# --- What goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(6))
def test_a_cancelled_start_leaves_nothing(world: World, loop: Any, count: int) -> None:
    reports = gather_reports(loop)
    made: list[Child] = []
    pids: list[int] = []

    def factory() -> Child:
        made.append(Child())
        return made[-1]

    async def main() -> None:
        start = asyncio.ensure_future(loop.subprocess_exec(factory, "/bin/cat"))
        await turns(count)
        if start.done():
            transport, _ = start.result()
            transport.close()
            await until(lambda: made[0].is_lost)
            return
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        if made:
            await until(lambda: made[0].is_lost)
            pids.append(made[0].transport.get_pid())
        await turns(5)

    run(loop, main())
    assert reports == []
    assert all(map(no_zombie, pids))


@pytest.mark.parametrize(
    "where",
    [
        "connection_made",
        "pipe_data_received",
        "pipe_connection_lost",
        "process_exited",
        "connection_lost",
    ],
)
def test_what_a_callback_raises_is_reported_and_the_child_lives_on(
    world: World, loop: Any, where: str
) -> None:
    reports = gather_reports(loop)

    async def main() -> None:
        script = "echo out; read line; exit 3"
        made = child(loop, "/bin/sh", "-c", script, factory=failing(Child, where))
        async with made as (transport, protocol):
            await until(lambda: protocol.out)
            transport.get_pipe_transport(0).write(b"\n")
            await until(lambda: protocol.is_lost)
            await turns()
            assert transport.get_returncode() == 3
            assert len(protocol.story) == 7
            with pytest.raises(ProcessLookupError):
                transport.kill()

    run(loop, main())
    count = 3 if where == "pipe_connection_lost" else 1
    assert [said(report["exception"]) for report in reports] == [f"LookupError: {where}"] * count
    assert all(report["message"].startswith("Exception in callback ") for report in reports)


# asyncio's watcher keeps the descriptor it has of the child.
@pytest.mark.may_leave_fds
@pytest.mark.filterwarnings("ignore:subprocess [0-9]+ is still running:ResourceWarning")
def test_a_child_left_behind_with_its_loop_is_ended_with_a_warning(
    world: World, in_time: None
) -> None:
    if THREADED and not world.is_ours:
        pytest.skip("3.11 has a thread that keeps the transport")
    loop = world.new_event_loop()

    async def main() -> Any:
        kwargs = {"stdin": None, "stdout": DEVNULL, "stderr": DEVNULL}
        return await loop.subprocess_exec(Child, "/bin/sleep", "60", **kwargs)

    transport, protocol = run(loop, main())
    pid = transport.get_pid()
    loop.close()
    with pytest.warns(ResourceWarning, match=r"^unclosed transport <\w+ pid=\d+ running>"):
        protocol.transport = None
        del transport, protocol
        gc.collect()
    # It has been waited for, or still waits for somebody to do so; it does not live.
    with contextlib.suppress(ChildProcessError):
        assert os.waitpid(pid, 0) == (pid, signal.SIGKILL)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# --- What a transport knows of itself -----------------------------------------------------------


def test_a_transport_tells_of_its_child(world: World, loop: Any) -> None:
    async def main() -> None:
        async with child(loop, "/bin/cat") as (transport, protocol):
            assert isinstance(transport, asyncio.SubprocessTransport)
            process = transport.get_extra_info("subprocess")
            assert isinstance(process, subprocess.Popen)
            assert (process.pid, process.returncode) == (transport.get_pid(), None)
            assert process.args == ("/bin/cat",)
            assert transport.get_extra_info("pipe", "default") == "default"
            assert transport.get_protocol() is protocol
            transport.kill()
            await until(lambda: protocol.is_lost)
            assert process.returncode == process.poll() == process.wait() == -9

    run(loop, main())


def test_another_protocol_can_take_over(world: World, loop: Any) -> None:
    async def main() -> None:
        async with child(loop, "/bin/cat") as (transport, first):
            second = Child()
            second.connection_made(transport)
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            transport.get_pipe_transport(0).write(b"data")
            await until(lambda: second.out)
            transport.close()
            await until(lambda: second.is_lost)
            assert first.story == ["made"]
            first.is_lost = True

    run(loop, main())


def test_a_transport_says_what_it_does(world: World, loop: Any) -> None:
    async def main() -> None:
        kwargs = {"stdin": None, "stdout": DEVNULL, "stderr": DEVNULL}
        made = child(loop, "/bin/sleep", "60", **kwargs)
        async with made as (transport, protocol):
            assert shape(transport) == "< pid=N running>"
            transport.kill()
            await until(lambda: protocol.is_lost)
            assert shape(transport) == "< pid=N returncode=-9>"
            transport.close()
            assert shape(transport) == "< closed pid=N returncode=-9>"
        async with child(loop, "/bin/cat") as (transport, protocol):
            pipes = [repr(transport.get_pipe_transport(fd)) for fd in range(3)]
            assert repr(transport).endswith(
                f" running stdin={pipes[0]} stdout={pipes[1]} stderr={pipes[2]}>"
            )

    run(loop, main())


def test_debug_mode_tells_of_children(world: World, loop: Any, logged: Log) -> None:
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    loop.set_debug(True)
    loop.slow_callback_duration = 100.0

    async def main() -> Any:
        async with child(loop, "/bin/cat", stdout=DEVNULL) as (transport, _):
            return transport.get_pid()

    try:
        pid = run(loop, main())
    finally:
        logging.getLogger("asyncio").setLevel(logging.NOTSET)
    texts = logged.texts()
    # DEVNULL is a number to asyncio, as any descriptor.
    assert "execute program '/bin/cat' stdin=<pipe> stdout=-3 stderr=<pipe>" in texts
    assert f"process '/bin/cat' created: pid {pid}" in texts
    for start, end in (
        ("execute program '/bin/cat': <", ">"),
        ("Close running child process: kill <", ">"),
        ("<", " exited with return code -9"),
    ):
        assert [text for text in texts if text.startswith(start) and text.endswith(end)], texts


@pytest.mark.slow
def test_a_program_that_ends_with_children_alive_ends_quietly(
    world: World, run_program: Any
) -> None:
    done = run_program(
        """
        import asyncio, signal

        async def main():
            process = await asyncio.create_subprocess_exec("/bin/sleep", "60")
            print(process.returncode)
            process.kill()
            print(await process.wait())

        asyncio.run(main())
        """
    )
    assert (done.out, done.err, done.status) == ("None\n-9\n", "", 0)
