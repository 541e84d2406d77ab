"""Random lives of pipes and datagram endpoints: both worlds tell the same story of each.

A life is drawn from a seed, the protocol's doings included; a failure names the seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import socket
import sys
from typing import Any

import pytest
from conftest import World
from io_tools import run, said, shape

KINDS = ("read pipe", "write pipe", "read socket", "write socket", "udp", "connected udp", "unix")
SIZES = (0, 1, 100, 5000, 30_000, 100_000, 300_000)
SEEDS = 60


class Doer(asyncio.Protocol, asyncio.DatagramProtocol):
    """Writes down what it is told, and sometimes does something about it."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def act(self, word: Any) -> None:
        life, dice = self.life, self.life.rng.random()
        life.story.append(word)
        if dice < 0.06:
            raise LookupError(word)
        if dice < 0.10 and life.can_write:
            life.write()
        elif 0.10 <= dice < 0.14:
            life.transport.close()
        elif 0.14 <= dice < 0.18 and not life.can_write:
            life.transport.pause_reading()

    def connection_made(self, transport: Any) -> None:
        self.life.transport = transport
        self.act("made")

    def data_received(self, data: bytes) -> None:
        self.act(len(data))

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.act(("datagram", len(data)))

    def error_received(self, exc: Exception) -> None:
        self.act(("error", said(exc)))

    def eof_received(self) -> bool:
        self.act("eof")
        return self.life.rng.random() < 0.5

    def connection_lost(self, exc: Exception | None) -> None:
        self.act(("lost", said(exc)))

    def pause_writing(self) -> None:
        self.act("pause")

    def resume_writing(self) -> None:
        self.act("resume")


class Life:
    """One transport with its peer, from the first to the last."""

    transport: Any

    def __init__(self, world: World, kind: str, seed: int, path: str) -> None:
        self.rng = random.Random(seed)
        self.kind = kind
        self.path = path
        self.story: list[Any] = []
        self.can_write = "read" not in kind
        self.is_stream = kind in ("write pipe", "write socket")
        self.loop = world.new_event_loop()
        self.loop.set_debug(seed % 5 == 0)
        self.loop.slow_callback_duration = 100.0
        self.loop.set_exception_handler(self.report)

    def report(self, loop: Any, context: dict[str, Any]) -> None:
        self.story.append(("report", said(context.get("exception"))))

    async def connect(self) -> None:
        loop = self.loop
        if self.kind in ("udp", "connected udp", "unix"):
            is_unix = self.kind == "unix"
            self.peer: Any = socket.socket(
                socket.AF_UNIX if is_unix else socket.AF_INET, socket.SOCK_DGRAM
            )
            self.peer.bind(self.path if is_unix else ("127.0.0.1", 0))
            self.peer.setblocking(False)
            self.address = self.peer.getsockname()
            to: dict[str, Any] = {"remote_addr": self.address}
            if is_unix:
                to["family"] = socket.AF_UNIX
            elif self.kind == "udp":
                to = {"local_addr": ("127.0.0.1", 0)}
            await loop.create_datagram_endpoint(lambda: Doer(self), **to)
            return
        if self.kind.endswith("socket"):
            ours: Any
            ours, self.peer = socket.socketpair()
            self.peer.setblocking(False)
        else:
            fds = os.pipe()
            files = open(fds[0], "rb", 0), open(fds[1], "wb", 0)
            ours, self.peer = reversed(files) if self.can_write else files
            os.set_blocking(self.peer.fileno(), False)
        connect = loop.connect_write_pipe if self.can_write else loop.connect_read_pipe
        await connect(lambda: Doer(self), ours)

    def write(self) -> None:
        kind = self.rng.choice((bytes, bytearray, memoryview))
        data = bytes(self.rng.choice(SIZES))
        if self.is_stream:
            self.transport.write(kind(data))
            return
        to = self.address if self.kind == "udp" else self.rng.choice((None, self.address))
        self.transport.sendto(kind(data[:30_000]), to)

    def step(self) -> None:
        rng, transport = self.rng, self.transport
        name = rng.choice(("turn", "do", "do", "do", "take", "pause", "resume", "limits", "ping"))
        name = rng.choice(("close", "abort", "leave")) if rng.random() < 0.08 else name
        self.story.append(name)
        if name == "do" and self.can_write:
            self.write()
        elif name == "do":
            self.give(bytes(rng.choice(SIZES)))
        elif name == "take" and self.can_write:
            self.story.append(self.take(rng.choice(SIZES) or 1))
        elif name == "pause" and not self.is_stream and not transport.is_closing():
            transport.pause_reading()
        elif name == "resume" and not self.is_stream:
            transport.resume_reading()
        elif name == "limits" and self.can_write:
            transport.set_write_buffer_limits(high=rng.choice((0, 100, 100_000)))
        elif name == "ping" and self.kind.endswith("udp"):
            if name_of_ours := transport.get_extra_info("sockname"):
                self.peer.sendto(bytes(rng.randrange(100)), name_of_ours)
        elif name == "close":
            transport.close()
        elif name == "abort" and self.can_write and not transport.is_closing():
            # asyncio's pipe that is aborted after it was closed is lost twice.
            transport.abort()
        elif name == "leave":
            self.peer.close()
        else:
            self.settle()

    def give(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):
            (self.peer.write if self.kind.endswith("pipe") else self.peer.send)(data)

    def take(self, size: int) -> int:
        try:
            read = self.peer.read if self.kind.endswith("pipe") else self.peer.recv
            return len(read(size) or b"")
        except BlockingIOError:
            return -1

    def settle(self) -> None:
        """Let everything happen that can: until nothing has happened twice."""
        quiet = 0
        while quiet < 2:
            before = len(self.story)
            self.loop.call_later(0.0005, self.loop.stop)
            self.loop.run_forever()
            quiet = quiet + 1 if len(self.story) == before else 0

    def shape(self) -> str:
        # Before 3.15 asyncio counts datagrams that were dropped.
        return re.sub(r", bufsize=\d+", "", shape(self.transport))

    def live(self) -> list[Any]:
        try:
            run(self.loop, self.connect())
            for _ in range(self.rng.randrange(3, 25)):
                try:
                    self.step()
                except Exception as error:
                    self.story.append(("raised", said(error)))
                self.story.append((self.shape(), self.transport.is_closing()))
        except ValueError as error:
            # In debug mode asyncio asks a pipe for its number that is closed already.
            self.story.append(said(error))
        self.settle()
        if not self.transport.is_closing():
            self.transport.close()
        self.peer.close()
        self.settle()
        self.story.append(self.shape())
        self.loop.close()
        return self.story


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_both_worlds_tell_the_same(ours: World, kind: str, tmp_path: Any) -> None:
    if kind == "unix" and sys.version_info[:3] == (3, 13, 0):
        pytest.skip("3.13.0 counts what was sent long ago, and does not always resume")
    stock = World("asyncio")
    for seed in range(SEEDS):
        expected = Life(stock, kind, seed, str(tmp_path / f"stock{seed}")).live()
        got = Life(ours, kind, seed, str(tmp_path / f"ours{seed}")).live()
        assert [str(word).replace("ours", "stock") for word in got] == [
            str(word) for word in expected
        ], f"seed {seed}"


def test_lives_are_long_enough_to_tell_of_something(world: World, tmp_path: Any) -> None:
    words: set[str] = set()
    for seed in range(12):
        for number, kind in enumerate(KINDS):
            path = str(tmp_path / f"{seed}-{number}")
            for word in Life(world, kind, seed, path).live():
                words.add(str(word[0] if isinstance(word, tuple) else word))
    assert {"made", "lost", "pause", "resume", "eof", "datagram", "report"} <= words
