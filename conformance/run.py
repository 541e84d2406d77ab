#!/usr/bin/env python3
"""Run the running Python's own test.test_asyncio against batonloop.

    python conformance/run.py --mode full      # loop, Future, Task and all other names
    python conformance/run.py --mode loop      # only the loop
    python conformance/run.py --mode stock     # nothing replaced: is the machine all right?

Every test of the list is run, those that are left out as well: the run fails if a test fails
that should pass, and if a left-out test passes, because then its line has to go.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import queue
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import lists
import supervise
from supervise import Outcome

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


@dataclass
class Tally:
    """What is known after a run."""

    passed: list[Outcome] = field(default_factory=list)
    failed: list[Outcome] = field(default_factory=list)
    skipped: list[Outcome] = field(default_factory=list)
    left_out: list[Outcome] = field(default_factory=list)
    stale: list[tuple[Outcome, lists.Rule]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome, rule: lists.Rule | None) -> None:
        """Sort an outcome; `rule` is the one that leaves its test out, if any."""
        if rule is not None and outcome.kind == "passed":
            self.stale.append((outcome, rule))
        elif rule is not None:
            self.left_out.append(outcome)
        elif outcome.bad:
            self.failed.append(outcome)
        elif outcome.kind == "skipped":
            self.skipped.append(outcome)
        else:
            self.passed.append(outcome)


class Printer:
    """Prints one line a test module as soon as it is through."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._module = ""
        self._counts: Counter[str] = Counter()

    def note(self, outcome: Outcome, left_out: bool) -> None:
        """Count an outcome."""
        module = outcome.test.partition(".")[0]
        if module != self._module:
            self.flush()
            self._module = module
        self._done += 1
        kind = outcome.kind if outcome.kind in ("passed", "skipped") else "failed"
        self._counts["left out" if left_out and kind == "failed" else kind] += 1
        if kind == "failed" and not left_out:
            print(f"  {outcome.kind}: {outcome.test}", flush=True)

    def flush(self) -> None:
        """Print the line of the module that was being counted."""
        if self._module:
            kinds = ("passed", "failed", "skipped", "left out")
            text = ", ".join(f"{self._counts[k]} {k}" for k in kinds if self._counts[k])
            print(f"[{self._done:4}/{self._total}] {self._module}: {text}", flush=True)
        self._counts.clear()


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mode", choices=("loop", "full", "stock"), default="full")
    parser.add_argument(
        "--layout",
        choices=("shared", "own"),
        default="shared",
        help="own: Future and Task without asyncio's struct (sets BATONLOOP_LAYOUT)",
    )
    parser.add_argument(
        "--only", metavar="PATTERN", action="append", help="only tests with this in their name"
    )
    parser.add_argument("--list", action="store_true", help="name the tests and end")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes at a time")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for one test")
    parser.add_argument("--log", type=Path, help="a file for all that the tests print")
    parser.add_argument(
        "--module", default="batonloop", help="another module that offers new_event_loop and names"
    )
    return parser.parse_args(argv)


def choose(tests: list[str], only: list[str] | None) -> list[str]:
    """The tests that the patterns of --only name."""
    if not only:
        return tests
    return [t for t in tests if any(fnmatch.fnmatchcase(t, f"*{p}*") for p in only)]


def environment(layout: str) -> dict[str, str]:
    """The environment of the workers: the caller's, without what would change the tests."""
    environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONASYNCIODEBUG", "CI")}
    environ.update(PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1")
    if "PYTHONPATH" in environ:
        # The workers run in a folder of their own.
        parts = environ["PYTHONPATH"].split(os.pathsep)
        environ["PYTHONPATH"] = os.pathsep.join(os.path.abspath(p) for p in parts if p)
    environ.pop("BATONLOOP_LAYOUT", None)
    if layout == "own":
        environ["BATONLOOP_LAYOUT"] = "own"
    return environ


def run_all(options: argparse.Namespace, tests: list[str], log: list[str]) -> Iterator[Outcome]:
    """Run the tests in --jobs workers side by side, each with a share of the modules."""
    job = {"mode": options.mode, "module": options.module}
    environ = environment(options.layout)
    shares: list[list[str]] = [[] for _ in range(max(1, options.jobs))]
    by_module: dict[str, list[str]] = {}
    for test in tests:
        by_module.setdefault(test.partition(".")[0], []).append(test)
    for group in sorted(by_module.values(), key=len, reverse=True):
        min(shares, key=len).extend(group)
    results: queue.Queue[Outcome | supervise.CannotStart | None] = queue.Queue()

    def follow(share: list[str]) -> None:
        try:
            for outcome in supervise.run_tests(job, share, environ, options.timeout, log.append):
                results.put(outcome)
        except supervise.CannotStart as error:
            results.put(error)
        finally:
            results.put(None)

    threads = [threading.Thread(target=follow, args=(s,), daemon=True) for s in shares if s]
    for thread in threads:
        thread.start()
    open_shares = len(threads)
    while open_shares:
        outcome = results.get()
        if outcome is None:
            open_shares -= 1
        elif isinstance(outcome, supervise.CannotStart):
            raise outcome
        else:
            yield outcome


def report(options: argparse.Namespace, tally: Tally, idle: list[lists.Rule]) -> int:
    """Print the end of the run and give the exit status."""
    for outcome in sorted(tally.failed, key=lambda o: o.test):
        print(f"FAILED {outcome.test}: {'' if outcome.kind == 'failed' else outcome.kind + ': '}"
              f"{outcome.message}")  # fmt: skip
    for outcome, rule in tally.stale:
        print(
            f"PASSES {outcome.test}, but is left out by `{rule.pattern}` "
            f"(left-out.txt:{rule.line}, {rule.reason}): take it off the list"
        )
    for rule in idle:
        print(f"IDLE left-out.txt:{rule.line}: `{rule.pattern}` names no listed test any more")
    if tally.absent:
        print(f"{len(tally.absent)} listed tests do not exist in this Python {VERSION}")
    print(
        f"test.test_asyncio of Python {sys.version.split()[0]}, mode {options.mode}, "
        f"layout {options.layout}: {len(tally.left_out)} left out with a reason"
    )
    print(
        f"{len(tally.passed)} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped",
        flush=True,
    )
    return 1 if tally.failed or tally.stale or idle else 0


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    try:
        listed = lists.read_tests(options.mode, VERSION)
        rules = lists.read_rules()
    except (OSError, ValueError) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    applying = [r for r in rules if r.applies(VERSION, options.mode, options.layout)]
    rule_of: dict[str, lists.Rule] = {}
    for test in listed:
        for rule in applying:
            if rule.matches(test):
                rule_of.setdefault(test, rule)
    chosen = choose(listed, options.only)
    if options.list:
        for test in chosen:
            reason = f"  # left out: {rule_of[test].reason}" if test in rule_of else ""
            print(f"{test}{reason}")
        return 0
    started = [t for t in chosen if not (t in rule_of and rule_of[t].never)]
    tally = Tally(left_out=[Outcome(t, "failed") for t in chosen if t not in started])
    log: list[str] = []
    printer = Printer(len(started))
    seen: set[str] = set()
    try:
        for outcome in run_all(options, started, log):
            seen.add(outcome.test)
            printer.note(outcome, outcome.test in rule_of)
            tally.add(outcome, rule_of.get(outcome.test))
    except supervise.CannotStart as error:
        print(f"conformance: {options.module} cannot be put into asyncio: {error}")
        print("0 passed, 1 failed, 0 skipped")
        return 1
    printer.flush()
    missing = [test for test in started if test not in seen]
    if missing:
        existing = set(supervise.name_tests(missing, environment("shared")))
        tally.absent = [test for test in missing if test not in existing]
        for test in missing:
            if test in existing:
                message = "never started: its class or module could not be set up"
                tally.add(Outcome(test, "failed", message), rule_of.get(test))
    if options.log:
        options.log.write_text("".join(log), encoding="utf-8")
    return report(options, tally, [] if options.only else lists.idle_rules(rules))


if __name__ == "__main__":
    sys.exit(main())
