"""The loops that can be measured, and how a fresh process gets hold of each.

Nothing here is imported before it is asked for: a process knows the one loop that it measures.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contestant:
    """One column of the table."""

    name: str
    module: str
    """The module whose new_event_loop() makes the loop."""
    package: str | None = None
    """What pip calls it; None where it comes with the Python or is our own."""
    installs: bool = False
    """Whether asyncio's own names are replaced first, as a program on batonloop has them."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether this is batonloop, in whatever dress."""
        return self.module == "batonloop"


CONTESTANTS: dict[str, Contestant] = {
    contestant.name: contestant
    for contestant in (
        Contestant("asyncio", "asyncio"),
        Contestant("uvloop", "uvloop", package="uvloop"),
        Contestant("rloop", "rloop", package="rloop"),
        Contestant("blazio", "blazio", package="blazio"),
        Contestant("batonloop", "batonloop", installs=True),
        # Not in the table unless asked for: the loop alone, under asyncio's own Task and Future ...
        Contestant("batonloop-bare", "batonloop"),
        # ... and our Task and Future without CPython's struct layout.
        Contestant(
            "batonloop-own", "batonloop", installs=True, environment={"BATONLOOP_LAYOUT": "own"}
        ),
    )
}

TABLE = ("asyncio", "uvloop", "rloop", "blazio", "batonloop")
"""The columns of the table, ours last."""


MISSING = (ImportError, NotImplementedError, AttributeError)
"""What a loop raises where it lacks what is asked: a dash in the table, not an error."""


def open_loop(name: str) -> asyncio.AbstractEventLoop:
    """Make a loop of the kind called ``name``; ImportError where it is not installed."""
    contestant = CONTESTANTS[name]
    module = importlib.import_module(contestant.module)
    if contestant.installs:
        module.install()
    loop: asyncio.AbstractEventLoop = module.new_event_loop()
    return loop
