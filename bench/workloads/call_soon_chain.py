"""A callback that schedules itself again: one handle a turn, no task in sight."""

from __future__ import annotations

import asyncio

TITLE = "call_soon chain"


async def run(count: int) -> None:
    """Let the callback run ``count`` times."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = count

    def link() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(link)
        else:
            done.set_result(None)

    loop.call_soon(link)
    await done
