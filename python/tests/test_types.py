"""What type-checks with `import asyncio` does with `import batonloop as asyncio`, and both mix.

The programs in typed_programs/ are checked by mypy, as strictly as it can, for each version of
Python that we serve; so is a program that asks for the type of every name of asyncio's.
`make lint` installs mypy and runs these tests.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_names import modules

HERE = Path(__file__).parent
PROGRAMS = HERE / "typed_programs"
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")

# What is not asyncio's to type checkers: our loop, and `run`, whose loop_factory is there on 3.11.
OURS = {"EventLoop"}
OURS_BEFORE_3_12 = OURS | {"run"}

# Asked for, and given with a warning, though it is in no list.
UNLISTED = {"AbstractEventLoopPolicy", "DefaultEventLoopPolicy", "TaskGroup"}


def names() -> list[str]:
    """Every public name, and whatever asyncio's modules define, private names included."""
    found = sorted({*asyncio.__all__, *UNLISTED})
    for module in modules():
        for name, value in vars(importlib.import_module(f"asyncio.{module}")).items():
            if getattr(value, "__module__", None) == f"asyncio.{module}":
                found.append(f"{module}.{name}")
    return found


def with_ours(program: str) -> str:
    changed, count = re.subn(r"(?m)^import asyncio$", "import batonloop as asyncio", program)
    assert count == 1
    return changed


def said_of_lines(program: str, output: str) -> dict[str, str]:
    """What mypy says of each line of a program, by the line."""
    lines = program.splitlines()
    found: dict[str, str] = {}
    for number, text in re.findall(r"(?m)^\w+\.py:(\d+): (.*)$", output):
        found[lines[int(number) - 1]] = found.get(lines[int(number) - 1], "") + text
    return found


def check(directory: Path, version: str, programs: dict[str, str]) -> dict[str, str]:
    """What mypy says of each program, all of them checked at once."""
    for name, program in programs.items():
        (directory / name).write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-version"]
    ended = subprocess.run(
        [*command, version, "--no-error-summary", "--cache-dir=cache", *programs],
        cwd=directory,
        env={**os.environ, "MYPYPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.stderr == ""
    lines = ended.stdout.splitlines(keepends=True)
    said = {name: "".join(x for x in lines if x.startswith(f"{name}:")) for name in programs}
    # What it says of anything else, it says of our stubs.
    assert sorted(lines) == sorted("".join(said.values()).splitlines(keepends=True))
    return said


@pytest.mark.skipif(
    importlib.util.find_spec("mypy") is None, reason="mypy is not installed: make lint installs it"
)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_type_checks_with_asyncio_does_with_batonloop(version: str, tmp_path: Path) -> None:
    whole = (PROGRAMS / "whole.py").read_text()
    asked = "import asyncio\n"
    for name in names():
        asked += f"reveal_type(asyncio.{name})\n"
    said = check(
        tmp_path,
        version,
        {
            "whole_asyncio.py": whole,
            "whole_batonloop.py": with_ours(whole),
            "mixed.py": (PROGRAMS / "mixed.py").read_text(),
            "names_asyncio.py": asked,
            "names_batonloop.py": with_ours(asked),
        },
    )
    assert said["whole_asyncio.py"] == ""
    assert said["whole_batonloop.py"] == ""
    assert said["mixed.py"] == ""

    theirs = said_of_lines(asked, said["names_asyncio.py"])
    ours = said_of_lines(asked, said["names_batonloop.py"])
    for name in OURS_BEFORE_3_12 if version == "3.11" else OURS:
        theirs.pop(f"reveal_type(asyncio.{name})", None)
    known = {line: text for line, text in theirs.items() if "error: " not in text}
    assert len(known) > 150
    assert {line: ours[line] for line in known} == known


def test_the_program_says_every_public_name() -> None:
    said = set(re.findall(r"\basyncio\.(\w+)", (PROGRAMS / "whole.py").read_text()))
    assert set(asyncio.__all__) - said == set()
