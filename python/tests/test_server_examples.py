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
