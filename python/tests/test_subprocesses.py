"""subprocess_exec and subprocess_shell: what is started, with which arguments, files and rights."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from child_tools import DEVNULL, PIPE, STDOUT, Child, child
from conftest import World
from io_tools import refusal, run, until

IS_ROOT = os.geteuid() == 0


async def outcome(loop: Any, *args: Any, **kwargs: Any) -> tuple[int, bytes, bytes]:
    """Run a program to its end; its status and what it wrote."""
    async with child(loop, *args, **kwargs) as (transport, protocol):
        stdin = transport.get_pipe_transport(0)
        if stdin is not None:
            stdin.close()
        await until(lambda: protocol.is_lost)
        return transport.get_returncode(), protocol.out, protocol.err


def shell(loop: Any, script: str, *args: Any, **kwargs: Any) -> Any:
    return outcome(loop, "/bin/sh", "-c", script, "name", *args, **kwargs)


# --- The program and its arguments -----------------------------------------------------


def test_arguments_may_be_text_bytes_or_paths(world: World, loop: Any) -> None:
    program: Any
    for program in ("/bin/echo", b"/bin/echo", Path("/bin/echo")):
        args = ("text", b"bytes", Path("a/path"), "", "with space", "ünï", b"\xff")
        assert run(loop, outcome(loop, program, *args)) == (
            0,
            b"text bytes a/path  with space \xc3\xbcn\xc3\xaf \xff\n",
            b"",
        )


def test_a_program_is_found_as_the_shell_finds_it(world: World, loop: Any, tmp_path: Path) -> None:
    assert run(loop, outcome(loop, "echo", "found")) == (0, b"found\n", b"")
    program = tmp_path / "our-own-program"
    program.write_text("#!/bin/sh\necho $0 $1\n")
    program.chmod(0o755)
    # The path is that of the child's environment, if it has one.
    got = run(loop, outcome(loop, "our-own-program", "x", env={"PATH": f"/nowhere:{tmp_path}"}))
    assert got == (0, f"{program} x\n".encode(), b"")
    got = run(loop, outcome(loop, "./our-own-program", "x", cwd=tmp_path))
    assert got == (0, b"./our-own-program x\n", b"")
    told = run(
        loop, refusal(loop.subprocess_exec(Child, "our-own-program", env={"PATH": "/nowhere"}))
    )
    assert told == "FileNotFoundError(2)"


def test_the_name_of_a_program_may_differ_from_its_file(world: World, loop: Any) -> None:
    got = run(loop, outcome(loop, "another-name", "-c", "echo $0", executable="/bin/sh"))
    assert got == (0, b"another-name\n", b"")


def test_a_script_runs_in_a_shell(world: World, loop: Any) -> None:
    async def main() -> None:
        cmd: Any
        for cmd in ("echo $((1 + 2)); exit 7", b"echo $((1 + 2)); exit 7"):
            transport, protocol = await loop.subprocess_shell(Child, cmd)
            await until(lambda protocol=protocol: protocol.is_lost)
            assert (transport.get_returncode(), protocol.out) == (7, b"3\n")
            transport.close()

    run(loop, main())


class Never:
    """A factory that must not be called."""

    def __call__(self) -> Any:
        raise AssertionError("the factory was called")


@pytest.mark.parametrize(
    ("kwargs", "told"),
    [
        ({"universal_newlines": True}, "universal_newlines must be False"),
        ({"bufsize": 1}, "bufsize must be 0"),
        ({"bufsize": -1}, "bufsize must be 0"),
        ({"text": True}, "text must be False"),
        ({"encoding": "utf-8"}, "encoding must be None"),
        ({"errors": "strict"}, "errors must be None"),
    ],
)
def test_nothing_but_bytes_goes_through_the_pipes(
    world: World, loop: Any, kwargs: dict[str, Any], told: str
) -> None:
    for made in (
        loop.subprocess_exec(Never(), "/bin/true", **kwargs),
        loop.subprocess_shell(Never(), "true", **kwargs),
    ):
        assert run(loop, refusal(made)) == f"ValueError: {told}"


def test_exec_is_no_shell_and_shell_no_exec(world: World, loop: Any) -> None:
    cases = {
        "ValueError: shell must be False": loop.subprocess_exec(Never(), "true", shell=True),
        "ValueError: shell must be True": loop.subprocess_shell(Never(), "true", shell=False),
    }
    for told, made in cases.items():
        assert run(loop, refusal(made)) == told
    for cmd in (["true"], None, 5, Path("true")):
        made = loop.subprocess_shell(Never(), cmd)
        assert run(loop, refusal(made)) == "ValueError: cmd must be a string"


# What no child can be started with: the arguments, and those by name.
WRONG: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((5,), {}),
    ((None,), {}),
    ((["/bin/true"],), {}),
    (("/bin/true", 5), {}),
    (("/bin/true", None), {}),
    (("/bin/true", "nul\0byte"), {}),
    (("nul\0byte",), {}),
    (("/bin/true", "\ud800"), {}),
    (("",), {}),
    (("/nonexistent/program",), {}),
    (("no-such-program-anywhere",), {}),
    (("/",), {}),
    (("/etc/hostname",), {}),
    (("/bin/true/below",), {}),
    (("/bin/true",), {"cwd": "/nonexistent/directory"}),
    (("/bin/true",), {"cwd": "/bin/true"}),
    (("/bin/true",), {"cwd": Path("/nonexistent/directory")}),
    (("/bin/true",), {"cwd": b"/nonexistent/directory"}),
    (("/bin/true",), {"cwd": "nul\0byte"}),
    (("/bin/true",), {"cwd": 5}),
    (("/bin/true",), {"cwd": 1.5}),
    (("/bin/true",), {"env": {"a=b": "c"}}),
    (("/bin/true",), {"env": {"": "c"}}),
    (("/bin/true",), {"env": {"a": 5}}),
    (("/bin/true",), {"env": {5: "a"}}),
    (("/bin/true",), {"env": {"a": "nul\0byte"}}),
    (("/bin/true",), {"env": {"nul\0byte": "a"}}),
    (("/bin/true",), {"env": 5}),
    (("/bin/true",), {"env": ["a=b"]}),
    (("/bin/true",), {"pass_fds": [-1]}),
    (("/bin/true",), {"pass_fds": [2**40]}),
    (("/bin/true",), {"pass_fds": 5}),
    (("/bin/true",), {"stdin": STDOUT, "stdout": None}),
    (("/bin/true",), {"stdin": "text"}),
    (("/bin/true",), {"stdout": 1.5}),
    (("/bin/true",), {"stderr": object()}),
    (("/bin/true",), {"stdout": 100_000}),
    (("/bin/true",), {"user": "no-such-user"}),
    (("/bin/true",), {"user": -1}),
    (("/bin/true",), {"user": 1.5}),
    (("/bin/true",), {"user": 2**64}),
    (("/bin/true",), {"group": "no-such-group"}),
    (("/bin/true",), {"group": -1}),
    (("/bin/true",), {"group": 1.5}),
    (("/bin/true",), {"extra_groups": ["no-such-group"]}),
    (("/bin/true",), {"extra_groups": [-1]}),
    (("/bin/true",), {"extra_groups": [1.5]}),
    (("/bin/true",), {"extra_groups": "text"}),
    (("/bin/true",), {"umask": "text"}),
    (("/bin/true",), {"umask": 1.5}),
    (("/bin/true",), {"process_group": "text"}),
    (("/bin/true",), {"process_group": 2**31 - 1}),
    (("/bin/true",), {"process_group": 1.5}),
    (("/bin/true",), {"startupinfo": 5}),
    (("/bin/true",), {"creationflags": 5}),
    (("/bin/true",), {"executable": "/nonexistent/executable"}),
    (("/bin/true",), {"executable": 5}),
    (("/bin/true",), {"pipesize": "text"}),
    (("/bin/true",), {"nonsense": 5}),
    (("/bin/true",), {"preexec_fn": 5}),
    (("/bin/true",), {"preexec_fn": lambda: 1 / 0}),
]


# A child whose start fails in Popen's constructor complains when it is deleted.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_what_is_wrong_is_said_by_popen(world: World, loop: Any) -> None:
    async def ours(args: Any, kwargs: Any) -> None:
        async with child(loop, *args, **kwargs):
            pass

    def theirs(args: Any, kwargs: Any) -> None:
        pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}
        with subprocess.Popen(args, bufsize=0, **(pipes | kwargs)):
            pass

    def told(call: Callable[[], None]) -> object:
        try:
            call()
        except Exception as error:
            return type(error), error.args, getattr(error, "filename", None)
        return "nothing is wrong"

    mismatches = []
    for args, kwargs in WRONG:
        got = told(lambda args=args, kwargs=kwargs: run(loop, ours(args, kwargs)))
        expected = told(lambda args=args, kwargs=kwargs: theirs(args, kwargs))
        if got != expected:
            mismatches.append(f"{args}, {kwargs}: {got}, but Popen says {expected}")
    assert mismatches == []


def test_a_file_that_is_no_program(world: World, loop: Any, tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_text("nothing that can be run\n")
    for mode, kind, number in ((0o644, PermissionError, 13), (0o755, OSError, 8)):
        path.chmod(mode)
        with pytest.raises(kind) as caught:
            run(loop, loop.subprocess_exec(Child, path))
        assert (caught.value.errno, os.fspath(caught.value.filename)) == (number, str(path))


# --- Standard streams -------------------------------------------------------------------


def test_streams_are_pipes_unless_said_otherwise(world: World, loop: Any) -> None:
    script = "for fd in 0 1 2; do readlink /proc/$$/fd/$fd; done; test -p /proc/$$/fd/1 && echo p"
    status, out, _ = run(loop, shell(loop, script))
    lines = out.decode().split()
    # Pipes, not sockets: a child may open them again by name.
    assert status == 0 and [line[:6] for line in lines] == ["pipe:["] * 3 + ["p"]
    assert len(set(lines)) == 4


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_a_stream_may_be_anything(world: World, loop: Any, tmp_path: Path, stream: str) -> None:
    number = ["stdin", "stdout", "stderr"].index(stream)
    report = "stderr" if stream == "stdout" else "stdout"
    output = 2 if stream == "stdout" else 1
    script = f"name=$(readlink /proc/$$/fd/{number}); echo $name >&{output}"
    path = tmp_path / "file"
    path.touch()
    with path.open("r+") as file:
        inherited = os.readlink(f"/proc/self/fd/{number}")
        for value, expected in (
            (None, inherited),
            (DEVNULL, "/dev/null"),
            (file, str(path)),
            (file.fileno(), str(path)),
        ):
            kwargs = {stream: value, report: PIPE}
            status, out, err = run(loop, shell(loop, script, **kwargs))
            said_by_child = err if stream == "stdout" else out
            assert (status, said_by_child.decode()) == (0, expected + "\n")


def test_errors_may_go_where_the_output_goes(world: World, loop: Any, tmp_path: Path) -> None:
    script = "echo one; echo two >&2; echo three"
    assert run(loop, shell(loop, script, stderr=STDOUT)) == (0, b"one\ntwo\nthree\n", b"")
    with open(tmp_path / "file", "w+b") as file:
        assert run(loop, shell(loop, script, stdout=file, stderr=STDOUT)) == (0, b"", b"")
        file.seek(0)
        assert file.read() == b"one\ntwo\nthree\n"


def test_a_stream_may_stand_in_the_place_of_another(world: World, loop: Any) -> None:
    # The descriptors that the child gets are crossed over.
    r, w = os.pipe()
    script = "echo to the output; echo to the errors >&2"
    keep = os.dup(1), os.dup(2)
    try:
        os.dup2(w, 1)
        status, _, err = run(loop, shell(loop, script, stdout=2, stderr=1))
    finally:
        os.dup2(keep[0], 1)
        for fd in (*keep, w):
            os.close(fd)
    assert (status, err) == (0, b"")
    assert os.read(r, 100) == b"to the errors\n"
    os.close(r)


def test_a_terminal_may_be_the_streams(world: World, loop: Any) -> None:
    outer, inner = os.openpty()
    script = "test -t 0 && test -t 1 && test -t 2 && read line && echo got $line"
    os.write(outer, b"hello\n")
    status, _, _ = run(loop, shell(loop, script, stdin=inner, stdout=inner, stderr=inner))
    os.close(inner)
    assert status == 0
    assert os.read(outer, 100).endswith(b"got hello\r\n")
    os.close(outer)


# --- What the child sees ----------------------------------------------------------------


def test_an_environment_replaces_ours(world: World, loop: Any) -> None:
    assert run(loop, outcome(loop, "/usr/bin/env", env={})) == (0, b"", b"")
    env = {"ONE": "1", b"TWO": b"\xff", "ÜMLAUT": "ä", "EMPTY": ""}
    _, out, _ = run(loop, outcome(loop, "/usr/bin/env", env=env))
    assert sorted(out.split(b"\n")) == sorted(
        [b"", b"ONE=1", b"TWO=\xff", "ÜMLAUT=ä".encode(), b"EMPTY="]
    )


def test_our_environment_is_inherited(
    world: World, loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATONLOOP_OF_THE_PARENT", "just set")
    assert run(loop, shell(loop, 'echo "$BATONLOOP_OF_THE_PARENT"')) == (0, b"just set\n", b"")


def test_a_directory_may_be_chosen(world: World, loop: Any, tmp_path: Path) -> None:
    cwd: Any
    for cwd in (str(tmp_path), tmp_path, os.fsencode(tmp_path)):
        got = run(loop, outcome(loop, "/bin/pwd", "-P", cwd=cwd))
        assert got == (0, os.fsencode(tmp_path.resolve()) + b"\n", b"")


def test_descriptors_are_closed_unless_passed(world: World, loop: Any) -> None:
    r, w = os.pipe()
    os.set_inheritable(w, True)
    try:
        script = f"test -e /proc/$$/fd/{w} && echo yes; test -e /proc/$$/fd/{r} && echo no"
        assert run(loop, shell(loop, script))[1] == b""
        assert run(loop, shell(loop, script, close_fds=False))[1] == b"yes\n"
        os.set_inheritable(w, False)
        assert run(loop, shell(loop, script, close_fds=False))[1] == b""
        assert run(loop, shell(loop, f"echo passed >/proc/self/fd/{w}", pass_fds=(w,))) == (
            0,
            b"",
            b"",
        )
        assert os.read(r, 100) == b"passed\n"
        # The child's copy was inheritable, ours is not.
        assert os.get_inheritable(w) is False
    finally:
        os.close(r)
        os.close(w)


def test_a_child_has_its_streams_and_no_more(world: World, loop: Any) -> None:
    # Among others, nothing of the loop: its epoll, its wake-up.
    _, out, _ = run(loop, shell(loop, "ls /proc/$$/fd"))
    assert out.split() == [b"0", b"1", b"2"]


def test_a_child_may_have_a_session_or_a_group_of_its_own(world: World, loop: Any) -> None:
    async def main() -> None:
        async with child(loop, "/bin/cat") as (transport, _):
            pid = transport.get_pid()
            assert (os.getsid(pid), os.getpgid(pid)) == (os.getsid(0), os.getpgid(0))
        async with child(loop, "/bin/cat", start_new_session=True) as (transport, _):
            pid = transport.get_pid()
            assert (os.getsid(pid), os.getpgid(pid)) == (pid, pid)
        async with child(loop, "/bin/cat", process_group=0) as (transport, _):
            first = transport.get_pid()
            assert (os.getsid(first), os.getpgid(first)) == (os.getsid(0), first)
            async with child(loop, "/bin/cat", process_group=first) as (transport, _):
                assert os.getpgid(transport.get_pid()) == first

    run(loop, main())


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_function_may_run_in_the_child(world: World, loop: Any) -> None:
    r, w = os.pipe()

    def before() -> None:
        os.write(w, b"%d" % os.getpid())
        os.environ["SET_IN_THE_CHILD"] = "yes"
        os.chdir("/")

    async def main() -> None:
        async with child(loop, "/bin/pwd", preexec_fn=before) as (transport, protocol):
            await until(lambda: protocol.is_lost)
            assert protocol.out == b"/\n"
            assert os.read(r, 100) == b"%d" % transport.get_pid()
        assert "SET_IN_THE_CHILD" not in os.environ
        assert os.getcwd() != "/"

    run(loop, main())
    os.close(r)
    os.close(w)


def test_a_mask_may_be_chosen(world: World, loop: Any) -> None:
    for umask, expected in ((-1, None), (0o077, b"0077\n"), (0, b"0000\n")):
        _, out, _ = run(loop, shell(loop, "umask", umask=umask))
        assert expected is None or out == expected


@pytest.mark.skipif(not IS_ROOT, reason="only root may become another")
def test_a_child_may_be_another_user(world: World, loop: Any) -> None:
    script = "id -u; id -g; id -G"
    _, out, err = run(loop, shell(loop, script, user=65534, group=65533, extra_groups=[65532]))
    assert (out.split(), err) == ([b"65534", b"65533", b"65533", b"65532"], b"")
    _, out, _ = run(loop, shell(loop, "id -u; id -g", user="nobody"))
    assert out.split()[0] == b"65534"


@pytest.mark.skipif(IS_ROOT, reason="root may become another")
def test_only_root_may_become_another(world: World, loop: Any) -> None:
    for kwargs in ({"user": 0}, {"group": 0}, {"extra_groups": [0]}):
        told = run(loop, refusal(loop.subprocess_exec(Child, "/bin/true", **kwargs)))
        assert told == "PermissionError(1)"


def signals_of(out: bytes) -> dict[str, int]:
    """The signals that a child blocks and ignores, from /proc/PID/status."""
    pairs = (line.split(b":") for line in out.splitlines())
    return {name.decode(): int(value, 16) for name, value in pairs}


def test_a_child_starts_with_plain_signals(world: World, loop: Any) -> None:
    command = ("/bin/grep", "-E", "SigBlk|SigIgn", "/proc/self/status")
    sigpipe = 1 << signal.SIGPIPE - 1
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    loop.add_signal_handler(signal.SIGUSR1, print)
    got = signals_of(run(loop, outcome(loop, *command))[1])
    assert got["SigBlk"] == 0
    assert got["SigIgn"] & sigpipe == 0
    got = signals_of(run(loop, outcome(loop, *command, restore_signals=False))[1])
    assert got["SigIgn"] & sigpipe == sigpipe
    # What the parent blocks, the child does.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        got = signals_of(run(loop, outcome(loop, *command))[1])
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
    assert got["SigBlk"] == 1 << signal.SIGUSR2 - 1
    loop.remove_signal_handler(signal.SIGUSR1)


@pytest.mark.slow
def test_the_hooks_of_fork_run_only_for_a_function_in_the_child(
    world: World, run_program: Any
) -> None:
    done = run_program(
        """
        import asyncio, os, warnings

        warnings.simplefilter("ignore")
        os.register_at_fork(before=lambda: print("forks"))

        async def main():
            for kwargs in ({}, {"start_new_session": True}, {"preexec_fn": os.getpid}):
                process = await asyncio.create_subprocess_exec("/bin/true", **kwargs)
                print(await process.wait())

        asyncio.run(main())
        """
    )
    assert (done.out, done.err, done.status) == ("0\n0\nforks\n0\n", "", 0)


def test_our_own_streams_stay_as_they_are(world: World, loop: Any) -> None:
    before = [(os.fstat(fd), os.get_blocking(fd), os.get_inheritable(fd)) for fd in (0, 1, 2)]
    run(loop, shell(loop, "true", stdin=0, stdout=1, stderr=2))
    after = [(os.fstat(fd), os.get_blocking(fd), os.get_inheritable(fd)) for fd in (0, 1, 2)]
    assert [(stat.S_IFMT(a.st_mode), a.st_ino, *rest) for a, *rest in before] == [
        (stat.S_IFMT(a.st_mode), a.st_ino, *rest) for a, *rest in after
    ]


def test_pythons_own_child_speaks_back(world: World, loop: Any) -> None:
    program = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1]); sys.exit(4)"

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", program), stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        assert await process.communicate(b"abc") == (b"cba", b"")
        assert process.returncode == 4

    run(loop, main())
