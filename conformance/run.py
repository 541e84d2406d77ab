#!/usr/bin/env python3
"""Run the running Python's own test.test_asyncio, or somebody else's tests, against batonloop.

    python conformance/run.py --mode full      # loop, Future, Task and all other names
    python conformance/run.py --mode loop      # only the loop
    python conformance/run.py --mode stock     # nothing replaced: is the machine all right?
    python conformance/run.py --suite uvicorn  # uvicorn's tests, on asyncio and on batonloop

Every test of the list is run, those that are left out as well: the run fails if a test fails
that should pass, and if a left-out test passes, because then its line has to go. Another
suite has no list: the run fails if a test fails there that does not fail on asyncio.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path

import lists
import session
import suites
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


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--suite",
        default="cpython",
        help="cpython, " + ", ".join(suites.KNOWN) + ", or a folder with tests for pytest",
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
    if options.suite != "cpython":
        return suites.main(options)
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
    chosen = session.choose(listed, options.only)
    if options.list:
        for test in chosen:
            reason = f"  # left out: {rule_of[test].reason}" if test in rule_of else ""
            print(f"{test}{reason}")
        return 0
    started = [t for t in chosen if not (t in rule_of and rule_of[t].never)]
    job = {"mode": options.mode, "module": options.module}
    tally = Tally(left_out=[Outcome(t, "failed") for t in chosen if t not in started])
    log: list[str] = []
    printer = session.Printer(len(started))
    seen: set[str] = set()
    try:
        for outcome in session.run_all(job, options, started, log):
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
        existing = set(supervise.name_tests(missing, session.environment("shared")))
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
