"""aiohttp's server, and a handler that says hello, on connections that stay open."""

from __future__ import annotations

import socket
from typing import Any

from network import BACKLOG

TITLE = "aiohttp server, hello"
LOAD = "http"
CELLS = ((None, 50),)


async def serve(listener: socket.socket) -> object:
    """Serve until the end."""
    from aiohttp import web

    async def hello(request: Any) -> web.Response:
        return web.Response(body=b"Hello, World!", content_type="text/plain")

    application = web.Application()
    application.router.add_get("/", hello)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=BACKLOG).start()
    return runner
