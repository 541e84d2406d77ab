"""Other people's tests: run on asyncio and on batonloop, and compared test by test.

A suite is known by its name, and fetched then in the versions that requirements/ pins, or it is
any folder with tests for pytest, which import what the running Python has.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lists
import session
import supervise
from supervise import Outcome

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
REQUIREMENTS = ROOT / "requirements"
STORE = ROOT / "build" / "suites"


@dataclass(frozen=True)
class Suite:
    """Where a suite is, and how pytest is to run it."""

    folder: Path
    search: tuple[str, ...] = ()
    """Where its modules are looked for, beside where all are."""
    options: tuple[str, ...] = ()
    left_out: Path | None = None
    """The rules for tests that are not asked for; see lists.py."""

    def rules(self, options: argparse.Namespace) -> list[lists.Rule]:
        """Those that apply to this run."""
        if self.left_out is None or not self.left_out.exists():
            return []
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        rules = lists.read_rules(self.left_out)
        return [r for r in rules if r.applies(version, options.mode, options.layout)]


# What pytest is told for each suite that we know by name.
KNOWN = {
    # The plugins that its tests use, and no others; its benchmarks prove nothing.
    "uvicorn": ("-p", "anyio", "-p", "pytest_mock", "--ignore", "tests/benchmarks", "tests"),
}


class NotToBeHad(Exception):
    """pip could not fetch the suite, or what it needs; the text is what it said first."""


def main(options: argparse.Namespace) -> int:
    """Run a suite as `options` say; the exit status."""
    try:
        suite = find(options.suite)
        rules = suite.rules(options)
    except (NotToBeHad, ValueError) as reason:
        print(f"conformance: {options.suite} cannot be had: {reason}", file=sys.stderr)
        return 2
    job: dict[str, Any] = {
        "worker": "pytest_worker.py",
        "folder": str(suite.folder),
        "search": suite.search,
        "options": suite.options,
    }
    environ = session.environment("shared", suite.search)
    log: list[str] = []
    try:
        tests = session.choose(supervise.name_tests(None, environ, job), options.only)
        if options.list:
            print("\n".join(tests))
            return 0
        print("on asyncio:", flush=True)
        theirs = run(job | {"mode": "stock", "module": ""}, options, tests, log)
        if options.mode == "stock":
            return report_stock(theirs)
        print(f"on {options.module}:", flush=True)
        ours = run(job | {"mode": options.mode, "module": options.module}, options, tests, log)
    except supervise.CannotStart as error:
        print(f"conformance: {options.suite} cannot be run: {error}")
        print("0 passed, 1 failed, 0 skipped")
        return 1
    finally:
        if options.log:
            options.log.write_text("".join(log), encoding="utf-8")
    return report(options, theirs, ours, rules)


def find(name: str) -> Suite:
    """The suite of this name, fetched if it is not there, or the one in this folder."""
    if name not in KNOWN:
        folder = Path(name).resolve()
        return Suite(folder, left_out=folder / "left-out.txt")
    needed = REQUIREMENTS / f"{name}-tests.txt"
    source = REQUIREMENTS / f"{name}.txt"
    version = hashlib.sha256(needed.read_bytes() + source.read_bytes()).hexdigest()[:12]
    place = STORE / str(sys.implementation.cache_tag) / f"{name}-{version}"
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
            fetch(needed, source, Path(scratch))
            (Path(scratch) / "suite").rename(place)
    search = (str(place / "source"), str(place / "modules"))
    return Suite(place / "source", search, KNOWN[name], HERE / name / "left-out.txt")


def fetch(needed: Path, source: Path, scratch: Path) -> None:
    """Make a folder `suite` with what the tests need and with the released source."""
    modules = scratch / "suite" / "modules"
    pip("install", "--only-binary", ":all:", "--target", str(modules), "--requirement", str(needed))
    # pip asks the source for its name and version, with the tools that are there by now.
    pip(
        "download", "--no-binary", ":all:", "--no-build-isolation", "--dest", str(scratch / "dist"),
        "--requirement", str(source), search=str(modules),
    )  # fmt: skip
    (archive,) = (scratch / "dist").iterdir()
    with tarfile.open(archive) as content:
        content.extractall(scratch / "unpacked", filter="data")
    (folder,) = (scratch / "unpacked").iterdir()
    folder.rename(scratch / "suite" / "source")


def pip(*arguments: str, search: str | None = None) -> None:
    """Let pip do something: nothing that is not pinned, and nothing whose hash is another."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if search is not None:
        environ["PYTHONPATH"] = search
    done = subprocess.run(
        [*command, "--no-deps", "--require-hashes"], env=environ, capture_output=True, text=True
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["pip says nothing"]
        raise NotToBeHad(next((line for line in lines if line.startswith("ERROR")), lines[-1]))


def run(
    job: dict[str, Any], options: argparse.Namespace, tests: list[str], log: list[str]
) -> dict[str, Outcome]:
    """What became of each test on one side."""
    printer = session.Printer(len(tests))
    outcomes: dict[str, Outcome] = {}
    for outcome in session.run_all(job, options, tests, log):
        printer.note(outcome, False)
        outcomes[outcome.test] = outcome
    printer.flush()
    for test in tests:
        outcomes.setdefault(test, Outcome(test, "missing", "it was never started"))
    return outcomes


def report_stock(theirs: dict[str, Outcome]) -> int:
    """Print what asyncio alone did, and give the exit status."""
    failed = [outcome for outcome in theirs.values() if outcome.bad]
    for outcome in failed:
        print(f"FAILED {line(outcome)}")
    return count(theirs, len(failed))


def report(
    options: argparse.Namespace,
    theirs: dict[str, Outcome],
    ours: dict[str, Outcome],
    rules: list[lists.Rule],
) -> int:
    """Print what differs, and give the exit status."""
    bad_there = {test for test, outcome in theirs.items() if outcome.bad}
    differing = {test for test, o in ours.items() if o.bad and test not in bad_there}
    left_out = {test for test in ours for rule in rules if rule.matches(test)}
    for test in sorted(bad_there):
        also = "too" if test not in ours or ours[test].bad else "only"
        print(f"asyncio fails {also}: {line(theirs[test])}")
    failed = sorted(differing - left_out)
    for test in failed:
        print(f"FAILED {line(ours[test])}")
    # What asyncio fails too says nothing of the rule.
    stale = sorted(left_out - differing - bad_there)
    for test in stale:
        print(f"PASSES {test}, but is left out: take it off the list")
    made = sum(outcome.report.get("loops", 0) for outcome in ours.values())
    print(
        f"{options.suite} on Python {sys.version.split()[0]}, mode {options.mode}, "
        f"layout {options.layout}: {made} loops of {options.module}, "
        f"{len(bad_there)} fail on asyncio, {len(left_out)} left out with a reason"
    )
    # Either would pass every comparison, and prove nothing.
    proves = made and len(bad_there) < len(theirs)
    if not proves:
        print("FAILED: no test passes on asyncio" if made else "FAILED: no loop was made")
    return count(ours, len(failed)) or int(bool(stale) or not proves)


def line(outcome: Outcome) -> str:
    """A test and what it failed with."""
    kind = "" if outcome.kind == "failed" else f"{outcome.kind}: "
    return f"{outcome.test}: {kind}{outcome.message}"


def count(outcomes: dict[str, Outcome], failed: int) -> int:
    """Print the last line, and give the exit status."""
    passed = sum(outcome.kind == "passed" for outcome in outcomes.values())
    skipped = sum(outcome.kind == "skipped" for outcome in outcomes.values())
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed else 0
