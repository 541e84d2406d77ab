"""The process that runs tests of test.test_asyncio; started by supervise.py alone.

It reads a job (one JSON object) from its standard input, puts the wanted implementation into
asyncio before the first test module is imported, runs the tests that the job names, and
reports each start and each end as a line of JSON on the file descriptor of its argument.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import sys
import traceback
import unittest
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NoReturn

import world

PACKAGE = "test.test_asyncio."
ErrorInfo = tuple[type[BaseException], BaseException, TracebackType]


class Pipe:
    """Where the reports go."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)  # Programs that tests start have no use for it.
        self._fd = fd

    def send(self, **report: Any) -> None:
        data = json.dumps(report).encode() + b"\n"
        while data:
            data = data[os.write(self._fd, data) :]


class Result(unittest.TestResult):
    """A test result that reports at once, so that a crash loses nothing."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe
        self._kind = ""
        self._message = ""
        self._open = ""

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._begin(test)

    def _begin(self, test: unittest.TestCase) -> None:
        self._open = short_name(test)
        self._kind, self._message = "passed", ""
        world.before_test()
        self._pipe.send(event="start", test=self._open)

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self._finish()

    def _finish(self) -> None:
        self._pipe.send(
            event="end",
            test=self._open,
            kind=self._kind,
            message=self._message,
            **world.after_test(),
        )
        self._open = ""

    def addError(self, test: unittest.TestCase, err: ErrorInfo) -> None:
        super().addError(test, err)
        if isinstance(test, unittest.TestCase):
            self._fail(err)
        else:
            # A class or module fixture; its tests will be missing from the reports.
            print(f"in {test}:", flush=True)
            traceback.print_exception(*err)

    def addFailure(self, test: unittest.TestCase, err: ErrorInfo) -> None:
        super().addFailure(test, err)
        self._fail(err)

    def addSubTest(self, test: Any, subtest: Any, err: ErrorInfo | None) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._fail(err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        if not isinstance(test, unittest.TestCase):
            return
        # Some versions of unittest skip a test without having started it.
        fresh = self._open != short_name(test)
        if fresh:
            self._begin(test)
        if self._kind == "passed":
            self._kind, self._message = "skipped", reason
        if fresh:
            self._finish()

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._kind, self._message = "failed", "passed where a failure is expected"

    def _fail(self, err: ErrorInfo) -> None:
        if self._kind != "failed":
            self._kind = "failed"
            self._message = first_line(err)
        print(f"--- {self._open}", flush=True)
        traceback.print_exception(*err)
        sys.stderr.flush()


def first_line(err: ErrorInfo) -> str:
    """The exception as one line, as the last line of a traceback would name it."""
    text = "".join(traceback.format_exception_only(err[0], err[1])).strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines)[:400]


def short_name(test: unittest.TestCase) -> str:
    """`module.Class.test`, as the lists write it."""
    return test.id().removeprefix(PACKAGE)


def flatten(suite: Any) -> Iterator[unittest.TestCase]:
    """The test cases of a nested suite, in order."""
    if isinstance(suite, unittest.TestSuite):
        for item in suite:
            yield from flatten(item)
    else:
        yield suite


def load(names: list[str] | None) -> unittest.TestSuite:
    """The named tests, module by module; all tests there are for None."""
    if names is None:
        folder = os.path.dirname(importlib.import_module(PACKAGE.rstrip(".")).__file__ or "")
        files = sorted(file for file in os.listdir(folder) if file.startswith("test_"))
        modules = [file.removesuffix(".py") for file in files if file.endswith(".py")]
        modules = [m for m in modules if "windows" not in m and "proactor" not in m]
    else:
        modules = sorted({name.partition(".")[0] for name in names})
    wanted = None if names is None else set(names)
    suite = unittest.TestSuite()
    for name in modules:
        try:
            module = importlib.import_module(PACKAGE + name)
        except unittest.SkipTest as skip:
            print(f"{name}: skipped whole: {skip}", flush=True)
            continue
        except Exception:
            traceback.print_exc()
            continue
        found: dict[str, unittest.TestCase] = {}
        for test in flatten(unittest.defaultTestLoader.loadTestsFromModule(module)):
            if wanted is None or short_name(test) in wanted:
                found.setdefault(short_name(test), test)
        suite.addTests(found.values())
    return suite


def enter(pipe: Pipe, job: dict[str, Any], *, for_cpython: bool = True) -> None:
    """Put the wanted implementation into asyncio, or report why that cannot be."""
    try:
        world.enter(job["mode"], job["module"], for_cpython=for_cpython)
    except Exception as error:
        traceback.print_exc()
        pipe.send(event="cannot start", message=f"{type(error).__name__}: {error}")
        raise


def leave() -> NoReturn:
    """End the process: threads that a test left behind must not keep it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def main() -> None:
    pipe = Pipe(int(sys.argv[1]))
    job = json.load(sys.stdin)
    faulthandler.register(signal.SIGQUIT, all_threads=True)
    enter(pipe, job)
    suite = load(job["tests"])
    if job.get("names_only"):
        for test in flatten(suite):
            pipe.send(event="end", test=short_name(test), kind="passed", message="")
    else:
        suite.run(Result(pipe))
    pipe.send(event="finished")
    leave()


if __name__ == "__main__":
    main()
