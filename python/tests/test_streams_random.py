"""Random lives of a StreamReader: fed, read, looked at and changed, told as asyncio tells them.

A life is a list of steps: something is fed, a task begins to read in one of the five ways, somebody
is cancelled, takes hold of the buffer, changes it, puts another in its place, or lets go of it. It
runs on asyncio's reader and on ours; what the readers said, what is left in the buffer and how the
transport was asked to pause must be the same after each step.
"""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

import pytest
from conftest import STOCK, World

LIVES = 100
STEPS = 40
ALPHABET = b"ab\n\nc;"


class Transport:
    """Pauses and resumes, and keeps the story."""

    def __init__(self, story: list[str]) -> None:
        self.story = story

    def pause_reading(self) -> None:
        self.story.append("pause")

    def resume_reading(self) -> None:
        self.story.append("resume")


class Drawer(bytearray):
    """A bytearray of somebody else's."""


class Life:
    """A reader of one world, and what happens to it."""

    def __init__(self, module: Any, loop: Any, draw: random.Random) -> None:
        self.loop = loop
        self.draw = draw
        self.story: list[str] = []
        self.reader = module.StreamReader(limit=draw.choice((4, 7, 20)), loop=loop)
        self.transport = Transport(self.story)
        if draw.random() < 0.8:
            self.reader.set_transport(self.transport)
        self.tasks: list[Any] = []
        self.held: list[Any] = []

    def bytes(self) -> bytes:
        size = self.draw.choice((0, 1, 1, 3, 5, 9, 30))
        return bytes(self.draw.choices(ALPHABET, k=size))

    async def read(self, number: int, how: str, argument: Any) -> None:
        try:
            method = getattr(self.reader, how)
            got = await (method() if argument is None else method(argument))
            self.story.append(f"{number} {how} {got!r} {type(got).__name__}")
        except BaseException as error:
            chain = (error.__context__, error.__cause__)
            self.story.append(f"{number} {how} {error!r} {vars(error)} {chain}")

    def begin(self) -> None:
        draw = self.draw
        how = draw.choice(("read", "read", "readexactly", "readuntil", "readline", "__anext__"))
        argument: Any = None
        if how == "read":
            argument = draw.choice((None, -1, 0, 1, 3, 8, 100, 2**80))
        elif how == "readexactly":
            argument = draw.choice((-1, 0, 1, 4, 9, 25, "x"))
        elif how == "readuntil":
            argument = draw.choice((None, b";", b"ab", b"", bytearray(b"c"), "a", 7))
            if sys.version_info >= (3, 13) and draw.random() < 0.3:
                argument = draw.choice(((b"bb", b";"), (b"abc", b"c", b"\n\n"), (), (b"", b"a")))
        self.tasks.append(self.loop.create_task(self.read(len(self.tasks), how, argument)))

    def step(self) -> None:
        draw = self.draw
        kind = draw.random()
        if kind < 0.38:
            data: Any = self.bytes()
            if draw.random() < 0.1:
                data = bytearray(data)
            try:
                self.reader.feed_data(data)
            except AssertionError as error:
                self.story.append(repr(error))
        elif kind < 0.78:
            self.begin()
        elif kind < 0.83 and self.tasks:
            self.story.append(f"cancel {draw.choice(self.tasks).cancel()}")
        elif kind < 0.87:
            self.held.append(self.reader._buffer)
        elif kind < 0.90 and self.held:
            self.held.pop(draw.randrange(len(self.held)))
        elif kind < 0.93:
            self.reader._buffer.extend(self.bytes())
        elif kind < 0.95:
            del self.reader._buffer[: draw.randrange(4)]
        elif kind < 0.97:
            make = draw.choice((bytearray, Drawer))
            self.reader._buffer = make(self.bytes())
        elif kind < 0.98:
            self.reader.feed_eof()
        elif kind < 0.985:
            self.reader.set_exception(ValueError("told"))
        elif kind < 0.99:
            self.reader._exception = None
            self.reader._eof = False
        World.turn(self.loop, draw.randrange(3))
        # To look at the buffer gives it another form: not after each step.
        if draw.random() < 0.3:
            self.story.append(f"{bytes(self.reader._buffer)!r} {self.reader.at_eof()}")
        self.story.append(f"{len(self.held)} {[bytes(held) for held in self.held]}")
        self.story.append(f"{self.reader._paused} {self.reader._waiter is None}")

    def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        World.turn(self.loop, 3)
        assert all(task.done() for task in self.tasks)
        self.story.append(repr(bytes(self.reader._buffer)))


def live(module: Any, new_event_loop: Any, seed: int) -> list[str]:
    loop = new_event_loop()
    try:
        life = Life(module, loop, random.Random(seed))
        for _ in range(STEPS):
            life.step()
        life.end()
        return life.story
    finally:
        loop.close()


@pytest.mark.slow
def test_readers_of_both_worlds_live_alike(ours: World) -> None:
    for seed in range(LIVES):
        told = live(ours.module, ours.new_event_loop, seed)
        expected = live(asyncio, STOCK["new_event_loop"], seed)
        assert told == expected, f"seed {seed}"
