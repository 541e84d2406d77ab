"""`import batonloop as asyncio`: every name of asyncio's is here, and means the same."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
import textwrap
import types
import typing
from pathlib import Path
from typing import Any

import pytest
from conftest import World, program_environment

OURS_ALONE = {"EventLoop", "EventLoopPolicy", "install", "uninstall"}

# asyncio's modules that have no meaning here: Windows, and asyncio's console.
NOT_HERE = {"__main__", "proactor_events", "windows_events", "windows_utils"}

# What is called otherwise here, on purpose.
SIGNATURES = {
    # The native base takes what a subclass's __init__ takes.
    "BaseEventLoop": "(*args, **kwargs)",
    "EventLoop": "(*args, **kwargs)",
    # asyncio's has these or those in some versions; all are passed on to the loop.
    "create_task": "(coro, *, name=None, context=None, **kwargs)",
}
if sys.version_info < (3, 12):
    SIGNATURES["Task"] = "(coro, *, loop=None, name=None, context=None, eager_start=False)"
    SIGNATURES["run"] = "(main, *, debug=None, loop_factory=None)"


def modules() -> list[str]:
    found = {module.name for module in pkgutil.iter_modules(asyncio.__path__)}
    return sorted(found - NOT_HERE)


def signature(thing: Any) -> str | None:
    """A signature's words without its types; None for what has none."""
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return None
    plain = [each.replace(annotation=each.empty) for each in found.parameters.values()]
    return str(found.replace(parameters=plain, return_annotation=found.empty))


def is_public(name: str, thing: Any) -> bool:
    return not name.startswith("_") and not isinstance(thing, types.ModuleType)


# --- The package ---------------------------------------------------------------------------------


def test_the_list_is_asyncios_and_a_few_names_of_ours(ours: World) -> None:
    assert set(ours.module.__all__) == set(asyncio.__all__) | {
        name for name in OURS_ALONE if hasattr(ours.module, name)
    }
    assert len(set(ours.module.__all__)) == len(ours.module.__all__)
    assert set(ours.module.__all__) <= set(dir(ours.module))


def test_names_that_this_python_lacks_are_absent(ours: World) -> None:
    newer = {"QueueShutDown", "eager_task_factory", "capture_call_graph", "no_such_name"}
    for name in newer:
        assert hasattr(ours.module, name) == hasattr(asyncio, name), name
    with pytest.raises(AttributeError, match="'batonloop' has no attribute 'no_such_name'"):
        ours.module.no_such_name


def test_a_name_means_what_it_means_in_asyncio(ours: World) -> None:
    for name in asyncio.__all__:
        check_name(ours, name)


def check_name(ours: World, name: str) -> None:
    here, there = getattr(ours.module, name), getattr(asyncio, name)
    if here is there:
        return
    assert type(here).__name__ in {type(there).__name__, "type", "_Choosing"} | (
        {"function", "builtin_function_or_method"} if callable(there) else set()
    )
    assert inspect.isclass(here) == inspect.isclass(there)
    if name != "eager_task_factory":  # It is a function that asyncio's factory has made.
        home = here.__module__
        assert here.__name__ == here.__qualname__
        assert home == "batonloop" or home.startswith("batonloop."), home
        aliases = {"EventLoopPolicy": "DefaultEventLoopPolicy"}
        assert aliases.get(here.__name__, here.__name__) == name
        assert getattr(importlib.import_module(home), here.__name__) is here
        assert pickle.loads(pickle.dumps(here)) is here
    assert inspect.getdoc(here), name
    expected = signature(there)
    if expected is not None:
        assert signature(here) == SIGNATURES.get(name, expected), name


@pytest.mark.skipif(sys.version_info < (3, 14), reason="deprecated since 3.14")
@pytest.mark.parametrize("name", ["AbstractEventLoopPolicy", "DefaultEventLoopPolicy"])
def test_what_asyncio_deprecates_is_there_and_deprecated(world: World, name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"asyncio.{name}") as warned:
        policy = getattr(world.module, name)
    assert [Path(each.filename).name for each in warned] == ["test_names.py"]
    assert issubclass(policy, asyncio.events._AbstractEventLoopPolicy)
    assert name not in world.module.__all__


def test_a_star_import_brings_them_all(world: World) -> None:
    names: dict[str, Any] = {}
    exec(f"from {world.name} import *", names)
    assert set(world.module.__all__) <= set(names)
    for name in world.module.__all__:
        assert names[name] is getattr(world.module, name)


def test_the_current_loop_of_the_main_thread_is_made_by_us(world: World) -> None:
    run = f"""
        import warnings
        import {world.name} as asyncio

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                loop = asyncio.get_event_loop()
            except RuntimeError as error:
                print(error)
            else:
                print(isinstance(loop, asyncio.SelectorEventLoop), type(loop).__module__)
                print(loop is asyncio.get_event_loop())
                loop.close()
                asyncio.set_event_loop(None)
                try:
                    asyncio.get_event_loop()
                except RuntimeError as error:
                    print(error)
        for each in caught:
            print(each.category.__name__, each.message, each.lineno)
    """
    outcome = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(run)],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=True,
    )
    missing = "There is no current event loop in thread 'MainThread'."
    if sys.version_info >= (3, 14):
        assert outcome.stdout.splitlines() == [missing]
        return
    home = "batonloop.unix_events" if world.is_ours else "asyncio.unix_events"
    warned = ["DeprecationWarning There is no current event loop 8"]
    assert outcome.stdout.splitlines() == [
        f"True {home}",
        "True",
        missing,
        *(warned if sys.version_info >= (3, 12) else []),
    ]


# --- Its modules ---------------------------------------------------------------------------------


def test_there_is_a_module_for_each_of_asyncios(ours: World) -> None:
    here = {module.name for module in pkgutil.iter_modules(ours.module.__path__)}
    later = {"graph", "tools"} if sys.version_info < (3, 14) else set()
    assert set(modules()) | later <= here
    assert not here & (NOT_HERE - {"__main__"})
    assert set(modules()) <= set(dir(ours.module))
    for name in later:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"batonloop.{name}")
        assert not hasattr(ours.module, name)


def test_a_module_holds_what_asyncios_holds(ours: World) -> None:
    for name in modules():
        check_module(ours, name)


def check_module(ours: World, name: str) -> None:
    here = importlib.import_module(f"batonloop.{name}")
    there = importlib.import_module(f"asyncio.{name}")
    assert here.__doc__
    assert getattr(ours.module, name) is here
    assert set(getattr(there, "__all__", ())) <= set(getattr(here, "__all__", ()))
    for each, thing in vars(there).items():
        if each.startswith("__"):
            continue
        assert hasattr(here, each), each
        assert each in dir(here)
        if is_public(each, thing) and each in asyncio.__all__ and each in there.__all__:
            assert getattr(here, each) is getattr(ours.module, each), each
    with pytest.raises(AttributeError, match=f"'batonloop.{name}' has no attribute 'nothing'"):
        here.nothing


def test_what_is_asyncios_is_the_same_object(ours: World) -> None:
    assert ours.module.CancelledError is asyncio.CancelledError
    assert ours.module.TimeoutError is TimeoutError
    assert ours.module.subprocess.PIPE == subprocess.PIPE
    assert ours.module.log.logger is asyncio.log.logger
    assert ours.module.exceptions.InvalidStateError is asyncio.InvalidStateError
    assert ours.module.Server is asyncio.Server


def test_the_package_imports_no_more_than_it_needs(ours: World) -> None:
    run = """
        import sys
        import asyncio
        before = set(sys.modules)
        import batonloop
        print(*sorted(name for name in set(sys.modules) - before if "." in name))
    """
    loaded = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(run)],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=True,
    ).stdout.split()
    assert "batonloop.events" in loaded
    lazy = {f"batonloop.{name}" for name in ("testing", "tools", "graph", "staggered", "threads")}
    assert not lazy & set(loaded)


def test_functions_without_types_can_be_asked_for_them(world: World) -> None:
    for name in ("wait", "run", "open_connection", "start_server", "create_subprocess_exec"):
        assert typing.get_type_hints(getattr(world.module, name)) == {}
    for method in (world.module.PriorityQueue._put, world.module.Runner.run):
        assert typing.get_type_hints(method) == {}


# --- A program -----------------------------------------------------------------------------------

PROGRAM = """
import contextvars
import sys
import {package} as asyncio
from {package}.subprocess import PIPE

story = []
request = contextvars.ContextVar("request", default="none")


async def work(number):
    await asyncio.sleep(0)
    story.append(("work", number))
    return number


async def fail():
    raise ValueError("as it must")


async def groups():
    story.append(await asyncio.gather(work(1), work(2), fail(), return_exceptions=True))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(work(3))
            group.create_task(fail())
            await asyncio.sleep(60)
    except* ValueError as errors:
        story.append(errors.exceptions)
    done, pending = await asyncio.wait(
        [asyncio.create_task(work(4)), asyncio.create_task(asyncio.sleep(60))],
        return_when=asyncio.FIRST_COMPLETED,
    )
    story.append((len(done), len(pending)))
    pending.pop().cancel()
    for next_done in asyncio.as_completed([work(5)]):
        story.append(await next_done)


async def limits():
    try:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    except TimeoutError:
        story.append("too late")
    try:
        await asyncio.wait_for(asyncio.shield(asyncio.sleep(60)), 0)
    except asyncio.TimeoutError:
        story.append("too late again")


async def passes():
    queue = asyncio.Queue(1)
    lock = asyncio.Lock()

    async def put():
        for number in range(3):
            await queue.put(number)

    putter = asyncio.create_task(put(), name="putter")
    async with lock:
        story.append([await queue.get() for _ in range(3)])
    await putter
    story.append(putter.get_name())


async def echoes():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\\n")
        story.append(await reader.read())
        writer.close()
        await writer.wait_closed()
    story.append((isinstance(server, asyncio.Server), isinstance(reader, asyncio.StreamReader)))


async def children():
    child = await asyncio.create_subprocess_exec(
        "cat", stdin=PIPE, stdout=asyncio.subprocess.PIPE
    )
    story.append(await child.communicate(b"through a child"))
    story.append(child.returncode)


async def threads():
    request.set("mine")
    story.append(await asyncio.to_thread(lambda left: (left, request.get()), "left"))
    loop = asyncio.get_running_loop()
    story.append(await asyncio.wrap_future(
        asyncio.run_coroutine_threadsafe(work(6), loop)
    ))


async def main():
    for part in (groups, limits, passes, echoes, children, threads):
        await part()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert isinstance(loop, asyncio.BaseEventLoop)
    assert isinstance(loop, asyncio.SelectorEventLoop)
    story.append(isinstance(asyncio.current_task(), asyncio.Task))
    story.append(sorted(task.get_coro().__qualname__ for task in asyncio.all_tasks()))
    return "the end"


print(asyncio.run(main()), file=sys.stdout)
for line in story:
    print(line)
print(sys.modules["asyncio"].tasks.Task.__module__)
"""


def test_a_whole_program_tells_the_same_story(tmp_path: Path, ours: World) -> None:
    stories = []
    for package in ("asyncio", "batonloop"):
        path = tmp_path / f"with_{package}.py"
        path.write_text(PROGRAM.replace("{package}", package))
        outcome = subprocess.run(
            [sys.executable, "-W", "error", str(path)],
            capture_output=True,
            text=True,
            env=program_environment(),
            timeout=60,
        )
        assert outcome.stderr == ""
        stories.append(outcome.stdout)
    assert stories[0] == stories[1]
    assert stories[0].startswith("the end\n")
    assert stories[0].endswith("_asyncio\n")
