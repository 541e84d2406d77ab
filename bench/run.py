"""Measure every workload on every loop, interleaved, and print the ratios as a table.

Each measurement is a fresh process pinned to one CPU; what counts is its CPU time, so that
neighbours on the machine disturb little. One round takes every loop through every workload, the
loops in turn, the order moving on each round; the table shows medians of the rounds. Speed never
makes this program fail: its exit status tells of errors only.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import front
import loops
import peers
import pythons
import report
import workloads
from report import Results, Subject

HERE = Path(__file__).resolve().parent
PATIENCE_SECONDS = 120
"""A measurement that takes longer hangs: the loop gets a dash."""
LATENESS_SAMPLES = 25
"""For each delay, round and loop."""
EXTRAS = ("timer_lateness", "memory", "import")
"""What stands beside the workloads and can be chosen with --only like them."""
IMPORT = """
import asyncio, time
start = time.process_time()
import batonloop
print((time.process_time() - start) * 1e3)
"""


@dataclass(frozen=True)
class Job:
    """One process to run: a workload, or one of EXTRAS, on a loop, under a Python."""

    results: Results
    loop: str
    name: str
    round: int


class Failed(Exception):
    """A measurement that gave no answer; the text says why."""


def main() -> int:
    """Measure and report."""
    options = parse(sys.argv[1:])
    machine = pythons.machine()
    runs = [Results(pythons.examine(path)) for path in options.python]
    errors = prepare(runs, options.loops)
    jobs = list(plan(runs, options))
    for number, job in enumerate(jobs, 1):
        show_progress(
            number, len(jobs), f"round {job.round}: {job.name} on {job.loop}", job.results
        )
        try:
            note_answer(job, measure(job, options))
        except Failed as failure:
            note = f"{job.loop} cannot do {job.name}: {failure}"
            if note not in job.results.notes:
                job.results.notes.append(note)
            # A rival may lack what it likes; asyncio and we must do everything.
            errors += loops.CONTESTANTS[job.loop].is_ours or job.loop == "asyncio"
    show_progress(len(jobs), len(jobs))
    front.publish(
        "run.py", options, machine, runs, manner(options), report.tables, dataclasses.asdict
    )
    return 1 if errors else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = front.command_line(
        __doc__, (*workloads.NAMES, *EXTRAS), rounds="default 5", quick="1 round, short runs",
        only="these workloads, or: " + ", ".join(EXTRAS),
    )  # fmt: skip
    return front.read(parser, arguments, quick_rounds=1)


def prepare(runs: Sequence[Subject], columns: list[str]) -> int:
    """Find out versions, fetch the other loops; the answer is the number of errors."""
    errors = 0
    for results in runs:
        python = results.python
        for name in columns:
            contestant = loops.CONTESTANTS[name]
            if contestant.package is not None:
                version = peers.pinned()[contestant.package]
                try:
                    peers.directory(contestant, python)
                except peers.NotToBeHad as reason:
                    results.notes.append(f"{name} {version} cannot be had: {reason}")
                else:
                    results.versions[name] = version
            elif contestant.is_ours and python.ours is None:
                results.notes.append(f"{name} cannot be imported: {python.problem}")
                errors += 1
            elif contestant.is_ours:
                results.versions[name] = python.ours or ""
    return errors


def plan(runs: list[Results], options: argparse.Namespace) -> Iterator[Job]:
    """Every process to run, in order: near in time what is to be compared."""
    for number in range(options.rounds):
        for results in runs:
            present = [
                name for name in options.loops if name in results.versions or name == "asyncio"
            ]
            turn = number % max(1, len(present))
            for name in options.only:
                if name in workloads.NAMES and workloads.since(name) > results.python.info:
                    continue
                for loop in present[turn:] + present[:turn]:
                    if name != "import" or loop == "batonloop":
                        yield Job(results, loop, name, number + 1)


def measure(job: Job, options: argparse.Namespace) -> dict[str, Any]:
    """Run one process and take its answer."""
    contestant = loops.CONTESTANTS[job.loop]
    python = job.results.python
    search = python.search if contestant.is_ours else None
    if contestant.package is not None:
        search = str(peers.directory(contestant, python))
    environment = pythons.environment(search, **contestant.environment)
    pin = [] if options.cpu is None else ["--cpu", str(options.cpu)]
    if job.name == "import":
        times = [float(run([python.path, "-c", IMPORT], environment)) for _ in range(3)]
        return {"import_ms": median(times)}
    if job.name == "memory":
        command = [python.path, str(HERE / "memory.py"), job.loop, *pin]
        answer: dict[str, Any] = json.loads(run(command, environment))
        environment["PYTHONMALLOC"] = "malloc"
        exact = json.loads(run([*command, "--exact"], environment))
        return raise_missing(answer | {"exact": exact})
    size = ["--seconds", "0.02" if options.quick else "0.1"]
    if job.name == "timer_lateness":
        size = ["--repeats", str(LATENESS_SAMPLES)]
    command = [python.path, str(HERE / "measure.py"), job.loop, job.name, *pin, *size]
    return raise_missing(json.loads(run(command, environment)))


def raise_missing(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, unless it says that the loop lacks something."""
    if "missing" in answer:
        raise Failed(answer["missing"])
    return answer


def run(command: list[str], environment: dict[str, str]) -> str:
    """The last line that the process prints; Failed where there is none."""
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Failed(f"no answer within {PATIENCE_SECONDS} s") from None
    if done.returncode != 0 or not done.stdout.strip():
        raise Failed(what_went_wrong(done.stderr) or f"exit status {done.returncode}")
    return done.stdout.strip().splitlines()[-1]


def what_went_wrong(stderr: str) -> str:
    """The line of a traceback that names the exception, else the last line there is."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Exit|Interrupt)\b", line)]
    return (named or lines or [""])[-1]


def note_answer(job: Job, answer: dict[str, Any]) -> None:
    """Put an answer where it belongs."""
    results = job.results
    if job.name == "import":
        results.import_ms.append(answer["import_ms"])
    elif job.name == "memory":
        results.resident.setdefault(job.loop, []).append(answer["bytes"])
        results.allocated.setdefault(job.loop, []).append(answer["exact"]["bytes"])
    elif job.name == "timer_lateness":
        for group, late in answer["lateness_ns"].items():
            results.lateness_ns.setdefault(group, {}).setdefault(job.loop, []).extend(late)
    else:
        results.ns.setdefault(job.name, {}).setdefault(job.loop, []).append(answer["ns"])


def manner(options: argparse.Namespace) -> str:
    """How it was measured."""
    size = "quick" if options.quick else "full"
    return f"{size} run, {options.rounds} round{'' if options.rounds == 1 else 's'}"


STARTED = time.monotonic()


def show_progress(number: int, total: int, text: str = "", subject: Subject | None = None) -> None:
    """One line on stderr that renews itself; where that is no terminal, a line now and then."""
    spent = time.monotonic() - STARTED
    if not sys.stderr.isatty():
        if subject is None or number % 50 == 1:
            done = number - (subject is not None)
            print(f"measured {done} of {total}, {spent:.0f} s", file=sys.stderr)
        return
    if subject is not None:
        text = f"[{number}/{total}, {spent:.0f} s] {text}, Python {subject.python.short}"
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
