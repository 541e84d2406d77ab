"""A connection lives for one byte there and back; then the server closes it."""

from __future__ import annotations

import asyncio
import socket

from network import BACKLOG

TITLE = "accept, one byte, close"
LOAD = "accept"
BOUND = "accept-server"
CELLS = ((None, 1), (None, 50))


class Once(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Send it back and close."""
        self.transport.write(data)
        self.transport.close()


async def serve(listener: socket.socket) -> object:
    """Serve until the end."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(Once, sock=listener, backlog=BACKLOG)
