"""The other loops: each pinned version in a directory of its own, seen by nothing else.

They are wheels, unpacked by pip with --target below build/peers, one directory for each package,
version and Python; only the process that measures one has that directory on its path.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

from loops import Contestant
from pythons import ROOT, Python

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
PROGRAMS = Path(__file__).parent / "network" / "requirements.txt"
SUITE = Path(__file__).with_name("suite-requirements.txt")
STORE = ROOT / "build" / "peers"


def pinned() -> dict[str, str]:
    """Package name to version, as requirements.txt has it."""
    text = REQUIREMENTS.read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", text, flags=re.MULTILINE))


class NotToBeHad(Exception):
    """pip found no wheel for this Python, or could not ask; the text is what it said last."""


def directory(contestant: Contestant, python: Python) -> Path:
    """Where the contestant is for this Python, fetched now if it is not there."""
    assert contestant.package is not None, "only a package can be fetched"
    version = pinned()[contestant.package]
    place = STORE / python.tag / f"{contestant.package}-{version}"
    if (place / contestant.module).is_dir():
        return place
    fetch(python, place, [f"{contestant.package}=={version}"])
    if not (place / contestant.module).is_dir():
        raise NotToBeHad(f"{contestant.package} has no module {contestant.module}")
    return place


def programs(python: Python) -> Path:
    """Where the programs are that some of the network's rows measure, fetched now if need be."""
    return together(python, "programs", PROGRAMS)


def suite(python: Python) -> Path:
    """Where pyperformance's programs are, fetched now if need be."""
    return together(python, "suite", SUITE)


def together(python: Python, name: str, requirements: Path) -> Path:
    """One directory with all that a file of requirements asks for."""
    text = requirements.read_text(encoding="utf-8")
    place = STORE / python.tag / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if not place.is_dir():
        fetch(python, place, ["--requirement", str(requirements)])
    return place


def fetch(python: Python, place: Path, what: list[str]) -> None:
    """Unpack wheels for this Python there: all of them, or NotToBeHad."""
    # Any pip can unpack a wheel for any Python: the measured one need not have pip.
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--ignore-requires-python", "--only-binary", ":all:", "--implementation", "cp",
        "--python-version", f"{python.info[0]}.{python.info[1]}", "--target", str(place), *what,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotToBeHad((done.stderr.strip().splitlines() or ["pip says nothing"])[-1])
