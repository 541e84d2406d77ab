"""Loops of both worlds whose time jumps to the next timer when nothing is ready.

For tests of what happens inside a loop. Where the kernel, a thread, a child or the clock itself is
awaited, time is real.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import World


class _Jumping(selectors.DefaultSelector):
    """A selector that does not sleep: it puts its loop's clock on."""

    loop: StockLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        events = super().select(0)
        if not events and timeout is None:
            raise RuntimeError("nothing is ready and nothing is scheduled")
        if not events and timeout:
            self.loop.now = self.loop._scheduled[0].when()
        return events


class StockLoop(asyncio.SelectorEventLoop):
    """asyncio's loop with such a selector. No threads, and no peers but those in the loop."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = _Jumping()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def new_virtual_loop(world: World) -> Any:
    """A new loop of this world, whose time begins at 0."""
    if not world.is_ours:
        return StockLoop()
    import batonloop.testing

    return batonloop.testing.new_event_loop()


def run_in_virtual_time(world: World, main: Coroutine[Any, Any, Any]) -> Any:
    """As `world.run()`, in a new loop whose time is virtual."""
    with world.Runner(loop_factory=lambda: new_virtual_loop(world)) as runner:
        return runner.run(main)
