"""A Protocol that writes back what it receives."""

from __future__ import annotations

import asyncio
import socket

from network import BACKLOG

TITLE = "Protocol echo"
LOAD = "echo"
BOUND = "echo-server"


class Echo(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)


async def serve(listener: socket.socket) -> object:
    """Serve until the end."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(Echo, sock=listener, backlog=BACKLOG)
