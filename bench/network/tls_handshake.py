"""A handshake of TLS 1.3, and the server closes: one connection after the other."""

from __future__ import annotations

import asyncio
import socket

import net_tls

from network import BACKLOG

TITLE = "TLS handshake and close"
LOAD = "tls-handshake"
CELLS = ((None, 1),)


class Goodbye(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called when the handshake is done: that was all."""
        transport.close()


async def serve(listener: socket.socket) -> object:
    """Serve until the end."""
    loop = asyncio.get_running_loop()
    context = net_tls.server_context()
    return await loop.create_server(Goodbye, sock=listener, ssl=context, backlog=BACKLOG)
