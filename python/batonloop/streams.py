"""Streams: reader, writer and protocol are native; what is called once is here."""

from __future__ import annotations

from asyncio import events
from asyncio import streams as _asyncio_streams
from asyncio.streams import FlowControlMixin
from types import CellType, FunctionType

from . import _batonloop
from ._batonloop import StreamReader, StreamWriter
from .names import complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Server
    from collections.abc import Awaitable, Callable
    from typing import Any

    _ClientConnected = Callable[[StreamReader, StreamWriter], Awaitable[None] | None]

__all__ = (
    "StreamReader",
    "StreamWriter",
    "StreamReaderProtocol",
    "open_connection",
    "start_server",
    "open_unix_connection",
    "start_unix_server",
)

_DEFAULT_LIMIT = 2**16  # 64 KiB


def _with_names(function: Any, names: dict[str, Any]) -> Any:
    """asyncio's function, which finds these names where it would find asyncio's.

    For what differs from one release of a Python to the next: the running one's is the one.
    """
    names = {"__name__": function.__module__, **names}
    made = FunctionType(function.__code__, names, function.__name__, function.__defaults__)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__ = function.__qualname__
    made.__doc__ = function.__doc__
    return made


(_CALLBACK,) = [
    constant
    for constant in _asyncio_streams.StreamReaderProtocol.connection_made.__code__.co_consts
    if getattr(constant, "co_name", None) == "callback"
]


def _serving_callback(protocol: StreamReaderProtocol, transport: Any) -> Any:
    """asyncio's callback of the task that serves a connection, for the end and for who looks."""
    cells = {"self": CellType(protocol), "transport": CellType(transport)}
    closure = tuple(cells[name] for name in _CALLBACK.co_freevars)
    return FunctionType(_CALLBACK, vars(_asyncio_streams), closure=closure)


class StreamReaderProtocol(_batonloop.StreamReaderProtocol, FlowControlMixin):
    """Feeds a reader, and lets a writer wait.

    A protocol on which nothing is overridden takes what a transport of ours has received without
    a call of data_received().
    """

    # Called by StreamWriter.start_tls(), which is asyncio's as well.
    for _name in ("_replace_writer", "_replace_transport"):
        if hasattr(_asyncio_streams.StreamReaderProtocol, _name):
            locals()[_name] = getattr(_asyncio_streams.StreamReaderProtocol, _name)
    del _name


async def open_connection(
    host: Any = None,
    port: Any = None,
    *,
    limit: int = _DEFAULT_LIMIT,
    **kwds: Any,
) -> tuple[StreamReader, StreamWriter]:
    """Connect as loop.create_connection() does, and return a reader and a writer.

    limit is the reader's; all other arguments are those of create_connection().
    """
    loop = events.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, host, port, **kwds)
    writer = StreamWriter(transport, protocol, reader, loop)
    return reader, writer


async def start_server(
    client_connected_cb: _ClientConnected,
    host: Any = None,
    port: Any = None,
    *,
    limit: int = _DEFAULT_LIMIT,
    **kwds: Any,
) -> Server:
    """Serve as loop.create_server() does: for each connection call back with reader and writer.

    If that returns a coroutine, it runs as a task. limit is the readers'; all other arguments are
    those of create_server().
    """
    loop = events.get_running_loop()

    def factory() -> StreamReaderProtocol:
        reader = StreamReader(limit=limit, loop=loop)
        return StreamReaderProtocol(reader, client_connected_cb, loop=loop)

    return await loop.create_server(factory, host, port, **kwds)


async def open_unix_connection(
    path: Any = None, *, limit: int = _DEFAULT_LIMIT, **kwds: Any
) -> tuple[StreamReader, StreamWriter]:
    """Do as open_connection(), with a UNIX socket."""
    loop = events.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_unix_connection(lambda: protocol, path, **kwds)
    writer = StreamWriter(transport, protocol, reader, loop)
    return reader, writer


async def start_unix_server(
    client_connected_cb: _ClientConnected,
    path: Any = None,
    *,
    limit: int = _DEFAULT_LIMIT,
    **kwds: Any,
) -> Server:
    """Do as start_server(), with a UNIX socket."""
    loop = events.get_running_loop()

    def factory() -> StreamReaderProtocol:
        reader = StreamReader(limit=limit, loop=loop)
        return StreamReaderProtocol(reader, client_connected_cb, loop=loop)

    return await loop.create_unix_server(factory, path, **kwds)


complete(globals())
