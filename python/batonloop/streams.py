"""Streams: reader, writer and protocol are native; what is called once is here."""

from __future__ import annotations

from asyncio import events
from asyncio import streams as _asyncio_streams
from asyncio.streams import FlowControlMixin
from types import CellType, CodeType, FunctionType

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


def _find_callback() -> CodeType | None:
    """asyncio's callback of the task that serves a connection, as the running release has it.

    None if somebody has put another connection_made() in the place of asyncio's before we came.
    """
    made: Any = _asyncio_streams.StreamReaderProtocol.connection_made
    for constant in getattr(getattr(made, "__code__", None), "co_consts", ()):
        if isinstance(constant, CodeType) and {*constant.co_freevars} == {"self", "transport"}:
            return constant
    return None


_CALLBACK = _find_callback()


def _serving_callback(protocol: Any, transport: Any) -> Callable[[Any], None]:
    """What stands among the callbacks of a task that serves a connection, for those who look."""
    if _CALLBACK is not None:
        cells = {"self": CellType(protocol), "transport": CellType(transport)}
        closure = tuple(cells[name] for name in _CALLBACK.co_freevars)
        return FunctionType(_CALLBACK, vars(_asyncio_streams), closure=closure)

    def callback(task: Any) -> None:
        if task.cancelled():
            transport.close()
            return
        exc = task.exception()
        if exc is not None:
            context = {
                "message": "Unhandled exception in client_connected_cb",
                "exception": exc,
                "transport": transport,
            }
            protocol._loop.call_exception_handler(context)
            transport.close()

    return callback


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
