"""A task for each connection that awaits loop.sock_recv() and loop.sock_sendall()."""

from __future__ import annotations

import asyncio
import socket

TITLE = "sock_recv and sock_sendall"
LOAD = "echo"
BOUND = "echo-server"
AT_ONCE = 64 * 1024


async def echo(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    """One connection, to its end."""
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := await loop.sock_recv(connection, AT_ONCE):
            await loop.sock_sendall(connection, data)


async def accept(listener: socket.socket) -> None:
    """Accept until the end."""
    loop = asyncio.get_running_loop()
    tasks = set()
    while True:
        connection, _ = await loop.sock_accept(listener)
        task = asyncio.create_task(echo(loop, connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def serve(listener: socket.socket) -> object:
    """Serve until the end."""
    # A loop that lacks these is known before the first connection comes.
    with socket.socket() as probe:
        probe.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_recv(probe, 1)
        except OSError:
            pass
    return asyncio.create_task(accept(listener))
