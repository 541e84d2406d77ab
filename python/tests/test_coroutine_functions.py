"""What asyncio writes as `async def` is a function of Python's own here too, for all who look."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import inspect
import pickle
import sys
import types
import typing
import unittest.mock
import weakref
from typing import Any

import pytest
from conftest import World, run_command
from task_tools import raised

# asyncio's own, whatever a test installs.
STOCK = {
    name: getattr(asyncio, name)
    for name in asyncio.__all__
    if inspect.iscoroutinefunction(getattr(asyncio, name))
}

# What is native here. Before 3.12 wait_for() is asyncio's own.
NATIVE = ("sleep",) if sys.version_info < (3, 12) else ("sleep", "wait_for")


@pytest.fixture(params=NATIVE)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def function(world: World, name: str) -> Any:
    return getattr(world.module, name)


@pytest.mark.parametrize("name", STOCK)
def test_a_coroutine_function_is_one_for_all_who_ask(world: World, name: str) -> None:
    function = getattr(world.module, name)
    for one in (function, functools.partial(function, 1), types.MethodType(function, 1)):
        assert inspect.iscoroutinefunction(one)
        if sys.version_info < (3, 14):
            assert asyncio.iscoroutinefunction(one)
    assert inspect.isfunction(function) and inspect.isroutine(function)
    assert not inspect.isbuiltin(function)
    assert not inspect.isgeneratorfunction(function) and not inspect.isasyncgenfunction(function)
    # Up to 3.11 what is exactly of that type is run without asking us.
    exact = type(function) is types.FunctionType
    assert exact or (world.is_ours and name == "sleep" and sys.version_info < (3, 12))
    assert type(function).__name__ == "function"


def test_it_tells_what_asyncios_tells(world: World, name: str, function: Any) -> None:
    stock = STOCK[name]
    for attribute in ("__name__", "__qualname__", "__code__", "__defaults__", "__kwdefaults__"):
        assert getattr(function, attribute) == getattr(stock, attribute)
    assert function.__globals__ is stock.__globals__
    assert function.__closure__ is None and function.__dict__ == {}
    assert function.__annotations__ == typing.get_type_hints(function) == {}
    assert inspect.signature(function) == inspect.signature(stock)
    assert repr(function) == f"<function {name} at {id(function):#x}>"
    assert function.__doc__ and inspect.getdoc(function)
    assert function.__module__ == ("batonloop" if world.is_ours else "asyncio.tasks")
    assert set(dir(function)) == set(dir(stock))
    assert function.__call__.__self__ is function
    assert gc.is_tracked(function)
    assert len(gc.get_referents(function)) == len(gc.get_referents(stock))


def test_it_is_pickled_and_copied_by_its_name(function: Any) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(function, protocol)) is function
        dump: Any = vars(pickle)["_dumps"]  # The one in Python.
        assert pickle.loads(dump(function, protocol)) is function
    assert copy.copy(function) is copy.deepcopy(function) is function


def test_it_takes_attributes_and_weak_references(function: Any) -> None:
    assert weakref.ref(function)() is function
    function.mine = 1
    try:
        assert vars(function) == {"mine": 1}
    finally:
        del function.mine
    assert hash(function) == hash(function) and function == function
    # Nothing may be hashed by it that a function's hash would not serve.
    assert {function: 1}[function] == 1
    doc = function.__doc__
    function.__doc__ = "other"
    assert function.__doc__ == "other"
    function.__doc__ = doc


def test_wrapping_it_wraps_a_coroutine_function(name: str, function: Any) -> None:
    @functools.wraps(function)
    async def mine(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    assert mine.__name__ == name and mine.__wrapped__ is function
    assert inspect.unwrap(mine) is function
    assert inspect.signature(mine) == inspect.signature(STOCK[name])


def test_in_the_body_of_a_class_it_is_a_method(world: World, loop: Any) -> None:
    class Delay(int):
        sleep = world.sleep

    assert Delay(0).sleep.__self__ == 0
    assert Delay.sleep is world.sleep
    assert inspect.iscoroutinefunction(Delay(0).sleep)
    assert inspect.ismethod(Delay(0).sleep)

    async def main() -> tuple[Any, ...]:
        delay = Delay(0)
        return await delay.sleep(), await delay.sleep("x"), await Delay.sleep(0, "y")

    assert loop.run_until_complete(main()) == (None, "x", "y")

    class Other:
        sleep = world.sleep

    error = raised(lambda: loop.run_until_complete(Other().sleep()))
    assert isinstance(error, TypeError) and "'Other' and 'int'" in str(error)


def test_a_mock_of_it_is_awaited(world: World, loop: Any, name: str, function: Any) -> None:
    module = world.module
    with unittest.mock.patch(f"{world.name}.{name}") as mocked:
        assert getattr(module, name) is mocked
        assert isinstance(mocked, unittest.mock.AsyncMock)
        mocked.return_value = 3
        assert loop.run_until_complete(getattr(module, name)(1, 2, 3, x=4)) == 3
        mocked.assert_awaited_once_with(1, 2, 3, x=4)
    assert getattr(module, name) is function
    with unittest.mock.patch.object(module, name, autospec=True) as mocked:
        mocked.return_value = 4
        assert loop.run_until_complete(getattr(module, name)(0, 1)) == 4
        mocked.assert_awaited_once_with(0, 1)
        # A mock looks at them when it is called, since 3.13 when it is awaited.
        error = raised(lambda: loop.run_until_complete(getattr(module, name)()))
        assert "missing a required argument" in str(error)
    assert getattr(module, name) is function
    coroutine = unittest.mock.create_autospec(function)(1, 2)
    assert asyncio.iscoroutine(coroutine)
    coroutine.close()
    assert isinstance(unittest.mock.Mock(spec=module).sleep, unittest.mock.AsyncMock)


def test_a_mock_of_a_stream_can_be_told_what_is_awaited(world: World, loop: Any) -> None:
    """What docs/from-asyncio.md shows, for methods that are written in Rust."""
    mock = unittest.mock

    class Reader(world.module.StreamReader):  # type: ignore[misc, name-defined]
        async def readline(self) -> bytes:
            raise AssertionError

    readline = mock.AsyncMock(return_value=b"line\n")
    told = mock.AsyncMock(spec=world.module.StreamReader, readline=readline)
    specified = mock.create_autospec(Reader, instance=True)
    specified.readline.return_value = b"line\n"
    for reader in (told, specified):
        assert isinstance(reader, world.module.StreamReader)
        assert loop.run_until_complete(reader.readline()) == b"line\n"
        reader.readline.assert_awaited_once_with()
        assert not asyncio.iscoroutine(reader.at_eof())
        with pytest.raises(AttributeError):
            reader.no_such_method()


@pytest.mark.parametrize(
    ("args", "keywords"),
    [
        ((), {}),
        ((), {"wrong": 1}),
        ((1, 2, 3), {}),
        ((1, 2, 3, 4), {"wrong": 1}),
        ((1,), {"wrong": 1}),
        ((1, 2), {"fut": 1, "delay": 1}),
        ((1, 2), {"timeout": 1, "result": 1}),
    ],
)
def test_wrong_arguments_are_refused_as_asyncios_function_does(
    name: str, function: Any, args: Any, keywords: Any
) -> None:
    error, expected = (raised(lambda: one(*args, **keywords)) for one in (function, STOCK[name]))
    assert (type(error), str(error)) == (type(expected), str(expected))
    assert type(error) is TypeError


def test_every_way_to_call_it_is_ours(ours: World, name: str) -> None:
    """Whoever calls it, and however often: the interpreter never learns a shorter way past us."""
    function, stock = getattr(ours.module, name), STOCK[name]
    args = (1, None)

    def kinds(function: Any) -> set[type]:
        bound = types.MethodType(function, args[0])
        partial = functools.partial(function, args[0])
        rest = args[1:]
        made = (
            *(function(*args), function(1, None), bound(None), bound(*rest), partial(*rest)),
            *(partial(None), *map(function, *([each] for each in args))),
            *(function.__call__(*args), function.__get__(1)(None)),
        )
        for coroutine in made:
            coroutine.close()
        return {type(coroutine) for coroutine in made}

    (native,) = kinds(function)
    assert native.__module__.startswith("batonloop")
    # The interpreter learns the places where functions are called from what is called there.
    for called in (stock, function, stock, function):
        for _ in range(500):
            assert kinds(called) == {types.CoroutineType if called is stock else native}


@pytest.mark.parametrize("timeout", [None, 5, 5.0, True, 0, -1, 10**30], ids=repr)
def test_by_name_it_is_the_same(world: World, loop: Any, timeout: Any) -> None:
    async def main() -> list[Any]:
        future = loop.create_future()
        future.set_result(1)
        wait = functools.partial(world.module.wait_for, timeout=timeout)
        keywords = {"delay": 0, "result": 3}
        return [await wait(future), await wait(fut=future), await world.sleep(**keywords)]

    assert loop.run_until_complete(main()) == [1, 1, 3]


def test_profilers_hear_of_it_or_do_not(world: World) -> None:
    """What they hear fits together, for whoever keeps a stack of it."""
    depth = 0
    lowest = 0

    def hear(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal depth, lowest
        depth += 1 if event in ("call", "c_call") else -1
        lowest = min(lowest, depth)

    sleep = world.sleep
    sys.setprofile(hear)
    try:
        for _ in range(100):
            sleep(0).close()
    finally:
        sys.setprofile(None)
    # The call of setprofile() itself is heard of once, before it takes effect.
    assert depth - lowest <= 1 and lowest >= -1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is there since 3.12")
def test_monitors_hear_of_it_or_do_not(world: World) -> None:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
    events, tool = monitoring.events, 4
    heard: list[tuple[str, Any]] = []
    sleep = world.sleep
    monitoring.use_tool_id(tool, "test")
    try:
        for event in ("CALL", "C_RETURN", "C_RAISE"):
            told = functools.partial(lambda event, *args: heard.append((event, args[2])), event)
            monitoring.register_callback(tool, getattr(events, event), told)
        monitoring.set_events(tool, events.CALL)
        for _ in range(100):
            sleep(0).close()
        raised(lambda: sleep())
    finally:
        monitoring.set_events(tool, 0)
        for event in ("CALL", "C_RETURN", "C_RAISE"):
            monitoring.register_callback(tool, getattr(events, event), None)
        monitoring.free_tool_id(tool)
    calls = [event for event, function in heard if function is sleep]
    assert calls.count("CALL") == 101


def test_what_somebody_has_put_in_its_place_before_is_left_alone(ours: World) -> None:
    program = """
import asyncio, asyncio.tasks, unittest.mock
sleep = asyncio.sleep
mocked = asyncio.sleep = asyncio.tasks.sleep = unittest.mock.AsyncMock(return_value=3)
import batonloop
assert batonloop.sleep is mocked
assert batonloop.run(batonloop.sleep(1)) == 3
"""
    done = run_command([sys.executable, "-W", "error", "-c", program])
    assert (done.out, done.err, done.status) == ("", "", 0)
    program = """
import asyncio, asyncio.tasks
async def fast(delay, result=None):
    return "fast"
asyncio.sleep = asyncio.tasks.sleep = asyncio.wait_for = asyncio.tasks.wait_for = fast
import batonloop
assert batonloop.sleep is batonloop.wait_for is fast
assert batonloop.run(batonloop.sleep(1000)) == "fast"
"""
    done = run_command([sys.executable, "-W", "error", "-c", program])
    assert (done.out, done.err, done.status) == ("", "", 0)


def test_after_installing_asyncios_names_are_mocked_as_ever(ours: World) -> None:
    program = """
import asyncio, inspect, unittest.mock
stock = asyncio.sleep
import batonloop
batonloop.install()
sleep = asyncio.sleep
assert sleep is batonloop.sleep is not stock

@unittest.mock.patch("asyncio.sleep")
async def main(mocked):
    assert await asyncio.sleep(1000) is mocked.return_value
    mocked.assert_awaited_once_with(1000)

asyncio.run(main())
assert asyncio.sleep is sleep
for name in asyncio.__all__:
    theirs = getattr(asyncio, name)
    if inspect.iscoroutinefunction(getattr(batonloop, name)):
        assert inspect.iscoroutinefunction(theirs)
asyncio.run(asyncio.sleep(0))
batonloop.uninstall()
assert asyncio.sleep is stock
"""
    done = run_command([sys.executable, "-W", "error", "-c", program])
    assert (done.out, done.err, done.status) == ("", "", 0)
