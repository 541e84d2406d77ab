"""Results as tables: for a terminal, and as Markdown between two markers of a page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import goals
import loops
import workloads
from pythons import Python

BEGIN = "<!-- bench/{} --markdown writes from here ... -->"
"""The marker of a program, on a line of its own."""
END = "<!-- ... to here. -->"

WHOLE = 2.0
"""Below this ratio the second digit after the point tells something."""

Render = Callable[[Sequence[Sequence[str]]], list[str]]
"""Lines of one table of cells, the head first."""


@dataclass
class Subject:
    """One Python, with the loops that can be measured on it, and what went wrong."""

    python: Python
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class Results(Subject):
    """Everything that one run has found out about one Python; every list has a value a round."""

    ns: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Workload, loop: CPU nanoseconds per operation."""
    lateness_ns: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """Group of delays, loop: each single timer."""
    resident: dict[str, list[float]] = field(default_factory=dict)
    """Loop: bytes per pending task, as the kernel sees it."""
    allocated: dict[str, list[float]] = field(default_factory=dict)
    """The same as malloc sees it."""
    import_ms: list[float] = field(default_factory=list)

    def cost(self, workload: str, loop: str) -> float | None:
        """The median, None where the loop could not do it."""
        values = self.ns.get(workload, {}).get(loop)
        return median(values) if values else None


def tables(results: Results, columns: Sequence[str], render: Render) -> list[str]:
    """All tables of one Python, each with an empty line after it."""
    lines: list[str] = []
    for head, *rows in (
        speed_table(results, columns),
        lateness_table(results, columns),
        memory_table(results, columns),
    ):
        if rows:
            lines += [*render([head, *rows]), ""]
    if results.import_ms:
        spent = median(results.import_ms)
        verdict = mark(spent <= goals.IMPORT_MS, f"at most {goals.IMPORT_MS:g}")
        lines += [f"`import batonloop` after `import asyncio`: {spent:.1f} ms ({verdict})", ""]
    return lines + notes(results)


def notes(subject: Subject) -> list[str]:
    """What could not be measured, and an empty line."""
    return [*(f"* {note}" for note in subject.notes), ""] if subject.notes else []


def speed_table(results: Results, columns: Sequence[str]) -> list[list[str]]:
    """CPU time per operation, the ratios of the last column to the others, the goals."""
    ours = columns[-1]
    rivals = [name for name in columns if not loops.CONTESTANTS[name].is_ours]
    table = [["ns per operation", *columns, "x uvloop", "x asyncio", "x best other", "goals"]]
    for name in workloads.NAMES:
        if name not in results.ns:
            continue
        costs = {loop: results.cost(name, loop) for loop in columns}
        mine = costs[ours] if ours not in rivals else None
        others = [cost for loop in rivals if (cost := costs[loop]) is not None]
        to_uvloop = ratio(costs.get("uvloop"), mine)
        to_asyncio = ratio(costs.get("asyncio"), mine)
        to_best = ratio(min(others, default=None), mine)
        table.append(
            [
                workloads.load(name).TITLE,
                *(nanoseconds(costs[loop]) for loop in columns),
                times(to_uvloop),
                times(to_asyncio),
                times(to_best),
                verdicts(results.python, name, to_uvloop, to_asyncio, to_best),
            ]
        )
    return table


def verdicts(
    python: Python,
    workload: str,
    to_uvloop: float | None,
    to_asyncio: float | None,
    to_best: float | None,
) -> str:
    """Which goals of the workload are met, in words."""
    goal = goals.GOALS.get(workload, goals.Goal())
    words = []
    if python.info in goals.GOAL_PYTHONS:
        for name, wanted, reached in (
            ("uvloop", goal.times_uvloop, to_uvloop),
            ("asyncio", goal.times_asyncio, to_asyncio),
        ):
            if wanted is not None and reached is not None:
                words.append(mark(rounded(reached) >= wanted, f"{name} {wanted:g}x"))
    if to_best is not None and to_best < goals.NOT_BEHIND:
        words.append("BEHIND")
    return ", ".join(words)


def lateness_table(results: Results, columns: Sequence[str]) -> list[list[str]]:
    """How late timers are on an idle loop; the earliest tells whether one fired before its time."""
    table = [["timers on an idle loop, us late", *columns, "goal"]]
    for group, by_loop in results.lateness_ns.items():
        for title, pick in (
            ("median", median),
            ("99 of 100 within", percentile_99),
            ("earliest", min),
        ):
            found = {loop: pick(late) / 1e3 for loop, late in by_loop.items() if late}
            mine = our_value(found, columns)
            verdict = ""
            if title == "median" and mine is not None:
                good = mine <= goals.LATENESS_MEDIAN_US
                verdict = mark(good, f"at most {goals.LATENESS_MEDIAN_US:g}")
            if title == "earliest" and mine is not None:
                verdict = mark(mine >= 0, "never early")
            cells = [f"{found[loop]:.0f}" if loop in found else "-" for loop in columns]
            table.append([f"{group}: {title}", *cells, verdict])
    return table


def memory_table(results: Results, columns: Sequence[str]) -> list[list[str]]:
    """Bytes for each pending task."""
    table = [["bytes per pending task, with its context", *columns, "goal"]]
    for title, by_loop in (
        ("resident memory", results.resident),
        ("given out by malloc", results.allocated),
    ):
        if not by_loop:
            continue
        found = {loop: median(values) for loop, values in by_loop.items() if values}
        cells = [f"{found[loop]:.0f}" if loop in found else "-" for loop in columns]
        verdict = ""
        mine = our_value(found, columns)
        if by_loop is results.resident and mine is not None:
            verdict = mark(mine <= goals.PENDING_TASK_BYTES, f"at most {goals.PENDING_TASK_BYTES}")
        table.append([title, *cells, verdict])
    return table


def our_value(found: Mapping[str, float], columns: Sequence[str]) -> float | None:
    """The value that a goal speaks of: the last column's, where that is batonloop."""
    ours = columns[-1]
    return found.get(ours) if loops.CONTESTANTS[ours].is_ours else None


def heading(subject: Subject) -> str:
    """One line that says which Python, how it was built, and which versions."""
    versions = ", ".join(f"{name} {version}" for name, version in subject.versions.items())
    return f"Python {subject.python.short} ({subject.python.build}); {versions}"


def plain(table: Sequence[Sequence[str]]) -> list[str]:
    """A table for a terminal: first and last column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = []
    for number, row in enumerate(table):
        last = len(row) - 1
        cells = [
            cell.ljust(width) if i in (0, last) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append("-" * len(lines[0]))
    return lines


def markdown(table: Sequence[Sequence[str]]) -> list[str]:
    """A table for a page."""
    head, *rows = table
    rule = ["---", *["---:"] * (len(head) - 2), "---"]
    return ["| " + " | ".join(row) + " |" for row in (head, rule, *rows)]


def replace_between_markers(page: Path, program: str, lines: Iterable[str]) -> None:
    """Put the lines between the two markers of the program; ValueError where the page has none."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN.format(program))
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no lines {BEGIN.format(program)!r} and {END!r}")
    body = "\n".join(lines).strip("\n")
    page.write_text(f"{before}{begin}\n\n{body}\n\n{END}{after}", encoding="utf-8")


def between_markers(page: Path) -> dict[str, list[str]]:
    """What stands between the markers of each program that the page has some for."""
    begin = re.escape(BEGIN).replace(r"\{\}", r"(\S+)")
    found = re.findall(
        rf"^{begin}$(.*?)^{re.escape(END)}$", page.read_text(encoding="utf-8"), re.M | re.S
    )
    return {program: body.strip("\n").split("\n") for program, body in found}


def mark(good: bool, goal: str) -> str:
    """A goal, met or missed."""
    return f"{goal}: {'ok' if good else 'MISSED'}"


def ratio(theirs: float | None, mine: float | None) -> float | None:
    """How many times faster we are."""
    return theirs / mine if theirs is not None and mine else None


def rounded(value: float) -> float:
    """A ratio as it is shown, so that what is shown and the verdict agree."""
    return round(value, 1 if value >= WHOLE else 2)


def times(value: float | None) -> str:
    """A ratio for the table."""
    return "-" if value is None else f"{rounded(value):g}"


def nanoseconds(value: float | None) -> str:
    """A cost for the table."""
    return "-" if value is None else f"{value:,.0f}"


def percentile_99(values: Sequence[int]) -> int:
    """The value that 99 of 100 do not exceed."""
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]
