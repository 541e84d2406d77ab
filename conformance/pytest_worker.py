"""The process that runs tests of a pytest suite; started by supervise.py alone.

It does for other people's suites what worker.py does for CPython's: it reads a job, puts the
wanted implementation into asyncio before the first test module is imported, runs the tests that
the job names, and reports each start and each end.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from typing import IO, Any

import pytest
import world
from worker import Pipe, enter, leave


class Reporter:
    """A plugin of pytest that reports at once, so that a crash loses nothing."""

    def __init__(self, pipe: Pipe, job: dict[str, Any], log: IO[str]) -> None:
        self._pipe = pipe
        self._wanted = None if job["tests"] is None else set(job["tests"])
        self._names_only = bool(job.get("names_only"))
        self._log = log
        self._kind = ""
        self._message = ""

    def pytest_sessionstart(self) -> None:
        # pytest's own plugin wants these too, but what it keeps of a crash is lost to us.
        faulthandler.enable(file=self._log)
        faulthandler.register(signal.SIGQUIT, file=self._log, all_threads=True)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            message = last_line(str(report.longrepr))
            self._end(f"{report.nodeid} (to be collected)", "failed", message)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._wanted is not None:
            items[:] = [item for item in items if item.nodeid in self._wanted]
        if self._names_only:
            for item in items:
                self._end(item.nodeid, "passed", "")
            items.clear()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._kind, self._message = "passed", ""
        world.before_test()
        self._pipe.send(event="start", test=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self._kind != "failed":
            self._kind, self._message = "failed", first_line(report)
        elif report.skipped and self._kind == "passed" and not hasattr(report, "wasxfail"):
            self._kind = "skipped"

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._end(nodeid, self._kind, self._message, **world.after_test())

    def _end(self, test: str, kind: str, message: str, **notes: Any) -> None:
        self._pipe.send(event="end", test=test, kind=kind, message=message, **notes)


def first_line(report: pytest.TestReport) -> str:
    """What a test failed with, in one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return last_line(str(report.longrepr))
    where = f"{os.path.basename(crash.path)}:{crash.lineno}"
    return f"{(crash.message.splitlines() or [''])[0]} ({where})"[:400]


def last_line(text: str) -> str:
    """The end of a traceback."""
    return (text.strip().splitlines() or [""])[-1].removeprefix("E").strip()[:400]


def main() -> None:
    pipe = Pipe(int(sys.argv[1]))
    job = json.load(sys.stdin)
    # While a test runs, what it prints goes to pytest; this goes to our log all the same.
    log = open(os.dup(2), "w", encoding="utf-8")  # noqa: SIM115
    enter(pipe, job, for_cpython=False)
    # Our own folder has modules with plain names, and one called tests.
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
    # Processes that a test spawns would import this file, as the main module of their parent.
    del globals()["__file__"]
    os.chdir(job["folder"])
    status = pytest.main(
        [
            *job["options"], "--rootdir", job["folder"], "--tb=short", "-q",
            "--continue-on-collection-errors", "-p", "no:cacheprovider",
            # What a suite asks for itself may need plugins for convenience.
            "-o", "addopts=", "-o", "faulthandler_timeout=0",
        ],
        plugins=[Reporter(pipe, job, log)],
    )  # fmt: skip
    if status in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
        pipe.send(event="cannot start", message=f"pytest ended with {status!r}")
    else:
        pipe.send(event="finished")
    leave()


if __name__ == "__main__":
    main()
