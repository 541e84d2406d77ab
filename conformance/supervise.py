"""Run tests in a worker process that may crash or hang, and lose only the test that did it.

The worker writes one JSON object a line to a pipe (see worker.py). When it dies, or when one
test takes longer than its limit, the test is noted as the cause, whatever is left of the
worker's process group is ended by its id, and a new worker goes on with the tests left over.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# Asked of a worker that hangs: faulthandler writes where each thread stands.
SHOW_STACKS = signal.SIGQUIT
# Imports and set-up before the first test, and the way out after the last one.
STARTUP_LIMIT = 120.0
EXIT_LIMIT = 20.0


class CannotStart(Exception):
    """The implementation could not be put in place; no test was run."""


@dataclass
class Outcome:
    """What became of one test."""

    test: str
    kind: str  # passed, failed, skipped, crashed or hung
    message: str = ""
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def bad(self) -> bool:
        return self.kind not in ("passed", "skipped")


class Worker:
    """One worker process, its pipe and its log."""

    def __init__(self, job: dict[str, Any], environ: dict[str, str], folder: str) -> None:
        self.finished = False  # It said that it has run all that it was asked to.
        self.status: int | None = None
        self._log_path = Path(folder, f"log-{time.monotonic_ns()}")
        # The program that runs this kind of tests.
        script = HERE / job.get("worker", "worker.py")
        self._pipe, write_fd = os.pipe()
        self._rest = b""
        with open(self._log_path, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", str(script), str(write_fd)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(write_fd,),
                env=environ,
                cwd=folder,
                # A group of its own: its id is the worker's, so ending it ends nothing else.
                start_new_session=True,
            )
        os.close(write_fd)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(job).encode())
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # It died at once; read() will say so.

    def read(self, timeout: float) -> list[dict[str, Any]] | None:
        """The next reports; an empty list after a quiet moment, None once there are no more."""
        ready, _, _ = select.select([self._pipe], [], [], timeout)
        if not ready:
            # A child that the worker left behind may hold the pipe open: ask the worker itself.
            return [] if self._process.poll() is None else None
        data = os.read(self._pipe, 65536)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def show_stacks(self) -> None:
        """Ask the process for the stacks of its threads and give it a moment to write them."""
        before = self._log_path.stat().st_size
        self._process.send_signal(SHOW_STACKS)
        for _ in range(10):
            time.sleep(0.05)
            if self._log_path.stat().st_size > before:
                break

    def end(self, patience: float = 0.0) -> int:
        """End the worker and what is left of its group; give how the worker itself ended."""
        if self.status is not None:
            return self.status
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self.status = self._process.wait()
        os.close(self._pipe)
        return self.status

    def log(self) -> str:
        """What the worker has printed so far."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")


def run_tests(
    job: dict[str, Any],
    tests: list[str],
    environ: dict[str, str],
    limit: float,
    on_log: Callable[[str], None],
) -> Iterator[Outcome]:
    """Run the tests in as many workers as it takes; one outcome for each that was started."""
    left = list(tests)
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        while left:
            worker = Worker({**job, "tests": left}, environ, folder)
            seen: set[str] = set()
            try:
                for outcome in _follow(worker, limit):
                    seen.add(outcome.test)
                    yield outcome
            finally:
                worker.end()
                on_log(worker.log())
            before, left = left, [test for test in left if test not in seen]
            if worker.finished or left == before:
                return


def name_tests(
    tests: list[str] | None, environ: dict[str, str], job: dict[str, Any] | None = None
) -> list[str]:
    """Those of the tests that the running Python has, or all that it has; none is run."""
    names = {"tests": tests, "names_only": True, "mode": "stock", "module": ""}
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        worker = Worker({**(job or {}), **names}, environ, folder)
        try:
            return [outcome.test for outcome in _follow(worker, STARTUP_LIMIT)]
        finally:
            worker.end()


def _follow(worker: Worker, limit: float) -> Iterator[Outcome]:
    """Turn one worker's reports into outcomes, with one for the test that ended it."""
    current: str | None = None
    since = time.monotonic()
    while (reports := worker.read(0.2)) is not None:
        for report in reports:
            since = time.monotonic()
            if report["event"] == "start":
                current = report["test"]
            elif report["event"] == "end":
                current = None
                yield Outcome(report["test"], report["kind"], report["message"], report)
            elif report["event"] == "finished":
                worker.finished = True
            else:
                raise CannotStart(report["message"])
        allowed = limit if current else STARTUP_LIMIT
        if time.monotonic() - since > allowed:
            worker.show_stacks()
            worker.end()
            if current:
                where = innermost_frame(worker.log())
                yield Outcome(current, "hung", f"no end after {allowed:g} s{where}")
            return
    status = worker.end(EXIT_LIMIT)
    if current:
        where = innermost_frame(worker.log())
        yield Outcome(current, "crashed", f"{status_text(status)}{where}")


def status_text(status: int) -> str:
    """`exit status 3` or `killed by SIGABRT`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def innermost_frame(log: str) -> str:
    """Where the main thread stood in faulthandler's last report of a log, if there is one."""
    start = r'most recent call first\):?\n\s+File "([^"]+)", line (\d+) in (\S+)'
    frames = re.findall(start, log)
    if not frames:
        return ""
    path, line, function = frames[-1]
    return f" in {function} at {os.path.basename(path)}:{line}"
