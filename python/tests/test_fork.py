"""fork: the child starts afresh, the parent goes on."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from conftest import World

# Each program forks, lets the child print what it found by its exit status, and waits for it.
PRELUDE = """
import asyncio, os, signal, sys, threading, time

def in_child(function):
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)
    status = 99
    try:
        status = function() or 0
    except BaseException as error:
        print("child:", type(error).__name__, error, file=sys.stderr)
    finally:
        sys.stdout.flush()
        os._exit(status)

"""


def ran(done: Any, out: str) -> None:
    assert (done.out, done.status) == (out, 0), done.err


def test_a_child_sees_no_running_loop(world: World, run_program: Any) -> None:
    program = """
def child():
    try:
        asyncio.get_running_loop()
    except RuntimeError as error:
        print("child:", error)
    print("child:", asyncio._get_running_loop())

async def main():
    loop = asyncio.get_running_loop()
    assert in_child(child) == 0
    assert asyncio.get_running_loop() is loop
    await asyncio.sleep(0.001)
    print("parent goes on")

asyncio.run(main())
"""
    expected = "child: no running event loop\nchild: None\nparent goes on\n"
    ran(run_program(PRELUDE + program), expected)


def test_a_child_of_a_running_loop_runs_a_loop_of_its_own(world: World, run_program: Any) -> None:
    program = """
def child():
    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.001)
        result = await loop.run_in_executor(None, int, "7")
        tasks = [asyncio.create_task(asyncio.sleep(0.001, n)) for n in range(5)]
        assert await asyncio.gather(*tasks) == list(range(5))
        assert len(asyncio.all_tasks()) == 1
        return result
    return asyncio.run(main())

async def main():
    statuses = []
    for _ in range(3):
        statuses.append(in_child(child))
        await asyncio.sleep(0.001)
    assert await asyncio.get_running_loop().run_in_executor(None, int, "5") == 5
    print(statuses)

asyncio.run(main())
"""
    ran(run_program(PRELUDE + program, options=("-W", "ignore")), "[7, 7, 7]\n")


def test_a_child_of_a_loop_that_does_not_run(world: World, run_program: Any) -> None:
    program = """
loop = asyncio.new_event_loop()
loop.run_until_complete(asyncio.sleep(0))

def child():
    own = asyncio.new_event_loop()
    result = own.run_until_complete(asyncio.sleep(0.001, 3))
    own.close()
    return result

print(in_child(child))
# The parent's loop still rests and wakes.
threading.Timer(0.005, loop.call_soon_threadsafe, (loop.stop,)).start()
loop.run_forever()
print(loop.run_until_complete(asyncio.sleep(0.001, "parent goes on")))
loop.close()
"""
    ran(run_program(PRELUDE + program), "3\nparent goes on\n")


def test_a_descriptor_watched_before_the_fork_still_wakes_the_parent(
    world: World, run_program: Any
) -> None:
    program = """
async def main():
    loop = asyncio.get_running_loop()
    reading, writing = os.pipe()
    future = loop.create_future()
    loop.add_reader(reading, lambda: future.done() or future.set_result(os.read(reading, 10)))

    def child():
        # It lives in a loop of its own, and writes into the parent's pipe.
        async def main():
            await asyncio.sleep(0.001)
            os.write(writing, b"from child")
        asyncio.run(main())

    assert in_child(child) == 0
    print((await future).decode())
    loop.remove_reader(reading)

asyncio.run(main())
"""
    ran(run_program(PRELUDE + program), "from child\n")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 leaves the wake-up descriptor set")
def test_a_signal_of_the_child_is_not_the_parents(world: World, run_program: Any) -> None:
    program = """
async def main():
    loop = asyncio.get_running_loop()
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "signal")

    def child():
        os.kill(os.getpid(), signal.SIGUSR1)
        return signal.set_wakeup_fd(-1) + 1

    print("wake-up descriptor of the child + 1:", in_child(child))
    for _ in range(5):
        await asyncio.sleep(0.001)
    print("parent saw", seen)
    os.kill(os.getpid(), signal.SIGUSR1)
    while not seen:
        await asyncio.sleep(0.001)
    print("parent saw", seen)

asyncio.run(main())
"""
    expected = "wake-up descriptor of the child + 1: 0\nparent saw []\nparent saw ['signal']\n"
    ran(run_program(PRELUDE + program), expected)


def test_tasks_and_futures_of_the_parent_end_quietly_in_the_child(
    world: World, run_program: Any
) -> None:
    program = """
import gc

async def wait(future):
    await future

async def main():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    task = asyncio.create_task(wait(future))
    loop.call_later(3600, print)
    await asyncio.sleep(0)

    def child():
        gc.collect()
        # Settling what was inherited touches the child's copy only.
        future.set_result(None)
        return 4

    print(in_child(child), future.done(), task.done())
    future.set_result(None)
    await task
    print("parent goes on")

asyncio.run(main())
"""
    ran(run_program(PRELUDE + program), "4 False False\nparent goes on\n")


@pytest.mark.slow
def test_multiprocessing_by_fork_works_in_a_running_loop(world: World, run_program: Any) -> None:
    program = """
import asyncio, multiprocessing

async def work():
    await asyncio.sleep(0.001)
    return 5

def child(queue):
    queue.put(asyncio.run(work()))

async def main():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    print(await asyncio.to_thread(queue.get))
    await asyncio.to_thread(process.join)
    print(process.exitcode)

asyncio.run(main())
"""
    ran(run_program(program), "5\n0\n")
