"""What inspection tells of native methods and functions: as much as of asyncio's own."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import sys
from typing import Any

import pytest
from conftest import World

METHODS = {
    "EventLoop": {
        "call_soon": "(self, callback, *args, context=None)",
        "call_soon_threadsafe": "(self, callback, *args, context=None)",
        "call_later": "(self, delay, callback, *args, context=None)",
        "call_at": "(self, when, callback, *args, context=None)",
        "time": "(self)",
        "create_future": "(self)",
        "get_debug": "(self)",
        "is_running": "(self)",
        "is_closed": "(self)",
        "run_forever": "(self)",
        "sock_recv": "(self, sock, n)",
        "sock_recv_into": "(self, sock, buf)",
        "sock_recvfrom": "(self, sock, bufsize)",
        "sock_recvfrom_into": "(self, sock, buf, nbytes=0)",
        "sock_sendall": "(self, sock, data)",
        "sock_sendto": "(self, sock, data, address)",
        "sock_connect": "(self, sock, address)",
        "sock_accept": "(self, sock)",
        "stop": "(self)",
    },
    "Future": {
        "result": "(self)",
        "exception": "(self)",
        "set_result": "(self, result)",
        "set_exception": "(self, exception)",
        "add_done_callback": "(self, fn, *, context=None)",
        "remove_done_callback": "(self, fn)",
        "cancel": "(self, msg=None)",
        "cancelled": "(self)",
        "done": "(self)",
        "get_loop": "(self)",
    },
    "Task": {
        "cancel": "(self, msg=None)",
        "cancelling": "(self)",
        "uncancel": "(self)",
        "get_stack": "(self, *, limit=None)",
        "print_stack": "(self, *, limit=None, file=None)",
        "get_coro": "(self)",
        "get_name": "(self)",
        "set_name": "(self, value)",
        "set_result": "(self, result)",
        "set_exception": "(self, exception)",
    },
    "Handle": {"cancel": "(self)", "cancelled": "(self)"},
    "TimerHandle": {"cancel": "(self)", "when": "(self)"},
}


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in METHODS.items() for name in names]
)
def test_a_method_has_its_signature(world: World, owner: str, name: str) -> None:
    method = getattr(getattr(world, owner), name)
    if not world.is_ours and name == "add_done_callback":
        pytest.skip("inspect cannot read what asyncio's says")
    # Whether an argument is positional only differs between asyncio's C and Python classes.
    parameters = [
        parameter.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY
        else parameter
        for parameter in inspect.signature(method).parameters.values()
    ]
    expected = METHODS[owner][name]
    named = [word.strip("*() ").split("=")[0] for word in expected.split(",")]
    assert [parameter.name for parameter in parameters] == [word for word in named if word]
    if world.is_ours:
        assert str(inspect.Signature(parameters)) == expected
        assert inspect.getdoc(method)


@pytest.mark.parametrize("name", ["sleep", "create_task"])
def test_a_function_knows_its_name_and_home(world: World, name: str) -> None:
    function = getattr(world.module, name)
    assert function.__name__ == function.__qualname__ == name
    assert " of " not in repr(function).split(" at ")[0]
    assert pickle.loads(pickle.dumps(function)) is function
    first = next(iter(inspect.signature(function).parameters))
    assert first == {"sleep": "delay", "create_task": "coro"}[name]


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="names are given at once since 3.13")
def test_a_task_that_is_named_late_uses_a_number_up(world: World, loop: Any) -> None:
    async def nothing() -> None:
        pass

    async def main() -> tuple[int, int]:
        def number() -> int:
            return int(world.module.create_task(nothing()).get_name().rpartition("-")[2])

        first = number()
        world.module.create_task(nothing(), name="named")
        second = number()
        loop.create_task(nothing(), name="named")
        third = number()
        await asyncio.sleep(0)
        return second - first, third - second

    assert loop.run_until_complete(main()) == (2, 1)
