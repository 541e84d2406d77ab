"""A web server and a client of aiohttp (`pip install aiohttp`), both on this loop.

What to see: nothing of aiohttp has to know of the loop. With a port it serves until Ctrl-C;
without one it serves its own client once and ends.
"""

import asyncio
import sys

import aiohttp
from aiohttp import web


async def greet(request: web.Request) -> web.Response:
    """Say which loop is at work."""
    loop = type(asyncio.get_running_loop()).__module__
    return web.Response(text=f"good day, {request.match_info['name']}, from {loop}")


async def main(port: int | None) -> None:
    app = web.Application()
    app.add_routes([web.get("/{name}", greet)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port or 0)
    await site.start()
    host, real_port = runner.addresses[0][:2]
    if port is not None:
        print(f"listening on http://{host}:{real_port}/ada", flush=True)
        await asyncio.Event().wait()
    async with aiohttp.ClientSession() as session:
        for name in ("ada", "grace"):
            async with session.get(f"http://{host}:{real_port}/{name}") as response:
                print(response.status, await response.text())
    await runner.cleanup()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else None))
    except KeyboardInterrupt:
        print("ended")
