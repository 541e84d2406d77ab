"""The Protocol that writes back what it receives, over TLS 1.3."""

from __future__ import annotations

import asyncio
import socket

import net_tls

from network import BACKLOG
from network.protocol_echo import Echo

TITLE = "TLS Protocol echo"
LOAD = "tls-echo"
CELLS = ((1024, 1), (64, 50), (1024, 50), (16 * 1024, 3), (100 * 1024, 3))


async def serve(listener: socket.socket) -> object:
    """Serve until the end."""
    loop = asyncio.get_running_loop()
    context = net_tls.server_context()
    return await loop.create_server(Echo, sock=listener, ssl=context, backlog=BACKLOG)
