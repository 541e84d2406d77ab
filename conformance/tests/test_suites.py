"""Other people's tests: what asyncio passes and we do not is noticed, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# The tests of somebody: one uses what broken.py spoils, one fails whatever the loop, one spawns a
# process, which imports what its parent's main module is.
SUITE = """
import asyncio
import multiprocessing


def test_sound():
    asyncio.run(asyncio.sleep(0))


def test_guilty():
    asyncio.run(asyncio.sleep(0.001))


def test_fails_on_both():
    assert 1 == 2


def test_after_all():
    child = multiprocessing.get_context("spawn").Process(target=int)
    child.start()
    child.join()
    assert child.exitcode == 0
    asyncio.run(asyncio.sleep(0))
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "test_somebody.py").write_text(SUITE)
    # What a suite asks of pytest for its own convenience is not obeyed.
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-plugin\n")
    return tmp_path


def conformance(suite: Path, *args: str, fault: str = "") -> subprocess.CompletedProcess[str]:
    environ = dict(os.environ, CONFORMANCE_BREAK=fault, PYTHONPATH=str(HERE))
    run = [sys.executable, str(HERE.parent / "run.py"), "--suite", str(suite)]
    return subprocess.run(
        [*run, "--module", "broken", "--mode", "loop", *args],
        capture_output=True,
        text=True,
        env=environ,
        timeout=120,
    )


def failures(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stdout.splitlines() if line.startswith("FAILED")]


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.splitlines()[-1]


def test_what_asyncio_fails_too_is_named_and_no_failure(suite: Path) -> None:
    done = conformance(suite)
    assert done.returncode == 0, done.stdout + done.stderr
    assert last_line(done) == "3 passed, 0 failed, 0 skipped"
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("asyncio fails"))
    assert line.startswith("asyncio fails too: test_somebody.py::test_fails_on_both: assert 1 == 2")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("fail", "LookupError: no timers (broken.py:"),
        ("abort", "crashed: killed by SIGABRT in call_later at broken.py:"),
        ("exit", "crashed: exit status 3"),
        ("hang", "hung: no end after 2 s in call_later at broken.py:"),
    ],
)
def test_a_fault_costs_only_the_test_that_meets_it(suite: Path, fault: str, message: str) -> None:
    done = conformance(suite, "--timeout", "2", fault=fault)
    assert done.returncode == 1
    (line,) = failures(done)
    assert line.startswith(f"FAILED test_somebody.py::test_guilty: {message}")
    assert last_line(done) == "2 passed, 1 failed, 0 skipped"


def test_an_implementation_that_makes_no_loop_fails_every_test_that_wants_one(suite: Path) -> None:
    done = conformance(suite, fault="import")
    assert done.returncode == 1
    assert len(failures(done)) == 3
    assert all("OSError: no loop to be had" in line for line in failures(done))


def test_a_test_that_exists_on_asyncio_alone_is_missed(suite: Path) -> None:
    (suite / "test_vanishing.py").write_text(
        "import asyncio\n"
        "if 'AnyLoop' not in type(asyncio.SelectorEventLoop).__name__:\n"
        "    def test_vanished(): pass\n"
    )
    done = conformance(suite)
    assert done.returncode == 1
    (line,) = failures(done)
    assert line == "FAILED test_vanishing.py::test_vanished: missing: it was never started"


def test_a_module_that_cannot_be_imported_on_ours_is_a_failure(suite: Path) -> None:
    (suite / "test_refusing.py").write_text(
        "import asyncio\n"
        "if 'AnyLoop' in type(asyncio.SelectorEventLoop).__name__:\n"
        "    raise TypeError('not on this loop')\n"
    )
    done = conformance(suite)
    assert done.returncode == 1
    (line,) = failures(done)
    assert line.startswith("FAILED test_refusing.py (to be collected): TypeError: not on this loop")


def test_a_suite_that_makes_no_loop_of_ours_proves_nothing(suite: Path) -> None:
    done = conformance(suite, "--only", "fails_on_both")
    assert done.returncode == 1
    assert failures(done) == ["FAILED: no loop was made"]


def test_stock_mode_runs_asyncio_alone(suite: Path) -> None:
    done = conformance(suite, "--mode", "stock", fault="abort")
    assert done.returncode == 1
    (line,) = failures(done)
    assert line.startswith("FAILED test_somebody.py::test_fails_on_both: assert 1 == 2")
    assert last_line(done) == "3 passed, 1 failed, 0 skipped"


def test_list_names_the_tests_and_runs_none(suite: Path) -> None:
    done = conformance(suite, "--list", fault="import")
    assert done.returncode == 0
    assert "test_somebody.py::test_guilty" in done.stdout.split()


def test_a_suite_that_pytest_refuses_is_one_failure(suite: Path) -> None:
    (suite / "conftest.py").write_text("raise RuntimeError('not today')\n")
    done = conformance(suite)
    assert done.returncode == 1
    assert last_line(done) == "0 passed, 1 failed, 0 skipped"


def test_a_test_may_be_left_out_with_a_reason_for_as_long_as_it_fails(suite: Path) -> None:
    (suite / "left-out.txt").write_text("*::test_guilty # it is too hard\n")
    done = conformance(suite, fault="fail")
    assert done.returncode == 0, done.stdout + done.stderr
    assert failures(done) == []
    done = conformance(suite)
    assert done.returncode == 1
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("PASSES"))
    assert line.startswith("PASSES test_somebody.py::test_guilty, but is left out")


def test_what_is_left_out_and_fails_on_asyncio_too_does_not_pass(suite: Path) -> None:
    (suite / "left-out.txt").write_text("*::test_fails_on_both # nobody can\n")
    done = conformance(suite)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSES" not in done.stdout
