#!/usr/bin/env python3
"""Make the two lists of tests for the running Python from a run of stock asyncio.

    python3.16 conformance/make_list.py           # writes cpython/lists/{loop,full}-3.16.txt

A test may be asked of another loop if it passes on asyncio, makes a loop by public means, and
its own code looks into no private part of it. Classes that test asyncio's own machinery, or
the same thing as another class, are named below; so are tests whose looking-in the probe
cannot see. A list is made once for each Python and then kept by hand.
"""

from __future__ import annotations

import sys
from typing import Any

import lists
import run
import session
import supervise

# Not for another loop: the class tests what only asyncio's own loop has, or repeats another.
NOT_LOOP = {
    "test_events.PollEventLoopTests",  # The EPoll class again; the selector means nothing.
    "test_events.SelectEventLoopTests",
    "test_sendfile.PollEventLoopTests",
    "test_sendfile.SelectEventLoopTests",
    "test_sock_lowlevel.PollEventLoopTests",
    "test_sock_lowlevel.SelectEventLoopTests",
    "test_subprocess.SubprocessFastWatcherTests",  # Child watchers are asyncio's own.
    "test_subprocess.SubprocessSafeWatcherTests",
    "test_subprocess.SubprocessPidfdWatcherTests",
    "test_subprocess.GenericWatcherTests",
    "test_tasks.CTaskSubclass_PyFuture_Tests",  # A matrix of Task and Future; two serve.
    "test_tasks.CTask_CFuture_SubclassTests",
    "test_tasks.CTask_PyFuture_Tests",
    "test_tasks.PyTask_CFutureSubclass_Tests",
    "test_tasks.PyTask_CFuture_Tests",
    "test_tasks.PyTask_PyFuture_SubclassTests",
    "test_events.PolicyTests",  # The default policy itself.
    "test_unix_events.PolicyTests",
    "test_unix_events.SelectorEventLoopSignalTests",  # Mocks the module signal inside asyncio.
    "test_unix_events.SelectorEventLoopUnixSockSendfileTests",  # Calls private methods.
}
# For whoever has a Future and a Task, needing no loop of theirs.
FULL = {
    *(f"test_futures.{name}" for name in (
        "CFutureTests", "CSubFutureTests", "CFutureDoneCallbackTests",
        "CSubFutureDoneCallbackTests", "CFutureInheritanceTests", "DuckTests")),
    "test_futures2.CFutureTests",
    "test_futures2.FutureReprTests",
    *(f"test_tasks.{name}" for name in (
        "CTask_CFuture_Tests", "CTask_CFuture_SubclassTests", "CTask_Future_Tests",
        "CTask_PyFuture_Tests", "PyTask_CFuture_Tests", "CIntrospectionTests",
        "CCurrentLoopTests", "FutureGatherTests", "CoroutineGatherTests",
        "RunCoroutineThreadsafeTests", "SleepTests", "CompatibilityTests",
        "GenericTaskTests")),
    *(f"test_eager_task_factory.{name}" for name in (
        "CEagerTaskFactoryLoopTests", "EagerCTaskTests", "NonEagerCTaskTests",
        "DefaultTaskFactoryEagerStart", "CustomTaskFactoryEagerStart")),
    *(f"test_events.{name}" for name in (
        "TestCGetEventLoop", "HandleTests", "TimerTests", "AbstractEventLoopTests",
        "TestAbstractServer")),
    *(f"test_{name}" for name in (
        "pep492", "protocols", "transports", "runners", "locks", "queues", "taskgroups",
        "timeouts", "waitfor", "threads", "staggered", "graph", "streams", "free_threading")),
}  # fmt: skip
# The twins in Python stay asyncio's; in full mode they say nothing about us.
NOT_FULL = {
    "test_futures2.PyFutureTests",
    "test_eager_task_factory.PyEagerTaskFactoryLoopTests",
    "test_eager_task_factory.EagerPyTaskTests",
    "test_eager_task_factory.NonEagerPyTaskTests",
    "test_tasks.PyTask_PyFuture_Tests",
    "test_tasks.PyCurrentLoopTests",
    "test_events.TestPyGetEventLoop",
}
# These look into asyncio's own parts in ways that the probe cannot see.
PRIVATE = {
    "test_ssl.TestSSL.test_flush_before_shutdown",
    "test_ssl.TestSSL.test_remote_shutdown_receives_trailing_data",
    "test_server.SelectorStartServerTests.test_start_server_1",
    "test_server.SelectorStartServerTests.test_start_unix_server_1",
    "test_sendfile.EPollEventLoopTests.test_sendfile_no_fallback_for_fallback_transport",
    "test_events.EPollEventLoopTests.test_unclosed_pipe_transport",
    "test_tasks.GenericTaskTests.test_asyncio_module_compiled",
    "test_tasks.CTask_CFuture_Tests.test_refleaks_in_task___init__",
    *(f"test_subprocess.{group}.{name}"
      for group in ("SubprocessThreadedWatcherTests", "SubprocessTests")
      for name in ("test_close_kill_running", "test_pause_reading", "test_popen_error",
                   "test_popen_error_with_stdin_pipe")),
    *(f"test_events.{group}.test_get_event_loop_{name}"
      for group in ("TestPyGetEventLoop", "PyGetEventLoopTests")
      for name in ("returns_running_loop", "returns_running_loop2", "new_process")),
}  # fmt: skip
if sys.version_info < (3, 13):
    PRIVATE |= {  # They attach connections to a server by private methods.
        "test_server.TestServer2.test_wait_closed_basic",
        "test_server.TestServer2.test_wait_closed_race",
    }
# Setting this on a loop is public use.
PUBLIC = {"sets loop.slow_callback_duration"}


def main() -> int:
    environ = session.environment("shared")
    job = {"mode": "probe", "module": ""}
    everything = supervise.name_tests(None, environ)
    loop: list[str] = []
    full: list[str] = []
    for outcome in supervise.run_tests(job, everything, environ, 60.0, lambda _text: None):
        for_loop, for_full = judge(outcome.test, outcome.kind, outcome.report)
        loop += [outcome.test] * for_loop
        full += [outcome.test] * for_full
        if outcome.bad:
            print(f"{outcome.kind} on stock asyncio: {outcome.test}: {outcome.message}")
    for mode, tests, what in (
        ("loop", loop, "that may be asked of any event loop"),
        ("full", full, "for a loop with its own Future, Task, ..."),
    ):
        path = lists.HERE / "lists" / f"{mode}-{run.VERSION}.txt"
        head = f"# Tests of CPython {run.VERSION}'s test.test_asyncio {what}: {len(tests)}.\n"
        path.write_text(head + "\n".join(tests) + "\n", encoding="utf-8")
        print(f"{path.name}: {len(tests)} tests")
    return 0


def judge(test: str, kind: str, notes: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the test belongs to the list of loop and to that of full."""
    group = test.rpartition(".")[0]
    if kind != "passed" or test in PRIVATE:
        return False, False
    in_full = group in FULL or group.partition(".")[0] in FULL
    looked = [note for note in notes.get("touched", []) if note not in PUBLIC]
    in_loop = bool(notes.get("loops")) and not looked and group not in NOT_LOOP
    return in_loop, in_full or (in_loop and group not in NOT_FULL)


if __name__ == "__main__":
    sys.exit(main())
