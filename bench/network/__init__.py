"""The programs of the network's rows, in the order of the tables: each is a file with one idea.

A program is a module with

- ``TITLE``: what a reader of the table sees;
- ``LOAD``: what is put on it: a command of the program in ``load/`` (``echo``, ``http``,
  ``accept``, ``idle``), or of ``net_tls.py`` (``tls-echo``, ``tls-handshake``), or ``None``;
- ``async def serve(listener)``: serves the listening socket; what it returns is kept alive;
- ``async def run(count)`` instead, where ``LOAD`` is ``None``: does the operation ``count`` times;
- ``BOUND`` (optional): the raw server that does the same, a command of the program in ``load/``;
- ``CELLS`` (optional): the sizes and numbers of connections to measure; else ALL_CELLS.

What a program needs that is no part of Python it imports in ``serve``: whoever only asks for the
title need not have it. All of them reach asyncio through the module, as the workloads do.
"""

from __future__ import annotations

import importlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, cast

NAMES: tuple[str, ...] = (
    "protocol_echo",
    "buffered_echo",
    "sock_echo",
    "streams_echo",
    "tls_echo",
    "tls_handshake",
    "accept_close",
    "idle",
    "streams_idle",
    "spawn_true",
    "uvicorn_hello",
    "aiohttp_hello",
)
COUNTED: tuple[str, ...] = (
    "protocol_echo", "buffered_echo", "sock_echo", "streams_echo", "accept_close",
)  # fmt: skip
"""Those whose instructions count.py can count."""

KIB = 1024
SIZES: tuple[int, ...] = (64, KIB, 16 * KIB, 100 * KIB)
CONNECTIONS: tuple[int, ...] = (1, 50, 500)
ALL_CELLS = tuple((size, connections) for connections in CONNECTIONS for size in SIZES)


BACKLOG = 4096
"""Room for all connections of a load at a time: whoever finds none comes again a second later."""


@dataclass(frozen=True)
class Cell:
    """One line of a table: a program under a load."""

    name: str
    size: int | None
    """Bytes of a message, None where the program decides."""
    connections: int | None
    """How many at a time, None where there are none."""

    @property
    def title(self) -> str:
        """The load in words; empty where there is but one."""
        words = [] if self.size is None else [bytes_in_words(self.size)]
        if self.connections is not None:
            words.append(f"{self.connections} connection{'' if self.connections == 1 else 's'}")
        return ", ".join(words)


class Program(Protocol):
    """What a module in this package looks like from outside."""

    TITLE: str
    LOAD: str | None

    def serve(self, listener: Any) -> Coroutine[Any, Any, object]:
        """Serve the listening socket."""


def load(name: str) -> Program:
    """Import the program called ``name``."""
    program: Any = importlib.import_module(f"{__name__}.{name}")
    return cast(Program, program)


def bound(name: str) -> str | None:
    """The raw server to compare the program with."""
    found: str | None = getattr(load(name), "BOUND", None)
    return found


def cells(name: str) -> list[Cell]:
    """The lines that the program has in the tables."""
    pairs = getattr(load(name), "CELLS", ALL_CELLS)
    return [Cell(name, size, connections) for size, connections in pairs]


def bytes_in_words(size: int) -> str:
    """64 B, 16 KiB."""
    return f"{size // KIB} KiB" if size % KIB == 0 else f"{size} B"
