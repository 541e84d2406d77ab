"""The runner notices failures, crashes and hangs, and loses nothing but the guilty test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import lists  # noqa: E402

# Two tests of a list; the second one is the only user of call_later among them.
TESTS = (
    "test_events.EPollEventLoopTests.test_add_fds",
    "test_events.EPollEventLoopTests.test_call",
)
GUILTY = "test_events.EPollEventLoopTests.test_call_later"


def conformance(*args: str, fault: str = "") -> subprocess.CompletedProcess[str]:
    environ = dict(os.environ, CONFORMANCE_BREAK=fault, PYTHONPATH=str(HERE))
    only = [part for test in TESTS for part in ("--only", test)]
    command = [sys.executable, str(HERE.parent / "run.py"), "--module", "broken", *only, *args]
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=120)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.splitlines()[-1]


def line_of(done: subprocess.CompletedProcess[str], start: str) -> str:
    return next(line for line in done.stdout.splitlines() if line.startswith(start))


def test_a_sound_loop_passes() -> None:
    done = conformance("--mode", "loop")
    assert done.returncode == 0, done.stdout + done.stderr
    assert last_line(done).endswith(" passed, 0 failed, 0 skipped")
    assert not last_line(done).startswith("0")


def test_stock_mode_replaces_nothing() -> None:
    done = conformance("--mode", "stock", fault="abort")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("fail", "LookupError: no timers | today"),
        ("abort", "crashed: killed by SIGABRT in call_later at broken.py:"),
        ("exit", "crashed: exit status 3"),
        ("hang", "hung: no end after 2 s in call_later at broken.py:"),
    ],
)
def test_a_fault_costs_only_the_test_that_meets_it(fault: str, message: str) -> None:
    sound = conformance("--mode", "loop")
    done = conformance("--mode", "loop", "--timeout", "2", fault=fault)
    assert done.returncode == 1
    assert line_of(done, f"FAILED {GUILTY}").startswith(f"FAILED {GUILTY}: {message}")
    passed = int(last_line(sound).split()[0])
    assert last_line(done) == f"{passed - 1} passed, 1 failed, 0 skipped"


def test_an_implementation_that_makes_no_loop_is_one_failure() -> None:
    done = conformance("--mode", "full", fault="import")
    assert done.returncode == 1
    assert "OSError: no loop to be had" in done.stdout
    assert last_line(done) == "0 passed, 1 failed, 0 skipped"


def test_workers_side_by_side_share_the_modules() -> None:
    done = conformance("--jobs", "2", "--only", "test_threads.")
    assert done.returncode == 0, done.stdout + done.stderr


def test_list_names_the_tests_and_runs_none() -> None:
    done = conformance("--list", fault="import")
    assert done.returncode == 0
    assert GUILTY in done.stdout.split()


def test_a_left_out_test_that_passes_is_told(tmp_path: Path) -> None:
    left_out = tmp_path / "left-out.txt"
    left_out.write_text(f"{GUILTY} loop # it was too hard\n")
    program = (
        "import sys, pathlib, lists, run\n"
        f"rules = lists.read_rules(pathlib.Path({str(left_out)!r}))\n"
        "lists.read_rules = lambda: rules\n"
        f"sys.exit(run.main(['--module', 'broken', '--mode', 'loop', '--only', {GUILTY!r}]))\n"
    )
    environ = dict(os.environ, CONFORMANCE_BREAK="", PYTHONPATH=f"{HERE}:{HERE.parent}")
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    assert line_of(done, "PASSES").startswith(f"PASSES {GUILTY}, but is left out by")
    assert "it was too hard" in line_of(done, "PASSES")


def test_a_rule_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        lists.parse_rules("test_a.B.test_c\n")


def test_rules_apply_by_version_mode_and_layout() -> None:
    (rule,) = lists.parse_rules("test_a.* @3.12 full own # why")
    assert rule.matches("test_a.B.test_c")
    assert not rule.matches("test_b.B.test_c")
    assert rule.applies("3.12", "full", "own")
    assert not rule.applies("3.12", "full", "shared")
    assert not rule.applies("3.13", "full", "own")
    assert not rule.applies("3.12", "loop", "own")
    (rule,) = lists.parse_rules("! test_a.* # why")
    assert rule.never
    assert rule.applies("3.15", "loop", "shared")
    assert not rule.applies("3.15", "stock", "shared")


def test_every_rule_of_the_project_names_a_listed_test() -> None:
    assert lists.idle_rules(lists.read_rules()) == []
