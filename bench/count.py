"""Count the user instructions of one operation under callgrind, and compare with counts.json.

Time on a shared machine wanders by several per cent, the number of instructions by less than one:
so it is the count that a change must not raise. A count means something only for the very build of
Python it was taken with, so each build has a section of its own in counts.json; a build that has
none is named and passes (but not with --strict). The exit status is 1 where a count has risen by
more than 3 per cent, 2 where counting itself failed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import goals
import loops
import net_load
import network
import peers
import pythons
import workloads
from pythons import Python

HERE = Path(__file__).resolve().parent
COMMITTED = HERE / "counts.json"
TOLERANCE = 0.03
"""Less than this another libc or another layout of memory may change; more is our doing."""
EXPLAINED = 30
"""So many functions --explain lists."""
PATIENCE_SECONDS = 600

COUNTS: dict[str, int] = {
    "await_task_depth": 200,
    "await_coroutine_depth": 1_000,
    "gather_10000": 10_000,
}
"""How many operations are counted: enough that what happens now and then has its share."""
USUAL_COUNT = 2_000

MARK = "getloadavg"
"""The function that measure.py calls between the parts, and nothing else does."""


NAMES = (*workloads.NAMES, *network.COUNTED)
"""What can be counted: operations of workloads, and requests to servers."""
THREADED = ("executor_nothing", "to_thread", "threadsafe_burst")
"""Two threads take turns as they like: no count is like another."""
USUAL_NAMES = (
    *(name for name, goal in goals.GOALS.items() if goal.is_counted and name not in THREADED),
    *goals.NETWORK_INSTRUCTIONS,
)
"""What is counted unless other names are given: what has a goal."""


class Failed(Exception):
    """Counting did not work; the text says why."""


class Lacking(Failed):
    """The loop cannot do it."""


def main() -> int:
    """Count, print, compare."""
    options = parse()
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: sudo apt-get install valgrind", file=sys.stderr)
        return 2
    status = 0
    for path in options.python or [sys.executable]:
        python = pythons.examine(path)
        try:
            if options.explain:
                print("\n".join(explain(python, options.loop, options.explain)))
            else:
                status = max(status, check(python, options))
        except Failed as failure:
            print(f"Python {python.short}: {failure}", file=sys.stderr)
            status = 2
    return status


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--python", action="append", metavar="PATH", help="count with it; may be given repeatedly"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=NAMES,
        help="these workloads and servers; else what has a goal and one thread",
    )  # fmt: skip
    parser.add_argument("--update", action="store_true", help="write the counts to counts.json")
    parser.add_argument("--strict", action="store_true", help="fail on a build without counts")
    parser.add_argument(
        "--explain", metavar="NAME", choices=NAMES,
        help="list the functions in which the instructions of one operation are spent",
    )  # fmt: skip
    parser.add_argument(
        "--loop", default="batonloop", choices=loops.CONTESTANTS,
        help="count another loop: printed, never compared nor written",
    )  # fmt: skip
    return parser.parse_args()


def check(python: Python, options: argparse.Namespace) -> int:
    """Count with one Python and say how it compares; the answer is the exit status."""
    content = json.loads(COMMITTED.read_text(encoding="utf-8")) if COMMITTED.exists() else {}
    ours = options.loop == "batonloop"
    before = content.get(python.key, {}).get("counts", {}) if ours else {}
    print(f"Python {python.short} ({python.build}), {options.loop}: instructions per operation")
    found: dict[str, int] = {}
    risen = []
    failed = False
    for name in options.only or USUAL_NAMES:
        if name in workloads.NAMES and workloads.since(name) > python.info:
            continue
        started = time.monotonic()
        try:
            found[name] = count(python, options.loop, name)
        except Failed as failure:
            print(f"  {title_of(name)}: {failure}", file=sys.stderr, flush=True)
            # What has never been counted may be something that is still to be built.
            failed = failed or not isinstance(failure, Lacking) or name in before
            continue
        change = found[name] / before[name] - 1 if name in before else None
        if change is not None and change > TOLERANCE:
            risen.append(name)
        line = describe(python, name, found[name], change, ours)
        print(f"{line}  ({time.monotonic() - started:.0f} s)", flush=True)
    if failed:
        return 2
    if not ours:
        return 0
    if options.update:
        counts = dict(sorted((before | found).items()))
        content[python.key] = {"python": python.version, "counts": counts}
        COMMITTED.write_text(json.dumps(dict(sorted(content.items())), indent=2) + "\n")
        print(f"written to {COMMITTED.name} as {python.key!r}")
        return 0
    if not before:
        print(f"no counts are committed for {python.key!r}: nothing to compare with")
        return 1 if options.strict else 0
    if risen:
        print(f"risen by more than {TOLERANCE:.0%}: {', '.join(risen)}; see --explain NAME")
    return 1 if risen else 0


def describe(python: Python, name: str, found: int, change: float | None, ours: bool) -> str:
    """One line of the answer."""
    line = f"  {title_of(name):34} {found:10,}"
    if change is not None:
        line += f"  {change:+7.1%}"
    goal = goals.GOALS.get(name, goals.Goal()).instructions
    goal = goals.NETWORK_INSTRUCTIONS.get(name, goal)
    if goal is not None and ours and python.info == goals.INSTRUCTION_PYTHON:
        line += f"  goal {goal:,}: {'ok' if found <= goal else 'MISSED'}"
    return line


def title_of(name: str) -> str:
    """What a reader sees."""
    if name in workloads.NAMES:
        return workloads.load(name).TITLE
    return f"{network.load(name).TITLE}, a request"


def count(python: Python, loop: str, name: str) -> int:
    """Instructions of one operation."""
    with tempfile.TemporaryDirectory(prefix="batonloop-count-") as scratch:
        operations, once, twice = profile(python, loop, name, Path(scratch))
        return round((total(twice) - total(once)) / operations)


def profile(python: Python, loop: str, name: str, scratch: Path) -> tuple[int, Path, Path]:
    """Run the workload under callgrind: how many operations, and the profiles of N and of 2N."""
    contestant = loops.CONTESTANTS[loop]
    search = python.search if contestant.is_ours else None
    if contestant.package is not None:
        search = str(peers.directory(contestant, python))
    if contestant.is_ours and python.ours is None:
        raise Failed(f"batonloop cannot be imported: {python.problem}")
    command = [
        "valgrind", "--tool=callgrind", "--callgrind-out-file=" + str(scratch / "profile"),
        f"--dump-before={MARK}", "--dump-instr=no", "--dump-line=no",
        # Otherwise a thread that spins on a lock keeps the CPU from the one it waits for.
        "--fair-sched=yes",
        python.path, str(HERE / "measure.py"), loop, name,
        "--count", str(COUNTS.get(name, USUAL_COUNT)),
    ]  # fmt: skip
    if name in network.NAMES:
        try:
            command += ["--load", net_load.program(), "--cpu", str(pythons.default_cpu() or 0)]
        except net_load.NotBuilt as reason:
            raise Failed(str(reason)) from None
    environment = pythons.environment(search, PYTHONHASHSEED="0", **contestant.environment)
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False,
            timeout=PATIENCE_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Failed(f"no answer within {PATIENCE_SECONDS} s") from None
    if done.returncode != 0 or not done.stdout.strip():
        raise Failed(f"failed under valgrind:\n{done.stderr.strip()[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if "missing" in answer:
        raise Lacking(f"{loop} lacks what {name} needs: {answer['missing']}")
    # The first dump is the start and the warm-up; the second lies between the first two marks.
    once, twice = scratch / "profile.2", scratch / "profile.3"
    if not once.exists() or not twice.exists():
        raise Failed(f"callgrind did not see the calls of {MARK}()")
    return answer["count"], once, twice


def total(path: Path) -> int:
    """The sum that callgrind has written at the end of a profile."""
    found = re.search(r"^(?:totals|summary): (\d+)", path.read_text(errors="replace"), re.MULTILINE)
    if found is None:
        raise Failed(f"no total in {path.name}")
    return int(found.group(1))


def explain(python: Python, loop: str, name: str) -> list[str]:
    """The dearest functions of one operation, each without those it calls."""
    with tempfile.TemporaryDirectory(prefix="batonloop-count-") as scratch:
        operations, once, twice = profile(python, loop, name, Path(scratch))
        spent = by_function(twice)
        spent.subtract(by_function(once))
        whole = (total(twice) - total(once)) / operations
    title = title_of(name)
    lines = [f"{title} on {loop}, Python {python.short}: {whole:,.0f} instructions"]
    by_library: Counter[str] = Counter()
    for function, instructions in spent.items():
        by_library[function.rpartition("[")[2].rstrip("]")] += instructions
    shares = [f"{n / operations:,.0f} {library}" for library, n in by_library.most_common(5)]
    lines.append("  " + ", ".join(shares))
    for function, instructions in spent.most_common(EXPLAINED):
        each = instructions / operations
        lines.append(f"  {each:10,.1f}  {each / whole:6.1%}  {function}")
    return lines


def by_function(path: Path) -> Counter[str]:
    """Instructions in each function, calls not included, from a profile of callgrind.

    callgrind_annotate would charge a function that is still running at a mark with everything it
    has called. In the file, a name is written out once and a number stands for it afterwards; a
    line of two numbers is a cost, and the one that follows ``calls=`` belongs to the callee.
    """
    names: dict[tuple[str, str], str] = {}
    spent: Counter[str] = Counter()
    library = function = ""
    is_callee = False
    for line in path.read_text(errors="replace").splitlines():
        found = re.match(r"(c?)(ob|fn)=\((\d+)\)(?: (.*))?$", line)
        if found:
            callee, kind, number, name = found.groups()
            name = names.setdefault((kind, number), name or "?")
            if not callee and kind == "ob":
                library = Path(name).name
            elif not callee:
                function = re.sub(r"'\d+$", "", name)
        elif line.startswith("calls="):
            is_callee = True
        elif re.match(r"[\d+*-]", line):
            if not is_callee:
                spent[f"{function} [{library}]"] += int(line.split()[-1])
            is_callee = False
    return spent


if __name__ == "__main__":
    sys.exit(main())
