"""The native module: the event loop's turn, transports and TLS.

What it has by a public name of asyncio's is asyncio's to type checkers. stubtest passes such names
by; that ours have asyncio's methods and signatures, test_names.py and test_signatures.py see to.
"""

import asyncio
import asyncio.transports
import ssl
import sys
from asyncio import BoundedSemaphore as BoundedSemaphore
from asyncio import Condition as Condition
from asyncio import Event as Event
from asyncio import Future as Future
from asyncio import Handle as Handle
from asyncio import Lock as Lock
from asyncio import Queue as Queue
from asyncio import Semaphore as Semaphore
from asyncio import StreamReader as StreamReader
from asyncio import StreamReaderProtocol as StreamReaderProtocol
from asyncio import StreamWriter as StreamWriter
from asyncio import Task as Task
from asyncio import TaskGroup as TaskGroup
from asyncio import Timeout as Timeout
from asyncio import TimerHandle as TimerHandle
from asyncio import all_tasks as all_tasks
from asyncio import create_task as create_task
from asyncio import current_task as current_task
from asyncio import gather as gather
from asyncio import shield as shield
from asyncio import sleep as sleep
from asyncio import timeout as timeout
from asyncio import timeout_at as timeout_at
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from contextvars import Context
from socket import socket
from typing import Any, Final, Generic, Self, TypeVar, TypeVarTuple, final

from typing_extensions import Buffer

_T = TypeVar("_T")
_F = TypeVar("_F", bound=asyncio.Future[Any])
_Ts = TypeVarTuple("_Ts")
_TaskLike = Generator[Any, None, _T] | Coroutine[Any, Any, _T]
_TaskFactory = Callable[..., asyncio.Future[Any]]

__version__: Final[str]
LAYOUT: Final[str]
SELECTOR: Final[str]

class _GatheringFuture(Future[list[Any]]):
    """What gather() gives."""

    _children: Final[list[asyncio.Future[Any]]]
    _cancel_requested: Final[bool]

    def __init__(
        self, children: Iterable[asyncio.Future[Any]], *, loop: asyncio.AbstractEventLoop
    ) -> None: ...
    def cancel(self, msg: Any | None = None) -> bool: ...

class _Waiting(Generic[_F]):
    """What wait() keeps while it waits."""

    waiter: Final[asyncio.Future[None]]

    def __init__(
        self,
        fs: set[_F],
        timeout: float | None,
        return_when: str,
        loop: asyncio.AbstractEventLoop,
    ) -> None: ...
    def end(self) -> None: ...
    def sorted(self) -> tuple[set[_F], set[_F]]: ...

class _Serving:
    """What hears of the end of the task that serves a connection."""

class _Shield:
    """What shield() puts among the callbacks of its futures."""

class EventLoop:
    """The native half of an event loop: what is queued, and the turn."""

    slow_callback_duration: float
    _poll_interval: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...

    # Calling back.
    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> Handle: ...
    def call_soon_threadsafe(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> Handle: ...
    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> TimerHandle: ...
    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> TimerHandle: ...
    def time(self) -> float: ...

    # Futures and tasks.
    def create_future(self) -> Future[Any]: ...
    def create_task(
        self,
        coro: _TaskLike[_T],
        *,
        name: object = None,
        context: Context | None = None,
        **kwargs: Any,
    ) -> asyncio.Task[_T]: ...
    def get_task_factory(self) -> _TaskFactory | None: ...
    def set_task_factory(self, factory: _TaskFactory | None) -> None: ...

    # Running.
    def run_forever(self) -> None: ...
    def stop(self) -> None: ...
    def is_running(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def get_debug(self) -> bool: ...
    def set_debug(self, enabled: bool) -> None: ...

    # Descriptors.
    def _add_reader(self, fd: Any, callback: Callable[[*_Ts], Any], *args: *_Ts) -> Handle: ...
    def _remove_reader(self, fd: Any) -> bool: ...
    def _add_writer(self, fd: Any, callback: Callable[[*_Ts], Any], *args: *_Ts) -> Handle: ...
    def _remove_writer(self, fd: Any) -> bool: ...
    def _interest(self, fd: int) -> int: ...
    def _transport_of(self, fd: int) -> asyncio.BaseTransport | None: ...

    # Sockets: coroutines.
    def sock_recv(self, sock: socket, n: int) -> Coroutine[Any, Any, bytes]: ...
    def sock_recv_into(self, sock: socket, buf: Buffer) -> Coroutine[Any, Any, int]: ...
    def sock_recvfrom(
        self, sock: socket, bufsize: int
    ) -> Coroutine[Any, Any, tuple[bytes, Any]]: ...
    def sock_recvfrom_into(
        self, sock: socket, buf: Buffer, nbytes: int = 0
    ) -> Coroutine[Any, Any, tuple[int, Any]]: ...
    def sock_sendall(self, sock: socket, data: Buffer) -> Coroutine[Any, Any, None]: ...
    def sock_sendto(self, sock: socket, data: Buffer, address: Any) -> Coroutine[Any, Any, int]: ...
    def sock_connect(self, sock: socket, address: Any) -> Coroutine[Any, Any, None]: ...
    def sock_accept(self, sock: socket) -> Coroutine[Any, Any, tuple[socket, Any]]: ...

    # For our own Python half.
    @property
    def _stopping(self) -> bool: ...
    @property
    def _thread_id(self) -> int | None: ...
    @property
    def _current_handle(self) -> Any: ...
    def _add_callback(self, handle: asyncio.Handle) -> None: ...
    def _check_closed(self) -> None: ...
    def _note_classes(self) -> None: ...
    def _close(self) -> None: ...
    def _queued(self) -> list[tuple[str, Any]]: ...
    def _run_once(self) -> None: ...

if sys.version_info >= (3, 13):
    @final
    class _Clients:
        """A set of transports that keeps none of them alive."""

        def __new__(cls) -> Self: ...
        def add(self, transport: asyncio.BaseTransport) -> None: ...
        def discard(self, transport: asyncio.BaseTransport) -> None: ...
        def copy(self) -> list[asyncio.BaseTransport]: ...
        def __len__(self) -> int: ...
        def __contains__(self, transport: object, /) -> bool: ...
        def __iter__(self) -> Iterator[asyncio.BaseTransport]: ...

@final
class _Listener:
    """A listening socket, as the loop watches it."""

    @staticmethod
    def start(
        event_loop: EventLoop, arguments: tuple[Any, ...], fd: int, *, is_tcp: bool, path: Any
    ) -> None: ...

class _SelectorSocketTransport(asyncio.Transport):
    """The transport of a connection: a TCP or UNIX stream socket."""

    max_size: int
    if sys.version_info >= (3, 15):
        def __init__(
            self,
            loop: EventLoop,
            sock: Any,
            protocol: Any,
            waiter: Any = None,
            extra: Any = None,
            server: Any = None,
            context: Context | None = None,
        ) -> None: ...
    else:
        def __init__(
            self,
            loop: EventLoop,
            sock: Any,
            protocol: Any,
            waiter: Any = None,
            extra: Any = None,
            server: Any = None,
        ) -> None: ...

    def _make_empty_waiter(self) -> asyncio.Future[None]: ...
    def _reset_empty_waiter(self) -> None: ...
    def _set_in_use(self, in_use: bool, /) -> None: ...

class _SSLProtocolTransport(asyncio.transports._FlowControlMixin):
    """The native half of batonloop.sslproto._SSLProtocolTransport."""

    _closed: bool
    def __init__(self, loop: asyncio.AbstractEventLoop, ssl_protocol: SSLProtocol) -> None: ...
    def __del__(self) -> None: ...
    @property
    def _protocol_paused(self) -> bool: ...
    @property
    def _ssl_protocol(self) -> Any: ...
    def _force_close(self, exc: BaseException | None) -> None: ...
    def _test__append_write_backlog(self, data: bytes) -> None: ...
    def get_extra_info(self, name: str, default: Any = None) -> Any: ...
    def get_read_buffer_limits(self) -> tuple[int, int]: ...
    def get_read_buffer_size(self) -> int: ...
    def set_read_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...
    def write(self, data: bytes | bytearray | memoryview[Any]) -> None: ...
    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None: ...

class SSLProtocol:
    """The native half of batonloop.sslproto.SSLProtocol."""

    _sslobj: Any
    _incoming: Any
    _outgoing: Any
    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        app_protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext | None,
        waiter: asyncio.Future[None] | None,
        server_side: bool | None = None,
        server_hostname: str | None = None,
        call_connection_made: bool = True,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> None: ...
    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, exc: BaseException | None) -> None: ...
    def get_buffer(self, sizehint: int, /) -> memoryview[int]: ...
    def buffer_updated(self, nbytes: int, /) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    @property
    def _app_transport(self) -> Any: ...
    @property
    def _app_protocol(self) -> Any: ...
    @property
    def _transport(self) -> Any: ...
    @property
    def _extra(self) -> dict[str, Any]: ...
    @property
    def _is_direct(self) -> bool: ...
    def _put(self, name: str, value: Any) -> bool: ...
    def _mark_patched(self) -> None: ...
    def _set_app_protocol(self, app_protocol: asyncio.BaseProtocol) -> None: ...
    def _get_app_transport(self) -> Any: ...
    def _get_extra_info(self, name: str, default: Any = None) -> Any: ...

class _SelectorDatagramTransport(asyncio.transports._FlowControlMixin, asyncio.DatagramTransport):
    """The transport of datagrams: a UDP socket, or any other of the kind."""

    max_size: int
    def __init__(
        self,
        loop: EventLoop,
        sock: Any,
        protocol: Any,
        address: Any = None,
        waiter: Any = None,
        extra: Any = None,
    ) -> None: ...

class _UnixReadPipeTransport(asyncio.ReadTransport):
    """The transport of a pipe's reading end, or what stands for one."""

    max_size: int
    def __init__(
        self, loop: EventLoop, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None
    ) -> None: ...

class _UnixWritePipeTransport(asyncio.transports._FlowControlMixin, asyncio.WriteTransport):
    """The transport of a pipe's writing end, or what stands for one."""

    def __init__(
        self, loop: EventLoop, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None
    ) -> None: ...

if sys.version_info >= (3, 12):
    from asyncio import wait_for as wait_for

async def _wait_at_barrier(self: asyncio.Barrier) -> int: ...
def _holds_coroutine(fs: object) -> bool: ...

if sys.version_info >= (3, 14):
    def _discard_awaited_by(children: object, waiter: object, outer: object) -> None: ...

def _with_hot_methods(class_: type[_T], /) -> type[_T]: ...
def _ssl_way() -> str: ...
def _set_ssl_way(way: str) -> None: ...

if sys.version_info < (3, 14):
    def _pending_tasks() -> list[asyncio.Task[Any]]: ...
    def _forget_task(task: asyncio.Task[Any]) -> None: ...
