"""An implementation with faults, for the tests of the runner: see BREAK."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

# call_soon fails, aborts or hangs in the test that the environment names.
BREAK = os.environ.get("CONFORMANCE_BREAK", "")


class Loop(asyncio.SelectorEventLoop):
    """asyncio's loop, until it is given the callback that it cannot bear."""

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        if BREAK == "fail":
            raise LookupError("no timers\ntoday")
        if BREAK == "abort":
            os.abort()
        if BREAK == "exit":
            os._exit(3)
        if BREAK == "hang":
            time.sleep(600)
        return super().call_later(delay, callback, *args, context=context)


def new_event_loop() -> Loop:
    if BREAK == "import":
        raise OSError("no loop to be had")
    return Loop()
