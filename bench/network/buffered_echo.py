"""A BufferedProtocol, which lends its own buffer to be read into, and writes back what is in it."""

from __future__ import annotations

import asyncio
import socket

from network import BACKLOG

TITLE = "BufferedProtocol echo"
LOAD = "echo"
BOUND = "echo-server"
BUFFER_BYTES = 64 * 1024


class Echo(asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(BUFFER_BYTES))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """All of the buffer, each time."""
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Send it back: a copy, for the next bytes overwrite the buffer."""
        self.transport.write(bytes(self.buffer[:nbytes]))


async def serve(listener: socket.socket) -> object:
    """Serve until the end."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(Echo, sock=listener, backlog=BACKLOG)
