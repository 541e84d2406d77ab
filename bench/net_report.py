"""The network's tables: what a server spends on a request, beside the raw server and the others.

Ratios are medians of the ratios of each round, whose windows lie near in time, so that a slow
minute of the machine hits both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import goals
import loops
import network
import report
from network import KIB, Cell

RAW = "raw"
WIDE = 50
"""With more connections, or with more than MUCH on so many, the caches are too small."""
MUCH = 16 * KIB


@dataclass
class Results(report.Subject):
    """Everything that one run has found out about one Python."""

    samples: dict[Cell, dict[str, list[float | None]]] = field(default_factory=dict)
    """Line, loop: a value a round, None where there is none; microseconds or KiB."""

    def cost(self, cell: Cell, loop: str) -> float | None:
        """The median, None where the loop could not do it."""
        values = [value for value in self.samples[cell].get(loop, []) if value is not None]
        return median(values) if values else None

    def ratio(self, cell: Cell, loop: str, ours: str | None) -> float | None:
        """How many times more ``loop`` costs than ``ours``."""
        pairs = zip(
            self.samples[cell].get(loop, []), self.samples[cell].get(ours or "", []), strict=False
        )
        ratios = [one / other for one, other in pairs if one is not None and other]
        return median(ratios) if ratios else None


def tables(results: Results, columns: Sequence[str], render: report.Render) -> list[str]:
    """All tables of one Python, each with an empty line after it."""
    lines: list[str] = []
    for title, cells in groups(results):
        lines += [*render(table(results, columns, title, cells)), ""]
    return lines + report.notes(results)


def groups(results: Results) -> list[tuple[str, list[Cell]]]:
    """The tables: one for each program that is measured with several sizes, one for the others."""
    found: dict[str, list[Cell]] = {}
    for cell in results.samples:
        title = "others, CPU us"
        if cell.size is not None:
            title = f"{network.load(cell.name).TITLE}, CPU us"
        elif network.load(cell.name).LOAD == "idle":
            title = "memory, KiB"
        found.setdefault(title, []).append(cell)
    return list(found.items())


def table(
    results: Results, columns: Sequence[str], title: str, cells: Sequence[Cell]
) -> list[list[str]]:
    """A line for each cell: costs, with the share of the raw server's; ratios; goals."""
    rows = [[title, RAW, *columns, "x uvloop", "x asyncio", "x best other", "goals"]]
    mine = columns[-1] if loops.CONTESTANTS[columns[-1]].is_ours else None
    rivals = [loop for loop in columns if not loops.CONTESTANTS[loop].is_ours]
    for cell in cells:
        costs = {loop: results.cost(cell, loop) for loop in (RAW, *columns)}
        present = [loop for loop in rivals if costs[loop] is not None]
        best = min(present, key=lambda loop: costs[loop] or 0, default="")
        ratios = {loop: results.ratio(cell, loop, mine) for loop in (RAW, "uvloop", "asyncio")}
        to_best = results.ratio(cell, best, mine)
        rows.append(
            [
                line_title(cell),
                amount(costs[RAW]),
                *(amount(costs[loop], results.ratio(cell, RAW, loop)) for loop in columns),
                report.times(ratios["uvloop"]),
                report.times(ratios["asyncio"]),
                report.times(to_best),
                verdicts(results, cell, costs[mine] if mine else None, ratios, to_best),
            ]
        )
    return rows


def line_title(cell: Cell) -> str:
    """What stands at the left."""
    if cell.size is not None:
        return cell.title
    title = network.load(cell.name).TITLE
    return f"{title}, {cell.title}" if cell.title else title


def amount(cost: float | None, share: float | None = None) -> str:
    """A cost for the table, and how much of it the raw server needs too."""
    if cost is None:
        return "-"
    text = f"{cost:.3g}" if cost < 100 else f"{cost:,.0f}"
    return text if share is None else f"{text} ({share:.0%})"


def verdicts(
    results: Results,
    cell: Cell,
    mine: float | None,
    ratios: dict[str, float | None],
    to_best: float | None,
) -> str:
    """Which goals of the line are met, in words."""
    if mine is None:
        return ""
    goal = goals.of_network(cell.name, cell.size, cell.connections)
    words = []
    if results.python.info in goals.GOAL_PYTHONS:
        share = ratios[RAW]
        if goal.share_of_raw is not None and share is not None:
            good = round(share, 2) >= round(goal.share_of_raw, 2)
            words.append(report.mark(good, f"raw {goal.share_of_raw:.0%}"))
        for name, wanted in (("uvloop", goal.times_uvloop), ("asyncio", goal.times_asyncio)):
            reached = ratios[name]
            if wanted is not None and reached is not None:
                words.append(report.mark(report.rounded(reached) >= wanted, f"{name} {wanted:g}x"))
        if goal.at_most is not None:
            words.append(report.mark(mine <= goal.at_most, f"at most {goal.at_most:g}"))
    if to_best is not None and to_best < not_behind(cell):
        words.append("BEHIND")
    return ", ".join(words)


def not_behind(cell: Cell) -> float:
    """Below this ratio to the best other loop we are behind it, and not by noise."""
    connections, size = cell.connections or 0, cell.size or 0
    wanders = connections > WIDE or (connections == WIDE and size > MUCH)
    return goals.WANDERING_NOT_BEHIND if wanders and size else goals.NETWORK_NOT_BEHIND
