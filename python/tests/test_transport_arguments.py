"""What the classes of transports say to the wrong arguments: what a Python function says."""

from __future__ import annotations

import asyncio.selector_events
import asyncio.sslproto
import asyncio.unix_events
from typing import Any

import pytest
from conftest import World
from net_tools import PY

SOCKET = ("loop", "sock", "protocol", "waiter", "extra", "server")
CLASSES = {
    "_SelectorSocketTransport": (*SOCKET, "context") if PY >= (3, 15) else SOCKET,
    "_SelectorDatagramTransport": ("loop", "sock", "protocol", "address", "waiter", "extra"),
    "_UnixReadPipeTransport": ("loop", "pipe", "protocol", "waiter", "extra"),
    "_UnixWritePipeTransport": ("loop", "pipe", "protocol", "waiter", "extra"),
    "_SSLProtocolTransport": ("loop", "ssl_protocol"),
}

# The destructors of asyncio's pipes, and of its TLS, miss what a refused `__init__` has not set.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(params=CLASSES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


def required(name: str) -> tuple[str, ...]:
    """The parameters of a class that have no default."""
    return CLASSES[name][:3]


def refusal(world: World, name: str, *args: Any, **kwargs: Any) -> str:
    """What is said when a transport is made of these; the class is left out."""
    if world.is_ours:
        cls = getattr(world.module._batonloop, name)
    elif name.startswith("_Unix"):
        cls = getattr(asyncio.unix_events, name)
    elif name.startswith("_SSL"):
        cls = getattr(asyncio.sslproto, name)
    else:
        cls = getattr(asyncio.selector_events, name)
    with pytest.raises(TypeError) as raised:
        cls(*args, **kwargs)
    text = str(raised.value)
    assert text.startswith(f"{name}.__init__() ")
    return text.removeprefix(f"{name}.__init__() ")


def test_too_many(world: World, loop: Any, name: str) -> None:
    least, most = len(required(name)), len(CLASSES[name])
    takes = f"takes from {least + 1} to {most + 1}" if least < most else f"takes {most + 1}"
    for count in (most + 1, most + 2):
        assert refusal(world, name, loop, *[None] * (count - 1)) == (
            f"{takes} positional arguments but {count + 1} were given"
        )


def test_unknown(world: World, loop: Any, name: str) -> None:
    said = "got an unexpected keyword argument 'quux'"
    others = [None] * (len(required(name)) - 1)
    assert refusal(world, name, loop, *others, quux=None) == said


@pytest.mark.parametrize("value", [None, 1])
def test_the_same_twice(world: World, loop: Any, name: str, value: Any) -> None:
    names = CLASSES[name]
    for count, each in enumerate(names, 1):
        args = [loop, *[value] * (max(count, len(required(name))) - 1)]
        said = f"got multiple values for argument '{each}'"
        assert refusal(world, name, *args, **{each: value}) == said


def test_missing(world: World, loop: Any, name: str) -> None:
    first, *others = required(name)
    everything = "'loop', '{}', and '{}'" if len(others) == 2 else "'loop' and '{}'"
    said = f"missing {len(others) + 1} required positional arguments: {everything.format(*others)}"
    assert first == "loop"
    assert refusal(world, name) == said
    for optional in CLASSES[name][3:]:
        assert refusal(world, name, **{optional: None}) == said
    said = f"missing 1 required positional argument: '{others[0]}'"
    assert refusal(world, name, loop, **dict.fromkeys(others[1:])) == said
    if len(others) == 2:
        said = f"missing 2 required positional arguments: '{others[0]}' and '{others[1]}'"
        assert refusal(world, name, loop) == said


def test_of_two_mistakes_the_first_is_told(world: World, loop: Any, name: str) -> None:
    too_many = [loop, *[None] * len(CLASSES[name])]
    assert refusal(world, name, *too_many, quux=1) == "got an unexpected keyword argument 'quux'"
    assert refusal(world, name, *too_many, loop=1) == "got multiple values for argument 'loop'"
    assert refusal(world, name, loop, quux=1) == "got an unexpected keyword argument 'quux'"
    said = "got multiple values for argument 'loop'"
    assert refusal(world, name, loop, loop=1, quux=1) == said
