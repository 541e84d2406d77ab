"""Charts of the tables: how many times more each loop costs than batonloop, a bar a loop.

    python bench/charts.py          # draw docs/charts anew, of the tables in docs/benchmarks.md
    python bench/charts.py PAGE     # the same of another page

`run.py` and `net.py` do the same when they write their tables into a page. A chart is drawn of the
table that stands below it and of nothing else, so it shows what the table says, and the same table
always gives the same file.

The axis is logarithmic and bars begin at 1, where a loop costs what batonloop costs: twice as dear
and twice as cheap are bars of one length, to the right and to the left. Every text has a place of
its own (columns as wide as their longest text, a row a bar), so none covers another.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import report

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
FOLDER = "charts"
"""Where the files are, beside the page."""
OURS = "batonloop"

WIDTH, MARGIN, GAP = 860, 16, 8
"""Of the whole; around it; between two columns."""
ROW, BAR, BETWEEN = 14, 9, 10
"""Heights of a bar's row, of the bar in it, and of what lies between two groups."""
SIZE, SMALL = 12, 11
"""Of letters: titles, and all the rest."""
WIDE = 0.62
"""No letter of a usual text is wider on average, in parts of its height."""
TICK = 56
"""At least so far apart are two numbers of the axis."""
TOP = 78
"""Where the first group begins: above it are title, subtitle and the numbers of the axis."""

STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
text { font-size: 11px; fill: #424a53; }
.title { font-size: 16px; font-weight: 600; fill: #1f2328; }
.what { font-size: 12px; fill: #1f2328; }
.sheet { fill: #ffffff; } .line { stroke: #d8dee4; } .one { stroke: #6e7781; }
.bar0 { fill: #2a78d6; } .bar1 { fill: #e0602c; } .bar2 { fill: #18a06f; } .bar3 { fill: #6a58c9; }
@media (prefers-color-scheme: dark) {
text { fill: #b7bfc8; } .title, .what { fill: #f0f3f6; }
.sheet { fill: #14181d; } .line { stroke: #30363d; } .one { stroke: #8b949e; }
.bar0 { fill: #3f8fec; } .bar1 { fill: #e06f3f; } .bar2 { fill: #23ab7b; } .bar3 { fill: #9085e9; }
}
"""
"""Dark where the reader's system is; the sheet is painted, whatever page it lies on."""


@dataclass(frozen=True)
class Chart:
    """What one chart shows."""

    title: str
    python: str
    unit: str
    """What is compared, as "CPU time"."""
    loops: tuple[str, ...]
    groups: tuple[tuple[str, tuple[float | None, ...]], ...]
    """What was done, and for each loop its cost in those of batonloop; None: it has none."""

    @property
    def name(self) -> str:
        """Of the file: the title, and the Python without its last number."""
        words = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        return f"{words}-{'.'.join(self.python.split('.')[:2])}.svg"

    @property
    def subtitle(self) -> str:
        """What the length of a bar means."""
        return (
            f"How many times the {self.unit} of {OURS} each loop needs, on Python {self.python}. "
            "Logarithmic scale."
        )


@dataclass(frozen=True)
class Text:
    """A text and where it stands: its baseline, and its left, middle or right."""

    kind: str
    x: float
    y: float
    text: str
    anchor: str = "start"

    @property
    def size(self) -> int:
        """The height of its letters."""
        return {"title": 16, "what": SIZE}.get(self.kind, SMALL)

    @property
    def width(self) -> float:
        """More than it needs."""
        return len(self.text) * self.size * WIDE

    @property
    def box(self) -> tuple[float, float, float, float]:
        """What it may cover: left, top, right, bottom."""
        left = self.x - self.width * {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor]
        return left, self.y - self.size * 0.8, left + self.width, self.y + self.size * 0.25

    def svg(self) -> str:
        """As an element."""
        return (
            f'<text class="{self.kind}" x="{self.x:.1f}" y="{self.y:.1f}" '
            f'text-anchor="{self.anchor}">{escape(self.text)}</text>'
        )


@dataclass(frozen=True)
class Bar:
    """A bar from 1 to its value."""

    kind: str
    left: float
    top: float
    width: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """What it covers: left, top, right, bottom."""
        return self.left, self.top, self.left + self.width, self.top + BAR

    def svg(self) -> str:
        """As an element."""
        return (
            f'<rect class="{self.kind}" x="{self.left:.1f}" y="{self.top:.1f}" '
            f'width="{self.width:.1f}" height="{BAR}" rx="1.5"/>'
        )


class Axis:
    """Where a ratio lies between left and right."""

    def __init__(self, values: Sequence[float], left: float, right: float) -> None:
        # A chart in which all are alike has an axis too.
        low, high = min([1.0, *values]) * 0.95, max([2.0, *values]) * 1.05
        self.left, self.low = left, math.log(low)
        self.scale = (right - left) / (math.log(high) - self.low)
        self.ticks: list[float] = []
        for factors in ((1, 2, 5), (1.5, 3, 7)):
            steps = [factor * 10.0**power for power in range(-9, 10) for factor in factors]
            # From 1 outwards, as far as their texts leave room.
            for step in sorted(steps, key=lambda step: abs(math.log(step))):
                near = any(abs(self.at(step) - self.at(tick)) < TICK for tick in self.ticks)
                if low <= step <= high and not near:
                    self.ticks.append(step)

    def at(self, value: float) -> float:
        """The place of a ratio."""
        return self.left + (math.log(value) - self.low) * self.scale


def draw(chart: Chart) -> str:
    """The chart as the text of an SVG file."""
    marks, height = lay_out(chart)
    spoken = escape(f"{chart.title}. {chart.subtitle}")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="title">',
            f'<title id="title">{spoken}</title>',
            f"<style>{STYLE}</style>",
            f'<rect class="sheet" width="{WIDTH}" height="{height}" rx="6"/>',
            *(mark if isinstance(mark, str) else mark.svg() for mark in marks),
            "</svg>",
            "",
        ]
    )


def lay_out(chart: Chart) -> tuple[list[Text | Bar | str], int]:
    """Everything at its place, and the height that it takes; what is a line is ready already."""
    whats = max(Text("what", 0, 0, title).width for title, _ in chart.groups)
    names = max(Text("loop", 0, 0, loop).width for loop in chart.loops)
    values = Text("value", 0, 0, "no figure").width
    left = MARGIN + whats + GAP + names + GAP
    known = [value for _, row in chart.groups for value in row if value is not None]
    axis = Axis(known, left, WIDTH - MARGIN - GAP - values)
    group = ROW * len(chart.loops) + BETWEEN
    bottom = TOP + group * len(chart.groups)
    marks: list[Text | Bar | str] = [
        Text("title", MARGIN, MARGIN + 14, chart.title),
        Text("subtitle", MARGIN, MARGIN + 34, chart.subtitle),
    ]
    for tick in axis.ticks:
        kind = "one" if tick == 1 else "line"
        marks.append(
            f'<line class="{kind}" x1="{axis.at(tick):.1f}" y1="{TOP - 6}" '
            f'x2="{axis.at(tick):.1f}" y2="{bottom - BETWEEN + 2}"/>'
        )
        marks.append(Text("tick", axis.at(tick), TOP - 10, f"{tick:g}x", "middle"))
    for number, (title, row) in enumerate(chart.groups):
        top = TOP + group * number
        middle = top + ROW * len(chart.loops) / 2 + SIZE * 0.35
        marks.append(Text("what", MARGIN, middle, title))
        for index, (loop, value) in enumerate(zip(chart.loops, row, strict=True)):
            marks += row_of(axis, top + ROW * index, left - GAP, index, loop, value)
    return marks, bottom + MARGIN - BETWEEN


def row_of(
    axis: Axis, top: float, right: float, index: int, loop: str, value: float | None
) -> Iterator[Text | Bar]:
    """A loop's name, its bar, and the value to the right of it."""
    line = top + ROW - 3.5
    one = axis.at(1)
    yield Text("loop", right, line, loop, "end")
    if value is None:
        yield Text("value", one + 4, line, "no figure")
        return
    end = axis.at(value)
    # A pixel at least: a loop that costs the same has a bar too.
    yield Bar(f"bar{index % 4}", min(one, end), top + (ROW - BAR) / 2, max(abs(end - one), 1))
    yield Text("value", max(one, end) + 4, line, f"{report.times(value)}x")


def illustrated(lines: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The lines with an image above each table that has one, and the files by their names.

    What images of ours the lines have already goes; so it may be done again and again.
    """
    files: dict[str, str] = {}

    def with_image(found: re.Match[str]) -> str:
        chart = chart_of([cells_of(row) for row in found[0].splitlines()], python)
        if chart is None:
            return found[0]
        files[chart.name] = draw(chart)
        return f"![{chart.title}: {chart.subtitle}]({FOLDER}/{chart.name})\n\n{found[0]}"

    text = re.sub(rf"^!\[.*\]\({FOLDER}/.*\.svg\)\n\n", "", "\n".join(lines), flags=re.M)
    python, parts = "", []
    for part in re.split(r"^(?=#+ Python )", text, flags=re.M):
        if found := re.match(r"#+ Python (\S+)", part):
            python = found[1]
        parts.append(re.sub(r"(?:^\|.*\n?)+", with_image, part, flags=re.M))
    return "".join(parts).split("\n"), files


def cells_of(row: str) -> list[str]:
    """The cells of a line of a table."""
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def chart_of(table: Sequence[Sequence[str]], python: str) -> Chart | None:
    """What a table shows; None where it does not compare costs with ours.

    A ratio that the table has is taken from it: those of the network are medians of the rounds'
    ratios. Of the others it is the quotient of the costs.
    """
    head, _, *rows = table
    ratios = {cell.removeprefix("x "): i for i, cell in enumerate(head) if cell.startswith("x ")}
    if not ratios or not rows:
        return None
    columns = {head[i]: i for i in range(1, min(ratios.values())) if head[i] != "raw"}
    ours = list(columns)[-1]
    rivals = [loop for loop in columns if not loop.startswith(OURS)]
    if not ours.startswith(OURS) or not rivals:
        return None
    title, _, unit = head[0].partition(", ")
    groups = []
    for row in rows:
        costs = {loop: number(row[i]) for loop, i in columns.items()}
        best = min((cost for loop in rivals if (cost := costs[loop])), default=None)
        found = []
        for loop in rivals:
            cost, mine = costs[loop], costs[ours]
            if not cost or not mine:
                found.append(None)
                continue
            alone = cost == best and [costs[rival] for rival in rivals].count(best) == 1
            column = ratios.get(loop, ratios.get("best other") if alone else None)
            told = None if column is None else number(row[column])
            found.append(told or cost / mine)
        groups.append((row[0].removesuffix(" *"), tuple(found)))
    if title == "ns per operation":
        title = "operations"
    if title.split()[0].isalpha():
        title = title[0].upper() + title[1:]
    compared = "memory" if unit == "KiB" else "CPU time"
    return Chart(title, python, compared, tuple(rivals), tuple(groups))


def number(cell: str) -> float | None:
    """The number that a cell begins with."""
    found = re.match(r"[\d.,]+", cell)
    return float(found[0].replace(",", "")) if found else None


def publish(page: Path, program: str, lines: Sequence[str]) -> None:
    """Write a program's lines into the page with their charts, and the charts beside it."""
    lines, files = illustrated(lines)
    report.replace_between_markers(page, program, lines)
    folder = page.parent / FOLDER
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    shown = page.read_text(encoding="utf-8")
    for file in folder.glob("*.svg"):
        if f"({FOLDER}/{file.name})" not in shown:
            file.unlink()


def main() -> None:
    """Draw anew what a page has tables for."""
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    for program, lines in report.between_markers(page).items():
        publish(page, program, lines)


if __name__ == "__main__":
    main()
