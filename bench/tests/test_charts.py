"""Charts: that they show what the tables say, and that one can read them."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

BENCH = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(BENCH))

import charts  # noqa: E402
import report  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"

TABLE = """\
### Python 3.13.0 (-O3); uvloop 0.23.0

| ns per operation | asyncio | uvloop | rloop | batonloop | x uvloop | x asyncio | x best other | goals |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |
| a <b> & "c" * | 1,000 | 400 | 300 | 100 | 4 | 10 | 3 |  |
| d | 90 | - | 120 | 100 | - | 0.9 | 0.9 | BEHIND |

| bytes per pending task | asyncio | batonloop | goal |
| --- | ---: | ---: | --- |
| resident memory | 540 | 292 | at most 330: ok |

* rloop cannot do e
"""  # noqa: E501


def committed_page() -> str:
    return charts.PAGE.read_text(encoding="utf-8")


def charts_of(lines: list[str]) -> list[charts.Chart]:
    """Every chart of these lines, before it is drawn."""
    tables = itertools.groupby(lines, lambda line: line.startswith("|"))
    found = [
        charts.chart_of([charts.cells_of(row) for row in rows], "3.13.0")
        for is_table, rows in tables
        if is_table
    ]
    return [chart for chart in found if chart is not None]


def texts_of(svg: str, kind: str) -> list[str]:
    elements = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return [element.text or "" for element in elements if element.get("class") == kind]


def test_a_bar_is_what_the_table_says():
    [chart] = charts_of(TABLE.splitlines())
    assert chart.loops == ("asyncio", "uvloop", "rloop")
    assert chart.groups == (('a <b> & "c"', (10, 4, 3)), ("d", (0.9, None, 1.2)))
    shown = ["10x", "4x", "3x", "0.9x", "no figure", "1.2x"]
    assert texts_of(charts.draw(chart), "value") == shown


def test_a_ratio_of_the_table_comes_before_the_quotient_of_its_costs():
    row = "| 1 KiB | 5.0 | 33.2 (19%) | 18 (30%) | 12 (48%) | 8.66 (72%) | 2.4 | 3.7 | 1.43 |  |"
    head = "| echo, CPU us | raw | asyncio | uvloop | rloop | batonloop |"
    lines = [head + " x uvloop | x asyncio | x best other | goals |", "| --- |", row]
    [chart] = charts_of(lines)
    assert chart.loops == ("asyncio", "uvloop", "rloop")
    assert chart.groups == (("1 KiB", (3.7, 2.4, 1.43)),)


def test_where_two_are_the_best_each_has_its_quotient():
    head = "| echo, CPU us | rloop | blazio | batonloop | x uvloop | x asyncio | x best other | g |"
    [chart] = charts_of([head, "| --- |", "| 64 B | 3 | 3 | 2 | - | - | 1.4 |  |"])
    assert chart.groups == (("64 B", (1.5, 1.5)),)


def test_who_has_no_cost_has_no_figure():
    head = "| echo, CPU us | uvloop | blazio | batonloop | x uvloop | x asyncio | x best other |"
    [chart] = charts_of([head, "| --- |", "| a | - | 0 | 2 | - | - | - |", "| b | 1 | 1 | - |"])
    assert chart.groups == (("a", (None, None)), ("b", (None, None)))


def test_a_bar_is_as_long_as_its_ratio():
    [chart] = charts_of(TABLE.splitlines())
    marks, _ = charts.lay_out(chart)
    ten, four, three, nine_tenths, _ = [mark for mark in marks if isinstance(mark, charts.Bar)]
    one = ten.left
    assert four.left == three.left == one
    # Logarithmic: 10 is the square of its root.
    assert (ten.width / four.width) == pytest.approx(1 / 0.60206, rel=1e-3)
    assert nine_tenths.left + nine_tenths.width == pytest.approx(one)


def test_what_does_not_compare_with_us_has_no_chart():
    head = "| timers | asyncio | batonloop | goal |"
    assert charts_of([head, "| --- |", "| a | 1 | 2 | |"]) == []
    head = "| ns | asyncio | uvloop | x uvloop | x asyncio | x best other | goals |"
    assert charts_of([head, "| --- |", "| a | 1 | 2 | - | - | - | |"]) == []


def test_the_same_table_gives_the_same_file_again_and_again():
    once, files = charts.illustrated(TABLE.splitlines())
    twice, files_again = charts.illustrated(once)
    assert (once, files) == (twice, files_again)
    assert list(files) == ["operations-3.13.svg"]
    without = [line for line in once if not line.startswith("![")]
    assert "\n".join(without).replace("\n\n\n", "\n\n") == TABLE.strip()


def test_an_image_stands_above_its_table():
    lines, _ = charts.illustrated(TABLE.splitlines())
    place = next(i for i, line in enumerate(lines) if line.startswith("!["))
    assert lines[place].endswith("(charts/operations-3.13.svg)")
    assert lines[place + 1] == ""
    assert lines[place + 2].startswith("| ns per operation")


def test_a_new_run_takes_away_what_the_page_no_longer_shows(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN.format('run.py')}\n{report.END}\nafter\n")
    charts.publish(page, "run.py", TABLE.splitlines())
    assert [file.name for file in (tmp_path / "charts").iterdir()] == ["operations-3.13.svg"]
    [(program, lines)] = report.between_markers(page).items()
    assert program == "run.py"
    charts.publish(page, program, [line.replace("3.13.0", "3.12.1") for line in lines])
    assert [file.name for file in (tmp_path / "charts").iterdir()] == ["operations-3.12.svg"]
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("\nafter\n")


def test_the_committed_charts_show_the_committed_tables():
    shown = {}
    for lines in report.between_markers(charts.PAGE).values():
        drawn, files = charts.illustrated(lines)
        assert drawn == lines, "run python bench/charts.py"
        shown.update(files)
    folder = charts.PAGE.parent / charts.FOLDER
    committed = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
    assert committed.keys() == shown.keys()
    assert committed == shown, "run python bench/charts.py"


def every_chart() -> list[charts.Chart]:
    made = charts.Chart("made up", "3.12.1", "memory", ("a", "b"), (("x", (1e-4, 1e5)),))
    none = charts.Chart("none", "3.12.1", "memory", ("a",), (("x", (None,)), ("y", (None,))))
    return [*charts_of(committed_page().splitlines()), *charts_of(TABLE.splitlines()), made, none]


def test_every_chart_is_xml_and_says_what_it_is():
    for chart in every_chart():
        root = ElementTree.fromstring(charts.draw(chart))
        assert root.tag == f"{SVG}svg"
        assert (root.findtext(f"{SVG}title") or "").startswith(chart.title)


def test_no_text_covers_another_or_a_bar_or_leaves_the_sheet():
    for chart in every_chart():
        marks, height = charts.lay_out(chart)
        boxes = [(mark.box, mark) for mark in marks if not isinstance(mark, str)]
        for (left, top, right, bottom), mark in boxes:
            assert left >= 0, mark
            assert top >= 0, mark
            assert right <= charts.WIDTH, mark
            assert bottom <= height, mark
        for (one, first), (two, second) in itertools.combinations(boxes, 2):
            apart = (
                one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]
            )  # fmt: skip
            assert apart, (chart.title, first, second)
