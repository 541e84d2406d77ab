"""The same on streams: each connection has a reader, a writer and a task that waits for more."""

from __future__ import annotations

import asyncio
import socket

from network import BACKLOG
from network.streams_echo import echo

TITLE = "idle streams connection"
LOAD = "idle"
BOUND = "echo-server"
CELLS = ((None, 4000),)


async def serve(listener: socket.socket) -> object:
    """Serve until the end."""
    return await asyncio.start_server(echo, sock=listener, backlog=BACKLOG)
