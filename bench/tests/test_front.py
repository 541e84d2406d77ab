"""The command line that the measuring programs share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import front

NAMES = ("one", "two")


@pytest.mark.parametrize("names", [NAMES, ()])
def test_a_part_is_not_written_where_the_whole_stands(
    names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """It would replace the tables that it has not measured."""
    parser = front.command_line(None, names, only="these", rounds="many", quick="few")
    with pytest.raises(SystemExit):
        front.read(parser, ["--only", "one", "--markdown", "page.md"], quick_rounds=1)
    assert "leave out --only" in capsys.readouterr().err
    front.read(parser, ["--only", "one"], quick_rounds=1)
    front.read(parser, ["--markdown", "page.md"], quick_rounds=1)
