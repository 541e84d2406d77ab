"""Four thousand connections that have said something once and now wait: the memory of each."""

from __future__ import annotations

import asyncio
import socket

from network import BACKLOG
from network.protocol_echo import Echo

TITLE = "idle connection"
LOAD = "idle"
BOUND = "echo-server"
CELLS = ((None, 4000),)


async def serve(listener: socket.socket) -> object:
    """Serve until the end."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(Echo, sock=listener, backlog=BACKLOG)
