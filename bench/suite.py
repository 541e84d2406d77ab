"""pyperformance's async benchmarks, unmodified, on every loop: batonloop by `python -m batonloop`.

Each measurement is a process in which a benchmark times itself, by the wall clock as pyperf does:
once to warm up, then as often as asked. One round takes every loop through every benchmark, the
loops in turn; the table shows medians. Speed never makes this program fail: its exit status tells
of errors only.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from statistics import median

import front
import goals
import loops
import peers
import pythons
import report
import run

SHIM = Path(__file__).with_name("suite_run.py")
NO_PART = ("async_generators", "coroutines")
"""Where a loop plays no part, or one wake-up's."""


@dataclass(frozen=True)
class Benchmark:
    """One of pyperformance's: a program and the arguments that make it this benchmark."""

    name: str
    program: Path
    arguments: tuple[str, ...]
    since: tuple[int, int]


@dataclass
class Results(report.Subject):
    """Everything that one run has found out about one Python."""

    ms: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Benchmark, loop: milliseconds, a list with all values of all rounds."""

    def time(self, benchmark: str, loop: str) -> float | None:
        """The median, None where the loop could not do it."""
        values = self.ms.get(benchmark, {}).get(loop)
        return median(values) if values else None


def main() -> int:
    """Measure and report."""
    parser = front.command_line(
        __doc__, (), only="these benchmarks", rounds="default 3", quick="1 round, one value each"
    )
    parser.add_argument("--values", type=int, default=3, help="of each process (default 3)")
    options = front.read(parser, sys.argv[1:], quick_rounds=1, rounds=3)
    options.values = 1 if options.quick else options.values
    machine = pythons.machine()
    runs = [Results(pythons.examine(path)) for path in options.python]
    errors = run.prepare(runs, options.loops)
    known = {benchmark.name for results in runs for benchmark in benchmarks(results.python)}
    if unknown := set(options.only) - known:
        there_are = f"there are {', '.join(sorted(known))}"
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; {there_are}")
    jobs = list(plan(runs, options))
    for number, (results, benchmark, loop) in enumerate(jobs, 1):
        run.show_progress(number, len(jobs), f"{benchmark.name} on {loop}", results)
        try:
            values = measure(results, benchmark, loop, options)
        except run.Failed as failure:
            note = f"{loop} cannot do {benchmark.name}: {failure}"
            if note not in results.notes:
                results.notes.append(note)
            errors += loops.CONTESTANTS[loop].is_ours or loop == "asyncio"
        else:
            results.ms.setdefault(benchmark.name, {}).setdefault(loop, []).extend(values)
    run.show_progress(len(jobs), len(jobs))
    size = "quick" if options.quick else "full"
    manner = f"{size} run, {options.rounds} rounds of {options.values} values"
    front.publish("suite.py", options, machine, runs, manner, tables, dataclasses.asdict)
    return 1 if errors else 0


def plan(
    runs: list[Results], options: argparse.Namespace
) -> Iterator[tuple[Results, Benchmark, str]]:
    """Every process to run, in order: near in time what is to be compared."""
    for number in range(options.rounds):
        for results in runs:
            present = [
                name for name in options.loops if name in results.versions or name == "asyncio"
            ]
            turn = number % max(1, len(present))
            for benchmark in benchmarks(results.python):
                if not options.only or benchmark.name in options.only:
                    for loop in present[turn:] + present[:turn]:
                        yield results, benchmark, loop


def benchmarks(python: pythons.Python) -> list[Benchmark]:
    """Those of pyperformance that are about async and await, for this Python."""
    folder = peers.suite(python) / "pyperformance" / "data-files" / "benchmarks"
    found = []
    for program in sorted(folder.glob("bm_*/run_benchmark.py")):
        if program.parent.name.startswith(("bm_async", "bm_coroutines")):
            base = tomllib.loads((program.parent / "pyproject.toml").read_text(encoding="utf-8"))
            for page in sorted(program.parent.glob("*.toml")):
                found.append(read_benchmark(program, base, page))
    return [benchmark for benchmark in found if benchmark.since <= python.info]


def read_benchmark(program: Path, base: dict[str, object], page: Path) -> Benchmark:
    """What a page of settings says, over those that all of the program's benchmarks share."""
    settings = tomllib.loads(page.read_text(encoding="utf-8"))
    project = {**base["project"], **settings.get("project", {})}  # type: ignore[dict-item]
    tool = settings.get("tool", {}).get("pyperformance", {})
    major, _, minor = project["requires-python"].removeprefix(">=").partition(".")
    # A program of one benchmark bears its name.
    name = tool.get("name") or program.parent.name.removeprefix("bm_")
    return Benchmark(name, program, tuple(tool.get("extra_opts", ())), (int(major), int(minor)))


def measure(
    results: Results, benchmark: Benchmark, loop: str, options: argparse.Namespace
) -> list[float]:
    """Run one process and take its values, in milliseconds."""
    python, contestant = results.python, loops.CONTESTANTS[loop]
    search = [str(peers.suite(python))]
    if contestant.is_ours:
        command = [python.path, "-m", contestant.module]
        search += [python.search] if python.search else []
    else:
        command = [python.path, str(SHIM), contestant.module]
    if contestant.package is not None:
        search.append(str(peers.directory(contestant, python)))
    environment = pythons.environment(":".join(search), **contestant.environment)
    manner = ["--worker", "--loops=1", "--warmups=1", f"--values={options.values}"]
    if options.cpu is not None:
        manner.append(f"--affinity={options.cpu}")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "values.json"
        program = [str(benchmark.program), *benchmark.arguments, *manner, f"--output={output}"]
        run.run([*command, *program], environment)
        answer = json.loads(output.read_text(encoding="utf-8"))
    return [
        value * 1e3
        for measured in answer["benchmarks"]
        for one in measured["runs"]
        for value in one["values"]
    ]


def tables(results: Results, columns: Sequence[str], render: report.Render) -> list[str]:
    """The table of one Python, and what could not be measured."""
    ours = columns[-1]
    rivals = [name for name in columns if name != ours]
    table = [["ms", *columns, "x uvloop", "x asyncio", "x best other", "goals"]]
    ratios: dict[str, list[float]] = {"uvloop": [], "asyncio": []}
    for name in results.ms:
        times = {loop: results.time(name, loop) for loop in columns}
        mine = times[ours]
        to = {loop: report.ratio(times.get(loop), mine) for loop in ("uvloop", "asyncio")}
        for loop, value in to.items():
            if value is not None and name not in NO_PART:
                ratios[loop].append(value)
        best = report.ratio(
            min((time for loop in rivals if (time := times[loop]) is not None), default=None), mine
        )
        table.append(
            [
                name,
                *("-" if time is None else f"{time:,.1f}" for time in times.values()),
                *(report.times(value) for value in (*to.values(), best)),
                "BEHIND" if best is not None and best < goals.NETWORK_NOT_BEHIND else "",
            ]
        )
    means = {loop: prod(found) ** (1 / len(found)) for loop, found in ratios.items() if found}
    verdicts = [
        report.mark(report.rounded(mean) >= goals.SUITE[loop], f"{loop} {goals.SUITE[loop]:g}x")
        for loop, mean in means.items()
    ]
    dashes = ["-"] * len(columns)
    mean = [report.times(means.get(loop)) for loop in ("uvloop", "asyncio")]
    title = f"geometric mean without {' and '.join(NO_PART)}"
    table.append([title, *dashes, *mean, "-", ", ".join(verdicts)])
    return [*render(table), "", *report.notes(results)]


if __name__ == "__main__":
    sys.exit(main())
