"""The servers of `examples/servers/`: each serves itself once, and ends."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import World

SERVERS = Path(__file__).resolve().parents[2] / "examples" / "servers"
MODULES = {"asyncio": "asyncio.unix_events", "batonloop": "batonloop.unix_events"}
EXPECTED = {
    "plain_protocol": ["GOOD DAY", "IS ANYBODY THERE?"],
    "with_uvicorn": ["HTTP/1.1 200 OK | served by {module}"],
    "with_aiohttp": ["200 good day, ada, from {module}", "200 good day, grace, from {module}"],
}
NEEDS = {"with_uvicorn": "uvicorn", "with_aiohttp": "aiohttp"}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_a_server_serves_itself(world: World, run_program: Callable[..., Any], name: str) -> None:
    package = NEEDS.get(name)
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    done = run_program(SERVERS / f"{name}.py")
    assert done.err == ""
    assert done.status == 0
    expected = [line.format(module=MODULES[world.name]) for line in EXPECTED[name]]
    assert done.out.splitlines() == expected


CHOOSES_ITSELF = """
import asyncio

import uvicorn


async def app(scope, receive, send):
    body = type(asyncio.get_running_loop()).__module__.encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Once(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        address = self.servers[0].sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
        print((await reader.read()).rpartition(b"\\r\\n\\r\\n")[2].decode())
        writer.close()
        self.should_exit = True


config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off", loop="asyncio")
Once(config).run()
"""


@pytest.mark.slow
def test_uvicorn_asked_for_asyncio_gets_the_loop_in_asyncios_place(
    world: World, run_program: Callable[..., Any]
) -> None:
    """It calls asyncio.SelectorEventLoop for a loop."""
    if importlib.util.find_spec("uvicorn") is None:
        pytest.skip("uvicorn is not installed")
    done = run_program(CHOOSES_ITSELF)
    assert (done.err, done.status) == ("", 0)
    assert done.out == MODULES[world.name] + "\n"
