"""start_server() with a coroutine for each connection: read(), write(), drain()."""

from __future__ import annotations

import asyncio
import socket

from network import BACKLOG

TITLE = "streams echo"
LOAD = "echo"
BOUND = "echo-server"
AT_ONCE = 64 * 1024


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, to its end."""
    while data := await reader.read(AT_ONCE):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve(listener: socket.socket) -> object:
    """Serve until the end."""
    return await asyncio.start_server(echo, sock=listener, backlog=BACKLOG)
