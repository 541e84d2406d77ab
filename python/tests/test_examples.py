"""The programs of examples/ and of docs/where-the-articles-err.md say what they are said to say.

Each runs as `python program.py` on stock asyncio and as `python -m batonloop program.py` on ours,
and must give the same text. The expected text of examples/NAME.py is seeds_expected/NAME.txt;
seeds_expected/NAME.3.14.txt, where there is one, replaces it from Python 3.14 on.

BATONLOOP_WRITE_EXPECTED=1 writes the text that stock asyncio gives, for the eye to check.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import program_environment

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
EXAMPLES = REPOSITORY / "examples"
EXPECTED = HERE / "seeds_expected"
PAGE = REPOSITORY / "docs" / "where-the-articles-err.md"

# What differs between two runs of the same program, and what stands for it in the expected text.
MASKS = (
    (r"0x[0-9a-f]+", "0x#"),  # The address of an object.
    (r"\b\d+(\.\d+)? (s|ms|us|seconds)\b", r"# \2"),  # A measured or asked time.
    (r"created at [^ >]+:\d+", "created at PLACE"),  # A line of the standard library's, or ours.
    (r"/[^ '\">]*/(\w+\.py)", r"\1"),  # The directory of a file.
)

# These have a test of their own below.
NEVER_ENDS = "a_future_nobody_sets"
SHOWS_THE_WORLD = "tour"
PROGRAMS = sorted(
    path.stem for path in EXAMPLES.glob("*.py") if path.stem not in (NEVER_ENDS, SHOWS_THE_WORLD)
)
# These take a quarter of a second on purpose.
SLOW = {"a_greedy_step", "bare_async_client", "bare_serial_client", "many_sleepers"}
SLOW |= {"four_ways_to_wake", "sleep_or_block", "price_of_await_task", "price_per_task"}


def masked(text: str) -> str:
    for pattern, replacement in MASKS:
        text = re.sub(pattern, replacement, text)
    return text


def expected_path(name: str) -> Path:
    """The file with the expected text: the newest that is not newer than this Python."""
    chosen = EXPECTED / f"{name}.txt"
    for minor in range(11, sys.version_info.minor + 1):
        newer = EXPECTED / f"{name}.3.{minor}.txt"
        chosen = newer if newer.exists() else chosen
    return chosen


@pytest.mark.parametrize(
    "name", [pytest.param(p, marks=pytest.mark.slow if p in SLOW else ()) for p in PROGRAMS]
)
def test_an_example_prints_its_expected_text(
    name: str, world: Any, run_program: Callable[..., Any]
) -> None:
    outcome = run_program(EXAMPLES / f"{name}.py")
    assert outcome.err == ""
    assert outcome.status == 0
    path = expected_path(name)
    if os.environ.get("BATONLOOP_WRITE_EXPECTED") and not world.is_ours:
        path.parent.mkdir(exist_ok=True)
        path.write_text(masked(outcome.out))
    assert masked(outcome.out) == path.read_text()


@pytest.mark.slow
def test_a_future_nobody_sets_rests_until_ctrl_c(world: Any) -> None:
    with subprocess.Popen(
        world.command(str(EXAMPLES / f"{NEVER_ENDS}.py")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=program_environment(),
    ) as program:
        try:
            assert program.stdout is not None
            first = [program.stdout.readline() for _ in range(2)]
            time.sleep(0.05)
            before = cpu_ticks(program.pid)
            time.sleep(0.2)
            used = cpu_ticks(program.pid) - before
            program.send_signal(signal.SIGINT)
            rest, err = program.communicate(timeout=20)
        finally:
            program.kill()
    assert "".join(first) == (EXPECTED / f"{NEVER_ENDS}.txt").read_text()
    assert rest == ""
    assert used <= 2, f"{used} clock ticks of processor time in a fifth of a second of rest"
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert program.returncode == -signal.SIGINT


def cpu_ticks(pid: int) -> int:
    """The processor time of a process so far, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.slow
def test_the_tour_ends_well_on_narrow_paper(world: Any, run_program: Callable[..., Any]) -> None:
    outcome = run_program(EXAMPLES / f"{SHOWS_THE_WORLD}.py")
    assert outcome.err == ""
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in outcome.out
    assert world.name in lines[-1]


def test_every_example_says_what_to_see() -> None:
    for path in EXAMPLES.glob("*.py"):
        docstring = compile(path.read_text(), str(path), "exec").co_consts[0]
        assert isinstance(docstring, str), path
        assert "What to see: " in docstring, path
        assert f"[{path.name}]({path.name})" in (EXAMPLES / "README.md").read_text(), path


def sections_of_the_page() -> dict[str, str]:
    """The entries of the page, by heading."""
    parts = re.split(r"^## (.+)\n", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def blocks(section: str) -> list[tuple[str, str]]:
    """The programs of an entry, each with the output that follows it."""
    found = re.findall(r"^```python\n(.*?)^```\n\s*```text\n(.*?)^```$", section, re.M | re.S)
    assert len(found) == section.count("```python"), "a program without its output"
    return found


ENTRIES = {name: section for name, section in sections_of_the_page().items() if blocks(section)}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_program_of_the_page_prints_what_the_page_says(
    entry: str, world: Any, run_program: Callable[..., Any]
) -> None:
    for source, output in blocks(ENTRIES[entry]):
        outcome = run_program(textwrap.dedent(source))
        assert outcome.err == ""
        assert masked(outcome.out) == masked(output)


def test_every_entry_of_the_page_has_a_program() -> None:
    for entry, section in sections_of_the_page().items():
        links = re.findall(r"\]\(\.\./examples/(\w+)\.py\)", section)
        assert links or entry in ENTRIES, entry
        assert set(links) <= {path.stem for path in EXAMPLES.glob("*.py")}, entry
