"""connection_made() of StreamReaderProtocol: who serves a connection, and what hears of its end."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from conftest import STOCK, Log, World
from io_tools import turns


class Wire(asyncio.Transport):
    """A transport that writes down what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.story: list[str] = []

    def abort(self) -> None:
        self.story.append("abort")

    def close(self) -> None:
        self.story.append("close")

    def is_closing(self) -> bool:
        """True, so that no writer complains that it was left open."""
        return True


def made(
    world: World, callback: Callable[..., Any] | None, wire: Wire, loop: Any, **attributes: Any
) -> Any:
    """A protocol whose connection has been made."""
    protocol = world.module.StreamReaderProtocol(
        world.module.StreamReader(loop=loop), callback, loop=loop
    )
    for name, value in attributes.items():
        setattr(protocol, name, value)
    protocol.connection_made(wire)
    return protocol


def reported(loop: Any) -> list[dict[str, Any]]:
    """What the loop's exception handler gets from now on."""
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    return contexts


async def suspended(reader: Any, writer: Any) -> None:
    await asyncio.get_running_loop().create_future()


async def failing(reader: Any, writer: Any) -> None:
    raise ZeroDivisionError


def test_a_serving_task_that_fails_is_reported_and_its_connection_closed(
    world: World, logged: Log
) -> None:
    async def main() -> None:
        contexts = reported(asyncio.get_running_loop())
        server = await world.module.start_server(failing, "127.0.0.1", 0)
        reader, writer = await world.module.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        (context,) = contexts
        assert context["message"] == "Unhandled exception in client_connected_cb"
        assert type(context["exception"]) is ZeroDivisionError
        assert context["transport"].is_closing()

    world.run(main())


def test_a_connection_may_be_rejected(world: World, loop: Any) -> None:
    contexts = reported(loop)
    wire = Wire()
    protocol = made(
        world, suspended, wire, loop, _reject_connection=True, _source_traceback=["here"]
    )
    assert wire.story == ["abort"]
    assert protocol._transport is None and protocol._task is None
    (context,) = contexts
    assert context["message"] == (
        "An open stream was garbage collected prior to establishing network connection; "
        'call "stream.close()" explicitly.'
    )
    assert context["source_traceback"] == ["here"]


def test_a_client_has_nobody_to_be_served(world: World, loop: Any) -> None:
    wire = Wire()
    protocol = made(world, None, wire, loop)
    assert protocol._transport is wire
    assert protocol._task is None
    assert wire.story == []


def test_a_plain_function_needs_no_task(world: World, loop: Any) -> None:
    seen: list[Any] = []

    def serve(reader: Any, writer: Any) -> str:
        seen.extend((reader, writer))
        return "no coroutine"

    wire = Wire()
    protocol = made(world, serve, wire, loop)
    reader, writer = seen
    assert type(reader) is world.module.StreamReader and type(writer) is world.module.StreamWriter
    assert reader._transport is writer.transport is wire and writer._protocol is protocol
    assert protocol._task is None and protocol._strong_reader is None


def test_who_serves_may_be_anything_that_asyncio_takes_for_a_coroutine(
    world: World, loop: Any
) -> None:
    class Coroutine:
        def send(self, _: object) -> None:
            raise StopIteration("sent")

        def throw(self, *_: object) -> None: ...

        def close(self) -> None: ...

        def __await__(self) -> Any:
            return iter(())

    protocol = made(world, lambda *_: Coroutine(), Wire(), loop)
    assert loop.run_until_complete(protocol._task) == "sent"


def story(module: Any, loop: Any, callback: Callable[..., Any], then: str) -> list[Any]:
    """All that is seen of a connection: of the call, of its task's end, of the transport."""
    contexts: list[dict[str, Any]] = []
    seen: list[Any] = []

    def note(_: Any, context: dict[str, Any]) -> None:
        contexts.append(context)
        seen.append(f"handled {sys.exc_info()[1]!r}")

    loop.set_exception_handler(note)
    wire = Wire()
    protocol = module.StreamReaderProtocol(module.StreamReader(loop=loop), callback, loop=loop)
    seen.append(getattr(protocol, "_stream_writer", "no such thing"))
    try:
        protocol.connection_made(wire)
    except BaseException as error:
        seen.append(repr(error))
    seen.append(protocol._strong_reader is None)
    seen.append(getattr(protocol, "_stream_writer", "no such thing") is None)
    seen.append(hasattr(protocol, "_stream_writer"))
    if protocol._task is not None:
        protocol._task.set_name("it")
        seen.append(repr(protocol._task))
    World.turn(loop)
    if protocol._task is not None:
        if then:
            getattr(protocol._task, then)()
        World.turn(loop, 3)
        seen.append(repr(protocol._task))
    seen.append(wire.story)
    protocol.connection_lost(None)
    seen.append(getattr(protocol, "_stream_writer", "no such thing"))
    for context in contexts:
        shown = {name: type(value).__name__ for name, value in context.items()}
        seen.append((context["message"].partition(" at ")[0], shown))
    return [str(item) for item in seen]


def raising(reader: Any, writer: Any) -> None:
    raise ZeroDivisionError("of the callback")


def interrupting(reader: Any, writer: Any) -> None:
    raise KeyboardInterrupt


async def ending(reader: Any, writer: Any) -> str:
    return "the end"


@pytest.mark.parametrize(
    ("callback", "then"),
    [
        (raising, ""),
        (interrupting, ""),
        (failing, ""),
        (ending, ""),
        (suspended, "cancel"),
        (lambda reader, writer: None, ""),
    ],
    ids=["raises", "interrupts", "fails", "ends", "cancelled", "no coroutine"],
)
def test_it_is_as_this_release_of_asyncio_has_it(
    world: World, loop: Any, callback: Callable[..., Any], then: str
) -> None:
    stock = asyncio.SelectorEventLoop()
    try:
        expected = story(World("asyncio").module, stock, callback, then)
    finally:
        stock.close()
    assert story(world.module, loop, callback, then) == expected


def test_who_looks_sees_the_callback_of_asyncio(world: World, loop: Any) -> None:
    protocol = made(world, suspended, Wire(), loop)
    task = protocol._task
    name = "StreamReaderProtocol.connection_made.<locals>.callback"
    shown = repr(task)
    assert f"cb=[{name}() at " in shown and "streams.py:" in shown
    (entry,) = task._callbacks
    assert entry[0].__qualname__ == name and entry[0].__module__ == "asyncio.streams"
    assert type(entry[1]) is contextvars.Context
    assert task._callbacks[0][0] is entry[0]
    protocol_and_wire = {type(cell.cell_contents) for cell in entry[0].__closure__}
    assert protocol_and_wire == {type(protocol), Wire}
    task.cancel()
    task.remove_done_callback(entry[0])
    World.turn(loop, 2)


def test_a_callback_that_was_taken_away_is_not_told(world: World, loop: Any, logged: Log) -> None:
    contexts = reported(loop)
    wire = Wire()
    protocol = made(world, failing, wire, loop)
    task = protocol._task
    assert task.remove_done_callback(task._callbacks[0][0]) == 1
    assert not task._callbacks
    World.turn(loop, 3)
    assert type(task.exception()) is ZeroDivisionError
    assert contexts == [] and wire.story == []


def test_the_end_is_told_in_its_place_among_others(world: World, loop: Any) -> None:
    order: list[str] = []
    loop.set_exception_handler(lambda *_: order.append("protocol"))
    protocol = made(world, failing, Wire(), loop)
    protocol._task.add_done_callback(lambda _: order.append("later"))
    World.turn(loop, 3)
    assert order == ["protocol", "later"]


def test_the_transport_that_is_closed_is_that_of_the_connection(world: World, loop: Any) -> None:
    contexts = reported(loop)
    first, second, third = Wire(), Wire(), Wire()
    protocol = made(world, failing, first, loop)
    reader = protocol._task.get_coro().cr_frame.f_locals["reader"]
    reader._transport = None
    protocol.connection_made(second)
    protocol._transport = third
    World.turn(loop, 3)
    assert first.story == second.story == ["close"] and third.story == []
    assert [context["transport"] for context in contexts] == [first, second]


def test_it_is_told_in_the_context_of_the_connection(world: World, loop: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    seen: list[str | None] = []
    loop.set_exception_handler(lambda *_: seen.append(variable.get(None)))

    async def serve(reader: Any, writer: Any) -> None:
        variable.set("the task's")
        raise ZeroDivisionError

    def make() -> None:
        variable.set("the connection's")
        made(world, serve, Wire(), loop)

    contextvars.copy_context().run(make)
    World.turn(loop, 3)
    assert seen == ["the connection's"]


def test_tasks_of_another_kind_serve_as_well(world: World, loop: Any) -> None:
    class Other(STOCK["Task"]):  # type: ignore[misc]
        pass

    for make in (Other, STOCK["Task"], asyncio.Task):
        contexts = reported(loop)
        loop.set_task_factory(lambda loop, coro, make=make, **kw: make(coro, loop=loop, **kw))
        wire = Wire()
        protocol = made(world, failing, wire, loop)
        assert type(protocol._task) is make
        World.turn(loop, 3)
        assert wire.story == ["close"] and len(contexts) == 1


def test_a_task_that_is_done_at_once_is_told_of(world: World, loop: Any) -> None:
    if world.eager_task_factory is None:
        pytest.skip("eager tasks came with 3.12")
    contexts = reported(loop)
    loop.set_task_factory(world.eager_task_factory)
    wire = Wire()

    async def main() -> None:
        protocol = made(world, failing, wire, loop)
        assert protocol._task.done() and wire.story == []
        await turns(2)

    loop.run_until_complete(main())
    assert wire.story == ["close"] and len(contexts) == 1


def test_a_subclass_may_know_its_reader_better(world: World, loop: Any) -> None:
    seen: list[Any] = []

    class Own(world.module.StreamReaderProtocol):  # type: ignore[misc, name-defined]
        @property
        def _stream_reader(self) -> Any:
            return other

        def connection_made(self, transport: Any) -> None:
            seen.append(transport)
            super().connection_made(transport)

    other = world.module.StreamReader(loop=loop)
    protocol = Own(
        world.module.StreamReader(loop=loop), lambda reader, _: seen.append(reader), loop=loop
    )
    wire = Wire()
    protocol.connection_made(wire)
    assert seen == [wire, other] and other._transport is wire


def test_a_subclass_may_have_its_attributes_as_properties(world: World, loop: Any) -> None:
    seen: list[str] = []

    class Own(world.module.StreamReaderProtocol):  # type: ignore[misc, name-defined]
        @property
        def _client_connected_cb(self) -> Any:
            return lambda *_: seen.append("the property's")

        @_client_connected_cb.setter
        def _client_connected_cb(self, _: Any) -> None: ...

        @property
        def _reject_connection(self) -> bool:
            return rejects

        @_reject_connection.setter
        def _reject_connection(self, _: bool) -> None: ...

    rejects = False
    reader = world.module.StreamReader(loop=loop)
    protocol = Own(reader, lambda *_: seen.append("the argument"), loop=loop)
    protocol.connection_made(Wire())
    assert seen == ["the property's"]
    rejects = True
    contexts = reported(loop)
    wire = Wire()
    protocol.connection_made(wire)
    assert wire.story == ["abort"] and len(contexts) == 1


def test_what_the_body_of_a_subclass_says_is_a_default(world: World, loop: Any) -> None:
    """The constructor's argument goes before it."""
    seen: list[str] = []

    class Own(world.module.StreamReaderProtocol):  # type: ignore[misc, name-defined]
        _client_connected_cb = None
        _loop = None
        _reject_connection = True
        _source_traceback = None

    reader = world.module.StreamReader(loop=loop)
    protocol = Own(reader, lambda *_: seen.append("the argument"), loop=loop)
    wire = Wire()
    protocol.connection_made(wire)
    assert seen == ["the argument"] and wire.story == []


def test_a_factory_may_add_a_callback_of_its_own_first(world: World, loop: Any) -> None:
    order: list[str] = []
    loop.set_exception_handler(lambda *_: order.append("protocol"))

    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        task = world.Task(coro, loop=loop, **kwargs)
        task.add_done_callback(lambda _: order.append("factory"))
        return task

    loop.set_task_factory(factory)
    for look in (False, True):
        protocol = made(world, failing, Wire(), loop)
        if look:
            assert len(protocol._task._callbacks) == 2
        World.turn(loop, 3)
    assert order == ["factory", "protocol"] * 2


def test_a_result_is_nobodys_business(world: World, loop: Any) -> None:
    contexts = reported(loop)
    for look in (False, True):
        wire = Wire()
        protocol = made(world, ending, wire, loop)
        task = protocol._task
        kept = list(task._callbacks) if look else None
        World.turn(loop, 3)
        assert task.result() == "the end" and not task._callbacks
        assert contexts == [] and wire.story == []
        del kept


def test_a_task_that_is_none_is_an_error(world: World, loop: Any) -> None:
    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        coro.close()

    if sys.version_info >= (3, 13):
        factory_error = "set_name|add_done_callback"
    else:
        factory_error = "add_done_callback"
    loop.set_task_factory(factory)
    with pytest.raises(AttributeError, match=factory_error):
        made(world, ending, Wire(), loop)


def test_debug_mode_serves_as_well(world: World, loop: Any) -> None:
    loop.set_debug(True)
    contexts = reported(loop)
    wire = Wire()
    protocol = made(world, failing, wire, loop)
    assert protocol._source_traceback
    World.turn(loop, 3)
    assert wire.story == ["close"] and len(contexts) == 1


WRAPPED_BEFORE = """
import asyncio, asyncio.streams as streams
wrapped = streams.StreamReaderProtocol.connection_made
streams.StreamReaderProtocol.connection_made = lambda self, transport: wrapped(self, transport)
import batonloop

async def serve(reader, writer):
    raise ZeroDivisionError

async def main():
    told = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    server = await batonloop.start_server(serve, "127.0.0.1", 0)
    reader, writer = await batonloop.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    print(told)

batonloop.run(main())
"""


def test_what_was_wrapped_before_we_came_is_no_hindrance() -> None:
    """Who watches connections wraps the method, and may do so before batonloop is imported."""
    done = subprocess.run(
        [sys.executable, "-c", WRAPPED_BEFORE], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "['Unhandled exception in client_connected_cb']\n", done.stderr


def test_bad_calls_are_refused(world: World, loop: Any) -> None:
    protocol = made(world, None, Wire(), loop)
    with pytest.raises(TypeError, match=r"missing .*'transport'"):
        protocol.connection_made()
    with pytest.raises(AttributeError, match="get_extra_info"):
        protocol.connection_made(object())
    with pytest.raises(RuntimeError, match="of the loop"):
        made(world, suspended, Wire(), Refusing())


class Refusing:
    """A loop that makes no tasks."""

    def get_debug(self) -> bool:
        return False

    def create_future(self) -> Any:
        return Mock()

    def create_task(self, coroutine: Any) -> Any:
        coroutine.close()
        raise RuntimeError("of the loop")


def test_nothing_stays_of_a_connection_that_is_served_no_more(world: World, loop: Any) -> None:
    loop.set_exception_handler(lambda *_: None)
    for look in (False, True):
        wire = Wire()
        reference = weakref.ref(wire)
        protocol = made(world, failing, wire, loop)
        if look:
            assert protocol._task._callbacks
        World.turn(loop, 3)
        protocol.connection_lost(None)
        del protocol, wire
        gc.collect()
        assert reference() is None


def test_the_collector_finds_a_connection_that_nobody_serves(world: World) -> None:
    loop = world.new_event_loop()
    wire = Wire()
    reference = weakref.ref(wire)
    protocol = made(world, suspended, wire, loop)
    protocol._task._log_destroy_pending = False
    World.turn(loop)
    loop.close()
    del protocol, wire, loop
    gc.collect()
    assert reference() is None
