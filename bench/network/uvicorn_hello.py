"""uvicorn with httptools, and the smallest ASGI application, on connections that stay open."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

TITLE = "uvicorn with httptools, hello"
LOAD = "http"
CELLS = ((None, 50),)
BODY = b"Hello, World!"
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", str(len(BODY)).encode())]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request alike."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def serve(listener: socket.socket) -> object:
    """Serve until the end."""
    import uvicorn

    config = uvicorn.Config(
        application, http="httptools", ws="none", lifespan="off", loop="none",
        log_level="warning", access_log=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.01)
    return task
