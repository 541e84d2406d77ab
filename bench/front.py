"""What the measuring programs have in common: their command line, and what they say at the end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import charts
import loops
import pythons
import report

Measured = TypeVar("Measured", bound=report.Subject)


def command_line(
    text: str | None, names: Sequence[str], *, only: str, rounds: str, quick: str
) -> argparse.ArgumentParser:
    """A parser with the options that all have, in their words; --only may give these names.

    Without names it may give any.
    """
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument(
        "--python", action="append", metavar="PATH", help="measure with it; may be given repeatedly"
    )
    parser.add_argument("--rounds", type=int, help=rounds)
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        default=list(names),
        choices=names or None,
        help=only,
    )
    parser.add_argument(
        "--loops", nargs="+", default=list(loops.TABLE), choices=loops.CONTESTANTS,
        help="the columns; the last one is compared with the others",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help=f"rough figures: {quick}")
    parser.add_argument("--cpu", type=int, default=pythons.default_cpu(), help="pin to this CPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument(
        "--markdown", type=Path, metavar="PAGE",
        help="write the tables between its markers, and charts of them beside it",
    )  # fmt: skip
    return parser


def read(
    parser: argparse.ArgumentParser, arguments: Sequence[str], *, quick_rounds: int, rounds: int = 5
) -> argparse.Namespace:
    """Read the command line: the running Python unless others are named, and so many rounds."""
    options = parser.parse_args(arguments)
    if options.markdown and sorted(options.only) != sorted(parser.get_default("only")):
        parser.error("--markdown replaces every table of its page: leave out --only")
    options.python = options.python or [sys.executable]
    options.rounds = options.rounds or (quick_rounds if options.quick else rounds)
    return options


def publish(
    program: str,
    options: argparse.Namespace,
    machine: dict[str, str],
    runs: Sequence[Measured],
    manner: str,
    tables: Callable[[Measured, Sequence[str], report.Render], list[str]],
    samples: Callable[[Measured], dict[str, Any]],
) -> None:
    """Print the tables, and write them and every sample wherever the options say.

    ``manner`` says how it was measured, ``tables`` makes those of one Python, and ``samples`` is
    all that is known of one, for other questions.
    """

    def page(render: report.Render) -> list[str]:
        lines = [
            f"{machine['cpu']}; {machine['kernel']}; load {machine['load']}; {machine['date']}; "
            f"{manner}, medians.",
            "",
        ]
        for results in runs:
            title = report.heading(results)
            lines += [f"### {title}" if render is report.markdown else title, ""]
            lines += tables(results, options.loops, render)
        return lines

    print("\n".join(page(report.plain)))
    if options.markdown:
        charts.publish(options.markdown, program, page(report.markdown))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine, "runs": [samples(results) for results in runs]}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
