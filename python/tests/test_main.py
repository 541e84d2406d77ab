"""`python -m batonloop`: the program runs as `python program` would run it.

What a program sees of itself, what it prints, its tracebacks and its exit status are compared
with those of `python` itself, byte for byte.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome, World, program_environment, run_command

# Everything here asks python first, which is stock asyncio's world.
PYTHON = [sys.executable]
LAUNCHER = [sys.executable, "-m", "batonloop"]


def both(ours: World, *args: str, stdin: str = "", cwd: Path, **kwargs: Any) -> Outcome:
    """Run it with python and with the launcher; both must do the same, which is returned."""
    expected = run_command([*PYTHON, *args], stdin=stdin, cwd=cwd, **kwargs)
    done = run_command([*LAUNCHER, *args], stdin=stdin, cwd=cwd, **kwargs)
    assert done == expected
    return done


def write(path: Path, source: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))
    return path


# What a program can see of how it was started.
SELF = """
import asyncio, json, os, sys
main = sys.modules["__main__"]

async def coroutine():
    await asyncio.sleep(0)

asyncio.run(coroutine())
print(json.dumps({
    "argv": sys.argv,
    "path": sys.path[0],
    "name": __name__,
    "file": globals().get("__file__"),
    "cached": globals().get("__cached__", "none"),
    "package": __package__,
    "spec": str(__spec__ and __spec__.name),
    "loader": type(__loader__).__name__,
    "doc": __doc__,
    "main": main.__dict__ is globals(),
    "names": sorted(n for n in globals() if n.startswith("__")),
    "builtins": type(__builtins__).__name__,
    "optimize": sys.flags.optimize,
    "dev": sys.flags.dev_mode,
}, indent=1))
"""


# --- What the program sees of itself ------------------------------------------


def test_a_file_sees_what_it_sees_under_python(ours: World, tmp_path: Path) -> None:
    write(tmp_path / "prog.py", '"""The doc."""\n' + SELF)
    done = both(ours, "prog.py", "one", "--two", "-m", "-c", cwd=tmp_path)
    seen = json.loads(done.out)
    assert seen["argv"] == ["prog.py", "one", "--two", "-m", "-c"]
    assert (seen["name"], seen["doc"]) == ("__main__", "The doc.")
    both(ours, str(tmp_path / "prog.py"), cwd=Path("/"))
    (tmp_path / "sub").mkdir()
    both(ours, "../prog.py", cwd=tmp_path / "sub")


def test_a_file_imports_its_neighbours(ours: World, tmp_path: Path) -> None:
    write(tmp_path / "code" / "neighbour.py", "word = 'found'")
    write(tmp_path / "code" / "prog.py", "import neighbour; print(neighbour.word)")
    done = both(ours, "code/prog.py", cwd=tmp_path)
    assert done.out == "found\n"
    os.symlink(tmp_path / "code" / "prog.py", tmp_path / "link.py")
    assert both(ours, "link.py", cwd=tmp_path).out == "found\n"


def test_a_module_sees_what_it_sees_under_python(ours: World, tmp_path: Path) -> None:
    write(tmp_path / "mod.py", SELF)
    write(tmp_path / "pack" / "__init__.py", "import sys; print('package', sys.argv)")
    write(tmp_path / "pack" / "inner.py", SELF)
    write(tmp_path / "pack" / "__main__.py", SELF)
    for name in ("mod", "pack.inner", "pack"):
        seen = json.loads(
            both(ours, "-m", name, "one", "-x", cwd=tmp_path).out.partition("]\n")[2]
            if name.startswith("pack")
            else both(ours, "-m", name, "one", "-x", cwd=tmp_path).out
        )
        assert seen["argv"][1:] == ["one", "-x"]
    both(ours, "-mmod", "one", cwd=tmp_path)


def test_code_sees_what_it_sees_under_python(ours: World, tmp_path: Path) -> None:
    seen = json.loads(both(ours, "-c", SELF, "one", "--two", cwd=tmp_path).out)
    assert seen["argv"] == ["-c", "one", "--two"]
    assert seen["path"] == ""
    both(ours, "-cprint('attached')", cwd=tmp_path)


@pytest.mark.parametrize("args", [(), ("-",), ("-", "one", "two")])
def test_a_program_may_come_from_the_standard_input(
    ours: World, tmp_path: Path, args: tuple[str, ...]
) -> None:
    seen = json.loads(both(ours, *args, stdin=SELF, cwd=tmp_path).out)
    assert seen["argv"] == list(args or [""])


def test_a_directory_or_an_archive_may_be_run(ours: World, tmp_path: Path) -> None:
    write(tmp_path / "app" / "__main__.py", SELF)
    write(tmp_path / "app" / "neighbour.py", "")
    both(ours, "app", "one", cwd=tmp_path)
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        archive.write(tmp_path / "app" / "__main__.py", "__main__.py")
    both(ours, "app.pyz", "one", cwd=tmp_path)


def test_options_of_python_stand_before_the_launcher(ours: World, tmp_path: Path) -> None:
    write(tmp_path / "prog.py", SELF)
    for options in (("-O",), ("-X", "dev"), ("-W", "ignore"), ("-u",), ("-P",)):
        expected = run_command([sys.executable, *options, "prog.py"], cwd=tmp_path)
        done = run_command([sys.executable, *options, "-m", "batonloop", "prog.py"], cwd=tmp_path)
        assert done == expected


def test_the_program_runs_on_our_loop(ours: World, tmp_path: Path) -> None:
    write(
        tmp_path / "prog.py",
        """
        import asyncio
        from asyncio import Future, Task, create_task, sleep
        import batonloop

        async def main():
            assert type(asyncio.get_running_loop()) is batonloop.EventLoop
            assert type(asyncio.current_task()) is batonloop.Task is Task
            assert (Future, create_task, sleep) == (
                batonloop.Future, batonloop.create_task, batonloop.sleep
            )

        asyncio.run(main())
        """,
    )
    assert run_command([*LAUNCHER, "prog.py"], cwd=tmp_path) == Outcome(0, "", "")


# --- How it ends --------------------------------------------------------------


@pytest.mark.parametrize(
    "end",
    [
        "pass",
        "sys.exit()",
        "sys.exit(0)",
        "sys.exit(3)",
        "sys.exit('words')",
        "sys.exit(None)",
        "sys.exit((1, 2))",
        "raise SystemExit",
        "raise SystemExit(7)",
        "1 / 0",
        "raise LookupError('words')",
        "raise KeyboardInterrupt",
        "raise BaseExceptionGroup('group', [KeyError(1), SystemExit(2)])",
        "os._exit(5)",
        "os.kill(os.getpid(), 15)",
        "import nowhere",
        "exit(4)",
    ],
)
@pytest.mark.parametrize("inside", [False, True], ids=["plain", "in a loop"])
def test_programs_end_as_under_python(ours: World, tmp_path: Path, end: str, inside: bool) -> None:
    if inside:
        source = f"import asyncio, os, sys\nasync def main():\n    {end}\nasyncio.run(main())\n"
    else:
        source = f"import os, sys\nprint('begins')\nsys.stdout.flush()\n{end}\n"
    write(tmp_path / "prog.py", source)
    expected = run_command([*PYTHON, "prog.py"], cwd=tmp_path)
    done = run_command([*LAUNCHER, "prog.py"], cwd=tmp_path)
    assert (done.status, done.out) == (expected.status, expected.out)
    if not inside:
        assert done.err == expected.err
    else:
        # What lies between the program's first and last frame is asyncio's there, ours here.
        assert done.err.splitlines()[:2] == expected.err.splitlines()[:2]
        assert done.err.splitlines()[-1:] == expected.err.splitlines()[-1:]


def test_a_traceback_shows_no_frame_of_the_launcher(ours: World, tmp_path: Path) -> None:
    write(
        tmp_path / "prog.py",
        """
        def outer():
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise LookupError("words") from error

        outer()
        """,
    )
    for args in (("prog.py",), ("-c", "import prog")):
        done = both(ours, *args, cwd=tmp_path)
        assert "batonloop" not in done.err
        assert done.err.count("Traceback (most recent call last):") == 2
    # With -m python shows two frames of what found the module; we show the program's alone.
    expected = run_command([*PYTHON, "-m", "prog"], cwd=tmp_path)
    done = run_command([*LAUNCHER, "-m", "prog"], cwd=tmp_path)
    kept = [line for line in expected.err.splitlines() if '"<frozen runpy>"' not in line]
    assert done.err.splitlines() == kept


def test_the_text_of_a_failing_program_is_shown(ours: World, tmp_path: Path) -> None:
    source = "def fail():\n    1 / 0\n\nfail()\n"
    both(ours, "-c", source, cwd=tmp_path)
    both(ours, "-", stdin=source, cwd=tmp_path)


@pytest.mark.parametrize(
    "source",
    ["def :\n", "print('unclosed\n", "if True:\npass\n", "\tx = 1\n  y = 2\n", "x = (\n"],
)
def test_a_program_that_is_none_fails_as_under_python(
    ours: World, tmp_path: Path, source: str
) -> None:
    (tmp_path / "prog.py").write_text(source)
    assert both(ours, "prog.py", cwd=tmp_path).status == 1


def test_a_missing_program_fails_as_under_python(ours: World, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "pack" / "__init__.py", "")
    for args in (
        ("nowhere.py",),
        ("-m", "nowhere"),
        ("-m", "pack"),
        ("-m", "pack.nowhere"),
        ("empty",),
    ):
        done = both(ours, *args, cwd=tmp_path)
        assert done.status in (1, 2)


def test_a_program_may_have_its_own_excepthook(ours: World, tmp_path: Path) -> None:
    write(
        tmp_path / "prog.py",
        """
        import sys, traceback

        def hook(kind, error, trace):
            print("hook:", kind.__name__, error, len(traceback.extract_tb(trace)))

        sys.excepthook = hook
        raise LookupError("words")
        """,
    )
    done = both(ours, "prog.py", cwd=tmp_path)
    assert done.out == "hook: LookupError words 1\n"


def test_what_runs_at_exit_still_runs(ours: World, tmp_path: Path) -> None:
    write(
        tmp_path / "prog.py",
        """
        import asyncio, atexit, sys
        import __main__

        class Last:
            def __del__(self):
                print("deleted")

        last = Last()
        atexit.register(lambda: print("at exit", __main__.last is not None))

        async def main():
            return "main"

        atexit.register(lambda: print(asyncio.run(main()), "at exit"))
        print("end")
        """,
    )
    done = both(ours, "prog.py", cwd=tmp_path)
    assert done.out == "end\nmain at exit\nat exit True\ndeleted\n"


def test_the_program_is_found_by_what_looks_for_main(ours: World, tmp_path: Path) -> None:
    write(
        tmp_path / "prog.py",
        """
        import inspect, pickle

        class Picklable:
            pass

        def function():
            return 1

        assert type(pickle.loads(pickle.dumps(Picklable()))) is Picklable
        print(inspect.getsource(function))
        print(inspect.getsourcefile(Picklable).endswith("prog.py"))
        """,
    )
    both(ours, "prog.py", cwd=tmp_path)
    both(ours, "-m", "prog", cwd=tmp_path)


@pytest.mark.slow
def test_processes_are_spawned_from_the_program(ours: World, tmp_path: Path) -> None:
    write(
        tmp_path / "prog.py",
        """
        import asyncio, concurrent.futures, multiprocessing

        def work(n):
            return n * n, __name__

        async def main():
            context = multiprocessing.get_context("spawn")
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
                loop = asyncio.get_running_loop()
                print(await loop.run_in_executor(pool, work, 5))

        if __name__ == "__main__":
            asyncio.run(main())
        """,
    )
    assert both(ours, "prog.py", cwd=tmp_path).out == "(25, '__mp_main__')\n"
    both(ours, "-m", "prog", cwd=tmp_path)


def test_a_program_reads_its_standard_input(ours: World, tmp_path: Path) -> None:
    write(tmp_path / "prog.py", "import sys; print(sys.stdin.read().upper())")
    assert both(ours, "prog.py", stdin="words", cwd=tmp_path).out == "WORDS\n"


# --- Control-C ----------------------------------------------------------------


CONTROL_C = """
import asyncio, os, signal, sys

async def main():
    asyncio.get_running_loop().call_later(0.001, os.kill, os.getpid(), signal.SIGINT)
    try:
        await asyncio.sleep(3600)
    finally:
        print("cleaned up")
        sys.stdout.flush()

asyncio.run(main())
"""


def test_control_c_ends_a_program_as_under_python(ours: World, tmp_path: Path) -> None:
    write(tmp_path / "prog.py", CONTROL_C)
    for command in (PYTHON, LAUNCHER):
        done = run_command([*command, "prog.py"], cwd=tmp_path)
        assert done.status == -signal.SIGINT
        assert done.out == "cleaned up\n"
        assert done.err.splitlines()[-1] == "KeyboardInterrupt"
        assert f"{os.sep}__main__.py" not in done.err


@pytest.mark.slow
def test_control_c_from_outside_ends_a_resting_program(ours: World, tmp_path: Path) -> None:
    write(
        tmp_path / "prog.py",
        """
        import asyncio

        async def main():
            print("resting", flush=True)
            await asyncio.get_running_loop().create_future()

        asyncio.run(main())
        """,
    )
    for command in (PYTHON, LAUNCHER):
        process = subprocess.Popen(
            [*command, "prog.py"],
            cwd=tmp_path,
            env=program_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "resting\n"
            # It says so just before it rests.
            time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == -signal.SIGINT
        assert err.splitlines()[-1] == "KeyboardInterrupt"


def test_a_broken_pipe_is_the_programs_to_mind(ours: World, tmp_path: Path) -> None:
    write(tmp_path / "prog.py", "print('x' * 100_000)")
    for command in (PYTHON, LAUNCHER):
        reading, writing = os.pipe()
        os.close(reading)
        process = subprocess.Popen(
            [*command, "prog.py"],
            cwd=tmp_path,
            env=program_environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(writing)
        _, err = process.communicate(timeout=30)
        assert process.returncode in (1, 120)
        assert "BrokenPipeError" in err


# --- The launcher's own words -------------------------------------------------


def test_the_launcher_tells_its_version(ours: World, tmp_path: Path) -> None:
    done = run_command([*LAUNCHER, "--version"], cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"batonloop {ours.module.__version__}"
    text = done.out.lower()
    assert ".".join(map(str, sys.version_info[:3])) in text
    assert "epoll" in text
    assert "shared" in text or "own" in text


def test_the_launcher_says_which_layout_is_forced(ours: World, tmp_path: Path) -> None:
    done = run_command([*LAUNCHER, "--version"], cwd=tmp_path, env={"BATONLOOP_LAYOUT": "own"})
    assert "own" in done.out and "shared" not in done.out


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_launcher_helps(ours: World, tmp_path: Path, option: str) -> None:
    done = run_command([*LAUNCHER, option], cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("usage: python -m batonloop")


@pytest.mark.parametrize("args", [("--no-such-option",), ("-m",), ("-c",), ("-x",)])
def test_the_launcher_refuses_what_it_does_not_know(
    ours: World, tmp_path: Path, args: tuple[str, ...]
) -> None:
    done = run_command([*LAUNCHER, *args], cwd=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert done.err != "" and "Traceback" not in done.err


def test_an_argument_that_looks_like_ours_is_the_programs(ours: World, tmp_path: Path) -> None:
    write(tmp_path / "prog.py", "import sys; print(sys.argv)")
    done = both(ours, "prog.py", "--version", "--help", "-m", cwd=tmp_path)
    assert done.out == "['prog.py', '--version', '--help', '-m']\n"


def test_the_launcher_leaves_a_small_footprint(ours: World, tmp_path: Path) -> None:
    # What a program may import later it must not find imported, beyond what asyncio needs.
    write(
        tmp_path / "prog.py",
        "import asyncio, sys; print(sorted(set(sys.modules) & {'json', 'numpy', 'unittest'}))",
    )
    assert both(ours, "prog.py", cwd=tmp_path).out == "[]\n"


def test_typing_is_imported_by_nobody_but_asyncio(ours: World) -> None:
    # Up to 3.13 asyncio does. Without the module site, which may import anything.
    program = """if 1:
        import asyncio, sys
        before = "typing" in sys.modules
        import batonloop

        async def main():
            return len(asyncio.all_tasks())

        print(batonloop.run(main()), ("typing" in sys.modules) == before)
        """
    done = run_command([sys.executable, "-S", "-c", program])
    assert (done.out, done.err) == ("1 True\n", "")


def test_the_stack_of_who_made_something_begins_in_the_program(run_program: Any) -> None:
    done = run_program(
        """
        import asyncio

        async def main():
            return asyncio.get_running_loop().create_future()

        future = asyncio.run(main(), debug=True)
        handle = asyncio.new_event_loop().call_later(1, print)
        for frame in future._source_traceback[:1]:
            print(frame.filename.rpartition("/")[2], frame.line)
        """
    )
    assert (done.out, done.status) == ("program.py future = asyncio.run(main(), debug=True)\n", 0)
