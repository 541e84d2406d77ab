"""The end of a program: a loop left open, running or in use must not disturb it.

A native module that is careless here crashes when the interpreter is half gone.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import pytest
from conftest import World

LEFT_OPEN = """
import asyncio, os

async def wait(loop):
    try:
        await loop.create_future()
    finally:
        pass

class Last:
    def __del__(self):
        # The loop may be closed by now, or its module gone; whichever, the program ends well.
        try:
            loop.call_soon(print)
            loop.is_running()
        except Exception:
            pass

loop = asyncio.new_event_loop()
reading, writing = os.pipe()
loop.add_reader(reading, print, Last())
loop.call_soon(print, Last())
loop.call_later(3600, print, Last())
tasks = [loop.create_task(wait(loop)) for _ in range(10)]
loop.stop()
loop.run_forever()
tasks[0].last = Last()
future = loop.create_future()
future.add_done_callback(lambda future: Last())
print("end")
"""


@pytest.mark.parametrize("options", [(), ("-X", "dev")], ids=["plain", "dev mode"])
def test_a_loop_left_open(world: World, run_program: Any, options: tuple[str, ...]) -> None:
    done = run_program(LEFT_OPEN, options=options)
    assert done.status == 0, done.err
    assert done.out.startswith("<")
    assert done.out.endswith("end\n")


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("loop.call_soon(sys.exit, 3)", 3),
        ("loop.call_soon(os._exit, 4)", 4),
        ("loop.call_soon(os.kill, os.getpid(), 15)", -15),
        ("loop.call_later(0.001, sys.exit, 5)", 5),
        ("loop.add_signal_handler(10, sys.exit, 6); os.kill(os.getpid(), 10)", 6),
        ("loop.create_task(exit_inside())", 7),
    ],
)
def test_leaving_from_within_the_loop(
    world: World, run_program: Any, end: str, status: int
) -> None:
    done = run_program(
        f"""
        import asyncio, os, sys

        async def exit_inside():
            await asyncio.sleep(0)
            sys.exit(7)

        loop = asyncio.new_event_loop()
        {end}
        loop.run_forever()
        """
    )
    assert done.status == status, done.err


def test_a_loop_that_still_runs_in_a_daemon_thread(world: World, run_program: Any) -> None:
    done = run_program(
        """
        import asyncio, threading

        async def busy():
            while True:
                await asyncio.sleep(0)

        started = []
        for kind in ("resting", "busy"):
            loop = asyncio.new_event_loop()
            event = threading.Event()
            loop.call_soon(event.set)
            if kind == "busy":
                loop.create_task(busy())
            threading.Thread(target=loop.run_forever, daemon=True).start()
            event.wait()
        print("end")
        """
    )
    assert (done.out, done.status) == ("end\n", 0), done.err


BUSY = {
    "with Python callbacks": """
        def again():
            loop.call_soon(again)
        """,
    "with builtin callbacks": """
        adding = functools.partial(loop.call_soon)
        again = functools.partial(adding)
        again.__setstate__((adding, (again,), {}, {}))
        """,
    "with timers on a clock in Python": """
        class Loop(type(loop)):
            def time(self):
                for _ in range(1000):
                    pass
                return super().time()

        loop = Loop()

        def again():
            loop.call_later(0, again)
        """,
    "throwing exceptions in": """
        async def catch():
            while True:
                future = loop.create_future()
                loop.call_soon(future.set_exception, ValueError())
                try:
                    await future
                except ValueError:
                    for _ in range(10_000):
                        pass

        again = functools.partial(loop.create_task, catch())
        """,
    "reporting exceptions": """
        loop.set_exception_handler(lambda loop, context: [None for _ in range(1000)])

        def again():
            loop.call_soon(again)
            raise ValueError
        """,
    "of a task on asyncio's own loop": """
        loop = asyncio.SelectorEventLoop()

        async def spin():
            while True:
                for _ in range(1000):
                    pass
                await asyncio.sleep(0)

        def again():
            loop.create_task(spin())
        """,
}


@pytest.mark.parametrize("kind", BUSY)
def test_a_daemon_thread_that_is_busy_when_the_program_ends(
    world: World, run_program: Any, kind: str
) -> None:
    # Up to 3.13 the interpreter ends such a thread in the middle of whatever it calls, by unwinding
    # its stack.
    for _ in range(3):
        done = run_program(
            "import asyncio, functools, threading, time\n"
            "loop = asyncio.new_event_loop()\n"
            + textwrap.dedent(BUSY[kind])
            + textwrap.dedent(
                """
                loop.call_soon(again)
                threading.Thread(target=loop.run_forever, daemon=True).start()
                time.sleep(0.05)
                print("end")
                """
            )
        )
        assert (done.out, done.status) == ("end\n", 0), done.err


@pytest.mark.slow
def test_threads_that_still_call_a_loop(world: World, run_program: Any) -> None:
    done = run_program(
        """
        import asyncio, threading, time

        loop = asyncio.new_event_loop()

        def call():
            while True:
                loop.call_soon_threadsafe(int)

        for _ in range(3):
            threading.Thread(target=call, daemon=True).start()
        loop.run_until_complete(asyncio.sleep(0.02))
        print("end")
        """
    )
    assert (done.out, done.status) == ("end\n", 0), done.err


def test_an_exception_of_a_task_that_ends_with_the_program_is_logged(
    world: World, run_program: Any
) -> None:
    done = run_program(
        """
        import asyncio

        async def fail():
            raise LookupError("lost")

        async def main():
            global task
            task = asyncio.create_task(fail())
            await asyncio.sleep(0)

        asyncio.run(main())
        del task
        print("end")
        """
    )
    assert (done.out, done.status) == ("end\n", 0)
    assert done.err.startswith("Task exception was never retrieved\nfuture: <Task finished name=")
    assert done.err.endswith("LookupError: lost\n")


AWAITED = (
    "asyncio.Event().wait()",
    "asyncio.Semaphore(0).acquire()",
    "asyncio.StreamReader().read(1)",
    "asyncio.sleep(10)",
    "asyncio.wait_for(asyncio.Event().wait(), 10)",
)


def test_tasks_that_wait_when_the_program_ends(world: World, run_program: Any) -> None:
    # Nobody has collected them by then: Python does, when it is half gone.
    done = run_program(
        f"""
        import asyncio, gc

        async def main(loop, coroutine):
            await coroutine

        async def make(loop):
            for coroutine in [{", ".join(AWAITED)}]:
                task = loop.create_task(main(loop, coroutine))
                task._log_destroy_pending = False
            await asyncio.sleep(0)
            for task in asyncio.all_tasks():
                task._log_destroy_pending = False

        gc.disable()
        loop = asyncio.new_event_loop()
        loop.run_until_complete(make(loop))
        loop.close()
        del loop
        """
    )
    assert (done.out, done.err, done.status) == ("", "", 0)


def test_a_task_of_a_native_coroutine_that_waits_when_the_program_ends(
    world: World, run_program: Any
) -> None:
    if not world.shares_layout:
        pytest.skip("a task in a layout of our own cannot be shown when nothing can be imported")
    done = run_program(
        """
        import asyncio, gc

        async def make(loop):
            loop.create_task(asyncio.Event().wait())
            await asyncio.sleep(0)

        gc.disable()
        loop = asyncio.new_event_loop()
        loop.run_until_complete(make(loop))
        loop.close()
        del loop
        """
    )
    message = r"Task was destroyed but it is pending!\ntask: <Task pending .*Event\.wait.*>\n"
    assert re.fullmatch(message, done.err), done.err
    assert (done.out, done.status) == ("", 0)


def test_a_loop_may_be_run_at_exit(world: World, run_program: Any) -> None:
    done = run_program(
        """
        import asyncio, atexit

        async def main(word):
            await asyncio.sleep(0.001)
            print(word)

        atexit.register(lambda: asyncio.run(main("at exit")))
        asyncio.run(main("before"))
        """
    )
    assert (done.out, done.err, done.status) == ("before\nat exit\n", "", 0)
