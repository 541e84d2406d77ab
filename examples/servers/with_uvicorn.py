"""An ASGI application under uvicorn (`pip install uvicorn`), served by this loop.

What to see: uvicorn asks for nothing but an event loop. From the command line it takes ours by
name: `uvicorn --loop batonloop:new_event_loop module:app`. With a port this program serves until
Ctrl-C; without one it serves itself once and ends.
"""

import asyncio
import sys
from typing import Any

import uvicorn


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Say which loop is at work."""
    assert scope["type"] == "http"
    body = f"served by {type(asyncio.get_running_loop()).__module__}\n".encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def main(port: int | None) -> None:
    config = uvicorn.Config(app, port=port or 0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    if port is None:
        while not server.started:
            await asyncio.sleep(0.01)
        host, free_port = server.servers[0].sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, free_port)
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        print(answer.splitlines()[0].decode(), "|", answer.splitlines()[-1].decode())
        server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else None))
