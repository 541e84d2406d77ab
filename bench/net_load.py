"""The program in ``load/``: built by cargo, run beside the servers, and how a load is called."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import network
import pythons
from network import Cell

PACKAGE = "batonloop-bench"
TLS = Path(__file__).with_name("net_tls.py")


class NotBuilt(Exception):
    """There is no such program; the text says why."""


@functools.cache
def program() -> str:
    """The path of the program, built now if need be."""
    if shutil.which("cargo") is None:
        raise NotBuilt("cargo is not installed: it builds the raw servers and the load")
    command = [
        "cargo", "build", "--quiet", "--release", "--locked", "--package", PACKAGE,
        "--message-format", "json-render-diagnostics",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=pythons.ROOT, stdout=subprocess.PIPE, text=True, check=False)
    # Cargo says where it has put what it has built, or had built before.
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    found = [path for message in messages if (path := message.get("executable"))]
    if done.returncode != 0 or not found:
        raise NotBuilt(f"cargo build --package {PACKAGE} failed")
    return str(found[-1])


def command(cell: Cell, port: int, server: int, milliseconds: int) -> list[str]:
    """The command that puts a load on a server for a window of time and prints the cost."""
    load = network.load(cell.name).LOAD
    assert load is not None, f"{cell.name} loads itself"
    words = [sys.executable, str(TLS), load] if load.startswith("tls-") else [program(), load]
    words += ["--port", str(port), "--server", str(server), "--milliseconds", str(milliseconds)]
    if cell.connections is not None:
        words += ["--connections", str(cell.connections)]
    return words if cell.size is None else [*words, "--size", str(cell.size)]
