"""A reading that is cancelled loses no byte, in whatever turn it is cancelled.

Data comes in pieces, a turn apart, and a reading is cancelled in each turn in turn; then all is
read. What was read before and after must be all that came, and each turn's story asyncio's.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import STOCK, World

PIECES = (b"ab", b"c", b"de;f", b"", b"ghi\n", b"jk;;l", b"m\n\n", b"n")
READINGS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("readexactly", (5,)),
    ("readexactly", (9,)),
    ("readuntil", (b";",)),
    ("readuntil", (b";;",)),
    ("readline", ()),
    ("read", (3,)),
    ("__anext__", ()),
)
TURNS = 14


def play(
    module: Any, new_event_loop: Any, method: str, arguments: tuple[Any, ...], cancel_in: int
) -> tuple[list[Any], bytes]:
    """What each turn shows, and all that was read."""
    loop = new_event_loop()
    story: list[Any] = []
    read: list[bytes] = []
    try:
        reader = module.StreamReader(loop=loop, limit=64)

        async def act(name: str) -> None:
            try:
                while not reader.at_eof():
                    read.append(await getattr(reader, method)(*arguments))
                    story.append((name, read[-1]))
            except asyncio.IncompleteReadError as error:
                read.append(error.partial)
                story.append((name, error.partial))
            except (asyncio.CancelledError, StopAsyncIteration) as error:
                story.append((name, repr(error)))
                raise

        tasks = [loop.create_task(act("first"))]
        for turn in range(TURNS):
            if turn == cancel_in:
                story.append(tasks[0].cancel())
                tasks.append(loop.create_task(act("second")))
            if turn < len(PIECES):
                reader.feed_data(PIECES[turn])
            elif turn == len(PIECES) + 2:
                reader.feed_eof()
            if method != "readexactly":
                # To look at it is no part of a reading, and gives the buffer another form.
                story.append(bytes(reader._buffer))
            World.turn(loop)
        for task in tasks:
            task.cancel()
        World.turn(loop, 2)
        for task in tasks:
            assert task.cancelled() or isinstance(task.exception(), RuntimeError | None)
        return story, b"".join(read) + bytes(reader._buffer)
    finally:
        loop.close()


@pytest.mark.parametrize(("method", "arguments"), READINGS)
def test_a_cancelled_reading_loses_no_byte(
    world: World, method: str, arguments: tuple[Any, ...]
) -> None:
    for cancel_in in range(TURNS + 1):
        told, whole = play(world.module, world.new_event_loop, method, arguments, cancel_in)
        expected, _ = play(asyncio, STOCK["new_event_loop"], method, arguments, cancel_in)
        assert told == expected, cancel_in
        assert whole == b"".join(PIECES), cancel_in
