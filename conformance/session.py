"""What a run of any suite needs: an environment, workers side by side, and lines as it goes."""

from __future__ import annotations

import argparse
import fnmatch
import os
import queue
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import supervise
from supervise import Outcome


def run_all(
    job: dict[str, Any], options: argparse.Namespace, tests: list[str], log: list[str]
) -> Iterator[Outcome]:
    """Run the tests in --jobs workers side by side, each with a share of the modules."""
    environ = environment(options.layout, job.get("search", ()))
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


def environment(layout: str, search: Sequence[str] = ()) -> dict[str, str]:
    """The environment of the workers: the caller's, without what would change the tests.

    Modules are looked for in the folders of `search` first.
    """
    environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONASYNCIODEBUG", "CI")}
    environ.update(PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1")
    parts = [*search, *environ.pop("PYTHONPATH", "").split(os.pathsep)]
    # The workers run in a folder of their own.
    if path := os.pathsep.join(os.path.abspath(part) for part in parts if part):
        environ["PYTHONPATH"] = path
    environ.pop("BATONLOOP_LAYOUT", None)
    if layout == "own":
        environ["BATONLOOP_LAYOUT"] = "own"
    return environ


def choose(tests: list[str], only: list[str] | None) -> list[str]:
    """The tests that the patterns of --only name."""
    if not only:
        return tests
    return [t for t in tests if any(fnmatch.fnmatchcase(t, f"*{p}*") for p in only)]


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
