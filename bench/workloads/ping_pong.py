"""Two tasks wake each other by turns, each through a future of its own."""

from __future__ import annotations

import asyncio

TITLE = "two tasks ping-pong"
MULTIPLE = 2


class Table:
    """Where the ball is: each player's future, settled by the other one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.turns: list[asyncio.Future[None]] = [loop.create_future(), loop.create_future()]

    async def play(self, me: int, hits: int) -> None:
        """Wait for the ball, renew the future, hit the ball back."""
        turns = self.turns
        create_future = self.loop.create_future
        for _ in range(hits):
            await turns[me]
            turns[me] = create_future()
            turns[1 - me].set_result(None)


async def run(count: int) -> None:
    """Hit the ball ``count`` times."""
    table = Table(asyncio.get_running_loop())
    players = [asyncio.create_task(table.play(me, count // 2)) for me in (0, 1)]
    table.turns[0].set_result(None)
    for player in players:
        await player
