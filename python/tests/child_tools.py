"""What the tests of child processes share: a protocol, a child that ends, what makes it wait."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from typing import Any

from io_tools import PY, said, until

PIPE, DEVNULL, STDOUT = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT

# In 3.11 asyncio waits for each child in a thread.
THREADED = PY == (3, 11)


class Child(asyncio.SubprocessProtocol):
    """Writes down what it is told; data of one pipe in a row are one word of the story."""

    def __init__(self) -> None:
        self.story: list[Any] = []
        self.out = b""
        self.err = b""
        self.is_lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.story.append("made")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            self.out += data
        else:
            self.err += data
        if self.story[-1] != ("data", fd):
            self.story.append(("data", fd))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.story.append(("pipe lost", fd, said(exc)))

    def process_exited(self) -> None:
        self.story.append(("exited", self.transport.get_returncode()))

    def connection_lost(self, exc: Exception | None) -> None:
        self.story.append(("lost", said(exc)))
        self.is_lost = True


@contextlib.asynccontextmanager
async def child(
    loop: Any, *args: Any, factory: Callable[[], Any] = Child, **kwargs: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """A child process that is gone at the end."""
    transport, protocol = await loop.subprocess_exec(factory, *args, **kwargs)
    try:
        yield transport, protocol
    finally:
        transport.close()
        await until(lambda: protocol.is_lost)


def no_zombie(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


class Gate:
    """A pipe that a child, or its child, reads until the test opens it."""

    def __init__(self) -> None:
        self.r, self.w = os.pipe()

    def __enter__(self) -> Gate:
        return self

    def open(self) -> None:
        if self.w != -1:
            os.close(self.w)
            self.w = -1

    def __exit__(self, *args: object) -> None:
        self.open()
        os.close(self.r)

    @property
    def waits(self) -> str:
        """What waits in a script."""
        return f"cat </proc/self/fd/{self.r} >/dev/null"
